"""Reductions, scans, statistics and signals at their kinks, ties and zeros, with NaN, and their messages."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.ops.scans import recurrence
from tinytensor.testing import check_grads

NAN, INF = np.nan, np.inf


def grad(f: Any, *xs: Any) -> Any:
    """The gradient of the sum of f's result with respect to the first argument."""
    return tt.grad(lambda *a: np.sum(f(*a)))(*[np.asarray(x, float) for x in xs]).tolist()


def hessian(f: Any, x: Any) -> Any:
    x = np.asarray(x, float)
    return [tt.grad(lambda a, i=i: tt.grad(lambda b: np.sum(f(b)))(a)[i])(x).tolist() for i in range(x.size)]


# ------------------------------------------------------------------------------------------------- NumPy's signatures


@pytest.mark.parametrize("f", [np.sum, np.prod], ids=lambda f: f.__name__)
def test_numpys_positional_arguments(f: Any) -> None:
    """The order is NumPy's there, ours in tt.sum(x, axis, keepdims)."""
    x = np.arange(6, dtype=np.float32).reshape(2, 3) + 1
    t = tt.tensor(x)
    for args in ((0,), (0, np.float64), (0, None, None, True), (0, np.float64, None, True, 2.0)):
        out, expected = f(t, *args), f(x, *args)
        assert (out.shape, out.dtype, out.tolist()) == (expected.shape, expected.dtype, expected.tolist())
    assert f(a=t, axis=1).tolist() == f(x, 1).tolist()
    assert f(t, dtype=None, where=True, keepdims=np._NoValue).tolist() == f(x)


