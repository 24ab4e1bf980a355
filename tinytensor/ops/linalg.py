"""Products of vectors, matrices and higher arrays."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.primitive import TensorBase, composite, primitive

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "cross", "dot", "inner", "kron", "linear", "matmul", "matvec", "outer", "vdot", "vecdot", "vecmat",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------------- matmul


def _rows(x: Any) -> Any:
    """All leading axes as one; −1 would not do, it is undetermined if the last axis is empty."""
    return x if x.ndim == 2 else x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _matmul_x(g: Any, y: Any, x_shape: Any) -> Any:
    if y.ndim == 1:
        return g * y if len(x_shape) == 1 else np.expand_dims(g, -1) * y
    if len(x_shape) == 1:
        return np.matmul(y, g) if y.ndim == 2 else np.matmul(y, np.expand_dims(g, -1))[..., 0]
    return np.matmul(g, y.mT)


def _matmul_y(g: Any, x: Any, y_shape: Any) -> Any:
    if x.ndim == 1:
        return g * x if len(y_shape) == 1 else np.expand_dims(x, -1) * np.expand_dims(g, -2)
    if len(y_shape) == 1:
        return np.matmul(g.reshape(-1), _rows(x))
    if len(y_shape) == 2:  # one product over all batches, not a product for each and then a sum
        return np.matmul(_rows(x).T, _rows(g))
    return np.matmul(x.mT, g)


@primitive(np.matmul, np.linalg.matmul, broadcasts=True, x=_matmul_x, y=_matmul_y)
def matmul(x: Operand, y: Operand) -> Tensor:
    """Matrix product of vectors, matrices or broadcast stacks of them.   ∂/∂x = g yᵀ, ∂/∂y = xᵀ g   (:func:`numpy.matmul`)

    >>> import tinytensor as tt
    >>> tt.matmul(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), tt.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    return np.matmul(x, y)


def times(x: Any, y: Any) -> Callable[[Any, Any], Any]:
    """What multiplies matrices: NumPy's ``dot``, which asks less than ``matmul``, and takes BLAS for a column times a row, too;
    ``matmul`` of tensors, in second derivatives, and of a batch of them.
    """
    return np.dot if x.__class__ is np.ndarray and y.__class__ is np.ndarray else np.matmul


#: Rows of ones that are kept: a megabyte of them.
_KEPT = 4096


@lru_cache(maxsize=64)
def _kept_ones(n: int, dtype: Any) -> Any:
    made = np.ones(n, dtype)
    made.flags.writeable = False
    return made


def _bias_rule(g: Any, bias_shape: Any) -> Any:
    """Σ g over the samples as a product with ones, which BLAS takes in half the time of a reduction, or less."""
    if (
        g.ndim < 2
        or bias_shape != g.shape[-1:]
        or g.dtype.char not in "fd"
        or 0 in g.strides
        or (g.shape[-1] == 1 and g.size > _KEPT)  # one after the other, NumPy sums in pairs, which is more exact
    ):
        return g  # the walk sums it
    rows = _rows(g)
    n = rows.shape[0]
    ones = _kept_ones(n, g.dtype) if n <= _KEPT else np.ones(n, g.dtype)
    return times(ones, rows)(ones, rows)


def _linear_x(g: Any, weight: Any) -> Any:
    if g.ndim < 3 or not g.size:
        return times(g, weight)(g, weight)
    return times(g, weight)(_rows(g), weight).reshape((*g.shape[:-1], weight.shape[1]))


