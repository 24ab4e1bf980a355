"""TensorBoard's event files, written and read by hand: TFRecord frames around small protocol-buffer messages.

A frame is ``[length: u64][masked CRC of length: u32][data][masked CRC of data: u32]``, little-endian, with CRC-32C; the
message is ``Event`` of https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto.
"""

from __future__ import annotations

import os
import secrets
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["EventWriter", "read_events"]


def _crc_table() -> list[int]:
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)  # Castagnoli's polynomial, reflected
        table.append(n)
    return table


_TABLE = _crc_table()


def _masked_crc(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(n: int) -> bytes:
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    """A field of kind 2: its length, and bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _frame(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked_crc(length)) + data + struct.pack("<I", _masked_crc(data))


class EventWriter:
    """Numbers over steps in an event file of a folder, for ``tensorboard --logdir folder``.

    >>> import tempfile, tinytensor as tt
    >>> with tt.trainer.EventWriter(tempfile.mkdtemp()) as writer:
    ...     writer.scalar("loss", 0.5, step=1)
    >>> list(tt.trainer.read_events(writer.path))
    [('loss', 1, 0.5)]
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        home = Path(folder)
        home.mkdir(parents=True, exist_ok=True)
        self.path = home / f"events.out.tfevents.{int(time.time())}.tinytensor.{os.getpid()}.{secrets.token_hex(3)}"
        self._file = open(self.path, "xb")  # noqa: SIM115  (closed by close)
        self._write(_field(3, b"brain.Event:2"))

    def _write(self, event: bytes) -> None:
        self._file.write(_frame(b"\x09" + struct.pack("<d", time.time()) + event))
        self._file.flush()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write one number, which float32 holds."""
        with_float = _field(1, tag.encode()) + b"\x15" + struct.pack("<f", _as_float32(value))
        self._write(b"\x10" + _varint(step) + _field(5, _field(1, with_float)))

    def restart(self, step: int) -> None:
        """A training that goes on after this step: TensorBoard drops what an earlier file says of later ones."""
        self._write(b"\x10" + _varint(step + 1) + _field(7, b"\x08\x01"))  # SessionLog with status START

    def close(self) -> None:
        """Close the file; nothing can be written any more."""
        self._file.close()

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _as_float32(value: float) -> float:
    try:
        struct.pack("<f", value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return float(value)


def read_events(path: str | os.PathLike[str]) -> Iterator[tuple[str, int, float]]:
    """(tag, step, value) of every number in an event file; ValueError where a frame is damaged. Example: :func:`EventWriter`."""
    content = Path(path).read_bytes()
    place = 0
    while place < len(content):
        (length,) = struct.unpack("<Q", content[place : place + 8].ljust(8, b"\0"))
        data = content[place + 12 : place + 12 + length]
        if content[place : place + 16 + length] != _frame(data) or len(data) != length:
            raise ValueError(f"read_events: {str(path)!r} is damaged at byte {place}")
        place += 16 + length
        event = dict(_fields(data))
        for number, value in _fields(event.get(5, b"")):
            inner = dict(_fields(value)) if number == 1 else {}
            if 2 in inner:
                yield inner[1].decode(), int(event.get(2, 0)), struct.unpack("<f", inner[2])[0]


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and contents of the fields of a message: varints as ints, all else as bytes."""
    place = 0

    def varint() -> int:
        nonlocal place
        n = shift = 0
        while True:
            byte = data[place]
            place += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    while place < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(kind)
        size = varint() if size is None else size
        yield key >> 3, data[place : place + size]
        place += size
