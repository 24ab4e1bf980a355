"""Arrays built of values: nested lists of tensors, one value everywhere, evenly spaced values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import traced
from tinytensor.graph import recording
from tinytensor.ops.shape import as_tensor
from tinytensor.primitive import DISPATCH, TensorBase, composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import DType, Operand, Shape

__all__ = ["array", "asarray", "full", "full_like", "geomspace", "linspace", "logspace"]


def _holds(dtype: Any, op: str, *values: Any) -> None:
    """Raise if a gradient would end in a dtype that has none."""
    if dtype is None or np.dtype(dtype).kind in "fc" or not recording():
        return
    if any(isinstance(x, TensorBase) and x._node is not None for x in values):
        raise TypeError(f"{op}: an array of {np.dtype(dtype)} has no gradient; take a float dtype, or t.detach()")


# ------------------------------------------------------------------------------------------------------ nested lists


def _shape_of(x: Any, leaves: list[Any]) -> tuple[int, ...]:
    """The shape of nested lists of tensors, arrays and numbers, which are collected from left to right."""
    if not isinstance(x, (list, tuple)):
        leaves.append(x)
        return x._data.shape if isinstance(x, TensorBase) else np.shape(x)
    shapes = {_shape_of(inner, leaves) for inner in x}
    if len(shapes) > 1:
        found = " and ".join(map(str, sorted(shapes, key=str)))
        raise ValueError(f"array: the parts of a list must have one shape, got {found}")
    return (len(x), *(shapes.pop() if shapes else ()))


def _parts(g: Any, xs_shape: Any) -> list[Any]:
    if not any(xs_shape):  # numbers
        return list(g.reshape(-1))
    flat, parts, at = g.reshape(-1), [], 0
    for shape in xs_shape:
        n = math.prod(shape)
        parts.append(flat[at : at + n].reshape(shape))
        at += n
    return parts


@primitive(joint=_parts, inputs=("xs",))
def _built(shape: Any, *xs: Any) -> Any:
    """All elements of all arrays, in turn, in this shape."""
    flat = np.stack(xs) if all(x.ndim == 0 for x in xs) else np.concatenate([x.reshape(-1) for x in xs])
    return flat.reshape(shape)


def _array(x: Any, dtype: DType, ndmin: int, op: str) -> Any:
    leaves: list[Any] = []
    shape = _shape_of(x, leaves)
    _holds(dtype, op, *leaves)
    made: Any = _built((1,) * (ndmin - len(shape)) + shape, *leaves)
    return made if dtype is None or made.dtype == dtype else made.astype(dtype)


@composite(np.array)
def array(object: Any, dtype: DType = None, ndmin: int = 0, like: Any = None) -> Tensor:
    """Nested lists and tuples of tensors, arrays and numbers as one tensor.   ∂/∂xᵢ: its part of g   (:func:`numpy.array`)

    The dtype is the one that holds them all. Lists without tensors give ndarrays, a tensor gives a copy. NumPy's own
    function does not see tensors in a list; ``np.array([t, u], like=t)`` comes here. ``like`` is not read.

    >>> import tinytensor as tt
    >>> angle = tt.tensor(0.0, requires_grad=True)
    >>> tt.array([[tt.cos(angle), -tt.sin(angle)], [tt.sin(angle), 1]])
    tensor([[ 1., -0.],
            [ 0.,  1.]], grad_fn=<built>)
    """
    return _array(object, dtype, ndmin, "array")


@composite(np.asarray)
def asarray(a: Any, dtype: DType = None, like: Any = None) -> Tensor:
    """As :func:`array`, but a tensor that has the dtype already is returned as it is.   (:func:`numpy.asarray`)

    >>> import tinytensor as tt
    >>> tt.asarray([tt.tensor(1.0), 2.0])
    tensor([1., 2.])
    """
    if isinstance(a, TensorBase):
        _holds(dtype, "asarray", a)
        return a if dtype is None or a._data.dtype == dtype else a.astype(dtype)
    return _array(a, dtype, 0, "asarray")


# ------------------------------------------------------------------------------------------------ one value everywhere


@primitive(broadcasts=True, x=lambda g: g)
def _full(x: Any, shape: Any, dtype: Any) -> Any:
    return np.full_like(x, x, dtype, shape=shape, order="C") if traced(x) else np.full(shape, x, dtype)


@composite(np.full)
def full(shape: Shape, fill_value: Operand, dtype: DType = None, like: Any = None) -> Tensor:
    """One value everywhere, or an array that broadcasts to the shape.   ∂/∂value = Σ g   (:func:`numpy.full`)

    NumPy's own function does not see a tensor there; ``np.full(shape, t, like=t)`` comes here. Example: :func:`tinytensor.full`.
    """
    _holds(dtype, "full", fill_value)
    return _full(fill_value, shape, dtype)


@composite(np.full_like)
def full_like(x: Operand, fill_value: Operand, dtype: DType = None, shape: Shape | None = None) -> Tensor:
    """One value in the shape and dtype of x.   ∂/∂value = Σ g, ∂/∂x = 0   (:func:`numpy.full_like`)

    Example: :func:`tinytensor.full_like`.
    """
    template: Any = x if hasattr(x, "dtype") else np.asarray(x)
    dtype = template.dtype if dtype is None else dtype
    _holds(dtype, "full_like", fill_value)
    value = as_tensor(fill_value) if isinstance(x, TensorBase) else fill_value
    return _full(value, template.shape if shape is None else shape, dtype)


def _tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """For ``np.array(values, like=t)``: a tensor, even if only ``like`` is one."""
    return lambda *args, **kwargs: as_tensor(function(*args, **kwargs))


DISPATCH.update({np.array: _tensors(array), np.asarray: _tensors(asarray), np.full: _tensors(full)})


# ------------------------------------------------------------------------------------------------ evenly spaced values


def _shares(num: int, endpoint: bool, dtype: Any) -> Any:
    """How far each of the values is on the way from start to stop: 0 … 1."""
    return np.arange(num, dtype=dtype) / max(num - endpoint, 1)


def _weighted(g: Any, num: int, endpoint: bool, axis: int, stop: bool) -> Any:
    """Σ over the axis of g times the shares of start, or of stop."""
    g = np.moveaxis(g, axis, 0) if axis else g
    weights = _shares(num, endpoint, g.dtype)
    weights = weights if stop else 1 - weights
    return np.matmul(weights, g) if g.ndim == 1 else np.matmul(weights, g.reshape(num, -1)).reshape(g.shape[1:])


@primitive(
    broadcasts=True,
    start=lambda g, num, endpoint, axis: _weighted(g, num, endpoint, axis, False),
    stop=lambda g, num, endpoint, axis: _weighted(g, num, endpoint, axis, True),
)
def _linspace(start: Any, stop: Any, num: int, endpoint: bool, dtype: Any, axis: int) -> Any:
    return np.linspace(start, stop, num, endpoint, dtype=dtype, axis=axis)


@composite(np.linspace)
def linspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DType = None,
    axis: int = 0,
) -> Any:
    """start (1 − s) + stop s, s from 0 to 1.   ∂/∂start = Σ g (1 − s), ∂/∂stop = Σ g s   (:func:`numpy.linspace`)

    Example: :func:`tinytensor.linspace`.
    """
    _holds(dtype, "linspace", start, stop)
    out = _linspace(start, stop, num, endpoint, dtype, axis)
    parts = num - endpoint
    return (out, (stop - start) / parts if parts else (stop - start) * np.nan) if retstep else out


@composite(np.logspace)
def logspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    base: Operand = 10.0,
    dtype: DType = None,
    axis: int = 0,
) -> Tensor:
    """The base to the powers :func:`linspace`.   (:func:`numpy.logspace`)

    Example: :func:`tinytensor.logspace`.
    """
    _holds(dtype, "logspace", start, stop, base)
    if np.ndim(base):
        n = max(np.ndim(start), np.ndim(stop), np.ndim(base))
        start, stop, base = (np.reshape(x, (1,) * (n - np.ndim(x)) + np.shape(x)) for x in (start, stop, base))
        base = np.expand_dims(base, axis)
    out: Any = np.power(base, _linspace(start, stop, num, endpoint, None, axis))
    return out if dtype is None or out.dtype == dtype else out.astype(dtype)


@primitive(
    broadcasts=True,
    start=lambda g, start, out, num, endpoint, axis: _weighted(g * out, num, endpoint, axis, False) / start,
    stop=lambda g, stop, out, num, endpoint, axis: _weighted(g * out, num, endpoint, axis, True) / stop,
)
def _geomspace(start: Any, stop: Any, num: int, endpoint: bool, dtype: Any, axis: int) -> Any:
    return np.geomspace(start, stop, num, endpoint, dtype, axis)


@composite(np.geomspace)
def geomspace(
    start: Operand, stop: Operand, num: int = 50, endpoint: bool = True, dtype: DType = None, axis: int = 0
) -> Tensor:
    """start¹⁻ˢ stopˢ, s from 0 to 1.   ∂/∂start = Σ g out (1 − s)/start, ∂/∂stop = Σ g out s/stop   (:func:`numpy.geomspace`)

    Example: :func:`tinytensor.geomspace`.
    """
    _holds(dtype, "geomspace", start, stop)
    return _geomspace(start, stop, num, endpoint, dtype, axis)
