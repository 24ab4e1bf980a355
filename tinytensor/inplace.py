"""Writing in place: ``t[i] = v``, ``t += u``, recorded or not, with NumPy's meaning.

NumPy's meaning of a write is that everyone who looks at the memory sees it. Where nothing is recorded, the array is
written into. Where something is recorded:

* nobody else holds the array: it is written into all the same;
* only nodes of the graph hold it, which need the old values: the write goes into a copy;
* other tensors look at the same memory: all of them move to new memory, with the write, and remain views of each other.
  Each of them gets a node of its own, so that gradients are those of NumPy's program;
* an ndarray of it was handed out, or a leaf that requires grad looks at it: refused.

Reference counts tell whether somebody holds the array; :mod:`tinytensor.sharing` tells which tensors do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from tinytensor import graph
from tinytensor.graph import recording
from tinytensor.ops import elementwise as el
from tinytensor.ops import indexing, shape
from tinytensor.primitive import TensorBase, operand, wrap

__all__ = ["REFS_ASSIGNED", "REFS_SETTER", "assign", "leave", "update", "updating"]

T = TypeVar("T", bound=TensorBase)
_SETITEM: Any = type("_", (), {"name": "t[i] = v"})


def _is_held(t: Any) -> bool:
    """Whether anything but ``t`` holds its array, or the memory that it looks at."""
    if sys.getrefcount(t._data) > _REFS_DATA:
        return True
    base = t._data.base
    if base is None:
        return type(t._data) is not np.ndarray  # of a traced program: who holds what is not counted
    return type(base) is not np.ndarray or sys.getrefcount(base) > _REFS_BASE


def updating(t: Any) -> Any:
    """The array of ``t``, about to be written into; what others hold of it is noted for their backward to complain."""
    if _is_held(t):
        graph.note_write(t._data)
    return t._data


def leave(view: Any) -> None:
    """Give a view, which only the interpreter's stack holds, memory of its own: in y[i] += u and y[i] = y[j] it is
    dropped by this very statement, so nobody can see that it has stopped being a view.
    """
    view._data, view._viewed = view._data.copy(), None


def _others(t: Any, what: str) -> list[Any]:
    """The tensors that a recorded write into ``t`` must reach; raises if it cannot be given its meaning."""
    if _is_leaf(t):
        raise RuntimeError(
            f"{what}: a leaf that requires grad cannot be written into while operations are recorded. Update it under "
            "`with tt.no_grad():`, or work on a copy: t = t.clone()."
        )
    if not t._data.flags.writeable:
        raise ValueError(f"{what}: the tensor is read-only (broadcast_to repeats one number); write into t.clone()")
    if not _is_held(t):
        return []
    family = getattr(t, "_viewed", None)
    others: list[Any] = family.others(t) if family is not None else []
    parts = any(m._data.dtype != t._data.dtype for m in others)  # z.imag: half of each element
    if (t._data.base is not None if family is None else family.leaked) or parts or any(map(_is_leaf, others)):
        raise RuntimeError(
            f"{what}: the tensor shares its memory with an ndarray, a detached tensor or a leaf, which a recorded write "
            "would leave behind. Write into a copy: t = t.clone(); or collect the pieces and tt.stack them."
        )
    return others


def _is_leaf(t: Any) -> bool:
    return t._node is not None and t._node.op is None


def _rebind(t: Any, made: TensorBase, others: list[Any]) -> None:
    """Let ``t`` be the new result; nobody else has seen its memory yet. ``others`` look at the memory that t leaves."""
    if others:
        _move(t, made, others)
        return
    _keep_retained(t, made)
    t._data, t._node, t._viewed = made._data, made._node, None


def _keep_retained(t: Any, made: TensorBase) -> None:
    if t._node is not None and t._node.grad is not False and made._node is not None:
        made._node.grad = None  # retain_grad() is asked of the tensor, not of what it was before


def _addresses(array: Any) -> Any:
    """The address of every element, in the array's shape."""
    found = np.full(array.shape, array.__array_interface__["data"][0], np.intp)
    for axis, (n, stride) in enumerate(zip(array.shape, array.strides, strict=True)):
        found += (np.arange(n) * stride).reshape([-1 if a == axis else 1 for a in range(array.ndim)])
    return found


