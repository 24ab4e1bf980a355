"""Nested containers as JSON and a table of arrays, and back: the arrays' names stand where the arrays were.

JSON knows neither tuples, nor keys that are numbers, nor nan and infinity: each is written as ``{"$": kind, ...}``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["pack", "unpack"]

_DEPTH = 50
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def pack(value: Any, arrays: dict[str, Array], name: str = "", depth: int = 0) -> Any:
    """What JSON can hold of ``value``; its arrays are put into ``arrays``, named by their path, as ``a.0.b``.

    Raises TypeError for what is neither a container, nor a number, nor a word.

    >>> import numpy as np
    >>> from tinytensor.checkpoints.nest import pack, unpack
    >>> arrays = {}
    >>> pack({"w": np.ones(2), "betas": (0.9, 0.999)}, arrays)
    {'w': {'$': 'array', 'name': 'w'}, 'betas': {'$': 'tuple', 'items': [0.9, 0.999]}}
    >>> list(arrays)
    ['w']
    """
    if depth > _DEPTH:
        raise TypeError(f"save: {name[:60]!r} is nested more than {_DEPTH} deep")
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (np.ndarray, TensorBase)):
        return _packed_array(value, arrays, name or "value")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, int)):
        return int(value) if not isinstance(value, bool) else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"$": "float", "value": str(float(value))}
    dot = name + "." if name else ""
    if isinstance(value, (list, tuple)):
        items = [pack(item, arrays, f"{dot}{k}", depth + 1) for k, item in enumerate(value)]
        return items if isinstance(value, list) else {"$": "tuple", "items": items}
    if isinstance(value, dict):
        pairs = [(key, pack(item, arrays, f"{dot}{key}", depth + 1)) for key, item in value.items()]
        if all(isinstance(key, str) for key in value) and "$" not in value:
            return dict(pairs)
        return {"$": "dict", "items": [[pack(key, arrays, name, depth + 1), item] for key, item in pairs]}
    raise TypeError(f"save: {name or 'the state'!r} is of type {type(value).__name__}; expected numbers, words, arrays, "
                    "and lists, tuples and dicts of them")  # fmt: skip


def _packed_array(value: Any, arrays: dict[str, Array], name: str) -> dict[str, str]:
    unique, k = name, 1
    while unique in arrays or unique == "__metadata__":
        unique, k = f"{name}#{k}", k + 1
    array = value._data if isinstance(value, TensorBase) else value
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"save: {name!r} is an array of {array.dtype}; expected booleans, integers or floats")
    arrays[unique] = array
    return {"$": "array", "name": unique}


def unpack(value: Any, arrays: dict[str, Array], used: set[str]) -> Any:
    """The inverse of :func:`pack`; every array that is asked for is noted in ``used``. ValueError for what it never writes."""
    if isinstance(value, list):
        return [unpack(item, arrays, used) for item in value]
    if not isinstance(value, dict):
        return value
    if "$" not in value:
        return {key: unpack(item, arrays, used) for key, item in value.items()}
    kind, items = value["$"], value.get("items")
    if kind == "array" and isinstance(name := value.get("name"), str) and name in arrays and name not in used:
        used.add(name)
        return arrays[name]
    if kind == "float" and value.get("value") in _WORDS:
        return _WORDS[value["value"]]
    if kind == "tuple" and isinstance(items, list):
        return tuple(unpack(item, arrays, used) for item in items)
    if kind == "dict" and isinstance(items, list) and all(isinstance(p, list) and len(p) == 2 for p in items):
        pairs = [(unpack(key, arrays, used), unpack(item, arrays, used)) for key, item in items]
        if all(isinstance(key, (str, int, float, bool, type(None))) for key, _ in pairs):
            return dict(pairs)
    raise ValueError(f"its description has {str(value)[:60]}, which no checkpoint has")
