"""Arrays built of tensors, polynomials, convolution, differential equations: kinks, messages, options, other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.signal
import scipy.sparse

import tinytensor as tt
from tinytensor.testing import check_grads

odeint, convolve, correlate = tt.integrate.odeint, tt.signal.convolve, tt.signal.correlate


def leaf(*numbers: float) -> Any:
    return tt.tensor(np.array(numbers), requires_grad=True)


# ------------------------------------------------------------------------------------------------------- nested lists


def test_a_list_of_tensors_becomes_one_tensor() -> None:
    angle = tt.tensor(0.3, requires_grad=True)
    turn = tt.array([[tt.cos(angle), -tt.sin(angle)], [tt.sin(angle), tt.cos(angle)]])
    (turn @ np.array([1.0, 2.0])).sum().backward()
    np.testing.assert_allclose(angle.grad, -3 * np.sin(0.3) - np.cos(0.3))


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.array([t, t]),
        lambda t: np.array([[t[0], 1.0]]),
        lambda t: np.asarray([t]),
        lambda t: np.exp([t, t]),
        lambda t: t + [t[0], t[1]],
        lambda t: np.full(3, t[0]),
    ],
)
def test_numpys_array_of_tensors_is_refused_and_names_what_to_write(call: Any) -> None:
    with pytest.raises(TypeError, match=r"tt\.stack or tt\.array, or np\.array\(list, like=t\)"):
        call(leaf(1.0, 2.0))


def test_like_brings_numpys_function_to_ours() -> None:
    t = leaf(1.0, 2.0)
    for made in (np.array([t, t * t], like=t), np.asarray([t, t * t], like=t), np.array((t, t * t), like=t)):
        np.testing.assert_array_equal(made.data, [[1.0, 2.0], [1.0, 4.0]])
        assert made.requires_grad
    assert np.full((2, 2), t, like=t).requires_grad
    for made in (np.zeros(2, like=t), np.full(2, 1.0, like=t), np.array([1, 2], like=t), np.full_like(t, 3)):
        assert type(made) is tt.Tensor


def test_lists_without_tensors_make_arrays_and_keep_numpys_dtypes() -> None:
    assert type(tt.array([[1, 2], [3, 4]])) is np.ndarray
    assert tt.array([tt.tensor(1), 2]).dtype == int
    assert tt.array([tt.tensor(1.0, dtype="float32"), tt.tensor(2.0, dtype="float32")]).dtype == np.float32
    assert tt.array([tt.tensor(1.0), 2j]).dtype == complex
    t = tt.tensor([1.0])
    assert tt.array(t) is not t
    assert tt.asarray(t) is t


def test_lists_of_unequal_parts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \(1,\) and \(2,\)"):
        tt.array([leaf(1.0), [1.0, 2.0]])


@pytest.mark.parametrize(
    "call",
    [
        lambda t: tt.array([t], dtype=int),
        lambda t: tt.asarray(t, dtype=int),
        lambda t: tt.full(2, t, dtype=int),
        lambda t: tt.full_like(np.arange(3), t),
        lambda t: np.full_like(tt.arange(3), t),
        lambda t: tt.linspace(t, 9.0, 3, dtype=int),
        lambda t: tt.logspace(t, 2.0, 3, dtype=int),
        lambda t: tt.geomspace(t, 9.0, 3, dtype=int),
    ],
)
def test_integers_do_not_swallow_a_gradient(call: Any) -> None:
    with pytest.raises(TypeError, match="has no gradient"):
        call(tt.tensor(2.0, requires_grad=True))


def test_setitem_into_integers_is_refused() -> None:
    for x in (np.arange(3), tt.arange(3)):
        with pytest.raises(TypeError, match=r"int64 cannot hold float64; use x\.astype"):
            tt.setitem(x, 0, tt.tensor(2.5, requires_grad=True))
    assert tt.setitem(np.arange(3), 0, 7).tolist() == [7, 1, 2]


def test_where_of_one_argument_gives_places() -> None:
    x = leaf(1.0, 0.0, 3.0)
    for f in (np.where, tt.where):
        (places,) = f(x > 0)
        assert places.tolist() == [0, 2]
        assert not places.requires_grad
    assert tt.where(np.array([0, 1]))[0].tolist() == [1]
    with pytest.raises(TypeError, match="missing y"):
        tt.where(x > 0, x)


# --------------------------------------------------------------------------------------------------------- polynomials


def test_roots_are_differentiated_where_they_are_complex_or_zero() -> None:
    def parts(p: Any) -> Any:
        r = tt.roots(p)
        return tt.real(r), tt.imag(r)

    check_grads(parts, np.array([1.0, 0.2, 0.9]), order=2)
    check_grads(parts, np.array([1.0, -3.0, 1.0, 0.0]), order=2)


def test_poly_undoes_roots() -> None:
    p = np.array([1.0, 0.3, 0.5, 2.0])
    np.testing.assert_allclose(tt.jacobian(lambda p: tt.poly(tt.roots(p)))(p)[1:, 1:], np.eye(3), atol=1e-12)


def test_polyfit_through_points_of_a_line() -> None:
    x, y = np.arange(4.0), np.array([1.0, 3.0, 5.0, 7.0])
    slope = tt.grad(lambda y: tt.polyfit(x, y, 1)[0])(y)
    np.testing.assert_allclose(slope, (x - x.mean()) / ((x - x.mean()) ** 2).sum(), atol=1e-12)
    with pytest.raises(TypeError, match="polyfit: expected x"):
        tt.polyfit(x, tt.tensor(y[:3]), 1)
    with pytest.raises(ValueError, match="cov needs more than 4 points"):
        tt.polyfit(x, tt.tensor(y), 3, cov=True)


def test_polydiv_is_right_for_coefficients_of_the_quotient() -> None:
    u, v = np.array([2.0, -1.0, 3.0, 0.5]), np.array([1.5, 2.0])
    back = lambda u, v: tt.polyadd(tt.polymul(tt.polydiv(u, v)[0], v), tt.polydiv(u, v)[1])  # noqa: E731
    np.testing.assert_allclose(tt.jacobian(back)(u, v), np.eye(4), atol=1e-12)


# --------------------------------------------------------------------------------------------------------- convolution


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("n", "m"), [((6,), (3,)), ((3,), (6,)), ((5, 6), (2, 3)), ((4, 3, 5), (2, 3, 2))])
def test_convolution_of_complex_arrays_is_scipys(mode: str, n: Any, m: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=s) + 1j * rng.normal(size=s) for s in (n, m))
    for method in ("auto", "direct", "fft"):
        for ours, theirs in ((convolve, scipy.signal.convolve), (correlate, scipy.signal.correlate)):
            np.testing.assert_allclose(ours(tt.tensor(x), y, mode, method).data, theirs(x, y, mode), atol=1e-12)


def test_convolution_of_whole_numbers_stays_exact() -> None:
    x, y = np.arange(400) ** 3, np.arange(300) ** 3
    np.testing.assert_array_equal(convolve(x, y), np.convolve(x, y))


@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize("method", ["direct", "fft"])
def test_axes_are_shifted_summed_or_paired(mode: str, method: str) -> None:
    """Images (n, channels, ...) and filters (m, channels, ...): by hand, one plane after another."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, 2, 3))

    def f(x: Any, y: Any) -> Any:
        return convolve(x, y, mode, method, axes=[(2, 3), (-2, -1)], dot_axes=[(1,), (1,)])

    by_hand = [
        [sum(scipy.signal.convolve(x[a, d], y[b, d], mode) for d in range(3)) for b in range(2)] for a in range(2)
    ]
    np.testing.assert_allclose(f(x, y), by_hand, atol=1e-12)
    check_grads(f, x[:, :2, :3, :3], y[:, :2, :, :2], order=2)


