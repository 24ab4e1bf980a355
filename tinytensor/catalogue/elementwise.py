"""Elementwise functions: what the catalogue says of them."""

from __future__ import annotations

from tinytensor.catalogue.entry import ANY, NONZERO, PAIRS, POSITIVE, Entry, case, entry

__all__ = ["ENTRIES"]

ENTRIES: list[Entry] = [
    entry("np.sin", scalar=True, torch="sin"),
    entry("np.log", domain=POSITIVE, kinks="∞ at 0", scalar=True, torch="log"),
    entry("np.maximum", shapes=PAIRS, kinks="½ each at a tie", scalar=True, torch="maximum"),
    entry(
        "np.power",
        case(lambda m, x, y: m.power(x, y), *PAIRS, domain=(POSITIVE, ANY), torch=lambda T, x, y: T.pow(x, y)),
        case(lambda m, x: m.power(x, -2.0), ((3,),), domain=NONZERO, torch=lambda T, x: T.pow(x, -2.0)),
        kinks="0ʸ: 0 with respect to y ≥ 0",
        scalar=True,
    ),
]
