"""A disk that is full, as the kernel can pretend."""

import resource
from contextlib import contextmanager


@contextmanager
def room(size):
    """No file of this process grows beyond so many bytes: the kernel says EFBIG, as it says ENOSPC of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
