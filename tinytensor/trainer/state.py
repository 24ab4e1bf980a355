"""All that a training is, as one nest of numbers and arrays, and back: checked first, then taken whole or not at all."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.checkpoints import generator_state, restore_generator
from tinytensor.creation import Generator, default_rng
from tinytensor.trainer.callbacks import BestModel

if TYPE_CHECKING:
    from tinytensor.trainer.loop import Trainer

__all__ = ["restore", "training_state"]

_COUNTS = ("epoch", "step", "first_epoch")
_PARTS = ("model", "optimizer", "loader", "validation", "random", "progress", "history", "callbacks")
_REFUSALS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, ArithmeticError)


def training_state(trainer: Trainer) -> dict[str, Any]:
    """Parameters and buffers, optimizer, loaders, random generators, counters, history and callbacks."""
    if trainer.within and trainer.loader is not None and not hasattr(trainer.loader, "state_dict"):
        raise ValueError(
            f"a checkpoint in mid-epoch needs a loader with state_dict(), such as tt.data.DataLoader; "
            f"got {type(trainer.loader).__name__}. Write checkpoints at the end of epochs only: every_steps=None"
        )
    return {
        "model": dict(trainer.model.state_dict()),
        "optimizer": {"kind": type(trainer.optimizer).__name__, "state": trainer.optimizer.state_dict()},
        "loader": _position(trainer.loader),
        "validation": _position(trainer.validation),
        "random": {name: generator_state(found) for name, found in _generators(trainer)},
        "progress": {
            **{name: getattr(trainer, name) for name in _COUNTS},
            "within": trainer.within,
            "drained": trainer.drained, "stopped": trainer.stopped, "seconds": trainer.seconds, "sums": trainer.sums,
            "metrics": {name: metric.totals for name, metric in trainer.metrics.items()},
        },
        "history": {"rows": trainer.history.rows, "losses": np.array(trainer.history.losses)},
        "callbacks": {name: state for name, found in _named(trainer.callbacks) if (state := found.state_dict())},
    }  # fmt: skip


def _position(loader: Any) -> Any:
    return loader.state_dict() if hasattr(loader, "state_dict") else None


def _generators(trainer: Trainer) -> Iterator[tuple[str, Any]]:
    """The shared generator, and those that modules hold (as Dropout does)."""
    yield "shared", default_rng()
    for name, module in trainer.model.named_modules():
        for attribute, value in vars(module).items():
            if isinstance(value, (Generator, np.random.Generator)):
                yield f"model.{name + '.' if name else ''}{attribute}", value


def _named(callbacks: Any) -> list[tuple[str, Any]]:
    """Callbacks by the name of their class, with a number if there are several."""
    kinds = [type(found).__name__ for found in callbacks]
    return [
        (kind + (f".{kinds[:k].count(kind)}" if kind in kinds[:k] else ""), callbacks[k])
        for k, kind in enumerate(kinds)
    ]


def restore(trainer: Trainer, state: Any, source: str) -> None:
    """Take a state, all of it; ValueError, with nothing changed, if any part of it is not this training's."""
    before = None
    try:
        _check(trainer, state)
        before = copy.deepcopy(training_state(trainer))
        _take(trainer, state)
    except BaseException as error:
        if before is not None:  # optimizers, schedules and callbacks each know best what they refuse
            _take(trainer, before)
        if not isinstance(error, _REFUSALS):
            raise
        reason = " ".join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
        raise ValueError(f"{source} does not fit this training: {reason}; nothing was changed") from None


