"""Optimizers: PyTorch's trajectories, groups, and what they refuse."""

from __future__ import annotations

import copy
import json

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
    library = pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")
    library.set_default_dtype(library.float64)  # or NAdam's product of momenta is rounded to float32
    yield library
    library.set_default_dtype(library.float32)


def twins(torch):
    theirs = torch.nn.Linear(3, 2).double()
    ours = nn.Linear(3, 2, dtype="float64")
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def assert_same(ours, theirs, rtol=1e-10, atol=1e-12):
    for (key, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(p, q.numpy(), rtol=rtol, atol=atol, err_msg=key)


def closures(torch, ours, theirs, a, b, sign=1.0, parts=4):
    """The same loss in both libraries, on batches in turn: gradients do not die away, and rounding is not amplified."""
    ticks = [0, 0]

    def batch(which):
        ticks[which] += 1
        return X[ticks[which] % parts :: parts], Y[ticks[which] % parts :: parts]

    def our_closure():
        a.zero_grad()
        x, y = batch(0)
        loss = sign * (tt.log(1 + (ours(x) - y) ** 2).mean() + 0.1 * sum((p * p).sum() for p in ours.parameters()))
        loss.backward()
        return loss

    def their_closure():
        b.zero_grad()
        x, y = map(torch.tensor, batch(1))
        loss = sign * (
            torch.log(1 + (theirs(x) - y) ** 2).mean() + 0.1 * sum((p * p).sum() for p in theirs.parameters())
        )
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
    f, g = closures(torch, ours, theirs, a, b, parts=1)
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
    f, g = closures(torch, ours, theirs, a, b, parts=1)
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
    h, k = closures(torch, other, others, c, d, parts=1)
    for _ in range(20):
        c.step(h), d.step(k), a.step(f)
    assert_same(ours, others, 1e-9, 1e-9)
    assert_same(other, others, 1e-9, 1e-9)


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


FIRST_STEPS = {  # from p = 1, g = 2 with lr = 0.1, by hand
    "SGD": ({}, 0.8),
    "Adam": ({}, 0.9),
    "AdamW": ({"weight_decay": 0.5}, 1 - 0.1 * 0.5 - 0.1),
    "RAdam": ({}, 1 - 0.1 * 2),  # not rectified yet: m̂ = g
    "Adamax": ({}, 0.9),
    "Adagrad": ({}, 0.9),
    "RMSprop": ({"alpha": 0.75}, 1 - 0.1 * 2 / 1),  # v = 0.25 · 4
    "Adadelta": ({"rho": 0.75, "eps": 3.0}, 1 - 0.1 * 2 * 3**0.5 / 2),  # √(0 + 3) / √(1 + 3)
    "NAdam": ({"momentum_decay": 0.0, "betas": (0.5, 0.999)}, 1 - 0.1 * (0.75 / 0.75 + 0.25 * 0.5 / (1 - 0.0625))),
}


@pytest.mark.parametrize("name", FIRST_STEPS)
@pytest.mark.parametrize("shape", [(), (2,), (3, 70000), (2, 1, 3)])
def test_first_steps_by_hand(name, shape):
    """Also of a number, and of an array so large that it is updated in blocks."""
    options, expected = FIRST_STEPS[name]
    w = nn.Parameter(np.ones(shape))
    w.grad = np.full(shape, 2.0)
    array = w.data
    getattr(optim, name)([w], lr=0.1, **options).step()
    np.testing.assert_allclose(w.data, np.full(shape, expected), rtol=1e-7)
    assert w.data is array


def test_blocks_follow_the_rows_of_any_layout():
    rng = np.random.default_rng(3)
    start, g = rng.standard_normal((500, 600)), rng.standard_normal((600, 500)).T
    for layout in (np.ascontiguousarray, np.asfortranarray):
        w, pieces = nn.Parameter(layout(start)), [nn.Parameter(np.ascontiguousarray(row)) for row in start]
        whole, parts = optim.Adam([w], lr=0.1, amsgrad=True), optim.Adam(pieces, lr=0.1, amsgrad=True)
        for _ in range(3):
            w.grad = g
            for row, p in zip(g, pieces, strict=True):
                p.grad = row.copy()
            whole.step(), parts.step()
        np.testing.assert_array_equal(w.data, [p.data for p in pieces])


@pytest.mark.parametrize("case", CASES)
def test_a_quadratic_is_minimised(case):
    name, options = CASES[case]
    w = nn.Parameter([1.0, -2.0, 0.5], "float64")
    target = np.array([0.5, 0.5, -1.0])
    lr = {"Adagrad": 1.0, "NAdam": 0.05, "Adamax": 0.1}.get(name, options["lr"])
    optimizer = getattr(optim, name)([w], **{**options, "weight_decay": 0.0, "lr": lr})
    for step in range(600):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / 600)
        optimizer.zero_grad()
        (np.array([1.0, 2.0, 4.0]) * (w - target) ** 2).sum().backward()
        optimizer.step()
    np.testing.assert_allclose(w.data, target, atol=0.02)


