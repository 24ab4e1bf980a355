"""Activations as modules: each a function of :mod:`tinytensor.nn.functional` with its options kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tinytensor.nn.module import Module
from tinytensor.nn.options import FunctionModule
from tinytensor.nn.parameter import Parameter, as_input, floating
from tinytensor.ops import activations as f
from tinytensor.ops import pieces, reductions, transcendental

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import DType, Operand

__all__ = [
    "CELU", "ELU", "GELU", "GLU", "SELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU",
    "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Softmin", "Softplus",
    "Softshrink", "Softsign", "Tanh", "Tanhshrink", "Threshold",
]  # fmt: skip


class CELU(FunctionModule, inplace=True):
    """x, and α (e^(x/α) − 1) below 0: see :func:`tinytensor.nn.functional.celu`."""

    function = staticmethod(f.celu)


class ELU(FunctionModule, inplace=True):
    """x, and α (eˣ − 1) below 0: see :func:`tinytensor.elu`."""

    function = staticmethod(f.elu)


class GELU(FunctionModule):
    """x Φ(x), ``approximate`` "none" or "tanh": see :func:`tinytensor.nn.functional.gelu`."""

    function = staticmethod(f.gelu)


class GLU(FunctionModule):
    """One half times the sigmoid of the other: see :func:`tinytensor.glu`."""

    function = staticmethod(f.glu)


class Hardshrink(FunctionModule):
    """x where |x| > λ, else 0: see :func:`tinytensor.nn.functional.hardshrink`."""

    function = staticmethod(f.hardshrink)

    def extra_repr(self) -> str:
        """λ."""
        return str(vars(self)["lambd"])


class Hardsigmoid(FunctionModule, inplace=True):
    """(x + 3)/6 between 0 and 1: see :func:`tinytensor.nn.functional.hardsigmoid`."""

    function = staticmethod(f.hardsigmoid)


class Hardswish(FunctionModule, inplace=True):
    """x · hardsigmoid(x): see :func:`tinytensor.nn.functional.hardswish`."""

    function = staticmethod(f.hardswish)


class Hardtanh(FunctionModule, inplace=True):
    """x between two bounds: see :func:`tinytensor.hardtanh`."""

    function = staticmethod(f.hardtanh)


class LeakyReLU(FunctionModule, inplace=True):
    """x, and a·x below 0: see :func:`tinytensor.leaky_relu`."""

    function = staticmethod(pieces.leaky_relu)


class LogSigmoid(FunctionModule):
    """ln σ(x): see :func:`tinytensor.nn.functional.logsigmoid`."""

    function = staticmethod(f.logsigmoid)


class LogSoftmax(FunctionModule):
    """x − ln Σ eˣ along ``dim``: see :func:`tinytensor.log_softmax`."""

    function = staticmethod(reductions.log_softmax)


class Mish(FunctionModule, inplace=True):
    """x tanh(ln(1 + eˣ)): see :func:`tinytensor.nn.functional.mish`."""

    function = staticmethod(f.mish)


class ReLU(FunctionModule, inplace=True):
    """max(x, 0): see :func:`tinytensor.relu`.

    >>> import tinytensor as tt
    >>> tt.nn.ReLU()(tt.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    function = staticmethod(pieces.relu)


class ReLU6(FunctionModule, inplace=True):
    """x between 0 and 6: see :func:`tinytensor.nn.functional.relu6`."""

    function = staticmethod(f.relu6)


class SELU(FunctionModule, inplace=True):
    """1.0507 · elu(x, 1.6733): see :func:`tinytensor.selu`."""

    function = staticmethod(f.selu)


class Sigmoid(FunctionModule):
    """1/(1 + e⁻ˣ): see :func:`tinytensor.sigmoid`.

    >>> import tinytensor as tt
    >>> tt.nn.Sigmoid()(tt.tensor([0.0]))
    tensor([0.5])
    """

    function = staticmethod(transcendental.sigmoid)


class SiLU(FunctionModule, inplace=True):
    """x σ(x): see :func:`tinytensor.nn.functional.silu`."""

    function = staticmethod(f.silu)


class Softmax(FunctionModule):
    """eˣ / Σ eˣ along ``dim``: see :func:`tinytensor.softmax`."""

    function = staticmethod(reductions.softmax)


class Softmin(FunctionModule):
    """e⁻ˣ / Σ e⁻ˣ along ``dim``: see :func:`tinytensor.nn.functional.softmin`."""

    function = staticmethod(f.softmin)


class Softplus(FunctionModule):
    """ln(1 + e^(βx))/β: see :func:`tinytensor.nn.functional.softplus`."""

    function = staticmethod(f.softplus)


class Softshrink(FunctionModule):
    """x moved towards 0 by λ: see :func:`tinytensor.nn.functional.softshrink`."""

    function = staticmethod(f.softshrink)

    def extra_repr(self) -> str:
        """λ."""
        return str(vars(self)["lambd"])


class Softsign(FunctionModule):
    """x / (1 + |x|): see :func:`tinytensor.softsign`."""

    function = staticmethod(f.softsign)


class Tanh(FunctionModule):
    """tanh x: see :func:`tinytensor.tanh`.

    >>> import tinytensor as tt
    >>> tt.nn.Tanh()(tt.tensor([0.0]))
    tensor([0.])
    """

    function = staticmethod(transcendental.tanh)


class Tanhshrink(FunctionModule):
    """x − tanh x: see :func:`tinytensor.nn.functional.tanhshrink`."""

    function = staticmethod(f.tanhshrink)


class Threshold(FunctionModule, inplace=True):
    """x above a threshold, else a value: see :func:`tinytensor.nn.functional.threshold`."""

    function = staticmethod(f.threshold)


class PReLU(Module):
    """x, and a·x below 0, a learned: one number, or one for each channel.   (``torch.nn.PReLU``)

    >>> import tinytensor as tt
    >>> tt.nn.PReLU()(tt.tensor([-1.0, 2.0])).detach()
    tensor([-0.25,  2.  ], dtype=float32)
    """

    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: DType = None) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(np.full(num_parameters, init), floating(dtype))

    def forward(self, x: Operand) -> Tensor:
        """x (N, C, ...) of any shape for one parameter, C = num_parameters for several."""
        return f.prelu(as_input(x, self.weight._data.dtype, "PReLU"), self.weight)

    def extra_repr(self) -> str:
        """num_parameters."""
        return f"num_parameters={self.num_parameters}"
