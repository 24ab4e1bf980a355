"""``tt.fft``: discrete Fourier transforms, under NumPy's names.

>>> import tinytensor as tt
>>> x = tt.tensor([1.0, 2.0, 3.0], requires_grad=True)
>>> abs(tt.fft.rfft(x)).sum().backward()
>>> x.grad.round(4)
array([0.134, 1.   , 1.866])
"""

from __future__ import annotations

from numpy.fft import fftfreq, rfftfreq

from tinytensor.ops.fourier import (
    fft,
    fft2,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifft2,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfft2,
    irfftn,
    rfft,
    rfft2,
    rfftn,
)

__all__ = [
    "fft", "fft2", "fftfreq", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft",
    "irfft2", "irfftn", "rfft", "rfft2", "rfftfreq", "rfftn",
]  # fmt: skip
