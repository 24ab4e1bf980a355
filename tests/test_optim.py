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
    "Adam amsgrad": ("Adam", {"lr": 0.05, "betas": (0.9, 0.9), "amsgrad": True}),
    "Adam decoupled": ("Adam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "AdamW": ("AdamW", {"lr": 0.05}),
    "AdamW decay": ("AdamW", {"lr": 0.05, "weight_decay": 0.3}),
    "AdamW amsgrad": ("AdamW", {"lr": 0.05, "betas": (0.9, 0.8), "amsgrad": True}),
    "NAdam": ("NAdam", {"lr": 0.02}),
    "NAdam decay": ("NAdam", {"lr": 0.02, "weight_decay": 0.1, "momentum_decay": 0.01}),
    "NAdam decoupled": ("NAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "RAdam": ("RAdam", {"lr": 0.05}),
    "RAdam decay": ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "betas": (0.8, 0.95)}),
    "RAdam decoupled": ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "RMSprop": ("RMSprop", {"lr": 0.01}),
    "RMSprop decay": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "eps": 1e-4, "weight_decay": 0.1}),
    "RMSprop momentum": ("RMSprop", {"lr": 0.002, "momentum": 0.9}),
    "RMSprop centered": ("RMSprop", {"lr": 0.01, "centered": True}),
    "RMSprop all": ("RMSprop", {"lr": 0.002, "momentum": 0.8, "centered": True, "weight_decay": 0.01}),
    "Adagrad": ("Adagrad", {"lr": 0.1}),
    "Adagrad all": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.01, "initial_accumulator_value": 0.1, "eps": 1e-8},
    ),
    "Adadelta": ("Adadelta", {"lr": 1.0, "eps": 1e-3}),
    "Adadelta all": ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-2, "weight_decay": 0.01}),
    "Adamax": ("Adamax", {"lr": 0.02}),
    "Adamax decay": ("Adamax", {"lr": 0.02, "betas": (0.8, 0.9), "weight_decay": 0.1}),
}
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((20, 3)), RNG.standard_normal((20, 2))


LBFGS_CASES = {
    "fixed": {"lr": 0.1, "max_iter": 4},
    "Wolfe": {"max_iter": 4, "line_search_fn": "strong_wolfe"},
    "short history": {"lr": 0.5, "max_iter": 5, "max_eval": 8, "history_size": 2, "line_search_fn": "strong_wolfe"},
}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")


