"""Random programs: every engine must agree on them. And the checkers themselves: a wrong rule must be caught."""

import math
import random
import re
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import tinytensor as tt
from tinytensor import graph
from tinytensor.primitive import OPS
from tinytensor.testing import (
    TABLE,
    Program,
    ProgramError,
    against_scalar,
    check_grads,
    fuzz,
    minimize,
    programs,
    random_program,
    shrunk,
)  # fmt: skip
from tinytensor.testing.draft import RandomChoices
from tinytensor.testing.fuzz import draw_program

# ------------------------------------------------------------------------------------------------ the programs agree


@settings(
    max_examples=10 * settings.default.max_examples,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # `shrunk` is faster, and ends at fewer lines
)
@given(programs(), st.sampled_from([False, False, False, True]))
def test_programs_agree(program, second):
    try:
        program.check(second)
    except ProgramError as error:
        raise shrunk(error) from None


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_each_operation(row):
    for seed in range(20):
        program, rows = draw_program(RandomChoices(np.random.default_rng(seed)), 3, [row])
        assert set(rows) == {row.name}, "the row draws lines whose values overflow"
        try:
            program.check(second=seed < 10)
        except ProgramError as error:
            raise shrunk(error) from None


POOL = 300


@pytest.fixture(scope="module")
def pool():
    """Random programs, and what the scalar engine says of each."""
    made = [random_program([0, k]) for k in range(POOL)]
    return [(program, program.reference()) for program in made]


