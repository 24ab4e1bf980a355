"""The Tensor object: making, Python's protocols, gradients, grad mode, writes in place, derivatives of functions."""

from __future__ import annotations

import asyncio
import copy
import gc
import math
import operator
import pickle
import subprocess
import sys
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import Tensor

MILLION = 1_000_000


def leaf(data: Any, dtype: Any = None) -> Tensor:
    return tt.tensor(data, dtype=dtype or float, requires_grad=True)


# ------------------------------------------------------------------------------------------------------------- making


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        (1.5, None, "float64"),
        (3, None, "int64"),
        (True, None, "bool"),
        ([1, 2], None, "int64"),
        ([1, 2.5], None, "float64"),
        ([[1.0], [2.0]], None, "float64"),
        ((1.0, 2.0), None, "float64"),
        (np.ones(2, np.float32), None, "float32"),
        (np.float32(1), None, "float32"),
        (np.arange(3, dtype=np.int8), None, "int8"),
        ([1, 2], "float32", "float32"),
        ([1.5, 2.5], np.float64, "float64"),
        ([1.5, 2.5], int, "int64"),
        (range(3), None, "int64"),
        ([], None, "float64"),
        (tt.tensor([1.0], dtype="float32"), None, "float32"),
    ],
)
def test_the_dtype_is_numpys(data, dtype, expected):
    t = tt.tensor(data, dtype=dtype)
    assert t.dtype == t.data.dtype == np.dtype(expected)
    assert t.shape == t.data.shape
    assert type(t.data) is np.ndarray
    assert (t.requires_grad, t.grad, t.is_leaf) == (False, None, True)


def test_tensor_copies_and_from_numpy_shares():
    a = np.ones(2)
    t, u, v = tt.tensor(a), tt.from_numpy(a), tt.Tensor(a)
    a[0] = 5.0
    assert (t.tolist(), u.tolist(), v.tolist()) == ([1, 1], [5, 1], [1, 1])
    assert u.data is a
    with pytest.raises(TypeError, match="from_numpy: expected an ndarray, got list"):
        tt.from_numpy([1.0])


def test_a_tensor_of_a_tensor_is_a_leaf_of_its_own():
    x = leaf([1.0, 2.0])
    y = tt.tensor(x, requires_grad=True)
    y.sum().backward()
    assert x.grad is None
    assert not np.shares_memory(x.data, y.data)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("abc", TypeError, "expected numbers or booleans, got an array of <U3"),
        (None, TypeError, "expected numbers or booleans, got an array of object"),
        ([tt.Value(1.0)], TypeError, "Object arrays of Value are used as they are"),
        (np.array(["2020-01-01"], "M8[D]"), TypeError, "datetime64"),
        ([[1.0], [1.0, 2.0]], ValueError, "inhomogeneous"),
        ([leaf(1.0), leaf(2.0)], TypeError, r"a list of tensors would lose their gradients; use tt\.stack"),
        ([[leaf(1.0)], [2.0]], TypeError, r"tt\.stack"),
        ((leaf([1.0]), leaf([2.0])), TypeError, r"tt\.stack"),
    ],
)
def test_what_is_not_numbers_is_refused(data, error, message):
    with pytest.raises(error, match=message):
        tt.tensor(data)


def test_a_list_of_tensors_without_gradient_is_numbers():
    assert tt.tensor([tt.tensor(1.0), tt.tensor(2.0)]).tolist() == [1, 2]


def test_creation_functions_are_numpys():
    for name, args in [
        ("zeros", (3,)), ("zeros", ((2, 3),)), ("ones", (3,)), ("ones", ((2, 0),)), ("full", ((2, 2), 7.0)),
        ("full", (2, 7)), ("arange", (3,)), ("arange", (1.0, 2.0, 0.25)), ("linspace", (0, 1, 5)), ("eye", (3,)),
        ("eye", (2, 3)),
    ]:  # fmt: skip
        got, expected = getattr(tt, name)(*args), getattr(np, name)(*args)
        assert type(got) is Tensor
        assert got.dtype == expected.dtype
        assert np.array_equal(got.data, expected)
        if expected.dtype.kind == "f":
            assert getattr(tt, name)(*args, dtype="float32", requires_grad=True).requires_grad
            assert getattr(tt, name)(*args, dtype="float32").dtype == np.float32
    t = tt.tensor([[1.0, 2.0]], dtype="float32")
    for name, args in [("zeros_like", ()), ("ones_like", ()), ("full_like", (3,))]:
        got, expected = getattr(tt, name)(t, *args), getattr(np, name)(t.data, *args)
        assert got.dtype == np.float32
        assert np.array_equal(got.data, expected)
        assert getattr(tt, name)(t.data, *args, dtype=int).dtype == int
        assert getattr(tt, name)(t, *args, requires_grad=True).is_leaf
    assert tt.empty((2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: tt.tensor([1, 2], requires_grad=True),
        lambda: tt.tensor([True], requires_grad=True),
        lambda: tt.tensor([1, 2]).requires_grad_(),
        lambda: setattr(tt.tensor(1), "requires_grad", True),
        lambda: tt.arange(3, requires_grad=True),
        lambda: tt.zeros(3, dtype=int, requires_grad=True),
        lambda: tt.full(2, 7, requires_grad=True),
        lambda: Tensor([1], requires_grad=True),
    ],
)
def test_only_floating_tensors_require_grad(make):
    with pytest.raises(
        TypeError, match=r"requires_grad: only floating and complex tensors have gradients.*3\.0 instead of 3"
    ):
        make()


def test_complex_tensors_require_grad():
    z = tt.tensor([1 + 2j], requires_grad=True)
    (z.real * z.imag).sum().backward()
    assert (z.grad.dtype, z.grad.tolist()) == (np.complex128, [2 + 1j])


def test_seeds_make_random_numbers_reproducible():
    a, b = tt.rng(7), tt.rng(7)
    reference = np.random.default_rng(7)
    for name, args in [("random", (3,)), ("standard_normal", ((2, 2),)), ("uniform", (-1, 1, (3,))),
                       ("normal", (1, 2, (3,))), ("integers", (0, 10, (4,))), ("permutation", (5,))]:  # fmt: skip
        first, second = getattr(a, name)(*args), getattr(b, name)(*args)
        expected = getattr(reference, name)(*args)
        assert np.array_equal(first.data, second.data)
        assert np.array_equal(first.data, expected)
    assert a.random(2, dtype="float32", requires_grad=True).dtype == np.float32
    with pytest.raises(TypeError, match="expected float32 or float64, got int64"):
        a.random(2, dtype=int)
    tt.manual_seed(3)
    x, y = tt.rand(2, 3), tt.randn(4)
    tt.manual_seed(3)
    assert (tt.rand(2, 3) == x).all()
    assert (tt.randn(4) == y).all()
    assert tt.rand().shape == ()


# ------------------------------------------------------------------------------------------------- Python's protocols


def test_attributes():
    t = tt.zeros((2, 3, 4), dtype="float32")
    assert (t.shape, t.ndim, t.size, t.dtype, t.itemsize, t.nbytes) == ((2, 3, 4), 3, 24, np.float32, 4, 96)
    assert (t.T.shape, t.mT.shape) == ((4, 3, 2), (2, 4, 3))
    with pytest.raises(ValueError, match="mT: expected at least 2 dimensions, got 1"):
        tt.zeros(3).mT  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'foo'"):
        t.foo  # noqa: B018
    with pytest.raises(AttributeError):
        t.foo = 1


