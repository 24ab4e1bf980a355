"""The walk a step at a time: ``backward(trace=True)``, and the cotangents of all nodes at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytensor import hooks
from tinytensor.graph import Node, carry, deliver, free, history, joined, set_grad_enabled, watching
from tinytensor.hooks import hooked

__all__ = ["Step", "cotangents", "trace"]


class Step:
    """One node's turn in ``backward(trace=True)``. The arrays are the walk's own: read them, do not write.

    number    the turn: 1 is the result that backward was called on
    node, op, shape, dtype   what was recorded, and the operation's name
    grad      ∂L/∂out: the sum of what the steps in ``waited_for`` sent (for several outputs a list, None if unused)
    sends     pairs (parent node, ∂L/∂parent through this operation)
    waited_for   the turns of all nodes that read this one's value: the order is topological so that they come first
    line      where it was recorded, if that was under ``tt.detect_anomaly()`` or ``tt.trace_lines()``
    """

    __slots__ = ("grad", "node", "number", "sends", "turns", "waited_for")

    def __init__(self, number: int, node: Node, grad: Any, sends: list[tuple[Node, Any]], waited_for: tuple[int, ...],
                 turns: dict[Node, int]) -> None:  # fmt: skip
        self.number, self.node, self.grad, self.sends = number, node, grad, sends
        self.waited_for, self.turns = waited_for, turns

    @property
    def op(self) -> str:
        return self.node.op.name if self.node.op else "leaf"

    @property
    def shape(self) -> Any:
        return self.node.shape

    @property
    def dtype(self) -> Any:
        return self.node.dtype

    @property
    def line(self) -> Any:
        return getattr(self.node, "line", None)

    def __repr__(self) -> str:
        waited = f", after {', '.join(map(str, self.waited_for))}" if self.waited_for else ""
        text = f"step {self.number}: {self.op}, shape {self.shape}{waited}; ∂L/∂out = {_brief(self.grad)}"
        for parent, array in self.sends:
            turn = self.turns.get(parent)
            to = f"step {turn} ({parent.op.name})" if turn and parent.op else f"a leaf of shape {parent.shape}"
            text += f"\n  sends {_brief(array)} to {to}"
        return text + (f"\n  recorded at {self.line}" if self.line else "")


def _brief(array: Any) -> str:
    """The numbers of a small array on one line, the shape of a large one."""
    if array is None or isinstance(array, list):
        return "unused" if array is None else f"({', '.join(map(_brief, array))})"
    if array.size > 12:
        return f"an array of shape {array.shape}"
    return np.array2string(array, precision=4, separator=", ", threshold=12).replace("\n", "")


def steps(order: list[Node], cotangent: Any, arrived: dict[Node, Any]) -> Iterator[Step]:
    """The walk over ``order``, a step at a time, nothing freed; ``arrived`` receives what came to the ends.

    Contributions are summed in the order of :func:`walk`, but for a node that reads one parent twice.
    """
    turns = {node: turn for turn, node in enumerate(order, 1)}
    waited: dict[Node, list[int]] = {}
    arrived[order[0]] = cotangent
    kept: dict[Node, Any] = {}
    for turn, node in enumerate(order, 1):
        if (g := arrived.pop(node, None)) is None:
            continue
        with set_grad_enabled(False), np.errstate(all="ignore"):
            if id(node) in hooked:
                g = hooks.call(node, g)
            sent = carry((node,), g, None, False, True, ())
            if node in sent:
                kept[node] = sent.pop(node)
            for parent, new in sent.items():
                arrived[parent] = joined(arrived.get(parent), new)
                waited.setdefault(parent, []).append(turn)
        yield Step(turn, node, g, list(sent.items()), tuple(waited.get(node, ())), turns)
    arrived.update(kept)


def cotangents(order: list[Node], cotangent: Any) -> dict[Node, Any]:
    """∂order[0]/∂node · cotangent of every node; nothing is freed, and no hook is called."""
    grads: dict[Node, Any] = {order[0]: cotangent}
    for node in order:
        if node.op is not None and node in grads:
            sent = carry((node,), grads[node], None, False, True, ())
            for parent in dict.fromkeys(p for p in node.parents if p is not None):
                grads[parent] = joined(grads.get(parent), sent[parent])
    return grads


def trace(root: Node, cotangent: Any, retain_graph: bool) -> Iterator[Step]:
    """:func:`backward` a step at a time: gradients are delivered, and the graph freed, when the last has been taken."""
    arrived = {root: cotangent}
    order = [] if root.op is None else history(root)
    if (watcher := watching()) is not None:
        watcher.verify(order)
    if order:
        yield from steps(order, cotangent, arrived)
    deliver(hooks.at_ends(arrived, order) if hooked else arrived)
    if not retain_graph:
        free(order)
