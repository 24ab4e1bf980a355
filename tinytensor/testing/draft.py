"""A random program while it is drawn: variables with known values, and the choices that extend it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

import tinytensor
from tinytensor.testing.program import Program, names_in

if TYPE_CHECKING:
    from tinytensor.testing.table import Row
    from tinytensor.typing import Array

__all__ = ["Choices", "Domain", "Draft", "RandomChoices"]

T = TypeVar("T")
_LARGEST = 8.0  # larger results are scaled down
_SIZE = 48  # the most elements of a result


class Choices(Protocol):
    """Where random numbers come from: a generator, or hypothesis. Small numbers are the simple ones."""

    def integer(self, low: int, high: int) -> int:
        """A number in [low, high]."""
        ...

    def together(self, draw: Callable[[], T]) -> T:
        """What ``draw`` makes of choices that belong together: a line of a program, which can be left out."""
        ...


class RandomChoices:
    """Choices from a NumPy generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def integer(self, low: int, high: int) -> int:
        """A number in [low, high]."""
        return int(self._rng.integers(low, high, endpoint=True))

    def together(self, draw: Callable[[], T]) -> T:
        """What ``draw`` makes."""
        return draw()


class Domain:
    """Where an operation is smooth: a condition on values, and ways to mend an array that violates it, best first."""

    def __init__(self, holds: Callable[[Any], Any], *mends: str) -> None:
        self.holds, self.mends = holds, mends


