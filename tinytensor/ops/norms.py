"""Norms, condition numbers, traces and ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.graph import assured
from tinytensor.ops.decompositions import conj, near_zero
from tinytensor.ops.reductions import axes_of
from tinytensor.primitive import DISPATCH, TensorBase, composite, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand

__all__ = [
    "cond", "matrix_diagonal", "matrix_norm", "matrix_rank", "matrix_trace", "matrix_transpose", "norm", "trace",
    "vector_norm",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------------- helpers


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, TensorBase) else x


def _sign(x: Any) -> Any:
    """∂|x|/∂x: the sign, 0 at 0; of a complex x the conjugate direction."""
    return conj(np.sign(x))


def _among(g: Any, hits: Any, axis: Any) -> Any:
    """``g`` shared evenly among the hits, zero elsewhere."""
    return np.where(hits, g / np.add.reduce(hits, axis, keepdims=True), 0)


def _along(x: Any, out: Any, axis: Axis) -> Any:
    """``out``, reduced from x over these axes, with an axis of length 1 for each."""
    if out.ndim == x.ndim:
        return out
    return np.expand_dims(out, tuple(range(x.ndim)) if axis is None else axes_of(axis, x.ndim, "norm"))


# ------------------------------------------------------------------------------------------------------------- vectors


def _euclidean(g: Any, x: Any, out: Any, axis: Axis) -> Any:
    """x / ‖x‖, and 0 where x = 0."""
    x = conj(x)
    if out.ndim == 0:
        return x * (g / out) if assured(bool, _plain(out) != 0) else np.zeros_like(x)
    g, out = _along(x, g, axis), _along(x, out, axis)
    if assured(np.all, _plain(out) != 0):
        return x * (g / out)
    zero = _plain(out) == 0
    return x * np.where(zero, 0, g / np.where(zero, 1, out))


def _vector(g: Any, x: Any, out: Any, order: Any, axis: Axis) -> Any:
    """sign(x) (|x| / ‖x‖)ᵖ⁻¹; 0 where x = 0; ±∞ shares evenly at a tie."""
    if order is None or order == 2:
        return _euclidean(g, x, out, axis)
    if order == 0:
        return np.zeros_like(x) if isinstance(x, TensorBase) else np.zeros(x.shape, x.dtype)
    g = _along(x, g, axis)
    if order == 1:
        return g * _sign(x)
    out = _along(x, out, axis)
    size = np.absolute(x)
    if order >= 2 and order < np.inf and assured(np.all, _plain(out) != 0):
        ratio = size / out
        return conj(x) * ((ratio if order == 3 else ratio ** (order - 2)) * (g / out))
    if order in (np.inf, -np.inf):
        hits = _plain(size) == _plain(out)
        return _among(g, hits, axis) * _sign(x)
    zero = (_plain(size) == 0) | (_plain(out) == 0)
    ratio = np.where(zero, 1, size) / np.where(_plain(out) == 0, 1, out)
    return np.where(zero, 0, g * _sign(x) * ratio ** (order - 1))


# ------------------------------------------------------------------------------------------------------------ matrices


def _singular(g: Any, x: Any, order: Any, rows: int, columns: int) -> Any:
    """U diag(ḡs) Vᵀ: all singular values, the largest or the smallest (shared evenly at a tie), and none that are 0."""
    to_end = [a for a in range(x.ndim) if a not in (rows, columns)] + [rows, columns]
    moves = to_end[-2:] != [x.ndim - 2, x.ndim - 1]
    u, s, vh = np.linalg.svd(np.transpose(x, to_end) if moves else x, full_matrices=False)
    s = _plain(s)
    largest = s.max(-1, keepdims=True, initial=0)
    share: Any = ~near_zero(s, largest)
    if order != "nuc":
        share &= s == (largest if order == 2 else s.min(-1, keepdims=True))
        share = (share / np.maximum(share.sum(-1, keepdims=True), 1)).astype(s.dtype)
    back = np.matmul(conj(u) * share[..., None, :], conj(vh))
    return (np.transpose(back, [to_end.index(a) for a in range(x.ndim)]) if moves else back) * _along(
        x, g, (rows, columns)
    )


def _matrix(g: Any, x: Any, out: Any, order: Any, axis: tuple[int, int]) -> Any:
    """Frobenius as a vector's; 'nuc' and ±2 by singular values; ±1 and ±∞: the columns, the rows of extreme sum."""
    if order is None or order == "fro":
        return _euclidean(g, x, out, axis)
    rows, columns = [a % x.ndim for a in axis]
    if order in ("nuc", 2, -2):
        return _singular(g, x, order, rows, columns)
    along, across = (rows, columns) if order in (1, -1) else (columns, rows)
    sums = np.add.reduce(np.absolute(_plain(x)), along, keepdims=True)
    hits = sums == _along(x, _plain(out), axis)
    return _among(_along(x, g, axis), hits, across) * _sign(x)


