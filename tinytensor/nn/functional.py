"""Losses and activations as functions, with PyTorch's names and arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.nn.parameter import as_input
from tinytensor.ops.elementwise import square
from tinytensor.ops.linalg import linear
from tinytensor.ops.pieces import leaky_relu, relu
from tinytensor.ops.reductions import log_softmax, softmax
from tinytensor.ops.reductions import mean as _mean
from tinytensor.ops.reductions import sum as _sum
from tinytensor.ops.transcendental import sigmoid, softplus, tanh
from tinytensor.primitive import TensorBase, primitive
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.ops.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
    from tinytensor.ops.pooling import (
        adaptive_avg_pool1d,
        adaptive_avg_pool2d,
        avg_pool1d,
        avg_pool2d,
        max_pool1d,
        max_pool2d,
    )
    from tinytensor.typing import Operand

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "binary_cross_entropy_with_logits",
    "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "cross_entropy", "hinge_loss", "leaky_relu", "linear",
    "log_softmax", "max_pool1d", "max_pool2d", "mse_loss", "relu", "sigmoid", "softmax", "softplus", "tanh",
]  # fmt: skip

#: Where the functions live that load when they are first used.
_LAZY = {
    "conv1d": "conv", "conv2d": "conv", "conv_transpose1d": "conv", "conv_transpose2d": "conv",
    "adaptive_avg_pool1d": "pooling", "adaptive_avg_pool2d": "pooling", "avg_pool1d": "pooling",
    "avg_pool2d": "pooling", "max_pool1d": "pooling", "max_pool2d": "pooling",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tinytensor.nn.functional' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"tinytensor.ops.{_LAZY[name]}"), name)
    return found


def _pair(input: Operand, target: Operand, op: str) -> tuple[Any, Any]:
    """Prediction and target in one floating dtype, of exactly the same shape."""
    if not isinstance(input, TensorBase) or input.dtype.kind != "f":
        array = np.asarray(input._data if isinstance(input, TensorBase) else input)
        input = as_input(input, array.dtype if array.dtype.kind == "f" else np.dtype(float), op)
    target = as_input(target, input.dtype, op)
    if input.shape != target.shape:
        raise ValueError(
            f"{op}: predictions have shape {input.shape}, targets {target.shape}; they must be the same "
            "(broadcasting (N,) against (N, 1) would compare every pair). Use y[:, None], or prediction[:, 0]."
        )
    return input, target


def _reduced(each: Any, reduction: str, op: str) -> Tensor:
    if reduction == "mean":
        return _mean(each, None, False)
    if reduction == "sum":
        return _sum(each, None, False)
    if reduction == "none":
        return each  # type: ignore[no-any-return]
    raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def mse_loss(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """(x − y)², averaged.   (``torch.nn.functional.mse_loss``)

    Input and target have the same shape; a ValueError says so if not.

    >>> import tinytensor as tt
    >>> tt.nn.functional.mse_loss(tt.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(2.)
    """
    x, y = _pair(input, target, "mse_loss")
    return _reduced(square(x - y), reduction, "mse_loss")


@primitive(
    broadcasts=True,
    x=lambda g, out, y: np.where(out > 0, -(g * y), 0),
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
    return _reduced(_margin(x, y, margin), reduction, "hinge_loss")


def binary_cross_entropy_with_logits(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """−y ln σ(x) − (1 − y) ln(1 − σ(x)) = (1 − y) x + ln(1 + e⁻ˣ), averaged; targets in [0, 1].

    Follows ``torch.nn.functional.binary_cross_entropy_with_logits``. Input and target have the same shape.

    >>> import tinytensor as tt
    >>> tt.nn.functional.binary_cross_entropy_with_logits(tt.tensor([0.0, 100.0]), [1.0, 1.0])
    tensor(0.34657359)
    """
    x, y = _pair(input, target, "binary_cross_entropy_with_logits")
    return _reduced((1 - y) * x + softplus(-x), reduction, "binary_cross_entropy_with_logits")


def _one_hot(target: Any, x: Any) -> Any:
    hot = np.zeros(x.shape, x.dtype)
    np.put_along_axis(hot, np.expand_dims(target, -1), 1, -1)
    return hot


@primitive(x=lambda g, x, target: np.expand_dims(g, -1) * (softmax(x) - _one_hot(target, x)))
def _nll_of_logits(x: Any, target: Any) -> Any:
    """−ln softmax(x)[target] along the last axis, in one node: ∂/∂x = softmax(x) − one-hot(target)."""
    shifted = x - np.maximum.reduce(x, -1, keepdims=True, initial=None if x.size else 0)
    picked = np.take_along_axis(shifted, np.expand_dims(target, -1), -1)[..., 0]
    return np.log(np.add.reduce(np.exp(shifted), -1)) - picked


def cross_entropy(input: Operand, target: Operand, reduction: str = "mean") -> Tensor:
    """−Σ y ln softmax(x), averaged over the samples.   (``torch.nn.functional.cross_entropy``)

    input: logits (N, C), (C,) or (N, C, d₁, …). target: class indices (integers) of the input's shape without the
    class axis, or probabilities of the input's shape.

    >>> import tinytensor as tt
    >>> tt.nn.functional.cross_entropy(tt.tensor([[0.0, 0.0], [0.0, 1000.0]]), [1, 1])
    tensor(0.34657359)
    """
    array = input._data if isinstance(input, TensorBase) else np.asarray(input)
    x = as_input(input, array.dtype if array.dtype.kind == "f" else np.dtype(float), "cross_entropy")
    y = target._data if isinstance(target, TensorBase) else np.asarray(target)
    if x.ndim == 0:
        raise ValueError("cross_entropy: expected logits (N, C), (C,) or (N, C, ...), got a number")
    axis = 0 if x.ndim == 1 else 1
    if y.dtype.kind == "f":
        x, probabilities = _pair(x, target, "cross_entropy")
        each = -_sum(probabilities * log_softmax(x, axis), axis, False)
        return _reduced(each, reduction, "cross_entropy")
    classes = x.shape[axis]
    if y.dtype.kind not in "iu":
        raise TypeError(f"cross_entropy: class indices must be integers, or probabilities floats; got {y.dtype}")
    if y.shape != x.shape[:axis] + x.shape[axis + 1 :]:
        raise ValueError(
            f"cross_entropy: logits have shape {x.shape}, class indices {y.shape}; expected "
            f"{x.shape[:axis] + x.shape[axis + 1 :]}, or probabilities of the logits' shape"
        )
    if y.size and not 0 <= y.min() <= y.max() < classes:
        raise ValueError(f"cross_entropy: class indices must lie in 0 … {classes - 1}, got {y.min()} … {y.max()}")
    if x.ndim > 2:
        x = x.transpose(0, *range(2, x.ndim), 1)
    return _reduced(_nll_of_logits(x, y), reduction, "cross_entropy")
