"""Gamma and beta functions and what is made of them, from SciPy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.graph import assured
from tinytensor.ops.elementwise import mul0
from tinytensor.ops.special import sc
from tinytensor.primitive import composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "beta", "betaln", "binom", "digamma", "factorial", "gamma", "gammaln", "gammasgn", "loggamma", "multigammaln",
    "poch", "polygamma", "psi", "rgamma", "zeta",
]  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- gamma


@primitive(sc.gamma, z=lambda g, z, out: mul0(g, out * sc.psi(z)))
def gamma(z: Operand) -> Tensor:
    """Γ(z) = ∫₀^∞ t^(z−1) e⁻ᵗ dt.   ∂/∂z = Γ(z) ψ(z)   (:data:`scipy.special.gamma`)

    >>> import tinytensor as tt
    >>> tt.special.gamma(tt.tensor([0.5, 5.0]))
    tensor([ 1.77245385, 24.        ])
    """
    return sc.gamma(z)


@primitive(sc.gammaln, x=lambda g, x: mul0(g, sc.psi(x)))
def gammaln(x: Operand) -> Tensor:
    """ln |Γ(x)|.   ∂/∂x = ψ(x)   (:data:`scipy.special.gammaln`, ``torch.lgamma``)

    >>> import tinytensor as tt
    >>> tt.special.gammaln(tt.tensor([0.5, 100.0]))
    tensor([  0.57236494, 359.13420537])
    """
    return sc.gammaln(x)


@primitive(sc.loggamma, z=lambda g, z: mul0(g, sc.psi(z)))
def loggamma(z: Operand) -> Tensor:
    """ln Γ(z), of real z > 0 or complex z; NaN for real z < 0.   ∂/∂z = ψ(z)   (:data:`scipy.special.loggamma`)

    >>> import tinytensor as tt
    >>> tt.special.loggamma(tt.tensor([0.5, 100.0]))
    tensor([  0.57236494, 359.13420537])
    """
    return sc.loggamma(z)


@primitive(sc.gammasgn, x=lambda g, out: g * np.zeros_like(out))
def gammasgn(x: Operand) -> Tensor:
    """The sign of Γ(x).   ∂/∂x = 0   (:data:`scipy.special.gammasgn`)

    >>> import tinytensor as tt
    >>> tt.special.gammasgn(tt.tensor([-0.5, 0.5]))
    tensor([-1.,  1.])
    """
    return sc.gammasgn(x)


def _rgamma_rule(g: Any, z: Any, out: Any) -> Any:
    """−ψ(z)/Γ(z); left of ½ by the reflection formula, which has no poles there, so that it is right at 0, −1, …"""
    if assured(np.all, np.greater(getattr(z, "_data", z), 0.1)):
        return -g * (sc.psi(z) * out)
    left = z < 0.5
    r = np.where(left, 1 - z, z)
    turn = np.pi * np.where(left, z, 0.5)
    reflected = (np.cos(turn) - np.sin(turn) * sc.psi(r) / np.pi) * sc.gamma(np.where(left, r, 1))
    return g * np.where(left, reflected, -sc.psi(r) * sc.rgamma(r))


@primitive(sc.rgamma, z=_rgamma_rule)
def rgamma(z: Operand) -> Tensor:
    """1/Γ(z), smooth everywhere.   ∂/∂z = −ψ(z)/Γ(z), (−1)ⁿ n! at z = −n   (:data:`scipy.special.rgamma`)

    >>> import tinytensor as tt
    >>> tt.special.rgamma(tt.tensor([0.0, 0.5, 4.0]))
    tensor([0.        , 0.56418958, 0.16666667])
    """
    return sc.rgamma(z)


@primitive(sc.polygamma, inputs=("x",), elementwise=True, x=lambda g, n, x: mul0(g, polygamma(n + 1, x)))
def polygamma(n: Any, x: Operand) -> Tensor:
    """ψ⁽ⁿ⁾(x), the n-th derivative of ψ; n = 0, 1, ….   ∂/∂x = ψ⁽ⁿ⁺¹⁾(x)   (:func:`scipy.special.polygamma`)

    >>> import tinytensor as tt
    >>> tt.special.polygamma(1, tt.tensor([1.0, 2.0]))
    tensor([1.64493407, 0.64493407])
    """
    return sc.polygamma(n, x)


def _psi_rule(g: Any, z: Any) -> Any:
    if np.iscomplexobj(z):
        raise TypeError(
            "psi: SciPy's polygamma is that of real numbers, so that ψ of complex ones has no derivative here"
        )
    return mul0(g, polygamma(1, z))


@primitive(sc.psi, z=_psi_rule)
def psi(z: Operand) -> Tensor:
    """ψ(z) = Γ'(z)/Γ(z), the digamma function.   ∂/∂z = ψ′(z), for real z   (:data:`scipy.special.psi`)

    >>> import tinytensor as tt
    >>> tt.special.psi(tt.tensor([1.0, 10.0]))
    tensor([-0.57721566,  2.25175259])
    """
    return sc.psi(z)


#: Another name of :func:`psi`.
digamma = psi


@composite(sc.multigammaln)
def multigammaln(a: Operand, d: int) -> Tensor:
    """ln of the multivariate Γ_d(a) = π^(d(d−1)/4) Π Γ(a − j/2), j = 0 … d−1.   ∂/∂a = Σ ψ(a − j/2)

    ValueError unless all a > (d − 1)/2 (:func:`scipy.special.multigammaln`).

    >>> import tinytensor as tt
    >>> tt.special.multigammaln(tt.tensor([2.0, 3.0]), 2)
    tensor([0.45158271, 1.55019499])
    """
    values = getattr(a, "_data", a)
    if d != int(d) or d < 1 or not assured(np.all, np.greater(values, 0.5 * (d - 1))):
        raise ValueError(
            f"multigammaln: expected a whole d ≥ 1 and a > (d - 1)/2, got d = {d} and a = {np.min(values, initial=math.inf)}"
        )
    parts = np.expand_dims(a, -1) - 0.5 * np.arange(d)
    return np.sum(gammaln(parts), axis=-1) + 0.25 * d * (d - 1) * math.log(math.pi)


@composite()
def factorial(n: Operand) -> Tensor:
    """Γ(n + 1), and 0 for n < 0.   ∂/∂n = Γ(n + 1) ψ(n + 1)   (:func:`scipy.special.factorial`)

    >>> import tinytensor as tt
    >>> tt.special.factorial(tt.tensor([0.0, 3.5, 5.0]))
    tensor([  1.       ,  11.6317284, 120.       ])
    """
    negative = np.less(getattr(n, "_data", n), 0)
    return np.where(negative, 0.0, sc.gamma(np.where(negative, 0.0, n) + 1.0))


@primitive(
    sc.poch,
    broadcasts=True,
    z=lambda g, z, m, out: mul0(g, out * (sc.psi(z + m) - sc.psi(z))),
    m=lambda g, z, m, out: mul0(g, out * sc.psi(z + m)),
)
def poch(z: Operand, m: Operand) -> Tensor:
    """Γ(z + m)/Γ(z), the rising factorial.   ∂/∂z = out (ψ(z + m) − ψ(z)), ∂/∂m = out ψ(z + m)

    (:data:`scipy.special.poch`)

    >>> import tinytensor as tt
    >>> tt.special.poch(tt.tensor([1.0, 2.5]), 2.0)
    tensor([2.  , 8.75])
    """
    return sc.poch(z, m)


@primitive(
    sc.binom,
    broadcasts=True,
    x=lambda g, x, y, out: mul0(g, out * (sc.psi(x + 1) - sc.psi(x - y + 1))),
    y=lambda g, x, y, out: mul0(g, out * (sc.psi(x - y + 1) - sc.psi(y + 1))),
)
def binom(x: Operand, y: Operand) -> Tensor:
    """x over y, for real numbers.   ∂/∂x = out (ψ(x+1) − ψ(x−y+1)), ∂/∂y = out (ψ(x−y+1) − ψ(y+1))

    (:data:`scipy.special.binom`)

    >>> import tinytensor as tt
    >>> tt.special.binom(tt.tensor([5.0, 4.5]), 2.0)
    tensor([10.   ,  7.875])
    """
    return sc.binom(x, y)


# --------------------------------------------------------------------------------------------------------------- beta


@primitive(
    sc.beta,
    broadcasts=True,
    a=lambda g, a, b, out: mul0(g, out * (sc.psi(a) - sc.psi(a + b))),
    b=lambda g, a, b, out: mul0(g, out * (sc.psi(b) - sc.psi(a + b))),
)
def beta(a: Operand, b: Operand) -> Tensor:
    """B(a, b) = Γ(a)Γ(b)/Γ(a + b).   ∂/∂a = out (ψ(a) − ψ(a + b)), ∂/∂b likewise   (:data:`scipy.special.beta`)

    >>> import tinytensor as tt
    >>> tt.special.beta(tt.tensor([1.0, 2.5]), 2.0)
    tensor([0.5       , 0.11428571])
    """
    return sc.beta(a, b)


@primitive(
    sc.betaln,
    broadcasts=True,
    a=lambda g, a, b: mul0(g, sc.psi(a) - sc.psi(a + b)),
    b=lambda g, a, b: mul0(g, sc.psi(b) - sc.psi(a + b)),
)
def betaln(a: Operand, b: Operand) -> Tensor:
    """ln |B(a, b)|.   ∂/∂a = ψ(a) − ψ(a + b), ∂/∂b likewise   (:data:`scipy.special.betaln`)

    >>> import tinytensor as tt
    >>> tt.special.betaln(tt.tensor([1.0, 250.0]), 2.0)
    tensor([ -0.69314718, -11.04691386])
    """
    return sc.betaln(a, b)


# --------------------------------------------------------------------------------------------------------------- zeta


@primitive(sc.zeta, inputs=("q",), broadcasts=True, elementwise=True, q=lambda g, x, q: mul0(g, -x * zeta(x + 1, q)))
def zeta(x: Any, q: Operand = 1.0) -> Tensor:
    """Σ 1/(k + q)ˣ over k = 0, 1, …: Hurwitz' zeta, Riemann's for q = 1.   ∂/∂q = −x ζ(x + 1, q)

    There is no derivative with respect to x (:func:`scipy.special.zeta`, ``torch.special.zeta``).

    >>> import tinytensor as tt
    >>> tt.special.zeta(2, tt.tensor([1.0, 2.0]))
    tensor([1.64493407, 0.64493407])
    """
    return sc.zeta(x) if q is None or (type(q) is float and q == 1) else sc.zeta(x, q)
