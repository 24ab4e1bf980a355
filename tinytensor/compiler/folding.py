"""Constant folding: what is computed from constants alone is computed once, when the plan is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.compiler.outs import ALLOCATE
from tinytensor.compiler.program import Array, Call, Memory, arrays, leaves, mapped, numbers

__all__ = ["folded"]


def folded(calls: list[Call]) -> list[Call]:
    """The calls that are left; results of the others are constants now. A call that warns is left: it does so each time."""
    values: dict[Array, Any] = {}
    left: list[Call] = []
    begins: dict[Memory, int] = {}
    for call in calls:
        value = _value(call, values)
        if value is None or call.kind == "view":
            left.append(call)
            _looked_at(call, value, values, begins)
            continue
        memory, values[call.out] = call.out.memory, value
        begins[memory] = _address(value)
        memory.kind, memory.whole, memory.fresh = "constant", value if value.base is None else value.base, True
        call.out.call, call.out.value, call.out.strides = None, value, value.strides
    return left


def _looked_at(call: Call, made: Any, values: dict[Array, Any], begins: dict[Memory, int]) -> None:
    """Views of what is a constant now look at that one: in its steps, if it is one number again and again."""
    for a, value in zip(call.results() if made is not None else (), leaves(made, np.ndarray), strict=True):
        values[a] = value
        if a.memory in begins:
            a.strides, a.offset = value.strides, _address(value) - begins[a.memory]


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _value(call: Call, values: dict[Array, Any]) -> Any:
    """What a call gives, if it is the same each time."""
    given, out = list(arrays([call.args, list(call.kwargs.values())])), call.out
    if (
        call.kind not in ("ufunc", "reduce", "call", "view")
        or not given
        or call.writes
        or (type(out) is not Array and call.kind != "view")
        or any(a.scalar or a.memory.writes for a in call.results())
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
    if call.kind == "view":
        return made
    made = np.asarray(made)
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