def rosenbrock(w):
    return (100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum()


def test_lbfgs_solves_rosenbrock():
    w = nn.Parameter(np.full(8, -1.0))
    optimizer = optim.LBFGS([w], max_iter=200, history_size=10, tolerance_change=1e-14, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(w)
        loss.backward()
        return loss

    with tt.no_grad():  # the closure records all the same
        first = optimizer.step(closure)
    assert first.item() == rosenbrock(np.full(8, -1.0))
    np.testing.assert_allclose(w.data, np.ones(8), atol=1e-7)
    assert optimizer.state_dict()["state"][0]["func_evals"] < 150


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_lbfgs_is_what_it_was_when_the_closure_raises(stop):
    w = nn.Parameter(np.full(4, -1.0))
    optimizer = optim.LBFGS([w], max_iter=5, line_search_fn="strong_wolfe")
    left = [1000]

    def closure():
        left[0] -= 1
        if left[0] == 0:
            raise RuntimeError("stop")
        optimizer.zero_grad()
        loss = rosenbrock(w)
        loss.backward()
        return loss

    optimizer.step(closure)
    before, state = w.data.copy(), optimizer.state_dict()["state"][0]
    left[0] = stop
    with pytest.raises(RuntimeError, match="stop"):
        optimizer.step(closure)
    np.testing.assert_array_equal(w.data, before)
    for key, value in optimizer.state_dict()["state"][0].items():
        np.testing.assert_array_equal(value, state[key], err_msg=key)


def test_lbfgs_leaves_nan_alone():
    w = nn.Parameter([1.0, 2.0])
    optimizer = optim.LBFGS([w])

    def closure():
        optimizer.zero_grad()
        loss = (w * np.nan).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_array_equal(w.data, [1.0, 2.0])


def test_lbfgs_refuses():
    w = nn.Parameter([1.0])
    with pytest.raises(ValueError, match="one group"):
        optim.LBFGS([{"params": [w]}, {"params": [nn.Parameter([1.0])]}])
    with pytest.raises(TypeError, match="needs a closure"):
        optim.LBFGS([w]).step()
    with pytest.raises(ValueError, match="'strong_wolfe' or None, got 'wolfe'"):
        optim.LBFGS([w], line_search_fn="wolfe")
    with pytest.raises(ValueError, match="max_iter must be a positive integer, got 0"):
        optim.LBFGS([w], max_iter=0)
    with pytest.raises(TypeError, match="must be real"):
        optim.LBFGS([tt.tensor([1j], requires_grad=True)])


# ------------------------------------------------------------------------------------------------ a step, whole or not


def test_a_closure_is_called_first_and_its_loss_returned():
    w = nn.Parameter([1.0])
    optimizer = optim.SGD([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with tt.no_grad():
        assert optimizer.step(closure).item() == 1.0
    assert w.item() == 0.8
    assert optimizer.step() is None


def read_only(optimizer, p):
    p.data = np.broadcast_to(np.array(1.0), p.shape)


def misshapen(optimizer, p):
    p.grad.shape = (1, 2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta"])
@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (read_only, ValueError, r"a parameter of shape \(2,\) is in read-only memory; nothing was updated"),
        (misshapen, ValueError, r"a parameter of shape \(2,\) has a gradient of shape \(1, 2\); nothing was updated"),
        (lambda o, p: o.param_groups[1].update(lr=None), TypeError, "lr must be a number, got None"),
        (lambda o, p: o.param_groups[1].update(lr=-1.0), ValueError, "lr must not be negative"),
        (lambda o, p: o.param_groups[1].update(weight_decay="a lot"), TypeError, "weight_decay must be a number"),
    ],
)
def test_all_or_nothing(name, spoil, error, message):
    """The second of three parameters cannot be updated: neither the others nor their state have changed."""
    params = [nn.Parameter([1.0, 2.0]) for _ in range(3)]
    optimizer = getattr(optim, name)([{"params": params[:1]}, {"params": params[1:]}], lr=0.1)
    for _ in range(2):
        for p in params:
            p.grad = np.array([1.0, -2.0])
        optimizer.step()
    before, state = [p.data.copy() for p in params], optimizer.state_dict()["state"]
    spoil(optimizer, params[1])
    if spoil is read_only:
        before[1] = params[1].data.copy()
    with pytest.raises(error, match=f"{name}: {message}"):
        optimizer.step()
    np.testing.assert_array_equal([p.data for p in params], before)
    after = optimizer.state_dict()["state"]
    assert {k: {n: v.tolist() for n, v in e.items()} for k, e in after.items()} == {
        k: {n: v.tolist() for n, v in e.items()} for k, e in state.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_overflow_gives_infinity_without_a_stop_halfway(case):
    name, options = CASES[case]
    params = [nn.Parameter([1.0], "float32") for _ in range(2)]
    optimizer = getattr(optim, name)(params, **options)
    for p in params:
        p.grad = np.array([3e38], np.float32)
    with np.errstate(all="raise"):
        optimizer.step()
        optimizer.step()
    assert params[0].item() == params[1].item() or np.isnan(params[0].item())


def test_nan_in_a_gradient_is_a_number_like_others():
    w = nn.Parameter([1.0, 1.0])
    w.grad = np.array([np.nan, 1.0])
    optim.SGD([w], lr=0.5).step()
    np.testing.assert_array_equal(w.data, [np.nan, 0.5])


def test_zero_grad_may_keep_the_memory():
    w, v = nn.Parameter([1.0, 1.0]), nn.Parameter([1.0])
    optimizer = optim.SGD([w, v])
    w.sum().backward()
    g = w.grad
    optimizer.zero_grad(set_to_none=False)
    assert w.grad is g
    assert g.tolist() == [0.0, 0.0]
    assert v.grad is None
    optimizer.zero_grad()
    assert w.grad is None


def test_options_switched_on_later_get_their_memory():
    w = nn.Parameter([1.0])
    for optimizer, option in (
        (optim.SGD([w], lr=0.1), {"momentum": 0.9, "dampening": 0.5}),
        (optim.Adam([w]), {"amsgrad": True}),
        (optim.RMSprop([w]), {"centered": True, "momentum": 0.5}),
    ):
        for _ in range(2):
            w.grad = np.array([1.0])
            optimizer.step()
            optimizer.param_groups[0].update(option)
        state = optimizer.state_dict()["state"][0]
        assert set(state) >= set(optimizer.buffers(optimizer.param_groups[0]))
        if "momentum_buffer" in state and "square_avg" not in state:
            assert state["momentum_buffer"] == 1.0, "the velocity starts at the first gradient that it sees"


# ------------------------------------------------------------------------------------------------------------ states


def trained(name, options, steps, model, optimizer=None):
    optimizer = optimizer or getattr(optim, name)(model.parameters(), **options)
    loss_fn = nn.MSELoss()

    def closure():
        optimizer.zero_grad()
        loss = loss_fn(model(X), Y)
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return optimizer


@pytest.mark.parametrize("case", [*CASES, *LBFGS_CASES])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("through_json", [False, True])
def test_resuming_is_bit_identical(case, dtype, through_json):
    name, options = CASES[case] if case in CASES else ("LBFGS", LBFGS_CASES[case])
    a = nn.MLP(3, [4, 2], activation="tanh", dtype=dtype, rng=tt.rng(0))
    b = nn.MLP(3, [4, 2], activation="tanh", dtype=dtype, rng=tt.rng(1))
    optimizer = trained(name, options, 7, a)
    saved = optimizer.state_dict()
    b.load_state_dict(a.state_dict())
    trained(name, options, 5, a, optimizer)  # the saved state does not move with it
    if through_json:  # numbers as text, arrays as a flat dict, keys as strings
        arrays = {f"{i}.{k}": v for i, entry in saved["state"].items() for k, v in entry.items()}
        assert all(type(v) is np.ndarray for v in arrays.values())
        state = {}
        for key, array in arrays.items():
            index, field = key.split(".")
            state.setdefault(index, {})[field] = array
        saved = {"state": state, "param_groups": json.loads(json.dumps(saved["param_groups"]))}
    resumed = getattr(optim, name)(b.parameters())
    resumed.load_state_dict(saved)
    trained(name, options, 5, b, resumed)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_a_copied_optimizer_moves_its_own_model():
    model = nn.Linear(3, 2, dtype="float64")
    optimizer = trained("Adam", {"lr": 0.1}, 3, model)
    twin, other = copy.deepcopy((model, optimizer))
    assert other.param_groups[0]["params"][0] is twin.weight
    trained("Adam", {}, 3, model, optimizer)
    trained("Adam", {}, 3, twin, other)
    np.testing.assert_array_equal(model.weight.data, twin.weight.data)


def spoiled_states(state):
    def changed(**entries):
        return {**state, "state": {**state["state"], 1: {**state["state"][1], **entries}}}

    group = state["param_groups"][0]
    return [
        ([], TypeError, "expected a state"),
        (
            {**state, "param_groups": [group, group]},
            ValueError,
            r"groups of \[2, 2\] parameters, the optimizer of \[2\]",
        ),
        ({**state, "param_groups": [{**group, "params": [0]}]}, ValueError, r"groups of \[1\] parameters"),
        ({**state, "param_groups": [{**group, "speed": 1}]}, ValueError, r"options \['speed'\]"),
        ({**state, "param_groups": [{**group, "lr": "fast"}]}, TypeError, "lr must be a number, got 'fast'"),
        ({**state, "param_groups": [{**group, "betas": [0.9]}]}, TypeError, "betas must be two numbers"),
        (changed(exp_avg=np.zeros(4)), ValueError, r"exp_avg of parameter 1 has shape \(4,\), expected \(2,\)"),
        (changed(step=np.zeros(4)), ValueError, r"step of parameter 1 has shape \(4,\), expected \(\)"),
        (changed(exp_avg=np.zeros(2, complex)), TypeError, "exp_avg of parameter 1 has dtype complex128"),
        (
            changed(momentum_buffer=np.zeros(2)),
            ValueError,
            "the state of parameter 1 has .*momentum_buffer.*, expected",
        ),
        ({**state, "state": {**state["state"], 7: {}}}, ValueError, "the state of parameter 7 belongs to no group"),
    ]


@pytest.mark.parametrize("number", range(11))
def test_a_state_that_does_not_fit_changes_nothing(number):
    model = nn.Linear(3, 2, dtype="float64")
    optimizer = trained("Adam", {"lr": 0.1}, 3, model)
    before = optimizer.state_dict()
    state, error, message = spoiled_states(before)[number]
    with pytest.raises(error, match=f"Adam: .*{message}"):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for i, entry in before["state"].items():
        for key, value in entry.items():
            np.testing.assert_array_equal(after["state"][i][key], value)


def test_states_of_lbfgs_that_do_not_fit():
    w = nn.Parameter([1.0, 2.0])
    optimizer = optim.LBFGS([w], max_iter=3)
    trained_on = optimizer

    def closure():
        trained_on.zero_grad()
        loss = (w**4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    state = optimizer.state_dict()
    entry = state["state"][0]
    for change, message in (
        ({"d": np.zeros(3)}, r"d has vectors of shape \(3,\), expected \(2,\)"),
        ({"ro": np.zeros(9)}, "must have the same length"),
        ({"speed": np.zeros(9)}, "the state has"),
    ):
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict({**state, "state": {0: {**entry, **change}}})


# ---------------------------------------------------------------------------------------------- groups, averages


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
        (lambda p: optim.Adam([p], betas=0.9), TypeError, "betas must be two numbers, got 0.9"),
        (lambda p: optim.SGD({p}), TypeError, "got a set, whose order is not certain"),
        (lambda p: optim.SGD([{"params": {p}}]), TypeError, "the order of a set is not certain"),
        (lambda p: optim.SGD([{"lr": 1}]), TypeError, "a parameter group is a dict"),
        (lambda p: optim.SGD([tt.tensor([1, 2])]), TypeError, "must be floating, got int64"),
        (lambda p: optim.SGD([p], lr="fast"), TypeError, "lr must be a number, got 'fast'"),
        (
            lambda p: optim.SGD([("w", p), nn.Parameter([1.0])]),
            ValueError,
            "either all parameters of a group have names",
        ),
        (lambda p: optim.RMSprop([p], alpha=1.5), ValueError, r"alpha must lie in \[0, 1\], got 1.5"),
        (lambda p: optim.Adadelta([p], rho=-1), ValueError, r"rho must lie in \[0, 1\], got -1"),
        (lambda p: optim.EMA(nn.Linear(1, 1), 2), ValueError, r"decay must lie in \[0, 1\], got 2"),
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


def test_names_of_parameters_are_kept():
    model = nn.Linear(3, 2)
    optimizer = optim.SGD(model.named_parameters(), lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["weight", "bias"]


def test_decay_groups():
    model = nn.MLP(3, [4, 2])
    groups = optim.decay_groups(model, 0.1, exclude=lambda name, p: name.startswith("0."))
    assert [[p.shape for p in g["params"]] for g in groups] == [[(2, 4), (2,)], [(4, 3), (4,)]]
    assert len(optim.decay_groups(model, exclude=lambda name, p: False)) == 1


def test_ema_gives_the_model_its_weights_back():
    model = nn.Linear(2, 1, dtype="float64")
    ema = optim.EMA(model, 0.5)
    model.weight.data[...] = 1.0
    ema.update()
    model.weight.data[...] = 3.0
    ema.update()
    with pytest.raises(KeyError), ema.average_parameters():
        assert model.weight.data.tolist() == [[2.0, 2.0]]
        raise KeyError
    assert model.weight.data.tolist() == [[3.0, 3.0]]
    twin = nn.Linear(2, 1, dtype="float64")
    ema.copy_to(twin)
    assert twin.weight.data.tolist() == [[2.0, 2.0]]
    state = ema.state_dict()
    for change, message in (
        ({"module.weight": np.ones(3)}, r"weight has shape \(3,\), expected \(1, 2\)"),
        ({"module.speed": np.ones(3)}, "unexpected .'module.speed'"),
    ):
        with pytest.raises(ValueError, match=message):
            ema.load_state_dict({**state, **change})
    model.extra = nn.Parameter([1.0])
    with pytest.raises(ValueError, match="the model has changed .* 'extra'"):
        ema.update()


def test_ema_of_buffers():
    model = nn.Linear(2, 1, dtype="float64")
    model.register_buffer("mean", tt.tensor([1.0]))
    ema = optim.EMA(model, 0.5, use_buffers=True)
    ema.update()
    model.mean.data[...] = 2.0
    ema.update()
    assert ema.state_dict()["module.mean"].tolist() == [1.5]
    assert "module.mean" not in optim.EMA(model).state_dict()


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adadelta"])
def test_small_parameters_together_are_updated_as_each_alone(name, monkeypatch):
    """Bit by bit: with gradients that are missing now and then, other memory orders, states loaded in between."""

    def trained(most):
        monkeypatch.setattr(tt.optim.optimizer, "MOST", most)
        rng = np.random.default_rng(0)
        shapes = [(3, 2), (), (5,), (2, 2, 2), (4, 3)]
        params = [tt.nn.Parameter(rng.normal(size=s), "float32") for s in shapes]
        params[4].data = np.asfortranarray(params[4].data)
        options = {"momentum": 0.9} if name == "RMSprop" else {}
        make = lambda: getattr(tt.optim, name)(params, lr=0.05, weight_decay=0.01, **options)  # noqa: E731
        optimizer = make()
        for step in range(12):
            for k, p in enumerate(params):
                p.grad = rng.normal(size=p.shape).astype("float32")
                if step in (4, 7) and k == 2:
                    p.grad = None
            if step == 9:
                state, optimizer = optimizer.state_dict(), make()
                optimizer.load_state_dict(state)
            if step == 10:
                params[0].data[...] += 1
            optimizer.step()
        return [p.data.copy() for p in params], optimizer.state_dict()

    (together, s1), (alone, s2) = trained(1 << 12), trained(0)
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a, b)
    for k in s1["state"]:
        for key, value in s1["state"][k].items():
            np.testing.assert_array_equal(value, s2["state"][k][key])


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta"])
def test_options_of_pytorchs_implementation_are_taken(name):
    make = getattr(optim, name)
    w = nn.Parameter([1.0])
    optimizer = make([{"params": [w], "fused": None}], lr=0.1, foreach=True, fused=False, differentiable=False)
    assert "foreach" not in optimizer.param_groups[0]
    with pytest.raises(ValueError, match="differentiable=True is not supported"):
        make([w], differentiable=True)
    with pytest.raises(TypeError, match=f"{name}: there is no option 'momentun'; it takes lr, "):
        make([w], momentun=0.9)


@pytest.mark.parametrize("make", [np.array, tt.tensor, np.float32])
def test_a_rate_may_be_an_array_and_is_a_number_in_the_state(make):
    w = nn.Parameter([1.0], "float64")
    optimizer = optim.SGD([w], lr=make(0.5))
    w.grad = np.ones(1)
    optimizer.step()
    assert w.item() == 0.5
    assert json.loads(json.dumps(optimizer.state_dict()["param_groups"]))[0]["lr"] == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda m: optim.Adam(m), "expected parameters, got Linear; pass model.parameters()"),
        (lambda m: optim.Adam(None), "expected parameters, got NoneType"),
        (
            lambda m: optim.Adam(dict(m.named_parameters())),
            r"got a dict of \['weight', 'bias'\]; pass model.parameters",
        ),
        (lambda m: optim.Adam(m.parameters(), lr="0.1"), "lr must be a number, got '0.1'"),
        (lambda m: optim.SGD(m.parameters(), momentum=0.9, dampening="x"), "dampening must be a number"),
        (lambda m: optim.RMSprop(m.parameters(), alpha="x"), "alpha must be a number"),
        (lambda m: optim.Adadelta(m.parameters(), rho=None), "rho must be a number"),
        (lambda m: optim.LBFGS([{"params": []}]), "expected an iterable of parameters, got nothing"),
        (lambda m: optim.EMA(3), "EMA: expected a model, got int"),
        (lambda m: optim.EMA(m, "x"), "EMA: decay must be a number"),
        (lambda m: optim.EMA(m).load_state_dict(3), "EMA: expected a state"),
        (lambda m: optim.decay_groups(3), "decay_groups: expected a model, got int"),
    ],
)
def test_what_is_no_parameter_or_number_is_said(make, message):
    with pytest.raises(TypeError, match=message):
        make(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"param_groups": 3}, TypeError, "this is no optimizer's state"),
        ({"param_groups": [3]}, TypeError, "this is no optimizer's state"),
        ({"param_groups": [{"lr": 1}]}, TypeError, "this is no optimizer's state"),
        ({"state": [1]}, TypeError, "this is no optimizer's state"),
        ({"state": {0: 3}}, TypeError, "this is no optimizer's state"),
        ({"state": {"x": {}}}, ValueError, "the state of parameter x belongs to no group"),
        ({"state": {0: {"step": np.nan, "exp_avg": np.zeros(2), "exp_avg_sq": np.zeros(2)}}}, ValueError, "got nan"),
        ({"state": {0: {"step": -1, "exp_avg": np.zeros(2), "exp_avg_sq": np.zeros(2)}}}, ValueError, "from 0, got -1"),
    ],
)
def test_states_that_are_no_states(change, error, message):
    optimizer = optim.Adam([nn.Parameter([1.0, 2.0])])
    with pytest.raises(error, match=f"Adam: .*{message}"):
        optimizer.load_state_dict({**optimizer.state_dict(), **change})
    group = {**optimizer.state_dict()["param_groups"][0], "params": [0, 0]}
    two = optim.Adam([nn.Parameter([1.0]), nn.Parameter([1.0])])
    with pytest.raises(ValueError, match="numbers two parameters alike"):
        two.load_state_dict({"state": {}, "param_groups": [group]})


