"""Exponential, trigonometric, elliptic and hypergeometric integrals, Lambert's W and Box-Cox powers, from SciPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.graph import assured
from tinytensor.ops.elementwise import div0, mul0
from tinytensor.ops.special import sc
from tinytensor.primitive import primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "boxcox", "boxcox1p", "ellipe", "ellipk", "exp1", "expi", "expn", "exprel", "fresnel", "hyp0f1", "hyp1f1",
    "hyp2f1", "hyperu", "inv_boxcox", "inv_boxcox1p", "lambertw", "shichi", "sici", "spence",
]  # fmt: skip


def _both(g: Any, first: Any, second: Any) -> Any:
    """g₀ · first() + g₁ · second(), of a pair of results of which one may be unused."""
    if g[1] is None:
        return mul0(g[0], first())
    return mul0(g[1], second()) if g[0] is None else mul0(g[0], first()) + mul0(g[1], second())


# ------------------------------------------------------------------------------------- exponential and trigonometric


@primitive(sc.expi, x=lambda g, x: div0(mul0(g, np.exp(x)), x))
def expi(x: Operand) -> Tensor:
    """Ei(x) = ∫₋∞ˣ eᵗ/t dt.   ∂/∂x = eˣ/x   (:data:`scipy.special.expi`)

    >>> import tinytensor as tt
    >>> tt.special.expi(tt.tensor([-1.0, 1.0]))
    tensor([-0.21938393,  1.89511782])
    """
    return sc.expi(x)


@primitive(sc.exp1, z=lambda g, z: -div0(mul0(g, np.exp(-z)), z))
def exp1(z: Operand) -> Tensor:
    """E₁(z) = ∫ e⁻ᵗ/t dt from z to ∞.   ∂/∂z = −e⁻ᶻ/z   (:data:`scipy.special.exp1`)

    >>> import tinytensor as tt
    >>> tt.special.exp1(tt.tensor([1.0, 2.0]))
    tensor([0.21938393, 0.04890051])
    """
    return sc.exp1(z)


def _expn_rule(g: Any, n: Any, x: Any, out: Any) -> Any:
    lower = sc.expn(np.maximum(n, 1) - 1, x)
    return mul0(g, -np.where(np.equal(n, 0), out * (1 + div0(1.0, x)), lower))


@primitive(sc.expn, broadcasts=True, x=_expn_rule)
def expn(n: Any, x: Operand) -> Tensor:
    """Eₙ(x) = ∫₁^∞ e^(−xt)/tⁿ dt, n = 0, 1, ….   ∂/∂x = −Eₙ₋₁(x)   (:data:`scipy.special.expn`)

    >>> import tinytensor as tt
    >>> tt.special.expn(2, tt.tensor([1.0, 2.0]))
    tensor([0.14849551, 0.03753426])
    """
    return sc.expn(n, x)


@primitive(sc.exprel, x=lambda g, x: g * (0.5 * sc.hyp1f1(2.0, 3.0, x)))
def exprel(x: Operand) -> Tensor:
    """(eˣ − 1)/x, 1 at 0.   ∂/∂x = ₁F₁(2, 3, x)/2   (:data:`scipy.special.exprel`)

    >>> import tinytensor as tt
    >>> tt.special.exprel(tt.tensor([0.0, 1.0]))
    tensor([1.        , 1.71828183])
    """
    return sc.exprel(x)


@primitive(sc.sici, outputs=True, x=lambda g, x: _both(g, lambda: np.sinc(x / np.pi), lambda: np.cos(x) / x))
def sici(x: Operand) -> tuple[Tensor, Tensor]:
    """Si(x) = ∫₀ˣ sin t/t dt, Ci(x) = γ + ln x + ∫₀ˣ (cos t − 1)/t dt.   ∂ = sin x/x, cos x/x   (:data:`scipy.special.sici`)

    >>> import tinytensor as tt
    >>> [round(float(part), 6) for part in tt.special.sici(1.0)]
    [0.946083, 0.337404]
    """
    return sc.sici(x)


@primitive(
    sc.shichi,
    outputs=True,
    x=lambda g, x: _both(g, lambda: sc.hyp0f1(1.5, 0.25 * x * x), lambda: 0.5 * (np.exp(x) + np.exp(-x)) / x),
)
def shichi(x: Operand) -> tuple[Tensor, Tensor]:
    """Shi(x) = ∫₀ˣ sinh t/t dt, Chi(x) = γ + ln x + ∫₀ˣ (cosh t − 1)/t dt.   ∂ = sinh x/x, cosh x/x

    (:data:`scipy.special.shichi`)

    >>> import tinytensor as tt
    >>> [round(float(part), 6) for part in tt.special.shichi(1.0)]
    [1.057251, 0.837867]
    """
    return sc.shichi(x)


@primitive(
    sc.fresnel,
    outputs=True,
    z=lambda g, z: _both(g, lambda: np.sin(np.pi / 2 * z * z), lambda: np.cos(np.pi / 2 * z * z)),
)
def fresnel(z: Operand) -> tuple[Tensor, Tensor]:
    """S(z) = ∫₀ᶻ sin(πt²/2) dt, C(z) = ∫₀ᶻ cos(πt²/2) dt.   ∂ = sin(πz²/2), cos(πz²/2)   (:data:`scipy.special.fresnel`)

    >>> import tinytensor as tt
    >>> [round(float(part), 6) for part in tt.special.fresnel(1.0)]
    [0.438259, 0.779893]
    """
    return sc.fresnel(z)


def _spence_rule(g: Any, z: Any) -> Any:
    small = np.abs(getattr(z, "_data", z)) < 0.5  # 1 − z would lose z
    slope = -sc.hyp2f1(1.0, 1.0, 2.0, 1 - np.where(small, 1, z))
    if assured(np.any, small):
        z = np.where(small, z, 0.25)
        slope = np.where(small, np.log(z) / (1 - z), slope)
    return mul0(g, slope)


@primitive(sc.spence, z=_spence_rule)
def spence(z: Operand) -> Tensor:
    """∫₁ᶻ ln t/(1 − t) dt, the dilogarithm Li₂(1 − z).   ∂/∂z = ln z/(1 − z), −1 at 1   (:data:`scipy.special.spence`)

    >>> import tinytensor as tt
    >>> tt.special.spence(tt.tensor([0.0, 1.0, 2.0]))
    tensor([ 1.64493407,  0.        , -0.82246703])
    """
    return sc.spence(z)


# ---------------------------------------------------------------------------------------------------------- elliptic


@primitive(sc.ellipk, m=lambda g, m: mul0(g, np.pi / 8 * sc.hyp2f1(1.5, 1.5, 2.0, m)))
def ellipk(m: Operand) -> Tensor:
    """K(m) = ∫ (1 − m sin² t)^(−½) dt over 0 … π/2.   ∂/∂m = (E − (1 − m)K)/(2m(1 − m))   (:data:`scipy.special.ellipk`)

    >>> import tinytensor as tt
    >>> tt.special.ellipk(tt.tensor([0.0, 0.5]))
    tensor([1.57079633, 1.85407468])
    """
    return sc.ellipk(m)


@primitive(sc.ellipe, m=lambda g, m: mul0(g, -np.pi / 8 * sc.hyp2f1(0.5, 1.5, 2.0, m)))
def ellipe(m: Operand) -> Tensor:
    """E(m) = ∫ (1 − m sin² t)^½ dt over 0 … π/2.   ∂/∂m = (E − K)/(2m)   (:data:`scipy.special.ellipe`)

    >>> import tinytensor as tt
    >>> tt.special.ellipe(tt.tensor([0.0, 0.5, 1.0]))
    tensor([1.57079633, 1.35064388, 1.        ])
    """
    return sc.ellipe(m)


# ---------------------------------------------------------------------------------------- hypergeometric, in z or x only


@primitive(sc.hyp0f1, broadcasts=True, z=lambda g, v, z: g * (sc.hyp0f1(v + 1, z) / v))
def hyp0f1(v: Any, z: Operand) -> Tensor:
    """₀F₁(v; z).   ∂/∂z = ₀F₁(v + 1; z)/v; v is a constant   (:data:`scipy.special.hyp0f1`)

    >>> import tinytensor as tt
    >>> tt.special.hyp0f1(1.5, tt.tensor([0.0, 1.0]))
    tensor([1.       , 1.8134302])
    """
    return sc.hyp0f1(v, z)


@primitive(sc.hyp1f1, broadcasts=True, x=lambda g, a, b, x: g * (a / b * sc.hyp1f1(a + 1, b + 1, x)))
def hyp1f1(a: Any, b: Any, x: Operand) -> Tensor:
    """₁F₁(a; b; x).   ∂/∂x = a/b ₁F₁(a + 1; b + 1; x); a and b are constants   (:data:`scipy.special.hyp1f1`)

    >>> import tinytensor as tt
    >>> tt.special.hyp1f1(1.0, 2.0, tt.tensor([0.0, 1.0]))
    tensor([1.        , 1.71828183])
    """
    return sc.hyp1f1(a, b, x)


@primitive(sc.hyp2f1, broadcasts=True, z=lambda g, a, b, c, z: mul0(g, a * b / c * sc.hyp2f1(a + 1, b + 1, c + 1, z)))
def hyp2f1(a: Any, b: Any, c: Any, z: Operand) -> Tensor:
    """₂F₁(a, b; c; z).   ∂/∂z = ab/c ₂F₁(a + 1, b + 1; c + 1; z); a, b, c are constants   (:data:`scipy.special.hyp2f1`)

    >>> import tinytensor as tt
    >>> tt.special.hyp2f1(1.0, 1.0, 2.0, tt.tensor([0.0, 0.5]))
    tensor([1.        , 1.38629436])
    """
    return sc.hyp2f1(a, b, c, z)


@primitive(sc.hyperu, broadcasts=True, x=lambda g, a, b, x: mul0(g, -a * sc.hyperu(a + 1, b + 1, x)))
def hyperu(a: Any, b: Any, x: Operand) -> Tensor:
    """Tricomi's U(a, b, x).   ∂/∂x = −a U(a + 1, b + 1, x); a and b are constants   (:data:`scipy.special.hyperu`)

    >>> import tinytensor as tt
    >>> tt.special.hyperu(1.0, 2.0, tt.tensor([1.0, 2.0]))
    tensor([1. , 0.5])
    """
    return sc.hyperu(a, b, x)


@primitive(sc.lambertw, elementwise=True, z=lambda g, out: div0(g * np.exp(-out), 1 + out))
def lambertw(z: Operand, k: int = 0, tol: float = 1e-8) -> Tensor:
    """The w on branch k with w eʷ = z, complex as SciPy's; ``.real`` is what real z > −1/e mean.   ∂/∂z = e⁻ʷ/(1 + w)

    (:func:`scipy.special.lambertw`)

    >>> import tinytensor as tt
    >>> complex(tt.special.lambertw(0.0))
    0j
    """
    return sc.lambertw(z, k, tol)


# ------------------------------------------------------------------------------------------------------ Box and Cox


@primitive(
    sc.boxcox,
    broadcasts=True,
    x=lambda g, x, lmbda: mul0(g, x ** (lmbda - 1)),
    lmbda=lambda g, x, lmbda: _power_slope(g, np.log(x), lmbda),
)
def boxcox(x: Operand, lmbda: Operand) -> Tensor:
    """(x^λ − 1)/λ, ln x for λ = 0.   ∂/∂x = x^(λ−1), ∂/∂λ = (x^λ ln x − out)/λ   (:data:`scipy.special.boxcox`)

    >>> import tinytensor as tt
    >>> tt.special.boxcox(tt.tensor([1.0, 4.0]), 0.5)
    tensor([0., 2.])
    """
    return sc.boxcox(x, lmbda)


@primitive(
    sc.boxcox1p,
    broadcasts=True,
    x=lambda g, x, lmbda: mul0(g, (1 + x) ** (lmbda - 1)),
    lmbda=lambda g, x, lmbda: _power_slope(g, np.log1p(x), lmbda),
)
def boxcox1p(x: Operand, lmbda: Operand) -> Tensor:
    """((1 + x)^λ − 1)/λ, ln(1 + x) for λ = 0.   ∂/∂x = (1 + x)^(λ−1)   (:data:`scipy.special.boxcox1p`)

    >>> import tinytensor as tt
    >>> tt.special.boxcox1p(tt.tensor([0.0, 3.0]), 0.5)
    tensor([0., 2.])
    """
    return sc.boxcox1p(x, lmbda)


def _power_slope(g: Any, log: Any, lmbda: Any) -> Any:
    """g times the derivative of (e^(λ log) − 1)/λ with respect to λ, right at λ = 0 too."""
    return mul0(g, 0.5 * log * log * sc.hyp1f1(2.0, 3.0, lmbda * log))


def _root_slope(g: Any, y: Any, lmbda: Any, power: Any) -> Any:
    """g times the derivative of e^(ln(1 + λy)/λ), which is ``power``, with respect to λ."""
    return mul0(g, -0.5 * y * y * power * sc.hyp2f1(2.0, 2.0, 3.0, -lmbda * y))


@primitive(
    sc.inv_boxcox,
    broadcasts=True,
    y=lambda g, y, lmbda, out: div0(g * out, 1 + lmbda * y),
    lmbda=lambda g, y, lmbda, out: _root_slope(g, y, lmbda, out),
)
def inv_boxcox(y: Operand, lmbda: Operand) -> Tensor:
    """(1 + λy)^(1/λ), eʸ for λ = 0.   ∂/∂y = out/(1 + λy)   (:data:`scipy.special.inv_boxcox`)

    >>> import tinytensor as tt
    >>> tt.special.inv_boxcox(tt.tensor([0.0, 2.0]), 0.5)
    tensor([1., 4.])
    """
    return sc.inv_boxcox(y, lmbda)


@primitive(
    sc.inv_boxcox1p,
    broadcasts=True,
    y=lambda g, y, lmbda, out: div0(g * (out + 1), 1 + lmbda * y),
    lmbda=lambda g, y, lmbda, out: _root_slope(g, y, lmbda, out + 1),
)
def inv_boxcox1p(y: Operand, lmbda: Operand) -> Tensor:
    """(1 + λy)^(1/λ) − 1, eʸ − 1 for λ = 0.   ∂/∂y = (out + 1)/(1 + λy)   (:data:`scipy.special.inv_boxcox1p`)

    >>> import tinytensor as tt
    >>> tt.special.inv_boxcox1p(tt.tensor([0.0, 2.0]), 0.5)
    tensor([0., 3.])
    """
    return sc.inv_boxcox1p(y, lmbda)
