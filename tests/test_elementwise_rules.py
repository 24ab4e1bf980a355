"""Elementwise functions where it is delicate: kinks, ties, NaN, infinities, branches not taken, odd signatures."""

from __future__ import annotations

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.testing import check_grads

INF, NAN = np.inf, np.nan
grad = tt.grad


def both(f, x, y):
    """Gradients with respect to two numbers."""
    return tuple(map(float, grad(f, (0, 1))(x, y)))


# ------------------------------------------------------------------------------------------------- singular points


@pytest.mark.parametrize(
    ("f", "x", "condition"),
    [
        (np.sqrt, 0.0, lambda x: x > 0),
        (np.sqrt, -1.0, lambda x: x > 0),
        (np.cbrt, 0.0, lambda x: x > 0),
        (np.log, 0.0, lambda x: x > 0),
        (np.log, -1.0, lambda x: x > 0),
        (np.log1p, -1.0, lambda x: x > -1),
        (np.log1p, -2.0, lambda x: x > -1),
        (np.log2, 0.0, lambda x: x > 0),
        (np.log10, 0.0, lambda x: x > 0),
        (np.reciprocal, 0.0, lambda x: x > 0),
        (np.arcsin, 1.0, lambda x: x < 1),
        (np.arcsin, 2.0, lambda x: x < 1),
        (np.arccos, -1.0, lambda x: x > -1),
        (np.arccosh, 1.0, lambda x: x > 1),
        (np.arccosh, 0.0, lambda x: x > 1),
        (np.arctanh, 1.0, lambda x: x < 1),
        (np.arctanh, -3.0, lambda x: x > -1),
        (lambda x: np.hypot(x, 0.0), 0.0, lambda x: x > 0),
        (lambda x: np.arctan2(x, x), 0.0, lambda x: x > 0),
        (lambda x: x**0.5, 0.0, lambda x: x > 0),
        (lambda x: np.float_power(x, -1.0), 0.0, lambda x: x > 0),
        (lambda x: np.remainder(1.0, x), 0.0, lambda x: x > 0),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_branch_not_taken_stays_zero_to_second_order(f, x, condition):
    masked = lambda x: np.where(condition(x), f(x), 0)  # noqa: E731
    assert grad(masked)(x) == 0
    assert grad(grad(masked))(x) == 0


def test_a_remainder_by_zero_has_no_derivative_of_its_own():
    with np.errstate(all="ignore"):
        assert np.isnan(np.remainder(tt.tensor(1.0), 0.0).item())


def test_a_root_of_what_was_cut_off():
    """The slope of the root is infinite, but what it is multiplied with is not there."""
    for cut in (tt.relu, lambda x: np.maximum(x, 0.0), lambda x: np.clip(x, 0.0, None), lambda x: np.fmax(x, 0.0)):
        assert grad(lambda x, cut=cut: np.sqrt(cut(x)))(-1.0) == 0
        assert grad(grad(lambda x, cut=cut: np.sqrt(cut(x))))(-1.0) == 0


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_infinite_slopes():
    assert grad(np.cbrt)(0.0) == INF
    assert grad(np.log1p)(-1.0) == INF
    assert grad(np.arcsin)(1.0) == INF
    assert grad(np.arccos)(1.0) == -INF
    assert grad(np.arccosh)(1.0) == INF
    assert grad(np.arctanh)(1.0) == INF
    assert grad(np.log2)(0.0) == grad(np.log10)(0.0) == INF


def test_hypot_and_arctan2_at_the_origin():
    assert both(np.hypot, 0.0, 0.0) == (0, 0)
    assert both(np.arctan2, 0.0, 0.0) == (0, 0)
    assert both(np.hypot, 3e200, 4e200) == pytest.approx((0.6, 0.8))


@pytest.mark.parametrize("x", [3.0, -3.0])
@pytest.mark.parametrize("y", [0.0, 4.0, -4.0])
def test_arctan2_in_all_quadrants(x, y):
    r2 = x * x + y * y
    assert both(np.arctan2, x, y) == pytest.approx((y / r2, -x / r2))
    check_grads(np.arctan2, x, y)


def test_second_derivatives_of_sizes():
    assert grad(grad(np.abs))(-2.0) == 0 == grad(grad(np.fabs))(2.0) == grad(grad(np.abs))(0.0)
    assert grad(grad(lambda x: np.hypot(x, 4.0)))(3.0) == pytest.approx(16 / 125)
    check_grads(np.hypot, np.array([3.0, 0.5]), np.array([-4.0, 0.25]), order=3)


def test_sinc_at_zero_to_any_order():
    f, values = np.sinc, []
    for _ in range(5):
        values.append(float(f(0.0)))
        f = grad(f)
    assert values == pytest.approx([1, 0, -(np.pi**2) / 3, 0, np.pi**4 / 5], rel=1e-12, abs=1e-12)
    tiny = np.array([1e-300, 1e-12, 1e-6, 1e-3])
    np.testing.assert_allclose(grad(lambda x: np.sinc(x).sum())(tiny), -(np.pi**2) / 3 * tiny, rtol=1e-5)


def test_sinc_where_the_series_ends():
    """The series and the recurrence agree on both sides of the border, |πx| = n + 1."""
    for n in (1, 2, 3):
        f = np.sinc
        for _ in range(n):
            f = grad(f)
        below, above = (f((n + 1) / np.pi * (1 + side * 1e-12)) for side in (-1, 1))
        assert below == pytest.approx(above, rel=1e-9)


def test_logaddexp_far_out():
    assert both(np.logaddexp, -INF, -INF) == (0, 0) == both(np.logaddexp2, -INF, -INF)
    assert both(np.logaddexp, -INF, 1.0) == (0, 1)
    assert both(np.logaddexp, 1000.0, -1000.0) == (1, 0)
    assert both(np.logaddexp, 0.0, 0.0) == pytest.approx((0.5, 0.5))
    assert grad(grad(lambda x: np.logaddexp(x, 0.0)))(0.0) == pytest.approx(0.25)
    assert grad(grad(lambda x: np.logaddexp(x, 0.0)))(-1000.0) == 0


def test_powers_of_negative_bases():
    x = np.array([-2.0, -0.5, 0.0])
    np.testing.assert_allclose(grad(lambda x: np.power(x, 3).sum())(x), 3 * x**2)
    np.testing.assert_allclose(grad(lambda x: np.power(x, np.array([2, 3, 1])).sum())(x), [-4, 0.75, 1])
    np.testing.assert_allclose(grad(lambda x: np.float_power(x, 2.0).sum())(x), 2 * x)
    assert grad(grad(lambda x: x**3))(-2.0) == -12
    assert grad(lambda x: np.power(x, np.array([0.0]))[0])(0.0) == 0


# ------------------------------------------------------------------------------------------------- steps and remainders


@pytest.mark.parametrize("f", [np.floor, np.ceil, np.trunc, np.rint, np.round, np.fix, np.sign, np.spacing])
def test_steps_have_gradient_zero(f):
    x = tt.tensor([-1.5, 0.0, 2.0], requires_grad=True)
    f(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


def test_whole_quotients_have_gradient_zero():
    assert both(np.floor_divide, 7.0, 2.0) == (0, 0)
    assert both(lambda x, y: x // y, -7.0, 2.0) == (0, 0)
    assert both(np.copysign, -3.0, 2.0) == (-1, 0)
    assert both(np.heaviside, 0.0, 0.5) == (0, 1)
    assert both(np.heaviside, 1.0, 0.5) == (0, 0)
    assert both(np.nextafter, 1.0, 2.0) == (1, 0)


@pytest.mark.parametrize(("x", "y"), [(7.0, 2.0), (-7.0, 2.0), (7.0, -2.0), (-7.5, -2.0), (1.0, 0.1), (4.0, 2.0)])
def test_remainders(x, y):
    assert both(np.remainder, x, y) == (1, -np.floor_divide(x, y))
    assert both(lambda x, y: x % y, x, y) == (1, -np.floor_divide(x, y))
    assert both(lambda x, y: divmod(x, y)[1], x, y) == (1, -np.floor_divide(x, y))
    whole = round((x - np.fmod(x, y)) / y)
    assert both(np.fmod, x, y) == (1, -whole)


def test_operators_of_remainders():
    t = tt.tensor([5.0, -5.0], requires_grad=True)
    assert (t // 3).tolist() == [1, -2]
    assert (7 // t).tolist() == [1, -2]
    assert (t % 3).tolist() == [2, 1]
    assert (7 % t).tolist() == [2, -3]
    quotient, rest = divmod(7, t)
    assert (quotient.tolist(), rest.tolist()) == ([1, -2], [2, -3])
    u = t * 1
    u %= 3
    u *= 2
    u //= 3
    assert u.tolist() == [1, 0]
    v = t * 1
    v %= 3
    v.sum().backward()
    assert t.grad.tolist() == [1, 1]
    whole = tt.tensor([5, 7])
    whole //= 2
    assert (whole.tolist(), (whole % 2).tolist(), whole.dtype) == ([2, 3], [0, 1], np.int64)


def test_in_place_remainders_keep_the_memory():
    a = np.array([5.0, 7.0])
    t = tt.from_numpy(a)
    t %= 4
    t //= 2
    assert a.tolist() == [0, 1]


def test_parts_of_a_number():
    x = tt.tensor([2.75, -0.5, 0.0], requires_grad=True)
    fraction, whole = np.modf(x)
    mantissa, exponent = np.frexp(x)
    assert (fraction.tolist(), whole.tolist()) == ([0.75, -0.5, 0], [2, 0, 0])
    assert (mantissa * 2.0**exponent.data == x.data).all()
    assert exponent.dtype == np.int32
    assert not exponent.requires_grad
    (mantissa.sum() + fraction.sum() + whole.sum()).backward()
    assert x.grad.tolist() == [1.25, 2, 2]
    assert grad(lambda x: np.ldexp(x, 3))(1.5) == 8
    assert np.ldexp(1.5, tt.tensor([1, 2])).tolist() == [3, 6]
    with pytest.raises(TypeError):
        np.ldexp(x, 1.5)


# ----------------------------------------------------------------------------------------------- ties, NaN and bounds


def test_ties_and_nan_of_extremes():
    for f in (np.maximum, np.minimum, np.fmax, np.fmin):
        assert both(f, 1.0, 1.0) == (0.5, 0.5)
    for f in (np.fmax, np.fmin):
        assert both(f, NAN, 1.0) == (0, 1)
        assert both(f, 1.0, NAN) == (1, 0)
    assert both(np.fmax, 1.0, 2.0) == (0, 1) == both(np.fmin, 2.0, 1.0)


def test_running_extremes():
    f = lambda x: np.maximum.accumulate(x).sum()  # noqa: E731
    assert grad(f)(np.array([1.0, 3.0, 3.0, 2.0])).tolist() == [1, 1, 2, 0]
    assert grad(f)(np.array([1.0, NAN, 3.0, NAN])).tolist() == [1, 2, 0, 1]
    g = lambda x: np.minimum.accumulate(x, axis=1).sum()  # noqa: E731
    assert grad(g)(np.array([[2.0, 1.0, 5.0]])).tolist() == [[1, 2, 0]]


def test_nan_to_num():
    x = tt.tensor([1.0, NAN, INF, -INF], requires_grad=True)
    y = np.nan_to_num(x, nan=7.0, posinf=8.0)
    assert y.data[:3].tolist() == [1, 7, 8]
    y.sum().backward()
    assert x.grad.tolist() == [1, 0, 0, 0]
    with pytest.raises(TypeError, match="copy=False would write into x"):
        np.nan_to_num(x, copy=False)


def test_bounds():
    x = tt.tensor([-1.0, 0.5, 2.0])
    assert np.clip(x, min=0.0, max=1.0).tolist() == np.clip(x, a_min=0, a_max=1).tolist() == [0, 0.5, 1]
    assert np.clip(x, max=1.0).tolist() == [-1, 0.5, 1]
    assert np.clip(x).tolist() == x.tolist()
    assert x.clip(min=0.0).tolist() == [0, 0.5, 2]
    with pytest.raises(TypeError, match="'lo' twice"):
        np.clip(x, 0.0, min=0.0)


# ------------------------------------------------------------------------------------------------------ selections


def test_where_with_one_argument():
    t = tt.tensor([[0.0, 1.0], [2.0, 0.0]], requires_grad=True)
    assert [i.tolist() for i in np.where(t)] == [[0, 1], [1, 0]]


def test_select():
    x = tt.tensor([-1.0, 0.5, 2.0], requires_grad=True)
    y = np.select([x < 0, x < 1], [-x, x * x], default=3.0)
    assert y.tolist() == [1, 0.25, 3]
    y.sum().backward()
    assert x.grad.tolist() == [-1, 1, 0]
    assert np.select([x.data < 0], [x.detach()], 7).tolist() == [-1, 7, 7]
    with pytest.raises(ValueError, match="as many choices as conditions"):
        np.select([x < 0], [x, x])
    with pytest.raises(TypeError, match="condition 0 must be an array of booleans"):
        np.select([x], [x])


def test_piecewise():
    x = tt.tensor([-4.0, 0.0, 4.0], requires_grad=True)
    y = np.piecewise(x, [x < 0, x > 0], [lambda v: -v, np.sqrt])  # sqrt is never asked for negative numbers
    assert y.tolist() == [4, 0, 2]
    y.sum().backward()
    assert x.grad.tolist() == [-1, 0, 0.25]
    assert np.piecewise(x, [x.data < 0], [1.0, lambda v, a, k=1: a * v * k], 10.0, k=2).tolist() == [1, 0, 80]
    assert np.piecewise(tt.tensor(2.0), True, [lambda v: v * 3]).item() == 6
    assert tt.piecewise(np.array([1.0, -1.0]), [np.array([True, False])], [5.0]).tolist() == [5, 0]
    scale = tt.tensor(2.0, requires_grad=True)
    np.piecewise(x, [x > 0], [lambda v: v * scale]).sum().backward()
    assert scale.grad == 4
    with pytest.raises(ValueError, match="expected 1 functions, or one more"):
        np.piecewise(x, [x > 0], [1, 2, 3])


# ---------------------------------------------------------------------------------------------- dtypes and complex


@pytest.mark.parametrize(
    "f",
    [np.exp2, np.expm1, np.log1p, np.log2, np.cbrt, np.sinc, np.arctan, np.degrees, np.rad2deg, np.radians, np.deg2rad,
     np.spacing, np.fix, np.arcsinh, np.square, np.fabs, lambda x: np.hypot(x, 2.0), lambda x: np.arctan2(x, 2.0),
     lambda x: np.copysign(x, -1.0), lambda x: np.logaddexp(x, 0.0), lambda x: x % 0.7, lambda x: np.fmod(x, 0.7),
     lambda x: np.ldexp(x, 2), lambda x: np.float_power(x, 2)],
)  # fmt: skip
def test_float32_in_float32_out(f):
    x = np.array([0.3, 1.7], np.float32)
    t = tt.tensor(x, requires_grad=True)
    y = f(t)
    np.testing.assert_array_equal(y.data, f(x))
    assert y.dtype == f(x).dtype
    y.sum().backward()
    assert t.grad.dtype == np.float32


@pytest.mark.parametrize(
    "f",
    [np.exp2, np.expm1, np.log1p, np.log2, np.log10, np.tan, np.arcsin, np.arccos, np.arctan, np.sinh, np.cosh, np.tanh,
     np.arcsinh, np.arccosh, np.arctanh, np.sinc, np.square, np.reciprocal, np.sqrt, tt.sigmoid, lambda x: x**3,
     lambda x: x**2.5, lambda x: np.power(2.0, x)],
)  # fmt: skip
@pytest.mark.parametrize("z", [0.3 + 0.4j, -1.2 + 0.7j, 1.5 - 0.2j, -0.5 - 2.0j])
def test_holomorphic_functions_of_complex_numbers(f, z):
    """The gradient of Re f is the conjugate of f′, on every sheet."""
    t = tt.tensor(z, requires_grad=True)
    np.real(f(t)).backward()
    h = 1e-6
    slope = (f(np.array(z + h)) - f(np.array(z - h))) / (2 * h)
    np.testing.assert_allclose(t.grad, np.conj(slope), rtol=1e-7)


# ----------------------------------------------------------------------------------------------- methods of ufuncs


def test_outer_of_every_ufunc_with_two_arguments():
    x, y = tt.tensor([1.5, 2.0], requires_grad=True), np.array([0.5, 3.0, 1.25])
    for f in (np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.fmin, np.hypot, np.remainder,
              np.floor_divide, np.heaviside, np.copysign, np.logaddexp2, np.float_power):  # fmt: skip
        np.testing.assert_array_equal(f.outer(x, y).data, f.outer(x.data, y))
        np.testing.assert_array_equal(f.outer(y, x).data, f.outer(y, x.data))
        assert f.outer(x, y).requires_grad
    with pytest.raises(ValueError, match="outer product only"):
        np.exp.outer(x, y)


def test_reductions_of_other_ufuncs():
    x = tt.tensor([[8.0, 6.0], [2.0, 3.0]], requires_grad=True)
    assert np.subtract.reduce(x, axis=1).tolist() == [2, -1]
    assert np.logaddexp.reduce(x.detach(), axis=()).shape == (2, 2)
    with pytest.raises(ValueError, match="the order matters"):
        np.divide.reduce(x, axis=(0, 1))
    with pytest.raises(ValueError, match="no identity"):
        np.fmax.reduce(x[:0])
    assert np.hypot.reduce(x[:0]).tolist() == [0, 0]
    with pytest.raises(TypeError, match=r"np\.hypot\.reduce: initial= is not supported"):
        np.hypot.reduce(x, initial=3.0)
    with pytest.raises(TypeError, match=r"where="):
        np.hypot.reduce(x, where=x.data > 2)
    assert np.hypot.reduce(x, dtype=np.float32).dtype == np.float32


def test_segments():
    x = tt.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    (np.add.reduceat(x, [0, 2, 1]) * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [1, 101, 110, 100]
    with pytest.raises(IndexError, match=r"indices must be in \[0, 4\)"):
        np.add.reduceat(x, [0, 4])


def test_add_at_is_a_write_in_place():
    x, u = tt.tensor([1.0, 2.0, 3.0], requires_grad=True), tt.tensor([10.0, 20.0], requires_grad=True)
    t = x * 1
    view = t[1:]
    assert np.add.at(t, [2, 2], u) is None
    assert t.tolist() == [1, 2, 33]
    assert view.tolist() == [2, 33]
    np.subtract.at(t, 0, 5.0)
    np.multiply.at(t, np.array([0, 1]), 3.0)
    np.negative.at(t, [1])
    assert t.tolist() == [-12, -6, 33]
    t.sum().backward()
    assert (x.grad.tolist(), u.grad.tolist()) == ([3, -3, 1], [1, 1])


def test_at_without_gradient_and_refusals():
    t = tt.zeros(3)
    np.add.at(t, [0, 0], 1.0)
    np.multiply.at(t, [0, 0], 3.0)
    assert t.tolist() == [18, 0, 0]
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        np.add.at(x, [0], 1.0)
    with tt.no_grad():
        np.add.at(x, [0], 1.0)
    assert x.tolist() == [2, 2]
    with pytest.raises(TypeError, match="an index that occurs twice"):
        np.multiply.at(x * 1, [0, 0], 3.0)
    array = np.zeros(2)
    with pytest.raises(TypeError, match=r"np\.add\.at: an ndarray cannot take a tensor"):
        np.add.at(array, [0], x[:1])
    np.add.at(array, [0], x[:1].detach())
    assert array.tolist() == [2, 0]


def test_bincount():
    w = tt.tensor([1.0, 2.0, 4.0], requires_grad=True)
    y = np.bincount([0, 2, 2], weights=w)
    assert y.tolist() == [1, 0, 6]
    (y * y).sum().backward()
    assert w.grad.tolist() == [2, 12, 12]
    assert np.bincount(tt.tensor([1, 1])).tolist() == [0, 2]
    with pytest.raises(ValueError, match="expected that of x"):
        np.bincount([0, 1], weights=w)


# ------------------------------------------------------------------------------------------------- integers beside tensors


@pytest.mark.parametrize("kind", ["u1", "i1", "i8"])
def test_squares_of_integers_do_not_overflow(kind: str) -> None:
    k = np.array({"u1": [200, 17], "i1": [-128, 100], "i8": [2**40, -(2**40)]}[kind], kind)
    y = np.array([1.5, 20.0])
    for f in (np.arctan2, np.hypot):
        for first in (True, False):
            of_tensor = tt.grad(lambda t, f=f, first=first: np.sum(f(t, k) if first else f(k, t)))(y)
            of_floats = tt.grad(lambda t, f=f, first=first: np.sum(f(t, k * 1.0) if first else f(k * 1.0, t)))(y)
            np.testing.assert_allclose(of_tensor, of_floats, rtol=1e-15)


def test_a_power_with_the_smallest_exponent() -> None:
    """y − 1 wrapped around to 127."""
    x, y = np.array([2.5]), np.array([-128], np.int8)
    np.testing.assert_allclose(tt.grad(lambda t: np.sum(t**y))(x), -128 * x**-129.0)


def test_powers_of_halves_with_an_exponent_in_double_precision() -> None:
    x, y = np.array([1.1, 0.7], np.float16), np.array(1.5)
    exact = np.sum(x.astype(float) ** y * np.log(x.astype(float)))
    np.testing.assert_allclose(tt.grad(lambda t: np.sum(np.power(x, t)))(y), exact, rtol=1e-14)


def test_numbers_among_the_choices_are_weak() -> None:
    x = np.array([-1.0, 0.5, 2.0], np.float32)
    for f in (
        lambda t: np.select([t < 0, t < 1], [t, 1.5], default=2),
        lambda t: np.choose([0, 1, 0], [t, 1.5]),
    ):
        assert f(tt.tensor(x)).dtype == f(x).dtype == np.float32
    wide = np.array([1.5, 2.5, 3.5])
    assert np.select([x < 0], [tt.tensor(x)], wide).dtype == np.select([x < 0], [x], wide).dtype == float


def test_piecewise_of_a_number() -> None:
    assert tt.grad(lambda t: np.piecewise(t, t > 0, [lambda v: v * v, 0.0]))(3.0) == 6


def test_the_whole_part_of_integers_is_a_float() -> None:
    for kind in (np.int64, np.int8, bool):
        x = np.array([1, 0, 1], kind)
        assert [p.dtype for p in np.modf(tt.tensor(x))] == [p.dtype for p in np.modf(x)]


def test_hypot_has_second_derivatives_at_the_origin() -> None:
    assert tt.grad(tt.grad(np.hypot))(0.0, 0.0) == 0
    check_grads(np.hypot, np.array([3.0, 0.0]), np.array([4.0, 1.0]))
