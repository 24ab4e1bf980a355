"""Convolution over any axes of two arrays: products summed over shifts, directly or by Fourier transforms.

Two bilinear functions are each other's derivatives, so that any order of derivative is one of them: :func:`_overlapped`, the
full convolution, and :func:`_slid`, the correlation at the places where one array lies within the other. Both take
(A, D, ...) and (B, D, ...) with shifts along the axes after the first two, sum over D, and give (A, B, ...).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from tinytensor.arrays import asarray, empty, traced, zeros
from tinytensor.primitive import TensorBase, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["convolve", "correlate"]

Axes = tuple[int, ...]


# ----------------------------------------------------------------------------------------------- the two bilinear functions

#: Nanoseconds of one step of a Fourier transform (of n log n), of one product, and of one turn of a loop over places.
_STEP, _PRODUCT, _TURN = 2, 1, 4000


def _by_fourier(method: str, x: Any, y: Any, size: int, taps: int, full: tuple[int, ...]) -> bool:
    """Whether Fourier transforms are cheaper than ``size`` · ``taps`` products for each pair of (A, D) and (B, D)."""
    if method != "auto" or size * taps < 20_000:
        return method == "fft"
    a, b, d = x.shape[0], y.shape[0], x.shape[1]
    n = math.prod(full)
    steps = n * (math.log2(n + 1) * (a * d + b * d + a * b) + a * b * d)
    loop = 0 if len(full) == 1 and a == b == d == 1 else _TURN * min(size, taps)
    products = a * b * d * size * taps * _PRODUCT
    return (products + loop if loop else products // 4) > _STEP * steps


def _fast(n: int) -> int:
    """The next length of the form 2ⁱ 3ʲ 5ᵏ: the transforms of other lengths are slower."""
    best = 1 << (n - 1).bit_length()
    for fives in (1, 5, 25, 125):
        for odd in (fives, 3 * fives, 9 * fives):
            best = min(best, odd << max(-(-n // odd) - 1, 0).bit_length())
    return best


def _multiplied(x: Any, y: Any, full: tuple[int, ...], reverse: bool) -> Any:
    """The convolution of length ``full``; ``reverse``: with y read backwards, the correlation."""
    axes = tuple(range(2, x.ndim))
    real = x.dtype.kind != "c" and y.dtype.kind != "c"
    forth, back = (np.fft.rfftn, np.fft.irfftn) if real else (np.fft.fftn, np.fft.ifftn)
    lengths = tuple(map(_fast, full))
    fx = forth(x, lengths, axes)
    fy = forth(y.conj(), lengths, axes).conj() if reverse else forth(y, lengths, axes)
    single = fx.shape[:2] == fy.shape[:2] == (1, 1)
    product = back(fx * fy if single else np.einsum("ad...,bd...->ab...", fx, fy), lengths, axes)
    return product[(..., *map(slice, full))] if lengths != full else product


def _times(x: Any, tap: Any) -> Any:
    """(A, D, ...) and (B, D) to (A, B, ...)."""
    if tap.shape == (1, 1):
        return x * tap[0, 0]
    return np.matmul(tap, x.reshape(*x.shape[:2], -1)).reshape(len(x), len(tap), *x.shape[2:])


def _from(place: tuple[int, ...], size: tuple[int, ...]) -> tuple[Any, ...]:
    """The index of a window of this size."""
    return (..., *[slice(k, k + n) for k, n in zip(place, size, strict=True)])


def _traced_one(x: Any, y: Any) -> Any:
    return x if traced(x) else y


def _overlapped_direct(x: Any, y: Any, full: tuple[int, ...]) -> Any:
    if len(full) == 1 and x.shape[:2] == y.shape[:2] == (1, 1):
        return np.convolve(x[0, 0], y[0, 0])[None, None]
    if math.prod(x.shape[2:]) < math.prod(y.shape[2:]):  # the smaller one moves
        return _overlapped_direct(y, x, full).swapaxes(0, 1)
    out = zeros((len(x), len(y), *full), np.result_type(x, y), _traced_one(x, y))
    for place in np.ndindex(y.shape[2:]):
        out[_from(place, x.shape[2:])] += _times(x, y[(..., *place)])
    return out


def _slid_direct(x: Any, y: Any, size: tuple[int, ...]) -> Any:
    kernel = y.shape[2:]
    if len(size) == 1 and x.shape[:2] == y.shape[:2] == (1, 1):
        return np.correlate(x[0, 0], y[0, 0].conj(), "valid")[None, None]
    if math.prod(kernel) <= math.prod(size):
        out = zeros((len(x), len(y), *size), np.result_type(x, y), _traced_one(x, y))
        for place in np.ndindex(kernel):
            out += _times(x[_from(place, size)], y[(..., *place)])
        return out
    out = empty((len(x), len(y), *size), np.result_type(x, y), _traced_one(x, y))
    flat = y.reshape(len(y), -1).T
    for place in np.ndindex(size):
        out[(..., *place)] = np.matmul(x[_from(place, kernel)].reshape(len(x), -1), flat)
    return out


@primitive(
    x=lambda g, y, method: _slid(g, y.swapaxes(0, 1), method),
    y=lambda g, x, method: _slid(g.swapaxes(0, 1), x.swapaxes(0, 1), method),
)
def _overlapped(x: Any, y: Any, method: str) -> Any:
    """out[a, b, k] = Σ_d Σᵢ x[a, d, i] y[b, d, k − i], for all k that have a product."""
    full = tuple([n + m - 1 for n, m in zip(x.shape[2:], y.shape[2:], strict=True)])
    if _by_fourier(method, x, y, math.prod(x.shape[2:]), math.prod(y.shape[2:]), full):
        return _multiplied(x, y, full, False)
    return _overlapped_direct(x, y, full)


@primitive(
    x=lambda g, y, method: _overlapped(g, y.swapaxes(0, 1), method),
    y=lambda g, x, method: _slid(x.swapaxes(0, 1), g.swapaxes(0, 1), method).swapaxes(0, 1),
)
def _slid(x: Any, y: Any, method: str) -> Any:
    """out[a, b, k] = Σ_d Σᵢ x[a, d, k + i] y[b, d, i], for the k where y lies within x."""
    full, kernel = x.shape[2:], y.shape[2:]
    size = tuple([n - m + 1 for n, m in zip(full, kernel, strict=True)])
    if _by_fourier(method, x, y, math.prod(size), math.prod(kernel), full):
        return _multiplied(x, y, full, True)[(..., *map(slice, size))]
    return _slid_direct(x, y, size)


# ------------------------------------------------------------------------------------------------------ the public side


def _operand(x: Any) -> Any:
    return x if isinstance(x, TensorBase) else asarray(x)


def _arranged(x: Any, axes: Axes, dot: Axes) -> tuple[Any, tuple[int, ...]]:
    """(A, D, ...): the axes that are neither shifted nor summed, those that are summed, those that are shifted."""
    rest = tuple([i for i in range(x.ndim) if i not in axes and i not in dot])
    kept = tuple([x.shape[i] for i in rest])
    order = (*rest, *dot, *axes)
    if order != tuple(range(x.ndim)):
        x = np.transpose(x, order)
    shape = (
        math.prod(kept),
        math.prod([x.shape[len(rest) + i] for i in range(len(dot))]),
        *x.shape[x.ndim - len(axes) :],
    )
    return (x.reshape(shape) if shape != x.shape else x), kept


def _pairs(x: Any, y: Any, axes: Any, dot_axes: Any, op: str) -> tuple[Axes, Axes, Axes, Axes]:
    """The axes to shift, and to sum, of both; as many of one as of the other."""
    if axes is None:
        if x.ndim != y.ndim:
            raise ValueError(f"{op}: both arrays must have as many dimensions, or say axes=; got {x.ndim} and {y.ndim}")
        axes = [[i for i in range(x.ndim) if i not in dot] for dot in dot_axes]
    (ax, ay), (dx, dy) = (
        (normalize_axis_tuple(pair[0], x.ndim), normalize_axis_tuple(pair[1], y.ndim)) for pair in (axes, dot_axes)
    )
    if len(ax) != len(ay) or len(dx) != len(dy) or set(ax) & set(dx) or set(ay) & set(dy):
        raise ValueError(
            f"{op}: axes= and dot_axes= must name as many axes of both arrays, none twice, got {axes} and {dot_axes}"
        )
    if [x.shape[i] for i in dx] != [y.shape[i] for i in dy]:
        raise ValueError(
            f"{op}: the axes that are summed must be equally long, got {x.shape} and {y.shape} for {dot_axes}"
        )
    return ax, ay, dx, dy


def _reversed(y: Any) -> Any:
    return y[(slice(None),) * 2 + (slice(None, None, -1),) * (y.ndim - 2)]


def _convolved(x: Any, y: Any, mode: str, method: str, op: str) -> Any:
    """The convolution of (A, D, ...) and (B, D, ...), in SciPy's mode."""
    sizes, others = x.shape[2:], y.shape[2:]
    if mode == "valid":
        if all(n >= m for n, m in zip(sizes, others, strict=True)):
            return _slid(x, _reversed(y), method)
        if not all(n <= m for n, m in zip(sizes, others, strict=True)):
            raise ValueError(
                f"{op}: for mode='valid' one array must be at least as long along every axis, got {sizes} and {others}"
            )
        return _slid(y, _reversed(x), method).swapaxes(0, 1)
    out = _overlapped(x, y, method)
    if mode == "full":
        return out
    return out[(..., *[slice((m - 1) // 2, (m - 1) // 2 + n) for n, m in zip(sizes, others, strict=True)])]


def _empty(x: Any, y: Any, mode: str, op: str) -> Any:
    """Of an empty array: zeros where SciPy gives them."""
    if mode == "same" and y.size:
        return np.zeros_like(x)
    apart = [n - m for n, m in zip(x.shape, y.shape, strict=False)]
    if mode == "valid" and x.ndim == y.ndim > 1 and (min(apart) >= 0 or max(apart) <= 0):
        return np.zeros_like(x, shape=[abs(n) + 1 for n in apart])
    raise ValueError(f"{op}: an array is empty, got the shapes {x.shape} and {y.shape}")


def _general(x: Any, y: Any, mode: str, method: str, axes: Any, dot_axes: Any, op: str) -> Any:
    if mode not in ("full", "same", "valid") or method not in ("auto", "direct", "fft"):
        raise ValueError(
            f"{op}: mode must be 'full', 'same' or 'valid', method 'auto', 'direct' or 'fft'; got {mode!r}, {method!r}"
        )
    if x.ndim == y.ndim == 0:
        return x * y
    if not x.size or not y.size:
        return _empty(x, y, mode, op)
    if x.dtype.kind not in "fc" or y.dtype.kind not in "fc":
        method = "direct"  # whole numbers stay exact
    if axes is None and not any(dot_axes) and x.ndim == y.ndim:
        out = _convolved(x.reshape((1, 1, *x.shape)), y.reshape((1, 1, *y.shape)), mode, method, op)
        return out.reshape(out.shape[2:])
    ax, ay, dx, dy = _pairs(x, y, axes, dot_axes, op)
    left, kept = _arranged(x, ax, dx)
    right, others = _arranged(y, ay, dy)
    out = _convolved(left, right, mode, method, op)
    return out.reshape((*kept, *others, *out.shape[2:]))


def convolve(
    in1: Operand,
    in2: Operand,
    mode: str = "full",
    method: str = "auto",
    *,
    axes: Sequence[Sequence[int]] | None = None,
    dot_axes: Sequence[Sequence[int]] = ((), ()),
) -> Tensor:
    """outₖ = Σᵢ xᵢ yₖ₋ᵢ over all axes of two arrays.   ∂/∂x = g ⋆ y, ∂/∂y = g ⋆ x   (:func:`scipy.signal.convolve`)

    ``mode``: "full", every k that has a product; "same", as long as ``in1``, from the middle; "valid", where one lies within
    the other. ``method``: the direct sum, Fourier transforms, or the faster of both. ``axes`` = (of in1, of in2): only
    these are shifted; along ``dot_axes`` products are summed, and along all others each meets each: axes of in1, axes
    of in2, shifted axes (HIPS autograd's convolve).

    >>> import numpy as np, tinytensor as tt
    >>> tt.signal.convolve(tt.tensor([[1.0, 2.0, 3.0]]), np.array([[1.0, 1.0]]))
    tensor([[1., 3., 5., 3.]])
    >>> images, filters = tt.ones((8, 3, 28, 28)), tt.ones((16, 3, 5, 5))
    >>> tt.signal.convolve(images, filters, "valid", axes=[(2, 3), (2, 3)], dot_axes=[(1,), (1,)]).shape
    (8, 16, 24, 24)
    """
    return _general(_operand(in1), _operand(in2), mode, method, axes, dot_axes, "convolve")


def correlate(in1: Operand, in2: Operand, mode: str = "full", method: str = "auto") -> Tensor:
    """outₖ = Σᵢ xₖ₊ᵢ ȳᵢ over all axes of two arrays: :func:`convolve` with in2 read backwards.   (:func:`scipy.signal.correlate`)

    >>> import tinytensor as tt
    >>> tt.signal.correlate(tt.tensor([1.0, 2.0, 3.0]), [0.0, 1.0], "valid")
    tensor([2., 3.])
    """
    x, y = _operand(in1), _operand(in2)
    y = (np.conj(y) if y.dtype.kind == "c" else y)[(slice(None, None, -1),) * y.ndim]
    return _general(x, y, mode, method, None, ((), ()), "correlate")
