"""Small matrix products by ``np.dot``, which asks less than ``np.matmul`` before it calls the same function of BLAS.

Whether it is the same depends on shapes, strides and dtype alone; so it is tried, with random numbers, and must give the same
bits.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from tinytensor.compiler.program import Array, Call

__all__ = ["by_dot", "large"]

#: Multiplications up to which the half microsecond counts.
_SMALL = 1 << 20
#: Results that are compared: sums in another order differ in every few.
_RESULTS = 1000
#: Multiplications from which OpenBLAS shares them between threads.
_THREADED = 1 << 18
_tried: dict[Any, bool] = {}


def by_dot(calls: list[Call]) -> None:
    """Let ``np.dot`` make the products that are small, and for which it gives the same bits."""
    for call in calls:
        if call.function is np.matmul and set(call.kwargs) <= {"out"} and type(call.out) is Array:
            x, y = call.args
            if type(x) is Array and type(y) is Array and _same(x, y, call.out):
                call.function = np.dot


def large(calls: list[Call]) -> bool:
    """Whether BLAS wakes its threads for a product among these calls."""
    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        return False
    return any(
        call.function in (np.matmul, np.dot)
        and type(call.out) is Array
        and type(call.args[0]) is Array
        and call.out.nbytes // call.out.dtype.itemsize * math.prod(call.args[0].shape[-1:]) > _THREADED
        for call in calls
        if call.args
    )


def _same(x: Array, y: Array, out: Array) -> bool:
    dims = (len(x.shape), len(y.shape))
    if (
        min(out.strides + x.strides + y.strides) < 0
        or dims not in ((2, 2), (1, 2), (2, 1))
        or not x.dtype == y.dtype == out.dtype
        or x.dtype.char not in "fd"
    ):
        return False
    if math.prod(x.shape) * y.shape[-1] > _SMALL or out.strides != np.empty(out.shape, out.dtype).strides:
        return False
    key = (x.shape, x.strides, y.shape, y.strides, x.dtype)
    if key not in _tried:
        _tried[key] = _agree(x, y, -(-_RESULTS // max(math.prod(out.shape), 1)))
    return _tried[key]


def _agree(x: Array, y: Array, times: int) -> bool:
    rng = np.random.default_rng(0)
    for _ in range(times):
        a, b = _random(x, rng), _random(y, rng)
        if np.matmul(a, b).tobytes() != np.dot(a, b).tobytes():
            return False
    return True


def _random(a: Array, rng: np.random.Generator) -> Any:
    """Random numbers in an array of the same shape, strides and dtype."""
    size = 1 + sum((n - 1) * s for n, s in zip(a.shape, a.strides, strict=True)) // a.dtype.itemsize if a.nbytes else 0
    made: Any = np.ndarray(a.shape, a.dtype, rng.standard_normal(size).astype(a.dtype), 0, a.strides)
    return made
