"""``Tensor``: an array that remembers where it came from, with ndarray's operators and methods.

Methods that are a function with the tensor as first argument are in :mod:`tinytensor.methods`, one line each; here are
the operators, those that need the tensor itself, and those that take their arguments in more than one way.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tinytensor import dispatch, graph, hooks, inplace, stepping
from tinytensor.arrays import asarray
from tinytensor.graph import Node, recording
from tinytensor.inplace import REFS_ASSIGNED, REFS_SETTER
from tinytensor.methods import Methods
from tinytensor.ops import complex as complexes
from tinytensor.ops import elementwise as el
from tinytensor.ops import indexing, joining, linalg, pieces, shape
from tinytensor.ops import reductions as red
from tinytensor.primitive import DISPATCH, TensorBase, operand, use_tensor_class, wrap
from tinytensor.sharing import LEAKED, leak

if TYPE_CHECKING:
    from tinytensor.typing import Array, Axis, DType, Operand

__all__ = ["Tensor", "tensor"]

_UNSET: Any = object()
_SETITEM: Any = type("_", (), {"name": "t[i] = v"})

# glibc gives freed arrays of more than 128 kB back to the system, which must fill the next one with zeros, page by page:
# a third of the time of a step with large arrays. It stops when it has seen a larger one come and go (and then keeps up
# to 62 MB of what was freed); this one is never touched, and costs 10 µs.
np.empty(31 << 20, np.uint8)


class Tensor(Methods):
    """An ndarray and the node of the graph that it came from.

    Made by :func:`tinytensor.tensor` and by operations on tensors. Operators, methods and NumPy's own functions
    (``np.tanh(t)``) work as on an ndarray and record what they did, if an operand requires grad.

    >>> import tinytensor as tt
    >>> x = tt.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> loss = (x * x).sum()
    >>> loss.backward()
    >>> x.grad
    array([2., 4., 6.])
    """

    __slots__ = ()
    __array_priority__ = 1000

    def __init__(self, data: Any, dtype: DType = None, requires_grad: bool = False) -> None:
        made = tensor(data, dtype, requires_grad)
        self._data, self._node = made._data, made._node

    # ------------------------------------------------------------------------------------------- data and gradient

    @property
    def data(self) -> Array:
        """The values, as an ndarray that shares the tensor's memory. Writing into it is not recorded."""
        leak(self)
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        if value is self._data:  # t.data -= step: NumPy has written in place and hands the same array back
            if sys.getrefcount(value) > REFS_SETTER:
                graph.note_write(value)
            return
        array = value._data if isinstance(value, TensorBase) else asarray(value)
        if self._node is not None and array.shape != self._data.shape:
            raise ValueError(
                f"data: expected an array of shape {self._data.shape}, got {array.shape}; make a new tensor"
            )
        if array.dtype != self._data.dtype:
            if not np.can_cast(array.dtype, self._data.dtype, "same_kind"):
                raise TypeError(f"data: cannot put {array.dtype} values into a tensor of {self._data.dtype}")
            array = array.astype(self._data.dtype)
        if isinstance(value, TensorBase):
            leak(value)
        self._data, self._viewed = array, LEAKED

    @property
    def grad(self) -> Array | None:
        """∂(what backward was called on)/∂self, an ndarray of this shape and dtype; None before the first backward."""
        node = self._node
        return None if node is None or node.grad is False else node.grad

    @grad.setter
    def grad(self, value: Any) -> None:
        node = self._node
        if node is None or (
            node.op is not None and node.grad is False
        ):  # a compiled step need not know a leaf's old one
            if value is None:
                return
            raise RuntimeError("grad: only a leaf that requires grad, or a tensor after retain_grad(), has one")
        if value is not None:
            value = value._data if isinstance(value, TensorBase) else asarray(value)
            if value.shape != self._data.shape:
                raise ValueError(f"grad: expected shape {self._data.shape}, got {value.shape}")
            if value.dtype != self._data.dtype or not value.flags.writeable:  # backward adds into it
                value = value.astype(self._data.dtype)
        node.grad = value

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start, or stop, recording operations on this leaf; returns the tensor itself.

        >>> import tinytensor as tt
        >>> tt.zeros(2).requires_grad_()
        tensor([0., 0.], requires_grad=True)
        """
        if requires_grad:
            if self._node is None:
                _check_differentiable(self._data.dtype)
                self._node = graph.leaf(self._data)
        elif self._node is not None:
            if self._node.op is not None:
                raise RuntimeError("requires_grad_(False): only for leaves; use t.detach() for a result of operations")
            self._node = None
        return self

    @property
    def is_leaf(self) -> bool:
        """True for a tensor that no recorded operation made."""
        return self._node is None or self._node.op is None

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operation that made this tensor; None for a leaf."""
        return None if self.is_leaf else self._node

    def retain_grad(self) -> None:
        """Keep this intermediate result's gradient in ``.grad`` during backward.

        Raises RuntimeError for a tensor that does not require grad.
        """
        if self._node is None:
            raise RuntimeError("retain_grad: the tensor does not require grad")
        if self._node.grad is False:
            self._node.grad = None

    def register_hook(self, hook: Callable[[Any], Any]) -> hooks.HookHandle:
        """Have ``hook(grad)`` called with every gradient of this tensor that a backward computes.   (``torch``)

        It sees the whole gradient of that backward: an intermediate result's before the walk goes on from it, a leaf's
        before it is added to ``.grad``. What it returns takes the gradient's place, in the same shape and dtype; None
        leaves it. ``grad`` is an ndarray, read only; a tensor where the gradient is itself differentiated (nested
        :func:`tinytensor.grad`). ``retain_grad()`` keeps what the hooks made of it. ``handle.remove()`` ends it; copies
        and pickles of the tensor have no hooks. Raises RuntimeError for a tensor that does not require grad.

        >>> import tinytensor as tt
        >>> x = tt.tensor([1.0, -3.0], requires_grad=True)
        >>> handle = x.register_hook(lambda grad: grad.clip(-1, 1))
        >>> (x * x).sum().backward()
        >>> x.grad
        array([ 1., -1.])
        >>> handle.remove()
        """
        if self._node is None:
            raise RuntimeError("register_hook: the tensor does not require grad, so no gradient will ever come")
        return hooks.register_hook(self._node, hook)

    def backward(self, gradient: Operand | None = None, retain_graph: bool = False, trace: bool = False) -> Any:
        """Add ∂self/∂leaf to ``leaf.grad`` for every leaf that self was computed from.

        ``gradient``: ∂L/∂self, of this tensor's shape; it may be left out if the tensor has one element (it is 1).
        The arrays that the graph saved are freed on the way, unless ``retain_graph``. Raises RuntimeError if the
        tensor does not require grad, was already walked, or has several elements and no gradient is given.

        ``trace``: return an iterator that makes the walk a step at a time, each a :class:`tinytensor.stepping.Step` that
        tells the operation, its gradient and what it sends on. The leaves get theirs when it is exhausted.

        >>> import tinytensor as tt
        >>> x = tt.tensor(3.0, requires_grad=True)
        >>> (x * x).backward()
        >>> x.grad
        array(6.)
        >>> for step in (x * x + x).backward(trace=True):
        ...     print(step)
        step 1: add, shape (); ∂L/∂out = 1.
          sends 1. to step 2 (multiply)
          sends 1. to a leaf of shape ()
        step 2: multiply, shape (), after 1; ∂L/∂out = 1.
          sends 6. to a leaf of shape ()
        """
        node, data = self._node, self._data
        if node is None:
            raise RuntimeError(
                "backward: this tensor does not require grad, and was not computed from one that does (or was computed "
                "under no_grad()). Make the leaves with requires_grad=True."
            )
        if gradient is None:
            if data.size != 1:
                raise RuntimeError(
                    f"backward: a gradient is implied only for one element, this tensor has shape {data.shape}. Reduce "
                    "it (t.sum().backward()), or pass gradient=, an array of that shape."
                )
            if data.dtype.kind == "c":
                raise RuntimeError(
                    "backward: a gradient is implied only for a real number, this one is complex. Take t.real, t.imag "
                    "or abs(t), or pass gradient=."
                )
            cotangent = graph.ones(data)
        else:
            cotangent = gradient._data if isinstance(gradient, TensorBase) else asarray(gradient)
            if cotangent.shape != data.shape:
                raise ValueError(f"backward: gradient has shape {cotangent.shape}, expected {data.shape}")
            if cotangent.dtype is not data.dtype:
                if not np.can_cast(cotangent.dtype, data.dtype, "same_kind"):
                    raise TypeError(f"backward: gradient has dtype {cotangent.dtype}, expected {data.dtype}")
                cotangent = cotangent.astype(data.dtype, copy=False)
            if data.dtype.kind == "c":
                cotangent = cotangent.conj()
        if (watcher := graph.watching()) is not None:
            watcher.check_result(node, data)
        return (stepping.trace if trace else graph.backward)(node, cotangent, retain_graph)

    def detach(self) -> Tensor:
        """The same values, in the same memory, without the graph."""
        leak(self)
        t: Tensor = wrap(self._data, None)
        t._viewed = self._viewed
        return t

    def numpy(self) -> Array:
        """The values as an ndarray that shares memory. Raises RuntimeError if the tensor requires grad."""
        if self._node is not None:
            raise RuntimeError("numpy: the tensor requires grad; use t.detach().numpy(), or t.data")
        return self.data

    def __dlpack__(self, **options: Any) -> Any:
        """The memory, for another library: ``np.from_dlpack(t)``, ``torch.from_dlpack(t)``. Nothing is copied."""
        if self._node is not None:
            raise BufferError(
                "from_dlpack: the tensor requires grad, and the other library would not know; use t.detach()"
            )
        if any(step < 0 for step in self._data.strides):  # PyTorch does not raise, but ends the process
            raise BufferError("from_dlpack: the tensor is read backwards, which not all libraries know; use t.copy()")
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        """(1, 0): DLPack's name of the processor's memory."""
        return self._data.__dlpack_device__()

    def clone(self) -> Tensor:
        """A copy in memory of its own. ∂/∂x = 1   (``torch.clone``)"""
        return shape.copy(self)

    def copy(self) -> Tensor:
        """A copy in memory of its own. ∂/∂x = 1   (:meth:`numpy.ndarray.copy`)"""
        return shape.copy(self)

    def item(self) -> Any:
        """The value of a tensor with one element, as a Python number."""
        if self._data.size != 1:
            raise ValueError(f"item: only a tensor with one element is a number, this one has shape {self._data.shape}")
        return self._data.item()

    def tolist(self) -> Any:
        """The values as nested Python lists (a number, if 0-d)."""
        return self._data.tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        """The values' bytes.   (:meth:`numpy.ndarray.tobytes`)"""
        return self._data.tobytes(order)

    def cpu(self) -> Tensor:
        """The tensor itself: it is there already.   (``torch.Tensor.cpu``)"""
        return self

    # -------------------------------------------------------------------------------------------------- attributes

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of the elements."""
        return self._data.dtype

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._data.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._data.nbytes

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one element to the next along each axis."""
        return self._data.strides

    @property
    def device(self) -> str:
        """``"cpu"``: where all tensors are."""
        return "cpu"

    def dim(self) -> int:
        """PyTorch's name of :attr:`ndim`."""
        return self.ndim

    def numel(self) -> int:
        """PyTorch's name of :attr:`size`."""
        return self.size

    def is_floating_point(self) -> bool:
        """Whether the elements are real floating-point numbers.   (``torch.is_floating_point``)"""
        return self.dtype.kind == "f"

    def is_complex(self) -> bool:
        """Whether the elements are complex numbers.   (``torch.is_complex``)"""
        return self.dtype.kind == "c"

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return shape.transpose(self, None)

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        if self._data.ndim < 2:
            raise ValueError(f"mT: expected at least 2 dimensions, got {self._data.ndim}")
        return shape.swapaxes(self, -2, -1)

    @property
    def mH(self) -> Tensor:
        """The last two axes exchanged, and the complex conjugate.   (``torch.Tensor.mH``)"""
        return self.mT.conj()

    @property
    def H(self) -> Tensor:
        """The conjugate transpose of a matrix.   (``torch.Tensor.H``)"""
        if self.ndim != 2:
            raise ValueError(f"H: expected a matrix, got {self.ndim} dimensions; mH transposes the last two")
        return self.mH

    @property
    def real(self) -> Tensor:
        """The real part (the tensor itself, if real): see :func:`tinytensor.real`."""
        return complexes.real(self) if self._data.dtype.kind == "c" else self

    @property
    def imag(self) -> Tensor:
        """The imaginary part: see :func:`tinytensor.imag`."""
        return complexes.imag(self)

    # ------------------------------------------------------------------------------------------------------ Python

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        if self._data.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(len(self._data)))

    def __contains__(self, value: Any) -> bool:
        return bool((self._data == (value._data if isinstance(value, TensorBase) else value)).any())

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ValueError(
                f"the truth value of a tensor of shape {self._data.shape} is ambiguous; use t.any() or t.all()"
            )
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self._number("float"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def __complex__(self) -> complex:
        return complex(self._number("complex"))

    def __index__(self) -> int:
        return operator.index(self._data[()])

    def __round__(self, digits: int | None = None) -> Any:
        return round(self._number("round"), digits)

    def _number(self, name: str) -> Any:
        if self._node is not None and recording():
            raise TypeError(
                f"{name}() of a tensor that requires grad would lose its gradient; use t.item(), or t.detach()"
            )
        if self._data.size != 1:
            raise TypeError(f"{name}(): only a tensor with one element is a number, this one has shape {self.shape}")
        return self._data.item()

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        text = np.array2string(self._data, separator=", ", prefix="tensor(")
        if self._data.dtype.name not in ("float64", "int64", "bool") or (self._data.size == 0 and self._data.ndim != 1):
            text += f", dtype={self._data.dtype.name}"
        if self._data.size == 0 and self._data.ndim != 1:
            text += f", shape={self._data.shape}"
        if self._node is not None:
            text += ", requires_grad=True" if self._node.op is None else f", grad_fn=<{self._node.op.name}>"
        return f"{type(self).__name__.lower()}({text})"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        if self._data.ndim == 0:
            return format(self._data.item(), spec)
        return format(str(self), spec)

    def __copy__(self) -> Tensor:
        t: Tensor = object.__new__(type(self))
        t._data, t._node = self._data, self._node
        leak(self)
        t._viewed = self._viewed
        return t

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (type(self), self._data, self._node)

    # ------------------------------------------------------------------------------------------------------- NumPy

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self._node is not None and recording():
            raise TypeError(
                "a tensor that requires grad is not turned into an ndarray silently, its gradient would be lost; use "
                "t.detach() or t.data. Tensors in a list become one with tt.stack or tt.array, or np.array(list, like=t); "
                "for a SciPy matrix A and A @ t there is tt.sparse.matmul(A, t)"
            )
        return np.array(self.data, dtype, copy=copy)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not kwargs and method == "__call__" and (ours := DISPATCH.get(ufunc)) is not None:
            return ours(*inputs)
        return dispatch.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
        if not kwargs and len(args) == 1 and (ours := DISPATCH.get(function)) is not None:
            return ours(args[0])
        return dispatch.function(function, args, kwargs)

    # -------------------------------------------------------------------------------------------------- arithmetic

    __add__: ClassVar[Callable[[Any, Operand], Tensor]] = el.add
    __sub__: ClassVar[Callable[[Any, Operand], Tensor]] = el.subtract
    __mul__: ClassVar[Callable[[Any, Operand], Tensor]] = el.multiply
    __truediv__: ClassVar[Callable[[Any, Operand], Tensor]] = el.divide
    __floordiv__: ClassVar[Callable[[Any, Operand], Tensor]] = el.floor_divide
    __mod__: ClassVar[Callable[[Any, Operand], Tensor]] = el.remainder
    __divmod__ = el.divmod
    __neg__ = el.negative
    __pos__ = el.positive
    __abs__ = pieces.abs

    def __radd__(self, other: Operand) -> Tensor:
        return el.add(other, self)

    def __rsub__(self, other: Operand) -> Tensor:
        return el.subtract(other, self)

    def __rmul__(self, other: Operand) -> Tensor:
        return el.multiply(other, self)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return el.divide(other, self)

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return el.floor_divide(other, self)

    def __rmod__(self, other: Operand) -> Tensor:
        return el.remainder(other, self)

    def __rdivmod__(self, other: Operand) -> tuple[Tensor, Tensor]:
        return el.divmod(other, self)

    def __pow__(self, other: Operand) -> Tensor:
        if type(other) in (int, float) and self._data.dtype.kind == "f":  # as ndarray does: faster, and exact
            if other == 2:
                return el.square(self)
            if other == 1:
                return el.positive(self)
            if other == 0.5:
                return el.sqrt(self)
            if other == -1:
                return el.reciprocal(self)
        return el.power(self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return el.power(other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        if getattr(other, "__array_ufunc__", self) is None:  # NumPy's sign for: let me do it (tt.sparse.csr_array)
            return NotImplemented
        return linalg.matmul(self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return linalg.matmul(other, self)

    # In place. Unrecorded, the array is written into; recorded, the name is bound to a new result.

    def __iadd__(self, other: Operand) -> Tensor:
        return inplace.update(self, np.add, el.add, other, "+=")

    def __isub__(self, other: Operand) -> Tensor:
        return inplace.update(self, np.subtract, el.subtract, other, "-=")

    def __imul__(self, other: Operand) -> Tensor:
        return inplace.update(self, np.multiply, el.multiply, other, "*=")

    def __itruediv__(self, other: Operand) -> Tensor:
        return inplace.update(self, np.true_divide, el.divide, other, "/=")

    def __ifloordiv__(self, other: Operand) -> Tensor:
        return inplace.update(self, np.floor_divide, el.floor_divide, other, "//=")

    def __imod__(self, other: Operand) -> Tensor:
        return inplace.update(self, np.remainder, el.remainder, other, "%=")

    def __ipow__(self, other: Operand) -> Tensor:
        return inplace.update(self, np.power, operator.pow, other, "**=")

    def __imatmul__(self, other: Operand) -> Tensor:
        return inplace.update(self, np.matmul, linalg.matmul, other, "@=")

    # Not differentiable: comparisons, and integer and boolean operators.

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return dispatch.constant(np.equal, self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return dispatch.constant(np.not_equal, self, other)

    def __lt__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.less, self, other)

    def __le__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.less_equal, self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.greater, self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.greater_equal, self, other)

    def __and__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.bitwise_and, self, other)

    def __rand__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.bitwise_and, other, self)

    def __or__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.bitwise_or, self, other)

    def __ror__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.bitwise_or, other, self)

    def __xor__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.bitwise_xor, self, other)

    def __rxor__(self, other: Operand) -> Tensor:
        return dispatch.constant(np.bitwise_xor, other, self)

    def __invert__(self) -> Tensor:
        return dispatch.constant(np.invert, self)

    # ---------------------------------------------------------------------------------------------------- indexing

    def __getitem__(self, index: Any) -> Tensor:
        return indexing.getitem(self, index if type(index) is int else indexing.plain_index(index))

    def __setitem__(self, index: Any, value: Operand) -> None:
        index = indexing.plain_index(index)
        recorded = recording() and (
            self._node is not None or (isinstance(value, TensorBase) and value._node is not None)
        )
        if not recorded:
            inplace.updating(self)[index] = value._data if isinstance(value, TensorBase) else operand(value, _SETITEM)
            return
        if isinstance(value, TensorBase) and value._data.base is not None and sys.getrefcount(value) <= REFS_ASSIGNED:
            inplace.leave(value)
        inplace.assign(self, index, value)

    # ------------------------------------------------------------------------------------------------- elementwise

    def conj(self) -> Tensor:
        """The complex conjugate (the tensor itself, if real): see :func:`tinytensor.conj`."""
        return complexes.conj(self) if self._data.dtype.kind == "c" else self

    def conjugate(self) -> Tensor:
        """The complex conjugate: see :func:`tinytensor.conj`."""
        return self.conj()

    def pow(self, exponent: Operand) -> Tensor:
        """xʸ: see :func:`tinytensor.power`."""
        return self**exponent

    def clip(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """x held between bounds: see :func:`tinytensor.clip`."""
        return pieces.clip(self, min, max)

    def clamp(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """PyTorch's name of :meth:`clip`."""
        return pieces.clip(self, min, max)

    def astype(self, dtype: DType, *, copy: bool = True) -> Tensor:
        """x in another dtype; integers and booleans leave the graph.   (:meth:`numpy.ndarray.astype`)

        ``copy=False``: the tensor itself, if it has that dtype already.
        """
        kind = np.dtype(dtype)
        if not copy and kind == self._data.dtype:
            return self
        if kind.kind in "fc" and self._data.dtype.kind in "fc":
            return el.astype(self, kind)
        if self._node is not None and recording():
            raise TypeError(f"astype: {kind} has no gradient; use t.detach().astype({kind.name!r})")
        t: Tensor = wrap(self._data.astype(_supported(kind)), None)
        return t

    def to(self, dtype: DType) -> Tensor:
        """PyTorch's name of :meth:`astype`."""
        return self.astype(dtype)

    def float(self) -> Tensor:
        """x as float32.   (``torch.Tensor.float``)"""
        return self.astype(np.float32)

    def double(self) -> Tensor:
        """x as float64.   (``torch.Tensor.double``)"""
        return self.astype(np.float64)

    # -------------------------------------------------------------------------------------------------- reductions

    def sum(self, axis: Axis = None, keepdims: bool = False, **aliases: Any) -> Tensor:
        """Σ x: see :func:`tinytensor.sum`. ``dim`` and ``keepdim`` are understood too, here and below."""
        return red.sum(self, axis, keepdims) if not aliases else red.sum(self, **_given(aliases, axis, keepdims))

    def mean(self, axis: Axis = None, keepdims: bool = False, **aliases: Any) -> Tensor:
        """The mean: see :func:`tinytensor.mean`."""
        return red.mean(self, axis, keepdims) if not aliases else red.mean(self, **_given(aliases, axis, keepdims))

    def max(self, axis: Axis = None, keepdims: bool = False, **aliases: Any) -> Tensor:
        """The largest value (the value alone, as in NumPy): see :func:`tinytensor.max`."""
        return red.max(self, axis, keepdims) if not aliases else red.max(self, **_given(aliases, axis, keepdims))

    def min(self, axis: Axis = None, keepdims: bool = False, **aliases: Any) -> Tensor:
        """The smallest value (the value alone, as in NumPy): see :func:`tinytensor.min`."""
        return red.min(self, axis, keepdims) if not aliases else red.min(self, **_given(aliases, axis, keepdims))

    def prod(self, axis: Axis = None, keepdims: bool = False, **aliases: Any) -> Tensor:
        """Π x: see :func:`tinytensor.prod`."""
        return red.prod(self, axis, keepdims) if not aliases else red.prod(self, **_given(aliases, axis, keepdims))

    def var(self, axis: Axis = None, ddof: Any = 0, keepdims: bool = False, **aliases: Any) -> Tensor:
        """The variance, over n − ddof, ddof = 0 as in NumPy: see :func:`tinytensor.var`."""
        if aliases:
            return red.var(self, **_given(aliases, axis, keepdims, ddof))
        return red.var(self, axis, ddof, keepdims)

    def std(self, axis: Axis = None, ddof: Any = 0, keepdims: bool = False, **aliases: Any) -> Tensor:
        """The standard deviation, over n − ddof, ddof = 0 as in NumPy: see :func:`tinytensor.std`."""
        if aliases:
            return red.std(self, **_given(aliases, axis, keepdims, ddof))
        return red.std(self, axis, ddof, keepdims)

    def logsumexp(self, axis: Axis = None, keepdims: bool = False, **aliases: Any) -> Tensor:
        """ln Σ eˣ: see :func:`tinytensor.logsumexp`."""
        return red.logsumexp(self, **_given(aliases, axis, keepdims))

    def softmax(self, axis: Axis = -1, **aliases: Any) -> Tensor:
        """eˣ / Σ eˣ: see :func:`tinytensor.softmax`."""
        return red.softmax(self, axis) if not aliases else red.softmax(self, **aliases)

    def log_softmax(self, axis: Axis = -1, **aliases: Any) -> Tensor:
        """ln softmax: see :func:`tinytensor.log_softmax`."""
        return red.log_softmax(self, axis) if not aliases else red.log_softmax(self, **aliases)

    def cumsum(self, axis: int | None = None, **aliases: Any) -> Tensor:
        """Running sums: see :func:`tinytensor.cumsum`."""
        return red.cumsum(self, axis) if not aliases else red.cumsum(self, **aliases)

    def argmax(
        self, axis: int | None = None, keepdims: bool = False, dim: int | None = None, keepdim: bool = False
    ) -> Tensor:
        """Index of the largest element (int, no gradient)."""
        t: Tensor = wrap(np.argmax(self._data, axis if dim is None else dim, keepdims=keepdims or keepdim), None)
        return t

    def argmin(
        self, axis: int | None = None, keepdims: bool = False, dim: int | None = None, keepdim: bool = False
    ) -> Tensor:
        """Index of the smallest element (int, no gradient)."""
        t: Tensor = wrap(np.argmin(self._data, axis if dim is None else dim, keepdims=keepdims or keepdim), None)
        return t

    def any(self, axis: Axis = None, keepdims: bool = False, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Whether any element is true (bool, no gradient)."""
        t: Tensor = wrap(self._data.any(axis if dim is None else dim, keepdims=keepdims or keepdim), None)
        return t

    def all(self, axis: Axis = None, keepdims: bool = False, dim: Axis = None, keepdim: bool = False) -> Tensor:
        """Whether all elements are true (bool, no gradient)."""
        t: Tensor = wrap(self._data.all(axis if dim is None else dim, keepdims=keepdims or keepdim), None)
        return t

    # ------------------------------------------------------------------------------------------------------- shape

    def reshape(self, *shape_: Any, order: str = "C", copy: bool | None = None) -> Tensor:
        """The same elements in another shape: ``t.reshape(2, 3)`` or ``t.reshape((2, 3))``."""
        return shape.reshape(self, shape_[0] if len(shape_) == 1 else shape_, order, copy)

    def flatten(self, order: str | int = "C", end_dim: int = -1, *, start_dim: int = 0) -> Tensor:
        """One axis, as a copy (:meth:`numpy.ndarray.flatten`), or the axes from ``start_dim`` to ``end_dim`` made one
        (``torch.flatten``): the first argument is NumPy's order, or PyTorch's first axis.

        >>> import tinytensor as tt
        >>> tt.zeros((2, 3, 4)).flatten().shape, tt.zeros((2, 3, 4)).flatten(1).shape
        ((24,), (2, 12))
        """
        if isinstance(order, str):
            first, order = start_dim, order
        else:
            first, order = order, "C"
        n = self.ndim
        if n == 0 or (first in (0, -n) and end_dim in (-1, n - 1)):
            return shape.copy(shape.ravel(self, order))
        if not (-n <= first < n and -n <= end_dim < n and first % n <= end_dim % n) or order != "C":
            raise ValueError(f"flatten: cannot join axes {first} to {end_dim} of {n}, in order {order!r}, into one")
        own = self.shape
        return shape.reshape(
            self, (*own[: first % n], math.prod(own[first % n : end_dim % n + 1]), *own[end_dim % n + 1 :])
        )

    def ravel(self, order: str = "C") -> Tensor:
        """One axis, as a view where possible.   (:meth:`numpy.ndarray.ravel`)"""
        return shape.ravel(self, order)

    def transpose(self, *axes: Any) -> Tensor:
        """The axes in another order: ``t.transpose(2, 0, 1)``, reversed if none is given (NumPy's meaning)."""
        if len(axes) == 1 and not isinstance(axes[0], (int, np.integer)):
            axes = axes[0]
        return shape.transpose(self, None if axes is None or len(axes) == 0 else axes)

    def permute(self, *axes: Any) -> Tensor:
        """PyTorch's name of :meth:`transpose` with all axes."""
        return self.transpose(*axes)

    def squeeze(self, axis: Axis = None, **aliases: Any) -> Tensor:
        """Axes of length 1 removed."""
        return shape.squeeze(self, axis) if not aliases else shape.squeeze(self, **aliases)

    def unsqueeze(self, axis: int = _UNSET, **aliases: Any) -> Tensor:
        """An axis of length 1 inserted: PyTorch's name of :func:`tinytensor.expand_dims`."""
        return shape.expand_dims(self, **aliases) if axis is _UNSET else shape.expand_dims(self, axis, **aliases)

    def flip(self, axis: Axis = None, **aliases: Any) -> Tensor:
        """The order of the elements reversed."""
        return shape.flip(self, axis) if not aliases else shape.flip(self, **aliases)

    def split(self, indices_or_sections: Any, axis: int = 0, **aliases: Any) -> list[Tensor]:
        """Cut into sections, as :func:`numpy.split` does (not into pieces of a given size, as PyTorch's)."""
        return joining.split(self, indices_or_sections, **(aliases or {"axis": axis}))

    def compress(self, condition: Any, axis: int | None = None) -> Tensor:
        """The slices along an axis where ``condition`` is true: see :func:`tinytensor.compress`."""
        return indexing.compress(condition, self, axis)

    # ---------------------------------------------------------------------------------------- in place, as ndarray's

    def fill(self, value: Operand) -> None:
        """``t[...] = value``, in place.   (:meth:`numpy.ndarray.fill`)"""
        self[...] = value

    def sort(self, axis: int = -1, kind: Any = None, order: None = None, *, stable: Any = None) -> None:
        """Sort in place, and return None, as :meth:`numpy.ndarray.sort`. Like every write in place it is differentiable.

        For a sorted copy take :func:`tinytensor.sort` or ``np.sort(t)``, for PyTorch's indices :meth:`argsort`.

        >>> import tinytensor as tt
        >>> t = tt.tensor([3.0, 1.0, 2.0])
        >>> t.sort()
        >>> t
        tensor([1., 2., 3.])
        """
        self[...] = np.sort(self, axis, kind=kind, order=order, stable=stable)

    def partition(self, kth: Any, axis: int = -1, kind: Any = "introselect", order: None = None) -> None:
        """Partition in place, and return None, as :meth:`numpy.ndarray.partition`. For a copy: :func:`tinytensor.partition`."""
        self[...] = np.partition(self, kth, axis, kind=kind, order=order)

    # --------------------------------------------------------------- casts by PyTorch's names, last: they hide Python's

    def half(self) -> Tensor:
        """x as float16.   (``torch.Tensor.half``)"""
        return self.astype(np.float16)

    def long(self) -> Tensor:
        """x as int64; only of a tensor without gradient.   (``torch.Tensor.long``)"""
        return self.astype(np.int64)

    def int(self) -> Tensor:
        """x as int32; only of a tensor without gradient.   (``torch.Tensor.int``)"""
        return self.astype(np.int32)

    def bool(self) -> Tensor:
        """Whether x is not 0; only of a tensor without gradient.   (``torch.Tensor.bool``)"""
        return self.astype(np.bool_)


use_tensor_class(Tensor)


# ------------------------------------------------------------------------------------------------------------- making


def _supported(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind not in "biufc":
        hint = " Object arrays of Value are used as they are, without tt.tensor." if dtype.kind == "O" else ""
        raise TypeError(f"tensor: expected numbers or booleans, got an array of {dtype}.{hint}")
    return dtype


def _check_differentiable(dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "fc":
        raise TypeError(
            f"requires_grad: only floating and complex tensors have gradients, this one is {dtype}. Write 3.0 instead "
            "of 3, or t.astype(float)."
        )


def tensor(data: Any, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """A tensor with a copy of ``data``: a number, nested lists, an ndarray, a tensor.

    The dtype is NumPy's: float64 for Python floats, an ndarray's own. ``requires_grad`` makes it a leaf that
    ``backward()`` gives a gradient. Raises TypeError for what is not numbers, and for integers that require grad.

    >>> import tinytensor as tt
    >>> tt.tensor([[1, 2], [3, 4]], dtype="float32", requires_grad=True)
    tensor([[1., 2.],
            [3., 4.]], dtype=float32, requires_grad=True)
    """
    if isinstance(data, TensorBase):
        data = data._data
    elif isinstance(data, (list, tuple)) and _holds_tensors(data):
        raise TypeError(
            "tensor: a list of tensors would lose their gradients; use tt.stack(list), or t.item() for numbers"
        )
    if (made := getattr(data, "as_array", None)) is not None:  # a number in a traced program
        data = made()
    try:
        plain = data.__class__ is np.ndarray  # or what stands for one in a traced program
        array = data.astype(data.dtype if dtype is None else dtype, "C") if plain else np.array(data, dtype, order="C")
    except ValueError as error:
        raise ValueError(f"tensor: {error}") from None
    _supported(array.dtype)
    if requires_grad:
        _check_differentiable(array.dtype)
    t: Tensor = wrap(array, graph.leaf(array) if requires_grad else None)
    return t


def _holds_tensors(data: Any) -> bool:
    return any(
        (isinstance(x, TensorBase) and x._node is not None) or (isinstance(x, (list, tuple)) and _holds_tensors(x))
        for x in data
    )


def from_numpy(array: Array) -> Tensor:
    """A tensor that shares the memory of an ndarray.   (``torch.from_numpy``)

    >>> import numpy as np, tinytensor as tt
    >>> a = np.zeros(2)
    >>> t = tt.from_numpy(a)
    >>> a[0] = 5.0
    >>> t
    tensor([5., 0.])
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected an ndarray, got {type(array).__name__}; use tt.tensor(...)")
    _supported(array.dtype)
    t: Tensor = wrap(array if type(array) is np.ndarray else asarray(array), None)
    leak(t)
    return t


def _rebuild(cls: type[Tensor], data: Array, node: Node | None) -> Tensor:
    t: Tensor = object.__new__(cls)
    t._data, t._node = data, node
    return t


def _given(aliases: dict[str, Any], axis: Any, keepdims: bool, ddof: Any = 0) -> dict[str, Any]:
    """The keyword arguments of a reduction, of those that are not at their defaults."""
    named = {"axis": (axis, None), "keepdims": (keepdims, False), "ddof": (ddof, 0)}
    return {**{key: value for key, (value, default) in named.items() if value is not default}, **aliases}
