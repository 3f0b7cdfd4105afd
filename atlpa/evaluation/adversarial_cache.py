"""Adversarial images kept on disk exactly, in a file that NumPy reads, to be shown again or shared."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from atlpa.errors import UserError, one_line
from atlpa.evaluation.attack_batches import AdversarialBatches
from atlpa.files import atomic_file, unwritable_file
from atlpa.plain_file import open_plain

CHECKSUM = 32
"""Bytes of a SHA-256, which stand after the images; NumPy passes over them."""


def adversarial_cache(
    file: Path, shape: tuple[int, ...], make: Callable[[], AdversarialBatches], batch_size: int
) -> AdversarialBatches:
    """What a file holds; if it is not there, what ``make`` yields, written down on the way.

    The file is float32 ``(budgets, N, 3, S, S)`` and their SHA-256. Its place on the disk is reserved before the first
    image is made, and it appears only when it is whole. One that cannot be read, or holds anything else, is made anew
    and replaced, with a line on standard error; where it cannot be replaced, the images are not kept.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    if os.path.lexists(file):
        try:
            images = _mapped(file, shape)
        except (OSError, ValueError) as error:
            problem = unwritable_file(file)
            how = f"and not kept ({problem})" if problem else "and replace it"
            print(one_line(f"{file} is done without ({error}); its images are made anew {how}"), file=sys.stderr)
            return make() if problem else _written(file, shape, make())
        return _batches(images, batch_size)
    return _written(file, shape, make())


def _batches(images: np.ndarray, batch_size: int) -> AdversarialBatches:
    for row in range(images.shape[0]):
        for positions in torch.arange(images.shape[1]).split(batch_size):  # type: ignore[no-untyped-call]
            yield row, positions, torch.from_numpy(images[row, positions.numpy()])


def _mapped(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The images in a file, looked at once.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file, or it has changed since it was written.
    """
    header, size = _header(shape), 4 * int(np.prod(shape))
    with open_plain(file, most=None) as content:
        if content.read(len(header)) != header or file.stat().st_size != len(header) + size + CHECKSUM:
            raise ValueError(f"it does not hold float32 {shape} with a checksum")
        content.seek(len(header) + size)
        checksum = content.read()
    images = np.memmap(file, "<f4", "r", len(header), shape)
    if hashlib.sha256(images.data).digest() != checksum:
        raise ValueError("its content has changed")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError("its pixels are not in [0, 1]")
    return images


def _header(shape: tuple[int, ...]) -> bytes:
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return written.getvalue()


def _written(file: Path, shape: tuple[int, ...], made: AdversarialBatches) -> AdversarialBatches:
    header, (_, count, *picture) = _header(shape), shape
    size = 4 * int(np.prod(picture))
    end = len(header) + shape[0] * count * size
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as output:
        _reserve(output.fileno(), end + CHECKSUM, file)
        output.write(header)
        for row, positions, batch in made:
            output.seek(len(header) + (row * count + int(positions[0])) * size)
            output.write(batch.detach().cpu().numpy().astype("<f4").tobytes())
            yield row, positions, batch
        output.flush()
        images = np.memmap(output.name, "<f4", "r", len(header), shape)
        output.seek(end)
        output.write(hashlib.sha256(images.data).digest())


def _reserve(descriptor: int, size: int, file: Path) -> None:
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise UserError(
            f"adversarial images of {size / 1e6:.0f} MB cannot be kept at {file} ({error.strerror}); make room, or "
            "choose another folder"
        ) from error
