"""A plan bound to memory: the function that replays it, and the questions that it asks first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from tinytensor import creation, graph
from tinytensor.compiler.code import Code, Rooted
from tinytensor.compiler.plan import Plan
from tinytensor.compiler.program import Array, Number, leaves, mapped, numbers
from tinytensor.compiler.surroundings import MISSING, Attributes, differs, plain
from tinytensor.compiler.threads import Scratch
from tinytensor.compiler.trace import layout, same
from tinytensor.nn.module import assigned
from tinytensor.primitive import wrap

__all__ = ["OTHER", "STALE", "Replay"]

#: What a replay returns that is for another plan: something that decided when this one was traced is different now.
OTHER = type("Other", (), {})()
#: What it returns if a tensor holds another array than the one that its memory was bound to.
STALE = type("Stale", (), {})()


def _tensor(array: Any) -> Any:
    return wrap(array, None)


class Replay:
    """``run(*leaves)`` makes the calls of a plan; it returns their result, or ``OTHER`` or ``STALE`` before any effect."""

    def __init__(self, name: str, plan: Plan, code: Code, questions: bool = True) -> None:
        self.plan, self.code = plan, code
        self.pulled: Any = None  # how results go back, and the replay that does it
        self.back: Replay | None = None
        self.fixed: dict[str, Any] = {
            "OTHER": OTHER, "STALE": STALE, "tensor": _tensor, "errors_set": graph._errors.set,
            "errors_reset": graph._errors.reset, "default_rng": creation.default_rng, "IGNORED": graph._IGNORED,
        }  # fmt: skip
        self.held: list[tuple[str, Any, Array]] = []
        self.owners: set[int] = set()  # of the memory of states that are written into
        asked = (
            [*self._questions(), *self._numbers()] if questions else [*code.number_lines(self.wanted(decisions=False))]
        )
        lines = [*asked, *self._guarded(), *(self._effects() if plan.effects else ())]
        lines += [f"{code.text(r)} = tensor({code.text(r.array)})" for r in dict.fromkeys(leaves(plan.out, Rooted))]
        lines.append(f"return {code.text(plan.out)}")
        loops = "".join(blocks.definition() for blocks in code.blocks.values())
        self.text = (
            f"{loops}def run({', '.join(code.arguments)}):\n"
            + "\n".join("    " + line.replace("\n", "\n    ") for line in lines)
            + "\n"
        )
        self.namespace: dict[str, Any] = {}
        exec(compile(self.text, f"<compiled {name}>", "exec"), self.namespace)  # our own text, of numbers and names
        self.run: Callable[..., Any] = self.namespace["run"]
        self.bind()

    # ------------------------------------------------------------------------------------------------------------ memory

    def bind(self) -> bool:
        """Give every name that is made once its array; False if a tensor's array no longer has its layout."""
        values = self._outer()
        if values is None or (self.back is not None and not self.back.bind()):
            return False
        self.values = values
        self.owners.clear()
        self.owners.update(
            id(graph.owner(x)) for a, x in values.items() if a.memory.kind == "state" and a.memory.writes
        )
        plan, code, space = self.plan, self.code, self.namespace
        blocks = [np.empty(n, np.uint8) for n in plan.blocks]
        self._lend(values)
        for call in plan.calls:
            out = call.out
            if type(out) is Array and out.memory in plan.static and call.kind != "view" and out not in values:
                values[out] = np.ndarray(out.shape, out.dtype, blocks[plan.block_of[out.memory]], 0, out.strides)
            if call.kind == "view" and all(code.static(a) for a in call.results()):
                _look(call, values)
        space.update(code.functions)
        space.update(code.constants)
        space.update(self.fixed)
        space.update({code.name(a): value for a, value in values.items() if a in code.named and code.static(a)})
        space.update({name: values[array] for name, _, array in self.held})
        scratch = Scratch()
        for loop in sorted(code.blocks.values(), key=lambda loop: -loop.widest):  # who needs most comes first
            space.update(loop.bound(values, space, scratch))
        for number in range(len(plan.lending.sizes)):  # of ourselves: one more says that somebody has kept a view
            space[f"refs_{number}"] = sys.getrefcount(space[f"lent_{number}"])
        return True

    def _lend(self, values: dict[Array, Any]) -> None:
        """New memory for the gradients."""
        lending, space = self.plan.lending, self.namespace
        whole = [np.empty(n, np.uint8) for n in lending.sizes]
        for a in [*(a for _, a in lending.lent), *lending.gathered]:
            number, start = lending.places[a.memory]
            values[a] = np.ndarray(a.shape, a.dtype, whole[number], start)
        space.update({f"lent_{number}": array for number, array in enumerate(whole)})

    def _outer(self) -> dict[Array, Any] | None:
        """The arrays that were there before."""
        trace = self.plan.trace
        values: dict[Array, Any] = {a: a.value for a in trace.arrays if a.call is None and a.value is not None}
        for t, stored, array in trace.states.values():
            held = t._data
            if id(t) in trace.fixed and held is not stored:
                return None
            if held.shape != array.shape or held.dtype != array.dtype or held.strides != array.strides:
                return None
            values[array] = held
        return values

    def present(self, a: Array) -> Any:
        """The array that outlives the call, as it is now."""
        trace = self.plan.trace
        for t, _, array in trace.states.values():
            if array is a:
                return t._data
        for key, array in trace.gradients.items():
            if array is a:
                now = trace.grads_before[key][0].grad
                return now if layout(now) is not None else np.zeros(a.shape, a.dtype)
        return self.values[a]

    # ------------------------------------------------------------------------------------------------------------- lines

    def _questions(self) -> Iterator[str]:
        """Whether everything that decided is as it was."""
        plan, code, trace = self.plan, self.code, self.plan.trace
        for t, _, array in trace.states.values():
            holder = code.constant(t, f"tensor_{array.name or 'state'}")
            if array.memory in plan.dynamic:
                name = code.name(array)
                self.fixed[f"{name}_layout"] = (array.shape, array.dtype, array.strides)
                yield f"{name} = {holder}._data"
                yield f"if ({name}.shape, {name}.dtype, {name}.strides) != {name}_layout: return STALE"
            else:
                held = code.fresh(f"held_{array.name or 'state'}")
                self.held.append((held, t, array))
                yield f"if {holder}._data is not {held}: return {'OTHER' if id(t) in trace.fixed else 'STALE'}"
        for t, node in trace.nodes.values():
            yield f"if {code.constant(t, 'tensor')}._node is not {code.constant(node, 'node') if node else None}: return OTHER"
        for key, (node, before) in trace.grads_before.items():
            if key in trace.gradients:
                name, held = code.name(trace.gradients[key]), code.constant(before, "gradient")
                self.fixed[f"{name}_layout"], self.fixed["layout_of"] = layout(before), layout
                yield f"{name} = {code.constant(node, 'node')}.grad"
                yield f"if {name} is not {held} and layout_of({name}) != {name}_layout: return OTHER"
            elif before is None or before is False:
                yield f"if {code.constant(node, 'node')}.grad is not {before}: return OTHER"
            else:
                yield f"if {code.constant(node, 'node')}.grad is not {code.constant(before, 'gradient')}: return OTHER"
        yield from self._asked_of_python()
        yield from self._apart()
        lending = plan.lending
        self.fixed["refs"] = sys.getrefcount
        for number in range(len(lending.sizes)):
            yield f"if refs(lent_{number}) > refs_{number}: return STALE"
        for node, a in lending.lent:
            name = code.name(a)
            yield f"if refs({name}) > 3 + ({code.constant(node, 'node')}.grad is {name}): return STALE"
        for generator, holder, _ in trace.generators.values():
            shared = holder is creation.default_rng()  # tt.manual_seed makes another one
            where = "default_rng()" if shared else code.constant(holder, "generator")
            yield f"{code.generator(generator)} = {where}.numpy"

    def _asked_of_python(self) -> Iterator[str]:
        """Whether objects, dicts and lists hold what they held."""
        code, trace = self.code, self.plan.trace
        for thing, attribute, value in trace.guards.values():
            yield self._changed(f"{code.constant(thing, type(thing).__name__.lower())}.{attribute}", attribute, value)
        for space, name, value in trace.items.values():
            yield self._changed(f"{code.constant(space, 'names')}.get({name!r}, MISSING)", name, value)
        if trace.attributes:
            self.fixed["attributes"], self.fixed["assigned"] = Attributes(trace), assigned
            yield "if attributes.seen != assigned[0] and attributes.changed(): return OTHER"
        for container, members in trace.members.values():
            name, each = code.constant(container, "members"), ".values()" if type(container) is dict else ""
            self.fixed[f"{name}_ids"] = [*map(id, members)]
            yield f"if [*map(id, {name}{each})] != {name}_ids: return OTHER"
        for container, key, array in trace.entries.values():
            held = code.fresh(f"held_{key}")
            self.fixed[held] = array
            yield f"if {code.constant(container, 'options')}[{key!r}] is not {held}: return OTHER"

    def _changed(self, now: str, name: str, value: Any) -> str:
        """The question whether a value is another one."""
        held = self.code.fresh(f"held_{name}")
        self.fixed[held], self.fixed["differs"], self.fixed["MISSING"] = value, differs, MISSING
        if not plain(value) or value is None or type(value) is bool:
            return f"if {now} is not {held}: return OTHER"
        return f"if (seen := {now}) is not {held} and differs(seen, {held}): return OTHER"

    def _apart(self) -> Iterator[str]:
        """Whether arguments share memory with what is written into: the order of writes is right for others."""
        given = [
            a for a in self.plan.trace.arrays if a.call is None and a.memory.kind == "argument" and a in self.code.named
        ]
        names = [self.code.name(a) for a in given]
        if any(m.kind == "state" and m.writes for m in self.plan.trace.memories):
            self.fixed["owners"], self.fixed["owner"] = self.owners, graph.owner
            yield from (
                f"if id({x}) in owners or ({x}.base is not None and id(owner({x})) in owners): return OTHER"
                for x in names
            )
        if any(a.memory.writes for a in given):
            self.fixed["share"] = np.may_share_memory
            yield from (f"if share({x}, {y}): return OTHER" for i, x in enumerate(names) for y in names[:i])

    def _numbers(self) -> Iterator[str]:
        """Numbers first; then the answers that they must give."""
        code = self.code
        yield from code.number_lines(self.wanted(decisions=True), checked=True)
        for n, how, answer in dict.fromkeys(self.plan.decisions):
            if how is bool:
                yield f"if {'not ' * bool(answer)}{code.name(n)}: return OTHER"
                continue
            if how is same and plain(answer):
                yield self._changed(code.name(n), code.name(n), answer)
                continue
            asked = code.name(n) if how is same else f"{code.function(how)}({code.name(n)})"
            yield f"if {asked} != {code.text(answer)}: return OTHER"

    def wanted(self, decisions: bool) -> set[Number]:
        """The numbers that the calls, what is returned and written, and the questions need."""
        plan = self.plan
        wanted: set[Number] = set(numbers([[n, answer] for n, _, answer in plan.decisions])) if decisions else set()
        for call in plan.calls:
            wanted.update(numbers([call.args, call.kwargs]))
        wanted.update(numbers(plan.out))
        wanted.update(numbers([[value for _, _, value in plan.cells], plan.last]))
        for n in reversed(plan.numbers):
            if n in wanted:
                wanted.update(x for x in n.inputs if type(x) is Number)
        return wanted

    def _guarded(self) -> Iterator[str]:
        """The calls; where NumPy's warnings are off for some of them, an exception leaves them on."""
        lines = list(self._calls())
        if not any(call is not None and call.quiet for _, call in self.code.body):
            yield from lines
            return
        self.fixed["errors_get"] = graph._errors.get
        yield "before = errors_get()"
        yield "try:"
        yield from ("    " + line.replace("\n", "\n    ") for line in lines)
        yield "except BaseException:"
        yield "    errors_set(before)"
        yield "    raise"

    def _calls(self) -> Iterator[str]:
        quiet, keeping, body = False, False, self.code.body
        asked = max((i for i, (_, call) in enumerate(body) if call is not None and call.kind == "check"), default=0)
        for i, (line, call) in enumerate(body):
            if call is not None and call.quiet != quiet:
                quiet = call.quiet
                yield "token = errors_set(IGNORED)" if quiet else "errors_reset(token)"
            for kept in self._kept(call) if i < asked else ():
                if not keeping:
                    self.fixed["undone"], keeping = _undone, True
                    yield "undo = []"
                yield f"undo.append({kept})"
            yield line.replace("return OTHER", "return undone(undo)") if keeping else line
        if quiet:
            yield "errors_reset(token)"

    def _kept(self, call: Any) -> Iterator[str]:
        """What must be taken back of a call, if a later question has another answer than the plan's: (thing, as it was)."""
        run = self.code.blocks.get(call)
        for each in [call] if run is None else run.run.calls:
            drawn = getattr(getattr(each, "function", None), "__self__", None)
            if isinstance(drawn, np.random.Generator):
                name = f"{self.code.generator(drawn)}.bit_generator"
                yield f"({name}, {name}.state)"
            for m in each.writes if each is not None else ():
                if m.kind != "result":
                    name = self.code.text(next(a for a in [*each.results(), *each.reads()] if a.memory is m))
                    yield f"({name}, {name}.copy())"

    def _effects(self) -> Iterator[str]:
        """What is written beside arrays, after everything that can raise."""
        plan, code = self.plan, self.code
        for t, value in plan.rebound:
            yield f"{code.constant(t, 'tensor')}._data = {code.text(value)}"
        lent = {a for _, a in plan.lending.lent}
        for node, value in plan.grads:
            cell, name = f"{code.constant(node, 'node')}.grad", code.text(value)
            yield f"if {cell} is not {name}: {cell} = {name}" if value in lent else f"{cell} = {name}"
        for container, key, value in plan.cells:
            yield f"{code.constant(container, 'options')}[{key!r}] = {code.text(value)}"
        for function, args in plan.last:
            yield f"{code.constant(function, 'afterwards')}({', '.join(map(code.text, args))})"


def _undone(undo: list[tuple[Any, Any]]) -> Any:
    """Take back what was written and drawn, the latest first: the call is for another plan."""
    for thing, before in reversed(undo):
        if isinstance(thing, np.ndarray):
            thing[...] = before
        else:
            thing.state = before
    return OTHER


def _look(call: Any, values: dict[Array, Any]) -> None:
    """Make a view of memory that is there."""

    def known(x: Any) -> Any:
        return values[x] if type(x) is Array else x

    made = call.function(*mapped(call.args, known), **mapped(call.kwargs, known))
    for a, value in zip(call.results(), made if type(made) in (list, tuple) else [made], strict=True):
        if a.memory.kind == "result" and not value.flags.writeable:
            with suppress(ValueError):  # windows stay as they are: nobody writes into them
                value.flags.writeable = True  # of np.diagonal, say: the memory is ours
        values[a] = value
