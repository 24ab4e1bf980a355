"""``Parameter``, the tensor that a module learns, and the dtype that parameters have by default."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.graph import leaf
from tinytensor.primitive import TensorBase, wrap
from tinytensor.tensor import Tensor, tensor
from tinytensor.typing import DType

__all__ = ["Parameter", "as_input", "convert", "floating", "get_default_dtype", "set_default_dtype", "sizes"]

_default: np.dtype[Any] = np.dtype(np.float32)


def get_default_dtype() -> np.dtype[Any]:
    """The dtype of new parameters, float32 unless :func:`set_default_dtype` was called.

    >>> import tinytensor as tt
    >>> tt.get_default_dtype()
    dtype('float32')
    """
    return _default


def set_default_dtype(dtype: DType) -> None:
    """Set the dtype of new parameters; arrays and tensors keep their own.   (``torch.set_default_dtype``)

    >>> import tinytensor as tt
    >>> tt.set_default_dtype("float64")
    >>> tt.nn.Linear(2, 3).weight.dtype
    dtype('float64')
    >>> tt.set_default_dtype("float32")
    """
    global _default
    _default = floating(dtype)


def floating(dtype: DType) -> np.dtype[Any]:
    """``dtype``, or the default for None; TypeError if it is not a floating one."""
    found = _default if dtype is None else np.dtype(dtype)
    if found.kind != "f":
        raise TypeError(f"parameters have a floating dtype, got {found}")
    return found


def sizes(op: str, least: int = 1, **given: Any) -> None:
    """ValueError unless all that is given is integers, not below ``least``."""
    for name, value in given.items():
        if not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{op}: {name} must be an integer of at least {least}, got {value!r}")


class Parameter(Tensor):
    """A leaf that requires grad and that a :class:`Module` finds among its attributes.   (``torch.nn.Parameter``)

    >>> import tinytensor as tt
    >>> tt.nn.Parameter([1.0, 2.0])
    parameter([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: Any, dtype: DType | bool = None, requires_grad: bool = True) -> None:
        if isinstance(dtype, bool):  # PyTorch's second argument
            made = tensor(data, None, dtype)
        else:
            made = tensor(data, dtype, requires_grad)
        self._data, self._node = made._data, made._node


def convert(t: Tensor, dtype: np.dtype[Any]) -> None:
    """Give a leaf another dtype, its gradient too, where it is: graphs that were recorded before keep the old array."""
    t._data, node = t._data.astype(dtype), t._node
    if node is not None:
        t._node = leaf(t._data)
        t._node.grad = None if node.grad is None or node.grad is False else node.grad.astype(dtype)


def as_input(x: Any, dtype: np.dtype[Any], op: str) -> Tensor:
    """``x`` as a tensor in the dtype of the parameters that it meets."""
    if not isinstance(x, TensorBase):
        array = asarray(x)
        if array.dtype.kind not in "biuf":
            found = f"{array.dtype} numbers" if array.dtype.kind == "c" else type(x).__name__
            raise TypeError(f"{op}: expected an array or a tensor of real numbers, got {found}")
        return wrap(array if array.dtype == dtype else array.astype(dtype), None)  # type: ignore[no-any-return]
    if x.dtype == dtype:  # type: ignore[attr-defined]
        return x  # type: ignore[return-value]
    if x.dtype.kind == "c":  # type: ignore[attr-defined]
        raise TypeError(f"{op}: expected real numbers, got a tensor of complex ones; take x.real, or abs(x)")
    return x.astype(dtype)  # type: ignore[attr-defined, no-any-return]
