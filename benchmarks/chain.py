"""A chain of multiplications, each using the last: the times to build it, to walk it backward and to free it.

Linear time means that the time per op does not grow with the length of the chain. Nothing may recurse: a chain of a
million ops under Python's recursion limit of 1,000 is the test. Two ratios are given, from 1,000 and from 10,000 to a
million: a quadratic walk would give 1,000 and 100. Both bounds are our own choice of what counts as "does not grow".
"""

from __future__ import annotations

import gc
import time
from statistics import median
from typing import Any

from benchmarks.harness import Case, Claim, Spread, numbers, ratio, spread
from benchmarks.job import Job

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)


def cases(quick: bool) -> list[Case]:
    lengths = (100, 1_000) if quick else LENGTHS
    return [
        Case(f"chain of {n:,} multiplications of ten float32 elements", ("tinytensor", "PyTorch"), {"length": n},
             2 if quick else {1_000: 25, 10_000: 15, 100_000: 7}.get(n, 3), 0.02 if quick else 0.3 if n < 1e5 else 0.0)
        for n in lengths
    ]  # fmt: skip


def claims(result: dict[str, Any]) -> list[Claim]:
    cases = result["cases"]
    found = [_growth(short, cases[-1], bound) for short, bound in zip(cases[:-1], (3.0, 2.0), strict=False)]
    if value := ratio(cases[0], "PyTorch", "tinytensor"):
        length = cases[0]["options"]["length"]
        found.append(Claim(f"chain of {length:,}, PyTorch / tinytensor", value, "times", "at least", 1.0))
    return found


def _growth(short: dict[str, Any], long: dict[str, Any], bound: float) -> Claim:
    """How much dearer an op is in a long chain. The two processes' rounds are not paired: the widest quartiles."""
    lengths = [case["options"]["length"] for case in (short, long)]
    one, many = ([t / case["options"]["length"] for t in spread(numbers(case, "tinytensor"))] for case in (short, long))
    growth = Spread(many[0] / one[2], many[1] / one[1], many[2] / one[0])
    return Claim(f"time per op in a chain of {lengths[1]:,} / of {lengths[0]:,}", growth, "times", "at most", bound)


def build(library: str, length: int) -> Job:
    import numpy as np

    start, factor = np.linspace(-1, 1, 10, dtype=np.float32), np.linspace(0.9999, 1.0, 10, dtype=np.float32)
    if library == "tinytensor":
        import tinytensor as lib

        x, c = lib.tensor(start, requires_grad=True), lib.tensor(factor)
    else:
        import torch as lib

        x, c = lib.tensor(start, requires_grad=True), lib.tensor(factor)

    def once() -> tuple[float, float, float, Any]:
        x.grad = None
        t0 = time.perf_counter()
        y = x
        for _ in range(length):
            y = y * c
        total = y.sum()
        t1 = time.perf_counter()
        total.backward()
        t2 = time.perf_counter()
        value = float(total.item())
        t3 = time.perf_counter()
        del y, total
        t4 = time.perf_counter()
        return t1 - t0, t2 - t1, t4 - t3, value

    def measure(seconds: float) -> dict[str, float]:
        rows = []
        end = time.perf_counter() + seconds
        gc.collect()
        while not rows or time.perf_counter() < end:
            rows.append(once()[:3])
        parts = dict(zip(("build", "backward", "delete"), map(median, zip(*rows, strict=True)), strict=True))
        return {"seconds": median(sum(row) for row in rows), **parts}

    def answer() -> list[float]:
        value = once()[3]
        return [value, *map(float, x.grad)]

    return Job(answer, measure, lib.__version__)
