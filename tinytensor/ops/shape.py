"""Functions that change an array's axes and their order, and compute nothing: each one's gradient changes them back."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinytensor.arrays import asarray
from tinytensor.primitive import DISPATCH, TensorBase, composite, has_tensors, primitive, sum_to, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand, Shape

__all__ = [
    "as_tensor", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_arrays", "broadcast_to", "copy", "expand_dims",
    "flip", "fliplr", "flipud", "matrix_transpose", "moveaxis", "ravel", "reshape", "roll", "rollaxis", "rot90",
    "squeeze", "swapaxes", "transpose",
]  # fmt: skip


def as_tensor(x: Any) -> Any:
    """x, or a tensor without gradient of what it holds."""
    return x if isinstance(x, TensorBase) else wrap(asarray(x), None)


# ------------------------------------------------------------------------------------------------------------- reshape


def _order(x: Any, order: str, op: str) -> str:
    """C or F. A tensor's value does not say how it lies in memory, so A and K mean C, where they do."""
    if order not in ("C", "F") and not (order in ("A", "K") and x.flags.c_contiguous):
        raise ValueError(f"{op}: order must be 'C' or 'F' for an array that is not contiguous, got {order!r}")
    return "F" if order == "F" else "C"


def _reshaped_back(g: Any, x_shape: Any, order: str) -> Any:
    return np.reshape(g, x_shape, order="F") if order == "F" else g.reshape(x_shape)


@primitive(np.reshape, x=_reshaped_back)
def reshape(x: Operand, shape: Shape, order: str = "C", copy: bool | None = None) -> Tensor:
    """The same elements in another shape; one size may be −1.   ∂/∂x: g in the old shape   (:func:`numpy.reshape`)

    >>> import tinytensor as tt
    >>> tt.reshape(tt.tensor([1.0, 2.0, 3.0, 4.0]), (2, -1))
    tensor([[1., 2.],
            [3., 4.]])
    """
    a = asarray(x)
    if order == "C" and copy is None:
        return a.reshape(shape)
    return a.reshape(shape, order=_order(a, order, "reshape"), copy=copy)


@primitive(np.ravel, x=_reshaped_back)
def ravel(x: Operand, order: str = "C") -> Tensor:
    """All elements along one axis, as a view where possible.   ∂/∂x: g in the old shape   (:func:`numpy.ravel`)

    >>> import tinytensor as tt
    >>> tt.ravel(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), order="F")
    tensor([1., 3., 2., 4.])
    """
    a = asarray(x)
    return a.ravel() if order == "C" else a.ravel(_order(a, order, "ravel"))


@primitive(np.squeeze, x=lambda g, x_shape: g.reshape(x_shape))
def squeeze(x: Operand, axis: Axis = None) -> Tensor:
    """Axes of length 1 removed: all, or those named.   (:func:`numpy.squeeze`)

    >>> import tinytensor as tt
    >>> tt.squeeze(tt.zeros((1, 3, 1)), axis=0).shape
    (3, 1)
    """
    return asarray(x).squeeze(axis)


@primitive(np.expand_dims, x=lambda g, x_shape: g.reshape(x_shape))
def expand_dims(x: Operand, axis: int | tuple[int, ...]) -> Tensor:
    """Axes of length 1 inserted.   (:func:`numpy.expand_dims`, ``torch.unsqueeze``)

    >>> import tinytensor as tt
    >>> tt.expand_dims(tt.zeros(3), (0, -1)).shape
    (1, 3, 1)
    """
    return np.expand_dims(asarray(x), axis)


def _at_least(arrays: tuple[Any, ...], n: int, lifted: Any) -> Any:
    """Arrays of fewer than n axes as ``lifted`` says, the others as they are; one alone if one is given."""
    found = []
    for a in arrays:
        x = as_tensor(a)
        found.append(x if x.ndim >= n else reshape(x, lifted(x.shape)))
    return found[0] if len(found) == 1 else tuple(found)


@composite(np.atleast_1d)
def atleast_1d(*arrays: Operand) -> Any:
    """Numbers as vectors of one element, all else as it is; of several arrays, a tuple.   (:func:`numpy.atleast_1d`)

    >>> import tinytensor as tt
    >>> tt.atleast_1d(tt.tensor(3.0))
    tensor([3.])
    """
    return _at_least(arrays, 1, lambda s: (1,))


@composite(np.atleast_2d)
def atleast_2d(*arrays: Operand) -> Any:
    """Vectors as rows, numbers as 1 × 1, all else as it is; of several arrays, a tuple.   (:func:`numpy.atleast_2d`)

    >>> import tinytensor as tt
    >>> tt.atleast_2d(tt.tensor([1.0, 2.0]))
    tensor([[1., 2.]])
    """
    return _at_least(arrays, 2, lambda s: (1, *(s or (1,))))


