"""PyTorch as a witness: the same NumPy source, run in a namespace whose functions call PyTorch's.

What computes is PyTorch's function of that meaning; what only moves elements about is NumPy's function of the elements'
positions, and PyTorch gathers them. Derivatives are PyTorch's in either case.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial, reduce
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.testing.gradcheck import weights_for

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["Space", "Twin", "UntranslatedError", "available", "reference"]

Run = Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]


class UntranslatedError(LookupError):
    """A program calls something that this module has no translation of: PyTorch says nothing about it."""


def available() -> bool:
    """Whether PyTorch is installed."""
    return find_spec("torch") is not None


def reference(run: Run, leaves: Mapping[str, Array]) -> dict[str, tuple[Array, Array]]:
    """What PyTorch says in float64: each variable's numbers, and the leaves' gradients (of the others: empty).

    ``run(arrays, names)`` runs a program on arrays, with these names for ``np`` and ``tt``.
    """
    space = Space(import_module("torch"))
    torch = space.torch
    given = {name: torch.tensor(np.asarray(a, float), requires_grad=True) for name, a in leaves.items()}
    variables = run({name: Twin(t, space) for name, t in given.items()}, {"np": space, "tt": space})
    made = [space.lift(v) for name, v in variables.items() if name not in leaves]
    total = sum((torch.tensor(weights_for(k, tuple(t.shape))) * t).sum() for k, t in enumerate(made))
    slopes = [torch.zeros_like(t) for t in given.values()]
    if getattr(total, "requires_grad", False):
        slopes = torch.autograd.grad(total, list(given.values()), allow_unused=True, materialize_grads=True)
    of = dict(zip(given, slopes, strict=True))
    nothing = np.zeros(0)
    values = {name: space.lift(v).numpy(force=True) for name, v in variables.items()}
    return {name: (v, of[name].numpy(force=True) if name in of else nothing) for name, v in values.items()}


class Twin:
    """A PyTorch tensor that is spoken to as an ndarray: its operators and methods are the namespace's functions."""

    __array_ufunc__ = None  # NumPy's numbers leave operators to us
    __hash__ = None  # type: ignore[assignment]
    dtype = np.dtype(float)

    def __init__(self, t: Any, space: Space) -> None:
        self.t, self.space = t, space

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.t.shape)

    @property
    def numbers(self) -> Array:
        """The values, as an ndarray."""
        return np.asarray(self.t.numpy(force=True))

    @property
    def T(self) -> Any:
        return self.space.moved(np.transpose)(self)

    @property
    def mT(self) -> Any:
        return self.space.moved(np.matrix_transpose)(self)

    def __getattr__(self, name: str) -> Any:
        return partial(getattr(self.space, {"flatten": "ravel"}.get(name, name)), self)

    def _with(self, name: str, x: Any, y: Any) -> Twin:
        return Twin(getattr(self.space.torch, name)(self.space.lift(x), self.space.lift(y)), self.space)

    def __add__(self, other: Any) -> Twin:
        return self._with("add", self, other)

    def __sub__(self, other: Any) -> Twin:
        return self._with("sub", self, other)

    def __mul__(self, other: Any) -> Twin:
        return self._with("mul", self, other)

    def __truediv__(self, other: Any) -> Twin:
        return self._with("div", self, other)

    def __floordiv__(self, other: Any) -> Twin:
        return self.space.floor_divide(self, other)

    def __mod__(self, other: Any) -> Twin:
        return self._with("remainder", self, other)

    def __pow__(self, other: Any) -> Twin:
        return self._with("pow", self, other)

    def __matmul__(self, other: Any) -> Twin:
        return self._with("matmul", self, other)

    def __rsub__(self, other: Any) -> Twin:
        return self._with("sub", other, self)

    def __rtruediv__(self, other: Any) -> Twin:
        return self._with("div", other, self)

    def __rpow__(self, other: Any) -> Twin:
        return self._with("pow", other, self)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Twin:
        return Twin(-self.t, self.space)

    def __pos__(self) -> Twin:
        return Twin(self.t, self.space)

    def __abs__(self) -> Twin:
        return Twin(self.t.abs(), self.space)

    def __gt__(self, other: Any) -> Any:
        return self.numbers > np.asarray(other)

    def __le__(self, other: Any) -> Any:
        return self.numbers <= np.asarray(other)

    def __getitem__(self, index: Any) -> Any:
        return self.space.moved(lambda positions: positions[index])(self)

    def __setitem__(self, index: Any, value: Any) -> None:
        """Rebind, to what NumPy's assignment would leave: each place holds the last that was written there."""
        old, new = self.t.reshape(-1), self.space.lift(value).reshape(-1)
        places = np.arange(len(old) + len(new))
        written = places[: len(old)].reshape(self.shape)
        written[index] = places[len(old) :].reshape(tuple(self.space.lift(value).shape))
        self.t = self.space.torch.cat([old, new])[self.space.torch.tensor(written)]


