"""A trace: the NumPy calls of one run of a function, written down in the order in which they are made.

Our primitives, their rules, the walk and the optimizers are NumPy code, so that one mechanism sees all of them: the arrays
they get are stand-ins. What a tensor holds is handed out as a stand-in too: while a trace is open, ``TensorBase._data``,
``Node.grad`` and ``Generator.numpy`` are properties that ask it. Nothing that was there before is changed for good: what the
run writes is taken back at its end, and a replay of the plan then does it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tinytensor import graph
from tinytensor.compiler.conditions import same
from tinytensor.compiler.holders import layout, patch
from tinytensor.compiler.stand_ins import Untraceable
from tinytensor.compiler.walking import Walking
from tinytensor.deferred import use_batching
from tinytensor.primitive import Op, TensorBase, _general, _variadic

__all__ = ["Trace", "layout", "same", "tracing"]

_tracer = graph._tracer
tracing = graph.tracing


class Trace(Walking):
    """One open run: ``with Trace() as trace``, and then what it wrote down."""

    native = False  # whether its plans are for a compiler

    # ------------------------------------------------------------------------------------------------------ open, close

    def __enter__(self) -> Trace:
        patch(1)
        self._token = _tracer.set(self)
        return self

    def __exit__(self, *error: Any) -> None:
        self.closed = True
        self._guards.clear()  # they hold the trace
        _tracer.reset(self._token)
        patch(-1)
        self.take_back()
        for generator, _, state in self.generators.values():
            generator.bit_generator.state = state
        self._forget()
        if error[0] is not None:
            things: list[Any] = [*self.arrays, *self.memories]  # in cycles with the calls
            for thing in things:
                thing.let_go()
        for t, node in self.nodes.values():
            if t._node is not node:
                t._node = node
                if error[0] is None:
                    raise Untraceable(
                        "tt.compile: the function changes whether a tensor from outside requires grad, or rebinds it by a "
                        "recorded write; do that before the call, or assign to a name of the function's own"
                    )

    def _forget(self) -> None:
        """Let go of the stand-ins, which hold the trace and the values of this run: the program is made of their symbols."""
        self.data = {key: (t, self.symbol(value)) for key, (t, value) in self.data.items()}
        self.grads = {key: (node, self.symbol(value)) for key, (node, value) in self.grads.items()}
        held: list[Any] = [self._lifted, self._known, self._born, self._undo, self.cells]
        for each in held:
            each.clear()
        for array in self.gradients.values():
            array.memory.let_go()


# --------------------------------------------------------------------------------- a primitive that asks for values

_whole_ops: dict[str, Callable[..., Any]] = {}


def _as_one_call(op: Any, apply: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """A primitive whose forward function asks for values: recorded as one call of it."""
    trace = _tracer.get()
    if trace is None or any(hasattr(x, "_inner") for x in args):
        return NotImplemented
    if not isinstance(op, Op):
        raise sys.exc_info()[1] or Untraceable("tt.compile: this function asks for the value of an array")
    if not any(isinstance(x, TensorBase) for x in args):
        return trace.opaque(op.forward, args)
    if op.key not in _whole_ops:

        def whole(*values: Any, forward: Any = op.forward) -> Any:
            current = _tracer.get()
            assert current is not None
            return current.opaque(forward, values)

        _whole_ops[op.key] = _variadic(op, whole) if op.variadic else _general(op, whole)
    return _whole_ops[op.key](*args)


use_batching(_as_one_call)