def test_len_and_iteration():
    t = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(t) == 2
    assert [row.tolist() for row in t] == [[1, 2], [3, 4]]
    assert all(row.requires_grad for row in t)
    (a, b), _ = t
    (a * b).backward()
    assert t.grad.tolist() == [[2, 1], [0, 0]]
    with pytest.raises(TypeError, match="0-d"):
        len(leaf(1.0))
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(leaf(1.0))


def test_numbers_from_tensors_without_gradient():
    t = tt.tensor(2.5)
    assert (float(t), int(t), complex(t), bool(t), round(t), round(t, 1)) == (2.5, 2, 2.5 + 0j, True, 2, 2.5)
    assert float(tt.tensor([2.5])) == 2.5
    assert [10, 20, 30][tt.tensor(1)] == 20
    assert list(range(tt.tensor(3))) == [0, 1, 2]
    assert operator.index(tt.tensor(7)) == 7
    assert math.sqrt(tt.tensor(4.0)) == 2
    for convert in (float, int, complex, round):
        with pytest.raises(TypeError, match="only a tensor with one element"):
            convert(tt.tensor([1.0, 2.0]))
    for bad in (tt.tensor(1.0), tt.tensor([1])):
        with pytest.raises(TypeError, match="integer"):
            operator.index(bad)


@pytest.mark.parametrize("convert", [float, int, complex, round, math.sqrt, np.asarray, np.array, list])
def test_a_gradient_is_not_lost_in_a_conversion(convert):
    x = leaf(1.0) if convert is not list else leaf([1.0])
    if convert is list:
        assert list(x)[0].requires_grad
        return
    with pytest.raises(TypeError, match=r"t\.(detach|item)\(\)"):
        convert(x)
    with tt.no_grad():
        assert convert(x) == 1


def test_item_tolist_format_and_bool_work_with_a_gradient():
    x = leaf(2.5)
    assert x.item() == 2.5
    assert type(x.item()) is float
    assert leaf([[2.5]]).item() == 2.5
    assert leaf([1.0, 2.0]).tolist() == [1, 2]
    assert f"{x:.2f} {x:>6} {x}" == "2.50    2.5 2.5"
    assert bool(x)
    assert (1 if leaf(-1.0) < 0 else 2) == 1
    with pytest.raises(ValueError, match=r"item: only a tensor with one element.*\(2,\)"):
        leaf([1.0, 2.0]).item()
    for t in (tt.tensor([1.0, 2.0]), tt.tensor([])):
        with pytest.raises(ValueError, match="the truth value of a tensor of shape"):
            bool(t)


@pytest.mark.parametrize(
    ("t", "text"),
    [
        (tt.tensor([1.0, 2.5]), "tensor([1. , 2.5])"),
        (leaf(1.0), "tensor(1., requires_grad=True)"),
        (leaf([1.0]) * 2, "tensor([2.], grad_fn=<multiply>)"),
        (tt.tensor([1, 2]), "tensor([1, 2])"),
        (tt.tensor([True]), "tensor([ True])"),
        (tt.tensor([1.0], dtype="float32"), "tensor([1.], dtype=float32)"),
        (tt.zeros((0, 3)), "tensor([], dtype=float64, shape=(0, 3))"),
        (tt.tensor([]), "tensor([])"),
        (tt.tensor([[1.0, 2.0], [3.0, 4.0]]), "tensor([[1., 2.],\n        [3., 4.]])"),
    ],
)
def test_repr(t, text):
    assert repr(t) == str(t) == f"{t!r}" == text


def test_hash_and_equality_and_contains():
    a, b = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    assert {a: 1, b: 2}[a] == 1
    assert len({a, b, a}) == 2
    assert (a == b).tolist() == [True, True]
    assert (a != b).tolist() == [False, False]
    assert 1.0 in a
    assert 3.0 not in a
    assert tt.tensor(2.0) in a
    assert a in [a]
    assert (a == None) is False  # noqa: E711
    assert (a == "a") is False


def test_copy_shares_and_deepcopy_does_not():
    x = leaf([1.0, 2.0])
    x.sum().backward()
    shallow, deep = copy.copy(x), copy.deepcopy(x)
    assert shallow.data is x.data
    (shallow * 3).sum().backward()
    assert x.grad.tolist() == [4, 4]  # the same leaf
    assert deep.is_leaf
    assert deep.requires_grad
    assert deep.grad.tolist() == [1, 1]
    assert not np.shares_memory(deep.data, x.data)
    assert not np.shares_memory(deep.grad, x.grad)
    (deep * 3).sum().backward()
    assert (x.grad.tolist(), deep.grad.tolist()) == ([4, 4], [4, 4])


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_a_graph_is_duplicated_whole(duplicate):
    x = leaf([[2.0, 1.0], [1.0, 3.0]])
    w, v = np.linalg.eigh(x)  # several outputs
    y = (tt.concatenate([w, np.tanh(v)[0], w[[0, 0]]]) * tt.softmax(x[0])[1]).sum()
    x2, w2, y2 = duplicate((x, w, y))
    y2.backward()
    assert x.grad is None
    y.backward()
    assert np.array_equal(x.grad, x2.grad)
    assert (w2.data == w.data).all()
    z = x2 * 2 + y2.detach()  # new nodes come after the old ones
    z.sum().backward()


def test_dtype_and_flags_survive_pickling():
    for t in (tt.tensor([1, 2]), leaf([1.0], "float32"), tt.zeros((0, 2)), tt.tensor(True)):
        back = pickle.loads(pickle.dumps(t))
        assert (back.dtype, back.shape, back.requires_grad) == (t.dtype, t.shape, t.requires_grad)
        assert np.array_equal(back.data, t.data)


def test_a_primitive_that_lost_its_name_cannot_be_pickled():
    def make(factor: float) -> Any:
        @tt.primitive(x=lambda g: g * factor)
        def scaled(x: Any) -> Any:
            return x * factor

        return scaled

    first, second = make(2.0), make(3.0)
    x = leaf([1.0])
    assert pickle.loads(pickle.dumps(second(x))).item() == 3
    with pytest.raises(TypeError, match="name now means another one"):
        pickle.dumps(first(x))
    y = copy.deepcopy(first(x))  # in the same process there is no doubt
    y.backward()


def test_unpickling_in_another_process(tmp_path):
    x = leaf([1.0, 2.0])
    (tmp_path / "graph").write_bytes(pickle.dumps((x, (np.exp(x) * x).sum())))
    program = "import pickle, sys; x, y = pickle.load(open(sys.argv[1], 'rb')); y.backward(); print(x.grad.tolist())"
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "graph")], capture_output=True, text=True, check=True
    )
    assert np.allclose(eval(run.stdout), (1 + x.data) * np.exp(x.data), rtol=1e-14)


# ---------------------------------------------------------------------------------------------------- gradient cells


def test_grad_is_none_then_accumulates():
    x = leaf([1.0, 2.0])
    assert x.grad is None
    for times in (1, 2, 3):
        (x * x).sum().backward()
        assert x.grad.tolist() == [2 * times, 4 * times]
    assert type(x.grad) is np.ndarray
    assert x.grad.dtype == x.dtype


