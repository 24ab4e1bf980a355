"""Convolution layers, and what flattens their outputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import creation
from tinytensor.inplace import updating
from tinytensor.nn.module import Module
from tinytensor.nn.padding import pad
from tinytensor.nn.parameter import Parameter, as_input, floating, sizes
from tinytensor.ops import conv
from tinytensor.ops.conv import numbers

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import DType, Operand

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Flatten"]


class _Convolution(Module):
    """What the four have in common: options for each axis, kernels and biases, and how they are shown."""

    weight: Parameter
    bias: Parameter | None
    _axes = 2
    _transposed = False

    def _set_up(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        groups: int, bias: bool, padding_mode: str, dtype: DType, rng: creation.Generator | None,
    ) -> None:  # fmt: skip
        op, n = type(self).__name__, self._axes
        sizes(op, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{op}: groups must divide in_channels and out_channels, got {groups}, {in_channels} and {out_channels}"
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = numbers(kernel_size, n, "kernel_size", op)
        self.stride, self.dilation = numbers(stride, n, "stride", op), numbers(dilation, n, "dilation", op)
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{op}: padding must be numbers, 'same' or 'valid', got {padding!r}")
        if padding == "same" and max(self.stride) > 1:
            raise ValueError(f"{op}: padding='same' needs stride 1, got {self.stride}")
        self.padding = padding if isinstance(padding, str) else numbers(padding, n, "padding", op, 0)
        modes = ("zeros",) if self._transposed else ("zeros", "reflect", "replicate", "circular")
        if padding_mode not in modes:
            raise ValueError(f"{op}: padding_mode must be {' or '.join(map(repr, modes))}, got {padding_mode!r}")
        self.padding_mode = padding_mode
        first, second = (in_channels, out_channels) if self._transposed else (out_channels, in_channels)
        shape = (first, second // groups, *self.kernel_size)
        kind = floating(dtype)
        self.weight = Parameter(np.empty(shape, kind))
        self.bias = Parameter(np.empty(out_channels, kind)) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: creation.Generator | None = None) -> None:
        """Draw weight and bias anew."""
        draw = (rng or creation.default_rng()).numpy
        bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                updating(parameter)[...] = draw.uniform(-bound, bound, parameter.shape)

    def _padded(self, x: Any) -> tuple[Any, Any]:
        """The input, and the padding that the convolution has to add to it."""
        if self.padding_mode == "zeros":
            return x, self.padding
        pads = conv.pads_of(self.padding, self.kernel_size, self.stride, self.dilation, type(self).__name__)
        return pad(x, [w for pair in reversed(pads) for w in pair], self.padding_mode), 0

    def extra_repr(self) -> str:
        """The arguments that differ from the defaults, in PyTorch's words."""
        none = (0,) * self._axes
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != none:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * self._axes:
            text += f", dilation={self.dilation}"
        if (extra := getattr(self, "output_padding", none)) != none:
            text += f", output_padding={extra}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        text = text if self.bias is not None else text + ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class Conv2d(_Convolution):
    """Images times kernels, at every place: see :func:`tinytensor.nn.functional.conv2d`.   (``torch.nn.Conv2d``)

    weight (out, in/groups, kH, kW) and bias (out,), both drawn from U(−1/√f, 1/√f) with f = in/groups · kH · kW. Inputs
    (N, in, H, W) or (in, H, W) are cast to the dtype of the weight. ``padding``: numbers, "same" or "valid"; ``padding_mode``: what is put there, zeros,
    or by :func:`tinytensor.nn.functional.pad` "reflect", "replicate" or "circular".

    >>> import tinytensor as tt
    >>> layer = tt.nn.Conv2d(3, 8, 3, padding=1, rng=tt.rng(0))
    >>> layer
    Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    >>> layer(tt.ones((5, 3, 28, 28))).shape
    (5, 8, 28, 28)
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype, rng
        )

    def forward(self, x: Operand) -> Tensor:
        """x (N, in, H, W) → (N, out, H', W')."""
        weight = self.weight
        x, padding = self._padded(as_input(x, weight._data.dtype, "Conv2d"))
        return conv.conv2d(x, weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Convolution):
    """Sequences times kernels, at every place: see :func:`tinytensor.nn.functional.conv1d`.   (``torch.nn.Conv1d``)

    weight (out, in/groups, kernel) and bias (out,), both drawn from U(−1/√f, 1/√f) with f = in/groups · kernel. Inputs
    (N, in, L) or (in, L) are cast to the dtype of the weight. ``padding``: a number, "same" or "valid"; ``padding_mode`` as
    for :class:`Conv2d`.

    >>> import tinytensor as tt
    >>> tt.nn.Conv1d(3, 8, 5, padding="same")(tt.ones((2, 3, 100))).shape
    (2, 8, 100)
    """

    _axes = 1

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype, rng
        )

    def forward(self, x: Operand) -> Tensor:
        """x (N, in, L) → (N, out, L')."""
        weight = self.weight
        x, padding = self._padded(as_input(x, weight._data.dtype, "Conv1d"))
        return conv.conv1d(x, weight, self.bias, self.stride, padding, self.dilation, self.groups)


class ConvTranspose2d(_Convolution):
    """The transpose of :class:`Conv2d`, which makes images larger.   (``torch.nn.ConvTranspose2d``)

    weight (in, out/groups, kH, kW) and bias (out,), both drawn from U(−1/√f, 1/√f) with f = out/groups · kH · kW. See
    :func:`tinytensor.nn.functional.conv_transpose2d`.

    >>> import tinytensor as tt
    >>> tt.nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1)(tt.ones((5, 8, 7, 7))).shape
    (5, 3, 14, 14)
    """

    _transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        dtype: DType = None, rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.output_padding = numbers(output_padding, 2, "output_padding", "ConvTranspose2d", 0)
        padding = numbers(padding, 2, "padding", "ConvTranspose2d", 0)
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype, rng
        )

    def forward(self, x: Operand) -> Tensor:
        """x (N, in, H, W) → (N, out, H', W')."""
        weight = self.weight
        x = as_input(x, weight._data.dtype, "ConvTranspose2d")
        return conv.conv_transpose2d(
            x, weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )


