"""Batching rules: what a primitive does with tensors that have a batch axis in front of the axes it knows of.

A rule gets the arguments of one call and computes the whole batch with the same primitive, or with others: elementwise
functions align the axes, reductions and shape functions count them from one, products and decompositions have NumPy's
own leading axes. A primitive without an entry refuses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinytensor import dispatch
from tinytensor.arrays import asarray
from tinytensor.batching.batch import Batched, Level, padded, use_rules
from tinytensor.batching.places import RULES as PLACES
from tinytensor.batching.places import Lane, getitem, rule, shifted
from tinytensor.deferred import use_batching
from tinytensor.graph import tracing
from tinytensor.ops import contraction, shape
from tinytensor.ops import reductions as red
from tinytensor.primitive import Op, Signature, TensorBase

__all__ = ["RULES", "batched"]

RULES = PLACES


def batched(op: Signature, apply: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """A primitive of arguments among which are batches, for the deepest level that occurs."""
    if tracing() is not None and not any(True for _ in _batches(args)):
        return NotImplemented  # it is the program that is written down that has no values
    lane = Lane(_deepest(args))
    if not isinstance(op, Op):  # a composite that asked for values
        given = {key: x for key, x in zip(op.params[1:], args[1:], strict=False) if x is not None and x is not False}
        out = _constant_function(apply, args[:1], given)
        if out is NotImplemented:
            raise _no_rule(op.name)
        return out
    found = RULES.get(op.name) or (_elementwise if op.elementwise else None)
    if found is None:
        raise _no_rule(op.name)
    return lane.wrapped(found(lane, apply, *args))


def _no_rule(name: str) -> TypeError:
    return TypeError(
        f"vmap: {name} has no batching rule; loop instead: tt.stack([f(x) for x in xs]), or write it with functions "
        "that broadcast"
    )


def _deepest(args: Any) -> Level:
    levels = [x._level for x in _batches(args)]
    if not levels:
        raise TypeError("vmap: a batched tensor stands where only arrays are understood")
    return max(levels, key=lambda level: level.depth)


def _batches(args: Any) -> list[Batched]:
    found = []
    for x in args:
        if isinstance(x, Batched):
            found.append(x)
        elif type(x) in (list, tuple):
            found += _batches(x)
    return found


# ---------------------------------------------------------------------------------------------------------- elementwise


def _elementwise(lane: Lane, apply: Any, *args: Any) -> Any:
    return apply(*lane.aligned(args))


def _constant_ufunc(ufunc: np.ufunc, inputs: Any) -> Any:
    if ufunc not in dispatch._CONSTANT:
        return NotImplemented
    lane = Lane(_deepest(inputs))
    return lane.wrapped(ufunc(*lane.aligned(inputs)))


_LIKE = (np.zeros_like, np.ones_like, np.empty_like, np.isposinf, np.isneginf, np.isreal, np.iscomplex)
_ALL_AXES = (np.any, np.all, np.count_nonzero)
_ONE_AXIS = (np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.argsort)


def _constant_function(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Functions without derivative, and those of NumPy that ask for a shape."""
    x = args[0] if args else None
    if not isinstance(x, Batched):
        return NotImplemented
    if function in (np.shape, np.ndim, np.size):
        return getattr(x, function.__name__)
    lane = Lane(x._level)
    if function in _LIKE:
        return lane.wrapped(function(x._inner, *args[1:], **kwargs))
    if function is np.full_like and not _batches(args[1:]):
        return lane.wrapped(np.full_like(x._inner, *args[1:], **kwargs))
    if function not in _ALL_AXES and function not in _ONE_AXIS:
        return NotImplemented
    axis = args[1] if len(args) > 1 else kwargs.pop("axis", -1 if function is np.argsort else None)
    inner = x._inner
    if axis is None and function in _ONE_AXIS:
        inner, axis = _flat(inner), -1
    new = shifted(axis, x.ndim) if axis is not None else tuple(range(1, x.ndim + 1))
    return lane.wrapped(function(inner, axis=new, **kwargs))


use_rules(_constant_ufunc, _constant_function, getitem)
use_batching(batched)


# ------------------------------------------------------------------------------------------------------------- axes


def _flat(inner: Any) -> Any:
    return shape.reshape(inner, (inner.shape[0], math.prod(inner.shape[1:])))