def test_programs_are_varied(pool):
    seen, operations = Counter(), fuzz(1).operations
    for k in range(POOL):
        operations.update(draw_program(RandomChoices(np.random.default_rng([0, k])), 8)[1])
    for program, _ in pool:
        values = program.run()
        seen.update({f"{v.ndim}-d" for v in values.values()})
        seen.update({"empty" for v in values.values() if v.size == 0})
        seen.update({"axis of length 1" for v in values.values() if 1 in v.shape and v.size > 1})
        dtypes = {a.dtype.name for a in program.leaves.values()}
        seen[" and ".join(sorted(dtypes))] += 1
        for name in values:
            seen["used more than once"] += len(re.findall(rf"\b{name}\b", program.source)) > 2
        lines = program.source.splitlines()
        seen["several leaves"] += len(program.leaves) > 1
        seen["write in place"] += any(re.match(r"v\d+(\[| .=)", line) for line in lines)
        seen["long"] += len(lines) >= 6
    wanted = [
        *(f"{n}-d" for n in range(5)), "empty", "axis of length 1", "float32", "float64", "float32 and float64",
        "used more than once", "several leaves", "write in place", "long",
    ]  # fmt: skip
    assert {what: seen[what] for what in wanted if seen[what] < POOL // 20} == {}
    assert {row.name for row in TABLE} - set(operations) == set()


def test_second_derivatives_are_compared_nearly_always():
    compared = [random_program([5, k]).double()._check_differences(2) for k in range(100)]
    assert sum(compared) >= 95


def test_a_seed_gives_the_same_program():
    one, two = random_program(3), random_program(3)
    assert one.source == two.source and one.script() == two.script()
    assert one.source != random_program(4).source


def test_fuzz_reports_what_it_did():
    done = []
    report = fuzz(5, seed=1, progress=done.append)
    assert (report.programs, report.failure, done) == (5, None, [1, 2, 3, 4, 5])
    assert 5 <= sum(report.operations.values()) <= report.lines <= 50


# ------------------------------------------------------------------------------------------- what a failure looks like


def scale_rule(monkeypatch, function, k, factor):
    """Make the rule of input k of a primitive wrong by a factor, in both of its forms."""
    op = function.op if hasattr(function, "op") else function

    def wrong(rules, scaled):
        made = type(rules)(rules)
        list.__setitem__(made, k, scaled(list.__getitem__(rules, k)))
        return made

    pulls = wrong(op.pulls, lambda rule: lambda g, saved, i: rule(g, saved, i) * factor)
    monkeypatch.setattr(op, "pulls", pulls)
    if op.into is not None and list.__getitem__(op.into, k) is not None:
        into = wrong(op.into, lambda rule: lambda g, saved, accumulator: rule(g * factor, saved, accumulator))
        monkeypatch.setattr(op, "into", into)


def test_a_failure_is_shrunk_to_a_test_that_can_be_pasted(monkeypatch):
    scale_rule(monkeypatch, tt.tanh, 0, 1.001)
    report = fuzz(500)
    message = str(report.failure)
    program = report.failure.program
    assert re.fullmatch(r"v\d+ = (np|tt)\.tanh\(\w+\)", program.source), program.source
    assert len(program.leaves) == 1
    assert "the gradient of " in message and "got:" in message and "expected:" in message
    test = message[message.index("import numpy") :]
    with pytest.raises(ProgramError) as again:
        exec(test, {})
    assert again.value.kind == "gradients"
    monkeypatch.undo()
    exec(test, {})  # and passes with the right rule


def test_hypothesis_shrinks_programs():
    """Nearly always; now and then a search ends early, and then :func:`shrunk` does the rest."""
    lengths = []
    for k in range(3):
        found = find(
            programs(), lambda program: "np.cumsum" in program.source,
            settings=settings(database=None, max_examples=2000), random=random.Random(k),
        )  # fmt: skip
        lengths.append(len(found.source.splitlines()))
    assert sorted(lengths)[1] <= 3, lengths


def test_minimize_keeps_what_fails():
    program = Program(
        "v0 = x0 * x1\nv1 = np.exp(v0)\nv2 = np.copy(v1)\nv2[0] = x1\nv3 = np.sum(v2)",
        {"x0": np.ones(2), "x1": np.array(2.0)},
    )
    small = minimize(program, lambda p: "v2[0]" in p.source)
    assert small.source == "v2 = np.copy(v1)\nv2[0] = x1"
    assert set(small.leaves) == {"v1", "x1"}
    assert minimize(program, lambda p: False) is program


@pytest.mark.parametrize(
    "source, kind, words",
    [
        ("v0 = np.setdiff1d(x0, x0)", "TypeError", "np.setdiff1d has no derivative rule"),
        ("x0 += 1.0", "RuntimeError", "leaf that requires grad"),
        ("print(x0)", "SyntaxError", "expected assignments only"),
    ],
)
def test_a_program_that_cannot_run_says_why(source, kind, words):
    with pytest.raises(ProgramError, match=re.escape(words)) as error:
        Program(source, {"x0": np.array([2.0, 1.0])}).check()
    assert error.value.kind == kind
    assert source in str(error.value)


def test_values_that_differ_from_ndarrays_are_found(monkeypatch):
    true_tanh = tt.tanh.op.forward
    monkeypatch.setattr(tt.sigmoid.op, "forward", lambda x: true_tanh(x))
    program = Program("v0 = tt.softplus(x0)\nv1 = tt.sigmoid(x0)", {"x0": np.array([0.5])})
    with pytest.raises(ProgramError, match="v1"):
        program.check()


def test_a_missing_hypothesis_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "tinytensor.testing.strategies", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'tinytensor\[test\]'"):
        _ = tt.testing.programs
    assert tt.testing.random_program(1).source


# --------------------------------------------------------------------------- wrong rules are caught, by every checker


def caught(pool, second=False):
    """The first random program that fails, by its number."""
    for k, (program, reference) in enumerate(pool):
        try:
            program.check(second, reference)
        except ProgramError:
            return k
    return None


WRONG = {
    "multiply": (tt.multiply, 0, lambda x, y: x * y, (3,), (2, 3)),
    "divide": (tt.divide, 1, lambda x, y: x / (y * y + 1), (3,), (2, 3)),
    "tanh": (tt.tanh, 0, np.tanh, (2, 2)),
    "matmul": (tt.matmul, 1, lambda x, y: x @ y, (2, 3), (3, 2)),
    "sum": (tt.sum, 0, lambda x: np.sum(x, axis=0) * 2, (2, 3)),
    "getitem": (tt.getitem, 0, lambda x: x[[0, 0, 1]], (3,)),
    "logsumexp": (tt.logsumexp, 0, lambda x: tt.logsumexp(x, axis=-1), (2, 3)),
    "reshape": (tt.reshape, 0, lambda x: np.reshape(x, (6,)), (2, 3)),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_checker_finds_an_error_of_a_thousandth(monkeypatch, pool, name):
    function, k, f, *shapes = WRONG[name]
    arrays = [np.random.default_rng(k).uniform(0.5, 1.5, shape) for k, shape in enumerate(shapes)]
    check_grads(f, *arrays)
    against_scalar(f, *arrays)
    scale_rule(monkeypatch, function, k, 1.001)
    with pytest.raises(AssertionError, match=rf"gradient of .* with respect to argument {k} is wrong"):
        check_grads(f, *arrays)
    with pytest.raises(AssertionError, match=rf"with respect to argument {k} is wrong"):
        against_scalar(f, *arrays)
    assert caught(pool) is not None


def test_an_error_of_a_millionth_is_found(monkeypatch):
    x = np.array([0.3, -1.2])
    scale_rule(monkeypatch, tt.tanh, 0, 1 + 3e-6)
    with pytest.raises(AssertionError, match="the gradient of tanh"):
        check_grads(np.tanh, x)
    with pytest.raises(AssertionError, match="the gradient of tanh"):
        against_scalar(np.tanh, x)


def test_a_rule_that_is_right_once_and_wrong_twice_is_found():
    """The first derivative is right, but computed from constants: the second is lost."""

    @tt.primitive(x=lambda g, x: g * 3 * np.square(x.data if isinstance(x, tt.Tensor) else x))
    def cube(x):
        return x * x * x

    check_grads(cube, [0.5, 1.5], order=1)
    with pytest.raises(AssertionError, match="the derivative of order 2 of cube with respect to argument 0"):
        check_grads(cube, [0.5, 1.5])
    del OPS[cube.op.key]


# -------------------------------------------------------------------------------------------------------- check_grads


def test_check_grads_names_what_is_wrong(monkeypatch):
    scale_rule(monkeypatch, tt.exp, 0, 1.5)

    def f(x, y):
        return x * 2, {"a": np.exp(y), "b": [x[0]]}

    with pytest.raises(AssertionError) as error:
        check_grads(f, np.ones((2, 3)), np.array([0.1, 2.0, 0.3]))
    message = str(error.value)
    for words in (
        "the gradient of f with respect to argument 1 is wrong", "(2, 3), (3,)", "(2, 3), (3,), (3,)",
        "of 3 wrong ones", "index (", "reverse mode:", "central differences:", "allowed",
    ):  # fmt: skip
        assert words in message
    got, expected = (float(re.search(rf"{which}: +(\S+)", message)[1]) for which in ("mode", "differences"))
    assert math.isclose(got, 1.5 * expected, rel_tol=1e-6)


def test_check_grads_of_smooth_functions_has_room_to_spare():
    x = np.random.default_rng(0).uniform(0.5, 2.0, (3, 4))
    for f in (np.exp, np.log, np.sqrt, np.sin, np.tanh, tt.softmax, lambda x: x**5, lambda x: x @ x.T, np.std):
        check_grads(f, x, order=3, rtol=1e-9, atol=1e-9)


def test_check_grads_probes_large_inputs_along_directions(monkeypatch):
    x = np.random.default_rng(0).normal(size=(40, 50))
    check_grads(np.tanh, x, order=1)
    scale_rule(monkeypatch, tt.tanh, 0, 1.001)
    with pytest.raises(AssertionError, match="random direction"):
        check_grads(np.tanh, x, order=1)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 0)])
