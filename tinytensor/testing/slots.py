"""What draws the arguments of a random line: arrays in a domain, axes, shapes, indices, masks.

A slot is a function of the draft and of what has been drawn for the line. All is drawn so that the line is right by
construction, on values that are known: an array outside the domain (a logarithm of something negative, a maximum near a
tie) is mended first, ``np.square(v1) + 0.5``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.testing.draft import Domain, Draft
from tinytensor.testing.smallest import nested_text

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = [
    "ABOVE_ONE", "ANY", "DISTINCT", "GENTLE", "NONZERO", "OFF_ZERO", "POSITIVE", "SMALL", "UNIT",
    "Row", "Slot", "a_list", "along", "an_axis", "apart", "array", "axis", "axis_and", "bound", "constant", "fits",
    "how_often", "index", "kth", "like", "mask", "modulus", "new_shape", "number", "of_shape", "one_axes", "one_of",
    "partner", "permutation", "positions", "row", "sections", "shifts", "some_of", "target", "tiles", "to_subtract",
    "weights", "wider_shape", "widths", "window", "written",
]  # fmt: skip

Slot = Callable[[Draft, dict[str, str]], str]


@dataclass(frozen=True)
class Row:
    """One operation: its name, the ways to write it, and what draws each argument.

    ``fresh``: the result has memory of its own and shares none, so that a later line may write into it. ``names``: what
    the forms may call besides ``np`` and ``tt``. ``scalar``: whether the line runs on arrays of ``Value`` too.
    """

    name: str
    forms: tuple[str, ...]
    slots: dict[str, Slot]
    fresh: bool = False
    names: Mapping[str, Any] = field(default_factory=dict)
    scalar: bool = True


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
UNIT = Domain(lambda v: np.abs(v).max(initial=0) < 0.95, "(np.tanh({x}) * 0.9)")
GENTLE = Domain(lambda v: np.abs(v).max(initial=0) < 1.2, "np.tanh({x})")
ABOVE_ONE = Domain(lambda v: v.min(initial=2) > 1.2, "(np.square({x}) + 1.5)")
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


def modulus(d: Draft, got: dict[str, str]) -> str:
    """A number that no element of x is near a multiple of."""
    v = d.value(got["x"])
    near = [c for c in (0.7, 1.3, -0.9, 2.1) if np.abs(v / c - np.rint(v / c)).min(initial=1) > _GAP]
    return str(d.pick([*near, 50.0]))


# ------------------------------------------------------------------------------------ places, counts and widths, by axis


def axis_and(count: Callable[[Draft, int], str]) -> Slot:
    """Something about one axis of x, and ``axis=`` that one; ``count`` gets the axis's length."""

    def draw(d: Draft, got: dict[str, str]) -> str:
        shape = d.value(got["x"]).shape
        k = d.integer(0, len(shape) - 1)
        return f"{count(d, shape[k])}, axis={k - len(shape) * d.chance(2)}"

    return draw


def shifts(d: Draft, got: dict[str, str]) -> str:
    """How far to roll x, and along what."""
    n = d.value(got["x"]).ndim
    one = f"{d.integer(-3, 3)}, axis={d.integer(-n, n - 1)}"
    two = f"({d.integer(-2, 2)}, {d.integer(0, 3)}), axis=({d.integer(0, n - 1)}, {d.integer(-n, -1)})"
    return d.pick([str(d.integer(-3, 3)), one, two])


def some_of(d: Draft, n: int) -> str:
    """Which of n to keep: a list of booleans."""
    return str([bool(d.integer(0, 1)) for _ in range(n)])


def how_often(d: Draft, n: int) -> str:
    """How often to repeat each of n."""
    return str(d.pick([2, 0, [d.integer(0, 2) for _ in range(n)]]))


def tiles(d: Draft, got: dict[str, str]) -> str:
    """How often to tile x along each axis, axes in front among them."""
    n = d.value(got["x"]).ndim
    return d.pick(["2", "(2, 1)", str(tuple(d.integer(1, 2) for _ in range(max(n, 1)))), str((2, *[1] * n)), "0"])


def kth(d: Draft, n: int) -> str:
    """A place in an axis of length n."""
    return str(d.integers(n, 1)[0])


def window(d: Draft, n: int) -> str:
    """The width of a window on an axis of length n."""
    return str(d.integer(1, min(n, 3)))


def weights(d: Draft, n: int) -> str:
    """A list of n positive weights."""
    return "weights=" + nested_text(np.abs(d.numbers((n,))) + 0.5)


def to_subtract(d: Draft, n: int) -> str:
    """How many times to take differences of n elements."""
    return f"n={d.integer(1, max(1, min(n - 1, 2)))}"
