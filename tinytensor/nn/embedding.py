"""The table of vectors that stand for words, or whatever is numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import creation
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter, floating
from tinytensor.ops import embedding as f
from tinytensor.primitive import TensorBase, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import DType

__all__ = ["Embedding", "one_hot"]


def one_hot(x: Any, num_classes: int = -1) -> Tensor:
    """Integers (...) as rows of zeros with a 1, (..., classes); −1: as many as needed.   (``torch.nn.functional.one_hot``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.one_hot([0, 2])
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    array = x._data if isinstance(x, TensorBase) else np.asarray(x)
    if num_classes == -1:
        num_classes = int(array.max()) + 1 if array.size else 0
    array = f.checked_classes(array, num_classes, "one_hot", "the numbers")
    hot = np.zeros((*array.shape, num_classes), np.int64)
    np.put_along_axis(hot, array[..., None], 1, -1)
    return wrap(hot, None)  # type: ignore[no-any-return]


class Embedding(Module):
    """Row x of a learned table (num_embeddings, embedding_dim), drawn from N(0, 1).   (``torch.nn.Embedding``)

    The row ``padding_idx`` begins as zeros and gets no gradient. Inputs are integers of any shape.

    >>> import tinytensor as tt
    >>> table = tt.nn.Embedding(10, 3, padding_idx=0)
    >>> table([[1, 2, 0, 0]]).shape
    (1, 4, 3)
    """

    weight: Parameter

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx must lie within the {num_embeddings} rows, got {padding_idx}")
        draw = (rng or creation.default_rng()).numpy
        table = draw.standard_normal((num_embeddings, embedding_dim))
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        if padding_idx is not None:
            table[padding_idx] = 0
        self.weight = Parameter(table, floating(dtype))

    @classmethod
    def from_pretrained(cls, weight: Any, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """A table with these rows, not learned unless ``freeze`` is False."""
        array = weight._data if isinstance(weight, TensorBase) else np.asarray(weight)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise ValueError(f"from_pretrained: expected a floating matrix (n, d), got {array.dtype} {array.shape}")
        made = cls(1, 1, None, array.dtype, creation.rng(0))
        made.num_embeddings, made.embedding_dim = array.shape
        made.padding_idx = padding_idx
        made.weight = Parameter(array, array.dtype, not freeze)
        return made

    def forward(self, x: Any) -> Tensor:
        """Integers (...) → (..., embedding_dim)."""
        return f.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """Sizes, and the padding."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
