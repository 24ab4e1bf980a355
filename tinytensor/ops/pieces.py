"""Functions in pieces: absolute values, extremes, bounds, selections, rounding, and the parts of a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, traced
from tinytensor.ops.elementwise import keep, zero
from tinytensor.ops.indexing import getitem, setitem
from tinytensor.primitive import DISPATCH, TensorBase, composite, has_tensors, primitive, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "abs", "absolute", "around", "ceil", "clip", "copysign", "fabs", "fix", "floor", "fmax", "fmin", "frexp", "heaviside", "ldexp",
    "leaky_relu", "maximum", "minimum", "modf", "nan_to_num", "nextafter", "piecewise", "relu",
    "rint", "round", "select", "sign", "spacing", "trunc", "where",
]  # fmt: skip

# ----------------------------------------------------------------------------------------------------- size and sign


def _abs_rule(g: Any, x: Any) -> Any:
    direction = np.sign(x)
    return g * (direction.conj() if x.dtype.kind == "c" else direction)


@primitive(np.absolute, x=_abs_rule)
def abs(x: Operand) -> Tensor:
    """The absolute value.   ∂/∂x = sign x (0 at 0); its conjugate for complex x   (:func:`numpy.abs`)

    >>> import tinytensor as tt
    >>> tt.abs(tt.tensor([-2.0, 0.0, 3.0]))
    tensor([2., 0., 3.])
    """
    return np.absolute(x)


def _sign_rule(g: Any, x: Any, out: Any) -> Any:
    if out.dtype.kind != "c":
        return zero(g)
    radius = np.absolute(x)
    return np.where(x == 0, 0, (g - np.real(g * out) * out.conj()) / np.where(radius == 0, 1, radius))


@primitive(np.sign, x=_sign_rule)
def sign(x: Operand) -> Tensor:
    """−1, 0 or 1, for complex x x/|x|.   ∂/∂x = 0, for complex x across the radius 1/|x|   (:func:`numpy.sign`)

    >>> import tinytensor as tt
    >>> tt.sign(tt.tensor([-2.0, 0.0, 3.0]))
    tensor([-1.,  0.,  1.])
    """
    return np.sign(x)


@primitive(np.fabs, x=lambda g, x: g * np.sign(x))
def fabs(x: Operand) -> Tensor:
    """The absolute value of a real number, as a float.   ∂/∂x = sign x (0 at 0)   (:func:`numpy.fabs`)

    >>> import tinytensor as tt
    >>> tt.fabs(tt.tensor([-2.0, 0.0, 3.0]))
    tensor([2., 0., 3.])
    """
    return np.fabs(x)


@primitive(np.copysign, broadcasts=True, x=lambda g, x, out: g * (np.sign(x) * np.sign(out)), y=zero)
def copysign(x: Operand, y: Operand) -> Tensor:
    """|x| with the sign of y.   ∂/∂x = ±1 (0 at 0), ∂/∂y = 0   (:data:`numpy.copysign`)

    >>> import tinytensor as tt
    >>> tt.copysign(tt.tensor([-2.0, 3.0]), -1.0)
    tensor([-2., -3.])
    """
    return np.copysign(x, y)


@primitive(np.heaviside, broadcasts=True, x=zero, y=lambda g, x: keep(g, np.equal(x, 0)))
def heaviside(x: Operand, y: Operand) -> Tensor:
    """0 for x < 0, y at 0, 1 for x > 0.   ∂/∂x = 0, ∂/∂y = [x = 0]   (:data:`numpy.heaviside`)

    >>> import tinytensor as tt
    >>> tt.heaviside(tt.tensor([-2.0, 0.0, 3.0]), 0.5)
    tensor([0. , 0.5, 1. ])
    """
    return np.heaviside(x, y)


@primitive(element="relu", elementwise=True, x=lambda g, out: keep(g, out > 0))
def relu(x: Operand) -> Tensor:
    """max(x, 0).   ∂/∂x = 1 for x > 0, else 0 (at 0 too)   (``torch.relu``)

    >>> import tinytensor as tt
    >>> tt.relu(tt.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return np.maximum(x, 0)


def _either(mask: Any, yes: float, no: float, dtype: Any) -> Any:
    """One of two numbers for each element: looked up, five times faster than ``np.where`` for mixed masks."""
    mask = asarray(getattr(mask, "_data", mask))
    return (
        np.where(mask, yes, no).astype(dtype) if traced(mask) else np.array([no, yes], dtype).take(mask.view(np.int8))
    )


@primitive(
    element="leaky_relu",
    elementwise=True,
    x=lambda g, x, negative_slope: g * _either(x > 0, 1.0, negative_slope, x.dtype),
)
def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Tensor:
    """x for x > 0, else a·x.   ∂/∂x = 1 or a (a at 0)   (``torch.nn.functional.leaky_relu``)

    >>> import tinytensor as tt
    >>> tt.leaky_relu(tt.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.01,  0.  ,  2.  ])
    """
    if 0 <= negative_slope <= 1:
        return np.maximum(x, np.multiply(x, negative_slope))
    return np.where(np.greater(x, 0), x, np.multiply(x, negative_slope))


# ------------------------------------------------------------------------------------------------ extremes and bounds


@primitive(broadcasts=True, elementwise=True, x=lambda g, wins, ties: _winner(g, wins, ties))
def _shared(x: Any, wins: Any, ties: Any) -> Any:
    out = keep(x, wins)
    if type(ties) is np.ndarray and not ties.any():  # a traced program does not choose
        return out
    return np.where(ties, x * 0.5, out)


_shared_arrays = _shared.__wrapped__


def _winner(g: Any, wins: Any, ties: Any) -> Any:
    """The share of the gradient: all, none, or half at a tie."""
    return (_shared_arrays if g.__class__ is np.ndarray else _shared)(g, wins, ties)


@primitive(
    np.maximum,
    broadcasts=True,
    element="maximum",
    x=lambda g, x, y: _winner(g, np.logical_not(x < y), x == y),
    y=lambda g, x, y: _winner(g, np.logical_not(y < x), x == y),
)
def maximum(x: Operand, y: Operand) -> Tensor:
    """The larger of x and y.   ∂ = 1 for the larger, 0 for the smaller, ½ each at a tie   (:func:`numpy.maximum`)

    >>> import tinytensor as tt
    >>> tt.maximum(tt.tensor([-2.0, 3.0]), 0.0)
    tensor([0., 3.])
    """
    return np.maximum(x, y)


@primitive(
    np.minimum,
    broadcasts=True,
    element="minimum",
    x=lambda g, x, y: _winner(g, np.logical_not(x > y), x == y),
    y=lambda g, x, y: _winner(g, np.logical_not(y > x), x == y),
)
def minimum(x: Operand, y: Operand) -> Tensor:
    """The smaller of x and y.   ∂ = 1 for the smaller, 0 for the larger, ½ each at a tie   (:func:`numpy.minimum`)

    >>> import tinytensor as tt
    >>> tt.minimum(tt.tensor([-2.0, 3.0]), 0.0)
    tensor([-2.,  0.])
    """
    return np.minimum(x, y)


@primitive(
    np.fmax,
    broadcasts=True,
    x=lambda g, x, y: _winner(g, np.logical_or(x > y, y != y), x == y),
    y=lambda g, x, y: _winner(g, np.logical_or(y > x, x != x), x == y),
)
def fmax(x: Operand, y: Operand) -> Tensor:
    """The larger of x and y, or the one that is not NaN.   ∂ as of :func:`maximum`, 0 for a NaN   (:data:`numpy.fmax`)

    >>> import tinytensor as tt
    >>> tt.fmax(tt.tensor([-2.0, 3.0, float("nan")]), 0.0)
    tensor([0., 3., 0.])
    """
    return np.fmax(x, y)


@primitive(
    np.fmin,
    broadcasts=True,
    x=lambda g, x, y: _winner(g, np.logical_or(x < y, y != y), x == y),
    y=lambda g, x, y: _winner(g, np.logical_or(y < x, x != x), x == y),
)
def fmin(x: Operand, y: Operand) -> Tensor:
    """The smaller of x and y, or the one that is not NaN.   ∂ as of :func:`minimum`, 0 for a NaN   (:data:`numpy.fmin`)

    >>> import tinytensor as tt
    >>> tt.fmin(tt.tensor([-2.0, 3.0, float("nan")]), 0.0)
    tensor([-2.,  0.,  0.])
    """
    return np.fmin(x, y)


def _at_least(x: Any, lo: Any) -> Any:
    return True if lo is None else x >= lo


def _at_most(x: Any, hi: Any) -> Any:
    return True if hi is None else x <= hi


@primitive(
    np.clip,
    broadcasts=True,
    elementwise=True,
    x=lambda g, x, lo, hi: keep(g, np.logical_and(_at_least(x, lo), _at_most(x, hi))),
    lo=lambda g, x, lo, hi: keep(g, np.logical_and(x < lo, _at_most(lo, hi))),
    hi=lambda g, x, lo, hi: keep(g, np.logical_or(x > hi, False if lo is None else hi < lo)),
)
def clip(x: Operand, lo: Operand | None = None, hi: Operand | None = None) -> Tensor:
    """min(max(x, lo), hi).   ∂/∂x = 1 for lo ≤ x ≤ hi, else 0   (:func:`numpy.clip`, ``torch.clamp``)

    A bound may be None, an array, or a tensor that takes the gradient where it is active.

    >>> import tinytensor as tt
    >>> tt.clip(tt.tensor([-2.0, 0.5, 3.0]), 0, 1)
    tensor([0. , 0.5, 1. ])
    """
    return np.clip(x, lo, hi)


@primitive(np.nan_to_num, elementwise=True, x=lambda g, x: keep(g, np.isfinite(x)))
def nan_to_num(x: Operand, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Tensor:
    """x with numbers in place of NaN and ±∞.   ∂/∂x = 1 where x is finite, else 0   (:func:`numpy.nan_to_num`)

    >>> import tinytensor as tt
    >>> tt.nan_to_num(tt.tensor([1.0, float("nan"), float("inf")]), posinf=9.0)
    tensor([1., 0., 9.])
    """
    if not copy:
        raise TypeError("nan_to_num: copy=False would write into x; assign the result: x = tt.nan_to_num(x)")
    return np.nan_to_num(x, True, nan, posinf, neginf)


# ----------------------------------------------------------------------------------------------------------- selections


@primitive(
    broadcasts=True,
    elementwise=True,
    x=lambda g, condition: keep(g, condition),
    y=lambda g, condition: keep(g, np.logical_not(condition)),
)
def _where(condition: Any, x: Any, y: Any) -> Any:
    return np.where(condition, x, y)


def where(condition: Operand, *xy: Operand, **named: Any) -> Any:
    """x where the condition is true, else y.   ∂/∂x = [condition], ∂/∂y = [not condition]   (:func:`numpy.where`)

    ``where(condition)`` alone gives the places where it is true, as :func:`numpy.nonzero` does.

    >>> import tinytensor as tt
    >>> t = tt.tensor([-1.0, 2.0])
    >>> tt.where(t > 0, t, 0.0)
    tensor([0., 2.])
    """
    return _where(condition, *xy, **named) if xy or named else np.nonzero(condition)


DISPATCH[np.where] = where


@composite(np.select)
def select(condlist: Sequence[Operand], choicelist: Sequence[Operand], default: Operand = 0) -> Tensor:
    """The first choice whose condition is true, else the default.   ∂/∂choiceₖ = [k is taken]   (:func:`numpy.select`)

    >>> import tinytensor as tt
    >>> x = tt.tensor([-1.0, 0.5, 2.0])
    >>> tt.select([x < 0, x < 1], [-x, x * x], default=1.0)
    tensor([1.  , 0.25, 1.  ])
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"select: expected as many choices as conditions, at least one, got {len(choicelist)} and {len(condlist)}"
        )
    kinds = [default, *choicelist]
    dtype = np.result_type(
        *[x if type(x) in (int, float, complex) else getattr(x, "dtype", None) or asarray(x) for x in kinds]
    )
    out: Any = default.astype(dtype) if isinstance(default, (TensorBase, np.ndarray)) else np.asarray(default, dtype)
    for k in range(len(condlist) - 1, -1, -1):
        condition: Any = condlist[k]
        if not isinstance(condition, TensorBase):
            condition = asarray(condition)
        if condition.dtype != bool:
            raise TypeError(f"select: condition {k} must be an array of booleans, got {condition.dtype}")
        out = where(condition, choicelist[k], out)
    return out


def _masks(x: Any, condlist: Any, n: int) -> Any:
    """The conditions of ``piecewise`` as one boolean array, with "otherwise" as the last, if n functions ask for it."""
    if isinstance(condlist, TensorBase):
        condlist = condlist._data
    elif isinstance(condlist, (list, tuple)):
        condlist = [c._data if isinstance(c, TensorBase) else c for c in condlist]
    if np.ndim(condlist) == 0 or (not isinstance(condlist[0], (list, np.ndarray)) and x.ndim != 0):
        condlist = [condlist]
    masks = np.asarray(condlist, bool)
    if len(masks) == n - 1:
        masks = np.concatenate([masks, ~masks.any(0, keepdims=True)])
    if len(masks) != n:
        raise ValueError(f"piecewise: expected {len(masks)} functions, or one more, for as many conditions; got {n}")
    return masks


def piecewise(
    x: Operand, condlist: Any, funclist: Sequence[Callable[..., Any] | Operand], *args: Any, **kw: Any
) -> Tensor:
    """Each function (or number) of the elements for which its condition is true, else 0.   (:func:`numpy.piecewise`)

    The functions get the elements that they are meant for, so that a branch not taken is never computed. One function
    more than conditions is for the rest; where several conditions are true, the last counts.

    >>> import tinytensor as tt
    >>> x = tt.tensor([-4.0, 4.0], requires_grad=True)
    >>> tt.piecewise(x, [x > 0], [tt.sqrt, 0.0]).sum().backward()
    >>> x.grad
    array([0.  , 0.25])
    """
    if not has_tensors((x, condlist)):
        return np.piecewise(x, condlist, funclist, *args, **kw)
    array: Any = x if isinstance(x, TensorBase) else asarray(x)
    out: Any = wrap(np.zeros(array.shape, array.dtype), None)
    for mask, function in zip(_masks(array, condlist, len(funclist)), funclist, strict=True):
        if not callable(function):
            out = setitem(out, mask, function)
        elif mask.any():
            out = setitem(out, mask, function(getitem(array, mask), *args, **kw))
    return out


DISPATCH[np.piecewise] = piecewise  # its own keywords are those of the functions


# ------------------------------------------------------------------------------------------------------------- rounding
# Constant between jumps, where no derivative exists: it is 0 everywhere, as in PyTorch.


@primitive(np.floor, x=zero)
def floor(x: Operand) -> Tensor:
    """The largest whole number that is not above x.   ∂/∂x = 0   (:func:`numpy.floor`)

    >>> import tinytensor as tt
    >>> tt.floor(tt.tensor([-1.5, 1.5]))
    tensor([-2.,  1.])
    """
    return np.floor(x)


@primitive(np.ceil, x=zero)
def ceil(x: Operand) -> Tensor:
    """The smallest whole number that is not below x.   ∂/∂x = 0   (:func:`numpy.ceil`)

    >>> import tinytensor as tt
    >>> tt.ceil(tt.tensor([-1.5, 1.5]))
    tensor([-1.,  2.])
    """
    return np.ceil(x)


@primitive(np.trunc, x=zero)
def trunc(x: Operand) -> Tensor:
    """x without its fraction.   ∂/∂x = 0   (:func:`numpy.trunc`)

    >>> import tinytensor as tt
    >>> tt.trunc(tt.tensor([-1.5, 1.5]))
    tensor([-1.,  1.])
    """
    return np.trunc(x)


@primitive(np.rint, x=zero)
def rint(x: Operand) -> Tensor:
    """The nearest whole number, an even one in the middle.   ∂/∂x = 0   (:func:`numpy.rint`)

    >>> import tinytensor as tt
    >>> tt.rint(tt.tensor([0.5, 1.4]))
    tensor([0., 1.])
    """
    return np.rint(x)


@primitive(np.round, np.around, elementwise=True, x=zero)
def round(x: Operand, decimals: int = 0) -> Tensor:
    """x to so many decimals.   ∂/∂x = 0   (:func:`numpy.round`, :func:`numpy.around`)

    >>> import tinytensor as tt
    >>> tt.round(tt.tensor([1.26, -1.26]), 1)
    tensor([ 1.3, -1.3])
    """
    return np.round(x, decimals)


@composite(np.fix)
def fix(x: Operand) -> Tensor:
    """x without its fraction: :func:`trunc`.   ∂/∂x = 0   (:func:`numpy.fix`)

    >>> import tinytensor as tt
    >>> tt.fix(tt.tensor([-1.5, 1.5]))
    tensor([-1.,  1.])
    """
    return trunc(x)


# ------------------------------------------------------------------------------------------------- parts of a number


@primitive(elementwise=True, x=lambda g: g)
def _fraction(x: Any) -> Any:
    return np.modf(x)[0]


@primitive(elementwise=True, x=zero)
def _whole(x: Any) -> Any:
    return np.modf(x)[1]  # of integers it is a float, unlike np.trunc


@composite(np.modf)
def modf(x: Operand) -> tuple[Tensor, Tensor]:
    """The fraction and the whole part, both with the sign of x.   ∂/∂x = 1 and 0   (:data:`numpy.modf`)

    >>> import tinytensor as tt
    >>> tt.modf(tt.tensor([-1.5, 1.25]))
    (tensor([-0.5 ,  0.25]), tensor([-1.,  1.]))
    """
    return _fraction(x), _whole(x)


@primitive(np.ldexp, broadcasts=True, x=lambda g, y: np.ldexp(g, y))
def ldexp(x: Operand, y: Operand) -> Tensor:
    """x · 2ʸ for whole y.   ∂/∂x = 2ʸ   (:data:`numpy.ldexp`)

    >>> import tinytensor as tt
    >>> tt.ldexp(tt.tensor([1.0, 1.5]), 3)
    tensor([ 8., 12.])
    """
    return np.ldexp(x, y)


def _exponent(x: Any) -> Any:
    return wrap(np.frexp(x._data)[1], None) if isinstance(x, TensorBase) else np.frexp(x)[1]


@primitive(elementwise=True, x=lambda g, x: np.ldexp(g, -_exponent(x)))
def _mantissa(x: Any) -> Any:
    return np.frexp(x)[0]


@composite(np.frexp)
def frexp(x: Operand) -> tuple[Tensor, Tensor]:
    """x = m · 2ᵉ with ½ ≤ |m| < 1: m, and e in integers.   ∂m/∂x = 2⁻ᵉ   (:data:`numpy.frexp`)

    >>> import tinytensor as tt
    >>> tt.frexp(tt.tensor([8.0, -3.0]))
    (tensor([ 0.5 , -0.75]), tensor([4, 2], dtype=int32))
    """
    return _mantissa(x), _exponent(x)


@primitive(np.nextafter, broadcasts=True, x=lambda g: g, y=zero)
def nextafter(x: Operand, y: Operand) -> Tensor:
    """The floating-point number after x on the way to y.   ∂/∂x = 1, ∂/∂y = 0   (:data:`numpy.nextafter`)

    >>> import tinytensor as tt
    >>> tt.nextafter(tt.tensor([1.0]), 2.0) - 1
    tensor([2.22044605e-16])
    """
    return np.nextafter(x, y)


@primitive(np.spacing, x=zero)
def spacing(x: Operand) -> Tensor:
    """The distance from x to the next floating-point number.   ∂/∂x = 0   (:func:`numpy.spacing`)

    >>> import tinytensor as tt
    >>> tt.spacing(tt.tensor([1.0]))
    tensor([2.22044605e-16])
    """
    return np.spacing(x)


#: NumPy's second names.
absolute = abs
around = round
