"""Signals under SciPy's names: ``tt.signal.convolve`` is ``scipy.signal.convolve`` with gradients. SciPy is not needed."""

from __future__ import annotations

from tinytensor.ops.convolution import convolve, correlate

__all__ = ["convolve", "correlate"]