def test_numpys_positional_arguments_of_max_and_var() -> None:
    x = np.arange(6.0).reshape(2, 3)
    t = tt.tensor(x)
    assert np.max(t, 0, None, True).tolist() == np.max(x, 0, None, True).tolist()
    assert np.var(t, 0, None, None, 1, True).tolist() == np.var(x, 0, None, None, 1, True).tolist()
    assert np.mean(t, 0, np.float64, None, True).shape == (1, 3)
    assert np.cumsum(t, 0, np.float64).tolist() == np.cumsum(x, 0).tolist()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: np.sum(t, out=np.zeros(())), r"sum\(\) does not take out=.*assign it"),
        (lambda t: tt.mean(t, initial=1.0), r"mean\(\) does not take initial="),
        (lambda t: np.var(t, mean=np.zeros(())), r"var\(\) does not take mean="),
        (lambda t: tt.sum(t, axes=1), r"sum\(\) does not take axes="),
        (lambda t: tt.sum(t, 0, axis=0), "'axis' twice"),
        (lambda t: tt.sum(), "missing x"),
        (lambda t: tt.sum(t, 0, True, 3), "takes 3 arguments"),
        (lambda t: tt.cumsum(t, where=np.ones(2, bool)), r"cumsum\(\) takes neither"),
        (lambda t: np.median(t, out=np.zeros(())), r"median\(\) does not take out="),
        (lambda t: np.quantile(t, tt.tensor(0.5, requires_grad=True)), "'q' has no derivative"),
        (lambda t: np.sum(t, initial=tt.tensor(0.5, requires_grad=True)), "'initial' has no derivative"),
        (lambda t: np.average(t[:, None] * t, weights=t), "need an axis"),
        (lambda t: np.ediff1d(t, to_end=1j), "must fit the dtype"),
        (lambda t: np.gradient(t, 1.0, 2.0), "one for each of the 1 axes"),
    ],
)
def test_what_is_not_supported_raises_type_error(call: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        call(tt.tensor([1.0, 2.0], requires_grad=True))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: np.diff(t, -1), "must not be negative"),
        (lambda t: np.gradient(t, edge_order=2), "at least 3 points"),
        (lambda t: np.gradient(t, np.arange(5.0)), "axis 0 has 2 points"),
        (lambda t: np.gradient(t, edge_order=3), "edge_order must be 1 or 2"),
        (lambda t: np.convolve(t, t, "all"), "mode must be"),
        (lambda t: np.interp(t, t, t, period=0), "period"),
        (lambda t: np.cumulative_sum(t[:, None] * t), "expected an axis"),
        (lambda t: np.cov(t, fweights=[0.5, 1.0]), "fweights must be 2 numbers"),
        (lambda t: np.max(t[:0]), "zero-size"),
    ],
)
def test_bad_values_raise_value_error(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(tt.tensor([1.0, 2.0], requires_grad=True))


def test_weights_that_sum_to_zero() -> None:
    with pytest.raises(ZeroDivisionError, match="sum to zero"):
        np.average(tt.ones(2), weights=[1.0, -1.0])


def test_masks_may_be_tensors() -> None:
    t = tt.tensor([1.0, -2.0, 3.0], requires_grad=True)
    out = np.sum(t, where=t > 0)
    out.backward()
    assert out.item() == 4
    assert t.grad.tolist() == [1, 0, 1]


def test_what_the_mask_hides_may_be_nan() -> None:
    for f in (np.sum, np.mean, np.prod, np.var, np.std):
        there = np.array([True, False, True])
        x = [1.0, NAN, 3.0]
        assert grad(lambda a, f=f, there=there: f(a, where=there), x)[1] == 0
        check_grads(lambda a, f=f, there=there: f(np.where(there, a, NAN), where=there), np.array([1.0, 2.0, 4.0]))


# ------------------------------------------------------------------------------------------------------ ties and zeros


def test_initial_takes_its_share_of_a_tie() -> None:
    assert grad(lambda x: np.max(x, initial=3.0), [3.0, 1.0]) == [0.5, 0]
    assert grad(lambda x: np.max(x, initial=5.0), [3.0, 1.0]) == [0, 0]
    assert grad(lambda x: np.min(x, initial=0.0), [3.0, 1.0]) == [0, 0]


@pytest.mark.parametrize(
    ("x", "first"),
    [
        ([0.0, 2.0, 3.0], [9, 0, 0]),
        ([2.0, 0.0, 3.0], [1, 8, 0]),
        ([2.0, 3.0, 0.0], [4, 2, 6]),
        ([0.0, 0.0, 3.0], [1, 0, 0]),
        ([2.0, 0.0, 0.0], [1, 2, 0]),
    ],
)
def test_cumprod_with_zeros(x: Any, first: Any) -> None:
    assert grad(np.cumprod, x) == first
    check_grads(np.cumprod, np.array(x), order=2)


def test_third_derivatives_of_products_of_zeros() -> None:
    """∂³(xyz) = 1, wherever the zeros are."""
    for f in (np.prod, lambda x: np.cumprod(x)[-1]):
        third = tt.grad(lambda a, f=f: tt.grad(lambda b: tt.grad(f)(b)[0])(a)[1])
        assert third(np.zeros(3)).tolist() == [0, 0, 1]
        assert third(np.array([0.0, 2.0, 0.0])).tolist() == [0, 0, 1]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_products_near_the_ends_of_the_range() -> None:
    """Where the whole product under- or overflows, those without one element need not."""
    for x in ([1e-200, 1e-200, 1e250], [1e200, 1e200, 1e-250], [1e-320, 2.0, 3.0]):
        expected = [x[1] * x[2], x[0] * x[2], x[0] * x[1]]
        np.testing.assert_allclose(grad(np.prod, x), expected, rtol=1e-3)
    tiny = np.full(400, 0.1)
    assert np.isfinite(grad(np.cumprod, tiny)).all()
    np.testing.assert_allclose(grad(np.cumprod, tiny), 10 * np.cumsum(0.1 ** np.arange(1, 401)[::-1])[::-1], rtol=1e-9)


def test_long_products_to_second_order_need_no_square_array() -> None:
    x = np.linspace(0.5, 1.5, 4000)
    x[7] = 0
    g = tt.grad(lambda a: np.sum(tt.grad(np.prod)(a) * np.linspace(1, 2, 4000)))(x)
    assert np.isfinite(g).all()


def test_the_recurrence_is_what_it_says() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 2, 13))
    out, y = recurrence(a, b), 0.0
    for i in range(13):
        y = b[:, i] + a[:, i] * y
        np.testing.assert_allclose(out[:, i], y, rtol=1e-12)
    check_grads(recurrence, a[:, :5], b[:, :5])


def test_median_shares_ties_evenly() -> None:
    assert grad(np.median, [1.0, 2.0, 2.0, 3.0]) == [0, 0.5, 0.5, 0]
    assert grad(np.median, [2.0, 2.0, 2.0]) == [1 / 3] * 3
    assert grad(np.median, [1.0, 2.0, 2.0]) == [0, 0.5, 0.5]
    assert grad(lambda x: np.quantile(x, 0.25), [1.0, 1.0, 3.0]) == [0.5, 0.5, 0]
    assert hessian(np.median, [1.0, 2.0, 2.0]) == [[0] * 3] * 3


