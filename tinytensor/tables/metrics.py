"""How good predictions are, beside the trivial answer: counted a piece at a time, so a file may be larger than memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["ClassTally", "QuantityTally"]


class ClassTally:
    """Right and wrong classes; the baseline always says the most frequent class of the training rows.

    ``add(codes, logits)``: true classes (n,), -1 for one that training never saw (always wrong), and scores (n, classes).

    >>> import numpy as np
    >>> from tinytensor.tables.metrics import ClassTally
    >>> tally = ClassTally(shares=(0.75, 0.25))
    >>> tally.add(np.array([0, 1, 1]), np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]]))
    >>> tally.metrics()["accuracy"], tally.metrics()["baseline accuracy"]
    (0.6666666666666666, 0.3333333333333333)
    """

    def __init__(self, shares: tuple[float, ...]) -> None:
        self.shares = np.array(shares)
        self.counts = np.zeros((len(shares), len(shares)), np.int64)
        self.unknown = 0
        self._surprise = 0.0
        self._baseline = 0.0

    def add(self, codes: Array, logits: Array) -> None:
        """Count some rows."""
        known = codes >= 0
        self.unknown += int((~known).sum())
        codes, logits = codes[known], logits[known].astype(float)
        np.add.at(self.counts, (codes, logits.argmax(1)), 1)
        top = logits.max(1)
        logs = np.log(np.exp(logits - top[:, None]).sum(1)) + top
        self._surprise += float((logs - logits[np.arange(len(codes)), codes]).sum())
        self._baseline -= float(np.log(self.shares[codes]).sum())

    @property
    def rows(self) -> int:
        """Rows counted."""
        return int(self.counts.sum()) + self.unknown

    def metrics(self) -> dict[str, float]:
        """accuracy, log loss and macro F1, and what the baseline reaches; nan without rows."""
        n, known = self.rows, self.rows - self.unknown
        right, there, said = np.diag(self.counts), self.counts.sum(1), self.counts.sum(0)
        present = there > 0
        f1 = 2 * right / np.maximum(there + said, 1)
        return {
            "accuracy": _share(right.sum(), n),
            "baseline accuracy": _share(there[self.shares.argmax()], n),
            "log loss": _share(self._surprise, known),
            "baseline log loss": _share(self._baseline, known),
            "macro F1": float(f1[present].mean()) if present.any() else math.nan,
        }

    def facts(self) -> list[tuple[str, str]]:
        """The metrics in words."""
        m = self.metrics()
        unknown = f", {self.unknown:,} of them with a class that training never saw" if self.unknown else ""
        baseline = f"always the most frequent class: {100 * m['baseline accuracy']:.1f} %"
        return [
            ("accuracy", f"{100 * m['accuracy']:.1f} % of {self.rows:,} rows{unknown} ({baseline})"),
            ("log loss", f"{m['log loss']:.4f} (the classes' shares: {m['baseline log loss']:.4f})"),
            ("macro F1", f"{m['macro F1']:.3f}"),
        ]  # fmt: skip


class QuantityTally:
    """Errors of predicted quantities; the baseline always says the mean of the training rows.

    ``unit``: what is counted in, such as the standard deviation; squares of huge numbers would overflow without it.

    >>> import numpy as np
    >>> from tinytensor.tables.metrics import QuantityTally
    >>> tally = QuantityTally(mean=2.0)
    >>> tally.add(np.array([1.0, 3.0]), np.array([1.5, 3.0]))
    >>> tally.metrics()["mean absolute error"], tally.metrics()["R2"]
    (0.25, 0.875)
    """

    def __init__(self, mean: float, unit: float = 1.0) -> None:
        self.mean, self.unit = mean, unit
        self.rows = 0
        self._sums = np.zeros(5)

    def add(self, true: Array, predicted: Array) -> None:
        """Count some rows."""
        self.rows += len(true)
        with np.errstate(over="ignore", invalid="ignore"):
            error, away = predicted / self.unit - true / self.unit, true / self.unit - self.mean / self.unit
            self._sums += [abs(error).sum(), (error**2).sum(), abs(away).sum(), (away**2).sum(), away.sum()]

    def metrics(self) -> dict[str, float]:
        """Mean absolute and root mean square error, R², and what the baseline reaches; nan without rows."""
        absolute, square, far, spread, shift = (_share(s, self.rows) for s in self._sums)
        variance = spread - shift * shift
        return {
            "mean absolute error": absolute * self.unit,
            "baseline mean absolute error": far * self.unit,
            "root mean square error": math.sqrt(square) * self.unit,
            "baseline root mean square error": math.sqrt(spread) * self.unit,
            "R2": 1 - square / variance if variance > 0 else math.nan,
        }

    def facts(self) -> list[tuple[str, str]]:
        """The metrics in words."""
        m = self.metrics()
        facts = [("R²", f"{m['R2']:.3f} of {self.rows:,} rows (always the mean: 0 or less)")]
        for name in ("mean absolute error", "root mean square error"):
            facts.append((name, f"{m[name]:.6g} (always the mean of the training rows: {m['baseline ' + name]:.6g})"))
        return facts


def _share(part: float, whole: int) -> float:
    return float(part) / whole if whole else math.nan
