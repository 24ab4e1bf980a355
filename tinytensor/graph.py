"""The graph: nodes that remember how a value was made, and the walk that carries cotangents back through them.

Nothing here knows a method of a tensor. A tensor is, for this module, a pair: an array and the node it came from.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import wraps
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinytensor import hooks
from tinytensor.hooks import hooked
from tinytensor.keeping import at_first
from tinytensor.scalar import _last, _shallow, _Switch

if TYPE_CHECKING:
    from types import TracebackType

    from tinytensor.primitive import Op

__all__ = [
    "Node", "assured", "backward", "carry", "deliver", "enable_grad", "forget", "free", "fresh", "history", "ignoring", "is_grad_enabled", "joined", "leaf",
    "no_grad", "note_write", "ones", "owner", "recording", "set_grad_enabled", "settled", "tracing", "walk", "watch", "watching",
]  # fmt: skip

F = TypeVar("F", bound=Callable[..., Any])

# ---------------------------------------------------------------------------------------------------- grad mode

_recording: ContextVar[bool] = ContextVar("tinytensor_recording", default=True)

#: ``recording()``: the mode, as every operation reads it, without a Python frame.
recording: Callable[[], bool] = _recording.get

#: What anomaly mode put on guard in this thread or task: asked once per walk, never per operation.
_watcher: ContextVar[Any] = ContextVar("tinytensor_watcher", default=None)
watching: Callable[[], Any] = _watcher.get


#: The program that is being written down in this thread or task: asked by what keeps numbers in Python.
_tracer: ContextVar[Any] = ContextVar("tinytensor_tracer", default=None)
tracing: Callable[[], Any] = _tracer.get


def assured(test: Callable[..., Any], *args: Any) -> bool:
    """Whether ``test(*args)``: a question about values. A traced program is right for this answer, and asks at each replay."""
    trace = tracing()
    return bool(test(*args) if trace is None else trace.assured(test, args))


#: NumPy's error state, and the one that ignores everything: what ``np.errstate(all="ignore")`` sets.
_errors: ContextVar[Any]
try:
    from numpy._core.umath import _extobj_contextvar as _errors
    from numpy._core.umath import _make_extobj

    _IGNORED: Any = _make_extobj(all="ignore")
except ImportError:  # another NumPy keeps it elsewhere: its warnings are seen then, its numbers are the same
    _errors, _IGNORED = ContextVar("tinytensor_errors"), None


@contextmanager
def ignoring() -> Iterator[None]:
    """No warnings of NumPy inside the ``with`` block, and none when a program that is traced there is replayed."""
    token = _errors.set(_IGNORED)
    try:
        yield
    finally:
        _errors.reset(token)


def watch(watcher: Any) -> Callable[[], None]:
    """Put a watcher on guard, in this context; returns the function that ends it."""
    token = _watcher.set(watcher)
    return lambda: _watcher.reset(token)


def is_grad_enabled() -> bool:
    """Whether operations are recorded in this thread and asyncio task.   (``torch.is_grad_enabled``)

    >>> import tinytensor as tt
    >>> with tt.no_grad():
    ...     tt.is_grad_enabled()
    False
    """
    return _recording.get()


class set_grad_enabled:
    """Record operations, or not, inside a ``with`` block or a decorated function.

    The mode belongs to the thread and to the asyncio task: another one is never touched.

    >>> import tinytensor as tt
    >>> x = tt.tensor([1.0, 2.0], requires_grad=True)
    >>> with tt.set_grad_enabled(False):
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    __slots__ = ("_mode", "_tokens")

    def __init__(self, mode: bool) -> None:
        self._mode = bool(mode)
        self._tokens: list[Token[bool]] = []

    def __enter__(self) -> None:
        self._tokens.append(_recording.set(self._mode))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _recording.reset(self._tokens.pop())

    def __call__(self, function: F) -> F:
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & (0x20 | 0x80 | 0x200):  # generator, coroutine, async generator
            raise TypeError(
                f"{type(self).__name__}() cannot decorate {function.__qualname__}: its body runs after the call has "
                "returned. Use a `with` block inside it."
            )
        mode = self._mode

        @wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            token = _recording.set(mode)
            try:
                return function(*args, **kwargs)
            finally:
                _recording.reset(token)

        return inner  # type: ignore[return-value]


