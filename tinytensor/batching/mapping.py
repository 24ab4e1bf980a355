"""``vmap``: a function of one example, run on all examples at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.batching import rules as _rules  # noqa: F401  (it tells the primitives what to do with batches)
from tinytensor.batching.batch import Batched, Level
from tinytensor.ops import shape
from tinytensor.primitive import TensorBase, wrap
from tinytensor.tape import LEVELS, base, handed_out
from tinytensor.trees import flatten, is_leaf, paths, rebuild

__all__ = ["vmap"]


def vmap(f: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0) -> Callable[..., Any]:
    """The function that maps f over an axis of its arguments, without a loop: f is written for one example.

    Under it f gets tensors that look like one example. Every operation on them is one on the whole batch: elementwise
    functions, reductions, shapes, joining, indexing, products, einsum, linear algebra and FFT, where NumPy itself has
    leading axes. A function without such a rule raises TypeError and names itself; then loop: ``tt.stack([f(x) for x in
    xs])``. So does an ``if`` that depends on the values: use ``tt.where``.

    ``in_axes``: the mapped axis of each argument, None for one that all examples share; a number for all; a tuple, in
    which an argument that is a list, tuple or dict may have one of its own. ``out_axes``: where the axis goes in the
    results. Keyword arguments are shared. Results that are the same for all examples are repeated. Random numbers drawn
    inside f are shared too. Follows JAX's and ``torch.func.vmap``.

    ``vmap(grad(f))`` gives each example's own gradient, also of arguments that the examples share.

    >>> import numpy as np, tinytensor as tt
    >>> tt.vmap(np.dot)(np.ones((3, 2)), np.arange(6.0).reshape(3, 2))
    array([1., 5., 9.])
    >>> loss = lambda w, x, y: (x @ w - y) ** 2
    >>> tt.vmap(tt.grad(loss), in_axes=(None, 0, 0))(np.ones(2), np.eye(2), np.array([0.0, 0.5]))
    array([[2., 0.],
           [0., 1.]])
    """

    @wraps(f)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        axes = _axes_of(in_axes, args)
        leaves = [flatten(x) for x in args]
        names = [paths(x, f"args[{n}]") for n, x in enumerate(args)]
        size = _size(leaves, axes, names)
        stack = LEVELS.get()
        level = Level(len(stack), size)
        entering = [
            rebuild(x, [_entering(v, a, level) for v, a in zip(found, along, strict=True)])
            for x, found, along in zip(args, leaves, axes, strict=True)
        ]
        token = LEVELS.set((*stack, level))
        try:
            out = f(*entering, **kwargs)
        finally:
            LEVELS.reset(token)
        plain = not any(isinstance(x, TensorBase) for found in leaves for x in found)
        if is_leaf(out):
            return _leaving(out, out_axes, level, plain)
        each = _spread(out_axes, out, "out_axes")
        return rebuild(out, [_leaving(x, a, level, plain) for x, a in zip(flatten(out), each, strict=True)])

    return mapped


def _axes_of(in_axes: Any, args: tuple[Any, ...]) -> list[list[Any]]:
    """The mapped axis of every leaf of every argument."""
    if in_axes is None or isinstance(in_axes, (int, np.integer)):
        in_axes = (in_axes,) * len(args)
    if not isinstance(in_axes, (tuple, list)) or len(in_axes) != len(args):
        raise TypeError(
            f"vmap: in_axes must be a number, or a tuple with one entry for each of the {len(args)} arguments, got "
            f"{in_axes!r}"
        )
    return [_spread(axis, x, f"in_axes[{n}]") for n, (axis, x) in enumerate(zip(in_axes, args, strict=True))]


def _spread(axes: Any, tree: Any, name: str) -> list[Any]:
    """The entry of ``axes``, a prefix of the tree, for every leaf."""
    if axes is None or isinstance(axes, (int, np.integer)):
        return [axes] * len(flatten(tree))
    if isinstance(axes, dict) and isinstance(tree, dict) and axes.keys() == tree.keys():
        return [a for key in tree for a in _spread(axes[key], tree[key], f"{name}[{key!r}]")]
    if isinstance(axes, (list, tuple)) and isinstance(tree, (list, tuple)) and len(axes) == len(tree):
        return [a for i, (axis, x) in enumerate(zip(axes, tree, strict=True)) for a in _spread(axis, x, f"{name}[{i}]")]
    raise TypeError(f"vmap: {name} must be a number or None, or match the containers it belongs to, got {axes!r}")


def _size(leaves: list[list[Any]], axes: list[list[Any]], names: list[list[str]]) -> int:
    sizes: dict[str, int] = {}
    for found, along, called in zip(leaves, axes, names, strict=True):
        for x, axis, name in zip(found, along, called, strict=True):
            if axis is None:
                continue
            whole = np.shape(x)
            if not -len(whole) <= axis < len(whole):
                raise ValueError(f"vmap: {name} has the shape {whole}, which has no axis {axis} to map over")
            sizes[name] = whole[axis]
    if not sizes:
        raise ValueError("vmap: no argument has an axis to map over; in_axes must not be None for all")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name}: {n}" for name, n in sizes.items())
        raise ValueError(f"vmap: the mapped axes must have one length, got {listed}")
    return next(iter(sizes.values()))


def _entering(x: Any, axis: Any, level: Level) -> Any:
    if axis is None:  # an array too becomes a tensor, so that an index may differ between examples
        return wrap(x, None) if isinstance(x, np.ndarray) and x.dtype.kind in "biufc" else x
    t: Any = x if isinstance(x, TensorBase) else wrap(asarray(x), None)
    return Batched(t if axis == 0 else shape.moveaxis(t, axis, 0), level)


def _leaving(x: Any, axis: Any, level: Level, plain: bool) -> Any:
    """A result with its batch axis where it should be; an array, if only arrays went in and nothing is recorded."""
    deeper = x._level if isinstance(x, Batched) else None
    if deeper is not None and deeper.depth > level.depth:
        raise TypeError("vmap: a batched tensor has left the call of vmap that made it")
    if axis is None:
        if deeper is level:
            raise ValueError("vmap: out_axes is None for a result that differs between examples")
        return handed_out(x, plain, base(x)._node is not None) if isinstance(x, TensorBase) else x
    if not isinstance(x, TensorBase) and asarray(x).dtype.kind not in "biufc":
        raise TypeError(f"vmap: the function must return numbers and arrays, got {type(x).__name__} {x!r:.40}")
    whole = level.lift(x)._inner
    whole = whole if axis == 0 else shape.moveaxis(whole, 0, axis)
    recorded = base(whole)._node is not None
    return whole._data if plain and not recorded and not isinstance(whole, Batched) else whole
