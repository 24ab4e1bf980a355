"""How elementwise primitives and activations are written in ONNX."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinytensor.onnx.graph import Graph
from tinytensor.onnx.program import Step, Symbol, Varying
from tinytensor.onnx.table import EMITTERS, Emitter, emits
from tinytensor.primitive import TensorBase

__all__ = ["inputs", "is_number"]

_UNARY = {
    "elementwise.negative": "Neg", "elementwise.reciprocal": "Reciprocal", "elementwise.sqrt": "Sqrt",
    "elementwise.positive": "Identity", "complex.real": "Identity", "complex.conj": "Identity", "shape.copy": "Identity",
    "transcendental.exp": "Exp", "transcendental.log": "Log", "transcendental.sin": "Sin", "transcendental.cos": "Cos",
    "transcendental.tan": "Tan", "transcendental.arcsin": "Asin", "transcendental.arccos": "Acos",
    "transcendental.arctan": "Atan", "transcendental.sinh": "Sinh", "transcendental.cosh": "Cosh",
    "transcendental.arcsinh": "Asinh", "transcendental.arccosh": "Acosh", "transcendental.arctanh": "Atanh",
    "transcendental.tanh": "Tanh", "transcendental.sigmoid": "Sigmoid", "transcendental.softplus": "Softplus",
    "pieces.abs": "Abs", "pieces.fabs": "Abs", "pieces.sign": "Sign", "pieces.floor": "Floor",
    "pieces.ceil": "Ceil", "pieces.rint": "Round", "activations._softsign": "Softsign",
    "activations.hardswish": "HardSwish", "special.erf": "Erf",
}  # fmt: skip
_BINARY = {
    "elementwise.add": "Add", "elementwise.subtract": "Sub", "elementwise.multiply": "Mul", "elementwise.divide": "Div",
    "elementwise.power": "Pow", "elementwise.float_power": "Pow", "elementwise.mul0": "Mul", "elementwise.div0": "Div",
    "elementwise._both0": "Mul", "pieces.fmax": "Max", "pieces.fmin": "Min", "pieces.maximum": "Max", "pieces.minimum": "Min", "linalg.matmul": "MatMul",
}  # fmt: skip
_COMPARE = {
    "equal": "Equal", "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
}  # fmt: skip
_LOGIC = {"and": "And", "or": "Or", "xor": "Xor"}


def inputs(g: Graph, step: Step, n: int | None = None) -> list[str]:
    """The names of the first ``n`` arguments, in the dtype of the result."""
    return [g.value(x, step.out.dtype) for x in step.args[:n]]


def is_number(x: Any) -> bool:
    """Whether x is one constant number."""
    return not isinstance(x, (Symbol, Varying)) and np.ndim(x._data if isinstance(x, TensorBase) else x) == 0


def _unary(kind: str) -> Emitter:
    return lambda g, step: g(kind, *inputs(g, step, 1))


def _binary(kind: str) -> Emitter:
    return lambda g, step: g(kind, *inputs(g, step, 2))


def _common(g: Graph, args: Any) -> list[str]:
    """Arguments in the dtype that NumPy compares them in; numbers are weak."""
    kinds = [x if type(x) in (int, float, bool) else x.dtype for x in args]
    dtype = np.result_type(*kinds)
    return [g.value(x, dtype) for x in args]


def _comparison(kind: str) -> Emitter:
    return lambda g, step: g(kind, *_common(g, step.args[:2]))


def _logic(kind: str) -> Emitter:
    return lambda g, step: g(kind, *[g.value(x, bool) for x in step.args[:2]])


def _bitwise(kind: str) -> Emitter:
    """Of booleans, which most masks are; of integers, the operation on their bits."""

    def emit(g: Graph, step: Step) -> Any:
        if step.out.dtype == bool:
            return _logic(kind)(g, step)
        if g.opset < 18:
            raise NotImplementedError("integers before opset=18")
        return g(f"Bitwise{kind}", *inputs(g, step, 2))

    return emit


for _key, _kind in _UNARY.items():
    EMITTERS[f"tinytensor.ops.{_key}"] = _unary(_kind)
for _key, _kind in _BINARY.items():
    EMITTERS[f"tinytensor.ops.{_key}"] = _binary(_kind)
for _key, _kind in _COMPARE.items():
    EMITTERS[f"numpy.{_key}"] = _comparison(_kind)
for _key, _kind in _LOGIC.items():
    EMITTERS[f"numpy.logical_{_key}"] = _logic(_kind)
    EMITTERS[f"numpy.bitwise_{_key}"] = _bitwise(_kind)


@emits("numpy.not_equal")
def _not_equal(g: Graph, step: Step) -> Any:
    return g("Not", g("Equal", *_common(g, step.args[:2])))


@emits("numpy.logical_not", "numpy.invert")
def _not(g: Graph, step: Step) -> Any:
    if step.out.dtype != bool:
        raise NotImplementedError("integers; use -x - 1")
    return g("Not", g.value(step.args[0], bool))


@emits("numpy.isnan")
def _isnan(g: Graph, step: Step) -> Any:
    return g("IsNaN", step.args[0])


# ---------------------------------------------------------------------------------------------------------- arithmetic


@emits("ops.elementwise.astype", "primitive.cast")
def _astype(g: Graph, step: Step) -> Any:
    return g.cast(g.value(step.args[0]), step.out.dtype)


@emits("ops.elementwise.square")
def _square(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step)
    return g("Mul", x, x)


@emits("numpy.isinf", "numpy.isposinf", "numpy.isneginf")
def _isinf(g: Graph, step: Step) -> Any:
    sides = {"detect_positive": int(step.name != "isneginf"), "detect_negative": int(step.name != "isposinf")}
    return g("IsInf", step.args[0], **sides)


@emits("numpy.isfinite")
def _isfinite(g: Graph, step: Step) -> Any:
    return g("Not", g("Or", g("IsNaN", step.args[0]), g("IsInf", step.args[0])))


@emits("ops.elementwise.floor_divide")
def _floor_divide(g: Graph, step: Step) -> Any:
    x, y = inputs(g, step, 2)
    if step.out.dtype.kind != "f":  # ONNX rounds the quotients of integers towards 0
        return g("Div", g("Sub", x, g("Mod", x, y)), y)
    return g("Floor", g("Div", x, y))


@emits("ops.elementwise.remainder")
def _remainder(g: Graph, step: Step) -> Any:
    x, y = inputs(g, step, 2)
    if step.out.dtype.kind != "f":
        return g("Mod", x, y)
    return g("Sub", x, g("Mul", y, g("Floor", g("Div", x, y))))


@emits("ops.elementwise.fmod")
def _fmod(g: Graph, step: Step) -> Any:
    return g("Mod", *inputs(g, step, 2), fmod=1)


@emits("ops.pieces.relu")
def _relu(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step)
    return g("Relu", x) if step.out.dtype.kind == "f" else g("Max", x, g.number(0, step.out.dtype))


@emits("ops.pieces.trunc")
def _trunc(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step)
    return g("Mul", g("Sign", x), g("Floor", g("Abs", x)))


@emits("ops.pieces.round")
def _round(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step, 1)
    scale = g.number(10.0 ** step.args[1], step.out.dtype)
    return g("Round", x) if not step.args[1] else g("Div", g("Round", g("Mul", x, scale)), scale)


@emits("ops.transcendental.hypot")
def _hypot(g: Graph, step: Step) -> Any:
    x, y = inputs(g, step)
    return g("Sqrt", g("Add", g("Mul", x, x), g("Mul", y, y)))


@emits("ops.transcendental.logaddexp", "ops.transcendental.logaddexp2")
def _logaddexp(g: Graph, step: Step) -> Any:
    """max(x, y) + ln(1 + e^−|x − y|); the same with powers and logarithms of base 2."""
    x, y = inputs(g, step)
    unit = g.number(math.log(2) if step.name == "logaddexp2" else 1, step.out.dtype)
    apart = g("Mul", g("Abs", g("Sub", x, y)), unit)
    return g("Add", g("Max", x, y), g("Div", g("Softplus", g("Neg", apart)), unit))


@emits("ops.transcendental.arctan2")
def _arctan2(g: Graph, step: Step) -> Any:
    """The angle of the slope y/x; on the left side half a turn away, and 0 at the origin."""
    dtype = step.out.dtype
    (y, x), zero = inputs(g, step), g.number(0, step.out.dtype)
    half = g("Where", g("Less", y, zero), g.number(-math.pi, dtype), g.number(math.pi, dtype))
    angle = g("Add", g("Atan", g("Div", y, x)), g("Where", g("Less", x, zero), half, zero))
    return g("Where", g("And", g("Equal", x, zero), g("Equal", y, zero)), zero, angle)


@emits("ops.pieces.copysign")
def _copysign(g: Graph, step: Step) -> Any:
    """|x|, negative where y or 1/y is: −0 has a sign."""
    (x, y), zero = inputs(g, step), g.number(0, step.out.dtype)
    size = g("Abs", x)
    below = g("Or", g("Less", y, zero), g("Less", g("Div", g.number(1, step.out.dtype), y), zero))
    return g("Where", below, g("Neg", size), size)


@emits("ops.elementwise.cbrt")
def _cbrt(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step)
    return g("Mul", g("Sign", x), g("Pow", g("Abs", x), g.number(1 / 3, step.out.dtype)))


@emits("ops.transcendental.sinc")
def _sinc(g: Graph, step: Step) -> Any:
    x = g("Mul", *inputs(g, step), g.number(math.pi, step.out.dtype))
    zero, one = g.number(0, step.out.dtype), g.number(1, step.out.dtype)
    return g("Where", g("Equal", x, zero), one, g("Div", g("Sin", x), x))


@emits("ops.pieces.heaviside")
def _heaviside(g: Graph, step: Step) -> Any:
    (x, y), zero = inputs(g, step), g.number(0, step.out.dtype)
    return g("Where", g("Equal", x, zero), y, g.cast(g("Greater", x, zero), step.out.dtype))


@emits("ops.pieces.nan_to_num")
def _nan_to_num(g: Graph, step: Step) -> Any:
    x, _, nan, posinf, neginf = step.args
    dtype = step.out.dtype
    bounds = [
        (n if given is None else given)
        for n, given in zip((np.finfo(dtype).min, np.finfo(dtype).max), (neginf, posinf), strict=True)
    ]
    out = g.value(x, dtype)
    for found, value in (
        (g("IsNaN", out), nan),
        *((g("IsInf", out, detect_negative=int(not k), detect_positive=k), bounds[k]) for k in (0, 1)),
    ):
        out = g("Where", found, g.value(np.asarray(value, dtype)), out)
    return out


@emits("ops.elementwise._keep")
def _keep(g: Graph, step: Step) -> Any:
    x, mask = step.args
    return g("Where", g.value(mask, bool), g.value(x, step.out.dtype), g.number(0, step.out.dtype))


@emits("ops.pieces._where")
def _where(g: Graph, step: Step) -> Any:
    condition, x, y = step.args
    return g("Where", g.value(condition, bool), g.value(x, step.out.dtype), g.value(y, step.out.dtype))


@emits("ops.pieces.clip", "ops.activations.hardtanh")
def _clip(g: Graph, step: Step) -> Any:
    x, lo, hi = step.args
    dtype = step.out.dtype
    bounds = [None if b is None else g.value(b, dtype) for b in (lo, hi)]
    if all(b is None or is_number(b) for b in (lo, hi)):
        return g("Clip", g.value(x, dtype), *bounds)
    out = g.value(x, dtype) if bounds[0] is None else g("Max", g.value(x, dtype), bounds[0])
    return out if bounds[1] is None else g("Min", out, bounds[1])


# ------------------------------------------------------------------------------------------ functions of one variable


def _with(kind: str, number: float, first: bool = False) -> Any:
    def make(g: Graph, x: str, dtype: Any) -> Any:
        other = g.number(number, dtype)
        return g(kind, *((other, x) if first else (x, other)))

    return make


def _chain(*makers: Any) -> Emitter:
    """One function after the other; a name is an ONNX node."""

    def emit(g: Graph, step: Step) -> Any:
        (x,) = inputs(g, step, 1)
        for make in makers:
            x = g(make, x) if isinstance(make, str) else make(g, x, step.out.dtype)
        return x

    return emit


_CHAINS = {
    "transcendental.expm1": ("Exp", _with("Sub", 1)),
    "transcendental.log1p": (_with("Add", 1), "Log"),
    "transcendental.exp2": (_with("Pow", 2, first=True),),
    "transcendental.log2": ("Log", _with("Mul", 1 / math.log(2))),
    "transcendental.log10": ("Log", _with("Mul", 1 / math.log(10))),
    "transcendental.degrees": (_with("Mul", 180 / math.pi),),
    "transcendental.radians": (_with("Mul", math.pi / 180),),
    "activations.logsigmoid": ("Neg", "Softplus", "Neg"),
    "activations.normal_cdf": (_with("Mul", math.sqrt(0.5)), "Erf", _with("Add", 1), _with("Mul", 0.5)),
    "activations._mish_gate": ("Softplus", "Tanh"),
}
for _key, _makers in _CHAINS.items():
    EMITTERS[f"tinytensor.ops.{_key}"] = _chain(*_makers)


@emits("ops.pieces.leaky_relu")
def _leaky_relu(g: Graph, step: Step) -> Any:
    return g("LeakyRelu", *inputs(g, step, 1), alpha=float(step.args[1]))


@emits("ops.activations._elu")
def _elu(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step, 1)
    _, alpha, scale, inner = step.args
    if inner == 1:
        out = g("Elu", x, alpha=float(alpha))
    else:
        out = g("Celu", x, alpha=float(alpha))  # which inner is 1/α of
    return out if scale == 1 else g("Mul", out, g.number(scale, step.out.dtype))


@emits("ops.activations._softplus")
def _softplus(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step, 1)
    beta = step.args[1]
    if beta == 1:
        return g("Softplus", x)
    beta = g.number(beta, step.out.dtype)
    return g("Div", g("Softplus", g("Mul", x, beta)), beta)


@emits("ops.activations._tanh_gate")
def _tanh_gate(g: Graph, step: Step) -> Any:
    """½ tanh(√(2/π) (x + 0.044715 x³)) + ½: what x is multiplied by in the approximation of GELU."""
    (x,) = inputs(g, step, 1)
    dtype = step.out.dtype
    cubic = g("Add", g("Mul", g("Mul", x, x), g.number(0.044715, dtype)), g.number(1, dtype))
    inner = g("Mul", g("Mul", x, cubic), g.number(math.sqrt(2 / math.pi), dtype))
    return g("Add", g("Mul", g("Tanh", inner), g.number(0.5, dtype)), g.number(0.5, dtype))


@emits("ops.activations._silu")
def _silu(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step, 1)
    return g("Mul", x, g("Sigmoid", x))


@emits("ops.activations._prelu")
def _prelu(g: Graph, step: Step) -> Any:
    return g("PRelu", *inputs(g, step, 2))


@emits("ops.activations.hardsigmoid")
def _hardsigmoid(g: Graph, step: Step) -> Any:
    return g("HardSigmoid", *inputs(g, step, 1), alpha=1 / 6, beta=0.5)


@emits("ops.activations._hardshrink")
def _hardshrink(g: Graph, step: Step) -> Any:
    return g("Shrink", *inputs(g, step, 1), lambd=float(step.args[1]), bias=0.0)


@emits("ops.activations._softshrink")
def _softshrink(g: Graph, step: Step) -> Any:
    return g("Shrink", *inputs(g, step, 1), lambd=float(step.args[1]), bias=float(step.args[1]))


@emits("ops.activations.tanhshrink")
def _tanhshrink(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step)
    return g("Sub", x, g("Tanh", x))


@emits("ops.activations._threshold")
def _threshold(g: Graph, step: Step) -> Any:
    (x,) = inputs(g, step, 1)
    _, threshold, value = step.args
    above = g("Greater", x, g.number(threshold, step.out.dtype))
    return g("Where", above, x, g.number(value, step.out.dtype))
