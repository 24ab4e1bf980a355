"""NumPy's functions on tensors: those with a rule, those without a derivative, and those that are refused."""

from __future__ import annotations

import importlib
import io

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import dispatch
from tinytensor.primitive import DISPATCH


@pytest.fixture()
def t():
    return tt.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)


# ------------------------------------------------------------------------------------------- functions without a rule

WITHOUT_A_RULE = {
    "np.union1d": (lambda t: np.union1d(t, t), "np.concatenate"),
    "np.setdiff1d": (lambda t: np.setdiff1d(t, t), "np.isin"),
    "np.savetxt": (lambda t: np.savetxt(io.StringIO(), t), ""),
    "np.bartlett (vectorized)": (lambda t: np.frompyfunc(float, 1, 1)(t), ""),
}


@pytest.mark.parametrize("name", WITHOUT_A_RULE)
def test_a_function_without_a_rule_names_itself_and_the_nearest(t, name):
    call, nearest = WITHOUT_A_RULE[name]
    with pytest.raises(TypeError) as error:
        call(t)
    message = str(error.value)
    assert " has no derivative rule for tensors; " in message
    if " " not in name:
        assert message.startswith(f"{name} has no derivative rule for tensors; ")
    assert nearest in message.removeprefix(name)
    assert "t.detach()" in message
    assert "tt.primitive" in message


def test_a_name_is_suggested_only_if_it_is_like_it(t):
    def like_sinh(x):
        return x

    like_sinh.__name__ = "sinhh"
    with pytest.raises(TypeError, match=r"the nearest that have one: .*np\.sinh"):
        dispatch.refuse(like_sinh)
    with pytest.raises(TypeError, match=r"tt\.supported\(\) lists those that do"):
        np.savetxt(io.StringIO(), t)


@pytest.mark.parametrize("name", WITHOUT_A_RULE)
def test_what_needs_no_gradient_goes_through_numpy(t, name):
    """What the message advises works, and so does the same under no_grad()."""
    call = WITHOUT_A_RULE[name][0]
    expected = call(t.data)
    for got in (call(t.detach()), call(t.data)):
        assert np.array_equal(got, expected)
    with tt.no_grad():
        assert np.array_equal(call(t), expected)


# ------------------------------------------------------------------------------------------------ methods of ufuncs


def test_reduce_and_accumulate_have_rules(t):
    for ufunc, f in [(np.add, np.sum), (np.multiply, np.prod), (np.maximum, np.max), (np.minimum, np.min)]:
        assert (ufunc.reduce(t).data == f(t.data, axis=0)).all()  # axis 0 by default, as NumPy's
        assert (ufunc.reduce(t, axis=1).data == f(t.data, axis=1)).all()
        assert (ufunc.reduce(t, 1).data == f(t.data, axis=1)).all()
        assert ufunc.reduce(t, axis=None).item() == f(t.data)
        assert ufunc.reduce(t, axis=-1, keepdims=True).shape == (2, 1)
        assert ufunc.reduce(t).requires_grad
    assert (np.add.accumulate(t).data == np.cumsum(t.data, axis=0)).all()
    (np.multiply.reduce(t) * np.array([1.0, 0.0, 0.0])).sum().backward()
    assert t.grad.tolist() == [[4, 0, 0], [1, 0, 0]]


def test_methods_of_ufuncs_without_meaning_are_refused(t):
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        np.exp.reduce(t)
    with pytest.raises((TypeError, ValueError)):
        np.divmod.reduce(t)
    with pytest.raises(RuntimeError):
        np.matmul.reduce(t)
    with pytest.raises(RuntimeError, match="a leaf that requires grad"):
        np.exp.at(t, [0])
    with pytest.raises(TypeError, match="as the first argument"):
        np.subtract.reduce(np.ones((2, 3)), where=t)
    assert t.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_methods_of_ufuncs_without_derivative(t):
    assert np.equal.outer(t, t).shape == (2, 3, 2, 3)
    assert np.logical_and.reduce(t > 0).tolist() == [True] * 3
    assert not np.logical_or.reduce(t).requires_grad


