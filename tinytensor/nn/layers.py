"""Linear maps, and the multilayer perceptron that is made of them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tinytensor import creation
from tinytensor import scalar as _scalar
from tinytensor.inplace import updating
from tinytensor.nn.activations import ReLU, Sigmoid, Tanh
from tinytensor.nn.containers import Sequential
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter, as_input, floating, sizes
from tinytensor.ops import linalg

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import DType, Operand

__all__ = ["MLP", "Linear"]


class Linear(Module):
    """x Wᵀ + b: weight (out, in), bias (out,), both drawn from U(−1/√in, 1/√in).   (``torch.nn.Linear``)

    ``rng`` is a :func:`tinytensor.rng`; without it the shared generator is used (:func:`tinytensor.manual_seed`).
    Inputs (..., in) are cast to the dtype of the weight.

    >>> import tinytensor as tt
    >>> layer = tt.nn.Linear(2, 3, rng=tt.rng(0))
    >>> layer(tt.ones((5, 2))).shape
    (5, 3)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes("Linear", 0, in_features=in_features, out_features=out_features)
        kind = floating(dtype)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(np.empty((out_features, in_features), kind))
        self.bias = Parameter(np.empty(out_features, kind)) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: creation.Generator | None = None) -> None:
        """Draw weight and bias anew."""
        draw = (rng or creation.default_rng()).numpy
        bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                updating(parameter)[...] = draw.uniform(-bound, bound, parameter.shape)

    def forward(self, x: Operand) -> Tensor:
        """x (..., in) → (..., out)."""
        weight = self.weight
        return linalg.linear(as_input(x, weight._data.dtype, "Linear"), weight, self.bias)

    def extra_repr(self) -> str:
        """in_features, out_features, bias."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


_ACTIVATIONS: dict[str, type[Module]] = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid}


class MLP(Sequential):
    """A multilayer perceptron: ``nin`` inputs, layers of ``nouts`` outputs, an activation after all but the last.

    The batched form of micrograd's ``MLP``; a :class:`Sequential` of :class:`Linear` and activations.

    >>> import tinytensor as tt
    >>> model = tt.nn.MLP(2, [16, 16, 1])
    >>> sum(p.size for p in model.parameters())
    337
    >>> model(tt.ones((100, 2))).shape
    (100, 1)
    """

    def __init__(
        self,
        nin: int,
        nouts: Sequence[int],
        activation: str = "relu",
        dtype: DType = None,
        rng: creation.Generator | None = None,
    ) -> None:
        if activation not in _ACTIVATIONS:
            raise ValueError(f"MLP: activation must be one of {', '.join(_ACTIVATIONS)}; got {activation!r}")
        if not nouts:
            raise ValueError("MLP: nouts must name at least one layer's size")
        widths = [nin, *nouts]
        layers: list[Module] = []
        for a, b in pairwise(widths):
            layers += [Linear(a, b, dtype=dtype, rng=rng), _ACTIVATIONS[activation]()]
        super().__init__(*layers[:-1])
        self.sizes, self.activation = widths, activation

    @property
    def linears(self) -> list[Linear]:
        """The linear layers, first to last."""
        return [layer for layer in self._layers if isinstance(layer, Linear)]

    @classmethod
    def from_scalar(cls, mlp: _scalar.MLP, dtype: DType = None) -> MLP:
        """The same network as a :class:`tinytensor.scalar.MLP`: same weights, outputs and gradients.

        >>> import random, tinytensor as tt
        >>> random.seed(1)
        >>> small = tt.scalar.MLP(2, [3, 1])
        >>> big = tt.nn.MLP.from_scalar(small, dtype="float64")
        >>> bool(abs(big([[0.5, -1.0]]).item() - small([0.5, -1.0]).data) < 1e-15)
        True
        """
        weights = [[[w.data for w in neuron.w] for neuron in layer.neurons] for layer in mlp.layers]
        made = cls(
            len(weights[0][0]), [len(layer) for layer in weights], mlp.layers[0].neurons[0].activation, dtype=dtype
        )
        for linear, rows, layer in zip(made.linears, weights, mlp.layers, strict=True):
            assert linear.bias is not None
            linear.weight.data[...] = rows
            linear.bias.data[...] = [neuron.b.data for neuron in layer.neurons]
        return made

    def to_scalar(self) -> _scalar.MLP:
        """The same network on scalar :class:`tinytensor.Value`; its weights are Python floats."""
        state = random.getstate()  # the weights that are drawn are thrown away: leave the user's sequence alone
        made = _scalar.MLP(self.sizes[0], self.sizes[1:], activation=self.activation)
        random.setstate(state)
        for linear, layer in zip(self.linears, made.layers, strict=True):
            assert linear.bias is not None
            for row, b, neuron in zip(linear.weight.data, linear.bias.data, layer.neurons, strict=True):
                neuron.b.data = float(b)
                for w, value in zip(neuron.w, row, strict=True):
                    w.data = float(value)
        return made
