"""Docstrings as this project writes them, for the reference: ``Fields:``, and equations in reStructuredText."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

from website.equations import displayed

_MATH = re.compile(r"^\.\. math:: (.+(?:\n    .+)*)$", re.MULTILINE)


def readable(docstring: str) -> str:
    """A docstring whose parts are those that the reference knows."""
    text = docstring.replace("\nFields:\n", "\nAttributes:\n")
    text = _MATH.sub(lambda found: displayed(found[1]), text)
    text = re.sub(r":math:`([^`]+)`", r"`\1`", text)
    text = re.sub(r"^::\n", "", text, flags=re.MULTILINE)
    return re.sub(r"(?<=\w)::$", ":", text, flags=re.MULTILINE)


class Fields(Extension):
    """Changes each docstring before it is read."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called once for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = readable(obj.docstring.value)
