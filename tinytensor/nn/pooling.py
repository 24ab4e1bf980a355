"""Pooling layers: :mod:`tinytensor.ops.pooling` with the options kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinytensor.nn.module import Module
from tinytensor.ops import pooling
from tinytensor.ops.conv import numbers

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AvgPool1d", "AvgPool2d", "MaxPool1d", "MaxPool2d",
]  # fmt: skip


class _MaxPool(Module):
    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.return_indices = return_indices
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation, self.ceil_mode = padding, dilation, ceil_mode

    def _arguments(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices

    def extra_repr(self) -> str:
        """The arguments."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """The largest number of each window: see :func:`tinytensor.nn.functional.max_pool1d`.   (``torch.nn.MaxPool1d``)

    >>> import tinytensor as tt
    >>> tt.nn.MaxPool1d(2)(tt.tensor([[1.0, 3.0, 2.0, 4.0]]))
    tensor([[3., 4.]])
    """

    def forward(self, x: Operand) -> Any:
        """x (N, C, L) → (N, C, L')."""
        return pooling.max_pool1d(x, *self._arguments())


class MaxPool2d(_MaxPool):
    """The largest number of each window: see :func:`tinytensor.nn.functional.max_pool2d`.   (``torch.nn.MaxPool2d``)

    >>> import tinytensor as tt
    >>> tt.nn.MaxPool2d(2)(tt.ones((5, 3, 8, 8))).shape
    (5, 3, 4, 4)
    """

    def forward(self, x: Operand) -> Any:
        """x (N, C, H, W) → (N, C, H', W')."""
        return pooling.max_pool2d(x, *self._arguments())


class AvgPool1d(Module):
    """The mean of each window: see :func:`tinytensor.nn.functional.avg_pool1d`.   (``torch.nn.AvgPool1d``)

    >>> import tinytensor as tt
    >>> tt.nn.AvgPool1d(2)(tt.tensor([[1.0, 3.0, 2.0, 4.0]]))
    tensor([[2., 3.]])
    """

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size = numbers(kernel_size, 1, "kernel_size", "AvgPool1d")
        self.stride = self.kernel_size if stride is None else numbers(stride, 1, "stride", "AvgPool1d")
        self.padding = numbers(padding, 1, "padding", "AvgPool1d", 0)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, L) → (N, C, L')."""
        return pooling.avg_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        """kernel_size, stride, padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Module):
    """The mean of each window: see :func:`tinytensor.nn.functional.avg_pool2d`.   (``torch.nn.AvgPool2d``)

    >>> import tinytensor as tt
    >>> tt.nn.AvgPool2d(2)(tt.ones((5, 3, 8, 8))).shape
    (5, 3, 4, 4)
    """

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True, divisor_override: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, H, W) → (N, C, H', W')."""
        return pooling.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
            self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """kernel_size, stride, padding."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AdaptiveAvgPool(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """output_size."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """The means of ``output_size`` parts: see :func:`tinytensor.nn.functional.adaptive_avg_pool1d`.   (``torch.nn.AdaptiveAvgPool1d``)

    >>> import tinytensor as tt
    >>> tt.nn.AdaptiveAvgPool1d(2)(tt.tensor([[1.0, 3.0, 2.0, 4.0]]))
    tensor([[2., 3.]])
    """

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, L) → (N, C, output_size)."""
        return pooling.adaptive_avg_pool1d(x, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """The means of rectangles: see :func:`tinytensor.nn.functional.adaptive_avg_pool2d`.   (``torch.nn.AdaptiveAvgPool2d``)

    >>> import tinytensor as tt
    >>> tt.nn.AdaptiveAvgPool2d((1, 1))(tt.ones((5, 3, 8, 8))).shape
    (5, 3, 1, 1)
    """

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, H, W) → (N, C, *output_size)."""
        return pooling.adaptive_avg_pool2d(x, self.output_size)
