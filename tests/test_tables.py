"""Tables: what is read, decided, encoded, trained and kept; and the sentence for every file that is no table or model."""

import csv
import gzip
import json
import math
import os
import re
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from tinytensor import checkpoints, io, tables
from tinytensor.tables.metrics import ClassTally, QuantityTally
from tinytensor.tables.preprocessing import Categories, Numbers, moments
from tinytensor.training import DivergedError

pytest.importorskip("safetensors")


@pytest.fixture
def write(tmp_path):
    def written(text, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def cells(path, **options):
    file = tables.CsvFile(path, **options)
    return [row for piece, _ in file.pieces(file.names) for row in zip(*piece, strict=True)]


def scikit(name, path):
    """One of scikit-learn's datasets as a CSV file with the target ``label``."""
    datasets = pytest.importorskip("sklearn.datasets")
    found = getattr(datasets, f"load_{name}")()
    with open(path, "w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*found.feature_names, "label"])
        for row, y in zip(found.data.tolist(), found.target.tolist(), strict=True):
            writer.writerow([*row, y if name == "diabetes" else found.target_names[y]])
    return path


# ---------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_found_out(write, delimiter):
    path = write("a,b\n1,x\n2,y\n".replace(",", delimiter))
    assert tables.CsvFile(path).delimiter == delimiter
    assert cells(path) == [("1", "x"), ("2", "y")]


def test_quotes_line_ends_blank_lines_and_missing_cells(write):
    path = write('a,"b, or so"\r\n1,"two\nlines"\r\n\r\nNA,"say ""hi"""\r\n ? ,  x  \r\n')
    file = tables.CsvFile(path)
    assert file.names == ["a", "b, or so"]
    (((first, second), lines),) = list(file.pieces(file.names))
    assert first == ["1", "", ""]
    assert second == ["two\nlines", 'say "hi"', "x"]
    assert lines == [2, 5, 6]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_are_found_out(write, encoding):
    assert cells(write("größe,b\n1,é\n".encode(encoding))) == [("1", "é")]
    assert tables.CsvFile(write("größe,b\n1,é\n".encode(encoding))).names[0] == "größe"


def test_another_encoding_is_named_by_the_user(write):
    path = write("a,b\n1,é\n".encode("latin-1"))
    assert cells(path, encoding="latin-1") == [("1", "é")]
    with pytest.raises(
        ValueError, match=r"t\.csv, line 2, byte 3: the byte 0xe9 is not UTF-8 text; .*--encoding latin-1"
    ):
        cells(path)
    with pytest.raises(ValueError, match=r"t\.csv' is not UTF-16 text: .*BOM"):
        cells(path, encoding="utf-16")


def test_decimal_commas(write):
    path = write("a;b\n1,5;x\n-2,25;y\n")
    (batch,) = tables.CsvFile(path, decimal=",").batches({"a": True})
    assert batch.columns["a"].tolist() == [1.5, -2.25]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty, expected a line with the names"),
        (b"\n\n  \n", "only blank lines"),
        (b"1,2\n3,4\n", r"line 1: expected the names of the columns, got numbers \(1, 2\)"),
        (b"a,b,a\n1,2,3\n", "line 1: columns 1 and 3 are both called 'a'"),
        (b"a,b\n1,2\n3\n", r"line 3: expected 2 cells, as in the header, got 1$"),
        (b"a,b\n1,2\n3,4,5\n", "line 3: expected 2 cells, as in the header, got 3, the first one too many being '5'"),
        (b'a,b\n1,2\n"3,4\n', "line 3: a quoted cell begins here and never ends"),
        (b'a,b\n1,2\n"3"x,4\n', "line 3: after the closing quote of a cell, expected ','"),
        (b'a,b\n1,"' + b"x" * 200_000 + b'"\n', "line 2: a cell has more than 131,072 characters"),
        (b"a,b\n1,\xff\n", "line 2, byte 3: the byte 0xff is not UTF-8"),
        (b"a,b\0\n1,2\n", "holds zero bytes"),
        (b"PK\x03\x04rest", "is a zip archive or an Excel workbook, expected CSV"),
        (b"\x1f\x8brest", "is a damaged gzip file"),
        (b"PAR1rest", "is a Parquet file"),
        (b"a," * 6_000_000, "a line of over 10,000,000 characters|a cell|expected"),
    ],
)
def test_what_is_no_table_is_refused_in_one_sentence(write, content, sentence):
    with pytest.raises(ValueError, match=sentence) as refused:
        cells(write(content))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_file_compressed_by_gzip_is_read_as_it_is(write):
    text = "a,b\n1,x\n2,é\n".encode()
    packed = gzip.compress(text)
    assert cells(write(packed, "t.csv.gz")) == [("1", "x"), ("2", "é")]
    with pytest.raises(ValueError, match=r"line 3, byte 3: the byte 0xe9 is not UTF-8"):
        cells(write(gzip.compress("a,b\n1,x\n2,é\n".encode("latin-1"))))
    big = gzip.compress(b"a,b\n" + bytes(range(48, 58)) * 20 + b",1\n" * 50_000)
    for damaged in (packed[:-9], packed[:-8] + b"\0" * 8, packed[:12] + b"\xff" * 20, big[: len(big) // 2]):
        with pytest.raises(ValueError, match="is a damaged gzip file"):
            cells(write(damaged))


def test_a_zero_byte_is_found_wherever_it_is(write):
    text = b"a,b\n" + b"1,2\n" * 30_000 + b"1,2\0\n"
    with pytest.raises(ValueError, match=r"t\.csv, line 30002: expected text, got a zero byte"):
        cells(write(text))


def test_a_wide_table_is_read_fewer_rows_at_a_time(write):
    text = ",".join(f"c{k}" for k in range(3000)) + "\n" + (",".join(["1"] * 3000) + "\n") * 700
    sizes = [len(lines) for _, lines in tables.CsvFile(write(text)).pieces(["c0"])]
    assert sizes == [333, 333, 34]


def test_a_hundred_thousand_columns_take_no_hundred_thousand_times_as_long(write):
    """Names are looked up, not searched: comparing each with each would be 10,000,000,000 comparisons."""

    class Counted(str):
        compared = 0

        def __eq__(self, other):
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [f"c{k}" for k in range(2000)]
    file = tables.CsvFile(write(",".join(names) + "\n" + ",".join(["1"] * 2000) + "\n"))
    asked = [Counted(name) for name in names]
    file.require(asked, "is asked for")
    assert len(list(file.pieces(asked))) == 1
    assert Counted.compared <= 10 * len(names)


def test_standard_input_cannot_be_read_twice():
    with pytest.raises(ValueError, match="standard input .*: write it to a file"):
        tables.CsvFile("-")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        tables.CsvFile(tmp_path / "no.csv")
    with pytest.raises(IsADirectoryError, match="is a folder, expected a CSV file"):
        tables.CsvFile(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.csv")
        with pytest.raises(ValueError, match="is a pipe or a device"):
            tables.CsvFile(tmp_path / "pipe.csv")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"delimiter": "::"}, "delimiter must be one character"),
        ({"encoding": "utf-9"}, "unknown encoding 'utf-9'"),
        ({"encoding": "base64"}, "not an encoding of text"),
        ({"decimal": "x"}, "decimal must be '.' or ','"),
        ({"decimal": ",", "delimiter": ","}, "not the delimiter"),
    ],
)
def test_options_of_reading_are_checked(write, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        tables.CsvFile(write("a,b\n1,2\n"), **options)


@pytest.mark.parametrize("cell", ["1.234", "1.234,5", "1_0", "1,2,3"])
def test_with_decimal_commas_a_point_is_no_number(write, cell):
    """1.234 is a thousand to who writes 1,5: it was read as a little more than one."""
    file = tables.CsvFile(write(f"a;b\n1,5;x\n{cell};y\n"), decimal=",")
    with pytest.raises(ValueError, match=r"line 3, column 'a': expected a number, got "):
        list(file.batches({"a": True}))


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("abc", "expected a number, got 'abc'$"),
        ("inf", "expected a number, got 'inf', which is not finite"),
        ("1e999", "which is not finite"),
        ("1_000", "expected a number, got '1_000'$"),
        ('"1,5"', "if the comma is a decimal point"),
        ('"1,234,567"', "without commas between thousands"),
        ("0x10", "expected a number, got '0x10'$"),
        ("x" * 1000, "x{40}'$"),
    ],
)
def test_wrong_numbers_are_named_with_line_and_column(write, cell, sentence):
    file = tables.CsvFile(write(f"a,b\n1,x\nNaN,y\nNAN,z\n{cell},y\n"), delimiter=",")
    with pytest.raises(ValueError, match=r"t\.csv, line 5, column 'a': .*" + sentence):
        list(file.batches({"a": True}))


