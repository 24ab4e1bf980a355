"""ONNX: models as files that other programs run, written from the operations that a model meets."""

from tinytensor.onnx.export import export, to_model
from tinytensor.onnx.table import emitter

__all__ = ["emitter", "export", "to_model"]
