"""Schedules along a curve: a line, a polynomial, a cosine."""

from __future__ import annotations

import math
from typing import Any

from tinytensor.optim.lr_scheduler.base import LRScheduler, cosine, inside, number, positive
from tinytensor.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "LinearLR", "PolynomialLR"]


class LinearLR(LRScheduler):
    """lr = base · factor, which goes from ``start_factor`` to ``end_factor`` in ``total_iters`` steps: a warm-up.

    (``torch.optim.lr_scheduler.LinearLR``)

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor must lie in (0, 1], got {start_factor}; an lr of 0 cannot grow")
        inside(self, "end_factor", end_factor)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = positive(self, "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """lr times the ratio of this factor to the one before."""
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._present()
        rise = self.end_factor - self.start_factor
        return self._scaled(1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))

    def _get_closed_form_lr(self) -> list[float]:
        done = min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (self.start_factor + (self.end_factor - self.start_factor) * done) for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """lr = base · (1 − t / total_iters)^power, then 0.   (``torch.optim.lr_scheduler.PolynomialLR``)

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=4, power=2)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5625]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = positive(self, "total_iters", total_iters), power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """lr times the ratio of this factor to the one before."""
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._present()
        now, before = 1.0 - self.last_epoch / self.total_iters, 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._scaled((now / before) ** self.power)

    def _get_closed_form_lr(self) -> list[float]:
        done = min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * (1.0 - done) ** self.power for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """lr = η + (base − η) (1 + cos(π t / T_max)) / 2, with η ``eta_min``.   (``torch.optim.lr_scheduler.CosineAnnealingLR``)

    Goes up again after ``T_max`` steps. Loshchilov and Hutter, 2017.

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = positive(self, "T_max", T_max), eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The distance from ``eta_min`` times the ratio of this cosine to the one before."""
        t, period, low = self.last_epoch, self.T_max, self.eta_min
        if self._is_initial:
            return self._present()
        if (t - 1 - period) % (2 * period) == 0:  # the one before was 0
            rise = (1 - math.cos(math.pi / period)) / 2
            return [lr + (base - low) * rise for lr, base in zip(self._present(), self.base_lrs, strict=True)]
        ratio = (1 + math.cos(math.pi * t / period)) / (1 + math.cos(math.pi * (t - 1) / period))
        return [ratio * (lr - low) + low for lr in self._present()]

    def _get_closed_form_lr(self) -> list[float]:
        return [cosine(base, self.eta_min, self.last_epoch / self.T_max) for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """The cosine of :class:`CosineAnnealingLR` down, and a jump back up, after T_0, T_0 · T_mult, T_0 · T_mult² ... steps.

    (``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``); Loshchilov and Hutter, 2017.

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2)
    >>> optimizer.step()
    >>> for _ in range(3):
    ...     scheduler.step()
    ...     print(round(scheduler.get_last_lr()[0], 3))
    0.5
    1.0
    0.5

    ``step(epoch)`` goes to any moment: ``scheduler.step(epoch + i / len(loader))`` after every batch.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_0 = self.T_i = positive(self, "T_0", T_0)
        self.T_mult, self.eta_min = positive(self, "T_mult", T_mult), eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The cosine at ``T_cur`` of ``T_i``."""
        return [cosine(base, self.eta_min, self.T_cur / self.T_i) for base in self.base_lrs]

    def _epoch(self, epoch: Any) -> float:
        if not 0 <= number(self, "epoch", epoch) < math.inf:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch must be a number from 0, got {epoch}")
        return float(epoch)

    def _update_lr(self, epoch: Any, closed: bool = False) -> None:
        before = self.T_cur, self.T_i
        try:
            if closed:
                self._jump(epoch)
            else:
                self.T_cur = 0 if self.last_epoch < 0 else self.T_cur + 1
                if self.T_cur >= self.T_i:
                    self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
            super()._update_lr(math.floor(epoch))
        except BaseException:
            self.T_cur, self.T_i = before
            raise

    def _jump(self, epoch: float) -> None:
        """T_cur and T_i of an epoch, which may be a fraction."""
        done = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult)) if self.T_mult > 1 else 0
        self.T_i = self.T_0 * self.T_mult**done
        self.T_cur = (
            epoch - self.T_0 * (self.T_mult**done - 1) / (self.T_mult - 1) if self.T_mult > 1 else epoch % self.T_0
        )
