"""Code on a page is taken from the source when the site is built, so that it cannot grow old."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from website.links import REPOSITORY

# The path alone on the line above is what a code host shows; here it is the excerpt's title.
_MARKER = re.compile(
    r"(?:^`[\w./-]+`\n\n)?^<!-- (?P<kind>source|file|notebook): (?P<path>[\w./-]+)(?:#(?P<name>[\w.]+))? -->$",
    re.MULTILINE,
)
_LANGUAGES = {".py": "python", ".yaml": "yaml"}

Named = ast.FunctionDef | ast.ClassDef


def with_excerpts(markdown: str) -> str:
    """A page with the code that its markers name.

    ``<!-- source: atlpa/attacks/pgd.py#PGD._step -->`` is a function or method without its docstring,
    ``<!-- file: tests/exercises/outside/attack.py -->`` a whole file, ``<!-- notebook: … -->`` the cells of one. On a
    code host, which shows no comments, the link beside the marker leads to the same lines.

    Raises:
        LookupError: the file has nothing of that name.
    """
    return _MARKER.sub(lambda found: _shown(found["kind"], REPOSITORY / found["path"], found["name"] or ""), markdown)


def _shown(kind: str, path: Path, name: str) -> str:
    if kind == "notebook":
        return notebook(path)
    title = path.relative_to(REPOSITORY).as_posix() + (f" · {name}" if name else "")
    text = function(path.read_text(), name) if kind == "source" else path.read_text()
    return f'```{_LANGUAGES[path.suffix]} title="{title}"\n{text.rstrip()}\n```'


def function(source: str, name: str) -> str:
    """The lines of a function, or of a method named ``Class.method``, without its docstring.

    Raises:
        LookupError: there is none of that name.
    """
    body: list[ast.stmt] = ast.parse(source).body
    for part in name.split("."):
        found = [one for one in body if isinstance(one, Named) and one.name == part]
        if not found:
            raise LookupError(f"no {name} in the source")
        body = found[0].body
    node, lines = found[0], source.splitlines()
    kept = range(node.lineno - 1, node.end_lineno or node.lineno)
    if ast.get_docstring(node):
        doc = node.body[0]
        kept_lines = [lines[n] for n in kept if not doc.lineno - 1 <= n < (doc.end_lineno or doc.lineno)]
    else:
        kept_lines = [lines[n] for n in kept]
    indent = len(kept_lines[0]) - len(kept_lines[0].lstrip())
    return "\n".join(line[indent:] for line in kept_lines)


def notebook(path: Path) -> str:
    """The cells of a notebook, text as text and code as code; what they print is not kept."""
    cells = json.loads(path.read_text())["cells"]
    # The page that shows them has a title of its own.
    texts = [(cell["cell_type"], re.sub(r"\A# .*\n+", "", "".join(cell["source"]))) for cell in cells]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in texts)