@primitive(broadcasts=True, x=_linear_x, weight=lambda g, x: times(g, x)(_rows(g).T, _rows(x)), bias=_bias_rule)
def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Tensor:
    """x Wᵀ + b in one node.   ∂/∂x = g W, ∂/∂W = gᵀ x, ∂/∂b = Σ g   (``torch.nn.functional.linear``)

    Shapes: x (..., in), weight (out, in), bias (out,).

    >>> import tinytensor as tt
    >>> tt.linear(tt.tensor([[1.0, 2.0]]), tt.tensor([[3.0, 4.0]]), tt.tensor([0.5]))
    tensor([[11.5]])
    """
    a, w = asarray(x), asarray(weight)
    if a.ndim == 0 or w.ndim != 2 or a.shape[-1] != w.shape[1]:
        raise ValueError(f"linear: expected x (..., in) and weight (out, in), got {a.shape} and {w.shape}")
    if a.ndim > 2 and a.size:
        out = times(a, w)(a.reshape(-1, a.shape[-1]), w.T).reshape(*a.shape[:-1], w.shape[0])
    else:
        out = times(a, w)(a, w.T) if a.ndim < 3 else np.matmul(a, w.T)
    if bias is None:
        return out
    b = asarray(bias)
    return np.add(out, b, out=out) if b.dtype == out.dtype and b.ndim == 1 else out + b


# ------------------------------------------------------------------------------------------ dot, inner, outer, kron


def _array(x: Any) -> Any:
    return x if isinstance(x, TensorBase) else asarray(x)


def _matrix(x: Any) -> Any:
    """All leading axes as one, of a vector too."""
    return x.reshape((math.prod(x.shape[:-1]), x.shape[-1]))


def _inner_rule(g: Any, y: Any, x_shape: Any) -> Any:
    """The transpose of ``x -> inner(x, y)``, which is a product of matrices if all leading axes are one."""
    if not x_shape or y.ndim == 0:
        return g * y
    if y.ndim == 1:
        return g * y if len(x_shape) == 1 else np.expand_dims(g, -1) * y
    g = g.reshape((math.prod(x_shape[:-1]), math.prod(y.shape[:-1])))
    return np.dot(g, _matrix(y)).reshape(x_shape)


def _inner_y(g: Any, x: Any, y_shape: Any) -> Any:
    lead = x.ndim - 1
    if y_shape and 0 < lead < g.ndim:  # the cotangent of inner(x, y) as that of inner(y, x)
        g = np.transpose(g, (*range(lead, g.ndim), *range(lead)))
    return _inner_rule(g, x, y_shape)


