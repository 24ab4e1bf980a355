"""The scalar engine: the lecture's numbers, the graph, every function's derivative, every kind of number, NumPy's
object arrays, the neural networks."""

from __future__ import annotations

import copy
import gc
import io
import math
import operator
import pickle
import random
import subprocess
import sys
import weakref
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp

from tinytensor.scalar import MLP, Layer, Module, Neuron, Value

DEEP = 1_000_000


def gradients(f: Callable[..., Any], *numbers: Any) -> list[Any]:
    """The gradients of f at the numbers."""
    values = [Value(x) for x in numbers]
    f(*values).backward()
    return [v.grad for v in values]


# --- the lecture ---------------------------------------------------------------------------------------------------


def test_the_readme_example_of_micrograd():
    a, b = Value(-4.0), Value(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    assert f"{g.data:.4f} {a.grad:.4f} {b.grad:.4f}" == "24.7041 138.8338 645.5773"
    assert f"{g:.4f}" == "24.7041"


def test_the_expression_l_of_the_lecture():
    a, b, c, f = Value(2.0, label="a"), Value(-3.0, label="b"), Value(10.0, label="c"), Value(-2.0, label="f")
    e = a * b
    d = e + c
    L = d * f
    L.backward()
    assert L.data == -8.0
    assert [v.grad for v in (a, b, c, d, e, f)] == [6.0, -4.0, -2.0, -2.0, -2.0, 4.0]
    assert L.grad == 1
    assert (L._prev, L._op, d._prev, d._op, e._op) == ((d, f), "*", (e, c), "+", "*")
    assert (a._prev, a._op, a.label, L.label) == ((), "", "a", "")


def neuron_of_the_lecture(tanh: Callable[[Value], Value]) -> tuple[Value, list[Value]]:
    leaves = x1, x2, w1, w2, b = [Value(v) for v in (2.0, 0.0, -3.0, 1.0, 6.8813735870195432)]
    o = tanh(x1 * w1 + x2 * w2 + b)
    o.backward()
    return o, leaves


def test_the_neuron_of_the_lecture():
    o, (x1, x2, w1, w2, b) = neuron_of_the_lecture(Value.tanh)
    assert o.data == pytest.approx(0.7071067811865476, rel=1e-14)
    assert [v.grad for v in (x1, x2, w1, w2, b)] == pytest.approx([-1.5, 0.5, 1.0, 0.0, 0.5], rel=1e-13)


def test_tanh_broken_into_exp_gives_the_same():
    def tanh(n: Value) -> Value:
        e = (2 * n).exp()
        return (e - 1) / (e + 1)

    whole, leaves = neuron_of_the_lecture(Value.tanh)
    broken, others = neuron_of_the_lecture(tanh)
    assert broken.data == pytest.approx(whole.data, rel=1e-14)
    assert [v.grad for v in others] == pytest.approx([v.grad for v in leaves], rel=1e-13)


def test_a_picture_of_the_graph_can_be_drawn():
    a = Value(2.0, label="a")
    out = (a * 3 + 1).relu() ** 2
    nodes: dict[int, Value] = {}

    def trace(v: Value) -> None:  # as the lecture's draw_dot does
        if id(v) not in nodes:
            nodes[id(v)] = v
            for parent in v._prev:
                trace(parent)

    trace(out)
    assert sorted((v._op, v.data) for v in nodes.values()) == [
        ("", 1), ("", 2.0), ("", 3), ("*", 6.0), ("**2", 49.0), ("+", 7.0), ("ReLU", 7.0)
    ]  # fmt: skip
    assert {id(p) for v in nodes.values() for p in v._prev} | {id(out)} == set(nodes)
    assert out._prev[0]._prev[0]._prev is not None
    assert (5 - a)._prev[0].data == 5  # parents in the order of the operands, also for reflected operators
    assert (5 - a)._prev[1] is a


# --- the graph -----------------------------------------------------------------------------------------------------


def test_the_same_input_twice():
    assert gradients(lambda a: a + a, 3.0) == [2]
    assert gradients(lambda a: a * a, 3.0) == [6.0]
    assert gradients(lambda a: a - a, 3.0) == [0]
    assert gradients(lambda a: a / a, 3.0) == pytest.approx([0.0])
    assert gradients(lambda a: a**a, 3.0) == pytest.approx([27 * (1 + math.log(3))])


def test_an_interior_diamond():
    def f(x: Value) -> Value:
        m = x * x
        return m + m

    assert gradients(f, 3.0) == [12.0]
    assert gradients(lambda x: f(f(x)), 3.0) == [864.0]  # 2 (2x²)² = 8x⁴, and 32x³ at 3


def test_a_leaf_diamond():
    assert gradients(lambda a, b: (a * b) + (a + b) * a, 2.0, 5.0) == [5 + 2 * 2 + 5, 2 + 2]


def test_forgotten_zero_grad_accumulates():
    a = Value(3.0)
    (a * 2).backward()
    (a * 5).backward()
    assert a.grad == 7


def test_backward_twice_doubles_leaves_and_nothing_else():
    x = Value(3.0)
    m = x * x
    out = m * m + m
    for times in (1, 2, 3):
        out.backward()
        assert (x.grad, m.grad, out.grad) == (times * 114.0, 19.0, 1)


def test_backward_from_an_inner_node_after_backward_from_the_end():
    x = Value(3.0)
    m = x * x
    (m * 5).backward()
    m.backward()
    assert (m.grad, x.grad) == (1, 30.0 + 6.0)


def test_backward_of_a_leaf():
    a = Value(3.0)
    a.backward()
    a.backward()
    assert a.grad == 2


def test_no_gradient_goes_through_a_branch_that_is_multiplied_by_zero():
    assert gradients(lambda x: x.sqrt() * 0, 0.0) == [0]
    assert gradients(lambda x: x.sqrt() * 0 + x, 0.0) == [1]
    assert gradients(lambda x: (x - 4).relu() * x**0.5, 0.0) == [0]


def test_stale_gradients_of_dead_branches_are_cleared():
    x = Value(2.0)
    m = x * 3
    m.backward()
    (m * 0).backward()
    assert m.grad == 0
    dead = (-m).relu()
    (dead * 1).backward()
    assert (dead.grad, m.grad, x.grad) == (1, 0, 3)


@pytest.fixture
def no_gc():
    """Without the cyclic collector, which looks through millions of nodes again and again and finds nothing."""
    gc.disable()
    yield
    gc.enable()


def deep_chain() -> tuple[Value, Value]:
    a = Value(1)
    x = a
    for _ in range(DEEP):
        x = x + a
    return a, x


def test_a_chain_of_a_million(no_gc):
    a, x = deep_chain()
    x.backward()
    assert (x.data, a.grad) == (DEEP + 1, DEEP + 1)

    b, y = copy.deepcopy([a, x])
    y.backward()
    assert (b.grad, a.grad) == (2 * (DEEP + 1), DEEP + 1)
    del b, y

    b, y = pickle.loads(pickle.dumps([a, x]))
    y.backward()
    assert (y.data, b.grad, a.grad) == (DEEP + 1, 2 * (DEEP + 1), DEEP + 1)
    assert y._prev[1] is b
    del x, y  # by recursion, this would end the process
    assert a.grad == DEEP + 1


def test_a_graph_is_freed_without_the_garbage_collector(no_gc):
    class Tracked(Fraction):
        """A number that can be watched."""

    a = Value(Tracked(1, 2))
    m = (a * a).maximum(a - 1)
    (m + m / a).backward()
    watched = weakref.ref(a.data)
    del a, m
    assert watched() is None


def test_a_wide_sum():
    leaves = [Value(i) for i in range(20_000)]
    total = sum(leaves)
    total.backward()
    assert {v.grad for v in leaves} == {1}


# --- copies --------------------------------------------------------------------------------------------------------


class PurePythonPickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """What dill and joblib build on: it reads lists a thousand items ahead."""


def pure_python_dumps(x: Any) -> bytes:
    file = io.BytesIO()
    PurePythonPickler(file, protocol=4).dump(x)
    return file.getvalue()


COPIERS = {
    "deepcopy": copy.deepcopy,
    **{f"pickle {p}": lambda x, p=p: pickle.loads(pickle.dumps(x, p)) for p in range(2, pickle.HIGHEST_PROTOCOL + 1)},
    "pickle in Python": lambda x: pickle.loads(pure_python_dumps(x)),
}


@pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
def test_copies_keep_shared_values_shared(copier):
    a, b = Value(2.0, label="a"), Value(Fraction(1, 3), label="b")
    h = a * b
    out = h.tanh() + h
    out.backward()
    a2, b2, h2, out2, again = copier([a, b, h, out, a])
    assert again is a2
    assert a2 is not a
    assert h2._prev == (a2, b2)
    assert out2._prev[1] is h2
    assert out2._prev[0]._prev == (h2,)
    assert [(v.data, v.grad, v.label, v._op) for v in (a2, b2, h2, out2)] == [
        (v.data, v.grad, v.label, v._op) for v in (a, b, h, out)
    ]
    assert type(b2.data) is Fraction
    before = a2.grad
    out2.backward()
    assert a2.grad == 2 * before
    assert a.grad == before


@pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
@pytest.mark.parametrize("container", [lambda *v: list(v[::-1]), lambda *v: {"k": v}, lambda *v: np.array(v)])
def test_copies_inside_containers(copier, container):
    a = Value(2.0)
    h = a * a
    for _ in range(5000):
        h = h + a
    copied = copier(container(a, h))
    first = next(iter(copied.values()))[1] if isinstance(copied, dict) else max(copied, key=lambda v: v.data)
    first.backward()
    assert first.data == 10004.0
    assert a.grad == 0


def test_a_copy_is_a_second_node_with_the_same_parents():
    a = Value(2.0)
    m = a * 3
    twin = copy.copy(m)
    assert twin is not m
    assert twin._prev == m._prev
    twin.backward()
    assert (a.grad, m.grad) == (3, 0)
    assert copy.copy(a) is not a


def test_pickling_recovers_from_a_failure(no_gc):
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError("disk full")

    x = Value(1.0)
    for _ in range(20_000):
        x = x * 1.0
    with pytest.raises(OSError, match="disk full"):
        pickle.Pickler(Full()).dump(x)  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(x)).data == 1.0


