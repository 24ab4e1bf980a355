"""Scans: running sums and products, and the products of all elements but one."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, empty
from tinytensor.graph import assured
from tinytensor.ops.axes import axes_of, rarely
from tinytensor.primitive import composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["cumprod", "cumsum", "cumsum_back", "cumulative_prod", "cumulative_sum", "others", "recurrence"]

# --------------------------------------------------------------------------------------------------- scans and products
# A product's derivative is the product of the others. Division finds it in one pass, but not next to zeros and not near
# the ends of the floating range; there, and in derivatives, everything is said with one linear recurrence.


def before(x: Any, first: float) -> Any:
    """The elements moved one place to the right along the last axis; ``first`` comes first."""
    return np.concatenate([np.full((*x.shape[:-1], builtins.min(x.shape[-1], 1)), first, x.dtype), x[..., :-1]], -1)


def _backwards(x: Any, y: Any) -> Any:
    """The transpose of the recurrence: outᵢ = yᵢ + xᵢ₊₁ outᵢ₊₁."""
    return np.flip(recurrence(before(np.flip(x, -1), 0.0), np.flip(y, -1)), -1)


def _recurrence_rule(g: Any, x: Any, out: Any) -> Any:
    back = _backwards(x, g)
    return back * before(out, 0.0), back


@primitive(inputs=("x", "y"), joint=_recurrence_rule)
def recurrence(x: Operand, y: Operand) -> Tensor:
    """outᵢ = yᵢ + xᵢ outᵢ₋₁ along the last axis, by doubling: log₂ n passes over the array.

    >>> import numpy as np
    >>> recurrence(np.array([9.0, 2.0, 10.0]), np.array([1.0, 0.5, 3.0]))
    array([ 1. ,  2.5, 28. ])
    """
    factor, out, d = asarray(x).copy(), asarray(y).copy(), 1
    while d < out.shape[-1]:
        out[..., d:] += factor[..., d:] * out[..., :-d]
        factor[..., d:] *= factor[..., :-d]
        d *= 2
    return out


#: Between these a whole product is far enough from the ends of the range to be divided by one of its factors.
_SAFE = {"d": (1e-150, 1e300), "f": (1e-18, 1e36)}


def _divisible(x: Any, low: float, high: float) -> bool:
    """Whether all x lie between two numbers in magnitude."""
    if x.size == 1:
        return bool(low < abs(x.item()) < high)
    if x.size == 0:
        return True
    size = np.absolute(x)
    return bool(np.minimum.reduce(size, None) > low and np.maximum.reduce(size, None) < high)


def _others_rule(g: Any, x: Any) -> Any:
    """∂/∂xⱼ Σᵢ gᵢ Π_{k≠i} xₖ: element i stands before j, or after it."""
    back, weights = np.flip(x, -1), np.flip(g, -1)
    left, right = before(cumprod(x, -1), 1.0), before(cumprod(back, -1), 1.0)
    first, last = before(recurrence(x, g * left), 0.0), before(recurrence(back, weights * right), 0.0)
    return first * np.flip(right, -1) + left * np.flip(last, -1)


@primitive(
    x=lambda g, x, scale: _others_rule(g * scale, x),
    total=lambda g, total: np.zeros_like(total),
    scale=lambda g, x, total, scale: np.add.reduce(g * others(x, total, np.ones_like(scale)), axis=-1, keepdims=True),
)
def others(x: Operand, total: Operand, scale: Operand) -> Tensor:
    """outᵢ = scale · Π_{k≠i} xₖ along the last axis, right for zeros too; ``total`` is the whole product.

    >>> import numpy as np
    >>> others(np.array([0.0, 2.0, 3.0]), np.array([0.0]), np.array([10.0]))
    array([60.,  0.,  0.])
    """
    x, total = asarray(x), asarray(total)
    if x.dtype.char in _SAFE and assured(_divisible, total, *_SAFE[x.dtype.char]):
        return total * scale / x
    left = np.multiply.accumulate(x, -1)
    right = np.flip(np.multiply.accumulate(np.flip(x, -1), -1), -1)
    return before(left, 1.0) * np.flip(before(np.flip(right, -1), 1.0), -1) * scale


def _scan_of(scan: Any, x: Any, axis: Any, dtype: Any, initial: Any, where: Any) -> Any:
    if initial is not None or where is not True:
        raise TypeError(f"{scan.__name__}() takes neither initial= nor where=: prepend the value, or use tt.where")
    return scan(x.astype(dtype), axis)


@primitive(x=lambda g, axis: cumsum(g, axis))
def cumsum_back(x: Any, axis: int) -> Any:
    """outᵢ = Σ_{k≥i} xₖ along the axis: the transpose of ``cumsum``."""
    out = empty(x.shape, x.dtype, x)
    back = (slice(None),) * (axis % x.ndim) + (slice(None, None, -1),)
    np.add.accumulate(x[back], axis, None, out[back])
    return out


@rarely(lambda *args: _scan_of(cumsum, *args), np.cumsum, order=("dtype", "out"))
@primitive(
    x=lambda g, x_shape, axis: (
        cumsum_back(g, 0).reshape(x_shape) if axis is None or not x_shape else cumsum_back(g, axis)
    )
)
def cumsum(x: Operand, axis: int | None = None) -> Tensor:
    """Σ_{k≤i} xₖ along the axis (of the flattened array, if None).   ∂outᵢ/∂xⱼ = [j ≤ i]   (:func:`numpy.cumsum`)

    >>> import tinytensor as tt
    >>> tt.cumsum(tt.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.])
    """
    return asarray(x).cumsum(axis)


def _pull_rule(t: Any, x: Any, y: Any) -> Any:
    """The pull is the transpose of x' ↦ recurrence(x, x' · products before): so is its own derivative."""
    left = before(cumprod(y, -1), 1.0)
    pushed, back = recurrence(y, t * left), _backwards(y, x)
    late = np.flip(before(np.flip(t * back, -1), 0.0), -1)
    return back * before(pushed, 0.0) + _pull_products(late, y, cumprod(y, -1))


@primitive(
    x=lambda g, y: recurrence(y, g * before(cumprod(y, -1), 1.0)),
    y=_pull_rule,
    total=lambda g, total: np.zeros_like(total),
)
def _pull_products(x: Any, y: Any, total: Any) -> Any:
    """The gradient x of ``total = cumprod(y)`` pulled back to y, along the last axis: Σ_{i≥j} xᵢ Π_{k≤i, k≠j} yₖ."""
    if y.dtype.char in _SAFE and y.size and y.ndim:
        low, high = _SAFE[y.dtype.char]
        if assured(_divisible, y, low, high) and assured(np.all, np.isfinite(total)):
            out = x * total
            back = out[..., ::-1]
            np.add.accumulate(back, -1, None, back)  # in place: memory costs more than the sums
            return np.divide(out, y, out)
    return before(total, 1.0) * _backwards(y, x)


def _cumprod_rule(g: Any, x: Any, out: Any, axis: Any) -> Any:
    if axis is None or x.ndim == 0:
        return _pull_products(g, x.reshape(-1), out).reshape(x.shape)
    if axis in (-1, x.ndim - 1):
        return _pull_products(g, x, out)
    return np.swapaxes(_pull_products(*[np.swapaxes(v, axis, -1) for v in (g, x, out)]), axis, -1)


@rarely(lambda *args: _scan_of(cumprod, *args), np.cumprod, order=("dtype", "out"))
@primitive(x=_cumprod_rule)
def cumprod(x: Operand, axis: int | None = None) -> Tensor:
    """Π_{k≤i} xₖ along the axis (of the flattened array, if None), with gradients at zeros too.   (:func:`numpy.cumprod`)

    ∂outᵢ/∂xⱼ = [j ≤ i] Π_{k≤i, k≠j} xₖ

    >>> import tinytensor as tt
    >>> tt.grad(lambda x: tt.cumprod(x).sum())(tt.tensor([2.0, 0.0, 3.0]))
    tensor([1., 8., 0.])
    """
    return asarray(x).cumprod(axis)


def _cumulative(scan: Any, x: Any, axis: Any, dtype: Any, first: float | None) -> Any:
    x = x if hasattr(x, "dtype") else asarray(x)
    if axis is None and x.ndim > 1:
        raise ValueError(f"cumulative_{scan.__name__[3:]}: expected an axis for an array of {x.ndim} dimensions")
    x = x if x.ndim else x.reshape(1)
    axis = 0 if axis is None else axes_of(axis, x.ndim, f"cumulative_{scan.__name__[3:]}")[0]
    out = scan(x if dtype is None else x.astype(dtype), axis)
    if first is None:
        return out
    start = np.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), first, out.dtype)
    return np.concatenate([start, out], axis=axis)


@composite(np.cumulative_sum)
def cumulative_sum(x: Operand, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """Σ_{k≤i} xₖ along the axis, from 0 on if ``include_initial``.   (:func:`numpy.cumulative_sum`)

    >>> import tinytensor as tt
    >>> tt.cumulative_sum(tt.tensor([1.0, 2.0, 3.0]), include_initial=True)
    tensor([0., 1., 3., 6.])
    """
    return _cumulative(cumsum, x, axis, dtype, 0.0 if include_initial else None)


@composite(np.cumulative_prod)
def cumulative_prod(x: Operand, axis: int | None = None, dtype: Any = None, include_initial: bool = False) -> Tensor:
    """Π_{k≤i} xₖ along the axis, from 1 on if ``include_initial``.   (:func:`numpy.cumulative_prod`)

    >>> import tinytensor as tt
    >>> tt.cumulative_prod(tt.tensor([2.0, 3.0]), include_initial=True)
    tensor([1., 2., 6.])
    """
    return _cumulative(cumprod, x, axis, dtype, 1.0 if include_initial else None)
