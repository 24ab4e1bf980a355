"""Reductions, and ``spread``, which undoes one."""

from __future__ import annotations

import builtins
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, writable
from tinytensor.ops.axes import axes_of, count_of, kept_shape, rarely
from tinytensor.ops.scans import cumprod, cumsum, cumulative_prod, cumulative_sum, others
from tinytensor.primitive import primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand

__all__ = [
    "axes_of", "count_of", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "kept_shape", "log_softmax",
    "logsumexp", "max", "mean", "min", "prod", "softmax", "spread", "std", "sum", "var",
]  # fmt: skip


@primitive(x=lambda g, x_shape, axis: sum(g, axis, True).reshape(x_shape))
def spread(x: Operand, axis: Axis, shape: tuple[int, ...]) -> Tensor:
    """A reduced array repeated along the axes that the reduction removed: the transpose of ``sum``.

    >>> import numpy as np
    >>> spread(np.array([1.0, 2.0]), 0, (3, 2))
    array([[1., 2.],
           [1., 2.],
           [1., 2.]])
    """
    x = asarray(x)
    if x.ndim == 0 and (axis is None or len(shape) == 1):
        return _repeated(x, shape, (0,) * len(shape))
    kept = x.reshape(kept_shape(shape, axis, "spread"))
    strides = tuple([0 if n == 1 else stride for n, stride in zip(kept.shape, kept.strides, strict=True)])
    if kept.size == 0 or not kept.flags.c_contiguous:
        return np.broadcast_to(kept, shape)
    return _repeated(kept, shape, strides)


