"""Normalisation layers: over a batch, over features, over groups of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, traced
from tinytensor.graph import no_grad
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter, as_input, floating
from tinytensor.ops import normalization as f
from tinytensor.primitive import TensorBase, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import DType, Operand

__all__ = [
    "BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "LayerNorm", "RMSNorm", "batch_norm",
    "instance_norm",
]  # fmt: skip


def _channels(x: Any, op: str, **given: Any) -> Any:
    """x (N, C, ...) as an array or a tensor, after what is given for each channel was found to fit."""
    if not isinstance(x, TensorBase):
        x = asarray(x)
    if x.ndim < 2:
        raise ValueError(f"{op}: expected x (N, C, ...), got shape {x.shape}")
    for name, value in given.items():
        if value is not None and value.shape != (x.shape[1],):
            raise ValueError(f"{op}: expected {name} of shape ({x.shape[1]},), got {value.shape}")
        if name.startswith("running") and getattr(value, "requires_grad", False):
            raise TypeError(f"{op}: {name} must not require grad: it is not learned, but written into")
    return x


def _share_of_one(count: Any, running: Any) -> Any:
    """1 / count: as a number, or as an array of the statistics' dtype, if the program is traced."""
    return (1 / count).astype(running.dtype) if traced(count) else 1 / float(count.item())


def _move(running: Any, value: Any, momentum: float) -> None:
    """running ← (1 − momentum) · running + momentum · value, in place."""
    running += (value - running) * momentum


def _need_several(x: Any, op: str) -> int:
    """The number of values of each channel, which must be at least two in training."""
    n: int = x.size // max(x.shape[1], 1)
    if n < 2:
        raise ValueError(f"{op}: training needs more than one value for each channel, got x of shape {x.shape}")
    return n


def batch_norm(
    input: Operand,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean)/√(var + ε) · weight + bias for each channel of x (N, C, ...).   (``torch.nn.functional.batch_norm``)

    In training mean and variance are those of the batch, and the running ones, if given, move towards them (towards the
    unbiased variance) by the share ``momentum``; otherwise they are the running ones. Ioffe and Szegedy, 2015.

    >>> import tinytensor as tt
    >>> tt.nn.functional.batch_norm(tt.tensor([[1.0], [3.0]]), training=True).round(3)
    tensor([[-1.],
            [ 1.]])
    """
    a = _channels(input, "batch_norm", running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    if training:
        n = _need_several(a, "batch_norm")
        y, mean, var = f.batch_statistics(a, weight, bias, eps)
        with no_grad():
            if running_mean is not None:
                _move(running_mean, mean, momentum)
            if running_var is not None:
                _move(running_var, var * (n / (n - 1)), momentum)
        return y  # type: ignore[no-any-return]
    if running_mean is None or running_var is None:
        raise ValueError("batch_norm: without training, running_mean and running_var are needed")
    scale: Any = 1 / np.sqrt(running_var + eps)
    if weight is not None:
        scale = scale * weight
    shift: Any = -running_mean * scale
    if bias is not None:
        shift = shift + bias
    if a.ndim > 2:
        each = (-1, *[1] * (a.ndim - 2))
        scale, shift = scale.reshape(each), shift.reshape(each)
    return a * scale + shift  # type: ignore[no-any-return]


def instance_norm(
    input: Operand,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x − mean)/√(var + ε) · weight + bias over each channel of each sample of x (N, C, ...).

    Running statistics, if given, move towards the means of the samples' by the share ``momentum``; without
    ``use_input_stats`` they take the place of the samples' own. Follows ``torch.nn.functional.instance_norm``; Ulyanov,
    Vedaldi and Lempitsky, 2016.

    >>> import tinytensor as tt
    >>> tt.nn.functional.instance_norm(tt.tensor([[[1.0, 3.0], [0.0, 8.0]]])).round(3)
    tensor([[[-1.,  1.],
             [-1.,  1.]]])
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, 0.0, eps)
    a = _channels(input, "instance_norm", running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    n = math.prod(a.shape[2:])
    if a.ndim < 3 or n < 2:
        raise ValueError(f"instance_norm: expected x (N, C, ...) with more than one value each, got {a.shape}")
    y, mean, var = f.instance_statistics(a, weight, bias, eps)
    with no_grad():
        if running_mean is not None:
            _move(running_mean, np.mean(mean, 0), momentum)
        if running_var is not None:
            _move(running_var, np.mean(var, 0) * (n / (n - 1)), momentum)
    return y  # type: ignore[no-any-return]


class _Affine(Module):
    """A normalisation with a weight of ones and a bias of zeros, if it has them."""

    weight: Parameter | None
    bias: Parameter | None
    names: tuple[str, ...] = ()

    def _make(self, shape: tuple[int, ...], weight: bool, bias: bool, dtype: DType) -> None:
        self._kind = floating(dtype)
        self.weight = Parameter(np.ones(shape), self._kind) if weight else None
        self.bias = Parameter(np.zeros(shape), self._kind) if bias else None

    def _input(self, x: Operand) -> Any:
        """x in the dtype of the parameters, or of the running mean; without any a floating one as it is."""
        like = self.weight if self.weight is not None else vars(self).get("running_mean")
        own = type(self).__name__
        if like is not None:
            return as_input(x, like._data.dtype, own)
        dtype = getattr(x, "dtype", self._kind)
        return as_input(x, dtype if dtype.kind == "f" else self._kind, own)

    def reset_parameters(self) -> None:
        """Ones and zeros again."""
        with no_grad():
            if self.weight is not None:
                self.weight[...] = 1.0
            if self.bias is not None:
                self.bias[...] = 0.0

    def extra_repr(self) -> str:
        """The options, the first without its name."""
        shown = {name: getattr(self, name) for name in self.names}
        if "bias" in shown:
            shown["bias"] = self.bias is not None
        first, *names = self.names
        return ", ".join([str(shown[first]), *(f"{name}={shown[name]}" for name in names)])


class _Tracking(_Affine):
    """A normalisation of channels with running statistics, if it has them."""

    names = ("num_features", "eps", "momentum", "affine", "bias", "track_running_stats")
    ndims: tuple[int, ...] = ()
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def _set_up(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track: bool, dtype: DType, bias: bool
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track
        self._make((num_features,), affine, affine and bias, dtype)
        made = [np.zeros(num_features, self._kind), np.ones(num_features, self._kind), np.zeros((), np.int64)]
        for name, value in zip(("running_mean", "running_var", "num_batches_tracked"), made, strict=True):
            self.register_buffer(name, wrap(value, None) if track else None)

    def reset_parameters(self) -> None:
        """Ones and zeros again, and no batches seen."""
        self.reset_running_stats()
        super().reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches seen."""
        for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                buffer[...] = value

    def _refuse(self, shape: tuple[int, ...], dims: list[str]) -> None:
        raise ValueError(f"{type(self).__name__}: expected x {' or '.join(dims)}, got shape {shape}")