def test_pieces_do_not_change_what_is_read(write):
    rows = "".join(f"{k},{'abc'[k % 3]}\n" for k in range(25))
    file = tables.CsvFile(write("n,c\n" + rows))
    whole = list(file.batches({"n": True, "c": False}, size=1000))
    parts = list(file.batches({"n": True, "c": False}, size=7))
    assert [len(p) for p in parts] == [7, 7, 7, 4]
    assert np.concatenate([p.columns["n"] for p in parts]).tolist() == whole[0].columns["n"].tolist()
    assert sum((p.columns["c"] for p in parts), []) == whole[0].columns["c"]
    assert sum((list(p.lines) for p in parts), []) == list(range(2, 27))


# --------------------------------------------------------------------------------------------------------- deciding


def make(write, header, rows, target, **options):
    text = header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    return tables.read(tables.CsvFile(write(text)), target, **options)


def test_numbers_categories_and_what_is_left_out(write):
    rows = [(k, "ab"[k % 2], 7, "", f"name {k}", k % 3, k % 2, "" if k < 3 else "only") for k in range(60)]
    table = make(write, "n,c,constant,empty,id,code,y,half", rows, "y")
    assert table.features == {"n": True, "c": False, "code": True, "half": False}
    notes = "; ".join(table.notes)
    assert "column 'constant' is left out: every known cell is '7'" in notes
    assert "column 'empty' is left out: all its cells are missing" in notes
    assert "column 'id' is left out: it has 60 different texts in 60 rows" in notes
    assert "column 'code' is read as numbers, of which it has 3 different" in notes
    assert table.task == "classification"


