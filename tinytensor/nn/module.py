"""``Module``: something with parameters, which are found by walking its attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.graph import forget
from tinytensor.inplace import updating
from tinytensor.nn.hooks import ModuleHook, call_with_hooks
from tinytensor.nn.parameter import Parameter, convert, floating
from tinytensor.nn.summary import Summary
from tinytensor.primitive import TensorBase
from tinytensor.tensor import Tensor
from tinytensor.typing import Array

if TYPE_CHECKING:
    from tinytensor.typing import DType

__all__ = ["Module"]

Self = TypeVar("Self", bound="Module")


class Differences(NamedTuple):
    """What :meth:`Module.load_state_dict` returns: names that only the module has, and that only the state has."""

    missing_keys: list[str]
    unexpected_keys: list[str]


#: How often an attribute of a module was assigned: what is compiled looks at its modules again then.
assigned = [0]


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
    _hooks: tuple[ModuleHook, ...] = ()

    def __init__(self) -> None:
        pass

    def forward(self, *inputs: Any) -> Any:
        """What the module computes; subclasses write it."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(); define it in the class")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return call_with_hooks(self, inputs, options) if self._hooks else self.forward(*inputs, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None and isinstance(vars(self).get(name), Parameter) and not isinstance(value, Parameter):
            raise TypeError(  # it would no longer be trained or saved, and nobody would notice
                f"{type(self).__name__}: {name} is a parameter; assign a Parameter or None, or write into it under "
                f"no_grad(), got {type(value).__name__}"
            )
        object.__setattr__(self, name, value)
        assigned[0] += 1

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

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Names and modules at every level, this one first, each once unless ``remove_duplicate`` is False."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if not remove_duplicate or id(module) not in seen:
                seen.add(id(module))
                yield name, module
                dot = name + "." if name else ""
                stack += [(dot + child, value) for child, value in reversed(list(module.named_children()))]

    def modules(self) -> Iterator[Module]:
        """Modules at every level, this one first, each once."""
        return (module for _, module in self.named_modules())

    def _entries(
        self, prefix: str = "", all_buffers: bool = False, recurse: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Names and tensors of the state: parameters and buffers, a shared one under each of its names."""
        for name, value in self._members():
            if isinstance(value, Parameter) or (
                name in self._buffer_names and (all_buffers or name not in self._not_saved)
            ):
                yield prefix + name, value
            elif recurse and isinstance(value, Module):
                yield from value._entries(f"{prefix}{name}.", all_buffers)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Names and parameters, a shared one once; without ``recurse`` those of this module itself.

        >>> import tinytensor as tt
        >>> [name for name, _ in tt.nn.MLP(2, [4, 1]).named_parameters()]
        ['0.weight', '0.bias', '2.weight', '2.bias']
        """
        entries = self._entries(prefix + "." if prefix else "", recurse=recurse)
        return _each_once(((name, t) for name, t in entries if isinstance(t, Parameter)), remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, a shared one once."""
        return (parameter for _, parameter in self.named_parameters("", recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Names and buffers, a shared one once: what belongs to the state but is not learned.

        >>> import tinytensor as tt
        >>> [name for name, _ in tt.nn.BatchNorm1d(3).named_buffers()]
        ['running_mean', 'running_var', 'num_batches_tracked']
        """
        entries = self._entries(prefix + "." if prefix else "", True, recurse)
        return _each_once(((name, t) for name, t in entries if not isinstance(t, Parameter)), remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers, a shared one once."""
        return (buffer for _, buffer in self.named_buffers("", recurse))

    def register_buffer(self, name: str, value: Tensor | None, persistent: bool = True) -> None:
        """Assign a tensor (or None) that is not learned; one that is not ``persistent`` is no part of the state_dict."""
        if value is not None and (not isinstance(value, Tensor) or value.requires_grad):
            raise TypeError(f"register_buffer: {name!r} must be a tensor without grad, got {type(value).__name__}")
        self._check_name(name, "register_buffer")
        self._buffer_names = self._buffer_names | {name}
        self._not_saved = self._not_saved - {name} if persistent else self._not_saved | {name}
        setattr(self, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Assign a parameter, or None, which takes the name."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter: {name!r} must be a Parameter or None, got {type(param).__name__}")
        self._check_name(name, "register_parameter")
        setattr(self, name, param)

    def add_module(self, name: str, module: Module | None) -> None:
        """Assign a module under a name that need not be an identifier, such as "0".   (``torch``: ``register_module`` too)

        >>> import tinytensor as tt
        >>> model = tt.nn.Sequential(tt.nn.Linear(2, 3))
        >>> model.add_module("bend", tt.nn.ReLU())
        >>> model
        Sequential(
          (0): Linear(in_features=2, out_features=3, bias=True)
          (bend): ReLU()
        )
        """
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name!r} must be a module, got {type(module).__name__}")
        self._check_name(name, "add_module")
        setattr(self, name, module)

    register_module = add_module

    def _check_name(self, name: str, op: str) -> None:
        """KeyError unless the name is free, or that of a parameter, a buffer or a module."""
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{op}: a name is a string without dots, got {name!r}")
        replaced = isinstance(vars(self).get(name, ...), (Module, Parameter, type(None)))
        if hasattr(self, name) and not replaced and name not in self._buffer_names:
            raise KeyError(f"{op}: {type(self).__name__} has an attribute {name!r} already")

    def get_submodule(self, target: str) -> Module:
        """The module of that dotted name; KeyError if there is none."""
        return self._named(target, self.named_modules(remove_duplicate=False), "module")  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of that dotted name; KeyError if there is none."""
        return self._named(target, self.named_parameters(remove_duplicate=False), "parameter")  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of that dotted name; KeyError if there is none."""
        return self._named(target, self.named_buffers(remove_duplicate=False), "buffer")  # type: ignore[no-any-return]

    def _named(self, target: str, entries: Iterator[tuple[str, Any]], kind: str) -> Any:
        for name, value in entries:
            if name == target:
                return value
        raise KeyError(f"{type(self).__name__} has no {kind} {target!r}; see named_{kind}s()")

    # ---------------------------------------------------------------------------------------------------- what is done

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients: ``.grad`` is None again, or zeros without ``set_to_none``."""
        for parameter in self.parameters():
            if set_to_none:
                forget(parameter)
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

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple[Any, ...]], Any]) -> ModuleHook:
        """Call ``hook(module, inputs)`` before each forward; what it returns, if not None, replaces the inputs."""
        return ModuleHook(self, hook, before=True)

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> ModuleHook:
        """Call ``hook(module, inputs, output)`` after each forward; what it returns, if not None, replaces the output.

        ``handle.remove()`` takes the hook away.

        >>> import tinytensor as tt
        >>> layer = tt.nn.Linear(2, 3)
        >>> handle = layer.register_forward_hook(lambda module, inputs, output: print(output.shape))
        >>> _ = layer(tt.ones((5, 2)))
        (5, 3)
        >>> handle.remove()
        """
        return ModuleHook(self, hook, before=False)

    def to(self: Self, *where: Any, device: Any = None, dtype: DType = None) -> Self:
        """Convert floating parameters, their gradients and floating buffers to a floating dtype; returns the module.

        ``where``: a dtype, a tensor with the wanted one, or "cpu", the only device there is. The parameters stay the same
        objects, so that an optimizer keeps them; what it has gathered keeps its dtype.

        >>> import tinytensor as tt
        >>> tt.nn.Linear(2, 3).to("float64").weight.dtype
        dtype('float64')
        """
        for given in (device, *where):
            if str(given).partition(":")[0] in ("cuda", "mps", "xpu", "gpu"):
                raise ValueError(f"{type(self).__name__}.to: tinytensor computes on the CPU, got {given!r}")
            if given is not None and str(given) != "cpu":
                dtype = given.dtype if isinstance(given, TensorBase) else given  # type: ignore[attr-defined]
        if dtype is None:
            return self
        kind = floating(dtype)
        for _, value in self._entries(all_buffers=True):
            if value._data.dtype.kind == "f" and value._data.dtype != kind:
                convert(value, kind)
        return self

    def cpu(self: Self) -> Self:
        """The module: it is there already."""
        return self

    def half(self: Self) -> Self:
        """Everything in float16; returns the module."""
        return self.to(np.float16)

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

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Any]:
        """Names and values of parameters and buffers: ndarrays that share memory with the module.

        ``prefix`` is put before each name; ``keep_vars``: the tensors themselves.

        >>> import tinytensor as tt
        >>> {name: value.shape for name, value in tt.nn.Linear(2, 3).state_dict().items()}
        {'weight': (3, 2), 'bias': (3,)}
        """
        return {name: value if keep_vars else value.data for name, value in self._entries(prefix)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Differences:
        """Copy values into parameters and buffers of the same names and shapes, in their own dtype.

        Returns the missing and the unexpected names, of which there are none if ``strict``: KeyError then. Raises
        ValueError for another shape, TypeError for another kind of numbers. Nothing is changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: expected names and arrays, got {type(state_dict).__name__}")
        own = dict(self._entries())
        missing, unexpected = [n for n in own if n not in state_dict], [n for n in state_dict if n not in own]
        if strict and (missing or unexpected):
            raise KeyError(f"load_state_dict: missing {_few(missing)}, unexpected {_few(unexpected)}")
        arrays = {name: _fitting(name, state_dict[name], own[name]) for name in own if name in state_dict}
        for name, array in arrays.items():
            updating(own[name])[...] = array
        return Differences(missing, unexpected)

    def extra_repr(self) -> str:
        """What stands in the brackets of the repr."""
        return ""

    def __repr__(self) -> str:
        own, extra = type(self).__name__, self.extra_repr()
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        if not lines:
            return f"{own}({extra})"
        return "\n".join([f"{own}(", *([f"  {extra}"] if extra else []), *lines, ")"])


def _each_once(entries: Iterator[tuple[str, Any]], remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    for name, value in entries:
        if not remove_duplicate or id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _few(names: list[str]) -> str:
    """Names for a message: the first ten of them."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{names[:10]}{more}" if names else "nothing"


def _fitting(name: str, value: Any, target: Tensor) -> Array:
    """A value as an array that can be written into ``target``."""
    array = value._data if isinstance(value, TensorBase) else asarray(value)
    if array.shape != target.shape:
        raise ValueError(f"load_state_dict: {name} has shape {array.shape}, the module expects {target.shape}")
    if not np.can_cast(array.dtype, target.dtype, "same_kind"):
        raise TypeError(f"load_state_dict: {name} has dtype {array.dtype}, the module expects {target.dtype}")
    return array


def _opened(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _opened(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _opened(f"{name}.{key}", item)
    elif isinstance(value, (Module, TensorBase)):
        yield name, value
