"""The watcher of one ``with tt.detect_anomaly()``: notes lines and fingerprints, and checks what arrives."""

from __future__ import annotations

import os
import sys
import warnings
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import graph
from tinytensor.anomaly.report import AnomalyError, is_bad, report
from tinytensor.anomaly.search import bad_input, birth, blame_backward, blame_forward, blame_tangent
from tinytensor.anomaly.writes import Locks, arrays_of, fingerprint, was
from tinytensor.graph import Node, no_grad, watching
from tinytensor.primitive import TensorBase
from tinytensor.recorded import Line, line_at

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["WatchedNode", "Watcher", "user_frame"]

_PRIMITIVE = sys.modules[TensorBase.__module__].__file__  # (the package has a function of the module's name)
_PACKAGE = os.path.dirname(os.path.abspath(graph.__file__)) + os.sep
_NUMPY = os.path.dirname(os.path.abspath(np.__file__)) + os.sep
_NETWORKS = _PACKAGE + "nn" + os.sep


class _Inner(dict[str, bool]):
    """File of a frame -> whether it belongs to the package or to NumPy, not to the user."""

    def __missing__(self, file: str) -> bool:
        self[file] = inner = file.startswith((_PACKAGE, _NUMPY, "<frozen"))
        return inner


_inner = _Inner()
_vdot = np.vdot


def user_frame(frame: FrameType | None) -> FrameType | None:
    """The first frame, going outwards, of the user's program."""
    while frame is not None and _inner[frame.f_code.co_filename]:
        frame = frame.f_back
    return frame


# ----------------------------------------------------------------------------------------------------------- nodes


_set_grad: Any = Node.__dict__["grad"].__set__


def _completed(node: WatchedNode, value: Any) -> None:
    """Recorders set ``grad = False`` last: now the node is complete."""
    _set_grad(node, value)
    if value is False and (watcher := watching()) is not None:
        watcher.note(node, sys._getframe(1))


class WatchedNode(Node):
    """A node that knows where it was recorded, and what the arrays that it saved looked like."""

    __slots__ = ("birth", "place", "prints")
    birth: AnomalyError  # of a NaN inside of a function of ours, which may yet come to nothing
    place: Any  # (code, instruction) of the user's frame
    prints: list[bytes | int]

    grad = property(Node.__dict__["grad"].__get__, _completed)

    @property
    def line(self) -> Line | None:
        """The line of the user's program that recorded this node."""
        place = getattr(self, "place", None)
        return line_at(*place) if place else None


# --------------------------------------------------------------------------------------------------------- watching


