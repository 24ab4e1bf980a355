"""What a training is fed with: loaders of whatever the user gives, and what the mean over a batch is a mean of."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.data import DataLoader, TensorDataset
from tinytensor.graph import no_grad
from tinytensor.nn.losses import CrossEntropyLoss, NLLLoss
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.nn.module import Module
    from tinytensor.typing import Array

__all__ = ["Evaluating", "WholeSteps", "divisor", "inputs_loader", "loader_of", "plain", "quiet"]


def loader_of(data: Any, batch_size: int, shuffle: bool, generator: Any) -> Any:
    """A loader: the user's own, or one of a dataset, or of a tuple of arrays (or of what becomes arrays)."""
    arrays = isinstance(data, (tuple, list)) and len(data) > 0 and all(hasattr(a, "__array__") for a in data)
    if arrays or isinstance(data, tuple):
        data = TensorDataset(*data)
    if isinstance(data, list) or hasattr(data, "__getitem__"):
        return DataLoader(data, batch_size, shuffle, generator=generator)
    if not hasattr(data, "__iter__") or hasattr(data, "__next__"):
        what = "an iterator, which is empty after one epoch" if hasattr(data, "__next__") else type(data).__name__
        raise TypeError(f"Trainer: expected a loader, a dataset or a tuple of arrays, got {what}")
    return data


def inputs_loader(data: Any, batch_size: int) -> Any:
    """The same of inputs alone: an array, or what becomes one (a table, a list of lists of numbers)."""
    numbers = isinstance(data, list) and len(data) > 0 and not isinstance(data[0], (tuple, dict))
    if isinstance(data, TensorBase) or hasattr(data, "__array__") or numbers:
        data = (data if isinstance(data, TensorBase) else np.asanyarray(data),)
    return loader_of(data, batch_size, False, 0)


def plain(value: Any) -> Array:
    """The array of a tensor, or of what becomes one."""
    return value._data if isinstance(value, TensorBase) else np.asarray(value)


def divisor(loss: Any, target: Any, samples: int) -> float:
    """What the mean loss of a batch was divided by, so that the means of batches make that of all: numbers of the target.

    Class weights count, and labels to be ignored do not. Of a loss that is a sum, or a mean over the batch, it is the samples.
    """
    if getattr(loss, "reduction", "mean") != "mean" or not hasattr(target, "shape"):
        return samples
    wanted = plain(target)
    if not isinstance(loss, (CrossEntropyLoss, NLLLoss)) or wanted.dtype.kind not in "iu":
        return wanted.size
    ignored, weight = getattr(loss, "ignore_index", None), getattr(loss, "weight", None)
    labels = wanted[wanted != ignored]
    return labels.size if weight is None else float(plain(weight)[labels].sum(dtype=np.float64))


def quiet() -> Any:
    """NumPy's warnings of overflow and nan off (they are reported by name), unless somebody listens to them."""
    return np.errstate(**{kind: "ignore" for kind, how in np.geterr().items() if how == "warn"})  # type: ignore[arg-type]


class Evaluating:
    """The model in evaluation mode, and nothing recorded; every module has its own mode again afterwards."""

    def __init__(self, model: Module) -> None:
        self.model, self.off = model, no_grad()

    def __enter__(self) -> None:
        self.modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        self.off.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.off.__exit__(*error)
        for module, mode in self.modes:
            module.training = mode


class WholeSteps:
    """Inside ``with``, Ctrl-C takes effect at the end of the block, so that no step is half done; a second one at once.

    Between ``begin`` and ``end``; elsewhere, in other threads, and where the user has a handler of his own, nothing changes.
    """

    def __init__(self) -> None:
        self._inside = self._asked = self._listens = False

    def begin(self) -> None:
        """Listen."""
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
            self._listens = True

    def end(self) -> None:
        """Python's own handler again."""
        if self._listens:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._inside = self._asked = self._listens = False

    def _interrupt(self, *_: Any) -> None:
        if not self._inside or self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def __enter__(self) -> None:
        self._inside = True

    def __exit__(self, *_: Any) -> None:
        self._inside = False
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt
