"""Equations as drawings inside the page: no script, no font and no file is needed to see them."""

from __future__ import annotations

import io
import re
from html import escape

from matplotlib import rc_context
from matplotlib.mathtext import math_to_image

from website.links import outside_fences

_DISPLAY = re.compile(r"^\$\$\n?(.+?)\n?\$\$$", re.DOTALL | re.MULTILINE)
_SIZES = re.compile(r"\\[bB]ig+\b")  # which matplotlib does without


def with_equations(markdown: str) -> str:
    """A page whose ``$$…$$``, as code hosts read them, are drawings."""
    return outside_fences(markdown, lambda part: _DISPLAY.sub(lambda found: displayed(found[1]), part))


def displayed(latex: str) -> str:
    """An equation on a line of its own, in the color of the text; its source is what a screen reader is told."""
    source, drawing = " ".join(latex.split()), io.StringIO()
    text = _SIZES.sub("", source)
    with rc_context({"svg.hashsalt": "atlpa", "mathtext.fontset": "stix"}):
        math_to_image(f"${text}$", drawing, format="svg", dpi=72, color="#012345")
    # One line, since Markdown ends raw HTML at an empty one.
    _, start, rest = drawing.getvalue().partition("<svg")
    svg = re.sub(r"<metadata>.*?</metadata>", "", " ".join((start + rest).split()))
    svg = svg.replace("#012345", "currentColor")
    return f'<div class="equation" role="img" aria-label="{escape(source)}">{svg}</div>'