class Watcher:
    """What one ``detect_anomaly`` has been asked to look for, and has seen."""

    def __init__(self, forward: bool, backward: bool, writes: Any, inf: bool, inputs: bool) -> None:
        self.forward, self.backward, self.writes, self.inf, self.inputs = forward, backward, bool(writes), inf, inputs
        self.locks = Locks() if writes == "raise" else None
        self.pending: AnomalyError | None = None
        self.before: dict[str, Any] = dict(np.geterr())
        self.written: dict[int, Any] = {}

    # -- called by the engine

    def note(self, node: WatchedNode, recorder: FrameType) -> None:
        """A node was recorded."""
        frame: FrameType | None = recorder  # as user_frame does it: this runs for every operation
        while frame is not None and _inner[frame.f_code.co_filename]:
            frame = frame.f_back
        node.place = None if frame is None else (frame.f_code, frame.f_lasti)
        if self.writes:
            node.prints = list(map(fingerprint, arrays_of(node.saved)))
            if self.locks is not None:
                self.locks.lock(node)
        if self.pending is not None:
            node.birth, self.pending = self.pending, None
        if self.inputs and node.op is not None and not node.op.part:
            found = operands(recorder)
            if found is not None:
                bad_input(node, found[1], node.line, self.inf)

    def wrote(self, key: int) -> None:
        """The engine wrote in place into shared memory: the optimizer, or ``w -= ...`` under ``no_grad``."""
        frame = user_frame(sys._getframe(1))
        self.written[key] = (frame.f_code, frame.f_lasti) if frame is not None else None

    def check_result(self, root: Node, value: Any) -> None:
        """The value that backward is called on."""
        if self.backward and not _looks_finite(value) and is_bad(value, self.inf) is not None:
            with np.errstate(all="ignore"):
                blame_forward(root, value, self.inf)

    def check_tangents(self, roots: list[Node], tangents: dict[Node, Any]) -> None:
        """What forward mode returns."""
        if self.backward:
            for root in roots:
                if is_bad(getattr(t := tangents.get(root), "_data", t), self.inf) is not None:
                    blame_tangent(root, tangents, self.inf)

    def carry(self, order: list[Node], cotangent: Any, needed: Any, create_graph: bool, retain_graph: bool,
              hooked: Any) -> dict[Node, Any]:  # fmt: skip
        """The walk, between two checks. Nothing is freed before the second: it may have to look for the place."""
        self.verify(order)
        arrived = graph.carry(order, cotangent, needed, create_graph, retain_graph or self.backward, hooked)
        if self.backward:
            if not all(map(_looks_finite, arrived.values())):
                arrays = [getattr(g, "_data", g) for g in arrived.values()]
                if any(is_bad(array, self.inf) is not None for array in arrays):
                    blame_backward(order, cotangent, needed, self.inf)
            if not retain_graph:
                graph.free(order)
        if self.locks is not None and not retain_graph:
            for node in order:
                self.locks.release(id(node))
        return arrived

    def verify(self, order: list[Node]) -> None:
        """Raise if what a node saved is not what it was."""
        if not self.writes:
            return
        for node in order:
            prints = getattr(node, "prints", None)
            if prints and node.saved is not None:
                arrays = arrays_of(node.saved)
                if prints != (now := list(map(fingerprint, arrays))):
                    raise next(
                        self._overwritten(node, *pair[:2]) for pair in zip(arrays, prints, now) if pair[1] != pair[2]
                    )

    def _overwritten(self, node: Node, array: Any, print_: bytes | int) -> AnomalyError:
        op: Any = node.op
        name = next((name for name, value in zip(op.names, node.saved, strict=False) if value is array), "an input")
        facts = [f"{name}: shape {array.shape}, {array.dtype}"]
        old, index = was(array, print_), None
        if old is not None:
            changed = _changed(old, array)
            index = tuple(int(i) for i in np.argwhere(changed)[0])
            at = ", ".join(map(str, index))
            facts.append(f"{name}[{at}] was {old[index]!s}, is now {array[index]!s}; {int(changed.sum())} of "
                         f"{array.size} elements changed")  # fmt: skip
        key = id(graph.owner(array))
        place = self.written.get(key) if key in graph._writes else None
        if place:
            facts.append("written at\n" + line_at(*place).underlined("    "))
        else:
            facts.append("written where the engine cannot see: through t.data, a NumPy array that shares the memory, or "
                         "into a constant operand; tt.detect_anomaly(writes='raise') stops at that line")  # fmt: skip
        headline = f"backward of {op.name}: an operand that it saved was overwritten in place after the forward pass, recorded at"
        instead = "write into a copy (a = t.data.copy(), t = t + u), or call backward() before the write"
        return report("write", op.name, getattr(node, "line", None), index, headline, facts, instead)

    # -- called by NumPy

    def floating_point_error(self, kind: str, flag: int) -> None:
        """NumPy's error state has risen, in the frame below this one: was it an operation on tensors that made a NaN?"""
        applied, inner, plain = self._appliers(sys._getframe(1))
        user = user_frame(applied[0] if applied else sys._getframe(1))
        found = operands(applied[0]) if applied and not plain else None
        if found is None:
            self._as_before(kind, user)
            return
        line = line_at(user.f_code, user.f_lasti) if user is not None else None
        with np.errstate(all="ignore"):
            error = birth(*found, line, kind, self.inf)
            if error is not None and not inner and (outer := composite_call(applied[1:])) is not None:
                with no_grad():
                    out = outer()
                outs = out if isinstance(out, (tuple, list)) else (out,)
                inner = not any(is_bad(getattr(o, "_data", o), self.inf) is not None for o in outs)
        if error is not None and not inner:
            raise error
        self.pending = error  # inside of a function of ours whose result may well be finite, or to be told later
        self._as_before(kind, user)

    def _appliers(self, frame: FrameType | None) -> tuple[list[FrameType], bool, bool]:
        """The frames of recorders from here to the user's line; whether a result of theirs is ours to judge later, and
        whether arrays were given, no tensors.
        """
        applied: list[FrameType] = []
        inner, plain = not self.forward, False
        while frame is not None and not (applied and not _inner[frame.f_code.co_filename]):
            code = (
                frame.f_code
            )  # the forward function of a user's own primitive is the user's code: go on to its recorder
            if code.co_filename == _PRIMITIVE:
                if code.co_name == "apply":
                    applied.append(frame)
                plain = plain or code.co_name == "plain"
            inner = inner or code.co_filename.startswith(_NETWORKS)
            frame = frame.f_back
        return applied, inner, plain

    def _as_before(self, kind: str, user: FrameType | None) -> None:
        """What NumPy would have done outside of anomaly mode."""
        mode = self.before[{"d": "divide", "o": "over", "u": "under", "i": "invalid"}[kind[0]]]
        if mode == "raise":
            raise FloatingPointError(kind)
        if mode in ("warn", "print") and user is not None:
            warnings.warn_explicit(
                f"{kind} encountered",
                RuntimeWarning,
                user.f_code.co_filename,
                user.f_lineno,
                user.f_globals.get("__name__"),
            )

    # -- called at the end of the block

    def explain_lock(self, error: BaseException, trace: TracebackType | None) -> AnomalyError | None:
        """An error of NumPy's about a read-only array: was it our lock?"""
        if self.locks is None or "read-only" not in str(error):
            return None
        last = None
        while trace is not None:
            if not _inner[trace.tb_frame.f_code.co_filename]:
                last = trace
            trace = trace.tb_next
        if last is None:
            return None
        readers: dict[str, list[Node]] = {}
        for name, value in _named_in(last.tb_frame).items():
            array = getattr(value, "_data", value)
            if type(array) is np.ndarray and (found := self.locks.readers(array)):
                readers[name] = found
        if not readers:
            return None
        node = next(iter(readers.values()))[0]
        line, op = getattr(node, "line", None), node.op.name if node.op else ""
        headline = f"a write into {' or '.join(readers)}, which {op} has saved for its backward, at"
        facts = [f"{op} recorded at\n" + line.underlined("    ")] if line else []
        instead = "write into a copy (a = t.data.copy(), t = t + u), or call backward() before the write"
        return report("write", op, line_at(last.tb_frame.f_code, last.tb_lasti), None, headline, facts, instead)


