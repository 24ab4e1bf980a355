"""What a trainer refuses before any work."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_count", "check_parts"]


def check_count(what: str, name: str, value: Any) -> None:
    """Refuse what is not 1, 2, …"""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{what}: {name} must be a whole number from 1, got {value!r}")


def check_parts(model: Any, loss: Any, optimizer: Any) -> None:
    """Refuse what cannot train, or would train something else."""
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(f"Trainer: loss is called with (outputs, target), such as tt.nn.MSELoss(); got {loss!r:.60}")
    if isinstance(optimizer, type) or not hasattr(optimizer, "param_groups"):
        raise TypeError(
            f"Trainer: expected an optimizer, such as tt.optim.Adam(model.parameters()); got {optimizer!r:.60}"
        )
    if isinstance(model, type) or not hasattr(model, "named_parameters"):
        raise TypeError(f"Trainer: expected a model, an object of tt.nn.Module; got {model!r:.60}")
    own = {id(p) for p in model.parameters()}
    if own.isdisjoint(id(p) for group in optimizer.param_groups for p in group["params"]):
        raise ValueError("Trainer: the optimizer has no parameter of this model; was it made for another one?")
