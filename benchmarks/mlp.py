"""The family of networks with three linear layers and ReLU between them, for any loss and optimizer.

Written once for each library; a workload says sizes, data, loss and optimizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from benchmarks.training import Problem, Step, Targets, Training


class Loss(NamedTuple):
    """A loss: in tinytensor's and in PyTorch's module, in plain NumPy for engines, and by hand with its gradient."""

    module: Callable[[Any], Callable[[Any, Any], Any]]
    functional: Callable[[Any, Any, Any], Any]
    by_hand: Callable[[Any, Any, Any], Callable[[], float]]


def weights(sizes: list[int], rng: Any) -> list[Any]:
    """Weight and bias of every layer, from U(−1/√fan_in, 1/√fan_in)."""
    found = []
    for fan_in, fan_out in pairwise(sizes):
        bound = 1 / math.sqrt(fan_in)
        found += [rng.uniform(-bound, bound, (fan_out, fan_in)), rng.uniform(-bound, bound, fan_out)]
    return [w.astype("float32") for w in found]


def training(
    problem: Callable[..., Problem],
    loss: Loss,
    optimizer: tuple[str, dict[str, Any]],
    targets: Targets,
    **others: Callable[..., Step],
) -> Training:
    """The step of a network whose sizes are those of the problem's weights."""

    def by_name(maker: Callable[..., Step]) -> Callable[..., Step]:
        return lambda problem, **options: maker(problem, loss, optimizer)

    return Training(
        problem=problem,
        optimizer=optimizer,
        network=lambda lib, **options: network(lib, problem(**options).weights),
        loss=lambda lib, **options: _loss_of(loss.module(lib)),
        functional=lambda np, p, x, y, **options: loss.functional(np, layers(np, p, x), y),
        others={"NumPy by hand": by_name(by_hand), "scikit-learn": by_name(scikit_learn), **others},
        targets=targets,
    )


