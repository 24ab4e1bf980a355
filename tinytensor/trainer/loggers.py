"""Callbacks that tell how the training goes: a CSV file, TensorBoard's files, a bar or lines on the screen."""

from __future__ import annotations

import csv
import math
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from tinytensor import io
from tinytensor.checkpoints import remove_leftovers
from tinytensor.trainer.callbacks import Callback
from tinytensor.trainer.events import EventWriter

if TYPE_CHECKING:
    from tinytensor.trainer.loop import Trainer

__all__ = ["CSVLogger", "Progress", "TensorBoard"]


class CSVLogger(Callback):
    """The history in a CSV file, a line after each epoch. A resumed training goes on with it: no line is there twice.

    >>> import pathlib, tempfile, numpy as np, tinytensor as tt
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.csv"
    >>> model = tt.nn.Linear(2, 1)
    >>> trainer = tt.Trainer(model, tt.nn.MSELoss(), tt.optim.SGD(model.parameters(), lr=0.1),
    ...                      callbacks=[tt.trainer.CSVLogger(path)])
    >>> _ = trainer.fit((np.ones((4, 2)), np.ones((4, 1))), epochs=2)
    >>> [line.split(",")[0] for line in path.read_text().splitlines()]
    ['epoch', '1', '2']
    """

    order, forgiving = 30, True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path
        self._whole = False  # whether the file is the history up to the last epoch

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Whether the file can be written; lines of epochs after the checkpoint that is resumed go with the first one."""
        io.check_writable(self.path)
        remove_leftovers(self.path)
        self._whole = False

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Write the epoch's line, or the whole table if the file is not in step with it."""
        history = trainer.history
        same_columns = list(row) == history.columns
        if not self._whole or not same_columns:
            history.to_csv(self.path)
            self._whole = True
            return
        self._whole = False  # as long as the line may be half-written
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(history.line(row))
        self._whole = True


class TensorBoard(Callback):
    """Each column of the history over the steps, for ``tensorboard --logdir folder``; ``every_steps``: the step's loss, too.

    Nothing but NumPy is needed to write the files.

    >>> import tempfile, numpy as np, tinytensor as tt
    >>> board = tt.trainer.TensorBoard(tempfile.mkdtemp())
    >>> model = tt.nn.Linear(2, 1)
    >>> trainer = tt.Trainer(model, tt.nn.MSELoss(), tt.optim.SGD(model.parameters(), lr=0.5), callbacks=[board])
    >>> _ = trainer.fit((np.ones((4, 2)), np.ones((4, 1))), epochs=2, batch_size=2)
    >>> [(tag, step) for tag, step, _ in tt.trainer.read_events(board.path)]
    [('loss', 2), ('lr', 2), ('loss', 4), ('lr', 4)]
    """

    order, forgiving = 30, True

    def __init__(self, folder: str | os.PathLike[str], every_steps: int | None = None) -> None:
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"TensorBoard: every_steps must be at least 1, got {every_steps}")
        self.folder, self.every_steps = folder, every_steps
        self.path: Any = None
        self._writer: EventWriter | None = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """A new event file; what a killed training wrote after the checkpoint that is resumed does not count any more."""
        self._writer = EventWriter(self.folder)
        self.path = self._writer.path
        if trainer.step:
            self._writer.restart(trainer.step)

    def on_step_end(self, trainer: Trainer) -> None:
        """The loss of the step."""
        if self._writer is not None and self.every_steps is not None and trainer.step % self.every_steps == 0:
            self._writer.scalar("step_loss", trainer.history.losses[-1], trainer.step)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """The numbers of the epoch."""
        for tag, value in row.items():
            if self._writer is not None and tag not in ("epoch", "step", "seconds") and value is not None:
                self._writer.scalar(tag, value, trainer.step)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class Progress(Callback):
    """A bar in a terminal (with rich), or about ``lines`` plain lines elsewhere.

    >>> import sys, numpy as np, tinytensor as tt
    >>> model = tt.nn.Linear(2, 1, rng=tt.rng(0))
    >>> trainer = tt.Trainer(model, tt.nn.MSELoss(), tt.optim.SGD(model.parameters(), lr=0.0),
    ...                      callbacks=[tt.trainer.Progress(sys.stdout)])
    >>> _ = trainer.fit((np.zeros((4, 2)), np.ones((4, 1))), epochs=2)
    epoch 1/2  loss 2.7197  lr 0
    epoch 2/2  loss 2.7197  lr 0
    """

    order = 40

    def __init__(self, file: TextIO | None = None, lines: int = 20) -> None:
        self.file, self.lines = file, max(1, lines)
        self._bar: Any = None
        self._task: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Show the bar, where there is a terminal."""
        out = self.file or sys.stdout
        if not out.isatty():
            return
        try:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar
        except ImportError:
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
        )
        self._bar = Bar(*columns, console=Console(file=out), refresh_per_second=10)
        self._bar.start()
        total = None if trainer.steps_per_epoch is None else trainer.steps_per_epoch * trainer.last_epoch
        self._task = self._bar.add_task("training", total=total, text="", completed=trainer.step)

    def on_step_end(self, trainer: Trainer) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=trainer.step)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Say the numbers of the epoch."""
        numbers = {k: v for k, v in row.items() if k not in ("epoch", "step", "seconds") and v is not None}
        text = "  ".join(f"{name} {value:.5g}" for name, value in numbers.items())
        if self._bar is not None:
            self._bar.update(self._task, description=f"epoch {trainer.epoch}/{trainer.last_epoch}", text=text)
            return
        every = math.ceil(trainer.last_epoch / self.lines)
        if trainer.epoch % every == 0 or trainer.epoch == trainer.last_epoch or trainer.stopped is not None:
            width = len(str(trainer.last_epoch))
            print(
                f"epoch {trainer.epoch:>{width}}/{trainer.last_epoch}  {text}", file=self.file or sys.stdout, flush=True
            )

    def on_fit_end(self, trainer: Trainer) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
