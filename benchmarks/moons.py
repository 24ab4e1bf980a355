"""One training step of micrograd's demo: MLP 2-16-16-1 with ReLU, 100 moons, max-margin loss, SGD.

A step is forward + loss + backward + update, the same arithmetic from the same weights everywhere. micrograd and our
``Value`` run the published demo's loop on Python floats; tinytensor and PyTorch run float32 with their own modules and
their default settings; NumPy by hand is the control: the formulas written out, without any engine.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from benchmarks.harness import Case, Claim, ratio
from benchmarks.job import Job, timed

SIZES = [2, 16, 16, 1]
LR = 0.01


def cases(quick: bool) -> list[Case]:
    libraries = ("micrograd", "tinytensor", "tinytensor Value", "PyTorch", "PyTorch, 1 thread", "NumPy by hand")
    batch = 10 if quick else 100
    label = f"moons step: MLP 2-16-16-1, batch {batch}, float32"
    return [Case(label, libraries, {"batch": batch}, 2 if quick else 25, 0.02 if quick else 0.3)]


def claims(result: dict[str, Any]) -> list[Claim]:
    (case,) = result["cases"]
    wanted = [("micrograd", 8000.0), ("tinytensor Value", 500.0), ("PyTorch", 2.5)]
    return [
        Claim(f"moons step, {name} / tinytensor", value, "times", "at least", target)
        for name, target in wanted
        if (value := ratio(case, name, "tinytensor"))
    ]


def problem(batch: int) -> tuple[Any, Any, list[Any]]:
    """Points (batch, 2) on two half circles with noise, labels ±1 (batch,), and weights and biases of every layer."""
    import numpy as np

    rng = np.random.default_rng(1337)
    angle = rng.uniform(0, math.pi, batch)
    y = np.where(np.arange(batch) % 2, 1.0, -1.0)
    x = np.where(y[:, None] < 0, np.c_[np.cos(angle), np.sin(angle)], np.c_[1 - np.cos(angle), 0.5 - np.sin(angle)])
    x += 0.1 * rng.standard_normal(x.shape)
    weights = []
    for fan_in, fan_out in pairwise(SIZES):
        weights += [rng.uniform(-1, 1, (fan_out, fan_in)) / math.sqrt(fan_in), rng.uniform(-0.1, 0.1, fan_out)]
    return x, y, weights


def build(library: str, batch: int) -> Job:
    make = {
        "micrograd": _micrograd, "tinytensor Value": _value, "tinytensor": _tinytensor, "PyTorch": _torch,
        "PyTorch, 1 thread": _torch_one_thread, "NumPy by hand": _numpy,
    }[library]  # fmt: skip
    step, reset, version = make(*problem(batch))

    def answer() -> list[float]:
        """The first losses."""
        reset()
        return [float(step()) for _ in range(2 if batch > 100 else 4)]

    return Job(answer, timed(step, reset), version)


def _scalars(value: Any, mlp: Any, x: Any, y: Any, weights: Any) -> tuple[Any, Any]:
    """The published demo's step, for either scalar engine."""
    rows, labels = x.tolist(), y.tolist()
    model = mlp(SIZES[0], SIZES[1:])

    def reset() -> None:
        for layer, w, b in zip(model.layers, weights[::2], weights[1::2], strict=True):
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

    return step, reset


def _micrograd(*given: Any) -> tuple[Any, ...]:
    from importlib.metadata import version

    from micrograd.engine import Value
    from micrograd.nn import MLP

    return *_scalars(Value, MLP, *given), version("micrograd")


def _value(*given: Any) -> tuple[Any, ...]:
    import tinytensor as tt

    return *_scalars(tt.scalar.Value, tt.scalar.MLP, *given), tt.__version__


def _tinytensor(x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
    import tinytensor as tt

    x, y = x.astype("float32"), y.astype("float32")[:, None]
    model = tt.nn.MLP(SIZES[0], SIZES[1:])
    loss_of, optimizer = tt.nn.HingeLoss(), tt.optim.SGD(model.parameters(), lr=LR)
    parameters = list(model.parameters())

    def reset() -> None:
        for p, w in zip(parameters, weights, strict=True):
            p.data[...] = w

    def step() -> Any:
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.data

    return step, reset, tt.__version__


def _torch(x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
    import torch
    from torch import nn

    inputs, labels = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)[:, None]
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(SIZES):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)

    def reset() -> None:
        with torch.no_grad():
            for p, w in zip(model.parameters(), weights, strict=True):
                p.copy_(torch.from_numpy(w))

    def step() -> Any:
        loss = (1 - labels * model(inputs)).relu().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step, reset, torch.__version__


def _torch_one_thread(*given: Any) -> tuple[Any, ...]:
    import torch

    torch.set_num_threads(1)
    return _torch(*given)


def _numpy(x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
    """The formulas of the forward and the backward pass, as one would write them without an engine."""
    import numpy as np

    x, y = x.astype("float32"), y.astype("float32")[:, None]
    lr = np.float32(LR)
    p: list[Any] = [w.astype("float32") for w in weights]

    def reset() -> None:
        for array, w in zip(p, weights, strict=True):
            array[...] = w

    def step() -> Any:
        w1, b1, w2, b2, w3, b3 = p
        h1 = np.maximum(x @ w1.T + b1, 0)
        h2 = np.maximum(h1 @ w2.T + b2, 0)
        margins = np.maximum(1 - y * (h2 @ w3.T + b3), 0)
        loss = margins.mean()
        g3 = np.where(margins > 0, -y / np.float32(len(y)), np.float32(0))
        g2 = (g3 @ w3) * (h2 > 0)
        g1 = (g2 @ w2) * (h1 > 0)
        gradients = [g1.T @ x, g1.sum(0), g2.T @ h1, g2.sum(0), g3.T @ h2, g3.sum(0)]
        for array, g in zip(p, gradients, strict=True):
            array -= lr * g
        return loss

    return step, reset, np.__version__
