"""How a case is measured: a process per library, blocks in turn (A B A B), answers compared before the first block.

pyperf has no such turns; what it does is left to it (see ``export``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent

#: The module that a library is, where its name here is another one. What follows a comma is how it is used.
MODULE = {"tinytensor Value": "tinytensor", "PyTorch": "torch", "scikit-learn": "sklearn", "NumPy": "numpy",
          "NumPy by hand": "numpy", "HIPS autograd": "autograd", "MyGrad": "mygrad", "JAX": "jax"}  # fmt: skip


def module(library: str) -> str:
    """``torch`` for ``PyTorch, 1 thread``."""
    name = library.partition(", ")[0]
    return MODULE.get(name, name)


def installed(library: str) -> bool:
    """Whether a library is there, and can be used in that way."""
    return find_spec(module(library)) is not None and ("numba" not in library or find_spec("numba") is not None)


def environment(library: str) -> dict[str, str]:
    """Of the library's process: ``PyTorch, 1 thread`` has that many."""
    use = library.rpartition(", ")[2]
    if not use.endswith((" thread", " threads")):
        return dict(os.environ)
    threads = use.split()[0]
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC")  # the last one is JAX's
    return {**os.environ, **dict.fromkeys(names, threads)}


class Case(NamedTuple):
    """One comparison.

    label      what is done, for people
    libraries  who does it; the first is the one that the others' answers are compared with
    options    arguments of the workload's ``build``
    rounds     how often each library has its turn
    seconds    how long a block lasts, at least one chunk of calls
    tolerance  how far an answer may differ, relative to the largest number in it
    fresh      a new process for every block, not one for all
    jobs       names of many small jobs that each process has; see :func:`run_jobs`. Without: it has one
    witness    who is not timed at those jobs, only says what is right
    """

    label: str
    libraries: tuple[str, ...]
    options: dict[str, Any]
    rounds: int
    seconds: float = 0.2
    tolerance: float = 1e-4
    fresh: bool = False
    jobs: tuple[str, ...] = ()
    witness: str = ""


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
            env=environment(library),
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


def _present(case: Case, without: Collection[str]) -> tuple[list[str], list[str]]:
    """The libraries of a case that are installed, and those that are not."""
    every = (*case.libraries, *([case.witness] if case.witness else []))
    wanted = [name for name in every if not {name, name.partition(", ")[0]} & set(without)]
    present = [name for name in wanted if installed(name)]
    missing = [name for name in wanted if name not in present]
    if missing:
        print(f"    not installed, left out: {'; '.join(missing)}")
    return present, missing


def run(workload: str, case: Case, without: Collection[str] = ()) -> dict[str, Any]:
    """Measure one case: answers, versions and the numbers of every round, by library."""
    if case.jobs:
        return run_jobs(workload, case, without)
    present, missing = _present(case, without)
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


def run_jobs(workload: str, case: Case, without: Collection[str] = ()) -> dict[str, Any]:
    """Measure many small jobs, the libraries in turn at each of them, and all of them again in each round.

    The first library's answer must agree with the witness's; Disagreement otherwise. Another library that raises or
    answers differently is not timed at that job: ``excluded`` says why. Nor are jobs that no other library has.
    """
    present, missing = _present(case, without)
    workers: dict[str, Worker] = {}
    found: dict[str, dict[str, Any]] = {}
    excluded: dict[str, dict[str, str]] = {}
    able: dict[str, list[str]] = {}
    try:
        for name in present:
            workers[name] = Worker(workload, name, case.options)
        for name in present:
            found[name] = workers[name].read() | {"seconds": {}}
        has = {name: set(entry.pop("jobs")) for name, entry in found.items()}
        for job in case.jobs:
            able[job], why = _able(job, case, {name: workers[name] for name in present if job in has[name]})
            if why:
                excluded[job] = why
        for _ in range(case.rounds):
            for job, names in able.items():
                for name in names:
                    taken = workers[name].ask(f"{case.seconds} {job}")["seconds"]
                    found[name]["seconds"].setdefault(job, []).append(float(f"{taken:.4g}"))
    finally:
        for worker in workers.values():
            worker.close()
    return {
        "label": case.label, "options": case.options, "missing": missing, "rounds": case.rounds,
        "excluded": excluded, "libraries": {name: entry for name, entry in found.items() if name != case.witness},
    }  # fmt: skip


