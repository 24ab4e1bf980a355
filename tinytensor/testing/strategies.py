"""Hypothesis strategies: random programs, drawn choice by choice, so that hypothesis shrinks and replays them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinytensor.testing.fuzz import draw_program
from tinytensor.testing.program import Program
from tinytensor.testing.table import TABLE, Row

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("tinytensor.testing.programs needs hypothesis: pip install 'tinytensor[test]'") from error

__all__ = ["programs"]


class _Drawn:
    """Choices from hypothesis."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        """A number in [low, high]; hypothesis shrinks towards low."""
        return int(self._draw(st.integers(low, high)))


@st.composite
def _programs(draw: Any, lines: int, table: tuple[Row, ...]) -> Program:
    return draw_program(_Drawn(draw), lines, table)[0]


def programs(lines: int = 8, table: Sequence[Row] = TABLE) -> st.SearchStrategy[Program]:
    """A strategy for random programs of at most about ``lines`` lines, of the operations in ``table``.

    >>> from hypothesis import given, settings
    >>> from tinytensor.testing import programs
    >>> @settings(max_examples=20, deadline=None, database=None)
    ... @given(programs(lines=3))
    ... def engines_agree(program):
    ...     program.check()
    >>> engines_agree()
    """
    return _programs(lines, tuple(table))