def random_options(name, rng):
    options = {"lr": rng.uniform(0.001, 0.05), "weight_decay": rng.choice([0.0, 0.05]), "maximize": rng.random() < 0.3}
    if name in ("Adam", "AdamW", "NAdam", "RAdam", "Adamax"):
        options["betas"] = (rng.choice([0.0, 0.5, 0.9]), rng.choice([0.5, 0.999]))
    if name in ("Adam", "AdamW"):
        options["amsgrad"] = rng.random() < 0.5
    if name in ("NAdam", "RAdam"):
        options["decoupled_weight_decay"] = rng.random() < 0.5
    if name == "SGD":
        options |= {"momentum": rng.choice([0.0, 0.9]), "dampening": rng.choice([0.0, 0.3])}
    if name == "RMSprop":
        options |= {"momentum": rng.choice([0.0, 0.9]), "centered": rng.random() < 0.5, "eps": 1e-2}
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in options.items()}


@pytest.mark.peers
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta"])
@pytest.mark.parametrize("seed", range(3))
def test_random_lives_of_parameters_are_pytorchs(name, seed, torch):
    """200 steps: groups, missing gradients, freezing, new arrays, new groups, states through JSON, other rates."""
    rng = np.random.default_rng([seed, len(name)])
    ours, theirs = [], []

    def group():
        shapes = [[(), (3,), (2, 3), (4, 7), (5, 1, 2), (0,)][i] for i in rng.integers(6, size=rng.integers(3, 9))]
        arrays = [rng.normal(size=s) for s in shapes]
        mine, other = [nn.Parameter(a.copy()) for a in arrays], [torch.nn.Parameter(torch.tensor(a)) for a in arrays]
        ours.extend(mine), theirs.extend(other)
        options = random_options(name, rng)
        return {"params": mine, **options}, {"params": other, **options}

    pairs = [group() for _ in range(2)]
    a = getattr(optim, name)([p[0] for p in pairs])
    b = getattr(torch.optim, name)([p[1] for p in pairs])
    for step in range(200):
        k, event = rng.integers(len(ours)), rng.random()
        if event < 0.01:
            mine, other = group()
            a.add_param_group(mine), b.add_param_group(other)
        elif event < 0.05:
            array = rng.normal(size=ours[k].shape)
            ours[k].data, theirs[k].data = np.array(array, order="F"), torch.tensor(array)
        elif event < 0.08:
            ours[k].requires_grad_(event < 0.065), theirs[k].requires_grad_(event < 0.065)
        elif event < 0.09:
            saved, index = a.state_dict(), 0
            assert [g["params"] for g in saved["param_groups"]] == [g["params"] for g in b.state_dict()["param_groups"]]
            saved["param_groups"] = json.loads(json.dumps(saved["param_groups"]))
            a = getattr(optim, name)([{"params": g["params"]} for g in a.param_groups])
            a.load_state_dict(saved)
        elif event < 0.1:
            index = rng.integers(len(a.param_groups))
            a.param_groups[index]["lr"] = b.param_groups[index]["lr"] = rng.uniform(0.001, 0.05)
        for p, q in zip(ours, theirs, strict=True):
            noise = rng.normal(size=p.shape)
            if not p.requires_grad or (step % 20 > 15 and rng.random() < 0.2):
                q.grad = None
                if p.requires_grad:
                    p.grad = None
            else:
                p.grad, q.grad = 0.7 * p.data + noise, 0.7 * q.detach() + torch.tensor(noise)
        a.step(), b.step()
        if step % 10 == 9:
            for p, q in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-10, atol=1e-11, err_msg=str(step))
