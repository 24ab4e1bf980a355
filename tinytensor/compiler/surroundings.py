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

__all__ = ["MISSING", "Attributes", "Surroundings", "differs", "plain"]

_PLAIN = (int, float, bool, str, bytes, complex, type(None), type(Ellipsis))
_LIBRARIES = ("tinytensor", "numpy", "builtins")
#: What is not there.
MISSING = object()
_MOST = 64  # functions, and members of a container, that are looked at


def plain(value: Any) -> bool:
    """Whether a value is known by its type and what it shows."""
    kind = type(value)
    return (
        kind in _PLAIN
        or isinstance(value, np.generic)
        or (issubclass(kind, tuple) and len(value) < _MOST and all(map(plain, value)))
    )


def differs(value: Any, before: Any) -> bool:
    """Whether a plain value is another one: 2 and 2.0, 0.0 and -0.0 are."""
    return type(value) is not type(before) or repr(value) != repr(before)


class Surroundings:
    """What a function sees now: entries of namespaces, attributes, members of containers.

    items    entries of dicts: key -> (dict, name, value)
    guards   attributes of cells and slots: key -> (thing, name, value)
    members  dicts and lists: key -> (container, identities)
    """

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.items: dict[Any, tuple[Any, str, Any]] = {}
        self.guards: dict[Any, tuple[Any, str, Any]] = {}
        self.members: dict[int, tuple[Any, list[int]]] = {}
        self.waiting: list[tuple[Any, Any]] = [(function, args)]
        self.met: set[Any] = set()
        self.names: set[str] = set()  # of attributes, that any of the functions mentions
        self.objects: dict[int, Any] = {}
        self.looked: dict[int, set[str]] = {}
        self._argument((args, kwargs))
        while self.waiting and len(self.met) < _MOST:
            f, given = self.waiting.pop()
            if isinstance(f, partial):
                self.inside([*f.args, *f.keywords.values()])
            for inner, first in _functions(f, given):
                key = (id(inner), *map(id, first[:1]))  # a method of two objects is two
                if key not in self.met:
                    self.met.add(key)
                    _Mentioned(self, inner, first)
            if not self.waiting:
                self.look_around()

    def kept(self, trace: Trace, before: Surroundings) -> None:
        """Make what is as it was before the runs a condition of the plan; the rest the function sets itself."""
        for key, (container, _) in list(trace.members.items()):
            if key in before.members and key in self.members and before.members[key][1] != self.members[key][1]:
                del trace.members[key]
            else:
                trace.guard_members(container)
        for key, entry in self.items.items():
            if _same_entry(entry, before.items.get(key)):
                trace.items[key] = entry
        for key, entry in self.guards.items():
            if _same_entry(entry, before.guards.get(key)):
                trace.guard(*entry)
        for key, (container, ids) in self.members.items():
            if before.members.get(key, (None, None))[1] == ids:
                trace.guard_members(container)

    def _argument(self, tree: Any) -> None:
        """What an argument reaches. Its own lists and dicts are part of the signature: a plan that asked for them would hold
        what is in them.
        """
        if isinstance(tree, (dict, list, tuple)):
            self.looked[id(tree)] = set()
            for x in dict.values(tree) if isinstance(tree, dict) else tree:
                self._argument(x)
        else:
            self.inside(tree)

    def item(self, space: Any, name: str, value: Any, owner: Any = None) -> None:
        """The entry of a namespace, which is the owner's (a class makes its anew each time)."""
        if not isinstance(value, ModuleType):
            self.items[id(space if owner is None else owner), name] = (space, name, value)

    def inside(self, value: Any) -> None:
        """Functions go on the list, and objects of the user's, whose attributes may be mentioned under another name."""
        if _known(value):
            return
        if isinstance(value, (module.Module, FunctionType, MethodType, partial)) or _has(value, "__wrapped__"):
            self.waiting.append((value, ()))
        elif isinstance(value, (dict, list, tuple)) or not _ours(type(value)):
            self.objects.setdefault(id(value), value)
            if callable(value):
                self.waiting.append((value, ()))
        if isinstance(value, module.Module):
            for m in value.modules():
                if not _ours(type(m)):
                    self.objects.setdefault(id(m), m)

    def look_around(self) -> None:
        """The mentioned attributes of all objects that are reached, and what these are: what was not looked at yet."""
        count = -1
        while count < len(self.objects) < 4 * _MOST:
            count = len(self.objects)
            for key, thing in list(self.objects.items()):
                if isinstance(thing, (dict, list, tuple)) and key not in self.looked:
                    self._members(thing)
                looked = self.looked.setdefault(key, set())
                if type(thing) not in (dict, list, tuple) and looked != self.names:
                    self._attributes(thing, self.names - looked)
                    looked |= self.names

    def _members(self, thing: Any) -> None:
        members = [*(dict.values(thing) if isinstance(thing, dict) else thing)]
        if len(members) < _MOST:
            for x in members:
                self.inside(x)
            if type(thing) in (dict, list):
                self.members[id(thing)] = (thing, [*map(id, members)])
            elif isinstance(thing, dict):
                for key, x in dict.items(thing):
                    self.item(thing, key, x)

    def _attributes(self, thing: Any, names: set[str]) -> None:
        own = thing.__dict__ if _has(thing, "__dict__") else {}
        for name in names.intersection([*own, *(n for c in type(thing).__mro__[:-1] for n in vars(c))]):
            self.attribute(thing, name)

    def attribute(self, thing: Any, name: str) -> Any:
        """What an attribute is, and where it is; a property, or another function, goes on the list."""
        if thing is MISSING or isinstance(thing, (TensorBase, np.ndarray, np.generic, *_PLAIN)):
            return MISSING
        is_space = isinstance(thing, (type, ModuleType))
        if _ours(thing if is_space else type(thing)) or (isinstance(thing, ModuleType) and _ours_named(thing)):
            return vars(thing).get(name, MISSING) if isinstance(thing, module.Module) else MISSING
        classes: Any = type(thing).__mro__
        if isinstance(thing, type):
            classes = (*thing.__mro__, *classes)
        spaces = [thing.__dict__ if _has(thing, "__dict__") else {}, *map(vars, classes)]
        home = next((space for space in spaces if name in space), None)
        if home is None:
            return vars(thing).get("_modules", {}).get(name, MISSING) if isinstance(thing, module.Module) else MISSING
        value = home[name]
        if isinstance(value, (FunctionType, property, staticmethod, classmethod)) and home is not spaces[0]:
            for each in (space[name] for space in spaces if name in space):  # super() may call the others
                function = each.fget if isinstance(each, property) else getattr(each, "__func__", each)
                self.waiting.append((function, () if is_space or isinstance(each, staticmethod) else (thing,)))
            return MISSING
        if isinstance(value, MemberDescriptorType):
            value = getattr(thing, name, MISSING)
            if value is not MISSING:
                self.guards[id(thing), name] = (thing, name, value)
        elif home is not spaces[0] and hasattr(type(value), "__get__"):
            return MISSING
        elif not isinstance(thing, module.Module):  # whose own are asked for already
            owners = (None, *classes)
            for k in range([space is home for space in spaces].index(True) + 1):
                self.item(spaces[k], name, spaces[k].get(name, MISSING), owners[k])
        self.inside(value)
        return value


