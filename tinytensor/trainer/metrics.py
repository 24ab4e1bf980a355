"""Metrics: sums over batches in float64, whatever the model computes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.nn.losses import BCELoss, CrossEntropyLoss

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["MAE", "R2", "RMSE", "Accuracy", "Metric", "TopK", "metrics_by_name"]


class Metric:
    """The base of metrics: ``update`` adds a batch to ``totals`` (float64), ``compute`` gives the number.

    A metric of your own sets ``name`` and ``size`` (how many totals) and writes ``update`` and ``compute``.

    >>> import numpy as np, tinytensor as tt
    >>> class Bias(tt.trainer.Metric):
    ...     name, size = "bias", 2
    ...     def update(self, outputs, target):
    ...         self.totals += np.sum(outputs - target, dtype=float), len(target)
    ...     def compute(self):
    ...         return self.totals[0] / self.totals[1]
    >>> bias = Bias()
    >>> bias.update(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
    >>> float(bias.compute())
    0.5
    """

    name = "metric"
    size = 2
    #: Which is better, for callbacks that watch it; None: they have to be told.
    larger_is_better: bool | None = None

    def __init__(self) -> None:
        self.totals: Array = np.zeros(self.size)

    def reset(self) -> None:
        """Forget all batches."""
        self.totals[...] = 0

    def update(self, outputs: Array, target: Array) -> None:
        """Take a batch into account."""
        raise NotImplementedError(f"{type(self).__name__} has no update(outputs, target); define it in the class")

    def compute(self) -> Any:
        """The number for all batches since :meth:`reset`."""
        raise NotImplementedError(f"{type(self).__name__} has no compute(); define it in the class")

    def _ratio(self) -> float:
        return float(self.totals[0] / self.totals[1]) if self.totals[1] else float("nan")


class Accuracy(Metric):
    """The share of right predictions.

    outputs (n, classes, …) with labels (n, …): the largest output counts. outputs (n,) or (n, 1) with targets of that shape:
    above ``threshold`` counts as 1, and a target above 0 is a 1 (so 0 and 1, and ±1, both do). outputs (n, classes) with
    targets of that shape: each number by itself; or, with ``classes``, the largest output against the largest target (for
    probabilities). The word "accuracy" means ``threshold=0.5`` for ``BCELoss`` and ``classes=True`` for ``CrossEntropyLoss``.

    >>> import numpy as np, tinytensor as tt
    >>> accuracy = tt.trainer.Accuracy()
    >>> accuracy.update(np.array([[0.1, 2.0], [1.0, 0.0]]), np.array([1, 1]))
    >>> accuracy.compute()
    0.5
    """

    name, larger_is_better = "accuracy", True

    def __init__(self, threshold: float = 0.0, classes: bool = False) -> None:
        super().__init__()
        self.threshold, self.classes = threshold, classes

    def update(self, outputs: Array, target: Array) -> None:
        """Take a batch into account."""
        if self.classes and outputs.shape == target.shape and outputs.ndim > 1:
            right = outputs.argmax(1) == target.argmax(1)
        elif outputs.shape == target.shape:
            right = (outputs > self.threshold) == (target > 0)
        elif (
            outputs.ndim == target.ndim + 1
            and outputs.shape[1] > 1
            and outputs.shape[:1] + outputs.shape[2:] == target.shape
        ):
            right = outputs.argmax(1) == target
        else:
            raise ValueError(
                f"accuracy: expected outputs (n, classes) with labels (n,), or equal shapes; got {outputs.shape}, {target.shape}"
            )
        self.totals += np.count_nonzero(right), right.size

    def compute(self) -> float:
        """Right predictions / predictions."""
        return self._ratio()


class TopK(Metric):
    """The share of samples whose label is among the ``k`` largest outputs (n, classes).

    >>> import numpy as np, tinytensor as tt
    >>> top2 = tt.trainer.TopK(2)
    >>> top2.update(np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), np.array([1, 2]))
    >>> top2.compute()
    0.5
    """

    larger_is_better = True

    def __init__(self, k: int = 5) -> None:
        super().__init__()
        if k < 1:
            raise ValueError(f"TopK: k must be at least 1, got {k}")
        self.k, self.name = k, f"top{k}"

    def update(self, outputs: Array, target: Array) -> None:
        """Take a batch into account."""
        if outputs.ndim != 2 or target.shape != outputs.shape[:1]:
            raise ValueError(
                f"top{self.k}: expected outputs (n, classes), labels (n,); got {outputs.shape}, {target.shape}"
            )
        k = min(self.k, outputs.shape[1])
        best = np.argpartition(outputs, -k, axis=1)[:, -k:]
        self.totals += np.count_nonzero((best == target[:, None]).any(1)), len(target)

    def compute(self) -> float:
        """Samples with the label among the largest / samples."""
        return self._ratio()


class _Regression(Metric):
    larger_is_better = False

    def _errors(self, outputs: Array, target: Array) -> Array:
        if outputs.shape != target.shape:
            raise ValueError(
                f"{self.name}: expected outputs and targets of one shape; got {outputs.shape} and {target.shape}"
            )
        return np.asarray(outputs, np.float64) - np.asarray(target, np.float64)


class MAE(_Regression):
    """Mean absolute error, Σ |x − y| / n.

    >>> import numpy as np, tinytensor as tt
    >>> mae = tt.trainer.MAE()
    >>> mae.update(np.array([1.0, 3.0]), np.array([0.0, 0.0]))
    >>> mae.compute()
    2.0
    """

    name = "mae"

    def update(self, outputs: Array, target: Array) -> None:
        """Take a batch into account."""
        self.totals += np.abs(self._errors(outputs, target)).sum(), target.size

    def compute(self) -> float:
        """Σ |x − y| / n."""
        return self._ratio()


class RMSE(_Regression):
    """Root of the mean squared error, √(Σ (x − y)² / n).

    >>> import numpy as np, tinytensor as tt
    >>> rmse = tt.trainer.RMSE()
    >>> rmse.update(np.array([3.0, 4.0]), np.array([0.0, 0.0]))
    >>> rmse.compute() == 12.5**0.5
    True
    """

    name = "rmse"

    def update(self, outputs: Array, target: Array) -> None:
        """Take a batch into account."""
        self.totals += (self._errors(outputs, target) ** 2).sum(), target.size

    def compute(self) -> float:
        """√(Σ (x − y)² / n)."""
        return float(np.sqrt(self._ratio()))


class R2(_Regression):
    """Coefficient of determination, 1 − Σ (x − y)² / Σ (y − ȳ)²; nan if all targets are equal.

    Of all numbers together (scikit-learn's ``r2_score`` averages over columns). The second sum is kept about the mean so far (Chan, Golub and LeVeque 1979), so nothing cancels.

    >>> import numpy as np, tinytensor as tt
    >>> r2 = tt.trainer.R2()
    >>> r2.update(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    >>> r2.compute()
    0.5
    """

    name, size, larger_is_better = "r2", 4, True

    def update(self, outputs: Array, target: Array) -> None:
        """Take a batch into account."""
        errors = self._errors(outputs, target)
        if not errors.size:
            return
        y = np.asarray(target, np.float64)
        residual, count, mean, spread = self.totals.tolist()
        part, total = y.mean(), count + y.size
        spread += ((y - part) ** 2).sum() + (part - mean) ** 2 * (count * y.size / total)
        self.totals[...] = residual + (errors**2).sum(), total, mean + (part - mean) * (y.size / total), spread

    def compute(self) -> float:
        """1 − Σ (x − y)² / Σ (y − ȳ)²."""
        residual, _, _, spread = self.totals.tolist()
        return 1 - residual / spread if spread else float("nan")


_KNOWN: dict[str, Any] = {"accuracy": Accuracy, "mae": MAE, "rmse": RMSE, "r2": R2}


def metrics_by_name(metrics: Any, loss: Any) -> dict[str, Metric]:
    """Metrics as the user may give them (a name, an object, several, or a dict) by name, as the loss reads outputs."""
    if metrics is None:
        return {}
    if isinstance(metrics, Mapping):
        pairs = [(str(name), _metric(value, loss)) for name, value in metrics.items()]
    else:
        several = metrics if isinstance(metrics, Sequence) and not isinstance(metrics, str) else [metrics]
        pairs = [(found.name, found) for found in (_metric(value, loss) for value in several)]
    names = [name for name, _ in pairs]
    if clash := [
        n
        for n in names
        if names.count(n) > 1 or n in ("loss", "epoch", "step", "lr", "seconds") or n.startswith("val_")
    ]:
        raise ValueError(
            f"Trainer: a metric cannot be named {clash[0]!r} (taken, or there twice); give a dict of names"
        )
    return dict(pairs)


def _metric(value: Any, loss: Any) -> Metric:
    if isinstance(value, Metric):
        return value
    if value == "accuracy":
        return Accuracy(0.5 if isinstance(loss, BCELoss) else 0.0, isinstance(loss, CrossEntropyLoss))
    if isinstance(value, str) and value in _KNOWN:
        return _KNOWN[value]()  # type: ignore[no-any-return]
    if isinstance(value, str) and value.startswith("top") and value[3:].isdecimal():
        return TopK(int(value[3:]))
    raise ValueError(
        f"Trainer: a metric is one of {', '.join(_KNOWN)}, top5 (or another number), or a Metric; got {value!r}"
    )
