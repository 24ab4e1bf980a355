"""Arrays from files: .npy (memory-mapped), .npz and numeric .csv; nothing in a file is ever run."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.data.datasets import TensorDataset

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["load_csv", "load_npy", "load_npz"]


def load_npy(*paths: str | os.PathLike[str]) -> TensorDataset:
    """A dataset of .npy files, memory-mapped: rows are read when they are asked for, so files may be larger than memory.

    Raises FileNotFoundError if there is no file, ValueError if one is no array of numbers or the lengths differ.

    >>> import pathlib, tempfile, numpy as np, tinytensor as tt
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "x.npy"
    >>> np.save(file, np.eye(3))
    >>> tt.data.load_npy(file)
    TensorDataset(float64 (3, 3))
    """
    if not paths:
        raise TypeError("load_npy: expected the name of a file, got none")
    return TensorDataset(*[_opened("load_npy", path, "r") for path in paths])


def load_npz(path: str | os.PathLike[str], names: Sequence[str] | None = None) -> TensorDataset:
    """A dataset of the arrays in an .npz file: those named, in that order, or all of them.

    Raises FileNotFoundError if there is no file, KeyError for a name that is not in it, ValueError for other content.

    >>> import pathlib, tempfile, numpy as np, tinytensor as tt
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "points.npz"
    >>> np.savez(file, x=np.eye(3), y=np.arange(3))
    >>> tt.data.load_npz(file, ["x", "y"])
    TensorDataset(float64 (3, 3), int64 (3,))
    """
    archive = _opened("load_npz", path, None)
    if isinstance(archive, np.ndarray):
        raise ValueError(f"load_npz: {str(path)!r} is one array (.npy); use load_npy")
    with archive:
        chosen = list(archive.files) if names is None else list(names)
        if missing := [name for name in chosen if name not in archive.files]:
            raise KeyError(f"load_npz: {str(path)!r} has no {missing[0]!r}; it has {', '.join(archive.files)}")
        try:
            arrays = [archive[name] for name in chosen]
        except Exception as error:  # zipfile, zlib and NumPy each have their own
            raise _refusal("load_npz", path, error) from None
    return TensorDataset(*[_numeric("load_npz", path, array) for array in arrays])


def _opened(op: str, path: str | os.PathLike[str], mode: Any) -> Any:
    try:
        found = np.load(path, mmap_mode=mode, allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{op}: there is no file {str(path)!r}") from None
    except IsADirectoryError:
        raise IsADirectoryError(f"{op}: {str(path)!r} is a folder") from None
    except PermissionError:
        raise PermissionError(f"{op}: {str(path)!r} cannot be read: permission denied") from None
    except Exception as error:
        raise _refusal(op, path, error) from None
    if mode is not None and not isinstance(found, np.ndarray):
        found.close()
        raise ValueError(f"{op}: {str(path)!r} holds several arrays (.npz); use load_npz")
    return _numeric(op, path, found) if isinstance(found, np.ndarray) else found


def _numeric(op: str, path: str | os.PathLike[str], array: Array) -> Array:
    if array.dtype.kind not in "biufc":
        raise _refusal(op, path, ValueError(f"it holds {array.dtype}, expected numbers"))
    return array


def _refusal(op: str, path: str | os.PathLike[str], error: Exception) -> ValueError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if "pickle" in reason or "Python objects" in reason:
        reason = "it holds pickled objects, which are never loaded"
    return ValueError(f"{op}: {str(path)!r} is not a whole file of arrays of numbers: {reason[:200]}")


# ---------------------------------------------------------------------------------------------------------------- csv


def load_csv(
    path: str | os.PathLike[str], target: str | int | None = -1, delimiter: str = ",", dtype: Any = np.float64
) -> TensorDataset:
    r"""A dataset of a table of numbers: all columns but one (n, features), and the ``target`` column (n,).

    ``target``: a column's name, its number, or None for no target. A first line that is not all numbers holds the names. A
    target of whole numbers is int64 (labels). Raises ValueError with line and column for what is no finite number.

    >>> import pathlib, tempfile, tinytensor as tt
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "points.csv"
    >>> _ = file.write_text("width,height,kind\n1.5,2,0\n3,4.5,1\n")
    >>> tt.data.load_csv(file, "kind")[1]
    (array([3. , 4.5]), np.int64(1))
    """
    if isinstance(target, bool) or not isinstance(target, (str, int, type(None))):
        raise TypeError(f"load_csv: target is a column's name or number, got {target!r:.60}")
    names, table = _table(path, delimiter)
    if target is None:
        return TensorDataset(table.astype(dtype, copy=False))
    k = _column(path, target, names, table.shape[1])
    y = table[:, k]
    labels = bool((y == np.floor(y)).all()) and bool((np.abs(y) < 2**53).all())
    return TensorDataset(np.delete(table, k, 1).astype(dtype), y.astype(np.int64 if labels else dtype))


def _table(path: str | os.PathLike[str], delimiter: str) -> tuple[list[str], Array]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return _read(path, csv.reader(file, delimiter=delimiter))
    except FileNotFoundError:
        raise FileNotFoundError(f"load_csv: there is no file {str(path)!r}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"load_csv: {str(path)!r} is not text in UTF-8 (byte {error.start})") from None
    except csv.Error as error:
        raise ValueError(f"load_csv: {str(path)!r} is not a table: {error}") from None


def _read(path: str | os.PathLike[str], lines: Any) -> tuple[list[str], Array]:
    names: list[str] = []
    rows: list[Array] = []
    for row in lines:
        if not row:
            continue
        if not rows and not names and not all(map(_is_number, row)):
            names = [cell.strip() for cell in row]
            continue
        width = len(names) or (len(rows[0]) if rows else len(row))
        if len(row) != width:
            raise ValueError(
                f"load_csv: {str(path)!r}, line {lines.line_num}: expected {width} columns, got {len(row)}"
            )
        rows.append(_numbers(path, lines.line_num, row, names))
    if not rows:
        raise ValueError(f"load_csv: {str(path)!r} has no rows of numbers")
    return names, np.stack(rows)


def _numbers(path: str | os.PathLike[str], line: int, row: Iterable[str], names: list[str]) -> Array:
    try:
        numbers = np.array([float(cell) for cell in row])
        if np.isfinite(numbers).all():
            return numbers
    except ValueError:
        pass
    k, cell = next((k, cell) for k, cell in enumerate(row) if not _is_number(cell) or not np.isfinite(float(cell)))
    column = repr(names[k]) if names else str(k + 1)
    raise ValueError(
        f"load_csv: {str(path)!r}, line {line}, column {column}: expected a finite number, got {cell[:40]!r}"
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _column(path: str | os.PathLike[str], target: str | int, names: list[str], width: int) -> int:
    if isinstance(target, str):
        if target not in names:
            known = f"its columns are {', '.join(names)[:200]}" if names else "its first line holds no names"
            raise ValueError(f"load_csv: {str(path)!r} has no column {target!r}; {known}")
        return names.index(target)
    if not -width <= target < width:
        raise ValueError(f"load_csv: {str(path)!r} has {width} columns, there is no number {target}")
    return target % width