@primitive(np.inner, broadcasts=True, x=_inner_rule, y=_inner_y)  # a number broadcasts
def inner(x: Operand, y: Operand) -> Tensor:
    """Σ x y over the last axis of both, for each pair of rows.   ∂/∂x = g y   (:func:`numpy.inner`)

    >>> import tinytensor as tt
    >>> tt.inner(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), tt.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    return np.inner(x, y)


def _dot_x(g: Any, y: Any, x_shape: Any) -> Any:
    return _inner_rule(g, y.mT if y.ndim > 1 and x_shape else y, x_shape)


def _dot_y(g: Any, x: Any, y_shape: Any) -> Any:
    if len(y_shape) < 2 or x.ndim == 0:
        return _inner_y(g, x, y_shape)
    return _inner_y(g, x, (*y_shape[:-2], y_shape[-1], y_shape[-2])).mT


@primitive(np.dot, broadcasts=True, x=_dot_x, y=_dot_y)
def dot(x: Operand, y: Operand) -> Tensor:
    """Σ x y over the last axis of x and the second to last of y (its only one).   ∂/∂x = g yᵀ, ∂/∂y = xᵀ g   (:func:`numpy.dot`)

    >>> import tinytensor as tt
    >>> tt.dot(tt.tensor([1.0, 2.0]), tt.tensor([3.0, 4.0]))
    tensor(11.)
    """
    return np.dot(x, y)


@primitive(
    np.vdot,
    x=lambda g, y, x_shape: (g * y).conj().reshape(x_shape),
    y=lambda g, x, y_shape: (g * x.conj()).reshape(y_shape),
)
def vdot(x: Operand, y: Operand) -> Tensor:
    """Σ x̄ᵢ yᵢ of the flattened inputs.   ∂/∂x = y, ∂/∂y = x   (:func:`numpy.vdot`)

    >>> import tinytensor as tt
    >>> tt.vdot(tt.tensor([[1.0, 2.0]]), tt.tensor([3.0, 4.0]))
    tensor(11.)
    """
    return np.vdot(x, y)


@primitive(
    np.outer,
    x=lambda g, y, x_shape: np.dot(g, y.reshape(-1)).reshape(x_shape),
    y=lambda g, x, y_shape: np.dot(x.reshape(-1), g).reshape(y_shape),
)
def outer(x: Operand, y: Operand) -> Tensor:
    """outᵢⱼ = xᵢ yⱼ of the flattened inputs.   ∂/∂x = g y, ∂/∂y = x g   (:func:`numpy.outer`)

    >>> import tinytensor as tt
    >>> tt.outer(tt.tensor([1.0, 2.0]), tt.tensor([3.0, 4.0]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    return np.multiply(asarray(x).reshape(-1, 1), asarray(y).reshape(-1))


@composite(np.linalg.outer)
def _linalg_outer(x: Operand, y: Operand) -> Tensor:
    """:func:`outer` of two vectors, and of nothing else.   (:func:`numpy.linalg.outer`)"""
    x, y = _array(x), _array(y)
    if x.ndim != 1 or y.ndim != 1:
        raise ValueError(f"linalg.outer: expected two vectors, got shapes {x.shape} and {y.shape}; use np.outer")
    return outer(x, y)


def _blocks(x_shape: Any, y_shape: Any) -> tuple[list[int], list[int]]:
    """The shapes of x and y with as many axes."""
    n = max(len(x_shape), len(y_shape))
    return [1] * (n - len(x_shape)) + [*x_shape], [1] * (n - len(y_shape)) + [*y_shape]


def _kron_matrix(g: Any, x_shape: Any, y_shape: Any) -> Any:
    """The cotangent with a row for each element of x and a column for each of y."""
    rows, columns = _blocks(x_shape, y_shape)
    g = g.reshape([n for pair in zip(rows, columns, strict=True) for n in pair])
    g = np.transpose(g, (*range(0, g.ndim, 2), *range(1, g.ndim, 2)))
    return g.reshape((math.prod(rows), math.prod(columns)))


@primitive(
    np.kron,
    x=lambda g, y, x_shape: np.dot(_kron_matrix(g, x_shape, y.shape), y.reshape(-1)).reshape(x_shape),
    y=lambda g, x, y_shape: np.dot(x.reshape(-1), _kron_matrix(g, x.shape, y_shape)).reshape(y_shape),
)
def kron(x: Operand, y: Operand) -> Tensor:
    """The Kronecker product: x with each element replaced by its product with y.   (:func:`numpy.kron`)

    >>> import tinytensor as tt
    >>> tt.kron(tt.tensor([1.0, 10.0]), tt.tensor([1.0, 2.0, 3.0]))
    tensor([ 1.,  2.,  3., 10., 20., 30.])
    """
    x, y = asarray(x), asarray(y)
    rows, columns = _blocks(x.shape, y.shape)
    x = x.reshape([n for row in rows for n in (row, 1)])
    y = y.reshape([n for column in columns for n in (1, column)])
    return np.multiply(x, y).reshape([r * c for r, c in zip(rows, columns, strict=True)])


# ---------------------------------------------------------------------------------------------------- stacks of vectors


def _last(x: Any, axis: int) -> Any:
    """An axis moved to the end."""
    if axis == -1 or x.ndim < 2:
        return x
    order = list(range(x.ndim))
    order.append(order.pop(axis))
    return np.transpose(x, order)


def _from_last(x: Any, axis: int) -> Any:
    """The last axis moved to another place."""
    if axis == -1 or x.ndim < 2:
        return x
    order = list(range(x.ndim - 1))
    order.insert(axis if axis >= 0 else x.ndim + axis, x.ndim - 1)
    return np.transpose(x, order)


def _vecdot_x(g: Any, y: Any) -> Any:
    return (np.expand_dims(g, -1) * y).conj()


@primitive(broadcasts=True, x=_vecdot_x, y=lambda g, x: np.expand_dims(g, -1) * x.conj())
def _vecdot(x: Any, y: Any) -> Any:
    return np.vecdot(x, y)


@composite(np.vecdot, np.linalg.vecdot)
def vecdot(x: Operand, y: Operand, axis: int = -1, keepdims: bool = False) -> Tensor:
    """Σ x̄ y along an axis, for broadcast stacks of vectors.   ∂/∂x = y, ∂/∂y = x   (:data:`numpy.vecdot`)

    >>> import tinytensor as tt
    >>> tt.vecdot(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), tt.tensor([1.0, 1.0]))
    tensor([3., 7.])
    """
    x, y = _array(x), _array(y)
    out = _vecdot(_last(x, axis), _last(y, axis))
    return np.expand_dims(out, axis) if keepdims else out


@primitive(
    *([np.matvec] if hasattr(np, "matvec") else []),  # NumPy 2.2
    broadcasts=True,
    x=lambda g, y: np.expand_dims(g, -1) * np.expand_dims(y, -2),
    y=lambda g, x: np.matmul(x.mT, np.expand_dims(g, -1))[..., 0],
)
def matvec(x: Operand, y: Operand) -> Tensor:
    """Matrix times vector, for broadcast stacks of both.   ∂/∂x = g yᵀ, ∂/∂y = xᵀ g   (:data:`numpy.matvec`)

    >>> import tinytensor as tt
    >>> tt.matvec(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), tt.tensor([[1.0, 1.0], [1.0, 0.0]]))
    tensor([[3., 7.],
            [1., 3.]])
    """
    return np.matmul(x, np.expand_dims(y, -1))[..., 0]


@primitive(
    *([np.vecmat] if hasattr(np, "vecmat") else []),
    broadcasts=True,
    x=lambda g, y: np.matmul(y, np.expand_dims(g, -1))[..., 0].conj(),
    y=lambda g, x: np.expand_dims(x.conj(), -1) * np.expand_dims(g, -2),
)
def vecmat(x: Operand, y: Operand) -> Tensor:
    """x̄ᵀ y: vector times matrix, for broadcast stacks of both.   ∂/∂x = y g, ∂/∂y = x gᵀ   (:data:`numpy.vecmat`)

    >>> import tinytensor as tt
    >>> tt.vecmat(tt.tensor([1.0, 1.0]), tt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([4., 6.])
    """
    return np.matmul(np.expand_dims(np.conjugate(x), -2), y)[..., 0, :]


_LEFT, _RIGHT = np.array([1, 2, 0]), np.array([2, 0, 1])


@primitive(broadcasts=True, x=lambda g, y: _cross(y, g), y=lambda g, x: _cross(g, x))
def _cross(x: Any, y: Any) -> Any:
    """NumPy's products and differences, in a quarter of its time for a few vectors, in nine tenths for many."""
    out: Any
    if max(x.size, y.size) > 1000 and x.dtype == y.dtype:
        out = np.empty(np.broadcast_shapes(x.shape, y.shape), x.dtype)
        for i, j, k in (0, 1, 2), (1, 2, 0), (2, 0, 1):
            np.subtract(x[..., j] * y[..., k], x[..., k] * y[..., j], out=out[..., i])
        return out
    out = np.take(x, _LEFT, -1) * np.take(y, _RIGHT, -1)
    return np.subtract(out, np.take(x, _RIGHT, -1) * np.take(y, _LEFT, -1), out=out)


@composite(np.cross)
def cross(x: Operand, y: Operand, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Tensor:
    """x × y of vectors of length 3, which lie along the given axes.   ∂/∂x = y × g, ∂/∂y = g × x   (:func:`numpy.cross`)

    Vectors of length 2, which NumPy deprecates, are refused.

    >>> import tinytensor as tt
    >>> tt.cross(tt.tensor([1.0, 0.0, 0.0]), tt.tensor([0.0, 1.0, 0.0]))
    tensor([0., 0., 1.])
    """
    x, y = _array(x), _array(y)
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = _last(x, axisa), _last(y, axisb)
    if x.shape[-1:] != (3,) or y.shape[-1:] != (3,):
        raise ValueError(f"cross: expected vectors of length 3 along the last axes of {x.shape} and {y.shape}")
    return _from_last(_cross(x, y), axisc)


@composite(np.linalg.cross)
def _linalg_cross(x: Operand, y: Operand, axis: int = -1) -> Tensor:
    """:func:`cross` along one axis.   (:func:`numpy.linalg.cross`)"""
    return cross(x, y, axis=axis)
