"""The group of commands, how their errors are spoken (one sentence each), and what is checked before any work."""

from __future__ import annotations

import importlib.util
import os
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tinytensor import __version__, data, io
from tinytensor.checkpoints.files import reason

__all__ = ["FailureError", "app", "check_files", "clean", "is_table", "say", "sizes", "spoken"]


class FailureError(Exception):
    """A sentence for the user, and the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@contextmanager
def spoken(*kinds: type[BaseException], code: int = 1) -> Iterator[None]:
    """Turn these errors, which are the user's to mend, into a sentence."""
    try:
        yield
    except kinds as error:
        raise FailureError(" ".join(_words(error).split()), code) from None


def _words(error: BaseException) -> str:
    """What an error says, without the number that the system gives it."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return error.strerror if error.filename is None else f"{error.filename!r}: {error.strerror.lower()}"


def say(message: str) -> None:
    """A sentence on standard error."""
    print(f"tinytensor: {clean(message)}", file=sys.stderr, flush=True)


def clean(text: str) -> str:
    r"""Text that may come from a file as it may be shown: nothing that moves the cursor or changes colours.

    >>> from tinytensor.cli.group import clean
    >>> clean("a\x1b[31m")
    'a�[31m'
    """
    return "".join(c if c.isprintable() else "�" for c in text)


def is_table(arguments: Sequence[str]) -> bool:
    """Whether ``train`` with these arguments is about a table, not about one of the toy datasets."""
    if any(a == "--target" or a.startswith("--target=") for a in arguments):
        return True
    if any(a in data.DATASETS for a in arguments):
        return False
    endings = (".csv", ".tsv", ".tab", ".txt", ".data", ".gz")
    files = [path for option, path in pairwise(arguments) if option == "--config"]
    files += [a.removeprefix("--config=") for a in arguments if a.startswith("--config=")]
    config = any(_names_table(path) for path in files)
    plain = [a for a in arguments if not a.startswith("-") and a not in files]
    return config or any(a.lower().endswith(endings) for a in plain) or (bool(plain) and os.path.isfile(plain[0]))


def _names_table(config: str) -> bool:
    """Whether a file of options is not about a toy dataset; what is wrong in it is said later."""
    try:
        return "dataset" not in tomllib.loads(Path(config).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return True


class _Commands(TyperGroup):
    """The group of commands, which says what is wrong in one line on stderr instead of a usage box."""

    def main(self, args: Any = None, prog_name: Any = None, *, standalone_mode: bool = True, **options: Any) -> Any:  # type: ignore[override]
        """Run a command; ``standalone_mode`` exits, else the exit code is returned."""
        try:
            code = super().main(args, prog_name, standalone_mode=False, **options) or 0
        except typer.Abort:
            code = 130
        except Exception as error:
            if not hasattr(error, "format_message"):  # what typer says about options
                raise
            say(" ".join(error.format_message().split()).rstrip(".") + "; see tinytensor --help")
            code = 2
        if standalone_mode:
            sys.exit(code)
        return code

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command by its name; ``train`` has two, one for the toys and one for tables, each with its own options."""
        name, command, rest = super().resolve_command(ctx, args)
        if name == "train" and is_table(rest):
            command = self.get_command(ctx, "train-table")
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was chosen; its failures become exit codes."""
        try:
            return super().invoke(ctx)
        except FailureError as failure:
            say(str(failure))
            raise typer.Exit(failure.code) from None
        except OSError as error:  # files have their own sentences
            say(f"standard output cannot be written: {reason(error)}")
            raise typer.Exit(1) from None
        except MemoryError:
            say("there is not enough memory for this; try fewer samples or smaller hidden layers")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            say("stopped by Ctrl-C; files are written at the end, and none is left half-written")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@app.callback(invoke_without_command=True)
def start(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)] = False,
) -> None:
    """[bold]tinytensor[/bold]: micrograd's Value grown to arrays. Trains small networks on the CPU."""
    if version:
        print(f"tinytensor {__version__}")
        raise typer.Exit()
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
        raise typer.Exit()


def sizes(text: str | None, option: str) -> tuple[int, ...] | None:
    """'16,16' as numbers; None stays None, 'none' is no layer at all."""
    if text is None:
        return None
    if text.strip().lower() in ("", "none"):
        return ()
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{option} must be whole numbers with commas between, such as 16,16; got {text!r}") from None


def check_files(plot: Path | None, save: Path | None, json_file: Path | None = None) -> None:
    """Before any work: can each file be written, and is the library there that writes it?"""
    for path, endings, library in (
        (plot, (".png", ".svg", ".pdf"), "matplotlib"),
        (save, (".safetensors",), "safetensors"),
        (json_file, (".json",), "json"),
    ):
        if path is not None:
            io.check_writable(path, *endings)
            if importlib.util.find_spec(library) is None:
                raise ImportError(f"writing {str(path)!r} needs {library}: pip install 'tinytensor[app]'")
