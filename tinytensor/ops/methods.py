"""Methods of ufuncs on tensors: ``np.add.reduce``, ``accumulate``, ``reduceat``, ``outer`` and ``at``.

Those that have a name (``np.sum``, ``np.cumsum``) go there. Any other differentiable ufunc of two arguments is folded
from the left along the axis, an operation of the graph for every step: right for all of them, and slow for long axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.ops import elementwise, indexing, joining, reductions, shape
from tinytensor.primitive import TensorBase, composite, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["accumulate", "add_at", "at", "bincount", "outer", "reduce", "reduceat"]

# -------------------------------------------------------------------------------------------------------------- outer


def outer(function: Callable[..., Any], x: Any, y: Any) -> Any:
    """function(xᵢ, yⱼ) for every pair of elements: ``np.subtract.outer``.

    >>> import numpy as np, tinytensor as tt
    >>> np.subtract.outer(tt.tensor([1.0, 2.0]), [0.0, 1.0, 2.0])
    tensor([[ 1.,  0., -1.],
            [ 2.,  1.,  0.]])
    """
    a = x if isinstance(x, TensorBase) else asarray(x)
    b: Any = y if isinstance(y, TensorBase) else asarray(y)
    return function(shape.reshape(a, (*np.shape(a), *(1,) * b.ndim)), b)


# ------------------------------------------------------------------------------------------------ reduce, accumulate

_REDUCE: dict[Any, Callable[..., Any]] = {
    np.add: reductions.sum, np.multiply: reductions.prod, np.maximum: reductions.max, np.minimum: reductions.min,
}  # fmt: skip

#: Those whose order does not matter, which may therefore be reduced over several axes.
_REORDERABLE = frozenset({np.logaddexp, np.logaddexp2, np.hypot, np.fmax, np.fmin})


@primitive(
    x=lambda g, x, out, axis: reductions.spread(g, axis, x.shape) * _share(x, reductions.spread(out, axis, x.shape))
)
def _logaddexp_reduce(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return np.logaddexp.reduce(x, axis, keepdims=keepdims)


def _share(x: Any, out: Any) -> Any:
    return np.exp(x - np.where(np.equal(out, -np.inf), 0, out))


_REDUCE[np.logaddexp] = _logaddexp_reduce


def reduce(
    ufunc: np.ufunc, function: Callable[..., Any], x: Any, axis: Any = 0, keepdims: bool = False, **more: Any
) -> Any:
    """``ufunc.reduce(x)``: along axis 0, unless told otherwise.

    >>> import numpy as np, tinytensor as tt
    >>> x = tt.tensor([[8.0, 6.0], [2.0, 3.0]], requires_grad=True)
    >>> np.divide.reduce(x).sum().backward()
    >>> x.grad
    array([[ 0.5       ,  0.33333333],
           [-2.        , -0.66666667]])
    """
    x = _cast(x, more)
    if (named := _REDUCE.get(ufunc)) is not None:
        return named(x, axis=axis, keepdims=keepdims, **more)
    _refuse_options(ufunc, "reduce", more)
    dims = x.shape
    axis = () if not dims and axis in (0, -1) else axis  # as NumPy
    axes = reductions.axes_of(axis, len(dims), f"np.{ufunc.__name__}.reduce")
    if len(axes) > 1 and ufunc not in _REORDERABLE:
        raise ValueError(
            f"np.{ufunc.__name__}.reduce: the order matters, so that one axis must be given, got axis={axis!r}"
        )
    if not axes:
        return elementwise.positive(x)
    n = reductions.count_of(dims, axes, ufunc.__name__)
    if not n:
        return wrap(ufunc.reduce(x._data, axes, keepdims=keepdims), None)
    rest = [a for a in range(len(dims)) if a not in axes]
    rows = shape.reshape(shape.transpose(x, (*axes, *rest)), (n, *[dims[a] for a in rest]))
    out = indexing.getitem(rows, 0)
    for i in range(1, n):
        out = function(out, indexing.getitem(rows, i))
    return shape.reshape(out, reductions.kept_shape(dims, axes, ufunc.__name__)) if keepdims else out


def _running(ufunc: np.ufunc, x: Any, axis: int) -> Any:
    """The running extreme: each is one of the elements, the last one that is equal to it."""
    values = x._data
    hits = np.logical_or(values == ufunc.accumulate(values, axis), values != values)
    places = np.arange(values.shape[axis]).reshape([-1 if a == axis % values.ndim else 1 for a in range(values.ndim)])
    return indexing.take_along_axis(x, np.maximum.accumulate(np.where(hits, places, 0), axis), axis)


def accumulate(ufunc: np.ufunc, function: Callable[..., Any], x: Any, axis: int = 0, **more: Any) -> Any:
    """``ufunc.accumulate(x)``: all results of a reduction, from the first element to the whole axis.

    >>> import numpy as np, tinytensor as tt
    >>> x = tt.tensor([1.0, 3.0, 2.0], requires_grad=True)
    >>> np.maximum.accumulate(x).sum().backward()
    >>> x.grad
    array([1., 2., 0.])
    """
    x = _cast(x, more)
    _refuse_options(ufunc, "accumulate", more)
    (axis,) = reductions.axes_of(axis, x.ndim, f"np.{ufunc.__name__}.accumulate")
    if ufunc is np.add:
        return reductions.cumsum(x, axis)
    if ufunc is np.multiply:
        return np.cumprod(x, axis=axis)
    if ufunc in (np.maximum, np.minimum):
        return _running(ufunc, x, axis)
    before = (slice(None),) * axis
    rows = [indexing.getitem(x, (*before, i)) for i in range(x.shape[axis])]
    if not rows:
        return elementwise.positive(x)
    for i in range(1, len(rows)):
        rows[i] = function(rows[i - 1], rows[i])
    return joining.stack(rows, axis)


# ------------------------------------------------------------------------------------------------------------ reduceat


def _segments(indices: Any, n: int) -> tuple[Any, Any]:
    """Where the segments of ``reduceat`` start and stop: at the next index, or after one element if that is not ahead."""
    starts = asarray(indices)
    stops = np.append(starts[1:], n)
    return starts, np.where(stops > starts, stops, starts + 1)


def _reduceat_rule(g: Any, indices: Any, axis: int, x_shape: Any) -> Any:
    starts, stops = _segments(indices, x_shape[axis])
    lengths = stops - starts
    ends = np.cumsum(lengths)
    source = np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)
    before = (slice(None),) * axis
    return indexing.scatter(
        indexing.getitem(g, (*before, np.repeat(np.arange(len(starts)), lengths))), (*before, source), x_shape
    )


@primitive(x=_reduceat_rule)
def _add_reduceat(x: Any, indices: Any, axis: int) -> Any:
    return np.add.reduceat(x, indices, axis)


def reduceat(ufunc: np.ufunc, function: Callable[..., Any], x: Any, indices: Any, axis: int = 0, **more: Any) -> Any:
    """``ufunc.reduceat(x, indices)``: reductions of the segments that start at the indices.

    >>> import numpy as np, tinytensor as tt
    >>> np.add.reduceat(tt.tensor([1.0, 2.0, 3.0, 4.0]), [0, 1])
    tensor([1., 9.])
    """
    x = _cast(x, more)
    _refuse_options(ufunc, "reduceat", more)
    indices = np.asarray(indexing.plain_index(indices))
    (axis,) = reductions.axes_of(axis, x.ndim, f"np.{ufunc.__name__}.reduceat")
    n = x.shape[axis]
    if indices.size and not 0 <= indices.min() <= indices.max() < n:
        raise IndexError(f"np.{ufunc.__name__}.reduceat: indices must be in [0, {n}), got {indices.tolist()}")
    if ufunc is np.add or not indices.size:
        return _add_reduceat(x, indices, axis)
    before = (slice(None),) * axis
    parts = [
        reduce(ufunc, function, indexing.getitem(x, (*before, slice(int(start), int(stop)))), axis)
        for start, stop in zip(*_segments(indices, n), strict=True)
    ]
    return joining.stack(parts, axis)


# ------------------------------------------------------------------------------------------------------ at, bincount


@primitive(broadcasts=True, x=lambda g: g, y=lambda g, index: indexing.getitem(g, index))
def add_at(x: Operand, index: Any, y: Operand) -> Tensor:
    """A copy of x with y added at the index, twice where it occurs twice.   (:func:`numpy.add.at` of a copy)

    ∂/∂x = 1, ∂/∂y = 1 at the index.

    >>> import numpy as np, tinytensor as tt
    >>> tt.add_at(tt.zeros(3), np.array([0, 0, 2]), 1.0)
    tensor([2., 0., 1.])
    """
    out = asarray(x).copy()
    np.add.at(out, index, y)
    return out


def _repeats(index: Any, dims: tuple[int, ...]) -> bool:
    if indexing.is_basic(index):
        return False
    counts = np.zeros(dims, np.intp)
    np.add.at(counts, index, 1)
    return bool((counts > 1).any())


def at(ufunc: np.ufunc, function: Callable[..., Any], x: Any, index: Any, *y: Any) -> Any:
    """What ``ufunc.at(x, index, y)`` would make of x, as a new tensor.

    Sums and differences take an index that occurs twice; of others the order would matter, so they refuse it.
    """
    if ufunc in (np.add, np.subtract):
        return add_at(x, index, y[0] if ufunc is np.add else np.negative(y[0]))
    if _repeats(index, x.shape):
        raise TypeError(
            f"np.{ufunc.__name__}.at: an index that occurs twice is supported for np.add.at and np.subtract.at alone; "
            "write t[i] = f(t[i], u) for distinct indices"
        )
    return indexing.setitem(x, index, function(indexing.getitem(x, index), *y))


@composite(np.bincount)
def bincount(x: Operand, weights: Operand | None = None, minlength: int = 0) -> Tensor:
    """How often each number occurs among the whole numbers x, or the sum of its weights.   (:func:`numpy.bincount`)

    ∂outₖ/∂weightsᵢ = [xᵢ = k]

    >>> import tinytensor as tt
    >>> tt.bincount([0, 2, 2], tt.tensor([1.0, 2.0, 4.0]))
    tensor([1., 0., 6.])
    """
    numbers = np.asarray(indexing.plain_index(x))
    if not isinstance(weights, TensorBase):
        return wrap(np.bincount(numbers, weights, minlength), None)
    counts = np.bincount(numbers, None, minlength)
    if weights._data.shape != numbers.shape:
        raise ValueError(f"bincount: weights have shape {weights._data.shape}, expected that of x, {numbers.shape}")
    return indexing.scatter(elementwise.astype(weights, np.float64), numbers, counts.shape)


# ------------------------------------------------------------------------------------------------------------- options


def _cast(x: Any, options: dict[str, Any]) -> Any:
    """x in the dtype that is asked for."""
    dtype = options.pop("dtype", None)
    return x if dtype is None or x._data.dtype == dtype else elementwise.astype(x, np.dtype(dtype))


def _refuse_options(ufunc: np.ufunc, method: str, options: dict[str, Any]) -> None:
    neutral = {"out": (None,), "where": (True,), "initial": (None, np._NoValue)}
    for key, value in options.items():
        if not any(value is n for n in neutral.get(key, ())):
            raise TypeError(
                f"np.{ufunc.__name__}.{method}: {key}= is not supported for tensors; use tt.where, or combine results"
            )
