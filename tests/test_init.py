"""Initialisers: distributions, bounds and shapes as PyTorch's; in place, seeded, not recorded."""

from __future__ import annotations

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn

I = nn.init
DRAWN = [
    ("uniform_", {"a": -2.0, "b": 3.0}), ("normal_", {"mean": 1.0, "std": 2.0}), ("trunc_normal_", {"std": 2.0}),
    ("trunc_normal_", {"mean": 1.0, "std": 0.5, "a": 0.5, "b": 1.2}), ("xavier_uniform_", {"gain": 2.0}),
    ("xavier_normal_", {}), ("kaiming_uniform_", {}), ("kaiming_uniform_", {"a": 5**0.5}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}), ("orthogonal_", {"gain": 2.0}),
]  # fmt: skip


@pytest.mark.peers
@pytest.mark.parametrize("shape", [(150, 200), (40, 30, 5, 5)])
@pytest.mark.parametrize(("name", "options"), DRAWN)
def test_distributions_are_pytorchs(name, options, shape):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = getattr(torch.nn.init, name)(torch.empty(shape, dtype=torch.float64), **options).numpy()
    ours = getattr(I, name)(tt.zeros(shape), **options, rng=tt.rng(0)).data
    scale = theirs.std()
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.03 * scale)
    assert ours.std() == pytest.approx(scale, rel=0.02)
    for q in (0.01, 0.25, 0.75, 0.99):
        assert np.quantile(ours, q) == pytest.approx(np.quantile(theirs, q), abs=0.06 * scale)


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [("eye_", (), (3, 4)), ("dirac_", (), (4, 3, 3)), ("dirac_", (2,), (6, 2, 3, 5)), ("constant_", (0.3,), (2, 3)),
     ("ones_", (), (2,)), ("zeros_", (), (2,))],
)  # fmt: skip
def test_fixed_values_are_pytorchs(name, args, shape):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.nn.init, name)(torch.full(shape, 7.0, dtype=torch.float64), *args).numpy()
    np.testing.assert_array_equal(getattr(I, name)(tt.ones(shape) * 7, *args).data, theirs)


@pytest.mark.peers
def test_gains_are_pytorchs():
    torch = pytest.importorskip("torch")
    for name in ("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert I.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert I.calculate_gain("leaky_relu", 0.2) == torch.nn.init.calculate_gain("leaky_relu", 0.2)


def test_orthogonal():
    for shape in ((5, 3), (3, 5), (4, 2, 3)):
        w = I.orthogonal_(tt.zeros(shape)).data.reshape(shape[0], -1)
        product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(product, np.eye(min(w.shape)), atol=1e-12)


def test_bounds():
    assert abs(I.xavier_uniform_(tt.zeros((3, 3))).data).max() <= 1
    w = I.trunc_normal_(tt.zeros(5000), mean=1.0, std=3.0, a=0.0, b=1.5).data
    assert w.min() >= 0 and w.max() <= 1.5


def test_parameters_are_filled_in_place_and_not_recorded():
    layer = nn.Linear(3, 2)
    weight, array = layer.weight, layer.weight.data
    assert I.ones_(layer.weight) is weight
    assert layer.weight.data is array and array.dtype == np.float32 and (array == 1).all()
    assert weight.requires_grad and weight.is_leaf
    loss = (layer.weight * layer.weight).sum()
    I.zeros_(layer.weight)
    with pytest.raises(RuntimeError, match="overwritten in place"):
        loss.backward()


def test_seeds():
    tt.manual_seed(1)
    a = I.normal_(tt.zeros(4)).data
    tt.manual_seed(1)
    np.testing.assert_array_equal(a, I.normal_(tt.zeros(4)).data)
    np.testing.assert_array_equal(
        I.normal_(tt.zeros(4), rng=tt.rng(2)).data, I.normal_(tt.zeros(4), rng=tt.rng(2)).data
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: I.ones_(np.ones(2)), TypeError, "expected a tensor, got ndarray"),
        (lambda: I.zeros_(tt.ones(2, requires_grad=True) * 2), RuntimeError, "result of operations"),
        (lambda: I.xavier_normal_(tt.ones(2)), ValueError, r"weight \(out, in, ...\), got shape \(2,\)"),
        (lambda: I.kaiming_normal_(tt.ones((2, 2)), mode="out"), ValueError, "'fan_in' or 'fan_out'"),
        (lambda: I.calculate_gain("gelu"), ValueError, "expected leaky_relu, linear"),
        (lambda: I.calculate_gain("leaky_relu", "x"), ValueError, "must be a number"),
        (lambda: I.eye_(tt.ones(2)), ValueError, "matrix"), (lambda: I.orthogonal_(tt.ones(2)), ValueError, "out, in"),
        (lambda: I.dirac_(tt.ones((3, 3, 3)), 2), ValueError, "divisible by 2"),
        (lambda: I.trunc_normal_(tt.ones(2), a=1, b=0), ValueError, "a < b"),
        (lambda: I.trunc_normal_(tt.ones(2), mean=100.0), ValueError, "almost no number"),
    ],
)  # fmt: skip
def test_messages(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_sparse_columns() -> None:
    w = nn.init.sparse_(tt.zeros((10, 4)), 0.25, std=1.0, rng=tt.rng(0)).data
    assert ((w == 0).sum(0) == 3).all()
    with pytest.raises(ValueError, match="expected a matrix and a share"):
        nn.init.sparse_(tt.zeros(3), 0.1)
