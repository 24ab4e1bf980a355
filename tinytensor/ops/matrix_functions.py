"""Functions of matrices (SciPy's exponential, logarithm, roots), and matrices made of vectors and blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.graph import assured
from tinytensor.ops.factored import scipy_linalg, solve_with_itself
from tinytensor.primitive import TensorBase, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["block_diag", "circulant", "cosm", "expm", "expm_frechet", "hankel", "logm", "sinm", "sqrtm", "toeplitz"]

# ------------------------------------------------------------------------------------------------ functions of matrices
# A function f of matrices has its derivative in its own values: f([[A, E], [0, A]]) = [[f(A), L(A, E)], [0, f(A)]], L(A, E)
# the derivative of f at A in the direction E; and the transpose of L(A, ·) is L(Aᵀ, ·).


def _blocks(a: Any, b: Any, d: Any) -> Any:
    """[[a, b], [0, d]]."""
    top, bottom = np.concatenate([a, b], -1), np.concatenate([np.zeros_like(d), d], -1)
    return np.concatenate([top, bottom], -2)


def _by_blocks(f: Callable[[Any], Any], g: Any, x: Any) -> Any:
    """The derivative of f at xᵀ in the direction g: what carries a cotangent back."""
    n = x.shape[-1]
    return f(_blocks(x.mT, g, x.mT))[..., :n, n:]


def _direction_rule(g: Any, x: Any, e: Any, needs: Any) -> tuple[Any, Any]:
    """L(x, e) is a part of exp M with M = [[x, e], [0, x]], and its cotangent a part of L(Mᵀ, ·)."""
    if not needs[0]:
        return None, _direction(x.mT, g)
    n = x.shape[-1]
    zero = np.zeros_like(x)
    back = _direction(_blocks(x, e, x).mT, _blocks(zero, g, zero))
    return back[..., :n, :n] + back[..., n:, n:], back[..., :n, n:]


@primitive(joint=_direction_rule, inputs=("x", "e"))
def _direction(x: Any, e: Any) -> Any:
    """The derivative of expm at x in the direction e."""
    x, e = asarray(x), asarray(e)
    if x.ndim == 2 and x.size:
        return scipy_linalg("expm").expm_frechet(x, e, compute_expm=False)
    n = x.shape[-1]
    return scipy_linalg("expm").expm(_blocks(x, e, x))[..., :n, n:]


@primitive(x=lambda g, x: _direction(x.mT, g))
def expm(x: Operand) -> Tensor:
    """eˣ = Σ xᵏ/k! of a square matrix.   ∂/∂x = L(xᵀ, g), L the derivative in a direction   (:func:`scipy.linalg.expm`)

    >>> import tinytensor as tt
    >>> tt.linalg.expm(tt.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 1.],
            [0., 1.]])
    """
    return scipy_linalg("expm").expm(x)


def expm_frechet(A: Operand, E: Operand, method: str | None = None, compute_expm: bool = True) -> Any:
    """(e^A, L(A, E)): the exponential, and its derivative in the direction E.   (:func:`scipy.linalg.expm_frechet`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.linalg.expm_frechet(tt.zeros((2, 2)), np.eye(2), compute_expm=False)
    tensor([[1., 0.],
            [0., 1.]])
    """
    if not isinstance(A, TensorBase) and not isinstance(E, TensorBase):
        return scipy_linalg("expm_frechet").expm_frechet(A, E, method, compute_expm)
    direction: Any = _direction(A, E)
    if not compute_expm:
        return direction
    exponent: Any = A if isinstance(A, TensorBase) else np.asarray(A)
    return expm(exponent.astype(direction.dtype)), direction  # SciPy computes both in double precision


@primitive(x=lambda g, out: solve_with_itself(out.mT, g))
def sqrtm(x: Operand) -> Tensor:
    """The principal square root r, r r = x.   ∂/∂x: rᵀ Z + Z rᵀ = g   (:func:`scipy.linalg.sqrtm`)

    x must have no eigenvalue on the negative real axis for a real root, and be regular for a derivative.

    >>> import tinytensor as tt
    >>> tt.linalg.sqrtm(tt.tensor([[4.0, 0.0], [0.0, 9.0]]))
    tensor([[2., 0.],
            [0., 3.]])
    """
    return scipy_linalg("sqrtm").sqrtm(x)


def _log_rule(g: Any, x: Any) -> Any:
    """Eigenvalues that occur twice in the blocks must not come to lie on both sides of the cut: it is turned aside."""
    angles = np.angle(np.linalg.eigvals(x._data if isinstance(x, TensorBase) else x))
    cut = np.abs(angles) > np.pi - 1e-6
    if assured(np.any, cut):
        gap = np.min(angles + np.pi, initial=1.0, where=~cut)
        turn = np.exp(-0.5j * gap)
        g, x = g * turn, x * turn
    return _by_blocks(logm, g, x)


@primitive(x=_log_rule)
def logm(x: Operand) -> Tensor:
    """The principal logarithm: expm(logm(x)) = x.   ∂/∂x = L(xᵀ, g)   (:func:`scipy.linalg.logm`)

    >>> import tinytensor as tt
    >>> tt.linalg.logm(tt.eye(2)).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    return scipy_linalg("logm").logm(x)


@primitive(x=lambda g, x: _by_blocks(cosm, g, x))
def cosm(x: Operand) -> Tensor:
    """The cosine of a square matrix.   ∂/∂x = L(xᵀ, g)   (:func:`scipy.linalg.cosm`)

    >>> import tinytensor as tt
    >>> tt.linalg.cosm(tt.zeros((2, 2)))
    tensor([[1., 0.],
            [0., 1.]])
    """
    return scipy_linalg("cosm").cosm(x)


@primitive(x=lambda g, x: _by_blocks(sinm, g, x))
def sinm(x: Operand) -> Tensor:
    """The sine of a square matrix.   ∂/∂x = L(xᵀ, g)   (:func:`scipy.linalg.sinm`)

    >>> import tinytensor as tt
    >>> tt.linalg.sinm(tt.zeros((2, 2))).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """
    return scipy_linalg("sinm").sinm(x)


# ----------------------------------------------------------------------------------- matrices of vectors and of blocks


def _vector(x: Any, op: str) -> Any:
    x = x if isinstance(x, TensorBase) else asarray(x)
    if x.ndim != 1:
        raise ValueError(f"{op}: expected a vector, got shape {x.shape}; use x.reshape(-1)")
    return x


def toeplitz(c: Operand, r: Operand | None = None) -> Tensor:
    """outᵢⱼ = cᵢ₋ⱼ on and below the diagonal, rⱼ₋ᵢ above (r = c̄, if None).   (:func:`scipy.linalg.toeplitz`)

    >>> import tinytensor as tt
    >>> tt.linalg.toeplitz(tt.tensor([1.0, 2.0]), tt.tensor([1.0, 5.0]))
    tensor([[1., 5.],
            [2., 1.]])
    """
    column = _vector(c, "toeplitz")
    row = np.conj(column) if r is None else _vector(r, "toeplitz")
    values = np.concatenate([column[::-1], row[1:]])
    i, j = np.arange(column.shape[0])[:, None], np.arange(row.shape[0])
    return values[column.shape[0] - 1 - i + j]


def hankel(c: Operand, r: Operand | None = None) -> Tensor:
    """outᵢⱼ = hᵢ₊ⱼ, where h is c followed by r without its first element (zeros, if None).   (:func:`scipy.linalg.hankel`)

    >>> import tinytensor as tt
    >>> tt.linalg.hankel(tt.tensor([1.0, 2.0]))
    tensor([[1., 2.],
            [2., 0.]])
    """
    column = _vector(c, "hankel")
    row = np.zeros(column.shape, column.dtype) if r is None else _vector(r, "hankel")
    values = np.concatenate([column, row[1:]])
    return values[np.arange(column.shape[0])[:, None] + np.arange(row.shape[0])]


def circulant(c: Operand) -> Tensor:
    """outᵢⱼ = c₍ᵢ₋ⱼ₎ mod ₙ.   (:func:`scipy.linalg.circulant`)

    >>> import tinytensor as tt
    >>> tt.linalg.circulant(tt.tensor([1.0, 2.0]))
    tensor([[1., 2.],
            [2., 1.]])
    """
    column = _vector(c, "circulant")
    n = np.arange(column.shape[0])
    return column[n[:, None] - n]


def _two(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape as a matrix's, a vector being a row."""
    return (1,) * (2 - len(shape)) + shape


def _block_rule(g: Any, i: int, xs_shape: Any) -> Any:
    shapes = [_two(shape) for shape in xs_shape]
    r, c = [sum(shape[a] for shape in shapes[:i]) for a in (-2, -1)]
    return g[..., r : r + shapes[i][-2], c : c + shapes[i][-1]]


@primitive(broadcasts=True, xs=_block_rule)
def block_diag(*xs: Operand) -> Tensor:
    """The matrices (or stacks of them) as blocks on a diagonal, zeros elsewhere; a vector is a row.   (:func:`scipy.linalg.block_diag`)

    >>> import tinytensor as tt
    >>> tt.linalg.block_diag(tt.tensor([[1.0, 2.0]]), tt.tensor([[3.0]]))
    tensor([[1., 2., 0.],
            [0., 0., 3.]])
    """
    given: tuple[Any, ...] = xs or ([],)
    blocks: list[Any] = [np.atleast_2d(asarray(x)) for x in given]
    rows, columns = [sum(b.shape[a] for b in blocks) for a in (-2, -1)]
    batch = np.broadcast_shapes(*[b.shape[:-2] for b in blocks])
    out = np.zeros((*batch, rows, columns), np.result_type(*blocks))
    r = c = 0
    for b in blocks:
        out[..., r : r + b.shape[-2], c : c + b.shape[-1]] = b
        r, c = r + b.shape[-2], c + b.shape[-1]
    return out
