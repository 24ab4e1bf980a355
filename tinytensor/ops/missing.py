"""Reductions and scans that skip NaN: an element that is NaN has gradient 0."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.ops.axes import rarely
from tinytensor.ops.reductions import (
    _at_extreme,
    _inverse0,
    _prod_rule,
    _refuse_initial,
    check_dtype,
    masked_var_rule,
    mean,
    prod,
    spread,
    sum,
)
from tinytensor.ops.scans import cumprod, cumsum
from tinytensor.primitive import composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand

__all__ = ["nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar"]

_SUMS = ("dtype", "out", "keepdims", "initial", "where")
_EXTREMES = ("out", "keepdims", "initial", "where")
_MEANS = ("dtype", "out", "keepdims")
_SPREADS = ("dtype", "out", "ddof", "keepdims")


def _there(x: Any) -> Any:
    return np.logical_not(np.isnan(x))


def _filled(x: Any, value: float) -> Any:
    return np.where(np.isnan(x), value, x)


def _nansum_of(x: Any, axis: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    return sum(_filled(x, 0), axis, keepdims, dtype=dtype, initial=initial, where=where)  # type: ignore[call-arg]


def _nanprod_of(x: Any, axis: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    return prod(_filled(x, 1), axis, keepdims, dtype=dtype, initial=initial, where=where)  # type: ignore[call-arg]


def _nanmean_of(x: Any, axis: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    _refuse_initial("nanmean", initial)
    check_dtype("nanmean", dtype, "fc")
    return mean(x, axis, keepdims, dtype=dtype, where=np.logical_and(_there(x), where))  # type: ignore[call-arg]


def _nanvar_of(x: Any, axis: Any, ddof: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    _refuse_initial("nanvar", initial)
    check_dtype("nanvar", dtype, "f")
    x = x if dtype is None else x.astype(dtype)
    return nanvar(x, axis, ddof, keepdims) if where is True else _nanvar_where(x, axis, ddof, keepdims, where)


def _nanstd_of(x: Any, axis: Any, ddof: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    _refuse_initial("nanstd", initial)
    check_dtype("nanstd", dtype, "f")
    x = x if dtype is None else x.astype(dtype)
    return nanstd(x, axis, ddof, keepdims) if where is True else _nanstd_where(x, axis, ddof, keepdims, where)


@primitive(x=lambda g, x, axis, ddof, where: masked_var_rule(g, x, axis, ddof, np.logical_and(_there(x), where)))
def _nanvar_where(x: Any, axis: Any, ddof: Any, keepdims: bool, where: Any) -> Any:
    return np.nanvar(x, axis=axis, ddof=ddof, keepdims=keepdims, where=where)


@composite()
def _nanstd_where(x: Any, axis: Any, ddof: Any, keepdims: bool, where: Any) -> Any:
    return np.sqrt(_nanvar_where(x, axis, ddof, keepdims, where))


@primitive(
    x=lambda g, x, out, axis, initial, where: _at_extreme(g, x, out, axis, np.logical_and(_there(x), where), initial)
)
def _extreme(x: Any, ufunc: Any, axis: Any, keepdims: bool, initial: Any, where: Any) -> Any:
    """``np.nanmax`` and ``np.nanmin`` with all their options."""
    return ufunc.reduce(x, axis, keepdims=keepdims, initial=np._NoValue if initial is None else initial, where=where)


def _extreme_of(ufunc: Any, x: Any, axis: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    if dtype is not None:
        raise TypeError(f"nan{ufunc.__name__[1:]}() does not take dtype=: use x.astype(dtype) first")
    return _extreme(x, ufunc, axis, keepdims, initial, where)


@rarely(_nansum_of, np.nansum, order=_SUMS)
@primitive(x=lambda g, x, axis: np.where(np.isnan(x), 0, spread(g, axis, x.shape)))
def nansum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Σ of the x that are not NaN.   ∂/∂x = 1, at NaN 0   (:func:`numpy.nansum`, ``torch.nansum``)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nansum(tt.tensor([1.0, np.nan, 3.0]))
    tensor(4.)
    """
    return np.nansum(x, axis, keepdims=keepdims)


def _nanmean_rule(g: Any, x: Any, axis: Any) -> Any:
    there = _there(x)
    n = np.add.reduce(there, axis=axis, keepdims=True)
    return np.where(there, g.reshape(n.shape) / n.astype(x.dtype), 0)


