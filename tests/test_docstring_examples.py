"""What the reference shows with ``>>>`` is true."""

import doctest
import importlib
from pathlib import Path

import pytest

import atlpa
from atlpa import losses

PACKAGE = Path(atlpa.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
PROMISED = [
    *(getattr(losses, name) for name in losses.__all__),
    *(getattr(atlpa, name) for names in atlpa._HOMES.values() for name in names),
]
WITHOUT = {"Attack", "AutoAttack"}
"""A base class, whose subclass a how-to shows; and what needs another package, as in a how-to too."""


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_the_reference(module):
    told = doctest.testmod(importlib.import_module(module))
    assert told.attempted
    assert not told.failed


def test_what_most_people_want_has_an_example():
    assert {one.__name__ for one in PROMISED if ">>> " not in (one.__doc__ or "")} == WITHOUT
