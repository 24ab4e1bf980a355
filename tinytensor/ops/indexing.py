"""Indexing, and what can be said as indexing: take, compress, choose. One scatter undoes them all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, empty, settled, traced, zeros
from tinytensor.deferred import Deferred
from tinytensor.graph import assured
from tinytensor.primitive import TensorBase, composite, primitive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "along", "as_mask", "choose", "compress", "extract", "getitem", "is_basic", "plain_index", "scatter", "setitem", "take",
    "take_along_axis",
]  # fmt: skip

_BASIC = (int, slice, type(None), type(Ellipsis), np.integer)


def is_basic(index: Any) -> bool:
    """Whether an index selects each element at most once: ints, slices, newaxis, ellipsis, and boolean masks."""
    if isinstance(index, tuple):
        return all(map(_once, index))
    return _once(index)


def _once(i: Any) -> bool:
    if isinstance(i, np.ndarray):
        return i.dtype == bool and i.ndim > 0
    return isinstance(i, _BASIC) and not isinstance(i, bool)


def plain_index(index: Any) -> Any:
    """An index with tensors replaced by their arrays, and lists by arrays."""
    if isinstance(index, tuple):
        return tuple([plain_index(i) for i in index])
    if isinstance(index, TensorBase):
        try:
            index = index._data
        except Deferred:
            return index  # the batching rule of getitem knows what to do with it
    elif isinstance(index, list):
        index = np.asarray(index, dtype=None if index else np.intp)
    if isinstance(index, np.ndarray) and index.dtype.kind not in "biu":
        raise IndexError(f"getitem: an index must be of integers or booleans, got an array of {index.dtype}")
    return index


#: From this many elements on, flat positions (for which ``np.add.at`` is fast) are worth their computation.
_MANY = 200


def _add_at(accumulator: Any, g: Any, index: Any) -> None:
    """accumulator[index] += g, where an index that occurs twice counts twice."""
    if is_basic(index):
        if (
            index.__class__ is np.ndarray and g.size > _MANY
        ):  # places are read and written three times faster than a mask
            index = index.nonzero()
        accumulator[index] += g
    elif index.__class__ is np.ndarray and index.dtype != bool:
        _add_taken(accumulator, g, index, 0)
    elif g.size > _MANY and accumulator.size < 8 * g.size and accumulator.flags.c_contiguous:
        places = np.arange(accumulator.size).reshape(accumulator.shape)[index]
        np.add.at(accumulator.reshape(-1), places.reshape(-1), np.broadcast_to(g, places.shape).reshape(-1))
    else:
        np.add.at(accumulator, index, g)


def _add_taken(accumulator: Any, g: Any, index: Any, axis: int) -> None:
    """accumulator[:, ..., index] += g, with as many colons as ``axis`` says."""
    shape = accumulator.shape
    if (accumulator.ndim == 1 and index.ndim == 1) or g.size <= _MANY or not accumulator.flags.c_contiguous:
        np.add.at(accumulator, (slice(None),) * axis + (index,), g)
        return
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    rows = index.reshape(-1) + (index.reshape(-1) < 0) * shape[axis]
    if outer > 1:
        rows = (np.arange(outer)[:, None] * shape[axis] + rows).reshape(-1)
    places = rows if inner == 1 else (rows[:, None] * inner + np.arange(inner)).reshape(-1)
    full = (*shape[:axis], *index.shape, *shape[axis + 1 :])
    np.add.at(accumulator.reshape(-1), places, np.broadcast_to(g, full).reshape(-1))


@primitive(x=lambda g, index: getitem(g, index))
def scatter(x: Operand, index: Any, shape: tuple[int, ...]) -> Tensor:
    """An array of zeros into which x is added at ``index``: the transpose of indexing.

    >>> import numpy as np
    >>> scatter(np.array([1.0, 2.0, 4.0]), np.array([0, 0, 2]), (3,))
    array([3., 0., 4.])
    """
    x = asarray(x)
    out = zeros(shape, x.dtype, x)
    _add_at(out, x, index)
    return out


def _chooses(index: Any) -> bool:
    """Whether a mask of a traced program is in an index: how many elements there are depends on its values."""
    if index.__class__ is np.ndarray:
        return traced(index) and index.dtype == bool
    return type(index) is tuple and any(i.__class__ is np.ndarray and _chooses(i) for i in index)


@primitive(
    x=lambda g, index, x_shape: scatter(g, index, x_shape),
    into={"x": lambda accumulator, g, index: _add_at(accumulator, g, index)},
)
def getitem(x: Operand, index: Any) -> Tensor:
    """x[index], as NumPy indexes; an element that is taken twice gets both gradients.   (``numpy.ndarray.__getitem__``)

    >>> import tinytensor as tt
    >>> tt.getitem(tt.tensor([1.0, 2.0, 3.0]), [0, 0, 2])
    tensor([1., 1., 3.])
    """
    return settled(x[index]) if type(x) is not np.ndarray and _chooses(index) else x[index]


def _value_rule(g: Any, index: Any, x_shape: Any, value_shape: Any) -> Any:
    """g[index], 0 where a later write to the same element won."""
    got = g[index]
    if not is_basic(index):
        number = np.arange(math.prod(got.shape)).reshape(got.shape)
        where = index if isinstance(index, tuple) else (index,)
        last = empty(x_shape, np.intp, next((i for i in where if traced(i)), number))
        last[index] = number
        got = np.where(last[index] == number, got, 0)
    extra = len(value_shape) - got.ndim  # NumPy drops leading axes of length 1 of the value
    return got.reshape((1,) * extra + got.shape) if extra > 0 else got


_SETITEM: dict[str, Any] = {"broadcasts": True, "x": lambda g, index: setitem(g, index, 0), "value": _value_rule}


@primitive(**_SETITEM)
def setitem(x: Operand, index: Any, value: Operand) -> Tensor:
    """A copy of x with ``copy[index] = value``.   ∂/∂x = 0 at index, ∂/∂value = 1 there

    Raises TypeError where integers would have to hold a fraction (NumPy cuts it off, and the gradient with it).

    >>> import tinytensor as tt
    >>> tt.setitem(tt.zeros(3), 1, 5.0)
    tensor([0., 5., 0.])
    """
    out = np.copy(asarray(x))  # in its own order, as a write into x would leave it
    if out.dtype.kind in "biu" and (kind := asarray(value).dtype).kind in "fc":
        raise TypeError(f"setitem: an array of {out.dtype} cannot hold {kind}; use x.astype(float), or round the value")
    out[index] = value
    return out


@primitive(**_SETITEM)
def setitem_(x: Any, index: Any, value: Any) -> Any:
    """``x[index] = value`` in x's own memory: for an array that nobody else holds."""
    x[index] = value
    return x


