"""A table of another package in a report: by import path or announced by an entry point, in a few lines."""

import sys

import pytest
from test_summary import NONE, PAT, record

from atlpa.cli.report import main
from atlpa.report import TABLES, Results, summary, write_report

PACKAGE = '''
"""How far the attack moved the images."""

from atlpa.report import Section, Table


def changes(results):
    rows = [(one.target.defense, f"{one.budgets[-1].linf_max:.3f}") for one in results.evaluations]
    return Section("changes", "Largest change", Table(("defense", "max"), rows), "As measured.\\n") if rows else None


def broken(results):
    return 1 / 0


def no_section(results):
    return {}


def same(results):
    return Section("table1", "Mine", Table(("a",), [("b",)]))


def no_name(results):
    return Section("../mine", "Mine", Table(("a",), [("b",)]))
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "far_away.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    for number, one in enumerate([record(PAT, PAT, "white", 30), record(NONE, NONE, "white", 0)]):
        one.save(tmp_path / "records" / f"{number}.json")
    yield tmp_path
    sys.modules.pop("far_away", None)


def test_a_table_by_import_path_is_in_every_form_of_the_report(folder, capsys):
    out = folder / "out"
    assert main([str(folder / "records"), "--output", str(out), "--table", "far_away:changes"]) == 0
    text = capsys.readouterr().out
    assert text.index("**Accuracy under attack") < text.index("**Largest change**") < text.index("As measured.")
    assert (out / "table.md").read_text().count("Largest change") == 1
    assert "pat & 0.250" in (out / "changes.tex").read_text()
    assert '<section id="changes">\n<h2>Largest change</h2>' in (out / "index.html").read_text()
    assert main([str(folder / "records")]) == 0
    assert "Largest change" not in capsys.readouterr().out


def test_a_table_of_an_installed_package_is_in_every_report(folder):
    assert "changes" not in TABLES
    installed = folder / "far_away-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: far_away\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[atlpa.tables]\nchanges = far_away:changes\n")
    assert list(TABLES)[-1] == "changes"
    results = Results([record(PAT, PAT, "white", 30)])
    assert "| pat     | 0.250 |" in summary(results)
    write_report(results, folder / "out")
    assert (folder / "out" / "changes.tex").is_file()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("far_away:broken", "table 'far_away:broken' fails: division by zero"),
        ("far_away:no_section", "gives a dict; give a Section of atlpa.report, or None"),
        ("far_away:same", "is called 'table1', as another is"),
        ("far_away:no_name", "'../mine' is no name of a table"),
        ("far_away:nothing", "table 'far_away:nothing' cannot be imported"),
        ("seedz", "did you mean 'seeds'?"),
    ],
)
def test_a_table_that_cannot_be_drawn_is_one_line(folder, capsys, name, words):
    assert main([str(folder / "records"), "--table", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("atlpa-report: ")
    assert words in line
