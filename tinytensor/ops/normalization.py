"""Normalisation to mean 0 and variance 1 over some axes, with scale and shift: one primitive for all such layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, empty
from tinytensor.ops.conv import operand
from tinytensor.primitive import TensorBase, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["batch_statistics", "group_norm", "instance_statistics", "layer_norm", "rms_norm"]

Axes = tuple[int, ...]


def _summed(x: Any, axes: Axes) -> Any:
    return np.add.reduce(x, axis=axes, keepdims=True)


def _summed_to(x: Any, shape: tuple[int, ...]) -> Any:
    """Σ over the axes along which ``shape``, with ones in front, has length 1."""
    full = (1,) * (x.ndim - len(shape)) + shape
    axes = tuple([i for i, n in enumerate(full) if n == 1 != x.shape[i]])
    return np.add.reduce(x, axis=axes) if axes else x


def _recorded_rule(g: Any, x: Any, weight: Any, out: Any, shape: Any, wshape: Any, axes: Axes, eps: float, centre: bool,
                   needs: Any) -> list[Any]:  # fmt: skip
    """The gradients as formulas, whose own graph is recorded."""
    (gy, gmean, gvar), (_, mean, var) = g, out
    n = math.prod([shape[a] for a in axes])
    r, centred = 1 / np.sqrt(var + eps), x.reshape(shape) - mean if centre else x.reshape(shape)
    hat = centred * r
    gx = 0.0
    if gy is not None:
        gy = gy.reshape(shape)
        gh = gy if weight is None else gy * weight.reshape(wshape)
        gx = gh - hat * (_summed(gh * hat, axes) / n)
        gx = (gx - _summed(gh, axes) / n if centre else gx) * r
    if gmean is not None:
        gx = gx + gmean / n
    if gvar is not None:
        gx = gx + gvar * (2 / n) * centred
    gx = np.broadcast_to(gx, shape).reshape(x.shape)
    if gy is None:
        return [gx] + [np.zeros(math.prod(wshape), x.dtype) if needed else None for needed in needs[1:]]
    gw = _summed_to(gy * hat, wshape).reshape(-1) if needs[1] else None
    return [gx, gw, _summed_to(gy, wshape).reshape(-1) if needs[2] else None]


def _rule(g: Any, x: Any, weight: Any, bias_shape: Any, out: Any, shape: Any, wshape: Any, axes: Axes, eps: float,
          centre: bool, kept: Any, needs: Any) -> Any:  # fmt: skip
    """∂L/∂x = r (ĝ − mean ĝ − x̂ mean(ĝ x̂)) with ĝ = g · weight, x̂ = (x − mean) r and r = 1/√(var + ε)."""
    gy, *others = g
    if gy.__class__ is np.ndarray and x.__class__ is np.ndarray and others[0] is None and others[1] is None:
        centred = kept[1] if kept and kept[0] is x else x.reshape(shape) - out[1]
        if axes == (1,) and len(shape) == 2 and weight is not None:
            grads = _rows_rule(gy.reshape(shape), centred, weight.reshape(-1), out[2], eps, centre, needs)
            if needs[0]:
                grads[0] = grads[0].reshape(x.shape)
        else:
            grads = _array_rule(gy.reshape(shape), x, centred, weight, out, shape, wshape, axes, eps, centre, needs)
    else:
        grads = _recorded_rule(g, x, weight, out, shape, wshape, axes, eps, centre, needs)
    for k, own in ((1, weight), (2, None)):
        if grads[k] is not None:
            grads[k] = grads[k].reshape(bias_shape if own is None else own.shape)
    return grads


def _rows_rule(gy: Any, centred: Any, weight: Any, var: Any, eps: float, centre: bool, needs: Any) -> list[Any]:
    """The same for rows (N, n) with a weight, where BLAS takes the sums."""
    n, r = centred.shape[1], 1 / np.sqrt(var + eps)  # (N, 1)
    if 0 in gy.strides:
        gy = gy.copy()  # of a sum: one number repeated, which BLAS does not take
    product = gy * centred
    gw = np.matmul(r[:, 0], product) if needs[1] else None
    gb = np.matmul(np.ones(len(gy), gy.dtype), gy) if needs[2] else None
    if not needs[0]:
        return [None, gw, gb]
    along = np.matmul(product, weight)[:, None] * (r * r / n)
    gx = gy * weight
    if centre:
        gx -= np.matmul(gy, weight)[:, None] / n
    gx -= np.multiply(centred, along, product)
    gx *= r
    return [gx, gw, gb]


def _array_rule(gy: Any, x: Any, centred: Any, weight: Any, out: Any, shape: Any, wshape: Any, axes: Axes, eps: float,
                centre: bool, needs: Any) -> list[Any]:  # fmt: skip
    """The same in as few passes over the memory as NumPy allows."""
    n = math.prod([shape[a] for a in axes])
    r = 1 / np.sqrt(out[2] + eps)
    hat = centred * r
    product = gy * hat
    gw = _summed_to(product, wshape) if needs[1] else None
    gb = _summed_to(gy, wshape) if needs[2] else None
    grads = [None, None if gw is None else gw.reshape(-1), None if gb is None else gb.reshape(-1)]
    if not needs[0]:
        return grads
    w = None if weight is None else weight.reshape(wshape)
    if w is None or all(((1,) * len(shape) + w.shape)[a - len(shape)] == 1 for a in axes):  # the same for a whole sum
        along, mean_g = _summed(product, axes), _summed(gy, axes) if centre else None
        scale, gx = (r if w is None else r * w), gy
    else:
        scale, gx = r, gy * w
        product = product * w  # not in place: of a batch of one it is the gradient of the weight
        along, mean_g = _summed(product, axes), _summed(gx, axes) if centre else None
    hat *= along / n
    gx = np.subtract(gx, hat, out=hat)
    if centre:
        gx -= mean_g / n
    gx *= scale
    grads[0] = gx.reshape(x.shape)
    return grads


@primitive(inputs=("x", "weight", "bias"), outputs=True, joint=_rule)
def _normalized(x: Any, weight: Any, bias: Any, shape: Any, wshape: Any, axes: Axes, eps: float, centre: bool,
                kept: Any = None) -> Any:  # fmt: skip
    """((x − mean)/√(var + ε) · weight + bias, mean, var); mean is left at 0 without ``centre``.

    ``kept``: an empty list, in which x − mean is left for the rule, which takes it if it is that of its x.
    """
    flat, out = x.reshape(shape), empty(x.shape, x.dtype, x)
    n, y, rows = math.prod([shape[a] for a in axes]), out.reshape(shape), axes == (len(shape) - 1,)
    if centre:
        mean = np.matmul(flat, np.ones(n, x.dtype))[..., None] if rows and x.dtype.kind == "f" else _summed(flat, axes)
        mean /= n
        flat = flat - mean
    else:
        mean = np.zeros((), x.dtype)
    if kept is not None:
        kept[:] = x, flat
    var = np.expand_dims(np.vecdot(flat, flat), -1) if rows else _summed(np.square(flat), axes)
    var = var / n
    r = 1 / np.sqrt(var + eps)
    if rows and len(shape) == 2 and weight is not None:
        y = np.multiply(flat, np.multiply(r, weight.reshape(wshape), out=y), out=y)
    else:
        np.multiply(flat, r, out=y)
        if weight is not None:
            y *= weight.reshape(wshape)
    if bias is not None:
        y += bias.reshape(wshape)
    return out, mean, var


# ----------------------------------------------------------------------------------------------------------- which axes


def _shape(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, TensorBase) else np.shape(x)


def _check_affine(op: str, expected: tuple[int, ...], **given: Any) -> None:
    for name, value in given.items():
        if value is not None and _shape(value) != expected:
            raise ValueError(f"{op}: expected {name} of shape {expected}, got {_shape(value)}")


def _over_last(
    op: str, x: Any, normalized_shape: int | Sequence[int], weight: Any, bias: Any, eps: float, centre: bool
) -> Any:
    own = (normalized_shape,) if isinstance(normalized_shape, (int, np.integer)) else tuple(normalized_shape)
    dims = x.shape
    if not own or dims[len(dims) - len(own) :] != own or len(dims) < len(own):
        raise ValueError(f"{op}: the last axes of x must be normalized_shape {own}, got x of shape {dims}")
    _check_affine(op, own, weight=weight, bias=bias)
    n = math.prod(own)
    rows = math.prod(dims[: len(dims) - len(own)])
    return _normalized(x, weight, bias, (rows, n), (n,), (1,), eps, centre, [])[0]


def layer_norm(
    input: Operand, normalized_shape: int | Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """(x − mean)/√(var + ε) · weight + bias over the last axes.   (``torch.nn.functional.layer_norm``)

    input x: (..., *normalized_shape); weight and bias: normalized_shape. Ba, Kiros and Hinton, 2016.

    >>> import tinytensor as tt
    >>> tt.nn.functional.layer_norm(tt.tensor([[1.0, 3.0], [0.0, 8.0]]), 2).round(3)
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    return _over_last("layer_norm", operand(input), normalized_shape, weight, bias, eps, True)