class no_grad(set_grad_enabled):
    """Compute without recording: a context manager and a decorator, as in PyTorch.

    >>> import tinytensor as tt
    >>> w = tt.tensor([1.0, 2.0], requires_grad=True)
    >>> with tt.no_grad():
    ...     w -= 0.5            # a leaf may be updated in place here, and stays a leaf
    >>> w
    tensor([0.5, 1.5], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Record operations inside a ``no_grad`` block.

    >>> import tinytensor as tt
    >>> with tt.no_grad(), tt.enable_grad():
    ...     tt.is_grad_enabled()
    True
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(True)


# ------------------------------------------------------------------------------------------------------- nodes

#: The creation counter.
fresh: Callable[[], int] = count().__next__


class Node:
    """One recorded value: which op made it, from which parents, and what the op's rules asked to keep.

    seq      creation number: parents are made before their children, so sorting by it is a topological sort
    op       the primitive's description, ``None`` for a leaf
    parents  nodes of the op's differentiable inputs, ``None`` where an input needs no gradient
    saved    values by position in ``op.names``; ``None`` once the walk has freed them
    shape, dtype   of the value (not the value: a node never keeps what no rule asked for)
    grad     ``False``: not kept here; ``None`` or an array: the gradient cell of a leaf, or of ``retain_grad()``
    hooks    functions by number, on a node that :func:`tinytensor.hooks.register_hook` has met; unset on all others
    """

    __slots__ = ("__weakref__", "dtype", "grad", "hooks", "op", "parents", "saved", "seq", "shape")
    seq: int
    op: Op | None
    parents: tuple[Node | None, ...]
    saved: Any
    shape: Any
    dtype: Any
    grad: Any
    hooks: dict[int, Callable[[Any], Any]]

    def __repr__(self) -> str:
        return f"<{self.op.name if self.op else 'leaf'} node, shape {self.shape}, {self.dtype}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.op is None or _shallow.get()() is not None:
            return _restore, (self.op, self.parents, self.saved, self.shape, self.dtype, self.grad)
        # as the scalar engine does it: all ancestors in a list, parents first, so that no recursion goes deep
        return _last, (_Switch(True), history(self)[::-1], _Switch(False))


def leaf(array: Any) -> Node:
    """The node of a leaf: a place for a gradient to arrive."""
    node = Node()
    node.seq, node.op, node.parents, node.saved = fresh(), None, (), ()
    node.shape, node.dtype, node.grad = array.shape, array.dtype, None
    return node


def _restore(op: Op | None, parents: Any, saved: Any, shape: Any, dtype: Any, grad: Any) -> Node:
    node = Node()
    node.seq, node.op, node.parents, node.saved = fresh(), op, parents, saved
    node.shape, node.dtype, node.grad = shape, None if dtype is None else np.dtype(dtype.str), grad
    return node


# ------------------------------------------------------------------------------------- writes into shared memory
# A write in place costs the recording of operations nothing. The writer looks at the reference count of the array: if
# nobody else holds it, nothing can go wrong. Otherwise the write is noted here, with its time, and a walk that meets a
# node which is older than the write and saved that memory refuses to go on.

#: id of the array that owns the memory -> (time of the write, weak reference that removes the entry).
_writes: dict[int, tuple[int, weakref.ref[Any]]] = {}


def owner(array: Any) -> Any:
    """The array that owns the memory which ``array`` looks at."""
    while array.base.__class__ is np.ndarray:
        array = array.base
    inner = getattr(array.base, "base", None)  # NumPy's as_strided puts an object between
    return owner(inner) if inner.__class__ is np.ndarray else array


def note_write(array: Any) -> None:
    """Remember that memory which others hold was overwritten now."""
    home = owner(array)
    key = id(home)
    _writes[key] = (fresh(), weakref.ref(home, lambda _: _writes.pop(key, None)))
    if (watcher := watching()) is not None:
        watcher.wrote(key)


def _check_overwritten(node: Node, op: Op) -> None:
    for value in node.saved:
        for array in value if isinstance(value, (tuple, list)) else (value,):
            if array.__class__ is np.ndarray and (entry := _writes.get(id(owner(array)))) and entry[0] > node.seq:
                raise RuntimeError(
                    f"backward of {op.name}: an array of shape {array.shape} that it saved was overwritten in place "
                    "after the forward pass, so the gradient would be wrong. Call backward() before the write, or "
                    "write into a copy: t = t + u or t.clone()."
                )


# ------------------------------------------------------------------------------------------------------- the walk

_by_seq = attrgetter("seq")


def history(root: Node, *, leaves: bool = False, stop: Collection[Node] = (), floor: int = -1) -> list[Node]:
    """All nodes that ``root`` came from, latest first; leaves, ``stop`` nodes and nodes older than ``floor`` end it."""
    for parent in root.parents:
        if leaves or (parent is not None and parent.op is not None and parent not in stop):
            break
    else:  # one operation on leaves, or a leaf
        return [root] if leaves or root.op is not None else []
    seen = {root, *stop}
    stack = [root]
    found: list[Node] = []
    ends: list[Node] = []
    while stack:
        node = stack.pop()
        if node.op is None:
            ends.append(node)
            continue
        found.append(node)
        for parent in node.parents:
            if parent is not None and parent not in seen and parent.seq > floor:
                seen.add(parent)
                stack.append(parent)
    found.sort(key=_by_seq, reverse=True)
    return found + ends if leaves else found


def walk(
    order: list[Node],
    cotangent: Any,
    *,
    needed: set[Node] | None = None,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> dict[Node, Any]:
    """Carry ``cotangent`` back from ``order[0]``, and return what arrived at nodes that are not in ``order``.

    Gradients in flight live in a local dict. A first contribution is borrowed, a second allocates, later ones add in
    place. With ``create_graph`` the saved arrays are handed to the rules as tensors, so that the rules, which are
    plain NumPy, record the gradient's own graph. ``needed`` limits the work to these nodes.
    """
    for first in at_first:
        at_first.clear()
        first()
    guard = watching() or tracing()
    carry_ = carry if guard is None else guard.carry
    token = _recording.set(create_graph)  # not the context managers: a microsecond of every step
    quiet = _errors.set(_IGNORED)
    try:
        arrived: dict[Node, Any] = carry_(order, cotangent, needed, create_graph, retain_graph, hooked)
        return hooks.at_ends(arrived, order) if hooked else arrived
    finally:
        _errors.reset(quiet)
        _recording.reset(token)


def carry(
    order: Sequence[Node], cotangent: Any, needed: set[Node] | None, create_graph: bool, retain_graph: bool, hooked: Any,
    seen_as: Callable[[Op], Any] | None = None,
) -> dict[Node, Any]:  # fmt: skip
    """The loop of :func:`walk`; for an order of one node, what that one sends to its parents.

    ``seen_as``: what stands for an op, with rules of its own; a trace puts those there that may ask for values.
    """
    grads: dict[Node, Any] = {order[0]: cotangent}
    kept: dict[Node, Any] = {}
    owned: set[Node] = set()
    for node in order:
        g = grads.pop(node, None)
        if g is None:
            continue
        if hooked and id(node) in hooked:
            g = hooks.call(node, g)
        if node.grad is not False:
            kept[node] = g
        op: Any = node.op
        saved = node.saved
        if saved is None:
            raise _freed(op)
        if op.part:
            _collect_part(grads, node, g)
            continue
        op = op if seen_as is None else seen_as(op)
        if _writes:
            _check_overwritten(node, op)
        if create_graph:
            saved = op.relink(node)
        joint = op.joint(g, saved, 0) if op.joint is not None else None
        for k, parent in enumerate(node.parents):
            if parent is None or (needed is not None and parent not in needed):
                continue
            into = None if op.into is None or create_graph or hasattr(g, "_inner") else op.into[k]
            old = grads.get(parent)
            if into is not None:
                if parent not in owned or old.__class__ is not np.ndarray:
                    old = _room(parent, g) if old is None else np.copy(old)
                    grads[parent] = old
                    owned.add(parent)
                into(g, saved, old)
                continue
            new = joint[k] if joint is not None else op.pulls[k](g, saved, k)
            if new.shape != parent.shape or new.dtype is not parent.dtype:
                new = settled(new, parent, op, k, create_graph)
            if old is None:
                grads[parent] = new
            elif parent in owned:
                old += new
                grads[parent] = old
            else:
                grads[parent] = old + new
                if not create_graph:
                    owned.add(parent)
        if not retain_graph:
            node.saved = None
    return grads | kept


def _room(parent: Node, like: Any) -> Any:
    """Zeros that rules add to, beside the cotangent that they get: in a traced program part of it."""
    if type(like) is np.ndarray:
        return np.zeros(parent.shape, parent.dtype)
    return np.zeros_like(like, parent.dtype, shape=parent.shape, order="C")


def settled(new: Any, parent: Node, op: Op, k: int, create_graph: bool) -> Any:
    """A contribution in its parent's shape and dtype: the one place where broadcasting is undone."""
    if new.shape != parent.shape:
        if not op.broadcasts:
            raise _wrong_shape(op, k, new.shape, parent.shape)
        new = (op.sum_to if create_graph else op.sum_arrays)(new, parent.shape)
    return new if new.dtype == parent.dtype else op.cast(new, parent.dtype)


