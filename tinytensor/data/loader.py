"""``DataLoader``: a dataset in batches, in an order that a seed and a number say, read ahead by threads or processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import count, islice, repeat
from typing import Any

import numpy as np

from tinytensor.data.datasets import IterableDataset, TensorDataset, batch_reader
from tinytensor.data.seeds import seed_of
from tinytensor.data.workers import END, Maker, Workers
from tinytensor.primitive import TensorBase

__all__ = ["DataLoader"]


class DataLoader:
    """Batches of a dataset, as often as it is iterated over: one epoch each time.   (``torch.utils.data.DataLoader``)

    ``dataset``: anything with ``len`` and ``dataset[i]`` (arrays and a ``TensorDataset`` are read by whole batches), a tuple of
    arrays, or a stream (:class:`IterableDataset`), which one thread reads.
    ``batch_size``: samples in a batch; the last may have fewer, or is left out with ``drop_last``. None: samples as they are.
    ``shuffle``: a new order in every epoch. It depends on a seed and the epoch's number alone, so it can be taken up anywhere.
    ``sampler``, ``batch_sampler``: an iterable of sample numbers, or of lists of them, in place of ``shuffle``.
    ``generator``: where that seed comes from: a :func:`tinytensor.rng` or a seed itself; else the shared generator
    (:func:`tinytensor.manual_seed`).
    ``num_workers``: threads that read and prepare ``prefetch_factor`` batches each ahead of time; the batches and their order
    do not depend on it. They are processes if ``multiprocessing_context`` is "spawn", "forkserver" or "fork": for samples
    made by Python code, of which threads run one at a time. ``worker_init_fn(number)`` is called when one starts, ``timeout``
    is how many seconds a batch may take (0: any).
    ``collate_fn``: makes a batch of a list of samples; :func:`default_collate` if not given.
    ``transform``: what is done with each batch, ``transform(batch, rng)``; ``rng`` is a NumPy generator that belongs to this
    batch of this epoch, so that random changes, too, can be repeated.
    ``pin_memory``, ``persistent_workers``: accepted, without effect: there is no second memory, and workers live for an epoch.

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
        self, dataset: Any, batch_size: int | None = 1, shuffle: bool | None = None, sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None, num_workers: int = 0, collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False, drop_last: bool = False, timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None, multiprocessing_context: Any = None, generator: Any = None, *,
        prefetch_factor: int | None = None, persistent_workers: bool = False,
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
    ) -> None:  # fmt: skip
        self.dataset = _dataset(dataset)
        self.streams = not hasattr(self.dataset, "__getitem__") or isinstance(self.dataset, IterableDataset)
        if batch_size is not None:
            _check_number("batch_size", batch_size, 1)
        _check_number("num_workers", num_workers, 0)
        _check_number("prefetch_factor", prefetch_factor := 2 if prefetch_factor is None else prefetch_factor, 1)
        if not timeout >= 0:
            raise ValueError(f"DataLoader: timeout must not be negative, got {timeout}")
        self.batch_size, self.shuffle, self.drop_last = batch_size, bool(shuffle), bool(drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self._check_choices(multiprocessing_context)
        self.num_workers, self.prefetch_factor = num_workers, prefetch_factor
        self.collate_fn, self.transform = collate_fn, transform
        self.worker_init_fn, self.multiprocessing_context, self.timeout = (
            worker_init_fn,
            multiprocessing_context,
            timeout,
        )
        self.seed = seed_of("DataLoader", generator)
        self._epoch, self._batch = 0, 0
        self._order: Any = None  # what a sampler gave for this epoch
        self._running: object | None = None  # the iteration that moves the position
        self._resumes = False

    def _check_choices(self, context: Any) -> None:
        """Refuse arguments of which one would be ignored."""
        names = [name for name in ("sampler", "batch_sampler") if getattr(self, name) is not None]
        if self.streams and (names or self.shuffle or context is not None):
            what = [*names, *["shuffle"] * self.shuffle, *["multiprocessing_context"] * (context is not None)][0]
            raise ValueError(f"DataLoader: {what} needs samples by number; {type(self.dataset).__name__} is a stream")
        if len(names) + self.shuffle > 1:
            both = " and ".join([*names, *["shuffle"] * self.shuffle][:2])
            raise ValueError(f"DataLoader: {both} exclude each other: each says in which order samples come")
        if self.batch_sampler is not None and (self.batch_size != 1 or self.drop_last):
            raise ValueError(
                "DataLoader: batch_sampler excludes batch_size and drop_last: it says which batches there are"
            )
        if self.batch_size is None and self.drop_last:
            raise ValueError("DataLoader: batch_size=None excludes drop_last: there are no batches")

    # ---------------------------------------------------------------------------------------------------- iteration

    def __len__(self) -> int:
        """Batches in an epoch; TypeError for streams, and samplers, without a length."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # type: ignore[arg-type]
        return self._batches(len(self.dataset if self.sampler is None else self.sampler))  # type: ignore[arg-type]

    def _batches(self, samples: int) -> int:
        size = self.batch_size or 1
        return samples // size if self.drop_last else math.ceil(samples / size)

    def __iter__(self) -> Iterator[Any]:
        if self._resumes:
            self._resumes = False
        else:
            if self._batch or self._running is not None:  # the one before was not finished
                self._epoch, self._batch = self._epoch + 1, 0
            self._order = self._sampled()
        me = self._running = object()
        return self._iterate(me, self._epoch, self._made(self._order, self._epoch, self._batch), self._batch)

    def _iterate(self, me: object, epoch: int, made: Any, first: int) -> Iterator[Any]:
        with closing(made):
            for k, batch in enumerate(made, first):
                if self._running is me:
                    self._epoch, self._batch = epoch, k + 1
                yield batch
        if self._running is me:
            self._epoch, self._batch, self._order, self._running = epoch + 1, 0, None, None

    def _made(self, order: Any, epoch: int, first: int) -> Iterator[Any]:
        """The batches of an epoch from number ``first`` on."""
        tasks: Iterator[tuple[Any, ...]]
        make: Any = Maker(self.dataset, self.collate_fn, self.transform, self.seed, self._single)
        if self.streams:
            stream = self._stream(make, epoch, first)
            make, tasks = (lambda: next(stream, END)), repeat(())
        else:
            tasks = ((rows, epoch, k) for k, rows in enumerate(self._rows(order, epoch, first), first))
        workers = Workers(
            1 if self.streams else self.num_workers, self.prefetch_factor, self.worker_init_fn,
            self.multiprocessing_context, self.timeout,
        )  # fmt: skip
        for batch in workers.run(make, tasks) if self.num_workers else (make(*task) for task in tasks):
            if batch is END:
                return
            yield batch

    @property
    def _single(self) -> bool:
        return self.batch_size is None and self.batch_sampler is None

    @property
    def _source(self) -> Any:
        return self.batch_sampler if self.sampler is None else self.sampler

    def _sampled(self) -> Any:
        """What the sampler says for this epoch: an array, or a list; None without a sampler."""
        sampler = self._source
        if sampler is None:
            return None
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(self._epoch)
        if self.batch_sampler is not None:
            return [[_plain(i) for i in batch] for batch in sampler]
        numbers = [_plain(i) for i in sampler]
        return np.array(numbers, np.int64) if all(type(i) is int for i in numbers) else numbers

    def _rows(self, order: Any, epoch: int, first: int) -> Iterator[Any]:
        """What each batch is made of, from number ``first`` on."""
        if self.batch_sampler is not None:
            return islice(order, first, None)
        if order is None and self.shuffle:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.dataset))
        n = len(self.dataset) if order is None else len(order)
        if self.batch_size is None:
            return iter(range(first, n)) if order is None else map(_plain, islice(order, first, None))
        parts = (slice(k * self.batch_size, min((k + 1) * self.batch_size, n)) for k in range(first, self._batches(n)))
        return parts if order is None else (order[part] for part in parts)

    def _stream(self, make: Maker, epoch: int, first: int) -> Iterator[Any]:
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(epoch)
        samples = iter(self.dataset)
        size = self.batch_size or 1
        for _ in islice(samples, first * size):  # what was handed out before
            pass
        for k in count(first):
            part = list(islice(samples, size))
            if not part or (self.drop_last and len(part) < size):
                return
            yield make.of_samples(part[0] if self._single else part, epoch, k)

    # ---------------------------------------------------------------------------------------------------- position

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is: its seed, the epoch, and how many of its batches were handed out; with a sampler, its order."""
        return {
            "seed": self.seed, "epoch": self._epoch, "batch": self._batch,
            "samples": None if self.streams else len(self.dataset), "batch_size": self.batch_size, "shuffle": self.shuffle,
            "drop_last": self.drop_last, "order": self._order,
            "sampler": self._source.state_dict() if hasattr(self._source, "state_dict") else None,
        }  # fmt: skip

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go where :meth:`state_dict` was taken; the next iteration begins there.

        Raises ValueError, with nothing changed, if the state is that of a loader that gives other batches.
        """
        own = self.state_dict()
        if not isinstance(state_dict, Mapping) or set(state_dict) != set(own):
            raise ValueError(f"DataLoader: expected a state with {', '.join(own)}; got {str(state_dict)[:60]}")
        for name in ("samples", "batch_size", "shuffle", "drop_last"):
            if type(state_dict[name]) is not type(own[name]) or state_dict[name] != own[name]:
                raise ValueError(
                    f"DataLoader: the state is of a loader with {name} {str(state_dict[name])[:60]}, this one has {own[name]}"
                )
        numbers = [state_dict[name] for name in ("seed", "epoch", "batch")]
        if not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError(
                f"DataLoader: the state says seed, epoch, batch {str(numbers)[:60]}, expected whole numbers"
            )
        self._check_order(state_dict["order"], state_dict["batch"])
        if hasattr(self._source, "load_state_dict"):
            self._source.load_state_dict(state_dict["sampler"])
        self.seed, self._epoch, self._batch = numbers
        self._order = state_dict["order"]
        self._resumes = self._order is not None or self._source is None  # else its sampler was not asked yet
        self._running = None

    def _check_order(self, order: Any, batch: int) -> None:
        """Refuse an order that this loader's sampler cannot have given, and a place behind its end."""
        if self.streams and order is None:
            return
        if order is None:
            batches = len(self) if self._source is None else 0  # its sampler was not asked yet: the epoch has not begun
        elif self.batch_sampler is not None and isinstance(order, list) and all(isinstance(b, list) for b in order):
            batches = len(order)
        elif self.sampler is not None and isinstance(order, (list, np.ndarray)) and np.ndim(order) == 1:
            batches = self._batches(len(order))
        else:
            raise ValueError("DataLoader: the state is of a loader with another sampler")
        if isinstance(order, np.ndarray) and order.size and batch_reader(self.dataset) is not None:
            n = len(self.dataset)
            if order.dtype.kind not in "iu" or not (-n <= order.min() and order.max() < n):
                raise ValueError(f"DataLoader: the state's order has samples that are not in 0 … {n - 1}")
        if batch > batches:
            raise ValueError(f"DataLoader: the state says batch {batch}; an epoch has {batches} batches")


def _dataset(dataset: Any) -> Any:
    """What has samples by number, or is a stream of them; arrays are put into a dataset."""
    if isinstance(dataset, tuple) and dataset and all(hasattr(a, "__array__") for a in dataset):
        return TensorDataset(*dataset)
    if isinstance(dataset, TensorBase):
        return dataset
    if hasattr(dataset, "__array__"):  # also tables of pandas, whose [i] is a column
        return np.asanyarray(dataset)
    if isinstance(dataset, Mapping):
        raise TypeError(
            "DataLoader: a dict is no dataset; give a tuple of its arrays, or a list of samples that are dicts"
        )
    if isinstance(dataset, Iterator):
        raise TypeError(
            "DataLoader: an iterator is empty after one epoch; give an object whose __iter__ makes a new one"
        )
    if isinstance(dataset, str) or not (
        hasattr(dataset, "__iter__") or (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__"))
    ):
        kind = type(dataset).__name__
        raise TypeError(f"DataLoader: a dataset has len() and samples by number, or is iterated over; got {kind}")
    return dataset


def _plain(number: Any) -> Any:
    """A sample's number as Python has it: samplers give NumPy's and others', too."""
    return int(number) if hasattr(number, "__index__") else number


def _check_number(name: str, value: Any, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"DataLoader: {name} must be a whole number from {least}, got {value!r}")
