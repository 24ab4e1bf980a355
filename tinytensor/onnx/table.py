"""The table of emitters: for each primitive the function that writes it as ONNX nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinytensor.onnx.graph import Graph
from tinytensor.onnx.program import Step
from tinytensor.primitive import Op

__all__ = ["EMITTERS", "Emitter", "emitter", "emits"]

#: Writes a step into the graph, and returns the name of its result, or a list of names.
Emitter = Callable[[Graph, Step], Any]

#: The key of a primitive (its module and name), or ``numpy.`` and the name of a function without derivative.
EMITTERS: dict[str, Emitter] = {}


def emits(*keys: str) -> Callable[[Emitter], Emitter]:
    """Enter a function for these primitives, named by module and function below ``tinytensor``."""

    def enter(function: Emitter) -> Emitter:
        for key in keys:
            EMITTERS[key if key.startswith("numpy.") else f"tinytensor.{key}"] = function
        return function

    return enter


def emitter(primitive: Callable[..., Any]) -> Callable[[Emitter], Emitter]:
    """Say how a primitive of your own is written as ONNX nodes.

    The decorated function gets the graph and the step: ``g("Kind", inputs..., attributes...)`` adds a node and returns
    the name of its result; ``step.args`` are the primitive's arguments, ``step.out`` has its shape and dtype.

    >>> import numpy as np, tinytensor as tt
    >>> @tt.primitive(x=lambda g, x: g * 3 * x**2)
    ... def cube(x):
    ...     return x * x * x
    >>> @tt.onnx.emitter(cube)
    ... def _(g, step):
    ...     (x,) = step.args
    ...     return g("Mul", g("Mul", x, x), x)
    """
    op = getattr(primitive, "op", None)
    if not isinstance(op, Op):
        raise TypeError(f"onnx.emitter: expected a primitive, got {type(primitive).__name__} {primitive!r:.60}")

    def enter(function: Emitter) -> Emitter:
        EMITTERS[op.key] = function
        return function

    return enter
