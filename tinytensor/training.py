"""The training loop of the command line: one recipe, two engines that start from the same weights.

``TensorEngine`` is the loop that one writes oneself, with ``nn`` and ``optim``. ``ScalarEngine`` computes every number
of the same step as a ``Value``; only the optimizer's arithmetic on the finished gradients is shared, so the two can be
compared step by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import data, nn, optim
from tinytensor.checkpoints import generator_state
from tinytensor.creation import rng
from tinytensor.graph import no_grad
from tinytensor.scalar import Value
from tinytensor.trainer.errors import DivergedError

if TYPE_CHECKING:
    from tinytensor.data import ToyDataset
    from tinytensor.resuming import RunFile
    from tinytensor.typing import Array

__all__ = [
    "DivergedError", "History", "Recipe", "ScalarEngine", "TensorEngine", "accuracy", "make_engine", "outputs", "predictions",
    "targets", "train",
]  # fmt: skip

_CHOICES = {
    "activation": ("relu", "tanh", "sigmoid"),
    "loss": ("hinge", "bce", "ce", "mse"),
    "optimizer": ("sgd", "adam", "adamw"),
    "dtype": ("float32", "float64"),
    "engine": ("tensor", "scalar"),
}

#: Learning rates that suit the toys, by optimizer and, for plain gradient descent, by loss.
_RATES = {"hinge": 1.0, "bce": 1.0, "ce": 1.0, "mse": 0.3, "adam": 0.01, "adamw": 0.01}

#: More would be a mistake on data this small, and might not fit into memory.
_MOST_WEIGHTS = 50_000_000


@dataclass(frozen=True)
class Recipe:
    """How to train: what ``tinytensor train --help`` lists. ``None`` is filled in by :meth:`complete`."""

    hidden: tuple[int, ...] | None = None
    activation: str = "relu"
    loss: str | None = None
    optimizer: str | None = None
    momentum: float = 0.0
    lr: float | None = None
    lr_decay: float = 0.9
    l2: float = 1e-4
    epochs: int | None = None
    batch_size: int | None = None
    seed: int = 0
    dtype: str = "float32"
    engine: str = "tensor"

    def complete(self, dataset: str, classes: int) -> Recipe:
        """The recipe with everything filled in and checked for a dataset; ValueError for what cannot be trained."""
        digits = dataset == "digits"
        optimizer = self.optimizer or ("adam" if digits else "sgd")
        loss = self.loss or ("ce" if digits else "hinge")
        full = replace(
            self,
            hidden=self.hidden if self.hidden is not None else (64,) if digits else (16, 16),
            loss=loss,
            optimizer=optimizer,
            lr=self.lr if self.lr is not None else _RATES.get(optimizer, _RATES.get(loss, 0.1)),
            epochs=self.epochs if self.epochs is not None else 30 if digits else 200,
            batch_size=self.batch_size if self.batch_size is not None else 64 if digits else None,
        )
        full._check(dataset, classes)
        return full

    def _check(self, dataset: str, classes: int) -> None:
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; got {getattr(self, name)!r}")
        if classes > 2 and self.loss in ("hinge", "bce"):
            raise ValueError(f"the {self.loss} loss is for two classes, {dataset} has {classes}; use ce or mse")
        hidden = self.hidden or ()
        if not all(n >= 1 for n in hidden):
            raise ValueError(f"hidden sizes must be at least 1, got {','.join(map(str, hidden))}")
        if (weights := sum(a * b for a, b in pairwise([64, *hidden, 10]))) > _MOST_WEIGHTS:
            raise ValueError(
                f"hidden layers of {','.join(map(str, hidden))} have {weights:,} weights; at most {_MOST_WEIGHTS:,}"
            )
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum belongs to sgd; {self.optimizer} has its own, so leave it out")
        for name, low, high in (("momentum", 0, 1), ("lr_decay", 0, 1), ("l2", 0, math.inf), ("lr", 0, math.inf)):
            value = getattr(self, name)
            if not low <= value <= high or math.isinf(value) or (name == "lr" and value == 0):
                above = "a finite number above 0" if name == "lr" else "a finite number and not negative"
                between = f"between {low} and {high}" if high != math.inf else above
                raise ValueError(f"{name.replace('_', '-')} must be {between}, got {value:g}")
        for name in ("epochs", "batch_size"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name.replace('_', '-')} must be at least 1, got {value}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


# -------------------------------------------------------------------------------------------- outputs, targets, scores


def outputs(loss: str, classes: int) -> int:
    """How many numbers the network gives: one score for two classes, or one for each class."""
    return 1 if loss in ("hinge", "bce") or (loss == "mse" and classes == 2) else classes


def targets(y: Array, loss: str, classes: int, dtype: Any = float) -> Array:
    """What the loss compares the outputs (n, outputs) with, for labels ``y`` (n,).

    hinge, mse: ±1 (mse with more classes: one-hot rows); bce: 0 and 1; ce: the labels themselves.

    >>> import numpy as np
    >>> from tinytensor.training import targets
    >>> targets(np.array([0, 1]), "hinge", 2).ravel()
    array([-1.,  1.])
    """
    if loss == "ce":
        return y
    if outputs(loss, classes) > 1:
        return np.eye(classes, dtype=dtype)[y]
    return np.asarray(y if loss == "bce" else 2 * y - 1, dtype)[:, None]


def predictions(scores: Array) -> Array:
    """Labels (n,) from outputs (n, outputs): the sign of one score, or the largest of several."""
    return (scores[:, 0] > 0).astype(np.int64) if scores.shape[1] == 1 else scores.argmax(1)


def accuracy(scores: Array, y: Array) -> float:
    """The share of right predictions."""
    return float(np.mean(predictions(scores) == y))


# ---------------------------------------------------------------------------------------------------------- engines


class TensorEngine:
    """A step on tensors: the whole batch at once.

    ``model`` is the network, ``step`` trains it on one batch. All other engines must agree with this one.
    """

    name = "tensor"

    def __init__(self, model: nn.MLP, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.parameters = list(model.parameters())
        lr, decay = float(recipe.lr or 0.0), 2 * recipe.l2  # the gradient of l2 * p**2 is 2 * l2 * p
        self.optimizer: optim.Optimizer
        if recipe.optimizer == "sgd":
            self.optimizer = optim.SGD(self.parameters, lr=lr, momentum=recipe.momentum, weight_decay=decay)
        elif recipe.optimizer == "adam":
            self.optimizer = optim.Adam(self.parameters, lr=lr, weight_decay=decay)
        else:
            self.optimizer = optim.AdamW(self.parameters, lr=lr, weight_decay=decay)
        losses = {"hinge": nn.HingeLoss, "bce": nn.BCEWithLogitsLoss, "ce": nn.CrossEntropyLoss, "mse": nn.MSELoss}
        self.criterion = losses[recipe.loss or "hinge"]()

    def step(self, x: Array, target: Array, lr: float) -> tuple[float, Array]:
        """One update with learning rate ``lr``; the loss and the scores before it."""
        self.optimizer.param_groups[0]["lr"] = lr
        self.optimizer.zero_grad()
        scores = self.model(x)
        loss = self.criterion(scores, target)
        loss.backward()
        penalty = self._penalty()
        self.optimizer.step()
        return loss.item() + penalty, scores.data

    def _penalty(self) -> float:
        """l2 · Σ p²: the optimizer's weight decay is its gradient, so it needs no graph."""
        return (
            self.recipe.l2 * sum([float(np.vdot(p.data, p.data)) for p in self.parameters]) if self.recipe.l2 else 0.0
        )

    def scores(self, x: Array) -> Array:
        """The network's outputs (n, outputs), nothing recorded."""
        with no_grad():
            scores: Array = self.model(x).data
        return scores

    def load(self, state: Any) -> None:
        """Take the weights of a checkpoint."""
        self.model.load_state_dict(state)


