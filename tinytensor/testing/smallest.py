"""Smaller inputs with the same failure, and arrays as source that can be pasted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["WrongError", "array_text", "nested_text", "report", "smallest"]

_SECONDS = 1.0  # the most that a search may take


class WrongError(AssertionError):
    """Two numbers that should agree: what is wrong, how wrong, and whether a kink may be all there is to it.

    ``both`` holds the two numbers in a few words, for the message about the smallest input.
    """

    def __init__(self, what: str, details: str = "", both: str = "", sure: bool = True) -> None:
        super().__init__(f"{what}\n{details}" if details else what)
        self.what, self.both, self.sure = what, both, sure


def report(error: WrongError, inputs: Sequence[Array], check: Callable[..., None], call: str) -> AssertionError:
    """The error, and below it the smallest input found that fails alike, as a ``call`` that can be pasted.

    ``check(*inputs)`` raises WrongError if they fail; ``call`` has a %s where the inputs stand.
    """
    found = error

    def fails(candidate: Sequence[Array]) -> bool:
        nonlocal found
        try:
            check(*candidate)
        except WrongError as other:
            if other.what == error.what and other.sure >= error.sure:
                found = other
                return True
        except Exception:  # shapes that do not fit, an index out of range: another failure, not this one
            return False
        return False

    small = smallest(inputs, fails)
    text = call % ", ".join(map(array_text, small))
    both = f"\n    # {found.both}" if found.both else ""
    return AssertionError(f"{error}\n  smallest failing input found:\n    {text}{both}")


def smallest(
    inputs: Sequence[Array], fails: Callable[[Sequence[Array]], bool], seconds: float = _SECONDS
) -> list[Array]:
    """Inputs for which ``fails`` is still true, with fewer elements and simpler numbers; bounded in time.

    Axes of one length are cut together, then alone, so that inputs that belong together stay so. Numbers get fewer
    digits, but none becomes 0 or equal to another: that might be a kink, and another failure.

    >>> wide = [np.array([[0.123, 7.0, 3.217], [1.0, 2.0, 4.0]]), np.array([0.1, 0.2, 0.3])]
    >>> smallest(wide, lambda arrays: bool((arrays[0] > 3).any()) and arrays[0].shape[-1:] == arrays[1].shape)
    [array(4.), array(1.)]
    """
    best, deadline = [np.asarray(a) for a in inputs], time.monotonic() + seconds
    found = True
    while found:
        found = False
        for candidate in chain(_shorter(best), _flatter(best), _simpler(best)):
            if time.monotonic() > deadline:
                return best
            if fails(candidate):
                best, found = candidate, True
                break
    return best


def _shorter(inputs: list[Array]) -> Iterator[list[Array]]:
    """The inputs with an axis, or several of one length, cut to a half or without one place."""
    places = [(k, axis, n) for k, a in enumerate(inputs) for axis, n in enumerate(a.shape) if n > 1]
    for length in sorted({n for _, _, n in places}, reverse=True):
        same = [(k, axis) for k, axis, n in places if n == length]
        groups = [same, *(g for g in combinations(same, 2) if len(same) > 2), *([p] for p in same if len(same) > 1)]
        for kept in _kept(length):
            for group in groups:
                yield [_cut(a, [axis for j, axis in group if j == k], kept) for k, a in enumerate(inputs)]


def _flatter(inputs: list[Array]) -> Iterator[list[Array]]:
    """The inputs without an axis of length 1: of all of them, or of one."""
    ones = [k for k, a in enumerate(inputs) if 1 in a.shape]
    for group in [ones, *([k] for k in ones if len(ones) > 1)] if ones else []:
        yield [np.squeeze(a, a.shape.index(1)) if k in group else a for k, a in enumerate(inputs)]


def _kept(n: int) -> list[list[int]]:
    """Which of n places to keep: a half, or all but one."""
    halves = [list(range(n // 2)), list(range(n // 2, n))] if n > 2 else []
    return halves + [[j for j in range(n) if j != k] for k in range(min(n, 8))]


def _cut(a: Array, axes: Iterable[int], kept: list[int]) -> Array:
    for axis in axes:
        a = np.take(a, kept, axis)
    return a


def _simpler(inputs: list[Array]) -> Iterator[list[Array]]:
    """The inputs with fewer digits in one of the arrays, or in one of its elements."""
    for k, a in enumerate(inputs):
        for simple in _with_fewer_digits(a):
            if _length(simple) < _length(a):
                yield [*inputs[:k], simple, *inputs[k + 1 :]]


def _length(a: Array) -> tuple[int, int, float]:
    return len(nested_text(a)), int(np.count_nonzero(a % 1)) if a.dtype.kind == "f" else 0, float(np.abs(a).sum())


def _with_fewer_digits(a: Array) -> Iterator[Array]:
    if a.dtype.kind in "iu":
        yield np.zeros_like(a)
    if a.dtype.kind != "f" or not a.size:
        return
    different = len(np.unique(a))
    options = [np.asarray(np.round(a, digits)) for digits in range(4)]
    if a.size <= 16:
        for index in np.ndindex(a.shape):
            for value in (1.0, 2.0, *(round(float(a[index]), digits) for digits in range(4))):
                options.append(a.copy())
                options[-1][index] = value
    for option in options:
        if len(np.unique(option)) >= different and not np.any((option == 0) & (a != 0)):
            yield option


def array_text(a: Array) -> str:
    """An array as source that makes it again.

    >>> array_text(np.array([[True], [False]])), array_text(np.zeros((0, 2), np.float32))
    ('np.array([[True], [False]])', 'np.zeros((0, 2), dtype=np.float32)')
    """
    dtype = (
        ""
        if a.dtype in (np.float64, np.int64, np.bool_) and (a.size or a.dtype == np.float64)
        else f", dtype=np.{a.dtype}"
    )
    return f"np.array({nested_text(a)}{dtype})" if a.size else f"np.zeros({a.shape}{dtype})"


def nested_text(a: Any) -> str:
    """The elements of an array as nested lists, each number as short as it can be."""
    if a.ndim:
        return "[" + ", ".join([nested_text(part) for part in a]) + "]"
    text = str(a[()])
    return text if text[-1] not in "nf" else f"{'-' * (text[0] == '-')}np.{text.lstrip('-')}"  # nan and inf
