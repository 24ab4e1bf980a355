"""What a function sees of Python around it, and would not read again in a replay.

Globals, variables of the functions around it, attributes of objects and modules that it reaches by one of these or by an
argument, and members of dicts and lists: they are conditions of a plan. Numbers, strings and the like must be equal, to the
sign of a zero; anything else must be the same object. What is inside an array is not asked for. An attribute of a
``nn.Module`` is asked for again only after one has been assigned anywhere.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any

import numpy as np

from tinytensor.compiler.trace import Trace
from tinytensor.nn import module
from tinytensor.primitive import TensorBase

__all__ = ["MISSING", "Attributes", "differs", "plain", "watch"]

_PLAIN = (int, float, bool, str, bytes, complex, type(None), type(Ellipsis))
_LIBRARIES = ("tinytensor", "numpy", "builtins")
#: What is not there.
MISSING = object()
_OUTSIDE = ("GLOBAL", "DEREF", "ATTR")  # names of bytecode instructions that set what a function does not own
_MOST = 64  # functions, and members of a container, that are looked at


def plain(value: Any) -> bool:
    """Whether a value is known by its type and what it shows."""
    kind = type(value)
    return (
        kind in _PLAIN
        or isinstance(value, np.generic)
        or (kind is tuple and len(value) < _MOST and all(map(plain, value)))
    )


def differs(value: Any, before: Any) -> bool:
    """Whether a plain value is another one: 2 and 2.0, 0.0 and -0.0 are."""
    return type(value) is not type(before) or repr(value) != repr(before)


def watch(trace: Trace, function: Callable[..., Any], args: Any = ()) -> None:
    """Make what the function mentions conditions of the plan: as it is now, after the runs."""
    for container, _ in list(trace.members.values()):
        trace.guard_members(container)
    waiting: list[tuple[Any, Any]] = [(function, args)]
    met: set[Any] = set()
    while waiting and len(met) < _MOST:
        f, given = waiting.pop()
        for inner, first in _functions(f, given):
            key = (id(inner), *map(id, first[:1]))  # a method of two objects is two
            if key not in met:
                met.add(key)
                waiting += _Mentioned(trace, inner, first).reached


def _functions(f: Any, given: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The user's functions of which a callable is made, and the first arguments of each, as far as they are known."""
    for _ in range(_MOST):
        if isinstance(f, partial):
            f, given = f.func, (*f.args, *given)
        elif isinstance(f, MethodType):
            f, given = f.__func__, (f.__self__, *given)
        elif getattr(f, "__wrapped__", None) is not None:
            if isinstance(f, FunctionType) and not _ours(f):
                yield f, ()
            f = f.__wrapped__
        else:
            break
    if isinstance(f, FunctionType):
        if not _ours(f):
            yield f, tuple(given)
    elif isinstance(f, module.Module):
        yield from ((type(m).forward, (m, *(given if m is f else ()))) for m in f.modules() if not _ours(type(m)))
    elif not isinstance(f, type) and callable(f) and not _ours(type(f)) and isinstance(type(f).__call__, FunctionType):
        yield type(f).__call__, (f, *given)


def _ours(thing: Any) -> bool:
    """Whether it belongs to a library, where nobody changes it."""
    if isinstance(thing, (np.ufunc, BuiltinFunctionType)):
        return True
    return str(getattr(thing, "__module__", "")).split(".")[0] in _LIBRARIES


