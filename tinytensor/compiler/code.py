"""The text of a plan: one line of NumPy for each call. The same lines are run by a replay and read in ``compiled.source()``."""

from __future__ import annotations

import keyword
import operator
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinytensor.compiler.blocks import Blocks
from tinytensor.compiler.kernels import CompiledKernel
from tinytensor.compiler.native import Kernel
from tinytensor.compiler.outs import COPIES
from tinytensor.compiler.plan import Plan
from tinytensor.compiler.products import large
from tinytensor.compiler.program import Array, Call, Number

__all__ = ["Code", "Handed", "Rooted"]

_KEYWORD_OUT = frozenset({np.maximum, np.minimum})  # NumPy wants out= by name there
_SYMBOLS: dict[Any, str] = {
    operator.add: "+", operator.sub: "-", operator.mul: "*", operator.truediv: "/", operator.floordiv: "//", operator.mod: "%",
    operator.pow: "**", operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">=", operator.eq: "==",
    operator.ne: "!=",
}  # fmt: skip


class Handed(NamedTuple):
    """A result that is handed out as a tensor."""

    array: Any


class Rooted(NamedTuple):
    """A result that is handed out as a tensor with a graph."""

    array: Any


class Code:
    """Lines, the names in them, and what the names of things that are made once mean."""

    def __init__(self, plan: Plan, arguments: list[str], given: dict[Array, str] | None = None) -> None:
        """``given``: arrays that are arguments of the replay under another name than their own."""
        self.plan = plan
        self.constants: dict[str, Any] = {}
        self.functions: dict[str, Any] = {}
        self._ids: dict[int, str] = {}
        self.named: dict[Any, str] = {}
        self._taken: set[str] = set(keyword.kwlist) | set(arguments) | {"np"}
        for call in plan.calls:  # first of all the functions get their names
            self.function(call.function)
        self.arguments = arguments
        if given is None:
            first: list[Any] = [a for a in plan.trace.arrays if a.call is None and a.memory.kind == "argument"]
            first += [n for n in plan.numbers if n.function is None and n.inputs[0] == "argument"]
            given = {x: x.name for x in first if x.name in arguments}
        self.named.update(given)
        self.beside_blas = large(plan.calls)
        self.blocks: dict[Call, Any] = {
            run.calls[0]: CompiledKernel(run, self) if isinstance(run, Kernel) else Blocks(run, self)
            for run in plan.runs
        }
        self.body = list(self._lines())

    # ------------------------------------------------------------------------------------------------------- names

    def fresh(self, wanted: str) -> str:
        """A name that nothing has yet."""
        wanted = re.sub(r"\W", "_", wanted).strip("_") or "v"
        wanted = wanted if not wanted[0].isdigit() else f"v{wanted}"
        name, k = wanted, 1
        while name in self._taken:
            k += 1
            name = f"{wanted}_{k}"
        self._taken.add(name)
        return name

    def name(self, thing: Any) -> str:
        """The name of an array or a number."""
        if thing not in self.named:
            self.named[thing] = self.fresh(self._wanted(thing))
        return self.named[thing]

    def _wanted(self, x: Any) -> str:
        if type(x) is Number:
            return x.name or (str(x.inputs[2]) if x.inputs and x.inputs[0] == "entry" else f"n{x.number}")
        if x.name:
            return str(x.name)
        if x.call is None:
            return {"state": "state", "constant": "constant", "argument": "argument"}.get(x.memory.kind, "a")
        prefix = "d_" if x.call.part == "backward" else ""
        return f"{prefix}{x.call.name().replace('.', '_')}"

    def constant(self, value: Any, wanted: str = "constant") -> str:
        """The name of something that is the same in every call."""
        key = id(value)
        if key not in self._ids:
            self._ids[key] = name = self.fresh(wanted)
            self.constants[name] = value
        return self._ids[key]

    def function(self, f: Any) -> str:
        """The name of a function."""
        owner = getattr(f, "__self__", None)
        wanted = f"{owner.__name__}_{f.__name__}" if isinstance(owner, np.ufunc) else getattr(f, "__name__", "function")
        for name, known in self.functions.items():
            if known == f:
                return name
        name = self.fresh(wanted.strip("_<>"))
        self.functions[name] = f
        return name

    def static(self, a: Array) -> bool:
        """Whether the array is there before the call, and the same in each."""
        kind = a.memory.kind
        if kind == "result":
            return a.memory in self.plan.static
        return kind != "argument" and a.memory not in self.plan.dynamic

    # ------------------------------------------------------------------------------------------------------ expressions

    def text(self, x: Any) -> str:
        """An argument, as it stands in a call."""
        kind = type(x)
        if kind is Array or kind is Number:
            return self.name(x)
        if kind is Handed:
            return f"tensor({self.text(x.array)})"
        if kind is Rooted:
            return f"graph_{self.text(x.array)}"
        if kind is tuple:
            return "(" + ", ".join(map(self.text, x)) + ("," if len(x) == 1 else "") + ")"
        if isinstance(x, tuple) and hasattr(x, "_fields"):
            return f"{self.function(kind)}({', '.join(map(self.text, x))})"
        if kind is list:
            return "[" + ", ".join(map(self.text, x)) + "]"
        if kind is dict:
            return "{" + ", ".join(f"{self.text(k)}: {self.text(v)}" for k, v in x.items()) + "}"
        if kind is slice:
            return f"slice({self.text(x.start)}, {self.text(x.stop)}, {self.text(x.step)})"
        if x is None or x is Ellipsis or kind in (bool, int, str) or (kind is float and x - x == 0):
            return "..." if x is Ellipsis else repr(x)
        return self.constant(x)

    def index(self, x: Any) -> str:
        """What stands between brackets."""
        if type(x) is tuple and x:
            return ", ".join(map(self._place, x)) + ("," if len(x) == 1 else "")
        return self._place(x)

    def _place(self, x: Any) -> str:
        if type(x) is not slice:
            return self.text(x)
        start, stop, step = ("" if part is None else self.text(part) for part in (x.start, x.stop, x.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")

    # ------------------------------------------------------------------------------------------------------------ lines

    def _lines(self) -> Iterator[tuple[str, Call | None]]:
        readers: dict[Array, set[Call]] = {}
        for call in self.plan.calls if self.plan.runs else ():
            for a in call.reads():
                readers.setdefault(a, set()).add(call)
        unseen = {call for run in self.plan.runs for call in run.unseen(readers)}
        members = {call for run in self.plan.runs for call in run.calls}
        for call in self.plan.calls:
            if call in members:
                if call in self.blocks:
                    yield from ((line, call) for line in self.blocks[call].before())
                continue
            if call in unseen:
                continue
            if call.kind == "view" and all(self.static(a) for a in call.results()):
                continue
            line = self.line(call)
            if line:
                yield line, call

    def line(self, call: Call) -> str:
        """A call as a line; empty for memory that is only there."""
        f, out = call.function, call.out
        if call.kind == "check":
            wrong = "not " if call.kwargs["answer"] else ""
            reset = "errors_reset(token); " if call.quiet else ""
            return f"if {wrong}{self.function(f)}({', '.join(map(self.text, call.args))}): {reset}return OTHER"
        if f is operator.setitem:
            target, index, value = call.args
            return f"{self.text(target)}[{self.index(index)}] = {self.text(value)}"
        if call.writes:
            explicit = call.kwargs.get("out")
            return self._plain(call) if explicit is None else self._into(call, explicit)
        if type(out) is Array and out.memory in self.plan.static and call.kind != "view":
            return self._made(call, out)
        return self.assignment(call)

    def _targets(self, out: Any) -> str:
        """What results are assigned to."""
        if isinstance(out, (tuple, list)):
            return ", ".join(map(self._targets, out)) + "," * (len(out) == 1)
        return "_" if out is None else self.text(out)

    def assignment(self, call: Call) -> str:
        """A call whose results get names: a view, or memory that NumPy makes."""
        results = self._targets(call.out)
        if call.function is operator.getitem:
            return f"{results} = {self.text(call.args[0])}[{self.index(call.args[1])}]"
        return f"{results} = {self._plain(call)}"

    def _made(self, call: Call, out: Array) -> str:
        f, name = call.function, self.text(out)
        if f in (np.empty, np.empty_like):
            return ""
        if f in (np.zeros, np.zeros_like):
            return f"{name}.fill(0)"
        if f is np.ones_like:
            return f"{name}.fill(1)"
        if f is np.where:
            mask, yes, no = map(self.text, call.args)
            copy = self.function(np.copyto)
            return f"{copy}({name}, {no}); {copy}({name}, {yes}, where={mask})"
        if f is np.full_like:
            return f"{name}[...] = {self.text(call.args[1])}"
        if f in COPIES:
            return f"{self.function(np.copyto)}({name}, {self.text(call.args[0])}" + (
                ", casting='unsafe')" if f is np.ndarray.astype else ")"
            )
        return self._into(call, out)

    def _into(self, call: Call, out: Any) -> str:
        others = {k: v for k, v in call.kwargs.items() if k != "out"}
        if call.function in (np.concatenate, np.stack):
            others.pop("dtype", None)  # it is the array's own, and NumPy takes one of them
        by_place = call.kind == "ufunc" and call.function not in _KEYWORD_OUT
        if (by_place or call.function is np.dot) and not others and type(out) is Array:
            return f"{self.function(call.function)}({', '.join(map(self.text, (*call.args, out)))})"
        if call.kind == "reduce" and len(call.args) == 1 and set(others) <= {"axis", "keepdims"} and type(out) is Array:
            axis, keepdims = others.get("axis", 0), others.get("keepdims", False)
            last = f", {self.text(keepdims)}" if keepdims else ""
            return f"{self.function(call.function)}({self.text(call.args[0])}, {self.text(axis)}, None, {self.text(out)}{last})"
        return self._plain(call, {**others, "out": out})

    def _plain(self, call: Call, kwargs: dict[str, Any] | None = None) -> str:
        f, args = call.function, list(call.args)
        given = [f"{k}={self.text(v)}" for k, v in (call.kwargs if kwargs is None else kwargs).items()]
        if getattr(f, "__objclass__", None) is np.ndarray and type(args[0]) is Array:
            return f"{self.text(args[0])}.{f.__name__}({', '.join([*map(self.text, args[1:]), *given])})"
        owner = getattr(f, "__self__", None)
        if isinstance(owner, np.random.Generator):
            return f"{self.generator(owner)}.{f.__name__}({', '.join([*map(self.text, args), *given])})"
        return f"{self.function(f)}({', '.join([*map(self.text, args), *given])})"

    def generator(self, generator: Any) -> str:
        """The name of a random generator."""
        return self.constant(generator, "rng")

    # --------------------------------------------------------------------------------------------------------- numbers

    def number_lines(self, wanted: set[Number], checked: bool = False) -> Iterator[str]:
        """The Python numbers of a call, from the dicts they are in and from each other."""
        for n in self.plan.numbers:
            if n not in wanted:
                continue
            if n.function is None:
                kind, *where = n.inputs
                if kind == "entry":
                    container, key, *part = where
                    at = "".join(f"[{p}]" for p in part)
                    yield f"{self.name(n)} = {self.constant(container, 'options')}[{key!r}]{at}"
                    if checked and type(n.value) is float:  # a float32 would make other numbers of it
                        yield f"if {self.name(n)}.__class__ is not float: return OTHER"
                continue
            texts = [self.text(x) for x in n.inputs]
            symbol = _SYMBOLS.get(n.function)
            if symbol and len(texts) == 2:
                yield f"{self.name(n)} = {texts[0]} {symbol} {texts[1]}"
            else:
                yield f"{self.name(n)} = {self.function(n.function)}({', '.join(texts)})"
