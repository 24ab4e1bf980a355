"""``tt.compile``: trace a function once for each signature, then replay its plan."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.compiler.code import Code, Handed
from tinytensor.compiler.plan import Plan
from tinytensor.compiler.program import Array, Number, arrays, mapped, numbers
from tinytensor.compiler.stand_ins import TracedNumber, Untraceable
from tinytensor.compiler.optimizing import Unsettled
from tinytensor.compiler.trace import Trace, _same, tracing
from tinytensor.graph import Node, recording
from tinytensor.primitive import TensorBase, wrap

__all__ = ["Compiled", "compile"]

_OTHER = object()  # a replay found that its plan does not hold: another value decides
_STALE = object()  # a tensor of it holds another array
_MOST = 64


class Replay:
    """A plan that is bound to memory: ``run(*leaves)``."""

    def __init__(self, compiled: Compiled, plan: Plan, code: Code) -> None:
        self.compiled, self.plan, self.code = compiled, plan, code
        self.text = self._text()
        self.namespace: dict[str, Any] = {}
        self.bind()

    # ----------------------------------------------------------------------------------------------------------- memory

    def bind(self) -> bool:
        """Give every name that is made once its meaning; False if a tensor's array no longer has the layout."""
        plan, code = self.plan, self.code
        values: dict[Array, Any] = {}
        for t, _, array in plan.trace.states.values():
            held = t._data
            if held.shape != array.shape or held.dtype != array.dtype or held.strides != array.strides:
                return False
            values[array] = held
        for a in plan.trace.arrays:
            if a.call is None and a not in values and a.value is not None:
                values[a] = a.value
        blocks = [np.empty(n, np.uint8) for n in plan.blocks]
        for call in plan.calls:
            out = call.out
            if type(out) is Array and out.memory in plan.static and call.kind != "view" and out not in values:
                values[out] = np.ndarray(out.shape, out.dtype, blocks[plan.block_of[out.memory]], 0, out.strides)
            if call.kind == "view" and all(code.static(a) for a in call.results()):
                made = call.function(*mapped(call.args, lambda x: values[x] if type(x) is Array else x),
                                     **mapped(call.kwargs, lambda x: values[x] if type(x) is Array else x))  # fmt: skip
                for a, value in zip(call.results(), made if type(made) in (list, tuple) else [made], strict=True):
                    values[a] = value
        space = self.namespace or {}
        space.update(code.functions)
        space.update(code.constants)
        space.update(self.fixed)
        for a, value in values.items():
            if a in code._names and code.static(a):
                space[code.name(a)] = value
        for name, t, array in self.guards:
            space[name] = values[array]
        if not self.namespace:
            exec(compile_(self.text, f"<tt.compile {self.compiled.__name__}>", "exec"), space)
            self.namespace = space
        self.run: Callable[..., Any] = space["run"]
        return True

    # ------------------------------------------------------------------------------------------------------------- text

    def _text(self) -> str:
        plan, code = self.plan, self.code
        self.fixed: dict[str, Any] = {"OTHER": _OTHER, "STALE": _STALE, "tensor": lambda x: wrap(x, None)}
        head: list[str] = []
        self.guards: list[tuple[str, Any, Array]] = []
        for t, _, array in plan.trace.states.values():
            holder = code.constant(t, f"tensor_{code._wanted(array)}")
            if array.memory in plan.dynamic:
                name = code.name(array)
                head.append(f"{name} = {holder}._data")
                self.fixed[f"{name}_layout"] = (array.shape, array.dtype, array.strides)
                head.append(f"if ({name}.shape, {name}.dtype, {name}.strides) != {name}_layout: return STALE")
            else:
                guard = code.fresh(f"held_{code._wanted(array)}")
                self.guards.append((guard, t, array))
                head.append(f"if {holder}._data is not {guard}: return STALE")
        for node, before in plan.trace.grads_before.values():
            if before is None or before is False:
                head.append(f"if {code.constant(node, 'node')}.grad is not {before}: return OTHER")
        for k, (thing, attribute, value) in enumerate(plan.trace.guards.values()):
            head.append(
                f"if {code.constant(thing, type(thing).__name__.lower())}.{attribute} is not {code.text(value)}: return OTHER"
                if value is None or type(value) is bool else
                f"if {code.constant(thing, type(thing).__name__.lower())}.{attribute} != {code.text(value)}: return OTHER"
            )
        for container, length in plan.trace.lengths.values():
            head.append(f"if len({code.constant(container, 'params')}) != {length}: return OTHER")
        for container, key, array in plan.trace.entries.values():
            name = code.fresh(f"held_{key}")
            self.fixed[name] = array
            head.append(f"if {code.constant(container, 'options')}[{key!r}] is not {name}: return OTHER")
        for t, node in plan.trace._nodes.values():
            head.append(f"if {code.constant(t, 'tensor')}._node is not {code.constant(node, 'node') if node else None}: return OTHER")
        for generator, holder, _ in plan.trace.generators.values():
            head.append(f"{code.generator(generator)} = {code.constant(holder, 'generator')}.numpy")
        wanted = self._wanted_numbers()
        head += code.number_lines(wanted)
        for n, how, answer in plan.decisions:
            asked = code.name(n) if how is _same else f"{code.function(how)}({code.name(n)})"
            head.append(f"if {asked} != {code.text(answer)}: return OTHER")
        lines, quiet = [*head], False
        for line, call in code.body:
            if call is not None and call.quiet != quiet:
                quiet = call.quiet
                lines.append("token = errors_set(IGNORED)" if quiet else "errors_reset(token)")
            lines.append(line)
        if quiet:
            lines.append("errors_reset(token)")
        self.fixed.update(errors_set=graph._errors.set, errors_reset=graph._errors.reset, IGNORED=graph._IGNORED)
        for t, value in plan.rebound:
            lines.append(f"{code.constant(t, 'tensor')}._data = {code.text(value)}")
        for node, value in plan.grads:
            lines.append(f"{code.constant(node, 'node')}.grad = {code.text(value)}")
        for container, key, value in plan.trace.cell_writes.values():
            lines.append(f"{code.constant(container, 'options')}[{key!r}] = {code.text(value)}")
        for function, args in plan.trace.last:
            lines.append(f"{code.constant(function, 'afterwards')}({', '.join(map(code.text, args))})")
        lines.append(f"return {code.text(plan.out)}")
        return f"def run({', '.join(code.arguments)}):\n" + "\n".join("    " + line for line in lines) + "\n"

    def _wanted_numbers(self) -> set[Number]:
        plan = self.plan
        wanted: set[Number] = {n for n, _, _ in plan.decisions}
        for call in plan.calls:
            wanted.update(numbers(call.args))
            wanted.update(numbers(call.kwargs))
        wanted.update(numbers(plan.out))
        wanted.update(numbers([args for _, args in plan.trace.last]))
        wanted.update(numbers([v for _, _, v in plan.trace.cell_writes.values()]))
        for n in reversed(plan.numbers):
            if n in wanted:
                wanted.update(x for x in n.inputs if type(x) is Number)
        return wanted


