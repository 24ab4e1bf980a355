"""SciPy's systems: triangular and banded ones, systems with a factor in hand, and Sylvester's equation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import zeros
from tinytensor.ops.decompositions import adjoint, conj
from tinytensor.primitive import TensorBase, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "cho_factor", "cho_solve", "lu", "lu_factor", "lu_solve", "scipy_linalg", "solve_banded", "solve_continuous_lyapunov",
    "solve_discrete_lyapunov", "solve_sylvester", "solve_triangular",
]  # fmt: skip


def scipy_linalg(name: str) -> Any:
    """``scipy.linalg``, or a sentence that says how to get it."""
    try:
        import scipy.linalg
    except ImportError:
        raise ImportError(f"tt.linalg.{name} needs SciPy: pip install 'tinytensor[scipy]'") from None
    return scipy.linalg


def _triangle(x: Any, lower: bool, k: int = 0) -> Any:
    """The lower or upper triangle of a matrix, from the k-th diagonal below or above the main one."""
    n, m = x.shape[-2:]
    mask = np.tri(n, m, -k, bool) if lower else ~np.tri(n, m, k - 1, bool)
    return np.where(mask, x, 0)


def _outer(x: Any, y: Any, vector: bool) -> Any:
    """x yᵀ, of vectors or of matrices."""
    return np.expand_dims(x, -1) * np.expand_dims(y, -2) if vector else np.matmul(x, y.mT)


def _solved(g: Any, vector: bool, solve: Callable[[Any], Any]) -> Any:
    """The solution for ``g``; one vector against a stack of matrices has become a stack of vectors: as columns."""
    return solve(np.expand_dims(g, -1))[..., 0] if vector and g.ndim > 1 else solve(g)


def _same(x: Any) -> Any:
    return x


# ------------------------------------------------------------------------------------------------ triangular and banded


def _triangular_rule(
    g: Any, a: Any, out: Any, y_shape: Any, trans: Any, lower: Any, unit_diagonal: Any, needs: Any
) -> Any:
    turned, both = trans not in (0, "N"), conj if trans in (2, "C") else _same
    vector = len(y_shape) == 1
    gy = both(_solved(both(g), vector, lambda z: solve_triangular(a, z, 0 if turned else 1, lower, unit_diagonal)))
    if not needs[0]:
        return None, gy
    ga = -both(_outer(out, gy, vector) if turned else _outer(gy, out, vector))
    return _triangle(ga, lower, int(unit_diagonal)), gy


@primitive(joint=_triangular_rule, inputs=("a", "y"), broadcasts=True)
def solve_triangular(
    a: Operand, y: Operand, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False, check_finite: bool = True
) -> Tensor:
    """a⁻¹ y (or a⁻ᵀ y, trans=1) by one triangle of a.   ∂/∂y = a⁻ᵀ g, ∂/∂a = −(a⁻ᵀ g) outᵀ   (:func:`scipy.linalg.solve_triangular`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.linalg.solve_triangular(tt.tensor([[2.0, 0.0], [1.0, 1.0]]), np.array([2.0, 3.0]), lower=True)
    tensor([1., 2.])
    """
    return scipy_linalg("solve_triangular").solve_triangular(
        a, y, trans, lower, unit_diagonal, check_finite=check_finite
    )


def _shifted(x: Any, shift: Any) -> Any:
    """Row r of the result is x[r] moved by shift[r] places to the left, zeros moving in."""
    at = np.arange(x.shape[1]) + shift[:, None]
    inside = (at >= 0) & (at < x.shape[1])
    return np.where(inside, x[np.arange(x.shape[0])[:, None], np.where(inside, at, 0)], 0)


def _banded_rule(g: Any, l_and_u: Any, ab: Any, out: Any, needs: Any) -> tuple[Any, Any]:
    """The transposed matrix has the bands in reverse, each shifted; ∂/∂a = −ḡy outᵀ on the bands."""
    below, above = l_and_u
    bands = np.arange(below + above + 1)
    gy = solve_banded((above, below), _shifted(ab[::-1], bands - below), g)
    if not needs[0]:
        return None, gy
    at = np.arange(ab.shape[1]) + (bands - above)[:, None]  # the row of each element of ab
    inside = (at >= 0) & (at < ab.shape[1])
    product = gy[np.where(inside, at, 0)] * out
    product = product if out.ndim == 1 else np.sum(product, axis=-1)
    return -np.where(inside, product, 0), gy


@primitive(joint=_banded_rule, inputs=("ab", "y"))
def solve_banded(l_and_u: tuple[int, int], ab: Operand, y: Operand, check_finite: bool = True) -> Tensor:
    """a⁻¹ y for a banded matrix a given by its diagonals, ab[u + i − j, j] = aᵢⱼ.   (:func:`scipy.linalg.solve_banded`)

    ∂/∂y = a⁻ᵀ g, ∂/∂a = −(a⁻ᵀ g) outᵀ on the diagonals.

    >>> import numpy as np, tinytensor as tt
    >>> tt.linalg.solve_banded((1, 0), tt.tensor([[2.0, 1.0], [1.0, 0.0]]), np.array([2.0, 3.0]))
    tensor([1., 2.])
    """
    return scipy_linalg("solve_banded").solve_banded(l_and_u, ab, y, check_finite=check_finite)


# -------------------------------------------------------------------------------------------------------------- Cholesky


def _cho_factor_rule(g: Any, out: Any, lower: bool) -> Any:
    """Of the factor as in cholesky, symmetric; the other triangle was passed through as it is."""
    factor, g_factor = _triangle(out, lower), _triangle(g, lower)
    passed = g - g_factor
    if not lower:
        factor, g_factor = adjoint(factor), adjoint(g_factor)
    n = out.shape[-1]
    half = np.tri(n, dtype=out.real.dtype)
    half.flat[:: n + 1] = 0.5
    inverse = np.linalg.inv(factor)
    inner = np.matmul(factor.mT, g_factor) * half
    return np.matmul(np.matmul(inverse.mT, (inner + adjoint(inner)) / 2), conj(inverse)) + passed


@primitive(x=_cho_factor_rule)
def _cho_factor(x: Any, lower: bool, check_finite: bool) -> Any:
    return scipy_linalg("cho_factor").cho_factor(x, lower, check_finite=check_finite)[0]


def cho_factor(x: Operand, lower: bool = False, check_finite: bool = True) -> tuple[Tensor, bool]:
    """The Cholesky factor for :func:`cho_solve`; its other triangle holds that of x.   (:func:`scipy.linalg.cho_factor`)

    >>> import numpy as np, tinytensor as tt
    >>> factor = tt.linalg.cho_factor(tt.tensor([[4.0, 0.0], [0.0, 9.0]]))
    >>> tt.linalg.cho_solve(factor, np.array([4.0, 9.0]))
    tensor([1., 1.])
    """
    return _cho_factor(x, lower, check_finite), lower


def _cho_solve_rule(g: Any, c: Any, out: Any, y_shape: Any, lower: bool, needs: Any) -> tuple[Any, Any]:
    """For a = L Lᴴ: ḡy = a⁻ᵀ g, ḡa = −ḡy outᵀ, ḡL = (ḡa + ḡaᴴ) L̄."""
    vector = len(y_shape) == 1
    gy = conj(_solved(conj(g), vector, lambda z: _cho_solve(c, z, lower, True)))
    if not needs[0]:
        return None, gy
    ga = -_outer(gy, out, vector)
    factor, both = conj(_triangle(c, lower)), ga + adjoint(ga)
    return _triangle(np.matmul(both, factor) if lower else np.matmul(factor, both), lower), gy


@primitive(joint=_cho_solve_rule, inputs=("c", "y"), broadcasts=True)
def _cho_solve(c: Any, y: Any, lower: bool, check_finite: bool) -> Any:
    return scipy_linalg("cho_solve").cho_solve((c, lower), y, check_finite=check_finite)


def cho_solve(c_and_lower: tuple[Operand, bool], y: Operand, check_finite: bool = True) -> Tensor:
    """x⁻¹ y by the factor that :func:`cho_factor` gave.   (:func:`scipy.linalg.cho_solve`)   Example: :func:`cho_factor`."""
    factor, lower = c_and_lower
    return _cho_solve(factor, y, lower, check_finite)


# -------------------------------------------------------------------------------------------------------------------- LU


def _lu_back(gl: Any, gu: Any, lower: Any, upper: Any) -> Any:
    """L⁻ᵀ (strict lower triangle of Lᵀ ḡL + upper triangle of ḡU Uᵀ) U⁻ᵀ."""
    inner: Any = 0
    if gl is not None:
        inner = _triangle(np.matmul(lower.mT, gl), True, 1)
    if gu is not None:
        inner = inner + _triangle(np.matmul(gu, upper.mT), False)
    return np.linalg.solve(lower.mT, np.linalg.solve(upper, inner.mT).mT)


def _halves(packed: Any) -> tuple[Any, Any]:
    """L with its unit diagonal, and U."""
    return _triangle(packed, True, 1) + np.eye(packed.shape[-1], dtype=packed.dtype), _triangle(packed, False)


def _need_square(shape: tuple[int, ...], op: str) -> None:
    if shape[-1] != shape[-2]:
        raise ValueError(f"{op}: the gradient is that of square matrices, got shape {shape}")


def _order(pivots: Any) -> Any:
    """The rows' order after the exchanges that LAPACK lists: a[order] = L U."""
    n = pivots.shape[-1]
    flat = pivots.reshape((math.prod(pivots.shape[:-1]), n))
    order = np.arange(n) + zeros(flat.shape, int, flat)
    each = np.arange(flat.shape[0])
    for i in range(n):
        swap = order[each, flat[:, i]]
        order[each, flat[:, i]] = order[:, i]
        order[:, i] = swap
    return order.reshape(pivots.shape)


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, TensorBase) else x


