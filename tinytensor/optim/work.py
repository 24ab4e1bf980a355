"""What a formula works on: gradients with their sign and penalty, parameters whole or in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["BLOCK", "directed", "parts", "plain", "whole"]

#: Larger parameters are updated a block of rows at a time: temporaries stay small, and in the processor's cache.
BLOCK = 1 << 17


def directed(group: Mapping[str, Any], work: Iterable[Any]) -> Iterable[Any]:
    """The work with the gradients that formulas go by: −g to ``maximize``, g + λ p for a penalty; decoupled, p shrinks."""
    decay, maximize = group.get("weight_decay"), group.get("maximize")
    return _changed(group, work, decay, maximize) if decay or maximize else work


def _changed(group: Mapping[str, Any], work: Iterable[Any], decay: Any, maximize: Any) -> Iterator[Any]:
    decoupled = group.get("decoupled_weight_decay")
    for data, g, *rest in work:  # one at a time: of a large parameter there is a copy of one block only
        if maximize:
            g = -g
        if decay and decoupled:
            data *= 1 - plain(group["lr"]) * decay
        elif decay:
            g = g + decay * data
        yield data, g, *rest


def plain(value: Any) -> Any:
    """An option as a Python number: a learning rate may be an array, or stand for a number in a compiled step."""
    return value if value.__class__ is float else float(value)


def whole(item: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """The same memory with at least one axis, so that operations on it give arrays."""
    data, g, t, *buffers = item
    yield item if data.ndim else (data[None], g[None], t, *[b[None] for b in buffers])


def parts(item: tuple[Any, ...], most: int = BLOCK) -> Iterator[tuple[Any, ...]]:
    """The same memory in real arrays of at least one axis, and of few rows if there are more than so many elements."""
    data, g, t, *buffers = item
    if data.dtype.kind == "c":
        yield from parts((data.real, g.real, t, *[b.real for b in buffers]), most)
        yield from parts((data.imag, g.imag, t, *[b.imag for b in buffers]), most)
    elif data.ndim == 0:
        yield data[None], g[None], t, *[b[None] for b in buffers]
    elif data.size <= most:
        yield item
    else:
        rows = max(1, most * len(data) // data.size)
        for k in range(0, len(data), rows):
            yield data[k : k + rows], g[k : k + rows], t, *[b[k : k + rows] for b in buffers]
