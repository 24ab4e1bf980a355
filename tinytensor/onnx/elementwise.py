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
    "pieces.abs": "Abs", "pieces.fabs": "Abs", "pieces.sign": "Sign", "pieces.relu": "Relu", "pieces.floor": "Floor",
    "pieces.ceil": "Ceil", "pieces.rint": "Round", "activations._softsign": "Softsign",
    "activations.hardswish": "HardSwish",
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
_LOGIC = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor"}


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


for _key, _kind in _UNARY.items():
    EMITTERS[f"tinytensor.ops.{_key}"] = _unary(_kind)
for _key, _kind in _BINARY.items():
    EMITTERS[f"tinytensor.ops.{_key}"] = _binary(_kind)
for _key, _kind in _COMPARE.items():
    EMITTERS[f"numpy.{_key}"] = _comparison(_kind)
for _key, _kind in _LOGIC.items():
    EMITTERS[f"numpy.{_key}"] = _logic(_kind)


@emits("numpy.not_equal")
def _not_equal(g: Graph, step: Step) -> Any:
    return g("Not", g("Equal", *_common(g, step.args[:2])))


@emits("numpy.logical_not", "numpy.invert")
def _not(g: Graph, step: Step) -> Any:
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


@emits("ops.elementwise.floor_divide")
def _floor_divide(g: Graph, step: Step) -> Any:
    return g("Floor", g("Div", *inputs(g, step, 2)))


@emits("ops.elementwise.remainder")
def _remainder(g: Graph, step: Step) -> Any:
    x, y = inputs(g, step, 2)
    return g("Sub", x, g("Mul", y, g("Floor", g("Div", x, y))))


@emits("ops.elementwise.fmod")
def _fmod(g: Graph, step: Step) -> Any:
    return g("Mod", *inputs(g, step, 2), fmod=1)


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


@emits("ops.transcendental.logaddexp")
def _logaddexp(g: Graph, step: Step) -> Any:
    """max(x, y) + ln(1 + e^−|x − y|)."""
    x, y = inputs(g, step)
    return g("Add", g("Max", x, y), g("Softplus", g("Neg", g("Abs", g("Sub", x, y)))))


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