def _freed(op: Op) -> RuntimeError:
    return RuntimeError(
        f"backward through {op.name} a second time: its saved arrays were freed by the first. Call "
        "backward(retain_graph=True) the first time."
    )


def _collect_part(grads: dict[Node, Any], node: Node, g: Any) -> None:
    """One output of an op with several: its cotangent waits in the op's list; an unused output stays ``None``."""
    whole = node.parents[0]
    assert whole is not None
    cotangents = grads.setdefault(whole, [None] * len(whole.shape))
    i = node.saved[0]
    cotangents[i] = g if cotangents[i] is None else cotangents[i] + g


def _wrong_shape(op: Op, k: int, got: Any, expected: Any) -> RuntimeError:
    return RuntimeError(
        f"{op.name}: the rule for input {op.input_name(k)!r} returned a gradient of shape {got}, expected the input's "
        f"shape {expected}. Only primitives declared with broadcasts=True may leave it to the walk to sum."
    )


_ONE: dict[Any, Any] = {np.dtype(kind): np.ones((), kind) for kind in ("f", "d")}
for _one in _ONE.values():
    _one.flags.writeable = False


def ones(like: Any) -> Any:
    """The cotangent that a walk starts with: ones. That of a number is shared, and read-only."""
    one = _ONE.get(like.dtype) if like.ndim == 0 else None
    return np.ones(like.shape, like.dtype) if one is None else one