@composite(np.atleast_3d)
def atleast_3d(*arrays: Operand) -> Any:
    """Vectors as (1, n, 1), matrices as (m, n, 1), all else as it is.   (:func:`numpy.atleast_3d`)

    >>> import tinytensor as tt
    >>> tt.atleast_3d(tt.zeros(4)).shape
    (1, 4, 1)
    """
    return _at_least(arrays, 3, lambda s: (*s, 1) if len(s) == 2 else (1, *(s or (1,)), 1))


# ------------------------------------------------------------------------------------------------------- order of axes


def axes_of(axis: Any, ndim: int) -> list[int]:
    """Axes counted from the front; NumPy's own errors."""
    axes = [index(a) for a in axis] if isinstance(axis, (tuple, list)) else [index(axis)]
    found = [a + ndim if a < 0 else a for a in axes]
    if len(set(found)) != len(found) or any(not 0 <= a < ndim for a in found):
        normalize_axis_tuple(axis, ndim)
    return found


def _inverse(axes: Any) -> Any:
    if axes is None or not isinstance(axes, (tuple, list)):
        return axes
    inverse = [0] * len(axes)
    for place, axis in enumerate(axes):
        inverse[axis] = place
    return inverse


@primitive(np.transpose, np.permute_dims, x=lambda g, axes: g.transpose(_inverse(axes)))
def transpose(x: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order, reversed if none is given.   ∂/∂x: g, put back   (:func:`numpy.transpose`, ``torch.permute``)

    >>> import tinytensor as tt
    >>> tt.transpose(tt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[1., 3.],
            [2., 4.]])
    """
    return asarray(x).transpose(axes)


@primitive(np.matrix_transpose, x=lambda g: g.mT)
def matrix_transpose(x: Operand) -> Tensor:
    """The last two axes exchanged.   ∂/∂x = gᵀ   (:func:`numpy.matrix_transpose`, ``torch.adjoint`` of real matrices)

    >>> import tinytensor as tt
    >>> tt.matrix_transpose(tt.zeros((5, 2, 3))).shape
    (5, 3, 2)
    """
    return np.matrix_transpose(asarray(x))


@primitive(np.swapaxes, x=lambda g, axis1, axis2: g.swapaxes(axis1, axis2))
def swapaxes(x: Operand, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged.   (:func:`numpy.swapaxes`)

    >>> import tinytensor as tt
    >>> tt.swapaxes(tt.zeros((2, 3, 4)), 0, -1).shape
    (4, 3, 2)
    """
    return asarray(x).swapaxes(axis1, axis2)


def _moved(ndim: int, source: Any, destination: Any) -> list[int]:
    """The order of the axes after those of ``source`` have gone to ``destination``."""
    come, go = axes_of(source, ndim), axes_of(destination, ndim)
    if len(come) != len(go):
        raise ValueError("moveaxis: `source` and `destination` must have the same number of elements")
    order = [a for a in range(ndim) if a not in come]
    for place, axis in sorted(zip(go, come, strict=True)):
        order.insert(place, axis)
    return order