def test_the_user_overrules(write):
    rows = [(k, k % 3, f"n{k}", k % 4) for k in range(60)]
    table = make(write, "n,code,id,y", rows, "y", categorical=["code", "id"], drop=["n"], task="regression")
    assert table.features == {"code": False, "id": False}
    assert table.task == "regression"
    with pytest.raises(ValueError, match=r"line 2, column 'id': expected a number, got 'n0'"):
        make(write, "n,code,id,y", rows, "y", numeric=["id"])


def test_a_column_of_numbers_with_a_few_other_cells_is_named(write):
    """One 'inf' or '12x' among thousands made the column one of texts, and it was left out without a reason."""
    rows = [(k * 1.5, k % 7, k * 2.5) for k in range(60)]
    table = make(write, "x,z,y", [*rows, ("1e400", 1, 3.25)], "y")
    assert "nearly all are numbers, but not '1e400' in line 62: mend it" in "; ".join(table.notes)
    table = make(write, "x,z,y", [(f"{k % 30 + 0.5}" if k % 40 else "12x", k % 7, k * 2.5) for k in range(80)], "y")
    (note,) = [note for note in table.notes if "'x'" in note]
    assert note.endswith("but not '12x' in line 2, and 1 more: mend it, or leave the cell empty")
    assert "read as categories" in note
    with pytest.raises(
        ValueError, match=r"t\.csv, line 62, column 'y': expected a number, got '-Infinity', which is not"
    ):
        make(write, "x,z,y", [*rows, (1, 1, "-Infinity")], "y")
    assert make(write, "x,z,y", [*rows, (1, 1, "ab")] * 3, "y", task="classification").task == "classification"


def test_a_table_of_columns_without_use_is_refused_in_a_sentence_of_bounded_length(write):
    header, row = ",".join(f"c{k}" for k in range(500)), ",".join(["7"] * 499)
    with pytest.raises(ValueError, match="no column to learn 'c499' from: .*; and 496 more$") as refused:
        tables.read(tables.CsvFile(write(header + "\n" + "".join(f"{row},{k}\n" for k in range(30)))), "c499")
    assert len(str(refused.value)) < 500


def test_columns_that_number_the_rows(write):
    """pandas writes them without a name; in a sorted file they give the target away."""
    rows = [(k, k + 7, (k * 7) % 11, k * 0.5) for k in range(40)]
    table = make(write, ",id,x,y", rows, "y")
    assert table.features == {"id": True, "x": True}
    notes = "; ".join(table.notes)
    assert "'column 1', whose name is not given, is left out: it numbers the rows" in notes
    assert "column 'id' numbers the rows, and is read as a quantity; --drop id leaves it out" in notes
    assert make(write, ",id,x,y", rows, "y", numeric=["column 1"]).features["column 1"]
    big = [(k if k != 12_000 else 0, k, k % 2) for k in range(25_000)]  # over several pieces
    assert [note.split("'")[1] for note in make(write, "a,b,y", big, "y").notes] == ["b"]


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["yes", "no"] * 10, "classification"),
        ([0, 1] * 10, "classification"),
        ([0.5, 1.5] * 10, "classification"),
        (["1.0", "2.0", "3.0", ""] * 5, "classification"),
        ([k + 0.5 for k in range(20)], "regression"),
        (list(range(30)), "regression"),
    ],
)
def test_the_task_is_found_out(write, values, task):
    assert make(write, "x,y", list(enumerate(values)), "y").task == task


def test_whole_numbers_are_the_same_category_with_and_without_point(write):
    table = make(write, "x,y", [(k, ["1", "1.0", "2", "02"][k % 4]) for k in range(40)], "y", task="classification")
    assert set(table.batch.columns["y"]) == {"1", "2", "02"}


