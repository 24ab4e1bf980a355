"""Anomaly mode: the right line, element and advice for each kind of trouble, and no false alarms."""

import asyncio
import copy
import pickle
import sys
import threading
import warnings

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import graph
from tinytensor.anomaly.writes import fingerprint
from tinytensor.catalogue import FAMILIES
from tinytensor.catalogue.entry import REFERENCE
from tinytensor.primitive import TensorBase

primitive = sys.modules[TensorBase.__module__]


def leaf(*numbers, dtype=float):
    return tt.tensor(np.array(numbers, dtype), requires_grad=True)


def caught(program, **options):
    """The error that a program raises under anomaly mode."""
    with pytest.raises(tt.AnomalyError) as raised:
        with tt.detect_anomaly(**options):
            program()
    return raised.value


# ------------------------------------------------------------------------------------------------------- forward


BORN = [
    ("log", lambda: np.log(leaf(1.0, 0.0)), (1,), "np.log1p"),
    ("log", lambda: leaf(1.0, -1.0, 2.0).log(), (1,), "tt.log_softmax"),
    ("sqrt", lambda: np.sqrt(leaf(1.0, -4.0)), (1,), "np.where"),
    ("divide", lambda: leaf(1.0, 2.0) / np.array([1.0, 0.0]), (1,), "np.where"),
    ("divide", lambda: 0.0 / leaf(1.0, 0.0), (1,), "y == 0"),
    ("reciprocal", lambda: leaf(2.0, 0.0) ** -1, (1,), "np.where"),
    ("exp", lambda: np.exp(leaf(1.0, 1000.0)), (1,), "tt.softmax"),
    ("power", lambda: leaf(4.0, -1.0) ** 0.3, (1,), "np.abs(x)"),
    ("multiply", lambda: leaf(1.0, 1e200) * 1e200, (1,), "float64"),
    ("subtract", lambda: leaf(1.0, 2.0) - leaf(np.inf, 3.0) + leaf(np.inf, 1.0), None, "infinity"),
    ("square", lambda: leaf(1.0, 1e20, dtype=np.float32) ** 2, (1,), "float32"),
    ("sum", lambda: leaf(1e308, 1e308).sum(), (), "mean"),
]


@pytest.mark.parametrize(("op", "program", "index", "hint"), BORN)
def test_the_line_the_element_and_the_advice_of_a_birth(op, program, index, hint):
    error = caught(program)
    if op != "subtract":
        assert (error.op, error.phase, error.index) == (op, "forward", index)
    else:
        assert error.op == "add"  # inf - inf: the infinities themselves were in the data
    assert hint in str(error)
    assert error.line.file == __file__
    assert "lambda: " in error.line.source
    assert f'File "{__file__}", line {error.line.number}' in str(error)


def test_the_message():
    x = leaf(1.0, 0.0, -1.0)

    def program():
        return 2.0 * np.log(x)

    text = str(caught(program))
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0].startswith("log: -inf first appears in the forward pass (divide by zero")
    at = lines.index("return 2.0 * np.log(x)")
    assert lines[at + 1] == "^^^^^^^^^"
    assert text.splitlines()[at + 1].index("^") == text.splitlines()[at].index("np.log")
    assert "result[1] = -inf: 2 of 3 elements are not finite (shape (3,))" in lines
    assert "x[1] = 0.0   (shape (3,), float64)" in lines
    assert lines[-1].startswith("Instead: a logarithm is -inf at 0")


def test_only_what_is_born_here_counts():
    """Operands that were infinite before are not this operation's doing."""
    x = leaf(np.inf, 1.0, np.nan)
    with tt.detect_anomaly(backward=False):
        np.exp(x * 2.0 + 1.0)
        np.maximum(x, 0.0)
    error = caught(lambda: x - np.inf)
    assert error.index == (0,)
    error = caught(lambda: x / np.zeros(3))
    assert error.index == (1,)
    with pytest.warns(RuntimeWarning, match="divide by zero"), tt.detect_anomaly(inf=False):
        np.log(leaf(0.0))
    assert caught(lambda: np.log(leaf(-1.0)), inf=False).op == "log"


