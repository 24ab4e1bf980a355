"""Schedules of the learning rate: each changes ``lr`` in the optimizer's groups when ``step`` is called.

Most are *chainable*, as PyTorch's: they multiply the present rate, so that two of them, or a change by hand, combine. A
warm-up is a composition: ``SequentialLR(optimizer, [LinearLR(optimizer, 0.01, total_iters=5), CosineAnnealingLR(optimizer,
95)], milestones=[5])``.
"""

from tinytensor.optim.lr_scheduler.base import LRScheduler
from tinytensor.optim.lr_scheduler.composition import ChainedScheduler, SequentialLR
from tinytensor.optim.lr_scheduler.curves import CosineAnnealingLR, CosineAnnealingWarmRestarts, LinearLR, PolynomialLR
from tinytensor.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from tinytensor.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    MultiplicativeLR,
    MultiStepLR,
    StepLR,
)
from tinytensor.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip
