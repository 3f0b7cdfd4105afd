"""What a rule gives."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.bounds.operations import Operation
from atlpa.bounds.propagation import Value


class NoBound(ValueError):
    """A network does something of which no bound is known."""


Made = tuple[Operation, Sequence[Value]] | Value
"""An operation and what it reads, or a value as it is."""
