"""The order of a plan: what outlives the call is written at its end, after everything that can raise."""

from __future__ import annotations

from tinytensor.compiler.program import Array, Call, Memory
from tinytensor.compiler.runs import elementwise

__all__ = ["ordered"]


def ordered(calls: list[Call]) -> tuple[list[Call], list[Call]]:
    """(what comes first, writes to what outlives the call and all that depends on them), each in its order."""
    early: list[Call] = []
    late: list[Call] = []
    touched: set[Memory] = set()  # written, made or read by late calls
    made: set[Memory] = set()  # or a view of it
    for call in calls:
        effect = any(m.kind != "result" for m in call.writes)
        written = {*call.writes, *(a.memory for a in call.results() if call.kind != "view")}
        reads = {a.memory for a in call.reads()}
        if effect or reads & made or written & touched:
            late.append(call)
            touched |= reads | written
            made.update(call.writes, (a.memory for a in call.results()))
        else:
            early.append(call)
    return _sunk(early, late)


def _sunk(early: list[Call], late: list[Call]) -> tuple[list[Call], list[Call]]:
    """What only late calls need, and cannot raise, comes with them: ``lr * grad`` is made beside what it is taken from, block
    by block, and needs no memory of its own.
    """
    wanted = {a for call in late for a in call.reads()}
    needed: set[Array] = set()  # by the calls that stay
    memories: set[Memory] = set()
    changed: set[Memory] = set()
    stay: list[Call] = []
    sunk: list[Call] = []
    for call in reversed(early):
        results, reads, view = {*call.results()}, call.reads(), call.kind == "view"
        seen = results & needed if view else memories.intersection(a.memory for a in results)
        harmless = view or (call.kind == "ufunc" and call.quiet and not call.writes and elementwise(call))
        if harmless and results & wanted and not seen and changed.isdisjoint(a.memory for a in reads):
            sunk.append(call)
            wanted.update(reads)
        else:
            stay.append(call)
            needed.update(reads)
            memories.update(a.memory for a in reads)
            changed.update(call.writes)
    return stay[::-1], [*sunk[::-1], *late]
