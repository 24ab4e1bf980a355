"""Results that require grad: the program of their derivatives, traced beside the function's own, and run by ``backward()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.arrays import asarray
from tinytensor.compiler.code import Code, Rooted
from tinytensor.compiler.plan import Plan
from tinytensor.compiler.program import Array, arrays, leaves
from tinytensor.compiler.replay import OTHER, STALE, Replay
from tinytensor.compiler.trace import Trace
from tinytensor.graph import Node, fresh
from tinytensor.primitive import TensorBase, _parts
from tinytensor.tape import Bare, _joined

__all__ = ["Pulled", "attach"]


class Pulled:
    """The derivatives of the results ``roots`` of an open trace by the leaves that they came from."""

    def __init__(self, trace: Trace, roots: list[Any], places: dict[int, int]) -> None:
        """``places``: which leaf of the arguments a node stands for."""
        self.split = len(trace.calls)
        self.shapes = [(t._data.shape, t._data.dtype) for t in roots]
        self.cotangents: list[Array] = []
        seeds = []
        for shape, dtype in self.shapes:
            seed = trace.argument(np.ones(shape, dtype), -1)
            self.cotangents.append(seed.array)
            seeds.append(seed)
        root = roots[0]._node if len(roots) == 1 else _joined([t._node for t in roots])
        arrived = (
            graph.walk(graph.history(root), seeds if len(roots) > 1 else seeds[0], retain_graph=True)
            if (root.op is not None)
            else {root: seeds[0]}
        )
        self.sources: list[Any] = [places.get(id(node), node) for node in arrived]  # a number of a leaf, or a node
        self.found = [trace.symbol(g) for g in arrived.values()]

    def plans(self, name: str, trace: Trace, out: Any, names: list[str]) -> tuple[Plan, Replay]:
        """The function's own plan, which hands out what the derivatives need too, and the replay of the derivatives."""
        back = Plan(trace, tuple(self.found), trace.calls[self.split :], effects=False)
        made = {id(c) for c in back.calls}
        needed: dict[Array, None] = {}
        for a in [x for c in back.calls for x in c.reads()] + list(arrays(back.out)):
            ours = a.call is not None and id(a.call) in made
            if not ours and a.memory.kind in ("result", "argument") and a not in self.cotangents:
                needed[a] = None
        self.states = list({a: None for c in back.calls for a in c.reads() if a.memory.kind == "state"})
        given = {a: f"kept_{k}" for k, a in enumerate(needed)}
        given.update({a: f"d_{k}" for k, a in enumerate(self.cotangents)})
        replay = Replay(f"{name}, derivatives", back, Code(back, list(given.values()), given), questions=False)
        return Plan(trace, (out, tuple(leaves(out, Rooted)), tuple(needed)), trace.calls[: self.split]), replay


class _Results(Bare):
    """The op of one call of a compiled function."""

    __slots__ = ("back", "count", "shapes")

    def __init__(self, name: str, back: Callable[..., Any], shapes: list[Any], count: int) -> None:
        super().__init__(name)
        self.back, self.shapes, self.count, self.outputs = back, shapes, count, len(shapes) > 1

    def rule(self, g: Any, saved: Any, k: int) -> Any:
        """The gradients of all leaves."""
        given = g if self.outputs else [g]
        if any(isinstance(part, TensorBase) for part in given):
            self.relink(None)
        seeds = [
            np.zeros(shape, dtype) if part is None else asarray(part)
            for part, (shape, dtype) in zip(given, self.shapes, strict=True)
        ]
        found = self.back(*saved[: self.count], *seeds)
        if found is OTHER or found is STALE:
            raise RuntimeError(
                f"backward of {self.name}: it is not what it was when the function was called; call it again"
            )
        return list(found)

    def relink(self, node: Node | None) -> Any:
        raise NotImplementedError(
            f"{self.name} is compiled, and its derivative is a fixed program, of which there is no derivative; compile the "
            "function that takes both: tt.compile(tt.grad(tt.grad(f)))"
        )


def attach(name: str, pulled: Pulled, back: Replay, roots: Any, kept: Any, inputs: list[Any]) -> None:
    """Let results of a replay remember where they came from."""
    node = graph.leaf(roots[0]._data)
    node.seq, node.op, node.grad = fresh(), _Results(name, back.run, pulled.shapes, len(kept)), False
    node.parents = tuple([inputs[s]._node if type(s) is int else s for s in pulled.sources])
    node.saved = (*kept, *[back.values[a] for a in pulled.states])  # to notice writes into them
    if len(roots) == 1:
        roots[0]._node = node
        return
    node.shape, node.dtype = tuple([shape for shape, _ in pulled.shapes]), None
    for root, part in zip(roots, _parts([r._data for r in roots], node), strict=True):
        root._node = part._node
