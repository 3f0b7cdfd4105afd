"""Reading the ``.mat`` files that data sets are published with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scipy.io import loadmat

from atlpa.errors import UserError, reason


def read_matlab(path: Path, what: str) -> dict[str, Any]:
    """The variables of a file, structures as objects and without dimensions of length 1.

    Args:
        path: the file.
        what: what it should hold, for the message.

    Raises:
        UserError: it is missing, damaged, or no such file.
    """
    try:
        content: dict[str, Any] = loadmat(path, struct_as_record=False, squeeze_me=True)
    except Exception as error:  # SciPy's reader raises anything at all on damaged files
        raise UserError(f"{path} holds no {what} ({reason(error)}); fetch it anew") from error
    return content
