"""Rows of a table by their numbers, and the gradient added into the rows that were taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, traced, zeros
from tinytensor.deferred import Deferred
from tinytensor.graph import assured
from tinytensor.ops.indexing import _add_taken
from tinytensor.primitive import TensorBase, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["checked_classes", "embedding"]


def _add_rows(accumulator: Any, g: Any, indices: Any, padding_idx: int | None) -> None:
    if padding_idx is not None:
        real = indices != padding_idx
        if traced(g):  # how many are real depends on values
            g = np.where(np.expand_dims(real, -1), g, 0)
        else:
            g, indices = g[real], indices[real]
    _add_taken(accumulator, g, indices, 0)


def _rows_rule(g: Any, indices: Any, padding_idx: int | None) -> Any:
    rows = _embedding(g, indices, padding_idx)
    return rows if padding_idx is None else np.where(np.expand_dims(indices != padding_idx, -1), rows, 0)


@primitive(x=_rows_rule)
def _added_rows(x: Any, indices: Any, padding_idx: int | None, shape: tuple[int, ...]) -> Any:
    """The transpose of :func:`embedding`: zeros into which the rows x are added."""
    out = zeros(shape, x.dtype, x)
    _add_rows(out, x, indices, padding_idx)
    return out


@primitive(
    weight=lambda g, indices, padding_idx, weight_shape: _added_rows(g, indices, padding_idx, weight_shape),
    into={"weight": _add_rows},
)
def _embedding(weight: Any, indices: Any, padding_idx: int | None) -> Any:
    return weight.take(indices, 0)


def checked_classes(indices: Any, n: int, op: str, what: str) -> Any:
    """``indices`` as an integer array whose elements lie in 0 … n − 1; TypeError and ValueError if not."""
    array = indices._data if isinstance(indices, TensorBase) else asarray(indices)
    if array.dtype.kind not in "iu":
        if array.size:
            raise TypeError(f"{op}: {what} must be integers, got {array.dtype}")
        array = array.astype(np.intp)
    array = array if array.dtype == np.intp else array.astype(np.intp)
    if array.size and assured(_largest_reaches, array, n):
        raise ValueError(f"{op}: {what} must lie in 0 … {n - 1}, got {array.min()} … {array.max()}")
    return array


def _largest_reaches(array: Any, n: int) -> bool:
    return bool(np.maximum.reduce(array.view(np.uintp), None) >= n)  # a negative one is a very large one


def embedding(input: Any, weight: Operand, padding_idx: int | None = None) -> Tensor:
    """weight[input]: the rows of a table (n, d) with these numbers, of any shape.   (``torch.nn.functional.embedding``)

    ∂/∂weight: g, added into the rows that were taken, but not into ``padding_idx``.

    >>> import tinytensor as tt
    >>> tt.nn.functional.embedding([[0, 2]], tt.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    tensor([[[1., 2.],
             [5., 6.]]])
    """
    table: Any = weight if isinstance(weight, TensorBase) else asarray(weight)
    if table.ndim != 2:
        raise ValueError(f"embedding: weight must be a matrix (n, d), got shape {table.shape}")
    n = table.shape[0]
    if padding_idx is not None:
        if not -n <= padding_idx < n:
            raise ValueError(f"embedding: padding_idx must lie within the {n} rows, got {padding_idx}")
        padding_idx %= n
    try:  # noqa: SIM105
        input = checked_classes(input, n, "embedding", "indices")
    except Deferred:  # numbers that are not known yet, of a model that is being exported
        pass
    return _embedding(table, input, padding_idx)