def test_an_old_grad_does_not_change():
    x = leaf([1.0, 2.0])
    x.sum().backward()
    g = x.grad
    x.grad = None
    (x * 3).sum().backward()
    assert (g.tolist(), x.grad.tolist()) == ([1, 1], [3, 3])


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: x + y,
        lambda x, y: (x + y).sum(),
        lambda x, y: x.sum() + y.mean(),
        lambda x, y: tt.concatenate([x, y]),
        lambda x, y: tt.stack([x, y]).T,
        lambda x, y: tt.broadcast_to(x, (3, 2)) - y,
        lambda x, y: x.reshape(2, 1)[:, 0] + y[::-1],
        lambda x, y: np.where(True, x, y),
        lambda x, y: x[0] + y[1],
        lambda x, y: +x - -y,
        lambda x, y: x.astype("float32") + y.copy(),
    ],
)
def test_grads_are_memory_of_their_own(f):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    out = f(x, y)
    seed = np.ones(out.shape, out.dtype)
    out.backward(seed)
    grads = [t.grad for t in (x, y) if t.grad is not None]
    for g in grads:
        assert g.flags.writeable
        assert g.flags.c_contiguous
        before = g.copy()
        g[0] += 100.0
        assert g.tolist() == (before + [100, 0]).tolist()
    assert len(grads) < 2 or not np.shares_memory(*grads)
    assert not any(np.shares_memory(g, other) for g in grads for other in (seed, x.data, y.data))


def test_the_given_gradient_is_not_taken_over():
    g = np.array([1.0, 2.0])
    for f in (lambda x: x, lambda x: x + 0.0, lambda x: x.reshape(2), lambda x: x[:]):
        x = leaf([1.0, 2.0])
        f(x).backward(g)
        x.grad += 1.0
        assert g.tolist() == [1, 2]


def test_backward_takes_a_gradient_of_any_kind():
    for g in ([1.0, 2.0], (1, 2), np.array([1.0, 2.0]), np.array([1, 2], np.float32), tt.tensor([1.0, 2.0])):
        x = leaf([1.0, 1.0], "float32")
        (x * 2).backward(g)
        assert x.grad.tolist() == [2, 4]
        assert x.grad.dtype == np.float32
    x = leaf([1.0, 1.0])
    with pytest.raises(ValueError, match=r"gradient has shape \(\), expected \(2,\)"):
        (x * 2).backward(1.0)
    with pytest.raises(ValueError, match=r"gradient has shape \(1, 2\)"):
        (x * 2).backward([[1.0, 2.0]])
    with pytest.raises(TypeError, match="dtype complex128, expected float64"):
        (x * 2).backward(np.array([1j, 1]))
    assert x.grad is None


def test_backward_without_a_gradient_wants_one_element():
    for shape in ((), (1,), (1, 1)):
        x = leaf(np.ones(shape))
        (x * 3).backward()
        assert x.grad.shape == shape
    for shape in ((2,), (0,), (2, 2)):
        with pytest.raises(RuntimeError, match=r"a gradient is implied only for one element.*gradient="):
            leaf(np.ones(shape)).backward()


def test_backward_of_nothing_says_why():
    for t in (tt.tensor(1.0), tt.tensor(1.0) * 2, leaf(1.0).detach()):
        with pytest.raises(RuntimeError, match="does not require grad"):
            t.backward()
    with tt.no_grad():
        y = leaf(1.0) * 2
    with pytest.raises(RuntimeError, match="no_grad"):
        y.backward()


def test_a_second_backward_says_retain_graph():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match=r"backward through multiply a second time.*retain_graph=True"):
        y.backward()
    assert x.grad == 4  # nothing was added by the failure
    y = np.exp(x * 3)
    y.backward(retain_graph=True)
    first = x.grad.copy()
    y.backward(retain_graph=True)
    y.backward()
    assert np.allclose(x.grad - 4, 3 * (first - 4))


def test_a_failing_backward_changes_no_gradient():
    @tt.primitive(x=lambda g: g[:1])
    def wrong(x: Any) -> Any:
        return x * 1.0

    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    out = (wrong(x) + y * 2).sum()
    with pytest.raises(
        RuntimeError, match=r"wrong: the rule for input 'x' returned a gradient of shape \(1,\), expected"
    ):
        out.backward()
    assert x.grad is None
    assert y.grad is None


def test_two_results_that_share_a_part():
    x = leaf(2.0)
    m = x * x
    a, b = m + 1.0, m * 3.0
    a.backward(retain_graph=True)
    b.backward()
    assert x.grad == 4 + 12
    m = x * x
    a, b = m + 1.0, m * 3.0
    a.backward()
    with pytest.raises(RuntimeError, match="retain_graph"):
        b.backward()


def test_retain_grad():
    x = leaf(2.0)
    y = x * 3
    assert y.grad is None
    y.retain_grad()
    (y * y).backward()
    assert (y.grad, x.grad) == (12, 36)
    x.retain_grad()  # of a leaf: nothing new
    with pytest.raises(RuntimeError, match="retain_grad: the tensor does not require grad"):
        tt.tensor(1.0).retain_grad()
    z = x * 1.0
    z.retain_grad()
    z += 1.0  # the tensor keeps asking, not the value that it had
    (z * z).backward()
    assert z.grad == 6


def test_setting_grad():
    x = leaf([1.0, 2.0])
    x.grad = np.array([10, 20])
    assert x.grad.dtype == float
    x.sum().backward()
    assert x.grad.tolist() == [11, 21]
    x.grad *= 0.5
    assert x.grad.tolist() == [5.5, 10.5]
    x.grad = tt.tensor([1.0, 1.0])
    assert type(x.grad) is np.ndarray
    x.grad = np.broadcast_to(0.0, (2,))  # cannot be written into: a copy is
    x.sum().backward()
    assert x.grad.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"grad: expected shape \(2,\), got \(3,\)"):
        x.grad = np.ones(3)
    with pytest.raises(RuntimeError, match="only a leaf that requires grad"):
        (x * 2).grad = np.ones(2)
    with pytest.raises(RuntimeError, match="only a leaf that requires grad"):
        tt.tensor([1.0]).grad = np.ones(1)
    tt.tensor([1.0]).grad = None


def test_leaves():
    x = leaf(2.0)
    assert x.is_leaf
    assert x.grad_fn is None
    assert not (x * 2).is_leaf
    assert "multiply" in repr((x * 2).grad_fn)
    assert tt.tensor(1.0).is_leaf
    assert (tt.tensor(1.0) * 2).is_leaf
    assert x.detach().is_leaf
    with pytest.raises(AttributeError):
        x.is_leaf = False


def test_requires_grad_():
    x = tt.zeros(2)
    assert x.requires_grad_() is x
    (x + 1).sum().backward()
    x.requires_grad_()  # again: keeps its gradient
    assert x.grad.tolist() == [1, 1]
    y = x * 2
    with pytest.raises(RuntimeError, match=r"requires_grad_\(False\): only for leaves; use t\.detach\(\)"):
        y.requires_grad_(False)
    assert y.requires_grad_() is y
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_detach_and_data_and_numpy_share_memory():
    x = leaf([1.0, 2.0])
    y = x * 2
    assert y.detach().data is y.data
    assert not y.detach().requires_grad
    assert x.detach().numpy() is x.data
    with pytest.raises(
        RuntimeError, match=r"numpy: the tensor requires grad; use t\.detach\(\)\.numpy\(\), or t\.data"
    ):
        x.numpy()
    t = tt.tensor([1.0, 2.0])
    assert np.shares_memory(np.asarray(t), t.data)
    assert not np.shares_memory(np.array(t), t.data)
    assert np.asarray(t, dtype=np.float32).dtype == np.float32


def test_setting_data():
    x = leaf([1.0, 2.0], "float32")
    x.data = np.array([3.0, 4.0])
    assert x.dtype == np.float32
    assert x.tolist() == [3, 4]
    assert x.is_leaf
    assert x.requires_grad
    x.data = [5, 6]
    x.data = tt.tensor([7.0, 8.0])
    (x * x).sum().backward()
    assert x.grad.tolist() == [14, 16]
    x.data -= 0.5 * x.grad  # as in the lecture
    assert x.tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"data: expected an array of shape \(2,\), got \(3,\)"):
        x.data = np.ones(3)
    with pytest.raises(TypeError, match="cannot put complex128 values into a tensor of float32"):
        x.data = np.ones(2) * 1j
    y = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match="cannot be written into another array"):
        x.data -= y  # a tensor, where an array belongs


