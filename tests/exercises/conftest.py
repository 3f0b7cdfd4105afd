"""The package of an outsider, where it can be imported."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _outside(monkeypatch, tmp_path):
    """``import outside`` works, and the present folder is empty."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.chdir(tmp_path)


def lines(name: str) -> int:
    """How long a file of the outsider's package is."""
    return len((Path(__file__).parent / "outside" / name).read_text().splitlines())
