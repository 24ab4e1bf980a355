"""What anomaly mode says: the error, and how places, elements and operands are put into words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.recorded import Line

__all__ = ["AnomalyError", "count_bad", "element", "is_bad", "report", "where"]


class AnomalyError(FloatingPointError, RuntimeError):
    """A NaN or an infinity was made, or an operand overwritten, under :func:`tinytensor.detect_anomaly`.

    ``op``: the operation's name. ``line``: where the user's program recorded it (``file``, ``number``, ``source``), or
    None. ``index``: the first bad element. ``phase``: 'forward', 'backward', 'input' or 'write'.

    >>> import numpy as np, tinytensor as tt
    >>> with tt.detect_anomaly():
    ...     try:
    ...         np.log(tt.tensor([1.0, 0.0], requires_grad=True))
    ...     except tt.AnomalyError as error:
    ...         print(error.op, error.phase, error.index, error.line.expression)
    log forward (1,) np.log(tt.tensor([1.0, 0.0], requires_grad=True))
    """

    op: str = ""
    phase: str = ""
    index: tuple[int, ...] | None = None
    line: Line | None = None


def report(
    phase: str, op: str, line: Line | None, index: Any, headline: str, facts: Iterable[str], instead: str
) -> AnomalyError:
    """The error, its message on several lines."""
    place = line.underlined("  ") if line else (
        "  at a line that is not known: it was recorded outside of detect_anomaly()"
    )  # fmt: skip
    text = "\n".join([headline, place, *(f"  {fact}" for fact in facts), f"Instead: {instead}."])
    error = AnomalyError(text)
    error.phase, error.op, error.line = phase, op, line
    error.index = None if index is None else tuple(int(i) for i in index)
    return error


def is_bad(array: Any, inf: bool = True) -> Any:
    """Where an array is NaN, or infinite; None if nowhere."""
    if not isinstance(array, (np.ndarray, np.generic, float, complex)) or np.asarray(array).dtype.kind not in "fc":
        return None
    mask = ~np.isfinite(array) if inf else np.isnan(array)
    return np.asarray(mask) if np.any(mask) else None


def where(mask: Any) -> tuple[int, ...]:
    """The first true place."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))


def count_bad(mask: Any) -> str:
    bad = int(np.count_nonzero(mask))
    return f"{bad} of {mask.size} elements are not finite" if mask.size > 1 else "the only element"


def element(name: str, array: Any, index: tuple[int, ...]) -> str:
    """``x[0, 3] = -1.0``"""
    value = np.asarray(array)[index]
    return f"{name}[{', '.join(map(str, index))}] = {value!s}" if index else f"{name} = {value!s}"
