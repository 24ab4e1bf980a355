"""One training step of an LSTM: 100 steps of 64 numbers, 64 wide, batch 32, a linear layer on the last state; Adam, float32."""

from __future__ import annotations

from typing import Any

from benchmarks.harness import Case
from benchmarks.mlp import cross_entropy
from benchmarks.training import USUAL, Problem, Training, targets

WIDE, CLASSES = 64, 10


def cases(quick: bool) -> list[Case]:
    options = {"length": 5, "batch": 4} if quick else {"length": 100, "batch": 32}
    label = f"LSTM step: {options['length']} steps, {WIDE} wide, batch {options['batch']}"
    return [TRAINING.case(label, (*USUAL, "PyTorch, 1 thread", "HIPS autograd"), options, quick, tolerance=1e-3)]


def problem(length: int, batch: int) -> Problem:
    """Sequences (length, batch, 64) of normal numbers, and a class for each."""
    import numpy as np

    rng = np.random.default_rng(0)
    shapes = [(4 * WIDE, WIDE), (4 * WIDE, WIDE), (4 * WIDE,), (4 * WIDE,), (CLASSES, WIDE), (CLASSES,)]
    weights = [rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(WIDE**0.5) for shape in shapes]
    x = rng.standard_normal((length, batch, WIDE), np.float32)
    return Problem((x, rng.integers(0, CLASSES, batch)), weights)


def network(lib: Any, **options: int) -> Any:
    """In tinytensor or PyTorch."""
    nn = lib.nn

    class Reader(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(WIDE, WIDE), nn.Linear(WIDE, CLASSES)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][-1])

    return Reader()


def loss(lib: Any, **options: int) -> Any:
    criterion = lib.nn.CrossEntropyLoss()
    return lambda model, x, y: criterion(model(x), y)


def functional(np: Any, p: list[Any], x: Any, y: Any, **options: int) -> Any:
    """All inputs times their weights at once and a scan in JAX; a loop in HIPS autograd, where a row's gradient costs a table."""
    w_x, w_h, b_x, b_h, w, b = p
    bias = b_x + b_h

    def sigmoid(z: Any) -> Any:
        return 0.5 * (np.tanh(0.5 * z) + 1)

    def step(state: Any, gate: Any) -> Any:
        h, c = state
        z = gate + h @ w_h.T
        i, f, g, o = (z[:, k * WIDE : (k + 1) * WIDE] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return (sigmoid(o) * np.tanh(c), c), None

    state = (np.zeros(x.shape[1:], np.float32),) * 2
    if np.__name__ == "jax.numpy":
        from jax import lax

        state, _ = lax.scan(step, state, x @ w_x.T + bias)
    else:
        for one in x:
            state, _ = step(state, one @ w_x.T + bias)
    return cross_entropy(np, state[0] @ w.T + b, y)


TRAINING = Training(problem, ("Adam", {"lr": 1e-3}), network, loss, functional, {}, targets(0.4, 0.7))
build, claims = TRAINING.build, TRAINING.claims