class ConvTranspose1d(_Convolution):
    """The transpose of :class:`Conv1d`, which makes sequences longer.   (``torch.nn.ConvTranspose1d``)

    weight (in, out/groups, kernel) and bias (out,), both drawn from U(−1/√f, 1/√f) with f = out/groups · kernel. See
    :func:`tinytensor.nn.functional.conv_transpose1d`.

    >>> import tinytensor as tt
    >>> tt.nn.ConvTranspose1d(8, 3, 4, stride=2, padding=1)(tt.ones((5, 8, 50))).shape
    (5, 3, 100)
    """

    _axes = 1
    _transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        dtype: DType = None, rng: creation.Generator | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.output_padding = numbers(output_padding, 1, "output_padding", "ConvTranspose1d", 0)
        padding = numbers(padding, 1, "padding", "ConvTranspose1d", 0)
        self._set_up(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, dtype, rng
        )

    def forward(self, x: Operand) -> Tensor:
        """x (N, in, L) → (N, out, L')."""
        weight = self.weight
        x = as_input(x, weight._data.dtype, "ConvTranspose1d")
        return conv.conv_transpose1d(
            x, weight, self.bias, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )


class Flatten(Module):
    """The axes ``start_dim`` … ``end_dim`` as one.   (``torch.nn.Flatten``)

    >>> import tinytensor as tt
    >>> tt.nn.Flatten()(tt.ones((5, 8, 2, 2))).shape
    (5, 32)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Any) -> Any:
        """Any shape."""
        x = conv.operand(x)
        if x.ndim == 0:
            x = x.reshape(1)
        n = x.ndim
        first, last = (d + n if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < n:
            raise ValueError(
                f"Flatten: start_dim={self.start_dim} and end_dim={self.end_dim} do not name axes, in order, of an "
                f"input of shape {x.shape}"
            )
        return x.reshape((*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))

    def extra_repr(self) -> str:
        """start_dim, end_dim."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
