"""Modules and losses: structure, state, and the same numbers as the scalar engine and PyTorch."""

from __future__ import annotations

import copy
import pickle
import random

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, scalar
from tinytensor.testing import check_grads

F = nn.functional


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")


# ---------------------------------------------------------------------------------------------------------- structure


def test_parameter_counts_of_the_lecture():
    assert sum(p.size for p in nn.MLP(3, [4, 4, 1]).parameters()) == 41
    assert sum(p.size for p in nn.MLP(2, [16, 16, 1]).parameters()) == 337


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.blocks = [nn.Linear(2, 2, bias=False), {"deep": nn.Parameter([1.0])}]
        self.again = self.first
        self.cache = tt.zeros(3)
        self.register_buffer("mean", tt.ones(2))

    def forward(self, x):
        return self.first(x)


def test_parameters_are_found_by_walking():
    m = Shared()
    assert [n for n, _ in m.named_parameters()] == ["first.weight", "first.bias", "blocks.0.weight", "blocks.1.deep"]
    assert list(m.state_dict()) == [
        "first.weight", "first.bias", "blocks.0.weight", "blocks.1.deep", "again.weight", "again.bias", "mean",
    ]  # fmt: skip
    assert [n for n, _ in m.named_modules()] == ["", "first", "blocks.0"]


def test_frozen_parameters_stay_parameters():
    m = nn.Linear(2, 3)
    m.weight.requires_grad_(False)
    assert len(list(m.parameters())) == 2
    m(np.ones((1, 2))).sum().backward()
    assert m.weight.grad is None
    assert m.bias.grad is not None


def test_train_and_eval_reach_every_module():
    m = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))
    assert m.eval() is m
    assert [x.training for x in m.modules()] == [False] * 4
    assert all(x.training for x in m.train().modules())


def test_repr_is_pytorchs():
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.ReLU())) == (
        "Sequential(\n  (0): Linear(in_features=2, out_features=3, bias=True)\n  (1): ReLU()\n)"
    )


def test_state_dict_round_trip():
    a, b = nn.MLP(2, [3, 1], rng=tt.rng(1)), nn.MLP(2, [3, 1], rng=tt.rng(2))
    b.load_state_dict(a.state_dict())
    x = np.ones((4, 2))
    np.testing.assert_array_equal(a(x).data, b(x).data)
    assert not np.shares_memory(a.state_dict()["0.weight"], b.state_dict()["0.weight"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: s.pop("0.bias"), KeyError, "missing .*0.bias"),
        (lambda s: s.update(extra=np.zeros(1)), KeyError, "unexpected .*extra"),
        (lambda s: s.update({"2.weight": np.zeros((9, 9))}), ValueError, r"2.weight has shape \(9, 9\)"),
        (lambda s: s.update({"2.bias": np.zeros(1, complex)}), TypeError, "2.bias has dtype complex128"),
    ],
)
def test_a_bad_state_changes_nothing(change, error, message):
    m = nn.MLP(2, [3, 1])
    before = {k: v.copy() for k, v in m.state_dict().items()}
    state = {k: v + 1 for k, v in before.items()}
    change(state)
    with pytest.raises(error, match=message):
        m.load_state_dict(state)
    for k, v in m.state_dict().items():
        np.testing.assert_array_equal(v, before[k])


def test_models_are_copied_and_pickled():
    m = nn.MLP(2, [3, 1])
    for twin in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        assert isinstance(twin[0].weight, nn.Parameter)
        np.testing.assert_array_equal(twin(np.ones((1, 2))).data, m(np.ones((1, 2))).data)
        twin[0].weight.data += 1
        assert not np.array_equal(twin[0].weight.data, m[0].weight.data)


def test_parameters_are_float32_and_batches_follow():
    m = nn.Linear(2, 3)
    assert m.weight.dtype == np.float32
    for batch in (np.ones((1, 2)), np.ones((1, 2), int), tt.ones((1, 2)), [[1, 1]]):
        assert m(batch).dtype == np.float32
    loss = nn.MSELoss()(m(np.ones((1, 2))), np.zeros((1, 3)))
    assert loss.dtype == np.float32


def test_default_dtype():
    tt.set_default_dtype("float64")
    try:
        assert nn.Linear(2, 3).weight.dtype == np.float64
    finally:
        tt.set_default_dtype("float32")
    with pytest.raises(TypeError, match="floating"):
        tt.set_default_dtype(int)


def test_seeds_make_weights_reproducible():
    tt.manual_seed(3)
    a = nn.MLP(2, [3, 1])
    tt.manual_seed(3)
    b = nn.MLP(2, [3, 1])
    np.testing.assert_array_equal(a[0].weight.data, b[0].weight.data)
    weight = nn.Linear(100, 50, rng=tt.rng(0)).weight.data
    assert abs(weight).max() <= 0.1
    assert weight.std() == pytest.approx(0.1 / 3**0.5, rel=0.05)


# ------------------------------------------------------------------------------------------------------ against scalar


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_mlp_from_scalar_and_back(activation):
    random.seed(7)
    small = scalar.MLP(3, [4, 4, 1], activation=activation)
    big = nn.MLP.from_scalar(small, dtype="float64")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3))
    outs = [small(list(row)) for row in x]
    out = big(x)
    np.testing.assert_allclose(out.data[:, 0], [o.data for o in outs], rtol=1e-13)
    sum(o * o for o in outs).backward()
    (out * out).sum().backward()
    for linear, layer in zip(big.linears, small.layers, strict=True):
        np.testing.assert_allclose(linear.weight.grad, [[w.grad for w in n.w] for n in layer.neurons], rtol=1e-11)
        np.testing.assert_allclose(linear.bias.grad, [n.b.grad for n in layer.neurons], rtol=1e-11)
    state = random.getstate()
    back = big.to_scalar()
    assert random.getstate() == state
    assert [p.data for p in back.parameters()] == [p.data for p in small.parameters()]


