"""``Batched``: a tensor with a batch axis that the function which is being mapped does not see.

It wraps a tensor whose first axis is the batch, and shows the shape of one example. An operation on it is one operation
on the whole (:mod:`tinytensor.batching.rules`), so derivatives are recorded below it, by ordinary tensors: the gradient
of each example's result with respect to its own argument is the gradient of their sum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.arrays import asarray
from tinytensor.batching.standin import StandIn
from tinytensor.deferred import Deferred
from tinytensor.ops import elementwise as el
from tinytensor.ops import shape as shapes
from tinytensor.primitive import TensorBase, wrap
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.typing import DType, Operand

__all__ = ["Batched", "Level", "fitting", "padded"]


class Level:
    """One call of ``vmap``: how deep it is nested, and the size of its batch."""

    __slots__ = ("depth", "size")

    def __init__(self, depth: int, size: int) -> None:
        self.depth, self.size = depth, size

    def lift(self, x: Any) -> Any:
        """x with this level's batch axis, the same for every example if it had none."""
        if isinstance(x, Batched) and x._level is self:
            return x
        if isinstance(x, Batched) and x._level.depth > self.depth:  # deeper levels are outermost
            return Batched(self.lift(x._inner), x._level)
        t: Any = x if isinstance(x, TensorBase) else wrap(asarray(x), None)
        return Batched(shapes.broadcast_to(t, (self.size, *t.shape)), self)


def padded(x: Any, ndim: int) -> Any:
    """A whole batch whose examples get leading axes of length 1, to have ``ndim`` axes."""
    missing = ndim + 1 - x.ndim
    return x if missing <= 0 else shapes.reshape(x, (x.shape[0], *(1,) * missing, *x.shape[1:]))


def fitting(x: Any, ndim: int) -> Any:
    """A whole batch, to be written into ``ndim`` axes of each example: axes of length 1 come, or go, in front."""
    extra = x.ndim - 1 - ndim
    return shapes.reshape(x, (x.shape[0], *x.shape[1 + extra :])) if extra > 0 else padded(x, ndim)


class Batched(StandIn):
    """A batch of tensors that looks like one: what a function under :func:`tinytensor.vmap` gets.

    Example: :func:`tinytensor.vmap`.
    """

    __slots__ = ("_inner", "_level")
    _inner: Any
    _level: Level

    def __init__(self, inner: Any, level: Level) -> None:
        self._inner, self._level = inner, level

    def _with(self, inner: Any) -> Batched:
        """The same levels around another tensor, which has all their batch axes."""
        return Batched(self._inner._with(inner) if isinstance(self._inner, Batched) else inner, self._level)

    # -------------------------------------------------------------------------------------- what is known of all examples

    @property
    def _node(self) -> Any:  # type: ignore[override]
        return self._inner._node

    @property
    def shape(self) -> tuple[int, ...]:
        return self._inner.shape[1:]  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        return self._inner.ndim - 1  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._inner.dtype  # type: ignore[no-any-return]

    @property
    def is_leaf(self) -> bool:
        return False

    @property
    def real(self) -> Tensor:
        return self._with_rule(np.real)

    def conj(self) -> Tensor:
        return self._with_rule(np.conj)

    def _with_rule(self, f: Callable[[Any], Any]) -> Tensor:
        return Batched(f(self._inner), self._level) if self.dtype.kind == "c" else self

    def __repr__(self) -> str:
        return f"batched({self._level.size} tensors of shape {self.shape}, dtype={self.dtype.name})"

    def detach(self) -> Tensor:
        return Batched(self._inner.detach(), self._level)

    def astype(self, dtype: DType, *, copy: bool = True) -> Tensor:
        return Batched(self._inner.astype(dtype, copy=copy), self._level)

    @property
    def _data(self) -> Any:  # type: ignore[override]
        raise Deferred(
            "vmap: the values of a batched tensor were asked for: by an `if` (use tt.where), float(), t.item(), "
            "np.asarray(t), or a function that has no batching rule. Loop instead: tt.stack([f(x) for x in xs])"
        )

    # ------------------------------------------------------------------------------------------------------ operators

    def __pow__(self, other: Operand) -> Tensor:
        if type(other) in (int, float) and self.dtype.kind == "f":
            return Batched(self._inner**other, self._level)
        return el.power(self, other)

    def __getitem__(self, index: Any) -> Tensor:
        index = index if isinstance(index, tuple) else (index,)
        arrays = [asarray(i, None if i else np.intp) if isinstance(i, list) else i for i in index]
        made: Tensor = _getitem(self, tuple(arrays))
        return made

    def __setitem__(self, index: Any, value: Operand) -> None:
        index = index if isinstance(index, tuple) else (index,)
        target = np.broadcast_to(False, self.shape)[index]
        self._inner[(slice(None), *index)] = self._entering(value, target.ndim)

    def _entering(self, value: Any, ndim: int) -> Any:
        """A value about to be written into a part of ``ndim`` axes, aligned with it."""
        if isinstance(value, Batched) and value._level is self._level:
            return fitting(value._inner, ndim)
        if isinstance(value, Batched) and value._level.depth > self._level.depth:
            raise TypeError("vmap: a batch is written into a tensor that has none; make the tensor inside the function")
        return value

    def __iadd__(self, other: Operand) -> Tensor:
        self._inner += self._entering(other, self.ndim)
        return self

    def __isub__(self, other: Operand) -> Tensor:
        self._inner -= self._entering(other, self.ndim)
        return self

    def __imul__(self, other: Operand) -> Tensor:
        self._inner *= self._entering(other, self.ndim)
        return self

    def __itruediv__(self, other: Operand) -> Tensor:
        self._inner /= self._entering(other, self.ndim)
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        found = constant_ufunc(ufunc, inputs) if method == "__call__" and not kwargs else NotImplemented
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs) if found is NotImplemented else found

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        found = constant_function(function, args, kwargs)
        return super().__array_function__(function, types, args, kwargs) if found is NotImplemented else found


#: Told by the rules: what comparisons and functions without derivative do, and indexing.
constant_ufunc: Any = None
constant_function: Any = None
_getitem: Any = None


def use_rules(ufunc: Any, function: Any, getitem: Any) -> None:
    """Let the rules compute what is not a primitive."""
    global constant_ufunc, constant_function, _getitem
    constant_ufunc, constant_function, _getitem = ufunc, function, getitem
