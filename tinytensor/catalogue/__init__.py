"""The catalogue: every function that tensors understand, with its domain, its kinks, and calls that are tested.

The tests run each call through NumPy's name and ours, against finite differences to second order, in forward mode,
against the scalar engine and PyTorch where they have it; ``tt.supported()`` and docs/functions.md are made from it.
"""

from __future__ import annotations

from tinytensor.catalogue import (
    activations,
    building,
    elementwise,
    fourier,
    indexing,
    linalg,
    products,
    reductions,
    shape,
    solvers,
    special,
    statistics,
)
from tinytensor.catalogue.entry import Case, Domain, Entry, case, entry

__all__ = ["FAMILIES", "Case", "Domain", "Entry", "case", "entry"]

#: Title of the family -> its entries.
FAMILIES: dict[str, list[Entry]] = {
    "Elementwise": elementwise.ENTRIES + activations.ENTRIES,
    "Reductions and scans": reductions.ENTRIES,
    "Statistics and signals": statistics.ENTRIES,
    "Polynomials, filters, differential equations": solvers.ENTRIES,
    "Arrays of values": building.ENTRIES,
    "Shape": shape.ENTRIES,
    "Indexing and selection": indexing.ENTRIES,
    "Products": products.ENTRIES,
    "Linear algebra": linalg.ENTRIES,
    "Fourier transforms and complex numbers": fourier.ENTRIES,
    "Special functions and distributions": special.ENTRIES,
    "Comparisons and other constants": building.CONSTANTS,
}