def _rms_rule(g: Any, x: Any, out: Any, eps: float) -> Any:
    """∂L/∂x = r (g − y mean(g y)) with r = 1/√(mean x² + ε)."""
    n = x.shape[-1]
    if g.__class__ is np.ndarray and x.__class__ is np.ndarray:
        r, along = np.vecdot(x, x), np.vecdot(g, out)[..., None]
        r /= n
        r += eps
        along /= n
        gx = np.subtract(g, out * along)
        gx /= np.sqrt(r)[..., None]
        return gx
    y = x / np.sqrt(_summed(x * x, (-1,)) / n + eps)
    return (g - y * (_summed(g * y, (-1,)) / n)) / np.sqrt(_summed(x * x, (-1,)) / n + eps)


@primitive(x=_rms_rule)
def _root_mean_square(x: Any, eps: float) -> Any:
    """x/√(mean x² + ε) over the last axis: what small models call most, in one lean node."""
    mean = np.vecdot(x, x)
    mean = asarray(mean / x.shape[-1] + eps)
    return x / np.sqrt(mean)[..., None]


def rms_norm(
    input: Operand, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None
) -> Tensor:
    """x/√(mean x² + ε) · weight over the last axes; ε None: that of the dtype.   (``torch.nn.functional.rms_norm``)

    input x: (..., *normalized_shape); weight: normalized_shape. Zhang and Sennrich, 2019.

    >>> import tinytensor as tt
    >>> tt.nn.functional.rms_norm(tt.tensor([1.0, 7.0]), 2)
    tensor([0.2, 1.4])
    """
    x = operand(input)
    if eps is None:
        eps = float(np.finfo(x.dtype if x.dtype.kind == "f" else float).eps)
    if weight is None and isinstance(x, TensorBase) and x.ndim and normalized_shape in (x.shape[-1], x.shape[-1:]):
        return _root_mean_square(x, eps)
    return _over_last("rms_norm", x, normalized_shape, weight, None, eps, False)