# -------------------------------------------------------------------------------------------------------------- losses

X, Y = np.random.default_rng(0).standard_normal((2, 5, 3))
SIGNS, UNIT, CLASSES = np.sign(Y), 1 / (1 + np.exp(-Y)), np.array([0, 2, 1, 1, 0])
LOSSES = {
    "mse": lambda r: lambda x: F.mse_loss(x, Y, reduction=r),
    "hinge": lambda r: lambda x: F.hinge_loss(x, SIGNS, reduction=r),
    "bce": lambda r: lambda x: F.binary_cross_entropy_with_logits(x, UNIT, reduction=r),
    "ce": lambda r: lambda x: F.cross_entropy(x, CLASSES, reduction=r),
    "ce probabilities": lambda r: lambda x: F.cross_entropy(x, UNIT, reduction=r),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_against_finite_differences(name, reduction):
    check_grads(LOSSES[name](reduction), X, order=2)


def test_targets_have_gradients_too():
    check_grads(lambda y: F.mse_loss(X, y), Y, order=2)
    check_grads(lambda y: F.hinge_loss(tt.tensor(X), y), SIGNS * 0.7, order=2)
    check_grads(lambda y: F.cross_entropy(tt.tensor(X), y), UNIT, order=2)


@pytest.mark.peers
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_against_pytorch(torch, name, reduction):
    t = torch.nn.functional
    tx = torch.tensor(X, requires_grad=True)
    theirs = {
        "mse": lambda: t.mse_loss(tx, torch.tensor(Y), reduction=reduction),
        "hinge": lambda: (
            getattr(torch.relu(1 - torch.tensor(SIGNS) * tx), reduction, lambda: None)()
            if reduction != "none"
            else torch.relu(1 - torch.tensor(SIGNS) * tx)
        ),
        "bce": lambda: t.binary_cross_entropy_with_logits(tx, torch.tensor(UNIT), reduction=reduction),
        "ce": lambda: t.cross_entropy(tx, torch.tensor(CLASSES), reduction=reduction),
        "ce probabilities": lambda: t.cross_entropy(tx, torch.tensor(UNIT), reduction=reduction),
    }[name]()
    x = tt.tensor(X, requires_grad=True)
    ours = LOSSES[name](reduction)(x)
    np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-12)
    ours.sum().backward()
    theirs.sum().backward()
    np.testing.assert_allclose(x.grad, tx.grad.numpy(), rtol=1e-11, atol=1e-15)


@pytest.mark.peers
def test_sequential_against_pytorch(torch):
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()
    ours = nn.MLP(3, [5, 2], activation="tanh", dtype="float64")
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    ours(X).sum().backward()
    theirs(torch.tensor(X)).sum().backward()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=1e-12, err_msg=name)


@pytest.mark.peers
def test_cross_entropy_of_images_against_pytorch(torch):
    rng = np.random.default_rng(3)
    x, classes = rng.standard_normal((2, 4, 3, 2)), rng.integers(0, 4, (2, 3, 2))
    ours = F.cross_entropy(x, classes, reduction="none")
    theirs = torch.nn.functional.cross_entropy(torch.tensor(x), torch.tensor(classes), reduction="none")
    np.testing.assert_allclose(ours.data, theirs.numpy(), rtol=1e-12)


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.HingeLoss(), nn.BCEWithLogitsLoss()])
def test_losses_refuse_to_broadcast(loss):
    with pytest.raises(ValueError, match=r"\(5, 1\).*\(5,\).*must be the same"):
        loss(tt.zeros((5, 1)), np.zeros(5))


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (np.array([0, 3, 1, 1, 0]), ValueError, "must lie in 0 … 2, got 0 … 3"),
        (np.array([0, 1]), ValueError, r"class indices \(2,\); expected \(5,\)"),
        (np.zeros((5, 2)), ValueError, "must be the same"),
        (np.zeros(5, bool), TypeError, "must be integers"),
    ],
)
def test_cross_entropy_checks_its_target(target, error, message):
    with pytest.raises(error, match=message):
        F.cross_entropy(tt.tensor(X), target)


def test_losses_do_not_overflow():
    x = tt.tensor([1e4, -1e4], requires_grad=True)
    loss = nn.BCEWithLogitsLoss()(x, [1.0, 0.0])
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(x.grad, [0, 0])
    z = tt.tensor([[1e4, -1e4]], requires_grad=True)
    nn.CrossEntropyLoss()(z, [0]).backward()
    np.testing.assert_array_equal(z.grad, [[0, 0]])


def test_bad_arguments():
    with pytest.raises(ValueError, match="activation must be one of relu, tanh, sigmoid; got 'relo'"):
        nn.MLP(2, [1], activation="relo")
    with pytest.raises(ValueError, match="reduction must be"):
        nn.MSELoss(reduction="avg")
    with pytest.raises(ValueError, match=r"linear: expected x \(..., in\) and weight"):
        nn.Linear(2, 3)(np.ones((4, 5)))
    with pytest.raises(NotImplementedError, match="no forward"):
        nn.Module()(1)