#: Functions of one or two arrays: those that PyTorch calls as NumPy does, and those that it calls otherwise.
_SAME = (
    "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
    "square", "reciprocal", "negative", "positive", "sign", "hypot", "maximum", "minimum", "fmax", "fmin", "arcsin",
    "arccos", "arctan", "arcsinh", "arccosh", "arctanh", "arctan2", "matmul", "outer", "sigmoid", "relu", "tril",
    "triu", "diag", "diagflat",
)  # fmt: skip
_OTHER = {
    "absolute": "abs", "abs": "abs", "fabs": "abs", "degrees": "rad2deg", "radians": "deg2rad", "deg2rad": "deg2rad",
    "power": "pow", "mod": "remainder", "remainder": "remainder",
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div",
}  # fmt: skip
SAME = {name: name for name in _SAME} | _OTHER

#: What only moves elements: NumPy's function runs on their positions.
MOVES = {
    "reshape", "ravel", "transpose", "swapaxes", "squeeze", "expand_dims", "broadcast_to", "flip", "flipud", "fliplr",
    "rot90", "roll", "moveaxis", "rollaxis", "atleast_1d", "atleast_2d", "atleast_3d", "tile", "repeat", "resize",
    "diagonal", "delete", "take", "compress", "split", "array_split", "unstack", "copy", "concatenate", "stack",
    "vstack", "hstack", "dstack", "column_stack", "append", "block", "meshgrid", "broadcast_arrays", "extract",
    "choose", "take_along_axis",
}  # fmt: skip

#: What makes constants.
CONSTANTS = {"array", "arange", "float64", "newaxis"}


class Ufunc:
    """A function of two arrays with ``reduce``, ``accumulate`` and ``outer``."""

    def __init__(self, call: Any, reduce: Any, accumulate: Any, space: Space) -> None:
        self.call, self.reduce, self.accumulate, self.space = call, reduce, accumulate, space

    def __call__(self, x: Any, y: Any) -> Twin:
        return Twin(self.call(self.space.lift(x), self.space.lift(y)), self.space)

    def outer(self, x: Any, y: Any) -> Twin:
        """All pairs."""
        x, y = self.space.lift(x), self.space.lift(y)
        return Twin(self.call(x.reshape((*x.shape, *[1] * y.ndim)), y), self.space)


