"""The command ``train`` for tables of one's own: ``tinytensor train data.csv --target label``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tinytensor import tables
from tinytensor.cli.config import Config
from tinytensor.cli.group import FailureError, app, check_files, say, sizes, spoken
from tinytensor.cli.report import console, progress, show_facts, show_notes
from tinytensor.tables.model import Classes
from tinytensor.training import DivergedError

__all__ = ["Decimal", "Delimiter", "Encoding", "names_of", "train_table_command"]

_DATA, _MODEL, _RUN, _FILES = "The data", "The network", "The training", "The files"


def _option(panel: str, text: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


Delimiter = Annotated[str | None, _option(_DATA, "What stands between cells: , ; | or tab.", show_default="found out")]
Encoding = Annotated[
    str | None, _option(_DATA, "Such as latin-1.", show_default="utf-8; utf-16 and utf-32 if the file says so")
]
Decimal = Annotated[str, _option(_DATA, "The decimal point of numbers: . or ,")]
_Names = list[str] | None


@app.command("train-table", hidden=True)
def train_table_command(
    data: Annotated[
        Path, typer.Argument(help="A CSV file with the names of the columns in its first line.", show_default=False)
    ],
    target: Annotated[str, _option(_DATA, "The column to be predicted.", show_default=False)],
    task: Annotated[
        str | None, _option(_DATA, "classification or regression.", show_default="found out from the target")
    ] = None,
    numeric: Annotated[
        _Names, _option(_DATA, "Columns that must hold numbers; may be repeated.", show_default=False)
    ] = None,
    categorical: Annotated[
        _Names, _option(_DATA, "Columns of categories, also if they look like numbers.", show_default=False)
    ] = None,
    drop: Annotated[_Names, _option(_DATA, "Columns that are not used.", show_default=False)] = None,
    validation: Annotated[float, _option(_DATA, "The share of rows held out to judge.")] = 0.2,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    decimal: Decimal = ".",
    hidden: Annotated[str, _option(_MODEL, "Sizes of the hidden layers, or none.")] = "64,32",
    activation: Annotated[str, _option(_MODEL, "relu, tanh or sigmoid.")] = "relu",
    dropout: Annotated[float, _option(_MODEL, "The share of hidden units that a step leaves out.")] = 0.0,
    epochs: Annotated[int, _option(_RUN, "Passes over the rows, at most.")] = 200,
    patience: Annotated[
        int, _option(_RUN, "Stop when the validation loss has not improved for so many epochs; 0: never.")
    ] = 20,
    lr: Annotated[float, _option(_RUN, "Learning rate of AdamW.")] = 0.003,
    weight_decay: Annotated[float, _option(_RUN, "Weight decay of AdamW.")] = 0.01,
    batch_size: Annotated[
        int | None, _option(_RUN, "Rows per step.", show_default="32; a hundredth of the rows, up to 1024")
    ] = None,
    seed: Annotated[int, _option(_RUN, "Seed of split, weights and order; the same gives the same run.")] = 0,
    save: Annotated[Path | None, _option(_FILES, "Write the model: .safetensors.", show_default=False)] = None,
    plot: Annotated[Path | None, _option(_FILES, "Write a picture: .png, .svg or .pdf.", show_default=False)] = None,
    checkpoint: Annotated[
        Path | None,
        _option(_FILES, "Where the state of the run is kept.", show_default="beside the model, if it is needed"),
    ] = None,
    checkpoint_every: Annotated[
        int | None, _option(_FILES, "Keep the state of the run every so many epochs.", show_default="with --resume 1")
    ] = None,
    resume: Annotated[bool, _option(_FILES, "Go on from the checkpoint, if it is there.", "--resume")] = False,
    config: Config = None,
) -> None:
    """Train a multilayer perceptron on a table of your own.

    [dim]tinytensor train data.csv --target label --save model.safetensors --plot training.png[/dim]
    """
    out = console()
    with spoken(ValueError, OSError, ImportError, code=2):
        recipe = tables.TableRecipe(
            sizes(hidden, "hidden") or (), activation, dropout, epochs, patience, lr, weight_decay, batch_size, validation, seed
        )  # fmt: skip
        check_files(plot, save)
        kept, every = _checkpoint(checkpoint, checkpoint_every, resume, save)
        file = tables.CsvFile(data, delimiter, encoding, decimal)
        chosen = (names_of(file, names, option) for names, option in
                  ((numeric, "numeric"), (categorical, "categorical"), (drop, "drop")))  # fmt: skip
        table = tables.read(file, target, task, *chosen)
    show_notes(out, [_task(table), *table.notes])
    fitted = _fit(out, table, recipe, kept, every, resume)
    show_notes(out, fitted.notes)
    with spoken(OSError, ImportError, ValueError):
        files = _write(table, fitted, save, plot, kept)
    show_facts(out, f"Trained on {table.file}", [*_summary(table, fitted), *files])


def names_of(file: tables.CsvFile, given: Sequence[str] | None, option: str) -> list[str]:
    """The columns that an option names: once or several times, or with commas between."""
    found: list[str] = []
    for text in given or ():
        found += [text] if text in file.names else [part.strip() for part in text.split(",") if part.strip()]
    file.require(found, f"--{option} names")
    return found


def _checkpoint(given: Path | None, every: int | None, resume: bool, save: Path | None) -> tuple[Path | None, int]:
    """Where the run is kept, and after how many epochs."""
    if every is not None and every < 1:
        raise ValueError(f"checkpoint-every must be at least 1, got {every}")
    if given is None and (resume or every is not None):
        if save is None:
            raise ValueError(
                "--resume and --checkpoint-every need a place: give --checkpoint run.safetensors, or --save"
            )
        given = save.with_name(f"{save.stem}.checkpoint.safetensors")
    if given is not None:
        check_files(None, given)
        if save is not None and os.path.realpath(given) == os.path.realpath(save):
            raise ValueError(f"{str(given)!r} cannot be both the model and the checkpoint")
        if given.exists() and not resume:
            raise ValueError(f"{str(given)!r} is there already: add --resume to go on with that training, or remove it")
    return given, every or 1


def _task(table: tables.Table) -> str:
    kinds = list(table.features.values())
    other = "regression" if table.task == "classification" else "classification"
    return (
        f"{table.task} of {table.target!r} from {len(table):,} rows, {sum(kinds)} columns of numbers and "
        f"{len(kinds) - sum(kinds)} of categories (--task {other}, --numeric, --categorical and --drop change that)"
    )


def _fit(
    out: Any, table: tables.Table, recipe: tables.TableRecipe, kept: Path | None, every: int, resume: bool
) -> tables.Fitted:
    done = 0
    if resume and kept is not None and not kept.exists():
        show_notes(out, [f"there is no checkpoint {str(kept)!r} yet: the run begins"])
    try:
        with (
            spoken(DivergedError, ValueError, OSError),
            progress(out, f"training on {os.path.basename(table.file)}", recipe.epochs) as tick,
        ):

            def seen(epoch: int, training: float, validation: float) -> None:
                nonlocal done
                done = epoch
                tick(epoch, f"loss {training:.4f}  validation {validation:.4f}")

            return tables.fit(table, recipe, seen, kept, every, resume, say)
    except KeyboardInterrupt:
        there = f"; --resume goes on from {str(kept)!r}" if kept is not None and kept.exists() else ""
        raise FailureError(f"stopped by Ctrl-C after epoch {done}; no model is written{there}", 130) from None


def _write(
    table: tables.Table, fitted: tables.Fitted, save: Path | None, plot: Path | None, kept: Path | None
) -> list[tuple[str, str]]:
    files = []
    if save is not None:
        files.append(("model", str(fitted.model.save(save))))
    else:
        files.append(("model", "not kept; --save model.safetensors keeps it"))
    if plot is not None:
        from tinytensor import plot as plots
        from tinytensor.plot.tables import table_figure

        model, rows = fitted.model, fitted.held_out
        predicted, scores = model.predict(rows)
        true: Any = rows.columns[table.target]
        names: tuple[str, ...] = ()
        if isinstance(model.goal, Classes):
            true, predicted, names = model.goal.encode(true), scores.argmax(1), model.goal.names
        title = f"{os.path.basename(table.file)}: {table.task} of {table.target}, {len(rows):,} rows held out"
        figure = table_figure(title.replace("$", r"\$"), fitted.history, fitted.best, true, predicted, names)
        files.append(("picture", str(plots.save_figure(figure, plot))))
    if kept is not None:
        files.append(("checkpoint", str(kept)))
    return files


def _summary(table: tables.Table, fitted: tables.Fitted) -> list[tuple[str, str]]:
    model, n = fitted.model, len(fitted.history)
    layers = "-".join(map(str, model.network.sizes))
    count = sum(p.size for p in model.network.parameters())
    first = fitted.training.facts()[0]
    return [
        *((f"validation {name}", value) for name, value in fitted.validation.facts()),
        (f"training {first[0]}", first[1]),
        ("epochs", f"{n}; the weights of epoch {fitted.best} are kept, whose validation loss was lowest"),
        ("network", f"MLP {layers}, {model.network.activation}, {count:,} parameters"),
    ]