def test_rows_without_target_are_left_out_and_counted(write):
    table = make(write, "x,y", [(k, "" if k % 5 == 0 else "ab"[k % 2]) for k in range(40)], "y")
    assert len(table) == 32
    assert table.notes[0] == "8 of 40 rows have no 'y' and are left out"


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        ([(k, k % 2) for k in range(20)], {"target": "z"}, "no column 'z', which is to be predicted"),
        ([(k, k % 2) for k in range(20)], {"target": "Y"}, "there are x, y|did you mean 'y'"),
        ([(k, k % 2) for k in range(20)], {"drop": ["w"]}, "no column 'w', which --drop names"),
        ([(k, k % 2) for k in range(20)], {"drop": ["x"], "numeric": ["x"]}, "named by --numeric and by --drop"),
        ([(k, k % 2) for k in range(20)], {"drop": ["y"]}, "named by --target and by --drop"),
        ([(k, k % 2) for k in range(20)], {"drop": ["x"]}, "no column to learn 'y' from"),
        ([(k, k % 2) for k in range(20)], {"task": "clustering"}, "task must be classification or regression"),
        ([(k, 1) for k in range(20)], {}, "every row of .* has the 'y' '1': there is nothing to learn"),
        ([(k, 1) for k in range(20)], {"task": "regression"}, "every row of .* has the 'y' 1: there is nothing"),
        (
            [(k, "a" if k else "b") for k in range(20)],
            {"task": "regression"},
            "line 2, column 'y': expected a number, got 'b'",
        ),
        ([(k, "") for k in range(20)], {}, "has 0 rows with a known 'y'"),
        ([(k, k % 2) for k in range(5)], {}, "has 5 rows; expected at least 10 to learn from"),
        ([(k, f"n{k}") for k in range(40)], {}, "40 different 'y' in 40 rows, too many for classes"),
        ([], {}, "names of columns but no rows"),
    ],
)
def test_tables_from_which_nothing_can_be_learnt(write, rows, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(write, "x,y", rows, **{"target": "y", **options})


# --------------------------------------------------------------------------------------------------------- encoding


def test_encoding_counts_what_is_unusual():
    before = tables.Preprocessor(
        (Numbers("n", 2.0, 0.5), Categories("c", ("a", "b"), True, False), Categories("d", ("x",), False, True))
    )
    rows = tables.Batch({"n": np.array([3.0, np.nan, 1e300]), "c": ["b", "", "new"], "d": ["x", "", "new"]}, [2, 3, 4])
    found = tables.Found()
    assert before.encode(rows, found).tolist() == [
        [2, 0, 1, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [1e4, 0, 0, 0, 0, 1],
    ]
    assert (found.missing, found.unseen, found.far) == ({"n": 1, "c": 1, "d": 1}, {"c": 1}, {"n": 1})
    assert [note.split()[0] for note in found.notes()] == ["3", "1", "1"]


def test_only_training_rows_are_looked_at_and_the_description_is_complete():
    rows = tables.Batch({"n": np.array([1.0, 3.0]), "same": np.array([5.0, 5.0]), "c": ["a", ""]}, [2, 3])
    before = tables.Preprocessor.fit(rows, {"n": True, "same": True, "c": False})
    assert before.columns == (Numbers("n", 2.0, 1.0), Categories("c", ("a",), True, False))
    assert tables.Preprocessor.from_json(json.loads(json.dumps(before.as_json()))) == before


def test_many_categories_share_an_input():
    texts = [f"c{k % 60:02}" for k in range(600)] + ["c00"] * 5
    before = tables.Preprocessor.fit(tables.Batch({"c": texts}, range(605)), {"c": False})
    assert before.width == 51
    assert before.columns[0].rare


@pytest.mark.parametrize("unit", [1e-300, 1e-160, 1.0, 1e160, 1.7e308])
def test_huge_and_tiny_numbers_are_standardised(unit):
    values = np.array([0.25, 0.5, 1.0]) * unit
    mean, scale = moments(values)
    assert math.isfinite(mean) and math.isfinite(scale) and scale > 0
    out = np.zeros((3, 1), np.float32)
    Numbers("n", mean, scale).encode(values, out, tables.Found())
    np.testing.assert_allclose(out[:, 0], (np.array([0.25, 0.5, 1.0]) - 7 / 12) / np.std([0.25, 0.5, 1.0]), rtol=1e-5)


# --------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize(
    ("name", "metric", "least"),
    [("iris", "accuracy", 0.93), ("breast_cancer", "accuracy", 0.96), ("diabetes", "R2", 0.45)],
)
def test_scikit_learns_tables_reach_their_usual_quality(tmp_path, name, metric, least):
    table = tables.read(tables.CsvFile(scikit(name, tmp_path / "t.csv")), target="label")
    reached = []
    for seed in range(4):
        fitted = tables.fit(table, tables.TableRecipe(seed=seed))
        metrics = fitted.validation.metrics()
        reached.append(metrics[metric])
        assert metrics[metric] > metrics.get(f"baseline {metric}", 0.3)
    assert np.mean(reached) >= least, reached


def mixed(write, n=200, seed=0):
    draw = np.random.default_rng(seed)
    size, colour = draw.normal(10, 3, n), draw.choice(["red", "green", "blue"], n)
    noise = draw.random(n)
    label = np.where((size > 10) ^ (colour == "red"), "yes", "no")
    rows = [
        ("" if noise[k] < 0.05 else f"{size[k]:.4f}", "" if noise[k] > 0.95 else colour[k], label[k]) for k in range(n)
    ]
    return make(write, "size,colour,label", rows, "label")


def test_numbers_and_categories_together_with_missing_cells(write):
    fitted = tables.fit(mixed(write, 400), tables.TableRecipe(hidden=(32,)))
    assert fitted.validation.metrics()["accuracy"] > 0.85
    (note,) = fitted.notes
    assert re.match(r"\d+ missing cells, filled with the mean .*: (size|colour) \d+, (size|colour) \d+", note)
    assert fitted.model.preprocessor.columns[1] == Categories("colour", ("blue", "green", "red"), True, False)


def test_the_same_seed_gives_the_same_file(write, tmp_path):
    table = mixed(write)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        tables.fit(table, tables.TableRecipe(epochs=5, dropout=0.3, seed=seed)).model.save(
            tmp_path / f"{name}.safetensors"
        )
    a, b, c = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "abc")
    assert a == b != c


