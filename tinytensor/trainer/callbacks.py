"""Callbacks: what happens around the steps of a training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import io
from tinytensor.optim.lr_scheduler import ReduceLROnPlateau
from tinytensor.trainer.checks import check_count

if TYPE_CHECKING:
    from tinytensor.trainer.loop import Trainer

__all__ = ["BestModel", "Callback", "Checkpoint", "EarlyStopping", "MovingAverage", "Schedule"]


class Callback:
    """The base of callbacks: write the hooks that are needed. ``trainer.stop(reason)`` ends the training.

    What ``state_dict`` gives (numbers, words, arrays, containers of them) is kept in checkpoints.

    >>> import numpy as np, tinytensor as tt
    >>> class Count(tt.trainer.Callback):
    ...     steps = 0
    ...     def on_step_end(self, trainer):
    ...         self.steps += 1
    >>> model, count = tt.nn.Linear(2, 1), Count()
    >>> trainer = tt.Trainer(model, tt.nn.MSELoss(), tt.optim.SGD(model.parameters(), lr=0.1), callbacks=[count])
    >>> _ = trainer.fit((np.ones((4, 2)), np.ones((4, 1))), epochs=3, batch_size=2)
    >>> count.steps
    6
    """

    #: Callbacks with a lower number come first: schedules 10, watchers 20, logs 30, progress 40, checkpoints 90.
    order = 50
    #: Whether a file that cannot be written (OSError) gives a :class:`TrainingWarning`, after which the training goes on.
    forgiving = False

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first epoch of a call of ``fit``, after a checkpoint was loaded."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before the first step of an epoch."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After each optimizer step: ``trainer.step``, ``trainer.history.losses[-1]``."""

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """After each epoch, with its row of the history."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """At the end of ``fit``, also if it ends by an error."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take what :meth:`state_dict` gave; ValueError, with nothing changed, for anything else."""
        if state_dict:
            raise ValueError(f"{type(self).__name__}: expected no state, got {sorted(map(str, state_dict))}")


