"""What arrays and numbers are while a function is traced: they say that they are ndarrays and floats, and record what is done.

NumPy hands every function that meets one of them to it (NEP 13 and NEP 18), and Python every operator. What would need the
value itself, ``if``, ``float()``, ``np.asarray``, raises :class:`Untraceable`, which a primitive of ours answers by being
recorded as a whole, and anybody else's code shows to the user.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tinytensor.deferred import Deferred
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.compiler.program import Array, Number

__all__ = ["TracedArray", "TracedNumber", "Untraceable"]


class Untraceable(Deferred):
    """What a traced program may not do: it asked for the value of an array."""


def _refuse(what: str) -> NoReturn:
    raise Untraceable(
        f"tt.compile: {what} asks for the value of an array, which the next call will not have. Choose between arrays with "
        "np.where, keep numbers in arrays, or pass what decides as a static argument (a bool, an int, a string)."
    )


class _Traced:
    """What stands for an array or a number: NumPy's functions go to the trace."""

    __slots__ = ()
    trace: Any  # a Trace

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, TensorBase) for x in inputs):
            return NotImplemented
        return self.trace.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if any(issubclass(kind, TensorBase) for kind in types):
            return NotImplemented
        return self.trace.function(function, args, kwargs)


class TracedArray(_Traced):
    """An array of the traced program: what it is (``array``), and its values in this one call (``value``)."""

    __slots__ = ("__weakref__", "array", "trace", "value")

    def __init__(self, trace: Any, array: Array, value: Any) -> None:
        self.trace, self.array, self.value = trace, array, value

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return np.ndarray

    # ------------------------------------------------------------------------------------------------- what is fixed

    shape = property(lambda self: self.value.shape)
    ndim = property(lambda self: self.value.ndim)
    size = property(lambda self: self.value.size)
    dtype = property(lambda self: self.value.dtype)
    itemsize = property(lambda self: self.value.itemsize)
    nbytes = property(lambda self: self.value.nbytes)
    strides = property(lambda self: self.value.strides)
    flags = property(lambda self: self.value.flags)
    base = property(lambda self: self.trace.whole(self))
    T = property(lambda self: self.transpose())
    mT = property(lambda self: self.swapaxes(-1, -2))  # noqa: N815
    real = property(lambda self: self.trace.attribute(self, "real"))
    imag = property(lambda self: self.trace.attribute(self, "imag"))

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"an ndarray has no attribute {name!r}")
        method = getattr(np.ndarray, name)
        if not callable(method):
            _refuse(f".{name}")
        return lambda *args, **kwargs: self.trace.method(name, self, args, kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in TracedArray.__slots__:
            _refuse(f"setting .{name}")
        object.__setattr__(self, name, value)

    # ---------------------------------------------------------------------------------------------------- the values

    def __bool__(self) -> bool:
        _refuse("the truth of an array (if, and, or, while)")

    def __float__(self) -> float:
        _refuse("float()")

    def __int__(self) -> int:
        _refuse("int()")

    def __index__(self) -> int:
        _refuse("an array in the place of an int")

    def __complex__(self) -> complex:
        _refuse("complex()")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        _refuse(
            "something (np.asarray, a function that is not NumPy's own, or an index into an array that is no argument)"
        )

    def __contains__(self, value: Any) -> bool:
        _refuse("`in`")

    def __format__(self, how: str) -> str:
        _refuse("format(), an f-string,")

    def __round__(self, *digits: Any) -> Any:
        _refuse("round() (np.round gives an array)")

    def __divmod__(self, other: Any) -> Any:
        return self.trace.record("call", np.divmod, (self, other), {})

    def __rdivmod__(self, other: Any) -> Any:
        return self.trace.record("call", np.divmod, (other, self), {})

    def item(self, *args: Any) -> Any:
        """Raises."""
        _refuse(".item()")

    def tolist(self) -> Any:
        """Raises."""
        _refuse(".tolist()")

    def tobytes(self, order: Any = "C") -> Any:
        """Raises."""
        _refuse(".tobytes()")

    def __reduce_ex__(self, protocol: Any) -> Any:
        _refuse("pickling")

    def __deepcopy__(self, memo: Any) -> Any:
        return self.copy()

    def __copy__(self) -> Any:
        return self.copy()

    def __repr__(self) -> str:
        return f"<traced array of shape {self.shape}, {self.dtype}>"

    __hash__ = object.__hash__

    # ------------------------------------------------------------------------------------------------------- indexing

    def __getitem__(self, index: Any) -> Any:
        return self.trace.record("call", operator.getitem, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        self.trace.write(operator.setitem, (self, index, value), {}, [self])


def _operator(ufunc: np.ufunc, reflected: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, TensorBase):
            return NotImplemented
        return self.trace.ufunc(ufunc, "__call__", (other, self) if reflected else (self, other), {})

    return method


def _in_place(ufunc: np.ufunc) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, TensorBase):
            return NotImplemented
        if self.array.scalar:  # NumPy gave a number here: it is not written into
            return self.trace.ufunc(ufunc, "__call__", (self, other), {})
        return self.trace.ufunc(ufunc, "__call__", (self, other), {"out": (self,)})

    return method


def _unary(ufunc: np.ufunc) -> Callable[[Any], Any]:
    return lambda self: self.trace.ufunc(ufunc, "__call__", (self,), {})


#: As ndarray does it: xᵏ of a float array by the function that is faster, and exact.
_POWERS: dict[Any, np.ufunc] = {2: np.square, 1: np.positive, 0.5: np.sqrt, -1: np.reciprocal}


def _power(self: Any, other: Any) -> Any:
    if isinstance(other, TensorBase):
        return NotImplemented
    fast = _POWERS.get(other) if type(other) in (int, float) and self.dtype.kind in "fc" else None
    if fast is not None:
        return self.trace.ufunc(fast, "__call__", (self,), {})
    return self.trace.ufunc(np.power, "__call__", (self, other), {})


_BINARY: dict[str, np.ufunc] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide, "floordiv": np.floor_divide,
    "mod": np.remainder, "matmul": np.matmul, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor,
    "lshift": np.left_shift, "rshift": np.right_shift,
}  # fmt: skip
for _name, _ufunc in {**_BINARY, "pow": np.power}.items():
    setattr(TracedArray, f"__{_name}__", _operator(_ufunc))
    setattr(TracedArray, f"__r{_name}__", _operator(_ufunc, reflected=True))
    setattr(TracedArray, f"__i{_name}__", _in_place(_ufunc))
