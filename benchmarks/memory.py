"""Peak memory of training an MLP 784-512-256-10 on batches of 4,096: float32, cross-entropy, plain SGD.

The peak is the highest resident memory (RSS) during the first steps minus the RSS just before the first, each time in
a fresh process. Linux keeps the highest RSS itself (VmHWM), so no peak can slip between two samples; writing 5 to
/proc/self/clear_refs sets it back to the present RSS, so that the imports' own peak does not count. Where that is not
allowed, ``ru_maxrss`` is used: the same number since the process began, sound if the steps raised it.

RSS counts the pages of code that a library touches for the first time, too. The second case leaves them out: a step on
8 samples comes before the measurement.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.harness import Case, Claim, ratio
from benchmarks.job import Job

SIZES = [784, 512, 256, 10]
STEPS = 5
LR = 0.01
STATUS = Path("/proc/self/status")


def cases(quick: bool) -> list[Case]:
    if not STATUS.exists():
        return []  # only Linux tells a process its highest RSS and lets it start anew
    batch = 256 if quick else 4096
    label = f"training of MLP 784-512-256-10, batch {batch:,}, float32, SGD"
    libraries = ("tinytensor", "PyTorch")
    return [
        Case(label + (", after a small step" if warm else ""), libraries, {"batch": batch, "warm": warm},
             1 if quick else 15, fresh=True)
        for warm in ([False] if quick else [False, True])
    ]  # fmt: skip


def claims(result: dict[str, Any]) -> list[Claim]:
    found = []
    for case in result["cases"]:
        if value := ratio(case, "tinytensor", "PyTorch", "peak_bytes"):
            text = "peak memory of training" + (" after a small step" if case["options"]["warm"] else "")
            found.append(Claim(f"{text}, tinytensor / PyTorch", value, "times", "at most", 1.0))
    return found


def build(library: str, batch: int, warm: bool) -> Job:
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, SIZES[0]), dtype=np.float32)
    y = rng.integers(0, SIZES[-1], batch)
    weights: list[Any] = []
    for fan_in, fan_out in pairwise(SIZES):
        weights += [rng.standard_normal((fan_out, fan_in), np.float32) / np.float32(fan_in**0.5),
                    np.zeros(fan_out, np.float32)]  # fmt: skip
    step, version = (_tinytensor if library == "tinytensor" else _torch)(x, y, weights)
    del x, y, weights

    def measure(seconds: float) -> dict[str, float]:
        """Once in a process: these are its first steps."""
        if warm:
            step(8)
        before, peak = _watch()
        step()
        first = peak() - before
        for _ in range(STEPS - 1):
            step()
        return {"peak_bytes": peak() - before, "first_step_bytes": first}

    return Job(lambda: [float(step()) for _ in range(STEPS)], measure, version)


def _status(name: str) -> float:
    for line in STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return float(line.split()[1]) * 1024
    raise RuntimeError(f"{STATUS} has no {name}")


def _watch() -> tuple[float, Callable[[], float]]:
    """The present RSS, and a function that tells the highest since now."""
    gc.collect()
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


def _tinytensor(x: Any, y: Any, weights: list[Any]) -> tuple[Callable[[], Any], str]:
    import tinytensor as tt

    model = tt.nn.MLP(SIZES[0], SIZES[1:])
    for p, w in zip(model.parameters(), weights, strict=True):
        p.data[...] = w
    loss_of, optimizer = tt.nn.CrossEntropyLoss(), tt.optim.SGD(model.parameters(), lr=LR)

    def step(n: int | None = None) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x[:n]), y[:n])
        loss.backward()
        optimizer.step()
        return loss.data

    return step, tt.__version__


def _torch(x: Any, y: Any, weights: list[Any]) -> tuple[Callable[[], Any], str]:
    import torch
    from torch import nn

    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))
    with torch.no_grad():
        for p, w in zip(model.parameters(), weights, strict=True):
            p.copy_(torch.from_numpy(w))
    loss_of, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=LR)

    def step(n: int | None = None) -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(inputs[:n]), labels[:n])
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, torch.__version__
