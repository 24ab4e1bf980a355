"""How primitives that move, take, join and reduce elements are written in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.onnx.elementwise import inputs
from tinytensor.onnx.graph import Graph
from tinytensor.onnx.program import Size, Step, Symbol, Varying
from tinytensor.onnx.table import emits
from tinytensor.ops import shape as shapes

__all__: list[str] = []

_FAR = 2**63 - 1

# ----------------------------------------------------------------------------------------------------- axes and shapes


@emits("ops.shape.reshape", "ops.shape.ravel", "ops.shape.squeeze", "ops.shape.expand_dims")
def _reshape(g: Graph, step: Step) -> Any:
    if "F" in step.args[1:]:
        raise NotImplementedError("order='F'")
    return g.reshape(g.value(step.args[0]), step.out.shape)


@emits(
    "ops.shape.transpose",
    "ops.shape.swapaxes",
    "ops.shape.moveaxis",
    "ops.shape.rollaxis",
    "ops.shape.matrix_transpose",
)
def _transpose(g: Graph, step: Step) -> Any:
    x, *options = step.args
    lengths = np.broadcast_to(np.float32(0), range(2, x.ndim + 2))  # the order is read off axes of different lengths
    moved: Any = getattr(shapes, step.name)(lengths, *options)
    return g("Transpose", x, perm=[n - 2 for n in moved.shape])


@emits("ops.shape.broadcast_to")
def _broadcast_to(g: Graph, step: Step) -> Any:
    return g("Expand", step.args[0], g.sizes(step.out.shape))


@emits("ops.shape.flip", "ops.shape.fliplr", "ops.shape.flipud")
def _flip(g: Graph, step: Step) -> Any:
    x = step.args[0]
    axis = {"fliplr": 1, "flipud": 0}[step.name] if len(step.args) == 1 else step.args[1]
    axes = list(range(x.ndim)) if axis is None else [axis] if isinstance(axis, int) else list(axis)
    return _slice(g, g.value(x), [(a % x.ndim, slice(None, None, -1)) for a in axes])


@emits("ops.joining._concatenate")
def _concatenate(g: Graph, step: Step) -> Any:
    axis, *xs = step.args
    names = [g.value(x, step.out.dtype) for x in xs]
    if axis is None:
        names, axis = [g("Reshape", name, g.ints([-1])) for name in names], 0
    return g("Concat", *names, axis=axis)


@emits("ops.joining._stack")
def _stack(g: Graph, step: Step) -> Any:
    axis, *xs = step.args
    axis %= step.out.ndim
    return g("Concat", *[g("Unsqueeze", g.value(x, step.out.dtype), g.ints([axis])) for x in xs], axis=axis)


@emits("ops.joining.tile")
def _tile(g: Graph, step: Step) -> Any:
    x, reps = step.args
    reps = list(reps) if isinstance(reps, tuple) else [reps]
    extra = len(reps) - x.ndim
    name = g.reshape(g.value(x), (*(1,) * extra, *x.shape)) if extra > 0 else g.value(x)
    return g("Tile", name, g.sizes([1] * -extra + reps))


@emits("ops.padding._pad_constant")
def _pad(g: Graph, step: Step) -> Any:
    x, widths, value = step.args
    before, after = zip(*widths, strict=True)
    return g("Pad", x, g.ints([*before, *after]), g.number(value, step.out.dtype))


@emits("ops.padding._pad_places")
def _pad_places(g: Graph, step: Step) -> Any:
    x, _, _, places = step.args
    name = g.value(x)
    for axis, index in enumerate(places):
        if index is not None:
            name = g("Gather", name, g.value(index, np.dtype(np.int64)), axis=axis)
    return name


@emits("ops.shape.roll", "ops.joining.repeat")
def _rearranged(g: Graph, step: Step) -> Any:
    """What takes elements along one axis, or of all of them, by places that its own function tells."""
    x, option, axis = step.args
    if isinstance(axis, tuple) or (isinstance(option, tuple) and step.name == "roll"):
        raise NotImplementedError("several axes")
    lengths = x.shape if axis is None else (x.shape[axis],)
    if any(isinstance(n, Size) for n in lengths):
        raise NotImplementedError("the axis of the batch")
    places = getattr(np, step.name)(np.arange(int(np.prod(lengths))), option)
    name = g.value(x) if axis is not None else g("Reshape", x, g.ints([-1]))
    name = g("Gather", name, g.value(places, np.dtype(np.int64)), axis=axis or 0)
    return g.reshape(name, step.out.shape) if axis is None else name


@emits("ops.diagonals.tril", "ops.diagonals.triu")
def _triangle(g: Graph, step: Step) -> Any:
    x, k = step.args
    return g("Trilu", x, g.number(k, np.int64), upper=int(step.name == "triu"))


# ------------------------------------------------------------------------------------------------------------ indexing


def _slice(g: Graph, x: Any, parts: list[tuple[int, slice]]) -> Any:
    """x cut along some axes."""
    parts = [(axis, s) for axis, s in parts if s != slice(None)]
    if not parts:
        return x
    steps = [1 if s.step is None else s.step for _, s in parts]
    starts = [(0 if n > 0 else _FAR) if s.start is None else s.start for (_, s), n in zip(parts, steps, strict=True)]
    ends = [(_FAR if n > 0 else -_FAR) if s.stop is None else s.stop for (_, s), n in zip(parts, steps, strict=True)]
    return g("Slice", x, g.sizes(starts), g.sizes(ends), g.ints([axis for axis, _ in parts]), g.ints(steps))


def _full_index(index: Any, ndim: int) -> list[Any]:
    """An index with one entry for each axis (and None for new ones); masks as positions."""
    parts: list[Any] = []
    for i in index if isinstance(index, tuple) else (index,):
        if isinstance(i, np.ndarray) and i.dtype == bool:
            parts.extend(i.nonzero())
        elif isinstance(i, np.ndarray) and not i.ndim:
            parts.append(int(i))
        else:
            parts.append(i)
    used = sum(i is not None and i is not Ellipsis for i in parts)
    at = next((k for k, i in enumerate(parts) if i is Ellipsis), len(parts))
    return parts[:at] + [slice(None)] * (ndim - used) + parts[at + 1 :]


@emits("ops.indexing.getitem")
def _getitem(g: Graph, step: Step) -> Any:
    x, index = step.args
    parts = [i for i in _full_index(index, x.ndim) if i is not None]
    name = _slice(g, g.value(x), [(axis, i) for axis, i in enumerate(parts) if isinstance(i, slice)])
    arrays = [axis for axis, i in enumerate(parts) if isinstance(i, (Symbol, np.ndarray, Varying))]
    if any(isinstance(parts[axis], Symbol) and parts[axis].dtype == bool for axis in arrays):
        raise NotImplementedError("a mask that is computed makes a shape that is not known; use tt.where")
    numbers = [axis for axis, i in enumerate(parts) if isinstance(i, (int, np.integer, Size))]
    if len(arrays) > 1 or (arrays and numbers):
        name = _take_places(g, name, parts)
    else:
        for axis in reversed(arrays + numbers):
            name = g("Gather", name, g.value(parts[axis], np.dtype(np.int64)), axis=axis)
    return g.reshape(name, step.out.shape) if len(parts) < len(_full_index(index, x.ndim)) else name


def _take_places(g: Graph, x: Any, parts: list[Any]) -> Any:
    """Elements at places that several arrays name together, which stand for the first axes."""
    n = next((k for k, i in enumerate(parts) if isinstance(i, slice)), len(parts))
    if any(not isinstance(i, slice) for i in parts[n:]):
        raise NotImplementedError("an index with arrays for axes that are not the first ones")
    shape = np.broadcast_shapes(*[getattr(i, "shape", ()) for i in parts[:n]])
    names = [g("Expand", g.value(i, np.dtype(np.int64)), g.sizes(shape)) for i in parts[:n]]
    return g("GatherND", x, g("Concat", *[g("Unsqueeze", i, g.ints([-1])) for i in names], axis=-1))


@emits("ops.indexing.take")
def _take(g: Graph, step: Step) -> Any:
    x, indices, axis = step.args[:3]
    name = g.value(x)
    if axis is None:
        name, axis = g("Reshape", name, g.ints([-1])), 0
    return g("Gather", name, g.value(indices, np.dtype(np.int64)), axis=axis)


# ---------------------------------------------------------------------------------------------------------- reductions


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
    matrix = step.name == "norm" and ord is not None and not isinstance(axis, int) and (axis or x.ndim > 1)
    if matrix or ord not in (None, 1, 2):
        raise NotImplementedError(f"ord={ord!r}")
    return g.reduce("ReduceL1" if ord == 1 else "ReduceL2", g.value(x, step.out.dtype), _axes(axis, x.ndim), keepdims)


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


@emits("numpy.argmax", "numpy.argmin")
def _argmax(g: Graph, step: Step) -> Any:
    given = [a for a in step.args if not (isinstance(a, tuple) and a and isinstance(a[0], str))]
    options: dict[str, Any] = dict(a for a in step.args if isinstance(a, tuple) and a and isinstance(a[0], str))
    x, axis = given[0], given[1] if len(given) > 1 else options.get("axis")
    kind = "ArgMax" if step.name == "argmax" else "ArgMin"
    keepdims = int(bool(options.get("keepdims", False)))
    if axis is None:
        return g.reshape(g(kind, g("Reshape", x, g.ints([-1])), axis=0, keepdims=0), step.out.shape)
    return g(kind, x, axis=axis, keepdims=keepdims)


@emits("ops.contraction._einsum")
def _einsum(g: Graph, step: Step) -> Any:
    subscripts, _, *xs = step.args
    return g("Einsum", *[g.value(x, step.out.dtype) for x in xs], equation=subscripts)


@emits("ops.scans.cumsum")
def _cumsum(g: Graph, step: Step) -> Any:
    x, axis = step.args
    name = g.value(x, step.out.dtype) if axis is not None else g("Reshape", g.value(x, step.out.dtype), g.ints([-1]))
    return g("CumSum", name, g.number(axis or 0, np.int64))


@emits("ops.linalg.outer")
def _outer(g: Graph, step: Step) -> Any:
    x, y = inputs(g, step)
    return g("Mul", g("Reshape", x, g.ints([-1, 1])), g("Reshape", y, g.ints([-1])))


@emits("ops.linalg._vecdot")
def _vecdot(g: Graph, step: Step) -> Any:
    return g.reduce("ReduceSum", g("Mul", *inputs(g, step)), [-1], False)


@emits("ops.contraction.tensordot")
def _tensordot(g: Graph, step: Step) -> Any:
    x, y, axes = step.args
    left, right = (range(x.ndim - axes, x.ndim), range(axes)) if isinstance(axes, int) else axes
    pairs = [[n] if isinstance(n, int) else list(n) for n in (left, right)]
    letters = [chr(97 + k) for k in range(x.ndim + y.ndim)]
    first, second = letters[: x.ndim], letters[x.ndim :]
    for a, b in zip(*pairs, strict=True):
        second[b] = first[a]
    summed = {first[a] for a in pairs[0]}
    out = [c for c in first + second if c not in summed]
    equation = f"{''.join(first)},{''.join(second)}->{''.join(out)}"
    return g("Einsum", *inputs(g, step, 2), equation=equation)


@emits("ops.linalg.inner", "ops.linalg.dot")
def _dot(g: Graph, step: Step) -> Any:
    x, y = step.args
    if x.ndim > 2 or y.ndim > 2:
        raise NotImplementedError("more than two axes; use @ or np.einsum")
    a, b = inputs(g, step)
    if x.ndim == 0 or y.ndim == 0:
        return g("Mul", a, b)
    return g("MatMul", a, g("Transpose", b) if step.name == "inner" and y.ndim == 2 else b)
