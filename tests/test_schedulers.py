"""Schedules of the learning rate: PyTorch's numbers, resumed and refused."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tinytensor import nn, optim
from tinytensor.optim import lr_scheduler as ours

#: name -> (make(schedulers, optimizer), steps). Written once, run with PyTorch's schedulers and with ours.
CASES = {
    "step": (lambda s, o: s.StepLR(o, 30, gamma=0.5), 200),
    "multi-step": (lambda s, o: s.MultiStepLR(o, [150, 20, 20, 80], gamma=0.3), 200),
    "constant": (lambda s, o: s.ConstantLR(o, factor=0.4, total_iters=7), 200),
    "exponential": (lambda s, o: s.ExponentialLR(o, 0.97), 200),
    "linear": (lambda s, o: s.LinearLR(o, 0.1, 0.9, total_iters=40), 200),
    "linear default": (lambda s, o: s.LinearLR(o), 20),
    "polynomial": (lambda s, o: s.PolynomialLR(o, total_iters=150, power=2.0), 200),
    "cosine": (lambda s, o: s.CosineAnnealingLR(o, 30, eta_min=0.01), 200),
    "cosine restarts": (lambda s, o: s.CosineAnnealingWarmRestarts(o, 7, T_mult=2, eta_min=0.001), 200),
    "cosine restarts equal": (lambda s, o: s.CosineAnnealingWarmRestarts(o, 9), 200),
    "one cycle": (lambda s, o: s.OneCycleLR(o, [0.5, 0.1], total_steps=200), 199),
    "one cycle linear": (
        lambda s, o: s.OneCycleLR(o, 0.5, epochs=10, steps_per_epoch=20, anneal_strategy="linear", pct_start=0.25), 199,
    ),
    "one cycle three phases": (lambda s, o: s.OneCycleLR(o, 0.5, total_steps=200, three_phase=True), 199),
    "one cycle rate only": (lambda s, o: s.OneCycleLR(o, 0.5, total_steps=200, cycle_momentum=False), 199),
    "cyclic": (lambda s, o: s.CyclicLR(o, 0.1, [0.5, 0.9], step_size_up=13, step_size_down=20), 200),
    "cyclic halves": (lambda s, o: s.CyclicLR(o, 0.1, 0.5, step_size_up=13, mode="triangular2"), 200),
    "cyclic range": (lambda s, o: s.CyclicLR(o, 0.1, 0.5, 13, mode="exp_range", gamma=0.99, cycle_momentum=False), 200),
    "cyclic own": (lambda s, o: s.CyclicLR(o, 0.1, 0.5, 13, scale_fn=lambda x: 1 / x, scale_mode="cycle"), 200),
    "lambda": (lambda s, o: s.LambdaLR(o, [lambda t: 0.95**t, lambda t: 1 / (1 + t)]), 200),
    "multiplicative": (lambda s, o: s.MultiplicativeLR(o, lambda t: 0.99 if t % 3 else 1.01), 200),
    "chained": (lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 20), s.ExponentialLR(o, 0.98)]), 200),
    "chained cosine": (
        lambda s, o: s.ChainedScheduler([s.LinearLR(o, 0.2, total_iters=9), s.CosineAnnealingLR(o, 50)], optimizer=o), 200,
    ),
    "two by hand": (lambda s, o: (s.StepLR(o, 25, 0.5), s.CosineAnnealingLR(o, 60), s.PolynomialLR(o, 500)), 200),
    "warm-up, cosine": (
        lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.01, total_iters=10), s.CosineAnnealingLR(o, 190)], [10]), 200,
    ),
    "warm-up, step, exponential": (
        lambda s, o: s.SequentialLR(
            o, [s.LinearLR(o, 0.1, total_iters=10), s.StepLR(o, 20, 0.5), s.ExponentialLR(o, 0.9)], [10, 90]
        ), 200,
    ),
    "warm-up, restarts": (
        lambda s, o: s.SequentialLR(
            o, [s.ConstantLR(o, 0.1, 5), s.CosineAnnealingWarmRestarts(o, 10, 2), s.PolynomialLR(o, 50)], [5, 120]
        ), 200,
    ),
}  # fmt: skip
PLATEAUS = {
    "default": {"patience": 3, "factor": 0.5},
    "absolute": {"patience": 2, "factor": 0.3, "threshold": 0.1, "threshold_mode": "abs", "cooldown": 4},
    "max": {"mode": "max", "patience": 1, "factor": 0.5, "min_lr": [0.01, 0.02]},
    "max absolute": {"mode": "max", "threshold_mode": "abs", "patience": 1, "min_lr": 0.001},
}
METRICS = np.abs(np.sin(np.arange(200) * 1.7)) + np.exp(-np.arange(200) / 40)
METRICS[50] = np.nan


def our_optimizer(name="SGD", rates=(0.2, 0.05)):
    options = {"momentum": 0.9} if name == "SGD" else {}
    return getattr(optim, name)([{"params": [nn.Parameter([1.0])], "lr": lr} for lr in rates], lr=0.1, **options)


def rates(optimizer, scheduler, steps, metrics=None):
    """(rates, momenta) of all groups at every step."""
    found = []
    for i in range(steps + 1):
        momenta = [g["betas"][0] if "betas" in g else g["momentum"] for g in optimizer.param_groups]
        found.append([g["lr"] for g in optimizer.param_groups] + momenta)
        if i < steps:
            optimizer.step()
            for each in scheduler if isinstance(scheduler, tuple) else (scheduler,):
                each.step(*([] if metrics is None else [metrics[i]]))
                assert each.get_last_lr() == [g["lr"] for g in optimizer.param_groups]
    return np.array(found)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed (extra: peers)")


def their_optimizer(torch, name="SGD"):
    options = {"momentum": 0.9} if name == "SGD" else {}
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in (0.2, 0.05)]
    return getattr(torch.optim, name)(groups, lr=0.1, **options)


@pytest.mark.peers
@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("case", CASES)
def test_rates_are_pytorchs(case, name, torch):
    make, steps = CASES[case]
    a, b = our_optimizer(name), their_optimizer(torch, name)
    theirs = torch.optim.lr_scheduler
    mine, other = rates(a, make(ours, a), steps), rates(b, make(theirs, b), steps)
    np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-14)


@pytest.mark.peers
@pytest.mark.parametrize("case", PLATEAUS)
def test_plateaus_are_pytorchs(case, torch):
    a, b = our_optimizer(), their_optimizer(torch)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(b, **PLATEAUS[case])
    mine = rates(a, ours.ReduceLROnPlateau(a, **PLATEAUS[case]), 200, METRICS)
    np.testing.assert_allclose(mine, rates(b, theirs, 200, METRICS), rtol=1e-12)
    assert len(set(mine[:, 0])) > 2


@pytest.mark.peers
@pytest.mark.parametrize("case", ["step", "multi-step", "cosine restarts", "chained", "warm-up, cosine", "lambda"])
def test_a_state_of_pytorch_is_understood(case, torch):
    make, _ = CASES[case]
    a, b = our_optimizer(), their_optimizer(torch)
    mine, theirs = make(ours, a), make(torch.optim.lr_scheduler, b)
    rates(b, theirs, 40)
    mine.load_state_dict(theirs.state_dict())
    for group, other in zip(a.param_groups, b.param_groups, strict=True):
        group["lr"] = other["lr"]
    np.testing.assert_allclose(rates(a, mine, 30), rates(b, theirs, 30), rtol=1e-10)


@pytest.mark.parametrize("case", [*CASES, *PLATEAUS])
def test_resuming_is_bit_identical(case):
    """Optimizer and schedule, through JSON, in the middle."""
    if case in CASES:
        make, steps, metrics = *CASES[case], None
    else:
        make, steps, metrics = lambda s, o: s.ReduceLROnPlateau(o, **PLATEAUS[case]), 199, METRICS
    a, b = our_optimizer(), our_optimizer(rates=(1.0, 1.0))
    one, two = make(ours, a), make(ours, b)
    rates(a, one, steps // 3, metrics)
    pairs = zip(one, two, strict=True) if isinstance(one, tuple) else [(one, two)]
    for s, t in pairs:
        t.load_state_dict(json.loads(json.dumps(s.state_dict())))
    b.load_state_dict({"state": {}, "param_groups": json.loads(json.dumps(a.state_dict()["param_groups"]))})
    rest = None if metrics is None else metrics[steps // 3 :]
    left = steps - steps // 3 - (0 if metrics is None else 1)
    np.testing.assert_array_equal(rates(a, one, left, rest), rates(b, two, left, rest))


BY_HAND = {
    "step": (lambda o: ours.StepLR(o, 2, 0.5), [1, 1, 0.5, 0.5, 0.25]),
    "multi-step": (lambda o: ours.MultiStepLR(o, [1, 3], 0.5), [1, 0.5, 0.5, 0.25, 0.25]),
    "exponential": (lambda o: ours.ExponentialLR(o, 0.5), [1, 0.5, 0.25, 0.125]),
    "constant": (lambda o: ours.ConstantLR(o, 0.25, 2), [0.25, 0.25, 1, 1]),
    "constant 0": (lambda o: ours.ConstantLR(o, 0.0, 2), [0, 0, 1, 1]),
    "linear": (lambda o: ours.LinearLR(o, 0.5, 1.0, 2), [0.5, 0.75, 1, 1]),
    "polynomial": (lambda o: ours.PolynomialLR(o, 4, 1.0), [1, 0.75, 0.5, 0.25, 0, 0]),
    "cosine": (lambda o: ours.CosineAnnealingLR(o, 2), [1, 0.5, 0, 0.5, 1, 0.5]),
    "restarts": (lambda o: ours.CosineAnnealingWarmRestarts(o, 2, 2), [1, 0.5, 1, 0.5 + math.sqrt(0.125), 0.5]),
    "one cycle": (
        lambda o: ours.OneCycleLR(o, 1.0, 5, pct_start=0.6, div_factor=2, final_div_factor=5, anneal_strategy="linear"),
        [0.5, 0.75, 1, 0.55, 0.1],
    ),
    "sequence": (
        lambda o: ours.SequentialLR(o, [ours.ConstantLR(o, 0.5, 9), ours.ExponentialLR(o, 0.5)], [2]),
        [0.5, 0.5, 1, 0.5, 0.25],
    ),
    "a chain, then a part": (
        lambda o: ours.SequentialLR(
            o,
            [
                ours.ChainedScheduler([ours.ConstantLR(o, 0.5, 9), ours.ExponentialLR(o, 0.5)]),
                ours.ExponentialLR(o, 0.5),
            ],
            [2],
        ),
        [0.5, 0.25, 1, 0.5],
    ),
    "a sequence in a sequence": (
        lambda o: ours.SequentialLR(
            o,
            [
                ours.SequentialLR(o, [ours.ConstantLR(o, 0.5, 9), ours.ExponentialLR(o, 0.5)], [1]),
                ours.ExponentialLR(o, 0.25),
            ],
            [3],
        ),
        [0.5, 1, 0.5, 1, 0.25],
    ),
    "a part, then a chain": (
        lambda o: ours.SequentialLR(
            o,
            [
                ours.ConstantLR(o, 0.5, 9),
                ours.ChainedScheduler([ours.ConstantLR(o, 0.5, 1), ours.ExponentialLR(o, 0.5)]),
            ],
            [1],
        ),
        [0.5, 0.5, 0.5, 0.25],
    ),
    "chain": (
        lambda o: ours.ChainedScheduler([ours.ConstantLR(o, 0.5, 2), ours.ExponentialLR(o, 0.5)]),
        [0.5, 0.25, 0.25, 0.125],
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_rates_by_hand(case):
    make, expected = BY_HAND[case]
    optimizer = our_optimizer(rates=(1.0,))
    np.testing.assert_allclose(rates(optimizer, make(optimizer), len(expected) - 1)[:, 0], expected, atol=1e-15)


def test_a_change_by_hand_is_kept_by_chainable_schedules():
    optimizer = our_optimizer(rates=(1.0,))
    scheduler = ours.StepLR(optimizer, 1, 0.5)
    optimizer.param_groups[0]["lr"] = 8.0
    optimizer.step(), scheduler.step()
    assert scheduler.get_last_lr() == [4.0]
    assert scheduler.base_lrs == [1.0]


def test_last_epoch_continues_a_schedule():
    optimizer = our_optimizer(rates=(1.0,))
    first = ours.ExponentialLR(optimizer, 0.5)
    rates(optimizer, first, 3)
    again = ours.ExponentialLR(optimizer, 0.5, last_epoch=first.last_epoch)
    assert again.base_lrs == [1.0]
    assert again.last_epoch == 4
    with pytest.raises(KeyError, match="group 0 of the optimizer has no initial_lr"):
        ours.ExponentialLR(our_optimizer(), 0.5, last_epoch=3)


def test_stepping_before_the_optimizer_warns():
    optimizer = our_optimizer()
    scheduler = ours.ExponentialLR(optimizer, 0.5)
    with pytest.warns(UserWarning, match=r"step\(\) was called before optimizer.step\(\)"):
        scheduler.step()


def test_a_step_that_raises_changes_nothing():
    optimizer = our_optimizer("Adam")
    scheduler = ours.OneCycleLR(optimizer, 1.0, total_steps=3)
    rates(optimizer, scheduler, 3)
    state, groups = scheduler.state_dict(), optimizer.state_dict()["param_groups"]
    with pytest.raises(ValueError, match="step 4 of a cycle of 3 steps"):
        scheduler.step()
    assert scheduler.state_dict() == state
    assert optimizer.state_dict()["param_groups"] == groups

    scheduler = ours.LambdaLR(optimizer, lambda t: 1 / (1 - t))
    with pytest.raises(ZeroDivisionError):
        scheduler.step()
    assert scheduler.last_epoch == 0


O = our_optimizer()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ours.StepLR(nn.Linear(1, 1), 3), TypeError, "StepLR: expected an optimizer, got Linear"),
        (lambda: ours.StepLR(O, 0), ValueError, "step_size must be a positive integer, got 0"),
        (lambda: ours.CosineAnnealingLR(O, 1.5), ValueError, "T_max must be a positive integer, got 1.5"),
        (lambda: ours.CosineAnnealingWarmRestarts(O, 3, 0), ValueError, "T_mult must be a positive integer"),
        (lambda: ours.ConstantLR(O, 2), ValueError, r"factor must lie in \[0, 1\], got 2"),
        (lambda: ours.LinearLR(O, 0.0), ValueError, r"start_factor must lie in \(0, 1\], got 0.0"),
        (lambda: ours.LambdaLR(O, [abs]), ValueError, "lr_lambda has 1 values, the optimizer 2 groups"),
        (lambda: ours.LambdaLR(O, 0.5), TypeError, "lr_lambda must be a function, got float"),
        (lambda: ours.OneCycleLR(O, 1.0), ValueError, "give total_steps, or epochs and steps_per_epoch"),
        (lambda: ours.OneCycleLR(O, 1.0, 9, pct_start=2), ValueError, r"pct_start must lie in \[0, 1\], got 2"),
        (lambda: ours.OneCycleLR(O, 1.0, 9, anneal_strategy="sin"), ValueError, "'cos' or 'linear', got 'sin'"),
        (
            lambda: ours.OneCycleLR(optim.Adagrad([nn.Parameter([1.0])]), 1.0, 9), ValueError,
            "Adagrad has neither momentum nor betas; pass cycle_momentum=False",
        ),
        (lambda: ours.CyclicLR(O, 0.1, 1.0, mode="square"), ValueError, "mode is 'triangular'"),
        (lambda: ours.ReduceLROnPlateau(O, mode="least"), ValueError, "mode is 'min' or 'max', got 'least'"),
        (lambda: ours.ReduceLROnPlateau(O, threshold_mode="x"), ValueError, "threshold_mode is 'rel' or 'abs'"),
        (lambda: ours.ReduceLROnPlateau(O, factor=1.0), ValueError, r"factor must lie in \[0, 1\), got 1.0"),
        (lambda: ours.ReduceLROnPlateau(O).step(), TypeError, r"step\(metric\) needs a number, got None"),
        (lambda: ours.SequentialLR(O, [], []), ValueError, "at least one scheduler"),
        (lambda: ours.SequentialLR(O, [O], []), TypeError, "expected schedulers, number 0 is a SGD"),
        (lambda: ours.SequentialLR(O, [ours.StepLR(O, 1)], [3]), ValueError, "1 schedulers need 0 milestones"),
        (lambda: ours.ChainedScheduler([ours.ReduceLROnPlateau(O)]), ValueError, "needs a metric in each step"),
        (
            lambda: ours.ChainedScheduler([ours.StepLR(O, 1), ours.StepLR(our_optimizer(), 1)]), ValueError,
            "belong to the same optimizer, number 1 does not",
        ),
        (
            lambda: ours.StepLR(O, 1).load_state_dict(ours.ExponentialLR(O, 0.5).state_dict()), ValueError,
            "this is the state of another scheduler: missing .'step_size'",
        ),
        (
            lambda: ours.ChainedScheduler([ours.StepLR(O, 1)]).load_state_dict(
                ours.ChainedScheduler([ours.ExponentialLR(O, 1)]).state_dict()
            ), ValueError, "StepLR: this is the state of another scheduler",
        ),
        (lambda: ours.LRScheduler(O), NotImplementedError, r"LRScheduler has no get_lr\(\)"),
    ],
)  # fmt: skip
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_restarts_go_to_fractions_of_an_epoch():
    """cos(π t / 4) from 1 in the first cycle, twice as slow in the second."""
    optimizer = our_optimizer(rates=(1.0,))
    scheduler = ours.CosineAnnealingWarmRestarts(optimizer, 4, 2)
    optimizer.step()
    for epoch, cycle in ((0.5, 0.125), (2.0, 0.5), (4.0, 0.0), (6.0, 0.25), (13.0, 1 / 16)):
        scheduler.step(epoch)
        np.testing.assert_allclose(scheduler.get_last_lr(), (1 + math.cos(math.pi * cycle)) / 2, rtol=1e-14)
        assert scheduler.last_epoch == int(epoch)
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match="epoch must be a number from 0, got -1"):
        scheduler.step(-1)
    assert scheduler.state_dict() == before


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize(
    "case", ["step", "multi-step", "constant", "exponential", "linear", "polynomial", "cosine", "lambda"]
)
def test_a_step_to_an_epoch_is_pytorchs(case, torch):
    a, b = our_optimizer(), their_optimizer(torch)
    mine, theirs = CASES[case][0](ours, a), CASES[case][0](torch.optim.lr_scheduler, b)
    a.step(), b.step()
    for epoch in (7, 3, 40, 0):
        mine.step(epoch), theirs.step(epoch)
        np.testing.assert_allclose(mine.get_last_lr(), theirs.get_last_lr(), rtol=1e-12)
        assert mine.last_epoch == theirs.last_epoch


@pytest.mark.peers
@pytest.mark.parametrize(
    "case", ["one cycle", "one cycle linear", "one cycle three phases", "cyclic", "cyclic halves", "plateau"]
)
def test_states_with_functions_and_phases_go_both_ways(case, torch):
    make = CASES[case][0] if case in CASES else lambda s, o: s.ReduceLROnPlateau(o, patience=1)
    metric = [] if case in CASES else [1.0]
    a, b = our_optimizer(), their_optimizer(torch)
    mine, theirs = make(ours, a), make(torch.optim.lr_scheduler, b)
    for _ in range(7):
        b.step(), theirs.step(*metric)
    mine.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(mine.state_dict())
    for group, other in zip(a.param_groups, b.param_groups, strict=True):
        group.update({k: v for k, v in other.items() if k in group and k != "params"})
    for _ in range(30):
        a.step(), b.step(), mine.step(*metric), theirs.step(*metric)
        np.testing.assert_allclose(mine.get_last_lr(), theirs.get_last_lr(), rtol=1e-12)


@pytest.mark.parametrize("make", [np.array, lambda x: np.float32(x), lambda x: __import__("tinytensor").tensor(x)])
def test_a_rate_that_is_an_array_is_scheduled_in_its_memory(make):
    lr = make(0.5)
    optimizer = optim.SGD([nn.Parameter([1.0])], lr=lr)
    scheduler = ours.SequentialLR(
        optimizer, [ours.ConstantLR(optimizer, 0.5, 9), ours.ExponentialLR(optimizer, 0.5)], [1]
    )
    for _ in range(2):
        optimizer.step(), scheduler.step()
    assert [type(x) for x in scheduler.get_last_lr()] == [float]
    assert scheduler.get_last_lr() == [0.25]
    assert type(lr) is np.float32 or float(lr) == 0.25
    json.dumps(scheduler.state_dict())


def test_a_cycle_does_not_change_where_others_begin():
    """``initial_lr`` is what the optimizer began with: the last of a sequence goes on from it."""
    optimizer = our_optimizer(rates=(1.0,))
    parts = [ours.ExponentialLR(optimizer, 0.5), ours.CyclicLR(optimizer, 0.1, 0.2, 4)]
    scheduler = ours.SequentialLR(optimizer, parts, [3])
    np.testing.assert_allclose(rates(optimizer, scheduler, 3)[:, 0], [1.0, 0.5, 0.25, 0.1])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: ours.StepLR(o, 3, "a"), TypeError, "StepLR: gamma must be a number, got 'a'"),
        (lambda o: ours.MultiStepLR(o, 3), TypeError, "milestones must be a list of steps, got 3"),
        (lambda o: ours.MultiStepLR(o, ["a"]), ValueError, "a milestone must be an integer from 0, got 'a'"),
        (lambda o: ours.OneCycleLR(o, "a", 10), TypeError, "max_lr must be a number, got 'a'"),
        (lambda o: ours.OneCycleLR(o, 1.0, 10, div_factor=0), ValueError, "div_factor must be positive, got 0"),
        (lambda o: ours.CyclicLR(o, 0.1, 1.0, 0), ValueError, "the steps up and down must be positive, got 0"),
        (lambda o: ours.ReduceLROnPlateau(o, patience="a"), ValueError, "patience must be an integer from 0, got 'a'"),
        (lambda o: ours.StepLR(o, 1).load_state_dict(None), TypeError, "StepLR: expected a state"),
        (
            lambda o: ours.StepLR(o, 1).load_state_dict({**ours.StepLR(o, 1).state_dict(), "base_lrs": [1, 2, 3]}),
            ValueError, r"the state has \[1, 2, 3\] for base_lrs",
        ),
    ],
)  # fmt: skip
def test_numbers_that_are_none(make, error, message):
    with pytest.raises(error, match=message):
        make(our_optimizer())
    assert ours.StepLR(our_optimizer(), np.int64(3)).state_dict()["step_size"] == 3
    assert not ours.ReduceLROnPlateau(our_optimizer()).in_cooldown
