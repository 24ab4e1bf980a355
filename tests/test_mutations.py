"""The tests' own test: every rule of every primitive is made wrong by 1 %, and something must notice."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import graph
from tinytensor.catalogue import FAMILIES
from tinytensor.ops import (
    activations,
    attention,
    elementwise,
    embedding,
    normalization,
    pieces,
    recurrent,
    scans,
    solving,
    special,
)
from tinytensor.primitive import OPS, Op
from tinytensor.testing import check_grads
from tinytensor.testing.gradcheck import leaves_of

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

RULES = [
    (key, k)
    for key, op in sorted(OPS.items())
    if key.startswith(("tinytensor.ops.", "tinytensor.primitive.", "tinytensor.tape."))
    for k in range(len(op.pulls))
]

#: Functions with derivative 0, of which 1 % more is still 0.
ZERO = {
    ("pieces", "heaviside", 1), ("pieces", "copysign", 1), ("pieces", "nextafter", 1),
    ("elementwise", "floor_divide", 0), ("elementwise", "floor_divide", 1),
    ("scans", "others", 1), ("scans", "_pull_products", 2), ("distributions", "uniform_logpdf", 0),
    ("gamma", "gammasgn", 0), ("statistics", "_shares", 0),
    *[("pieces", name, 0) for name in ("heaviside", "round", "rint", "floor", "ceil", "trunc", "sign", "spacing", "_whole")],
}  # fmt: skip

Witness = Callable[[], Any]
X, Y = np.array([0.3, 1.2, 0.7]), np.array([1.5, 0.4, 2.0])

SCALES = np.linspace(0.4, 1.0, 7)


def one_unit(states: int, gates: int) -> list[np.ndarray[Any, Any]]:
    """Two steps of one sequence, first states, weights and biases of one unit."""
    return [X[:2, None, None], *[np.ones((1, 1))] * states, *[np.ones((gates, 1))] * 2, *[np.ones(gates)] * 2]


#: Rules that no function of the catalogue runs.
DIRECTED: dict[str, Witness] = {
    "elementwise._both0": lambda: check_grads(elementwise._both0, X, Y),
    "elementwise._keep": lambda: check_grads(lambda x: elementwise._keep(x, X > 0.5), X),
    "pieces._shared": lambda: check_grads(lambda x: pieces._shared(x, X > 1, X < 0.5), X),
    "scans.recurrence": lambda: check_grads(scans.recurrence, X, Y),
    "activations._softplus": lambda: check_grads(tt.nn.functional.softplus, X),
    "activations.logsigmoid": lambda: check_grads(tt.nn.functional.logsigmoid, X),
    "activations.normal_cdf": lambda: check_grads(activations.normal_cdf, X),
    "activations._tanh_gate": lambda: check_grads(activations._tanh_gate, X),
    "activations._silu": lambda: check_grads(tt.nn.functional.silu, X),
    "activations._mish_gate": lambda: check_grads(activations._mish_gate, X),
    "activations._prelu": lambda: check_grads(activations._prelu, X - 1, Y - 1),
    "activations.hardsigmoid": lambda: check_grads(activations.hardsigmoid, X),
    "activations.hardswish": lambda: check_grads(activations.hardswish, X),
    "activations._hardshrink": lambda: check_grads(tt.nn.functional.hardshrink, X),
    "activations._softshrink": lambda: check_grads(tt.nn.functional.softshrink, X),
    "activations.tanhshrink": lambda: check_grads(activations.tanhshrink, X),
    "activations._threshold": lambda: check_grads(lambda x: tt.nn.functional.threshold(x, 0.5, 2.0), X),
    "activations.hardtanh": lambda: check_grads(
        activations.hardtanh, np.array([0.3, 1.2, -0.7]), np.array(-0.5), np.array(0.9)
    ),
    "normalization._normalized": lambda: check_grads(
        lambda x, w, b: normalization.layer_norm(x, 3, w, b), X[None] * [[1], [2]] + Y, X, Y
    ),
    "normalization._root_mean_square": lambda: check_grads(lambda x: normalization._root_mean_square(x, 1e-5), X),
    "embedding._embedding": lambda: check_grads(lambda w: embedding.embedding([0, 2, 2], w), X[:, None]),
    "embedding._added_rows": lambda: check_grads(
        lambda x: embedding._added_rows(x, np.array([0, 2, 2]), None, (3, 1)), X[:, None]
    ),
    "attention.attention": lambda: check_grads(
        lambda *a: attention.attention(*a, None, 1.0)[0], X[:, None], Y[:, None], X[:, None], X
    ),
    "attention.packed_attention": lambda: check_grads(
        lambda x, mask: attention.packed_attention(x, mask, None, 1, 1.0, True)[0], np.stack([X, Y]), np.eye(2)
    ),
    "recurrent._rnn": lambda: check_grads(
        recurrent.rnn, *[scale * a for a, scale in zip(one_unit(1, 1), SCALES, strict=False)]
    ),
    "recurrent._lstm": lambda: check_grads(
        recurrent.lstm, *[scale * a for a, scale in zip(one_unit(2, 4), SCALES, strict=False)]
    ),
    "recurrent._gru": lambda: check_grads(
        recurrent.gru, *[scale * a for a, scale in zip(one_unit(1, 3), SCALES, strict=False)]
    ),
    "missing._extreme": lambda: check_grads(lambda x: tt.nanmax(x, initial=0.0), X),
    "solving._second": lambda: check_grads(solving._second, np.diag(X) + 0.1, np.stack([Y, X, X * Y])),
    "special._tail_slope": lambda: check_grads(lambda x: special._tail_slope(x, 1, -1), 13 + X),
    **dict.fromkeys(
        ["conv._conv", "conv._back", "conv._kernel"],
        lambda: check_grads(
            lambda x, w, b: np.tanh(tt.nn.functional.conv1d(x, w, b)), X[None, None], Y[None, None, :2], Y[:1]
        ),
    ),
    **dict.fromkeys(
        ["pooling._avg_pool", "pooling._shared"],
        lambda: check_grads(lambda x: np.tanh(tt.nn.functional.avg_pool1d(x, 2, 1)), X[None, None]),
    ),
    **dict.fromkeys(
        ["pooling._max_pool", "pooling._placed", "pooling._picked"],
        lambda: check_grads(lambda x: np.tanh(tt.nn.functional.max_pool1d(x, 2, 1)), X[None, None], order=3),
    ),
}


def scaled(monkeypatch: pytest.MonkeyPatch, op: Op, k: int, factor: float) -> None:
    """Make the rule of input k wrong by a factor, in all of its forms."""

    def with_wrong(rules: Any, rule: Any) -> Any:
        made = type(rules)(rules)
        list.__setitem__(made, k, rule)
        return made

    right = list.__getitem__(op.pulls, k)
    monkeypatch.setattr(op, "pulls", with_wrong(op.pulls, lambda g, saved, i: right(g, saved, i) * factor))
    if op.into is not None and (into := list.__getitem__(op.into, k)) is not None:
        monkeypatch.setattr(
            op, "into", with_wrong(op.into, lambda g, saved, accumulator: into(g * factor, saved, accumulator))
        )
    if op.joint is not None:
        joint = op.joint

        def wrong(g: Any, saved: Any, i: Any) -> list[Any]:
            found = list(joint(g, saved, i))
            found[k] = found[k] if found[k] is None else found[k] * factor
            return found

        monkeypatch.setattr(op, "joint", wrong)


def recorded(outs: Any) -> set[tuple[str, int]]:
    """The rules that the history of these results would run: (op, input) pairs."""
    found = set()
    for out in leaves_of(outs):
        if isinstance(out, tt.Tensor) and out._node is not None:
            for node in graph.history(out._node):
                found |= {
                    (node.op.key, k * (not getattr(node.op, "variadic", False)))
                    for k, p in enumerate(node.parents)
                    if p is not None
                }
    return found


def catalogued() -> Iterator[tuple[Any, list[np.ndarray[Any, Any]], int]]:
    for family in FAMILIES.values():
        for e in family:
            for c in e.cases if e.order else ():
                for shapes in c.shapes[:3]:
                    yield (lambda *xs, c=c: c.f(tt, *xs)), c.inputs(shapes, e.domain), e.order


def squares(outs: Any) -> Any:
    return sum(
        (tt.sum(o * o) for o in leaves_of(outs) if isinstance(o, tt.Tensor) and o.dtype.kind == "f"), tt.tensor(0.0)
    )


@pytest.fixture(scope="module")
def witnesses() -> tuple[dict[Any, list[Witness]], dict[Any, list[Witness]]]:
    """Checks that run a rule: in a first derivative, or only in a second one."""
    first, second = defaultdict(list), defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for f, arrays, order in catalogued():
            leaves = [tt.tensor(a, requires_grad=True) for a in arrays]
            seen = recorded(f(*leaves))
            for rule in seen:
                first[rule].append(partial(check_grads, f, *arrays, order=1))
            if order > 1:
                slopes = tt.grad(lambda *xs, f=f: squares(f(*xs)), tuple(range(len(arrays))), create_graph=True)
                for rule in recorded(slopes(*leaves)):
                    second[rule].append(partial(check_grads, f, *arrays, order=2))
    return first, second


def notices(check: Witness) -> bool:
    try:
        check()
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("key, k", RULES, ids=[f"{key.removeprefix('tinytensor.')}-{k}" for key, k in RULES])
def test_a_rule_wrong_by_a_hundredth_is_caught(
    monkeypatch: pytest.MonkeyPatch, witnesses: Any, key: str, k: int
) -> None:
    op = OPS[key]
    scaled(monkeypatch, op, k, 1.01)
    rule, (module, name) = (key, k), key.split(".")[-2:]
    if (module, name, k) in ZERO:
        assert not any(map(notices, witnesses[0][rule])), "its derivative is not 0"
        return
    if f"{module}.{name}" in DIRECTED:
        assert notices(DIRECTED[f"{module}.{name}"])
        return
    assert any(map(notices, witnesses[0][rule][:40])) or any(map(notices, witnesses[1][rule][:20])), (
        f"the rule of input {k} of {key} may be wrong by 1 %, and {len(witnesses[0][rule])} first and "
        f"{len(witnesses[1][rule])} second derivatives that run it pass"
    )


def test_directed_checks_pass_with_the_right_rules() -> None:
    for check in DIRECTED.values():
        check()
