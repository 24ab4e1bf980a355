"""Hooks of modules: functions that are called before or after each ``forward``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytensor.nn.module import Module

__all__ = ["ModuleHook", "call_with_hooks"]


class ModuleHook:
    """What registering a hook returns: ``handle.remove()`` takes it away; so does the end of a ``with`` block."""

    __slots__ = ("_module", "before", "function")

    def __init__(self, module: Module, function: Callable[..., Any], before: bool) -> None:
        if not callable(function):
            raise TypeError(f"{type(module).__name__}: a hook is a function, got {type(function).__name__}")
        self._module, self.function, self.before = module, function, before
        module._hooks = (*module._hooks, self)

    def remove(self) -> None:
        """Take the hook away; nothing happens if it is gone already."""
        self._module._hooks = tuple([hook for hook in self._module._hooks if hook is not self])

    def __enter__(self) -> ModuleHook:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def call_with_hooks(module: Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """``forward`` of what the hooks before it make of the inputs, and what the hooks after it make of its output."""
    hooks = module._hooks
    for hook in hooks:
        if hook.before and (changed := hook.function(module, inputs)) is not None:
            inputs = changed if isinstance(changed, tuple) else (changed,)
    out = module.forward(*inputs, **options)
    for hook in hooks:
        if not hook.before and (changed := hook.function(module, inputs, out)) is not None:
            out = changed
    return out