def test_two_picklers_at_once(no_gc):
    x = Value(1.0)
    for _ in range(20_000):
        x = x * 1.0
    first, second = io.BytesIO(), io.BytesIO()
    one, two = pickle.Pickler(first), pickle.Pickler(second)
    one.dump(x)
    two.dump(x)
    one.dump(x)  # the pickler remembers it
    assert pickle.loads(first.getvalue()).data == pickle.loads(second.getvalue()).data == 1.0


def test_models_can_be_pickled():
    model = MLP(2, [3, 1], activation="tanh")
    twin = pickle.loads(pickle.dumps(model))
    assert [p.data for p in twin.parameters()] == [p.data for p in model.parameters()]
    assert twin([1.0, 2.0]).data == model([1.0, 2.0]).data


# --- derivatives ---------------------------------------------------------------------------------------------------
# The oracle is the central difference (f(x + h) − f(x − h)) / 2h in 60 digits with h = 10⁻²⁰: exact to float's eyes.


def slope(f: Callable[[Any], Any], x: Any) -> Any:
    with mp.workdps(60):
        h = mp.mpf(10) ** -20
        x = mp.mpmathify(x)
        return (f(x + h) - f(x - h)) / (2 * h)


def mp_sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


UNARY: list[tuple[str, Callable[[Any], Any], float, float]] = [
    ("exp", mp.exp, -30, 30),
    ("exp2", lambda x: mp.mpf(2) ** x, -30, 30),
    ("expm1", mp.expm1, -30, 30),
    ("log", mp.log, 1e-3, 1e6),
    ("log1p", mp.log1p, -0.99, 1e6),
    ("log2", lambda x: mp.log(x) / mp.log(2), 1e-3, 1e6),
    ("log10", lambda x: mp.log(x) / mp.log(10), 1e-3, 1e6),
    ("sqrt", mp.sqrt, 1e-3, 1e6),
    ("cbrt", lambda x: mp.sign(x) * mp.cbrt(abs(x)), 1e-3, 1e6),
    ("cbrt", lambda x: mp.sign(x) * mp.cbrt(abs(x)), -1e6, -1e-3),
    ("sin", mp.sin, -10, 10),
    ("cos", mp.cos, -10, 10),
    ("tan", mp.tan, -1.5, 1.5),
    ("sinh", mp.sinh, -20, 20),
    ("cosh", mp.cosh, -20, 20),
    ("tanh", mp.tanh, -8, 8),
    ("arcsin", mp.asin, -0.99, 0.99),
    ("arccos", mp.acos, -0.99, 0.99),
    ("arctan", mp.atan, -100, 100),
    ("arcsinh", mp.asinh, -100, 100),
    ("arccosh", mp.acosh, 1.01, 100),
    ("arctanh", mp.atanh, -0.99, 0.99),
    ("degrees", mp.degrees, -10, 10),
    ("rad2deg", mp.degrees, -10, 10),
    ("radians", mp.radians, -400, 400),
    ("deg2rad", mp.radians, -400, 400),
    ("fabs", abs, -9, -1e-3),
    ("__abs__", abs, 1e-3, 9),
    ("sigmoid", mp_sigmoid, -40, 40),
    ("softplus", lambda x: mp.log1p(mp.exp(x)), -40, 40),
    ("relu", lambda x: max(x, 0), 1e-3, 9),
    ("relu", lambda x: max(x, 0), -9, -1e-3),
    ("leaky_relu", lambda x: max(x, 0.01 * x), 1e-3, 9),
    ("leaky_relu", lambda x: max(x, 0.01 * x), -9, -1e-3),
    ("__neg__", lambda x: -x, -9, 9),
    ("__pos__", lambda x: x, -9, 9),
    ("conjugate", lambda x: x, -9, 9),
    ("__floor__", mp.floor, 1.001, 1.999),
    ("__ceil__", mp.ceil, 1.001, 1.999),
    ("__trunc__", lambda x: mp.sign(x) * mp.floor(abs(x)), -1.999, -1.001),
    ("rint", mp.nint, 1.501, 2.499),
]


