"""From a trace to a plan: which calls are needed, in which order, and where their results lie.

What is not needed goes, what is computed twice is computed once, writes to what outlives the call come last, and results get
memory that is reused as soon as nobody looks at it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinytensor.compiler.folding import folded
from tinytensor.compiler.lending import Lending
from tinytensor.compiler.native import Kernel
from tinytensor.compiler.order import ordered
from tinytensor.compiler.outs import ALLOCATE, COPIES, takes_out
from tinytensor.compiler.products import by_dot
from tinytensor.compiler.program import Array, Call, Memory, added, arrays, mapped
from tinytensor.compiler.runs import Run, arranged, find_inside, joined, taken
from tinytensor.compiler.scalars import prepared
from tinytensor.compiler.trace import Trace

__all__ = ["Plan"]


class Plan:
    """The calls of one signature, in the order in which a replay makes them, and where every array lies."""

    def __init__(self, trace: Trace, out: Any, calls: list[Call] | None = None, effects: bool = True) -> None:
        """``calls``: some of the trace's; ``effects``: whether what it does beside them belongs to this plan."""
        self.trace, self.out, self.effects = trace, out, effects
        self.numbers = trace.numbers
        self.decisions = trace.decisions
        self.calls = list(trace.calls if calls is None else calls)
        self.traced = len(self.calls)
        self.grads = _grad_effects(trace) if effects else []
        self.rebound = list(trace.data.values()) if effects else []
        self.cells = list(trace.cell_writes.values()) if effects else []
        self.last = list(trace.last) if effects else []
        self.dynamic = {a.memory for t, _, a in trace.states.values() if id(t) in trace.data}
        self.dynamic |= {a.memory for a in trace.gradients.values()}
        self.calls = folded(self.calls)
        self.folded = self.traced - len(self.calls)
        self._copy_constants()
        self.merged = self._merge()
        self.elided = self._elide()
        self.unneeded = self._drop()
        self.calls = prepared(trace, self.calls)
        self._arrange()
        ours = [(node, g) for node, g in self.grads if id(node) not in trace.gradients]  # of others the old one is read
        self.lending = Lending(ours, self.calls, self.kept(), self.runs)
        self.calls = self.lending.calls
        self._join()
        self._settle()
        by_dot(self.calls)

    # ---------------------------------------------------------------------------------------------------- what is needed

    def kept(self) -> Iterable[Array]:
        """Arrays that outlive the call."""
        yield from arrays(self.out)
        for _, value in [*self.grads, *self.rebound, *[(key, value) for _, key, value in self.cells], *self.last]:
            yield from arrays(value)

    def _drop(self) -> int:
        """Dead code: a call is needed if it draws, writes what outlives the call, or makes or writes what a needed one reads."""
        live = {a.memory for a in self.kept()}
        needed = []
        for call in reversed(self.calls):
            effect = call.kind in ("draw", "check") or any(m.kind != "result" for m in call.writes)
            if effect or any(m in live for m in call.writes) or any(a.memory in live for a in call.results()):
                needed.append(call)
                live.update(a.memory for a in call.reads())
        gone = len(self.calls) - len(needed)
        self.calls = needed[::-1]
        return gone

    def _copy_constants(self) -> None:
        """Constants that the function makes itself are handed out as copies: who gets one may write into it."""
        copies: dict[Array, Array] = {}
        for a in self.kept():
            if a.memory.kind == "constant" and a.memory.fresh and a not in copies:
                order: Any = "C" if a.value is None else "K"
                like = np.empty(a.shape, a.dtype) if a.value is None else a.value
                made = copies[a] = added(self.trace, np.empty_like(like, order=order), "result")
                call = made.call = Call(-1, "call", np.ndarray.copy, (a, order), {})
                call.out, made.name = made, a.name
                self.calls.append(call)
        self._replace(lambda x: copies.get(x, x) if type(x) is Array else x)

    def _merge(self) -> int:
        """Common subexpressions: the same function of the same arrays, none of which was written into in between."""
        versions: dict[Memory, int] = {}
        seen: dict[Any, Call] = {}
        replaced: dict[Array, Array] = {}
        calls = []

        def change(x: Any) -> Any:
            return replaced.get(x, x) if type(x) is Array else x

        for call in self.calls:
            call.args, call.kwargs = mapped(call.args, change), mapped(call.kwargs, change)
            for memory in call.writes:
                versions[memory] = versions.get(memory, 0) + 1
            key = _key(call, versions)
            pure = key is not None and type(call.out) is Array and (call.kind == "view" or call.out.memory.writes == 0)
            if pure and (twin := seen.get(key)) is not None:
                _follow(call.out, twin.out, replaced, self.trace.arrays)
                continue
            if pure:
                seen[key] = call
            calls.append(call)
        gone = len(self.calls) - len(calls)
        self.calls = calls
        self._replace(change)
        return gone

    def _elide(self) -> int:
        """Copies of what nobody looks at afterwards: the copy is the thing itself."""
        last = {a.memory: i for i, call in enumerate(self.calls) for a in [*call.reads(), *call.results()]}
        kept = {a.memory for a in self.kept()}
        ours = set(self.calls)
        same: dict[Array, Array] = {}

        def change(x: Any) -> Any:
            while type(x) is Array and x in same:
                x = same[x]
            return x

        calls: list[Call] = []
        for i, call in enumerate(self.calls):
            source = change(call.args[0]) if call.function in (np.ndarray.copy, np.copy) else None
            if (
                source is None
                or source.call not in ours
                or last[source.memory] != i
                or source.memory in kept
                or not _takes_place(call, source)
            ):
                calls.append(call)
                continue
            gone, stays = call.out.memory, source.memory
            stays.writes += gone.writes
            last[stays] = last[gone]
            if gone in kept:
                kept.add(stays)
            for a in self.trace.arrays:
                if a.memory is gone and a is not call.out:
                    a.memory = stays
            for later in self.calls[i:]:
                later.writes = tuple([stays if m is gone else m for m in later.writes])
            source.name = call.out.name or source.name
            same[call.out] = source
        elided = len(self.calls) - len(calls)
        self.calls = calls
        for call in calls:
            call.args, call.kwargs, call.out = (mapped(x, change) for x in (call.args, call.kwargs, call.out))
        self._replace(change)
        return elided

    def _replace(self, change: Callable[[Any], Any]) -> None:
        self.out = mapped(self.out, change)
        self.grads = [(node, mapped(value, change)) for node, value in self.grads]
        self.rebound = [(t, mapped(value, change)) for t, value in self.rebound]
        self.cells = [(container, key, mapped(value, change)) for container, key, value in self.cells]
        self.last = [(function, mapped(args, change)) for function, args in self.last]

    # ---------------------------------------------------------------------------------------------------------- the order

    def _arrange(self) -> None:
        """Writes to what outlives the call come late; elementwise calls over large arrays are brought together."""
        kept = list(self.kept())
        self.runs: list[Run] = []
        early, late = ordered(self.calls)
        for kind in (Run, Kernel) if self.trace.native else (Run,):
            early, runs = arranged(early, kept, late, kind, self.runs)
            late, more = arranged(late, kept, early, kind, self.runs)
            self.runs += runs + more
        self.calls = early + late

    def _join(self) -> None:
        """Kernels that follow each other, as one: nothing in them raises, so that late calls need not wait."""
        home: dict[Call, Run] = {
            call: run for run in self.runs if type(run) is Kernel for call in [*run.before, *run.calls, *run.views]
        }
        before: Run | None = None
        for call in list(self.calls):
            run = home.get(call)
            if run is not None and before is not None and run is not before:
                joined(before, run)
                home.update(dict.fromkeys([*run.before, *run.calls, *run.views], before))
                self.runs.remove(run)
                run = before
            if run is not None or call.kind != "view":
                before = run
        self.runs = [run for run in self.runs if len(run.calls) > 1]
        kernels: list[Run] = [run for run in self.runs if type(run) is Kernel]
        if kernels:
            find_inside(self.calls, kernels, {a.memory for a in self.kept()})

    # ------------------------------------------------------------------------------------------------------ where it lies

    def _settle(self) -> None:
        """Static memory for results, reused when they are dead; results that are handed out, and of functions that cannot
        write into memory that is there, are made anew in each call.
        """
        lent = self.lending.places
        handed = ({a.memory for a in self.kept()} - set(lent)) | {
            m for run in self.runs if type(run) is Run for m in run.inside
        }
        home = {call: run for run in self.runs for call in [*run.calls, *run.views]}
        end: dict[Run | None, int] = {
            run: i for i, call in enumerate(self.calls) if (run := home.get(call)) is not None
        }
        first: dict[Memory, Call] = {}
        last: dict[Memory, int] = {}
        for i, call in enumerate(self.calls):
            for a in call.results():
                if a.memory.kind == "result" and call.kind != "view":
                    first.setdefault(a.memory, call)
            for a in [*call.reads(), *call.results()]:
                last[a.memory] = end.get(home.get(call), i)
        self.static = {
            m for m, call in first.items()
            if m not in handed and takes_out(call) and type(call.out) is Array and call.out.memory is m and call.out.offset == 0
        }  # fmt: skip
        self.blocks: list[int] = []  # bytes
        self.block_of: dict[Memory, int] = {}
        free: list[int] = []
        ends: dict[int, list[Memory]] = {}
        self.static.update(a.memory for a in self.lending.gathered)
        for m in self.static - set(lent):
            ends.setdefault(last[m], []).append(m)
        for i, call in enumerate(self.calls):
            out, run = call.out if type(call.out) is Array else None, home.get(call)
            dying = ends.get(end.get(run, i), [])
            if out is not None and out.memory in self.static and out.memory not in lent and first[out.memory] is call:
                there = [m for m in dying if m in self.block_of and m is not out.memory]
                twin = taken(run, call, there) if run is not None else _in_place(call, out, there)
                if twin is not None:
                    self.block_of[out.memory] = self.block_of[twin]
                    dying.remove(twin)
                else:
                    self.block_of[out.memory] = self._block(out.nbytes, free)
            if end.get(run, i) == i:
                free.extend(self.block_of[m] for m in dying if m in self.block_of)

    def _block(self, nbytes: int, free: list[int]) -> int:
        fitting = [b for b in free if nbytes <= self.blocks[b] <= max(2 * nbytes, 4096)]
        if fitting:
            best = min(fitting, key=lambda b: self.blocks[b])
            free.remove(best)
            return best
        self.blocks.append(max(nbytes, 1))
        return len(self.blocks) - 1


