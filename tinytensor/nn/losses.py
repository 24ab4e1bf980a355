"""Losses as modules: each a function of :mod:`tinytensor.nn.functional` with its options kept."""

from __future__ import annotations

from typing import Any

from tinytensor.nn import classes, distances
from tinytensor.nn import criteria as f
from tinytensor.nn.options import FunctionModule

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CosineEmbeddingLoss", "CrossEntropyLoss", "GaussianNLLLoss", "HingeEmbeddingLoss", "HingeLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "MarginRankingLoss", "MultiMarginLoss", "NLLLoss", "PoissonNLLLoss", "QuantileLoss", "SmoothL1Loss", "SoftMarginLoss", "TripletMarginLoss",
]  # fmt: skip


class _Loss(FunctionModule):
    """Inputs and targets, and last the options; ``reduction`` is checked when the module is made."""

    inputs = 2
    reductions: tuple[str, ...] = ("mean", "sum", "none")

    def __init__(self, *values: Any, **options: Any) -> None:
        super().__init__(*values, **options)
        if (given := vars(self).get("reduction", "mean")) not in self.reductions:
            *most, last = map(repr, self.reductions)
            raise ValueError(f"{type(self).__name__}: reduction must be {', '.join(most)} or {last}, got {given!r}")

    def extra_repr(self) -> str:
        """Nothing, as in PyTorch."""
        return ""


class BCELoss(_Loss):
    """Binary cross-entropy of probabilities: see :func:`tinytensor.nn.functional.binary_cross_entropy`."""

    function = staticmethod(f.binary_cross_entropy)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits: see :func:`tinytensor.nn.functional.binary_cross_entropy_with_logits`.

    >>> import tinytensor as tt
    >>> tt.nn.BCEWithLogitsLoss()(tt.tensor([0.0]), [1.0])
    tensor(0.69314718)
    """

    function = staticmethod(f.binary_cross_entropy_with_logits)


class CosineEmbeddingLoss(_Loss):
    """1 − cos(x₁, x₂), or what is above the margin: see :func:`tinytensor.nn.functional.cosine_embedding_loss`."""

    inputs = 3
    function = staticmethod(f.cosine_embedding_loss)


class CrossEntropyLoss(_Loss):
    """Cross-entropy of logits (N, C, ...) and class indices, or probabilities: see :func:`tinytensor.nn.functional.cross_entropy`.

    >>> import tinytensor as tt
    >>> tt.nn.CrossEntropyLoss()(tt.tensor([[0.0, 0.0]]), [1])
    tensor(0.69314718)
    """

    function = staticmethod(classes.cross_entropy)


class GaussianNLLLoss(_Loss):
    """½ (ln v + (y − x)²/v) of means, targets and variances: see :func:`tinytensor.nn.functional.gaussian_nll_loss`."""

    inputs = 3
    function = staticmethod(f.gaussian_nll_loss)


class HingeEmbeddingLoss(_Loss):
    """A distance for y = 1, what the margin has left of it for −1: see :func:`tinytensor.nn.functional.hinge_embedding_loss`."""

    function = staticmethod(f.hinge_embedding_loss)


class HingeLoss(_Loss):
    """The mean of max(0, margin − y·x), y = ±1: see :func:`tinytensor.nn.functional.hinge_loss`.

    >>> import tinytensor as tt
    >>> tt.nn.HingeLoss()(tt.tensor([2.0, 0.5]), [1, -1])
    tensor(0.75)
    """

    function = staticmethod(f.hinge_loss)


class HuberLoss(_Loss):
    """Half the square of a difference up to δ, a line beyond: see :func:`tinytensor.nn.functional.huber_loss`."""

    function = staticmethod(f.huber_loss)


class KLDivLoss(_Loss):
    """The divergence y (ln y − x) of a distribution from one given by its logarithm: see :func:`tinytensor.nn.functional.kl_div`."""

    reductions = ("mean", "batchmean", "sum", "none")
    function = staticmethod(f.kl_div)


class L1Loss(_Loss):
    """The mean of |x − y|: see :func:`tinytensor.nn.functional.l1_loss`."""

    function = staticmethod(f.l1_loss)


class MSELoss(_Loss):
    """The mean of (x − y)²: see :func:`tinytensor.nn.functional.mse_loss`.

    >>> import tinytensor as tt
    >>> tt.nn.MSELoss(reduction="sum")(tt.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(4.)
    """

    function = staticmethod(f.mse_loss)


class MarginRankingLoss(_Loss):
    """max(0, margin − y (x₁ − x₂)): see :func:`tinytensor.nn.functional.margin_ranking_loss`."""

    inputs = 3
    function = staticmethod(f.margin_ranking_loss)


class MultiMarginLoss(_Loss):
    """What other classes' scores lack to the margin below that of the target: see :func:`tinytensor.nn.functional.multi_margin_loss`."""

    function = staticmethod(classes.multi_margin_loss)


class NLLLoss(_Loss):
    """Minus the log-probability of the target: see :func:`tinytensor.nn.functional.nll_loss`."""

    function = staticmethod(classes.nll_loss)


class PoissonNLLLoss(_Loss):
    """eˣ − y x, of the logarithm of a rate and a count: see :func:`tinytensor.nn.functional.poisson_nll_loss`."""

    function = staticmethod(f.poisson_nll_loss)


class QuantileLoss(_Loss):
    """The pinball loss, whose minimum is a quantile: see :func:`tinytensor.nn.functional.quantile_loss`."""

    function = staticmethod(f.quantile_loss)


class SmoothL1Loss(_Loss):
    """The Huber loss divided by β: see :func:`tinytensor.nn.functional.smooth_l1_loss`."""

    function = staticmethod(f.smooth_l1_loss)


class SoftMarginLoss(_Loss):
    """ln(1 + e^(−y x)), y = ±1: see :func:`tinytensor.nn.functional.soft_margin_loss`."""

    function = staticmethod(f.soft_margin_loss)


class TripletMarginLoss(_Loss):
    """How much nearer the anchor is to the positive than to the negative: see :func:`tinytensor.nn.functional.triplet_margin_loss`."""

    inputs = 3
    function = staticmethod(distances.triplet_margin_loss)
