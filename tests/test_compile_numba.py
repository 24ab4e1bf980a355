"""The Numba back end: the numbers of eager mode to rounding, on every call of the catalogue, layers, losses and programs."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_catalogue import Call
from test_compile_catalogue import ALL, first, program
from test_compile_layers import arranged, inputs_like, training_step
from test_compile_runs import program as random_program
from test_losses import IDS, ROWS
from test_torch_layers import FAMILIES, Draw

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.compiler.stand_ins import Untraceable
from tinytensor.nn import functional as F
from tinytensor.testing.gradcheck import leaves_of

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def numba(request: pytest.FixtureRequest) -> None:
    if "without" not in request.node.name:
        pytest.importorskip("numba")


def outcome(function: Callable[..., Any], arrays: list[Any]) -> Any:
    """The arrays that a function gives, or the kind of error."""
    try:
        return [np.asarray(x._data if isinstance(x, tt.Tensor) else x) for x in leaves_of(function(*arrays))]
    except Untraceable:
        raise
    except Exception as error:
        return type(error)


def close(found: Any, wanted: Any) -> None:
    """The same shapes and dtypes, the same numbers to rounding: that of sums in another order."""
    if isinstance(wanted, type):
        assert found is wanted
        return
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        if b.dtype.kind not in "fc":
            np.testing.assert_array_equal(a, b)
            continue
        scale = np.abs(b[np.isfinite(b)]).max(initial=1.0)
        tolerance = 1e-10 if b.dtype.itemsize // (1 + (b.dtype.kind == "c")) == 8 else 2e-5
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * scale)


def agree(function: Callable[..., Any], inputs: list[list[Any]], other: Callable[..., Any] | None = None) -> None:
    """``function`` compiled, and itself (or ``other``) eager, on each of the inputs."""
    compiled = tt.compile(function, backend="numba")
    for arrays in inputs:
        wanted = outcome(other or function, arrays)
        close(outcome(compiled, arrays), wanted)


def check(call: Call, order: int, dtype: Any = float) -> None:
    arrays = call.inputs(dtype)
    agree(program(call, order), [arrays, arrays, [a.reshape(-1)[::-1].reshape(a.shape).copy() for a in arrays]])


@pytest.mark.slow
@pytest.mark.parametrize("call", [p for p in ALL if first(p.values[0])][::12])
def test_calls_of_the_catalogue(call: Call) -> None:
    check(call, call.entry.order)


def check_layer(layer: Any, arrays: list[Any], options: dict[str, Any], constants: int = 0) -> None:
    other = copy.deepcopy(layer)
    steps = [[*inputs_like(arrays, k)] for k in range(3)]
    agree(training_step(other, options, constants), steps, training_step(layer, options, constants))
    for (name, ours), (_, theirs) in zip(other.named_parameters(), layer.named_parameters(), strict=True):
        assert (ours.grad is None) is (theirs.grad is None), name
        if ours.grad is not None:
            close([np.asarray(ours.grad)], [np.asarray(theirs.grad)])
    for ours, theirs in zip(other.buffers(), layer.buffers(), strict=True):
        close([np.asarray(ours)], [np.asarray(theirs)])


@pytest.fixture
def double() -> Any:
    before = nn.get_default_dtype()
    nn.set_default_dtype("float64")
    yield np.dtype(float)
    nn.set_default_dtype(before)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_layers(family: Any, double: Any) -> None:
    for seed in range(2):
        draw = Draw(seed)
        case = family(draw)
        try:
            layer, arrays, options = arranged(case, draw.yes(0.7), double)
        except ValueError:
            continue
        check_layer(layer, arrays, options)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "inputs", "constants"), ROWS[::3], ids=IDS[::3])
def test_losses(name: str, options: Any, inputs: Any, constants: Any, double: Any) -> None:
    case = (name, (), dict(options), [*inputs, *constants], {})
    check_layer(*arranged(case, True, double), len(constants))


# ------------------------------------------------------------------------------------------ where kernels begin and end


def relus(x: Any) -> Any:
    """A gradient of ones, of which integers are looked at; masks, which are smaller than numbers."""
    for _ in range(2):
        x = F.relu(x * 1.1 + 0.01)
    return (x * 0.5 + 1.0).sum()


def halves(x: Any) -> Any:
    return sum(((k + 1) * F.leaky_relu(half)).sum() for k, half in enumerate(np.split(F.relu(x * 2), 2)))


def chosen(x: Any) -> Any:
    return np.where(x > 0, x * 2, np.maximum(x * 3, -0.5)).sum()


def turned(x: Any) -> Any:
    return (F.hardtanh(2 * x.reshape(2, -1).T) * 0.5).mean()


@pytest.mark.parametrize("n", [6, 5000, 100_000, 300_000])
@pytest.mark.parametrize("loss", [relus, halves, chosen, turned])
@pytest.mark.parametrize("backend", [None, "numba"])
def test_small_masks_of_large_arrays_and_constant_gradients(loss: Any, n: int, backend: Any) -> None:
    x = np.random.default_rng(n).standard_normal(n).astype("f")
    function = tt.value_and_grad(loss)
    compiled = tt.compile(function, backend=backend)
    for given in (x, x, x[::-1].copy()):
        wanted, found = outcome(function, [given]), outcome(compiled, [given])
        close(found, wanted)
        assert backend or [a.tobytes() for a in found] == [a.tobytes() for a in wanted]


def test_an_array_that_is_read_beside_where_it_is_written() -> None:
    def shifted(x: Any) -> Any:
        y = x * 2 + 1
        y[1:] *= y[:-1]
        y[:-1] += y[1:]
        return y * 3 - 1

    agree(shifted, [[np.arange(1.0, 9.0)], [np.arange(8.0)]])


I4 = np.arange(-1, 3, dtype=np.int32)
SQUARE = np.arange(16.0).reshape(4, 4)


@pytest.mark.parametrize(
    ("f", "x"),
    [(lambda x: (x + 1) < 2**40, I4), (lambda x: (x + 1) == 2**32, I4), (lambda x: (x + 1) < 2**70, I4.astype(int)),
     (lambda x: 1 / np.sign(x * 1), np.array([-0.0, 0.0])), (lambda x: 1 / np.maximum(x * 1, 0.0), np.array([-0.0, 0.0])),
     (lambda x: np.add.reduce(x * 2, axis=0) + 1, np.array(1.5))],
)  # fmt: skip
def test_numbers_at_the_border(f: Any, x: Any) -> None:
    agree(f, [[x], [x]])


def test_results_in_the_memory_of_what_they_are_made_of() -> None:
    def product(a: Any, b: Any) -> Any:
        x = a * 2
        np.matmul(b, x, out=x)
        return x + 1

    def total(a: Any) -> Any:
        x = a * 2
        np.add.reduce(x, axis=0, out=x[0])
        return x + 1

    def integers(a: Any) -> Any:
        y = a * 2
        bits = y.view(np.int64) * 1
        y *= 3
        return bits, y

    agree(product, [[SQUARE, np.eye(4)[::-1].copy()]] * 2)
    agree(total, [[SQUARE]] * 2)
    agree(integers, [[np.ones(2)]] * 2)


def test_arrays_that_may_not_be_written() -> None:
    locked = np.arange(3.0)
    locked.flags.writeable = False
    agree(lambda x: x * 2 + 1, [[locked], [np.arange(3.0)], [locked]])
    agree(lambda x: x * 2 + 1, [[np.arange(3.0)], [locked]])
    p = nn.Parameter(np.arange(3.0))
    compiled = tt.compile(lambda: (p * 2 + 1).sum(), backend="numba")
    for data in (np.arange(3.0), locked, np.ones(3)):
        p.data = data
        assert compiled().item() == (data * 2 + 1).sum()

    def write(x: Any) -> Any:
        x *= 2
        x += 1

    with pytest.raises(ValueError, match="read-only"):
        tt.compile(write, backend="numba")(locked)


def test_constants_that_may_not_be_written_are_handed_over_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = optim.SGD(model.parameters(), lr=0.01)

    def step(x: Any) -> Any:
        loss = (model(x) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled, x = tt.compile(step, backend="numba"), np.ones((100, 2), np.float32)
    for _ in range(3):
        compiled(x)
    space = compiled._latest().namespace
    ways_out = [name for name in space if name.endswith("_writable")]
    assert ways_out
    space.update(dict.fromkeys(ways_out))  # copies, for arrays that are locked: not for those of the program
    before = compiled._traced
    compiled(x)
    assert compiled._traced == before


@pytest.mark.parametrize("shape", [(65536, 1), (16384, 4, 1), (65536,)])
def test_sums_of_many_numbers_are_no_worse_than_numpys(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 1000.3, np.float32)
    axes = tuple(range(max(1, len(shape) - 1)))
    found = tt.compile(lambda x: np.add.reduce(x * np.float32(1), axis=axes), backend="numba")(x)
    assert np.abs(found / (65536 * float(x.flat[0])) - 1).max() < 2e-7


def test_a_diagonal_by_einsum() -> None:
    agree(lambda x: np.einsum("ii->i", x * 2) * 3 + 1, [[np.arange(9.0).reshape(3, 3)]])


# --------------------------------------------------------------------------------------------------- programs and steps


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("gradient", [False, True])
def test_random_programs(seed: int, gradient: bool) -> None:
    run, arrays = random_program(3000 + seed if seed else 5054)  # 5054: numbers that become arrays and are written
    f = tt.value_and_grad(lambda *args: run(*args)[1].mean(), argnums=(0, 2)) if gradient else run
    compiled = tt.compile(f, backend="numba")
    with np.errstate(all="ignore"):
        want = outcome(f, arrays)
        for _ in range(3):
            close(outcome(compiled, arrays), want)


def moons(backend: Any, optimizer: Any) -> Any:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 2)).astype("f"), np.where(rng.random((100, 1)) > 0.5, 1, -1).astype("f")
    tt.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = optimizer(model.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> Any:
        loss = (1 - y * model(x)).relu().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled = tt.compile(step, backend=backend)
    losses = [compiled(x, y).item() for _ in range(5)]
    return compiled, losses, [p.data.copy() for p in model.parameters()], [p.grad.copy() for p in model.parameters()]


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop])
def test_training_steps(optimizer: Any) -> None:
    compiled, losses, parameters, gradients = moons("numba", optimizer)
    _, want, their_parameters, their_gradients = moons(None, optimizer)
    np.testing.assert_allclose(losses, want, rtol=1e-5)
    for a, b in zip(parameters + gradients, their_parameters + their_gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    assert "by Numba in" in compiled.explain()
    assert compiled._latest().text.count("except TypeError: kernel(") == 1
    if optimizer is optim.SGD:  # the whole step is one function
        assert len(compiled._latest().plan.runs) == 1


# -------------------------------------------------------------------------------------------------- what is not there


def test_one_sentence_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"pip install 'tinytensor\[numba\]'"):
        tt.compile(np.tanh, backend="numba")


def test_other_back_ends_are_refused_without_asking_for_it() -> None:
    with pytest.raises(ValueError, match="expected backend 'numba' or None, got 'llvm'"):
        tt.compile(np.tanh, backend="llvm")