def twins(torch):
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    ours = nn.MLP(3, [4, 2], activation="tanh", dtype="float64")
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def assert_same(ours, theirs, rtol=1e-10, atol=1e-12):
    for (key, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(p, q.numpy(), rtol=rtol, atol=atol, err_msg=key)


def closures(torch, ours, theirs, a, b, sign=1.0):
    loss_fn, tx, ty = nn.MSELoss(), torch.tensor(X), torch.tensor(Y)

    def our_closure():
        a.zero_grad()
        loss = sign * loss_fn(ours(X), Y)
        loss.backward()
        return loss

    def their_closure():
        b.zero_grad()
        loss = sign * torch.nn.functional.mse_loss(theirs(tx), ty)
        loss.backward()
        return loss

    return our_closure, their_closure


@pytest.mark.peers
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_trajectories_are_pytorchs(case, maximize, torch):
    """200 steps with a falling rate, weights compared at every tenth."""
    name, options = CASES[case]
    torch.manual_seed(0)
    ours, theirs = twins(torch)
    a = getattr(optim, name)(ours.parameters(), **options, maximize=maximize)
    b = getattr(torch.optim, name)(theirs.parameters(), **options, maximize=maximize)
    f, g = closures(torch, ours, theirs, a, b, sign=-1.0 if maximize else 1.0)
    for step in range(200):
        for optimizer in (a, b):
            optimizer.param_groups[0]["lr"] = options["lr"] / (1 + step / 50)
        assert abs(a.step(f).item() - b.step(g).item()) < 1e-10
        if step % 10 == 9:
            assert_same(ours, theirs)


@pytest.mark.peers
@pytest.mark.parametrize("case", LBFGS_CASES)
def test_trajectories_of_lbfgs_are_pytorchs(case, torch):
    """At least 200 updates; then at their ends, where both have converged to rounding."""
    torch.manual_seed(0)
    ours, theirs = twins(torch)
    a = optim.LBFGS(ours.parameters(), **LBFGS_CASES[case])
    b = torch.optim.LBFGS(theirs.parameters(), **LBFGS_CASES[case])
    f, g = closures(torch, ours, theirs, a, b)
    for step in range(50):
        assert abs(a.step(f).item() - b.step(g).item()) < 1e-10, step
        assert_same(ours, theirs, 1e-8, 1e-8)
    mine, other = a.state_dict()["state"][0], b.state_dict()["state"][0]
    assert (mine["n_iter"], mine["func_evals"]) == (other["n_iter"], other["func_evals"])


@pytest.mark.peers
@pytest.mark.parametrize("case", [*CASES, "LBFGS"])
def test_state_goes_to_pytorch_and_back(case, torch):
    """20 steps here, 20 there from the state; the other way round; the same weights as 40 steps in one library."""
    name, options = CASES.get(case, ("LBFGS", LBFGS_CASES["Wolfe"]))
    torch.manual_seed(0)
    ours, theirs = twins(torch)
    other, others = twins(torch)
    others.load_state_dict(theirs.state_dict())
    other.load_state_dict(ours.state_dict())

    def optimizers(a, b):
        a, b = getattr(optim, name)(a.parameters(), **options), getattr(torch.optim, name)(b.parameters(), **options)
        return a, b

    (a, b), (c, d) = optimizers(ours, theirs), optimizers(other, others)
    f, g = closures(torch, ours, theirs, a, b)
    for _ in range(20):
        a.step(f), b.step(g)
    saved = a.state_dict()
    tensors = {i: {k: torch.tensor(v) for k, v in entry.items()} for i, entry in saved["state"].items()}
    if case == "LBFGS":  # rows of a matrix here, lists there
        tensors = {0: {k: list(v) if v.ndim else v.item() for k, v in tensors[0].items() if k not in ("d", "prev_flat_grad")}
                   | {k: tensors[0][k] for k in ("d", "prev_flat_grad")}}  # fmt: skip
    d.load_state_dict({"state": tensors, "param_groups": d.state_dict()["param_groups"]})
    c.load_state_dict(b.state_dict())
    other.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    others.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    h, k = closures(torch, other, others, c, d)
    for _ in range(20):
        c.step(h), d.step(k), a.step(f)
    assert_same(ours, others, 1e-8, 1e-8)
    assert_same(other, others, 1e-8, 1e-8)


@pytest.mark.peers
def test_complex_parameters_are_pytorchs(torch):
    start = RNG.standard_normal(3) + 1j * RNG.standard_normal(3)
    target = RNG.standard_normal(3) + 1j * RNG.standard_normal(3)
    for case, (name, options) in CASES.items():
        if name == "Adagrad" and "initial_accumulator_value" in options:
            continue  # PyTorch begins with x + 0j where it divides by its root
        w = tt.tensor(start, requires_grad=True)
        v = torch.tensor(start, requires_grad=True)
        a, b = getattr(optim, name)([w], **options), getattr(torch.optim, name)([v], **options)
        for _ in range(20):
            a.zero_grad(), b.zero_grad()
            (abs(w - target) ** 2).sum().backward()
            (abs(v - torch.tensor(target)) ** 2).sum().backward()
            a.step(), b.step()
        np.testing.assert_allclose(w.data, v.detach().numpy(), rtol=1e-9, err_msg=case)


@pytest.mark.peers
@pytest.mark.parametrize("decay", [0.9, 0.3])
def test_ema_is_pytorchs(decay, torch):
    ours, theirs = twins(torch)
    swa = torch.optim.swa_utils
    ema, average = optim.EMA(ours, decay), swa.AveragedModel(theirs, multi_avg_fn=swa.get_ema_multi_avg_fn(decay))
    for _ in range(20):
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            p.data[...] = RNG.standard_normal(p.shape)
            q.data = torch.tensor(p.data.copy())
        ema.update()
        average.update_parameters(theirs)
    mine, other = ema.state_dict(), average.state_dict()
    assert list(mine) == list(other)
    for key in mine:
        np.testing.assert_allclose(mine[key], other[key].numpy(), rtol=1e-12)
    fresh = optim.EMA(ours, decay)
    fresh.load_state_dict(other)
    assert fresh.n_averaged == 20


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
