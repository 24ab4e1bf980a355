"""The table of vectors that stand for words, or whatever is numbered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import creation
from tinytensor.arrays import asarray, zeros
from tinytensor.deferred import Deferred
from tinytensor.graph import assured
from tinytensor.inplace import updating
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter, floating, sizes
from tinytensor.ops import embedding as f
from tinytensor.primitive import TensorBase, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import DType

__all__ = ["Embedding", "one_hot"]


def one_hot(tensor: Any, num_classes: int = -1) -> Tensor:
    """Integers (...) as rows of zeros with a 1, (..., classes); −1: as many as needed.   (``torch.nn.functional.one_hot``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.one_hot([0, 2])
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    try:
        array = tensor._data if isinstance(tensor, TensorBase) else asarray(tensor)
    except Deferred:  # numbers that are not known yet, of a model that is being exported
        if num_classes == -1:
            raise TypeError(
                "one_hot: num_classes=-1 asks for the values of the numbers; say how many classes"
            ) from None
        rows: Tensor = np.equal(tensor[..., None], np.arange(num_classes)).astype(np.int64)
        return rows
    if num_classes == -1:
        num_classes = int(array.max()) + 1 if array.size else 0
    array = f.checked_classes(array, num_classes, "one_hot", "the numbers")
    hot = zeros((*array.shape, num_classes), np.int64, array)
    np.put_along_axis(hot, array[..., None], 1, -1)
    return wrap(hot, None)  # type: ignore[no-any-return]


class Embedding(Module):
    """Row x of a learned table (num_embeddings, embedding_dim), drawn from N(0, 1).   (``torch.nn.Embedding``)

    The row ``padding_idx`` begins as zeros and gets no gradient. Rows longer than ``max_norm``, by the norm ``norm_type``, are
    shortened when they are looked up. Inputs are integers of any shape.

    >>> import tinytensor as tt
    >>> table = tt.nn.Embedding(10, 3, padding_idx=0)
    >>> table([[1, 2, 0, 0]]).shape
    (1, 4, 3)
    """

    weight: Parameter

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None,
        norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False, dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes("Embedding", 0, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx must lie within the {num_embeddings} rows, got {padding_idx}")
        if scale_grad_by_freq or sparse:
            raise NotImplementedError("Embedding: scale_grad_by_freq and sparse gradients are not supported")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.max_norm, self.norm_type = max_norm, norm_type
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), floating(dtype)))
        self.reset_parameters(rng)

    def reset_parameters(self, rng: creation.Generator | None = None) -> None:
        """Draw the table anew."""
        table = (rng or creation.default_rng()).numpy.standard_normal(self.weight.shape)
        if self.padding_idx is not None:
            table[self.padding_idx] = 0
        updating(self.weight)[...] = table

    @classmethod
    def from_pretrained(cls, weight: Any, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """A table with these rows, not learned unless ``freeze`` is False."""
        array = weight._data if isinstance(weight, TensorBase) else asarray(weight)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise ValueError(f"from_pretrained: expected a floating matrix (n, d), got {array.dtype} {array.shape}")
        made = cls(1, 1, dtype=array.dtype, rng=creation.rng(0))
        made.num_embeddings, made.embedding_dim = array.shape
        made.padding_idx = padding_idx
        made.weight = Parameter(array, requires_grad=not freeze)
        return made

    def forward(self, x: Any) -> Tensor:
        """Integers (...) → (..., embedding_dim)."""
        if self.max_norm is not None:
            self._shorten(x, self.max_norm)
        return f.embedding(x, self.weight, self.padding_idx)

    def _shorten(self, x: Any, max_norm: float) -> None:
        """The rows that are looked up and longer than allowed, made as long as allowed, in place."""
        rows = np.unique(f.checked_classes(x, self.num_embeddings, "Embedding", "indices"))
        length = np.linalg.norm(self.weight._data[rows], self.norm_type, 1)
        long = length > max_norm
        if assured(np.any, long):
            updating(self.weight)[rows[long]] *= (max_norm / (length[long] + 1e-7))[:, None]

    def extra_repr(self) -> str:
        """Sizes, and the padding."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        longest = "" if self.max_norm is None else f", max_norm={self.max_norm}"
        other = "" if self.norm_type == 2 else f", norm_type={self.norm_type}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}{longest}{other}"