class Draft:
    """The lines so far, the value of every variable, and what draws the next line."""

    def __init__(self, choices: Choices, names: Mapping[str, Any] | None = None) -> None:
        self._choices = choices
        self.names = dict(names or {})
        self.values: dict[str, Array] = {}
        self.leaves: dict[str, Array] = {}
        self.lines: list[str] = []
        self.rows: list[str] = []
        self.writable: set[str] = set()
        self._made = 0
        self._dtypes = self.pick([("float64",), ("float64",), ("float64", "float32"), ("float32",)])

    # -- choices

    def integer(self, low: int, high: int) -> int:
        """A number in [low, high]; low is the simplest."""
        return low if high <= low else self._choices.integer(low, high)

    def chance(self, n: int) -> bool:
        """True once in n times; False is simpler."""
        return self._choices.integer(0, n - 1) == n - 1

    def pick(self, options: Sequence[T]) -> T:
        """One of the options; the first is the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in some order."""
        rest = list(items)
        return [rest.pop(self.integer(0, len(rest) - 1)) for _ in range(len(rest))]

    def integers(self, n: int, count: int) -> list[int]:
        """That many places in an axis of length n, some from its end."""
        return [self.integer(0, n - 1) - n * (count < 8 and self.chance(4)) for _ in range(count)]

    def numbers(self, shape: tuple[int, ...]) -> Array:
        """Numbers in [−2, 2] with two decimals: a seed is drawn, not each number."""
        rng = np.random.default_rng(self.integer(0, 9999))
        return np.asarray(rng.integers(-200, 200, shape, endpoint=True) / 100)

    def booleans(self, shape: tuple[int, ...]) -> Array:
        """A random mask."""
        return self.numbers(shape) > 0

    def shape(self, ndim: int, most: int, size: int) -> tuple[int, ...]:
        """A shape of at most 24 elements, axes of length 1 and, if ``size`` is 0, of length 0 among them."""
        n = self.pick([k for k in (1, 2, 0, 3, 2, 4, 1) if ndim <= k <= most and (k or size < 2)] or [max(ndim, 1)])
        dims: list[int] = []
        for _ in range(n):
            room = 24 // max(1, math.prod(dims))
            dims.append(self.pick([d for d in (2, 3, 1, 4) if d <= room] or [1]))
        if n and size == 0 and self.chance(10):
            dims[self.integer(0, n - 1)] = 0
        elif n and math.prod(dims) < size:
            dims[-1] = size
        return tuple(dims)

    # -- variables

    def value(self, text: str) -> Any:
        """What an expression of the program is now."""
        found = self.values.get(text)
        if found is None:
            with np.errstate(all="raise", under="ignore"):
                found = np.asarray(eval(text, {"np": np, "tt": tinytensor, **self.names, **self.values}))
        return found

    def variable(self, accepts: Callable[[Any], bool], shape: Callable[[], Sequence[int]]) -> str:
        """A variable that is accepted; if there is none, and sometimes anyway, a new leaf of the shape."""
        names = [name for name, v in self.values.items() if accepts(v)]
        if names and not (len(self.leaves) < 5 and self.chance(6)):
            return names[-1 - self.integer(0, len(names) - 1)]
        name = f"x{len(self.leaves)}"
        self.leaves[name] = self.numbers(tuple(shape())).astype(self.pick(self._dtypes))
        self.values[name] = self.leaves[name]
        return name

    def mend(self, name: str, domain: Domain) -> str:
        """The variable, or the first expression of it whose values lie in the domain."""
        value = self.values[name]
        if domain.holds(value):
            return name
        texts = [mend.format(x=name, size=value.size, shape=value.shape) for mend in domain.mends]
        return next((text for text in texts if domain.holds(self.value(text))), texts[-1])

    # -- lines

    def assign(self, expression: str, fresh: bool) -> str:
        """A new variable."""
        value = self.value(expression)
        largest = float(np.abs(value).max(initial=0))
        if largest > _LARGEST:
            scale = 2.0 ** -math.ceil(math.log2(largest / 2))
            expression = f"({expression}) * {scale!r}"
            value = self.value(expression)
        if not np.isfinite(value).all() or value.size > _SIZE or value.ndim > 6 or value.dtype.kind != "f":
            raise FloatingPointError(f"{expression} is not finite, or too large")
        name = f"v{self._made}"
        self._made += 1
        self.lines.append(f"{name} = {expression}")
        self.values[name] = value
        if fresh:
            self.writable.add(name)
        return name

    def try_extend(self, row: Row) -> bool:
        """One more line, or nothing if its values overflow."""
        saved = self.values.copy(), self.leaves.copy(), self.lines[:], self.rows[:], self.writable.copy(), self._made
        try:
            self.extend(row)
        except FloatingPointError:
            self.values, self.leaves, self.lines, self.rows, self.writable, self._made = saved
            return False
        return True

    def extend(self, row: Row) -> None:
        """One more line (or two), of that operation."""
        got: dict[str, str] = {}
        for slot, draw in row.slots.items():
            got[slot] = draw(self, got)
        line = self.pick(row.forms).format(**got)
        found = re.match(r"np\.(\w+)\(", line)
        if found and found[1] in tinytensor.__all__ and self.chance(3):
            line = "tt" + line[2:]
        if "t" in row.slots:
            self._write(line, got["t"])
        else:
            self.assign(line, row.fresh)
        if not row.fresh:  # the result may look at the memory of its arguments
            self.writable -= names_in(line) - ({got["t"]} if "t" in row.slots else set())
        self.rows.append(row.name)

    def _write(self, line: str, target: str) -> None:
        names = {"np": np, "tt": tinytensor, **self.names, **self.values, target: self.values[target].copy()}
        with np.errstate(all="raise", under="ignore"):
            exec(line, names)
        value = np.asarray(names[target])
        if not np.abs(value).max(initial=0) <= 4 * _LARGEST:
            raise FloatingPointError(f"{line} is not finite, or too large")
        self.lines.append(line)
        self.values[target] = value

    def program(self) -> Program:
        """What has been drawn."""
        source = "\n".join(self.lines)
        used = names_in(source) if source else set()
        names = {name: f for name, f in self.names.items() if name in used}
        return Program(source, {name: a for name, a in self.leaves.items() if name in used}, names)
