"""Layers, activations and losses as functions, with PyTorch's names and arguments; where each of them lives."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinytensor.ops.linalg import linear
from tinytensor.ops.pieces import leaky_relu, relu
from tinytensor.ops.reductions import log_softmax, softmax
from tinytensor.ops.transcendental import sigmoid, tanh

if TYPE_CHECKING:
    from tinytensor.nn.attention import scaled_dot_product_attention
    from tinytensor.nn.classes import cross_entropy, focal_loss, multi_margin_loss, nll_loss
    from tinytensor.nn.criteria import (
        binary_cross_entropy,
        binary_cross_entropy_with_logits,
        cosine_embedding_loss,
        gaussian_nll_loss,
        hinge_embedding_loss,
        hinge_loss,
        huber_loss,
        kl_div,
        l1_loss,
        margin_ranking_loss,
        mse_loss,
        poisson_nll_loss,
        quantile_loss,
        smooth_l1_loss,
        soft_margin_loss,
    )
    from tinytensor.nn.distances import cosine_similarity, normalize, pairwise_distance, triplet_margin_loss
    from tinytensor.nn.dropout import alpha_dropout, dropout, dropout1d, dropout2d
    from tinytensor.nn.embedding import one_hot
    from tinytensor.nn.normalization import batch_norm, instance_norm
    from tinytensor.nn.padding import pad
    from tinytensor.ops.activations import (
        celu,
        elu,
        gelu,
        glu,
        hardshrink,
        hardsigmoid,
        hardswish,
        hardtanh,
        logsigmoid,
        mish,
        prelu,
        relu6,
        selu,
        silu,
        softmin,
        softplus,
        softshrink,
        softsign,
        tanhshrink,
        threshold,
    )
    from tinytensor.ops.conv import conv1d, conv2d, conv_transpose1d, conv_transpose2d
    from tinytensor.ops.embedding import embedding
    from tinytensor.ops.normalization import group_norm, layer_norm, rms_norm
    from tinytensor.ops.pooling import (
        adaptive_avg_pool1d,
        adaptive_avg_pool2d,
        avg_pool1d,
        avg_pool2d,
        max_pool1d,
        max_pool2d,
    )

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "alpha_dropout", "avg_pool1d", "avg_pool2d", "batch_norm",
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "celu", "conv1d", "conv2d", "conv_transpose1d",
    "conv_transpose2d", "cosine_embedding_loss", "cosine_similarity", "cross_entropy", "dropout", "dropout1d", "dropout2d", "elu",
    "embedding", "focal_loss", "gaussian_nll_loss", "gelu", "glu", "group_norm", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "hinge_embedding_loss", "hinge_loss", "huber_loss", "instance_norm", "kl_div", "l1_loss",
    "layer_norm", "leaky_relu", "linear", "log_softmax", "logsigmoid", "margin_ranking_loss", "max_pool1d",
    "max_pool2d", "mish", "mse_loss", "multi_margin_loss", "nll_loss", "normalize", "one_hot", "pad", "pairwise_distance", "poisson_nll_loss", "prelu",
    "quantile_loss", "relu", "relu6", "rms_norm", "scaled_dot_product_attention", "selu", "sigmoid", "silu",
    "smooth_l1_loss", "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh",
    "tanhshrink", "threshold", "triplet_margin_loss",
]  # fmt: skip

#: Where the functions live that load when they are first used.
_LAZY = {
    "adaptive_avg_pool1d": "ops.pooling", "adaptive_avg_pool2d": "ops.pooling", "alpha_dropout": "nn.dropout",
    "avg_pool1d": "ops.pooling", "avg_pool2d": "ops.pooling", "batch_norm": "nn.normalization",
    "binary_cross_entropy": "nn.criteria", "binary_cross_entropy_with_logits": "nn.criteria",
    "celu": "ops.activations", "conv1d": "ops.conv", "conv2d": "ops.conv", "conv_transpose1d": "ops.conv",
    "conv_transpose2d": "ops.conv", "cosine_embedding_loss": "nn.criteria", "cosine_similarity": "nn.distances", "cross_entropy": "nn.classes",
    "dropout": "nn.dropout", "dropout1d": "nn.dropout", "dropout2d": "nn.dropout", "elu": "ops.activations",
    "embedding": "ops.embedding", "focal_loss": "nn.classes", "gaussian_nll_loss": "nn.criteria", "gelu": "ops.activations",
    "glu": "ops.activations", "group_norm": "ops.normalization", "hardshrink": "ops.activations",
    "hardsigmoid": "ops.activations", "hardswish": "ops.activations", "hardtanh": "ops.activations",
    "hinge_embedding_loss": "nn.criteria", "hinge_loss": "nn.criteria", "huber_loss": "nn.criteria",
    "instance_norm": "nn.normalization", "kl_div": "nn.criteria", "l1_loss": "nn.criteria",
    "layer_norm": "ops.normalization", "logsigmoid": "ops.activations", "margin_ranking_loss": "nn.criteria",
    "max_pool1d": "ops.pooling", "max_pool2d": "ops.pooling", "mish": "ops.activations", "mse_loss": "nn.criteria",
    "multi_margin_loss": "nn.classes", "nll_loss": "nn.classes", "normalize": "nn.distances", "one_hot": "nn.embedding",
    "pad": "nn.padding", "pairwise_distance": "nn.distances",
    "poisson_nll_loss": "nn.criteria", "prelu": "ops.activations", "quantile_loss": "nn.criteria",
    "relu6": "ops.activations", "rms_norm": "ops.normalization", "scaled_dot_product_attention": "nn.attention",
    "selu": "ops.activations", "silu": "ops.activations", "smooth_l1_loss": "nn.criteria",
    "soft_margin_loss": "nn.criteria", "softmin": "ops.activations", "softplus": "ops.activations",
    "softshrink": "ops.activations", "softsign": "ops.activations", "tanhshrink": "ops.activations",
    "threshold": "ops.activations", "triplet_margin_loss": "nn.distances",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tinytensor.nn.functional' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"tinytensor.{_LAZY[name]}"), name)
    return found
