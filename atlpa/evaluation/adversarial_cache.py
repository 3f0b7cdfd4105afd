"""Adversarial images kept on disk exactly, in a file that NumPy reads, to be shown again or shared."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from atlpa.errors import UserError
from atlpa.evaluation.attack_batches import AdversarialBatches
from atlpa.files import atomic_file


def adversarial_cache(
    file: Path, shape: tuple[int, ...], make: Callable[[], AdversarialBatches], batch_size: int
) -> AdversarialBatches:
    """What a file holds; if it is not there, what ``make`` yields, written down on the way.

    The file is float32 ``(budgets, N, 3, S, S)``. Its place on the disk is reserved before the first image is made, and
    it appears only when it is whole.

    Raises:
        UserError: the disk is full, the folder cannot be written, or the file is not what it should be.
    """
    if file.is_file():
        return _read(file, shape, batch_size)
    return _written(file, shape, make())


def _read(file: Path, shape: tuple[int, ...], batch_size: int) -> AdversarialBatches:
    try:
        images = np.load(file, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{file} cannot be read ({error}); remove it, and its images are made anew") from error
    if images.shape != shape or images.dtype != np.float32:
        raise UserError(f"{file} holds {images.dtype} {images.shape}, not float32 {shape}; remove it")
    for row in range(shape[0]):
        for positions in torch.arange(shape[1]).split(batch_size):  # type: ignore[no-untyped-call]
            yield row, positions, torch.from_numpy(images[row, positions.numpy()])


def _written(file: Path, shape: tuple[int, ...], made: AdversarialBatches) -> AdversarialBatches:
    _, count, *picture = shape
    size = 4 * int(np.prod(picture))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(file) as output:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(output, header)
            start = output.tell()
            if hasattr(os, "posix_fallocate"):
                output.flush()
                os.posix_fallocate(output.fileno(), 0, start + shape[0] * count * size)
            for row, positions, images in made:
                output.seek(start + (row * count + int(positions[0])) * size)
                output.write(images.detach().cpu().numpy().astype("<f4").tobytes())
                yield row, positions, images
    except OSError as error:
        needed = shape[0] * count * size / 1e6
        raise UserError(f"adversarial images of {needed:.0f} MB cannot be kept at {file} ({error.strerror})") from error
