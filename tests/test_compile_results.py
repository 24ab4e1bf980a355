"""What a compiled function hands out: results with a graph, gradients that are lent, arrays that nobody writes again."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.nn import functional as F

RNG = np.random.default_rng(7)


def network(seed: int = 0) -> nn.Sequential:
    tt.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))


def equal(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b))


# ------------------------------------------------------------------------------------------------- results with a graph


def test_a_compiled_model_goes_back_as_the_plain_one_does() -> None:
    model, x = network(), RNG.random((5, 4)).astype("f")
    compiled = tt.compile(model)
    for seed in range(4):
        found = []
        for f in (model, compiled):
            tt.manual_seed(seed)
            model.zero_grad()
            out = f(x)
            (out * out).sum().backward()
            found.append([out.data, *(p.grad.copy() for p in model.parameters())])
        assert all(map(equal, *found))


def test_several_results_and_tensors_as_arguments() -> None:
    def f(u: Any, w: Any) -> Any:
        h = np.tanh(u @ w)
        return h, {"s": (h * u.sum()).sum(), "k": 5}

    compiled = tt.compile(f)
    u, w = tt.tensor(RNG.random((3, 3)), requires_grad=True), tt.tensor(RNG.random((3, 2)), requires_grad=True)
    for _ in range(3):
        found = []
        for g in (f, compiled):
            u.grad = w.grad = None
            h, other = g(u * 2, w)
            (h.sum() * 3 + other["s"]).backward()
            found.append((u.grad, w.grad))
        assert all(map(equal, *found))
    h, _ = compiled(u * 2, w)
    h.sum().backward()  # the other result has no cotangent
    with pytest.raises(RuntimeError, match="second time"):
        h.sum().backward()


def test_two_calls_before_either_goes_back() -> None:
    w = tt.tensor(RNG.random(3), requires_grad=True)
    f = tt.compile(lambda x: np.exp(w * x))
    a, b = f(np.ones(3)), f(2 * np.ones(3))
    a.sum().backward()
    first, w.grad = w.grad, None
    b.sum().backward()
    assert np.allclose(first, np.exp(w.data)) and np.allclose(w.grad, 2 * np.exp(2 * w.data))


def test_without_recording_nothing_is_kept() -> None:
    model, x = network().eval(), RNG.random((2, 4)).astype("f")
    f = tt.compile(model)
    assert f(x).requires_grad
    with tt.no_grad():
        assert not f(x).requires_grad


def test_a_second_derivative_of_a_compiled_function_is_refused() -> None:
    f = tt.compile(lambda x: (x**3).sum())
    x = tt.tensor([2.0], requires_grad=True)
    with pytest.raises(NotImplementedError, match="compile the function that takes both"):
        tt.grad(lambda v: tt.grad(lambda u: f(u * 1.0))(v).sum())(x)


def test_a_changed_parameter_is_noticed_by_backward() -> None:
    w = tt.tensor(RNG.random(3), requires_grad=True)
    out = tt.compile(lambda x: w * w * x)(np.ones(3))
    with tt.no_grad():
        w += 1.0
    with pytest.raises(RuntimeError, match="overwritten"):
        out.sum().backward()


# ------------------------------------------------------------------------------------------------------------ gradients


def trained(compiled: bool, make: Any, keep: Any = lambda model: None, steps: int = 6) -> Any:
    tt.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = make(model.parameters())
    x, y = np.random.default_rng(1).random((10, 4), np.float32), np.arange(10) % 3

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    run = tt.compile(step) if compiled else step
    losses, kept = [], []
    for _ in range(steps):
        losses.append(run(x, y).item())
        kept.append(keep(model))
    return losses, kept, model, run


KEEPERS = {
    "gradient": lambda m: [p.grad for p in m.parameters()],
    "view": lambda m: [p.grad[:1] for p in m.parameters()],
    "tensor": lambda m: [tt.from_numpy(p.grad) for p in m.parameters()],
}


@pytest.mark.parametrize("what", KEEPERS)
@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, lr=0.1), lambda p: optim.Adam(p)], ids=["SGD", "Adam"])
def test_a_gradient_that_is_kept_stays_what_it_was(make: Any, what: str) -> None:
    def values(kept: Any) -> Any:
        return [[np.array(getattr(g, "data", g)) for g in each] for each in kept]

    _, plain, _, _ = trained(False, make, KEEPERS[what])
    losses, found, _, _ = trained(True, make, KEEPERS[what])
    assert len(set(losses)) == len(losses)
    for a, b in zip(values(plain), values(found), strict=True):
        assert all(map(equal, a, b))


def test_a_gradient_that_nobody_keeps_is_written_into_the_same_memory() -> None:
    _, _, model, run = trained(True, lambda p: optim.Adam(p))
    where = [p.grad.__array_interface__["data"][0] for p in model.parameters()]
    x, y = np.random.default_rng(1).random((10, 4), np.float32), np.arange(10) % 3
    run(x, y)
    assert where == [p.grad.__array_interface__["data"][0] for p in model.parameters()]
    gaps = np.diff(sorted(where))
    sizes = [p.grad.nbytes for p in sorted(model.parameters(), key=lambda p: p.grad.__array_interface__["data"][0])]
    assert list(gaps) == sizes[:-1]  # one after the other: no gathering


def test_the_update_is_one_formula_over_all_parameters() -> None:
    _, _, _, run = trained(True, lambda p: optim.Adam(p))
    lines = [line for line in run.source().splitlines() if "sqrt(" in line and "def" not in line]
    assert len(lines) == 1
    assert "concatenate(" not in run.source().split("def step")[1]


# -------------------------------------------------------------------------------------------------------------- results


def test_results_are_not_written_again() -> None:
    f = tt.compile(lambda x: {"a": x * 2, "b": (x + 1).reshape(-1), "s": x.sum()})
    kept = [f(np.full((2, 3), float(k))) for k in range(4)]
    for k, each in enumerate(kept):
        assert equal(each["a"], np.full((2, 3), 2.0 * k)) and equal(each["b"], np.full(6, k + 1.0))
        assert each["s"] == 6.0 * k and type(each["s"]) is np.float64


def test_calls_like_the_last_one_are_known_by_more_than_their_shape() -> None:
    f = tt.compile(lambda x, y, k, name: x * y + k if name == "plus" else x - y)
    a, b = np.arange(3.0), np.ones(3)
    for args, expected in [
        ((a, b, 2, "plus"), a + 2), ((a, b, 3, "plus"), a + 3), ((a, b, 2.5, "plus"), a + 2.5), ((a, b, 4.5, "plus"), a + 4.5),
        ((a, a, 2, "plus"), a * a + 2), ((a, b, 2, "minus"), a - b), ((a.astype("f"), b, 2, "plus"), a + 2),
        ((a[::-1], b, 2, "plus"), a[::-1] + 2), ((a, b, True, "plus"), a + 1), ((a[:2], b[:2], 2, "plus"), a[:2] + 2),
    ]:  # fmt: skip
        assert equal(f(*args), expected)
    assert equal(f(a, b, k=2, name="plus"), a + 2)


def test_an_array_handed_in_twice_is_not_two_arrays() -> None:
    def f(x: Any, y: Any) -> Any:
        x += 1
        return x + y

    g, a = tt.compile(f), np.zeros(2)
    assert equal(g(a, a), [2.0, 2.0]) and equal(a, [1.0, 1.0])
    b = np.zeros(2)
    assert equal(g(a, b), [2.0, 2.0]) and equal(b, [0.0, 0.0])


def test_too_many_plans_are_said_and_forgotten() -> None:
    f = tt.compile(lambda x: x + 1, max_plans=8)
    with pytest.warns(RuntimeWarning, match="was traced 8 times"):
        for n in range(1, 12):
            f(np.zeros(n))
    assert sum(map(len, f._plans.values())) == 8


def test_a_compiled_function_does_not_keep_its_arguments() -> None:
    f, x = tt.compile(lambda x: np.tanh(x) * 2), np.ones(5)
    f(x)
    f(x)
    gc.collect()
    assert sys.getrefcount(x) == 2


def test_a_module_is_a_program_of_its_own(tmp_path: Path) -> None:
    losses, _, _, run = trained(True, lambda p: optim.Adam(p))
    x, y = np.random.default_rng(1).random((10, 4), np.float32), np.arange(10) % 3
    (tmp_path / "program.py").write_text(run.source(), encoding="utf-8")
    np.savez(tmp_path / "state.npz", **run.state())
    np.savez(tmp_path / "batch.npz", x=x, y=y)
    script = (
        "import sys, numpy as np, program\n"
        "for name, array in np.load('state.npz').items(): program.STATE[name][...] = array\n"
        "batch = np.load('batch.npz')\n"
        "print([float(program.step(batch['x'], batch['y'])).hex() for _ in range(5)], 'tinytensor' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{[float(run(x, y).item()).hex() for _ in range(5)]} False"
    assert len(losses) == 6


# ------------------------------------------------------------------------------------------------------------ constants


@pytest.mark.parametrize("make", [
    lambda x: np.ones(3),
    lambda x: tt.tensor(np.ones(3)),
    lambda x: tt.tensor(np.arange(3.0)) * 2 + 1,
    lambda x: (tt.tensor(np.arange(6.0)) * 2)[::2],
    lambda x: [np.exp(tt.full((2, 2), 2.0)), x * 2][0],
])  # fmt: skip
def test_a_constant_that_is_handed_out_is_new_in_each_call(make: Any) -> None:
    compiled, x = tt.compile(make), np.ones(3)
    expected = tt.tensor(make(x)).data
    for _ in range(3):
        out = compiled(x)
        array = out.data if isinstance(out, tt.Tensor) else out
        assert equal(array, expected)
        array[...] = 7


def test_a_gradient_that_is_a_constant_is_new_in_each_call() -> None:
    p = tt.tensor(np.zeros(3), requires_grad=True)

    def step(x: Any) -> Any:
        p.grad = None
        loss = (p * np.arange(3.0)).sum() + x.sum()
        loss.backward()
        return loss

    compiled = tt.compile(step)
    for _ in range(4):
        compiled(np.ones(2))
        assert equal(p.grad, np.arange(3.0))
        p.grad *= 0.5


def test_an_array_from_outside_is_handed_out_itself() -> None:
    outer = np.arange(3.0)
    compiled = tt.compile(lambda x: (outer, x + 1))
    assert all(compiled(np.ones(3))[0] is outer for _ in range(3))


def test_what_follows_from_constants_is_computed_once() -> None:
    compiled = tt.compile(lambda x: x + np.exp(tt.tensor(np.arange(3.0)) * 0.5).sum(0, keepdims=True))
    x = np.ones(3)
    assert equal(compiled(x).data, compiled.function(x).data)
    assert "constant      3, computed when the plan was made" in compiled.explain()
    with pytest.warns(RuntimeWarning, match="divide by zero"):  # as often as without compiling
        warns = tt.compile(lambda x: x + np.log(tt.tensor(np.zeros(3))))
        warns(x)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        warns(x)


# ------------------------------------------------------------------------------------------------------------ clipping


def clipped(layers: int) -> tuple[Any, Any]:
    tt.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(layers)])
    optimizer = optim.Adam(model.parameters(), lr=0.01)

    def step(x: Any, scale: float) -> Any:
        loss = (model(x) ** 2).sum() * scale
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss, norm

    return model, step


@pytest.mark.parametrize("layers", [2, 12])
def test_clipping_multiplies_all_gradients_at_once(layers: int) -> None:
    x, (model, step), (other, plain) = RNG.standard_normal((5, 4)), clipped(layers), clipped(layers)
    compiled = tt.compile(step)
    for k in range(6):  # clipped, and not
        scale = 1e-4 if k % 2 else 1.0
        (a, norm), (b, wanted) = compiled(x, scale), plain(x, scale)
        assert a.item() == b.item() and float(norm) == float(wanted)
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            assert equal(p.data, q.data) and equal(p.grad, q.grad)
    lines = compiled.explain().splitlines()
    assert sum("multiply(" in line and "# scale" in line for line in lines) == 1
    assert sum("concatenate(" in line for line in lines) == 1  # for the norm, in float64


def test_gradients_that_are_clipped_twice_block_by_block() -> None:
    def make() -> tuple[Any, Any]:
        tt.manual_seed(0)
        model = nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 300))
        optimizer = optim.SGD(model.parameters(), lr=0.01)

        def step(x: Any) -> Any:
            loss = (model(x) ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            nn.utils.clip_grad_value_(model.parameters(), 1e-4)
            optimizer.step()
            return loss

        return model, step

    x, (model, step), (other, plain) = RNG.standard_normal((5, 300)), make(), make()
    compiled = tt.compile(step)
    for _ in range(4):
        assert compiled(x).item() == plain(x).item()
        for p, q in zip(model.parameters(), other.parameters(), strict=True):
            assert equal(p.data, q.data) and equal(p.grad, q.grad)
