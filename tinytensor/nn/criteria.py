"""Losses as functions: of predictions against targets of exactly the same shape, averaged, summed, or each for itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.graph import assured
from tinytensor.nn.parameter import as_input
from tinytensor.ops.activations import logsigmoid
from tinytensor.ops.elementwise import keep, sqrt, square
from tinytensor.ops.pieces import absolute, clip, where
from tinytensor.ops.reductions import mean as _mean
from tinytensor.ops.reductions import sum as _sum
from tinytensor.ops.transcendental import exp, log, sigmoid, softplus
from tinytensor.primitive import TensorBase, primitive
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.typing import Operand

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "gaussian_nll_loss",
    "hinge_embedding_loss", "hinge_loss", "huber_loss", "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss",
    "poisson_nll_loss", "quantile_loss", "reduced", "smooth_l1_loss", "soft_margin_loss",
]  # fmt: skip

# ------------------------------------------------------------------------------------------- shapes, dtypes, reductions


def predictions(input: Operand, op: str) -> Any:
    """``input`` as a tensor of floating numbers."""
    if isinstance(input, TensorBase) and input.dtype.kind == "f":
        return input
    array = input._data if isinstance(input, TensorBase) else asarray(input)
    return as_input(input, array.dtype if array.dtype.kind == "f" else np.dtype(float), op)


def _pair(input: Operand, target: Operand, op: str) -> tuple[Any, Any]:
    """Prediction and target in one floating dtype, of exactly the same shape."""
    x = predictions(input, op)
    y = as_input(target, x.dtype, op)
    if x.shape != y.shape:
        raise ValueError(
            f"{op}: predictions have shape {x.shape}, targets {y.shape}; they must be the same "
            "(broadcasting (N,) against (N, 1) would compare every pair). Use y[:, None], or prediction[:, 0]."
        )
    return x, y


def _weighted(each: Any, weight: Any, op: str) -> Any:
    """``each`` times a weight that broadcasts to it, and does not enlarge it."""
    if weight is None:
        return each
    w = as_input(weight, each.dtype, op)
    if np.broadcast_shapes(w.shape, each.shape) != each.shape:
        raise ValueError(f"{op}: weight of shape {w.shape} does not broadcast to the losses' shape {each.shape}")
    return each * w


def reduced(each: Any, reduction: str, op: str) -> Tensor:
    """The mean, the sum, or each loss."""
    if reduction == "mean":
        return _mean(each, None, False)
    if reduction == "sum":
        return _sum(each, None, False)
    if reduction == "none":
        return each  # type: ignore[no-any-return]
    raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


# ------------------------------------------------------------------------------------------------------------ distances


def mse_loss(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """(x − y)², averaged.   (``torch.nn.functional.mse_loss``)

    Input and target have the same shape; a ValueError says so if not.

    >>> import tinytensor as tt
    >>> tt.nn.functional.mse_loss(tt.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(2.)
    """
    x, y = _pair(input, target, "mse_loss")
    return reduced(square(x - y), reduction, "mse_loss")


def l1_loss(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """|x − y|, averaged; at 0 the derivative is 0.   (``torch.nn.functional.l1_loss``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.l1_loss(tt.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(1.)
    """
    x, y = _pair(input, target, "l1_loss")
    return reduced(absolute(x - y), reduction, "l1_loss")


@primitive(elementwise=True, x=lambda g, x, delta: g * np.clip(x, -delta, delta))
def _huber(x: Any, delta: float) -> Any:
    """x²/2 where |x| ≤ δ, beyond δ (|x| − δ/2)."""
    size = np.absolute(x)
    inside = np.minimum(size, delta)
    return inside * (size - 0.5 * inside)


def huber_loss(input: Operand, target: Operand, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """(x − y)²/2 where |x − y| ≤ δ, beyond δ (|x − y| − δ/2), averaged.   (``torch.nn.functional.huber_loss``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.huber_loss(tt.tensor([1.0, 2.0]), [2.0, 5.0], "none")
    tensor([0.5, 2.5])
    """
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be positive, got {delta}")
    x, y = _pair(input, target, "huber_loss")
    return reduced(_huber(x - y, delta), reduction, "huber_loss")


def smooth_l1_loss(input: Operand, target: Operand, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """:func:`huber_loss` with δ = β, divided by β: slopes ±1 outside.   (``torch.nn.functional.smooth_l1_loss``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.smooth_l1_loss(tt.tensor([1.0, 2.0]), [1.5, 5.0], "none", beta=0.5)
    tensor([0.25, 2.75])
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    x, y = _pair(input, target, "smooth_l1_loss")
    return reduced(_huber(x - y, beta) / beta, reduction, "smooth_l1_loss")


@primitive(elementwise=True, x=lambda g, x, quantile: g * (np.sign(x) * 0.5 + (quantile - 0.5) * (x != 0)))
def _pinball(x: Any, quantile: Any) -> Any:
    """q x for x > 0, (q − 1) x below."""
    return np.maximum(quantile * x, (quantile - 1) * x)


def quantile_loss(
    input: Operand, target: Operand, quantile: float | Sequence[float] = 0.5, reduction: str = "mean"
) -> Tensor:
    """q (y − x) where the prediction x is below the target y, (1 − q)(x − y) above, averaged: the pinball loss.

    Its minimum is the q-quantile; at x = y the derivative is 0. With a sequence of quantiles the predictions have one
    more axis than the targets, the last, of that length. Koenker and Bassett, 1978.

    >>> import tinytensor as tt
    >>> tt.nn.functional.quantile_loss(tt.tensor([1.0, 2.0]), [2.0, 1.0], 0.9, "none")
    tensor([0.9, 0.1])
    """
    q = np.asarray(quantile._data if isinstance(quantile, TensorBase) else quantile, float)
    if q.ndim > 1 or not ((q > 0) & (q < 1)).all():
        raise ValueError(f"quantile_loss: quantiles lie between 0 and 1, got {quantile!r}")
    x = predictions(input, "quantile_loss")
    y = as_input(target, x.dtype, "quantile_loss")
    if q.ndim:
        if x.shape != (*y.shape, q.size):
            raise ValueError(
                f"quantile_loss: for {q.size} quantiles of targets {y.shape} the predictions must have shape "
                f"{(*y.shape, q.size)}, got {x.shape}"
            )
        return reduced(_pinball(y.reshape((*y.shape, 1)) - x, q.astype(x.dtype)), reduction, "quantile_loss")
    x, y = _pair(x, y, "quantile_loss")
    return reduced(_pinball(y - x, float(q)), reduction, "quantile_loss")


# ------------------------------------------------------------------------------------------------------------- margins


@primitive(
    broadcasts=True,
    x=lambda g, out, y: np.negative(g) * y * np.sign(out),  # labels are finite; predictions may not be
    y=lambda g, out, x: np.where(out > 0, -(g * x), 0),
)
def _margin(x: Any, y: Any, margin: float) -> Any:
    """max(0, margin − y x): the hinge, in one node."""
    out = margin - y * x
    return np.maximum(out, 0)


def hinge_loss(input: Operand, target: Operand, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """max(0, margin − y·x) for targets y = ±1, averaged: the max-margin loss of the micrograd demo.

    At the margin itself the derivative is 0. Input and target have the same shape.

    >>> import tinytensor as tt
    >>> tt.nn.functional.hinge_loss(tt.tensor([2.0, 0.5]), [1, -1])
    tensor(0.75)
    """
    x, y = _pair(input, target, "hinge_loss")
    return reduced(_margin(x, y, margin), reduction, "hinge_loss")


def soft_margin_loss(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """ln(1 + e^(−y x)) for targets y = ±1, averaged.   (``torch.nn.functional.soft_margin_loss``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.soft_margin_loss(tt.tensor([0.0, 100.0]), [1, 1])
    tensor(0.34657359)
    """
    x, y = _pair(input, target, "soft_margin_loss")
    return reduced(-logsigmoid(x * y), reduction, "soft_margin_loss")


def _hinge_slope(g: Any, x: Any, y: Any, margin: float) -> Any:
    return g * (np.where(np.equal(y, -1), 0, 1) - np.where(np.equal(y, 1), 0, 1) * (margin - x >= 0))


@primitive(elementwise=True, x=_hinge_slope)
def _hinge_embedding(x: Any, y: Any, margin: float) -> Any:
    return np.where(y == -1, 0, x) + np.where(y == 1, 0, np.maximum(margin - x, 0))


def hinge_embedding_loss(input: Operand, target: Operand, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """A distance x for y = 1, max(0, margin − x) for y = −1, averaged.   (``torch.nn.functional.hinge_embedding_loss``)

    At the margin the derivative is −1. The targets have no gradient.

    >>> import tinytensor as tt
    >>> tt.nn.functional.hinge_embedding_loss(tt.tensor([0.25, 0.25]), [1, -1], reduction="none")
    tensor([0.25, 0.75])
    """
    x, y = _pair(input, target, "hinge_embedding_loss")
    return reduced(_hinge_embedding(x, y, margin), reduction, "hinge_embedding_loss")


def margin_ranking_loss(
    input1: Operand, input2: Operand, target: Operand, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """max(0, margin − y (x₁ − x₂)): y = 1 where x₁ should be the larger, −1 x₂.   (``torch.nn.functional.margin_ranking_loss``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.margin_ranking_loss(tt.tensor([3.0, 1.0]), [1.0, 2.0], [1, 1])
    tensor(0.5)
    """
    x1, x2 = _pair(input1, input2, "margin_ranking_loss")
    _, y = _pair(x1, target, "margin_ranking_loss")
    return reduced(clip(margin - y * (x1 - x2), 0, None), reduction, "margin_ranking_loss")


def cosine_embedding_loss(
    input1: Operand, input2: Operand, target: Operand, margin: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """1 − cos(x₁, x₂) for y = 1, max(0, cos − margin) for y = −1, averaged.   (``torch.nn.functional.cosine_embedding_loss``)

    Inputs (N, D) with targets (N,), or (D,) with a number.

    >>> import tinytensor as tt
    >>> tt.nn.functional.cosine_embedding_loss(tt.tensor([[1.0, 0.0]]), [[1.0, 1.0]], [1]).round(4)
    tensor(0.2929)
    """
    x1, x2 = _pair(input1, input2, "cosine_embedding_loss")
    y = asarray(target._data if isinstance(target, TensorBase) else target)
    if x1.ndim not in (1, 2) or y.shape != x1.shape[:-1]:
        raise ValueError(f"cosine_embedding_loss: expected (N, D), (N, D) and (N,), got {x1.shape} and {y.shape}")
    dots = [_sum(a * b, -1, False) for a, b in ((x1, x2), (x1, x1), (x2, x2))]
    cosine = dots[0] / sqrt((dots[1] + 1e-12) * (dots[2] + 1e-12))
    each = where(y == 1, 1 - cosine, where(y == -1, clip(cosine - margin, 0, None), 0.0))
    return reduced(each, reduction, "cosine_embedding_loss")


# ------------------------------------------------------------------------------------------------- two classes, counts


def _bce_y(g: Any, x: Any) -> Any:
    return g * (np.maximum(np.log(1 - x), -100) - np.maximum(np.log(x), -100))


@primitive(elementwise=True, x=lambda g, x, y: g * ((x - y) / np.maximum(x * (1 - x), 1e-12)), y=_bce_y)
def _bce(x: Any, y: Any) -> Any:
    with np.errstate(divide="ignore"):
        return (y - 1) * np.maximum(np.log1p(-x), -100) - y * np.maximum(np.log(x), -100)


def _in_unit(x: Any) -> bool:
    return bool(x.min() >= 0 and x.max() <= 1)


def binary_cross_entropy(
    input: Operand, target: Operand, weight: Operand | None = None, reduction: str = "mean"
) -> Tensor:
    """−y ln x − (1 − y) ln(1 − x) for probabilities x, averaged.   (``torch.nn.functional.binary_cross_entropy``)

    Logarithms are at least −100, as PyTorch's. For logits :func:`binary_cross_entropy_with_logits` is exact.

    >>> import tinytensor as tt
    >>> tt.nn.functional.binary_cross_entropy(tt.tensor([0.5, 1.0]), [1.0, 1.0])
    tensor(0.34657359)
    """
    x, y = _pair(input, target, "binary_cross_entropy")
    if x.size and not assured(_in_unit, x._data):
        raise ValueError(
            "binary_cross_entropy: predictions are probabilities in [0, 1], got "
            f"{x._data.min()} … {x._data.max()}; for logits use binary_cross_entropy_with_logits"
        )
    return reduced(_weighted(_bce(x, y), weight, "binary_cross_entropy"), reduction, "binary_cross_entropy")


@primitive(elementwise=True, x=lambda g, x, y: g * (sigmoid(x) - y), y=lambda g, x: -(g * x))
def _bce_of_logits(x: Any, y: Any) -> Any:
    """max(x, 0) − x y + ln(1 + e^(−|x|))."""
    return np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.absolute(x)))


def binary_cross_entropy_with_logits(
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    reduction: str = "mean",
    pos_weight: Operand | None = None,
) -> Tensor:
    """−p y ln σ(x) − (1 − y) ln(1 − σ(x)), averaged; targets y in [0, 1].

    ``pos_weight`` p and ``weight``, a factor of the whole, broadcast to the losses. Input and target have the same shape.
    Follows ``torch.nn.functional.binary_cross_entropy_with_logits``.

    >>> import tinytensor as tt
    >>> tt.nn.functional.binary_cross_entropy_with_logits(tt.tensor([0.0, 100.0]), [1.0, 1.0])
    tensor(0.34657359)
    """
    op = "binary_cross_entropy_with_logits"
    x, y = _pair(input, target, op)
    if pos_weight is None:
        each = _bce_of_logits(x, y)
    else:
        each = (1 - y) * x + (1 + _weighted(y, as_input(pos_weight, x.dtype, op) - 1, op)) * softplus(-x)
    return reduced(_weighted(each, weight, op), reduction, op)


def _stirling(y: Any) -> Any:
    """y ln y − y + ½ ln(2π y) where y > 1, else 0: what ln y! is nearly."""
    many = np.where(y > 1, y, 1.0)
    return np.where(y > 1, many * np.log(many) - many + 0.5 * np.log(2 * np.pi * many), 0)


def poisson_nll_loss(
    input: Operand,
    target: Operand,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """eˣ − y x, of the logarithm x of a rate and a count y, averaged.   (``torch.nn.functional.poisson_nll_loss``)

    Without ``log_input`` x is the rate: x − y ln(x + ε). ``full`` adds Stirling's approximation of ln y!.

    >>> import tinytensor as tt
    >>> tt.nn.functional.poisson_nll_loss(tt.tensor([0.0, 1.0]), [1.0, 0.0]).round(4)
    tensor(1.8591)
    """
    x, y = _pair(input, target, "poisson_nll_loss")
    each = exp(x) - y * x if log_input else x - y * log(x + eps)
    return reduced(each + _stirling(y) if full else each, reduction, "poisson_nll_loss")


# --------------------------------------------------------------------------------------------------------- distributions


@primitive(elementwise=True, x=lambda g: g)
def _at_least(x: Any, least: float) -> Any:
    """max(x, least), whose gradient comes through: what is too small can grow again."""
    return np.maximum(x, least)


def gaussian_nll_loss(
    input: Operand, target: Operand, var: Operand, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """½ (ln v + (y − x)²/v), averaged: y is normal with mean x and variance v.   (``torch.nn.functional.gaussian_nll_loss``)

    var: of the input's shape, or without its last axis, or with 1 there; at least ``eps``. ``full`` adds ½ ln 2π.
    Nix and Weigend, 1994.

    >>> import tinytensor as tt
    >>> tt.nn.functional.gaussian_nll_loss(tt.tensor([0.0, 1.0]), [0.0, 3.0], tt.tensor([1.0, 4.0])).round(4)
    tensor(0.5966)
    """
    x, y = _pair(input, target, "gaussian_nll_loss")
    v = as_input(var, x.dtype, "gaussian_nll_loss")
    if v.shape != x.shape:
        if v.shape == x.shape[:-1]:
            v = v.reshape((*v.shape, 1))
        elif v.shape != (*x.shape[:-1], 1):
            raise ValueError(f"gaussian_nll_loss: var of shape {v.shape} does not fit predictions of shape {x.shape}")
    if assured(np.any, v._data < 0):
        raise ValueError("gaussian_nll_loss: var has negative elements; predict its logarithm and pass exp of that")
    v = _at_least(v, eps)
    each = 0.5 * (log(v) + square(x - y) / v)
    return reduced(each + 0.5 * math.log(2 * math.pi) if full else each, reduction, "gaussian_nll_loss")


@primitive(
    elementwise=True,
    x=lambda g, y: -(g * y),
    y=lambda g, x, y: np.where(y > 0, g * (np.log(np.where(y > 0, y, 1)) + 1 - x), 0),
)
def _kl(x: Any, y: Any) -> Any:
    """y (ln y − x), and 0 at y = 0."""
    there = y > 0
    return keep(y * (np.log(np.where(there, y, 1)) - x), there)


def kl_div(input: Operand, target: Operand, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """y (ln y − x), of the logarithm x of a distribution and a distribution y.   (``torch.nn.functional.kl_div``)

    ``log_target``: y is given as its logarithm. Reductions: also "batchmean", the sum divided by the first axis, which
    is the divergence's definition. At y = 0 the value and the derivative with respect to y are 0.

    >>> import tinytensor as tt
    >>> tt.nn.functional.kl_div(tt.tensor([[0.5, 0.5]]).log(), [[1.0, 0.0]], "batchmean")
    tensor(0.69314718)
    """
    x, y = _pair(input, target, "kl_div")
    each = exp(y) * (y - x) if log_target else _kl(x, y)
    if reduction == "batchmean":
        return _sum(each, None, False) / (x.shape[0] if x.ndim else 1)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"kl_div: reduction must be 'mean', 'batchmean', 'sum' or 'none', got {reduction!r}")
    return reduced(each, reduction, "kl_div")