def group_norm(input: Operand, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """:func:`layer_norm` over each group of channels, input (N, C, ...).   (``torch.nn.functional.group_norm``)

    weight and bias: (C,). As many groups as channels: ``instance_norm``. Wu and He, 2018.

    >>> import tinytensor as tt
    >>> tt.nn.functional.group_norm(tt.tensor([[1.0, 3.0, 0.0, 8.0]]), 2).round(3)
    tensor([[-1.,  1., -1.,  1.]])
    """
    return _grouped(operand(input), num_groups, weight, bias, eps)[0]


def _grouped(x: Any, num_groups: int, weight: Any, bias: Any, eps: float) -> Any:
    """x normalised, and the mean and the variance of each group of each sample."""
    dims = x.shape
    if len(dims) < 2 or num_groups < 1 or dims[1] % num_groups:
        raise ValueError(f"group_norm: expected x (N, C, ...) with C divisible by {num_groups} groups, got {dims}")
    channels = dims[1]
    _check_affine("group_norm", (channels,), weight=weight, bias=bias)
    size = math.prod(dims[2:])
    each = channels // num_groups
    if size == 1:
        shape, wshape, axes = (dims[0], num_groups, each), (num_groups, each), (2,)
    elif each == 1:
        shape, wshape, axes = (dims[0], num_groups, size), (num_groups, 1), (2,)
    else:
        shape, wshape, axes = (dims[0], num_groups, each, size), (num_groups, each, 1), (2, 3)
    return _normalized(x, weight, bias, shape, wshape, axes, eps, True, [])


def instance_statistics(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """x (N, C, ...) normalised over all axes but these two, and the mean and the variance (N, C)."""
    y, mean, var = _grouped(x, x.shape[1], weight, bias, eps)
    return y, mean.reshape(x.shape[:2]), var.reshape(x.shape[:2])


def batch_statistics(x: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    """x (N, C, ...) normalised over all axes but that of the channels, and the mean and the variance (C,) of each channel."""
    dims = x.shape
    size = math.prod(dims[2:])
    if size == 1:
        shape, wshape, axes = (dims[0], dims[1]), (dims[1],), (0,)
    else:
        shape, wshape, axes = (dims[0], dims[1], size), (dims[1], 1), (0, 2)
    y, mean, var = _normalized(x, weight, bias, shape, wshape, axes, eps, True, [])
    return y, mean.reshape(-1), var.reshape(-1)
