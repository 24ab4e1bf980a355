"""The text of a kernel, for Numba to compile: loops over what NumPy's calls compute."""

from __future__ import annotations

import math
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.compiler.native import FORMS, PRODUCTS, Kernel, factors, form, masked, needed, place, reduced, root
from tinytensor.compiler.program import Array, Call, Memory, Number, arrays
from tinytensor.compiler.threads import Spare
from tinytensor.graph import owner

if TYPE_CHECKING:
    from tinytensor.compiler.code import Code

__all__ = ["CompiledKernel"]

_START = {np.maximum: "-np.inf", np.minimum: "np.inf", np.add: "0.0"}


class CompiledKernel:
    """A kernel as text, and as a function.

    places   where memory of the kernel's own begins, in bytes
    given    what the function takes: name -> how it is made of an array
    """

    def __init__(self, run: Kernel, code: Code) -> None:
        self.run, self.code = run, code
        self.name = code.fresh("kernel")
        self.buffers: list[Any] = []  # of blocks: none
        self.seconds = 0.0
        first = {c.out.memory: c for c in run.calls[::-1] if not c.writes}
        ours = run.inside | {m for m, c in first.items() if c.out.scalar and not code.static(c.out)}
        self.fresh = [
            c.out for m, c in first.items() if m not in ours and not code.static(c.out) and m.kind == "result"
        ]
        self.scalars = [c.out for m, c in first.items() if m in ours and m not in run.inside]
        self.given: dict[str, Any] = {}
        self.low: dict[Memory, Array] = {}
        for call in run.calls:
            for a in [call.out, *arrays(call.args)]:
                if a.memory not in self.low or place(a) < place(self.low[a.memory]):
                    self.low[a.memory] = a
        self.high: dict[Memory, int] = {}
        for call in run.calls:
            for a in [call.out, *arrays(call.args)]:
                self.high[a.memory] = max(self.high.get(a.memory, 0), _end(a))
        self.places: dict[Memory, int] = {}
        self.bytes = 0
        for m in ours:
            self.places[m] = self.bytes
            self.bytes += -(-self.high[m] // 64) * 64
        self.lines = list(self._lines())

    # ------------------------------------------------------------------------------------------------------------ places

    def place(self, a: Array, dtype: Any = None) -> tuple[str, int, tuple[int, ...]]:
        """(name, first element, steps) of an array among what the function takes."""
        dtype = a.dtype if dtype is None else dtype
        size, m = dtype.itemsize, a.memory
        steps = tuple([s // size for s in a.strides])
        if m in self.places:
            name = f"own_{dtype.name}"
            self.given[name] = ("own", dtype)
            return name, (self.places[m] + a.offset) // size, steps
        whole = root(a)
        if self.code.static(a):
            name = f"{self.code.name(self.low[m])}_{dtype.name}"
            self.given[name] = ("static", dtype, m)
            return name, (place(a) - place(self.low[m])) // size, steps
        name = f"{self.code.name(whole)}_{dtype.name}"
        self.given[name] = ("dynamic", dtype, whole)
        return name, (a.offset - whole.offset) // size, steps

    def _at(self, a: Array, shape: tuple[int, ...], axes: list[tuple[int, ...]], dtype: Any = None) -> str:
        """An element: ``axes`` are the dimensions of ``shape`` that each loop runs through, the last of which by steps."""
        name, start, steps = self.place(a, dtype)
        full = (0,) * (len(shape) - len(steps)) + tuple(
            [0 if n == 1 else s for n, s in zip(a.shape, steps, strict=True)]
        )
        terms = [
            f"{full[group[-1]]} * i{k}" if full[group[-1]] != 1 else f"i{k}"
            for k, group in enumerate(axes)
            if full[group[-1]]
        ]
        return f"{name}[{' + '.join(([str(start)] if start or not terms else []) + terms)}]"

    # ------------------------------------------------------------------------------------------------------------- loops

    def _lines(self) -> Iterator[str]:
        for group in _together(self.run.calls):
            call = group[0]
            if call.kind == "reduce":
                yield from self._sum(call)
            elif call.function in PRODUCTS:
                yield from self._product(call)
            else:
                yield from self._loop(group)

    def _loop(self, group: list[Call]) -> Iterator[str]:
        shape = group[0].out.shape
        everything = [a for c in group for a in [c.out, *arrays(c.args)]]
        axes = _axes(shape, everything)
        depth = "    " * len(axes)
        yield from _nest(shape, axes)
        known: dict[Any, str] = {}
        later = {a.memory for c in self.run.calls if c not in group for a in c.reads()}
        last = {c.out: c for c in group}
        for k, call in enumerate(group):
            dtype = root(call.args[0]).dtype if masked(call) else call.out.dtype
            others = {a.dtype for c in group for a in arrays(c.args) if a.memory is call.out.memory} - {dtype}
            kept = call.out.memory not in self.run.inside or call.out.memory in later or bool(others)
            yield f"{depth}v{k} = {self._value(call, known, shape, axes, dtype)}"
            for key in [key for key in known if key[0] is call.out.memory]:
                del known[key]
            known[_key(call.out, dtype)] = f"v{k}"
            if kept and (others or last[call.out] is call):
                yield f"{depth}{self._at(call.out, shape, axes, dtype)} = v{k}"

    def _value(self, call: Call, known: dict[Any, str], shape: Any, axes: Any, dtype: Any) -> str:
        def element(x: Any, wanted: Any) -> str:
            if type(x) is not Array:
                text = f"{self.code.name(x)}_number" if type(x) is Number else repr(x)
                if type(x) is Number:
                    self.given[text] = ("number", x)
                return text if wanted is None else f"{wanted.name}({text})"
            kind = dtype if x.dtype.kind == "i" and masked(call) else x.dtype
            text = known.get(_key(x, kind)) or self._at(x, shape, axes, kind)
            return text if wanted is None or wanted == kind else f"{_name(wanted)}({text})"

        if call.function is np.full_like:
            return f"{_name(dtype)}({element(call.args[1], None)})"
        found = form(call)
        assert found is not None
        text, loop = found
        args = [element(x, loop if call.function is not np.where or k else None) for k, x in enumerate(call.args)
                if not isinstance(x, (np.dtype, type))]  # fmt: skip
        return f"{_name(dtype)}({text.format(*args, zero=f'{_name(dtype)}(0)')})"

    def _sum(self, call: Call) -> Iterator[str]:
        (x,), out, axes = call.args, call.out, set(reduced(call) or ())
        owner = call.function.__self__
        name, start, steps = self.place(x)
        to, first, outs = self.place(out)
        kept = [k for k in range(len(x.shape)) if k not in axes]
        outs = (
            tuple([s for s, k in zip(outs, range(len(x.shape)), strict=True) if k in kept])
            if len(outs) == len(x.shape)
            else outs
        )
        source = _sum_of(start, [(steps[k], f"i{k}") for k in range(len(x.shape))])
        target = _sum_of(first, [(s, f"i{k}") for s, k in zip(outs, kept, strict=True)])
        combined = FORMS[owner]
        nearest = min((k for k, n in enumerate(x.shape) if n > 1), key=lambda k: steps[k], default=None)
        if nearest in kept:  # row by row into the result, as NumPy does; otherwise with the digits of a Python float
            yield from _for([(k, x.shape[k]) for k in kept])
            yield f"{'    ' * len(kept)}{to}[{target}] = {_START[owner]}"
            order = sorted(axes) + kept
            yield from _for([(k, x.shape[k]) for k in order])
            yield f"{'    ' * len(order)}{to}[{target}] = {combined.format(f'{to}[{target}]', f'{name}[{source}]')}"
            return
        yield from _for([(k, x.shape[k]) for k in kept])
        depth = "    " * len(kept)
        yield f"{depth}total = {_START[owner]}"
        inner = [(k, x.shape[k]) for k in sorted(axes)]
        yield from (depth + line for line in _for(inner))
        yield f"{depth}{'    ' * len(inner)}total = {combined.format('total', f'{name}[{source}]')}"
        yield f"{depth}{to}[{target}] = total"

    def _product(self, call: Call) -> Iterator[str]:
        found = factors(call)
        assert found is not None
        parts = []
        for a, (rows, columns, turned) in zip([*call.args, call.out], found, strict=True):
            name, start, _ = self.place(a)
            shape = f"({columns}, {rows})).T" if turned else f"({rows}, {columns}))"
            parts.append(f"{name}[{start}:{start + rows * columns}].reshape({shape}")
        yield f"np.dot({', '.join(parts)})"

    # -------------------------------------------------------------------------------------------------------------- text

    def before(self) -> Iterator[str]:
        """The lines of a replay: memory for what is handed out, the kernel, numbers that it made."""
        for a in self.fresh:
            yield f"{self.code.name(a)} = {self.code.name(a)}_spare()"
        given = ", ".join(self._argument(name, how) for name, how in self.given.items())
        yield f"try: {self.name}({given})\nexcept TypeError: {self.name}(*{self.name}_writable({given}))"
        for a in self.scalars:
            yield f"{self.code.name(a)} = {self.code.name(a)}_slot[()]"

    def _argument(self, name: str, how: Any) -> str:
        if how[0] != "dynamic":
            return f"{self.name}_{name}" if how[0] != "number" else self.code.name(how[1])
        _, dtype, whole = how
        text = self.code.name(whole) + (".reshape(-1)" if len(whole.shape) != 1 else "")
        return text if dtype == whole.dtype else f"{text}.view('{dtype.str}')"

    def definition(self) -> str:
        """The text that Numba compiles."""
        lines = [f"def {self.name}_loops({', '.join(self.given)}):", *(f"    {line}" for line in self.lines)]
        return "\n".join(lines) + "\n\n"

    def shown(self) -> Iterator[tuple[str, Call | None]]:
        """The calls of NumPy that it is made of."""
        code, run = self.code, self.run
        for call in sorted([*run.before, *run.calls, *run.views], key=lambda call: call.number):
            if call.kind != "view" or not all(code.static(a) for a in call.results()):
                line = code.line(call)
                if line:
                    yield line, call

    def about(self) -> str:
        """What an account of the plan says of it."""
        return f"{len(self.run.calls)} calls as one function, by Numba in {self.seconds:.1f} s"

    # ------------------------------------------------------------------------------------------------------------ memory

    widest = 0  # buffers of blocks: it has none

    def bound(self, values: dict[Array, Any], space: dict[str, Any], scratch: Any) -> dict[str, Any]:
        """What the names mean, for arrays in these places."""
        own = np.zeros(max(self.bytes, 8), np.uint8)
        found: dict[str, Any] = {}
        for name, (kind, what, *more) in self.given.items():
            if kind == "own":
                found[f"{self.name}_{name}"] = own.view(what)
            elif kind == "static":
                low = self.low[more[0]]
                count = (self.high[more[0]] - place(low)) // what.itemsize
                start = _first(values[low])
                found[f"{self.name}_{name}"] = np.lib.stride_tricks.as_strided(start, (count,), (what.itemsize,)).view(
                    what
                )
        found[f"{self.name}_writable"] = self._writable
        for a in self.fresh:
            found[f"{self.code.name(a)}_spare"] = Spare(a.shape, a.dtype)
        for a in self.scalars:
            found[f"{self.code.name(a)}_slot"] = np.ndarray((), a.dtype, own, self.places[a.memory])
        if not hasattr(self, "function"):
            self.function = self._function(space, found)
        found[self.name] = self.function
        return found

    def _writable(self, *given: Any) -> list[Any]:
        """Copies of what may not be written, for a function that is compiled for arrays that may."""
        outs = {c.out.memory for c in self.run.calls}
        for array, how in zip(given, self.given.values(), strict=True):
            memory = how[2] if how[0] == "static" else how[2].memory if how[0] == "dynamic" else None
            if memory in outs and not array.flags.writeable:
                raise ValueError("output array is read-only")
        if all(x.flags.writeable for x in given if isinstance(x, np.ndarray)):
            raise TypeError(f"expected arrays of {', '.join(str(how[1]) for how in self.given.values())}, got {given}")
        return [x.copy() if isinstance(x, np.ndarray) and not x.flags.writeable else x for x in given]

    def _function(self, space: dict[str, Any], found: dict[str, Any]) -> Any:
        numba = needed()
        start = perf_counter()
        space = {name: getattr(np, name) for name in ("float32", "float64", "int32", "int64")} | {
            "np": np,
            "inf": np.inf,
            "nan": np.nan,
        }
        exec(compile(self.definition(), "<kernel>", "exec"), space)  # our own text
        types = [self._type(numba, how, found.get(f"{self.name}_{name}")) for name, how in self.given.items()]
        function = numba.njit([tuple(types)], error_model="numpy", fastmath=False, cache=False)(
            space[f"{self.name}_loops"]
        )
        self.seconds = perf_counter() - start
        return function

    def _type(self, numba: Any, how: Any, array: Any) -> Any:
        if how[0] == "number":
            return numba.typeof(how[1].value)
        fixed = how[0] == "static" and how[2].kind == "constant" and not array.flags.writeable
        return numba.types.Array(numba.from_dtype(how[1]), 1, "C", readonly=fixed)


def _name(dtype: Any) -> str:
    return str(dtype.name)


def _first(array: Any) -> Any:
    """The first element, as a view that holds the memory, not the array: who else holds that is counted."""
    whole = owner(array)
    if not whole.flags.c_contiguous:
        return array
    start = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    return np.ndarray((1,), array.dtype, whole, start)


def _end(a: Array) -> int:
    """Where its last element ends."""
    return int(place(a) + sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True)) + a.dtype.itemsize)


def _key(a: Array, dtype: Any) -> Any:
    return a.memory, place(a), tuple([s for n, s in zip(a.shape, a.strides, strict=True) if n != 1]), dtype


def _together(calls: list[Call]) -> Iterator[list[Call]]:
    """Calls that one loop makes: elementwise ones of the same shape that look at what it writes at the same place alone."""
    group: list[Call] = []
    for call in calls:
        if group and (call.kind == "reduce" or call.function in PRODUCTS or not _joins(group, call)):
            yield group
            group = []
        group.append(call)
        if call.kind == "reduce" or call.function in PRODUCTS:
            yield group
            group = []
    if group:
        yield group


def _joins(group: list[Call], call: Call) -> bool:
    if call.out.shape != group[0].out.shape:
        return False
    kinds: dict[Memory, set[Any]] = {}
    for a in [a for c in [*group, call] for a in [c.out, *arrays(c.args)]]:
        kinds.setdefault(a.memory, set()).add((place(a), a.strides, a.shape == call.out.shape))
    return all(len(kinds[c.out.memory]) == 1 for c in [*group, call])


def _axes(shape: tuple[int, ...], everything: list[Array]) -> list[tuple[int, ...]]:
    """The dimensions of a shape, with those taken as one that all arrays go through in even steps."""
    groups: list[list[int]] = []
    for k, n in enumerate(shape):
        if n == 1:
            continue
        if groups and all(_step(a, shape, groups[-1][-1]) == n * _step(a, shape, k) for a in everything):
            groups[-1].append(k)
        else:
            groups.append([k])
    return [tuple(group) for group in groups]


def _step(a: Array, shape: tuple[int, ...], k: int) -> int:
    at = k - (len(shape) - len(a.shape))
    return 0 if at < 0 or a.shape[at] == 1 else a.strides[at]


def _nest(shape: tuple[int, ...], axes: list[tuple[int, ...]]) -> Iterator[str]:
    yield from _for([(k, math.prod(shape[d] for d in group)) for k, group in enumerate(axes)])


def _for(loops: list[tuple[int, int]]) -> Iterator[str]:
    for depth, (k, n) in enumerate(loops):
        yield f"{'    ' * depth}for i{k} in range({n}):"


def _sum_of(start: int, terms: list[tuple[int, str]]) -> str:
    texts = [name if step == 1 else f"{step} * {name}" for step, name in terms if step]
    return " + ".join(([str(start)] if start or not texts else []) + texts)
