"""``tt.compile``: a function is traced once for each signature, and replayed from then on."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import is_dataclass
from functools import partial, update_wrapper
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.compiler.code import Code, Handed, Rooted
from tinytensor.compiler.entrance import entrance
from tinytensor.compiler.names import Watch, name_states, optimizers
from tinytensor.compiler.native import needed
from tinytensor.compiler.optimizing import Unsettled
from tinytensor.compiler.plan import Plan
from tinytensor.compiler.program import mapped
from tinytensor.compiler.pulling import Pulled, attach
from tinytensor.compiler.replay import OTHER, STALE, Replay
from tinytensor.compiler.stand_ins import TracedArray, TracedNumber, Untraceable
from tinytensor.compiler.surroundings import Surroundings
from tinytensor.compiler.trace import Trace, tracing
from tinytensor.compiler.twice import check_same
from tinytensor.deferred import Deferred
from tinytensor.graph import recording
from tinytensor.keeping import give_back
from tinytensor.primitive import TensorBase
from tinytensor.tape import LEVELS

__all__ = ["Compiled", "compile"]

_Key = tuple[Any, ...]
#: Bytes of a plan's memory from which the runs before it are worth cleaning up after.
_LARGE = 1 << 24

#: Kinds of calls that give numbers where NumPy does; of others a number is taken out of what they give.
_NUMBERS = ("ufunc", "reduce", "draw")

#: How a call like the last one is known, and its replay: none yet.
_NOTHING: tuple[Callable[..., Any], Any] = (lambda args, mode: None, None)


class Compiled:
    """A function whose calls of NumPy are known: see :func:`tinytensor.compile`."""

    def __init__(self, function: Callable[..., Any], most: int, native: bool = False) -> None:
        update_wrapper(self, function)
        self.__name__: str = getattr(function, "__name__", type(function).__name__)
        self.function, self.most, self.native = function, most, native
        self._plans: OrderedDict[_Key, list[Replay]] = OrderedDict()
        self._lock = threading.RLock()
        self._running = False
        self._last: tuple[Callable[..., Any], Any] = _NOTHING
        self._traced = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if tracing() is not None or graph.watching() is not None or LEVELS.get():
            return self.function(
                *args, **kwargs
            )  # part of another program; anomaly mode and transforms want every call
        with self._lock:
            if self._running:  # it calls itself
                return self.function(*args, **kwargs)
            self._running = True
            try:
                enter, replay = self._last
                if not kwargs and (leaves := enter(args, recording())) is not None:
                    result = replay.run(*leaves)
                    if result is not STALE and result is not OTHER:
                        return result if replay.pulled is None else self._attached(replay, result, args, kwargs)
                return self._called(args, kwargs)
            finally:
                self._running = False

    def _called(self, args: Any, kwargs: Any) -> Any:
        """The call, by the plan for its signature, or by a new one."""
        leaves: list[Any] = []
        try:
            key = (_signature((args, kwargs), leaves, {}), recording())
        except Deferred:  # of a batch: it has no array
            return self.function(*args, **kwargs)
        for replay in self._plans.get(key, ()):
            result = replay.run(*leaves)
            if result is STALE and replay.bind():
                result = replay.run(*leaves)
            if result is not STALE and result is not OTHER:
                break
        else:
            found = self._traced_anew(key, args, kwargs)
            if found is None:
                return self.function(*args, **kwargs)
            replay, result = found, found.run(*leaves)
            if result is OTHER or result is STALE:  # what it asks changes while it is asked
                return self.function(*args, **kwargs)
        self._last = (entrance(args, key[1]), replay) if not kwargs else _NOTHING
        return result if replay.pulled is None else self._attached(replay, result, args, kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else partial(self, instance)

    def __reduce__(self) -> Any:
        return Compiled, (self.function, self.most, self.native)  # a copy has plans of its own

    # -------------------------------------------------------------------------------------------------------------- plans

    def _traced_anew(self, key: _Key, args: Any, kwargs: Any) -> Replay | None:
        """A new plan for such arguments; None if state that a first call makes is not there yet."""
        new = [each for each in optimizers(self.function) if each.elementwise and not each._gathers]
        if new:  # the first step of an optimizer makes its state: known without a trace that would find out
            for each in new:
                each._gathers = True
            return None
        before = Surroundings(self.function, args, kwargs)
        try:
            first = _Run(self.function, args, kwargs, Watch)
            second = _Run(self.function, args, kwargs, nullcontext)
            check_same(first.trace, second.trace, (first.out, second.out))
            Surroundings(self.function, args, kwargs).kept(first.trace, before)
        except Unsettled:
            return None
        first.trace.native = self.native
        back = None
        if first.pulled is None:
            plan = Plan(first.trace, first.out)
        else:
            plan, back = first.pulled.plans(self.__name__, first.trace, first.out, first.names)
        if sum(plan.blocks) > _LARGE:
            give_back()  # what the runs freed lies in other pieces than the plan's
        replay = Replay(self.__name__, plan, Code(plan, first.names))
        replay.pulled, replay.back = first.pulled, back
        self._plans.setdefault(key, []).insert(0, replay)
        self._plans.move_to_end(key)
        self._count()
        return replay

    def _attached(self, replay: Replay, result: Any, args: Any, kwargs: Any) -> Any:
        """The function's result, whose tensors know how to go back."""
        out, roots, kept = result
        assert replay.back is not None
        attach(self.__name__, replay.pulled, replay.back, roots, kept, list(_inputs((args, kwargs))))
        return out

    def _count(self) -> None:
        self._traced += 1
        if self._traced == self.most:
            warnings.warn(
                f"{self.__name__} was traced {self._traced} times: its arguments have many shapes, or a Python value that "
                "decides differs from call to call. Pad to a few shapes, pass numbers as floats, or do not compile it.",
                RuntimeWarning,
                stacklevel=4,
            )
        while sum(map(len, self._plans.values())) > self.most:
            oldest = next(iter(self._plans))
            self._plans[oldest].pop()
            if not self._plans[oldest]:
                del self._plans[oldest]

    def _latest(self) -> Replay:
        if not self._plans:
            raise RuntimeError(f"{self.__name__} has no plan yet: call it first")
        return next(reversed(self._plans.values()))[0]

    # ----------------------------------------------------------------------------------------------------- what it became

    def source(self) -> str:
        """The latest plan as a module of NumPy: what is computed, line by line, with nothing of this library.

        The module has the function, under its own name; ``STATE``, the arrays that outlive a call (parameters, buffers of
        the optimizer), to be filled from :meth:`state`, and ``NUMBERS``, the Python numbers that do (learning rate, counts).
        Its results are those of the compiled function, bit by bit. What is not NumPy's, functions that look at values, is
        imported from this library, with a comment that says so.
        """
        from tinytensor.compiler.source import module

        return module(self.__name__, self._latest())

    def state(self) -> dict[str, Any]:
        """Copies of the arrays that outlive a call, by their names in :meth:`source`."""
        from tinytensor.compiler.source import state

        return state(self._latest())

    def explain(self) -> str:
        """What the latest plan does: its calls, memory, what was merged and reused, what could not be looked into and why."""
        from tinytensor.compiler.source import explain

        return explain(self.__name__, self._latest(), sum(map(len, self._plans.values())))


