"""Diagonals and triangles of matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, traced, zeros
from tinytensor.primitive import composite, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "diag", "diagflat", "diagonal", "make_diagonal", "tril", "tril_indices_from", "triu", "triu_indices_from",
]  # fmt: skip


@primitive(np.tril, broadcasts=True, x=lambda g, k: np.tril(g, k))  # broadcasts: a vector becomes a matrix
def tril(x: Operand, k: int = 0) -> Tensor:
    """The lower triangles of the last two axes, up to the k-th diagonal.   ∂/∂x = tril(g, k)   (:func:`numpy.tril`)

    >>> import tinytensor as tt
    >>> tt.tril(tt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[1., 0.],
            [3., 4.]])
    """
    return np.tril(asarray(x), k)


@primitive(np.triu, broadcasts=True, x=lambda g, k: np.triu(g, k))
def triu(x: Operand, k: int = 0) -> Tensor:
    """The upper triangles of the last two axes, from the k-th diagonal on.   ∂/∂x = triu(g, k)   (:func:`numpy.triu`)

    >>> import tinytensor as tt
    >>> tt.triu(tt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([[1., 2.],
            [0., 4.]])
    """
    return np.triu(asarray(x), k)


@composite(np.tril_indices_from)
def tril_indices_from(x: Operand, k: int = 0) -> tuple[Tensor, Tensor]:
    """The indices of the lower triangle of a matrix: constants.   (:func:`numpy.tril_indices_from`)

    >>> import tinytensor as tt
    >>> tt.tril_indices_from(tt.zeros((2, 2)))
    (tensor([0, 1, 1]), tensor([0, 0, 1]))
    """
    rows, columns = np.tril_indices_from(x._data, k)
    return wrap(rows, None), wrap(columns, None)


@composite(np.triu_indices_from)
def triu_indices_from(x: Operand, k: int = 0) -> tuple[Tensor, Tensor]:
    """The indices of the upper triangle of a matrix: constants.   (:func:`numpy.triu_indices_from`)

    >>> import tinytensor as tt
    >>> tt.triu_indices_from(tt.zeros((2, 2)))
    (tensor([0, 0, 1]), tensor([0, 1, 1]))
    """
    rows, columns = np.triu_indices_from(x._data, k)
    return wrap(rows, None), wrap(columns, None)


def _seen(array: Any, offset: int, axis1: int, axis2: int) -> Any:
    """The diagonal of an array, as a view that may be written into."""
    if traced(array):  # NumPy's function gives a view that may only be read
        square = np.moveaxis(array, (axis1, axis2), (-2, -1))[..., max(-offset, 0) :, max(offset, 0) :]
        n = min(square.shape[-2:])
        return np.einsum("...ii->...i", square[..., :n, :n])
    view = np.diagonal(array, offset, axis1, axis2)
    view.flags.writeable = True
    return view


def _add_diagonal(accumulator: Any, g: Any, offset: int, axis1: int, axis2: int) -> None:
    view = _seen(accumulator, offset, axis1, axis2)
    view += g


@primitive(
    np.diagonal,
    x=lambda g, offset, axis1, axis2, x_shape: make_diagonal(g, offset, axis1, axis2, x_shape),
    into={"x": _add_diagonal},
)
def diagonal(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The diagonals of the matrices in two axes, as a last axis (a view).   (:func:`numpy.diagonal`)

    ∂/∂x = :func:`make_diagonal` of g.

    >>> import tinytensor as tt
    >>> tt.diagonal(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), offset=1)
    tensor([2.])
    """
    return np.diagonal(asarray(x), offset, axis1, axis2)


@primitive(x=lambda g, offset, axis1, axis2: np.diagonal(g, offset, axis1, axis2))
def make_diagonal(
    x: Operand, offset: int = 0, axis1: int = -2, axis2: int = -1, shape: tuple[int, ...] | None = None
) -> Tensor:
    """Matrices in two new axes, with the last axis of x on a diagonal: what :func:`diagonal` takes back.

    ∂/∂x = diagonal(g). The matrices are square; or ``shape`` is that of the result. (``torch.diag_embed``)

    >>> import tinytensor as tt
    >>> tt.make_diagonal(tt.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    a = asarray(x)
    if shape is None:
        n, ndim = a.shape[-1] + abs(offset), a.ndim + 1
        first, second = sorted(k + ndim if k < 0 else k for k in (axis1, axis2))
        if not 0 <= first < second < ndim:
            raise np.exceptions.AxisError(f"make_diagonal: axes {axis1} and {axis2} are not two of {ndim}")
        sizes = list(a.shape[:-1])
        sizes.insert(first, n)
        sizes.insert(second, n)
        shape = tuple(sizes)
    out = zeros(shape, a.dtype, a)
    _seen(out, offset, axis1, axis2)[...] = a
    return out


@primitive(
    np.diag,
    x=lambda g, k, x_shape: np.diagonal(g, k) if len(x_shape) == 1 else make_diagonal(g, k, 0, 1, x_shape),
)
def diag(x: Operand, k: int = 0) -> Tensor:
    """The k-th diagonal of a matrix, or the matrix with a vector on it.   ∂/∂x: the other way   (:func:`numpy.diag`)

    >>> import tinytensor as tt
    >>> tt.diag(tt.tensor([1.0, 2.0]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    return np.diag(asarray(x), k)


@primitive(np.diagflat, x=lambda g, k, x_shape: np.diagonal(g, k).reshape(x_shape))
def diagflat(x: Operand, k: int = 0) -> Tensor:
    """The matrix with all elements of x on its k-th diagonal.   ∂/∂x: the diagonal of g   (:func:`numpy.diagflat`)

    >>> import tinytensor as tt
    >>> tt.diagflat(tt.tensor([[1.0], [2.0]]))
    tensor([[1., 0.],
            [0., 2.]])
    """
    return np.diagflat(asarray(x), k)