def _rows(x: Any, order: Any) -> Any:
    """The rows of x in this order, for each matrix of a stack."""
    return np.take_along_axis(x, np.expand_dims(order, -1), axis=-2)


def _lu_factor_rule(g: Any, out: Any, x_shape: Any) -> Any:
    _need_square(x_shape, "lu_factor")
    packed, pivots = out
    if g[0] is None:
        return np.zeros_like(packed)
    back = _lu_back(_triangle(g[0], True, 1), _triangle(g[0], False), *_halves(packed))
    return _rows(back, np.argsort(_order(_plain(pivots)), axis=-1))


@primitive(outputs=True, x=_lu_factor_rule)
def _lu_factor(x: Any, check_finite: bool) -> Any:
    return scipy_linalg("lu_factor").lu_factor(x, check_finite=check_finite)


def lu_factor(x: Operand, check_finite: bool = True) -> tuple[Tensor, Any]:
    """L and U in one matrix, and the row exchanges, for :func:`lu_solve`.   (:func:`scipy.linalg.lu_factor`)

    >>> import numpy as np, tinytensor as tt
    >>> factor = tt.linalg.lu_factor(tt.tensor([[2.0, 0.0], [0.0, 4.0]]))
    >>> tt.linalg.lu_solve(factor, np.array([2.0, 4.0]))
    tensor([1., 1.])
    """
    packed, pivots = _lu_factor(x, check_finite)
    return packed, wrap(pivots._data, None) if isinstance(pivots, TensorBase) else pivots


