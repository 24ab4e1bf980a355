"""What a function sees of Python around it: plain values that it reads, and would not read again in a replay.

Numbers, strings and the like in variables of the functions around it, in globals that it mentions and in attributes of the
object that it is a method of are conditions of a plan, as are the attributes of modules that it looked at. An attribute of a
module is asked for again only after one has been assigned anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tinytensor.compiler.trace import Trace
from tinytensor.nn import module

__all__ = ["Attributes", "watch"]

_PLAIN = (int, float, bool, str, bytes, complex, type(None))
_LIBRARIES = ("tinytensor", "numpy")
_MISSING = object()


def _code(function: Any) -> Iterator[tuple[Any, Any]]:
    """(function, object that it is a method of) of the user's functions that this one reaches by a name."""
    waiting: list[tuple[Any, Any]] = [(function, None)]
    met: set[int] = set()
    while waiting and len(met) < 64:
        f, owner = waiting.pop()
        owner = getattr(f, "__self__", owner)
        f = getattr(f, "__func__", f)
        if id(f) in met:
            continue
        met.add(id(f))
        if (inner := getattr(f, "__wrapped__", None)) is not None:
            waiting.append((inner, owner))
        forward = getattr(type(f), "forward", None) if isinstance(f, module.Module) else None
        if forward is not None:
            waiting.append((forward, f))
        home = str(getattr(f, "__module__", "")).split(".")[0]
        if getattr(f, "__code__", None) is None or home in _LIBRARIES:
            continue
        yield f, owner
        around = [cell.cell_contents for cell in f.__closure__ or () if _filled(cell)]
        mentioned = [f.__globals__[name] for name in f.__code__.co_names if name in f.__globals__]
        waiting += [(x, None) for x in [*around, *mentioned] if hasattr(x, "__code__") or hasattr(x, "__wrapped__")]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None or True
    except ValueError:
        return False


def _plain(value: Any) -> bool:
    return type(value) in _PLAIN and value == value


def watch(trace: Trace, function: Callable[..., Any]) -> None:
    """Make the plain values that the function mentions conditions of the plan: as they are now, after the runs."""
    for container, _ in list(trace.members.values()):
        trace.guard_members(container)
    for f, owner in _code(function):
        for cell in f.__closure__ or ():
            if _filled(cell) and _plain(cell.cell_contents):
                trace.guard(cell, "cell_contents", cell.cell_contents)
        space, own = f.__globals__, getattr(owner, "__dict__", {})
        for name in f.__code__.co_names:
            if name in space and _plain(space[name]):
                trace.items[id(space), name] = (space, name, space[name])
            if not isinstance(owner, module.Module) and name in own and _plain(own[name]):
                trace.items[id(own), name] = (own, name, own[name])


class Attributes:
    """The attributes of modules that a trace looked at: ``changed()`` says whether one is another now."""

    def __init__(self, trace: Trace) -> None:
        self.seen = module.assigned[0]
        self.values = [(own, name, own.get(name, _MISSING)) for own, name in trace.attributes.values()]

    def changed(self) -> bool:
        """Whether one of them is another now."""
        for own, name, value in self.values:
            now = own.get(name, _MISSING)
            if now is not value and not (_plain(value) and type(now) is type(value) and now == value):
                return True
        self.seen = module.assigned[0]
        return False
