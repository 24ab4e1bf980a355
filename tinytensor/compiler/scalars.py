"""Python numbers beside arrays, as arrays of no dimensions: NumPy takes those as they are, and converts the others at each call."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from tinytensor.compiler.program import Array, Call, Number, added
from tinytensor.compiler.trace import Trace

__all__ = ["SPREAD", "prepared", "spreads"]


def prepared(trace: Trace, calls: list[Call]) -> list[Call]:
    """The calls with numbers in the dtype that NumPy would give them: constants once, others once in each replay."""
    known: dict[Any, Array] = {}
    found: list[Call] = []

    def constant(value: Any) -> Array:
        key = value.tobytes(), value.dtype
        if key not in known:
            known[key] = added(trace, value, "constant")
        return known[key]

    def number(x: Number, dtype: Any, beside: Call) -> Array:
        if (x, dtype) not in known:
            made = known[x, dtype] = added(trace, np.array(x.value, dtype), "result")
            fill = made.call = Call(-1, "call", np.full_like, (None, x), {})
            fill.out, fill.part, fill.quiet, made.name = made, beside.part, beside.quiet, x.name
            found.append(fill)
        return known[x, dtype]

    def argument(x: Any, dtype: Any, call: Call) -> Any:
        if type(x) in (int, float) and _fits(x, dtype):
            return constant(np.array(x, dtype))
        if type(x) is Number and type(x.value) is float:
            return number(x, dtype, call)
        if type(x) is Array and _repeats(x, call):
            return constant(np.array(np.ndarray((), x.dtype, x.memory.whole, x.offset)))
        return x

    whole: dict[Any, Array] = {}

    def spread(x: Any, call: Call) -> Any:
        value, shape = getattr(x, "value", None), call.out.shape
        if type(x) is not Array or x.shape or x.memory.kind != "constant" or value is None or not spreads(value[()]):
            return x
        key = value.tobytes(), value.dtype, shape
        if key not in whole:
            whole[key] = added(trace, np.full(shape, value), "constant")
        return whole[key]

    for call in calls:
        if (dtype := _loop(call)) is not None:
            call.args = tuple([argument(x, dtype, call) for x in call.args])
            if call.function in SPREAD and not trace.native and _small(call):
                call.args = tuple([spread(x, call) for x in call.args])
        found.append(call)
    return found


#: NumPy takes these three times as fast with an array of one number again and again as with the number.
SPREAD = frozenset({np.maximum, np.minimum})
#: Elements of such an array: it should stay in the cache.
_FEW, _MANY = 32, 1 << 16


def _small(call: Call) -> bool:
    """Whether the result is as large as one of its arguments, and neither very small nor very large."""
    return _FEW <= math.prod(call.out.shape) <= _MANY and any(
        type(x) is Array and x.shape == call.out.shape and any(x.strides) for x in call.args
    )


@lru_cache(maxsize=256)
def spreads(value: Any) -> bool:
    """Whether that gives the same bits on this machine, of zeros with either sign and of what is no number, too."""
    odd = np.array([-0.0, 0.0, np.nan, -np.nan, np.inf, -np.inf, 1.0, -1.0] * 9, value.dtype)
    return all(
        f(odd[:n], value).tobytes() == f(odd[:n], np.full(n, value)).tobytes()
        and f(value, odd[:n]).tobytes() == f(np.full(n, value), odd[:n]).tobytes()
        for f in SPREAD
        for n in (8, 16, 33, 72)
    )


def _loop(call: Call) -> Any:
    """The dtype that an elementwise function computes in, if that is one for all its arguments, and floating."""
    if call.kind != "ufunc" or set(call.kwargs) - {"out"} or call.function.signature is not None:
        return None
    dtypes = {x.dtype for x in call.args if type(x) is Array}
    if len(dtypes) != 1 or len(call.args) < 2:
        return None
    (dtype,) = dtypes
    kind = dtype.char
    homogeneous = any(t.startswith(kind * len(call.args) + "->") for t in call.function.types)
    out = call.out.dtype if type(call.out) is Array else None
    exact = homogeneous and out in (dtype, np.dtype(bool)) and call.function is not np.ldexp
    return dtype if kind in "fd" and exact else None


def _repeats(x: Array, call: Call) -> bool:
    """Whether a constant is one number repeated, beside an array of the result's shape: NumPy repeats a number faster."""
    memory, out = x.memory, call.out
    return (
        memory.kind == "constant" and bool(x.shape) and x.nbytes > 0 and not any(x.strides) and memory.whole is not None
        and memory.whole.flags.c_contiguous and type(out) is Array
        and any(type(y) is Array and y is not x and y.shape == out.shape for y in call.args)
    )  # fmt: skip


def _fits(x: Any, dtype: Any) -> bool:
    """Whether the conversion is NumPy's own: of an integer exact, of a finite float finite."""
    if type(x) is int:
        return abs(x) < 2**24
    return math.isnan(x) or math.isinf(x) or abs(x) <= float(np.finfo(dtype).max)
