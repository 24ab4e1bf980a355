"""Hypothesis strategies: arrays, shapes that broadcast, and random programs, which hypothesis shrinks and replays.

For whatever else is needed, hypothesis.extra.numpy has it: these are made of its strategies, and go together with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.testing.fuzz import draw_program
from tinytensor.testing.operation import with_extra
from tinytensor.testing.program import Program
from tinytensor.testing.table import TABLE, Row

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as st_numpy
except ImportError as error:
    raise ImportError("the strategies of tinytensor.testing need hypothesis: pip install 'tinytensor[test]'") from error

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["arrays", "broadcastable_shapes", "programs"]

Shape = tuple[int, ...]

_STEP = 1 / 32  # between numbers: no two that differ are nearer


def arrays(
    dtype: Any = None,
    shape: int | Shape | st.SearchStrategy[Shape] | None = None,
    *,
    low: float = -2.0,
    high: float = 2.0,
    kinks: Sequence[float] = (0.0,),
    unique: bool = False,
    contiguous: bool = False,
) -> st.SearchStrategy[Array]:
    """A strategy for arrays to differentiate at: numbers from ``low`` to ``high`` that keep away from ``kinks``.

    The numbers are multiples of 1/32, exact in every dtype, and none lies nearer to a kink than that, so that finite
    differences are smooth there; they shrink towards 1. ``dtype``: float64 or float32 if left out. ``shape``: a shape, a
    strategy for one, or, if left out, anything of at most three dimensions and sides from 0 to 4: 0-d and empty arrays
    among them. ``unique``: no two numbers are equal, as ``max``, ``sort`` and ``median`` need. The memory is not always in
    order: transposed, reversed and strided views are drawn too, unless ``contiguous``. Names follow
    ``hypothesis.extra.numpy.arrays``. Raises ValueError if no number is left.

    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> from tinytensor.testing import arrays, check_grads
    >>> @settings(max_examples=20, deadline=None, database=None)
    ... @given(arrays(np.float64, (2, 3), low=0.5))
    ... def log_is_right(x):
    ...     check_grads(np.log, x)
    >>> log_is_right()
    """
    grid = np.arange(np.ceil(low / _STEP), np.floor(high / _STEP) + 1) * _STEP
    grid = grid[np.all([np.abs(grid - k) >= _STEP for k in kinks], axis=0)] if len(kinks) else grid
    if not grid.size:
        raise ValueError(f"arrays: no numbers from {low} to {high} keep away from the kinks {tuple(kinks)}")
    numbers = sorted(map(float, grid), key=lambda v: (v != 1, len(str(v)), abs(v), v < 0))
    dtypes = (
        dtype
        if isinstance(dtype, st.SearchStrategy)
        else st.sampled_from([np.float64, np.float32] if dtype is None else [dtype])
    )
    if shape is None:
        shape = st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    shapes = (
        shape if isinstance(shape, st.SearchStrategy) else st.just((shape,) if isinstance(shape, int) else tuple(shape))
    )
    return _arrays(dtypes, shapes, numbers, unique, contiguous)


@st.composite
def _arrays(draw: Any, dtypes: Any, shapes: Any, numbers: list[float], unique: bool, contiguous: bool) -> Array:
    wanted, dtype = draw(shapes), draw(dtypes)
    layout = (
        "plain" if contiguous or not wanted else draw(st.sampled_from(["plain", "transposed", "reversed", "strided"]))
    )
    made = wanted[::-1] if layout == "transposed" else wanted
    fill = st.nothing() if unique else None
    x: Array = draw(st_numpy.arrays(dtype, made, elements=st.sampled_from(numbers), fill=fill, unique=unique))
    if layout == "transposed":
        return x.T
    if layout == "reversed":
        return np.flip(x).copy()[(slice(None, None, -1),) * x.ndim]
    if layout == "strided":
        wide = np.full((*wanted[:-1], 2 * wanted[-1]), np.nan, dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    return x


def broadcastable_shapes(
    num_shapes: int = 2,
    *,
    base_shape: Shape = (),
    min_dims: int = 0,
    max_dims: int = 3,
    min_side: int = 0,
    max_side: int = 4,
) -> st.SearchStrategy[tuple[Shape, ...]]:
    """A strategy for that many shapes that broadcast together: sides of 1 and missing axes among them, and empty ones.

    ``base_shape``: what they all broadcast with as well. It is ``hypothesis.extra.numpy.mutually_broadcastable_shapes``
    without the shape of the result, and with smaller shapes unless told otherwise.

    >>> import numpy as np
    >>> from hypothesis import given, settings
    >>> from hypothesis import strategies as st
    >>> from tinytensor.testing import arrays, broadcastable_shapes, check_grads
    >>> pairs = broadcastable_shapes(2).flatmap(lambda two: st.tuples(*[arrays(float, shape) for shape in two]))
    >>> @settings(max_examples=20, deadline=None, database=None)
    ... @given(pairs)
    ... def division_is_right(pair):
    ...     check_grads(np.divide, *pair, order=1, atol=1e-5)
    >>> division_is_right()
    """
    return st_numpy.mutually_broadcastable_shapes(
        num_shapes=num_shapes, base_shape=base_shape, min_dims=min_dims, max_dims=max_dims, min_side=min_side,
        max_side=max_side,
    ).map(lambda found: found.input_shapes)  # fmt: skip


class _Drawn:
    """Choices from hypothesis."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        """A number in [low, high]; hypothesis shrinks towards low."""
        return int(self._draw(st.integers(low, high)))

    def together(self, draw: Callable[[], Any]) -> Any:
        """What ``draw`` makes: a span of choices that hypothesis may leave out as a whole."""
        return self._draw(st.builds(draw))


@st.composite
def _programs(draw: Any, lines: int, table: tuple[Row, ...]) -> Program:
    return draw_program(_Drawn(draw), lines, table)[0]


def programs(
    lines: int = 8, table: Sequence[Row] = TABLE, extra: Iterable[Row | Callable[..., Any]] = ()
) -> st.SearchStrategy[Program]:
    """A strategy for random programs of at most about ``lines`` lines, of the operations in ``table``.

    ``extra``: operations of your own, functions or rows that :func:`operation` made; every third line or so calls one.

    >>> from hypothesis import given, settings
    >>> from tinytensor.testing import programs
    >>> @settings(max_examples=20, deadline=None, database=None)
    ... @given(programs(lines=3))
    ... def engines_agree(program):
    ...     program.check()
    >>> engines_agree()
    """
    return _programs(lines, with_extra(table, extra))
