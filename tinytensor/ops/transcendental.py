"""Exponentials, logarithms, trigonometric and hyperbolic functions, and the smooth activations: a formula sheet."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, traced, writable
from tinytensor.ops.elementwise import div0, widened
from tinytensor.primitive import TensorBase, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "asin", "asinh", "atan",
    "atan2", "atanh", "cos", "cosh", "deg2rad", "degrees", "exp", "exp2", "expm1", "hypot", "log", "log10", "log1p",
    "log2", "logaddexp", "logaddexp2", "rad2deg", "radians", "sigmoid", "sin", "sinc", "sinh", "softplus",
    "tan", "tanh",
]  # fmt: skip

_LN2, _LN10 = math.log(2), math.log(10)
_DEGREE = math.pi / 180

# ------------------------------------------------------------------------------------------ exponentials and logarithms


@primitive(np.exp, x=lambda g, out: g * out)
def exp(x: Operand) -> Tensor:
    """eˣ.   ∂/∂x = eˣ   (:func:`numpy.exp`)

    >>> import tinytensor as tt
    >>> tt.exp(tt.tensor([0.0, 1.0]))
    tensor([1.        , 2.71828183])
    """
    return np.exp(x)


@primitive(np.exp2, x=lambda g, out: g * (out * _LN2))
def exp2(x: Operand) -> Tensor:
    """2ˣ.   ∂/∂x = 2ˣ ln 2   (:func:`numpy.exp2`)

    >>> import tinytensor as tt
    >>> tt.exp2(tt.tensor([0.0, 3.0]))
    tensor([1., 8.])
    """
    return np.exp2(x)


@primitive(np.expm1, x=lambda g, out: g * (out + 1))
def expm1(x: Operand) -> Tensor:
    """eˣ − 1, exact for small x.   ∂/∂x = eˣ   (:func:`numpy.expm1`)

    >>> import tinytensor as tt
    >>> tt.expm1(tt.tensor([0.0, 1e-20]))
    tensor([0.e+00, 1.e-20])
    """
    return np.expm1(x)


@primitive(np.log, x=lambda g, x: div0(g, x))
def log(x: Operand) -> Tensor:
    """ln x.   ∂/∂x = 1/x   (:func:`numpy.log`)

    >>> import tinytensor as tt
    >>> tt.log(tt.tensor([1.0, 10.0]))
    tensor([0.        , 2.30258509])
    """
    return np.log(x)


@primitive(np.log1p, x=lambda g, x: div0(g, 1 + x))
def log1p(x: Operand) -> Tensor:
    """ln(1 + x), exact for small x.   ∂/∂x = 1/(1 + x)   (:func:`numpy.log1p`)

    >>> import tinytensor as tt
    >>> tt.log1p(tt.tensor([0.0, 1e-20]))
    tensor([0.e+00, 1.e-20])
    """
    return np.log1p(x)


@primitive(np.log2, x=lambda g, x: div0(g, x * _LN2))
def log2(x: Operand) -> Tensor:
    """log₂ x.   ∂/∂x = 1/(x ln 2)   (:func:`numpy.log2`)

    >>> import tinytensor as tt
    >>> tt.log2(tt.tensor([1.0, 8.0]))
    tensor([0., 3.])
    """
    return np.log2(x)


@primitive(np.log10, x=lambda g, x: div0(g, x * _LN10))
def log10(x: Operand) -> Tensor:
    """log₁₀ x.   ∂/∂x = 1/(x ln 10)   (:func:`numpy.log10`)

    >>> import tinytensor as tt
    >>> tt.log10(tt.tensor([1.0, 1000.0]))
    tensor([0., 3.])
    """
    return np.log10(x)


def _over(x: Any, out: Any) -> Any:
    """x − out, the logarithm of the share of x in a sum of exponentials; −∞, a share of 0, where all of them are 0."""
    return x - np.where(np.equal(out, -np.inf), 0, out)


@primitive(
    np.logaddexp,
    broadcasts=True,
    x=lambda g, x, out: g * np.exp(_over(x, out)),
    y=lambda g, y, out: g * np.exp(_over(y, out)),
)
def logaddexp(x: Operand, y: Operand) -> Tensor:
    """ln(eˣ + eʸ), without overflow.   ∂/∂x = eˣ/(eˣ + eʸ), and 0 where x = y = −∞   (:data:`numpy.logaddexp`)

    >>> import tinytensor as tt
    >>> tt.logaddexp(tt.tensor([0.0, 1000.0]), 0.0)
    tensor([6.93147181e-01, 1.00000000e+03])
    """
    return np.logaddexp(x, y)


@primitive(
    np.logaddexp2,
    broadcasts=True,
    x=lambda g, x, out: g * np.exp2(_over(x, out)),
    y=lambda g, y, out: g * np.exp2(_over(y, out)),
)
def logaddexp2(x: Operand, y: Operand) -> Tensor:
    """log₂(2ˣ + 2ʸ), without overflow.   ∂/∂x = 2ˣ/(2ˣ + 2ʸ), and 0 where x = y = −∞   (:data:`numpy.logaddexp2`)

    >>> import tinytensor as tt
    >>> tt.logaddexp2(tt.tensor([3.0, 500.0]), 3.0)
    tensor([  4., 500.])
    """
    return np.logaddexp2(x, y)


# -------------------------------------------------------------------------------------------------------- trigonometry


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


@primitive(np.tan, x=lambda g, out: g * (1 + out * out))
def tan(x: Operand) -> Tensor:
    """tan x, x in radians.   ∂/∂x = 1 + tan² x   (:func:`numpy.tan`)

    >>> import tinytensor as tt
    >>> tt.tan(tt.tensor([0.0, 1.0]))
    tensor([0.        , 1.55740772])
    """
    return np.tan(x)


@primitive(np.arcsin, x=lambda g, x: div0(g, np.sqrt((1 - x) * (1 + x))))
def arcsin(x: Operand) -> Tensor:
    """The angle in [−π/2, π/2] whose sine is x.   ∂/∂x = 1/√(1 − x²)   (:func:`numpy.arcsin`)

    >>> import tinytensor as tt
    >>> tt.arcsin(tt.tensor([0.0, 1.0]))
    tensor([0.        , 1.57079633])
    """
    return np.arcsin(x)


@primitive(np.arccos, x=lambda g, x: -div0(g, np.sqrt((1 - x) * (1 + x))))
def arccos(x: Operand) -> Tensor:
    """The angle in [0, π] whose cosine is x.   ∂/∂x = −1/√(1 − x²)   (:func:`numpy.arccos`)

    >>> import tinytensor as tt
    >>> tt.arccos(tt.tensor([0.0, 1.0]))
    tensor([1.57079633, 0.        ])
    """
    return np.arccos(x)


@primitive(np.arctan, x=lambda g, x: g / (1 + x * x))
def arctan(x: Operand) -> Tensor:
    """The angle in (−π/2, π/2) whose tangent is x.   ∂/∂x = 1/(1 + x²)   (:func:`numpy.arctan`)

    >>> import tinytensor as tt
    >>> tt.arctan(tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.78539816])
    """
    return np.arctan(x)


def _squares(g: Any, x: Any, y: Any) -> Any:
    x, y = widened(x, g), widened(y, g)
    return x * x + y * y


@primitive(
    np.arctan2,
    broadcasts=True,
    x=lambda g, x, y: g * div0(y, _squares(g, x, y)),
    y=lambda g, x, y: -(g * div0(x, _squares(g, x, y))),
)
def arctan2(x: Operand, y: Operand) -> Tensor:
    """arctan(x/y), the angle of the point (y, x).   ∂/∂x = y/(x² + y²), ∂/∂y = −x/(x² + y²)   (:data:`numpy.arctan2`)

    The first argument is the ordinate, as in NumPy. At the origin both derivatives are 0.

    >>> import tinytensor as tt
    >>> tt.arctan2(tt.tensor([0.0, 1.0]), tt.tensor([-1.0, 1.0]))
    tensor([3.14159265, 0.78539816])
    """
    return np.arctan2(x, y)


def _cosine(x: Any, out: Any) -> Any:
    """x / out, and 0 at the origin, with derivatives 0 there, as those of sign at 0."""
    if not isinstance(out, TensorBase):
        return div0(x, out)
    origin = np.equal(out, 0)
    return x * np.where(origin, 0, 1 / np.where(origin, 1, out))


@primitive(
    np.hypot,
    broadcasts=True,
    x=lambda g, x, out: g * _cosine(x, out),
    y=lambda g, y, out: g * _cosine(y, out),
)
def hypot(x: Operand, y: Operand) -> Tensor:
    """√(x² + y²), without overflow.   ∂/∂x = x/√(x² + y²), and 0 at (0, 0)   (:data:`numpy.hypot`)

    >>> import tinytensor as tt
    >>> tt.hypot(tt.tensor([3.0, 0.0]), 4.0)
    tensor([5., 4.])
    """
    return np.hypot(x, y)


@primitive(np.degrees, np.rad2deg, x=lambda g: g / _DEGREE)
def degrees(x: Operand) -> Tensor:
    """180 x/π: radians in degrees.   ∂/∂x = 180/π   (:func:`numpy.degrees`, :func:`numpy.rad2deg`)

    >>> import tinytensor as tt
    >>> tt.degrees(tt.tensor([0.0, 3.141592653589793]))
    tensor([  0., 180.])
    """
    return np.degrees(x)


@primitive(np.radians, np.deg2rad, x=lambda g: g * _DEGREE)
def radians(x: Operand) -> Tensor:
    """π x/180: degrees in radians.   ∂/∂x = π/180   (:func:`numpy.radians`, :func:`numpy.deg2rad`)

    >>> import tinytensor as tt
    >>> tt.radians(tt.tensor([0.0, 180.0]))
    tensor([0.        , 3.14159265])
    """
    return np.radians(x)


def _sinc_series(u: Any, n: int) -> Any:
    """Σ (−1)ᵏ u²ᵏ⁻ⁿ (2k)! / ((2k − n)! (2k + 1)!), the n-th derivative of sin(u)/u near 0."""
    square, total = u * u, 0.0
    for k in range(8 if n == 1 else 12 + 2 * n, (n + 1) // 2 - 1, -1):
        total = total * square + (-1) ** k * math.perm(2 * k, n) / math.factorial(2 * k + 1)
    return total * u if n % 2 else total


def _mended(s: Any, u: Any, n: int) -> Any:
    """The n-th derivative s of sin(u)/u with its series put in near 0, where the formulas cancel."""
    near = np.absolute(u) < (0.5 if n == 1 else n + 1)
    if traced(near):
        return np.where(near, _sinc_series(u, n), s) * np.pi**n
    if near.any():
        s = asarray(s)
        s[near] = _sinc_series(u[near], n)
    return s * np.pi**n


@primitive(elementwise=True, x=lambda g, x, n: g * _sinc_derivative(x, n + 1))
def _sinc_derivative(x: Any, n: int) -> Any:
    """The n-th derivative of sinc, by u s⁽ⁿ⁾ + n s⁽ⁿ⁻¹⁾ = sin⁽ⁿ⁾ u with u = πx."""
    u = asarray(np.pi * x)
    waves = np.sin(u), np.cos(u)
    s = waves[0] / u
    for k in range(1, n + 1):
        s = ((-waves[k % 2] if k & 2 else waves[k % 2]) - k * s) / u
    return _mended(s, u, n)


def _sinc_rule(g: Any, x: Any, out: Any) -> Any:
    if isinstance(x, TensorBase):
        return g * _sinc_derivative(x, 1)
    u = asarray(np.pi * x)
    return g * _mended((np.cos(u) - out) / u, u, 1)


@primitive(np.sinc, elementwise=True, x=_sinc_rule)
def sinc(x: Operand) -> Tensor:
    """sin(πx)/(πx), 1 at 0.   ∂/∂x = (cos(πx) − sinc x)/x, 0 at 0, exact to any order   (:func:`numpy.sinc`)

    >>> import tinytensor as tt
    >>> tt.sinc(tt.tensor([0.0, 0.5]))
    tensor([1.        , 0.63661977])
    """
    return np.sinc(x)


# ------------------------------------------------------------------------------------------------- hyperbolic functions


@primitive(np.sinh, x=lambda g, x: g * np.cosh(x))
def sinh(x: Operand) -> Tensor:
    """(eˣ − e⁻ˣ)/2.   ∂/∂x = cosh x   (:func:`numpy.sinh`)

    >>> import tinytensor as tt
    >>> tt.sinh(tt.tensor([0.0, 1.0]))
    tensor([0.        , 1.17520119])
    """
    return np.sinh(x)


@primitive(np.cosh, x=lambda g, x: g * np.sinh(x))
def cosh(x: Operand) -> Tensor:
    """(eˣ + e⁻ˣ)/2.   ∂/∂x = sinh x   (:func:`numpy.cosh`)

    >>> import tinytensor as tt
    >>> tt.cosh(tt.tensor([0.0, 1.0]))
    tensor([1.        , 1.54308063])
    """
    return np.cosh(x)


@primitive(np.tanh, x=lambda g, out: g * (1 - out * out))
def tanh(x: Operand) -> Tensor:
    """tanh x.   ∂/∂x = 1 − tanh² x   (:func:`numpy.tanh`)

    >>> import tinytensor as tt
    >>> tt.tanh(tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.76159416])
    """
    return np.tanh(x)


@primitive(np.arcsinh, x=lambda g, x: g / np.sqrt(1 + x * x))
def arcsinh(x: Operand) -> Tensor:
    """The inverse of sinh.   ∂/∂x = 1/√(1 + x²)   (:func:`numpy.arcsinh`)

    >>> import tinytensor as tt
    >>> tt.arcsinh(tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.88137359])
    """
    return np.arcsinh(x)


def _arccosh_rule(g: Any, x: Any) -> Any:
    if x.dtype.kind == "c":  # where Re x < 0, the root of the product is on the other sheet
        return div0(g, np.sqrt(x - 1) * np.sqrt(x + 1))
    return div0(g, np.sqrt((x - 1) * (x + 1)))


@primitive(np.arccosh, x=_arccosh_rule)
def arccosh(x: Operand) -> Tensor:
    """The inverse of cosh, for x ≥ 1.   ∂/∂x = 1/√(x² − 1)   (:func:`numpy.arccosh`)

    >>> import tinytensor as tt
    >>> tt.arccosh(tt.tensor([1.0, 2.0]))
    tensor([0.       , 1.3169579])
    """
    return np.arccosh(x)


@primitive(np.arctanh, x=lambda g, x: div0(g, (1 - x) * (1 + x)))
def arctanh(x: Operand) -> Tensor:
    """The inverse of tanh, for |x| ≤ 1.   ∂/∂x = 1/(1 − x²)   (:func:`numpy.arctanh`)

    >>> import tinytensor as tt
    >>> tt.arctanh(tt.tensor([0.0, 0.5]))
    tensor([0.        , 0.54930614])
    """
    return np.arctanh(x)


# --------------------------------------------------------------------------------------------------- smooth activations


@primitive(element="sigmoid", elementwise=True, x=lambda g, out: g * (out * (1 - out)))
def sigmoid(x: Operand) -> Tensor:
    """σ(x) = 1/(1 + e⁻ˣ), without overflow.   ∂/∂x = σ(1 − σ)   (``torch.sigmoid``, :data:`scipy.special.expit`)

    >>> import tinytensor as tt
    >>> tt.sigmoid(tt.tensor([-1000.0, 0.0, 2.0]))
    tensor([0.        , 0.5       , 0.88079708])
    """
    x = asarray(x)
    if x.dtype.kind == "c":
        return 1 / (1 + np.exp(-x))
    if x.dtype.kind != "f":
        x = x.astype(float)
    e: Any = writable(np.absolute(x))  # everything in this memory: e^-|x|
    np.exp(np.negative(e, e), e)
    below = e + 1
    np.maximum(e, x >= 0, out=e, casting="unsafe")  # 1 for x ≥ 0
    return np.divide(e, below, e)


@primitive(element="softplus", elementwise=True, x=lambda g, x: g * sigmoid(x))
def softplus(x: Operand) -> Tensor:
    """ln(1 + eˣ), without overflow.   ∂/∂x = σ(x)   (``torch.nn.functional.softplus``)

    >>> import tinytensor as tt
    >>> tt.softplus(tt.tensor([-1000.0, 0.0, 1000.0]))
    tensor([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])
    """
    return np.logaddexp(x, 0)


#: NumPy's second names.
asin = arcsin
acos = arccos
atan = arctan
atan2 = arctan2
asinh = arcsinh
acosh = arccosh
atanh = arctanh
rad2deg = degrees
deg2rad = radians
