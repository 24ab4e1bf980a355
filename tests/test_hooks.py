"""Hooks on gradients, and the walk a step at a time."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import hooks


def test_a_hook_sees_the_whole_gradient_of_this_backward_and_may_replace_it():
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.copy()))
    handle = x.register_hook(lambda g: 10 * g)
    for _ in range(2):
        (x * 3.0 + x).sum().backward()
    np.testing.assert_array_equal(seen, [[4.0, 4.0]] * 2)  # the sum of both uses, not what .grad held before
    np.testing.assert_array_equal(x.grad, [80.0, 80.0])
    handle.remove()
    handle.remove()
    x.grad = None
    x.sum().backward()
    np.testing.assert_array_equal(x.grad, [1.0, 1.0])
    assert len(seen) == 3


def test_on_an_intermediate_result_the_walk_goes_on_with_what_the_hook_returned():
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    h = x * 3.0
    h.retain_grad()
    with h.register_hook(lambda g: g * 0 + 5):
        (h * h).sum().backward()
    np.testing.assert_array_equal(h.grad, [5.0, 5.0])  # retain_grad keeps what the hook made of it
    np.testing.assert_array_equal(x.grad, [15.0, 15.0])
    assert not hooks.hooked


def test_hooks_on_numbers():
    x = tt.tensor(3.0, requires_grad=True)
    h = x * 2.0
    kinds = []
    h.register_hook(lambda g: kinds.append(type(g)) or g.clip(-1, 1))
    x.register_hook(lambda g: 7.0)
    (h * 5.0).backward()
    assert kinds == [np.ndarray]
    assert x.grad == 7.0


def test_several_outputs_and_a_leaf_that_is_the_root():
    a = tt.tensor(np.diag([1.0, 2.0]), requires_grad=True)
    values, vectors = np.linalg.eigh(a)
    seen = []
    values.register_hook(seen.append)
    values.sum().backward()
    np.testing.assert_array_equal(seen[0], [1.0, 1.0])
    x = tt.tensor(2.0, requires_grad=True)
    x.register_hook(lambda g: g * 7)
    x.backward()
    assert x.grad == 7.0


def test_nobody_can_write_into_the_gradient_by_way_of_a_hook():
    x, y = (tt.tensor([1.0, 2.0], requires_grad=True) for _ in "xy")

    def spoil(g):
        g *= 2

    handle = x.register_hook(spoil)
    with pytest.raises(ValueError, match="read-only"):
        (x + y).sum().backward()
    assert x.grad is None
    handle.remove()
    kept = []
    x.register_hook(kept.append)
    x.register_hook(lambda g: g)
    (x + y).sum().backward()
    x.grad += 1
    np.testing.assert_array_equal(kept[0], [1.0, 1.0])
    np.testing.assert_array_equal(y.grad, [1.0, 1.0])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda g: g[:1], r"a hook returned float64 of shape \(1,\), expected float64 of shape \(2,\)"),
        (lambda g: g.astype(np.float32), "a hook returned float32"),
        (lambda g: 3.0, r"of shape \(\)"),
    ],
)
def test_another_shape_or_dtype_is_refused(answer, message):
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    x.register_hook(answer)
    with pytest.raises(TypeError, match=message):
        x.sum().backward()
    assert x.grad is None


def test_what_cannot_have_a_hook():
    with pytest.raises(RuntimeError, match="does not require grad"):
        tt.ones(2).register_hook(print)
    with pytest.raises(TypeError, match="expected a function"):
        tt.ones(2, requires_grad=True).register_hook(3)


def test_hooks_in_second_derivatives_get_tensors():
    kinds = []

    def f(x):
        h = x**3
        h.register_hook(lambda g: kinds.append(type(g)) or g * 2)
        return h

    assert tt.grad(f)(2.0) == 24.0
    assert tt.grad(tt.grad(f))(2.0) == 24.0  # the inner gradient is 2 · 3x², and the hook ran for both walks
    assert tt.Tensor in kinds
    assert np.ndarray in kinds


def test_complex_hooks_see_pytorchs_gradient():
    z = tt.tensor([1 + 2j], requires_grad=True)
    seen = []
    z.register_hook(lambda g: seen.append(g.copy()) or g * 1j)
    (z * np.conj(z)).real.sum().backward()
    np.testing.assert_allclose(seen[0], [2 + 4j])
    np.testing.assert_allclose(z.grad, [(2 + 4j) * 1j])


def test_a_hook_keeps_nothing_alive_and_is_not_copied():
    x = tt.tensor([1.0], requires_grad=True)
    h = x * 2.0
    h.register_hook(lambda g, h=h: g * h.data)  # a cycle: the hook holds the tensor that it hangs on
    x.register_hook(lambda g: g * 100)
    gone = weakref.ref(h._node)
    y = pickle.loads(pickle.dumps(copy.deepcopy(x)))
    y.sum().backward()
    assert y.grad == 1.0
    del h
    gc.collect()
    assert gone() is None
    del x
    gc.collect()
    assert not hooks.hooked


def test_as_pytorch():
    torch = pytest.importorskip("torch")
    got = []
    for lib in (tt, torch):
        x = lib.tensor([1.0, -2.0, 3.0], requires_grad=True)
        h = x * x
        h.retain_grad()
        x.register_hook(lambda g: g + 1)
        h.register_hook(lambda g: g * 2)
        h.register_hook(lambda g: g - 1)
        (h * h).sum().backward()
        got.append((np.asarray(x.grad), np.asarray(h.grad)))
    for ours, theirs in zip(*got):
        np.testing.assert_allclose(ours, theirs)


# ------------------------------------------------------------------------------------------------- backward(trace=True)


def program(x, w):
    h = np.tanh(x @ w)
    return (h * h + h).sum() + (w**2).sum()


def test_the_traced_walk_gives_the_same_gradients():
    x = tt.tensor(np.linspace(-1, 1, 6).reshape(2, 3), requires_grad=True)
    w = tt.tensor(np.linspace(0, 1, 6).reshape(3, 2), requires_grad=True)
    program(x, w).backward()
    expected = x.grad, w.grad
    x.grad = w.grad = None
    loss = program(x, w)
    steps = loss.backward(trace=True)
    first = next(steps)
    assert (first.op, first.number, first.shape, first.waited_for) == ("add", 1, (), ())
    assert x.grad is None  # until the last step has been taken
    found = [first, *steps]
    np.testing.assert_allclose(x.grad, expected[0], rtol=1e-14)
    np.testing.assert_allclose(w.grad, expected[1], rtol=1e-14)
    turn = {step.node: step.number for step in found}
    for step in found:  # the order is topological: whoever reads a value has had its turn before
        assert all(turn[parent] > step.number for parent, _ in step.sends if parent in turn)
        assert step.waited_for == tuple(s.number for s in found if any(p is step.node for p, _ in s.sends))
    tanh = next(step for step in found if step.op == "tanh")
    assert len(tanh.waited_for) == 2
    assert "after " in repr(tanh)
    assert "to a leaf of shape (3, 2)" in repr(found[-1]) + repr(found[-2])
    with pytest.raises(RuntimeError, match="retain_graph"):
        loss.backward()


def test_a_traced_walk_that_is_abandoned_changes_nothing():
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    steps = loss.backward(trace=True)
    next(steps)
    steps.close()
    assert x.grad is None
    loss.backward()
    np.testing.assert_array_equal(x.grad, [2.0, 4.0])


def test_tracing_several_outputs_hooks_and_a_leaf():
    a = tt.tensor([[2.0, 1.0], [1.0, 3.0]], requires_grad=True)
    values, vectors = np.linalg.eigh(a)
    vectors.register_hook(lambda g: g * 0)
    steps = list((values.sum() + vectors[0, 0]).backward(trace=True))
    np.testing.assert_allclose(a.grad, np.eye(2), atol=1e-12)
    assert "unused" not in repr(steps[-1])
    values, vectors = np.linalg.eigh(a)
    assert "unused" in repr(list(values.sum().backward(trace=True))[-1])
    x = tt.tensor(1.0, requires_grad=True)
    assert list(x.backward(trace=True)) == []
    assert x.grad == 1.0


def test_recording_is_as_it_was_between_steps():
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    for _ in (x * x).sum().backward(trace=True):
        assert tt.is_grad_enabled()
        assert (x * x).requires_grad


def test_steps_tell_the_line():
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    with tt.trace_lines():
        loss = np.sum(x * 2.0)
    steps = list(loss.backward(trace=True))
    assert [step.line.expression for step in steps] == ["np.sum(x * 2.0)", "x * 2.0"]
    assert __file__ in repr(steps[0])
