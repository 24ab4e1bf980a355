"""Schedules that multiply the learning rate now and then: every few steps, at milestones, by a function."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tinytensor.optim.lr_scheduler.base import LRScheduler, inside, number, positive
from tinytensor.optim.optimizer import Optimizer

__all__ = ["ConstantLR", "ExponentialLR", "LambdaLR", "MultiStepLR", "MultiplicativeLR", "StepLR"]


class LambdaLR(LRScheduler):
    """lr = base · λ(t), with a function of the step, or one for each group.   (``torch.optim.lr_scheduler.LambdaLR``)

    The function is not part of ``state_dict``: give the same one when you continue.

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1 + t))
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        self.lr_lambdas: list[Callable[[int], float]] = self._each("lr_lambda", lr_lambda)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"{type(self).__name__}: lr_lambda must be a function, got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """base · λ(t)."""
        return [base * f(self.last_epoch) for f, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """The state, with None for each function, as PyTorch has it."""
        return {**super().state_dict(), "lr_lambdas": [None] * len(self.lr_lambdas)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take a state; the functions stay."""
        functions = self.lr_lambdas
        super().load_state_dict({"lr_lambdas": functions, **state_dict})
        self.lr_lambdas = functions


class MultiplicativeLR(LambdaLR):
    """lr ← lr · λ(t).   (``torch.optim.lr_scheduler.MultiplicativeLR``)

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda t: 0.5)
    >>> optimizer.step(); scheduler.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def get_lr(self) -> list[float]:
        """lr · λ(t)."""
        if self._is_initial:
            return self._present()
        return [lr * f(self.last_epoch) for f, lr in zip(self.lr_lambdas, self._present(), strict=True)]


class StepLR(LRScheduler):
    """lr ← γ lr every ``step_size`` steps.   (``torch.optim.lr_scheduler.StepLR``)

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> optimizer.step()
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = positive(self, "step_size", step_size), number(self, "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """γ lr at the multiples of ``step_size``."""
        return (
            self._scaled(self.gamma) if self.last_epoch and self.last_epoch % self.step_size == 0 else self._present()
        )

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """lr ← γ lr at each milestone.   (``torch.optim.lr_scheduler.MultiStepLR``)

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.MultiStepLR(optimizer, [2, 3], gamma=0.5)
    >>> optimizer.step()
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if not isinstance(milestones, Iterable):
            raise TypeError(f"MultiStepLR: milestones must be a list of steps, got {milestones!r:.60}")
        self.milestones = sorted(positive(self, "a milestone", m, least=0) for m in milestones)
        self.gamma = number(self, "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """γ lr at a milestone."""
        count = self.milestones.count(self.last_epoch)
        return self._scaled(self.gamma**count) if count else self._present()

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma ** bisect_right(self.milestones, self.last_epoch) for base in self.base_lrs]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take a state; PyTorch's has the milestones in a counter."""
        saved = dict(state_dict)
        if isinstance(milestones := saved.get("milestones"), Mapping):
            saved["milestones"] = sorted(int(k) for k, count in milestones.items() for _ in range(count))
        super().load_state_dict(saved)


class ConstantLR(LRScheduler):
    """lr = base · factor for ``total_iters`` steps, then base.   (``torch.optim.lr_scheduler.ConstantLR``)

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> tt.optim.lr_scheduler.ConstantLR(optimizer, factor=0.25, total_iters=2).get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        inside(self, "factor", factor)
        self.factor, self.total_iters = factor, positive(self, "total_iters", total_iters, least=0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """factor · lr at the beginning, lr / factor at the end."""
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        if self.last_epoch != self.total_iters:
            return self._present()
        return self._scaled(1.0 / self.factor) if self.factor else list(self.base_lrs)

    def _get_closed_form_lr(self) -> list[float]:
        return [
            base * (self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)) for base in self.base_lrs
        ]


class ExponentialLR(LRScheduler):
    """lr ← γ lr at every step.   (``torch.optim.lr_scheduler.ExponentialLR``)

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number(self, "gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """γ lr."""
        return self._present() if self._is_initial else self._scaled(self.gamma)

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]
