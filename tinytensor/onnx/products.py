"""How products of arrays are written in ONNX."""

from __future__ import annotations

from typing import Any

from tinytensor.onnx.elementwise import inputs
from tinytensor.onnx.graph import Graph
from tinytensor.onnx.indexing import taken
from tinytensor.onnx.program import Step
from tinytensor.onnx.table import emits

__all__: list[str] = []


@emits("ops.contraction._einsum")
def _einsum(g: Graph, step: Step) -> Any:
    subscripts, _, *xs = step.args
    return g("Einsum", *[g.value(x, step.out.dtype) for x in xs], equation=subscripts)


@emits("ops.linalg.outer")
def _outer(g: Graph, step: Step) -> Any:
    x, y = inputs(g, step)
    return g("Mul", g("Reshape", x, g.ints([-1, 1])), g("Reshape", y, g.ints([-1])))


@emits("ops.linalg._vecdot")
def _vecdot(g: Graph, step: Step) -> Any:
    return g.reduce("ReduceSum", g("Mul", *inputs(g, step)), [-1], False)


@emits("ops.linalg.vdot")
def _vdot(g: Graph, step: Step) -> Any:
    x, y = (g("Reshape", name, g.ints([-1])) for name in inputs(g, step))
    return g.reduce("ReduceSum", g("Mul", x, y), None, False)


@emits("ops.linalg._cross")
def _cross(g: Graph, step: Step) -> Any:
    """xⱼ yₖ − xₖ yⱼ: each component is the difference of products of the next two."""
    (x1, x2), (y1, y2) = ([taken(g, name, places, -1) for places in ([1, 2, 0], [2, 0, 1])] for name in inputs(g, step))
    return g("Sub", g("Mul", x1, y2), g("Mul", x2, y1))


def _contracted(g: Graph, step: Step, left: list[int], right: list[int]) -> Any:
    """The sum over pairs of axes of two arrays."""
    m, n = (x.ndim for x in step.args[:2])
    letters = [chr(97 + k) for k in range(m + n)]
    first, second = letters[:m], letters[m:]
    for a, b in zip(left, right, strict=True):
        second[b] = first[a]
    summed = {first[a] for a in left}
    out = [c for c in first + second if c not in summed]
    return g("Einsum", *inputs(g, step, 2), equation=f"{''.join(first)},{''.join(second)}->{''.join(out)}")


@emits("ops.contraction.tensordot")
def _tensordot(g: Graph, step: Step) -> Any:
    x, _, axes = step.args
    left, right = (range(x.ndim - axes, x.ndim), range(axes)) if isinstance(axes, int) else axes
    return _contracted(g, step, *([n] if isinstance(n, int) else list(n) for n in (left, right)))


@emits("ops.linalg.inner", "ops.linalg.dot")
def _dot(g: Graph, step: Step) -> Any:
    x, y = step.args
    if x.ndim == 0 or y.ndim == 0:
        return g("Mul", *inputs(g, step))
    if step.name == "dot" and y.ndim <= 2:
        return g("MatMul", *inputs(g, step))
    return _contracted(g, step, [x.ndim - 1], [y.ndim - (2 if step.name == "dot" and y.ndim > 1 else 1)])


@emits("ops.solving.det")
def _det(g: Graph, step: Step) -> Any:
    return g("Det", *inputs(g, step))