class _Run:
    """One run of a function with stand-ins, of which nothing is left but what the trace wrote down."""

    def __init__(self, function: Callable[..., Any], args: Any, kwargs: Any, watch: Callable[[Trace], Any]) -> None:
        self.names: list[str] = []
        with Trace() as self.trace:
            given = _Given(self.trace, self.names, function)
            stand_ins, options = given.tree(args, None), {k: given.tree(v, k) for k, v in kwargs.items()}
            with watch(self.trace):
                out = function(*stand_ins, **options)
            self.roots: list[Any] = []
            self.out = mapped(out, self._handed)
            given.check()
            self.pulled = Pulled(self.trace, self.roots, given.nodes) if self.roots else None
            name_states(self.trace, function)

    def _handed(self, x: Any) -> Any:
        """What the function returned, with arrays of the program in the place of stand-ins."""
        if is_dataclass(x) and not isinstance(x, type):
            raise Untraceable(
                f"tt.compile: the function returns a {type(x).__name__}; return a tuple, list, dict or NamedTuple of arrays"
            )
        if not isinstance(x, TensorBase):
            number = type(x) is TracedArray and x.array.scalar and getattr(x.array.call, "kind", "") not in _NUMBERS
            return self.trace.symbol(x[()] if number else x)
        if not self.trace.made(x):
            return x
        if x._node is not None and recording() and (x._node.op is None or x._node.saved is not None):
            self.roots.append(x)
            return Rooted(self.trace.symbol(x._data))
        return Handed(self.trace.symbol(x._data))


