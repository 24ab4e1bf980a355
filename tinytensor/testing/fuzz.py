"""Random programs without end: drawn from the table, run by every engine, shrunk when two of them disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinytensor.testing import pytorch
from tinytensor.testing.draft import Choices, Draft, RandomChoices
from tinytensor.testing.operation import with_extra
from tinytensor.testing.program import Program, ProgramError
from tinytensor.testing.shrinking import shrunk
from tinytensor.testing.table import TABLE, Row

__all__ = ["WITNESSES", "FuzzReport", "check_witnesses", "draw_program", "fuzz", "random_program"]

#: What a program may be compared with.
WITNESSES = ("scalar", "finite-difference", "torch")

_SECOND = 5  # one program in so many has its second derivatives checked

Extra = Iterable[Row | Callable[..., Any]]


def draw_program(choices: Choices, lines: int, table: Sequence[Row] = TABLE) -> tuple[Program, list[str]]:
    """A program of at most about ``lines`` lines, and the names of its operations."""
    draft = Draft(choices, {name: f for row in table if row.names for name, f in row.names.items()})

    def line() -> bool:
        if draft.lines and not draft.integer(0, 9):
            return False
        tried = 0
        while not draft.try_extend(draft.pick(table)) and tried < 20:
            tried += 1
        return True

    for _ in range(lines):
        if not choices.together(line):
            break
    return draft.program(), draft.rows


def random_program(rng: np.random.Generator | int, lines: int = 8, extra: Extra = ()) -> Program:
    """A random program of at most about ``lines`` lines; a seed gives the same program every time.

    ``extra``: operations of your own, see :func:`fuzz`.

    >>> from tinytensor.testing import random_program
    >>> program = random_program(7, lines=3)
    >>> print(program)
    v0 = np.atleast_1d(x0)
    v1 = np.fabs(x1)
    v2 = np.log((np.square(x0) + 0.5))
    >>> program.check()
    """
    return draw_program(RandomChoices(np.random.default_rng(rng)), lines, with_extra(TABLE, extra))[0]


@dataclass
class FuzzReport:
    """What a run of :func:`fuzz` saw: how many programs and lines, how often each operation, and the first failure.

    ``skipped``: for each witness, how many programs it had nothing to say about.
    """

    programs: int = 0
    lines: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    failure: ProgramError | None = None


def check_witnesses(against: Sequence[str]) -> None:
    """Raise ValueError for an unknown witness, ImportError for one that is not installed."""
    if not against or set(against) - set(WITNESSES):
        raise ValueError(f"against: expected some of {', '.join(WITNESSES)}; got {', '.join(against) or 'none'}")
    if "torch" in against and not pytorch.available():
        raise ImportError("against torch: PyTorch is not installed; pip install torch, or leave this witness out")


def fuzz(
    count: int = 1000,
    seed: int = 0,
    lines: int = 8,
    progress: Callable[[int], None] | None = None,
    against: Sequence[str] = ("scalar", "finite-difference"),
    extra: Extra = (),
) -> FuzzReport:
    """Check ``count`` random programs; the first that fails is shrunk, and ends the run.

    Program k is ``random_program([seed, k])``. ``against``: "scalar" compares values and gradients with the scalar
    engine; "torch" with PyTorch, in float64; "finite-difference" adds second derivatives by central differences, for
    every fifth program, and is the witness of gradients where the scalar engine is none. ``progress`` is called with the
    number of programs done. ``extra``: operations of your own, functions or rows that :func:`operation` made; every
    third line or so calls one. Raises ValueError for an unknown witness, ImportError if PyTorch is not installed.

    >>> from tinytensor.testing import fuzz
    >>> report = fuzz(20)
    >>> report.programs, report.failure
    (20, None)
    """
    check_witnesses(against)
    report, table = FuzzReport(), with_extra(TABLE, extra)
    blind = {row.name for row in table if not row.scalar}
    for k in range(count):
        program, rows = draw_program(RandomChoices(np.random.default_rng([seed, k])), lines, table)
        report.programs += 1
        report.lines += len(program.source.splitlines())
        report.operations.update(rows)
        witnesses = _witnesses(against, not blind.intersection(rows), report)
        try:
            program.check(second="finite-difference" in against and k % _SECOND == 0, against=witnesses)
            if "torch" in against:
                _ask_torch(program, report)
        except ProgramError as error:
            report.failure = shrunk(error)
            return report
        if progress is not None:
            progress(report.programs)
    return report


def _witnesses(against: Sequence[str], scalar: bool, report: FuzzReport) -> tuple[str, ...]:
    """Who is asked about gradients first: the scalar engine, or differences where it cannot be."""
    if "scalar" in against and scalar:
        return ("scalar",)
    report.skipped["scalar"] += "scalar" in against
    return ("finite-difference",) if "scalar" in against or "finite-difference" in against else ()


def _ask_torch(program: Program, report: FuzzReport) -> None:
    try:
        program.check(against=("torch",))
    except pytorch.UntranslatedError:
        report.skipped["torch"] += 1