@pytest.mark.parametrize("name, reference, low, high", UNARY, ids=[row[0] for row in UNARY])
def test_function_of_one_number(name, reference, low, high):
    @given(st.floats(low, high))
    def check(number):
        x = Value(number)
        out = getattr(x, name)()
        out.backward()
        assert out.data == pytest.approx(float(reference(mp.mpf(number))), rel=1e-13, abs=1e-300)
        # arcsin, arccosh lose digits near the ends, tanh as 1 − t²
        assert x.grad == pytest.approx(float(slope(reference, number)), rel=1e-12, abs=1e-15)

    check()


def test_every_method_is_tested():
    inert = {"backward", "item", "data", "grad", "label"}
    binary = {"maximum", "minimum", "hypot", "arctan2"}
    public = {name for name in vars(Value) if not name.startswith("_")}
    assert public == inert | binary | {row[0] for row in UNARY if not row[0].startswith("_")}


number = st.floats(-5, 5).filter(lambda x: abs(x) > 1e-2)
positive = st.floats(1e-2, 5)

BINARY: list[tuple[str, Callable[[Any, Any], Any], Callable[[Any, Any], Any], Any, Any]] = [
    ("+", operator.add, operator.add, number, number),
    ("-", operator.sub, operator.sub, number, number),
    ("*", operator.mul, operator.mul, number, number),
    ("/", operator.truediv, operator.truediv, number, number),
    ("**", operator.pow, operator.pow, positive, number),
    ("%", operator.mod, lambda x, y: x - y * mp.floor(x / y), st.sampled_from([5.3, -5.3, 0.7]), st.sampled_from([2.1, -2.1])),
    ("//", operator.floordiv, lambda x, y: mp.floor(x / y), st.sampled_from([5.3, -5.3]), st.sampled_from([2.1, -2.1])),
    ("hypot", Value.hypot, mp.hypot, number, number),
    ("arctan2", Value.arctan2, mp.atan2, number, number),
    ("maximum", Value.maximum, max, st.floats(-5, -1), st.floats(0, 5)),
    ("maximum", Value.maximum, max, st.floats(0, 5), st.floats(-5, -1)),
    ("minimum", Value.minimum, min, st.floats(-5, -1), st.floats(0, 5)),
    ("minimum", Value.minimum, min, st.floats(0, 5), st.floats(-5, -1)),
]  # fmt: skip


@pytest.mark.parametrize("name, f, reference, xs, ys", BINARY, ids=[row[0] for row in BINARY])
def test_function_of_two_numbers(name, f, reference, xs, ys):
    @given(xs, ys)
    def check(p, q):
        x, y = Value(p), Value(q)
        out = f(x, y)
        out.backward()
        expected = float(reference(mp.mpf(p), mp.mpf(q)))
        dx = float(slope(lambda t: reference(t, mp.mpf(q)), p))
        dy = float(slope(lambda t: reference(mp.mpf(p), t), q))
        assert (out.data, x.grad, y.grad) == pytest.approx((expected, dx, dy), rel=1e-11, abs=1e-12)
        assert out._prev == (x, y)

        mixed = f(Value(p), q)  # a number on the right, and on the left
        assert mixed.data == out.data
        x2 = mixed._prev[0]
        mixed.backward()
        assert x2.grad == x.grad
        if not name.isalnum():
            mixed = f(p, y2 := Value(q))
            mixed.backward()
            assert (mixed.data, y2.grad) == (out.data, y.grad)

    check()


@given(st.floats(0.1, 5), st.sampled_from([-3, -2, -1, 0, 1, 2, 3, 0.5, -0.5, 2.5]))
def test_power_with_a_number(x, n):
    for base in (x, -x) if isinstance(n, int) else (x,):
        v = Value(base)
        out = v**n
        out.backward()
        assert out.data == base**n
        assert v.grad == pytest.approx(n * base ** (n - 1), rel=1e-14)
        assert (out._op, out._prev) == (f"**{n}", (v,))


@pytest.mark.parametrize(
    "f, x, value, gradient",
    [
        (lambda x: x**0, 0, 1, 0),
        (lambda x: x**0, 0.0, 1.0, 0),
        (lambda x: x**0.0, 0.0, 1.0, 0),
        (lambda x: x**1, 0.0, 0.0, 1),
        (lambda x: x**2, 0.0, 0.0, 0),
        (lambda x: x**0.5, 0.0, 0.0, math.inf),
        (lambda x: 0.0**x, 2.0, 0.0, 0),
        (lambda x: 0.0**x, 0.0, 1.0, 0),
        (lambda x: 0**x, 3, 0, 0),
        (lambda x: 1**x, 3, 1, 0),
        (Value.sqrt, 0.0, 0.0, math.inf),
        (Value.cbrt, 0.0, 0.0, math.inf),
        (Value.arcsin, 1.0, math.pi / 2, math.inf),
        (Value.arccos, 1.0, 0.0, -math.inf),
        (Value.arccosh, 1.0, 0.0, math.inf),
        (abs, 0.0, 0.0, 0),
        (abs, -0.0, 0.0, 0),
        (Value.relu, 0.0, 0, 0),
        (Value.relu, -math.inf, 0, 0),
        (Value.relu, math.inf, math.inf, 1),
        (Value.leaky_relu, 0.0, 0.0, 0.01),
        (lambda x: x.leaky_relu(0.5), -4.0, -2.0, 0.5),
        (lambda x: x.leaky_relu(slope=0.5), 4.0, 4.0, 1),
        (lambda x: x.maximum(1.0), 1.0, 1.0, 0.5),
        (lambda x: x.minimum(1.0), 1.0, 1.0, 0.5),
        (lambda x: x.maximum(x), 1.0, 1.0, 1.0),
        (lambda x: x.hypot(0.0), 0.0, 0.0, 0),
        (lambda x: x.hypot(0.0), -2.0, 2.0, -1),
        (lambda x: x.hypot(1e200), 1e200, math.sqrt(2) * 1e200, math.sqrt(0.5)),
        (lambda x: x.arctan2(0.0), 0.0, 0.0, 0),
        (Value.log2, 8.0, 3.0, 1 / (8 * math.log(2))),
        (Value.log10, 1000.0, 3.0, 1 / (1000 * math.log(10))),
        (Value.expm1, 1e-12, math.expm1(1e-12), math.exp(1e-12)),
        (Value.log1p, 1e-12, math.log1p(1e-12), 1 / (1 + 1e-12)),
    ],
)
def test_edge_of_a_domain(f, x, value, gradient):
    v = Value(x)
    out = f(v)
    out.backward()
    assert out.data == pytest.approx(value, rel=1e-15)
    assert v.grad == pytest.approx(gradient, rel=1e-15)