def _axis_rule(at: int = 1, none: str = "", leading: int | None = None) -> Callable[..., Any]:
    """The axis stands at position ``at``. None means all axes ("all"), the flattened array ("flat"), or
    that, in its shape again ("shaped").

    ``leading``: the position of an array whose axes come first in the result.
    """

    def apply_rule(lane: Lane, apply: Any, x: Any, *options: Any) -> Any:
        inner, ndim = lane.full(x), np.ndim(x)
        given = [padded(o._inner, ndim) if lane.has(o) else o for o in options]
        axis = given[at - 1]
        if axis is not None:
            given[at - 1] = shifted(axis, ndim)
        elif none == "all":
            given[at - 1] = tuple(range(1, ndim + 1))
        elif none == "flat":
            inner, given[at - 1] = _flat(inner), 1
        elif none == "shaped":
            given[at - 1] = 1
            return shape.reshape(apply(_flat(inner), *given), inner.shape)
        out = apply(inner, *given)
        extra = 0 if leading is None else np.ndim(given[leading - 1])
        return shape.moveaxis(out, extra, 0) if extra else out

    return apply_rule


for _name in ("sum", "mean", "max", "min", "prod", "var", "std", "logsumexp", "nanmax", "nanmin", "nanmean", "nansum",
              "nanprod", "nanvar", "nanstd", "flip", "median", "nanmedian", "fftshift", "ifftshift", "logaddexp_reduce"):  # fmt: skip
    RULES[_name] = _axis_rule(none="all")
for _name in ("var_where", "std_where"):
    RULES[_name] = _axis_rule(none="all")
RULES["masked"] = _axis_rule(at=2, none="all")
for _name in ("softmax", "log_softmax"):
    RULES[_name] = _axis_rule(none="shaped")
for _name in ("cumsum", "cumprod", "cumsum_back", "sort"):
    RULES[_name] = _axis_rule(none="flat")
for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft", "weighted", "diff", "diff_transposed", "derivative",
              "derivative_transposed", "unwrap"):  # fmt: skip
    RULES[_name] = _axis_rule(at=2)
for _name in ("quantile", "percentile", "nanquantile", "nanpercentile"):
    RULES[_name] = _axis_rule(at=2, none="all", leading=1)
RULES["repeat"] = _axis_rule(at=2, none="flat")


@rule("norm")
def _norm(lane: Lane, apply: Any, x: Any, ord: Any, axis: Any, keepdims: bool) -> Any:
    if axis is None and (ord is None or x.ndim == 1):
        axis, flat = -1, _flat(x._inner)
        out = apply(flat, None if x.ndim != 1 else ord, axis, False)
        return shape.reshape(out, (out.shape[0], *(1,) * x.ndim)) if keepdims else out
    axis = tuple(range(1, x.ndim + 1)) if axis is None else shifted(axis, x.ndim)
    return apply(x._inner, ord, axis, keepdims)


@rule("vector_norm")
def _vector_norm(lane: Lane, apply: Any, x: Any, axis: Any, keepdims: bool, ord: Any) -> Any:
    if axis is not None:
        return apply(x._inner, shifted(axis, x.ndim), keepdims, ord)
    out = apply(_flat(x._inner), -1, False, ord)
    return shape.reshape(out, (out.shape[0], *(1,) * x.ndim)) if keepdims else out


# ------------------------------------------------------------------- functions of the last axes, stacked as NumPy stacks


def _stacked(core: int = 2) -> Callable[..., Any]:
    """The first argument's last ``core`` axes are what the function is of."""

    def apply_rule(lane: Lane, apply: Any, x: Any, *options: Any) -> Any:
        if lane.has(x) and x.ndim < core:
            raise TypeError(f"vmap: expected at least {core} axes in each example, got {x.ndim}")
        return apply(lane.full(x), *options)

    return apply_rule


for _name in ("cholesky", "eigh", "eigvalsh", "svd", "svdvals", "qr", "eig", "inv", "det", "slogdet", "cofactor", "pinv",
              "matrix_transpose", "tril", "triu", "expm", "cond", "matrix_norm"):  # fmt: skip
    RULES[_name] = _stacked()


def _lined(lane: Lane, apply: Any, *args: Any) -> Any:
    """Arrays of one shape, of which the function takes the last axis."""
    return apply(*[lane.full(x) if isinstance(x, (TensorBase, np.ndarray)) else x for x in args])


for _name in ("recurrence", "others", "pull_products"):
    RULES[_name] = _lined


@rule("solve")
def _solve(lane: Lane, apply: Any, x: Any, y: Any) -> Any:
    a, b = lane.full(x), lane.full(y)
    ndim = max(np.ndim(x), np.ndim(y))
    if np.ndim(y) == 1:  # NumPy takes a vector for one only if it has no leading axes
        return apply(a, padded(b[..., None], ndim))[..., 0]
    return apply(padded(a, ndim), padded(b, ndim))


# ------------------------------------------------------------------------------------------------------------- products


