"""One recorded call of a function: fresh variables went in, and the way from its results back to them is known."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.arrays import asarray
from tinytensor.graph import Node, fresh, set_grad_enabled
from tinytensor.ops.shape import copy
from tinytensor.primitive import Op, TensorBase, primitive, wrap
from tinytensor.trees import flatten, is_leaf, paths, rebuild

__all__ = [
    "LEVELS",
    "Bare",
    "Inputs",
    "Tape",
    "array_of",
    "base",
    "fresh_variable",
    "handed_out",
    "lift",
    "place",
    "results",
    "variable",
]

_FLAT = frozenset({np.ndarray, float, np.float64, np.float32})

#: The calls of ``vmap`` that are under way in this context, outermost first.
LEVELS: ContextVar[tuple[Any, ...]] = ContextVar("tinytensor_levels", default=())


@primitive(elementwise=True, x=lambda g: g)
def variable(x: Any) -> Any:
    """The argument of a differentiated function: x itself, as a node of its own, at which the walk stops."""
    return x


_VARIABLE: Op = variable.op  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------- variables go in


def base(x: Any) -> Any:
    """The tensor inside a value that ``vmap`` batches; any other value is returned as it is."""
    while (inner := getattr(x, "_inner", None)) is not None:
        x = inner
    return x


def array_of(x: Any) -> Any:
    """The values of a tensor, an array or a number, with all batch axes."""
    x = base(x)
    return x._data if isinstance(x, TensorBase) else asarray(x)


def to_levels(x: Any) -> Any:
    """x with the batch axis of every ``vmap`` that is under way: each lane differentiates an argument of its own."""
    for level in LEVELS.get():
        x = level.lift(x)
    return x


def lift(x: Any, op: str, path: str, outer: bool) -> Any:
    """The tensor that stands for x inside the function: a variable, whose parent is x's own node if that matters."""
    if LEVELS.get():
        x = to_levels(x)
    inner = base(x)
    tensor = isinstance(inner, TensorBase)
    array = inner._data if tensor else asarray(inner)
    if array.dtype.kind not in "fc":
        what = f"a tensor of {array.dtype}" if tensor else f"{type(x).__name__} {x!r:.40}"
        raise TypeError(f"{op}: {path} must be floating numbers, got {what}; write 3.0 instead of 3")
    made = fresh_variable(array, inner._node if tensor and outer else None)
    return made if inner is x else x._with(made)


def fresh_variable(array: Any, parent: Node | None = None) -> Any:
    """A tensor of ``array`` whose node is new."""
    node = Node()
    node.seq, node.op, node.parents, node.saved = fresh(), _VARIABLE, (parent,), (None, None)
    node.shape, node.dtype, node.grad = array.shape, array.dtype, False
    return wrap(array, node)


def place(n: int, count: int, argnums: Any, op: str) -> int:
    """The position of argument n, which may be counted from the end."""
    if not -count <= n < count:
        raise TypeError(f"{op}: argnums={argnums}, but the function was called with {count} arguments")
    return n % count


class Inputs:
    """The arguments of one call, and the variables that stand for the leaves of those at ``places``."""

    __slots__ = ("arguments", "leaves", "nodes", "places", "stand_ins", "trees")

    def __init__(self, args: Sequence[Any], places: Sequence[int], op: str, outer: bool) -> None:
        self.arguments = list(args)
        self.places = places
        self.leaves: list[Any] = []
        self.stand_ins: list[Any] = []
        self.trees: list[tuple[Any, int]] = []  # of each place: None and 1, or its containers and how many leaves
        for n in places:
            x = args[n]
            if x.__class__ in _FLAT or is_leaf(x):
                usual = x.__class__ is np.ndarray and x.dtype.kind == "f" and not LEVELS.get()
                self.arguments[n] = made = fresh_variable(x) if usual else lift(x, op, f"argument {n}", outer)
                self.leaves.append(x)
                self.stand_ins.append(made)
                self.trees.append((None, 1))
            else:
                found = flatten(x)
                made = [lift(v, op, path, outer) for v, path in zip(found, paths(x, f"args[{n}]"), strict=True)]
                self.arguments[n] = rebuild(x, made)
                self.leaves += found
                self.stand_ins += made
                self.trees.append((x, len(found)))
        self.nodes: list[Node] = [base(t)._node for t in self.stand_ins]

    def plain(self) -> bool:
        """Whether no argument is a tensor: then no result is one."""
        return not any(isinstance(x, TensorBase) for x in self.leaves) and not LEVELS.get()

    def shaped(self, values: list[Any]) -> list[Any]:
        """Values of all leaves as one tree for each place."""
        found, at = [], 0
        for tree, n in self.trees:
            found.append(values[at] if tree is None and n == 1 else rebuild(tree, values[at : at + n]))
            at += n
        return found

    def like(self, k: int, value: Any, lifted: bool, zero: bool = True) -> Any:
        """A gradient of leaf k, PyTorch's conjugate, in the kind of that leaf: number, array or tensor."""
        x, stand_in = self.leaves[k], self.stand_ins[k]
        if value is None:
            if not zero:
                return None
            inner = base(stand_in)._data
            value = np.zeros(inner.shape, inner.dtype)
        elif value.dtype.kind == "c":
            value = np.conj(value)
        if isinstance(value, TensorBase):
            with set_grad_enabled(lifted):
                made: Any = copy(value)  # type: ignore[arg-type]  # its own memory: it may be a view, or serve two leaves
        elif isinstance(x, TensorBase) or lifted or hasattr(stand_in, "_inner"):
            made = wrap(asarray(value).copy(), None)
        else:
            found = asarray(value).copy()
            return found if isinstance(x, np.ndarray) else found[()]
        return stand_in._with(made) if hasattr(stand_in, "_inner") else made


