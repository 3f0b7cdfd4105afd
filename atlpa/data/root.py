"""Where published data sets lie."""

from __future__ import annotations

import os
from pathlib import Path


def data_root(root: str | None) -> Path:
    """The folder given, else ``ATLPA_DATA_ROOT`` from the environment, else ``data``."""
    return Path(root or os.environ.get("ATLPA_DATA_ROOT") or "data")
