"""Adam and its relatives: running means of the gradient and of its size, each formula written out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinytensor.optim.optimizer import Optimizer
from tinytensor.optim.work import plain

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]


def _moments(g: Any, m: Any, v: Any, beta1: float, beta2: float) -> Any:
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²; returns an array of their shape to work in."""
    free = g - m
    free *= 1 - beta1
    m += free
    np.multiply(g, g, free)
    free *= 1 - beta2
    v *= beta2
    v += free
    return free


class Adam(Optimizer):
    """m ← β₁ m + (1 − β₁) ĝ, v ← β₂ v + (1 − β₂) ĝ², p ← p − lr · m̂ / (√v̂ + ε), where ĝ = g + λ p.

    m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ); ``amsgrad`` takes for v its largest value so far; ``maximize`` takes −g for g;
    ``decoupled_weight_decay``: p ← p − lr λ p first, and ĝ = g (:class:`AdamW`). Kingma and Ba, 2015; Reddi, Kale and
    Kumar, 2018; follows ``torch.optim.Adam``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0])
    >>> optimizer = tt.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.9, 1.9], requires_grad=True)
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **implementation: Any,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay,
        }  # fmt: skip
        super().__init__(params, defaults, implementation)

    def buffers(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """m, v, and with ``amsgrad`` the largest v."""
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def update(self, group: Mapping[str, Any], work: Iterable[Any]) -> None:
        """The formula, with one temporary array."""
        lr, (beta1, beta2), eps = plain(group["lr"]), group["betas"], group["eps"]
        for data, g, t, m, v, *largest in work:
            step = _moments(g, m, v, beta1, beta2)
            if largest:
                v = np.maximum(largest[0], v, out=largest[0])
            root = (1 - beta2**t) ** 0.5  # of v̂ = v / root²: multiplied out, one pass over the array less
            np.sqrt(v, step)
            step += eps * root
            np.divide(m, step, step)
            step *= lr * root / (1 - beta1**t)
            data -= step


class AdamW(Adam):
    """Adam with decoupled weight decay: p ← p − lr λ p, then Adam's step with g.

    Loshchilov and Hutter, 2019; follows ``torch.optim.AdamW``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0])
    >>> optimizer = tt.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.85, 1.8 ], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **implementation: Any,
    ) -> None:
        options = {"maximize": maximize, "decoupled_weight_decay": True, **implementation}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum: p ← p − lr · ((1 − μₜ) ĝ / (1 − Πμ) + μₜ₊₁ m / (1 − Πμ · μₜ₊₁)) / (√v̂ + ε).

    μₜ = β₁ (1 − 0.96^(t ψ) / 2) with ψ momentum_decay, Πμ = μ₁ ⋯ μₜ; m, v̂, ĝ and decay as in :class:`Adam`. Dozat, 2016;
    follows ``torch.optim.NAdam``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0], "float64")
    >>> optimizer = tt.optim.NAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.89435482, 1.89435482], requires_grad=True)
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **implementation: Any,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults, implementation)

    def buffers(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """m and v."""
        return ("exp_avg", "exp_avg_sq")

    def _scalars(self) -> tuple[str, ...]:
        return ("step", "mu_product")

    def _tick(self, state: dict[str, Any], group: Mapping[str, Any], first: bool) -> Any:
        """t, μₜ, μₜ₊₁ and Πμ."""
        t = state.get("step", 0) + 1
        beta1, decay = group["betas"][0], group["momentum_decay"]
        mu = beta1 * (1 - 0.5 * 0.96 ** (t * decay))
        following = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * decay))
        return t, mu, following, state.get("mu_product", 1.0) * mu

    def _count(self, updates: list[tuple[dict[str, Any], Any]]) -> None:
        for state, t in updates:
            state["step"], state["mu_product"] = t[0], t[3]

    def update(self, group: Mapping[str, Any], work: Iterable[Any]) -> None:
        """The formula."""
        lr, (beta1, beta2), eps = plain(group["lr"]), group["betas"], group["eps"]
        for data, g, (t, mu, following, product), m, v in work:
            step = _moments(g, m, v, beta1, beta2)
            scale = np.divide(v, 1 - beta2**t, step)
            np.sqrt(scale, scale)
            scale += eps
            ahead = g * (lr * (1 - mu) / (1 - product))
            ahead += m * (lr * following / (1 - product * following))
            ahead /= scale
            data -= ahead


class RAdam(Optimizer):
    """Adam whose step is rectified while v̂ is uncertain: p ← p − lr · r · m̂ / (√v̂ + ε′) where ρ > 5, else p − lr · m̂.

    ρ∞ = 2 / (1 − β₂) − 1, ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ), r² = (ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ); ε is added to √v
    before its correction. ĝ and decay as in :class:`Adam`. Liu et al., 2020; follows ``torch.optim.RAdam``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0])
    >>> optimizer = tt.optim.RAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.8, 1.6], requires_grad=True)
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **implementation: Any,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults, implementation)

    def buffers(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """m and v."""
        return ("exp_avg", "exp_avg_sq")

    def update(self, group: Mapping[str, Any], work: Iterable[Any]) -> None:
        """The formula."""
        lr, (beta1, beta2), eps = plain(group["lr"]), group["betas"], group["eps"]
        longest = 2 / (1 - beta2) - 1
        for data, g, t, m, v in work:
            step = _moments(g, m, v, beta1, beta2)
            size, correction = lr / (1 - beta1**t), 1 - beta2**t
            length = longest - 2 * t * beta2**t / correction
            if length > 5:
                rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
                np.sqrt(v, step)
                step += eps
                np.divide(m, step, step)
                step *= size * (rectified * correction) ** 0.5
            else:
                np.multiply(m, size, step)
            data -= step


class Adamax(Optimizer):
    """m ← β₁ m + (1 − β₁) ĝ, u ← max(β₂ u, |ĝ| + ε), p ← p − lr / (1 − β₁ᵗ) · m / u, where ĝ = g + λ p.

    Adam with the largest gradient in place of the root mean square. Kingma and Ba, 2015; follows ``torch.optim.Adamax``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0])
    >>> optimizer = tt.optim.Adamax([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.9, 1.9], requires_grad=True)
    """

    elementwise = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **implementation: Any,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, defaults, implementation)

    def buffers(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """m and u."""
        return ("exp_avg", "exp_inf")

    def update(self, group: Mapping[str, Any], work: Iterable[Any]) -> None:
        """The formula."""
        lr, (beta1, beta2), eps = plain(group["lr"]), group["betas"], group["eps"]
        for data, g, t, m, u in work:
            step = g - m
            step *= 1 - beta1
            m += step
            np.abs(g, step)
            step += eps
            u *= beta2
            np.maximum(u, step, out=u)
            np.divide(m, u, step)
            step *= lr / (1 - beta1**t)
            data -= step
