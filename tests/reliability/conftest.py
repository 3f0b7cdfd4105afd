"""What the tests of processes share: the server that forks commands, and a training that takes a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reliability.forking import Server


@pytest.fixture(scope="session")
def server(_commands_on_the_path: None) -> Iterator[Server]:
    """Started when the first test asks for it."""
    with Server() as server:
        yield server
