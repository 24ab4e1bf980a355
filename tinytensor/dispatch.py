"""NumPy's own functions on tensors: found in one table, or refused with a sentence that names the nearest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tinytensor.graph import recording
from tinytensor.ops import reductions, shape
from tinytensor.primitive import DISPATCH, TensorBase, composite, operand, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

__all__ = ["constant", "function", "ufunc", "without_gradient"]

#: Functions whose results have no derivative (booleans, integers, shapes): computed on the values.
_CONSTANT = frozenset({
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isnan, np.isinf, np.isfinite,
    np.signbit, np.logical_and, np.logical_or, np.logical_not, np.logical_xor, np.bitwise_and, np.bitwise_or,
    np.bitwise_xor, np.invert, np.left_shift, np.right_shift,
    np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.argsort, np.argpartition, np.argwhere, np.nonzero,
    np.flatnonzero, np.count_nonzero, np.searchsorted, np.digitize, np.any, np.all, np.isclose, np.allclose,
    np.array_equal, np.array_equiv, np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj,
    np.isrealobj, np.iscomplex, np.isreal, np.isposinf, np.isneginf, np.may_share_memory, np.shares_memory,
    np.array_repr, np.array_str, np.array2string, np.unravel_index, np.bincount, np.lexsort, np.isin,
    np.zeros_like, np.ones_like, np.empty_like, np.full_like,
})  # fmt: skip

#: ``ufunc.reduce`` and ``ufunc.accumulate`` that have a name of their own.
_METHODS: dict[tuple[Any, str], Callable[..., Any]] = {
    (np.add, "reduce"): reductions.sum,
    (np.multiply, "reduce"): reductions.prod,
    (np.maximum, "reduce"): reductions.max,
    (np.minimum, "reduce"): reductions.min,
    (np.add, "accumulate"): reductions.cumsum,
}


#: Families that most programs never meet: loaded when one of their functions first meets a tensor.
_FAMILIES = {
    "numpy.linalg": ("tinytensor.ops.decompositions",),
    "numpy.fft": ("tinytensor.ops.fourier",),
    "numpy": ("tinytensor.ops.statistics",),
    "scipy": ("tinytensor.ops.special",),
}


def _find(numpy_function: Any) -> Callable[..., Any] | None:
    """Our function of a NumPy function, also if its family has not been loaded yet."""
    found = DISPATCH.get(numpy_function)
    if found is None:
        from importlib import import_module

        module = getattr(numpy_function, "__module__", None) or "scipy"  # ufuncs have none
        for family in _FAMILIES.get(module, _FAMILIES["numpy"]):
            import_module(family)
        found = DISPATCH.get(numpy_function)
    return found


@composite(np.ravel)
def _ravel(x: Any) -> Any:
    return shape.reshape(x, -1)


def _value(x: Any) -> Any:
    if isinstance(x, TensorBase):
        return x._data
    if isinstance(x, (list, tuple)):
        return type(x)([_value(v) for v in x]) if not hasattr(x, "_fields") else x
    return x


def _result(out: Any) -> Any:
    if isinstance(out, tuple):
        return tuple([_result(o) for o in out])
    return wrap(out, None) if isinstance(out, (np.ndarray, np.generic)) else out


def constant(numpy_function: Any, *args: Any) -> Tensor:
    """An operator without derivative, on the values."""
    try:
        values = [x._data if isinstance(x, TensorBase) else operand(x, _Named(numpy_function)) for x in args]
    except TypeError:
        return NotImplemented  # type: ignore[no-any-return]
    made: Tensor = wrap(numpy_function(*values), None)
    return made


def without_gradient(numpy_function: Any, *args: Any) -> Tensor:
    """An operator whose rule does not exist: on the values, if no operand needs a gradient."""
    if recording() and any(isinstance(x, TensorBase) and x._node is not None for x in args):
        refuse(numpy_function)
    return constant(numpy_function, *args)


class _Named:
    def __init__(self, function: Any) -> None:
        self.name = function.__name__


def ufunc(function: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``np.exp(t)``, ``np.add.reduce(t)``, ``ndarray += t``."""
    name = f"np.{function.__name__}"
    if kwargs.get("out") is not None and any(o is not None for o in kwargs["out"]):
        raise TypeError(
            f"{name}: a result that involves a tensor cannot be written into another array (out=, or ndarray += "
            "tensor); assign it instead: a = a + t, or use t.detach() on the right"
        )
    if method != "__call__":
        found = _METHODS.get((function, method))
        if found is None:
            if function in _CONSTANT:
                return _result(getattr(function, method)(*map(_value, inputs), **kwargs))
            raise TypeError(
                f"{name}.{method} has no derivative rule for tensors; use np.sum, np.prod, np.max, np.min, np.cumsum, "
                "np.outer, or t[i] += u; or t.detach() where no gradient is needed"
            )
        kwargs.setdefault("axis", 0)
        return found(*inputs, **kwargs)
    if function in _CONSTANT:
        return _result(function(*map(_value, inputs), **kwargs))
    ours = DISPATCH.get(function) or _find(function)
    if ours is None:
        refuse(function)
    for key, value in kwargs.items():
        if key != "out" and not (key == "where" and value is True):
            raise TypeError(f"{name}: {key}= is not supported for tensors; use tt.where or t.astype")
    return ours(*inputs)


