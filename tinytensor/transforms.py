"""Functions of functions: ``grad`` and ``value_and_grad``, to any order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.graph import Node, recording, set_grad_enabled
from tinytensor.ops.shape import copy
from tinytensor.primitive import Op, TensorBase, primitive, wrap

__all__ = ["grad", "value_and_grad"]


@primitive(x=lambda g: g)
def variable(x: Any) -> Any:
    """The argument of a differentiated function: x itself, as a node of its own, at which the walk stops."""
    return x


_VARIABLE: Op = variable.op  # type: ignore[attr-defined]


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The function that computes ∂f/∂argument, for a scalar-valued f.

    ``argnums``: the number of the argument, or several (then a tuple is returned). A gradient has the shape and dtype
    of its argument, and its kind: a number or an ndarray in, the same out; a tensor in, a tensor out. It is itself
    differentiable: ``grad(grad(f))``. Follows HIPS autograd's and JAX's ``grad``. Raises TypeError for an integer
    argument and for an f that returns something else than one number.

    >>> import numpy as np, tinytensor as tt
    >>> tt.grad(np.tanh)(0.0), tt.grad(tt.grad(lambda x: x**3))(2.0)
    (np.float64(1.0), np.float64(12.0))
    >>> tt.grad(lambda w: np.sum(w**2))(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    both = value_and_grad(f, argnums)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def value_and_grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Callable[..., Any]:
    """The function that computes (f, ∂f/∂argument) in one pass: see :func:`grad`.

    >>> import numpy as np, tinytensor as tt
    >>> tt.value_and_grad(lambda x, y: x * y, argnums=(0, 1))(3.0, 4.0)
    (np.float64(12.0), (np.float64(4.0), np.float64(3.0)))
    """
    numbers = (argnums,) if isinstance(argnums, (int, np.integer)) else tuple(argnums)

    @wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        outer = recording()
        arguments = list(args)
        places = [_place(n, len(args), argnums) for n in numbers]
        variables = {n: _variable(args[n], n, outer) for n in places}
        for n, (tensor, _) in variables.items():
            arguments[n] = tensor
        nodes = [variables[n][1] for n in places]
        with set_grad_enabled(True):
            out = f(*arguments, **kwargs)
        value, gradients, lifted = _pull(out, nodes, outer)
        found = tuple([_like(args[n], g, lifted) for n, g in zip(numbers, gradients, strict=True)])
        plain = not lifted and not any(isinstance(args[n], TensorBase) for n in numbers)
        if isinstance(value, TensorBase):
            value = value._data[()] if plain else value if lifted else wrap(value._data, None)
        return value, found[0] if isinstance(argnums, (int, np.integer)) else found

    return value_and_gradient


def _place(n: int, count: int, argnums: Any) -> int:
    """The position of argument n, which may be counted from the end."""
    if not -count <= n < count:
        raise TypeError(f"grad: argnums={argnums}, but the function was called with {count} arguments")
    return n % count


def _variable(x: Any, n: int, outer: bool) -> tuple[Any, Node]:
    """The tensor that stands for argument n inside the function, and its node."""
    tensor = isinstance(x, TensorBase)
    array = x._data if tensor else np.asarray(x)
    if array.dtype.kind != "f":
        what = f"{type(x).__name__} {x!r:.40}" if not tensor else f"a tensor of {array.dtype}"
        raise TypeError(f"grad: argument {n} must be floating numbers, got {what}; write 3.0 instead of 3")
    node = graph.leaf(array)
    node.op, node.saved, node.grad = _VARIABLE, (None, None), False
    node.parents = (x._node if tensor and outer else None,)
    return wrap(array, node), node


def _pull(out: Any, nodes: list[Node], outer: bool) -> tuple[Any, list[Any], bool]:
    """The value, the cotangents that arrive at ``nodes``, and whether they belong to an outer graph."""
    array = out._data if isinstance(out, TensorBase) else np.asarray(out)
    if array.size != 1 or array.dtype.kind != "f":
        raise TypeError(
            f"grad: the function must return one floating number, got shape {array.shape} of {array.dtype}; reduce it "
            "with .sum() or .mean()"
        )
    root = out._node if isinstance(out, TensorBase) else None
    if root is None:
        return out, [None] * len(nodes), False
    targets = set(nodes)
    floor = min([node.seq for node in nodes]) - 1
    order = [] if root in targets else graph.history(root, stop=targets, floor=floor)
    # what the function reads from outside and itself needs a gradient, makes the gradient a part of an outer graph
    older = (p for node in order for p in node.parents if p is not None and p not in targets)
    lifted = outer and (
        (root not in targets and (root.op is None or root.seq <= floor))
        or any(p.op is None or p.seq <= floor for p in older)
        or any(node.parents[0] is not None for node in nodes)
    )
    seed: Any = np.ones(array.shape, array.dtype)
    if lifted:
        seed = wrap(seed, None)
    if not order:
        arrived = {root: seed}
    elif root.seq <= floor:
        arrived = {}
    else:
        needed = set(targets)
        for node in reversed(order):
            if any(p in needed for p in node.parents):
                needed.add(node)
        arrived = graph.walk(order, seed, needed=needed, create_graph=lifted, retain_graph=lifted)
    return out, [arrived.get(node) for node in nodes], lifted


def _like(x: Any, g: Any, lifted: bool) -> Any:
    """The gradient in the kind of its argument."""
    tensor = isinstance(x, TensorBase)
    if g is None:
        g = np.zeros(x.shape if tensor else np.shape(x), x.dtype if tensor else np.asarray(x).dtype)
    if isinstance(g, TensorBase):
        return copy(g)  # type: ignore[arg-type]  # memory of its own: g may be a view, or serve two arguments
    if tensor or lifted:
        return wrap(np.array(g), None)
    return np.array(g) if isinstance(x, (np.ndarray, list, tuple)) else np.array(g)[()]
