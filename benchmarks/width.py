"""The step of an MLP with three layers of equal width, from 8 to 4,096: where the cost of calls ends and BLAS decides.

Batch 128, mean squared error, SGD, float32.
"""

from __future__ import annotations

from typing import Any

from benchmarks import wide
from benchmarks.harness import Case, Claim

WIDTHS = (8, 32, 128, 512, 1024, 2048, 4096)
LIBRARIES = ("NumPy by hand", "tinytensor", "tinytensor, compiled", "PyTorch", "JAX")

build = wide.build


def cases(quick: bool) -> list[Case]:
    return [
        wide.TRAINING.case(
            f"MLP step, width {n:,}", LIBRARIES, {"sizes": [n] * 4, "batch": 128}, quick, rounds=2 if quick else 7
        )
        for n in (WIDTHS[:2] if quick else WIDTHS)
    ]


def claims(result: dict[str, Any]) -> list[Claim]:
    return []
