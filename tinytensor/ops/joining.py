"""Arrays joined, cut and repeated: the gradient is cut where they were joined, and summed where they were repeated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, zeros
from tinytensor.ops.indexing import getitem
from tinytensor.ops.shape import as_tensor, copy, reshape
from tinytensor.primitive import DISPATCH, composite, has_tensors, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "append", "array_split", "block", "cat", "column_stack", "concatenate", "dsplit", "dstack", "hsplit", "hstack",
    "meshgrid", "repeat", "split", "stack", "tile", "unstack", "vsplit", "vstack",
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------------- joining


def _pieces(g: Any, xs_shape: Any, axis: int | None, least: int = 0) -> list[Any]:
    """The parts of ``g`` that came from each input: those of fewer than ``least`` axes are 1 wide."""
    found, start = [], 0
    if axis is None:  # everything was flattened first
        for shape in xs_shape:
            stop = start + math.prod(shape)
            found.append(g[start:stop].reshape(shape))
            start = stop
        return found
    before = (slice(None),) * (axis if axis >= 0 else axis + g.ndim)
    for shape in xs_shape:
        stop = start + (shape[axis] if len(shape) >= least else 1)
        piece = g[(*before, slice(start, stop))]
        found.append(piece if len(shape) == g.ndim else piece.reshape(shape))
        start = stop
    return found


@primitive(joint=lambda g, xs_shape, axis: _pieces(g, xs_shape, axis), inputs=("xs",))
def _concatenate(axis: int | None, *xs: Any) -> Any:
    return np.concatenate(xs, axis)


@composite(np.concatenate)
def concatenate(arrays: Sequence[Operand], axis: int | None = 0) -> Tensor:
    """Arrays joined along an axis (all flattened, if None).   ∂/∂xᵢ: its part of g   (:func:`numpy.concatenate`, ``torch.cat``)

    >>> import tinytensor as tt
    >>> tt.concatenate([tt.tensor([1.0]), tt.tensor([2.0, 3.0])])
    tensor([1., 2., 3.])
    """
    return _concatenate(axis, *arrays)


#: PyTorch's name.
cat = concatenate


@primitive(xs=lambda g, i, axis: g[(slice(None),) * (axis if axis >= 0 else axis + g.ndim) + (i,)])
def _stack(axis: int, *xs: Any) -> Any:
    return np.stack(xs, axis)


@composite(np.stack)
def stack(arrays: Sequence[Operand], axis: int = 0) -> Tensor:
    """Arrays of one shape joined along a new axis.   ∂/∂xᵢ: its part of g   (:func:`numpy.stack`)

    >>> import tinytensor as tt
    >>> tt.stack([tt.tensor([1.0, 2.0]), tt.tensor([3.0, 4.0])])
    tensor([[1., 2.],
            [3., 4.]])
    """
    return _stack(axis, *arrays)


@primitive(joint=lambda g, xs_shape, axis, least: _pieces(g, xs_shape, axis, least), inputs=("xs",))
def _joined(join: Any, axis: int, least: int, *xs: Any) -> Any:
    """NumPy's ``join``, which gives arrays of fewer than ``least`` axes more of them, and joins along ``axis``."""
    return join(xs)


@composite(np.vstack)
def vstack(tup: Sequence[Operand]) -> Tensor:
    """Arrays joined along the first axis, vectors as rows.   (:func:`numpy.vstack`)

    >>> import tinytensor as tt
    >>> tt.vstack([tt.tensor([1.0, 2.0]), tt.tensor([3.0, 4.0])])
    tensor([[1., 2.],
            [3., 4.]])
    """
    return _joined(np.vstack, 0, 2, *tup)


