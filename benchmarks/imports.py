"""``import tinytensor`` beside ``import numpy``, which it needs: seconds of the statement, each in a fresh interpreter.

All start from bytecode files, as an installed package does: the first round, which is not counted, writes them into a
folder of their own, whatever the environment says about writing them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from statistics import median
from typing import Any

from benchmarks.harness import Case, Claim, module, ratio
from benchmarks.job import Job


def cases(quick: bool) -> list[Case]:
    libraries = ("NumPy", "tinytensor") if quick else ("NumPy", "tinytensor", "PyTorch")
    return [Case("import, warm", libraries, {}, 2 if quick else 25, 0.0 if quick else 1.0)]


def claims(result: dict[str, Any]) -> list[Claim]:
    (case,) = result["cases"]
    value = ratio(case, "tinytensor", "NumPy")
    assert value is not None
    return [Claim("import tinytensor / import numpy", value, "times", "at most", 1.25)]


def build(library: str) -> Job:
    name = module(library)
    program = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
    folder = tempfile.TemporaryDirectory()
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder.name}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def measure(seconds: float) -> dict[str, float]:
        times = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            done = subprocess.run(
                [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True, check=True
            )
            times.append(float(done.stdout))
        return {"seconds": median(times)}

    return Job(None, measure, version(name))
