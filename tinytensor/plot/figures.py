"""Figures of training: decision boundaries, curves, confusion, and the speed of two engines.

matplotlib loads when a figure is drawn. Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.graph import no_grad
from tinytensor.io import check_writable, replacing
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.comparison import Comparison
    from tinytensor.data import ToyDataset
    from tinytensor.training import History, TensorEngine
    from tinytensor.typing import Array

__all__ = [
    "accuracy_curves", "comparison_figure", "confusion", "decision_boundary", "loss_curve", "save_figure",
    "training_figure",
]  # fmt: skip

#: Okabe and Ito's palette, in the order in which classes and lines take from it.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000", "#7F7F7F", "#882255")
_INK, _GREY = "#222222", "#8c8c8c"


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError("figures need matplotlib: pip install 'tinytensor[plot]'") from None
    return plt.gca()


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure  # without pyplot: no window, no global state
    except ImportError:
        raise ImportError("figures need matplotlib: pip install 'tinytensor[plot]'") from None
    return Figure(figsize=(width, height), dpi=144, layout="constrained", facecolor="white")


def _tidy(ax: Any, title: str, xlabel: str, ylabel: str, grid: bool = True) -> None:
    ax.set_title(title, loc="left", fontsize=10.5, color=_INK)
    ax.set_xlabel(xlabel, color=_INK)
    ax.set_ylabel(ylabel, color=_INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(colors="#555555", labelsize=8.5)
    if grid:
        ax.grid(True, color="#e6e6e6", linewidth=0.6)
        ax.set_axisbelow(True)


def save_figure(figure: Any, path: str | os.PathLike[str]) -> Path:
    """Write a matplotlib figure as .png, .svg or .pdf, by the path's ending, whole or not at all; returns the path.

    >>> import tempfile, pathlib
    >>> from matplotlib.figure import Figure
    >>> import tinytensor as tt
    >>> tt.plot.save_figure(Figure(), pathlib.Path(tempfile.mkdtemp()) / "empty.png").name
    'empty.png'
    """
    target = check_writable(path, ".png", ".svg", ".pdf")
    with replacing(target) as temporary:
        figure.savefig(temporary, format=target.suffix.lower()[1:])
    return target


# ------------------------------------------------------------------------------------------------- decision boundary


def _scores(model: Callable[[Any], Any], points: Array) -> Array:
    with no_grad():
        out = model(points)
    scores = out._data if isinstance(out, TensorBase) else np.asarray(out)
    return scores[:, None] if scores.ndim == 1 else scores


def _grid(points: Array, resolution: int) -> tuple[Array, Array]:
    low, high = points.min(0), points.max(0)
    pad = 0.12 * np.where(high > low, high - low, 1.0)
    xs, ys = (np.linspace(a, b, resolution) for a, b in zip(low - pad, high + pad, strict=True))
    return np.meshgrid(xs, ys)


def decision_boundary(
    model: Callable[[Any], Any],
    x: Any,
    y: Any,
    held_out: tuple[Any, Any] | None = None,
    ax: Any = None,
    margin: float | None = None,
    resolution: int = 240,
) -> Any:
    """Draw what a model says of every point of the plane, its boundary, and the points; returns the matplotlib axes.

    model     points (n, 2) to scores: (n,) or (n, 1), where the sign decides, or (n, classes), where the largest does
    x, y      points (n, 2) and labels (n,) 0, 1, … ; ``held_out``: another such pair, drawn as diamonds
    margin    dashed lines at scores of ± margin (for the hinge loss: 1)
    ax        axes to draw on; None takes pyplot's current ones

    Raises ValueError for points that do not lie in a plane.

    >>> import numpy as np, tinytensor as tt
    >>> from matplotlib.figure import Figure
    >>> d = tt.data.toy("moons", samples=50)
    >>> ax = tt.plot.decision_boundary(tt.nn.MLP(2, [8, 1]), d.x_train, d.y_train, ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['class 0', 'class 1', 'boundary']
    """
    from matplotlib.lines import Line2D

    x, y = np.asarray(x, float), np.asarray(y)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"decision_boundary: points are (n, 2), got shape {x.shape}")
    ax = _axes(ax)
    groups = [(x, y, "o")] + ([(np.asarray(held_out[0], float), np.asarray(held_out[1]), "D")] if held_out else [])
    xx, yy = _grid(np.concatenate([points for points, _, _ in groups]), resolution)
    scores = _scores(model, np.stack([xx.ravel(), yy.ravel()], 1))
    classes = max(int(y.max()) + 1, 2)
    _background(ax, xx, yy, scores, margin)
    for points, labels, marker in groups:
        for label in range(classes):
            chosen = points[labels == label]
            ax.scatter(
                chosen[:, 0], chosen[:, 1], s=22 if marker == "o" else 30, marker=marker, color=PALETTE[label % 10],
                edgecolors="white" if marker == "o" else _INK, linewidths=0.6 if marker == "o" else 0.9, zorder=3,
            )  # fmt: skip
    dot: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 5.5}
    handles = [Line2D([], [], color=PALETTE[k % 10], label=f"class {k}", **dot) for k in range(classes)]
    if held_out:
        look = {"marker": "D", "color": "white", "markeredgecolor": _INK, "linestyle": "", "markersize": 5}
        handles.append(Line2D([], [], label="held out", **look))  # type: ignore[arg-type]
    handles.append(Line2D([], [], color=_INK, linewidth=1.6, label="boundary"))
    if margin is not None:
        handles.append(Line2D([], [], color=_INK, linewidth=0.8, linestyle="--", label=f"score ±{margin:g}"))
    ax.legend(handles=handles, loc="upper right", fontsize=8, framealpha=0.92, edgecolor="#cccccc")
    _tidy(ax, "Decision boundary", "feature 1", "feature 2", grid=False)
    ax.set_xlim(xx.min(), xx.max())
    ax.set_ylim(yy.min(), yy.max())
    return ax


def _background(ax: Any, xx: Array, yy: Array, scores: Array, margin: float | None) -> None:
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_rgb

    def tint(colour: str, strength: float) -> tuple[float, ...]:
        return tuple(strength * c + 1 - strength for c in to_rgb(colour))

    if scores.shape[1] > 2:
        best = scores.argmax(1).reshape(xx.shape)
        colours = ListedColormap([tint(PALETTE[k % 10], 0.35) for k in range(scores.shape[1])])
        ax.pcolormesh(
            xx, yy, best, cmap=colours, vmin=-0.5, vmax=scores.shape[1] - 0.5, shading="auto", rasterized=True
        )
        for k in range(scores.shape[1]):
            rivals = np.delete(scores, k, 1).max(1)
            _contour(ax, xx, yy, scores[:, k] - rivals, [0.0], _INK, 1.6)
        return
    score = scores[:, 0] if scores.shape[1] == 1 else scores[:, 1] - scores[:, 0]
    ramp = [tint(PALETTE[0], 0.5), (1.0, 1.0, 1.0), tint(PALETTE[1], 0.5)]
    between = LinearSegmentedColormap.from_list("scores", ramp)
    ax.contourf(xx, yy, np.tanh(score / 2).reshape(xx.shape), np.linspace(-1, 1, 21), cmap=between)
    _contour(ax, xx, yy, score, [0.0], _INK, 1.6)
    if margin is not None:
        _contour(ax, xx, yy, score, [-margin, margin], _INK, 0.8, "--")


def _contour(
    ax: Any, xx: Array, yy: Array, z: Array, levels: list[float], colour: str, width: float, style: str = "-"
) -> None:
    crossed = [level for level in levels if z.min() < level < z.max()]  # matplotlib warns of levels never crossed
    if crossed:
        ax.contour(xx, yy, z.reshape(xx.shape), crossed, colors=colour, linewidths=width, linestyles=style)


# ------------------------------------------------------------------------------------------------------------ curves


def loss_curve(losses: Sequence[float], ax: Any = None, window: int = 1) -> Any:
    """Draw the loss of every step on a logarithmic axis, and its mean over ``window`` steps; returns the axes.

    >>> from matplotlib.figure import Figure
    >>> import tinytensor as tt
    >>> tt.plot.loss_curve([1.0, 0.5, 0.25], ax=Figure().subplots()).get_yscale()
    'log'
    """
    ax = _axes(ax)
    values = np.asarray(losses, float)
    steps = np.arange(1, len(values) + 1)
    many = window > 1 and len(values) >= 2 * window
    ax.plot(
        steps, values, color=PALETTE[0], linewidth=0.7 if many else 1.5, alpha=0.35 if many else 1, label="each step"
    )
    if many:
        mean = np.convolve(values, np.full(window, 1 / window), "valid")
        ax.plot(steps[window - 1 :], mean, color=PALETTE[0], linewidth=1.6, label=f"mean of {window} steps")
        ax.legend(fontsize=8, frameon=False)
    if len(values) and values.min() > 0:
        ax.set_yscale("log")
    _tidy(ax, "Loss", "step", "training loss")
    return ax


def accuracy_curves(checks: Sequence[tuple[int, float, float]], ax: Any = None) -> Any:
    """Draw (step, training accuracy, held-out accuracy), in percent; returns the axes.

    >>> from matplotlib.figure import Figure
    >>> import tinytensor as tt
    >>> ax = tt.plot.accuracy_curves([(0, 0.5, 0.5), (10, 1.0, 0.9)], ax=Figure().subplots())
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['training, 100.0 %', 'held out, 90.0 %']
    """
    ax = _axes(ax)
    steps, training, held = np.array(checks, float).T
    ax.plot(steps, 100 * training, color=PALETTE[0], linewidth=1.5, label=f"training, {100 * training[-1]:.1f} %")
    ax.plot(
        steps, 100 * held, color=PALETTE[1], linewidth=1.5, linestyle="--", label=f"held out, {100 * held[-1]:.1f} %"
    )
    ax.legend(fontsize=8, loc="lower right", frameon=False)
    low = 100 * min(training.min(), held.min())
    ax.set_ylim(max(low - 5, -2), 101.5)
    _tidy(ax, "Accuracy", "step", "accuracy in %")
    return ax


def confusion(y: Any, predicted: Any, classes: int, ax: Any = None) -> Any:
    """Draw how often each class was taken for which; returns the axes.

    >>> from matplotlib.figure import Figure
    >>> import tinytensor as tt
    >>> ax = tt.plot.confusion([0, 1, 1], [0, 1, 0], classes=2, ax=Figure().subplots())
    >>> [text.get_text() for text in ax.texts]
    ['1', '1', '1']
    """
    from matplotlib.colors import LinearSegmentedColormap

    ax = _axes(ax)
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (np.asarray(y), np.asarray(predicted)), 1)
    right = np.eye(classes, dtype=bool)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    colours = LinearSegmentedColormap.from_list("counts", ["#ffffff", PALETTE[1], "#ffffff", PALETTE[0]])
    shade = np.where(right, 0.667 + 0.333 * share, 0.333 * np.minimum(4 * share, 1))
    ax.imshow(np.where(counts > 0, shade, 0), cmap=colours, vmin=0, vmax=1, aspect="equal")
    for i, j in zip(*np.nonzero(counts), strict=True):
        ink = "white" if i == j and share[i, j] > 0.5 else _INK
        ax.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=8.5, color=ink)
    ax.set_xticks(range(classes))
    ax.set_yticks(range(classes))
    _tidy(ax, "Held-out samples: blue right, orange wrong", "predicted", "true", grid=False)
    return ax


# ----------------------------------------------------------------------------------------------------- whole figures


def training_figure(engine: TensorEngine, dataset: ToyDataset, history: History) -> Any:
    """The figure of ``tinytensor train``: the plane and its boundary (or the confusion of classes), loss and accuracy.

    Samples of more than two features with 64 pixels are shown as images too, the wrong ones first.
    """
    plane = dataset.features == 2
    figure = _figure(10.5, 5.4 if plane else 6.6)
    grid = figure.add_gridspec(2 if plane else 3, 2, width_ratios=[1.45, 1], height_ratios=None if plane else [2, 2, 1])
    recipe = engine.recipe
    layers = "-".join(map(str, engine.model.sizes))
    held = history.checks[-1][2]
    figure.suptitle(
        f"{dataset.name}: MLP {layers}, {recipe.activation}, {recipe.loss} loss, {recipe.optimizer}, {engine.name} engine: "
        f"{100 * held:.1f} % right on {len(dataset.x_test)} held-out samples",
        x=0.01, ha="left", fontsize=11.5, color=_INK,
    )  # fmt: skip
    left = figure.add_subplot(grid[:2, 0])
    if plane:
        decision_boundary(
            lambda raw: engine.scores(dataset.standardize(raw)),
            dataset.raw(dataset.x_train), dataset.y_train, (dataset.raw(dataset.x_test), dataset.y_test),
            ax=left, margin=1.0 if recipe.loss == "hinge" else None,
        )  # fmt: skip
    else:
        from tinytensor.training import predictions  # training imports nothing of this module; kept off its import

        predicted = predictions(engine.scores(dataset.x_test))
        confusion(dataset.y_test, predicted, dataset.classes, left)
        _images(figure, grid[2, :], dataset, predicted)
    loss_curve(history.losses, figure.add_subplot(grid[0, 1]), window=1 if recipe.batch_size is None else 20)
    accuracy_curves(history.checks, figure.add_subplot(grid[1, 1]))
    return figure


def _images(figure: Any, place: Any, dataset: ToyDataset, predicted: Array, count: int = 16) -> None:
    wrong = predicted != dataset.y_test
    chosen = np.argsort(~wrong, kind="stable")[:count]
    side = round(dataset.features**0.5)
    row = place.subgridspec(1, count, wspace=0.05)
    for k, i in enumerate(chosen):
        ax = figure.add_subplot(row[0, k])
        ax.imshow(dataset.raw(dataset.x_test[i]).reshape(side, side), cmap="gray_r")
        ax.set_xticks([])
        ax.set_yticks([])
        colour = PALETTE[1] if wrong[i] else PALETTE[0]
        for spine in ax.spines.values():
            spine.set_color(colour)
        text = f"{predicted[i]}, not {dataset.y_test[i]}" if wrong[i] else f"{predicted[i]}"
        ax.set_title(text, fontsize=7.5, color=colour)


def comparison_figure(found: Comparison) -> Any:
    """The figure of ``tinytensor compare``: both losses step by step, the time of a step, and the ratio."""
    figure = _figure(11.5, 4.2)
    losses, times, ratios = figure.subplots(1, 3, width_ratios=[1.1, 1.1, 0.9])
    steps = np.arange(1, len(found.losses["scalar"]) + 1)
    losses.plot(steps, found.losses["scalar"], color=PALETTE[1], linewidth=4, alpha=0.45, label="scalar engine")
    losses.plot(steps, found.losses["tensor"], color=PALETTE[0], linewidth=1.2, label=f"tensor engine, {found.dtype}")
    losses.set_yscale("log")
    losses.legend(fontsize=8, frameon=False)
    _tidy(losses, f"Same weights, same losses: within {found.difference:.0e}", "step", "loss")
    _times(times, found)
    both = [speed for speed in found.speeds if speed.scalar is not None]
    bars = ratios.bar(range(len(both)), [s.ratio or 0 for s in both], color=PALETTE[2], width=0.6)
    ratios.set_yscale("log")
    ratios.bar_label(bars, [f"{s.ratio:,.0f} ×" for s in both], fontsize=9, padding=2, color=_INK)
    ratios.set_xticks(range(len(both)), [f"{s.batch:,}" for s in both])
    ratios.margins(y=0.1)
    _tidy(ratios, "How many times faster tensors are", "batch size (both engines run)", "ratio of the times")
    ratios.grid(False, axis="x")
    return figure


def _times(ax: Any, found: Comparison) -> None:
    both = [s for s in found.speeds if s.scalar is not None]
    alone = [s for s in found.speeds if s.scalar is None]
    ax.plot(
        [s.batch for s in both], [1e3 * (s.scalar or 0) for s in both], "s-", color=PALETTE[1], label="scalar engine"
    )
    ax.plot([s.batch for s in both], [1e3 * s.tensor for s in both], "o-", color=PALETTE[0], label="tensor engine")
    if alone:
        joined = [*both[-1:], *alone]
        ax.plot([s.batch for s in joined], [1e3 * s.tensor for s in joined], ":", color=PALETTE[0])
        x, y = [s.batch for s in alone], [1e3 * s.tensor for s in alone]
        ax.plot(x, y, "o", color=PALETTE[0], markerfacecolor="white", label="tensor engine alone")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.legend(fontsize=8, frameon=False)
    _tidy(ax, "Time of one training step", "batch size", "milliseconds")
