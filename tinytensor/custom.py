"""``custom_vjp``: a function whose derivative is given, not found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from tinytensor import graph
from tinytensor.arrays import asarray
from tinytensor.graph import Node, fresh, recording, set_grad_enabled
from tinytensor.primitive import TensorBase, _parts, wrap
from tinytensor.tape import Bare, array_of, base, fresh_variable
from tinytensor.transforms import stop_gradient
from tinytensor.trees import flatten, map_leaves, paths, rebuild, same_structure, skeleton

__all__ = ["custom_vjp"]


class custom_vjp:
    """A function with a derivative of its own: a decorator, to be followed by :meth:`defvjp`.

    ``defvjp(fwd, bwd)``: ``fwd(*args)`` returns (the function's result, whatever bwd needs); ``bwd(that, g)`` gets the
    cotangent of the result, in its containers, and returns a tuple with the gradient of each argument, in the containers
    of the argument; None for zeros. Arguments may be nested; numbers, strings and whatever else has no gradient are
    passed as they are. ``nondiff_argnums``: arguments that bwd gets first, as they are, and gives no gradient for.

    If bwd is written in tensor operations, second and forward derivatives follow. A tensor that requires grad must be an
    argument: TypeError if the function reads one from outside. For a plain NumPy function with one rule for each input
    :func:`tinytensor.primitive` is shorter, and faster. Follows JAX's ``custom_vjp``.

    >>> import numpy as np, tinytensor as tt
    >>> @tt.custom_vjp
    ... def clipped_gradient(x):
    ...     return x * 1.0
    >>> clipped_gradient.defvjp(lambda x: (x * 1.0, None), lambda _, g: (np.clip(g, -1, 1),))
    >>> tt.grad(lambda x: 100 * clipped_gradient(x))(2.0)
    np.float64(1.0)
    """

    def __init__(self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        self.f, self.fixed = f, tuple(nondiff_argnums)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None
        update_wrapper(self, f)

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the forward function, which also returns what backward needs, and the backward function."""
        self.fwd, self.bwd = fwd, bwd

    def __call__(self, *args: Any) -> Any:
        free = [x for n, x in enumerate(args) if n not in self.fixed]
        if not recording() or not any(_requires_grad(x) for x in flatten(free)):
            return self.f(*args)
        if self.fwd is None or self.bwd is None:
            raise TypeError(f"custom_vjp: {self.__name__}.defvjp(fwd, bwd) must be called first")  # type: ignore[attr-defined]
        return _Call(self, args).record()


def _requires_grad(x: Any) -> bool:
    return isinstance(x, TensorBase) and base(x)._node is not None


class _Call(Bare):
    """The op of one call: it knows the arguments, and how bwd is asked."""

    __slots__ = ("args", "outer", "parents", "rebuilt", "shapes", "spec", "tensors")

    def __init__(self, spec: custom_vjp, args: tuple[Any, ...]) -> None:
        super().__init__(spec.__name__)  # type: ignore[attr-defined]
        self.spec, self.args = spec, args
        self.tensors = [x for x in flatten(self._free(args)) if _requires_grad(x)]
        self.parents = tuple([base(x)._node for x in self.tensors])
        self.outputs = True

    def _free(self, args: Any) -> list[Any]:
        return [x for n, x in enumerate(args) if n not in self.spec.fixed]

    def _forward(self, nodes: Sequence[Node | None]) -> tuple[Any, Any]:
        """fwd of the arguments, whose tensors that require grad come from these nodes."""
        entering = iter(nodes)

        def replaced(x: Any) -> Any:
            if not _requires_grad(x):
                return x
            inner, node = base(x), next(entering)
            made = wrap(inner._data, node) if node is not None else fresh_variable(inner._data)
            return made if inner is x else x._with(made)

        args = [x if n in self.spec.fixed else map_leaves(replaced, x) for n, x in enumerate(self.args)]
        with set_grad_enabled(True):
            found = self.spec.fwd(*args)  # type: ignore[misc]
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(f"custom_vjp: fwd of {self.name} must return (result, what bwd needs), got {found!r:.60}")
        return found

    def record(self) -> Any:
        """Run fwd; its results become those of one node."""
        floor = fresh()
        out, kept = self._forward([None] * len(self.parents))
        outs = flatten(out)
        self._check_closure(outs, floor)
        node = graph.leaf(np.zeros(0))
        node.seq, node.op, node.parents, node.grad = fresh(), self, self.parents, False
        kept = stop_gradient(kept)
        node.saved = (kept, [array_of(x) for x in flatten(kept)])  # the arrays: to notice writes into them
        arrays: list[Any] = [array_of(x) for x in outs]
        # a result may be an argument, or a view of one
        arrays = [a.view() if isinstance(x, TensorBase) else a for a, x in zip(arrays, outs, strict=True)]
        node.shape, node.dtype = tuple([a.shape for a in arrays]), None
        self.rebuilt, self.shapes = skeleton(out), [(a.shape, a.dtype) for a in arrays]
        parts = _parts(arrays, node)
        made = [x._with(t) if hasattr(x, "_inner") else t for x, t in zip(outs, parts, strict=True)]
        self.outer = [x._with if hasattr(x, "_inner") else None for x in outs]
        return rebuild(out, made)

    def _check_closure(self, outs: list[Any], floor: int) -> None:
        for x in outs:
            root = base(x)._node if isinstance(x, TensorBase) else None
            if root is None:
                continue
            nodes = graph.history(root, floor=floor) if root.op is not None and root.seq > floor else []
            ends = [p for node in nodes for p in node.parents if p is not None]
            if any(p.op is None or p.seq <= floor for p in (ends if nodes else [root])):
                raise TypeError(
                    f"custom_vjp: {self.name} reads a tensor that requires grad from outside, and its gradient would be "
                    "lost; pass it as an argument, or detach it"
                )

    def relink(self, node: Node) -> Any:
        """What bwd needs, as tensors of the graph of the arguments: fwd is repeated."""
        return (self._forward(node.parents)[1],)

    def rule(self, g: Any, saved: Any, k: int) -> Any:
        """The gradients of all parents, by bwd."""
        cotangents = []
        for part, (shape, dtype), with_levels in zip(g, self.shapes, self.outer, strict=True):
            part = np.zeros(shape, dtype) if part is None else part
            part = part if isinstance(part, TensorBase) else wrap(asarray(part), None)
            cotangents.append(with_levels(part) if with_levels is not None else part)
        fixed = [self.args[n % len(self.args)] for n in self.spec.fixed]
        found = self.spec.bwd(*fixed, saved[0], rebuild(self.rebuilt, cotangents))  # type: ignore[misc]
        free = self._free(self.args)
        if not isinstance(found, (tuple, list)) or len(found) != len(free):
            got = f"{len(found)} gradients" if isinstance(found, (tuple, list)) else type(found).__name__
            raise TypeError(f"custom_vjp: bwd of {self.name} must return a tuple of {len(free)} gradients, got {got}")
        gradients = []
        for n, (gradient, x) in enumerate(zip(found, free, strict=True)):
            each = same_structure(gradient, x, "custom_vjp", f"gradient {n} of bwd", "its argument", optional=True)
            gradients += [
                self._gradient(v, leaf, name)
                for v, leaf, name in zip(each, flatten(x), paths(x, f"argument {n}"), strict=True)
                if _requires_grad(leaf)
            ]
        return gradients

    def _gradient(self, gradient: Any, x: Any, name: str) -> Any:
        inner = base(x)._data
        if gradient is None:
            return np.zeros(inner.shape, inner.dtype)
        if np.shape(gradient) != np.shape(x):
            raise ValueError(
                f"custom_vjp: bwd of {self.name} returned a gradient of shape {np.shape(gradient)} for {name}, which has "
                f"the shape {np.shape(x)}"
            )
        value = base(gradient)
        if isinstance(value, TensorBase):
            return value if value._node is not None else value._data
        return asarray(value, inner.dtype)
