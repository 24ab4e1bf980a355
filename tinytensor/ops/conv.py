"""Convolution layers' arithmetic: images times kernels, with stride, padding, dilation and groups, along any axes.

Three bilinear primitives are each other's derivatives, so that every order of derivative is one of them: ``_conv``
(images and kernels to outputs), ``_back`` (outputs and kernels to images: the transposed convolution) and ``_kernel``
(outputs and images to kernels).

Shapes are PyTorch's, (N, C, ...). In memory the batch comes last, (C, ..., N), which the shape, a transposed view, does
not show: the windows of all images under one kernel element are then runs of consecutive numbers, which are copied at
the speed of the memory. The copies (columns) are made in slices that fit into the cache, and go into one product of
matrices each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinytensor.arrays import asarray, contiguous, empty, traced, zeros
from tinytensor.primitive import TensorBase, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]

Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]

#: Bytes of columns that are made at a time: half of a usual second-level cache.
_SLICE = 1 << 20

# ------------------------------------------------------------------------------------------------- the batch comes last


def inside(x: Any) -> Any:
    """(N, C, ...) as (C, ..., N), contiguous; most often that is how it lies in memory already."""
    return contiguous(x.transpose(*range(1, x.ndim), 0))


def outside(x: Any) -> Any:
    """(C, ..., N) as (N, C, ...): a view."""
    return x.transpose(-1, *range(x.ndim - 1))


def blank(shape: Ints, dtype: Any, like: Any) -> tuple[Any, Any]:
    """An array (N, C, ...) that owns its memory, in which the batch comes last; and the view (C, ..., N) to fill it."""
    if traced(like):
        inner = empty(shape, dtype, like)
        return outside(inner), inner
    out = np.empty_like(outside(np.empty(shape, dtype)))  # the layout of a view, but no view: others may write into it
    return out, out.transpose(*range(1, out.ndim), 0)


def padded(x: Any, pads: Pads, value: Any = 0, dtype: Any = None) -> Any:
    """(N, C, ...) as (C, ..., N), contiguous, with ``value`` around the axes between; a negative pad cuts off."""
    x = x.transpose(*range(1, x.ndim), 0)
    dtype = dtype or x.dtype
    if not any(map(any, pads)):
        return contiguous(x if x.dtype == dtype else x.astype(dtype))
    size = tuple([n + a + b for n, (a, b) in zip(x.shape[1:-1], pads, strict=True)])
    out = (empty if value else zeros)((x.shape[0], *size, x.shape[-1]), dtype, x)
    if value:
        out.fill(value)
    to, of = (slice(None),), (slice(None),)
    for n, (a, b) in zip(x.shape[1:-1], pads, strict=True):
        to += (slice(max(a, 0), max(a, 0) + n + min(a, 0) + min(b, 0)),)
        of += (slice(max(-a, 0), n + min(b, 0)),)
    out[to] = x[of]
    return out


def windows(x: Any, kernel: Ints, stride: Ints, dilation: Ints) -> Any:
    """(C, ..., N) as (C, *kernel, *places, N), a view: which element stands under each of the kernel's, at each place."""
    first, *steps, last = x.strides
    places = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[1:-1], kernel, stride, dilation, strict=True)
    ]
    if traced(x):  # NumPy's as_strided is not seen there
        axes = tuple(range(1, x.ndim - 1))
        spans = tuple([d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)])
        view = np.lib.stride_tricks.sliding_window_view(x, spans, axes, writeable=True)
        thin = [slice(None, None, s) for s in stride], [slice(None, None, d) for d in dilation]
        view = view[(slice(None), *thin[0], slice(None), *thin[1])]
        return view.transpose(0, *range(x.ndim, view.ndim), *axes, x.ndim - 1)
    moves = [b * d for b, d in zip(steps, dilation, strict=True)] + [b * s for b, s in zip(steps, stride, strict=True)]
    return as_strided(x, (x.shape[0], *kernel, *places, x.shape[-1]), (first, *moves, last))


