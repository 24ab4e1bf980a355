"""Every op in one table: a readable row each, and what a row must prove. Below it the kinks, ties and empty arrays.

A row's function takes the module that the functions come from, and is run three times: with ``np`` (NumPy's own
function on tensors), with ``tt``, and with an object that turns ``m.exp(x)`` into ``x.exp()``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.testing import against_scalar, check_grads

INF, NAN = np.inf, np.nan


class Methods:
    """``m.exp(x)`` as ``x.exp()``."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)


METHODS: Any = Methods()


class Row(NamedTuple):
    """One case: a name, the function, the shapes of its inputs, and where its inputs may lie."""

    name: str
    f: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    domain: str = "apart"
    ways: str = "np tt method"  # where the function is found
    scalar: bool = True  # runs on object arrays of Value
    like: Callable[..., Any] | None = None  # a formula in NumPy, for what NumPy lacks

    def modules(self) -> list[Any]:
        return [{"np": np, "tt": tt, "method": METHODS}[way] for way in self.ways.split()]

    def inputs(self, dtype: Any = float, shapes: Any = None) -> list[np.ndarray]:
        drawn = [DOMAINS[self.domain](shape, k) for k, shape in enumerate(shapes or self.shapes)]
        return [np.asarray(x, dtype) for x in drawn]

    def value(self, *arrays: np.ndarray) -> Any:
        """What NumPy says."""
        with np.errstate(all="ignore"):
            return self.like(*arrays) if self.like else self.f(np if "np" in self.ways else tt, *arrays)

    def call(self, *args: Any) -> Any:
        return self.f(self.modules()[0], *args)


def apart(shape: tuple[int, ...], k: int) -> np.ndarray:
    """Numbers between -2 and 2, far from each other, from those of other inputs, and from 0 and 1: off every kink."""
    n = int(np.prod(shape))
    order = np.random.default_rng([n, k]).permutation(n)
    return (((order + 0.5) / max(n, 1) - 0.5) * 3.6 + 0.13 * (k + 1) / max(n, 4)).reshape(shape)


DOMAINS: dict[str, Callable[[tuple[int, ...], int], np.ndarray]] = {
    "apart": apart,
    "positive": lambda shape, k: np.exp(apart(shape, k) / 2),
    "away from 0": lambda shape, k: np.where(apart(shape, k) > 0, 1.0, -1.0) * np.exp(apart(shape, k) / 2),
    "large": lambda shape, k: 400 * apart(shape, k),
}

EACH = [((),), ((3,),), ((2, 3),)]
PAIRS = [((3,), (3,)), ((), (3,)), ((2, 3), ()), ((2, 1), (1, 3)), ((3,), (2, 3)), ((1, 3), (2, 2, 1)), ((), ())]
I = np.array([[0, 2], [1, 0]])
MASK = np.array([[True, False, True], [False, False, True]])


def put(m: Any, x: Any, index: Any, value: Any) -> Any:
    y = m.copy(x)
    y[index] = value
    return y


def symmetric(x: Any) -> Any:
    return x + x.T


def softmax(x: Any, axis: Any = -1) -> Any:
    e = np.exp(x - x.max(axis, keepdims=True, initial=-np.inf))
    return e / e.sum(axis, keepdims=True)


def each(name: str, f: Any, domain: str = "apart", shapes: Any = EACH, **more: Any) -> list[Row]:
    return [Row(name, f, s, domain, **more) for s in shapes]


