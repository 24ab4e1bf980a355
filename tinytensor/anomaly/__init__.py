"""Anomaly mode: which line of the user's program made the first NaN or infinity, or overwrote what backward needs."""

from tinytensor.anomaly.mode import detect_anomaly, trace_lines
from tinytensor.anomaly.report import AnomalyError

__all__ = ["AnomalyError", "detect_anomaly", "trace_lines"]
