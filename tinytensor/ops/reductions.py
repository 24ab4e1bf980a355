"""Reductions and scans, and ``spread``, which undoes a reduction."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.primitive import primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand

__all__ = [
    "cumsum", "log_softmax", "logsumexp", "max", "mean", "min", "others", "prod", "softmax", "spread", "std", "sum",
    "var",
]  # fmt: skip


# --------------------------------------------------------------------------------------------------------- helpers


def axes_of(axis: Axis, ndim: int, op: str) -> tuple[int, ...]:
    """The reduced axes, sorted and not negative.

    >>> axes_of((-1, 0), 3, "sum")
    (0, 2)
    """
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    found = sorted({a + ndim if a < 0 else a for a in axes})
    if len(found) != len(axes) or (found and not 0 <= found[0] <= found[-1] < ndim):
        raise np.exceptions.AxisError(
            f"{op}: axis {axis} is out of bounds, or repeated, for an array of {ndim} dimensions"
        )
    return tuple(found)


def kept_shape(shape: tuple[int, ...], axis: Axis, op: str) -> tuple[int, ...]:
    """The shape after a reduction with ``keepdims=True``."""
    if axis is None:
        return (1,) * len(shape)
    kept = list(shape)
    for a in axes_of(axis, len(shape), op):
        kept[a] = 1
    return tuple(kept)


def count_of(shape: tuple[int, ...], axis: Axis, op: str) -> int:
    """How many elements each result of a reduction is made of."""
    if axis is None:
        return math.prod(shape)
    return math.prod([shape[a] for a in axes_of(axis, len(shape), op)])


@primitive(x=lambda g, x_shape, axis: sum(g, axis, True).reshape(x_shape))
def spread(x: Operand, axis: Axis, shape: tuple[int, ...]) -> Tensor:
    """A reduced array repeated along the axes that the reduction removed: the transpose of ``sum``.

    >>> import numpy as np
    >>> spread(np.array([1.0, 2.0]), 0, (3, 2))
    array([[1., 2.],
           [1., 2.],
           [1., 2.]])
    """
    x = np.asarray(x)
    if axis is None and x.ndim == 0:
        return np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
    kept = x.reshape(kept_shape(shape, axis, "spread"))
    strides = [0 if n == 1 else stride for n, stride in zip(kept.shape, kept.strides, strict=True)]
    if kept.size == 0 or not kept.flags.c_contiguous:
        return np.broadcast_to(kept, shape)
    return np.ndarray(shape, kept.dtype, kept, 0, strides)  # ten times faster


# -------------------------------------------------------------------------------------------------------- reductions


@primitive(np.sum, x=lambda g, x_shape, axis: spread(g, axis, x_shape))
def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x over the axes.   ∂/∂x = 1   (:func:`numpy.sum`)

    >>> import tinytensor as tt
    >>> tt.sum(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([4., 6.])
    """
    return np.add.reduce(x, axis, keepdims=keepdims)


@primitive(np.mean, x=lambda g, x_shape, axis: spread(g / count_of(x_shape, axis, "mean"), axis, x_shape))
def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """(1/n) Σ x over the axes.   ∂/∂x = 1/n   (:func:`numpy.mean`)

    >>> import tinytensor as tt
    >>> tt.mean(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([2., 3.])
    """
    x = np.asarray(x)
    if x.dtype == np.float16:  # NumPy sums halves in single precision
        return x.mean(axis, keepdims=keepdims)
    return np.add.reduce(x, axis, keepdims=keepdims) / count_of(x.shape, axis, "mean")


def _at_extreme(g: Any, x: Any, out: Any, axis: Any) -> Any:
    """The gradient shared evenly among the elements that are equal to the extreme (all NaNs, if it is NaN)."""
    hits = np.logical_or(x == spread(out, axis, x.shape), x != x)
    share = g.reshape(kept_shape(x.shape, axis, "max")) / np.sum(hits, axis=axis, keepdims=True)
    return np.where(hits, share, 0)


