"""Writing down: the calls of NumPy's functions that are made with stand-ins, and the memory that their results look at."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.compiler.program import Array, Call, Memory, Number, mapped
from tinytensor.compiler.shaped import alike, shapes_depend
from tinytensor.compiler.stand_ins import TracedArray, TracedNumber, Untraceable
from tinytensor.compiler.values import Values, duplicate, value_of
from tinytensor.graph import Node, owner

__all__ = ["LEAKED", "Recording", "written"]

_tracer = graph._tracer

#: Functions that look at shapes and dtypes alone.
_LOOKS = frozenset({
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.may_share_memory,
    np.shares_memory, np.common_type, np.min_scalar_type,
})  # fmt: skip
#: What ``np.clip`` calls: a ufunc, which ``np`` has under no name. With ``out=`` the two take the same arguments.
_CLIP: Any = getattr(getattr(getattr(np, "_core", None), "umath", None), "clip", np.clip)
#: Functions that write into their first argument.
_WRITES = frozenset({np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal})
#: Methods that do.
_WRITING_METHODS = frozenset({"fill", "sort", "put", "partition"})
_REFUSED_METHODS = frozenset({"resize", "setflags", "setfield", "byteswap", "dump", "dumps", "tofile", "getfield"})
#: Functions that an ndarray has as a method, and NumPy calls that.
_AS_METHODS = {
    np.sum: "sum", np.prod: "prod", np.max: "max", np.min: "min", np.amax: "max", np.amin: "min", np.any: "any",
    np.all: "all",
}  # fmt: skip
_REDUCTIONS = {
    "sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum, "any": np.logical_or, "all": np.logical_and,
}  # fmt: skip


class Recording(Values):
    """What one run of a function did, call by call."""

    _number: Any  # of the next layer

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.memories: list[Memory] = []
        self.arrays: list[Array] = []
        self.numbers: list[Number] = []
        self.decisions: list[tuple[Number, Callable[[Any], Any], Any]] = []  # (number, how it was asked, the answer)
        self.states: dict[int, tuple[Any, Any, Array]] = {}  # id of a tensor -> it, its array, what stands for it
        self.data: dict[int, tuple[Any, Any]] = {}  # external tensors that got other memory: id -> (tensor, value)
        self.grads: dict[int, tuple[Node, Any]] = {}  # gradient cells of external nodes: id -> (node, value)
        self.grads_before: dict[int, tuple[Node, Any]] = {}  # as they were, where the program looked
        self.gradients: dict[int, Array] = {}  # what stands for them
        self.cells: dict[tuple[int, Any], tuple[Any, Any]] = {}  # entries of dicts: as the program sees them now
        self.cell_writes: dict[tuple[int, Any], tuple[Any, Any, Any]] = {}
        self.generators: dict[int, tuple[Any, Any, Any]] = {}  # id -> (generator, its owner, state)
        self.entries: dict[tuple[int, Any], tuple[Any, Any, Any]] = {}  # entries of dicts that must stay these arrays
        self.guards: dict[tuple[int, str], tuple[Any, str, Any]] = {}
        self.members: dict[int, tuple[Any, list[Any]]] = {}
        self.last: list[tuple[Any, Any]] = []
        self.items: dict[tuple[int, str], tuple[dict[str, Any], str, Any]] = {}  # plain values that must stay the same
        self.attributes: dict[
            tuple[int, str], tuple[dict[str, Any], str]
        ] = {}  # of modules, that the program looked at
        self.scheduled: dict[int, Any] = {}  # groups of optimizers whose rates the end of the call sets
        self.fixed: dict[int, Any] = {}  # tensors that must keep their memory, which is part of another array's
        self.covered: dict[Array, Array] = {}  # tensors' arrays that lie in a larger one
        self.part, self.closed = "forward", False
        self._errors, self._state = graph._errors.get(), dict(np.geterr())
        self._lifted: dict[int, TracedArray] = {}  # id of an array from outside -> its stand-in
        self._born: set[int] = set()
        self.nodes: dict[int, tuple[Any, Any]] = {}

    # --------------------------------------------------------------------------------------------------- what is known

    def _memory(self, array: Any, kind: str) -> Memory:
        """The memory that an array looks at, by its owner; new if it was not met before."""
        whole = owner(array)
        key = id(whole)
        found = self._known.get(key)
        if found is not None:
            return found[1]
        memory = Memory(kind, len(self.memories), whole if kind != "result" else None)
        self.memories.append(memory)
        hold = weakref.ref(whole, lambda _: self._known.pop(key, None)) if kind == "result" else whole
        self._known[key] = (hold, memory)
        return memory

    def _array(self, value: Any, kind: str, call: Call | None) -> TracedArray:
        memory = self._memory(value, kind)
        start = np.lib.array_utils.byte_bounds(owner(value))[0]
        array = Array(len(self.arrays), memory, value, call, value.__array_interface__["data"][0] - start)
        array.value = value if kind in ("state", "constant") else None
        self.arrays.append(array)
        return TracedArray(self, array, value)

    def lift(self, value: Any, kind: str = "constant") -> TracedArray:
        """The stand-in of an array from outside."""
        found = self._lifted.get(id(value))
        if found is None:
            found = self._lifted[id(value)] = self._array(value, kind, None)
        if kind == "state" and found.array.memory.kind == "constant":
            found.array.memory.kind = "state"
        return found

    def argument(self, value: Any, place: int) -> Any:
        """The stand-in of an argument of the traced function."""
        if isinstance(value, float):
            return TracedNumber(self, self._number(value, None, ("argument", place)))
        return self._array(duplicate(value), "argument", None)

    def whole(self, x: TracedArray) -> Any:
        """What ``x.base`` is: None, or the stand-in of the memory's owner (a parameter's base may be a buffer, no array)."""
        home = owner(x.value)
        return None if home is x.value else self.lift(home, "result")

    # ------------------------------------------------------------------------------------------------------- recording

    def symbol(self, x: Any) -> Any:
        kind = type(x)
        if kind is TracedArray:
            if x.trace is not self:
                raise Untraceable("tt.compile: an array of another trace, which has ended, is used; return it instead")
            return x.array
        if kind is TracedNumber:
            return x.number
        if kind is np.ndarray:
            return self.lift(x).array
        return x

    def _call(self, kind: str, function: Any, args: Any, kwargs: dict[str, Any]) -> Call:
        call = Call(len(self.calls), kind, function, mapped(args, self.symbol), mapped(kwargs, self.symbol))
        call.quiet, call.part, call.label = self._quiet(), self.part, _label()
        return call

    def _quiet(self) -> bool:
        """Whether NumPy's warnings are off here: in the walk, in an optimizer, or because the function says so."""
        now = graph._errors.get()
        if now is graph._IGNORED or now is self._errors:
            return now is graph._IGNORED
        state, before = dict(np.geterr()), self._state
        if any(state[kind] not in ("ignore", before[kind]) for kind in state):
            raise Untraceable(
                "tt.compile: np.errstate in the function asks for errors or warnings; put it around the call"
            )
        return any(state[kind] != before[kind] for kind in state)

    def record(self, kind: str, function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Call a function, write it down, and return what stands for the result."""
        if self.closed:
            raise Untraceable(LEAKED)
        call = self._call(kind, function, args, kwargs)
        waits = self.later(function, args) if kind == "ufunc" and not kwargs else None
        result = self.now(function, args, kwargs, hidden=kind == "opaque") if waits is None else waits
        out = mapped(result, lambda x: self._result(x, call))
        if waits is not None:
            self._waits(out.array.memory)
        call.out = mapped(out, self.symbol)
        self.calls.append(call)
        if kind == "opaque" or (call.kind == "call" and shapes_depend(call)):
            for x in out if isinstance(out, (tuple, list)) else (out,):
                if type(x) is TracedArray:
                    self.assured(alike, (x, x.shape, x.dtype))
        return out

    def _result(self, x: Any, call: Call) -> Any:
        if type(x) is np.ndarray:
            if (found := self._lifted.get(id(x))) is not None:
                return found
            made = self._array(x, "result", call)
            if any(a.memory is made.array.memory for a in call.reads()):
                call.kind = "view"
            return made
        if isinstance(x, np.generic):
            made = self._array(np.asarray(x), "result", call)
            made.array.scalar = True
            return made
        if x is None or (isinstance(x, np.ndarray) and x.dtype == object):
            return x
        raise Untraceable(
            f"tt.compile: {call.name()} gives a {type(x).__name__} that depends on the values of an array, which the next "
            "call will not have; use functions that give arrays (np.where, np.any(x) as an array)"
        )

    def write(self, function: Any, args: Any, kwargs: dict[str, Any], targets: Iterable[Any]) -> None:
        """Call a function that writes into ``targets``, and write it down."""
        into = [t if type(t) is TracedArray else self.lift(t) for t in targets]
        for t in into:
            self._writable(t)
        call = self._call("write", function, args, kwargs)
        self.now(function, args, kwargs, into)
        written(call, into)
        self.calls.append(call)

    def _writable(self, t: TracedArray) -> None:
        memory = t.array.memory
        if memory.kind == "constant":
            raise Untraceable(
                "tt.compile: the function writes into an array that is neither an argument, nor a tensor's, nor made by "
                "NumPy from one of these (np.zeros_like, np.empty_like); pass it as an argument, or hold it in a tensor"
            )
        if memory.kind == "state" and not t.value.flags.writeable:
            raise ValueError("assignment destination is read-only")

    # ----------------------------------------------------------------------------------------------- NumPy's functions

    def ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """``np.add(x, y)``, ``x += y``, ``np.add.reduce(x)``."""
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        if method == "at":
            return self.write(function, inputs, kwargs, [inputs[0]])
        kind = "ufunc" if method == "__call__" else "reduce" if method == "reduce" else "call"
        outs = kwargs.get("out")
        if outs is None or all(o is None for o in outs):
            return self.record(kind, function, inputs, {k: v for k, v in kwargs.items() if k != "out"})
        targets = [o if type(o) is TracedArray else self.lift(o) for o in outs if o is not None]
        for t in targets:
            self._writable(t)
        out = tuple(targets) if len(targets) > 1 else targets[0]
        call = self._call(kind, function, inputs, {**kwargs, "out": out})
        alone = kind == "ufunc" and len(targets) == 1 and len(kwargs) == 1
        if not alone or self.later(function, inputs, targets[0]) is None:
            self.now(function, inputs, {**kwargs, "out": out}, targets)
        written(call, targets)
        self.calls.append(call)
        call.out = mapped(out, self.symbol)
        return out

    def function(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """``np.concatenate([x, y])`` and all functions that are not ufuncs."""
        if function in _LOOKS:
            return function(*mapped(args, value_of), **mapped(kwargs, value_of))
        if function in _WRITES:
            return self.write(function, args, kwargs, [args[0]])
        if function in (np.empty_like, np.zeros_like) and kwargs.get("order") == "C":
            dtype, shape = (*args[1:], kwargs.get("dtype"))[0], kwargs.get("shape", args[0].shape)
            made = np.empty if function is np.empty_like else np.zeros
            return self.record("call", made, (shape, args[0].dtype if dtype is None else np.dtype(dtype)), {})
        if (
            function is np.clip
            and _CLIP is not np.clip
            and not kwargs
            and len(args) == 3
            and args[0].dtype.kind == "f"
            and all(x is not None for x in args)
        ):
            return self.ufunc(_CLIP, "__call__", args, {})
        if function in _AS_METHODS and type(args[0]) is TracedArray:
            return self.method(_AS_METHODS[function], args[0], args[1:], kwargs)
        out = kwargs.get("out")
        if out is not None:
            self.write(function, args, kwargs, [out])
            return out
        return self.record("call", function, args, {k: v for k, v in kwargs.items() if k != "out"})

    def method(self, name: str, x: TracedArray, args: Any, kwargs: dict[str, Any]) -> Any:
        """``x.reshape(2, 3)`` and all other methods of ndarray."""
        if name in _REFUSED_METHODS:
            raise Untraceable(f"tt.compile: ndarray.{name} cannot be traced")
        if name in _REDUCTIONS:
            return self._reduction(name, x, *args, **kwargs)
        function = getattr(np.ndarray, name)
        if name in _WRITING_METHODS:
            return self.write(function, (x, *args), kwargs, [x])
        if kwargs.get("out") is not None:
            self.write(function, (x, *args), kwargs, [kwargs["out"]])
            return kwargs["out"]
        if name == "astype" and kwargs.get("copy") is False and np.dtype(args[0]) == x.dtype:
            return x
        out = self.record("call", function, (x, *args), kwargs)
        if x.array.scalar and type(out) is TracedArray and not out.ndim:  # a number's methods mostly give numbers
            given = getattr(x.value[()], name)(*mapped(args, value_of), **mapped(kwargs, value_of))
            out.array.scalar = isinstance(given, np.generic)
        return out

    def _reduction(self, name: str, x: TracedArray, axis: Any = None, dtype: Any = None, out: Any = None,
                   keepdims: Any = False, **options: Any) -> Any:  # fmt: skip
        if name in ("max", "min") and out is None and dtype is not None:
            out, dtype = dtype, None
        if name in ("max", "min", "any", "all") and type(out) is bool:  # (axis, out, keepdims)
            out, keepdims = None, out
        given = {"axis": axis, "dtype": dtype, "out": None if out is None else (out,), "keepdims": keepdims, **options}
        if name in ("any", "all"):
            given["dtype"] = dtype or np.dtype(bool)
        kept = {
            k: v for k, v in given.items() if k == "axis" or (v is not None and v is not False and v is not np._NoValue)
        }
        return self.ufunc(_REDUCTIONS[name], "reduce", (x,), kept)

    def attribute(self, x: TracedArray, name: str) -> Any:
        """``x.real``, ``x.imag``."""
        return x if name == "real" and x.dtype.kind != "c" else self.record("call", getattr(np, name), (x,), {})

    def assured(self, test: Callable[..., Any], args: Any) -> bool:
        """A question about values: a replay that gets another answer does not go on."""
        call = self._call("check", test, args, {"answer": True})
        call.kwargs["answer"] = answer = bool(self.now(test, args, {}, hidden=True))
        self.calls.append(call)
        return answer

    def refuse(self, why: str) -> None:
        """What a traced function may not do."""
        raise Untraceable(f"tt.compile: {why}")

    def opaque(self, function: Callable[..., Any], args: Any, kind: str = "opaque") -> Any:
        """A function of ours as one call: it asks for values. What it returns is memory of its own."""
        if function not in _apart:
            _apart[function] = _Apart(function)
        return self.record(kind, _apart[function], args, {})


def written(call: Call, targets: list[TracedArray]) -> None:
    """Note that a call writes into these arrays."""
    call.writes = tuple({t.array.memory: None for t in targets})
    for memory in call.writes:
        memory.writes += 1


LEAKED = (
    "tt.compile: a tensor or an array that was made inside a compiled function is used after the call. Only what the function returns, "
    "and what it writes into tensors that were there before, outlives the call."
)


class _Apart:
    """A function whose results share no memory with its arguments: whether they do may depend on values."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", "rule").strip("_<>")

    def __call__(self, *args: Any) -> Any:
        owners = {id(owner(x)) for x in _ndarrays(args)}
        return mapped(
            self.function(*args), lambda x: x.copy("K") if type(x) is np.ndarray and id(owner(x)) in owners else x
        )


_apart: dict[Any, _Apart] = {}


def _ndarrays(tree: Any) -> Iterable[Any]:
    if type(tree) is np.ndarray:
        yield tree
    elif isinstance(tree, (list, tuple)):
        for x in tree:
            yield from _ndarrays(x)


_OURS = __name__.rpartition(".")[0]


def _label() -> str:
    """The name of the function of the library, or of the user, that made this call."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        frame = frame.f_back  # type: ignore[assignment]
    return frame.f_code.co_name.strip("_<>") if frame is not None else ""
