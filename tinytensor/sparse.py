"""Sparse matrices times dense tensors: gradients for the dense side, and for the stored values."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, traced
from tinytensor.ops.indexing import scatter
from tinytensor.primitive import TensorBase, has_tensors, primitive
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.typing import Array, Operand

__all__ = ["csr_array", "matmul"]


def _scipy() -> Any:
    try:
        import scipy.sparse
    except ImportError:
        raise ImportError("sparse matrices need SciPy: pip install 'tinytensor[scipy]'") from None
    return scipy.sparse


sp: Any = _scipy()


class Pattern:
    """Where the stored values of a CSR matrix stand; shared by a matrix, its transpose and everything computed from it."""

    def __init__(self, indices: Any, indptr: Any, shape: tuple[int, int]) -> None:
        self.indices, self.indptr, self.shape = indices, indptr, shape

    @cached_property
    def rows(self) -> Array:
        """The row of each stored value."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))

    def matrix(self, data: Any, transposed: bool) -> Any:
        """SciPy's matrix of these values: CSR, or, of the transpose, CSC, which has the same three arrays."""
        if transposed:
            return sp.csc_array((data, self.indices, self.indptr), shape=self.shape[::-1])
        return sp.csr_array((data, self.indices, self.indptr), shape=self.shape)


# --------------------------------------------------------------------------------- two products, each other's derivatives


def _product_data(g: Any, x: Any, pattern: Any, transposed: bool) -> Any:
    return _sampled(x, g, pattern) if transposed else _sampled(g, x, pattern)


def _product_x(g: Any, data: Any, pattern: Any, transposed: bool) -> Any:
    return _product(data, g, pattern, not transposed)


@primitive(data=_product_data, x=_product_x)
def _product(data: Any, x: Any, pattern: Any, transposed: bool) -> Any:
    """A @ x, or Aᵀ @ x.   ∂/∂dataₖ = gᵢ · xⱼ for the k-th stored value, at (i, j); ∂/∂x = Aᵀ @ g"""
    return pattern.matrix(data, transposed) @ x


@primitive(
    g=lambda h, x, pattern: _product(h, x, pattern, False),
    x=lambda h, g, pattern: _product(h, g, pattern, True),
)
def _sampled(g: Any, x: Any, pattern: Any) -> Any:
    """gᵢ · xⱼ at the places (i, j) of the pattern: the product g @ xᵀ where A has values, and nowhere else."""
    left, right = g[pattern.rows], x[pattern.indices]
    return left * right if left.ndim == 1 else np.einsum("kn,kn->k", left, right)


# ------------------------------------------------------------------------------------------------------ the public side


class csr_array:
    """A sparse matrix whose stored values may be a tensor, made as :class:`scipy.sparse.csr_array` is.

    ``csr_array((data, indices, indptr), shape)``, or of a SciPy matrix in any format, whose values are then constants.
    ``data`` (nnz,) takes a gradient; the places are constants. It knows ``A @ x`` and ``x @ A`` for dense x of one or
    two dimensions, ``A.T``, ``A.toarray()``, ``A.data``, ``A.shape``.

    >>> import tinytensor as tt
    >>> values = tt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> A = tt.sparse.csr_array((values, [0, 2, 1], [0, 2, 3]), shape=(2, 3))
    >>> (A @ tt.tensor([1.0, 10.0, 100.0])).sum().backward()
    >>> values.grad
    array([  1., 100.,  10.])
    """

    __array_ufunc__ = None  # x @ A comes here, for ndarrays too
    ndim = 2

    def __init__(self, arg: Any, shape: tuple[int, int] | None = None) -> None:
        if sp.issparse(arg):
            if shape is not None and tuple(shape) != arg.shape:
                raise ValueError(f"csr_array: the matrix has shape {arg.shape}, got shape={shape}")
            arg = arg if arg.format == "csr" else arg.tocsr()
            data, indices, indptr, shape = arg.data, arg.indices, arg.indptr, arg.shape
        elif isinstance(arg, (tuple, list)) and len(arg) == 3:
            data, indices, indptr = arg
            values = data._data if isinstance(data, TensorBase) else asarray(data)
            stored = np.zeros(values.shape, values.dtype) if traced(values) else values
            checked = sp.csr_array((stored, _places(indices), _places(indptr)), shape=shape)  # SciPy checks it
            indices, indptr, shape = checked.indices, checked.indptr, checked.shape
            data = data if isinstance(data, TensorBase) else values
        else:
            raise TypeError(f"csr_array: expected (data, indices, indptr) or a SciPy matrix, got {type(arg).__name__}")
        self.data, self._pattern, self._transposed = data, Pattern(indices, indptr, shape), False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self._pattern.shape
        return (columns, rows) if self._transposed else (rows, columns)

    @property
    def nnz(self) -> int:
        """How many values are stored."""
        return len(self._pattern.indices)

    @property
    def dtype(self) -> Any:
        """Of the stored values."""
        return self.data.dtype

    @property
    def T(self) -> csr_array:
        """The transpose, of the same values."""
        made = object.__new__(csr_array)
        made.data, made._pattern, made._transposed = self.data, self._pattern, not self._transposed
        return made

    def __matmul__(self, x: Operand) -> Any:
        return matmul(self, x)

    def __rmatmul__(self, x: Any) -> Any:
        if np.ndim(x._data if isinstance(x, TensorBase) else x) == 1:
            return matmul(self.T, x)
        return matmul(self.T, np.transpose(x)).T

    def toarray(self) -> Any:
        """The dense matrix; places that are stored twice are added up."""
        p = self._pattern
        if not has_tensors((self.data,)):
            return p.matrix(self.data, self._transposed).toarray()
        dense = scatter(self.data, (p.rows, p.indices), p.shape)
        return dense.T if self._transposed else dense

    def __repr__(self) -> str:
        return f"csr_array({self.nnz} values of {self.dtype}, shape={self.shape})"


def _places(array: Any) -> Any:
    array = array._data if isinstance(array, TensorBase) else np.asarray(array)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"csr_array: indices and indptr are integers, got {array.dtype}")
    return array


def matmul(A: Any, x: Operand) -> Tensor:
    """A @ x of a sparse A, SciPy's in any format or :class:`csr_array`, and a dense x (n,) or (n, k).

    ∂/∂x = Aᵀ @ g; for the stored values gᵢ · xⱼ (:meth:`scipy.sparse.csr_array.__matmul__`). ``A @ x`` itself works for
    ndarrays alone if A is SciPy's, for tensors too if it is a :class:`csr_array`.

    >>> import numpy as np, scipy.sparse, tinytensor as tt
    >>> A = scipy.sparse.csr_array(np.diag([2.0, 3.0]))
    >>> tt.grad(lambda x: tt.sparse.matmul(A, x).sum())(np.ones(2))
    array([2., 3.])
    """
    if isinstance(x, csr_array) or sp.issparse(x):
        raise TypeError("sparse.matmul: expected a sparse A and a dense x; for x @ A take sparse.matmul(A.T, x.T).T")
    if not isinstance(A, csr_array):
        if not sp.issparse(A):
            raise TypeError(
                f"sparse.matmul: expected a sparse matrix A, got {type(A).__name__}; use A @ x for dense ones"
            )
        A = csr_array(A)
    shape = np.shape(x._data if isinstance(x, TensorBase) else x)
    if len(shape) not in (1, 2) or shape[0] != A.shape[1]:
        raise ValueError(f"sparse.matmul: expected x of shape ({A.shape[1]},) or ({A.shape[1]}, k), got {shape}")
    return _product(A.data, x, A._pattern, A._transposed)  # type: ignore[no-any-return]
