"""The command ``train``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from tinytensor import __version__, data, io
from tinytensor.cli.config import Config
from tinytensor.cli.group import app, check_files, say, sizes, spoken
from tinytensor.cli.report import console, progress, show_facts
from tinytensor.resuming import RunFile
from tinytensor.training import DivergedError, History, Recipe, TensorEngine, make_engine, train

__all__ = ["train_command"]

_DATA, _MODEL, _RUN, _FILES = "The data", "The network", "The training", "The files"


@app.command("train")
def train_command(
    dataset: Annotated[str, typer.Argument(help=f"One of {', '.join(data.DATASETS)}.", show_default=False)],
    samples: Annotated[
        int | None, typer.Option(help="How many samples.", show_default="500; all 1797 digits", rich_help_panel=_DATA)
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the noise.", show_default="0.1; blobs 1, digits 0", rich_help_panel=_DATA
        ),
    ] = None,
    test_size: Annotated[float, typer.Option(help="The share of samples held out.", rich_help_panel=_DATA)] = 0.2,
    hidden: Annotated[
        str | None,
        typer.Option(
            help="Sizes of the hidden layers, or none.", show_default="16,16; digits 64", rich_help_panel=_MODEL
        ),
    ] = None,
    activation: Annotated[str, typer.Option(help="relu, tanh or sigmoid.", rich_help_panel=_MODEL)] = "relu",
    dtype: Annotated[str, typer.Option(help="float32 or float64.", rich_help_panel=_MODEL)] = "float32",
    engine: Annotated[
        str, typer.Option(help="tensor, or scalar: every number a node, as in micrograd.", rich_help_panel=_MODEL)
    ] = "tensor",
    loss: Annotated[
        str | None,
        typer.Option(
            help="hinge (max-margin), bce, ce (cross-entropy) or mse.",
            show_default="hinge; digits ce",
            rich_help_panel=_RUN,
        ),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="sgd, adam or adamw.", show_default="sgd; digits adam", rich_help_panel=_RUN)
    ] = None,
    momentum: Annotated[float, typer.Option(help="Momentum of sgd.", rich_help_panel=_RUN)] = 0.0,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate.", show_default="sgd 1 (mse 0.3), adam and adamw 0.01", rich_help_panel=_RUN),
    ] = None,
    lr_decay: Annotated[
        float,
        typer.Option(
            help="d in lr · (1 - d · step / steps): 0 keeps the rate, 0.9 ends at a tenth.", rich_help_panel=_RUN
        ),
    ] = 0.9,
    l2: Annotated[
        float, typer.Option(help="Weight of Σ w² in the loss (adamw: decoupled decay 2 · l2).", rich_help_panel=_RUN)
    ] = 1e-4,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the samples.", show_default="200; digits 30", rich_help_panel=_RUN)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Samples per step.", show_default="all; digits 64", rich_help_panel=_RUN)
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of data, weights and order; the same gives the same run.", rich_help_panel=_RUN)
    ] = 0,
    plot: Annotated[
        Path | None,
        typer.Option(help="Write a picture: .png, .svg or .pdf.", rich_help_panel=_FILES, show_default=False),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the weights: .safetensors.", rich_help_panel=_FILES, show_default=False)
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Keep the run in this .safetensors file.", rich_help_panel=_FILES, show_default=False),
    ] = None,
    checkpoint_every: Annotated[int, typer.Option(help="Steps between two checkpoints.", rich_help_panel=_FILES)] = 100,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint, if it is there.", rich_help_panel=_FILES)
    ] = False,
    config: Config = None,
) -> None:
    """Train a multilayer perceptron on a toy dataset, or on a table of your own: train data.csv --help.

    [dim]tinytensor train moons --plot moons.png --save moons.safetensors[/dim]
    """
    with spoken(ValueError, OSError, ImportError, code=2):
        check_files(plot, save)
        points = data.toy(dataset, samples, noise, seed, test_size)
        recipe = Recipe(
            hidden=sizes(hidden, "hidden"), activation=activation, loss=loss, optimizer=optimizer, momentum=momentum,
            lr=lr, lr_decay=lr_decay, l2=l2, epochs=epochs, batch_size=batch_size, seed=seed, dtype=dtype, engine=engine,
        ).complete(dataset, points.classes)  # fmt: skip
        asked = {"dataset": dataset, "samples": samples, "noise": noise, "test_size": test_size}
        run = _run_file(checkpoint, checkpoint_every, resume, asked, recipe)
    machine = make_engine(points, recipe)
    out = console()
    steps = int(recipe.epochs or 1) * math.ceil(len(points.x_train) / (recipe.batch_size or len(points.x_train)))
    with spoken(DivergedError, ValueError), progress(out, f"training on {dataset}", steps) as tick:
        history = train(machine, points, lambda k, n, seen: tick(k, _state(seen)), run)
    files = [] if checkpoint is None else [("checkpoint", str(checkpoint))]
    with spoken(OSError, ImportError):
        if save is not None:
            files.append(("weights", str(io.save_mlp(machine.model, save, _words(points, recipe)))))
        if plot is not None:
            from tinytensor import plot as plots

            files.append(("picture", str(plots.save_figure(plots.training_figure(machine, points, history), plot))))
    show_facts(out, f"Trained on {dataset}", [*_summary(points, machine, history), *files])


def _run_file(path: Path | None, every: int, resume: bool, asked: dict[str, Any], recipe: Recipe) -> RunFile | None:
    """The checkpoint of this run, looked at before any work."""
    if path is None:
        if resume:
            raise ValueError("--resume goes on from a checkpoint: give its file with --checkpoint")
        return None
    run = RunFile(path, every, asked, say)
    io.check_writable(path, ".safetensors")
    if resume:
        run.find(recipe)
    elif path.exists():
        raise ValueError(f"{str(path)!r} is there already: add --resume to go on with that training, or remove it")
    return run


def _state(history: History) -> str:
    _, _, held = history.checks[-1]
    return f"loss {history.losses[-1]:.4f}  held-out accuracy {100 * held:5.1f} %"


def _summary(points: data.ToyDataset, machine: TensorEngine, history: History) -> list[tuple[str, str]]:
    _, trained, held = history.checks[-1]
    count = sum(p.size for p in machine.parameters)
    sizes = "-".join(map(str, machine.model.sizes))
    recipe = machine.recipe
    return [
        ("held-out accuracy", f"{100 * held:.1f} % of {len(points.x_test)} samples"),
        ("training accuracy", f"{100 * trained:.1f} % of {len(points.x_train)} samples"),
        ("loss", f"{history.losses[-1]:.6f} ({recipe.loss}), from {history.losses[0]:.6f}"),
        ("network", f"MLP {sizes}, {recipe.activation}, {count:,} parameters, {recipe.dtype}"),
        ("steps", f"{len(history.losses):,} with {recipe.optimizer}, {machine.name} engine"),
        ("speed", f"{history.steps_per_second:,.4g} steps/s ({history.seconds:.2f} s in steps)"),
    ]


def _words(points: data.ToyDataset, recipe: Recipe) -> dict[str, str]:
    """What is kept beside the weights, so that the model can be used again on raw points."""
    return {
        "dataset": points.name, "classes": str(points.classes), "loss": str(recipe.loss), "seed": str(recipe.seed),
        "mean": json.dumps(points.mean.tolist()), "scale": json.dumps(points.scale.tolist()),
        "tinytensor": __version__,
    }  # fmt: skip