class _Mentioned:
    """What one function mentions; ``reached``: other functions among it."""

    def __init__(self, trace: Trace, f: FunctionType, given: tuple[Any, ...]) -> None:
        self.trace, self.globals = trace, f.__globals__
        self.reached: list[tuple[Any, Any]] = []
        code = f.__code__
        self.known = dict(zip(code.co_varnames[: code.co_argcount], given, strict=False))
        self.cells = dict(zip(code.co_freevars, f.__closure__ or (), strict=True))
        codes = [code]
        for each in codes:
            codes += [x for x in each.co_consts if isinstance(x, CodeType)]
        steps = [[(i.opname, i.argval) for i in dis.get_instructions(each)] for each in codes]
        self.writes = any(name in ("STORE_SUBSCR", "DELETE_SUBSCR") for each in steps for name, _ in each)
        self.stored = {
            what for each in steps for name, what in each if name.startswith("STORE_") and name[6:] in _OUTSIDE
        }
        for instructions in steps:
            self._paths(instructions)

    def _paths(self, steps: list[tuple[str, Any]]) -> None:
        """Follow each name, and the attributes that are taken of it."""
        value: Any = MISSING
        for op, what in steps:
            if op in ("LOAD_ATTR", "LOAD_METHOD"):
                value = self._attribute(value, what)
            elif op.startswith("LOAD_") and op != "LOAD_CONST":
                value = self._root(op, what[-1] if type(what) is tuple and what else what)
            elif op not in ("CACHE", "PRECALL", "PUSH_NULL", "NOP", "EXTENDED_ARG"):
                value = MISSING

    def _root(self, op: str, name: Any) -> Any:
        if op == "LOAD_GLOBAL":
            value = self.globals.get(name, MISSING)
            if value is MISSING:
                return value
            self._item(self.globals, name, value)
        elif name in self.cells and not op.startswith("LOAD_FAST"):
            try:
                value = self.cells[name].cell_contents
            except ValueError:
                return MISSING
            if self._asked(name, value):
                self.trace.guard(self.cells[name], "cell_contents", value)
        else:
            return self.known.get(name, MISSING)
        self._inside(value)
        return value

    def _attribute(self, thing: Any, name: str) -> Any:
        """What an attribute is, and where it is; a property, or another function, goes on the list."""
        if thing is MISSING or isinstance(thing, (TensorBase, np.ndarray, np.generic, *_PLAIN)):
            return MISSING
        is_space = isinstance(thing, (type, ModuleType))
        if _ours(thing if is_space else type(thing)) or (isinstance(thing, ModuleType) and _ours_named(thing)):
            return vars(thing).get(name, MISSING) if isinstance(thing, module.Module) else MISSING
        classes = thing.__mro__ if isinstance(thing, type) else type(thing).__mro__
        spaces = [getattr(thing, "__dict__", {}), *map(vars, classes)]
        home = next((space for space in spaces if name in space), None)
        if home is None:
            return vars(thing).get("_modules", {}).get(name, MISSING) if isinstance(thing, module.Module) else MISSING
        value = home[name]
        if isinstance(value, (FunctionType, property, staticmethod, classmethod)):
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            bound = () if is_space or isinstance(value, staticmethod) else (thing,)
            self.reached.append((function, bound))
            return MISSING
        if isinstance(value, MemberDescriptorType):
            value = getattr(thing, name, MISSING)
            self.trace.guard(thing, name, value)
        elif hasattr(type(value), "__get__"):
            return MISSING
        elif not isinstance(thing, module.Module):  # whose own are asked for already
            for space in spaces[: [space is home for space in spaces].index(True) + 1]:
                self._item(space, name, space.get(name, MISSING))
        self._inside(value)
        return value

    def _asked(self, name: str, value: Any) -> bool:
        """Whether it must stay; what the function sets itself need not, unless it is plain."""
        known = isinstance(value, ModuleType) or (callable(value) and hasattr(value, "__name__") and _ours(value))
        return not known and (plain(value) or name not in self.stored)

    def _item(self, space: Any, name: str, value: Any) -> None:
        if self._asked(name, value):
            self.trace.items[id(space), name] = (space, name, value)

    def _inside(self, value: Any) -> None:
        """Functions go on the list; members of small dicts and lists must stay, if the function does not set them itself."""
        if isinstance(value, (module.Module, FunctionType, MethodType, partial)) or hasattr(value, "__wrapped__"):
            self.reached.append((value, ()))
        elif type(value) in (dict, list) and len(value) < _MOST:
            members = list(value.values() if type(value) is dict else value)
            self.reached += [(x, ()) for x in members if isinstance(x, FunctionType)]
            if not self.writes and all(
                plain(x) or isinstance(x, (TensorBase, module.Module, FunctionType)) for x in members
            ):
                self.trace.guard_members(value)


def _ours_named(thing: ModuleType) -> bool:
    return thing.__name__.split(".")[0] in _LIBRARIES


class Attributes:
    """The attributes of modules that a trace looked at: ``changed()`` says whether one is another now."""

    def __init__(self, trace: Trace) -> None:
        self.seen = module.assigned[0]
        self.values = [(own, name, own.get(name, MISSING)) for own, name in trace.attributes.values()]

    def changed(self) -> bool:
        """Whether one of them is another now."""
        for own, name, value in self.values:
            now = own.get(name, MISSING)
            if now is not value and (not plain(value) or differs(now, value)):
                return True
        self.seen = module.assigned[0]
        return False
