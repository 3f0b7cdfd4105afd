"""Text as data, never as code: how each form of a report writes any name so that it is shown as it is."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path
from urllib.parse import quote

from atlpa.errors import one_line

_MARKUP = re.compile(r"[\\`*$]|~~|(?<!\w)_|_(?!\w)|\](?=[(\[:])|<(?=[A-Za-z/!?])|&(?=#?\w+;)")
"""What Markdown or a formula in it takes for markup; a bracket, dash or ``<`` between words and numbers is none."""

_LATEX = {sign: rf"\{sign}" for sign in "&%_#${}"}
_LATEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
_LATEX |= {"ε": r"$\varepsilon$", "±": r"$\pm$", "–": "--", "∞": r"$\infty$"}
_LATEX |= {"‖δ‖∞": r"$\|\delta\|_\infty$", "‖δ‖₂": r"$\|\delta\|_2$"}
_LATEX |= {"−": "$-$", "<": "$<$", ">": "$>$", "×": r"$\times$"}
_COMMANDS = re.compile("|".join(map(re.escape, sorted(_LATEX, key=len, reverse=True))))


def markdown(text: object) -> str:
    """A line in GitHub's Markdown."""
    return _MARKUP.sub(lambda sign: {"<": "&lt;", "&": "&amp;"}.get(sign[0], f"\\{sign[0]}"), one_line(str(text)))


def markdown_cell(text: object) -> str:
    """A cell of a table in it."""
    return markdown(text).replace("|", "\\|")


def latex(text: object) -> str:
    """A cell in LaTeX; each sign is looked at once, so that no command is escaped again."""
    return _COMMANDS.sub(lambda sign: _LATEX[sign[0]], one_line(str(text)))


def csv_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers, negative ones too, stay numbers."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def hypertext(text: object) -> str:
    """Text or the value of an attribute in HTML."""
    return html.escape(one_line(str(text)))


def link(file: Path, folder: Path) -> str:
    """The way from a folder to a file as a relative link; quoted, so that no name can be a scheme."""
    return quote(os.fsencode(Path(os.path.relpath(file, folder)).as_posix()))


def figure_text(text: object) -> str:
    """A label in a figure: no formula, and none that a legend leaves out for its underscore."""
    line = one_line(str(text)).replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line
