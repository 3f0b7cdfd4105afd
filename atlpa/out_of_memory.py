"""Where the memory of a device or of the machine does not hold a batch: half of it is tried, and so on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from atlpa.errors import UserError, reason

Result = TypeVar("Result")

logger = logging.getLogger("atlpa.memory")

ERRORS = (RuntimeError, MemoryError)
"""Among which are those of too little memory; ``is_out_of_memory`` tells."""

_fitting: list[int] = []
"""The last batch size that was reduced to, for whatever comes later in this process."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was too small. On the CPU torch has no class of errors for it, only words."""
    words = "can't allocate memory", "not enough memory", "out of memory"
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in words)


def fitting(size: int) -> int:
    """A batch size, or the one that was found to fit before."""
    return min([size, *_fitting])


def halved(size: int, error: Exception) -> int:
    """The batch size to go on with after an error; it is said once that it had to be reduced.

    Args:
        size: images that were in memory.
        error: what was raised; anything but a lack of memory is raised again.

    Raises:
        UserError: a single image does not fit.
    """
    if not is_out_of_memory(error):
        raise error
    if size == 1:
        raise _too_small(error) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if not _fitting:
        logger.warning("memory does not hold %d images at a time; smaller batches are used from here on", size)
    _fitting[:] = [size // 2]
    return size // 2


def in_parts(count: int, size: int, work: Callable[[slice], Result]) -> Iterator[Result]:
    """What some work gives of ``count`` images, ``size`` of them at a time, or fewer where memory lacks.

    Args:
        count: N.
        size: at most so many at a time.
        work: done again on fewer images if it runs out of memory.
    """
    done = 0
    while done < count:
        part = slice(done, min(done + fitting(size), count))
        try:
            result = work(part)
        except ERRORS as error:
            halved(part.stop - part.start, error)
            continue
        yield result
        done = part.stop


@contextmanager
def must_fit(what: str = "two images", remedy: str = "use a larger device") -> Iterator[None]:
    """Say in a line that memory is too small for what is inside the ``with``, where less of it cannot be tried.

    Raises:
        UserError: it is too small.
    """
    try:
        yield
    except ERRORS as error:
        if not is_out_of_memory(error):
            raise
        raise _too_small(error, what, remedy) from error


def _too_small(error: Exception, what: str = "a single image", remedy: str = "use a larger device") -> UserError:
    return UserError(f"memory does not hold {what} ({reason(error)}); {remedy}")
