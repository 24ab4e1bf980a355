"""``RunFile``: the checkpoint of a run of the command line, written every so many steps and taken up again."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import checkpoints

if TYPE_CHECKING:
    from tinytensor.training import History, TensorEngine

__all__ = ["RunFile"]


class RunFile:
    """Where a run is kept: ``path``, every ``every`` steps; ``asked``: what, besides the recipe, decides what it computes.

    ``say`` is told if the file cannot be written; the training goes on, and tries again. Example: :func:`tinytensor.training.train`.
    """

    def __init__(
        self, path: str | os.PathLike[str], every: int, asked: dict[str, Any], say: Callable[[str], None] = print
    ) -> None:
        if every < 1:
            raise ValueError(f"checkpoint-every is a number of steps, at least 1; got {every}")
        self.path, self.every, self.asked, self.say = path, every, asked, say
        self._found: Any = None
        self._said = ""

    def find(self, recipe: Any) -> bool:
        """Read the file, if there is one; ValueError if it is no checkpoint, or that of another run."""
        if not os.path.lexists(self.path):
            return False
        found = checkpoints.load(self.path)
        wanted = {**self.asked, **asdict(recipe)}
        asked = found.get("asked") if isinstance(found, dict) else None
        if not isinstance(asked, dict):
            raise ValueError(f"{str(self.path)!r} is not the checkpoint of a run of tinytensor train on a toy dataset")
        for name, value in wanted.items():
            if name not in asked or asked[name] != value:
                raise ValueError(
                    f"{str(self.path)!r} is the checkpoint of a run with {name.replace('_', '-')} {asked.get(name)!s:.60}, "
                    f"and this one has {value}; resume with the options of that run"
                )
        self._found = found
        return True

    def begin(self, engine: TensorEngine, history: History, order: Any) -> tuple[int, int]:
        """Put everything where the file says; (epoch, steps of it that are done). (0, 0) if there was no file."""
        if self._found is None:
            return 0, 0
        try:
            return self._taken(self._found, engine, history, order)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{str(self.path)!r} does not fit this run: {reason}") from None

    def _taken(self, found: Any, engine: TensorEngine, history: History, order: Any) -> tuple[int, int]:
        epoch, batch = found["epoch"], found["batch"]
        if not all(type(n) is int and n >= 0 for n in (epoch, batch)):
            raise ValueError(f"its epoch and batch are {epoch!r:.40}, {batch!r:.40}")
        engine.optimizer.load_state_dict(found["optimizer"])
        if order is not None:
            checkpoints.restore_generator(order, found["order"])
        history.losses = [float(loss) for loss in found["losses"]]
        history.checks = [(int(k), float(a), float(b)) for k, a, b in found["checks"]]
        history.seconds = float(found["seconds"])
        if not history.checks or not math.isfinite(history.seconds):
            raise ValueError("it has no history")
        engine.load(found["model"])
        return epoch, batch

    def after_step(
        self, engine: TensorEngine, history: History, opening: Any, epoch: int, batch: int, last: bool
    ) -> None:
        """Write the file, if it is time; ``opening``: the order's generator as it was when the epoch began."""
        if len(history.losses) % self.every and not last:
            return
        state = {
            "asked": {**self.asked, **asdict(engine.recipe)}, "epoch": epoch, "batch": batch, "order": opening,
            "model": engine.model.state_dict(), "optimizer": engine.optimizer.state_dict(), "losses": np.array(history.losses),
            "checks": [list(check) for check in history.checks], "seconds": history.seconds,
        }  # fmt: skip
        try:
            checkpoints.save(self.path, state)
        except OSError as error:
            sentence = f"{error.strerror or error}; the training goes on"
            if sentence != self._said:
                self.say(sentence)
            self._said = sentence
