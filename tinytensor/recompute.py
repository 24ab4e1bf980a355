"""``checkpoint``: what a part of the graph has saved is dropped, and computed again when backward comes by."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import numpy as np

from tinytensor import creation, graph
from tinytensor.graph import Node, recording, set_grad_enabled
from tinytensor.primitive import TensorBase, wrap
from tinytensor.tape import LEVELS, base, fresh_variable
from tinytensor.trees import flatten, map_leaves

__all__ = ["checkpoint"]


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, with memory for time: backward calls f a second time instead of keeping what its operations saved.

    The graph of f is recorded, so that gradients reach its arguments and every parameter that it reads, of any order;
    but the arrays that its rules need are let go. The first rule that asks for one has f run again. Random numbers of
    the shared generator (:func:`tinytensor.rand`, dropout) and of ``np.random`` are the same in both runs. f must give
    the same result when it is called again: RuntimeError, if backward notices that it does not, or that an argument was
    overwritten meanwhile. In a compiled function it is f itself. Follows ``torch.utils.checkpoint`` and JAX's ``checkpoint``.

    >>> import numpy as np, tinytensor as tt
    >>> block = tt.checkpoint(lambda x: np.tanh(np.exp(-x)))
    >>> tt.grad(block)(1.0) == tt.grad(lambda x: np.tanh(np.exp(-x)))(1.0)
    np.True_
    """

    @wraps(f)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        if not recording() or graph.tracing() is not None:
            return f(*args, **kwargs)
        segment = _Segment(f, args, kwargs)
        out = f(*args, **kwargs)
        segment.drop(out)
        return out

    return checkpointed


class _Segment:
    """One call: how to repeat it, and which nodes it made."""

    def __init__(self, f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.f, self.args, self.kwargs = f, args, kwargs
        self.levels = LEVELS.get()
        self.random = _random_state()
        self.floor = graph.fresh()
        self.nodes: list[weakref.ref[Node]] = []
        self.seen: list[Any] = []

    def drop(self, out: Any) -> None:
        """Take from the nodes of this call what they have saved."""
        nodes = _made_since(self.floor, out)
        self.nodes = [weakref.ref(node) for node in nodes]
        self.seen = _fingerprint(out)
        for i, node in enumerate(nodes):
            node.saved = _Later(self, i)
        # the arguments without their nodes: the segment must not keep alive what came before it
        self.args, self.kwargs = map_leaves(_stand_in, self.args), map_leaves(_stand_in, self.kwargs)

    def run(self) -> None:
        """Call f again, and hand the nodes what they had saved."""
        for x in flatten((self.args, self.kwargs)):
            if isinstance(x, TensorBase):
                _check_untouched(base(x)._data, self.floor)
        now, token = _random_state(), LEVELS.set(self.levels)
        _set_random_state(self.random)
        floor = graph.fresh()
        try:
            with set_grad_enabled(True):
                out = self.f(*map_leaves(_stand_in, self.args), **map_leaves(_stand_in, self.kwargs))
        finally:
            LEVELS.reset(token)
            _set_random_state(now)
        again = _made_since(floor, out)
        if len(again) != len(self.nodes) or not _same(_fingerprint(out), self.seen):
            raise RuntimeError(
                "checkpoint: the function gave another result when backward called it again; it must not depend on what "
                "changes between calls: a generator of its own (use the shared one: tt.rand, np.random), a counter, the "
                "clock, or a parameter that was updated before backward"
            )
        for held, new in zip(self.nodes, again, strict=True):
            node = held()
            if node is not None and type(node.saved) is _Later:
                node.saved = new.saved
                if type(new.saved) is _Later:  # a checkpoint inside f: it will have to serve the old node
                    new.saved.segment.nodes[new.saved.place] = weakref.ref(node)


class _Later:
    """Stands for the saved values of a node until one of them is asked for."""

    __slots__ = ("place", "segment")

    def __init__(self, segment: _Segment, place: int) -> None:
        self.segment, self.place = segment, place

    def _values(self) -> Any:
        node: Any = self.segment.nodes[self.place]()
        if type(node.saved) is _Later:
            self.segment.run()
        return node.saved

    def __getitem__(self, at: Any) -> Any:
        return self._values()[at]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return list, (list(self),)


def _made_since(floor: int, out: Any) -> list[Node]:
    """The nodes of operations between a moment and the results, in the order of their making."""
    roots = [base(x)._node for x in flatten(out) if isinstance(x, TensorBase)]
    found: dict[Node, None] = {}
    for root in roots:
        if root is not None and root.op is not None and root.seq > floor and root not in found:
            found |= dict.fromkeys(graph.history(root, stop=found, floor=floor))
    kept = [node for node in found if node.op is not None and not node.op.part and _keeps(node.saved)]
    return sorted(kept, key=lambda node: node.seq)


def _keeps(saved: Any) -> bool:
    return type(saved) is _Later or (saved is not None and any(x is not None for x in saved))


def _stand_in(x: Any) -> Any:
    """A tensor with the same values, and a node exactly if it had one."""
    inner = base(x)
    if not isinstance(inner, TensorBase):
        return x
    made = wrap(inner._data, None) if inner._node is None else fresh_variable(inner._data)
    return made if inner is x else x._with(made)


def _check_untouched(array: Any, since: int) -> None:
    entry = graph._writes.get(id(graph.owner(array)))
    if entry is not None and entry[0] > since:
        raise RuntimeError(
            f"checkpoint: an argument of shape {array.shape} was overwritten in place after the call, so that it cannot be "
            "repeated. Call backward() before the write, or write into a copy: t = t.clone()."
        )


# ------------------------------------------------------------------------------------------------- what must be repeated


def _random_state() -> tuple[Any, Any]:
    """The state of the shared generator, and of NumPy's own, if the program has loaded it."""
    old = np.random.get_state() if "numpy.random" in sys.modules else None
    return creation.default_rng().numpy.bit_generator.state, old


def _set_random_state(state: tuple[Any, Any]) -> None:
    creation.default_rng().numpy.bit_generator.state = state[0]
    if state[1] is not None:
        np.random.set_state(state[1])


def _fingerprint(out: Any) -> list[Any]:
    """Of each result the shape and the sum of squares, which another result would hardly have."""
    arrays = [base(x)._data for x in flatten(out) if isinstance(x, TensorBase)]
    with np.errstate(all="ignore"):
        return [(a.shape, float(np.vdot(a, a).real)) for a in arrays]


def _same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        a[0] == b[0] and bool(np.isclose(a[1], b[1], rtol=1e-4, atol=1e-30, equal_nan=True))
        for a, b in zip(one, other, strict=True)
    )
