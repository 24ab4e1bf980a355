"""Bessel, modified Bessel and Airy functions from SciPy; orders are constants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.graph import assured
from tinytensor.ops.special import sc
from tinytensor.primitive import primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "airy", "i0", "i0e", "i1", "i1e", "iv", "ive", "j0", "j1", "jn", "jv", "k0", "k0e", "k1", "k1e", "kn", "kv",
    "kve", "y0", "y1", "yn", "yv",
]  # fmt: skip


# Jᵥ′ = v/z Jᵥ − Jᵥ₊₁ takes one Bessel function more, not two, but is 0/0 at 0, and its derivative loses digits near 0; there,
# Jᵥ′ = (Jᵥ₋₁ − Jᵥ₊₁)/2. So for I.


def _nonzero(z: Any) -> bool:
    return assured(np.all, np.abs(getattr(z, "_data", z)) > 0.03)


def _jv_slope(v: Any, z: Any, out: Any) -> Any:
    return v / z * out - sc.jv(v + 1, z) if _nonzero(z) else 0.5 * (sc.jv(v - 1, z) - sc.jv(v + 1, z))


def _iv_slope(v: Any, z: Any, out: Any) -> Any:
    return v / z * out + sc.iv(v + 1, z) if _nonzero(z) else 0.5 * (sc.iv(v - 1, z) + sc.iv(v + 1, z))


# ------------------------------------------------------------------------------------------------- first, second kind


@primitive(sc.j0, x=lambda g, x: -g * sc.j1(x))
def j0(x: Operand) -> Tensor:
    """J₀(x).   ∂/∂x = −J₁(x)   (:data:`scipy.special.j0`)

    >>> import tinytensor as tt
    >>> tt.special.j0(tt.tensor([0.0, 1.0]))
    tensor([1.        , 0.76519769])
    """
    return sc.j0(x)


@primitive(sc.j1, x=lambda g, x, out: g * (sc.j0(x) - out / x if _nonzero(x) else 0.5 * (sc.j0(x) - sc.jv(2, x))))
def j1(x: Operand) -> Tensor:
    """J₁(x).   ∂/∂x = J₀(x) − J₁(x)/x   (:data:`scipy.special.j1`)

    >>> import tinytensor as tt
    >>> tt.special.j1(tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.44005059])
    """
    return sc.j1(x)


@primitive(sc.jv, broadcasts=True, z=lambda g, v, z, out: g * _jv_slope(v, z, out))
def jv(v: Any, z: Operand) -> Tensor:
    """Jᵥ(z), of any order v.   ∂/∂z = v/z Jᵥ(z) − Jᵥ₊₁(z)   (:data:`scipy.special.jv`)

    >>> import tinytensor as tt
    >>> tt.special.jv(2, tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.11490348])
    """
    return sc.jv(v, z)


#: Another name of :func:`jv`.
jn = jv


@primitive(sc.y0, x=lambda g, x: -g * sc.y1(x))
def y0(x: Operand) -> Tensor:
    """Y₀(x).   ∂/∂x = −Y₁(x)   (:data:`scipy.special.y0`)

    >>> import tinytensor as tt
    >>> tt.special.y0(tt.tensor([1.0, 2.0]))
    tensor([0.08825696, 0.51037567])
    """
    return sc.y0(x)


@primitive(sc.y1, x=lambda g, x, out: g * (sc.y0(x) - out / x))
def y1(x: Operand) -> Tensor:
    """Y₁(x).   ∂/∂x = Y₀(x) − Y₁(x)/x   (:data:`scipy.special.y1`)

    >>> import tinytensor as tt
    >>> tt.special.y1(tt.tensor([1.0, 2.0]))
    tensor([-0.78121282, -0.10703243])
    """
    return sc.y1(x)


@primitive(sc.yv, broadcasts=True, z=lambda g, v, z, out: g * (sc.yv(v - 1, z) - v / z * out))
def yv(v: Any, z: Operand) -> Tensor:
    """Yᵥ(z), of any order v.   ∂/∂z = Yᵥ₋₁(z) − v/z Yᵥ(z)   (:data:`scipy.special.yv`)

    >>> import tinytensor as tt
    >>> tt.special.yv(2, tt.tensor([1.0, 2.0]))
    tensor([-1.65068261, -0.6174081 ])
    """
    return sc.yv(v, z)


@primitive(sc.yn, broadcasts=True, x=lambda g, n, x, out: g * (sc.yn(n - 1, x) - n / x * out))
def yn(n: Any, x: Operand) -> Tensor:
    """Yₙ(x), of whole order n.   ∂/∂x = Yₙ₋₁(x) − n/x Yₙ(x)   (:data:`scipy.special.yn`)

    >>> import tinytensor as tt
    >>> tt.special.yn(2, tt.tensor([1.0, 2.0]))
    tensor([-1.65068261, -0.6174081 ])
    """
    return sc.yn(n, x)


# ---------------------------------------------------------------------------------------------------- modified, first


@primitive(sc.i0, x=lambda g, x: g * sc.i1(x))
def i0(x: Operand) -> Tensor:
    """I₀(x).   ∂/∂x = I₁(x)   (:data:`scipy.special.i0`, ``torch.i0``)

    >>> import tinytensor as tt
    >>> tt.special.i0(tt.tensor([0.0, 1.0]))
    tensor([1.        , 1.26606588])
    """
    return sc.i0(x)


@primitive(sc.i1, x=lambda g, x, out: g * (sc.i0(x) - out / x if _nonzero(x) else 0.5 * (sc.i0(x) + sc.iv(2, x))))
def i1(x: Operand) -> Tensor:
    """I₁(x).   ∂/∂x = I₀(x) − I₁(x)/x   (:data:`scipy.special.i1`)

    >>> import tinytensor as tt
    >>> tt.special.i1(tt.tensor([0.0, 1.0]))
    tensor([0.       , 0.5651591])
    """
    return sc.i1(x)


@primitive(sc.iv, broadcasts=True, z=lambda g, v, z, out: g * _iv_slope(v, z, out))
def iv(v: Any, z: Operand) -> Tensor:
    """Iᵥ(z), of any order v.   ∂/∂z = v/z Iᵥ(z) + Iᵥ₊₁(z)   (:data:`scipy.special.iv`)

    >>> import tinytensor as tt
    >>> tt.special.iv(2, tt.tensor([0.0, 1.0]))
    tensor([0.        , 0.13574767])
    """
    return sc.iv(v, z)


@primitive(sc.i0e, x=lambda g, x, out: g * (sc.i1e(x) - np.sign(x) * out))
def i0e(x: Operand) -> Tensor:
    """e^(−|x|) I₀(x).   ∂/∂x = e^(−|x|) I₁(x) − sign(x) out   (:data:`scipy.special.i0e`)

    >>> import tinytensor as tt
    >>> tt.special.i0e(tt.tensor([0.0, 1000.0]))
    tensor([1.        , 0.01261724])
    """
    return sc.i0e(x)


def _i1e_rule(g: Any, x: Any, out: Any) -> Any:
    slope = sc.i0e(x) - out / x if _nonzero(x) else 0.5 * (sc.i0e(x) + sc.ive(2, x))
    return g * (slope - np.sign(x) * out)


@primitive(sc.i1e, x=_i1e_rule)
def i1e(x: Operand) -> Tensor:
    """e^(−|x|) I₁(x).   ∂/∂x = e^(−|x|) (I₀(x) + I₂(x))/2 − sign(x) out   (:data:`scipy.special.i1e`)

    >>> import tinytensor as tt
    >>> tt.special.i1e(tt.tensor([0.0, 1000.0]))
    tensor([0.        , 0.01261093])
    """
    return sc.i1e(x)


def _ive_rule(g: Any, v: Any, z: Any, out: Any) -> Any:
    if np.iscomplexobj(z):
        raise TypeError("ive: the derivative is that of a real z, got complex numbers; use iv, which is holomorphic")
    slope = v / z * out + sc.ive(v + 1, z) if _nonzero(z) else 0.5 * (sc.ive(v - 1, z) + sc.ive(v + 1, z))
    return g * (slope - np.sign(z) * out)


@primitive(sc.ive, broadcasts=True, z=_ive_rule)
def ive(v: Any, z: Operand) -> Tensor:
    """e^(−|z|) Iᵥ(z), z real.   ∂/∂z = (v/z Iᵥ(z) + Iᵥ₊₁(z)) e^(−|z|) − sign(z) out   (:data:`scipy.special.ive`)

    >>> import tinytensor as tt
    >>> tt.special.ive(2, tt.tensor([0.0, 1000.0]))
    tensor([0.        , 0.01259202])
    """
    return sc.ive(v, z)


# --------------------------------------------------------------------------------------------------- modified, second


@primitive(sc.k0, x=lambda g, x: -g * sc.k1(x))
def k0(x: Operand) -> Tensor:
    """K₀(x).   ∂/∂x = −K₁(x)   (:data:`scipy.special.k0`)

    >>> import tinytensor as tt
    >>> tt.special.k0(tt.tensor([1.0, 2.0]))
    tensor([0.42102444, 0.11389387])
    """
    return sc.k0(x)


@primitive(sc.k1, x=lambda g, x, out: -g * (sc.k0(x) + out / x))
def k1(x: Operand) -> Tensor:
    """K₁(x).   ∂/∂x = −K₀(x) − K₁(x)/x   (:data:`scipy.special.k1`)

    >>> import tinytensor as tt
    >>> tt.special.k1(tt.tensor([1.0, 2.0]))
    tensor([0.60190723, 0.13986588])
    """
    return sc.k1(x)


@primitive(sc.kv, broadcasts=True, z=lambda g, v, z, out: -g * (sc.kv(v - 1, z) + v / z * out))
def kv(v: Any, z: Operand) -> Tensor:
    """Kᵥ(z), of any order v.   ∂/∂z = −Kᵥ₋₁(z) − v/z Kᵥ(z)   (:data:`scipy.special.kv`)

    >>> import tinytensor as tt
    >>> tt.special.kv(2, tt.tensor([1.0, 2.0]))
    tensor([1.6248389 , 0.25375975])
    """
    return sc.kv(v, z)


@primitive(sc.kn, broadcasts=True, x=lambda g, n, x, out: -g * (sc.kv(n - 1, x) + n / x * out))
def kn(n: Any, x: Operand) -> Tensor:
    """Kₙ(x), of whole order n.   ∂/∂x = −Kₙ₋₁(x) − n/x Kₙ(x)   (:data:`scipy.special.kn`)

    >>> import tinytensor as tt
    >>> tt.special.kn(2, tt.tensor([1.0, 2.0]))
    tensor([1.6248389 , 0.25375975])
    """
    return sc.kn(n, x)


@primitive(sc.k0e, x=lambda g, x, out: g * (out - sc.k1e(x)))
def k0e(x: Operand) -> Tensor:
    """eˣ K₀(x).   ∂/∂x = out − eˣ K₁(x)   (:data:`scipy.special.k0e`)

    >>> import tinytensor as tt
    >>> tt.special.k0e(tt.tensor([1.0, 1000.0]))
    tensor([1.14446308, 0.03962832])
    """
    return sc.k0e(x)


@primitive(sc.k1e, x=lambda g, x, out: g * (out - sc.k0e(x) - out / x))
def k1e(x: Operand) -> Tensor:
    """eˣ K₁(x).   ∂/∂x = out − eˣ K₀(x) − out/x   (:data:`scipy.special.k1e`)

    >>> import tinytensor as tt
    >>> tt.special.k1e(tt.tensor([1.0, 1000.0]))
    tensor([1.63615349, 0.03964813])
    """
    return sc.k1e(x)


@primitive(sc.kve, broadcasts=True, z=lambda g, v, z, out: g * (out - sc.kve(v - 1, z) - v / z * out))
def kve(v: Any, z: Operand) -> Tensor:
    """eᶻ Kᵥ(z).   ∂/∂z = out − eᶻ Kᵥ₋₁(z) − v/z out   (:data:`scipy.special.kve`)

    >>> import tinytensor as tt
    >>> tt.special.kve(2, tt.tensor([1.0, 1000.0]))
    tensor([4.41677005, 0.03970762])
    """
    return sc.kve(v, z)


# --------------------------------------------------------------------------------------------------------------- Airy


def _airy_rule(g: Any, z: Any, out: Any) -> Any:
    slopes = (out[1], z * out[0], out[3], z * out[2])
    return sum([gk * slope for gk, slope in zip(g, slopes, strict=True) if gk is not None])


@primitive(sc.airy, outputs=True, z=_airy_rule)
def airy(z: Operand) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ai(z), Ai′(z), Bi(z), Bi′(z).   Ai″ = z Ai, Bi″ = z Bi   (:data:`scipy.special.airy`)

    >>> import tinytensor as tt
    >>> [round(float(part), 4) for part in tt.special.airy(0.0)]
    [0.355, -0.2588, 0.6149, 0.4483]
    """
    return sc.airy(z)