@rule("matmul")
def _matmul(lane: Lane, apply: Any, x: Any, y: Any) -> Any:
    m, n = np.ndim(x), np.ndim(y)
    if m == 0 or n == 0:
        raise ValueError("matmul: a number is no matrix; use x * y")
    if not lane.has(y) and n <= 2:  # one product of all rows
        return apply(x._inner, y)
    a = x._inner if lane.has(x) else x
    b = y._inner if lane.has(y) else y
    if m == 1 == n and lane.has(x) and lane.has(y):
        return red.sum(a * b, -1)
    a = a[..., None, :] if m == 1 else a
    b = b[..., None] if n == 1 else b
    ndim = max(m, n, 2)
    out = apply(padded(a, ndim) if lane.has(x) else a, padded(b, ndim) if lane.has(y) else b)
    out = out[..., 0] if n == 1 else out
    return out if m > 1 else out[..., 0] if n == 1 else out[..., 0, :]


@rule("linear")
def _linear(lane: Lane, apply: Any, x: Any, weight: Any, bias: Any) -> Any:
    if not lane.has(weight) and not lane.has(bias):
        return apply(x._inner, weight, bias)
    weight = weight if isinstance(weight, TensorBase) else asarray(weight)
    x = x if isinstance(x, TensorBase) else asarray(x)
    out = np.matmul(x, weight.T)
    return lane.full(out if bias is None else out + bias)


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@rule("einsum")
def _einsum(lane: Lane, apply: Any, subscripts: Any, optimize: Any, *xs: Any) -> Any:
    terms, out = contraction._explicit(subscripts, tuple([np.ndim(x) for x in xs]))
    batch = next(c for c in _LETTERS if c not in subscripts and c not in "".join(terms))
    named = [batch + term if lane.has(x) else term for x, term in zip(xs, terms, strict=True)]
    return apply(f"{','.join(named)}->{batch}{out}", optimize, *[x._inner if lane.has(x) else x for x in xs])


def _by_einsum(subscripts: Callable[[int, int], str]) -> Callable[..., Any]:
    """A product of two arrays that is an einsum; of their numbers of axes."""

    def apply_rule(lane: Lane, apply: Any, x: Any, y: Any) -> Any:
        if np.ndim(x) == 0 or np.ndim(y) == 0:
            return lane.full(x * y)
        return lane.full(contraction.einsum(subscripts(np.ndim(x), np.ndim(y)), x, y))

    return apply_rule


def _dot(m: int, n: int) -> str:
    x, y = _LETTERS[: m - 1] + "z", _LETTERS[m : m + n]
    y = y[:-2] + "z" + y[-1] if n > 1 else "z"
    return f"{x},{y}->{(x + y).replace('z', '')}"


RULES["dot"] = _by_einsum(_dot)
RULES["inner"] = _by_einsum(lambda m, n: f"{(x := _LETTERS[: m - 1])}z,{(y := _LETTERS[m : m + n - 1])}z->{x}{y}")
RULES["vecdot"] = lambda lane, apply, x, y: lane.full(red.sum(np.conj(x) * y, -1))
RULES["vdot"] = lambda lane, apply, x, y: lane.full(red.sum(np.conj(x).reshape(-1) * y.reshape(-1)))
RULES["outer"] = lambda lane, apply, x, y: lane.full(x.reshape((-1, 1)) * y.reshape((1, -1)))
RULES["matvec"] = lambda lane, apply, x, y: lane.full(np.matmul(x, y[..., None])[..., 0])
RULES["vecmat"] = lambda lane, apply, x, y: lane.full(np.matmul(np.conj(x)[..., None, :], y)[..., 0, :])
RULES["cross"] = lambda lane, apply, x, y: apply(*lane.aligned((x, y)))


@rule("kron")
def _kron(lane: Lane, apply: Any, x: Any, y: Any) -> Any:
    ndim = max(np.ndim(x), np.ndim(y))
    a, b = padded(lane.full(x), ndim), padded(lane.full(y), ndim)
    n = a.shape[0]
    sizes = list(zip(a.shape[1:], b.shape[1:], strict=True))
    left = shape.reshape(a, (n, *[k for p, _ in sizes for k in (p, 1)]))
    right = shape.reshape(b, (n, *[k for _, q in sizes for k in (1, q)]))
    return shape.reshape(left * right, (n, *[p * q for p, q in sizes]))


@rule("tensordot")
def _tensordot(lane: Lane, apply: Any, x: Any, y: Any, axes: Any) -> Any:
    m, n = np.ndim(x), np.ndim(y)
    left: list[Any]
    right: list[Any]
    if isinstance(axes, (int, np.integer)):
        left, right = list(range(m - int(axes), m)), list(range(int(axes)))
    else:
        left, right = [[a] if isinstance(a, (int, np.integer)) else list(a) for a in axes]
    names_x, names_y = list(_LETTERS[:m]), list(_LETTERS[m : m + n])
    for a, b in zip(left, right, strict=True):
        names_y[b] = names_x[a]
    summed = {names_x[a] for a in left}
    out = [c for c in names_x + names_y if c not in summed]
    return lane.full(contraction.einsum(f"{''.join(names_x)},{''.join(names_y)}->{''.join(out)}", x, y))
