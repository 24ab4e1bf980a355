"""Products of vectors, matrices and higher arrays, and the symmetric eigenvalue problem."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.ops.elementwise import multiply
from tinytensor.ops.indexing import scatter
from tinytensor.primitive import DISPATCH, TensorBase, composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["dot", "eigh", "einsum", "linear", "matmul", "outer", "tensordot"]

# ------------------------------------------------------------------------------------------------------------- matmul


def _rows(x: Any) -> Any:
    """All leading axes as one; −1 would not do, it is undetermined if the last axis is empty."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_x(g: Any, y: Any, x_shape: Any) -> Any:
    if y.ndim == 1:
        return g * y if len(x_shape) == 1 else np.expand_dims(g, -1) * y
    if len(x_shape) == 1:
        return np.matmul(y, np.expand_dims(g, -1))[..., 0]
    return np.matmul(g, y.mT)


def _matmul_y(g: Any, x: Any, y_shape: Any) -> Any:
    if x.ndim == 1:
        return g * x if len(y_shape) == 1 else np.expand_dims(x, -1) * np.expand_dims(g, -2)
    if len(y_shape) == 1:
        return np.matmul(g.reshape(-1), _rows(x))
    if len(y_shape) == 2:  # one product over all batches, not a product for each and then a sum
        return np.matmul(_rows(x).T, _rows(g))
    return np.matmul(x.mT, g)


