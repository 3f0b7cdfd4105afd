"""Fenced blocks of the pages, and the commands in them."""

import re
import shlex
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted([REPOSITORY / "README.md", DOCS / "index.md", DOCS / "faq.md", *(DOCS / "howto").glob("*.md")])
PAGES += [path for path in sorted(DOCS.glob("*.md")) if path not in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    """The contents of the page's fenced blocks in a language; ``""`` is none."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    return [text for kind, text in found if kind == language]


def commands(page: Path) -> list[list[str]]:
    """The words of every line that starts one of our commands; ``$`` may stand before it, a comment behind it."""
    found = []
    for text in blocks(page, ""):
        for line in text.replace("\\\n", " ").splitlines():
            words = line.removeprefix("$ ").strip()
            if words.startswith("atlpa-"):
                found.append(shlex.split(words, comments=True))
    return found
