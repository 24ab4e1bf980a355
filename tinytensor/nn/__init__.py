"""Modules, losses and what they are made of, with PyTorch's names, layout and defaults."""

from tinytensor.nn import functional
from tinytensor.nn.layers import MLP, Linear, ReLU, Sequential, Sigmoid, Tanh
from tinytensor.nn.losses import BCEWithLogitsLoss, CrossEntropyLoss, HingeLoss, MSELoss
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter, get_default_dtype, set_default_dtype

__all__ = [
    "MLP", "BCEWithLogitsLoss", "CrossEntropyLoss", "HingeLoss", "Linear", "MSELoss", "Module", "Parameter", "ReLU",
    "Sequential", "Sigmoid", "Tanh", "functional", "get_default_dtype", "set_default_dtype",
]  # fmt: skip