def function(numpy_function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``np.sum(t, axis=0)`` and all other functions that are not ufuncs."""
    ours = DISPATCH.get(numpy_function)
    if ours is not None:
        if numpy_function is np.where and len(args) == 1 and not kwargs:
            return _result(np.where(_value(args[0])))
        if kwargs and hasattr(ours, "op"):  # NumPy's names of the arguments
            return ours(*ours.op.bind(args, kwargs))
        return ours(*args, **kwargs)
    if numpy_function in _CONSTANT:
        return _result(numpy_function(*map(_value, args), **{k: _value(v) for k, v in kwargs.items()}))
    if _find(numpy_function) is not None:
        return function(numpy_function, args, kwargs)
    refuse(numpy_function)


#: What to write instead of functions that have no rule yet, where their name does not tell.
_INSTEAD = {
    "vstack": "np.concatenate, np.stack", "hstack": "np.concatenate", "dstack": "np.stack", "column_stack": "np.stack",
    "append": "np.concatenate", "array_split": "np.split", "hsplit": "np.split", "vsplit": "np.split",
    "tile": "np.take, np.broadcast_to", "repeat": "np.take", "roll": "np.take", "rot90": "np.flip, np.swapaxes",
    "moveaxis": "np.transpose", "rollaxis": "np.transpose", "atleast_1d": "np.reshape", "atleast_2d": "np.reshape",
    "atleast_3d": "np.reshape", "trace": "np.einsum('ii', x)", "diagonal": "np.einsum('ii->i', x)",
    "diag": "np.einsum('ii->i', x)", "tril": "np.where", "triu": "np.where", "inner": "np.tensordot", "vdot": "np.dot",
    "kron": "np.einsum", "cross": "np.einsum", "norm": "np.sqrt(np.sum(x**2))", "inv": "np.linalg.eigh",
    "solve": "np.linalg.eigh", "det": "np.linalg.eigh", "eig": "np.linalg.eigh", "eigvalsh": "np.linalg.eigh",
    "average": "np.mean", "median": "np.mean", "ptp": "np.max(x) - np.min(x)", "nansum": "np.sum", "nanmean": "np.mean",
    "sort": "np.take_along_axis(x, np.argsort(x))", "diff": "x[1:] - x[:-1]", "cumprod": "np.exp(np.cumsum(np.log(x))) for positive x",
    "exp2": "2.0 ** x", "expm1": "np.exp", "log1p": "np.log", "log2": "np.log", "log10": "np.log", "cbrt": "x ** (1 / 3)",
    "logaddexp": "tt.logsumexp", "hypot": "np.sqrt", "tan": "np.sin, np.cos", "sinh": "np.exp", "cosh": "np.exp",
    "fabs": "np.abs", "floor_divide": "np.divide", "remainder": "np.divide", "fmax": "np.maximum", "fmin": "np.minimum",
    "float_power": "np.power", "ravel_multi_index": "np.reshape", "choose": "np.where", "select": "np.where",
}  # fmt: skip


def refuse(numpy_function: Any) -> NoReturn:
    """Say that there is no rule, and what comes nearest."""
    import difflib  # 5 ms, for a message

    name = numpy_function.__name__
    module = {"numpy.linalg": "np.linalg.", "numpy.fft": "np.fft."}.get(
        getattr(numpy_function, "__module__", ""), "np."
    )
    known = sorted({f.__name__ for f in DISPATCH})
    near = [f"np.{n}" for n in difflib.get_close_matches(name, known, n=3, cutoff=0.6)]
    near = [_INSTEAD[name]] if name in _INSTEAD else near
    nearest = f"the nearest that have one: {', '.join(near)}" if near else "tt.ops lists those that do"
    raise TypeError(
        f"{module}{name} has no derivative rule for tensors; {nearest}. Use t.detach() or t.data where no gradient is "
        "needed, or write a rule with tt.primitive."
    )