class _BatchNorm(_Tracking):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DType = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._set_up(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, ...) of the same shape."""
        a, own = self._input(x), type(self).__name__
        if a.ndim not in self.ndims or a.shape[1] != self.num_features:
            self._refuse(a.shape, [f"(N, {self.num_features}{', …' * (n - 2)})" for n in self.ndims])
        if not self.training and self.running_mean is not None:
            return batch_norm(a, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        momentum = 0.0 if self.momentum is None else self.momentum
        _need_several(a, own)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
            if self.momentum is None:  # the mean of all batches
                momentum = _share_of_one(self.num_batches_tracked._data, self.running_mean)
        return batch_norm(a, self.running_mean, self.running_var, self.weight, self.bias, True, momentum, self.eps)


class BatchNorm1d(_BatchNorm):
    """Each channel of x (N, C) or (N, C, L) to mean 0 and variance 1 over the batch.   (``torch.nn.BatchNorm1d``)

    In evaluation mode by the running statistics: see :func:`tinytensor.nn.functional.batch_norm`. ``momentum`` None:
    the mean of all batches so far.

    >>> import tinytensor as tt
    >>> layer = tt.nn.BatchNorm1d(1)
    >>> layer(tt.tensor([[1.0], [3.0]])).detach().round(3)
    tensor([[-1.],
            [ 1.]], dtype=float32)
    >>> layer.running_mean
    tensor([0.2], dtype=float32)
    """

    ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Each channel of x (N, C, H, W) to mean 0 and variance 1 over the batch.   (``torch.nn.BatchNorm2d``)

    >>> import tinytensor as tt
    >>> tt.nn.BatchNorm2d(3)(tt.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    ndims = (4,)


class _InstanceNorm(_Tracking):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: DType = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self._set_up(num_features, eps, momentum, affine, track_running_stats, dtype, bias)

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, ...) or (C, ...) of the same shape."""
        a, c, ndim = self._input(x), self.num_features, self.ndims[0]
        alone = a.ndim == ndim - 1
        if a.ndim not in (ndim, ndim - 1) or a.shape[0 if alone else 1] != c:
            self._refuse(a.shape, [f"({lead}{c}{', …' * (ndim - 2)})" for lead in ("N, ", "")])
        own = self.training or not self.track_running_stats
        y = instance_norm(
            a[None] if alone else a, self.running_mean, self.running_var, self.weight, self.bias, own,
            0.0 if self.momentum is None else self.momentum, self.eps,
        )  # fmt: skip
        return y[0] if alone else y


