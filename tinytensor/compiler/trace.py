"""A trace: the NumPy calls of one run of a function, written down in the order in which they are made.

Our primitives, their rules, the walk and the optimizers are NumPy code, so that one mechanism sees all of them: the arrays
they get are stand-ins. What a tensor holds is handed out as a stand-in too: while a trace is open, ``TensorBase._data``,
``Node.grad`` and ``Generator.numpy`` are properties that ask it. Nothing that was there before is changed for good: what the
run writes is taken back at its end, and a replay of the plan then does it.
"""

from __future__ import annotations

import operator
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinytensor import graph, hooks
from tinytensor.compiler.optimizing import Live, step
from tinytensor.compiler.program import Array, Call, Memory, Number, mapped
from tinytensor.compiler.shaped import alike, shapes_depend
from tinytensor.compiler.stand_ins import TracedArray, TracedNumber, Untraceable
from tinytensor.creation import Generator
from tinytensor.deferred import use_batching
from tinytensor.graph import Node, joined, owner, settled
from tinytensor.nn.module import Module
from tinytensor.optim.optimizer import Optimizer
from tinytensor.primitive import Op, TensorBase, _general, _variadic

__all__ = ["Trace", "layout", "same", "tracing"]

_tracer = graph._tracer
tracing = graph.tracing

#: Functions that look at shapes and dtypes alone.
_LOOKS = frozenset({
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj, np.may_share_memory,
    np.shares_memory, np.common_type, np.min_scalar_type,
})  # fmt: skip
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