@pytest.mark.peers
@pytest.mark.parametrize("mode", ["full", "valid", "same"])
def test_axes_follow_hips_autograd(mode: str) -> None:
    theirs = pytest.importorskip("autograd.scipy.signal").convolve
    rng = np.random.default_rng(2)
    for n, m, axes, dot in (
        ((2, 5), (3, 4), [(1,), (1,)], [(), ()]),
        ((2, 3, 5), (3, 2, 2), [(2,), (1,)], [(1,), (0,)]),
        ((2, 5), (3,), [(1,), (0,)], [(), ()]),
    ):
        x, y = rng.normal(size=n), rng.normal(size=m)
        expected = theirs(x, y, axes=axes, dot_axes=dot, mode=mode)
        np.testing.assert_allclose(convolve(x, y, mode, axes=axes, dot_axes=dot), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        ((np.ones(3), np.ones((2, 2))), {}, "as many dimensions"),
        ((np.ones((2, 3)), np.ones((3, 2)), "valid"), {}, "at least as long along every axis"),
        ((np.ones(3), np.ones(0)), {}, "is empty"),
        ((np.ones(3), np.ones(2), "half"), {}, "mode must be"),
        ((np.ones((2, 3)), np.ones((4, 3))), {"axes": [(1,), (1,)], "dot_axes": [(0,), (0,)]}, "equally long"),
        ((np.ones((2, 3)), np.ones((4, 3))), {"axes": [(1,), (0, 1)]}, "as many axes"),
    ],
)
def test_convolution_says_what_is_wrong(args: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convolve(*args, **options)


# ---------------------------------------------------------------------------------------------- differential equations

EXACT = {"rtol": 1e-11, "atol": 1e-11}


def test_odeint_has_the_derivatives_of_the_known_solution() -> None:
    """y = y₀ e⁻ᵏᵗ: in y₀, in both times, in k, and twice in k."""

    def end(y: Any, t: Any, k: Any) -> Any:
        return odeint(lambda y, t, k: -k * y, y, t, (k,), **EXACT)[-1, 0]

    y, t, k = np.array([1.5]), np.array([0.5, 2.0]), 0.7
    e = np.exp(-1.5 * k)
    gy, gt, gk = tt.grad(end, (0, 1, 2))(y, t, k)
    np.testing.assert_allclose(gy, [e], rtol=1e-8)
    np.testing.assert_allclose(gt, [1.5 * k * e, -1.5 * k * e], rtol=1e-8)
    np.testing.assert_allclose(gk, -1.5 * 1.5 * e, rtol=1e-8)
    np.testing.assert_allclose(tt.grad(tt.grad(end, 2), 2)(y, t, k), 1.5**3 * e, rtol=1e-7)


def test_odeint_takes_containers_lists_and_constants() -> None:
    def pendulum(y: Any, t: Any, p: Any, n: int) -> Any:
        return [y[1], -p["g"] * np.sin(y[0]) - p["friction"][0] * y[1] ** n]

    def swing(p: Any) -> Any:
        return odeint(pendulum, np.array([1.0, 0.0]), np.linspace(0, 1, 4), (p, 1), **EXACT)

    p = {"g": np.array(2.0), "friction": [np.array(0.3)]}
    expected = scipy.integrate.odeint(pendulum, [1.0, 0.0], np.linspace(0, 1, 4), (p, 1), **EXACT)
    np.testing.assert_allclose(swing(p), expected, rtol=1e-9)
    check_grads(lambda g, f: swing({"g": g, "friction": [f]}), p["g"], p["friction"][0], order=1)


def test_odeint_refuses_what_would_lose_a_gradient() -> None:
    k = tt.tensor(2.0, requires_grad=True)
    for y in (np.ones(1), leaf(1.0)):
        with pytest.raises(TypeError, match=r"pass it in args="):
            odeint(lambda y, t: -k * y, y, [0.0, 1.0])
        with pytest.raises(TypeError, match=r"pass it in args="):
            odeint(lambda y, t: [-k * y[0]], y, [0.0, 1.0])
    with pytest.raises(TypeError, match=r"Dfun="):
        odeint(lambda y, t: -y, leaf(1.0), [0.0, 1.0], Dfun=lambda y, t: -1)
    with tt.no_grad():
        np.testing.assert_allclose(odeint(lambda y, t: -k * y, leaf(1.0), [0.0, 1.0]).data[-1], np.exp(-2), rtol=1e-6)


def test_odeint_with_time_first_in_float32_and_of_nothing() -> None:
    y = tt.tensor([1.0], dtype="float32", requires_grad=True)
    out = odeint(lambda t, y: -t * y, y, [0.0, 1.0], tfirst=True)
    out[-1].sum().backward()
    assert out.dtype == float
    assert y.grad.dtype == np.float32
    np.testing.assert_allclose(y.grad, [np.exp(-0.5)], rtol=1e-5)
    one = leaf(3.0)
    odeint(lambda y, t: -y, one, [0.0]).sum().backward()
    assert one.grad == [1.0]


# ------------------------------------------------------------------------------------------------------ sparse matrices


@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "coo_array", "csc_matrix"])
def test_scipys_sparse_matrices_meet_tensors_with_a_message_that_helps(kind: str) -> None:
    A, t = getattr(scipy.sparse, kind)(np.eye(3)), leaf(1.0, 2.0, 3.0)
    for call in (lambda: A @ t, lambda: t @ A, lambda: t.detach() @ A, lambda: A * t, lambda: np.matmul(t, A)):
        with pytest.raises(TypeError, match=r"tt\.sparse\.matmul"):
            call()
    B = tt.sparse.csr_array(A)
    np.testing.assert_array_equal((B @ t).data, (t @ B).data)


