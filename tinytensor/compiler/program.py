"""The program of a trace: memory, the arrays that look at it, numbers, and the calls that compute them, in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

__all__ = ["Array", "Call", "Memory", "Number", "added", "arrays", "leaves", "mapped", "numbers"]


class Memory:
    """What arrays look at: of an argument, of something that outlives the call, or of a result.

    kind     "argument", "state" (a tensor's or an optimizer's array), "constant" (any other array), "result"
    whole    the array that owns it, as the trace saw it
    writes   the calls that write into it after it was made
    fresh    of a constant: whether the function makes it anew in each call, and may hand it out
    """

    __slots__ = ("fresh", "kind", "number", "whole", "writes")

    def __init__(self, kind: str, number: int, whole: Any) -> None:
        self.kind, self.number, self.whole = kind, number, whole
        self.writes, self.fresh = 0, False

    def let_go(self) -> None:
        """Forget the array."""
        self.whole = None

    def __repr__(self) -> str:
        return f"{self.kind[0]}{self.number}"


class Array:
    """One array: where it looks, its shape, dtype and strides, and the call that made it (None: it was there before)."""

    __slots__ = ("call", "dtype", "memory", "name", "number", "offset", "scalar", "shape", "strides", "value")

    def __init__(self, number: int, memory: Memory, value: Any, call: Call | None, offset: int) -> None:
        self.number, self.memory, self.call, self.offset = number, memory, call, offset
        self.shape, self.dtype, self.strides = value.shape, value.dtype, value.strides
        self.value: Any = value  # until the plan is made
        self.name = ""
        self.scalar = False  # NumPy gave a number, not an array

    def let_go(self) -> None:
        """Forget the values."""
        self.value = None

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return int(math.prod(self.shape) * self.dtype.itemsize)

    def __repr__(self) -> str:
        return f"%{self.number}{list(self.shape)}@{self.memory}"


class Number:
    """A Python number that may differ at the next call: an argument, an entry of a dict, or computed from others."""

    __slots__ = ("function", "inputs", "name", "number", "value")

    def __init__(self, number: int, value: Any, function: Callable[..., Any] | None, inputs: tuple[Any, ...]) -> None:
        self.number, self.value, self.function, self.inputs = number, value, function, inputs
        self.name = ""

    def __repr__(self) -> str:
        return f"#{self.number}={self.value!r}"


class Call:
    """One call of a function: what it is called with, what it returns, and which memory it writes into.

    kind    "ufunc" (an elementwise one, or matmul), "reduce", "view" (no memory of its own), "write" (returns nothing), "call" (any other),
            "draw" (random numbers: never dropped, merged or moved), "opaque" (a whole function of ours)
    out     what it returns: an Array, a tuple or list of them, or None
    """

    __slots__ = ("args", "function", "kind", "kwargs", "label", "number", "out", "part", "quiet", "writes")

    def __init__(self, number: int, kind: str, function: Any, args: Any, kwargs: dict[str, Any]) -> None:
        self.number, self.kind, self.function, self.args, self.kwargs = number, kind, function, args, kwargs
        self.out: Any = None
        self.writes: tuple[Memory, ...] = ()
        self.label, self.part, self.quiet = "", "", False

    def reads(self) -> list[Array]:
        """The arrays that it is called with, ``out=`` among them."""
        found: list[Array] = []
        _gather(self.args, Array, found)
        if self.kwargs:
            _gather(self.kwargs.values(), Array, found)
        return found

    def results(self) -> list[Array]:
        """The arrays that it returns."""
        return [self.out] if type(self.out) is Array else list(arrays(self.out))

    def name(self) -> str:
        """The function's name, as a reader knows it."""
        f = self.function
        owner = getattr(f, "__self__", None)
        if isinstance(owner, np.ufunc):
            return f"{owner.__name__}.{f.__name__}"
        return getattr(f, "__name__", None) or getattr(f, "name", None) or type(f).__name__

    def __repr__(self) -> str:
        return f"{self.out} = {self.name()}{self.args}{self.kwargs or ''}"


def added(trace: Any, value: Any, kind: str) -> Array:
    """An array that the trace did not see, in memory of its own."""
    memory = Memory(kind, len(trace.memories), value)
    trace.memories.append(memory)
    array = Array(len(trace.arrays), memory, value, None, 0)
    if kind == "result":
        array.let_go()
    trace.arrays.append(array)
    return array


def mapped(tree: Any, change: Callable[[Any], Any]) -> Any:
    """The tree with ``change`` applied to everything in it that is not a list, tuple, dict or slice."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return kind([mapped(x, change) for x in tree])
    if kind is dict:
        return {key: mapped(x, change) for key, x in tree.items()}
    if kind is slice:
        return slice(mapped(tree.start, change), mapped(tree.stop, change), mapped(tree.step, change))
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return kind(*[mapped(x, change) for x in tree])
    return change(tree)


def leaves(tree: Any, kind: type) -> Iterator[Any]:
    """What is of a kind in a tree of arguments or results."""
    found: list[Any] = []
    _gather((tree,), kind, found)
    return iter(found)


def _gather(parts: Iterable[Any], kind: type, found: list[Any]) -> None:
    for x in parts:
        if isinstance(x, kind):
            found.append(x)
        elif isinstance(x, (list, tuple)):
            _gather(x, kind, found)
        elif type(x) is dict:
            _gather(x.values(), kind, found)
        elif type(x) is slice:
            _gather((x.start, x.stop, x.step), kind, found)


def arrays(tree: Any) -> Iterator[Array]:
    """The arrays in a tree of arguments."""
    return leaves(tree, Array)


def numbers(tree: Any) -> Iterator[Number]:
    """The numbers in a tree of arguments."""
    return leaves(tree, Number)
