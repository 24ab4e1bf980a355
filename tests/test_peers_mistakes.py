"""Thirteen cases that other libraries were seen to get wrong, each by name: gradients of first and second order."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn
from tinytensor.testing import check_grads


def gradient(f: Any, x: Any) -> Any:
    """Of the sum of f's result, in reverse mode; forward mode must agree."""

    def total(a: Any) -> Any:
        return np.sum(f(a))

    x = np.asarray(x, float)
    found = np.asarray(tt.grad(total)(x))
    along = [float(tt.jvp(total, (x,), (e.reshape(x.shape),))[1]) for e in np.eye(x.size)]
    np.testing.assert_allclose(found.reshape(-1), along, atol=1e-12)
    return found


def curvature(f: Any, x: Any) -> Any:
    """All second derivatives of the sum of f's result, as a matrix."""
    x = np.asarray(x, float)
    return np.asarray(tt.hessian(lambda a: np.sum(f(a)))(x)).reshape(x.size, x.size)


def test_the_product_of_numbers_with_a_zero() -> None:
    x = [0.0, 2.0, 3.0]
    assert gradient(np.prod, x).tolist() == [6, 0, 0]
    assert curvature(np.prod, x).tolist() == [[0, 3, 2], [3, 0, 0], [2, 0, 0]]
    assert gradient(np.prod, [0.0, 0.0, 3.0]).tolist() == [0, 0, 0]
    assert curvature(np.prod, [0.0, 0.0, 3.0]).tolist() == [[0, 3, 0], [3, 0, 0], [0, 0, 0]]


def test_the_norm_at_zero_and_the_deviation_of_equal_numbers() -> None:
    for f in (np.linalg.norm, np.linalg.vector_norm, lambda x: np.linalg.norm(x, axis=0)):
        assert gradient(f, np.zeros(3)).tolist() == [0, 0, 0]
        assert np.isfinite(curvature(f, np.zeros(3))).all()
    for f in (np.std, np.nanstd, lambda x: x.std(ddof=1), lambda x: np.std(x, where=[True, True, False])):
        assert gradient(f, np.full(3, 2.0)).tolist() == [0, 0, 0]
        assert np.isfinite(curvature(f, np.full(3, 2.0))).all()


def test_the_maximum_norm() -> None:
    x = [1.0, -5.0, 3.0]
    assert gradient(lambda a: np.linalg.norm(a, np.inf), x).tolist() == [0, -1, 0]
    assert gradient(lambda a: np.linalg.norm(a, -np.inf), x).tolist() == [1, 0, 0]
    assert curvature(lambda a: np.linalg.norm(a, np.inf), x).tolist() == np.zeros((3, 3)).tolist()


def test_sinc_at_zero() -> None:
    assert gradient(np.sinc, [0.0]).tolist() == [0]
    np.testing.assert_allclose(curvature(np.sinc, [0.0]), [[-(np.pi**2) / 3]])


def test_the_determinant_of_a_singular_matrix() -> None:
    singular = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
    adjugate = np.array([[4.0, -2.0, 0.0], [4.0, -2.0, 0.0], [-4.0, 2.0, 0.0]])
    np.testing.assert_allclose(gradient(np.linalg.det, singular), adjugate.T, atol=1e-12)
    check_grads(np.linalg.det, singular)
    assert gradient(np.linalg.det, np.zeros((3, 3))).tolist() == np.zeros((3, 3)).tolist()
    check_grads(np.linalg.det, np.zeros((2, 2)))


def test_hypot_at_the_origin_and_logaddexp_of_two_infinities() -> None:
    for k in (0, 1):
        for f, x in ((np.hypot, 0.0), (np.logaddexp, -np.inf), (np.logaddexp2, -np.inf)):
            assert tt.grad(f, k)(x, x) == 0
            assert np.isfinite(tt.grad(tt.grad(f, k), k)(x, x))
    assert gradient(np.logaddexp.reduce, [-np.inf, -np.inf]).tolist() == [0, 0]
    with np.errstate(divide="ignore"):
        assert gradient(tt.logsumexp, [-np.inf, -np.inf]).tolist() == [0, 0]


