"""Reductions and scans that skip NaN: an element that is NaN has gradient 0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.ops.axes import rarely
from tinytensor.ops.reductions import (
    _at_extreme,
    _inverse0,
    _prod_rule,
    _refuse_initial,
    masked_var_rule,
    mean,
    prod,
    spread,
    std,
    sum,
    var,
)
from tinytensor.ops.scans import cumprod, cumsum
from tinytensor.primitive import composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand

__all__ = ["nancumprod", "nancumsum", "nanmax", "nanmean", "nanmin", "nanprod", "nanstd", "nansum", "nanvar"]

_SUMS = ("dtype", "out", "keepdims", "initial", "where")
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
    return mean(x, axis, keepdims, dtype=dtype, where=np.logical_and(_there(x), where))  # type: ignore[call-arg]


def _nanvar_of(x: Any, axis: Any, ddof: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    _refuse_initial("nanvar", initial)
    return var(x, axis, ddof, keepdims, dtype=dtype, where=np.logical_and(_there(x), where))  # type: ignore[call-arg]


def _nanstd_of(x: Any, axis: Any, ddof: Any, keepdims: bool, dtype: Any, initial: Any, where: Any) -> Any:
    _refuse_initial("nanstd", initial)
    return std(x, axis, ddof, keepdims, dtype=dtype, where=np.logical_and(_there(x), where))  # type: ignore[call-arg]


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


@primitive(np.nanmax, x=lambda g, x, out, axis: _at_extreme(g, x, out, axis, _there(x)))
def nanmax(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element that is not NaN.   ∂/∂x = 1 there, shared evenly at a tie, else 0   (:func:`numpy.nanmax`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.nanmax(tt.tensor([1.0, np.nan, 3.0]))
    tensor(3.)
    """
    return np.nanmax(x, axis, keepdims=keepdims)


@primitive(np.nanmin, x=lambda g, x, out, axis: _at_extreme(g, x, out, axis, _there(x)))
def nanmin(x: Operand, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The smallest element that is not NaN.   ∂/∂x = 1 there, shared evenly at a tie, else 0   (:func:`numpy.nanmin`)

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
