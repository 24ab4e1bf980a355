"""``Preprocessor``: rows of numbers and texts to rows of inputs, by what was learnt from the training rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.data.csvfile import Batch

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["Categories", "Found", "Numbers", "Preprocessor", "moments"]

#: The most frequent categories of a column that get an input of their own; the others share one.
MOST_CATEGORIES = 50
#: Standardised numbers beyond this are cut off: float32 would overflow in the layers behind.
FARTHEST = 1e4


@dataclass
class Found:
    """What was unusual in rows that were encoded, by column. Example: :class:`Preprocessor`."""

    missing: Counter[str] = field(default_factory=Counter)
    unseen: Counter[str] = field(default_factory=Counter)
    far: Counter[str] = field(default_factory=Counter)

    def notes(self) -> list[str]:
        """A sentence for each kind that occurred."""
        kinds = (
            (self.missing, "missing cells, filled with the mean of the training rows (texts: a category of their own)"),
            (self.unseen, "cells with a category that training never saw, read as none of the known ones"),
            (self.far, f"numbers more than {FARTHEST:,.0f} standard deviations from the mean, cut off there"),
        )
        return [f"{sum(c.values()):,} {words}: {_listed(c)}" for c, words in kinds if sum(c.values())]


def _listed(counts: Counter[str]) -> str:
    first = [f"{name} {n:,}" for name, n in counts.most_common(8) if n]
    return ", ".join(first) + (", …" if len(counts) > 8 else "")


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: one input, ``(x - mean) / scale``, 0 where missing. Example: :class:`Preprocessor`."""

    name: str
    mean: float
    scale: float

    @property
    def width(self) -> int:
        """Inputs."""
        return 1

    def encode(self, values: Array, out: Array, found: Found) -> None:
        """Write the inputs of these cells into ``out`` (n, 1)."""
        with np.errstate(all="ignore"):
            z = (
                (values / self.scale) - (self.mean / self.scale)
                if self.scale > 1e150
                else (values - self.mean) / self.scale
            )
        absent = np.isnan(values)
        found.missing[self.name] += int(absent.sum())
        far = np.abs(z) > FARTHEST
        found.far[self.name] += int(far.sum())
        out[:, 0] = np.clip(np.where(absent, 0.0, z), -FARTHEST, FARTHEST)

    def __str__(self) -> str:
        return f"number, mean {self.mean:.6g}, scale {self.scale:.6g}"


@dataclass(frozen=True)
class Categories:
    """A column of categories: an input for each, 1 for the cell's own. Example: :class:`Preprocessor`.

    ``missing``: another input for missing cells; ``rare``: one more for all categories not in the list. Without them such
    cells have zeros everywhere.
    """

    name: str
    categories: tuple[str, ...]
    missing: bool
    rare: bool

    @property
    def width(self) -> int:
        """Inputs."""
        return len(self.categories) + self.missing + self.rare

    def encode(self, values: list[str], out: Array, found: Found) -> None:
        """Write the inputs of these cells into ``out`` (n, width), which holds zeros."""
        count = len(self.categories)
        places = {name: k for k, name in enumerate(self.categories)}
        places[""] = count if self.missing else -2
        rest = count + self.missing if self.rare else -1
        found.missing[self.name] += values.count("")
        codes = np.array([places.get(text, rest) for text in values], np.int64)
        if not self.rare:
            found.unseen[self.name] += int((codes == -1).sum())
        rows = np.flatnonzero(codes >= 0)
        out[rows, codes[rows]] = 1.0

    def __str__(self) -> str:
        shown = ", ".join(repr(c) for c in self.categories[:8]) + (", …" if len(self.categories) > 8 else "")
        extra = " + missing" * self.missing + " + all others" * self.rare
        return f"{len(self.categories)} categories: {shown}{extra}"


