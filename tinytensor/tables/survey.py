"""What the columns of a file hold: found out by reading it once, decided by rules that the user can overrule."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.data.cells import is_number
from tinytensor.data.csvfile import Batch, CsvFile, near

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["Table", "read"]

#: Different texts that are counted in a column; one with more of them is no category.
_MOST_COUNTED = 10_000
#: A column of whole numbers with at most so many different ones is a target of classes.
_MOST_CLASSES = 20
_MOST_LABELS = 1_000
_FEWEST = 10


@dataclass(eq=False)
class _Seen:
    """What one column holds, as far as the file has been read.

    odd        known cells that are no numbers; ``first``: the line and text of the first of them
    counting   whether every cell is the one above it plus one
    """

    name: str
    missing: int = 0
    odd: int = 0
    first: tuple[int, str] = (0, "")
    whole: bool = True
    counting: bool = True
    last: float = math.nan
    counts: Counter[str] | None = field(default_factory=Counter)
    commas: bool = True

    def add(self, texts: list[str], lines: list[int], file: CsvFile) -> None:
        self.missing += texts.count("")
        try:
            values = file.numbers(texts, lines, self.name)
            known = values[~np.isnan(values)]
            self.whole = self.whole and bool((known == np.rint(known)).all())
            with np.errstate(over="ignore"):
                follows = np.diff(values, prepend=values[0] - 1 if math.isnan(self.last) else self.last)
            self.counting, self.last = self.counting and bool((follows == 1).all()), float(values[-1])
        except ValueError:
            odd = [k for k, text in enumerate(texts) if text and not is_number(text, file.decimal)]
            self.first = self.first if self.odd else (lines[odd[0]], texts[odd[0]])
            self.odd += len(odd)
        if self.counts is not None:
            self.counts.update(texts)
            if len(self.counts) > _MOST_COUNTED:
                self.counts = None
        if self.odd and self.commas:
            self.commas = all(re.fullmatch(r"[+-]?\d+(,\d+)+(\.\d*)?|", text) for text in texts)

    @property
    def numeric(self) -> bool:
        """Whether all known cells are numbers."""
        return not self.odd

    @property
    def different(self) -> int:
        """How many different texts, missing ones left out."""
        return _MOST_COUNTED + 1 if self.counts is None else len(self.counts) - ("" in self.counts)

    def nearly(self, rows: int) -> bool:
        """Whether all but a few of the known cells are numbers, too many of them different to be names of categories."""
        return 0 < self.odd <= (rows - self.missing) / 10 and self.different > _MOST_CLASSES


@dataclass(frozen=True, eq=False)
class Table:
    """A whole file in memory, its columns chosen: what :func:`tinytensor.tables.fit` trains on. Example: :func:`read`.

    file       the path
    target     the column to be predicted
    task       ``"classification"`` or ``"regression"``
    features   the other columns that are used: name to whether it holds numbers
    batch      their values, and the target's (texts, or float64)
    notes      what was decided and left out, a sentence each
    """

    file: str
    target: str
    task: str
    features: dict[str, bool]
    batch: Batch
    notes: list[str]

    def __len__(self) -> int:
        return len(self.batch)

    def __repr__(self) -> str:
        return f"Table({self.file}: {len(self)} rows, {len(self.features)} features, {self.task} of {self.target!r})"


def read(
    file: CsvFile,
    target: str,
    task: str | None = None,
    numeric: Sequence[str] = (),
    categorical: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Table:
    r"""Read a CSV file to train on, and decide what its columns are.

    A column whose known cells are all numbers holds numbers, every other holds categories; ``numeric`` and
    ``categorical`` overrule that. Left out, with a note: columns in ``drop``, those with no or one value, and texts of which nearly
    every row has its own. Rows without target are left out too. ``task``: ``"classification"`` if the target holds
    texts, or at most 20 different whole numbers; else ``"regression"``. Raises ValueError for names that are not there, for
    cells that are not what the user said, and for a table from which nothing can be learnt.

    >>> import pathlib, tempfile
    >>> from tinytensor import tables
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "t.csv"
    >>> _ = path.write_text("size,colour,price\n" + "1,red,2.5\n2,blue,3.5\n,red,4.5\n" * 5)
    >>> table = tables.read(tables.CsvFile(path), target="price")
    >>> len(table), table.task, table.features
    (15, 'regression', {'size': True, 'colour': False})
    """
    _check_names(file, target, task, numeric, categorical, drop)
    names = [name for name in file.names if name not in drop]
    seen = [_Seen(name) for name in names]
    rows = 0
    for cells, lines in file.pieces(names):
        rows += len(lines)
        for column, texts in zip(seen, cells, strict=True):
            column.add(texts, lines, file)
    if not rows:
        raise ValueError(f"{file.name!r} has names of columns but no rows below them")
    if rows < _FEWEST:
        raise ValueError(f"{file.name!r} has {rows} rows; expected at least {_FEWEST} to learn from")
    goal = next(column for column in seen if column.name == target)
    task = task or _task(goal, rows, file)
    notes: list[str] = []
    features = {}
    for column in seen:
        if column is not goal and (kind := _kind(column, rows, numeric, categorical, notes)) is not None:
            features[column.name] = kind
    if not features:
        reasons = [*notes[:3], f"and {len(notes) - 3:,} more"] if len(notes) > 3 else notes or ["it is alone"]
        raise ValueError(f"{file.name!r} has no column to learn {target!r} from: {'; '.join(reasons)}")
    if task == "regression" and not goal.numeric:
        _complain(goal, file)
    batch = _whole(file, {**features, target: task == "regression"})
    batch, found = _with_target(batch, target, task, file.name)
    return Table(file.name, target, task, features, batch, [*found, *notes])


def _check_names(
    file: CsvFile,
    target: str,
    task: str | None,
    numeric: Sequence[str],
    categorical: Sequence[str],
    drop: Sequence[str],
) -> None:
    file.require([target], "is to be predicted (--target)")
    given: dict[str, str] = {target: "target"}
    for option, chosen in (("numeric", numeric), ("categorical", categorical), ("drop", drop)):
        file.require(chosen, f"--{option} names")
        for name in dict.fromkeys(chosen):
            if name in given:
                raise ValueError(f"column {name!r} is named by --{given[name]} and by --{option}; choose one")
            given[name] = option
    if task not in (None, "classification", "regression"):
        raise ValueError(f"task must be classification or regression, got {task!r}; {near(str(task), _TASKS)}")


_TASKS = ("classification", "regression")


def _task(goal: _Seen, rows: int, file: CsvFile) -> str:
    if goal.nearly(rows):
        _complain(goal, file, f"; nearly all {goal.name!r} are numbers, and for classes there is --task classification")
    few = goal.whole and goal.different <= _MOST_CLASSES
    return "classification" if not goal.numeric or few or goal.different <= 2 else "regression"


def _complain(goal: _Seen, file: CsvFile, more: str = "") -> None:
    """Name the first target that is no number."""
    line, text = goal.first
    try:
        file.numbers([text], [line], goal.name)
    except ValueError as error:
        raise ValueError(f"{error}{more}") from None


def _kind(
    column: _Seen, rows: int, numeric: Sequence[str], categorical: Sequence[str], notes: list[str]
) -> bool | None:
    """Whether a feature holds numbers; None if it is left out."""
    name, known, different = column.name, rows - column.missing, column.different
    if not known:
        notes.append(f"column {name!r} is left out: all its cells are missing")
    elif different == 1 and not (column.missing and not column.numeric):
        value = next(text for text in column.counts or () if text)
        notes.append(f"column {name!r} is left out: every known cell is {value[:40]!r}")
    elif name in numeric:
        return True
    elif name in categorical:
        return False
    elif column.numeric and column.counting and re.fullmatch(r"column \d+|Unnamed: \d+", name):
        notes.append(
            f"{name!r}, whose name is not given, is left out: it numbers the rows; --numeric {name!r} keeps it"
        )
    elif column.numeric:
        if column.counting and different > _MOST_CLASSES:
            notes.append(f"column {name!r} numbers the rows, and is read as a quantity; --drop {name} leaves it out")
        if column.whole and 2 < different <= 10 and known >= 10 * different:
            notes.append(
                f"column {name!r} is read as numbers, of which it has {different} different; if they are codes of "
                f"categories, give --categorical {name}"
            )
        return True
    elif different > 20 and different > known / 2:
        many = f"{different:,}" if column.counts is not None else f"over {_MOST_COUNTED:,}"
        why = _why(column, rows) or "a name of its own for nearly each"
        notes.append(
            f"column {name!r} is left out: it has {many} different texts in {known:,} rows ({why}); "
            f"--categorical {name} keeps the most frequent"
        )
    else:
        if why := _why(column, rows):
            notes.append(f"column {name!r} is read as categories; {why}")
        return False
    return None


def _why(column: _Seen, rows: int) -> str:
    """What may be wrong with a column of texts that look like numbers; else ''."""
    if column.nearly(rows):
        line, text = column.first
        more = f", and {column.odd - 1:,} more" if column.odd > 1 else ""
        return f"nearly all are numbers, but not {text[:40]!r} in line {line}{more}: mend it, or leave the cell empty"
    if column.commas:
        return "numbers with commas? --decimal ',' reads 1,5 as one and a half; thousands are written without"
    return ""


def _whole(file: CsvFile, columns: dict[str, bool]) -> Batch:
    pieces = list(file.batches(columns))
    joined: dict[str, Any] = {
        name: np.concatenate([piece.columns[name] for piece in pieces])
        if is_number
        else [text for piece in pieces for text in piece.columns[name]]
        for name, is_number in columns.items()
    }
    return Batch(joined, [line for piece in pieces for line in piece.lines])


def _with_target(batch: Batch, target: str, task: str, file: str) -> tuple[Batch, list[str]]:
    """The rows whose target is known, and a note on the others."""
    values = batch.columns[target]
    known: Array = ~np.isnan(values) if task == "regression" else np.array([text != "" for text in values])
    notes = []
    if absent := int((~known).sum()):
        notes.append(f"{absent:,} of {len(batch):,} rows have no {target!r} and are left out")
        batch = batch.take(np.flatnonzero(known))
    if len(batch) < _FEWEST:
        raise ValueError(
            f"{file!r} has {len(batch)} rows with a known {target!r}; expected at least {_FEWEST} to learn from"
        )
    if task == "classification":
        labels = set(batch.columns[target])
        if len(labels) == 1:
            raise ValueError(f"every row of {file!r} has the {target!r} {labels.pop()!r}: there is nothing to learn")
        if len(labels) > _MOST_LABELS or len(labels) > len(batch) / 2:
            raise ValueError(
                f"{file!r} has {len(labels):,} different {target!r} in {len(batch):,} rows, too many for classes; if "
                "they are quantities, give --task regression"
            )
    elif np.ptp(batch.columns[target]) == 0:
        raise ValueError(f"every row of {file!r} has the {target!r} {values[known][0]:g}: there is nothing to learn")
    return batch, notes