class ScalarEngine(TensorEngine):
    """The same step on ``Value``: every number of the forward and backward pass is a node of its own.

    The finished gradients go to the optimizer of the tensor twin, whose weights are then copied back; evaluation, where
    there is no gradient to compute, is the twin's too.
    """

    name = "scalar"

    def __init__(self, model: nn.MLP, recipe: Recipe) -> None:
        super().__init__(model, recipe)
        self.values = model.to_scalar()

    def step(self, x: Array, target: Array, lr: float) -> tuple[float, Array]:
        """One update with learning rate ``lr``; the loss and the scores before it."""
        self.optimizer.param_groups[0]["lr"] = lr
        scores = [out if isinstance(out, list) else [out] for out in map(self.values, _rows(x))]
        each = [_LOSSES[self.recipe.loss or "hinge"](out, t) for out, t in zip(scores, target.tolist(), strict=True)]
        loss = sum(each[1:], each[0]) * (1.0 / len(each))
        self.values.zero_grad()
        loss.backward()
        penalty = self._penalty()
        self._update()
        return float(loss.data) + penalty, np.array([[s.data for s in out] for out in scores])

    def load(self, state: Any) -> None:
        """Take the weights of a checkpoint, into the values too."""
        super().load(state)
        self.values = self.model.to_scalar()

    def _update(self) -> None:
        for linear, layer in zip(self.model.linears, self.values.layers, strict=True):
            assert linear.bias is not None
            linear.weight.grad = np.array([[w.grad for w in neuron.w] for neuron in layer.neurons])
            linear.bias.grad = np.array([neuron.b.grad for neuron in layer.neurons])
        self.optimizer.step()
        for linear, layer in zip(self.model.linears, self.values.layers, strict=True):
            assert linear.bias is not None
            for neuron, row, b in zip(
                layer.neurons, linear.weight.data.tolist(), linear.bias.data.tolist(), strict=True
            ):
                neuron.b.data = b
                for w, new in zip(neuron.w, row, strict=True):
                    w.data = new


