"""``EMA``, a moving average of weights, and ``decay_groups``, the parameters that weight decay is meant for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.graph import tracing
from tinytensor.inplace import updating
from tinytensor.optim.checks import number

if TYPE_CHECKING:
    from tinytensor.nn.module import Module
    from tinytensor.nn.parameter import Parameter

__all__ = ["EMA", "decay_groups"]


class EMA:
    """The exponential moving average of a model's weights: w̄ ← d w̄ + (1 − d) w at every ``update``; the first copies w.

    Call ``update`` after each ``optimizer.step()``; evaluate, or save the model, inside ``average_parameters()``, where the
    model has the averages. ``use_buffers``: floating buffers are averaged too; otherwise they are the model's own. Follows
    ``torch.optim.swa_utils.AveragedModel`` with ``get_ema_multi_avg_fn(decay)``, and has its keys in ``state_dict``.

    >>> import tinytensor as tt
    >>> model = tt.nn.Linear(1, 1, bias=False)
    >>> ema = tt.optim.EMA(model, decay=0.9)
    >>> for value in (1.0, 2.0):
    ...     model.weight.data[...] = value
    ...     ema.update()
    >>> with ema.average_parameters():
    ...     print(model.weight.item())
    1.100000023841858
    >>> model.weight.item()
    2.0
    """

    def __init__(self, model: Module, decay: float = 0.999, use_buffers: bool = False) -> None:
        _named(model, "EMA")
        if not 0 <= number("EMA", "decay", decay) <= 1:
            raise ValueError(f"EMA: decay must lie in [0, 1], got {decay}")
        self.model, self.decay, self.use_buffers, self.n_averaged = model, decay, use_buffers, 0
        self.averages = {name: np.array(tensor._data) for name, tensor in self._tensors()}

    def _tensors(self) -> Iterator[tuple[str, Any]]:
        """Names and tensors that are averaged, each tensor once."""
        seen = {id(p): name for name, p in self.model.named_parameters()}
        yield from self.model.named_parameters()
        for name, tensor in self.model._entries() if self.use_buffers else ():
            if id(tensor) not in seen and tensor._data.dtype.kind in "fc":
                seen[id(tensor)] = name
                yield name, tensor

    def _pairs(self) -> list[tuple[Any, Any]]:
        """(average, tensor) of everything averaged; raises if the model is not the one that it was."""
        tensors = dict(self._tensors())
        for name in [*tensors, *self.averages]:
            if name not in tensors or name not in self.averages or tensors[name].shape != self.averages[name].shape:
                raise ValueError(f"EMA: the model has changed since the average was made: see {name!r}; make a new EMA")
        trace = tracing()
        averages = self.averages if trace is None else trace.live(self.averages)
        return [(averages[name], tensor) for name, tensor in tensors.items()]

    def update(self) -> None:
        """Take the model's present weights into the average."""
        trace = tracing()
        counts = vars(self)
        if trace is not None:
            trace.guard(self, "averages", self.averages)
            counts = trace.live(counts)
        decay, first = counts["decay"], counts["n_averaged"] == 0
        for average, tensor in self._pairs():
            if first:
                average[...] = tensor._data
            elif decay > 0.5:  # as torch.lerp: the more exact form for each side
                average += (1 - decay) * (tensor._data - average)
            else:
                average[...] = tensor._data - (tensor._data - average) * decay
        counts["n_averaged"] = counts["n_averaged"] + 1

    @contextmanager
    def average_parameters(self) -> Iterator[None]:
        """The model has the averages inside the ``with`` block, and its own weights after it, whatever happens there."""
        pairs = self._pairs()
        own = [np.array(tensor._data) for _, tensor in pairs]
        try:
            for average, tensor in pairs:
                updating(tensor)[...] = average
            yield
        finally:
            for array, (_, tensor) in zip(own, pairs, strict=True):
                updating(tensor)[...] = array

    def copy_to(self, model: Module | None = None) -> None:
        """Give the averages to the model, or to another one of the same structure, for good."""
        other = EMA(self.model if model is None else model, self.decay, self.use_buffers)
        other.averages = self.averages
        for average, tensor in other._pairs():
            updating(tensor)[...] = average

    def state_dict(self) -> dict[str, Any]:
        """The number of updates, ``n_averaged``, and the averages, ``module.<name>``: arrays of their own.

        >>> import tinytensor as tt
        >>> list(tt.optim.EMA(tt.nn.Linear(2, 3)).state_dict())
        ['n_averaged', 'module.weight', 'module.bias']
        """
        averages = {f"module.{name}": np.array(array) for name, array in self.averages.items()}
        return {"n_averaged": np.array(self.n_averaged), **averages}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Copy what :meth:`state_dict` gave; ValueError for other names or shapes, and nothing is changed then.

        Buffers that PyTorch's AveragedModel keeps, and this average does not, are left out.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"EMA: expected a state, as state_dict() gives it, got {type(state_dict).__name__}")
        wanted = {f"module.{name}": name for name in self.averages}
        missing = [key for key in ("n_averaged", *wanted) if key not in state_dict]
        own = {f"module.{name}" for name in self.model.state_dict()}
        unexpected = [key for key in state_dict if key != "n_averaged" and key not in own]
        if missing or unexpected:
            raise ValueError(f"EMA: missing {missing or 'nothing'}, unexpected {unexpected or 'nothing'}")
        arrays = {name: np.asarray(state_dict[key]) for key, name in wanted.items()}
        for name, array in arrays.items():
            if array.shape != self.averages[name].shape:
                raise ValueError(f"EMA: {name} has shape {array.shape}, expected {self.averages[name].shape}")
        self.averages = {name: array.astype(self.averages[name].dtype) for name, array in arrays.items()}
        self.n_averaged = int(state_dict["n_averaged"])


def _named(model: Any, what: str) -> list[tuple[str, Any]]:
    if not hasattr(model, "named_parameters"):
        raise TypeError(f"{what}: expected a model, got {type(model).__name__}")
    return list(model.named_parameters())


def _is_vector(name: str, parameter: Parameter) -> bool:
    return parameter.ndim < 2


def decay_groups(
    model: Module, weight_decay: float = 1e-2, exclude: Callable[[str, Parameter], bool] = _is_vector
) -> list[dict[str, Any]]:
    """Two parameter groups for an optimizer: weights, which decay, and the rest, with ``weight_decay`` 0.

    ``exclude(name, parameter)`` says which do not decay; by default those with fewer than two axes: biases, and the scales
    of normalisations. An empty group is left out.

    >>> import tinytensor as tt
    >>> model = tt.nn.MLP(2, [4, 1])
    >>> optimizer = tt.optim.AdamW(tt.optim.decay_groups(model, 0.1), lr=1e-3)
    >>> [(group["weight_decay"], [p.shape for p in group["params"]]) for group in optimizer.param_groups]
    [(0.1, [(4, 2), (1, 4)]), (0.0, [(4,), (1,)])]
    """
    named = _named(model, "decay_groups")
    kept = [p for name, p in named if not exclude(name, p)]
    rest = [p for name, p in named if exclude(name, p)]
    groups = [{"params": kept, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]