def test_complex_results_need_a_cotangent_and_give_real_leaves_the_real_part():
    x = leaf([1.0])
    y = (abs(x * 1j)).sum()
    with pytest.raises(RuntimeError, match=r"implied only for a real number.*t\.real, t\.imag or abs\(t\)"):
        (y * 1j).backward()
    with pytest.raises(TypeError, match="gradient has dtype complex128, expected float64"):
        y.backward(np.array(1j))
    assert x.grad is None
    (x * (2 + 3j) * 1j).backward(np.array([1.0 + 0j]))
    assert (x.grad.dtype, x.grad.tolist()) == (np.float64, [-3])


# ---------------------------------------------------------------------------------------------------------- grad mode


def test_no_grad_as_context_and_decorator():
    x = leaf(2.0)
    with tt.no_grad():
        assert not tt.is_grad_enabled()
        assert not (x * 2).requires_grad
        with tt.enable_grad():
            assert (x * 2).requires_grad
            with tt.set_grad_enabled(False):
                assert not (x * 2).requires_grad
        assert not tt.is_grad_enabled()
    assert tt.is_grad_enabled()

    @tt.no_grad()
    def evaluate(x: Any, times: int = 1) -> Any:
        """Doc."""
        return evaluate(x, times - 1) if times else x * 2

    assert not evaluate(x, 3).requires_grad
    assert (evaluate.__name__, evaluate.__doc__) == ("evaluate", "Doc.")
    assert tt.is_grad_enabled()


def test_grad_mode_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), tt.no_grad():
        1 / 0  # noqa: B018

    @tt.no_grad()
    def fails() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert tt.is_grad_enabled()
    mode = tt.no_grad()
    with mode, mode:
        assert not tt.is_grad_enabled()
    assert tt.is_grad_enabled()


def test_generators_and_coroutines_cannot_be_decorated():
    def generator() -> Any:
        yield 1

    async def coroutine() -> None: ...

    for f in (generator, coroutine):
        with pytest.raises(TypeError, match="its body runs after the call has returned"):
            tt.no_grad()(f)


def test_grad_mode_is_per_thread():
    x = leaf(1.0)
    inside, checked = threading.Event(), threading.Event()
    seen = {}

    def other() -> None:
        inside.wait(10)
        seen["other"] = (x * 2).requires_grad
        with tt.no_grad():
            pass
        checked.set()

    thread = threading.Thread(target=other)
    thread.start()
    with tt.no_grad():
        inside.set()
        checked.wait(10)
        seen["main"] = (x * 2).requires_grad
    thread.join()
    assert seen == {"other": True, "main": False}


def test_grad_mode_is_per_asyncio_task():
    x = leaf(1.0)

    async def evaluate() -> bool:
        with tt.no_grad():
            for _ in range(5):
                await asyncio.sleep(0)
            return (x * 2).requires_grad

    async def train() -> list[bool]:
        found = []
        for _ in range(8):
            await asyncio.sleep(0)
            found.append((x * 2).requires_grad)
        return found

    async def both() -> Any:
        return await asyncio.gather(evaluate(), train(), evaluate())

    first, trained, second = asyncio.run(both())
    assert (first, second) == (False, False)
    assert all(trained)


def test_threads_build_their_own_graphs():
    results: dict[int, Any] = {}

    def work(k: int) -> None:
        x = leaf(np.full(3, float(k)))
        for _ in range(50):
            x.grad = None
            y = x
            for _ in range(20):
                y = y * 1.0 + x
            y.sum().backward()
        results[k] = x.grad.tolist()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {k: [21.0] * 3 for k in range(4)}


# ----------------------------------------------------------------------------------------------------- writes in place


def test_a_leaf_is_written_only_without_recording():
    x = leaf([1.0, 2.0])
    for statement in (
        "x += 1.0",
        "x -= 1.0",
        "x *= 2",
        "x /= 2",
        "x **= 2",
        "x[0] = 1.0",
        "x[0] += 1.0",
        "x[:] = x * 2",
    ):
        with pytest.raises(RuntimeError, match=r"a leaf that requires grad cannot be written.*no_grad\(\)"):
            exec(statement, {"x": x})
    before = x.data
    with tt.no_grad():
        x -= 0.5
        x[0] *= 4.0
        x[1:] = 7.0
    assert x.tolist() == [2, 7]
    assert x.data is before
    assert x.is_leaf
    assert x.requires_grad
    (x * x).sum().backward()
    assert x.grad.tolist() == [4, 14]


def test_writes_into_results_are_recorded():
    x, v = leaf([1.0, 2.0, 3.0]), leaf(5.0)
    y = x * 2
    y += x
    y -= v
    y *= 2.0
    y /= 4
    y **= 2
    y[0] = v * v
    y[1:] += 1.0
    y.sum().backward()
    half = [(3 * k - 5) / 2 for k in (1, 2, 3)]
    assert y.tolist() == [25, half[1] ** 2 + 1, half[2] ** 2 + 1]
    assert x.grad.tolist() == [0, 3 * half[1], 3 * half[2]]
    assert v.grad == 10 - half[1] - half[2]
    m = leaf([[1.0, 2.0], [3.0, 4.0]])
    n = m * 1.0
    n @= m
    n.sum().backward()
    assert np.array_equal(n.data, m.data @ m.data)


def test_a_constant_becomes_part_of_the_graph_by_a_write():
    x = leaf([1.0, 2.0, 3.0])
    out = tt.zeros((3, 2))
    for i in range(3):
        out[i] = x[i] * float(i)
    total = tt.zeros(2)
    for row in out:
        total += row
    (total * total).sum().backward()
    assert x.grad.tolist() == [0, 32, 64]


def test_names_of_one_tensor_see_the_write():
    x = leaf([1.0, 2.0])
    y = x * 2
    z = y
    z += 1.0
    z[0] = 0.0
    assert y is z
    assert y.tolist() == [0, 5]


def test_statements_with_a_view_that_has_no_name():
    x = leaf(np.arange(1.0, 7.0).reshape(3, 2))
    w = leaf(2.0)
    y = x * 1.0
    y[0] *= w  # y[0] is read, multiplied, and written back
    y[1:] += y[:-1]
    y[0] = y[2]
    y.sum().backward()
    a = np.arange(1.0, 7.0).reshape(3, 2)
    a[0] *= 2.0
    a[1:] += a[:-1]
    a[0] = a[2]
    assert np.array_equal(y.data, a)
    assert x.grad.tolist() == [[2, 2], [3, 3], [2, 2]]
    assert w.grad == 3


