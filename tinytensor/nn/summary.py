"""What a model is made of, as a table: layers, shapes of outputs, parameters, multiplications, memory."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinytensor.graph import no_grad
from tinytensor.primitive import TensorBase, wrap

__all__ = ["Layer", "Summary"]


class Layer(NamedTuple):
    """One line of the table; ``output`` is None for a module that was not called."""

    name: str
    kind: str
    output: Any
    parameters: int
    multiplies: int
    leaf: bool


def _shape_of(out: Any) -> Any:
    """The shape of an output, of several of them a tuple."""
    if isinstance(out, (tuple, list)):
        return tuple([_shape_of(part) for part in out])
    return out.shape if hasattr(out, "shape") else None


def _numbers(shape: Any) -> int:
    if shape is None:
        return 0
    if all(isinstance(n, int) for n in shape):
        return math.prod(shape)
    return sum(map(_numbers, shape))


def _own_parameters(module: Any) -> list[Any]:
    return [
        value for _, value in module._members() if isinstance(value, TensorBase) and type(value).__name__ == "Parameter"
    ]


def _multiplies(module: Any, shape: Any) -> int:
    """Each output of a linear map or a convolution is a sum of as many products as its weight has for one channel."""
    weight = getattr(module, "weight", None)
    if weight is None or shape is None or not all(isinstance(n, int) for n in shape):
        return 0
    kind = type(module).__name__
    if kind == "Linear":
        return int(math.prod(shape) * weight.shape[1])
    if kind.startswith("Conv") and "Transpose" not in kind:
        return int(math.prod(shape) * math.prod(weight.shape[1:]))
    return 0


def _size(n: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if n < 1024:
            return f"{n} bytes" if unit == "bytes" else f"{n:.1f} {unit}"
        n = n / 1024  # type: ignore[assignment]
    return f"{n:.1f} GiB"


def _inputs(model: Any, example: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs themselves, or zeros of a shape, in the dtype of the parameters."""
    (first, *more) = example
    if more or not (
        isinstance(first, (tuple, list)) and first and all(isinstance(n, (int, np.integer)) for n in first)
    ):
        return example
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    return (wrap(np.zeros(tuple(first), dtype), None),)


def _run(model: Any, modules: list[tuple[str, Any]], example: tuple[Any, ...]) -> dict[int, list[Any]]:
    """The shapes that each module's calls return, by the module's id."""
    outputs: dict[int, list[Any]] = {}

    def note(module: Any, inputs: Any, out: Any) -> None:
        outputs.setdefault(id(module), []).append(_shape_of(out))

    modes = [(module, module.training) for _, module in modules]
    removers = [module.register_forward_hook(note) for _, module in modules]
    try:
        model.eval()
        with no_grad():
            model(*_inputs(model, example))
    finally:
        for remove in removers:
            remove()
        for module, mode in modes:
            module.training = mode
    return outputs


class Summary:
    """The table of a model; ``example`` is a shape or inputs, or nothing. ``str`` writes it down.

    >>> import tinytensor as tt
    >>> table = Summary(tt.nn.Linear(2, 3), ((5, 2),))
    >>> table.layers[0].output, table.parameters, table.multiplies
    ((5, 3), 9, 30)
    """

    def __init__(self, model: Any, example: tuple[Any, ...] = ()) -> None:
        modules = list(model.named_modules())
        outputs = _run(model, modules, example) if example else {}
        seen: set[int] = set()
        self.layers: list[Layer] = []
        self.numbers = 0
        for name, module in modules:
            own = [p for p in _own_parameters(module) if id(p) not in seen]
            seen |= {id(p) for p in own}
            calls = outputs.get(id(module), [])
            leaf = not any(True for _ in module.children())
            self.numbers += sum(map(_numbers, calls)) if leaf else 0
            last, products = calls[-1] if calls else None, sum(_multiplies(module, shape) for shape in calls)
            self.layers.append(Layer(name, type(module).__name__, last, sum(p.size for p in own), products, leaf))
        every = list(model.parameters())
        self.parameters = sum(p.size for p in every)
        self.trainable = sum(p.size for p in every if p.requires_grad)
        self.parameter_bytes = sum(p.data.nbytes for p in every)
        self.multiplies = sum(layer.multiplies for layer in self.layers)
        self.number_bytes = self.numbers * (every[0].data.itemsize if every else 4)

    def __str__(self) -> str:
        head = ("layer", "type", "output", "parameters", "multiply-adds")
        rows = [
            (
                layer.name, layer.kind, "" if layer.output is None else str(layer.output),
                f"{layer.parameters:,}" if layer.leaf or layer.parameters else "",
                f"{layer.multiplies:,}" if layer.leaf else "",
            )
            for layer in self.layers
        ]  # fmt: skip
        wide = [max(len(row[k]) for row in [head, *rows]) for k in range(5)]
        wide[0] = max(wide[0], 7)

        def line(row: tuple[str, ...]) -> str:
            text = "  ".join([row[k].ljust(wide[k]) for k in range(3)] + [row[3].rjust(wide[3]), row[4].rjust(wide[4])])
            return text.rstrip()

        rule = "─" * (sum(wide) + 8)
        frozen = self.parameters - self.trainable
        state = f"{self.trainable:,} trainable, {frozen:,} frozen" if frozen else "all trainable"
        total = [f"parameters     {self.parameters:,}, {state} ({_size(self.parameter_bytes)})"]
        if self.numbers:
            total.append(f"multiply-adds  {self.multiplies:,}")
            total.append(f"outputs        {self.numbers:,} numbers ({_size(self.number_bytes)})")
        return "\n".join([line(head), rule, *map(line, rows), rule, *total])