@pytest.mark.parametrize(
    "f, x, value, gradient",
    [
        (Value.exp, 1000.0, math.inf, math.inf),
        (Value.exp, 1000, math.inf, math.inf),
        (Value.exp, -1000.0, 0.0, 0.0),
        (Value.exp2, 2000.0, math.inf, math.inf),
        (Value.expm1, 1000.0, math.inf, math.inf),
        (Value.expm1, -1000.0, -1.0, 0.0),
        (Value.sinh, 1000.0, math.inf, math.inf),
        (Value.sinh, -1000.0, -math.inf, math.inf),
        (Value.cosh, 1000.0, math.inf, math.inf),
        (Value.cosh, -1000.0, math.inf, -math.inf),
        (Value.tanh, 1000.0, 1.0, 0.0),
        (Value.tanh, -1000.0, -1.0, 0.0),
        (Value.sigmoid, 1000.0, 1.0, 0.0),
        (Value.sigmoid, -1000.0, 0.0, 0.0),
        (Value.sigmoid, -700.0, math.exp(-700), math.exp(-700)),
        (Value.softplus, 1000.0, 1000.0, 1.0),
        (Value.softplus, -1000.0, 0.0, 0.0),
        (lambda x: x**2, 1e200, math.inf, 2e200),
        (lambda x: x**3, -1e200, -math.inf, math.inf),
        (lambda x: x**-1, 1e-200, 1e200, -math.inf),
        (lambda x: 10**x, 1000.0, math.inf, math.inf),
        (Value.sigmoid, math.inf, 1.0, 0.0),
        (Value.sigmoid, -math.inf, 0.0, 0.0),
        (Value.softplus, -math.inf, 0.0, 0.0),
    ],
)
def test_overflow(f, x, value, gradient):
    v = Value(x)
    out = f(v)
    out.backward()
    assert (out.data, v.grad) == (value, gradient)


def test_the_origin_of_hypot_and_arctan2():
    assert gradients(Value.hypot, 0.0, 0.0) == [0, 0]
    assert gradients(Value.arctan2, 0.0, 0.0) == [0, 0]


def test_nan_is_not_lost():
    nan = Value(math.nan)
    for out in (
        nan.relu(),
        nan.leaky_relu(),
        nan.maximum(1),
        Value(1).maximum(nan),
        Value(1).minimum(nan),
        nan.minimum(1),
    ):
        assert math.isnan(out.data)
        out.backward()
    assert nan.grad == 6


def test_a_tie_is_split_in_the_kind_of_number_that_ties():
    for one in (1, 1.0, Fraction(1), Decimal(1), mp.mpf(1), np.float32(1)):
        a, b = Value(one), Value(one)
        a.maximum(b).backward()
        a.minimum(b).backward()
        assert a.grad == b.grad == one
    assert type(gradients(lambda a, b: a.maximum(b), Fraction(1), Fraction(1))[0]) is Fraction


def test_the_exponent_of_a_negative_base_has_no_derivative():
    base, n = Value(-2.0), Value(3)
    out = base**n
    out.backward()
    assert (out.data, base.grad) == (-8.0, 12.0)
    assert math.isnan(n.grad)


def test_softplus_and_sigmoid_agree():
    for x in (-3.0, 0.0, 2.5):
        assert gradients(Value.softplus, x) == pytest.approx([Value(x).sigmoid().data], rel=1e-15)


# --- kinds of number -----------------------------------------------------------------------------------------------


def rational(x: Any, y: Any) -> Any:
    m = (x * y - 3) / (x + y**2) - x**-2
    return -m * m + abs(y) * 2 + (x - y).relu() + 5 / x + (x % y) + x // y + x.maximum(y)


@given(
    st.fractions(min_value=Fraction(1, 5), max_value=5, max_denominator=40),
    st.fractions(min_value=-5, max_value=Fraction(-1, 5), max_denominator=40),
)
def test_fractions_give_exact_gradients(p, q):
    if not p + q**2 or not (p / q) % 1:
        return
    x, y = Value(p), Value(q)
    rational(x, y).backward()
    h = Fraction(1, 10**12)

    def at(a: Fraction, b: Fraction) -> Any:
        return rational(Value(a), Value(b)).data

    assert type(x.grad) is type(y.grad) is Fraction
    assert float(x.grad) == pytest.approx(float((at(p + h, q) - at(p - h, q)) / (2 * h)), rel=1e-12, abs=1e-12)
    assert float(y.grad) == pytest.approx(float((at(p, q + h) - at(p, q - h)) / (2 * h)), rel=1e-12, abs=1e-12)


def test_a_fraction_by_hand():
    x, y = Value(Fraction(1, 3)), Value(Fraction(2, 7))
    out = x**3 / y + 2 * x
    out.backward()
    assert (out.data, x.grad, y.grad) == (
        Fraction(1, 27) / Fraction(2, 7) + Fraction(2, 3),
        3 * Fraction(1, 9) / Fraction(2, 7) + 2,
        -Fraction(1, 27) / Fraction(4, 49),
    )
    assert {type(v) for v in (out.data, x.grad, y.grad)} == {Fraction}


def test_integers_stay_integers():
    x = Value(10**30)
    (x * x + 3).backward()
    assert x.grad == 2 * 10**30
    assert type(x.grad) is int


@pytest.mark.parametrize("name", ["exp", "log", "log10", "log2", "sqrt", "exp2", "sigmoid"])
def test_decimal_has_the_precision_of_its_context(name):
    reference = next(row[1] for row in UNARY if row[0] == name)
    with localcontext() as context, mp.workdps(60):
        context.prec = 50
        x = Value(Decimal("1.7"))
        out = getattr(x, name)()
        out.backward()
        assert type(out.data) is type(x.grad) is Decimal
        assert abs(mp.mpf(str(out.data)) - reference(mp.mpf("1.7"))) < mp.mpf(10) ** -47
        assert abs(mp.mpf(str(x.grad)) - slope(reference, "1.7")) < mp.mpf(10) ** -35  # the difference itself: h²