def _move(t: Any, made: TensorBase, others: list[Any]) -> None:
    """Give t and all that look at its memory new memory, in the old layout, with t's new values in all of them."""
    written = _addresses(t._data).reshape(-1)
    order = np.argsort(written)
    results = [(t, made)]
    for m in others:
        seen = _addresses(m._data).reshape(-1)
        at = np.minimum(np.searchsorted(written, seen, sorter=order), max(written.size - 1, 0))
        hit = np.flatnonzero(written[order[at]] == seen) if written.size else at[:0]
        old: Any = wrap(m._data, m._node)
        new = old
        if hit.size:
            values = indexing.getitem(shape.reshape(made, -1), order[at[hit]])  # type: ignore[arg-type]
            new = shape.reshape(indexing.setitem(shape.reshape(old, -1), hit, values), old._data.shape)
        results.append((m, new))
    bounds = [np.lib.array_utils.byte_bounds(m._data) for m, _ in results]
    low = min(start for start, _ in bounds)
    memory = np.empty(max(end for _, end in bounds) - low, np.uint8)
    for m, new in results:
        a = m._data
        view: Any = np.ndarray(a.shape, a.dtype, memory, a.__array_interface__["data"][0] - low, a.strides)
        view[...] = new._data
        view.flags.writeable = a.flags.writeable
        if new._node is not m._node:
            _keep_retained(m, new)
        m._data, m._node = view, new._node


def assign(t: Any, index: Any, value: Any) -> None:
    """t[index] = value, recorded."""
    if t._data.dtype.kind not in "fc":
        raise TypeError(
            f"t[i] = v: a tensor of {t._data.dtype} cannot hold what has a gradient; use t.astype(float), or v.detach()"
        )
    others = _others(t, "t[i] = v")
    if others or _is_held(t):
        _rebind(t, indexing.setitem(t, index, value), others)
        return
    array = t._data
    _rebind(t, indexing.setitem_(t, index, value), [])
    t._data = array  # the recorder made a view of what was written into; it would look shared from now on


def update(t: T, ufunc: Any, function: Callable[..., Any], other: Any, symbol: str) -> T:
    """t ∘= other."""
    recorded = recording() and (t._node is not None or (isinstance(other, TensorBase) and other._node is not None))
    if not recorded:
        value = other._data if isinstance(other, TensorBase) else operand(other, _SETITEM)
        held = _is_held(t)
        ufunc(t._data, value, out=t._data)
        if held:
            graph.note_write(t._data)
        return t
    if t._data.base is not None and sys.getrefcount(t) <= _REFS_UPDATED:
        leave(t)
    others = _others(t, f"t {symbol} u")
    made = function(t, other)
    if made._data.shape != t._data.shape:
        raise ValueError(
            f"t {symbol} u: the result has shape {made._data.shape}, t has {t._data.shape}; write t = t + u instead"
        )
    if made._data.dtype != t._data.dtype:
        if not np.can_cast(made._data.dtype, t._data.dtype, "same_kind"):
            raise TypeError(f"t {symbol} u: cannot keep a result of {made._data.dtype} in a tensor of {t._data.dtype}")
        made = el.astype(made, t._data.dtype)
    _rebind(t, made, others)
    return t


class _Probe(TensorBase):
    """A tensor whose ``data`` setter reports the reference count that it sees."""

    __slots__ = ("seen",)
    seen: int

    @property
    def data(self) -> Any:
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        self.seen = sys.getrefcount(value)


def _calibrate() -> tuple[int, int, int]:
    """The reference counts of a lonely array, seen from where the writers look (they depend on the interpreter)."""
    probe = _Probe()
    probe._data = np.zeros(2)[1:]
    data_count = sys.getrefcount(probe._data)
    base = probe._data.base
    base_count = sys.getrefcount(base)
    probe.data -= 0
    return data_count, base_count, probe.seen


_REFS_DATA, _REFS_BASE, REFS_SETTER = _calibrate()


class _Operand:
    """Counts the references to itself where ``t += u`` and ``t[i] = v`` count those to a view."""

    def __iadd__(self, other: list[int]) -> _Operand:
        return _count(self, other)

    def __getitem__(self, index: int) -> _Operand:
        return _Operand()

    def __setitem__(self, seen: Any, value: Any) -> None:
        if type(seen) is list:
            seen.append(sys.getrefcount(value))


def _count(x: _Operand, seen: list[int]) -> _Operand:
    seen.append(sys.getrefcount(x))
    return x


def _calibrate_stack() -> tuple[int, int]:
    """The reference counts of an operand that has no name; 0 if the interpreter shows no difference to a named one."""
    updated: list[int] = []
    assigned: Any = []
    named, box = _Operand(), _Operand()
    box[0] += updated
    box[assigned] = _Operand()
    box[assigned] = named
    named += updated
    pairs = (updated, assigned)
    first, second = [pair[0] if pair[0] < pair[1] else 0 for pair in pairs]
    return first, second


_REFS_UPDATED, REFS_ASSIGNED = _calibrate_stack()
