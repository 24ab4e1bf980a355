"""The table of operations that random programs are made of: how each is written, what it takes, where it is smooth.

A row names its arguments; what stands behind a name draws it: an array that is already there or a new leaf, an axis, a
shape, an index. All is drawn so that the line is right by construction, on values that are known: an array outside the
row's domain (a logarithm of something negative, a maximum near a tie) is mended first, ``np.square(v1) + 0.5``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tinytensor.testing.draft import Domain, Draft
from tinytensor.testing.program import nested_text

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["TABLE", "Row"]

T = TypeVar("T")
Slot = Callable[[Draft, dict[str, str]], str]


@dataclass(frozen=True)
class Row:
    """One operation: its name, the ways to write it, and what draws each argument.

    ``fresh``: the result has memory of its own and shares none, so that a later line may write into it.
    """

    name: str
    forms: tuple[str, ...]
    slots: dict[str, Slot]
    fresh: bool = False


def row(name: str, *forms: str, fresh: bool = False, **slots: Slot) -> Row:
    """A row of the table; slots are drawn in the order in which they stand."""
    return Row(name, forms, slots, fresh)


# ------------------------------------------------------------------------------------------------------------- domains

_GAP = 0.02  # how far values keep from a kink


def _gap(v: Array) -> float:
    return float(np.diff(np.sort(v, axis=None)).min(initial=np.inf))


ANY = Domain(lambda v: True)
POSITIVE = Domain(lambda v: v.min(initial=1) > 0.2, "(np.square({x}) + 0.5)")
SMALL = Domain(lambda v: np.abs(v).max(initial=0) < 3, "np.tanh({x})")
NONZERO = Domain(lambda v: np.abs(v).min(initial=1) > 0.2, "({x} + 0.5)", "({x} - 1.5)", "(np.square({x}) + 0.5)")
OFF_ZERO = Domain(
    lambda v: np.abs(v).min(initial=1) > _GAP, "({x} + 0.07)", "({x} - 0.11)", "({x} + 0.33)", "(np.square({x}) + 0.5)"
)
DISTINCT = Domain(lambda v: _gap(v) > _GAP, "(np.sin({x}) * 0.4 + np.arange({size}).reshape({shape}))")


def apart(other: Array) -> Domain:
    """Nowhere near the other array, elementwise."""
    beyond = math.ceil(float(np.max(other, initial=0))) + 2
    return Domain(
        lambda v: np.abs(v - other).min(initial=1) > _GAP, "({x} + 0.07)", "({x} - 0.11)", "({x} + 0.33)",
        f"(np.sin({{x}}) + {beyond})",
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- arrays


def array(domain: Domain = ANY, ndim: int = 0, most: int = 4, filled: bool = False, size: int = 0) -> Slot:
    """Any array of ``ndim`` to ``most`` dimensions, not empty if ``filled``, of at least ``size`` elements."""

    def accepts(v: Array) -> bool:
        return ndim <= v.ndim <= most and v.size >= max(size, filled)

    def draw(d: Draft, got: dict[str, str]) -> str:
        return d.mend(d.variable(accepts, lambda: d.shape(ndim, most, max(size, filled))), domain)

    return draw


def partner(domain: Domain = ANY, apart_from: str = "", of: str = "x") -> Slot:
    """An array that broadcasts with another argument."""

    def draw(d: Draft, got: dict[str, str]) -> str:
        shape = d.value(got[of]).shape

        def altered() -> tuple[int, ...]:
            kept = [1 if d.chance(4) else n for n in shape[d.integer(0, len(shape)) if d.chance(3) else 0 :]]
            wider = len(kept) == len(shape) < 4 and math.prod(shape) <= 12 and d.chance(4)
            return (2, *kept) if wider else tuple(kept)

        found = d.variable(lambda v: fits(v.shape, shape), altered)
        return d.mend(found, apart(_spread(d.value(got[apart_from]), d.value(found))) if apart_from else domain)

    return draw


def _spread(v: Array, other: Array) -> Array:
    return np.broadcast_to(v, np.broadcast_shapes(v.shape, other.shape))


def fits(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes broadcast to something small."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    if not all(a == b or 1 in (a, b) for a, b in pairs):
        return False
    return math.prod(np.broadcast_shapes(one, other)) <= 36


def of_shape(shape: Callable[[Draft, dict[str, str]], Sequence[int]], domain: Domain = ANY) -> Slot:
    """An array of exactly that shape."""

    def draw(d: Draft, got: dict[str, str]) -> str:
        wanted = tuple(shape(d, got))
        return d.mend(d.variable(lambda v: v.shape == wanted, lambda: wanted), domain)

    return draw


def like(of: str) -> Slot:
    """An array of the shape of another argument."""
    return of_shape(lambda d, got: d.value(got[of]).shape)


def constant(of: str = "x") -> Slot:
    """An ndarray of another argument's shape, as a literal."""

    def draw(d: Draft, got: dict[str, str]) -> str:
        shape = d.value(got[of]).shape
        return f"np.array({nested_text(d.numbers(shape))}).reshape({shape})"

    return draw


