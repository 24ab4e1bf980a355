"""NumPy's own functions on tensors: found in one table, or refused with a sentence that names the nearest."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tinytensor import inplace
from tinytensor.graph import recording
from tinytensor.ops import elementwise, indexing, methods
from tinytensor.primitive import DISPATCH, TensorBase, composite, operand, wrap

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

__all__ = ["constant", "function", "ufunc"]

#: Functions whose results have no derivative (booleans, integers, shapes): computed on the values.
_CONSTANT = frozenset({
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal, np.isnan, np.isinf, np.isfinite,
    np.signbit, np.logical_and, np.logical_or, np.logical_not, np.logical_xor, np.bitwise_and, np.bitwise_or,
    np.bitwise_xor, np.bitwise_count, np.invert, np.left_shift, np.right_shift, np.gcd, np.lcm, np.isnat, np.any,
    np.all, np.isclose, np.allclose, np.array_equal, np.array_equiv, np.shape, np.ndim, np.size, np.result_type,
    np.can_cast, np.min_scalar_type, np.common_type, np.iscomplexobj, np.isrealobj, np.iscomplex, np.isreal,
    np.isposinf, np.isneginf, np.may_share_memory, np.shares_memory, np.array_repr, np.array_str, np.array2string,
    np.unravel_index, np.ravel_multi_index, np.isin, np.unique_all, np.unique_counts, np.unique_inverse,
    np.unique_values, np.histogram2d, np.histogramdd, np.packbits, np.unpackbits, np.diag_indices_from,
    np.einsum_path, np.zeros_like, np.ones_like, np.empty_like,
})  # fmt: skip

#: Of those, the arguments that a derivative would be lost of: (position, name).
_NOT_CONSTANT = {
    np.histogram2d: (5, "weights", "np.bincount(numbers of the bins, weights)"),
    np.histogramdd: (4, "weights", "np.bincount(numbers of the bins, weights)"),
}

#: Families that most programs never meet: loaded when one of their functions first meets a tensor.
_FAMILIES = {
    "numpy.linalg": ("tinytensor.ops.decompositions", "tinytensor.ops.solving", "tinytensor.ops.norms"),
    "numpy.fft": ("tinytensor.ops.fourier",),
    "numpy": (
        "tinytensor.ops.statistics", "tinytensor.ops.signals", "tinytensor.ops.missing", "tinytensor.ops.polynomial",
        "tinytensor.ops.selection", "tinytensor.ops.diagonals", "tinytensor.ops.padding", "tinytensor.ops.placing",
    ),
    "scipy": (
        "tinytensor.ops.special", "tinytensor.ops.gamma", "tinytensor.ops.bessel", "tinytensor.ops.incomplete",
        "tinytensor.ops.integrals",
    ),
    np.trace: ("tinytensor.ops.norms",),
    np.i0: ("tinytensor.ops.special",),  # its derivative is SciPy's i1
}  # fmt: skip


def _module(function: Any) -> str:
    """Where a function comes from. Ufuncs that do not say are NumPy's, or SciPy's, if that is loaded at all."""
    module: str | None = getattr(function, "__module__", None)
    if module is None:
        from_numpy = getattr(np, function.__name__, None) is function or "scipy.special" not in sys.modules
        module = "numpy" if from_numpy else "scipy"
    return module


def _find(numpy_function: Any) -> Callable[..., Any] | None:
    """Our function of a NumPy function, also if its family has not been loaded yet."""
    found = DISPATCH.get(numpy_function)
    if found is None:
        from importlib import import_module

        for family in _FAMILIES.get(numpy_function) or _FAMILIES.get(_module(numpy_function), _FAMILIES["numpy"]):
            import_module(family)
        found = DISPATCH.get(numpy_function)
    return found


@composite(np.astype)
def _astype(x: Any, dtype: Any, copy: bool = True) -> Any:
    return x.astype(dtype) if copy or x.dtype != dtype else x


# ------------------------------------------------------------------------------------------------ values and gradients


def _value(x: Any) -> Any:
    """Arrays in place of tensors, in lists and tuples too."""
    if isinstance(x, TensorBase):
        return x._data
    if isinstance(x, (list, tuple)):
        return type(x)([_value(v) for v in x]) if not hasattr(x, "_fields") else x
    return x


def _result(out: Any) -> Any:
    """Tensors in place of arrays."""
    if isinstance(out, (tuple, list)):
        made = [_result(o) for o in out]
        return type(out)(*made) if hasattr(out, "_fields") else type(out)(made)
    return wrap(out, None) if isinstance(out, (np.ndarray, np.generic)) else out


def _has_gradient(values: Any) -> bool:
    """Whether a tensor that requires grad is among the values, or in lists and tuples of them."""
    for x in values:
        if (x._node is not None) if isinstance(x, TensorBase) else isinstance(x, (list, tuple)) and _has_gradient(x):
            return True
    return False


def _recorded(args: Any, kwargs: dict[str, Any]) -> bool:
    return recording() and (_has_gradient(args) or _has_gradient(kwargs.values()))


def _on_values(numpy_function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    return _result(numpy_function(*map(_value, args), **{k: _value(v) for k, v in kwargs.items()}))


def constant(numpy_function: Any, *args: Any) -> Tensor:
    """An operator without derivative, on the values."""
    try:
        values = [x._data if isinstance(x, TensorBase) else operand(x, _Named(numpy_function)) for x in args]
    except TypeError:
        return NotImplemented  # type: ignore[no-any-return]
    made: Tensor = wrap(numpy_function(*values), None)
    return made


class _Named:
    def __init__(self, function: Any) -> None:
        self.name = function.__name__


# -------------------------------------------------------------------------------------------------------------- ufuncs


def ufunc(function: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``np.exp(t)``, ``np.add.reduce(t)``, ``ndarray += t``."""
    ours = DISPATCH.get(function)
    if ours is not None and method == "__call__" and not kwargs:
        return ours(*inputs)
    if method == "at":
        return _at(function, inputs)
    outs = kwargs.pop("out", None)
    if outs is not None and any(o is not None for o in outs):
        return _write(function, method, inputs, kwargs, outs)
    if function in _CONSTANT:
        return _result(getattr(function, method)(*map(_value, inputs), **kwargs))
    ours = ours or _find(function)
    if ours is None:
        if _recorded(inputs, kwargs):
            refuse(function)
        return _result(getattr(function, method)(*map(_value, inputs), **kwargs))
    if function.signature is not None and method == "__call__":  # np.vecdot(x, y, axis=0)
        return ours(*ours.op.bind(inputs, kwargs))  # type: ignore[attr-defined]
    return (
        ours(*_options(function, inputs, kwargs))
        if method == "__call__"
        else _method(function, method, ours, inputs, kwargs)
    )


