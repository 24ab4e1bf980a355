"""What compiling costs: how much longer the first three training steps take than later ones, each time in a fresh process
without any cache on disk.

Of libraries that compile nothing it is what first steps cost more: code and memory that are touched for the first time.
"""

from __future__ import annotations

import importlib
import os
import time
from statistics import median
from typing import Any

from benchmarks import gpt
from benchmarks.harness import Case, Claim, Spread, numbers, spread
from benchmarks.job import Job

BASE = "tinytensor, compiled"
LIBRARIES = ("tinytensor", BASE, "tinytensor, numba", "PyTorch", "PyTorch, compiled", "JAX")
#: Label, workload, its options, and how many milliseconds our compiler may take.
PROBLEMS = [
    ("moons step, batch 100", "moons", {"batch": 100}, 20.0),
    ("GPT step, 4 layers, 128 wide", "gpt", gpt.SHAPE, 500.0),
]
#: Steps in which a library may compile: ours makes the first one without a plan, if an optimizer has no state yet.
FIRST = 3
#: Steps after these.
LATER = 7


def cases(quick: bool) -> list[Case]:
    problems = [("moons step, batch 10", "moons", {"batch": 10}, 20.0)] if quick else PROBLEMS
    libraries = tuple(name for name in LIBRARIES if not quick or name != "PyTorch, compiled")
    return [
        Case(f"compiling: {label}", libraries, {"of": of, "options": options}, 1 if quick else 7, fresh=True)
        for label, of, options, _ in problems
    ]


def claims(result: dict[str, Any]) -> list[Claim]:
    found = []
    for case, (*_, most) in zip(result["cases"], PROBLEMS, strict=False):
        if times := numbers(case, BASE):
            value = Spread(*(1e3 * t for t in spread(times)))
            found.append(Claim(f"{case['label']}: {BASE}", value, "ms", "at most", most))
    return found


def build(library: str, of: str, options: dict[str, Any]) -> Job:
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
    once = importlib.import_module(f"benchmarks.{of}").once(library, **options)

    def measure(seconds: float) -> dict[str, float]:
        times = []
        for _ in range(FIRST + LATER):
            start = time.perf_counter()
            once()
            times.append(time.perf_counter() - start)
        later = median(times[FIRST:])
        return {"seconds": sum(t - later for t in times[:FIRST]), "first_seconds": times[0]}

    return Job(None, measure, "")
