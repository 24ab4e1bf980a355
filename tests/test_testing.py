"""tinytensor.testing: strategies, the smallest failing input, witnesses of random programs, operations of one's own."""

import re
import sys
import time

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

import tinytensor as tt
from tinytensor.primitive import OPS
from tinytensor.testing import (
    TABLE,
    Program,
    ProgramError,
    Row,
    against_scalar,
    arrays,
    broadcastable_shapes,
    check_grads,
    fuzz,
    operation,
    programs,
    pytorch,
    random_program,
    shrunk,
    smallest,
)  # fmt: skip
from tinytensor.testing.draft import RandomChoices
from tinytensor.testing.fuzz import draw_program
from tinytensor.testing.operation import load
from tinytensor.testing.slots import array, one_of, row


@tt.primitive(x=lambda g, x: g * 3 * x**2)
def cube(x):
    return x * x * x


@tt.primitive(x=lambda g, x: g * 3.003 * x**2)
def wrong_cube(x):
    return x * x * x


@tt.primitive(x=lambda g, x: g * 3 * tt.stop_gradient(x) ** 2)
def once_right_cube(x):
    return x * x * x


@tt.primitive(x=lambda g, x: g * 1.01 / x)
def wrong_log(x):
    """No arrays of Value can run this."""
    return np.log(np.asarray(x, x.dtype if x.dtype.kind == "f" else float))


@tt.primitive(broadcasts=True, x=lambda g, x, y: g * y, y=lambda g, x, y: g * x * 1.001)
def wrong_product(x, y):
    return x * y


# --------------------------------------------------------------------------------------------------------- strategies


@given(arrays(low=-1, high=3, kinks=(0, 1, 2.5)))
def test_arrays_keep_away_from_kinks(x):
    assert x.dtype in (np.float32, np.float64)
    assert all(-1 <= v <= 3 for v in x.flat)
    assert all(abs(v - k) >= 1 / 32 for v in x.flat for k in (0, 1, 2.5))


WANTED = {
    "0-d": lambda x: x.ndim == 0,
    "empty": lambda x: x.size == 0,
    "three axes": lambda x: x.ndim == 3,
    "an axis of length 1": lambda x: 1 in x.shape and x.size > 1,
    "float32": lambda x: x.dtype == np.float32,
    "not in order": lambda x: not x.flags.c_contiguous,
    "reversed": lambda x: any(s < 0 for s in x.strides),
    "negative": lambda x: x.size > 0 and x.max() < 0,
}


@pytest.mark.parametrize("what", WANTED)
def test_arrays_are_varied(what):
    found = find(arrays(), WANTED[what], settings=settings(database=None, max_examples=3000))
    assert found.ndim <= 3
    assert max(found.shape, default=0) <= 4


def test_arrays_take_a_shape_a_dtype_and_an_order():
    @given(arrays(np.float32, st.sampled_from([(2, 3), (4,)]), unique=True, contiguous=True))
    def check(x):
        assert x.dtype == np.float32
        assert x.shape in {(2, 3), (4,)}
        assert len(np.unique(x)) == x.size
        assert x.flags.c_contiguous

    check()
    assert find(arrays(float, 2), lambda x: True).tolist() == [1.0, 1.0]


def test_arrays_says_that_no_number_is_left():
    with pytest.raises(ValueError, match=r"no numbers from 0.0 to 0.01 keep away from the kinks \(0.0,\)"):
        arrays(low=0.0, high=0.01)


@given(broadcastable_shapes(3, max_side=3))
def test_shapes_broadcast(shapes):
    assert len(shapes) == 3
    assert len(np.broadcast_shapes(*shapes)) <= 3


@pytest.mark.parametrize(
    "wanted",
    [
        lambda one, other: len(one) < len(other),
        lambda one, other: len(one) == len(other) and (1, 3) in zip(one, other, strict=True),
        lambda one, other: 0 in one,
        lambda one, other: one == other and len(one) == 2,
    ],
)
def test_shapes_are_varied(wanted):
    find(broadcastable_shapes(2), lambda two: wanted(*two), settings=settings(database=None, max_examples=3000))