def test_median_of_nan_goes_to_the_nans() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert grad(np.median, [1.0, NAN, 3.0]) == [0, 1, 0]
        assert grad(lambda x: np.quantile(x, 0.5, axis=1), [[1.0, NAN], [1.0, 3.0]]) == [[0, 1], [0.5, 0.5]]


def test_weighted_quantiles() -> None:
    x, w = np.array([3.0, 1.0, 2.0]), np.array([1.0, 5.0, 1.0])
    f = lambda a: np.quantile(a, 0.5, method="inverted_cdf", weights=w)  # noqa: E731
    assert f(tt.tensor(x)).item() == f(x) == 1
    assert grad(f, x) == [0, 1, 0]


def test_ptp_of_constants() -> None:
    assert grad(np.ptp, [2.0, 2.0]) == [0, 0]
    assert grad(np.ptp, [1.0, 3.0, 3.0]) == [-1, 0.5, 0.5]


# ----------------------------------------------------------------------------------------------------------------- NaN

ALL_NAN = ["nanmean", "nanmax", "nanmin", "nanvar", "nanstd", "nanmedian", "nansum", "nanprod"]


@pytest.mark.parametrize("name", ALL_NAN)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_of_nan_have_gradient_zero(name: str) -> None:
    f = getattr(np, name)
    rows = [[NAN, NAN, NAN], [1.0, NAN, 4.0]]
    got = grad(lambda x: f(x, axis=1), rows)
    assert got[0] == [0, 0, 0]
    assert got[1][1] == 0
    assert np.isfinite(got[1]).all()
    second = tt.grad(lambda x: np.sum(tt.grad(lambda y: np.sum(f(y, axis=1)[1:]))(x)))(np.array(rows))
    assert np.isfinite(second).all()


def test_nan_variants_equal_the_plain_ones_without_nan() -> None:
    x = np.array([[3.0, -1.0, 2.0], [0.5, 4.0, -2.0]])
    for name in ("sum", "mean", "prod", "max", "min", "var", "std", "median", "cumsum", "cumprod"):
        plain, nan = getattr(np, name), getattr(np, f"nan{name}")
        np.testing.assert_allclose(grad(lambda a, f=nan: f(a, axis=1), x), grad(lambda a, f=plain: f(a, axis=1), x))


def test_std_of_constants_under_a_mask() -> None:
    assert grad(lambda x: np.std(x, where=np.array([True, True, False])), [2.0, 2.0, 5.0]) == [0, 0, 0]
    assert grad(np.nanstd, [2.0, NAN, 2.0]) == [0, 0, 0]


# -------------------------------------------------------------------------------------------------------------- signals


def test_gradient_with_respect_to_the_coordinates() -> None:
    f = np.array([1.0, 3.0, 2.0, 5.0, 4.0])
    points = np.array([0.0, 1.0, 2.5, 3.0, 5.0])
    for order in (1, 2):
        check_grads(lambda a, x, order=order: np.gradient(a, x, edge_order=order), f, points)
        got = np.gradient(f, tt.tensor(points, requires_grad=True), edge_order=order)
        np.testing.assert_allclose(got.data, np.gradient(f, points, edge_order=order))
    check_grads(lambda a, h: np.gradient(a, h, 2.0)[0], f.reshape(5, 1) * np.ones(3), np.array(0.5))
    check_grads(lambda h: np.gradient(f, h), np.array(0.5))


def test_interp_at_the_points_and_outside() -> None:
    xp, fp = np.array([0.0, 1.0, 3.0]), np.array([0.0, 5.0, 6.0])
    f = lambda x: np.interp(x, xp, fp)  # noqa: E731
    assert grad(f, [-1.0, 0.0, 1.0, 3.0, 4.0]) == [0, 5, 0.5, 0.5, 0]
    ends = tt.grad(lambda v: np.sum(np.interp([-1.0, 4.0, 5.0], xp, v)))(fp)
    assert ends.tolist() == [1, 0, 2]
    ends = tt.grad(lambda v: np.sum(np.interp([-1.0, 4.0, 5.0], xp, v, left=0.0, right=0.0)))(fp)
    assert ends.tolist() == [0, 0, 0]