def test_the_branch_that_is_not_taken() -> None:
    x = np.array([-4.0, 0.0, 4.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for f in (
            lambda a: np.where(a > 0, np.sqrt(a), 0.0),
            lambda a: np.where(a > 0, a**0.5, 0.0),
            lambda a: np.select([a > 0], [np.sqrt(a)]),
            lambda a: np.piecewise(a, [a > 0], [np.sqrt, 0.0]),
            lambda a: np.sum(np.sqrt(a), where=a > 0),
        ):
            assert gradient(f, x).tolist() == [0, 0, 0.25]
            assert curvature(f, x).tolist() == np.diag([0, 0, -1 / 32]).tolist()
        masked = tt.grad(lambda a: np.sum(np.sqrt(a) * np.array([0.0, 0.0, 1.0])))(np.array([1.0, 0.0, 4.0]))
        assert masked.tolist() == [0, 0, 0.25]
        # where(g == 0, 0, g * h) in the rule of log would lose the Gauss-Newton term: (log x)² has it at 1
        np.testing.assert_allclose(curvature(lambda a: np.log(a) ** 2, [1.0]), [[2.0]])


def test_eigenvectors_of_equal_eigenvalues_warn() -> None:
    with pytest.warns(RuntimeWarning, match="eigenvalues"):
        tt.grad(lambda a: np.sum(np.linalg.eigh(a)[1] * np.arange(9.0).reshape(3, 3)))(np.eye(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradient(lambda a: np.sum(np.linalg.eigh(a)[0]), np.eye(3)).tolist() == np.eye(3).tolist()


ROWS = np.array([[3.0, 1.0, 2.5], [0.5, 4.0, 1.5], [2.2, 0.2, 5.0]])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.einsum("ii->i", x),
        lambda x: np.einsum("ii", x),
        lambda x: np.abs(np.fft.rfft(x)) ** 2,
        lambda x: np.fft.irfft(np.fft.rfft(x, axis=0), n=3, axis=0) ** 2,
        lambda x: np.pad(x, 2, mode="edge") ** 2,
        lambda x: np.pad(x, ((1, 5), (2, 0)), mode="reflect") ** 2,
        lambda x: np.sort(x, axis=0) ** 2,
        lambda x: np.cumprod(x, axis=1),
        lambda x: np.cumprod(x * [[1.0], [0.0], [1.0]], axis=0),
        lambda x: np.interp(x, np.array([0.0, 2.0, 6.0]), np.array([1.0, 5.0, 2.0])) ** 2,
        lambda x: np.interp(np.array([0.3, 0.9]), np.array([0.0, 0.5, 1.0]), x[0]) ** 2,
        lambda x: np.median(x, axis=1) ** 2,
        lambda x: np.take_along_axis(x, np.array([[0, 0], [2, 1], [1, 1]]), axis=1) ** 2,
        lambda x: np.stack(np.gradient(x, np.array([0.0, 1.0, 3.0]), 0.5)) ** 2,
    ],
    ids=(
        "einsum_diagonal einsum_trace rfft_odd irfft_odd pad_edge pad_reflect sort_2d cumprod cumprod_zero interp_x interp_fp "
        "median take_along_axis gradient_spacing"
    ).split(),
)  # fmt: skip
def test_functions_that_others_refuse(f: Any) -> None:
    check_grads(f, ROWS)


def test_a_write_inside_a_function() -> None:
    def f(x: Any) -> Any:
        y = np.zeros_like(x) + x
        y[0] = y[1] * y[2]
        y[1:] *= y[0]
        return y

    check_grads(f, np.array([2.0, 3.0, 5.0]))
    assert gradient(f, [2.0, 3.0, 5.0]).tolist() == [0, 5 + 30 + 25, 3 + 9 + 30]


def test_a_second_backward_says_how() -> None:
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    assert x.grad.tolist() == [2, 4]
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [6, 12]


def test_an_operand_that_was_overwritten_is_reported() -> None:
    a = np.array([1.0, 2.0])  # NumPy knows nothing of tensors: no version is counted

    def through_an_alias() -> None:
        y = (tt.tensor([3.0, 4.0], requires_grad=True) * a).sum()
        a[0] = 7.0
        y.backward()

    def through_data() -> None:
        x = tt.tensor([3.0, 4.0], requires_grad=True)
        y = np.exp(x)
        y.data[0] = 7.0
        y.sum().backward()

    for program, op in ((through_an_alias, "multiply"), (through_data, "exp")):
        with pytest.raises(
            tt.AnomalyError, match=f"backward of {op}: an operand that it saved was overwritten"
        ) as raised:
            with tt.detect_anomaly():
                program()
        recorded = program.__code__.co_firstlineno + (1 if program is through_an_alias else 2)
        assert f"line {recorded}" in str(raised.value)
        with pytest.raises(tt.AnomalyError) as raised, tt.detect_anomaly(writes="raise"):
            program()
        assert raised.value.line.number == recorded + 1  # the line that writes


def test_a_column_against_a_vector_in_a_loss() -> None:
    prediction, target = tt.ones((4, 1), requires_grad=True), np.zeros(4)
    for loss in (nn.functional.mse_loss, nn.MSELoss(), nn.functional.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match=r"\(4, 1\).*\(4,\)"):
            loss(prediction, target)
        with pytest.raises(ValueError, match=r"\(4,\).*\(4, 1\)"):
            loss(target, prediction)


def test_the_module_has_a_test_for_each_row() -> None:
    assert len([name for name in vars(sys.modules[__name__]) if name.startswith("test_")]) == 13 + 1
