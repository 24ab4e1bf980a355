"""Tensors from nothing: zeros, ones, ranges, and seeded random numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import graph
from tinytensor.arrays import asarray
from tinytensor.deferred import Deferred
from tinytensor.ops import building
from tinytensor.primitive import TensorBase, wrap
from tinytensor.sharing import leak
from tinytensor.tensor import _check_differentiable, _supported

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor
    from tinytensor.typing import Array, DType, Operand, Shape

__all__ = [
    "Generator", "arange", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "geomspace", "linspace", "logspace", "manual_seed", "ones", "ones_like", "rand",
    "randn", "rng", "zeros", "zeros_like",
]  # fmt: skip


def _made(array: Array, requires_grad: bool) -> Tensor:
    _supported(array.dtype)
    if requires_grad:
        _check_differentiable(array.dtype)
    t: Tensor = wrap(array, graph.leaf(array) if requires_grad else None)
    return t


def from_dlpack(x: Any) -> Tensor:
    """A tensor that shares the memory of another library's array or tensor, without a copy.   (:func:`numpy.from_dlpack`)

    ``x``: what has ``__dlpack__`` and lies in the processor's memory: of PyTorch, JAX, CuPy's host arrays, NumPy. What is
    written into one is seen in the other. Raises BufferError for memory or numbers that NumPy does not know (a GPU's,
    bfloat16) and for a tensor that requires grad, TypeError for anything else.

    >>> import numpy as np, tinytensor as tt
    >>> a = np.zeros(2)
    >>> t = tt.from_dlpack(a)
    >>> a[0] = 5.0
    >>> t
    tensor([5., 0.])
    """
    if not hasattr(x, "__dlpack__"):
        raise TypeError(f"from_dlpack: expected an object with __dlpack__, got {type(x).__name__}; use tt.tensor(...)")
    if hasattr(x, "is_neg") and x.is_neg():  # PyTorch's own export forgets the sign that it has put off
        raise BufferError(f"from_dlpack: this {type(x).__name__} has its sign put off; use x.resolve_neg()")
    try:
        array = np.from_dlpack(x)
    except (BufferError, RuntimeError) as error:
        reason = str(error).removeprefix("from_dlpack: ").strip(" .")
        raise BufferError(f"from_dlpack: this {type(x).__name__} cannot be shared: {reason}") from None
    if 0 in array.strides and array.size > 1:  # one number that stands for many, as np.broadcast_to makes it
        array.flags.writeable = False
    t = _made(array, False)
    leak(t)
    return t


def _template(x: Operand) -> Array:
    """An array of x's shape and dtype: x itself, or, where its values must not be asked for, one without."""
    try:
        return x._data if isinstance(x, TensorBase) else np.asarray(x)
    except Deferred:
        return np.broadcast_to(np.empty((), x.dtype), x.shape)  # type: ignore[union-attr]