def test_complex_correlations_conjugate_the_second_vector() -> None:
    rng = np.random.default_rng(0)
    a, v = (rng.normal(size=n) + 1j * rng.normal(size=n) for n in (5, 3))
    for f in (np.convolve, np.correlate):
        for mode in ("full", "same", "valid"):
            check_grads(
                lambda p, q, r, s, f=f, mode=mode: np.abs(f(p + 1j * q, r + 1j * s, mode)),
                a.real, a.imag, v.real, v.imag, order=1,
            )  # fmt: skip


def test_histogram_counts_are_constant_and_weights_are_not() -> None:
    x = np.array([0.0, 0.5, 1.0, 2.0])
    for options in ({"bins": 2}, {"bins": [0.0, 0.7, 1.5]}, {"bins": 3, "range": (0.2, 2.0), "density": True}):
        f = lambda w, options=options: np.histogram(x, weights=w, **options)[0]  # noqa: E731
        w = np.array([1.0, 2.0, 3.0, 4.0])
        np.testing.assert_allclose(f(tt.tensor(w, requires_grad=True)).data, f(w))
        check_grads(f, w)
    counts, edges = np.histogram(tt.tensor(x, requires_grad=True), 2)
    assert counts.tolist() == [2, 2]
    assert not counts.requires_grad
    assert not edges.requires_grad


def test_functions_along_axes_see_tensors() -> None:
    x = tt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    out = np.apply_along_axis(lambda v: v @ v, 1, x)
    out.sum().backward()
    assert out.tolist() == [5, 25]
    assert x.grad.tolist() == [[2, 4], [6, 8]]
    with pytest.raises(ValueError, match="no vector"):
        np.apply_along_axis(np.sum, 1, tt.zeros((0, 3)))


def test_too_few_observations_warn_as_in_numpy() -> None:
    with pytest.warns(RuntimeWarning, match="degrees of freedom"), np.errstate(all="ignore"):
        out = np.cov(tt.tensor([[1.0], [2.0]]))
    assert np.isnan(out.data).all()


def test_corrcoef_with_itself_is_flat() -> None:
    x = np.array([[1.0, 2.0, 4.0], [3.0, 1.0, 0.0]])
    got = tt.grad(lambda a: np.corrcoef(a)[0, 0])(x)
    np.testing.assert_allclose(got, 0, atol=1e-15)


# -------------------------------------------------------------------------------------- numbers, and NumPy's signatures


SCANS = (np.cumsum, np.cumprod, np.nancumsum, np.nancumprod, np.cumulative_sum, np.cumulative_prod)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize(
    "f",
    [np.sum, np.prod, np.max, np.min, np.nansum, np.nanprod, np.nanmax, np.nanmin, *SCANS],
    ids=lambda f: f.__name__,
)
def test_axis_0_of_a_number(f: Any, axis: int) -> None:
    """NumPy's reductions take it, so that the gradient must."""
    t = tt.tensor(1.5, requires_grad=True)
    out = f(t, axis=axis)
    assert out.shape == f(np.array(1.5), axis=axis).shape
    out.sum().backward()
    assert t.grad == 1


@pytest.mark.parametrize("f", [np.mean, np.var, np.std, np.nanmean, np.nanvar, np.nanstd], ids=lambda f: f.__name__)
def test_a_dtype_that_cannot_hold_the_result(f: Any) -> None:
    with pytest.raises(TypeError, match=rf"{f.__name__}: dtype=int64 cannot hold its result"):
        f(tt.tensor([1, 2, 4]), dtype=int)
    if f not in (np.mean, np.nanmean):
        with pytest.raises(TypeError, match="dtype=complex128 cannot hold"):
            f(tt.ones(3), dtype=complex)


def test_numpys_positions_after_the_axis() -> None:
    """``out`` stands there, which was taken for keepdims."""
    x = np.arange(6.0).reshape(2, 3)
    t, out = tt.tensor(x), np.zeros(3)
    for f in (np.median, np.nanmedian, np.ptp, np.nanmax, np.nanmin, np.argmax, np.argmin, np.nanargmax, np.nanargmin):
        with pytest.raises(TypeError, match=rf"{f.__name__}\(\) does not take out="):
            f(t, 0, out)
        assert f(t, 0, None).tolist() == f(x, 0).tolist()
    for f in (np.quantile, np.percentile, np.nanquantile, np.nanpercentile):
        with pytest.raises(TypeError, match=r"does not take out="):
            f(t, 0.5, 0, out)
        more = (0.5, 0, None, False, "lower", True)
        assert f(t, *more).tolist() == f(x, *more).tolist()
    assert np.median(t, 0, None, False, True).shape == np.ptp(t, 0, None, True).shape == (1, 3)


