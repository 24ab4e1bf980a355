"""How sums, largest elements, norms, orders and running sums are written in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.onnx.graph import Graph
from tinytensor.onnx.program import Size, Step
from tinytensor.onnx.table import emits

__all__: list[str] = []


def _axes(axis: Any, ndim: int) -> list[int] | None:
    return None if axis is None else [a % ndim for a in (axis if isinstance(axis, tuple) else (axis,))]


@emits("ops.reductions.sum", "ops.reductions.mean", "ops.reductions.max", "ops.reductions.min", "ops.reductions.prod",
       "ops.reductions.logsumexp")  # fmt: skip
def _reduction(g: Graph, step: Step) -> Any:
    x, axis, keepdims = step.args
    kind = {"logsumexp": "ReduceLogSumExp"}.get(step.name, "Reduce" + step.name.capitalize())
    return g.reduce(kind, g.value(x, step.out.dtype), _axes(axis, x.ndim), keepdims)


@emits("ops.norms.norm", "ops.norms.vector_norm")
def _norm(g: Graph, step: Step) -> Any:
    x, ord, axis, keepdims = step.args if step.name == "norm" else (step.args[k] for k in (0, 3, 1, 2))
    if step.name == "norm" and ord is not None and not isinstance(axis, int) and (axis or x.ndim > 1):
        raise NotImplementedError(f"ord={ord!r} of matrices")
    dtype, axes = step.out.dtype, _axes(axis, x.ndim)
    name = g.value(x, dtype)
    if ord in (None, 1, 2):
        return g.reduce("ReduceL1" if ord == 1 else "ReduceL2", name, axes, keepdims)
    size = g("Abs", name)
    if abs(ord) == np.inf:
        return g.reduce("ReduceMax" if ord > 0 else "ReduceMin", size, axes, keepdims)
    if ord == 0:
        raise NotImplementedError("ord=0; use np.sum(x != 0)")
    total = g.reduce("ReduceSum", g("Pow", size, g.number(ord, dtype)), axes, keepdims)
    return g("Pow", total, g.number(1 / ord, dtype))


@emits("ops.reductions.var", "ops.reductions.std")
def _var(g: Graph, step: Step) -> Any:
    x, axis, ddof, keepdims = step.args
    name, axes = g.value(x, step.out.dtype), _axes(axis, x.ndim)
    lengths = [x.shape[a] for a in (range(x.ndim) if axes is None else axes)]
    d = g("Sub", name, g.reduce("ReduceMean", name, axes, True))
    out = g.reduce("ReduceMean", g("Mul", d, d), axes, keepdims)
    if ddof:
        if any(isinstance(n, Size) for n in lengths):
            raise NotImplementedError("ddof over the axis of the batch")
        n = int(np.prod(lengths))
        out = g("Mul", out, g.number(n / (n - ddof), step.out.dtype))
    return g("Sqrt", out) if step.name == "std" else out


@emits("ops.reductions.softmax", "ops.reductions.log_softmax")
def _softmax(g: Graph, step: Step) -> Any:
    x, axis = step.args
    kind = "Softmax" if step.name == "softmax" else "LogSoftmax"
    name = g.value(x, step.out.dtype)
    if axis is None:
        return g.reshape(g(kind, g("Reshape", name, g.ints([-1])), axis=0), step.out.shape)
    return g(kind, name, axis=axis)


@emits("ops.reductions.spread")
def _spread(g: Graph, step: Step) -> Any:
    x, axis, shape = step.args
    if axis is not None:
        axes = [a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))]
        x = g.reshape(g.value(x), [1 if a in axes else n for a, n in enumerate(shape)])
    return g("Expand", x, g.sizes(shape))


def _options(step: Step, *names: str) -> list[Any]:
    """The arguments of a function of NumPy's, by name: those by position first, then pairs; None where there is none."""
    pairs = [a for a in step.args if isinstance(a, tuple) and a and isinstance(a[0], str)]
    given = dict(zip(names, step.args[: len(step.args) - len(pairs)], strict=False)) | dict(pairs)
    return [given.get(name) for name in names]


@emits("numpy.argmax", "numpy.argmin")
def _argmax(g: Graph, step: Step) -> Any:
    x, axis, keepdims = _options(step, "x", "axis", "keepdims")
    kind = "ArgMax" if step.name == "argmax" else "ArgMin"
    if axis is None:
        return g.reshape(g(kind, g("Reshape", x, g.ints([-1])), axis=0, keepdims=0), step.out.shape)
    return g(kind, x, axis=axis, keepdims=int(bool(keepdims)))


@emits("numpy.any", "numpy.all", "numpy.count_nonzero")
def _count(g: Graph, step: Step) -> Any:
    """Any and all are the largest and the smallest of zeros and ones."""
    x, axis, keepdims = _options(step, "x", "axis", "keepdims")
    ones = g.cast(g.value(x, bool) if x.dtype == bool else g("Not", g("Equal", x, g.number(0, x.dtype))), np.int64)
    kind = {"any": "ReduceMax", "all": "ReduceMin", "count_nonzero": "ReduceSum"}[step.name]
    return g.cast(g.reduce(kind, ones, _axes(axis, x.ndim), bool(keepdims)), step.out.dtype)


@emits("ops.selection.sort", "numpy.argsort")
def _sort(g: Graph, step: Step) -> Any:
    x, axis = _options(step, "x", "axis") if step.name == "argsort" else step.args[:2]
    if axis is None and (step.name == "sort" or len(step.args) > 1):
        raise NotImplementedError("axis=None; use x.reshape(-1)")
    axis = (-1 if axis is None else axis) % x.ndim
    values, places = g("TopK", x, g.sizes([x.shape[axis]]), axis=axis, largest=0, sorted=1, outputs=2)
    return values if step.name == "sort" else places


@emits("ops.scans.cumsum")
def _cumsum(g: Graph, step: Step) -> Any:
    x, axis = step.args
    name = g.value(x, step.out.dtype) if axis is not None else g("Reshape", g.value(x, step.out.dtype), g.ints([-1]))
    return g("CumSum", name, g.number(axis or 0, np.int64))
