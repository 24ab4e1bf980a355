"""Padding: elements added around an array, in all modes of NumPy that have a meaning for gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, traced
from tinytensor.ops.joining import concatenate
from tinytensor.ops.shape import as_tensor, broadcast_to, copy
from tinytensor.primitive import TensorBase, composite, has_tensors, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["pad"]

_STATISTICS = {"maximum": np.max, "minimum": np.min, "mean": np.mean, "median": np.median}
#: mode -> the option that it has
_OPTIONS = {
    "constant": "constant_values", "linear_ramp": "end_values", "reflect": "reflect_type", "symmetric": "reflect_type",
    "edge": "", "wrap": "", "empty": "", **dict.fromkeys(_STATISTICS, "stat_length"),
}  # fmt: skip


@composite(np.pad)
def pad(
    x: Operand, pad_width: int | Sequence[Any] | dict[int, Any], mode: str = "constant", constant_values: Any = 0,
    end_values: Any = 0, stat_length: Any = None, reflect_type: str = "even",
) -> Tensor:  # fmt: skip
    """x with elements added before and after each axis; ``pad_width`` as in NumPy.   (:func:`numpy.pad`)

    mode: constant, edge, linear_ramp, maximum, mean, median, minimum, reflect, symmetric, wrap. ``constant_values`` and
    ``end_values`` may be tensors. Raises ValueError for mode "empty" and for functions.

    >>> import tinytensor as tt
    >>> tt.pad(tt.tensor([1.0, 2.0, 3.0]), (1, 2), mode="reflect")
    tensor([2., 1., 2., 3., 2., 1.])
    """
    array = as_tensor(x)
    widths = _widths(pad_width, array.ndim)
    given = {"constant_values": constant_values, "end_values": end_values, "stat_length": stat_length, "reflect_type": reflect_type}  # fmt: skip
    _check(mode, given)
    if array.ndim == 0:
        return copy(array)
    if array.dtype.kind not in "fc" and mode != "constant" and not has_tensors((end_values,)):
        used = {key: value for key, value in given.items() if key == _OPTIONS[mode]}
        return wrap(np.pad(array._data, widths, mode, **used), None)
    if mode == "constant":
        if not isinstance(constant_values, TensorBase) and not has_tensors((constant_values,)):
            return _pad_constant(array, widths, constant_values)
        return _by_axis(array, widths, _constants, _pairs(constant_values, array.ndim))
    if mode == "linear_ramp":
        return _by_axis(array, widths, _ramps, _pairs(end_values, array.ndim))
    if mode in _STATISTICS:
        lengths = [(None, None)] * array.ndim if stat_length is None else _pairs(stat_length, array.ndim)
        return _by_axis(array, widths, lambda *args: _statistics(_STATISTICS[mode], *args), lengths)
    if reflect_type == "odd":
        return _by_axis(array, widths, _odd, [(mode == "symmetric", None)] * array.ndim)
    places = [np.pad(np.arange(n), w, mode=mode) if any(w) else None for n, w in zip(array.shape, widths, strict=True)]
    return _pad_places(array, widths, mode, places)


def _check(mode: Any, given: dict[str, Any]) -> None:
    if mode not in _OPTIONS or mode == "empty":
        what = "has no values to differentiate" if mode == "empty" else f"is {mode!r:.60}"
        raise ValueError(f"pad: mode {what}; it must be one of {', '.join(sorted(set(_OPTIONS) - {'empty'}))}")
    defaults = {"constant_values": 0, "end_values": 0, "stat_length": None, "reflect_type": "even"}
    wrong = [key for key, value in given.items() if key != _OPTIONS[mode] and value is not defaults[key]]
    if wrong:
        raise ValueError(f"pad: mode {mode!r} does not take {wrong[0]}=")
    if given["reflect_type"] not in ("even", "odd"):
        raise ValueError(f"pad: reflect_type must be 'even' or 'odd', got {given['reflect_type']!r}")


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if type(pad_width) is int and pad_width >= 0:
        return [(pad_width, pad_width)] * ndim
    if isinstance(pad_width, dict):
        table = [(0, 0)] * ndim
        for axis, width in pad_width.items():
            table[axis] = width if isinstance(width, tuple) else (width, width)
        pad_width = table
    widths = np.broadcast_to(asarray(pad_width), (ndim, 2))
    if widths.size and widths.dtype.kind not in "iu":
        raise TypeError(f"pad: widths must be integers, got {pad_width!r:.60}")
    if (widths < 0).any():
        raise ValueError(f"pad: widths must not be negative, got {pad_width!r:.60}; use an index to cut")
    return [(int(a), int(b)) for a, b in widths]


def _pairs(values: Any, ndim: int) -> list[Any]:
    """(before, after) for each axis: from a number, (before, after), ((both,),) or ((before, after), ...)."""
    if isinstance(values, TensorBase):
        grid = broadcast_to(values, (ndim, 2))
        return [(grid[k, 0], grid[k, 1]) for k in range(ndim)]
    if not has_tensors((values,)):
        return [tuple(pair) for pair in np.broadcast_to(values, (ndim, 2)).tolist()]

    def is_row(v: Any) -> bool:
        return isinstance(v, (list, tuple)) or getattr(v, "ndim", 0) > 0

    rows = list(values) if any(map(is_row, values)) else [values]
    rows = [list(row) if is_row(row) else [row] for row in rows]
    rows = [row * 2 if len(row) == 1 else row for row in rows]
    if len(rows) not in (1, ndim) or any(len(row) != 2 for row in rows):
        raise ValueError(f"pad: expected a number, a pair, or a pair for each of {ndim} axes, got {values!r:.60}")
    return [tuple(rows[k % len(rows)]) for k in range(ndim)]


# ------------------------------------------------------------------------------------- modes that only place elements


@primitive(x=lambda g, widths: g[tuple([slice(a, n - b) for (a, b), n in zip(widths, g.shape, strict=True)])])
def _pad_constant(x: Any, widths: Any, value: Any) -> Any:
    if np.ndim(value):  # np.pad itself takes 15 us
        return np.pad(x, widths, constant_values=value)
    shape = [a + n + b for (a, b), n in zip(widths, x.shape, strict=True)]
    order: Any = "F" if x.flags.fnc else "C"
    out = np.full_like(x, value, order=order, shape=shape) if traced(x) else np.full(shape, value, x.dtype, order)
    out[tuple([slice(a, a + n) for (a, _), n in zip(widths, x.shape, strict=True)])] = x
    return out


@primitive(x=lambda g, places: _pad_places_forward(g, places))
def _fold_places(x: Any, widths: Any, places: Any) -> Any:
    """The transpose of padding by places: what was added returns to where it came from, axis by axis."""
    for axis, ((a, b), index) in enumerate(zip(widths, places, strict=True)):
        if index is None:
            continue
        rows = np.moveaxis(x, axis, 0)
        n = len(rows) - a - b
        inside = rows[a : a + n].copy()
        np.add.at(inside, index[:a], rows[:a])
        np.add.at(inside, index[a + n :], rows[a + n :])
        x = np.moveaxis(inside, 0, axis)
    return x


@primitive(x=lambda g, widths, places: _fold_places(g, widths, places))
def _pad_places(x: Any, widths: Any, mode: str, places: Any) -> Any:
    return np.pad(x, widths, mode=mode)


def _pad_places_forward(g: Any, places: Any) -> Any:
    """Padding by places, as indexing, whose own rule is known."""
    for axis, index in enumerate(places):
        if index is not None:
            g = np.take(g, index, axis)
    return g


# ---------------------------------------------------------------------------- modes that compute: axis by axis, as NumPy


def _by_axis(x: Any, widths: Any, blocks: Any, options: Any) -> Any:
    """x, with what ``blocks(x, axis, before, after, *option)`` gives put before and after it along one axis after another."""
    for axis, ((before, after), pair) in enumerate(zip(widths, options, strict=True)):
        if (before or after) and blocks is not _constants and x.shape[axis] == 0:
            raise ValueError(f"pad: axis {axis} is empty; only mode 'constant' can extend it")
        if before or after:
            x = concatenate(blocks(x, axis, before, after, *pair), axis)
    return x


def _wide(x: Any, axis: int, width: int) -> Any:
    """x, of length 1 along the axis (or a number), ``width`` times."""
    return broadcast_to(x, (*x.shape[:axis], width, *x.shape[axis + 1 :]))


def _edge(x: Any, axis: int, start: int | None, stop: int | None) -> Any:
    return x[(slice(None),) * axis + (slice(start, stop),)]


def _constants(x: Any, axis: int, before: int, after: int, first: Any, last: Any) -> list[Any]:
    rows = [(*x.shape[:axis], width, *x.shape[axis + 1 :]) for width in (before, after)]
    ends = [broadcast_to(as_tensor(value).astype(x.dtype), row) for value, row in zip((first, last), rows, strict=True)]
    return [ends[0], x, ends[1]]


def _ramps(x: Any, axis: int, before: int, after: int, first: Any, last: Any) -> list[Any]:
    """Straight lines from the end values to the edges."""
    column = [-1 if a == axis else 1 for a in range(x.ndim)]
    found: list[Any] = []
    for edge, end, width in ((_edge(x, axis, 0, 1), first, before), (_edge(x, axis, -1, None), last, after)):
        share = (np.arange(width, dtype=x.dtype) / max(width, 1)).reshape(column)
        end = end.astype(x.dtype) if isinstance(end, TensorBase) else end
        found.append(end + (edge - end) * (share if not found else np.flip(share, axis)))
    return [found[0], x, found[1]]


def _statistics(f: Any, x: Any, axis: int, before: int, after: int, first: Any, last: Any) -> list[Any]:
    n = x.shape[axis]
    if (first is not None and first < 1) or (last is not None and last < 1):
        raise ValueError(f"pad: stat_length must be 1 or more, got {(first, last)}")
    parts = [_edge(x, axis, 0, first), x if last is None or last >= n else _edge(x, axis, n - last, None)]
    ends = [f(part, axis=axis, keepdims=True) for part in parts]
    return [_wide(ends[0], axis, before), x, _wide(ends[1], axis, after)]


def _odd(x: Any, axis: int, before: int, after: int, symmetric: bool, _: Any) -> list[Any]:
    """2 · edge − reflection, continued: each period adds twice the rise from the first to the last element."""
    n = x.shape[axis]
    period, mirror = (2 * n, 2 * n - 1) if symmetric else (2 * n - 2, 2 * n - 2)
    if n == 1:
        return [_wide(x, axis, before), x, _wide(x, axis, after)]
    first, last = _edge(x, axis, 0, 1), _edge(x, axis, -1, None)
    column = [-1 if a == axis else 1 for a in range(x.ndim)]

    def extended(i: Any) -> Any:
        turns, place = np.divmod(i, period)
        back = place >= n
        part = np.take(x, np.where(back, mirror - place, place), axis)
        back, turns = back.reshape(column), turns.astype(x.dtype).reshape(column)
        return np.where(back, 2 * last - part, part) + 2 * turns * (last - first)

    return [extended(np.arange(-before, 0)), x, extended(np.arange(n, n + after))]
