"""Makes a PNG small: 8-bit RGB or RGBA without transparency becomes a palette of 64 colours."""

import collections
import struct
import zlib

COLOURS = 64


def _chunks(data):
    index = 8
    while index < len(data):
        length, kind = struct.unpack(">I4s", data[index:index + 8])
        yield kind, data[index + 8:index + 8 + length]
        index += 12 + length


def _rows(raw, width, height, size):
    """The unfiltered rows (PNG specification, section 9)."""
    stride, before = width * size, bytearray(width * size)
    for number in range(height):
        start = number * (stride + 1)
        kind, row = raw[start], bytearray(raw[start + 1:start + 1 + stride])
        for index in range(stride if kind else 0):
            left = row[index - size] if index >= size else 0
            up = before[index]
            if kind == 1:
                add = left
            elif kind == 2:
                add = up
            elif kind == 3:
                add = (left + up) // 2
            else:
                corner = before[index - size] if index >= size else 0
                guess = left + up - corner
                add = min((abs(guess - left), 0, left), (abs(guess - up), 1, up), (abs(guess - corner), 2, corner))[2]
            row[index] = (row[index] + add) & 0xFF
        yield row
        before = row


def shrink(path):
    with open(path, "rb") as file:
        data = file.read()
    parts = collections.defaultdict(bytes)
    for kind, body in _chunks(data):
        parts[kind] += body
    width, height, depth, kind = struct.unpack(">IIBB", parts[b"IHDR"][:10])
    size = {2: 3, 6: 4}[kind]
    assert depth == 8, depth
    rows = [[bytes(row[index:index + 3]) for index in range(0, width * size, size)]
            for row in _rows(zlib.decompress(parts[b"IDAT"]), width, height, size)]
    counts = collections.Counter(colour for row in rows for colour in row)
    palette = [colour for colour, _ in counts.most_common(COLOURS)]
    nearest = {colour: index for index, colour in enumerate(palette)}
    for colour in counts:
        if colour not in nearest:
            nearest[colour] = min(range(len(palette)), key=lambda one: sum((a - b) ** 2 for a, b in zip(palette[one], colour)))
    lines = b"".join(b"\0" + bytes(nearest[colour] for colour in row) for row in rows)

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    with open(path, "wb") as file:
        file.write(data[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
                   + chunk(b"PLTE", b"".join(palette)) + chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b""))