class Trace:
    """One open run: ``with Trace() as trace``, and then what it wrote down."""

    native = False  # whether its plans are for a compiler

    def __init__(self) -> None:
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
        self._known: dict[int, tuple[Any, Memory]] = {}  # id of an owner of memory -> (how to reach it, memory)
        self._lifted: dict[int, TracedArray] = {}  # id of an array from outside -> its stand-in
        self._born: set[int] = set()
        self._undo: dict[int, tuple[Any, Any]] = {}
        self.nodes: dict[int, tuple[Any, Any]] = {}

    # ------------------------------------------------------------------------------------------------------ open, close

    def __enter__(self) -> Trace:
        _patch(1)
        self._token = _tracer.set(self)
        return self

    def __exit__(self, *error: Any) -> None:
        self.closed = True
        _tracer.reset(self._token)
        _patch(-1)
        for whole, old in self._undo.values():
            whole[...] = old
        for generator, _, state in self.generators.values():
            generator.bit_generator.state = state
        if error[0] is not None:
            self.forget()
            for thing in (*self.arrays, *self.memories):  # in cycles with the calls
                thing.let_go()
        for t, node in self.nodes.values():
            if t._node is not node:
                t._node = node
                if error[0] is None:
                    raise Untraceable(
                        "tt.compile: the function changes whether a tensor from outside requires grad, or rebinds it by a "
                        "recorded write; do that before the call, or assign to a name of the function's own"
                    )

    def forget(self) -> None:
        """Let go of the stand-ins, which hold the trace and the values of this run."""
        for held in (self._lifted, self._known, self._born, self._undo, self.data, self.grads, self.cells):
            held.clear()  # type: ignore[attr-defined]
        for array in self.gradients.values():
            array.memory.let_go()

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
        return self._array(_duplicate(value), "argument", None)

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
            raise Untraceable(_LEAKED)
        call = self._call(kind, function, args, kwargs)
        token = _tracer.set(None) if kind == "opaque" else None  # what it calls is not part of the program
        try:
            result = function(*mapped(args, _value), **mapped(kwargs, _value))
        finally:
            if token is not None:
                _tracer.reset(token)
        out = mapped(result, lambda x: self._result(x, call))
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
        written = [t if type(t) is TracedArray else self.lift(t) for t in targets]
        for t in written:
            self._writable(t)
        call = self._call("write", function, args, kwargs)
        function(*mapped(args, _value), **mapped(kwargs, _value))
        self._wrote(call, written)

    def _writable(self, t: TracedArray) -> None:
        memory = t.array.memory
        if memory.kind == "constant":
            raise Untraceable(
                "tt.compile: the function writes into an array that is neither an argument, nor a tensor's, nor made by "
                "NumPy from one of these (np.zeros_like, np.empty_like); pass it as an argument, or hold it in a tensor"
            )
        if memory.kind == "state" and memory.number not in self._undo:
            whole = memory.whole
            if not t.value.flags.writeable:
                raise ValueError("assignment destination is read-only")
            self._undo[memory.number] = (whole, whole.copy(order="K"))

    def _wrote(self, call: Call, written: list[TracedArray]) -> None:
        call.writes = tuple({t.array.memory: None for t in written})
        for memory in call.writes:
            memory.writes += 1
        self.calls.append(call)

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
        function(*mapped(inputs, _value), **mapped({**kwargs, "out": out}, _value))
        self._wrote(call, targets)
        call.out = mapped(out, self.symbol)
        return out

    def function(self, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """``np.concatenate([x, y])`` and all functions that are not ufuncs."""
        if function in _LOOKS:
            return function(*mapped(args, _value), **mapped(kwargs, _value))
        if function in _WRITES:
            return self.write(function, args, kwargs, [args[0]])
        if function in (np.empty_like, np.zeros_like) and kwargs.get("order") == "C":
            dtype, shape = (*args[1:], kwargs.get("dtype"))[0], kwargs.get("shape", args[0].shape)
            made = np.empty if function is np.empty_like else np.zeros
            return self.record("call", made, (shape, args[0].dtype if dtype is None else np.dtype(dtype)), {})
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
        return self.record("call", function, (x, *args), kwargs)

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
        token = _tracer.set(None)
        try:
            answer = bool(test(*mapped(args, _value)))
        finally:
            _tracer.reset(token)
        call.kwargs["answer"] = answer
        self.calls.append(call)
        return answer

    def opaque(self, function: Callable[..., Any], args: Any, kind: str = "opaque") -> Any:
        """A function of ours as one call: it asks for values. What it returns is memory of its own."""
        if function not in _apart:
            _apart[function] = _Apart(function)
        return self.record(kind, _apart[function], args, {})

    # --------------------------------------------------------------------------------------------------------- numbers

    def _number(self, value: Any, function: Any, inputs: tuple[Any, ...]) -> Number:
        number = Number(len(self.numbers), value, function, inputs)
        self.numbers.append(number)
        return number

    def arithmetic(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """An operator of Python on numbers."""
        value = function(*[x.value if type(x) is TracedNumber else x for x in args])
        return TracedNumber(self, self._number(value, function, tuple(map(self.symbol, args))))

    def decided(self, number: Number, how: Callable[[Any], Any]) -> Any:
        """What the program asked of a number: the plan holds while the answer is the same."""
        answer = how(number.value)
        self.decisions.append((number, how, answer))
        return answer

    def entry(self, container: Any, key: Any) -> Any:
        """``container[key]``: a number, or a tuple of them, which the next call will read again; an array that must stay the
        same; anything else is a condition of the plan.
        """
        at = (id(container), key)
        if id(container) in self.scheduled:
            raise Untraceable(
                f"tt.compile: options of the optimizer are asked for after {type(self.scheduled[id(container)]).__name__}.step(), "
                "which happens at the end of the call; compile a function of one step, or step the scheduler outside of it"
            )
        if at not in self.cells:
            value = container[key]
            if type(value) is np.ndarray:
                self.entries[at] = (container, key, value)
                made: Any = self.lift(value, "state")
                made.array.name = made.array.name or str(key)
            elif type(value) in (tuple, list):
                made = type(value)([self._entry(v, container, key, i) for i, v in enumerate(value)])
            else:
                made = self._entry(value, container, key)
            self.cells[at] = (container, made)
        return self.cells[at][1]

    def _entry(self, value: Any, *where: Any) -> Any:
        number = self._number(value, None, ("entry", *where))
        if type(value) in (int, float):
            return TracedNumber(self, number)
        self.decisions.append((number, same, value))
        return value

    def equal(self, a: Any, b: Any) -> None:
        """The plan holds while two numbers are the same."""
        self.decisions.append((a.number, same, b.number))

    def guard(self, thing: Any, attribute: str, value: Any) -> None:
        """The plan holds while ``thing.attribute`` is ``value``."""
        self.guards[id(thing), attribute] = (thing, attribute, value)

    def guard_members(self, container: Any) -> None:
        """The plan holds while a list, or a dict, has the members that it has."""
        self.members[id(container)] = (container, [*(container.values() if type(container) is dict else container)])

    def made(self, t: Any) -> bool:
        """Whether a tensor was made in this run."""
        return id(t) in self._born

    def stored(self, t: Any) -> Any:
        """The array of a tensor from outside."""
        return _slot(_DATA, t)

    def holds(self, t: Any, array: Any) -> bool:
        """Whether a tensor from outside holds this array."""
        return array is not None and _slot(_DATA, t) is array

    def covering(self, flat: Any, tensors: list[Any]) -> TracedArray:
        """The stand-in of an array that holds the memory of these tensors."""
        made = self.lift(flat, "state")
        made.array.name = made.array.name or "parameters"
        for t in tensors:
            self.covered[t._data.array] = made.array
            inner = t._data.array.memory
            if inner is not made.array.memory:
                for a in self.arrays:
                    if a.memory is inner:
                        a.memory = made.array.memory
                made.array.memory.writes += inner.writes
                for call in self.calls:
                    call.writes = tuple([made.array.memory if m is inner else m for m in call.writes])
                self._known[id(owner(t._data.value))] = (owner(t._data.value), made.array.memory)
                self._undo.pop(inner.number, None)
        return made

    def in_place(self, function: Any, targets: list[Any], args: Any) -> Any:
        """A function of ours that writes into ``targets`` and returns a number, as one call."""
        for t in targets:
            self._writable(t)
        out = self.opaque(function, (targets, *args))
        call = self.calls.pop()
        self._wrote(call, targets)
        return out

    def step(self, optimizer: Any, closure: Any) -> Any:
        """``optimizer.step(closure)``."""
        return step(self, optimizer, closure)

    def afterwards(self, function: Any, args: Any) -> None:
        """Call this with these arguments after each replay, not now."""
        self.last.append((function, mapped(args, self.symbol)))

    def schedule(self, scheduler: Any, function: Any, args: Any) -> None:
        """``scheduler.step(*args)``: after each replay. The rates that it sets are those of the next call."""
        if scheduler._is_initial:
            raise Untraceable("tt.compile: a scheduler is made inside the function; make it before the call")
        self.scheduled.update({id(group): scheduler for group in vars(scheduler.optimizer)["param_groups"]})
        self.afterwards(function, mapped(args, lambda x: x._data if isinstance(x, TensorBase) else x))

    def rates(self, scheduler: Any) -> Any:
        """``scheduler.get_last_lr()``."""
        for group in vars(scheduler.optimizer)["param_groups"]:
            if id(group) in self.scheduled:
                self.entry(group, "lr")
        return self.entry(vars(scheduler), "_last_lr")

    def live(self, container: dict[str, Any]) -> Any:
        """A dict as a program sees it: its numbers are read anew by each replay, its arrays must stay the same."""
        return Live(self, container)

    def assign(self, container: Any, key: Any, value: Any) -> None:
        """``container[key] = value`` at the end of the call."""
        self.cells[id(container), key] = (container, value)
        self.cell_writes[id(container), key] = (container, key, self.symbol(value))

    # ---------------------------------------------------------------------------------------------------- what tensors hold

    def data_of(self, t: Any, stored: Any) -> Any:
        """``t._data``."""
        if type(stored) is not np.ndarray:
            if type(stored) is TracedArray and stored.trace is not self:
                raise Untraceable(_LEAKED)
            return stored
        key = id(t)
        if key in self.data:
            return self.data[key][1]
        if key in self._born:
            return self.lift(stored)
        if key not in self.states:
            self.nodes[key] = (t, t._node)
            made = self.lift(stored, "state")
            self.states[key] = (t, stored, made.array)
            return made
        return self._lifted[id(stored)]

    def set_data(self, t: Any, value: Any) -> None:
        """``t._data = value``."""
        old = _slot(_DATA, t)
        if old is None:
            self._born.add(id(t))
        if old is None or id(t) in self._born or type(old) is not np.ndarray:
            _DATA.__set__(t, value)
        else:
            self.data_of(t, old)
            self.data[id(t)] = (t, value if type(value) is TracedArray else self.lift(value))

    def grad_of(self, node: Node, stored: Any) -> Any:
        """``node.grad``."""
        key = id(node)
        if key in self.grads:
            return self.grads[key][1]
        if key in self._born or type(stored) is TracedArray:
            return stored
        self.grads_before[key] = (node, stored)
        value: Any = stored
        if layout(stored) is not None and id(owner(stored)) not in self._known:  # it may be another one at each call
            value = self._array(_duplicate(stored), "state", None)
            value.array.value = None
            self.gradients[key] = value.array
        elif type(stored) is np.ndarray:
            value = self.lift(stored, "state")
        self.grads[key] = (node, value)
        return value

    def set_grad(self, node: Node, value: Any) -> None:
        """``node.grad = value``."""
        missing = object()
        if id(node) in self._born or _slot(_GRAD, node, missing) is missing:
            self._born.add(id(node))
            _GRAD.__set__(node, value)
        else:
            self.grads[id(node)] = (node, value)

    def generator_of(self, holder: Any, stored: Any) -> Any:
        """``generator.numpy``."""
        return _Draws(self, holder, stored)

    # -------------------------------------------------------------------------------------- the walk

    def carry(
        self, order: Any, cotangent: Any, needed: Any, create_graph: bool, retain_graph: bool, hooked: Any
    ) -> Any:
        """The walk's loop, as :func:`tinytensor.graph.carry` makes it, where a rule that asks for values is one call."""
        before, self.part = self.part, "backward"
        try:
            return self._carry(order, cotangent, needed, create_graph, retain_graph, hooked)
        finally:
            self.part = before

    def _carry(
        self, order: Any, cotangent: Any, needed: Any, create_graph: bool, retain_graph: bool, hooked: Any
    ) -> Any:
        grads: dict[Node, Any] = {order[0]: cotangent}
        kept: dict[Node, Any] = {}
        owned: set[Node] = set()
        for node in order:
            g = grads.pop(node, None)
            if g is None:
                continue
            if hooked and id(node) in hooked:
                g = hooks.call(node, g)
            if node.grad is not False:
                kept[node] = g
            op: Any = node.op
            saved = node.saved
            if saved is None:
                raise graph._freed(op)
            if op.part:
                graph._collect_part(grads, node, g)
                continue
            if graph._writes:
                graph._check_overwritten(node, op)
            saved = op.relink(node) if create_graph else saved
            joint = self._rule(op.joint, g, saved, 0) if op.joint is not None else None
            for k, parent in enumerate(node.parents):
                if parent is None or (needed is not None and parent not in needed):
                    continue
                into = None if op.into is None or create_graph or hasattr(g, "_inner") else op.into[k]
                if into is not None:
                    self._into(into, g, saved, parent, grads, owned)
                    continue
                new = joint[k] if joint is not None else self._rule(op.pulls[k], g, saved, k)
                new = self.lift(new) if type(new) is np.ndarray else new
                if new.shape != parent.shape or new.dtype != parent.dtype:
                    new = settled(new, parent, op, k, create_graph)
                old = grads.get(parent)
                if old is None:
                    grads[parent] = new
                elif parent in owned:
                    old += new
                    grads[parent] = old
                else:
                    grads[parent] = joined(old, new)
                    if not create_graph:
                        owned.add(parent)
            if not retain_graph:
                node.saved = None
        return grads | kept

    def _rule(self, rule: Any, g: Any, saved: Any, k: int) -> Any:
        at = self._mark()
        try:
            return rule(g, saved, k)
        except (Untraceable, ValueError) as error:
            _if_asked(error)
        self._back(at)
        return self.opaque(rule, (g, list(saved), k))

    def _into(self, into: Any, g: Any, saved: Any, parent: Node, grads: Any, owned: set[Node]) -> None:
        old = grads.get(parent)
        if parent not in owned:
            if old is None:
                old = self.record("call", np.zeros, (parent.shape, parent.dtype), {})
            else:
                old = old.copy()
            grads[parent] = old
            owned.add(parent)
        at = self._mark()
        try:
            into(g, saved, old)
        except (Untraceable, ValueError) as error:
            _if_asked(error)
            self._back(at)
            self.write(into, (g, list(saved), old), {}, [old])

    def _mark(self) -> tuple[int, int]:
        return len(self.calls), len(self.decisions)

    def _back(self, mark: tuple[int, int]) -> None:
        for call in self.calls[mark[0] :]:
            for memory in call.writes:
                memory.writes -= 1
        del self.calls[mark[0] :], self.decisions[mark[1] :]


def same(value: Any) -> Any:
    return value


def _if_asked(error: BaseException) -> None:
    """Raise the error again, unless it comes of a value that was asked for: NumPy says so in its own words at times."""
    if not isinstance(error, Untraceable) and not isinstance(error.__cause__, Untraceable):
        raise error


_LEAKED = (
    "tt.compile: a tensor or an array that was made inside a compiled function is used after the call. Only what the function returns, "
    "and what it writes into tensors that were there before, outlives the call."
)


def layout(array: Any) -> Any:
    """What a gradient must share with the one that it stands in for; None if it is not one in memory of its own."""
    if type(array) is not np.ndarray or not array.flags.writeable:
        return None
    base = array.base
    lent = type(base) is np.ndarray and base.dtype == np.uint8 and base.base is None and array.dtype.kind in "fc"
    return (array.shape, array.dtype, array.strides) if base is None or lent else None


def _duplicate(array: Any) -> Any:
    """A copy with the same strides."""
    low, high = np.lib.array_utils.byte_bounds(array)
    start = array.__array_interface__["data"][0] - low
    made: Any = np.ndarray(array.shape, array.dtype, np.empty(max(high - low, 1), np.uint8), start, array.strides)
    made[...] = array
    return made


def _value(x: Any) -> Any:
    """The values that a stand-in has in this run."""
    return x.value if type(x) is TracedArray or type(x) is TracedNumber else x


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


class _Draws:
    """A random generator whose draws are written down."""

    __slots__ = ("generator", "holder", "trace")

    def __init__(self, trace: Trace, holder: Any, generator: Any) -> None:
        self.trace, self.holder, self.generator = trace, holder, generator

    def __getattr__(self, name: str) -> Any:
        if name == "bit_generator":
            raise Untraceable("tt.compile: the state of a random generator is not part of a compiled function")
        trace, generator = self.trace, self.generator
        trace.generators.setdefault(id(generator), (generator, self.holder, generator.bit_generator.state))

        def draw(*args: Any, **kwargs: Any) -> Any:
            function = getattr(generator, name)
            if kwargs.get("out") is not None:
                return trace.write(function, args, kwargs, [kwargs["out"]])
            return trace.record("draw", function, args, kwargs)

        return draw


# -------------------------------------------------------------------------------------------- what is seen of tensors

_DATA: Any = TensorBase.__dict__["_data"]
_GRAD: Any = Node.__dict__["grad"]
_NUMPY: Any = Generator.__dict__["numpy"]
_TRAINING: Any = Module.__dict__["training"]


def _slot(descriptor: Any, thing: Any, default: Any = None) -> Any:
    try:
        return descriptor.__get__(thing)
    except AttributeError:
        return default


def _get_data(t: Any) -> Any:
    trace, stored = _tracer.get(), _DATA.__get__(t)
    return stored if trace is None else trace.data_of(t, stored)


def _set_data(t: Any, value: Any) -> None:
    trace = _tracer.get()
    if trace is None:
        _DATA.__set__(t, value)
    else:
        trace.set_data(t, value)


def _get_grad(node: Any) -> Any:
    trace, stored = _tracer.get(), _GRAD.__get__(node)
    return stored if trace is None else trace.grad_of(node, stored)


def _set_grad(node: Any, value: Any) -> None:
    trace = _tracer.get()
    if trace is None:
        _GRAD.__set__(node, value)
    else:
        trace.set_grad(node, value)


def _get_training(module: Any) -> Any:
    trace, value = _tracer.get(), vars(module).get("training", _TRAINING)
    if trace is not None:
        trace.guard(module, "training", value)
    return value


def _set_training(module: Any, value: Any) -> None:
    vars(module)["training"] = value


def _get_numpy(holder: Any) -> Any:
    trace, stored = _tracer.get(), _NUMPY.__get__(holder)
    return stored if trace is None else trace.generator_of(holder, stored)


def _get_attribute(module: Any, name: str) -> Any:
    trace = _tracer.get()
    if trace is not None and name[:2] != "__":
        own = object.__getattribute__(module, "__dict__")
        if name in own and name != "training":
            trace.attributes[id(own), name] = (own, name)
            if type(own[name]) in (list, dict):  # of layers, which are replaced without assigning the attribute
                trace.guard_members(own[name])
    return object.__getattribute__(module, name)


def _get_groups(optimizer: Any) -> Any:
    trace, stored = _tracer.get(), vars(optimizer)["param_groups"]
    return stored if trace is None else [Live(trace, group) for group in stored]


def _set_groups(optimizer: Any, value: Any) -> None:
    vars(optimizer)["param_groups"] = value


_open = 0
_lock = threading.Lock()


def _patch(change: int) -> None:
    """While any trace is open, in any thread, what tensors hold is asked of the trace of the thread that asks."""
    global _open
    with _lock:
        _open += change
        if _open == 1 and change == 1:
            TensorBase._data = property(_get_data, _set_data)  # type: ignore[misc, assignment]
            Node.grad = property(_get_grad, _set_grad)  # type: ignore[misc, assignment]
            Generator.numpy = property(_get_numpy, _NUMPY.__set__)  # type: ignore[misc, assignment]
            Module.training = property(_get_training, _set_training)  # type: ignore[misc, assignment]
            Module.__getattribute__ = _get_attribute  # type: ignore[method-assign]
            Optimizer.param_groups = property(_get_groups, _set_groups)  # type: ignore[misc, assignment]
        elif _open == 0:
            TensorBase._data, Node.grad, Generator.numpy = _DATA, _GRAD, _NUMPY  # type: ignore[misc]
            Module.training = _TRAINING
            del Optimizer.param_groups, Module.__getattribute__  # type: ignore[misc]


# --------------------------------------------------------------------------------- a primitive that asks for values

_whole_ops: dict[str, Callable[..., Any]] = {}


def _as_one_call(op: Any, apply: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """A primitive whose forward function asks for values: recorded as one call of it."""
    trace = _tracer.get()
    if trace is None or any(hasattr(x, "_inner") for x in args):
        return NotImplemented
    if not isinstance(op, Op):
        error = sys.exception() if sys.version_info >= (3, 11) else None
        raise error if error is not None else Untraceable("tt.compile: this function asks for the value of an array")
    if not any(isinstance(x, TensorBase) for x in args):
        return trace.opaque(op.forward, args)
    if op.key not in _whole_ops:

        def whole(*values: Any, forward: Any = op.forward) -> Any:
            current = _tracer.get()
            assert current is not None
            return current.opaque(forward, values)

        _whole_ops[op.key] = _variadic(op, whole) if op.variadic else _general(op, whole)
    return _whole_ops[op.key](*args)


use_batching(_as_one_call)
del operator