def test_shapes_broadcast_with_a_base():
    @given(broadcastable_shapes(1, base_shape=(2, 3), min_dims=1, min_side=1))
    def check(shapes):
        assert np.broadcast_shapes(*shapes, (2, 3))[-2:] == (2, 3)

    check()


@settings(max_examples=30)
@given(broadcastable_shapes(2, max_side=3).flatmap(lambda two: st.tuples(*[arrays(float, s) for s in two])))
def test_strategies_go_together(pair):
    check_grads(np.hypot, *pair, order=1, rtol=1e-4, atol=1e-4)


# --------------------------------------------------------------------------------------------- smallest failing input


def pasted(error):
    """The call at the end of a message."""
    return re.search(r"smallest failing input found:\n    (.*)", str(error))[1]


def fails_alike(call, **names):
    with pytest.raises(AssertionError) as again:
        exec(call, {"np": np, "check_grads": check_grads, "against_scalar": against_scalar, **names})
    return str(again.value).splitlines()[0]


@pytest.mark.parametrize("checker", [check_grads, against_scalar])
def test_the_smallest_failing_input_can_be_pasted(checker):
    x = np.random.default_rng(0).uniform(0.5, 2, (3, 4))
    with pytest.raises(AssertionError) as error:
        checker(wrong_cube, x)
    first = str(error.value).splitlines()[0]
    assert "worst at:" in str(error.value)
    call = pasted(error.value)
    assert call.startswith(f"{checker.__name__}(wrong_cube, np.array(1.0)")
    assert fails_alike(call, wrong_cube=wrong_cube) == first
    monitored = fails_alike(call.replace("wrong_cube", "f"), f=wrong_cube)
    assert monitored == first


def test_inputs_that_belong_together_shrink_together():
    f = lambda x, y: wrong_cube(x @ y)  # noqa: E731
    rng = np.random.default_rng(0)
    for checker in (check_grads, against_scalar):
        with pytest.raises(AssertionError) as error:
            checker(f, rng.uniform(0.5, 1, (3, 4)), rng.uniform(0.5, 1, (4, 2)))
        call = pasted(error.value)
        made = re.findall(r"np.array\((\[*)", call)
        assert call.startswith(f"{checker.__name__}(f, np.array([1.0]), np.array([1.0])"), call
        assert len(made) == 2
        assert fails_alike(call, f=f)


def test_only_the_elements_that_fail_stay():
    f = lambda x: np.where(x > 3, wrong_cube(x), x)  # noqa: E731
    x = np.array([0.5, 1.123, 3.456, 2.0, 1.0])
    for checker in (check_grads, against_scalar):
        with pytest.raises(AssertionError) as error:
            checker(f, x)
        (value,) = re.search(r"np.array\((.*?)\)", pasted(error.value)).groups()
        assert float(value) > 3
        assert len(value) == 3


def test_a_second_derivative_and_its_options_are_in_the_call():
    with pytest.raises(AssertionError) as error:
        check_grads(once_right_cube, [0.5, 1.5], modes=("vjp",), rtol=1e-5)
    call = pasted(error.value)
    assert call.endswith("rtol=1e-05, modes=('vjp',))")
    assert "order" not in call
    assert "derivative of order 2 of once_right_cube" in fails_alike(call, once_right_cube=once_right_cube)


def test_shrinking_does_not_end_in_a_kink():
    """relu of wrong numbers is wrong at 0 for another reason: differences see a kink there."""
    f = lambda x: tt.relu(x - 1.0) + wrong_cube(x)  # noqa: E731
    with pytest.raises(AssertionError) as error:
        check_grads(f, [1.27, 3.456])
    (value,) = re.search(r"np.array\((.*?)\)", pasted(error.value)).groups()
    assert float(value) != 1.0


