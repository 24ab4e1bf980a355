"""The cells of a table: which say "not known", which are numbers, and a sentence for one that should be a number and is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["MISSING", "category", "is_number", "numbers"]

#: Cells that say "not known"; surrounding blanks are cut off first.
MISSING = frozenset(
    ["", "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "-NaN", "NULL", "Null", "null", "None", "none"]
)


def category(text: str) -> str:
    """The name of a category: 1.0 and 1 are one, as programs that turn whole numbers into 1.0 mean them.

    >>> from tinytensor.data.cells import category
    >>> category("1.0"), category("1.50"), category("red")
    ('1', '1.50', 'red')
    """
    head, point, tail = text.partition(".")
    return head if point and head.lstrip("+-").isdecimal() and not tail.strip("0") else text


def _value(text: str, decimal: str) -> float:
    if decimal == ",":
        if "." in text:  # 1.234 would be a thousand to who writes 1,5
            raise ValueError(text)
        text = text.replace(",", ".")
    if "_" in text:  # float reads 1_000
        raise ValueError(text)
    return float(text)


def is_number(text: str, decimal: str = ".") -> bool:
    """Whether a cell is a finite number, or NaN in some spelling.

    >>> from tinytensor.data.cells import is_number
    >>> is_number("1e3"), is_number("1,5"), is_number("1,5", decimal=","), is_number("inf")
    (True, False, True, False)
    """
    try:
        return not math.isinf(_value(text, decimal))
    except ValueError:
        return False


def numbers(texts: Sequence[str], lines: Sequence[int], column: str, file: str, decimal: str = ".") -> Array:
    """The cells of a column as float64, NaN where '' says missing; ValueError names the first that is no finite number.

    >>> from tinytensor.data.cells import numbers
    >>> numbers(["1", "", "2e3"], [2, 3, 4], "size", "t.csv").tolist()
    [1.0, nan, 2000.0]
    >>> numbers(["1", "big"], [2, 3], "size", "t.csv")
    Traceback (most recent call last):
    ValueError: t.csv, line 3, column 'size': expected a number, got 'big'
    """
    every = "".join(texts)
    if "_" not in every and (decimal == "." or "." not in every):
        plain = [text.replace(",", ".") for text in texts] if decimal == "," else texts
        try:
            values = np.array([float(text) if text else math.nan for text in plain])
            if not np.isinf(values).any():
                return values
        except ValueError:
            pass
    k = next(k for k, text in enumerate(texts) if text and not is_number(text, decimal))
    raise ValueError(
        f"{file}, line {lines[k]}, column {column!r}: expected a number, got {texts[k][:40]!r}{_hint(texts[k], decimal)}"
    )


def _hint(text: str, decimal: str) -> str:
    if decimal == "," and is_number(text.replace(".", ""), ","):
        return "; with decimal commas, numbers are written without points"
    if is_number(text.replace(",", ".", 1)):
        return "; if the comma is a decimal point, give --decimal ','"
    if is_number(text.replace(",", "")):
        return "; write it without commas between thousands"
    try:
        return ", which is not finite" if math.isinf(float(text)) else ""
    except ValueError:
        return ""
