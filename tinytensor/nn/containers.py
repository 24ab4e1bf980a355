"""Modules that hold others, or parameters: rows, lists and dicts of them, numbered or named as in PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, overload

from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.primitive import TensorBase

__all__ = ["Identity", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


def _is_module(own: str, module: Any, what: Any) -> Any:
    if not callable(module) or isinstance(module, type):
        found = f"the class {module.__name__}; call it" if isinstance(module, type) else type(module).__name__
        raise TypeError(f"{own}: {what} is not a module, got {found}")
    return module


def _as_parameter(value: Any) -> Parameter:
    return value if isinstance(value, Parameter) else Parameter(value._data if isinstance(value, TensorBase) else value)


def _name(own: str, name: Any) -> str:
    if not isinstance(name, str) or not name or "." in name:
        raise KeyError(f"{own}: a name is a string without dots, got {name!r}")
    return name


class Identity(Module):
    """x as it is; arguments are taken and ignored.   (``torch.nn.Identity``)

    >>> import tinytensor as tt
    >>> tt.nn.Identity(54, unused=True)(tt.tensor([1.0]))
    tensor([1.])
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        """Any shape."""
        return x


class _Listed(Module):
    """Members under the names 0, 1, …."""

    _layers: list[Any]

    def _checked(self, item: Any, what: Any) -> Any:
        return _is_module(type(self).__name__, item, what)

    def _members(self) -> Iterator[tuple[str, Any]]:
        for k, item in enumerate(self._layers):
            yield str(k), item
        yield from super()._members()

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._layers)

    def __contains__(self, item: Any) -> bool:
        return any(item is other for other in self._layers)

    def __setitem__(self, k: int, item: Any) -> None:
        self._layers[k] = self._checked(item, f"[{k}]")

    def __delitem__(self, k: int | slice) -> None:
        del self._layers[k]

    def __add__(self, other: Iterable[Any]) -> Any:
        return self[:].extend(other)  # type: ignore[index]

    def __iadd__(self, other: Iterable[Any]) -> Any:
        return self.extend(other)

    def append(self, item: Any) -> Any:
        """Put one at the end; returns the container."""
        self._layers.append(self._checked(item, "what is appended"))
        return self

    def extend(self, items: Iterable[Any]) -> Any:
        """Put several at the end; returns the container."""
        self._layers += [self._checked(item, f"element {k}") for k, item in enumerate(items)]
        return self

    def insert(self, k: int, item: Any) -> Any:
        """Put one before the k-th; returns the container."""
        self._layers.insert(k, self._checked(item, "what is inserted"))
        return self

    def pop(self, k: int = -1) -> Any:
        """Take one out, the last by default."""
        item = self._layers[k]
        del self[k]
        return item


