"""Directions and distances: vectors of length 1, cosines, and the losses of triplets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.nn.criteria import predictions, reduced
from tinytensor.ops import norms
from tinytensor.ops.pieces import clip

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["cosine_similarity", "normalize", "pairwise_distance", "triplet_margin_loss"]


def normalize(input: Operand, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖ₚ, ε), the norm along ``dim``.   (``torch.nn.functional.normalize``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.normalize(tt.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    x = predictions(input, "normalize")
    return x / clip(norms.vector_norm(x, dim, True, p), eps, None)  # type: ignore[no-any-return]


def cosine_similarity(x1: Operand, x2: Operand, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x₁ · x₂ / (max(‖x₁‖, ε) max(‖x₂‖, ε)) along ``dim``.   (``torch.nn.functional.cosine_similarity``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.cosine_similarity(tt.tensor([[1.0, 0.0]]), tt.tensor([[3.0, 4.0]]))
    tensor([0.6])
    """
    a, b = normalize(x1, 2.0, dim, eps), normalize(x2, 2.0, dim, eps)
    return np.sum(a * b, dim)  # type: ignore[no-any-return]


def pairwise_distance(x1: Operand, x2: Operand, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """‖x₁ − x₂ + ε‖ₚ along the last axis.   (``torch.nn.functional.pairwise_distance``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.pairwise_distance(tt.tensor([[3.0, 0.0]]), tt.tensor([[0.0, 4.0]])).round(4)
    tensor([5.])
    """
    a, b = predictions(x1, "pairwise_distance"), predictions(x2, "pairwise_distance")
    return norms.vector_norm(a - b + eps, -1, keepdim, p)


def triplet_margin_loss(
    anchor: Operand, positive: Operand, negative: Operand, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6,
    swap: bool = False, reduction: str = "mean",
) -> Tensor:  # fmt: skip
    """max(0, margin + d(a, p) − d(a, n)) of vectors along the last axis, averaged.   (``torch.nn.functional.triplet_margin_loss``)

    d is :func:`pairwise_distance`; ``swap``: d(a, n) or d(p, n), the smaller. Balntas et al., 2016.

    >>> import tinytensor as tt
    >>> a, p, n = tt.tensor([[0.0, 0.0]]), tt.tensor([[3.0, 4.0]]), tt.tensor([[0.0, 5.5]])
    >>> tt.nn.functional.triplet_margin_loss(a, p, n).round(4)
    tensor(0.5)
    """
    op = "triplet_margin_loss"
    a, b, c = (predictions(x, op) for x in (anchor, positive, negative))
    if not a.shape == b.shape == c.shape:
        raise ValueError(
            f"{op}: anchor, positive and negative must have one shape, got {a.shape}, {b.shape}, {c.shape}"
        )
    far = pairwise_distance(a, c, p, eps)
    if swap:
        far = np.minimum(far, pairwise_distance(b, c, p, eps))  # type: ignore[assignment]
    return reduced(clip(margin + pairwise_distance(a, b, p, eps) - far, 0, None), reduction, op)
