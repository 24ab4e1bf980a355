"""Two runs of a model, at two sizes of the batch, made into one program whose sizes are known as functions of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytensor.onnx.tracing import Call, Log, Traced
from tinytensor.primitive import TensorBase

__all__ = ["Size", "Step", "Symbol", "Varying", "merged"]


class Size:
    """A length that grows with the batch n: ``slope`` · n + ``start``. It is no number: none may be computed from it."""

    __slots__ = ("slope", "start")

    def __init__(self, slope: int, start: int) -> None:
        self.slope, self.start = slope, start

    def __repr__(self) -> str:
        return f"{self.slope}n+{self.start}"


class Symbol:
    """A value that is known when the program runs: its name, its shape (numbers and :class:`Size`), its dtype."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, shape: tuple[Any, ...], dtype: np.dtype[Any]) -> None:
        self.name, self.shape, self.dtype = "", shape, dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)


class Varying:
    """An array that the model makes anew for each size of the batch: ``one`` is its first row, the others are equal, or
    each is ``step`` more than the one before (``np.arange``).
    """

    __slots__ = ("dtype", "one", "shape", "step")

    def __init__(self, one: Any, shape: tuple[Any, ...], step: Any = None) -> None:
        self.one, self.shape, self.step, self.dtype = one, shape, step, one.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)


class Step:
    """A primitive of the program: key, name, layer, arguments and results."""

    __slots__ = ("args", "key", "layer", "name", "outs")

    def __init__(self, key: str, name: str, layer: str, args: tuple[Any, ...], outs: list[Symbol]) -> None:
        self.key, self.name, self.layer, self.args, self.outs = key, name, layer, args, outs

    @property
    def out(self) -> Symbol:
        """The result, or the first."""
        return self.outs[0]


class Merger:
    """What two runs have in common, and how what differs follows the size of the batch."""

    __slots__ = ("known", "n", "other")

    def __init__(self, n: int, other: int) -> None:
        self.n, self.other = n, other
        self.known: dict[int, Symbol] = {}  # the first run's stand-ins, which live as long as its log

    def size(self, a: int, b: int) -> Any:
        """A length that is ``a`` in the first run and ``b`` in the second."""
        if a == b:
            return a
        slope, rest = divmod(b - a, self.other - self.n) if self.other != self.n else (0, 1)
        if rest:
            raise _Differs(f"a size is {a} for a batch of {self.n}, and {b} for one of {self.other}")
        return Size(slope, a - slope * self.n)

    def shape(self, a: Sequence[int], b: Sequence[int]) -> tuple[Any, ...]:
        """The shape that is ``a`` in the first run and ``b`` in the second."""
        if len(a) != len(b):
            raise _Differs(f"a shape is {tuple(a)} for a batch of {self.n}, and {tuple(b)} for one of {self.other}")
        return tuple([self.size(m, n) for m, n in zip(a, b, strict=True)])

    def symbol(self, a: Traced, b: Traced) -> Symbol:
        """The value that two stand-ins are; the same for the same ones."""
        if id(a) not in self.known:
            self.known[id(a)] = Symbol(self.shape(a.shape, b.shape), a.dtype)
        return self.known[id(a)]

    def value(self, a: Any, b: Any) -> Any:
        """An argument of both runs."""
        if isinstance(a, Traced) and isinstance(b, Traced):
            return self.symbol(a, b)
        if type(a) is not type(b):
            raise _Differs(f"an argument is {a!r:.40} in one run, and {b!r:.40} in another")
        if isinstance(a, (list, tuple)):
            if len(a) != len(b):
                raise _Differs("an argument has another length when the batch has another size")
            return tuple([self.value(x, y) for x, y in zip(a, b, strict=True)])
        if a is b:
            return a
        if isinstance(a, slice):
            return slice(self.value(a.start, b.start), self.value(a.stop, b.stop), self.value(a.step, b.step))
        if isinstance(a, (TensorBase, np.ndarray, np.generic)):
            return self.array(a._data if isinstance(a, TensorBase) else np.asarray(a), b)
        if isinstance(a, int) and not isinstance(a, bool):
            return self.size(a, b)
        if a != b:
            raise _Differs(f"an argument is {a!r:.40} in one run, and {b!r:.40} in another")
        return a

    def array(self, a: Any, other: Any) -> Any:
        """A constant of both runs: the same, or with rows that follow a rule along the axes that follow the batch."""
        b = other._data if isinstance(other, TensorBase) else np.asarray(other)
        if a.shape == b.shape:
            if not np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"):
                raise _Differs("a constant has other values in a second run: are they random numbers?")
            return a
        shape = self.shape(a.shape, b.shape)
        open_ = [axis for axis, n in enumerate(shape) if isinstance(n, Size)]
        one = a
        for axis in open_:
            one = np.take(one, [0], axis)
        if (a == one).all() and (b == one).all():
            return Varying(one, shape)
        if len(open_) == 1 and a.shape[open_[0]] > 1 and a.dtype.kind in "if":
            step = np.take(a, [1], open_[0]) - one
            rows = [
                one + step * np.arange(len_of).reshape(-1, *(1,) * (a.ndim - open_[0] - 1))
                for len_of in (a.shape[open_[0]], b.shape[open_[0]])
            ]
            if all(np.array_equal(x, row) for x, row in zip((a, b), rows, strict=True)):
                return Varying(one, shape, step)
        raise _Differs(f"a constant of shape {a.shape} has other values when the batch has another size")


class _Differs(ValueError):  # noqa: N818
    """Two runs of the model cannot be one program."""


def merged(first: Log, second: Log, outs: tuple[Any, Any], n: int, other: int) -> tuple[list[Step], Any, Merger]:
    """The steps of both runs and the results; ValueError where they do not fit."""
    merger = Merger(n, other)
    layer = name = ""
    try:
        if [c.key for c in first.calls] != [c.key for c in second.calls]:
            raise _Differs("the model takes another way through its operations")
        steps = []
        for a, b in zip(first.calls, second.calls, strict=True):
            layer, name = a.layer, a.name
            steps.append(_step(merger, a, b))
        layer = name = ""
        return steps, merger.value(*outs), merger
    except _Differs as error:
        where = (f" in {name}" if name else "") + (f" of layer {layer}" if layer else "")
        raise ValueError(_refusal(str(error), where, n == other)) from None


def _step(merger: Merger, a: Call, b: Call) -> Step:
    args = merger.value(a.args, b.args)
    return Step(a.key, a.name, a.layer, args, [merger.symbol(x, y) for x, y in zip(a.outs, b.outs, strict=True)])


def _refusal(why: str, where: str, fixed: bool) -> str:
    if fixed:
        return (
            f"onnx: the model does not do the same when it runs twice{where}: {why}. Dropout is off after model.eval()."
        )
    return (
        f"onnx: the batch cannot be left open{where}: {why}. Export it for one size with batch_axis=None, or name the "
        "axis of the batch (batch_axis=1 for layers without batch_first)."
    )
