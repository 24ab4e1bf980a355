"""Tools for gradients and parameters: clipping, parameters as one vector, weight normalisation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

from tinytensor.arrays import asarray, traced
from tinytensor.graph import assured, ignoring, tracing
from tinytensor.inplace import updating
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.ops import elementwise as el
from tinytensor.ops import joining, reductions
from tinytensor.ops import shape as shapes
from tinytensor.primitive import TensorBase
from tinytensor.tensor import Tensor

__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm", "parameters_to_vector",
    "remove_weight_norm", "vector_to_parameters", "weight_norm",
]  # fmt: skip

M = TypeVar("M", bound=Module)


# ----------------------------------------------------------------------------------------------------------- clipping


#: Elements that are gathered at a time: in float64 they stay in the processor's cache.
_BLOCK = 1 << 15


def _parameters(parameters: Any, op: str) -> list[Any]:
    """The parameters, if that is what they are."""
    if not isinstance(parameters, (TensorBase, Iterable)):
        raise TypeError(f"{op}: expected parameters, got {type(parameters).__name__}; pass model.parameters()")
    each: list[Any] = [parameters] if isinstance(parameters, TensorBase) else list(parameters)
    for p in each:
        if not isinstance(p, Tensor):
            raise TypeError(f"{op}: expected parameters, got {type(p).__name__}; pass model.parameters()")
    return each


def _gradients(parameters: list[Any], op: str) -> list[Any]:
    """The gradients that are there, as arrays to be written into."""
    if not parameters:
        warnings.warn(
            f"{op}: no parameters were given (a generator that was used up?); nothing is clipped", stacklevel=3
        )
    return [g for p in parameters if (g := p.grad) is not None]


def _number(op: str, name: str, value: Any) -> float:
    if value.__class__ is float:  # or stands for one in a traced program
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: {name} must be a number, got {value!r:.60}") from None


def _rows(arrays: Iterable[Any]) -> Iterator[Any]:
    """All elements, in rows of float64 (or complex128): many small arrays are one row, a large one is several."""
    row: list[Any] = []
    count = 0
    for a in arrays:
        if a.size > _BLOCK:
            flat = a.reshape(-1)
            yield from (flat[i : i + _BLOCK].astype(_wide(a), copy=False) for i in range(0, a.size, _BLOCK))
            continue
        if row and (count + a.size > _BLOCK or a.dtype is not row[0].dtype):
            yield np.concatenate(row, axis=None, dtype=_wide(row[0]))
            row, count = [], 0
        row.append(a)
        count += a.size
    if row:
        yield np.concatenate(row, axis=None, dtype=_wide(row[0]))


def _wide(a: Any) -> Any:
    return np.promote_types(a.dtype, np.float64)


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: bool | None = None
) -> float:
    """(Σ |x|ᵖ)^(1/p) over all elements of all arrays or tensors, max |x| for ``inf``.   (``torch.nn.utils.get_total_norm``)

    Sums are taken in float64, so that many float32 gradients add up. Raises RuntimeError with ``error_if_nonfinite`` if the
    norm is NaN or inf. ``foreach``, here and below, is PyTorch's and has no meaning.

    >>> import numpy as np, tinytensor as tt
    >>> tt.nn.utils.get_total_norm([np.array([3.0]), np.array([[4.0]])])
    5.0
    """
    if not isinstance(tensors, (TensorBase, Iterable)):
        raise TypeError(f"get_total_norm: expected arrays or tensors, got {type(tensors).__name__}")
    each = [tensors] if isinstance(tensors, (TensorBase, np.ndarray)) else list(tensors)
    arrays = [t._data if isinstance(t, TensorBase) else asarray(t) for t in each]
    for a in arrays:
        if a.dtype.kind not in "biufc":
            raise TypeError(f"get_total_norm: expected arrays or tensors of numbers, got one of {a.dtype}")
    p = _number("get_total_norm", "norm_type", norm_type)
    if tracing() is not None and any(map(traced, arrays)):
        with ignoring():
            return _traced_norm(arrays, float(p), error_if_nonfinite)  # type: ignore[no-any-return]
    with np.errstate(all="ignore"):
        if p == np.inf:
            norm = _largest(arrays)
        elif p == 2.0:
            norm = math.sqrt(sum(float(np.vdot(row, row).real) for row in _rows(arrays)))
            if norm in (0.0, np.inf):  # squares under- or overflowed, perhaps
                norm = _scaled_norm(arrays)
        else:
            norms = [np.linalg.norm(a.reshape(-1).astype(_wide(a)), p) for a in arrays]
            norm = float(np.linalg.norm(norms, p)) if norms else 0.0
    if error_if_nonfinite and not np.isfinite(norm):
        raise _not_finite(norm)
    return norm


def _not_finite(norm: Any) -> RuntimeError:
    return RuntimeError(
        f"get_total_norm: the norm is {norm}, so the gradients cannot be clipped and nothing was changed. "
        "tt.detect_anomaly() finds where it was born; error_if_nonfinite=False goes on all the same."
    )


def _traced_norm(arrays: list[Any], p: float, error_if_nonfinite: bool) -> Any:
    """The norm in a traced program: NumPy's calls, or one call of ours where squares under- or overflow and for other p."""
    norm: Any = None
    if p == np.inf:
        norm = np.stack([np.abs(row).max(initial=0.0) for row in _rows(arrays)]).max(initial=0.0)
    elif p == 2.0:
        first, *others = [np.vdot(row, row).real for row in _rows(arrays)]
        for squares in others:
            first = first + squares
        norm = np.sqrt(first)
        norm = norm if assured(_ordinary, norm) else None
    if norm is None:
        norm = tracing().opaque(_norm_of, (arrays, p), "call")
    if error_if_nonfinite and not assured(np.isfinite, norm):
        raise _not_finite(norm.value)
    return norm


