"""Linear systems, inverses and determinants of matrices, or of stacks of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, settled, traced
from tinytensor.graph import assured
from tinytensor.ops.decompositions import adjoint, conj, svd
from tinytensor.ops.elementwise import div0
from tinytensor.primitive import TensorBase, composite, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "cofactor", "det", "inv", "lstsq", "matrix_power", "multi_dot", "pinv", "slogdet", "solve", "tensorinv",
    "tensorsolve",
]  # fmt: skip

_Slogdet: type = type(np.linalg.slogdet(np.eye(1)))

# ----------------------------------------------------------------------------------------------- systems and inverses


@primitive(np.linalg.inv, x=lambda g, out: -np.matmul(np.matmul(out.mT, g), out.mT))
def inv(x: Operand) -> Tensor:
    """x⁻¹.   ∂/∂x = −x⁻ᵀ g x⁻ᵀ   (:func:`numpy.linalg.inv`)

    >>> import tinytensor as tt
    >>> tt.linalg.inv(tt.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor([[0.5 , 0.  ],
            [0.  , 0.25]])
    """
    return np.linalg.inv(x)


def _solve_rule(g: Any, x: Any, out: Any, y_shape: Any, needs: Any) -> tuple[Any, Any]:
    """One solution serves both: ḡy = x⁻ᵀ g, ḡx = −ḡy outᵀ."""
    if len(y_shape) != 1:
        gy = np.linalg.solve(x.mT, g)
        return (-np.matmul(gy, out.mT) if needs[0] else None), gy
    gy = np.linalg.solve(x.mT, np.expand_dims(g, -1))
    return (-(gy * np.expand_dims(out, -2)) if needs[0] else None), gy[..., 0]


@primitive(np.linalg.solve, joint=_solve_rule, inputs=("x", "y"), broadcasts=True)
def solve(x: Operand, y: Operand) -> Tensor:
    """x⁻¹ y, for y a vector or (a stack of) matrices, as NumPy 2.   ∂/∂y = x⁻ᵀ g, ∂/∂x = −(x⁻ᵀ g) outᵀ   (:func:`numpy.linalg.solve`)

    >>> import tinytensor as tt
    >>> tt.linalg.solve(tt.tensor([[2.0, 0.0], [0.0, 4.0]]), tt.tensor([1.0, 1.0]))
    tensor([0.5 , 0.25])
    """
    return np.linalg.solve(x, y)


def _pinv_rule(g: Any, x: Any, out: Any, hermitian: bool) -> Any:
    """−(P K)ᵀ + K Pᵀ − x P K Pᵀ + Pᵀ P (gᵀ − K x) with K = gᵀ P (Golub and Pereyra); the wide way, if x is tall."""
    p, ph, gh = out, adjoint(out), g.mT
    if x.shape[-2] <= x.shape[-1]:
        k = np.matmul(gh, p)
        kp = np.matmul(k, ph)
        back = kp - np.matmul(np.matmul(x, p), kp) + np.matmul(np.matmul(ph, p), gh - np.matmul(k, x))
        back = back - adjoint(np.matmul(p, k))
    else:
        k = np.matmul(p, gh)
        pk = np.matmul(ph, k)
        back = np.matmul(np.matmul(gh - np.matmul(x, k), p), ph) + pk - np.matmul(np.matmul(pk, p), x)
        back = back - adjoint(np.matmul(k, p))
    back = conj(back)
    return (back + adjoint(back)) / 2 if hermitian else back


@primitive(np.linalg.pinv, x=_pinv_rule)
def pinv(x: Operand, rcond: Any = None, hermitian: bool = False, rtol: Any = np._NoValue) -> Tensor:
    """The pseudo-inverse P; singular values below rcond times the largest count as 0.   (:func:`numpy.linalg.pinv`)

    ∂P = −P ∂x P + P Pᵀ ∂xᵀ (1 − x P) + (1 − P x) ∂xᵀ Pᵀ P, where the rank of x does not change.

    >>> import tinytensor as tt
    >>> tt.linalg.pinv(tt.tensor([[2.0], [0.0]]))
    tensor([[0.5, 0. ]])
    """
    return np.linalg.pinv(x, rcond, hermitian, rtol=rtol)


def _lstsq_rule(g: Any, x: Any, y: Any, out: Any, rcond: Any, needs: Any) -> tuple[Any, Any]:
    """Of the solution by the pseudo-inverse P, of the residuals 2 r ḡ, of the singular values u vᵀ."""
    gout, gres, _, gs = g
    x_gradient, y_gradient = np.zeros_like(x), np.zeros_like(y)
    columns = y.shape if y.ndim == 2 else (y.shape[0], 1)
    solution = out[0].reshape((x.shape[1], columns[1]))
    r = y.reshape(columns) - np.matmul(x, solution)
    if gout is not None:
        cut = np.finfo(out[0].dtype).eps * (max(x.shape) if rcond is None else 1)
        p = pinv(x, cut if rcond is None or rcond == -1 else rcond)
        gz = gout.reshape(solution.shape)
        h = np.matmul(p.mT, gz)
        y_gradient = y_gradient + h.reshape(y.shape)
        x_gradient = x_gradient - np.matmul(h, solution.mT) + np.matmul(conj(r), np.matmul(p, conj(h)).mT)
        kernel = conj(gz) - np.matmul(p, np.matmul(x, conj(gz)))
        x_gradient = x_gradient + np.matmul(np.matmul(p.mT, conj(solution)), kernel.mT)
    if gres is not None and gres.size:
        h = 2 * conj(r) * gres
        y_gradient = y_gradient + h.reshape(y.shape)
        x_gradient = x_gradient - np.matmul(h, solution.mT)
    if gs is not None and needs[0]:
        u, _, vh = svd(x, False)
        x_gradient = x_gradient + np.matmul(conj(u) * gs, conj(vh))
    return x_gradient, y_gradient


@primitive(joint=_lstsq_rule, inputs=("x", "y"), outputs=True)
def _lstsq(x: Any, y: Any, rcond: Any) -> Any:
    return settled(np.linalg.lstsq(x, y, rcond))


@composite(np.linalg.lstsq)
def lstsq(x: Operand, y: Operand, rcond: float | None = None) -> Any:
    """The shortest z that minimises ‖x z − y‖², the residuals, the rank of x, its singular values.   (:func:`numpy.linalg.lstsq`)

    All but the rank have a gradient, where the rank does not change.

    >>> import numpy as np, tinytensor as tt
    >>> tt.linalg.lstsq(tt.tensor([[1.0], [1.0]]), np.array([1.0, 3.0]))[0]
    tensor([2.])
    """
    solution, residuals, rank, values = _lstsq(x, y, rcond)
    return solution, residuals, wrap(rank._data, None), values


# -------------------------------------------------------------------------------------------------------- determinants


def _inverse_or_none(x: Any) -> Any:
    """x⁻¹, if every matrix of the stack has one that can be trusted."""
    if traced(x):
        return np.linalg.inv(x) if assured(_has_inverse, x) else None
    try:
        inverse = np.linalg.inv(x)
    except np.linalg.LinAlgError:
        return None
    size = np.absolute(x).max((-2, -1), initial=0) * np.absolute(inverse).max((-2, -1), initial=0)
    return inverse if (size * size * np.finfo(x.dtype).eps < 1).all() else None


def _has_inverse(x: Any) -> bool:
    return _inverse_or_none(x) is not None


def _others(s: Any) -> Any:
    """Π_{k≠i} sₖ along the last axis: products from the left times products from the right."""
    left, right = np.ones_like(s), np.ones_like(s)
    np.multiply.accumulate(s[..., :-1], axis=-1, out=left[..., 1:])
    np.multiply.accumulate(s[..., :0:-1], axis=-1, out=right[..., -2::-1])
    return left * right


def _second_singular(g: Any, x: Any) -> Any:
    """The derivative of the cofactors in the basis of the singular vectors: products of all but two singular values."""
    u, s, vh = np.linalg.svd(x)
    own = np.eye(s.shape[-1], dtype=bool)
    pairs = np.where(own, 0, _others(np.where(own, 1, s[..., None, :])))
    pairs = np.where(own, 0, (pairs + pairs.mT) / 2)
    b = np.matmul(np.matmul(u.mT, g), vh.mT)
    n = np.arange(s.shape[-1])
    inner = -b.mT * pairs
    inner[..., n, n] = np.matmul(pairs, b[..., n, n][..., None])[..., 0]
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return sign[..., None, None] * np.matmul(np.matmul(u.conj(), inner), vh.conj())


def _second_x(g: Any, x: Any, y: Any) -> Any:
    """The derivative of ⟨g, second(x, y)⟩ with respect to x, at a regular x."""
    if _inverse_or_none(x._data if isinstance(x, TensorBase) else x) is None:
        raise np.linalg.LinAlgError("det: no third derivative at a singular matrix; two orders are supported there")
    w = np.linalg.inv(x).mT
    a, b = np.matmul(w, g.mT), np.matmul(w, y.mT)
    gw, yw = [np.sum(w * z, axis=(-2, -1), keepdims=True) for z in (g, y)]
    both = np.matmul(a, np.matmul(b, w))
    crossed = np.sum(a * b.mT, axis=(-2, -1), keepdims=True)
    inner = w * (gw * yw - crossed) - gw * np.matmul(b, w) - yw * np.matmul(a, w) + both + np.matmul(b, np.matmul(a, w))
    return np.expand_dims(np.linalg.det(x), (-2, -1)) * inner


@primitive(x=_second_x, y=lambda g, x: _second(x, g))
def _second(x: Any, y: Any) -> Any:
    """∂⟨cofactors of x, y⟩/∂x = det x (⟨y, W⟩ W − W yᵀ W) with W = x⁻ᵀ; finite at a singular x too."""
    inverse = _inverse_or_none(x)
    if inverse is None:
        return _second_singular(y, x)
    w = inverse.mT
    yw = np.add.reduce(y * w, axis=(-2, -1), keepdims=True)
    return np.linalg.det(x)[..., None, None] * (yw * w - np.matmul(np.matmul(w, y.mT), w))


@primitive(x=lambda g, x: _second(x, g))
def cofactor(x: Operand) -> Tensor:
    """The cofactors det(x) x⁻ᵀ, also of a singular x, where they are products of singular values.

    >>> import numpy as np
    >>> cofactor(np.array([[1.0, 2.0], [2.0, 4.0]])).round(12)
    array([[ 4., -2.],
           [-2.,  1.]])
    """
    x = asarray(x)
    inverse = _inverse_or_none(x)
    if inverse is not None:
        return np.linalg.det(x)[..., None, None] * inverse.mT
    u, s, vh = np.linalg.svd(x)
    sign = (np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return sign * np.matmul(u.conj() * _others(s)[..., None, :], vh.conj())


def _each(g: Any) -> Any:
    """One number for each matrix, so that it multiplies the matrix."""
    return np.expand_dims(g, (-2, -1))


def _det_rule(g: Any, x: Any, out: Any) -> Any:
    if not isinstance(x, TensorBase) and (inverse := _inverse_or_none(x)) is not None:
        return _each(g * out) * inverse.mT
    return _each(g) * cofactor(x)


@primitive(np.linalg.det, x=_det_rule)
def det(x: Operand) -> Tensor:
    """The determinant.   ∂/∂x = det(x) x⁻ᵀ: the cofactors, also of a singular matrix   (:func:`numpy.linalg.det`)

    >>> import tinytensor as tt
    >>> tt.grad(tt.linalg.det)(tt.tensor([[1.0, 2.0], [0.0, 0.0]]))
    tensor([[ 0.,  0.],
            [-2.,  1.]])
    """
    return np.linalg.det(x)


def _slogdet_rule(g: Any, x: Any, out: Any) -> Any:
    """x⁻ᵀ ḡ; of a complex matrix the sign turns too."""
    gsign, glog = g
    if x.dtype.kind == "c" and gsign is not None:
        turn = 1j * (gsign * out[0]).imag
        glog = turn if glog is None else glog + turn
    if glog is None:
        return np.zeros_like(x)
    try:
        return _each(glog) * np.linalg.inv(x).mT
    except np.linalg.LinAlgError:
        return div0(_each(glog) * cofactor(x), _each(np.linalg.det(x)))


@primitive(np.linalg.slogdet, outputs=_Slogdet, x=_slogdet_rule)
def slogdet(x: Operand) -> Any:
    """The sign of the determinant, and ln |det x|.   ∂/∂x = 0 and x⁻ᵀ   (:func:`numpy.linalg.slogdet`)

    >>> import tinytensor as tt
    >>> tt.linalg.slogdet(tt.tensor([[1.0, 0.0], [0.0, -1.0]]))
    SlogdetResult(sign=tensor(-1.), logabsdet=tensor(0.))
    """
    return np.linalg.slogdet(x)


# --------------------------------------------------------------------------------------- products, powers, more axes


def _array(x: Any) -> Any:
    return x if isinstance(x, TensorBase) else asarray(x)


@composite(np.linalg.matrix_power)
def matrix_power(x: Operand, n: int) -> Tensor:
    """x · x · … · x, n times; the inverse's powers for n < 0.   (:func:`numpy.linalg.matrix_power`)

    By repeated squaring: ⌈log₂ n⌉ products or a few more, forward and backward.

    >>> import tinytensor as tt
    >>> tt.linalg.matrix_power(tt.tensor([[1.0, 1.0], [0.0, 1.0]]), 3)
    tensor([[1., 3.],
            [0., 1.]])
    """
    x = _array(x)
    if not isinstance(n, (int, np.integer)):
        raise TypeError(f"matrix_power: the exponent must be an integer, got {n!r}; see tt.linalg.expm, logm, sqrtm")
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise np.linalg.LinAlgError(f"matrix_power: expected square matrices (..., n, n), got shape {x.shape}")
    if n == 0:
        return 0 * x + np.eye(x.shape[-1], dtype=x.dtype)
    if n < 0:
        x, n = inv(x), -n
    if n == 1:
        return x.copy()
    if n == 3:
        return np.matmul(np.matmul(x, x), x)
    result, power = None, None
    for k, bit in enumerate(bin(n)[:1:-1]):  # from the lowest bit
        power = x if k == 0 else np.matmul(power, power)
        if bit == "1":
            result = power if result is None else np.matmul(result, power)
    return result


def _cheapest(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to cut each chain of matrices i … j: dynamic programming over the number of multiplications."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            price = {k: cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1] for k in range(i, j)}
            cut[i, j] = min(price, key=price.__getitem__)
            cost[i, j] = price[cut[i, j]]
    return cut


@composite(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Operand]) -> Tensor:
    """The product of two or more matrices in the cheapest order; the first and last may be vectors.   (:func:`numpy.linalg.multi_dot`)

    >>> import tinytensor as tt
    >>> tt.linalg.multi_dot([tt.ones((2, 3)), tt.ones((3, 2)), tt.ones(2)])
    tensor([6., 6.])
    """
    chain = [_array(x) for x in arrays]
    n = len(chain)
    if n < 2:
        raise ValueError(f"multi_dot: expected at least two arrays, got {n}")
    if any(x.ndim != 2 for x in chain[1:-1]) or not {chain[0].ndim, chain[-1].ndim} <= {1, 2}:
        raise np.linalg.LinAlgError(
            f"multi_dot: expected matrices (the first and last may be vectors), got shapes {[x.shape for x in chain]}"
        )
    if n == 2:
        return np.dot(chain[0], chain[1])
    first, last = chain[0].ndim == 1, chain[-1].ndim == 1
    chain[0] = chain[0].reshape(1, -1) if first else chain[0]
    chain[-1] = chain[-1].reshape(-1, 1) if last else chain[-1]
    cut = _cheapest([x.shape[0] for x in chain] + [chain[-1].shape[1]])

    def product(i: int, j: int) -> Any:
        return chain[i] if i == j else np.dot(product(i, cut[i, j]), product(cut[i, j] + 1, j))

    out = product(0, n - 1)
    return out.reshape(out.shape[first : 2 - last]) if first or last else out


@composite(np.linalg.tensorinv)
def tensorinv(x: Operand, ind: int = 2) -> Tensor:
    """The inverse for tensordot over the first ``ind`` axes.   (:func:`numpy.linalg.tensorinv`)

    >>> import tinytensor as tt
    >>> tt.linalg.tensorinv(tt.eye(6).reshape(6, 2, 3), ind=1).shape
    (2, 3, 6)
    """
    x = _array(x)
    if ind <= 0:
        raise ValueError(f"tensorinv: ind must be positive, got {ind}")
    shape = x.shape[ind:] + x.shape[:ind]
    return inv(x.reshape(math.prod(x.shape[:ind]), -1)).reshape(shape)


@composite(np.linalg.tensorsolve)
def tensorsolve(x: Operand, y: Operand, axes: Sequence[int] | None = None) -> Tensor:
    """z with tensordot(x, z, z.ndim) = y; ``axes`` of x are moved to its end first.   (:func:`numpy.linalg.tensorsolve`)

    >>> import tinytensor as tt
    >>> tt.linalg.tensorsolve(tt.eye(6).reshape(2, 3, 2, 3), tt.ones((2, 3))).shape
    (2, 3)
    """
    x, y = _array(x), _array(y)
    if axes is not None:
        x = np.transpose(x, [a for a in range(x.ndim) if a not in [b % x.ndim for b in axes]] + list(axes))
    shape = x.shape[y.ndim :]
    n = math.prod(shape)
    if x.size != n * n:
        raise np.linalg.LinAlgError(f"tensorsolve: shape {x.shape} is not square when cut before {shape}")
    return solve(x.reshape(n, n), y.reshape(-1)).reshape(shape)
