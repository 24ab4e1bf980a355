"""What anomaly mode costs: the training step of ``moons``, inside and outside of ``detect_anomaly()``.

Anomaly mode finds the line that made a NaN or infinity, and saved operands that were overwritten. NaN only: without the
second half. PyTorch's mode finds NaN in backward. The control is the same step outside of the mode.
"""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Case, Claim, ratio
from benchmarks.job import Job
from benchmarks.moons import TRAINING

ON = "tinytensor, anomaly mode"
NAN_ONLY = "tinytensor, NaN only"
LINES = "tinytensor, lines only"
TORCH_ON = "PyTorch, anomaly mode"


def cases(quick: bool) -> list[Case]:
    batch = 10 if quick else 100
    label = f"moons step: MLP 2-16-16-1, batch {batch}, float32"
    libraries = ("tinytensor", ON, NAN_ONLY, LINES, "PyTorch", TORCH_ON)
    return [Case(label, libraries, {"batch": batch}, 2 if quick else 25, 0.02 if quick else 0.3)]


def claims(result: dict[str, Any]) -> list[Claim]:
    (case,) = result["cases"]
    wanted = [(ON, "tinytensor", 1.5), (NAN_ONLY, "tinytensor", 1.3)]
    found = [
        Claim(f"moons step, {name} / {base}", value, "times", "at most", target)
        for name, base, target in wanted
        if (value := ratio(case, name, base))
    ]
    if value := ratio(case, TORCH_ON, ON):
        found.append(Claim("moons step, PyTorch / tinytensor, both in anomaly mode", value, "times", "at least", 1.0))
    return found


def build(library: str, batch: int) -> Job:
    job = TRAINING.build(library.partition(", ")[0], batch=batch)
    if library == TORCH_ON:
        import torch

        torch.autograd.set_detect_anomaly(True)
    elif library != "PyTorch":
        import tinytensor as tt

        modes: dict[str, Any] = {
            ON: tt.detect_anomaly, NAN_ONLY: lambda: tt.detect_anomaly(writes=False), LINES: tt.trace_lines,
        }  # fmt: skip
        if library in modes:
            modes[library]().__enter__()  # until the process ends
    return job
