"""A chain of multiplications, each using the last: the times to build it, to walk it backward and to free it.

Then the same as one function of value and gradient: compiled by those who can, and by hand, in two buffers.

Linear time means that the time per op does not grow with the length of the chain. Nothing may recurse: a chain of a
million ops under Python's recursion limit of 1,000 is the test. Two ratios are given, from 1,000 and from 10,000 to a
million: a quadratic walk would give 1,000 and 100. Both bounds are our own choice of what counts as "does not grow".
"""

from __future__ import annotations

import gc
import time
from statistics import median
from typing import Any

from benchmarks import functional
from benchmarks.harness import Case, Claim, Spread, numbers, spread
from benchmarks.job import Job, timed
from benchmarks.training import ratio_claims

LENGTHS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
ROUNDS = {10_000: 15, 100_000: 7, 1_000_000: 3}
EAGER = ("tinytensor", "PyTorch")
#: Who builds a function of the whole chain, and how long that may be: compiling takes minutes beyond.
WHOLE = {"NumPy by hand": 1_000_000, "tinytensor, compiled": 10_000, "JAX": 1_000, "HIPS autograd": 10_000}


def cases(quick: bool) -> list[Case]:
    lengths = (1, 100, 1_000) if quick else LENGTHS
    return [
        Case(f"chain of {n:,} multiplications of ten float32 elements",
             (*EAGER, *(name for name, most in WHOLE.items() if n <= most)), {"length": n},
             2 if quick else ROUNDS.get(n, 25), 0.02 if quick else 0.3 if n < 1e5 else 0.0)
        for n in lengths
    ]  # fmt: skip


def claims(result: dict[str, Any]) -> list[Claim]:
    cases = {case["options"]["length"]: case for case in result["cases"]}
    longest = cases[max(cases)]
    found = [
        _growth(cases[n], longest, bound)
        for n, bound in ((1_000, 3.0), (10_000, 2.0))
        if n in cases and cases[n] is not longest
    ]
    wanted = {("PyTorch", "tinytensor"): 1.8, ("PyTorch", "tinytensor, compiled"): 10.0}
    return [*found, *ratio_claims(cases[1_000], wanted)]


def _growth(short: dict[str, Any], long: dict[str, Any], bound: float) -> Claim:
    """How much dearer an op is in a long chain. The two processes' rounds are not paired: the widest quartiles."""
    lengths = [case["options"]["length"] for case in (short, long)]
    one, many = ([t / case["options"]["length"] for t in spread(numbers(case, "tinytensor"))] for case in (short, long))
    growth = Spread(many[0] / one[2], many[1] / one[1], many[2] / one[0])
    return Claim(f"time per op in a chain of {lengths[1]:,} / of {lengths[0]:,}", growth, "times", "at most", bound)


def build(library: str, length: int) -> Job:
    import numpy as np

    start, factor = np.linspace(-1, 1, 10, dtype=np.float32), np.linspace(0.9999, 1.0, 10, dtype=np.float32)
    if library in EAGER:
        return _eager(library, length, start, factor)

    def chain(m: Any, x: Any) -> Any:
        for _ in range(length):
            x = x * factor
        return x

    whole = (
        _by_hand(length, start, factor) if library == "NumPy by hand" else functional.call(library, chain, start, True)
    )

    def answer() -> list[float]:
        value, gradient = whole.arrays(whole.run())
        return [float(value), *map(float, gradient)]

    return Job(answer, timed(whole.run), whole.version)


def _eager(library: str, length: int, start: Any, factor: Any) -> Job:
    if library == "tinytensor":
        import tinytensor as lib
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
        gc.collect()
        rows = []
        end = time.perf_counter() + seconds  # from here: collecting takes longer than many a chain
        while not rows or time.perf_counter() < end:
            rows.append(once()[:3])
        parts = dict(zip(("build", "backward", "delete"), map(median, zip(*rows, strict=True)), strict=True))
        return {"seconds": median(sum(row) for row in rows), **parts}

    def answer() -> list[float]:
        value = once()[3]
        return [value, *map(float, x.grad)]

    return Job(answer, measure, lib.__version__)


def _by_hand(length: int, start: Any, factor: Any) -> functional.Call:
    import numpy as np

    y, g, multiply, times = np.empty_like(start), np.empty_like(start), np.multiply, range(length)

    def both() -> tuple[Any, Any]:
        y[...] = start
        g.fill(1)
        for _ in times:
            multiply(y, factor, y)
        for _ in times:
            multiply(g, factor, g)
        return np.add.reduce(y), g

    return functional.Call(both, list, np.__version__)
