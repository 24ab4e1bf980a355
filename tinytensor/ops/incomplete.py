"""Incomplete gamma and beta functions: SciPy's values, with derivatives in their parameters too, by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.ops.elementwise import div0, mul0
from tinytensor.ops.gamma import polygamma
from tinytensor.ops.special import sc
from tinytensor.primitive import primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "betainc", "betaincc", "betaincinv", "gammainc", "gammaincc", "gammainccinv", "gammaincinv", "stdtr", "stdtrit",
]  # fmt: skip

# ----------------------------------------------------------------------------------------------------- the quadrature
# ∂ⁿP/∂aⁿ is an integral over a density times a polynomial, up to x, or by the other sign from x on: the lighter tail is
# taken, so that nothing cancels. In y = ln t (for beta: ln t/(1 − t)) the density is log-concave; s = |y − y(x)|
# runs from 0 to where it has dropped by e⁻⁴⁵, in the variable ln(1 + s), for which 64 Gaussian nodes give 12 digits,
# whatever the parameters' size.

_DROP = 45.0


def _nodes() -> tuple[Any, Any]:
    nodes, weights = np.polynomial.legendre.leggauss(64)
    return (nodes + 1) / 2, weights / 2


_NODES, _WEIGHTS = _nodes()


def _tail(drop: Callable[[Any], Any], slope: Callable[[Any], Any], end: Any, value: Callable[[Any], Any]) -> Any:
    """∫ e^(−drop(s)) value(s) ds over s ≥ 0. ``drop`` is convex with the derivative ``slope``, and above 45 at ``end``."""
    for _ in range(12):  # Newton from the right is monotone
        end = end - (drop(end) - _DROP) / slope(end)
    length = np.log1p(end)
    total: Any = 0.0
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        s = np.expm1(node * length)
        total = total + weight * (1 + s) * np.exp(-drop(s)) * value(s)
    return length * total


def _bell(n: int, c: Callable[[int], Any]) -> Any:
    """∂ⁿ(e^f)/e^f, where c(k) is the k-th derivative of f: the complete Bell polynomial."""
    made: list[Any] = [1.0]
    for m in range(n):
        made.append(sum([math.comb(m, k) * made[m - k] * c(k + 1) for k in range(m + 1)]))
    return made[n]


def _bell2(n: int, m: int, c: Callable[[int, int], Any]) -> Any:
    """∂ⁿ⁺ᵐ(e^f)/e^f, n times in the first variable and m times in the second."""
    if n == 0:
        return _bell(m, lambda k: c(0, k))
    return sum([
        math.comb(n - 1, i) * math.comb(m, j) * c(i + 1, j) * _bell2(n - 1 - i, m - j, c)
        for i in range(n)
        for j in range(m + 1)
    ])  # fmt: skip


def _floating(*xs: Any) -> tuple[Any, list[Any]]:
    """The dtype of a result, and the inputs in double precision."""
    dtype = np.result_type(*xs)
    return (dtype if dtype.kind == "f" else np.dtype(float)), [np.asarray(x, float) for x in xs]


# -------------------------------------------------------------------------------------------------------------- gamma


def _gamma_terms(a: Any) -> Any:
    """The derivatives of ln t^a e⁻ᵗ/Γ(a) with respect to a, but for ln t."""
    known: dict[int, Any] = {}

    def term(k: int) -> Any:
        if k not in known:
            known[k] = -polygamma(k - 1, a) if k > 1 else -sc.psi(a)
        return known[k]

    return term


def _gamma_density(a: Any, x: Any, n: int = 0) -> Any:
    """The n-th derivative of x^(a−1) e⁻ˣ/Γ(a) with respect to a."""
    density = np.exp(mul0(a - 1, np.log(x)) - x - sc.gammaln(a))
    if n == 0:
        return density
    term, log = _gamma_terms(a), np.log(x)
    return mul0(density, _bell(n, lambda k: term(k) + log if k == 1 else term(k)))


@primitive(
    inputs=("a", "x"),
    broadcasts=True,
    elementwise=True,
    a=lambda g, a, x, n: g * _gammainc_a(a, x, n + 1),
    x=lambda g, a, x, n: mul0(g, _gamma_density(a, x, n)),
)
def _gammainc_a(a: Any, x: Any, n: int) -> Any:
    """∂ⁿP(a, x)/∂aⁿ for n ≥ 1."""
    dtype, (a, x) = _floating(a, x)
    with np.errstate(all="ignore"):
        lower = x <= a
        d, y, term, k = np.where(lower, -1.0, 1.0), np.log(x), _gamma_terms(a), _DROP / x
        integral = _tail(
            lambda s: x * np.expm1(d * s) - d * a * s,
            lambda s: d * (x * np.exp(d * s) - a),
            np.where(lower, (_DROP + x) / a, np.log1p(2 * k + 2 * np.sqrt(k))),
            lambda s: _bell(n, lambda i: term(i) + y + d * s if i == 1 else term(i)),
        )
        out = -d * np.exp(a * y - x - sc.gammaln(a)) * integral
    return np.where((x == 0) | (x == np.inf), 0.0, out).astype(dtype)


@primitive(
    sc.gammainc,
    broadcasts=True,
    a=lambda g, a, x: g * _gammainc_a(a, x, 1),
    x=lambda g, a, x: mul0(g, _gamma_density(a, x)),
)
def gammainc(a: Operand, x: Operand) -> Tensor:
    """P(a, x) = ∫₀ˣ t^(a−1) e⁻ᵗ dt/Γ(a).   ∂/∂x = x^(a−1) e⁻ˣ/Γ(a); ∂/∂a by quadrature, to 12 digits

    (:data:`scipy.special.gammainc`)

    >>> import tinytensor as tt
    >>> tt.special.gammainc(2.0, tt.tensor([0.0, 1.0, 5.0]))
    tensor([0.        , 0.26424112, 0.95957232])
    """
    return sc.gammainc(a, x)


@primitive(
    sc.gammaincc,
    broadcasts=True,
    a=lambda g, a, x: -g * _gammainc_a(a, x, 1),
    x=lambda g, a, x: -mul0(g, _gamma_density(a, x)),
)
def gammaincc(a: Operand, x: Operand) -> Tensor:
    """Q(a, x) = 1 − P(a, x), exact in the tail; derivatives of the other sign   (:data:`scipy.special.gammaincc`)

    >>> import tinytensor as tt
    >>> tt.special.gammaincc(2.0, tt.tensor([0.0, 1.0, 50.0]))
    tensor([1.00000000e+00, 7.35758882e-01, 9.83662422e-21])
    """
    return sc.gammaincc(a, x)


@primitive(
    sc.gammaincinv,
    broadcasts=True,
    a=lambda g, a, out: -div0(g * _gammainc_a(a, out, 1), _gamma_density(a, out)),
    y=lambda g, a, out: div0(g, _gamma_density(a, out)),
)
def gammaincinv(a: Operand, y: Operand) -> Tensor:
    """The x with P(a, x) = y.   ∂/∂y = 1/p(x), ∂/∂a = −∂P/∂a/p(x), p = ∂P/∂x   (:data:`scipy.special.gammaincinv`)

    >>> import tinytensor as tt
    >>> tt.special.gammaincinv(2.0, tt.tensor([0.1, 0.5]))
    tensor([0.53181161, 1.67834699])
    """
    return sc.gammaincinv(a, y)


@primitive(
    sc.gammainccinv,
    broadcasts=True,
    a=lambda g, a, out: -div0(g * _gammainc_a(a, out, 1), _gamma_density(a, out)),
    y=lambda g, a, out: -div0(g, _gamma_density(a, out)),
)
def gammainccinv(a: Operand, y: Operand) -> Tensor:
    """The x with Q(a, x) = y.   ∂/∂y = −1/p(x), ∂/∂a = −∂P/∂a/p(x), p = ∂P/∂x   (:data:`scipy.special.gammainccinv`)

    >>> import tinytensor as tt
    >>> tt.special.gammainccinv(2.0, tt.tensor([0.1, 0.5]))
    tensor([3.88972017, 1.67834699])
    """
    return sc.gammainccinv(a, y)


# --------------------------------------------------------------------------------------------------------------- beta


def _beta_terms(a: Any, b: Any) -> Any:
    """The derivatives of −ln B(a, b), i times in a and j times in b."""
    known: dict[Any, Any] = {}

    def psi(n: int, x: Any, key: str) -> Any:
        if (n, key) not in known:
            known[n, key] = polygamma(n, x) if n else sc.psi(x)
        return known[n, key]

    def term(i: int, j: int) -> Any:
        both = psi(i + j - 1, a + b, "a + b")
        return both - psi(i - 1, a, "a") if j == 0 else both - psi(j - 1, b, "b") if i == 0 else both

    return term


def _with_logs(term: Any, log: Any, log1m: Any) -> Any:
    """The derivatives of ln t^a (1 − t)^b/B(a, b)."""
    return lambda i, j: term(i, j) + (log if (i, j) == (1, 0) else log1m if (i, j) == (0, 1) else 0.0)


def _beta_density(a: Any, b: Any, x: Any, i: int = 0, j: int = 0) -> Any:
    """x^(a−1) (1 − x)^(b−1)/B(a, b), differentiated i times with respect to a and j times to b."""
    density = np.exp(mul0(a - 1, np.log(x)) + mul0(b - 1, np.log1p(-x)) - sc.betaln(a, b))
    if i == 0 == j:
        return density
    return mul0(density, _bell2(i, j, _with_logs(_beta_terms(a, b), np.log(x), np.log1p(-x))))


@primitive(
    inputs=("a", "b", "x"),
    broadcasts=True,
    elementwise=True,
    a=lambda g, a, b, x, i, j: g * _betainc_ab(a, b, x, i + 1, j),
    b=lambda g, a, b, x, i, j: g * _betainc_ab(a, b, x, i, j + 1),
    x=lambda g, a, b, x, i, j: mul0(g, _beta_density(a, b, x, i, j)),
)
def _betainc_ab(a: Any, b: Any, x: Any, i: int, j: int) -> Any:
    """∂ⁱ⁺ʲ I(a, b, x)/∂aⁱ∂bʲ for i + j ≥ 1."""
    dtype, (a, b, x) = _floating(a, b, x)
    with np.errstate(all="ignore"):
        lower = x * (a + b) <= a
        d, y, term = np.where(lower, -1.0, 1.0), np.log(x) - np.log1p(-x), _beta_terms(a, b)
        there = a * np.log(x) + b * np.log1p(-x)
        integral = _tail(
            lambda s: there - a * sc.log_expit(y + d * s) - b * sc.log_expit(-y - d * s),
            lambda s: d * ((a + b) * sc.expit(y + d * s) - a),
            np.where(lower, (_DROP - (a + b) * np.log1p(-x)) / a, (_DROP - (a + b) * np.log(x)) / b),
            lambda s: _bell2(i, j, _with_logs(term, sc.log_expit(y + d * s), sc.log_expit(-y - d * s))),
        )
        out = -d * np.exp(there - sc.betaln(a, b)) * integral
    return np.where((x == 0) | (x == 1), 0.0, out).astype(dtype)


@primitive(
    sc.betainc,
    broadcasts=True,
    a=lambda g, a, b, x: g * _betainc_ab(a, b, x, 1, 0),
    b=lambda g, a, b, x: g * _betainc_ab(a, b, x, 0, 1),
    x=lambda g, a, b, x: mul0(g, _beta_density(a, b, x)),
)
def betainc(a: Operand, b: Operand, x: Operand) -> Tensor:
    """I(a, b, x) = ∫₀ˣ t^(a−1) (1 − t)^(b−1) dt/B(a, b).   ∂/∂x = the integrand at x; ∂/∂a, ∂/∂b by quadrature

    (:data:`scipy.special.betainc`)

    >>> import tinytensor as tt
    >>> tt.special.betainc(2.0, 3.0, tt.tensor([0.0, 0.5, 1.0]))
    tensor([0.    , 0.6875, 1.    ])
    """
    return sc.betainc(a, b, x)


@primitive(
    sc.betaincc,
    broadcasts=True,
    a=lambda g, a, b, x: -g * _betainc_ab(a, b, x, 1, 0),
    b=lambda g, a, b, x: -g * _betainc_ab(a, b, x, 0, 1),
    x=lambda g, a, b, x: -mul0(g, _beta_density(a, b, x)),
)
def betaincc(a: Operand, b: Operand, x: Operand) -> Tensor:
    """1 − I(a, b, x), exact in the tail; derivatives of the other sign   (:data:`scipy.special.betaincc`)

    >>> import tinytensor as tt
    >>> tt.special.betaincc(2.0, 3.0, tt.tensor([0.0, 0.5, 1.0]))
    tensor([1.    , 0.3125, 0.    ])
    """
    return sc.betaincc(a, b, x)


@primitive(
    sc.betaincinv,
    broadcasts=True,
    a=lambda g, a, b, out: -div0(g * _betainc_ab(a, b, out, 1, 0), _beta_density(a, b, out)),
    b=lambda g, a, b, out: -div0(g * _betainc_ab(a, b, out, 0, 1), _beta_density(a, b, out)),
    y=lambda g, a, b, out: div0(g, _beta_density(a, b, out)),
)
def betaincinv(a: Operand, b: Operand, y: Operand) -> Tensor:
    """The x with I(a, b, x) = y.   ∂/∂y = 1/p(x), ∂/∂a = −∂I/∂a/p(x), p = ∂I/∂x   (:data:`scipy.special.betaincinv`)

    >>> import tinytensor as tt
    >>> tt.special.betaincinv(2.0, 3.0, tt.tensor([0.1, 0.5]))
    tensor([0.14255932, 0.38572757])
    """
    return sc.betaincinv(a, b, y)


# ---------------------------------------------------------------------------------------------------------- Student's t


def _t_density(df: Any, t: Any) -> Any:
    return np.exp(-sc.betaln(0.5, 0.5 * df) - 0.5 * np.log(df) - 0.5 * (df + 1) * np.log1p(t * t / df))


def _t_df(g: Any, df: Any, t: Any) -> Any:
    """The distribution function is ½ + sign(t)/2 · I(½, df/2, t²/(df + t²))."""
    zero = np.equal(t, 0)
    safe = np.where(zero, 1.0, t)
    x = safe * safe / (df + safe * safe)
    at_zero = 0.5 * _t_density(df, 0.0) * (sc.psi(0.5 * (df + 1)) - sc.psi(0.5 * df) - 1 / df)
    slope = 0.25 * np.sign(safe) * _betainc_ab(0.5, 0.5 * df, x, 0, 1) - _t_density(df, safe) * safe / (2 * df)
    return g * np.where(zero, t * at_zero, slope)  # odd in t: all that is needed near 0


@primitive(sc.stdtr, broadcasts=True, df=_t_df, t=lambda g, df, t: g * _t_density(df, t))
def stdtr(df: Operand, t: Operand) -> Tensor:
    """The distribution function of Student's t.   ∂/∂t = its density; ∂/∂df by quadrature   (:data:`scipy.special.stdtr`)

    >>> import tinytensor as tt
    >>> tt.special.stdtr(3.0, tt.tensor([-1.0, 0.0, 2.0]))
    tensor([0.19550111, 0.5       , 0.93033702])
    """
    return sc.stdtr(df, t)


@primitive(
    sc.stdtrit,
    broadcasts=True,
    df=lambda g, df, out: -div0(_t_df(g, df, out), _t_density(df, out)),
    p=lambda g, df, out: div0(g, _t_density(df, out)),
)
def stdtrit(df: Operand, p: Operand) -> Tensor:
    """The t at which Student's distribution function is p.   ∂/∂p = 1/density(t)   (:data:`scipy.special.stdtrit`)

    >>> import tinytensor as tt
    >>> tt.special.stdtrit(3.0, tt.tensor([0.1, 0.5]))
    tensor([-1.63774435,  0.        ])
    """
    return sc.stdtrit(df, p)
