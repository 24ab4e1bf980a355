"""What is asked of options and of saved states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytensor.tensor import Tensor

__all__ = ["as_json", "is_state", "number"]


def number(name: str, key: str, value: Any) -> Any:
    """The value as a number; raises TypeError if it is none."""
    if type(value) is float or type(value) is int:
        return value
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {key} must be a number, got {value!r:.60}") from None


def as_json(value: Any) -> Any:
    """An option as JSON can hold it: a number for a NumPy number, or for a tensor or array of one."""
    return value.item() if isinstance(value, (Tensor, np.ndarray, np.generic)) else value


def is_state(saved: Mapping[str, Any]) -> bool:
    """Whether something has the structure of an optimizer's state."""
    groups, state = saved["param_groups"], saved["state"]
    if not isinstance(groups, (list, tuple)) or not isinstance(state, Mapping):
        return False
    sound = all(isinstance(g, Mapping) and isinstance(g.get("params"), (list, tuple)) for g in groups)
    numbers = [k for g in groups for k in g["params"]] if sound else []
    sound = sound and all(str(k).isdecimal() for k in numbers)
    return sound and all(isinstance(entry, Mapping) for entry in state.values())
