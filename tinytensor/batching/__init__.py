"""Batching: functions of one example, run on all examples at once."""

from tinytensor.batching.batch import Batched, Level
from tinytensor.batching.mapping import vmap

__all__ = ["Batched", "Level", "vmap"]