@pytest.mark.parametrize(
    "program",
    [
        "v = y[0]; v += 1.0",
        "v = y[0]; v *= x[0, 0]",
        "v = y.T; v[0] = x[1] * 3.0",
        "v = y.reshape(-1); v *= 2.0; y[0] = x[1] * v[:2]",
        "v = y[0]; y[0] = 1.0",
        "v = y[0]; y[1] = v",
        "v = y[:, ::-1]; v[0] = x[0]; y[1] = v[0] * y[0]",
        "y.T[0] = 1.0",
        "y[0][1] = x[1, 0]",
        "for v in y: v += x[0]",
        "v = np.squeeze(y); v[0] = 1.0; w = v[1]; w *= x[1]; y[0, 0] = w[1]",
        "v = np.broadcast_to(y, (2, 2, 2)); y += x",
        "v = c[0]; v += x[0]",
        "v = c[0]; c[:] = x * x; v *= y[1]",
        "v, w = np.split(y, 2); v += 1.0; w *= v",
    ],
)
def test_a_recorded_write_is_seen_by_every_view(program):
    """NumPy's values in all names, and the gradient of central differences."""

    def run(x: Any, y: Any, c: Any) -> list[Any]:
        env = {"np": np, "x": x, "y": y, "c": c, "v": 0.0, "w": 0.0}
        exec(program, env)
        return [env[name] for name in "yvwc"]

    at = np.array([[0.3, -0.7], [1.1, 0.4]])

    def total(x: Any) -> Any:
        constant = np.zeros((2, 2)) if isinstance(x, np.ndarray) else tt.zeros((2, 2))
        outs = run(x, x * 2.0, constant)
        return sum((np.sum((k + 1) * np.sin(out)) for k, out in enumerate(outs)), start=0.0)

    got, expected = (
        run(tt.tensor(at, requires_grad=True), tt.tensor(at, requires_grad=True) * 2.0, tt.zeros((2, 2))),
        run(at, at * 2.0, np.zeros((2, 2))),
    )
    for a, b in zip(got, expected, strict=True):
        assert np.array_equal(a.data if isinstance(a, Tensor) else a, b)
    numeric = np.zeros((2, 2))
    for index in np.ndindex(2, 2):
        h = np.zeros((2, 2))
        h[index] = 1e-6
        numeric[index] = (total(at + h) - total(at - h)) / 2e-6
    assert np.allclose(tt.grad(total)(at), numeric, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "program",
    [
        "v = y.detach(); y[0] = 1.0",
        "v = y.data; y += 1.0",
        "v = copy.copy(y); v += 1.0",
        "v, w = halves(y); v[0] = 1.0",
        "v, w = halves(y); y[0] = 1.0",
        "v = first(y, x); v[0] = 1.0",
        "v = one_of(y, x); v[0] = 1.0",
        "v = one_of(x, y); y[0] = 1.0",
        "v = left(y, x); v[0] = 1.0",
        "v = left(y, 2.0); y[0] = 1.0",
        "v = np.einsum('ij->ji', y); v += 1.0",
        "v = np.einsum('ii->i', y); v += 1.0",
        "v = tt.from_numpy(a); v += x",
        "v = tt.from_numpy(a); v[0] = x[0]",
        "v = same(y); v[0] = 1.0",
        "v = turned(y); v[0] = 1.0",
    ],
)
def test_a_recorded_write_that_something_unknown_would_have_to_see_is_refused(program):
    """NumPy changes both; an ndarray, or a primitive that may alias its input, cannot be followed."""
    x = leaf(np.ones((2, 2)))
    same, turned = tt.primitive(x=lambda g: g)(lambda x: x), tt.primitive(x=lambda g: g.T)(lambda x: x.T)
    halves = tt.primitive(x=lambda g: np.stack(g), outputs=True)(lambda x: (x[0], x[1]))
    first = tt.primitive(joint=lambda g, x: (g, np.zeros_like(x)), inputs=("x", "y"))(lambda x, y: x)
    left = tt.primitive(x=lambda g: g, y=lambda g: 0 * g)(lambda x, y: x)
    one_of = tt.primitive(xs=lambda g, i: g if i == 0 else 0 * g)(
        lambda *xs: xs[0] if xs[0] is env["y"].data else xs[1]
    )
    own = {"one_of": one_of, "left": left, "same": same, "turned": turned, "halves": halves, "first": first}
    env = {"np": np, "tt": tt, "copy": copy, **own, "x": x, "y": x * 2, "a": np.zeros((2, 2))}
    before = env["y"].data.copy()
    with pytest.raises(RuntimeError, match=r"shares its memory with .*t\.clone\(\)"):
        exec(program, env)
    assert np.array_equal(env["y"].data, before)
    assert not env["a"].any()


def test_a_recurrence_may_write_what_it_read():
    """y[i + 1] = y[i] * x[i]: the views that it reads are gone when it writes."""
    x = leaf([2.0, 3.0, 4.0])
    y = tt.ones(4)
    for i in range(3):
        y[i + 1] = y[i] * x[i]
    y[3].backward()
    assert y.tolist() == [1, 2, 6, 24]
    assert x.grad.tolist() == [12, 8, 6]


def test_a_view_that_is_gone_does_not_matter():
    x = leaf(np.ones((2, 2)))
    y = x * 2
    v = y[0]
    del v
    y[0] = 5.0
    y += 1.0
    y.sum().backward()
    assert x.grad.tolist() == [[0, 0], [2, 2]]


@pytest.mark.parametrize(
    "write",
    [
        "with tt.no_grad(): w -= 1.0",
        "with tt.no_grad(): w[0] = 1.0",
        "w.data -= 1.0",
        "w.data *= 2.0",
        "d = w.detach(); d[0] = 7.0",
        "d = w.detach(); d += 7.0",
        "v = w[1:]\nwith tt.no_grad(): v += 7.0",
        "v = w.reshape(3, 1)\nwith tt.no_grad(): v[0] = 7.0",
        "d = copy.copy(w)\nwith tt.no_grad(): d *= 2.0",
        "c *= 2.0",
        "c[0] = 7.0",
        "c.data += 1.0",
        "e *= 2.0",
        "m[0] = False",
        "i[0] = 2",
        "with tt.no_grad(): s *= 0.0",
        "v = s.reshape(3, 1)\nwith tt.no_grad(): v *= 0.0",
    ],
)
def test_backward_notices_that_saved_numbers_were_overwritten(write):
    w, x, c, e = leaf([1.0, 2.0, 3.0]), leaf([1.0, 1.0, 1.0]), tt.tensor([1.0, 2.0, 3.0]), tt.tensor([1.0, 2.0, 3.0])
    m, i = tt.tensor([True, False, True]), tt.tensor([0, 1])
    s = np.exp(x)
    loss = (w * x * c * e[::-1]).sum() + np.where(m, x, 0.0).sum() + x[i].sum() + s.sum()
    exec(write, {"tt": tt, "copy": copy, "w": w, "c": c, "e": e, "m": m, "i": i, "s": s})
    with pytest.raises(RuntimeError, match=r"that it saved was overwritten in place after the forward pass"):
        loss.backward()
    assert x.grad is None


def test_a_write_after_backward_or_of_what_was_not_saved_is_fine():
    w, x = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    for _ in range(3):
        loss = ((w * x - 1.0) ** 2).sum()
        loss.backward()
        with tt.no_grad():
            w -= 0.1 * w.grad
            x -= 0.1 * x.grad
        w.grad = x.grad = None
    y = w + x  # addition saves nothing
    w.data += 1.0
    y.sum().backward()
    assert w.grad.tolist() == [1, 1]


def test_rebinding_data_leaves_the_saved_numbers():
    w, x = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    y = (w * x).sum()
    w.data = np.zeros(2)
    y.backward()
    assert x.grad.tolist() == [1, 2]


def test_a_write_needs_the_shape_and_the_dtype():
    y = leaf([1.0, 2.0], "float32") * 1.0
    y += np.ones(2)  # float64 into float32, as NumPy's same_kind
    assert y.dtype == np.float32
    with pytest.raises(ValueError, match=r"the result has shape \(2, 2\), t has \(2,\)"):
        y += np.ones((2, 2))
    c = tt.tensor([1, 2])
    with pytest.raises(TypeError):
        c += 1.5
    with pytest.raises(TypeError, match="cannot keep a result of float64 in a tensor of int64"):
        c += leaf([1.0, 2.0])
    with pytest.raises(ValueError, match="read-only"):
        b = tt.broadcast_to(tt.zeros(2), (2, 2))
        b += 1.0