def test_every_way_of_recording_is_seen():
    x = leaf(1.0, 1e308)

    @tt.primitive(x=lambda g, factor: g * factor)
    def scaled(x, factor):
        return x * factor

    @tt.primitive(xs=lambda g: g)
    def added(*xs):
        return xs[0] + xs[1]

    @tt.primitive(joint=lambda g: g, inputs=("x", "y"), outputs=True)
    def pair(x, y):
        return x + y, x * y

    for program, op in [
        (lambda: scaled(x, 10.0), "scaled"), (lambda: added(x, x), "added"), (lambda: pair(x, x), "pair"),
        (lambda: x.reshape(2, 1).sum(0) * 10.0, "multiply"), (lambda: tt.prod(x[1:].reshape(-1, 1) + np.zeros((1, 2))), "prod"),
        (lambda: np.add(x, x), "add"), (lambda: x + x, "add"),
    ]:  # fmt: skip
        assert caught(program).op == op
    with tt.no_grad():
        assert caught(lambda: x * 10.0).line.expression == "x * 10.0"


def test_numpy_on_plain_arrays_is_as_before():
    for state, expected in [("warn", RuntimeWarning), ("raise", FloatingPointError)]:
        with np.errstate(all=state), tt.detect_anomaly():
            with pytest.raises(expected, match="divide by zero"):
                np.log(np.zeros(2))
            with pytest.raises(expected):
                tt.log(np.zeros(2))
    with np.errstate(all="ignore"), tt.detect_anomaly():
        np.log(np.zeros(2))
    before = np.geterr()
    with tt.detect_anomaly():
        pass
    assert np.geterr() == before


# ---------------------------------------------------------------------------------------------------- no false alarms


def test_a_branch_that_is_not_taken():
    x = leaf(4.0, 0.0)
    with tt.detect_anomaly():
        np.where(x.data > 0, np.sqrt(x), 0.0).sum().backward()  # 0 · ∞ inside of the rule
    np.testing.assert_array_equal(x.grad, [0.25, 0.0])
    with tt.detect_anomaly(), np.errstate(all="ignore"):  # said in NumPy's words: I know
        np.where(x.data > 0, np.log(x), 0.0).sum().backward()
    with tt.detect_anomaly(forward=False), pytest.warns(RuntimeWarning):
        np.where(x.data > 0, np.log(x), 0.0).sum().backward()


def test_masks_and_safe_forms():
    scores = leaf(1.0, 2.0, 1000.0)
    with tt.detect_anomaly():
        masked = np.where(np.array([True, False, True]), scores, -np.inf)
        tt.softmax(masked).sum().backward()
        tt.logsumexp(scores).backward()
        tt.sigmoid(-scores).sum().backward()
        tt.softplus(scores).sum().backward()


def test_the_whole_catalogue_is_quiet_on_its_domain():
    seen = 0
    for e in (e for family in FAMILIES.values() for e in family if e.order and e.name.startswith("np.")):
        for c in e.cases:
            for writes in (True, "raise"):
                xs = [tt.tensor(a, requires_grad=True) for a in c.inputs(c.shapes[0], e.domain)]
                with warnings.catch_warnings(), tt.detect_anomaly(writes=writes):
                    warnings.simplefilter("ignore")
                    out = c.f(REFERENCE, *xs)
                    for o in out if isinstance(out, (tuple, list)) else (out,):
                        if isinstance(o, tt.Tensor) and o.requires_grad:
                            np.sum(np.abs(o) ** 2).backward(retain_graph=True)
                            seen += 1
    assert seen > 50


# ------------------------------------------------------------------------------------------------------ backward


def test_a_slope_that_is_infinite():
    x = leaf(4.0, 0.0)

    def program():
        y = np.sqrt(x)
        (3.0 * y).sum().backward()

    error = caught(program)
    assert (error.op, error.phase, error.index, error.line.expression) == ("sqrt", "backward", (1,), "np.sqrt(x)")
    for fact in ("∂L/∂x[1] = inf", "∂L/∂result[1] = 3.0", "result[1] = 0.0", "np.linalg.norm"):
        assert fact in str(error)
    assert x.grad is None  # nothing half done


