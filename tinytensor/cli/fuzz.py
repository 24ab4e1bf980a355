"""The command ``fuzz``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from tinytensor.cli.group import FailureError, app, spoken
from tinytensor.cli.report import console, progress
from tinytensor.testing.fuzz import WITNESSES, fuzz

__all__ = ["fuzz_command"]


@app.command("fuzz")
def fuzz_command(
    examples: Annotated[int, typer.Option(help="Programs to draw.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same programs.")] = 0,
    lines: Annotated[int, typer.Option(help="Lines of the longest programs.")] = 8,
    against: Annotated[str, typer.Option(help="Witnesses: scalar, finite-difference.")] = ",".join(WITNESSES),
) -> None:
    """Check random NumPy programs: tensors against the scalar engine, second derivatives against differences.

    A failing program is shrunk and printed as source that can be pasted into a test.

    [dim]tinytensor fuzz --examples 10000 --seed 7[/dim]
    """
    names = [name.strip() for name in against.split(",") if name.strip()]
    with spoken(ValueError, code=2):
        if not 1 <= examples <= 100_000_000:
            raise ValueError(f"examples must lie between 1 and 100,000,000, got {examples}")
        if not 1 <= lines <= 100:
            raise ValueError(f"lines must lie between 1 and 100, got {lines}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        if not names or set(names) - set(WITNESSES):
            raise ValueError(f"against must name some of {', '.join(WITNESSES)}; got {against!r}")
    out = console()
    start = time.perf_counter()
    with progress(out, "random programs", examples) as tick:
        report = fuzz(examples, seed, lines, lambda done: tick(done, f"{done:,} programs"), names)
    if report.failure is not None:
        out.print(str(report.failure), markup=False, highlight=False)
        raise FailureError(f"program {report.programs - 1:,} of seed {seed} is wrong: see above; please report it")
    out.print(
        f"{report.programs:,} programs of {report.lines:,} lines, {len(report.operations)} operations, against "
        f"{' and '.join(names)}: all right, {time.perf_counter() - start:.1f} s",
        markup=False,
        highlight=False,
    )
