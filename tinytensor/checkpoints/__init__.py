"""Checkpoints: the whole state of a training in one safetensors file, written whole or not at all, and checked when read."""

from tinytensor.checkpoints.files import load, remove_leftovers, save
from tinytensor.checkpoints.generators import generator_state, restore_generator

__all__ = ["generator_state", "load", "remove_leftovers", "restore_generator", "save"]
