"""Blocks of arrays, divided between threads: NumPy lets go of the interpreter while it computes."""

from __future__ import annotations

import contextvars
import math
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np

__all__ = ["Divided", "Scratch", "Spare", "thread_count", "threads"]

#: Elements times calls that are worth the 30 μs of waking a thread; and where the threads of BLAS, which look for work for some
#: milliseconds after a product, have the other cores.
_WORTH, _WORTH_BESIDE_BLAS = 500_000, 16_000_000
_MOST = 8  # between calls of NumPy, one thread runs at a time


def thread_count() -> int:
    """How many threads work on blocks: a core each, or ``OMP_NUM_THREADS`` if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(asked) if asked.isdigit() else cores, _MOST))


def threads(blocks: int, effort: int, beside_blas: bool) -> int:
    """How many threads share so many blocks; ``effort``: elements times calls; ``beside_blas``: between large products."""
    return min(thread_count(), blocks) if effort >= (_WORTH_BESIDE_BLAS if beside_blas else _WORTH) else 1


class _Job:
    """A part of the work, for another thread."""

    def __init__(self, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.work, self.args = work, args
        self.context = contextvars.copy_context()  # np.errstate is one
        self.error: BaseException | None = None
        self.done = threading.Lock()
        self.done.acquire()

    def run(self) -> None:
        """Do it, and keep what went wrong."""
        try:
            self.context.run(self.work, *self.args)
        except BaseException as error:
            self.error = error
        finally:
            self.done.release()


_queue: SimpleQueue[_Job] = SimpleQueue()
_running = 0


def _serve(queue: SimpleQueue[_Job]) -> None:
    while True:
        queue.get().run()


def _put(job: _Job, threads: int) -> None:
    global _running
    while _running < threads:
        _running += 1
        threading.Thread(target=_serve, args=(_queue,), name="tinytensor blocks", daemon=True).start()
    _queue.put(job)


def _forget() -> None:
    global _queue, _running
    _queue, _running = SimpleQueue(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # threads do not live on in it


class Divided:
    """``work(blocks, *buffers, *args)`` over the starts of all blocks, in as many threads as it is worth.

    An error in one thread is raised when the others are done. With ``np.errstate(all='warn')`` NumPy may warn once per block.
    """

    def __init__(
        self, work: Callable[..., Any], starts: range, buffers: list[tuple[Any, Any]], threads: int, scratch: Scratch
    ) -> None:
        self.work, self.starts = work, starts
        self.buffers = [[scratch(t, k, *of) for k, of in enumerate(buffers)] for t in range(threads)]

    def __call__(self, *args: Any) -> None:
        mine, *others = self.buffers
        left: deque[int | None] = deque(self.starts)
        left.extend([None] * len(self.buffers))
        jobs = [_Job(self.work, (iter(left.popleft, None), *theirs, *args)) for theirs in others]
        for job in jobs:
            _put(job, len(jobs))
        try:
            contextvars.copy_context().run(self.work, iter(left.popleft, None), *mine, *args)
        finally:
            for job in jobs:
                job.done.acquire()
        for job in jobs:
            if job.error is not None:
                raise job.error


class Scratch:
    """Buffers for the blocks of a plan's runs, which follow each other: the same ones for all, so that they stay in the cache."""

    def __init__(self) -> None:
        self.memory: dict[tuple[int, int], Any] = {}

    def __call__(self, thread: int, number: int, shape: tuple[int, ...], dtype: Any) -> Any:
        """A thread's buffer; what had a smaller one keeps it."""
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        held = self.memory.get((thread, number))
        if held is None or held.nbytes < nbytes:
            held = self.memory[thread, number] = np.empty(nbytes, np.uint8)
        return np.ndarray(shape, dtype, held)


def _count(held: list[Any]) -> int:
    array = held[0]
    return sys.getrefcount(array)


_ALONE = _count([object()])


class Spare:
    """Memory for a result that is handed out: that of the call before, if nobody holds its result any more."""

    def __init__(self, shape: Any, dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype
        self.held: list[Any] = [np.empty(0)]

    def __call__(self) -> Any:
        if self.held[0].size == 0 or _count(self.held) != _ALONE:
            self.held[0] = np.empty(self.shape, self.dtype)
        return self.held[0]
