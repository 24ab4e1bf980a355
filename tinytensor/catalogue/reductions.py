"""Reductions and scans: what the catalogue says of them."""

from __future__ import annotations

from tinytensor.catalogue.entry import Entry, case, entry

__all__ = ["ENTRIES"]

ENTRIES: list[Entry] = [
    entry(
        "np.sum",
        case(lambda m, x: m.sum(x), ((),), ((3,),), ((2, 3),), torch=lambda T, x: T.sum(x)),
        case(lambda m, x: m.sum(x, axis=-1, keepdims=True), ((2, 3),), torch=lambda T, x: T.sum(x, -1, keepdim=True)),
        case(lambda m, x: m.sum(x, axis=(0, 2)), ((2, 3, 2),), torch=lambda T, x: T.sum(x, (0, 2))),
        scalar=True,
    ),
]
