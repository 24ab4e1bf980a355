"""``--config file.toml``: options from a file, checked by name and type; what the command line says wins."""

from __future__ import annotations

import difflib
import inspect
import re
import tomllib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import typer

from tinytensor.cli.group import FailureError

__all__ = ["Config"]

#: What a value must be, by the type of the option.
_WANTED: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}


def _use(ctx: typer.Context, path: Path | None) -> Path | None:
    if path is not None:
        ctx.default_map = {**(ctx.default_map or {}), **_options(ctx, path)}
    return path


Config = Annotated[
    Path | None,
    typer.Option(
        help="Read options from a .toml file (epochs = 100); those given here win.", is_eager=True, callback=_use,
        show_default=False, rich_help_panel="The files",
    ),
]  # fmt: skip


def _options(ctx: typer.Context, path: Path) -> dict[str, Any]:
    """The values of a file by the names of the command's parameters."""
    text = _read(path)
    try:
        entries = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        wrong = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is nested too deep"
        raise FailureError(f"{path}: expected TOML, lines such as epochs = 100: {wrong}", 2) from None
    known = _parameters(ctx)
    found = {}
    for key, value in entries.items():
        where = f"{path}{_line(text, key)}"
        if key.replace("-", "_") not in known:
            near = difflib.get_close_matches(key.replace("-", "_"), known, n=1, cutoff=0.6)
            hint = (
                f"did you mean {near[0].replace('_', '-')!r}?"
                if near
                else f"there are {', '.join(sorted(known)).replace('_', '-')}"
            )
            raise FailureError(f"{where}: {ctx.info_name} has no option {key!r}; {hint}", 2)
        name, kind = known[key.replace("-", "_")]
        found[name] = _checked(kind, value, f"{where}: {key}")
    return found


def _parameters(ctx: typer.Context) -> dict[str, tuple[str, Any]]:
    """By the name that the user knows: the parameter's own name, and its type as the command's function declares it."""
    hints = get_type_hints(inspect.unwrap(ctx.command.callback)) if ctx.command.callback else {}
    found = {}
    for parameter in ctx.command.params:
        name = str(parameter.name)
        kinds = [kind for kind in get_args(hints.get(name)) if kind is not type(None)]
        kind = kinds[0] if get_origin(hints.get(name)) in (Union, UnionType) else hints.get(name, str)
        for option in [o.lstrip("-") for o in parameter.opts if o.startswith("--")] or [name]:
            found[option.replace("-", "_")] = (name, kind)
    return {name: entry for name, entry in found.items() if name not in ("config", "help")}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # as Windows writes it
    except FileNotFoundError:
        raise FailureError(f"there is no file {str(path)!r} (--config)", 2) from None
    except UnicodeDecodeError:
        raise FailureError(f"{path}: expected TOML, which is UTF-8 text", 2) from None
    except OSError as error:
        raise FailureError(f"{str(path)!r} cannot be read: {(error.strerror or str(error)).lower()}", 2) from None


def _line(text: str, key: str) -> str:
    pattern = re.compile(rf"""\s*(\[\s*)?["']?{re.escape(key)}["']?\s*[=.\]]""")
    return next((f", line {number}" for number, line in enumerate(text.splitlines(), 1) if pattern.match(line)), "")


def _checked(kind: Any, value: Any, name: str) -> Any:
    """A value as the command line would give it; a list is several of an option, or words with commas between."""
    wanted = _WANTED.get(kind, "a text, or a list of them")
    items = value if isinstance(value, list) else [value]
    right = {
        int: type(value) is int, float: type(value) in (int, float), bool: type(value) is bool,
    }.get(kind, all(type(item) in (str, int, float) for item in items))  # fmt: skip
    if not right:
        raise FailureError(f"{name} must be {wanted}, got {str(value)[:40]!r}", 2)
    if kind in _WANTED:
        return value
    words = [str(item) for item in items]
    return words if get_origin(kind) is list else ",".join(words)