def _method(function: np.ufunc, method: str, ours: Callable[..., Any], inputs: Any, kwargs: dict[str, Any]) -> Any:
    if function.nin != 2 or function.signature is not None or (function.nout != 1 and method != "outer"):
        getattr(function, method)(*map(_value, inputs), **kwargs)  # NumPy says why not
    if method == "outer":
        return methods.outer(ours, *_options(function, inputs, kwargs))
    if any(isinstance(x, TensorBase) for x in kwargs.values()) or not isinstance(inputs[0], TensorBase):
        raise TypeError(f"np.{function.__name__}.{method}: a tensor is taken as the first argument, not as an option")
    return getattr(methods, method)(function, ours, *inputs, **kwargs)


#: Options of a ufunc that change nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "where": (True,), "casting": ("same_kind",), "order": ("K", "C"), "subok": (True, False), "dtype": (None,),
}  # fmt: skip


def _options(function: np.ufunc, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """The inputs, in the dtype that is asked for; other options are refused."""
    for key, value in kwargs.items():
        if any(value is n or (type(value) is str and value == n) for n in _NEUTRAL.get(key, ())):
            continue
        if key != "dtype" or np.dtype(value).kind not in "fc":
            raise TypeError(f"np.{function.__name__}: {key}= is not supported for tensors; use tt.where or t.astype")
        inputs = [_as(x, np.dtype(value), function) for x in inputs]
    return inputs


def _as(x: Any, dtype: np.dtype[Any], function: np.ufunc) -> Any:
    values = x if isinstance(x, TensorBase) or type(x) in (int, float, bool) else np.asarray(x)
    if not np.can_cast(getattr(values, "dtype", dtype), dtype, "same_kind"):
        raise TypeError(f"np.{function.__name__}: cannot cast {values.dtype} to dtype={dtype}")
    return elementwise.astype(x, dtype) if isinstance(x, TensorBase) else np.asarray(x, dtype)  # type: ignore[arg-type]


def _write(function: np.ufunc, method: str, inputs: Any, kwargs: dict[str, Any], outs: Any) -> Any:
    """A result written into an array: without gradients only."""
    if _recorded(inputs, kwargs) or any(isinstance(o, TensorBase) for o in outs):
        raise TypeError(
            f"np.{function.__name__}: a result that involves a tensor cannot be written into another array (out=, or "
            "ndarray += tensor); assign it instead: a = a + t, or use t.detach() on the right"
        )
    out = outs if function.nout > 1 else outs[0]
    return getattr(function, method)(*map(_value, inputs), **{k: _value(v) for k, v in kwargs.items()}, out=out)


def _at(function: np.ufunc, inputs: Any) -> None:
    """``np.add.at(t, index, u)``: a write in place."""
    t, index, *y = inputs
    name = f"np.{function.__name__}.at"
    if not isinstance(t, TensorBase):
        if _recorded(inputs, {}):
            raise TypeError(
                f"{name}: an ndarray cannot take a tensor that requires grad; write into a tensor, t = tt.tensor(array), "
                "or use u.detach()"
            )
        function.at(*map(_value, inputs))
        return
    ours = None if function in _CONSTANT else _find(function)
    if ours is None and _recorded(inputs, {}):
        refuse(function)
    index = indexing.plain_index(index)

    def write(array: Any, value: Any, out: Any) -> None:
        function.at(out, index, *([value] if y else []))

    def record(t: Any, value: Any) -> Any:
        return methods.at(function, ours, t, index, *([value] if y else []))  # type: ignore[arg-type]

    inplace.update(t, write, record, y[0] if y else 0, f"[i] {function.__name__}=")


# ----------------------------------------------------------------------------------------------------- other functions


#: NumPy's positional arguments, where ours are others: ``np.median(t, 0, None, False, True)`` keeps its axes.
_POSITIONS: dict[Any, tuple[str, ...]] = {
    **dict.fromkeys((np.median, np.nanmedian), ("x", "axis", "out", "overwrite_input", "keepdims")),
    **dict.fromkeys((np.quantile, np.nanquantile, np.percentile, np.nanpercentile),
                    ("x", "q", "axis", "out", "overwrite_input", "method", "keepdims")),
    **dict.fromkeys((np.argmax, np.argmin, np.nanargmax, np.nanargmin), ("x", "axis", "out")),
    np.ptp: ("x", "axis", "out", "keepdims"),
}  # fmt: skip


def function(numpy_function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``np.sum(t, axis=0)`` and all other functions that are not ufuncs."""
    ours = DISPATCH.get(numpy_function)
    if ours is not None:
        if len(args) > 2 and numpy_function in _POSITIONS:
            names = _POSITIONS[numpy_function]
            n = names.index("out")
            args, kwargs = args[:n], dict(zip(names[n:], args[n:], strict=False)) | kwargs
        if kwargs and hasattr(ours, "op"):  # NumPy's names of the arguments
            return ours(*ours.op.bind(args, kwargs))
        return ours(*args, **kwargs)
    if numpy_function in _CONSTANT:
        _check_constant(numpy_function, args, kwargs)
        return _on_values(numpy_function, args, kwargs)
    if _find(numpy_function) is not None:
        return function(numpy_function, args, kwargs)
    if _recorded(args, kwargs):
        refuse(numpy_function)
    return _on_values(numpy_function, args, kwargs)


def _check_constant(numpy_function: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Raise if a function without derivative is given something that it has one of."""
    if numpy_function not in _NOT_CONSTANT:
        return
    at, name, instead = _NOT_CONSTANT[numpy_function]
    if _recorded(args[at : at + 1], {k: v for k, v in kwargs.items() if k == name}):
        raise TypeError(
            f"np.{numpy_function.__name__}: {name}= would lose its gradient; use {instead}, or {name}.detach()"
        )


#: What to write instead of functions that have no rule, where their name does not tell.
_INSTEAD = {
    "apply_over_axes": "np.sum", "tensorinv": "np.linalg.inv", "tensorsolve": "np.linalg.solve",
    "union1d": "np.concatenate", "intersect1d": "np.isin", "setdiff1d": "np.isin", "setxor1d": "np.isin",
    "sort_complex": "np.sort", "asanyarray": "tt.asarray", "ascontiguousarray": "tt.asarray", "require": "tt.asarray",
    "_zeta": "tt.special.zeta", "_riemann_zeta": "tt.special.zeta", "_lambertw": "tt.special.lambertw",
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
    nearest = f"the nearest that have one: {', '.join(near)}" if near else "tt.supported() lists those that do"
    raise TypeError(
        f"{module}{name} has no derivative rule for tensors; {nearest}. Use t.detach() or t.data where no gradient is "
        "needed, or write a rule with tt.primitive."
    )