class Space:
    """NumPy's names, and those of ``tt``, for PyTorch's tensors."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.linalg = self.lib = self.stride_tricks = self
        self.norm = self.vector_norm = self.reduction(torch.linalg.vector_norm)
        self.sum, self.mean, self.prod = map(self.reduction, (torch.sum, torch.mean, torch.prod))
        self.max, self.min, self.logsumexp = map(self.reduction, (torch.amax, torch.amin, torch.logsumexp))
        self.ptp = self.reduction(lambda t, dim: torch.amax(t, dim) - torch.amin(t, dim))
        self.median = self.reduction(self._median)
        self.average = self._average
        self.cumsum, self.cumprod = self._scan(torch.cumsum), self._scan(torch.cumprod)
        self.sort = self._scan(lambda t, dim: torch.sort(t, dim).values, -1)
        self.add = Ufunc(torch.add, self.sum, self.cumsum, self)
        self.multiply = Ufunc(torch.mul, self.prod, self.cumprod, self)
        self.subtract = Ufunc(torch.sub, None, None, self)

    def __getattr__(self, name: str) -> Any:
        if name in MOVES:
            return self.moved(getattr(np, name))
        if name in CONSTANTS:
            return getattr(np, name)
        if name in SAME:
            return self.lifted(getattr(self.torch, SAME[name]))
        raise UntranslatedError(f"PyTorch was not asked: np.{name} is not translated")

    # -- how functions are made

    def lift(self, x: Any) -> Any:
        """A tensor of a Twin, or of numbers."""
        return x.t if isinstance(x, Twin) else self.torch.tensor(np.asarray(x, float))

    def lifted(self, f: Callable[..., Any]) -> Callable[..., Twin]:
        """PyTorch's function of arrays; whole numbers are options."""
        return lambda *xs: Twin(f(*[x if type(x) is int and k else self.lift(x) for k, x in enumerate(xs)]), self)

    def moved(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """NumPy's function run on positions in all arrays, one behind the other; the elements are gathered."""

        def call(*args: Any, **kwargs: Any) -> Any:
            flat: list[Any] = []

            def positions(x: Any) -> Any:
                if isinstance(x, Twin):
                    start = sum(len(t) for t in flat)
                    flat.append(x.t.reshape(-1))
                    return np.arange(start, start + x.t.numel()).reshape(x.shape)
                return type(x)(map(positions, x)) if type(x) in (list, tuple) else x

            found = f(*positions(args), **{k: positions(v) for k, v in kwargs.items()})
            everything = self.torch.cat(flat)

            def gather(place: Any) -> Twin:
                return Twin(everything[self.torch.tensor(np.array(place, int, order="C"))], self)

            return [gather(p) for p in found] if isinstance(found, (list, tuple)) else gather(found)

        return call

    def reduction(self, f: Callable[..., Any]) -> Callable[..., Twin]:
        """A function of the last axis, over any axes."""

        def call(x: Any, axis: Any = None, keepdims: bool = False, **options: Any) -> Twin:
            t = self.lift(x)
            n = t.ndim
            axes = range(n) if axis is None else axis if isinstance(axis, tuple) else (axis,)
            gone = sorted(a % n for a in axes)
            kept = [a for a in range(n) if a not in gone]
            shape = [t.shape[a] for a in kept]
            y = f(t.permute((*kept, *gone)).reshape(*shape, math.prod(t.shape[a] for a in gone)), dim=-1, **options)
            return Twin(y.reshape([1 if a in gone else t.shape[a] for a in range(n)]) if keepdims else y, self)

        return call

    def _scan(self, f: Callable[..., Any], default: int | None = None) -> Callable[..., Twin]:
        def call(x: Any, axis: int | None = default) -> Twin:
            t = self.lift(x)
            return Twin(f(t.reshape(-1), 0) if axis is None else f(t, axis), self)

        return call

    # -- functions that PyTorch names or orders otherwise

    def var(self, x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Twin:
        return self.reduction(partial(self.torch.var, correction=ddof))(x, axis, keepdims)

    def std(self, x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Twin:
        return self.reduction(partial(self.torch.std, correction=ddof))(x, axis, keepdims)

    def _median(self, t: Any, dim: int) -> Any:
        ordered, n = self.torch.sort(t, dim).values, t.shape[dim]
        return (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2

    def _average(self, x: Any, axis: Any = None, weights: Any = None, keepdims: bool = False) -> Twin:
        if weights is None:
            return self.mean(x, axis, keepdims)
        t, w = self.lift(x), self.lift(weights)
        return Twin((t.movedim(axis, -1) * w).sum(-1) / w.sum(), self)

    def log_softmax(self, x: Any, axis: Any = None) -> Twin:
        if isinstance(axis, int):
            return Twin(self.torch.log_softmax(self.lift(x), axis), self)
        return Twin(self.lift(x) - self.logsumexp(x, axis, keepdims=True).t, self)

    def softmax(self, x: Any, axis: Any = None) -> Twin:
        return Twin(self.log_softmax(x, axis).t.exp(), self)

    def floor_divide(self, x: Any, y: Any) -> Twin:
        return Twin((self.lift(x) / self.lift(y)).floor(), self)

    def cbrt(self, x: Any) -> Twin:
        t = self.lift(x)
        return Twin(t.sign() * t.abs() ** (1 / 3), self)

    def softplus(self, x: Any) -> Twin:
        return Twin(self.torch.nn.functional.softplus(self.lift(x), threshold=100), self)

    def leaky_relu(self, x: Any, slope: float = 0.01) -> Twin:
        return Twin(self.torch.nn.functional.leaky_relu(self.lift(x), slope), self)

    def clip(self, x: Any, low: Any, high: Any) -> Twin:
        t = self.lift(x)
        t = t if low is None else self.torch.maximum(t, self.lift(low))
        return Twin(t if high is None else self.torch.minimum(t, self.lift(high)), self)

    def where(self, condition: Any, x: Any, y: Any) -> Twin:
        return Twin(self.torch.where(self.torch.tensor(np.asarray(condition)), self.lift(x), self.lift(y)), self)

    def select(self, conditions: Any, choices: Any, default: Any) -> Twin:
        last: Any = default
        for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
            last = self.where(condition, choice, last)
        return Twin(last.t, self)

    def trace(self, x: Any, offset: int = 0) -> Twin:
        return Twin(self.torch.diagonal(self.lift(x), offset).sum(-1), self)

    def diff(self, x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Twin:
        t = self.lift(x)
        ends = [None if e is None else self.lift(e).expand(*t.shape[:-1], 1) for e in (prepend, append)]
        return Twin(self.torch.diff(t, n, axis, *ends), self)

    def trapezoid(self, x: Any, dx: float = 1.0, axis: int = -1) -> Twin:
        return Twin(self.torch.trapezoid(self.lift(x), dx=dx, dim=axis), self)

    def pad(self, x: Any, widths: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
        if mode != "constant":
            return self.moved(np.pad)(x, widths, mode=mode)
        return self.moved(partial(np.pad, mode="constant"))(
            x, widths, constant_values=Twin(self.lift(constant_values), self)
        )

    def insert(self, x: Any, where: Any, value: Any, axis: int) -> Any:
        return self.moved(np.insert)(x, where, Twin(self.lift(value), self), axis=axis)

    def argsort(self, x: Any, axis: int = -1) -> Any:
        return np.argsort(x.numbers, axis)

    def partition(self, x: Any, kth: Any, axis: int = -1) -> Any:
        return self.take_along_axis(x, np.argpartition(x.numbers, kth, axis), axis)

    def sliding_window_view(self, x: Any, window: Any, axis: Any = None) -> Any:
        return self.moved(np.lib.stride_tricks.sliding_window_view)(x, window, axis)

    # -- products

    def dot(self, x: Any, y: Any) -> Twin:
        x, y = self.lift(x), self.lift(y)
        if not x.ndim or not y.ndim:
            return Twin(x * y, self)
        return Twin(self.torch.tensordot(x, y, ([-1], [max(y.ndim - 2, 0)])), self)

    def outer(self, x: Any, y: Any) -> Twin:
        return Twin(self.torch.outer(self.lift(x).reshape(-1), self.lift(y).reshape(-1)), self)

    def kron(self, x: Any, y: Any) -> Twin:
        return Twin(self.torch.kron(self.lift(x).contiguous(), self.lift(y).contiguous()), self)  # it asks for no less

    def inner(self, x: Any, y: Any) -> Twin:
        return Twin(self.torch.inner(self.lift(x), self.lift(y)), self)

    def vdot(self, x: Any, y: Any) -> Twin:
        return Twin((self.lift(x) * self.lift(y)).sum(), self)

    def vecdot(self, x: Any, y: Any) -> Twin:
        return Twin(self.torch.linalg.vecdot(self.lift(x), self.lift(y)), self)

    def cross(self, x: Any, y: Any) -> Twin:
        return Twin(self.torch.linalg.cross(*self.torch.broadcast_tensors(self.lift(x), self.lift(y))), self)

    def tensordot(self, x: Any, y: Any, axes: Any) -> Twin:
        return Twin(self.torch.tensordot(self.lift(x), self.lift(y), axes), self)

    def einsum(self, subscripts: str, *operands: Any) -> Twin:
        return Twin(self.torch.einsum(subscripts, *map(self.lift, operands)), self)

    def linear(self, x: Any, w: Any, b: Any = None) -> Twin:
        y = self.lift(x) @ self.lift(w).T
        return Twin(y if b is None else y + self.lift(b), self)

    def multi_dot(self, arrays: Any) -> Twin:
        return Twin(self.torch.linalg.multi_dot(list(map(self.lift, arrays))), self)

    def matrix_power(self, x: Any, n: int) -> Twin:
        return Twin(self.torch.linalg.matrix_power(self.lift(x), n), self)

    def convolve(self, x: Any, y: Any, mode: str = "full") -> Twin:
        x, y = self.lift(x), self.lift(y)
        full = sum(self.torch.nn.functional.pad(x * c, (k, len(y) - 1 - k)) for k, c in enumerate(y))
        longest, shortest = max(len(x), len(y)), min(len(x), len(y))
        start = (shortest - 1) // 2 if mode == "same" else 0
        return Twin(full[start : start + longest] if mode == "same" else full, self)

    def correlate(self, x: Any, y: Any, mode: str) -> Any:
        return self.convolve(x, self.moved(np.flip)(y), mode)

    def polyval(self, c: Any, x: Any) -> Twin:
        t, zero = self.lift(x), self.torch.zeros_like(self.lift(x))
        return Twin(reduce(lambda y, coefficient: y * t + coefficient, self.lift(c), zero), self)
