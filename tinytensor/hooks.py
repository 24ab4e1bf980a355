"""Hooks: functions that are called with a gradient on its way, and may put another in its place."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tinytensor.graph import Node

__all__ = ["HookHandle", "at_ends", "call", "hooked", "register_hook"]

_fresh: Callable[[], int] = count().__next__

# A hook lives on its node, and dies with it: what it closes over, perhaps the tensor itself, is a cycle that the garbage
# collector sees. This table only tells a walk whether to look, so that one without hooks pays for an empty dict.

#: id of a node that has hooks -> weak reference that removes the entry.
hooked: dict[int, weakref.ref[Node]] = {}


class HookHandle:
    """What ``register_hook`` returns: ``handle.remove()`` takes the hook away; so does the end of a ``with`` block."""

    __slots__ = ("_key", "_node")

    def __init__(self, node: Node, key: int) -> None:
        self._node, self._key = weakref.ref(node), key

    def remove(self) -> None:
        """Take the hook away; nothing happens if it is gone already."""
        node = self._node()
        if node is not None and node.hooks.pop(self._key, None) is not None and not node.hooks:
            hooked.pop(id(node), None)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def register_hook(node: Node, hook: Callable[[Any], Any]) -> HookHandle:
    """Have ``hook`` called with every gradient of ``node``: with the sum, before the walk goes on from there."""
    if not callable(hook):
        raise TypeError(f"register_hook: expected a function of the gradient, got {type(hook).__name__}")
    key, place = _fresh(), id(node)
    if place not in hooked:
        node.hooks = {}
        hooked[place] = weakref.ref(node, lambda _: hooked.pop(place, None))
    node.hooks[key] = hook
    return HookHandle(node, key)


def call(node: Node, g: Any) -> Any:
    """The cotangent after the hooks of ``node``, which see the conjugate of a complex one: PyTorch's gradient."""
    flip = node.dtype.kind == "c"
    if isinstance(g, np.generic):  # NumPy's answer to arithmetic on 0-d arrays
        g = np.asarray(g)
    for hook in tuple(node.hooks.values()):
        seen = g.conj() if flip else g
        if type(seen) is np.ndarray:  # perhaps the cotangent of another node too: nobody may write into it
            seen = seen.view()
            seen.flags.writeable = False
        new = hook(seen)
        if new is not None and new is not seen:
            new = _replacement(node, new, g)
            g = new.conj() if flip else new
    return g


def _replacement(node: Node, new: Any, g: Any) -> Any:
    """What a hook returned, as an array, or as a tensor if the gradient's own graph is being recorded."""
    array = getattr(new, "_data", None)
    lifted = array is not None
    if array is None:
        kind = node.dtype if type(new) in (int, float, complex) else None
        array = new if new.__class__ is np.ndarray else np.asarray(new, kind)
    if array.shape != node.shape or array.dtype != node.dtype:
        raise TypeError(
            f"register_hook: a hook returned {array.dtype} of shape {array.shape}, expected {node.dtype} of shape "
            f"{node.shape}, as the gradient that it was given. Return that, or None to leave it as it is."
        )
    if g.__class__ is np.ndarray:
        return array if array.flags.writeable else array.copy()
    if not lifted:
        t = object.__new__(type(g))
        t._data, t._node = array, None
        return t
    return new


def at_ends(arrived: dict[Node, Any], order: Iterable[Node] = ()) -> dict[Node, Any]:
    """What arrived at the ends of the walk, after their hooks (those inside the walk were called on the way)."""
    inside = set(order)
    for node, g in arrived.items():
        if id(node) in hooked and node not in inside:
            arrived[node] = call(node, g)
    return arrived
