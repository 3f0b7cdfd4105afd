"""Decoding: any picture a user may have becomes upright 8-bit RGB, or an error that names the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from atlpa.errors import UserError, reason
from atlpa.plain_file import open_plain

# What Pillow warns of is a picture that it reads all the same, or one that is too large, which is refused below.
warnings.filterwarnings("ignore", module=r"PIL\.")

Content = Path | np.ndarray
"""An encoded image file, or pixels ``(H, W)`` or ``(H, W, 3)`` uint8."""

SMALLEST_SIDE = 4
LARGEST_AREA = 89_478_485  # a quarter of a gigabyte in RGB, where Pillow too suspects a decompression bomb
FORMATS = ("AVIF", "BMP", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
"""Of photographs and scans, as far as Pillow has them. EPS would start Ghostscript, whatever the file is called."""
SIXTEEN_BITS_AS_I = ("PNG", "PPM")
"""Formats whose 16-bit gray Pillow may hold in 32."""


def decode_image(content: Content) -> Image.Image:
    """Decode one image as RGB.

    Raises:
        UserError: the file is missing, no image, damaged, or of a size that cannot be meant; it is named.
    """
    if isinstance(content, np.ndarray):
        return Image.fromarray(content).convert("RGB")
    try:
        with open_picture(content) as image:
            if min(image.size) < SMALLEST_SIDE:
                raise ValueError(f"{image.width}×{image.height} pixels")
            return as_rgb(image)
    except Exception as error:  # Pillow's readers raise anything at all on damaged files
        raise UserError(
            f"{content} is no readable image ({why(error, content)}); replace or remove it, or train without it by "
            "--skip-unreadable"
        ) from error


@contextmanager
def open_picture(file: Path) -> Iterator[Image.Image]:
    """The first picture of a file, not yet decoded, and no larger than anybody can have meant.

    Raises:
        Exception: anything at all; ``why`` says it.
    """
    with open_plain(file) as content, Image.open(content, formats=_formats()) as image:
        if image.width * image.height > LARGEST_AREA:
            raise ValueError(f"{image.width}×{image.height} pixels")
        yield image


def endings() -> set[str]:
    """Of the files that can be pictures: ``.jpg`` …"""
    return {ending for ending, kind in Image.registered_extensions().items() if kind in _formats()}


def why(error: Exception, file: Path) -> str:
    """What is wrong with a picture, without its whole path."""
    if isinstance(error, UnidentifiedImageError):
        return "of no format that is read"
    text = error.strerror if isinstance(error, OSError) and error.strerror else reason(error)
    return text.replace(str(file), file.name)


def _formats() -> list[str]:
    """Those of ``FORMATS`` that can be read here."""
    Image.init()
    return [kind for kind in FORMATS if kind in Image.OPEN]


def as_rgb(image: Image.Image) -> Image.Image:
    """Any picture as upright 8-bit RGB: EXIF orientation applied, 16 bits scaled to 8, transparency on white.

    Raises:
        ValueError: pixels of 32 bits, whose range nobody can know.
    """
    image = ImageOps.exif_transpose(as_8_bits(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def as_8_bits(image: Image.Image) -> Image.Image:
    """A picture of 16 bits scaled to 8; any other unchanged.

    Raises:
        ValueError: pixels of 32 bits, whose range nobody can know.
    """
    if image.mode == "F" or (image.mode == "I" and image.format not in SIXTEEN_BITS_AS_I):
        raise ValueError("32-bit pixels of an unknown range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        return Image.fromarray(np.rint(np.asarray(image).astype(float) / 257).clip(0, 255).astype(np.uint8))
    return image
