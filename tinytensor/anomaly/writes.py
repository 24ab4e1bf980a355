"""Writes into what the graph has saved: seen afterwards by comparing, or stopped at the writing line by locking."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytensor.graph import Node

__all__ = ["Locks", "arrays_of", "fingerprint", "was"]

_ndarray = np.ndarray
#: Up to this size an array is remembered whole (0.2 µs, and the report can tell what was overwritten), above by a
#: checksum (0.25 µs per KiB).
_WHOLE = 1 << 16


def arrays_of(saved: Any) -> list[Any]:
    """The arrays among the saved values of a node."""
    found = []
    for value in saved or ():
        kind = type(value)
        if kind is _ndarray:
            found.append(value)
        elif kind is tuple or kind is list:
            found.extend([v for v in value if type(v) is _ndarray])
    return found


def _once(array: Any) -> Any:
    """Without the repetitions of a broadcast view."""
    if 0 in array.strides and array.size:
        return array[tuple([slice(0, 1) if step == 0 else slice(None) for step in array.strides])]
    return array


def fingerprint(array: Any) -> bytes | int:
    """What tells whether an array is still what it was: its bytes, or of a large one their checksum."""
    if array.nbytes <= _WHOLE or (array := _once(array)).nbytes <= _WHOLE:
        content: bytes = array.tobytes()
        return content
    return zlib.crc32(np.ascontiguousarray(array).data)


def was(array: Any, print_: bytes | int) -> Any:
    """The array as it was, if that was remembered."""
    if isinstance(print_, int):
        return None
    whole = array if array.nbytes <= _WHOLE else _once(array)
    return np.broadcast_to(np.frombuffer(print_, array.dtype).reshape(whole.shape), array.shape)


class Locks:
    """Arrays that nobody may write into while a node that saved them waits for its backward."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[Any, list[Node | None]]] = {}  # id -> (array, nodes' weak references)
        self._of: dict[int, tuple[Any, list[Any]]] = {}  # id of node -> (weak reference, arrays)
        self._loose: list[Any] = []

    def lock(self, node: Node) -> None:
        arrays = [a for saved in arrays_of(node.saved) for a in _family(saved)]
        for array in arrays:
            if array.flags.writeable:
                array.flags.writeable = False
                self._held[id(array)] = (array, [])
        arrays = [a for a in arrays if id(a) in self._held]
        if arrays:
            key = id(node)
            reference = weakref.ref(node, lambda _: self.release(key))
            self._of[key] = (reference, arrays)
            for array in arrays:
                self._held[id(array)][1].append(reference)  # type: ignore[arg-type]

    def release(self, key: int) -> None:
        """Let go of what the node with this id locked."""
        reference, arrays = self._of.pop(key, (None, []))
        for array in arrays:
            entry = self._held.get(id(array))
            if entry is not None and reference in entry[1]:
                entry[1].remove(reference)
                if not entry[1]:
                    del self._held[id(array)]
                    self._loose.append(array)
        self._unlock()

    def release_all(self) -> None:
        self._loose += [array for array, _ in self._held.values()]
        self._held.clear()
        self._of.clear()
        self._unlock()

    def _unlock(self) -> None:
        """Owners before their views; a view whose owner is still locked waits."""
        waiting = []
        for array in sorted(self._loose, key=_depth):
            try:
                array.flags.writeable = True
            except ValueError:
                waiting.append(array)
        self._loose = waiting

    def readers(self, array: Any) -> list[Node]:
        """The nodes that wait for this memory."""
        family = {id(a) for a in _family(array)}
        found = [(r, a) for r, arrays in self._of.values() for a in arrays if id(a) in family or _owner_in(a, family)]
        nodes = [node for r, _ in found if (node := r()) is not None]
        return list(dict.fromkeys(nodes))


def _family(array: Any) -> Iterator[Any]:
    """The array and those that it is a view of."""
    while type(array) is _ndarray:
        yield array
        array = array.base


def _owner_in(array: Any, family: set[int]) -> bool:
    return any(id(a) in family for a in _family(array))


def _depth(array: Any) -> int:
    return sum(1 for _ in _family(array))
