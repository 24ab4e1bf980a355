"""Datasets: anything with a length and samples by number, or a stream of samples; those made of arrays, and parts of others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.data.seeds import numpy_generator
from tinytensor.primitive import TensorBase
from tinytensor.tensor import Tensor, tensor

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["ConcatDataset", "Dataset", "IterableDataset", "Subset", "TensorDataset", "batch_reader", "random_split"]


class Dataset:
    """The base of datasets of one's own: define ``__len__`` and ``__getitem__``.   (``torch.utils.data.Dataset``)

    Deriving from it is not needed. ``a + b`` is the one after the other.

    >>> import tinytensor as tt
    >>> class Squares(tt.data.Dataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, i):
    ...         return float(i), float(i) ** 2
    >>> [y.tolist() for x, y in tt.data.DataLoader(Squares() + Squares(), batch_size=4)]
    [[0.0, 1.0, 4.0, 0.0], [1.0, 4.0]]
    """

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no samples by number; define __getitem__(self, index)")

    def __add__(self, other: Any) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """The base of datasets that are streams: define ``__iter__``.   (``torch.utils.data.IterableDataset``)

    Anything that gives its samples anew each time it is iterated over will do. If it has ``set_epoch``, it is told the number
    of the epoch first, so that the order of every epoch can be found again.

    >>> import tinytensor as tt
    >>> class Lines(tt.data.IterableDataset):
    ...     def __iter__(self):
    ...         yield from (1.0, 2.0, 3.0)
    >>> [x.tolist() for x in tt.data.DataLoader(Lines(), batch_size=2)]
    [[1.0, 2.0], [3.0]]
    """

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} is no stream of samples yet; define __iter__(self)")


class TensorDataset(Dataset):
    """Arrays of equal length: sample i is the i-th row of each.   (``torch.utils.data.TensorDataset``)

    ``arrays``: ndarrays or tensors, which are neither copied nor read: memory-mapped ones (:func:`load_npy`) may be larger
    than memory. Arrays give arrays, tensors tensors.

    >>> import numpy as np, tinytensor as tt
    >>> samples = tt.data.TensorDataset(np.eye(3), np.arange(3))
    >>> len(samples), samples[1]
    (3, (array([0., 1., 0.]), np.int64(1)))
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise TypeError("TensorDataset: expected at least one array, got none")
        self.arrays: tuple[Any, ...] = tuple(
            a if isinstance(a, (TensorBase, np.ndarray)) else np.asarray(a) for a in arrays
        )
        lengths = [len(a) if a.ndim else None for a in self.arrays]
        if None in lengths or len(set(lengths)) > 1:
            shapes = ", ".join(str(a.shape) for a in self.arrays)
            raise ValueError(f"TensorDataset: expected arrays with the same number of rows, got shapes {shapes}")

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(a[index] for a in self.arrays)

    def batch(self, rows: Array | slice) -> tuple[Any, ...]:
        """Several rows of each array at once, in memory of their own; what :class:`DataLoader` asks for."""
        return tuple(rows_of(a, rows) for a in self.arrays)

    def __repr__(self) -> str:
        what = ", ".join(f"{a.dtype} {a.shape}" for a in self.arrays)
        return f"TensorDataset({what})"


def rows_of(array: Any, rows: Array | slice) -> Any:
    """Rows of an array or a tensor, in memory of their own."""
    if isinstance(array, Tensor):
        return array[rows] if array.requires_grad else tensor(rows_of(array._data, rows))
    if isinstance(rows, slice):
        return np.array(array[rows], subok=False)
    if isinstance(array, np.memmap):  # from front to back: a disk is read in order
        order = np.argsort(rows, kind="stable")
        out = np.empty((len(rows), *array.shape[1:]), array.dtype)
        out[order] = array[rows[order]]
        return out
    return array.take(rows, 0)


class Subset(Dataset):
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
            wrong = self.indices.max() if self.indices.max() >= n else self.indices.min()
            raise IndexError(f"Subset: sample numbers must lie in 0 … {n - 1}, got {wrong}")
        self.indices = self.indices.astype(np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def batch(self, rows: Array | slice) -> Any:
        """Several samples at once, of a dataset that has ``batch``."""
        return self.dataset.batch(self.indices[rows])


class ConcatDataset(Dataset):
    """Datasets one after the other.   (``torch.utils.data.ConcatDataset``)

    >>> import tinytensor as tt
    >>> both = tt.data.ConcatDataset([["a", "b"], ["c"]])
    >>> len(both), both[2], both[-3]
    (3, 'c', 'a')
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one dataset, got none")
        if streams := [type(d).__name__ for d in self.datasets if not hasattr(d, "__len__")]:
            raise TypeError(f"ConcatDataset: expected datasets with a length, got {streams[0]}")
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: there is no sample {index}, there are {len(self)}")
        index %= len(self)
        k = int(np.searchsorted(self.cumulative_sizes, index, "right"))
        return self.datasets[k][index - (self.cumulative_sizes[k - 1] if k else 0)]


def batch_reader(dataset: Any) -> Callable[[Any], Any] | None:
    """How many samples are read at once, if that gives what ``dataset[i]`` gives; None if each has to be asked for.

    A class that changes ``__getitem__`` and not ``batch`` (to change samples, say) is asked for each.
    """
    if isinstance(dataset, (np.ndarray, TensorBase)):
        return lambda rows: rows_of(dataset, rows)
    if not isinstance(dataset, (TensorDataset, Subset)):
        return None
    kind = type(dataset)
    names = [next(c for c in kind.__mro__ if name in vars(c)) for name in ("__getitem__", "batch")]
    if not issubclass(names[1], names[0]) or (isinstance(dataset, Subset) and batch_reader(dataset.dataset) is None):
        return None
    return dataset.batch


def random_split(dataset: Any, lengths: Sequence[float], generator: Any = None) -> list[Subset]:
    """Parts of a dataset, drawn at random without overlap.   (``torch.utils.data.random_split``)

    ``lengths``: numbers of samples, or shares that sum to 1 (what rounding leaves over goes to the first parts).
    ``generator``: as in :class:`DataLoader`.

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
    order = numpy_generator("random_split", generator).permutation(n)
    ends = np.cumsum(counts).astype(int)
    return [Subset(dataset, order[end - int(count) : end]) for end, count in zip(ends, counts, strict=True)]
