"""Methods that PyTorch's tensors have and NumPy has no function for, written with NumPy's: ``t.gather(dim, index)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.deferred import Deferred
from tinytensor.ops import elementwise, indexing, joining, methods, pieces, shape
from tinytensor.ops.indexing import getitem, plain_index, setitem

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "adjoint", "chunk", "clamp_max", "clamp_min", "contiguous", "expand", "expand_as", "gather", "index_add",
    "index_copy", "index_fill", "index_select", "lerp", "masked_fill", "masked_select", "narrow", "reshape_as",
    "rsqrt", "scatter", "scatter_add", "select", "t", "take_along_dim", "tile", "unflatten", "unfold",
    "view", "where",
]  # fmt: skip


def _before(x: Any, dim: int, op: str) -> tuple[slice, ...]:
    """The index of everything along the axes before ``dim``."""
    if not -x.ndim <= dim < x.ndim:
        raise np.exceptions.AxisError(f"{op}: dim {dim} is out of bounds for a tensor of {x.ndim} dimensions")
    return (slice(None),) * (dim % x.ndim)


def _sizes(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    """``t.expand(2, 3)`` and ``t.expand((2, 3))``."""
    return tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer)) else sizes


# ------------------------------------------------------------------------------------------------------- elementwise


def rsqrt(x: Tensor) -> Tensor:
    """1/√x.   (``torch.rsqrt``)

    >>> import tinytensor as tt
    >>> tt.tensor(4.0).rsqrt()
    tensor(0.5)
    """
    return elementwise.reciprocal(elementwise.sqrt(x))


def clamp_min(x: Tensor, min: Operand) -> Tensor:
    """x, and ``min`` where it is smaller, with the gradient of :func:`tinytensor.clip`.   (``torch.clamp_min``)"""
    return pieces.clip(x, min, None)


def clamp_max(x: Tensor, max: Operand) -> Tensor:
    """x, and ``max`` where it is larger, with the gradient of :func:`tinytensor.clip`.   (``torch.clamp_max``)"""
    return pieces.clip(x, None, max)


def lerp(x: Tensor, end: Operand, weight: Operand) -> Tensor:
    """x + weight · (end − x).   (``torch.lerp``)

    >>> import tinytensor as tt
    >>> tt.tensor(1.0).lerp(3.0, 0.25)
    tensor(1.5)
    """
    return x + weight * (end - x)


def where(x: Tensor, condition: Any, other: Operand) -> Tensor:
    """x where the condition holds, ``other`` elsewhere: ``tt.where(condition, x, other)``.   (``torch.Tensor.where``)

    >>> import tinytensor as tt
    >>> x = tt.tensor([1.0, -2.0])
    >>> x.where(x > 0, 0.0)
    tensor([1., 0.])
    """
    return pieces.where(condition, x, other)


def masked_fill(x: Tensor, mask: Any, value: Operand) -> Tensor:
    """x with ``value`` where the mask is true: ``tt.where(mask, value, x)``.   (``torch.Tensor.masked_fill``)

    >>> import tinytensor as tt
    >>> tt.tensor([1.0, -2.0]).masked_fill([False, True], 0.0)
    tensor([1., 0.])
    """
    return pieces.where(mask, value, x)


# ------------------------------------------------------------------------------------------------------------- shape


def t(x: Tensor) -> Tensor:
    """The transpose of a matrix (a vector as it is).   (``torch.t``)"""
    if x.ndim > 2:
        raise ValueError(f"t: expected at most 2 dimensions, got {x.ndim}; use t.mT, or t.transpose(axes)")
    return shape.transpose(x)


def adjoint(x: Tensor) -> Tensor:
    """The last two axes exchanged, and the complex conjugate.   (``torch.adjoint``, :attr:`Tensor.mH`)"""
    return x.mH


def contiguous(x: Tensor) -> Tensor:
    """x itself if its elements lie in memory row by row, otherwise a copy where they do.   (``torch.contiguous``)"""
    try:
        ordered = x._data.flags.c_contiguous
    except Deferred:  # one of a batch: how it lies is not its own matter
        return x
    return x if ordered else shape.reshape(shape.reshape(x, -1), x.shape)


def view(x: Tensor, *sizes: Any) -> Tensor:
    """The same memory in another shape, ``t.view(2, -1)``; raises ValueError where only a copy has it.   (``torch.Tensor.view``)

    Without arguments a view of the same shape, as :meth:`numpy.ndarray.view`. Raises TypeError for another dtype.

    >>> import tinytensor as tt
    >>> tt.arange(4.0).view(2, -1)
    tensor([[0., 1.],
            [2., 3.]])
    """
    if not sizes:
        return getitem(x, ...)
    if len(sizes) == 1 and isinstance(sizes[0], (type, np.dtype, str)):
        raise TypeError(
            f"view: the bytes of {x.dtype} elements, read as another dtype, have no derivative; t.astype(dtype) converts "
            "the numbers, t.data.view(dtype) reads the bytes"
        )
    return shape.reshape(x, _sizes(sizes), "C", False)


def reshape_as(x: Tensor, other: Any) -> Tensor:
    """x in the shape of ``other``.   (``torch.Tensor.reshape_as``)"""
    return shape.reshape(x, other.shape)


def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One axis cut into several.   (``torch.unflatten``)

    >>> import tinytensor as tt
    >>> tt.zeros((2, 6)).unflatten(1, (3, -1)).shape
    (2, 3, 2)
    """
    at = len(_before(x, dim, "unflatten"))
    return shape.reshape(x, (*x.shape[:at], *sizes, *x.shape[at + 1 :]))


