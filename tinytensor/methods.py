"""The methods of ``Tensor`` that are functions with the tensor as first argument: one line each.

``sin = transcendental.sin`` in a class makes ``t.sin()`` the call ``tt.sin(t)`` itself: the same signature, docstring and
speed, and an editor finds its definition. So a method needs its line here, and a row in ``tests/test_methods.py``.

A name that NumPy knows means what it means there: ``t.repeat`` is :func:`numpy.repeat`, ``t.median`` the mean of the
middle two, ``t.norm`` :func:`numpy.linalg.norm`. A name that only PyTorch has means PyTorch's (``tinytensor.ops.pytorch``).
Methods with a signature of their own, and those that NumPy lets write in place (``sort``), are in :mod:`tinytensor.tensor`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinytensor.ops import complex as complexes
from tinytensor.ops import elementwise as el
from tinytensor.ops import indexing, joining, linalg, pieces, shape, transcendental
from tinytensor.ops import methods as ufuncs
from tinytensor.ops import reductions as red
from tinytensor.primitive import TensorBase

__all__ = ["Methods"]


class _Later:
    """Stands for a module until one of its functions is asked for: ``import tinytensor`` does not load it."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> _Unloaded:
        return _Unloaded(self._module, name)


def _later(module: str) -> Any:
    return _Later(module)


class _Unloaded:
    """A function of such a module as a method. The first look at it loads the module and takes its own place."""

    def __init__(self, module: str, function: str) -> None:
        self._module, self._function = module, function

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        from importlib import import_module

        function = getattr(import_module(self._module), self._function)
        setattr(self._owner, self._name, function)
        return function if instance is None else function.__get__(instance)


#: False. For type checkers and editors, which follow the imports below. (Of modules imported under ``TYPE_CHECKING`` mypy
#: learns the types after it has read this one, which is too late here.)
_NOW: bool = False

if _NOW:
    from tinytensor.ops import (
        decompositions,
        diagonals,
        gamma,
        incomplete,
        matrix_functions,
        missing,
        norms,
        placing,
        pytorch,
        selection,
        signals,
        solving,
        special,
        statistics,
    )
else:
    decompositions = _later("tinytensor.ops.decompositions")
    diagonals = _later("tinytensor.ops.diagonals")
    gamma = _later("tinytensor.ops.gamma")
    incomplete = _later("tinytensor.ops.incomplete")
    matrix_functions = _later("tinytensor.ops.matrix_functions")
    missing = _later("tinytensor.ops.missing")
    norms = _later("tinytensor.ops.norms")
    placing = _later("tinytensor.ops.placing")
    pytorch = _later("tinytensor.ops.pytorch")
    selection = _later("tinytensor.ops.selection")
    signals = _later("tinytensor.ops.signals")
    solving = _later("tinytensor.ops.solving")
    special = _later("tinytensor.ops.special")
    statistics = _later("tinytensor.ops.statistics")


def _on_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function without derivative (a test, a comparison) as a method."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    name = function.__name__
    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    method.__doc__ = f"Computed on the values, no gradient: see :func:`numpy.{name}`."
    return method


