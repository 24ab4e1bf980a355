"""SciPy's special functions: errors and the normal distribution, logistic functions, entropies, losses, powers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.graph import assured
from tinytensor.ops import reductions
from tinytensor.ops.elementwise import div0, mul0
from tinytensor.ops.reductions import spread
from tinytensor.primitive import TensorBase, composite, has_tensors, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand

__all__ = [
    "cbrt", "cosdg", "cosm1", "cotdg", "dawsn", "entr", "erf", "erfc", "erfcinv", "erfcx", "erfi", "erfinv", "exp10",
    "exp2", "expit", "expm1", "huber", "i0", "kl_div", "log1p", "log_expit", "log_ndtr", "log_softmax", "logit", "logsumexp",
    "ndtr", "ndtri", "ndtri_exp", "owens_t", "pseudo_huber", "rel_entr", "sc", "sindg", "softmax", "tandg", "xlog1py",
    "xlogy",
]  # fmt: skip


def _scipy() -> Any:
    try:
        import scipy.special
    except ImportError:
        raise ImportError("special functions, distributions and sparse matrices need SciPy: pip install 'tinytensor[scipy]'") from None  # fmt: skip
    return scipy.special


#: ``scipy.special``
sc: Any = _scipy()

_2_SQRTPI = 1.1283791670955126  # 2/√π
_SQRTPI_2 = 0.886226925452758  # √π/2
_SQRT2PI = 2.5066282746310002
_SQRT1_2 = 0.7071067811865476
_DEGREE = 0.017453292519943295  # π/180


# ---------------------------------------------------------------------------------------------------- error functions


@primitive(sc.erf, x=lambda g, x: g * (_2_SQRTPI * np.exp(-x * x)))
def erf(x: Operand) -> Tensor:
    """2/√π ∫₀ˣ e^(−t²) dt.   ∂/∂x = 2/√π e^(−x²)   (:data:`scipy.special.erf`)

    >>> import tinytensor as tt
    >>> tt.special.erf(tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.84270079])
    """
    return sc.erf(x)


@primitive(sc.erfc, x=lambda g, x: g * (-_2_SQRTPI * np.exp(-x * x)))
def erfc(x: Operand) -> Tensor:
    """1 − erf x, exact in the tail.   ∂/∂x = −2/√π e^(−x²)   (:data:`scipy.special.erfc`)

    >>> import tinytensor as tt
    >>> tt.special.erfc(tt.tensor([0.0, 10.0]))
    tensor([1.00000000e+00, 2.08848758e-45])
    """
    return sc.erfc(x)


_FAR = 12.0  # from here on the terms of the asymptotic series decrease until they are below rounding


def _far(x: Any) -> Any:
    """Where 2x f and the constant cancel in f′ = 2x f − 2/√π and the like; complex numbers are left to that."""
    x = x._data if isinstance(x, TensorBase) else asarray(x)
    return np.zeros(x.shape, bool) if x.dtype.kind == "c" else x > _FAR


@primitive(elementwise=True, x=lambda g, x, n, sign: g * _tail_slope(x, n + 1, sign))
def _tail_slope(x: Any, n: int, sign: int) -> Any:
    """The n-th derivative of Σₖ signᵏ (2k − 1)!!/2ᵏ x^(−2k−1): √π erfcx for sign −1, 2 dawsn for sign 1, x > 12."""
    inverse, out = 1 / x, 0.0
    for k in range(14, 0, -1):
        out = (out + 1) * (sign * (2 * k + n) * (2 * k + n - 1) / (4.0 * k)) * inverse**2
    return (out + 1) * ((-1.0) ** n * math.factorial(n)) * inverse ** (n + 1)


def _erfcx_rule(g: Any, x: Any, out: Any) -> Any:
    far = _far(x)
    if not assured(np.any, far):
        return g * (2 * x * out - _2_SQRTPI)
    near, away = np.where(far, 0, x), np.where(far, x, _FAR)
    return g * np.where(far, _tail_slope(away, 1, -1) * 0.5 * _2_SQRTPI, 2 * near * np.where(far, 0, out) - _2_SQRTPI)


def _dawsn_rule(g: Any, x: Any, out: Any) -> Any:
    left = _far(-x)
    far = _far(x) | left
    if not assured(np.any, far):
        return g * (1 - 2 * x * out)
    near, away = np.where(far, 0, x), np.where(far, np.where(left, -x, x), _FAR)
    return g * np.where(far, 0.5 * _tail_slope(away, 1, 1), 1 - 2 * near * np.where(far, 0, out))


@primitive(sc.erfcx, x=_erfcx_rule)
def erfcx(x: Operand) -> Tensor:
    """e^(x²) erfc x.   ∂/∂x = 2x out − 2/√π   (:data:`scipy.special.erfcx`)

    >>> import tinytensor as tt
    >>> tt.special.erfcx(tt.tensor([0.0, 100.0]))
    tensor([1.        , 0.00564161])
    """
    return sc.erfcx(x)


@primitive(sc.erfi, x=lambda g, x: g * (_2_SQRTPI * np.exp(x * x)))
def erfi(x: Operand) -> Tensor:
    """2/√π ∫₀ˣ e^(t²) dt.   ∂/∂x = 2/√π e^(x²)   (:data:`scipy.special.erfi`)

    >>> import tinytensor as tt
    >>> tt.special.erfi(tt.tensor([0.0, 1.0]))
    tensor([0.        , 1.65042576])
    """
    return sc.erfi(x)


@primitive(sc.dawsn, x=_dawsn_rule)
def dawsn(x: Operand) -> Tensor:
    """e^(−x²) ∫₀ˣ e^(t²) dt, Dawson's integral.   ∂/∂x = 1 − 2x out   (:data:`scipy.special.dawsn`)

    >>> import tinytensor as tt
    >>> tt.special.dawsn(tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.53807951])
    """
    return sc.dawsn(x)


@primitive(sc.erfinv, y=lambda g, out: mul0(g, _SQRTPI_2 * np.exp(out * out)))
def erfinv(y: Operand) -> Tensor:
    """The x with erf x = y.   ∂/∂y = √π/2 e^(out²), infinite at ±1   (:data:`scipy.special.erfinv`)

    >>> import tinytensor as tt
    >>> tt.special.erfinv(tt.tensor([0.0, 0.5]))
    tensor([0.        , 0.47693628])
    """
    return sc.erfinv(y)


@primitive(sc.erfcinv, y=lambda g, out: mul0(g, -_SQRTPI_2 * np.exp(out * out)))
def erfcinv(y: Operand) -> Tensor:
    """The x with erfc x = y.   ∂/∂y = −√π/2 e^(out²), infinite at 0 and 2   (:data:`scipy.special.erfcinv`)

    >>> import tinytensor as tt
    >>> tt.special.erfcinv(tt.tensor([0.5, 1.0]))
    tensor([ 0.47693628, -0.        ])
    """
    return sc.erfcinv(y)


# ----------------------------------------------------------------------------------------------- normal distribution


def _density(x: Any) -> Any:
    return np.exp(-0.5 * (x * x)) / _SQRT2PI


def _inverse_mills_rule(g: Any, x: Any, out: Any) -> Any:
    """−out (x + out), and where x and out cancel, out f′(y)/(√2 f(y)) with f = erfcx, y = −x/√2."""
    far = _far(-_SQRT1_2 * x)
    if not assured(np.any, far):
        return -g * out * (x + out)
    y = np.where(far, -_SQRT1_2 * x, _FAR)
    return g * out * np.where(far, _SQRT1_2 / 2 * _2_SQRTPI * _tail_slope(y, 1, -1) / sc.erfcx(y), -x - out)


@primitive(elementwise=True, x=_inverse_mills_rule)
def _inverse_mills(x: Any) -> Any:
    """φ(x)/Φ(x), to all digits in both tails.   ∂/∂x = −out (x + out)"""
    return 2 / _SQRT2PI / sc.erfcx(-_SQRT1_2 * x)


@primitive(sc.ndtr, x=lambda g, x: g * _density(x))
def ndtr(x: Operand) -> Tensor:
    """Φ(x), the standard normal distribution.   ∂/∂x = φ(x) = e^(−x²/2)/√2π   (:data:`scipy.special.ndtr`)

    >>> import tinytensor as tt
    >>> tt.special.ndtr(tt.tensor([0.0, 1.96]))
    tensor([0.5      , 0.9750021])
    """
    return sc.ndtr(x)


@primitive(sc.log_ndtr, x=lambda g, x: g * _inverse_mills(x))
def log_ndtr(x: Operand) -> Tensor:
    """ln Φ(x), without underflow.   ∂/∂x = φ(x)/Φ(x)   (:data:`scipy.special.log_ndtr`)

    >>> import tinytensor as tt
    >>> tt.special.log_ndtr(tt.tensor([0.0, -1000.0]))
    tensor([-6.93147181e-01, -5.00007827e+05])
    >>> tt.grad(tt.special.log_ndtr)(-1000.0).round(6)
    np.float64(1000.001)
    """
    return sc.log_ndtr(x)


@primitive(sc.ndtri, y=lambda g, out: mul0(g, _SQRT2PI * np.exp(0.5 * (out * out))))
def ndtri(y: Operand) -> Tensor:
    """The x with Φ(x) = y.   ∂/∂y = 1/φ(out), infinite at 0 and 1   (:data:`scipy.special.ndtri`)

    >>> import tinytensor as tt
    >>> tt.special.ndtri(tt.tensor([0.5, 0.975]))
    tensor([0.        , 1.95996398])
    """
    return sc.ndtri(y)


@primitive(sc.ndtri_exp, y=lambda g, out: div0(g, _inverse_mills(out)))
def ndtri_exp(y: Operand) -> Tensor:
    """The x with ln Φ(x) = y.   ∂/∂y = Φ(out)/φ(out)   (:data:`scipy.special.ndtri_exp`)

    >>> import tinytensor as tt
    >>> tt.special.ndtri_exp(tt.tensor([-1.0, -1000.0]))
    tensor([ -0.33747496, -44.61574773])
    """
    return sc.ndtri_exp(y)


@primitive(
    sc.owens_t,
    broadcasts=True,
    h=lambda g, h, a: g * (-0.5 * _density(h) * sc.erf(_SQRT1_2 * (a * h))),
    a=lambda g, h, a: g * (np.exp(-0.5 * (h * h) * (1 + a * a)) / (2 * np.pi * (1 + a * a))),
)
def owens_t(h: Operand, a: Operand) -> Tensor:
    """Owen's T, P(X > h and 0 < Y < aX).   ∂/∂h = −φ(h) erf(ah/√2)/2, ∂/∂a = e^(−h²(1+a²)/2)/(2π(1+a²))

    X and Y are independent standard normal variables (:data:`scipy.special.owens_t`).

    >>> import tinytensor as tt
    >>> tt.special.owens_t(tt.tensor([0.0, 1.0]), 2.0)
    tensor([0.17620819, 0.07846819])
    """
    return sc.owens_t(h, a)


# ------------------------------------------------------------------------------------------------- logistic functions


@primitive(sc.expit, x=lambda g, out: g * (out * (1 - out)))
def expit(x: Operand) -> Tensor:
    """σ(x) = 1/(1 + e⁻ˣ).   ∂/∂x = σ(1 − σ)   (:data:`scipy.special.expit`)

    >>> import tinytensor as tt
    >>> tt.special.expit(tt.tensor([-1000.0, 0.0, 2.0]))
    tensor([0.        , 0.5       , 0.88079708])
    """
    return sc.expit(x)


@primitive(sc.logit, x=lambda g, x: div0(g, x * (1 - x)))
def logit(x: Operand) -> Tensor:
    """ln(x/(1 − x)).   ∂/∂x = 1/(x(1 − x))   (:data:`scipy.special.logit`)

    >>> import tinytensor as tt
    >>> tt.special.logit(tt.tensor([0.5, 0.9]))
    tensor([0.        , 2.19722458])
    """
    return sc.logit(x)


@primitive(sc.log_expit, x=lambda g, x: g * sc.expit(-x))
def log_expit(x: Operand) -> Tensor:
    """ln σ(x), without overflow.   ∂/∂x = σ(−x)   (:data:`scipy.special.log_expit`)

    >>> import tinytensor as tt
    >>> tt.special.log_expit(tt.tensor([-1000.0, 0.0]))
    tensor([-1.00000000e+03, -6.93147181e-01])
    """
    return sc.log_expit(x)


# ---------------------------------------------------------------------------------------------------------- entropies


@primitive(
    sc.xlogy,
    broadcasts=True,
    x=lambda g, x, y: np.where((x == 0) & (y <= 0), 0, mul0(g, np.log(y))),
    y=lambda g, x, y: div0(mul0(g, x), y),
)
def xlogy(x: Operand, y: Operand) -> Tensor:
    """x ln y, and 0 where x = 0.   ∂/∂x = ln y (0 at x = 0 ≥ y), ∂/∂y = x/y   (:data:`scipy.special.xlogy`)

    >>> import tinytensor as tt
    >>> tt.special.xlogy(tt.tensor([0.0, 2.0]), tt.tensor([0.0, 3.0]))
    tensor([0.        , 2.19722458])
    """
    return sc.xlogy(x, y)


@primitive(
    sc.xlog1py,
    broadcasts=True,
    x=lambda g, x, y: np.where((x == 0) & (y <= -1), 0, mul0(g, np.log1p(y))),
    y=lambda g, x, y: div0(mul0(g, x), 1 + y),
)
def xlog1py(x: Operand, y: Operand) -> Tensor:
    """x ln(1 + y), and 0 where x = 0.   ∂/∂x = ln(1 + y), ∂/∂y = x/(1 + y)   (:data:`scipy.special.xlog1py`)

    >>> import tinytensor as tt
    >>> tt.special.xlog1py(tt.tensor([0.0, 2.0]), tt.tensor([-1.0, 3.0]))
    tensor([0.        , 2.77258872])
    """
    return sc.xlog1py(x, y)


@primitive(sc.entr, x=lambda g, x: np.where(x < 0, 0, mul0(g, -1 - np.log(x))))
def entr(x: Operand) -> Tensor:
    """−x ln x, 0 at 0, −∞ for x < 0.   ∂/∂x = −1 − ln x, infinite at 0, 0 for x < 0   (:data:`scipy.special.entr`)

    >>> import tinytensor as tt
    >>> tt.special.entr(tt.tensor([0.0, 0.5, 1.0]))
    tensor([ 0.        ,  0.34657359, -0.        ])
    """
    return sc.entr(x)


def _outside(x: Any, y: Any) -> Any:
    return (x < 0) | (y < 0) | ((x == 0) & (y == 0))


@primitive(
    sc.rel_entr,
    broadcasts=True,
    x=lambda g, x, y: np.where(_outside(x, y), 0, mul0(g, np.log(x) - np.log(y) + 1)),
    y=lambda g, x, y: np.where(_outside(x, y), 0, -div0(mul0(g, x), y)),
)
def rel_entr(x: Operand, y: Operand) -> Tensor:
    """x ln(x/y), 0 at x = 0, ∞ outside of x, y ≥ 0.   ∂/∂x = ln(x/y) + 1, ∂/∂y = −x/y; 0 outside and at (0, 0)

    A term of the Kullback-Leibler divergence (:data:`scipy.special.rel_entr`).

    >>> import tinytensor as tt
    >>> tt.special.rel_entr(tt.tensor([0.0, 0.5]), tt.tensor([0.3, 0.7]))
    tensor([ 0.        , -0.16823612])
    """
    return sc.rel_entr(x, y)


@primitive(
    sc.kl_div,
    broadcasts=True,
    x=lambda g, x, y: np.where(_outside(x, y), 0, mul0(g, np.log(x) - np.log(y))),
    y=lambda g, x, y: np.where(_outside(x, y), 0, g - div0(mul0(g, x), y)),
)
def kl_div(x: Operand, y: Operand) -> Tensor:
    """x ln(x/y) − x + y, ∞ outside of x, y ≥ 0.   ∂/∂x = ln(x/y), ∂/∂y = 1 − x/y; 0 outside and at (0, 0)

    (:data:`scipy.special.kl_div`; PyTorch's ``kl_div`` is another function, of log-probabilities.)

    >>> import tinytensor as tt
    >>> tt.special.kl_div(tt.tensor([0.0, 0.5]), tt.tensor([0.3, 0.7]))
    tensor([0.3       , 0.03176388])
    """
    return sc.kl_div(x, y)


# ------------------------------------------------------------------------------------------------------------- losses


@primitive(
    sc.huber,
    broadcasts=True,
    delta=lambda g, delta, r: np.where((delta < 0) | (np.abs(r) <= delta), 0, g * (np.abs(r) - delta)),
    r=lambda g, delta, r: np.where(delta < 0, 0, g * np.where(np.abs(r) <= delta, r, delta * np.sign(r))),
)
def huber(delta: Operand, r: Operand) -> Tensor:
    """r²/2 for |r| ≤ δ, else δ(|r| − δ/2); ∞ for δ < 0.   ∂/∂r = r or ±δ, ∂/∂δ = max(|r| − δ, 0)

    (:data:`scipy.special.huber`)

    >>> import tinytensor as tt
    >>> tt.special.huber(1.0, tt.tensor([0.5, 3.0]))
    tensor([0.125, 2.5  ])
    """
    return sc.huber(delta, r)


def _hypot(delta: Any, r: Any) -> Any:
    return np.sqrt(delta * delta + r * r)


@primitive(
    sc.pseudo_huber,
    broadcasts=True,
    delta=lambda g, delta, r: np.where(delta < 0, 0, div0(g * (_hypot(delta, r) - delta) ** 2, _hypot(delta, r))),
    r=lambda g, delta, r: np.where(delta < 0, 0, div0(g * (delta * r), _hypot(delta, r))),
)
def pseudo_huber(delta: Operand, r: Operand) -> Tensor:
    """δ²(s − 1), s = √(1 + (r/δ)²); ∞ for δ < 0.   ∂/∂r = r/s, ∂/∂δ = δ(s − 1)²/s   (:data:`scipy.special.pseudo_huber`)

    >>> import tinytensor as tt
    >>> tt.special.pseudo_huber(1.0, tt.tensor([0.5, 3.0]))
    tensor([0.11803399, 2.16227766])
    """
    return sc.pseudo_huber(delta, r)


# ---------------------------------------------------------- powers and angles: SciPy's own, beside NumPy's of that name


@primitive(sc.cbrt, x=lambda g, out: div0(g, 3 * out * out))
def cbrt(x: Operand) -> Tensor:
    """∛x.   ∂/∂x = 1/(3 out²), infinite at 0   (:data:`scipy.special.cbrt`)

    >>> import tinytensor as tt
    >>> tt.special.cbrt(tt.tensor([-8.0, 27.0]))
    tensor([-2.,  3.])
    """
    return sc.cbrt(x)


@primitive(sc.exp2, x=lambda g, out: g * (0.6931471805599453 * out))
def exp2(x: Operand) -> Tensor:
    """2ˣ.   ∂/∂x = ln 2 · out   (:data:`scipy.special.exp2`)

    >>> import tinytensor as tt
    >>> tt.special.exp2(tt.tensor([0.0, 3.0]))
    tensor([1., 8.])
    """
    return sc.exp2(x)


@primitive(sc.exp10, x=lambda g, out: g * (2.302585092994046 * out))
def exp10(x: Operand) -> Tensor:
    """10ˣ.   ∂/∂x = ln 10 · out   (:data:`scipy.special.exp10`)

    >>> import tinytensor as tt
    >>> tt.special.exp10(tt.tensor([0.0, 3.0]))
    tensor([   1., 1000.])
    """
    return sc.exp10(x)


@primitive(sc.expm1, x=lambda g, x: g * np.exp(x))
def expm1(x: Operand) -> Tensor:
    """eˣ − 1, exact near 0.   ∂/∂x = eˣ   (:data:`scipy.special.expm1`)

    >>> import tinytensor as tt
    >>> tt.special.expm1(tt.tensor([0.0, 1.0]))
    tensor([0.        , 1.71828183])
    """
    return sc.expm1(x)


@primitive(sc.log1p, x=lambda g, x: div0(g, 1 + x))
def log1p(x: Operand) -> Tensor:
    """ln(1 + x), exact near 0.   ∂/∂x = 1/(1 + x)   (:data:`scipy.special.log1p`)

    >>> import tinytensor as tt
    >>> tt.special.log1p(tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.69314718])
    """
    return sc.log1p(x)


@primitive(sc.cosm1, x=lambda g, x: -g * np.sin(x))
def cosm1(x: Operand) -> Tensor:
    """cos x − 1, exact near 0.   ∂/∂x = −sin x   (:data:`scipy.special.cosm1`)

    >>> import tinytensor as tt
    >>> tt.special.cosm1(tt.tensor([0.0, 1.0]))
    tensor([ 0.        , -0.45969769])
    """
    return sc.cosm1(x)


@primitive(sc.sindg, x=lambda g, x: g * (_DEGREE * sc.cosdg(x)))
def sindg(x: Operand) -> Tensor:
    """sin of x degrees.   ∂/∂x = π/180 cos x   (:data:`scipy.special.sindg`)

    >>> import tinytensor as tt
    >>> tt.special.sindg(tt.tensor([30.0, 180.0]))
    tensor([ 0.5, -0. ])
    """
    return sc.sindg(x)


@primitive(sc.cosdg, x=lambda g, x: g * (-_DEGREE * sc.sindg(x)))
def cosdg(x: Operand) -> Tensor:
    """cos of x degrees.   ∂/∂x = −π/180 sin x   (:data:`scipy.special.cosdg`)

    >>> import tinytensor as tt
    >>> tt.special.cosdg(tt.tensor([60.0, 90.0]))
    tensor([ 0.5, -0. ])
    """
    return sc.cosdg(x)


@primitive(sc.tandg, x=lambda g, out: g * (_DEGREE * (1 + out * out)))
def tandg(x: Operand) -> Tensor:
    """tan of x degrees.   ∂/∂x = π/180 (1 + tan² x)   (:data:`scipy.special.tandg`)

    >>> import tinytensor as tt
    >>> tt.special.tandg(tt.tensor([0.0, 45.0]))
    tensor([0., 1.])
    """
    return sc.tandg(x)


@primitive(sc.cotdg, x=lambda g, x: g * (-_DEGREE / np.square(sc.sindg(x))))  # SciPy's cotdg is 3e-7 off near 0
def cotdg(x: Operand) -> Tensor:
    """cot of x degrees.   ∂/∂x = −π/180 / sin² x   (:data:`scipy.special.cotdg`)

    >>> import tinytensor as tt
    >>> tt.special.cotdg(tt.tensor([45.0, 90.0]))
    tensor([1., 0.])
    """
    return sc.cotdg(x)


# ------------------------------------------------------------------------------------------------------- NumPy's own


@primitive(np.i0, elementwise=True, x=lambda g, x: g * sc.i1(x))
def i0(x: Operand) -> Tensor:
    """I₀(x), the modified Bessel function, as NumPy computes it.   ∂/∂x = I₁(x), SciPy's   (:func:`numpy.i0`)

    >>> import tinytensor as tt
    >>> tt.i0(tt.tensor([0.0, 1.0]))
    tensor([1.        , 1.26606588])
    """
    return np.i0(x)


# ------------------------------------------------------------------------------------------------ sums of exponentials


def _weighted_rule(g: Any, x: Any, b: Any, out: Any, axis: Any) -> tuple[Any, Any]:
    """sign · e^(x − ln |S|), with S = Σ b eˣ, is ∂/∂b, and b times that ∂/∂x; the sign is a constant."""
    shape = np.broadcast_shapes(x.shape, b.shape)
    if g[0] is None:
        return np.zeros_like(x), np.zeros_like(b)
    log, sign = spread(out[0], axis, shape), spread(out[1], axis, shape)
    share = sign * np.exp(x - np.where(np.isneginf(log), 0, log))
    g = spread(g[0], axis, shape)
    return mul0(g, share * b), mul0(g, share)


@primitive(inputs=("x", "b"), broadcasts=True, outputs=True, joint=_weighted_rule)
def _log_abs_sum(x: Any, b: Any, axis: Any, keepdims: bool) -> Any:
    """ln |Σ b eˣ|, and the sign of the sum."""
    x, b = np.broadcast_arrays(x, b)
    with np.errstate(all="ignore"):
        x = np.where(b == 0, -np.inf, x)
        peak = np.maximum.reduce(x, axis, keepdims=True, initial=-np.inf)
        peak = np.where(np.isfinite(peak), peak, 0)
        total = np.add.reduce(b * np.exp(x - peak), axis, keepdims=True)
        out, sign = np.log(np.absolute(total)) + peak, np.sign(total)
    if not keepdims:
        axes = reductions.axes_of(axis, x.ndim, "logsumexp")
        out, sign = np.squeeze(out, axes), np.squeeze(sign, axes)
    return out, sign


@composite(sc.logsumexp)
def logsumexp(
    a: Operand, axis: Axis = None, b: Operand | None = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """ln Σ b eᵃ, without overflow.   ∂/∂a = b e^(a − out), ∂/∂b = e^(a − out)   (:func:`scipy.special.logsumexp`)

    NaN where the sum is negative, unless ``return_sign``: then (ln |Σ b eᵃ|, its sign).

    >>> import tinytensor as tt
    >>> tt.special.logsumexp(tt.tensor([1000.0, 1000.0]), b=[0.5, 1.5])
    tensor(1000.69314718)
    """
    if not has_tensors((a, b)):
        return sc.logsumexp(a, axis, b, keepdims, return_sign)
    if b is None:
        out = reductions.logsumexp(a, axis, keepdims)
        return (out, np.ones_like(out)) if return_sign else out
    out, sign = _log_abs_sum(a, b, axis, keepdims)
    return (out, sign.detach()) if return_sign else np.where(sign.detach() < 0, np.nan, out)


def _not_empty(x: Any, axis: Any, name: str) -> None:
    shape = np.shape(getattr(x, "_data", x))
    if 0 in shape and 0 in [shape[a] for a in reductions.axes_of(axis, len(shape), name)]:
        raise ValueError(f"{name}: expected elements along axis {axis}, got shape {shape}")


@composite(sc.softmax)
def softmax(x: Operand, axis: Axis = None) -> Tensor:
    """eˣ/Σ eˣ over the axes, all of them by default.   ∂outᵢ/∂xⱼ = outᵢ (δᵢⱼ − outⱼ)   (:func:`scipy.special.softmax`)

    >>> import tinytensor as tt
    >>> tt.special.softmax(tt.tensor([0.0, 1000.0]))
    tensor([0., 1.])
    """
    _not_empty(x, axis, "softmax")
    return reductions.softmax(x, axis)


@composite(sc.log_softmax)
def log_softmax(x: Operand, axis: Axis = None) -> Tensor:
    """x − ln Σ eˣ over the axes, all of them by default.   ∂outᵢ/∂xⱼ = δᵢⱼ − e^outⱼ   (:func:`scipy.special.log_softmax`)

    >>> import tinytensor as tt
    >>> tt.special.log_softmax(tt.tensor([0.0, 1000.0]))
    tensor([-1000.,     0.])
    """
    _not_empty(x, axis, "log_softmax")
    return reductions.log_softmax(x, axis)
