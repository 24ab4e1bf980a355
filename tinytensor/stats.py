"""Densities and distribution functions in SciPy's words: ``tt.stats.norm.logpdf(x, loc, scale)``, with derivatives in all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.graph import assured
from tinytensor.ops import distributions as of
from tinytensor.ops.gamma import gammaln, psi
from tinytensor.ops.incomplete import (
    betainc,
    betaincc,
    betaincinv,
    gammainc,
    gammaincc,
    gammaincinv,
    stdtr,
    stdtrit,
)
from tinytensor.ops.special import expit, log_expit, log_ndtr, logit, ndtr, ndtri, xlogy
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.typing import Operand

__all__ = [
    "bernoulli", "beta", "binom", "cauchy", "chi2", "dirichlet", "expon", "gamma", "laplace", "logistic", "lognorm",
    "multivariate_normal", "norm", "poisson", "t", "uniform",
]  # fmt: skip

Function = Callable[..., Any]


def _plain(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def _array(x: Any) -> Any:
    """Lists as arrays; numbers stay weak."""
    return np.asarray(x) if type(x) in (list, tuple) else x


def _log_of(p: Any) -> Any:
    """ln p, and −∞ with gradient 0 where p = 0."""
    nothing = np.equal(_plain(p), 0)
    return np.where(nothing, -np.inf, np.log(np.where(nothing, 1, p)))


class _Family:
    """What a distribution is called, and how a call's arguments are named."""

    def __init__(self, name: str, parameters: str, defaults: dict[str, float], doc: str) -> None:
        self.name, self.parameters, self.defaults, self.__doc__ = name, tuple(parameters.split()), defaults, doc

    def arguments(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The parameters in order, ``loc`` and ``scale`` last."""
        names = (*self.parameters, *self.defaults)
        if len(args) > len(names):
            raise TypeError(
                f"{self.name}.{method}: expected x and at most {', '.join(names)}, got {len(args)} parameters"
            )
        given = dict(zip(names, args, strict=False))
        for key, value in kwargs.items():
            if key not in names or key in given:
                problem = "got twice" if key in given else "is not one of its parameters"
                raise TypeError(f"{self.name}.{method}: {key}= {problem}; they are {', '.join(names)}")
            given[key] = value
        if missing := [n for n in self.parameters if n not in given]:
            raise TypeError(f"{self.name}.{method} is missing {', '.join(missing)}")
        return [_array(given[n]) if n in given else self.defaults[n] for n in names]

    def __repr__(self) -> str:
        return f"<distribution {self.name}({', '.join((*self.parameters, *self.defaults))})>"


class Continuous(_Family):
    """A continuous distribution with SciPy's methods, arguments and parameters.

    All methods take x (``ppf`` and ``isf``: a probability), the distribution's own parameters, ``loc`` and ``scale``,
    broadcast against each other, and are differentiable in each of them. Outside of the support log densities are −∞
    with gradient 0; parameters that are not allowed give NaN. float32 gives float32, where SciPy gives float64.

    >>> import tinytensor as tt
    >>> x = tt.tensor([0.0, 1.0], requires_grad=True)
    >>> tt.stats.norm.logpdf(x, loc=0.5, scale=2.0).sum().backward()
    >>> x.grad
    array([ 0.125, -0.125])
    """

    def __init__(
        self, name: str, parameters: str, logpdf: Function, cdf: Function, sf: Function, ppf: Function, *,
        logcdf: Function | None = None, logsf: Function | None = None, isf: Function | None = None, doc: str,
    ) -> None:  # fmt: skip
        super().__init__(name, parameters, {"loc": 0.0, "scale": 1.0}, doc)
        self._logpdf, self._cdf, self._sf, self._ppf = logpdf, cdf, sf, ppf
        self._logcdf, self._logsf, self._isf = logcdf, logsf, isf

    def _at(self, method: str, x: Any, args: Any, kwargs: Any) -> tuple[Any, list[Any], Any]:
        """x in standard position, the parameters, and the scale."""
        *parameters, loc, scale = self.arguments(method, args, kwargs)
        x = _array(x)
        if type(loc) in (int, float) and loc == 0 and type(scale) in (int, float) and scale == 1:
            return x, parameters, None
        return of.standardized(x, loc, scale), parameters, scale

    def logpdf(self, x: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """ln of the density at x."""
        z, parameters, scale = self._at("logpdf", x, args, kwargs)
        out = self._logpdf(z, *parameters)
        return out if scale is None else out - np.log(scale)

    def pdf(self, x: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """The density at x."""
        return np.exp(self.logpdf(x, *args, **kwargs))

    def cdf(self, x: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """P(X ≤ x)."""
        z, parameters, _ = self._at("cdf", x, args, kwargs)
        return self._cdf(z, *parameters)

    def sf(self, x: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """P(X > x), exact in the tail."""
        z, parameters, _ = self._at("sf", x, args, kwargs)
        return self._sf(z, *parameters)

    def logcdf(self, x: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """ln P(X ≤ x)."""
        z, parameters, _ = self._at("logcdf", x, args, kwargs)
        return self._logcdf(z, *parameters) if self._logcdf else _log_of(self._cdf(z, *parameters))

    def logsf(self, x: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """ln P(X > x)."""
        z, parameters, _ = self._at("logsf", x, args, kwargs)
        return self._logsf(z, *parameters) if self._logsf else _log_of(self._sf(z, *parameters))

    def ppf(self, q: Any, *args: Operand, **kwargs: Operand) -> Any:
        """The x with P(X ≤ x) = q."""
        *parameters, loc, scale = self.arguments("ppf", args, kwargs)
        return of.placed(self._ppf(_array(q), *parameters), loc, scale)

    def isf(self, q: Any, *args: Operand, **kwargs: Operand) -> Any:
        """The x with P(X > x) = q."""
        *parameters, loc, scale = self.arguments("isf", args, kwargs)
        q = _array(q)
        z = self._isf(q, *parameters) if self._isf else self._ppf(1 - q, *parameters)
        return of.placed(z, loc, scale)


class Discrete(_Family):
    """A distribution of whole numbers k with SciPy's methods, arguments and parameters; k and ``loc`` are constants.

    >>> import tinytensor as tt
    >>> rate = tt.tensor(2.0, requires_grad=True)
    >>> tt.stats.poisson.logpmf([0, 1, 4], rate).sum().backward()
    >>> rate.grad
    array(-0.5)
    """

    def __init__(self, name: str, parameters: str, logpmf: Function, cdf: Function, sf: Function, doc: str) -> None:
        super().__init__(name, parameters, {"loc": 0}, doc)
        self._logpmf, self._cdf, self._sf = logpmf, cdf, sf

    def _at(self, method: str, k: Any, args: Any, kwargs: Any) -> tuple[Any, list[Any]]:
        *parameters, loc = self.arguments(method, args, kwargs)
        return (_array(k) if type(loc) is int and loc == 0 else _array(k) - loc), parameters

    def logpmf(self, k: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """ln P(X = k)."""
        k, parameters = self._at("logpmf", k, args, kwargs)
        return self._logpmf(k, *parameters)

    def pmf(self, k: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """P(X = k)."""
        return np.exp(self.logpmf(k, *args, **kwargs))

    def cdf(self, k: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """P(X ≤ k)."""
        k, parameters = self._at("cdf", k, args, kwargs)
        return self._cdf(np.floor(_plain(k)), *parameters)

    def sf(self, k: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """P(X > k)."""
        k, parameters = self._at("sf", k, args, kwargs)
        return self._sf(np.floor(_plain(k)), *parameters)

    def logcdf(self, k: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """ln P(X ≤ k)."""
        return _log_of(self.cdf(k, *args, **kwargs))

    def logsf(self, k: Operand, *args: Operand, **kwargs: Operand) -> Any:
        """ln P(X > k)."""
        return _log_of(self.sf(k, *args, **kwargs))


# ---------------------------------------------------------------------------------------------------------- continuous


def _positive(x: Any) -> Any:
    """x where it is above 0, else the constant 0: what lies outside of a support sends no gradient."""
    return np.where(np.less_equal(_plain(x), 0), 0, x)


def _inside_unit(x: Any) -> Any:
    return np.clip(x, 0, 1)


def _probability(q: Any) -> Any:
    outside = np.less(_plain(q), 0) | np.greater(_plain(q), 1)
    return np.where(outside, np.nan, q)


def _t_ppf(q: Any, df: Any) -> Any:
    return np.where(np.equal(_plain(q), 0), -np.inf, stdtrit(df, q))


def _of_log(f: Function, z: Any, s: Any, below: float) -> Any:
    """f(ln z / s), and the constant ``below`` for z ≤ 0."""
    outside = np.less_equal(_plain(z), 0)
    return np.where(outside, below, f(np.log(np.where(outside, 1, z)) / s))


norm = Continuous(
    "norm", "", of.norm_logpdf, ndtr, lambda z: ndtr(-z), ndtri,
    logcdf=log_ndtr, logsf=lambda z: log_ndtr(-z), isf=lambda q: -ndtri(q),
    doc="Normal: e^(−z²/2)/√2π, z = (x − loc)/scale. Example: :class:`Continuous`.",
)  # fmt: skip

t = Continuous(
    "t", "df", of.t_logpdf, lambda z, df: stdtr(df, z), lambda z, df: stdtr(df, -z), _t_ppf,
    isf=lambda q, df: -_t_ppf(q, df),
    doc="Student's t: Γ((df+1)/2)/(√(π df) Γ(df/2)) (1 + z²/df)^(−(df+1)/2). Example: :class:`Continuous`.",
)  # fmt: skip

gamma = Continuous(
    "gamma", "a", of.gamma_logpdf, lambda z, a: gammainc(a, _positive(z)), lambda z, a: gammaincc(a, _positive(z)),
    lambda q, a: gammaincinv(a, q),
    doc="Gamma: z^(a−1) e⁻ᶻ/Γ(a), z ≥ 0; the rate is 1/scale. Example: :class:`Continuous`.",
)  # fmt: skip

chi2 = Continuous(
    "chi2", "df", lambda z, df: of.gamma_logpdf(0.5 * z, 0.5 * df) - math.log(2),
    lambda z, df: gammainc(0.5 * df, 0.5 * _positive(z)), lambda z, df: gammaincc(0.5 * df, 0.5 * _positive(z)),
    lambda q, df: 2 * gammaincinv(0.5 * df, q),
    doc="χ²: the sum of df squared normal numbers; gamma with a = df/2 and scale 2. Example: :class:`Continuous`.",
)  # fmt: skip

beta = Continuous(
    "beta", "a b", of.beta_logpdf, lambda z, a, b: betainc(a, b, _inside_unit(z)),
    lambda z, a, b: betaincc(a, b, _inside_unit(z)), lambda q, a, b: betaincinv(a, b, q),
    doc="Beta: z^(a−1) (1 − z)^(b−1)/B(a, b), 0 ≤ z ≤ 1. Example: :class:`Continuous`.",
)  # fmt: skip

expon = Continuous(
    "expon", "", of.expon_logpdf, lambda z: -np.expm1(-_positive(z)), lambda z: np.exp(-_positive(z)),
    lambda q: -np.log1p(-_probability(q)), logsf=lambda z: -_positive(z), isf=lambda q: -np.log(_probability(q)),
    doc="Exponential: e⁻ᶻ, z ≥ 0; the rate is 1/scale. Example: :class:`Continuous`.",
)  # fmt: skip

laplace = Continuous(
    "laplace", "", of.laplace_logpdf, of.laplace_cdf, lambda z: of.laplace_cdf(-z),
    lambda q: np.where(_plain(q) < 0.5, np.log(2 * q), -np.log(2 - 2 * q)),
    doc="Laplace: e^(−|z|)/2. Example: :class:`Continuous`.",
)  # fmt: skip

logistic = Continuous(
    "logistic", "", of.logistic_logpdf, expit, lambda z: expit(-z), logit,
    logcdf=log_expit, logsf=lambda z: log_expit(-z), isf=lambda q: -logit(q),
    doc="Logistic: σ(z) σ(−z). Example: :class:`Continuous`.",
)  # fmt: skip

cauchy = Continuous(
    "cauchy", "", of.cauchy_logpdf, lambda z: np.arctan2(1, -z) / np.pi, lambda z: np.arctan2(1, z) / np.pi,
    of.cauchy_ppf, doc="Cauchy: 1/(π(1 + z²)). Example: :class:`Continuous`.",
)  # fmt: skip

lognorm = Continuous(
    "lognorm", "s", of.lognorm_logpdf, lambda z, s: _of_log(ndtr, z, s, 0.0),
    lambda z, s: _of_log(lambda y: ndtr(-y), z, s, 1.0),
    lambda q, s: np.exp(s * ndtri(q)), logcdf=lambda z, s: _of_log(log_ndtr, z, s, -np.inf),
    logsf=lambda z, s: _of_log(lambda y: log_ndtr(-y), z, s, 0.0),
    doc="Log-normal: eˢ times a normal number; ln scale is its mean. Example: :class:`Continuous`.",
)  # fmt: skip

uniform = Continuous(
    "uniform", "", of.uniform_logpdf, _inside_unit, lambda z: 1 - _inside_unit(z), _probability,
    doc="Uniform between loc and loc + scale. Example: :class:`Continuous`.",
)  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ discrete


def _from_zero(k: Any, value: Any, below: float) -> Any:
    """A distribution function that is ``below`` for k < 0."""
    return np.where(k < 0, below, value)


def _binom_cdf(k: Any, n: Any, p: Any, upper: bool) -> Any:
    inside = np.where((k >= 0) & (k < n), k, 0)
    room = np.where((k >= 0) & (k < n), n - inside, 1)
    value = (betainc if upper else betaincc)(inside + 1, room, p)
    return np.where(k < 0, 1.0 * upper, np.where(k >= n, 1.0 - upper, value))


poisson = Discrete(
    "poisson", "mu", of.poisson_logpmf,
    lambda k, mu: _from_zero(k, gammaincc(np.maximum(k, 0) + 1, mu), 0.0),
    lambda k, mu: _from_zero(k, gammainc(np.maximum(k, 0) + 1, mu), 1.0),
    "Poisson: μᵏ e^(−μ)/k!. Example: :class:`Discrete`.",
)  # fmt: skip

binom = Discrete(
    "binom", "n p", of.binom_logpmf, lambda k, n, p: _binom_cdf(k, n, p, False),
    lambda k, n, p: _binom_cdf(k, n, p, True),
    "Binomial: (n over k) pᵏ (1 − p)ⁿ⁻ᵏ; n is a constant. Example: :class:`Discrete`.",
)  # fmt: skip

bernoulli = Discrete(
    "bernoulli", "p", of.bernoulli_logpmf, lambda k, p: _binom_cdf(k, 1, p, False),
    lambda k, p: _binom_cdf(k, 1, p, True), "Bernoulli: p for k = 1, 1 − p for k = 0. Example: :class:`Discrete`.",
)  # fmt: skip


# -------------------------------------------------------------------------------------------------------- multivariate


class _Dirichlet:
    """Dirichlet: Π xᵢ^(αᵢ−1)/B(α) on the simplex x ≥ 0, Σ x = 1.

    >>> import tinytensor as tt
    >>> tt.stats.dirichlet.logpdf([0.2, 0.3, 0.5], tt.tensor([1.0, 2.0, 3.0]))
    tensor(1.5040774)
    """

    def logpdf(self, x: Any, alpha: Any) -> Any:
        """ln of the density. x (K,) or (K, …), or without its last entry, which is 1 − Σ; alpha (K,); out (…).

        The derivative with respect to x is that of the formula, (αᵢ − 1)/xᵢ. ValueError for x off the simplex.
        """
        x, alpha = _array(x), _array(alpha)
        if np.shape(_plain(x))[0] + 1 == np.shape(_plain(alpha))[0]:
            x = np.concatenate([x, 1 - np.sum(x, axis=0, keepdims=True)])
        _check_simplex(asarray(_plain(x)), asarray(_plain(alpha)))
        column = np.reshape(alpha, (-1,) + (1,) * (np.ndim(_plain(x)) - 1))
        return np.sum(xlogy(column - 1, x), axis=0) - self._log_beta(alpha)

    def pdf(self, x: Any, alpha: Any) -> Any:
        """The density, of the same arguments as :meth:`logpdf`."""
        return np.exp(self.logpdf(x, alpha))

    def entropy(self, alpha: Any) -> Any:
        """ln B(α) + (α₀ − K) ψ(α₀) − Σ (αᵢ − 1) ψ(αᵢ), α₀ = Σ αᵢ."""
        alpha = _array(alpha)
        _check_alpha(asarray(_plain(alpha)))
        total: Any = np.sum(alpha)
        terms: Any = (alpha - 1) * psi(alpha)
        return self._log_beta(alpha) + (total - terms.shape[0]) * psi(total) - np.sum(terms)

    def _log_beta(self, alpha: Any) -> Any:
        return np.sum(gammaln(alpha)) - gammaln(np.sum(alpha))


def _all_positive(x: Any) -> bool:
    return bool((x > 0).all())


def _check_alpha(alpha: Any) -> None:
    if alpha.ndim != 1 or not alpha.size or not assured(_all_positive, alpha):
        raise ValueError(f"dirichlet: expected a vector alpha of positive numbers, got {alpha}")


def _sums_to_one(x: Any) -> bool:
    allowed = 1e-9 if x.dtype.itemsize >= 8 else 1e-5
    return bool((x >= 0).all() and (np.abs(x.sum(0) - 1) <= allowed).all())


def _infinite(x: Any, alpha: Any) -> bool:
    return bool(((x == 0) & (alpha < 1).reshape((-1,) + (1,) * (x.ndim - 1))).any())


def _check_simplex(x: Any, alpha: Any) -> None:
    _check_alpha(alpha)
    if not x.size:
        raise ValueError("dirichlet: expected at least one point x")
    if x.shape[0] != alpha.shape[0]:
        raise ValueError(f"dirichlet: expected x with {len(alpha)} or {len(alpha) - 1} rows, got shape {x.shape}")
    if not assured(_sums_to_one, x):
        raise ValueError("dirichlet: expected columns x that are not negative and sum to 1")
    if assured(_infinite, x, alpha):
        raise ValueError("dirichlet: an entry of x is 0 where alpha < 1, the density is infinite there")


class _MultivariateNormal:
    """Multivariate normal: e^(−dᵀ cov⁻¹ d/2)/√((2π)ᵈ |cov|), d = x − mean.

    >>> import tinytensor as tt
    >>> tt.stats.multivariate_normal.logpdf([0.0, 1.0], mean=tt.tensor([0.0, 0.5]), cov=[[2.0, 0.3], [0.3, 1.0]])
    tensor(-2.29231874)
    """

    def logpdf(self, x: Any, mean: Any = None, cov: Any = 1.0, allow_singular: bool = False) -> Any:
        """ln of the density. x (…, d), mean (d,), cov (d, d), or (d,) for a diagonal, or a number; out (…).

        The derivative with respect to cov is that of the formula in all d² entries, symmetric for a symmetric cov. A cov
        that is not symmetric and positive definite raises LinAlgError.
        """
        if allow_singular:
            raise TypeError("multivariate_normal: allow_singular=True has no derivative in cov and is not supported")
        x, mean, cov = _array(x), _array(mean), _array(cov)
        d = _dimension(x, mean, cov)
        cov = _square(cov, d)
        deviation = x if mean is None else x - mean
        shape = np.shape(_plain(deviation))
        if shape[-1:] != (d,) and d > 1:
            raise ValueError(f"multivariate_normal: expected x with {d} components on its last axis, got shape {shape}")
        shape = tuple([n for n in (shape[:-1] if shape[-1:] == (d,) else shape) if n != 1])  # SciPy squeezes too
        columns = np.reshape(deviation, (-1, d)).T
        squares = np.sum(columns * np.linalg.solve(cov, columns), axis=0)
        half = 0.5 * (np.linalg.slogdet(cov)[1] + d * math.log(2 * math.pi))
        return np.reshape(-0.5 * squares - half, shape)

    def pdf(self, x: Any, mean: Any = None, cov: Any = 1.0, allow_singular: bool = False) -> Any:
        """The density, of the same arguments as :meth:`logpdf`."""
        return np.exp(self.logpdf(x, mean, cov, allow_singular))

    def entropy(self, mean: Any = None, cov: Any = 1.0) -> Any:
        """(ln |cov| + d ln 2πe)/2."""
        mean, cov = _array(mean), _array(cov)
        d = _dimension(None, mean, cov)
        return 0.5 * (np.linalg.slogdet(_square(cov, d))[1] + d * (math.log(2 * math.pi) + 1))


def _dimension(x: Any, mean: Any, cov: Any) -> int:
    """d, from the mean or the covariance; from x, if neither says it (1 for a vector of numbers)."""
    for array in (mean, cov):
        if array is not None and np.ndim(_plain(array)):
            return int(np.shape(_plain(array))[-1])
    return 1


def _symmetric(x: Any) -> bool:
    return np.allclose(x, x.T)


def _square(cov: Any, d: int) -> Any:
    """The covariance as a matrix, which must be symmetric and positive definite."""
    ndim = np.ndim(_plain(cov))
    if ndim != 2:
        kind = asarray(_plain(cov)).dtype
        cov = np.eye(d, dtype=kind if kind.kind == "f" else float) * cov
    values = asarray(_plain(cov))
    if values.shape != (d, d) or not assured(_symmetric, values):
        raise np.linalg.LinAlgError(f"multivariate_normal: expected a symmetric cov of shape {(d, d)}, got {values}")
    np.linalg.cholesky(values)  # raises unless it is positive definite
    return cov


dirichlet = _Dirichlet()
multivariate_normal = _MultivariateNormal()
