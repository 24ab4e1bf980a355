"""Functions of functions: their kinds, structures, options and errors; forward against reverse; every order of nesting."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import Tensor, trees
from tinytensor.catalogue import FAMILIES
from tinytensor.testing.gradcheck import leaves_of

RNG = np.random.default_rng(0)
W = RNG.standard_normal((4, 3))
X = RNG.standard_normal(3)


class Layer(NamedTuple):
    weight: Any
    bias: Any


def network(p: Any, x: Any) -> Any:
    """A function of nested arguments with nested results."""
    h = np.tanh(p["layers"][0].weight @ x + p["layers"][0].bias)
    return {"h": h, "out": [h.sum() * p["scale"], None]}


def parameters(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return {"layers": [Layer(rng.standard_normal((4, 3)), rng.standard_normal(4))], "scale": 0.5 + seed, "unused": None}


def close(got: Any, want: Any, rtol: float = 1e-9) -> None:
    """Nested results agree, in structure too."""
    assert repr(trees.skeleton(got)) == repr(trees.skeleton(want))
    for a, b in zip(trees.flatten(got), trees.flatten(want), strict=True):
        a, b = (np.asarray(v.detach().numpy() if isinstance(v, Tensor) else v) for v in (a, b))
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


def difference(f: Any, primals: Any, tangents: Any, step: float = 1e-5) -> Any:
    """Central differences along the tangents."""
    moved = []
    for h in (step, -step):
        flat = [x + h * t for x, t in zip(trees.flatten(primals), trees.flatten(tangents), strict=True)]
        moved.append(f(*trees.rebuild(primals, flat)))
    up, down = (trees.flatten(m) for m in moved)
    return trees.rebuild(
        moved[0], [(np.asarray(u) - np.asarray(d)) / (2 * step) for u, d in zip(up, down, strict=True)]
    )


# -------------------------------------------------------------------------------------------------------------- trees


def test_trees_are_taken_apart_and_put_together():
    tree = OrderedDict(b=[1.0, None, (2.0,)], a=Layer(3.0, []))
    assert trees.flatten(tree) == [1.0, 2.0, 3.0]
    made = trees.map_leaves(lambda x: x * 10, tree)
    assert type(made) is OrderedDict
    assert made == OrderedDict(b=[10.0, None, (20.0,)], a=Layer(30.0, []))
    assert type(made["a"]) is Layer
    assert trees.paths(tree, "x") == ["x['b'][0]", "x['b'][2][0]", "x['a'].weight"]


def test_dicts_match_by_their_keys():
    assert trees.same_structure({"b": 1, "a": 2}, {"a": 0, "b": 0}, "f", "x", "y") == [2, 1]


# --------------------------------------------------------------------------------------------------------------- grad


def test_grad_of_nested_arguments():
    def f(p: Any, x: Any) -> Any:
        return network(p, x)["out"][0]

    p, t = parameters(), parameters(1)
    value, g = tt.value_and_grad(f)(p, X)
    assert isinstance(g["layers"][0], Layer)
    assert g["unused"] is None
    assert type(g["scale"]) is np.float64
    assert type(g["layers"][0].weight) is np.ndarray
    slope = sum(np.sum(a * b) for a, b in zip(trees.flatten(g), trees.flatten(t), strict=True))
    assert slope == pytest.approx(difference(f, (p, X), (t, np.zeros(3))), rel=1e-8)
    assert value == f(p, X)


def test_grad_of_mixed_kinds_keeps_each_kind():
    g = tt.grad(lambda p: (p[0] * p[1] * p[2]).sum())([np.ones(2), tt.tensor([1.0, 2.0]), 3.0])
    assert [type(x) for x in g] == [np.ndarray, Tensor, np.float64]
    assert isinstance(g, list)


def test_grad_with_aux():
    def f(x: Any) -> Any:
        y = x * x
        return y.sum(), {"y": y, "name": "square", "n": 3}

    g, aux = tt.grad(f, has_aux=True)(np.array([1.0, 2.0]))
    assert g.tolist() == [2, 4]
    assert type(aux["y"]) is np.ndarray
    assert (aux["y"].tolist(), aux["name"], aux["n"]) == ([1, 4], "square", 3)
    (value, aux), g = tt.value_and_grad(f, has_aux=True)(tt.tensor([1.0, 2.0]))
    assert isinstance(aux["y"], Tensor)
    assert not aux["y"].requires_grad
    assert value.item() == 5
    with pytest.raises(TypeError, match=r"has_aux=True the function must return \(value, aux\)"):
        tt.grad(lambda x: x, has_aux=True)(1.0)
    second = tt.grad(lambda x: tt.grad(lambda y: (y**3, y * 5.0), has_aux=True)(x)[1])  # aux inside another grad
    assert second(2.0) == 5


def test_create_graph():
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    f = lambda x: (x**3).sum()  # noqa: E731
    assert tt.grad(f)(x).requires_grad
    assert not tt.grad(f, create_graph=False)(x).requires_grad
    g = tt.grad(f, create_graph=True)(x)
    g.sum().backward()
    assert x.grad.tolist() == [6, 12]
    w = tt.tensor(2.0, requires_grad=True)
    made = tt.grad(lambda x: x * x * w, create_graph=True)(3.0)
    assert isinstance(made, Tensor)
    made.backward()
    assert w.grad == 6
    with tt.no_grad():
        assert tt.grad(f, create_graph=True)(x).requires_grad
        assert not tt.grad(f)(x).requires_grad


def test_allow_unused():
    f = lambda p, y: p["a"] * 2.0  # noqa: E731
    p = {"a": 1.0, "b": np.ones(2)}
    close(tt.grad(f)(p, 1.0), {"a": 2.0, "b": np.zeros(2)})
    assert tt.grad(f, allow_unused=True)(p, 1.0) == {"a": 2.0, "b": None}
    assert tt.grad(f, 1, allow_unused=True)(p, 1.0) is None
    with pytest.raises(RuntimeError, match=r"does not read args\[0\]\['b'\]"):
        tt.grad(f, allow_unused=False)(p, 1.0)


def test_grad_names_the_leaf_that_is_no_number():
    with pytest.raises(TypeError, match=r"args\[0\]\['w'\]\[2\] must be floating numbers, got int 3"):
        tt.grad(lambda p: p["w"][0])({"w": [1.0, 2.0, 3]})
    with pytest.raises(TypeError, match=r"argument 0 must be floating numbers, got str"):
        tt.grad(lambda x: 1.0)("abc")
    with pytest.raises(TypeError, match="take its real part"):
        tt.grad(lambda z: z * z)(1j)


def test_grad_of_complex_arguments_is_pytorchs():
    g = tt.grad(lambda z: np.abs(z) ** 2)(3.0 + 4.0j)
    assert g == pytest.approx(6 + 8j)
    value, pull = tt.vjp(lambda z: z * z, 1.0 + 2.0j)
    assert value == (1 + 2j) ** 2
    assert pull(1.0 + 0j)[0] == pytest.approx(2 - 4j)
    assert tt.jvp(lambda z: z * z, (1.0 + 2.0j,), (1j,))[1] == pytest.approx(2 * (1 + 2j) * 1j)
    hessian = tt.jvp(tt.grad(lambda z: np.abs(z) ** 2), (3.0 + 4.0j,), (1.0 + 1.0j,))[1]
    assert hessian == pytest.approx(2 + 2j)


def test_elementwise_grad():
    x = np.linspace(-1, 1, 5)
    np.testing.assert_allclose(tt.elementwise_grad(np.tanh)(x), 1 - np.tanh(x) ** 2)
    second = tt.elementwise_grad(tt.elementwise_grad(np.sin))
    np.testing.assert_allclose(second(x), -np.sin(x))
    assert tt.elementwise_grad(lambda x, y: x * y, 1)(np.ones(2) * 3, np.ones(2)).tolist() == [3, 3]


def test_stop_gradient():
    assert tt.grad(lambda x: x * tt.stop_gradient({"x": x})["x"])(3.0) == 3
    assert tt.jvp(lambda x: x * tt.stop_gradient(x), (3.0,), (1.0,))[1] == 3
    a = np.ones(2)
    assert tt.stop_gradient([a, 1.0, None])[0] is a


# ---------------------------------------------------------------------------------------------------- vjp, jvp, linearize


def test_vjp_and_jvp_of_nested_arguments_and_results():
    p, t = parameters(), parameters(1)
    primals, tangents = (p, X), (t, X + 1)
    value, pushed = tt.jvp(network, primals, tangents)
    close(value, network(p, X), 1e-12)
    close(pushed, difference(network, primals, tangents), 1e-7)
    again, push = tt.linearize(network, *primals)
    close(again, value)
    close(push(*tangents), pushed)
    close(push(t, X * 0), tt.jvp(network, primals, (t, X * 0))[1])
    value, pull = tt.vjp(network, *primals)
    cotangent = {"h": RNG.standard_normal(4), "out": [2.0, None]}
    pulled = pull(cotangent)
    assert repr(trees.skeleton(pulled)) == repr(trees.skeleton(primals))
    left = sum(np.sum(a * b) for a, b in zip(trees.flatten(cotangent), trees.flatten(pushed), strict=True))
    right = sum(np.sum(a * b) for a, b in zip(trees.flatten(pulled), trees.flatten(tangents), strict=True))
    assert left == pytest.approx(right, rel=1e-12)
    close(pull(cotangent), pulled)


def test_kinds_of_vjp_and_jvp():
    for x, kind in [(2.0, np.float64), (np.ones(2), np.ndarray), (tt.ones(2), Tensor), (np.float32(1), np.float32)]:
        value, t = tt.jvp(np.sin, (x,), (x,))
        assert (type(value), type(t)) == (kind, kind)
        value, pull = tt.vjp(np.sin, x)
        (g,) = pull(value)
        assert (type(value), type(g)) == (kind, kind)
        assert t.dtype == g.dtype == value.dtype


def test_aux_of_vjp_and_jvp():
    f = lambda x: (x * 2, [x, "s"])  # noqa: E731
    value, t, aux = tt.jvp(f, (3.0,), (1.0,), has_aux=True)
    assert (value, t, aux) == (6, 2, [3, "s"])
    value, pull, aux = tt.vjp(f, 3.0, has_aux=True)
    assert (value, pull(1.0), aux) == (6, (2,), [3, "s"])


def test_results_that_do_not_depend_on_the_arguments():
    value, t = tt.jvp(lambda x: (x, 3.0, np.ones(2), tt.tensor([1, 2])), (1.0,), (5.0,))
    assert [np.asarray(v).tolist() for v in t] == [5, 0, [0, 0], [0, 0]]
    _, pull = tt.vjp(lambda x: (x, np.ones(2)), 1.0)
    assert pull((2.0, np.ones(2))) == (2,)
    _, pull = tt.vjp(lambda x: 3.0, np.ones(2))
    assert pull(1.0)[0].tolist() == [0, 0]


def test_the_same_argument_twice_and_an_argument_returned():
    value, pull = tt.vjp(lambda x, y: (x, x * y, x), 2.0, 3.0)
    assert pull((1.0, 10.0, 100.0)) == (131, 20)
    assert tt.jvp(lambda x, y: (x, x * y, x), (2.0, 3.0), (1.0, 10.0))[1] == (1, 23, 1)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: tt.jvp(np.sin, 1.0, 1.0), TypeError, r"primals must be a tuple.*write \(x,\)"),
        (lambda: tt.jvp(np.sin, (1.0,), (1.0, 2.0)), TypeError, "1 primals, but 2 tangents"),
        (lambda: tt.jvp(np.sin, (np.ones(2),), (1.0,)), ValueError, r"tangents\[0\] must have the shape \(2,\), got \(\)"),
        (lambda: tt.jvp(lambda p: p["a"][1], ({"a": [1.0, np.ones(2)]},), ({"a": [1.0, np.ones(3)]},)), ValueError,
         r"tangents\[0\]\['a'\]\[1\] must have the shape"),
        (lambda: tt.jvp(lambda p: p["a"], ({"a": 1.0},), ({"b": 1.0},)), TypeError, r"tangents\[0\] must be a dict with the keys"),
        (lambda: tt.jvp(lambda p: p[0], ([1.0],), ([1.0, 2.0],)), TypeError, r"tangents\[0\] must be a list of 1"),
        (lambda: tt.jvp(lambda p: p[0], ([1.0, None],), ([1.0, 2.0],)), TypeError, r"tangents\[0\]\[1\] must be None"),
        (lambda: tt.jvp(np.sin, (1.0,), ("a",)), TypeError, r"tangents\[0\] must be of float64"),
        (lambda: tt.jvp(np.sin, (1,), (1.0,)), TypeError, "jvp: argument 0 must be floating numbers.*3.0 instead of 3"),
        (lambda: tt.jvp(lambda x: "a", (1.0,), (1.0,)), TypeError, "must return numbers and arrays, result is str"),
        (lambda: tt.vjp(lambda x: [x, object()], 1.0), TypeError, r"result\[1\] is object"),
        (lambda: tt.vjp(lambda x: (x, x), 1.0)[1](1.0), TypeError, "cotangent must be a tuple of 2"),
        (lambda: tt.vjp(lambda x: (x, x), np.ones(2))[1]((np.ones(2), 1.0)), ValueError, r"cotangent\[1\] must have the shape"),
        (lambda: tt.jacobian(np.sin, mode="sideways"), ValueError, "mode must be"),
        (lambda: tt.jacobian(np.sin)(1j), TypeError, "expected real floating numbers"),
        (lambda: tt.jacobian(np.argmax)(np.ones(2)), TypeError, "expected real floating numbers"),
        (lambda: tt.jacobian(np.sin, 3)(1.0), TypeError, "argnums=3, but the function was called with 1"),
    ],
)  # fmt: skip
def test_errors_name_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_branch_not_taken_has_no_tangent():
    f = lambda x: np.where(x > 0, np.sqrt(x), 0)  # noqa: E731
    assert tt.jvp(f, (np.array([0.0, 4.0]),), (np.ones(2),))[1].tolist() == [0, 0.25]
    assert tt.jvp(np.sinc, (0.0,), (1.0,))[1] == 0
    assert tt.jvp(np.linalg.norm, (np.zeros(2),), (np.ones(2),))[1] == 0
    assert tt.jvp(np.prod, (np.array([0.0, 2.0, 3.0]),), (np.ones(3),))[1] == 6
    assert tt.jvp(tt.grad(lambda x: np.sum(f(x))), (np.array([0.0, 4.0]),), (np.ones(2),))[1].tolist() == [0, -1 / 32]


def test_forward_mode_keeps_dtypes_and_does_not_touch_arguments():
    x, t = np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)
    value, pushed = tt.jvp(lambda x: (x * np.float64(2)).sum(axis=0), (x,), (t,))
    assert (value.dtype, pushed.dtype) == (np.float64, np.float64)
    assert tt.jvp(lambda x: np.tanh(x @ x.T), (x,), (t,))[1].dtype == np.float32
    assert x.tolist() == np.ones((2, 3)).tolist()
    _, same = tt.jvp(lambda x: x, (x,), (t,))
    assert not np.shares_memory(same, t)
    leaf = tt.tensor([1.0, 2.0], requires_grad=True)
    tt.jvp(np.sin, (leaf,), (tt.ones(2),))
    assert leaf.grad is None


# ------------------------------------------------------------------------------------------------- jacobian, hessian, hvp


@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_jacobian(mode):
    f = lambda x: np.tanh(W @ x)  # noqa: E731
    want = (1 - np.tanh(W @ X) ** 2)[:, None] * W
    for x, kind in [(X, np.ndarray), (tt.tensor(X), Tensor)]:
        got = tt.jacobian(f, mode=mode)(x)
        assert type(got) is kind
        close(got, want)
    close(tt.jacobian(lambda x: x.sum(), mode=mode)(X), np.ones(3))
    close(tt.jacobian(lambda a: a * X, mode=mode)(2.0), X)
    close(tt.jacobian(lambda a: a**3, mode=mode)(2.0), np.float64(12))
    close(tt.jacobian(lambda x: np.outer(x, X), mode=mode)(X).shape, (3, 3, 3))
    assert tt.jacobian(f, mode=mode)(X.astype(np.float32)).dtype == np.float32
    close(tt.jacobian(lambda x: np.ones(2), mode=mode)(X), np.zeros((2, 3)))
    close(tt.jacobian(f, mode=mode)(X * 0), W)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_of_nested_arguments_and_results(mode):
    p = parameters()
    blocks = tt.jacobian(network, (0, 1), mode=mode)(p, X)
    assert blocks["out"][1] is None
    by_p, by_x = blocks["h"]
    assert by_p["layers"][0].weight.shape == (4, 4, 3)
    assert by_p["unused"] is None
    slope = 1 - np.tanh(p["layers"][0].weight @ X + p["layers"][0].bias) ** 2
    close(by_x, slope[:, None] * p["layers"][0].weight)
    close(by_p["layers"][0].bias, np.diag(slope))
    close(by_p["scale"], np.zeros(4))
    close(blocks["out"][0][0]["layers"][0].bias, slope * 0.5)
    matrix, aux = tt.jacobian(lambda x: (x * 2, "aux"), has_aux=True, mode=mode)(np.ones(2))
    close(matrix, 2 * np.eye(2))
    assert aux == "aux"


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_through_what_cannot_be_batched(mode):
    f = lambda x: np.convolve(x, X)  # noqa: E731
    with pytest.raises(TypeError, match="convolve has no batching rule"):
        tt.vmap(f)(np.ones((2, 4)))
    got = tt.jacobian(f, mode=mode)(np.arange(4.0))
    close(got, np.stack([np.convolve(e, X) for e in np.eye(4)], -1))


def test_hessian_and_hvp():
    def f(x: Any) -> Any:
        return np.sum(np.tanh(W @ x) ** 2) + x[0] ** 3 * x[1]

    v = RNG.standard_normal(3)
    matrix = tt.hessian(f)(X)
    columns = [difference(tt.grad(f), (X,), (e,)) for e in np.eye(3)]
    close(matrix, np.stack(columns, -1), 1e-7)
    for mode in ("forward", "reverse"):
        close(tt.hessian(f, mode=mode)(X), matrix)
    close(tt.hvp(f, (X,), (v,)), matrix @ v)
    close(tt.jvp(tt.grad(f), (X,), (v,))[1], matrix @ v)
    close(tt.grad(lambda x: np.dot(tt.grad(f)(x), v))(X), matrix @ v)
    close(tt.vjp(tt.grad(f), X)[1](v)[0], matrix @ v)
    blocks = tt.hessian(lambda p: p["a"] ** 2 * p["b"].sum())({"a": 3.0, "b": np.ones(2)})
    close(blocks["a"]["b"], np.full(2, 6.0))
    close(blocks["b"]["b"], np.zeros((2, 2)))
    products = tt.hvp(lambda a, b: a**2 * b, (2.0, 3.0), (1.0, 10.0))
    assert products == (6 + 40, 4)
    close(tt.hvp(lambda p: p[0] ** 2 * p[1], ([2.0, 3.0],), ([1.0, 10.0],)), [46.0, 4.0])


# ------------------------------------------------------------------------------------------------------------- nesting

D = {
    "grad": lambda f: tt.grad(f),
    "jvp": lambda f: lambda x: tt.jvp(f, (x,), (1.0,))[1],
    "vjp": lambda f: lambda x: tt.vjp(f, x)[1](1.0)[0],
    "linearize": lambda f: lambda x: tt.linearize(f, x)[1](1.0),
    "jacfwd": lambda f: tt.jacfwd(f),
    "jacrev": lambda f: tt.jacrev(f),
    "checkpoint": lambda f: tt.grad(tt.checkpoint(f)),
}


@pytest.mark.parametrize("a", D)
@pytest.mark.parametrize("b", D)
def test_every_pair_and_triple_nests(a, b):
    def f(x: Any) -> Any:
        return np.sin(x) * x**3 + np.exp(x * 0.3)

    x = 0.7
    second = -np.sin(x) * x**3 + 6 * np.cos(x) * x**2 + 6 * np.sin(x) * x + 0.09 * np.exp(0.3 * x)
    assert D[a](D[b](f))(x) == pytest.approx(second, rel=1e-12)
    third = tt.grad(tt.grad(tt.grad(f)))(x)
    for c in ("grad", "jvp"):
        assert D[c](D[a](D[b](f)))(x) == pytest.approx(third, rel=1e-11)


@pytest.mark.parametrize("a", ["grad", "jvp", "vjp", "linearize", "jacfwd", "jacrev"])
@pytest.mark.parametrize("b", ["grad", "jvp", "vjp", "linearize", "jacfwd", "jacrev"])
def test_perturbations_are_not_confused(a, b):
    assert D[a](lambda x: x * D[b](lambda y: x + y)(1.0))(2.0) == 1
    assert D[a](lambda x: x * D[b](lambda y: x * y)(1.0))(2.0) == 4
    assert D[a](lambda x: x * D[b](lambda y: x * 1.0)(x))(2.0) == 0


def test_tangents_and_cotangents_are_differentiable():
    assert tt.grad(lambda t: tt.jvp(lambda x: x**3, (2.0,), (t,))[1])(5.0) == 12
    assert tt.grad(lambda v: tt.vjp(lambda x: x**3, 2.0)[1](v)[0])(5.0) == 12
    t = tt.tensor(5.0, requires_grad=True)
    out = tt.jvp(lambda x: x**3, (2.0,), (t,))[1]
    out.backward()
    assert t.grad == 12
    _, push = tt.linearize(lambda x: x**3, 2.0)
    assert tt.grad(push)(1.0) == 12
    w = tt.tensor([1.0, 2.0], requires_grad=True)
    tt.jvp(lambda x: (w**2 * x).sum(), (np.ones(2),), (np.array([1.0, 10.0]),))[1].backward()
    assert w.grad.tolist() == [2, 40]


def test_several_outputs_and_joint_rules_in_forward_mode():
    a = RNG.standard_normal((3, 3))
    a = a @ a.T + np.eye(3)
    t = RNG.standard_normal((3, 3))

    def f(a: Any) -> Any:
        return {
            "eigh": np.linalg.eigh(a + a.T)[0],
            "solve": np.linalg.solve(a, np.ones(3)),
            "svd": np.linalg.svd(a)[1],
            "slogdet": np.linalg.slogdet(a)[1],
            "qr": np.abs(np.linalg.qr(a)[1]),
            "concatenate": np.concatenate([a, a * 2])[1:3],
            "split": np.split(a, 3)[1],
            "where": np.where(a > 0, np.sqrt(np.abs(a)), a),
        }

    value, pushed = tt.jvp(f, (a,), (t,))
    close(pushed, difference(f, (a,), (t,)), 1e-6)
    scalar = lambda a: sum(np.sum(x**2) for x in f(a).values())  # noqa: E731
    close(tt.jvp(tt.grad(scalar), (a,), (t,))[1], difference(tt.grad(scalar), (a,), (t,)), 1e-5)
    close(tt.grad(lambda a: tt.jvp(scalar, (a,), (t,))[1])(a), tt.hvp(scalar, (a,), (t,)), 1e-8)


def test_threads_do_not_disturb_each_other():
    def work(n: int) -> None:
        for _ in range(20):
            third = D[("grad", "jvp")[n % 2]](tt.grad(D["jvp"](lambda x: x**5)))(float(n))
            mapped = tt.vmap(tt.grad(lambda x: (x**3).sum()))(np.full((2, 2), float(n)))
            good.append(third == 60 * n**2 and (mapped == 3 * n**2).all())

    good: list[Any] = []
    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(good) == 120
    assert all(good)


# ----------------------------------------------------------------------------------------------------------- checkpoint


def block(x: Any, w: Any) -> Any:
    return np.tanh(np.exp(-x @ w) * np.sin(x))


def test_checkpoint_gives_the_same_gradients():
    w = RNG.standard_normal((3, 3))
    for run in (tt.checkpoint(block), block):
        W1, x = tt.tensor(w, requires_grad=True), tt.tensor(X, requires_grad=True)
        closed = tt.checkpoint(lambda x: run(x, W1))
        closed(run(x, W1)).sum().backward()
        if run is not block:
            first = W1.grad, x.grad
    close((W1.grad, x.grad), first)
    for d in (tt.grad, tt.elementwise_grad):
        f, g = tt.checkpoint(lambda x: np.sum(np.sin(x) ** 3)), lambda x: np.sum(np.sin(x) ** 3)
        close(d(f)(X), d(g)(X))
    close(tt.hessian(f)(X), tt.hessian(g)(X))
    close(tt.jvp(f, (X,), (X,)), tt.jvp(g, (X,), (X,)))
    close(tt.vmap(tt.grad(f))(W), tt.vmap(tt.grad(g))(W))


def test_checkpoint_lets_go_of_what_was_saved():
    arrays: list[Any] = []

    def f(x: Any) -> Any:
        for _ in range(3):
            x = np.exp(-x)
            arrays.append(weakref.ref(x.data))
        return x

    x = tt.tensor(np.ones(1000), requires_grad=True)
    y = tt.checkpoint(f)(x)
    assert [ref() is None for ref in arrays] == [True, True, False]
    y.sum().backward()
    assert len(arrays) == 6
    x2 = tt.tensor(np.ones(1000), requires_grad=True)
    f(x2).sum().backward()
    assert x.grad.tolist() == x2.grad.tolist()


def test_checkpoint_repeats_random_numbers():
    def noisy(x: Any) -> Any:
        return np.exp(x * tt.rand(3) * np.random.rand(3))  # noqa: NPY002

    results = []
    for run in (tt.checkpoint(noisy), noisy):
        tt.manual_seed(1)
        np.random.seed(2)  # noqa: NPY002
        x = tt.tensor(X, requires_grad=True)
        y = run(run(x)).sum()
        after = tt.rand(1).item()
        y.backward()
        assert tt.rand(1).item() != after
        results.append((y.item(), x.grad, after, tt.rand(1).item()))
    close(*results)


def test_checkpoints_nest():
    inner = tt.checkpoint(lambda x: np.exp(np.sin(x)))
    outer = tt.checkpoint(lambda x: inner(np.cos(inner(x))))
    plain = lambda x: np.exp(np.sin(np.cos(np.exp(np.sin(x)))))  # noqa: E731
    for d in (tt.grad, lambda f: tt.grad(tt.grad(f)), lambda f: tt.grad(tt.grad(tt.grad(f)))):
        assert d(outer)(0.4) == pytest.approx(d(plain)(0.4), rel=1e-12)


def test_checkpoint_says_what_went_wrong():
    calls: list[int] = []

    def changing(x: Any) -> Any:
        calls.append(1)
        return np.exp(x) * len(calls)

    with pytest.raises(RuntimeError, match="gave another result"):
        tt.grad(tt.checkpoint(changing))(1.0)
    x = tt.tensor([1.0, 2.0], requires_grad=True)
    y = tt.checkpoint(lambda x: np.exp(x) * x)(x).sum()
    with tt.no_grad():
        x += 1
    with pytest.raises(RuntimeError, match="overwritten in place"):
        y.backward()
    with tt.no_grad():
        assert not tt.checkpoint(np.exp)(x).requires_grad
    assert tt.checkpoint(np.exp)(0.0) == 1


# ----------------------------------------------------------------------------------------------------------- custom_vjp


def make_product() -> Any:
    @tt.custom_vjp
    def product(p: Any, y: Any) -> Any:
        """x · y."""
        return p["x"] * y

    product.defvjp(lambda p, y: (p["x"] * y, (p["x"], y)), lambda kept, g: ({"x": g * kept[1], "n": None}, g * kept[0]))
    return product


def test_custom_vjp():
    product = make_product()
    f = lambda x, y: np.sum(product({"x": x, "n": "name"}, y))  # noqa: E731
    assert product.__doc__ == "x · y."
    assert product({"x": 2.0, "n": 1}, 3.0) == 6
    gx, gy = tt.grad(f, (0, 1))(X, W[0])
    close((gx, gy), (W[0], X))
    close(tt.jvp(f, (X, W[0]), (W[1], W[2])), tt.jvp(lambda x, y: np.sum(x * y), (X, W[0]), (W[1], W[2])))
    close(tt.hessian(lambda x: f(x, x**2))(X), np.diag(6 * X))
    close(tt.vmap(tt.grad(f), in_axes=(0, None))(W, X), np.tile(X, (4, 1)))
    third = tt.grad(tt.grad(tt.grad(lambda x: f(x, x * x))))
    assert third(2.0) == 6


def test_custom_vjp_decides():
    @tt.custom_vjp
    def straight_through(x: Any) -> Any:
        return np.round(x)

    straight_through.defvjp(lambda x: (np.round(x), None), lambda _, g: (g,))
    close(tt.grad(lambda x: np.sum(straight_through(x) ** 2))(X), 2 * np.round(X))
    x = tt.tensor(X, requires_grad=True)
    straight_through(x).sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


def test_custom_vjp_with_fixed_arguments_and_several_results():
    calls = []

    def fwd(n: int, x: Any) -> Any:
        return {"power": x**n, "x": x}, x

    def bwd(n: int, x: Any, g: Any) -> Any:
        calls.append(n)
        return (g["power"] * n * x ** (n - 1) + g["x"],)

    power = tt.custom_vjp(lambda n, x: fwd(n, x)[0], nondiff_argnums=(0,))
    power.defvjp(fwd, bwd)
    assert tt.grad(lambda x: power(3, x)["power"])(2.0) == 12
    assert tt.grad(lambda x: power(3, x)["x"] * 5)(2.0) == 5
    assert tt.grad(tt.grad(lambda x: power(3, x)["power"]))(2.0) == 12
    assert set(calls) == {3}


def test_custom_vjp_says_what_is_wrong():
    def defined(fwd: Any, bwd: Any) -> Any:
        f = tt.custom_vjp(lambda x: fwd(x)[0])
        f.defvjp(fwd, bwd)
        return lambda x: np.sum(f(x))

    w = tt.tensor(2.0, requires_grad=True)
    with pytest.raises(TypeError, match="defvjp.* must be called first"):
        tt.grad(tt.custom_vjp(np.sin))(1.0)
    with pytest.raises(TypeError, match="reads a tensor that requires grad from outside"):
        tt.grad(defined(lambda x: (x * w, None), lambda _, g: (g,)))(1.0)
    with pytest.raises(TypeError, match="must return a tuple of 1 gradients, got 2 gradients"):
        tt.grad(defined(lambda x: (x * 2, None), lambda _, g: (g, g)))(1.0)
    with pytest.raises(
        ValueError, match=r"returned a gradient of shape \(\) for argument 0, which has the shape \(3,\)"
    ):
        tt.grad(defined(lambda x: (x * 2, None), lambda _, g: (g.sum(),)))(X)
    f = tt.custom_vjp(lambda x: x)
    f.defvjp(lambda x: x, lambda _, g: (g,))
    with pytest.raises(TypeError, match="must return"):
        tt.grad(f)(1.0)


# ----------------------------------------------------------------------------------------------------------------- vmap


def test_vmap_gives_what_a_loop_gives():
    def f(p: Any, x: Any) -> Any:
        h = tt.relu(tt.linear(x, p["w"], p["b"]))
        i = np.argmax(h)
        return {"h": h, "top": h[i], "mean": (h - h.mean()) / (h.std() + 1), "n": len(h), "p": p["b"]}

    p = {"w": W, "b": np.arange(4.0)}
    xs = RNG.standard_normal((5, 3))
    got = tt.vmap(f, in_axes=(None, 0))(p, xs)
    for k, x in enumerate(xs):
        want = f(p, x)
        for key, value in want.items():
            np.testing.assert_allclose(got[key][k], value, rtol=1e-12)
    assert type(got["h"]) is np.ndarray
    assert isinstance(tt.vmap(np.sin)(tt.ones(3)), Tensor)


def test_axes_of_vmap():
    a = RNG.standard_normal((2, 3, 4))
    assert tt.vmap(np.sum, in_axes=1)(a).shape == (3,)
    assert tt.vmap(lambda x: x, in_axes=-1, out_axes=1)(a).shape == (2, 4, 3)
    assert tt.vmap(lambda p, y: p["a"] + y, in_axes=({"a": 2, "b": None}, None))({"a": a, "b": 1.0}, 1.0).shape == (
        4,
        2,
        3,
    )
    first, second = tt.vmap(lambda x: (x, 1.0), out_axes=(0, None))(a)
    assert (first.shape, second) == ((2, 3, 4), 1.0)
    assert tt.vmap(lambda x: 3.0)(a).tolist() == [3, 3]
    pairs = tt.vmap(tt.vmap(np.dot, in_axes=(None, 0)), in_axes=(0, None))(W, W)
    close(pairs, W @ W.T)


def test_per_example_gradients():
    def loss(p: Any, x: Any, y: Any) -> Any:
        return np.sum((np.tanh(tt.linear(x, p["w"], p["b"])) - y) ** 2)

    p = {"w": RNG.standard_normal((2, 3)), "b": np.zeros(2)}
    xs, ys = RNG.standard_normal((6, 3)), RNG.standard_normal((6, 2))
    value, each = tt.vmap(tt.value_and_grad(loss), in_axes=(None, 0, 0))(p, xs, ys)
    for k in range(6):
        want = tt.grad(loss)(p, xs[k], ys[k])
        close({key: g[k] for key, g in each.items()}, want)
        assert value[k] == pytest.approx(loss(p, xs[k], ys[k]), rel=1e-12)
    closure = tt.vmap(lambda x, y: tt.grad(lambda p: loss(p, x, y))(p))(xs, ys)  # p has no batch axis anywhere
    close(closure, each)
    hess = tt.vmap(tt.hessian(lambda b, x, y: loss({"w": p["w"], "b": b}, x, y)), in_axes=(None, 0, 0))(p["b"], xs, ys)
    close(hess[2], tt.hessian(lambda b: loss({"w": p["w"], "b": b}, xs[2], ys[2]))(p["b"]))


def test_vmap_composes_with_all_others():
    xs = RNG.standard_normal((4, 3))
    f = lambda x: np.sum(np.tanh(W @ x) ** 2)  # noqa: E731
    close(tt.grad(lambda xs: tt.vmap(f)(xs).sum())(xs), tt.vmap(tt.grad(f))(xs))
    close(tt.vmap(lambda x: tt.jvp(f, (x,), (X,))[1])(xs), tt.jvp(tt.vmap(f), (xs,), (np.tile(X, (4, 1)),))[1])
    close(tt.vmap(tt.jacfwd(tt.grad(f)))(xs), tt.vmap(tt.jacrev(tt.grad(f)))(xs))
    close(tt.vmap(lambda x: tt.hvp(f, (x,), (X,)))(xs), np.stack([tt.hessian(f)(x) @ X for x in xs]))
    close(tt.vmap(lambda x: tt.vjp(np.tanh, x)[1](x)[0])(xs), (1 - np.tanh(xs) ** 2) * xs)
    w = tt.tensor(W, requires_grad=True)
    tt.vmap(lambda x: (w @ x).sum())(xs).sum().backward()
    close(w.grad, np.tile(xs.sum(0), (4, 1)))
    nested = tt.vmap(lambda a: tt.vmap(lambda b: tt.grad(lambda c: np.sum(a * b * c**2))(X))(xs))(xs)
    close(nested, 2 * xs[:, None] * xs[None] * X)
    close(tt.grad(lambda s: tt.vmap(tt.grad(lambda x: f(x) * s))(xs).sum())(2.0), tt.vmap(tt.grad(f))(xs).sum())


def test_indexing_and_writing_under_vmap():
    xs, i = RNG.standard_normal((4, 3)), np.array([0, 2, 1, 1])
    close(tt.vmap(lambda x, i: x[i])(xs, i), xs[np.arange(4), i])
    close(tt.vmap(lambda i: tt.tensor(W)[i])(i), W[i])
    close(tt.vmap(lambda x, i: x[np.arange(3), i], in_axes=(None, 0))(W[:3], i), W[:3][np.arange(3)][:, i].T)
    close(tt.vmap(tt.grad(lambda x, i: x[i] ** 2))(xs, i), np.where(np.arange(3) == i[:, None], 2 * xs, 0))

    def written(x: Any) -> Any:
        y = x * 1.0
        y[0] = x[1] * 10
        y[1:] += x[0]
        y *= 2
        return y

    close(tt.vmap(written)(xs), np.stack([written(x) for x in xs]))
    with pytest.raises(TypeError, match="vmap"):
        tt.vmap(lambda x: x[x > 0])(xs)


@pytest.mark.parametrize(
    "f, words",
    [
        (lambda x: np.convolve(x, x), "convolve has no batching rule; loop instead: tt.stack"),
        (lambda x: x if x.sum() > 0 else -x, "an `if` .use tt.where."),
        (lambda x: float(x[0]), "float"),
        (lambda x: np.asarray(x), r"np\.asarray"),
        (lambda x: np.unique(x), "unique has no batching rule"),
        (lambda x: x.sum().backward(), "vmap"),
        (lambda x: "a", "must return numbers and arrays, got str"),
    ],
)
def test_vmap_refuses_what_it_cannot_do(f, words):
    with pytest.raises(TypeError, match=words):
        tt.vmap(f)(np.ones((2, 3)))


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: tt.vmap(np.add)(np.ones(2), np.ones(3)), ValueError, r"one length, got args\[0\]: 2, args\[1\]: 3"),
        (lambda: tt.vmap(np.add, in_axes=(None, None))(1.0, 2.0), ValueError, "no argument has an axis"),
        (lambda: tt.vmap(np.sin, in_axes=2)(np.ones(2)), ValueError, "no axis 2 to map over"),
        (lambda: tt.vmap(np.sin)(1.0), ValueError, r"args\[0\] has the shape \(\)"),
        (lambda: tt.vmap(np.add, in_axes=(0,))(np.ones(2), 1.0), TypeError, "one entry for each of the 2"),
        (
            lambda: tt.vmap(lambda p: p[0], in_axes=([0],))([np.ones(2), np.ones(2)]),
            TypeError,
            "must be a number or None",
        ),
        (lambda: tt.vmap(np.sin, out_axes=None)(np.ones(2)), ValueError, "out_axes is None for a result that differs"),
        (lambda: tt.vmap(lambda x: x.sum(axis=1))(np.ones((2, 3))), np.exceptions.AxisError, "axis 1 is out of bounds"),
    ],
)
def test_vmap_names_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()


CALLS = [
    pytest.param(e, c, c.shapes[-1], id=f"{e.name}-{k}")
    for family in FAMILIES.values()
    for e in family
    for k, c in enumerate(e.cases)
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("e, c, shapes", CALLS)
def test_vmap_over_the_catalogue(e, c, shapes):
    """Every call gives what a loop gives, or a TypeError that says it has no rule."""
    xs = c.inputs(shapes, e.domain)
    f = lambda *a: list(leaves_of(c.f(tt, *a)))  # noqa: E731
    batches = [np.stack([x, x * 1.01, x * 0.99]) if x.dtype.kind in "fc" else np.stack([x] * 3) for x in xs]
    for axes in {(0,) * len(xs), (0, *(None,) * (len(xs) - 1)), (*(None,) * (len(xs) - 1), 0)}:
        loop = []
        for k in range(3):
            each = [b[k] if a == 0 else x for b, x, a in zip(batches, xs, axes, strict=True)]
            loop.append(f(*[tt.tensor(v) for v in each]))
        try:
            got = tt.vmap(f, in_axes=axes)(*[b if a == 0 else x for b, x, a in zip(batches, xs, axes, strict=True)])
        except TypeError as error:
            assert "vmap:" in str(error), error
            continue
        for i, out in enumerate(got):
            want = np.stack([np.asarray(each[i].data if isinstance(each[i], Tensor) else each[i]) for each in loop])
            assert (out.shape, out.dtype) == (want.shape, want.dtype)
            np.testing.assert_allclose(out, want, rtol=1e-9, atol=1e-10)


# ---------------------------------------------------------------------------------------------------------- other witnesses


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_against_torch_func():
    torch = pytest.importorskip("torch")
    from torch import func

    w, x, v, b = (torch.tensor(a) for a in (W, X, X + 1, RNG.standard_normal(4)))
    ours: Any = lambda m, w: lambda x, b: {"a": m.tanh(w @ x + b), "b": (x**2).sum() * b}  # noqa: E731
    f, g = ours(np, W), ours(torch, w)
    same = lambda got, want: close(got, {k: n.numpy() for k, n in want.items()}, 1e-12)  # noqa: E731
    for a, t in zip(tt.jvp(f, (X, b.numpy()), (X + 1, b.numpy())), func.jvp(g, (x, b), (v, b)), strict=True):
        same(a, t)
    cotangent = {"a": W[:, 0], "b": W[:, 1]}
    pulled = func.vjp(g, x, b)[1]({k: torch.tensor(c) for k, c in cotangent.items()})
    close(tt.vjp(f, X, b.numpy())[1](cotangent), tuple(p.numpy() for p in pulled), 1e-12)
    for one, other in ((tt.jacrev, func.jacrev), (tt.jacfwd, func.jacfwd)):
        got, want = one(f, (0, 1))(X, b.numpy()), other(g, (0, 1))(x, b)
        for key in got:
            close(got[key], tuple(n.numpy() for n in want[key]), 1e-12)
    scalar: Any = lambda m, w: lambda x: (m.tanh(w @ x) ** 3).sum()  # noqa: E731
    close(tt.hessian(scalar(np, W))(X), func.hessian(scalar(torch, w))(x).numpy(), 1e-11)
    xs = RNG.standard_normal((5, 3))
    per = func.vmap(func.grad(scalar(torch, w)))(torch.tensor(xs))
    close(tt.vmap(tt.grad(scalar(np, W)))(xs), per.numpy(), 1e-12)
    both = func.vmap(func.hessian(scalar(torch, w)), in_dims=1, out_dims=2)(torch.tensor(xs.T))
    close(tt.vmap(tt.hessian(scalar(np, W)), in_axes=1, out_axes=2)(xs.T), both.numpy(), 1e-11)


def test_no_two_primitives_share_a_batching_rule_by_name():
    from tinytensor.batching.rules import RULES
    from tinytensor.primitive import OPS

    names = [op.name for key, op in OPS.items() if key.startswith("tinytensor.") and op.name in RULES]
    assert len(names) == len(set(names)), sorted({n for n in names if names.count(n) > 1})
