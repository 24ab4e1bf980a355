"""Sorting, and parts of arrays chosen by place: delete, insert, windows. The order itself is a constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index as integer
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, empty, traced, zeros
from tinytensor.ops.indexing import getitem, plain_index, scatter, setitem
from tinytensor.ops.shape import as_tensor, axes_of
from tinytensor.primitive import TensorBase, composite, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "argpartition", "argsort", "argwhere", "delete", "digitize", "flatnonzero", "insert", "ix_", "lexsort", "nonzero",
    "partition", "resize", "searchsorted", "sliding_window_view", "sort", "trim_zeros", "unique",
]  # fmt: skip


def _values(x: Any) -> Any:
    """Arrays in place of tensors, in lists and tuples too."""
    if isinstance(x, (list, tuple)):
        return type(x)([_values(part) for part in x])
    return x._data if isinstance(x, TensorBase) else x


def _constant(out: Any) -> Any:
    return tuple([wrap(part, None) for part in out]) if isinstance(out, tuple) else wrap(out, None)


# ------------------------------------------------------------------------------------------------------------- sorting

#: From this many elements on, it pays to look whether there are ties: NumPy's faster argsort is not stable.
_MANY = 1000


def _sorting(x: Any, out: Any, axis: int | None) -> Any:
    """The places in x that the elements of ``out``, x sorted, came from; equal ones in their order."""
    a, s = _values(x), _values(out)
    if axis is None:
        a, axis = a.reshape(-1), -1
    if a.size >= _MANY:
        rows = np.moveaxis(s, axis, -1)
        if not traced(rows) and (rows[..., 1:] > rows[..., :-1]).all():
            return np.argsort(a, axis)
    return np.argsort(a, axis, kind="stable")


@primitive(x=lambda g, order, axis, x_shape: _unpermuted(g, order, axis, x_shape))
def _permuted(x: Any, order: Any, axis: int | None) -> Any:
    """Elements in another order along the axis."""
    if axis is None:
        return x.reshape(-1)[order]
    return x[order] if x.ndim == 1 else np.take_along_axis(x, order, axis)


@primitive(x=lambda g, order, axis: _permuted(g, order, axis))
def _unpermuted(x: Any, order: Any, axis: int | None, shape: tuple[int, ...]) -> Any:
    """Elements back where they came from: the inverse of a permutation, and its transpose."""
    out = empty(x.shape, x.dtype, x if traced(x) else order)
    if x.ndim == 1:
        out[order] = x
    else:
        np.put_along_axis(out, order, x, axis)
    return out.reshape(shape)


@primitive(np.sort, x=lambda g, x, out, axis, x_shape: _unpermuted(g, _sorting(x, out, axis), axis, x_shape))
def sort(x: Operand, axis: int | None = -1, kind: Any = None, order: None = None, stable: bool | None = None) -> Tensor:
    """Elements along the axis from small to large, NaN last.   (:func:`numpy.sort`)

    ∂/∂x: each part of g to where the element came from; of equal elements, in their order.

    >>> import tinytensor as tt
    >>> tt.sort(tt.tensor([3.0, 1.0, 2.0]))
    tensor([1., 2., 3.])
    """
    if order is not None:
        raise TypeError("sort() does not take order=: a tensor has no fields")
    return np.sort(asarray(x), axis, kind=kind, stable=stable)


@composite(np.partition)
def partition(
    x: Operand, kth: int | Sequence[int], axis: int | None = -1, kind: str = "introselect", order: None = None
) -> Tensor:
    """The k-th smallest in its sorted place, smaller ones before it, larger ones behind.   (:func:`numpy.partition`)

    The order on either side is that of :func:`numpy.argpartition`. ∂/∂x: g, to where each element came from.

    >>> import tinytensor as tt
    >>> tt.partition(tt.tensor([3.0, 1.0, 2.0]), 0)[0]
    tensor(1.)
    """
    if order is not None:
        raise TypeError("partition() does not take order=: a tensor has no fields")
    return _permuted(x, np.argpartition(_values(x), _values(kth), axis, kind=kind), axis)


@composite(np.argsort)
def argsort(
    x: Operand, axis: int | None = -1, kind: Any = None, order: None = None, stable: bool | None = None
) -> Tensor:
    """The places that the elements of ``sort(x)`` come from: a constant.   (:func:`numpy.argsort`)

    >>> import tinytensor as tt
    >>> tt.argsort(tt.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    return _constant(np.argsort(_values(x), axis, kind=kind, order=order, stable=stable))


@composite(np.argpartition)
def argpartition(
    x: Operand, kth: int | Sequence[int], axis: int | None = -1, kind: Any = "introselect", order: None = None
) -> Tensor:
    """The places that the elements of ``partition(x, kth)`` come from: a constant.   (:func:`numpy.argpartition`)

    >>> import tinytensor as tt
    >>> tt.argpartition(tt.tensor([3.0, 1.0, 2.0]), 0)[0]
    tensor(1)
    """
    return _constant(np.argpartition(_values(x), _values(kth), axis, kind=kind, order=order))


@composite(np.lexsort)
def lexsort(keys: Any, axis: int = -1) -> Tensor:
    """The places in sorted order, the last key counting first: a constant.   (:func:`numpy.lexsort`)

    >>> import tinytensor as tt
    >>> tt.lexsort((tt.tensor([1.0, 2.0, 0.0]), tt.tensor([1.0, 0.0, 1.0])))
    tensor([1, 2, 0])
    """
    return _constant(np.lexsort(_values(keys), axis))


@composite(np.searchsorted)
def searchsorted(a: Operand, v: Operand, side: Any = "left", sorter: Any = None) -> Tensor:
    """Where the elements of v belong in the sorted vector a: a constant.   (:func:`numpy.searchsorted`)

    >>> import tinytensor as tt
    >>> tt.searchsorted(tt.tensor([1.0, 2.0]), [0.5, 1.5])
    tensor([0, 1])
    """
    return _constant(np.searchsorted(_values(a), _values(v), side, _values(sorter)))


@composite(np.digitize)
def digitize(x: Operand, bins: Any, right: bool = False) -> Tensor:
    """The number of the bin that each element falls into: a constant.   (:func:`numpy.digitize`, ``torch.bucketize``)

    >>> import tinytensor as tt
    >>> tt.digitize(tt.tensor([0.5, 2.5]), [0.0, 1.0, 2.0])
    tensor([1, 3])
    """
    return _constant(np.digitize(_values(x), _values(bins), right))


@composite(np.unique)
def unique(
    ar: Operand, return_index: bool = False, return_inverse: bool = False, return_counts: bool = False,
    axis: int | None = None, equal_nan: bool = True,
) -> Any:  # fmt: skip
    """The different elements, sorted, and where they are: constants, as in PyTorch.   (:func:`numpy.unique`)

    ``x[np.unique(x, return_index=True)[1]]`` are the same elements with their gradient.

    >>> import tinytensor as tt
    >>> tt.unique(tt.tensor([2.0, 1.0, 2.0]))
    tensor([1., 2.])
    """
    return _constant(np.unique(_values(ar), return_index, return_inverse, return_counts, axis, equal_nan=equal_nan))


@composite(np.nonzero)
def nonzero(x: Operand) -> tuple[Tensor, ...]:
    """The indices of all elements that are not 0, one array for each axis: constants.   (:func:`numpy.nonzero`)

    >>> import tinytensor as tt
    >>> tt.nonzero(tt.tensor([0.0, 3.0]))
    (tensor([1]),)
    """
    return _constant(np.nonzero(_values(x)))


@composite(np.flatnonzero)
def flatnonzero(x: Operand) -> Tensor:
    """The places of all elements that are not 0, in the flattened array: a constant.   (:func:`numpy.flatnonzero`)

    >>> import tinytensor as tt
    >>> tt.flatnonzero(tt.tensor([[0.0, 3.0]]))
    tensor([1])
    """
    return _constant(np.flatnonzero(_values(x)))


@composite(np.argwhere)
def argwhere(x: Operand) -> Tensor:
    """The indices of all elements that are not 0, one row for each: a constant.   (:func:`numpy.argwhere`)

    >>> import tinytensor as tt
    >>> tt.argwhere(tt.tensor([[0.0, 3.0]]))
    tensor([[0, 1]])
    """
    return _constant(np.argwhere(_values(x)))


@composite(np.ix_)
def ix_(*args: Any) -> tuple[Tensor, ...]:
    """The index of every combination of rows, columns, ...: constants.   (:func:`numpy.ix_`)

    >>> import tinytensor as tt
    >>> tt.tensor([[1.0, 2.0], [3.0, 4.0]])[tt.ix_([1, 0], [0])]
    tensor([[3.],
            [1.]])
    """
    return _constant(np.ix_(*_values(args)))


# ------------------------------------------------------------------------------------------ inserting, deleting, trimming


def _line(x: Any, axis: int | None) -> tuple[Any, tuple[Any, ...]]:
    """x (flattened, if axis is None) and the colons before the axis."""
    if axis is None:
        return as_tensor(x).reshape(-1), ()
    array = as_tensor(x)
    return array, (slice(None),) * axes_of(axis, array.ndim)[0]


@composite(np.delete)
def delete(x: Operand, obj: Any, axis: int | None = None) -> Tensor:
    """x without the slices that ``obj`` names along the axis (elements of the flattened x, if None).   (:func:`numpy.delete`)

    >>> import tinytensor as tt
    >>> tt.delete(tt.tensor([1.0, 2.0, 3.0]), [0, -1])
    tensor([2.])
    """
    array, before = _line(x, axis)
    n = array.shape[len(before)]
    mask = np.zeros(n, bool)
    mask[np.delete(np.arange(n), plain_index(obj))] = True
    return getitem(array, (*before, mask))


@composite(np.insert)
def insert(x: Operand, obj: Any, values: Operand, axis: int | None = None) -> Tensor:
    """x with ``values`` inserted before the indices ``obj`` along the axis (flattened, if None).   (:func:`numpy.insert`)

    ∂/∂x, ∂/∂values: their parts of g.

    >>> import tinytensor as tt
    >>> tt.insert(tt.tensor([1.0, 2.0]), 1, tt.tensor([7.0, 8.0]))
    tensor([1., 7., 8., 2.])
    """
    array, before = _line(x, axis)
    value = as_tensor(values)
    if array.dtype.kind not in "fc" and value.requires_grad:
        raise TypeError(f"insert: an array of {array.dtype} cannot hold what has a gradient; use x.astype(float)")
    at, n, ndim = len(before), array.shape[len(before)], array.ndim
    places = _insertions(plain_index(obj), n)
    new: Any
    if places.size == 1:  # one place for a block
        value = value.reshape((1,) * (ndim - value.ndim) + value.shape)
        value = np.moveaxis(value, 0, at) if places.ndim == 0 else value
        start = int(places.reshape(-1)[0])
        new, count = slice(start, start + value.shape[at]), value.shape[at]
    else:
        count, order = places.size, np.argsort(places, kind="stable")
        new = places.copy()
        new[order] += np.arange(count)
    old = np.ones(n + count, bool)
    old[new] = False
    whole = scatter(array, (*before, old), (*array.shape[:at], n + count, *array.shape[at + 1 :]))
    return setitem(whole, (*before, new), value)


def _insertions(obj: Any, n: int) -> Any:
    """Where things are inserted, counted from the front."""
    if isinstance(obj, slice):
        return np.arange(*obj.indices(n))
    places = asarray(obj)
    places = np.flatnonzero(places) if places.dtype == bool else places.astype(np.intp, casting="same_kind")
    if places.size and not -n <= places.min() <= places.max() <= n:
        raise IndexError(f"insert: an index is out of bounds for an axis of length {n}: {obj!r:.60}")
    return np.where(places < 0, places + n, places)


def _unresized(g: Any, x_shape: Any) -> Any:
    n = math.prod(x_shape)
    flat = g.reshape(-1)
    if n == 0:
        return np.zeros(x_shape, g.dtype)
    missing = -flat.shape[0] % n
    if missing:
        flat = np.concatenate([flat, np.zeros(missing, g.dtype)])
    return np.sum(flat.reshape((-1, n) if flat.shape[0] else (0, n)), axis=0).reshape(x_shape)


@primitive(np.resize, x=_unresized)
def resize(x: Operand, new_shape: Any) -> Tensor:
    """The elements of x, from the beginning again and again, in a new shape.   ∂/∂x = Σ over the rounds of g   (:func:`numpy.resize`)

    >>> import tinytensor as tt
    >>> tt.resize(tt.tensor([1.0, 2.0]), 5)
    tensor([1., 2., 1., 2., 1.])
    """
    return np.resize(asarray(x), new_shape)


@composite(np.trim_zeros)
def trim_zeros(x: Operand, trim: str = "fb", axis: Any = None) -> Tensor:
    """x without the zeros at its front and back.   (:func:`numpy.trim_zeros`)

    >>> import tinytensor as tt
    >>> tt.trim_zeros(tt.tensor([0.0, 1.0, 0.0, 2.0, 0.0]))
    tensor([1., 0., 2.])
    """
    array = as_tensor(x)
    numbered = np.where(array._data != 0, np.arange(1, array.size + 1).reshape(array.shape), 0)
    kept = np.trim_zeros(numbered, trim) if axis is None else np.trim_zeros(numbered, trim, axis)
    start = np.zeros(array.ndim, int)
    if kept.any():
        first = np.argwhere(kept)[0]
        start = np.array(np.unravel_index(int(kept[tuple(first)]) - 1, array.shape)) - first
    return getitem(array, tuple([slice(int(a), int(a) + n) for a, n in zip(start, kept.shape, strict=True)]))


# ------------------------------------------------------------------------------------------------------------- windows


def _windows(window_shape: Any, axis: Any, ndim: int) -> tuple[list[int], list[int]]:
    """The lengths of the windows, and their axes."""
    lengths = list(map(integer, window_shape)) if np.iterable(window_shape) else [integer(window_shape)]
    if axis is None:
        axes = list(range(ndim))
    else:
        axes = [integer(a) for a in (axis if np.iterable(axis) else (axis,))]
        axes = [a + ndim if a < 0 else a for a in axes]
    return lengths, axes


@primitive(x=lambda g, window_shape, axis: sliding_window_view(g, window_shape, axis))
def _unwindowed(x: Any, window_shape: Any, axis: Any, shape: tuple[int, ...]) -> Any:
    """Σ over the windows that each element is seen through."""
    lengths, axes = _windows(window_shape, axis, len(shape))
    for a, length in zip(reversed(axes), reversed(lengths), strict=True):
        count = x.shape[a]
        out = zeros((*x.shape[:a], count + length - 1, *x.shape[a + 1 : -1]), x.dtype, x)
        before = (slice(None),) * a
        if length <= count:
            for k in range(length):
                out[(*before, slice(k, k + count))] += x[..., k]
        else:
            rows = np.moveaxis(x, -1, a + 1)
            for k in range(count):
                out[(*before, slice(k, k + length))] += rows[(*before, k)]
        x = out
    return x


@primitive(
    np.lib.stride_tricks.sliding_window_view,
    x=lambda g, window_shape, axis, x_shape: _unwindowed(g, window_shape, axis, x_shape),
)
def sliding_window_view(x: Operand, window_shape: int | Sequence[int], axis: Any = None) -> Tensor:
    """All windows of this shape, as a view: (places ..., window ...).   (:func:`numpy.lib.stride_tricks.sliding_window_view`)

    ∂/∂x = Σ of g over the windows that an element is in. (``torch.Tensor.unfold``)

    >>> import tinytensor as tt
    >>> tt.sliding_window_view(tt.tensor([1.0, 2.0, 3.0]), 2)
    tensor([[1., 2.],
            [2., 3.]])
    """
    return np.lib.stride_tricks.sliding_window_view(asarray(x), window_shape, axis)
