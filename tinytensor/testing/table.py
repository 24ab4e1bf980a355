"""The table of operations that random programs are made of: how each is written, what it takes, where it is smooth.

A row names its arguments; what stands behind a name draws it (see :mod:`tinytensor.testing.slots`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinytensor.testing.draft import Draft
from tinytensor.testing.slots import (
    ABOVE_ONE,
    DISTINCT,
    GENTLE,
    NONZERO,
    OFF_ZERO,
    POSITIVE,
    SMALL,
    UNIT,
    Row,
    a_list,
    along,
    an_axis,
    array,
    axis,
    axis_and,
    bound,
    constant,
    how_often,
    index,
    kth,
    like,
    mask,
    modulus,
    new_shape,
    number,
    of_shape,
    one_axes,
    one_of,
    partner,
    permutation,
    positions,
    row,
    sections,
    shifts,
    some_of,
    target,
    tiles,
    to_subtract,
    weights,
    wider_shape,
    widths,
    window,
    written,
)  # fmt: skip

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["TABLE", "Row"]


# ------------------------------------------------------------------------------------------------- products of matrices


def _matrix_right(d: Draft, got: dict[str, str]) -> Sequence[int]:
    shape = d.value(got["x"]).shape
    k, batch = shape[-1], shape[:-2]
    narrow = tuple([1 if d.chance(3) else n for n in batch])
    n = d.integer(1, 3)
    return d.pick([(k, n), (k,), (*narrow, k, n), (k, 0 if d.chance(8) else n)])


def _matrix_left(d: Draft, got: dict[str, str]) -> Sequence[int]:
    shape = d.value(got["x"]).shape
    k = shape[0] if len(shape) == 1 else shape[-2]
    m = d.integer(1, 3)
    return d.pick([(m, k), (k,), (*[1 for _ in shape[:-2]], m, k), (2, m, k) if len(shape) < 3 else (m, k)])


def _dot_right(d: Draft, got: dict[str, str]) -> Sequence[int]:
    shape = d.value(got["x"]).shape
    k = shape[-1] if shape else 2
    return d.pick([(k,), (k, 2), (2, k, 1), ()] if math.prod(shape) <= 12 else [(k,), (k, 2), ()])


def _contracted(d: Draft, got: dict[str, str]) -> Sequence[int]:
    """The shape that tensordot with the axes that were drawn asks for on the right."""
    shape = d.value(got["x"]).shape
    axes = eval(got["axes"])
    free = d.pick([(), (2,), (1, 2)])
    if isinstance(axes, int):
        return (*shape[len(shape) - axes :], *free)
    found = {b: shape[a] for a, b in zip(*axes, strict=True)}
    rest = iter((*free, 1, 1, 1, 1))
    size = max([*found, -1]) + 1
    return [found[k] if k in found else next(rest) for k in range(size)]


def _axes_pairs(d: Draft, got: dict[str, str]) -> str:
    n = d.value(got["x"]).ndim
    pairs = [([k], [j]) for k in range(n) for j in (0, 1)] + [([0, n - 1], [1, 0])] * (n > 1)
    return str(d.pick([*range(min(n, 2) + 1), *pairs]))


#: Sums of products: the operands' labels, and the result's.
EINSUMS = (
    "ij->ji", "ij->", "ij,jk->ik", "i,i->", "i,j->ij", "ij,j", "ij,ij->j", "bij,bjk->bik", "ijk->ki", "ij,kj,k->i",
    "ii->i", "ii", "i,i,i->i", "...i,i->...", "...ij->...ji", "ij->j", "iij->ij",
)  # fmt: skip


def einsum(d: Draft, got: dict[str, str]) -> str:
    """Subscripts, and an operand for each term."""
    text = d.pick(EINSUMS)
    sizes: dict[str, int] = {}
    operands = []
    for term in text.partition("->")[0].split(","):
        labels = term.replace("...", "")

        def fitting(v: Array, labels: str = labels, loose: bool = "..." in term) -> bool:
            if not v.size or (v.ndim < len(labels) if loose else v.ndim != len(labels)) or v.ndim > 3:
                return False
            known = dict(sizes)
            tail = v.shape[v.ndim - len(labels) :]
            return all(known.setdefault(c, n) == n for c, n in zip(labels, tail, strict=True))

        def made(labels: str = labels) -> tuple[int, ...]:
            fresh = {c: d.integer(1, 3) for c in labels}
            return tuple([sizes.get(c, fresh[c]) for c in labels])

        operand = d.variable(fitting, made)
        shape = d.values[operand].shape
        sizes.update(zip(labels, shape[len(shape) - len(labels) :], strict=True))
        operands.append(operand)
    return f'"{text}", {", ".join(operands)}'


def _other_length(d: Draft, got: dict[str, str]) -> tuple[int, ...]:
    """The shape of x, but for the axis k."""
    shape = list(d.value(got["x"]).shape)
    shape[int(got["k"])] = d.integer(0, 2)
    return tuple(shape)


def _same_last(d: Draft, got: dict[str, str]) -> tuple[int, ...]:
    """A shape with the last axis of x."""
    n = d.value(got["x"]).shape[-1]
    return d.pick([(n,), (2, n), (1, n)])


# ----------------------------------------------------------------------------------------------------------- the table

#: Every operation of the engine. A form that starts with ``np.`` is also written with ``tt.``, where tt has the name.
TABLE: tuple[Row, ...] = (
    # arithmetic
    row("add", "{x} + {y}", "np.add({x}, {y})", "{y} + {x}", x=array(), y=partner(), fresh=True),
    row("subtract", "{x} - {y}", "np.subtract({x}, {y})", "{y} - {x}", x=array(), y=partner(), fresh=True),
    row("multiply", "{x} * {y}", "np.multiply({x}, {y})", "{y} * {x}", x=array(), y=partner(), fresh=True),
    row("divide", "{x} / {y}", "np.divide({x}, {y})", x=array(), y=partner(NONZERO), fresh=True),
    row("power", "{x} ** {y}", "np.power({x}, {y})", x=array(POSITIVE), y=partner(SMALL), fresh=True),
    row("with a number", "{x} + {n}", "{n} - {x}", "{x} * {n}", "{n} * {x}", "{x} / {n}", "{x} - {n}", "{n} + {x}",
        x=array(), n=number, fresh=True),
    row("number / x", "{n} / {x}", x=array(NONZERO), n=number, fresh=True),
    row("x ** number", "{x} ** {n}", "np.power({x}, {n})", x=array(SMALL), n=one_of("2", "3", "1", "0", "2.0"), fresh=True),
    row("x ** fraction", "{x} ** {n}", x=array(POSITIVE), n=one_of("0.5", "-1", "-0.5", "1.7", "-2"), fresh=True),
    row("number ** x", "{n} ** {x}", x=array(SMALL), n=one_of("2", "0.5", "1.5"), fresh=True),
    row("with an ndarray", "{x} + {c}", "{c} * {x}", "{c} - {x}", "{x} * {c}", x=array(), c=constant(), fresh=True),
    row("with a list", "{x} + {c}", "{c} * {x}", x=array(ndim=1, filled=True), c=a_list(), fresh=True),
    row("negative", "-{x}", "np.negative({x})", x=array(), fresh=True),
    row("positive", "+{x}", "np.positive({x})", x=array(), fresh=True),
    row("reciprocal", "np.reciprocal({x})", x=array(NONZERO), fresh=True),
    row("square", "np.square({x})", x=array(), fresh=True),
    # functions of one number
    row("exp", "np.exp({x})", x=array(SMALL), fresh=True),
    row("log", "np.log({x})", x=array(POSITIVE), fresh=True),
    row("sqrt", "np.sqrt({x})", x=array(POSITIVE), fresh=True),
    row("sin", "np.sin({x})", x=array(), fresh=True),
    row("cos", "np.cos({x})", x=array(), fresh=True),
    row("tanh", "np.tanh({x})", x=array(), fresh=True),
    row("sigmoid", "tt.sigmoid({x})", x=array(), fresh=True),
    row("softplus", "tt.softplus({x})", x=array(), fresh=True),
    row("relu", "tt.relu({x})", x=array(OFF_ZERO), fresh=True),
    row("leaky_relu", "tt.leaky_relu({x})", "tt.leaky_relu({x}, 0.2)", x=array(OFF_ZERO), fresh=True),
    row("abs", "abs({x})", "np.abs({x})", x=array(OFF_ZERO), fresh=True),
    row("sign", "np.sign({x}) * {x}", x=array(OFF_ZERO), fresh=True),
    row("exp2", "np.exp2({x})", x=array(SMALL), fresh=True),
    row("expm1", "np.expm1({x})", x=array(SMALL), fresh=True),
    row("log1p", "np.log1p({x})", x=array(POSITIVE), fresh=True),
    row("log2", "np.log2({x})", "np.log10({x})", x=array(POSITIVE), fresh=True),
    row("cbrt", "np.cbrt({x})", x=array(NONZERO), fresh=True),
    row("tan", "np.tan({x})", x=array(GENTLE), fresh=True),
    row("sinh", "np.sinh({x})", "np.cosh({x})", x=array(SMALL), fresh=True),
    row("arcsin", "np.arcsin({x})", "np.arccos({x})", "np.arctanh({x})", x=array(UNIT), fresh=True),
    row("arctan", "np.arctan({x})", "np.arcsinh({x})", x=array(), fresh=True),
    row("arccosh", "np.arccosh({x})", x=array(ABOVE_ONE), fresh=True),
    row("angles", "np.degrees({x})", "np.radians({x})", "np.deg2rad({x})", x=array(), fresh=True),
    row("arctan2", "np.arctan2({x}, {y})", x=array(NONZERO), y=partner(), fresh=True),
    row("hypot", "np.hypot({x}, {y})", "np.hypot({y}, {x})", x=array(NONZERO), y=partner(), fresh=True),
    row("fabs", "np.fabs({x})", x=array(OFF_ZERO), fresh=True),
    row("remainder", "{x} % {c}", "np.remainder({x}, {c})", "np.mod({x}, {c})", x=array(OFF_ZERO), c=modulus, fresh=True),
    row("floor_divide", "{x} // {c} * {x}", "np.floor_divide({x}, {c}) + {x}", x=array(OFF_ZERO), c=modulus, fresh=True),
    row("fmax", "np.fmax({x}, {y})", "np.fmin({y}, {x})", x=array(), y=partner(apart_from="x"), fresh=True),
    # choices
    row("maximum", "np.maximum({x}, {y})", x=array(), y=partner(apart_from="x"), fresh=True),
    row("minimum", "np.minimum({x}, {y})", x=array(), y=partner(apart_from="x"), fresh=True),
    row("clip", "np.clip({x}, {lo}, {hi})", x=array(), lo=bound(-1), hi=bound(1), fresh=True),
    row("clip, one bound", "np.clip({x}, {lo}, None)", "np.clip({x}, None, {lo})", x=array(), lo=bound(1), fresh=True),
    row("clip to arrays", "np.clip({x}, {y}, 100.0)", "np.clip({x}, -100.0, {y})", x=array(), y=partner(apart_from="x"),
        fresh=True),
    row("where", "np.where({c}, {x}, {y})", "np.where({c}, {y}, {x})", x=array(), y=partner(), c=mask, fresh=True),
    row("where, number", "np.where({c}, {x}, {n})", "np.where({c}, {n}, {x})", x=array(), c=mask, n=number, fresh=True),
    row("select", "np.select([{c}, {x} > 100], [{x}, {y}], 0.5)", x=array(), y=like("x"), c=mask),
    row("choose", "np.choose(np.array({c}).astype(int), [{x}, {y}])", x=array(most=3), y=partner(), c=mask),
    # reductions
    row("sum", "np.sum({x}, {axis})", "{x}.sum({axis})", x=array(), axis=axis()),
    row("mean", "np.mean({x}, {axis})", "{x}.mean({axis})", x=array(filled=True), axis=axis()),
    row("prod", "np.prod({x}, {axis})", "{x}.prod({axis})", x=array(), axis=axis()),
    row("max", "np.max({x}, {axis})", "{x}.max({axis})", x=array(DISTINCT, filled=True), axis=axis()),
    row("min", "np.min({x}, {axis})", "{x}.min({axis})", x=array(DISTINCT, filled=True), axis=axis()),
    row("var", "np.var({x}, {axis}, ddof={k})", "{x}.var({axis}, ddof={k})", x=array(size=2), axis=axis(2), k=one_of("0", "1")),
    row("std", "np.std({x}, {axis}, ddof={k})", "{x}.std({axis}, ddof={k})", x=array(DISTINCT, size=2), axis=axis(2),
        k=one_of("0", "1")),
    row("logsumexp", "tt.logsumexp({x}, {axis})", x=array(filled=True), axis=axis()),
    row("softmax", "tt.softmax({x}, {axis})", x=array(filled=True), axis=axis(keepdims=False)),
    row("log_softmax", "tt.log_softmax({x}, {axis})", x=array(filled=True), axis=axis(keepdims=False)),
    row("cumsum", "np.cumsum({x}, {axis})", "{x}.cumsum({axis})", x=array(), axis=axis(single=True, keepdims=False)),
    row("cumprod", "np.cumprod({x}, {axis})", x=array(), axis=axis(single=True, keepdims=False)),
    row("ptp", "np.ptp({x}, {axis})", x=array(DISTINCT, filled=True), axis=axis(1)),
    row("median", "np.median({x}, axis={k})", "np.median({x})", x=array(DISTINCT, ndim=2, filled=True), k=an_axis()),
    row("average", "np.average({x}, {axis})", x=array(filled=True), axis=axis(1)),
    row("average, weighted", "np.average({x}, {w})", x=array(ndim=1, filled=True), w=axis_and(weights)),
    row("diff", "np.diff({x}, {n})", x=array(ndim=1, filled=True), n=axis_and(to_subtract)),
    row("diff, extended", "np.diff({x}, prepend={n})", "np.diff({x}, append={n})", x=array(ndim=1), n=number),
    row("trapezoid", "np.trapezoid({x}, axis={k})", "np.trapezoid({x}, dx=0.5, axis={k})", x=array(ndim=1), k=an_axis()),
    row("trace", "np.trace({x})", "np.trace({x}, 1)", x=array(ndim=2, most=2)),
    row("norm", "np.linalg.norm({x})", "np.linalg.norm({x}, axis={k})", "np.linalg.vector_norm({x}, axis={k})",
        x=array(NONZERO, ndim=1, filled=True), k=an_axis()),
    row("ufunc.reduce", "np.add.reduce({x}, {axis})", "np.multiply.reduce({x}, {axis})",
        x=array(ndim=1, filled=True), axis=axis(single=True, flat=False)),
    row("ufunc.accumulate", "np.add.accumulate({x}, {axis})", "np.multiply.accumulate({x}, {axis})",
        x=array(ndim=1, filled=True), axis=axis(single=True, flat=False, keepdims=False)),
    # shape
    row("reshape", "np.reshape({x}, {s})", "{x}.reshape({s})", x=array(), s=new_shape),
    row("ravel", "{x}.ravel()", "{x}.flatten()", x=array()),
    row("transpose", "np.transpose({x}, {p})", "{x}.transpose({p})", x=array(), p=permutation),
    row("T", "{x}.T", "np.transpose({x})", x=array()),
    row("mT", "{x}.mT", x=array(ndim=2)),
    row("swapaxes", "np.swapaxes({x}, {i}, {j})", "{x}.swapaxes({i}, {j})", x=array(ndim=1), i=an_axis(), j=an_axis()),
    row("squeeze", "np.squeeze({x}, {k})", "{x}.squeeze({k})", x=array(), k=one_axes),
    row("expand_dims", "np.expand_dims({x}, {k})", x=array(most=3), k=an_axis(1)),
    row("broadcast_to", "np.broadcast_to({x}, {s})", x=array(), s=wider_shape),
    row("flip", "np.flip({x})", "np.flip({x}, {k})", x=array(ndim=1), k=an_axis()),
    row("flips", "np.flipud({x})", "np.fliplr({x})", "np.rot90({x})", "np.rot90({x}, -1, (1, 0))", x=array(ndim=2)),
    row("roll", "np.roll({x}, {s})", x=array(ndim=1), s=shifts),
    row("moveaxis", "np.moveaxis({x}, {i}, {j})", "np.rollaxis({x}, {i})", x=array(ndim=1), i=an_axis(), j=an_axis()),
    row("atleast", "np.atleast_1d({x})", "np.atleast_2d({x})", "np.atleast_3d({x})", x=array()),
    row("tile", "np.tile({x}, {n})", x=array(most=3), n=tiles),
    row("repeat", "np.repeat({x}, {n})", x=array(ndim=1, most=3), n=axis_and(how_often)),
    row("repeat flat", "np.repeat({x}, 2)", x=array(most=3)),
    row("resize", "np.resize({x}, {s})", x=array(filled=True), s=one_of("5", "(2, 3)", "(3, 1, 2)", "()")),
    row("triangle", "np.tril({x})", "np.triu({x}, 1)", "np.tril({x}, -1)", x=array(ndim=2, most=3)),
    row("diag", "np.diag({x})", "np.diag({x}, 1)", "np.diag({x}, -1)", x=array(ndim=1, most=2)),
    row("diagonal", "np.diagonal({x})", "np.diagonal({x}, 1, -2, -1)", x=array(ndim=2)),
    row("diagflat", "np.diagflat({x})", "np.diagflat({x}, -1)", x=of_shape(lambda d, got: d.pick([(2,), (1, 2), (3,), ()]))),
    row("copy", "np.copy({x})", "{x}.copy()", x=array(), fresh=True),
    # joining and splitting
    row("concatenate", "np.concatenate([{x}, {y}, {x}], {k})", x=array(ndim=1), k=an_axis(),
        y=of_shape(_other_length)),
    row("concatenate flat", "np.concatenate([{x}, {y}], axis=None)", x=array(), y=array()),
    row("stack", "np.stack([{x}, {y}], {k})", "np.stack([{y}, {x}, {y}], {k})", x=array(most=3), y=like("x"), k=an_axis(1)),
    row("stacks", "np.vstack([{x}, {y}])", "np.hstack([{x}, {y}])", "np.dstack([{y}, {x}])", "np.column_stack([{x}, {y}])",
        x=array(most=2), y=like("x")),
    row("append", "np.append({x}, {y}, axis={k})", x=array(ndim=1), k=an_axis(), y=of_shape(_other_length)),
    row("block", "np.block([[{x}, {y}], [{y}, {x}]])", "np.block([{x}, {y}])", x=array(most=2), y=like("x")),
    row("meshgrid", "np.meshgrid({x}, {y})[0]", "np.meshgrid({x}, {y}, indexing='ij')[1]", x=array(ndim=1, most=1),
        y=of_shape(lambda d, got: d.pick([(2,), (3,), (1,)]))),
    row("broadcast_arrays", "np.broadcast_arrays({x}, {y})[{i}]", x=array(), y=partner(), i=one_of("0", "1")),
    row("split", "np.split({x}, {cuts}", x=array(ndim=1), cuts=sections),
    row("array_split", "np.array_split({x}, 2, {k})[{i}]", x=array(ndim=1), k=an_axis(), i=one_of("0", "1")),
    row("unstack", "np.unstack({x})[{i}]", x=array(ndim=1, filled=True), i=one_of("0", "-1")),
    row("insert", "np.insert({x}, 0, {n}, axis={k})", x=array(ndim=1), k=an_axis(), n=number),
    row("delete", "np.delete({x}, {k})", x=array(ndim=1, filled=True), k=axis_and(kth)),
    row("pad", "np.pad({x}, {w}, constant_values={n})", "np.pad({x}, {w})", x=array(ndim=1), w=widths, n=number),
    row("pad, rearranging", "np.pad({x}, {w}, mode={m})", x=array(ndim=1, filled=True), w=widths,
        m=one_of("'edge'", "'reflect'", "'symmetric'", "'wrap'")),
    # indexing
    row("getitem", "{x}[{i}]", x=array(), i=index()),
    row("take", "np.take({x}, {i})", "{x}.take({i})", x=array(filled=True), i=positions),
    row("take_along_axis", "np.take_along_axis({x}, {i})", x=array(ndim=1, filled=True), i=along),
    row("compress", "np.compress(a={x}, condition={k})", x=array(ndim=1), k=axis_and(some_of)),
    row("extract", "np.extract({x} > 0, {x})", x=array(OFF_ZERO, ndim=1)),
    row("sort", "np.sort({x}, {axis})", x=array(DISTINCT), axis=axis(single=True, keepdims=False), fresh=True),
    row("partition", "np.partition({x}, {k})", x=array(DISTINCT, ndim=1, filled=True), k=axis_and(kth)),
    row("sorted along", "np.take_along_axis({x}, np.argsort({x}, axis=-1), axis=-1)", x=array(DISTINCT, ndim=1)),
    row("windows", "np.lib.stride_tricks.sliding_window_view({x}, {w})", x=array(ndim=1, most=2, filled=True), w=axis_and(window)),
    # products
    row("matmul", "{x} @ {y}", "np.matmul({x}, {y})", x=array(ndim=1, most=3), y=of_shape(_matrix_right)),
    row("matmul, left", "{y} @ {x}", x=array(ndim=1, most=3), y=of_shape(_matrix_left)),
    row("dot", "np.dot({x}, {y})", x=array(most=2), y=of_shape(_dot_right)),
    row("outer", "np.outer({x}, {y})", x=array(most=1), y=of_shape(lambda d, got: d.pick([(2,), (1, 2), ()]))),
    row("inner", "np.inner({x}, {y})", x=array(ndim=1, most=2), y=of_shape(_same_last)),
    row("vdot", "np.vdot({x}, {y})", "np.vecdot({x}, {y})", x=array(ndim=1, filled=True), y=like("x")),
    row("kron", "np.kron({x}, {y})", x=array(ndim=1, most=2), y=of_shape(lambda d, got: d.pick([(2,), (1, 2), ()]))),
    row("multi_dot", "np.linalg.multi_dot([{x}, {y}, {x}])", x=array(ndim=2, most=2, filled=True),
        y=of_shape(lambda d, got: d.value(got["x"]).shape[::-1])),
    row("matrix_power", "np.linalg.matrix_power({x}, {n})", x=of_shape(lambda d, got: (2, 2)), n=one_of("2", "3", "0")),
    row("cross", "np.cross({x}, {y})", x=of_shape(lambda d, got: d.pick([(3,), (2, 3), (1, 3)])), y=of_shape(lambda d, got: (3,))),
    row("convolve", "np.convolve({x}, {y})", "np.correlate({x}, {y}, mode='full')", "np.convolve({x}, {y}, 'same')",
        x=array(ndim=1, most=1, filled=True), y=of_shape(lambda d, got: d.pick([(2,), (3,), (1,)]))),
    row("ufunc.outer", "np.multiply.outer({x}, {y})", "np.subtract.outer({x}, {y})", x=array(most=2),
        y=of_shape(lambda d, got: d.pick([(2,), (1, 2), ()]))),
    row("polyval", "np.polyval({c}, {x})", x=array(SMALL, most=2), c=of_shape(lambda d, got: d.pick([(3,), (2,), (1,)]))),
    row("tensordot", "np.tensordot({x}, {y}, {axes})", x=array(most=3), axes=_axes_pairs, y=of_shape(_contracted)),
    row("einsum", "np.einsum({operands})", operands=einsum),
    row("linear", "tt.linear({x}, {w}, {b})", "tt.linear({x}, {w})", x=array(ndim=1, most=3),
        w=of_shape(lambda d, got: (2, d.value(got["x"]).shape[-1])), b=of_shape(lambda d, got: (2,))),
    # writing in place
    row("setitem", "{t}[{index}] = {y}", t=target, index=index("t"), y=written()),
    row("setitem, number", "{t}[{index}] = {n}", t=target, index=index("t"), n=number),
    row("in place", "{t} += {y}", "{t} -= {y}", "{t} *= {y}", t=target, y=written()),
    row("in place, divided", "{t} /= {y}", t=target, y=written(NONZERO)),
)  # fmt: skip
