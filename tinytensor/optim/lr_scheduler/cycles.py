"""Schedules that go up and down, with the momentum the other way round: one cycle, or many."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from tinytensor.optim.lr_scheduler.base import LRScheduler, cosine, inside, number, positive, set_rate
from tinytensor.optim.optimizer import Optimizer

__all__ = ["CyclicLR", "OneCycleLR"]


class _Cycle(LRScheduler):
    """A schedule that moves the momentum too: ``momentum``, or the first of ``betas``, whichever the optimizer has."""

    cycle_momentum: bool
    use_beta1: bool

    def _begin_momentum(self, base: Any, largest: Any, last_epoch: int) -> None:
        options = self.optimizer.defaults
        if "momentum" not in options and "betas" not in options:
            raise ValueError(
                f"{type(self).__name__}: {type(self.optimizer).__name__} has neither momentum nor betas; pass "
                "cycle_momentum=False"
            )
        self.use_beta1 = "betas" in options
        self.base_momentums, self.max_momentums = (
            self._each("base_momentum", base),
            self._each("max_momentum", largest),
        )
        if last_epoch == -1:
            pairs = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, pairs, strict=True):
                group["base_momentum"], group["max_momentum"] = low, high
                self._set_momentum(group, high)

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum

    def _momentum(self, group: dict[str, Any], i: int) -> float:
        raise NotImplementedError

    def _update_lr(self, epoch: int, closed: bool = False) -> None:
        super()._update_lr(epoch, closed)
        if self.cycle_momentum:
            for i, group in enumerate(self.optimizer.param_groups):
                self._set_momentum(group, self._momentum(group, i))


class OneCycleLR(_Cycle):
    """lr from max_lr / div_factor up to max_lr, and down to 1 / final_div_factor of where it began, in ``total_steps``.

    Up for ``pct_start`` of the steps; along half a cosine, or a line (``anneal_strategy="linear"``); ``three_phase`` goes
    down as it went up before it goes to the end. Momentum (or β₁) moves between ``max_momentum`` and ``base_momentum``.
    Step it after every batch. Smith and Topin, 2018; follows ``torch.optim.lr_scheduler.OneCycleLR``.

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=0.1, momentum=0.9)
    >>> scheduler = tt.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10, pct_start=0.5)
    >>> optimizer.step()
    >>> for _ in range(4):
    ...     scheduler.step()
    >>> scheduler.get_last_lr(), optimizer.param_groups[0]["momentum"]
    ([1.0], 0.85)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        if total_steps is not None:
            self.total_steps = positive(self, "total_steps", total_steps)
        elif epochs is None or steps_per_epoch is None:
            raise ValueError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
        else:
            self.total_steps = positive(self, "epochs", epochs) * positive(self, "steps_per_epoch", steps_per_epoch)
        inside(self, "pct_start", pct_start)
        for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            if not number(self, name, value) > 0:
                raise ValueError(f"OneCycleLR: {name} must be positive, got {value}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy is 'cos' or 'linear', got {anneal_strategy!r}")
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        self.pct_start, self.three_phase = float(pct_start), three_phase
        largest = [number(self, "max_lr", lr) for lr in self._each("max_lr", max_lr)]
        if cycle_momentum:
            self._begin_momentum(base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, largest, strict=True):
                group["initial_lr"], group["max_lr"] = top / div_factor, top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take a state; PyTorch's has the phases written out."""
        saved = dict(state_dict) if isinstance(state_dict, Mapping) else state_dict
        if isinstance(saved, dict) and (phases := saved.pop("_schedule_phases", None)):
            saved["anneal_strategy"] = saved.pop("_anneal_func_type", self.anneal_strategy)
            saved["three_phase"] = len(phases) == 3
            saved["pct_start"] = (phases[0]["end_step"] + 1) / saved["total_steps"]
            saved |= {k: v for k, v in self.state_dict().items() if k.endswith("_momentums")}
        super().load_state_dict(saved)

    def _phases(self) -> list[tuple[float, str, str, str, str]]:
        """The last step of each phase, and the rates and momenta that it goes between."""
        end, up = float(self.total_steps - 1), self.pct_start * self.total_steps - 1
        rise = (up, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if not self.three_phase:
            return [rise, (end, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        back = 2 * self.pct_start * self.total_steps - 2
        fall = (back, "max_lr", "initial_lr", "base_momentum", "max_momentum")
        return [rise, fall, (end, "initial_lr", "min_lr", "max_momentum", "max_momentum")]

    def _along(self, group: dict[str, Any], momentum: bool) -> float:
        begin, phases = 0.0, self._phases()
        for i, (end, *names) in enumerate(phases):
            start, stop = (group[name] for name in (names[2:] if momentum else names[:2]))
            if self.last_epoch <= end or i == len(phases) - 1:
                break
            begin = end
        part = (self.last_epoch - begin) / (end - begin) if end != begin else 1.0
        value = cosine(start, stop, part) if self.anneal_strategy == "cos" else (stop - start) * part + start
        return float(value)

    def get_lr(self) -> list[float]:
        """The rates on the cycle. Raises ValueError after its end."""
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"OneCycleLR: step {self.last_epoch} of a cycle of {self.total_steps} steps; give a larger total_steps, or "
                "step once for each batch only"
            )
        return [self._along(group, momentum=False) for group in self.optimizer.param_groups]

    def _momentum(self, group: dict[str, Any], i: int) -> float:
        return self._along(group, momentum=True)


class CyclicLR(_Cycle):
    """lr = base_lr + (max_lr − base_lr) · (up and down again in ``step_size_up`` + ``step_size_down`` steps) · scale.

    scale: 1 (``mode="triangular"``), half of the last cycle's (``"triangular2"``), γᵗ (``"exp_range"``), or ``scale_fn`` of
    the cycle, or of the step (``scale_mode="iterations"``). Momentum (or β₁) goes the other way. Smith, 2017; follows
    ``torch.optim.lr_scheduler.CyclicLR``.

    >>> import tinytensor as tt
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=0.1, momentum=0.9)
    >>> scheduler = tt.optim.lr_scheduler.CyclicLR(optimizer, base_lr=0.5, max_lr=1.0, step_size_up=2)
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.75]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self._attach(optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"CyclicLR: mode is 'triangular', 'triangular2' or 'exp_range', got {mode!r}")
        bases = [number(self, "base_lr", lr) for lr in self._each("base_lr", base_lr)]
        self.max_lrs = [number(self, "max_lr", lr) for lr in self._each("max_lr", max_lr)]
        up = number(self, "step_size_up", step_size_up)
        down = up if step_size_down is None else number(self, "step_size_down", step_size_down)
        if not (up > 0 and down > 0):
            raise ValueError(
                f"CyclicLR: the steps up and down must be positive, got {step_size_up} and {step_size_down}"
            )
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        self.mode, self.gamma, self._scale_fn_custom = mode, number(self, "gamma", gamma), scale_fn
        self.scale_mode = scale_mode if scale_fn else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._begin_momentum(base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, bases, strict=True):
                set_rate(group, lr)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = bases

    def _height(self) -> float:
        """How far between bottom and top, scaled."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        at = cycle if self.scale_mode == "cycle" else self.last_epoch
        if self._scale_fn_custom is not None:
            return height * self._scale_fn_custom(at)
        return (
            height * {"triangular": 1.0, "triangular2": 1 / 2.0 ** (cycle - 1), "exp_range": self.gamma**at}[self.mode]
        )

    def get_lr(self) -> list[float]:
        """The rates on the cycle."""
        height = self._height()
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def _momentum(self, group: dict[str, Any], i: int) -> float:
        low, high = self.base_momentums[i], self.max_momentums[i]
        return float(high - (high - low) * self._height())
