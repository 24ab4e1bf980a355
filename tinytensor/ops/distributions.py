"""Logarithms of densities in standard position, each with the derivatives in its variable and its parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor.arrays import asarray, traced
from tinytensor.ops.elementwise import div0, mul0
from tinytensor.ops.gamma import psi
from tinytensor.ops.special import sc
from tinytensor.primitive import primitive

__all__ = [
    "bernoulli_logpmf", "beta_logpdf", "binom_logpmf", "cauchy_logpdf", "cauchy_ppf", "expon_logpdf", "gamma_logpdf",
    "laplace_cdf", "laplace_logpdf", "logistic_logpdf", "lognorm_logpdf", "norm_logpdf", "placed", "poisson_logpmf",
    "standardized", "t_logpdf", "uniform_logpdf",
]  # fmt: skip

# Outside of the support the logarithm is −∞ and its derivatives are 0; where a parameter is not allowed, NaN. A rule
# that is infinite somewhere says so with mul0 or div0.

_LOG_SQRT2PI = 0.9189385332046727
_LOG_PI = 1.1447298858494002
_LOG2 = 0.6931471805599453


def _supported(inside: Any, allowed: Any, value: Any) -> Any:
    """A log density: −∞ outside of its support, NaN where the parameters are not allowed."""
    return np.where(allowed, np.where(inside, value, -np.inf), np.nan)


def _allowed(scale: Any) -> Any:
    """NaN in place of scales that are not positive; numbers stay weak."""
    if type(scale) in (int, float):
        return scale if scale > 0 else np.nan
    positive = np.greater(scale, 0)
    return scale if not traced(positive) and positive.all() else np.where(positive, scale, np.nan)


@primitive(
    inputs=("x", "loc", "scale"),
    broadcasts=True,
    elementwise=True,
    x=lambda g, scale: g / scale,
    loc=lambda g, scale: -g / scale,
    scale=lambda g, scale, out: -g * out / scale,
)
def standardized(x: Any, loc: Any, scale: Any) -> Any:
    """(x − loc)/scale; NaN for scale ≤ 0.   ∂/∂x = 1/scale, ∂/∂loc = −1/scale, ∂/∂scale = −out/scale"""
    return np.subtract(x, loc) / _allowed(scale)


@primitive(
    inputs=("x", "loc", "scale"),
    broadcasts=True,
    elementwise=True,
    x=lambda g, scale: g * scale,
    loc=lambda g: g,
    scale=lambda g, x: g * x,
)
def placed(x: Any, loc: Any, scale: Any) -> Any:
    """loc + scale · x; NaN for scale ≤ 0.   ∂/∂x = scale, ∂/∂loc = 1, ∂/∂scale = x"""
    return np.multiply(x, _allowed(scale)) + loc


@primitive(elementwise=True, x=lambda g, x: -g * x)
def norm_logpdf(x: Any) -> Any:
    """−x²/2 − ln √2π.   ∂/∂x = −x"""
    return -0.5 * np.square(x) - _LOG_SQRT2PI


def _t_df(g: Any, x: Any, df: Any) -> Any:
    q = x * x
    return g * (
        0.5 * (psi(0.5 * (df + 1)) - psi(0.5 * df) - 1 / df - np.log1p(q / df) + (df + 1) * q / (df * (df + q)))
    )


@primitive(
    broadcasts=True,
    elementwise=True,
    x=lambda g, x, df: -g * ((df + 1) * x / (df + x * x)),
    df=_t_df,
)
def t_logpdf(x: Any, df: Any) -> Any:
    """ln Γ((df+1)/2) − ln Γ(df/2) − ½ ln(π df) − (df+1)/2 ln(1 + x²/df).   ∂/∂x = −(df + 1) x/(df + x²)"""
    with np.errstate(all="ignore"):
        half = np.multiply(df, 0.5)
        out = sc.gammaln(half + 0.5) - sc.gammaln(half) - 0.5 * (np.log(df) + _LOG_PI)
        return np.where(np.greater(df, 0), out - (half + 0.5) * np.log1p(np.square(x) / df), np.nan)


@primitive(
    broadcasts=True,
    elementwise=True,
    x=lambda g, x, a: np.where(x < 0, 0, mul0(g, div0(a - 1, x) - 1)),
    a=lambda g, x, a: np.where(x < 0, 0, mul0(g, np.log(x) - psi(a))),
)
def gamma_logpdf(x: Any, a: Any) -> Any:
    """(a − 1) ln x − x − ln Γ(a), x ≥ 0.   ∂/∂x = (a − 1)/x − 1, ∂/∂a = ln x − ψ(a)"""
    return _supported(~np.less(x, 0), np.greater(a, 0), sc.xlogy(np.subtract(a, 1), x) - x - sc.gammaln(a))


def _off_unit(x: Any) -> Any:
    return (x < 0) | (x > 1)


@primitive(
    broadcasts=True,
    elementwise=True,
    x=lambda g, x, a, b: np.where(_off_unit(x), 0, mul0(g, div0(a - 1, x) - div0(b - 1, 1 - x))),
    a=lambda g, x, a, b: np.where(_off_unit(x), 0, mul0(g, np.log(x) - psi(a) + psi(a + b))),
    b=lambda g, x, a, b: np.where(_off_unit(x), 0, mul0(g, np.log1p(-x) - psi(b) + psi(a + b))),
)
def beta_logpdf(x: Any, a: Any, b: Any) -> Any:
    """(a − 1) ln x + (b − 1) ln(1 − x) − ln B(a, b), 0 ≤ x ≤ 1.   ∂/∂x = (a − 1)/x − (b − 1)/(1 − x)"""
    value = sc.xlogy(np.subtract(a, 1), x) + sc.xlog1py(np.subtract(b, 1), np.negative(x)) - sc.betaln(a, b)
    return _supported(~(np.less(x, 0) | np.greater(x, 1)), np.greater(a, 0) & np.greater(b, 0), value)


@primitive(elementwise=True, x=lambda g, x: np.where(x < 0, 0, -g))
def expon_logpdf(x: Any) -> Any:
    """−x, x ≥ 0.   ∂/∂x = −1"""
    return np.where(np.less(x, 0), -np.inf, np.negative(x))


@primitive(elementwise=True, x=lambda g, x: -g * np.sign(x))
def laplace_logpdf(x: Any) -> Any:
    """−|x| − ln 2.   ∂/∂x = −sign x (0 at 0)"""
    return -np.fabs(x) - _LOG2  # fabs: no complex numbers


@primitive(elementwise=True, x=lambda g, x: g * (0.5 * np.exp(-np.abs(x))))
def laplace_cdf(x: Any) -> Any:
    """½ eˣ for x < 0, else 1 − ½ e⁻ˣ.   ∂/∂x = ½ e^(−|x|)"""
    tail = 0.5 * np.exp(-np.fabs(x))
    return np.where(np.less(x, 0), tail, 1 - tail)


@primitive(elementwise=True, x=lambda g, x: g * (1 - 2 * sc.expit(x)))
def logistic_logpdf(x: Any) -> Any:
    """ln σ(x) + ln σ(−x).   ∂/∂x = 1 − 2σ(x)"""
    return sc.log_expit(x) + sc.log_expit(np.negative(x))


@primitive(elementwise=True, x=lambda g, x: -g * (2 * x / (1 + x * x)))
def cauchy_logpdf(x: Any) -> Any:
    """−ln π(1 + x²).   ∂/∂x = −2x/(1 + x²)"""
    return -np.log1p(np.square(x)) - _LOG_PI


@primitive(elementwise=True, q=lambda g, out: mul0(g, np.pi * (1 + out * out)))
def cauchy_ppf(q: Any) -> Any:
    """−cot πq, ±∞ at 1 and 0, NaN outside.   ∂/∂q = π (1 + out²)"""
    with np.errstate(all="ignore"):
        lower = np.less(q, 0.5)
        cot = 1 / np.tan(np.pi * np.where(lower, q, np.subtract(1, q)))
        return np.where(np.less(q, 0) | np.greater(q, 1), np.nan, np.where(lower, -cot, cot))


@primitive(
    broadcasts=True,
    elementwise=True,
    x=lambda g, x, s: np.where(x <= 0, 0, -div0(mul0(g, 1 + np.log(x) / (s * s)), x)),
    s=lambda g, x, s: np.where(x <= 0, 0, mul0(g, (np.log(x) / s) ** 2 - 1) / s),
)
def lognorm_logpdf(x: Any, s: Any) -> Any:
    """−(ln x)²/2s² − ln(s x √2π), x > 0.   ∂/∂x = −(1 + ln x/s²)/x, ∂/∂s = ((ln x)²/s² − 1)/s"""
    with np.errstate(all="ignore"):
        log = np.log(x)
        value = -0.5 * np.square(log / s) - np.log(s) - log - _LOG_SQRT2PI
    return _supported(~np.less_equal(x, 0), np.greater(s, 0), value)


@primitive(elementwise=True, x=lambda g, x: g * np.zeros_like(x))
def uniform_logpdf(x: Any) -> Any:
    """0 for 0 ≤ x ≤ 1.   ∂/∂x = 0"""
    return np.where(np.less(x, 0) | np.greater(x, 1), -np.inf, np.where(np.isnan(x), x, 0))


# ----------------------------------------------------------------------------------------------------------- discrete


def _whole(k: Any, low: Any, high: Any) -> Any:
    return (k == np.floor(k)) & (k >= low) & (k <= high)


@primitive(
    inputs=("mu",),
    broadcasts=True,
    elementwise=True,
    mu=lambda g, k, mu: np.where(_whole(k, 0, np.inf), mul0(g, div0(1.0 * k, mu) - 1), 0),
)
def poisson_logpmf(k: Any, mu: Any) -> Any:
    """k ln μ − μ − ln k!, k = 0, 1, ….   ∂/∂μ = k/μ − 1"""
    k = asarray(k)
    return _supported(_whole(k, 0, np.inf), np.greater_equal(mu, 0), sc.xlogy(k, mu) - mu - sc.gammaln(k + 1))


@primitive(
    inputs=("p",),
    broadcasts=True,
    elementwise=True,
    p=lambda g, k, n, p: np.where(_whole(k, 0, n), mul0(g, div0(1.0 * k, p) - div0(1.0 * (n - k), 1 - p)), 0),
)
def binom_logpmf(k: Any, n: Any, p: Any) -> Any:
    """ln (n over k) + k ln p + (n − k) ln(1 − p), k = 0 … n.   ∂/∂p = k/p − (n − k)/(1 − p)"""
    k = asarray(k)
    ways = sc.gammaln(np.add(n, 1)) - sc.gammaln(k + 1) - sc.gammaln(n - k + 1)
    allowed = np.greater_equal(p, 0) & np.less_equal(p, 1) & np.greater_equal(n, 0)
    return _supported(_whole(k, 0, n), allowed, ways + sc.xlogy(k, p) + sc.xlog1py(n - k, np.negative(p)))


@primitive(
    inputs=("p",),
    broadcasts=True,
    elementwise=True,
    p=lambda g, k, p: np.where(_whole(k, 0, 1), mul0(g, div0(1.0 * k, p) - div0(1.0 * (1 - k), 1 - p)), 0),
)
def bernoulli_logpmf(k: Any, p: Any) -> Any:
    """k ln p + (1 − k) ln(1 − p), k = 0 or 1.   ∂/∂p = k/p − (1 − k)/(1 − p)"""
    k = asarray(k)
    allowed = np.greater_equal(p, 0) & np.less_equal(p, 1)
    return _supported(_whole(k, 0, 1), allowed, sc.xlogy(k, p) + sc.xlog1py(1 - k, np.negative(p)))
