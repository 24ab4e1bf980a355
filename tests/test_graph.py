"""The graph itself: walks, diamonds, ownership, rules that are wrong, and one program read three ways."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.graph import Node
from tinytensor.primitive import OPS


def leaf(*values, dtype=float):
    return tt.tensor(np.array(values if len(values) != 1 else values[0], dtype), requires_grad=True)


# ------------------------------------------------------------------------------------------------------- the lecture


def test_micrograd_readme_on_tensors():
    a, b = leaf(-4.0), leaf(2.0)
    c = a + b
    d = a * b + b**3
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + (b + a).relu()
    d = d + 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g = g + 10.0 / f
    g.backward()
    assert g.item() == pytest.approx(24.70408163265306, rel=1e-15)
    assert a.grad == pytest.approx(138.83381924198252, rel=1e-14)
    assert b.grad == pytest.approx(645.5772594752186, rel=1e-14)


def test_expression_of_the_lecture():
    a, b, c, f = leaf(2.0), leaf(-3.0), leaf(10.0), leaf(-2.0)
    e = a * b
    d = e + c
    loss = d * f
    e.retain_grad()
    d.retain_grad()
    loss.backward()
    assert loss.item() == -8
    assert [float(t.grad) for t in (a, b, c, f, d, e)] == [6, -4, -2, 4, -2, -2]


@pytest.mark.parametrize("tanh", [np.tanh, lambda n: ((2 * n).exp() - 1) / ((2 * n).exp() + 1)])
def test_neuron_of_the_lecture(tanh):
    x1, x2, w1, w2, b = leaf(2.0), leaf(0.0), leaf(-3.0), leaf(1.0), leaf(6.8813735870195432)
    out = tanh(x1 * w1 + x2 * w2 + b)
    out.backward()
    assert out.item() == pytest.approx(0.7071067811865476, rel=1e-14)
    assert [float(t.grad) for t in (x1, w1, x2, w2)] == pytest.approx([-1.5, 1.0, 0.5, 0.0], rel=1e-13)


# ------------------------------------------------------------------------------------------------------------- shapes


def test_leaf_diamond_and_the_same_input_twice():
    a = leaf(3.0)
    (a + a).backward()
    assert a.grad == 2
    b = leaf(3.0)
    (b * b).backward()
    assert b.grad == 6
    c = leaf([1.0, 2.0])
    np.concatenate([c, c, c]).sum().backward()
    np.testing.assert_array_equal(c.grad, [3, 3])


def test_interior_diamond():
    x = leaf(3.0)
    m = x * x
    (m + m).backward()
    assert x.grad == 12


def test_deep_diamonds_are_linear_in_time():
    x = leaf(1.0)
    y = x
    for _ in range(200):  # 2**200 paths
        y = y + y
    y.backward()
    assert x.grad == 2.0**200


def test_constant_inputs_get_nothing_and_cost_nothing():
    x, constant = leaf([1.0, 2.0]), tt.tensor([3.0, 4.0])
    y = x * constant
    y.sum().backward()
    assert constant.grad is None
    node = (x * constant)._node
    assert node.parents[1] is None
    assert node.saved[0] is None, "x is needed only for the gradient of the constant"


def test_rules_save_what_they_name():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    saved = {name: t._node.saved for name, t in {"add": x + y, "exp": x.exp(), "log": x.log(), "sum": x.sum()}.items()}
    assert all(v is None for v in saved["add"])
    assert saved["exp"][0] is None
    assert saved["exp"][1] is not None
    assert saved["log"][0] is not None
    assert saved["log"][1] is None
    assert not any(isinstance(v, np.ndarray) for v in saved["sum"])


def test_backward_twice_says_retain_graph():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    np.testing.assert_array_equal(x.grad, [2, 4])


def test_retain_graph_accumulates():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_array_equal(x.grad, [4, 8])


def test_forgotten_zero_grad_accumulates():
    w = tt.nn.Parameter([1.0, 2.0])
    for k in range(1, 4):
        (w * 3).sum().backward()
        np.testing.assert_array_equal(w.grad, np.full(2, 3.0 * k))


def test_an_error_in_backward_leaves_gradients_alone():
    @tt.primitive(x=lambda g: 1 / 0)
    def broken(x):
        return x + 0

    x, y = leaf([1.0]), leaf([1.0])
    out = broken(x) + y * 2
    with pytest.raises(ZeroDivisionError):
        out.backward()
    assert x.grad is None
    assert y.grad is None


# ------------------------------------------------------------------------------------------------------------ gradients


def test_gradients_are_writable_memory_of_their_own():
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    (x + y).sum().backward()
    assert not np.shares_memory(x.grad, y.grad)
    assert x.grad.flags.writeable
    assert x.grad.base is None
    x.grad += 5
    np.testing.assert_array_equal(y.grad, [1, 1])


def test_a_passed_gradient_is_not_kept():
    x, g = leaf([1.0, 2.0]), np.array([5.0, 6.0])
    x.backward(g)
    (x + 0).backward(g)
    g[:] = 0
    np.testing.assert_array_equal(x.grad, [10, 12])


def test_an_old_gradient_does_not_change():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    old = x.grad
    x.grad = None
    (x * 7).sum().backward()
    np.testing.assert_array_equal(old, [2, 4])


def test_gradients_have_the_dtype_of_their_leaf():
    x, y = leaf([1.0, 2.0], dtype=np.float32), leaf([3.0, 4.0])
    z = (x * y).sum()
    assert z.dtype == np.float64
    z.backward()
    assert x.grad.dtype == np.float32
    assert y.grad.dtype == np.float64


def test_contributions_go_into_one_accumulator():
    """4,000 rows: an array of zeros for each would be 16 million rows."""
    x = tt.rng(0).standard_normal((4000, 50)).requires_grad_()
    total = x[0].sum()
    for row in x:
        total = total + (row * 2).sum()
    start = time.perf_counter()
    total.backward()
    assert time.perf_counter() - start < 5
    expected = np.full((4000, 50), 2.0)
    expected[0] += 1
    np.testing.assert_array_equal(x.grad, expected)


def test_rules_that_return_the_wrong_shape_are_reported():
    @tt.primitive(x=lambda g: g.sum())
    def wrong(x):
        return x * 2

    with pytest.raises(RuntimeError, match=r"wrong: the rule for input 'x' returned a gradient of shape \(\).*\(3,\)"):
        wrong(leaf([1.0, 2.0, 3.0])).sum().backward()


def test_rules_that_ask_for_unknown_names_are_refused():
    with pytest.raises(TypeError, match="a rule asks for 'z'"):

        @tt.primitive(x=lambda g, z: g)
        def wrong(x):
            return x


# ------------------------------------------------------------------------------------------------- several outputs, joint


def test_an_unused_output_has_no_cotangent():
    seen = []

    @tt.primitive(outputs=True, x=lambda g, x: seen.append(g) or (g[0] if g[0] is not None else 0 * x))
    def pair(x):
        return x * 1, x * 2

    x = leaf([1.0, 2.0])
    pair(x)[0].sum().backward()
    assert seen[0][1] is None
    np.testing.assert_array_equal(x.grad, [1, 1])


def test_joint_rules_return_all_gradients_at_once():
    calls = []

    @tt.primitive(joint=lambda g, x, y, needs: calls.append(needs) or (g * y, g * x), inputs=("x", "y"))
    def product(x, y):
        return x * y

    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    product(x, y).sum().backward()
    np.testing.assert_array_equal(x.grad, [3, 4])
    np.testing.assert_array_equal(y.grad, [1, 2])
    assert calls == [(True, True)]
    assert tt.grad(lambda x: tt.grad(lambda y: product(x, y))(2.0))(3.0) == 1.0


def test_eigh_through_several_outputs():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((2, 3, 3))
    weights, target = rng.standard_normal((2, 3)), rng.standard_normal((2, 3, 3))

    def f(x):
        w, v = np.linalg.eigh(x + x.mT)
        return (w * weights).sum() + (np.square(v) * target).sum()

    from tinytensor.testing import check_grads

    check_grads(f, a, order=2)


def test_degenerate_eigenvectors_warn():
    x = tt.eye(2).requires_grad_()
    with pytest.warns(RuntimeWarning, match="eigenvalues are equal"):
        tt.eigh(x)[1].sum().backward()


# ------------------------------------------------------------------------------------------------------- size and life


@pytest.mark.slow
def test_a_chain_of_a_million_is_linear_and_never_recursive():
    limit = sys.getrecursionlimit()
    x = leaf(1.0)

    def chain(n):
        start, y = time.perf_counter(), x
        for _ in range(n):
            y = y * 1.0
        y.backward()
        del y
        return time.perf_counter() - start

    chain(1000)
    small, large = chain(100_000), chain(1_000_000)
    assert large < 40 * small
    assert x.grad == 3
    assert sys.getrecursionlimit() == limit


def test_graphs_have_no_cycles():
    gc.collect()
    gc.disable()
    try:
        before = sum(type(o) is Node for o in gc.get_objects())
        x = leaf([1.0, 2.0])
        y = (np.tanh(x) @ x).sum()
        y.backward()
        del x, y
        assert sum(type(o) is Node for o in gc.get_objects()) == before
    finally:
        gc.enable()


# ------------------------------------------------------------------------------------------------------------ grad mode


def test_no_grad_belongs_to_the_thread():
    x, seen = leaf([1.0]), []
    with tt.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
        assert not (x * 2).requires_grad
    assert seen == [True]


def test_no_grad_belongs_to_the_asyncio_task():
    x, seen = leaf([1.0]), {}

    async def without():
        with tt.no_grad():
            await asyncio.sleep(0.01)
            seen["without"] = (x * 2).requires_grad

    async def with_():
        await asyncio.sleep(0.005)
        seen["with"] = (x * 2).requires_grad

    async def both():
        await asyncio.gather(without(), with_())

    asyncio.run(both())
    assert seen == {"without": False, "with": True}


def test_no_grad_as_decorator():
    @tt.no_grad()
    def f(x):
        return x * 2

    assert not f(leaf([1.0])).requires_grad
    assert (leaf([1.0]) * 2).requires_grad
    with pytest.raises(TypeError, match="cannot decorate"):

        @tt.no_grad()
        def generator():
            yield 1


def test_backward_in_threads():
    def work(out, k):
        x = leaf(np.full(100, float(k)))
        y = x
        for _ in range(50):
            y = y * 1.01 + x
        y.sum().backward()
        out[k] = x.grad[0]

    results: dict = {}
    threads = [threading.Thread(target=work, args=(results, k)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(results.values())) == 1


# ----------------------------------------------------------------------------------------------------- nested derivatives


def test_perturbation_confusion():
    assert tt.grad(lambda x: x * tt.grad(lambda y: x + y)(1.0))(2.0) == 1.0
    assert tt.grad(lambda x: x * tt.grad(lambda y: x * y)(1.0))(2.0) == 4.0


def test_third_and_fourth_derivatives():
    f = np.exp
    for _ in range(4):
        f = tt.grad(f)
    assert f(0.3) == pytest.approx(np.exp(0.3), rel=1e-15)
    d3 = tt.grad(tt.grad(tt.grad(lambda x: np.sin(x) * x**4)))
    x = 0.7
    exact = -np.cos(x) * x**4 - 12 * np.sin(x) * x**3 + 36 * np.cos(x) * x**2 + 24 * np.sin(x) * x
    assert d3(x) == pytest.approx(exact, rel=1e-12)


def test_gradient_penalty_through_backward():
    x, w = tt.tensor([1.0, 2.0]), leaf([0.5, -1.0])
    slope = tt.grad(lambda x: (np.tanh(w * x)).sum())(x)
    (slope**2).sum().backward()

    def penalty(w):
        return float(((w * (1 - np.tanh(w * [1.0, 2.0]) ** 2)) ** 2).sum())

    step = 1e-6
    for i in range(2):
        e = np.eye(2)[i] * step
        numeric = (penalty(w.data + e) - penalty(w.data - e)) / (2 * step)
        assert w.grad[i] == pytest.approx(numeric, rel=1e-7)


# -------------------------------------------------------------------------------------------- one program, three readings

SLICE = {
    "sum, tanh, matmul": lambda a, b: np.tanh(a @ b).sum(axis=0),
    "getitem, concatenate": lambda a, b: np.concatenate([a[:, ::2], b[:2][:, [0, 0]]], axis=1) * 2.0,
    "linear, relu": lambda a, b: tt.relu(tt.linear(a, b.T, b[0])),
    "broadcast, divide": lambda a, b: (a / (b[0, 0] ** 2 + 1)).mean(axis=1),
    "logsumexp, softmax": lambda a, b: tt.logsumexp(a, axis=1) + tt.softmax(a @ b)[:, 0],
}


@pytest.mark.parametrize("name", SLICE)
def test_one_program_on_arrays_values_and_tensors(name):
    f = SLICE[name]
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 3)), rng.standard_normal((3, 3))
    plain = f(a, b)
    ta, tb = tt.tensor(a, requires_grad=True), tt.tensor(b, requires_grad=True)
    out = f(ta, tb)
    np.testing.assert_array_equal(out.data, plain)
    cotangent = rng.standard_normal(plain.shape)
    out.backward(cotangent)
    values = np.vectorize(tt.Value, otypes=[object])
    va, vb = values(a), values(b)
    reference = f(va, vb)
    (reference * cotangent).sum().backward()
    for tensor, scalars in ((ta, va), (tb, vb)):
        np.testing.assert_allclose(tensor.grad, np.vectorize(lambda v: v.grad, otypes=[float])(scalars), rtol=1e-12)

    from tinytensor.testing import check_grads

    check_grads(f, a, b, order=2)


def test_every_op_can_be_found_by_its_key():
    assert all(op.key == key for key, op in OPS.items())
    assert len(OPS) > 50