def _check(trainer: Trainer, state: Any) -> None:
    if not isinstance(state, Mapping) or set(state) != set(_PARTS):
        found = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"expected a state with {', '.join(_PARTS)}; it has {str(found)[:100]}")
    for part in ("model", "optimizer", "random", "progress", "history", "callbacks"):
        if not isinstance(state[part], Mapping):
            raise ValueError(f"its {part} is a {type(state[part]).__name__}, expected names and values")
    _check_model(trainer.model.state_dict(), state["model"])
    if (kind := state["optimizer"].get("kind")) != (own := type(trainer.optimizer).__name__):
        raise ValueError(f"it was written with the optimizer {kind!r:.60}, this training has {own}")
    _check_progress(trainer, state["progress"])
    rows, losses = state["history"].get("rows"), state["history"].get("losses")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("its history is not a list of rows")
    if not isinstance(losses, np.ndarray) or losses.ndim != 1:
        raise ValueError("its history has no losses")
    _check_names(
        "callbacks", state["callbacks"], [name for name, found in _named(trainer.callbacks) if found.state_dict()]
    )
    for name, found in _named(trainer.callbacks):
        if isinstance(found, BestModel) and state["callbacks"][name].get("model"):
            _check_model(trainer.model.state_dict(), state["callbacks"][name]["model"])
    _check_names("random generators", state["random"], [name for name, _ in _generators(trainer)])


def _check_names(what: str, found: Any, wanted: list[str]) -> None:
    if set(found) != set(wanted):
        missing = [name for name in wanted if name not in found]
        more = [name for name in found if name not in wanted]
        raise ValueError(
            f"its {what}: missing {missing or 'nothing'}, unexpected {str(more)[:100] if more else 'nothing'}"
        )


def _check_model(own: Any, found: Any) -> None:
    _check_names("model", found, list(own))
    for name, array in own.items():
        other = found[name]
        if not isinstance(other, np.ndarray) or other.shape != array.shape or other.dtype != array.dtype:
            what = f"{other.dtype} {other.shape}" if isinstance(other, np.ndarray) else type(other).__name__
            raise ValueError(f"its {name} is {what}, the model has {array.dtype} {array.shape}")


def _check_progress(trainer: Trainer, progress: Any) -> None:
    wanted = (*_COUNTS, "within", "drained", "stopped", "seconds", "sums", "metrics")
    _check_names("progress", progress, list(wanted))
    numbers = [progress[name] for name in _COUNTS]
    if not all(type(n) is int and n >= 0 for n in numbers) or progress["first_epoch"] > progress["epoch"]:
        raise ValueError(f"its epoch, step and first epoch are {str(numbers)[:60]}")
    if not all(isinstance(progress[name], bool) for name in ("within", "drained")) or not isinstance(
        progress["stopped"], (str, type(None))
    ):
        raise ValueError("its progress says neither whether an epoch was running nor whether training had stopped")
    if (
        not isinstance(progress["seconds"], (int, float))
        or getattr(progress["sums"], "shape", None) != trainer.sums.shape
    ):
        raise ValueError("its progress has no sums")
    if not isinstance(progress["metrics"], Mapping):
        raise ValueError("its progress has no metrics")
    _check_names("metrics", progress["metrics"], list(trainer.metrics))
    for name, metric in trainer.metrics.items():
        if getattr(progress["metrics"][name], "shape", None) != metric.totals.shape:
            raise ValueError(f"its sums of the metric {name} have another shape")


def _take(trainer: Trainer, state: Any) -> None:
    """Every part into its place; what can refuse comes first."""
    trainer.optimizer.load_state_dict(state["optimizer"]["state"])
    for name, found in _named(trainer.callbacks):
        if name in state["callbacks"]:
            found.load_state_dict(state["callbacks"][name])
    for loader, part in ((trainer.loader, "loader"), (trainer.validation, "validation")):
        if hasattr(loader, "load_state_dict"):
            if state[part] is None:
                raise ValueError(f"it does not know where the {part} was")
            try:
                loader.load_state_dict(state[part])
            except ValueError as error:
                raise ValueError(f"the {'training' if part == 'loader' else 'validation'} data: {error}") from None
    for name, generator in _generators(trainer):
        restore_generator(generator, state["random"][name])
    progress, rows = state["progress"], [dict(row) for row in state["history"]["rows"]]
    trainer.model.load_state_dict(state["model"])
    for name in (*_COUNTS, "within", "drained", "stopped", "seconds"):
        setattr(trainer, name, progress[name])
    trainer.sums[...] = progress["sums"]
    for name, metric in trainer.metrics.items():
        metric.totals[...] = progress["metrics"][name]
    trainer.history.rows, trainer.history.losses = rows, state["history"]["losses"].tolist()
