"""What a report writes is data: whatever things are called, every form of it shows the name and nothing acts on it."""

import csv
import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlpa.cli.report import main
from atlpa.errors import UserError, one_line
from atlpa.records import read
from atlpa.records.read import KINDS
from atlpa.report import (
    FIGURES,
    Results,
    Section,
    Table,
    accuracy_curves,
    collect,
    sections,
    summary,
    tidy,
    write_report,
)
from atlpa.report.escape import csv_cell, figure_text, latex, link, markdown, markdown_cell
from atlpa.report.figures import report_figures
from atlpa.report.page import page
from atlpa.report.training import training_figure

STUDY = Path(__file__).parents[2] / "docs" / "results" / "flowers-small-first"

NAMES = {
    "html": '<script>alert(1)</script><img src=x onerror="alert(2)">',
    "quotes": "\"' onmouseover='alert(1)' x=\"",
    "entity": "&lt;script&gt; &amp; &#60;b&#62;",
    "markdown": "a|b **bold** `code` [link](javascript:alert(1)) ![x](http://evil/x.png) <javascript:alert(1)>",
    "underscores": "__init__ _x_ ~~gone~~ # not a title",
    "lines": "one\n| --- |\r\n# two\u2028three\x0bfour",
    "latex": "\\input{/etc/passwd} {\\bf x} $x^2_i$ a~b #1 100 % & \\\\ \\write18{rm}",
    "bracket": "[3pt] *x",
    "mathtext": "$\\frac{ and a $ alone",
    "dollar": "100$",
    "formula": '=HYPERLINK("http://evil","x")',
    "formula after tabs": "\t\r =1+1",
    "minus": "-1+cmd|' /C calc'!A0",
    "plus": "+1+1",
    "at": "@SUM(1)",
    "escapes": "\x1b]0;title\x07\x1b[31mred\x1b[2J\x9b31m",
    "directions": "abc\u202edcba\u2066x",
    "surrogate": "half \ud800 of a pair",
    "underscore first": "_hidden",
    "long": "x" * 5000,
    "empty": "",
}
each_name = pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)


def renamed(fields, name):
    """A record in which everything that has a free name has this one."""
    fields = json.loads(json.dumps(fields))
    for network in filter(None, (fields["target"], fields.get("source"), fields.get("seen", {}).get("source"))):
        network["defense"] = f"{name}{network['defense']}"
        network["run"] = name
    fields["data"]["dataset"] = name
    fields["machine"] |= {"device": name, "torch": name, "python": name}
    if fields["kind"] == "evaluation" and fields["attack"]["name"] == "autoattack":
        fields["attack"] = {"name": name, "epsilon": fields["attack"]["epsilon"], name: {"deep": [name]}}
    for finding in fields.get("findings", []):
        finding |= {"measured": name, "expected": name, "advice": name, "check": f"{name}{finding['check']}"}
    for field in ("stages", "classes", "images"):
        if field in fields:
            fields[field] = [f"{name}{number}" for number, _ in enumerate(fields[field])]
    if "stage" in fields:
        fields["stage"] = name
    return fields


def study():
    """Records of every kind but trainings, of two networks and their sources."""
    for run in ("atlpa-resnet18-seed0-final", "none-resnet18-seed0-final"):
        for path in sorted((STUDY / run / "records").glob("*-*.json")):
            yield path, json.loads(path.read_text())


ALL = list(study())


