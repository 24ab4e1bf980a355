"""Discrete Fourier transforms. They are linear: each rule is the transposed transform, itself a transform.

The matrix of ``fft`` and ``ifft`` is symmetric, so each is its own transpose, with the same ``norm``. ``rfft`` and
``irfft`` see half of a spectrum: their transposes are ``hfft`` and ``ihfft``, with weights for the half that is implied.
Padding to a length transposes to cutting, and cutting to padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.fft

from tinytensor.arrays import asarray
from tinytensor.primitive import TensorBase, composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "fft", "fft2", "fftn", "fftshift", "hfft", "ifft", "ifft2", "ifftn", "ifftshift", "ihfft", "irfft", "irfft2", "irfftn",
    "rfft", "rfft2", "rfftn",
]  # fmt: skip

Norm: TypeAlias = Literal["backward", "ortho", "forward"] | None
Lengths: TypeAlias = Sequence[int] | None
Axes: TypeAlias = Sequence[int] | None

# ---------------------------------------------------------------------------------------------------- one axis


def _fit(x: Any, n: int, axis: int) -> Any:
    """x cut, or filled with zeros, to length n along an axis."""
    have = x.shape[axis]
    if have == n:
        return x
    before = (slice(None),) * (axis % x.ndim)
    if have > n:
        return x[(*before, slice(n))]
    fill = list(x.shape)
    fill[axis] = n - have
    return np.concatenate([x, np.zeros(fill, x.dtype)], axis)


def _at_least_1(x: Any, axis: int) -> Any:
    """x, or a zero in place of an empty axis, which NumPy's ``irfft`` fills with whatever is in memory."""
    x = asarray(x)
    return x if x.size or x.shape[axis] else _fit(x, 1, axis)


