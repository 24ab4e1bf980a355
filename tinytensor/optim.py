"""Optimizers, each written out in full, with PyTorch's names, arguments and arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from tinytensor.inplace import updating
from tinytensor.tensor import Tensor

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]


class Optimizer:
    """What optimizers share: parameter groups with options, per-parameter state, ``zero_grad``.

    ``params``: tensors, or dicts ``{"params": tensors, "lr": ...}`` with options of their own. The options of a group
    can be read and changed: ``optimizer.param_groups[0]["lr"] = 0.01``.

    >>> import tinytensor as tt
    >>> layer = tt.nn.Linear(2, 1)
    >>> optimizer = tt.optim.SGD([{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.5}], lr=0.1)
    >>> [group["lr"] for group in optimizer.param_groups]
    [0.1, 0.5]
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        groups = list(params) if not isinstance(params, (Tensor, Mapping)) else [params]
        if isinstance(params, Tensor) or not groups:
            what = "one tensor" if isinstance(params, Tensor) else "nothing"
            raise TypeError(f"{type(self).__name__}: expected an iterable of parameters, got {what}")
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[int, dict[str, Any]] = {}
        each: list[Any] = groups if isinstance(groups[0], Mapping) else [{"params": groups}]
        for group in each:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters, with options that differ from the defaults."""
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf:
                what = type(p).__name__ if not isinstance(p, Tensor) else "the result of an operation"
                raise TypeError(f"{type(self).__name__}: parameters must be leaf tensors, got {what}")
            if id(p) in known:
                raise ValueError(f"{type(self).__name__}: a parameter of shape {p.shape} is given twice")
            known.add(id(p))
        if unknown := set(group) - set(self.defaults) - {"params"}:
            raise TypeError(f"{type(self).__name__}: a parameter group does not take {', '.join(sorted(unknown))}")
        options = {**self.defaults, **group, "params": params}
        self._check(options)
        self.param_groups.append(options)

    def _check(self, options: Mapping[str, Any]) -> None:
        for name in ("lr", "weight_decay", "eps"):
            if name in options and not options[name] >= 0:
                raise ValueError(f"{type(self).__name__}: {name} must not be negative, got {options[name]}")
        for beta in options.get("betas", ()):
            if not 0 <= beta < 1:
                raise ValueError(f"{type(self).__name__}: betas must lie in [0, 1), got {options['betas']}")

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        raise NotImplementedError

    def __repr__(self) -> str:
        options = [
            {k: v for k, v in g.items() if k != "params"} | {"params": len(g["params"])} for g in self.param_groups
        ]
        return f"{type(self).__name__}({', '.join(map(str, options))})"


class SGD(Optimizer):
    """v ← μ v + (1 − τ) ĝ, p ← p − lr · v, where ĝ = g + λ p; with Nesterov's momentum p ← p − lr · (ĝ + μ v).

    μ momentum (v starts at the first ĝ), τ dampening, λ weight_decay. Follows ``torch.optim.SGD``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0])
    >>> optimizer = tt.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.8, 1.6], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov
        }  # fmt: skip
        super().__init__(params, defaults)

    def _check(self, options: Mapping[str, Any]) -> None:
        super()._check(options)
        if not options["momentum"] >= 0:
            raise ValueError(f"SGD: momentum must not be negative, got {options['momentum']}")
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("SGD: Nesterov momentum needs a momentum and zero dampening")

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            lr, momentum, dampening = group["lr"], group["momentum"], group["dampening"]
            decay, nesterov = group["weight_decay"], group["nesterov"]
            for p in group["params"]:
                g = p.grad
                if g is None:
                    continue
                data = updating(p)
                if decay:
                    g = g + decay * data
                if momentum:
                    state = self.state.setdefault(id(p), {})
                    velocity = state.get("momentum_buffer")
                    if velocity is None:
                        velocity = state["momentum_buffer"] = np.array(g)
                    else:
                        velocity *= momentum
                        velocity += g if not dampening else (1 - dampening) * g
                    g = g + momentum * velocity if nesterov else velocity
                np.subtract(data, lr * g, out=data)


class Adam(Optimizer):
    """m ← β₁ m + (1 − β₁) ĝ, v ← β₂ v + (1 − β₂) ĝ², p ← p − lr · m̂ / (√v̂ + ε), where ĝ = g + λ p.

    m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ). Kingma and Ba, 2015; follows ``torch.optim.Adam``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0])
    >>> optimizer = tt.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.9, 1.9], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            decay = group["weight_decay"]
            for p in group["params"]:
                g = p.grad
                if g is None:
                    continue
                data = updating(p)
                if decay:
                    g = g + decay * data
                _adam(data, g, self.state.setdefault(id(p), {}), group)


class AdamW(Optimizer):
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
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            decay = group["lr"] * group["weight_decay"]
            for p in group["params"]:
                g = p.grad
                if g is None:
                    continue
                data = updating(p)
                if decay:
                    data *= 1 - decay
                _adam(data, g, self.state.setdefault(id(p), {}), group)


def _adam(data: Any, g: Any, state: dict[str, Any], group: Mapping[str, Any]) -> None:
    """Adam's step on one array, in place."""
    beta1, beta2 = group["betas"]
    if not state:
        state.update(step=0, exp_avg=np.zeros_like(data), exp_avg_sq=np.zeros_like(data))
    state["step"] += 1
    m, v, t = state["exp_avg"], state["exp_avg_sq"], state["step"]
    m += (1 - beta1) * (g - m)
    v *= beta2
    square = g * g
    square *= 1 - beta2
    v += square
    scale = np.sqrt(v, out=square)
    scale /= (1 - beta2**t) ** 0.5
    scale += group["eps"]
    np.divide(m, scale, out=scale)
    scale *= group["lr"] / (1 - beta1**t)
    data -= scale
