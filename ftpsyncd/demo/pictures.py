"""Pictures and sounds out of nothing: gradients and chords, really encoded, of realistic sizes. Pure.

Every format here tells by its own means whether a file is whole, which is what `is_whole` looks at.
"""

from __future__ import annotations

import math
import random
import struct
import zlib
from array import array
from collections.abc import Iterator

_TURN = bytes(round(127.5 - 127.5 * math.cos(2 * math.pi * step / 256)) for step in range(256)) * 2
"""A wave, twice, so that every window of 256 is a translation table."""

_PNG_BEGIN = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_GIF_CLEAR, _GIF_END, _GIF_RUN = 128, 129, 120
_SOUND_RATE = 22_050


def png(width: int, height: int, seed: int) -> bytes:
    """A colourful PNG (RFC 2083), eight bits per channel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in _rows(width, height, seed)), 1)
    return _PNG_BEGIN + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bmp(width: int, height: int, seed: int) -> bytes:
    """A colourful BMP: 24 bits per pixel, rows padded to four bytes, the total length in the header."""
    padding = bytes(-3 * width % 4)
    pixels = b"".join(row + padding for row in _rows(width, height, seed))
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54) + about + pixels


def gif(width: int, height: int, seed: int) -> bytes:
    """A colourful GIF (GIF89a) of 128 colours.

    The code table is cleared before it outgrows eight bits, so that every LZW code is one byte and no compressor is
    needed.
    """
    shades = _dice(seed)
    tint = [shades.randrange(256) for _ in range(3)]
    palette = bytes(_TURN[(2 * index + offset) % 256] for index in range(128) for offset in tint)
    halved = bytes(value >> 1 for value in range(256))
    pixels = b"".join(row[::3].translate(halved) for row in _rows(width, height, seed))
    clear = bytes([_GIF_CLEAR])
    codes = b"".join(clear + pixels[at : at + _GIF_RUN] for at in range(0, len(pixels), _GIF_RUN)) + bytes([_GIF_END])
    blocks = (codes[at : at + 255] for at in range(0, len(codes), 255))
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0xF6, 0, 0)
        + palette
        + struct.pack("<BHHHHBB", 0x2C, 0, 0, width, height, 0, 7)
        + b"".join(bytes([len(block)]) + block for block in blocks)
        + b"\0;"
    )


def wav(seconds: float, seed: int) -> bytes:
    """A soft chord as WAV: one channel of 16 bits, the total length in the header."""
    root = _dice(seed).choice((110.0, 130.8, 146.8, 164.8, 196.0))
    count = round(seconds * _SOUND_RATE)
    steps = [2 * math.pi * root * ratio / _SOUND_RATE for ratio in (1.0, 1.25, 1.5)]
    fade = 1 / count
    samples = array(
        "h",
        (round(9000 * (1 - at * fade) * sum(math.sin(step * at) for step in steps)) for at in range(count)),
    )
    data = struct.pack(f"<{count}h", *samples)
    about = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, _SOUND_RATE, 2 * _SOUND_RATE, 2, 16)
    body = b"WAVE" + about + struct.pack("<4sI", b"data", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def is_whole(data: bytes) -> bool | None:
    """Whether a picture or sound is complete by its own format's measure; None if the format is not known here."""
    if data.startswith(_PNG_BEGIN):
        return data.endswith(_PNG_END)
    if data.startswith(b"GIF8"):
        return data.endswith(b";")
    if data.startswith(b"BM"):
        return len(data) >= 6 and struct.unpack_from("<I", data, 2)[0] == len(data)
    if data.startswith(b"RIFF"):
        return len(data) >= 8 and struct.unpack_from("<I", data, 4)[0] + 8 == len(data)
    if data.startswith(b"\xff\xd8\xff"):
        return data.rstrip(b"\0").endswith(b"\xff\xd9")
    return None


def _rows(width: int, height: int, seed: int) -> Iterator[bytes]:
    """Rows of three bytes per pixel: waves of three colours, and a little noise as cameras have it."""
    dice = _dice(seed)
    across = [dice.uniform(0.4, 1.6) for _ in range(3)]
    down = [dice.uniform(0.3, 1.2) for _ in range(3)]
    start = [dice.randrange(256) for _ in range(3)]
    waves = [bytes(int(x * share * 256 / width) & 255 for x in range(width)) for share in across]
    length = 3 * width
    grain_mask = int.from_bytes(b"\x07" * length, "little")
    row = bytearray(length)
    for y in range(height):
        for channel in range(3):
            offset = (start[channel] + int(y * down[channel] * 256 / height)) & 255
            row[channel::3] = waves[channel].translate(_TURN[offset : offset + 256])
        grain = int.from_bytes(dice.randbytes(length), "little") & grain_mask
        yield (int.from_bytes(row, "little") ^ grain).to_bytes(length, "little")


def _dice(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 - colours are no secrets
