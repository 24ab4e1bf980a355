"""Shapes, joining, indexing and selection: ties, odd arguments, error messages, and sizes where another path is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.testing import check_grads


def gradient(f: Any, *arrays: Any) -> Any:
    """Σ w · f, differentiated by all arrays, with weights 1, 2, 3, ..."""

    def total(*xs: Any) -> Any:
        out = f(*xs)
        return tt.sum(np.arange(1.0, out.size + 1).reshape(out.shape) * out)

    return tt.grad(total, tuple(range(len(arrays))))(*arrays)


def leaf(*shape: int) -> Any:
    return tt.tensor(np.arange(1.0, np.prod(shape) + 1).reshape(shape), requires_grad=True)


# ---------------------------------------------------------------------------------------------------------------- sorting


def test_equal_elements_keep_their_order_when_sorted() -> None:
    x = np.array([2.0, 1.0, 2.0, 1.0])
    assert gradient(np.sort, x)[0].tolist() == [3, 1, 4, 2]


def test_nan_is_sorted_last_with_its_gradient() -> None:
    assert gradient(np.sort, np.array([np.nan, 1.0, 0.0]))[0].tolist() == [3, 2, 1]


@pytest.mark.parametrize("ties", [False, True])
def test_sort_of_many(ties: bool) -> None:
    """Above a size another argsort is used, if nothing is tied."""
    rng = np.random.default_rng(0)
    x = rng.permutation(3000) // (7 if ties else 1) * 1.0
    expected = np.empty(3000)
    expected[np.argsort(x, kind="stable")] = np.arange(1, 3001)
    assert np.array_equal(gradient(np.sort, x)[0], expected)
    rows = x.reshape(30, 100)
    expected = np.empty((30, 100))
    np.put_along_axis(expected, np.argsort(rows, 0, kind="stable"), np.arange(1.0, 3001).reshape(30, 100), 0)
    assert np.array_equal(gradient(lambda m: np.sort(m, axis=0), rows)[0], expected)


def test_partition_is_one_and_its_gradient_belongs_to_its_values() -> None:
    x = np.random.default_rng(1).normal(size=2000)
    t = tt.tensor(x, requires_grad=True)
    y = np.partition(t, [7, 1500])
    assert np.array_equal(np.sort(y.data), np.sort(x))
    assert (y.data[:7] <= y.data[7]).all()
    assert (y.data[8:1500] <= y.data[1500]).all()
    weights = np.arange(2000.0)
    np.sum(weights * y).backward()
    assert np.array_equal(t.grad[np.argsort(x)], weights[np.argsort(y.data)])


@pytest.mark.parametrize("f", [np.sort, np.argsort, lambda x, **k: np.partition(x, 0, **k)])
def test_fields_are_refused(f: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        f(leaf(3), order="name")


# --------------------------------------------------------------------------------------------------------------- indexing


def test_an_index_that_occurs_often_adds_often() -> None:
    """Small and large: another way to add is taken above some hundred elements."""
    rng = np.random.default_rng(0)
    for shape, index in [
        ((5,), rng.integers(-5, 5, 4)),
        ((50,), rng.integers(-50, 50, 2000)),
        ((50,), rng.integers(-50, 50, (40, 20))),
        ((20, 30), rng.integers(-20, 20, 70)),
        ((6, 5, 4), rng.integers(-6, 6, (7, 9))),
        ((20, 30), (rng.integers(-20, 20, 900), rng.integers(0, 30, 900))),
        ((20, 30), (slice(None), rng.integers(-30, 30, 90))),
        ((20, 30), rng.random((20, 30)) > 0.3),
        ((20, 30), rng.random(20) > 0.3),
        ((4, 20, 30), (slice(1, None), rng.random((20, 30)) > 0.3)),
    ]:
        x = rng.normal(size=shape)
        weights = rng.normal(size=x[index].shape)
        expected = np.zeros(shape)
        np.add.at(expected, index, weights)
        for order in "CF":
            t = tt.from_numpy(np.array(x, order=order)).requires_grad_()
            (np.sum(weights * t[index]) + np.sum(t * 0)).backward()
            np.testing.assert_allclose(t.grad, expected, rtol=1e-12, atol=1e-13)
    for axis in (None, 0, 1, -1):
        x, index = rng.normal(size=(20, 6, 30)), rng.integers(-6, 6, (10, 8))
        weights = rng.normal(size=np.take(x, index, axis).shape)
        t = tt.tensor(x, requires_grad=True)
        np.sum(weights * np.take(t, index, axis)).backward()
        numbers = np.take(np.arange(x.size).reshape(x.shape), index, axis)
        expected = np.bincount(numbers.ravel(), weights.ravel(), x.size).reshape(x.shape)
        np.testing.assert_allclose(t.grad, expected, rtol=1e-12, atol=1e-13)


def test_take_lies_in_memory_as_numpys() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    for axis in (0, 1, 2):
        assert np.take(tt.tensor(x), [1, 0], axis=axis).data.strides == np.take(x, [1, 0], axis=axis).strides


def test_tensors_of_integers_are_indices() -> None:
    x = leaf(3, 4)
    i, j = tt.tensor([2, 0]), tt.tensor([1, 1])
    assert x[i].tolist() == x.data[[2, 0]].tolist()
    assert x[i, j].tolist() == x.data[[2, 0], [1, 1]].tolist()
    assert x[[tt.tensor(1), tt.tensor(2)]].tolist() == x.data[[1, 2]].tolist()
    assert x[tt.tensor(1), 2].item() == x.data[1, 2]
    assert np.take(x, i, axis=1).tolist() == x.data[:, [2, 0]].tolist()
    assert np.repeat(x, tt.tensor([1, 0, 2]), axis=0).tolist() == np.repeat(x.data, [1, 0, 2], axis=0).tolist()
    assert x[np.ix_(i, j)].tolist() == x.data[np.ix_([2, 0], [1, 1])].tolist()
    assert np.delete(x, tt.tensor([0, 1]), axis=0).tolist() == x.data[2:].tolist()
    assert x[tt.tensor([True, False, True])].shape == (2, 4)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: x[[0.5]], IndexError, "integers or booleans"),
        (lambda x: x[5], IndexError, "out of bounds"),
        (lambda x: x[np.ones(4, bool)], IndexError, "boolean index"),
        (lambda x: np.take(x, [9], axis=0), IndexError, "out of bounds"),
        (lambda x: np.take(x, [0], out=np.zeros(1)), TypeError, "does not take out="),
        (lambda x: np.compress([[True]], x), ValueError, "must be a vector"),
        (lambda x: np.compress([False] * 3 + [True], x, axis=0), IndexError, "beyond the 2 elements"),
        (lambda x: np.choose([0, 2, 0], [x[0], x[1]]), ValueError, "invalid entry"),
        (lambda x: np.insert(x, 5, 0.0, axis=0), IndexError, "out of bounds for an axis of length 2"),
        (lambda x: np.insert(np.arange(3), 1, x[0, 0]), TypeError, "use x.astype"),
        (lambda x: np.delete(x, 5, axis=0), IndexError, "out of bounds"),
        (lambda x: np.reshape(x.T, -1, order="K"), ValueError, "order must be 'C' or 'F'"),
        (lambda x: np.reshape(x, (4, 4)), ValueError, "cannot reshape"),
        (lambda x: np.ravel(x.T, order="A"), ValueError, "order must be 'C' or 'F'"),
        (lambda x: np.moveaxis(x, 0, (0, 1)), ValueError, "same number"),
        (lambda x: np.moveaxis(x, 0, 2), np.exceptions.AxisError, "out of bounds"),
        (lambda x: np.moveaxis(x, (0, 0), (0, 1)), ValueError, "repeated axis"),
        (lambda x: np.rollaxis(x, 0, 3), np.exceptions.AxisError, "start must be"),
        (lambda x: np.matrix_transpose(x[0]), ValueError, "2-dimensional"),
        (lambda x: np.split(x, 2, axis=1), ValueError, "cannot be cut into 2 equal sections"),
        (lambda x: np.split(x, 2, axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        (lambda x: np.array_split(x, 0), ValueError, "cannot be cut into 0"),
        (lambda x: np.vsplit(x[0], 1), ValueError, "2 or more dimensions, got 1"),
        (lambda x: np.hsplit(x[0, 0], 1), ValueError, "1 or more dimensions, got 0"),
        (lambda x: np.dsplit(x, 1), ValueError, "3 or more dimensions, got 2"),
        (lambda x: np.unstack(x[0, 0]), ValueError, "1 or more dimensions"),
        (lambda x: np.concatenate([x, x[0]]), ValueError, "same number of dimensions"),
        (lambda x: np.concatenate([x, x], dtype=np.float32), TypeError, "does not take dtype="),
        (lambda x: np.vstack([x, x], dtype=np.float32), TypeError, "does not take dtype="),
        (lambda x: np.block([[x], x]), ValueError, "mismatched"),
        (lambda x: np.block([[x], []]), ValueError, "empty"),
        (lambda x: np.block([(x, x)]), TypeError, "tuple"),
        (lambda x: np.meshgrid(x, indexing="no"), ValueError, "'xy' or 'ij'"),
        (lambda x: np.pad(x, 1, mode="empty"), ValueError, "no values to differentiate"),
        (lambda x: np.pad(x, 1, mode=lambda *a: None), ValueError, "must be one of constant, edge"),
        (lambda x: np.pad(x, -1), ValueError, "must not be negative"),
        (lambda x: np.pad(x, 1.5), TypeError, "must be integers"),
        (lambda x: np.pad(x, 1, mode="edge", constant_values=1.0), ValueError, "does not take constant_values="),
        (lambda x: np.pad(x, 1, mode="mean", stat_length=0), ValueError, "must be 1 or more"),
        (lambda x: np.pad(x, 1, mode="reflect", reflect_type="no"), ValueError, "'even' or 'odd'"),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, writeable=True), TypeError, "does not take writeable="),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, (3, 1)), ValueError, "window shape cannot be larger"),
        (lambda x: tt.make_diagonal(x, 0, 1, 1), np.exceptions.AxisError, "are not two of 3"),
        (lambda x: np.roll(x, 1, axis=4), np.exceptions.AxisError, "out of bounds"),
        (lambda x: np.take_along_axis(x, np.array([0]), axis=1), ValueError, "must have the 2 dimensions"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call(leaf(2, 3))


# ---------------------------------------------------------------------------------------------------------- in place


@pytest.mark.parametrize(
    "write",
    [
        lambda t, v: np.put(t, [0], v),
        lambda t, v: np.place(t, np.ones((2, 2), bool), v),
        lambda t, v: np.putmask(t, np.ones((2, 2), bool), v),
        lambda t, v: np.copyto(t, v),
        lambda t, v: np.fill_diagonal(t, v),
        lambda t, v: np.put_along_axis(t, np.zeros((2, 1), int), v, 1),
    ],
)
def test_writers(write: Any) -> None:
    """A leaf and an ndarray refuse what would lose a gradient; without gradients all is as in NumPy."""
    t, v = leaf(2, 2), tt.tensor(5.0, requires_grad=True)
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        write(t, v)
    a, b = np.ones((2, 2)), np.ones((2, 2))
    with pytest.raises(TypeError, match=r"a tensor that requires grad.*t\.detach"):
        write(a, v)
    assert (a == 1).all()
    assert write(a, v.detach()) is None
    write(b, 5.0)
    assert np.array_equal(a, b)
    with tt.no_grad():
        write(t, v)
    u = tt.ones((2, 2))
    assert write(u, v) is None
    assert np.array_equal(u.data, a)
    assert u.requires_grad


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: np.put(t, [4], 1.0), IndexError, "out of bounds for 4 elements"),
        (lambda t: np.place(t, [True], 1.0), ValueError, "must have the same size"),
        (lambda t: np.place(t, np.ones((2, 2)), []), ValueError, "no values"),
        (lambda t: np.putmask(t, [True], 1.0), ValueError, "must have the same size"),
        (lambda t: np.copyto(t, np.ones(2, complex)), TypeError, "cannot cast complex128 to float64"),
        (lambda t: np.fill_diagonal(t[0], 1.0), ValueError, "2 or more dimensions"),
        (lambda t: np.fill_diagonal(tt.zeros((2, 2, 3)), 1.0), ValueError, "equally long"),
        (lambda t: np.put_along_axis(t, np.array([0]), 1.0, 1), ValueError, "must have the 2 dimensions"),
        (lambda t: np.put_along_axis(t, np.array([[0]]), 1.0, 5), np.exceptions.AxisError, "out of bounds"),
    ],
)
def test_writers_say_what_is_wrong(call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call(tt.zeros((2, 2)))


# ------------------------------------------------------------------------------------------------------------- joining


def test_many_pieces_take_linear_time() -> None:
    """One rule cuts for all inputs: 4,000 of them."""
    xs = [tt.tensor([float(k)], requires_grad=True) for k in range(4000)]
    np.sum(np.arange(4000.0) * np.concatenate(xs)).backward()
    assert [x.grad.item() for x in xs] == list(range(4000))


def test_lists_numbers_and_tensors_join() -> None:
    x = leaf(2)
    assert np.hstack([1.0, x, [3.0]]).tolist() == [1, 1, 2, 3]
    assert np.vstack((x, [5, 6])).tolist() == [[1, 2], [5, 6]]
    assert np.append([1, 2], x).tolist() == [1, 2, 1, 2]
    assert [t.shape for t in np.atleast_2d(x, 3.0)] == [(1, 2), (1, 1)]
    assert [t.shape for t in np.broadcast_arrays(x, [[1.0], [2.0]])] == [(2, 2)] * 2
    assert tt.cat([x, x], dim=0).shape == (4,)
    assert np.stack([x, [3.0, 4.0]], axis=1).tolist() == [[1, 3], [2, 4]]
    assert np.concatenate([x.data.astype(np.float32), x]).dtype == np.float64


def test_one_block_is_a_copy() -> None:
    x = leaf(2)
    y = np.block(x)
    assert not np.shares_memory(x.data, y.data)
    assert y.requires_grad


def test_the_same_tensor_twice() -> None:
    x = leaf(2)
    np.sum(np.concatenate([x, x]) * [1.0, 2.0, 3.0, 4.0]).backward()
    assert x.grad.tolist() == [4, 6]


@pytest.mark.parametrize(
    "constants", [lambda v: v, lambda v: (v, 2 * v), lambda v: ((v, 2.0), (3.0, v)), lambda v: ((v,), (1.0,))]
)
@pytest.mark.parametrize("mode", ["constant_values", "end_values"])
def test_padding_with_tensors(constants: Any, mode: str) -> None:
    """Values that have a gradient of their own, in all forms that NumPy takes."""
    kind = "constant" if mode == "constant_values" else "linear_ramp"

    def f(x: Any, v: Any) -> Any:
        return np.pad(x, ((1, 2), (0, 3)), mode=kind, **{mode: constants(v)})

    x, v = np.arange(6.0).reshape(2, 3), np.array(0.7)
    np.testing.assert_allclose(f(tt.tensor(x), tt.tensor(v)).data, f(x, float(v)), rtol=1e-13)
    check_grads(f, x, v)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
def test_padding_by_places_is_numpys_bit_by_bit(mode: str) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 2))
    for width in (1, ((0, 3), (2, 0), (5, 7)), {1: (2, 9)}):
        y = np.pad(tt.tensor(x), width, mode=mode)
        expected = np.pad(x, width, mode=mode)
        assert np.array_equal(y.data, expected)
        assert y.data.strides == expected.strides


def test_constant_padding_is_numpys_bit_by_bit() -> None:
    for x in (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((2, 3), np.float32)), np.arange(4)):
        for value in (0, 2.7, np.float64(1.5)):
            got, expected = np.pad(tt.tensor(x), 2, constant_values=value), np.pad(x, 2, constant_values=value)
            assert (got.dtype, got.data.tobytes()) == (expected.dtype, expected.tobytes())


def test_odd_reflections_of_long_pads() -> None:
    x = np.random.default_rng(0).normal(size=4)
    for mode in ("reflect", "symmetric"):
        for width in (0, 1, 3, 4, 5, 11, 25, (13, 2)):
            got = np.pad(tt.tensor(x), width, mode=mode, reflect_type="odd")
            np.testing.assert_allclose(
                got.data, np.pad(x, width, mode=mode, reflect_type="odd"), rtol=1e-12, atol=1e-12
            )


def test_statistics_shared_by_ties_when_padding() -> None:
    assert gradient(lambda x: np.pad(x, (1, 0), mode="maximum"), np.array([2.0, 2.0]))[0].tolist() == [2.5, 3.5]


# ---------------------------------------------------------------------------------------------------------- selection


def test_trim_zeros_of_a_matrix() -> None:
    x = np.zeros((4, 5))
    x[1:3, 2:4] = [[1.0, 0.0], [0.0, 2.0]]
    (g,) = gradient(np.trim_zeros, x)
    assert g[1:3, 2:4].tolist() == [[1, 2], [3, 4]]
    assert g.sum() == 10


def test_windows_longer_than_they_are_many() -> None:
    check_grads(
        lambda x: np.lib.stride_tricks.sliding_window_view(x, (5, 2), axis=(0, 1)) ** 2, np.arange(21.0).reshape(7, 3)
    )
    view = tt.sliding_window_view(leaf(5), 2)
    assert not view.data.flags.writeable


def test_diagonals_are_views() -> None:
    x = leaf(3, 3)
    assert np.shares_memory(np.diagonal(x).data, x.data)
    (np.diagonal(x) * [1.0, 2.0, 3.0]).sum().backward()
    assert x.grad.tolist() == [[1, 0, 0], [0, 2, 0], [0, 0, 3]]


def test_unique_has_no_gradient_and_its_indices_have_the_values() -> None:
    x = tt.tensor([2.0, 1.0, 2.0], requires_grad=True)
    values, index = np.unique(x, return_index=True)
    assert not values.requires_grad
    assert x[index].tolist() == values.tolist()


def test_complex_arrays_move_as_real_ones() -> None:
    z = np.array([3 + 1j, 1 - 2j, 2.0])
    for f in (np.sort, np.flip, lambda x: np.roll(x, 1), lambda x: np.repeat(x, 2), lambda x: np.pad(x, 1), np.diag):
        t = tt.tensor(z, requires_grad=True)
        out = f(t)
        assert np.array_equal(out.data, f(z))
        out.backward(np.full(out.shape, 1 + 2j))
        assert set(t.grad.tolist()) <= {1 + 2j, 2 + 4j}


def test_numpys_names_of_arguments() -> None:
    x = leaf(2, 3)
    assert np.tile(A=x, reps=2).shape == (2, 6)
    assert np.trim_zeros(filt=x[0], trim="f").shape == (3,)
    assert np.append(arr=x, values=x, axis=0).shape == (4, 3)
    assert np.pad(array=x, pad_width=1, mode="edge").shape == (4, 5)
    assert np.diag(v=x, k=1).shape == (2,)
    assert np.tril(m=x, k=-1).tolist() == [[0, 0, 0], [4, 0, 0]]
    assert np.array_split(ary=x, indices_or_sections=2)[0].shape == (1, 3)
    assert np.sort(a=x, axis=0, kind="stable").shape == (2, 3)
    assert np.broadcast_arrays(x, 1.0, subok=False)[1].shape == (2, 3)
    assert np.meshgrid(x[0], x[0], indexing="ij", sparse=True)[0].shape == (3, 1)
    assert np.choose(a=[1, 0, 1], choices=x, mode="wrap").tolist() == [4, 2, 6]
    assert np.compress(condition=[True], a=x, axis=1).tolist() == [[1], [4]]
    assert tt.repeat(x, 2, dim=0).shape == (4, 3)


def test_integers_cannot_take_what_has_a_gradient() -> None:
    t = tt.tensor([1, 2, 3])
    with pytest.raises(TypeError, match=r"a tensor of int64 cannot hold what has a gradient; use t\.astype"):
        t[0] = leaf(1)[0]
    with pytest.raises(TypeError, match="cannot hold what has a gradient"):
        np.put(t, [0], leaf(1))
    t[0] = leaf(1)[0].detach()
    assert t.tolist() == [1, 2, 3]


# -------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "f",
    [
        lambda t: np.repeat(t, 3, axis=0),
        lambda t: np.repeat(t, 3, axis=-1),
        lambda t: np.take(t, [0, 0, 0], axis=0),
        lambda t: np.take(t, 0, axis=-1) * 3,
        lambda t: np.pad(t, 2, mode="edge") * 3,
        lambda t: np.pad(t, 2, mode="reflect") * 3,
        lambda t: np.pad(t, 2, mode="linear_ramp") * 3,
    ],
)
def test_functions_that_take_a_number_have_its_gradient(f: Any) -> None:
    t = tt.tensor(1.5, requires_grad=True)
    out = f(t)
    assert np.array_equal(out.data, f(np.array(1.5)))
    out.sum().backward()
    assert t.grad == 3


@pytest.mark.parametrize(
    "mode", ["linear_ramp", "mean", "median", "maximum", "minimum", "edge", "reflect", "symmetric"]
)
def test_padded_integers_stay_integers(mode: Any) -> None:
    x = np.array([[5, 1, 2], [7, 3, 8]])
    out = np.pad(tt.tensor(x), 2, mode=mode)
    assert out.dtype == x.dtype
    assert np.array_equal(out.data, np.pad(x, 2, mode=mode))


# ---------------------------------------------------------------------------------------------------- names of arguments


def test_arrays_stay_arrays_whatever_their_arguments_are_called() -> None:
    """NumPy's names, PyTorch's and our own."""
    x = np.array([[3.0, 1.0], [2.0, 5.0]])
    for out, expected in (
        (tt.searchsorted(a=x[1], v=x), np.searchsorted(x[1], x)),
        (tt.delete(arr=x, obj=0, axis=1), np.delete(x, 0, 1)),
        (tt.ptp(x=x, dim=0), np.ptp(x, 0)),
        (tt.average(x, dim=0, keepdim=True), np.average(x, 0, keepdims=True)),
        (tt.histogram(a=x, bins=2)[0], np.histogram(x, 2)[0]),
    ):
        assert type(out) is np.ndarray
        assert np.array_equal(out, expected)
    with pytest.raises(TypeError, match="foo"):
        tt.ptp(x, foo=1)


def test_numpys_names_of_inputs() -> None:
    t = tt.tensor([0.0, 4.0, 9.0], requires_grad=True)
    for out in (
        np.unwrap(p=t),
        np.real(val=t),
        np.trim_zeros(filt=t),
        np.sort(a=t),
        np.diag(v=t),
        np.tile(A=t, reps=2),
    ):
        assert out.requires_grad
    assert np.angle(z=t).shape == (3,)
