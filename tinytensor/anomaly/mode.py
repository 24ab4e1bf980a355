"""``tt.detect_anomaly`` and ``tt.trace_lines``: context managers and decorators that put a watcher on guard."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinytensor import graph
from tinytensor.anomaly.watcher import WatchedNode, Watcher
from tinytensor.graph import Node
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["detect_anomaly", "trace_lines"]

F = TypeVar("F", bound=Callable[..., Any])

# Outside of anomaly mode recording knows nothing of it. The first block that is entered, in any thread, makes recorders
# use nodes that report when they are complete; the last one to end gives them the plain ones back.
_lock = threading.Lock()
_users = 0


def _count(change: int) -> None:
    global _users
    with _lock:
        _users += change
        vars(sys.modules[TensorBase.__module__])["Node"] = WatchedNode if _users else Node


class detect_anomaly:
    """Find the line that makes a NaN or an infinity, and operands that are overwritten before backward.

    A context manager and a decorator, for this thread and asyncio task. It raises :class:`AnomalyError`, which names
    the operation, the line of your program that recorded it, the first bad element with the operands there, and what
    to write instead. Cheap enough to leave on while developing. What it looks for:

    forward   an operation on tensors makes a NaN or infinity that its operands do not have: raised at once, in your
              line. Where that is meant (``np.where(x > 0, np.log(x), 0.0)``, whose gradient is right), silence NumPy as
              usual, ``with np.errstate(all="ignore"):``, or pass ``forward=False``: then only what reaches the result
              or a gradient counts
    backward  the value that backward is called on, or a gradient that arrives, is not finite
    writes    an array that the graph saved has changed since: through ``t.data``, a NumPy alias, a constant operand.
              ``"raise"`` locks these arrays instead, and stops at the writing line
    inf       False: only NaN counts
    inputs    True: also raise where an operation first reads data that are not finite (else: if a gradient or the
              result is spoiled by them)

    >>> import numpy as np, tinytensor as tt
    >>> x = tt.tensor([4.0, 0.0], requires_grad=True)
    >>> try:
    ...     with tt.detect_anomaly():
    ...         np.sqrt(x).sum().backward()
    ... except tt.AnomalyError as error:
    ...     print(str(error).splitlines()[0], error.line.expression, error.index)
    backward of sqrt: inf first appears in the gradient of its operand x, recorded at np.sqrt(x) (1,)
    """

    def __init__(
        self, forward: bool = True, backward: bool = True, writes: Any = True, inf: bool = True, inputs: bool = False
    ) -> None:
        if writes not in (True, False, "raise"):
            raise ValueError(f"detect_anomaly: writes must be True, False or 'raise', got {writes!r}")
        self._settings = (bool(forward), bool(backward), writes, bool(inf), bool(inputs))
        self._entered: list[tuple[Watcher, Any, Any]] = []

    def __enter__(self) -> None:
        watcher = Watcher(*self._settings)
        state = np.errstate()
        if watcher.forward or watcher.backward:
            call = watcher.floating_point_error
            state = np.errstate(divide="call", over="call", invalid="call", call=call)
        _count(1)
        state.__enter__()
        self._entered.append((watcher, state, graph.watch(watcher)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        watcher, state, restore = self._entered.pop()
        restore()
        state.__exit__()
        _count(-1)
        try:
            told = watcher.explain_lock(error, trace) if isinstance(error, ValueError) else None
        finally:
            if watcher.locks is not None:
                watcher.locks.release_all()
        if told is not None:
            raise told from error

    def __call__(self, function: F) -> F:
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & (0x20 | 0x80 | 0x200):  # generator, coroutine, async generator
            raise TypeError(
                f"{type(self).__name__}() cannot decorate {function.__qualname__}: its body runs after the call has "
                "returned. Use a `with` block inside it."
            )

        @wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return inner  # type: ignore[return-value]

    def _again(self) -> detect_anomaly:
        """One of the same kind, for one call: calls may run at the same time."""
        return detect_anomaly(*self._settings)


class trace_lines(detect_anomaly):
    """Only remember which line of your program records what, for :func:`explain` and ``backward(trace=True)``.

    A context manager and a decorator; :func:`detect_anomaly` remembers it too.

    >>> import tinytensor as tt
    >>> x = tt.tensor(3.0, requires_grad=True)
    >>> with tt.trace_lines():
    ...     y = x * x
    >>> y.grad_fn.line.expression
    'x * x'
    """

    def __init__(self) -> None:
        super().__init__(forward=False, backward=False, writes=False)
