"""Pooling: the largest number, or the mean, of the window at each place; in memory the batch comes last, as in :mod:`tinytensor.ops.conv`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import empty, traced, zeros
from tinytensor.ops.conv import Ints, Pads, batched, blank, inside, numbers, outside, padded
from tinytensor.primitive import TensorBase, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d",
]  # fmt: skip


def _elements(kernel: Ints, stride: Ints, dilation: Ints, places: Ints) -> Iterator[tuple[Any, ...]]:
    """For each element of the kernel, the index of what stands under it at all places, in (C, ..., N)."""
    for at in product(*map(range, kernel)):
        where = [
            slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in zip(at, dilation, stride, places, strict=True)
        ]
        yield (slice(None), *where)


def _cut(x: Any, pads: Pads, size: Ints) -> Any:
    """Without the padding, (N, C, ...)."""
    if any(map(any, pads)):
        x = x[(slice(None), *[slice(a, a + n) for n, (a, _) in zip(size, pads, strict=True)])].copy()
    return outside(x)


# ------------------------------------------------------------------------------------------------------------- maximum


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, TensorBase) else x


def _winners(x: Any, out: Any, kernel: Ints, stride: Ints, pads: Pads, dilation: Ints) -> list[Any]:
    """For each element of the kernel, where it is the largest, the first of equal ones: masks (C, *places, N)."""
    x, out = padded(_plain(x), pads, _lowest(x.dtype)), inside(_plain(out))
    free, winners = empty(out.shape, bool, out), []
    free.fill(True)
    for where in _elements(kernel, stride, dilation, out.shape[1:-1]):
        won = x[where] == out
        won &= free
        free ^= won
        winners.append(won)
    winners[0] |= free  # of a window with a NaN no element equals the result
    return winners


def _lowest(dtype: Any) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min if dtype.kind in "iu" else False


@primitive(
    x=lambda g, x, out, kernel, stride, pads, dilation: _placed(
        g, _winners(x, out, kernel, stride, pads, dilation), x.shape[2:], kernel, stride, pads, dilation
    )
)
def _max_pool(x: Any, kernel: Ints, stride: Ints, pads: Pads, dilation: Ints) -> Any:
    """The largest number of each window; its gradient goes to the first of equal ones."""
    x = padded(x, pads, _lowest(x.dtype))
    places = _places(x.shape[1:-1], kernel, stride, dilation)
    out, view = blank((len(x), *places, x.shape[-1]), x.dtype, x)
    first, *others = _elements(kernel, stride, dilation, places)
    if not others:
        view[...] = x[first]
    for k, where in enumerate(others):
        np.maximum(view if k else x[first], x[where], out=view)
    return out


@primitive(
    g=lambda g, winners, kernel, stride, pads, dilation: _picked(g, winners, kernel, stride, pads, dilation),
)
def _placed(g: Any, winners: Any, size: Ints, kernel: Ints, stride: Ints, pads: Pads, dilation: Ints) -> Any:
    """Numbers put where the winners are, 0 elsewhere: the transpose of :func:`_picked`."""
    g = inside(g)
    whole = (len(g), *[n + a + b for n, (a, b) in zip(size, pads, strict=True)], g.shape[-1])
    apart = all(k == s and d == 1 and not n % k for k, s, d, n in zip(kernel, stride, dilation, whole[1:-1], strict=True))  # fmt: skip
    out = (empty if apart else zeros)(whole, g.dtype, g if traced(g) else winners[0])
    for won, where in zip(winners, _elements(kernel, stride, dilation, g.shape[1:-1]), strict=True):
        if apart:  # each element belongs to one window
            np.multiply(g, won, out=out[where])
        else:
            out[where] += g * won
    return _cut(out, pads, size)


@primitive(
    x=lambda g, winners, x_shape, kernel, stride, pads, dilation: _placed(
        g, winners, x_shape[2:], kernel, stride, pads, dilation
    )
)
def _picked(x: Any, winners: Any, kernel: Ints, stride: Ints, pads: Pads, dilation: Ints) -> Any:
    """The winners' numbers."""
    x = padded(x, pads)
    out = zeros(winners[0].shape, x.dtype, x if traced(x) else winners[0])
    for won, where in zip(winners, _elements(kernel, stride, dilation, out.shape[1:-1]), strict=True):
        np.copyto(out, x[where], where=won)
    return outside(out)


# ---------------------------------------------------------------------------------------------------------------- mean


@primitive(
    x=lambda g, x_shape, kernel, stride, pads, scale: _shared(g, x_shape[2:], kernel, stride, pads, scale),
)
def _avg_pool(x: Any, kernel: Ints, stride: Ints, pads: Pads, scale: Any) -> Any:
    """The sum of each window, times ``scale``, a number or one for each place."""
    x = padded(x, pads)
    ones = (1,) * len(kernel)
    places = _places(x.shape[1:-1], kernel, stride, ones)
    dtype = np.result_type(x, np.float32) if x.dtype.kind in "biu" else x.dtype
    out, view = blank((len(x), *places, x.shape[-1]), dtype, x)
    view[...] = 0
    for where in _elements(kernel, stride, ones, places):
        view += x[where]
    view *= scale
    return out


