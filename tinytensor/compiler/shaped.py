"""Which functions may give arrays of another shape for other values: a replay asks whether they did."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tinytensor.compiler.program import Array, Call, arrays

__all__ = ["alike", "shapes_depend"]

#: Functions and methods whose results have a shape that follows from shapes.
_FIXED = frozenset({
    "where", "concatenate", "stack", "vstack", "hstack", "dstack", "column_stack", "block", "copy", "astype",
    "take", "reshape", "transpose", "swapaxes", "moveaxis", "ravel", "flatten", "squeeze", "expand_dims",
    "broadcast_to", "empty", "zeros", "ones", "full", "empty_like", "zeros_like", "ones_like", "full_like", "clip",
    "cumsum", "cumprod", "sort", "argsort", "argmax", "argmin", "dot", "vdot", "inner", "outer", "kron", "einsum",
    "tensordot", "matmul", "cross", "diff", "tril", "triu", "diag", "diagonal", "trace", "roll", "rot90", "flip",
    "fliplr", "flipud", "tile", "pad", "mean", "var", "std", "median", "sum", "prod", "max", "min", "any", "all",
    "ptp", "average", "take_along_axis", "round", "around", "searchsorted", "digitize", "interp", "isclose", "real",
    "imag", "conj", "angle", "nan_to_num", "view", "split", "array_split", "meshgrid", "indices", "cov", "corrcoef",
    "gradient", "trapezoid", "argpartition", "partition", "nansum", "nanmean", "nanmax", "nanmin", "nanvar",
    "nanstd", "nanprod", "cumulative_sum", "unwrap", "choose",
})  # fmt: skip


def alike(x: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    """Whether an array has the shape and dtype that it had."""
    return bool(x.shape == shape and x.dtype == dtype)


def shapes_depend(call: Call) -> bool:
    """Whether the shape of the result may depend on values."""
    f = call.function
    if f is operator.getitem:
        return any(a.dtype == bool for a in arrays(call.args[1]))
    name, module = getattr(f, "__name__", ""), getattr(f, "__module__", None) or ""
    if name == "where" and len(call.args) == 1:
        return True
    if module.startswith(("numpy.linalg", "numpy.fft")):
        return name == "lstsq"
    return name not in _FIXED and not (
        isinstance(call.out, Array) and isinstance(getattr(f, "__self__", None), np.ufunc)
    )
