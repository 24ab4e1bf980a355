"""What a user may give as a ``generator``: tinytensor's, NumPy's, a seed, or nothing, which is the shared one."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.creation import default_rng

__all__ = ["numpy_generator", "seed_of"]


def numpy_generator(what: str, generator: Any) -> np.random.Generator:
    """NumPy's generator in it, or of that seed."""
    if isinstance(generator, (int, np.integer)) and not isinstance(generator, bool):
        return np.random.default_rng(seed_of(what, generator))
    source = default_rng() if generator is None else generator
    found = getattr(source, "numpy", source)
    if not isinstance(found, np.random.Generator):
        raise TypeError(f"{what}: generator must be tt.rng(seed) or a seed, got {type(generator).__name__}")
    return found


def seed_of(what: str, generator: Any) -> int:
    """A seed: the number itself, or one drawn from the generator."""
    if isinstance(generator, (int, np.integer)) and not isinstance(generator, bool):
        if generator < 0:
            raise ValueError(f"{what}: a seed must not be negative, got {generator}")
        return int(generator)
    return int(numpy_generator(what, generator).integers(2**62))
