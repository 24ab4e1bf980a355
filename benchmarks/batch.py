"""The moons step over batch sizes: what vectorizing buys, from one sample to a million.

micrograd stops at 100: its backward pass recurses along the sum of the losses, and Python's limit is 1,000. Our scalar
engine stops at 1,000, where a step takes seconds.
"""

from __future__ import annotations

from typing import Any

from benchmarks import moons
from benchmarks.harness import Case, Claim, ratio

SIZES = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
LIBRARIES = ("tinytensor", "tinytensor, compiled", "PyTorch", "JAX", "NumPy by hand")

build = moons.build


def cases(quick: bool) -> list[Case]:
    return [
        Case(f"moons step, batch {n:,}",
             (*(("micrograd",) if n <= 100 else ()), *(("tinytensor Value",) if n <= 1000 else ()), *LIBRARIES),
             {"batch": n}, 1 if quick else 3 if n > 100 else 7, 0.0 if quick else 0.1)
        for n in (SIZES[:2] if quick else SIZES)
    ]  # fmt: skip


def claims(result: dict[str, Any]) -> list[Claim]:
    case = [c for c in result["cases"] if "tinytensor Value" in c["libraries"]][-1]
    value = ratio(case, "tinytensor Value", "tinytensor")
    assert value is not None
    return [
        Claim(f"moons step, batch {case['options']['batch']:,}, Value / tinytensor", value, "times", "at least", 500)
    ]
