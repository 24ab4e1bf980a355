"""Random programs without end: drawn from the table, run by every engine, shrunk when two of them disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tinytensor.testing.draft import Choices, Draft, RandomChoices
from tinytensor.testing.program import Program, ProgramError, minimize
from tinytensor.testing.table import TABLE, Row

__all__ = ["WITNESSES", "FuzzReport", "draw_program", "fuzz", "random_program", "shrunk"]

#: What a program is compared with.
WITNESSES = ("scalar", "finite-difference")

_SECOND = 5  # one program in so many has its second derivatives checked


def draw_program(choices: Choices, lines: int, table: Sequence[Row] = TABLE) -> tuple[Program, list[str]]:
    """A program of at most about ``lines`` lines, and the names of its operations."""
    draft = Draft(choices)
    for _ in range(lines):
        if draft.lines and not draft.integer(0, 9):
            break
        tried = 0
        while not draft.try_extend(draft.pick(table)) and tried < 20:
            tried += 1
    return draft.program(), draft.rows


def random_program(rng: np.random.Generator | int, lines: int = 8) -> Program:
    """A random program of at most about ``lines`` lines; a seed gives the same program every time.

    >>> from tinytensor.testing import random_program
    >>> program = random_program(7, lines=3)
    >>> print(program)
    v0 = tt.transpose(x0, (0, 1))
    v1 = x0 + x0
    v2 = np.pad(v0, ((2, 0), (2, 0)), mode='reflect')
    >>> program.check()
    """
    return draw_program(RandomChoices(np.random.default_rng(rng)), lines)[0]


@dataclass
class FuzzReport:
    """What a run of :func:`fuzz` saw: how many programs and lines, how often each operation, and the first failure."""

    programs: int = 0
    lines: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    failure: ProgramError | None = None


def fuzz(
    count: int = 1000,
    seed: int = 0,
    lines: int = 8,
    progress: Callable[[int], None] | None = None,
    against: Sequence[str] = WITNESSES,
) -> FuzzReport:
    """Check ``count`` random programs; the first that fails is shrunk, and ends the run.

    Program k is ``random_program([seed, k])``. ``against``: "scalar" compares values and gradients with the scalar
    engine; "finite-difference" adds second derivatives by central differences, for every fifth program. ``progress`` is
    called with the number of programs done. Raises ValueError for an unknown witness.

    >>> from tinytensor.testing import fuzz
    >>> report = fuzz(20)
    >>> report.programs, report.failure
    (20, None)
    """
    if not against or set(against) - set(WITNESSES):
        raise ValueError(f"against: expected some of {', '.join(WITNESSES)}; got {', '.join(against) or 'none'}")
    report = FuzzReport()
    for k in range(count):
        program, rows = draw_program(RandomChoices(np.random.default_rng([seed, k])), lines)
        report.programs += 1
        report.lines += len(program.source.splitlines())
        report.operations.update(rows)
        try:
            program.check(second="finite-difference" in against and k % _SECOND == 0)
        except ProgramError as error:
            report.failure = shrunk(error)
            return report
        if progress is not None:
            progress(report.programs)
    return report


def shrunk(error: ProgramError) -> ProgramError:
    """The same failure of the smallest program found that has it."""
    found = error
    second = error.kind == "second derivatives"

    def fails(program: Program) -> bool:
        nonlocal found
        try:
            program.check(second=second)
        except ProgramError as smaller:
            if smaller.kind == error.kind:
                found = smaller
                return True
        return False

    minimize(error.program, fails)
    return found
