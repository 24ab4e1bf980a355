"""The benchmarks run, their answers agree, and what they write can be read. How fast anything is, is not tested."""

import importlib
import json
import os

import numpy as np
import pytest

import tinytensor as tt
from benchmarks import WORKLOADS, by_hand, elementwise, gpt, logistic
from benchmarks.__main__ import main
from benchmarks.calls import ROWS, SHORTER, Call
from benchmarks.harness import (
    Case,
    Claim,
    Disagreement,
    Spread,
    _able,
    _agree,
    environment,
    installed,
    module,
    ratio,
    run,
    spread,
)  # fmt: skip
from benchmarks.job import timed
from benchmarks.report import _beside, plain, quantity
from benchmarks.training import number, ratio_claims, targets
from tinytensor.catalogue import FAMILIES
from tinytensor.catalogue.entry import ANY

PEERS = ["PyTorch", "micrograd", "HIPS autograd", "MyGrad", "JAX", "scikit-learn"]
WITHOUT_PEERS = [part for name in PEERS for part in ("--without", name)]


def read(folder, name):
    return json.loads((folder / "results" / f"{name}.json").read_text())


@pytest.mark.slow
def test_quick_run_of_everything_writes_json_table_and_figures(tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["--quick", "--output", str(tmp_path), *WITHOUT_PEERS]) == 0
    table = (tmp_path / "RESULTS.md").read_text()
    for name in WORKLOADS:
        result = read(tmp_path, name)
        assert result["workload"] == name
        assert result["quick"]
        assert result["machine"]["packages"]["numpy"]
        assert f"## {name}\n" in table
        for case in result["cases"]:
            for library, entry in case["libraries"].items() if name != "functions" else ():
                assert len(entry["rounds"]) == case["rounds"], (name, library)
                assert all(number >= 0 for block in entry["rounds"] for number in block.values())
    moons = read(tmp_path, "moons")["cases"][0]
    assert {"tinytensor", "tinytensor Value", "NumPy by hand"} <= set(moons["libraries"])
    assert "## Side by side" in table
    assert 0 < moons["largest difference of answers"] < 1e-5  # float32 against Python floats
    assert read(tmp_path, "operation")["cases"][0]["largest difference of answers"] == 0
    assert {file.name for file in (tmp_path / "images").iterdir()} == {
        "benchmark-moons.png", "benchmark-batch.png", "benchmark-chain.png", "benchmark-width.png",
        "benchmark-libraries.png",
    }  # fmt: skip