@pytest.mark.parametrize("name", [row[0] for row in UNARY])
def test_decimal_knows_every_function(name):
    low, high = next(row[2:] for row in UNARY if row[0] == name)
    at = (max(low, -2) + min(high, 3)) / 2 + 0.125
    x, exact = Value(at), Value(Decimal(at))
    for v in (x, exact):
        getattr(v, name)().backward()
    assert float(getattr(exact, name)().data) == pytest.approx(float(getattr(x, name)().data), rel=1e-14)
    assert float(exact.grad) == pytest.approx(float(x.grad), rel=1e-13)


def test_decimal_arithmetic():
    x, y = Value(Decimal("0.1")), Value(Decimal("0.3"))
    out = (x * y + 1) / x - y**2 + x.hypot(y) + x.arctan2(y)
    out.backward()
    floats = gradients(lambda x, y: (x * y + 1) / x - y**2 + x.hypot(y) + x.arctan2(y), 0.1, 0.3)
    assert [float(x.grad), float(y.grad)] == pytest.approx(floats, rel=1e-13)
    assert Value(Decimal(0)).sqrt()._dx == Decimal("Infinity")
    assert Value(Decimal(10) ** 10).exp().data == Decimal("Infinity")


ANALYTIC = [
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin",
    "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "sigmoid", "softplus", "degrees", "radians", "__neg__", "cbrt",
]  # fmt: skip


@pytest.mark.parametrize("z", [0.3 + 0.4j, -0.7 + 1.1j, 1.2 - 0.5j])
@pytest.mark.parametrize("name", ANALYTIC)
def test_complex_numbers_have_the_complex_derivative(name, z):
    reference = next(row[1] for row in UNARY if row[0] == name)
    if name == "cbrt":
        reference = mp.cbrt
    if name in ("degrees", "radians"):
        factor = 180 / math.pi if name == "degrees" else math.pi / 180
        reference = lambda x: x * factor  # noqa: E731
    for number in (z, mp.mpmathify(z)):
        x = Value(number)
        out = getattr(x, name)()
        out.backward()
        assert complex(out.data) == pytest.approx(complex(reference(mp.mpmathify(z))), rel=1e-13)
        assert complex(x.grad) == pytest.approx(complex(slope(reference, z)), rel=1e-12)
        assert type(out.data) is type(number)


def test_complex_arithmetic():
    z, w = 1 + 2j, 0.5 - 1j
    assert gradients(lambda x, y: x * y + x / y - y**2, z, w) == pytest.approx([w + 1 / w, z - z / w**2 - 2 * w])
    assert gradients(lambda x, y: x**y, z, w) == pytest.approx([w * z ** (w - 1), z**w * np.log(z)])
    assert gradients(lambda x: 1j**x, 2.0) == pytest.approx([1j**2.0 * np.log(1j)])
    assert gradients(lambda x: x.hypot(w), z) == pytest.approx([z / (z * z + w * w) ** 0.5])


@pytest.mark.parametrize(
    "f", [abs, Value.relu, Value.conjugate, lambda z: z.arctan2(1), lambda z: z < 1, lambda z: z.maximum(1)]
)
def test_what_has_no_complex_derivative_raises(f):
    with pytest.raises(TypeError):
        f(Value(1 + 1j))


@pytest.mark.parametrize("f", [Value.exp, Value.cosh, lambda z: z**200, lambda z: 10**z])
def test_complex_overflow_is_an_error(f):
    with pytest.raises(OverflowError):
        f(Value(1000 + 1j))


def test_the_logarithm_of_zero_where_numbers_have_an_infinity_for_it():
    for zero in (Decimal(0), mp.mpf(0)):
        x = Value(zero)
        x.log().backward()
        assert (x.log().data, x.grad) == (-math.inf, math.inf)


# mpmath's cube root of a negative number is complex
MPMATH = [row for row in UNARY if row[0] != "cbrt" or row[2] > 0]


@pytest.mark.parametrize("name, reference, low, high", MPMATH, ids=[row[0] for row in MPMATH])
def test_mpmath_keeps_its_precision(name, reference, low, high):
    at = (max(low, -2) + min(high, 3)) / 2 + 0.125
    if name in ("__floor__", "__ceil__", "__trunc__", "rint"):
        assert getattr(Value(mp.mpf(at)), name)().data == reference(mp.mpf(at))
        return
    with mp.workdps(40):
        x = Value(mp.mpf(at))
        out = getattr(x, name)()
        out.backward()
        assert abs(out.data - reference(mp.mpf(at))) < mp.mpf(10) ** -36
        assert abs(x.grad - slope(reference, at)) < mp.mpf(10) ** -34


def test_numpy_scalars_become_pythons_numbers_where_nothing_is_lost():
    assert type(Value(np.float64(1.5)).data) is float
    assert type(Value(np.int64(3)).data) is int
    assert type(Value(np.uint8(3)).data) is int
    assert type(Value(np.complex128(1j)).data) is complex
    assert type(Value(np.float32(1.5)).data) is np.float32
    assert type(Value(np.longdouble(1.5)).data) is np.longdouble
    assert (Value(True).data, type(Value(True).data)) == (1, int)
    assert (Value(np.True_).data, type(Value(np.True_).data)) == (1, int)
    assert repr(Value(np.float64(2.0))) == "Value(data=2.0, grad=0)"
    assert (Value(np.int8(100)) + np.int8(100)).data == 200


SCALARS = [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.uint8(2), np.float16(2), Fraction(2)]


@pytest.mark.parametrize("c", SCALARS, ids=[type(c).__name__ for c in SCALARS])
def test_numbers_mix_with_values_on_both_sides(c):
    for op in (
        operator.add,
        operator.sub,
        operator.mul,
        operator.truediv,
        operator.pow,
        operator.mod,
        operator.floordiv,
    ):
        for left, right in ((Value(3.0), c), (c, Value(3.0))):
            out = op(left, right)
            out.backward()
            assert type(out) is Value
            v = left if isinstance(left, Value) else right
            twin = Value(3.0)
            expected = op(twin, 2.0) if v is left else op(2.0, twin)
            expected.backward()
            assert out.data == expected.data
            assert v.grad == twin.grad
    v = Value(3.0)
    assert v > c
    assert c < v
    assert v >= c
    assert c <= v
    assert not v < c
    assert not c > v
    assert not v <= c
    assert not c >= v


# --- NumPy's object arrays -------------------------------------------------------------------------------------------


