"""The skeleton of a ``.mat`` file, walked before SciPy builds anything of it.

SciPy believes what such a file says of itself: a few kilobytes may unfold to gigabytes, and structures inside of
structures, deep enough, end the process.
"""

from __future__ import annotations

import math
import struct
import zlib

HEADER = 128  # bytes; the last four hold version and byte order
MATRIX, COMPRESSED, INT32 = 14, 15, 5  # types of elements
LARGEST = 2**28
"""Bytes of a file and of what it unfolds to; the annotations of 16,000 images take 5 % of it."""
DEEPEST = 16
"""Matrices inside of matrices; a list of structures has two."""


def check_mat(content: bytes) -> None:
    """Refuse a file that is not of version 5 (MATLAB 5 to 7), or that claims more than can be meant.

    Raises:
        ValueError: it is none, is cut off, unfolds too far, or is nested too deeply.
    """
    orders = {b"IM": "<", b"MI": ">"}
    order = orders.get(content[HEADER - 2 : HEADER])
    if order is None or struct.unpack(f"{order}H", content[HEADER - 4 : HEADER - 2])[0] != 0x0100:
        raise ValueError("it is no MAT-file of version 5; save it with -v7")
    room, place = LARGEST, HEADER
    while place < len(content):
        kind, start, end, place = _element(content, place, len(content), order)
        body = content[start:end]
        if kind == COMPRESSED:
            body = _unfolded(body, room)
            room -= len(body)
            _walk(body, order)
        else:
            _walk(content[start - 8 : end], order)


def _unfolded(body: bytes, room: int) -> bytes:
    stream = zlib.decompressobj()
    unfolded = stream.decompress(body, room)
    if stream.unconsumed_tail:
        raise ValueError(f"it unfolds to more than {LARGEST} bytes")
    return unfolded


def _walk(content: bytes, order: str) -> None:
    """Every element of a variable, without recursion."""
    open_matrices: list[int] = []  # where each ends
    place = 0
    while place < len(content):
        while open_matrices and place >= open_matrices[-1]:
            open_matrices.pop()
        within = open_matrices[-1] if open_matrices else len(content)
        kind, start, end, following = _element(content, place, within, order)
        if kind != MATRIX:
            place = following
            continue
        open_matrices.append(end)
        if len(open_matrices) > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        place = _after_shape(content, start, end, order)


def _after_shape(content: bytes, start: int, end: int, order: str) -> int:
    """Where a matrix goes on behind flags and dimensions, which must not promise more than it holds."""
    if start == end:
        return end  # an empty one
    place = start
    for kind_wanted in (None, INT32):
        kind, begins, ends, place = _element(content, place, end, order)
        if kind_wanted is None or kind != kind_wanted:
            continue  # flags, or an object that has no dimensions
        shape = struct.unpack(f"{order}{(ends - begins) // 4}i", content[begins : ends - (ends - begins) % 4])
        if min(shape, default=0) < 0 or math.prod(shape) > end - start:
            raise ValueError(f"a variable of shape {shape} does not fit into {end - start} bytes")
    return place


def _element(content: bytes, place: int, end: int, order: str) -> tuple[int, int, int, int]:
    """Type, beginning and end of an element's data, and where the next element begins."""
    if place + 8 > end:
        raise ValueError("it is cut off")
    kind, size = struct.unpack_from(f"{order}II", content, place)
    if kind >> 16:  # a small one: size and type share four bytes, the data has the other four
        kind, size, start, following = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        size = min(size, 4)
    else:
        start = place + 8
        following = start + size + (0 if kind == COMPRESSED else -size % 8)
    if start + size > end:
        raise ValueError("it is cut off")
    return kind, start, start + size, min(following, end)
