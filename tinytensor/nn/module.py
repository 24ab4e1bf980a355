"""``Module``: something with parameters, which are found by walking its attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinytensor.inplace import updating
from tinytensor.nn.parameter import Parameter, convert, floating
from tinytensor.nn.summary import Summary
from tinytensor.primitive import TensorBase
from tinytensor.tensor import Tensor
from tinytensor.typing import Array

if TYPE_CHECKING:
    from tinytensor.typing import DType

__all__ = ["Module"]

Self = TypeVar("Self", bound="Module")


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
    _not_saved: frozenset[str] = frozenset()
    _hooks: tuple[Callable[..., Any], ...] = ()

    def __init__(self) -> None:
        pass

    def forward(self, *inputs: Any) -> Any:
        """What the module computes; subclasses write it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(); define it in the class")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not self._hooks:
            return self.forward(*inputs, **options)
        out = self.forward(*inputs, **options)
        for hook in self._hooks:
            changed = hook(self, inputs, out)
            out = out if changed is None else changed
        return out

    # -------------------------------------------------------------------------------------------------- what is in it

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Named attributes, containers opened."""
        for name, value in vars(self).items():
            if name != "_layers":  # containers name those themselves
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

    def _entries(self, prefix: str = "", all_buffers: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors of the state: parameters and buffers, a shared one under each of its names."""
        for name, value in self._members():
            if isinstance(value, Parameter) or (
                name in self._buffer_names and (all_buffers or name not in self._not_saved)
            ):
                yield prefix + name, value
            elif isinstance(value, Module):
                yield from value._entries(f"{prefix}{name}.", all_buffers)

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

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Names and buffers, a shared one once: what belongs to the state but is not learned.

        >>> import tinytensor as tt
        >>> [name for name, _ in tt.nn.BatchNorm1d(3).named_buffers()]
        ['running_mean', 'running_var', 'num_batches_tracked']
        """
        seen: set[int] = set()
        for name, value in self._entries(all_buffers=True):
            if not isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def buffers(self) -> Iterator[Tensor]:
        """All buffers, a shared one once."""
        return (buffer for _, buffer in self.named_buffers())

    def register_buffer(self, name: str, value: Tensor | None, persistent: bool = True) -> None:
        """Assign a tensor (or None) that is not learned; one that is not ``persistent`` is no part of the state_dict."""
        if value is not None and (not isinstance(value, Tensor) or value.requires_grad):
            raise TypeError(f"register_buffer: {name!r} must be a tensor without grad, got {type(value).__name__}")
        self._buffer_names = self._buffer_names | {name}
        self._not_saved = self._not_saved - {name} if persistent else self._not_saved | {name}
        setattr(self, name, value)

    def get_submodule(self, name: str) -> Module:
        """The module of that dotted name; KeyError if there is none."""
        for found, module in self.named_modules():
            if found == name:
                return module
        raise KeyError(f"{type(self).__name__} has no module {name!r}; see named_modules()")

    def get_parameter(self, name: str) -> Parameter:
        """The parameter of that dotted name; KeyError if there is none."""
        for found, value in self._entries():
            if found == name and isinstance(value, Parameter):
                return value
        raise KeyError(f"{type(self).__name__} has no parameter {name!r}; see named_parameters()")

    # ---------------------------------------------------------------------------------------------------- what is done

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients: ``.grad`` is None again, or zeros without ``set_to_none``."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad[...] = 0

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call a function with every module, innermost first; returns the module.

        >>> import tinytensor as tt
        >>> model = tt.nn.MLP(2, [3, 1])
        >>> _ = model.apply(lambda m: isinstance(m, tt.nn.Linear) and tt.nn.init.zeros_(m.weight))
        >>> model[0].weight.data.any()
        np.False_
        """
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> Callable[[], None]:
        """Call ``hook(module, inputs, output)`` after each forward; what it returns, if not None, replaces the output.

        Returns the function that removes the hook.

        >>> import tinytensor as tt
        >>> layer = tt.nn.Linear(2, 3)
        >>> remove = layer.register_forward_hook(lambda module, inputs, output: print(output.shape))
        >>> _ = layer(tt.ones((5, 2)))
        (5, 3)
        >>> remove()
        """
        self._hooks = (*self._hooks, hook)

        def remove() -> None:
            at = next((i for i, other in enumerate(self._hooks) if other is hook), None)
            if at is not None:
                self._hooks = self._hooks[:at] + self._hooks[at + 1 :]

        return remove

    def to(self: Self, dtype: DType) -> Self:
        """Convert floating parameters, their gradients and floating buffers to a floating dtype; returns the module.

        The parameters stay the same objects, so that an optimizer keeps them; what it has gathered keeps its dtype.

        >>> import tinytensor as tt
        >>> tt.nn.Linear(2, 3).to("float64").weight.dtype
        dtype('float64')
        """
        kind = floating(dtype)
        for _, value in self._entries(all_buffers=True):
            if value._data.dtype.kind == "f" and value._data.dtype != kind:
                convert(value, kind)
        return self

    def float(self: Self) -> Self:
        """Everything in float32; returns the module."""
        return self.to(np.float32)

    def double(self: Self) -> Self:
        """Everything in float64; returns the module."""
        return self.to(np.float64)

    def summary(self, *example: Any) -> None:
        """Print layers, shapes of their outputs, parameters, multiplications and memory, for a shape or an example.

        The module runs once, in evaluation mode, with an array of zeros of this shape (the batch included), or with
        the given inputs. Without either: without shapes.

        >>> import tinytensor as tt
        >>> tt.nn.MLP(2, [16, 1]).summary((100, 2))
        layer    type    output     parameters  multiply-adds
        ─────────────────────────────────────────────────────
                 MLP     (100, 1)
        0        Linear  (100, 16)          48          3,200
        1        ReLU    (100, 16)           0              0
        2        Linear  (100, 1)           17          1,600
        ─────────────────────────────────────────────────────
        parameters     65, all trainable (260 bytes)
        multiply-adds  4,800
        outputs        3,300 numbers (12.9 KiB)
        """
        print(Summary(self, example))

    def train(self: Self, mode: bool = True) -> Self:
        """Set training mode here and below (what dropout and batch normalisation look at); returns the module."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self: Self) -> Self:
        """Set evaluation mode here and below; returns the module."""
        return self.train(False)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
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

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> tuple[list[str], list[str]]:
        """Copy values into parameters and buffers of the same names and shapes, in their own dtype.

        Returns the missing and the unexpected names, of which there are none if ``strict``: KeyError then. Raises
        ValueError for another shape, TypeError for another kind of numbers. Nothing is changed then.
        """
        own = dict(self._entries())
        missing, unexpected = [n for n in own if n not in state], [n for n in state if n not in own]
        if strict and (missing or unexpected):
            raise KeyError(f"load_state_dict: missing {missing or 'nothing'}, unexpected {unexpected or 'nothing'}")
        arrays = {}
        for name, target in own.items():
            if name not in state:
                continue
            array = state[name]
            array = arrays[name] = array._data if isinstance(array, TensorBase) else np.asarray(array)
            if array.shape != target.shape:
                raise ValueError(f"load_state_dict: {name} has shape {array.shape}, the module expects {target.shape}")
            if not np.can_cast(array.dtype, target.dtype, "same_kind"):
                raise TypeError(f"load_state_dict: {name} has dtype {array.dtype}, the module expects {target.dtype}")
        for name, array in arrays.items():
            updating(own[name])[...] = array
        return missing, unexpected

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
