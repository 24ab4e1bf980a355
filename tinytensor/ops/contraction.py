"""Sums of products over named axes: tensordot and einsum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.ops.indexing import scatter
from tinytensor.primitive import DISPATCH, primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["einsum", "tensordot"]

# ---------------------------------------------------------------------------------------------------------- tensordot


class _Side(NamedTuple):
    """How an operand becomes a matrix, and a matrix the operand; an order is None if the axes stand right already."""

    order: tuple[int, ...] | None
    matrix: tuple[int, int]
    moved: tuple[int, ...]
    back: tuple[int, ...] | None

    @staticmethod
    def of(shape: tuple[int, ...], rows: tuple[int, ...], columns: tuple[int, ...]) -> _Side:
        order = rows + columns
        moved = tuple([shape[a] for a in order])
        matrix = math.prod(moved[: len(rows)]), math.prod(moved[len(rows) :])
        if order == tuple(range(len(shape))):
            return _Side(None, matrix, moved, None)
        return _Side(order, matrix, moved, tuple([order.index(a) for a in range(len(order))]))

    def flat(self, x: Any) -> Any:
        return (x if self.order is None else np.transpose(x, self.order)).reshape(self.matrix)

    def full(self, g: Any) -> Any:
        g = g.reshape(self.moved)
        return g if self.back is None else np.transpose(g, self.back)


@lru_cache(maxsize=512)
def _sides(x_shape: tuple[int, ...], y_shape: tuple[int, ...], axes: Any) -> tuple[_Side, _Side, tuple[int, ...]]:
    """Both sides of the product of matrices that a contraction is, and the result's shape."""
    n, m = len(x_shape), len(y_shape)
    if isinstance(axes, int):
        if not 0 <= axes <= min(n, m):
            raise ValueError(f"tensordot: axes={axes} for arrays of {n} and {m} dimensions")
        axes = tuple(range(n - axes, n)), tuple(range(axes))
    left, right = axes
    if not all(-n <= a < n for a in left) or not all(-m <= b < m for b in right):
        raise IndexError(f"tensordot: axes {left} and {right} for arrays of {n} and {m} dimensions")
    left, right = tuple([a % n for a in left]), tuple([b % m for b in right])
    if [x_shape[a] for a in left] != [y_shape[b] for b in right] or len({*left}) < len(left):
        raise ValueError(f"tensordot: shapes {x_shape} and {y_shape} do not match over axes {left} and {right}")
    rows, columns = (tuple([a for a in range(k) if a not in used]) for k, used in ((n, left), (m, right)))
    x, y = _Side.of(x_shape, rows, left), _Side.of(y_shape, right, columns)
    return x, y, x.moved[: len(rows)] + y.moved[len(right) :]


def _contraction(x_shape: Any, y_shape: Any, axes: Any) -> Any:
    if type(axes) is not int:
        if isinstance(axes, np.integer):
            axes = int(axes)
        else:
            axes = tuple([(int(a),) if isinstance(a, (int, np.integer)) else tuple(map(int, a)) for a in axes])
    return _sides(x_shape, y_shape, axes)


def _tensordot_x(g: Any, y: Any, axes: Any, x_shape: Any) -> Any:
    left, right, _ = _contraction(x_shape, y.shape, axes)
    return left.full(np.dot(g.reshape((left.matrix[0], right.matrix[1])), right.flat(y).T))


def _tensordot_y(g: Any, x: Any, axes: Any, y_shape: Any) -> Any:
    left, right, _ = _contraction(x.shape, y_shape, axes)
    return right.full(np.dot(left.flat(x).T, g.reshape((left.matrix[0], right.matrix[1]))))


@primitive(np.tensordot, np.linalg.tensordot, x=_tensordot_x, y=_tensordot_y)
def tensordot(x: Operand, y: Operand, axes: Any = 2) -> Tensor:
    """Σ over pairs of axes: a number (the last of x with the first of y), or two lists.   (:func:`numpy.tensordot`)

    >>> import tinytensor as tt
    >>> tt.tensordot(tt.ones((2, 3)), tt.ones((3, 2)), axes=([0, 1], [1, 0]))
    tensor(6.)
    """
    a, b = asarray(x), asarray(y)
    left, right, shape = _contraction(a.shape, b.shape, axes)
    return np.dot(left.flat(a), right.flat(b)).reshape(shape)  # NumPy's own steps: the same result bit by bit


# ------------------------------------------------------------------------------------------------------------- einsum


_MANY = 100_000  # products, from which on it pays to look for matrix products
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=512)
def _explicit(subscripts: str, ndims: tuple[int, ...]) -> tuple[list[str], str]:
    """Labels of each operand and of the result, with the ellipsis and the implicit result written out.

    >>> _explicit("...ij,jk", (3, 2))
    (['zij', 'jk'], 'zik')
    """
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} names {len(terms)} operands, got {len(ndims)}")
    free = [c for c in _LETTERS[::-1] if c not in text]
    widest = 0
    for k, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        width = ndim - len(term.replace("...", ""))
        if width < 0 or ("..." not in term and width):
            raise ValueError(
                f"einsum: {term!r} in {subscripts!r} does not fit operand {k}, which has {ndim} dimensions"
            )
        widest = max(widest, width)
        terms[k] = term.replace("...", "".join(free[:width][::-1]))
    dots = "".join(free[:widest][::-1])
    if arrow:
        return terms, right.replace("...", dots)
    labels = "".join(terms)
    return terms, dots + "".join(sorted(c for c in set(labels) - set(dots) if labels.count(c) == 1))


