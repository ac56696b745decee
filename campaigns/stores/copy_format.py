"""Rows in Postgres' binary COPY format, written without a driver so that any process can do it.

The format: a signature, then per row a count of fields and each field as length and bytes, then
minus one (PostgreSQL documentation, COPY, "Binary Format"). Enum values and text travel as text.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterable, Sequence
from functools import lru_cache

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"

_COUNT = struct.Struct(">h")
_LENGTH = struct.Struct(">i")
_INTEGER = struct.Struct(">ii")
_ID = struct.Struct(">QQ")
_ARRAY = struct.Struct(">iiiii")
_TEXT_OID = 25
_RANDOM_BITS = (1 << 62) - 1


def new_ids(count: int) -> list[bytes]:
    """Return UUIDv7 values (RFC 9562 §5.7), in order, as their 16 bytes."""
    now_ms = time.time_ns() // 1_000_000
    chance = struct.unpack(f">{count}Q", os.urandom(8 * count))
    pack = _ID.pack
    return [
        pack(
            # Twelve bits count within the millisecond; beyond them the clock is led a little.
            ((now_ms + (place >> 12)) << 16) | 0x7000 | (place & 0xFFF),
            (1 << 63) | (chance[place] & _RANDOM_BITS),
        )
        for place in range(count)
    ]


def fields(count: int) -> bytes:
    """Return the beginning of a row of *count* fields."""
    return _COUNT.pack(count)


def uuid(value: bytes) -> bytes:
    """Return a uuid field."""
    return b"\x00\x00\x00\x10" + value


def integer(value: int) -> bytes:
    """Return an integer (int4) field."""
    return _INTEGER.pack(4, value)


def boolean(*, value: bool) -> bytes:
    """Return a boolean field."""
    return b"\x00\x00\x00\x01\x01" if value else b"\x00\x00\x00\x01\x00"


def text(value: str) -> bytes:
    """Return a text or enum field."""
    raw = value.encode()
    return _LENGTH.pack(len(raw)) + raw


def jsonb(value: str) -> bytes:
    """Return a jsonb field from JSON text."""
    raw = value.encode()
    return _LENGTH.pack(len(raw) + 1) + b"\x01" + raw


def texts(values: Iterable[str]) -> bytes:
    """Return a text[] field."""
    raws = [value.encode() for value in values]
    if not raws:
        body = struct.pack(">iii", 0, 0, _TEXT_OID)
    else:
        body = _ARRAY.pack(1, 0, _TEXT_OID, len(raws), 1)
        body += b"".join(_LENGTH.pack(len(raw)) + raw for raw in raws)
    return _LENGTH.pack(len(body)) + body


@lru_cache(maxsize=8192)
def texts_often(values: tuple[str, ...]) -> bytes:
    """Return a text[] field of values that come again and again."""
    return texts(values)


def whole(rows: Sequence[bytes]) -> bytes:
    """Return rows as one COPY stream."""
    return b"".join((HEADER, *rows, TRAILER))
