"""``TableModel``: a network and all it needs to read rows as they stand in a file; written to and read from one file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tinytensor
from tinytensor import io, nn
from tinytensor.data.csvfile import Batch, CsvFile
from tinytensor.graph import no_grad
from tinytensor.tables.metrics import ClassTally, QuantityTally
from tinytensor.tables.preprocessing import Found, Preprocessor

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["Classes", "Quantity", "TableModel", "load_model"]

_FORMAT = "tinytensor table 1"


@dataclass(frozen=True)
class Classes:
    """A target of classes: their names, and the share of each in the training rows. Example: :func:`load_model`."""

    names: tuple[str, ...]
    shares: tuple[float, ...]

    task = "classification"

    @property
    def width(self) -> int:
        """Outputs of the network."""
        return len(self.names)

    def encode(self, texts: list[str]) -> Array:
        """The number of each row's class; -1 for one that is not known."""
        places = {name: k for k, name in enumerate(self.names)}
        return np.array([places.get(text, -1) for text in texts], np.int64)

    def tally(self) -> ClassTally:
        """An empty count."""
        return ClassTally(self.shares)

    def __str__(self) -> str:
        shown = [f"{name} {100 * share:.1f} %" for name, share in zip(self.names[:8], self.shares, strict=False)]
        return f"classification, {len(self.names)} classes: {', '.join(shown)}{', …' if len(self.names) > 8 else ''}"


@dataclass(frozen=True)
class Quantity:
    """A target of numbers: the network's one output is ``(y - mean) / scale``. Example: :func:`load_model`."""

    mean: float
    scale: float

    task = "regression"
    width = 1

    def tally(self) -> QuantityTally:
        """An empty count."""
        return QuantityTally(self.mean, self.scale)

    def __str__(self) -> str:
        return f"regression, mean {self.mean:.6g}, standard deviation {self.scale:.6g}"