def _ordinary(norm: Any) -> bool:
    return norm not in (0.0, np.inf)


def _norm_of(arrays: list[Any], p: float) -> Any:
    return np.float64(get_total_norm(arrays, p))


def _largest(arrays: list[Any]) -> float:
    return float(np.max([np.abs(row).max(initial=0.0) for row in _rows(arrays)], initial=0.0))


def _scaled_norm(arrays: list[Any]) -> float:
    largest = _largest(arrays)
    if largest in (0.0, np.inf) or np.isnan(largest):
        return largest
    return largest * math.sqrt(sum(float(np.vdot(row, row).real) for row in (r / largest for r in _rows(arrays))))


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: float, foreach: bool | None = None) -> None:
    """Gradients times min(1, max_norm / (total_norm + 10⁻⁶)), in place.   (``torch.nn.utils.clip_grads_with_norm_``)

    >>> import numpy as np, tinytensor as tt
    >>> w = tt.nn.Parameter([1.0, 1.0])
    >>> w.grad = np.array([3.0, 4.0])
    >>> tt.nn.utils.clip_grads_with_norm_([w], max_norm=2.5, total_norm=5.0)
    >>> w.grad.round(3)
    array([1.5, 2. ])
    """
    op = "clip_grads_with_norm_"
    if traced(total_norm):
        _scale_traced(_gradients(_parameters(parameters, op), op), _number(op, "max_norm", max_norm), total_norm)
        return
    factor = _number(op, "max_norm", max_norm) / (_number(op, "total_norm", total_norm) + 1e-6)
    each = _parameters(parameters, op)
    if not factor >= 1.0:
        for g in _gradients(each, op):
            np.multiply(g, np.array(factor, g.real.dtype), g)  # in place: gathering and scattering takes longer


