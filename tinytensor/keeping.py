"""Memory that one step frees stays for the next one, instead of going back to the operating system in between.

A recorded step holds what its rules asked to keep, and frees all of it at its end. glibc then gives the top of its heap back, and
the next step pays for every page again: for arrays of megabytes that costs more than the arithmetic. So the first derivative
that is taken in a process tells ``malloc`` to keep up to a gigabyte, and to take arrays of up to 32 MB, its most, from there.

``TINYTENSOR_KEEP_MEMORY`` in the environment is another number of bytes; with 0, malloc is left alone. Other C libraries than
glibc are, too. See ``mallopt(3)``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

__all__ = ["at_first", "give_back", "keep_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST = 32 << 20  # HEAP_MAX_SIZE / 2: larger arrays come from the operating system, and go back to it
_MOST = 1 << 30


def keep_memory() -> int:
    """Tell malloc, and return how many bytes it keeps now; 0 if it was left alone."""
    asked = os.environ.get("TINYTENSOR_KEEP_MEMORY", "")
    most = min(int(asked), 2**31 - 1) if asked.isdigit() else _MOST
    if most and _malloc("mallopt", _TRIM_THRESHOLD, most) and _malloc("mallopt", _MMAP_THRESHOLD, _LARGEST):
        return most
    return 0


def give_back() -> None:
    """Give what is free now to the operating system: the work that follows needs other sizes."""
    _malloc("malloc_trim", 0)


def _malloc(name: str, *args: int) -> int:
    """A function of glibc; 0 where there is none, or a Python without ctypes."""
    with suppress(ImportError, OSError, AttributeError):
        import ctypes

        if sys.platform.startswith("linux"):
            return int(getattr(ctypes.CDLL(None), name)(*args))
    return 0


#: What the first walk of a process does; nothing, once it has.
at_first: list[Callable[[], int]] = [keep_memory]
