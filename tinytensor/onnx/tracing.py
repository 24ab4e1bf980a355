"""Tracing: a model runs once on stand-ins for tensors, and the primitives it meets are written down in their order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import dispatch
from tinytensor.batching.standin import StandIn
from tinytensor.deferred import Deferred, use_batching
from tinytensor.graph import no_grad
from tinytensor.nn.module import Module
from tinytensor.ops import elementwise, indexing
from tinytensor.primitive import Op, Signature, TensorBase, wrap
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.typing import Array, DType, Operand

__all__ = ["Call", "Log", "Traced", "traced"]


class Call:
    """One primitive that was called: its key, the arguments, the results, and the layer in which it happened."""

    __slots__ = ("args", "key", "layer", "name", "outs")

    def __init__(self, key: str, name: str, args: tuple[Any, ...], outs: list[Traced], layer: str) -> None:
        self.key, self.name, self.args, self.outs, self.layer = key, name, args, outs, layer


class Log:
    """The calls of one run, and the names of the model's layers by their ids."""

    __slots__ = ("calls", "names")

    def __init__(self, names: dict[int, str]) -> None:
        self.calls: list[Call] = []
        self.names = names

    def add(self, key: str, name: str, args: tuple[Any, ...], out: Any) -> Any:
        """Write a call down; its results, which are tensors, come back as stand-ins."""
        several = isinstance(out, tuple)
        outs = [
            Traced(o._data if isinstance(o, TensorBase) else np.asarray(o), self) for o in (out if several else (out,))
        ]
        self.calls.append(Call(key, name, args, outs, self._layer()))
        if not several:
            return outs[0]
        return type(out)(*outs) if hasattr(out, "_fields") else tuple(outs)

    def _layer(self) -> str:
        """The innermost layer whose ``forward`` is running."""
        frame = sys._getframe(2)
        while frame is not None:
            if name := self.layer_of(frame):
                return name
            frame = frame.f_back  # type: ignore[assignment]
        return ""

    def layer_of(self, frame: FrameType) -> str:
        """The name of the layer whose ``forward`` this frame is, or nothing."""
        code = frame.f_code
        if code.co_name != "forward" or not code.co_argcount:
            return ""
        owner = frame.f_locals.get(code.co_varnames[0])
        return self.names.get(id(owner), type(owner).__name__) if isinstance(owner, Module) else ""


def traced(value: Any) -> Iterator[Traced]:
    """The stand-ins in a value, in lists, tuples and slices too."""
    if isinstance(value, Traced):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from traced(part)


def _plain(value: Any) -> Any:
    """Tensors in place of stand-ins."""
    if isinstance(value, Traced):
        return wrap(value.example, None)
    if type(value) in (list, tuple):
        return type(value)([_plain(part) for part in value])
    return value


def _arrays(value: Any) -> Any:
    """Arrays in place of all tensors."""
    if isinstance(value, TensorBase):
        return value.example if isinstance(value, Traced) else value._data
    if type(value) in (list, tuple):
        return type(value)([_arrays(part) for part in value])
    return value


def _record(op: Signature, apply: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """What a primitive does when an argument does not show its values."""
    found = next(traced(args), None)
    if found is None:
        return NotImplemented
    if not isinstance(op, Op):
        if apply is None:
            raise Deferred(f"onnx: {op.name} asks for the values of its arguments, which are not known in an export")
        named = zip(op.params[1:], args[1:], strict=False)
        return _constant(apply, args[:1], {key: x for key, x in named if x is not None and x is not False})
    with no_grad():
        out = apply(*_plain(args))
    return found.tracer.add(op.key, op.name, args, out)


use_batching(_record)


def _constant(function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """A function without a derivative of NumPy's: booleans, positions."""
    found = next(traced([*args, *options.values()]))
    out = function(*_arrays(list(args)), **_arrays_of(options))
    if not isinstance(out, (np.ndarray, np.generic)):
        return out
    name = function.__name__
    return found.tracer.add(f"numpy.{name}", name, (*args, *options.items()), out)


def _arrays_of(options: dict[str, Any]) -> dict[str, Any]:
    return {key: _arrays(value) for key, value in options.items()}


#: Functions that look at shapes and dtypes alone: computed, and part of the program.
_LOOKS = (np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.zeros_like, np.ones_like, np.empty_like)


class Traced(StandIn):
    """A tensor that knows its shape and dtype, writes down what is done with it, and does not show its values.

    ``example``: what it holds in this run, from which shapes and dtypes of results follow.
    """

    __slots__ = ("example", "tracer")
    example: Array
    tracer: Log

    def __init__(self, example: Array, tracer: Log) -> None:
        self.example, self.tracer = example, tracer

    # ------------------------------------------------------------------------------------------------- what is known

    @property
    def _data(self) -> Any:  # type: ignore[override]
        raise Deferred(
            "onnx: the values of a tensor were asked for: by an `if` (use tt.where), float(), t.item(), np.asarray(t), "
            "or a function that works on arrays. An exported program cannot depend on them."
        )

    @property
    def _node(self) -> Any:  # type: ignore[override]
        return None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.example.shape

    @property
    def ndim(self) -> int:
        return self.example.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.example.dtype

    @property
    def real(self) -> Tensor:
        return self

    def conj(self) -> Tensor:
        return self

    def __repr__(self) -> str:
        return f"traced(shape={self.shape}, dtype={self.dtype.name})"

    def detach(self) -> Tensor:
        return self

    def astype(self, dtype: DType, *, copy: bool = True) -> Tensor:
        return elementwise.astype(self, np.dtype(dtype))

    # --------------------------------------------------------------------------------------------------- what is done

    def __getitem__(self, index: Any) -> Tensor:
        return indexing.getitem(self, indexing.plain_index(index))

    def __setitem__(self, index: Any, value: Operand) -> None:
        raise TypeError("onnx: t[i] = v writes into memory; make the whole with tt.stack, tt.concatenate or tt.where")

    def __pow__(self, other: Operand) -> Tensor:
        return elementwise.power(self, other)

    def __iadd__(self, other: Operand) -> Tensor:
        return self + other

    def __isub__(self, other: Operand) -> Tensor:
        return self - other

    def __imul__(self, other: Operand) -> Tensor:
        return self * other

    def __itruediv__(self, other: Operand) -> Tensor:
        return self / other

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs and ufunc in dispatch._CONSTANT:
            return _constant(ufunc, inputs, {})
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if function in _LOOKS:
            return dispatch._result(function(*_arrays(list(args)), **_arrays_of(kwargs)))
        if function in dispatch._CONSTANT:
            return _constant(function, args, kwargs)
        return super().__array_function__(function, types, args, kwargs)
