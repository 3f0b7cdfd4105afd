"""What a built page loads must be its own: no script, style, font or picture from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

_LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
_ELSEWHERE = re.compile(r"(https?:)?//", re.IGNORECASE)
_STYLE = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)


class _Loads(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A link is followed by hand, a stylesheet, icon or connection by the browser."""
        given = {name: value or "" for name, value in attrs}
        names = _LOADING.get(tag, ())
        if tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            names = ("href",)
        self.found += [given[name] for name in names if _ELSEWHERE.match(given.get(name, ""))]
        self.found += _STYLE.findall(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        """A style sheet inside the page."""
        if self.lasttag == "style":
            self.found += _STYLE.findall(data)


def loaded_from_elsewhere(site: Path) -> list[str]:
    """``page: address`` of everything that the pages and style sheets of a built site load from other hosts."""
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            page = _Loads()
            page.feed(path.read_text())
            found += [f"{path.relative_to(site)}: {address}" for address in page.found]
        elif path.suffix in (".css", ".svg"):
            found += [f"{path.relative_to(site)}: {address}" for address in _STYLE.findall(path.read_text())]
    return found
