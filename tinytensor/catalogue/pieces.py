"""Functions in pieces, rounding, selections, methods of ufuncs: what the catalogue says of them."""

from __future__ import annotations

import numpy as np

from tinytensor.catalogue.entry import ANY, EACH, NONZERO, PAIRS, POSITIVE, UNIT, Domain, Entry, case, entry

__all__ = ["DIVISORS", "ENTRIES", "FRACTIONS"]

#: Numbers that are no whole or half number, nor near one, when doubled either: between the jumps of floor and rint.
FRACTIONS = Domain(
    "between whole numbers", lambda shape, k: np.floor(3 * ANY.draw(shape, k)) + 0.2 + 0.1 * POSITIVE.draw(shape, k) / 3
)
#: Divisors whose quotients with those numbers are no whole numbers either.
DIVISORS = Domain(
    "y ≠ 0", lambda shape, k: np.where(ANY.draw(shape, k) > 0, 0.7310, -0.7310) + 0.01 * UNIT.draw(shape, k)
)

_STEP = "0 at the jumps, too"
_MASK = np.array([[True, False, True], [False, False, True]])


ENTRIES: list[Entry] = [
    # -- size and sign
    entry(
        "np.absolute",
        case(lambda m, x: m.absolute(x), *EACH, torch=lambda T, x: T.abs(x)),
        case(lambda m, x: abs(x), ((3,),), torch=lambda T, x: abs(x)),
        also=("np.abs",),
        kinks="0 at 0",
        scalar=True,
    ),
    entry("np.fabs", kinks="0 at 0", torch="abs", scalar=True),
    entry("np.sign", kinks="0 everywhere", torch="sign"),
    entry("np.copysign", shapes=PAIRS, domain=NONZERO, kinks="0 at x = 0", torch="copysign"),
    entry("np.heaviside", shapes=PAIRS, domain=NONZERO, kinks="∂/∂x = 0 at 0, too"),
    # -- extremes and bounds
    entry(
        "np.maximum",
        case(lambda m, x, y: m.maximum(x, y), *PAIRS, torch=lambda T, x, y: T.maximum(x, y)),
        case(lambda m, x: m.maximum(x, 0.3), *EACH),
        kinks="½ each at a tie",
        scalar=True,
    ),
    entry(
        "np.minimum",
        case(lambda m, x, y: m.minimum(x, y), *PAIRS, torch=lambda T, x, y: T.minimum(x, y)),
        case(lambda m, x: m.minimum(0.3, x), *EACH),
        kinks="½ each at a tie",
        scalar=True,
    ),
    entry("np.fmax", shapes=PAIRS, kinks="½ each at a tie; 0 for a NaN", torch="fmax"),
    entry("np.fmin", shapes=PAIRS, kinks="½ each at a tie; 0 for a NaN", torch="fmin"),
    entry(
        "np.clip",
        case(lambda m, x: m.clip(x, -0.75, 0.95), *EACH, scalar=True, torch=lambda T, x: T.clamp(x, -0.75, 0.95)),
        case(lambda m, x: m.clip(x, None, 0.95), ((2, 3),), torch=lambda T, x: T.clamp(x, None, 0.95)),
        case(lambda m, x: m.clip(x, min=0.3), ((2, 3),), torch=lambda T, x: T.clamp(x, 0.3)),
        case(lambda m, x: m.clip(x, a_min=-0.3, a_max=None), ((2, 3),), torch=lambda T, x: T.clamp(x, -0.3)),
        case(lambda m, x: m.clip(x), ((2, 3),)),
        case(
            lambda m, x, lo, hi: m.clip(x, lo - 0.9, hi + 0.9),
            ((2, 3), (3,), (2, 1)),
            ((4,), (), ()),
            torch=lambda T, x, lo, hi: T.clamp(x, lo - 0.9, hi + 0.9),
        ),
        kinks="1 at the bounds",
    ),
    entry(
        "np.nan_to_num",
        case(lambda m, x: m.nan_to_num(x), *EACH, torch=lambda T, x: T.nan_to_num(x)),
        case(lambda m, x: m.nan_to_num(x, nan=1.0, posinf=2.0, neginf=-2.0), ((3,),)),
        kinks="0 where x is not finite",
    ),
    # -- selections
    entry(
        "np.where",
        case(lambda m, x, y: m.where(x > y, x * y, y), *PAIRS, torch=lambda T, x, y: T.where(x > y, x * y, y)),
        case(lambda m, x: m.where(x > 0, x, 0.5), *EACH, torch=lambda T, x: T.where(x > 0, x, 0.5)),
        case(
            lambda m, x, y: m.where(_MASK, x, y),
            ((2, 3), (2, 3)),
            ((2, 3), ()),
            ((3,), (2, 1)),
            torch=lambda T, x, y: T.where(T.tensor(_MASK), x, y),
        ),
        kinks="a branch not taken stays 0",
        scalar=True,
    ),
    entry(
        "np.select",
        case(lambda m, x, y: m.select([x < -0.5, x < 0.6], [x * y, y * y]), ((2, 3), (3,)), ((3,), (3,)), ((), ())),
        case(lambda m, x, y: m.select([_MASK, ~_MASK], [x, y], default=2.0), ((2, 3), (2, 1)), ((3,), ())),
        case(lambda m, x, y: m.select([x > 0], [1.5], default=y), ((2, 3), (3,)), ((), ())),
        kinks="the first true condition",
    ),
    entry(
        "np.piecewise",
        case(lambda m, x: m.piecewise(x, [x < 0, x > 0.6], [lambda v: v * v, lambda v: 1 / v]), *EACH),
        case(lambda m, x: m.piecewise(x, [x < 0], [lambda v: -v, lambda v: v**3]), *EACH),
        case(lambda m, x: m.piecewise(x, [x < 0, x > -1], [2.0, lambda v, a, b=1: a * v * b], 3.0, b=2), ((2, 3),)),
        case(lambda m, x: m.piecewise(x, x > 0, [np.sqrt, 0.0]), ((3,),)),
        kinks="the last true condition; a branch not taken is not computed",
    ),
    # -- rounding
    *[
        entry(f"np.{name}", domain=FRACTIONS, kinks=_STEP, torch=torch)
        for name, torch in [("floor", "floor"), ("ceil", "ceil"), ("trunc", "trunc"), ("rint", "round"), ("fix", "fix")]
    ],
    entry(
        "np.round",
        case(lambda m, x: m.round(x), *EACH, torch=lambda T, x: T.round(x)),
        case(lambda m, x: m.round(x, 1), ((3,),)),
        case(lambda m, x: m.round(x, decimals=-1), ((3,),)),
        domain=FRACTIONS,
        also=("np.around",),
        kinks=_STEP,
    ),
    # -- the parts of a number
    entry("np.modf", domain=FRACTIONS, kinks="∂/∂x = 1 and 0 at whole numbers, too"),
    entry("np.frexp", domain=FRACTIONS, kinks="one-sided at powers of 2"),
    entry(
        "np.ldexp",
        case(lambda m, x: m.ldexp(x, 3), *EACH, torch=lambda T, x: T.ldexp(x, T.tensor(3))),
        case(lambda m, x: m.ldexp(x, np.array([[1], [-2]])), ((2, 3),), ((3,),), ((2, 1),)),
    ),
    entry("np.nextafter", case(lambda m, x: m.nextafter(x, 9.0), *EACH), kinks="∂/∂x = 1, ∂/∂y = 0"),
    entry("np.spacing", domain=FRACTIONS, kinks="0 everywhere"),
    # -- methods of ufuncs
    entry(
        "np.add.outer",
        *[
            case(lambda m, x, y, f=f: f.outer(x, y), ((3,), (2,)), ((2, 1), (3,)), ((), (2,)), ((), ()))
            for f in (np.add, np.subtract, np.multiply, np.divide, np.maximum, np.hypot, np.arctan2, np.logaddexp)
        ],
        case(lambda m, x, y: np.power.outer(x, y), ((3,), (2,)), domain=(POSITIVE, ANY)),
        case(lambda m, x: np.add.outer([1.0, 2.0], x), ((3,),)),
        domain=NONZERO,
        also=("np.subtract.outer", "np.multiply.outer", "np.divide.outer", "np.power.outer", "np.maximum.outer"),
        kinks="as the function itself; all other ufuncs of two arguments, too",
    ),
    entry(
        "np.add.reduce",
        *[
            case(lambda m, x, f=f: f.reduce(x), ((3,),), ((2, 3),))
            for f in (np.add, np.multiply, np.maximum, np.minimum)
        ],
        *[
            case(lambda m, x, f=f: f.reduce(x, axis=(0, -1), keepdims=True), ((2, 3, 2),))
            for f in (np.add, np.multiply, np.maximum, np.minimum)
        ],
        case(lambda m, x: np.add.reduce(x, 1), ((2, 3),)),
        case(lambda m, x: np.add.reduce(x, axis=None, dtype=np.float64), ((2, 3),)),
        also=("np.multiply.reduce", "np.maximum.reduce", "np.minimum.reduce"),
        kinks="as np.sum, np.prod, np.max, np.min",
    ),
    entry(
        "np.logaddexp.reduce",
        case(lambda m, x: np.logaddexp.reduce(x), ((3,),), ((2, 3),), torch=lambda T, x: T.logsumexp(x, 0)),
        case(lambda m, x: np.logaddexp.reduce(x, axis=(-1, 0), keepdims=True), ((2, 3, 2),)),
        case(lambda m, x: np.logaddexp.reduce(x, axis=None), ((2, 3),), ((),)),
        kinks="0 where all are −∞",
    ),
    entry(
        "np.hypot.reduce",
        *[case(lambda m, x, f=f: f.reduce(x), ((3,),), ((2, 3),)) for f in (np.hypot, np.subtract, np.divide, np.fmax)],
        case(lambda m, x: np.divide.reduce(x, axis=1, keepdims=True), ((2, 3),)),
        case(lambda m, x: np.fmin.reduce(x, axis=(0, 2)), ((2, 3, 2),)),
        case(lambda m, x: np.logaddexp2.reduce(x, axis=None), ((3,),)),
        domain=NONZERO,
        also=("np.subtract.reduce", "np.divide.reduce", "np.fmax.reduce", "np.fmin.reduce", "np.logaddexp2.reduce"),
        kinks="as the function itself; all other ufuncs of two arguments, too",
        exact=False,
    ),
    entry(
        "np.maximum.accumulate",
        *[
            case(lambda m, x, f=f: f.accumulate(x), ((5,),), ((2, 3),))
            for f in (np.maximum, np.minimum, np.add, np.multiply, np.logaddexp, np.subtract)
        ],
        case(lambda m, x: np.maximum.accumulate(x, axis=-1), ((2, 5),), torch=lambda T, x: T.cummax(x, -1)[0]),
        case(lambda m, x: np.minimum.accumulate(x, axis=1), ((2, 5, 2),), torch=lambda T, x: T.cummin(x, 1)[0]),
        case(lambda m, x: np.logaddexp.accumulate(x, 1), ((2, 3),), torch=lambda T, x: T.logcumsumexp(x, 1)),
        case(lambda m, x: np.divide.accumulate(x, -1), ((2, 3),), domain=NONZERO),
        also=(
            "np.minimum.accumulate",
            "np.add.accumulate",
            "np.multiply.accumulate",
            "np.logaddexp.accumulate",
            "np.subtract.accumulate",
            "np.divide.accumulate",
        ),
        kinks="of equal extremes the last",
    ),
    entry(
        "np.add.reduceat",
        case(lambda m, x: np.add.reduceat(x, [0, 3, 1, 4, 4]), ((6,),), ((5, 2),)),
        *[
            case(lambda m, x, f=f: f.reduceat(x, [0, 2, 1], axis=-1), ((2, 4),))
            for f in (np.add, np.multiply, np.maximum, np.subtract, np.logaddexp)
        ],
        also=("np.multiply.reduceat", "np.maximum.reduceat"),
        kinks="as the reductions",
    ),
    entry(
        "tt.add_at",
        case(lambda m, x, y: m.add_at(x, np.array([0, 2, 0]), y), ((4,), (3,)), ((4, 2), (2,)), ((4,), ())),
        case(lambda m, x, y: m.add_at(x, slice(0, 2), y), ((4,), (2,))),
        case(lambda m, x, y: m.add_at(x, (np.array([1, 1]), np.array([0, 0])), y), ((2, 2), (2,)), ((2, 2), ())),
    ),
    entry(
        "np.bincount",
        case(lambda m, w: m.bincount(np.array([0, 2, 2]), weights=w), ((3,),)),
        case(lambda m, w: m.bincount(np.array([1, 1, 0]), w, minlength=5), ((3,),)),
    ),
]
