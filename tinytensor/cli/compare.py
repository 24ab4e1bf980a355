"""The command ``compare``."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tinytensor import io
from tinytensor.cli.group import FailureError, app, check_files, sizes, spoken
from tinytensor.cli.report import console, progress, show_table
from tinytensor.comparison import PUBLISHED, Comparison, Speed, run_demo, time_steps
from tinytensor.training import ScalarEngine, TensorEngine

__all__ = ["compare_command"]


@app.command("compare")
def compare_command(
    steps: Annotated[int, typer.Option(help="Steps of the demo (published: 100).")] = 100,
    batch_sizes: Annotated[str, typer.Option(help="Batch sizes at which a step is timed.")] = "1,10,100,1000,10000",
    scalar_up_to: Annotated[
        int, typer.Option(help="The largest of them at which the scalar engine runs too; above it nothing is guessed.")
    ] = 100,
    dtype: Annotated[str, typer.Option(help="dtype of the tensor engine; the scalar engine is float64.")] = "float64",
    plot: Annotated[Path | None, typer.Option(help="Write a picture: .png, .svg or .pdf.", show_default=False)] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the numbers: .json.", show_default=False)
    ] = None,
) -> None:
    """Train micrograd's published moons demo with both engines, from the same weights, and time them.

    [dim]tinytensor compare --plot compare.png[/dim]
    """
    with spoken(ValueError, OSError, ImportError, code=2):
        chosen = sizes(batch_sizes, "batch-sizes") or ()
        if not chosen or min(chosen) < 1 or max(chosen) > 10_000_000:
            raise ValueError(f"batch-sizes must lie between 1 and 10,000,000, got {batch_sizes}")
        if not 1 <= steps <= 100_000:
            raise ValueError(f"steps must lie between 1 and 100,000, got {steps}")
        if dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be one of float32, float64; got {dtype!r}")
        check_files(plot, None, json_file)
        if importlib.util.find_spec("sklearn") is None:
            raise ImportError("the demo's data need scikit-learn: pip install 'tinytensor[app]'")
    out = console()
    found = _trained(out, steps, dtype)
    tolerance = 1e-9 if dtype == "float64" else 1e-3
    if not found.difference <= tolerance or not found.off_published <= 1e-9:
        raise FailureError(
            f"the engines disagree: their losses differ by {found.difference:.2g} (allowed {tolerance:g}), and the "
            f"scalar engine's from the published ones by {found.off_published:.2g}; please report this"
        )
    _show_losses(out, found)
    with progress(out, "timing", len(set(chosen))) as tick:
        done: list[Speed] = []

        def timed(speed: Speed) -> None:
            done.append(speed)
            tick(len(done), f"batch {speed.batch:,}")

        found.speeds = time_steps(sorted(set(chosen)), dtype, scalar_up_to, timed)
    _show_speeds(out, found)
    with spoken(OSError, ImportError):
        for name, path in _write(found, plot, json_file):
            out.print(f"{name}: {path}", markup=False)


def _trained(out: Any, steps: int, dtype: str) -> Comparison:
    found: list[Comparison] = []
    with progress(out, "both engines", 2 * steps) as tick:

        def seen(engine: str, step: int, loss: float) -> None:
            tick(step + (steps if engine == TensorEngine.name else 0), f"{engine} engine  loss {loss:.4f}")

        found.append(run_demo(steps, dtype, seen))
    return found[0]


def _show_losses(out: Any, found: Comparison) -> None:
    first, second = found.losses[ScalarEngine.name], found.losses[TensorEngine.name]
    n = len(first)
    chosen = sorted({*range(min(4, n)), *range(9, n, 10), n - 1})
    rows = [
        [
            f"{k + 1}", f"{first[k]:.12f}", f"{second[k]:.12f}", f"{abs(first[k] - second[k]):.0e}",
            f"{PUBLISHED[k]:.12f}" if k < len(PUBLISHED) else "",
        ]
        for k in chosen
    ]  # fmt: skip
    head = ["step", "loss, scalar", f"loss, tensor {found.dtype}", "difference", "published"]
    show_table(out, "micrograd's moons demo: MLP 2-16-16-1 (337 parameters), 100 points, the same weights", head, rows)
    out.print(
        f"The losses of all {n} steps agree within {found.difference:.1g}; accuracy "
        f"{100 * found.accuracies['scalar']:.0f} % (scalar) and {100 * found.accuracies['tensor']:.0f} % (tensor).",
        markup=False,
    )


def _show_speeds(out: Any, found: Comparison) -> None:
    rows = [
        [
            f"{s.batch:,}", f"{1e3 * s.scalar:,.3f}" if s.scalar is not None else "not run", f"{1e3 * s.tensor:,.3f}",
            f"{s.ratio:,.0f} x" if s.ratio is not None else "tensor alone",
        ]
        for s in found.speeds
    ]  # fmt: skip
    head = ["batch", "scalar, ms", f"tensor {found.dtype}, ms", "times faster"]
    show_table(out, "One training step: forward, loss, backward, update (median)", head, rows)


def _write(found: Comparison, plot: Path | None, json_file: Path | None) -> Iterator[tuple[str, Path]]:
    if json_file is not None:
        with io.replacing(json_file) as temporary:
            temporary.write_text(json.dumps(found.as_dict(), indent=2) + "\n", encoding="utf-8")
        yield "numbers", json_file
    if plot is not None:
        from tinytensor import plot as plots

        yield "picture", plots.save_figure(plots.comparison_figure(found), plot)