def _signature(tree: Any, leaves: list[Any], seen: dict[int, int]) -> Any:
    """What two calls must share to share a plan; arrays, tensors and floats go to ``leaves``."""
    kind = type(tree)
    if kind is np.ndarray:
        leaves.append(tree)
        return (tree.shape, tree.dtype, tree.strides, seen.setdefault(id(tree), len(leaves)))
    if kind is float:
        leaves.append(tree)
        return float
    if kind is tuple or kind is list or hasattr(kind, "_fields"):
        return (kind, *[_signature(x, leaves, seen) for x in tree])
    if isinstance(tree, TensorBase):
        data = tree._data
        leaves.append(data)
        return (kind, data.shape, data.dtype, data.strides, tree._node is None, seen.setdefault(id(data), len(leaves)))
    if kind is dict:
        return (dict, *[(k, _signature(v, leaves, seen)) for k, v in tree.items()])
    if isinstance(tree, np.generic):
        leaves.append(np.asarray(tree))
        return (kind, len(leaves))
    try:
        hash(tree)
    except TypeError:
        raise TypeError(
            f"tt.compile: an argument of type {kind.__name__} can be neither an array nor part of the signature; pass arrays, "
            "tensors, numbers, strings, or lists, tuples and dicts of them"
        ) from None
    return (kind, tree)


def _inputs(tree: Any) -> Iterator[Any]:
    """The arguments that are leaves of the signature, in its order."""
    kind = type(tree)
    if kind is tuple or kind is list or hasattr(kind, "_fields"):
        for x in tree:
            yield from _inputs(x)
    elif kind is dict:
        for x in tree.values():
            yield from _inputs(x)
    elif _is_input(tree):
        yield tree


def _is_input(x: Any) -> bool:
    """Whether an argument is an input of the program; others are part of the signature."""
    return type(x) is np.ndarray or type(x) is float or isinstance(x, (TensorBase, np.generic))


class _Given:
    """Stand-ins for the arguments of a call, in the order of their leaves."""

    def __init__(self, trace: Trace, names: list[str], function: Callable[..., Any]) -> None:
        self.trace, self.names, self.seen, self.nodes = trace, names, dict[int, Any](), dict[int, int]()
        self.tensors: list[tuple[Any, Any, Any]] = []  # what stands for a tensor, its array and its node
        self.held: list[Any] = []
        code = getattr(getattr(function, "forward", function), "__code__", None)
        self.params = code.co_varnames[: code.co_argcount] if code is not None else ()
        if self.params[:1] == ("self",):
            self.params = self.params[1:]

    def tree(self, tree: Any, name: str | None) -> Any:
        """The tree of arguments with stand-ins; ``name``: how the function calls it (None: of all its positional ones)."""
        kind = type(tree)
        if name is None:
            return [
                self.tree(x, self.params[k] if k < len(self.params) else f"argument_{k}") for k, x in enumerate(tree)
            ]
        if kind is tuple or kind is list:
            return kind([self.tree(x, f"{name}_{k}") for k, x in enumerate(tree)])
        if hasattr(kind, "_fields"):
            return kind(*[self.tree(x, f"{name}_{k}") for k, x in zip(kind._fields, tree, strict=True)])
        if kind is dict:
            return {k: self.tree(v, f"{name}_{k}") for k, v in tree.items()}
        return self._leaf(tree, name) if _is_input(tree) else tree

    def _leaf(self, x: Any, name: str) -> Any:
        while name in self.names or not name.isidentifier():
            name = "".join(c if c.isalnum() else "_" for c in name) + "_"
        self.names.append(name)
        array = self.trace.stored(x) if isinstance(x, TensorBase) else np.asarray(x) if isinstance(x, np.generic) else x
        self.held.append(array)  # so that no other one has its id
        made = self.seen.get(id(array))
        if made is None or type(array) is float:
            made = self.seen[id(array)] = self.trace.argument(array, len(self.names) - 1)
            (made.number if type(made) is TracedNumber else made.array).name = name
            if isinstance(x, np.generic):
                made.array.scalar = True
        if not isinstance(x, TensorBase):
            return made
        t = object.__new__(type(x))
        t._data = made
        t._node = graph.leaf(made) if x._node is not None else None
        self.nodes[id(t._node)] = len(self.names) - 1
        self.tensors.append((t, made, t._node))
        return t

    def check(self) -> None:
        """Raise if the function did to an argument what would be lost: there, it is its values alone.

        An argument that shares memory with what the program writes into is no argument of a plan: such a call is not compiled.
        """
        memories = self.trace.memories
        written = {id(graph.owner(m.whole)) for m in memories if m.kind == "state" and m.writes}
        homes = {id(x): id(graph.owner(x)) for x in self.held if isinstance(x, np.ndarray)}
        twice = len(set(homes.values())) < len(homes) and any(m.kind == "argument" and m.writes for m in memories)
        if twice or not written.isdisjoint(homes.values()):
            raise Unsettled
        for t, made, node in self.tensors:
            if t._data is not made or t._node is not node:
                raise Untraceable(
                    "tt.compile: the function gives an argument new data (x.data = ...), or a recorded write; write into it "
                    "(x.data[...] = ...), return the new tensor, or reach the tensor from outside instead of passing it"
                )
            if node is not None and node.grad is not None:
                raise Untraceable(
                    "tt.compile: backward() reaches an argument that requires grad, whose .grad would be lost; pass "
                    "x.detach(), reach the tensor from outside (a closure, a module), or use tt.value_and_grad"
                )