def test_the_smallest_input_keeps_dtypes_and_indices():
    f = lambda x, i: wrong_cube(x[i])  # noqa: E731
    x = np.linspace(0.5, 2, 5, dtype=np.float32)
    with pytest.raises(AssertionError) as error:
        against_scalar(f, x, np.array([4, 2, 2]))
    call = pasted(error.value)
    assert call == "against_scalar(f, np.array([1.0], dtype=np.float32), np.array(0))"
    assert fails_alike(call, f=f)


def test_a_function_that_is_slow_is_not_shrunk_for_long():
    def slow(x):
        time.sleep(0.05)
        return wrong_cube(x)

    start = time.monotonic()
    with pytest.raises(AssertionError, match="smallest failing input"):
        against_scalar(slow, np.linspace(0.5, 1.5, 60).reshape(6, 10))
    assert time.monotonic() - start < 5


def test_what_passes_is_not_shrunk(monkeypatch):
    monkeypatch.setattr(smallest, "smallest", None)
    monkeypatch.setattr(smallest, "report", None)
    check_grads(cube, [1.0, 2.0])
    against_scalar(cube, [1.0, 2.0])


@pytest.mark.parametrize(
    "array",
    [
        np.array(1.5), np.array([[1, 2]]), np.zeros((0, 2)), np.array([np.nan, -np.inf, np.inf]), np.array([True]),
        np.array([0.1], np.float32), np.zeros((2, 0), np.float32), np.zeros((0,), int), np.array(3, np.int32),
    ],
)  # fmt: skip
def test_arrays_as_source(array):
    again = eval(smallest.array_text(array))
    np.testing.assert_array_equal(again, array)
    assert again.dtype == array.dtype
    assert again.shape == array.shape


# ---------------------------------------------------------------------------------------------------------- witnesses

HAS_TORCH = pytest.mark.skipif(not pytorch.available(), reason="PyTorch is not installed")

WITNESSES = ["scalar", "finite-difference", pytest.param("torch", marks=[HAS_TORCH, pytest.mark.peers])]


def wrong_tanh(monkeypatch, factor=1.001):
    op = tt.tanh.op
    made = type(op.pulls)(op.pulls)
    right = list.__getitem__(op.pulls, 0)
    list.__setitem__(made, 0, lambda g, saved, i: right(g, saved, i) * factor)
    monkeypatch.setattr(op, "pulls", made)


@pytest.mark.parametrize("witness", WITNESSES)
def test_every_witness_finds_a_wrong_rule_and_prints_it(monkeypatch, witness):
    wrong_tanh(monkeypatch)
    report = fuzz(300, against=[witness])
    program, message = report.failure.program, str(report.failure)
    assert re.fullmatch(r"v\d+ = (np|tt)\.tanh\(\w+\)", program.source), program.source
    assert [a.size for a in program.leaves.values()] == [1]
    test = message[message.index("import numpy") :]
    with pytest.raises(ProgramError) as again:
        exec(test, {})
    assert again.value.kind == report.failure.kind
    monkeypatch.undo()
    exec(test, {})


def test_a_wrong_second_derivative_is_printed_with_its_check():
    report = fuzz(200, extra=[operation(once_right_cube, "small")])
    assert report.failure.kind == "second derivatives"
    message = str(report.failure)
    assert message.endswith(".check(second=True, against=())")
    with pytest.raises(ProgramError):
        exec(message[message.index("import numpy") :], {"once_right_cube": once_right_cube})


def test_witnesses_agree_in_any_number_and_order():
    wanted = ["torch", "finite-difference", "scalar"] if pytorch.available() else ["finite-difference", "scalar"]
    report = fuzz(20, against=wanted)
    assert (report.programs, report.failure) == (20, None)
    assert not report.skipped


def test_unknown_witnesses_are_refused():
    with pytest.raises(ValueError, match="expected some of scalar, finite-difference, torch; got jax"):
        fuzz(1, against=["jax"])


def test_a_missing_torch_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setattr(pytorch, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="PyTorch is not installed; pip install torch, or leave this witness out"):
        fuzz(1, against=["torch"])
    with pytest.raises(ImportError, match="PyTorch is not installed"):
        Program("v0 = x0 * 2", {"x0": np.ones(2)}).check(against=("torch",))


