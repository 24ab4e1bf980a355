"""Weights in files: safetensors with a few words about the model beside them, written whole or not at all.

Files are data, never code: nothing here loads a pickle.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.checkpoints.files import beside, create, opened, reason, remove_leftovers, sync_folder
from tinytensor.creation import rng
from tinytensor.primitive import TensorBase

if TYPE_CHECKING:
    from tinytensor.nn import MLP
    from tinytensor.typing import Array

__all__ = ["check_writable", "load", "load_metadata", "load_mlp", "replacing", "save", "save_mlp"]

_ENDING = ".safetensors"
#: What the system says to who writes too much.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


# ---------------------------------------------------------------------------------------------- whole files or none


def check_writable(path: str | os.PathLike[str], *endings: str) -> Path:
    """The path, if a file can be written there; it is tried with an empty file beside it, which is removed again.

    ``endings``: the file endings allowed (all, if none is given). Raises ValueError for another ending,
    FileNotFoundError, NotADirectoryError, IsADirectoryError or PermissionError for the folder and the file.

    >>> import tinytensor as tt
    >>> tt.io.check_writable("figure.txt", ".png", ".svg")
    Traceback (most recent call last):
    ValueError: 'figure.txt' must end in .png or .svg
    """
    target = Path(path)
    if endings and target.suffix.lower() not in endings:
        raise ValueError(f"{str(target)!r} must end in {' or '.join(endings)}")
    if target.is_dir():
        raise IsADirectoryError(f"{str(target)!r} is a folder; give the name of a file in it")
    home = Path(os.path.realpath(target)).parent
    if not home.exists():
        raise FileNotFoundError(f"cannot write {str(target)!r}: the folder {str(target.parent)!r} does not exist")
    if not home.is_dir():
        raise NotADirectoryError(f"cannot write {str(target)!r}: {str(target.parent)!r} is not a folder")
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(f"cannot write {str(target)!r}: the file is write-protected")
    temporary = beside(Path(os.path.realpath(target)))
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PermissionError(f"cannot write {str(target)!r}: no file can be made in its folder ({reason})") from None
    temporary.unlink(missing_ok=True)  # another process may have taken it for a leftover
    return target


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path in the same folder; when the block ends well, its file takes the place of ``path``.

    If the block raises (or the machine stops), ``path`` is as it was: the bytes are on the disk before the old file
    goes (``fsync``), and the exchange is one step (``os.replace``). Raises OSError, in one sentence, if the disk is full.

    >>> import tempfile, pathlib, tinytensor as tt
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "a.txt"
    >>> with tt.io.replacing(file) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> file.read_text(), [p.name for p in file.parent.iterdir()]
    ('whole', ['a.txt'])
    """
    target = Path(os.path.realpath(path))
    remove_leftovers(target)
    temporary = beside(target)
    try:
        with create(temporary) as held:
            if os.name == "nt":  # an open file cannot be replaced there
                held.close()
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            if target.exists():  # a file that is replaced keeps its permissions
                os.chmod(temporary, target.stat().st_mode & 0o7777)
            os.replace(temporary, target)
    except OSError as error:
        if error.errno not in _FULL:  # it may come from a file that the block reads
            raise
        raise OSError(error.errno, f"cannot write {str(os.fspath(path))!r}: {reason(error)}") from None
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    sync_folder(target.parent)


# ------------------------------------------------------------------------------------------------------ state dicts


