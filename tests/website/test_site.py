"""The site is built strictly and without network, and what it loads is its own."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from website.excerpts import function, with_excerpts
from website.links import with_links_for_the_site
from website.self_contained import loaded_from_elsewhere

REPOSITORY = Path(__file__).parents[2]
NO_NETWORK = """
import socket, sys
def refused(*_):
    raise OSError("the build asked for the network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = refused
from mkdocs.__main__ import cli
cli(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="make docs builds the site, in an environment of its own")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-c", NO_NETWORK, "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_the_table_of_contents_is_built(site):
    text = (REPOSITORY / "mkdocs.yml").read_text()
    pages = re.findall(r"([\w/-]+)\.md$", text, re.MULTILINE)
    assert len(pages) > 20
    for page in pages:
        assert (site / f"{page}.html").is_file(), page


def test_it_loads_nothing_from_elsewhere(site):
    loaded = re.compile(
        r"""<(?:script|link|img|source|iframe|video|object)\b[^>]*?\s(?:src|href|srcset|data)=["']?(?:https?:)?//[^"'\s>]+"""
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    assert [(path.name, loaded.findall(path.read_text())) for path in pages if loaded.search(path.read_text())] == []
    styles = list(site.rglob("*.css"))
    assert styles
    assert not [path for path in styles if re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", path.read_text())]


def test_no_marker_and_no_dead_text_is_left(site):
    for path in site.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r"<!-- (source|file|notebook|generated):", text), path
        assert "$$" not in text, path


def test_the_reference_has_what_is_public(site):
    """Every name that a package offers and that is no table, under a heading of its own; a module is none of them."""
    for package in ("losses", "bounds"):
        text = (site / "reference" / f"{package}.html").read_text()
        for name in importlib.import_module(f"atlpa.{package}").__all__:
            assert re.search(rf'<h2 id="atlpa\.{package}\.[\w.]*{name}"', text), (package, name)
    for page in (site / "reference").glob("*.html"):
        assert "doc-symbol-module" not in page.read_text(), page


@pytest.mark.parametrize(
    ("page", "loads"),
    [
        ('<script src="https://cdn.example/a.js"></script>', True),
        ('<link rel="stylesheet" href="//cdn.example/a.css">', True),
        ('<link rel="preconnect" href="https://fonts.example">', True),
        ('<img alt="" src="http://elsewhere.example/a.png">', True),
        ("<style>@font-face { src: url('https://fonts.example/a.woff2') }</style>", True),
        ('<p style="background: url(https://elsewhere.example/a.png)">', True),
        ('<a href="https://elsewhere.example">a link is followed by whoever wants to</a>', False),
        ('<img src="figures/a.png"><script src="assets/a.js"></script>', False),
    ],
)
def test_what_a_page_loads_is_found(tmp_path, page, loads):
    (tmp_path / "index.html").write_text(f"<html><body>{page}</body></html>")
    assert bool(loaded_from_elsewhere(tmp_path)) == loads


@pytest.mark.parametrize(
    ("link", "url", "shown"),
    [
        ("[the small one](../configs/flowers-small.yaml)", None, "the small one (`configs/flowers-small.yaml`)"),
        ("[configs/digits.yaml](../configs/digits.yaml)", None, "`configs/digits.yaml`"),
        ("[`presets`](../atlpa/defenses/presets)", None, "`atlpa/defenses/presets`"),
        (
            "[one](../configs/digits.yaml)",
            "https://host.example/atlpa",
            "[one](https://host.example/atlpa/blob/main/configs/digits.yaml)",
        ),
        (
            "[all](../configs)",
            "https://host.example/atlpa",
            "[all](https://host.example/atlpa/tree/main/configs)",
        ),
        ("[data](data.md#cache)", None, "[data](data.md#cache)"),
        ("[kept](results/flowers-small-first)", None, "[kept](results/flowers-small-first/table.md)"),
        ("[away](https://example.org/x)", None, "[away](https://example.org/x)"),
        ("```\n[code](../configs)\n```", None, "```\n[code](../configs)\n```"),
    ],
)
def test_links_out_of_the_pages(link, url, shown):
    assert with_links_for_the_site(link, "page.md", url) == shown


def test_a_link_to_nothing_ends_the_build():
    with pytest.raises(FileNotFoundError, match=r"docs/page\.md links to \.\./nothing\.py"):
        with_links_for_the_site("[gone](../nothing.py)", "page.md")


def test_an_excerpt_is_the_function_that_runs():
    """Compiled and called it does what the source does, and no docstring is left."""
    source = (
        'def one():\n    """Says one."""\n    return 1\n\n\nclass Two:\n    def three(self):\n'
        "        # why\n        return 3\n"
    )
    assert function(source, "one") == "def one():\n    return 1"
    assert function(source, "Two.three") == "def three(self):\n    # why\n    return 3"
    with pytest.raises(LookupError, match=r"no Two\.four"):
        function(source, "Two.four")
    page = with_excerpts("<!-- source: atlpa/losses/tolerant_logit.py#tolerant_logit_loss -->")
    assert ".clamp(min=0)" in page
    assert "Raises:" not in page


def test_the_workflow_builds_the_site():
    jobs = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    assert {"run": "make docs"} in jobs["docs"]["steps"]
    assert "mkdocs build --strict" in (REPOSITORY / "Makefile").read_text()
