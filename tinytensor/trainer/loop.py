"""``Trainer``: epochs of steps, each of which happens whole or not at all, and what is done around them."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import checkpoints
from tinytensor.nn.utils import clip_grad_norm_, clip_grad_value_
from tinytensor.primitive import TensorBase
from tinytensor.trainer.batches import Evaluating, WholeSteps, divisor, inputs_loader, loader_of, plain, quiet
from tinytensor.trainer.callbacks import Callback, Checkpoint, Schedule
from tinytensor.trainer.checks import check_count, check_parts
from tinytensor.trainer.errors import DivergedError, TrainingWarning
from tinytensor.trainer.history import History
from tinytensor.trainer.metrics import metrics_by_name
from tinytensor.trainer.state import restore, training_state

if TYPE_CHECKING:
    from tinytensor.nn.module import Module
    from tinytensor.typing import Array

__all__ = ["Trainer"]


class Trainer:
    """Train ``model`` to lower ``loss(model(x), y)``, with ``optimizer``.

    ``scheduler``: of :mod:`tinytensor.optim.lr_scheduler`, stepped after each epoch (wrap it in :class:`Schedule` for anything
    else). ``metrics``: names (accuracy, mae, rmse, r2, top5) or :class:`Metric` objects. ``callbacks``: see :class:`Callback`.
    ``clip_grad_norm``, ``clip_grad_value``: limits of the gradient. ``accumulate``: batches whose gradients make one step; their
    mean is that of the one big batch, also where the last batch is smaller.

    Batches are tuples: inputs, and the target last. Sums over an epoch are float64, whatever the model computes in. A loss or a
    gradient that is nan or infinite raises :class:`DivergedError`, the model as before that step. Override :meth:`split`,
    :meth:`forward` or :meth:`update` for a step of another kind.

    >>> import numpy as np, tinytensor as tt
    >>> x = np.linspace(-1, 1, 64).reshape(-1, 1)
    >>> model = tt.nn.MLP(1, [16, 1], activation="tanh", rng=tt.rng(0))
    >>> adam = tt.optim.Adam(model.parameters(), lr=0.02)
    >>> trainer = tt.Trainer(model, tt.nn.MSELoss(), adam, metrics=["r2"])
    >>> history = trainer.fit((x, np.sin(3 * x)), validation=(x, np.sin(3 * x)), epochs=100, batch_size=16, generator=0)
    >>> history.columns
    ['epoch', 'step', 'loss', 'r2', 'val_loss', 'val_r2', 'lr', 'seconds']
    >>> trainer.evaluate((x, np.sin(3 * x)))["r2"] > 0.98, trainer.predict(x).shape
    (True, (64, 1))
    """

    def __init__(
        self, model: Module, loss: Any, optimizer: Any, scheduler: Any = None, metrics: Any = None,
        callbacks: Iterable[Callback] = (), clip_grad_norm: float | None = None, accumulate: int = 1,
        clip_grad_value: float | None = None,
    ) -> None:  # fmt: skip
        check_count("Trainer", "accumulate", accumulate)
        for name, limit in (("clip_grad_norm", clip_grad_norm), ("clip_grad_value", clip_grad_value)):
            if limit is not None and not limit > 0:
                raise ValueError(f"Trainer: {name} must be above 0, got {limit!r}")
        check_parts(model, loss, optimizer)
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics = metrics_by_name(metrics, loss)
        self.clip_grad_norm, self.clip_grad_value, self.accumulate = clip_grad_norm, clip_grad_value, accumulate
        several = list(callbacks)
        if scheduler is not None:
            several.append(scheduler if isinstance(scheduler, Schedule) else Schedule(scheduler))
        if wrong := [found for found in several if not isinstance(found, Callback)]:
            raise TypeError(f"Trainer: callbacks are objects of tt.trainer.Callback, got {wrong[0]!r:.60}")
        self.callbacks = sorted(several, key=lambda found: found.order)
        self.epoch = self.step = self.first_epoch = self.last_epoch = 0  # epochs and steps that are done
        self.history, self.stopped, self.failed = History(), None, False
        self.sums: Array = np.zeros(2)  # of the losses of this epoch's samples, and how many
        self.seconds = 0.0  # spent in steps
        self.within = self.drained = False  # an epoch has begun and has not ended; all of its batches were handed out
        self._whole_steps = WholeSteps()
        self.loader: Any = None
        self.validation: Any = None
        self._look()

    history: History
    #: Why the training was stopped, or None.
    stopped: str | None

    # ------------------------------------------------------------------------------------------------------- fit

    def fit(
        self, data: Any, validation: Any = None, epochs: int = 1, batch_size: int = 32, shuffle: bool = True,
        resume: str | os.PathLike[str] | bool | None = None, generator: Any = None,
    ) -> History:  # fmt: skip
        """Train for ``epochs`` epochs (more of them, if it was trained before); returns the history.

        ``data``, ``validation``: a :class:`DataLoader` (or anything that gives batches each time it is iterated over), a
        dataset, or a tuple of arrays; the latter are put in batches of ``batch_size``, those of ``data`` in a shuffled order
        (seeded by ``generator``). ``resume``: the checkpoint of a ``fit`` with the same arguments that was interrupted; what was
        left of it is done, and ends, bit by bit, where it would have ended. ``True`` takes the :class:`Checkpoint` callback's
        file, and begins anew if it is not there. A file that cannot be used is refused by ValueError, and nothing is changed.
        """
        check_count("Trainer.fit", "epochs", epochs)
        self.loader = loader_of(data, batch_size, shuffle, generator)
        self.validation = None if validation is None else loader_of(validation, batch_size, False, 0)
        self.within, self.drained, self.stopped, self.failed = False, False, None, True
        source = self._resumed(resume)
        if source is None:
            self.first_epoch = self.epoch
        else:
            restore(self, checkpoints.load(source), f"resume: {str(source)!r}")
        self.last_epoch = self.first_epoch + epochs
        modes = [(module, module.training) for module in self.model.modules()]
        begun: list[Callback] = []
        try:
            self._whole_steps.begin()
            for callback in self.callbacks:  # files that cannot be written are errors here, before any work
                begun.append(callback)
                callback.on_fit_begin(self)
            while self.epoch < self.last_epoch and self.stopped is None:
                self._epoch()
            self.failed = False
        finally:
            self._whole_steps.end()
            for module, mode in modes:
                module.training = mode
            self._end(begun)
        return self.history

    def _end(self, begun: list[Callback]) -> None:
        """Every callback that has begun ends, whatever the others raise; the first error is raised then."""
        first = sys.exception()
        for callback in begun:
            try:
                self._call("on_fit_end", only=callback)
            except BaseException as error:
                if first is not None:
                    first.add_note(f"and {type(callback).__name__}.on_fit_end: {type(error).__name__}: {error}")
                first = first or error
        if first is not None:
            raise first

    def _resumed(self, resume: Any) -> Any:
        if resume is None or resume is False:
            return None
        if resume is not True:
            return resume
        found = [callback for callback in self.callbacks if isinstance(callback, Checkpoint)]
        if not found:
            raise ValueError("Trainer.fit: resume=True takes the file of a Checkpoint callback, and there is none")
        return found[0].path if os.path.lexists(found[0].path) else None

    @property
    def steps_per_epoch(self) -> int | None:
        """Optimizer steps in an epoch, if the loader knows its length."""
        try:
            return math.ceil(len(self.loader) / self.accumulate)
        except TypeError:  # a stream
            return None

    def stop(self, reason: str) -> None:
        """End the training after the present step; ``reason`` is kept in ``stopped``."""
        self.stopped = reason

    def _epoch(self) -> None:
        if not self.within:  # an epoch that is resumed keeps its sums
            self.sums[...] = 0
            for metric in self.metrics.values():
                metric.reset()
            self.within, self.drained = True, False
            self._call("on_epoch_begin")
        self.model.train()
        self._look()
        for group in () if self.drained else self._groups():
            start = perf_counter()
            with self._whole_steps:
                loss = self.update(group)
                self.seconds += perf_counter() - start
                self.step += 1
                self.history.losses.append(loss)
            self._call("on_step_end")
            if self.stopped is not None:
                break
        if self.sums[1] == 0:
            raise ValueError("Trainer.fit: the loader gave no batch; is the dataset empty, or smaller than one batch?")
        self.within = False
        self.epoch += 1
        row = self._row()
        self.history.append(row)
        self._call("on_epoch_end", row)

    def _groups(self) -> Iterator[list[Any]]:
        """Batches in lists of ``accumulate``; the last may be shorter. A list is given as soon as it is full."""
        group: list[Any] = []
        for batch in self.loader:
            group.append(batch)
            if len(group) == self.accumulate:
                yield group
                group = []
        if group:
            self.drained = True  # the loader is at its next epoch; a checkpoint after this step must know
            yield group

    def _row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"epoch": self.epoch, "step": self.step, "loss": float(self.sums[0] / self.sums[1])}
        row.update({name: float(metric.compute()) for name, metric in self.metrics.items()})
        if self.validation is not None:
            row.update({f"val_{name}": value for name, value in self.evaluate(self.validation).items()})
        return {**row, "lr": float(self.optimizer.param_groups[0]["lr"]), "seconds": round(self.seconds, 4)}

    def _call(self, hook: str, *arguments: Any, only: Callback | None = None) -> None:
        for callback in self.callbacks if only is None else [only]:
            try:
                getattr(callback, hook)(self, *arguments)
            except OSError as error:
                if not callback.forgiving:
                    raise
                sentence = f"{type(callback).__name__}: {error.strerror or error}; the training goes on"
                warnings.warn(sentence, TrainingWarning, stacklevel=4)

    # ------------------------------------------------------------------------------------------------------ a step

    def split(self, batch: Any) -> tuple[tuple[Any, ...], Any]:
        """(inputs, target) of a batch; the target comes last."""
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            what = f"{len(batch)} array" if isinstance(batch, (tuple, list)) else type(batch).__name__
            raise TypeError(
                f"Trainer: a batch is a tuple (inputs …, target), got {what}; give fit((x, y)), or override Trainer.split"
            )
        return tuple(batch[:-1]), batch[-1]

    def forward(self, inputs: tuple[Any, ...]) -> Any:
        """What the loss and the metrics see of the model."""
        return self.model(*inputs)

    def update(self, batches: list[Any]) -> float:
        """One optimizer step on the batches together; returns their loss. Raises :class:`DivergedError` with nothing changed."""
        parts = [self.split(batch) for batch in batches]
        counts = [divisor(self.loss, target, len(inputs[0])) for inputs, target in parts]
        weights = [1.0] * len(parts)
        if len(parts) > 1 and not self._summed:
            weights = [count / (sum(counts) or 1) for count in counts]
        buffers = [(place, name, place[name], place[name]._data.copy()) for place, name in self._buffers]
        asked = 0

        def closure() -> float:
            nonlocal asked
            asked += 1
            self.optimizer.zero_grad()
            total = 0.0
            for (inputs, target), count, weight in zip(parts, counts, weights, strict=True):
                outputs = self.forward(inputs)
                loss = self._loss(outputs, target)
                if weight:  # a batch without a label that counts has no mean
                    (loss if weight == 1 else loss * weight).backward()
                value = loss.item() if weight else 0.0
                total += value * weight
                if asked == 1:  # LBFGS asks several times; it is the first that counts
                    self._check_finite(value)
                    self._record(outputs, target, value, count)
            if asked == 1:
                self._check_gradients()
            self._clip()
            return total

        kept = self.sums.copy(), [metric.totals.copy() for metric in self.metrics.values()]
        try:
            with quiet():
                return float(self.optimizer.step(closure))
        except BaseException:
            for place, name, tensor, old in buffers:  # a forward pass writes into running means
                place[name] = tensor
                tensor._data[...] = old
            self.sums[...] = kept[0]
            for metric, totals in zip(self.metrics.values(), kept[1], strict=True):
                metric.totals[...] = totals
            raise

    def _look(self) -> None:
        """Find the model's parameters and buffers: once an epoch, as a walk through the modules costs as much as a layer."""
        self._parameters = list(self.model.named_parameters())
        self._buffers = [(vars(m), name) for m in self.model.modules() for name in m._buffer_names if name in vars(m)]

    @property
    def _summed(self) -> bool:
        return getattr(self.loss, "reduction", "mean") == "sum"

    def _loss(self, outputs: Any, target: Any) -> Any:
        loss = self.loss(outputs, target)
        if not isinstance(loss, TensorBase) or loss._data.size != 1:
            what = f"shape {loss._data.shape}" if isinstance(loss, TensorBase) else f"a {type(loss).__name__}"
            raise ValueError(f"Trainer: the loss must be a tensor of one number, got {what}; is its reduction 'none'?")
        return loss

    def _record(self, outputs: Any, target: Any, loss: float, count: float) -> None:
        self.sums += loss if self._summed else loss * count, count
        if self.metrics:
            data, wanted = plain(outputs), plain(target)
            for metric in self.metrics.values():
                metric.update(data, wanted)

    def _where(self) -> str:
        lr = self.optimizer.param_groups[0]["lr"]
        return f"at step {self.step + 1} (epoch {self.epoch + 1}), at learning rate {lr:.4g}; the model is as before this step"

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss} {self._where()}: try a lower rate, clip_grad_norm=1, or look for such numbers in the data")  # fmt: skip

    def _check_gradients(self) -> None:
        for name, p in self._parameters:
            g = p.grad
            if g is not None and not np.isfinite(np.vdot(g, g)) and not np.isfinite(g).all():
                raise DivergedError(f"the gradient of {name} became nan or infinite {self._where()}: look with tt.detect_anomaly()")  # fmt: skip

    def _clip(self) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        if self.clip_grad_value is not None:
            clip_grad_value_(parameters, self.clip_grad_value)
        if self.clip_grad_norm is not None:
            clip_grad_norm_(parameters, self.clip_grad_norm)

    # ------------------------------------------------------------------------------------------- evaluate, predict

    def evaluate(self, data: Any, batch_size: int = 256) -> dict[str, float]:
        """Loss and metrics on data (as :meth:`fit` takes it), the model in evaluation mode, nothing recorded."""
        metrics = deepcopy(self.metrics)
        for metric in metrics.values():
            metric.reset()
        total = samples = 0.0
        with Evaluating(self.model):
            for batch in loader_of(data, batch_size, False, 0):
                inputs, target = self.split(batch)
                outputs = self.forward(inputs)
                loss, count = self._loss(outputs, target).item(), divisor(self.loss, target, len(inputs[0]))
                if count:
                    total, samples = total + (loss if self._summed else loss * count), samples + count
                for metric in metrics.values():
                    metric.update(plain(outputs), plain(target))
        if not samples:
            raise ValueError("Trainer.evaluate: there are no samples")
        return {"loss": total / samples, **{name: float(metric.compute()) for name, metric in metrics.items()}}

    def predict(self, data: Any, batch_size: int = 256) -> Array:
        """The model's outputs for inputs, in evaluation mode, batch by batch: an array.

        ``data``: an array of inputs; or a loader or dataset of batches (inputs …, target), whose targets are left out.
        """
        pieces = []
        with Evaluating(self.model):
            for batch in inputs_loader(data, batch_size):
                several = isinstance(batch, (tuple, list))
                inputs = self.split(batch)[0] if several and len(batch) > 1 else (batch[0] if several else batch,)
                outputs = self.forward(inputs)
                if not isinstance(outputs, (TensorBase, np.ndarray)):
                    what = type(outputs).__name__
                    raise TypeError(
                        f"Trainer.predict: the model gave a {what}, expected a tensor; override Trainer.forward"
                    )
                pieces.append(np.array(plain(outputs)))
        if not pieces:
            raise ValueError("Trainer.predict: there are no samples")
        return np.concatenate(pieces)

    # ------------------------------------------------------------------------------------------------- checkpoints

    def save(self, path: str | os.PathLike[str], keep: int = 1) -> Path:
        """Write the whole state of the training: see :func:`tinytensor.checkpoints.save`."""
        return checkpoints.save(path, training_state(self), keep)

    def load(self, path: str | os.PathLike[str]) -> None:
        """Take model, optimizer, schedules, random state and history from a checkpoint, to evaluate or to train further.

        To finish the training that wrote it, use ``fit(..., resume=path)``. Raises ValueError, with nothing changed, for a file
        that is damaged or of another training.
        """
        loaders = self.loader, self.validation
        self.loader = self.validation = None
        try:
            restore(self, checkpoints.load(path), f"load: {str(path)!r}")
        finally:
            self.loader, self.validation = loaders
