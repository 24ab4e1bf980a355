"""The values of one run: computed at once, or when somebody looks at them, which may be never.

A trace needs shapes, dtypes and strides; values only where a function's own code looks at them. Large elementwise calls of an
optimizer's update, and those that write what outlives the call, wait until another call reads what they give. At the end of
a step nobody does: the arithmetic is not done, and of what is written no copy is kept to take it back. The result of a call
that waits is memory that nobody has touched, and takes no room until then. (Calls elsewhere are needed anyway: waiting would
only keep alive what is freed on the way.)
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinytensor import graph
from tinytensor.compiler.program import Memory, leaves, mapped
from tinytensor.compiler.stand_ins import TracedArray, TracedNumber
from tinytensor.graph import owner

__all__ = ["Values", "duplicate", "value_of"]

_tracer = graph._tracer
#: Bytes of a result that a call waits for.
_LARGE = 1 << 16
#: Functions that look at the memory of their first argument, if they can.
_VIEWS = frozenset(
    {operator.getitem, np.ndarray.reshape, np.ndarray.transpose, np.ndarray.view, np.reshape, np.transpose}
)


class _Call(NamedTuple):
    function: np.ufunc
    inputs: tuple[Any, ...]
    out: Any
    state: Memory | None  # that it writes, and that outlives the run


class Values:
    """How the calls of a run are made, what waits, and what is taken back at its end."""

    part: str  # of the program, that is being written down

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Memory]] = {}  # id of an owner of memory -> (how to reach it, memory)
        self._undo: dict[int, tuple[Any, Any]] = {}
        self._waiting: list[_Call] = []
        self._unwritten: set[Memory] = set()  # whose values are not there yet
        self._unread: set[Memory] = set()  # that these calls look at, or write

    def now(self, function: Any, args: Any, kwargs: dict[str, Any], targets: Any = (), hidden: bool = False) -> Any:
        """What a function gives; it writes into the targets. ``hidden``: what it calls is not part of the program."""
        token = _tracer.set(None) if hidden else None
        try:
            if function in _VIEWS and self._waiting and not any(self._looked_at([args[1:], kwargs])):
                found = function(*mapped(args, value_of), **mapped(kwargs, value_of))
                if type(found) is np.ndarray and owner(found) is owner(value_of(args[0])):
                    return found
            if self._waiting and (
                not self._unwritten.isdisjoint(self._looked_at([args, kwargs]))
                or any(t.array.memory in self._unread for t in targets)
            ):
                self.settle()
            for t in targets:
                if t.array.memory.kind == "state":
                    self._save(t.array.memory)
            return function(*mapped(args, value_of), **mapped(kwargs, value_of))
        finally:
            if token is not None:
                _tracer.reset(token)

    def later(self, function: Any, inputs: tuple[Any, ...], target: TracedArray | None = None) -> Any:
        """What an elementwise function will give, or the target that it will write; None if it must be called now."""
        memory = None if target is None else target.array.memory
        state = memory if memory is not None and memory.kind == "state" else None
        if self.part != "update" and state is None:
            return None
        values, out = mapped(inputs, value_of), value_of(target)
        arrays = [x for x in (*values, out) if isinstance(x, np.ndarray) and x.ndim]
        if not arrays or arrays[0].nbytes < _LARGE or function.signature is not None or function.nout != 1:
            return None
        shape = arrays[0].shape
        if any(type(x) is not np.ndarray or x.shape != shape or not x.flags.c_contiguous for x in arrays):
            return None
        try:
            kinds = [type(x) if isinstance(x, (int, float)) else x.dtype for x in values]
            dtype = function.resolve_dtypes((*kinds, None))[-1]
        except (TypeError, AttributeError):
            return None  # NumPy has the words for it
        if out is not None and not (out.flags.writeable and np.can_cast(dtype, out.dtype, "same_kind")):
            return None
        if dtype.hasobject:
            return None
        made = np.empty(shape, dtype) if out is None else out
        self._waiting.append(_Call(function, values, made, state))
        self._unread.update(self._looked_at(inputs))
        if memory is not None:
            self._waits(memory)
        return made

    def _waits(self, memory: Memory) -> None:
        self._unwritten.add(memory)
        self._unread.add(memory)

    def settle(self) -> None:
        """Make the calls that wait."""
        calls, self._waiting = self._waiting[::-1], []
        self._unwritten.clear()
        self._unread.clear()
        with np.errstate(all="ignore"):  # the replay says what there is to say
            while calls:
                call = calls.pop()
                if call.state is not None:
                    self._save(call.state)
                call.function(*call.inputs, out=call.out)

    def _looked_at(self, tree: Any) -> Iterator[Memory]:
        """The memory that the arrays among arguments look at, if it is known."""
        for x in leaves(tree, np.ndarray):
            if type(x) is TracedArray:
                yield x.array.memory
            elif (found := self._known.get(id(owner(x)))) is not None:
                yield found[1]

    def _moved(self, inner: set[Memory], home: Memory) -> None:
        """Several memories turned out to be parts of a larger one."""
        for seen in (self._unwritten, self._unread):
            if not seen.isdisjoint(inner):
                seen.add(home)

    def _save(self, memory: Memory) -> None:
        """Keep what outlives the call, to take back what the run writes there."""
        if memory.number not in self._undo:
            self._undo[memory.number] = (memory.whole, memory.whole.copy(order="K"))

    def take_back(self) -> None:
        """What was there before, in the place of what the run wrote: the latest first, as parts and wholes may share memory."""
        self._waiting.clear()
        for whole, old in reversed(self._undo.values()):
            whole[...] = old


def duplicate(array: Any) -> Any:
    """A copy with the same strides."""
    low, high = np.lib.array_utils.byte_bounds(array)
    start = array.__array_interface__["data"][0] - low
    made: Any = np.ndarray(array.shape, array.dtype, np.empty(max(high - low, 1), np.uint8), start, array.strides)
    made[...] = array
    return made


def value_of(x: Any) -> Any:
    """The value that a stand-in has in this run."""
    return x.value if type(x) is TracedArray or type(x) is TracedNumber else x
