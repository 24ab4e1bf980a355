"""``Standardize``: mean and standard deviation of the training data, kept with the model that was trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tinytensor.nn.module import Module
from tinytensor.nn.parameter import get_default_dtype
from tinytensor.primitive import TensorBase
from tinytensor.tensor import Tensor, tensor
from tinytensor.typing import Array

__all__ = ["Standardize"]

_CHUNK = 1 << 20  # numbers looked at together: a file larger than memory is read once, a piece at a time


class Standardize(Module):
    """y = (x − mean) / scale, feature by feature; a feature without spread has scale 1.

    A module whose ``mean`` and ``scale`` (float64 buffers) come from :meth:`fit`, on the training samples only. As the first
    layer of a model it is saved and loaded with it, and the model takes raw numbers. Arrays give arrays, tensors tensors,
    floating ones in their own dtype. Shapes: (n, *features) → the same.

    >>> import numpy as np, tinytensor as tt
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> standardize = tt.data.Standardize(2).fit(x)
    >>> standardize(x)
    array([[-1., -1.],
           [ 1.,  1.]])
    >>> list(tt.nn.Sequential(standardize, tt.nn.Linear(2, 1)).state_dict())
    ['0.mean', '0.scale', '1.weight', '1.bias']
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, *features: int) -> None:
        super().__init__()
        if not features or not all(isinstance(n, int) and n > 0 for n in features):
            raise ValueError(f"Standardize: expected the shape of a sample, such as Standardize(2), got {features}")
        self.features = features
        self.register_buffer("mean", tensor(np.zeros(features)))
        self.register_buffer("scale", tensor(np.ones(features)))

    def fit(self, x: Any) -> Standardize:
        """Take mean and standard deviation (ddof 0) from samples (n, *features), summed in float64; returns the module.

        Memory-mapped arrays are read piece by piece. Raises ValueError, with nothing changed, for another shape, no samples,
        and numbers that are not finite.
        """
        array = x._data if isinstance(x, TensorBase) else x if isinstance(x, np.ndarray) else np.asarray(x)
        self._check(array, "fit")
        if not len(array):
            raise ValueError("Standardize.fit: expected at least one sample, got none")
        count, mean, squares = 0, np.zeros(self.features), np.zeros(self.features)
        for piece in _pieces(array):
            part = piece.mean(0)
            if not np.isfinite(part).all():
                where = np.argwhere(~np.isfinite(part))[0].tolist()
                raise ValueError(
                    f"Standardize.fit: feature {where} holds nan or infinity; fill or leave out such samples"
                )
            total, shift = count + len(piece), part - mean
            squares += ((piece - part) ** 2).sum(0) + shift**2 * (
                count * len(piece) / total
            )  # Chan, Golub, LeVeque 1979
            mean, count = mean + shift * (len(piece) / total), total
        scale = np.sqrt(squares / count)
        self.mean.data[...] = mean
        self.scale.data[...] = np.where(scale > 0, scale, 1.0)
        return self

    def _check(self, x: Any, what: str) -> None:
        if x.dtype.kind not in "biuf" or x.shape[1:] != self.features or x.ndim != len(self.features) + 1:
            expected = ", ".join(map(str, ("n", *self.features)))
            raise ValueError(f"Standardize.{what}: expected numbers of shape ({expected}), got {x.dtype} {x.shape}")

    def forward(self, x: Any) -> Any:
        """Samples with the training samples' mean 0 and standard deviation 1."""
        x = x if isinstance(x, TensorBase) else np.asarray(x)
        self._check(x, "forward")
        return self._as(x, (x - self.mean.data) / self.scale.data)

    def inverse(self, y: Any) -> Any:
        """x = y · scale + mean."""
        y = y if isinstance(y, TensorBase) else np.asarray(y)
        self._check(y, "inverse")
        return self._as(y, y * self.scale.data + self.mean.data)

    def _as(self, x: Any, y: Any) -> Any:
        dtype = x.dtype if x.dtype.kind == "f" else get_default_dtype()
        return y if y.dtype == dtype else y.astype(dtype)

    def extra_repr(self) -> str:
        """The shape of a sample."""
        return ", ".join(map(str, self.features))


def _pieces(array: Array) -> Iterator[Array]:
    rows = max(1, _CHUNK // max(1, array[0].size))
    return (np.asarray(array[k : k + rows], np.float64) for k in range(0, len(array), rows))
