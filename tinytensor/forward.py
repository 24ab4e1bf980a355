"""Forward mode: tangents pushed through a recorded call, and what is built on it: ``jvp``, ``linearize``, ``hvp``.

No primitive has a second rule for this. A rule g ↦ g·J of an elementwise function, whose J is diagonal, is the tangent's
rule as it stands. Any other rule is linear in g; recorded for a g that is zero, it is a small graph, and the walk back
from its result to g, with the tangent as cotangent, transposes it once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.arrays import asarray
from tinytensor.graph import Node, recording, set_grad_enabled, settled
from tinytensor.primitive import TensorBase, wrap
from tinytensor.tape import Inputs, Tape, array_of, fresh_variable, handed_out, results
from tinytensor.transforms import _requires_grad, _with_aux, fitted, grad, vjp
from tinytensor.trees import map_leaves, paths, rebuild, same_structure, skeleton

__all__ = ["Pusher", "hvp", "jvp", "linearize"]


class Pusher:
    """Pushes tangents of a tape's variables to its nodes, any number of times.

    ``recorded``: the tangents' own graph is recorded, with the saved values as tensors of theirs. ``keep``: rules that
    had to be transposed are kept for the next time.
    """

    __slots__ = ("keep", "outputs", "recorded", "tape", "transposes")

    def __init__(self, tape: Tape, recorded: bool, keep: bool) -> None:
        self.tape, self.recorded, self.keep = tape, recorded, keep
        self.transposes: dict[Node, Any] = {}
        self.outputs: dict[Node, dict[int, Node]] = {}  # of an op with several results: those that the tape uses
        for node in tape.order:
            if node.op is not None and node.op.part:
                whole: Any = node.parents[0]
                self.outputs.setdefault(whole, {})[node.saved[0]] = node

    def push(self, tangents: list[Any]) -> dict[Node, Any]:
        """Tangents of all nodes that depend on a variable which has one (not None)."""
        tape = self.tape
        found = {node: t for node, t in zip(tape.variables, tangents, strict=True) if t is not None}
        watcher = graph.watching()
        restore = graph.watch(None) if watcher is not None and not self.recorded else None  # the result is looked at
        try:
            with set_grad_enabled(self.recorded), np.errstate(all="ignore"):
                for node in reversed(tape.order[1:] if len(tape.at) > 1 else tape.order):
                    if node in tape.needed and any(p in found for p in node.parents):
                        t = self._through(node, found)
                        if t is not None:
                            found[node] = t
        finally:
            if restore is not None:
                restore()
        if watcher is not None:
            watcher.check_tangents(tape.roots, found)
        return found

    def _through(self, node: Node, found: dict[Node, Any]) -> Any:
        op: Any = node.op
        if op.part:
            return found[node.parents[0]].get(node.saved[0])  # type: ignore[index]
        if node.saved is None:
            raise graph._freed(op)
        if op.elementwise and op.joint is None and not op.outputs and node.dtype.kind == "f":
            return self._elementwise(node, op, found)
        return self._transposed_twice(node, found)

    def _elementwise(self, node: Node, op: Any, found: dict[Node, Any]) -> Any:
        saved = op.relink(node) if self.recorded else node.saved
        out: Any = None
        for k, parent in enumerate(node.parents):
            t = None if parent is None else found.get(parent)
            if t is None:
                continue
            if t.shape != node.shape:
                t = np.broadcast_to(t, node.shape)
            t = op.pulls[k](t, saved, k)
            out = t if out is None else out + t
        if out.shape != node.shape:
            out = np.broadcast_to(out, node.shape)
        return out if out.dtype == node.dtype else op.cast(out, node.dtype)

    def _transposed_twice(self, node: Node, found: dict[Node, Any]) -> Any:
        rules = self.transposes.get(node)
        if rules is None:
            rules = _transpose(node, self._results(node), self.tape.needed, self.recorded)
            if self.keep:
                self.transposes[node] = rules
        out: dict[int, Any] = {}
        for parent, linear in rules:
            if parent in found:
                arrived = linear.pull([found[parent]], self.recorded, True)
                for i, new in zip(self._results(node), arrived, strict=True):
                    if new is not None:
                        out[i] = out[i] + new if i in out else new
        return (out or None) if node in self.outputs else out.get(0)

    def _results(self, node: Node) -> dict[int, Node]:
        """The op's results that matter: by number, a node of their shape and dtype."""
        return self.outputs.get(node) or {0: node}


