"""Optimizers and schedules of their learning rate, with PyTorch's names, arguments and arithmetic."""

from tinytensor.optim import lr_scheduler
from tinytensor.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from tinytensor.optim.adaptive import Adadelta, Adagrad, RMSprop
from tinytensor.optim.averaging import EMA, decay_groups
from tinytensor.optim.lbfgs import LBFGS
from tinytensor.optim.optimizer import Optimizer
from tinytensor.optim.sgd import SGD

__all__ = [
    "EMA", "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "Optimizer", "RAdam", "RMSprop",
    "decay_groups", "lr_scheduler",
]  # fmt: skip