# ------------------------------------------------------------------------------------------------------------ selecting


def _axis(axis: int, ndim: int, op: str) -> int:
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(f"{op}: axis {axis} is out of bounds for an array of {ndim} dimensions")
    return axis + ndim if axis < 0 else axis


def _places(indices: Any, n: int, mode: str) -> Any:
    """The indices that :func:`numpy.take` uses in this mode."""
    index = asarray(indices).astype(np.intp)
    return index if mode == "raise" else index % max(n, 1) if mode == "wrap" else np.clip(index, 0, n - 1)


def _add_take(accumulator: Any, g: Any, indices: Any, axis: int | None, mode: str) -> None:
    if axis is None:
        index = _places(indices, accumulator.size, mode)
        if accumulator.flags.c_contiguous:
            np.add.at(accumulator.reshape(-1), index.reshape(-1), g.reshape(-1))
        else:
            np.add.at(accumulator, np.unravel_index(index % accumulator.size, accumulator.shape), g)
        return
    if not accumulator.ndim:  # NumPy takes from axis 0 of a number, too
        accumulator[...] += np.add.reduce(g, None)
        return
    axis = axis % accumulator.ndim
    _add_taken(accumulator, g, _places(indices, accumulator.shape[axis], mode), axis)


@primitive(x=lambda g, indices, axis, mode: take(g, indices, axis, None, mode))
def _untake(x: Any, indices: Any, axis: int | None, mode: str, shape: tuple[int, ...]) -> Any:
    """The transpose of :func:`take`: an array of zeros into which x is added."""
    out = zeros(shape, x.dtype, x)
    _add_take(out, x, indices, axis, mode)
    return out


