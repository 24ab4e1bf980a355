"""What a second thread buys: the same steps with one and with two."""

from __future__ import annotations

import importlib
from typing import Any

from benchmarks import elementwise, gpt, wide
from benchmarks.harness import Case, Claim
from benchmarks.job import Job

BASE = "tinytensor, 1 thread"
#: Label, workload, options, and whether it is written by hand, too.
PROBLEMS: list[tuple[str, str, dict[str, Any], bool]] = [
    ("MLP 784-512-256-10, batch 128", "mnist", {"batch": 128}, True),
    ("MLP 1024-2048-2048-1024, batch 512", "wide", {"sizes": wide.SIZES, "batch": 512}, True),
    ("GPT, 4 layers, 128 wide", "gpt", gpt.SHAPE, False),
    *((f"{chain} chain of 20, 4,000,000 numbers, gradient", "elementwise",
       {"chain": chain, "n": elementwise.NUMBERS, "gradient": True}, True) for chain in elementwise.CHAINS),
]  # fmt: skip
QUICK = [("MLP 784-512-256-10, batch 8", "mnist", {"batch": 8}, True)]


def cases(quick: bool) -> list[Case]:
    return [
        Case(label, _libraries(by_hand), {"of": of, "options": options}, 2 if quick else 7, 0.02 if quick else 0.5,
             tolerance=2e-3)
        for label, of, options, by_hand in (QUICK if quick else PROBLEMS)
    ]  # fmt: skip


def _libraries(by_hand: bool) -> tuple[str, ...]:
    names = ("tinytensor", "tinytensor, compiled", "PyTorch", "JAX", *(["NumPy by hand"] if by_hand else []))
    return tuple(f"{name}, {threads}" for name in names for threads in ("1 thread", "2 threads"))


def claims(result: dict[str, Any]) -> list[Claim]:
    return []


def build(library: str, of: str, options: dict[str, Any]) -> Job:
    job: Job = importlib.import_module(f"benchmarks.{of}").build(library, **options)
    return job
