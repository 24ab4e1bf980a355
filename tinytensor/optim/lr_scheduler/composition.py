"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from tinytensor.graph import tracing
from tinytensor.optim.lr_scheduler.base import LRScheduler, set_rate
from tinytensor.optim.lr_scheduler.plateau import ReduceLROnPlateau
from tinytensor.optim.optimizer import Optimizer

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Composed(LRScheduler):
    """Schedulers of one optimizer, stepped by this one."""

    _schedulers: list[LRScheduler]

    def _compose(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name}: expected at least one scheduler, got none")
        for i, scheduler in enumerate(schedulers):
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(f"{name}: expected schedulers, number {i} is a {type(scheduler).__name__}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{name}: ReduceLROnPlateau needs a metric in each step; step it yourself, beside this one"
                )
            if scheduler.optimizer is not (optimizer or schedulers[0].optimizer):
                raise ValueError(f"{name}: all schedulers must belong to the same optimizer, number {i} does not")
        self._attach(optimizer or schedulers[0].optimizer)
        self._schedulers = list(schedulers)

    def _update_lr(self, epoch: int, closed: bool = False) -> None:
        """Begin, inside another composition."""
        for group in self.optimizer.param_groups:
            set_rate(group, group["initial_lr"])
        self._initial_step()

    def state_dict(self) -> dict[str, Any]:
        """The state of each scheduler, in a list, and of this one."""
        state = {k: v for k, v in vars(self).items() if k not in ("optimizer", "_schedulers", "_is_initial")}
        state = {k: list(v) if isinstance(v, list) else v for k, v in state.items()}
        return {**state, "_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take what :meth:`state_dict` gave, in all of the schedulers or, if one of them refuses, in none."""
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"{type(self).__name__}: expected a state, as state_dict() gives it, got {state_dict!r:.60}"
            )
        own, parts = self.state_dict(), state_dict.get("_schedulers", ())
        if any(k not in state_dict for k in own) or len(parts) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__}: this is the state of another scheduler: expected {sorted(own)} with "
                f"{len(self._schedulers)} schedulers, got {sorted(state_dict)} with {len(parts)}"
            )
        before = [scheduler.state_dict() for scheduler in self._schedulers]
        try:
            for scheduler, part in zip(self._schedulers, parts, strict=True):
                scheduler.load_state_dict(part)
        except BaseException:
            for scheduler, part in zip(self._schedulers, before, strict=True):
                scheduler.load_state_dict(part)
            raise
        vars(self).update({k: state_dict[k] for k in own if k != "_schedulers"})


class SequentialLR(_Composed):
    """The first scheduler up to the first milestone, then the second from its beginning, and so on: a warm-up, and more.

    (``torch.optim.lr_scheduler.SequentialLR``)

    >>> import tinytensor as tt
    >>> from tinytensor.optim.lr_scheduler import ExponentialLR, LinearLR, SequentialLR
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> parts = [LinearLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> scheduler = SequentialLR(optimizer, parts, milestones=[2])
    >>> rates = scheduler.get_last_lr()
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    ...     rates += scheduler.get_last_lr()
    >>> rates
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        self._compose(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(milestones):
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers need {len(schedulers) - 1} milestones in rising order, got "
                f"{list(milestones)}"
            )
        self._milestones, self.last_epoch = list(milestones), last_epoch + 1
        for group in optimizer.param_groups:  # each scheduler made its first step when it was made: take them back
            set_rate(group, group["initial_lr"])
        self._undo(self)
        self._initial_step()

    def _initial_step(self) -> None:
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = list(first.get_last_lr())

    def _undo(self, scheduler: LRScheduler) -> None:
        if isinstance(scheduler, _Composed):
            if isinstance(scheduler, SequentialLR) and scheduler is not self:
                scheduler.last_epoch = 0
                self._undo(scheduler._schedulers[bisect_right(scheduler._milestones, 0)])
                return  # its other parts were taken back when it was made
            for part in scheduler._schedulers:
                self._undo(part)
        else:
            scheduler.last_epoch -= 1

    def step(self) -> None:  # type: ignore[override]
        """Go on by one."""
        if (trace := tracing()) is not None:
            trace.schedule(self, self.step, ())
            return
        epoch = self.last_epoch + 1
        index = bisect_right(self._milestones, epoch)
        scheduler = self._schedulers[index]
        if index > 0 and self._milestones[index - 1] == epoch:
            scheduler._update_lr(0, closed=True)
        else:
            scheduler.step()
        self.last_epoch, self._last_lr = epoch, list(scheduler.get_last_lr())


class ChainedScheduler(_Composed):
    """All schedulers at every step, each from the rate that the one before left.

    (``torch.optim.lr_scheduler.ChainedScheduler``)

    >>> import tinytensor as tt
    >>> from tinytensor.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=1.0)
    >>> scheduler = ChainedScheduler([ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)])
    >>> optimizer.step(); scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        self._compose(schedulers, optimizer)
        self._last_lr = self._present()

    def _initial_step(self) -> None:
        for scheduler in self._schedulers:
            scheduler._initial_step()
        self._last_lr = self._present()

    def step(self) -> None:  # type: ignore[override]
        """Step all of them."""
        if (trace := tracing()) is not None:
            trace.schedule(self, self.step, ())
            return
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._present()