def _norm_rule(g: Any, x: Any, out: Any, ord: Any, axis: Any) -> Any:
    if axis is None and (ord is None or x.ndim == 1):
        return _vector(g, x, out, ord, None)
    axes = tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    return _vector(g, x, out, ord, axes) if len(axes) == 1 else _matrix(g, x, out, ord, (axes[0], axes[1]))


@primitive(np.linalg.norm, x=_norm_rule)
def norm(x: Operand, ord: Any = None, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The norm of vectors along an axis, or of matrices over two, as NumPy chooses.   (:func:`numpy.linalg.norm`)

    ord of a vector: any number p, (Σ|x|ᵖ)^(1/p); ±inf, the largest and smallest |x|; 0, how many are not 0.
    ord of a matrix: 'fro', 'nuc', ±2 (singular values), ±1, ±inf (sums of columns, of rows).
    ∂/∂x = sign(x) (|x|/‖x‖)ᵖ⁻¹, 0 at the zero vector, and shared evenly at a tie.

    >>> import tinytensor as tt
    >>> tt.linalg.norm(tt.tensor([3.0, 4.0]))
    tensor(5.)
    >>> tt.grad(tt.linalg.norm)(tt.zeros(2))
    tensor([0., 0.])
    """
    return np.linalg.norm(x, ord, axis, keepdims)


def _vector_norm_rule(g: Any, x: Any, out: Any, ord: Any, axis: Any) -> Any:
    return _vector(g, x, out, ord, axis)


@primitive(np.linalg.vector_norm, x=_vector_norm_rule)
def vector_norm(x: Operand, axis: Axis = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """The norm of vectors: over all axes, or those given.   ∂ as :func:`norm`   (:func:`numpy.linalg.vector_norm`)

    >>> import tinytensor as tt
    >>> tt.linalg.vector_norm(tt.tensor([[3.0, -4.0], [0.0, 0.0]]), ord=1)
    tensor(7.)
    """
    return np.linalg.vector_norm(x, axis=axis, keepdims=keepdims, ord=ord)


def _matrix_norm_rule(g: Any, x: Any, out: Any, ord: Any) -> Any:
    return _matrix(g, x, out, ord, (-2, -1))


@primitive(np.linalg.matrix_norm, x=_matrix_norm_rule)
def matrix_norm(x: Operand, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """The norm of matrices over the last two axes.   ∂ as :func:`norm`   (:func:`numpy.linalg.matrix_norm`)

    >>> import tinytensor as tt
    >>> tt.linalg.matrix_norm(tt.tensor([[3.0, 0.0], [0.0, 4.0]]), ord="nuc")
    tensor(7.)
    """
    return np.linalg.matrix_norm(x, keepdims=keepdims, ord=ord)


# ------------------------------------------------------------------------------------------------- condition and rank


def _cond_rule(g: Any, x: Any, p: Any) -> Any:
    """From the extreme singular values, or from ‖x‖ and ‖x⁻¹‖."""
    g = np.expand_dims(g, (-2, -1))
    if p is None or p in (2, -2):
        u, s, vh = np.linalg.svd(x, full_matrices=False)
        large, small = np.expand_dims(s[..., 0], (-2, -1)), np.expand_dims(s[..., -1], (-2, -1))
        n = s.shape[-1]
        top, bottom = np.eye(1, n, dtype=s.dtype), np.eye(1, n, n - 1, dtype=s.dtype)
        if p == -2:
            large, small, top, bottom = small, large, bottom, top
        return g * np.matmul(conj(u) * (top / small - bottom * (large / small / small)), conj(vh))
    inverse = np.linalg.inv(x)
    one = np.ones(g.shape, g.dtype)
    a, b = norm(x, p, (-2, -1), True), norm(inverse, p, (-2, -1), True)
    first = _matrix(one, x, a, p, (-2, -1))
    second = _matrix(one, inverse, b, p, (-2, -1))
    return g * (b * first - a * np.matmul(np.matmul(inverse.mT, second), inverse.mT))


@primitive(np.linalg.cond, x=_cond_rule)
def cond(x: Operand, p: Any = None) -> Tensor:
    """The condition number ‖x‖ ‖x⁻¹‖ in any norm of a matrix; by default s₁/sₙ.   (:func:`numpy.linalg.cond`)

    ∂(s₁/sₙ)/∂x = (u₁ v₁ᵀ − (s₁/sₙ) uₙ vₙᵀ)/sₙ.

    >>> import tinytensor as tt
    >>> tt.linalg.cond(tt.tensor([[2.0, 0.0], [0.0, 4.0]]))
    tensor(2.)
    """
    return np.linalg.cond(x, p)


def matrix_rank(A: Operand, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Tensor:
    """How many singular values are not 0 to rounding: a number without derivative.   (:func:`numpy.linalg.matrix_rank`)

    >>> import tinytensor as tt
    >>> tt.linalg.matrix_rank(tt.tensor([[1.0, 2.0], [2.0, 4.0]]))
    tensor(1)
    """
    options = {"rtol": rtol} if rtol is not None else {}
    rank = np.linalg.matrix_rank(_plain(A), _plain(tol), hermitian, **options)
    return wrap(rank, None) if isinstance(A, TensorBase) else rank


DISPATCH[np.linalg.matrix_rank] = matrix_rank

# ------------------------------------------------------------------------------------------------------------ diagonals


def _trace_rule(g: Any, x_shape: Any, x_dtype: Any, offset: Any, axis1: int, axis2: int) -> Any:
    a, b = axis1 % len(x_shape), axis2 % len(x_shape)
    ones = np.eye(x_shape[a], x_shape[b], offset, dtype=x_dtype)
    if len(x_shape) == 2:
        return (ones if a < b else ones.T) * g
    shape = [1] * len(x_shape)
    shape[a], shape[b] = x_shape[a], x_shape[b]
    return np.expand_dims(g, (a, b)) * (ones if a < b else ones.T).reshape(shape)


@primitive(np.trace, x=_trace_rule)
def trace(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Σ xᵢ,ᵢ₊ₒ along two axes.   ∂/∂x = 1 on that diagonal, else 0   (:func:`numpy.trace`)

    >>> import tinytensor as tt
    >>> tt.linalg.trace(tt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5.)
    """
    return np.trace(x, offset, axis1, axis2)


@composite(np.linalg.trace)
def matrix_trace(x: Operand, offset: int = 0) -> Tensor:
    """The trace over the last two axes.   (:func:`numpy.linalg.trace`)

    >>> import tinytensor as tt
    >>> tt.linalg.trace(tt.ones((2, 3, 3)))
    tensor([3., 3.])
    """
    return trace(x, offset, -2, -1)


# --------------------------------------------------------------------- numpy.linalg's own names for functions of numpy


@composite(np.linalg.diagonal)
def matrix_diagonal(x: Operand, offset: int = 0) -> Tensor:
    """The diagonals of the last two axes.   (:func:`numpy.linalg.diagonal`)

    >>> import tinytensor as tt
    >>> tt.linalg.diagonal(tt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([1., 4.])
    """
    array: Any = x
    at = np.arange(max(0, min(array.shape[-2] + min(offset, 0), array.shape[-1] - max(offset, 0))))
    return array[..., at - min(offset, 0), at + max(offset, 0)]


@composite(np.linalg.matrix_transpose)
def matrix_transpose(x: Operand) -> Tensor:
    """The last two axes exchanged.   (:func:`numpy.linalg.matrix_transpose`)

    >>> import tinytensor as tt
    >>> tt.linalg.matrix_transpose(tt.ones((2, 3, 4))).shape
    (2, 4, 3)
    """
    array: Any = x
    return np.swapaxes(array, -1, -2)