def a_list(of: str = "x") -> Slot:
    """A list as long as the last axis of another argument."""
    return lambda d, got: nested_text(d.numbers(d.value(got[of]).shape[-1:]))


def target(d: Draft, got: dict[str, str]) -> str:
    """An array that may be written into: it is no leaf, and nothing looks at its memory."""
    names = [name for name in d.writable if d.values[name].size]
    if names and d.chance(2):
        return d.pick(sorted(names))
    source = array(filled=True)(d, got)
    return d.assign(f"np.copy({source})", fresh=True)


def written(domain: Domain = ANY) -> Slot:
    """What is written into the target, broadcast to the place."""

    def draw(d: Draft, got: dict[str, str]) -> str:
        place = f"{got['t']}[{got['index']}]" if "index" in got else got["t"]
        shape = d.value(place).shape

        def narrower() -> tuple[int, ...]:
            return tuple([1 if d.chance(4) else n for n in shape[d.integer(0, len(shape)) if d.chance(3) else 0 :]])

        def narrow(v: Array) -> bool:
            return fits(v.shape, shape) and np.broadcast_shapes(v.shape, shape) == shape and v.ndim <= len(shape)

        return d.mend(d.variable(narrow, narrower), domain)

    return draw


# ------------------------------------------------------------------------------------------------------ small arguments


def one_of(*texts: str) -> Slot:
    """One of the texts."""
    return lambda d, got: d.pick(texts)


number = one_of("2", "0.5", "-1.5", "3.0", "0.25", "np.float64(0.75)")


def axis(least: int = 0, single: bool = False, keepdims: bool = True, flat: bool = True) -> Slot:
    """``axis=…, keepdims=…`` of an argument x: int, negative, tuple, None; over at least ``least`` elements."""

    def draw(d: Draft, got: dict[str, str]) -> str:
        shape = d.value(got["x"]).shape
        n = len(shape)
        choices: list[Any] = [None] if flat else []
        choices += list(range(-n, n))
        if not single:
            choices += [(j, k - n) for j in range(n) for k in range(n) if j != k] + [tuple(range(n))]
            choices += [()] if least == 0 else []
        choices = [c for c in choices if _count(shape, c) >= least]
        keep = d.pick(["", ", keepdims=True"]) if keepdims else ""
        return f"axis={d.pick(choices or [None])}{keep}"

    return draw


def _count(shape: tuple[int, ...], axis: Any) -> int:
    axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return math.prod([shape[a] for a in axes])


def an_axis(extra: int = 0) -> Slot:
    """A bare axis number of x, of either sign; ``extra`` 1: of an array with one axis more."""

    def draw(d: Draft, got: dict[str, str]) -> str:
        n = d.value(got["x"]).ndim + extra
        return str(d.integer(0, n - 1) - n * d.chance(2))

    return draw