@primitive(g=lambda g, kernel, stride, pads, scale: _avg_pool(g, kernel, stride, pads, scale))
def _shared(g: Any, size: Ints, kernel: Ints, stride: Ints, pads: Pads, scale: Any) -> Any:
    """The transpose of :func:`_avg_pool`: each number goes to all elements of its window."""
    g = inside(g)
    out = zeros((len(g), *[n + a + b for n, (a, b) in zip(size, pads, strict=True)], g.shape[-1]), g.dtype, g)
    g = np.multiply(g, scale, dtype=g.dtype)
    for where in _elements(kernel, stride, (1,) * len(kernel), g.shape[1:-1]):
        out[where] += g
    return _cut(out, pads, size)


# ------------------------------------------------------------------------------------------------------ the public side


def _places(size: Ints, kernel: Ints, stride: Ints, dilation: Ints) -> Ints:
    return tuple([(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)])


def _options(
    x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, op: str
) -> tuple[Ints, Ints, Pads, Ints]:
    """Kernel, stride, pads and dilation for each axis; a last window that hangs over the edge gets padding there."""
    n = x.ndim - 2
    kernel = numbers(kernel, n, "kernel_size", op)
    stride = kernel if stride is None or stride == () else numbers(stride, n, "stride", op)
    padding, dilation = numbers(padding, n, "padding", op, 0), numbers(dilation, n, "dilation", op)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ValueError(f"{op}: padding must be at most half of the kernel, got {padding} and {kernel}")
    pads = []
    for size, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        room = size + 2 * p - d * (k - 1) - 1
        if room <= (-s if ceil_mode else -1):
            raise ValueError(
                f"{op}: a kernel of {kernel}, dilation {dilation}, does not fit into an input of {x.shape[2:]} with "
                f"padding {padding}"
            )
        over = -room % s if ceil_mode else 0
        if over and (-(-room // s)) * s >= size + p:  # the last window would start beyond the image
            over = 0
        pads.append((p, p + over))
    return kernel, stride, tuple(pads), dilation


def _indices(x: Any, out: Any, kernel: Ints, stride: Ints, pads: Pads, dilation: Ints) -> Any:
    """Where in its image, read as a row, each window's winner stands: PyTorch's, of shape (N, C, *places)."""
    winners = _winners(x, out, kernel, stride, pads, dilation)
    found = zeros(out.shape, np.int64, winners[0])
    for at, won in zip(product(*map(range, kernel)), winners, strict=True):
        place: Any = 0
        for k, d, s, (a, _), n, places in zip(at, dilation, stride, pads, x.shape[2:], out.shape[2:], strict=True):
            place = np.expand_dims(place * n, -1) + (k * d - a + np.arange(places) * s)
        np.copyto(found, place, where=outside(won))
    return wrap(found, None)


def _maximum(
    x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, indices: bool, n: int
) -> Any:
    op = f"max_pool{n}d"
    x, alone = batched(x, n, op)
    if x.dtype.kind == "c":
        raise TypeError(f"{op}: complex numbers have no order; pool abs(x) or x.real")
    kernel, stride, pads, dilation = _options(x, kernel, stride, padding, dilation, ceil_mode, op)
    out = _max_pool(x, kernel, stride, pads, dilation)
    if not indices:
        return out[0] if alone else out
    where = _indices(x, out, kernel, stride, pads, dilation)
    return (out[0], where[0]) if alone else (out, where)


def max_pool1d(
    input: Operand, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The largest of the ``kernel_size`` numbers at each place.   (``torch.nn.functional.max_pool1d``)

    Shapes: input (N, C, L) or (C, L). The windows start ``stride`` (by default: ``kernel_size``) apart; padding never wins.
    The gradient goes to the largest element, to the first if several are equal. ``ceil_mode``: a last window may hang
    over the edge. ``return_indices``: also where the largest elements stand, counted along the axes that are pooled.

    >>> import tinytensor as tt
    >>> tt.nn.functional.max_pool1d(tt.tensor([[1.0, 3.0, 2.0, 4.0]]), 2)
    tensor([[3., 4.]])
    """
    return _maximum(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 1)


def max_pool2d(
    input: Operand, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # fmt: skip
    """The same as :func:`max_pool1d` along two axes.   (``torch.nn.functional.max_pool2d``)

    Shapes: input (N, C, H, W) or (C, H, W). Of equal numbers the first in reading order gets the gradient.

    >>> import tinytensor as tt
    >>> tt.nn.functional.max_pool2d(tt.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 5.,  7.],
             [13., 15.]]])
    """
    return _maximum(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 2)


def _counts(size: Ints, kernel: Ints, stride: Ints, pads: Pads, padding: Ints, include: bool) -> list[Any]:
    """How many numbers each window counts, axis by axis: those in the image, or in its padding too."""
    counts = []
    for n, k, s, (a, b), p in zip(size, kernel, stride, pads, padding, strict=True):
        start = np.arange((n + a + b - k) // s + 1) * s - a
        low, high = (-p, n + p) if include else (0, n)
        counts.append(np.minimum(start + k, high) - np.maximum(start, low))
    return counts


def _mean(
    x: Any, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, include: bool, divisor: int | None, n: int
) -> Tensor:
    op = f"avg_pool{n}d"
    x, alone = batched(x, n, op)
    kernel, stride, pads, _ = _options(x, kernel, stride, padding, 1, ceil_mode, op)
    if divisor is not None and (not isinstance(divisor, int) or divisor == 0):
        raise ValueError(f"{op}: divisor_override must be an integer other than 0, got {divisor!r}")
    padding = tuple([a for a, _ in pads])
    scale: Any = 1 / (divisor or math.prod(kernel))
    if divisor is None and any(b > (a if include else 0) or (a and not include) for a, b in pads):
        counts = _counts(x.shape[2:], kernel, stride, pads, padding, include)
        scale = 1 / reduce(np.multiply.outer, counts)[..., None]
    out = _avg_pool(x, kernel, stride, pads, scale)
    return out[0] if alone else out


def avg_pool1d(
    input: Operand, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:  # fmt: skip
    """The mean of the ``kernel_size`` numbers at each place.   (``torch.nn.functional.avg_pool1d``)

    Shapes: input (N, C, L) or (C, L). ``count_include_pad``: the zeros of the padding count as numbers.

    >>> import tinytensor as tt
    >>> tt.nn.functional.avg_pool1d(tt.tensor([[1.0, 3.0, 2.0, 4.0]]), 2)
    tensor([[2., 3.]])
    """
    return _mean(input, kernel_size, stride, padding, ceil_mode, count_include_pad, None, 1)


def avg_pool2d(
    input: Operand, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None,
) -> Tensor:  # fmt: skip
    """The same as :func:`avg_pool1d` along two axes.   (``torch.nn.functional.avg_pool2d``)

    Shapes: input (N, C, H, W) or (C, H, W). ``divisor_override``: what the sums are divided by.

    >>> import tinytensor as tt
    >>> tt.nn.functional.avg_pool2d(tt.arange(16.0).reshape(1, 4, 4), 2)
    tensor([[[ 2.5,  4.5],
             [10.5, 12.5]]])
    """
    return _mean(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, 2)


def _adaptive(x: Any, output_size: Any, n: int) -> Tensor:
    op = f"adaptive_avg_pool{n}d"
    x, alone = batched(x, n, op)
    wanted = (output_size,) * n if output_size is None or isinstance(output_size, int) else tuple(output_size)
    if len(wanted) != n:
        raise ValueError(f"{op}: output_size must be an integer, None, or {n} of them, got {output_size!r}")
    wanted = tuple([m if w is None else w for w, m in zip(wanted, x.shape[2:], strict=True)])
    numbers(wanted, n, "output_size", op)
    if wanted == (1,) * n:
        out = np.mean(x, tuple(range(2, n + 2)), keepdims=True)
    else:
        out = x
        for axis, (m, to) in enumerate(zip(x.shape[2:], wanted, strict=True), 2):
            if m != to:
                moved = np.matmul(np.swapaxes(out, axis, -1), _averages(m, to, x.dtype))
                out = np.swapaxes(moved, axis, -1)
    return out[0] if alone else out


def _averages(n: int, to: int, dtype: Any) -> Any:
    """The matrix (n, to) whose column i averages ⌊i n/to⌋ … ⌈(i + 1) n/to⌉ − 1."""
    place, i = np.arange(n)[:, None], np.arange(to)
    inside = (place >= i * n // to) & (place < -(-(i + 1) * n // to))
    return (inside / inside.sum(0)).astype(dtype if dtype.kind in "fc" else float)


def adaptive_avg_pool1d(input: Operand, output_size: Any) -> Tensor:
    """The means of ``output_size`` parts of the last axis.   (``torch.nn.functional.adaptive_avg_pool1d``)

    Shapes: input (N, C, L) or (C, L). Part i of m is ⌊i L/m⌋ … ⌈(i + 1) L/m⌉ − 1: as long as each other, or overlapping by one.

    >>> import tinytensor as tt
    >>> tt.nn.functional.adaptive_avg_pool1d(tt.tensor([[1.0, 3.0, 2.0, 4.0]]), 2)
    tensor([[2., 3.]])
    """
    return _adaptive(input, output_size, 1)


def adaptive_avg_pool2d(input: Operand, output_size: Any) -> Tensor:
    """The same as :func:`adaptive_avg_pool1d` along two axes; None keeps an axis.   (``torch.nn.functional.adaptive_avg_pool2d``)

    Shapes: input (N, C, H, W) or (C, H, W) to (N, C, *output_size).

    >>> import tinytensor as tt
    >>> tt.nn.functional.adaptive_avg_pool2d(tt.arange(16.0).reshape(1, 4, 4), 1)
    tensor([[[7.5]]])
    """
    return _adaptive(input, output_size, 2)