@composite(np.hstack)
def hstack(tup: Sequence[Operand]) -> Tensor:
    """Arrays joined along the second axis, vectors along their only one.   (:func:`numpy.hstack`)

    >>> import tinytensor as tt
    >>> tt.hstack([tt.tensor([1.0, 2.0]), tt.tensor(3.0)])
    tensor([1., 2., 3.])
    """
    arrays = tuple(tup)
    axis = 1 if arrays and np.ndim(arrays[0]) > 1 else 0
    return _joined(np.hstack, axis, axis + 1, *arrays)


@composite(np.dstack)
def dstack(tup: Sequence[Operand]) -> Tensor:
    """Arrays joined along the third axis, of length 1 where there is none.   (:func:`numpy.dstack`)

    >>> import tinytensor as tt
    >>> tt.dstack([tt.tensor([1.0, 2.0]), tt.tensor([3.0, 4.0])]).shape
    (1, 2, 2)
    """
    return _joined(np.dstack, 2, 3, *tup)


@composite(np.column_stack)
def column_stack(tup: Sequence[Operand]) -> Tensor:
    """Arrays joined along the second axis, vectors as columns.   (:func:`numpy.column_stack`)

    >>> import tinytensor as tt
    >>> tt.column_stack([tt.tensor([1.0, 2.0]), tt.tensor([3.0, 4.0])])
    tensor([[1., 3.],
            [2., 4.]])
    """
    return _joined(np.column_stack, 1, 2, *tup)


@composite(np.append)
def append(x: Operand, values: Operand, axis: int | None = None) -> Tensor:
    """values joined to the end of x along an axis (both flattened, if None).   (:func:`numpy.append`)

    >>> import tinytensor as tt
    >>> tt.append(tt.tensor([1.0, 2.0]), 3.0)
    tensor([1., 2., 3.])
    """
    return _concatenate(axis, x, values)


def _depth(arrays: Any, op: str = "block") -> int:
    """How deep the lists are nested: everywhere the same."""
    if isinstance(arrays, tuple):
        raise TypeError(f"{op}: lists are joined, got a tuple")
    if not isinstance(arrays, list):
        return 0
    depths = {_depth(part) for part in arrays}
    if len(depths) != 1:
        raise ValueError(
            f"{op}: "
            + ("list depths are mismatched" if depths else "a list is empty")
            + "; nest all parts equally deep"
        )
    return depths.pop() + 1


def _leaves(arrays: Any) -> list[Any]:
    return [leaf for part in arrays for leaf in _leaves(part)] if isinstance(arrays, list) else [arrays]


@composite(np.block)
def block(arrays: Any) -> Tensor:
    """Nested lists of blocks, put together: the innermost lists along the last axis, and so on.   (:func:`numpy.block`)

    >>> import tinytensor as tt
    >>> a = tt.tensor([[1.0]])
    >>> tt.block([[a, 2 * a], [3 * a, 4 * a]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    depth = _depth(arrays)
    ndim = max(depth, *[np.ndim(leaf) for leaf in _leaves(arrays)])

    def joined(part: Any, axis: int) -> Any:
        if isinstance(part, list):
            return _concatenate(axis, *[joined(p, axis + 1) for p in part])
        x = as_tensor(part)
        shape = x.shape
        return x if len(shape) == ndim else reshape(x, (1,) * (ndim - len(shape)) + shape)

    whole = joined(arrays, -depth)
    return copy(whole) if whole is arrays else whole


# ------------------------------------------------------------------------------------------------------------- cutting


def _cut(x: Any, bounds: Any, axis: int) -> list[Any]:
    before = (slice(None),) * axis
    return [getitem(x, (*before, slice(a, b))) for a, b in bounds]


def _axis(ndim: int, axis: int, op: str) -> int:
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(f"{op}: axis {axis} is out of bounds for an array of {ndim} dimensions")
    return axis + ndim if axis < 0 else axis


def _split(x: Any, indices_or_sections: Any, axis: int, op: str, equal: bool = True) -> list[Any]:
    axis = _axis(x.ndim, axis, op)
    n = x.shape[axis]
    if np.ndim(indices_or_sections):
        cuts = [int(k) for k in indices_or_sections]
        return _cut(x, zip([0, *cuts], [*cuts, n], strict=True), axis)
    sections = int(indices_or_sections)
    if sections <= 0 or (equal and n % sections):
        raise ValueError(f"{op}: an axis of length {n} cannot be cut into {sections} equal sections")
    size, more = divmod(n, sections)
    return _cut(x, pairwise([k * size + min(k, more) for k in range(sections + 1)]), axis)


@composite(np.split)
def split(x: Operand, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut into equal sections, or before the given indices, along an axis.   (:func:`numpy.split`)

    The pieces are views; in backward they write into one array.

    >>> import tinytensor as tt
    >>> tt.split(tt.tensor([1.0, 2.0, 3.0]), [1])
    [tensor([1.]), tensor([2., 3.])]
    """
    return _split(x, indices_or_sections, axis, "split")


