"""Losses of class scores: cross-entropy, negative log-likelihood, and margins between the classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, contiguous, empty, zeros
from tinytensor.graph import assured
from tinytensor.nn.criteria import predictions, reduced
from tinytensor.nn.parameter import as_input
from tinytensor.ops.embedding import checked_classes
from tinytensor.ops.indexing import getitem
from tinytensor.ops.pieces import relu
from tinytensor.ops.reductions import log_softmax, softmax
from tinytensor.ops.reductions import sum as _sum
from tinytensor.primitive import TensorBase, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["cross_entropy", "focal_loss", "multi_margin_loss", "nll_loss"]


def _one_hot(target: Any, x: Any) -> Any:
    hot = zeros(x.shape, x.dtype, target)
    hot[np.arange(target.size), target] = 1
    return hot


def _nll_rule(g: Any, x: Any, target: Any, reduction: str, kept: Any) -> Any:
    if reduction == "mean":
        g = g / target.size
    if kept and kept[0] is x and not isinstance(g, TensorBase) and g.ndim == (reduction == "none"):
        _, e, total, at = kept
        share = e * (g / total)[:, None]
        share.reshape(-1)[at] -= g
        return share
    return (np.expand_dims(g, -1) if reduction == "none" else g) * (softmax(x) - _one_hot(target, x))


@primitive(x=_nll_rule)
def _nll_of_logits(x: Any, target: Any, reduction: str, kept: list[Any]) -> Any:
    """−ln softmax(x)[target] of logits (N, C), reduced, in one node: ∂/∂x = softmax(x) − one-hot(target).

    ``kept``: an empty list, in which the exponentials are left for the rule. It takes them if they are those of its x.
    """
    n, c = x.shape
    if 0 < c <= 32:  # along short rows, NumPy's reductions cost a call each
        top = np.maximum.reduce(contiguous(x.T), 0)[:, None]
    else:
        top = np.maximum.reduce(x, -1, keepdims=True, initial=None if c else 0)
    e, at = np.subtract(x, top, empty((n, c), x.dtype, x)), np.arange(0, n * c, c) + target
    each = e.reshape(-1)[at]
    total = np.matmul(np.exp(e, e), np.ones(c, x.dtype))
    np.subtract(np.log(total), each, each)
    kept[:] = x, e, total, at
    if reduction == "none":
        return each
    out = np.add.reduce(each)
    return out / n if reduction == "mean" else out


def _scores(input: Operand, op: str) -> tuple[Any, int]:
    """Scores (N, C, d₁, …) or (C,), and the axis of the classes."""
    x = predictions(input, op)
    if x.ndim == 0:
        raise ValueError(f"{op}: expected scores (N, C), (C,) or (N, C, ...), got a number")
    return x, 0 if x.ndim == 1 else 1


def _rows(x: Any) -> Any:
    """Scores as a matrix, one row for each target."""
    if x.ndim == 1:
        return x.reshape(1, -1)
    if x.ndim > 2:
        x = x.transpose(0, *range(2, x.ndim), 1)
        return x.reshape(-1, x.shape[-1])
    return x


def _checked_target(x: Any, axis: int, target: Any, ignore_index: int, op: str) -> tuple[Any, Any]:
    """Class numbers in a row, and which of them count (None: all)."""
    y = target._data if isinstance(target, TensorBase) else asarray(target)
    if y.dtype.kind not in "iu":
        raise TypeError(f"{op}: class indices must be integers, or probabilities floats; got {y.dtype}")
    expected = x.shape[:axis] + x.shape[axis + 1 :]
    if y.shape != expected:
        raise ValueError(
            f"{op}: logits have shape {x.shape}, class indices {y.shape}; expected {expected}, or probabilities of the "
            "logits' shape"
        )
    y, counts = y if y.ndim == 1 else y.reshape(-1), None
    if not 0 <= ignore_index < x.shape[axis] and _all_below(y, x.shape[axis]):
        return y, None
    ignored = y == ignore_index
    if assured(np.any, ignored):
        y, counts = np.where(ignored, 0, y), ~ignored
    return checked_classes(y, x.shape[axis], op, "class indices"), counts


def _all_below(y: Any, n: int) -> bool:
    """Whether class numbers are what they should be, which is the rule: then nothing else needs to be asked."""
    return y.dtype == np.intp and y.size > 0 and assured(_largest_below, y, n)


def _largest_below(y: Any, n: int) -> bool:
    return bool(np.maximum.reduce(y.view(np.uintp), None) < n)  # a negative one is a very large one


def _class_weights(weight: Any, x: Any, axis: int, op: str) -> Any:
    if weight is None:
        return None
    w = as_input(weight, x.dtype, op)
    if w.shape != (x.shape[axis],):
        raise ValueError(f"{op}: weight must have one element for each of the {x.shape[axis]} classes, got {w.shape}")
    if w.requires_grad:
        raise TypeError(f"{op}: the weights of classes have no derivative; pass weight.detach()")
    return w._data


def _sample_weights(y: Any, w: Any, counts: Any, dtype: Any) -> Any:
    """The weight of each target, 0 for one that does not count; None if all are 1."""
    if counts is None:
        return None if w is None else w[y]
    return counts.astype(dtype) if w is None else np.where(counts, w[y], 0)


def _averaged(each: Any, weights: Any, shape: Any, reduction: str, op: str) -> Tensor:
    """Each loss reduced; the mean is weighted."""
    if weights is not None and reduction == "mean":
        total, every = weights.sum(), _sum(each, None, False)
        return (
            every / total if assured(np.any, total != 0) else every + np.nan
        )  # nothing counts: NaN, whose gradient is 0, as in PyTorch
    each = each if reduction != "none" or each.shape == shape else each.reshape(shape)
    return reduced(each, reduction, op)


def _of_probabilities(x: Any, target: Any, axis: int, weight: Any, smoothing: float, reduction: str) -> Tensor:
    y = as_input(target, x.dtype, "cross_entropy")
    if y.shape != x.shape:
        raise ValueError(
            f"cross_entropy: logits have shape {x.shape}, probabilities {y.shape}; they must be the same. Class indices "
            "are integers."
        )
    if smoothing:
        y = y * (1 - smoothing) + smoothing / x.shape[axis]
    logs = log_softmax(x, axis)
    if weight is not None:
        logs = logs * weight.reshape(-1, *[1] * (x.ndim - axis - 1))
    return reduced(-_sum(y * logs, axis, False), reduction, "cross_entropy")


def cross_entropy(
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """−Σ y ln softmax(x), averaged over the samples.   (``torch.nn.functional.cross_entropy``)

    input: logits (N, C), (C,) or (N, C, d₁, …). target: class indices (integers) of the input's shape without the
    class axis, or probabilities of the input's shape. ``weight`` (C,) are weights of the classes, of which the mean takes
    account; targets ``ignore_index`` do not count. ``label_smoothing`` ε mixes the target with equal shares ε/C.

    >>> import tinytensor as tt
    >>> tt.nn.functional.cross_entropy(tt.tensor([[0.0, 0.0], [0.0, 1000.0]]), [1, 1])
    tensor(0.34657359)
    """
    if (
        weight is None
        and label_smoothing == 0
        and ignore_index < 0
        and reduction == "mean"
        and target.__class__ is np.ndarray
        and isinstance(input, TensorBase)
        and input._data.ndim == 2
        and input._data.dtype.kind == "f"
        and target.shape == input._data.shape[:1]
        and _all_below(target, input._data.shape[1])
    ):  # what a training loop asks for: nothing else is to be checked
        return _nll_of_logits(input, target, reduction, [])  # type: ignore[no-any-return]
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing must lie between 0 and 1, got {label_smoothing}")
    x, axis = _scores(input, "cross_entropy")
    w = _class_weights(weight, x, axis, "cross_entropy")
    given: Any = target if isinstance(target, TensorBase) else asarray(target)
    if given.dtype.kind == "f":
        return _of_probabilities(x, given, axis, w, label_smoothing, reduction)
    y, counts = _checked_target(x, axis, given, ignore_index, "cross_entropy")
    rows = _rows(x)
    weights = _sample_weights(y, w, counts, x.dtype)
    if weights is None and not label_smoothing and reduction in ("mean", "sum") and y.size:
        return _nll_of_logits(rows, y, reduction, [])  # type: ignore[no-any-return]
    each = _nll_of_logits(rows, y, "none", [])
    if weights is not None:
        each = each * weights
    if label_smoothing:
        logs = log_softmax(rows, 1)
        spread = -_sum(logs if w is None else logs * w, 1, False)
        if counts is not None:
            spread = spread * counts.astype(x.dtype)
        each = each * (1 - label_smoothing) + spread * (label_smoothing / x.shape[axis])
    return _averaged(each, weights, x.shape[:axis] + x.shape[axis + 1 :], reduction, "cross_entropy")


def nll_loss(
    input: Operand,
    target: Operand,
    weight: Operand | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """−x[target], of log-probabilities x, averaged.   (``torch.nn.functional.nll_loss``)

    Shapes, ``weight`` and ``ignore_index`` as for :func:`cross_entropy`, which is this loss of ``log_softmax(x, 1)``.

    >>> import tinytensor as tt
    >>> tt.nn.functional.nll_loss(tt.tensor([[-0.5, -1.0], [-2.0, -0.25]]), [0, 1])
    tensor(0.375)
    """
    x, axis = _scores(input, "nll_loss")
    w = _class_weights(weight, x, axis, "nll_loss")
    y, counts = _checked_target(x, axis, target, ignore_index, "nll_loss")
    each = -getitem(_rows(x), (np.arange(y.size), y))
    weights = _sample_weights(y, w, counts, x.dtype)
    if weights is not None:
        each = each * weights
    return _averaged(each, weights, x.shape[:axis] + x.shape[axis + 1 :], reduction, "nll_loss")


def focal_loss(
    input: Operand,
    target: Operand,
    gamma: float = 2.0,
    weight: Operand | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """−(1 − p)ᵞ ln p with p = softmax(x)[target], averaged: cross-entropy that looks away from what is right already.

    Shapes, ``weight`` and ``ignore_index`` as for :func:`cross_entropy`, which it is for γ = 0 (Lin et al., Focal loss for
    dense object detection, 2017).

    >>> import tinytensor as tt
    >>> tt.nn.functional.focal_loss(tt.tensor([[2.0, 0.0], [0.0, 3.0]]), [0, 1]).round(5)
    tensor(0.00096)
    """
    x, axis = _scores(input, "focal_loss")
    logarithms = log_softmax(x, axis)
    return nll_loss((1 - np.exp(logarithms)) ** gamma * logarithms, target, weight, ignore_index, reduction)


def multi_margin_loss(
    input: Operand,
    target: Operand,
    p: int = 1,
    margin: float = 1.0,
    weight: Operand | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ_{j≠y} max(0, margin − x_y + x_j)ᵖ / C, averaged, p 1 or 2.   (``torch.nn.functional.multi_margin_loss``)

    input: scores (N, C) or (C,); target: class indices. At the margin the derivative is 0.

    >>> import tinytensor as tt
    >>> tt.nn.functional.multi_margin_loss(tt.tensor([[1.0, 0.5, 3.0]]), [2])
    tensor(0.)
    """
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: p must be 1 or 2, got {p}")
    x, axis = _scores(input, "multi_margin_loss")
    if x.ndim > 2:
        raise ValueError(f"multi_margin_loss: expected scores (N, C) or (C,), got shape {x.shape}")
    w = _class_weights(weight, x, axis, "multi_margin_loss")
    y, _ = _checked_target(x, axis, target, -100, "multi_margin_loss")
    rows = _rows(x)
    over = relu(margin - getitem(rows, (np.arange(y.size), y)).reshape(-1, 1) + rows)
    others = (1 - _one_hot(y, rows)) / x.shape[axis]
    each = _sum((over if p == 1 else over * over) * (others if w is None else others * w[y][:, None]), 1, False)
    return _averaged(each, None, x.shape[:axis], reduction, "multi_margin_loss")
