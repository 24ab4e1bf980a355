"""The benchmarks run, their answers agree, and what they write can be read. How fast anything is, is not tested."""

import json

import numpy as np
import pytest

from benchmarks import WORKLOADS
from benchmarks.__main__ import main
from benchmarks.calls import ROWS, SHORTER, Call
from benchmarks.harness import Case, Claim, Disagreement, Spread, _able, _agree, ratio, run, spread
from benchmarks.report import plain, quantity
from tinytensor.catalogue import FAMILIES
from tinytensor.catalogue.entry import ANY

PEERS = ["PyTorch", "PyTorch, 1 thread", "micrograd", "HIPS autograd", "MyGrad", "MyGrad, no guard"]
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
    assert set(moons["libraries"]) == {"tinytensor", "tinytensor Value", "NumPy by hand"}
    assert 0 < moons["largest difference of answers"] < 1e-5  # float32 against Python floats
    assert read(tmp_path, "operation")["cases"][0]["largest difference of answers"] == 0
    assert {file.name for file in (tmp_path / "images").iterdir()} == {
        "benchmark-moons.png", "benchmark-batch.png", "benchmark-chain.png"
    }  # fmt: skip


def test_report_is_made_from_the_files_alone(tmp_path):
    pytest.importorskip("matplotlib")
    assert main(["operation", "--quick", "--output", str(tmp_path), *WITHOUT_PEERS]) == 0
    table = (tmp_path / "RESULTS.md").read_text()
    (tmp_path / "RESULTS.md").unlink()
    assert main(["--report", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "RESULTS.md").read_text() == table


def test_quick_numbers_are_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.__main__.ROOT", tmp_path)
    assert main(["operation", "--quick", *WITHOUT_PEERS]) == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.peers
@pytest.mark.slow
def test_peers_compute_the_same(tmp_path):
    pytest.importorskip("torch", reason="the peers extra is not installed")
    pytest.importorskip("micrograd", reason="the peers extra is not installed")
    chosen = ["moons", "operation", "memory", "chain"]
    assert main([*chosen, "--quick", "--output", str(tmp_path), "--without", "PyTorch, 1 thread"]) == 0
    for name in chosen:
        for case in read(tmp_path, name)["cases"]:
            assert {"tinytensor", "PyTorch"} <= set(case["libraries"])
            assert case["largest difference of answers"] < 1e-4
    losses = read(tmp_path, "moons")["cases"][0]["libraries"]
    assert losses["tinytensor Value"]["answer"] == pytest.approx(losses["micrograd"]["answer"], rel=1e-12)


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