def test_early_stopping_keeps_the_best_weights(write):
    table = mixed(write, 60)
    fitted = tables.fit(table, tables.TableRecipe(epochs=300, patience=5, lr=0.02))
    losses = [row[2] for row in fitted.history]
    assert len(losses) == fitted.best + 5 < 300
    assert min(losses) == losses[fitted.best - 1]
    assert fitted.validation.metrics()["log loss"] == pytest.approx(min(losses), rel=1e-5)
    assert len(tables.fit(table, tables.TableRecipe(epochs=30, patience=0)).history) == 30


def test_every_class_is_trained_on(write):
    table = make(write, "x,y", [(k, "rare" if k == 7 else "ab"[k % 2]) for k in range(40)], "y")
    fitted = tables.fit(table, tables.TableRecipe(epochs=2))
    assert fitted.model.goal.names == ("a", "b", "rare")
    assert len(fitted.held_out) == 8


def test_classes_that_are_numbers_are_in_order(write):
    table = make(write, "x,y", [(k, [10, 9, 2][k % 3]) for k in range(60)], "y")
    assert tables.fit(table, tables.TableRecipe(epochs=1)).model.goal.names == ("2", "9", "10")


def test_a_loss_without_bounds_is_said(write):
    table = make(write, "x,y", [(k, k * 1.5 + 0.1) for k in range(60)], "y")
    with pytest.raises(DivergedError, match=r"in epoch \d+, at learning rate 1e\+30, which is too high"):
        tables.fit(table, tables.TableRecipe(lr=1e30))