def _named_in(frame: FrameType) -> dict[str, Any]:
    """What the code of a frame can name: its variables, the globals that it uses, and their attributes that it uses."""
    used = frame.f_code.co_names
    found = {**{name: frame.f_globals[name] for name in used if name in frame.f_globals}, **frame.f_locals}
    for name, value in list(found.items()):
        inside = getattr(value, "__dict__", None)
        if isinstance(inside, dict) and type(value) is not type(os):
            found.update({f"{name}.{attribute}": inside[attribute] for attribute in used if attribute in inside})
    return found


def _changed(old: Any, array: Any) -> Any:
    differs = old != array
    return differs & ~(np.isnan(old) & np.isnan(array)) if array.dtype.kind in "fc" else differs


def _looks_finite(array: Any) -> bool:
    """Whether the sum of squares is finite: half a microsecond. If not, it may be a mere overflow of that sum."""
    array = getattr(array, "_data", array)
    return isfinite(abs(_vdot(array, array)))


# -------------------------------------------------------------------------------------------- reading recorders' frames


def operands(recorder: FrameType) -> tuple[Any, tuple[Any, ...]] | None:
    """The primitive, and the values its forward function was given, of the frame of a recorder (or one it called)."""
    frame: FrameType | None = recorder
    while frame is not None and not (frame.f_code.co_name == "apply" and frame.f_code.co_filename == _PRIMITIVE):
        frame = frame.f_back
    if frame is None:
        return None
    local = frame.f_locals
    op = local.get("op")
    if op is None:
        return None
    if "values" in local:
        return op, tuple(local["values"])
    if "arrays" in local:
        return op, (*local["options"], *local["arrays"])
    if "b" in local:
        return op, (local["a"], local["b"])
    return (op, (local["a"], *local.get("options", ()))) if "a" in local else None


def composite_call(frames: list[FrameType]) -> Any:
    """The call of the outermost composite among the frames, ready to be made again."""
    for frame in reversed(frames):
        local = frame.f_locals
        if "function" in local and "signature" in local:
            args, kwargs = local["args"], local["kwargs"]
            bound = local["signature"].bind(args, kwargs) if kwargs else args
            return lambda f=local["function"], bound=bound: f(*bound)
    return None
