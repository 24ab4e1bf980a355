"""Arrays from files: .npy (memory-mapped), .npz and numeric .csv; nothing in a file is ever run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.data.csvfile import CsvFile
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
    target of whole numbers is int64 (labels). Encodings, gzip and mistakes: :class:`tinytensor.tables.CsvFile`; ValueError with
    line and column for what is no finite number, or missing.

    >>> import pathlib, tempfile, tinytensor as tt
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "points.csv"
    >>> _ = file.write_text("width,height,kind\n1.5,2,0\n3,4.5,1\n")
    >>> tt.data.load_csv(file, "kind")[1]
    (array([3. , 4.5]), np.int64(1))
    """
    if isinstance(target, bool) or not isinstance(target, (str, int, type(None))):
        raise TypeError(f"load_csv: target is a column's name or number, got {target!r:.60}")
    file = CsvFile(path, delimiter, header=None)
    k = None if target is None else _place(file, target)
    table = _table(file)
    if k is None:
        return TensorDataset(table.astype(dtype, copy=False))
    y = table[:, k]
    labels = bool((y == np.floor(y)).all()) and bool((np.abs(y) < 2**53).all())
    return TensorDataset(np.delete(table, k, 1).astype(dtype), y.astype(np.int64 if labels else dtype))


def _table(file: CsvFile) -> Array:
    """All cells (rows, columns), every one a finite number."""
    pieces = []
    for cells, lines in file.pieces(file.names):
        columns = [file.numbers(texts, lines, name) for name, texts in zip(file.names, cells, strict=True)]
        for name, values in zip(file.names, columns, strict=True):
            if (absent := np.isnan(values)).any():
                line = lines[int(absent.argmax())]
                raise ValueError(
                    f"{file.name}, line {line}, column {name!r}: expected a number, the cell is empty or NaN"
                )
        pieces.append(np.stack(columns, 1))
    if not pieces:
        raise ValueError(f"{file.name!r} has names of columns but no rows below them")
    return np.concatenate(pieces)


def _place(file: CsvFile, target: str | int) -> int:
    width = len(file.names)
    if isinstance(target, str):
        if not file.header:
            raise ValueError(f"{file.name!r} has no column {target!r}: its first line holds no names")
        file.require([target], "is the target")
        return file.names.index(target)
    if not -width <= target < width:
        raise ValueError(f"{file.name!r} has {width} columns, there is no number {target}")
    return target % width