def _transpose(node: Node, results: dict[int, Node], needed: set[Node], recorded: bool) -> list[tuple[Node, Tape]]:
    """For each parent that depends on a variable, the op's rule as a recorded function of a cotangent that is 0."""
    op: Any = node.op
    zeros = {i: fresh_variable(np.zeros(r.shape, r.dtype)) for i, r in results.items()}
    g: Any = [zeros.get(i) for i in range(len(node.shape))] if op.outputs else zeros[0]
    found = []
    with set_grad_enabled(True):
        saved = op.relink(node) if recorded else node.saved
        joint = op.joint(g, saved, 0) if op.joint is not None else None
        for k, parent in enumerate(node.parents):
            if parent is None or parent not in needed:
                continue
            r = joint[k] if joint is not None else op.pulls[k](g, saved, k)
            if r.shape != parent.shape or r.dtype != parent.dtype:
                r = settled(r, parent, op, k, True)
            if isinstance(r, TensorBase) and r._node is not None:
                found.append((parent, Tape([u._node for u in zeros.values()], [r], False)))
    return found


# ------------------------------------------------------------------------------------------------- what users call


class _Recorded:
    """A call of f whose tangents can be pushed: what ``jvp`` and ``linearize`` share."""

    def __init__(self, f: Callable[..., Any], primals: Sequence[Any], op: str, has_aux: bool, keep: bool) -> None:
        self.op, self.keep, self.outer = op, keep, recording()
        self.inputs = Inputs(primals, range(len(primals)), op, self.outer)
        with set_grad_enabled(True):
            out = f(*self.inputs.arguments)
        out, aux = _with_aux(out, op) if has_aux else (out, None)
        outs = results(out, op)
        self.tape = tape = Tape(self.inputs.nodes, outs, self.outer)
        self.plain = not tape.lifted and self.inputs.plain()
        self.value = map_leaves(lambda x: handed_out(x, self.plain, tape.lifted), out)
        self.aux = map_leaves(lambda x: handed_out(x, self.plain, tape.lifted), aux)
        self.containers = skeleton(out)
        self.results = [(np.shape(x), x._with if hasattr(x, "_inner") else None, array_of(x)) for x in outs]
        self.roots: list[Any] = [None] * len(outs)
        for i, root in zip(tape.at, tape.roots, strict=True):
            self.roots[i] = root
        self.pusher: Pusher | None = None

    def tangents(self, tangents: Sequence[Any]) -> tuple[list[Any], bool]:
        """The tangents of all leaves as they enter the graph, and whether theirs is recorded."""
        given = []
        for (tree, _), tangent, x, n in zip(
            self.inputs.trees, tangents, self.inputs.arguments, range(99), strict=False
        ):
            like = x if tree is None else tree
            given += same_structure(tangent, like, self.op, f"tangents[{n}]", f"primals[{n}]")
        names = [name for n, x in enumerate(self.inputs.arguments) for name in paths(x, f"tangents[{n}]")]
        recorded = self.outer and recording() and (self.tape.lifted or any(_requires_grad(t) for t in given))
        found = [
            fitted(t, np.shape(x), array_of(s).shape, array_of(s).dtype, self.op, name, recorded)
            for t, x, s, name in zip(given, self.inputs.leaves, self.inputs.stand_ins, names, strict=True)
        ]
        return found, recorded

    def push(self, tangents: Sequence[Any]) -> Any:
        """J · tangents, in the containers of the result."""
        entering, recorded = self.tangents(tangents)
        pusher = self.pusher
        if pusher is None or pusher.recorded != recorded:
            pusher = self.pusher = Pusher(self.tape, recorded, self.keep)
        found = pusher.push(entering)
        made = []
        for root, (_, with_levels, array) in zip(self.roots, self.results, strict=True):
            t = found.get(root)
            if t is None:
                t = np.zeros(array.shape, array.dtype)
            if with_levels is not None:
                t = with_levels(t if isinstance(t, TensorBase) else wrap(asarray(t).copy(), None))
            elif not isinstance(t, TensorBase):
                plain = self.plain and not recorded
                t = asarray(t).copy()[()] if plain else wrap(asarray(t).copy(), None)
            made.append(t)
        return rebuild(self.containers, made)


