"""NumPy's functions that make arrays, as forward functions and rules write them: right for what stands for an array, too.

While a program is traced, arrays are stand-ins that record what is done with them; ``np.asarray`` would ask for their values,
and ``np.empty`` make memory that is not part of the program.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.graph import assured

__all__ = ["asarray", "contiguous", "empty", "settled", "traced", "writable", "zeros"]

_ndarray = np.ndarray


def asarray(x: Any, dtype: Any = None) -> Any:
    """``np.asarray(x, dtype)``; what is such an array already, or stands for one in a traced program, is itself."""
    if x.__class__ is _ndarray:
        return x if dtype is None or x.dtype == dtype else x.astype(dtype)
    made = getattr(x, "as_array", None)  # of a number in a traced program
    return np.asarray(x, dtype) if made is None else asarray(made(), dtype)


def contiguous(x: Any) -> Any:
    """An array of at least one axis in C order: itself, or a copy.   (:func:`numpy.ascontiguousarray`)"""
    return x if x.flags.c_contiguous else x.copy()


def empty(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """``np.empty``, beside the arrays that a function works on: in a traced program part of it."""
    return np.empty(shape, dtype) if type(like) is _ndarray else np.empty_like(like, dtype, shape=shape, order="C")


def zeros(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """``np.zeros``, beside the arrays that a function works on: in a traced program part of it."""
    return np.zeros(shape, dtype) if type(like) is _ndarray else np.zeros_like(like, dtype, shape=shape, order="C")


def writable(x: Any) -> Any:
    """``np.asarray(x)`` for ``out=``: NumPy gives a number, not an array, where there are no axes."""
    if x.__class__ is not _ndarray:
        return np.asarray(x)
    return x if type(x) is _ndarray or x.ndim else np.atleast_1d(x).reshape(())  # a number's own reshape gives a number


def traced(x: Any) -> bool:
    """Whether x stands for an array in a traced program, which does not choose by its values."""
    return type(x) is not _ndarray and x.__class__ is _ndarray


def _alike(x: Any, shape: tuple[int, ...], dtype: Any) -> bool:
    return bool(x.shape == shape and x.dtype == dtype)


def settled(out: Any) -> Any:
    """``out``, whose shapes or dtypes depend on values: a traced program is right while they are what they are now."""
    for x in out if isinstance(out, tuple) else (out,):
        if traced(x):
            assured(_alike, x, x.shape, x.dtype)
    return out
