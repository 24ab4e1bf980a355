"""A step of an optimizer as part of a program: the same formula, on arrays that stand for its parameters and buffers.

Options and counts are Python numbers in dicts, which every replay reads anew, so that a schedule works as it does without
compiling. Parameters that the optimizer keeps in one array are updated there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.compiler.stand_ins import Untraceable
from tinytensor.optim.work import directed, parts, whole

__all__ = ["Live", "Unsettled", "step"]


class Unsettled(Exception):  # noqa: N818
    """State that is made by a first step is not there yet: this call is made without compiling, the next one is traced."""


class Live(MutableMapping[str, Any]):
    """A dict whose numbers are read anew by each replay, and written by it, and whose arrays must stay the same."""

    def __init__(self, trace: Any, container: dict[str, Any]) -> None:
        self.trace, self.container = trace, container

    def __getitem__(self, key: str) -> Any:
        return self.container[key] if key in ("params", "param_names") else self.trace.entry(self.container, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self.container:
            raise Untraceable(f"tt.compile: there is no {key!r} yet; set it before the call")
        self.trace.assign(self.container, key, value)

    def __delitem__(self, key: str) -> None:
        raise Untraceable(f"tt.compile: {key!r} is deleted; do it before the call")

    def __iter__(self) -> Iterator[str]:
        return iter(self.container)

    def __len__(self) -> int:
        return len(self.container)


def step(trace: Any, optimizer: Any, closure: Callable[[], Any] | None) -> Any:
    """What ``Optimizer.step`` does while a program is traced."""
    if getattr(type(optimizer), "traceable", True) is False:
        raise Untraceable(
            f"tt.compile: {type(optimizer).__name__} chooses its steps by the values of the loss, so a step of it is not a "
            "fixed program; compile the closure that computes the loss and its gradients, and call step outside"
        )
    loss = closure() if closure is not None else None
    before, trace.part = trace.part, "update"
    quiet = graph._errors.set(graph._IGNORED)
    try:
        if optimizer.elementwise and not optimizer._gathers:
            optimizer._gathers = True
            raise Unsettled  # a step that is made first puts all parameters into one array, if nobody holds them
        trace.guard(optimizer, "_version", optimizer._version)
        groups = vars(optimizer)["param_groups"]
        trace.guard(optimizer, "param_groups", groups)
        trace.guard(optimizer, "state", optimizer.state)
        trace.guard_members(groups)
        if optimizer.state:
            trace.guard_members(optimizer.state)
        for index, group in enumerate(groups):
            _group(trace, optimizer, index, group)
        optimizer._stepped = True  # schedulers ask
    finally:
        graph._errors.reset(quiet)
        trace.part = before
    return loss


def _group(trace: Any, optimizer: Any, index: int, group: dict[str, Any]) -> None:
    optimizer._check(group)
    live = Live(trace, group)
    if type(group.get("lr")) in (int, float):
        bool(live["lr"] >= -1e-9)  # a condition: a schedule that has gone wrong is refused, as it is without compiling
    trace.guard_members(group["params"])
    names, split = optimizer.buffers(live), partial(parts, most=sys.maxsize) if optimizer.elementwise else whole
    work: list[Iterable[Any]] = []
    counted: list[Any] = []
    together: dict[str, list[Any]] = {}
    for p in group["params"]:
        node = p._node
        if node is None or (g := node.grad) is None or g is False:
            continue
        state: Any = None
        t = None
        if names or optimizer.counts:
            if p not in optimizer.state or not all(name in optimizer.state[p] for name in names):
                raise Unsettled
            state = Live(trace, optimizer.state[p])
            t = _tick(trace, optimizer, state, live, counted)
            if optimizer.counts:
                counted.append((state, t))
        common = optimizer._together.get((index, p.dtype.char))
        same = common is not None and common.names == names  # momentum may have been switched on since
        if same and id(p) in common.number and _settled(trace, p, common):
            together.setdefault(p.dtype.char, []).append((common.number[id(p)], p, g, t, state))
        else:
            work.append(split((p._data, g, t, *[state[name] for name in names])))
    if counted:
        optimizer._count(counted)
    for kind, members in together.items():
        work.append(_joined(trace, optimizer._together[index, kind], names, members))
    if work:
        optimizer.update(live, directed(live, chain.from_iterable(work)))


def _settled(trace: Any, p: Any, common: Any) -> bool:
    """Whether a parameter lives in the common array. One that has other memory is given the chance to move there, once: if
    somebody holds that memory, or assigns to ``p.data`` again, it is updated where it is, to the same bits.
    """
    if trace.holds(p, common.seen[common.number[id(p)]]()):
        trace.fixed[id(p)] = p
        return True
    if id(p) in common.apart:
        return False
    common.apart.add(id(p))
    raise Unsettled


def _tick(trace: Any, optimizer: Any, state: Live, live: Live, counted: list[Any]) -> Any:
    """The number of this update; that of the first parameter, if their counts are the same."""
    if counted:
        first, t = counted[0]
        own, others = _scalars(state.container), _scalars(first.container)
        if own == others:
            for key in own:
                trace.equal(state[key], first[key])
            return t
    return optimizer._tick(state, live, False)


def _scalars(container: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in container.items() if type(value) in (int, float)}


def _joined(trace: Any, common: Any, names: tuple[str, ...], members: list[Any]) -> Iterator[tuple[Any, ...]]:
    """The work on parameters that live in one array: neighbours of the same count at once."""
    for k, _, _, _, state in members:
        for name, piece in zip(names, common.pieces[k], strict=True):
            if state.container[name] is not piece:
                raise Unsettled
    flat = trace.covering(common.flat, [p for _, p, _, _, _ in members])
    buffers = [trace.lift(buffer, "state") for buffer in common.buffers]
    for name, buffer in zip(names, buffers, strict=True):
        buffer.array.name = buffer.array.name or name
    first = 0
    while first < len(members):
        k, _, _, t, _ = members[first]
        last = first + 1
        while last < len(members) and members[last][0] == k + last - first and members[last][3] is t:
            last += 1
        a, b = common.starts[k], common.starts[k + last - first]
        g = np.concatenate([g for _, _, g, _, _ in members[first:last]], axis=None)
        yield flat[a:b], g, t, *[buffer[a:b] for buffer in buffers]
        first = last
