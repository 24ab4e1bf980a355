"""Arithmetic, powers, transcendental functions: what the catalogue says of them."""

from __future__ import annotations

import numpy as np

from tinytensor.catalogue.entry import (
    ABOVE_1,
    ANY,
    EACH,
    NONZERO,
    PAIRS,
    POSITIVE,
    UNIT,
    Domain,
    Entry,
    case,
    entry,
)
from tinytensor.catalogue.pieces import DIVISORS, FRACTIONS
from tinytensor.catalogue.pieces import ENTRIES as PIECES

__all__ = ["ENTRIES"]

ABOVE_MINUS_1 = Domain("x > −1", lambda shape, k: POSITIVE.draw(shape, k) - 0.9)
FAR = Domain("any, far out too", lambda shape, k: 4 * ANY.draw(shape, k))
_STEP = "0 at the jumps, too"

ENTRIES: list[Entry] = [
    # -- arithmetic
    entry(
        "np.add",
        case(lambda m, x, y: m.add(x, y), *PAIRS, torch=lambda T, x, y: x + y),
        case(lambda m, x, y: x + y, ((2, 1), (3,)), torch=lambda T, x, y: x + y),
        case(lambda m, x: 1.5 + x, ((3,),), torch=lambda T, x: 1.5 + x),
        scalar=True,
    ),
    entry(
        "np.subtract",
        case(lambda m, x, y: m.subtract(x, y), *PAIRS, torch=lambda T, x, y: x - y),
        case(lambda m, x, y: x - y, ((2, 1), (3,)), torch=lambda T, x, y: x - y),
        case(lambda m, x: 1.5 - x, ((3,),), torch=lambda T, x: 1.5 - x),
        scalar=True,
    ),
    entry(
        "np.multiply",
        case(lambda m, x, y: m.multiply(x, y), *PAIRS, torch=lambda T, x, y: x * y),
        case(lambda m, x, y: x * y, ((2, 1), (3,)), torch=lambda T, x, y: x * y),
        case(lambda m, x: x * x, ((3,),), torch=lambda T, x: x * x),
        scalar=True,
    ),
    entry(
        "np.divide",
        case(lambda m, x, y: m.divide(x, y), *PAIRS, torch=lambda T, x, y: x / y),
        case(lambda m, x, y: x / y, ((2, 1), (3,)), torch=lambda T, x, y: x / y),
        case(lambda m, x: 2 / x, ((3,),), torch=lambda T, x: 2 / x),
        domain=NONZERO,
        also=("np.true_divide",),
        kinks="0 / 0 in a derivative: 0 if the branch was not taken",
        scalar=True,
    ),
    entry("np.negative", torch="neg", scalar=True),
    entry("np.positive", torch="positive", scalar=True),
    entry("np.reciprocal", domain=NONZERO, kinks="infinite at 0", torch="reciprocal", scalar=True),
    entry("np.square", torch="square", scalar=True),
    entry("np.sqrt", domain=POSITIVE, kinks="infinite at 0", torch="sqrt", scalar=True),
    entry("np.cbrt", domain=NONZERO, kinks="infinite at 0", scalar=True),
    entry(
        "np.power",
        case(lambda m, x, y: m.power(x, y), *PAIRS, domain=(POSITIVE, ANY), torch=lambda T, x, y: T.pow(x, y)),
        case(lambda m, x, y: x**y, ((2, 1), (3,)), domain=(POSITIVE, ANY), torch=lambda T, x, y: x**y),
        case(lambda m, x: m.power(x, -2.0), ((3,),), domain=NONZERO, torch=lambda T, x: T.pow(x, -2.0)),
        case(lambda m, x: m.power(x, 3), *EACH, torch=lambda T, x: x**3),
        case(
            lambda m, x: m.power(x, np.array([0.0, 1.0, 3.0])),
            ((3,),),
            scalar=False,
            torch=lambda T, x: x ** T.tensor([0.0, 1.0, 3.0], dtype=x.dtype),
        ),
        case(lambda m, x: x**2, ((3,),), torch=lambda T, x: x**2),
        case(lambda m, x: x**1, ((3,),), torch=lambda T, x: x**1),
        case(lambda m, x: x**0, ((3,),), torch=lambda T, x: x**0),
        case(lambda m, x: x**-1, ((3,),), domain=NONZERO, torch=lambda T, x: x**-1),
        case(lambda m, x: x**0.5, ((3,),), domain=POSITIVE, torch=lambda T, x: x**0.5),
        case(lambda m, x: x**2.5, ((3,),), domain=POSITIVE, torch=lambda T, x: x**2.5),
        case(lambda m, x: 3**x, ((2, 3),), torch=lambda T, x: 3**x),
        also=("np.pow",),
        kinks="0ʸ: 0 with respect to y ≥ 0; (−1)ʸ: NaN with respect to y",
        scalar=True,
    ),
    entry(
        "np.float_power",
        case(
            lambda m, x, y: m.float_power(x, y),
            *PAIRS,
            domain=(POSITIVE, ANY),
            torch=lambda T, x, y: T.float_power(x, y),
        ),
        case(lambda m, x: m.float_power(x, 3), ((3,),), torch=lambda T, x: T.float_power(x, 3)),
        kinks="as np.power",
    ),
    entry(
        "np.remainder",
        case(
            lambda m, x, y: m.remainder(x, y),
            *PAIRS,
            domain=(FRACTIONS, DIVISORS),
            torch=lambda T, x, y: T.remainder(x, y),
        ),
        case(
            lambda m, x, y: x % y,
            ((2, 1), (3,)),
            domain=(FRACTIONS, DIVISORS),
            scalar=True,
            torch=lambda T, x, y: x % y,
        ),
        case(lambda m, x: x % 0.73, ((3,),), domain=FRACTIONS, scalar=True, torch=lambda T, x: x % 0.73),
        case(lambda m, x: -7.1 % x, ((3,),), domain=DIVISORS, scalar=True),
        also=("np.mod",),
        domain=FRACTIONS,
        kinks="∂/∂x = 1 at the jumps, too",
    ),
    entry(
        "np.fmod",
        case(lambda m, x, y: m.fmod(x, y), *PAIRS, domain=(FRACTIONS, DIVISORS), torch=lambda T, x, y: T.fmod(x, y)),
        domain=FRACTIONS,
        kinks="∂/∂x = 1 at the jumps, too",
    ),
    entry(
        "np.divmod",
        case(lambda m, x, y: m.divmod(x, y), *PAIRS, domain=(FRACTIONS, DIVISORS)),
        case(lambda m, x: divmod(x, 0.73), ((3,),)),
        case(lambda m, x: divmod(3.9, x), ((3,),), domain=DIVISORS),
        domain=FRACTIONS,
        kinks="∂/∂x = 0 and 1 at the jumps, too",
    ),
    entry(
        "np.floor_divide",
        case(lambda m, x, y: m.floor_divide(x, y), *PAIRS, domain=(FRACTIONS, DIVISORS)),
        case(lambda m, x: x // 0.73, ((3,),), scalar=True),
        case(lambda m, x: 3.9 // x, ((3,),), domain=DIVISORS, scalar=True),
        domain=FRACTIONS,
        kinks=_STEP,
    ),
    entry("tt.mul0", shapes=PAIRS, domain=NONZERO, like=np.multiply, kinks="0 · ∞ = 0, if the 0 stands first"),
    entry("tt.div0", shapes=PAIRS, domain=NONZERO, like=np.divide, kinks="0 / 0 = 0"),
    entry(
        "np.astype",
        case(lambda m, x: m.astype(x, np.float64), *EACH, torch=lambda T, x: x.double()),
        case(lambda m, x: x.astype(np.float64), ((3,),)),
        kinks="to integers: an error, if x requires grad",
    ),
    # -- exponentials and logarithms
    entry("np.exp", torch="exp", scalar=True),
    entry("np.exp2", torch="exp2", scalar=True),
    entry("np.expm1", torch="expm1", scalar=True),
    entry("np.log", domain=POSITIVE, kinks="infinite at 0", torch="log", scalar=True),
    entry("np.log1p", domain=ABOVE_MINUS_1, kinks="infinite at −1", torch="log1p", scalar=True),
    entry("np.log2", domain=POSITIVE, kinks="infinite at 0", torch="log2", scalar=True),
    entry("np.log10", domain=POSITIVE, kinks="infinite at 0", torch="log10", scalar=True),
    entry("np.logaddexp", shapes=PAIRS, kinks="0 where both are −∞", torch="logaddexp"),
    entry("np.logaddexp2", shapes=PAIRS, kinks="0 where both are −∞", torch="logaddexp2"),
    # -- trigonometry
    entry("np.sin", torch="sin", scalar=True),
    entry("np.cos", torch="cos", scalar=True),
    entry("np.tan", domain=UNIT, torch="tan", kinks="infinite at π/2", scalar=True),
    entry("np.arcsin", domain=UNIT, also=("np.asin",), kinks="infinite at ±1", torch="arcsin", scalar=True),
    entry("np.arccos", domain=UNIT, also=("np.acos",), kinks="infinite at ±1", torch="arccos", scalar=True),
    entry("np.arctan", also=("np.atan",), torch="arctan", scalar=True),
    entry(
        "np.arctan2",
        shapes=PAIRS,
        domain=NONZERO,
        also=("np.atan2",),
        kinks="0 at the origin",
        torch="arctan2",
        scalar=True,
    ),
    entry("np.hypot", shapes=PAIRS, domain=NONZERO, kinks="0 at the origin", torch="hypot", scalar=True),
    entry("np.degrees", also=("np.rad2deg",), torch="rad2deg", scalar=True),
    entry("np.radians", also=("np.deg2rad",), torch="deg2rad", scalar=True),
    entry(
        "np.sinc",
        case(lambda m, x: m.sinc(x), *EACH, torch=lambda T, x: T.sinc(x)),
        case(lambda m, x: m.sinc(x), ((9,),), domain=FAR),
        kinks="0 at 0; its second derivative −π²/3",
    ),
    # -- hyperbolic functions
    entry("np.sinh", torch="sinh", scalar=True),
    entry("np.cosh", torch="cosh", scalar=True),
    entry("np.tanh", torch="tanh", scalar=True),
    entry("np.arcsinh", also=("np.asinh",), torch="arcsinh", scalar=True),
    entry("np.arccosh", domain=ABOVE_1, also=("np.acosh",), kinks="infinite at 1", torch="arccosh", scalar=True),
    entry("np.arctanh", domain=UNIT, also=("np.atanh",), kinks="infinite at ±1", torch="arctanh", scalar=True),
    # -- activations
    entry("tt.sigmoid", torch="sigmoid", like=lambda x: 1 / (1 + np.exp(-x)), exact=False, scalar=True),
    entry("tt.softplus", torch="nn.functional.softplus", like=lambda x: np.logaddexp(x, 0), exact=False, scalar=True),
    entry("tt.relu", torch="relu", like=lambda x: np.maximum(x, 0), kinks="0 at 0", scalar=True),
    entry(
        "tt.leaky_relu",
        case(lambda m, x: m.leaky_relu(x), *EACH, torch=lambda T, x: T.nn.functional.leaky_relu(x)),
        like=lambda x: np.where(x > 0, x, x * 0.01),
        kinks="the slope on the left at 0",
        scalar=True,
    ),
    *PIECES,
]
