"""Small parameters updated together: a formula over their numbers in a row costs as many calls as for one parameter."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["MOST", "Together", "alike"]

#: Elements up to which a parameter's calls cost more than three more passes over its memory.
MOST = 1 << 12


class Together:
    """The parameters of a group that are small, in one array; so are their buffers, of which each state holds its views.

    Elements are computed as they would be alone, to the last bit.
    """

    def __init__(self, names: tuple[str, ...], small: list[tuple[Any, dict[str, Any]]]) -> None:
        shapes = [item[0].shape for item, _ in small]
        ends = np.cumsum([item[0].size for item, _ in small]).tolist()
        dtype = small[0][0][0].dtype
        self.data = np.empty(ends[-1], dtype)
        self.parts = _views(self.data, ends, shapes)
        self.buffers = []
        self.views: list[list[Any]] = []
        for name in names:
            flat = np.concatenate([state[name].reshape(-1) for _, state in small])
            self.buffers.append(flat)
            self.views.append(_views(flat, ends, shapes))
            for (_, state), view in zip(small, self.views[-1], strict=True):
                state[name] = view

    def fits(self, names: tuple[str, ...], small: list[tuple[Any, dict[str, Any]]]) -> bool:
        """Whether these are the parameters, and their states still hold the views."""
        if len(small) != len(self.parts) or len(names) != len(self.views):
            return False
        for name, views in zip(names, self.views, strict=True):
            for (_, state), view in zip(small, views, strict=True):
                if state[name] is not view:
                    return False
        return True

    def gathered(self, small: list[tuple[Any, dict[str, Any]]]) -> tuple[Any, ...]:
        """What the formula works on: (data, g, t, *buffers)."""
        np.concatenate([item[0].reshape(-1) for item, _ in small], out=self.data)
        g = np.concatenate([item[1].reshape(-1) for item, _ in small])
        return self.data, g, small[0][0][2], *self.buffers

    def scatter(self, small: list[tuple[Any, dict[str, Any]]]) -> None:
        """Write the new values into the parameters."""
        for (item, _), part in zip(small, self.parts, strict=True):
            np.copyto(item[0], part)


def _views(flat: Any, ends: list[int], shapes: list[tuple[int, ...]]) -> list[Any]:
    starts = [0, *ends[:-1]]
    return [flat[a:b].reshape(shape) for a, b, shape in zip(starts, ends, shapes, strict=True)]


def alike(small: list[tuple[Any, dict[str, Any]]]) -> bool:
    """Whether the formula is the same for all: the same number of updates, the same dtype."""
    (data, g, t, *_), _ = small[0]
    for item, _ in small:
        if item[2] != t or item[0].dtype is not data.dtype or item[1].dtype is not g.dtype:
            return False
    return True