def _slices(shape: Ints, axis: int, itemsize: int) -> Iterator[tuple[int, int]]:
    """Ranges of places along the first of the axes, each with columns of about ``_SLICE`` bytes."""
    n = shape[axis]
    step = max(_SLICE * n // max(math.prod(shape) * itemsize, 1), 1)
    parts = -(-n // step) if n else 0
    for k in range(parts):
        yield n * k // parts, n * (k + 1) // parts


# ------------------------------------------------------------------------------------------- the three bilinear functions


def _correlated(x: Any, weight: Any, bias: Any, stride: Ints, dilation: Ints, groups: int) -> Any:
    """Padded images (C, ..., N) and kernels (O, C/groups, *kernel) to (N, O, ...)."""
    n_out, kernel = weight.shape[0], weight.shape[2:]
    view, axis = windows(x, kernel, stride, dilation), 1 + len(kernel)
    matrices = weight.reshape(groups, n_out // groups, -1)
    dtype = np.result_type(x, weight) if bias is None else np.result_type(x, weight, bias)
    out, flat = blank((n_out, *view.shape[axis:]), dtype, x if traced(x) else weight)
    flat = flat.reshape(groups, n_out // groups, math.prod(view.shape[axis:]))
    row = math.prod(view.shape[axis + 1 :])
    for a, b in _slices(view.shape, axis, x.itemsize):
        columns = view[(slice(None),) * axis + (slice(a, b),)].reshape(groups, matrices.shape[2], (b - a) * row)
        part = flat[:, :, a * row : b * row]
        np.matmul(matrices, columns, out=part)
        if bias is not None:
            part += bias.reshape(groups, -1, 1)
    return out


def _scattered(g: Any, weight: Any, size: Ints, stride: Ints, dilation: Ints, groups: int) -> Any:
    """The transpose of :func:`_correlated`: (O, ..., N) to padded images (C, *size, N), each product added to its place."""
    n_out, n_in, *kernel = weight.shape
    matrices = weight.reshape(groups, n_out // groups, -1).swapaxes(1, 2)
    out = zeros((groups * n_in, *size, g.shape[-1]), np.result_type(g, weight), g if traced(g) else weight)
    flat, places = g.reshape(groups, n_out // groups, math.prod(g.shape[1:])), g.shape[1:-1]
    row = math.prod(g.shape[2:])
    for a, b in _slices((len(out), *kernel, *g.shape[1:]), 1 + len(kernel), out.itemsize):
        spans = (b - a, *places[1:])
        columns = np.matmul(matrices, flat[:, :, a * row : b * row]).reshape(len(out), *kernel, *spans, g.shape[-1])
        for at in product(*map(range, kernel)):
            where = [
                slice(k * d + start * s, k * d + (start + n - 1) * s + 1, s)
                for k, d, s, n, start in zip(at, dilation, stride, spans, (a, *[0] * len(spans)), strict=False)
            ]
            out[(slice(None), *where)] += columns[(slice(None), *at)]
    return out


def _flipped(weight: Any, groups: int) -> Any:
    """Kernels (O, C/groups, ...) read backwards, (C, O/groups, ...): with them an image's gradient is a convolution too."""
    n_out, n_in, *kernel = weight.shape
    w = weight.reshape(groups, n_out // groups, n_in, *kernel).swapaxes(1, 2)
    w = w[(slice(None),) * 3 + (slice(None, None, -1),) * len(kernel)]
    return w.reshape(groups * n_in, n_out // groups, *kernel)


def _fitting(pads: Pads, x: Any, weight: Ints, y: Ints, stride: Ints, dilation: Ints) -> Pads:
    """The pads with which images x give outputs of just this shape: output_padding may leave room for one place more."""
    sizes = zip(pads, x.shape[2:], weight[2:], y[2:], stride, dilation, strict=True)
    return tuple([(a, (m - 1) * s + d * (k - 1) + 1 - n - a) for (a, _), n, k, m, s, d in sizes])


def _conv_joint(g: Any, x: Any, weight: Any, stride: Any, pads: Any, dilation: Any, groups: Any, needs: Any) -> Any:
    if g.__class__ is np.ndarray:  # brought into order once, for all three
        g = outside(inside(g))
        total = np.add.reduce(g, (0, *range(2, g.ndim))) if needs[2] else None
    else:
        total = np.sum(g, (0, *range(2, g.ndim))) if needs[2] else None
    return (
        _back(g, weight, x.shape[2:], stride, pads, dilation, groups) if needs[0] else None,
        _kernel(g, x, weight.shape[2:], stride, pads, dilation, groups) if needs[1] else None,
        total,
    )


@primitive(joint=_conv_joint, inputs=("x", "weight", "bias"))
def _conv(x: Any, weight: Any, bias: Any, stride: Ints, pads: Pads, dilation: Ints, groups: int) -> Any:
    """outₙₒₚ = bₒ + Σ_c Σₖ wₒ꜀ₖ xₙ꜀(s p + d k): images and kernels to outputs."""
    return _correlated(padded(x, pads), weight, bias, stride, dilation, groups)


@primitive(
    y=lambda g, weight, y_shape, stride, pads, dilation, groups: _conv(
        g, weight, None, stride, _fitting(pads, g, weight.shape, y_shape, stride, dilation), dilation, groups
    ),
    weight=lambda g, y, weight_shape, stride, pads, dilation, groups: _kernel(
        y, g, weight_shape[2:], stride, pads, dilation, groups
    ),
)
def _back(y: Any, weight: Any, size: Ints, stride: Ints, pads: Pads, dilation: Ints, groups: int) -> Any:
    """The gradient of :func:`_conv` with respect to its images, of this size: outputs and kernels to images."""
    n_out, n_in, *kernel = weight.shape
    if max(stride) == 1 and 2 * n_in >= max(n_out // groups, 4):  # its columns are few, and nothing must be added up
        ends = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        around = tuple(
            [(e - a, n - p + a) for e, (a, _), n, p in zip(ends, pads, size, y.shape[2:], strict=True)]
        )  # as many places as the image has elements
        return _correlated(padded(y, around), _flipped(weight, groups), None, stride, dilation, groups)
    whole = tuple([n + a + max(b, 0) for n, (a, b) in zip(size, pads, strict=True)])  # what was cut off gets 0
    out = _scattered(inside(y), weight, whole, stride, dilation, groups)
    return outside(out[(slice(None), *[slice(a, a + n) for n, (a, _) in zip(size, pads, strict=True)])]).copy("K")


@primitive(
    y=lambda g, x, y_shape, stride, pads, dilation, groups: _conv(
        x, g, None, stride, _fitting(pads, x, g.shape, y_shape, stride, dilation), dilation, groups
    ),
    x=lambda g, y, x_shape, stride, pads, dilation, groups: _back(y, g, x_shape[2:], stride, pads, dilation, groups),
)
def _kernel(y: Any, x: Any, kernel: Ints, stride: Ints, pads: Pads, dilation: Ints, groups: int) -> Any:
    """The gradient of :func:`_conv` with respect to its kernels, of this size: outputs and images to kernels."""
    y, view = inside(y), windows(padded(x, pads), kernel, stride, dilation)
    axis, n_out = 1 + len(kernel), len(y)
    view = view[(slice(None),) * axis + tuple([slice(n) for n in y.shape[1:-1]])]
    taps = len(view) // groups * math.prod(kernel)
    flat = y.reshape(groups, n_out // groups, math.prod(y.shape[1:]))
    row = math.prod(y.shape[2:])
    out = zeros((groups, taps, n_out // groups), np.result_type(y, x), x if traced(x) else y)
    for a, b in _slices(view.shape, axis, x.itemsize):
        columns = view[(slice(None),) * axis + (slice(a, b),)].reshape(groups, taps, (b - a) * row)
        out += np.matmul(columns, flat[:, :, a * row : b * row].swapaxes(1, 2))
    return out.swapaxes(1, 2).reshape(n_out, len(view) // groups, *kernel)


# ------------------------------------------------------------------------------------------------------ the public side


def numbers(value: Any, n: int, name: str, op: str, least: int = 1) -> Ints:
    """An integer, or one for each of ``n`` axes, as a tuple; not below ``least``."""
    found = (
        (value,) * n if isinstance(value, (int, np.integer)) else tuple(value) if isinstance(value, Sequence) else ()
    )
    if len(found) == 1 < n:
        found *= n
    if len(found) != n or not all(isinstance(v, (int, np.integer)) and v >= least for v in found):
        several = f" or {n} of them" if n > 1 else ""
        raise ValueError(f"{op}: {name} must be an integer of at least {least}{several}, got {value!r}")
    return tuple(map(int, found))


def pads_of(padding: Any, kernel: Ints, stride: Ints, dilation: Ints, op: str) -> Pads:
    """How much is added before and after each axis."""
    if not isinstance(padding, str):
        return tuple([(p, p) for p in numbers(padding, len(kernel), "padding", op, 0)])
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise ValueError(f"{op}: padding must be numbers, 'same' or 'valid', got {padding!r}")
    if max(stride) > 1:
        raise ValueError(f"{op}: padding='same' needs stride 1, got {stride}")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple([(t // 2, t - t // 2) for t in totals])


def operand(x: Any) -> Any:
    """A tensor or an array."""
    return x if isinstance(x, TensorBase) else asarray(x)


def batched(x: Any, n: int, op: str) -> tuple[Any, bool]:
    """x with its batch axis, and whether that had to be added."""
    x = operand(x)
    if x.ndim == n + 2:
        return x, False
    if x.ndim != n + 1:
        axes = ", ".join("DHW"[3 - n :]) if n > 1 else "L"
        raise ValueError(f"{op}: expected an input (N, C, {axes}) or (C, {axes}), got shape {x.shape}")
    return x[None], True


def _checked(x: Any, weight: Any, bias: Any, groups: int, op: str, transposed: bool = False) -> None:
    """ValueError unless channels and groups fit together."""
    n = x.ndim - 2
    shape = weight.shape
    layout = "in, out/groups" if transposed else "out, in/groups"
    if weight.ndim != n + 2:
        raise ValueError(f"{op}: expected a weight ({layout}, {'kernel, ' * n}".rstrip(", ") + f"), got shape {shape}")
    if not isinstance(groups, (int, np.integer)) or groups < 1 or shape[0] % groups:
        raise ValueError(f"{op}: groups must divide the {shape[0]} kernels of weight {shape}, got {groups!r}")
    channels = shape[0] if transposed else shape[1] * groups
    if x.shape[1] != channels:
        raise ValueError(
            f"{op}: weight {shape} ({layout}, ...) with groups={groups} expects {channels} input channels, "
            f"got {x.shape[1]} in an input of shape {x.shape}"
        )
    n_out = shape[1] * groups if transposed else shape[0]
    if bias is not None and bias.shape != (n_out,):
        raise ValueError(f"{op}: expected a bias of shape ({n_out},), got {bias.shape}")


def _forward(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int, n: int, op: str
) -> Tensor:
    x, alone = batched(x, n, op)
    weight, bias = operand(weight), None if bias is None else operand(bias)
    _checked(x, weight, bias, groups, op)
    kernel = weight.shape[2:]
    stride, dilation = numbers(stride, n, "stride", op), numbers(dilation, n, "dilation", op)
    pads = pads_of(padding, kernel, stride, dilation, op)
    for size, k, d, (a, b) in zip(x.shape[2:], kernel, dilation, pads, strict=True):
        if size + a + b < d * (k - 1) + 1 or not k:
            raise ValueError(
                f"{op}: a kernel of {kernel}, dilation {dilation}, does not fit into an input of {x.shape[2:]} with "
                f"padding {pads}"
            )
    out = _conv(x, weight, bias, stride, pads, dilation, groups)
    return out[0] if alone else out


def _transposed(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, extra: Any, groups: int, dilation: Any, n: int, op: str
) -> Tensor:
    x, alone = batched(x, n, op)
    weight, bias = operand(weight), None if bias is None else operand(bias)
    _checked(x, weight, bias, groups, op, transposed=True)
    kernel = weight.shape[2:]
    stride, dilation = numbers(stride, n, "stride", op), numbers(dilation, n, "dilation", op)
    pads = pads_of(numbers(padding, n, "padding", op, 0), kernel, stride, dilation, op)
    extra = numbers(extra, n, "output_padding", op, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(f"{op}: output_padding must be smaller than stride or dilation, got {extra}")
    size = tuple(
        [
            (m - 1) * s - a - b + d * (k - 1) + e + 1
            for m, s, (a, b), d, k, e in zip(x.shape[2:], stride, pads, dilation, kernel, extra, strict=True)
        ]
    )
    if min(size) < 1:
        raise ValueError(f"{op}: the output would have size {size}; input {x.shape[2:]}, kernel {kernel}")
    out = _back(x, weight, size, stride, pads, dilation, groups)
    if bias is not None:
        out = out + bias.reshape((-1, *(1,) * n))
    return out[0] if alone else out


def conv1d(
    input: Operand, weight: Operand, bias: Operand | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """outₙₒₚ = bₒ + Σ_c Σₖ wₒ꜀ₖ xₙ꜀(s p + d k − padding).   (``torch.nn.functional.conv1d``)

    Shapes: input x (N, in, L) or (in, L), weight (out, in/groups, kernel), bias (out,). ``padding``: a number, "valid" or
    "same". Returns (N, out, (L + 2 padding − dilation (kernel − 1) − 1) // stride + 1).

    >>> import tinytensor as tt
    >>> tt.nn.functional.conv1d(tt.tensor([[[1.0, 2.0, 4.0, 8.0]]]), [[[-1.0, 1.0]]])
    tensor([[[1., 2., 4.]]])
    """
    return _forward(input, weight, bias, stride, padding, dilation, groups, 1, "conv1d")


def conv2d(
    input: Operand, weight: Operand, bias: Operand | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> Tensor:  # fmt: skip
    """The same as :func:`conv1d` along two axes.   (``torch.nn.functional.conv2d``)

    Shapes: input x (N, in, H, W) or (in, H, W), weight (out, in/groups, kH, kW), bias (out,). Each option is a number or a
    pair. ``padding`` may be "valid" or "same" too.

    >>> import tinytensor as tt
    >>> image = tt.arange(9.0).reshape(1, 1, 3, 3)
    >>> tt.nn.functional.conv2d(image, tt.ones((1, 1, 2, 2)))
    tensor([[[[ 8., 12.],
              [20., 24.]]]])
    """
    return _forward(input, weight, bias, stride, padding, dilation, groups, 2, "conv2d")


def conv_transpose1d(
    input: Operand, weight: Operand, bias: Operand | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The transpose of :func:`conv1d` as a linear map of x: each number spreads a kernel.   (``torch.nn.functional.conv_transpose1d``)

    Shapes: input x (N, in, L) or (in, L), weight (in, out/groups, kernel), bias (out,). Returns (N, out, (L − 1) stride
    − 2 padding + dilation (kernel − 1) + output_padding + 1).

    >>> import tinytensor as tt
    >>> tt.nn.functional.conv_transpose1d(tt.tensor([[[1.0, 10.0]]]), [[[1.0, 2.0]]], stride=2)
    tensor([[[ 1.,  2., 10., 20.]]])
    """
    return _transposed(input, weight, bias, stride, padding, output_padding, groups, dilation, 1, "conv_transpose1d")


def conv_transpose2d(
    input: Operand, weight: Operand, bias: Operand | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The same as :func:`conv_transpose1d` along two axes.   (``torch.nn.functional.conv_transpose2d``)

    Shapes: input x (N, in, H, W) or (in, H, W), weight (in, out/groups, kH, kW), bias (out,).

    >>> import tinytensor as tt
    >>> tt.nn.functional.conv_transpose2d(tt.ones((1, 1, 2, 2)), tt.ones((1, 1, 2, 2)))
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    return _transposed(input, weight, bias, stride, padding, output_padding, groups, dilation, 2, "conv_transpose2d")
