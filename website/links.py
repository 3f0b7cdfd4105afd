"""Links out of ``docs/``, which a code host follows and a site cannot."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

_LINK = re.compile(r"(?<!!)\[(?P<label>[^\]\n]*(?:\n[^\]\n]+)?)\]\((?P<target>[^()\s]+)\)")
_FENCE = re.compile(r"^(?P<fence>```|~~~).*?^(?P=fence)[^\n]*$", re.DOTALL | re.MULTILINE)


def repository_url() -> str | None:
    """Where the source lies, as ``[project.urls]`` of pyproject.toml says; ``None`` where it does not."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    urls: dict[str, str] = project.get("urls", {})
    return next((url.rstrip("/") for name, url in urls.items() if name.lower() in ("repository", "source")), None)


def outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """A page whose text is changed, and whose fenced code is left as it is."""
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(markdown[end:])])


def with_links_for_the_site(markdown: str, page: str, url: str | None = None) -> str:
    """A page whose links out of ``docs/`` lead to the repository, or are its paths in plain text.

    Args:
        markdown: the page.
        page: its path below ``docs/``, from which its links are meant.
        url: of the repository, if it has one.

    Raises:
        FileNotFoundError: a link leads to nothing, which nobody else looks at.
    """

    def changed(found: re.Match[str]) -> str:
        label, target = found["label"], found["target"]
        address, _, _ = target.partition("#")
        if not address or re.match(r"[a-z]+:", target):
            return found[0]
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), address))
        there = REPOSITORY / path
        if not there.exists():
            raise FileNotFoundError(f"docs/{page} links to {target}, which is not there")
        if path.startswith("docs/") and there.is_file():
            return found[0]
        if path.startswith("docs/") and (there / "table.md").is_file():
            return f"[{label}]({address.rstrip('/')}/table.md)"
        if url:
            return f"[{label}]({url}/{'tree' if there.is_dir() else 'blob'}/main/{path})"
        words = label.strip("`")
        return f"`{path}`" if words in (path, posixpath.basename(path)) else f"{label} (`{path}`)"

    return outside_fences(markdown, lambda text: _LINK.sub(changed, text))