class Methods(TensorBase):
    """What a tensor can do that a function does too."""

    __slots__ = ()

    # ------------------------------------------------------------------------------------------------- elementwise

    add = el.add
    sub = subtract = el.subtract
    mul = multiply = el.multiply
    div = divide = true_divide = el.divide
    floor_divide = el.floor_divide
    remainder = el.remainder
    fmod = el.fmod
    float_power = el.float_power
    neg = negative = el.negative
    positive = el.positive
    reciprocal = el.reciprocal
    square = el.square
    sqrt = el.sqrt
    rsqrt = pytorch.rsqrt

    exp = transcendental.exp
    exp2 = transcendental.exp2
    expm1 = transcendental.expm1
    log = transcendental.log
    log1p = transcendental.log1p
    log2 = transcendental.log2
    log10 = transcendental.log10
    logaddexp = transcendental.logaddexp
    logaddexp2 = transcendental.logaddexp2
    sin = transcendental.sin
    cos = transcendental.cos
    tan = transcendental.tan
    asin = arcsin = transcendental.arcsin
    acos = arccos = transcendental.arccos
    atan = arctan = transcendental.arctan
    atan2 = arctan2 = transcendental.arctan2
    sinh = transcendental.sinh
    cosh = transcendental.cosh
    tanh = transcendental.tanh
    asinh = arcsinh = transcendental.arcsinh
    acosh = arccosh = transcendental.arccosh
    atanh = arctanh = transcendental.arctanh
    hypot = transcendental.hypot
    sinc = transcendental.sinc
    sigmoid = transcendental.sigmoid
    deg2rad = transcendental.radians
    rad2deg = transcendental.degrees

    abs = absolute = pieces.abs
    sign = pieces.sign
    relu = pieces.relu
    copysign = pieces.copysign
    heaviside = pieces.heaviside
    maximum = pieces.maximum
    minimum = pieces.minimum
    fmax = pieces.fmax
    fmin = pieces.fmin
    clamp_min = pytorch.clamp_min
    clamp_max = pytorch.clamp_max
    lerp = pytorch.lerp
    floor = pieces.floor
    ceil = pieces.ceil
    trunc = pieces.trunc
    fix = pieces.fix
    round = pieces.round
    nan_to_num = pieces.nan_to_num
    ldexp = pieces.ldexp
    frexp = pieces.frexp
    nextafter = pieces.nextafter
    angle = complexes.angle

    # Of SciPy, if it is installed.
    erf = special.erf
    erfc = special.erfc
    erfinv = special.erfinv
    logit = special.logit
    xlogy = special.xlogy
    i0 = special.i0
    lgamma = gamma.gammaln
    digamma = gamma.psi
    mvlgamma = gamma.multigammaln
    igamma = incomplete.gammainc
    igammac = incomplete.gammaincc

    # -------------------------------------------------------------------------------------------------- reductions

    amax = red.max
    amin = red.min
    cumprod = red.cumprod
    nansum = missing.nansum
    nanmean = missing.nanmean
    median = statistics.median
    nanmedian = statistics.nanmedian
    quantile = statistics.quantile
    nanquantile = statistics.nanquantile
    cov = statistics.cov
    corrcoef = statistics.corrcoef
    count_nonzero = statistics.count_nonzero
    histogram = statistics.histogram
    bincount = ufuncs.bincount
    diff = signals.diff

    # ------------------------------------------------------------------------------------------------------- shape

    swapaxes = swapdims = shape.swapaxes
    moveaxis = movedim = shape.moveaxis
    broadcast_to = shape.broadcast_to
    roll = shape.roll
    fliplr = shape.fliplr
    flipud = shape.flipud
    rot90 = shape.rot90
    t = pytorch.t
    adjoint = pytorch.adjoint
    contiguous = pytorch.contiguous
    view = pytorch.view
    view_as = reshape_as = pytorch.reshape_as
    unflatten = pytorch.unflatten
    expand = pytorch.expand
    expand_as = pytorch.expand_as
    unfold = pytorch.unfold

    repeat = repeat_interleave = joining.repeat
    tile = pytorch.tile
    tensor_split = joining.array_split
    hsplit = joining.hsplit
    vsplit = joining.vsplit
    dsplit = joining.dsplit
    chunk = pytorch.chunk
    unbind = joining.unstack

    diag = diagonals.diag
    diagflat = diagonals.diagflat
    diagonal = diagonals.diagonal
    tril = diagonals.tril
    triu = diagonals.triu

    # --------------------------------------------------------------------------------------- choosing and ordering

    take = indexing.take
    choose = indexing.choose
    put = placing.put
    where = pytorch.where
    select = pytorch.select
    narrow = pytorch.narrow
    gather = pytorch.gather
    take_along_dim = pytorch.take_along_dim
    scatter = pytorch.scatter
    scatter_add = pytorch.scatter_add
    index_select = pytorch.index_select
    index_add = pytorch.index_add
    index_copy = pytorch.index_copy
    index_fill = pytorch.index_fill
    masked_fill = pytorch.masked_fill
    masked_select = pytorch.masked_select

    argsort = selection.argsort
    argpartition = selection.argpartition
    argwhere = selection.argwhere
    nonzero = selection.nonzero
    searchsorted = selection.searchsorted
    unique = selection.unique

    # ---------------------------------------------------------------------------------------------------- products

    dot = linalg.dot
    matmul = mm = mv = bmm = linalg.matmul
    inner = linalg.inner
    outer = ger = linalg.outer
    vdot = linalg.vdot
    kron = linalg.kron
    cross = linalg.cross
    trace = norms.trace
    norm = norms.norm
    det = solving.det
    slogdet = solving.slogdet
    inverse = solving.inv
    pinverse = solving.pinv
    matrix_power = solving.matrix_power
    matrix_exp = matrix_functions.expm
    cholesky = decompositions.cholesky
    qr = decompositions.qr

    # --------------------------------------------------------------------------------- without derivative: on values

    isnan = _on_values(np.isnan)
    isinf = _on_values(np.isinf)
    isfinite = _on_values(np.isfinite)
    isposinf = _on_values(np.isposinf)
    isneginf = _on_values(np.isneginf)
    isreal = _on_values(np.isreal)
    signbit = _on_values(np.signbit)
    isclose = _on_values(np.isclose)
    allclose = _on_values(np.allclose)
    equal = _on_values(np.array_equal)
    eq = _on_values(np.equal)
    ne = not_equal = _on_values(np.not_equal)
    lt = less = _on_values(np.less)
    le = less_equal = _on_values(np.less_equal)
    gt = greater = _on_values(np.greater)
    ge = greater_equal = _on_values(np.greater_equal)
    logical_and = _on_values(np.logical_and)
    logical_or = _on_values(np.logical_or)
    logical_xor = _on_values(np.logical_xor)
    logical_not = _on_values(np.logical_not)
    bitwise_and = _on_values(np.bitwise_and)
    bitwise_or = _on_values(np.bitwise_or)
    bitwise_xor = _on_values(np.bitwise_xor)
    bitwise_not = _on_values(np.invert)
    gcd = _on_values(np.gcd)
    lcm = _on_values(np.lcm)
