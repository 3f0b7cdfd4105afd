"""Decoding: any picture a user may have becomes upright 8-bit RGB, or an error that names the file."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from atlpa.errors import UserError

Content = Path | np.ndarray
"""An encoded image file, or pixels ``(H, W)`` or ``(H, W, 3)`` uint8."""

SMALLEST_SIDE = 4


def picture(content: Content) -> Image.Image:
    """Decode one image as RGB.

    Raises:
        UserError: the file is missing, no image, damaged, or of a size that cannot be meant; it is named.
    """
    if isinstance(content, np.ndarray):
        return Image.fromarray(content).convert("RGB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(content) as image:
                if min(image.size) < SMALLEST_SIDE:
                    raise ValueError(f"{image.width}×{image.height} pixels")
                return as_rgb(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        what = str(error).replace(str(content), content.name)
        raise UserError(
            f"{content} is no readable image ({what}); replace or remove it, or leave it out with --skip-unreadable"
        ) from error


def as_rgb(image: Image.Image) -> Image.Image:
    """Any picture as upright 8-bit RGB: EXIF orientation applied, 16 bits scaled to 8, transparency on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray(np.rint(np.asarray(image).astype(float) / 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
