"""Runs: elementwise calls over the same large arrays, made block by block, so that the next one finds them in the cache.

What exists only between two calls of a run needs memory for one block. Calls that do not depend on what stands between them
are brought together; draws, checks and writes to what outlives the call keep their order, and sums are never part of a run:
their rounding depends on how much of the array they see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tinytensor.compiler.program import Array, Call, Memory, Number, arrays

__all__ = ["LARGE", "Run", "arranged", "contiguous", "elementwise", "find_inside", "joined", "role", "taken"]

#: Bytes of an array that is worth it: less stays in the cache anyway.
LARGE = 1 << 18
#: Bytes that the arrays of a block take together. Larger blocks cost fewer calls: measured, the shared cache is near enough.
CACHE = 1 << 22
_LEAST, _MOST = 16384, 65536  # elements of a block


class Run:
    """Elementwise calls over arrays of ``size`` elements, in rows of ``width``.

    calls   in order
    before  views that come before them
    views   of their results, which are made after them
    access  how each memory is looked at, and whether it is written
    inside  memory that nobody looks at before or after
    """

    least = 2  # calls

    def __init__(self, size: int) -> None:
        self.size, self.width = size, 1
        self.calls: list[Call] = []
        self.before: list[Call] = []
        self.views: list[Call] = []
        self.access: dict[Memory, tuple[set[Any], bool]] = {}
        self.inside: set[Memory] = set()

    @staticmethod
    def begins(call: Call) -> bool:
        """Whether a call can be part of a run."""
        return (
            elementwise(call) and not call.out.scalar and max(a.nbytes for a in [call.out, *arrays(call.args)]) > LARGE
        )

    @classmethod
    def of(cls, call: Call) -> Run:
        """An empty run for a first call."""
        return cls(math.prod(call.out.shape))

    def takes(self, call: Call) -> bool:
        """Add the call, if it can be made block by block together with the others."""
        parts = list(_parts(call, self.size))
        if not parts or any(how is None for _, how, _ in parts) or (self.calls and self.calls[0].quiet > call.quiet):
            return False
        widths = {how[1] for _, how, _ in parts if how is not None and how[1]} | ({self.width} - {1})
        read = {a.memory for a, how, written in parts if how is not None and how[0] == "flat" and not written}
        if len(widths) > 1 or (self.calls and read and not read & self.access.keys()):
            return False
        access = {m: (set(kinds), written) for m, (kinds, written) in self.access.items()}
        for a, how, written in parts:
            kinds, before = access.get(a.memory, (set(), False))
            access[a.memory] = (kinds | {(how, a.offset, a.dtype.itemsize)}, before or written)
        if not _safe(access):
            return False
        self.calls.append(call)
        self.access, self.width = access, max(widths, default=1)
        return True

    def unseen(self, readers: dict[Array, set[Call]]) -> list[Call]:
        """Views that nobody needs but the run, which makes its own."""
        members = {*self.before, *self.calls, *self.views}
        return [
            c for c in self.views
            if c.results()[0].memory in self.inside and all(readers.get(a, members) <= members for a in c.results())
        ]  # fmt: skip

    @property
    def rows(self) -> int:
        """How many rows the arrays have."""
        return self.size // self.width

    def step(self, nbytes: int) -> int:
        """Rows of a block, if those of all arrays take ``nbytes`` for one element."""
        elements = min(max(CACHE // max(nbytes, 1) // 1024 * 1024, _LEAST), _MOST)
        return max(1, min(elements // self.width, self.rows))


def taken(run: Run, call: Call, dying: Iterable[Memory]) -> Memory | None:
    """The memory of what the run does not need after this call, in whose place the result can come."""
    out = call.out
    if call.kind != "ufunc" or type(run) is not Run:
        return None
    at = run.calls.index(call)
    later = {a.memory for c in run.calls[at + 1 :] for a in [*c.reads(), c.out]}
    for m in dying:
        kinds, _ = run.access.get(m, (set(), False))
        if kinds == {(("flat", 0), 0, out.dtype.itemsize)} and m not in later and m is not out.memory:
            return m
    return None


def _safe(access: dict[Memory, tuple[set[Any], bool]]) -> bool:
    """Whether no block reads or writes what another one writes."""
    outer = any(written and m.kind != "result" for m, (_, written) in access.items())
    for m, (kinds, written) in access.items():
        if written and (len(kinds) > 1 or m.kind == "argument" or next(iter(kinds))[0][0] != "flat"):
            return False
        if outer and m.kind == "argument":  # it may be the memory of a tensor
            return False
    return True


def elementwise(call: Call) -> bool:
    """Whether each element of the result comes from those at its place."""
    f = call.function
    if type(call.out) is not Array or not all(map(_plain, call.args)):
        return False
    if call.kind == "ufunc":
        return f.signature is None and f.nout == 1 and call.kwargs.keys() <= {"out"}
    if call.kind != "call" or call.writes:
        return False
    if f is np.where:
        return (
            len(call.args) == 3 and not call.kwargs and getattr(getattr(call.args[0], "dtype", None), "kind", "") == "b"
        )
    if f is np.ndarray.astype:
        return len(call.args) == 2 and call.kwargs.keys() <= {"copy"}
    return f in (np.ndarray.copy, np.copy) and len(call.args) == 1 and not call.kwargs


def _plain(x: Any) -> bool:
    return isinstance(x, (Array, Number, bool, int, float, complex, np.generic, np.dtype, type))


def _parts(call: Call, size: int) -> Iterator[tuple[Array, Any, bool]]:
    """(array, how the result's elements look at it, whether it is written) for all arrays of a call."""
    out = call.out
    if math.prod(out.shape) == size and contiguous(out):
        yield out, ("flat", 0), True
        for a in arrays(call.args):
            yield a, role(a, out), False


def contiguous(a: Array) -> bool:
    """Whether it lies row by row without gaps."""
    expected = a.dtype.itemsize
    for length, stride in zip(a.shape[::-1], a.strides[::-1], strict=True):
        if length != 1 and stride != expected:
            return False
        expected *= length
    return True


def role(a: Array, out: Array) -> tuple[str, int] | None:
    """How a result looks at an array: element by element, all at the same one, at a row again and again, at a column; and
    the width of the rows, if that matters.
    """
    if math.prod(a.shape) == 1:
        return "one", 0
    if a.shape == out.shape and not any(a.strides):
        return "spread", 0
    if not contiguous(a):
        return None
    if a.shape == out.shape:
        return "flat", 0
    inner = a.shape
    while inner and inner[0] == 1:
        inner = inner[1:]
    if inner == out.shape[len(out.shape) - len(inner) :]:
        return "row", math.prod(inner)
    outer = a.shape
    while outer and outer[-1] == 1:
        outer = outer[:-1]
    if len(a.shape) == len(out.shape) and outer == out.shape[: len(outer)]:
        return "column", math.prod(out.shape[len(outer) :])
    return None


# ---------------------------------------------------------------------------------------------------------- finding them


def arranged(
    calls: list[Call], kept: Iterable[Array], others: list[Call], kind: type[Run], before: Iterable[Run]
) -> tuple[list[Call], list[Run]]:
    """The calls, with those of each run together, and the runs; ``others`` come before or after all of them. Calls of the
    runs that were found ``before`` stay where they are.
    """
    fixed = {call for run in before for call in [*run.before, *run.calls, *run.views]}
    starts = [call not in fixed and kind.begins(call) for call in calls]
    if sum(starts) < kind.least:
        return calls, []
    needs = _needs(calls)
    free = [starts[i] or (call.kind == "view" and call not in fixed) for i, call in enumerate(calls)]
    outside = {a.memory for a in kept} | {a.memory for c in others for a in [*c.reads(), *c.results()]}
    readers = _readers(calls)
    done: set[int] = set()
    order: list[Call] = []
    runs: list[Run] = []
    for i, call in enumerate(calls):
        if i in done:
            continue
        members, run = _grown(kind.of(call), calls, i, needs, done, free) if starts[i] else ({i}, None)
        if run is not None and kind is Run:
            members, run = _shed(run, calls, members, i, readers, outside)
        done |= members
        if run is None:
            order.append(call)
        else:
            order += run.before + run.calls + run.views
            runs.append(run)
    find_inside(order, runs, outside)
    return order, runs


def _grown(
    run: Run, calls: list[Call], i: int, needs: list[set[int]], done: set[int], free: list[bool]
) -> tuple[set[int], Run | None]:
    """The run that begins with a call: every later one that is free and needs nothing that comes in between."""
    members, there = {i}, done | {i}
    if run.takes(calls[i]):
        for j in range(i + 1, len(calls)):
            if not free[j] or j in done or not needs[j] <= there:
                continue
            if calls[j].kind == "view":
                late = any(k in members and calls[k] not in run.before for k in needs[j])
                (run.views if late else run.before).append(calls[j])
            elif not run.takes(calls[j]):
                continue
            members.add(j)
            there.add(j)
    return (members, run) if len(run.calls) >= run.least else ({i}, None)


def _shed(
    run: Run, calls: list[Call], members: set[int], i: int, readers: dict[Memory, set[int]], outside: set[Memory]
) -> tuple[set[int], Run | None]:
    """A run without calls of another part that came early for nothing: their results would wait in memory for their readers,
    while what they are made of is there then. Masks, which are small, may wait.
    """
    shed = {
        j for j in members
        if calls[j].kind != "view" and calls[j].part != calls[i].part and calls[j].out.dtype.kind != "b"
        and not calls[j].writes and calls[j].out.memory not in outside
    }  # fmt: skip
    made = {calls[j].out.memory: j for j in members if calls[j].kind != "view"}
    before: set[int] = set()
    while shed != before:
        before = set(shed)
        for j in before:
            there = all(
                a.memory.kind != "result"
                or made.get(a.memory) in shed
                or any(calls[k].part == calls[j].part for k in readers[a.memory] - members)
                for a in arrays(calls[j].args)
            )
            if not there or (readers.get(calls[j].out.memory, set()) & members) - shed:
                shed.discard(j)
    if not shed:
        return members, run
    again = type(run)(run.size)
    again.before, again.views = run.before, run.views
    for j in sorted(members - shed):
        if calls[j].kind != "view":
            again.takes(calls[j])
    return (members - shed, again) if len(again.calls) >= run.least else ({i}, None)


def _readers(calls: list[Call]) -> dict[Memory, set[int]]:
    """For each memory, the calls that read it."""
    found: dict[Memory, set[int]] = {}
    for i, call in enumerate(calls):
        for a in call.reads():
            found.setdefault(a.memory, set()).add(i)
    return found


def joined(first: Run, second: Run) -> None:
    """Make the calls of one run after those of another that it follows."""
    first.calls += second.calls
    first.views += second.before + second.views


def _needs(calls: list[Call]) -> list[set[int]]:
    """For each call, those that must come before it."""
    needs: list[set[int]] = []
    maker: dict[Array, int] = {}
    writer: dict[Memory, int] = {}
    readers: dict[Memory, set[int]] = {}
    effect: int | None = None
    for i, call in enumerate(calls):
        found = {maker[a] for a in call.reads() if a in maker}
        for a in call.results():
            maker.setdefault(a, i)
        needs.append(found)
        if call.kind == "view":
            continue
        reads = {a.memory for a in call.reads()}
        writes = {*call.writes, *(a.memory for a in call.results())}
        found.update(writer[m] for m in reads | writes if m in writer)
        for m in writes:
            found |= readers.pop(m, set())
            writer[m] = i
        for m in reads - writes:
            readers.setdefault(m, set()).add(i)
        if call.kind in ("draw", "check") or any(m.kind != "result" for m in call.writes):
            if effect is not None:
                found.add(effect)
            effect = i
        found.discard(i)
    return needs


def find_inside(calls: list[Call], runs: list[Run], kept: set[Memory]) -> None:
    """Memory that is made in a run, and looked at in it alone; ``kept``: that others look at."""
    home = {call: run for run in runs for call in [*run.calls, *run.views]}
    users: dict[Memory, set[Run | None]] = {}
    for call in calls:
        for a in [*call.reads(), *call.results()]:
            users.setdefault(a.memory, set()).add(home.get(call))
    for run in runs:
        for call in run.calls:
            m = call.out.memory
            if m.kind == "result" and m not in kept and users[m] == {run} and call.out.offset == 0 and not call.writes:
                run.inside.add(m)
