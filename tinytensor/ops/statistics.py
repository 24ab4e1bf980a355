"""Statistics and signals: medians, covariances, differences, convolutions, interpolation."""

from __future__ import annotations

__all__: list[str] = []