@primitive(
    np.take,
    x=lambda g, indices, axis, mode, x_shape: _untake(g, indices, axis, mode, x_shape),
    into={"x": lambda accumulator, g, indices, axis, mode: _add_take(accumulator, g, indices, axis, mode)},
)
def take(x: Operand, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise") -> Tensor:
    """Elements along an axis (of the flattened array, if None).   ∂/∂x: g, added where it was taken   (:func:`numpy.take`)

    mode: what to do with an index out of bounds, "raise", "wrap" or "clip". (``torch.index_select``)

    >>> import tinytensor as tt
    >>> tt.take(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 1, 0], axis=1)
    tensor([[2., 2., 1.],
            [4., 4., 3.]])
    """
    if out is not None:
        raise TypeError("take() does not take out=: a result cannot be written into another array; assign it: t = f(x)")
    return np.take(x, indices, axis, mode=mode)


def along(indices: Any, axis: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """The index by which ``take_along_axis`` takes."""
    ndim = len(shape)
    where: list[Any] = [np.arange(n).reshape([-1 if d == k else 1 for d in range(ndim)]) for k, n in enumerate(shape)]
    where[axis] = indices
    return tuple(where)


@composite(np.take_along_axis)
def take_along_axis(x: Operand, indices: Any, axis: int | None = -1) -> Tensor:
    """out[i, j] = x[i, indices[i, j]] along the axis.   (:func:`numpy.take_along_axis`, ``torch.gather``)

    >>> import numpy as np, tinytensor as tt
    >>> tt.take_along_axis(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]), axis=1)
    tensor([[2.],
            [3.]])
    """
    array: Any = x if hasattr(x, "shape") else asarray(x)
    index = asarray(plain_index(indices))
    if axis is None:
        return getitem(array.reshape(-1), index)
    ndim = array.ndim
    if index.ndim != ndim:
        raise ValueError(f"take_along_axis: indices must have the {ndim} dimensions of x, got {index.ndim}")
    return getitem(array, along(index, _axis(axis, ndim, "take_along_axis"), array.shape))


def as_mask(condition: Any) -> Any:
    """What is true of an array, a list or a tensor."""
    condition = asarray(condition._data if isinstance(condition, TensorBase) else condition)
    return condition.astype(bool, copy=False)


@composite(np.compress)
def compress(condition: Any, x: Operand, axis: int | None = None) -> Tensor:
    """The slices along an axis (the elements, if None) where the vector ``condition`` is true.   (:func:`numpy.compress`)

    >>> import tinytensor as tt
    >>> tt.compress([False, True], tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([[3., 4.]])
    """
    array: Any = x if hasattr(x, "shape") else asarray(x)
    chosen = as_mask(condition)
    if chosen.ndim != 1:
        raise ValueError(f"compress: condition must be a vector, got {chosen.ndim} dimensions")
    if axis is None:
        array, axis = array.reshape(-1), 0
    axis = _axis(axis, array.ndim, "compress")
    mask = zeros((array.shape[axis],), bool, chosen)
    if assured(np.any, chosen[mask.size :]):
        raise IndexError(f"compress: condition is true beyond the {mask.size} elements of axis {axis}")
    mask[: chosen.size] = chosen[: mask.size]
    return getitem(array, (slice(None),) * axis + (mask,))


@composite(np.extract)
def extract(condition: Any, x: Operand) -> Tensor:
    """The elements of x where ``condition``, an array of as many elements, is true.   (:func:`numpy.extract`)

    >>> import tinytensor as tt
    >>> x = tt.tensor([1.0, -2.0, 3.0])
    >>> tt.extract(x > 0, x)
    tensor([1., 3.])
    """
    return compress(as_mask(condition).reshape(-1), x)


@primitive(broadcasts=True, xs=lambda g, i, index: np.where(index == i, g, 0))
def _choose(index: Any, mode: str, *xs: Any) -> Any:
    return np.choose(index, xs, mode=mode)


@composite(np.choose)
def choose(a: Any, choices: Sequence[Operand], out: None = None, mode: str = "raise") -> Tensor:
    """Each element from the choice whose number ``a`` holds: out[i] = choices[a[i]][i].   (:func:`numpy.choose`)

    ∂/∂choice k = g where a = k, 0 elsewhere.

    >>> import tinytensor as tt
    >>> tt.choose([0, 1, 0], [tt.tensor([1.0, 2.0, 3.0]), 10.0])
    tensor([ 1., 10.,  3.])
    """
    if out is not None:
        raise TypeError("choose() does not take out=: a result cannot be written into another array")
    xs = list(choices)
    if any(type(x) in (int, float, complex) for x in xs):  # numbers are weak: float32 stays float32
        dtype = np.result_type(*[getattr(x, "dtype", x) for x in xs])
        xs = [np.asarray(x, dtype) if type(x) in (int, float, complex) else x for x in xs]
    index = asarray(plain_index(a))
    if mode != "raise":
        index = _places(index, len(xs), mode)
    return _choose(index, "raise", *xs)
