"""Peak memory of the first training steps: MLPs, a GPT, and a chain of elementwise operations with its gradient; float32.

The peak is the highest resident memory (RSS) during the first steps minus the RSS just before the first, each time in
a fresh process. Linux keeps the highest RSS itself (VmHWM), so no peak can slip between two samples; writing 5 to
/proc/self/clear_refs sets it back to the present RSS, so that the imports' own peak does not count. Where that is not
allowed, ``ru_maxrss`` is used: the same number since the process began, sound if the steps raised it.

RSS counts the pages of code that a library touches for the first time, too. The case "after a small step" leaves them out: a
step on 8 samples comes before the measurement.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import gpt, wide
from benchmarks.harness import Case, Claim, ratio
from benchmarks.job import Job

STEPS = 5
STATUS = Path("/proc/self/status")
LIBRARIES = ("tinytensor", "tinytensor, compiled", "PyTorch", "PyTorch, compiled", "JAX")
#: Label, workload, its options, and what is other in a small step before the measurement.
PROBLEMS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("training of MLP 784-512-256-10, batch 4,096", "mnist", {"batch": 4096}, {}),
    ("training of MLP 784-512-256-10, batch 4,096, after a small step", "mnist", {"batch": 4096}, {"batch": 8}),
    ("training of MLP 784-512-256-10, batch 128", "mnist", {"batch": 128}, {}),
    ("training of MLP 1024-2048-2048-1024, batch 512", "wide", {"sizes": wide.SIZES, "batch": 512}, {}),
    ("training of a GPT, 4 layers, 128 wide, 64 tokens, batch 16", "gpt", gpt.SHAPE, {}),
    ("light chain of 20, 4,000,000 numbers, gradient", "elementwise",
     {"chain": "light", "n": 4_000_000, "gradient": True}, {}),
    ("heavy chain of 20, 4,000,000 numbers, gradient", "elementwise",
     {"chain": "heavy", "n": 4_000_000, "gradient": True}, {}),
]  # fmt: skip
QUICK = [("training of MLP 784-512-256-10, batch 256", "mnist", {"batch": 256}, {}),
         ("light chain of 20, 400,000 numbers, gradient", "elementwise",
          {"chain": "light", "n": 400_000, "gradient": True}, {})]  # fmt: skip


def cases(quick: bool) -> list[Case]:
    if not STATUS.exists():
        return []  # only Linux tells a process its highest RSS and lets it start anew
    libraries = tuple(name for name in LIBRARIES if not quick or name != "PyTorch, compiled")
    return [
        Case(
            label,
            libraries,
            {"of": of, "options": options, "before": before},
            1 if quick else 7,
            tolerance=1e-3,
            fresh=True,
        )
        for label, of, options, before in (QUICK if quick else PROBLEMS)
    ]


def claims(result: dict[str, Any]) -> list[Claim]:
    return [
        Claim(f"peak memory, {case['label']}: {ours} / PyTorch", value, "times", "at most", 1.0)
        for case in result["cases"]
        for ours in ("tinytensor", "tinytensor, compiled")
        if (value := ratio(case, ours, "PyTorch", "peak_bytes"))
    ]


def build(library: str, of: str, options: dict[str, Any], before: dict[str, Any]) -> Job:
    once = importlib.import_module(f"benchmarks.{of}").once
    step = once(library, **options)
    warm = once(library, **options | before) if before else None

    def measure(seconds: float) -> dict[str, float]:
        """Once in a process: these are its first steps."""
        if warm:
            warm()
        start, peak = _watch()
        step()
        first = peak() - start
        for _ in range(STEPS - 1):
            step()
        return {"peak_bytes": peak() - start, "first_step_bytes": first}

    return Job(lambda: [float(step()) for _ in range(STEPS)], measure, "")


def _status(name: str) -> float:
    for line in STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} has no {name}")


def _trim() -> None:
    """Give back what was freed while the problem was made: steps that reuse it would seem to need nothing."""
    with contextlib.suppress(AttributeError):  # glibc's
        ctypes.CDLL(None).malloc_trim(0)


def _watch() -> tuple[float, Callable[[], float]]:
    """The present RSS, and a function that tells the highest since now."""
    gc.collect()
    _trim()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        import resource

        before, old = _status("VmRSS"), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0

        def peak() -> float:
            new = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
            if new == old:
                raise RuntimeError(
                    "the steps needed less memory than the imports before them: no peak to measure"
                ) from None
            return new

        return before, peak
    return _status("VmRSS"), lambda: _status("VmHWM")
