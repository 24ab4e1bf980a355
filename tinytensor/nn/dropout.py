"""Dropout: random zeros in training, nothing in evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import creation
from tinytensor.arrays import asarray
from tinytensor.nn.module import Module
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "alpha_dropout", "dropout", "dropout1d", "dropout2d"]


def _probability(p: float, op: str) -> float:
    if not isinstance(p, (int, float, np.number)) or not 0 <= p <= 1:
        raise ValueError(f"{op}: p must lie between 0 and 1, got {p!r}")
    return p


def _kept(shape: tuple[int, ...], p: float, dtype: Any, rng: creation.Generator | None) -> Any:
    """1 with probability 1 − p, else 0."""
    draws = (rng or creation.default_rng()).numpy.random(shape, np.float32 if dtype == np.float32 else np.float64)
    return (draws >= p).astype(dtype)


def _given(x: Any, op: str) -> Any:
    array: Any = x if isinstance(x, TensorBase) else asarray(x)
    if array.dtype.kind not in "fc":
        raise TypeError(f"{op}: expected floating numbers, got {array.dtype}")
    return array


def _dropped(x: Any, shape: tuple[int, ...], p: float, rng: creation.Generator | None) -> Any:
    if p == 1:
        return x * np.zeros(shape, x.dtype)
    mask = _kept(shape, p, x.dtype, rng)
    mask *= 1 / (1 - p)
    return x * mask


def dropout(
    input: Operand, p: float = 0.5, training: bool = True, inplace: bool = False, rng: creation.Generator | None = None
) -> Tensor:
    """The input x with each element 0 with probability p, the others divided by 1 − p.   (``torch.nn.functional.dropout``)

    Without ``training`` x itself. ``inplace`` is taken and ignored, as everywhere here. ``rng`` is a :func:`tinytensor.rng`, by default the shared one. Srivastava et al., 2014.

    >>> import tinytensor as tt
    >>> tt.nn.functional.dropout(tt.ones(6), 0.5, rng=tt.rng(0))
    tensor([2., 0., 0., 0., 2., 2.])
    """
    _probability(p, "dropout")
    a = _given(input, "dropout")
    return _dropped(a, a.shape, p, rng) if training and p else a  # type: ignore[no-any-return]


def _channels(x: Any, p: float, training: bool, rng: Any, dims: tuple[int, int], op: str) -> Any:
    _probability(p, op)
    x = _given(x, op)
    if x.ndim not in dims:
        raise ValueError(f"{op}: expected x with {dims[0]} axes, or {dims[1]} with a batch, got shape {x.shape}")
    if not training or p == 0:
        return x
    lead = x.ndim - dims[0] + 1
    return _dropped(x, x.shape[:lead] + (1,) * (x.ndim - lead), p, rng)


def dropout1d(
    input: Operand, p: float = 0.5, training: bool = True, inplace: bool = False, rng: creation.Generator | None = None
) -> Tensor:
    """:func:`dropout` of whole channels of the input (N, C, L) or (C, L).   (``torch.nn.functional.dropout1d``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.dropout1d(tt.ones((2, 3)), 0.5, rng=tt.rng(0))
    tensor([[2., 2., 2.],
            [0., 0., 0.]])
    """
    return _channels(input, p, training, rng, (2, 3), "dropout1d")  # type: ignore[no-any-return]


def dropout2d(
    input: Operand, p: float = 0.5, training: bool = True, inplace: bool = False, rng: creation.Generator | None = None
) -> Tensor:
    """:func:`dropout` of whole channels of the input (N, C, H, W) or (C, H, W).   (``torch.nn.functional.dropout2d``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.dropout2d(tt.ones((2, 3, 4, 4)), 0.5).shape
    (2, 3, 4, 4)
    """
    return _channels(input, p, training, rng, (3, 4), "dropout2d")  # type: ignore[no-any-return]


#: What SELU tends to far below 0.
_LOWEST = -1.7580993408473766


def alpha_dropout(
    input: Operand, p: float = 0.5, training: bool = False, inplace: bool = False, rng: creation.Generator | None = None
) -> Tensor:
    """The input with elements at SELU's lowest value with probability p, moved so that mean 0 and variance 1 stay.

    Follows ``torch.nn.functional.alpha_dropout``; Klambauer et al., Self-Normalizing Neural Networks, 2017.

    >>> import tinytensor as tt
    >>> tt.nn.functional.alpha_dropout(tt.zeros(3), 0.5, training=True, rng=tt.rng(0)).round(3)
    tensor([ 0.779, -0.779, -0.779])
    """
    _probability(p, "alpha_dropout")
    array = _given(input, "alpha_dropout")
    if not training or p == 0:
        return array  # type: ignore[no-any-return]
    if p == 1:
        return array * np.zeros((), array.dtype)  # type: ignore[no-any-return]
    a = ((1 - p) * (1 + p * _LOWEST**2)) ** -0.5
    mask = _kept(array.shape, p, array.dtype, rng)
    return array * (mask * a) + ((1 - mask) * (a * _LOWEST) - a * p * _LOWEST)  # type: ignore[no-any-return]


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False, rng: creation.Generator | None = None) -> None:
        super().__init__()
        self.p, self.inplace, self.rng = _probability(p, type(self).__name__), inplace, rng

    def extra_repr(self) -> str:
        """p, and what is ignored."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Random zeros in training: see :func:`tinytensor.nn.functional.dropout`.   (``torch.nn.Dropout``)

    >>> import tinytensor as tt
    >>> tt.nn.Dropout(0.5, rng=tt.rng(0))(tt.ones(6)), tt.nn.Dropout(0.5).eval()(tt.ones(2))
    (tensor([2., 0., 0., 0., 2., 2.]), tensor([1., 1.]))
    """

    def forward(self, x: Operand) -> Tensor:
        """Any shape."""
        return dropout(x, self.p, self.training, rng=self.rng)


class Dropout1d(_Dropout):
    """Random channels 0 in training: see :func:`tinytensor.nn.functional.dropout1d`.   (``torch.nn.Dropout1d``)"""

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, L) or (C, L)."""
        return dropout1d(x, self.p, self.training, rng=self.rng)


class Dropout2d(_Dropout):
    """Random channels 0 in training: see :func:`tinytensor.nn.functional.dropout2d`.   (``torch.nn.Dropout2d``)"""

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, H, W) or (C, H, W)."""
        return dropout2d(x, self.p, self.training, rng=self.rng)


class AlphaDropout(_Dropout):
    """Dropout that goes with SELU: see :func:`tinytensor.nn.functional.alpha_dropout`.   (``torch.nn.AlphaDropout``)"""

    def forward(self, x: Operand) -> Tensor:
        """Any shape."""
        return alpha_dropout(x, self.p, self.training, rng=self.rng)