def _lu_solve_rule(g: Any, packed: Any, pivots: Any, out: Any, y_shape: Any, trans: Any, needs: Any) -> tuple[Any, Any]:
    """ḡy = a⁻ᵀ g, ḡa = −ḡy outᵀ, and with its rows exchanged ḡL = ḡa Uᵀ, ḡU = Lᵀ ḡa, each in its triangle."""
    vector, both = len(y_shape) == 1, conj if trans == 2 else _same
    gy = both(_solved(both(g), vector, lambda z: _lu_solve(packed, z, pivots, 0 if trans else 1, True)))
    if not needs[0]:
        return None, gy
    ga = _rows(-both(_outer(out, gy, vector) if trans else _outer(gy, out, vector)), _order(pivots))
    lower, upper = _halves(packed)
    return _triangle(np.matmul(ga, upper.mT), True, 1) + _triangle(np.matmul(lower.mT, ga), False), gy


@primitive(joint=_lu_solve_rule, inputs=("packed", "y"), broadcasts=True)
def _lu_solve(packed: Any, y: Any, pivots: Any, trans: int, check_finite: bool) -> Any:
    return scipy_linalg("lu_solve").lu_solve((packed, pivots), y, trans, check_finite=check_finite)


def lu_solve(lu_and_piv: tuple[Operand, Any], y: Operand, trans: int = 0, check_finite: bool = True) -> Tensor:
    """x⁻¹ y (x⁻ᵀ y, trans=1) by the factor of :func:`lu_factor`.   (:func:`scipy.linalg.lu_solve`)   Example: :func:`lu_factor`."""
    packed, pivots = lu_and_piv
    return _lu_solve(packed, y, _plain(pivots), trans, check_finite)