def test_huge_and_tiny_numbers_are_learnt_from(write):
    table = make(write, "x,z,y", [(f"{k}e300", f"{k % 7}e-310", f"{k}.5e306") for k in range(-60, 60)], "y")
    fitted = tables.fit(table, tables.TableRecipe(lr=0.02))
    metrics = fitted.validation.metrics()
    assert metrics["R2"] > 0.95
    assert 0 < metrics["root mean square error"] < 1e308


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hidden": (0,)}, "hidden sizes must be at least 1"), ({"activation": "swish"}, "activation must be one of"),
        ({"dropout": 1.0}, "dropout must be"), ({"epochs": 0}, "epochs must be at least 1"),
        ({"patience": -1}, "patience must be at least 0"), ({"batch_size": 0}, "batch-size must be at least 1"),
        ({"validation": 0.0}, "validation is the share"), ({"lr": math.inf}, "lr must be a finite number"),
        ({"weight_decay": -1.0}, "weight-decay must be"), ({"seed": -1}, "seed must be at least 0"),
    ],
)  # fmt: skip
def test_recipes_are_checked(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        tables.TableRecipe(**options)


# -------------------------------------------------------------------------------------------------------- checkpoints

RECIPE = tables.TableRecipe(epochs=12, dropout=0.2, patience=0)


def test_a_run_goes_on_bit_by_bit(write, tmp_path):
    table, place = mixed(write), tmp_path / "run.safetensors"
    whole = tables.fit(table, RECIPE).model.save(tmp_path / "whole.safetensors").read_bytes()

    class Stop(Exception):
        pass

    def stop(epoch, training, validation):
        if epoch == 7:
            raise Stop

    with pytest.raises(Stop):
        tables.fit(table, RECIPE, stop, place, every=2)
    assert len(checkpoints.load(place)["history"]) == 6
    fitted = tables.fit(table, RECIPE, None, place, every=2, resume=True)
    assert fitted.model.save(tmp_path / "resumed.safetensors").read_bytes() == whole
    again = tables.fit(table, RECIPE, lambda *a: pytest.fail("it was finished"), place, resume=True)
    assert again.model.save(tmp_path / "again.safetensors").read_bytes() == whole


def test_more_epochs_may_follow(write, tmp_path):
    from dataclasses import replace

    table, place = mixed(write), tmp_path / "run.safetensors"
    tables.fit(table, replace(RECIPE, epochs=5), None, place)
    a = tables.fit(table, RECIPE, None, place, resume=True).model.save(tmp_path / "a.safetensors").read_bytes()
    assert a == tables.fit(table, RECIPE).model.save(tmp_path / "b.safetensors").read_bytes()


def test_checkpoints_of_another_run_are_refused(write, tmp_path):
    from dataclasses import replace

    table, place = mixed(write), tmp_path / "run.safetensors"
    tables.fit(table, replace(RECIPE, epochs=2), None, place)
    before = place.read_bytes()
    for recipe, sentence in (
        (replace(RECIPE, hidden=(8,)), r"its hidden differs \(64,32 there, 8 here\)"),
        (replace(RECIPE, seed=1), r"its seed differs \(0 there, 1 here\)"),
    ):
        with pytest.raises(ValueError, match=sentence):
            tables.fit(table, recipe, None, place, resume=True)
    with pytest.raises(ValueError, match="its rows differ; give the options and data of that run"):
        tables.fit(mixed(write, seed=1), RECIPE, None, place, resume=True)
    assert place.read_bytes() == before
    checkpoints.save(place, {"kind": "other"})
    with pytest.raises(ValueError, match="another kind of training"):
        tables.fit(table, RECIPE, None, place, resume=True)
    place.write_bytes(before[:-10])
    with pytest.raises(ValueError, match="not a checkpoint that can be read"):
        tables.fit(table, RECIPE, None, place, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("best"), lambda s: s.update(best=99), lambda s: s.update(history=[(2, 1.0, 1.0)]),
        lambda s: s.update(network={}), lambda s: s.update(kept=[]), lambda s: s.update(optimizer={"state": 3}),
        lambda s: s.update(optimizer=None), lambda s: s.update(history=5),
    ],
)  # fmt: skip
def test_checkpoints_that_lie_are_refused(write, tmp_path, change):
    table, place = mixed(write), tmp_path / "run.safetensors"
    tables.fit(table, tables.TableRecipe(epochs=2), None, place)
    state = checkpoints.load(place)
    change(state)
    checkpoints.save(place, state)
    with pytest.raises(ValueError, match="is not the checkpoint of a table: "):
        tables.fit(table, tables.TableRecipe(epochs=3), None, place, resume=True)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.slow
def test_killed_at_any_moment_a_run_goes_on_bit_by_bit(write, tmp_path):
    mixed(write)
    code = (
        "import sys\nfrom tinytensor import tables\nfolder, name = sys.argv[1:]\n"
        "table = tables.read(tables.CsvFile(folder + '/t.csv'), 'label')\n"
        "recipe = tables.TableRecipe(epochs=150, patience=0, dropout=0.2)\nprint('go', flush=True)\n"
        "tables.fit(table, recipe, None, f'{folder}/{name}.run.safetensors', resume=True).model.save(f'{folder}/{name}.safetensors')\n"
    )

    def start(name):
        return subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], stdout=subprocess.PIPE, text=True)

    process = start("whole")
    assert process.wait(timeout=120) == 0
    process.stdout.close()
    draw, killed = np.random.default_rng(0), 0
    for _ in range(30):
        process = start("killed")
        assert process.stdout.readline() == "go\n"
        process.stdout.close()
        try:
            process.wait(timeout=draw.uniform(0.0, 0.25))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
            process.wait()
            continue
        break
    assert killed >= 2
    if process.returncode != 0:
        process = start("killed")
        assert process.wait(timeout=120) == 0
        process.stdout.close()
    assert (tmp_path / "killed.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert sorted(p.name for p in tmp_path.glob("*killed*")) == ["killed.run.safetensors", "killed.safetensors"]


# ------------------------------------------------------------------------------------------------------- model files


@pytest.fixture
def model(write):
    return tables.fit(mixed(write), tables.TableRecipe(hidden=(8,), epochs=2)).model


def test_a_model_comes_back_as_it_was(model, tmp_path):
    again = tables.load_model(model.save(tmp_path / "m.safetensors"))
    assert (again.preprocessor, again.goal, again.target) == (model.preprocessor, model.goal, model.target)
    assert again.summary == json.loads(json.dumps(model.summary))
    x = np.ones((3, model.preprocessor.width), np.float32)
    np.testing.assert_array_equal(again.scores(x), model.scores(x))
    assert again.save(tmp_path / "n.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()


def changed(path, change, state=None):
    """A model's file with another description, or other arrays."""
    words = io.load_metadata(path)
    description = json.loads(words["table"])
    new = change(description)
    words["table"] = new if isinstance(new, str) else json.dumps(description)
    io.save(state or io.load(path), path, words)


def put(*keys):
    *path, last, value = keys

    def change(description):
        for key in path:
            description = description[key]
        description[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put("format", "tinytensor table 99"), "not of format"),
        (put("extra", 1), "not of format"),
        (lambda d: "[" * 100_000, "nested too deep"),
        (lambda d: "{", "Expecting|expecting"),
        (lambda d: "[]", "not of format"),
        (put("target", ""), "its target is ''"),
        (put("target", "size"), "its target is 'size'"),
        (put("summary", 3), "its summary"),
        (put("columns", []), "list of columns"),
        (put("columns", 0, 5), "a column is described as 5"),
        (put("columns", 0, "scale", 0), "has mean .* and scale 0"),
        (put("columns", 0, "scale", 10**400), "too large"),
        (put("columns", 0, "mean", math.inf), "has mean inf"),
        (put("columns", 0, "mean", True), "has mean True"),
        (put("columns", 0, "name", "colour"), "two of its columns have the same name"),
        (put("columns", 0, "kind", "pickle"), "a column is described as"),
        (put("columns", 1, "categories", ["a", "a", "b"]), "not different texts"),
        (put("columns", 1, "categories", ["a"]), "its columns give 3 inputs .* its network has 5"),
        (put("columns", 1, "missing", 1), "must be true or false"),
        (put("goal", {"task": "ranking"}), "its target is described as"),
        (put("goal", "names", ["a"]), "not at least two names"),
        (put("goal", "shares", [0.5]), "a share each"),
        (put("goal", "shares", [0.0, 1.0]), "a share each"),
        (put("goal", {"task": "regression", "mean": 0.0, "scale": 1.0}), "1 outputs, its network has 5 and 2"),
        (put("goal", {"task": "regression", "mean": 0.0, "scale": -1.0}), "scale -1.0"),
    ],
)
def test_hostile_descriptions_are_refused_in_one_sentence(model, tmp_path, change, sentence):
    path = model.save(tmp_path / "m.safetensors")
    changed(path, change)
    with pytest.raises(ValueError, match=sentence) as refused:
        tables.load_model(path)
    assert str(refused.value).startswith(f"{str(path)!r} is no model of a table: ")
    assert "\n" not in str(refused.value)


