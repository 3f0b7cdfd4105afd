"""What the documents say is what the records hold."""

import shutil
from pathlib import Path

import pytest
import torch

from atlpa.experiment import load
from atlpa.models import ModelSpec
from atlpa.records import Training
from atlpa.report import collect, tidy
from atlpa.report.sections import sections
from atlpa.statistics import share
from benchmarks.page import write_page

DOCS = Path(__file__).parents[1] / "docs"
SHOWN = ("table1", "table1-paper", "significance", "table2", "table3", "landscape-ranges")
"""Tables of the main study that the page on results shows; the rest is in the studies' own table.md."""
STUDIES = sorted(path.parent for path in (DOCS / "results").glob("*/table.md"))


@pytest.fixture(params=STUDIES, ids=lambda path: path.name)
def study(request):
    return request.param


def evaluations(study):
    return collect([study]).evaluations


def test_tables_are_drawn_from_the_committed_records(study):
    for section in sections(collect([study])):
        table = section.table.markdown()
        assert table in (study / "table.md").read_text()
        if section.name == "table1" or (section.name in SHOWN and study.name == "flowers-small"):
            assert table in (DOCS / "results.md").read_text()
    rows = tidy(evaluations(study)).csv().splitlines()
    assert sorted(rows) == sorted((study / "table.csv").read_text().splitlines())


def test_the_page_on_performance_is_drawn_from_the_committed_records(tmp_path):
    shutil.copytree(DOCS / "performance", tmp_path / "performance")
    shutil.copy(DOCS / "performance.md", tmp_path)
    write_page(tmp_path / "performance")
    assert (tmp_path / "performance.md").read_text() == (DOCS / "performance.md").read_text()


def test_the_snippet_for_research_code_runs():
    """It leaves gradients of all of Eq. 2, and every name in it exists."""
    text = (DOCS.parent / "README.md").read_text().partition("## Your own research code")[2]
    snippet = text.partition("```python\n")[2].partition("```")[0]
    model = ModelSpec(architecture="resnet18", weights="none").build(10, seed=0)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    names = {"torch": torch, "model": model, "images": images, "labels": torch.tensor([1, 7])}
    exec(snippet, names)
    assert names["terms"].keys() == {"cross_entropy", "tolerant_logit", "attention_map"}
    assert names["terms"]["attention_map"] > 0
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_every_run_is_described(study):
    for path in study.glob("*/records/training.json"):
        record = Training.load(path)
        experiment = load(str(path.parents[1] / "experiment.yaml"))
        assert record.iterations == experiment.training.iterations
        assert record.network.defense == experiment.defense.name
        assert (path.parents[1] / "log.jsonl").read_text().count(
            "\n"
        ) >= record.iterations // experiment.training.log_every


def test_the_choices_are_those_of_the_records():
    """The candidates' clean and gray-box accuracies in the page on defenses."""
    page = (DOCS / "defenses.md").read_text()
    records = evaluations(DOCS / "results" / "flowers-small-choices")
    assert len(records) == 14
    for record in records:
        clean, gray = (100 * share(verdicts).value for verdicts in (record.clean, record.budgets[-1].correct))
        kind, _, value = Path(record.target.run).name.rpartition("-")
        value = {"rat-gauss": f"Gaussian {value}", "rat-uniform": f"uniform {value}"}.get(kind, value)
        label = "`pat` with the same budget" if record.target.defense == "pat" else value
        assert f"{label}: {clean:.1f} / {gray:.1f}" in page
