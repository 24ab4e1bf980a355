"""Kernels: calls of NumPy that Numba makes one function of, ``tt.compile(f, backend="numba")``.

Elementwise calls over the same shape become one loop, whose values go from call to call in registers; sums become loops,
and small products of matrices one call of BLAS each, without NumPy in between. The order of additions differs, and so does
the rounding. Functions that NumPy computes faster than a compiled loop would (tanh, exp, log of more than a few numbers),
and all that has no form here, stay calls of NumPy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.compiler.program import Array, Call, Number, arrays
from tinytensor.compiler.runs import LARGE, Run, contiguous, elementwise

__all__ = ["FORMS", "PRODUCTS", "Kernel", "factors", "needed", "place", "reduced", "root"]

#: The expression of an elementwise function of {0}, {1}, {2}.
FORMS: dict[Any, str] = {
    np.add: "{0} + {1}", np.subtract: "{0} - {1}", np.multiply: "{0} * {1}", np.divide: "{0} / {1}", np.negative: "-{0}",
    np.positive: "{0}", np.sign: "np.sign({0}) + 0.0", np.square: "{0} * {0}", np.reciprocal: "1 / {0}", np.absolute: "abs({0})", np.sqrt: "np.sqrt({0})",
    np.maximum: "({0} if {0} > {1} or {0} != {0} else {1})", np.minimum: "({0} if {0} < {1} or {0} != {0} else {1})",
    np.fmax: "({0} if {0} > {1} or {1} != {1} else {1})", np.fmin: "({0} if {0} < {1} or {1} != {1} else {1})",
    np.greater: "{0} > {1}", np.greater_equal: "{0} >= {1}", np.less: "{0} < {1}", np.less_equal: "{0} <= {1}",
    np.equal: "{0} == {1}", np.not_equal: "{0} != {1}", np.isnan: "{0} != {0}", np.where: "({1} if {0} else {2})",
    np.ndarray.astype: "{0}", np.ndarray.copy: "{0}", np.copy: "{0}",
}  # fmt: skip
#: Those of two or one truth values.
TRUTHS: dict[Any, str] = {
    np.logical_and: "{0} and {1}", np.logical_or: "{0} or {1}", np.logical_not: "not {0}", np.bitwise_and: "{0} and {1}",
    np.bitwise_or: "{0} or {1}", np.invert: "not {0}", np.not_equal: "{0} != {1}", np.equal: "{0} == {1}",
    np.ndarray.copy: "{0}", np.copy: "{0}", np.multiply: "{0} and {1}",
}  # fmt: skip
#: Those that NumPy has vectors for: compiled for a few numbers alone.
SLOW: dict[Any, str] = {
    np.exp: "np.exp({0})", np.log: "np.log({0})", np.tanh: "np.tanh({0})", np.sin: "np.sin({0})", np.cos: "np.cos({0})",
    np.log1p: "np.log1p({0})", np.expm1: "np.expm1({0})",
}  # fmt: skip
#: Products of matrices: the second one is the plan's choice where it gives the same bits.
PRODUCTS = (np.matmul, np.dot)
_FEW = 64
_DTYPES = frozenset({"float32", "float64", "bool", "int32", "int64"})
_SUMMED = 65536  # elements of a sum, or multiplications of a product, that a kernel takes
_PRODUCT = 1 << 21


def needed() -> Any:
    """Numba, or one sentence about it."""
    try:
        import numba  # type: ignore[import-not-found, import-untyped, unused-ignore]
        import scipy.linalg.cython_blas  # type: ignore[import-untyped, unused-ignore]  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "tt.compile(backend='numba') needs Numba and SciPy: pip install 'tinytensor[numba]'"
        ) from error
    return numba


class Kernel(Run):
    """Calls that become one compiled function: ``size`` is their number of results."""

    least = 1  # until those that follow each other are joined

    @staticmethod
    def begins(call: Call) -> bool:
        """Whether a call has a compiled form."""
        if type(call.out) is not Array or not all(map(_known, [call.out, *arrays(call.args)])):
            return False
        if call.function is np.full_like:
            return call.args[0] is None and type(call.args[1]) is Number and call.out.shape == ()
        if call.kind == "reduce":
            return reduced(call) is not None
        if call.function in PRODUCTS:
            return factors(call) is not None
        return elementwise(call) and not _shifted(call) and form(call) is not None and call.out.nbytes <= LARGE

    @classmethod
    def of(cls, call: Call) -> Run:
        """An empty kernel."""
        return cls(0)

    def takes(self, call: Call) -> bool:
        """Every call that has a form."""
        self.calls.append(call)
        return True


def root(a: Array) -> Array:
    """The array that it is a view of."""
    while a.call is not None and a.call.kind == "view":
        a = next(iter(a.call.reads()))
    return a


def place(a: Array) -> int:
    """Where it begins, in bytes: in its memory, or in all there is for what was there before."""
    whole = root(a)
    if whole.call is None and whole.value is not None:
        return int(whole.value.__array_interface__["data"][0]) + a.offset - whole.offset
    return a.offset


def _known(a: Array) -> bool:
    """Whether a kernel can look at it: at plain numbers in steps of whole elements."""
    whole = root(a)
    if whole.scalar and whole.memory.writes:  # a number, of which NumPy makes arrays that are written
        return False
    size = a.dtype.itemsize
    plain = a.dtype.name in _DTYPES and a.dtype.isnative and whole.dtype.itemsize == size
    steps = a.offset % size == 0 and all(s >= 0 and s % size == 0 for s in a.strides)
    return (
        plain
        and steps
        and a.memory is whole.memory
        and (whole.memory.kind in ("state", "constant") or contiguous(whole))
    )


def _shifted(call: Call) -> bool:
    """Whether it reads what it writes, at another place: NumPy makes a copy first."""
    out = call.out
    looks = {(place(a), a.strides, a.shape) for a in arrays(call.args) if a.memory is out.memory}
    return not looks <= {(place(out), out.strides, out.shape)}


def form(call: Call) -> tuple[str, Any] | None:
    """The expression of an elementwise call, and the dtype that its arguments are converted to (None: they are not)."""
    f, out = call.function, call.out
    given = [x for x in call.args if not isinstance(x, (np.dtype, type))]
    if not all(isinstance(x, (Array, Number, bool, int, float)) for x in given):
        return None
    kinds = [x.dtype if type(x) is Array else type(x.value) if type(x) is Number else type(x) for x in given]
    if masked(call):
        return "({0} if {1} else {zero})", None
    if f is np.where:
        return FORMS[f], out.dtype
    if f in (np.ndarray.astype, np.ndarray.copy, np.copy):
        return (FORMS[f], None) if out.dtype.kind != "b" or getattr(kinds[0], "kind", "") == "b" else None
    try:
        dtypes = f.resolve_dtypes((*kinds, None))
    except TypeError:
        return None
    loop = dtypes[0]
    if loop.kind in "iu" and any(_too_large(x, loop) for x in given):
        return None
    if any(d != loop for d in dtypes[:-1]) or loop.name not in _DTYPES or dtypes[-1] != out.dtype:
        return None
    if loop.kind == "b":
        text = TRUTHS.get(f)
    elif f in SLOW:
        text = SLOW[f] if math.prod(out.shape) <= _FEW else None
    else:
        text = FORMS.get(f) if loop.kind == "f" or f not in (np.divide, np.reciprocal) else None
    return (text, loop) if text is not None else None


def _too_large(x: Any, dtype: Any) -> bool:
    """Whether a Python number may be none of an integer dtype's: NumPy compares it all the same."""
    if type(x) is Number:
        return True
    return type(x) is int and not np.iinfo(dtype).min <= x <= np.iinfo(dtype).max


