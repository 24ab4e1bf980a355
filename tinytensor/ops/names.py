"""Second names that NumPy has for the same functions."""

from __future__ import annotations

from tinytensor.ops.complex import conj
from tinytensor.ops.joining import concatenate
from tinytensor.ops.reductions import max, min
from tinytensor.ops.shape import transpose

__all__ = ["amax", "amin", "concat", "conjugate", "permute_dims"]

amax, amin = max, min
concat = concatenate
conjugate = conj
permute_dims = transpose