def _loss_of(criterion: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    return lambda model, x, y: criterion(model(x), y)


def network(lib: Any, weights: list[Any]) -> Any:
    """Linear layers of the weights' shapes with ReLU between them, in tinytensor or PyTorch."""
    nn, modules = lib.nn, []
    for w in weights[::2]:
        modules += [nn.Linear(w.shape[1], w.shape[0]), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def layers(np: Any, p: list[Any], x: Any) -> Any:
    """The network as a function of its parameters."""
    *hidden, last = zip(p[::2], p[1::2], strict=True)
    for w, b in hidden:
        x = np.maximum(x @ w.T + b, 0)
    return x @ last[0].T + last[1]


# ------------------------------------------------------------------------------------------------------------- by hand


def by_hand(problem: Problem, loss: Loss, optimizer: tuple[str, dict[str, Any]]) -> Step:
    """Forward, backward and update of three layers, written out."""
    import numpy as np

    from benchmarks.by_hand import blocks, constant, together
    from benchmarks.by_hand import optimizer as make

    x, y = problem.inputs
    flat, (w1, b1, w2, b2, w3, b3) = together(problem.weights)
    change, (dw1, db1, dw2, db2, dw3, db3) = together([np.zeros_like(w) for w in problem.weights])
    n = len(x)
    h1, h2, z = (np.empty((n, w.shape[0]), np.float32) for w in (w1, w2, w3))
    d1, d2, dz = map(np.empty_like, (h1, h2, z))
    on1, on2 = np.empty(h1.shape, bool), np.empty(h2.shape, bool)
    w1_t, w2_t, w3_t, d1_t, d2_t, dz_t = w1.T, w2.T, w3.T, d1.T, d2.T, dz.T
    ones, zero = np.ones(n, np.float32), constant(0)
    head = loss.by_hand(z, y, dz)
    update, gradients = make(*optimizer, blocks(flat)), blocks(change)
    dot, add, maximum, greater, multiply = np.dot, np.add, np.maximum, np.greater, np.multiply

    def step() -> float:
        dot(x, w1_t, h1)
        add(h1, b1, h1)
        maximum(h1, zero, out=h1)
        dot(h1, w2_t, h2)
        add(h2, b2, h2)
        maximum(h2, zero, out=h2)
        dot(h2, w3_t, z)
        add(z, b3, z)
        value = head()
        dot(dz_t, h2, dw3)
        dot(ones, dz, db3)
        dot(dz, w3, d2)
        greater(h2, zero, on2)
        multiply(d2, on2, d2)
        dot(d2_t, h1, dw2)
        dot(ones, d2, db2)
        dot(d2, w2, d1)
        greater(h1, zero, on1)
        multiply(d1, on1, d1)
        dot(d1_t, x, dw1)
        dot(ones, d1, db1)
        update(gradients)
        return value

    def reset() -> None:
        for p, w in zip((w1, b1, w2, b2, w3, b3), problem.weights, strict=True):
            p[...] = w

    return Step(step, reset, lambda: [w1, b1, w2, b2, w3, b3], np.__version__)


def _hinge_by_hand(z: Any, y: Any, dz: Any) -> Callable[[], float]:
    import numpy as np

    from benchmarks.by_hand import constant

    margin, slope, share = np.empty_like(z), -y / np.float32(len(y)), np.full(len(y), 1 / len(y), np.float32)
    one, zero, flat = constant(1), constant(0), margin.ravel()

    def head() -> float:
        np.multiply(y, z, margin)
        np.subtract(one, margin, margin)
        np.maximum(margin, zero, out=margin)
        np.sign(margin, dz)
        np.multiply(dz, slope, dz)
        return float(np.dot(flat, share))

    return head


def _cross_entropy_by_hand(z: Any, y: Any, dz: Any) -> Callable[[], float]:
    import numpy as np

    from benchmarks.by_hand import constant

    n, k = z.shape
    right = np.zeros_like(z)
    right[np.arange(n), y] = 1
    ones, share, inverse = np.ones(k, np.float32), np.full(n, 1 / n, np.float32), constant(1 / n)
    top, total = np.empty((n, 1), np.float32), np.empty(n, np.float32)
    column, flat_z, flat_right = total[:, None], z.ravel(), right.ravel()

    def head() -> float:
        np.maximum.reduce(z, 1, None, top, True)
        np.subtract(z, top, z)
        chosen = float(np.dot(flat_z, flat_right))
        np.exp(z, dz)
        np.dot(dz, ones, total)
        np.divide(dz, column, dz)
        np.subtract(dz, right, dz)
        np.multiply(dz, inverse, dz)
        np.log(total, total)
        return float(np.dot(total, share)) - chosen / n

    return head


def _squared_by_hand(z: Any, y: Any, dz: Any) -> Callable[[], float]:
    import numpy as np

    from benchmarks.by_hand import constant

    flat, slope = dz.ravel(), constant(2 / z.size)

    def head() -> float:
        np.subtract(z, y, dz)
        value = float(np.dot(flat, flat)) / z.size
        np.multiply(dz, slope, dz)
        return value

    return head


# ------------------------------------------------------------------------------------------------------ for the engines


def _torch_hinge(z: Any, y: Any) -> Any:
    return (1 - y * z).relu().mean()


def cross_entropy(np: Any, z: Any, y: Any) -> Any:
    """Of logits (n, classes) and labels (n,); in JAX with its own softmax, which is faster."""
    import numpy

    if np.__name__ == "jax.numpy":
        import jax

        return -np.mean(np.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))
    z = z - np.max(z, axis=1, keepdims=True)
    log_total = np.log(np.sum(np.exp(z), axis=1))
    return np.mean(log_total - z[numpy.arange(len(y)), y])


HINGE = Loss(
    lambda lib: lib.nn.HingeLoss() if lib.__name__ == "tinytensor" else _torch_hinge,
    lambda np, z, y: np.mean(np.maximum(1 - y * z, 0)),
    _hinge_by_hand,
)
CROSS_ENTROPY = Loss(lambda lib: lib.nn.CrossEntropyLoss(), cross_entropy, _cross_entropy_by_hand)
SQUARED = Loss(lambda lib: lib.nn.MSELoss(), lambda np, z, y: np.mean((z - y) * (z - y)), _squared_by_hand)


# -------------------------------------------------------------------------------------------------------- scikit-learn


def scikit_learn(problem: Problem, loss: Loss, optimizer: tuple[str, dict[str, Any]], epoch: int = 10) -> Step:
    """``partial_fit``: an epoch of the same batch ten times is timed, so that its checks of the data count a tenth."""
    import warnings

    import numpy as np
    import sklearn
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    warnings.simplefilter("ignore")  # that it has not converged
    x, y = problem.inputs
    name, settings = optimizer
    lr, factor = settings["lr"], 1.0
    if loss is SQUARED:  # scikit-learn reports half the mean, and follows the gradient of half the sum over outputs
        factor = 2.0
        lr *= 2 / y.shape[1]
    hidden = tuple(w.shape[0] for w in problem.weights[:-2:2])
    model = (MLPRegressor if loss is SQUARED else MLPClassifier)(
        hidden_layer_sizes=hidden, solver="adam" if name == "Adam" else "sgd", alpha=0.0, batch_size=len(x), learning_rate_init=lr,
        momentum=settings.get("momentum", 0.0), nesterovs_momentum=False, shuffle=False,
    )  # fmt: skip
    classes = {} if loss is SQUARED else {"classes": np.arange(len(problem.weights[-1]))}
    many_x, many_y = np.concatenate([x] * epoch), np.concatenate([y] * epoch)

    def parameters() -> list[Any]:
        pairs = zip(model.coefs_, model.intercepts_, strict=True)
        return [array for w, b in pairs for array in (w.T, b)]

    def reset() -> None:
        for p, w in zip(parameters(), problem.weights, strict=True):
            p[...] = w

    def step() -> float:
        model.partial_fit(x, y, **classes)
        return float(model.loss_) * factor

    model.partial_fit(x, y, **classes)
    reset()
    del model._optimizer  # its moments are those of the first, random weights
    return Step(step, reset, parameters, sklearn.__version__, many=(lambda: model.partial_fit(many_x, many_y), epoch))
