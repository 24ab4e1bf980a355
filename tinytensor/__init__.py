"""tinytensor: micrograd's ``Value`` grown to arrays. NumPy code in, gradients out.

>>> import numpy as np, tinytensor as tt
>>> x = tt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
>>> np.tanh(x).sum().backward()
>>> x.grad.round(4)
array([[0.42  , 0.0707],
       [0.0099, 0.0013]])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinytensor.creation import (
    Generator,
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    manual_seed,
    ones,
    ones_like,
    rand,
    randn,
    rng,
    zeros,
    zeros_like,
)
from tinytensor.graph import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tinytensor.ops.elementwise import (
    abs,
    add,
    astype,
    clip,
    cos,
    div0,
    divide,
    exp,
    leaky_relu,
    log,
    maximum,
    minimum,
    mul0,
    multiply,
    negative,
    positive,
    power,
    reciprocal,
    relu,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from tinytensor.ops.indexing import getitem, pad, scatter, setitem, take, take_along_axis
from tinytensor.ops.linalg import dot, eigh, einsum, linear, matmul, outer, tensordot
from tinytensor.ops.reductions import (
    cumsum,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    prod,
    softmax,
    std,
    sum,
    var,
)
from tinytensor.ops.shape import (
    broadcast_to,
    concatenate,
    copy,
    expand_dims,
    flip,
    reshape,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
)
from tinytensor.primitive import primitive
from tinytensor.scalar import Value
from tinytensor.tensor import Tensor, from_numpy, tensor
from tinytensor.transforms import grad, value_and_grad

if TYPE_CHECKING:
    from tinytensor import data, io, nn, optim, plot, scalar, testing
    from tinytensor.nn.parameter import get_default_dtype, set_default_dtype
    from tinytensor.plot import draw_dot

__version__ = "0.1.0"

__all__ = [
    "Generator", "Tensor", "Value", "abs", "add", "arange", "astype", "broadcast_to", "clip", "concatenate", "copy",
    "cos", "cumsum", "data", "div0", "divide", "dot", "draw_dot", "eigh", "einsum", "empty", "empty_like", "enable_grad", "exp",
    "expand_dims", "eye", "flip", "from_numpy", "full", "full_like", "get_default_dtype", "getitem", "grad", "io",
    "is_grad_enabled", "leaky_relu", "linear", "linspace", "log", "log_softmax", "logsumexp", "manual_seed", "matmul",
    "max", "maximum", "mean", "min", "minimum", "mul0", "multiply", "negative", "nn", "no_grad", "ones", "ones_like",
    "optim", "outer", "pad", "plot", "positive", "power", "primitive", "prod", "rand", "randn", "reciprocal", "relu",
    "reshape", "rng", "scalar", "scatter", "set_default_dtype", "set_grad_enabled", "setitem", "sigmoid", "sign",
    "sin", "softmax", "softplus", "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum", "swapaxes",
    "take", "take_along_axis", "tanh", "tensor", "tensordot", "testing", "transpose", "value_and_grad", "var",
    "where", "zeros", "zeros_like",
]  # fmt: skip

#: Subpackages, and names that live in them, loaded when they are first used: ``import tinytensor`` stays light.
_LAZY = {
    "data": "tinytensor.data", "io": "tinytensor.io", "nn": "tinytensor.nn", "optim": "tinytensor.optim",
    "plot": "tinytensor.plot", "testing": "tinytensor.testing", "draw_dot": "tinytensor.plot",
    "get_default_dtype": "tinytensor.nn.parameter", "set_default_dtype": "tinytensor.nn.parameter",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'tinytensor' has no attribute {name!r}")
    from importlib import import_module

    loaded = import_module(module)
    return loaded if module == f"tinytensor.{name}" else getattr(loaded, name)