def _lu_rule(g: Any, out: Any, x_shape: Any) -> Any:
    _need_square(x_shape, "lu")
    if (g[1] is None and g[2] is None) or not math.prod(x_shape):
        return np.zeros_like(out[1])
    return np.matmul(_plain(out[0]), _lu_back(g[1], g[2], out[1], out[2]))


@primitive(outputs=True, x=_lu_rule)
def lu(x: Operand, check_finite: bool = True) -> Any:
    """P, L, U with x = P L U: a permutation, a unit lower and an upper triangular matrix.   (:func:`scipy.linalg.lu`)

    ∂/∂x = P L⁻ᵀ (strict lower triangle of Lᵀ ḡL + upper triangle of ḡU Uᵀ) U⁻ᵀ, of a square x.

    >>> import tinytensor as tt
    >>> p, l, u = tt.linalg.lu(tt.tensor([[2.0, 1.0], [4.0, 4.0]]))
    >>> u
    tensor([[ 4.,  4.],
            [ 0., -1.]])
    """
    return scipy_linalg("lu").lu(x, check_finite=check_finite)


# ------------------------------------------------------------------------------------------------- Sylvester, Lyapunov


def _trsyl(r: Any, s: Any, f: Any, trana: str, tranb: str) -> Any:
    """The solution of op(r) y + y op(s) = f for triangular r and s."""
    (solver,) = scipy_linalg("solve_sylvester").get_lapack_funcs(("trsyl",), (r, s, f))
    y, scale, info = solver(r, s, f, trana=trana, tranb=tranb)
    if info < 0:
        raise np.linalg.LinAlgError(f"solve_sylvester: LAPACK refused argument {-info}")
    return y * scale


def solve_with_itself(a: Any, q: Any) -> Any:
    """x with a x + x a = q: one Schur form instead of two."""
    if not math.prod(q.shape):
        return q
    if isinstance(a, TensorBase) or isinstance(q, TensorBase) or a.ndim != 2 or a.dtype.kind == "c" or not a.size:
        return solve_sylvester(a, a, q)
    r, u = scipy_linalg("sqrtm").schur(a)
    return np.matmul(np.matmul(u, _trsyl(r, r, np.matmul(np.matmul(u.T, q), u), "N", "N")), u.T)


def _sylvester_rule(g: Any, a: Any, b: Any, out: Any) -> tuple[Any, Any, Any]:
    """aᵀ Z + Z bᵀ = g: ḡq = Z, ḡa = −Z outᵀ, ḡb = −outᵀ Z."""
    x, r, u, s, v = out
    if isinstance(g[0], TensorBase) or not r.size:
        z = solve_sylvester(a.mT, b.mT, g[0])
    else:  # by the Schur forms of the forward pass
        z = np.matmul(np.matmul(u, _trsyl(r, s, np.matmul(np.matmul(u.T, g[0]), v), "T", "N")), v.T)
    return -np.matmul(z, x.mT), -np.matmul(x.mT, z), z


