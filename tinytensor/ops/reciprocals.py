"""Trigonometric functions that NumPy lacks: 1/tan, 1/sin, 1/cos, their hyperbolic kin, and the inverses of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.ops.elementwise import div0
from tinytensor.primitive import primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "arccot", "arccoth", "arccsc", "arccsch", "arcsec", "arcsech", "cot", "coth", "csc", "csch", "sec", "sech",
]  # fmt: skip


@primitive(elementwise=True, x=lambda g, out: -g * (1 + out * out))
def cot(x: Operand) -> Tensor:
    """1/tan x.   ∂/∂x = −(1 + out²)

    >>> import tinytensor as tt
    >>> tt.cot(tt.tensor(0.5)).round(4)
    tensor(1.8305)
    """
    return 1 / np.tan(x)


@primitive(elementwise=True, x=lambda g, x, out: g * (out * np.tan(x)))
def sec(x: Operand) -> Tensor:
    """1/cos x.   ∂/∂x = out · tan x

    >>> import tinytensor as tt
    >>> tt.sec(tt.tensor(0.5)).round(4)
    tensor(1.1395)
    """
    return 1 / np.cos(x)


@primitive(elementwise=True, x=lambda g, x, out: -g * (out / np.tan(x)))
def csc(x: Operand) -> Tensor:
    """1/sin x.   ∂/∂x = −out / tan x

    >>> import tinytensor as tt
    >>> tt.csc(tt.tensor(0.5)).round(4)
    tensor(2.0858)
    """
    return 1 / np.sin(x)


@primitive(elementwise=True, x=lambda g, out: g * (1 - out * out))
def coth(x: Operand) -> Tensor:
    """1/tanh x.   ∂/∂x = 1 − out²

    >>> import tinytensor as tt
    >>> tt.coth(tt.tensor(0.5)).round(4)
    tensor(2.164)
    """
    return 1 / np.tanh(x)


@primitive(elementwise=True, x=lambda g, x, out: -g * (out * np.tanh(x)))
def sech(x: Operand) -> Tensor:
    """1/cosh x.   ∂/∂x = −out · tanh x

    >>> import tinytensor as tt
    >>> tt.sech(tt.tensor(0.5)).round(4)
    tensor(0.8868)
    """
    return 1 / np.cosh(x)


@primitive(elementwise=True, x=lambda g, x, out: -g * (out / np.tanh(x)))
def csch(x: Operand) -> Tensor:
    """1/sinh x.   ∂/∂x = −out / tanh x

    >>> import tinytensor as tt
    >>> tt.csch(tt.tensor(0.5)).round(4)
    tensor(1.919)
    """
    return 1 / np.sinh(x)


@primitive(elementwise=True, x=lambda g, x: -g / (1 + x * x))
def arccot(x: Operand) -> Tensor:
    """arctan(1/x), π/2 at 0.   ∂/∂x = −1/(1 + x²)

    >>> import tinytensor as tt
    >>> tt.arccot(tt.tensor([0.0, 1.0])).round(4)
    tensor([1.5708, 0.7854])
    """
    zero = np.equal(x, 0)
    return np.where(zero, np.pi / 2, np.arctan(1 / np.where(zero, 1, x)))


def _steep(g: Any, x: Any) -> Any:
    """g / (x² √(1 − 1/x²)), which is g / (|x| √(x² − 1)) for real x."""
    square = x * x
    return div0(g, square * np.sqrt(1 - 1 / square))


@primitive(elementwise=True, x=lambda g, x: _steep(g, x))
def arcsec(x: Operand) -> Tensor:
    """arccos(1/x).   ∂/∂x = 1/(|x| √(x² − 1))

    >>> import tinytensor as tt
    >>> tt.arcsec(tt.tensor(2.0)).round(4)
    tensor(1.0472)
    """
    return np.arccos(1 / x)


@primitive(elementwise=True, x=lambda g, x: -_steep(g, x))
def arccsc(x: Operand) -> Tensor:
    """arcsin(1/x).   ∂/∂x = −1/(|x| √(x² − 1))

    >>> import tinytensor as tt
    >>> tt.arccsc(tt.tensor(2.0)).round(4)
    tensor(0.5236)
    """
    return np.arcsin(1 / x)


@primitive(elementwise=True, x=lambda g, x: g / (1 - x * x))
def arccoth(x: Operand) -> Tensor:
    """arctanh(1/x).   ∂/∂x = 1/(1 − x²)

    >>> import tinytensor as tt
    >>> tt.arccoth(tt.tensor(2.0)).round(4)
    tensor(0.5493)
    """
    return np.arctanh(1 / x)


@primitive(elementwise=True, x=lambda g, x: -div0(g, x * np.sqrt(1 - x * x)))
def arcsech(x: Operand) -> Tensor:
    """arccosh(1/x).   ∂/∂x = −1/(x √(1 − x²))

    >>> import tinytensor as tt
    >>> tt.arcsech(tt.tensor(0.5)).round(4)
    tensor(1.317)
    """
    return np.arccosh(1 / x)


@primitive(elementwise=True, x=lambda g, x: -div0(g, x * x * np.sqrt(1 + 1 / (x * x))))
def arccsch(x: Operand) -> Tensor:
    """arcsinh(1/x).   ∂/∂x = −1/(|x| √(1 + x²))

    >>> import tinytensor as tt
    >>> tt.arccsch(tt.tensor(2.0)).round(4)
    tensor(0.4812)
    """
    return np.arcsinh(1 / x)