MATRICES, VECTORS = ("a", "b", "c", "d"), ("r", "s")


def random_statements(rng: np.random.Generator, n: int) -> list[str]:
    """Lines of plain NumPy that mix views, aliases and writes."""

    def m() -> str:
        return str(rng.choice(MATRICES))

    def r() -> str:
        return str(rng.choice(VECTORS))

    def i() -> int:
        return int(rng.integers(3))

    def key() -> str:
        return str(rng.choice(["0", "1", "-1", "1:", "::-1", ":2", ":, 0", "..., 1", "[0, 0]", "[2, 1]", "MASK"]))

    kinds = [
        lambda: f"{m()} = {m()} * {m()}",
        lambda: f"{m()} = np.tanh({m()})",
        lambda: f"{m()} = {m()} + {r()}",
        lambda: f"{m()} = {m()} @ {m()} * 0.3",
        lambda: f"{m()} = {m()}.T",
        lambda: f"{m()} = {m()}[::-1]",
        lambda: f"{m()} = {m()}",
        lambda: f"{m()} = {m()}.reshape(9).reshape(3, 3)",
        lambda: f"{r()} = {m()}[{i()}]",
        lambda: f"{r()} = {m()}[:, {i()}]",
        lambda: f"{r()} = {r()} * 0.5",
        lambda: f"{m()} += {m()}",
        lambda: f"{m()} *= {m()}",
        lambda: f"{m()} -= {r()}",
        lambda: f"{r()} += {m()}[0]",
        lambda: f"{r()} *= {r()}",
        lambda: f"{m()}[{key()}] = 0.7",
        lambda: f"{m()}[{i()}] = {r()}",
        lambda: f"{m()}[{key()}] += 0.5",
        lambda: f"{m()}[{i()}] = {m()}[{i()}]",
        lambda: f"{m()}[{i()}] *= {r()}",
        lambda: f"{m()}[1:] += {m()}[:-1]",
        lambda: f"{r()}[{i()}] = {m()}[1, 2]",
    ]
    return [kinds[rng.integers(len(kinds))]() for _ in range(n)]


def run_statements(program: list[str], x: Any, constant: np.ndarray, skip: set[int]) -> tuple[dict[str, Any], set[int]]:
    """The variables at the end, and the numbers of the lines that were refused."""
    own = tt.tensor if isinstance(x, Tensor) else np.array
    start = {"a": x * 1.0, "b": x + 0.5, "c": own(constant), "d": np.tanh(x), "r": x[0] * 2, "s": own(constant[1])}
    env: dict[str, Any] = {"np": np, "MASK": constant > 0, **start}
    del start
    refused = set()
    for k, line in enumerate(program):
        if k not in skip:
            try:
                exec(line, env)
            except RuntimeError as error:
                assert isinstance(x, Tensor)
                assert "shares its memory with" in str(error)
                refused.add(k)
    return env, refused


@pytest.mark.parametrize("block", range(4))
def test_random_programs_of_views_and_writes(block):
    """NumPy's values and the gradient of central differences, or a clear error: never a silent wrong gradient."""
    checked = 0
    for seed in range(100 * block, 100 * block + 100):
        rng = np.random.default_rng(seed)
        program = random_statements(rng, int(rng.integers(2, 9)))
        at, constant = rng.uniform(-0.7, 0.7, (2, 3, 3))
        weights = {name: rng.uniform(-1, 1, (3, 3) if name in MATRICES else 3) for name in (*MATRICES, *VECTORS)}
        x = leaf(at)
        env, refused = run_statements(program, x, constant, set())

        def loss(x: Any) -> float:
            found, _ = run_statements(program, x, constant, refused)  # noqa: B023
            return sum((found[name] * w).sum() for name, w in weights.items())  # noqa: B023

        plain, _ = run_statements(program, at.copy(), constant, refused)
        for name in weights:
            assert np.array_equal(env[name].data, plain[name]), (program, refused, name)
        try:
            sum((env[name] * w).sum() for name, w in weights.items()).backward()
        except RuntimeError as error:
            assert "overwritten in place" in str(error)
            continue
        checked += 1
        numeric = np.zeros((3, 3))
        for index in np.ndindex(3, 3):
            h = np.zeros((3, 3))
            h[index] = 1e-5
            numeric[index] = (loss(at + h) - loss(at - h)) / 2e-5
        scale = max(1.0, float(np.abs(numeric).max()))
        assert np.allclose(x.grad, numeric, rtol=1e-5, atol=1e-6 * scale), (program, refused)
    assert checked > 80


# ------------------------------------------------------------------------------------------------- names and aliases


def test_torch_names_of_arguments():
    x = leaf(np.arange(24.0).reshape(2, 3, 4))
    pairs = [
        (x.sum(dim=0), x.sum(axis=0)),
        (x.sum(dim=(0, 2), keepdim=True), x.sum(axis=(0, 2), keepdims=True)),
        (x.mean(dim=-1), x.mean(-1)),
        (x.max(dim=1), x.max(1)),
        (x.min(dim=1, keepdim=True), x.min(1, True)),
        (x.prod(dim=1), x.prod(1)),
        (x.var(dim=1), x.var(1)),
        (x.var(dim=1, correction=1), x.var(1, ddof=1)),
        (x.std(dim=1, ddof=1), x.std(1, 1)),
        (x.logsumexp(dim=1, keepdim=True), x.logsumexp(1, True)),
        (x.softmax(dim=1), x.softmax(1)),
        (x.log_softmax(dim=1), x.log_softmax(1)),
        (x.cumsum(dim=1), x.cumsum(1)),
        (x.flip(dims=(0,)), x.flip(0)),
        (x.unsqueeze(dim=1), x.unsqueeze(1)),
        (x.unsqueeze(1).squeeze(dim=1), x),
        (x.permute(2, 0, 1), x.transpose(2, 0, 1)),
        (x.permute((2, 0, 1)), x.transpose((2, 0, 1))),
        (x.clamp(min=3.0, max=7.0), x.clip(3.0, 7.0)),
        (x.clamp(min=3.0), x.clip(3.0)),
        (x.argmax(dim=1), x.argmax(1)),
        (x.clone(), x.copy()),
        (x.split(3, dim=1)[1], x.split(3, axis=1)[1]),
        (x.to("float32"), x.astype("float32")),
        (x.float(), x.astype("float32")),
        (x.float().double(), x.astype("float32").astype("float64")),
        (tt.sum(x, dim=0, keepdim=True), tt.sum(x, 0, True)),
        (tt.concatenate([x, x], dim=1), tt.concatenate([x, x], 1)),
        (tt.stack([x, x], dim=-1), tt.stack([x, x], -1)),
        (tt.softmax(x, dim=0), tt.softmax(x, 0)),
    ]
    for got, expected in pairs:
        assert got.shape == expected.shape
        assert got.dtype == expected.dtype
        assert np.array_equal(got.data, expected.data)
    assert x.var().item() == x.data.var()  # ddof is 0: NumPy's default
    with pytest.raises(TypeError, match="got 'axis' twice"):
        x.sum(axis=0, dim=0)
    with pytest.raises(TypeError, match="does not take foo="):
        x.sum(foo=0)


