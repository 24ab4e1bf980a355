"""Optimizers: PyTorch's trajectories, groups, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim

CASES = {
    "SGD": ("SGD", {"lr": 0.05}),
    "SGD decay": ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    "SGD momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "SGD dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "SGD nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "Adam": ("Adam", {"lr": 0.05}),
    "Adam decay": ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    "AdamW": ("AdamW", {"lr": 0.05}),
    "AdamW decay": ("AdamW", {"lr": 0.05, "weight_decay": 0.3}),
}
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((20, 3)), RNG.standard_normal((20, 2))


@pytest.mark.peers
@pytest.mark.parametrize("case", CASES)
def test_trajectories_are_pytorchs(case):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")
    name, options = CASES[case]
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    ours = nn.MLP(3, [4, 2], activation="tanh", dtype="float64")
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    a, b = (
        getattr(optim, name)(ours.parameters(), **options),
        getattr(torch.optim, name)(theirs.parameters(), **options),
    )
    loss_fn, tx, ty = nn.MSELoss(), torch.tensor(X), torch.tensor(Y)
    for step in range(200):
        for optimizer in (a, b):
            optimizer.param_groups[0]["lr"] = options["lr"] / (1 + step / 50)
        a.zero_grad()
        loss_fn(ours(X), Y).backward()
        a.step()
        b.zero_grad()
        torch.nn.functional.mse_loss(theirs(tx), ty).backward()
        b.step()
    for (key, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(p, q.numpy(), rtol=1e-8, atol=1e-9, err_msg=key)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_optimizer_goes_down_and_keeps_the_dtype(case, dtype):
    name, options = CASES[case]
    model = nn.MLP(3, [4, 2], activation="tanh", dtype=dtype, rng=tt.rng(0))
    optimizer, loss_fn, losses = getattr(optim, name)(model.parameters(), **options), nn.MSELoss(), []
    arrays = [p.data for p in model.parameters()]
    for _ in range(50):
        optimizer.zero_grad()
        loss = loss_fn(model(X), Y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    for p, array in zip(model.parameters(), arrays, strict=True):
        assert p.data is array, "updated in place"
        assert p.dtype == dtype
        assert p.is_leaf
        assert p.requires_grad


def test_the_first_step_of_adam_is_lr():
    w = nn.Parameter([1.0, -2.0], "float64")
    optimizer = optim.Adam([w], lr=0.1)
    (w * [3.0, -500.0]).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(w.data, [0.9, -1.9], rtol=1e-8)


def test_parameters_without_gradient_stay():
    a, b = nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = optim.AdamW([a, b], lr=0.1)
    (a * 2).sum().backward()
    optimizer.step()
    assert a.item() != 1
    assert b.item() == 1


def test_groups_have_options_of_their_own():
    a, b = nn.Parameter([1.0], "float64"), nn.Parameter([1.0], "float64")
    optimizer = optim.SGD([{"params": [a], "lr": 0.1}, {"params": b}], lr=0.01)
    (a + b).sum().backward()
    optimizer.step()
    assert (a.item(), b.item()) == (0.9, 0.99)
    optimizer.zero_grad()
    assert a.grad is None


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: optim.SGD(p), TypeError, "expected an iterable of parameters, got one tensor"),
        (lambda p: optim.SGD([]), TypeError, "got nothing"),
        (lambda p: optim.SGD([p, p]), ValueError, r"a parameter of shape \(1,\) is given twice"),
        (lambda p: optim.SGD([p * 2]), TypeError, "leaf tensors, got the result of an operation"),
        (lambda p: optim.SGD([np.ones(1)]), TypeError, "leaf tensors, got ndarray"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "lr must not be negative, got -1"),
        (lambda p: optim.SGD([p], lr=float("nan")), ValueError, "lr must not be negative, got nan"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "Nesterov momentum needs"),
        (lambda p: optim.SGD([p], momentum=-0.1), ValueError, "momentum must not be negative"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, r"betas must lie in \[0, 1\)"),
        (lambda p: optim.Adam([{"params": [p], "momentum": 1}]), TypeError, "does not take momentum"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(nn.Parameter([1.0]))


def test_a_step_between_forward_and_backward_is_noticed():
    w = nn.Parameter([2.0], "float64")
    optimizer = optim.SGD([w], lr=0.1)
    (w * w).sum().backward()
    loss = (w * w).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="overwritten in place"):
        loss.backward()


def test_a_step_under_a_view_is_noticed():
    w = nn.Parameter(np.ones((2, 2)), "float64")
    optimizer = optim.SGD([w], lr=0.1)
    (w * w).sum().backward()
    loss = (w.T @ tt.tensor(np.ones((2, 2)), requires_grad=True)).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="overwritten in place"):
        loss.backward()
