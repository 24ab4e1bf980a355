"""Special functions, distributions and sparse matrices: kinks, tails, poles, derivatives in parameters, messages."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.sparse
import scipy.special
import scipy.stats

import tinytensor as tt
from tinytensor.testing import check_grads

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
special, stats = tt.special, tt.stats


def slopes(f: Any, *numbers: float) -> list[float]:
    return [float(g) for g in tt.grad(f, tuple(range(len(numbers))))(*map(float, numbers))]


# ----------------------------------------------------------------------------------------------------- special functions


def test_scipys_ufuncs_take_tensors_without_importing_ours() -> None:
    code = """
import scipy.special, numpy as np, tinytensor as tt
x = tt.tensor([0.5, 1.5], requires_grad=True)
(scipy.special.erf(x) + scipy.special.jn(2, x) + scipy.special.gammainc(2.0, x) + scipy.special.expi(x)).sum().backward()
print(x.grad.shape)
try:
    scipy.special.zeta(2, x)
except TypeError as error:
    print("tt.special.zeta" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["(2,)", "True"], done.stderr[-2000:]


def test_without_scipy_one_sentence_names_the_extra() -> None:
    code = """
import sys
sys.modules["scipy"] = None
import numpy as np, tinytensor as tt
for name in ("special", "stats", "sparse", "i0"):
    try:
        getattr(tt, name)
    except ImportError as error:
        print("tinytensor[scipy]" in str(error))
try:
    np.spacing(tt.ones(2, requires_grad=True)); np.frexp(tt.ones(2, requires_grad=True))
except TypeError as error:
    print("no derivative" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[:4] == ["True"] * 4, done.stderr[-2000:]


@pytest.mark.parametrize("x", [-1e4, -50.0, -5.0, 0.0, 5.0, 30.0, 50.0])
def test_log_ndtr_far_out(x: float) -> None:
    """φ/Φ and its derivative keep their digits where Φ has underflowed."""
    with mpmath.workdps(60):
        tail = lambda t: mpmath.sqrt(2 / mpmath.pi) / (mpmath.exp(t * t / 2) * mpmath.erfc(-t / mpmath.sqrt(2)))  # noqa: E731
        m = tail(mpmath.mpf(x))
        second = float(-m * (x + m))
    np.testing.assert_allclose(tt.grad(special.log_ndtr)(x), float(m), rtol=1e-12)
    np.testing.assert_allclose(tt.grad(tt.grad(special.log_ndtr))(x), second, rtol=1e-6, atol=1e-300)


def test_entropies_at_zero() -> None:
    assert slopes(special.xlogy, 0, 0) == [0, 0]
    assert slopes(special.xlogy, 0, 2) == [np.log(2), 0]
    assert slopes(special.xlog1py, 0, -1) == [0, 0]
    assert slopes(special.rel_entr, 0, 0) == [0, 0]
    assert slopes(special.rel_entr, -1, 1) == [0, 0]
    assert slopes(special.kl_div, 0, 0) == [0, 0]
    assert slopes(special.entr, 0) == [np.inf]
    assert slopes(special.entr, -1) == [0]
    assert slopes(lambda x: np.where(x > 0, special.entr(x), 0), 0) == [0]
    second = tt.grad(tt.grad(lambda x: special.xlogy(x, x) * 3))
    assert second(2.0) == 1.5
    assert slopes(special.pseudo_huber, 0, 0) == [0, 0]
    assert slopes(special.huber, -1, 2) == [0, 0]


def test_rgamma_at_the_poles_of_gamma() -> None:
    got = [slopes(special.rgamma, -n)[0] for n in range(5)]
    np.testing.assert_allclose(got, [1, -1, 2, -6, 24], rtol=1e-13)


def test_removable_singularities() -> None:
    assert slopes(special.exprel, 0) == [0.5]
    assert slopes(special.spence, 1) == [-1]
    np.testing.assert_allclose(slopes(special.ellipk, 0) + slopes(special.ellipe, 0), [np.pi / 8, -np.pi / 8])
    np.testing.assert_allclose(slopes(special.boxcox, 3, 0), [1 / 3, np.log(3) ** 2 / 2])
    np.testing.assert_allclose(slopes(special.inv_boxcox, 2, 0), [np.exp(2), -2 * np.exp(2)])
    check_grads(special.boxcox, [0.5, 3.0], [0.0, 0.0])
    check_grads(special.inv_boxcox, [0.5, 1.0], [0.0, 0.0])


@pytest.mark.parametrize("a", [0.01, 0.5, 3.0, 60.0, 2000.0])
@pytest.mark.parametrize("ratio", [0.05, 0.9, 1.0, 1.1, 3.0])
def test_gammainc_in_its_parameter(a: float, ratio: float) -> None:
    """Against 40 digits, to 10 of them (of the largest value that the derivative takes, in the far tail)."""
    x = a * ratio
    with mpmath.workdps(40):
        p = lambda t: mpmath.gammainc(t, 0, x, regularized=True)  # noqa: E731
        first, second = (float(mpmath.diff(p, a, n)) for n in (1, 2))
    np.testing.assert_allclose(tt.grad(special.gammainc)(a, x), first, rtol=1e-10, atol=1e-30)
    np.testing.assert_allclose(tt.grad(tt.grad(special.gammainc))(a, x), second, rtol=1e-7, atol=1e-13)
    np.testing.assert_allclose(tt.grad(special.gammaincc)(a, x), -first, rtol=1e-10, atol=1e-30)


@pytest.mark.parametrize(
    ("a", "b", "x"), [(0.01, 0.01, 0.3), (0.5, 2.0, 0.01), (3.0, 0.5, 0.99), (40.0, 90.0, 0.3), (700.0, 1000.0, 0.4)]
)
def test_betainc_in_its_parameters(a: float, b: float, x: float) -> None:
    with mpmath.workdps(40):
        f = lambda s, t: mpmath.betainc(s, t, 0, x, regularized=True)  # noqa: E731
        expected = [float(mpmath.diff(f, (a, b), n)) for n in ((1, 0), (0, 1))]
        mixed = float(mpmath.diff(f, (a, b), (1, 1)))
    np.testing.assert_allclose(tt.grad(special.betainc, (0, 1))(a, b, x), expected, rtol=1e-10, atol=1e-30)
    np.testing.assert_allclose(tt.grad(tt.grad(special.betainc), 1)(a, b, x), mixed, rtol=1e-7, atol=1e-14)


def test_incomplete_functions_at_the_ends() -> None:
    assert slopes(special.gammainc, 2, 0) == [0, 0]
    assert slopes(special.gammainc, 1, 0) == [0, 1]
    assert slopes(special.gammainc, 0.5, 0) == [0, np.inf]
    assert slopes(special.betainc, 2, 3, 0) == [0, 0, 0]
    assert slopes(special.betainc, 2, 3, 1) == [0, 0, 0]
    assert tt.grad(special.gammainc)(np.float32(2), np.float32(1)).dtype == np.float32


def test_t_distribution_at_zero() -> None:
    """Its derivative in df is odd in t: 0 at t = 0, but not the mixed second derivative."""
    check_grads(special.stdtr, [0.7, 3.0], [0.0, 0.0])


def test_orders_and_hurwitz_x_are_constants() -> None:
    order = tt.tensor(2.0, requires_grad=True)
    for f in (special.jv, special.kv, special.polygamma, special.zeta, special.expn):
        with pytest.raises(TypeError, match="has no derivative"):
            f(order, tt.tensor(1.5))


def test_logsumexp_of_signed_sums() -> None:
    x, b = np.array([1.0, 2.0, 0.5]), np.array([1.0, -2.0, 0.0])
    log, sign = special.logsumexp(tt.tensor(x), b=b, return_sign=True)
    expected = scipy.special.logsumexp(x, b=b, return_sign=True)
    np.testing.assert_allclose([log.item(), sign.item()], expected, rtol=1e-14)
    assert np.isnan(special.logsumexp(tt.tensor(x), b=b).item())
    check_grads(lambda x, b: special.logsumexp(x, b=b, return_sign=True)[0], x, b)
    assert special.logsumexp(tt.tensor([1000.0, 0.0]), b=[0.0, 1.0]).item() == 0
    got = tt.grad(lambda x: special.logsumexp(x, b=[1.0, 1.0]))(np.array([-np.inf, -np.inf]))
    assert got.tolist() == [0, 0]


def test_multigammaln_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"a > \(d - 1\)/2"):
        special.multigammaln(tt.tensor(0.4), 2)


# --------------------------------------------------------------------------------------------------------- distributions


@pytest.mark.parametrize("name", ["gamma", "chi2", "beta", "expon", "lognorm", "uniform"])
@pytest.mark.parametrize("method", ["logpdf", "pdf", "cdf", "sf", "logcdf", "logsf"])
def test_no_gradient_outside_of_the_support(name: str, method: str) -> None:
    f, reference = getattr(getattr(stats, name), method), getattr(getattr(scipy.stats, name), method)
    parameters = [np.array(2.5)] * {"gamma": 1, "chi2": 1, "lognorm": 1, "beta": 2}.get(name, 0)
    x = np.array([-3.0, -0.5])
    np.testing.assert_array_equal(f(x, *parameters), reference(x, *parameters))
    gradient = tt.grad(lambda *xs: f(*xs).sum(), tuple(range(3 + len(parameters))))
    for g in gradient(x, *parameters, np.array(0.1), np.array(1.2)):
        if method != "logpdf" or np.ndim(g):  # ln scale is inside of the formula even there
            assert not np.any(g), (name, method)


@pytest.mark.parametrize("name", ["norm", "t", "gamma", "chi2", "beta", "expon", "laplace", "logistic", "cauchy", "lognorm", "uniform"])  # fmt: skip
def test_values_everywhere_are_scipys(name: str) -> None:
    """At the ends of the support, beyond them, at NaN, and for scales that are not allowed."""
    parameters = [1.7] * {"t": 1, "gamma": 1, "chi2": 1, "lognorm": 1, "beta": 2}.get(name, 0)
    x = np.array([-np.inf, -5.0, -1e-9, 0.0, 0.5, 1.0, 5.0, np.inf, np.nan])
    q = np.array([-0.1, 0.0, 0.3, 0.5, 1.0, 1.1, np.nan])
    for method in ("logpdf", "pdf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf"):
        ours, theirs = getattr(getattr(stats, name), method), getattr(getattr(scipy.stats, name), method)
        at = q if method in ("ppf", "isf") else x
        for more in ({}, {"loc": 0.2, "scale": 2.0}, {"scale": -1.0}):
            np.testing.assert_allclose(
                ours(at, *parameters, **more), theirs(at, *parameters, **more), rtol=1e-12, atol=1e-13,
                err_msg=f"{method} {more}",
            )  # fmt: skip


@pytest.mark.parametrize(("name", "parameters"), [("poisson", [1.7]), ("binom", [3, 0.3]), ("bernoulli", [0.3])])
@pytest.mark.parametrize("method", ["logpmf", "pmf", "cdf", "sf", "logcdf", "logsf"])
def test_discrete_values_everywhere(name: str, parameters: list[float], method: str) -> None:
    k = np.array([-1, 0, 1, 1.5, 3, 7])
    ours, theirs = getattr(getattr(stats, name), method), getattr(getattr(scipy.stats, name), method)
    for more in ({}, {"loc": 1}):
        np.testing.assert_allclose(ours(k, *parameters, **more), theirs(k, *parameters, **more), rtol=1e-12, atol=1e-13)
    g = tt.grad(lambda p: stats.poisson.logpmf([-1.0, 0.5], p).sum())(2.0)
    assert g == 0


def test_parameters_by_name_and_their_messages() -> None:
    x = tt.tensor([1.0, 2.0])
    same = stats.gamma.logpdf(x, a=2.0, scale=3.0).numpy()
    np.testing.assert_array_equal(same, stats.gamma.logpdf(x, 2.0, 0, 3.0).numpy())
    with pytest.raises(TypeError, match="gamma.logpdf is missing a"):
        stats.gamma.logpdf(x)
    with pytest.raises(TypeError, match="rate= is not one of its parameters; they are a, loc, scale"):
        stats.gamma.logpdf(x, 2.0, rate=3.0)
    with pytest.raises(TypeError, match="a= got twice"):
        stats.gamma.logpdf(x, 2.0, a=3.0)
    with pytest.raises(TypeError, match="at most loc, scale"):
        stats.norm.logpdf(x, 0, 1, 2)
    with pytest.raises(TypeError, match="'k' has no derivative"):
        stats.poisson.logpmf(tt.tensor([1.0], requires_grad=True), 2.0)


def test_dirichlet_and_its_messages() -> None:
    alpha, x = np.array([0.5, 1.3, 2.0]), np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]).T
    for points in (x, x[:, 0], x[:2]):
        np.testing.assert_allclose(stats.dirichlet.logpdf(points, alpha), scipy.stats.dirichlet.logpdf(points, alpha))
    with pytest.raises(ValueError, match="sum to 1"):
        stats.dirichlet.logpdf([0.5, 0.6, 0.2], alpha)
    with pytest.raises(ValueError, match="positive numbers"):
        stats.dirichlet.logpdf([0.5, 0.5], [1.0, -1.0])
    with pytest.raises(ValueError, match="infinite there"):
        stats.dirichlet.logpdf([0.0, 0.5, 0.5], alpha)


def test_multivariate_normal_in_all_its_shapes() -> None:
    draw = np.random.default_rng(0)
    mean, x, root = draw.normal(size=3), draw.normal(size=(4, 3)), draw.normal(size=(3, 3))
    cov = root @ root.T + np.eye(3)
    ours, theirs = stats.multivariate_normal, scipy.stats.multivariate_normal
    calls: list[Any] = [(x, mean, cov), (x[0], mean, cov), (x[:, None], mean, cov), (x, None, cov), (x, mean, np.ones(3)),
                        (x, mean, 2.0), (x[0], None, 2.0), (0.3, None, 2.0), (x[0, :, None], mean[:1], 2.0)]  # fmt: skip
    for call in calls:
        got, expected = ours.logpdf(*call), theirs.logpdf(*call)
        assert np.shape(got) == np.shape(expected)
        np.testing.assert_allclose(got, expected, rtol=1e-12)
        np.testing.assert_allclose(ours.entropy(*call[1:]), theirs.entropy(*call[1:]), rtol=1e-12)
    check_grads(lambda x, s: ours.logpdf(x, None, s), x[:2], np.array([0.5, 1.0, 2.0]))
    with pytest.raises(np.linalg.LinAlgError, match="symmetric"):
        ours.logpdf(x, mean, root)
    with pytest.raises(np.linalg.LinAlgError):
        ours.logpdf(x, mean, -cov)
    with pytest.raises(TypeError, match="allow_singular"):
        ours.logpdf(x, mean, cov, allow_singular=True)


# ---------------------------------------------------------------------------------------------------------------- sparse

PLACES = scipy.sparse.random_array((4, 5), density=0.4, rng=np.random.default_rng(0), format="csr")


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "dia", "lil", "bsr", "dok"])
def test_sparse_times_dense_in_every_format(form: str) -> None:
    dense, x = PLACES.toarray(), np.random.default_rng(1).normal(size=(5, 3))
    matrix = PLACES.asformat(form)
    for operand in (x, x[:, 0], np.asfortranarray(x)):
        np.testing.assert_allclose(tt.sparse.matmul(matrix, operand), dense @ operand)
        check_grads(lambda x: tt.sparse.matmul(matrix, x) ** 2, operand)
        np.testing.assert_allclose(
            tt.grad(lambda x: (tt.sparse.matmul(matrix, x) ** 2).sum())(operand),
            tt.grad(lambda x: ((tt.tensor(dense) @ x) ** 2).sum())(operand),
        )


def test_stored_values_have_a_gradient() -> None:
    """To third order, in both products, of the transpose too, against the dense matrix."""
    make = lambda data: tt.sparse.csr_array((data, PLACES.indices, PLACES.indptr), (4, 5))  # noqa: E731
    x = np.random.default_rng(1).normal(size=(5, 2))
    y = np.random.default_rng(2).normal(size=(4, 2))
    for n in (slice(None), 0):
        check_grads(lambda d, x: np.tanh(make(d) @ x), PLACES.data, x[:, n], order=3)
        check_grads(lambda d, y: np.tanh(make(d).T @ y), PLACES.data, y[:, n])
        check_grads(lambda d, y: np.tanh(y.T @ make(d)), PLACES.data, y[:, n])
    check_grads(lambda d: np.tanh(make(d).T.toarray()), PLACES.data)
    dense = tt.grad(lambda A: np.tanh(A @ x).sum())(PLACES.toarray())
    sparse = tt.grad(lambda d: np.tanh(make(d) @ x).sum())(PLACES.data)
    rows = np.repeat(np.arange(4), np.diff(PLACES.indptr))
    np.testing.assert_allclose(sparse, dense[rows, PLACES.indices])
    np.testing.assert_array_equal((np.ones((2, 4)) @ make(PLACES.data)), np.ones((2, 4)) @ PLACES)


def test_sparse_messages() -> None:
    x = tt.ones((5, 2), requires_grad=True)
    with pytest.raises(TypeError, match=r"tt\.sparse\.matmul\(A, t\)"):
        PLACES @ x
    with pytest.raises(ValueError, match=r"expected x of shape \(5,\) or \(5, k\), got \(2, 5\)"):
        tt.sparse.csr_array(PLACES) @ x.T
    with pytest.raises(TypeError, match="A @ x for dense ones"):
        tt.sparse.matmul(PLACES.toarray(), x)
    with pytest.raises(TypeError, match="integers"):
        tt.sparse.csr_array(([1.0], [0.5], [0, 1]))
    assert repr(tt.sparse.csr_array(PLACES)) == "csr_array(8 values of float64, shape=(4, 5))"


# ------------------------------------------------------------------------------------------------ extreme arguments


@pytest.mark.parametrize(
    ("f", "exact", "points"),
    [
        (special.erfcx, lambda x: mpmath.exp(x * x) * mpmath.erfc(x), [-3.0, 0.5, 11.9, 12.1, 30.0, 1e4, 1e5]),
        (special.dawsn, lambda x: mpmath.exp(-x * x) * mpmath.erfi(x) * mpmath.sqrt(mpmath.pi) / 2, [0.5, 11.9, -12.1, 750.0, 1e3]),
        (special.log_ndtr, lambda x: mpmath.log(mpmath.erfc(-x / mpmath.sqrt(2)) / 2), [3.0, -3.0, -16.9, -17.1, -1e3, -9e3]),
        (special.rgamma, mpmath.rgamma, [1e-20, 1e-8, 0.05, 0.3, 4.0]),
        (special.spence, lambda x: mpmath.re(mpmath.polylog(2, 1 - x)), [1e-20, 1e-3, 0.49, 0.51, 3.0]),
        (special.cotdg, lambda x: mpmath.cot(x * mpmath.pi / 180), [1e-8, -1e-8, 30.0, 100.0]),
        (special.j1, lambda x: mpmath.besselj(1, x), [1e-12, 1e-8, -1e-5, 0.02, 0.04, 5.0]),
        (special.i1, lambda x: mpmath.besseli(1, x), [1e-12, 1e-8, -1e-5, 0.02, 0.04, 5.0]),
        (lambda x: special.iv(1, x), lambda x: mpmath.besseli(1, x), [1e-8, 1e-5, 0.02, 5.0]),
        (lambda x: special.jv(3.5, x), lambda x: mpmath.besselj(3.5, x), [1e-2, 0.5, 5.0]),
    ],
)  # fmt: skip
def test_first_and_second_derivatives_lose_no_digits(f: Any, exact: Any, points: list[float]) -> None:
    first = tt.grad(f)
    with mpmath.workdps(120):
        for x in points:
            z, h = mpmath.mpf(x), abs(mpmath.mpf(x)) / 10**15
            low, here, high = exact(z - h), exact(z), exact(z + h)
            assert np.isclose(first(x), float((high - low) / (2 * h)), rtol=1e-8, atol=0), x
            assert np.isclose(tt.grad(first)(x), float((high - 2 * here + low) / h**2), rtol=1e-8, atol=0), x


def test_far_out_in_arrays_and_in_float32() -> None:
    x = np.array([-3.0, 0.5, 13.0, 1e4])
    for f in (special.erfcx, special.dawsn, special.log_ndtr):
        third = tt.grad(lambda v, f=f: tt.grad(lambda u: tt.grad(lambda w: f(w).sum())(u).sum())(v).sum())
        assert np.isfinite(third(x)).all()
        g32 = tt.grad(lambda v, f=f: f(v).sum())(x.astype(np.float32))
        assert g32.dtype == np.float32
        assert np.allclose(g32, tt.grad(lambda v, f=f: f(v).sum())(x), rtol=1e-4)


def test_i1e_where_scipys_ive_gives_up() -> None:
    assert np.isclose(tt.grad(special.i1e)(1e10), -0.5e-15 / np.sqrt(2 * np.pi), rtol=1e-5)


def test_psi_of_complex_numbers_says_that_polygamma_is_real() -> None:
    with pytest.raises(TypeError, match="psi: SciPy's polygamma"):
        tt.grad(lambda z: np.real(special.psi(z)))(1 + 1j)