@primitive(x=lambda g, n, axis, inner: _weighted(g, n, axis, inner))
def _weighted(x: Any, n: int, axis: int, inner: float) -> Any:
    """The half spectrum x of a signal of length n, with the frequencies that stand for two multiplied by ``inner``."""
    out = np.multiply(x, inner)
    edges = (*((slice(None),) * (axis % x.ndim)), slice(None, None, max(n // 2, 1)) if n % 2 == 0 else slice(1))
    out[edges] = x[edges]
    return out


@primitive(np.fft.fft, x=lambda g, x_shape, axis, norm: _fit(fft(g, None, axis, norm), x_shape[axis], axis))
def fft(x: Operand, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """outₖ = Σⱼ xⱼ e^(−2πi jk/n): complex for real x too.   (:func:`numpy.fft.fft`)

    ``n`` cuts x, or fills it with zeros; ``norm`` is "backward" (no factor here, 1/n in :func:`ifft`), "ortho" (1/√n in
    both) or "forward". ∂/∂x is the transform itself: its matrix is symmetric.

    >>> import tinytensor as tt
    >>> tt.fft.fft(tt.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor([10.+0.j, -2.+2.j, -2.+0.j, -2.-2.j], dtype=complex128)
    """
    return np.fft.fft(x, n, axis, norm)


@primitive(np.fft.ifft, x=lambda g, x_shape, axis, norm: _fit(ifft(g, None, axis, norm), x_shape[axis], axis))
def ifft(x: Operand, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """outⱼ = (1/n) Σₖ xₖ e^(2πi jk/n), the inverse of :func:`fft`.   (:func:`numpy.fft.ifft`)

    >>> import tinytensor as tt
    >>> tt.fft.ifft(tt.fft.fft(tt.tensor([1.0, 2.0]))).real
    tensor([1., 2.])
    """
    return np.fft.ifft(x, n, axis, norm)


def _rfft_rule(g: Any, x_shape: Any, n: int | None, axis: int, norm: Norm) -> Any:
    n = x_shape[axis] if n is None else n
    return _fit(hfft(_weighted(g, n, axis, 0.5), n, axis, norm), x_shape[axis], axis)


@primitive(np.fft.rfft, x=_rfft_rule)
def rfft(x: Operand, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The first ⌊n/2⌋ + 1 elements of :func:`fft` of a real x; the others are their conjugates.   (:func:`numpy.fft.rfft`)

    >>> import tinytensor as tt
    >>> tt.fft.rfft(tt.tensor([1.0, 2.0, 3.0]))
    tensor([ 6. +0.j       , -1.5+0.8660254j], dtype=complex128)
    """
    return np.fft.rfft(x, n, axis, norm)


def _irfft_rule(g: Any, x_shape: Any, axis: int, norm: Norm) -> Any:
    return _fit(_weighted(ihfft(g, None, axis, norm), g.shape[axis], axis, 2), x_shape[axis], axis)


@primitive(np.fft.irfft, x=_irfft_rule)
def irfft(x: Operand, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The real signal of length n whose :func:`rfft` is x; n = 2 (m − 1) if not given.   (:func:`numpy.fft.irfft`)

    An odd length has to be given: a half spectrum does not tell. The imaginary part of x₀ (and of the last one, for
    even n) is not read, and has the gradient 0.

    >>> import tinytensor as tt
    >>> tt.fft.irfft(tt.fft.rfft(tt.tensor([1.0, 2.0, 3.0])), n=3)
    tensor([1., 2., 3.])
    """
    return np.fft.irfft(x if n is None else _at_least_1(x, axis), n, axis, norm)


def _hfft_rule(g: Any, x_shape: Any, axis: int, norm: Norm) -> Any:
    return _fit(_weighted(rfft(g, None, axis, norm), g.shape[axis], axis, 2), x_shape[axis], axis)


@primitive(np.fft.hfft, x=_hfft_rule)
def hfft(x: Operand, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """The real spectrum of length n of a signal of which half is given, as x₋ⱼ is x̄ⱼ.   (:func:`numpy.fft.hfft`)

    >>> import tinytensor as tt
    >>> tt.fft.hfft(tt.tensor([1.0, 2.0, 3.0]))
    tensor([ 8., -2.,  0., -2.])
    """
    return np.fft.hfft(x if n is None else _at_least_1(x, axis), n, axis, norm)


def _ihfft_rule(g: Any, x_shape: Any, n: int | None, axis: int, norm: Norm) -> Any:
    n = x_shape[axis] if n is None else n
    return _fit(irfft(_weighted(g, n, axis, 0.5), n, axis, norm), x_shape[axis], axis)


@primitive(np.fft.ihfft, x=_ihfft_rule)
def ihfft(x: Operand, n: int | None = None, axis: int = -1, norm: Norm = None) -> Tensor:
    """Half of the signal whose spectrum is the real x, the inverse of :func:`hfft`.   (:func:`numpy.fft.ihfft`)

    >>> import tinytensor as tt
    >>> tt.fft.ihfft(tt.tensor([8.0, -2.0, 0.0, -2.0])).real
    tensor([1., 2., 3.])
    """
    return np.fft.ihfft(x, n, axis, norm)


# ------------------------------------------------------------------------------------------------- several axes


def _array(x: Any) -> Any:
    return x if isinstance(x, TensorBase) else asarray(x)


def _plan(x: Any, s: Lengths, axes: Axes, op: str, half: bool = False) -> list[tuple[int, int]]:
    """(length, axis) of each transform; −1 is the length that is there. ``half``: the last axis is a half spectrum."""
    axes = list(axes) if axes is not None else list(range(-(x.ndim if s is None else len(s)), 0))
    lengths = [-1] * len(axes) if s is None else [-1 if n is None else n for n in s]
    if len(lengths) != len(axes):
        raise ValueError(f"{op}: expected as many lengths as axes, got s={s} and axes={axes}")
    for k, axis in enumerate(axes):
        if lengths[k] == -1:
            last = half and k == len(axes) - 1
            # as in NumPy: a half spectrum of m becomes 2 (m − 1) long without s, and m with −1 in s
            lengths[k] = 2 * (x.shape[axis] - 1) if last and s is None else x.shape[axis]
    return list(zip(lengths, axes, strict=True))


def _each(one: Any, x: Any, plan: list[tuple[int, int]], norm: Norm) -> Any:
    for n, axis in plan:
        x = one(x, n, axis, norm)
    return x


@composite(np.fft.fftn)
def fftn(x: Operand, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """:func:`fft` along several axes, all if none is named; ``s`` gives their lengths.   (:func:`numpy.fft.fftn`)

    >>> import tinytensor as tt
    >>> tt.fft.fftn(tt.ones((2, 2))).real
    tensor([[4., 0.],
            [0., 0.]])
    """
    x = _array(x)
    return _each(fft, x, _plan(x, s, axes, "fftn")[::-1], norm)


@composite(np.fft.ifftn)
def ifftn(x: Operand, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """:func:`ifft` along several axes, the inverse of :func:`fftn`.   (:func:`numpy.fft.ifftn`)

    >>> import tinytensor as tt
    >>> tt.fft.ifftn(tt.ones((2, 2))).real
    tensor([[1., 0.],
            [0., 0.]])
    """
    x = _array(x)
    return _each(ifft, x, _plan(x, s, axes, "ifftn")[::-1], norm)


@composite(np.fft.rfftn)
def rfftn(x: Operand, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """:func:`rfft` along the last of several axes, then :func:`fft` along the others.   (:func:`numpy.fft.rfftn`)

    >>> import tinytensor as tt
    >>> tt.fft.rfftn(tt.ones((2, 3))).shape
    (2, 2)
    """
    x = _array(x)
    *others, (n, axis) = _plan(x, s, axes, "rfftn")
    return _each(fft, rfft(x, n, axis, norm), others[::-1], norm)


@composite(np.fft.irfftn)
def irfftn(x: Operand, s: Lengths = None, axes: Axes = None, norm: Norm = None) -> Tensor:
    """:func:`ifft` along all of several axes but the last, then :func:`irfft` along that.   (:func:`numpy.fft.irfftn`)

    >>> import tinytensor as tt
    >>> tt.fft.irfftn(tt.fft.rfftn(tt.ones((2, 3))), s=(2, 3), axes=(0, 1))
    tensor([[1., 1., 1.],
            [1., 1., 1.]])
    """
    x = _array(x)
    *others, (n, axis) = _plan(x, s, axes, "irfftn", half=True)
    return irfft(_each(ifft, x, others, norm), n, axis, norm)


@composite(np.fft.fft2)
def fft2(x: Operand, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """:func:`fftn` along two axes, the last two if none is named.   (:func:`numpy.fft.fft2`)

    >>> import tinytensor as tt
    >>> tt.fft.fft2(tt.ones((3, 2, 2))).shape
    (3, 2, 2)
    """
    return fftn(x, s, axes, norm)


@composite(np.fft.ifft2)
def ifft2(x: Operand, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """:func:`ifftn` along two axes, the inverse of :func:`fft2`.   (:func:`numpy.fft.ifft2`)

    >>> import tinytensor as tt
    >>> tt.fft.ifft2(tt.fft.fft2(tt.ones((2, 2)))).real
    tensor([[1., 1.],
            [1., 1.]])
    """
    return ifftn(x, s, axes, norm)


@composite(np.fft.rfft2)
def rfft2(x: Operand, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """:func:`rfftn` along two axes, the last two if none is named.   (:func:`numpy.fft.rfft2`)

    >>> import tinytensor as tt
    >>> tt.fft.rfft2(tt.ones((5, 3, 4))).shape
    (5, 3, 3)
    """
    return rfftn(x, s, axes, norm)


@composite(np.fft.irfft2)
def irfft2(x: Operand, s: Lengths = None, axes: Axes = (-2, -1), norm: Norm = None) -> Tensor:
    """:func:`irfftn` along two axes, the inverse of :func:`rfft2`.   (:func:`numpy.fft.irfft2`)

    >>> import tinytensor as tt
    >>> tt.fft.irfft2(tt.fft.rfft2(tt.ones((2, 4)))).shape
    (2, 4)
    """
    return irfftn(x, s, axes, norm)


# -------------------------------------------------------------------------------------------------------- shifts


@primitive(np.fft.fftshift, x=lambda g, axes: ifftshift(g, axes))
def fftshift(x: Operand, axes: int | Axes = None) -> Tensor:
    """The zero frequency moved to the middle of each axis.   ∂/∂x moves it back   (:func:`numpy.fft.fftshift`)

    >>> import tinytensor as tt
    >>> tt.fft.fftshift(tt.tensor([0.0, 1.0, 2.0, -2.0, -1.0]))
    tensor([-2., -1.,  0.,  1.,  2.])
    """
    return np.fft.fftshift(x, axes)


@primitive(np.fft.ifftshift, x=lambda g, axes: fftshift(g, axes))
def ifftshift(x: Operand, axes: int | Axes = None) -> Tensor:
    """The inverse of :func:`fftshift`; they differ for odd lengths.   (:func:`numpy.fft.ifftshift`)

    >>> import tinytensor as tt
    >>> tt.fft.ifftshift(tt.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]))
    tensor([ 0.,  1.,  2., -2., -1.])
    """
    return np.fft.ifftshift(x, axes)