def backward(root: Node, cotangent: Any, retain_graph: bool) -> None:
    """Add ∂root/∂leaf · cotangent to the gradient of every leaf, and of every node that retains its gradient.

    The walk knows no conjugates; a complex gradient is conjugated here, which makes it PyTorch's: the direction of
    steepest ascent of a real loss, ∂L/∂Re z + i ∂L/∂Im z. All or nothing: the cells are written after the walk has finished.
    """
    if root.op is None:
        arrived = {root: cotangent}
        deliver(hooks.at_ends(arrived) if hooked else arrived)
    else:
        deliver(walk(history(root), cotangent, retain_graph=retain_graph))


def forget(t: Any) -> None:
    """Let the gradient of a leaf be None."""
    node = t._node
    if node is not None and (node.op is None or node.grad is not False):
        node.grad = None


def deliver(arrived: dict[Node, Any]) -> None:
    """Add what arrived to the gradient cells, and empty ``arrived``."""
    while arrived:
        node, g = arrived.popitem()
        if node.grad is False:
            continue
        if node.dtype.kind == "c":
            g = g.conj()
        if node.grad is not None:
            node.grad += g
        elif g.__class__ is np.ndarray and g.base is None and sys.getrefcount(g) <= 2:
            node.grad = g  # nobody else holds it: taken, not copied
        else:
            node.grad = g.copy() if g.__class__ is np.ndarray else np.array(g)


def free(order: Iterable[Node]) -> None:
    """Let go of what the nodes saved, as a walk does that need not retain the graph."""
    for node in order:
        if node.op is not None and not node.op.part:
            node.saved = None


def joined(old: Any, new: Any) -> Any:
    """Two contributions to one cotangent."""
    if old is None:
        return new
    if isinstance(new, list):  # of several outputs, each sends its own
        return [b if a is None else a if b is None else a + b for a, b in zip(old, new, strict=True)]
    return old + new
