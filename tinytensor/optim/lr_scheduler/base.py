"""``LRScheduler``: what schedules of the learning rate share."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from operator import index
from typing import Any

import numpy as np

from tinytensor.graph import tracing
from tinytensor.inplace import updating
from tinytensor.optim import checks
from tinytensor.optim.optimizer import Optimizer
from tinytensor.tensor import Tensor

__all__ = ["LRScheduler", "cosine", "inside", "number", "positive", "set_rate"]


class LRScheduler:
    """What schedulers share: call ``step()`` after ``optimizer.step()``, once an epoch or once a batch.

    A subclass writes ``get_lr``: the rate of each group at ``last_epoch``, which counts the steps from 0. ``base_lrs`` are
    the rates that the optimizer began with. ``last_epoch`` other than −1 continues with an optimizer that was scheduled
    before (its groups have ``initial_lr``); to continue from a file use ``load_state_dict``.

    >>> import tinytensor as tt
    >>> class Halving(tt.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base / 2**self.last_epoch for base in self.base_lrs]
    >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=0.8)
    >>> scheduler = Halving(optimizer)
    >>> for _ in range(2):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.2]
    """

    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: last_epoch={last_epoch} continues a schedule, but group {i} of the optimizer "
                    "has no initial_lr; load the optimizer's state first, or leave last_epoch out"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _attach(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: expected an optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer

    def _initial_step(self) -> None:
        self._step_count, self._is_initial = 0, True
        try:
            self.step()
        finally:
            self._is_initial = False

    def _present(self) -> list[float]:
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._present()]

    def _each(self, name: str, value: Any) -> list[Any]:
        """A value for each group of the optimizer."""
        count = len(self.optimizer.param_groups)
        if not isinstance(value, (list, tuple)):
            return [value] * count
        if len(value) != count:
            raise ValueError(f"{type(self).__name__}: {name} has {len(value)} values, the optimizer {count} groups")
        return list(value)

    def get_last_lr(self) -> list[float]:
        """The rates that the last step set, one for each group."""
        trace = tracing()
        return self._last_lr if trace is None else trace.rates(self)

    def get_lr(self) -> list[float]:
        """The rates at ``last_epoch``; subclasses write it."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr(); define it in the class")

    def step(self, epoch: float | None = None) -> None:
        """Go on by one, or to ``epoch``, and set the rates; nothing changes if that raises."""
        if (trace := tracing()) is not None:
            trace.schedule(self, self.step, () if epoch is None else (epoch,))
            return
        optimizer = self.optimizer
        if self._step_count == 1 and type(optimizer).step is Optimizer.step and not optimizer._stepped:
            warnings.warn(
                f"{type(self).__name__}: step() was called before optimizer.step(), which skips the first rate of the "
                "schedule. Call optimizer.step() first.",
                UserWarning,
                stacklevel=2,
            )
        if epoch is None:
            self._update_lr(self.last_epoch + 1)
        else:
            self._update_lr(self._epoch(epoch), closed=True)
        self._step_count += 1

    def _epoch(self, epoch: Any) -> Any:
        """An epoch to go to, if it makes sense."""
        return positive(self, "epoch", epoch, least=0)

    def _update_lr(self, epoch: Any, closed: bool = False) -> None:
        """Set the rates of an epoch: from the present ones, or by the closed form if there is one."""
        before, self.last_epoch = self.last_epoch, epoch
        try:
            values = [number(self, "a rate", lr) for lr in (self._get_closed_form_lr() if closed else self.get_lr())]
        except BaseException:
            self.last_epoch = before
            raise
        for group, lr in zip(self.optimizer.param_groups, values, strict=True):
            set_rate(group, lr)
        self._last_lr = self._present()

    def _get_closed_form_lr(self) -> list[float]:
        return self.get_lr()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer: numbers, strings and lists, which JSON can hold (functions are left out).

        >>> import tinytensor as tt
        >>> optimizer = tt.optim.SGD([tt.nn.Parameter([1.0])], lr=0.1)
        >>> tt.optim.lr_scheduler.ExponentialLR(optimizer, 0.9).state_dict()
        {'gamma': 0.9, 'base_lrs': [0.1], 'last_epoch': 0, '_step_count': 1, '_last_lr': [0.1]}
        """
        state = {k: v for k, v in vars(self).items() if k not in ("optimizer", "_is_initial") and not callable(v)}
        return {k: list(v) if isinstance(v, list) else v for k, v in state.items() if not _functions(v)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take what :meth:`state_dict` gave; the optimizer's rates come with the optimizer's own state.

        Raises ValueError, with nothing changed, if it is the state of another kind of scheduler.
        """
        own = self.state_dict()
        if not isinstance(state_dict, Mapping):
            raise TypeError(
                f"{type(self).__name__}: expected a state, as state_dict() gives it, got {state_dict!r:.60}"
            )
        missing = [k for k in own if k not in state_dict]
        unexpected = [k for k in state_dict if k not in own and not k.startswith("_") and not _functions(state_dict[k])]
        if missing or unexpected:
            raise ValueError(
                f"{type(self).__name__}: this is the state of another scheduler: missing {missing or 'nothing'}, "
                f"unexpected {unexpected or 'nothing'}"
            )
        for k in own:
            saved, present = state_dict[k], own[k]
            alike = isinstance(saved, type(present)) or present is None or isinstance(present, (int, float, bool))
            if not alike or (k == "base_lrs" and len(saved) != len(present)):
                raise ValueError(
                    f"{type(self).__name__}: the state has {saved!r:.60} for {k}, expected such as {present!r:.60}"
                )
        vars(self).update({k: list(v) if isinstance(v, list) else v for k, v in state_dict.items() if k in own})


def _functions(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(callable(v) or v is None for v in value)


def cosine(start: float, end: float, part: float) -> float:
    """From start to end on half a cosine, ``part`` of the way from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def number(scheduler: Any, name: str, value: Any) -> float:
    """``value``, if it is a number."""
    return float(checks.number(type(scheduler).__name__, name, value))


def positive(scheduler: Any, name: str, value: Any, least: int = 1) -> int:
    """``value``, if it is an integer from ``least``."""
    try:
        found = index(value)
    except TypeError:
        found = least - 1
    if isinstance(value, bool) or found < least:
        kind = "a positive integer" if least == 1 else f"an integer from {least}"
        raise ValueError(f"{type(scheduler).__name__}: {name} must be {kind}, got {value!r}")
    return found


def inside(scheduler: Any, name: str, value: float) -> None:
    """Raise unless ``value`` lies in [0, 1]."""
    if not 0 <= number(scheduler, name, value) <= 1:
        raise ValueError(f"{type(scheduler).__name__}: {name} must lie in [0, 1], got {value}")


def set_rate(group: dict[str, Any], lr: float) -> None:
    """Set the rate of a group; where it is an array or a tensor, which others may look at, in its memory."""
    present = group["lr"]
    if isinstance(present, Tensor):
        updating(present)[...] = lr
    elif isinstance(present, np.ndarray):
        present[...] = lr
    else:
        group["lr"] = lr
