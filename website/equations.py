"""Equations as MathML, which browsers draw themselves: no script, no font and no picture is needed."""

from __future__ import annotations

import re
from html import escape

from latex2mathml.converter import convert

from website.links import outside_fences

_DISPLAY = re.compile(r"^\$\$\n?(.+?)\n?\$\$$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"\$`([^`\n]+)`\$")


def with_equations(markdown: str) -> str:
    """A page whose ``$$…$$`` and ``$`…`$``, as code hosts read them, are MathML."""
    text = outside_fences(markdown, lambda part: _DISPLAY.sub(lambda found: displayed(found[1]), part))
    return _INLINE.sub(lambda found: convert(found[1]), text)


def displayed(latex: str) -> str:
    """An equation on a line of its own; its source is what a screen reader is told."""
    drawn = convert(" ".join(latex.split()), display="block")
    return f'<div class="equation" role="math" aria-label="{escape(" ".join(latex.split()))}">{drawn}</div>'
