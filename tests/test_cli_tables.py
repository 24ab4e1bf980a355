"""The command line on tables of one's own: train, predict, evaluate, inspect, and a sentence for every mistake."""

import csv
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from tinytensor import io, tables

testing = pytest.importorskip("typer.testing")
pytest.importorskip("sklearn")
pytest.importorskip("safetensors")
from tinytensor.cli import app as cli_app  # noqa: E402

RUN = "import sys; from tinytensor.cli import main; sys.exit(main())"


def call(*arguments):
    try:
        runner = testing.CliRunner(mix_stderr=False)  # older versions mix the streams unless told not to
    except TypeError:
        runner = testing.CliRunner()
    return runner.invoke(cli_app.app, [str(a) for a in arguments])


def fact(output, name):
    return re.search(rf"^{re.escape(name)}: (.*)$", output, re.M).group(1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a table of two kinds of columns, and rows whose target is not known."""
    draw = np.random.default_rng(0)
    with open(tmp_path / "data.csv", "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "size", "colour", "price", "label"])
        for k in range(300):
            size, colour = draw.normal(10, 3), draw.choice(["red", "green"])
            label = "big" if size > (9 if colour == "red" else 11) else "small"
            cells = ["" if k % 20 == 3 else f"{size:.3f}", "" if k % 25 == 4 else colour]
            writer.writerow([f"row {k}", *cells, f"{3 * size + (colour == 'red'):.3f}", label])
    (tmp_path / "new.csv").write_text("colour;size;id\nred;12;a\nviolet;;b\n;3;c\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*options):
    done = call("train", "data.csv", "--target", "label", "--drop", "price,id", "--save", "m.safetensors", *options)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_train_predict_evaluate_inspect(folder):
    shown = train("--plot", "p.png", "--epochs", 60, "--lr", 0.01)
    assert "note: classification of 'label' from 300 rows, 1 columns of numbers and 1 of categories" in shown
    assert re.search(r"^note: \d+ missing cells, filled with the mean", shown, re.M)
    assert float(fact(shown, "validation accuracy").split()[0]) >= 85
    assert "always the most frequent class: " in fact(shown, "validation accuracy")
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")
    done = call("predict", "m.safetensors", "new.csv", "-o", "out.csv", "--keep", "id", "--probabilities")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(open("out.csv")))
    assert [row["id"] for row in rows] == ["a", "b", "c"]
    assert (rows[0]["label"], rows[2]["label"]) == ("big", "small")
    assert float(rows[0]["p(big)"]) > 0.5
    assert (
        "note: 1 cells with a category that training never saw, read as none of the known ones: colour 1" in done.stdout
    )
    done = call("evaluate", "m.safetensors", "data.csv", "--json", "e.json")
    assert done.exit_code == 0, done.output
    numbers = json.loads((folder / "e.json").read_text())
    assert numbers["rows"] == 300
    assert fact(done.stdout, "accuracy").startswith(f"{100 * numbers['accuracy']:.1f} % of 300 rows")
    done = call("inspect", "m.safetensors")
    assert done.exit_code == 0, done.output
    assert re.search(r"0\.weight +\(64, 4\) +float32 +256", done.stdout)
    assert fact(done.stdout, "colour") == "2 categories: 'green', 'red' + missing"
    assert fact(done.stdout, "size").startswith("number, mean ")
    assert fact(done.stdout, "network") == "MLP 4-64-32-2, relu"
    assert fact(done.stdout, "target").startswith("'label': classification, 2 classes: big ")
    assert "epochs 60" in fact(done.stdout, "recipe")


def test_regression_and_its_picture(folder):
    done = call(
        "train", "data.csv", "--target", "price", "--drop", "label", "--save", "m.safetensors", "--plot", "p.svg"
    )
    assert done.exit_code == 0, done.output
    assert "column 'id' is left out: it has 300 different texts in 300 rows" in done.stdout
    assert float(fact(done.stdout, "validation R²").split()[0]) > 0.8
    assert "always the mean of the training rows" in fact(done.stdout, "validation mean absolute error")
    assert b"<svg" in (folder / "p.svg").read_bytes()
    assert call("predict", "m.safetensors", "new.csv", "-o", "out.tsv").exit_code == 0
    first = (folder / "out.tsv").read_text().splitlines()
    assert first[0] == "price"
    assert 30 < float(first[1]) < 44


def test_many_classes_and_no_hidden_layer(folder):
    rows = [f"{k % 40},{k % 7},a long name of class {k % 40} with $ signs$" for k in range(400)]
    (folder / "many.csv").write_text("x,z,kind\n" + "\n".join(rows) + "\n")
    options = "--target kind --hidden none --epochs 2 --plot p.png --save m.safetensors".split()
    done = call("train", "many.csv", *options)
    assert done.exit_code == 0, done.output
    assert fact(done.stdout, "network") == "MLP 2-40, relu, 120 parameters"
    assert (folder / "p.png").stat().st_size > 10_000
    assert call("inspect", "m.safetensors").exit_code == 0


def test_every_option_reaches_the_recipe(folder, monkeypatch):
    seen = {}

    def spy(table, recipe, on_epoch, checkpoint, every, resume, say):
        seen.update(table=table, recipe=recipe, rest=(str(checkpoint), every, resume))
        raise KeyboardInterrupt

    monkeypatch.setattr("tinytensor.tables.fit", spy)
    options = (
        "--task classification --numeric size --categorical colour --drop id --drop price --validation 0.3 --delimiter , "
        "--encoding utf-8 --hidden 7,5 --activation tanh --dropout 0.25 --epochs 9 --patience 3 --lr 0.02 --weight-decay 0.5 "
        "--batch-size 8 --seed 11 --checkpoint c.safetensors --checkpoint-every 4 --resume"
    )
    done = call("train", "data.csv", "--target", "label", *options.split())
    assert done.exit_code == 130
    assert seen["recipe"] == tables.TableRecipe((7, 5), "tanh", 0.25, 9, 3, 0.02, 0.5, 8, 0.3, 11)
    assert seen["table"].features == {"size": True, "colour": False}
    assert seen["rest"] == ("c.safetensors", 4, True)


# ----------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("train data.csv", "Missing option '--target'"),
        ("train no.csv --target label", "there is no file 'no.csv'"),
        ("train . --target label", "is a folder, expected a CSV file"),
        (
            "train data.csv --target lable",
            "data.csv has no column 'lable', which is to be predicted (--target); did you mean 'label'?",
        ),
        (
            "train data.csv --target label --drop prize",
            "has no column 'prize', which --drop names; did you mean 'price'?",
        ),
        (
            "train data.csv --target label --numeric colour",
            "data.csv, line 2, column 'colour': expected a number, got ",
        ),
        (
            "train data.csv --target label --task regression",
            "data.csv, line 2, column 'label': expected a number, got ",
        ),
        ("train data.csv --target id --drop label", "300 different 'id' in 300 rows, too many for classes"),
        ("train data.csv --target label --hidden 16;16", "hidden must be whole numbers with commas between"),
        ("train data.csv --target label --epochs 0", "epochs must be at least 1"),
        ("train data.csv --target label --validation 1", "validation is the share of rows held out"),
        ("train data.csv --target label --noise 1", "No such option: --noise"),
        ("train data.csv --target label --save m.pt", "must end in .safetensors"),
        ("train data.csv --target label --plot no/p.png", "no' does not exist"),
        ("train data.csv --target label --resume", "--resume and --checkpoint-every need a place"),
        ("train data.csv --target label --checkpoint-every 0", "checkpoint-every must be at least 1"),
        ("train data.csv --target label --save m.safetensors --checkpoint m.safetensors", "cannot be both"),
        ("train data.csv --target label --delimiter ::", "delimiter must be one character"),
        ("train data.csv --target label --config no.toml", "there is no file 'no.toml' (--config)"),
        ("predict no.safetensors new.csv -o out.csv", "there is no model 'no.safetensors'"),
        ("predict data.csv new.csv -o out.csv", "'data.csv' is no model of a table: "),
        ("predict no.safetensors new.csv -o out.xlsx", "must end in .csv or .tsv or .txt"),
        ("predict no.safetensors new.csv", "Missing option '--output'"),
        ("evaluate no.safetensors new.csv", "there is no model"),
        ("inspect no.safetensors", "there is no file 'no.safetensors'"),
        ("inspect data.csv", "is not a whole safetensors file"),
    ],
)
def test_a_mistake_gets_one_sentence_before_any_work(folder, arguments, sentence, monkeypatch):
    monkeypatch.setattr("tinytensor.tables.fit", lambda *a: pytest.fail("work was begun"))
    before = sorted(p.name for p in folder.iterdir())
    done = call(*arguments.split())
    assert done.exit_code == 2, done.output
    assert sentence in done.stderr
    assert done.stderr.startswith("tinytensor: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert sorted(p.name for p in folder.iterdir()) == before


def test_files_that_do_not_fit_the_model(folder):
    train("--epochs", 1)
    (folder / "bad.csv").write_text("size,colour,label\n1,red,big\n1,red,big\nx,red,big\n")
    (folder / "less.csv").write_text("colour,label\nred,big\n")
    (folder / "out.csv").write_text("old")
    for command in (["predict", "m.safetensors", "bad.csv", "-o", "out.csv"], ["evaluate", "m.safetensors", "bad.csv"]):
        done = call(*command)
        assert (done.exit_code, done.stderr) == (
            1,
            "tinytensor: bad.csv, line 4, column 'size': expected a number, got 'x'\n",
        )
    assert (folder / "out.csv").read_text() == "old"
    for command, sentence in (
        ("evaluate m.safetensors new.csv", "new.csv has no column 'label', which is the model's target"),
        ("predict m.safetensors less.csv -o out.csv", "less.csv has no column 'size', which the model reads"),
        ("predict m.safetensors new.csv -o new.csv", "'new.csv' is the file that is read"),
        ("predict m.safetensors new.csv -o out.csv --keep no", "has no column 'no'"),
    ):
        done = call(*command.split())
        assert (done.exit_code, sentence in done.stderr) == (2, True), done.stderr  # no work was begun
    assert (folder / "out.csv").read_text() == "old"


def test_a_disk_that_fills_up(folder, monkeypatch):
    train("--epochs", 1)

    def full(number):
        raise OSError(28, "No space left on device")

    (folder / "out.csv").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    done = call("predict", "m.safetensors", "new.csv", "-o", "out.csv")
    assert (done.exit_code, done.stderr) == (1, "tinytensor: cannot write 'out.csv': the disk is full\n")
    assert (folder / "out.csv").read_text() == "old"
    done = call("train", "data.csv", "--target", "label", "--epochs", 3, "--checkpoint", "c.safetensors")
    assert done.exit_code == 0  # the run is worth more than its checkpoint: it goes on
    assert done.stderr == (
        "tinytensor: cannot write the checkpoint 'c.safetensors': the disk is full; no checkpoint is there; the training goes on\n"
    )
    assert fact(done.stdout, "validation accuracy")
    assert sorted(p.name for p in folder.iterdir()) == ["data.csv", "m.safetensors", "new.csv", "out.csv"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="POSIX devices")
def test_standard_output_that_cannot_be_written_is_said(folder):
    train("--epochs", 1)
    command = [sys.executable, "-c", RUN, "inspect", "m.safetensors"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == "tinytensor: standard output cannot be written: the disk is full"
    assert "Traceback" not in done.stderr
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}  # cannot show R²
    (folder / "one.csv").write_text("größe,preis €\n" + "".join(f"{k},{k * k}\n" for k in range(40)))
    command = [sys.executable, "-c", RUN, "train", "one.csv", "--target", "preis €", "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert b"validation R?: " in done.stdout


def test_names_and_cells_cannot_draw_on_the_terminal(folder):
    rows = [f"{k % 5},\x1b]0;hi{k % 3},{k * 1.5}" for k in range(60)]
    (folder / "e.csv").write_text("x\x1b[31m,c,y\n" + "\n".join(rows))
    options = ["--epochs", 1, "--save", "e.safetensors"]
    for command in (["train", "e.csv", "--target", "y", *options], ["train", "e.csv", "--target", "c", "--epochs", 1]):
        done = call(*command)
        assert done.exit_code == 0, done.output
        assert "column 'x\\x1b[31m' is read as numbers" in done.stdout
        assert "\x1b" not in done.stdout
    (folder / "e.csv").write_text("x\x1b[31m,c\n,q\n")
    done = call("predict", "e.safetensors", "e.csv", "-o", "out.csv")
    assert "x�[31m 1" in done.stdout
    assert "\x1b" not in done.stdout
    assert "there are x�[31m, c" in call("train", "e.csv", "--target", "nothing").stderr


def test_a_file_cannot_draw_on_the_terminal(folder):
    io.save({"w\x1b[31m": np.eye(2)}, "x.safetensors", {"a\x1b]0;": "b\x1b[2J\n\n" * 100})
    done = call("inspect", "x.safetensors")
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 300


# ------------------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_and_resume(folder):
    options = ["train", "data.csv", "--target", "label", "--epochs", "400", "--patience", "0", "--dropout", "0.1"]
    whole = subprocess.run(
        [sys.executable, "-c", RUN, *options, "--save", "w.safetensors"], capture_output=True, timeout=120
    )
    assert whole.returncode == 0
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + RUN
    options += ["--save", "m.safetensors", "--checkpoint-every", "3"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while "80/400" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.fullmatch(
        r"tinytensor: stopped by Ctrl-C after epoch \d+; no model is written; --resume goes on from 'm\.checkpoint\.safetensors'\n",
        errors,
    )
    assert not (folder / "m.safetensors").exists()
    done = call(*options, "--resume")
    assert done.exit_code == 0, done.output
    assert "  40/400" not in done.stdout
    assert (folder / "m.safetensors").read_bytes() == (folder / "w.safetensors").read_bytes()


def test_a_checkpoint_is_not_overwritten_unless_resumed(folder):
    train("--epochs", 2, "--checkpoint-every", 1)
    done = call("train", "data.csv", "--target", "label", "--save", "m.safetensors", "--checkpoint-every", 1)
    assert done.exit_code == 2
    assert "'m.checkpoint.safetensors' is there already: add --resume to go on with that training" in done.stderr


def test_resume_with_nothing_there_begins(folder):
    shown = train("--epochs", 2, "--resume")
    assert "note: there is no checkpoint 'm.checkpoint.safetensors' yet: the run begins" in shown
    assert fact(shown, "checkpoint") == "m.checkpoint.safetensors"
    done = call("train", "data.csv", "--target", "label", "--save", "m.safetensors", "--resume", "--seed", 3)
    assert done.exit_code == 1
    assert "is the checkpoint of another run" in done.stderr


# ------------------------------------------------------------------------------------------------------ --config


def test_options_from_a_file_and_the_command_line_wins(folder):
    (folder / "run.toml").write_text(
        '# a run\ndata = "data.csv"\ntarget = "label"\ndrop = ["price", "id"]\nhidden = [12, 6]\nepochs = 3\n'
        'batch-size = 50\nlr = 1\nsave = "m.safetensors"\n'
    )
    done = call("train", "--config", "run.toml", "--lr", 0.01, "--epochs", 2)
    assert done.exit_code == 0, done.output
    assert fact(done.stdout, "network").startswith("MLP 4-12-6-2")
    recipe = tables.load_model("m.safetensors").summary["recipe"]
    assert (recipe["epochs"], recipe["lr"], recipe["batch_size"]) == (2, 0.01, 50)


def test_the_toys_and_predict_read_options_from_files_too(folder):
    (folder / "toy.toml").write_text('epochs = 2\nhidden = "5"\n')
    done = call("train", "moons", "--config", "toy.toml")
    assert "MLP 2-5-1" in done.stdout
    (folder / "named.toml").write_text('dataset = "moons"\nepochs = 2\nhidden = "5"\n', encoding="utf-8-sig")
    for config in (["--config", "named.toml"], ["--config=named.toml"]):
        assert "MLP 2-5-1" in call("train", *config).stdout
    train("--epochs", 1)
    (folder / "p.toml").write_text('output = "o.csv"\nprobabilities = true\nkeep = ["id", "colour"]\n')
    assert call("predict", "m.safetensors", "new.csv", "--config", "p.toml").exit_code == 0
    assert (folder / "o.csv").read_text().startswith("id,colour,label,p(big)")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("target = 'label'\nepoch = 3\n", "run.toml, line 2: train has no option 'epoch'; did you mean 'epochs'?"),
        ("\n[model]\nhidden = 3\n", "run.toml, line 2: train has no option 'model'"),
        ("\nepochs = 'many'\n", "run.toml, line 2: epochs must be a whole number, got 'many'"),
        ("epochs = 3.5\n", "run.toml, line 1: epochs must be a whole number, got '3.5'"),
        ("lr = true\n", "run.toml, line 1: lr must be a number, got 'True'"),
        ("resume = 1\n", "run.toml, line 1: resume must be true or false, got '1'"),
        ("drop = {a = 1}\n", "run.toml, line 1: drop must be a text, or a list of them, got \"{'a': 1}\""),
        ("epochs = = 3\n", "run.toml: expected TOML, lines such as epochs = 100: Invalid value (at line 1, column 10)"),
        ("epochs = 0\n", "epochs must be at least 1, got 0"),
    ],
)
def test_files_of_options_are_checked(folder, text, sentence):
    (folder / "run.toml").write_text(text)
    done = call("train", "data.csv", "--target", "label", "--config", "run.toml")
    assert done.exit_code == 2, done.output
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_of_each_kind():
    assert "--noise" in call("train", "--help").output
    shown = call("train", "data.csv", "--help").output
    for option in (
        "target task numeric categorical drop validation delimiter encoding decimal hidden activation dropout epochs patience lr "
        "weight-decay batch-size seed save plot checkpoint checkpoint-every resume config"
    ).split():
        assert f"--{option}" in shown
    assert "--noise" not in shown
    overview = call("--help").output
    assert all(word in overview for word in ("train", "predict", "evaluate", "inspect"))
    assert "train-table" not in overview


# ------------------------------------------------------------------------------------------------------ the documents


def test_the_commands_of_the_documents_run_and_print_what_they_say(tmp_path, monkeypatch):
    """Blocks in order; numbers may differ, words may not. Lines of progress are left out in the documents."""
    import shlex
    from pathlib import Path

    def shape(line):
        return re.sub(r"\d[\d,.]*", "#", line).strip()

    text = (Path(__file__).resolve().parents[1] / "docs" / "command-line.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    commands = 0
    for language, block in re.findall(r"^```(python|console)\n(.*?)^```$", text, re.M | re.S):
        if language == "python":
            exec(block, {})
            continue
        for part in block.split("$ tinytensor ")[1:]:
            command, *lines = part.splitlines()
            command, _, code = command.partition("  # exit code ")
            done = call(*shlex.split(command))
            assert done.exit_code == int(code or 0), done.output
            printed = {shape(line) for line in [*done.stdout.splitlines(), *done.stderr.splitlines()]}
            for line in lines:
                assert shape(line) in printed, (command, line, done.output)
            commands += 1
    assert commands == 9