def test_in_transforms_and_second_derivatives():
    def program():
        tt.grad(tt.grad(lambda x: x**1.5))(0.0)

    error = caught(program)
    assert error.phase in ("backward", "forward")
    assert "lambda x: x**1.5" in error.line.source
    error = caught(lambda: tt.grad(lambda w: np.sqrt(w))(0.0))
    assert (error.op, error.phase, error.line.expression) == ("sqrt", "backward", "np.sqrt(w)")


def test_a_birth_is_named_when_only_the_result_shows_it():
    def program():
        y = np.log(leaf(1.0, 0.0))
        masked = np.where(np.array([True, True]), y, 0.0)
        masked.sum().backward()

    with pytest.warns(RuntimeWarning):
        error = caught(program, forward=False)
    assert (error.op, error.phase, error.line.expression) == ("log", "forward", "np.log(leaf(1.0, 0.0))")


def test_of_two_births_the_masked_one_is_not_blamed():
    def program():
        x = leaf(1.0, 0.0)
        harmless = np.where(x.data > 0, np.log(x), 0.0)
        guilty = 1.0 / x
        (harmless + guilty).sum().backward()

    with pytest.warns(RuntimeWarning):
        error = caught(program, forward=False)
    assert error.op == "divide"


def test_overflow_that_numpy_does_not_flag():
    """A matrix product is BLAS's: found by the values, when the result is not finite."""
    w = leaf(1e200, 1e200)

    def program():
        with np.errstate(all="ignore"):
            y = np.matmul(w, w.data)
        (y * 2.0).backward()

    error = caught(program)
    assert error.line.expression in ("np.matmul(w, w.data)", "y * 2.0")


def test_data_that_are_bad_already():
    data = np.array([[1.0, 2.0], [np.nan, 1.0]])
    w = leaf(1.0, 1.0)

    def program():
        prediction = data @ w
        (prediction**2).mean().backward()

    for options in ({}, {"inputs": True}):
        error = caught(program, **options)
        assert (error.op, error.phase, error.line.expression) == ("matmul", "input", "data @ w")
        assert error.index == (1, 0)
        assert "np.nan_to_num" in str(error)
    bad = leaf(np.inf)
    assert "a leaf that requires grad" in str(caught(lambda: (bad * 2.0).sum().backward()))
    assert caught(lambda: leaf(np.nan).sum().backward()).phase in ("input", "forward")


def test_a_gradient_given_by_the_user_and_a_hook():
    x = leaf(1.0, 2.0)
    assert "the gradient given" in str(caught(lambda: (x * 2.0).backward(np.array([1.0, np.nan]))))

    def program():
        y = x * 2.0
        y.register_hook(lambda g: g * np.nan)
        y.sum().backward()

    assert "hooks" in str(caught(program))


def test_what_was_recorded_outside_says_so():
    y = np.sqrt(leaf(0.0))
    error = caught(lambda: y.backward())
    assert error.line is None
    assert "recorded outside of detect_anomaly()" in str(error)


def test_several_lines_and_no_source():
    def program():
        return np.sqrt(
            leaf(
                -1.0,
            )
        )

    assert caught(program).line.source == "return np.sqrt("
    code = compile("np.sqrt(x)", "<nowhere>", "eval")
    error = caught(lambda: eval(code, {"np": np, "x": leaf(-1.0)}))
    assert (error.line.file, error.line.number, error.line.source) == ("<nowhere>", 1, "")


# --------------------------------------------------------------------------------------------- overwritten operands


def through_data(x):
    y = x * 2.0
    z = y * y
    a = y.data
    a[1] = 5.0
    return z


def through_an_older_view(x):
    y = x * 1.0
    view = y.data[:2]
    z = np.square(y)
    view[...] = view[::-1].copy()  # the same numbers in another order
    return z


def constant(x):
    c = np.array([1.0, 2.0, 3.0])
    z = x * c
    c *= 2
    return z


def index(x):
    at = np.array([0, 2, 2])
    z = x[at] * 1.0
    at[0] = 1
    return z


def large(x):
    c = np.ones((3, 9000))
    z = (x[:, None] * c).sum(1)
    c[2, -1] = 0.0
    return z


def broadcast(x):
    row = np.ones(3)
    z = x * np.broadcast_to(row, (4, 3))
    row[1] = 0.0
    return z


