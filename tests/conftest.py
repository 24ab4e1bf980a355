"""Settings of all tests: hypothesis profiles, and figures without a screen.

HYPOTHESIS_PROFILE=thorough runs twenty times as many examples, new ones each time; the default profile always runs the
same ones, so that a pull request fails for what it changed.
"""

import os

from hypothesis import HealthCheck, settings

os.environ.setdefault("MPLBACKEND", "Agg")

settings.register_profile(
    "default", max_examples=100, deadline=None, derandomize=True, database=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # two busy cores, not a slow strategy
)  # fmt: skip
settings.register_profile(
    "thorough", max_examples=2000, deadline=None, print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