class Schedule(Callback):
    """Step a scheduler of :mod:`tinytensor.optim.lr_scheduler` after every ``"epoch"`` or every ``"step"``.

    ``monitor``: the column of the history that a ``ReduceLROnPlateau`` watches.

    >>> import numpy as np, tinytensor as tt
    >>> model = tt.nn.Linear(2, 1)
    >>> sgd = tt.optim.SGD(model.parameters(), lr=0.1)
    >>> halve = tt.trainer.Schedule(tt.optim.lr_scheduler.StepLR(sgd, 1, 0.5), every="epoch")
    >>> trainer = tt.Trainer(model, tt.nn.MSELoss(), sgd, callbacks=[halve])
    >>> trainer.fit((np.ones((4, 2)), np.ones((4, 1))), epochs=3)["lr"]
    [0.1, 0.05, 0.025]
    """

    order = 10

    def __init__(self, scheduler: Any, every: str = "epoch", monitor: str = "val_loss") -> None:
        if every not in ("epoch", "step"):
            raise ValueError(f"Schedule: every must be 'epoch' or 'step', got {every!r}")
        self.scheduler, self.every, self.monitor = scheduler, every, monitor
        self.watches = isinstance(scheduler, ReduceLROnPlateau)
        if self.watches and every == "step":
            raise ValueError("Schedule: ReduceLROnPlateau watches a number that an epoch has; use every='epoch'")

    def on_step_end(self, trainer: Trainer) -> None:
        """Step, if every step is meant."""
        if self.every == "step":
            self.scheduler.step()

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Step, if every epoch is meant."""
        if self.every == "epoch":
            self.scheduler.step(*([_watched("Schedule", self.monitor, row)] if self.watches else []))

    def state_dict(self) -> dict[str, Any]:
        """The scheduler's."""
        return {"scheduler": type(self.scheduler).__name__, "state": self.scheduler.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Into the scheduler."""
        kind = type(self.scheduler).__name__
        if set(state_dict) != {"scheduler", "state"} or state_dict["scheduler"] != kind:
            raise ValueError(f"Schedule: the state is of {state_dict.get('scheduler')!r:.60}, the trainer has a {kind}")
        _check_alike(kind, self.scheduler.state_dict(), state_dict["state"])
        self.scheduler.load_state_dict(state_dict["state"])


def _check_alike(name: str, own: Any, found: Any) -> None:
    """Refuse a state whose numbers, words and lists are not where one's own has them: a scheduler takes anything."""
    if isinstance(own, Mapping) and isinstance(found, Mapping) and set(own) == set(found):
        for key in own:
            _check_alike(f"{name}.{key}", own[key], found[key])
    elif isinstance(own, (list, tuple)) and isinstance(found, (list, tuple)) and len(own) == len(found):
        for k, pair in enumerate(zip(own, found, strict=True)):
            _check_alike(f"{name}.{k}", *pair)
    elif not any(
        isinstance(found, kind) and (own is None or isinstance(own, kind)) for kind in (Number, str, type(None))
    ):
        raise ValueError(f"Schedule: the state's {name} is {str(found)[:40]!r}, this one has {str(own)[:40]!r}")


def _watched(what: str, monitor: str, row: dict[str, Any]) -> float:
    if row.get(monitor) is None:
        hint = "; give fit a validation set" if monitor.startswith("val_") else ""
        raise ValueError(f"{what}: there is no {monitor!r} in an epoch's row, which has {', '.join(row)}{hint}")
    return float(row[monitor])


class _Watching(Callback):
    """Knows the best value of a column so far."""

    order = 20

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{type(self).__name__}: mode must be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor, self.mode, self.min_delta = monitor, mode, abs(min_delta)
        self.best: float | None = None
        self.best_epoch = 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Whether there will be what is watched, and whether more of it is better."""
        self._larger(trainer)
        if self.monitor.startswith("val_") and trainer.validation is None:
            raise ValueError(
                f"{type(self).__name__}: there is no {self.monitor!r} without validation; give fit a validation set"
            )

    def _larger(self, trainer: Trainer) -> bool:
        name = self.monitor.removeprefix("val_")
        known = {"loss": False, **{key: metric.larger_is_better for key, metric in trainer.metrics.items()}}
        if self.mode == "auto" and known.get(name) is None:
            raise ValueError(
                f"{type(self).__name__}: is more or less {self.monitor!r} better? Say mode='max' or mode='min'"
            )
        return self.mode == "max" or (self.mode == "auto" and bool(known[name]))

    def _improved(self, trainer: Trainer, row: dict[str, Any]) -> bool:
        value = _watched(type(self).__name__, self.monitor, row)
        gain = 0.0 if self.best is None else (value - self.best) * (1 if self._larger(trainer) else -1)
        better = not np.isnan(value) and (self.best is None or gain > self.min_delta)
        if better:
            self.best, self.best_epoch = value, trainer.epoch
        return better

    def state_dict(self) -> dict[str, Any]:
        """The best value, and when it was."""
        return {"monitor": self.monitor, "best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take what :meth:`state_dict` gave."""
        if set(state_dict) != {"monitor", "best", "best_epoch"} or state_dict["monitor"] != self.monitor:
            watched = state_dict.get("monitor")
            raise ValueError(
                f"{type(self).__name__}: the state is of one that watches {watched!r:.60}, this one {self.monitor!r}"
            )
        best, epoch = state_dict["best"], state_dict["best_epoch"]
        if not isinstance(best, (float, int, type(None))) or type(epoch) is not int:
            raise ValueError(
                f"{type(self).__name__}: the state's best is {str(best)[:40]!r} of epoch {str(epoch)[:40]!r}"
            )
        self.best, self.best_epoch = best, epoch


class EarlyStopping(_Watching):
    """Stop after ``patience`` epochs without improvement of a column by more than ``min_delta``.

    ``mode``: whether "min" or "max" is better; "auto" asks the metric (``Metric.larger_is_better``).

    >>> import numpy as np, tinytensor as tt
    >>> model = tt.nn.Linear(2, 1)
    >>> trainer = tt.Trainer(model, tt.nn.MSELoss(), tt.optim.SGD(model.parameters(), lr=0.0),
    ...                      callbacks=[tt.trainer.EarlyStopping("loss", patience=2)])
    >>> len(trainer.fit((np.ones((4, 2)), np.ones((4, 1))), epochs=100)), trainer.stopped
    (3, 'loss has not improved for 2 epochs')
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 5, min_delta: float = 0.0, mode: str = "auto"
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        check_count("EarlyStopping", "patience", patience)
        self.patience = patience

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Stop, if it is time."""
        if not self._improved(trainer, row) and trainer.epoch - self.best_epoch >= self.patience:
            trainer.stop(f"{self.monitor} has not improved for {self.patience} epochs")


class BestModel(_Watching):
    """Keep the model's state of the best epoch, and give it back to the model at the end of ``fit`` (``restore``).

    ``path``: each new best one is written there, too (.safetensors).

    >>> import numpy as np, tinytensor as tt
    >>> model, best = tt.nn.Linear(2, 1), tt.trainer.BestModel("loss")
    >>> trainer = tt.Trainer(model, tt.nn.MSELoss(), tt.optim.SGD(model.parameters(), lr=0.1), callbacks=[best])
    >>> history = trainer.fit((np.ones((4, 2)), np.ones((4, 1))), epochs=3)
    >>> best.best_epoch, best.best == min(history["loss"])
    (3, True)
    """

    forgiving = True

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", restore: bool = True, path: str | os.PathLike[str] | None = None,
        min_delta: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.restore, self.path = restore, path
        self.model_state: dict[str, Any] = {}

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Whether there will be what is watched, and whether the file could be written."""
        super().on_fit_begin(trainer)
        if self.path is not None:
            io.check_writable(self.path, ".safetensors")

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Keep a copy, if it is the best one."""
        if self._improved(trainer, row):
            self.model_state = {name: np.array(array) for name, array in trainer.model.state_dict().items()}
            if self.path is not None:
                io.save(self.model_state, self.path)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Give the best state back to the model."""
        if self.restore and self.model_state and not trainer.failed:
            trainer.model.load_state_dict(self.model_state)

    def state_dict(self) -> dict[str, Any]:
        """The best value, when it was, and the model's state then."""
        return {**super().state_dict(), "model": dict(self.model_state)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take what :meth:`state_dict` gave."""
        rest = {key: value for key, value in state_dict.items() if key != "model"}
        if not isinstance(state_dict.get("model"), dict):
            raise ValueError("BestModel: the state has no model")
        super().load_state_dict(rest)
        self.model_state = dict(state_dict["model"])


class MovingAverage(Callback):
    """Update an average of the weights (:class:`tinytensor.optim.EMA`) after every step, and keep it in checkpoints.

    >>> import numpy as np, tinytensor as tt
    >>> model = tt.nn.Linear(2, 1)
    >>> ema = tt.optim.EMA(model, decay=0.9)
    >>> trainer = tt.Trainer(model, tt.nn.MSELoss(), tt.optim.SGD(model.parameters(), lr=0.1),
    ...                      callbacks=[tt.trainer.MovingAverage(ema)])
    >>> _ = trainer.fit((np.ones((4, 2)), np.ones((4, 1))), epochs=3)
    >>> with ema.average_parameters():
    ...     found = trainer.evaluate((np.ones((4, 2)), np.ones((4, 1))))
    >>> ema.n_averaged, list(found)
    (3, ['loss'])
    """

    order = 10

    def __init__(self, ema: Any) -> None:
        self.ema = ema

    def on_step_end(self, trainer: Trainer) -> None:
        """Take the weights into account."""
        self.ema.update()

    def state_dict(self) -> dict[str, Any]:
        """The average's."""
        return dict(self.ema.state_dict())

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Into the average."""
        self.ema.load_state_dict(state_dict)


class Checkpoint(Callback):
    """Write the whole state of the training, after every ``every_epochs`` epochs and, if given, every ``every_steps`` steps.

    ``fit(..., resume=path)`` goes on from there, and ends with the weights, bit by bit, that an uninterrupted training has.
    Random numbers: the shared generator's, those of generators that modules hold and of the loaders; not ``np.random``'s own.
    ``keep``: how many of the last ones are kept. A file that cannot be written (full disk) gives a :class:`TrainingWarning`,
    the one before stays, and the training goes on; with ``on_error="raise"`` it ends with an OSError, its state kept in memory.

    >>> import pathlib, tempfile, numpy as np, tinytensor as tt
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "run.safetensors"
    >>> def run(epochs, resume=None):
    ...     tt.manual_seed(0)
    ...     model = tt.nn.Linear(2, 1)
    ...     adam = tt.optim.Adam(model.parameters(), lr=0.1)
    ...     trainer = tt.Trainer(model, tt.nn.MSELoss(), adam, callbacks=[tt.trainer.Checkpoint(path)])
    ...     trainer.fit((np.eye(2), np.ones((2, 1))), epochs=epochs, batch_size=1, resume=resume)
    ...     return model.weight.data
    >>> whole = run(4)
    >>> half = run(2)
    >>> bool((run(4, resume=path) == whole).all())
    True
    """

    order = 90

    def __init__(
        self, path: str | os.PathLike[str], every_epochs: int | None = 1, every_steps: int | None = None, keep: int = 1,
        on_error: str = "warn",
    ) -> None:  # fmt: skip
        for name, value in (("every_epochs", every_epochs), ("every_steps", every_steps), ("keep", keep)):
            if value is not None or name == "keep":
                check_count("Checkpoint", name, value)
        if on_error not in ("warn", "raise"):
            raise ValueError(f"Checkpoint: on_error must be 'warn' or 'raise', got {on_error!r}")
        self.path, self.every_epochs, self.every_steps, self.keep = path, every_epochs, every_steps, keep
        self.forgiving = on_error == "warn"

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Whether the file can be written: said before any work."""
        io.check_writable(self.path, ".safetensors")

    def on_step_end(self, trainer: Trainer) -> None:
        """Write, if it is time."""
        if self.every_steps is not None and trainer.step % self.every_steps == 0:
            trainer.save(self.path, self.keep)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Write, if it is time or the last epoch."""
        due = self.every_epochs is not None and trainer.epoch % self.every_epochs == 0
        if due or trainer.stopped is not None or trainer.epoch >= trainer.last_epoch:
            trainer.save(self.path, self.keep)
