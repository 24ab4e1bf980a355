"""What the command line prints: a bar and tables in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from rich.box import ROUNDED
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tinytensor.cli.group import clean

__all__ = ["Ticker", "console", "progress", "show_facts", "show_notes", "show_table"]


def console() -> Console:
    """Standard output, as it is now."""
    return Console(highlight=False, soft_wrap=True)


class Ticker(Protocol):
    """Told after every step how far the work is, and what to say about it."""

    def __call__(self, done: int, text: str) -> None: ...


@contextmanager
def progress(out: Console, title: str, total: int) -> Iterator[Ticker]:
    """A bar that is redrawn at most 20 times a second, or about ten plain lines where there is no terminal."""
    last = monotonic() - 1.0
    if not out.is_terminal:
        every = max(1, total // 10)

        def line(done: int, text: str) -> None:
            if done % every == 0 or done == total:
                out.print(f"{title}  {done:>{len(str(total))}}/{total}  {text}", markup=False)

        yield line
        return
    columns = (
        TextColumn("[bold]{task.description}"), BarColumn(bar_width=28), TextColumn("{task.completed:>4.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[text]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=out) as bar:
        task = bar.add_task(title, total=total, text="")

        def tick(done: int, text: str) -> None:
            nonlocal last
            if done == total or monotonic() - last > 0.05:
                last = monotonic()
                bar.update(task, completed=done, text=text)

        yield tick


def show_notes(out: Console, notes: Iterable[str]) -> None:
    """A line for each thing that was decided, or is unusual."""
    for note in notes:
        out.print(f"note: {clean(note)}", markup=False)


def show_facts(out: Console, title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Names and values: a table, or lines ``name: value``."""
    facts = [(clean(name), clean(value)) for name, value in facts]
    if not out.is_terminal:
        for name, value in facts:
            out.print(f"{name}: {value}", markup=False)
        return
    table = Table(
        title=title, title_justify="left", title_style="bold", show_header=False, box=ROUNDED, border_style="dim"
    )
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(Text(name), Text(value))
    out.print(table)


def show_table(out: Console, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns of numbers: a table, or aligned lines."""
    rows = [[clean(cell) for cell in row] for row in rows]
    if not out.is_terminal:
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        out.print(title, markup=False)
        for row in (head, *rows):
            out.print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), markup=False)
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=ROUNDED, border_style="dim")
    for name in head:
        table.add_column(name, justify="right", header_style="cyan")
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)
