"""Losses as modules: what :mod:`tinytensor.nn.functional` computes, with their options kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytensor.nn import functional as f
from tinytensor.nn.module import Module

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "HingeLoss", "MSELoss"]


class _Loss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"{type(self).__name__}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
        self.reduction = reduction


class MSELoss(_Loss):
    """The mean of (x − y)²: see :func:`tinytensor.nn.functional.mse_loss`.

    >>> import tinytensor as tt
    >>> tt.nn.MSELoss(reduction="sum")(tt.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(4.)
    """

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """The loss of predictions against targets of the same shape."""
        return f.mse_loss(input, target, self.reduction)


class HingeLoss(_Loss):
    """The mean of max(0, margin − y·x), y = ±1: see :func:`tinytensor.nn.functional.hinge_loss`.

    >>> import tinytensor as tt
    >>> tt.nn.HingeLoss()(tt.tensor([2.0, 0.5]), [1, -1])
    tensor(0.75)
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """The loss of scores against targets ±1 of the same shape."""
        return f.hinge_loss(input, target, self.margin, self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of logits: see :func:`tinytensor.nn.functional.binary_cross_entropy_with_logits`.

    >>> import tinytensor as tt
    >>> tt.nn.BCEWithLogitsLoss()(tt.tensor([0.0]), [1.0])
    tensor(0.69314718)
    """

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """The loss of logits against targets in [0, 1] of the same shape."""
        return f.binary_cross_entropy_with_logits(input, target, self.reduction)


class CrossEntropyLoss(_Loss):
    """Cross-entropy of logits (N, C) and class indices: see :func:`tinytensor.nn.functional.cross_entropy`.

    >>> import tinytensor as tt
    >>> tt.nn.CrossEntropyLoss()(tt.tensor([[0.0, 0.0]]), [1])
    tensor(0.69314718)
    """

    def forward(self, input: Operand, target: Operand) -> Tensor:
        """The loss of logits against class indices, or probabilities."""
        return f.cross_entropy(input, target, self.reduction)