TABLE: list[Row] = [
    # -- arithmetic
    *each("x + y", lambda m, x, y: x + y, shapes=PAIRS),
    *each("x - y", lambda m, x, y: x - y, shapes=PAIRS),
    *each("x * y", lambda m, x, y: x * y, shapes=PAIRS),
    *each("x / y", lambda m, x, y: x / y, "away from 0", shapes=PAIRS),
    *each("x ** y", lambda m, x, y: x**y, "positive", shapes=PAIRS),
    *each("add", lambda m, x, y: m.add(x, y), shapes=PAIRS[:1], ways="np tt"),
    *each("subtract", lambda m, x, y: m.subtract(x, y), shapes=PAIRS[:1], ways="np tt"),
    *each("multiply", lambda m, x, y: m.multiply(x, y), shapes=PAIRS[:1], ways="np tt"),
    *each("divide", lambda m, x, y: m.divide(x, y), "away from 0", shapes=PAIRS[:1], ways="np tt"),
    *each("power", lambda m, x, y: m.power(x, y), "positive", shapes=PAIRS[:1], ways="np tt"),
    *each("pow", lambda m, x, y: m.pow(x, y), "positive", shapes=PAIRS[:1], ways="np method"),
    *each("x ** 2", lambda m, x: x**2),
    *each("x ** 3", lambda m, x: x**3),
    *each("x ** 1", lambda m, x: x**1),
    *each("x ** 0", lambda m, x: x**0),
    *each("x ** -1", lambda m, x: x**-1, "away from 0"),
    *each("x ** -2.0", lambda m, x: x**-2.0, "away from 0"),
    *each("x ** 0.5", lambda m, x: x**0.5, "positive"),
    *each("x ** 2.5", lambda m, x: x**2.5, "positive"),
    *each("3 ** x", lambda m, x: 3**x),
    *each("1.5 - x", lambda m, x: 1.5 - x),
    *each("2 / x", lambda m, x: 2 / x, "away from 0"),
    *each("-x", lambda m, x: -x),
    *each("+x", lambda m, x: +x),
    *each("negative", lambda m, x: m.negative(x), ways="np tt"),
    *each("positive", lambda m, x: m.positive(x), ways="np tt"),
    *each("reciprocal", lambda m, x: m.reciprocal(x), "away from 0"),
    *each("square", lambda m, x: m.square(x)),
    *each("sqrt", lambda m, x: m.sqrt(x), "positive"),
    *each("mul0", lambda m, x, y: m.mul0(x, y), shapes=PAIRS, ways="tt", like=np.multiply, scalar=False),
    *each("div0", lambda m, x, y: m.div0(x, y), "away from 0", PAIRS, ways="tt", like=np.divide, scalar=False),
    # -- elementwise functions
    *each("exp", lambda m, x: m.exp(x)),
    *each("log", lambda m, x: m.log(x), "positive"),
    *each("sin", lambda m, x: m.sin(x)),
    *each("cos", lambda m, x: m.cos(x)),
    *each("tanh", lambda m, x: m.tanh(x)),
    *each("sigmoid", lambda m, x: m.sigmoid(x), ways="tt method", like=lambda x: 1 / (1 + np.exp(-x))),
    *each("relu", lambda m, x: m.relu(x), ways="tt method", like=lambda x: np.where(x > 0, x, 0)),
    *each("leaky_relu", lambda m, x: m.leaky_relu(x), ways="tt", like=lambda x: np.where(x > 0, x, 0.01 * x)),
    *each("leaky_relu 0.2", lambda m, x: m.leaky_relu(x, 0.2), ways="tt", like=lambda x: np.where(x > 0, x, 0.2 * x)),
    *each("softplus", lambda m, x: m.softplus(x), ways="tt", like=lambda x: np.log(1 + np.exp(x))),
    *each("abs", lambda m, x: m.abs(x)),
    *each("abs()", lambda m, x: abs(x)),
    *each("sign", lambda m, x: m.sign(x), scalar=False),  # Value has no sign: its derivative is nothing to check
    # -- pieces
    *each("maximum", lambda m, x, y: m.maximum(x, y), shapes=PAIRS),
    *each("minimum", lambda m, x, y: m.minimum(x, y), shapes=PAIRS),
    *each("maximum number", lambda m, x: m.maximum(x, 0.3)),
    *each("clip", lambda m, x: m.clip(x, -0.75, 0.95)),
    *each("clip above", lambda m, x: m.clip(x, None, 0.95), scalar=False),
    *each("clip below", lambda m, x: m.clip(x, 0.3, None), scalar=False),
    *each("clip tensors", lambda m, x, lo, hi: m.clip(x, lo - 0.9, hi + 0.9), shapes=[((2, 3), (3,), (2, 1)), ((4,), (), ())], scalar=False),
    *each("where", lambda m, x, y: m.where(x > y, x * y, y), shapes=PAIRS, ways="np tt"),
    *each("where number", lambda m, x: m.where(x > 0, x, 0.5), ways="np tt"),
    *each("where mask", lambda m, x, y: m.where(MASK, x, y), shapes=[((2, 3), (2, 3)), ((2, 3), ()), ((3,), (2, 1))], ways="np tt"),
    # -- reductions
    *[
        Row(f"{name}{kwargs}", lambda m, x, name=name, kwargs=kwargs: getattr(m, name)(x, **kwargs), (shape,), domain, ways, scalar, like and partial(like, **kwargs))
        for name, domain, ways, scalar, like in [
            ("sum", "apart", "np tt method", True, None),
            ("mean", "apart", "np tt method", True, None),
            ("prod", "away from 0", "np tt method", True, None),
            ("max", "apart", "np tt method", True, None),
            ("min", "apart", "np tt method", True, None),
            ("var", "apart", "np tt method", True, None),
            ("std", "apart", "np tt method", True, None),
            ("logsumexp", "apart", "tt method", True, lambda x, **k: np.log(np.sum(np.exp(x), **k))),
        ]
        for shape, kwargs in [
            ((2, 3), {}),
            ((2, 3), {"axis": 0}),
            ((2, 3), {"axis": -1, "keepdims": True}),
            ((2, 3, 2), {"axis": (0, 2)}),
            ((2, 3, 2), {"axis": (-1, 1), "keepdims": True}),
            ((2, 3), {"axis": None, "keepdims": True}),
            ((3,), {"axis": 0}),
            ((1, 3), {"axis": ()}),
            ((), {}),
        ]
        if not (kwargs.get("axis") == () and name in ("max", "min", "logsumexp", "var", "std"))
        and not (shape == () and name == "std")  # |x - x|: Value has no derivative there
    ],
    Row("var ddof", lambda m, x: m.var(x, axis=0, ddof=1), ((4, 3),)),
    Row("std ddof", lambda m, x: m.std(x, axis=-1, ddof=1, keepdims=True), ((2, 3),)),
    *each("softmax", lambda m, x: m.softmax(x), ways="tt method", like=softmax, shapes=[((3,),), ((2, 3),)]),
    Row("softmax 0", lambda m, x: m.softmax(x, axis=0), ((2, 3),), ways="tt method", like=lambda x: softmax(x, 0)),
    Row("softmax all", lambda m, x: m.softmax(x, axis=None), ((2, 3),), ways="tt method", like=lambda x: softmax(x, None)),
    Row("softmax two", lambda m, x: m.softmax(x, axis=(0, -1)), ((2, 3, 2),), ways="tt", like=lambda x: softmax(x, (0, -1))),
    *each("log_softmax", lambda m, x: m.log_softmax(x), ways="tt method", like=lambda x: np.log(softmax(x)), shapes=[((3,),), ((2, 3),)]),
    Row("log_softmax 0", lambda m, x: m.log_softmax(x, axis=0), ((2, 3),), ways="tt method", like=lambda x: np.log(softmax(x, 0))),
    Row("cumsum", lambda m, x: m.cumsum(x), ((2, 3),)),
    Row("cumsum 0", lambda m, x: m.cumsum(x, axis=0), ((2, 3),)),
    Row("cumsum -1", lambda m, x: m.cumsum(x, axis=-1), ((2, 3, 2),)),
    # -- shapes
    Row("reshape", lambda m, x: m.reshape(x, (3, 2)), ((2, 3),)),
    Row("reshape -1", lambda m, x: m.reshape(x, (2, -1)), ((2, 3, 2),)),
    Row("reshape 0-d", lambda m, x: m.reshape(x, ()), ((1, 1),)),
    Row("ravel", lambda m, x: m.ravel(x), ((2, 3),), ways="np method"),
    Row("flatten", lambda m, x: x.flatten(), ((2, 3),)),
    Row("transpose", lambda m, x: m.transpose(x), ((2, 3, 4),)),
    Row("transpose axes", lambda m, x: m.transpose(x, (2, 0, 1)), ((2, 3, 4),)),
    Row("transpose -axes", lambda m, x: m.transpose(x, (-1, 0, -2)), ((2, 3, 4),)),
    Row("x.T", lambda m, x: x.T, ((2, 3),)),
    Row("x.mT", lambda m, x: x.mT, ((2, 3, 4),), scalar=True),
    Row("swapaxes", lambda m, x: m.swapaxes(x, 0, -1), ((2, 3, 4),)),
    Row("squeeze", lambda m, x: m.squeeze(x), ((1, 3, 1),)),
    Row("squeeze axis", lambda m, x: m.squeeze(x, axis=-1), ((1, 3, 1),)),
    Row("squeeze axes", lambda m, x: m.squeeze(x, axis=(0, 2)), ((1, 3, 1),)),
    Row("expand_dims", lambda m, x: m.expand_dims(x, 1), ((2, 3),), ways="np tt"),
    Row("expand_dims axes", lambda m, x: m.expand_dims(x, (0, -1)), ((2, 3),), ways="np tt"),
    Row("broadcast_to", lambda m, x: m.broadcast_to(x, (4, 2, 5)), ((2, 1),)),
    Row("broadcast_to 0-d", lambda m, x: m.broadcast_to(x, (2, 3)), ((),)),
    Row("flip", lambda m, x: m.flip(x), ((2, 3),)),
    Row("flip axis", lambda m, x: m.flip(x, axis=-1), ((2, 3),)),
    Row("flip axes", lambda m, x: m.flip(x, axis=(0, -1)), ((2, 3, 2),)),
    Row("copy", lambda m, x: m.copy(x), ((2, 3),)),
    Row("concatenate", lambda m, x, y: m.concatenate([x, y]), ((2, 3), (1, 3)), ways="np tt"),
    Row("concatenate -1", lambda m, x, y: m.concatenate((x, y, x), axis=-1), ((2, 3), (2, 1)), ways="np tt"),
    Row("concatenate None", lambda m, x, y: m.concatenate([x, y], axis=None), ((2, 3), (4,)), ways="np tt"),
    Row("stack", lambda m, x, y: m.stack([x, y]), ((2, 3), (2, 3)), ways="np tt"),
    Row("stack -1", lambda m, x, y: m.stack([x, y, x], axis=-1), ((2, 3), (2, 3)), ways="np tt"),
    Row("stack 1", lambda m, x, y: m.stack([x, y], axis=1), ((3,), (3,)), ways="np tt"),
    Row("split", lambda m, x: m.split(x, 3, axis=-1)[1], ((2, 6),)),
    Row("split at", lambda m, x: m.split(x, [1, 3])[1] * m.split(x, [1, 3])[2], ((5, 3),)),
    Row("pad", lambda m, x: m.pad(x, 1), ((2, 3),), ways="np tt"),
    Row("pad widths", lambda m, x: m.pad(x, ((1, 0), (0, 2)), constant_values=3.0), ((2, 3),), ways="np tt", scalar=False),
    Row("pad edge", lambda m, x: m.pad(x, (2, 1), mode="edge"), ((2, 3),), ways="np tt", scalar=False),
    Row("pad reflect", lambda m, x: m.pad(x, ((1, 1), (2, 2)), mode="reflect"), ((3, 3),), ways="np tt", scalar=False),
    Row("pad symmetric", lambda m, x: m.pad(x, 2, mode="symmetric"), ((3, 2),), ways="np tt", scalar=False),
    Row("pad wrap", lambda m, x: m.pad(x, 2, mode="wrap"), ((3, 2),), ways="np tt", scalar=False),
    # -- indexing
    Row("x[1]", lambda m, x: x[1], ((2, 3),)),
    Row("x[-1, 0]", lambda m, x: x[-1, 0], ((2, 3),)),
    Row("x[1:]", lambda m, x: x[1:], ((4, 3),)),
    Row("x[::-2]", lambda m, x: x[::-2], ((5,),)),
    Row("x[..., None, 1]", lambda m, x: x[..., None, 1], ((2, 3, 2),)),
    Row("x[()]", lambda m, x: x[()], ((2, 3),)),
    Row("x[...] 0-d", lambda m, x: x[...], ((),)),
    Row("x[int array]", lambda m, x: x[I], ((3, 2),)),
    Row("x[list]", lambda m, x: x[[0, 0, 1]], ((2, 3),)),
    Row("x[array, array]", lambda m, x: x[np.array([0, 1, 0]), np.array([2, 1, 2])], ((2, 3),)),
    Row("x[array, :, array]", lambda m, x: x[np.array([0, 1]), :, np.array([1, 1])], ((2, 3, 2),)),
    Row("x[mask]", lambda m, x: x[MASK], ((2, 3),)),
    Row("x[rows]", lambda m, x: x[MASK[:, 0]], ((2, 3),)),
    Row("x[:, mask]", lambda m, x: x[:, MASK[0]], ((2, 3),)),
    Row("x[x > 0]", lambda m, x: x[x > 0], ((2, 3),)),
    Row("x[1:, array]", lambda m, x: x[1:, [0, 0, 2]], ((3, 3),)),
    Row("take", lambda m, x: m.take(x, [1, 1, 0]), ((2, 3),)),
    Row("take axis", lambda m, x: m.take(x, I, axis=-1), ((2, 3),)),
    Row("take number", lambda m, x: m.take(x, 1, axis=0), ((2, 3),)),
    Row("take_along_axis", lambda m, x: m.take_along_axis(x, np.array([[2, 0, 0], [1, 1, 1]]), axis=1), ((2, 3),), ways="np tt"),
    Row("take_along_axis 0", lambda m, x: m.take_along_axis(x, np.array([[1, 0, 1]]), axis=0), ((2, 3),), ways="np tt"),
    Row("take_along_axis None", lambda m, x: m.take_along_axis(x, np.array([5, 0, 5]), axis=None), ((2, 3),), ways="np tt"),
    Row("y[1] = v", lambda m, x, v: put(m, x, 1, v), ((2, 3), (3,))),
    Row("y[:, 1:] = v", lambda m, x, v: put(m, x, np.s_[:, 1:], v), ((2, 3), (2, 1))),
    Row("y[...] = v", lambda m, x, v: put(m, x, ..., v), ((2, 3), ())),
    Row("y[mask] = v", lambda m, x, v: put(m, x, MASK, v), ((2, 3), (3,))),
    Row("y[mask] = 0-d", lambda m, x, v: put(m, x, MASK, v), ((2, 3), ())),
    Row("y[array] = v", lambda m, x, v: put(m, x, np.array([2, 0, 2]), v), ((4, 3), (3, 3))),
    Row("y[array, array] = v", lambda m, x, v: put(m, x, ([0, 1, 0], [2, 1, 2]), v), ((2, 3), (3,))),
    Row("y[0] = number", lambda m, x: put(m, x, 0, 2.5), ((2, 3),)),
    Row("y[0] += v", lambda m, x, v: put(m, x, 0, x[0] + v), ((2, 3), (3,))),
    # -- products
    *each("x @ y", lambda m, x, y: x @ y, shapes=[((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((2, 1, 2, 3), (4, 3, 2)), ((3,), (4, 3, 2)), ((4, 2, 3), (3,)), ((1, 2, 3), (4, 3, 2))]),
    Row("matmul", lambda m, x, y: m.matmul(x, y), ((2, 3), (3, 4))),
    *each("dot", lambda m, x, y: m.dot(x, y), shapes=[((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (3,)), ((2, 4, 3), (3,)), ((3,), (2, 3, 2)), ((2, 2, 3), (4, 3, 2)), ((), (3,)), ((2, 3), ())]),
    *each("outer", lambda m, x, y: m.outer(x, y), shapes=[((3,), (2,)), ((2, 3), (2,)), ((), (3,))]),
    *each("tensordot", lambda m, x, y: m.tensordot(x, y), shapes=[((2, 3, 4), (3, 4, 2))], ways="np tt"),
    Row("tensordot 0", lambda m, x, y: m.tensordot(x, y, axes=0), ((2, 3), (2,)), ways="np tt"),
    Row("tensordot 1", lambda m, x, y: m.tensordot(x, y, 1), ((2, 3), (3, 4)), ways="np tt"),
    Row("tensordot lists", lambda m, x, y: m.tensordot(x, y, axes=([0, -1], [1, 0])), ((2, 3, 4), (4, 2, 3)), ways="np tt"),
    Row("tensordot axis", lambda m, x, y: m.tensordot(x, y, axes=(1, 0)), ((2, 3), (3, 2)), ways="np tt"),
    *[
        Row(f"einsum {text}", lambda m, *xs, text=text: m.einsum(text, *xs), shapes, ways="np tt")
        for text, *shapes_ in [
            ("ij,jk->ik", (2, 3), (3, 4)),
            ("ij,jk", (2, 3), (3, 4)),
            ("ij,kj", (2, 3), (4, 3)),
            ("ba", (2, 3)),
            ("ii", (3, 3)),
            ("ii->i", (3, 3)),
            ("iij->j", (3, 3, 2)),
            ("ij->", (2, 3)),
            ("ij->j", (2, 3)),
            ("i,j->ij", (2,), (3,)),
            ("i,i,i->i", (3,), (3,), (3,)),
            ("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)),
            (",i->i", (), (3,)),
            ("...ij,jk", (2, 2, 3), (3, 2)),
            ("...i,...i->...", (2, 1, 3), (4, 3)),
            ("...ij->...ji", (2, 2, 3)),
            ("i...,i...->...", (2, 3), (2, 3)),
            ("ij,k->k", (2, 3), (4,)),  # i and j are summed away in one operand alone
            ("ij,ij->ij", (1, 3), (2, 3)),  # an axis of length 1 is repeated
            ("ii,i->i", (1, 1), (3,)),
            ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
            ("aab,b->a", (2, 2, 3), (3,)),
        ]
        for shapes in [tuple(shapes_)]
    ],
    Row("einsum optimize", lambda m, x, y, z: m.einsum("ij,jk,kl", x, y, z, optimize=True), ((2, 3), (3, 4), (4, 2)), ways="np tt", scalar=False),
    *each("linear", lambda m, x, w, b: m.linear(x, w, b), shapes=[((2, 3), (4, 3), (4,)), ((3,), (4, 3), (4,)), ((2, 2, 3), (1, 3), (1,))], ways="tt", like=lambda x, w, b: x @ w.T + b),
    Row("linear no bias", lambda m, x, w: m.linear(x, w), ((2, 3), (4, 3)), ways="tt", like=lambda x, w: x @ w.T),
    Row("eigh values", lambda m, x: m.eigh(symmetric(x))[0], ((3, 3),), ways="tt", scalar=False, like=lambda x: np.linalg.eigh(symmetric(x))[0]),
    Row("eigh vectors", lambda m, x: m.eigh(symmetric(x))[1], ((3, 3),), ways="tt", scalar=False, like=lambda x: np.linalg.eigh(symmetric(x))[1]),
    Row("eigh both", lambda m, x: (lambda w, v: v @ (m.exp(w)[:, None] * v.T))(*m.eigh(symmetric(x))), ((2, 2),), ways="tt", scalar=False),
    # -- dtype
    Row("astype", lambda m, x: m.astype(x, np.float64) * 2.0, ((2, 3),), ways="tt method", scalar=False),
]  # fmt: skip

ROWS = [pytest.param(row, id=f"{row.name} {' '.join(map(str, row.shapes))}".replace(",)", ")")) for row in TABLE]


def rows_where(holds: Callable[[Row], bool]) -> Any:
    return pytest.mark.parametrize("row", [row for row in ROWS if holds(row.values[0])])


each_row = rows_where(lambda row: True)
several = rows_where(lambda row: len(row.shapes) > 1)
quiet = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def leaves(arrays: list[np.ndarray]) -> list[tt.Tensor]:
    return [tt.tensor(a, requires_grad=True) for a in arrays]


def cotangent(out: Any) -> np.ndarray:
    return np.random.default_rng(out.size).uniform(-1, 1, out.shape).astype(out.dtype)


def gradients(f: Callable[..., Any], arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The leaves' gradients of f, contracted with fixed numbers."""
    xs = leaves(arrays)
    out = f(*xs)
    if out.requires_grad:
        out.backward(cotangent(out))
    return [np.zeros(x.shape, x.dtype) if x.grad is None else x.grad for x in xs]


def same(a: Any, b: Any) -> bool:
    """Equal bit by bit, in dtype and shape too."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


# ------------------------------------------------------------------------------------------------ what a row must prove


@each_row
def test_the_value_is_numpys(row):
    arrays = row.inputs()
    expected = row.value(*arrays)
    for m in row.modules():
        out = row.f(m, *leaves(arrays))
        assert type(out) is tt.Tensor
        if row.like or row.name == "dot":  # a formula, and NumPy's own routine for it: to rounding
            np.testing.assert_allclose(out.data, expected, rtol=1e-13, atol=1e-15)
        else:
            assert same(out.data, expected)
    if "tt" in row.ways:
        plain = row.f(tt, *arrays)
        assert isinstance(plain, (np.ndarray, np.generic))
        assert same(plain, out.data) or row.name == "dot"


@each_row
def test_all_ways_to_call_it_have_the_same_gradient(row):
    arrays = row.inputs()
    first, *others = [gradients(lambda *xs, m=m: row.f(m, *xs), arrays) for m in row.modules()]
    for other in others:
        assert all(same(a, b) for a, b in zip(first, other, strict=True))


@each_row
def test_first_and_second_derivatives(row):
    def f(*xs: Any) -> Any:
        return row.call(*xs)

    check_grads(f, *row.inputs(), order=2)


@rows_where(lambda row: row.scalar)
def test_the_scalar_engine_agrees(row):
    for m in (np, tt):  # NumPy's object loops, and ours on object arrays
        if m in row.modules():
            against_scalar(lambda *xs, m=m: row.f(m, *xs), *row.inputs())


@each_row
def test_inputs_stay_and_gradients_have_memory_of_their_own(row):
    arrays = row.inputs()
    xs = [tt.from_numpy(a.copy()).requires_grad_() for a in arrays]
    out = row.call(*xs)
    g = cotangent(out)
    given = g.copy()
    out.backward(g, retain_graph=True)
    assert all(same(x.data, a) for x, a in zip(xs, arrays, strict=True))
    assert same(g, given)
    grads = [x.grad for x in xs if x.grad is not None]
    others = [*(x.data for x in xs), out.data, g]
    for k, grad in enumerate(grads):
        assert type(grad) is np.ndarray
        assert grad.flags.writeable
        assert grad.size < 2 or 0 not in grad.strides
        assert not any(np.shares_memory(grad, other) for other in [*others, *grads[:k]])
    kept = [grad.copy() for grad in grads]
    for x in xs:
        x.grad = None
    out.backward(g)
    assert all(same(a, b) for a, b in zip(grads, kept, strict=True))  # what was taken away stays
    assert all(same(x.grad, b) for x, b in zip([x for x in xs if x.grad is not None], kept, strict=True))


@rows_where(lambda row: row.name != "astype")
def test_float32_stays_float32(row):
    arrays = row.inputs(np.float32)
    expected = row.value(*arrays)
    out = row.call(*leaves(arrays))
    assert out.dtype == np.asarray(expected).dtype == np.float32
    np.testing.assert_allclose(out.data, expected, rtol=2e-5, atol=1e-6)
    if not row.like and row.name != "dot":
        assert same(out.data, expected)
    single = gradients(row.call, arrays)
    double = gradients(row.call, [a.astype(float) for a in arrays])
    assert all(g.dtype == np.float32 for g in single)
    if "eigh" not in row.name:  # cancellation of vectors
        for a, b in zip(single, double, strict=True):
            scale = float(np.abs(b).max(initial=1.0))
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * scale)


@several
def test_mixed_dtypes_promote_as_numpy_says(row):
    """A 0-d array of float64 is float64 (NEP 50); each gradient has its leaf's dtype."""
    arrays = row.inputs()
    arrays[0] = arrays[0].astype(np.float32)
    out = row.call(*leaves(arrays))
    assert out.dtype == np.asarray(row.value(*arrays)).dtype
    got = gradients(row.call, arrays)
    assert [g.dtype for g in got] == [a.dtype for a in arrays]
    for a, b in zip(got, gradients(row.call, [a.astype(float) for a in arrays]), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5)


@each_row
@quiet
def test_axes_of_length_zero(row):
    """3 becomes 0 in every shape: NumPy's result and an empty gradient, or an error where NumPy has one."""
    shapes = [tuple(0 if n == 3 else n for n in shape) for shape in row.shapes]
    arrays = row.inputs(shapes=shapes)
    try:
        expected = np.asarray(row.value(*arrays))
    except (ValueError, IndexError, TypeError):
        with pytest.raises((ValueError, IndexError, TypeError)):
            row.call(*leaves(arrays))
        return
    xs = leaves(arrays)
    out = row.call(*xs)
    assert (out.shape, out.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(out.data, expected, rtol=1e-13)
    if out.requires_grad:
        out.backward(np.ones(out.shape))
        assert all(x.grad is None or x.grad.shape == x.shape for x in xs)


def views(a: np.ndarray) -> list[np.ndarray]:
    """The same numbers in other layouts: Fortran's order, every second element, negative strides."""
    if not a.ndim:
        return [a, a, a]
    wide = np.zeros(tuple(2 * n for n in a.shape))
    wide[tuple(slice(None, None, 2) for _ in a.shape)] = a
    back = np.ascontiguousarray(a[tuple(slice(None, None, -1) for _ in a.shape)])
    return [
        np.asfortranarray(a),
        wide[tuple(slice(None, None, 2) for _ in a.shape)],
        back[tuple(slice(None, None, -1) for _ in a.shape)],
    ]


@rows_where(lambda row: any(row.shapes))
def test_views_and_negative_strides(row):
    arrays = row.inputs()
    expected, grads = row.value(*arrays), gradients(row.call, arrays)
    for viewed in zip(*map(views, arrays), strict=True):
        xs = [tt.from_numpy(v).requires_grad_() for v in viewed]
        out = row.call(*xs)
        np.testing.assert_allclose(out.data, expected, rtol=1e-12, atol=1e-14)
        if out.requires_grad:
            out.backward(cotangent(out))
        for x, g in zip(xs, grads, strict=True):
            np.testing.assert_allclose(np.zeros(x.shape) if x.grad is None else x.grad, g, rtol=1e-12, atol=1e-14)


TIES = ("maximum", "minimum", "where")  # where both inputs are one, all are ties: they have tests below


@rows_where(lambda row: len(row.shapes) == 2 and row.shapes[0] == row.shapes[1] and row.name not in TIES)
def test_the_same_tensor_as_both_inputs(row):
    a = row.inputs()[0]
    (once,) = gradients(lambda x: row.call(x, x), [a])
    first, second = gradients(row.call, [a, a])
    np.testing.assert_allclose(once, first + second, rtol=1e-12, atol=1e-14)


@each_row
def test_nothing_is_recorded_without_need(row):
    arrays = row.inputs()
    assert not row.call(*[tt.tensor(a) for a in arrays]).requires_grad
    with tt.no_grad():
        out = row.call(*leaves(arrays))
    assert not out.requires_grad
    assert out.is_leaf


@rows_where(lambda row: len(row.shapes) > 1 and row.name != "y[0] += v")
def test_a_constant_operand_needs_no_gradient(row):
    """ndarrays in all places but one, each in turn: the gradient is the same, and nothing else gets one."""
    arrays = row.inputs()
    everything = gradients(row.call, arrays)
    for k, a in enumerate(arrays):
        x = tt.tensor(a, requires_grad=True)
        mixed = [x if i == k else b for i, b in enumerate(arrays)]
        if isinstance(mixed[0], np.ndarray) and row.name.startswith("y["):
            mixed[0] = tt.tensor(mixed[0])
        out = row.f(tt if "tt" in row.ways else np, *mixed)
        out.backward(cotangent(out))
        np.testing.assert_allclose(x.grad, everything[k], rtol=1e-12, atol=1e-14)


def test_the_table_has_every_function():
    listed = " ".join(row.name for row in TABLE)
    wanted = """exp log sqrt square sin cos tanh sigmoid relu leaky_relu softplus abs sign maximum minimum clip where sum
    mean max min prod var std logsumexp softmax log_softmax cumsum reshape transpose swapaxes squeeze expand_dims
    broadcast_to concatenate stack split flip pad take take_along_axis matmul dot outer einsum tensordot reciprocal eigh
    linear astype copy add subtract multiply divide power negative positive mul0 div0"""
    assert [name for name in wanted.split() if name not in listed] == []


# -------------------------------------------------------------------------------------- numbers and lists beside tensors

OTHERS = [
    pytest.param(other, id=str(k))
    for k, other in {
        "int": 2,
        "float": 2.5,
        "bool": True,
        "np.float32": np.float32(2.5),
        "np.float64": np.float64(2.5),
        "np.int64": np.int64(2),
        "0-d float64": np.array(2.5),
        "0-d float32": np.array(2.5, np.float32),
        "list": [1.0, 2.0, 3.0],
        "int list": [1, 2, 3],
        "tuple": (1.0, 2.0, 3.0),
        "nested": [[1.0, 2.0, 3.0], [3.0, 1.0, 2.0]],
        "float32 array": np.array([1, 2, 3], np.float32),
        "float64 array": np.array([1.0, 2.0, 3.0]),
        "int array": np.array([1, 2, 3]),
        "int8 array": np.array([1, 2, 3], np.int8),
        "bool array": np.array([True, True, False]),
    }.items()
]
OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", OPERATORS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", OTHERS)
def test_operators_with_anything_on_either_side(op, other, dtype):
    a = np.array([0.5, 1.5, 3.0], dtype)
    beside = np.asarray(other) if isinstance(other, (list, tuple)) else other
    for swap in (False, True):
        x = tt.tensor(a, requires_grad=True)
        with np.errstate(all="ignore"):
            out = op(other, x) if swap else op(x, other)
            expected = op(beside, a) if swap else op(a, beside)
        assert type(out) is tt.Tensor
        assert same(out.data, expected)
        out.sum().backward()
        assert x.grad.dtype == dtype
        h = 1e-6
        up, down = a.astype(float) + h, a.astype(float) - h
        beside64 = np.asarray(beside, float)
        with np.errstate(all="ignore"):
            numeric = (op(beside64, up) - op(beside64, down) if swap else op(up, beside64) - op(down, beside64)) / (
                2 * h
            )
        numeric = np.nan_to_num(numeric).sum(0) if numeric.ndim == 2 else numeric
        finite = np.isfinite(numeric) & np.isfinite(x.grad)
        np.testing.assert_allclose(x.grad[finite], numeric[finite], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("left", [np.eye(2), [[1.0, 0.0], [0.0, 1.0]], np.ones((3, 2), np.float32)])
def test_matmul_with_an_array_on_either_side(left):
    x = tt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    out = left @ x
    assert type(out) is tt.Tensor
    assert same(out.data, np.asarray(left) @ x.data)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad, np.asarray(left).T @ np.ones(out.shape))
    right = x @ np.asarray(left).T
    assert same(right.data, x.data @ np.asarray(left).T)


@pytest.mark.parametrize("op", [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne])
@pytest.mark.parametrize("other", [2, 2.0, [1.0, 2.0, 3.0], np.array([3.0, 2.0, 1.0]), np.array([[1.0], [2.0]])])
def test_comparisons_are_elementwise_and_have_no_gradient(op, other):
    a = np.array([1.0, 2.0, 3.0])
    x = tt.tensor(a, requires_grad=True)
    for out, expected in [(op(x, other), op(a, np.asarray(other))), (op(other, x), op(np.asarray(other), a))]:
        assert same(out.data, expected)
        assert not out.requires_grad
    y = tt.tensor(other, requires_grad=False)
    assert same(op(x, y).data, op(a, np.asarray(other)))


# ----------------------------------------------------------------------------------------------------- kinks and ties


def grad(f: Callable[..., Any], *xs: Any) -> Any:
    """∂f/∂x₀ as plain numbers."""
    return tt.grad(lambda *a: np.sum(f(*a)))(*[np.asarray(x, float) for x in xs]).tolist()


def second(f: Callable[..., Any], x: Any) -> Any:
    """The gradient of the sum of the gradient."""
    return tt.grad(lambda a: np.sum(tt.grad(lambda b: np.sum(f(b)))(a)))(np.asarray(x, float)).tolist()


def hessian(f: Callable[..., Any], x: Any) -> list[Any]:
    x = np.asarray(x, float)
    return [tt.grad(lambda a, i=i: tt.grad(f)(a)[i])(x).tolist() for i in range(len(x))]


def test_relu_at_zero_is_zero():
    assert grad(tt.relu, [-1.0, 0.0, -0.0, 2.0]) == [0, 0, 0, 1]
    assert second(tt.relu, [-1.0, 0.0, 2.0]) == [0, 0, 0]


def test_leaky_relu_at_zero_is_the_slope():
    assert grad(lambda x: tt.leaky_relu(x, 0.2), [-1.0, 0.0, 2.0]) == [0.2, 0.2, 1]


def test_abs_at_zero_is_zero():
    assert grad(np.abs, [-3.0, 0.0, -0.0, 3.0]) == [-1, 0, 0, 1]
    assert second(np.abs, [-3.0, 0.0, 3.0]) == [0, 0, 0]


def test_sign_has_derivative_zero():
    assert grad(np.sign, [-3.0, 0.0, 3.0]) == [0, 0, 0]


@pytest.mark.parametrize("f", [np.maximum, np.minimum], ids=["maximum", "minimum"])
def test_a_tie_gives_half_to_each(f):
    x, y = leaves([np.array([1.0, 2.0]), np.array([1.0, 2.0])])
    f(x, y).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [0.5, 0.5]
    assert grad(lambda x: f(x, x), [1.0, -2.0]) == [1, 1]
    assert grad(lambda x: f(x, 0), [0.0]) == [0.5]


def test_max_and_min_share_a_tie_evenly():
    assert grad(np.max, [3.0, 1.0, 3.0, 3.0]) == [1 / 3, 0, 1 / 3, 1 / 3]
    assert grad(np.min, [1.0, 1.0, 3.0]) == [0.5, 0.5, 0]
    assert grad(lambda x: x.max(axis=0), [[1.0, 2.0], [1.0, 3.0]]) == [[0.5, 0], [0.5, 1]]
    assert hessian(np.max, [3.0, 1.0, 3.0]) == [[0, 0, 0]] * 3


def test_max_of_nan_goes_to_the_nans():
    assert grad(np.max, [NAN, 1.0, NAN]) == [0.5, 0, 0.5]


def test_clip_at_its_bounds_is_one():
    assert grad(lambda x: np.clip(x, 0, 1), [-0.5, 0.0, 0.5, 1.0, 1.5]) == [0, 1, 1, 1, 0]


def test_clip_bounds_take_the_gradient_where_they_are_active():
    x, lo, hi = leaves([np.array([-1.0, 0.5, 3.0]), np.array(0.0), np.array(1.0)])
    np.clip(x, lo, hi).sum().backward()
    assert (x.grad.tolist(), lo.grad.item(), hi.grad.item()) == ([0, 1, 0], 1, 1)
    x, lo, hi = leaves([np.array([0.0, 1.0]), np.array(2.0), np.array(1.0)])  # lo > hi: NumPy gives hi
    out = np.clip(x, lo, hi)
    out.sum().backward()
    assert out.tolist() == [1, 1]
    assert (x.grad.tolist(), lo.grad.item(), hi.grad.item()) == ([0, 0], 0, 2)


def test_clip_without_bounds_is_a_copy():
    assert tt.clip(tt.tensor([1.0])).tolist() == np.clip([1.0]).tolist() == [1.0]


@pytest.mark.parametrize(
    ("x", "first", "matrix"),
    [
        ([1.0, 2.0, 3.0], [6, 3, 2], [[0, 3, 2], [3, 0, 1], [2, 1, 0]]),
        ([0.0, 2.0, 3.0], [6, 0, 0], [[0, 3, 2], [3, 0, 0], [2, 0, 0]]),
        ([0.0, 0.0, 3.0], [0, 0, 0], [[0, 3, 0], [3, 0, 0], [0, 0, 0]]),
        ([0.0, 0.0, 0.0], [0, 0, 0], [[0, 0, 0]] * 3),
        ([5.0], [1], [[0]]),
    ],
)
def test_prod_with_zeros(x, first, matrix):
    assert grad(np.prod, x) == first
    assert hessian(np.prod, x) == matrix


def test_prod_with_zeros_along_an_axis():
    x = np.array([[0.0, 2.0, 3.0], [4.0, 0.0, 0.0]])
    assert grad(lambda x: np.prod(x, axis=1), x) == [[6, 0, 0], [0, 0, 0]]
    assert grad(lambda x: np.prod(x, axis=0), x) == [[4, 0, 0], [0, 2, 3]]
    third = tt.grad(lambda a: tt.grad(lambda b: tt.grad(np.prod)(b)[0])(a)[1])(np.zeros(3))
    assert third.tolist() == [0, 0, 1]


@quiet
def test_std_of_constants_is_zero():
    assert grad(np.std, [2.0, 2.0, 2.0]) == [0, 0, 0]
    assert grad(lambda x: x.std(axis=0), [[1.0, 2.0], [1.0, 4.0]]) == [[0, -0.5], [0, 0.5]]
    assert grad(np.var, [2.0, 2.0]) == [0, 0]
    assert grad(np.std, [2.0]) == [0]
    assert hessian(np.std, [2.0, 2.0]) == [[0, 0], [0, 0]]


# A branch that is not taken: 0, in the first and in the second derivative.
BRANCHES = {
    "sqrt": (lambda x: np.where(x > 0, np.sqrt(x), 0.0), 0.25, -1 / 32),
    "log": (lambda x: np.where(x > 0, np.log(x), 0.0), 0.25, -1 / 16),
    "1/x": (lambda x: np.where(x > 0, 1 / x, 0.0), -1 / 16, 1 / 32),
    "x/x": (lambda x: np.where(x > 0, x / x, 0.0), 0.0, 0.0),
    "reciprocal": (lambda x: np.where(x > 0, np.reciprocal(x), 0.0), -1 / 16, 1 / 32),
    "x ** -1": (lambda x: np.where(x > 0, x**-1, 0.0), -1 / 16, 1 / 32),
    "x ** 0.5": (lambda x: np.where(x > 0, x**0.5, 0.0), 0.25, -1 / 32),
    "x ** 1.5": (lambda x: np.where(x > 0, x**1.5, 0.0), 3.0, 3 / 8),
    "x ** x": (lambda x: np.where(x > 0, x**x, 0.0), 256 * (1 + np.log(4)), 256 * ((1 + np.log(4)) ** 2 + 0.25)),
    "log of abs": (lambda x: np.where(x > 0, np.log(np.abs(x)), 0.0), 0.25, -1 / 16),
    "nested": (lambda x: np.where(x > 0, np.log(np.sqrt(x)), 0.0), 0.125, -1 / 32),
}


@quiet
@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_that_is_not_taken(name):
    f, first, twice = BRANCHES[name]
    x = np.array([0.0, -1.0, 4.0])
    np.testing.assert_allclose(grad(f, x), [0, 0, first], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(second(f, x), [0, 0, twice], rtol=1e-12, atol=1e-12)


@quiet
def test_sqrt_times_a_mask():
    def f(x: Any) -> Any:
        return np.sqrt(x) * np.array([0.0, 1.0])

    assert grad(f, [0.0, 4.0]) == [0, 0.25]
    assert second(f, [0.0, 4.0]) == [0, -1 / 32]


@quiet
def test_division_under_a_mask():
    def f(x: Any, y: Any) -> Any:
        return np.where(y != 0, x / y, 0.0)

    x, y = np.array([0.0, 1.0, 4.0]), np.array([0.0, 0.0, 2.0])
    gx, gy = tt.grad(lambda x, y: np.sum(f(x, y)), (0, 1))(x, y)
    assert (gx.tolist(), gy.tolist()) == ([0, 0, 0.5], [0, 0, -1])
    for k, expected in [(0, [[0, 0, 0], [0, 0, -0.25]]), (1, [[0, 0, -0.25], [0, 0, 1]])]:
        again = tt.grad(lambda x, y, k=k: np.sum(tt.grad(lambda a, b: np.sum(f(a, b)), k)(x, y)), (0, 1))(x, y)
        assert [g.tolist() for g in again] == expected


@quiet
def test_singularities_that_count_are_not_hidden():
    assert grad(np.sqrt, [0.0]) == [INF]
    assert grad(np.log, [0.0]) == [INF]
    assert grad(lambda x: 1 / x, [0.0]) == [-INF]
    assert grad(lambda x: x**0.5, [0.0]) == [INF]


@quiet
def test_power_at_zero():
    assert grad(lambda x: x ** np.array([0.0, 1.0, 2.0, 3.0]), [0.0] * 4) == [0, 1, 0, 0]
    for n, first, twice in [(0, 0, 0), (1, 1, 0), (2, 0, 2), (3, 0, 0), (4, 0, 0), (1.5, 0, INF)]:
        assert grad(lambda x, n=n: x**n, [0.0]) == [first]
        assert second(lambda x, n=n: x**n, [0.0]) == [twice]
        assert grad(lambda x, n=n: x ** np.float64(n), [0.0]) == [first]
    # with respect to the exponent: 0ʸ is 0 (or 1) to the right
    assert grad(lambda y, x: x**y, [0.0, 1.0, 2.0], [0.0, 0.0, 0.0]) == [0, 0, 0]
    assert grad(lambda y: 0.0**y, [0.0, 2.0]) == [0, 0]
    assert grad(lambda x: x**2, [-3.0]) == [-6]
    assert grad(lambda x: x**3.0, [-3.0]) == [27]


@quiet
def test_logsumexp_of_minus_infinity():
    assert tt.logsumexp(np.array([-INF, -INF])) == -INF
    assert grad(tt.logsumexp, [-INF, -INF]) == [0, 0]
    assert grad(tt.logsumexp, [-INF, 1.0]) == [0, 1]
    assert tt.logsumexp(np.array([INF, 1.0])) == INF
    matrix = hessian(tt.logsumexp, [-INF, 0.0, 0.0])
    assert matrix == [[0, 0, 0], [0, 0.25, -0.25], [0, -0.25, 0.25]]


@quiet
def test_softmax_of_huge_numbers():
    x = np.array([1e308, -1e308, 1e308])
    assert tt.softmax(x).tolist() == [0.5, 0, 0.5]
    assert tt.logsumexp(np.array([1000.0, 1000.0])) == pytest.approx(1000 + np.log(2), rel=1e-15)
    assert grad(tt.logsumexp, [1e30, -1e30]) == [1, 0]
    assert tt.log_softmax(np.array([0.0, 1000.0])).tolist() == [-1000, 0]
    assert grad(lambda x: tt.softmax(x)[0], [0.0, 0.0]) == [0.25, -0.25]
    np.testing.assert_array_equal(tt.sigmoid(np.array([-1e308, -800.0, 0.0, 800.0, INF, -INF])), [0, 0, 0.5, 1, 1, 0])
    assert tt.sigmoid(np.float32([-200.0, 200.0])).tolist() == pytest.approx([0, 1], abs=1e-37)
    assert tt.softplus(np.array([-1000.0, 1000.0])).tolist() == [0, 1000]
    assert grad(tt.sigmoid, [-800.0, 0.0, 800.0]) == [0, 0.25, 0]
    assert grad(tt.softplus, [-800.0, 0.0, 800.0]) == [0, 0.5, 1]
    assert grad(np.tanh, [-800.0, 0.0, 800.0]) == [0, 1, 0]


def test_masks_of_minus_infinity_in_softmax():
    x = np.array([-INF, 0.0, 0.0])
    assert tt.softmax(x).tolist() == [0, 0.5, 0.5]
    assert grad(lambda x: tt.softmax(x)[1], x) == [0, 0.25, -0.25]
    assert second(lambda x: tt.softmax(x)[1] ** 2, x) == pytest.approx([0, 0, 0])
    assert grad(lambda x: -tt.log_softmax(x)[1], x) == [0, -0.5, 0.5]
    scores = tt.tensor(np.zeros((2, 2)), requires_grad=True)
    attention = tt.softmax(tt.where(np.tri(2, dtype=bool), scores, -INF))
    (attention * np.array([[1.0, 2.0], [3.0, 5.0]])).sum().backward()
    np.testing.assert_allclose(scores.grad, [[0, 0], [-0.5, 0.5]])


@quiet
def test_empty_reductions():
    assert tt.sum(np.zeros(0)) == 0
    assert tt.prod(np.zeros((0, 2)), axis=0).tolist() == [1, 1]
    assert np.isnan(tt.mean(tt.zeros(0)).item())
    assert tt.logsumexp(np.zeros((2, 0)), axis=1).tolist() == [-INF, -INF]
    assert tt.softmax(tt.zeros((2, 0))).shape == (2, 0)
    for f in (tt.max, tt.min):
        with pytest.raises(ValueError, match="zero-size array"):
            f(tt.zeros(0))
    x = tt.tensor(np.zeros((0, 2)), requires_grad=True)
    tt.prod(x, axis=0).sum().backward()
    assert x.grad.shape == (0, 2)


def test_repeated_indices_accumulate():
    assert grad(lambda x: x[[0, 0, 2, 0]], [1.0, 2.0, 3.0]) == [3, 0, 1]
    assert grad(lambda x: np.take(x, [[1, 1], [1, 0]]), [1.0, 2.0]) == [1, 3]
    assert grad(lambda x: x[[0, 0], [1, 1]], np.ones((2, 2))) == [[0, 2], [0, 0]]
    assert second(lambda x: x[[0, 0, 1]] ** 2, [1.0, 2.0]) == [4, 2]


def test_a_boolean_is_a_mask_not_a_number():
    x = np.arange(6.0).reshape(2, 3)
    assert grad(lambda x: x[True], x) == np.ones((2, 3)).tolist()
    assert tt.tensor(x)[[True, False]].tolist() == [[0, 1, 2]]
    assert tt.tensor(x)[np.array([True, True]), 0].tolist() == [0, 3]
    assert grad(lambda x: x[np.array([True, True]), 0], x) == [[1, 0, 0], [1, 0, 0]]


def test_setitem_with_duplicates_keeps_the_last():
    x, v = leaves([np.zeros(3), np.array([1.0, 2.0, 3.0])])
    y = x * 2
    y[[0, 0, 1]] = v
    (y * np.array([1.0, 10.0, 100.0])).sum().backward()
    assert y.tolist() == [2, 3, 0]
    assert (x.grad.tolist(), v.grad.tolist()) == ([0, 0, 200], [0, 1, 10])


def test_setitem_drops_leading_axes_of_the_value_as_numpy_does():
    x, v = leaves([np.zeros((2, 3)), np.ones((1, 1, 3))])
    y = x * 2
    y[0] = v
    y.sum().backward()
    assert x.grad.tolist() == [[0, 0, 0], [2, 2, 2]]
    assert v.grad.shape == (1, 1, 3)


def test_eigh_warns_where_vectors_have_no_derivative():
    x = tt.tensor(np.eye(2), requires_grad=True)
    w, v = np.linalg.eigh(x)
    with pytest.warns(RuntimeWarning, match="eigenvalues are equal"):
        (v * np.array([[1.0, 2.0], [3.0, 4.0]])).sum().backward(retain_graph=True)
    x.grad = None
    w.sum().backward()  # the sum of the eigenvalues is the trace, also here
    np.testing.assert_allclose(x.grad, np.eye(2))


def test_eigh_with_an_output_that_is_not_used():
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    for k in (0, 1):
        x = tt.tensor(a, requires_grad=True)
        (np.linalg.eigh(x)[k] ** 3).sum().backward()
        assert np.isfinite(x.grad).all()
        assert x.grad.any()


def test_masked_batches_of_matrices_keep_the_weight_gradient_small():
    """(B, M, K) @ (K, N): one product over all batches, not B of them summed."""
    x, w = leaves([apart((5, 2, 3), 0), apart((3, 4), 1)])
    (x @ w).sum().backward()
    np.testing.assert_allclose(w.grad, x.data.reshape(-1, 3).T @ np.ones((10, 4)), rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tt.sum(x, axis=2), np.exceptions.AxisError, "axis 2"),
        (lambda x: tt.sum(x, axis=(0, 0)), ValueError, "axis"),
        (lambda x: tt.reshape(x, (4, 2)), ValueError, "reshape"),
        (lambda x: tt.take(x, [0], axis=5), np.exceptions.AxisError, "axis 5 is out of bounds"),
        (lambda x: tt.take(x, [7]), IndexError, "7"),
        (lambda x: tt.take_along_axis(x, np.array([0]), axis=0), ValueError, "take_along_axis: indices must have the 2"),
        (lambda x: tt.split(x, 4, axis=1), ValueError, "split: an axis of length 3 cannot be cut into 4"),
        (lambda x: tt.split(x, 3, axis=2), np.exceptions.AxisError, "split: axis 2"),
        (lambda x: tt.pad(x, -1), ValueError, "pad: widths must not be negative"),
        (lambda x: tt.pad(x, 1, mode="empty"), ValueError, "pad: mode has no values to differentiate"),
        (lambda x: tt.einsum("ij,jk", x), ValueError, "(names 2 operands, got 1|more operands)"),
        (lambda x: tt.einsum("i", x), ValueError, "subscripts"),
        (lambda x: tt.tensordot(x, x, axes=1), ValueError, "tensordot: shapes"),
        (lambda x: tt.linear(x, tt.ones((4, 2))), ValueError, "linear: expected x"),
        (lambda x: x @ x, ValueError, "matmul"),
        (lambda x: x + tt.ones((2, 2)), ValueError, "broadcast"),
        (lambda x: tt.concatenate([x, tt.ones((2, 2))]), ValueError, "(concatenat|dimension)"),
        (lambda x: x[1.0], IndexError, "integers"),
        (lambda x: x[np.array([0.5])], IndexError, "integers or booleans"),
        (lambda x: x[5], IndexError, "out of bounds"),
        (lambda x: x + "a", TypeError, "expected a number, an array or a tensor, got str"),
        (lambda x: x + None, TypeError, "got NoneType"),
        (lambda x: x * {1}, TypeError, "got set"),
        (lambda x: tt.leaky_relu(x, tt.tensor(0.1, requires_grad=True)), TypeError, "has no derivative.*detach"),
    ],
)  # fmt: skip
def test_errors_are_clear(call, error, message):
    with pytest.raises(error, match=message):
        call(tt.tensor(np.ones((2, 3)), requires_grad=True))
