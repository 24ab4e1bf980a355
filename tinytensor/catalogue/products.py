"""Products of vectors, matrices and higher arrays: what the catalogue says of them."""

from __future__ import annotations

from tinytensor.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: list[Entry] = []
