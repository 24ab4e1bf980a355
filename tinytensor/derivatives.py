"""Whole matrices of derivatives: ``jacobian``, by columns or by rows, and ``hessian``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.batching.batch import Batched, Level
from tinytensor.forward import Pusher
from tinytensor.graph import recording, set_grad_enabled
from tinytensor.primitive import TensorBase, wrap
from tinytensor.tape import LEVELS, Inputs, Tape, array_of, handed_out, place, results
from tinytensor.transforms import _with_aux, grad, numbers_of
from tinytensor.trees import map_leaves, rebuild, skeleton

__all__ = ["hessian", "jacfwd", "jacobian", "jacrev"]

#: Directions are taken together until their tangents would have this many elements.
_AT_ONCE = 1 << 22

#: How much more a column costs than a row, where rules have to be transposed: measured on small networks.
_COLUMN = 1.5


def jacobian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, mode: str = "auto", has_aux: bool = False
) -> Callable[..., Any]:
    """The function that computes all ∂f/∂argument: an array of shape ``out.shape + argument.shape``.

    For nested results and arguments it is one such array in the argument's containers, for each leaf of the result's.
    ``mode``: "reverse" computes it by rows, one for each element of the result, "forward" by columns, one for each
    element of the argument, and "auto" whichever is cheaper. All rows (or columns) are computed in one pass over the
    graph, as :func:`tinytensor.vmap` does, where every operation in it can. ``argnums`` and ``has_aux`` as for
    :func:`tinytensor.grad`. Follows JAX's and ``torch.func``'s ``jacrev`` and ``jacfwd``.

    >>> import numpy as np, tinytensor as tt
    >>> tt.jacobian(lambda x: x**2)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    if mode not in ("auto", "forward", "reverse"):
        raise ValueError(f"jacobian: mode must be 'auto', 'forward' or 'reverse', got {mode!r}")
    numbers, single = numbers_of(argnums), isinstance(argnums, (int, np.integer))

    @wraps(f)
    def matrix(*args: Any, **kwargs: Any) -> Any:
        outer = recording()
        places = [place(n, len(args), argnums, "jacobian") for n in numbers]
        inputs = Inputs(args, list(dict.fromkeys(places)), "jacobian", outer)
        with set_grad_enabled(True):
            out = f(*inputs.arguments, **kwargs)
        out, aux = _with_aux(out, "jacobian") if has_aux else (out, None)
        outs = results(out, "jacobian")
        tape = Tape(inputs.nodes, outs, outer)
        _check([*inputs.leaves, *outs])
        blocks = _Blocks(tape, inputs, outs)
        rows, columns = sum(blocks.rows), sum(blocks.columns)
        by_rows = rows <= _COLUMN * columns if mode == "auto" else mode == "reverse"
        found = blocks.by_rows() if by_rows else blocks.by_columns()
        made = []
        for row in found:
            shaped = inputs.shaped(row)
            at = dict(zip(inputs.places, shaped, strict=True))
            made.append(shaped[0] if single else tuple([at[n] for n in places]))
        nested = rebuild(skeleton(out), made)
        plain = not tape.lifted and inputs.plain()
        return (nested, map_leaves(lambda x: handed_out(x, plain, tape.lifted), aux)) if has_aux else nested

    return matrix