@primitive(np.moveaxis, x=lambda g, source, destination: g.transpose(_moved(g.ndim, destination, source)))
def moveaxis(x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes moved to other places, the rest in their order.   ∂/∂x: g, moved back   (:func:`numpy.moveaxis`, ``torch.movedim``)

    >>> import tinytensor as tt
    >>> tt.moveaxis(tt.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    a = asarray(x)
    return a.transpose(_moved(a.ndim, source, destination))


def _rolled(ndim: int, axis: int, start: int) -> list[int]:
    (axis,) = axes_of(axis, ndim)
    if not -ndim <= start <= ndim:
        raise np.exceptions.AxisError(f"rollaxis: start must be from {-ndim} to {ndim}, got {start}")
    start = start + ndim if start < 0 else start
    order = [a for a in range(ndim) if a != axis]
    order.insert(start - (axis < start), axis)
    return order


@primitive(np.rollaxis, x=lambda g, axis, start: g.transpose(_inverse(_rolled(g.ndim, axis, start))))
def rollaxis(x: Operand, axis: int, start: int = 0) -> Tensor:
    """One axis moved before another; moveaxis is easier to read.   (:func:`numpy.rollaxis`)

    >>> import tinytensor as tt
    >>> tt.rollaxis(tt.zeros((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    a = asarray(x)
    return a.transpose(_rolled(a.ndim, axis, start))


# --------------------------------------------------------------------------------------------------- flips, rolls, copy


@primitive(np.flip, x=lambda g, axis: np.flip(g, axis))
def flip(x: Operand, axis: Axis = None) -> Tensor:
    """The order of the elements along the axes reversed.   ∂/∂x: g, flipped   (:func:`numpy.flip`)

    >>> import tinytensor as tt
    >>> tt.flip(tt.tensor([1.0, 2.0, 3.0]))
    tensor([3., 2., 1.])
    """
    return np.flip(asarray(x), axis)


@primitive(np.fliplr, x=lambda g: g[:, ::-1])
def fliplr(x: Operand) -> Tensor:
    """The second axis reversed.   ∂/∂x: g, flipped   (:func:`numpy.fliplr`)

    >>> import tinytensor as tt
    >>> tt.fliplr(tt.tensor([[1.0, 2.0]]))
    tensor([[2., 1.]])
    """
    return np.fliplr(asarray(x))


@primitive(np.flipud, x=lambda g: g[::-1])
def flipud(x: Operand) -> Tensor:
    """The first axis reversed.   ∂/∂x: g, flipped   (:func:`numpy.flipud`)

    >>> import tinytensor as tt
    >>> tt.flipud(tt.tensor([1.0, 2.0]))
    tensor([2., 1.])
    """
    return np.flipud(asarray(x))


@primitive(np.rot90, x=lambda g, k, axes: np.rot90(g, -k, axes))
def rot90(x: Operand, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by k · 90° from the first of two axes to the second.   ∂/∂x: g, turned back   (:func:`numpy.rot90`)

    >>> import tinytensor as tt
    >>> tt.rot90(tt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[2., 4.],
            [1., 3.]])
    """
    return np.rot90(asarray(x), k, axes)


def _opposite(shift: Any) -> Any:
    return -shift if isinstance(shift, int) else tuple([-int(s) for s in np.ravel(shift)])


@primitive(np.roll, x=lambda g, shift, axis: roll(g, _opposite(shift), axis))
def roll(x: Operand, shift: int | Sequence[int], axis: Axis = None) -> Tensor:
    """Elements moved along the axes, the last ones coming in front.   ∂/∂x: g, moved back   (:func:`numpy.roll`)

    >>> import tinytensor as tt
    >>> tt.roll(tt.tensor([1.0, 2.0, 3.0]), 1)
    tensor([3., 1., 2.])
    """
    x = asarray(x)
    if type(shift) is int and (axis is None or type(axis) is int) and x.size and -x.ndim <= (axis or 0) < x.ndim:
        flat = x.reshape(-1) if axis is None else x  # twice as fast as NumPy's, which serves several shifts
        along = 0 if axis is None else axis % x.ndim
        at = -shift % flat.shape[along]
        before = (slice(None),) * along
        moved = np.concatenate((flat[(*before, slice(at, None))], flat[(*before, slice(None, at))]), along)
        return moved.reshape(x.shape)
    return np.roll(x, shift, axis)


@primitive(np.copy, elementwise=True, x=lambda g: g)
def copy(x: Operand) -> Tensor:
    """A copy of x in memory of its own.   (:func:`numpy.copy`, ``torch.clone``)

    >>> import tinytensor as tt
    >>> tt.copy(tt.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    return asarray(x).copy()


# -------------------------------------------------------------------------------------------------------- broadcasting


@primitive(np.broadcast_to, x=lambda g, x_shape: sum_to(g, x_shape))
def broadcast_to(x: Operand, shape: Shape) -> Tensor:
    """x repeated along axes of length 1 and new leading axes, without a copy.   ∂/∂x = Σ g   (:func:`numpy.broadcast_to`)

    >>> import tinytensor as tt
    >>> tt.broadcast_to(tt.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return np.broadcast_to(x, shape)


def broadcast_arrays(*arrays: Operand, subok: bool = False) -> tuple[Tensor, ...]:
    """All arrays in their common shape, without copies.   (:func:`numpy.broadcast_arrays`)

    >>> import tinytensor as tt
    >>> [t.shape for t in tt.broadcast_arrays(tt.zeros((2, 1)), tt.zeros(3))]
    [(2, 3), (2, 3)]
    """
    if not has_tensors(arrays):
        return np.broadcast_arrays(*arrays, subok=subok)
    tensors = [as_tensor(a) for a in arrays]
    shape = np.broadcast_shapes(*[t.shape for t in tensors])
    return tuple([t if t.shape == shape else broadcast_to(t, shape) for t in tensors])


DISPATCH[np.broadcast_arrays] = broadcast_arrays
