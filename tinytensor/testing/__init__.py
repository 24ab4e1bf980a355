"""Testing what is differentiated: gradient checks, the scalar engine as a witness, and random programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinytensor.testing.fuzz import FuzzReport, fuzz, random_program, shrunk
from tinytensor.testing.gradcheck import against_scalar, check_grads
from tinytensor.testing.program import Program, ProgramError, minimize
from tinytensor.testing.table import TABLE, Row

if TYPE_CHECKING:
    from tinytensor.testing.strategies import programs

__all__ = [
    "FuzzReport", "Program", "ProgramError", "Row", "TABLE", "against_scalar", "check_grads", "fuzz", "minimize",
    "programs", "random_program", "shrunk",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name != "programs":
        raise AttributeError(f"module 'tinytensor.testing' has no attribute {name!r}")
    from tinytensor.testing.strategies import programs  # hypothesis is an extra: only where it is used

    return programs
