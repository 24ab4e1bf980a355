"""One training step of an MLP of MNIST's size, 784-512-256-10: batch 128, cross-entropy, SGD with momentum, float32.

The pixels are drawn, a fifth of them not 0, as in MNIST.
"""

from __future__ import annotations

from benchmarks import mlp
from benchmarks.harness import Case
from benchmarks.training import USUAL, Problem, targets

SIZES = [784, 512, 256, 10]
LIBRARIES = ("NumPy by hand", *USUAL, "HIPS autograd", "MyGrad", "scikit-learn")


def cases(quick: bool) -> list[Case]:
    batch = 32 if quick else 128
    label = f"MLP 784-512-256-10, batch {batch}, SGD with momentum"
    return [TRAINING.case(label, LIBRARIES, {"batch": batch}, quick)]


def problem(batch: int) -> Problem:
    """Images and labels that have nothing to do with each other."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.random((batch, SIZES[0]), np.float32) * (rng.random((batch, SIZES[0])) < 0.2)
    return Problem((x.astype(np.float32), rng.integers(0, SIZES[-1], batch)), mlp.weights(SIZES, rng))


TRAINING = mlp.training(
    problem, mlp.CROSS_ENTROPY, ("SGD", {"lr": 0.01, "momentum": 0.9}), targets(0.95, 1.2, 1.0, 0.95)
)
build, once, claims = TRAINING.build, TRAINING.once, TRAINING.claims
