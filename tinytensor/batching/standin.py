"""``StandIn``: what stands for a tensor whose values a function must not ask for, because they are many, or not yet known.

A batch under :func:`tinytensor.vmap` and a value of a model that is being exported are such. Both know shape and dtype,
and let NumPy's functions do the rest: those find the class by NumPy's own protocols.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.ops import shape as shapes
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.typing import Axis, Operand

__all__ = ["StandIn"]


class StandIn(Tensor):
    """A tensor without values; the classes below it say what they know: ``shape``, ``dtype``, ``_data`` (which refuses).

    Example: :func:`tinytensor.vmap`.
    """

    __slots__ = ()

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    @property
    def mT(self) -> Tensor:
        return shapes.swapaxes(self, -2, -1)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self._data

    # ---------------------------------------------------------------------------------- positions, booleans, comparisons

    def argmax(self, axis: Any = None, keepdims: bool = False, dim: Any = None, keepdim: bool = False) -> Tensor:
        return np.argmax(self, axis if dim is None else dim, keepdims=keepdims or keepdim)  # type: ignore[no-any-return]

    def argmin(self, axis: Any = None, keepdims: bool = False, dim: Any = None, keepdim: bool = False) -> Tensor:
        return np.argmin(self, axis if dim is None else dim, keepdims=keepdims or keepdim)  # type: ignore[no-any-return]

    def any(self, axis: Axis = None, keepdims: bool = False, dim: Axis = None, keepdim: bool = False) -> Tensor:
        return np.any(self, axis if dim is None else dim, keepdims=keepdims or keepdim)  # type: ignore[no-any-return]

    def all(self, axis: Axis = None, keepdims: bool = False, dim: Axis = None, keepdim: bool = False) -> Tensor:
        return np.all(self, axis if dim is None else dim, keepdims=keepdims or keepdim)  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return np.equal(self, other)  # type: ignore[call-overload, no-any-return]

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return np.not_equal(self, other)  # type: ignore[call-overload, no-any-return]

    def __lt__(self, other: Operand) -> Tensor:
        return np.less(self, other)  # type: ignore[return-value]

    def __le__(self, other: Operand) -> Tensor:
        return np.less_equal(self, other)  # type: ignore[return-value]

    def __gt__(self, other: Operand) -> Tensor:
        return np.greater(self, other)  # type: ignore[return-value]

    def __ge__(self, other: Operand) -> Tensor:
        return np.greater_equal(self, other)  # type: ignore[return-value]

    def __and__(self, other: Operand) -> Tensor:
        return np.bitwise_and(self, other)  # type: ignore[return-value]

    def __or__(self, other: Operand) -> Tensor:
        return np.bitwise_or(self, other)  # type: ignore[return-value]

    def __xor__(self, other: Operand) -> Tensor:
        return np.bitwise_xor(self, other)  # type: ignore[return-value]

    def __invert__(self) -> Tensor:
        return np.invert(self)  # type: ignore[return-value]

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__
    __hash__ = Tensor.__hash__
