"""The figure of a training on a table: its losses, and what was predicted for the rows held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.plot.figures import _INK, PALETTE, _axes, _figure, _tidy, confusion

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["epoch_curves", "predicted_against_true", "table_figure"]

_MOST_CLASSES = 25
_MOST_POINTS = 5_000


def epoch_curves(history: Sequence[tuple[int, float, float]], best: int, ax: Any = None) -> Any:
    """Draw (epoch, training loss, validation loss), and the epoch whose weights were kept; returns the axes.

    >>> from matplotlib.figure import Figure
    >>> from tinytensor.plot.tables import epoch_curves
    >>> ax = epoch_curves([(1, 1.0, 1.1), (2, 0.5, 0.7), (3, 0.4, 0.8)], 2, Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['training', 'validation', 'kept: epoch 2']
    """
    ax = _axes(ax)
    epochs, training, validation = np.array(history, float).T
    look = {"linewidth": 1.5, "marker": "o" if len(epochs) == 1 else ""}
    ax.plot(epochs, training, color=PALETTE[0], label="training", **look)
    ax.plot(epochs, validation, color=PALETTE[1], linestyle="--", label="validation", **look)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.axvline(best, color=_INK, linewidth=0.8, linestyle=":", label=f"kept: epoch {best}")
    if min(training.min(), validation.min()) > 0:
        ax.set_yscale("log")
    ax.legend(fontsize=8, frameon=False)
    _tidy(ax, "Loss", "epoch", "mean loss of a row")
    return ax


def predicted_against_true(true: Any, predicted: Any, ax: Any = None) -> Any:
    """Draw each prediction over the true value, and the line on which they agree; returns the axes.

    >>> from matplotlib.figure import Figure
    >>> from tinytensor.plot.tables import predicted_against_true
    >>> predicted_against_true([1.0, 2.0], [1.5, 2.0], Figure().subplots()).get_xlabel()
    'true'
    """
    ax = _axes(ax)
    x, y = np.asarray(true, float), np.asarray(predicted, float)
    if len(x) > _MOST_POINTS:
        chosen = np.random.default_rng(0).choice(len(x), _MOST_POINTS, replace=False)
        x, y = x[chosen], y[chosen]
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    ax.plot([low, high], [low, high], color=_INK, linewidth=0.9, label="prediction is right")
    ax.scatter(x, y, s=14, color=PALETTE[0], alpha=0.6 if len(x) < 1000 else 0.25, linewidths=0, label="rows held out")
    ax.legend(fontsize=8, frameon=False)
    _tidy(ax, "Predicted against true, rows held out", "true", "predicted")
    return ax


def table_figure(
    title: str,
    history: Sequence[tuple[int, float, float]],
    best: int,
    true: Any,
    predicted: Any,
    names: Sequence[str] = (),
) -> Any:
    """The figure of ``tinytensor train data.csv``: losses, and confusion (``names`` of classes) or predicted against true.

    With classes, ``true`` and ``predicted`` are their numbers; of more than 25 the most frequent are drawn.
    """
    figure = _figure(10.5, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.15])
    figure.suptitle(title, x=0.01, ha="left", fontsize=11.5, color=_INK)
    epoch_curves(history, best, left)
    if not names:
        predicted_against_true(true, predicted, right)
        return figure
    true, predicted, shown = _most_frequent(np.asarray(true), np.asarray(predicted), len(names))
    confusion(true, predicted, len(shown), right)
    labels = [names[k] if len(names[k]) <= 16 else names[k][:7] + "…" + names[k][-8:] for k in shown]
    labels = [label.replace("$", r"\$") for label in labels]
    tilted = sum(map(len, labels)) > 40
    turn = 90 if len(shown) > 12 else 40
    right.set_xticks(
        range(len(shown)), labels, rotation=turn if tilted else 0, ha="right" if tilted and turn < 90 else "center"
    )
    right.set_yticks(range(len(shown)), labels)
    if len(shown) < len(names):
        right.set_title(
            f"The {len(shown)} most frequent classes of {len(names)}", loc="left", fontsize=10.5, color=_INK
        )
    return figure


def _most_frequent(true: Array, predicted: Array, classes: int) -> tuple[Array, Array, list[int]]:
    """The rows of at most 25 classes, renumbered, and those classes."""
    if classes <= _MOST_CLASSES:
        return true, predicted, list(range(classes))
    shown = np.sort(np.argsort(-np.bincount(true, minlength=classes), kind="stable")[:_MOST_CLASSES])
    place = np.full(classes, -1)
    place[shown] = np.arange(len(shown))
    both = (place[true] >= 0) & (place[predicted] >= 0)
    return place[true[both]], place[predicted[both]], shown.tolist()
