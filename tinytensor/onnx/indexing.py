"""How indexing is written in ONNX: slices, places of one axis, places that several arrays name together."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.onnx.graph import Graph
from tinytensor.onnx.program import Step, Symbol, Varying
from tinytensor.onnx.table import emits

__all__ = ["sliced", "taken"]

_FAR = 2**63 - 1


def sliced(g: Graph, x: Any, parts: list[tuple[int, slice]]) -> Any:
    """x cut along some axes."""
    parts = [(axis, s) for axis, s in parts if s != slice(None)]
    if not parts:
        return x
    steps = [1 if s.step is None else s.step for _, s in parts]
    starts = [(0 if n > 0 else _FAR) if s.start is None else s.start for (_, s), n in zip(parts, steps, strict=True)]
    ends = [(_FAR if n > 0 else -_FAR) if s.stop is None else s.stop for (_, s), n in zip(parts, steps, strict=True)]
    return g("Slice", x, g.sizes(starts), g.sizes(ends), g.ints([axis for axis, _ in parts]), g.ints(steps))


def taken(g: Graph, x: Any, places: Any, axis: int) -> Any:
    """The elements at some places of an axis."""
    return g("Gather", x, g.value(places, np.dtype(np.int64)), axis=axis)


def _full_index(index: Any, ndim: int) -> list[Any]:
    """An index with one entry for each axis (and None for new ones); masks as positions."""
    parts: list[Any] = []
    for i in index if isinstance(index, tuple) else (index,):
        if isinstance(i, (Symbol, Varying)) and i.dtype == bool:
            raise NotImplementedError("a mask that is computed makes a shape that is not known; use tt.where")
        if isinstance(i, (bool, np.bool_)) or (isinstance(i, np.ndarray) and i.dtype == bool and not i.ndim):
            raise NotImplementedError("a single boolean as an index; use an `if`, or tt.where")
        if isinstance(i, np.ndarray) and i.dtype == bool:
            parts.extend(i.nonzero())
        else:
            parts.append(int(i) if isinstance(i, np.ndarray) and not i.ndim else i)
    used = sum(i is not None and i is not Ellipsis for i in parts)
    at = next((k for k, i in enumerate(parts) if i is Ellipsis), len(parts))
    return parts[:at] + [slice(None)] * (ndim - used) + parts[at + 1 :]


@emits("ops.indexing.getitem")
def _getitem(g: Graph, step: Step) -> Any:
    x, index = step.args
    full = _full_index(index, x.ndim)
    parts = [i for i in full if i is not None]
    name = sliced(g, g.value(x), [(axis, i) for axis, i in enumerate(parts) if isinstance(i, slice)])
    chosen = [axis for axis, i in enumerate(parts) if not isinstance(i, slice)]
    if len(chosen) > 1 and any(getattr(parts[axis], "ndim", 0) for axis in chosen):
        name = _together(g, name, parts, chosen, _apart(full))
    else:
        for axis in reversed(chosen):
            name = taken(g, name, parts[axis], axis)
    return g.reshape(name, step.out.shape) if len(parts) < len(full) else name


def _apart(full: list[Any]) -> bool:
    """Whether a slice or a new axis stands between arrays and numbers: then NumPy puts their axes in front."""
    at = [k for k, i in enumerate(full) if i is not None and not isinstance(i, slice)]
    return at[-1] - at[0] >= len(at)


def _together(g: Graph, x: Any, parts: list[Any], chosen: list[int], apart: bool) -> Any:
    """Elements at places that several arrays, or arrays and numbers, name together."""
    rest = [axis for axis in range(len(parts)) if axis not in chosen]
    shape = _common([getattr(parts[axis], "shape", ()) for axis in chosen])
    names = [g("Expand", g.value(parts[axis], np.dtype(np.int64)), g.sizes(shape)) for axis in chosen]
    places = g("Concat", *[g("Unsqueeze", i, g.ints([-1])) for i in names], axis=-1)
    out = g("GatherND", g("Transpose", x, perm=[*chosen, *rest]), places)
    before, n = 0 if apart else chosen[0], len(shape)  # slices that stay in front
    order = [*range(n, n + before), *range(n), *range(n + before, n + len(rest))]
    return out if order == sorted(order) else g("Transpose", out, perm=order)


def _common(shapes: list[Any]) -> list[Any]:
    """The shape that all are broadcast to."""
    n = max(map(len, shapes))
    columns = zip(*[(1,) * (n - len(shape)) + tuple(shape) for shape in shapes], strict=True)
    return [next((k for k in column if k != 1), 1) for column in columns]


@emits("ops.indexing.take")
def _take(g: Graph, step: Step) -> Any:
    x, indices, axis, _, mode = step.args
    if mode != "raise":
        raise NotImplementedError(f"mode={mode!r}; use np.clip or % on the indices")
    if axis is None:
        return taken(g, g("Reshape", x, g.ints([-1])), indices, 0)
    return taken(g, g.value(x), indices, axis)


@emits("numpy.take_along_axis")
def _take_along_axis(g: Graph, step: Step) -> Any:
    options: dict[str, Any] = dict(step.args[1:])
    x, indices, axis = step.args[0], options["indices"], options.get("axis", -1)
    if any(
        m != n and k != axis % x.ndim
        for k, (m, n) in enumerate(zip(map(repr, x.shape), map(repr, indices.shape), strict=True))
    ):
        raise NotImplementedError("indices that are broadcast; use np.broadcast_to on them")
    return g("GatherElements", x, g.value(indices, np.dtype(np.int64)), axis=axis)
