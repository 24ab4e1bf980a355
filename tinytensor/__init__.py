"""tinytensor: micrograd's ``Value`` grown to arrays. NumPy code in, gradients out.

>>> import numpy as np, tinytensor as tt
>>> x = tt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
>>> np.tanh(x).sum().backward()
>>> x.grad.round(4)
array([[0.42  , 0.0707],
       [0.0099, 0.0013]])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinytensor.creation import (
    Generator,
    arange,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    geomspace,
    linspace,
    logspace,
    manual_seed,
    ones,
    ones_like,
    rand,
    randn,
    rng,
    zeros,
    zeros_like,
)
from tinytensor.graph import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from tinytensor.ops.building import array, asarray
from tinytensor.ops.complex import angle, conj, imag, real, real_if_close
from tinytensor.ops.contraction import einsum, tensordot
from tinytensor.ops.elementwise import (
    add,
    astype,
    cbrt,
    div0,
    divide,
    divmod,
    float_power,
    floor_divide,
    fmod,
    mod,
    mul0,
    multiply,
    negative,
    positive,
    pow,
    power,
    reciprocal,
    remainder,
    sqrt,
    square,
    subtract,
    true_divide,
)
from tinytensor.ops.indexing import choose, compress, extract, getitem, scatter, setitem, take, take_along_axis
from tinytensor.ops.joining import (
    append,
    array_split,
    block,
    cat,
    column_stack,
    concatenate,
    dsplit,
    dstack,
    hsplit,
    hstack,
    meshgrid,
    repeat,
    split,
    stack,
    tile,
    unstack,
    vsplit,
    vstack,
)
from tinytensor.ops.linalg import cross, dot, inner, kron, linear, matmul, matvec, outer, vdot, vecdot, vecmat
from tinytensor.ops.methods import add_at, bincount
from tinytensor.ops.pieces import (
    abs,
    absolute,
    around,
    ceil,
    clip,
    copysign,
    fabs,
    fix,
    floor,
    fmax,
    fmin,
    frexp,
    heaviside,
    ldexp,
    leaky_relu,
    maximum,
    minimum,
    modf,
    nan_to_num,
    nextafter,
    piecewise,
    relu,
    rint,
    round,
    select,
    sign,
    spacing,
    trunc,
    where,
)
from tinytensor.ops.reductions import (
    cumprod,
    cumsum,
    cumulative_prod,
    cumulative_sum,
    log_softmax,
    logsumexp,
    max,
    mean,
    min,
    prod,
    softmax,
    std,
    sum,
    var,
)
from tinytensor.ops.shape import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_arrays,
    broadcast_to,
    copy,
    expand_dims,
    flip,
    fliplr,
    flipud,
    matrix_transpose,
    moveaxis,
    ravel,
    reshape,
    roll,
    rollaxis,
    rot90,
    squeeze,
    swapaxes,
    transpose,
)
from tinytensor.ops.transcendental import (
    acos,
    acosh,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    deg2rad,
    degrees,
    exp,
    exp2,
    expm1,
    hypot,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logaddexp2,
    rad2deg,
    radians,
    sigmoid,
    sin,
    sinc,
    sinh,
    softplus,
    tan,
    tanh,
)
from tinytensor.primitive import primitive
from tinytensor.scalar import Value
from tinytensor.tensor import Tensor, from_numpy, tensor
from tinytensor.transforms import elementwise_grad, grad, stop_gradient, value_and_grad, vjp

if TYPE_CHECKING:
    from numpy import (
        all,
        allclose,
        any,
        array_equal,
        array_equiv,
        diag_indices_from,
        equal,
        greater,
        greater_equal,
        histogram2d,
        histogramdd,
        isclose,
        iscomplex,
        iscomplexobj,
        isfinite,
        isin,
        isinf,
        isnan,
        isneginf,
        isposinf,
        isreal,
        isrealobj,
        less,
        less_equal,
        logical_and,
        logical_not,
        logical_or,
        logical_xor,
        ndim,
        not_equal,
        ravel_multi_index,
        result_type,
        shape,
        signbit,
        size,
        unique_all,
        unique_counts,
        unique_inverse,
        unique_values,
        unravel_index,
    )

    from tinytensor import (
        data,
        fft,
        integrate,
        io,
        linalg,
        nn,
        onnx,
        optim,
        plot,
        scalar,
        signal,
        sparse,
        special,
        stats,
        tables,
        testing,
    )
    from tinytensor.anomaly import AnomalyError, detect_anomaly, trace_lines
    from tinytensor.batching import vmap
    from tinytensor.catalogue.table import supported
    from tinytensor.compiler import compile
    from tinytensor.custom import custom_vjp
    from tinytensor.derivatives import hessian, jacfwd, jacobian, jacrev
    from tinytensor.explanation import explain
    from tinytensor.forward import hvp, jvp, linearize
    from tinytensor.nn.parameter import get_default_dtype, set_default_dtype
    from tinytensor.ops.activations import elu, glu, hardtanh, selu, softsign
    from tinytensor.ops.decompositions import eigh
    from tinytensor.ops.diagonals import (
        diag,
        diagflat,
        diagonal,
        make_diagonal,
        tril,
        tril_indices_from,
        triu,
        triu_indices_from,
    )
    from tinytensor.ops.missing import nancumprod, nancumsum, nanmax, nanmean, nanmin, nanprod, nanstd, nansum, nanvar
    from tinytensor.ops.names import amax, amin, concat, conjugate, permute_dims
    from tinytensor.ops.norms import trace
    from tinytensor.ops.padding import pad
    from tinytensor.ops.placing import copyto, fill_diagonal, place, put, put_along_axis, putmask
    from tinytensor.ops.polynomial import (
        poly,
        polyadd,
        polyder,
        polydiv,
        polyfit,
        polyint,
        polymul,
        polysub,
        polyval,
        roots,
        vander,
    )
    from tinytensor.ops.reciprocals import (
        arccot,
        arccoth,
        arccsc,
        arccsch,
        arcsec,
        arcsech,
        cot,
        coth,
        csc,
        csch,
        sec,
        sech,
    )
    from tinytensor.ops.selection import (
        argpartition,
        argsort,
        argwhere,
        delete,
        digitize,
        flatnonzero,
        insert,
        ix_,
        lexsort,
        nonzero,
        partition,
        resize,
        searchsorted,
        sliding_window_view,
        sort,
        trim_zeros,
        unique,
    )
    from tinytensor.ops.signals import convolve, correlate, diff, ediff1d, gradient, interp, trapezoid, unwrap
    from tinytensor.ops.special import i0
    from tinytensor.ops.statistics import (
        apply_along_axis,
        apply_over_axes,
        argmax,
        argmin,
        average,
        corrcoef,
        count_nonzero,
        cov,
        histogram,
        histogram_bin_edges,
        median,
        nanargmax,
        nanargmin,
        nanmedian,
        nanpercentile,
        nanquantile,
        percentile,
        ptp,
        quantile,
    )
    from tinytensor.plot import draw_dot
    from tinytensor.recompute import checkpoint
    from tinytensor.trainer import Trainer

__version__ = "0.1.0"

__all__ = [
    "AnomalyError", "Generator", "Tensor", "Trainer", "Value", "abs", "absolute", "acos", "acosh", "add", "add_at", "all",
    "allclose", "amax", "amin", "angle", "any", "append", "apply_along_axis", "apply_over_axes", "arange", "arccos",
    "arccosh", "arccot", "arccoth", "arccsc", "arccsch", "arcsec", "arcsech", "arcsin", "arcsinh", "arctan",
    "arctan2", "arctanh", "argmax", "argmin", "argpartition", "argsort", "argwhere", "around", "array",
    "array_equal", "array_equiv", "array_split", "asarray", "asin", "asinh", "astype", "atan", "atan2", "atanh",
    "atleast_1d", "atleast_2d", "atleast_3d", "average", "bincount", "block", "broadcast_arrays", "broadcast_to",
    "cat", "cbrt", "ceil", "checkpoint", "choose", "clip", "column_stack", "compile", "compress", "concat", "concatenate",
    "conj", "conjugate", "convolve", "copy", "copysign", "copyto", "corrcoef", "correlate", "cos", "cosh", "cot",
    "coth", "count_nonzero", "cov", "cross", "csc", "csch", "cumprod", "cumsum", "cumulative_prod",
    "cumulative_sum", "custom_vjp", "data", "deg2rad", "degrees", "delete", "detect_anomaly", "diag",
    "diag_indices_from", "diagflat", "diagonal", "diff", "digitize", "div0", "divide", "divmod", "dot", "draw_dot",
    "dsplit", "dstack", "ediff1d", "eigh", "einsum", "elementwise_grad", "elu", "empty", "empty_like",
    "enable_grad", "equal", "exp", "exp2", "expand_dims", "explain", "expm1", "extract", "eye", "fabs", "fft",
    "fill_diagonal", "fix", "flatnonzero", "flip", "fliplr", "flipud", "float_power", "floor", "floor_divide",
    "fmax", "fmin", "fmod", "frexp", "from_dlpack", "from_numpy", "full", "full_like", "geomspace", "get_default_dtype", "getitem",
    "glu", "grad", "gradient", "greater", "greater_equal", "hardtanh", "heaviside", "hessian", "histogram",
    "histogram2d", "histogram_bin_edges", "histogramdd", "hsplit", "hstack", "hvp", "hypot", "i0", "imag", "inner",
    "insert", "integrate", "interp", "io", "is_grad_enabled", "isclose", "iscomplex", "iscomplexobj", "isfinite",
    "isin", "isinf", "isnan", "isneginf", "isposinf", "isreal", "isrealobj", "ix_", "jacfwd", "jacobian", "jacrev",
    "jvp", "kron", "ldexp", "leaky_relu", "less", "less_equal", "lexsort", "linalg", "linear", "linearize",
    "linspace", "log", "log10", "log1p", "log2", "log_softmax", "logaddexp", "logaddexp2", "logical_and",
    "logical_not", "logical_or", "logical_xor", "logspace", "logsumexp", "make_diagonal", "manual_seed", "matmul",
    "matrix_transpose", "matvec", "max", "maximum", "mean", "median", "meshgrid", "min", "minimum", "mod", "modf",
    "moveaxis", "mul0", "multiply", "nan_to_num", "nanargmax", "nanargmin", "nancumprod", "nancumsum", "nanmax",
    "nanmean", "nanmedian", "nanmin", "nanpercentile", "nanprod", "nanquantile", "nanstd", "nansum", "nanvar",
    "ndim", "negative", "nextafter", "nn", "no_grad", "nonzero", "not_equal", "ones", "ones_like", "onnx", "optim", "outer",
    "pad", "partition", "percentile", "permute_dims", "piecewise", "place", "plot", "poly", "polyadd", "polyder",
    "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval", "positive", "pow", "power", "primitive",
    "prod", "ptp", "put", "put_along_axis", "putmask", "quantile", "rad2deg", "radians", "rand", "randn", "ravel",
    "ravel_multi_index", "real", "real_if_close", "reciprocal", "relu", "remainder", "repeat", "reshape", "resize",
    "result_type", "rint", "rng", "roll", "rollaxis", "roots", "rot90", "round", "scalar", "scatter",
    "searchsorted", "sec", "sech", "select", "selu", "set_default_dtype", "set_grad_enabled", "setitem", "shape",
    "sigmoid", "sign", "signal", "signbit", "sin", "sinc", "sinh", "size", "sliding_window_view", "softmax",
    "softplus", "softsign", "sort", "spacing", "sparse", "special", "split", "sqrt", "square", "squeeze", "stack",
    "stats", "std", "stop_gradient", "subtract", "sum", "supported", "swapaxes", "tables", "take", "take_along_axis", "tan",
    "tanh", "tensor", "tensordot", "testing", "tile", "trace", "trace_lines", "transpose", "trapezoid", "tril",
    "tril_indices_from", "trim_zeros", "triu", "triu_indices_from", "true_divide", "trunc", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "unravel_index", "unstack", "unwrap", "value_and_grad",
    "vander", "var", "vdot", "vecdot", "vecmat", "vjp", "vmap", "vsplit", "vstack", "where", "zeros", "zeros_like",
]  # fmt: skip

#: Subpackages, and names that live in them, loaded when they are first used: ``import tinytensor`` stays light.
_LAZY = {
    "Trainer": "tinytensor.trainer", "checkpoints": "tinytensor.checkpoints", "tables": "tinytensor.tables", "trainer": "tinytensor.trainer",
    "data": "tinytensor.data", "io": "tinytensor.io", "nn": "tinytensor.nn", "onnx": "tinytensor.onnx", "optim": "tinytensor.optim", "plot":
    "tinytensor.plot", "testing": "tinytensor.testing", "draw_dot": "tinytensor.plot", "get_default_dtype":
    "tinytensor.nn.parameter", "set_default_dtype": "tinytensor.nn.parameter", "eigh":
    "tinytensor.ops.decompositions", "fft": "tinytensor.fft", "polyadd": "tinytensor.ops.polynomial", "polyder":
    "tinytensor.ops.polynomial", "polyint": "tinytensor.ops.polynomial", "polymul": "tinytensor.ops.polynomial",
    "polysub": "tinytensor.ops.polynomial", "polyval": "tinytensor.ops.polynomial", "vander":
    "tinytensor.ops.polynomial", "special": "tinytensor.special", "convolve": "tinytensor.ops.signals", "correlate":
    "tinytensor.ops.signals", "diff": "tinytensor.ops.signals", "ediff1d": "tinytensor.ops.signals", "gradient":
    "tinytensor.ops.signals", "interp": "tinytensor.ops.signals", "trapezoid": "tinytensor.ops.signals", "unwrap":
    "tinytensor.ops.signals", "nancumprod": "tinytensor.ops.missing", "nancumsum": "tinytensor.ops.missing",
    "nanmax": "tinytensor.ops.missing", "nanmean": "tinytensor.ops.missing", "nanmin": "tinytensor.ops.missing",
    "nanprod": "tinytensor.ops.missing", "nanstd": "tinytensor.ops.missing", "nansum": "tinytensor.ops.missing",
    "nanvar": "tinytensor.ops.missing", "apply_along_axis": "tinytensor.ops.statistics", "apply_over_axes":
    "tinytensor.ops.statistics", "argmax": "tinytensor.ops.statistics", "argmin": "tinytensor.ops.statistics",
    "average": "tinytensor.ops.statistics", "corrcoef": "tinytensor.ops.statistics", "count_nonzero":
    "tinytensor.ops.statistics", "cov": "tinytensor.ops.statistics", "histogram": "tinytensor.ops.statistics",
    "histogram_bin_edges": "tinytensor.ops.statistics", "median": "tinytensor.ops.statistics", "nanargmax":
    "tinytensor.ops.statistics", "nanargmin": "tinytensor.ops.statistics", "nanmedian": "tinytensor.ops.statistics",
    "nanpercentile": "tinytensor.ops.statistics", "nanquantile": "tinytensor.ops.statistics", "percentile":
    "tinytensor.ops.statistics", "ptp": "tinytensor.ops.statistics", "quantile": "tinytensor.ops.statistics",
    "linalg": "tinytensor.linalg", "trace": "tinytensor.ops.norms", "AnomalyError": "tinytensor.anomaly",
    "detect_anomaly": "tinytensor.anomaly", "trace_lines": "tinytensor.anomaly", "stats": "tinytensor.stats",
    "sparse": "tinytensor.sparse", "explain": "tinytensor.explanation", "i0": "tinytensor.ops.special", "pad":
    "tinytensor.ops.padding", "argpartition": "tinytensor.ops.selection", "argsort": "tinytensor.ops.selection",
    "argwhere": "tinytensor.ops.selection", "delete": "tinytensor.ops.selection", "digitize":
    "tinytensor.ops.selection", "flatnonzero": "tinytensor.ops.selection", "insert": "tinytensor.ops.selection",
    "ix_": "tinytensor.ops.selection", "lexsort": "tinytensor.ops.selection", "nonzero": "tinytensor.ops.selection",
    "partition": "tinytensor.ops.selection", "resize": "tinytensor.ops.selection", "searchsorted":
    "tinytensor.ops.selection", "sliding_window_view": "tinytensor.ops.selection", "sort":
    "tinytensor.ops.selection", "trim_zeros": "tinytensor.ops.selection", "unique": "tinytensor.ops.selection",
    "diag": "tinytensor.ops.diagonals", "diagflat": "tinytensor.ops.diagonals", "diagonal":
    "tinytensor.ops.diagonals", "make_diagonal": "tinytensor.ops.diagonals", "tril": "tinytensor.ops.diagonals",
    "tril_indices_from": "tinytensor.ops.diagonals", "triu": "tinytensor.ops.diagonals", "triu_indices_from":
    "tinytensor.ops.diagonals", "copyto": "tinytensor.ops.placing", "fill_diagonal": "tinytensor.ops.placing",
    "place": "tinytensor.ops.placing", "put": "tinytensor.ops.placing", "put_along_axis": "tinytensor.ops.placing",
    "putmask": "tinytensor.ops.placing", "jvp": "tinytensor.forward", "linearize": "tinytensor.forward", "hvp":
    "tinytensor.forward", "vmap": "tinytensor.batching", "compile": "tinytensor.compiler", "jacobian": "tinytensor.derivatives", "jacfwd":
    "tinytensor.derivatives", "jacrev": "tinytensor.derivatives", "hessian": "tinytensor.derivatives", "checkpoint":
    "tinytensor.recompute", "custom_vjp": "tinytensor.custom", "supported": "tinytensor.catalogue.table", "poly":
    "tinytensor.ops.polynomial", "polydiv": "tinytensor.ops.polynomial", "polyfit": "tinytensor.ops.polynomial",
    "roots": "tinytensor.ops.polynomial", "signal": "tinytensor.signal", "integrate": "tinytensor.integrate",
    "arccot": "tinytensor.ops.reciprocals", "arccoth": "tinytensor.ops.reciprocals", "arccsc":
    "tinytensor.ops.reciprocals", "arccsch": "tinytensor.ops.reciprocals", "arcsec": "tinytensor.ops.reciprocals",
    "arcsech": "tinytensor.ops.reciprocals", "cot": "tinytensor.ops.reciprocals", "coth":
    "tinytensor.ops.reciprocals", "csc": "tinytensor.ops.reciprocals", "csch": "tinytensor.ops.reciprocals", "sec":
    "tinytensor.ops.reciprocals", "sech": "tinytensor.ops.reciprocals", "elu": "tinytensor.ops.activations", "glu":
    "tinytensor.ops.activations", "hardtanh": "tinytensor.ops.activations", "selu": "tinytensor.ops.activations",
    "softsign": "tinytensor.ops.activations", "amax": "tinytensor.ops.names", "amin": "tinytensor.ops.names",
    "concat": "tinytensor.ops.names", "conjugate": "tinytensor.ops.names", "permute_dims": "tinytensor.ops.names",
    "all": "numpy", "allclose": "numpy", "any": "numpy", "array_equal": "numpy", "array_equiv": "numpy",
    "diag_indices_from": "numpy", "equal": "numpy", "greater": "numpy", "greater_equal": "numpy", "histogram2d":
    "numpy", "histogramdd": "numpy", "isclose": "numpy", "iscomplex": "numpy", "iscomplexobj": "numpy", "isfinite":
    "numpy", "isin": "numpy", "isinf": "numpy", "isnan": "numpy", "isneginf": "numpy", "isposinf": "numpy",
    "isreal": "numpy", "isrealobj": "numpy", "less": "numpy", "less_equal": "numpy", "logical_and": "numpy",
    "logical_not": "numpy", "logical_or": "numpy", "logical_xor": "numpy", "ndim": "numpy", "not_equal": "numpy",
    "ravel_multi_index": "numpy", "result_type": "numpy", "shape": "numpy", "signbit": "numpy", "size": "numpy",
    "unique_all": "numpy", "unique_counts": "numpy", "unique_inverse": "numpy", "unique_values": "numpy",
    "unravel_index": "numpy",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module 'tinytensor' has no attribute {name!r}")
    from importlib import import_module

    loaded = import_module(module)
    return loaded if module == f"tinytensor.{name}" else getattr(loaded, name)
