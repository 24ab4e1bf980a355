"""Statistics: order statistics, weighted means, covariances, counts."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.graph import assured
from tinytensor.ops.axes import axes_of
from tinytensor.ops.methods import bincount
from tinytensor.ops.reductions import max, mean, min
from tinytensor.ops.shape import as_tensor
from tinytensor.primitive import DISPATCH, TensorBase, composite, primitive, wrap

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand

__all__ = [
    "apply_along_axis", "apply_over_axes", "argmax", "argmin", "average", "corrcoef", "count_nonzero",
    "cov", "histogram", "histogram_bin_edges", "median", "nanargmax", "nanargmin", "nanmedian", "nanpercentile",
    "nanquantile", "percentile", "ptp", "quantile",
]  # fmt: skip


def _values(x: Any) -> Any:
    return x._data if isinstance(x, TensorBase) else x


# ------------------------------------------------------------------------------------------------------ order statistics
# A quantile is a mean of one or two elements of the sorted array. Which two, and in which proportion, NumPy says itself:
# the same quantile of the ranks 0, 1, 2, ... is the rank. Elements that are equal share evenly, as in max and min.


def _ranks(n: Any, q: Any, method: str) -> Any:
    """The rank, perhaps between two elements, of each quantile of n sorted elements: shape (q, *n.shape, 1)."""
    if method == "linear":
        return np.multiply.outer(q, np.maximum(n - 1.0, 0.0))[..., None]
    out = np.zeros((q.size, *n.shape, 1))
    for count in np.unique(n[n > 0]):
        out[:, n == count, 0] = np.quantile(np.arange(float(count)), q, method=method)[:, None]
    return out


def _sorted_at(flat: Any, places: list[Any], skip: bool) -> list[Any]:
    """The elements at these places of the sorted last axis, with shape (q, kept axes, 1)."""
    if skip:  # other places in each row
        ordered = np.sort(flat, -1)
        return [np.take_along_axis(np.broadcast_to(ordered, (len(k), *flat.shape)), k, -1) for k in places]
    flatter = [k.reshape(-1) for k in places]
    ordered = np.partition(flat, np.unique(np.concatenate(flatter)), -1)
    return [np.moveaxis(ordered[..., k], -1, 0)[..., None] for k in flatter]


def _equal_share(x: Any, value: Any) -> Any:
    hits = x == value
    return hits / np.maximum(np.add.reduce(hits, -1, keepdims=True, dtype=x.dtype), 1)


def _flat(x: Any, axis: Any) -> Any:
    """x with the reduced axes as one, the last."""
    axes = axes_of(axis, x.ndim, "quantile")
    moved = np.transpose(x, [*[a for a in range(x.ndim) if a not in axes], *axes])
    lead = moved.shape[: x.ndim - len(axes)]
    return moved.reshape((*lead, math.prod(moved.shape[len(lead) :])))


@primitive(x=lambda g, x: np.zeros_like(x))
def _shares(x: Any, q: Any, axis: Any, method: str, weights: Any, skip: bool) -> Any:
    """∂quantile/∂x, which is constant: shape (number of quantiles, kept axes, all reduced axes as one)."""
    q = np.asarray(q, float).reshape(-1)
    flat = _flat(x, axis)
    bad = np.isnan(flat)
    if weights is not None:
        found = np.quantile(x, q, axis, method=method, weights=weights)
        out = _equal_share(flat, found[..., None])
    else:
        n = asarray(flat.shape[-1] - np.add.reduce(bad, -1, dtype=int) if skip else flat.shape[-1])
        rank = _ranks(n, q, method)
        low = np.floor(rank).astype(int)
        part = (rank - low).astype(x.dtype)
        part = part if skip else part.reshape((-1,) + (1,) * flat.ndim)
        if assured(np.any, part):
            one, other = _sorted_at(flat, [low, np.minimum(low + 1, flat.shape[-1] - 1)], skip)
            out = (1 - part) * _equal_share(flat, one) + part * _equal_share(flat, other)
        else:
            out = _equal_share(flat, _sorted_at(flat, [low], skip)[0])
    if not skip and assured(np.any, bad):  # the value is NaN and comes from there
        out = np.where(bad.any(-1, keepdims=True), _equal_share(bad, True), out)
    return out.astype(x.dtype)


def _ranked_rule(
    g: Any, x: Any, q: Any, axis: Any, method: str = "linear", weights: Any = None, skip: bool = False
) -> Any:
    if x.size == 0:
        return np.zeros(x.shape, x.dtype)
    share = _shares(x, q, axis, method, weights, skip)
    each = g.reshape((*share.shape[:-1], 1)) * share
    got = each[0] if each.shape[0] == 1 else np.add.reduce(each, axis=0)
    axes = axes_of(axis, x.ndim, "quantile")
    order = [*[a for a in range(x.ndim) if a not in axes], *axes]
    return np.transpose(got.reshape([x.shape[a] for a in order]), [order.index(a) for a in range(x.ndim)])


@primitive(np.median, x=lambda g, x, axis: _ranked_rule(g, x, 0.5, axis))
def median(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The middle element, or the mean of the middle two.   ∂/∂x = 1 there, or ½ each   (:func:`numpy.median`)

    Elements equal to the median share evenly. (``torch.median`` takes the lower of the two.)

    >>> import tinytensor as tt
    >>> tt.grad(tt.median)(tt.tensor([7.0, 1.0, 3.0, 2.0]))
    tensor([0. , 0. , 0.5, 0.5])
    """
    return np.median(x, axis, keepdims=keepdims)