def values(a: Any) -> np.ndarray:
    """An object array of leaves."""
    a = np.asarray(a)
    out = np.empty(a.shape, object)
    for i in np.ndindex(a.shape):
        out[i] = Value(a[i])
    return out


def plain(a: Any) -> np.ndarray:
    """The numbers in an object array."""
    return np.vectorize(lambda v: float(v), otypes=[float])(np.asarray(a, object))


def grads(a: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda v: float(v.grad), otypes=[float])(a)


W = np.random.default_rng(0).normal(size=(64,))


def project(out: Any) -> Any:
    """A weighted sum of everything in an array, or in a tuple of arrays."""
    parts = out if isinstance(out, (tuple, list)) else [out]
    flat = [e for part in parts for e in np.asarray(part).ravel()]
    return sum((w * e for w, e in zip(W, flat, strict=False)), 0.0)


def numeric_gradient(f: Callable[..., Any], arrays: list[np.ndarray], i: int) -> np.ndarray:
    """Central differences of the weighted sum, in two step sizes to cancel the error of order h²."""
    x = arrays[i]
    out = np.empty(x.shape)

    def at(j: Any, step: float) -> float:
        moved = x.copy()
        moved[j] += step
        return float(project(f(*arrays[:i], moved, *arrays[i + 1 :])))

    h = 1e-4
    for j in np.ndindex(x.shape):
        coarse, fine = ((at(j, s) - at(j, -s)) / (2 * s) for s in (2 * h, h))
        out[j] = (4 * fine - coarse) / 3
    return out


V = np.array([0.31, -0.72, 0.55, 0.18])  # away from kinks and ties, inside (−1, 1)
P = np.array([1.3, 0.4, 2.6, 1.9])
U = np.array([-0.47, 0.83, -0.21, 0.66])
M = np.array([[0.31, -0.72, 0.55], [1.18, 0.94, -1.27]])
N = np.array([[0.67, -0.12], [-0.33, 0.85], [1.41, 0.29]])

NUMPY: list[tuple[str, Callable[..., Any], list[np.ndarray]]] = [
    *[(f.__name__, f, [V]) for f in (
        np.exp, np.square, np.sin, np.cos, np.tan, np.tanh, np.sinh, np.cosh, np.arcsin, np.arccos, np.arctan, np.arcsinh,
        np.arctanh, np.expm1, np.log1p, np.exp2, np.cbrt, np.reciprocal, np.negative, np.positive, np.absolute, np.fabs,
        np.degrees, np.radians, np.deg2rad, np.rad2deg, np.floor, np.ceil, np.rint, np.trunc, np.conjugate, np.sign,
    )],
    *[(f.__name__, f, [P]) for f in (np.log, np.sqrt, np.log2, np.log10)],
    *[(f.__name__, f, [V, U]) for f in (
        np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.fmax, np.fmin, np.hypot, np.arctan2,
        np.remainder, np.floor_divide, np.dot, np.outer, np.vecdot, np.inner, np.convolve, np.kron,
    )],
    *[(f.__name__, f, [M]) for f in (
        np.sum, np.mean, np.max, np.min, np.prod, np.var, np.std, np.cumsum, np.cumprod, np.ptp, np.sort, np.ravel,
        np.transpose, np.trace, np.diff, np.linalg.norm, np.fliplr,
    )],
    ("arccosh", np.arccosh, [P + 1]),
    ("power", np.power, [P, U]),
    ("power, number", lambda x: np.power(x, 3) + x**2 + x**-1.5, [P]),
    ("number ** array", lambda x: 2.0**x + np.float64(3) ** x, [V]),
    ("sum over axis", lambda x: x.sum(axis=0), [M]),
    ("sum keepdims", lambda x: x - x.sum(axis=1, keepdims=True), [M]),
    ("mean over axis", lambda x: np.mean(x, axis=1), [M]),
    ("max over axis", lambda x: np.max(x, axis=0), [M]),
    ("var over axis, ddof", lambda x: np.var(x, axis=1, ddof=1), [M]),
    ("std over axis", lambda x: np.std(x, axis=0), [M]),
    ("norm over axis", lambda x: np.linalg.norm(x, axis=1), [M]),
    ("norm, ord 1", lambda x: np.linalg.norm(x, ord=1, axis=1), [M]),
    ("cumsum over axis", lambda x: np.cumsum(x, axis=1), [M]),
    ("cumprod over axis", lambda x: np.cumprod(x, axis=0), [M]),
    ("clip", lambda x: np.clip(x, -0.5, 0.4), [V]),
    ("clip method", lambda x: x.clip(-0.5, 0.4), [V]),
    ("maximum with a number", lambda x: np.maximum(x, 0.1), [V]),
    ("where", lambda x, y: np.where(x > 0, x * y, y), [V, U]),
    ("where, plain numbers", lambda x: np.where(x > 0, x, 0.0), [V]),
    ("matmul", np.matmul, [M, N]),
    ("matmul, vectors", lambda x, y: x @ y + y @ x, [V, U]),
    ("array @ plain", lambda x: x @ N, [M]),
    ("plain @ array", lambda x: M @ x, [N]),
    ("batched matmul", lambda x, y: np.stack([x, 2 * x]) @ y, [M, N]),
    ("einsum", lambda x, y: np.einsum("ij,jk->ki", x, y), [M, N]),
    ("einsum, three", lambda x, y: np.einsum("ij,jk,i->k", x, y, x[:, 0]), [M, N]),
    ("tensordot", lambda x, y: np.tensordot(x, y, axes=([0, 1], [1, 0])), [M, N]),
    ("concatenate", lambda x, y: np.concatenate([x, y.T, x[:1]]), [M, N]),
    ("stack", lambda x, y: np.stack([x, y.T], axis=1), [M, N]),
    ("pad", lambda x: np.pad(x, ((1, 1), (0, 2)), mode="reflect"), [M]),
    ("pad with zeros", lambda x: np.pad(x, 1), [M]),
    ("take", lambda x: np.take(x, [0, 2, 2], axis=1), [M]),
    ("fancy indexing", lambda x: x[[0, 1, 0], [2, 1, 2]], [M]),
    ("roll, flip, repeat, tile", lambda x: (np.roll(x, 1), x[::-1], np.repeat(x, 2), np.tile(x, 2)), [V]),
    ("divide by a plain array", lambda x: x / P + P / x, [V]),
    ("ufunc.outer, accumulate", lambda x, y: (np.multiply.outer(x, y), np.add.accumulate(x)), [V, U]),
    ("in place", lambda x: operator.imul(x * 1.0, x), [V]),
    ("round, two digits", lambda x: np.round(x, 2), [V]),
    ("average, weights", lambda x: np.average(x, weights=P), [V]),
    ("trapezoid", lambda x: np.trapezoid(x, dx=0.5), [V]),
    ("polyval", lambda x, y: np.polyval(x, y), [V, U]),
    ("cross", lambda x: np.cross(x[0], x[1]), [M]),
    ("softmax", lambda x: (e := np.exp(x - x.max(axis=1, keepdims=True))) / e.sum(axis=1, keepdims=True), [M]),
]  # fmt: skip


