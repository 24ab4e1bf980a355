"""Constant folding: what is computed from constants alone is computed once, when the plan is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.compiler.outs import ALLOCATE
from tinytensor.compiler.program import Array, Call, arrays, mapped, numbers

__all__ = ["folded"]


def folded(calls: list[Call]) -> list[Call]:
    """The calls that are left; results of the others are constants now. A call that warns is left: it does so each time."""
    values: dict[Array, Any] = {}
    left: list[Call] = []
    for call in calls:
        value = _value(call, values)
        if value is not None:
            values[call.out] = value
        if value is None or call.kind == "view":
            left.append(call)
            continue
        memory = call.out.memory
        memory.kind, memory.whole, memory.fresh = "constant", value if value.base is None else value.base, True
        call.out.call, call.out.value, call.out.strides = None, value, value.strides
    return left


def _value(call: Call, values: dict[Array, Any]) -> Any:
    """What a call gives, if it is the same each time."""
    given, out = list(arrays([call.args, list(call.kwargs.values())])), call.out
    if (
        call.kind not in ("ufunc", "reduce", "call", "view")
        or not given
        or call.writes
        or type(out) is not Array
        or out.scalar
        or out.memory.writes
        or call.function in ALLOCATE
        or any(True for _ in numbers([call.args, list(call.kwargs.values())]))
    ):
        return None
    for a in given:
        if a not in values:
            if a.memory.kind != "constant" or a.call is not None or a.value is None or a.memory.writes:
                return None
            values[a] = a.value
    change: Any = lambda x: values[x] if type(x) is Array else x  # noqa: E731
    if call.kind == "ufunc" and _one_number(call, given, values):
        change = lambda x: values[x].reshape(-1)[:1].reshape(()) if type(x) is Array else x  # noqa: E731
    try:
        with np.errstate(all="raise"):
            made = call.function(*mapped(call.args, change), **mapped(call.kwargs, change))
    except FloatingPointError:
        return None
    made = np.asarray(made)
    if call.kind == "view":
        return made
    if made.shape != out.shape:
        return np.broadcast_to(made, out.shape)
    return made if made.base is None and made.strides == out.strides and made.dtype == out.dtype else None


def _one_number(call: Call, given: list[Array], values: dict[Array, Any]) -> bool:
    """Whether an elementwise function sees one number only, again and again: then so is its result."""
    whole = call.out.strides == np.empty(call.out.shape, call.out.dtype).strides
    return (
        whole
        and call.function.signature is None
        and bool(call.out.nbytes)
        and all(a.nbytes and not any(values[a].strides) for a in given)
    )
