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
    if isinstance(out, dict):
        out = tuple(out.values())
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


def _multiplies(module: Any, ins: Any, out: Any) -> int:
    """How many products of numbers one call takes: each weight of a linear map, times how often it is used."""
    kinds = {kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("tinytensor.nn.")}
    weight: Any = getattr(module, "weight", None)
    products: Any = 0
    if kinds & {"_Recurrent", "_Cell"}:  # the matrices of all layers and directions, at every step
        matrices = sum(p.size for p in _own_parameters(module) if p.ndim == 2)
        products = math.prod(_first_shape(out)[:-1]) * matrices
    elif "MultiheadAttention" in kinds and len(ins) >= 3:  # given by position, as the hook sees them
        query, key, value = ins[:3]
        steps = key[0] if len(key) == 2 or not module.batch_first else key[1]
        products = module.embed_dim * sum(map(math.prod, (query, key, value))) + 2 * steps * math.prod(query)
    elif "Linear" in kinds:
        products = math.prod(out) * weight.shape[1]
    elif kinds & {"ConvTranspose1d", "ConvTranspose2d"} and ins:
        products = math.prod(ins[0]) * math.prod(weight.shape[1:])
    elif kinds & {"Conv1d", "Conv2d"}:
        products = math.prod(out) * math.prod(weight.shape[1:])
    return int(products)


def _first_shape(shape: Any) -> Any:
    return shape if not shape or isinstance(shape[0], int) else _first_shape(shape[0])


def _size(n: int) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if n < 1024:
            return f"{n} bytes" if unit == "bytes" else f"{n:.1f} {unit}"
        n = n / 1024  # type: ignore[assignment]
    return f"{n:.1f} GiB"


def _inputs(model: Any, example: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs themselves, or zeros of a shape, in the dtype of the parameters, or integers for an embedding."""
    (first, *more) = example
    if more or not (
        isinstance(first, (tuple, list)) and first and all(isinstance(n, (int, np.integer)) for n in first)
    ):
        return example
    dtype = next((p.dtype for p in model.parameters()), np.dtype(np.float32))
    first_with_parameters = next((m for m in model.modules() if _own_parameters(m)), None)
    if type(first_with_parameters).__name__ == "Embedding":
        dtype = np.dtype(np.int64)
    return (wrap(np.zeros(tuple(first), dtype), None),)


def _run(model: Any, modules: list[tuple[str, Any]], example: tuple[Any, ...]) -> dict[int, list[Any]]:
    """The shapes that each module's calls get and return, by the module's id."""
    outputs: dict[int, list[Any]] = {}

    def note(module: Any, inputs: Any, out: Any) -> None:
        outputs.setdefault(id(module), []).append((_shape_of(inputs), _shape_of(out)))

    modes = [(module, module.training) for _, module in modules]
    handles = [module.register_forward_hook(note) for _, module in modules]
    try:
        model.eval()
        with no_grad():
            model(*_inputs(model, example))
    finally:
        for handle in handles:
            handle.remove()
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
            self.numbers += sum(_numbers(out) for _, out in calls) if leaf else 0
            last, products = calls[-1][1] if calls else None, sum(_multiplies(module, *call) for call in calls)
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
                f"{layer.multiplies:,}" if layer.multiplies or (layer.leaf and layer.output is not None) else "",
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
