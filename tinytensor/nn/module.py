"""``Module``: something with parameters, which are found by walking its attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinytensor.inplace import updating
from tinytensor.nn.parameter import Parameter
from tinytensor.primitive import TensorBase
from tinytensor.tensor import Tensor
from tinytensor.typing import Array

__all__ = ["Module"]


class Module:
    """The base of layers and networks: subclass it, assign parameters and modules, write ``forward``.

    Parameters and modules are found among the attributes, and in lists, tuples and dicts of them, in the order of
    assignment; names are joined by dots, as in PyTorch.

    >>> import tinytensor as tt
    >>> class Line(tt.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.slope = tt.nn.Parameter([2.0])
    ...     def forward(self, x):
    ...         return self.slope * x
    >>> line = Line()
    >>> line(3.0)
    tensor([6.], grad_fn=<multiply>)
    >>> list(line.state_dict())
    ['slope']
    """

    training: bool = True
    _buffer_names: frozenset[str] = frozenset()

    def __init__(self) -> None:
        pass

    def forward(self, *inputs: Any) -> Any:
        """What the module computes; subclasses write it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(); define it in the class")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    # -------------------------------------------------------------------------------------------------- what is in it

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Named attributes, containers opened."""
        for name, value in vars(self).items():
            yield from _opened(name, value)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Names and modules one level down."""
        return ((name, value) for name, value in self._members() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """Modules one level down."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Names and modules at every level, this one first, each once."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                dot = name + "." if name else ""
                stack += [(dot + child, value) for child, value in reversed(list(module.named_children()))]

    def modules(self) -> Iterator[Module]:
        """Modules at every level, this one first, each once."""
        return (module for _, module in self.named_modules())

    def _entries(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Names and tensors of the state: parameters and buffers, a shared one under each of its names."""
        for name, value in self._members():
            if isinstance(value, Parameter) or name in self._buffer_names:
                yield prefix + name, value
            elif isinstance(value, Module):
                yield from value._entries(f"{prefix}{name}.")

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Names and parameters, a shared one once.

        >>> import tinytensor as tt
        >>> [name for name, _ in tt.nn.MLP(2, [4, 1]).named_parameters()]
        ['0.weight', '0.bias', '2.weight', '2.bias']
        """
        seen: set[int] = set()
        for name, value in self._entries():
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, a shared one once."""
        return (parameter for _, parameter in self.named_parameters())

    def register_buffer(self, name: str, value: Tensor) -> None:
        """Assign a tensor that belongs to the state but is not learned."""
        if not isinstance(value, Tensor) or value.requires_grad:
            raise TypeError(f"register_buffer: {name!r} must be a tensor without grad, got {type(value).__name__}")
        self._buffer_names = self._buffer_names | {name}
        setattr(self, name, value)

    # ---------------------------------------------------------------------------------------------------- what is done

    def zero_grad(self) -> None:
        """Forget the gradients: ``.grad`` is None again."""
        for parameter in self.parameters():
            parameter.grad = None

    def train(self, mode: bool = True) -> Module:
        """Set training mode here and below (what dropout and batch normalisation look at); returns the module."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Module:
        """Set evaluation mode here and below; returns the module."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Freeze or unfreeze all parameters; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def state_dict(self) -> dict[str, Array]:
        """Names and values of parameters and buffers: ndarrays that share memory with the module.

        >>> import tinytensor as tt
        >>> {name: value.shape for name, value in tt.nn.Linear(2, 3).state_dict().items()}
        {'weight': (3, 2), 'bias': (3,)}
        """
        return {name: value.data for name, value in self._entries()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy values into parameters and buffers of the same names and shapes, in their own dtype.

        Raises KeyError for missing and unexpected names, ValueError for another shape, TypeError for another kind of
        numbers; nothing is changed then.
        """
        own = dict(self._entries())
        missing, unexpected = [n for n in own if n not in state], [n for n in state if n not in own]
        if missing or unexpected:
            raise KeyError(f"load_state_dict: missing {missing or 'nothing'}, unexpected {unexpected or 'nothing'}")
        arrays = {}
        for name, target in own.items():
            array = state[name]
            array = arrays[name] = array._data if isinstance(array, TensorBase) else np.asarray(array)
            if array.shape != target.shape:
                raise ValueError(f"load_state_dict: {name} has shape {array.shape}, the module expects {target.shape}")
            if not np.can_cast(array.dtype, target.dtype, "same_kind"):
                raise TypeError(f"load_state_dict: {name} has dtype {array.dtype}, the module expects {target.dtype}")
        for name, target in own.items():
            updating(target)[...] = arrays[name]

    def extra_repr(self) -> str:
        """What stands in the brackets of the repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ("\n" + "\n".join(lines) + "\n" if lines else "") + ")"


def _opened(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _opened(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _opened(f"{name}.{key}", item)
    elif isinstance(value, (Module, TensorBase)):
        yield name, value