def test_report_is_made_from_the_files_alone(tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["operation", "--quick", "--output", str(tmp_path), *WITHOUT_PEERS]) == 0
    table = (tmp_path / "RESULTS.md").read_text()
    (tmp_path / "RESULTS.md").unlink()
    assert main(["--report", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "RESULTS.md").read_text() == table


def test_pyperf_reads_what_was_measured(tmp_path):
    pyperf = pytest.importorskip("pyperf")
    file = tmp_path / "new" / "benchmarks.json"
    assert main(["operation", "--quick", "--pyperf", str(file), *WITHOUT_PEERS]) == 0
    suite = pyperf.BenchmarkSuite.load(str(file))
    assert suite.get_benchmark_names() == [
        f"a * b, ten float32 elements, recorded; {n}" for n in ("tinytensor", "NumPy")
    ]
    assert all(len(benchmark.get_values()) == 2 for benchmark in suite.get_benchmarks())


def test_quick_numbers_are_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.ROOT", tmp_path)
    assert main(["operation", "--quick", *WITHOUT_PEERS]) == 0
    assert not list(tmp_path.iterdir())


STEPS = ("moons", "digits_mlp", "mnist", "wide", "digits", "microgpt", "gpt", "lstm", "logistic", "elementwise")


@pytest.mark.peers
@pytest.mark.slow
def test_peers_compute_the_same(tmp_path):
    for name in ("torch", "micrograd", "jax", "autograd", "mygrad", "sklearn"):
        pytest.importorskip(name, reason="the peers extra is not installed")
    chosen = [*STEPS, "operation", "memory", "chain"]
    assert main([*chosen, "--quick", "--output", str(tmp_path), "--without", "PyTorch, 1 thread"]) == 0
    for name in chosen:
        for case in read(tmp_path, name)["cases"]:
            assert {"tinytensor", "PyTorch"} <= set(case["libraries"])
            assert name in ("digits", "operation") or "JAX" in case["libraries"]
            assert case["largest difference of answers"] < 2e-3
    losses = read(tmp_path, "moons")["cases"][0]["libraries"]
    for ours, theirs in zip(losses["tinytensor Value"]["answer"], losses["micrograd"]["answer"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12)


@pytest.mark.peers
@pytest.mark.slow
def test_functions_are_compared_with_peers_that_have_them(tmp_path):
    pytest.importorskip("autograd", reason="the peers extra is not installed")
    pytest.importorskip("mygrad", reason="the peers extra is not installed")
    pytest.importorskip("matplotlib")
    only = "np.tanh,np.hypot,np.cbrt,np.floor,np.linalg.svd,tt.setitem,scipy.stats.norm.cdf,scipy.special.erfcx"
    assert main(["functions", "--quick", "--output", str(tmp_path), "--only", only]) == 0
    result = read(tmp_path, "functions")
    for case in result["cases"]:
        timed = {name: set(entry["seconds"]) for name, entry in case["libraries"].items()}
        assert timed["HIPS autograd"] == {"np.tanh", "np.hypot", "np.linalg.svd", "scipy.stats.norm.cdf"}
        assert timed["MyGrad"] == {"np.tanh", "np.cbrt", "tt.setitem"}
        assert timed["tinytensor"] == timed["HIPS autograd"] | timed["MyGrad"]
        assert case["excluded"]["np.cbrt"].keys() == {"HIPS autograd"}
        assert "NoDerivative" in case["excluded"]["np.floor"]["HIPS autograd"]
    assert len(result["claims"]) == 12
    table = (tmp_path / "RESULTS.md").read_text()
    assert "| `np.hypot` |" in table
    assert "`tt.setitem`: raises TypeError" in table
    assert (tmp_path / "images" / "benchmark-functions.png").exists()


class Fake:
    """A worker that knows its answers."""

    def __init__(self, *answer):
        self.reply = {"answer": list(answer)} if answer else {"error": "ValueError: no"}

    def ask(self, question):
        return self.reply


def able(**workers):
    case = Case("f", ("A", "B", "C"), {}, 1, tolerance=1e-6, jobs=("f",), witness="W")
    return _able("f", case, workers)


def test_peers_that_are_wrong_are_not_timed():
    right = [1.0, float("nan")], [100.0]
    assert able(A=Fake(*right), B=Fake(*right), W=Fake(*right)) == (["A", "B"], {})
    assert able(A=Fake(*right), B=Fake([1.0, 1.0], [100.0]))[1] == {"B": "differs by nan"}
    assert able(A=Fake(*right), B=Fake([1.0, float("nan")], [float("nan")]))[1] == {"B": "nan"}
    assert able(A=Fake(*right), B=Fake([1.0], [100.0]))[1] == {"B": "other shapes"}
    names, why = able(A=Fake([1.0]), B=Fake(), C=Fake([1.01]), W=Fake([1.0]))
    assert (names, why) == (["A"], {"B": "raises ValueError: no", "C": "differs by 0.01"})
    assert able(A=Fake([1.0]), B=Fake()) == ([], {"B": "raises ValueError: no"})  # nobody to compare with


def test_we_must_be_right_before_peers_are_called_wrong():
    with pytest.raises(Disagreement, match="A and W: differs by 0.01"):
        able(A=Fake([1.01]), B=Fake([1.01]), W=Fake([1.0]))
    with pytest.raises(Disagreement, match="A: ValueError: no"):
        able(A=Fake(), B=Fake([1.01]))


def test_calls_are_bound_to_the_function_itself_where_they_only_name_it():
    assert Call("np.hypot", lambda m, x, y: m.hypot(x, y), {}, (ANY, ANY)).bind(np) is np.hypot
    for f in (lambda m, x: m.sum(x, 0), lambda m, x: m.sum(x, axis=0), lambda m, x: m.sum(x > 0), lambda m, x: x):
        assert Call("np.sum", f, {}, (ANY,)).bind(np)(np.eye(2)) is not None
        assert Call("np.sum", f, {}, (ANY,)).bind(np) is not np.sum
    assert Call("np.sum", lambda m, x: m.sum(x, 0), {}, (ANY,)).bind(np)(np.eye(2)).tolist() == [1, 1]


def test_every_row_of_calls_belongs_to_an_entry():
    names = {e.name for family in FAMILIES.values() for e in family}
    assert {name.partition("(")[0] for name in (*ROWS, *SHORTER)} <= names


def test_wrong_answers_stop_the_run():
    case = Case("sum", ("A", "B"), {}, 1, tolerance=1e-6)
    assert _agree(case, {"A": {"answer": [100.0, 1.0]}, "B": {"answer": [100.0, 1.00001]}}) == pytest.approx(1e-7)
    for wrong in ([100.0, 1.01], [100.0], [100.0, float("nan")]):
        with pytest.raises(Disagreement, match="sum"):
            _agree(case, {"A": {"answer": [100.0, 1.0]}, "B": {"answer": wrong}})


def test_each_part_of_an_answer_has_a_scale_of_its_own():
    case = Case("sum", ("A", "B"), {}, 1, tolerance=1e-3)
    assert _agree(case, {"A": {"answer": [[100.0], [0.1]]}, "B": {"answer": [[100.0], [0.1]]}}) == 0
    with pytest.raises(Disagreement, match="part 1"):
        _agree(case, {"A": {"answer": [[100.0], [0.1]]}, "B": {"answer": [[100.0], [0.101]]}})
    with pytest.raises(Disagreement, match="parts of"):
        _agree(case, {"A": {"answer": [[100.0], [0.1]]}, "B": {"answer": [[100.0]]}})


def test_names_say_which_module_and_how_many_threads():
    assert [module(name) for name in ("PyTorch, compiled", "JAX, 1 thread", "tinytensor Value", "numpy")] == [
        "torch", "jax", "tinytensor", "numpy"
    ]  # fmt: skip
    assert environment("PyTorch, 2 threads")["OMP_NUM_THREADS"] == "2"
    assert environment("tinytensor, compiled, 1 thread")["OPENBLAS_NUM_THREADS"] == "1"
    assert environment("PyTorch, compiled") == dict(os.environ)
    assert not installed("no_such_library, compiled")


#: Workload, options of a small case.
SMALL = [
    ("moons", {"batch": 10}), ("digits_mlp", {"batch": 8}), ("mnist", {"batch": 4}),
    ("wide", {"sizes": [8, 16, 16, 4], "batch": 6}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), SMALL)
def test_by_hand_and_tinytensor_train_alike(name, options):
    if name == "digits_mlp":
        pytest.importorskip("sklearn")
    training = importlib.import_module(f"benchmarks.{name}").TRAINING
    hand, ours = (training.build(library, **options).answer() for library in ("NumPy by hand", "tinytensor"))
    assert len(hand) == len(ours) == 7
    for a, b in zip(hand, ours, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)
    assert hand[0][0] > hand[0][-1]  # it learns


@pytest.mark.parametrize(("name", "options"), [*SMALL[:1], ("microgpt", {"letters": 2}), ("gpt", gpt.SMALL)])
def test_compiled_step_is_the_eager_step(name, options, monkeypatch):
    """Without a compiler, one that does nothing stands in for it: then this tests that the step is an ordinary function."""
    if not callable(getattr(tt, "compile", None)):
        monkeypatch.setattr(tt, "compile", lambda f: f, raising=False)
    training = importlib.import_module(f"benchmarks.{name}").TRAINING
    assert (
        training.build("tinytensor, compiled", **options).answer() == training.build("tinytensor", **options).answer()
    )


def test_reset_begins_anew():
    step = importlib.import_module("benchmarks.moons").TRAINING.make("tinytensor", batch=10)
    first = [number(step.call()) for _ in range(3)]
    step.reset()
    assert [number(step.call()) for _ in range(3)] == first


@pytest.mark.parametrize(
    ("name", "settings"),
    [("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {"lr": 0.01, "betas": (0.8, 0.99)}),
     ("AdamW", {"lr": 0.01, "weight_decay": 0.1})],
)  # fmt: skip
def test_optimizers_by_hand(name, settings):
    rng = np.random.default_rng(0)
    start = [rng.standard_normal(shape).astype("float32") for shape in ((3, 2), (4,))]
    flat, views = by_hand.together(start)
    update = by_hand.optimizer(name, settings, by_hand.blocks(flat))
    tensors = [tt.tensor(p, requires_grad=True) for p in start]
    ours = getattr(tt.optim, name)(tensors, **settings)
    for _ in range(5):
        gradients = [rng.standard_normal(p.shape).astype("float32") for p in start]
        for t, g in zip(tensors, gradients, strict=True):
            t.grad = g.copy()
        ours.step()
        update(by_hand.blocks(by_hand.together(gradients)[0]))
    for p, t in zip(views, tensors, strict=True):
        np.testing.assert_allclose(p, t.data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("chain", ["light", "heavy"])
def test_chains_by_hand_in_blocks_on_two_threads(chain, gradient, monkeypatch):
    monkeypatch.setattr(elementwise, "BLOCK", 16)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    options = {"chain": chain, "n": 100, "gradient": gradient}
    hand, ours = (elementwise.build(library, **options).answer() for library in ("NumPy by hand", "tinytensor"))
    for a, b in zip(hand, ours, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_logistic_regression_by_hand():
    hand, ours = (logistic.build(library, n=50, wide=7).answer() for library in ("NumPy by hand", "tinytensor"))
    for a, b in zip(hand, ours, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_timed_counts_steps_and_waits_for_the_last():
    log = []
    measure = timed(lambda: log.append("step"), lambda: log.append("reset"), lambda: log.append("finish"), steps=10)
    assert 0 < measure(0.0)["seconds"] < 1e-4
    assert log[:3] == ["reset", "step", "finish"]
    assert log[-1] == "finish"


def test_targets_are_claimed_of_what_was_measured():
    times = {"PyTorch": 6.0, "tinytensor": 2.0, "tinytensor, compiled": 1.0}
    case = {"label": "step", "libraries": {name: {"rounds": [{"seconds": t}]} for name, t in times.items()}}
    found = ratio_claims(case, targets(2.5, 5.5, jax=1.0, by_hand=0.95))
    assert [(c.text, c.value.median, c.target) for c in found] == [
        ("step: PyTorch / tinytensor", 3.0, 2.5), ("step: PyTorch / tinytensor, compiled", 6.0, 5.5)
    ]  # fmt: skip
    (row,) = (line for line in _beside([{"workload": "moons", "cases": [case]}]) if line.startswith("| step | 2"))
    assert row.split(" | ")[1:4] == ["2 s", "1 s", "3 / 6"]


def test_worker_that_fails_says_which():
    with pytest.raises(RuntimeError, match="operation: tinytensor: the process ended with code 1"):
        run("operation", Case("?", ("tinytensor",), {"unknown": 1}, 1))


def test_missing_library_is_left_out(capsys):
    found = run("operation", Case("a * b", ("NumPy", "no_such_library"), {}, 1, seconds=0.0))
    assert found["missing"] == ["no_such_library"]
    assert list(found["libraries"]) == ["NumPy"]
    assert "not installed, left out: no_such_library" in capsys.readouterr().out


def test_unknown_workload(capsys):
    with pytest.raises(SystemExit):
        main(["mooons"])
    assert f"unknown workload mooons; there are {', '.join(WORKLOADS)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [(["--only", "np.sum"], "for the workload"), (["functions", "--only", "np.sun"], "no such function: np.sun")],
)
def test_only_some_functions(given, message, capsys):
    with pytest.raises(SystemExit):
        main(given)
    assert message in capsys.readouterr().err


def test_statistics():
    assert spread([3.0, 1.0, 2.0, 5.0, 4.0]) == Spread(2.0, 3.0, 4.0)
    assert spread([7.0]) == Spread(7.0, 7.0, 7.0)
    rounds = {"A": [1.0, 10.0, 2.0], "B": [2.0, 20.0, 4.0]}  # a slow round slows both: the ratio does not see it
    case = {"libraries": {name: {"rounds": [{"seconds": t} for t in times]} for name, times in rounds.items()}}
    assert ratio(case, "B", "A") == Spread(2.0, 2.0, 2.0)
    assert ratio(case, "C", "A") is None


@pytest.mark.parametrize(
    ("bound", "target", "reached"),
    [("at least", 2.0, True), ("at least", 2.1, False), ("at most", 2.0, True), ("at most", 1.9, False)],
)
def test_claims_are_one_sided(bound, target, reached):
    assert Claim("", Spread(1.0, 2.0, 3.0), "", bound, target).reached is reached


def test_quantities_are_written_for_people():
    assert [quantity(t) for t in (1.5, 0.0123456, 1.23e-5, 4.2e-8)] == ["1.5 s", "12.3 ms", "12.3 µs", "42 ns"]
    assert quantity(3 * 2**20, "peak_bytes") == "3.0 MiB"
    assert [plain(x) for x in (11313.7, 3.3333, 0.4159)] == ["11,314", "3.33", "0.416"]
