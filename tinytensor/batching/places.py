"""Batching rules of functions that move elements: shapes, joining, indexing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.batching.batch import Batched, Level, fitting, padded
from tinytensor.ops import diagonals, indexing, shape
from tinytensor.ops import reductions as red
from tinytensor.primitive import TensorBase, wrap

__all__ = ["RULES", "Lane", "getitem", "rule", "shifted"]

#: Name of the primitive -> rule(lane, the primitive, its arguments), which returns the whole batch.
RULES: dict[str, Callable[..., Any]] = {}


def rule(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter a rule in the table."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        RULES[name] = function
        return function

    return decorate


class Lane:
    """What a rule needs to know of its level."""

    __slots__ = ("level",)

    def __init__(self, level: Level) -> None:
        self.level = level

    def has(self, x: Any) -> bool:
        """Whether x has this level's batch axis."""
        return isinstance(x, Batched) and x._level is self.level

    def full(self, x: Any) -> Any:
        """The whole batch; one that is the same for all examples, if x has none."""
        return self.level.lift(x)._inner

    def wrapped(self, out: Any) -> Any:
        """The whole batch as one example; several results as their tuple."""
        if isinstance(out, tuple):
            made = [self.wrapped(o) for o in out]
            return type(out)(*made) if hasattr(out, "_fields") else tuple(made)
        return Batched(out, self.level)

    def aligned(self, args: Sequence[Any]) -> list[Any]:
        """The arguments with the axes of examples against each other, as broadcasting aligns them."""
        arrays: list[Any] = [x for x in args if isinstance(x, (TensorBase, np.ndarray, list))]
        ndim = max([np.ndim(x) for x in arrays])
        return [padded(x._inner, ndim) if self.has(x) else x for x in args]


def shifted(axis: Any, ndim: int) -> Any:
    """An axis, or several, of an example as axes of the batch."""
    if isinstance(axis, (tuple, list)):
        return tuple([shifted(a, ndim) for a in axis])
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(int(axis), ndim)
    return axis + 1 if axis >= 0 else axis


# --------------------------------------------------------------------------------------------------------------- shapes


