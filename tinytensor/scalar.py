"""The scalar reference engine: ``Value``, one visible node per number, and a neuron, a layer and an MLP made of them.

It is micrograd's engine, complete: the graph is recorded while ordinary arithmetic runs, and ``backward`` walks it
once, from the result to the leaves. Nothing here needs NumPy, but NumPy's object arrays need exactly this: ``np.exp``
on an array of Values calls ``Value.exp`` on each element, so a program in plain NumPy runs on Values unchanged.

A graph has no reference cycles and is freed as soon as nobody holds its end. Python's cyclic garbage collector looks
through large graphs in vain, again and again: ``gc.disable()`` makes a training step up to three times as fast.
"""

from __future__ import annotations

import cmath
import decimal
import math
import random
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from decimal import Decimal
from itertools import pairwise
from numbers import Complex, Integral, Number, Real
from types import SimpleNamespace
from typing import Any

__all__ = ["MLP", "Layer", "Module", "Neuron", "Value"]


class Value:
    """A number that remembers how it was computed, so that ``backward`` can tell how a result depends on it.

    ``data`` is any kind of number and keeps its type (int, float, complex, Fraction, Decimal, mpmath, NumPy scalar);
    bool and NumPy's integers, float64, complex128 become Python's own int, float, complex. On complex numbers the
    gradient is f'(z). ``grad`` starts at the int 0, so exact numbers get exact gradients. No number: TypeError.

    An operation has at most two parents, so a node is z = f(x, y) with the partials ∂z/∂x, ∂z/∂y, taken when it is
    made. A number operand becomes a leaf of its own. Comparisons go by data; ``==`` and ``hash`` are identity.

    >>> a, b = Value(2.0, label='a'), Value(-3.0)
    >>> c = a * b + a**2
    >>> c.backward()
    >>> c, a.grad, b.grad
    (Value(data=-2.0, grad=1), 1.0, 2.0)
    """

    __slots__ = ("_dx", "_dy", "_op", "_x", "_y", "data", "grad", "label")

    data: Any
    grad: Any
    label: str
    _op: str
    _x: Value | None
    _y: Value | None
    _dx: Any
    _dy: Any

    def __init__(self, data: Any, label: str = "") -> None:
        number = _number(data)
        if number is NotImplemented:
            hint = " (its number is its .data)" if isinstance(data, Value) else ""
            raise TypeError(f"Value: expected a number, got {type(data).__name__}{hint}")
        self.data, self.grad, self.label = number, 0, label
        self._op, self._x, self._dx, self._y, self._dy = "", None, 0, None, 0

    @property
    def _prev(self) -> tuple[Value, ...]:
        """The parents, in the order of the operands; empty for a leaf."""
        return tuple(parent for parent in (self._x, self._y) if parent is not None)

    def backward(self) -> None:
        """Give every node of the graph its gradient: ∂self/∂node.

        Leaves accumulate, once per call (set ``grad = 0`` between steps); inner nodes are computed afresh by each call,
        so calling twice doubles the leaves and nothing else. No recursion: depth is limited by memory only.

        A node with gradient 0 passes nothing on, even through an infinite slope: √x · 0 has gradient 0 at x = 0.

        >>> a = Value(3.0)
        >>> m = a * a
        >>> (m + m).backward()
        >>> a.grad
        12.0
        """
        order = _topological(self, clear=True)
        self.grad += 1
        for node in reversed(order):
            g = node.grad
            if g and (x := node._x) is not None:
                x.grad += node._dx * g
                if (y := node._y) is not None:
                    y.grad += node._dy * g

    # Arithmetic. An array or tensor on the other side is no number: NotImplemented lets it take over, elementwise.

    def __add__(self, other: Any) -> Value:
        """``x + y``; partials 1, 1."""
        if type(other) is not Value and (other := _operand(other)) is NotImplemented:
            return NotImplemented
        return _node(self.data + other.data, "+", self, 1, other, 1)

    def __sub__(self, other: Any) -> Value:
        """``x − y``; partials 1, −1."""
        if type(other) is not Value and (other := _operand(other)) is NotImplemented:
            return NotImplemented
        return _node(self.data - other.data, "-", self, 1, other, -1)

    def __mul__(self, other: Any) -> Value:
        """``x · y``; partials y, x."""
        if type(other) is not Value and (other := _operand(other)) is NotImplemented:
            return NotImplemented
        x, y = self.data, other.data
        return _node(x * y, "*", self, y, other, x)

    def __truediv__(self, other: Any) -> Value:
        """``x / y``; partials 1/y, −x/y². Division by zero raises ZeroDivisionError."""
        if type(other) is not Value and (other := _operand(other)) is NotImplemented:
            return NotImplemented
        y = other.data
        z = self.data / y
        return _node(z, "/", self, 1 / y, other, -z / y)

    def __floordiv__(self, other: Any) -> Value:
        """⌊x / y⌋; constant between its steps, so partials 0, 0."""
        if type(other) is not Value and (other := _operand(other)) is NotImplemented:
            return NotImplemented
        return _node(self.data // other.data, "//", self, 0, other, 0)

    def __mod__(self, other: Any) -> Value:
        """``x mod y = x − y ⌊x / y⌋``; partials 1, −⌊x / y⌋."""
        if type(other) is not Value and (other := _operand(other)) is NotImplemented:
            return NotImplemented
        x, y = self.data, other.data
        return _node(x % y, "%", self, 1, other, -(x // y))

    def __pow__(self, other: Any) -> Value:
        """``xⁿ`` or x^y; partials n xⁿ⁻¹ and x^y ln x. A number n is no parent, but part of the name of the operation.

        At x = 0: n = 0 has partial 0, 0 < n < 1 an infinite one, n < 0 raises ZeroDivisionError; 0^y is flat, so the
        partial in y is 0. At x < 0 the partial in y does not exist and is nan; a fractional n raises ValueError.
        """
        x = self.data
        if not isinstance(other, Value):
            n = _number(other)
            if n is NotImplemented:
                return NotImplemented
            z = _power(x, n)
            return _node(z, f"**{n}", self, _power_slope(x, n, z))
        y = other.data
        z = _power(x, y)
        try:
            dy = z * _apply("log", x) if x else 0
        except ValueError:
            dy = _library(x).nan
        return _node(z, "**", self, _power_slope(x, y, z), other, dy)

    def __radd__(self, other: Any) -> Value:
        return NotImplemented if (other := _operand(other)) is NotImplemented else other + self

    def __rsub__(self, other: Any) -> Value:
        return NotImplemented if (other := _operand(other)) is NotImplemented else other - self

    def __rmul__(self, other: Any) -> Value:
        return NotImplemented if (other := _operand(other)) is NotImplemented else other * self

    def __rtruediv__(self, other: Any) -> Value:
        return NotImplemented if (other := _operand(other)) is NotImplemented else other / self

    def __rfloordiv__(self, other: Any) -> Value:
        return NotImplemented if (other := _operand(other)) is NotImplemented else other // self

    def __rmod__(self, other: Any) -> Value:
        return NotImplemented if (other := _operand(other)) is NotImplemented else other % self

    def __rpow__(self, other: Any) -> Value:
        return NotImplemented if (other := _operand(other)) is NotImplemented else other**self

    def __neg__(self) -> Value:
        return _node(-self.data, "neg", self, -1)

    def __pos__(self) -> Value:
        return _node(+self.data, "pos", self, 1)

    def __abs__(self) -> Value:
        """|x|; derivative sign x, 0 at 0. TypeError for complex numbers, where |z| has none."""
        x = self.data
        return _node(abs(x), "abs", self, 1 if x > 0 else -1 if x < 0 else 0)

    def maximum(self, other: Any) -> Value:
        """The larger of two numbers; it gets the whole gradient, at a tie each gets half.

        >>> a, b = Value(1.0), Value(1.0)
        >>> a.maximum(b).backward()
        >>> a.grad, b.grad
        (0.5, 0.5)
        """
        other = _partner("maximum", other)
        return _choose("maximum", self, other, self.data > other.data)

    def minimum(self, other: Any) -> Value:
        """The smaller of two numbers; it gets the whole gradient, at a tie each gets half."""
        other = _partner("minimum", other)
        return _choose("minimum", self, other, self.data < other.data)

    # Activations. None overflows: every exponential is of a number that is not positive.

    def relu(self) -> Value:
        """max(x, 0); derivative 1 for x > 0, else 0, also at 0."""
        x = self.data
        return _node(0, "ReLU", self, 0) if x <= 0 else _node(x, "ReLU", self, 1)

    def leaky_relu(self, slope: float = 0.01) -> Value:
        """``x`` for x > 0, else ``slope · x``; derivative 1 for x > 0, else slope."""
        x = self.data
        return _node(slope * x, "LeakyReLU", self, slope) if x <= 0 else _node(x, "LeakyReLU", self, 1)

    def sigmoid(self) -> Value:
        """σ(x) = 1 / (1 + e⁻ˣ); derivative σ(x) σ(−x)."""
        x = self.data
        small = _apply("exp", -x if x.real > 0 else x)
        out = (1 if x.real > 0 else small) / (1 + small)
        return _node(out, "sigmoid", self, small / (1 + small) / (1 + small))

    def softplus(self) -> Value:
        """ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|); derivative σ(x)."""
        x = self.data
        small = _apply("exp", -x if x.real > 0 else x)
        out = _apply("log1p", small) + (x if x.real > 0 else 0)
        return _node(out, "softplus", self, (1 if x.real > 0 else small) / (1 + small))

    def tanh(self) -> Value:
        """``tanh x``; derivative 1 − tanh² x."""
        t = _apply("tanh", self.data)
        return _node(t, "tanh", self, 1 - t * t)

    # Elementary functions, named as NumPy names them. Outside the domain: ValueError (but Decimal and mpmath know ln 0 =
    # −∞, and mpmath goes on into the complex numbers). Where the slope is vertical, the derivative is infinite.

    def exp(self) -> Value:
        """eˣ; derivative eˣ. Overflows to inf."""
        out = _apply("exp", self.data)
        return _node(out, "exp", self, out)

    def exp2(self) -> Value:
        """2ˣ; derivative 2ˣ ln 2."""
        x = self.data
        out = _apply("exp2", x) if _library(x) is math else 2**x
        return _node(out, "exp2", self, out * _library(x).log(2))

    def expm1(self) -> Value:
        """eˣ − 1, precise for small x; derivative eˣ."""
        return _node(_apply("expm1", self.data), "expm1", self, _apply("exp", self.data))

    def log(self) -> Value:
        """``ln x``; derivative 1/x.

        >>> Value(0.0).log()
        Traceback (most recent call last):
        ValueError: log(0.0) is undefined
        """
        return _node(_apply("log", self.data), "log", self, _inverse(self.data))

    def log1p(self) -> Value:
        """ln(1 + x), precise for small x; derivative 1/(1 + x)."""
        return _node(_apply("log1p", self.data), "log1p", self, _inverse(1 + self.data))

    def log2(self) -> Value:
        """log₂ x; derivative 1/(x ln 2)."""
        x = self.data
        ln2 = _library(x).log(2)
        out = _apply("log2", x) if _library(x) is math else _apply("log", x) / ln2
        return _node(out, "log2", self, _inverse(x * ln2))

    def log10(self) -> Value:
        """log₁₀ x; derivative 1/(x ln 10)."""
        x = self.data
        return _node(_apply("log10", x), "log10", self, _inverse(x * _library(x).log(10)))

    def sqrt(self) -> Value:
        """√x; derivative 1/(2√x)."""
        out = _apply("sqrt", self.data)
        return _node(out, "sqrt", self, _inverse(2 * out))

    def cbrt(self) -> Value:
        """∛x; derivative 1/(3 ∛x²)."""
        out = _apply("cbrt", self.data)
        return _node(out, "cbrt", self, _inverse(3 * out * out))

    def hypot(self, other: Any) -> Value:
        """√(x² + y²); partials x/z, y/z, and 0, 0 at the origin."""
        other = _partner("hypot", other)
        x, y = self.data, other.data
        z = math.hypot(x, y) if _library(x) is _library(y) is math else _apply("sqrt", x * x + y * y)
        return _node(z, "hypot", self, x / z, other, y / z) if z else _node(z, "hypot", self, 0, other, 0)

    def sin(self) -> Value:
        """``sin x``; derivative cos x."""
        return _node(_apply("sin", self.data), "sin", self, _apply("cos", self.data))

    def cos(self) -> Value:
        """``cos x``; derivative −sin x."""
        return _node(_apply("cos", self.data), "cos", self, -_apply("sin", self.data))

    def tan(self) -> Value:
        """``tan x``; derivative 1 + tan² x."""
        t = _apply("tan", self.data)
        return _node(t, "tan", self, 1 + t * t)

    def sinh(self) -> Value:
        """``sinh x``; derivative cosh x."""
        return _node(_apply("sinh", self.data), "sinh", self, _apply("cosh", self.data))

    def cosh(self) -> Value:
        """``cosh x``; derivative sinh x."""
        return _node(_apply("cosh", self.data), "cosh", self, _apply("sinh", self.data))

    def arcsin(self) -> Value:
        """``arcsin x``; derivative 1/√(1 − x²)."""
        x = self.data
        return _node(_apply("arcsin", x), "arcsin", self, _inverse(_apply("sqrt", (1 - x) * (1 + x))))

    def arccos(self) -> Value:
        """``arccos x``; derivative −1/√(1 − x²)."""
        x = self.data
        return _node(_apply("arccos", x), "arccos", self, -_inverse(_apply("sqrt", (1 - x) * (1 + x))))

    def arctan(self) -> Value:
        """``arctan x``; derivative 1/(1 + x²)."""
        x = self.data
        return _node(_apply("arctan", x), "arctan", self, 1 / (1 + x * x))

    def arctan2(self, other: Any) -> Value:
        """The angle of the point (x, y), for y.arctan2(x); partials x/r², −y/r², and 0, 0 at the origin."""
        other = _partner("arctan2", other)
        y, x = self.data, other.data
        angle, r2 = _apply("arctan2", y, x), x * x + y * y
        return _node(angle, "arctan2", self, x / r2 if r2 else 0, other, -y / r2 if r2 else 0)

    def arcsinh(self) -> Value:
        """``arsinh x``; derivative 1/√(1 + x²)."""
        x = self.data
        return _node(_apply("arcsinh", x), "arcsinh", self, 1 / _apply("sqrt", 1 + x * x))

    def arccosh(self) -> Value:
        """``arcosh x``; derivative 1/(√(x − 1) √(x + 1))."""
        x = self.data
        return _node(_apply("arccosh", x), "arccosh", self, _inverse(_apply("sqrt", x - 1) * _apply("sqrt", x + 1)))

    def arctanh(self) -> Value:
        """``artanh x``; derivative 1/(1 − x²)."""
        x = self.data
        return _node(_apply("arctanh", x), "arctanh", self, _inverse((1 - x) * (1 + x)))

    def degrees(self) -> Value:
        """The angle x in degrees, 180/π · x; also ``rad2deg``."""
        factor = 180 / _library(self.data).pi
        return _node(self.data * factor, "degrees", self, factor)

    def radians(self) -> Value:
        """The angle x in radians, π/180 · x; also ``deg2rad``."""
        factor = _library(self.data).pi / 180
        return _node(self.data * factor, "radians", self, factor)

    rad2deg, deg2rad, fabs = degrees, radians, __abs__

    # Steps: constant but for their jumps, so the derivative is 0. They are Values, so that np.exp(np.floor(a)) works.

    def __floor__(self) -> Value:
        return _node(math.floor(self.data), "floor", self, 0)

    def __ceil__(self) -> Value:
        return _node(math.ceil(self.data), "ceil", self, 0)

    def __trunc__(self) -> Value:
        return _node(int(self.data), "trunc", self, 0)

    def rint(self) -> Value:
        """The nearest integer, the even one of two; derivative 0."""
        return _node(round(self.data), "rint", self, 0)

    def conjugate(self) -> Value:
        """The number itself: np.var and np.vdot ask for it. TypeError for complex numbers, where z̄ has no derivative."""
        if _is_complex(self.data):
            raise TypeError(f"conjugate: {self.data!r} is complex, and z̄ has no complex derivative")
        return self

    # Comparisons by data, and plain numbers out.

    def __lt__(self, other: Any) -> bool:
        return NotImplemented if (y := _data(other)) is NotImplemented else bool(self.data < y)

    def __le__(self, other: Any) -> bool:
        return NotImplemented if (y := _data(other)) is NotImplemented else bool(self.data <= y)

    def __gt__(self, other: Any) -> bool:
        return NotImplemented if (y := _data(other)) is NotImplemented else bool(self.data > y)

    def __ge__(self, other: Any) -> bool:
        return NotImplemented if (y := _data(other)) is NotImplemented else bool(self.data >= y)

    def item(self) -> Any:
        """The number alone, without its graph."""
        return self.data

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.data, digits)

    def __format__(self, spec: str) -> str:
        return format(self.data, spec) if spec else repr(self)

    def __repr__(self) -> str:
        return f"Value(data={self.data}, grad={self.grad})"

    # Copies. copy, deepcopy and pickle would walk the parents by recursion, which ends at a depth of a few hundred.

    def _state(self) -> tuple[Any, ...]:
        return self.data, self.grad, self.label, self._op, self._x, self._dx, self._y, self._dy

    def __copy__(self) -> Value:
        return _restore(*self._state())

    def __deepcopy__(self, memo: dict[int, Any]) -> Value:
        for node in _topological(self):
            if id(node) not in memo:
                data, grad, label, op, x, dx, y, dy = node._state()
                memo[id(node)] = _restore(data, grad, label, op, memo.get(id(x)), dx, memo.get(id(y)), dy)
        copied: Value = memo[id(self)]
        return copied

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Pickle as the list of all nodes, parents first: when a node's turn comes, its parents are in the memo."""
        if self._x is None or _shallow.get()() is not None:
            return _restore, self._state()
        return _last, (_Switch(True), _topological(self), _Switch(False))


def _node(data: Any, op: str, x: Value | None, dx: Any, y: Value | None = None, dy: Any = 0) -> Value:
    """The result of an operation: the one hot function, so ``__init__`` is passed over and each slot has its line."""
    out = _new(Value)
    out.data = data
    out.grad = 0
    out.label = ""
    out._op = op
    out._x = x
    out._dx = dx
    out._y = y
    out._dy = dy
    return out


_new: Callable[[type[Value]], Value] = object.__new__


def _topological(root: Value, clear: bool = False) -> list[Value]:
    """Every node that ``root`` depends on and ``root`` itself, parents before children.

    ``clear`` sets the gradients of inner nodes to 0 on the way; a second loop would make backward a third slower.
    """
    order: list[Value] = []
    seen: set[Value] = set()
    stack: list[Any] = [root]
    while stack:
        node = stack.pop()
        if node is None:  # the mark above a node whose parents are done
            order.append(stack.pop())
            continue  # and not elif: on a backward jump CPython 3.11 specializes a loop in its first run
        if node in seen:
            continue
        seen.add(node)
        if (x := node._x) is None:
            order.append(node)
            continue
        if clear:
            node.grad = 0
        stack.append(node)
        stack.append(None)
        stack.append(x)
        if (y := node._y) is not None:
            stack.append(y)
    return order


# What an operand may be.


def _number(x: Any) -> Any:
    """Give x if it is a number, as Python's own int, float or complex where that loses nothing; else NotImplemented."""
    kind = type(x)
    if kind is float or kind is int:
        return x
    if isinstance(x, float):  # NumPy's float64 is one, and complex128 a complex: slower, and 1 / 0 only a warning
        return float(x)
    if isinstance(x, complex):
        return complex(x)
    if isinstance(x, Integral) or (kind.__module__ == "numpy" and kind.__name__ == "bool"):
        return int(x)
    return x if isinstance(x, Number) else NotImplemented


def _data(x: Any) -> Any:
    return x.data if isinstance(x, Value) else _number(x)


def _operand(x: Any) -> Any:
    """Make x a node, a number a new leaf; NotImplemented if it is neither."""
    if isinstance(x, Value):
        return x
    number = _number(x)
    return NotImplemented if number is NotImplemented else _node(number, "", None, 0)


def _partner(op: str, x: Any) -> Value:
    """The second operand of a method, which has no other side to leave the work to."""
    node = _operand(x)
    if node is NotImplemented:
        raise TypeError(f"{op}: expected a number or a Value, got {type(x).__name__}")
    return node  # type: ignore[no-any-return]


# Mathematics on every kind of number.


class _DecimalMath:
    """``math`` for Decimal: exp, log, log10 and sqrt in the context's precision, the rest in float's."""

    def __getattr__(self, name: str) -> Any:
        own = getattr(Decimal, "ln" if name == "log" else name, None)
        if own is not None:
            return lambda x: own(Decimal(x))
        found = getattr(math, name)
        return (lambda *x: Decimal(found(*x))) if callable(found) else Decimal(found)


_DECIMAL: Any = _DecimalMath()
_COMPLEX: Any = SimpleNamespace(
    **vars(cmath), expm1=lambda z: cmath.exp(z) - 1, log1p=lambda z: cmath.log(1 + z), cbrt=lambda z: z ** (1 / 3)
)
_ARC = {f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "tan2", "sinh", "cosh", "tanh")}


def _is_complex(x: Any) -> bool:
    return isinstance(x, Complex) and not isinstance(x, Real)


def _library(x: Any) -> Any:
    """Where the functions for x live: math, cmath, Decimal, or the context that made an mpmath number."""
    if isinstance(x, (float, int)):
        return math
    if isinstance(x, Decimal):
        return _DECIMAL
    if hasattr(x, "context"):
        return x.context
    return _COMPLEX if _is_complex(x) else math


def _apply(name: str, *args: Any) -> Any:
    """The function of that name, NumPy's; outside its domain ValueError, past the largest float inf."""
    x = args[0]
    try:
        return getattr(_library(x), _ARC.get(name, name))(*args)
    except AttributeError:
        raise TypeError(f"{name} is not defined for {type(x).__name__}") from None
    except (ValueError, decimal.InvalidOperation):
        raise ValueError(f"{name}({x}) is undefined") from None
    except (OverflowError, decimal.Overflow):  # in exp, exp2, expm1, sinh, cosh
        if _is_complex(x) or (x < 0 and name not in ("sinh", "cosh")):
            raise
        return -_library(x).inf if x < 0 and name == "sinh" else _library(x).inf


def _inverse(x: Any) -> Any:
    """1 / x, and at 0 infinity of x's own kind."""
    return 1 / x if x else _library(x).inf


def _power(x: Any, n: Any) -> Any:
    """xⁿ; past the largest float inf, as x · x is, where Python raises OverflowError."""
    try:
        z = x**n
    except OverflowError:
        if _is_complex(x) or _is_complex(n):
            raise
        return -math.inf if x < 0 and n % 2 == 1 else math.inf
    if isinstance(z, complex) and not isinstance(x, complex) and not isinstance(n, complex):
        raise ValueError(f"{x} ** {n} is not real; for the complex power start from Value(complex({x}))")
    return z


def _power_slope(x: Any, n: Any, z: Any) -> Any:
    """∂z/∂x = n xⁿ⁻¹ of z = xⁿ."""
    try:
        return n * x ** (n - 1) if n else 0
    except ZeroDivisionError:
        return _library(x).inf
    except OverflowError:
        return n * (z / x)


def _choose(op: str, a: Value, b: Value, first: bool) -> Value:
    """Maximum or minimum: a if ``first``, else b; half of each at a tie. A nan wins."""
    x, y = a.data, b.data
    if x == y:
        half = type(x)(1) / 2  # of x's own kind: Fraction(1, 2), Decimal('0.5')
        return _node(x, op, a, half, b, half)
    return _node(x, op, a, 1, b, 0) if first or x != x else _node(y, op, a, 0, b, 1)


# Pickling.


class _Switch:
    """Nothing, but when the pickler reaches it, Values start or stop being pickled without the list of their ancestors.

    The switch is kept as a weak reference: if pickling fails in between, it goes, and with it the state.
    """

    def __init__(self, on: bool) -> None:
        self.on = on

    def __reduce__(self) -> tuple[Any, ...]:
        _shallow.set(weakref.ref(self) if self.on else _nothing)
        return bool, ()


def _nothing() -> None:
    return None


_shallow: ContextVar[Callable[[], _Switch | None]] = ContextVar("_shallow", default=_nothing)


def _last(on: bool, nodes: list[Value], off: bool) -> Value:
    return nodes[-1]


def _restore(data: Any, grad: Any, label: str, op: str, x: Value | None, dx: Any, y: Value | None, dy: Any) -> Value:
    out = _new(Value)
    out.data, out.grad, out.label, out._op = data, grad, label, op
    out._x, out._dx, out._y, out._dy = x, dx, y, dy
    return out


# Neural networks.

_ACTIVATIONS = {
    "relu": ("ReLU", Value.relu),
    "tanh": ("Tanh", Value.tanh),
    "sigmoid": ("Sigmoid", Value.sigmoid),
}


class Module:
    """Anything with parameters."""

    def parameters(self) -> list[Value]:
        """The Values that training changes."""
        return []

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters: ``backward`` adds to what is there."""
        for p in self.parameters():
            p.grad = 0


class Neuron(Module):
    """activation(b + Σ wᵢ xᵢ), or without the activation if ``nonlin`` is false.

    Weights start uniform in [−1, 1] (``random.seed`` makes a run repeatable), the bias at 0. ValueError for an
    activation other than 'relu', 'tanh', 'sigmoid', and for the wrong number of inputs.

    >>> Neuron(2), Neuron(3, nonlin=False)
    (ReLUNeuron(2), LinearNeuron(3))
    """

    def __init__(self, nin: int, nonlin: bool = True, activation: str = "relu") -> None:
        if activation not in _ACTIVATIONS:
            raise ValueError(f"Neuron: activation must be one of {', '.join(_ACTIVATIONS)}; got {activation!r}")
        self.w = [Value(random.uniform(-1, 1)) for _ in range(nin)]
        self.b = Value(0)
        self.nonlin = nonlin
        self.activation = activation

    def __call__(self, x: Sequence[Any]) -> Value:
        if len(x) != len(self.w):
            raise ValueError(f"{self}: expected {len(self.w)} inputs, got {len(x)}")
        act = self.b
        for wi, xi in zip(self.w, x, strict=True):
            act = act + wi * xi
        return _ACTIVATIONS[self.activation][1](act) if self.nonlin else act

    def parameters(self) -> list[Value]:
        """The weights, then the bias."""
        return [*self.w, self.b]

    def __repr__(self) -> str:
        return f"{_ACTIVATIONS[self.activation][0] if self.nonlin else 'Linear'}Neuron({len(self.w)})"


class Layer(Module):
    """``nout`` neurons on the same inputs; a single one returns its Value, several a list. Options are the neuron's."""

    def __init__(self, nin: int, nout: int, **options: Any) -> None:
        self.neurons = [Neuron(nin, **options) for _ in range(nout)]

    def __call__(self, x: Sequence[Any]) -> Any:
        out = [neuron(x) for neuron in self.neurons]
        return out[0] if len(out) == 1 else out

    def parameters(self) -> list[Value]:
        """Those of the neurons, in order."""
        return [p for neuron in self.neurons for p in neuron.parameters()]

    def __repr__(self) -> str:
        return f"Layer of [{', '.join(map(str, self.neurons))}]"


class MLP(Module):
    """Layers of the sizes nin → nouts[0] → … → nouts[-1], the last one linear.

    >>> model = MLP(3, [4, 4, 1])
    >>> len(model.parameters())
    41
    """

    def __init__(self, nin: int, nouts: Iterable[int], activation: str = "relu") -> None:
        sizes = [nin, *nouts]
        self.layers = [
            Layer(a, b, nonlin=i != len(sizes) - 1, activation=activation)
            for i, (a, b) in enumerate(pairwise(sizes), 1)
        ]

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer([x] if isinstance(x, Value) else x)  # a layer of one neuron returned no list
        return x

    def parameters(self) -> list[Value]:
        """Those of the layers, from the inputs to the outputs."""
        return [p for layer in self.layers for p in layer.parameters()]

    def __repr__(self) -> str:
        return f"MLP of [{', '.join(map(str, self.layers))}]"
