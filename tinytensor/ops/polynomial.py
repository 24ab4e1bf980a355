"""Polynomials given by their coefficients, highest power first, as NumPy's ``poly`` functions take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.primitive import TensorBase, composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["polyadd", "polyder", "polyint", "polymul", "polysub", "polyval", "vander"]


def _array(x: Any) -> Any:
    x = x if isinstance(x, TensorBase) else np.asarray(x)
    return x if x.ndim else x.reshape(1)


def _vander_rule(g: Any, x: Any, increasing: bool) -> Any:
    """Σⱼ gᵢⱼ j xᵢʲ⁻¹."""
    n = g.shape[1]
    if n < 2:
        return np.zeros_like(x)
    g = g[:, 1:] if increasing else g[:, -2::-1]
    powers = vander(x, n - 1, True)
    return np.sum(g * (powers * np.arange(1, n).astype(powers.dtype)), axis=1)


@primitive(np.vander, x=_vander_rule)
def vander(x: Operand, N: int | None = None, increasing: bool = False) -> Tensor:
    """outᵢⱼ = xᵢ to the power N − 1 − j, or j if increasing; N is len(x) if not given.   (:func:`numpy.vander`)

    >>> import tinytensor as tt
    >>> tt.vander(tt.tensor([2.0, 3.0]), 3)
    tensor([[4., 2., 1.],
            [9., 3., 1.]])
    """
    return np.vander(x, N, increasing)


def _slope(p: Any) -> Any:
    """The coefficients of the derivative."""
    return p[:-1] * np.arange(len(p) - 1, 0, -1).astype(p.dtype)


def _polyval_p(g: Any, x: Any, p_shape: Any, p_dtype: Any) -> Any:
    g, x = np.broadcast_arrays(g, x) if g.shape != x.shape else (g, x)
    return np.matmul(g.reshape(-1), vander(x.reshape(-1), p_shape[0]))


@primitive(np.polyval, p=_polyval_p, x=lambda g, p, x: g * polyval(_slope(p), x) if len(p) > 1 else np.zeros_like(g))
def polyval(p: Operand, x: Operand) -> Tensor:
    """p₀ xⁿ⁻¹ + p₁ xⁿ⁻² + … + pₙ₋₁ for every x.   ∂/∂pₖ = xⁿ⁻¹⁻ᵏ, ∂/∂x = p′(x)   (:func:`numpy.polyval`)

    >>> import tinytensor as tt
    >>> tt.polyval(tt.tensor([1.0, 0.0, -1.0]), tt.tensor([1.0, 2.0]))
    tensor([0., 3.])
    """
    return np.polyval(p, x)


def _sum(x: Any, y: Any, sign: float) -> Any:
    x, y = _array(x), _array(y)
    short = len(y) - len(x)
    if short > 0:
        x = np.concatenate([np.zeros(short, x.dtype), x])
    elif short < 0:
        y = np.concatenate([np.zeros(-short, y.dtype), y])
    return x + y if sign > 0 else x - y


@composite(np.polyadd)
def polyadd(a1: Operand, a2: Operand) -> Tensor:
    """The sum of two polynomials.   (:func:`numpy.polyadd`)

    >>> import tinytensor as tt
    >>> tt.polyadd(tt.tensor([1.0, 2.0]), [9.0, 5.0, 4.0])
    tensor([9., 6., 6.])
    """
    return _sum(a1, a2, 1)


@composite(np.polysub)
def polysub(a1: Operand, a2: Operand) -> Tensor:
    """The difference of two polynomials.   (:func:`numpy.polysub`)

    >>> import tinytensor as tt
    >>> tt.polysub(tt.tensor([2.0, 10.0, -2.0]), [3.0, 10.0, -4.0])
    tensor([-1.,  0.,  2.])
    """
    return _sum(a1, a2, -1)


def _trimmed(x: Any) -> Any:
    """Without leading zeros, as ``numpy.poly1d`` keeps a polynomial."""
    x = _array(x)
    (found,) = np.nonzero(x._data if isinstance(x, TensorBase) else x)
    return x[int(found[0]) :] if len(found) else np.zeros(1, x.dtype)


@composite(np.polymul)
def polymul(a1: Operand, a2: Operand) -> Tensor:
    """The product of two polynomials; leading zeros are dropped, as in NumPy.   (:func:`numpy.polymul`)

    >>> import tinytensor as tt
    >>> tt.polymul(tt.tensor([1.0, 1.0]), [1.0, -1.0])
    tensor([ 1.,  0., -1.])
    """
    return np.convolve(_trimmed(a1), _trimmed(a2))


@composite(np.polyder)
def polyder(p: Operand, m: int = 1) -> Tensor:
    """The coefficients of the m-th derivative.   (:func:`numpy.polyder`)

    >>> import tinytensor as tt
    >>> tt.polyder(tt.tensor([1.0, 1.0, 1.0, 1.0]))
    tensor([3., 2., 1.])
    """
    if m < 0:
        raise ValueError(f"polyder: the order must not be negative, got {m}; see polyint")
    p = _array(p)
    for _ in range(m):
        p = p[:-1] * np.arange(len(p) - 1, 0, -1)
    return p


@composite(np.polyint)
def polyint(p: Operand, m: int = 1, k: Any = None) -> Tensor:
    """The coefficients of the m-th integral, with the constants of integration k (0 if not given).   (:func:`numpy.polyint`)

    >>> import tinytensor as tt
    >>> tt.polyint(tt.tensor([3.0, 2.0, 1.0]), k=7.0)
    tensor([1., 1., 1., 7.])
    """
    if m < 0:
        raise ValueError(f"polyint: the order must not be negative, got {m}; see polyder")
    p = _array(p)
    constants = _array(np.zeros(m) if k is None else k)
    if len(constants) == 1 < m:
        constants = np.broadcast_to(constants, (m,))
    if len(constants) < m:
        raise ValueError(f"polyint: expected one constant of integration, or {m}, got {len(constants)}")
    for i in range(m):
        p = np.concatenate([p / np.arange(len(p), 0, -1), constants[i : i + 1]])
    return p
