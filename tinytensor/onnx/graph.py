"""The ONNX graph under construction: nodes, constants, and sizes that are computed when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinytensor.onnx.program import Size, Symbol, Varying
from tinytensor.primitive import TensorBase

__all__ = ["Graph", "NodeOf"]


class NodeOf(NamedTuple):
    """One ONNX node, before the library makes it."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    name: str
    attributes: dict[str, Any]


class Graph:
    """What emitters write into: ``g("Add", a, b)`` adds a node and returns the name of its result.

    An input is a name, or anything that :meth:`value` makes one of: a symbol, an array, a tensor.
    """

    def __init__(
        self, opset: int, batch: tuple[str, int] | None, names: dict[int, str], taken: frozenset[str] = frozenset()
    ) -> None:
        self.opset = opset
        self.nodes: list[NodeOf] = []
        self.constants: dict[str, Any] = {}
        self.layer = ""
        self._batch = batch  # an input and its axis, whose length is the size of the batch
        self._names = names  # of parameters, by id
        self._taken = taken | set(names.values())  # by inputs, outputs and parameters
        self._same: dict[Any, str] = {}
        self._count = 0

    # ------------------------------------------------------------------------------------------------------- nodes

    def __call__(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; the name of its output, or a list of names. An input None is left out."""
        names = ["" if x is None else x if isinstance(x, str) else self.value(x) for x in inputs]
        while names and not names[-1]:
            names.pop()
        outs = [self._fresh(kind) for _ in range(outputs)]
        where = f"{self.layer}/{outs[0]}" if self.layer else outs[0]
        self.nodes.append(NodeOf(kind, names, outs, where, {k: v for k, v in attributes.items() if v is not None}))
        return outs[0] if outputs == 1 else outs

    def _fresh(self, kind: str) -> str:
        self._count += 1
        name = f"{kind}_{self._count}"
        return self._fresh(kind) if name in self._taken else name

    # --------------------------------------------------------------------------------------------------- constants

    def value(self, x: Any, dtype: Any = None) -> str:
        """The name of a symbol, a tensor, an array or a number, in this dtype if one is given."""
        if isinstance(x, Symbol):
            if not x.name:
                raise NotImplementedError("this result of an operation with several")
            return x.name if dtype is None or x.dtype == dtype else str(self.cast(x.name, dtype))
        if isinstance(x, Varying):
            return self._varying(x, x.dtype if dtype is None else dtype)
        if isinstance(x, Size):
            name = self.sizes([x], scalar=True)
            return name if dtype is None or dtype == np.int64 else str(self.cast(name, dtype))
        own = self._names.get(id(x))
        array = x._data if isinstance(x, TensorBase) else np.asarray(x)
        if dtype is not None and array.dtype != dtype:
            array, own = array.astype(dtype), None
        return self.constant(array, own)

    def _varying(self, x: Varying, dtype: Any) -> str:
        first = self.value(x.one, dtype)
        if x.step is None:
            return str(self("Expand", first, self.sizes(x.shape)))
        axis = next(k for k, n in enumerate(x.shape) if isinstance(n, Size))
        count = self("Range", self.number(0, np.int64), self.value(x.shape[axis]), self.number(1, np.int64))
        count = self("Reshape", count, self.ints([-1] + [1] * (x.ndim - axis - 1)))
        return str(self("Add", first, self("Mul", self.cast(count, dtype), self.value(x.step, dtype))))

    def constant(self, array: Any, name: str | None = None) -> str:
        """The name of an array of the file; equal small ones are one."""
        array = np.asarray(array)
        small = array.nbytes <= 4096 and name is None
        key = (array.dtype.str, array.shape, array.tobytes()) if small else name or id(array)
        if key not in self._same:
            self._same[key] = name = name or self._fresh("constant")
            self.constants[name] = array
        return self._same[key]

    def number(self, value: Any, dtype: Any) -> str:
        """The name of a 0-d constant."""
        return self.constant(np.asarray(value, dtype))

    def ints(self, values: Sequence[int]) -> str:
        """The name of a vector of integers."""
        return self.constant(np.asarray(values, np.int64))

    def cast(self, x: str, dtype: Any) -> Any:
        """x in another dtype."""
        return self("Cast", x, to=np.dtype(dtype))

    # -------------------------------------------------------------------------------------------------------- sizes

    def sizes(self, shape: Sequence[Any], scalar: bool = False) -> str:
        """The name of a vector of lengths, computed where they follow the batch (of the only one, if ``scalar``)."""
        if not any(isinstance(n, Size) for n in shape):
            return self.ints([int(n) for n in shape])
        key = ("sizes", repr(tuple(shape)), scalar)
        if key not in self._same:
            layer, self.layer = self.layer, ""
            parts = [self._size(n) if isinstance(n, Size) else self.ints([n]) for n in shape]
            made = parts[0] if len(parts) == 1 else self("Concat", *parts, axis=0)
            self._same[key] = self("Squeeze", made, self.ints([0])) if scalar else made
            self.layer = layer
        return self._same[key]

    def _size(self, n: Size) -> str:
        assert self._batch is not None
        name, axis = self._batch
        key = ("batch",)
        if key not in self._same:
            self._same[key] = self("Shape", name, start=axis, end=axis + 1)
        out = self._same[key]
        out = out if n.slope == 1 else self("Mul", out, self.ints([n.slope]))
        return out if n.start == 0 else str(self("Add", out, self.ints([n.start])))

    def reshape(self, x: Any, shape: Sequence[Any]) -> Any:
        """x in another shape; one length that follows the batch is left to be found out."""
        open_ = [i for i, n in enumerate(shape) if isinstance(n, Size)]
        if len(open_) == 1 and 0 not in shape:
            return self("Reshape", x, self.ints([-1 if isinstance(n, Size) else n for n in shape]))
        return self("Reshape", x, self.sizes(shape), allowzero=1 if 0 in shape else None)

    # ------------------------------------------------------------------------------------------------------ reductions

    def reduce(self, kind: str, x: Any, axes: Sequence[int] | None, keepdims: bool) -> Any:
        """A reduction over some axes or all; since when they are an input depends on the operation."""
        if axes is None or kind == "ReduceSum" or self.opset >= 18:
            return self(kind, x, None if axes is None else self.ints(axes), keepdims=int(keepdims))
        return self(kind, x, axes=list(axes), keepdims=int(keepdims))
