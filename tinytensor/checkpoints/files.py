"""``save`` and ``load``: nested states in files that are whole, or are not there."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from tinytensor.checkpoints.container import chunks, parse, read_json
from tinytensor.checkpoints.nest import pack, unpack

if TYPE_CHECKING:
    from tinytensor.typing import Array

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

__all__ = ["beside", "create", "load", "opened", "reason", "remove_leftovers", "save", "sync_folder"]

_ENDING = ".safetensors"


# ------------------------------------------------------------------------------------------------------------ writing


def save(path: str | os.PathLike[str], state: Any, keep: int = 1) -> Path:
    """Write a nest of dicts, lists, tuples, numbers, words and arrays to a ``.safetensors`` file; returns the path.

    The new file is made beside the old one, brought to the disk (``fsync``), and then takes its name in one step: whenever
    the machine stops, a whole file is there. ``keep``: how many of the last ones are kept; the one before is
    ``name.1.safetensors``, then ``name.2.safetensors``. Raises TypeError for what cannot be written, ValueError for another
    ending, OSError, in one sentence, if the disk is full or the folder cannot be written; nothing has changed then.

    >>> import pathlib, tempfile, numpy as np, tinytensor as tt
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "state.safetensors"
    >>> _ = tt.checkpoints.save(file, {"step": 3, "weights": [np.ones(2)], 0: ("a", float("inf"))})
    >>> tt.checkpoints.load(file)
    {'step': 3, 'weights': [array([1., 1.])], 0: ('a', inf)}
    """
    target = Path(os.path.realpath(path))
    if target.suffix != _ENDING:
        raise ValueError(f"save: {str(path)!r} must end in {_ENDING}")
    if keep < 1:
        raise ValueError(f"save: keep is how many checkpoints are kept, at least 1; got {keep}")
    arrays: dict[str, Array] = {}
    description = json.dumps(pack(state, arrays), separators=(",", ":"), allow_nan=False)
    with _spoken(path):
        remove_leftovers(target)
        _write(target, chunks(arrays, description), keep)
    return Path(path)


def reason(error: OSError) -> str:
    """What the system says, in plain words."""
    known = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
    return known.get(error.errno or 0, (error.strerror or str(error)).lower())


@contextmanager
def _spoken(path: str | os.PathLike[str]) -> Iterator[None]:
    """What the system says, with the file's name and what is left of it."""
    try:
        yield
    except OSError as error:
        there = "the checkpoint before it is still there" if os.path.lexists(path) else "no checkpoint is there"
        sentence = f"cannot write the checkpoint {str(os.fspath(path))!r}: {reason(error)}; {there}"
        raise type(error)(error.errno, sentence) from None


def _write(target: Path, pieces: Iterable[bytes | memoryview], keep: int) -> None:
    temporary = beside(target)
    try:
        with create(temporary) as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":  # an open file cannot be renamed there
                file.close()
            with _alone(target.parent):
                _shift(target, keep)
                os.replace(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(target.parent)


def beside(path: Path) -> Path:
    """A name for a temporary file in the folder of ``path``, as :func:`remove_leftovers` knows it."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.tmp")


def sync_folder(path: Path) -> None:
    """Bring the entries of a folder to the disk, where the system can."""
    with suppress(OSError, AttributeError):
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _shift(target: Path, keep: int) -> None:
    """Older checkpoints move up by one, and the present one gets a second name: it is there under its first all the time."""
    if keep < 2 or not target.exists():
        return
    names = [target.with_name(f"{target.stem}.{k}{_ENDING}") for k in range(1, keep)]
    second = beside(target)
    try:
        try:
            os.link(target, second)
        except (OSError, NotImplementedError):  # a file system without hard links
            shutil.copyfile(target, second)
        for newer, older in reversed(list(pairwise(names))):
            if newer.exists():
                os.replace(newer, older)
        os.replace(second, names[0])  # if both are the same file already, this leaves two names
    finally:
        with suppress(OSError):
            second.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time makes, removes and renames files in the folder, where the system can lock one."""
    if fcntl is None:
        yield
        return
    with ExitStack() as stack:
        with suppress(OSError):  # a folder that cannot be read, a file system without locks
            held = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, held)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def create(temporary: Path) -> BinaryIO:
    """A new file, locked: as long as this process lives and has it open, nobody takes it for a leftover."""
    with _alone(temporary.parent):
        file = open(temporary, "xb")  # noqa: SIM115  (the caller closes it)
        if fcntl is not None:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove temporary files beside a file, whose writers were killed; those of writers at work hold locks. Example: :func:`save`."""
    target = Path(os.path.realpath(path))
    pattern = re.compile(re.escape(f".{target.name[:100]}.") + r"[0-9a-f]{12}\.tmp")
    try:
        names = [name for name in os.listdir(target.parent) if pattern.fullmatch(name)]
    except OSError:  # who writes there hears what is wrong with the folder
        return
    with _alone(target.parent) if names else nullcontext():
        for name in names:
            with suppress(OSError), open(target.with_name(name), "rb") as file:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if its writer is at work
                target.with_name(name).unlink()


# ------------------------------------------------------------------------------------------------------------ reading


def load(path: str | os.PathLike[str]) -> Any:
    """What :func:`save` wrote, its arrays in memory of their own. Nothing in the file is run.

    Raises FileNotFoundError if there is no file, ValueError, in one sentence, if the file is cut off, damaged, or of another
    kind; OSError if it cannot be read. Example: :func:`save`.
    """
    name = str(os.fspath(path))
    file = opened("checkpoint", path)
    try:
        with file:
            arrays, description = parse(file, os.fstat(file.fileno()).st_size)
        return _state(arrays, description)
    except ValueError as error:
        raise ValueError(
            f"load: {name!r} is not a checkpoint that can be read: {' '.join(str(error).split())}"
        ) from None


def opened(what: str, path: str | os.PathLike[str]) -> BinaryIO:
    """A file to read from; FileNotFoundError, IsADirectoryError, PermissionError or ValueError say what else is there."""
    name = str(os.fspath(path))
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(f"load: {name!r} is a folder, expected a {_ENDING} file")
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device has no end
            raise ValueError(f"load: {name!r} is not a regular file")
        return open(path, "rb")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"load: there is no {what} {name!r}") from None
    except PermissionError:
        raise PermissionError(f"load: {name!r} cannot be read: permission denied") from None


def _state(arrays: dict[str, Array], description: str) -> Any:
    used: set[str] = set()
    try:
        state = unpack(read_json(description), arrays, used)
    except RecursionError:
        raise ValueError("its description is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"its description is not JSON ({error.msg} at character {error.pos})") from None
    if left := sorted(set(arrays) - used):
        raise ValueError(f"it has an array {left[0][:60]!r} that its description does not know")
    return state