def compile(function: Callable[..., Any] | None = None, *, max_plans: int = 64, backend: str | None = None) -> Any:
    """Trace a function of arrays and tensors, and from then on replay its NumPy calls: the same bits, without the rest.

    Works as it is called, ``step = tt.compile(step)``, and as a decorator. The function may be any: plain NumPy,
    ``tt.value_and_grad(loss)``, a whole training step with ``backward()`` and ``optimizer.step()``. For each signature
    (shapes, dtypes and strides of arrays; the values of all other arguments but floats, which are inputs) it is run twice
    with stand-ins for arrays, of which nothing but the list of calls remains; those are planned, and replayed with memory
    that is there already. Parameters, buffers, state of optimizers and random generators are updated in place.

    Tensors that it returns have their gradient (a first derivative; compile the function that takes a second one), except
    after a ``backward()`` inside. ``if`` on the values of an array raises; a Python value that changed since the
    trace, ``module.training``, ``requires_grad``, a learning rate that decides, an attribute of an object, a number or string in
    a variable around the function, or which object such a variable holds, finds another plan or is traced anew. What is inside
    NumPy's arrays that are neither arguments nor a tensor's, in long lists, and in lists and dicts that the function writes, is
    constant. A scheduler that it steps is stepped at the end of the call. At
    most ``max_plans`` plans are kept. Lists that the function appends to, and prints, happen only while it is traced. Raises
    TypeError for what cannot be traced. In the spirit of ``jax.jit`` and ``torch.compile``.

    Elementwise functions of large arrays are made block by block, in as many threads as there are cores (at most
    ``OMP_NUM_THREADS``, at most 8). ``backend="numba"`` (the extra of that name) makes compiled functions of small elementwise
    calls, sums and products: the answers are the same to rounding, floating-point warnings are not given, and compiling
    takes seconds for each signature.

    >>> import numpy as np, tinytensor as tt
    >>> f = tt.compile(tt.value_and_grad(lambda x: np.tanh(x).sum()))
    >>> f(np.zeros(2))
    (np.float64(0.0), array([1., 1.]))
    """
    if function is None:
        return partial(compile, max_plans=max_plans, backend=backend)
    if backend not in (None, "numba"):
        raise ValueError(f"compile: expected backend 'numba' or None, got {backend!r}")
    if backend is not None:
        needed()
    if not callable(function):
        raise TypeError(f"compile: expected a function, got {type(function).__name__}")
    if isinstance(function, Compiled):
        return function
    return Compiled(function, max_plans, backend is not None)
