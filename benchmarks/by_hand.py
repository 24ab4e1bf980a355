"""The limit: what a training step costs without any engine. NumPy into buffers that are already there, float32, no call too many.

``np.dot`` where ``np.matmul`` checks more, sums over samples as a product with ones, all parameters in one buffer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

#: Numbers that an optimizer works on at a time: a few buffers of them fit into the cache.
BLOCK = 32_768


def together(arrays: list[Any]) -> tuple[Any, list[Any]]:
    """Copies of the arrays in one buffer: the buffer, and a view of it for each."""
    flat = np.concatenate([a.ravel() for a in arrays])
    views, at = [], 0
    for a in arrays:
        views.append(flat[at : at + a.size].reshape(a.shape))
        at += a.size
    return flat, views


def blocks(flat: Any) -> list[Any]:
    """Views of a buffer, each short enough for the cache."""
    return [flat[k : k + BLOCK] for k in range(0, flat.size, BLOCK)]


def constant(value: float) -> Any:
    """A number as an array of no dimensions: NumPy takes it as it is."""
    return np.array(value, np.float32)


def optimizer(name: str, settings: dict[str, Any], parameters: list[Any]) -> Callable[[list[Any]], None]:
    """The update from gradients, which are overwritten, by PyTorch's formulas."""
    lr, momentum = settings["lr"], settings.get("momentum", 0.0)
    if name == "SGD":
        return _momentum(lr, momentum, parameters) if momentum else _sgd(lr, parameters)
    decay = settings.get("weight_decay", 0.01) if name == "AdamW" else 0.0
    return _adam(lr, *settings.get("betas", (0.9, 0.999)), settings.get("eps", 1e-8), decay, parameters)


def _sgd(lr: float, parameters: list[Any]) -> Callable[[list[Any]], None]:
    rate = constant(lr)

    def update(gradients: list[Any]) -> None:
        for p, g in zip(parameters, gradients):
            np.multiply(g, rate, g)
            np.subtract(p, g, p)

    return update


def _momentum(lr: float, momentum: float, parameters: list[Any]) -> Callable[[list[Any]], None]:
    rate, keep = constant(lr), constant(momentum)
    velocities = [np.zeros_like(p) for p in parameters]

    def update(gradients: list[Any]) -> None:
        for p, g, v in zip(parameters, gradients, velocities):
            np.multiply(v, keep, v)
            np.add(v, g, v)
            np.multiply(v, rate, g)
            np.subtract(p, g, p)

    return update


def _adam(
    lr: float, b1: float, b2: float, eps: float, decay: float, parameters: list[Any]
) -> Callable[[list[Any]], None]:
    keep1, new1, keep2, new2 = map(constant, (b1, 1 - b1, b2, 1 - b2))
    small, shrink, first, root = constant(eps), constant(1 - lr * decay), constant(0), constant(0)
    ms, vs = [np.zeros_like(p) for p in parameters], [np.zeros_like(p) for p in parameters]
    spare = [np.empty_like(p) for p in parameters]
    t = 0

    def update(gradients: list[Any]) -> None:
        nonlocal t
        t += 1
        first[()] = lr / (1 - b1**t)
        root[()] = 1 / math.sqrt(1 - b2**t)
        for p, g, m, v, s in zip(parameters, gradients, ms, vs, spare):
            np.multiply(m, keep1, m)
            np.multiply(g, new1, s)
            np.add(m, s, m)
            np.multiply(g, g, g)
            np.multiply(g, new2, g)
            np.multiply(v, keep2, v)
            np.add(v, g, v)
            np.sqrt(v, g)
            np.multiply(g, root, g)
            np.add(g, small, g)
            np.divide(m, g, g)
            np.multiply(g, first, g)
            if decay:
                np.multiply(p, shrink, p)
            np.subtract(p, g, p)

    return update
