"""What the documents say is what the records hold."""

import json
import re
import shutil
from pathlib import Path
from statistics import fmean, stdev

import pytest
import torch
from scipy.stats import t as student

from atlpa.experiment import load
from atlpa.models import ModelSpec
from atlpa.records import Training
from atlpa.records.log import read_log
from atlpa.report import collect, sections, tidy
from atlpa.statistics import share
from benchmarks import distances, ensemble
from benchmarks.page import write_page
from scripts.results_page import PAGES, drawn

DOCS = Path(__file__).parents[1] / "docs"
SHOWN = {"table1", "table1-paper", "significance", "attention", "table2", "table3", "landscape-ranges"}
"""Tables of the main study that the page on results shows; the rest is in the studies' own table.md."""
STUDIES = sorted(path.parent for path in (DOCS / "results").glob("*/table.md"))


@pytest.fixture(params=STUDIES, ids=lambda path: path.name)
def study(request):
    return request.param


def evaluations(study):
    return collect([study]).evaluations


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_on_results_is_drawn_from_the_committed_records(page):
    text = page.read_text()
    assert drawn(text) == text


def test_every_table_of_the_first_run_is_on_a_page():
    text = "".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"<!-- flowers-small-first: ([\w-]+) -->", text)) == SHOWN


def test_tables_are_drawn_from_the_committed_records(study):
    for section in sections(collect([study])):
        assert section.table.markdown() in (study / "table.md").read_text()
    rows = tidy(evaluations(study)).csv().splitlines()
    assert sorted(rows) == sorted((study / "table.csv").read_text().splitlines())


def test_the_page_on_performance_is_drawn_from_the_committed_records(tmp_path):
    shutil.copytree(DOCS / "performance", tmp_path / "performance")
    shutil.copy(DOCS / "performance.md", tmp_path)
    write_page(tmp_path / "performance")
    assert (tmp_path / "performance.md").read_text() == (DOCS / "performance.md").read_text()


def test_what_the_page_on_performance_says_of_the_ensemble_is_on_record():
    for file in (DOCS / "results" / "ensemble").glob("*.json"):
        assert ensemble.page(json.loads(file.read_text())) in (DOCS / "performance.md").read_text()


def test_distances_beside_foolbox_are_on_record():
    record = json.loads((DOCS / "results" / "distances" / "foolbox.json").read_text())
    assert distances.page(record) in (DOCS / "distances.md").read_text()


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


def test_what_was_learned_is_what_the_logs_hold():
    """The last twenty logged batches under the training attack, and the share that lies above guessing."""
    page = " ".join((DOCS / "first-run.md").read_text().split())
    found = {}
    for log in (DOCS / "results" / "flowers-small-first").glob("*-seed0-final/log.jsonl"):
        values = [line["adversarial_accuracy"] for line in read_log(log)[-20:]]
        if None not in values:
            found[log.parent.name.partition("-")[0]] = 100 * fmean(values)
    said = (
        f"RAT {found['rat']:.1f} %, FD and TRADES {found['fd']:.1f}, PAT {found['pat']:.1f}, "
        f"PAT with smoothing {found['pat_smooth']:.1f}, ATLPA without attention {found['atlpa_no_attention']:.1f}, "
        f"ALP {found['alp']:.1f}, ATLPA {found['atlpa']:.1f}, where guessing has {100 / 17:.1f}"
    )
    assert said in page
    assert len(found) == 8
    assert found["trades"] == found["fd"]
    right = {name: round(3.2 * accuracy) for name, accuracy in found.items()}
    above = {name for name, n in right.items() if share(["1" * n + "0" * (320 - n)]).low > 1 / 17}
    assert above == {"rat", "trades", "fd"}


def test_differences_between_networks_are_those_of_the_verdicts():
    """Mean of the paired differences over images, with Agresti and Min's 95 % interval: four images more."""
    page = " ".join((DOCS / "first-run.md").read_text().replace("−", "-").split())
    records = evaluations(DOCS / "results" / "flowers-small-first")
    found = {
        (record.target.defense, record.threat, record.attack["epsilon"]): [
            int(v) for v in record.budgets[-1].correct[0]
        ]
        for record in records
        if record.target.architecture == "resnet18"
    }
    for first, second, threat, epsilon in (
        ("atlpa", "atlpa_no_attention", "gray", 0.5),
        ("atlpa", "alp", "gray", 0.25),
        *(("atlpa_no_attention", "pat_smooth", threat, e) for threat in ("gray", "black") for e in (0.25, 0.5)),
    ):
        points = [
            100 * (a - b) for a, b in zip(found[first, threat, epsilon], found[second, threat, epsilon], strict=True)
        ]
        padded = [*points, 0, 100, -100, 0]
        half = student.ppf(0.975, len(padded) - 1) * stdev(padded) / len(padded) ** 0.5
        low, high = fmean(padded) - half, fmean(padded) + half
        assert f"{fmean(points):+.1f}" in page
        assert f"{low:+.1f} to {high:+.1f}" in page


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