class Page(HTMLParser):
    """What a browser finds on a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.sources, self.handlers, self.text, self.scripts = [], [], [], [], "", []
        self.places: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key == "href"]
        self.places += [value for key, value in attrs if key == "id"]
        self.sources += [value for key, value in attrs if key == "src"]
        self.handlers += [key for key, _ in attrs if key.startswith("on")]

    def handle_data(self, data):
        if self.tags[-1:] == ["script"]:
            self.scripts.append(data)
        self.text += data


def results_named(name):
    """What is on record of things that all have one name, in files that need not be there."""
    return Results.of({path: KINDS[fields["kind"]].of(path, renamed(fields, name)) for path, fields in ALL})


TAGS = set(Page(page(results_named("plain"), sections(results_named("plain")), {}, STUDY)).tags)


@each_name
def test_the_page_shows_a_name_as_it_is(name):
    """Our script alone, no handler, no tag that others do not make, no link with a scheme, and the name as text."""
    results = results_named(name)
    found = Page(page(results, sections(results), {}, STUDY))
    check_page(found, STUDY)
    assert one_line(name).replace(" ", "") in found.text.replace(" ", "")


def check_page(found, folder):
    assert found.tags.count("script") == 1
    assert "".join(found.scripts).strip() == (files("atlpa.report") / "page.js").read_text().strip()
    assert found.handlers == []
    assert set(found.tags) <= TAGS | {"img"}
    assert all(source.startswith("data:image/png;base64,") for source in found.sources)
    icon, *links = found.links
    assert icon == "data:,"
    assert links
    for href in links:
        assert not urlsplit(href).scheme
        assert href.removeprefix("#") in found.places if href.startswith("#") else (folder / unquote(href)).is_file()


@each_name
def test_markdown_shows_a_name_as_it_is(name):
    """What a terminal shows too: printable signs, no tag, and as many cells in each row as in its head."""
    text = summary(results_named(name))
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    assert not re.search(r"<[A-Za-z/!?]", text)
    assert not re.search(r"\]\(", re.sub(r"\\.", "", text))
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) >= 5
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in block.splitlines()}) == 1


@each_name
def test_csv_holds_no_formula(name):
    rows = list(csv.reader(tidy(results_named(name).evaluations).csv().splitlines()))
    assert len(rows) > 20
    for row in rows:
        assert not [cell for cell in row if cell[:1] in tuple("=+-@\t\r") and not is_number(cell)]
        assert len(row) == len(rows[0])


@each_name
def test_latex_holds_no_command_of_a_name(name):
    """Rows of as many cells, braces that close, and no sign that means something."""
    made = sections(results_named(name))
    assert len(made) >= 5
    for section in made:
        plain = re.sub(r"\\[&%_#${}]", "", section.table.latex())
        assert plain.count("{") == plain.count("}")
        assert plain.count("$") % 2 == 0
        assert not re.search(r"[#^~]|\\(input|write|bf)", plain.replace(r"\textasciicircum", ""))
        body = plain.split("\\toprule\n")[1].split("\\bottomrule")[0].replace("\\midrule\n", "")
        assert len({row.count("&") for row in body.splitlines()}) == 1
        assert not [row for row in body.splitlines() if row.startswith(("[", "*"))]


def test_the_command_writes_and_prints_names_as_they_are(tmp_path, capsys):
    """All at once, figures included: they are whole, and hold no script."""
    name = " ".join(name for kind, name in NAMES.items() if kind not in ("long", "surrogate"))
    folder, out = tmp_path / "a run" / "records", tmp_path / "out"
    folder.mkdir(parents=True)
    for path, fields in ALL:
        (folder / path.name).write_text(json.dumps(renamed(fields, name)))
    assert main([str(folder), "--output", str(out)]) == 0
    for text in capsys.readouterr():
        assert all(sign.isprintable() or sign == "\n" for sign in text)
    check_page(Page((out / "index.html").read_text(encoding="utf-8")), out)
    drawings = list(out.glob("*.svg"))
    assert len(drawings) == 3
    for file in drawings:
        assert not [tag for tag in ElementTree.parse(file).iter() if str(tag.tag).endswith("script")]


def is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_nothing_special_is_left_as_it_is():
    """Numbers, names with underscores and the usual signs of tables need no escape."""
    for text in ("57.1 [51.8, 62.2]", "+20.0 (p < 0.001)", "atlpa_no_attention resnet18", "‖δ‖∞", "– / 5.0", "<5 %"):
        assert markdown_cell(text) == text
    for value in (-0.3, 17, "-0.3", "+1e-5", "57.1 [51.8, 62.2]", "atlpa", None):
        assert csv_cell(value) == value


COMMANDS = {r"\textbackslash{}": "\\", r"\textasciicircum{}": "^", r"\textasciitilde{}": "~"}
COMMANDS |= {rf"\{sign}": sign for sign in "&%_#${}"} | {"$<$": "<", "$>$": ">", r"$\pm$": "±", r"$\times$": "×"}
READ_LATEX = re.compile("|".join(map(re.escape, COMMANDS)))
printable = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="ε–∞−‖δ")).map(one_line)


@given(printable)
def test_latex_says_the_text(text):
    assert READ_LATEX.sub(lambda found: COMMANDS[found[0]], latex(text)) == text


@given(printable)
def test_markdown_says_the_text(text):
    said = re.sub(r"\\([\\`*$~_\]|])", r"\1", markdown_cell(text).replace("\\~~", "~~"))
    assert said.replace("&lt;", "<").replace("&amp;", "&") == text.replace("&lt;", "<").replace("&amp;", "&")
    assert "|" not in re.sub(r"\\.", "", markdown_cell(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@A1", "'@A1"),
        ("\t=1", "'=1"),
        ("\r\n@x", "'@x"),
        ("-0.3", "-0.3"),
        ("-inf", "-inf"),
        ("+20.0 (p 0.1)", "'+20.0 (p 0.1)"),
        ("1=1", "1=1"),
    ],
)
def test_csv_cells_are_no_formulas(text, said):
    assert Table(("a",), [(text,)]).csv() == f"a\n{said}\n"
    assert Table((text,), []).csv() == f"{said}\n"


@pytest.mark.parametrize(
    "name",
    [
        "javascript:alert(1).json",
        "data:text,x.json",
        "https:evil.json",
        "a b#c?d=e&f.json",
        '"><b>.json',
        "100%25.json",
        "bytes \udcff.json",
    ],
)
def test_the_link_to_a_record_is_a_way_to_its_file(name, tmp_path):
    """Beside the page itself, where a name alone is the whole link; and below."""
    path, fields = ALL[0]
    for folder in (tmp_path, tmp_path / "scheme:x"):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(fields))
        results = collect([folder / name])
        _, *links = Page(page(results, sections(results), {}, tmp_path)).links
        assert links
        for href in links:
            assert not urlsplit(href).scheme
            assert not urlsplit(href).query
            assert (tmp_path / unquote(href, errors="surrogateescape")) == folder / name
        assert link(folder / name, tmp_path) in links
    assert read(path)


@each_name
def test_figures_draw_any_name(name):
    """Labels are no formulas, and every line is in the legend."""
    network = {"run": "x", "defense": f"{name}d", "architecture": "resnet18", "seed": 0, "weights": "0" * 64}
    path, fields = next((path, fields) for path, fields in ALL if fields.get("threat") == "white")
    record = type(read(path)).of(path, {**fields, "target": network, "source": network})
    log = [{"step": step, "terms": {name: 1.0 / step}, "learning_rate": 0.1} for step in (1, 2)]
    for figure, beside in (accuracy_curves([record]), ["guessing"]), (training_figure({f"{name}d": log}), []):
        figure.draw_without_rendering()
        text, *others = figure.legends[0].get_texts()
        assert [other.get_text() for other in others] == beside
        assert text.get_text().replace(r"\$", "$").strip().startswith(one_line(f"{name}d")[:400].strip())
        assert not text.get_text().startswith("_")


def test_figure_text_is_no_formula():
    assert figure_text("a$x^2$") == r"a\$x^2\$"
    assert figure_text("plain") == "plain"


@pytest.mark.parametrize("name", ["../mine", "/etc/x", "a/b", "..", "", "a\nb", "-x", "x\0"])
def test_a_name_that_is_no_file_name_is_refused(name, monkeypatch):
    with pytest.raises(UserError, match="is no name of a table"):
        Section(name, "Mine", Table(("a",), []))
    monkeypatch.setitem(FIGURES.built_in, name, lambda _: None)
    with pytest.raises(UserError, match="is no name of a figure"):
        report_figures(Results([]))


def test_names_of_files_that_the_page_takes_in_are_text(tmp_path):
    """Attention figures lie in the folder already: a folder of that name is none, and a name is no markup."""
    path, _ = ALL[0]
    write_report(collect([path]), tmp_path)
    (tmp_path / "attention-<script>alert(1)<.png").write_bytes(b"png")
    (tmp_path / "attention-folder.png").mkdir()
    write_report(collect([path]), tmp_path)
    page = Page((tmp_path / "index.html").read_text())
    assert page.tags.count("script") == 1
    assert "<script>alert(1)<" in page.text
    assert "attention of every stage, folder" not in page.text


def test_markdown_notes_are_escaped_line_by_line():
    section = Section("x", "a*b", Table(("a",), []), "one <b>\ntwo|three\n")
    assert section.markdown().startswith("**a\\*b**")
    assert section.markdown().endswith("one &lt;b>\ntwo|three\n")
    assert markdown("[51.8, 62.2] (p)") == "[51.8, 62.2] (p)"
