"""Indexing, and what can be said as indexing: take, take_along_axis, pad. One scatter undoes them all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.primitive import TensorBase, composite, primitive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["getitem", "is_basic", "pad", "scatter", "setitem", "take", "take_along_axis"]

_BASIC = (int, slice, type(None), type(Ellipsis), np.integer)


def is_basic(index: Any) -> bool:
    """Whether an index selects each element at most once: ints, slices, newaxis, ellipsis, or one boolean mask."""
    if isinstance(index, tuple):
        return all(isinstance(i, _BASIC) and not isinstance(i, bool) for i in index)
    if isinstance(index, np.ndarray):
        return index.dtype == bool
    return isinstance(index, _BASIC) and not isinstance(index, bool)


def plain_index(index: Any) -> Any:
    """An index with tensors replaced by their arrays, and lists by arrays."""
    if isinstance(index, tuple):
        return tuple([plain_index(i) for i in index])
    if isinstance(index, TensorBase):
        index = index._data
    elif isinstance(index, list):
        index = np.asarray(index, dtype=None if index else np.intp)
    if isinstance(index, np.ndarray) and index.dtype.kind not in "biu":
        raise IndexError(f"getitem: an index must be of integers or booleans, got an array of {index.dtype}")
    return index


def _add_at(accumulator: Any, g: Any, index: Any) -> None:
    """accumulator[index] += g, where an index that occurs twice counts twice."""
    if is_basic(index):
        accumulator[index] += g
    else:
        np.add.at(accumulator, index, g)


@primitive(x=lambda g, index: getitem(g, index))
def scatter(x: Operand, index: Any, shape: tuple[int, ...]) -> Tensor:
    """An array of zeros into which x is added at ``index``: the transpose of indexing.

    >>> import numpy as np
    >>> scatter(np.array([1.0, 2.0, 4.0]), np.array([0, 0, 2]), (3,))
    array([3., 0., 4.])
    """
    x = np.asarray(x)
    out = np.zeros(shape, x.dtype)
    _add_at(out, x, index)
    return out


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
    return x[index]


def _value_rule(g: Any, index: Any, x_shape: Any, value_shape: Any) -> Any:
    """g[index], 0 where a later write to the same element won."""
    got = g[index]
    if not is_basic(index):
        number = np.arange(math.prod(got.shape)).reshape(got.shape)
        last = np.empty(x_shape, np.intp)
        last[index] = number
        got = np.where(last[index] == number, got, 0)
    extra = len(value_shape) - got.ndim  # NumPy drops leading axes of length 1 of the value
    return got.reshape((1,) * extra + got.shape) if extra > 0 else got


_SETITEM: dict[str, Any] = {"broadcasts": True, "x": lambda g, index: setitem(g, index, 0), "value": _value_rule}


@primitive(**_SETITEM)
def setitem(x: Operand, index: Any, value: Operand) -> Tensor:
    """A copy of x with ``copy[index] = value``.   ∂/∂x = 0 at index, ∂/∂value = 1 there

    >>> import tinytensor as tt
    >>> tt.setitem(tt.zeros(3), 1, 5.0)
    tensor([0., 5., 0.])
    """
    out = np.array(x)
    out[index] = value
    return out


@primitive(**_SETITEM)
def setitem_(x: Any, index: Any, value: Any) -> Any:
    """``x[index] = value`` in x's own memory: for an array that nobody else holds."""
    x[index] = value
    return x


@composite(np.take)
def take(x: Operand, indices: Any, axis: int | None = None) -> Tensor:
    """Elements along an axis (of the flattened array, if None).   (:func:`numpy.take`)

    >>> import tinytensor as tt
    >>> tt.take(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), [1, 1, 0], axis=1)
    tensor([[2., 2., 1.],
            [4., 4., 3.]])
    """
    array: Any = x if hasattr(x, "shape") else np.asarray(x)
    index = plain_index(indices)
    if axis is None:
        return getitem(array.reshape(-1), index)
    ndim = array.ndim
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(f"take: axis {axis} is out of bounds for an array of {ndim} dimensions")
    return getitem(array, (slice(None),) * (axis % ndim) + (index,))


@composite(np.take_along_axis)
def take_along_axis(x: Operand, indices: Any, axis: int | None = -1) -> Tensor:
    """out[i, j] = x[i, indices[i, j]] along the axis.   (:func:`numpy.take_along_axis`, ``torch.gather``)

    >>> import numpy as np, tinytensor as tt
    >>> tt.take_along_axis(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]]), axis=1)
    tensor([[2.],
            [3.]])
    """
    array: Any = x if hasattr(x, "shape") else np.asarray(x)
    index = np.asarray(plain_index(indices))
    if axis is None:
        return getitem(array.reshape(-1), index)
    ndim = array.ndim
    if index.ndim != ndim:
        raise ValueError(f"take_along_axis: indices must have the {ndim} dimensions of x, got {index.ndim}")
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(f"take_along_axis: axis {axis} is out of bounds for {ndim} dimensions")
    where: list[Any] = [
        np.arange(n).reshape([-1 if d == k else 1 for d in range(ndim)]) for k, n in enumerate(array.shape)
    ]
    where[axis] = index
    return getitem(array, tuple(where))


# ------------------------------------------------------------------------------------------------------------ padding

_REARRANGING = ("edge", "reflect", "symmetric", "wrap")


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        table = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            table[axis] = width if isinstance(width, tuple) else (width, width)
        return table
    widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (ndim, 2))
    if (widths < 0).any():
        raise ValueError(f"pad: widths must not be negative, got {pad_width!r}; use an index to cut")
    return [(int(a), int(b)) for a, b in widths]


@primitive(x=lambda g, widths: g[tuple([slice(a, n - b) for (a, b), n in zip(widths, g.shape, strict=True)])])
def _pad_constant(x: Any, widths: Any, value: Any) -> Any:
    return np.pad(x, widths, constant_values=value)


@composite(np.pad)
def pad(
    x: Operand, pad_width: int | Sequence[Any] | dict[int, Any], mode: str = "constant", constant_values: Any = 0
) -> Tensor:
    """x with elements added before and after each axis; ``pad_width`` as in NumPy.   (:func:`numpy.pad`)

    mode: constant, edge, reflect, symmetric, wrap.

    >>> import tinytensor as tt
    >>> tt.pad(tt.tensor([1.0, 2.0, 3.0]), (1, 2), mode="reflect")
    tensor([2., 1., 2., 3., 2., 1.])
    """
    array: Any = x if hasattr(x, "shape") else np.asarray(x)
    widths = _widths(pad_width, array.ndim)
    if mode == "constant":
        return _pad_constant(array, widths, constant_values)
    if mode not in _REARRANGING:
        raise ValueError(f"pad: mode must be constant, {', '.join(_REARRANGING)}; got {mode!r}")
    places = np.pad(np.arange(array.size).reshape(array.shape), widths, mode=mode)
    return getitem(array.reshape(-1), places)