compile_ = compile


class Compiled:
    """A function whose NumPy calls are known: what :func:`compile` returns."""

    def __init__(self, function: Callable[..., Any], most: int = _MOST) -> None:
        update_wrapper(self, function)
        self.function = function
        self._plans: dict[Any, list[Replay]] = {}
        self._last: tuple[Any, Replay] | None = None
        self._lock = threading.RLock()
        self._busy = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tracing() is not None or graph.watching() is not None:
            return self.function(*args, **kwargs)
        leaves: list[Any] = []
        key = (_signature((args, kwargs), leaves), recording())
        with self._lock:
            for replay in self._plans.get(key, ()):
                result = replay.run(*leaves)
                if result is _STALE and replay.bind():
                    result = replay.run(*leaves)
                if result is not _STALE and result is not _OTHER:
                    return result
            try:
                replay = self._trace(args, kwargs)
            except Unsettled:
                return self.function(*args, **kwargs)
            self._plans.setdefault(key, []).insert(0, replay)
            result = replay.run(*leaves)
            assert result is not _OTHER and result is not _STALE
            return result

    def _trace(self, args: Any, kwargs: Any) -> Replay:
        plan, names = self._once(args, kwargs)
        code = Code(plan, {}, names)
        return Replay(self, plan, code)

    def _once(self, args: Any, kwargs: Any) -> tuple[Plan, list[str]]:
        with Trace() as trace:
            names: list[str] = []
            given_args, given_kwargs = _stand_ins((args, kwargs), trace, names)
            out = self.function(*given_args, **given_kwargs)
            plan = Plan(trace, _handed(out, trace))
        return plan, names


def _signature(tree: Any, leaves: list[Any]) -> Any:
    """What two calls must share to share a plan; arrays, tensors and floats go to ``leaves``."""
    kind = type(tree)
    if kind is np.ndarray:
        leaves.append(tree)
        return (tree.shape, tree.dtype, tree.strides)
    if isinstance(tree, TensorBase):
        data = tree._data
        leaves.append(data)
        return (kind, data.shape, data.dtype, data.strides, tree._node is not None)
    if kind is float:
        leaves.append(tree)
        return float
    if isinstance(tree, (tuple, list)):
        return (kind, *[_signature(x, leaves) for x in tree])
    if kind is dict:
        return (dict, *[(k, _signature(v, leaves)) for k, v in tree.items()])
    return (kind, tree)


def _stand_ins(tree: Any, trace: Trace, names: list[str], path: str = "") -> Any:
    kind = type(tree)
    if kind is np.ndarray or kind is float or isinstance(tree, TensorBase):
        name = f"a{len(names)}"
        names.append(name)
        made = trace.argument(tree._data if isinstance(tree, TensorBase) else tree, len(names) - 1)
        (made.number if type(made) is TracedNumber else made.array).name = name
        if not isinstance(tree, TensorBase):
            return made
        t = object.__new__(kind)
        t._data = made
        t._node = graph.leaf(made) if tree._node is not None else None
        return t
    if kind in (tuple, list):
        return kind([_stand_ins(x, trace, names) for x in tree])
    if kind is dict:
        return {k: _stand_ins(v, trace, names) for k, v in tree.items()}
    return tree


def _handed(out: Any, trace: Trace) -> Any:
    """What the function returned, with arrays of the program in the place of stand-ins."""

    def change(x: Any) -> Any:
        if isinstance(x, TensorBase):
            if id(x) not in trace._born:
                return x
            if x._node is not None and (x._node.op is None or x._node.saved is not None):
                raise Untraceable("tt.compile: returns a tensor that requires grad")
            data = x._data
            return Handed(trace._symbol(data))
        return trace._symbol(x)

    return mapped(out, change)


def compile(function: Callable[..., Any]) -> Compiled:
    """Trace."""
    return Compiled(function)


del Node, sys, warnings, arrays