def zeros(shape: Shape, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Zeros.   (:func:`numpy.zeros`)

    >>> import tinytensor as tt
    >>> tt.zeros((2, 2), dtype="float32")
    tensor([[0., 0.],
            [0., 0.]], dtype=float32)
    """
    return _made(np.zeros(shape, dtype or float), requires_grad)


def ones(shape: Shape, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Ones.   (:func:`numpy.ones`)

    >>> import tinytensor as tt
    >>> tt.ones(3)
    tensor([1., 1., 1.])
    """
    return _made(np.ones(shape, dtype or float), requires_grad)


def empty(shape: Shape, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Memory as it is found.   (:func:`numpy.empty`)

    >>> import tinytensor as tt
    >>> tt.empty((2, 3)).shape
    (2, 3)
    """
    return _made(np.empty(shape, dtype or float), requires_grad)


def _filled(out: Any, requires_grad: bool) -> Tensor:
    """What was made of values that may be tensors, which then give it its gradient."""
    if not isinstance(out, TensorBase):
        return _made(out, requires_grad)
    if requires_grad and out._node is None:
        return _made(out._data, True)
    return out  # type: ignore[return-value]


def full(shape: Shape, fill_value: Any, dtype: DType = None, requires_grad: bool = False, like: Any = None) -> Tensor:
    """One value everywhere, or an array that broadcasts to the shape; a tensor's gradient is Σ g.   (:func:`numpy.full`)

    ``like`` is not read: it is there because ``np.full(shape, t, like=t)`` comes here.

    >>> import tinytensor as tt
    >>> tt.full(2, 7.0)
    tensor([7., 7.])
    >>> tt.grad(lambda x: tt.full((2, 3), x).sum())(1.0)
    np.float64(6.0)
    """
    return _filled(building.full(shape, fill_value, dtype), requires_grad)


def arange(*range_: Any, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Evenly spaced values: ``arange(stop)``, ``arange(start, stop[, step])``.   (:func:`numpy.arange`)

    >>> import tinytensor as tt
    >>> tt.arange(3.0)
    tensor([0., 1., 2.])
    """
    return _made(np.arange(*range_, dtype=dtype), requires_grad)


def linspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DType = None,
    axis: int = 0,
    requires_grad: bool = False,
) -> Any:
    """``num`` evenly spaced values from start to stop, which may be tensors.   (:func:`numpy.linspace`)

    With s = 0 … 1, of which the last is left out without ``endpoint``: start (1 − s) + stop s. ``retstep``: the step comes second.

    >>> import tinytensor as tt
    >>> tt.linspace(0, 1, 3)
    tensor([0. , 0.5, 1. ])
    >>> tt.grad(lambda x: tt.linspace(x, 1, 3).sum())(0.0)
    np.float64(1.5)
    """
    out = building.linspace(start, stop, num, endpoint, retstep, dtype, axis)
    return (_filled(out[0], requires_grad), out[1]) if retstep else _filled(out, requires_grad)


def logspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    base: Operand = 10.0,
    dtype: DType = None,
    axis: int = 0,
    requires_grad: bool = False,
) -> Tensor:
    """The base to the powers :func:`linspace`; all three may be tensors.   (:func:`numpy.logspace`)

    >>> import tinytensor as tt
    >>> tt.logspace(0, 2, 3)
    tensor([  1.,  10., 100.])
    """
    return _filled(building.logspace(start, stop, num, endpoint, base, dtype, axis), requires_grad)


def geomspace(
    start: Operand,
    stop: Operand,
    num: int = 50,
    endpoint: bool = True,
    dtype: DType = None,
    axis: int = 0,
    requires_grad: bool = False,
) -> Tensor:
    """``num`` values from start to stop, each the same multiple of the one before it.   (:func:`numpy.geomspace`)

    >>> import tinytensor as tt
    >>> tt.geomspace(1, 100, 3)
    tensor([  1.,  10., 100.])
    >>> tt.grad(lambda x: tt.geomspace(1, x, 3)[1])(100.0)
    np.float64(0.05)
    """
    return _filled(building.geomspace(start, stop, num, endpoint, dtype, axis), requires_grad)


