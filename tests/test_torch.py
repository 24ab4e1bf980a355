"""Every op that PyTorch has too, in float64: values, first and second derivatives; ties and kinks; a tutorial of theirs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinytensor as tt

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the extra 'peers' has it")

pytestmark = pytest.mark.peers
torch.set_num_threads(1)

INF = np.inf


def apart(shape: tuple[int, ...], k: int, domain: str) -> np.ndarray:
    """Numbers between -2 and 2, or their exponentials, in random order and away from kinks."""
    n = int(np.prod(shape))
    order = np.random.default_rng([n, k]).permutation(n)
    x = (((order + 0.5) / max(n, 1) - 0.5) * 3.6 + 0.13 * (k + 1) / max(n, 4)).reshape(shape)
    return np.exp(x / 2) if domain == "positive" else x


def symmetric(x: Any) -> Any:
    return x + x.T


# name: (ours, theirs, shapes, domain)
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[tuple[int, ...], ...], str]] = {
    "add": (lambda x, y: x + y, lambda x, y: x + y, ((2, 3), (3,)), "any"),
    "subtract": (lambda x, y: x - y, lambda x, y: x - y, ((2, 1), (1, 3)), "any"),
    "multiply": (lambda x, y: x * y, lambda x, y: x * y, ((2, 3), ()), "any"),
    "divide": (lambda x, y: x / y, lambda x, y: x / y, ((2, 3), (2, 1)), "positive"),
    "power": (lambda x, y: x**y, lambda x, y: x**y, ((2, 3), (3,)), "positive"),
    "x ** 3": (lambda x: x**3, lambda x: x**3, ((2, 3),), "any"),
    "x ** 0.5": (lambda x: x**0.5, lambda x: x**0.5, ((2, 3),), "positive"),
    "x ** -1.5": (lambda x: x**-1.5, lambda x: x**-1.5, ((2, 3),), "positive"),
    "2 ** x": (lambda x: 2.0**x, lambda x: 2.0**x, ((2, 3),), "any"),
    "negative": (lambda x: -x, lambda x: -x, ((2, 3),), "any"),
    "reciprocal": (np.reciprocal, lambda x: torch.reciprocal(x), ((2, 3),), "positive"),
    "square": (np.square, lambda x: torch.square(x), ((2, 3),), "any"),
    "sqrt": (np.sqrt, lambda x: torch.sqrt(x), ((2, 3),), "positive"),
    "exp": (np.exp, lambda x: torch.exp(x), ((2, 3),), "any"),
    "log": (np.log, lambda x: torch.log(x), ((2, 3),), "positive"),
    "sin": (np.sin, lambda x: torch.sin(x), ((2, 3),), "any"),
    "cos": (np.cos, lambda x: torch.cos(x), ((2, 3),), "any"),
    "tanh": (np.tanh, lambda x: torch.tanh(x), ((2, 3),), "any"),
    "sigmoid": (tt.sigmoid, lambda x: torch.sigmoid(x), ((2, 3),), "any"),
    "relu": (tt.relu, lambda x: torch.relu(x), ((2, 3),), "any"),
    "leaky_relu": (lambda x: tt.leaky_relu(x, 0.1), lambda x: torch.nn.functional.leaky_relu(x, 0.1), ((2, 3),), "any"),
    "softplus": (tt.softplus, lambda x: torch.nn.functional.softplus(x), ((2, 3),), "any"),
    "abs": (np.abs, lambda x: torch.abs(x), ((2, 3),), "any"),
    "sign": (lambda x: np.sign(x) * x, lambda x: torch.sign(x) * x, ((2, 3),), "any"),
    "maximum": (np.maximum, lambda x, y: torch.maximum(x, y), ((2, 3), (3,)), "any"),
    "minimum": (np.minimum, lambda x, y: torch.minimum(x, y), ((2, 3), (3,)), "any"),
    "clip": (lambda x: np.clip(x, -0.7, 0.9), lambda x: torch.clamp(x, -0.7, 0.9), ((2, 3),), "any"),
    "clip tensors": (
        lambda x, a, b: np.clip(x, a - 0.9, b + 0.9), lambda x, a, b: torch.clamp(x, a - 0.9, b + 0.9),
        ((2, 3), (3,), (2, 1)), "any",
    ),
    "where": (lambda x, y: np.where(x > y, x * x, y), lambda x, y: torch.where(x > y, x * x, y), ((2, 3), (3,)), "any"),
    "sum": (lambda x: x.sum((0, 2)), lambda x: x.sum((0, 2)), ((2, 3, 2),), "any"),
    "mean": (lambda x: x.mean(-1, keepdims=True), lambda x: x.mean(-1, keepdim=True), ((2, 3),), "any"),
    "max": (lambda x: x.max(1), lambda x: x.amax(1), ((2, 3),), "any"),
    "min": (lambda x: x.min(0, keepdims=True), lambda x: x.amin(0, keepdim=True), ((2, 3),), "any"),
    "prod": (lambda x: x.prod(), lambda x: x.prod(), ((2, 3),), "any"),
    "prod axis": (lambda x: x.prod(1), lambda x: x.prod(1), ((2, 3),), "any"),
    "var": (lambda x: x.var(0), lambda x: x.var(0, correction=0), ((4, 3),), "any"),
    "var ddof": (lambda x: x.var(ddof=1), lambda x: x.var(), ((4, 3),), "any"),
    "std": (lambda x: x.std((0, 1)), lambda x: x.std((0, 1), correction=0), ((4, 3),), "any"),
    "std ddof": (lambda x: x.std(-1, ddof=1), lambda x: x.std(-1), ((4, 3),), "any"),
    "logsumexp": (lambda x: tt.logsumexp(x, (0, 2)), lambda x: torch.logsumexp(x, (0, 2)), ((2, 3, 2),), "any"),
    "softmax": (lambda x: tt.softmax(x, 0), lambda x: torch.softmax(x, 0), ((2, 3),), "any"),
    "log_softmax": (tt.log_softmax, lambda x: torch.log_softmax(x, -1), ((2, 3),), "any"),
    "cumsum": (lambda x: np.cumsum(x, 1), lambda x: torch.cumsum(x, 1), ((2, 3),), "any"),
    "reshape": (lambda x: x.reshape(3, 2) ** 2, lambda x: x.reshape(3, 2) ** 2, ((2, 3),), "any"),
    "transpose": (lambda x: x.transpose(2, 0, 1) ** 2, lambda x: x.permute(2, 0, 1) ** 2, ((2, 3, 4),), "any"),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1) ** 2, lambda x: torch.swapaxes(x, 0, -1) ** 2, ((2, 3, 4),), "any"),
    "squeeze": (lambda x: np.squeeze(x) ** 2, lambda x: torch.squeeze(x) ** 2, ((1, 3, 1),), "any"),
    "expand_dims": (lambda x: np.expand_dims(x, 1) ** 2, lambda x: torch.unsqueeze(x, 1) ** 2, ((2, 3),), "any"),
    "broadcast_to": (
        lambda x: np.broadcast_to(x, (4, 2, 3)) ** 2, lambda x: torch.broadcast_to(x, (4, 2, 3)) ** 2, ((2, 1),), "any",
    ),
    "concatenate": (
        lambda x, y: np.concatenate([x, y, x], 1) ** 2, lambda x, y: torch.cat([x, y, x], 1) ** 2,
        ((2, 3), (2, 1)), "any",
    ),
    "stack": (lambda x, y: np.stack([x, y], 1) ** 2, lambda x, y: torch.stack([x, y], 1) ** 2, ((3,), (3,)), "any"),
    "split": (
        lambda x: np.split(x, 2, 1)[1] * np.split(x, 2, 1)[0], lambda x: x.split(3, 1)[1] * x.split(3, 1)[0],
        ((2, 6),), "any",
    ),
    "flip": (lambda x: np.flip(x, (0, 1)) ** 2, lambda x: torch.flip(x, (0, 1)) ** 2, ((2, 3),), "any"),
    "pad": (
        lambda x: np.pad(x, ((1, 0), (2, 1))) ** 2, lambda x: torch.nn.functional.pad(x, (2, 1, 1, 0)) ** 2,
        ((2, 3),), "any",
    ),
    "pad reflect": (
        lambda x: np.pad(x, ((0, 0), (2, 1)), mode="reflect") ** 2,
        lambda x: torch.nn.functional.pad(x, (2, 1), mode="reflect") ** 2, ((2, 3),), "any",
    ),
    "pad edge": (
        lambda x: np.pad(x, ((0, 0), (2, 1)), mode="edge") ** 2,
        lambda x: torch.nn.functional.pad(x, (2, 1), mode="replicate") ** 2, ((2, 3),), "any",
    ),
    "take": (
        lambda x: np.take(x, [2, 0, 2]) ** 2, lambda x: torch.take(x, torch.tensor([2, 0, 2])) ** 2, ((2, 3),), "any",
    ),
    "take_along_axis": (
        lambda x: np.take_along_axis(x, np.array([[2, 2], [0, 1]]), 1) ** 2,
        lambda x: torch.take_along_dim(x, torch.tensor([[2, 2], [0, 1]]), 1) ** 2, ((2, 3),), "any",
    ),
    "index": (lambda x: x[[0, 0, 1], 1:] ** 2, lambda x: x[[0, 0, 1], 1:] ** 2, ((2, 3),), "any"),
    "mask": (lambda x: x[x > 0] ** 2, lambda x: x[x > 0] ** 2, ((2, 3),), "any"),
    "matmul": (lambda x, y: x @ y, lambda x, y: x @ y, ((2, 3), (3, 4)), "any"),
    "matmul batch": (lambda x, y: x @ y, lambda x, y: x @ y, ((5, 2, 3), (3, 4)), "any"),
    "matmul broadcast": (lambda x, y: x @ y, lambda x, y: x @ y, ((2, 1, 2, 3), (4, 3, 2)), "any"),
    "matmul vector": (lambda x, y: x @ y, lambda x, y: x @ y, ((4, 2, 3), (3,)), "any"),
    "dot": (np.dot, lambda x, y: torch.dot(x, y), ((3,), (3,)), "any"),
    "outer": (np.outer, lambda x, y: torch.outer(x, y), ((3,), (2,)), "any"),
    "tensordot": (
        lambda x, y: np.tensordot(x, y, ([0, 2], [1, 0])), lambda x, y: torch.tensordot(x, y, ([0, 2], [1, 0])),
        ((2, 3, 4), (4, 2, 3)), "any",
    ),
    **{
        f"einsum {text}": (
            lambda *xs, text=text: np.einsum(text, *xs), lambda *xs, text=text: torch.einsum(text, *xs), shapes, "any",
        )
        for text, shapes in [
            ("ij,jk->ik", ((2, 3), (3, 4))),
            ("ij,jk", ((2, 3), (3, 4))),
            ("ii->i", ((3, 3),)),
            ("ii", ((3, 3),)),
            ("...ij,jk", ((2, 2, 3), (3, 2))),
            ("ij,k->k", ((2, 3), (4,))),
            ("iij,j->i", ((2, 2, 3), (3,))),
            ("ij,jk,kl->il", ((2, 3), (3, 2), (2, 4))),
        ]
    },
    "linear": (tt.linear, lambda x, w, b: torch.nn.functional.linear(x, w, b), ((5, 2, 3), (4, 3), (4,)), "any"),
    "eigh": (
        lambda x: np.linalg.eigh(symmetric(x))[0] ** 3, lambda x: torch.linalg.eigh(symmetric(x))[0] ** 3,
        ((3, 3),), "any",
    ),
    "eigh vectors": (
        lambda x: np.linalg.eigh(symmetric(x))[1] ** 2, lambda x: torch.linalg.eigh(symmetric(x))[1] ** 2,
        ((3, 3),), "any",
    ),
    "a network": (
        lambda x, w, v: tt.log_softmax(np.tanh(x @ w) @ v)[:, 1], lambda x, w, v: torch.log_softmax(torch.tanh(x @ w) @ v, -1)[:, 1],
        ((5, 3), (3, 4), (4, 2)), "any",
    ),
}  # fmt: skip


def ours(f: Callable[..., Any], arrays: list[np.ndarray], weights: Any) -> tuple[Any, list[Any], list[Any]]:
    """The value, the gradients of its weighted sum, and the gradients of a weighted sum of those."""
    numbers = tuple(range(len(arrays)))

    def loss(*xs: Any) -> Any:
        return (f(*xs) * weights).sum()

    def again(*xs: Any) -> Any:
        return sum(
            (g * np.cos(1.0 + k + x)).sum()
            for k, (g, x) in enumerate(zip(tt.grad(loss, numbers)(*xs), xs, strict=True))
        )

    value = f(*[tt.tensor(a) for a in arrays]).data
    return value, list(tt.grad(loss, numbers)(*arrays)), list(tt.grad(again, numbers)(*arrays))


def theirs(f: Callable[..., Any], arrays: list[np.ndarray], weights: Any) -> tuple[Any, list[Any], list[Any]]:
    xs = [torch.tensor(a, requires_grad=True) for a in arrays]
    out = f(*xs)
    first = torch.autograd.grad((out * torch.tensor(weights)).sum(), xs, create_graph=True)
    total = sum((g * torch.cos(1.0 + k + x)).sum() for k, (g, x) in enumerate(zip(first, xs, strict=True)))
    second = torch.autograd.grad(total, xs)
    return out.detach().numpy(), [g.detach().numpy() for g in first], [g.numpy() for g in second]


@pytest.mark.parametrize("name", CASES)
def test_values_and_two_derivatives(name):
    f, g, shapes, domain = CASES[name]
    arrays = [apart(shape, k, domain) for k, shape in enumerate(shapes)]
    with torch.no_grad():
        shape = tuple(g(*map(torch.tensor, arrays)).shape)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, shape)
    (value, first, second), (value_, first_, second_) = ours(f, arrays, weights), theirs(g, arrays, weights)
    assert value.shape == value_.shape
    np.testing.assert_allclose(value, value_, rtol=1e-12, atol=1e-13)
    for k in range(len(arrays)):
        np.testing.assert_allclose(first[k], first_[k], rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(second[k], second_[k], rtol=1e-9, atol=1e-10)


# Ties and kinks, where our convention is PyTorch's.
KINKS: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[list[float]]]] = {
    "relu at 0": (tt.relu, lambda x: torch.relu(x), [[-1.0, 0.0, 1.0]]),
    "leaky_relu at 0": (
        lambda x: tt.leaky_relu(x, 0.1),
        lambda x: torch.nn.functional.leaky_relu(x, 0.1),
        [[-1.0, 0.0]],
    ),
    "abs at 0": (np.abs, lambda x: torch.abs(x), [[-1.0, 0.0, 1.0]]),
    "sign": (np.sign, lambda x: torch.sign(x), [[-1.0, 0.0, 1.0]]),
    "maximum": (np.maximum, lambda x, y: torch.maximum(x, y), [[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]),
    "minimum": (np.minimum, lambda x, y: torch.minimum(x, y), [[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]),
    "amax": (np.max, lambda x: torch.amax(x), [[3.0, 1.0, 3.0, 3.0]]),
    "amin": (np.min, lambda x: torch.amin(x), [[1.0, 1.0, 3.0]]),
    "clip at bounds": (lambda x: np.clip(x, 0, 1), lambda x: torch.clamp(x, 0, 1), [[-1.0, 0.0, 0.5, 1.0, 2.0]]),
    "prod one 0": (np.prod, lambda x: torch.prod(x), [[0.0, 2.0, 3.0]]),
    "prod two 0": (np.prod, lambda x: torch.prod(x), [[0.0, 0.0, 3.0]]),
    "prod three 0": (np.prod, lambda x: torch.prod(x), [[0.0, 0.0, 0.0]]),
    "x ** 2 at 0": (lambda x: x**2, lambda x: x**2, [[0.0, -1.0]]),
    "x ** 1 at 0": (lambda x: x**1, lambda x: x**1, [[0.0, -1.0]]),
    "x ** 0 at 0": (lambda x: x**0, lambda x: x**0, [[0.0, -1.0]]),
    "x ** y at 0": (np.power, lambda x, y: torch.pow(x, y), [[0.0, 0.0, 0.0, 2.0], [0.0, 1.0, 2.0, 3.0]]),
    "sqrt at 0": (np.sqrt, lambda x: torch.sqrt(x), [[0.0, 4.0]]),
    "log at 0": (np.log, lambda x: torch.log(x), [[0.0, 4.0]]),
    "std of constants": (np.std, lambda x: torch.std(x, correction=0), [[2.0, 2.0, 2.0]]),
    "var of constants": (np.var, lambda x: torch.var(x, correction=0), [[2.0, 2.0, 2.0]]),
    "logsumexp with -inf": (tt.logsumexp, lambda x: torch.logsumexp(x, 0), [[-INF, 1.0, 2.0]]),
    "softmax with -inf": (lambda x: tt.softmax(x)[1], lambda x: torch.softmax(x, 0)[1], [[-INF, 1.0, 2.0]]),
    "softmax of all -inf": (lambda x: tt.softmax(x)[1], lambda x: torch.softmax(x, 0)[1], [[-INF, -INF]]),
    "log_softmax with -inf": (lambda x: tt.log_softmax(x)[1], lambda x: torch.log_softmax(x, 0)[1], [[-INF, 1.0, 2.0]]),
    "softmax of huge": (lambda x: tt.softmax(x)[1], lambda x: torch.softmax(x, 0)[1], [[1e30, 1e30, -1e30]]),
    "sigmoid of huge": (tt.sigmoid, lambda x: torch.sigmoid(x), [[-800.0, 800.0]]),
    "softplus of huge": (tt.softplus, lambda x: torch.nn.functional.softplus(x), [[-800.0, 800.0]]),
    "a repeated index": (lambda x: x[[0, 0, 2]], lambda x: x[[0, 0, 2]], [[1.0, 2.0, 3.0]]),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", KINKS)
def test_ties_and_kinks(name):
    f, g, lists = KINKS[name]
    xs = [tt.tensor(x, requires_grad=True) for x in lists]
    ys = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in lists]
    ours, theirs = f(*xs), g(*ys)
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-14)
    ours.sum().backward()
    theirs.sum().backward()
    for x, y in zip(xs, ys, strict=True):
        np.testing.assert_allclose(x.grad, y.grad.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_second_derivatives_of_a_product_with_zeros(zeros):
    x = np.array([1.5, 2.0, -3.0, 0.5])
    x[:zeros] = 0.0
    expected = torch.autograd.functional.hessian(lambda x: x.prod(), torch.tensor(x)).numpy()
    rows = [tt.grad(lambda x, i=i: tt.grad(np.prod)(x)[i])(x) for i in range(4)]
    np.testing.assert_allclose(rows, expected, rtol=1e-13)


def test_writes_in_place():
    def program(x: Any, v: Any) -> Any:
        y = x * 2
        y += x
        y[0] = v
        y[:, 1] *= 3.0
        y[1:] -= 1.0
        y **= 2
        return y.sum()

    a, b = apart((3, 3), 0, "any"), apart((3,), 1, "any")
    x, v = tt.tensor(a, requires_grad=True), tt.tensor(b, requires_grad=True)
    y, w = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    program(x, v).backward()
    program(y, w).backward()
    np.testing.assert_allclose(x.grad, y.grad.numpy(), rtol=1e-13)
    np.testing.assert_allclose(v.grad, w.grad.numpy(), rtol=1e-13)


def test_the_error_cases_are_pytorchs():
    """What raises there raises here."""
    for make, lib in [
        (lambda: tt.tensor([1.0, 2.0], requires_grad=True), tt),
        (lambda: torch.tensor([1.0, 2.0], requires_grad=True), torch),
    ]:
        x = make()
        with pytest.raises(RuntimeError):
            x.backward()
        with pytest.raises(RuntimeError):
            x += 1.0
        with pytest.raises(RuntimeError):
            x[0] = 1.0
        with pytest.raises(RuntimeError):
            x.numpy()
        y = (x * x).sum()
        y.backward()
        with pytest.raises(RuntimeError):
            y.backward()
        y = (x * x).sum()
        with lib.no_grad():
            x += 1.0
        with pytest.raises(RuntimeError):
            y.backward()
        with pytest.raises((RuntimeError, TypeError)):
            lib.tensor([1, 2], requires_grad=True)


# ------------------------------------------------------- https://pytorch.org/tutorials/beginner/examples_autograd/
# "PyTorch: Defining new autograd functions": y = a + b P3(c + d x), P3(x) = (5x³ - 3x)/2, fitted to sin x.


@tt.primitive(x=lambda g, x: g * 1.5 * (5 * x**2 - 1))
def legendre_polynomial_3(x: Any) -> Any:
    return 0.5 * (5 * x**3 - 3 * x)


class LegendrePolynomial3(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Any) -> Any:
        ctx.save_for_backward(input)
        return 0.5 * (5 * input**3 - 3 * input)

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> Any:
        (input,) = ctx.saved_tensors
        return grad_output * 1.5 * (5 * input**2 - 1)


def fit(lib: Any, p3: Callable[[Any], Any], steps: int) -> list[list[float]]:
    """The loss and the four parameters after each step: the tutorial's program, in either library."""
    x = np.linspace(-math.pi, math.pi, 2000)
    x, y = lib.tensor(x), lib.tensor(np.sin(x))
    a, b, c, d = (
        lib.tensor(start, dtype=lib.float64 if lib is torch else float, requires_grad=True)
        for start in (0.0, -1.0, 0.0, 0.3)
    )
    history = []
    for _ in range(steps):
        y_pred = a + b * p3(c + d * x)
        loss = ((y_pred - y) ** 2).sum()
        loss.backward()
        with lib.no_grad():
            for parameter in (a, b, c, d):
                parameter -= 5e-6 * parameter.grad
                parameter.grad = None
        history.append([loss.item(), a.item(), b.item(), c.item(), d.item()])
    return history


def test_the_legendre_tutorial():
    steps = 400
    ours, theirs = fit(tt, legendre_polynomial_3, steps), fit(torch, LegendrePolynomial3.apply, steps)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert ours[-1][0] < 0.2 * ours[0][0]
    h = 1e-5
    second = tt.grad(tt.grad(legendre_polynomial_3))(0.7)  # which the tutorial's backward gives too
    p3 = legendre_polynomial_3
    assert second == pytest.approx((p3(0.7 + h) - 2 * p3(0.7) + p3(0.7 - h)) / h**2, rel=1e-4)
