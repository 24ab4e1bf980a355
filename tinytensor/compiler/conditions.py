"""Python's part of a program: numbers that differ from call to call, and what must be as it was for a plan to hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytensor.compiler.optimizing import Live, step
from tinytensor.compiler.program import Number, mapped
from tinytensor.compiler.recording import Recording
from tinytensor.compiler.stand_ins import TracedNumber, Untraceable
from tinytensor.primitive import TensorBase

__all__ = ["Conditions", "same"]


class Conditions(Recording):
    """Numbers, entries of dicts, and attributes that a program read."""

    # --------------------------------------------------------------------------------------------------------- numbers

    def _number(self, value: Any, function: Any, inputs: tuple[Any, ...]) -> Number:
        number = Number(len(self.numbers), value, function, inputs)
        self.numbers.append(number)
        return number

    def arithmetic(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """An operator of Python on numbers."""
        value = function(*[x.value if type(x) is TracedNumber else x for x in args])
        return TracedNumber(self, self._number(value, function, tuple(map(self.symbol, args))))

    def decided(self, number: Number, how: Callable[[Any], Any]) -> Any:
        """What the program asked of a number: the plan holds while the answer is the same."""
        answer = how(number.value)
        self.decisions.append((number, how, answer))
        return answer

    def entry(self, container: Any, key: Any) -> Any:
        """``container[key]``: a number, or a tuple of them, which the next call will read again; an array that must stay the
        same; anything else is a condition of the plan.
        """
        at = (id(container), key)
        if id(container) in self.scheduled:
            raise Untraceable(
                f"tt.compile: options of the optimizer are asked for after {type(self.scheduled[id(container)]).__name__}.step(), "
                "which happens at the end of the call; compile a function of one step, or step the scheduler outside of it"
            )
        if at not in self.cells:
            value = container[key]
            if type(value) is np.ndarray:
                self.entries[at] = (container, key, value)
                made: Any = self.lift(value, "state")
                made.array.name = made.array.name or str(key)
            elif type(value) in (tuple, list):
                made = type(value)([self._entry(v, container, key, i) for i, v in enumerate(value)])
            else:
                made = self._entry(value, container, key)
            self.cells[at] = (container, made)
        return self.cells[at][1]

    def _entry(self, value: Any, *where: Any) -> Any:
        number = self._number(value, None, ("entry", *where))
        if type(value) in (int, float):
            return TracedNumber(self, number)
        self.decisions.append((number, same, value))
        return value

    def equal(self, a: Any, b: Any) -> None:
        """The plan holds while two numbers are the same."""
        self.decisions.append((a.number, same, b.number))

    def guard(self, thing: Any, attribute: str, value: Any) -> None:
        """The plan holds while ``thing.attribute`` is ``value``."""
        self.guards[id(thing), attribute] = (thing, attribute, value)

    def guard_members(self, container: Any) -> None:
        """The plan holds while a list, or a dict, has the members that it has."""
        self.members[id(container)] = (container, [*(container.values() if type(container) is dict else container)])

    def step(self, optimizer: Any, closure: Any) -> Any:
        """``optimizer.step(closure)``."""
        return step(self, optimizer, closure)

    def afterwards(self, function: Any, args: Any) -> None:
        """Call this with these arguments after each replay, not now."""
        self.last.append((function, mapped(args, self.symbol)))

    def schedule(self, scheduler: Any, function: Any, args: Any) -> None:
        """``scheduler.step(*args)``: after each replay. The rates that it sets are those of the next call."""
        if scheduler._is_initial:
            raise Untraceable("tt.compile: a scheduler is made inside the function; make it before the call")
        self.scheduled.update({id(group): scheduler for group in vars(scheduler.optimizer)["param_groups"]})
        self.afterwards(function, mapped(args, lambda x: x._data if isinstance(x, TensorBase) else x))

    def rates(self, scheduler: Any) -> Any:
        """``scheduler.get_last_lr()``."""
        for group in vars(scheduler.optimizer)["param_groups"]:
            if id(group) in self.scheduled:
                self.entry(group, "lr")
        return self.entry(vars(scheduler), "_last_lr")

    def live(self, container: dict[str, Any]) -> Any:
        """A dict as a program sees it: its numbers are read anew by each replay, its arrays must stay the same."""
        return Live(self, container)

    def assign(self, container: Any, key: Any, value: Any) -> None:
        """``container[key] = value`` at the end of the call."""
        self.cells[id(container), key] = (container, value)
        self.cell_writes[id(container), key] = (container, key, self.symbol(value))


def same(value: Any) -> Any:
    return value
