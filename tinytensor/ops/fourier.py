"""Fourier transforms, and real and imaginary parts."""

from __future__ import annotations

__all__: list[str] = []