# ------------------------------------------------------------------------------------------------------- out=, where=


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: np.add(t, 1.0, out=np.zeros((2, 3))), r"np\.add: a result that involves a tensor cannot be written"),
        (lambda t: np.add(t, 1.0, out=t), r"np\.add: .*out="),
        (lambda t: np.add(np.ones((2, 3)), 1.0, out=t), r"np\.add: .*out="),
        (lambda t: np.exp(t, np.zeros((2, 3))), r"np\.exp: .*out="),
        (lambda t: np.add(t, 1.0, where=t.data > 2), r"np\.add: where= is not supported for tensors; use tt\.where"),
        (lambda t: np.add(t, 1.0, dtype=int), r"np\.add: dtype= is not supported.*astype"),
        (lambda t: np.add(t, np.ones(3, complex), dtype=float), r"np\.add: cannot cast complex128"),
        (lambda t: np.add(t, 1.0, casting="unsafe"), r"np\.add: casting= is not supported"),
        (lambda t: np.sum(t, axis=0, out=np.zeros(3)), r"sum\(\) does not take out=: a result cannot be written"),
        (lambda t: np.clip(t, 0, 1, out=np.zeros((2, 3))), r"clip\(\) does not take out="),
        (lambda t: np.concatenate([t, t], dtype=np.float32), r"concatenate\(\) does not take dtype="),
        (lambda t: np.concatenate([t, t], out=np.zeros((4, 3))), r"concatenate\(\) does not take out="),
        (lambda t: np.stack([t, t], out=np.zeros((2, 2, 3))), r"stack\(\) does not take out="),
        (lambda t: np.matmul(t, t.T, out=np.zeros((2, 2))), r"np\.matmul: .*out="),
        (lambda t: np.take(t, [0], out=np.zeros(1)), r"take\(\) does not take out="),
        (lambda t: np.copy(t, order="F"), r"copy\(\) does not take order="),
        (lambda t: np.copyto(np.zeros((2, 3)), t), r"copyto: an ndarray cannot take a tensor that requires grad"),
        (lambda t: np.einsum("ij->i", t, out=np.zeros(2)), r"out"),
        (lambda t: np.dot(t, t.T, out=np.zeros((2, 2))), r"dot\(\) does not take out="),
        (lambda t: np.var(t, mean=np.zeros(())), r"var\(\) does not take mean="),
    ],
)
def test_options_that_would_lose_the_gradient_are_refused(t, call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call(t)
    assert t.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_options_that_change_nothing_are_accepted(t):
    assert np.sum(t, dtype=None, out=None, where=True, initial=np._NoValue).item() == 21
    assert np.add(t, 1.0, where=True).shape == (2, 3)
    assert np.add(t, 1.0, out=None).shape == (2, 3)
    assert np.reshape(t, (3, 2), order="C").shape == (3, 2)
    assert np.copy(t, order="K").shape == (2, 3)
    assert np.var(t, axis=0, ddof=1, keepdims=True).shape == (1, 3)
    assert np.linalg.eigh(t @ t.T, UPLO="L")[0].shape == (2,)
    assert np.mean(t, axis=0, dtype=None).shape == (3,)
    assert np.concatenate([t, t], dtype=None).shape == (4, 3)


def test_results_without_gradient_may_be_written_into_an_array(t):
    a = np.ones((2, 3))
    a += t.detach()
    assert a.tolist() == [[2, 3, 4], [5, 6, 7]]
    with tt.no_grad():
        assert np.multiply(t, 2.0, out=a) is a
    assert a.tolist() == [[2, 4, 6], [8, 10, 12]]


def test_dtype_of_a_ufunc(t):
    y = np.multiply(t, np.ones(3), dtype=np.float32)
    assert y.dtype == np.float32
    y.sum().backward()
    assert t.grad.dtype == np.float64
    assert np.sqrt(tt.tensor([4, 9]), dtype=np.float32).dtype == np.float32
    assert np.exp(t, casting="same_kind", order="K", subok=True, dtype=None).requires_grad


def test_an_array_cannot_take_a_tensor_in_place(t):
    for inplace in ("+=", "-=", "*=", "/=", "**=", "@="):
        a = np.ones((2, 3))
        with pytest.raises(TypeError, match=r"cannot be written into another array.*a = a \+ t"):
            exec(f"a {inplace} t", {"a": a, "t": t})
        assert (a == 1).all()


def test_an_array_element_cannot_take_a_tensor_that_requires_grad(t):
    a = np.zeros(3)
    with pytest.raises((TypeError, ValueError)) as error:
        a[0] = t[0, 0]
    assert "gradient" in str(error.value) or "gradient" in str(error.value.__cause__)
    with pytest.raises(TypeError, match=r"t\.detach\(\) or t\.data"):
        a[:] = t[0]
    assert not a.any()
    a[:] = t[0].detach()
    a[0] = t[0, 1].detach()
    assert a.tolist() == [2, 2, 3]


# ----------------------------------------------------------------------------------------------- without a derivative


def test_functions_without_derivative_work_on_the_values(t):
    a = t.data
    same = [
        (np.argmax(t), np.argmax(a)),
        (np.argmin(t, axis=0), np.argmin(a, axis=0)),
        (np.argsort(t, axis=-1), np.argsort(a, axis=-1)),
        (np.isnan(t), np.isnan(a)),
        (np.isfinite(t), np.isfinite(a)),
        (np.isinf(t), np.isinf(a)),
        (np.any(t > 5), np.any(a > 5)),
        (np.all(t), np.all(a)),
        (np.isclose(t, a), np.isclose(a, a)),
        (np.greater(t, 2), a > 2),
        (np.equal(t, t), a == a),
        (np.logical_not(t), np.logical_not(a)),
        (np.signbit(t), np.signbit(a)),
        (np.searchsorted(t[0], 2.5), np.searchsorted(a[0], 2.5)),
        (np.count_nonzero(t, axis=0), np.count_nonzero(a, axis=0)),
        (np.zeros_like(t), np.zeros_like(a)),
        (np.ones_like(t), np.ones_like(a)),
        (np.full_like(t, 7), np.full_like(a, 7)),
    ]
    for got, expected in same:
        assert isinstance(got, tt.Tensor)
        assert not got.requires_grad
        assert got.dtype == expected.dtype
        assert np.array_equal(got.data, expected)
    assert np.empty_like(t).shape == (2, 3)


def test_more_functions_without_derivative(t):
    a = t.data
    for call in (
        lambda x: np.histogram(x, bins=3),
        lambda x: np.histogram(x, bins=[0.0, 2.0, 6.0], weights=np.ones((2, 3))),
        lambda x: np.histogram2d(x[0], x[1], bins=2),
        lambda x: np.histogramdd([x[0], x[1]], bins=2),
        lambda x: np.histogram_bin_edges(x, 4),
        lambda x: np.digitize(x, [2.0, 4.0]),
        lambda x: np.searchsorted([1.0, 2.0], x),
        lambda x: np.unique(x, return_counts=True),
        lambda x: np.unique_counts(x),
        lambda x: np.isin(x, [1.0, 2.0]),
        lambda x: np.nonzero(x > 2),
        lambda x: np.lexsort((x[0], x[1])),
        lambda x: np.linalg.matrix_rank(x),
        lambda x: np.tril_indices_from(x),
    ):
        got, expected = call(t), call(a)
        parts = zip(*[list(_flat(x)) for x in (got, expected)], strict=True)
        for g, e in parts:
            assert isinstance(g, tt.Tensor)
            assert not g.requires_grad
            assert np.array_equal(g.data, e)
        assert type(got) is type(expected) or isinstance(got, tt.Tensor)
    whole = tt.tensor([4, 6])
    assert np.gcd(whole, 2).tolist() == [2, 2]
    assert np.lcm(4, whole).tolist() == [4, 12]


def _flat(x):
    if isinstance(x, (list, tuple)):
        for part in x:
            yield from _flat(part)
    else:
        yield x


def test_astype_as_a_function(t):
    assert np.astype(t, np.float32).dtype == np.float32
    assert np.astype(t, np.float32).requires_grad
    assert np.astype(t.detach(), int).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert np.astype(t, float, copy=False) is t
    with pytest.raises(TypeError, match="int64 has no gradient"):
        np.astype(t, int)


def test_every_function_is_in_one_table():
    for name in ("decompositions", "fourier", "statistics"):
        importlib.import_module(f"tinytensor.ops.{name}")
    assert not [f.__name__ for f in dispatch._CONSTANT if f in DISPATCH]


def test_constants_refuse_what_has_a_gradient(t):
    with pytest.raises(TypeError, match=r"np\.histogram2d: weights= would lose its gradient"):
        np.histogram2d(t.data[0], t.data[1], weights=t[0])


def test_functions_that_answer_with_plain_python(t):
    assert np.shape(t) == (2, 3)
    assert np.ndim(t) == 2
    assert np.size(t) == 6
    assert np.allclose(t, t) is True
    assert np.array_equal(t, t) is True
    assert np.result_type(t, np.float32) == np.float64
    assert not np.iscomplexobj(t)
    assert np.may_share_memory(t, t.data)
    assert np.shares_memory(t, t[0])
    assert np.array_repr(t).startswith("array(")


def test_tuples_of_indices(t):
    rows, columns = np.nonzero(t > 4)
    assert (rows.tolist(), columns.tolist()) == ([1, 1], [1, 2])
    assert [i.tolist() for i in np.where(t > 4)] == [[1, 1], [1, 2]]
    assert t[np.nonzero(t > 4)].tolist() == [5, 6]
    assert t[rows, columns].requires_grad
    assert np.flatnonzero(t > 4).tolist() == [4, 5]
    assert np.argwhere(t > 5).tolist() == [[1, 2]]


def test_comparisons_and_masks_as_numpy_functions(t):
    mask = np.logical_and(t > 1, t < 5)
    np.where(mask, t, 0.0).sum().backward()
    assert t.grad.tolist() == [[0, 1, 1], [1, 0, 0]]


def test_lists_of_tensors(t):
    assert np.concatenate([t, np.ones((1, 3)), [[1.0, 1.0, 1.0]]]).shape == (3 + 1, 3)
    assert np.stack([t[0], t[1], np.ones(3)]).requires_grad
    assert np.isclose([t[0].detach()], [t.data[0]]).shape == (1, 3)


def test_keyword_names_of_numpy_are_understood(t):
    assert np.sum(a=t, axis=0).shape == (3,)
    assert np.clip(t, a_min=2, a_max=5).data.tolist() == np.clip(t.data, 2, 5).tolist()
    assert np.reshape(t, shape=(3, 2)).shape == (3, 2)
    assert np.transpose(t, axes=(1, 0)).shape == (3, 2)
    assert np.concatenate((t, t), axis=1).shape == (2, 6)
    assert np.take(t, indices=[0], axis=1).shape == (2, 1)
    assert np.expand_dims(t, axis=0).shape == (1, 2, 3)
    assert np.split(t, indices_or_sections=2, axis=0)[0].shape == (1, 3)
    assert np.pad(t, pad_width=1).shape == (4, 5)
    assert np.swapaxes(t, axis1=0, axis2=1).shape == (3, 2)
    assert np.flip(m=t, axis=0).shape == (2, 3)
    assert np.std(t, axis=0, ddof=1).shape == (3,)
    assert np.dot(a=t, b=t.T).shape == (2, 2)
    assert np.outer(a=t[0], b=t[1]).shape == (3, 3)
    assert np.tensordot(a=t, b=t, axes=2).shape == ()
    assert np.take_along_axis(t, indices=np.zeros((2, 1), int), axis=1).shape == (2, 1)
    assert np.broadcast_to(t, shape=(4, 2, 3)).shape == (4, 2, 3)


def test_wrong_arguments_are_named(t):
    with pytest.raises(TypeError, match=r"sum\(\) does not take foo=: its arguments are x, axis, keepdims"):
        tt.sum(t, foo=1)
    with pytest.raises(TypeError, match=r"sum\(\) got 'axis' twice"):
        tt.sum(t, 0, dim=0)
    with pytest.raises(TypeError, match=r"sum\(\) takes 3 arguments"):
        tt.sum(t, 0, True, 1, 2)
    with pytest.raises(TypeError, match=r"reshape\(\) is missing shape"):
        tt.reshape(t)


def test_tensors_and_scalar_values_do_not_mix(t):
    values = np.array([[tt.Value(1.0)] * 3] * 2, dtype=object)
    for call in (lambda: values + t, lambda: t * values, lambda: np.maximum(t, values), lambda: tt.Value(1.0) + t):
        with pytest.raises(TypeError, match="a tensor and a scalar Value cannot be mixed"):
            call()


def test_dates_and_strings_are_refused(t):
    for other in ("a", np.array(["a"]), np.array(["2020-01-01"], "M8[D]")):
        with pytest.raises(TypeError, match="expected a number, an array or a tensor"):
            t + other


def test_tt_functions_take_arrays_numbers_and_lists_too():
    assert type(tt.exp(np.ones(2))) is np.ndarray
    assert isinstance(tt.exp(0.0), (float, np.floating))
    assert tt.exp([0.0]).tolist() == [1.0]
    assert isinstance(tt.sum([1.0, 2.0]), np.floating)
    assert tt.concatenate([[1.0], [2.0]]).tolist() == [1, 2]
    assert tt.where([True, False], 1.0, 2.0).tolist() == [1, 2]
    assert tt.softmax([0.0, 0.0]).tolist() == [0.5, 0.5]
    assert tt.einsum("i,i", [1.0, 2.0], [3.0, 4.0]) == 11
    assert tt.take([1.0, 2.0], [1]).tolist() == [2]


def test_subclasses_of_ndarray_become_plain_arrays():
    class Sub(np.ndarray):
        pass

    sub = np.ones(3).view(Sub)
    for made in (
        tt.tensor(sub),
        tt.from_numpy(sub),
        tt.tensor([1.0, 1.0, 1.0]) * sub,
        sub * tt.tensor([1.0, 1.0, 1.0]),
    ):
        assert type(made.data) is np.ndarray
    x = tt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x * sub).sum().backward()
    assert type(x.grad) is np.ndarray


def test_a_reduction_of_a_number_is_the_number():
    t = tt.tensor(2.0, requires_grad=True)
    for ufunc in (np.subtract, np.divide, np.hypot, np.logaddexp2):
        for axis in (0, -1, None):
            assert ufunc.reduce(t, axis=axis).item() == ufunc.reduce(t.data, axis=axis)
            assert tt.grad(lambda x, u=ufunc, a=axis: u.reduce(x, axis=a))(2.0) == 1.0