@composite(np.array_split)
def array_split(x: Operand, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """As :func:`split`, but the first sections may be longer by one.   (:func:`numpy.array_split`, ``torch.tensor_split``)

    >>> import tinytensor as tt
    >>> tt.array_split(tt.tensor([1.0, 2.0, 3.0]), 2)
    [tensor([1., 2.]), tensor([3.])]
    """
    return _split(x, indices_or_sections, axis, "array_split", equal=False)


@composite(np.vsplit)
def vsplit(x: Operand, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """:func:`split` along the first axis of two or more.   (:func:`numpy.vsplit`)

    >>> import tinytensor as tt
    >>> tt.vsplit(tt.tensor([[1.0], [2.0]]), 2)
    [tensor([[1.]]), tensor([[2.]])]
    """
    if np.ndim(x) < 2:
        raise ValueError(f"vsplit: expected 2 or more dimensions, got {np.ndim(x)}")
    return _split(x, indices_or_sections, 0, "vsplit")


@composite(np.hsplit)
def hsplit(x: Operand, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """:func:`split` along the second axis, the only one of a vector.   (:func:`numpy.hsplit`)

    >>> import tinytensor as tt
    >>> tt.hsplit(tt.tensor([1.0, 2.0]), 2)
    [tensor([1.]), tensor([2.])]
    """
    if np.ndim(x) == 0:
        raise ValueError("hsplit: expected 1 or more dimensions, got 0")
    return _split(x, indices_or_sections, min(np.ndim(x) - 1, 1), "hsplit")


@composite(np.dsplit)
def dsplit(x: Operand, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """:func:`split` along the third axis.   (:func:`numpy.dsplit`)

    >>> import tinytensor as tt
    >>> [t.shape for t in tt.dsplit(tt.zeros((2, 3, 4)), 2)]
    [(2, 3, 2), (2, 3, 2)]
    """
    if np.ndim(x) < 3:
        raise ValueError(f"dsplit: expected 3 or more dimensions, got {np.ndim(x)}")
    return _split(x, indices_or_sections, 2, "dsplit")


@composite(np.unstack)
def unstack(x: Operand, axis: int = 0) -> tuple[Tensor, ...]:
    """The slices of x along an axis, which they lose.   (:func:`numpy.unstack`, ``torch.unbind``)

    >>> import tinytensor as tt
    >>> tt.unstack(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    (tensor([1., 3.]), tensor([2., 4.]))
    """
    array: Any = x
    if array.ndim == 0:
        raise ValueError("unstack: expected 1 or more dimensions, got 0")
    before = (slice(None),) * _axis(array.ndim, axis, "unstack")
    return tuple([getitem(array, (*before, i)) for i in range(array.shape[len(before)])])


# ----------------------------------------------------------------------------------------------------------- repeating


def _untile(g: Any, reps: Any, x_shape: Any) -> Any:
    """Σ over the copies: each axis as (copy, place)."""
    times = tuple(reps) if np.ndim(reps) else (reps,)
    ndim = max(len(times), len(x_shape))
    times = (1,) * (ndim - len(times)) + times
    sizes = (1,) * (ndim - len(x_shape)) + tuple(x_shape)
    inner: list[int] = []
    for t, n in zip(times, sizes, strict=True):
        inner += (int(t), n)
    axes = tuple([2 * k for k, t in enumerate(times) if t != 1])
    g = g.reshape(inner)
    return (np.sum(g, axis=axes) if axes else g).reshape(x_shape)


@primitive(np.tile, x=_untile)
def tile(x: Operand, reps: int | Sequence[int]) -> Tensor:
    """Copies of x beside each other, ``reps`` of them along each axis.   ∂/∂x = Σ over the copies of g   (:func:`numpy.tile`)

    >>> import tinytensor as tt
    >>> tt.tile(tt.tensor([1.0, 2.0]), 2)
    tensor([1., 2., 1., 2.])
    """
    return np.tile(asarray(x), reps)


@primitive(x=lambda g, repeats, axis: repeat(g, repeats, axis))
def _sum_repeats(x: Any, repeats: Any, axis: int | None, shape: tuple[int, ...]) -> Any:
    """Sums of the runs that :func:`repeat` made of the elements of an array of this shape."""
    if axis is None or not shape:
        shape_, axis = (math.prod(shape),), 0
    else:
        shape_, axis = shape, axis % len(shape)
    counts = asarray(repeats)
    if counts.size == 1:
        split = (*shape_[: axis + 1], int(counts.reshape(-1)[0]), *shape_[axis + 1 :])
        return np.add.reduce(x.reshape(split), axis + 1).reshape(shape)
    out = zeros(shape_, x.dtype, x)
    some = np.flatnonzero(counts)
    if some.size:
        starts = np.cumsum(counts)[some] - counts[some]
        out[(slice(None),) * axis + (some,)] = np.add.reduceat(x, starts, axis)
    return out.reshape(shape)


@primitive(np.repeat, x=lambda g, repeats, axis, x_shape: _sum_repeats(g, repeats, axis, x_shape))
def repeat(x: Operand, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
    """Each element, or slice along the axis, several times; ``repeats`` may say it for each.   (:func:`numpy.repeat`)

    ∂/∂x = Σ over the repetitions of g. (``torch.repeat_interleave``)

    >>> import tinytensor as tt
    >>> tt.repeat(tt.tensor([1.0, 2.0]), [1, 3])
    tensor([1., 2., 2., 2.])
    """
    return np.repeat(asarray(x), repeats, axis)


def meshgrid(*xi: Operand, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinates of a grid, one array for each vector; ``indexing`` "ij" or "xy".   (:func:`numpy.meshgrid`)

    >>> import tinytensor as tt
    >>> x, y = tt.meshgrid(tt.tensor([1.0, 2.0, 3.0]), tt.tensor([4.0, 5.0]))
    >>> y
    tensor([[4., 4., 4.],
            [5., 5., 5.]])
    """
    if not has_tensors(xi):
        return np.meshgrid(*xi, copy=copy, sparse=sparse, indexing=indexing)
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    vectors = [as_tensor(x) for x in xi]
    order = list(range(len(vectors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = 1, 0
    whole = [0] * len(order)
    for x, axis in zip(vectors, order, strict=True):
        whole[axis] = x.size
    return tuple([_mesh(x, axis, tuple(whole), sparse, copy) for x, axis in zip(vectors, order, strict=True)])


@primitive(x=lambda g, axis, x_shape: np.sum(g, axis=tuple([a for a in range(g.ndim) if a != axis])).reshape(x_shape))
def _mesh(x: Any, axis: int, shape: tuple[int, ...], sparse: bool, copy: bool) -> Any:
    """A vector along one axis of a grid of this shape."""
    line = x.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    out = line if sparse else np.broadcast_to(line, shape)
    return out.copy() if copy else out


DISPATCH[np.meshgrid] = meshgrid
