"""Activations of neural networks that are not in the table of NumPy's functions, from CELU to tanh-shrink: a formula sheet.

Kinks are PyTorch's. A gated one, x · gate(x), keeps its gate, in a node of its own or for its rule: nothing is computed twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray, contiguous, empty, traced
from tinytensor.graph import assured
from tinytensor.ops.elementwise import keep
from tinytensor.ops.reductions import softmax
from tinytensor.ops.transcendental import sigmoid
from tinytensor.primitive import TensorBase, composite, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Axis, Operand

__all__ = [
    "celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "logsigmoid", "mish", "normal_cdf",
    "prelu", "relu6", "selu", "silu", "softmin", "softplus", "softshrink", "softsign", "tanhshrink", "threshold",
]  # fmt: skip

#: The constants of SELU, with which means of 0 and variances of 1 stay so from layer to layer.
_ALPHA, _SCALE = 1.6732632423543772, 1.0507009873554805


def _given(x: Any) -> Any:
    return x if isinstance(x, TensorBase) else asarray(x)


# ------------------------------------------------------------------------------------------------------- exponentials


@primitive(
    elementwise=True,
    x=lambda g, x, out, alpha, scale, inner: g * np.where(x > 0, scale, (out + scale * alpha) * inner),
)
def _elu(x: Any, alpha: float, scale: float, inner: float) -> Any:
    """scale · (x where x > 0, else α (e^(inner x) − 1))."""
    below = alpha * np.expm1(np.minimum(x, 0) * inner)
    out = np.where(x > 0, x, below)
    return out if scale == 1 else scale * out


@composite()
def elu(x: Operand, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else α (eˣ − 1).   ∂/∂x = 1, else out + α   (``torch.nn.functional.elu``)

    >>> import tinytensor as tt
    >>> tt.elu(tt.tensor([-1.0, 0.0, 2.0])).round(4)
    tensor([-0.6321,  0.    ,  2.    ])
    """
    return _elu(_given(x), alpha, 1.0, 1.0)


@composite()
def selu(x: Operand) -> Tensor:
    """1.0507 · elu(x, 1.6733).   (``torch.nn.functional.selu``)

    >>> import tinytensor as tt
    >>> tt.selu(tt.tensor([-1.0, 2.0])).round(4)
    tensor([-1.1113,  2.1014])
    """
    return _elu(_given(x), _ALPHA, _SCALE, 1.0)


@composite()
def celu(x: Operand, alpha: float = 1.0) -> Tensor:
    """x where x > 0, else α (e^(x/α) − 1), smooth at 0.   (``torch.nn.functional.celu``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.celu(tt.tensor([-1.0, 2.0]), 2.0).round(4)
    tensor([-0.7869,  2.    ])
    """
    if not alpha:
        raise ValueError("celu: alpha must not be 0, by which x is divided")
    return _elu(_given(x), alpha, 1.0, 1 / alpha)


def _plus_rule(g: Any, x: Any, beta: float, threshold: float) -> Any:
    return np.where(x * beta > threshold, g, g * sigmoid(x * beta))


@primitive(elementwise=True, x=_plus_rule)
def _softplus(x: Any, beta: float, threshold: float) -> Any:
    scaled = x * beta
    out = (np.maximum(scaled, 0) + np.log1p(np.exp(-np.absolute(scaled)))) / beta
    return np.where(scaled > threshold, x, out)