def test_check_grads_of_any_shape(shape):
    check_grads(lambda x: np.exp(x) * 2, np.full(shape, 0.5))


def test_check_grads_says_that_a_kink_is_near():
    with pytest.raises(AssertionError, match="is there a kink"):
        check_grads(np.abs, [1e-4])


def test_check_grads_finds_a_value_that_depends_on_recording():
    def f(x):
        return x * (2.0 if x.requires_grad else 3.0)

    with pytest.raises(AssertionError, match="another value when it is recorded"):
        check_grads(f, [1.0])


def test_check_grads_refuses_what_it_cannot_check():
    with pytest.raises(TypeError, match="at least one array"):
        check_grads(lambda: tt.tensor(1.0))
    with pytest.raises(TypeError, match="order of 1 or more"):
        check_grads(np.exp, [1.0], order=0)
    with pytest.raises(TypeError, match="no floating numbers, but .'int64'."):
        check_grads(np.argmax, [1.0, 2.0])


def test_check_grads_of_functions_without_slope():
    check_grads(np.sign, [0.5, -2.0])
    check_grads(lambda x, y: np.sum(x), [1.0], [2.0])  # y is not used


# ----------------------------------------------------------------------------------------------------- against_scalar


def test_against_scalar_compares_values(monkeypatch):
    f = lambda x: [x * 2, tt.softplus(x) if isinstance(x, tt.Tensor) else tt.softplus(x) * 1.001]  # noqa: E731
    with pytest.raises(AssertionError, match="result 1 of <lambda> is wrong") as error:
        against_scalar(f, [0.1, 2.0])
    assert "index (1,), of 2 wrong ones" in str(error.value)


def test_against_scalar_compares_shapes_and_numbers_of_results():
    with pytest.raises(AssertionError, match=r"has shape \(1,\), expected \(\)"):
        against_scalar(lambda x: x[:1] if isinstance(x, tt.Tensor) else x[0], [0.1, 2.0])
    with pytest.raises(AssertionError, match="returned 1 tensors, but 2 arrays of Value"):
        against_scalar(lambda x: [x] if isinstance(x, tt.Tensor) else [x, x], [0.1, 2.0])


def test_against_scalar_takes_float32_and_indices():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    against_scalar(lambda x, i, m: (np.tanh(x)[i], np.where(m, x, x * x)), x, np.array([0, 0, 3]), x > 0)


def test_against_scalar_sees_a_lost_gradient():
    with pytest.raises(AssertionError, match="the gradient of <lambda> with respect to argument 0 is wrong"):
        against_scalar(lambda x: (x.detach() if isinstance(x, tt.Tensor) else x) * 2 + x, [1.0, 2.0])


def test_the_graph_is_not_needed_for_a_check():
    """Checks leave no grad mode behind."""
    with tt.no_grad(), pytest.raises(AssertionError):
        against_scalar(np.tanh, [1.0])
    assert graph.is_grad_enabled()
    check_grads(np.tanh, [1.0])