class Sequential(_Listed):
    """Modules applied one after the other; numbered as in PyTorch, so that weights can be exchanged.

    A dict of modules gives them names. A slice is a Sequential of the same modules.

    >>> import tinytensor as tt
    >>> model = tt.nn.Sequential(tt.nn.Linear(2, 4), tt.nn.ReLU(), tt.nn.Linear(4, 1))
    >>> len(model), list(model.state_dict())
    (3, ['0.weight', '0.bias', '2.weight', '2.bias'])
    >>> list(tt.nn.Sequential({"first": model[0], "bend": model[1]}).state_dict())
    ['first.weight', 'first.bias']
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        own = type(self).__name__
        self._names: list[str] | None = None
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            self._names = [_name(own, name) for name in modules[0]]
            self._layers = [_is_module(own, module, name) for name, module in modules[0].items()]
        else:
            self._layers = [_is_module(own, module, f"argument {k}") for k, module in enumerate(modules)]

    def _members(self) -> Iterator[tuple[str, Any]]:
        if self._names is None:
            yield from super()._members()
        else:
            yield from zip(self._names, self._layers, strict=True)
            yield from Module._members(self)

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        for module in self._layers:
            x = module(x)
        return x

    def __getattr__(self, name: str) -> Any:
        names = vars(self).get("_names")
        if names and name in names:
            return self._layers[names.index(name)]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @overload
    def __getitem__(self, k: int) -> Module: ...
    @overload
    def __getitem__(self, k: slice) -> Sequential: ...
    def __getitem__(self, k: int | slice) -> Module:
        if isinstance(k, slice):
            if self._names is not None:
                return Sequential(dict(zip(self._names[k], self._layers[k], strict=True)))
            return Sequential(*self._layers[k])
        return self._layers[k]  # type: ignore[no-any-return]

    def __delitem__(self, k: int | slice) -> None:
        super().__delitem__(k)
        if self._names is not None:
            del self._names[k]

    def append(self, item: Any) -> Sequential:
        """Put a module at the end; returns the container."""
        return self.insert(len(self._layers), item)

    def add_module(self, name: str, module: Module | None) -> None:
        """Put a module at the end, or in the place of the one of this name."""
        self._names = [str(k) for k in range(len(self))] if self._names is None else self._names
        item = self._checked(module, _name(type(self).__name__, name))
        if name in self._names:
            self._layers[self._names.index(name)] = item
        else:
            self._check_name(name, "add_module")
            self._names.append(name)
            self._layers.append(item)

    register_module = add_module

    def extend(self, items: Iterable[Any]) -> Sequential:
        """Put several modules at the end; returns the container."""
        for item in [self._checked(item, f"element {k}") for k, item in enumerate(items)]:
            self.append(item)
        return self

    def insert(self, k: int, item: Any) -> Sequential:
        """Put a module before the k-th, under its number; returns the container."""
        super().insert(k, item)
        if self._names is not None:
            free = str(len(self._names))
            self._names.insert(k, free if free not in self._names else f"{free}_")
        return self


class ModuleList(_Listed):
    """Modules in a list, found by their container under the names 0, 1, …; it is not called.   (``torch.nn.ModuleList``)

    >>> import tinytensor as tt
    >>> layers = tt.nn.ModuleList([tt.nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), len(layers[1:]), list(layers[:1].state_dict())
    (3, 2, ['0.weight', '0.bias'])
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._layers = []
        self.extend(modules or ())

    def __getitem__(self, k: Any) -> Any:
        return ModuleList(self._layers[k]) if isinstance(k, slice) else self._layers[k]


class ParameterList(_Listed):
    """Parameters in a list; arrays become parameters.   (``torch.nn.ParameterList``)

    >>> import tinytensor as tt
    >>> rows = tt.nn.ParameterList([tt.ones(2), tt.ones(3)])
    >>> [(name, p.shape) for name, p in rows.named_parameters()]
    [('0', (2,)), ('1', (3,))]
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._layers = []
        self.extend(values or ())

    def _checked(self, item: Any, what: Any) -> Parameter:
        return _as_parameter(item)

    def __getitem__(self, k: Any) -> Any:
        return ParameterList(self._layers[k]) if isinstance(k, slice) else self._layers[k]

    def extra_repr(self) -> str:
        """The shapes."""
        return ", ".join([f"{k}: {tuple(p.shape)}" for k, p in enumerate(self._layers)])


class _Named(Module):
    """Members under names of their own."""

    _layers: dict[str, Any]

    def __init__(self, members: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self._layers = {}
        self.update({} if members is None else members)

    def _checked(self, item: Any, name: str) -> Any:
        return _is_module(type(self).__name__, item, name)

    def _members(self) -> Iterator[tuple[str, Any]]:
        yield from self._layers.items()
        yield from super()._members()

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __contains__(self, name: str) -> bool:
        return name in self._layers

    def __getitem__(self, name: str) -> Any:
        return self._layers[name]

    def __setitem__(self, name: str, item: Any) -> None:
        self._layers[_name(type(self).__name__, name)] = self._checked(item, name)

    def add_module(self, name: str, module: Any) -> None:
        """The same as ``container[name] = module``."""
        self[name] = module

    register_module = add_module

    def __delitem__(self, name: str) -> None:
        del self._layers[name]

    def __getattr__(self, name: str) -> Any:
        if name in vars(self).get("_layers", ()):
            return self._layers[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._layers.keys()

    def values(self) -> Iterable[Any]:
        """The members."""
        return self._layers.values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Names and members."""
        return self._layers.items()

    def update(self, members: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Put in all of a mapping, or of pairs."""
        own = type(self).__name__
        pairs = dict(members.items() if isinstance(members, (Mapping, _Named)) else members)
        self._layers.update({_name(own, name): self._checked(item, name) for name, item in pairs.items()})

    def clear(self) -> None:
        """Take all out."""
        self._layers.clear()

    def pop(self, name: str) -> Any:
        """Take one out."""
        return self._layers.pop(name)


class ModuleDict(_Named):
    """Modules under names, found by their container; it is not called.   (``torch.nn.ModuleDict``)

    >>> import tinytensor as tt
    >>> heads = tt.nn.ModuleDict({"mean": tt.nn.Linear(2, 1), "scale": tt.nn.Linear(2, 1)})
    >>> heads["mean"](tt.ones((5, 2))).shape, list(heads)
    ((5, 1), ['mean', 'scale'])
    """


class ParameterDict(_Named):
    """Parameters under names; arrays become parameters.   (``torch.nn.ParameterDict``)

    >>> import tinytensor as tt
    >>> [name for name, _ in tt.nn.ParameterDict({"a": tt.ones(2)}).named_parameters()]
    ['a']
    """

    def _checked(self, item: Any, name: str) -> Parameter:
        return _as_parameter(item)

    def extra_repr(self) -> str:
        """Names and shapes."""
        return ", ".join([f"{name}: {tuple(p.shape)}" for name, p in self._layers.items()])
