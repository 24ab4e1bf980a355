"""NumPy's functions on tensors: those with a rule, those without a derivative, and those that are refused."""

from __future__ import annotations

import numpy as np
import pytest

import tinytensor as tt


@pytest.fixture()
def t():
    return tt.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], requires_grad=True)


# ------------------------------------------------------------------------------------------- functions without a rule

WITHOUT_A_RULE = {
    "np.arctan2": (lambda t: np.arctan2(t, 1.0), ""),
    "np.sinh": (lambda t: np.sinh(t), "np.exp"),
    "np.floor": (lambda t: np.floor(t), ""),
    "np.median": (lambda t: np.median(t), "np.mean"),
    "np.vstack": (lambda t: np.vstack([t, t]), "np.concatenate"),
    "np.repeat": (lambda t: np.repeat(t, 2), "np.take"),
    "np.trace": (lambda t: np.trace(t), "np.einsum"),
    "np.log1p": (lambda t: np.log1p(t), "np.log"),
    "np.nanmax": (lambda t: np.nanmax(t), "np.max"),
    "np.linalg.inv": (lambda t: np.linalg.inv(t @ t.T), "np.linalg.eigh"),
    "np.linalg.norm": (lambda t: np.linalg.norm(t), "np.sqrt"),
    "np.fft.fft": (lambda t: np.fft.fft(t), ""),
    "np.floor_divide": (lambda t: t // 2, "np.divide"),
    "np.remainder": (lambda t: t % 2, "np.divide"),
    "np.modf": (lambda t: np.modf(t), ""),
    "np.savetxt": (lambda t: np.savetxt("/dev/null", t), ""),
    "np.interp": (lambda t: np.interp(t, [0.0, 1.0], [0.0, 1.0]), ""),
    "np.apply_along_axis": (lambda t: np.apply_along_axis(np.sum, 0, t), ""),
    "np.copyto": (lambda t: np.copyto(np.zeros(t.shape), t), "np.copy"),
    "np.put_along_axis": (lambda t: np.put_along_axis(t, np.zeros((1, 3), int), 0.0, 0), ""),
    "np.vdot": (lambda t: np.vdot(t, t), "np.dot"),
}


@pytest.mark.parametrize("name", WITHOUT_A_RULE)
def test_a_function_without_a_rule_names_itself_and_the_nearest(t, name):
    call, nearest = WITHOUT_A_RULE[name]
    with pytest.raises(TypeError) as error:
        call(t)
    message = str(error.value)
    assert message.startswith(f"{name} has no derivative rule for tensors; ")
    assert nearest in message.removeprefix(name)
    assert "t.detach()" in message
    assert "tt.primitive" in message


def test_a_name_is_suggested_only_if_it_is_like_it(t):
    with pytest.raises(TypeError, match=r"the nearest that have one: np\.amax, np\.max\."):
        np.nanmax(t)
    with pytest.raises(TypeError, match=r"tt\.ops lists those that do"):
        np.interp(t, [0.0, 1.0], [0.0, 1.0])


@pytest.mark.parametrize(
    "call", [call for call, _ in WITHOUT_A_RULE.values() if call is not WITHOUT_A_RULE["np.put_along_axis"][0]]
)
def test_detached_data_go_through_numpy(t, call):
    """What the message advises works."""
    square = tt.tensor([[2.0, 1.0], [1.0, 3.0]])
    call(square.data)


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


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("np.add.at", lambda t: np.add.at(t, [0], 1.0)),
        ("np.add.reduceat", lambda t: np.add.reduceat(t, [0, 1])),
        ("np.add.outer", lambda t: np.add.outer(t, t)),
        ("np.multiply.outer", lambda t: np.multiply.outer(t, t)),
        ("np.multiply.accumulate", lambda t: np.multiply.accumulate(t)),
        ("np.subtract.reduce", lambda t: np.subtract.reduce(t)),
        ("np.logaddexp.reduce", lambda t: np.logaddexp.reduce(t)),
        ("np.exp.at", lambda t: np.exp.at(t, [0])),
    ],
)
def test_other_methods_of_ufuncs_are_refused(t, name, call):
    with pytest.raises(TypeError, match=name.replace(".", r"\.") + " has no derivative rule"):
        call(t)
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
        (lambda t: np.add(t, 1.0, dtype=np.float32), r"np\.add: dtype= is not supported.*astype"),
        (lambda t: np.add(t, 1.0, casting="unsafe"), r"np\.add: casting= is not supported"),
        (lambda t: np.sum(t, axis=0, out=np.zeros(3)), r"sum\(\) does not take out=: a result cannot be written"),
        (lambda t: np.sum(t, where=t.data > 2), r"sum\(\) does not take where=: use tt\.where"),
        (lambda t: np.sum(t, dtype=np.float32), r"sum\(\) does not take dtype=: use x\.astype"),
        (lambda t: np.sum(t, initial=3.0), r"sum\(\) does not take initial=: combine"),
        (lambda t: np.max(t, initial=3.0), r"max\(\) does not take initial="),
        (lambda t: np.mean(t, dtype=float), r"mean\(\) does not take dtype="),
        (lambda t: np.clip(t, 0, 1, out=np.zeros((2, 3))), r"clip\(\) does not take out="),
        (lambda t: np.concatenate([t, t], dtype=np.float32), r"concatenate\(\) does not take dtype="),
        (lambda t: np.concatenate([t, t], out=np.zeros((4, 3))), r"concatenate\(\) does not take out="),
        (lambda t: np.stack([t, t], out=np.zeros((2, 2, 3))), r"stack\(\) does not take out="),
        (lambda t: np.matmul(t, t.T, out=np.zeros((2, 2))), r"np\.matmul: .*out="),
        (lambda t: np.take(t, [0], out=np.zeros(1)), r"take\(\) does not take out="),
        (lambda t: np.take(t, [0], mode="clip"), r"take\(\) does not take mode="),
        (lambda t: np.reshape(t, (3, 2), order="F"), r"reshape\(\) does not take order="),
        (lambda t: np.ravel(t, order="F"), r"ravel\(\) does not take order="),
        (lambda t: np.pad(t, 1, mode="linear_ramp"), r"mode must be constant"),
        (lambda t: np.linalg.eigh(t @ t.T, UPLO="U"), r"eigh\(\) does not take UPLO="),
        (lambda t: np.einsum("ij->i", t, out=np.zeros(2)), r"out"),
        (lambda t: np.dot(t, t.T, out=np.zeros((2, 2))), r"dot\(\) does not take out="),
        (lambda t: np.cumsum(t, dtype=np.float32), r"cumsum\(\) does not take dtype="),
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
