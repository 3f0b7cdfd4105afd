"""What is drawn from code and records is current."""

import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from atlpa.attacks.by_name import ATTACKS
from atlpa.cli.study import main as study
from atlpa.component import REASON, field_docs, field_names
from atlpa.data.table import DATASETS
from atlpa.defenses.terms import TERMS
from atlpa.experiment import Experiment
from atlpa.studies import Study
from atlpa.training import Recipe
from tests.website.blocks import DOCS, blocks
from website.commands import COMMANDS, help_of
from website.configuration import PAGE, page
from website.equations import with_equations
from website.excerpts import with_excerpts
from website.figures import between_bounds


def test_the_page_of_every_field_is_current():
    text = PAGE.read_text()
    assert text == page(text), "run python -m website.configuration"


COMPONENTS = [table[name] for table in (ATTACKS, DATASETS, TERMS) for name in table.built_in]


@pytest.mark.parametrize("kind", [Experiment, Recipe, Study])
def test_it_has_every_field_with_its_words(kind):
    text = " ".join(PAGE.read_text().replace("\\", "").replace("&lt;", "<").split())
    for name in field_names(kind):
        assert f"| `{name}` |" in text
        for words in field_docs(kind).get(name, "").split(REASON):
            assert " ".join(words.replace("``", "").split()).removesuffix(".") in text, name


@pytest.mark.parametrize("kind", [Experiment, Recipe, Study, *COMPONENTS])
def test_a_default_that_decides_something_has_a_reason(kind):
    """Numbers, choices and lists; what is left out by default (null, false) needs none."""
    for field in fields(kind):
        words = field_docs(kind).get(field.name, "")
        decides = isinstance(field.default, int | float | str | tuple) and field.default not in (
            False,
            (),
        )  # 0 leaves out, too
        if decides and field.name != "name" and ", as of ``PGD``" not in words:
            assert REASON in words, f"{kind.__name__}.{field.name} = {field.default}"


def test_links_within_it_lead_somewhere():
    text = PAGE.read_text()
    there = {
        re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert len(links) > 10
    assert links <= there


def test_numbers_of_the_picture_are_those_that_the_pages_say():
    """Drawn from the records; said in words on two pages."""
    found = [f"{value:.1f}" for value in between_bounds().values()]
    assert found == sorted(found, key=float)
    said = [(DOCS / name).read_text() for name in ("concepts/numbers.md", "bounds.md")]
    assert all(number in text for number in found for text in said)


def test_the_first_page_shows_what_the_commands_print(tmp_path, monkeypatch, capsys):
    """The plan of a study that nobody has begun, line by line."""
    monkeypatch.chdir(tmp_path)
    assert study(["digits", "--plan"]) == 0
    printed = capsys.readouterr().out.splitlines()
    (shown,) = [text for text in blocks(DOCS / "index.md", "") if "atlpa-study digits --plan" in text]
    lines = [line for line in shown.splitlines()[1:] if line != "…"]
    assert len(lines) > 5
    assert [line for line in lines if line not in printed] == []


def test_every_command_has_its_help():
    text = "\n".join(help_of(command) for command in COMMANDS)
    for command in COMMANDS:
        assert f"usage: atlpa-{command}" in text
    assert "--from" in help_of("data", "fetch")


def test_docstrings_are_read_as_they_are_meant():
    """Fields as attributes, and no marks of another language than Markdown."""
    pytest.importorskip("griffe", reason="make docs has it, in an environment of its own")
    from website.fields import readable

    text = (
        "Example::\n\n    x = 1\n\n::\n\n    y = 2\n\n.. math:: \\frac{a}{b}\n\nOf :math:`f_a`.\n\nFields:\n    a: b\n"
    )
    found = readable(text)
    assert found.startswith("Example:\n\n    x = 1\n\n\n    y = 2\n\n<div")
    assert found.count("<svg") == 1
    assert found.endswith("</div>\n\nOf `f_a`.\n\nAttributes:\n    a: b\n")


def test_equations_stand_beside_lines_of_the_source():
    whole = with_equations(with_excerpts((DOCS / "equations.md").read_text()))
    assert whole.count('role="img"') == 6
    code = "\n".join(re.findall(r"^```python.*?\n(.*?)^```", whole, re.DOTALL | re.MULTILINE))
    source = "\n".join(path.read_text() for path in (Path(DOCS.parent) / "atlpa").rglob("*.py"))
    lines = {line.strip() for line in code.splitlines() if line.strip()}
    assert len(lines) > 100
    assert [line for line in lines if line not in source] == []


@pytest.mark.parametrize("package", ["attacks", "bounds", "data", "losses", "models"])
def test_the_reference_names_every_class_that_a_package_offers(package):
    text, offered = (DOCS / "reference" / f"{package}.md").read_text(), importlib.import_module(f"atlpa.{package}")
    classes = [name for name in offered.__all__ if isinstance(getattr(offered, name), type)]
    assert classes
    assert [name for name in classes if not re.search(rf"^::: atlpa\.{package}\.([\w.]+\.)?{name}$", text, re.M)] == []
