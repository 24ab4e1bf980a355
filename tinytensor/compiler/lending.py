"""Gradients in one array: the plan writes them where they are gathered anyway, and lends its memory to ``p.grad``.

The memory is written again by the next replay. It looks first whether somebody has kept a gradient, or a view of one, by
reference counts; then that memory is given away, and the plan takes new.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.compiler.program import Array, Call, Memory, arrays

__all__ = ["Lending"]


class Lending:
    """Which gradients a plan lends, and where they lie: one array for each dtype.

    lent     (node, array) of the gradients, in the order of the array that they lie in
    gathered results of ``np.concatenate`` that are such an array
    places   memory -> (number of the array that it lies in, bytes from its start)
    sizes    bytes of these arrays
    """

    def __init__(self, grads: list[tuple[Any, Any]], calls: list[Call], kept: Iterable[Array], takes_out: Any) -> None:
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
        gone = [call for call in calls if self._gathers(call, owned, count)]
        for value in owned:
            if value.memory not in self.places:
                self._place([value], owned)
        self.calls = [call for call in calls if call not in gone]

    def _gathers(self, call: Call, owned: dict[Array, Any], count: dict[Memory, int]) -> bool:
        """Whether the call puts gradients one after the other, which then lie so from the start."""
        if call.function is not np.concatenate or call.kwargs.get("axis", 0) is not None or type(call.out) is not Array:
            return False
        parts, out = list(arrays(call.args)), call.out
        alone = out.memory.writes == 0 and out.memory not in count and call.kwargs.get("out") is None
        if not alone or len(set(parts)) < len(parts) or not all(
            a in owned and a.memory not in self.places and a.dtype == out.dtype and a.memory.writes == 0 for a in parts
        ):  # fmt: skip
            return False
        self.places[out.memory] = (len(self.sizes), 0)
        self._place(parts, owned)
        self.gathered.append(out)
        return True

    def _place(self, parts: list[Array], owned: dict[Array, Any]) -> None:
        """One after the other in an array of their own."""
        number = len(self.sizes)
        self.sizes.append(sum(a.nbytes for a in parts))
        at = 0
        for a in parts:
            self.places[a.memory] = (number, at)
            self.lent.append((owned[a], a))
            at += a.nbytes
