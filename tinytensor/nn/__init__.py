"""Modules, losses and what they are made of, with PyTorch's names, layout and defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinytensor.nn import functional
from tinytensor.nn.layers import MLP, Linear, ReLU, Sequential, Sigmoid, Tanh
from tinytensor.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, HingeLoss, MSELoss
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter, get_default_dtype, set_default_dtype

if TYPE_CHECKING:
    from tinytensor.nn.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Flatten
    from tinytensor.nn.pooling import AdaptiveAvgPool1d, AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d

__all__ = [
    "MLP", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AvgPool1d", "AvgPool2d", "BCEWithLogitsLoss", "Conv1d",
    "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "CrossEntropyLoss", "Flatten", "HingeLoss", "Linear", "MSELoss",
    "MaxPool1d", "MaxPool2d", "Module", "Parameter", "ReLU", "Sequential", "Sigmoid", "Tanh", "functional",
    "get_default_dtype", "set_default_dtype",
]  # fmt: skip

#: Where the layers live that load when they are first used.
_LAZY = {
    "Conv1d": "convolution", "Conv2d": "convolution", "ConvTranspose1d": "convolution",
    "ConvTranspose2d": "convolution", "Flatten": "convolution",
    "AdaptiveAvgPool1d": "pooling", "AdaptiveAvgPool2d": "pooling", "AvgPool1d": "pooling", "AvgPool2d": "pooling",
    "MaxPool1d": "pooling", "MaxPool2d": "pooling",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'tinytensor.nn' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f"tinytensor.nn.{_LAZY[name]}"), name)
    return found
