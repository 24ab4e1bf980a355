"""Functions that move elements and compute nothing: each one's gradient moves them back."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.primitive import composite, primitive, sum_to

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand, Shape

__all__ = [
    "broadcast_to", "concatenate", "copy", "expand_dims", "flip", "reshape", "split", "squeeze", "stack", "swapaxes",
    "transpose",
]  # fmt: skip


@primitive(np.reshape, x=lambda g, x_shape: g.reshape(x_shape))
def reshape(x: Operand, shape: Shape) -> Tensor:
    """The same elements in another shape; one size may be −1.   (:func:`numpy.reshape`)

    >>> import tinytensor as tt
    >>> tt.reshape(tt.tensor([1.0, 2.0, 3.0, 4.0]), (2, -1))
    tensor([[1., 2.],
            [3., 4.]])
    """
    return np.asarray(x).reshape(shape)


def _inverse(axes: Any) -> Any:
    return None if axes is None else [int(a) for a in np.argsort([a % len(axes) for a in axes])]


@primitive(np.transpose, np.permute_dims, x=lambda g, axes: np.transpose(g, _inverse(axes)))
def transpose(x: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order, reversed if none is given.   (:func:`numpy.transpose`, ``torch.permute``)

    >>> import tinytensor as tt
    >>> tt.transpose(tt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[1., 3.],
            [2., 4.]])
    """
    return np.asarray(x).transpose(axes)


@primitive(np.swapaxes, x=lambda g, axis1, axis2: np.swapaxes(g, axis1, axis2))
def swapaxes(x: Operand, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged.   (:func:`numpy.swapaxes`)

    >>> import tinytensor as tt
    >>> tt.swapaxes(tt.zeros((2, 3, 4)), 0, -1).shape
    (4, 3, 2)
    """
    return np.asarray(x).swapaxes(axis1, axis2)


@primitive(np.squeeze, x=lambda g, x_shape: g.reshape(x_shape))
def squeeze(x: Operand, axis: Axis = None) -> Tensor:
    """Axes of length 1 removed: all, or those named.   (:func:`numpy.squeeze`)

    >>> import tinytensor as tt
    >>> tt.squeeze(tt.zeros((1, 3, 1)), axis=0).shape
    (3, 1)
    """
    return np.asarray(x).squeeze(axis)


@primitive(np.expand_dims, x=lambda g, x_shape: g.reshape(x_shape))
def expand_dims(x: Operand, axis: int | tuple[int, ...]) -> Tensor:
    """Axes of length 1 inserted.   (:func:`numpy.expand_dims`, ``torch.unsqueeze``)

    >>> import tinytensor as tt
    >>> tt.expand_dims(tt.zeros(3), (0, -1)).shape
    (1, 3, 1)
    """
    return np.expand_dims(np.asarray(x), axis)


@primitive(np.broadcast_to, x=lambda g, x_shape: sum_to(g, x_shape))
def broadcast_to(x: Operand, shape: Shape) -> Tensor:
    """x repeated along axes of length 1 and new leading axes, without a copy.   ∂/∂x = Σ   (:func:`numpy.broadcast_to`)

    >>> import tinytensor as tt
    >>> tt.broadcast_to(tt.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return np.broadcast_to(x, shape)


@primitive(np.flip, x=lambda g, axis: np.flip(g, axis))
def flip(x: Operand, axis: Axis = None) -> Tensor:
    """The order of the elements along the axes reversed.   (:func:`numpy.flip`)

    >>> import tinytensor as tt
    >>> tt.flip(tt.tensor([1.0, 2.0, 3.0]))
    tensor([3., 2., 1.])
    """
    return np.flip(np.asarray(x), axis)


# -------------------------------------------------------------------------------------------------- joining, splitting


def _slice_of(g: Any, i: int, xs_shape: Any, axis: int | None) -> Any:
    """The part of ``g`` that came from input ``i``."""
    if axis is None:  # everything was flattened first
        sizes = [int(np.prod(shape)) for shape in xs_shape]
        start = builtins.sum(sizes[:i])
        return g[start : start + sizes[i]].reshape(xs_shape[i])
    axis %= len(xs_shape[i])
    start = builtins.sum(shape[axis] for shape in xs_shape[:i])
    return g[(slice(None),) * axis + (slice(start, start + xs_shape[i][axis]),)]


@primitive(xs=_slice_of)
def _concatenate(axis: int | None, *xs: Any) -> Any:
    return np.concatenate(xs, axis)


@composite(np.concatenate)
def concatenate(arrays: Sequence[Operand], axis: int | None = 0) -> Tensor:
    """Arrays joined along an axis (all flattened, if None).   (:func:`numpy.concatenate`, ``torch.cat``)

    >>> import tinytensor as tt
    >>> tt.concatenate([tt.tensor([1.0]), tt.tensor([2.0, 3.0])])
    tensor([1., 2., 3.])
    """
    return _concatenate(axis, *arrays)


@primitive(xs=lambda g, i, axis: g[(slice(None),) * (axis % g.ndim) + (i,)])
def _stack(axis: int, *xs: Any) -> Any:
    return np.stack(xs, axis)


@composite(np.stack)
def stack(arrays: Sequence[Operand], axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis.   (:func:`numpy.stack`)

    >>> import tinytensor as tt
    >>> tt.stack([tt.tensor([1.0, 2.0]), tt.tensor([3.0, 4.0])])
    tensor([[1., 2.],
            [3., 4.]])
    """
    return _stack(axis, *arrays)


@composite(np.split)
def split(x: Operand, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut into equal sections, or before the given indices, along an axis.   (:func:`numpy.split`)

    The pieces are views; in backward they write into one array.

    >>> import tinytensor as tt
    >>> tt.split(tt.tensor([1.0, 2.0, 3.0]), [1])
    [tensor([1.]), tensor([2., 3.])]
    """
    array: Any = x if hasattr(x, "shape") else np.asarray(x)
    axis = axis % array.ndim if -array.ndim <= axis < array.ndim else axis
    if axis >= array.ndim or axis < 0:
        raise np.exceptions.AxisError(f"split: axis {axis} is out of bounds for an array of {array.ndim} dimensions")
    n = array.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
        if sections <= 0 or n % sections:
            raise ValueError(f"split: an axis of length {n} cannot be cut into {sections} equal sections")
        edges = [n // sections * k for k in range(sections + 1)]
        bounds = list(pairwise(edges))
    else:
        cuts = [int(k) for k in indices_or_sections]
        bounds = list(zip([0, *cuts], [*cuts, n], strict=True))
    return [array[(slice(None),) * axis + (slice(a, b),)] for a, b in bounds]


@primitive(np.copy, x=lambda g: g)
def copy(x: Operand) -> Tensor:
    """A copy of x in memory of its own.   (:func:`numpy.copy`, ``torch.clone``)

    >>> import tinytensor as tt
    >>> tt.copy(tt.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    return np.array(x)
