"""The names that a reader knows: of arguments, of parameters in their modules, of variables in the traced function."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType, FunctionType
from typing import Any

import numpy as np

from tinytensor.compiler.program import Array
from tinytensor.compiler.stand_ins import TracedArray, TracedNumber
from tinytensor.compiler.trace import Trace
from tinytensor.nn.module import Module
from tinytensor.optim.optimizer import Optimizer
from tinytensor.primitive import TensorBase

__all__ = ["Watch", "name_states", "optimizers"]

_LIBRARY = (__name__.split(".")[0], "numpy")


class Watch:
    """While it is open, functions of the user that return leave the names of their variables on the arrays in them.

    A profiler that is at work already is left alone: names are those of NumPy's functions then.
    """

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def __enter__(self) -> None:
        self.alone = sys.getprofile() is None
        if self.alone:
            sys.setprofile(self.event)

    def __exit__(self, *error: Any) -> None:
        if self.alone:
            sys.setprofile(None)

    def event(self, frame: FrameType, event: str, argument: Any) -> None:
        """What the interpreter calls."""
        if event == "return" and frame.f_globals.get("__name__", "").split(".")[0] not in _LIBRARY:
            for name, value in frame.f_locals.items():
                if name.isidentifier():
                    self._name(value, name)

    def _name(self, value: Any, name: str) -> None:
        if isinstance(value, TensorBase):
            if hasattr(value, "_inner"):  # one of a batch
                return
            value = value._data
        if type(value) is TracedArray and value.trace is self.trace and value.array.call is not None:
            value.array.name = name
        elif type(value) is TracedNumber and value.number.function is not None:
            value.number.name = name


def _roots(function: Callable[..., Any], met: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """What a function can see: variables of the functions around it, globals that it mentions, the object it is a method of."""
    met = set() if met is None else met
    if id(function) in met:  # functions may call each other
        return
    met.add(id(function))
    inner = getattr(function, "__wrapped__", None)
    if inner is not None:
        yield from _roots(inner, met)
    if (owner := getattr(function, "__self__", None)) is not None:
        yield "self", owner
        function = getattr(function, "__func__", function)
    if isinstance(function, Module):
        yield type(function).__name__.lower(), function
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:
            continue
        yield name, value
        if isinstance(value, FunctionType):
            yield from _roots(value, met)
    yield from ((name, function.__globals__[name]) for name in code.co_names if name in function.__globals__)


def optimizers(function: Callable[..., Any]) -> Iterator[Optimizer]:
    """Those that a function can see, itself or as an attribute of the object that it is a method of."""
    for name, value in _roots(function):
        things = [value, *vars(value).values()] if name == "self" and hasattr(value, "__dict__") else [value]
        yield from (thing for thing in things if isinstance(thing, Optimizer))


def _tensors(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, TensorBase]]:
    if isinstance(value, TensorBase):
        yield name, value
    elif isinstance(value, Module):
        for inner, t in [*value.named_parameters(), *value.named_buffers()]:
            yield f"{name}_{inner}".replace(".", "_"), t
    elif depth < 2 and isinstance(value, (list, tuple)):
        for k, part in enumerate(value):
            yield from _tensors(f"{name}_{k}", part, depth + 1)
    elif depth < 2 and type(value) is dict:
        for key, part in value.items():
            yield from _tensors(f"{name}_{key}", part, depth + 1)
    elif depth == 0 and hasattr(value, "__dict__") and not isinstance(value, type):
        for key, part in vars(value).items():
            if isinstance(part, (Module, TensorBase)):
                yield from _tensors(f"{name}_{key}", part, depth + 1)


def name_states(trace: Trace, function: Callable[..., Any]) -> None:
    """Give tensors from outside, and their gradients, the names by which the function reaches them."""
    known: dict[int, str] = {}
    for name, value in _roots(function):
        if not isinstance(value, np.ndarray):
            for path, t in _tensors(name, value):
                known.setdefault(id(t), path)
    of_node: dict[int, str] = {}
    for t, _, array in trace.states.values():
        array.name = array.name or known.get(id(t), "")
        if t._node is not None and array.name:
            of_node[id(t._node)] = array.name
    for node, value in trace.grads.values():
        found = trace.symbol(value)
        if type(found) is Array and found.call is not None and id(node) in of_node:
            found.name = f"d_{of_node[id(node)]}"
