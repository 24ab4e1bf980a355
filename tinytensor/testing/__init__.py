"""Testing what is differentiated: gradient checks, the scalar engine as a witness, and random programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinytensor.testing.fuzz import FuzzReport, fuzz, random_program
from tinytensor.testing.gradcheck import against_scalar, check_grads
from tinytensor.testing.operation import operation
from tinytensor.testing.program import Program, ProgramError
from tinytensor.testing.shrinking import minimize, shrunk
from tinytensor.testing.table import TABLE, Row

if TYPE_CHECKING:
    from tinytensor.testing.strategies import arrays, broadcastable_shapes, programs

__all__ = [
    "FuzzReport", "Program", "ProgramError", "Row", "TABLE", "against_scalar", "arrays", "broadcastable_shapes",
    "check_grads", "fuzz", "minimize", "operation", "programs", "random_program", "shrunk",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in ("arrays", "broadcastable_shapes", "programs"):
        raise AttributeError(f"module 'tinytensor.testing' has no attribute {name!r}")
    from tinytensor.testing.strategies import arrays, broadcastable_shapes, programs  # hypothesis is an extra

    return {"arrays": arrays, "broadcastable_shapes": broadcastable_shapes, "programs": programs}[name]