def permutation(d: Draft, got: dict[str, str]) -> str:
    """The axes of x in some order."""
    n = d.value(got["x"]).ndim
    return str(tuple(k - n * d.chance(4) for k in d.shuffled(range(n))))


def new_shape(d: Draft, got: dict[str, str]) -> str:
    """A shape for the elements of x."""
    v = d.value(got["x"])
    shapes: list[Any] = [(v.size,), (v.size, 1), (1, v.size), (1, *v.shape), v.shape[::-1]]
    shapes += [(k, v.size // k) for k in (2, 3, 4) if v.size % k == 0] + [(2, v.size // 4, 2)] * (v.size % 4 == 0)
    shapes += [-1, (-1, 1)] if v.size else []
    shapes += [()] if v.size == 1 else []
    return str(d.pick(shapes))


def wider_shape(d: Draft, got: dict[str, str]) -> str:
    """A shape that x broadcasts to."""
    shape = tuple([d.pick([1, 2, 3, 0]) if n == 1 else n for n in d.value(got["x"]).shape])
    room = 36 // max(1, math.prod(shape))
    return str((d.integer(1, min(3, room)), *shape) if len(shape) < 4 and d.chance(2) else shape)


def one_axes(d: Draft, got: dict[str, str]) -> str:
    """Axes of x that have length 1."""
    ones = [k for k, n in enumerate(d.value(got["x"]).shape) if n == 1]
    return str(d.pick([None, *ones, *[k - d.value(got["x"]).ndim for k in ones], tuple(ones)]))


def sections(d: Draft, got: dict[str, str]) -> str:
    """How to split x along an axis, and which piece to take."""
    shape = d.value(got["x"]).shape
    k = d.integer(0, len(shape) - 1)
    n = shape[k]
    cut = (
        d.pick([c for c in (1, 2, 3) if n and n % c == 0] or [1]) if d.chance(2) else [d.integer(0, n), d.integer(0, n)]
    )
    pieces = cut if isinstance(cut, int) else 3
    cut = cut if isinstance(cut, int) else sorted(cut)
    return f"{cut}, {k - len(shape) * d.chance(2)})[{d.integer(0, pieces - 1)}]"


def widths(d: Draft, got: dict[str, str]) -> str:
    """How far to pad each axis of x."""
    n = d.value(got["x"]).ndim
    if d.chance(3):
        return d.pick(["1", "(0, 1)"])
    return str(tuple((d.integer(0, 2), d.integer(0, 1)) for _ in range(n)))


def positions(d: Draft, got: dict[str, str]) -> str:
    """Where to take elements of x, some twice, and the axis."""
    v = d.value(got["x"])
    k = d.pick([None, *range(-v.ndim, v.ndim)])
    n = v.size if k is None else v.shape[k]
    found = d.pick([str(d.integers(n, 3)), str(d.integers(n, 1)[0]), str([d.integers(n, 2), d.integers(n, 2)])])
    return f"{found}, axis={k}"


def along(d: Draft, got: dict[str, str]) -> str:
    """The indices of take_along_axis, and the axis."""
    shape = d.value(got["x"]).shape
    k = d.integer(0, len(shape) - 1)
    wanted = [*shape[:k], d.integer(1, 3), *shape[k + 1 :]]
    found = np.reshape(d.integers(shape[k], math.prod(wanted)), wanted)
    return f"np.array({nested_text(found)}), axis={k - len(shape) * d.chance(2)}"


def index(of: str = "x") -> Slot:
    """Everything that may stand between brackets: ints, slices, newaxis, ellipsis, integer arrays, masks."""

    def draw(d: Draft, got: dict[str, str]) -> str:
        shape = d.value(got[of]).shape
        if not shape:
            # a[()] = b puts the array b itself into a 0-d object array: not NumPy's meaning for numbers
            return d.pick(["...", "None", "..., None", "()"][: 3 + (of != "t")])
        style = d.pick(["basic", "basic", "arrays", "mask"])
        if style == "mask" and math.prod(shape) <= 12:
            masked = shape if d.chance(2) else shape[:1]
            return f"np.array({nested_text(d.booleans(masked))}, dtype=bool).reshape({masked})"
        parts = [_basic(d, n) for n in shape]
        if style == "arrays" and all(shape):
            m = d.integer(1, 3)
            for k in d.shuffled(range(len(shape)))[: d.integer(1, 2)]:
                flat = d.integers(shape[k], m)
                parts[k] = str(flat) if d.chance(2) else f"np.array({[flat]})"
        if d.chance(4):
            k = d.integer(0, len(parts) - 1)
            parts = [*parts[:k], "..."] if d.chance(2) else [*parts[:k], "...", *parts[k + 1 :]]
        elif d.chance(3):
            parts = parts[: d.integer(1, len(parts))]
        if d.chance(5) and len(shape) < 4:
            parts.insert(d.integer(0, len(parts)), "None")
        return ", ".join(parts)

    return draw


def _basic(d: Draft, n: int) -> str:
    texts = [":", "1:", ":-1", "::2", "::-1", "-2:", "5::-2", "0:1"]
    return str(d.integer(-n, n - 1)) if n and d.chance(3) else d.pick(texts)


def mask(d: Draft, got: dict[str, str]) -> str:
    """A condition that broadcasts with x and y: a literal, or a comparison off its tie."""
    shape = np.broadcast_shapes(*[d.value(got[name]).shape for name in ("x", "y") if name in got])
    if d.chance(2):
        return f"np.array({nested_text(d.booleans(shape))}, dtype=bool).reshape({shape})"
    found = d.variable(lambda v: fits(v.shape, shape), lambda: shape)
    return f"{d.mend(found, OFF_ZERO)} {d.pick(['>', '<='])} 0"


def bound(sign: int) -> Slot:
    """A limit for clip, off the values of x: a number or None."""

    def draw(d: Draft, got: dict[str, str]) -> str:
        v = d.value(got["x"])
        found = [sign * c for c in (0.4, 0.77, 0.13, 1.31) if np.abs(v - sign * c).min(initial=1) > _GAP]
        return str(d.pick([*found, sign * 50]))

    return draw


# ------------------------------------------------------------------------------------------------- products of matrices


def _matrix_right(d: Draft, got: dict[str, str]) -> Sequence[int]:
    shape = d.value(got["x"]).shape
    k, batch = shape[-1], shape[:-2]
    narrow = tuple([1 if d.chance(3) else n for n in batch])
    n = d.integer(1, 3)
    return d.pick([(k, n), (k,), (*narrow, k, n), (k, 0 if d.chance(8) else n)])


def _matrix_left(d: Draft, got: dict[str, str]) -> Sequence[int]:
    shape = d.value(got["x"]).shape
    k = shape[0] if len(shape) == 1 else shape[-2]
    m = d.integer(1, 3)
    return d.pick([(m, k), (k,), (*[1 for _ in shape[:-2]], m, k), (2, m, k) if len(shape) < 3 else (m, k)])


def _dot_right(d: Draft, got: dict[str, str]) -> Sequence[int]:
    shape = d.value(got["x"]).shape
    k = shape[-1] if shape else 2
    return d.pick([(k,), (k, 2), (2, k, 1), ()] if math.prod(shape) <= 12 else [(k,), (k, 2), ()])


def _contracted(d: Draft, got: dict[str, str]) -> Sequence[int]:
    """The shape that tensordot with the axes that were drawn asks for on the right."""
    shape = d.value(got["x"]).shape
    axes = eval(got["axes"])
    free = d.pick([(), (2,), (1, 2)])
    if isinstance(axes, int):
        return (*shape[len(shape) - axes :], *free)
    found = {b: shape[a] for a, b in zip(*axes, strict=True)}
    rest = iter((*free, 1, 1, 1, 1))
    size = max([*found, -1]) + 1
    return [found[k] if k in found else next(rest) for k in range(size)]


def _axes_pairs(d: Draft, got: dict[str, str]) -> str:
    n = d.value(got["x"]).ndim
    pairs = [([k], [j]) for k in range(n) for j in (0, 1)] + [([0, n - 1], [1, 0])] * (n > 1)
    return str(d.pick([*range(min(n, 2) + 1), *pairs]))


#: Sums of products: the operands' labels, and the result's.
EINSUMS = (
    "ij->ji", "ij->", "ij,jk->ik", "i,i->", "i,j->ij", "ij,j", "ij,ij->j", "bij,bjk->bik", "ijk->ki", "ij,kj,k->i",
    "ii->i", "ii", "i,i,i->i", "...i,i->...", "...ij->...ji", "ij->j", "iij->ij",
)  # fmt: skip


def einsum(d: Draft, got: dict[str, str]) -> str:
    """Subscripts, and an operand for each term."""
    text = d.pick(EINSUMS)
    sizes: dict[str, int] = {}
    operands = []
    for term in text.partition("->")[0].split(","):
        labels = term.replace("...", "")

        def fitting(v: Array, labels: str = labels, loose: bool = "..." in term) -> bool:
            if not v.size or (v.ndim < len(labels) if loose else v.ndim != len(labels)) or v.ndim > 3:
                return False
            known = dict(sizes)
            tail = v.shape[v.ndim - len(labels) :]
            return all(known.setdefault(c, n) == n for c, n in zip(labels, tail, strict=True))

        def made(labels: str = labels) -> tuple[int, ...]:
            fresh = {c: d.integer(1, 3) for c in labels}
            return tuple([sizes.get(c, fresh[c]) for c in labels])

        operand = d.variable(fitting, made)
        shape = d.values[operand].shape
        sizes.update(zip(labels, shape[len(shape) - len(labels) :], strict=True))
        operands.append(operand)
    return f'"{text}", {", ".join(operands)}'


# ----------------------------------------------------------------------------------------------------------- the table

#: Every operation of the engine. A form that starts with ``np.`` is also written with ``tt.``, where tt has the name.
TABLE: tuple[Row, ...] = (
    # arithmetic
    row("add", "{x} + {y}", "np.add({x}, {y})", "{y} + {x}", x=array(), y=partner(), fresh=True),
    row("subtract", "{x} - {y}", "np.subtract({x}, {y})", "{y} - {x}", x=array(), y=partner(), fresh=True),
    row("multiply", "{x} * {y}", "np.multiply({x}, {y})", "{y} * {x}", x=array(), y=partner(), fresh=True),
    row("divide", "{x} / {y}", "np.divide({x}, {y})", x=array(), y=partner(NONZERO), fresh=True),
    row("power", "{x} ** {y}", "np.power({x}, {y})", x=array(POSITIVE), y=partner(SMALL), fresh=True),
    row("with a number", "{x} + {n}", "{n} - {x}", "{x} * {n}", "{n} * {x}", "{x} / {n}", "{x} - {n}", "{n} + {x}",
        x=array(), n=number, fresh=True),
    row("number / x", "{n} / {x}", x=array(NONZERO), n=number, fresh=True),
    row("x ** number", "{x} ** {n}", "np.power({x}, {n})", x=array(SMALL), n=one_of("2", "3", "1", "0", "2.0"), fresh=True),
    row("x ** fraction", "{x} ** {n}", x=array(POSITIVE), n=one_of("0.5", "-1", "-0.5", "1.7", "-2"), fresh=True),
    row("number ** x", "{n} ** {x}", x=array(SMALL), n=one_of("2", "0.5", "1.5"), fresh=True),
    row("with an ndarray", "{x} + {c}", "{c} * {x}", "{c} - {x}", "{x} * {c}", x=array(), c=constant(), fresh=True),
    row("with a list", "{x} + {c}", "{c} * {x}", x=array(ndim=1, filled=True), c=a_list(), fresh=True),
    row("negative", "-{x}", "np.negative({x})", x=array(), fresh=True),
    row("positive", "+{x}", "np.positive({x})", x=array(), fresh=True),
    row("reciprocal", "np.reciprocal({x})", x=array(NONZERO), fresh=True),
    row("square", "np.square({x})", x=array(), fresh=True),
    # functions of one number
    row("exp", "np.exp({x})", x=array(SMALL), fresh=True),
    row("log", "np.log({x})", x=array(POSITIVE), fresh=True),
    row("sqrt", "np.sqrt({x})", x=array(POSITIVE), fresh=True),
    row("sin", "np.sin({x})", x=array(), fresh=True),
    row("cos", "np.cos({x})", x=array(), fresh=True),
    row("tanh", "np.tanh({x})", x=array(), fresh=True),
    row("sigmoid", "tt.sigmoid({x})", x=array(), fresh=True),
    row("softplus", "tt.softplus({x})", x=array(), fresh=True),
    row("relu", "tt.relu({x})", x=array(OFF_ZERO), fresh=True),
    row("leaky_relu", "tt.leaky_relu({x})", "tt.leaky_relu({x}, 0.2)", x=array(OFF_ZERO), fresh=True),
    row("abs", "abs({x})", "np.abs({x})", x=array(OFF_ZERO), fresh=True),
    row("sign", "np.sign({x}) * {x}", x=array(OFF_ZERO), fresh=True),
    # choices
    row("maximum", "np.maximum({x}, {y})", x=array(), y=partner(apart_from="x"), fresh=True),
    row("minimum", "np.minimum({x}, {y})", x=array(), y=partner(apart_from="x"), fresh=True),
    row("clip", "np.clip({x}, {lo}, {hi})", x=array(), lo=bound(-1), hi=bound(1), fresh=True),
    row("clip, one bound", "np.clip({x}, {lo}, None)", "np.clip({x}, None, {lo})", x=array(), lo=bound(1), fresh=True),
    row("clip to arrays", "np.clip({x}, {y}, 100.0)", "np.clip({x}, -100.0, {y})", x=array(), y=partner(apart_from="x"),
        fresh=True),
    row("where", "np.where({c}, {x}, {y})", "np.where({c}, {y}, {x})", x=array(), y=partner(), c=mask, fresh=True),
    row("where, number", "np.where({c}, {x}, {n})", "np.where({c}, {n}, {x})", x=array(), c=mask, n=number, fresh=True),
    # reductions
    row("sum", "np.sum({x}, {axis})", "{x}.sum({axis})", x=array(), axis=axis()),
    row("mean", "np.mean({x}, {axis})", "{x}.mean({axis})", x=array(filled=True), axis=axis()),
    row("prod", "np.prod({x}, {axis})", "{x}.prod({axis})", x=array(), axis=axis()),
    row("max", "np.max({x}, {axis})", "{x}.max({axis})", x=array(DISTINCT, filled=True), axis=axis()),
    row("min", "np.min({x}, {axis})", "{x}.min({axis})", x=array(DISTINCT, filled=True), axis=axis()),
    row("var", "np.var({x}, {axis}, ddof={k})", "{x}.var({axis}, ddof={k})", x=array(size=2), axis=axis(2), k=one_of("0", "1")),
    row("std", "np.std({x}, {axis}, ddof={k})", "{x}.std({axis}, ddof={k})", x=array(DISTINCT, size=2), axis=axis(2),
        k=one_of("0", "1")),
    row("logsumexp", "tt.logsumexp({x}, {axis})", x=array(filled=True), axis=axis()),
    row("softmax", "tt.softmax({x}, {axis})", x=array(filled=True), axis=axis(keepdims=False)),
    row("log_softmax", "tt.log_softmax({x}, {axis})", x=array(filled=True), axis=axis(keepdims=False)),
    row("cumsum", "np.cumsum({x}, {axis})", "{x}.cumsum({axis})", x=array(), axis=axis(single=True, keepdims=False)),
    # shape
    row("reshape", "np.reshape({x}, {s})", "{x}.reshape({s})", x=array(), s=new_shape),
    row("ravel", "{x}.ravel()", "{x}.flatten()", x=array()),
    row("transpose", "np.transpose({x}, {p})", "{x}.transpose({p})", x=array(), p=permutation),
    row("T", "{x}.T", "np.transpose({x})", x=array()),
    row("mT", "{x}.mT", x=array(ndim=2)),
    row("swapaxes", "np.swapaxes({x}, {i}, {j})", "{x}.swapaxes({i}, {j})", x=array(ndim=1), i=an_axis(), j=an_axis()),
    row("squeeze", "np.squeeze({x}, {k})", "{x}.squeeze({k})", x=array(), k=one_axes),
    row("expand_dims", "np.expand_dims({x}, {k})", x=array(most=3), k=an_axis(1)),
    row("broadcast_to", "np.broadcast_to({x}, {s})", x=array(), s=wider_shape),
    row("flip", "np.flip({x})", "np.flip({x}, {k})", x=array(ndim=1), k=an_axis()),
    row("copy", "np.copy({x})", "{x}.copy()", x=array(), fresh=True),
    # joining and splitting
    row("concatenate", "np.concatenate([{x}, {y}, {x}], {k})", x=array(ndim=1), k=an_axis(),
        y=of_shape(lambda d, got: _other_length(d, got))),
    row("concatenate flat", "np.concatenate([{x}, {y}], axis=None)", x=array(), y=array()),
    row("stack", "np.stack([{x}, {y}], {k})", "np.stack([{y}, {x}, {y}], {k})", x=array(most=3), y=like("x"), k=an_axis(1)),
    row("split", "np.split({x}, {cuts}", x=array(ndim=1), cuts=sections),
    row("pad", "np.pad({x}, {w}, constant_values={n})", "np.pad({x}, {w})", x=array(ndim=1), w=widths, n=number),
    row("pad, rearranging", "np.pad({x}, {w}, mode={m})", x=array(ndim=1, filled=True), w=widths,
        m=one_of("'edge'", "'reflect'", "'symmetric'", "'wrap'")),
    # indexing
    row("getitem", "{x}[{i}]", x=array(), i=index()),
    row("take", "np.take({x}, {i})", "{x}.take({i})", x=array(filled=True), i=positions),
    row("take_along_axis", "np.take_along_axis({x}, {i})", x=array(ndim=1, filled=True), i=along),
    # products
    row("matmul", "{x} @ {y}", "np.matmul({x}, {y})", x=array(ndim=1, most=3), y=of_shape(_matrix_right)),
    row("matmul, left", "{y} @ {x}", x=array(ndim=1, most=3), y=of_shape(_matrix_left)),
    row("dot", "np.dot({x}, {y})", x=array(most=2), y=of_shape(_dot_right)),
    row("outer", "np.outer({x}, {y})", x=array(most=1), y=of_shape(lambda d, got: d.pick([(2,), (1, 2), ()]))),
    row("tensordot", "np.tensordot({x}, {y}, {axes})", x=array(most=3), axes=_axes_pairs, y=of_shape(_contracted)),
    row("einsum", "np.einsum({operands})", operands=einsum),
    row("linear", "tt.linear({x}, {w}, {b})", "tt.linear({x}, {w})", x=array(ndim=1, most=3),
        w=of_shape(lambda d, got: (2, d.value(got["x"]).shape[-1])), b=of_shape(lambda d, got: (2,))),
    # writing in place
    row("setitem", "{t}[{index}] = {y}", t=target, index=index("t"), y=written()),
    row("setitem, number", "{t}[{index}] = {n}", t=target, index=index("t"), n=number),
    row("in place", "{t} += {y}", "{t} -= {y}", "{t} *= {y}", t=target, y=written()),
    row("in place, divided", "{t} /= {y}", t=target, y=written(NONZERO)),
)  # fmt: skip


def _other_length(d: Draft, got: dict[str, str]) -> tuple[int, ...]:
    shape = list(d.value(got["x"]).shape)
    shape[int(got["k"])] = d.integer(0, 2)
    return tuple(shape)