@rarely(_nanmean_of, np.nanmean, order=_MEANS)
@primitive(x=_nanmean_rule)
def nanmean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean of the n elements that are not NaN.   ∂/∂x = 1/n, at NaN 0   (:func:`numpy.nanmean`, ``torch.nanmean``)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanmean(tt.tensor([1.0, np.nan, 3.0]))
    tensor(2.)
    """
    return np.nanmean(x, axis, keepdims=keepdims)


@rarely(_nanprod_of, np.nanprod, order=_SUMS)
@primitive(x=lambda g, x, out, axis: np.where(np.isnan(x), 0, _prod_rule(g, _filled(x, 1), out, axis)))
def nanprod(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Π of the x that are not NaN.   ∂/∂xᵢ = Π_{k≠i} xₖ, at NaN 0   (:func:`numpy.nanprod`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanprod(tt.tensor([2.0, np.nan, 3.0]))
    tensor(6.)
    """
    return np.nanprod(x, axis, keepdims=keepdims)


@rarely(partial(_extreme_of, np.fmax), np.nanmax, order=_EXTREMES)
@primitive(x=lambda g, x, out, axis: _at_extreme(g, x, out, axis, _there(x)))
def nanmax(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element that is not NaN.   ∂/∂x = 1 there, shared evenly at a tie, else 0   (:func:`numpy.nanmax`)

    ``initial`` and ``where`` are NumPy's.

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanmax(tt.tensor([1.0, np.nan, 3.0]))
    tensor(3.)
    """
    return np.nanmax(x, axis, keepdims=keepdims)


@rarely(partial(_extreme_of, np.fmin), np.nanmin, order=_EXTREMES)
@primitive(x=lambda g, x, out, axis: _at_extreme(g, x, out, axis, _there(x)))
def nanmin(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element that is not NaN.   ∂/∂x = 1 there, shared evenly at a tie, else 0   (:func:`numpy.nanmin`)

    ``initial`` and ``where`` are NumPy's.

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanmin(tt.tensor([1.0, np.nan, 3.0]))
    tensor(1.)
    """
    return np.nanmin(x, axis, keepdims=keepdims)


@rarely(_nanvar_of, np.nanvar, order=_SPREADS)
@primitive(x=lambda g, x, axis, ddof: masked_var_rule(g, x, axis, ddof, _there(x)))
def nanvar(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """The variance of the n elements that are not NaN.   ∂/∂x = 2 (x − x̄)/(n − ddof), at NaN 0   (:func:`numpy.nanvar`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanvar(tt.tensor([1.0, np.nan, 3.0]))
    tensor(1.)
    """
    return np.nanvar(x, axis, ddof=ddof, keepdims=keepdims)


@rarely(_nanstd_of, np.nanstd, order=_SPREADS)
@primitive(
    x=lambda g, x, out, axis, ddof: masked_var_rule(g * (_inverse0(out) * 0.5), x, axis, ddof, _there(x)),
)
def nanstd(x: Operand, axis: Axis = None, ddof: float = 0, keepdims: bool = False) -> Tensor:
    """√nanvar.   ∂/∂x = (x − x̄)/((n − ddof) std), at NaN and where all are equal 0   (:func:`numpy.nanstd`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanstd(tt.tensor([1.0, np.nan, 3.0]))
    tensor(1.)
    """
    return np.nanstd(x, axis, ddof=ddof, keepdims=keepdims)


@composite(np.nancumsum)
def nancumsum(x: Operand, axis: int | None = None, dtype: Any = None) -> Tensor:
    """``cumsum`` with 0 for NaN.   (:func:`numpy.nancumsum`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nancumsum(tt.tensor([1.0, np.nan, 3.0]))
    tensor([1., 1., 4.])
    """
    return cumsum(_filled(x, 0), axis, dtype=dtype)  # type: ignore[call-arg]


@composite(np.nancumprod)
def nancumprod(x: Operand, axis: int | None = None, dtype: Any = None) -> Tensor:
    """``cumprod`` with 1 for NaN.   (:func:`numpy.nancumprod`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nancumprod(tt.tensor([2.0, np.nan, 3.0]))
    tensor([2., 2., 6.])
    """
    return cumprod(_filled(x, 1), axis, dtype=dtype)  # type: ignore[call-arg]
