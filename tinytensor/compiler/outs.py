"""Which calls can write their result into memory that is there."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.compiler.program import Array, Call

__all__ = ["ALLOCATE", "COPIES", "takes_out"]

#: Functions beside the ufuncs that can write their result into memory that is there.
_WITH_OUT: frozenset[Any] = frozenset({np.concatenate, np.stack})
ALLOCATE: frozenset[Any] = frozenset({np.zeros, np.empty, np.zeros_like, np.empty_like, np.ones_like, np.full_like})
COPIES: frozenset[Any] = frozenset({np.ndarray.copy, np.ndarray.astype, np.copy})


def takes_out(call: Call) -> bool:
    """Whether the result can be written into memory that is there."""
    if call.kwargs.get("out") is not None or type(call.out) is not Array or call.kind == "opaque":
        return False
    if call.kind == "ufunc":
        return bool(call.function.nout == 1)
    if call.function is np.dot:
        return not call.out.scalar
    if call.function is np.where:  # two copies, if nothing is converted
        return _by_copies(call)
    return call.kind == "reduce" or call.function in _WITH_OUT or call.function in ALLOCATE or call.function in COPIES


def _by_copies(call: Call) -> bool:
    """Whether ``np.where`` is one array copied over another."""
    if len(call.args) != 3 or call.kwargs or type(call.args[0]) is not Array or call.args[0].dtype != bool:
        return False
    return all(_plain(x, call.out) for x in call.args[1:])


def _plain(x: Any, out: Array) -> bool:
    """Whether a value is copied into the result as it is."""
    return x.dtype == out.dtype if type(x) is Array else type(x) in (int, float)