@pytest.mark.parametrize("name, f, arrays", NUMPY, ids=[row[0] for row in NUMPY])
def test_numpy_on_an_array_of_values(name, f, arrays):
    leaves = [values(a) for a in arrays]
    out = f(*leaves)
    expected = f(*arrays)
    for ours, theirs in zip(*[x if isinstance(x, tuple) else (x,) for x in (out, expected)], strict=True):
        assert np.shape(ours) == np.shape(theirs)
        np.testing.assert_allclose(plain(ours), theirs, rtol=1e-14, atol=1e-14)
    total = project(out)
    if isinstance(total, Value):  # else all elements are plain numbers, as those of np.sign: constants
        total.backward()
    for i, leaf in enumerate(leaves):
        np.testing.assert_allclose(grads(leaf), numeric_gradient(f, arrays, i), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    "op", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.mod, operator.floordiv]
)
@pytest.mark.parametrize(
    "array", [P, P.astype(object), P.astype(np.float32), np.array([1, 2, 3]), values(P)], ids=lambda a: str(a.dtype)
)
def test_value_and_array_meet_elementwise(op, array):
    for left, right in ((Value(1.7), array), (array, Value(1.7))):
        out = op(left, right)
        assert isinstance(out, np.ndarray)
        assert out.dtype == object
        assert out.shape == array.shape
        elements = array.astype(object)  # a float32 enters the object loop as a float of the same value
        pairs = [(left, e) for e in elements] if left is not array else [(e, right) for e in elements]
        assert {type(e) for e in out} == {Value}
        assert [e.data for e in out] == [op(p, q).data for p, q in pairs]


def test_comparisons_with_arrays_are_elementwise():
    v, a = Value(1.5), np.array([1.0, 2.0])
    assert (v < a).tolist() == [False, True]
    assert (a < v).tolist() == [True, False]
    assert (values(a) >= v).tolist() == [False, True]
    assert np.sort(values([3.0, 1.0, 2.0])).tolist()[0].data == 1.0
    assert np.argmax(values([3.0, 1.0, 2.0])) == 0


def test_numpy_functions_on_a_single_value():
    x = Value(0.5)
    out = np.exp(x) + np.sqrt(x) * np.float64(2)
    assert type(out) is Value
    out.backward()
    assert x.grad == pytest.approx(math.exp(0.5) + 1 / math.sqrt(0.5))
    assert np.asarray(x).dtype == object
    assert np.array([x, x]).astype(float).tolist() == [0.5, 0.5]


def test_steps_are_values_so_that_functions_go_on():
    a = values([0.5, 1.7])
    np.exp(np.floor(a) * a).sum().backward()
    assert grads(a).tolist() == pytest.approx([0.0, math.exp(1.7)])


def test_the_sign_of_an_exact_zero_needs_equality_which_is_identity():
    with pytest.raises(TypeError):
        np.sign(values([0.0]))


def test_object_arrays_give_a_tie_to_one_operand():
    a, b = values([1.0]), values([1.0])
    np.maximum(a, b)[0].backward()
    assert (a[0].grad, b[0].grad) == (1, 0)


def test_a_network_in_numpy_equals_the_network_of_neurons():
    random.seed(0)
    model = MLP(3, [4, 2], activation="tanh")
    x = np.array([0.5, -1.0, 2.0])
    h: Any = values(x)
    inputs = h
    for i, layer in enumerate(model.layers):
        w, b = np.array([n.w for n in layer.neurons]), np.array([n.b for n in layer.neurons])
        h = h @ w.T + b
        h = np.tanh(h) if i == 0 else h
    (h**2).sum().backward()
    first = [p.grad for p in model.parameters()]
    model.zero_grad()
    leaves = [Value(v) for v in x]
    sum(o**2 for o in model(leaves)).backward()
    assert [p.grad for p in model.parameters()] == pytest.approx(first, rel=1e-13)
    assert [v.grad for v in leaves] == pytest.approx(grads(inputs).tolist(), rel=1e-13)


# --- conversions and errors ------------------------------------------------------------------------------------------


def test_conversions():
    v = Value(2.5, label="v")
    assert repr(v) == str(v) == f"{v}" == "Value(data=2.5, grad=0)"
    assert f"{v:.3f}" == "2.500"
    assert (v.item(), float(v), int(v), bool(v), bool(Value(0.0))) == (2.5, 2.5, 2, True, False)
    assert (round(Value(2.567), 2), round(v), type(round(v))) == (2.57, 2, int)
    assert v.label == "v"
    assert type(Value(Fraction(1, 2)).item()) is Fraction


def test_equality_and_hash_are_identity():
    a, b = Value(1.0), Value(1.0)
    assert a != b
    assert a == a
    assert len({a, b, a}) == 2
    assert a != 1.0
    assert a <= b <= a


def test_comparisons():
    a, b = Value(1.0), Value(2.0)
    assert [a < b, a <= b, a > b, a >= b, b > 1, b < 1, 3 > b, 2 >= b] == [
        True,
        True,
        False,
        False,
        True,
        False,
        True,
        True,
    ]
    assert all(type(c) is bool for c in (a < b, a <= np.float64(3), Value(mp.mpf(1)) > 0, Value(np.float32(1)) > 0))


@pytest.mark.parametrize("bad", ["a", None, [1.0], (1,), {}, object(), np.array(1.0), np.array([1.0])])
def test_only_numbers_become_values(bad):
    with pytest.raises(TypeError, match=f"^Value: expected a number, got {type(bad).__name__}$"):
        Value(bad)


def test_a_value_of_a_value():
    with pytest.raises(TypeError, match=r"expected a number, got Value \(its number is its .data\)"):
        Value(Value(1.0))


@pytest.mark.parametrize("bad", ["a", None, [1.0]])
def test_unusable_operands(bad):
    for op in (
        operator.add,
        operator.sub,
        operator.mul,
        operator.truediv,
        operator.pow,
        operator.mod,
        operator.floordiv,
        operator.lt,
    ):
        for args in ((Value(1.0), bad), (bad, Value(1.0))):
            if op is operator.mod and args[0] == "a":
                continue  # string formatting
            with pytest.raises(TypeError):
                op(*args)
    for name in ("maximum", "minimum", "hypot", "arctan2"):
        with pytest.raises(TypeError, match=f"{name}: expected a number or a Value, got {type(bad).__name__}"):
            getattr(Value(1.0), name)(bad)