@primitive(np.max, np.amax, x=_at_extreme)
def max(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element.   ∂/∂x = 1 there, shared evenly at a tie, else 0   (:func:`numpy.max`, ``torch.amax``)

    >>> import tinytensor as tt
    >>> tt.max(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([3., 4.])
    """
    return np.maximum.reduce(x, axis, keepdims=keepdims)


@primitive(np.min, np.amin, x=_at_extreme)
def min(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element.   ∂/∂x = 1 there, shared evenly at a tie, else 0   (:func:`numpy.min`, ``torch.amin``)

    >>> import tinytensor as tt
    >>> tt.min(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([1., 2.])
    """
    return np.minimum.reduce(x, axis, keepdims=keepdims)


def _others_rule(g: Any, x: Any) -> Any:
    """∂(Π_{k≠i} xₖ)/∂xⱼ = Π_{k≠i,j} xₖ for i ≠ j: every row of an n x n array has its own element set to 1."""
    own = np.eye(x.shape[-1], dtype=bool)
    rows = np.where(own, 1, np.expand_dims(x, -2))
    return np.sum(np.where(own, 0, np.expand_dims(g, -1) * others(rows)), axis=-2)


@primitive(x=_others_rule)
def others(x: Operand) -> Tensor:
    """outᵢ = Π_{k≠i} xₖ along the last axis, right for zeros too, in linear time.

    >>> import numpy as np
    >>> others(np.array([0.0, 2.0, 3.0]))
    array([6., 0., 0.])
    """
    x = np.asarray(x)
    left, right = np.ones_like(x), np.ones_like(x)
    np.multiply.accumulate(x[..., :-1], axis=-1, out=left[..., 1:])
    np.multiply.accumulate(x[..., :0:-1], axis=-1, out=right[..., -2::-1])
    return left * right


def _prod_rule(g: Any, x: Any, x_shape: Any, axis: Any) -> Any:
    axes = axes_of(axis, len(x_shape), "prod")
    order = [a for a in range(len(x_shape)) if a not in axes] + list(axes)
    moved = np.transpose(x, order)
    flat = others(moved.reshape((*moved.shape[: len(order) - len(axes)], count_of(x_shape, axes, "prod"))))
    back = np.transpose(flat.reshape(moved.shape), [order.index(a) for a in range(len(order))])
    return spread(g, axis, x_shape) * back


@primitive(np.prod, x=_prod_rule)
def prod(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Π x over the axes.   ∂/∂xᵢ = Π_{k≠i} xₖ, also where some x are 0   (:func:`numpy.prod`)

    >>> import tinytensor as tt
    >>> tt.grad(tt.prod)(tt.tensor([0.0, 2.0, 3.0]))
    tensor([6., 0., 0.])
    """
    return np.multiply.reduce(x, axis, keepdims=keepdims)


def _centred(x: Any, axis: Any) -> Any:
    return x - mean(x, axis, True)


def _standardised(x: Any, deviation: Any, axis: Any) -> Any:
    """(x − x̄)/std, and 0 where all x are equal: a constant 0, with derivatives 0, as those of sign at 0."""
    constant = deviation == 0
    return np.where(constant, 0, _centred(x, axis) / np.where(constant, 1, deviation))


@primitive(
    np.var,
    x=lambda g, x, axis, ddof: (
        spread(g / (count_of(x.shape, axis, "var") - ddof), axis, x.shape) * (2 * _centred(x, axis))
    ),
)
def var(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Σ (x − x̄)² / (n − ddof).   ∂/∂x = 2 (x − x̄)/(n − ddof)   (:func:`numpy.var`)

    >>> import tinytensor as tt
    >>> tt.var(tt.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor(1.25)
    """
    return np.var(x, axis=axis, ddof=ddof, keepdims=keepdims)


@primitive(
    np.std,
    x=lambda g, x, out, axis, ddof: (
        spread(g / (count_of(x.shape, axis, "std") - ddof), axis, x.shape)
        * _standardised(x, spread(out, axis, x.shape), axis)
    ),
)
def std(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """√var.   ∂/∂x = (x − x̄)/((n − ddof) std), and 0 where all x are equal   (:func:`numpy.std`)

    >>> import tinytensor as tt
    >>> tt.grad(tt.std)(tt.tensor([2.0, 2.0]))
    tensor([0., 0.])
    """
    return np.std(x, axis=axis, ddof=ddof, keepdims=keepdims)


# ------------------------------------------------------------------------------------------------ sums of exponentials


def _peak(x: Any, axis: Any) -> Any:
    """The maximum, held at finite values: what is subtracted before exponentials are taken."""
    peak = np.maximum.reduce(x, axis, keepdims=True, initial=None if x.size else 0)
    return peak if x.dtype == object else np.where(np.isfinite(peak), peak, 0)


def _share(x: Any, out: Any, axis: Any) -> Any:
    """e^(x − out): the share of each element, 0 where everything is −∞."""
    out = spread(out, axis, x.shape)
    return np.exp(x - np.where(out == -np.inf, 0, out))


@primitive(x=lambda g, x, out, axis: spread(g, axis, x.shape) * _share(x, out, axis))
def logsumexp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """ln Σ eˣ, without overflow.   ∂/∂x = softmax(x)   (:func:`scipy.special.logsumexp`, ``torch.logsumexp``)

    >>> import tinytensor as tt
    >>> tt.logsumexp(tt.tensor([1000.0, 1000.0]))
    tensor(1000.69314718)
    """
    x = np.asarray(x)
    peak = _peak(x, axis)
    out = np.log(np.add.reduce(np.exp(x - peak), axis, keepdims=True)) + peak
    return out if keepdims else np.asarray(out).squeeze(axes_of(axis, x.ndim, "logsumexp"))[()]


@primitive(x=lambda g, out, axis: out * (g - np.sum(g * out, axis=axis, keepdims=True)))
def softmax(x: Operand, axis: Axis = -1) -> Tensor:
    """eˣ / Σ eˣ along the axis, without overflow.   ∂outᵢ/∂xⱼ = outᵢ (δᵢⱼ − outⱼ)   (``torch.softmax``)

    >>> import tinytensor as tt
    >>> tt.softmax(tt.tensor([0.0, 1000.0]))
    tensor([0., 1.])
    """
    x = np.asarray(x)
    e = np.exp(x - np.maximum.reduce(x, axis, keepdims=True, initial=None if x.size else 0))
    return e / np.add.reduce(e, axis, keepdims=True)


@primitive(x=lambda g, out, axis: g - np.exp(out) * np.sum(g, axis=axis, keepdims=True))
def log_softmax(x: Operand, axis: Axis = -1) -> Tensor:
    """x − ln Σ eˣ along the axis.   ∂outᵢ/∂xⱼ = δᵢⱼ − e^outⱼ   (``torch.log_softmax``)

    >>> import tinytensor as tt
    >>> tt.log_softmax(tt.tensor([0.0, 1000.0]))
    tensor([-1000.,     0.])
    """
    x = np.asarray(x)
    shifted = x - np.maximum.reduce(x, axis, keepdims=True, initial=None if x.size else 0)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis, keepdims=True))


# --------------------------------------------------------------------------------------------------------------- scans


def _cumsum_rule(g: Any, x_shape: Any, axis: Any) -> Any:
    along = 0 if axis is None else axis
    return np.flip(np.cumsum(np.flip(g, along), axis=along), along).reshape(x_shape)


@primitive(np.cumsum, x=_cumsum_rule)
def cumsum(x: Operand, axis: int | None = None) -> Tensor:
    """Σ_{k≤i} xₖ along the axis (of the flattened array, if None).   ∂outᵢ/∂xⱼ = [j ≤ i]   (:func:`numpy.cumsum`)

    >>> import tinytensor as tt
    >>> tt.cumsum(tt.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.])
    """
    return np.cumsum(x, axis=axis)
