"""How the fused primitives of layers are written in ONNX: linear maps, convolutions, pooling, normalisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.onnx.elementwise import is_number
from tinytensor.onnx.graph import Graph
from tinytensor.onnx.program import Step, Symbol
from tinytensor.onnx.table import emits
from tinytensor.primitive import TensorBase

__all__: list[str] = []


def _turned(g: Graph, x: Any, dtype: Any) -> Any:
    """A matrix transposed; a constant one in the file already."""
    if isinstance(x, Symbol):
        return g("Transpose", g.value(x, dtype), perm=[1, 0])
    array = x._data if isinstance(x, TensorBase) else np.asarray(x)
    return g.constant(np.ascontiguousarray(array.T, dtype))


@emits("ops.linalg.linear")
def _linear(g: Graph, step: Step) -> Any:
    x, weight, bias = step.args
    dtype = step.out.dtype
    if x.ndim == 2 and (bias is None or bias.ndim == 1):
        given = [x, weight] if bias is None else [x, weight, bias]
        return g("Gemm", *[g.value(v, dtype) for v in given], transB=1)
    out = g("MatMul", g.value(x, dtype), _turned(g, weight, dtype))
    return out if bias is None else g("Add", out, g.value(bias, dtype))


# ------------------------------------------------------------------------------------------- convolution and pooling


def _pads(pads: Any) -> list[int]:
    """ONNX names all that comes before the axes, then all that comes after."""
    return [*[a for a, _ in pads], *[b for _, b in pads]]


@emits("ops.conv._conv")
def _conv(g: Graph, step: Step) -> Any:
    x, weight, bias, stride, pads, dilation, groups = step.args
    names = [None if v is None else g.value(v, step.out.dtype) for v in (x, weight, bias)]
    return g("Conv", *names, strides=stride, pads=_pads(pads), dilations=dilation, group=groups, kernel_shape=weight.shape[2:])  # fmt: skip


@emits("ops.conv._back")
def _conv_transposed(g: Graph, step: Step) -> Any:
    y, weight, size, stride, pads, dilation, groups = step.args
    kernel = weight.shape[2:]
    without = [
        (m - 1) * s + d * (k - 1) + 1 - a - b
        for m, s, d, k, (a, b) in zip(y.shape[2:], stride, dilation, kernel, pads, strict=True)
    ]
    extra = [n - m for n, m in zip(size, without, strict=True)]  # elements more at the end: less cut off, or zeros
    zeros = [max(e - b, 0) for e, (_, b) in zip(extra, pads, strict=True)]
    pads = [(a, max(b - e, 0)) for e, (a, b) in zip(extra, pads, strict=True)]
    names = [g.value(v, step.out.dtype) for v in (y, weight)]
    out = g("ConvTranspose", *names, strides=stride, pads=_pads(pads), dilations=dilation, group=groups, kernel_shape=kernel)  # fmt: skip
    return _around(g, out, [(0, n) for n in zeros], 0, step.out.dtype) if any(zeros) else out


def _around(g: Graph, x: Any, pads: Any, value: float, dtype: Any) -> Any:
    """x with ``value`` around the axes behind batch and channels."""
    return g("Pad", x, g.ints(_pads([(0, 0), (0, 0), *pads])), g.number(value, dtype))


def _fitted(g: Graph, x: Any, kernel: Any, pads: Any, value: float, dtype: Any) -> tuple[Any, Any]:
    """x and pads of a pooling: those as wide as the kernel, which ONNX does not know, are made before it."""
    if all(max(pad) < k for pad, k in zip(pads, kernel, strict=True)):
        return x, pads
    return _around(g, x, pads, value, dtype), [(0, 0)] * len(pads)


@emits("ops.pooling._max_pool")
def _max_pool(g: Graph, step: Step) -> Any:
    x, kernel, stride, pads, dilation = step.args
    x, pads = _fitted(g, g.value(x), kernel, pads, -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min, x.dtype)
    return g("MaxPool", x, kernel_shape=kernel, strides=stride, pads=_pads(pads), dilations=dilation)


@emits("ops.pooling._avg_pool")
def _avg_pool(g: Graph, step: Step) -> Any:
    """The sum of each window times ``scale``: a mean over all of it, and what that is wrong by."""
    x, kernel, stride, pads, scale = step.args
    dtype = step.out.dtype
    x, pads = _fitted(g, g.value(x, dtype), kernel, pads, 0, dtype)
    out = g("AveragePool", x, kernel_shape=kernel, strides=stride, pads=_pads(pads), count_include_pad=1)  # fmt: skip
    n = math.prod(kernel)
    if not is_number(scale):
        return g("Mul", out, g.constant(np.asarray(scale[..., 0] * n, dtype)))
    return out if math.isclose(scale * n, 1) else g("Mul", out, g.number(scale * n, dtype))


# -------------------------------------------------------------------------------------------------------- normalisation


def _shaped(g: Graph, x: Any, shape: Any, dtype: Any) -> str:
    """Weights in another shape; constant ones in the file already."""
    if isinstance(x, Symbol):
        return str(g.reshape(g.value(x, dtype), shape))
    return g.constant((x._data if isinstance(x, TensorBase) else np.asarray(x)).reshape(shape).astype(dtype))


@emits("ops.normalization._normalized")
def _normalized(g: Graph, step: Step) -> Any:
    x, weight, bias, shape, wshape, axes, eps, centre, *_ = step.args
    dtype = step.out.dtype
    if centre and axes == (1,) and len(shape) == 2 and x.shape[-1:] == wshape and isinstance(weight, TensorBase):
        return [g("LayerNormalization", g.value(x, dtype), weight, bias, axis=-1, epsilon=float(eps)), "", ""]
    flat = g.reshape(g.value(x, dtype), shape)
    mean = g.reduce("ReduceMean", flat, axes, True) if centre else g.number(0, dtype)
    d = g("Sub", flat, mean) if centre else flat
    var = g.reduce("ReduceMean", g("Mul", d, d), axes, True)
    out = g("Div", d, g("Sqrt", g("Add", var, g.number(eps, dtype))))
    if weight is not None:
        out = g("Mul", out, _shaped(g, weight, wshape, dtype))
    if bias is not None:
        out = g("Add", out, _shaped(g, bias, wshape, dtype))
    return [g.reshape(out, x.shape), mean, var]


@emits("ops.normalization._root_mean_square")
def _root_mean_square(g: Graph, step: Step) -> Any:
    x, eps = step.args
    dtype = step.out.dtype
    name = g.value(x, dtype)
    mean = g.reduce("ReduceMean", g("Mul", name, name), [x.ndim - 1], True)
    return g("Div", name, g("Sqrt", g("Add", mean, g.number(eps, dtype))))
