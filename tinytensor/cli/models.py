"""The commands ``predict``, ``evaluate`` and ``inspect``: what one does with a model that was kept."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from tinytensor import io, tables
from tinytensor.cli.config import Config
from tinytensor.cli.group import app, check_files, spoken
from tinytensor.cli.report import console, show_facts, show_notes, show_table
from tinytensor.cli.tables import Decimal, Delimiter, Encoding, names_of
from tinytensor.tables.predicting import ENDINGS, check_prediction

__all__ = ["evaluate_command", "inspect_command", "predict_command"]

_Model = Annotated[Path, typer.Argument(help="What train --save wrote: .safetensors.", show_default=False)]
_Data = Annotated[Path, typer.Argument(help="A CSV file with the same columns, in any order.", show_default=False)]


@app.command("predict")
def predict_command(
    model: _Model,
    data: _Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Write the predictions: .csv or .tsv.", show_default=False)
    ],
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Columns to copy beside the predictions; may be repeated.", show_default=False),
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Write the probability of every class too.")
    ] = False,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    decimal: Decimal = ".",
    config: Config = None,
) -> None:
    """Predict the target of every row of a file, which may be larger than memory.

    [dim]tinytensor predict model.safetensors new.csv -o out.csv --keep id[/dim]
    """
    with spoken(ValueError, OSError, ImportError, code=2):
        io.check_writable(output, *ENDINGS)
        known = tables.load_model(model)
        file = tables.CsvFile(data, delimiter, encoding, decimal)
        copied = names_of(file, keep, "keep")
        check_prediction(known, file, output, copied, probabilities)
    out, found = console(), tables.Found()
    with spoken(ValueError, OSError):
        rows = tables.predict_file(known, file, output, copied, probabilities, found)
    show_notes(out, found.notes())
    unused = len(set(file.names) - set(known.preprocessor.features) - set(copied))
    facts = [("rows", f"{rows:,}"), ("target", f"{known.target!r}, {known.goal.task}"), ("predictions", str(output))]
    show_facts(out, f"Predicted {data}", [*facts, ("columns not used", str(unused))])


@app.command("evaluate")
def evaluate_command(
    model: _Model,
    data: _Data,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    decimal: Decimal = ".",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the numbers: .json.", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Compare a model's predictions with the target in a file, and both with the trivial answer.

    [dim]tinytensor evaluate model.safetensors data.csv[/dim]
    """
    with spoken(ValueError, OSError, ImportError, code=2):
        check_files(None, None, json_file)
        known = tables.load_model(model)
        file = tables.CsvFile(data, delimiter, encoding, decimal)
        known.require(file, target=True)
    out, found = console(), tables.Found()
    with spoken(ValueError, OSError):
        tally, skipped = known.evaluate(file, found)
        facts = tally.facts()
        if json_file is not None:
            numbers = {name: value if math.isfinite(value) else None for name, value in tally.metrics().items()}
            with io.replacing(json_file) as temporary:
                text = json.dumps({"rows": tally.rows, "rows without target": skipped, **numbers}, indent=2)
                temporary.write_text(text + "\n", encoding="utf-8")
            facts.append(("numbers", str(json_file)))
    absent = [f"{skipped:,} rows have no {known.target!r} and are left out"] if skipped else []
    show_notes(out, [*found.notes(), *absent])
    show_facts(out, f"{known.target} in {data}", facts)


@app.command("inspect")
def inspect_command(model: _Model) -> None:
    """Show what a .safetensors file holds: layers, shapes, preprocessing, how it was trained.

    [dim]tinytensor inspect model.safetensors[/dim]
    """
    with spoken(ValueError, OSError, ImportError, code=2):
        words = io.load_metadata(model)
        arrays = io.load(model)
        known = tables.load_model(model) if "table" in words else None
    out = console()
    total = sum(array.size for array in arrays.values())
    rows = [[_short(name), str(tuple(a.shape)), str(a.dtype), f"{a.size:,}"] for name, a in arrays.items()]
    show_table(out, f"{model}: {len(arrays)} arrays, {total:,} numbers", ["array", "shape", "dtype", "numbers"], rows)
    if known is None:
        show_facts(
            out, "Words in the file", [(_short(key), _short(value, 200)) for key, value in sorted(words.items())]
        )
        return
    show_facts(
        out, "Columns that are read", [(_short(c.name), _short(str(c), 300)) for c in known.preprocessor.columns]
    )
    network = f"MLP {'-'.join(map(str, known.network.sizes))}, {known.network.activation}"
    facts = [("network", network), ("target", _short(f"{known.target!r}: {known.goal}", 300))]
    facts += [(_short(key.replace("_", " ")), _short(_words(value), 400)) for key, value in known.summary.items()]
    show_facts(out, "Model", [*facts, ("written by tinytensor", _short(words.get("tinytensor", "?")))])


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "-".join(map(str, value)) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _short(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
