"""Complex numbers: real and imaginary parts, conjugate, angle.

The walk carries g = ∂L/∂Re z − i ∂L/∂Im z, so that dL = Re(g · dz): a holomorphic rule is the real one. The functions
here are not holomorphic; their rules say what becomes of g.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import traced
from tinytensor.graph import assured
from tinytensor.primitive import primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["angle", "conj", "imag", "real", "real_if_close"]


@primitive(np.real, elementwise=True, x=lambda g: g)
def real(x: Operand) -> Tensor:
    """Re x, a view.   ∂/∂x = 1   (:func:`numpy.real`)

    >>> import tinytensor as tt
    >>> tt.real(tt.tensor([1 + 2j, 3.0]))
    tensor([1., 3.])
    """
    return np.real(x)


def _imag_rule(g: Any, x_dtype: Any) -> Any:
    return g * -1j if x_dtype.kind == "c" else np.zeros_like(g)


@primitive(np.imag, elementwise=True, x=_imag_rule)
def imag(x: Operand) -> Tensor:
    """Im x, a view; zeros for real x.   ∂/∂x = −i, as Im x = Re(−i x)   (:func:`numpy.imag`)

    >>> import tinytensor as tt
    >>> tt.imag(tt.tensor([1 + 2j, 3.0]))
    tensor([2., 0.])
    """
    return np.imag(x)


@primitive(np.conjugate, x=lambda g: g.conj())
def conj(x: Operand) -> Tensor:
    """Re x − i Im x; real x stays.   ḡ is its derivative times g   (:func:`numpy.conj`)

    >>> import tinytensor as tt
    >>> tt.conj(tt.tensor([1 + 2j, 3.0]))
    tensor([1.-2.j, 3.-0.j], dtype=complex128)
    """
    return np.conjugate(x)


def _angle_rule(g: Any, x: Any, deg: bool) -> Any:
    if x.dtype.kind != "c":
        return np.zeros_like(g)
    origin = x == 0
    return np.where(origin, 0, (g * (-180j / math.pi if deg else -1j)) / np.where(origin, 1, x))


@primitive(np.angle, elementwise=True, x=_angle_rule)
def angle(x: Operand, deg: bool = False) -> Tensor:
    """arg x in radians, or degrees, between −π and π.   ∂/∂x = −i/x (0 at 0, and for real x)   (:func:`numpy.angle`)

    >>> import tinytensor as tt
    >>> tt.angle(tt.tensor([1j, -1.0, 0.0]), deg=True)
    tensor([ 90., 180.,   0.])
    """
    return np.angle(x, deg)


def _is_real(x: Any, tol: float) -> bool:
    return bool(np.real_if_close(x, tol).dtype.kind != "c")


@primitive(np.real_if_close, elementwise=True, x=lambda g: g)
def real_if_close(x: Operand, tol: float = 100) -> Tensor:
    """Re x if every |Im x| is below ``tol`` times the dtype's epsilon, else x.   (:func:`numpy.real_if_close`)

    >>> import tinytensor as tt
    >>> tt.real_if_close(tt.tensor([1 + 1e-16j, 3.0]))
    tensor([1., 3.])
    """
    if traced(x):
        return np.real(x) if assured(_is_real, x, tol) else x
    return np.real_if_close(x, tol)