def _able(job: str, case: Case, workers: dict[str, Worker]) -> tuple[list[str], dict[str, str]]:
    """Who is to be timed at a job, and why each of the others that have it is not."""
    first, others = case.libraries[0], [name for name in case.libraries[1:] if name in workers]
    replies = {name: workers[name].ask(f"answer {job}") for name in others}
    if not any("answer" in reply for reply in replies.values()):
        return [], {name: _problem(reply, reply, 0.0) for name, reply in replies.items()}
    right = workers[first].ask(f"answer {job}")
    if "answer" not in right:
        raise Disagreement(f"{case.label}: {job}: {first}: {right['error']}")
    if case.witness in workers:
        witness = workers[case.witness].ask(f"answer {job}")
        if problem := _problem(right, witness, case.tolerance):
            raise Disagreement(f"{case.label}: {job}: {first} and {case.witness}: {problem}: {right}, {witness}")
    why = {name: problem for name, reply in replies.items() if (problem := _problem(reply, right, case.tolerance))}
    return [first, *(name for name in others if name not in why)], why


def _problem(reply: dict[str, Any], right: dict[str, Any], tolerance: float) -> str:
    """What is wrong with an answer, part by part; empty if nothing is."""
    if "error" in reply:
        return f"raises {reply['error']}"
    if list(map(len, reply["answer"])) != list(map(len, right["answer"])):
        return "other shapes"
    parts = list(zip(reply["answer"], right["answer"], strict=True))
    if any(a != a and b == b for part, wanted in parts for a, b in zip(part, wanted, strict=True)):
        return "nan"
    largest = max((abs(b) for _, wanted in parts for b in wanted if b == b), default=0.0)
    worst = 0.0
    for part, wanted in parts:
        scale = max([1e-3 * largest, *(abs(b) for b in wanted if b == b)]) or 1.0  # rounding is not judged by itself
        errors = [abs(a - b) / scale for a, b in zip(part, wanted, strict=True) if a != b and (a == a or b == b)]
        worst = max([worst, *errors], key=lambda error: (error != error, error))
    return "" if worst <= tolerance else f"differs by {worst:.1g}"


def _agree(case: Case, found: dict[str, dict[str, Any]]) -> float | None:
    """The largest relative difference between answers, part by part; Disagreement if it exceeds the tolerance."""
    answers = {name: _parts(entry["answer"]) for name, entry in found.items() if entry["answer"] is not None}
    if len(answers) < 2:
        return None
    first, *others = answers
    sizes = list(map(len, answers[first]))
    worst = 0.0
    for name in others:
        if list(map(len, answers[name])) != sizes:
            gave = list(map(len, answers[name]))
            raise Disagreement(f"{case.label}: {name} gave parts of {gave} numbers, {first} {sizes}")
        for k, (right, part) in enumerate(zip(answers[first], answers[name], strict=True)):
            scale = max(map(abs, right), default=0.0) or 1.0
            errors = [abs(a - b) / scale for a, b in zip(right, part, strict=True)]
            if not all(error <= case.tolerance for error in errors):  # nan is no agreement either
                raise Disagreement(f"{case.label}: part {k}: {first} computed {right}, {name} {part}")
            worst = max(worst, *errors)
    return worst


def _parts(answer: list[Any]) -> list[list[float]]:
    """An answer as a list of lists: plain numbers are one part."""
    return answer if answer and isinstance(answer[0], list) else [answer]


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
