"""scikit-learn's ``MLPClassifier`` on digits, and the same training in tinytensor: equal in every setting.

64-100-10 with ReLU, cross-entropy, Adam (0.001, 0.9, 0.999) with the squares of the weights, without the biases, as penalty,
batches of 64 in an order drawn anew in each epoch, 1,437 of the 1,797 images; both in float32, then both in float64. They start
from the same weights and take the samples in the same order, so that the losses of the first two epochs agree up to rounding
(with an epsilon of Adam that is small: scikit-learn adds it to √v, PyTorch and tinytensor to √(v/(1 − β₂ᵗ))). Then 40 epochs
with the usual epsilon: the share of the 360 images held out that are read right, averaged over five seeds, and the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.harness import Case, Claim, ratio
from benchmarks.job import Job, timed

HIDDEN, BATCH, LR, ALPHA, EPOCHS = 100, 64, 1e-3, 1e-4, 40
LIBRARIES = ("tinytensor", "tinytensor, compiled", "scikit-learn")


def cases(quick: bool) -> list[Case]:
    rounds, seconds = (2, 0.02) if quick else (15, 1.0)
    found = [
        Case(f"MLPClassifier: first losses, {dtype}", LIBRARIES, {"dtype": dtype, "epochs": 2, "eps": 1e-14}, rounds,
             seconds, tolerance=tolerance)
        for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-8))
    ]  # fmt: skip
    if quick:
        return found
    return [
        *found,
        *(
            Case(f"MLPClassifier: {EPOCHS} epochs, {dtype}", LIBRARIES,
                 {"dtype": dtype, "epochs": EPOCHS, "seeds": 5}, 7, 1.0, tolerance=0.003)
            for dtype in ("float32", "float64")
        ),
    ]  # fmt: skip


def claims(result: dict[str, Any]) -> list[Claim]:
    return [
        Claim(f"{case['label']}, scikit-learn / {library}", value, "times", "at least", target)
        for case in result["cases"]
        for library, target in (("tinytensor", 1.3), ("tinytensor, compiled", 2.0))
        if case["options"]["epochs"] == EPOCHS and (value := ratio(case, "scikit-learn", library))
    ]


#: Trains for so many epochs from a seed; the loss of each, and what reads images afterwards.
Training = Callable[[int], tuple[list[float], Callable[[Any], Any]]]


def build(library: str, dtype: str, epochs: int, eps: float = 1e-8, seeds: int = 1) -> Job:
    x, x_test, y, y_test = problem(dtype)
    if library == "scikit-learn":
        train, version = _sklearn(x, y, epochs, eps, seeds)
    else:
        train, version = _tinytensor(x, y, epochs, eps, seeds, "compiled" in library)

    def answer() -> list[float]:
        if seeds == 1:
            return train(0)[0]
        return [sum(float((train(seed)[1](x_test) == y_test).mean()) for seed in range(seeds)) / seeds]

    return Job(answer, timed(lambda: train(0)), version)


def problem(dtype: str) -> tuple[Any, Any, Any, Any]:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        (x / 16).astype(dtype), y, test_size=360, random_state=0, stratify=y
    )
    return x_train, x_test, y_train, y_test


def _sklearn(x: Any, y: Any, epochs: int, eps: float, seeds: int) -> tuple[Training, str]:
    import warnings

    import sklearn
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore", ConvergenceWarning)  # it is to stop after so many epochs, not when it has converged

    def train(seed: int) -> tuple[list[float], Callable[[Any], Any]]:
        model = MLPClassifier((HIDDEN,), alpha=ALPHA, batch_size=BATCH, learning_rate_init=LR, max_iter=epochs,
                              n_iter_no_change=epochs + 1, epsilon=eps, random_state=seed)  # fmt: skip
        model.fit(x, y)
        return [float(loss) for loss in model.loss_curve_], model.predict

    return train, sklearn.__version__


def _tinytensor(x: Any, y: Any, epochs: int, eps: float, seeds: int, compiled: bool) -> tuple[Training, str]:
    import numpy as np
    from sklearn.utils import shuffle

    import tinytensor as tt
    from tinytensor import nn, optim

    def train(seed: int) -> tuple[list[float], Callable[[Any], Any]]:
        random = np.random.RandomState(seed)  # scikit-learn's numbers, drawn as it draws them
        model = nn.Sequential(nn.Linear(64, HIDDEN, dtype=x.dtype), nn.ReLU(), nn.Linear(HIDDEN, 10, dtype=x.dtype))
        for layer in (model[0], model[2]):
            bound = math.sqrt(6 / (layer.in_features + layer.out_features))
            layer.weight.data[...] = random.uniform(-bound, bound, layer.weight.shape[::-1]).astype(x.dtype).T
            layer.bias.data[...] = random.uniform(-bound, bound, layer.bias.shape)
        weights, biases = [model[0].weight, model[2].weight], [model[0].bias, model[2].bias]
        optimizer = optim.Adam([{"params": weights}, {"params": biases}], lr=LR, eps=eps)
        decayed = optimizer.param_groups[0]
        criterion = nn.CrossEntropyLoss()

        def step(images: Any, labels: Any) -> Any:
            loss = criterion(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = tt.compile(step) if compiled else step
        order, losses = np.arange(len(x)), []
        for _ in range(epochs):
            order, total = shuffle(order, random_state=random), 0.0
            for start in range(0, len(x), BATCH):
                rows = order[start : start + BATCH]
                decayed["weight_decay"] = ALPHA / len(rows)
                penalty = sum(float(np.vdot(w.data, w.data)) for w in weights) if seeds == 1 else 0.0
                loss = run(x.take(rows, 0), y.take(rows))
                total += loss.item() * len(rows) + 0.5 * ALPHA * penalty  # scikit-learn counts it as a part of the loss
            losses.append(total / len(x))

        def read(images: Any) -> Any:
            with tt.no_grad():
                return model(images).data.argmax(1)

        return losses, read

    return train, tt.__version__