@primitive(
    np.quantile, x=lambda g, x, q, axis, method, weights: _ranked_rule(g, x, q, axis, method, weights)
)  # fmt: skip
def quantile(
    x: Operand, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False, weights: Any = None
) -> Tensor:
    """What a share q of the elements lies below, by any of NumPy's methods.   (:func:`numpy.quantile`)

    ∂/∂x: the shares of the two sorted elements that it lies between; equal elements share evenly. q and the weights are
    constants.

    >>> import tinytensor as tt
    >>> tt.quantile(tt.tensor([1.0, 2.0, 4.0]), [0.0, 0.75])
    tensor([1., 3.])
    """
    return np.quantile(x, q, axis, method=method, keepdims=keepdims, weights=weights)


def _hundredth(q: Any) -> Any:
    return np.true_divide(q, 100)


@primitive(
    np.percentile,
    x=lambda g, x, q, axis, method, weights: _ranked_rule(g, x, _hundredth(q), axis, method, weights),
)
def percentile(
    x: Operand, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False, weights: Any = None
) -> Tensor:
    """The quantile of q/100.   (:func:`numpy.percentile`; see :func:`quantile`)

    >>> import tinytensor as tt
    >>> tt.percentile(tt.tensor([1.0, 2.0, 4.0]), 75)
    tensor(3.)
    """
    return np.percentile(x, q, axis, method=method, keepdims=keepdims, weights=weights)


