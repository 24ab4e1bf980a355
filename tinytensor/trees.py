"""Trees: nested lists, tuples and dicts with arrays at their leaves, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tinytensor.arrays import asarray
from tinytensor.primitive import TensorBase

__all__ = ["flatten", "is_leaf", "map_leaves", "paths", "rebuild", "same_structure", "skeleton"]

#: What stands where a leaf was, in a tree without its values.
LEAF: Any = type("Leaf", (), {"__repr__": lambda self: "*", "__slots__": ()})()


def is_leaf(x: Any) -> bool:
    """Whether x is neither a container nor None."""
    return x is not None and not isinstance(x, (list, tuple, dict))


def flatten(tree: Any) -> list[Any]:
    """The leaves from left to right; ``None`` is an empty tree.

    >>> flatten({"w": [1.0, 2.0], "b": (3.0, None)})
    [1.0, 2.0, 3.0]
    """
    found: list[Any] = []
    _collect(tree, found)
    return found


def _collect(tree: Any, found: list[Any]) -> None:
    if isinstance(tree, (list, tuple)):
        for x in tree:
            _collect(x, found)
    elif isinstance(tree, dict):
        for x in tree.values():
            _collect(x, found)
    elif tree is not None:
        found.append(tree)


def rebuild(tree: Any, leaves: Iterable[Any]) -> Any:
    """A tree of the same containers (named tuples and dict types too) with other leaves.

    >>> rebuild({"w": [1.0, 2.0], "b": (3.0, None)}, "xyz")
    {'w': ['x', 'y'], 'b': ('z', None)}
    """
    return _rebuilt(tree, iter(leaves))


def _rebuilt(tree: Any, leaves: Iterator[Any]) -> Any:
    if isinstance(tree, tuple):
        made = [_rebuilt(x, leaves) for x in tree]
        return type(tree)(*made) if hasattr(tree, "_fields") else tuple(made)
    if isinstance(tree, list):
        return [_rebuilt(x, leaves) for x in tree]
    if isinstance(tree, dict):
        new = tree.copy()  # an OrderedDict, a defaultdict with its factory
        for key, x in tree.items():
            new[key] = _rebuilt(x, leaves)
        return new
    return None if tree is None else next(leaves)


def map_leaves(f: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with f applied to every leaf.

    >>> map_leaves(lambda x: x + 1, [1.0, (2.0, None)])
    [2.0, (3.0, None)]
    """
    return f(tree) if is_leaf(tree) else rebuild(tree, [f(x) for x in flatten(tree)])


def skeleton(tree: Any) -> Any:
    """The tree without its values: it keeps no array alive."""
    return rebuild(tree, [LEAF] * len(flatten(tree)))


def paths(tree: Any, name: str) -> list[str]:
    """How each leaf is reached.

    >>> paths([1.0, {"w": (2.0, 3.0)}], "args")
    ['args[0]', "args[1]['w'][0]", "args[1]['w'][1]"]
    """
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [path for key, x in tree.items() for path in paths(x, f"{name}[{key!r}]")]
    if isinstance(tree, (list, tuple)):
        fields = getattr(tree, "_fields", None)
        names = [f"{name}.{field}" for field in fields] if fields else [f"{name}[{i}]" for i in range(len(tree))]
        return [path for x, inner in zip(tree, names, strict=True) for path in paths(x, inner)]
    return [name]


def same_structure(given: Any, expected: Any, op: str, name: str, like: str, optional: bool = False) -> list[Any]:
    """The leaves of ``given`` in the order of ``expected``, which must have the same containers.

    ``optional``: None may stand for any part. Raises TypeError naming the first place where they differ.
    """
    if optional and given is None:
        return [None] * len(flatten(expected))
    if expected is None:
        if given is not None:
            raise TypeError(f"{op}: {name} must be None, as {like} is, got {_kind(given)}")
        return []
    if isinstance(expected, dict):
        if not isinstance(given, dict) or given.keys() != expected.keys():
            got = f"keys {list(given)}" if isinstance(given, dict) else _kind(given)
            raise TypeError(f"{op}: {name} must be a dict with the keys {list(expected)}, as {like} is; got {got}")
        pairs = [(given[key], x, f"[{key!r}]") for key, x in expected.items()]
    elif isinstance(expected, (list, tuple)):
        if not isinstance(given, type(expected) if type(expected) in (list, tuple) else tuple) or len(given) != len(
            expected
        ):
            got = f"{len(given)} of them" if isinstance(given, (list, tuple)) else _kind(given)
            what = f"{type(expected).__name__} of {len(expected)}"
            raise TypeError(f"{op}: {name} must be a {what}, as {like} is; got {_kind(given)}, {got}")
        pairs = [(g, x, f"[{i}]") for i, (g, x) in enumerate(zip(given, expected, strict=True))]
    elif not is_leaf(given):
        raise TypeError(f"{op}: {name} must be an array or a number, as {like} is; got {_kind(given)}")
    else:
        return [given]
    return [leaf for g, x, step in pairs for leaf in same_structure(g, x, op, name + step, like + step, optional)]


def _kind(x: Any) -> str:
    return "None" if x is None else type(x).__name__


def array_of(x: Any) -> Any:
    """The leaf's values as an ndarray."""
    return x._data if isinstance(x, TensorBase) else asarray(x)
