"""A small convolutional network on scikit-learn's digits: the same program in tinytensor and PyTorch.

Conv 1-16 (3 x 3), ReLU, max-pool 2, Conv 16-32, ReLU, max-pool 2, Linear 128-10; cross-entropy, Adam with a learning rate
that falls like a cosine; 1,438 images of 8 x 8 pixels in batches of 64, float32, from the same weights in the same order. The
first case is one step on one batch, at a constant learning rate, in every library that has convolutions. The second compares
the losses of an epoch and times it; the third trains five networks and compares how many of the 359 images held out they
read, then times the training of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Case, Claim
from benchmarks.job import Job, timed
from benchmarks.mlp import cross_entropy
from benchmarks.training import USUAL, Problem, Training, ratio_claims, targets

CHANNELS = (1, 16, 32)
BATCH = 64
LR = 5e-3
LIBRARIES = ("tinytensor", "tinytensor, 1 thread", "PyTorch", "PyTorch, 1 thread")
#: Who is compared with whom: default settings, and a thread each.
PAIRS = {("PyTorch", "tinytensor"): 0.91, ("PyTorch, 1 thread", "tinytensor, 1 thread"): 0.91}

#: One training step on these rows of the images, at this learning rate; the loss.
Step = Callable[[Any, float], Any]


def cases(quick: bool) -> list[Case]:
    batch = 8 if quick else BATCH
    step = TRAINING.case(f"digits CNN: a step, batch {batch}, float32", (*USUAL, "PyTorch, 1 thread"), {"batch": batch}, quick,
                         tolerance=1e-3)  # fmt: skip
    epoch = Case("digits CNN: an epoch, batch 64, float32", LIBRARIES, {"epochs": 1}, 2 if quick else 15,
                 0.02 if quick else 0.5)  # fmt: skip
    if quick:
        return [step, epoch]
    return [step, epoch, Case("digits CNN: 20 epochs", LIBRARIES, {"epochs": 20, "seeds": 5}, 5, 0.5, tolerance=0.003)]


def claims(result: dict[str, Any]) -> list[Claim]:
    step, *training = result["cases"]
    return [*ratio_claims(step, TRAINING.targets), *(claim for case in training for claim in ratio_claims(case, PAIRS))]


def data() -> tuple[Any, Any, Any, Any]:
    """Images (n, 1, 8, 8) of mean 0 and spread 1, and their digits: to train, and held out."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = ((x - x.mean()) / x.std()).astype(np.float32).reshape(-1, 1, 8, 8)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    return np.ascontiguousarray(x_train), np.ascontiguousarray(x_test), y_train, y_test


def weights(seed: int) -> list[Any]:
    """Of every layer, drawn from U(−1/√fan_in, 1/√fan_in), as PyTorch and tinytensor do themselves."""
    import numpy as np

    rng = np.random.default_rng(seed)
    a, b, c = CHANNELS
    found = []
    for shape in ((b, a, 3, 3), (c, b, 3, 3), (10, 4 * c)):
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        found += [rng.uniform(-bound, bound, shape), rng.uniform(-bound, bound, shape[0])]
    return [w.astype(np.float32) for w in found]


def network(lib: Any, **options: Any) -> Any:
    """In tinytensor or PyTorch."""
    nn = lib.nn
    a, b, c = CHANNELS
    return nn.Sequential(
        nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(b, c, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4 * c, 10),
    )  # fmt: skip


def loss(lib: Any, **options: Any) -> Any:
    criterion = lib.nn.CrossEntropyLoss()
    return lambda model, x, y: criterion(model(x), y)


def functional(np: Any, p: list[Any], x: Any, y: Any, **options: Any) -> Any:
    """In JAX."""
    from jax import lax

    for w, b in ((p[0], p[1]), (p[2], p[3])):
        x = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))
        x = np.maximum(x + b[:, None, None], 0)
        x = lax.reduce_window(x, -np.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return cross_entropy(np, np.reshape(x, (len(x), -1)) @ p[4].T + p[5], y)


def problem(batch: int) -> Problem:
    x, _, y, _ = data()
    return Problem((x[:batch].copy(), y[:batch].copy()), weights(0))


TRAINING = Training(problem, ("Adam", {"lr": LR}), network, loss, functional, {}, targets(0.9, 1.2, 0.9))


def build(library: str, **options: int) -> Job:
    return _training(library, **options) if "epochs" in options else TRAINING.build(library, **options)


def _training(library: str, epochs: int, seeds: int = 1) -> Job:
    """Whole epochs."""
    import numpy as np

    given = data()
    step, reset, right, version = (_tinytensor if library.startswith("tinytensor") else _torch)(*given)

    def train(seed: int = 0) -> list[Any]:
        order, losses = np.random.default_rng(seed), []
        n = len(given[0])
        total = epochs * -(-n // BATCH)
        for _ in range(epochs):
            rows = order.permutation(n)
            for k in range(0, n, BATCH):
                lr = LR * (1 + math.cos(math.pi * len(losses) / total)) / 2
                losses.append(step(rows[k : k + BATCH], lr))
        return losses

    def answer() -> list[float]:
        """The first losses of an epoch, or the share of images read by networks that were trained to the end."""
        found = []
        for seed in range(seeds):
            reset(weights(seed))
            losses = train(seed)
            found.append(right())
        return [float(loss) for loss in losses[:8]] if seeds == 1 else [sum(found) / seeds]

    return Job(answer, timed(train, lambda: reset(weights(0))), version)


def _tinytensor(x: Any, x_test: Any, y: Any, y_test: Any) -> tuple[Step, Any, Any, str]:
    import tinytensor as tt
    from tinytensor import nn, optim

    model = network(tt)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=LR)

    def reset(values: list[Any]) -> None:
        nonlocal optimizer
        for p, w in zip(model.parameters(), values, strict=True):
            p.data[...] = w
        optimizer = optim.Adam(model.parameters(), lr=LR)

    def step(rows: Any, lr: float) -> Any:
        optimizer.param_groups[0]["lr"] = lr
        loss = criterion(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.data

    def right() -> float:
        with tt.no_grad():
            return float((model(x_test).data.argmax(1) == y_test).mean())

    return step, reset, right, tt.__version__


def _torch(x: Any, x_test: Any, y: Any, y_test: Any) -> tuple[Step, Any, Any, str]:
    import torch
    from torch import nn, optim

    model = network(torch)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=LR)
    images, labels, held_out = torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(x_test)

    def reset(values: list[Any]) -> None:
        nonlocal optimizer
        with torch.no_grad():
            for p, w in zip(model.parameters(), values, strict=True):
                p.copy_(torch.from_numpy(w))
        optimizer = optim.Adam(model.parameters(), lr=LR)

    def step(rows: Any, lr: float) -> Any:
        optimizer.param_groups[0]["lr"] = lr
        chosen = torch.from_numpy(rows)
        loss = criterion(model(images[chosen]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    def right() -> float:
        with torch.no_grad():
            return float((model(held_out).argmax(1).numpy() == y_test).mean())

    return step, reset, right, torch.__version__