setattr(TracedArray, "__pow__", _power)  # noqa: B010
for _name, _ufunc in {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal,
                      "ne": np.not_equal}.items():  # fmt: skip
    setattr(TracedArray, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in {"neg": np.negative, "pos": np.positive, "abs": np.absolute, "invert": np.invert}.items():
    setattr(TracedArray, f"__{_name}__", _unary(_ufunc))


def _same(value: Any) -> Any:
    return value


class TracedNumber(_Traced):
    """A Python number that may differ at the next call. Its arithmetic is recorded; its truth, or its value where Python asks
    for it, is a condition of the plan: another value finds another plan, or is traced anew.
    """

    __slots__ = ("number", "trace")

    def __init__(self, trace: Any, number: Number) -> None:
        self.trace, self.number = trace, number

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self.number.value)

    @property
    def value(self) -> Any:
        """The number in this call."""
        return self.number.value

    def __bool__(self) -> bool:
        return bool(self.trace.decided(self.number, bool))

    def __float__(self) -> float:
        return float(self.trace.decided(self.number, float))

    def __int__(self) -> int:
        return int(self.trace.decided(self.number, int))

    def __index__(self) -> int:
        return operator.index(self.trace.decided(self.number, operator.index))

    def _itself(self) -> Any:
        return self.trace.decided(self.number, _same)

    def __complex__(self) -> complex:
        return complex(self._itself())

    def __round__(self, *digits: Any) -> Any:
        return round(self._itself(), *digits)

    def __format__(self, how: str) -> str:
        return format(self._itself(), how)

    def __str__(self) -> str:
        return str(self._itself())

    def __hash__(self) -> int:
        return hash(self._itself())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(float, name):
            raise AttributeError(f"a number has no attribute {name!r}")
        return getattr(self._itself(), name)

    def as_array(self) -> Any:
        """The number as an array of the program."""
        return self.trace.record("call", np.asarray, (self,), {})

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        _refuse("something (np.asarray of a number)")

    def __repr__(self) -> str:
        return f"<traced number {self.value!r}>"


def _arithmetic(function: Callable[..., Any], reflected: bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        if type(other) is not TracedNumber and type(other) not in (int, float, bool):
            return NotImplemented
        return self.trace.arithmetic(function, (other, self) if reflected else (self, other))

    return method


def _alone(function: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda self: self.trace.arithmetic(function, (self,))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    setattr(TracedNumber, f"__{_name}__", _arithmetic(getattr(operator, _name)))
    setattr(TracedNumber, f"__r{_name}__", _arithmetic(getattr(operator, _name), reflected=True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(TracedNumber, f"__{_name}__", _arithmetic(getattr(operator, _name)))
for _name in ("neg", "pos", "abs"):
    setattr(TracedNumber, f"__{_name}__", _alone(getattr(operator, _name)))