def test_weights_that_are_not_finite_are_refused(model, tmp_path):
    path = model.save(tmp_path / "m.safetensors")
    state = io.load(path)
    state["0.weight"][0, 0] = np.nan
    changed(path, lambda d: None, state)
    with pytest.raises(ValueError, match="'0.weight' are not all finite"):
        tables.load_model(path)


def test_other_files_are_no_models(tmp_path, write):
    with pytest.raises(FileNotFoundError, match="there is no model"):
        tables.load_model(tmp_path / "no.safetensors")
    with pytest.raises(ValueError, match="is no model of a table: not a whole safetensors file|is no model"):
        tables.load_model(write("a,b\n1,2\n", "m.safetensors"))
    io.save({"w": np.eye(2)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="is no model of a table"):
        tables.load_model(tmp_path / "w.safetensors")


def test_a_damaged_file_is_refused_or_harmless(model, tmp_path):
    content = model.save(tmp_path / "m.safetensors").read_bytes()
    draw = np.random.default_rng(0)
    path = tmp_path / "d.safetensors"
    refused = 0
    for k in range(400):
        damaged = bytearray(content)
        if k % 4 == 0:
            del damaged[draw.integers(len(damaged)) :]
        else:
            for place in draw.integers(len(damaged), size=1 + k % 3):
                damaged[place] ^= 1 << int(draw.integers(8))
        path.write_bytes(damaged)
        try:
            tables.load_model(path)
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 150


# -------------------------------------------------------------------------------------------------------- predicting


def test_columns_are_found_by_name_in_any_order(model, write, tmp_path):
    rows = [("12", "red"), ("8.5", ""), ("", "violet")]
    write("size,colour\n" + "".join(f"{a},{b}\n" for a, b in rows), "a.csv")
    write("id;colour;more;size\n" + "".join(f"{k};{b};x;{a}\n" for k, (a, b) in enumerate(rows)), "b.csv")
    found = tables.Found()
    for name, keep in (("a", []), ("b", ["id"])):
        done = tables.predict_file(
            model, tables.CsvFile(tmp_path / f"{name}.csv"), tmp_path / f"{name}.out.csv", keep, True, found, size=2
        )
        assert done == 3
    a, b = ((tmp_path / f"{name}.out.csv").read_text().splitlines() for name in "ab")
    assert a[0] == "label,p(no),p(yes)"
    assert b == [f"{i},{row}" for i, row in zip(["id", 0, 1, 2], a, strict=True)]
    assert found.unseen == {"colour": 2}
    assert sum(float(p) for p in a[1].split(",")[1:]) == pytest.approx(1, abs=1e-5)


def test_predictions_are_written_whole_or_not_at_all(model, write, tmp_path):
    new = write("size,colour\n1,red\n" * 1 + "2,red\n" * 30 + "oops,red\n", "new.csv")
    out = tmp_path / "out.csv"
    out.write_text("old")
    with pytest.raises(ValueError, match=r"new\.csv, line 33, column 'size': expected a number, got 'oops'"):
        tables.predict_file(model, tables.CsvFile(new), out, size=10)
    assert out.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.csv", "out.csv", "t.csv"]


@pytest.mark.parametrize(
    ("header", "options", "sentence"),
    [
        ("sise,colour", {}, "has no column 'size', which the model reads; did you mean 'sise'?"),
        ("a,b", {}, "has no column 'size' and 1 more, which the model reads; there are a, b"),
        ("size,colour", {"keep": ["id"]}, "has no column 'id', which is to be kept"),
    ],
)
def test_predictions_that_cannot_be_made(model, write, tmp_path, header, options, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        tables.predict_file(model, tables.CsvFile(write(header + "\n1,red\n", "n.csv")), tmp_path / "o.csv", **options)
    assert not (tmp_path / "o.csv").exists()


def test_the_file_that_is_read_is_not_written(model, write):
    path = write("size,colour\n1,red\n", "n.csv")
    with pytest.raises(ValueError, match="is the file that is read"):
        tables.predict_file(model, tables.CsvFile(path), path)
    assert path.read_text() == "size,colour\n1,red\n"


def test_no_two_columns_of_predictions_have_one_name(model, write, tmp_path):
    header = list(model.preprocessor.features)
    label = f"p({model.goal.names[0]})"
    names = [*header, model.target, f"{model.target} (predicted)", label]
    path = write(",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n", "clash.csv")
    keep = [model.target, f"{model.target} (predicted)", label, label]
    tables.predict_file(model, tables.CsvFile(path), tmp_path / "o.csv", keep, probabilities=True)
    found = tables.CsvFile(tmp_path / "o.csv").names  # which refuses two of one name
    assert found[:4] == [*keep[:3], f"{model.target} (predicted) (predicted)"]
    assert f"{label} (predicted)" in found


def test_quantities_have_no_probabilities(write, tmp_path):
    table = make(write, "x,y", [(k, k + 0.5) for k in range(40)], "y")
    model = tables.fit(table, tables.TableRecipe(epochs=1)).model
    with pytest.raises(ValueError, match="probabilities are of classes"):
        tables.predict_file(model, tables.CsvFile(write("x\n1\n", "n.csv")), tmp_path / "o.csv", probabilities=True)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(model, tmp_path):
    def peak(rows):
        path = tmp_path / "big.csv"
        with open(path, "w") as out:
            out.write("id,size,colour,label\n")
            for k in range(rows):
                out.write(f"row number {k},{k % 17}.25,{'red' if k % 3 else 'blue'},yes\n")
        tracemalloc.start()
        tables.predict_file(model, tables.CsvFile(path), tmp_path / "o.csv", size=1000)
        model.evaluate(tables.CsvFile(path))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        with open(tmp_path / "o.csv") as out:
            assert sum(1 for _ in out) == rows + 1
        return found, path.stat().st_size

    small, _ = peak(20_000)
    large, size = peak(200_000)
    assert large < 1.2 * small
    assert large < 12_000_000 < 6 * size


# ----------------------------------------------------------------------------------------------------------- metrics


def test_metrics_agree_with_scikit_learn_whatever_the_pieces():
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    y, logits = draw.integers(0, 3, 100), draw.normal(size=(100, 3))
    tally = ClassTally((0.5, 0.3, 0.2))
    for piece in np.array_split(np.arange(100), 7):
        tally.add(y[piece], logits[piece])
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = tally.metrics()
    assert found["accuracy"] == metrics.accuracy_score(y, p.argmax(1))
    assert found["log loss"] == pytest.approx(metrics.log_loss(y, p))
    assert found["macro F1"] == pytest.approx(metrics.f1_score(y, p.argmax(1), average="macro"))
    assert found["baseline accuracy"] == np.mean(y == 0)
    true, guess = draw.normal(5, 2, 100), draw.normal(5, 2, 100)
    quantities = QuantityTally(4.0)
    for piece in np.array_split(np.arange(100), 7):
        quantities.add(true[piece], guess[piece])
    found = quantities.metrics()
    assert found["R2"] == pytest.approx(metrics.r2_score(true, guess))
    assert found["root mean square error"] == pytest.approx(metrics.root_mean_squared_error(true, guess))
    assert found["mean absolute error"] == pytest.approx(metrics.mean_absolute_error(true, guess))
    assert found["baseline mean absolute error"] == pytest.approx(np.abs(true - 4).mean())


def test_unknown_classes_are_wrong():
    tally = ClassTally((0.5, 0.5))
    tally.add(np.array([-1, 0]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert tally.metrics()["accuracy"] == 0.5
    assert "1 of them with a class that training never saw" in tally.facts()[0][1]
