"""The command line as a person meets it: it trains, it shows, it saves, and every mistake gets one sentence."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import data, io, training
from tinytensor.cli import main

testing = pytest.importorskip("typer.testing")
pytest.importorskip("sklearn")
from tinytensor.cli import app as cli_app  # noqa: E402


def call(*arguments):
    try:
        runner = testing.CliRunner(mix_stderr=False)  # older versions mix the streams unless told not to
    except TypeError:
        runner = testing.CliRunner()
    return runner.invoke(cli_app.app, [str(a) for a in arguments])


def child(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


RUN = "import sys; from tinytensor.cli import main; sys.exit(main())"


def fact(output, name):
    return re.search(rf"^{name}: (.*)$", output, re.M).group(1)


# ------------------------------------------------------------------------------------------------------------- train


def test_moons_with_nothing_else_said():
    done = call("train", "moons")
    assert done.exit_code == 0, done.output
    assert float(fact(done.stdout, "held-out accuracy").split()[0]) >= 97
    assert fact(done.stdout, "network") == "MLP 2-16-16-1, relu, 337 parameters, float32"
    assert re.search(r"steps/s", fact(done.stdout, "speed"))
    assert len(re.findall(r"loss 0\.\d+ +held-out accuracy", done.stdout)) == 10  # plain lines, as this is no terminal
    assert done.stderr == ""


@pytest.mark.parametrize("seed", range(1, 6))
def test_moons_whatever_the_seed(seed):
    assert float(fact(call("train", "moons", "--seed", seed).stdout, "held-out accuracy").split()[0]) >= 97


@pytest.mark.parametrize(("dataset", "least"), [("circles", 97), ("blobs", 95), ("digits", 94)])
def test_the_other_datasets(dataset, least):
    done = call("train", dataset, *(["--epochs", 15] if dataset == "digits" else []))
    assert done.exit_code == 0, done.output
    assert float(fact(done.stdout, "held-out accuracy").split()[0]) >= least


@pytest.mark.parametrize("dataset", ["moons", "digits"])
def test_picture_and_weights(dataset, tmp_path):
    picture, weights = tmp_path / "p.png", tmp_path / "w.safetensors"
    done = call("train", dataset, "--epochs", 4, "--plot", picture, "--save", weights, "--activation", "tanh")
    assert done.exit_code == 0, done.output
    assert fact(done.stdout, "weights") == str(weights)
    assert fact(done.stdout, "picture") == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["p.png", "w.safetensors"]
    model, words = io.load_mlp(weights)  # everything that is needed to use it on raw points
    points = data.toy(dataset)
    x = (points.raw(points.x_test) - json.loads(words["mean"])) / json.loads(words["scale"])
    right = training.accuracy(model(x).data, points.y_test)
    assert f"{100 * right:.1f} %" in fact(done.stdout, "held-out accuracy")
    assert (words["dataset"], words["activation"]) == (dataset, "tanh")


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        assert (
            call(
                "train", "moons", "--epochs", 5, "--batch-size", 50, "--save", tmp_path / f"{name}.safetensors"
            ).exit_code
            == 0
        )
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_every_option_reaches_the_recipe(monkeypatch):
    seen = {}

    def spy(points, recipe):
        seen.update(points=points, recipe=recipe)
        raise KeyboardInterrupt

    monkeypatch.setattr("tinytensor.cli.train.make_engine", spy)
    options = (
        "--samples 80 --noise 0.3 --test-size 0.5 --hidden 7,5 --activation sigmoid --dtype float64 --engine scalar --loss mse "
        "--optimizer sgd --momentum 0.5 --lr 0.25 --lr-decay 0.1 --l2 0.01 --epochs 9 --batch-size 8 --seed 11"
    )
    call("train", "moons", *options.split())
    assert seen["recipe"] == training.Recipe(
        (7, 5), "sigmoid", "mse", "sgd", 0.5, 0.25, 0.1, 0.01, 9, 8, 11, "float64", "scalar"
    )
    assert len(seen["points"].x_test) == len(seen["points"].x_train) == 40
    np.testing.assert_array_equal(seen["points"].x_test, data.toy("moons", 80, 0.3, 11, 0.5).x_test)


def test_the_scalar_engine_prints_the_same_losses():
    options = ["train", "moons", "--samples", 40, "--epochs", 4, "--hidden", 5, "--dtype", "float64"]
    lines = [re.findall(r"loss.*", call(*options, "--engine", engine).stdout) for engine in ("tensor", "scalar")]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 5  # four steps, and the summary


def test_no_hidden_layer():
    assert "MLP 2-1, relu, 3 parameters" in call("train", "blobs", "--hidden", "none", "--epochs", 2).stdout


# ---------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train moon", "unknown dataset 'moon': did you mean 'moons'?"),
        ("train", "Missing argument"),
        ("trian moons", "No such command 'trian'"),
        ("train moons --bogus 1", "No such option: --bogus"),
        ("train moons --epochs many", "Invalid value for '--epochs'"),
        ("train moons --hidden 16;16", "hidden must be whole numbers with commas between"),
        ("train moons --engine cuda", "engine must be one of tensor, scalar; got 'cuda'"),
        ("train digits --loss bce", "the bce loss is for two classes"),
        ("train moons --samples 3", "samples must lie between"),
        ("train moons --seed -4", "seed must be a whole number"),
        ("train moons --plot {tmp}/a.gif", "must end in .png or .svg or .pdf"),
        ("train moons --save {tmp}/a.pt", "must end in .safetensors"),
        ("train moons --plot {tmp}/no/a.png", "no' does not exist"),
        ("train moons --save {tmp}/no/a.safetensors", "no' does not exist"),
        ("compare --steps 0", "steps must lie between"),
        ("compare --batch-sizes 1,x", "batch-sizes must be whole numbers"),
        ("compare --batch-sizes 0", "batch-sizes must lie between"),
        ("compare --dtype int8", "dtype must be one of"),
        ("compare --json {tmp}/no/a.json", "no' does not exist"),
    ],
)
def test_a_mistake_gets_one_sentence_before_any_work(arguments, sentence, tmp_path, monkeypatch):
    for place in ("train.train", "compare.run_demo"):
        monkeypatch.setattr(f"tinytensor.cli.{place}", lambda *a, **k: pytest.fail("work was begun"))
    done = call(*arguments.format(tmp=tmp_path).split())
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert done.stderr.startswith("tinytensor: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_loss_of_nan_writes_nothing_and_keeps_what_was_there(tmp_path):
    weights = tmp_path / "w.safetensors"
    weights.write_text("old")
    done = call("train", "moons", "--loss", "mse", "--lr", "1e6", "--save", weights, "--plot", tmp_path / "p.png")
    assert done.exit_code == 1
    assert re.search(
        r"^tinytensor: the loss became \w+ at step \d+ of 200, at learning rate .* too high: try 0.3\n$", done.stderr
    )
    assert weights.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_disk_that_fills_up(tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    done = call("train", "moons", "--epochs", 1, "--save", tmp_path / "w.safetensors")
    assert (done.exit_code, done.stderr) == (
        1,
        f"tinytensor: cannot write '{tmp_path / 'w.safetensors'}': the disk is full\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c(tmp_path):
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + RUN
    options = [
        "train",
        "moons",
        "--engine",
        "scalar",
        "--epochs",
        "1000",
        "--samples",
        "10",
        "--save",
        str(tmp_path / "w.safetensors"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "loss" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "tinytensor: stopped by Ctrl-C; files are written at the end, and none is left half-written\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_without_the_app_extra(module):
    hide = f"import sys; sys.modules[{module!r}] = None\n"
    done = child(hide + RUN, "train", "moons")
    assert done.returncode == 1
    assert re.fullmatch(rf"tinytensor: .*{module}.* not installed: pip install 'tinytensor\[app\]'\n", done.stderr)
    version = child(hide + RUN, "--version")
    assert (version.returncode, version.stdout) == (0, f"tinytensor {tt.__version__}\n")


@pytest.mark.parametrize(
    ("module", "options"), [("sklearn", []), ("matplotlib", ["--plot"]), ("safetensors", ["--save"])]
)
def test_without_a_library_of_the_extra(module, options, tmp_path):
    block = (
        "import sys\nclass Block:\n    def find_spec(self, name, *rest):\n"
        f"        if name.split('.')[0] == {module!r}: raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "import importlib.util as u; found = u.find_spec\n"
        f"u.find_spec = lambda name, *rest: None if name == {module!r} else found(name, *rest)\n"
    )
    file = {"--plot": "a.png", "--save": "a.safetensors"}
    extra = [part for option in options for part in (option, tmp_path / file[option])]
    done = child(block + RUN, "train", "moons", *extra)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r"tinytensor: [^\n]*pip install 'tinytensor\[app\]'\n", done.stderr)
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------------- compare, and help


def test_compare(tmp_path):
    numbers, picture = tmp_path / "c.json", tmp_path / "c.png"
    done = call(
        "compare", "--steps", 4, "--batch-sizes", "10,1,200", "--scalar-up-to", 10, "--json", numbers, "--plot", picture
    )
    assert done.exit_code == 0, done.output
    for loss in ("0.895844102868", "1.723590533697", "0.742900631385", "0.770564126058"):
        assert done.stdout.count(loss) == 3  # scalar, tensor, published
    (alone,) = re.findall(r"^ *200 .*", done.stdout, re.M)
    assert "not run" in alone
    assert "tensor alone" in alone
    found = json.loads(numbers.read_text())
    assert [s["batch"] for s in found["speeds"]] == [1, 10, 200]
    assert found["speeds"][2]["scalar"] is found["speeds"][2]["ratio"] is None
    assert found["largest_difference"] < 1e-9
    assert found["machine"]["numpy"] == np.__version__
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_compare_notices_engines_that_disagree(monkeypatch):
    right = training.ScalarEngine.step
    monkeypatch.setattr(training.ScalarEngine, "step", lambda *a: (right(*a)[0] + 1e-6, right(*a)[1]))
    done = call("compare", "--steps", 1)
    assert done.exit_code == 1
    assert "the engines disagree" in done.stderr


def test_help_names_every_option_and_version():
    overview = call("--help").output
    assert all(word in overview for word in ("train", "compare", "--version"))
    assert call().output == overview
    assert call().exit_code == 0
    text = call("train", "--help").output
    for option in (
        "samples noise test-size hidden activation dtype engine loss optimizer momentum lr lr-decay l2 epochs batch-size seed "
        "plot save"
    ).split():
        assert f"--{option}" in text
    assert call("--version").output == f"tinytensor {tt.__version__}\n"


def test_as_a_module_and_its_exit_code(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tinytensor", "train", "moons", "--epochs", "2", "--save", "w.safetensors"],
        capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "w.safetensors").exists()
    assert "\x1b" not in done.stdout


def test_main_returns_the_code(capsys):
    assert main(["train", "squares"]) == 2
    assert capsys.readouterr().err.startswith("tinytensor: unknown dataset 'squares'")


@pytest.mark.skipif(os.name == "nt", reason="POSIX terminals")
def test_in_a_terminal_there_is_a_bar_and_a_table():
    pty = pytest.importorskip("pty")
    main_end, child_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    for name in ("NO_COLOR", "CI", "GITHUB_ACTIONS", "TTY_COMPATIBLE"):
        environment.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "train", "moons"], stdout=child_end, stderr=child_end, env=environment
    )
    os.close(child_end)
    shown = b""
    while True:
        try:
            piece = os.read(main_end, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(main_end)
    assert process.wait(timeout=60) == 0
    text = shown.decode()
    assert "━━━━" in text
    assert "200/200" in text
    assert "╭" in text
    assert "held-out accuracy" in text


# -------------------------------------------------------------------------------------------------------------- fuzz


def test_fuzz_says_how_much_was_run():
    done = call("fuzz", "--examples", 30, "--seed", 3)
    assert done.exit_code == 0, done.output
    assert re.search(
        r"30 programs of \d+ lines, \d+ operations, against scalar and finite-difference: all right", done.stdout
    )


def test_fuzz_prints_the_smallest_failing_program(monkeypatch):
    from tinytensor.primitive import OPS

    for op in OPS.values():
        if op.name == "multiply":
            wrong = [lambda g, saved, k, pull=pull: pull(g, saved, k) * 1.001 for pull in op.pulls]
            monkeypatch.setattr(op, "pulls", wrong)
    done = call("fuzz", "--examples", 300)
    assert done.exit_code == 1
    assert "is wrong: see above" in done.stderr
    assert "import numpy as np" in done.stdout


@pytest.mark.parametrize("options", [["--examples", 0], ["--lines", 0], ["--seed", -1], ["--against", "jax"]])
def test_fuzz_refuses_what_it_cannot_do(options):
    done = call("fuzz", *options)
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1


# -------------------------------------------------------------------------------------------------- killed and resumed


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("engine", ["tensor", "scalar"])
def test_a_run_that_is_killed_and_resumed_ends_as_one_that_was_not(tmp_path, engine):
    """The weights that --save writes, byte by byte; killed in the middle of an epoch, as a shuffled order goes on."""
    samples, epochs = (400, 40) if engine == "tensor" else (40, 20)
    options = ["train", "moons", "--samples", samples, "--hidden", "6", "--batch-size", 9, "--epochs", epochs, "--optimizer", "adam",
               "--engine", engine]  # fmt: skip
    file = tmp_path / "run.safetensors"
    command = [
        sys.executable,
        "-u",
        "-c",
        RUN,
        *map(str, options),
        "--checkpoint",
        str(file),
        "--checkpoint-every",
        "1",
    ]
    assert call(*options, "--save", tmp_path / "whole.safetensors").exit_code == 0
    killed = 0
    for _ in range(2):
        process = subprocess.Popen(
            [*command, *(["--resume"] if killed else [])], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        process.stdout.readline()  # about a tenth of the steps, or of those that were left, are done
        process.kill()
        process.communicate()
        killed += process.returncode != 0
        tt.checkpoints.load(file)  # whole at any moment
    assert killed
    done = call(*options, "--checkpoint", file, "--resume", "--save", tmp_path / "resumed.safetensors")
    assert done.exit_code == 0, done.output
    assert fact(done.stdout, "checkpoint") == str(file)
    assert (tmp_path / "resumed.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    again = call(*options, "--checkpoint", file, "--resume")  # a finished run says the same again
    assert fact(again.stdout, "loss") == fact(done.stdout, "loss")
    assert fact(again.stdout, "held-out accuracy") == fact(done.stdout, "held-out accuracy")


def test_a_checkpoint_that_is_not_this_run_is_refused_before_any_work(tmp_path):
    file = tmp_path / "run.safetensors"
    options = ["train", "moons", "--samples", 40, "--epochs", 2, "--checkpoint", file]
    assert call(*options).exit_code == 0
    before = file.read_bytes()
    other = tt.checkpoints.save(tmp_path / "other.safetensors", {"step": 1})
    (tmp_path / "broken.safetensors").write_bytes(before[:-1])
    for arguments, sentence in (
        (options, "is there already: add --resume to go on with that training, or remove it"),
        ([*options, "--resume", "--lr", 0.5], "is the checkpoint of a run with lr 1.0, and this one has 0.5"),
        ([*options, "--resume", "--noise", 0.3], "is the checkpoint of a run with noise None, and this one has 0.3"),
        (["train", "moons", "--checkpoint", other, "--resume"], "is not the checkpoint of a run of tinytensor train"),
        (["train", "moons", "--checkpoint", tmp_path / "broken.safetensors", "--resume"], "it is cut off, or too long"),
        (["train", "moons", "--checkpoint", tmp_path / "a.pt"], "must end in .safetensors"),
        (["train", "moons", "--checkpoint", tmp_path / "no" / "a.safetensors"], "does not exist"),
        (["train", "moons", "--checkpoint", tmp_path / "a.safetensors", "--checkpoint-every", 0], "at least 1; got 0"),
        (["train", "moons", "--resume"], "give its file with --checkpoint"),
    ):
        done = call(*arguments)
        assert done.exit_code == 2, done.output
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert file.read_bytes() == before


def test_a_checkpoint_of_this_run_with_other_content_is_refused(tmp_path):
    file = tmp_path / "run.safetensors"
    options = ["train", "moons", "--samples", 40, "--epochs", 2, "--checkpoint", file]
    assert call(*options).exit_code == 0
    state = tt.checkpoints.load(file)
    for change in (
        {"model": {}},
        {"epoch": -1},
        {"losses": "many"},
        {"checks": []},
        {"optimizer": 3},
        {"seconds": None},
    ):
        tt.checkpoints.save(file, {**state, **change})
        done = call(*options, "--resume")
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1), done.output
        assert "does not fit this run" in done.stderr


def test_a_checkpoint_that_cannot_be_written_is_said_once_and_training_ends_well(tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    options = ["--samples", 40, "--epochs", 9, "--checkpoint", tmp_path / "run.safetensors", "--checkpoint-every", 1]
    done = call("train", "moons", *options)
    assert done.exit_code == 0
    assert done.stderr.count("\n") == 1
    assert "the disk is full; no checkpoint is there; the training goes on" in done.stderr
    assert list(tmp_path.iterdir()) == []
