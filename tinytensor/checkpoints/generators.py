"""The state of random number generators as numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["generator_state", "restore_generator"]


def generator_state(generator: Any) -> dict[str, Any]:
    """Where a generator (:func:`tinytensor.rng`'s or NumPy's) is in its stream.

    >>> import tinytensor as tt
    >>> rng = tt.rng(0)
    >>> state = tt.checkpoints.generator_state(rng)
    >>> first = rng.random().item()
    >>> tt.checkpoints.restore_generator(rng, state)
    >>> rng.random().item() == first
    True
    """
    found: dict[str, Any] = _numpy(generator).bit_generator.state
    return found


def restore_generator(generator: Any, state: Mapping[str, Any]) -> None:
    """Put a generator where :func:`generator_state` was taken; ValueError, with nothing changed, for another kind.

    Example: :func:`generator_state`.
    """
    bits = _numpy(generator).bit_generator
    trial = type(bits)(0)
    try:
        trial.state = state
        again = trial.state
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ValueError(f"this is not the state of a {type(bits).__name__} generator: {error}") from None
    bits.state = again


def _numpy(generator: Any) -> Any:
    found = getattr(generator, "numpy", generator)
    if not isinstance(found, np.random.Generator):
        raise TypeError(f"expected a tinytensor or NumPy generator, got {type(generator).__name__}")
    return found
