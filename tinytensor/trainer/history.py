"""``History``: what a training was like, as a table with a row for each epoch."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinytensor.io import check_writable, replacing

__all__ = ["History"]


class History:
    """A row (a dict) for each epoch, and the loss of every step.

    rows     epoch, step, loss, metrics, val_loss, val_metrics, lr, seconds
    losses   the loss of each optimizer step, on the samples of that step

    >>> import tinytensor as tt
    >>> history = tt.trainer.History()
    >>> history.append({"epoch": 1, "loss": 0.5})
    >>> history.append({"epoch": 2, "loss": 0.25})
    >>> history["loss"]
    [0.5, 0.25]
    >>> history
    epoch  loss
        1   0.5
        2  0.25
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.losses: list[float] = []

    def append(self, row: dict[str, Any]) -> None:
        """Add a row."""
        self.rows.append(dict(row))

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __getitem__(self, column: str) -> list[Any]:
        if self.rows and column not in self.columns:
            raise KeyError(f"the history has no column {column!r}; it has {', '.join(self.columns)}")
        return [row.get(column) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        r"""Write the table, numbers in full; the file is written whole or not at all.

        >>> import pathlib, tempfile, tinytensor as tt
        >>> history = tt.trainer.History()
        >>> history.append({"epoch": 1, "loss": 0.5})
        >>> history.to_csv(pathlib.Path(tempfile.mkdtemp()) / "h.csv").read_text()
        'epoch,loss\n1,0.5\n'
        """
        target = check_writable(path)
        with replacing(target) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows([self.line(row) for row in self.rows])
        return target

    def line(self, row: dict[str, Any]) -> list[str]:
        """The cells of a row in the order of the columns."""
        return ["" if row.get(name) is None else str(row[name]) for name in self.columns]

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw loss and metrics over the epochs; with ``path`` (.png, .svg, .pdf) write it. Returns matplotlib's figure.

        >>> import tinytensor as tt
        >>> history = tt.trainer.History()
        >>> history.append({"epoch": 1, "loss": 0.5, "val_loss": 0.7})
        >>> len(history.plot().axes)
        1
        """
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("drawing a history needs matplotlib: pip install 'tinytensor[plot]'") from None
        if not self.rows:
            raise ValueError("History.plot: there is no epoch to draw yet; call fit first")
        target = None if path is None else check_writable(path, ".png", ".svg", ".pdf")
        skip = {"epoch", "step", "lr", "seconds"}
        names = [c for c in self.columns if c not in skip and c.removeprefix("val_") not in skip]
        names = list(dict.fromkeys(name.removeprefix("val_") for name in names))
        figure = Figure(figsize=(4.2 * len(names), 3.2), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            self._draw(axes, name)
        if target is not None:
            with replacing(target) as temporary:
                figure.savefig(temporary, format=target.suffix.lower()[1:], dpi=150)
        return figure

    def _draw(self, axes: Any, name: str) -> None:
        for column, label in ((name, "training"), (f"val_{name}", "validation")):
            points = [(row["epoch"], row[column]) for row in self.rows if row.get(column) is not None]
            if points:
                axes.plot(
                    *zip(*points, strict=True), label=label, marker="o" if len(points) < 30 else None, markersize=3
                )
        axes.set(title=name, xlabel="epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)

    def __repr__(self) -> str:
        head = self.columns
        body = [["" if row.get(c) is None else _short(row[c]) for c in head] for row in self.rows]
        if len(body) > 20:
            body = [*body[:10], ["…"] * len(head), *body[-10:]]
        widths = [max(len(line[k]) for line in (head, *body)) for k in range(len(head))]
        return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in (head, *body))


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