def _scale_traced(grads: list[Any], max_norm: float, norm: Any) -> None:
    """Gradients times the smaller of factor and 1: whether the norm is too large is not known while a program is traced."""
    with ignoring():
        factor = max_norm / (norm + 1e-6)
        factor = np.where(factor >= 1.0, 1.0, factor)
        factors = {dtype: factor.astype(dtype) for dtype in {g.real.dtype: None for g in grads}}
        for g in grads:
            np.multiply(g, factors[g.real.dtype], g)


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> float:
    """Scale all gradients, in place, so that their norm is at most ``max_norm``; returns the norm that they had.

    One norm of all gradients together: g ← g · min(1, max_norm / (norm + 10⁻⁶)). With ``error_if_nonfinite`` a norm of NaN
    or inf raises RuntimeError and nothing is changed; without, it makes the gradients NaN or 0, as in PyTorch.
    (``torch.nn.utils.clip_grad_norm_``)

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([3.0, 4.0])
    >>> (w * w).sum().backward()
    >>> tt.nn.utils.clip_grad_norm_([w], max_norm=1.0)
    10.0
    >>> w.grad.round(3)
    array([0.6, 0.8])
    """
    each = _parameters(parameters, "clip_grad_norm_")
    if not _number("clip_grad_norm_", "max_norm", max_norm) >= 0:
        raise ValueError(f"clip_grad_norm_: max_norm must not be negative, got {max_norm}")
    norm = get_total_norm(_gradients(each, "clip_grad_norm_"), norm_type, error_if_nonfinite)
    if each:
        clip_grads_with_norm_(each, max_norm, norm)
    return norm


def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clip each element of the gradients to [−clip_value, clip_value], in place.   (``torch.nn.utils.clip_grad_value_``)

    >>> import tinytensor as tt
    >>> w = tt.nn.Parameter([0.25, -4.0])
    >>> (w * w).sum().backward()
    >>> tt.nn.utils.clip_grad_value_([w], 1.0)
    >>> w.grad
    array([ 0.5, -1. ])
    """
    limit = _number("clip_grad_value_", "clip_value", clip_value)
    if not limit >= 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    grads = _gradients(_parameters(parameters, "clip_grad_value_"), "clip_grad_value_")
    if any(g.dtype.kind == "c" for g in grads):
        raise TypeError("clip_grad_value_: complex gradients have no order; use clip_grad_norm_")
    for g in grads:
        np.clip(g, -limit, limit, out=g)


# ------------------------------------------------------------------------------------------------------ as one vector


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, one after the other, as a vector; gradients flow through it.

    (``torch.nn.utils.parameters_to_vector``)

    >>> import tinytensor as tt
    >>> tt.nn.utils.parameters_to_vector([tt.tensor([[1.0, 2.0]]), tt.tensor(3.0)])
    tensor([1., 2., 3.])
    """
    pieces = [shapes.reshape(p, -1) for p in _parameters(parameters, "parameters_to_vector")]
    if not pieces:
        raise ValueError("parameters_to_vector: expected parameters, got none; pass model.parameters()")
    return joining.concatenate(pieces)


def vector_to_parameters(vec: Any, parameters: Iterable[Tensor]) -> None:
    """Write the pieces of a vector into the parameters, in place, in their own dtype.

    Raises ValueError, with nothing changed, unless the vector has exactly as many elements as they have.
    (``torch.nn.utils.vector_to_parameters``)

    >>> import tinytensor as tt
    >>> layer = tt.nn.Linear(2, 1)
    >>> tt.nn.utils.vector_to_parameters([1.0, 2.0, 3.0], layer.parameters())
    >>> layer.bias
    parameter([3.], dtype=float32, requires_grad=True)
    """
    array = vec._data if isinstance(vec, TensorBase) else asarray(vec)
    each = _parameters(parameters, "vector_to_parameters")
    total = sum(p.size for p in each)
    if array.shape != (total,):
        raise ValueError(
            f"vector_to_parameters: the parameters have {total} elements, the vector has shape {array.shape}"
        )
    for p in each:
        if not np.can_cast(array.dtype, p.dtype, "same_kind"):
            raise TypeError(f"vector_to_parameters: cannot put {array.dtype} into a parameter of {p.dtype}")
    array = array.copy()  # it may be a view of one of them
    start = 0
    for p in each:
        updating(p)[...] = array[start : start + p.size].reshape(p.shape)
        start += p.size


# ------------------------------------------------------------------------------------------------ weight normalisation

