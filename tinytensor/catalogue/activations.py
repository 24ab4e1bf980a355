"""Trigonometric functions that NumPy lacks, and activations: what the catalogue says of them."""

from __future__ import annotations

import numpy as np

from tinytensor.catalogue.entry import ANY, EACH, NONZERO, PROBABILITY, Domain, Entry, case, entry

__all__ = ["ENTRIES"]

OUTSIDE = Domain("|x| > 1", lambda shape, k: np.sign(ANY.draw(shape, k)) * (1.1 + np.absolute(ANY.draw(shape, k))))
SMALL = Domain("x ≠ kπ/2", lambda shape, k: np.sign(NONZERO.draw(shape, k)) * PROBABILITY.draw(shape, k))

#: name: its values in NumPy, the same in PyTorch, domain, kinks
_TRIGONOMETRIC = {
    "cot": (lambda m, x: 1 / m.tan(x), SMALL, ""),
    "sec": (lambda m, x: 1 / m.cos(x), SMALL, ""),
    "csc": (lambda m, x: 1 / m.sin(x), SMALL, ""),
    "coth": (lambda m, x: 1 / m.tanh(x), NONZERO, ""),
    "sech": (lambda m, x: 1 / m.cosh(x), ANY, ""),
    "csch": (lambda m, x: 1 / m.sinh(x), NONZERO, ""),
    "arccot": (lambda m, x: m.arctan(1 / x), NONZERO, "π/2 at 0"),
    "arcsec": (lambda m, x: m.arccos(1 / x), OUTSIDE, ""),
    "arccsc": (lambda m, x: m.arcsin(1 / x), OUTSIDE, ""),
    "arccoth": (lambda m, x: m.arctanh(1 / x), OUTSIDE, ""),
    "arcsech": (lambda m, x: m.arccosh(1 / x), PROBABILITY, ""),
    "arccsch": (lambda m, x: m.arcsinh(1 / x), NONZERO, ""),
}  # fmt: skip

ENTRIES: list[Entry] = [
    *[
        entry(f"tt.{name}", torch=f, domain=domain, kinks=kinks, like=lambda x, f=f: f(np, x))
        for name, (f, domain, kinks) in _TRIGONOMETRIC.items()
    ],
    entry(
        "tt.elu",
        case(lambda m, x: m.elu(x), *EACH, torch=lambda T, x: T.nn.functional.elu(x)),
        case(lambda m, x: m.elu(x, 0.5), ((5,),), torch=lambda T, x: T.nn.functional.elu(x, 0.5)),
        kinks="α at 0",
    ),
    entry("tt.selu", torch="nn.functional.selu", kinks="the slope on the left at 0"),
    entry("tt.softsign", torch="nn.functional.softsign", like=lambda x: x / (1 + np.absolute(x))),
    entry(
        "tt.hardtanh",
        case(lambda m, x: m.hardtanh(x), *EACH, torch=lambda T, x: T.nn.functional.hardtanh(x)),
        case(
            lambda m, x: m.hardtanh(x, -0.5, max_val=0.7),
            ((5,),),
            torch=lambda T, x: T.nn.functional.hardtanh(x, -0.5, 0.7),
        ),
        domain=Domain("any", lambda shape, k: 1.1 * ANY.draw(shape, k)),
        kinks="0 at the bounds, as PyTorch",
    ),
    entry(
        "tt.glu",
        case(lambda m, x: m.glu(x), ((4,),), ((3, 2),), torch=lambda T, x: T.nn.functional.glu(x)),
        case(lambda m, x: m.glu(x, axis=0), ((4, 3),), torch=lambda T, x: T.nn.functional.glu(x, 0)),
        case(lambda m, x: m.glu(x, axis=-2), ((2, 4, 1),)),
    ),
]