@primitive(np.nanmedian, x=lambda g, x, axis: _ranked_rule(g, x, 0.5, axis, skip=True))
def nanmedian(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The median of what is not NaN.   ∂/∂x as ``median``, at NaN 0   (:func:`numpy.nanmedian`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanmedian(tt.tensor([7.0, np.nan, 3.0]))
    tensor(5.)
    """
    return np.nanmedian(x, axis, keepdims=keepdims)


@primitive(np.nanquantile, x=lambda g, x, q, axis, method: _ranked_rule(g, x, q, axis, method, skip=True))
def nanquantile(x: Operand, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """The quantile of what is not NaN.   ∂/∂x as ``quantile``, at NaN 0   (:func:`numpy.nanquantile`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanquantile(tt.tensor([7.0, np.nan, 3.0]), 0.25)
    tensor(4.)
    """
    return np.nanquantile(x, q, axis, method=method, keepdims=keepdims)


@primitive(np.nanpercentile, x=lambda g, x, q, axis, method: _ranked_rule(g, x, _hundredth(q), axis, method, skip=True))
def nanpercentile(x: Operand, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """The quantile of q/100 of what is not NaN.   (:func:`numpy.nanpercentile`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanpercentile(tt.tensor([7.0, np.nan, 3.0]), 25)
    tensor(4.)
    """
    return np.nanpercentile(x, q, axis, method=method, keepdims=keepdims)


@composite(np.ptp)
def ptp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """max − min.   ∂/∂x = 1 at the largest, −1 at the smallest, shared evenly at ties   (:func:`numpy.ptp`)

    >>> import tinytensor as tt
    >>> tt.ptp(tt.tensor([[1.0, 5.0], [3.0, 4.0]]), axis=1)
    tensor([4., 1.])
    """
    return max(x, axis, keepdims) - min(x, axis, keepdims)


# --------------------------------------------------------------------------------------------------- means, covariances


def _weights_for(x: Any, weights: Any, axis: Any) -> Any:
    """The weights in a shape that broadcasts against x."""
    if weights.shape == x.shape:
        return weights
    if axis is None:
        raise TypeError(f"average: weights of shape {weights.shape} for x of shape {x.shape} need an axis")
    axes = tuple([a % x.ndim for a in (axis if isinstance(axis, tuple) else (axis,))])
    if weights.shape != tuple([x.shape[a] for a in axes]):
        raise ValueError(f"average: weights of shape {weights.shape} do not fit the axes {axes} of shape {x.shape}")
    ordered = np.transpose(weights, np.argsort(axes))
    return ordered.reshape([n if a in axes else 1 for a, n in enumerate(x.shape)])


def _any_zero(x: Any) -> bool:
    return bool(np.any(x == 0))


@composite(np.average)
def average(
    x: Operand, axis: Axis = None, weights: Operand | None = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """Σ w x / Σ w.   ∂/∂x = w/Σw, ∂/∂w = (x − average)/Σw   (:func:`numpy.average`)

    ``weights`` has the shape of x, or of its axes; ``returned`` gives (average, Σ w).

    >>> import tinytensor as tt
    >>> tt.average(tt.tensor([1.0, 2.0, 4.0]), weights=[1.0, 1.0, 2.0])
    tensor(2.75)
    """
    array: Any = x if hasattr(x, "ndim") else asarray(x)
    if weights is None:
        out = mean(array, axis, keepdims)
        if out.size == 0:  # as in NumPy
            raise ZeroDivisionError(f"average: there is nothing to average in shape {array.shape}")
        return (out, wrap(np.full(out.shape, array.size / out.size, out.dtype), None)) if returned else out
    w = weights if hasattr(weights, "ndim") else asarray(weights)
    if axis is not None:
        axes_of(axis, array.ndim, "average")
    w = _weights_for(array, w, axis)
    dtype = np.result_type(array.dtype, w.dtype, *([float] if array.dtype.kind in "iub" else []))
    w = w if w.dtype == dtype else w.astype(dtype)
    total = w.sum(axis, keepdims=keepdims)
    if assured(_any_zero, _values(total)):
        raise ZeroDivisionError("average: the weights sum to zero, so the average cannot be normalized")
    out = (array * w).sum(axis, keepdims=keepdims) / total
    if not returned:
        return out
    total = as_tensor(total)
    return out, np.copy(total) if total.shape == out.shape else np.copy(np.broadcast_to(total, out.shape))


def _rows(x: Any, rowvar: bool, op: str) -> Any:
    """The variables as rows."""
    x = x if hasattr(x, "ndim") else asarray(x)
    if x.ndim > 2:
        raise ValueError(f"{op}: expected at most 2 dimensions, got shape {x.shape}")
    return x.reshape((1, -1)) if x.ndim < 2 else x if rowvar else x.T


def _frequency(f: Any, n: int, name: str) -> Any:
    values = np.asarray(_values(f), float)
    if values.shape != (n,) or (values < 0).any() or (name == "fweights" and (values != np.around(values)).any()):
        raise ValueError(f"cov: {name} must be {n} numbers that are not negative (fweights: integers)")
    if not isinstance(f, TensorBase) or f._node is None:
        return values
    if name == "fweights":
        raise TypeError("cov: fweights are counts, but the tensor given requires grad; use t.detach(), or aweights")
    return f


@composite(np.cov)
def cov(
    x: Operand,
    y: Operand | None = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    dtype: Any = None,
) -> Tensor:
    """The covariances of variables (rows), over n − 1 (``bias``: n; or n − ddof).   (:func:`numpy.cov`, ``torch.cov``)

    (x − x̄)(x − x̄)ᵀ / (n − 1). ``y`` adds variables; fweights (repetitions) are constants, aweights (importance) have gradients.

    >>> import tinytensor as tt
    >>> tt.cov(tt.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]))
    tensor([[ 1., -1.],
            [-1.,  1.]])
    """
    rows = _rows(x, rowvar, "cov")
    if rows.shape[0] == 0:
        return wrap(np.zeros((0, 0)), None)
    if y is not None:
        more = _rows(y, True, "cov")
        rows = np.concatenate([rows, more if rowvar or more.shape[0] == 1 else more.T], 0)
    kind = np.result_type(rows.dtype, float) if dtype is None else dtype
    rows = rows if rows.dtype == kind else rows.astype(kind)
    n = rows.shape[1]
    w = None
    for given, name in ((fweights, "fweights"), (aweights, "aweights")):
        if given is not None:
            one = _frequency(given, n, name)
            w = one if w is None else w * one
    ddof = (0 if bias else 1) if ddof is None else ddof
    total = n if w is None else w.sum()
    free = total - ddof
    if w is not None and aweights is not None and ddof:
        free = total - ddof * np.sum(w * _frequency(aweights, n, "aweights")) / total
    if _values(free) <= 0:
        warnings.warn("cov: degrees of freedom <= 0: too few observations for this ddof", RuntimeWarning, stacklevel=3)
        free = 0.0
    centred = rows - average(rows, 1, w, keepdims=True)
    centred = centred if centred.dtype == kind else centred.astype(kind)
    other = (centred if w is None else centred * w).T
    out = np.dot(centred, np.conj(other) if other.dtype.kind == "c" else other)
    scale = np.true_divide(1, free)
    return np.squeeze(out * (scale if isinstance(scale, TensorBase) else float(scale)))  # a float is weak


@composite(np.corrcoef)
def corrcoef(x: Operand, y: Operand | None = None, rowvar: bool = True, dtype: Any = None) -> Tensor:
    """cov_ij / √(cov_ii cov_jj): correlations between −1 and 1.   (:func:`numpy.corrcoef`, ``torch.corrcoef``)

    >>> import tinytensor as tt
    >>> tt.corrcoef(tt.tensor([0.0, 1.0, 2.0]), [1.0, 3.0, 2.0])[0, 1]
    tensor(0.5)
    """
    c = cov(x, y, rowvar, dtype=dtype)
    if c.ndim == 0:
        return c / c
    deviation = np.sqrt(np.einsum("ii->i", c))
    return np.clip(c / deviation[:, None] / deviation[None, :], -1, 1)


# -------------------------------------------------------------------------------------------------------------- counts


@composite(np.histogram)
def histogram(
    x: Operand, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Operand | None = None
) -> Any:
    """How many x lie in each bin, or the sum of their weights, and the edges.   ∂/∂weights = 1   (:func:`numpy.histogram`)

    Constant in x and in the edges.

    >>> import tinytensor as tt
    >>> tt.histogram(tt.tensor([1.0, 2.0, 2.0]), bins=2)
    (tensor([1, 2]), tensor([1. , 1.5, 2. ]))
    """
    values, edges = _values(x), _values(bins)
    if not isinstance(weights, TensorBase) or weights._node is None:
        counts, edges = np.histogram(values, edges, range, density, _values(weights))
        return wrap(counts, None), wrap(edges, None)
    values = np.ravel(values)
    edges = np.histogram_bin_edges(values, edges, range, np.ravel(_values(weights)))
    place = np.where(values == edges[-1], edges.size - 2, np.searchsorted(edges, values, "right") - 1)
    inside = np.logical_and(place >= 0, place < edges.size - 1)
    sums = bincount(place[inside], weights.reshape(-1)[inside], edges.size - 1)
    return sums / np.diff(edges) / sums.sum() if density else sums, wrap(edges, None)


@composite(np.histogram_bin_edges)
def histogram_bin_edges(x: Operand, bins: Any = 10, range: Any = None, weights: Any = None) -> Tensor:
    """The edges that ``histogram`` would use: constants.   (:func:`numpy.histogram_bin_edges`)

    >>> import tinytensor as tt
    >>> tt.histogram_bin_edges(tt.tensor([1.0, 2.0]), bins=2)
    tensor([1. , 1.5, 2. ])
    """
    return wrap(np.histogram_bin_edges(_values(x), _values(bins), range, _values(weights)), None)


@composite(np.count_nonzero)
def count_nonzero(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """How many elements are not 0: a constant.   (:func:`numpy.count_nonzero`)

    >>> import tinytensor as tt
    >>> tt.count_nonzero(tt.tensor([1.0, 0.0]))
    tensor(1)
    """
    return wrap(np.count_nonzero(_values(x), axis, keepdims=keepdims), None)


@composite(np.argmax)
def argmax(x: Operand, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the largest element: a constant.   (:func:`numpy.argmax`)

    >>> import tinytensor as tt
    >>> tt.argmax(tt.tensor([1.0, 5.0, 2.0]))
    tensor(1)
    """
    return wrap(np.argmax(_values(x), axis, keepdims=keepdims), None)


@composite(np.argmin)
def argmin(x: Operand, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the smallest element: a constant.   (:func:`numpy.argmin`)

    >>> import tinytensor as tt
    >>> tt.argmin(tt.tensor([1.0, 5.0, 2.0]))
    tensor(0)
    """
    return wrap(np.argmin(_values(x), axis, keepdims=keepdims), None)


@composite(np.nanargmax)
def nanargmax(x: Operand, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the largest element that is not NaN: a constant.   (:func:`numpy.nanargmax`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanargmax(tt.tensor([1.0, np.nan, 2.0]))
    tensor(2)
    """
    return wrap(np.nanargmax(_values(x), axis, keepdims=keepdims), None)


@composite(np.nanargmin)
def nanargmin(x: Operand, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The place of the smallest element that is not NaN: a constant.   (:func:`numpy.nanargmin`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanargmin(tt.tensor([1.0, np.nan, 2.0]))
    tensor(0)
    """
    return wrap(np.nanargmin(_values(x), axis, keepdims=keepdims), None)


# ----------------------------------------------------------------------------------------- functions of parts of an array


def _together(result: Any) -> Any:
    """The result of a function as a tensor, also if it is a number or a list of tensors."""
    if isinstance(result, (list, tuple)) and result:
        return np.stack([_together(r) for r in result])
    return result if isinstance(result, TensorBase) else wrap(asarray(result), None)


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Operand, *args: Any, **kwargs: Any) -> Tensor:
    """``func1d`` of each vector along the axis, its results in the axis's place.   (:func:`numpy.apply_along_axis`)

    One call for each vector: a function of the whole array is faster where there is one.

    >>> import tinytensor as tt
    >>> tt.apply_along_axis(lambda v: v / v.sum(), 1, tt.tensor([[1.0, 3.0], [2.0, 2.0]]))
    tensor([[0.25, 0.75],
            [0.5 , 0.5 ]])
    """
    if not isinstance(arr, TensorBase):
        return np.apply_along_axis(func1d, axis, arr, *args, **kwargs)
    x: Any = arr
    (axis,) = axes_of(axis, x.ndim, "apply_along_axis")
    order = [*[a for a in range(x.ndim) if a != axis], axis]
    moved = np.transpose(x, order)
    lead = moved.shape[:-1]
    if 0 in lead:
        raise ValueError(f"apply_along_axis: there is no vector along axis {axis} of an array of shape {x.shape}")
    rows = moved.reshape((math.prod(lead), moved.shape[-1]))
    outs = np.stack([_together(func1d(row, *args, **kwargs)) for row in rows])
    inner = outs.ndim - 1
    whole = outs.reshape((*lead, *outs.shape[1:]))
    n = len(lead)
    return np.transpose(whole, [*range(axis), *range(n, n + inner), *range(axis, n)])


@composite(np.apply_over_axes)
def apply_over_axes(func: Callable[..., Any], a: Operand, axes: Any) -> Tensor:
    """``func(x, axis)`` for one axis after the other, all axes kept.   (:func:`numpy.apply_over_axes`)

    >>> import tinytensor as tt
    >>> tt.apply_over_axes(tt.sum, tt.ones((2, 3, 2)), [0, 2])
    tensor([[[4.],
             [4.],
             [4.]]])
    """
    out: Any = a
    for axis in [int(k) % out.ndim for k in np.ravel(axes)]:
        new = func(out, axis)
        out = new if new.ndim == out.ndim else np.expand_dims(new, axis)
        if out.ndim != np.ndim(a):
            raise ValueError(f"apply_over_axes: the function must keep or remove one axis, got shape {new.shape}")
    return out


DISPATCH[np.apply_along_axis] = apply_along_axis
