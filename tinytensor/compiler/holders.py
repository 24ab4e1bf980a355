"""What tensors, gradient cells and random generators hold, while a program is traced: stand-ins for it.

The slots ``TensorBase._data``, ``Node.grad`` and ``Generator.numpy``, and what decides in modules and optimizers, are properties
as long as a trace is open anywhere. They ask the trace of the thread that reads them.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.compiler.conditions import Conditions
from tinytensor.compiler.optimizing import Live
from tinytensor.compiler.recording import LEAKED
from tinytensor.compiler.stand_ins import TracedArray, Untraceable
from tinytensor.compiler.values import duplicate
from tinytensor.creation import Generator
from tinytensor.graph import Node, owner
from tinytensor.nn.module import Module
from tinytensor.optim.optimizer import Optimizer
from tinytensor.primitive import TensorBase

__all__ = ["Holders", "layout", "patch"]

_tracer = graph._tracer


class Holders(Conditions):
    """Tensors and others from outside, as the program sees them; what it makes of them is taken back at its end."""

    # ---------------------------------------------------------------------------------------------------- what tensors hold

    def made(self, t: Any) -> bool:
        """Whether a tensor was made in this run."""
        return id(t) in self._born

    def stored(self, t: Any) -> Any:
        """The array of a tensor from outside."""
        return _slot(_DATA, t)

    def holds(self, t: Any, array: Any) -> bool:
        """Whether a tensor from outside holds this array."""
        return array is not None and _slot(_DATA, t) is array

    def covering(self, flat: Any, tensors: list[Any]) -> TracedArray:
        """The stand-in of an array that holds the memory of these tensors."""
        made = self.lift(flat, "state")
        made.array.name = made.array.name or "parameters"
        home, inner = made.array.memory, set()
        for t in tensors:
            part = t._data
            self.covered[part.array] = made.array
            if part.array.memory is not home:
                inner.add(part.array.memory)
                self._known[id(owner(part.value))] = (owner(part.value), home)
        self._moved(inner, home)
        home.writes += sum(m.writes for m in inner)
        for a in self.arrays:
            if a.memory in inner:
                a.memory = home
        for call in self.calls:
            if not inner.isdisjoint(call.writes):
                call.writes = tuple(dict.fromkeys(home if m in inner else m for m in call.writes))
        return made

    def data_of(self, t: Any, stored: Any) -> Any:
        """``t._data``."""
        if type(stored) is not np.ndarray:
            if type(stored) is TracedArray and stored.trace is not self:
                raise Untraceable(LEAKED)
            return stored
        key = id(t)
        if key in self.data:
            return self.data[key][1]
        if key in self._born:
            return self.lift(stored)
        if key not in self.states:
            self.nodes[key] = (t, t._node)
            made = self.lift(stored, "state")
            self.states[key] = (t, stored, made.array)
            return made
        return self._lifted[id(stored)]

    def set_data(self, t: Any, value: Any) -> None:
        """``t._data = value``."""
        old = _slot(_DATA, t)
        if old is None:
            self._born.add(id(t))
        if old is None or id(t) in self._born or type(old) is not np.ndarray:
            _DATA.__set__(t, value)
        else:
            self.data_of(t, old)
            self.data[id(t)] = (t, value if type(value) is TracedArray else self.lift(value))

    def grad_of(self, node: Node, stored: Any) -> Any:
        """``node.grad``."""
        key = id(node)
        if key in self.grads:
            return self.grads[key][1]
        if key in self._born or type(stored) is TracedArray:
            return stored
        self.grads_before[key] = (node, stored)
        value: Any = stored
        if layout(stored) is not None and id(owner(stored)) not in self._known:  # it may be another one at each call
            value = self._array(duplicate(stored), "state", None)
            value.array.value = None
            self.gradients[key] = value.array
        elif type(stored) is np.ndarray:
            value = self.lift(stored, "state")
        self.grads[key] = (node, value)
        return value

    def set_grad(self, node: Node, value: Any) -> None:
        """``node.grad = value``."""
        missing = object()
        if id(node) in self._born or _slot(_GRAD, node, missing) is missing:
            self._born.add(id(node))
            _GRAD.__set__(node, value)
        else:
            self.grads[id(node)] = (node, value)

    def generator_of(self, holder: Any, stored: Any) -> Any:
        """``generator.numpy``."""
        return _Draws(self, holder, stored)


def layout(array: Any) -> Any:
    """What a gradient must share with the one that it stands in for; None if it is not one in memory of its own."""
    if type(array) is not np.ndarray or not array.flags.writeable:
        return None
    base = array.base
    lent = type(base) is np.ndarray and base.dtype == np.uint8 and base.base is None and array.dtype.kind in "fc"
    return (array.shape, array.dtype, array.strides) if base is None or lent else None


class _Draws:
    """A random generator whose draws are written down."""

    __slots__ = ("generator", "holder", "trace")

    def __init__(self, trace: Holders, holder: Any, generator: Any) -> None:
        self.trace, self.holder, self.generator = trace, holder, generator

    def __getattr__(self, name: str) -> Any:
        if name == "bit_generator":
            raise Untraceable("tt.compile: the state of a random generator is not part of a compiled function")
        trace, generator = self.trace, self.generator
        trace.generators.setdefault(id(generator), (generator, self.holder, generator.bit_generator.state))

        def draw(*args: Any, **kwargs: Any) -> Any:
            function = getattr(generator, name)
            if kwargs.get("out") is not None:
                return trace.write(function, args, kwargs, [kwargs["out"]])
            return trace.record("draw", function, args, kwargs)

        return draw


# -------------------------------------------------------------------------------------------- what is seen of tensors

_DATA: Any = TensorBase.__dict__["_data"]
_GRAD: Any = Node.__dict__["grad"]
_NUMPY: Any = Generator.__dict__["numpy"]
_TRAINING: Any = Module.__dict__["training"]


def _slot(descriptor: Any, thing: Any, default: Any = None) -> Any:
    try:
        return descriptor.__get__(thing)
    except AttributeError:
        return default


def _get_data(t: Any) -> Any:
    trace, stored = _tracer.get(), _DATA.__get__(t)
    return stored if trace is None else trace.data_of(t, stored)


def _set_data(t: Any, value: Any) -> None:
    trace = _tracer.get()
    if trace is None:
        _DATA.__set__(t, value)
    else:
        trace.set_data(t, value)


def _get_grad(node: Any) -> Any:
    trace, stored = _tracer.get(), _GRAD.__get__(node)
    return stored if trace is None else trace.grad_of(node, stored)


def _set_grad(node: Any, value: Any) -> None:
    trace = _tracer.get()
    if trace is None:
        _GRAD.__set__(node, value)
    else:
        trace.set_grad(node, value)


def _get_training(module: Any) -> Any:
    trace, value = _tracer.get(), vars(module).get("training", _TRAINING)
    if trace is not None:
        trace.guard(module, "training", value)
    return value


def _set_training(module: Any, value: Any) -> None:
    vars(module)["training"] = value


def _get_numpy(holder: Any) -> Any:
    trace, stored = _tracer.get(), _NUMPY.__get__(holder)
    return stored if trace is None else trace.generator_of(holder, stored)


def _get_attribute(module: Any, name: str) -> Any:
    trace = _tracer.get()
    if trace is not None and name[:2] != "__":
        own = object.__getattribute__(module, "__dict__")
        if name in own and name != "training":
            trace.attributes[id(own), name] = (own, name)
            if type(own[name]) in (list, dict):  # of layers, which are replaced without assigning the attribute
                trace.guard_members(own[name])
    return object.__getattribute__(module, name)


def _get_groups(optimizer: Any) -> Any:
    trace, stored = _tracer.get(), vars(optimizer)["param_groups"]
    return stored if trace is None else [Live(trace, group) for group in stored]


def _set_groups(optimizer: Any, value: Any) -> None:
    vars(optimizer)["param_groups"] = value


#: Where it is, its name, and what stands there while a trace is open.
_seen: list[tuple[Any, str, Any]] = [
    (TensorBase, "_data", property(_get_data, _set_data)), (Node, "grad", property(_get_grad, _set_grad)),
    (Generator, "numpy", property(_get_numpy, _NUMPY.__set__)), (Module, "training", property(_get_training, _set_training)),
    (Module, "__getattribute__", _get_attribute), (Optimizer, "param_groups", property(_get_groups, _set_groups)),
]  # fmt: skip
_before = {(place, name): vars(place)[name] for place, name, _ in _seen if name in vars(place)}
_open = 0
_lock = threading.Lock()


def patch(change: int) -> None:
    """While any trace is open, in any thread, what tensors hold is asked of the trace of the thread that asks."""
    global _open
    with _lock:
        _open += change
        if _open == 1 and change == 1:
            for place, name, found in _seen:
                setattr(place, name, found)
        elif _open == 0:
            for place, name, _ in _seen:
                if (place, name) in _before:
                    setattr(place, name, _before[place, name])
                else:
                    delattr(place, name)
