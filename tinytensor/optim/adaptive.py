"""RMSprop, Adagrad, Adadelta: a step of its own for each weight, from the size of the gradients that it has seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinytensor.optim.checks import number
from tinytensor.optim.optimizer import Optimizer
from tinytensor.optim.work import plain
from tinytensor.tensor import Tensor

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class RMSprop(Optimizer):
    """v ← α v + (1 − α) ĝ², p ← p − lr · ĝ / (√v + ε), where ĝ = g + λ p.

    ``centered`` takes v − m² for v, with m ← α m + (1 − α) ĝ; with momentum μ, b ← μ b + ĝ / (√v + ε) and p ← p − lr · b.
    Hinton, 2012; Graves, 2013; follows ``torch.optim.RMSprop``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0])
    >>> optimizer = tt.optim.RMSprop([w], lr=0.01)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.9, 1.9], requires_grad=True)
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **implementation: Any,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults, implementation)

    def _check(self, options: Mapping[str, Any]) -> None:
        super()._check(options)
        if not 0 <= number("RMSprop", "alpha", options["alpha"]) <= 1:
            raise ValueError(f"RMSprop: alpha must lie in [0, 1], got {options['alpha']}")

    def buffers(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """v, and with these options b and m."""
        names = ("square_avg", "momentum_buffer") if group["momentum"] else ("square_avg",)
        return (*names, "grad_avg") if group["centered"] else names

    def update(self, group: Mapping[str, Any], work: Iterable[Any]) -> None:
        """The formula."""
        lr, alpha, eps, momentum = plain(group["lr"]), group["alpha"], group["eps"], group["momentum"]
        centered = group["centered"]
        for data, g, _, v, *others in work:
            step = g * g
            step *= 1 - alpha
            v *= alpha
            v += step
            if centered:
                mean = others[-1]
                mean += (1 - alpha) * (g - mean)
                np.multiply(mean, mean, step)
                np.subtract(v, step, step)
                np.sqrt(step, step)
            else:
                np.sqrt(v, step)
            step += eps
            np.divide(g, step, step)
            if momentum:
                speed = others[0]
                speed *= momentum
                speed += step
                np.multiply(speed, lr, step)
            else:
                step *= lr
            data -= step


class Adagrad(Optimizer):
    """s ← s + ĝ², p ← p − lr / (1 + (t − 1) η) · ĝ / (√s + ε), where ĝ = g + λ p.

    η lr_decay; s starts at ``initial_accumulator_value``. Duchi, Hazan and Singer, 2011; follows ``torch.optim.Adagrad``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0])
    >>> optimizer = tt.optim.Adagrad([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.9, 1.9], requires_grad=True)
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **implementation: Any,
    ) -> None:
        defaults = {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults, implementation)

    def buffers(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """s."""
        return ("sum",)

    def _begin(self, name: str, p: Tensor, group: Mapping[str, Any]) -> Any:
        start = group["initial_accumulator_value"]
        return np.full_like(p._data, start * (1 + 1j) if p._data.dtype.kind == "c" else start)

    def update(self, group: Mapping[str, Any], work: Iterable[Any]) -> None:
        """The formula."""
        lr, lr_decay, eps = plain(group["lr"]), group["lr_decay"], group["eps"]
        for data, g, t, total in work:
            step = g * g
            total += step
            np.sqrt(total, step)
            step += eps
            np.divide(g, step, step)
            step *= lr / (1 + (t - 1) * lr_decay)
            data -= step


class Adadelta(Optimizer):
    """v ← ρ v + (1 − ρ) ĝ², Δ = ĝ · √(u + ε) / √(v + ε), u ← ρ u + (1 − ρ) Δ², p ← p − lr · Δ, where ĝ = g + λ p.

    Zeiler, 2012; follows ``torch.optim.Adadelta``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0], "float64")
    >>> optimizer = tt.optim.Adadelta([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data.round(6)
    array([0.996838, 1.996838])
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **implementation: Any,
    ) -> None:
        defaults = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults, implementation)

    def _check(self, options: Mapping[str, Any]) -> None:
        super()._check(options)
        if not 0 <= number("Adadelta", "rho", options["rho"]) <= 1:
            raise ValueError(f"Adadelta: rho must lie in [0, 1], got {options['rho']}")

    def buffers(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """v and u."""
        return ("square_avg", "acc_delta")

    def update(self, group: Mapping[str, Any], work: Iterable[Any]) -> None:
        """The formula."""
        lr, rho, eps = plain(group["lr"]), group["rho"], group["eps"]
        for data, g, _, v, u in work:
            step = g * g
            step *= 1 - rho
            v *= rho
            v += step
            delta = u + eps
            np.sqrt(delta, delta)
            np.add(v, eps, step)
            delta /= np.sqrt(step, step)
            delta *= g
            np.multiply(delta, delta, step)
            step *= 1 - rho
            u *= rho
            u += step
            delta *= lr
            data -= delta