def _einsum_rule(g: Any, i: int, others: Any, subscripts: str, optimize: Any, xs_shape: Any) -> Any:
    """The other operands and ``g`` contracted to the labels of operand i; labels that stand in it alone are repeated,
    a label that it has twice puts the gradient on the diagonal.
    """
    terms, result = _explicit(subscripts, tuple([len(shape) for shape in xs_shape]))
    own, shape = terms[i], xs_shape[i]
    rest = [term for k, term in enumerate(terms) if k != i]
    labels = "".join(dict.fromkeys(own))
    known = "".join([c for c in labels if c in result or any(c in term for term in rest)])
    arrays = [x for k, x in enumerate(others) if k != i]
    optimize = optimize or _many(terms, xs_shape)
    out = np.einsum(",".join([result, *rest]) + "->" + known, g, *arrays, optimize=optimize)
    size = dict(zip(own, shape, strict=True))
    have = dict(zip(known, out.shape, strict=True))
    full = tuple([have[c] if have.get(c, 1) != 1 else size[c] for c in labels])
    out = out.reshape(tuple([have.get(c, 1) for c in labels]))
    if out.shape != full:
        out = np.broadcast_to(out, full)
    if len(labels) == len(own):
        return out
    if repeated := tuple(
        [k for k, c in enumerate(labels) if size[c] == 1 != full[k]]
    ):  # 'ii,i' with shapes (1, 1), (3,)
        out, full = np.sum(out, axis=repeated, keepdims=True), tuple([size[c] for c in labels])
    along = {c: np.arange(n).reshape([-1 if c == d else 1 for d in labels]) for c, n in zip(labels, full, strict=True)}
    return scatter(out, tuple([along[c] for c in own]), shape)


def _many(terms: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether there are so many products that it pays to look for matrix products."""
    size = {c: n for t, s in zip(terms, shapes, strict=True) for c, n in zip(t, s, strict=True)}
    return math.prod(size.values()) > _MANY


@primitive(broadcasts=True, xs=_einsum_rule)
def _einsum(subscripts: str, optimize: Any, *xs: Any) -> Any:
    if not optimize and len(xs) > 1 and math.prod([np.size(x) for x in xs]) > _MANY:  # at most so many products
        shapes = [np.shape(x) for x in xs]
        optimize = _many(_explicit(subscripts, tuple(map(len, shapes)))[0], shapes)
    return np.einsum(subscripts, *xs, optimize=optimize)


def _lists(arguments: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """The string and the operands of ``einsum(x, [0, 1], y, [1, 2], [0, 2])``."""

    def text(labels: Any) -> str:
        if not isinstance(labels, (list, tuple)) or not all(
            c is Ellipsis or (isinstance(c, (int, np.integer)) and 0 <= c < len(_LETTERS)) for c in labels
        ):
            raise TypeError(
                f"einsum: expected a string first, or after each operand a list of numbers, got {labels!r:.60}"
            )
        return "".join(["..." if c is Ellipsis else _LETTERS[c] for c in labels])

    pairs = len(arguments) // 2
    subscripts = ",".join([text(arguments[2 * k + 1]) for k in range(pairs)])
    if len(arguments) % 2:
        subscripts += "->" + text(arguments[-1])
    return subscripts, [arguments[2 * k] for k in range(pairs)]


def einsum(subscripts: str | Any, *operands: Any, optimize: Any = False, **refused: Any) -> Tensor:
    """Sums of products named by index letters: all of NumPy's, string form or lists.   (:func:`numpy.einsum`)

    Repeated, omitted and implicit indices and the ellipsis are understood. ``optimize=True`` finds a cheaper order of
    contraction, in backward too; with more than 100,000 products it is looked for anyway (then sums run in another
    order than NumPy's by default).

    >>> import tinytensor as tt
    >>> x, y = tt.tensor([[1.0, 2.0], [3.0, 4.0]]), tt.tensor([1.0, 1.0])
    >>> tt.einsum("ij,j->i", x, y)
    tensor([3., 7.])
    >>> tt.einsum(x, [0, 1], y, [1], [0])
    tensor([3., 7.])
    """
    for key, value in refused.items():
        if not (value is None or (key, value) in (("order", "K"), ("casting", "safe"))):
            raise TypeError(f"einsum() does not take {key}=: its arguments are subscripts, operands, optimize")
    if not isinstance(subscripts, str):
        subscripts, operands = _lists((subscripts, *operands))
    return _einsum(subscripts, optimize, *operands)


DISPATCH[np.einsum] = einsum
