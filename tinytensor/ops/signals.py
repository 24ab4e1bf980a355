"""Signals: differences, integrals, convolutions, interpolation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from tinytensor.arrays import asarray, empty, zeros
from tinytensor.graph import assured
from tinytensor.ops.axes import axes_of
from tinytensor.ops.indexing import scatter
from tinytensor.primitive import DISPATCH, TensorBase, composite, has_tensors, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["convolve", "correlate", "diff", "ediff1d", "gradient", "interp", "trapezoid", "unwrap"]


def _along(axis: int, start: int | None, stop: int | None) -> tuple[Any, ...]:
    """The index of a part of one axis, which is not negative."""
    return (slice(None),) * axis + (slice(start, stop),)


# -------------------------------------------------------------------------------------------------------- differences


@primitive(x=lambda g, n, axis: _diff(g, n, axis))
def _diff_transposed(x: Any, n: int, axis: int, length: int) -> Any:
    """n times: outᵢ = xᵢ₋₁ − xᵢ between zeros."""
    if n >= length:  # the differences are empty
        return np.zeros((*x.shape[:axis], length, *x.shape[axis + 1 :]), x.dtype)
    for _ in range(n):
        out = empty((*x.shape[:axis], x.shape[axis] + 1, *x.shape[axis + 1 :]), x.dtype, x)
        rows, made = x.swapaxes(0, axis), out.swapaxes(0, axis)
        made[0], made[-1] = -rows[0], rows[-1]
        np.subtract(rows[:-1], rows[1:], made[1:-1])
        x = out
    return x


@primitive(x=lambda g, x_shape, n, axis: _diff_transposed(g, n, axis, x_shape[axis]))
def _diff(x: Any, n: int, axis: int) -> Any:
    return np.diff(x, n, axis)


@composite(np.diff)
def diff(
    x: Operand, n: int = 1, axis: int = -1, prepend: Operand | None = None, append: Operand | None = None
) -> Tensor:
    """xᵢ₊₁ − xᵢ along the axis, n times.   ∂outᵢ/∂xᵢ₊₁ = 1, ∂outᵢ/∂xᵢ = −1   (:func:`numpy.diff`)

    ``prepend`` and ``append`` are joined to x first; a number stands for a row of it.

    >>> import tinytensor as tt
    >>> tt.diff(tt.tensor([1.0, 4.0, 9.0]), append=0.0)
    tensor([ 3.,  5., -9.])
    """
    array: Any = x if hasattr(x, "ndim") else asarray(x)
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}")
    if array.ndim == 0:
        raise ValueError("diff: expected at least one dimension, got a number")
    axis = normalize_axis_index(axis, array.ndim)
    if prepend is not None or append is not None:
        ends = [_end(end, array, axis) for end in (prepend, append)]
        array = np.concatenate([part for part in (ends[0], array, ends[1]) if part is not None], axis)
    return _diff(array, n, axis)


def _end(end: Any, x: Any, axis: int) -> Any:
    if end is None or end is np._NoValue:
        return None
    if np.ndim(end) == 0:
        return np.broadcast_to(end, (*x.shape[:axis], 1, *x.shape[axis + 1 :]))
    return end


@composite(np.ediff1d)
def ediff1d(x: Operand, to_end: Operand | None = None, to_begin: Operand | None = None) -> Tensor:
    """Differences of the flattened array, between ``to_begin`` and ``to_end``.   (:func:`numpy.ediff1d`)

    >>> import tinytensor as tt
    >>> tt.ediff1d(tt.tensor([1.0, 4.0, 9.0]), to_begin=1.0)
    tensor([1., 3., 5.])
    """
    array: Any = x if hasattr(x, "ndim") else asarray(x)
    parts = [_diff(array.reshape(-1), 1, 0)]
    for place, end in ((0, to_begin), (2, to_end)):
        if end is None:
            continue
        part: Any = end if hasattr(end, "dtype") else asarray(end)
        if not np.can_cast(part.dtype, array.dtype, "same_kind"):
            raise TypeError(f"ediff1d: the ends must fit the dtype of x, {array.dtype}; got {part.dtype}")
        parts.insert(place, part.reshape(-1) if part.dtype == array.dtype else part.reshape(-1).astype(array.dtype))
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


# ------------------------------------------------------------------------------------------------ derivatives by points


def _stencils(h: Any, edge_order: int) -> tuple[Any, Any, Any]:
    """Weights of the three points that make a derivative: at the first point, inside, at the last (NumPy's formulas).

    ``h``: the step, or the steps between n points.
    """
    if np.ndim(h) == 0:
        inner = (-0.5 / h, None, 0.5 / h)
        if edge_order == 1:
            return (-1 / h, 1 / h), inner, (-1 / h, 1 / h)
        return (-1.5 / h, 2.0 / h, -0.5 / h), inner, (0.5 / h, -2.0 / h, 1.5 / h)
    a, b = h[:-1], h[1:]
    inner = (-b / (a * (a + b)), (b - a) / (a * b), a / (b * (a + b)))
    if edge_order == 1:
        return (-1 / h[0], 1 / h[0]), inner, (-1 / h[-1], 1 / h[-1])
    a, b = h[0], h[1]
    first = (-(2.0 * a + b) / (a * (a + b)), (a + b) / (a * b), -a / (b * (a + b)))
    a, b = h[-2], h[-1]
    return first, inner, (b / (a * (a + b)), -(a + b) / (a * b), (2.0 * b + a) / (b * (a + b)))


def _shaped(weight: Any, axis: int, ndim: int) -> Any:
    return weight if np.ndim(weight) == 0 else weight.reshape((-1,) + (1,) * (ndim - axis - 1))


def _weighted(x: Any, steps: Any, axis: int, edge_order: int) -> Any:
    """The derivative in terms of primitives: for steps that are tensors themselves."""
    first, inner, last = _stencils(steps, edge_order)
    n, k = x.shape[axis], len(first)
    inside = sum(_shaped(w, axis, x.ndim) * x[_along(axis, i, n - 2 + i)] for i, w in enumerate(inner) if w is not None)
    ends = [
        sum(w * x[_along(axis, i + start, i + start + 1)] for i, w in enumerate(ws))
        for ws, start in ((first, 0), (last, n - k))
    ]
    return np.concatenate([ends[0], inside, ends[1]], axis)


@primitive(x=lambda g, steps, axis, edge_order: _derivative(g, steps, axis, edge_order))
def _derivative_transposed(x: Any, steps: Any, axis: int, edge_order: int) -> Any:
    first, inner, last = _stencils(steps, edge_order)
    n, out = x.shape[axis], zeros(x.shape, x.dtype, x)
    rows, sums = x.swapaxes(0, axis), out.swapaxes(0, axis)
    inside = rows[1:-1]
    for i, w in enumerate(inner):
        if w is not None:
            sums[i : n - 2 + i] += _shaped(w, 0, x.ndim) * inside
    for i, (a, b) in enumerate(zip(first, last, strict=True)):
        sums[i] += a * rows[0]
        sums[n - len(last) + i] += b * rows[-1]
    return out


@primitive(x=lambda g, steps, axis, edge_order: _derivative_transposed(g, steps, axis, edge_order))
def _derivative(x: Any, steps: Any, axis: int, edge_order: int) -> Any:
    """``numpy.gradient`` along one axis; with one step and ends of first order without its preparations."""
    if edge_order == 2 or np.ndim(steps) or x.dtype.kind != "f":
        points = steps if np.ndim(steps) == 0 else np.concatenate([[0.0], np.cumsum(steps)])
        return np.gradient(x, points, axis=axis, edge_order=edge_order)
    out = empty(x.shape, x.dtype, x)
    rows, made = x.swapaxes(0, axis), out.swapaxes(0, axis)
    np.subtract(rows[2:], rows[:-2], made[1:-1])
    made[1:-1] /= 2.0 * steps
    made[0], made[-1] = (rows[1] - rows[0]) / steps, (rows[-1] - rows[-2]) / steps
    return out


def _uniform(steps: Any) -> bool:
    return bool(np.all(steps == steps[0]))


def _spacings(spacing: tuple[Any, ...], shape: Any, axes: tuple[int, ...]) -> list[Any]:
    """The steps along each axis, from NumPy's ``varargs``: numbers, or the coordinates of the points."""
    if len(spacing) == 0:
        return [1.0] * len(axes)
    if len(spacing) == 1 and np.ndim(spacing[0]) == 0:
        return [spacing[0]] * len(axes)
    if len(spacing) != len(axes):
        raise TypeError(f"gradient: expected one spacing, or one for each of the {len(axes)} axes, got {len(spacing)}")
    steps = []
    for h, axis in zip(spacing, axes, strict=True):
        if np.ndim(h) == 0:
            steps.append(h)
            continue
        if np.shape(h) != (shape[axis],):
            raise ValueError(f"gradient: axis {axis} has {shape[axis]} points, got coordinates of shape {np.shape(h)}")
        between = np.diff(h if hasattr(h, "dtype") else asarray(h))
        varies = isinstance(between, TensorBase) and between._node is not None
        uniform = not varies and between.size and assured(_uniform, getattr(between, "_data", between))
        steps.append(between[0] if uniform else between)
    return steps


def gradient(f: Operand, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """The derivative along each axis by central differences, one-sided at the ends.   (:func:`numpy.gradient`)

    ``varargs``: one step, or for each axis a step or the coordinates of its points (which may be tensors). Linear in f:
    the gradient is the transposed stencil. Several axes give a tuple.

    >>> import tinytensor as tt
    >>> tt.gradient(tt.tensor([0.0, 1.0, 4.0, 9.0]), 1.0, edge_order=2)
    tensor([0., 2., 4., 6.])
    """
    if not has_tensors((f, *varargs)):
        return np.gradient(f, *varargs, axis=axis, edge_order=edge_order)
    x: Any = f if hasattr(f, "ndim") else asarray(f)
    asked = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes_of(asked, x.ndim, "gradient")
    axes = tuple([a % x.ndim for a in asked])
    if edge_order not in (1, 2):
        raise ValueError(f"gradient: edge_order must be 1 or 2, got {edge_order}")
    if any(x.shape[a] <= edge_order for a in axes):
        raise ValueError(f"gradient: expected at least {edge_order + 1} points along each axis, got shape {x.shape}")
    outs = []
    for a, steps in zip(axes, _spacings(varargs, x.shape, axes), strict=True):
        if isinstance(steps, TensorBase) and steps._node is not None:
            outs.append(_weighted(x, steps, a, edge_order))
        else:
            outs.append(_derivative(x, steps._data if isinstance(steps, TensorBase) else steps, a, edge_order))
    return outs[0] if len(outs) == 1 else tuple(outs)


DISPATCH[np.gradient] = gradient


@composite(np.trapezoid)
def trapezoid(y: Operand, x: Operand | None = None, dx: Operand = 1.0, axis: int = -1) -> Tensor:
    """Σ (xᵢ₊₁ − xᵢ)(yᵢ + yᵢ₊₁)/2 along the axis.   (:func:`numpy.trapezoid`, ``torch.trapezoid``)

    >>> import tinytensor as tt
    >>> tt.trapezoid(tt.tensor([1.0, 2.0, 3.0]), x=[0.0, 1.0, 3.0])
    tensor(6.5)
    """
    array: Any = y if hasattr(y, "ndim") else asarray(y)
    axis = normalize_axis_index(axis, array.ndim)
    steps: Any = dx
    if x is not None:
        points: Any = x if hasattr(x, "ndim") else asarray(x)
        steps = diff(points, axis=-1 if points.ndim == 1 else axis)
        if points.ndim == 1:
            steps = steps.reshape((-1,) + (1,) * (array.ndim - axis - 1))
    pairs = array[_along(axis, 1, None)] + array[_along(axis, None, -1)]
    return (steps * pairs / 2.0).sum(axis)


@primitive(np.unwrap, x=lambda g: g)
def unwrap(x: Operand, discont: float | None = None, axis: int = -1, period: float = 2 * np.pi) -> Tensor:
    """x plus multiples of the period, so that no step is larger than half of it.   ∂/∂x = 1   (:func:`numpy.unwrap`)

    >>> import tinytensor as tt
    >>> tt.unwrap(tt.tensor([0.0, 3.0, 6.0]), period=4.0)
    tensor([ 0., -1., -2.])
    """
    return np.unwrap(x, discont, axis, period=period)


# -------------------------------------------------------------------------------------------------------- convolutions


def _mode(mode: Any) -> str:
    """NumPy's mode by its first letter."""
    letter = "vsf"[mode] if isinstance(mode, int) and 0 <= mode < 3 else str(mode)
    if letter not in ("full", "same", "valid", "f", "s", "v"):
        raise ValueError(f"convolve: mode must be 'full', 'same' or 'valid', got {mode!r}")
    return letter[0]


def _whole(g: Any, a_shape: Any, v_shape: Any, mode: Any, middle: int) -> Any:
    """The cotangent of the full convolution, of which a mode takes a part; ``middle``: where 'same' begins."""
    n, m = (int(np.prod(shape)) for shape in (a_shape, v_shape))
    letter = _mode(mode)
    if letter == "f" or min(n, m) == 1:
        return g
    start = min(n, m) - 1 if letter == "v" else middle
    return scatter(g, (slice(start, start + g.shape[0]),), (n + m - 1,))


def _convolve_rule(g: Any, y: Any, x_shape: Any, y_shape: Any, mode: Any) -> Any:
    whole = _whole(g, x_shape, y_shape, mode, (min(np.prod(x_shape, dtype=int), y.size) - 1) // 2)
    return convolve(whole, np.flip(y), "valid").reshape(x_shape)


@primitive(
    np.convolve,
    a=lambda g, v, a_shape, v_shape, mode: _convolve_rule(g, v, a_shape, v_shape, mode),
    v=lambda g, a, a_shape, v_shape, mode: _convolve_rule(g, a, v_shape, a_shape, mode),
)
def convolve(a: Operand, v: Operand, mode: str = "full") -> Tensor:
    """outₖ = Σᵢ aᵢ vₖ₋ᵢ of two vectors.   ∂/∂a = g ⋆ v, ∂/∂v = g ⋆ a   (:func:`numpy.convolve`)

    >>> import tinytensor as tt
    >>> tt.convolve(tt.tensor([1.0, 2.0, 3.0]), [1.0, -1.0])
    tensor([ 1.,  1.,  1., -3.])
    """
    return np.convolve(a, v, _MODES[_mode(mode)])


_MODES: Any = {"f": "full", "s": "same", "v": "valid"}


def _real_conj(x: Any) -> Any:
    return np.conj(x) if x.dtype.kind == "c" else x


def _correlate_whole(g: Any, a_shape: Any, v_shape: Any, mode: Any) -> Any:
    n, m = (int(np.prod(shape)) for shape in (a_shape, v_shape))
    return _whole(g, a_shape, v_shape, mode, (m - 1) // 2 if n >= m else n // 2)


def _correlate_v(g: Any, a: Any, a_shape: Any, v_shape: Any, mode: Any) -> Any:
    whole = _correlate_whole(g, a_shape, v_shape, mode)
    return _real_conj(np.flip(convolve(whole, np.flip(a), "valid")).reshape(v_shape))


@primitive(
    np.correlate,
    a=lambda g, v, a_shape, v_shape, mode: convolve(
        _correlate_whole(g, a_shape, v_shape, mode), _real_conj(v), "valid"
    ).reshape(a_shape),
    v=_correlate_v,
)
def correlate(a: Operand, v: Operand, mode: str = "valid") -> Tensor:
    """outₖ = Σᵢ aₖ₊ᵢ v̄ᵢ of two vectors.   ∂/∂a = g * v, ∂/∂v = the reversed g * a   (:func:`numpy.correlate`)

    >>> import tinytensor as tt
    >>> tt.correlate(tt.tensor([1.0, 2.0, 3.0]), [1.0, -1.0])
    tensor([-1., -1.])
    """
    return np.correlate(a, v, _MODES[_mode(mode)])


# -------------------------------------------------------------------------------------------------------- interpolation


def _piece(x: Any, xp: Any, fp: Any) -> tuple[Any, Any, Any, Any, Any]:
    """For each x: the number of its piece, whether it lies between the ends, the slope, and the shares of both points."""
    at, points = (v._data if isinstance(v, TensorBase) else v for v in (x, xp))
    i = np.clip(np.searchsorted(points, at, "right") - 1, 0, max(points.size - 2, 0))
    j = np.minimum(i + 1, points.size - 1)
    inside = np.logical_and(at >= points[0], at <= points[-1])
    width = np.where(i == j, 1.0, xp[j] - xp[i])
    share = (np.where(inside, x, xp[i]) - xp[i]) / width
    return i, j, inside, (fp[j] - fp[i]) / width, share


def _interp_rule(g: Any, x: Any, xp: Any, fp: Any, left: Any, right: Any, needs: Any) -> Any:
    i, j, inside, slope, share = _piece(x, xp, fp)
    at, points = (v._data if isinstance(v, TensorBase) else v for v in (x, xp))
    taken = np.where(inside, g, 0)
    along = taken * slope
    gx = gp = gf = None
    if needs[0]:
        gx = along
    if needs[1]:
        gp = -scatter(along * (1 - share), i, xp.shape) - scatter(along * share, j, xp.shape)
    if needs[2]:
        gf = scatter(taken * (1 - share), i, fp.shape) + scatter(taken * share, j, fp.shape)
        if left is None:
            gf = gf + scatter(np.where(at < points[0], g, 0), np.zeros_like(i), fp.shape)
        if right is None:
            gf = gf + scatter(np.where(at > points[-1], g, 0), np.full_like(i, points.size - 1), fp.shape)
    return gx, gp, gf


@primitive(inputs=("x", "xp", "fp"), joint=_interp_rule)
def _interp(x: Any, xp: Any, fp: Any, left: Any, right: Any) -> Any:
    return np.interp(x, xp, fp, left, right)


@composite(np.interp)
def interp(
    x: Operand, xp: Operand, fp: Operand, left: Any = None, right: Any = None, period: float | None = None
) -> Tensor:
    """The straight lines between the points (xp, fp), at x.   (:func:`numpy.interp`)

    ∂/∂x is the slope (at a point the one on its right, outside 0), ∂/∂fp the share of each point, ∂/∂xp = −slope times it.
    xp increases; ``left`` and ``right`` are constants; with a ``period`` xp may be in any order.

    >>> import tinytensor as tt
    >>> tt.grad(lambda x: tt.interp(x, [0.0, 1.0, 3.0], [0.0, 5.0, 6.0]))(2.0)
    np.float64(0.5)
    """
    u, points, values = (v if hasattr(v, "dtype") else asarray(v) for v in (x, xp, fp))
    if period is None:
        return _interp(u, points, values, left, right)
    if period == 0:
        raise ValueError("interp: the period must not be 0")
    period = abs(period)
    u, points = (np.remainder(v if v.dtype == float else v.astype(float), period) for v in (u, points))  # as NumPy
    order = np.argsort(points._data if isinstance(points, TensorBase) else points)
    points, values = points[order], values[order]
    points = np.concatenate([points[-1:] - period, points, points[:1] + period])
    return _interp(u, points, np.concatenate([values[-1:], values, values[:1]]), None, None)
