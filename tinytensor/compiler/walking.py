"""The backward walk of a program that is traced."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.compiler.holders import Holders
from tinytensor.compiler.stand_ins import Untraceable

__all__ = ["Walking"]


class Walking(Holders):
    """The walk's own loop, :func:`tinytensor.graph.carry`, where a rule that asks for values is one call."""

    def __init__(self) -> None:
        super().__init__()
        self._guards: dict[Any, _Guarded] = {}

    def carry(
        self, order: Any, cotangent: Any, needed: Any, create_graph: bool, retain_graph: bool, hooked: Any
    ) -> Any:
        """What :func:`tinytensor.graph.carry` does, written down as the program's backward part."""
        before, self.part = self.part, "backward"
        try:
            return graph.carry(order, cotangent, needed, create_graph, retain_graph, hooked, self._guarded)
        finally:
            self.part = before

    def _guarded(self, op: Any) -> _Guarded:
        if op not in self._guards:
            self._guards[op] = _Guarded(op, self)
        return self._guards[op]

    def rule(self, rule: Any, g: Any, saved: Any, k: int) -> Any:
        """What a rule returns."""
        at = self._mark()
        try:
            made = rule(g, saved, k)
        except (Untraceable, ValueError) as error:
            _if_asked(error)
            self._back(at)
            made = self.opaque(rule, (g, list(saved), k))
        if isinstance(made, (list, tuple)):
            return [self._ours(x) for x in made]
        return self._ours(made)

    def _ours(self, made: Any) -> Any:
        """An array that a rule made beside the program is a constant of it, which nobody adds to in place."""
        return self.lift(made) if type(made) is np.ndarray else made

    def into(self, into: Any, g: Any, saved: Any, old: Any) -> None:
        """Let a rule add to a gradient."""
        at = self._mark()
        try:
            into(g, saved, old)
        except (Untraceable, ValueError) as error:
            _if_asked(error)
            self._back(at)
            self.write(into, (g, list(saved), old), {}, [old])

    def _mark(self) -> tuple[int, int]:
        return len(self.calls), len(self.decisions)

    def _back(self, mark: tuple[int, int]) -> None:
        for call in self.calls[mark[0] :]:
            for memory in call.writes:
                memory.writes -= 1
        del self.calls[mark[0] :], self.decisions[mark[1] :]


class _Guarded:
    """An op as the walk of a traced program sees it."""

    def __init__(self, op: Any, trace: Walking) -> None:
        self.op = op
        self.joint = None if op.joint is None else partial(trace.rule, op.joint)
        self.pulls = op.pulls and type(op.pulls)([partial(trace.rule, pull) for pull in op.pulls])
        self.into = op.into and [None if into is None else partial(trace.into, into) for into in op.into]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.op, name)


def _if_asked(error: BaseException) -> None:
    """Raise the error again, unless it comes of a value that was asked for: NumPy says so in its own words at times."""
    if not isinstance(error, Untraceable) and not isinstance(error.__cause__, Untraceable):
        raise error
