"""Products: errors, odd signatures, and what the catalogue's calls do not show."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.testing import check_grads


def ones(*shape: int) -> Any:
    return tt.ones(shape, requires_grad=True)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: np.cross(ones(2), ones(2)), ValueError, "vectors of length 3"),
        (lambda: np.cross(ones(3), ones(2)), ValueError, "vectors of length 3"),
        (lambda: np.linalg.outer(ones(2, 2), ones(3)), ValueError, "expected two vectors"),
        (
            lambda: np.tensordot(ones(2, 3), ones(2, 3), axes=1),
            ValueError,
            r"shapes \(2, 3\) and \(2, 3\) do not match",
        ),
        (lambda: np.tensordot(ones(2, 3), ones(3), axes=2), ValueError, "axes=2 for arrays of 2 and 1 dimensions"),
        (lambda: np.tensordot(ones(2, 3), ones(3), axes=([5], [0])), IndexError, "axes"),
        (lambda: np.tensordot(ones(2, 2), ones(2, 2), axes=([0, 0], [0, 1])), ValueError, "do not match"),
        (lambda: np.einsum("ij,jk", ones(2, 3)), ValueError, ""),
        (lambda: np.einsum(ones(2, 3), "ij"), TypeError, "a list of numbers"),
        (lambda: np.einsum(ones(2), [52]), TypeError, "a list of numbers"),
        (lambda: np.einsum("i", ones(2), dtype=np.float32), TypeError, r"does not take dtype="),
        (lambda: np.einsum("i->i", ones(2), out=np.ones(2)), TypeError, r"does not take out="),
        (lambda: np.dot(ones(2), ones(3)), ValueError, ""),
        (lambda: np.dot(ones(2), ones(2), out=np.ones(())), TypeError, "out"),
        (lambda: np.matmul(ones(2, 2), ones(2, 2), axes=[(0, 1)] * 3), TypeError, "axes"),
        (lambda: np.vecdot(ones(2), ones(2), axes=[0, 0, ()]), TypeError, "axes"),
        (lambda: np.vecdot(ones(2), ones(3)), ValueError, ""),
        (lambda: tt.linear(ones(3), ones(4, 2)), ValueError, "linear: expected x"),
        (lambda: np.polyder(ones(3), -1), ValueError, "must not be negative"),
        (lambda: np.polyint(ones(3), 3, [1.0, 2.0]), ValueError, "3, got 2"),
    ],
)
def test_errors_say_what_is_wrong(call: Any, error: Any, words: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(error, match=words):
            call()


def test_einsum_in_lists_is_the_string() -> None:
    x, y = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    assert np.array_equal(np.einsum(tt.tensor(x), [0, 1], y, [1, 2], [2, 0]).data, np.einsum("ab,bc->ca", x, y))
    assert np.array_equal(tt.einsum(x, (1, 0)), x.T), "letters of the implicit result are sorted, as in NumPy"
    path, text = np.einsum_path("ij,jk->ik", tt.tensor(x), y)
    assert path == ["einsum_path", (0, 1)]
    assert "ij,jk->ik" in text


def test_large_einsum_finds_matrix_products_in_backward() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 60, 60))
    gx, gy = tt.grad(lambda x, y: np.einsum("ij,jk->ik", x, y)[3].sum(), (0, 1))(x, y)
    g = np.zeros((60, 60))
    g[3] = 1
    np.testing.assert_allclose(gx, g @ y.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(gy, x.T @ g, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("dot", ((2, 0), (0, 3))), ("matmul", ((2, 0), (0, 3))), ("inner", ((2, 0), (3, 0))), ("dot", ((0,), (0,))),
        ("tensordot", ((2, 0, 4), (0, 4))), ("outer", ((0,), (3,))), ("kron", ((0, 2), (3,))), ("vdot", ((0,), (0,))),
        ("vecdot", ((2, 0), (0,))), ("cross", ((0, 3), (3,))),
    ],
)  # fmt: skip
def test_empty_inner_axes(name: str, shapes: Any) -> None:
    leaves = [tt.zeros(shape, requires_grad=True) for shape in shapes]
    out = getattr(np, name)(*leaves)
    expected = getattr(np, name)(*[np.zeros(shape) for shape in shapes])
    assert out.shape == expected.shape
    assert np.array_equal(out.data, expected)
    out.sum().backward()
    assert [leaf.grad.shape for leaf in leaves if leaf.grad is not None] == list(shapes)


def test_one_operand_twice() -> None:
    for f in (
        np.dot,
        np.inner,
        np.matmul,
        np.kron,
        lambda x, y: np.tensordot(x, y, 1),
        lambda x, y: np.einsum("ij,kj", x, y),
    ):
        check_grads(lambda x, f=f: f(x, x), np.array([[1.0, 2.0], [0.5, -1.0]]))


def test_a_constant_keeps_its_side() -> None:
    """A list, an integer array and a number beside a tensor; float32 stays."""
    x = tt.ones(3, dtype="float32", requires_grad=True)
    for out in (
        np.dot(x, np.ones(3, np.float32)),
        np.inner(np.ones((2, 3), np.float32), x),
        np.cross(np.ones(3, np.float32), x),
    ):
        assert out.dtype == np.float32
    np.dot(x, [1, 2, 3]).sum().backward()
    assert x.grad is not None
    assert (x.grad.dtype, x.grad.tolist()) == (np.float32, [1, 2, 3])
    assert np.polyval([2, 0, 1], tt.tensor([3.0], requires_grad=True)).tolist() == [19]


def test_polymul_drops_leading_zeros() -> None:
    p = tt.tensor([0.0, 1.0, 2.0], requires_grad=True)
    assert np.polymul(p, [1.0, 1.0]).tolist() == np.polymul([0, 1, 2], [1, 1]).tolist() == [1, 3, 2]
    assert np.polymul(tt.zeros(2), [1.0, 1.0]).tolist() == np.polymul([0, 0], [1, 1]).tolist()


def test_cross_of_many_vectors_is_that_of_each():
    x, y = np.random.default_rng(0).normal(size=(2, 400, 3))
    a, b = tt.tensor(x, requires_grad=True), tt.tensor(y[:1], requires_grad=True)
    out = np.cross(a, b)
    np.testing.assert_array_equal(out.data, np.cross(x, y[:1]))
    out[:, 0].sum().backward()
    np.testing.assert_allclose(
        a.grad, np.stack([np.zeros(400), *np.outer([1, -1], np.ones(400)) * y[0, [2, 1], None]], 1)
    )
    np.testing.assert_allclose(b.grad, [[0, -x[:, 2].sum(), x[:, 1].sum()]])
