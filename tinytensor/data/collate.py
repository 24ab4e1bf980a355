"""``default_collate``: samples become a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytensor.primitive import TensorBase

__all__ = ["default_collate"]


def default_collate(samples: list[Any]) -> Any:
    """A batch of samples: numbers and arrays are stacked, tuples and dicts entry by entry; words stay a list.

    Arrays give arrays, tensors tensors. Raises ValueError for arrays of different shapes.   (``torch.utils.data.default_collate``)

    >>> import tinytensor as tt
    >>> tt.data.default_collate([(1.0, 0), (2.0, 1)])
    (array([1., 2.]), array([0, 1]))
    """
    first = samples[0]
    kinds = sorted({type(s).__name__ for s in samples})
    if isinstance(first, (tuple, list, Mapping, str)) and len(kinds) > 1:
        raise TypeError(f"default_collate: the samples of a batch are of one kind; got {', '.join(kinds)}")
    if isinstance(first, Mapping):
        if any(set(s) != set(first) for s in samples):
            raise ValueError(
                f"default_collate: the samples of a batch have the same names; the first has {sorted(first)}"
            )
        return {key: default_collate([s[key] for s in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        if len(lengths := {len(s) for s in samples}) > 1:
            raise ValueError(f"default_collate: the samples of a batch have equal lengths; got {sorted(lengths)}")
        parts = [default_collate(list(part)) for part in zip(*samples, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if isinstance(first, (str, bytes)):
        return samples
    return _stacked([s if isinstance(s, TensorBase) else np.asarray(s) for s in samples])


def _stacked(arrays: list[Any]) -> Any:
    if len(shapes := {a.shape for a in arrays}) > 1:
        raise ValueError(
            f"default_collate: samples of shapes {sorted(shapes)[:4]} do not stack; give the loader a collate_fn"
        )
    if wrong := [a.dtype for a in arrays if a.dtype.kind not in "biufc"]:
        raise TypeError(f"default_collate: expected numbers, arrays, tuples or dicts of them; got {wrong[0]}")
    return np.stack(arrays)
