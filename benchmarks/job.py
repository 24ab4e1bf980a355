"""What runs inside a worker process: a job with an answer and a measurement. It imports nothing that is measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

#: One chunk of calls lasts at least this long, so that reading the clock costs nothing.
CHUNK = 0.02


class Job(NamedTuple):
    """A library, ready to be measured on one case.

    answer    computes numbers that every library must agree on, perhaps in parts that are lists; None where there is
              nothing to compare
    measure   called with the seconds that a block may last; returns numbers by name
    version   of the library
    """

    answer: Callable[[], list[Any]] | None
    measure: Callable[[float], dict[str, float]]
    version: str


def _nothing() -> None:
    pass


def timed(
    step: Callable[[], Any],
    reset: Callable[[], None] = _nothing,
    finish: Callable[[], Any] = _nothing,
    steps: int = 1,
) -> Callable[[float], dict[str, float]]:
    """A measurement of seconds per step: the median over chunks of calls.

    ``reset`` is called before each chunk, untimed; ``finish`` at its end, timed; a call consists of so many steps.
    """
    calls = 0

    def chunk() -> float:
        reset()
        start = time.perf_counter()
        for _ in range(calls):
            step()
        finish()
        return time.perf_counter() - start

    def measure(seconds: float) -> dict[str, float]:
        nonlocal calls
        if not calls:  # the first block warms up and finds how many calls make a chunk
            calls = 1
            chunk()
            while (took := chunk()) < CHUNK:
                calls = max(calls + 1, int(calls * 1.2 * CHUNK / took) if took > CHUNK / 100 else calls * 10)
        chunks = []
        end = time.perf_counter() + seconds
        while not chunks or time.perf_counter() < end:
            chunks.append(chunk() / calls / steps)
        return {"seconds": median(chunks)}

    return measure
