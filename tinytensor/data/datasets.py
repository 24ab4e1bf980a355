"""Datasets: anything with a length and samples by number; here those made of arrays, and parts of others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.creation import default_rng
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.creation import Generator
    from tinytensor.typing import Array

__all__ = ["Subset", "TensorDataset", "random_split"]


class TensorDataset:
    """Arrays of equal length: sample i is the i-th row of each.   (``torch.utils.data.TensorDataset``)

    ``arrays``: ndarrays or tensors, which are neither copied nor read: memory-mapped ones (:func:`load_npy`) may be larger
    than memory.

    >>> import numpy as np, tinytensor as tt
    >>> samples = tt.data.TensorDataset(np.eye(3), np.arange(3))
    >>> len(samples), samples[1]
    (3, (array([0., 1., 0.]), np.int64(1)))
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise TypeError("TensorDataset: expected at least one array, got none")
        self.arrays: tuple[Array, ...] = tuple(_array(a) for a in arrays)
        lengths = [len(a) if a.ndim else None for a in self.arrays]
        if None in lengths or len(set(lengths)) > 1:
            shapes = ", ".join(str(a.shape) for a in self.arrays)
            raise ValueError(f"TensorDataset: expected arrays with the same number of rows, got shapes {shapes}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(a[index] for a in self.arrays)

    def batch(self, rows: Array | slice) -> tuple[Array, ...]:
        """Several rows of each array at once, in memory of their own; what :class:`DataLoader` asks for."""
        return tuple(_rows(a, rows) for a in self.arrays)

    def __repr__(self) -> str:
        what = ", ".join(f"{a.dtype} {a.shape}" for a in self.arrays)
        return f"TensorDataset({what})"


def _array(value: Any) -> Array:
    if isinstance(value, TensorBase):
        return value._data
    return value if isinstance(value, np.ndarray) else np.asarray(value)


def _rows(array: Array, rows: Array | slice) -> Array:
    if isinstance(array, np.memmap) and not isinstance(rows, slice):  # from front to back: a disk is read in order
        order = np.argsort(rows, kind="stable")
        out = np.empty((len(rows), *array.shape[1:]), array.dtype)
        out[order] = array[rows[order]]
        return out
    if isinstance(rows, slice):
        return np.array(array[rows], subok=False)
    return array.take(rows, 0)


class Subset:
    """Some samples of a dataset, in the order of ``indices``.   (``torch.utils.data.Subset``)

    >>> import numpy as np, tinytensor as tt
    >>> part = tt.data.Subset(tt.data.TensorDataset(np.arange(5) * 10), [3, 1])
    >>> [int(x) for x, in part]
    [30, 10]
    """

    def __init__(self, dataset: Any, indices: Sequence[int] | Array) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices)
        n = len(dataset)
        if self.indices.ndim != 1 or (self.indices.size and self.indices.dtype.kind not in "iu"):
            raise ValueError(
                f"Subset: expected a list of sample numbers, got {self.indices.dtype} {self.indices.shape}"
            )
        if self.indices.size and not (-n <= self.indices.min() and self.indices.max() < n):
            raise IndexError(f"Subset: sample numbers must lie in 0 … {n - 1}, got up to {self.indices.max()}")
        self.indices = self.indices.astype(np.int64)
        if hasattr(dataset, "batch"):
            self.batch = lambda rows: dataset.batch(self.indices[rows])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]


def random_split(dataset: Any, lengths: Sequence[float], generator: Generator | None = None) -> list[Subset]:
    """Parts of a dataset, drawn at random without overlap.   (``torch.utils.data.random_split``)

    ``lengths``: numbers of samples, or shares that sum to 1 (what rounding leaves over goes to the first parts).

    >>> import numpy as np, tinytensor as tt
    >>> parts = tt.data.random_split(tt.data.TensorDataset(np.arange(10)), [0.8, 0.2], tt.rng(0))
    >>> [len(part) for part in parts]
    [8, 2]
    """
    n, counts = len(dataset), list(lengths)
    if any(not c >= 0 for c in counts):
        raise ValueError(f"random_split: lengths must not be negative, got {counts}")
    if any(isinstance(c, float) for c in counts) and math.isclose(sum(counts), 1) and sum(counts) <= 1 + 1e-9:
        counts = [math.floor(n * share) for share in counts]
        for k in range(n - int(sum(counts))):
            counts[k % len(counts)] += 1
    if sum(counts) != n or any(c != int(c) for c in counts):
        raise ValueError(f"random_split: lengths must sum to {n} (or shares to 1), got {list(lengths)}")
    order = (generator or default_rng()).numpy.permutation(n)
    ends = np.cumsum(counts).astype(int)
    return [Subset(dataset, order[end - int(count) : end]) for end, count in zip(ends, counts, strict=True)]
