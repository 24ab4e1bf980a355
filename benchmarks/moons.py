"""One training step of micrograd's demo: MLP 2-16-16-1 with ReLU, 100 moons, max-margin loss, SGD.

A step is forward + loss + backward + update, the same arithmetic from the same weights everywhere. micrograd and our
``Value`` run the published demo's loop on Python floats; the others run float32, each in its own best idiom, PyTorch with its
default settings, too; NumPy by hand is the limit: the formulas written out, into buffers that are already there.
"""

from __future__ import annotations

import math
from typing import Any

from benchmarks import mlp
from benchmarks.harness import Case
from benchmarks.training import USUAL, Problem, Step, targets

SIZES = [2, 16, 16, 1]
LR = 0.01
LIBRARIES = ("micrograd", "tinytensor Value", "NumPy by hand", *USUAL, "tinytensor, numba", "PyTorch, 1 thread",
             "HIPS autograd", "MyGrad")  # fmt: skip


def cases(quick: bool) -> list[Case]:
    batch = 10 if quick else 100
    return [TRAINING.case(f"moons step: MLP 2-16-16-1, batch {batch}, float32", LIBRARIES, {"batch": batch}, quick)]


def problem(batch: int) -> Problem:
    """Points (batch, 2) on two half circles with noise, labels ±1 (batch, 1), and weights and biases of every layer."""
    import numpy as np

    rng = np.random.default_rng(1337)
    angle = rng.uniform(0, math.pi, batch)
    y = np.where(np.arange(batch) % 2, 1.0, -1.0)[:, None]
    x = np.where(y < 0, np.c_[np.cos(angle), np.sin(angle)], np.c_[1 - np.cos(angle), 0.5 - np.sin(angle)])
    x += 0.1 * rng.standard_normal(x.shape)
    return Problem((x.astype(np.float32), y.astype(np.float32)), mlp.weights(SIZES, rng))


def _scalars(value: Any, mlp: Any, version: str, problem: Problem) -> Step:
    """The published demo's step, for either scalar engine."""
    import numpy as np

    rows, labels = problem.inputs[0].tolist(), problem.inputs[1][:, 0].tolist()
    model = mlp(SIZES[0], SIZES[1:])

    def reset() -> None:
        for layer, w, b in zip(model.layers, problem.weights[::2], problem.weights[1::2], strict=True):
            for neuron, row, bias in zip(layer.neurons, w.tolist(), b.tolist(), strict=True):
                neuron.b.data = bias
                for weight, number in zip(neuron.w, row, strict=True):
                    weight.data = number

    def step() -> float:
        inputs = [list(map(value, row)) for row in rows]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * score).relu() for yi, score in zip(labels, scores, strict=True)]
        loss = sum(losses) * (1.0 / len(losses))
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= LR * p.grad
        return loss.data  # type: ignore[no-any-return]

    def weights() -> list[Any]:
        found = []
        for layer in model.layers:
            found.append(np.array([[w.data for w in neuron.w] for neuron in layer.neurons]))
            found.append(np.array([neuron.b.data for neuron in layer.neurons]))
        return found

    reset()
    return Step(step, reset, weights, version)


def _micrograd(problem: Problem, **options: Any) -> Step:
    from importlib.metadata import version

    from micrograd.engine import Value
    from micrograd.nn import MLP

    return _scalars(Value, MLP, version("micrograd"), problem)


def _value(problem: Problem, **options: Any) -> Step:
    import tinytensor as tt

    return _scalars(tt.scalar.Value, tt.scalar.MLP, tt.__version__, problem)


TRAINING = mlp.training(
    problem, mlp.HINGE, ("SGD", {"lr": LR}),
    {
        ("micrograd", "tinytensor"): 8000.0, ("tinytensor Value", "tinytensor"): 500.0,
        **targets(3.0, 5.5, 1.1, 0.95), ("tinytensor, compiled", "tinytensor, numba"): 2.0,
    },
    micrograd=_micrograd, **{"tinytensor Value": _value},
)  # fmt: skip
build, once, claims = TRAINING.build, TRAINING.once, TRAINING.claims
