"""The table of primitives by family: NumPy functions with their derivative rules beside them."""

from tinytensor.ops import elementwise, indexing, linalg, reductions, shape

__all__ = ["elementwise", "indexing", "linalg", "reductions", "shape"]
