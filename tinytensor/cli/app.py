"""All commands together: importing them registers them."""

from __future__ import annotations

from typing import Any

import typer.main

from tinytensor.cli.compare import compare_command
from tinytensor.cli.fuzz import fuzz_command
from tinytensor.cli.group import app
from tinytensor.cli.models import evaluate_command, inspect_command, predict_command
from tinytensor.cli.tables import train_table_command
from tinytensor.cli.train import train_command

__all__ = [
    "app", "command", "compare_command", "evaluate_command", "fuzz_command", "inspect_command", "predict_command",
    "train_command", "train_table_command",
]  # fmt: skip


def command() -> Any:
    """The group of commands as an object to run."""
    return typer.main.get_command(app)
