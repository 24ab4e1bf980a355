"""NumPy's functions that write into their argument: on a tensor they are ``t[index] = value``, recorded."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.graph import recording
from tinytensor.ops.indexing import along, as_mask, plain_index
from tinytensor.ops.shape import as_tensor
from tinytensor.primitive import TensorBase, composite

if TYPE_CHECKING:
    from tinytensor.typing import Operand

__all__ = ["copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"]


def _written(function: Callable[..., Any], target: Any, *args: Any) -> bool:
    """Whether ``target`` is an array, which NumPy itself has then written into. Values with gradients are refused."""
    if isinstance(target, TensorBase):
        return False
    name = function.__name__
    if recording() and any(isinstance(x, TensorBase) and x._node is not None for x in args):
        raise TypeError(
            f"{name}: an ndarray cannot take a tensor that requires grad; write into a tensor, t = tt.tensor(array), or "
            "use np.where, or t.detach()"
        )
    function(target, *[x._data if isinstance(x, TensorBase) else x for x in args])
    return True


def _in_turn(values: Any, n: int) -> Any:
    """The elements of ``values``, from the beginning again and again, n of them."""
    flat = as_tensor(values).reshape(-1)
    if n and not flat.size:
        raise ValueError("there are places to write into, but no values")
    return flat if flat.size == n else flat[np.arange(n) % max(flat.size, 1)]


def _put_flat(x: Any, places: Any, values: Any) -> None:
    """x.flat[places] = values, in turn."""
    places = places.reshape(-1)
    if places.size:
        x[np.unravel_index(places, x.shape)] = _in_turn(values, places.size)


@composite(np.put)
def put(x: Operand, ind: Any, v: Operand, mode: str = "raise") -> None:
    """``x.flat[ind] = v``, the values in turn.   (:func:`numpy.put`)

    >>> import tinytensor as tt
    >>> t = tt.zeros(4)
    >>> tt.put(t, [0, -1], [5.0, 6.0])
    >>> t
    tensor([5., 0., 0., 6.])
    """
    if _written(np.put, x, ind, v, mode):
        return
    target: Any = x
    places = np.asarray(plain_index(ind)).astype(np.intp)
    if mode == "raise" and places.size and not -target.size <= places.min() <= places.max() < target.size:
        raise IndexError(f"put: an index is out of bounds for {target.size} elements: {places.reshape(-1)!r:.60}")
    places = np.clip(places, 0, target.size - 1) if mode == "clip" else places % max(target.size, 1)
    _put_flat(target, places, v)


@composite(np.place)
def place(arr: Operand, mask: Any, vals: Operand) -> None:
    """``arr[mask] = vals``, the values in turn.   (:func:`numpy.place`)

    >>> import tinytensor as tt
    >>> t = tt.zeros(3)
    >>> tt.place(t, [True, False, True], [5.0, 6.0])
    >>> t
    tensor([5., 0., 6.])
    """
    if _written(np.place, arr, mask, vals):
        return
    target: Any = arr
    chosen = as_mask(mask)
    if chosen.size != target.size:
        raise ValueError(f"place: mask and array must have the same size, got {chosen.shape} and {target.shape}")
    _put_flat(target, np.flatnonzero(chosen), vals)


@composite(np.putmask)
def putmask(a: Operand, mask: Any, values: Operand) -> None:
    """``a.flat[i] = values.flat[i]`` where the mask is true, the values in turn.   (:func:`numpy.putmask`)

    >>> import tinytensor as tt
    >>> t = tt.zeros(3)
    >>> tt.putmask(t, [True, False, True], [5.0, 6.0, 7.0])
    >>> t
    tensor([5., 0., 7.])
    """
    if _written(np.putmask, a, mask, values):
        return
    target: Any = a
    chosen = as_mask(mask)
    if chosen.size != target.size:
        raise ValueError(f"putmask: mask and array must have the same size, got {chosen.shape} and {target.shape}")
    if target.size:
        _put_flat(target, np.flatnonzero(chosen), _in_turn(values, target.size)[np.flatnonzero(chosen)])


@composite(np.copyto)
def copyto(dst: Operand, src: Operand, casting: str = "same_kind", where: Any = True) -> None:
    """``dst[...] = src``, or only ``where`` that is true.   (:func:`numpy.copyto`)

    >>> import tinytensor as tt
    >>> t = tt.zeros(3)
    >>> tt.copyto(t, [5.0, 6.0, 7.0], where=[True, False, True])
    >>> t
    tensor([5., 0., 7.])
    """
    if _written(np.copyto, dst, src, casting, where):
        return
    target: Any = dst
    value = as_tensor(src)
    if not isinstance(src, (int, float, complex)) and not np.can_cast(value.dtype, target.dtype, casting):
        raise TypeError(f"copyto: cannot cast {value.dtype} to {target.dtype} by the rule {casting!r}")
    if where is True:
        target[...] = value
        return
    mask = np.broadcast_to(as_mask(where), target.shape)
    target[...] = np.where(mask, value, target)


@composite(np.fill_diagonal)
def fill_diagonal(a: Operand, val: Operand, wrap: bool = False) -> None:
    """``a[i, i, ...] = val``, the values in turn; ``wrap``: begin again below a tall matrix.   (:func:`numpy.fill_diagonal`)

    >>> import tinytensor as tt
    >>> t = tt.zeros((2, 2))
    >>> tt.fill_diagonal(t, 3.0)
    >>> t
    tensor([[3., 0.],
            [0., 3.]])
    """
    if _written(np.fill_diagonal, a, val, wrap):
        return
    target: Any = a
    shape = target.shape
    if len(shape) < 2:
        raise ValueError(f"fill_diagonal: expected 2 or more dimensions, got {len(shape)}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise ValueError(f"fill_diagonal: of more than 2 dimensions all must be equally long, got {shape}")
    if len(shape) == 2:
        step, end = shape[1] + 1, math.prod(shape) if wrap else shape[1] * shape[1]
    else:
        step, end = 1 + sum(math.prod(shape[1:][k:]) for k in range(len(shape) - 1)), math.prod(shape)
    if np.size(val):  # NumPy writes nothing, where there is nothing
        _put_flat(target, np.arange(0, min(end, math.prod(shape)), step), val)


@composite(np.put_along_axis)
def put_along_axis(arr: Operand, indices: Any, values: Operand, axis: int | None) -> None:
    """``arr[i, indices[i, j]] = values[i, j]`` along the axis.   (:func:`numpy.put_along_axis`, ``torch.scatter``)

    >>> import numpy as np, tinytensor as tt
    >>> t = tt.zeros((2, 2))
    >>> tt.put_along_axis(t, np.array([[1], [0]]), 5.0, axis=1)
    >>> t
    tensor([[0., 5.],
            [5., 0.]])
    """
    if _written(np.put_along_axis, arr, indices, values, axis):
        return
    target: Any = arr
    index = np.asarray(plain_index(indices))
    if axis is None:
        if index.ndim != 1:
            raise ValueError(f"put_along_axis: with axis=None indices must be a vector, got {index.ndim} dimensions")
        target[np.unravel_index(index % max(target.size, 1), target.shape)] = values
        return
    if index.ndim != target.ndim:
        raise ValueError(f"put_along_axis: indices must have the {target.ndim} dimensions of arr, got {index.ndim}")
    if not -target.ndim <= axis < target.ndim:
        raise np.exceptions.AxisError(f"put_along_axis: axis {axis} is out of bounds for {target.ndim} dimensions")
    target[along(index, axis, target.shape)] = values
