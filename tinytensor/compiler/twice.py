"""Two traces of one call must be the same program: what differs came from outside, and would freeze."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.compiler.program import Array, Call, Number
from tinytensor.compiler.stand_ins import Untraceable
from tinytensor.compiler.trace import Trace

__all__ = ["check_same"]


def check_same(first: Trace, second: Trace, results: tuple[Any, Any]) -> None:
    """Raise Untraceable if the traces differ, in a call, in a constant, or in how many there are."""
    if len(first.calls) != len(second.calls):
        raise _changed(f"{len(first.calls)} calls of NumPy, then {len(second.calls)}")
    pairs: dict[Any, Any] = {}  # arrays of the first that were met -> of the second, and back
    for a, b in zip(first.calls, second.calls, strict=True):
        if a.function != b.function and a.name() != b.name():
            raise _changed(f"{a.name()}, then {b.name()}", a)
        if not _equal([a.args, a.kwargs, a.out], [b.args, b.kwargs, b.out], pairs):
            raise _changed("a constant of another value, or another array", a)
    if not _equal(*results, pairs):
        raise _changed("what is returned")
    for x, y in zip(_constants(first), _constants(second), strict=False):
        if x.value is not y.value and not _same_bytes(x.value, y.value):
            raise _changed(f"a constant array of shape {x.shape} with other values")
    outer = {id(y.value) for y in _constants(second)}
    for x in _constants(first):
        x.memory.fresh = id(x.value) not in outer


def _constants(trace: Trace) -> list[Array]:
    return [a for a in trace.arrays if a.memory.kind == "constant" and a.call is None]


def _equal(a: Any, b: Any, pairs: dict[Any, Any]) -> bool:
    if isinstance(a, Array) and isinstance(b, Array):
        alike = (a.shape, a.dtype, a.strides, a.offset) == (b.shape, b.dtype, b.strides, b.offset)
        return alike and pairs.setdefault(a, b) is b and pairs.setdefault(b, a) is a
    if isinstance(a, Number) and isinstance(b, Number):
        return a.number == b.number
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(_equal(x, y, pairs) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k], pairs) for k in a)
    if isinstance(a, slice):
        return _equal((a.start, a.stop, a.step), (b.start, b.stop, b.step), pairs)
    if isinstance(a, np.generic):
        return bool(a.tobytes() == b.tobytes())
    if isinstance(a, (float, complex)):
        return repr(a) == repr(b)
    if isinstance(a, (int, str, bytes, bool, np.dtype)):
        return bool(a == b)
    return True


def _same_bytes(a: Any, b: Any) -> bool:
    return bool(a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes())


def _changed(what: str, call: Call | None = None) -> Untraceable:
    where = "" if call is None else f" in call {call.number} ({call.label or call.name()})"
    return Untraceable(
        f"tt.compile: two runs of the function differ{where}: {what}. Something that is not an argument changes from call to "
        "call (time, NumPy's own random numbers, a counter in Python) and would be frozen; pass it as an argument, keep it in "
        "a tensor, or draw with tt.rng()."
    )