def test_methods_answer_as_ndarrays_do():
    a = np.arange(6.0).reshape(2, 3)
    t = tt.tensor(a)
    assert t.transpose().shape == t.transpose(1, 0).shape == t.transpose((1, 0)).shape == (3, 2)
    assert t.reshape(3, 2).shape == t.reshape((3, 2)).shape == t.reshape(-1, 2).shape == (3, 2)
    assert t.any().item() is True
    assert t.all(axis=0).tolist() == [False, True, True]
    assert t.argmin(axis=1, keepdims=True).tolist() == a.argmin(axis=1, keepdims=True).tolist()
    assert t.dot(a.T).shape == (2, 2)
    assert t.matmul(a.T).shape == (2, 2)
    assert t.outer(a).shape == (6, 6)
    assert np.shares_memory(t.ravel().data, t.data)
    assert not np.shares_memory(t.flatten().data, t.data)
    x = leaf(a)
    for kind in (int, bool, "int8"):
        with pytest.raises(TypeError, match="has no gradient; use"):
            x.astype(kind)
        assert x.detach().astype(kind).dtype == np.dtype(kind)


def test_boolean_and_integer_operators():
    t = tt.tensor([1, 2, 3])
    assert ((t > 1) & (t < 3)).tolist() == [False, True, False]
    assert ((t == 1) | (t == 3)).tolist() == [True, False, True]
    assert (~(t > 1)).tolist() == [True, False, False]
    assert ((t > 1) ^ True).tolist() == [True, False, False]
    assert (np.array([True, True, False]) & (t > 1)).tolist() == [False, True, False]
    assert (t // 2).tolist() == [0, 1, 1]
    assert (7 // t).tolist() == [7, 3, 2]
    assert (t % 2).tolist() == [1, 0, 1]
    assert (7 % t).tolist() == [0, 1, 1]
    x = leaf([5.0])
    with tt.no_grad():
        assert (x // 2).tolist() == [2]


# -------------------------------------------------------------------------------------------------------- gc and depth


def test_a_graph_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = leaf(np.ones(10))
        y = np.tanh(x[::2] * 2).sum() + np.linalg.eigh(x.reshape(1, 10) * x.reshape(10, 1))[0].sum()
        nodes = [weakref.ref(y._node), weakref.ref(x._node)]
        del y
        assert nodes[0]() is None
        z = (x * x).sum()
        z.backward()
        del x, z
        assert nodes[1]() is None
    finally:
        gc.enable()


def test_saved_arrays_are_freed_as_backward_walks():
    x = leaf(np.ones(10))
    a = np.exp(x)
    b = np.tanh(a * x)
    saved = weakref.ref(b.data)
    loss = b.sum()
    del b
    assert saved() is not None
    loss.backward()
    assert saved() is None


def test_what_no_rule_reads_is_not_kept():
    x, c = leaf(np.ones(10)), tt.tensor(np.ones(10))
    big = np.ones(10)
    array = weakref.ref(big)
    y = (x + tt.from_numpy(big)) * c  # neither the sum nor what was added is needed
    del big
    middle = weakref.ref((x * 2.0).data)
    assert array() is None
    assert middle() is None
    y.sum().backward()


def chain(n: int) -> tuple[Tensor, Tensor]:
    x = leaf(1.0)
    y = x
    for _ in range(n // 2):
        y = y * 1.0 + x
    return x, y


def test_a_chain_of_a_million_ops():
    x, y = chain(MILLION)
    y.backward()
    assert x.grad == MILLION // 2 + 1
    y = x
    for _ in range(MILLION // 4):
        y = -y
    del y  # deletion does not recurse


def test_a_deep_second_derivative():
    def f(x: Any) -> Any:
        y = x
        for _ in range(20_000):
            y = y * 1.0
        return y * x * x

    assert tt.grad(tt.grad(f))(2.0) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_a_chain_of_a_million_ops_is_duplicated(duplicate):
    x, y = chain(MILLION)
    x2, y2 = duplicate((x, y))
    y2.backward()
    assert (x.grad, x2.grad) == (None, MILLION // 2 + 1)


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["deepcopy", "pickle"]
)
def test_a_chain_beyond_the_recursion_limit_is_duplicated(duplicate):
    x, y = chain(4 * sys.getrecursionlimit())
    x2, y2 = duplicate((x, y))
    y2.backward()
    assert (x.grad, x2.grad) == (None, 2 * sys.getrecursionlimit() + 1)


# --------------------------------------------------------------------------------------------- derivatives of functions


def test_grad_keeps_the_kind_of_its_argument():
    def f(x: Any) -> Any:
        return (x * x).sum() if np.ndim(x) else x * x

    for x, kind, dtype in [
        (2.0, np.float64, "float64"),
        (np.float32(2), np.float32, "float32"),
        (np.array([2.0]), np.ndarray, "float64"),
        (np.array(2.0), np.ndarray, "float64"),
        (np.ones((2, 3), np.float32), np.ndarray, "float32"),
        (tt.tensor([2.0]), Tensor, "float64"),
        (leaf([2.0], "float32"), Tensor, "float32"),
    ]:
        g = tt.grad(f)(x)
        assert type(g) is kind
        assert (g.dtype, np.shape(g)) == (np.dtype(dtype), np.shape(x))
        value, again = tt.value_and_grad(f)(x)
        assert np.array_equal(np.asarray(getattr(again, "data", again)), np.asarray(getattr(g, "data", g)))
        assert isinstance(value, Tensor) == isinstance(x, Tensor)


def test_grad_does_not_touch_leaves_or_arguments():
    x = leaf([1.0, 2.0])
    a = np.array([1.0, 2.0])
    tt.grad(lambda x: (x * x).sum())(x)
    tt.grad(lambda x: (x * x).sum())(a)
    assert x.grad is None
    assert a.tolist() == [1, 2]


def test_argnums():
    def f(a: Any, b: Any, c: Any = 1.0) -> Any:
        return a * b**2 * c

    assert tt.grad(f)(2.0, 3.0) == 9
    assert tt.grad(f, 1)(2.0, 3.0) == 12
    assert tt.grad(f, -1)(2.0, 3.0) == 12
    assert tt.grad(f, (1, 0))(2.0, 3.0) == (12, 9)
    assert tt.grad(f, (0,))(2.0, 3.0) == (9,)
    assert tt.grad(f, [0, 1])(2.0, 3.0) == (9, 12)
    assert tt.grad(f, (0, 0))(2.0, 3.0) == (9, 9)
    assert tt.grad(f, (0, -2))(2.0, 3.0) == (9, 9)
    assert tt.grad(f)(2.0, 3.0, c=2.0) == 18
    assert tt.value_and_grad(f, (0, 1))(2.0, 3.0) == (18, (9, 12))
    with pytest.raises(TypeError, match="argnums=2, but the function was called with 2 arguments"):
        tt.grad(f, 2)(2.0, 3.0)


def test_grad_of_the_same_array_twice_is_two_gradients():
    x = leaf([1.0, 2.0])
    for f in (lambda a, b: (a + b).sum(), lambda a, b: a.sum() + b.sum()):
        first, second = tt.grad(f, (0, 1))(x, x)
        with tt.no_grad():
            first += 1.0
        assert (first.tolist(), second.tolist()) == ([2, 2], [1, 1])


@pytest.mark.parametrize("x", [3, np.arange(3), True, tt.tensor([1, 2])])
def test_grad_refuses_integers(x):
    with pytest.raises(TypeError, match=r"grad: argument 0 must be floating numbers.*write 3\.0 instead of 3"):
        tt.grad(lambda x: x * x)(x)


@pytest.mark.parametrize(
    "f", [lambda x: x, lambda x: x.sum() > 0, lambda x: (x > 0).sum(), lambda x: [x.sum()] * 2, lambda x: None]
)
def test_grad_wants_one_floating_number(f):
    with pytest.raises(TypeError, match=r"(must return one floating number|gradient)"):
        tt.grad(f)(np.ones(3))


def test_grad_of_what_does_not_depend_on_the_argument():
    assert tt.grad(lambda x: 3.0)(2.0) == 0
    assert tt.grad(lambda x: tt.tensor(3.0))(np.ones(2)).tolist() == [0, 0]
    assert tt.grad(lambda x: x)(2.0) == 1
    assert tt.grad(tt.grad(lambda x: x))(2.0) == 0
    assert tt.grad(lambda x, y: x.sum(), 1)(np.ones(2), np.ones(3)).tolist() == [0, 0, 0]


def test_derivatives_of_every_order():
    x = 0.3
    f, expected = np.sin, [np.sin(x), np.cos(x), -np.sin(x), -np.cos(x), np.sin(x)]
    for value in expected:
        assert np.isclose(f(x), value, rtol=1e-14)
        f = tt.grad(f)


def test_perturbation_confusion():
    """The inner derivative must not see the outer variable's perturbation."""
    assert tt.grad(lambda x: x * tt.grad(lambda y: x + y)(1.0))(1.0) == 1
    assert tt.grad(lambda x: x * tt.grad(lambda y: x * y)(1.0))(3.0) == 6
    assert tt.grad(lambda x: x * tt.grad(lambda y: x)(1.0))(3.0) == 0
    assert tt.grad(lambda x: tt.grad(lambda y: y * tt.grad(lambda z: x * y * z)(2.0))(3.0))(4.0) == 6
    assert tt.grad(lambda x: tt.grad(lambda x: x * x)(x) * x)(3.0) == 12
    assert tt.grad(lambda x: tt.grad(lambda y: y**3)(x))(2.0) == 12
    assert tt.grad(lambda x: tt.grad(lambda y: y**3)(x * x))(2.0) == 96
    g = tt.grad(lambda x: tt.grad(lambda y: x * y * y)(x))(3.0)
    assert g == 12
    assert type(g) is np.float64


def test_nested_derivatives_of_arrays():
    a = np.array([[2.0, 1.0], [1.0, 3.0]])

    def f(x: Any) -> Any:
        return np.sum(np.tanh(x @ a) ** 2)

    x = np.array([0.3, -0.2])
    rows = [tt.grad(lambda x, i=i: tt.grad(f)(x)[i])(x) for i in range(2)]
    assert np.allclose(rows, np.transpose(rows), rtol=1e-13)
    h = 1e-6
    numeric = [(tt.grad(f)(x + h * e) - tt.grad(f)(x - h * e)) / (2 * h) for e in np.eye(2)]
    assert np.allclose(rows, numeric, rtol=1e-7)


def test_closures_over_leaves_join_the_outer_graph():
    w = leaf(2.0)
    g = tt.grad(lambda x: x * x * w)(3.0)
    assert (g.item(), g.requires_grad) == (12, True)
    g.backward()
    assert w.grad == 6
    with tt.no_grad():
        assert tt.grad(lambda x: x * x * w)(3.0) == 12
    value, g = tt.value_and_grad(lambda x: w)(3.0)
    assert value.requires_grad
    assert g.item() == 0
    x = leaf([1.0, 2.0])
    penalty = (tt.grad(lambda x: (x**3).sum())(x) ** 2).sum()  # a gradient penalty
    penalty.backward()
    assert np.allclose(x.grad, 36 * x.data**3)


def test_a_graph_in_a_function_is_its_own():
    def f(x: Any) -> Any:
        w = leaf(3.0)
        (w * w).backward()
        return x * w.grad

    assert tt.grad(f)(2.0) == 6
    kept = []
    tt.grad(lambda x: kept.append(x * 2) or (x * x))(1.0)
    assert kept[0].item() == 2


def test_arguments_may_be_written_into():
    """x[i] = v inside a differentiated function, which HIPS autograd refuses; the caller's array stays."""

    def f(x: Any) -> Any:
        x[0] = 2.0 * x[1]
        x += 1.0
        return (x * x).sum()

    a = np.array([5.0, 1.0, 2.0])
    assert tt.grad(f)(a).tolist() == [0, 16, 6]
    assert a.tolist() == [5, 1, 2]
    assert tt.grad(lambda x: tt.grad(f)(x).sum())(a).tolist() == [0, 10, 2]


def test_gradients_of_functions_are_memory_of_their_own():
    x = leaf([1.0, 2.0, 3.0])
    for f in (lambda x: x.sum(), lambda x: x.mean(), lambda x: x[1]):
        for argument in (x, x.data, tt.tensor(x.data)):
            g = tt.grad(f)(argument)
            with tt.no_grad():
                g[0] = 5.0
            g = np.asarray(getattr(g, "data", g))
            assert g[0] == 5
            assert g[2] != 5
    assert x.tolist() == [1, 2, 3]


def test_errors_inside_a_function_leave_the_mode():
    with tt.no_grad():
        with pytest.raises(ZeroDivisionError):
            tt.grad(lambda x: 1 / 0)(1.0)
        assert not tt.is_grad_enabled()
    assert tt.is_grad_enabled()


def test_decorated_names():
    def loss(w: Any) -> Any:
        """The loss."""
        return w * w

    assert tt.grad(loss).__doc__ == "The loss."
    assert tt.value_and_grad(loss).__name__ == "loss"


# ------------------------------------------------------------------------------------------------- custom primitives


def test_a_primitive_of_ones_own():
    @tt.primitive(x=lambda g, y: g * y, y=lambda g, x: g * x)
    def product(x: Any, y: Any) -> Any:
        return x * y

    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    product(x, y).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([3, 4], [1, 2])
    assert tt.grad(tt.grad(lambda x: product(x, x)))(3.0) == 2
    with pytest.raises(RuntimeError, match="broadcasts=True"):
        product(x, leaf(2.0)).sum().backward()


def test_mistakes_in_a_primitive_are_named():
    with pytest.raises(TypeError, match="rules are given for z; it has x"):

        @tt.primitive(z=lambda g: g)
        def one(x: Any) -> Any:
            return x

    with pytest.raises(TypeError, match="a rule asks for 'w'; it may ask for x, out"):

        @tt.primitive(x=lambda g, w: g * w)
        def two(x: Any) -> Any:
            return x

    with pytest.raises(TypeError, match="needs a rule for an input"):

        @tt.primitive()
        def three(x: Any) -> Any:
            return x


def test_a_primitive_with_several_outputs_and_one_joint_rule():
    def both(g: Any, x: Any, y: Any) -> Any:
        total, difference = (np.zeros_like(x) if part is None else part for part in g)
        return total + difference, total - difference

    @tt.primitive(joint=both, inputs=("x", "y"), outputs=True)
    def rotate(x: Any, y: Any) -> Any:
        return x + y, x - y

    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    s, d = rotate(x, y)
    (s * s + 3 * d).sum().backward()
    assert (x.grad.tolist(), y.grad.tolist()) == ([11, 15], [5, 9])
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    rotate(x, y)[1].sum().backward()  # the other output is not used
    assert (x.grad.tolist(), y.grad.tolist()) == ([1, 1], [-1, -1])
    assert rotate(1.0, 2.0) == (3, -1)


def test_a_tensor_written_into_alone_is_not_taken_for_a_view():
    """A recorded write returned the tensor's own array, which was then thought to be shared: v2 /= v1 was refused."""
    v0, v1 = leaf([0.83, -0.38]), leaf([0.8, 0.3])
    v2 = np.copy(v0)
    v2[1] = -1.5
    v3 = tt.maximum(v2, v1)
    v2 /= v1
    (v2.sum() + v3.sum()).backward()
    np.testing.assert_allclose(v0.grad, [1 / 0.8 + 1, 0], rtol=1e-15)
    np.testing.assert_allclose(v1.grad, [-0.83 / 0.8**2, 1.5 / 0.3**2 + 1], rtol=1e-14)