def masked(call: Call) -> bool:
    """Whether it keeps or clears the bits of numbers: integers, by which floats are looked at, times truth values."""
    if call.function is not np.multiply or len(list(arrays(call.args))) != 2:
        return False
    x, mask = call.args
    return bool(
        mask.dtype.kind == "b"
        and x.dtype.kind == "i" == call.out.dtype.kind
        and x.dtype == call.out.dtype
        and root(x).dtype.kind == "f"
    )


def reduced(call: Call) -> tuple[int, ...] | None:
    """The axes of a sum, or of a largest or smallest number, that a kernel can take."""
    owner = call.function.__self__
    (x,) = call.args if len(call.args) == 1 else (None,)
    if type(x) is not Array or not set(call.kwargs) <= {"axis", "keepdims", "out"} or x.dtype != call.out.dtype:
        return None
    if not x.shape or x.memory is call.out.memory:
        return None
    if owner not in (np.add, np.maximum, np.minimum) or x.dtype.kind != "f" or not 0 < math.prod(x.shape) <= _SUMMED:
        return None
    axis = call.kwargs.get("axis", 0)
    axes = tuple(range(len(x.shape))) if axis is None else axis if type(axis) is tuple else (axis,)
    return tuple([k % max(len(x.shape), 1) for k in axes]) if all(type(k) is int for k in axes) else None


def factors(call: Call) -> tuple[Any, Any, Any] | None:
    """How (a, b, out) of a product of matrices lie: (rows, columns, whether column by column)."""
    if len(call.args) != 2 or set(call.kwargs) - {"out"} or not all(type(x) is Array for x in call.args):
        return None
    a: Array = call.args[0]
    b: Array = call.args[1]
    out: Array = call.out
    if (
        not a.dtype == b.dtype == out.dtype
        or a.dtype.kind != "f"
        or len(b.shape) != 2
        or len(a.shape) > 2
        or not contiguous(out)
        or out.memory in (a.memory, b.memory)
    ):
        return None
    rows = a.shape[0] if len(a.shape) == 2 else 1
    if not 0 < rows * a.shape[-1] * b.shape[1] <= _PRODUCT:
        return None
    how = [_lies(a, rows), _lies(b, b.shape[0])]
    return None if None in how else (how[0], how[1], (rows, b.shape[1], False))


def _lies(a: Array, rows: int) -> tuple[int, int, bool] | None:
    columns, size = a.shape[-1], a.dtype.itemsize
    first, last = (a.strides[0] if len(a.shape) == 2 else columns * size), a.strides[-1]
    if (columns == 1 or last == size) and (rows == 1 or first == columns * size):
        return rows, columns, False
    if (rows == 1 or first == size) and (columns == 1 or last == rows * size):
        return rows, columns, True
    return None
