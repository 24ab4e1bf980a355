"""``DataLoader``: a dataset in batches, in an order that a seed and a number say, read ahead by threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.creation import Generator, default_rng
from tinytensor.data.datasets import TensorDataset
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["DataLoader", "default_collate"]


class DataLoader:
    """Batches of a dataset, as often as it is iterated over: one epoch each time.   (``torch.utils.data.DataLoader``)

    ``dataset``: anything with ``len`` and ``dataset[i]`` (a ``TensorDataset`` is read by whole batches), or a tuple of arrays.
    ``batch_size``: samples in a batch; the last may have fewer, or is left out with ``drop_last``.
    ``shuffle``: a new order in every epoch. It depends on a seed and the epoch's number alone, so it can be taken up anywhere.
    ``generator``: where that seed comes from: a :func:`tinytensor.rng` or a seed itself; else the shared generator
    (:func:`tinytensor.manual_seed`).
    ``num_workers``: threads that read and prepare ``prefetch_factor`` batches each ahead of time; the batches and their order
    do not depend on it.
    ``collate_fn``: makes a batch of a list of samples; :func:`default_collate` if not given.
    ``transform``: what is done with each batch, ``transform(batch, rng)``; ``rng`` is a NumPy generator that belongs to this
    batch of this epoch, so that random changes, too, can be repeated.

    ``state_dict()`` says where the loader is, in the middle of an epoch, too; after ``load_state_dict`` the next iteration
    gives what was left of it.

    >>> import numpy as np, tinytensor as tt
    >>> loader = tt.data.DataLoader(tt.data.TensorDataset(np.arange(5)), batch_size=2, shuffle=True, generator=0)
    >>> [x.tolist() for x, in loader]
    [[2, 4], [3, 0], [1]]
    >>> steps = iter(loader)
    >>> first, state = next(steps), loader.state_dict()
    >>> again = tt.data.DataLoader(tt.data.TensorDataset(np.arange(5)), batch_size=2, shuffle=True)
    >>> again.load_state_dict(state)
    >>> [x.tolist() for x, in steps] == [x.tolist() for x, in again]
    True
    """

    def __init__(
        self, dataset: Any, batch_size: int = 1, shuffle: bool = False, *, num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None, drop_last: bool = False,
        generator: Generator | np.random.Generator | int | None = None, prefetch_factor: int = 2,
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
    ) -> None:  # fmt: skip
        if (
            isinstance(dataset, (tuple, list))
            and dataset
            and all(isinstance(a, (np.ndarray, TensorBase)) for a in dataset)
        ):
            dataset = TensorDataset(*dataset)
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(f"DataLoader: a dataset has len() and samples by number; got {type(dataset).__name__}")
        _check_number("batch_size", batch_size, 1)
        _check_number("num_workers", num_workers, 0)
        _check_number("prefetch_factor", prefetch_factor, 1)
        self.dataset, self.batch_size, self.shuffle, self.drop_last = (
            dataset,
            int(batch_size),
            bool(shuffle),
            bool(drop_last),
        )
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor
        self.collate_fn, self.transform = collate_fn, transform
        self.seed = _seed(generator)
        self._epoch, self._batch = 0, 0
        self._running: object | None = None  # the iteration that moves the position
        self._resumes = False

    # ---------------------------------------------------------------------------------------------------- iteration

    def __len__(self) -> int:
        """Batches in an epoch."""
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else math.ceil(n / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self._resumes:
            self._resumes = False
        elif self._batch:  # the one before was not finished
            self._epoch, self._batch = self._epoch + 1, 0
        me = self._running = object()
        return self._iterate(me, self._epoch, self._batch)

    def _iterate(self, me: object, epoch: int, first: int) -> Iterator[Any]:
        order = self._order(epoch)
        numbers = range(first, len(self))
        made = (
            self._ahead(order, epoch, numbers) if self.num_workers else (self._made(order, epoch, k) for k in numbers)
        )
        try:
            for k, batch in zip(numbers, made, strict=True):
                if self._running is me:
                    self._epoch, self._batch = epoch, k + 1
                yield batch
        finally:
            if self.num_workers:
                made.close()
        if self._running is me:
            self._epoch, self._batch, self._running = epoch + 1, 0, None

    def _ahead(self, order: Array | None, epoch: int, numbers: range) -> Any:
        """Batches in their order, made by threads; an error comes where its batch would have come."""
        pool = ThreadPoolExecutor(self.num_workers, "DataLoader")
        waiting: deque[Future[Any]] = deque()
        try:
            for k in numbers:
                waiting.append(pool.submit(self._made, order, epoch, k))
                if len(waiting) > self.num_workers * self.prefetch_factor:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _order(self, epoch: int) -> Array | None:
        if not self.shuffle:
            return None
        return np.random.default_rng((self.seed, epoch)).permutation(len(self.dataset))

    def _made(self, order: Array | None, epoch: int, k: int) -> Any:
        start, end = k * self.batch_size, min((k + 1) * self.batch_size, len(self.dataset))
        if self.collate_fn is None and hasattr(self.dataset, "batch"):
            batch = self.dataset.batch(slice(start, end) if order is None else order[start:end])
        else:
            rows = range(start, end) if order is None else order[start:end].tolist()
            batch = (self.collate_fn or default_collate)([self.dataset[i] for i in rows])
        if self.transform is not None:
            batch = self.transform(batch, np.random.default_rng((self.seed, epoch, k + 1)))
        return batch

    # ---------------------------------------------------------------------------------------------------- position

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is: its seed, the epoch, and how many of its batches were handed out."""
        return {
            "seed": self.seed, "epoch": self._epoch, "batch": self._batch, "samples": len(self.dataset),
            "batch_size": self.batch_size, "shuffle": self.shuffle, "drop_last": self.drop_last,
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go where :meth:`state_dict` was taken; the next iteration begins there.

        Raises ValueError, with nothing changed, if the state is that of a loader that gives other batches.
        """
        own = self.state_dict()
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(own):
            raise ValueError(f"DataLoader: expected a state with {', '.join(own)}; got {str(state_dict)[:60]}")
        for name in ("samples", "batch_size", "shuffle", "drop_last"):
            if state_dict[name] != own[name]:
                raise ValueError(
                    f"DataLoader: the state is of a loader with {name} {state_dict[name]}, this one has {own[name]}"
                )
        numbers = [state_dict[name] for name in ("seed", "epoch", "batch")]
        if not all(type(n) is int and n >= 0 for n in numbers) or numbers[2] > len(self):
            raise ValueError(
                f"DataLoader: the state says seed, epoch, batch {numbers}; an epoch has {len(self)} batches"
            )
        self.seed, self._epoch, self._batch = numbers
        self._resumes, self._running = True, None


def _check_number(name: str, value: Any, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"DataLoader: {name} must be a whole number from {least}, got {value!r}")


def _seed(generator: Any) -> int:
    if isinstance(generator, (int, np.integer)) and not isinstance(generator, bool):
        if generator < 0:
            raise ValueError(f"DataLoader: a seed must not be negative, got {generator}")
        return int(generator)
    source = default_rng() if generator is None else generator
    numpy = getattr(source, "numpy", source)
    if not isinstance(numpy, np.random.Generator):
        raise TypeError(f"DataLoader: generator must be tt.rng(seed) or a seed, got {type(generator).__name__}")
    return int(numpy.integers(2**62))


def default_collate(samples: list[Any]) -> Any:
    """A batch of samples: numbers and arrays are stacked, tuples and dicts entry by entry; words stay a list.

    Raises ValueError for arrays of different shapes.   (``torch.utils.data.default_collate``)

    >>> import tinytensor as tt
    >>> tt.data.default_collate([(1.0, 0), (2.0, 1)])
    (array([1., 2.]), array([0, 1]))
    """
    first = samples[0]
    kinds = sorted({type(s).__name__ for s in samples})
    if isinstance(first, (tuple, list, Mapping, str)) and len(kinds) > 1:
        raise TypeError(f"default_collate: the samples of a batch are of one kind; got {', '.join(kinds)}")
    if isinstance(first, Mapping):
        if any(set(s) != set(first) for s in samples):
            raise ValueError(
                f"default_collate: the samples of a batch have the same names; the first has {sorted(first)}"
            )
        return {key: default_collate([s[key] for s in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        if len(lengths := {len(s) for s in samples}) > 1:
            raise ValueError(f"default_collate: the samples of a batch have equal lengths; got {sorted(lengths)}")
        parts = [default_collate(list(part)) for part in zip(*samples, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if isinstance(first, (str, bytes)):
        return samples
    return _stacked([s._data if isinstance(s, TensorBase) else np.asarray(s) for s in samples])


def _stacked(arrays: list[Array]) -> Array:
    if len(shapes := {a.shape for a in arrays}) > 1:
        raise ValueError(
            f"default_collate: samples of shapes {sorted(shapes)[:4]} do not stack; give the loader a collate_fn"
        )
    if arrays[0].dtype.kind not in "biufc":
        raise TypeError(f"default_collate: expected numbers, arrays, tuples or dicts of them; got {arrays[0].dtype}")
    return np.stack(arrays)