@pytest.mark.parametrize("program", [through_data, through_an_older_view, constant, index, large, broadcast])
def test_an_overwritten_operand_is_reported(program):
    x = leaf(1.0, 2.0, 3.0)
    error = caught(lambda: program(x).sum().backward())
    assert error.phase == "write"
    assert error.line.function == program.__name__
    assert "an operand that it saved was overwritten in place" in str(error)
    assert isinstance(error, RuntimeError)
    assert x.grad is None
    with tt.detect_anomaly(writes=False, backward=False):
        program(x).sum().backward()  # wrong, and not asked about


def test_what_was_overwritten_and_by_what():
    error = caught(lambda: through_data(leaf(1.0, 2.0, 3.0)).sum().backward())
    assert error.index == (1,)
    assert "x[1] was 4.0, is now 5.0; 1 of 3 elements changed" in str(error)
    assert "writes='raise'" in str(error)


@pytest.mark.parametrize("program", [through_data, constant, large])
def test_locked_operands_stop_the_writer(program):
    error = caught(lambda: program(leaf(1.0, 2.0, 3.0)).sum().backward(), writes="raise")
    assert error.line.source in ("a[1] = 5.0", "c *= 2", "c[2, -1] = 0.0")
    assert isinstance(error.__cause__, ValueError)
    assert "recorded at" in str(error)
    assert "a write into " in str(error)


BATCH = np.ones(3)


class Holder:
    def __init__(self):
        self.buffer = np.ones(3)

    def program(self):
        y = (leaf(1.0, 2.0, 3.0) * self.buffer).sum()
        self.buffer[0] = 2.0
        y.backward()


def test_locked_globals_and_attributes_are_found():
    def program():
        y = (leaf(1.0, 2.0, 3.0) * BATCH).sum()
        BATCH[0] = 2.0
        y.backward()

    assert "a write into BATCH" in str(caught(program, writes="raise"))
    assert "a write into self.buffer" in str(caught(Holder().program, writes="raise"))
    assert BATCH.flags.writeable


def test_locks_are_taken_off():
    c = np.ones(3)
    x = leaf(1.0, 2.0, 3.0)
    with tt.detect_anomaly(writes="raise"):
        z = (x * c).sum()
        assert not c.flags.writeable
        z.backward()
        assert c.flags.writeable  # nobody needs it any more
        y = x * c
        assert not c.flags.writeable
        del y
        assert c.flags.writeable
        kept = (x * c[:2].sum(), x * c, x * c.reshape(3, 1))
        assert not c.flags.writeable
    assert c.flags.writeable
    assert kept[1]._node.saved[1].flags.writeable
    c += 1
    frozen = np.ones(3)
    frozen.flags.writeable = False
    with tt.detect_anomaly(writes="raise"):
        (x * frozen).sum().backward()
        with pytest.raises(ValueError, match="read-only"):
            frozen += 1
    assert not frozen.flags.writeable


def test_a_read_only_array_of_the_users_own_is_not_explained():
    frozen = np.ones(3)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only") as raised:
        with tt.detect_anomaly(writes="raise"):
            frozen += 1
    assert not isinstance(raised.value, tt.AnomalyError)


def test_a_write_of_the_engine_tells_its_line():
    w = leaf(1.0, 2.0)

    def program():
        y = (w * w).sum()
        with tt.no_grad():
            w.__isub__(0.5)
        y.backward()

    error = caught(program)
    assert "written at" in str(error)
    assert "w.__isub__(0.5)" in str(error)


def test_training_is_not_disturbed():
    """Writes after backward, the optimizer's among them, are what they should be."""
    x, y = np.random.default_rng(0).standard_normal((2, 16, 1))
    losses = []
    for options in (None, {}, {"writes": "raise"}):
        model = tt.nn.MLP(1, [8, 1], rng=tt.rng(0))
        optimizer = tt.optim.SGD(model.parameters(), lr=0.01)

        def step():
            loss = tt.nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        if options is not None:
            step = tt.detect_anomaly(**options)(step)
        losses.append([step() for _ in range(4)])
    assert losses[0] == losses[1] == losses[2]