def _takes_place(copy: Call, source: Array) -> bool:
    """Whether the array that is copied has memory of its own, and lies in it as the copy does."""
    out = copy.out
    return (
        type(out) is Array
        and source.memory.kind == "result"
        and not source.scalar
        and (source.strides, source.offset, out.offset) == (out.strides, 0, 0)
        and source.call is not None
        and source.call.kind not in ("view", "draw")
    )


def _in_place(call: Call, out: Array, dying: list[Memory]) -> Memory | None:
    """The memory of a dying input that an elementwise result can take the place of."""
    if call.kind != "ufunc" or call.function.signature is not None:
        return None
    for a in arrays(call.args):
        fits = a.memory in dying and (a.shape, a.strides, a.offset) == (out.shape, out.strides, 0)
        if (
            fits
            and a.dtype.itemsize == out.dtype.itemsize
            and all(
                b.memory is not a.memory or (b.strides == a.strides and b.offset == 0 and b.shape == a.shape)
                for b in arrays(call.args)
            )
        ):
            return a.memory
    return None


def _grad_effects(trace: Trace) -> list[tuple[Any, Any]]:
    """Gradient cells that hold something else at the end than at the start."""
    found = []
    for key, (node, symbol) in trace.grads.items():
        before = trace.grads_before.get(key, (None, trace))[1]
        if type(symbol) is Array and symbol.value is not None and symbol.value is before:
            continue
        if symbol is before or symbol is trace.gradients.get(key, trace):
            continue
        found.append((node, symbol))
    return found


