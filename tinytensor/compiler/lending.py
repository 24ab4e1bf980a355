"""Gradients in one array: the plan writes them where they are gathered anyway, and lends its memory to ``p.grad``.

The memory is written again by the next replay. It looks first whether somebody has kept a gradient, or a view of one, by
reference counts; then that memory is given away, and the plan takes new.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.compiler.outs import takes_out
from tinytensor.compiler.program import Array, Call, Memory, arrays
from tinytensor.compiler.runs import Run

__all__ = ["Lending"]


class Lending:
    """Which gradients a plan lends, and where they lie: one array for each dtype.

    lent     (node, array) of the gradients, in the order of the array that they lie in
    gathered results of ``np.concatenate`` that are such an array
    places   memory -> (number of the array that it lies in, bytes from its start)
    sizes    bytes of these arrays
    """

    def __init__(self, grads: list[tuple[Any, Any]], calls: list[Call], kept: Iterable[Array], runs: list[Run]) -> None:
        made = {call.out: call for call in calls if type(call.out) is Array and call.kind != "view" and takes_out(call)}
        count: dict[Memory, int] = {}
        for a in kept:
            count[a.memory] = count.get(a.memory, 0) + 1
        owned = {
            value: node
            for node, value in grads
            if type(value) is Array and value in made and value.memory.kind == "result" and count[value.memory] == 1
            and value.offset == 0 and value.strides == np.empty(value.shape, value.dtype).strides and value.nbytes
        }  # fmt: skip
        self.places: dict[Memory, tuple[int, int]] = {}
        self.sizes: list[int] = []
        self.lent: list[tuple[Any, Array]] = []
        self.gathered: list[Array] = []
        self.calls = list(calls)
        self.in_runs = {call for run in runs for call in run.calls}
        for call in calls:
            if (parts := self._gathers(call, owned, count)) is not None:
                self.calls.remove(call)
                self._scale_at_once(parts, call.out)
        for value in owned:
            if value.memory not in self.places:
                self._place([value], owned)

    def _gathers(self, call: Call, owned: dict[Array, Any], count: dict[Memory, int]) -> list[Array] | None:
        """The gradients that a call puts one after the other, if they can lie so from the start."""
        if call.function is not np.concatenate or call.kwargs.get("axis", 0) is not None or type(call.out) is not Array:
            return None
        parts, out = list(arrays(call.args)), call.out
        alone = out.memory.writes == 0 and out.memory not in count and call.kwargs.get("out") is None
        if not alone or len(set(parts)) < len(parts) or not all(
            a in owned and a.memory not in self.places and a.dtype == out.dtype for a in parts
        ):  # fmt: skip
            return None
        memories = {a.memory for a in parts}
        if any(memories.intersection(later.writes) for later in self.calls[self.calls.index(call) :]):
            return None
        self.places[out.memory] = (len(self.sizes), 0)
        self._place(parts, owned)
        self.gathered.append(out)
        return parts

    def _scale_at_once(self, parts: list[Array], whole: Array) -> None:
        """One call in the place of those that multiply each of these gradients by the same number, as clipping does."""
        memories = {a.memory for a in parts}
        touch = [i for i, call in enumerate(self.calls) if memories.intersection(call.writes)]
        calls = self.calls[touch[0] : touch[-1] + 1] if touch else []
        if len(calls) == len(parts) and self.in_runs.isdisjoint(calls) and _same_scaling(calls, parts):
            first = calls[0]
            made = Call(first.number, "ufunc", first.function, (whole, *first.args[1:]), {"out": whole})
            made.out, made.writes = whole, (whole.memory,)
            made.part, made.quiet, made.label = first.part, first.quiet, first.label
            self.calls[touch[0] : touch[-1] + 1] = [made]

    def _place(self, parts: list[Array], owned: dict[Array, Any]) -> None:
        """One after the other in an array of their own."""
        number = len(self.sizes)
        self.sizes.append(sum(a.nbytes for a in parts))
        at = 0
        for a in parts:
            self.places[a.memory] = (number, at)
            self.lent.append((owned[a], a))
            at += a.nbytes


def _same_scaling(calls: list[Call], parts: list[Array]) -> bool:
    """Whether these calls are one elementwise function, in place, of each part and the same numbers."""
    first, memories = calls[0], {a.memory for a in parts}
    return (
        first.kind == "ufunc"
        and {call.args[0] for call in calls} == set(parts)
        and all((c.function, c.args[1:], c.quiet) == (first.function, first.args[1:], first.quiet) for c in calls)
        and all(c.kwargs == {"out": c.args[0]} for c in calls)
        and all(_one(x) and getattr(x, "memory", None) not in memories for x in first.args[1:])
    )


def _one(x: Any) -> bool:
    return x.nbytes == x.dtype.itemsize if type(x) is Array else type(x) in (int, float)