#: (class, name, axis) -> the class whose weight of that name is computed from direction and size.
_normed: dict[tuple[type, str, int | None], type] = {}


def _norm(v: Any, dim: int | None) -> Any:
    """The norm of v over all axes but one, which is kept; over all of them, a number, for None."""
    axes = None if dim is None else tuple(a for a in range(v.ndim) if a != dim % v.ndim)
    return el.sqrt(reductions.sum(v * v, axes, keepdims=dim is not None))


def _normed_class(base: type, name: str, dim: int | None) -> type:
    """``base`` with a property that computes the weight whenever it is looked at: it cannot be out of date."""
    key = (base, name, dim)
    if key not in _normed:

        def weight(self: Any) -> Any:
            v = getattr(self, name + "_v")
            return v * (getattr(self, name + "_g") / _norm(v, dim))

        def reduce(self: Any) -> Any:
            return _restore, (base, name, dim), dict(vars(self))

        members = {name: property(weight), "__reduce__": reduce, "_weight_norm": (base, name, dim)}
        _normed[key] = type(base.__name__, (base,), {**members, "__module__": base.__module__, "__doc__": base.__doc__})
    return _normed[key]


def _restore(base: type, name: str, dim: int | None) -> Any:
    return object.__new__(_normed_class(base, name, dim))


def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Let the module learn the size and the direction of a weight: w = g · v / ‖v‖; returns the module.

    ``name`` is replaced by two parameters, ``weight_g`` and ``weight_v``, as in PyTorch's ``state_dict``; ``module.weight``
    is computed from them whenever it is used. The norm is over all axes but ``dim``, over all for None. The weight itself
    does not change. :func:`remove_weight_norm` takes it back. Salimans and Kingma, 2016.   (``torch.nn.utils.weight_norm``)

    >>> import tinytensor as tt
    >>> layer = tt.nn.utils.weight_norm(tt.nn.Linear(3, 2))
    >>> {name: p.shape for name, p in layer.named_parameters()}
    {'bias': (2,), 'weight_g': (2, 1), 'weight_v': (2, 3)}
    """
    if name in vars(type(module)) or any(name in vars(c) for c in type(module).__mro__ if "_weight_norm" in vars(c)):
        raise RuntimeError(f"weight_norm: {name!r} of this {type(module).__name__} is normalised already")
    weight = vars(module).get(name)
    if not isinstance(weight, Parameter):
        have = [key for key, value in vars(module).items() if isinstance(value, Parameter)]
        raise ValueError(f"weight_norm: {type(module).__name__} has no parameter {name!r} of its own, it has {have}")
    if dim is not None and not -weight.ndim <= dim < weight.ndim:
        raise ValueError(f"weight_norm: dim {dim} is not an axis of {name!r}, of shape {weight.shape}")
    size = asarray(_norm(weight.detach(), dim).data)
    delattr(module, name)
    setattr(module, name + "_g", Parameter(size, weight.dtype))
    setattr(module, name + "_v", weight)
    module.__class__ = _normed_class(type(module), name, dim)
    return module


def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undo :func:`weight_norm`: the weight is a parameter again, with the value that it has now; returns the module.

    (``torch.nn.utils.remove_weight_norm``)

    >>> import tinytensor as tt
    >>> layer = tt.nn.utils.weight_norm(tt.nn.Linear(3, 2))
    >>> list(tt.nn.utils.remove_weight_norm(layer).state_dict())
    ['bias', 'weight']
    """
    applied, cls = [], type(module)
    while "_weight_norm" in vars(cls):
        cls, key, dim = cls._weight_norm  # type: ignore[attr-defined]
        applied.append((key, dim))
    if name not in [key for key, _ in applied]:
        raise ValueError(f"remove_weight_norm: {name!r} of this {type(module).__name__} is not normalised")
    weight = getattr(module, name).data
    for key, dim in reversed(applied):
        if key != name:
            cls = _normed_class(cls, key, dim)
    module.__class__ = cls
    delattr(module, name + "_g")
    vector = vars(module).pop(name + "_v")
    updating(vector)[...] = weight
    setattr(module, name, vector)
    return module