def _several(x: Any, op: str, name: str) -> tuple[Any, ...]:
    if not isinstance(x, (tuple, list)):
        raise TypeError(
            f"{op}: {name} must be a tuple with one entry for each argument, got {type(x).__name__}; write (x,) for one"
        )
    return tuple(x)


def _pair(primals: Any, tangents: Any, op: str) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    primals, tangents = _several(primals, op, "primals"), _several(tangents, op, "tangents")
    if len(primals) != len(tangents):
        raise TypeError(f"{op}: {len(primals)} primals, but {len(tangents)} tangents; give one for each")
    return primals, tangents


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False) -> Any:
    """(f(*primals), J·tangents): how the result changes when the arguments move along the tangents. Forward mode.

    ``primals`` and ``tangents`` are tuples with one entry for each argument; a tangent has the containers and shapes of
    its primal. f may return any nested structure. ``has_aux``: f returns (value, anything else), which comes third.
    Follows JAX's and ``torch.func.jvp``. Works through every primitive, and nests with ``grad`` in any order.

    >>> import numpy as np, tinytensor as tt
    >>> tt.jvp(np.sin, (0.0,), (2.0,))
    (np.float64(0.0), np.float64(2.0))
    >>> tt.jvp(lambda p: p["w"] @ p["x"], ({"w": np.eye(2), "x": np.ones(2)},), ({"w": np.ones((2, 2)), "x": [0.0, 0.0]},))
    Traceback (most recent call last):
    TypeError: jvp: tangents[0]['x'] must be an array or a number, as primals[0]['x'] is; got list
    """
    primals, tangents = _pair(primals, tangents, "jvp")
    call = _Recorded(f, primals, "jvp", has_aux, False)
    pushed = call.push(tangents)
    return (call.value, pushed, call.aux) if has_aux else (call.value, pushed)


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(f(*primals), push), where ``push(*tangents)`` is J·tangents: f runs once, push any number of times.

    Follows JAX's ``linearize``; see :func:`jvp`.

    >>> import numpy as np, tinytensor as tt
    >>> value, push = tt.linearize(lambda x: x**2, np.array([1.0, 2.0]))
    >>> push(np.array([1.0, 0.0])), push(np.array([0.0, 1.0]))
    (array([2., 0.]), array([0., 4.]))
    """
    call = _Recorded(f, primals, "linearize", False, True)

    def push(*tangents: Any) -> Any:
        return call.push(_pair(primals, tangents, "linearize")[1])

    return call.value, push


def hvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    """H·tangents, H the Hessian of a scalar-valued f, at the price of a few gradients: H is never formed.

    One primal gives its product, several give a tuple. Computed in reverse over reverse: H is symmetric.

    >>> import numpy as np, tinytensor as tt
    >>> tt.hvp(lambda x: np.sum(x**3), (np.array([1.0, 2.0]),), (np.array([1.0, 1.0]),))
    array([ 6., 12.])
    """
    primals, tangents = _pair(primals, tangents, "hvp")
    _, pull = vjp(grad(f, tuple(range(len(primals)))), *primals)
    products = pull(tangents)
    return products[0] if len(primals) == 1 else products