def save(state: Mapping[str, Any], path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> Path:
    """Write a ``state_dict`` as a safetensors file, with ``metadata`` (words by name) in its header.

    ``state``: names to tensors or arrays of booleans, integers, floats or complex64. The same content gives the same
    bytes; ``safetensors.torch.load_file`` reads them. The file is written whole or not at all. Raises TypeError for what is not names and arrays of numbers, ValueError for an
    ending other than ``.safetensors``, OSError if the folder cannot be written; ImportError without safetensors.
    Format: https://huggingface.co/docs/safetensors.

    >>> import tempfile, pathlib, numpy as np, tinytensor as tt
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "w.safetensors"
    >>> _ = tt.io.save({"w": np.eye(2)}, file, {"made": "by hand"})
    >>> tt.io.load(file), tt.io.load_metadata(file)
    ({'w': array([[1., 0.],
           [0., 1.]])}, {'made': 'by hand'})
    """
    arrays = {_name(key): _array(key, value) for key, value in state.items()}
    words = dict(metadata or {})
    for key, word in words.items():
        if not isinstance(key, str) or not isinstance(word, str):
            raise TypeError(f"save: metadata are strings by name, got {key!r}: {word!r:.60}")
    target = check_writable(path, _ENDING)
    content = _sorted_header(_safetensors().numpy.save(arrays, words or None))
    with replacing(target) as temporary:
        temporary.write_bytes(content)
    return target


def load(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a safetensors file by name, as ``module.load_state_dict`` takes them.

    Files of PyTorch (``safetensors.torch.save_file``, ``save_model``) too: float16 stays float16; bfloat16, which NumPy
    lacks, becomes float32, without loss; floats of 8 bits are refused. Raises FileNotFoundError if there is no file,
    ValueError if it is not a whole safetensors file. Example: :func:`save`.
    """
    return _read(path)[0]


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The words that :func:`save` put into the header of a safetensors file; raises as :func:`load` does.

    Example: :func:`save`.
    """
    return _read(path)[1]


def _name(key: Any) -> str:
    if not isinstance(key, str) or key == "__metadata__":
        raise TypeError(f"save: names of arrays are strings (and not '__metadata__'), got {key!r}")
    return key


def _array(key: str, value: Any) -> Array:
    array = value._data if isinstance(value, TensorBase) else np.asarray(value)
    if array.dtype.kind not in "biufc" or array.dtype.itemsize > 8:
        raise TypeError(
            f"save: {key!r} is an array of {array.dtype}; safetensors holds booleans, integers, floats and complex64"
        )
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _sorted_header(content: bytes) -> bytes:
    """The same file with the metadata in alphabetical order: the library writes them in random order."""
    n = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + n :]


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    name = str(os.fspath(path))
    with opened("file", path) as file:
        content = file.read()
    library = _safetensors()
    try:
        found = library.deserialize(content)
        words = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__") or {}
    except Exception as error:  # the library has no documented list of what it raises
        reason = " ".join(str(error).rpartition(": ")[2].split()) or type(error).__name__
        raise ValueError(
            f"load: {name!r} is not a whole safetensors file ({reason:.100}); it is cut off, damaged, or of another kind"
        ) from None
    arrays = {key: _numbers(name, key, entry) for key, entry in sorted(found)}
    for (
        other,
        key,
    ) in words.items():  # safetensors.torch.save_model writes a shared array once, and its other names here
        if "." in other and "." in key and key in arrays:
            arrays.setdefault(other, arrays[key])
    return dict(sorted(arrays.items())), words


#: The names that the format has for NumPy's dtypes. Floats of 8 bits and less have none.
_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
}  # fmt: skip


def _numbers(name: str, key: str, entry: dict[str, Any]) -> Array:
    """One array of a file, in memory of its own. A bfloat16 is the upper half of a float32, which it becomes."""
    kind, shape, data = entry["dtype"], entry["shape"], entry["data"]
    if kind == "BF16":
        bits = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    if kind not in _DTYPES:
        raise ValueError(
            f"load: {name!r} cannot be read: {key!r} is of dtype {kind}, which NumPy lacks; convert it to float32 where "
            "it was made"
        )
    stored = np.frombuffer(data, _DTYPES[kind]).reshape(shape)
    return np.array(stored, stored.dtype.newbyteorder("="))


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("saved weights need safetensors: pip install 'tinytensor[app]'") from None
    return safetensors


# ------------------------------------------------------------------------------------------------------ whole models


def save_mlp(model: MLP, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> Path:
    """Write an ``nn.MLP`` with its layer sizes and activation, so that :func:`load_mlp` can rebuild it.

    ``metadata``: more words to keep in the file. Raises as :func:`save` does.

    >>> import tempfile, pathlib, tinytensor as tt
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "mlp.safetensors"
    >>> model = tt.nn.MLP(2, [16, 1], activation="tanh")
    >>> _ = tt.io.save_mlp(model, file, {"dataset": "moons"})
    >>> again, words = tt.io.load_mlp(file)
    >>> bool((again(tt.ones((3, 2))) == model(tt.ones((3, 2)))).all()), words["dataset"]
    (True, 'moons')
    """
    kind = {"model": "MLP", "sizes": json.dumps(list(model.sizes)), "activation": model.activation}
    words = {**(metadata or {}), **kind}
    return save(model.state_dict(), path, words)


def load_mlp(path: str | os.PathLike[str]) -> tuple[MLP, dict[str, str]]:
    """The ``nn.MLP`` that :func:`save_mlp` wrote, and the words kept with it.

    Raises FileNotFoundError if there is no file, ValueError if it does not hold such a model.
    Example: :func:`save_mlp`.
    """
    from tinytensor import nn  # the networks load only when one is asked for

    state, words = _read(path)
    try:
        if words["model"] != "MLP":
            raise ValueError(f"it holds a model of kind {words['model']!r}")
        sizes = json.loads(words["sizes"])
        weights = [array for array in state.values() if array.ndim == 2]
        if [weights[0].shape[1], *(w.shape[0] for w in weights)] != sizes:  # before memory is asked for
            raise ValueError(f"its header says layers of {sizes}, its arrays say otherwise")
        dtype = np.result_type(*state.values())
        model = nn.MLP(sizes[0], sizes[1:], activation=words["activation"], dtype=dtype, rng=rng(0))
        model.load_state_dict(state)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        reason = f"its header has no {error}" if isinstance(error, KeyError) and not words.get("sizes") else str(error)
        raise ValueError(f"load_mlp: {str(os.fspath(path))!r} is not an MLP that save_mlp wrote: {reason}") from None
    return model, words