@dataclass(frozen=True, eq=False)
class TableModel:
    """A trained network with the columns it reads and the target it predicts. Example: :func:`load_model`.

    ``summary``: numbers and words on the training, kept in the file.
    """

    network: nn.MLP
    preprocessor: Preprocessor
    target: str
    goal: Classes | Quantity
    summary: dict[str, Any]

    def scores(self, x: Array) -> Array:
        """The network's outputs (n, classes) or (n, 1) for encoded rows, nothing recorded."""
        with no_grad():
            scores: Array = self.network(x).data
        return scores

    def predict(self, batch: Batch, found: Found | None = None) -> tuple[Any, Array]:
        """Class names (a list) or quantities (n,), and the scores; what was unusual is counted in ``found``."""
        scores = self.scores(self.preprocessor.encode(batch, found if found is not None else Found()))
        if isinstance(self.goal, Classes):
            return [self.goal.names[k] for k in scores.argmax(1).tolist()], scores
        return scores[:, 0].astype(float) * self.goal.scale + self.goal.mean, scores

    def batches(self, file: CsvFile, size: int = 10_000, target: bool = False) -> Iterator[Batch]:
        """The rows of a file with the columns that are needed, found by name; ValueError if one is not there.

        ``target``: the target's column too.
        """
        self.require(file, target)
        wanted = self.preprocessor.features
        if target:
            wanted[self.target] = isinstance(self.goal, Quantity)
        return file.batches(wanted, size)

    def require(self, file: CsvFile, target: bool = False) -> None:
        """ValueError if a column that the model reads is not there; ``target``: nor the target's."""
        file.require(self.preprocessor.features, "the model reads")
        if target:
            file.require([self.target], "is the model's target")

    def evaluate(self, file: CsvFile, found: Found | None = None) -> tuple[ClassTally | QuantityTally, int]:
        """The metrics of the rows of a file, and how many rows have no target and were left out.

        The file is read a piece at a time. Example: :func:`load_model`.
        """
        tally, skipped = self.goal.tally(), 0
        for batch in self.batches(file, target=True):
            values = batch.columns[self.target]
            known = ~np.isnan(values) if isinstance(values, np.ndarray) else np.array([bool(text) for text in values])
            skipped += int((~known).sum())
            if not known.all():
                batch = batch.take(np.flatnonzero(known))
            count(self, tally, batch, found)
        if not tally.rows:
            raise ValueError(f"{file.name!r} has no row with a known {self.target!r}")
        return tally, skipped

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model as a safetensors file, whole or not at all; the same model gives the same bytes."""
        description = {
            "format": _FORMAT, "target": self.target, "goal": {"task": self.goal.task, **asdict(self.goal)},
            "columns": self.preprocessor.as_json(), "summary": self.summary,
        }  # fmt: skip
        words = {"table": json.dumps(description, allow_nan=False), "tinytensor": tinytensor.__version__}
        return io.save_mlp(self.network, path, words)


def count(model: TableModel, tally: ClassTally | QuantityTally, batch: Batch, found: Found | None = None) -> None:
    """Predict rows whose target is known, and add them to a tally."""
    predicted, scores = model.predict(batch, found)
    values = batch.columns[model.target]
    if isinstance(tally, ClassTally) and isinstance(model.goal, Classes):
        tally.add(model.goal.encode(values), scores)
    elif isinstance(tally, QuantityTally):
        tally.add(values, predicted)


# --------------------------------------------------------------------------------------------------------- the file


def load_model(path: str | os.PathLike[str]) -> TableModel:
    r"""The model that :meth:`TableModel.save` wrote.

    Raises FileNotFoundError if there is no file, ValueError, in one sentence, if it holds no such model, or a damaged one:
    every number of its description is checked against the others, and against the arrays.

    >>> import pathlib, tempfile
    >>> from tinytensor import tables
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "t.csv").write_text("size,colour\n" + "1,red\n2,red\n8,blue\n9,blue\n" * 10)
    >>> table = tables.read(tables.CsvFile(folder / "t.csv"), target="colour")
    >>> fitted = tables.fit(table, tables.TableRecipe(hidden=(8,), epochs=60, lr=0.03))
    >>> model = tables.load_model(fitted.model.save(folder / "m.safetensors"))
    >>> _ = (folder / "new.csv").write_text("weight,size\n5,9\n5,1.5\n")
    >>> [model.predict(batch)[0] for batch in model.batches(tables.CsvFile(folder / "new.csv"))]
    [['blue', 'red']]
    >>> model.evaluate(tables.CsvFile(folder / "t.csv"))[0].metrics()["accuracy"]
    1.0
    """
    name = str(os.fspath(path))
    try:
        network, words = io.load_mlp(path)
        if "table" not in words:
            raise ValueError("it holds a network but no table: expected what `tinytensor train data.csv` saves")
        return _model(network, json.loads(words["table"]))
    except (RecursionError, OverflowError):
        reason = "its description is nested too deep, or has a number too large"
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no model {name!r}") from None
    except ValueError as error:
        reason = " ".join(str(error).split())
        for start in (f"load_mlp: {name!r} is not an MLP that save_mlp wrote: ", f"load: {name!r} is "):
            reason = reason.removeprefix(start)
    raise ValueError(f"{name!r} is no model of a table: {reason}")


def _model(network: nn.MLP, description: Any) -> TableModel:
    keys = {"format", "target", "goal", "columns", "summary"}
    if not isinstance(description, dict) or set(description) != keys or description["format"] != _FORMAT:
        raise ValueError(f"its description is not of format {_FORMAT!r}")
    before, goal = Preprocessor.from_json(description["columns"]), _goal(description["goal"])
    target, summary = description["target"], description["summary"]
    if not isinstance(target, str) or not target or target in before.features:
        raise ValueError(f"its target is {target!r:.60}")
    if not isinstance(summary, dict):
        raise ValueError("its summary of the training is not a list of names and values")
    if (network.sizes[0], network.sizes[-1]) != (before.width, goal.width):
        raise ValueError(
            f"its columns give {before.width} inputs and its target {goal.width} outputs, its network has "
            f"{network.sizes[0]} and {network.sizes[-1]}"
        )
    for key, parameter in network.named_parameters():
        if not np.isfinite(parameter.data).all():
            raise ValueError(f"its weights {key!r} are not all finite")
    return TableModel(network, before, target, goal, summary)


def _goal(entry: Any) -> Classes | Quantity:
    task = entry.get("task") if isinstance(entry, dict) else None
    if task == "classification" and set(entry) == {"task", "names", "shares"}:
        names, shares = entry["names"], entry["shares"]
        if not isinstance(names, list) or len(names) < 2 or not all(isinstance(n, str) and n for n in names):
            raise ValueError("its classes are not at least two names")
        right = isinstance(shares, list) and len(shares) == len(names) == len(set(names))
        if not right or not all(type(s) is float and 0 < s < 1 for s in shares):
            raise ValueError("its classes are not different names with a share each")
        return Classes(tuple(names), tuple(shares))
    if task == "regression" and set(entry) == {"task", "mean", "scale"}:
        mean, scale = entry["mean"], entry["scale"]
        if not all(type(v) in (int, float) and math.isfinite(v) for v in (mean, scale)) or not scale > 0:
            raise ValueError(f"its target has mean {mean!r:.40} and scale {scale!r:.40}")
        return Quantity(float(mean), float(scale))
    raise ValueError(f"its target is described as {entry!r:.60}")