@pytest.mark.parametrize(
    "f, x, message",
    [
        (Value.log, 0.0, r"log\(0.0\) is undefined"),
        (Value.log, -1, r"log\(-1\) is undefined"),
        (Value.log, 0j, r"log\(0j\) is undefined"),
        (Value.log, Decimal(-1), r"log\(-1\) is undefined"),
        (Value.log2, 0.0, r"log2\(0.0\) is undefined"),
        (Value.log10, -2.0, r"log10\(-2.0\) is undefined"),
        (Value.log1p, -1.0, r"log1p\(-1.0\) is undefined"),
        (Value.sqrt, -4.0, r"sqrt\(-4.0\) is undefined"),
        (Value.arcsin, 1.5, r"arcsin\(1.5\) is undefined"),
        (Value.arccos, 1.5, r"arccos\(1.5\) is undefined"),
        (Value.arccosh, 0.5, r"arccosh\(0.5\) is undefined"),
        (Value.arctanh, 1.0, r"arctanh\(1.0\) is undefined"),
        (Value.sin, math.inf, r"sin\(inf\) is undefined"),
        (lambda x: x**0.5, -4.0, r"-4.0 \*\* 0.5 is not real"),
        (lambda x: (-8) ** (x / 3), 1.0, r"-8 \*\* 0.333\d+ is not real"),
    ],
)
def test_outside_the_domain(f, x, message):
    with pytest.raises(ValueError, match=message):
        f(Value(x))


@pytest.mark.parametrize(
    "f",
    [lambda z: 1 / z, lambda z: z**-1, lambda z: z / 0, lambda z: z % 0, lambda z: z // z, lambda z: 0.0 ** (z - 1)],
)
@pytest.mark.parametrize("zero", [0, 0.0, np.float64(0), np.int64(0), Fraction(0)])
def test_division_by_zero(f, zero):
    with pytest.raises(ZeroDivisionError):
        f(Value(zero))


def test_value_has_no_room_for_misspelt_attributes():
    with pytest.raises(AttributeError):
        Value(1.0).gard = 0  # type: ignore[attr-defined]


def test_the_module_imports_nothing_of_the_package_nor_numpy():
    path = sys.modules["tinytensor.scalar"].__file__
    code = f"import sys, runpy; runpy.run_path({path!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "decimal" in loaded
    assert not {m for m in loaded if m.split(".")[0] in ("numpy", "mpmath", "tinytensor")}


# --- neural networks -------------------------------------------------------------------------------------------------


def test_numbers_of_parameters():
    assert len(MLP(3, [4, 4, 1]).parameters()) == 41
    assert len(MLP(2, [16, 16, 1]).parameters()) == 337
    assert Module().parameters() == []


def test_reprs():
    assert repr(Neuron(2)) == "ReLUNeuron(2)"
    assert repr(Neuron(2, nonlin=False)) == "LinearNeuron(2)"
    assert repr(Neuron(2, activation="tanh")) == "TanhNeuron(2)"
    assert repr(Layer(2, 2, activation="sigmoid")) == "Layer of [SigmoidNeuron(2), SigmoidNeuron(2)]"
    assert repr(MLP(1, [2, 1])) == "MLP of [Layer of [ReLUNeuron(1), ReLUNeuron(1)], Layer of [LinearNeuron(2)]]"


@pytest.mark.parametrize(
    "activation, f", [("relu", lambda a: max(a, 0)), ("tanh", math.tanh), ("sigmoid", lambda a: 1 / (1 + math.exp(-a)))]
)
def test_a_neuron(activation, f):
    neuron = Neuron(2, activation=activation)
    neuron.b.data = 0.25
    a = 0.25 + neuron.w[0].data * 0.5 + neuron.w[1].data * -2.0
    for inputs in ([0.5, -2.0], (Value(0.5), Value(-2.0)), np.array([0.5, -2.0])):
        assert neuron(inputs).data == pytest.approx(f(a), rel=1e-15)
    linear = neuron([0.5, -2.0])._prev[0]
    assert [linear._op, linear._prev[1]._op, linear._prev[0]._prev[0]] == ["+", "*", neuron.b]


def test_layers_return_a_list_or_a_single_value():
    assert isinstance(Layer(2, 1)([1.0, 2.0]), Value)
    assert len(Layer(2, 3)([1.0, 2.0])) == 3
    assert isinstance(MLP(2, [1, 1])([1.0, 2.0]), Value)  # a layer of one neuron in the middle
    assert len(MLP(2, (3, 2))([1.0, 2.0])) == 2


def test_an_unknown_activation():
    with pytest.raises(ValueError, match="activation must be one of relu, tanh, sigmoid; got 'gelu'"):
        MLP(2, [3, 1], activation="gelu")


@pytest.mark.parametrize("inputs", [[1.0], [1.0, 2.0, 3.0]])
def test_the_wrong_number_of_inputs(inputs):
    with pytest.raises(ValueError, match=rf"ReLUNeuron\(2\): expected 2 inputs, got {len(inputs)}"):
        MLP(2, [3, 1])(inputs)


def test_zero_grad():
    model = MLP(2, [2, 1])
    model([1.0, 2.0]).backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert {p.grad for p in model.parameters()} == {0}


def moons(steps: int) -> tuple[list[float], float]:
    """The demo of micrograd: losses of the steps, and the last accuracy."""
    datasets = pytest.importorskip("sklearn.datasets")
    random.seed(1337)
    np.random.seed(1337)
    X, y = datasets.make_moons(n_samples=100, noise=0.1)
    y = y * 2 - 1
    model = MLP(2, [16, 16, 1])
    history = []
    for k in range(steps):
        inputs = [list(map(Value, row)) for row in X]
        scores = list(map(model, inputs))
        losses = [(1 + -yi * score).relu() for yi, score in zip(y, scores, strict=True)]
        total = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
        accuracy = np.mean([(yi > 0) == (score.data > 0) for yi, score in zip(y, scores, strict=True)])
        history.append(total.data)
        model.zero_grad()
        total.backward()
        for p in model.parameters():
            p.data -= (1.0 - 0.9 * k / 100) * p.grad
    return history, float(accuracy)


def test_the_first_losses_of_the_moons_demo(no_gc):
    history, _ = moons(4)
    published = [0.8958441028683222, 1.7235905336972022, 0.7429006313851131, 0.7705641260584198]
    assert history == pytest.approx(published, rel=0, abs=1e-9)


@pytest.mark.slow
def test_the_moons_demo_reaches_its_end(no_gc):
    history, accuracy = moons(100)
    assert accuracy == 1.0
    assert history[-1] == pytest.approx(0.01, abs=0.005)