def _has(thing: Any, name: str) -> bool:
    """Whether an object has an attribute; some raise what they like instead."""
    try:
        return getattr(thing, name, None) is not None
    except Exception:
        return False


def _functions(f: Any, given: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The user's functions of which a callable is made, and the first arguments of each, as far as they are known."""
    for _ in range(_MOST):
        if isinstance(f, partial):
            f, given = f.func, (*f.args, *given)
        elif isinstance(f, MethodType):
            f, given = f.__func__, (f.__self__, *given)
        elif _has(f, "__wrapped__"):
            if isinstance(f, FunctionType) and not _ours(f):
                yield f, ()
            f = f.__wrapped__
        else:
            break
    if isinstance(f, FunctionType):
        if not _ours(f):
            yield f, tuple(given)
    elif isinstance(f, module.Module):
        for m in f.modules():
            forward = getattr(type(m).forward, "__wrapped__", type(m).forward)
            if isinstance(forward, FunctionType) and not _ours(forward):
                yield forward, (m, *(given if m is f else ()))
    elif not isinstance(f, type) and callable(f) and not _ours(type(f)) and isinstance(type(f).__call__, FunctionType):
        yield type(f).__call__, (f, *given)


def _ours(thing: Any) -> bool:
    """Whether it belongs to a library, where nobody changes it."""
    if isinstance(thing, (np.ufunc, BuiltinFunctionType)):
        return True
    return str(getattr(thing, "__module__", "")).split(".")[0] in _LIBRARIES


def _known(value: Any) -> bool:
    """Whether there is nothing to look for inside."""
    return plain(value) or isinstance(value, (ModuleType, type, TensorBase, np.ndarray))


def _same_entry(entry: Any, before: Any) -> bool:
    """Whether a value is what it was."""
    if before is None:
        return False
    now, then = entry[2], before[2]
    return now is then or (plain(now) and plain(then) and not differs(now, then))


class _Mentioned:
    """What one function mentions."""

    def __init__(self, seen: Surroundings, f: FunctionType, given: tuple[Any, ...]) -> None:
        self.seen, self.globals = seen, f.__globals__
        code = f.__code__
        names = code.co_varnames[: code.co_argcount]
        defaults = dict(zip(reversed(names), reversed(f.__defaults__ or ()), strict=False)) | (f.__kwdefaults__ or {})
        self.known = defaults | dict(zip(names, given, strict=False))
        self.cells = dict(zip(code.co_freevars, f.__closure__ or (), strict=True))
        codes = [code]
        for each in codes:
            codes += [x for x in each.co_consts if isinstance(x, CodeType)]
            seen.names.update(
                x for x in each.co_consts if isinstance(x, str) and x.isidentifier()
            )  # getattr(x, "name")
        steps = [[(i.opname, i.argval) for i in dis.get_instructions(each)] for each in codes]
        seen.names.update(what for each in steps for name, what in each if name in ("LOAD_ATTR", "LOAD_METHOD"))
        for x in self.known.values():
            seen.inside(x)
        for instructions in steps:
            self._paths(instructions)

    def _paths(self, steps: list[tuple[str, Any]]) -> None:
        """Follow each name, and the attributes that are taken of it."""
        value: Any = MISSING
        for op, what in steps:
            if op in ("LOAD_ATTR", "LOAD_METHOD"):
                value = self.seen.attribute(value, what)
            elif op.startswith("LOAD_") and op != "LOAD_CONST":
                value = self._root(op, what[-1] if type(what) is tuple and what else what)
            elif op not in ("CACHE", "PRECALL", "PUSH_NULL", "NOP", "EXTENDED_ARG"):
                value = MISSING

    def _root(self, op: str, name: Any) -> Any:
        if op == "LOAD_GLOBAL":
            value = self.globals.get(name, MISSING)
            if value is MISSING:
                return value
            if not (_ours(value) and getattr(value, "__name__", "") == name):  # an import
                self.seen.item(self.globals, name, value)
        elif name in self.cells and not op.startswith("LOAD_FAST"):
            try:
                value = self.cells[name].cell_contents
            except ValueError:
                return MISSING
            if not isinstance(value, ModuleType):
                self.seen.guards[id(self.cells[name]), ""] = (self.cells[name], "cell_contents", value)
        else:
            return self.known.get(name, MISSING)
        self.seen.inside(value)
        return value


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
