"""The text of a run: a loop over blocks of its arrays, with the calls that it makes on each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.compiler.program import Array, Call, Memory, Number
from tinytensor.compiler.runs import Run, role
from tinytensor.compiler.scalars import SPREAD, spreads
from tinytensor.compiler.threads import Divided, Scratch, Spare, threads

if TYPE_CHECKING:
    from tinytensor.compiler.code import Code

__all__ = ["Blocks"]

_KEYWORD_OUT = frozenset({np.maximum, np.minimum})


class Blocks:
    """A run as text.

    lines    (call, text) within the loop
    outer    arrays from outside that the loop looks at: name -> (how, array, its name in a block)
    fresh    results that are handed out
    """

    def __init__(self, run: Run, code: Code) -> None:
        self.run, self.code = run, code
        self.name = code.fresh("loop")
        self.start, self.stop = code.fresh("start"), code.fresh("stop")
        first = {c.out.memory: c for c in run.calls[::-1] if not c.writes}
        self.makers = {m: c.out for m, c in first.items()}
        self.fresh = [a for m, a in self.makers.items() if m not in run.inside and not code.static(a)]
        self.buffers: list[tuple[str, Any]] = []
        self.place: dict[Memory, int] = {}
        self.outer: dict[str, tuple[str, Array, str]] = {}
        self.whole: dict[Array, str] = {}  # numbers that fill an array of one block
        self.known: dict[Any, str] = {}
        self._plan_buffers()
        self.lines = [(call, text) for call in run.calls for text in self._call(call)]
        each = sum(np.dtype(d).itemsize for _, d in self.buffers)
        each += sum(a.dtype.itemsize for how, a, _ in self.outer.values() if how == "flat")
        self.step = run.step(each)

    def _plan_buffers(self) -> None:
        """A buffer of one block for what is made in the run; it is taken again when that is not needed any more."""
        run, free = self.run, dict[Any, list[int]]()
        last: dict[Memory, int] = {}
        for i, call in enumerate(run.calls):
            for a in [*call.reads(), call.out]:
                last[a.memory] = i
        for i, call in enumerate(run.calls):
            m, dtype = call.out.memory, call.out.dtype
            ending = [
                x for x in {a.memory: None for a in call.reads()} if last[x] == i and x in self.place and x is not m
            ]
            early = [x for x in ending if call.kind == "ufunc" or _last_of_where(call, x)]
            for x in early:
                free.setdefault(self._dtype(x), []).append(self.place[x])
            if m in run.inside and m not in self.place:
                if free.get(dtype):
                    self.place[m] = free[dtype].pop()
                else:
                    self.place[m] = len(self.buffers)
                    self.buffers.append((self.code.fresh("block"), dtype))
            for x in [x for x in ending if x not in early] + ([m] if last[m] == i and m in run.inside else []):
                free.setdefault(self._dtype(x), []).append(self.place[x])

    def _dtype(self, m: Memory) -> Any:
        return self.buffers[self.place[m]][1]

    # ------------------------------------------------------------------------------------------------------------- names

    def _text(self, x: Any, call: Call) -> str:
        if type(x) is not Array:
            return self.code.text(x)
        if call.function in SPREAD and x.memory.kind == "constant" and not x.shape and spreads(x.value[()]):
            if x not in self.whole:
                self.whole[x] = self.code.fresh(f"{self.code.name(x)}_block")
            return f"{self.whole[x]}_part"
        how = ("flat", 0) if x is call.out else role(x, call.out)
        assert how is not None
        if x.memory in self.run.inside:
            return self._inside(x)
        maker = self.makers.get(x.memory)
        if maker is not None and maker in self.fresh and x is not maker:  # a view of a result that is not there yet
            return f"{self._outer(maker, 'flat')}.view(np.{x.dtype.name})"
        return self._outer(x, how[0])

    def _inside(self, x: Array) -> str:
        maker = self.makers[x.memory]
        name = self.code.name(maker)
        return name if x.dtype == maker.dtype else f"{name}.view(np.{x.dtype.name})"

    def _outer(self, x: Array, how: str) -> str:
        if (x, how) not in self.known:
            name = self.code.name(x)
            shaped = name if self._as(how, x) == "" else self.code.fresh(f"{name}_{how}")
            part = self.code.fresh(f"{name}_part") if how in ("flat", "spread", "column") else shaped
            self.outer[shaped] = (how, x, part)
            self.known[x, how] = part
        return self.known[x, how]

    def _as(self, how: str, x: Array) -> str:
        """What makes of an array the one that the loop looks at."""
        run = self.run
        whole = (run.size,) if run.width == 1 else (run.rows, run.width)
        if how == "one":
            return "" if len(x.shape) <= 1 else ".reshape(1)"
        wanted = {"flat": whole, "spread": whole, "row": (run.width,), "column": (run.rows, 1)}[how]
        return "" if x.shape == wanted else f".reshape({', '.join(map(str, wanted))})"

    # -------------------------------------------------------------------------------------------------------------- text

    def _call(self, call: Call) -> Iterator[str]:
        code, f = self.code, call.function
        out, block = self._text(call.out, call), self._block(call)
        if call.kind == "ufunc":
            args = [self._text(x, call) for x in call.args]
            args.append(f"out={block or out}" if f in _KEYWORD_OUT else block or out)
            yield (f"{out} = " if block else "") + f"{code.function(f)}({', '.join(args)})"
            return
        if block:
            yield f"{out} = {block}"
        copy = code.function(np.copyto)
        if f is np.where:
            chosen, x, y = (self._text(a, call) for a in call.args)
            if getattr(call.args[2], "memory", None) is None or self.place.get(call.args[2].memory) != self.place.get(
                call.out.memory, -1
            ):
                yield f"{copy}({out}, {y})"
            yield f"{copy}({out}, {x}, where={chosen})"
        else:
            unsafe = ", casting='unsafe'" if f is np.ndarray.astype else ""
            yield f"{copy}({out}, {self._text(call.args[0], call)}{unsafe})"

    def _block(self, call: Call) -> str:
        """Where a call makes something that exists in the loop alone."""
        m = call.out.memory
        return (
            f"{self.buffers[self.place[m]][0]}_part"
            if m in self.run.inside and self.makers[m] is call.out and not call.writes
            else ""
        )

    def parts(self) -> Iterator[str]:
        """The lines that take a block of each array."""
        a, b, rows = self.start, self.stop, self.run.rows
        yield f"{b} = min({a} + {self.step}, {rows})"
        for name, (_, _, part) in self.outer.items():
            if part != name:
                yield f"{part} = {name}[{a}:{b}]"
        for name in [*(name for name, _ in self.buffers), *self.whole.values()]:
            yield f"{name}_part = {name}[:{b} - {a}]"

    def shapes(self, dynamic: bool) -> Iterator[tuple[str, str]]:
        """(name, text) of arrays that are looked at in another shape."""
        for name, (how, x, _) in self.outer.items():
            if self.code.static(x) is not dynamic:
                yield name, self.code.name(x) + self._as(how, x)

    def given(self) -> list[Number]:
        """Numbers that the calls take."""
        return list(dict.fromkeys(x for c in self.run.calls for x in c.args if type(x) is Number))

    def before(self) -> Iterator[str]:
        """The lines of a replay: memory for what is handed out, and the run."""
        for a in self.fresh:
            yield f"{self.code.name(a)} = {self.code.name(a)}_spare()"
        args = [text for _, text in self.shapes(dynamic=True)] + [self.code.name(n) for n in self.given()]
        yield f"{self.name}({', '.join(args)})"

    def definition(self) -> str:
        """The loop as a function, of which each thread calls one."""
        dynamic = [name for name, _ in self.shapes(dynamic=True)] + [self.code.name(n) for n in self.given()]
        lines = [f"def {self.name}_blocks({', '.join(['blocks', *(b for b, _ in self.buffers), *dynamic])}):"]
        lines.append(f"    for {self.start} in blocks:")
        lines += [f"        {line}" for line in self.parts()]
        first = quiet = self.run.calls[0].quiet
        for call, text in self.lines:
            if call.quiet != quiet:
                quiet = call.quiet
                lines.append("        " + ("token = errors_set(IGNORED)" if quiet else "errors_reset(token)"))
            lines.append(f"        {text}")
        if quiet != first:
            lines.append("        errors_reset(token)")
        return "\n".join(lines) + "\n\n"

    def shown(self) -> Iterator[tuple[str, Call | None]]:
        """The loop for readers: (line, the call that it makes)."""
        code, run = self.code, self.run
        for a in self.fresh:
            yield f"{code.name(a)} = np.empty({a.shape}, np.{a.dtype.name})", None
        for x, name in self.whole.items():
            yield f"{name} = np.full({self.shape()}, {code.name(x)})", None
        for name, text in [*self.shapes(dynamic=False), *self.shapes(dynamic=True)]:
            if name != text:
                yield f"{name} = {text}", None
        yield (
            f"for {self.start} in range(0, {run.rows}, {self.step}):  # what one call leaves in the cache, the next one reads",
            None,
        )
        yield from ((f"    {line}", None) for line in self.parts())
        first = quiet = run.calls[0].quiet
        for call, text in self.lines:
            if call.quiet != quiet:
                quiet = call.quiet
                if quiet:
                    yield "    with np.errstate(all='ignore'):", None
            yield "    " * (1 + (quiet != first)) + text, call

    def about(self) -> str:
        """What an account of the plan says of it."""
        run, threads = self.run, self.threads()
        return (
            f"{len(run.calls)} calls over {run.size:,} elements, {self.step * run.width:,} at a time, in {threads} "
            f"thread{'s' * (threads != 1)}; {len(run.inside)} results exist for a block alone"
        )

    def threads(self) -> int:
        """How many threads share the work."""
        blocks, effort = -(-self.run.rows // self.step), self.run.size * len(self.run.calls)
        return threads(blocks, effort, self.code.beside_blas)

    # ------------------------------------------------------------------------------------------------------------ memory

    @property
    def widest(self) -> int:
        """Bytes of the largest buffer."""
        elements = math.prod(self.shape())
        return max((elements * np.dtype(d).itemsize for _, d in self.buffers), default=0)

    def bound(self, values: dict[Array, Any], space: dict[str, Any], scratch: Scratch) -> dict[str, Any]:
        """What the names mean, for arrays in these places."""
        found: dict[str, Any] = {"np": np}
        for name, (how, x, _) in self.outer.items():
            if self.code.static(x):
                found[name] = eval(f"x{self._as(how, x)}", {"x": values[x]})  # our own text
        found.update({name: np.full(self.shape(), x.value) for x, name in self.whole.items()})
        for a in self.fresh:
            found[f"{self.code.name(a)}_spare"] = Spare(a.shape, a.dtype)
        found[self.name] = Divided(
            space[f"{self.name}_blocks"], range(0, self.run.rows, self.step),
            [(self.shape(), dtype) for _, dtype in self.buffers], self.threads(), scratch,
        )  # fmt: skip
        return found

    def shape(self) -> tuple[int, ...]:
        """That of a block."""
        return (self.step,) if self.run.width == 1 else (self.step, self.run.width)


def _last_of_where(call: Call, m: Memory) -> bool:
    """Whether the memory is that of the third argument alone, which the result can take the place of."""
    return call.function is np.where and [a.memory for a in call.args if type(a) is Array and a.memory is m] == [
        call.args[2].memory if type(call.args[2]) is Array else None
    ]
