"""What MkDocs calls: each page is given its links, excerpts and equations, and the built site is looked through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.pages import Page

from website.commands import with_help
from website.equations import with_equations
from website.excerpts import with_excerpts
from website.links import repository_url, with_links_for_the_site
from website.self_contained import loaded_from_elsewhere


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """A page as the site shows it."""
    text = with_links_for_the_site(markdown, page.file.src_uri, repository_url())
    return with_equations(with_excerpts(with_help(text) if "<!-- help -->" in text else text))


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that loads anything from elsewhere.

    Raises:
        PluginError: what, and where.
    """
    if found := loaded_from_elsewhere(Path(config.site_dir)):
        raise PluginError("loaded from elsewhere: " + "; ".join(found[:5]))
