"""Who looks at whose memory: tensors that are views of one array are one family.

A write in place must be seen by every view, or happen in memory of its own. The writer therefore has to know which
other tensors are alive that look at the same memory; nodes of the graph, which saved it, do not count: they need the
old values.
"""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["LEAKED", "Family", "kin", "leak"]


class Family:
    """The tensors that look at one piece of memory; ``leaked`` if an ndarray of it was handed out too."""

    __slots__ = ("leaked", "members")

    def __init__(self, leaked: bool = False) -> None:
        self.leaked = leaked
        self.members: list[weakref.ref[Any]] = []

    def others(self, t: Any) -> list[Any]:
        """The members that are alive and have not left, without ``t``."""
        alive = [m for member in self.members if (m := member()) is not None and m._viewed is self]
        return [m for m in alive if m is not t]


#: The family of a tensor whose memory the outside world holds, and which has no views that are tensors.
LEAKED = Family(leaked=True)


def kin(x: Any, t: Any) -> None:
    """Note that ``t`` looks at the memory of ``x``."""
    family = getattr(x, "_viewed", None)
    if family is None or family is LEAKED:
        x._viewed = family = Family(family is LEAKED)
        family.members.append(weakref.ref(x))
    elif not len(family.members) % 64:
        family.members = [member for member in family.members if member() is not None]
    family.members.append(weakref.ref(t))
    t._viewed = family


def leak(x: Any) -> None:
    """Note that somebody outside holds the memory of ``x``."""
    family = getattr(x, "_viewed", None)
    if family is None:
        x._viewed = LEAKED
    else:
        family.leaked = True
