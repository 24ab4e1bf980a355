"""The command ``tinytensor``: ``main`` here needs nothing but Python; the rest of the package needs the ``app`` extra."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper

from tinytensor import __version__

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 (it failed), 2 (wrong options, or a file that cannot be written), 130 (Ctrl-C).

    >>> from tinytensor.cli import main
    >>> main(["train", "moon"])  # the sentence goes to stderr: unknown dataset 'moon': did you mean 'moons'?
    2
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:  # also without the extra
        print(f"tinytensor {__version__}")
        return 0
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal cannot show is no reason to stop
            stream.reconfigure(errors="replace")
    try:
        from tinytensor.cli.app import command
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "tinytensor":  # not an extra, but a bug
            raise
        print(
            f"tinytensor: the command line needs {error.name or error}, which is not installed: "
            "pip install 'tinytensor[app]'",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        return 130
    code = command().main(args=arguments, prog_name="tinytensor", standalone_mode=False)
    return int(code or 0)
