"""Predictions for a whole file, a piece at a time: memory does not grow with the file."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import io
from tinytensor.data.csvfile import CsvFile
from tinytensor.tables.model import Classes, TableModel
from tinytensor.tables.preprocessing import Found

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["check_prediction", "predict_file"]

ENDINGS = (".csv", ".tsv", ".txt")


def predict_file(
    model: TableModel,
    file: CsvFile,
    output: str | os.PathLike[str],
    keep: Sequence[str] = (),
    probabilities: bool = False,
    found: Found | None = None,
    on_rows: Callable[[int], None] | None = None,
    size: int = 10_000,
) -> int:
    r"""Write a prediction for every row of ``file``, in its order, to the CSV file ``output``; returns how many.

    The columns that the model reads are found by name, wherever they stand; others are ignored. ``keep``: columns that are
    copied before the prediction, which is called as the target is; ``probabilities``: a column ``p(class)`` for each class. ``output``
    is written whole or not at all. Raises ValueError for a column that is not there, or a cell that is not what the model
    reads.

    >>> import pathlib, tempfile
    >>> from tinytensor import tables
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "t.csv").write_text("id,x,y\n" + "".join(f"a{k},{k},{2 * k}\n" for k in range(50)))
    >>> table = tables.read(tables.CsvFile(folder / "t.csv"), target="y", drop=["id"])
    >>> model = tables.fit(table, tables.TableRecipe(hidden=(8,), epochs=3)).model
    >>> tables.predict_file(model, tables.CsvFile(folder / "t.csv"), folder / "out.csv", keep=["id"])
    50
    >>> (folder / "out.csv").read_text().splitlines()[0]
    'id,y'
    """
    found, keep = found if found is not None else Found(), list(dict.fromkeys(keep))
    target = check_prediction(model, file, output, keep, probabilities)
    names = model.goal.names if probabilities and isinstance(model.goal, Classes) else ()
    header = list(keep)
    for name in (model.target, *(f"p({label})" for label in names)):
        while name in header:  # two columns of one name could not be told apart
            name += " (predicted)"
        header.append(name)
    with io.replacing(target) as temporary, open(temporary, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, delimiter="\t" if target.suffix.lower() == ".tsv" else ",", lineterminator="\n")
        writer.writerow(header)
        total = 0
        for rows in _rows(model, file, keep, bool(names), found, size):
            writer.writerows(rows)
            total += len(rows)
            if on_rows is not None:
                on_rows(total)
    return total


def check_prediction(
    model: TableModel, file: CsvFile, output: str | os.PathLike[str], keep: Sequence[str], probabilities: bool
) -> Path:
    """Before any work: can ``output`` be written, is every column there? Example: :func:`predict_file`."""
    target = io.check_writable(output, *ENDINGS)
    if target.exists() and target.samefile(file.path):
        raise ValueError(f"{str(target)!r} is the file that is read; give another name to write to")
    if probabilities and not isinstance(model.goal, Classes):
        raise ValueError("probabilities are of classes, and the model's target is a quantity")
    file.require(keep, "is to be kept")
    model.require(file)
    return target


def _rows(
    model: TableModel, file: CsvFile, keep: Sequence[str], probabilities: bool, found: Found, size: int
) -> Iterator[list[tuple[Any, ...]]]:
    for kept, batch in _pieces(model, file, keep, size):
        predicted, scores = model.predict(batch, found)
        cells = predicted if isinstance(predicted, list) else [f"{value:.9g}" for value in predicted.tolist()]
        columns = [*kept, cells]
        if probabilities:
            columns += [[f"{p:.6g}" for p in column] for column in _softmax(scores).T.tolist()]
        yield list(zip(*columns, strict=True))


def _pieces(model: TableModel, file: CsvFile, keep: Sequence[str], size: int) -> Iterator[tuple[list[list[str]], Any]]:
    """Rows for the model, and beside them the cells that are copied, as they stand in the file."""
    batches = model.batches(file, size)
    if not keep:
        yield from (([], batch) for batch in batches)
        return
    yield from ((cells, batch) for (cells, _), batch in zip(file.pieces(keep, size, raw=True), batches, strict=True))


def _softmax(scores: Array) -> Array:
    e = np.exp(scores - scores.max(1, keepdims=True))
    shares: Array = e / e.sum(1, keepdims=True)
    return shares
