"""How weights begin: functions that fill a tensor in place, not recorded, and return it, with PyTorch's names.

``rng`` is a :func:`tinytensor.rng`; without it the shared generator is used (:func:`tinytensor.manual_seed`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import creation
from tinytensor.inplace import updating
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_",
    "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip

Rng = creation.Generator | None


def _fill(t: Any, values: Any, op: str) -> Any:
    if not isinstance(t, TensorBase):
        raise TypeError(f"{op}: expected a tensor, got {type(t).__name__}")
    if t._node is not None and t._node.op is not None:
        raise RuntimeError(
            f"{op}: a result of operations cannot be initialised; fill a parameter, or a tensor of its own"
        )
    updating(t)[...] = values
    return t


def _draw(rng: Rng) -> Any:
    return (rng or creation.default_rng()).numpy


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much weights should be larger before this activation.   (``torch.nn.init.calculate_gain``)

    linear, conv1d … conv_transpose3d and sigmoid: 1; tanh: 5/3; relu: √2; leaky_relu with slope a: √(2/(1 + a²)); selu: ¾.

    >>> import tinytensor as tt
    >>> tt.nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: the slope of leaky_relu must be a number, got {param!r}")
        return math.sqrt(2 / (1 + slope**2))
    convolutions = [f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]
    gains = dict.fromkeys(["linear", "sigmoid", *convolutions], 1.0)
    gains |= {"tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain: expected leaky_relu, {', '.join(gains)}; got {nonlinearity!r}")
    return gains[nonlinearity]


# ----------------------------------------------------------------------------------------------------------- numbers


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, rng: Rng = None) -> Tensor:
    """Uniform in [a, b).   (``torch.nn.init.uniform_``)

    >>> import tinytensor as tt
    >>> tt.nn.init.uniform_(tt.zeros(2), rng=tt.rng(0))
    tensor([0.63696169, 0.26978671])
    """
    return _fill(tensor, _draw(rng).uniform(a, b, tensor.shape), "uniform_")  # type: ignore[no-any-return]


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, rng: Rng = None) -> Tensor:
    """Normal with this mean and standard deviation.   (``torch.nn.init.normal_``)

    >>> import tinytensor as tt
    >>> tt.nn.init.normal_(tt.zeros(2), rng=tt.rng(0))
    tensor([ 0.12573022, -0.13210486])
    """
    return _fill(tensor, _draw(rng).normal(mean, std, tensor.shape), "normal_")  # type: ignore[no-any-return]


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, rng: Rng = None
) -> Tensor:
    """Normal, drawn again where it lies outside of [a, b].   (``torch.nn.init.trunc_normal_``)

    >>> import tinytensor as tt
    >>> bool(abs(tt.nn.init.trunc_normal_(tt.zeros(1000)).data).max() <= 2)
    True
    """
    if not a < b or std <= 0:
        raise ValueError(f"trunc_normal_: expected a < b and a positive std, got a={a}, b={b}, std={std}")
    if a > mean + 4 * std or b < mean - 4 * std or b - a < 1e-3 * std:
        raise ValueError(f"trunc_normal_: almost no number with mean {mean} and std {std} lies in [{a}, {b}]")
    draw, values = _draw(rng), np.empty(tensor.size)
    missing = np.arange(tensor.size)
    while missing.size:
        values[missing] = draw.normal(mean, std, missing.size)
        missing = missing[(values[missing] < a) | (values[missing] > b)]
    return _fill(tensor, values.reshape(tensor.shape), "trunc_normal_")  # type: ignore[no-any-return]


def constant_(tensor: Tensor, val: float) -> Tensor:
    """One number everywhere.   (``torch.nn.init.constant_``)

    >>> import tinytensor as tt
    >>> tt.nn.init.constant_(tt.zeros(2), 0.5)
    tensor([0.5, 0.5])
    """
    return _fill(tensor, val, "constant_")  # type: ignore[no-any-return]


def ones_(tensor: Tensor) -> Tensor:
    """Ones.   (``torch.nn.init.ones_``)

    >>> import tinytensor as tt
    >>> tt.nn.init.ones_(tt.zeros(2))
    tensor([1., 1.])
    """
    return _fill(tensor, 1, "ones_")  # type: ignore[no-any-return]


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros.   (``torch.nn.init.zeros_``)

    >>> import tinytensor as tt
    >>> tt.nn.init.zeros_(tt.ones(2))
    tensor([0., 0.])
    """
    return _fill(tensor, 0, "zeros_")  # type: ignore[no-any-return]


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix.   (``torch.nn.init.eye_``)

    >>> import tinytensor as tt
    >>> tt.nn.init.eye_(tt.zeros((2, 3)))
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    if tensor.ndim != 2:
        raise ValueError(f"eye_: expected a matrix, got shape {tensor.shape}")
    return _fill(tensor, np.eye(tensor.shape[0], tensor.shape[1]), "eye_")  # type: ignore[no-any-return]


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution (out, in, ...) that passes its channels on: 1 at the centre.   (``torch.nn.init.dirac_``)

    >>> import tinytensor as tt
    >>> tt.nn.init.dirac_(tt.zeros((2, 1, 3)))
    tensor([[[0., 1., 0.]],
            [[0., 0., 0.]]])
    """
    if tensor.ndim not in (3, 4, 5) or groups < 1 or tensor.shape[0] % groups:
        raise ValueError(f"dirac_: expected a weight (out, in, ...) with out divisible by {groups}, got {tensor.shape}")
    values = np.zeros(tensor.shape)
    each = tensor.shape[0] // groups
    middle = tuple([n // 2 for n in tensor.shape[2:]])
    for group in range(groups):
        for d in range(min(each, tensor.shape[1])):
            values[(group * each + d, d, *middle)] = 1
    return _fill(tensor, values, "dirac_")  # type: ignore[no-any-return]


# -------------------------------------------------------------------------------------------------- from the sizes


def _fans(tensor: Tensor, op: str) -> tuple[int, int]:
    """How many inputs an output has, and how many outputs an input."""
    shape = tensor.shape
    if len(shape) < 2:
        raise ValueError(f"{op}: expected a weight (out, in, ...), got shape {shape}")
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, rng: Rng = None) -> Tensor:
    """U(−a, a), a = gain √(6/(fan_in + fan_out)): Glorot and Bengio, 2010.   (``torch.nn.init.xavier_uniform_``)

    >>> import tinytensor as tt
    >>> bool(abs(tt.nn.init.xavier_uniform_(tt.zeros((3, 3))).data).max() <= 1)
    True
    """
    bound = gain * math.sqrt(6 / sum(_fans(tensor, "xavier_uniform_")))
    return uniform_(tensor, -bound, bound, rng)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, rng: Rng = None) -> Tensor:
    """N(0, gain² · 2/(fan_in + fan_out)): Glorot and Bengio, 2010.   (``torch.nn.init.xavier_normal_``)

    >>> import tinytensor as tt
    >>> tt.nn.init.xavier_normal_(tt.zeros((3, 3))).shape
    (3, 3)
    """
    return normal_(tensor, 0, gain * math.sqrt(2 / sum(_fans(tensor, "xavier_normal_"))), rng)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str, op: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{op}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = _fans(tensor, op)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", rng: Rng = None
) -> Tensor:
    """U(−b, b), b = gain √(3/fan): He et al., 2015.   (``torch.nn.init.kaiming_uniform_``)

    >>> import tinytensor as tt
    >>> bool(abs(tt.nn.init.kaiming_uniform_(tt.zeros((3, 6))).data).max() <= 1)
    True
    """
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_uniform_")
    return uniform_(tensor, -bound, bound, rng)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", rng: Rng = None
) -> Tensor:
    """N(0, gain²/fan): He et al., 2015.   (``torch.nn.init.kaiming_normal_``)

    >>> import tinytensor as tt
    >>> tt.nn.init.kaiming_normal_(tt.zeros((3, 6)), mode="fan_out").shape
    (3, 6)
    """
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity, "kaiming_normal_"), rng)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, rng: Rng = None) -> Tensor:
    """N(0, std²), and zeros in that share of the rows of each column, drawn anew for each.   (``torch.nn.init.sparse_``)

    Martens, Deep learning via Hessian-free optimization, 2010.

    >>> import tinytensor as tt
    >>> w = tt.nn.init.sparse_(tt.zeros((4, 3)), sparsity=0.5)
    >>> (w.data == 0).sum(0)
    array([2, 2, 2])
    """
    if tensor.ndim != 2 or not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: expected a matrix and a share between 0 and 1, got {tensor.shape} and {sparsity}")
    draw, (rows, columns) = _draw(rng), tensor.shape
    values = draw.normal(0, std, tensor.shape)
    for column in range(columns):
        values[draw.permutation(rows)[: math.ceil(sparsity * rows)], column] = 0
    return _fill(tensor, values, "sparse_")  # type: ignore[no-any-return]


def orthogonal_(tensor: Tensor, gain: float = 1.0, rng: Rng = None) -> Tensor:
    """Orthogonal rows, or columns if there are fewer, uniformly drawn, times the gain.   (``torch.nn.init.orthogonal_``)

    Axes after the first count as one. Saxe, McClelland and Ganguli, 2013.

    >>> import numpy as np, tinytensor as tt
    >>> w = tt.nn.init.orthogonal_(tt.zeros((2, 3)))
    >>> np.allclose(w.data @ w.data.T, np.eye(2))
    True
    """
    if tensor.ndim < 2:
        raise ValueError(f"orthogonal_: expected a weight (out, in, ...), got shape {tensor.shape}")
    rows = tensor.shape[0]
    flat = _draw(rng).standard_normal((rows, tensor.size // max(rows, 1)))
    tall = flat if flat.shape[0] >= flat.shape[1] else flat.T
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diagonal(r))
    values = q if tall is flat else q.T
    return _fill(tensor, gain * values.reshape(tensor.shape), "orthogonal_")  # type: ignore[no-any-return]
