"""Elementwise functions: a formula sheet, one derivative per input beside each forward function."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.primitive import primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "abs", "add", "astype", "clip", "cos", "div0", "divide", "exp", "leaky_relu", "log", "maximum", "minimum", "mul0",
    "multiply", "negative", "positive", "power", "reciprocal", "relu", "sigmoid", "sign", "sin", "softplus", "sqrt",
    "square", "subtract", "tanh", "where",
]  # fmt: skip

# --------------------------------------------------------------------------------------- products at a singularity
# A branch that was not taken sends the cotangent 0 to a function whose derivative is not finite: where(x > 0, sqrt(x),
# 0) at x = 0. The product is 0 there, and only there; its own derivatives keep the second factor, so that second
# derivatives stay right.


@primitive(broadcasts=True, x=lambda g, y: _both0(g, y), y=lambda g, x: _both0(g, x))
def _both0(x: Any, y: Any) -> Any:
    """x · y, and 0 where one is 0 and the other not finite: the branch not taken stays 0 in second derivatives too."""
    out: Any = np.multiply(x, y)
    if np.logical_or.reduce(np.isnan(out), axis=None):
        out = np.where(np.equal(x, 0) | np.equal(y, 0), np.zeros((), out.dtype), out)
    return out


@primitive(broadcasts=True, x=lambda g, y: mul0(g, y), y=lambda g, x: _both0(g, x))
def mul0(x: Operand, y: Operand) -> Tensor:
    """x · y, and 0 where x = 0 and y is not finite: for rules whose factor y has a singularity.

    >>> import numpy as np, tinytensor as tt
    >>> with np.errstate(invalid="ignore"):
    ...     tt.mul0(np.array([0.0, 0.0, 2.0]), np.array([np.inf, 3.0, np.inf]))
    array([ 0.,  0., inf])
    """
    out: Any = np.multiply(x, y)
    if np.logical_or.reduce(np.isnan(out), axis=None):
        out = np.where((np.equal(x, 0)) & ~np.isfinite(y), np.zeros((), out.dtype), out)
    return out


@primitive(broadcasts=True, x=lambda g, y: div0(g, y), y=lambda g, y, out: -div0(_both0(g, out), y))
def div0(x: Operand, y: Operand) -> Tensor:
    """x / y, and 0 where x = 0 and y is 0 or NaN.

    >>> import numpy as np, tinytensor as tt
    >>> with np.errstate(invalid="ignore"):
    ...     tt.div0(np.array([0.0, 1.0]), np.array([0.0, 4.0]))
    array([0.  , 0.25])
    """
    if type(y) is float and y:
        return np.divide(x, y)
    out: Any = np.divide(x, y)
    if np.logical_or.reduce(np.isnan(out), axis=None):
        out = np.where((np.equal(x, 0)) & (np.equal(y, 0) | np.isnan(y)), np.zeros((), out.dtype), out)
    return out


# ------------------------------------------------------------------------------------------------------ arithmetic


@primitive(np.add, broadcasts=True, x=lambda g: g, y=lambda g: g)
def add(x: Operand, y: Operand) -> Tensor:
    """x + y.   ∂/∂x = 1, ∂/∂y = 1   (:func:`numpy.add`)

    >>> import tinytensor as tt
    >>> tt.add(tt.tensor([1.0, 2.0]), 10)
    tensor([11., 12.])
    """
    return np.add(x, y)


@primitive(np.subtract, broadcasts=True, x=lambda g: g, y=lambda g: -g)
def subtract(x: Operand, y: Operand) -> Tensor:
    """x − y.   ∂/∂x = 1, ∂/∂y = −1   (:func:`numpy.subtract`)

    >>> import tinytensor as tt
    >>> tt.subtract(tt.tensor([1.0, 2.0]), 10)
    tensor([-9., -8.])
    """
    return np.subtract(x, y)


@primitive(np.multiply, broadcasts=True, x=lambda g, y: g * y, y=lambda g, x: g * x)
def multiply(x: Operand, y: Operand) -> Tensor:
    """x · y.   ∂/∂x = y, ∂/∂y = x   (:func:`numpy.multiply`)

    >>> import tinytensor as tt
    >>> tt.multiply(tt.tensor([1.0, 2.0]), 10)
    tensor([10., 20.])
    """
    return np.multiply(x, y)


@primitive(np.divide, broadcasts=True, x=lambda g, y: div0(g, y), y=lambda g, y, out: -div0(mul0(g, out), y))
def divide(x: Operand, y: Operand) -> Tensor:
    """x / y.   ∂/∂x = 1/y, ∂/∂y = −x/y²   (:func:`numpy.divide`)

    >>> import tinytensor as tt
    >>> tt.divide(tt.tensor([1.0, 2.0]), 4)
    tensor([0.25, 0.5 ])
    """
    return np.divide(x, y)


def _power_x(g: Any, x: Any, y: Any) -> Any:
    if type(y) in (int, float) and y >= 0 and float(y).is_integer():  # finite wherever x is
        return g * (y * x ** (y - 1)) if y else g * np.zeros_like(x)
    return mul0(g, mul0(y, x ** (y - 1)))


def _power_y(g: Any, x: Any, y: Any, out: Any) -> Any:
    if type(x) in (int, float) and x > 0:
        return g * (out * math.log(x))
    at_zero = np.logical_and(np.equal(x, 0), np.greater_equal(y, 0))  # 0ʸ is 0, or 1: constant to the right
    return mul0(g, mul0(out, np.log(np.where(at_zero, 1.0, x))))


@primitive(np.power, broadcasts=True, x=_power_x, y=_power_y)
def power(x: Operand, y: Operand) -> Tensor:
    """xʸ.   ∂/∂x = y xʸ⁻¹, ∂/∂y = xʸ ln x   (:func:`numpy.power`)

    At x = 0 the derivative with respect to y is 0 for y ≥ 0.

    >>> import tinytensor as tt
    >>> tt.power(tt.tensor([1.0, 2.0, 3.0]), 3)
    tensor([ 1.,  8., 27.])
    """
    return np.power(x, y)


@primitive(np.negative, x=lambda g: -g)
def negative(x: Operand) -> Tensor:
    """−x.   ∂/∂x = −1   (:func:`numpy.negative`)

    >>> import tinytensor as tt
    >>> tt.negative(tt.tensor([1.0, -2.0]))
    tensor([-1.,  2.])
    """
    return np.negative(x)


@primitive(np.positive, x=lambda g: g)
def positive(x: Operand) -> Tensor:
    """A copy of x.   ∂/∂x = 1   (:func:`numpy.positive`)

    >>> import tinytensor as tt
    >>> tt.positive(tt.tensor([1.0, -2.0]))
    tensor([ 1., -2.])
    """
    return np.positive(x)


@primitive(np.reciprocal, x=lambda g, out: -mul0(mul0(g, out), out))
def reciprocal(x: Operand) -> Tensor:
    """1/x.   ∂/∂x = −1/x²   (:func:`numpy.reciprocal`)

    >>> import tinytensor as tt
    >>> tt.reciprocal(tt.tensor([1.0, 4.0]))
    tensor([1.  , 0.25])
    """
    return np.reciprocal(x)


@primitive(np.square, x=lambda g, x: g * (2 * x))
def square(x: Operand) -> Tensor:
    """x².   ∂/∂x = 2x   (:func:`numpy.square`)

    >>> import tinytensor as tt
    >>> tt.square(tt.tensor([1.0, -3.0]))
    tensor([1., 9.])
    """
    return np.square(x)


@primitive(np.sqrt, x=lambda g, out: div0(g, 2 * out))
def sqrt(x: Operand) -> Tensor:
    """√x.   ∂/∂x = 1/(2√x)   (:func:`numpy.sqrt`)

    >>> import tinytensor as tt
    >>> tt.sqrt(tt.tensor([1.0, 9.0]))
    tensor([1., 3.])
    """
    return np.sqrt(x)


# -------------------------------------------------------------------------------------------------- transcendental


@primitive(np.exp, x=lambda g, out: g * out)
def exp(x: Operand) -> Tensor:
    """eˣ.   ∂/∂x = eˣ   (:func:`numpy.exp`)

    >>> import tinytensor as tt
    >>> tt.exp(tt.tensor([0.0, 1.0]))
    tensor([1.        , 2.71828183])
    """
    return np.exp(x)


@primitive(np.log, x=lambda g, x: div0(g, x))
def log(x: Operand) -> Tensor:
    """ln x.   ∂/∂x = 1/x   (:func:`numpy.log`)

    >>> import tinytensor as tt
    >>> tt.log(tt.tensor([1.0, 10.0]))
    tensor([0.        , 2.30258509])
    """
    return np.log(x)


@primitive(np.sin, x=lambda g, x: g * np.cos(x))
def sin(x: Operand) -> Tensor:
    """sin x, x in radians.   ∂/∂x = cos x   (:func:`numpy.sin`)

    >>> import tinytensor as tt
    >>> tt.sin(tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.84147098])
    """
    return np.sin(x)


@primitive(np.cos, x=lambda g, x: -(g * np.sin(x)))
def cos(x: Operand) -> Tensor:
    """cos x, x in radians.   ∂/∂x = −sin x   (:func:`numpy.cos`)

    >>> import tinytensor as tt
    >>> tt.cos(tt.tensor([0.0, 1.0]))
    tensor([1.        , 0.54030231])
    """
    return np.cos(x)


@primitive(np.tanh, x=lambda g, out: g * (1 - out * out))
def tanh(x: Operand) -> Tensor:
    """tanh x.   ∂/∂x = 1 − tanh² x   (:func:`numpy.tanh`)

    >>> import tinytensor as tt
    >>> tt.tanh(tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.76159416])
    """
    return np.tanh(x)


# ------------------------------------------------------------------------------------------------------ activations


@primitive(element="sigmoid", x=lambda g, out: g * (out * (1 - out)))
def sigmoid(x: Operand) -> Tensor:
    """σ(x) = 1/(1 + e⁻ˣ), without overflow.   ∂/∂x = σ(1 − σ)   (``torch.sigmoid``, :data:`scipy.special.expit`)

    >>> import tinytensor as tt
    >>> tt.sigmoid(tt.tensor([-1000.0, 0.0, 2.0]))
    tensor([0.        , 0.5       , 0.88079708])
    """
    x = np.asarray(x)
    if x.dtype.kind != "f":
        x = x.astype(float)
    e = np.exp(-np.absolute(x))
    return np.where(x >= 0, 1, e) / (1 + e)


@primitive(element="relu", x=lambda g, out: g * (out > 0))
def relu(x: Operand) -> Tensor:
    """max(x, 0).   ∂/∂x = 1 for x > 0, else 0 (at 0 too)   (``torch.relu``)

    >>> import tinytensor as tt
    >>> tt.relu(tt.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return np.maximum(x, 0)


@primitive(element="leaky_relu", x=lambda g, x, negative_slope: np.where(x > 0, g, g * negative_slope))
def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Tensor:
    """x for x > 0, else a·x.   ∂/∂x = 1 or a (a at 0)   (``torch.nn.functional.leaky_relu``)

    >>> import tinytensor as tt
    >>> tt.leaky_relu(tt.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.01,  0.  ,  2.  ])
    """
    return np.where(np.greater(x, 0), x, np.multiply(x, negative_slope))


@primitive(element="softplus", x=lambda g, x: g * sigmoid(x))
def softplus(x: Operand) -> Tensor:
    """ln(1 + eˣ), without overflow.   ∂/∂x = σ(x)   (``torch.nn.functional.softplus``)

    >>> import tinytensor as tt
    >>> tt.softplus(tt.tensor([-1000.0, 0.0, 1000.0]))
    tensor([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    return np.logaddexp(x, 0)


# -------------------------------------------------------------------------------------------- pieces and selections


@primitive(np.absolute, x=lambda g, x: g * np.sign(x))
def abs(x: Operand) -> Tensor:
    """The absolute value.   ∂/∂x = sign x (0 at 0)   (:func:`numpy.abs`)

    >>> import tinytensor as tt
    >>> tt.abs(tt.tensor([-2.0, 0.0, 3.0]))
    tensor([2., 0., 3.])
    """
    return np.absolute(x)


@primitive(np.sign, x=lambda g, out: g * np.zeros_like(out))
def sign(x: Operand) -> Tensor:
    """−1, 0 or 1.   ∂/∂x = 0   (:func:`numpy.sign`)

    >>> import tinytensor as tt
    >>> tt.sign(tt.tensor([-2.0, 0.0, 3.0]))
    tensor([-1.,  0.,  1.])
    """
    return np.sign(x)


def _winner(g: Any, loses: Any, ties: Any) -> Any:
    """The share of the gradient: all, none, or half at a tie."""
    return np.where(ties, g * 0.5, np.where(loses, 0, g))


@primitive(
    np.maximum,
    broadcasts=True,
    element="maximum",
    x=lambda g, x, y: _winner(g, x < y, x == y),
    y=lambda g, x, y: _winner(g, y < x, x == y),
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
    x=lambda g, x, y: _winner(g, x > y, x == y),
    y=lambda g, x, y: _winner(g, y > x, x == y),
)
def minimum(x: Operand, y: Operand) -> Tensor:
    """The smaller of x and y.   ∂ = 1 for the smaller, 0 for the larger, ½ each at a tie   (:func:`numpy.minimum`)

    >>> import tinytensor as tt
    >>> tt.minimum(tt.tensor([-2.0, 3.0]), 0.0)
    tensor([-2.,  0.])
    """
    return np.minimum(x, y)


def _at_least(x: Any, lo: Any) -> Any:
    return True if lo is None else x >= lo


def _at_most(x: Any, hi: Any) -> Any:
    return True if hi is None else x <= hi


@primitive(
    np.clip,
    broadcasts=True,
    x=lambda g, x, lo, hi: np.where(np.logical_and(_at_least(x, lo), _at_most(x, hi)), g, 0),
    lo=lambda g, x, lo, hi: np.where(np.logical_and(x < lo, _at_most(lo, hi)), g, 0),
    hi=lambda g, x, lo, hi: np.where(np.logical_or(x > hi, False if lo is None else hi < lo), g, 0),
)
def clip(x: Operand, lo: Operand | None = None, hi: Operand | None = None) -> Tensor:
    """min(max(x, lo), hi).   ∂/∂x = 1 for lo ≤ x ≤ hi, else 0   (:func:`numpy.clip`, ``torch.clamp``)

    A bound may be None, an array, or a tensor that takes the gradient where it is active.

    >>> import tinytensor as tt
    >>> tt.clip(tt.tensor([-2.0, 0.5, 3.0]), 0, 1)
    tensor([0. , 0.5, 1. ])
    """
    if lo is None and hi is None:
        raise ValueError("clip: expected lo, hi or both, got neither; give at least one bound")
    return np.clip(x, lo, hi)


@primitive(
    np.where,
    broadcasts=True,
    x=lambda g, condition: np.where(condition, g, 0),
    y=lambda g, condition: np.where(condition, 0, g),
)
def where(condition: Operand, x: Operand, y: Operand) -> Tensor:
    """x where the condition is true, else y.   ∂/∂x = [condition], ∂/∂y = [not condition]   (:func:`numpy.where`)

    >>> import tinytensor as tt
    >>> t = tt.tensor([-1.0, 2.0])
    >>> tt.where(t > 0, t, 0.0)
    tensor([0., 2.])
    """
    return np.where(condition, x, y)


@primitive(x=lambda g: g)
def astype(x: Operand, dtype: Any) -> Tensor:
    """x in another floating dtype.   ∂/∂x = 1, returned in the dtype of x   (:meth:`numpy.ndarray.astype`)

    >>> import numpy as np, tinytensor as tt
    >>> tt.astype(tt.tensor([1.5]), np.float32)
    tensor([1.5], dtype=float32)
    """
    return np.asarray(x).astype(dtype)