def expand(x: Tensor, *sizes: Any) -> Tensor:
    """Repeated to a larger shape without a copy; −1 keeps a length: see :func:`tinytensor.broadcast_to`.   (``torch.Tensor.expand``)

    >>> import tinytensor as tt
    >>> tt.tensor([[1.0], [2.0]]).expand(-1, 3)
    tensor([[1., 1., 1.],
            [2., 2., 2.]])
    """
    sizes = _sizes(sizes)
    own = (-1,) * (len(sizes) - x.ndim) + x.shape  # a new axis has no length to keep: NumPy refuses −1
    return shape.broadcast_to(x, tuple([have if n == -1 else n for have, n in zip(own, sizes, strict=False)]))


def expand_as(x: Tensor, other: Any) -> Tensor:
    """x repeated to the shape of ``other``.   (``torch.Tensor.expand_as``)"""
    return shape.broadcast_to(x, other.shape)


def tile(x: Tensor, *reps: Any) -> Tensor:
    """x side by side, ``t.tile(2, 3)`` or ``t.tile((2, 3))``: see :func:`tinytensor.tile`.   (``torch.tile``)"""
    return joining.tile(x, _sizes(reps))


def chunk(x: Tensor, chunks: int, dim: int = 0) -> list[Tensor]:
    """Cut into pieces of ⌈n/chunks⌉, the last one smaller, perhaps fewer pieces.   (``torch.chunk``)

    >>> import tinytensor as tt
    >>> tt.arange(5.0).chunk(3)
    [tensor([0., 1.]), tensor([2., 3.]), tensor([4.])]
    """
    before = _before(x, dim, "chunk")
    if chunks < 1:
        raise ValueError(f"chunk: expected 1 or more chunks, got {chunks}")
    n = x.shape[len(before)]
    size = max(-(-n // chunks), 1)
    return [getitem(x, (*before, slice(at, at + size))) for at in range(0, max(n, 1), size)]


def unfold(x: Tensor, dimension: int, size: int, step: int = 1) -> Tensor:
    """Windows along an axis, ``step`` apart, as a last axis of length ``size``, a view.   (``torch.Tensor.unfold``)

    See :func:`tinytensor.sliding_window_view`.

    >>> import tinytensor as tt
    >>> tt.arange(5.0).unfold(0, 3, 2)
    tensor([[0., 1., 2.],
            [2., 3., 4.]])
    """
    before = _before(x, dimension, "unfold")
    windows = np.lib.stride_tricks.sliding_window_view(x, size, len(before))
    return getitem(windows, (*before, slice(None, None, step)))


# ---------------------------------------------------------------------------------------------------------- choosing


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """One slice along an axis, which is lost.   (``torch.select``; NumPy's choice is :func:`tinytensor.select`)"""
    return getitem(x, (*_before(x, dim, "select"), plain_index(index)))


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """``length`` elements along an axis from ``start`` on, as a view.   (``torch.narrow``)

    >>> import tinytensor as tt
    >>> tt.arange(5.0).narrow(0, 1, 2)
    tensor([1., 2.])
    """
    before = _before(x, dim, "narrow")
    n = x.shape[len(before)]
    start = start + n if start < 0 else start
    if not (start >= 0 and length >= 0 and start + length <= n):
        raise IndexError(f"narrow: {length} elements from {start} on are not within the {n} of axis {len(before)}")
    return getitem(x, (*before, slice(start, start + length)))


def masked_select(x: Tensor, mask: Any) -> Tensor:
    """The elements where the mask is true, along one axis.   (``torch.masked_select``)"""
    mask = indexing.as_mask(mask)
    dims = np.broadcast_shapes(x.shape, mask.shape)
    return getitem(x if x.shape == dims else shape.broadcast_to(x, dims), np.broadcast_to(mask, dims))


def index_select(x: Tensor, dim: int, index: Any) -> Tensor:
    """The slices with these numbers: see :func:`tinytensor.take`.   (``torch.index_select``)"""
    return indexing.take(x, index, dim)


def take_along_dim(x: Tensor, indices: Any, dim: int | None = None) -> Tensor:
    """:func:`tinytensor.take_along_axis`, by default of all elements in a row.   (``torch.take_along_dim``)"""
    return indexing.take_along_axis(x if dim is not None else shape.ravel(x), plain_index(indices), dim)


def _along(x: Any, dim: int, index: Any, op: str) -> tuple[Any, ...]:
    """The places that PyTorch's ``index`` means: it has x's axes, and may be shorter along all of them."""
    dim = len(_before(x, dim, op))
    index = np.asarray(plain_index(index))
    if index.ndim != x.ndim or any(
        n > m for k, (n, m) in enumerate(zip(index.shape, x.shape, strict=True)) if k != dim
    ):
        raise ValueError(f"{op}: an index of shape {index.shape} does not fit into {x.shape} beside axis {dim}")
    return indexing.along(index, dim, index.shape)


def _fitting(src: Any, places: tuple[Any, ...]) -> Any:
    """The part of ``src`` that an index of this shape uses."""
    dims = np.broadcast_shapes(*[np.shape(p) for p in places])
    return src if np.ndim(src) == 0 or src.shape == dims else src[tuple([slice(n) for n in dims])]


def gather(x: Tensor, dim: int, index: Any) -> Tensor:
    """out[i, j] = x[index[i, j], j], for dim 0.   (``torch.gather``; see :func:`tinytensor.take_along_axis`)

    >>> import tinytensor as tt
    >>> tt.tensor([[1.0, 2.0], [3.0, 4.0]]).gather(1, [[1], [0]])
    tensor([[2.],
            [3.]])
    """
    return getitem(x, _along(x, dim, index, "gather"))


def scatter(x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """A copy with out[index[i, j], j] = src[i, j], for dim 0; of several the last.   (``torch.scatter``)

    >>> import tinytensor as tt
    >>> tt.zeros((2, 2)).scatter(1, [[1], [0]], 5.0)
    tensor([[0., 5.],
            [5., 0.]])
    """
    places = _along(x, dim, index, "scatter")
    return setitem(x, places, _fitting(src, places))


def scatter_add(x: Tensor, dim: int, index: Any, src: Any) -> Tensor:
    """A copy with src[i, j] added to out[index[i, j], j], for dim 0.   (``torch.scatter_add``)

    >>> import tinytensor as tt
    >>> tt.zeros(3).scatter_add(0, [0, 0, 2], tt.ones(3))
    tensor([2., 0., 1.])
    """
    places = _along(x, dim, index, "scatter_add")
    return methods.add_at(x, places, _fitting(src, places))


def index_add(x: Tensor, dim: int, index: Any, source: Operand, alpha: float = 1) -> Tensor:
    """A copy with ``alpha`` · the slices of ``source`` added to those with these numbers.   (``torch.index_add``)"""
    source = elementwise.multiply(alpha, source) if alpha != 1 else source
    return methods.add_at(x, (*_before(x, dim, "index_add"), plain_index(index)), source)


def index_copy(x: Tensor, dim: int, index: Any, source: Operand) -> Tensor:
    """A copy with the slices of these numbers replaced by those of ``source``.   (``torch.index_copy``)"""
    return setitem(x, (*_before(x, dim, "index_copy"), plain_index(index)), source)


def index_fill(x: Tensor, dim: int, index: Any, value: Operand) -> Tensor:
    """A copy with the slices of these numbers filled with ``value``.   (``torch.index_fill``)"""
    return setitem(x, (*_before(x, dim, "index_fill"), plain_index(index)), value)