@HAS_TORCH
@pytest.mark.peers
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_each_operation_against_torch(row):
    for seed in range(12):
        program = draw_program(RandomChoices(np.random.default_rng(seed)), 3, [row])[0]
        try:
            program.check(against=("torch",))
        except ProgramError as error:
            raise shrunk(error) from None


@HAS_TORCH
@pytest.mark.peers
def test_what_torch_lacks_is_skipped_and_counted():
    unknown = row("rint", "np.rint({x}) * {x}", x=array())
    report = fuzz(30, against=["torch"], extra=[unknown, cube])
    assert report.failure is None
    assert 20 < report.skipped["torch"] <= 30
    with pytest.raises(pytorch.UntranslatedError, match=r"np\.rint is not translated"):
        Program("v0 = np.rint(x0)", {"x0": np.ones(2)}).check(against=("torch",))


@HAS_TORCH
@pytest.mark.peers
def test_torch_answers_as_numpy_does():
    """Writing, indexing and moving are ours, not PyTorch's: an element written twice keeps the last value."""
    source = "v0 = np.copy(x0)\nv0[[0, 0, -1]] = x1\nv1 = v0[::-1, None]\nv2 = np.pad(v1, 1, mode='edge') % 0.7"
    leaves = {"x0": np.array([0.5, 1.5, 2.5]), "x1": np.array([0.1, 0.2, 0.3])}
    found = pytorch.reference(Program(source, leaves).run, leaves)
    for name, value in Program(source, leaves).run().items():
        np.testing.assert_allclose(found[name][0], value, rtol=1e-15)
    assert found["x1"][1][0] == 0
    copied = Program("v0 = +x0\nv0[0] = 7.0\nv1 = x0 * v0", leaves)
    np.testing.assert_array_equal(pytorch.reference(copied.run, leaves)["x0"][0], leaves["x0"])


# ------------------------------------------------------------------------------------------- operations of one's own


def test_an_operation_of_ones_own_is_fuzzed():
    report = fuzz(60, extra=[cube])
    assert report.failure is None
    assert report.operations["cube"] > 60
    assert not report.skipped
    assert "cube(" in random_program(0, lines=20, extra=[cube]).source
    assert find(programs(extra=[cube]), lambda program: "cube(" in program.source, settings=settings(database=None))


@pytest.mark.parametrize("wrong", [wrong_cube, wrong_product, operation(wrong_log, "positive")])
def test_a_wrong_operation_is_found(wrong):
    report = fuzz(200, extra=[wrong])
    name = wrong.name if isinstance(wrong, Row) else wrong.__name__
    assert report.failure.kind == "gradients"
    assert re.fullmatch(rf"v\d+ = {name}\((\w+|, )+\)", report.failure.program.source)
    message = str(report.failure)
    assert f"from {__name__} import {name}\n" in message
    assert f"names={{'{name}': {name}}}" in message
    with pytest.raises(ProgramError):
        exec(message[message.index("import numpy") :], {})


def test_finite_differences_stand_in_for_the_scalar_engine():
    right = tt.primitive(x=lambda g, x: g / x)(
        lambda x: np.log(np.asarray(x, x.dtype if x.dtype.kind == "f" else float))
    )
    row = operation(right, "positive")
    assert not row.scalar
    assert operation(cube).scalar
    report = fuzz(40, extra=[row])
    assert report.failure is None
    assert report.skipped["scalar"] > 20


def test_operations_with_options_and_several_results():
    def turned(x, y, angle=0.5):
        return np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y

    made = operation(turned, form="{f}({x}, {y}, angle=0.3)[1]")
    lines = random_program(1, lines=30, extra=[made]).source
    assert "turned(" in lines
    assert "angle=0.3)[1]" in lines
    assert fuzz(20, extra=[made]).failure is None
    assert fuzz(10, extra=[operation(lambda x: np.cumsum(x, 0), "small", ndim=1)]).failure is None
    scaled = Row("scaled", ("cube({x}) * {n}",), {"x": array(), "n": one_of("2", "3")}, names={"cube": cube})
    assert fuzz(10, extra=[scaled]).failure is None


