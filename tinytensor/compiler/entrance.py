"""A quick look at a call: whether it is like the last one, in a line of generated Python instead of a walk through containers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["entrance"]

#: Static arguments that are compared.
_PLAIN = (int, bool, str, type(None))


def entrance(args: tuple[Any, ...], mode: bool) -> Callable[..., Any]:
    """``enter(args, mode)``: the leaves of a call that has the signature of this one; None if it may have another.

    It knows arrays, floats, numbers and strings; calls with anything else take the longer way.
    """
    space: dict[str, Any] = {
        "ndarray": np.ndarray,
        "float": float,
        "int": int,
        "bool": bool,
        "str": str,
        "none": type(None),
    }
    tests = [f"len(args) == {len(args)}", f"mode is {mode}"]
    leaves: list[str] = []
    arrays: list[int] = []
    for k, x in enumerate(args):
        if type(x) is np.ndarray:
            space[f"s{k}"], space[f"d{k}"], space[f"t{k}"] = x.shape, x.dtype, x.strides
            tests.append(
                f"type(a{k} := args[{k}]) is ndarray and a{k}.shape == s{k} and a{k}.dtype is d{k} and a{k}.strides == t{k}"
            )
            tests += [f"a{k} is not a{j}" for j in arrays]
            arrays.append(k)
            leaves.append(f"a{k}")
        elif type(x) is float:
            tests.append(f"type(args[{k}]) is float")
            leaves.append(f"args[{k}]")
        elif type(x) in _PLAIN:
            space[f"v{k}"] = x
            kind = "none" if x is None else type(x).__name__
            tests.append(f"type(args[{k}]) is {kind} and args[{k}] == v{k}")
        else:
            return lambda args, mode: None
    if len({id(x) for x in args if type(x) is np.ndarray}) < len(arrays):
        return lambda args, mode: None
    text = f"lambda args, mode: ({', '.join(leaves)}{',' * (len(leaves) == 1)}) if {' and '.join(tests)} else None"
    enter: Callable[..., Any] = eval(text, space)  # our own text, of numbers and names
    return enter