def test_nanmax_with_where_and_initial() -> None:
    x = np.array([[1.0, NAN, 4.0], [3.0, 7.0, NAN]])
    there = np.array([[True, True, False], [True, True, True]])
    options = {"axis": 1, "where": there, "initial": 2.0}
    t = tt.tensor(x)
    assert np.nanmax(t, **options).tolist() == np.nanmax(x, **options).tolist() == [2, 7]
    assert np.nanmin(t, **options).tolist() == np.nanmin(x, **options).tolist() == [1, 2]
    assert grad(lambda a: np.nanmax(a, **options), x) == [[0, 0, 0], [0, 1, 0]]
    assert grad(lambda a: np.nanmin(a, **options), x) == [[1, 0, 0], [0, 0, 0]]
    assert grad(lambda a: np.nanmax(a, initial=7.0), x) == [[0, 0, 0], [0, 0.5, 0]]


def test_nanvar_with_where_has_numpys_nan() -> None:
    x, there = np.array([[1.0, NAN, 4.0], [3.0, 7.0, 2.0]]), np.array([[True, True, False], [True, True, True]])
    for f in (np.nanvar, np.nanstd):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            expected = f(x, axis=1, ddof=1, where=there)
            np.testing.assert_array_equal(f(tt.tensor(x), axis=1, ddof=1, where=there).data, expected)
        assert np.isnan(expected).tolist() == [True, False]
        check_grads(
            lambda a, f=f: f(np.where(np.isnan(x), NAN, a), axis=1, where=there)[1:], np.where(np.isnan(x), 0, x)
        )


# ------------------------------------------------------------------------------------------------ weights and covariances


def test_cov_has_gradients_of_its_aweights() -> None:
    x, w = np.random.default_rng(0).normal(size=(2, 4)), np.array([0.5, 1.0, 2.0, 1.5])
    for options in ({}, {"ddof": 0}, {"fweights": [1, 2, 1, 3]}):
        check_grads(lambda a, b, options=options: np.cov(a, aweights=b, **options), x, w)
    with pytest.raises(TypeError, match="fweights are counts"):
        np.cov(tt.tensor(x), fweights=tt.ones(4, requires_grad=True))


def test_cov_keeps_the_dtype_asked_for() -> None:
    x = np.random.default_rng(0).normal(size=(2, 4))
    for f in (np.cov, np.corrcoef):
        assert f(tt.tensor(x), dtype=np.float32).dtype == f(x, dtype=np.float32).dtype == np.float32


def test_the_columns_of_a_single_row() -> None:
    """Five variables, each observed once: as NumPy since 2.2."""
    x = np.arange(5.0).reshape(1, 5)
    assert np.array_equal(np.cov(tt.tensor(x), rowvar=False, ddof=0), np.zeros((5, 5)))


def test_a_histogram_with_weights_has_no_automatic_bins() -> None:
    with pytest.raises(TypeError, match="not supported for weighted data"):
        np.histogram(np.arange(4.0), "auto", weights=tt.ones(4, requires_grad=True))


def test_modes_of_convolutions_are_whole_words() -> None:
    for f in (np.convolve, np.correlate):
        with pytest.raises(ValueError, match="mode must be 'full', 'same' or 'valid', got 'fool'"):
            f(tt.ones(3), tt.ones(2), "fool")


def test_apply_along_axis_takes_what_numpy_takes() -> None:
    x = np.arange(6.0).reshape(2, 3)
    for f in (lambda r: 1.0, lambda r: [r[0], r[1] * r[2]], lambda r: ((r[0], 2.0), (r[1], 3.0))):
        out = np.apply_along_axis(f, 1, tt.tensor(x, requires_grad=True))  # type: ignore[call-overload]
        assert type(out) is tt.Tensor
        assert np.array_equal(out.data, np.apply_along_axis(f, 1, x))
    assert grad(lambda x: np.apply_along_axis(lambda r: [r[0], r[1] * r[2]], 1, x), x) == [[1, 2, 1], [1, 5, 4]]
