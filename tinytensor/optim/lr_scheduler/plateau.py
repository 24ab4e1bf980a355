"""``ReduceLROnPlateau``: a smaller learning rate when a metric stops improving."""

from __future__ import annotations

import math
from typing import Any

from tinytensor.graph import tracing
from tinytensor.optim.lr_scheduler.base import LRScheduler, number, positive, set_rate
from tinytensor.optim.optimizer import Optimizer

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(LRScheduler):
    """lr ← factor · lr after more than ``patience`` steps whose metric is no better.   (``torch.optim.lr_scheduler``)

    ``step(metric)`` takes the number. Better is smaller (``mode="min"``) than best · (1 − threshold), or than best −
    threshold with ``threshold_mode="abs"``; for ``"max"`` accordingly. NaN is never better. After a reduction, bad steps do
    not count for ``cooldown`` steps. The rate does not fall below ``min_lr``, nor by less than ``eps``.

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = tt.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5)
    >>> for loss in (3.0, 2.0, 2.0, 2.0):
    ...     scheduler.step(loss)
    ...     print(scheduler.get_last_lr())
    [1.0]
    [1.0]
    [1.0]
    [0.5]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self._attach(optimizer)
        if not 0 <= number(self, "factor", factor) < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must lie in [0, 1), got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: mode is 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"ReduceLROnPlateau: threshold_mode is 'rel' or 'abs', got {threshold_mode!r}")
        self.mode, self.factor, self.eps = mode, factor, number(self, "eps", eps)
        self.patience = positive(self, "patience", patience, least=0)
        self.cooldown = positive(self, "cooldown", cooldown, least=0)
        self.threshold, self.threshold_mode = number(self, "threshold", threshold), threshold_mode
        self.min_lrs = [number(self, "min_lr", lr) for lr in self._each("min_lr", min_lr)]
        self.default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
        self.best = self.mode_worse = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = self.last_epoch = 0
        self._last_lr = self._present()

    def step(self, metrics: Any = None, epoch: int | None = None) -> None:  # type: ignore[override]
        """Look at the metric of this step, a number or a tensor of one element, and reduce the rates if it is time."""
        if (trace := tracing()) is not None:
            trace.schedule(self, self.step, (metrics,) if epoch is None else (metrics, epoch))
            return
        try:
            metric = float(metrics.item() if hasattr(metrics, "item") else metrics)
        except (TypeError, ValueError):
            raise TypeError(f"ReduceLROnPlateau: step(metric) needs a number, got {metrics!r:.60}") from None
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"ReduceLROnPlateau: the optimizer has {len(groups)} groups now, min_lr was given for "
                    f"{len(self.min_lrs)}; add to scheduler.min_lrs"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(metric):
            self.best, self.num_bad_epochs = metric, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(groups, self.min_lrs, strict=True):
                present = float(group["lr"])
                lr = max(present * self.factor, least)
                if present - lr > self.eps:
                    set_rate(group, lr)
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._present()

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was made less than ``cooldown`` steps ago."""
        return self.cooldown_counter > 0

    def _is_better(self, metric: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            return sign * metric > sign * (self.best * (1.0 + sign * self.threshold))
        return sign * metric > sign * (self.best + sign * self.threshold)
