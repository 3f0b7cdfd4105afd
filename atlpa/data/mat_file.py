"""``.mat`` files of version 5 (MATLAB 5 to 7), read without trust.

SciPy's reader believes what such a file says of itself: a few wrong bytes, or structures inside of structures, end the
process, and a few kilobytes unfold to gigabytes. What data sets are annotated with is numbers, texts, cells and
structures.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

HEADER = 128  # bytes; the last four hold version and byte order
LARGEST = 2**26
"""Bytes of a file, and of what it unfolds to; the annotations of 16,000 images take a tenth."""
DEEPEST = 16
"""Matrices inside of matrices; a list of structures has two."""

Order = Literal["<", ">"]
MATRIX, COMPRESSED = 14, 15  # types of elements
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, STRUCTURE, TEXT, NUMERIC = 1, 2, 4, range(6, 16)  # classes of matrices
COMPLEX = 0x0800


def parse_mat(content: bytes) -> dict[str, Any]:
    """A file's variables.

    Returns:
        Name → numbers as an array without dimensions of length 1, texts as ``str``, cells as lists, structures as lists
        of mappings from field to value.

    Raises:
        ValueError: it is no such file, is damaged, unfolds too far, or holds anything else.
    """
    orders: dict[bytes, Order] = {b"IM": "<", b"MI": ">"}
    order = orders.get(content[HEADER - 2 : HEADER])
    if order is None or content[HEADER - 4 : HEADER - 2] != struct.pack(f"{order}H", 0x0100):
        raise ValueError("it is no MAT-file of version 5; save it with -v7")
    found: dict[str, Any] = {}
    for kind, body in _unfolded(_elements(content[HEADER:], order), order):
        if kind != MATRIX:
            raise ValueError(f"an element of type {kind} in the place of a variable")
        matrix = _matrix(body, order, 1)
        if matrix.name in found:
            raise ValueError(f"two variables {matrix.name!r}")
        found[matrix.name] = matrix.value
    return found


def _unfolded(elements: list[tuple[int, bytes]], order: Order) -> Iterator[tuple[int, bytes]]:
    """The same elements, compressed ones unfolded."""
    room = LARGEST
    for kind, body in elements:
        if kind != COMPRESSED:
            yield kind, body
            continue
        stream = zlib.decompressobj()
        inner = stream.decompress(body, room + 1)
        room -= len(inner)
        if room < 0:
            raise ValueError(f"it unfolds to more than {LARGEST} bytes")
        if not stream.eof:
            raise ValueError("it is cut off")
        yield from _elements(inner, order)


@dataclass(frozen=True)
class _Matrix:
    name: str
    value: Any


def _matrix(body: bytes, order: Order, depth: int) -> _Matrix:
    """A matrix, and all that it holds."""
    if depth > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    if not body:
        return _Matrix("", np.empty(0))
    (flags_kind, flags), (shape_kind, shape_bytes), (_, name), *parts = _elements(body, order)
    if (flags_kind, len(flags), shape_kind) != (6, 8, 5) or len(shape_bytes) % 4:
        raise ValueError("a variable without a shape")
    (kind,) = struct.unpack_from(f"{order}I", flags)
    shape = struct.unpack(f"{order}{len(shape_bytes) // 4}i", shape_bytes)
    if min(shape, default=-1) < 0 or math.prod(shape) > len(body):
        raise ValueError(f"a variable of shape {shape} in {len(body)} bytes")
    return _Matrix(name.decode("latin-1"), _value(kind, shape, parts, order, depth))


def _value(kind: int, shape: tuple[int, ...], parts: list[tuple[int, bytes]], order: Order, depth: int) -> Any:
    count, kind_of = math.prod(shape), kind & 0xFF
    if kind_of in NUMERIC and not kind & COMPLEX and len(parts) == 1 and parts[0][0] in NUMBERS:
        values = np.frombuffer(parts[0][1], np.dtype(NUMBERS[parts[0][0]]).newbyteorder(order))
        if len(values) != count:
            raise ValueError(f"{len(values)} numbers in the shape {shape}")
        return values.reshape(shape, order="F").squeeze()
    if kind_of == TEXT and len(parts) == 1 and parts[0][0] in TEXTS:
        encoding = TEXTS[parts[0][0]]
        wide = encoding in ("utf-16", "utf-32")
        text = parts[0][1].decode(f"{encoding}-{'le' if order == '<' else 'be'}" if wide else encoding)
        if shape[0] > 1:
            raise ValueError(f"a text of shape {shape}")
        return text
    if kind_of == CELL and len(parts) == count:
        return [_inner(part, order, depth) for part in parts]
    if kind_of == STRUCTURE and len(parts) >= 2 and len(parts[0][1]) == 4:
        (length,) = struct.unpack(f"{order}i", parts[0][1])
        joined = parts[1][1]
        names = [joined[at : at + length].split(b"\0")[0].decode() for at in range(0, len(joined), max(length, 1))]
        if len(parts) - 2 == count * len(names) and len(set(names)) == len(names):
            rows = [parts[2:][at : at + len(names)] for at in range(0, len(parts) - 2, max(len(names), 1))]
            return [dict(zip(names, [_inner(part, order, depth) for part in row], strict=True)) for row in rows]
    raise ValueError(f"a variable of class {kind_of} and shape {shape} with {len(parts)} parts")


def _inner(part: tuple[int, bytes], order: Order, depth: int) -> Any:
    kind, body = part
    if kind != MATRIX:
        raise ValueError(f"an element of type {kind} inside of a variable")
    return _matrix(body, order, depth + 1).value


def _elements(content: bytes, order: Order) -> list[tuple[int, bytes]]:
    """Type and data of each element, one behind the other."""
    found, place = [], 0
    while place < len(content):
        if place + 8 > len(content):
            raise ValueError("it is cut off")
        kind, size = struct.unpack_from(f"{order}II", content, place)
        if kind >> 16:  # a small one: size and type share four bytes, the data has the other four
            kind, size, start, following = kind & 0xFFFF, kind >> 16, place + 4, place + 8
        else:
            start = place + 8
            following = start + size + (0 if kind == COMPRESSED else -size % 8)
        if start + size > min(len(content), following):
            raise ValueError("it is cut off")
        found.append((kind, content[start : start + size]))
        place = following
    return found
