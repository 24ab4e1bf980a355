"""Parameters updated together: small ones live in one array, so that a formula costs as many calls as for one of them.

A parameter moves into the common array only while nobody else holds its memory, and looks like an array of its own there:
no other array has the same base, so writes are noticed for each parameter by itself. Whatever is done to a parameter is
seen by identity at the next step: a new ``p.data`` is copied in; one without a gradient, frozen or held by somebody is
left out; for a later one the array is made anew.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np

__all__ = ["FEWEST", "MOST", "Small", "Together"]

#: Elements up to which a parameter's own calls cost more than one more pass over its gradient; for SGD, which makes few
#: passes, an eighth of it.
MOST = 1 << 13
#: And in a compiled step: of a larger one a call more is nothing, and a second copy of its gradient much.
COMPILED = 1 << 18
#: Calls, about one for a parameter and two for each of its buffers, from which gathering costs less.
FEWEST = 12
#: Elements of a piece of work, or a parameter more: the formula's temporaries stay in the processor's cache.
_RUN = 1 << 15

#: What can be updated together with others: a parameter, its gradient, the number of this update, its state.
Small = tuple[Any, Any, Any, dict[str, Any]]


class Together:
    """The small parameters of a group in one array, and their buffers in one each, of which each state holds its pieces.

    Elements are computed as they would be alone, to the last bit.
    """

    def __init__(self, names: tuple[str, ...], params: list[Any]) -> None:
        self.names, self.params, self.number = names, params, {id(p): k for k, p in enumerate(params)}
        self.shapes = [p._data.shape for p in params]
        self.starts = [0, *accumulate(p._data.size for p in params)]
        self.flat = np.empty(self.starts[-1], params[0]._data.dtype)
        self.buffers = [np.empty_like(self.flat) for _ in names]
        places = list(zip(self.starts, self.starts[1:], self.shapes, strict=False))
        self.pieces = [[flat[a:b].reshape(shape) for flat in self.buffers] for a, b, shape in places]
        memory, size = self.flat.data.cast("B"), self.flat.itemsize
        self.memory = [memory[a * size : b * size] for a, b, _ in places]
        self.seen: list[Any] = [lambda: None] * len(params)  # weakly: an array that is held does not move
        self.homes: list[Any] = [lambda: None] * len(params)  # weakly: what it, and every view of it, is a view of
        self.apart: set[int] = set()  # parameters that a compiled step found elsewhere

    def settle(self, names: tuple[str, ...], small: list[Small]) -> Iterator[tuple[Any, ...]] | None:
        """Move in what is somewhere else: what is new, or was given other arrays; returns the work on them.

        None if one of them has no place here.
        """
        params, seen, pieces, k = self.params, self.seen, self.pieces, -1
        numbers: list[int] = []
        for p, _, _, state in small:
            k += 1
            if k == len(params) or params[k] is not p:
                k = self.number.get(id(p), -1)
            if k < 0 or names != self.names:
                return None
            if seen[k]() is not p._data:
                if p._data.shape != self.shapes[k] or self.homes[k]() is not None:  # or its old place is somebody's
                    return None
                self._move(k, p)
            for name, piece in zip(names, pieces[k], strict=True):
                if state[name] is not piece:
                    piece[...] = state[name]
                    state[name] = piece
            numbers.append(k)
        return self._work(small, numbers)

    def _move(self, k: int, p: Any) -> None:
        """Let a parameter live here, with the values that it has."""
        home = np.frombuffer(self.memory[k], self.flat.dtype)
        piece = home.reshape(self.shapes[k])
        piece[...] = p._data
        p._data, self.seen[k], self.homes[k] = piece, weakref.ref(piece), weakref.ref(home)

    def _work(self, small: list[Small], numbers: list[int]) -> Iterator[tuple[Any, ...]]:
        """What a formula works on, (data, g, t, *buffers): neighbours of the same t at once, when they are asked for."""
        starts, first, end = self.starts, 0, len(small)
        while first < end:
            k, t, last = numbers[first], small[first][2], first + 1
            start, shift = starts[k], k - first
            most = start + _RUN
            while last < end and (k := numbers[last]) == last + shift and starts[k] < most and small[last][2] == t:
                last += 1
            stop = starts[last + shift]
            g = np.concatenate([g for _, g, _, _ in small[first:last]], axis=None)
            yield self.flat[start:stop], g, t, *[flat[start:stop] for flat in self.buffers]
            first = last