@composite()
def softplus(x: Operand, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^(βx))/β, and x itself where βx is above the threshold.   ∂/∂x = σ(βx)   (``torch.nn.functional.softplus``)

    :func:`tinytensor.softplus` has no threshold: it is exact everywhere.

    >>> import tinytensor as tt
    >>> tt.nn.functional.softplus(tt.tensor([0.0, 30.0]), beta=2.0)
    tensor([ 0.34657359, 30.        ])
    """
    return _softplus(_given(x), beta, threshold)


@primitive(elementwise=True, x=lambda g, x: g * sigmoid(-x))
def logsigmoid(x: Operand) -> Tensor:
    """ln σ(x) = −ln(1 + e⁻ˣ), without overflow.   ∂/∂x = σ(−x)   (``torch.nn.functional.logsigmoid``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.logsigmoid(tt.tensor([-1000.0, 0.0]))
    tensor([-1.00000000e+03, -6.93147181e-01])
    """
    return np.minimum(x, 0) - np.log1p(np.exp(-np.absolute(x)))


@composite()
def softmin(x: Operand, axis: Axis = -1) -> Tensor:
    """e⁻ˣ / Σ e⁻ˣ along the axis.   (``torch.nn.functional.softmin``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.softmin(tt.tensor([0.0, 0.0, 1000.0]))
    tensor([0.5, 0.5, 0. ])
    """
    return softmax(-_given(x), axis)


# -------------------------------------------------------------------------------------------------------------- gates

# W. J. Cody's rational functions for the error function, as the Cephes library has them: erf z = z T(z²)/U(z²) for z ≤ 1
# and erfc z = e^(−z²) P(z)/Q(z) beyond, both to rounding.
_P = (2.46196981473530512524e-10, 0.564189564831068821977, 7.46321056442269912687, 48.6371970985681366614,
      196.520832956077098242, 526.445194995477358631, 934.528527171957607540, 1027.55188689515710272,
      557.535335369399327526)  # fmt: skip
_Q = (1.0, 13.2281951154744992508, 86.7072140885989742329, 354.937778887819891062, 975.708501743205489753,
      1823.90916687909736289, 2246.33760818710981792, 1656.66309194161350182, 557.535340817727675546)  # fmt: skip
_T = (9.60497373987051638749, 90.0260197203842689217, 2232.00534594684319226, 7003.32514112805075473,
      55592.3013010394962768)  # fmt: skip
_U = (1.0, 33.5617141647503099647, 521.357949780152679795, 4594.32382970980127987, 22629.0000613890934246,
      49267.3942608635921086)  # fmt: skip
_SQRT1_2, _DENSITY = 0.7071067811865476, 0.3989422804014327  # 1/√2, 1/√(2π)


def _horner(z: Any, coefficients: tuple[float, ...]) -> Any:
    out = z * coefficients[0]
    for c in coefficients[1:-1]:
        out += c
        out *= z
    out += coefficients[-1]
    return out


# erf z = z A(z²)/B(z²) for |z| ≤ 4, where it is ±1 in float32: Eigen's coefficients, 2e-7 off at most.
_A = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
      -2.95459980854025e-03, -1.60960333262415e-02)  # fmt: skip
_B = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02)


def _cdf_block(x: Any) -> Any:
    if x.dtype == np.float32:
        z = np.clip(x * np.float32(_SQRT1_2), -4, 4)
        square = z * z
        z *= _horner(square, _A)
        z /= _horner(square, _B)
        z *= 0.5
        z += 0.5
        return z
    z = np.absolute(x) * _SQRT1_2
    near = z <= 1
    if assured(np.all, near):
        return _cdf_near(x)
    np.minimum(z, 40, out=z)  # beyond, the exponential is 0
    tail = 0.5 * np.exp(-z * z) * (_horner(z, _P) / _horner(z, _Q))
    out = np.where(x > 0, 1 - tail, tail)
    if traced(near):
        return np.where(near, _cdf_near(x), out)
    if near.any():
        out[near] = _cdf_near(x[near])
    return out


def _cdf_near(x: Any) -> Any:
    square = 0.5 * x * x
    return 0.5 + 0.5 * _SQRT1_2 * x * (_horner(square, _T) / _horner(square, _U))


#: Elements at a time: the intermediate results of so many stay in the processor's cache.
_BLOCK = 8192


@primitive(elementwise=True, x=lambda g, x: g * (_DENSITY * np.exp(-0.5 * (x * x))))
def normal_cdf(x: Operand) -> Tensor:
    """Φ(x) = ½ (1 + erf(x/√2)), also in the tail, without SciPy.   ∂/∂x = e^(−x²/2)/√(2π)

    >>> import tinytensor as tt
    >>> from tinytensor.ops.activations import normal_cdf
    >>> normal_cdf(tt.tensor([-10.0, 0.0, 1.0]))
    tensor([7.61985302e-24, 5.00000000e-01, 8.41344746e-01])
    """
    x = asarray(x)
    if x.dtype.kind != "f":
        x = x.astype(float)
    flat = contiguous(x).reshape(-1)
    if flat.size <= _BLOCK or traced(flat):  # a plan has blocks of its own
        return _cdf_block(flat).reshape(x.shape)
    out = np.empty_like(flat)
    for at in range(0, flat.size, _BLOCK):
        out[at : at + _BLOCK] = _cdf_block(flat[at : at + _BLOCK])
    return out.reshape(x.shape)


_TANH_SCALE, _TANH_CUBE = 0.7978845608028654, 0.044715  # √(2/π)


@primitive(
    elementwise=True,
    x=lambda g, x, out: g * (2 * _TANH_SCALE * (out * (1 - out)) * (1 + 3 * _TANH_CUBE * (x * x))),
)
def _tanh_gate(x: Any) -> Any:
    """½ (1 + tanh(√(2/π) (x + 0.044715 x³)))."""
    inner = x * x
    inner *= _TANH_CUBE
    inner += 1
    inner *= x
    inner *= _TANH_SCALE
    return 0.5 * np.tanh(inner) + 0.5


@composite()
def gelu(x: Operand, approximate: str = "none") -> Tensor:
    """x Φ(x), Φ the normal distribution function; "tanh": its approximation.   (``torch.nn.functional.gelu``)

    Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.

    >>> import tinytensor as tt
    >>> tt.nn.functional.gelu(tt.tensor([-1.0, 0.0, 1.0])).round(4)
    tensor([-0.1587,  0.    ,  0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    x = _given(x)
    return x * (normal_cdf if approximate == "none" else _tanh_gate)(x)


def _silu_rule(g: Any, x: Any, out: Any, kept: Any) -> Any:
    """g σ (1 + x (1 − σ)) = g (σ + out (1 − σ))."""
    if not (kept and kept[0] is x and g.__class__ is np.ndarray and g.shape == x.shape):
        gate = sigmoid(x)
        return g * (gate * (1 + x * (1 - gate)))
    gx = np.subtract(1, kept[1], empty(x.shape, x.dtype, x))
    gx *= out
    gx += kept[1]
    gx *= g
    return gx


@primitive(elementwise=True, x=_silu_rule)
def _silu(x: Any, kept: list[Any]) -> Any:
    """x σ(x). ``kept``: an empty list, in which σ(x) is left for the rule, which takes it if it is that of its x."""
    gate = np.negative(x, empty(x.shape, x.dtype, x))
    with np.errstate(over="ignore"):  # e⁻ˣ may be ∞: its reciprocal is the 0 that is meant
        np.exp(gate, gate)
    gate += 1
    np.reciprocal(gate, gate)
    kept[:] = x, gate
    return x * gate


@composite()
def silu(x: Operand) -> Tensor:
    """x σ(x), also called swish.   ∂/∂x = σ (1 + x (1 − σ))   (``torch.nn.functional.silu``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.silu(tt.tensor([-1.0, 0.0, 1.0])).round(4)
    tensor([-0.2689,  0.    ,  0.7311])
    """
    x = _given(x)
    return _silu(x, []) if x.dtype.kind == "f" else x * sigmoid(x)


@primitive(elementwise=True, x=lambda g, x, out: g * ((1 - out * out) * sigmoid(x)))
def _mish_gate(x: Any) -> Any:
    """tanh(ln(1 + eˣ)) = u/(u + 2) with u = eˣ (eˣ + 2)."""
    e = np.exp(np.minimum(x, 20))
    u = e * (e + 2)
    return u / (u + 2)


@composite()
def mish(x: Operand) -> Tensor:
    """x tanh(ln(1 + eˣ)).   (``torch.nn.functional.mish``; Misra 2019)

    >>> import tinytensor as tt
    >>> tt.nn.functional.mish(tt.tensor([-1.0, 0.0, 1.0])).round(4)
    tensor([-0.3034,  0.    ,  0.8651])
    """
    x = _given(x)
    return x * _mish_gate(x)


# ---------------------------------------------------------------------------------------------------------- in pieces


@primitive(
    broadcasts=True,
    x=lambda g, x, weight: np.where(x > 0, g, g * weight),
    weight=lambda g, x: np.where(x > 0, 0, g * x),
)
def _prelu(x: Any, weight: Any) -> Any:
    return np.where(x > 0, x, x * weight)


@composite()
def prelu(x: Operand, weight: Operand) -> Tensor:
    """x where x > 0, else a·x, a learned: one number, or one for each channel (axis 1).   (``torch.nn.functional.prelu``)

    At 0 the derivative is a. He et al., Delving Deep into Rectifiers, 2015.

    >>> import tinytensor as tt
    >>> tt.nn.functional.prelu(tt.tensor([[-1.0, -1.0]]), tt.tensor([0.5, 0.25]))
    tensor([[-0.5 , -0.25]])
    """
    x, weight = _given(x), _given(weight)
    if weight.size > 1:
        channels = x.shape[1] if x.ndim > 1 else None
        if weight.shape != (channels,):
            raise ValueError(f"prelu: expected one weight, or one for each channel of x {x.shape}, got {weight.shape}")
        weight = weight.reshape(weight.size, *[1] * (x.ndim - 2))
    elif weight.ndim > 1:
        raise ValueError(f"prelu: weight is a number or a vector, got shape {weight.shape}")
    elif weight.ndim > x.ndim:
        weight = weight.reshape(())
    return _prelu(x, weight)


@primitive(
    broadcasts=True,
    x=lambda g, x, min_val, max_val: keep(g, np.logical_and(x > min_val, x < max_val)),
    min_val=lambda g, x, min_val: keep(g, np.less_equal(x, min_val)),
    max_val=lambda g, x, min_val, max_val: keep(g, np.logical_and(x >= max_val, x > min_val)),
)
def hardtanh(x: Operand, min_val: Operand = -1.0, max_val: Operand = 1.0) -> Tensor:
    """x between the bounds, which are constants or tensors.   ∂/∂x = [inside], 0 at them   (``torch.nn.functional.hardtanh``)

    >>> import tinytensor as tt
    >>> tt.hardtanh(tt.tensor([-3.0, 0.5]))
    tensor([-1. ,  0.5])
    """
    return np.minimum(np.maximum(x, min_val), max_val)


@composite()
def relu6(x: Operand) -> Tensor:
    """x between 0 and 6.   ∂/∂x = [0 < x < 6]   (``torch.nn.functional.relu6``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.relu6(tt.tensor([-1.0, 3.0, 7.0]))
    tensor([0., 3., 6.])
    """
    return hardtanh(_given(x), 0.0, 6.0)


def _inside(x: Any) -> Any:
    return np.logical_and(x > -3, x < 3)


@primitive(elementwise=True, x=lambda g, x: keep(g / 6, _inside(x)))
def hardsigmoid(x: Operand) -> Tensor:
    """(x + 3)/6 between 0 and 1.   ∂/∂x = ⅙ for |x| < 3   (``torch.nn.functional.hardsigmoid``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.hardsigmoid(tt.tensor([-4.0, 0.0, 4.0]))
    tensor([0. , 0.5, 1. ])
    """
    return np.minimum(np.maximum(np.add(x, 3), 0), 6) / 6


@primitive(elementwise=True, x=lambda g, x: keep(g * np.where(x < 3, x / 3 + 0.5, 1), x > -3))
def hardswish(x: Operand) -> Tensor:
    """x · hardsigmoid(x).   ∂/∂x = x/3 + ½ for |x| < 3, else 0 or 1   (``torch.nn.functional.hardswish``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.hardswish(tt.tensor([-4.0, 1.5, 4.0]))
    tensor([-0.   ,  1.125,  4.   ])
    """
    return np.minimum(np.maximum(np.add(x, 3), 0), 6) / 6 * x


@primitive(elementwise=True, x=lambda g, x, lambd: keep(g, np.absolute(x) > lambd))
def _hardshrink(x: Any, lambd: float) -> Any:
    return np.where(np.absolute(x) <= lambd, 0, x)


@composite()
def hardshrink(x: Operand, lambd: float = 0.5) -> Tensor:
    """x where |x| > λ, else 0.   ∂/∂x = [|x| > λ]   (``torch.nn.functional.hardshrink``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.hardshrink(tt.tensor([-1.0, 0.5, 2.0]))
    tensor([-1.,  0.,  2.])
    """
    return _hardshrink(_given(x), lambd)


@primitive(elementwise=True, x=lambda g, x, lambd: keep(g, np.absolute(x) > lambd))
def _softshrink(x: Any, lambd: float) -> Any:
    return x - np.minimum(np.maximum(x, -lambd), lambd)


@composite()
def softshrink(x: Operand, lambd: float = 0.5) -> Tensor:
    """x moved towards 0 by λ, and 0 where |x| ≤ λ.   ∂/∂x = [|x| > λ]   (``torch.nn.functional.softshrink``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.softshrink(tt.tensor([-1.0, 0.5, 2.0]))
    tensor([-0.5,  0. ,  1.5])
    """
    if lambd < 0:
        raise ValueError(f"softshrink: lambd must not be negative, got {lambd}")
    return _softshrink(_given(x), lambd)


@primitive(elementwise=True, x=lambda g, x, out: g * np.square(x - out))
def tanhshrink(x: Operand) -> Tensor:
    """x − tanh x.   ∂/∂x = tanh² x   (``torch.nn.functional.tanhshrink``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.tanhshrink(tt.tensor([0.0, 1.0])).round(4)
    tensor([0.    , 0.2384])
    """
    return x - np.tanh(x)


@primitive(elementwise=True, x=lambda g, x, threshold: keep(g, x > threshold))
def _threshold(x: Any, threshold: float, value: float) -> Any:
    return np.where(x > threshold, x, value)


@composite()
def threshold(x: Operand, threshold: float, value: float) -> Tensor:
    """x where it is above the threshold, else the value.   ∂/∂x = [x > threshold]   (``torch.nn.functional.threshold``)

    >>> import tinytensor as tt
    >>> tt.nn.functional.threshold(tt.tensor([0.1, 2.0]), 1.0, -5.0)
    tensor([-5.,  2.])
    """
    return _threshold(_given(x), threshold, value)


@primitive(elementwise=True, x=lambda g, x: g / (1 + np.absolute(x)) ** 2)
def _softsign(x: Any) -> Any:
    return x / (1 + np.absolute(x))


@composite()
def softsign(x: Operand) -> Tensor:
    """x / (1 + |x|).   ∂/∂x = 1/(1 + |x|)²   (``torch.nn.functional.softsign``)

    >>> import tinytensor as tt
    >>> tt.softsign(tt.tensor([-1.0, 3.0]))
    tensor([-0.5 ,  0.75])
    """
    array: Any = x if isinstance(x, TensorBase) else asarray(x)
    return array / (1 + np.absolute(array)) if array.dtype.kind == "c" else _softsign(array)


@composite()
def glu(x: Operand, axis: int = -1) -> Tensor:
    """The first half along the axis times the sigmoid of the second.   (``torch.nn.functional.glu``)

    >>> import tinytensor as tt
    >>> tt.glu(tt.tensor([2.0, 4.0, 0.0, 0.0]))
    tensor([1., 2.])
    """
    array: Any = x if isinstance(x, TensorBase) else asarray(x)
    n = array.shape[axis]
    if n % 2:
        raise ValueError(f"glu: the axis must have an even length, got shape {array.shape} and axis {axis}")
    before = (slice(None),) * (axis % array.ndim)
    return array[(*before, slice(n // 2))] * sigmoid(array[(*before, slice(n // 2, None))])
