"""Small parameters in common arrays: how many calls a step makes, and that nobody can tell by anything else."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim

OPTIMIZERS = {
    "SGD": {}, "SGD momentum": {"momentum": 0.9}, "Adam": {}, "AdamW": {"weight_decay": 0.1}, "NAdam": {}, "RAdam": {},
    "Adamax": {}, "RMSprop": {"centered": True}, "Adagrad": {}, "Adadelta": {},
}  # fmt: skip


def parameters(count, shape=(3, 2), seed=0):
    rng = np.random.default_rng(seed)
    return [nn.Parameter(rng.normal(size=shape)) for _ in range(count)]


def backward(params, seed=1):
    rng = np.random.default_rng(seed)
    for p in params:
        g = rng.normal(size=p.shape)
        if p.requires_grad:
            p.grad = g


def make(case, params):
    return getattr(optim, case.split()[0])(params, lr=0.01, **OPTIMIZERS[case])


def numpy_calls(f):
    """Calls of NumPy's functions and of arrays' methods that f makes."""
    found = []

    def watch(frame, event, what):
        if event == "c_call":
            owner = getattr(what, "__self__", None)
            module = getattr(what, "__module__", None) or ""
            if isinstance(owner, (np.ndarray, np.ufunc)) or module.startswith("numpy"):
                found.append(what)

    sys.setprofile(watch)
    try:
        f()
    finally:
        sys.setprofile(None)
    return len(found)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_a_step_makes_the_same_calls_for_forty_parameters_as_for_four_hundred(case):
    """Formulas are written in operators, which a profiler does not see: their pieces of work are counted."""
    calls, pieces = {}, {}
    for count in (40, 400):
        params = parameters(count)
        optimizer = make(case, params)
        for _ in range(2):
            backward(params)
            optimizer.step()
        backward(params)
        calls[count] = numpy_calls(optimizer.step)
        ready = optimizer._ready(0, optimizer.param_groups[0])
        pieces[count] = sum(1 for work in ready.work for _ in work)
    assert calls[40] == calls[400]
    assert pieces == {40: 1, 400: 1}


def test_norms_and_zeroing_make_the_same_calls_too():
    calls = {}
    for count in (40, 400):
        params = parameters(count)
        backward(params)
        grads = [p.grad for p in params]
        optimizer = optim.SGD(params)
        calls[count] = [
            numpy_calls(lambda grads=grads: nn.utils.get_total_norm(grads)),
            numpy_calls(lambda params=params: nn.utils.clip_grad_norm_(params, 1e9)),
            numpy_calls(optimizer.zero_grad),
        ]
        assert all(p.grad is None for p in params)
    assert calls[40] == calls[400]
    assert calls[40][2] == 0


def test_clipping_multiplies_each_gradient_once_where_it_is():
    params = parameters(40)
    backward(params)
    arrays, expected = [p.grad for p in params], [p.grad / 2 for p in params]
    norm = nn.utils.get_total_norm(arrays)
    np.testing.assert_allclose(norm, np.sqrt(sum((a * a).sum() for a in arrays)), rtol=1e-14)
    calls = numpy_calls(lambda: nn.utils.clip_grads_with_norm_(params, (norm + 1e-6) / 2, norm))
    assert calls <= 2 * len(params)
    np.testing.assert_allclose(arrays, expected, rtol=1e-14)


def alone(case, params, steps, before=lambda step, params, optimizer: None):
    """The weights after some steps, with each parameter in an optimizer of its own: nothing can be joined."""
    return run([make(case, [p]) for p in params], params, steps, before)


def run(optimizers, params, steps, before):
    for step in range(steps):
        backward(params, seed=step)
        before(step, params, optimizers)
        for optimizer in optimizers:
            optimizer.step()
    return [p.data.copy() for p in params]


def rebound(step, params, _):
    if step == 3:
        params[7].data = np.arange(6.0).reshape(3, 2)
        params[8].data = np.arange(6.0).reshape(2, 3).T
        params[9].data[0] = 5.0


def missing(step, params, _):
    for k in range(step % 5, len(params), 5):
        params[k].grad = None


def frozen(step, params, _):
    params[4].requires_grad_(not 2 <= step < 5)
    if 2 <= step < 5:
        assert params[4].grad is None


held_arrays = []


def held(step, params, _):
    held_arrays[:] = [params[k].data for k in range(step % 3, len(params), 7)]


@pytest.mark.parametrize("case", OPTIMIZERS)
@pytest.mark.parametrize("before", [rebound, missing, frozen, held])
def test_what_is_done_to_parameters_between_steps(case, before):
    together, apart = parameters(20), parameters(20)
    expected = alone(case, apart, 9, before)
    np.testing.assert_array_equal(run([make(case, together)], together, 9, before), expected)


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_parameters_added_later(case):
    first, later = parameters(15), parameters(15, (4,), seed=5)
    optimizer = make(case, first)
    for step in range(3):
        backward(first, step)
        optimizer.step()
    optimizer.param_groups[0]["params"] += later[:5]  # by hand, into a group that has an array
    optimizer.add_param_group({"params": later[5:], "lr": 0.02})
    run([optimizer], first + later, 3, lambda *_: None)
    apart, others = parameters(15), parameters(15, (4,), seed=5)
    singles = [make(case, [p]) for p in apart]
    for step in range(3):
        backward(apart, step)
        for single in singles:
            single.step()
    singles += [make(case, [p]) for p in others]
    for single in singles[20:]:
        single.param_groups[0]["lr"] = 0.02
    run(singles, apart + others, 3, lambda *_: None)
    np.testing.assert_array_equal([p.data for p in first], [p.data for p in apart])
    np.testing.assert_array_equal([p.data for p in later], [p.data for p in others])


@pytest.mark.parametrize("case", OPTIMIZERS)
def test_two_parameters_with_one_memory_are_both_updated(case):
    """One after the other, in the same memory, as PyTorch does; joined, one of the two updates was lost."""
    params = parameters(12)
    params[5].data = params[2].data
    backward(params)
    start = params[2].data.copy()
    alone_first = nn.Parameter(start.copy())
    one, two = make(case, [alone_first]), None
    alone_first.grad = params[2].grad
    one.step()
    second = nn.Parameter(alone_first.data.copy())
    two = make(case, [second])
    second.grad = params[5].grad
    two.step()
    make(case, params).step()
    np.testing.assert_array_equal(params[2].data, second.data)
    assert np.shares_memory(params[2].data, params[5].data)


def test_an_array_that_somebody_holds_is_the_parameters_for_ever():
    params = parameters(20)
    array, view = params[3].data, params[4].data[1:]
    optimizer = make("Adam", params)
    for step in range(3):
        backward(params, step)
        optimizer.step()
    assert params[3].data is array
    assert np.shares_memory(params[4].data, view)
    assert not np.shares_memory(params[5].data, params[6].data)


def test_a_write_is_noticed_for_the_parameter_that_was_written():
    """The parameters look at one piece of memory; a write into one of them is no write into the others."""
    params = parameters(20)
    optimizer = make("Adam", params)
    for step in range(2):
        backward(params, step)
        optimizer.step()
    loss = (params[0] * params[0]).sum()
    with tt.no_grad():
        params[1] += 1.0
    loss.backward()
    loss = (params[0] * params[0]).sum()
    with tt.no_grad():
        params[0] += 1.0
    with pytest.raises(RuntimeError, match="overwritten in place"):
        loss.backward()
    loss = (params[2] * params[2]).sum()
    backward(params)
    optimizer.step()
    with pytest.raises(RuntimeError, match="overwritten in place"):
        loss.backward()


def test_copies_have_memory_of_their_own():
    params = parameters(20)
    optimizer = make("Adam", params)
    backward(params)
    optimizer.step()
    others, twin = copy.deepcopy((params, optimizer))
    before = [p.data.copy() for p in params]
    backward(others)
    twin.step()
    np.testing.assert_array_equal([p.data for p in params], before)
    assert not np.shares_memory(others[0].data, params[0].data)


def test_two_optimizers_in_turn():
    params, apart = parameters(20), parameters(20)
    case = ("Adam", "SGD momentum")
    run([make(c, params) for c in case], params, 4, lambda *_: None)
    run([make(c, [p]) for c in case for p in apart], apart, 4, lambda *_: None)
    np.testing.assert_array_equal([p.data for p in params], [p.data for p in apart])


def test_a_first_step_that_is_refused_leaves_no_state():
    """A velocity of zeros was left behind; with dampening, the next step took it for the first one."""
    w, bad = nn.Parameter([1.0]), nn.Parameter([1.0])
    optimizer = optim.SGD([w, bad], lr=1.0, momentum=0.9, dampening=0.5)
    w.grad, bad.grad = np.ones(1), np.ones(1)
    bad.data = np.broadcast_to(np.array(1.0), 1)
    with pytest.raises(ValueError, match="read-only"):
        optimizer.step()
    assert optimizer.state_dict()["state"] == {}
    bad.data = np.ones(1)
    optimizer.step()
    assert w.item() == 0.0


def test_a_formula_that_looks_at_whole_parameters_gets_them_whole():
    class Normed(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, {"lr": lr})

        def buffers(self, group):
            return ("a", "b")

        def update(self, group, work):
            for data, g, _, *_ in work:
                shapes.append(data.shape)
                data -= group["lr"] * g / np.linalg.norm(g)

    shapes = []
    params = [nn.Parameter(np.ones(s)) for s in [(3,), (2, 2), (4,), (), (700, 300)]]
    for p in params:
        p.grad = np.full(p.shape, 2.0)
    Normed(params, lr=1.0).step()
    assert shapes == [(3,), (2, 2), (4,), (1,), (700, 300)]
    np.testing.assert_allclose(params[1].data, 0.5)
