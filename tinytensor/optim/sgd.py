"""``SGD``: gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tinytensor.optim.checks import number
from tinytensor.optim.optimizer import Optimizer
from tinytensor.optim.work import plain

__all__ = ["SGD"]


class SGD(Optimizer):
    """v ← μ v + (1 − τ) ĝ, p ← p − lr · v, where ĝ = g + λ p; with Nesterov's momentum p ← p − lr · (ĝ + μ v).

    μ momentum (v starts at the first ĝ), τ dampening, λ weight_decay; ``maximize`` takes −g for g. Follows
    ``torch.optim.SGD``.

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 2.0])
    >>> optimizer = tt.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    parameter([0.8, 1.6], requires_grad=True)
    """

    counts, elementwise = False, True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **implementation: Any,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults, implementation)

    def _check(self, options: Mapping[str, Any]) -> None:
        super()._check(options)
        number("SGD", "dampening", options["dampening"])
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError("SGD: Nesterov momentum needs a momentum and zero dampening")

    def buffers(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """The velocity, if there is momentum."""
        return ("momentum_buffer",) if group["momentum"] else ()

    def update(self, group: Mapping[str, Any], work: Iterable[Any]) -> None:
        """The formula."""
        lr, momentum, dampening = plain(group["lr"]), group["momentum"], group["dampening"]
        nesterov = group["nesterov"]
        if not momentum:
            for data, g, _ in work:
                data -= lr * g
            return
        for data, g, t, velocity in work:
            if t == 1:
                velocity[...] = g
            else:
                velocity *= momentum
                velocity += g if not dampening else (1 - dampening) * g
            data -= lr * (g + momentum * velocity if nesterov else velocity)
