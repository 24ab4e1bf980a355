"""Polynomials given by their coefficients, highest power first, as NumPy's ``poly`` functions take them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, settled, zeros
from tinytensor.graph import assured
from tinytensor.ops.decompositions import eigvals
from tinytensor.ops.elementwise import div0
from tinytensor.ops.solving import lstsq
from tinytensor.primitive import TensorBase, composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval", "roots", "vander",
]  # fmt: skip


def _array(x: Any) -> Any:
    x = x if isinstance(x, TensorBase) else asarray(x)
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
    values = x._data if isinstance(x, TensorBase) else x
    for k in range(len(x)):
        if assured(np.any, values[k] != 0):
            return x[k:]
    return np.zeros(1, x.dtype)


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


def _polydiv_rule(g: Any, u: Any, v: Any, out: Any) -> tuple[Any, Any]:
    """T q = u for the first coefficients, T the triangular matrix of v, and r = u − q v: gradients through both."""
    gq, gr = g
    q, n = out[0], len(u) - len(v) + 1
    whole = np.zeros_like(u) if gr is None else np.concatenate([np.zeros(len(u) - len(gr), gr.dtype), gr])
    if n < 1:
        return whole, np.zeros_like(v)
    inner = -np.convolve(whole, v[::-1], "valid")
    inner = inner if gq is None else inner + gq
    shift = np.arange(n) - np.arange(n)[:, None]
    padded = np.concatenate([v, np.zeros(n - len(v), v.dtype)]) if n > len(v) else v
    solved = np.linalg.solve(np.where(shift >= 0, padded[np.maximum(shift, 0)], 0), inner)
    whole = whole + np.concatenate([solved, np.zeros(len(u) - n, solved.dtype)])
    return whole, -np.convolve(whole, q[::-1], "valid")


@primitive(joint=_polydiv_rule, inputs=("u", "v"), outputs=True)
def _polydiv(u: Any, v: Any) -> Any:
    return np.polydiv(u, v)


@composite(np.polydiv)
def polydiv(u: Operand, v: Operand) -> Any:
    """Quotient q and remainder r of two polynomials: u = q v + r.   (:func:`numpy.polydiv`)

    >>> import tinytensor as tt
    >>> tt.polydiv(tt.tensor([3.0, 5.0, 2.0]), [2.0, 1.0])
    (tensor([1.5 , 1.75]), tensor([0.25]))
    """
    return _polydiv(_array(u) + 0.0, _array(v) + 0.0)


# ---------------------------------------------------------------------------------------------------------------- roots


def _each_without_itself(z: Any) -> Any:
    """(..., n) → (..., n, n − 1): in row i all but the i-th."""
    n = z.shape[-1]
    column = np.arange(n - 1)
    return z[..., column + (column >= np.arange(n)[:, None])]


@primitive(z=lambda g, z: -np.sum(np.expand_dims(g[..., 1:], -2) * _from_zeros(_each_without_itself(z)), axis=-1))
def _from_zeros(z: Any) -> Any:
    """The coefficients of Π (x − zᵢ), along the last axis.   ∂/∂zᵢ = −Π_{k≠i} (x − zₖ)"""
    n = z.shape[-1]
    p = zeros((*z.shape[:-1], n + 1), z.dtype, z)
    p[..., 0] = 1
    for k in range(n):
        p[..., 1 : k + 2] -= z[..., k : k + 1] * p[..., : k + 1]
    return p


def _in_pairs(z: Any) -> bool:
    """Whether the conjugate of every number is among them."""
    return np.array_equal(np.sort(z), np.sort(z.conj()))


@composite(np.poly)
def poly(seq_of_zeros: Operand) -> Tensor:
    """The coefficients of Π (x − zᵢ), or the characteristic polynomial of a matrix.   (:func:`numpy.poly`)

    ∂/∂zᵢ = −Π_{k≠i} (x − zₖ). Complex zeros in conjugate pairs make real coefficients.

    >>> import tinytensor as tt
    >>> tt.poly(tt.tensor([1.0, 2.0]))
    tensor([ 1., -3.,  2.])
    """
    z: Any = seq_of_zeros if isinstance(seq_of_zeros, TensorBase) else asarray(seq_of_zeros)
    if z.ndim == 2 and z.shape[0] == z.shape[1] and z.size:
        z = eigvals(z)
    elif z.ndim == 0:
        z = z.reshape(1)
    elif z.ndim != 1:
        raise ValueError(f"poly: expected a vector of zeros or a square matrix, got shape {z.shape}")
    p: Any = _from_zeros(z if z.dtype.kind in "fc" else z.astype(float))
    if not z.shape[0]:
        return p[0]
    if z.dtype.kind != "c":
        return p
    plain = z._data if isinstance(z, TensorBase) else z
    return np.real(p) if assured(_in_pairs, plain) else p


def _roots_rule(g: Any, p: Any, out: Any) -> Any:
    """∂rᵢ/∂pₖ = −rᵢⁿ⁻ᵏ / p′(rᵢ)."""
    if not len(out):
        return np.zeros_like(p)
    return -np.matmul(div0(g, polyval(_slope(p), out)), vander(out, len(p)))


@primitive(np.roots, p=_roots_rule)
def roots(p: Operand) -> Tensor:
    """Where the polynomial is zero; complex, if one of them is.   ∂rᵢ/∂pₖ = −rᵢⁿ⁻ᵏ / p′(rᵢ)   (:func:`numpy.roots`)

    A root that occurs twice has no derivative: infinite, or large.

    >>> import tinytensor as tt
    >>> tt.roots(tt.tensor([1.0, -3.0, 2.0]))
    tensor([2., 1.])
    """
    return settled(np.roots(p))


# -------------------------------------------------------------------------------------------------------------- fitting


def _check_fit(x: Any, y: Any, deg: Any) -> None:
    if np.ndim(deg) or deg < 0:
        raise ValueError(f"polyfit: the degree must be a number that is not negative, got {deg}")
    if x.ndim != 1 or not x.size or y.ndim not in (1, 2) or len(x) != len(y):
        raise TypeError(f"polyfit: expected x (n,) and y (n,) or (n, k), n > 0, got {x.shape} and {y.shape}")


@composite(np.polyfit)
def polyfit(
    x: Operand, y: Operand, deg: int, rcond: float | None = None, full: bool = False, w: Operand | None = None,
    cov: Any = False,
) -> Any:  # fmt: skip
    """The coefficients of the polynomial of degree ``deg`` with the smallest squared error.   (:func:`numpy.polyfit`)

    Differentiable in x, y and the weights w. ``full``: then residuals, rank, singular values and rcond; ``cov``: then the
    covariances, scaled by the residuals unless it is "unscaled".

    >>> import numpy as np, tinytensor as tt
    >>> tt.polyfit(np.arange(3.0), tt.tensor([1.0, 3.0, 5.0]), 1).round(6)
    tensor([2., 1.])
    """
    x, y = _array(x) + 0.0, _array(y) + 0.0
    _check_fit(x, y, deg)
    n = deg + 1
    rcond = len(x) * np.finfo(x.dtype).eps if rcond is None else rcond
    columns, values = vander(x, n), y
    if w is not None:
        weights = _array(w) + 0.0
        if weights.shape != x.shape:
            raise TypeError(f"polyfit: expected weights of shape {x.shape}, got {weights.shape}")
        columns = columns * np.expand_dims(weights, 1)
        values = values * (np.expand_dims(weights, 1) if y.ndim == 2 else weights)
    scale = np.sqrt(np.sum(columns * columns, axis=0))
    columns = columns / scale
    solution, residuals, rank, singular = lstsq(columns, values, rcond)
    c = (solution.T / scale).T
    if not full and assured(np.any, getattr(rank, "_data", rank) != n):
        warnings.warn("polyfit: the points do not determine the polynomial", np.exceptions.RankWarning, stacklevel=3)
    if full:
        return c, residuals, rank, singular, rcond
    if not cov:
        return c
    inverse = np.linalg.inv(np.matmul(columns.T, columns)) / np.outer(scale, scale)
    if y.ndim == 2:
        inverse = np.expand_dims(inverse, -1)
    if cov == "unscaled":
        return c, inverse
    if len(x) <= n:
        raise ValueError(f"polyfit: cov needs more than {n} points, got {len(x)}; or take cov='unscaled'")
    return c, inverse * (residuals / (len(x) - n))