@rule("reshape")
def _reshape(lane: Lane, apply: Any, x: Any, new: Any, order: Any = "C", copy: Any = None) -> Any:
    if order != "C":
        raise TypeError("vmap: reshape has no batching rule for order='F'; transpose first")
    new = (new,) if isinstance(new, (int, np.integer)) else tuple(new)
    if -1 in new:
        rest = math.prod([n for n in new if n != -1])
        new = tuple([x.size // max(rest, 1) if n == -1 else n for n in new])
    if math.prod(new) != x.size:
        raise ValueError(f"cannot reshape array of size {x.size} into shape {new}")
    return apply(x._inner, (lane.level.size, *new), "C", copy)


@rule("ravel")
def _ravel(lane: Lane, apply: Any, x: Any, order: Any) -> Any:
    return _reshape(lane, shape.reshape, x, (x.size,), order)


@rule("broadcast_to")
def _broadcast_to(lane: Lane, apply: Any, x: Any, new: Any) -> Any:
    new = (new,) if isinstance(new, (int, np.integer)) else tuple(new)
    return apply(padded(x._inner, len(new)), (lane.level.size, *new))


@rule("sum_to")
def _sum_to(lane: Lane, apply: Any, x: Any, new: Any) -> Any:
    lead = x.ndim - len(new)
    if lead < 0:
        raise RuntimeError(f"a gradient of shape {x.shape} cannot be summed to an input of shape {new}")
    axes = [*range(lead), *(i + lead for i, n in enumerate(new) if n == 1 != x.shape[i + lead])]
    out = red.sum(x._inner, tuple([a + 1 for a in axes])) if axes else x._inner
    return shape.reshape(out, (lane.level.size, *new))


@rule("spread")
def _spread(lane: Lane, apply: Any, x: Any, axis: Any, new: Any) -> Any:
    axis = tuple(range(1, len(new) + 1)) if axis is None else shifted(axis, len(new))
    return apply(x._inner, axis, (lane.level.size, *new))


@rule("expand_dims")
def _expand_dims(lane: Lane, apply: Any, x: Any, axis: Any) -> Any:
    added = len(axis) if isinstance(axis, (tuple, list)) else 1
    return apply(x._inner, shifted(axis, x.ndim + added))


@rule("squeeze")
def _squeeze(lane: Lane, apply: Any, x: Any, axis: Any) -> Any:
    axis = [a for a, n in enumerate(x.shape) if n == 1] if axis is None else axis
    return apply(x._inner, shifted(axis, x.ndim))


@rule("transpose")
def _transpose(lane: Lane, apply: Any, x: Any, axes: Any) -> Any:
    axes = range(x.ndim)[::-1] if axes is None or len(axes) == 0 else [int(a) for a in axes]
    return apply(x._inner, (0, *[a % x.ndim + 1 for a in axes]))


def _two_axes(lane: Lane, apply: Any, x: Any, first: Any, second: Any) -> Any:
    return apply(x._inner, shifted(first, x.ndim), shifted(second, x.ndim))


RULES["swapaxes"] = RULES["moveaxis"] = _two_axes


@rule("rollaxis")
def _rollaxis(lane: Lane, apply: Any, x: Any, axis: Any, start: Any) -> Any:
    return apply(x._inner, shifted(axis, x.ndim), start + 1 if start >= 0 else start)


@rule("rot90")
def _rot90(lane: Lane, apply: Any, x: Any, k: Any, axes: Any) -> Any:
    return apply(x._inner, k, shifted(axes, x.ndim))


RULES["fliplr"] = lambda lane, apply, x: shape.flip(x._inner, 2)
RULES["flipud"] = lambda lane, apply, x: shape.flip(x._inner, 1)


@rule("roll")
def _roll(lane: Lane, apply: Any, x: Any, shift: Any, axis: Any) -> Any:
    if axis is not None:
        return apply(x._inner, shift, shifted(axis, x.ndim))
    flat = shape.reshape(x._inner, (lane.level.size, x.size))
    return shape.reshape(apply(flat, shift, 1), x._inner.shape)


@rule("tile")
def _tile(lane: Lane, apply: Any, x: Any, reps: Any) -> Any:
    reps = (reps,) if isinstance(reps, (int, np.integer)) else tuple(reps)
    ndim = max(len(reps), x.ndim)
    return apply(padded(x._inner, ndim), (1,) * (1 + ndim - len(reps)) + reps)


@rule("pad_constant")
def _pad_constant(lane: Lane, apply: Any, x: Any, widths: Any, value: Any) -> Any:
    if np.ndim(value):
        value = np.concatenate([np.zeros((1, 2)), np.broadcast_to(value, (np.ndim(x), 2))])
    return apply(lane.full(x), ((0, 0), *widths), value)


@rule("diagonal")
def _diagonal(lane: Lane, apply: Any, x: Any, offset: Any, axis1: Any, axis2: Any) -> Any:
    return apply(x._inner, offset, shifted(axis1, x.ndim), shifted(axis2, x.ndim))


RULES["trace"] = _diagonal


@rule("make_diagonal")
def _make_diagonal(lane: Lane, apply: Any, x: Any, offset: Any, axis1: Any, axis2: Any, new: Any) -> Any:
    ndim = x.ndim + 1
    whole = None if new is None else (lane.level.size, *new)
    return apply(x._inner, offset, shifted(axis1, ndim), shifted(axis2, ndim), whole)


@rule("diag")
def _diag(lane: Lane, apply: Any, x: Any, k: Any) -> Any:
    if x.ndim == 1:
        return diagonals.make_diagonal(x._inner, k)
    return diagonals.diagonal(x._inner, k, 1, 2)


@rule("diagflat")
def _diagflat(lane: Lane, apply: Any, x: Any, k: Any) -> Any:
    return diagonals.make_diagonal(shape.reshape(x._inner, (lane.level.size, x.size)), k)


@rule("sliding_window_view")
def _windows(lane: Lane, apply: Any, x: Any, window: Any, axis: Any) -> Any:
    axis = tuple(range(x.ndim)) if axis is None else axis
    return apply(x._inner, window, shifted(axis, x.ndim))


# -------------------------------------------------------------------------------------------------------------- joining


@rule("concatenate")
def _concatenate(lane: Lane, apply: Any, axis: Any, *xs: Any) -> Any:
    wholes = [lane.full(x) for x in xs]
    if axis is None:
        return apply(1, *[shape.reshape(x, (lane.level.size, math.prod(x.shape[1:]))) for x in wholes])
    return apply(shifted(axis, np.ndim(xs[0])), *wholes)


@rule("stack")
def _stack(lane: Lane, apply: Any, axis: Any, *xs: Any) -> Any:
    return apply(shifted(axis, np.ndim(xs[0]) + 1), *[lane.full(x) for x in xs])


@rule("joined")
def _joined(lane: Lane, apply: Any, join: Any, axis: int, least: int, *xs: Any) -> Any:
    """vstack, hstack, dstack, column_stack: the example's axes are made as NumPy makes them, then joined."""
    made = []
    for x in xs:
        whole, ndim = lane.full(x), np.ndim(x)
        if join is np.column_stack:
            new = (*whole.shape[1:], 1, 1)[:2] if ndim < 2 else whole.shape[1:]
        else:
            ones = np.broadcast_to(False, whole.shape[1:])
            shaped: Any = {np.vstack: np.atleast_2d, np.dstack: np.atleast_3d}.get(join, np.atleast_1d)
            new = shaped(ones).shape
        made.append(shape.reshape(whole, (lane.level.size, *new)))
    along = 0 if join is np.hstack and made[0].ndim == 2 else axis
    return np.concatenate(made, along + 1)


# ------------------------------------------------------------------------------------------------------------- indexing


def _places(index: tuple[Any, ...]) -> tuple[list[int], bool]:
    """Where arrays and numbers stand in an index with arrays, and whether something stands between them."""
    arrays = any(isinstance(i, (np.ndarray, TensorBase, list)) for i in index)
    at = [k for k, i in enumerate(index) if isinstance(i, (np.ndarray, TensorBase, list, int, np.integer))]
    if not arrays:
        return [], False
    return at, at[-1] - at[0] >= len(at)


def _front(index: tuple[Any, ...], at: list[int]) -> int:
    """How many axes the arrays of an index make together."""
    return max([1 if _is_mask(index[k]) else np.ndim(index[k]) for k in at])


def _is_mask(i: Any) -> bool:
    return np.dtype(getattr(i, "dtype", int)).kind == "b"


def getitem(x: Batched, index: tuple[Any, ...]) -> Any:
    """x[index] of every example."""
    lane = Lane(x._level)
    return lane.wrapped(_getitem(lane, indexing.getitem, x, index))


@rule("getitem")
def _getitem(lane: Lane, apply: Any, x: Any, index: Any) -> Any:
    index = index if isinstance(index, tuple) else (index,)
    if any(lane.has(i) for i in index):
        return _gathered(lane, apply, x, index)
    if any(np.ndim(i) == 0 and (isinstance(i, bool) or _is_mask(i)) for i in index if i is not None):
        raise TypeError("vmap: an index True or False has no batching rule; use None for a new axis")
    at, separated = _places(index)
    out = apply(x._inner, indexing.plain_index((slice(None), *index)))
    return shape.moveaxis(out, _front(index, at), 0) if separated else out


def _gathered(lane: Lane, apply: Any, x: Any, index: tuple[Any, ...]) -> Any:
    """x[index] with an index that each example has of its own."""
    at, separated = _places(index)
    if separated or at[0] != 0 or any(map(_is_mask, index)):
        raise TypeError(
            "vmap: an index that differs between examples is understood if it is of integers and stands in front, as in "
            "x[i], x[i, j] or x[np.arange(n), i]; use tt.where for masks"
        )
    ndim = max([np.ndim(index[k]) for k in at])
    entries = [padded(i._inner, ndim) if lane.has(i) else i for i in index]
    if lane.has(x):
        number = np.arange(lane.level.size).reshape((-1,) + (1,) * ndim)
        return apply(x._inner, indexing.plain_index((number, *entries)))
    return apply(x if isinstance(x, TensorBase) else wrap(asarray(x), None), indexing.plain_index(tuple(entries)))


@rule("scatter")
def _scatter(lane: Lane, apply: Any, x: Any, index: Any, new: Any) -> Any:
    index = index if isinstance(index, tuple) else (index,)
    if any(lane.has(i) for i in index):
        raise TypeError("vmap: scatter has no batching rule for an index that differs between examples")
    at, separated = _places(index)
    inner = shape.moveaxis(x._inner, 0, _front(index, at)) if separated else x._inner
    return apply(inner, (slice(None), *index), (lane.level.size, *new))


def _setitem(lane: Lane, apply: Any, x: Any, index: Any, value: Any) -> Any:
    index = index if isinstance(index, tuple) else (index,)
    if any(lane.has(i) for i in index) or (_places(index)[1] and lane.has(value)):
        raise TypeError("vmap: x[index] = v has no batching rule for this index; use tt.where")
    target = np.broadcast_to(False, x.shape)[index]
    whole = fitting(value._inner, target.ndim) if lane.has(value) else value
    return indexing.setitem(lane.full(x), (slice(None), *index), whole)


RULES["setitem"] = RULES["setitem_"] = _setitem


@rule("take")
def _take(lane: Lane, apply: Any, x: Any, indices: Any, axis: Any, out: Any, mode: Any) -> Any:
    if lane.has(indices):
        if axis not in (None, 0) or mode != "raise":
            raise TypeError("vmap: take has no batching rule for indices that differ between examples and this axis")
        return lane.full(indexing.getitem(x.reshape(-1) if axis is None else x, indices))
    if axis is None:
        return apply(shape.reshape(x._inner, (lane.level.size, x.size)), indices, 1, out, mode)
    return apply(x._inner, indices, shifted(axis, x.ndim), out, mode)


@rule("untake")
def _untake(lane: Lane, apply: Any, x: Any, indices: Any, axis: Any, mode: Any, new: Any) -> Any:
    n = lane.level.size
    if axis is not None:
        return apply(x._inner, indices, shifted(axis, len(new)), mode, (n, *new))
    return shape.reshape(apply(x._inner, indices, 1, mode, (n, math.prod(new))), (n, *new))


def _permuted(lane: Lane, apply: Any, x: Any, order: Any, axis: Any, *new: Any) -> Any:
    n, inner = lane.level.size, x._inner
    if axis is None:
        inner, axis = shape.reshape(inner, (n, x.size)), 0
    whole = np.broadcast_to(order, (n, *np.shape(order)))
    return apply(inner, whole, shifted(axis, inner.ndim - 1), *[(n, *s) for s in new])


RULES["permuted"] = RULES["unpermuted"] = _permuted
