"""Pictures: graphs of computations, decision boundaries, training curves, speeds."""

from tinytensor.plot.dot import Drawing, draw_dot
from tinytensor.plot.figures import (
    accuracy_curves,
    comparison_figure,
    confusion,
    decision_boundary,
    loss_curve,
    save_figure,
    training_figure,
)

__all__ = [
    "Drawing", "accuracy_curves", "comparison_figure", "confusion", "decision_boundary", "draw_dot", "loss_curve",
    "save_figure", "training_figure",
]  # fmt: skip
