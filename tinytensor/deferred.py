"""Values whose array cannot be had: one of a batch, one of a program that is written down. Their modules say what to do then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Deferred", "batched", "use_batching"]


class Deferred(TypeError):  # noqa: N818
    """Raised by a value that stands for a batch of tensors, where its array is asked for."""


def _no_rule(op: Any, apply: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    raise NotImplementedError


_batching: list[Callable[[Any, Any, tuple[Any, ...]], Any]] = [_no_rule]  # told by the modules that make such values


def use_batching(rule: Callable[[Any, Any, tuple[Any, ...]], Any]) -> None:
    """Let ``rule(op, apply, args)`` compute a primitive of such values, and what a composite could not.

    Of several the latest is asked first; it returns NotImplemented for values that are not its own.
    """
    _batching.append(rule)


def batched(op: Any, apply: Callable[..., Any] | None, args: tuple[Any, ...]) -> Any:
    """What a primitive does with a value whose array cannot be had."""
    for rule in reversed(_batching):
        if (made := rule(op, apply, args)) is not NotImplemented:
            return made
