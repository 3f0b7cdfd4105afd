"""Reading the ``.mat`` files that data sets are published with."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from atlpa.data.mat_file import LARGEST, parse_mat
from atlpa.errors import UserError, reason, shown
from atlpa.plain_file import open_plain


def read_matlab(path: Path, what: str) -> dict[str, Any]:
    """The variables of a file, see ``parse_mat``.

    Args:
        path: the file.
        what: what it should hold, for the message.

    Raises:
        UserError: it is missing, damaged, or no such file.
    """
    try:
        with open_plain(path, LARGEST) as file:
            return parse_mat(file.read(LARGEST + 1))
    except (OSError, ValueError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else reason(error)
        raise UserError(f"{path} holds no {what} ({why}); fetch it anew") from error


def whole_number(value: Any) -> int:
    """A number as Matlab keeps it, which is often a float.

    Raises:
        ValueError: it is none, not whole, or larger than any number of pixels or images.
    """
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "uif":
        raise ValueError(f"{shown(value, 40)} is no number")
    number = float(array.item())
    if not (number.is_integer() and abs(number) < 2**31):
        raise ValueError(f"{number:g} is no whole number below 2^31")
    return int(number)


def image_numbers(content: dict[str, Any], keys: Iterable[str], count: int) -> dict[str, list[int]]:
    """Lists of images by their numbers, which count from 1.

    Args:
        content: of a file.
        keys: which of its variables.
        count: how many images there are.

    Raises:
        ValueError: a list is missing or empty, or names no image, or one twice.
    """
    lists = {}
    for key in keys:
        if key not in content:
            raise ValueError(f"it has no {key}")
        values = np.atleast_1d(content[key])
        if values.ndim != 1 or not values.size:
            raise ValueError(f"{key} is no list of images, but of shape {values.shape}")
        lists[key] = [whole_number(value) for value in values]
        known: set[int] = set()
        for number in lists[key]:
            if not 1 <= number <= count:
                raise ValueError(f"{key} names image {number} of {count}")
            if number in known:
                raise ValueError(f"{key} names image {number} twice")
            known.add(number)
    return lists