@primitive(joint=_sylvester_rule, inputs=("a", "b", "q"), outputs=True, broadcasts=True)
def _solve_sylvester(a: Any, b: Any, q: Any) -> Any:
    """The solution, and the Schur forms a = u r uᵀ, bᵀ = v s vᵀ; nothing for them, if they are not plain and real."""
    module = scipy_linalg("solve_sylvester")
    if a.ndim != 2 or not a.size or not b.size or "c" in (a.dtype.kind, b.dtype.kind, q.dtype.kind):
        return (module.solve_sylvester(a, b, q), *[np.zeros(0)] * 4)
    (r, u), (s, v) = module.schur(a), module.schur(b.T)
    y = _trsyl(r, s, np.dot(np.dot(u.T, q), v), "N", "C")
    return np.dot(np.dot(u, y), v.T), r, u, s, v


def solve_sylvester(a: Operand, b: Operand, q: Operand) -> Tensor:
    """x with a x + x b = q.   ∂: aᵀ Z + Z bᵀ = g; Z, −Z xᵀ, −xᵀ Z for q, a, b   (:func:`scipy.linalg.solve_sylvester`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.linalg.solve_sylvester(np.eye(2), np.eye(2), tt.ones((2, 2)))
    tensor([[0.5, 0.5],
            [0.5, 0.5]])
    """
    if not any(isinstance(x, TensorBase) for x in (a, b, q)):
        return scipy_linalg("solve_sylvester").solve_sylvester(a, b, q)
    return _solve_sylvester(a, b, q)[0]


def _continuous_rule(g: Any, a: Any, out: Any, needs: Any) -> tuple[Any, Any]:
    z = conj(solve_continuous_lyapunov(adjoint(a), conj(g)))
    return -(np.matmul(z, out.mT) + conj(np.matmul(z.mT, out))) if needs[0] else None, z


@primitive(joint=_continuous_rule, inputs=("a", "q"), broadcasts=True)
def solve_continuous_lyapunov(a: Operand, q: Operand) -> Tensor:
    """x with a x + x aᴴ = q.   ∂: aᵀ Z + Z ā = g; Z, −(Z xᵀ + Zᴴ x̄) for q, a   (:func:`scipy.linalg.solve_continuous_lyapunov`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.linalg.solve_continuous_lyapunov(np.eye(2), tt.eye(2))
    tensor([[0.5, 0. ],
            [0. , 0.5]])
    """
    return scipy_linalg("solve_continuous_lyapunov").solve_continuous_lyapunov(a, q)


def _discrete_rule(g: Any, a: Any, out: Any, method: Any, needs: Any) -> tuple[Any, Any]:
    z = conj(solve_discrete_lyapunov(adjoint(a), conj(g), method))
    if not needs[0]:
        return None, z
    return np.matmul(np.matmul(z, conj(a)), out.mT) + conj(np.matmul(np.matmul(z.mT, a), out)), z


@primitive(joint=_discrete_rule, inputs=("a", "q"), broadcasts=True)
def solve_discrete_lyapunov(a: Operand, q: Operand, method: str | None = None) -> Tensor:
    """x with a x aᴴ − x + q = 0.   ∂: aᵀ Z ā − Z + g = 0; Z, Z ā xᵀ + Zᴴ ā x̄ for q, a   (:func:`scipy.linalg.solve_discrete_lyapunov`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.linalg.solve_discrete_lyapunov(np.zeros((2, 2)), tt.ones((2, 2)))
    tensor([[1., 1.],
            [1., 1.]])
    """
    return scipy_linalg("solve_discrete_lyapunov").solve_discrete_lyapunov(a, q, method)