@dataclass(frozen=True)
class Preprocessor:
    """The columns of a table that a network reads, in the order of its inputs, and how each becomes numbers.

    >>> import numpy as np
    >>> from tinytensor.tables import Batch, Found, Preprocessor
    >>> rows = Batch({"size": np.array([1.0, 3.0, np.nan]), "colour": ["red", "blue", "red"]}, [2, 3, 4])
    >>> before = Preprocessor.fit(rows, {"size": True, "colour": False})
    >>> print(*before.columns, sep="; ")
    number, mean 2, scale 1; 2 categories: 'blue', 'red'
    >>> found = Found()
    >>> before.encode(rows, found).tolist(), found.missing.total()
    ([[-1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], 1)
    """

    columns: tuple[Numbers | Categories, ...]

    @classmethod
    def fit(cls, batch: Batch, features: Mapping[str, bool], most: int = MOST_CATEGORIES) -> Preprocessor:
        """Means, scales and categories of training rows; columns in which they have one value are left out."""
        columns: list[Numbers | Categories] = []
        for name, numeric in features.items():
            values = batch.columns[name]
            if numeric:
                known = values[~np.isnan(values)]
                if len(known) and known.min() < known.max():
                    columns.append(Numbers(name, *moments(known)))
            else:
                counts = Counter(values)
                missing = counts.pop("", 0) > 0
                if len(counts) + missing > 1:
                    kept = tuple(sorted(text for text, _ in counts.most_common(most)))
                    columns.append(Categories(name, kept, missing, len(counts) > most))
        return cls(tuple(columns))

    @property
    def width(self) -> int:
        """Inputs of the network."""
        return sum(column.width for column in self.columns)

    @property
    def features(self) -> dict[str, bool]:
        """Name of each column to whether it holds numbers."""
        return {column.name: isinstance(column, Numbers) for column in self.columns}

    def encode(self, batch: Batch, found: Found) -> Array:
        """The inputs (n, width), float32; what was unusual is counted in ``found``."""
        out = np.zeros((len(batch), self.width), np.float32)
        place = 0
        for column in self.columns:
            column.encode(batch.columns[column.name], out[:, place : place + column.width], found)
            place += column.width
        return out

    def as_json(self) -> list[dict[str, Any]]:
        """What :meth:`from_json` reads."""
        return [{"kind": type(c).__name__.lower(), **asdict(c)} for c in self.columns]

    @classmethod
    def from_json(cls, data: Any) -> Preprocessor:
        """The inverse of :meth:`as_json`; ValueError for anything else."""
        if not isinstance(data, list) or not data:
            raise ValueError("its list of columns is not a list, or empty")
        columns = tuple(_column(entry) for entry in data)
        if len({column.name for column in columns}) < len(columns):
            raise ValueError("two of its columns have the same name")
        return cls(columns)


def moments(values: Array) -> tuple[float, float]:
    """Mean and standard deviation of at least two different numbers, however large; the second is above 0."""
    unit = float(np.abs(values).max())
    unit = 1.0 if 1e-100 < unit < 1e100 else unit
    scaled = values / unit
    mean, scale = float(scaled.mean()), float(scaled.std())
    if not scale > 0:  # different numbers whose squares vanish
        scale = float(np.ptp(scaled)) or 1.0
    with np.errstate(over="ignore"):
        return mean * unit, max(scale * unit, np.finfo(float).tiny)


def _column(entry: Any) -> Numbers | Categories:
    kinds = {"numbers": {"name", "mean", "scale"}, "categories": {"name", "categories", "missing", "rare"}}
    if not isinstance(entry, dict) or set(entry) - {"kind"} != kinds.get(str(entry.get("kind"))):
        raise ValueError(f"a column is described as {entry!r:.60}")
    name = entry["name"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"a column is called {name!r:.40}")
    if entry["kind"] == "numbers":
        mean, scale = entry["mean"], entry["scale"]
        if not all(type(v) in (int, float) and math.isfinite(v) for v in (mean, scale)) or not scale > 0:
            raise ValueError(f"column {name!r:.40} has mean {mean!r:.40} and scale {scale!r:.40}")
        return Numbers(name, float(mean), float(scale))
    texts = entry["categories"]
    if not isinstance(texts, list) or not all(isinstance(t, str) and t for t in texts) or len(set(texts)) < len(texts):
        raise ValueError(f"column {name!r:.40} has categories that are not different texts")
    if type(entry["missing"]) is not bool or type(entry["rare"]) is not bool:
        raise ValueError(f"column {name!r:.40}: missing and rare must be true or false")
    return Categories(name, tuple(texts), entry["missing"], entry["rare"])