class InstanceNorm1d(_InstanceNorm):
    """Each channel of each sample of x (N, C, L) to mean 0 and variance 1.   (``torch.nn.InstanceNorm1d``)

    x may be (C, L) too. With ``track_running_stats`` evaluation uses running statistics.

    >>> import tinytensor as tt
    >>> tt.nn.InstanceNorm1d(3)(tt.ones((2, 3, 4))).shape
    (2, 3, 4)
    """

    ndims = (3,)


class InstanceNorm2d(_InstanceNorm):
    """Each channel of each sample of x (N, C, H, W) or (C, H, W) to mean 0 and variance 1.   (``torch.nn.InstanceNorm2d``)

    >>> import tinytensor as tt
    >>> tt.nn.InstanceNorm2d(3)(tt.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    ndims = (4,)


class _OverLast(_Affine):
    names: tuple[str, ...] = ("normalized_shape", "eps", "elementwise_affine")

    def _set(self, shape: int | Sequence[int], eps: float | None, affine: bool, bias: bool, dtype: DType) -> None:
        self.normalized_shape = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(shape)
        self.eps, self.elementwise_affine = eps, affine
        self._make(self.normalized_shape, affine, affine and bias, dtype)


class LayerNorm(_OverLast):
    """The last axes of x to mean 0 and variance 1, then scaled and shifted.   (``torch.nn.LayerNorm``)

    See :func:`tinytensor.nn.functional.layer_norm`; parameters of shape ``normalized_shape``.

    >>> import tinytensor as tt
    >>> tt.nn.LayerNorm(2)(tt.tensor([[1.0, 3.0]])).detach().round(3)
    tensor([[-1.,  1.]], dtype=float32)
    """

    names = ("normalized_shape", "eps", "elementwise_affine", "bias")

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        self._set(normalized_shape, eps, elementwise_affine, bias, dtype)

    def forward(self, x: Operand) -> Tensor:
        """x (..., *normalized_shape)."""
        eps = 1e-5 if self.eps is None else self.eps
        return f.layer_norm(self._input(x), self.normalized_shape, self.weight, self.bias, eps)


class RMSNorm(_OverLast):
    """The last axes of x divided by their root mean square, then scaled.   (``torch.nn.RMSNorm``)

    See :func:`tinytensor.nn.functional.rms_norm`; ``eps`` None: that of the dtype.

    >>> import tinytensor as tt
    >>> tt.nn.RMSNorm(2)(tt.tensor([[1.0, 7.0]])).detach().round(3)
    tensor([[0.2, 1.4]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        self._set(normalized_shape, eps, elementwise_affine, False, dtype)

    def forward(self, x: Operand) -> Tensor:
        """x (..., *normalized_shape)."""
        return f.rms_norm(self._input(x), self.normalized_shape, self.weight, self.eps)


class GroupNorm(_Affine):
    """Each group of channels of x (N, C, ...) to mean 0 and variance 1.   (``torch.nn.GroupNorm``)

    See :func:`tinytensor.nn.functional.group_norm`.

    >>> import tinytensor as tt
    >>> tt.nn.GroupNorm(2, 6)(tt.ones((5, 6, 4))).shape
    (5, 6, 4)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, dtype: DType = None,
        bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: {num_channels} channels cannot be divided into {num_groups} groups")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        self._make((num_channels,), affine, affine and bias, dtype)

    def extra_repr(self) -> str:
        """The options, the first two without their names."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={self.bias is not None}"

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, ...) of the same shape."""
        a = self._input(x)
        if a.ndim < 2 or a.shape[1] != self.num_channels:
            raise ValueError(f"GroupNorm: expected x (N, {self.num_channels}, …), got shape {a.shape}")
        return f.group_norm(a, self.num_groups, self.weight, self.bias, self.eps)