def test_fingerprints():
    for shape in ((3,), (0,), (), (200, 100)):
        a = np.arange(float(np.prod(shape))).reshape(shape)
        assert fingerprint(a) == fingerprint(a.copy())
        if a.size:
            for other in (a + 1, -0.0 + a[::-1] if a.ndim and a.size > 1 else a - 1):
                assert fingerprint(a) != fingerprint(other)
    huge = np.broadcast_to(np.ones(3), (10**8, 3))
    assert len(fingerprint(huge)) == 24


# ------------------------------------------------------------------------------------------------- the mode itself


def test_the_mode_leaves_nothing_behind():
    assert primitive.Node is graph.Node
    x = leaf(1.0, 2.0)
    with tt.detect_anomaly():
        with tt.trace_lines():
            assert primitive.Node is not graph.Node
            y = x * 2.0
        with pytest.raises(tt.AnomalyError):
            np.log(x - 1.0)
    assert primitive.Node is graph.Node
    assert graph.watching() is None
    again = pickle.loads(pickle.dumps(y))
    assert type(again._node) is graph.Node
    assert type(copy.deepcopy(y)._node) is graph.Node
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [2.0, 2.0])


def test_other_threads_and_tasks_are_not_watched():
    x = leaf(0.0)
    found = []

    def work():
        with np.errstate(all="ignore"):
            y = np.log(x)
        found.append((graph.watching(), y.item(), y._node.line if hasattr(y._node, "line") else None))
        y.backward()

    with tt.detect_anomaly():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [(None, -np.inf, None)]

    async def quiet():
        await asyncio.sleep(0)
        with np.errstate(all="ignore"):
            return np.log(x).item()

    async def watched():
        with tt.detect_anomaly():
            await asyncio.sleep(0.01)
            with pytest.raises(tt.AnomalyError):
                np.log(x)

    async def both():
        return await asyncio.gather(watched(), quiet(), watched())

    assert asyncio.run(both())[1] == -np.inf
    assert primitive.Node is graph.Node


def test_the_decorator():
    @tt.detect_anomaly()
    def f(n):
        return np.log(leaf(0.0)) if n == 0 else f(n - 1)

    for n in (0, 3):
        with pytest.raises(tt.AnomalyError):
            f(n)
    assert primitive.Node is graph.Node

    def generator():
        yield 1

    with pytest.raises(TypeError, match="cannot decorate"):
        tt.detect_anomaly()(generator)
    with pytest.raises(ValueError, match="writes must be"):
        tt.detect_anomaly(writes="never")


def test_lines_are_those_of_the_user_not_of_the_package():
    with tt.trace_lines():
        x = leaf(1.0, 2.0)
        y = tt.nn.Linear(2, 1, dtype=np.float64)(x)
        z = np.var(x)
    assert y._node.line.expression == "tt.nn.Linear(2, 1, dtype=np.float64)(x)"
    assert z._node.line.expression == "np.var(x)"
    assert str(z._node.line).endswith("z = np.var(x)")
    assert "np.var(x)" in z._node.line.underlined()


def test_forward_mode_is_watched():
    ones = np.ones(2)
    with pytest.raises(tt.AnomalyError, match="forward derivative of sqrt") as caught, tt.detect_anomaly():
        tt.jvp(lambda v: np.sqrt(v) * 2, (np.array([1.0, 0.0]),), (ones,))
    assert (caught.value.op, caught.value.index, caught.value.line.expression) == ("sqrt", (1,), "np.sqrt(v)")
    with pytest.raises(tt.AnomalyError, match="forward derivative of sqrt") as caught, tt.detect_anomaly():
        tt.jvp(lambda v: np.linalg.eigh(np.sqrt(v))[0], (np.zeros((2, 2)),), (np.ones((2, 2)),))
    assert caught.value.index == (0, 0)
    with pytest.raises(tt.AnomalyError, match="the tangent given is not finite"), tt.detect_anomaly():
        tt.jvp(lambda v: v * 2, (ones,), (np.array([1.0, np.inf]),))
    with tt.detect_anomaly():  # the branch that is not taken
        assert tt.jvp(lambda v: np.where(v > 0, np.cbrt(v), v), (np.zeros(2),), (ones,))[1].tolist() == [1, 1]
        tt.jvp(np.sin, (ones,), (ones,))
    tt.jvp(np.sqrt, (np.zeros(2),), (ones,))
