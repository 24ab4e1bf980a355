"""How primitives that move, join and repeat elements are written in ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.onnx.graph import Graph
from tinytensor.onnx.indexing import sliced, taken
from tinytensor.onnx.program import Size, Step
from tinytensor.onnx.table import emits
from tinytensor.ops import shape as shapes

__all__: list[str] = []

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
    return sliced(g, g.value(x), [(a % x.ndim, slice(None, None, -1)) for a in axes])


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


@emits("ops.joining._joined")
def _joined(g: Graph, step: Step) -> Any:
    """NumPy's vstack, hstack, dstack, column_stack: arrays of few axes get more of them first."""
    join, axis, _, *xs = step.args
    parts = [g.value(x, step.out.dtype) for x in xs]
    shapes = [_grown(tuple(x.shape), step.out.ndim, join) for x in xs]
    parts = [name if shape is None else g.reshape(name, shape) for name, shape in zip(parts, shapes, strict=True)]
    return g("Concat", *parts, axis=axis)


def _grown(shape: tuple[Any, ...], ndim: int, join: Any) -> Any:
    """A shape with the axes that ``join`` adds; None if it adds none."""
    if len(shape) >= ndim:
        return None
    if join is np.column_stack:
        return (*shape, *(1,) * (2 - len(shape)))
    if join is np.dstack:
        return (*((1,) * (2 - len(shape))), *shape, 1)
    return (*(1,) * (ndim - len(shape)), *shape)


@emits("ops.shape.roll", "ops.joining.repeat")
def _rearranged(g: Graph, step: Step) -> Any:
    """What takes elements along axes, or of the flattened array, by places that its own function tells."""
    x, option, axis = step.args
    if axis is None:
        flat = g("Reshape", x, g.ints([-1]))
        return g.reshape(_by_places(g, flat, x.shape, 0, step.name, option), step.out.shape)
    name, axes = g.value(x), axis if isinstance(axis, tuple) else (axis,)
    options = option if step.name == "roll" and isinstance(option, tuple) else (option,) * len(axes)
    for a, o in zip(axes, options, strict=True):
        name = _by_places(g, name, x.shape[a : a + 1 or None], a, step.name, o)
    return name


def _by_places(g: Graph, x: Any, lengths: Any, axis: int, name: str, option: Any) -> Any:
    if any(isinstance(n, Size) for n in lengths):
        raise NotImplementedError("the axis of the batch")
    return taken(g, x, getattr(np, name)(np.arange(int(np.prod(lengths))), option), axis)


@emits("ops.shape.rot90")
def _rot90(g: Graph, step: Step) -> Any:
    """Two axes exchanged for one and three quarters of a turn; one of them, or both, read backwards."""
    x, k, axes = step.args
    a, b = (axis % x.ndim for axis in axes)
    name, k = g.value(x), k % 4
    if k % 2:
        order = list(range(x.ndim))
        order[a], order[b] = b, a
        name = g("Transpose", name, perm=order)
    return sliced(g, name, [(axis, slice(None, None, -1)) for axis in {0: (), 1: (a,), 2: (a, b), 3: (b,)}[k]])


@emits("ops.diagonals.diagonal", "ops.norms.trace")
def _diagonal(g: Graph, step: Step) -> Any:
    x, offset, a, b = step.args
    a, b = a % x.ndim, b % x.ndim
    lengths = (x.shape[a], x.shape[b])
    if any(isinstance(n, Size) for n in lengths):
        raise NotImplementedError("the axis of the batch")
    rest = [k for k in range(x.ndim) if k not in (a, b)]
    flat = g("Reshape", g("Transpose", x, perm=[*rest, a, b]), g.sizes([*[x.shape[k] for k in rest], -1]))
    places = np.arange(int(np.prod(lengths))).reshape(lengths).diagonal(offset)
    out = taken(g, flat, places, len(rest))
    return out if step.name == "diagonal" else g.reduce("ReduceSum", out, [len(rest)], False)


@emits("ops.signals._diff")
def _diff(g: Graph, step: Step) -> Any:
    x, n, axis = step.args
    name = g.value(x)
    for _ in range(n):
        name = g("Sub", sliced(g, name, [(axis, slice(1, None))]), sliced(g, name, [(axis, slice(None, -1))]))
    return name


@emits("ops.diagonals.tril", "ops.diagonals.triu")
def _triangle(g: Graph, step: Step) -> Any:
    x, k = step.args
    return g("Trilu", x, g.number(k, np.int64), upper=int(step.name == "triu"))