def jacrev(f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """The Jacobian by rows, in reverse mode: for more arguments than results; see :func:`tinytensor.jacobian`."""
    return jacobian(f, argnums, mode="reverse", has_aux=has_aux)


def jacfwd(f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, has_aux: bool = False) -> Callable[..., Any]:
    """The Jacobian by columns, in forward mode: for more results than arguments; see :func:`tinytensor.jacobian`."""
    return jacobian(f, argnums, mode="forward", has_aux=has_aux)


def hessian(f: Callable[..., Any], argnums: int | Sequence[int] = 0, *, mode: str = "auto") -> Callable[..., Any]:
    """The function that computes all ∂²f/∂argument², for a scalar-valued f: shape ``argument.shape * 2``.

    The Jacobian of the gradient; nested arguments give nested containers of blocks, as in JAX. A product with a vector
    is cheaper by :func:`tinytensor.hvp`.

    >>> import numpy as np, tinytensor as tt
    >>> tt.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    """
    return jacobian(grad(f, argnums), argnums, mode=mode)


def _check(outs: list[Any]) -> None:
    for x in outs:
        kind = x.dtype.kind if isinstance(x, TensorBase) else asarray(x).dtype.kind  # type: ignore[attr-defined]
        if kind != "f":
            hint = "; for complex numbers use tt.jvp and tt.vjp" if kind == "c" else ""
            raise TypeError(f"jacobian: expected real floating numbers, got {type(x).__name__} {x!r:.40}{hint}")


class _Blocks:
    """The blocks of a Jacobian: for each leaf of the result and of the arguments an array."""

    def __init__(self, tape: Tape, inputs: Inputs, outs: list[Any]) -> None:
        self.tape, self.inputs, self.outs = tape, inputs, outs
        self.levels = len(LEVELS.get())
        self.out_shapes = [np.shape(x) for x in outs]
        self.in_shapes = [np.shape(x) for x in inputs.stand_ins]
        self.rows = [int(np.prod(s, dtype=int)) for s in self.out_shapes]
        self.columns = [int(np.prod(s, dtype=int)) for s in self.in_shapes]
        sizes = [int(np.prod(n.shape, dtype=int)) for n in tape.order if n.dtype is not None]
        self.step = max(1, _AT_ONCE // max([1, *sizes]))
        self.recorded = tape.lifted

    def by_rows(self) -> list[list[Any]]:
        """One cotangent for each element of the result."""
        blocks = []
        for i, out in enumerate(self.outs):
            pieces: list[list[Any]] = []
            if i in self.tape.at:
                tape = self.tape if len(self.outs) == 1 else Tape(self.inputs.nodes, [out], False)

                def pull(seed: Any, tape: Tape = tape) -> list[Any]:
                    return tape.pull([seed], self.recorded, True)

                pieces = list(self._through(pull, array_of(out), self.rows[i], self.out_shapes[i]))
            nodes = self.inputs.nodes
            parts = [_joined([p[k] for p in pieces]) for k in range(len(nodes))]
            leads = [len(node.shape) - len(s) for node, s in zip(nodes, self.in_shapes, strict=True)]
            blocks.append(
                [
                    self._block(None if part is None else np.moveaxis(part, 0, lead), i, k)
                    for k, (part, lead) in enumerate(zip(parts, leads, strict=True))
                ]
            )
        return blocks

    def by_columns(self) -> list[list[Any]]:
        """One tangent for each element of the arguments."""
        pusher = Pusher(self.tape, self.recorded, True)
        blocks: list[list[Any]] = [[] for _ in self.outs]
        roots = dict(zip(self.tape.at, self.tape.roots, strict=True))
        for k, stand_in in enumerate(self.inputs.stand_ins):

            def push(tangent: Any, k: int = k) -> list[Any]:
                tangents: list[Any] = [None] * len(self.inputs.nodes)
                tangents[k] = tangent
                found = pusher.push(tangents)
                return [found.get(roots[i]) if i in roots else None for i in range(len(self.outs))]

            pieces = list(self._through(push, array_of(stand_in), self.columns[k], self.in_shapes[k]))
            for i in range(len(self.outs)):
                part = _joined([p[i] for p in pieces])
                blocks[i].append(self._block(None if part is None else np.moveaxis(part, 0, -1), i, k))
        return blocks

    def _through(self, carry: Callable[[Any], list[Any]], array: Any, n: int, shape: Any) -> Iterator[list[Any]]:
        """``carry`` of all unit vectors of an array, many at once; each result has them as its first axis."""
        lead = array.shape[: array.ndim - len(shape)]
        for start in range(0, n, self.step):
            size = min(self.step, n - start)
            unit = np.zeros((size, n), array.dtype)
            unit[np.arange(size), start + np.arange(size)] = 1
            unit = unit.reshape((size, *(1,) * len(lead), *shape))
            unit = np.broadcast_to(unit, (size, *array.shape)) if lead else unit
            yield self._carried(carry, unit)

    def _carried(self, carry: Callable[[Any], list[Any]], units: Any) -> list[Any]:
        if len(units) > 1:
            level = Level(self.levels + 1, len(units))
            try:
                found = carry(Batched(wrap(units, None), level))
                return [None if x is None else level.lift(x)._inner for x in found]
            except Exception:
                pass  # an operation in the graph has no batching rule; the loop says what is really wrong
        each = [carry(wrap(u, None) if self.recorded else u) for u in units]
        return [None if all(x is None for x in column) else np.stack(column, 0) for column in zip(*each, strict=True)]

    def _block(self, part: Any, i: int, k: int) -> Any:
        """A part of shape (batch axes, result, argument), in the kind of its argument."""
        node, shape = self.inputs.nodes[k], self.out_shapes[i] + self.in_shapes[k]
        whole = node.shape[: len(node.shape) - len(self.in_shapes[k])] + shape
        part = np.zeros(whole, node.dtype) if part is None else part.reshape(whole)
        return self._kind(part if part.dtype == node.dtype else part.astype(node.dtype), k)

    def _kind(self, part: Any, k: int) -> Any:
        """A block in the kind of its argument."""
        x, stand_in = self.inputs.leaves[k], self.inputs.stand_ins[k]
        nested = hasattr(stand_in, "_inner")
        if isinstance(part, TensorBase):
            if not self.recorded:
                part = wrap(part._data, None)
        elif isinstance(x, TensorBase) or nested or self.recorded:
            part = wrap(asarray(part).copy(), None)
        if nested:
            return stand_in._with(part)
        if isinstance(x, TensorBase) or self.recorded:
            return part
        return array_of(part)[()]


def _joined(pieces: list[Any]) -> Any:
    pieces = [p for p in pieces if p is not None]
    return None if not pieces else pieces[0] if len(pieces) == 1 else np.concatenate(pieces, 0)
