"""CSV files, read a piece at a time: every complaint names file, line and column, and what was expected.

Python's ``csv`` does the parsing, so quoted cells may hold delimiters, quotes and line ends.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import gzip
import io
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.data.cells import MISSING, category, is_number, numbers

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["Batch", "CsvFile", "near"]

#: No line of a table is longer; what is longer is no table, and might not fit into memory.
_LONGEST = 10_000_000
#: Cells in memory at a time: a piece of a wide table has fewer rows.
_MOST_CELLS = 1_000_000
_DELIMITERS = (",", ";", "\t", "|")
_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_GZIP = b"\x1f\x8b"
#: How files of other kinds begin.
_FOREIGN = {
    b"PK\x03\x04": "a zip archive or an Excel workbook", b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh": "compressed with bzip2", b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd", b"PAR1": "a Parquet file", b"%PDF": "a PDF file",
    b"SQLite format": "an SQLite database", b"\x89PNG": "a picture", b"\x93NUMPY": "a NumPy array",
    b"\x80\x04": "a pickle",
}  # fmt: skip


def near(name: str, names: Iterable[str]) -> str:
    """A hint for a name that is not there: the nearest one, or the first few.

    >>> from tinytensor.data.csvfile import near
    >>> near("lable", ["width", "label"])
    "did you mean 'label'?"
    """
    known = list(names)
    plain = {other.casefold(): other for other in known[:1000]}
    if found := difflib.get_close_matches(name.casefold(), plain, n=1, cutoff=0.6):
        return f"did you mean {plain[found[0]]!r}?"
    return f"there are {', '.join(known[:12])}{', …' if len(known) > 12 else ''}"


@dataclass(frozen=True, eq=False)
class Batch:
    """Some rows of a table: for each column an array of float64 (NaN where missing) or a list of texts ('' where missing).

    ``lines``: the line of the file where each row begins. Example: :class:`CsvFile`.
    """

    columns: Mapping[str, Any]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def take(self, rows: Array) -> Batch:
        """The rows with these indices."""
        chosen = rows.tolist()
        columns = {
            name: values[rows] if isinstance(values, np.ndarray) else [values[i] for i in chosen]
            for name, values in self.columns.items()
        }
        return Batch(columns, [self.lines[i] for i in chosen])


class CsvFile:
    r"""A table in a text file, or one compressed by gzip: what is not given is found out, the header is read.

    names       the columns, as the first line names them
    header      whether the first line holds the names, None: if it is not all numbers; without one they are 1, 2, 3, …
    delimiter   ``,`` ``;`` tab or ``|``: what divides the first lines into equally many cells
    encoding    UTF-8 (with or without a byte order mark), or UTF-16 and UTF-32 with one; others must be named
    decimal     ``.``, or ``,`` for numbers such as 1,5

    Raises FileNotFoundError, IsADirectoryError or PermissionError for a file that cannot be opened, ValueError for one that
    is no table.

    >>> import pathlib, tempfile
    >>> from tinytensor.tables import CsvFile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = path.write_text("size;colour\n1;red\n;blue\n")
    >>> file = CsvFile(path)
    >>> file.delimiter, file.names
    (';', ['size', 'colour'])
    >>> for batch in file.batches({"colour": False, "size": True}):
    ...     print(batch.columns, batch.lines)
    {'colour': ['red', 'blue'], 'size': array([ 1., nan])} [2, 3]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        delimiter: str | None = None,
        encoding: str | None = None,
        decimal: str = ".",
        header: bool | None = True,
    ) -> None:
        self.path = Path(path)
        self.name = str(path)
        if delimiter is not None:
            delimiter = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}.get(delimiter, delimiter)
            if len(delimiter) != 1 or delimiter in '"\r\n':
                raise ValueError(f"delimiter must be one character, or tab; got {delimiter!r}")
        if decimal not in (".", ",") or decimal == delimiter:
            raise ValueError(f"decimal must be '.' or ',' and not the delimiter, got {decimal!r}")
        self.decimal = decimal
        start = self._start()
        self.encoding = _known(encoding) if encoding else self._encoding(start)
        self.delimiter = delimiter or self._detect()
        self.header = header
        self.names = self._header()
        self._places = {name: k for k, name in enumerate(self.names)}

    # ------------------------------------------------------------------------------------------------- the file

    def _start(self) -> bytes:
        if self.name == "-":
            raise ValueError("a table is read more than once, which standard input cannot be: write it to a file")
        if self.path.exists() and not self.path.is_file() and not self.path.is_dir():
            raise ValueError(
                f"{self.name!r} is a pipe or a device, and a table is read more than once: write it to a file"
            )
        try:
            with open(self.path, "rb") as file:
                self._zipped = file.read(2) == _GZIP
            with self._bytes() as content:
                start: bytes = content.read(1 << 16)
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no file {self.name!r}") from None
        except IsADirectoryError:
            raise IsADirectoryError(f"{self.name!r} is a folder, expected a CSV file") from None
        except OSError as error:
            raise type(error)(f"{self.name!r} cannot be read: {(error.strerror or str(error)).lower()}") from None
        if not start:
            raise ValueError(f"{self.name!r} is empty, expected a line with the names of the columns")
        for mark, kind in _FOREIGN.items():
            if start.startswith(mark):
                raise ValueError(f"{self.name!r} is {kind}, expected CSV: text with a row on each line")
        return start

    @contextmanager
    def _bytes(self) -> Iterator[Any]:
        with gzip.open(self.path) if self._zipped else open(self.path, "rb") as file:
            try:
                yield file
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise ValueError(f"{self.name!r} is a damaged gzip file: {str(error)[:80]}") from None

    def _encoding(self, start: bytes) -> str:
        for mark, encoding in _ORDER_MARKS:
            if start.startswith(mark):
                return encoding
        if b"\0" in start:
            raise ValueError(f"{self.name!r} holds zero bytes, expected text: it is no CSV file, or in UTF-16 unsaid")
        return "utf-8"

    @contextmanager
    def _text(self) -> Iterator[Iterator[str]]:
        """The lines of the file; bytes that are no text of the encoding are found and named."""
        with self._bytes() as content, io.TextIOWrapper(content, self.encoding, newline="") as file:

            def lines() -> Iterator[str]:
                number = 0
                while line := file.readline(_LONGEST):
                    number += 1
                    if len(line) >= _LONGEST:
                        raise ValueError(f"{self.name!r} has a line of over {_LONGEST:,} characters: it is no table")
                    if "\0" in line:
                        raise ValueError(
                            f"{self.name}, line {number}: expected text, got a zero byte; the file is damaged"
                        )
                    yield line

            try:
                yield lines()
            except UnicodeDecodeError as error:
                raise ValueError(self._undecodable(error)) from None
            except UnicodeError as error:  # such as UTF-16 without its mark
                raise ValueError(f"{self.name!r} is not {self.encoding.upper()} text: {error}") from None

    def _undecodable(self, error: UnicodeDecodeError) -> str:
        where = ""
        with self._bytes() as file:
            for number, raw in enumerate(file, 1):
                try:
                    raw.decode(self.encoding)
                except UnicodeDecodeError as found:
                    error, where = found, f", line {number}, byte {found.start + 1}"
                    break
        byte = error.object[error.start]
        return (
            f"{self.name}{where}: the byte 0x{byte:02x} is not {self.encoding.upper()} text; "
            "give the file's encoding, such as --encoding latin-1"
        )

    def _detect(self) -> str:
        """The delimiter that divides the first rows into equally many cells, the most of them."""
        sample: list[str] = []
        with self._text() as lines:
            for line in lines:
                sample.append(line)
                if len(sample) == 50 or sum(map(len, sample)) > 1 << 18:
                    break
        best, delimiter = (0.0, 0), ","
        for candidate in _DELIMITERS:
            try:
                widths = [len(row) for row in csv.reader(sample, delimiter=candidate) if row]
            except csv.Error:
                continue
            if widths and widths[0] > 1 and candidate != self.decimal:
                score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
                if score > best:
                    best, delimiter = score, candidate
        return delimiter if delimiter != self.decimal else ";"

    # ------------------------------------------------------------------------------------------------- the rows

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of every row that is not blank, the header first; ValueError for one that cannot be parsed."""
        with self._text() as lines:
            reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
            line = 1
            try:
                for row in reader:
                    if row:
                        yield line, row
                    line = reader.line_num + 1
            except csv.Error as error:
                raise ValueError(f"{self.name}, line {line}: {_explained(error, self.delimiter)}") from None

    def _header(self) -> list[str]:
        found = next(self.rows(), None)
        if found is None or not any(cell.strip() for cell in found[1]):
            raise ValueError(f"{self.name!r} has only blank lines, expected a line with the names of the columns")
        line, cells = found
        names = [cell.strip() or f"column {k}" for k, cell in enumerate(cells, 1)]
        if self.header is None:
            self.header = not all(is_number(cell, self.decimal) for cell in cells)
        elif self.header and all(is_number(cell) for cell in cells):
            raise ValueError(
                f"{self.name}, line {line}: expected the names of the columns, got numbers ({', '.join(names[:4])}); "
                "put a line with names first"
            )
        if not self.header:
            return [str(k) for k in range(1, len(cells) + 1)]
        places: dict[str, int] = {}
        for k, name in enumerate(names, 1):
            if name in places:
                raise ValueError(
                    f"{self.name}, line {line}: columns {places[name]} and {k} are both called {name!r}; every column "
                    "needs a name of its own"
                )
            places[name] = k
        return names

    def require(self, names: Iterable[str], why: str) -> None:
        """ValueError if a column is not there; ``why`` says who asks for it."""
        absent = [name for name in names if name not in self._places]
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            raise ValueError(
                f"{self.name} has no column {absent[0]!r}{more}, which {why}; {near(absent[0], self.names)}"
            )

    def pieces(
        self, names: Sequence[str], size: int = 10_000, raw: bool = False
    ) -> Iterator[tuple[list[list[str]], list[int]]]:
        """The cells of some columns, and the lines of the rows, ``size`` rows at a time.

        The cells are stripped, and '' where missing; ``raw``: they are as they stand in the file. Of a wide table there are fewer
        rows at a time, so that memory has a bound.
        """
        places, width = [self._places[name] for name in names], len(self.names)
        size = max(1, min(size, _MOST_CELLS // width))
        rows: list[list[str]] = []
        lines: list[int] = []
        following = self.rows()
        if self.header:
            next(following, None)
        for line, row in following:
            if len(row) != width:
                raise ValueError(
                    f"{self.name}, line {line}: expected {width} cells, as in the header, got {len(row)}"
                    f"{_ragged(row, width)}"
                )
            rows.append(row)
            lines.append(line)
            if len(rows) == size:
                yield _columns(rows, places, raw), lines
                rows, lines = [], []
        if rows:
            yield _columns(rows, places, raw), lines

    def numbers(self, texts: Sequence[str], lines: Sequence[int], column: str) -> Array:
        """The cells of a column as float64, NaN where missing; ValueError names the first that is no finite number."""
        return numbers(texts, lines, column, self.name, self.decimal)

    def batches(self, columns: Mapping[str, bool], size: int = 10_000) -> Iterator[Batch]:
        """The file ``size`` rows at a time: ``columns`` are names, and whether each holds numbers."""
        same: dict[str, str] = {}  # equal texts share memory
        for cells, lines in self.pieces(list(columns), size):
            found: dict[str, Any] = {}
            for (name, numeric), texts in zip(columns.items(), cells, strict=True):
                if numeric:
                    found[name] = self.numbers(texts, lines, name)
                else:
                    found[name] = [same.setdefault(text, text) for text in map(category, texts)]
            if len(same) > 100_000:
                same.clear()
            yield Batch(found, lines)


def _columns(rows: list[list[str]], places: list[int], raw: bool) -> list[list[str]]:
    if raw:
        return [[row[k] for row in rows] for k in places]
    stripped = ([row[k].strip() for row in rows] for k in places)
    return [["" if cell in MISSING else cell for cell in cells] for cells in stripped]


def _known(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding)
    except (LookupError, ValueError):
        raise ValueError(f"unknown encoding {encoding!r}: expected a name such as utf-8, latin-1 or cp1252") from None
    if not getattr(found, "_is_text_encoding", True):
        raise ValueError(f"{encoding!r} is not an encoding of text: expected utf-8, latin-1, cp1252 or the like")
    return "utf-8-sig" if found.name == "utf-8" else found.name


def _explained(error: csv.Error, delimiter: str) -> str:
    text = str(error)
    if "field larger" in text:
        return f"a cell has more than {csv.field_size_limit():,} characters; is a closing quote missing?"
    if "unexpected end" in text:
        return 'a quoted cell begins here and never ends: expected a closing "'
    if "expected after" in text:
        return (
            f'after the closing quote of a cell, expected {delimiter!r} or the end of the line (a quote inside is "")'
        )
    return f"it cannot be read as CSV ({text})"


def _ragged(row: list[str], width: int) -> str:
    if len(row) == width + 1 and not row[width].strip():
        return "; it ends with a delimiter, which the header does not"
    if len(row) > width:
        return f", the first one too many being {row[width][:40]!r}; a cell that holds the delimiter needs quotes"
    return ""
