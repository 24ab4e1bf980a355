"""How a case is measured: a process per library, blocks in turn (A B A B), answers compared before the first block."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent

#: The module that a library is, where its name here is another one.
MODULE = {"tinytensor Value": "tinytensor", "PyTorch": "torch", "PyTorch, 1 thread": "torch", "NumPy": "numpy",
          "NumPy by hand": "numpy", "tinytensor, anomaly mode": "tinytensor", "tinytensor, NaN only": "tinytensor",
          "tinytensor, lines only": "tinytensor", "PyTorch, anomaly mode": "torch"}  # fmt: skip


class Case(NamedTuple):
    """One comparison.

    label      what is done, for people
    libraries  who does it; the first is the one that the others' answers are compared with
    options    arguments of the workload's ``build``
    rounds     how often each library has its turn
    seconds    how long a block lasts, at least one chunk of calls
    tolerance  how far an answer may differ, relative to the largest number in it
    fresh      a new process for every block, not one for all
    """

    label: str
    libraries: tuple[str, ...]
    options: dict[str, Any]
    rounds: int
    seconds: float = 0.2
    tolerance: float = 1e-4
    fresh: bool = False


class Disagreement(Exception):
    """Two libraries that should have computed the same did not: nothing is timed."""


class Worker:
    """The process of one library."""

    def __init__(self, workload: str, library: str, options: dict[str, Any]) -> None:
        self.name = f"{workload}: {library}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", workload, library, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def read(self) -> dict[str, Any]:
        """The next reply."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the process ended with code {self._process.wait()}; its error is above")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def ask(self, question: str | float) -> dict[str, Any]:
        """``"answer"``: the numbers to compare; a number of seconds: what a block of that length measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """End the process, and wait until it has gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def run(workload: str, case: Case, without: Collection[str] = ()) -> dict[str, Any]:
    """Measure one case: answers, versions and the numbers of every round, by library."""
    wanted = [name for name in case.libraries if name not in without]
    present = [name for name in wanted if find_spec(MODULE.get(name, name))]
    missing = [name for name in wanted if name not in present]
    if missing:
        print(f"    not installed, left out: {', '.join(missing)}")
    found: dict[str, dict[str, Any]] = {name: {"rounds": []} for name in present}
    workers: dict[str, Worker] = {}
    try:
        for name in present:
            workers[name] = Worker(workload, name, case.options)
        for name in present:
            found[name] |= workers[name].read()
            found[name] |= workers[name].ask("answer")
        error = _agree(case, found)
        for k in range(case.fresh, case.rounds + 1):  # round 0 warms up a process that stays
            for name in present:
                if case.fresh:
                    workers[name].close()
                    workers[name] = Worker(workload, name, case.options)
                    workers[name].read()
                measured = workers[name].ask(case.seconds)
                if k:
                    found[name]["rounds"].append(measured)
    finally:
        for worker in workers.values():
            worker.close()
    return {
        "label": case.label, "options": case.options, "missing": missing, "rounds": case.rounds,
        "largest difference of answers": error, "libraries": found,
    }  # fmt: skip


def _agree(case: Case, found: dict[str, dict[str, Any]]) -> float | None:
    """The largest relative difference between answers; Disagreement if it exceeds the tolerance."""
    answers = {name: entry["answer"] for name, entry in found.items() if entry["answer"] is not None}
    if len(answers) < 2:
        return None
    first, *others = answers
    scale = max(map(abs, answers[first])) or 1.0
    worst = 0.0
    for name in others:
        if len(answers[name]) != len(answers[first]):
            raise Disagreement(f"{case.label}: {name} gave {len(answers[name])} numbers, {first} {len(answers[first])}")
        errors = [abs(a - b) / scale for a, b in zip(answers[first], answers[name], strict=True)]
        if not all(error <= case.tolerance for error in errors):  # nan is no agreement either
            raise Disagreement(f"{case.label}: {first} computed {answers[first]}, {name} {answers[name]}")
        worst = max(worst, *errors)
    return worst


# ------------------------------------------------------------------------------------------------- reading results


class Spread(NamedTuple):
    """A median, and the quartiles on either side of it."""

    low: float
    median: float
    high: float


def spread(values: list[float]) -> Spread:
    """The median and the quartiles."""
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, _, high = quantiles(values, n=4, method="inclusive")
    return Spread(low, median(values), high)


def numbers(case: dict[str, Any], library: str, name: str = "seconds") -> list[float]:
    """What a library measured, round by round; empty if it was missing."""
    return [block[name] for block in case["libraries"].get(library, {"rounds": []})["rounds"]]


def ratio(case: dict[str, Any], library: str, to: str, name: str = "seconds") -> Spread | None:
    """How many times more one library needs than another: paired by round, so that a slow minute slows both."""
    pairs = list(zip(numbers(case, library, name), numbers(case, to, name), strict=False))
    return spread([a / b for a, b in pairs]) if pairs else None


class Claim(NamedTuple):
    """A number with its target: one-sided, ``at least`` or ``at most``."""

    text: str
    value: Spread
    unit: str
    bound: str
    target: float

    @property
    def reached(self) -> bool:
        """Whether the median is on the right side."""
        return self.value.median >= self.target if self.bound == "at least" else self.value.median <= self.target