def eye(n: int, m: int | None = None, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal.   (:func:`numpy.eye`)

    >>> import tinytensor as tt
    >>> tt.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _made(np.eye(n, m, dtype=dtype or float), requires_grad)


def zeros_like(x: Operand, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Zeros in the shape and dtype of x.   (:func:`numpy.zeros_like`)

    >>> import tinytensor as tt
    >>> tt.zeros_like(tt.tensor([1.0, 2.0]))
    tensor([0., 0.])
    """
    return _made(np.zeros_like(_template(x), dtype=dtype), requires_grad)


def ones_like(x: Operand, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Ones in the shape and dtype of x.   (:func:`numpy.ones_like`)

    >>> import tinytensor as tt
    >>> tt.ones_like(tt.tensor([1.0, 2.0]))
    tensor([1., 1.])
    """
    return _made(np.ones_like(_template(x), dtype=dtype), requires_grad)


def full_like(x: Operand, fill_value: Any, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """One value in the shape and dtype of x; a tensor's gradient is Σ g.   (:func:`numpy.full_like`)

    >>> import tinytensor as tt
    >>> tt.full_like(tt.tensor([1.0, 2.0]), 7)
    tensor([7., 7.])
    """
    return _filled(building.full_like(_template(x), fill_value, dtype), requires_grad)


def empty_like(x: Operand, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Memory as it is found, in the shape and dtype of x.   (:func:`numpy.empty_like`)

    >>> import tinytensor as tt
    >>> tt.empty_like(tt.zeros((2, 3))).shape
    (2, 3)
    """
    return _made(np.empty_like(_template(x), dtype=dtype), requires_grad)


class Generator:
    """Seeded random tensors, from NumPy's PCG64: :func:`rng` makes one.

    Shapes, arguments and numbers are those of :class:`numpy.random.Generator`, which is at ``.numpy``.

    >>> import tinytensor as tt
    >>> tt.rng(0).standard_normal(2)
    tensor([ 0.12573022, -0.13210486])
    """

    __slots__ = ("numpy",)

    def __init__(self, seed: Any = None) -> None:
        self.numpy = np.random.default_rng(seed)

    def random(self, shape: Shape = (), dtype: DType = None, requires_grad: bool = False) -> Tensor:
        """Uniform in [0, 1)."""
        return _made(asarray(self.numpy.random(shape, dtype=_random_dtype(dtype))), requires_grad)

    def standard_normal(self, shape: Shape = (), dtype: DType = None, requires_grad: bool = False) -> Tensor:
        """Normal with mean 0 and standard deviation 1."""
        return _made(asarray(self.numpy.standard_normal(shape, dtype=_random_dtype(dtype))), requires_grad)

    def uniform(
        self, low: float = 0.0, high: float = 1.0, shape: Shape = (), dtype: DType = None, requires_grad: bool = False
    ) -> Tensor:
        """Uniform in [low, high)."""
        array = self.numpy.uniform(low, high, shape)
        return _made(asarray(array, _random_dtype(dtype)), requires_grad)

    def normal(
        self, loc: float = 0.0, scale: float = 1.0, shape: Shape = (), dtype: DType = None, requires_grad: bool = False
    ) -> Tensor:
        """Normal with mean ``loc`` and standard deviation ``scale``."""
        array = self.numpy.normal(loc, scale, shape)
        return _made(asarray(array, _random_dtype(dtype)), requires_grad)

    def integers(self, low: int, high: int | None = None, shape: Shape = ()) -> Tensor:
        """Integers in [low, high), or [0, low)."""
        return _made(asarray(self.numpy.integers(low, high, shape)), False)

    def permutation(self, n: int) -> Tensor:
        """The numbers 0 … n−1 in random order."""
        return _made(self.numpy.permutation(n), False)


def _random_dtype(dtype: DType) -> Any:
    found = np.dtype(dtype or float)
    if found not in (np.float32, np.float64):
        raise TypeError(f"random: expected float32 or float64, got {found}; use .astype")
    return found


def rng(seed: Any = None) -> Generator:
    """A generator of random tensors; the same seed gives the same numbers.

    >>> import tinytensor as tt
    >>> bool((tt.rng(1).random(3) == tt.rng(1).random(3)).all())
    True
    """
    _not_traced("rng")
    return Generator(seed)


_shared: Generator | None = None


def default_rng() -> Generator:
    """The generator that :func:`rand`, :func:`randn` and the initialisers of ``nn`` draw from."""
    global _shared
    if _shared is None:
        _shared = Generator()
    return _shared


def manual_seed(seed: int) -> Generator:
    """Seed the shared generator.   (``torch.manual_seed``)

    >>> import tinytensor as tt
    >>> _ = tt.manual_seed(0)
    >>> tt.rand(2)
    tensor([0.63696169, 0.26978671])
    """
    global _shared
    _not_traced("manual_seed")
    _shared = Generator(seed)
    return _shared


def _not_traced(what: str) -> None:
    if (trace := graph.tracing()) is not None:
        trace.refuse(
            f"tt.{what} makes a generator inside the function, which later calls would go on with instead of making it anew; "
            "make it before the call, and draw from it inside"
        )


def rand(*shape: int, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Uniform in [0, 1), from the shared generator.   (``torch.rand``)

    >>> import tinytensor as tt
    >>> tt.rand(2, 3).shape
    (2, 3)
    """
    return default_rng().random(shape, dtype, requires_grad)


def randn(*shape: int, dtype: DType = None, requires_grad: bool = False) -> Tensor:
    """Standard normal, from the shared generator.   (``torch.randn``)

    >>> import tinytensor as tt
    >>> tt.randn(2, 3).shape
    (2, 3)
    """
    return default_rng().standard_normal(shape, dtype, requires_grad)