@primitive(np.matmul, broadcasts=True, x=_matmul_x, y=_matmul_y)
def matmul(x: Operand, y: Operand) -> Tensor:
    """Matrix product of vectors, matrices or broadcast stacks of them.   ∂/∂x = g yᵀ, ∂/∂y = xᵀ g   (:func:`numpy.matmul`)

    >>> import tinytensor as tt
    >>> tt.matmul(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), tt.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    return np.matmul(x, y)


@primitive(
    broadcasts=True,  # the bias: the walk sums its gradient
    x=lambda g, weight: np.matmul(g, weight) if weight.shape[0] != 1 else g * weight,
    weight=lambda g, x: np.matmul(_rows(g).T, _rows(x)),
    bias=lambda g: g,
)
def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Tensor:
    """x Wᵀ + b in one node.   ∂/∂x = g W, ∂/∂W = gᵀ x, ∂/∂b = Σ g   (``torch.nn.functional.linear``)

    Shapes: x (..., in), weight (out, in), bias (out,).

    >>> import tinytensor as tt
    >>> tt.linear(tt.tensor([[1.0, 2.0]]), tt.tensor([[3.0, 4.0]]), tt.tensor([0.5]))
    tensor([[11.5]])
    """
    a, w = np.asarray(x), np.asarray(weight)
    if a.ndim == 0 or w.ndim != 2 or a.shape[-1] != w.shape[1]:
        raise ValueError(f"linear: expected x (..., in) and weight (out, in), got {a.shape} and {w.shape}")
    if a.ndim > 2 and a.size:
        out = np.matmul(a.reshape(-1, a.shape[-1]), w.T).reshape(*a.shape[:-1], w.shape[0])
    else:
        out = np.matmul(a, w.T)
    if bias is None:
        return out
    b = np.asarray(bias)
    return np.add(out, b, out=out) if b.dtype == out.dtype and b.ndim == 1 else out + b


# ------------------------------------------------------------------------------------------------ products by matmul


def _array(x: Any) -> Any:
    return x if isinstance(x, TensorBase) else np.asarray(x)


@composite(np.dot)
def dot(x: Operand, y: Operand) -> Tensor:
    """Sum product over the last axis of x and the second to last of y, as NumPy's.   (:func:`numpy.dot`)

    >>> import tinytensor as tt
    >>> tt.dot(tt.tensor([1.0, 2.0]), tt.tensor([3.0, 4.0]))
    tensor(11.)
    """
    x, y = _array(x), _array(y)
    if not isinstance(x, TensorBase) and not isinstance(y, TensorBase):
        return np.dot(x, y)
    if x.ndim == 0 or y.ndim == 0:
        return multiply(x, y)
    if y.ndim == 1 or (x.ndim <= 2 and y.ndim == 2) or x.ndim == 1:
        return matmul(x, y)
    return tensordot(x, y, ([-1], [-2]))


@composite(np.outer)
def outer(x: Operand, y: Operand) -> Tensor:
    """outᵢⱼ = xᵢ yⱼ of the flattened inputs.   (:func:`numpy.outer`)

    >>> import tinytensor as tt
    >>> tt.outer(tt.tensor([1.0, 2.0]), tt.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    x, y = _array(x), _array(y)
    return multiply(x.reshape(-1, 1), y.reshape(1, -1))


@composite(np.tensordot)
def tensordot(x: Operand, y: Operand, axes: Any = 2) -> Tensor:
    """Σ over pairs of axes: a number (the last of x with the first of y), or two lists.   (:func:`numpy.tensordot`)

    >>> import tinytensor as tt
    >>> tt.tensordot(tt.ones((2, 3)), tt.ones((3, 2)), axes=([0, 1], [1, 0]))
    tensor(6.)
    """
    x, y = _array(x), _array(y)
    if not isinstance(x, TensorBase) and not isinstance(y, TensorBase):
        return np.tensordot(x, y, axes)
    if isinstance(axes, (int, np.integer)):
        if not 0 <= axes <= min(x.ndim, y.ndim):
            raise ValueError(f"tensordot: axes={axes} for arrays of {x.ndim} and {y.ndim} dimensions")
        left, right = list(range(x.ndim - int(axes), x.ndim)), list(range(int(axes)))
    else:
        left, right = [[a] if isinstance(a, (int, np.integer)) else list(a) for a in axes]
        left, right = [a % x.ndim for a in left], [b % y.ndim for b in right]
    if [x.shape[a] for a in left] != [y.shape[b] for b in right]:
        raise ValueError(f"tensordot: shapes {x.shape} and {y.shape} do not match over axes {left} and {right}")
    free_x = [a for a in range(x.ndim) if a not in left]
    free_y = [b for b in range(y.ndim) if b not in right]
    rows, columns = tuple([x.shape[a] for a in free_x]), tuple([y.shape[b] for b in free_y])
    inner = int(np.prod([x.shape[a] for a in left], dtype=int))
    a = np.transpose(x, free_x + left).reshape((int(np.prod(rows, dtype=int)), inner))
    b = np.transpose(y, right + free_y).reshape((inner, int(np.prod(columns, dtype=int))))
    return matmul(a, b).reshape(rows + columns)


# ------------------------------------------------------------------------------------------------------------- einsum


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _explicit(subscripts: str, ndims: Sequence[int]) -> tuple[list[str], str]:
    """Labels of each operand and of the result, with the ellipsis and the implicit result written out.

    >>> _explicit("...ij,jk", [3, 2])
    (['zij', 'jk'], 'zik')
    """
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, got {len(ndims)}")
    free = [c for c in _LETTERS[::-1] if c not in text]
    widest = 0
    for k, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        width = ndim - len(term.replace("...", ""))
        if width < 0 or ("..." not in term and width):
            raise ValueError(
                f"einsum: {term!r} in {subscripts!r} does not fit operand {k}, which has {ndim} dimensions"
            )
        widest = max(widest, width)
        terms[k] = term.replace("...", "".join(free[:width][::-1]))
    dots = "".join(free[:widest][::-1])
    if arrow:
        return terms, right.replace("...", dots)
    labels = "".join(terms)
    return terms, dots + "".join(sorted(c for c in set(labels) - set(dots) if labels.count(c) == 1))


def _einsum_rule(g: Any, i: int, others: Any, subscripts: str, optimize: Any, xs_shape: Any) -> Any:
    """The other operands and ``g`` contracted to the labels of operand i; labels that stand in it alone are repeated,
    a label that it has twice puts the gradient on the diagonal.
    """
    terms, result = _explicit(subscripts, [len(shape) for shape in xs_shape])
    own, shape = terms[i], xs_shape[i]
    rest = [term for k, term in enumerate(terms) if k != i]
    labels = "".join(dict.fromkeys(own))
    known = "".join([c for c in labels if c in result or any(c in term for term in rest)])
    arrays = [x for k, x in enumerate(others) if k != i]
    out = np.einsum(",".join([result, *rest]) + "->" + known, g, *arrays, optimize=optimize)
    size = dict(zip(own, shape, strict=True))
    have = dict(zip(known, out.shape, strict=True))
    full = tuple([have[c] if have.get(c, 1) != 1 else size[c] for c in labels])
    out = out.reshape(tuple([have.get(c, 1) for c in labels]))
    if out.shape != full:
        out = np.broadcast_to(out, full)
    if len(labels) == len(own):
        return out
    if repeated := tuple(
        [k for k, c in enumerate(labels) if size[c] == 1 != full[k]]
    ):  # 'ii,i' with shapes (1, 1), (3,)
        out, full = np.sum(out, axis=repeated, keepdims=True), tuple([size[c] for c in labels])
    along = {c: np.arange(n).reshape([-1 if c == d else 1 for d in labels]) for c, n in zip(labels, full, strict=True)}
    return scatter(out, tuple([along[c] for c in own]), shape)


@primitive(broadcasts=True, xs=_einsum_rule)
def _einsum(subscripts: str, optimize: Any, *xs: Any) -> Any:
    return np.einsum(subscripts, *xs, optimize=optimize)


def einsum(subscripts: str, *operands: Operand, optimize: Any = False) -> Tensor:
    """Sums of products named by index letters: all of NumPy's, in its string form.   (:func:`numpy.einsum`)

    Repeated, omitted and implicit indices and the ellipsis are understood. ``optimize=True`` finds a cheaper order of
    contraction, in backward too.

    >>> import tinytensor as tt
    >>> tt.einsum("ij,j->i", tt.tensor([[1.0, 2.0], [3.0, 4.0]]), tt.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    if not isinstance(subscripts, str):
        raise TypeError("einsum: expected the string form, einsum('ij,jk->ik', x, y); got index lists")
    return _einsum(subscripts, optimize, *operands)


DISPATCH[np.einsum] = einsum


# --------------------------------------------------------------------------------------------------------------- eigh


def _eigh_rule(g: Any, out: Any) -> Any:
    """V (diag(ḡw) + (Vᵀ ḡV) / (wⱼ − wᵢ)) Vᵀ, symmetric, as the input is."""
    (gw, gv), (w, v) = g, out
    inner: Any = 0
    if gv is not None:
        gap = np.expand_dims(w, -2) - np.expand_dims(w, -1)
        own = np.eye(w.shape[-1], dtype=bool)
        if np.any((gap == 0) & ~own):
            warnings.warn(
                "eigh: the gradient of eigenvectors is not defined where eigenvalues are equal", RuntimeWarning, 2
            )
        inner = np.where(own, 0, np.matmul(v.mT, gv) / np.where(own, 1, gap))
    if gw is not None:
        inner = inner + np.expand_dims(gw, -1) * np.eye(w.shape[-1], dtype=w.dtype)
    back = np.matmul(np.matmul(v, inner), v.mT)
    return (back + back.mT) / 2


@primitive(np.linalg.eigh, outputs=True, x=_eigh_rule)
def eigh(x: Operand) -> Any:
    """Eigenvalues w, ascending, and eigenvectors V of a symmetric matrix: x V = V diag(w).   (:func:`numpy.linalg.eigh`)

    The lower triangle is read; the gradient is symmetric. Equal eigenvalues have no derivative of V: a warning.

    >>> import tinytensor as tt
    >>> w, v = tt.eigh(tt.tensor([[2.0, 0.0], [0.0, 3.0]]))
    >>> w
    tensor([2., 3.])
    """
    return tuple(np.linalg.eigh(x))
