"""The bytes of a checkpoint: a safetensors file whose header holds JSON and a checksum over everything else.

``[length: 8 bytes][header: JSON][arrays]``, as https://huggingface.co/docs/safetensors describes it. The header begins with
its metadata, and they with the SHA-256 of the file in which those 64 digits are zeros: every other bit is covered.
Reading trusts nothing: all lengths, names, shapes and places are checked against the size of the file before memory is asked
for.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from tinytensor.typing import Array

__all__ = ["FORMAT", "chunks", "parse", "read_json"]

#: What the header of a checkpoint says that it is.
FORMAT = "tinytensor checkpoint 1"

_DTYPES = {
    "BOOL": "|b1", "U8": "|u1", "I8": "|i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8", "I64": "<i8",
    "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_NAMES = {np.dtype(code): name for name, code in _DTYPES.items()}
_ZEROS = "0" * 64
_START = b'{"__metadata__":{"sha256":"'
_LONGEST_HEADER = 100_000_000  # as in the safetensors library


# ------------------------------------------------------------------------------------------------------------ writing


def chunks(arrays: dict[str, Array], description: str) -> Iterator[bytes | memoryview]:
    """The file in pieces: length and header, then one array after the other, the largest items first (so all are aligned)."""
    plain = {name: np.asarray(a, a.dtype.newbyteorder("<"), order="C") for name, a in arrays.items()}
    order = sorted(plain, key=lambda name: (-plain[name].itemsize, name))
    header: dict[str, Any] = {"__metadata__": {"sha256": _ZEROS, "format": FORMAT, "state": description}}
    end = 0
    for name in order:
        array, start = plain[name], end
        end += array.nbytes
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > _LONGEST_HEADER:
        raise ValueError(f"save: the description takes {len(text):,} bytes, at most {_LONGEST_HEADER:,} are allowed")
    buffers = [plain[name].reshape(-1).view(np.uint8).data for name in order if plain[name].size]
    head = len(text).to_bytes(8, "little") + text
    digest = hashlib.sha256(head)
    for buffer in buffers:
        digest.update(buffer)
    place = 8 + len(_START)
    yield head[:place] + digest.hexdigest().encode() + head[place + 64 :]
    yield from buffers


# ------------------------------------------------------------------------------------------------------------ reading


def parse(file: BinaryIO, size: int) -> tuple[dict[str, Array], str]:
    """The arrays and the description in a file of ``size`` bytes; ValueError says what is wrong with it."""
    text = _header_text(file, size)
    header = _header(text)
    description = _description(header, text)
    payload = size - 8 - len(text)
    entries = [_entry(name, entry) for name, entry in header.items()]
    _check_places(entries, payload)
    data = _payload(file, payload)
    digest = hashlib.sha256(len(text).to_bytes(8, "little"))
    place = len(_START)
    digest.update(text[:place] + _ZEROS.encode() + text[place + 64 :])
    digest.update(data)
    if digest.hexdigest().encode() != text[place : place + 64]:
        raise ValueError("its checksum is wrong: the file was damaged, or changed by hand")
    return {name: _array(data, name, dtype, shape, start) for start, _, name, dtype, shape in entries}, description


def _header_text(file: BinaryIO, size: int) -> bytes:
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > _LONGEST_HEADER or length < 2:
        raise ValueError("it does not begin as a safetensors file")
    if length > size - 8:
        raise ValueError(f"it is cut off: its header has {length:,} bytes, and the file {size:,}")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("it is cut off in its header")
    return text


def read_json(text: str) -> Any:
    """JSON in which no name is there twice, and every number is one."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise ValueError(f"the name {twice[:60]!r} is there twice")
        return found

    def refused(word: str) -> None:
        raise ValueError(f"it has the number {word}, which JSON does not know")

    return json.loads(text, object_pairs_hook=once, parse_constant=refused)


def _header(text: bytes) -> dict[str, Any]:
    try:
        header = read_json(text.decode())
    except RecursionError:
        raise ValueError("its header is nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("its header is not text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"its header is not JSON ({error.msg} at byte {error.pos})") from None
    if not isinstance(header, dict):
        raise ValueError(f"its header is a {type(header).__name__}, expected names with arrays")
    return header


def _description(header: dict[str, Any], text: bytes) -> str:
    words = header.pop("__metadata__", {})
    if not isinstance(words, dict) or words.get("format") != FORMAT or not isinstance(words.get("state"), str):
        kind = words.get("format") if isinstance(words, dict) else None
        other = f"of format {kind[:60]!r}" if isinstance(kind, str) else "that holds arrays, and no state of a training"
        raise ValueError(f"it is a safetensors file {other}; expected {FORMAT!r}")
    if not text.startswith(_START) or not isinstance(words.get("sha256"), str) or len(words["sha256"]) != 64:
        raise ValueError("its header does not begin with its checksum")
    return str(words["state"])


def _entry(name: str, entry: Any) -> tuple[int, int, str, str, tuple[int, ...]]:
    """(start, end, name, dtype, shape) of an array, which agree with each other."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name[:60]!r} is described by {str(entry)[:60]}, expected dtype, shape and data_offsets")
    dtype, shape, places = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"{name[:60]!r} is of dtype {str(dtype)[:20]!r}, which NumPy does not have")
    if not _counts(shape) or not _counts(places) or len(places) != 2 or len(shape) > 64:
        raise ValueError(
            f"{name[:60]!r} has shape {str(shape)[:60]} and offsets {str(places)[:60]}, which are no sizes"
        )
    wanted = math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
    if places[1] - places[0] != wanted:
        raise ValueError(f"{name[:60]!r} of shape {str(shape)[:60]} needs {wanted} bytes, and has offsets {places}")
    return places[0], places[1], name, dtype, tuple(shape)


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _check_places(entries: list[tuple[int, int, str, str, tuple[int, ...]]], payload: int) -> None:
    """Arrays follow each other without gap or overlap, and fill the file."""
    ordered = sorted(entries)
    for (_, end, first, *_), (start, _, second, *_) in pairwise(ordered):
        if start != end:
            raise ValueError(f"{first[:60]!r} and {second[:60]!r} {'overlap' if start < end else 'leave a gap'}")
    if ordered and ordered[0][0] != 0:
        raise ValueError(f"its first array begins at byte {ordered[0][0]}, expected 0")
    total = max((end for _, end, *_ in entries), default=0)
    if total != payload:
        raise ValueError(f"it is cut off, or too long: its arrays take {total:,} bytes, and there are {payload:,}")


def _payload(file: BinaryIO, size: int) -> bytearray:
    try:
        data = bytearray(size)
    except (MemoryError, OverflowError):
        raise ValueError(f"its arrays take {size:,} bytes, more than there is memory") from None
    if file.readinto(data) != size:  # type: ignore[attr-defined]
        raise ValueError("it was cut off while it was read")
    return data


def _array(data: bytearray, name: str, dtype: str, shape: tuple[int, ...], start: int) -> Array:
    code = np.dtype(_DTYPES[dtype])
    array = np.frombuffer(data, code, math.prod(shape), start).reshape(shape)
    if dtype == "BOOL" and array.size and array.view(np.uint8).max() > 1:
        raise ValueError(f"{name[:60]!r} holds bytes that are neither true nor false")
    return array.astype(code.newbyteorder("="), copy=True)