def _key(call: Call, versions: dict[Memory, int]) -> Any:
    """What makes a call the same as another one; None if it must not be merged."""
    if (
        call.kind in ("draw", "write", "opaque", "check")
        or call.writes
        or call.function in ALLOCATE
        or call.function in COPIES
    ):
        return None
    try:
        key = (call.function, _frozen(call.args, versions), _frozen(call.kwargs, versions), call.quiet)
        hash(key)
    except TypeError:
        return None
    return key


def _frozen(tree: Any, versions: dict[Memory, int]) -> Any:
    if type(tree) is Array:
        return ("array", tree.number, versions.get(tree.memory, 0))
    if isinstance(tree, (list, tuple)):
        return (type(tree), tuple([_frozen(x, versions) for x in tree]))
    if type(tree) is dict:
        return tuple([(k, _frozen(x, versions)) for k, x in tree.items()])
    if type(tree) is slice:
        return ("slice", _frozen(tree.start, versions), _frozen(tree.stop, versions), _frozen(tree.step, versions))
    if isinstance(tree, np.generic):
        return (type(tree), tree.tobytes())
    return (type(tree), repr(tree) if isinstance(tree, (float, complex)) else tree)  # 0.0 and -0.0 are two numbers


def _follow(gone: Array, stays: Array, replaced: dict[Array, Array], everything: list[Array]) -> None:
    """``stays`` in the place of ``gone``, and of views of it."""
    replaced[gone] = stays
    if gone.memory is not stays.memory:
        for a in everything:
            if a.memory is gone.memory and a is not gone:
                a.memory = stays.memory
