"""Batches made ahead of time, in their order, by threads or by processes."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytensor.data.collate import default_collate
from tinytensor.data.datasets import batch_reader

__all__ = ["END", "Maker", "Workers"]

#: What a stream gives instead of a batch when it is over.
END = object()


@dataclass(frozen=True)
class Maker:
    """Makes a batch of sample numbers: all that a worker has to know."""

    dataset: Any
    collate_fn: Callable[[Any], Any] | None
    transform: Callable[[Any, np.random.Generator], Any] | None
    seed: int
    single: bool  # batches are samples as they are (batch_size=None)

    def __call__(self, rows: Any, epoch: int, k: int) -> Any:
        """Batch ``k`` of an epoch: the samples ``rows`` (an array, a list, a slice; one number if single)."""
        read = None if self.single or self.collate_fn is not None else batch_reader(self.dataset)
        if read is not None and not isinstance(rows, list):
            return self.changed(read(rows), epoch, k)
        if self.single:
            return self.of_samples(self.dataset[rows], epoch, k)
        numbers = range(rows.start, rows.stop) if isinstance(rows, slice) else rows
        numbers = numbers.tolist() if isinstance(numbers, np.ndarray) else numbers
        return self.of_samples([self.dataset[i] for i in numbers], epoch, k)

    def of_samples(self, samples: Any, epoch: int, k: int) -> Any:
        """A batch of samples that were read."""
        collate = self.collate_fn or ((lambda sample: sample) if self.single else default_collate)
        return self.changed(collate(samples), epoch, k)

    def changed(self, batch: Any, epoch: int, k: int) -> Any:
        """The batch after ``transform``, with random numbers of its own."""
        return (
            batch if self.transform is None else self.transform(batch, np.random.default_rng((self.seed, epoch, k + 1)))
        )


@dataclass(frozen=True)
class Workers:
    """How batches are made ahead: ``count`` threads, or processes if there is a ``context``, ``ahead`` batches each."""

    count: int
    ahead: int
    init: Callable[[int], Any] | None
    context: Any
    timeout: float

    def run(self, make: Callable[..., Any], tasks: Iterator[tuple[Any, ...]]) -> Iterator[Any]:
        """``make(*task)`` for each task, in their order; an error comes where its batch would have come."""
        pool, do = self._pool(make)
        waiting: deque[Future[Any]] = deque()
        late = False
        try:
            for task in tasks:
                waiting.append(_submitted(pool, do, task))
                if len(waiting) > self.count * self.ahead:
                    yield waiting.popleft().result(self.timeout or None)
            while waiting:
                yield waiting.popleft().result(self.timeout or None)
        except TimeoutError as error:
            late = bool(self.timeout)
            raise TimeoutError(f"DataLoader: no batch came within {self.timeout} seconds") if late else error from None
        finally:
            pool.shutdown(wait=not late, cancel_futures=True)

    def _pool(self, make: Callable[..., Any]) -> tuple[Executor, Callable[..., Any]]:
        if self.context is None:
            numbers, init = itertools.count(), self.init
            start = None if init is None else (lambda: init(next(numbers)))
            return ThreadPoolExecutor(self.count, "DataLoader", start), make
        context = multiprocessing.get_context(self.context) if isinstance(self.context, str) else self.context
        begin = (make, self.init, context.Value("i", 0))
        return ProcessPoolExecutor(self.count, context, _begin, begin), _make


def _submitted(pool: Executor, do: Callable[..., Any], task: tuple[Any, ...]) -> Future[Any]:
    try:
        return pool.submit(do, *task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(
            f"DataLoader: what worker processes get (dataset, collate_fn, transform, worker_init_fn) must be picklable: {error}; "
            "define it at the top of a module, or use threads (multiprocessing_context=None)"
        ) from None


_make_here: Any = None  # in a worker process: what makes batches


def _begin(make: Any, init: Callable[[int], Any] | None, started: Any) -> None:
    """The first thing a worker process does."""
    global _make_here
    _make_here = make
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    if init is not None:
        init(number)


def _make(*task: Any) -> Any:
    return _make_here(*task)