def _rows(x: Array) -> Iterator[list[Value]]:
    return ([Value(number) for number in row] for row in x.tolist())


def _cross_entropy(out: list[Value], label: int) -> Value:
    top = max(s.data for s in out)  # a constant that keeps exp from overflowing; it cancels
    exps = [(s - top).exp() for s in out]
    total: Value = sum(exps[1:], exps[0])
    loss: Value = total.log() + (top - out[label])
    return loss


def _mean_square(out: list[Value], target: list[float]) -> Value:
    squares = [(s - t) ** 2 for s, t in zip(out, target, strict=True)]
    return sum(squares[1:], squares[0]) * (1.0 / len(squares))


#: The loss of one sample, from its outputs and its target.
_LOSSES: dict[str, Callable[[list[Value], Any], Value]] = {
    "hinge": lambda out, t: (1 + -t[0] * out[0]).relu(),
    "bce": lambda out, t: (1 - t[0]) * out[0] + (-out[0]).softplus(),
    "ce": _cross_entropy,
    "mse": _mean_square,
}


def make_engine(dataset: ToyDataset, recipe: Recipe) -> TensorEngine:
    """The engine of a completed recipe, its weights drawn from the recipe's seed (the same for every engine)."""
    sizes = [*(recipe.hidden or ()), outputs(recipe.loss or "hinge", dataset.classes)]
    model = nn.MLP(dataset.features, sizes, activation=recipe.activation, dtype=recipe.dtype, rng=rng(recipe.seed))
    return (ScalarEngine if recipe.engine == "scalar" else TensorEngine)(model, recipe)


# ------------------------------------------------------------------------------------------------------------- loop


@dataclass
class History:
    """What was seen during training.

    losses    the loss of every step, on the step's batch
    checks    (step, training accuracy, held-out accuracy), from before the first step to after the last
    seconds   spent in steps (not in evaluation)
    """

    losses: list[float] = field(default_factory=list)
    checks: list[tuple[int, float, float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def steps_per_second(self) -> float:
        """Speed of the steps alone."""
        return len(self.losses) / self.seconds if self.seconds else math.nan


def train(
    engine: TensorEngine,
    dataset: ToyDataset,
    on_step: Callable[[int, int, History], None] | None = None,
    file: RunFile | None = None,
) -> History:
    """Train ``engine`` by its recipe; ``on_step(step, steps, history)`` is called after every step.

    ``file``: where the run is kept, to be taken up again (:class:`tinytensor.resuming.RunFile`).
    The learning rate of step k is ``lr * (1 - lr_decay * k / steps)``, as in micrograd's demo. Raises :class:`DivergedError`
    when the loss is nan or infinite.
    """
    recipe, history = engine.recipe, History()
    dtype = np.dtype(recipe.dtype)
    x, held = dataset.x_train.astype(dtype), dataset.x_test.astype(dtype)
    target = targets(dataset.y_train, recipe.loss or "hinge", dataset.classes, dtype)
    epochs, rate = int(recipe.epochs or 1), float(recipe.lr or 0.0)
    size = min(recipe.batch_size or len(x), len(x))
    steps = epochs * math.ceil(len(x) / size)
    every = max(1, math.ceil(epochs / 100))
    order = np.random.default_rng((recipe.seed, 2)) if size < len(x) else None

    def check() -> None:
        right = accuracy(engine.scores(x), dataset.y_train), accuracy(engine.scores(held), dataset.y_test)
        history.checks.append((len(history.losses), *right))

    with np.errstate(all="ignore"):  # nan and infinity are reported here, by name
        first, done = (0, 0) if file is None else file.begin(engine, history, order)
        if not history.checks:
            check()
        for epoch in range(first, epochs):
            opening = None if order is None else generator_state(order)
            for number, (rows, wanted) in enumerate(data.batches(x, target, size, order), 1):
                if epoch == first and number <= done:
                    continue
                k = len(history.losses)
                lr = rate * (1 - recipe.lr_decay * k / steps)
                _one_step(engine, rows, wanted, lr, steps, history)
                if file is not None:
                    file.after_step(engine, history, opening, epoch, number, k + 1 == steps)
                if on_step is not None:
                    on_step(k + 1, steps, history)
            if (epoch + 1) % every == 0 or epoch + 1 == epochs:
                check()
    return history


def _one_step(engine: TensorEngine, x: Array, target: Array, lr: float, steps: int, history: History) -> None:
    start = perf_counter()
    try:
        loss, _ = engine.step(x, target, lr)
    except OverflowError:  # where Python's numbers do not know infinity
        loss = math.inf
    history.seconds += perf_counter() - start
    if not math.isfinite(loss):
        recipe = engine.recipe
        usual = _RATES.get(recipe.optimizer or "", _RATES.get(recipe.loss or "", 0.1))
        raise DivergedError(
            f"the loss became {loss} at step {len(history.losses) + 1} of {steps}, at learning rate {lr:.4g}, which is "
            f"too high: try {min(lr / 10, usual):.1g}"
        )
    history.losses.append(loss)