def test_what_is_no_operation_is_refused():
    with pytest.raises(ValueError, match="expected domains among any, positive, .* got huge"):
        operation(cube, "huge")
    with pytest.raises(ValueError, match="cube has 1 inputs; got 2 domains"):
        operation(cube, "any", "any")
    with pytest.raises(TypeError, match="expected a function of arrays"):
        operation(lambda: 1)
    for text, words in [
        ("nothing", "expected module:name"),
        ("math:nothing", "cannot be loaded"),
        ("no_module:f", "cannot be loaded"),
    ]:
        with pytest.raises(ValueError, match=words):
            load(text)
    assert load("math:sin, math:pi") == [__import__("math").sin, __import__("math").pi]


def test_a_module_of_operations_is_loaded(tmp_path, monkeypatch):
    (tmp_path / "my_ops_for_a_test.py").write_text("def double(x):\n    return x * 2\nboth = [double, double]\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [f.__name__ for f in load("my_ops_for_a_test:both, my_ops_for_a_test:double")] == ["double"] * 3
    sys.modules.pop("my_ops_for_a_test")


# -------------------------------------------------------------------------------------------------------- the command


def call(*arguments):
    """The command line, in this process."""
    testing = pytest.importorskip("typer.testing")
    app = pytest.importorskip("tinytensor.cli.app").app
    try:
        runner = testing.CliRunner(mix_stderr=False)  # older versions mix the streams unless told not to
    except TypeError:
        runner = testing.CliRunner()
    return runner.invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("witness", WITNESSES)
def test_the_command_asks_each_witness(monkeypatch, witness):
    done = call("fuzz", "--examples", 10, "--against", witness)
    assert done.exit_code == 0, done.output
    assert f"against {witness}: all right" in done.stdout
    wrong_tanh(monkeypatch)
    done = call("fuzz", "--examples", 300, "--against", witness)
    assert done.exit_code == 1
    assert "is wrong: see above" in done.stderr
    assert "tanh(" in done.stdout
    with pytest.raises(ProgramError):
        exec(done.stdout[done.stdout.index("import numpy") :], {})


def test_the_command_takes_witnesses_in_any_order():
    done = call("fuzz", "--examples", 5, "--against", " finite-difference ,scalar,scalar")
    assert "against finite-difference and scalar: all right" in done.stdout, done.output


def test_the_command_says_that_torch_is_missing(monkeypatch):
    monkeypatch.setattr(pytorch, "find_spec", lambda name: None)
    done = call("fuzz", "--against", "scalar,torch")
    assert done.exit_code == 2
    assert done.stderr == (
        "tinytensor: against torch: PyTorch is not installed; pip install torch, or leave this witness out\n"
    )


@HAS_TORCH
@pytest.mark.peers
def test_the_command_fuzzes_operations_of_ones_own():
    done = call("fuzz", "--examples", 30, "--ops", f"{__name__}:cube", "--against", "torch,scalar")
    assert done.exit_code == 0, done.output
    assert re.search(r"\d+ skipped by torch, which lacks one of their functions", done.stdout)
    done = call("fuzz", "--examples", 300, "--ops", f"{__name__}:wrong_cube")
    assert done.exit_code == 1
    assert f"from {__name__} import wrong_cube" in done.stdout
    done = call("fuzz", "--ops", "no_module:f")
    assert done.exit_code == 2
    assert done.stderr.startswith("tinytensor: 'no_module:f' cannot be loaded")


def test_complex_arguments_are_checked_in_both_parts():
    z = np.array([0.5 + 1.0j, -1.2 + 0.3j])
    check_grads(lambda z: np.exp(z) * np.abs(z), z)

    @tt.primitive(z=lambda g, z: g * 2.002 * z)
    def squared(z):
        return z * z

    with pytest.raises(AssertionError, match="gradient of squared"):
        check_grads(squared, z)
    del OPS[squared.op.key]
