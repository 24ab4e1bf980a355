"""One training step of an MLP 64-128-64-10 on scikit-learn's digits: batch 64, cross-entropy, Adam, float32."""

from __future__ import annotations

from benchmarks import mlp
from benchmarks.harness import Case
from benchmarks.training import USUAL, Problem, targets

SIZES = [64, 128, 64, 10]
LIBRARIES = ("NumPy by hand", *USUAL, "HIPS autograd", "MyGrad", "scikit-learn")


def cases(quick: bool) -> list[Case]:
    label = "digits step: MLP 64-128-64-10, batch 64, Adam"
    return [TRAINING.case(label, LIBRARIES, {}, quick, tolerance=1e-3)]


def problem(batch: int = 64) -> Problem:
    """The first images, of mean 0 and spread 1 over all pixels."""
    import numpy as np
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).astype(np.float32)
    return Problem((x[:batch].copy(), y[:batch].copy()), mlp.weights(SIZES, np.random.default_rng(0)))


TRAINING = mlp.training(problem, mlp.CROSS_ENTROPY, ("Adam", {"lr": 1e-3}), targets(2.0, 3.0, 1.0, 0.95))
build, claims = TRAINING.build, TRAINING.claims
