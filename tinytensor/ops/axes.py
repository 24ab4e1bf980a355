"""What all reductions and scans share: their axes, and the options that few calls use."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinytensor.primitive import DISPATCH

if TYPE_CHECKING:
    from tinytensor.typing import Axis

__all__ = ["axes_of", "count_of", "kept_shape", "rarely"]

F = TypeVar("F", bound=Callable[..., Any])


def axes_of(axis: Axis, ndim: int, op: str) -> tuple[int, ...]:
    """The reduced axes, sorted and not negative.

    >>> axes_of((-1, 0), 3, "sum")
    (0, 2)
    """
    if type(axis) is int and -ndim <= axis < ndim:  # nearly always
        return (axis % ndim,)
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    found = sorted({a + ndim if a < 0 else a for a in axes})
    if len(found) != len(axes) or (found and not 0 <= found[0] <= found[-1] < ndim):
        raise np.exceptions.AxisError(
            f"{op}: axis {axis} is out of bounds, or repeated, for an array of {ndim} dimensions"
        )
    return tuple(found)


def kept_shape(shape: tuple[int, ...], axis: Axis, op: str) -> tuple[int, ...]:
    """The shape after a reduction with ``keepdims=True``. (NumPy's own reductions take axis 0 of no dimensions.)"""
    if axis is None or not shape:
        return (1,) * len(shape)
    kept = list(shape)
    for a in axes_of(axis, len(shape), op):
        kept[a] = 1
    return tuple(kept)


def count_of(shape: tuple[int, ...], axis: Axis, op: str) -> int:
    """How many elements each result of a reduction is made of."""
    if axis is None:
        return math.prod(shape)
    if type(axis) is int and -len(shape) <= axis < len(shape):
        return shape[axis]
    return math.prod([shape[a] for a in axes_of(axis, len(shape), op)])


# ------------------------------------------------------------------------------------------- options that few calls use

_RARE = ("dtype", "initial", "where")


def rarely(full: Callable[..., Any], *numpy_functions: Any, order: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Give a lean reduction NumPy's other options: a call with dtype=, initial= or where= is the work of ``full``.

    ``full`` takes the arguments of the lean function, then dtype, initial and where. ``order``: NumPy's positional
    arguments after the axis.
    """

    def decorate(lean: F) -> F:
        op = lean.op
        places = {p: k for k, p in enumerate(op.params)}
        tails = [op.defaults[k - 1 if k else 0 :] for k in range(len(places) + 1)]

        def apply(*args: Any, **options: Any) -> Any:
            n = len(args)
            if n >= len(tails) or n == 0:
                return _rarely(lean, full, args, options)
            if not options:
                return lean(*args, *tails[n])
            given = [*args, *tails[n]]
            for key, value in options.items():  # three times faster than ``bind``, which knows more names
                place = places.get(key, 0)
                if place < n:
                    return _rarely(lean, full, args, options)
                given[place] = value
            return lean(*given)

        def by_numpy(*args: Any, **options: Any) -> Any:
            if len(args) > 2:
                options = dict(zip(order, args[2:], strict=False)) | options
            return apply(*args[:2], **options)

        update_wrapper(apply, lean)
        for function in numpy_functions:
            DISPATCH[function] = by_numpy
        return apply

    return decorate


def _rarely(lean: Any, full: Any, args: Any, options: dict[str, Any]) -> Any:
    rare = {key: options.pop(key) for key in _RARE if key in options}
    rare = {key: value for key, value in rare.items() if not (value is None or value is True or value is np._NoValue)}
    given = lean.op.bind(args, {key: value for key, value in options.items() if value is not np._NoValue})
    if not rare:
        return lean(*given)
    return full(*given, rare.get("dtype"), rare.get("initial"), rare.get("where", True))