def results(out: Any, op: str) -> list[Any]:
    """The leaves of what the function returned: TypeError for what is not numbers."""
    found = flatten(out)
    for x, name in zip(found, paths(out, "result"), strict=True):
        if not isinstance(x, TensorBase) and asarray(x).dtype.kind not in "biufc":
            raise TypeError(
                f"{op}: the function must return numbers and arrays, {name} is {type(x).__name__} {x!r:.40}"
            )
    return found


def handed_out(x: Any, plain: bool, lifted: bool) -> Any:
    """A result of the function as the caller gets it: without the graph inside, unless that is part of an outer one."""
    if not isinstance(x, TensorBase) or lifted:
        return x
    inner = base(x)
    if inner is not x:
        return x._with(wrap(inner._data, None))  # type: ignore[attr-defined]
    return inner._data[()] if plain else wrap(inner._data, None)


# ---------------------------------------------------------------------------------------------------- results come out


class Bare(Op):
    """An op made by hand, with one joint rule for all its inputs, which gets whatever the node saved."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        self.name = self.key = name
        self.params, self.defaults, self.names, self.inputs, self.options = (), (), (), (), ()
        self.out, self.outputs, self.part, self.broadcasts, self.elementwise = 0, False, False, False, False
        self.variadic, self.drops_own, self.element, self.shapes, self.keeps = False, False, None, [], {}
        self.into = self.pulls = None
        self.forward = self.rule
        self.reads = []
        self.joint = self.rule

    def rule(self, g: Any, saved: Any, k: int) -> Any:
        """The gradients of all parents."""
        return g

    def relink(self, node: Node) -> Any:
        return node.saved

    def input_name(self, k: int) -> str:
        return f"input {k}"


_JOIN = Bare("results")


class Tape:
    """The nodes between variables and results.

    order    from the latest to the earliest, the first being the root, which joins several results
    needed   those of them on a way to a variable, and the variables
    lifted   whether the function also read what an outer graph needs the gradient of
    """

    __slots__ = ("at", "lifted", "needed", "order", "root", "roots", "variables")

    def __init__(self, variables: list[Node], outs: list[Any], outer: bool) -> None:
        self.variables = variables
        self.at: list[int] = []
        self.roots: list[Node] = []
        for i, out in enumerate(outs):
            x = base(out) if hasattr(out, "_inner") else out
            if isinstance(x, TensorBase) and x._node is not None and x._data.dtype.kind in "fc":
                self.at.append(i)
                self.roots.append(x._node)
        targets = set(variables)
        floor = min([node.seq for node in variables], default=0) - 1
        self.root = root = None if not self.roots else self.roots[0] if len(self.roots) == 1 else _joined(self.roots)
        self.order: list[Node] = []
        outside = any(node.parents[0] is not None for node in variables)
        if root is not None and root not in targets:
            if root.op is None or root.seq <= floor:
                outside = True
            else:
                self.order = graph.history(root, stop=targets, floor=floor)
        self.needed, read = reaching(self.order, targets, floor)
        self.lifted = outer and (outside or read)

    def pull(self, cotangents: list[Any], create_graph: bool, retain_graph: bool) -> list[Any]:
        """What arrives at the variables when the results (of which ``at`` says the numbers) get these cotangents."""
        root = self.root
        if root is None or root not in self.needed:
            return [None] * len(self.variables)
        seed: Any = [cotangents[i] for i in self.at] if len(self.at) > 1 else cotangents[self.at[0]]
        if self.order:
            arrived = graph.walk(
                self.order, seed, needed=self.needed, create_graph=create_graph, retain_graph=retain_graph
            )
        else:
            arrived = {root: seed}
        return [arrived.get(node) for node in self.variables]


def _joined(roots: list[Node]) -> Node:
    node = graph.leaf(np.zeros(0))
    node.seq, node.op, node.parents, node.saved, node.grad = fresh(), _JOIN, tuple(roots), (), False
    return node


def reaching(order: list[Node], targets: set[Node], floor: int) -> tuple[set[Node], bool]:
    """The targets and the nodes of ``order`` that came from one of them; and whether a node read something else that
    needs a gradient: a leaf, or what was there at the time ``floor``.
    """
    found, outside = targets.copy(), False
    for node in reversed(order):
        for p in node.parents:
            if p is None:
                continue
            if p in found:
                found.add(node)
            elif p.op is None or p.seq <= floor:
                outside = True
    return found, outside
