"""``pad`` with PyTorch's order of widths and names of modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tinytensor.ops import padding
from tinytensor.ops.shape import as_tensor

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Operand

__all__ = ["MODES", "pad"]

#: PyTorch's names of modes -> NumPy's.
MODES = {"constant": "constant", "zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(input: Operand, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """input with elements before and after its last axes; a negative width cuts off.   (``torch.nn.functional.pad``)

    ``pad``: (left, right) of the last axis, then (top, bottom) of the one before it, and so on. mode: constant (``value``,
    0 by default), reflect, replicate or circular. :func:`tinytensor.pad` takes NumPy's arguments.

    >>> import tinytensor as tt
    >>> tt.nn.functional.pad(tt.tensor([[1.0, 2.0]]), (1, 2))
    tensor([[0., 1., 2., 0., 0.]])
    """
    x = as_tensor(input)
    widths = [int(w) for w in pad]
    if mode not in MODES or (value is not None and mode != "constant"):
        raise ValueError(
            f"pad: mode must be constant, which alone takes a value, reflect, replicate or circular; got {mode!r}"
        )
    if len(widths) % 2 or len(widths) > 2 * x.ndim:
        raise ValueError(f"pad: expected pairs of widths, for at most {x.ndim} axes, got {tuple(widths)}")
    lead = x.ndim - len(widths) // 2
    pairs = [(0, 0)] * lead + list(zip(widths[-2::-2], widths[::-2], strict=True))
    cut = [slice(max(-a, 0), max(n - max(-b, 0), 0)) for n, (a, b) in zip(x.shape, pairs, strict=True)]
    if any(min(pair) < 0 for pair in pairs):
        x = x[tuple(cut)]
    added = [(max(a, 0), max(b, 0)) for a, b in pairs]
    if mode == "constant":
        return padding.pad(x, added, "constant", 0 if value is None else value)
    for n, width in zip(x.shape, added, strict=True):
        if max(width) > max(n - (mode == "reflect"), 0) and mode != "replicate":
            raise ValueError(f"pad: mode {mode!r} cannot add {max(width)} elements to an axis of {n}")
    return padding.pad(x, added, MODES[mode]) if np.any(added) else x
