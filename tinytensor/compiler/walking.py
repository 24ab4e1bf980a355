"""The backward walk of a program that is traced."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor import graph, hooks
from tinytensor.compiler.holders import Holders
from tinytensor.compiler.stand_ins import Untraceable
from tinytensor.graph import Node, joined, settled

__all__ = ["Walking"]


class Walking(Holders):
    """:func:`tinytensor.graph.carry`, where a rule that asks for values is one call."""

    # -------------------------------------------------------------------------------------- the walk

    def carry(
        self, order: Any, cotangent: Any, needed: Any, create_graph: bool, retain_graph: bool, hooked: Any
    ) -> Any:
        """The walk's loop, as :func:`tinytensor.graph.carry` makes it, where a rule that asks for values is one call."""
        before, self.part = self.part, "backward"
        try:
            return self._carry(order, cotangent, needed, create_graph, retain_graph, hooked)
        finally:
            self.part = before

    def _carry(
        self, order: Any, cotangent: Any, needed: Any, create_graph: bool, retain_graph: bool, hooked: Any
    ) -> Any:
        grads: dict[Node, Any] = {order[0]: cotangent}
        kept: dict[Node, Any] = {}
        owned: set[Node] = set()
        for node in order:
            g = grads.pop(node, None)
            if g is None:
                continue
            if hooked and id(node) in hooked:
                g = hooks.call(node, g)
            if node.grad is not False:
                kept[node] = g
            op: Any = node.op
            saved = node.saved
            if saved is None:
                raise graph._freed(op)
            if op.part:
                graph._collect_part(grads, node, g)
                continue
            if graph._writes:
                graph._check_overwritten(node, op)
            saved = op.relink(node) if create_graph else saved
            joint = self._rule(op.joint, g, saved, 0) if op.joint is not None else None
            for k, parent in enumerate(node.parents):
                if parent is None or (needed is not None and parent not in needed):
                    continue
                into = None if op.into is None or create_graph or hasattr(g, "_inner") else op.into[k]
                if into is not None:
                    self._into(into, g, saved, parent, grads, owned)
                    continue
                new = joint[k] if joint is not None else self._rule(op.pulls[k], g, saved, k)
                new = self.lift(new) if type(new) is np.ndarray else new
                if new.shape != parent.shape or new.dtype != parent.dtype:
                    new = settled(new, parent, op, k, create_graph)
                old = grads.get(parent)
                if old is None:
                    grads[parent] = new
                elif parent in owned:
                    old += new
                    grads[parent] = old
                else:
                    grads[parent] = joined(old, new)
                    if not create_graph:
                        owned.add(parent)
            if not retain_graph:
                node.saved = None
        return grads | kept

    def _rule(self, rule: Any, g: Any, saved: Any, k: int) -> Any:
        at = self._mark()
        try:
            return rule(g, saved, k)
        except (Untraceable, ValueError) as error:
            _if_asked(error)
        self._back(at)
        return self.opaque(rule, (g, list(saved), k))

    def _into(self, into: Any, g: Any, saved: Any, parent: Node, grads: Any, owned: set[Node]) -> None:
        old = grads.get(parent)
        if parent not in owned:
            if old is None:
                old = self.record("call", np.zeros, (parent.shape, parent.dtype), {})
            else:
                old = old.copy()
            grads[parent] = old
            owned.add(parent)
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


def _if_asked(error: BaseException) -> None:
    """Raise the error again, unless it comes of a value that was asked for: NumPy says so in its own words at times."""
    if not isinstance(error, Untraceable) and not isinstance(error.__cause__, Untraceable):
        raise error