# ---------------------------------------------------------------------------------------------- trigonometry, activations


def test_slopes_at_kinks() -> None:
    assert tt.grad(tt.arccot)(0.0) == -1.0
    assert tt.elementwise_grad(tt.elu)(np.array([0.0, 1.0])).tolist() == [1.0, 1.0]
    assert tt.elementwise_grad(tt.softsign)(np.array([0.0])).tolist() == [1.0]
    np.testing.assert_allclose(tt.elementwise_grad(lambda x: tt.elu(x, 0.3))(np.array([0.0])), [0.3])
    with pytest.raises(ValueError, match="even length"):
        tt.glu(leaf(1.0, 2.0, 3.0))


def test_no_gradient_comes_from_the_branch_not_taken() -> None:
    x = np.array([0.5, 2.0])
    assert np.isfinite(tt.elementwise_grad(lambda x: tt.where(x > 1, tt.arcsec(x), 0.0))(np.array([1.0, 2.0]))).all()
    assert np.isfinite(tt.elementwise_grad(lambda x: tt.where(x < 1, tt.arcsech(x), 0.0))(np.array([1.0, 0.5]))).all()
    assert np.isfinite(tt.elementwise_grad(lambda x: tt.where(x > 1, tt.elu(x), 0.0))(x * 1000)).all()
