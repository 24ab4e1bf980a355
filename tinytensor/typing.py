"""Type aliases of the public signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

__all__ = ["Array", "Axis", "DType", "Operand", "Shape"]

#: A NumPy array of any dtype.
Array: TypeAlias = npt.NDArray[Any]
#: What stands on either side of an operator: a tensor, a number, an array, a nested list.
Operand: TypeAlias = Union["Tensor", npt.ArrayLike]
#: One axis, several, or all.
Axis: TypeAlias = int | tuple[int, ...] | None
#: The shape of a new array.
Shape: TypeAlias = int | Sequence[int]
#: What ``numpy.dtype()`` accepts.
DType: TypeAlias = type[Any] | np.dtype[Any] | str | None
