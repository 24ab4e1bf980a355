"""What a plan does beside its result: done once, as eager mode does it, whatever the questions on the way are answered."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from test_compile_layers import arranged, training_step
from test_losses import IDS, ROWS
from test_torch_layers import FAMILIES, Draw

import tinytensor as tt
from tinytensor import graph, nn, optim
from tinytensor.nn import functional as F

pytestmark = pytest.mark.filterwarnings("ignore")


def bits(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [bits(x) for x in value]
    array = np.asarray(value._data if isinstance(value, tt.Tensor) else value)
    kind = type(value) if isinstance(value, np.generic) else "array"
    return kind, array.shape, array.dtype, array.tobytes()


def alike(make: Any, calls: list[Any]) -> None:
    """Two programs made alike, one of them compiled, leave the same bits after each call. ``make``: (step, what to look at)."""
    step, seen = make()
    other, theirs = make()
    compiled = tt.compile(other)
    for args in calls:
        assert bits(compiled(*args)) == bits(step(*args))
        assert bits(theirs()) == bits(seen())


# ----------------------------------------------------------------------------------------- questions that come after effects


def test_a_norm_that_overflows_after_another_optimizer_has_stepped() -> None:
    def make() -> Any:
        a, b = nn.Parameter([1.0, 2.0]), nn.Parameter([0.5, -1.0])
        first, second = optim.SGD([a], lr=0.1), optim.SGD([b], lr=0.1)

        def step(x: Any) -> Any:
            first.zero_grad()
            (a * x).sum().backward()
            first.step()
            second.zero_grad()
            loss = (a.detach() * b * x).sum()
            loss.backward()
            nn.utils.clip_grad_norm_([b], 1.0)
            second.step()
            return loss

        return step, lambda: [a, b]

    x = np.array([1.0, 2.0])
    alike(make, [[x * k] for k in (1, 1, 1, 1e200, 0, 1, np.inf)])


def test_dropout_before_a_question_draws_once() -> None:
    def make() -> Any:
        rng = tt.Generator(5)
        dropout = nn.Dropout(0.5, rng=rng)
        return lambda x: F.gelu(dropout(tt.tensor(x))), lambda: rng.numpy.bit_generator.state["state"]["state"] % 2**53

    alike(make, [[np.full(4, k)] for k in (0.1, 0.1, 5.0, 0.1, 5.0, 30.0)])


def test_statistics_before_a_question_are_written_once() -> None:
    def make() -> Any:
        norm = nn.BatchNorm1d(2, dtype=float)

        def step(x: Any) -> Any:
            y = norm(tt.tensor(x))
            return F.gelu(y * norm.running_mean * 30)

        return step, lambda: [*norm.buffers()]

    x = np.random.default_rng(0).standard_normal((4, 2))
    alike(make, [[x * k + k] for k in (1, 1, 2, 20, 1, 0.01)])


# ------------------------------------------------------------------------------------------- options that change their type


@pytest.mark.parametrize("make_optimizer", [optim.SGD, optim.Adam, optim.RMSprop])
def test_a_rate_of_another_dtype(make_optimizer: Any) -> None:
    def make() -> Any:
        p = nn.Parameter([1.0, 2.0], dtype=float)
        optimizer = make_optimizer([p], lr=0.01)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (p * x).sum()
            loss.backward()
            optimizer.step()
            return loss

        def run(x: Any, lr: Any) -> Any:
            optimizer.param_groups[0]["lr"] = lr
            return inner(x)

        inner = tt.compile(step) if made else step
        made.append(step)
        return run, lambda: [p]

    made: list[Any] = []
    (eager, seen), (compiled, theirs) = make(), make()
    for lr in (np.float32(0.01), np.float32(0.01), 0.01, 0.01, np.float64(0.01), np.float32(0.01)):
        assert bits(eager(np.ones(2), lr)) == bits(compiled(np.ones(2), lr))
        assert bits(seen()) == bits(theirs())


@pytest.mark.parametrize(
    ("make_optimizer", "later"),
    [(optim.SGD, {"momentum": 0.9}), (optim.SGD, {"momentum": 0.5, "nesterov": True}), (optim.RMSprop, {"centered": True}),
     (optim.RMSprop, {"momentum": 0.9}), (optim.Adam, {"amsgrad": True}), (optim.SGD, {"maximize": True})],
)  # fmt: skip
def test_momentum_that_is_switched_on_between_calls(make_optimizer: Any, later: dict[str, Any]) -> None:
    def make() -> Any:
        w, b = nn.Parameter([1.0, -2.0]), nn.Parameter([0.5])
        optimizer = make_optimizer([w, b], lr=0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = (((w * x).sum() + b.sum()) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        return step, optimizer, lambda: [w, b]

    (eager, one, seen), (other, two, theirs) = make(), make()
    compiled, x = tt.compile(other), np.array([1.0, 2.0], np.float32)
    for k in range(8):
        if k == 3:
            one.param_groups[0].update(later)
            two.param_groups[0].update(later)
        assert bits(compiled(x)) == bits(eager(x))
        assert bits(theirs()) == bits(seen())


# -------------------------------------------------------------------------------------------------------- numbers and zeros


def scalar(how: Any) -> Any:
    def f(x: Any) -> Any:
        first = how(x.sum())
        second = first
        second += 1
        return first, second, x * first

    return f


@pytest.mark.parametrize(
    "how",
    [lambda s: s, lambda s: s.copy(), lambda s: s.astype("float32"), lambda s: s.reshape(()), lambda s: s.T,
     lambda s: s.squeeze(), lambda s: s.view("int64"), lambda s: s.real, lambda s: s[()], lambda s: s.round(1),
     lambda s: s.clip(0, 1), np.copy],
)  # fmt: skip
def test_numbers_that_numpys_methods_make(how: Any) -> None:
    f, x = scalar(how), np.array([1.0, 2.0])
    compiled = tt.compile(f)
    for _ in range(3):
        assert bits(compiled(x)) == bits(f(x))


def test_a_number_as_an_argument_is_not_written() -> None:
    def f(s: Any) -> Any:
        old = s
        s += 1
        return old * 1, s, old

    compiled = tt.compile(f)
    for _ in range(3):
        assert bits(compiled(np.float64(1))) == bits(f(np.float64(1)))


@pytest.mark.parametrize("zero", [float, np.float32, np.float64, lambda x: complex(x, 0.0), lambda x: complex(0.0, x)])
def test_zeros_of_two_signs_are_two_numbers(zero: Any) -> None:
    def f(x: Any) -> Any:
        return x * zero(0.0), x * zero(-0.0)

    x = np.array([1.0, -2.0, 0.0], np.float32)
    assert bits(tt.compile(f)(x)) == bits(f(x))


def test_a_write_into_an_array_of_columns_keeps_its_order() -> None:
    def f(x: Any) -> Any:
        t = x + 0.0
        t[:1] = 1
        return t.sum()

    x = np.asfortranarray(np.random.default_rng(0).standard_normal((50, 37)))
    function = tt.value_and_grad(f)
    assert bits(tt.compile(function)(x)) == bits(function(x))


# ---------------------------------------------------------------------------------------------------------------- memory


@pytest.mark.parametrize("count", [2, 20])
@pytest.mark.parametrize("compiling", [False, True])
def test_what_a_parameter_held_stays_with_who_holds_it(count: int, compiling: bool) -> None:
    parameters = [nn.Parameter(np.full(5, k + 1.0)) for k in range(count)]
    optimizer = optim.Adam(parameters, lr=0.1)

    def step() -> Any:
        optimizer.zero_grad()
        sum((p * p).sum() for p in parameters).backward()
        optimizer.step()

    run = tt.compile(step) if compiling else step
    for _ in range(3):
        run()
    held = parameters[0].data[1:]
    parameters[0].data = np.ones(5)
    before = held.copy()
    for _ in range(4):
        run()
    assert held.tobytes() == before.tobytes()


def twice(x: Any) -> Any:
    return x * 2


def test_a_copy_of_a_compiled_function_has_plans_of_its_own() -> None:
    compiled = tt.compile(twice)
    compiled(np.ones(3))
    for made in (copy.copy(compiled), copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert made._plans == {}
        assert made(np.ones(3)).tolist() == [2, 2, 2]


def test_state_of_a_large_step_is_not_copied_to_be_traced() -> None:
    p = nn.Parameter(np.ones((300, 300)))
    optimizer = optim.SGD([p], lr=0.1)
    saved: list[Any] = []

    def step() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        optimizer.step()
        if (trace := graph._tracer.get()) is not None:
            saved.append(sum(old.nbytes for _, old in trace._undo.values()))
        return loss

    compiled = tt.compile(step)
    for _ in range(3):
        compiled()
    assert saved
    assert max(saved) < p.data.nbytes


def test_a_value_that_is_looked_at_after_the_update() -> None:
    def make() -> Any:
        p = nn.Parameter(np.ones((200, 200)))
        optimizer = optim.Adam([p], lr=0.1)

        def step() -> Any:
            optimizer.zero_grad()
            loss = (p * p * p).sum()
            loss.backward()
            optimizer.step()
            p.data *= 0.5
            p.data[:10] += np.linalg.norm(p.data) + np.prod(p.data[0])
            return loss, p.data.sum(), np.sort(p.data[3])

        return step, lambda: [p]

    alike(make, [[]] * 5)


def test_checkpoints_in_a_compiled_step() -> None:
    def make() -> Any:
        tt.manual_seed(3)
        block = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5))
        again = tt.checkpoint(block)

        def step(x: Any) -> Any:
            block.zero_grad()
            loss = (again(tt.tensor(x)) ** 2).sum()
            loss.backward()
            return loss

        return step, lambda: [p.grad for p in block.parameters()]

    tt.manual_seed(0)
    eager, seen = make()
    wanted = [(bits(eager(np.ones((2, 3), "f"))), bits(seen())) for _ in range(4)]
    step, seen = make()
    compiled = tt.compile(step)
    assert [(bits(compiled(np.ones((2, 3), "f"))), bits(seen())) for _ in range(4)] == wanted


# ---------------------------------------------------------------------------------------------------------------- source


def source_agrees(layer: Any, arrays: list[Any], options: dict[str, Any], constants: int = 0) -> bool:
    """The module that a compiled step is printed as computes its next results, from its state."""
    compiled = tt.compile(training_step(layer, options, constants))
    try:
        compiled(*arrays)
        compiled(*arrays)
    except (ValueError, RuntimeError, TypeError):
        return False
    text = compiled.source()
    if "default_rng" in text:  # it draws other numbers
        return False
    program: dict[str, Any] = {}
    exec(text, program)
    state = compiled.state()
    for name, value in state.items():
        program["STATE"][name][...] = value
    wanted = compiled(*arrays)
    found = program["step"](*[a.copy() for a in arrays])

    def flat(tree: Any) -> list[Any]:
        return [y for x in tree for y in flat(x)] if isinstance(tree, (list, tuple)) else [tree]

    for a, b in zip(flat(found), flat(wanted), strict=True):
        assert (a is None) is (b is None)
        if b is not None:
            b = np.asarray(b._data if isinstance(b, tt.Tensor) else b)
            assert (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
    for name, value in compiled.state().items():
        assert program["STATE"][name].tobytes() == value.tobytes()
    return True


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.__name__)
def test_the_source_of_layers(family: Any) -> None:
    before = nn.get_default_dtype()
    nn.set_default_dtype("float64")
    try:
        for seed in range(4):
            draw = Draw(seed)
            case = family(draw)
            try:
                layer, arrays, options = arranged(case, draw.yes(0.7), np.dtype(float))
            except ValueError:
                continue
            source_agrees(layer, arrays, options)
    finally:
        nn.set_default_dtype(before)


@pytest.mark.parametrize(("name", "options", "inputs", "constants"), ROWS[::2], ids=IDS[::2])
def test_the_source_of_losses(name: str, options: Any, inputs: Any, constants: Any) -> None:
    case = (name, (), dict(options), [*inputs, *constants], {})
    assert source_agrees(*arranged(case, True, np.dtype(float)), len(constants))


@pytest.mark.parametrize(
    "f",
    [lambda x: np.where(x > 0, x, float("inf")), lambda x: np.where(x > 0, x, float("nan")),
     lambda x: np.where(x > 0, x, np.float64(-np.inf)), lambda x: np.pad(x, 1, constant_values=-np.inf),
     lambda x: x * complex(1.0, -2.0), lambda x: 1 / (x * np.array([0.0, -0.0, 0.0, 0.0])), lambda x: np.flip(x) * 2,
     lambda x: np.moveaxis(x.reshape(2, 2), 0, 1) * 2, lambda x: np.broadcast_to(x * 2, (3, 4)) + 1,
     lambda x: np.expand_dims(x * 1, 0) + np.squeeze(x.reshape(1, 4) * 1)],
)  # fmt: skip
def test_constants_and_views_in_a_source(f: Any) -> None:
    x = np.array([1.0, -2.0, 0.5, 3.0])
    compiled = tt.compile(f)
    wanted = compiled(x)
    program: dict[str, Any] = {}
    exec(compiled.source(), program)
    found = next(v for k, v in program.items() if k in ("run", "_lambda_"))(x)
    assert np.asarray(found).tobytes() == np.asarray(wanted).tobytes()


def test_a_source_says_when_it_is_another_program() -> None:
    p = nn.Parameter([1.0, -2.0])
    optimizer = optim.RAdam([p], lr=0.1)

    def step() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        optimizer.step()
        return loss

    compiled = tt.compile(step)
    for _ in range(3):
        compiled()
    program: dict[str, Any] = {}
    exec(compiled.source(), program)
    for name, value in compiled.state().items():
        program["STATE"][name][...] = value
    with pytest.raises(AssertionError):  # from the sixth step on RAdam has another formula
        for _ in range(4):
            assert program["step"]() == compiled().item()
