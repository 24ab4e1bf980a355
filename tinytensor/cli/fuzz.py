"""The command ``fuzz``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tinytensor.cli.group import FailureError, app, spoken
from tinytensor.cli.report import console, progress
from tinytensor.testing.fuzz import FuzzReport, check_witnesses, fuzz
from tinytensor.testing.operation import load, rows_of

__all__ = ["fuzz_command"]


@app.command("fuzz")
def fuzz_command(
    examples: Annotated[int, typer.Option(help="Programs to draw.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same programs.")] = 0,
    lines: Annotated[int, typer.Option(help="Lines of the longest programs.")] = 8,
    against: Annotated[
        str, typer.Option(help="Witnesses, in any order: scalar, finite-difference, torch.")
    ] = "scalar,finite-difference",
    ops: Annotated[str, typer.Option(help="Operations of your own: my_module:my_op, with commas between.")] = "",
) -> None:
    """Check random NumPy programs: tensors against the scalar engine, PyTorch, and finite differences.

    A failing program is shrunk and printed as source that can be pasted into a test.

    [dim]tinytensor fuzz --examples 10000 --seed 7 --against scalar,torch[/dim]
    """
    names = list(dict.fromkeys(name.strip() for name in against.split(",") if name.strip()))
    with spoken(ValueError, ImportError, TypeError, code=2):
        if not 1 <= examples <= 100_000_000:
            raise ValueError(f"examples must lie between 1 and 100,000,000, got {examples}")
        if not 1 <= lines <= 100:
            raise ValueError(f"lines must lie between 1 and 100, got {lines}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        check_witnesses(names)
        extra = _operations(ops)
    out = console()
    start = time.perf_counter()
    with progress(out, "random programs", examples) as tick:
        report = fuzz(examples, seed, lines, lambda done: tick(done, f"{done:,} programs"), names, extra)
    if report.failure is not None:
        out.print(str(report.failure), markup=False, highlight=False)
        raise FailureError(f"program {report.programs - 1:,} of seed {seed} is wrong: see above; please report it")
    out.print(_summary(report, names, time.perf_counter() - start), markup=False, highlight=False)


def _operations(text: str) -> tuple[Any, ...]:
    """The rows that ``--ops`` names; modules of the folder where the command runs are found."""
    sys.path.insert(0, "")
    try:
        return rows_of(load(text))
    finally:
        sys.path.remove("")


def _summary(report: FuzzReport, names: Sequence[str], seconds: float) -> str:
    """What was run, against whom, and what a witness had to leave out."""
    skipped = {
        "torch": "{:,} skipped by torch, which lacks one of their functions",
        "scalar": "{:,} against finite differences instead of scalar, which cannot run one of their functions",
    }
    left_out = "".join(f"; {skipped[name].format(n)}" for name, n in report.skipped.items() if n)
    return (
        f"{report.programs:,} programs of {report.lines:,} lines, {len(report.operations)} operations, against "
        f"{' and '.join(names)}: all right, {seconds:.1f} s{left_out}"
    )
