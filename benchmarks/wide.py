"""One training step of a wide MLP, 1024-2048-2048-1024: batch 512, mean squared error, SGD, float32: BLAS and little else."""

from __future__ import annotations

from benchmarks import mlp
from benchmarks.harness import Case
from benchmarks.training import USUAL, Problem, targets

SIZES = [1024, 2048, 2048, 1024]
LIBRARIES = ("NumPy by hand", *USUAL, "HIPS autograd", "MyGrad", "scikit-learn")


def cases(quick: bool) -> list[Case]:
    sizes, batch = ([64, 128, 128, 64], 32) if quick else (SIZES, 512)
    label = f"MLP {'-'.join(map(str, sizes))}, batch {batch}, SGD"
    more = {} if quick else {"rounds": 11, "seconds": 1.0}
    return [TRAINING.case(label, LIBRARIES, {"sizes": sizes, "batch": batch}, quick, **more)]


def problem(sizes: list[int], batch: int) -> Problem:
    """Normal numbers in, normal numbers wanted."""
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((batch, n), np.float32) for n in (sizes[0], sizes[-1]))
    return Problem((x, y), mlp.weights(sizes, rng))


TRAINING = mlp.training(problem, mlp.SQUARED, ("SGD", {"lr": 0.1}), targets(1.0, 1.2, 0.8, 0.95))
build, once, claims = TRAINING.build, TRAINING.once, TRAINING.claims