def _repeated(x: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
    """``np.broadcast_to``, ten times faster."""
    return np.ndarray(shape, x.dtype, x, 0, strides) if type(x) is np.ndarray else np.broadcast_to(x, shape)


def _refuse_initial(name: str, initial: Any) -> None:
    if initial is not None:
        raise TypeError(f"{name}() does not take initial=: combine the initial value with the result instead")


def check_dtype(name: str, dtype: Any, kinds: str) -> None:
    """Raise unless ``name`` can compute its result in ``dtype``."""
    if dtype is not None and np.dtype(dtype).kind not in kinds:
        raise TypeError(f"{name}: dtype={np.dtype(dtype)} cannot hold its result; use out.astype(dtype)")


def _masked_rule(g: Any, x: Any, out: Any, ufunc: Any, axis: Any, initial: Any, where: Any) -> Any:
    if ufunc is np.add:
        got = spread(g, axis, x.shape)
    elif ufunc is np.multiply:
        masked = np.where(where, x, 1)
        if masked.dtype.kind == "c" != out.dtype.kind:  # dtype=float: the real parts were multiplied
            masked = np.real(masked)
        got = _prod_rule(g * (1 if initial is None else initial), masked, prod(masked, axis), axis)
    else:
        got = _at_extreme(g, x, out, axis, where, initial)
    return np.where(where, got, 0)


@primitive(x=_masked_rule)
def _masked(x: Any, ufunc: Any, axis: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    """``ufunc.reduce`` with all its options."""
    initial = np._NoValue if initial is None else initial
    return ufunc.reduce(x, axis, dtype, keepdims=keepdims, initial=initial, where=where)


def _reduce(ufunc: Any, x: Any, axis: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    return _masked(x, ufunc, axis, keepdims, dtype, initial, where)


def _mean_of(x: Any, axis: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    _refuse_initial("mean", initial)
    check_dtype("mean", dtype, "fc")
    if dtype is None and np.result_type(x).kind in "iub":
        dtype = float
    total = _masked(x, np.add, axis, keepdims, dtype, None, where)
    n = np.add.reduce(np.broadcast_to(where, np.shape(x)), axis=axis, keepdims=keepdims)
    return total / n.astype(total.dtype)


# -------------------------------------------------------------------------------------------------------- reductions


@rarely(partial(_reduce, np.add), np.sum, order=("dtype", "out", "keepdims", "initial", "where"))
@primitive(x=lambda g, x_shape, axis: spread(g, axis, x_shape))
def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ x over the axes.   ∂/∂x = 1   (:func:`numpy.sum`, with its ``dtype``, ``initial`` and ``where``)

    >>> import tinytensor as tt
    >>> tt.sum(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([4., 6.])
    """
    return np.add.reduce(x, axis, keepdims=keepdims)


@rarely(_mean_of, np.mean, order=("dtype", "out", "keepdims"))
@primitive(x=lambda g, x_shape, axis: spread(g / count_of(x_shape, axis, "mean"), axis, x_shape))
def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """(1/n) Σ x over the axes.   ∂/∂x = 1/n   (:func:`numpy.mean`, with its ``dtype`` and ``where``)

    >>> import tinytensor as tt
    >>> tt.mean(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([2., 3.])
    """
    x = asarray(x)
    if x.dtype == np.float16:  # NumPy sums halves in single precision
        return x.mean(axis, keepdims=keepdims)
    return np.add.reduce(x, axis, keepdims=keepdims) / count_of(x.shape, axis, "mean")


def _at_extreme(g: Any, x: Any, out: Any, axis: Any, where: Any = True, initial: Any = None) -> Any:
    """The gradient shared evenly among the elements that are equal to the extreme (all NaNs, if it is NaN)."""
    if axis is None and type(g) is np.ndarray and where is True and initial is None:
        hits = x == out
        if count := np.count_nonzero(hits):
            found = np.zeros(x.shape, g.dtype)
            found[hits] = g.reshape(()) / count
            return found
    kept = kept_shape(x.shape, axis, "max")
    out = out.reshape(kept)
    hits = np.logical_or(x == out, x != x)
    if where is not True:
        hits = np.logical_and(hits, where)
    count = np.add.reduce(hits, axis=axis, keepdims=True)
    if initial is not None:
        count = count + (out == initial)
    return np.where(hits, g.reshape(kept) / count, 0)


@rarely(partial(_reduce, np.maximum), np.max, np.amax, order=("out", "keepdims", "initial", "where"))
@primitive(x=lambda g, x, out, axis: _at_extreme(g, x, out, axis))
def max(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element.   ∂/∂x = 1 there, shared evenly at a tie, else 0   (:func:`numpy.max`, ``torch.amax``)

    ``initial`` and ``where`` are NumPy's.

    >>> import tinytensor as tt
    >>> tt.max(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([3., 4.])
    """
    return np.maximum.reduce(x, axis, keepdims=keepdims)


@rarely(partial(_reduce, np.minimum), np.min, np.amin, order=("out", "keepdims", "initial", "where"))
@primitive(x=lambda g, x, out, axis: _at_extreme(g, x, out, axis))
def min(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element.   ∂/∂x = 1 there, shared evenly at a tie, else 0   (:func:`numpy.min`, ``torch.amin``)

    ``initial`` and ``where`` are NumPy's.

    >>> import tinytensor as tt
    >>> tt.min(tt.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([1., 2.])
    """
    return np.minimum.reduce(x, axis, keepdims=keepdims)


def _centred(x: Any, axis: Any) -> Any:
    out = x - mean(x, axis, True)
    return np.conj(out) if out.dtype.kind == "c" else out


def _var_rule(g: Any, x: Any, axis: Any, ddof: Any) -> Any:
    free = builtins.max(count_of(x.shape, axis, "var") - ddof, 0)
    return 2 * g.reshape(kept_shape(x.shape, axis, "var")) / free * _centred(x, axis)


def _inverse0(x: Any) -> Any:
    """1/x, and 0 at 0: a constant 0, with derivatives 0, as those of sign at 0."""
    zero = x == 0
    return np.where(zero, 0, 1 / np.where(zero, 1, x))


def _std_rule(g: Any, x: Any, out: Any, axis: Any, ddof: Any) -> Any:
    kept, free = kept_shape(x.shape, axis, "std"), builtins.max(count_of(x.shape, axis, "std") - ddof, 0)
    return g.reshape(kept) * _inverse0(out.reshape(kept)) / free * _centred(x, axis)


def _var(x: Any, axis: Any, ddof: Any, keepdims: bool) -> Any:
    """NumPy's algorithm without its cases."""
    x = asarray(x)
    if x.dtype.char not in "df" or (free := (n := count_of(x.shape, axis, "var")) - ddof) <= 0:
        return np.var(x, axis=axis, ddof=ddof, keepdims=keepdims)
    centred = x - np.add.reduce(x, axis, keepdims=True) / n
    return np.add.reduce(centred * centred, axis, keepdims=keepdims) / free


def _var_of(x: Any, axis: Any, ddof: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    _refuse_initial("var", initial)
    check_dtype("var", dtype, "f")
    if dtype is not None:
        x = x.astype(dtype)
    return var(x, axis, ddof, keepdims) if where is True else _var_where(x, axis, ddof, keepdims, where)


def _std_of(x: Any, axis: Any, ddof: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    _refuse_initial("std", initial)
    check_dtype("std", dtype, "f")
    if dtype is not None:
        x = x.astype(dtype)
    return std(x, axis, ddof, keepdims) if where is True else _std_where(x, axis, ddof, keepdims, where)


def masked_var_rule(g: Any, x: Any, axis: Any, ddof: Any, where: Any) -> Any:
    """The gradient of the variance of those elements that ``where`` selects: 0 elsewhere, NaN or not."""
    n = np.add.reduce(np.broadcast_to(where, x.shape), axis=axis, keepdims=True).astype(x.dtype)
    average = sum(np.where(where, x, 0), axis, True) / n
    centred = np.where(where, x - average, 0)
    out = 2 * g.reshape(n.shape) / np.maximum(n - ddof, 0) * (np.conj(centred) if x.dtype.kind == "c" else centred)
    return np.where(where, out, 0)


@primitive(x=masked_var_rule)
def _var_where(x: Any, axis: Any, ddof: Any, keepdims: bool, where: Any) -> Any:
    return np.var(x, axis=axis, ddof=ddof, keepdims=keepdims, where=where)


@primitive(
    x=lambda g, x, out, axis, ddof, where: masked_var_rule(g * (_inverse0(out) * 0.5), x, axis, ddof, where),
)
def _std_where(x: Any, axis: Any, ddof: Any, keepdims: bool, where: Any) -> Any:
    return np.std(x, axis=axis, ddof=ddof, keepdims=keepdims, where=where)


@rarely(_var_of, np.var, order=("dtype", "out", "ddof", "keepdims"))
@primitive(x=_var_rule)
def var(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """Σ (x − x̄)² / (n − ddof).   ∂/∂x = 2 (x − x̄)/(n − ddof)   (:func:`numpy.var`, with its ``dtype`` and ``where``)

    >>> import tinytensor as tt
    >>> tt.var(tt.tensor([1.0, 2.0, 3.0, 4.0]))
    tensor(1.25)
    """
    return _var(x, axis, ddof, keepdims)


@rarely(_std_of, np.std, order=("dtype", "out", "ddof", "keepdims"))
@primitive(x=_std_rule)
def std(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """√var.   ∂/∂x = (x − x̄)/((n − ddof) std), and 0 where all x are equal   (:func:`numpy.std`)

    ``dtype`` and ``where`` are NumPy's.

    >>> import tinytensor as tt
    >>> tt.grad(tt.std)(tt.tensor([2.0, 2.0]))
    tensor([0., 0.])
    """
    return np.sqrt(_var(x, axis, ddof, keepdims))


def _prod_rule(g: Any, x: Any, out: Any, axis: Any) -> Any:
    ndim = x.ndim
    if axis is None or ndim == 0 or (ndim == 1 and axis != ()):
        return others(x.reshape(-1), out.reshape(-1), g.reshape(-1)).reshape(x.shape)
    axes = axes_of(axis, ndim, "prod")
    order = [a for a in range(ndim) if a not in axes] + list(axes)
    moved = x.transpose(order)
    lead = moved.shape[: ndim - len(axes)]
    n = count_of(x.shape, axes, "prod")
    flat, total, scale = (v.reshape((*lead, n if v is moved else 1)) for v in (moved, out, g))
    return others(flat, total, scale).reshape(moved.shape).transpose([order.index(a) for a in range(ndim)])


@rarely(partial(_reduce, np.multiply), np.prod, order=("dtype", "out", "keepdims", "initial", "where"))
@primitive(x=_prod_rule)
def prod(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Π x over the axes.   ∂/∂xᵢ = Π_{k≠i} xₖ, also where some x are 0   (:func:`numpy.prod`)

    ``dtype``, ``initial`` and ``where`` are NumPy's.

    >>> import tinytensor as tt
    >>> tt.grad(tt.prod)(tt.tensor([0.0, 2.0, 3.0]))
    tensor([6., 0., 0.])
    """
    return np.multiply.reduce(x, axis, keepdims=keepdims)


# ------------------------------------------------------------------------------------------------ sums of exponentials


def _peak(x: Any, axis: Any) -> Any:
    """The maximum, held at finite values: what is subtracted before exponentials are taken."""
    peak = np.maximum.reduce(x, axis, keepdims=True, initial=None if x.size else 0)
    return peak if x.dtype == object else np.where(np.isfinite(peak), peak, 0)


def _share(x: Any, out: Any, axis: Any) -> Any:
    """e^(x − out): the share of each element, 0 where everything is −∞."""
    out = spread(out, axis, x.shape)
    return np.exp(x - np.where(out == -np.inf, 0, out))


@primitive(x=lambda g, x, out, axis: spread(g, axis, x.shape) * _share(x, out, axis))
def logsumexp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """ln Σ eˣ, without overflow.   ∂/∂x = softmax(x)   (:func:`scipy.special.logsumexp`, ``torch.logsumexp``)

    >>> import tinytensor as tt
    >>> tt.logsumexp(tt.tensor([1000.0, 1000.0]))
    tensor(1000.69314718)
    """
    x = asarray(x)
    peak = _peak(x, axis)
    out = np.log(np.add.reduce(np.exp(x - peak), axis, keepdims=True)) + peak
    return out if keepdims else asarray(out).squeeze(axes_of(axis, x.ndim, "logsumexp"))[()]


@primitive(x=lambda g, out, axis: out * (g - np.add.reduce(g * out, axis=axis, keepdims=True)))
def softmax(x: Operand, axis: Axis = -1) -> Tensor:
    """eˣ / Σ eˣ along the axis, without overflow.   ∂outᵢ/∂xⱼ = outᵢ (δᵢⱼ − outⱼ)   (``torch.softmax``)

    >>> import tinytensor as tt
    >>> tt.softmax(tt.tensor([0.0, 1000.0]))
    tensor([0., 1.])
    """
    x = asarray(x)
    e = writable(x - np.maximum.reduce(x, axis, keepdims=True, initial=None if x.size else 0))
    if e.dtype.kind != "f":
        e = writable(np.exp(e))
        return e / np.add.reduce(e, axis, keepdims=True)
    np.exp(e, e)
    return np.divide(e, np.add.reduce(e, axis, keepdims=True), e)


@primitive(x=lambda g, out, axis: g - np.exp(out) * np.add.reduce(g, axis=axis, keepdims=True))
def log_softmax(x: Operand, axis: Axis = -1) -> Tensor:
    """x − ln Σ eˣ along the axis.   ∂outᵢ/∂xⱼ = δᵢⱼ − e^outⱼ   (``torch.log_softmax``)

    >>> import tinytensor as tt
    >>> tt.log_softmax(tt.tensor([0.0, 1000.0]))
    tensor([-1000.,     0.])
    """
    x = asarray(x)
    shifted = x - np.maximum.reduce(x, axis, keepdims=True, initial=None if x.size else 0)
    return shifted - np.log(np.add.reduce(np.exp(shifted), axis, keepdims=True))
