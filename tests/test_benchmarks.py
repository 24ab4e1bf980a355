"""The benchmarks run, their answers agree, and what they write can be read. How fast anything is, is not tested."""

import json

import pytest

from benchmarks import WORKLOADS
from benchmarks.__main__ import main
from benchmarks.harness import Case, Claim, Disagreement, Spread, _agree, ratio, run, spread
from benchmarks.report import plain, quantity

PEERS = ["PyTorch", "PyTorch, 1 thread", "micrograd"]
WITHOUT_PEERS = [part for name in PEERS for part in ("--without", name)]


def read(folder, name):
    return json.loads((folder / "results" / f"{name}.json").read_text())


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
            for library, entry in case["libraries"].items():
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
    assert "unknown workload mooons; there are moons, operation" in capsys.readouterr().err


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
