"""Modules, losses and what they are made of, with PyTorch's names, layout and defaults."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinytensor.nn import functional
from tinytensor.nn.containers import Identity, ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from tinytensor.nn.layers import MLP, Linear
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter, get_default_dtype, set_default_dtype

if TYPE_CHECKING:
    from tinytensor.nn import init, utils
    from tinytensor.nn.activations import (
        CELU,
        ELU,
        GELU,
        GLU,
        SELU,
        Hardshrink,
        Hardsigmoid,
        Hardswish,
        Hardtanh,
        LeakyReLU,
        LogSigmoid,
        LogSoftmax,
        Mish,
        PReLU,
        ReLU,
        ReLU6,
        Sigmoid,
        SiLU,
        Softmax,
        Softmin,
        Softplus,
        Softshrink,
        Softsign,
        Tanh,
        Tanhshrink,
        Threshold,
    )
    from tinytensor.nn.attention import MultiheadAttention, TransformerEncoder, TransformerEncoderLayer
    from tinytensor.nn.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Flatten
    from tinytensor.nn.dropout import AlphaDropout, Dropout, Dropout1d, Dropout2d
    from tinytensor.nn.embedding import Embedding
    from tinytensor.nn.losses import (
        BCELoss,
        BCEWithLogitsLoss,
        CosineEmbeddingLoss,
        CrossEntropyLoss,
        GaussianNLLLoss,
        HingeEmbeddingLoss,
        HingeLoss,
        HuberLoss,
        KLDivLoss,
        L1Loss,
        MarginRankingLoss,
        MSELoss,
        MultiMarginLoss,
        NLLLoss,
        PoissonNLLLoss,
        QuantileLoss,
        SmoothL1Loss,
        SoftMarginLoss,
        TripletMarginLoss,
    )
    from tinytensor.nn.normalization import (
        BatchNorm1d,
        BatchNorm2d,
        GroupNorm,
        InstanceNorm1d,
        InstanceNorm2d,
        LayerNorm,
        RMSNorm,
    )
    from tinytensor.nn.pooling import AdaptiveAvgPool1d, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d
    from tinytensor.nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "GRU", "LSTM", "MLP", "RNN", "SELU", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d",
    "AlphaDropout", "AvgPool1d", "AvgPool2d", "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d", "BatchNorm2d", "Conv1d",
    "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "CosineEmbeddingLoss", "CrossEntropyLoss", "Dropout", "Dropout1d",
    "Dropout2d", "Embedding", "Flatten", "GRUCell", "GaussianNLLLoss", "GroupNorm", "Hardshrink", "Hardsigmoid",
    "Hardswish", "Hardtanh", "HingeEmbeddingLoss", "HingeLoss", "HuberLoss", "Identity", "InstanceNorm1d",
    "InstanceNorm2d", "KLDivLoss", "L1Loss", "LSTMCell", "LayerNorm", "LeakyReLU", "Linear", "LogSigmoid",
    "LogSoftmax", "MSELoss", "MarginRankingLoss", "MaxPool1d", "MaxPool2d", "Mish", "Module", "ModuleDict",
    "ModuleList", "MultiMarginLoss", "MultiheadAttention", "NLLLoss", "PReLU", "Parameter", "ParameterDict",
    "ParameterList", "PoissonNLLLoss", "QuantileLoss", "RMSNorm", "RNNCell", "ReLU", "ReLU6", "Sequential", "SiLU",
    "Sigmoid", "SmoothL1Loss", "SoftMarginLoss", "Softmax", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink", "Threshold", "TransformerEncoder", "TransformerEncoderLayer", "TripletMarginLoss", "functional", "get_default_dtype",
    "init", "set_default_dtype", "utils",
]  # fmt: skip

#: Where the layers live that load when they are first used.
_LAZY = {
    "AdaptiveAvgPool1d": "pooling", "AdaptiveAvgPool2d": "pooling", "AlphaDropout": "dropout", "AvgPool1d": "pooling",
    "AvgPool2d": "pooling", "BCELoss": "losses", "BCEWithLogitsLoss": "losses", "BatchNorm1d": "normalization",
    "BatchNorm2d": "normalization", "CELU": "activations", "Conv1d": "convolution", "Conv2d": "convolution",
    "ConvTranspose1d": "convolution", "ConvTranspose2d": "convolution", "CosineEmbeddingLoss": "losses",
    "CrossEntropyLoss": "losses", "Dropout": "dropout", "Dropout1d": "dropout", "Dropout2d": "dropout",
    "ELU": "activations", "Embedding": "embedding", "Flatten": "convolution", "GELU": "activations",
    "GLU": "activations", "GRU": "recurrent", "GRUCell": "recurrent", "GaussianNLLLoss": "losses",
    "GroupNorm": "normalization", "Hardshrink": "activations", "Hardsigmoid": "activations",
    "Hardswish": "activations", "Hardtanh": "activations", "HingeEmbeddingLoss": "losses", "HingeLoss": "losses",
    "HuberLoss": "losses", "InstanceNorm1d": "normalization", "InstanceNorm2d": "normalization",
    "KLDivLoss": "losses", "L1Loss": "losses", "LSTM": "recurrent", "LSTMCell": "recurrent",
    "LayerNorm": "normalization", "LeakyReLU": "activations", "LogSigmoid": "activations",
    "LogSoftmax": "activations", "MSELoss": "losses", "MarginRankingLoss": "losses", "MaxPool1d": "pooling",
    "MaxPool2d": "pooling", "Mish": "activations", "MultiMarginLoss": "losses", "MultiheadAttention": "attention",
    "NLLLoss": "losses", "PReLU": "activations", "PoissonNLLLoss": "losses", "QuantileLoss": "losses",
    "RMSNorm": "normalization", "RNN": "recurrent", "RNNCell": "recurrent", "ReLU": "activations",
    "ReLU6": "activations", "SELU": "activations", "SiLU": "activations", "Sigmoid": "activations",
    "SmoothL1Loss": "losses", "SoftMarginLoss": "losses", "Softmax": "activations", "Softmin": "activations",
    "Softplus": "activations", "Softshrink": "activations", "Softsign": "activations", "Tanh": "activations",
    "Tanhshrink": "activations", "Threshold": "activations", "TransformerEncoder": "attention",
    "TransformerEncoderLayer": "attention", "TripletMarginLoss": "losses", "init": "init", "utils": "utils",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tinytensor.nn' has no attribute {name!r}")
    module = import_module(f"tinytensor.nn.{_LAZY[name]}")
    found = globals()[name] = module if name in ("init", "utils") else getattr(module, name)
    return found
