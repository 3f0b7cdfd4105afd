"""The command that makes the whole paper: what it says of its cost, what it keeps, what it draws."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from atlpa.report import collect
from atlpa.studies import load_study, plan
from scripts import paper, race, results_page
from scripts.attention import attention

CONFIG = {
    "data": {"name": "folder", "root": "photos", "resize": 32, "size": 32},
    "model": {"architecture": "resnet18", "weights": "none"},
    "defense": "none",
    "training": {
        "iterations": 3,
        "batch_size": 2,
        "log_every": 1,
        "attack": {"epsilon": 0.25, "step": 0.125, "iterations": 2},
    },
}
STUDY = {
    "config": "config.yaml",
    "defenses": ["none", "pat"],
    "attack": {"step": 0.1},
    "epsilons": [0.25],
    "budgets": [2],
}
PAGE = "# Results\n\n<!-- tiny: table1 -->\n\n| old |\n\nWhat it means.\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two rows on ten images of each of two classes, and a page for their table."""
    monkeypatch.chdir(tmp_path)
    for label in ("dark", "light"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(10):
            shades = np.random.default_rng(number).integers(0, 128, (32, 32, 3)) + 127 * (label == "light")
            Image.fromarray(shades.astype(np.uint8)).save(tmp_path / "photos" / label / f"{number}.png")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(STUDY))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "results.md").write_text(PAGE)
    monkeypatch.setattr(paper, "STUDIES", {"small": ("tiny.yaml",), "full": ("tiny.yaml",)})
    for module in (paper, results_page):
        monkeypatch.setattr(module, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(results_page, "PAGES", (tmp_path / "docs" / "results.md",))
    return tmp_path


def test_the_passes_of_a_plan(here):
    """Steps × images × passes: one for clean training, and with PGD of two steps two more and one for its images."""
    todo = plan(load_study("tiny.yaml"))
    judged = 4  # a fifth of twenty
    assert paper.passes(todo) == 3 * 2 * 1 + 3 * 2 * (2 + 2) + 3 * judged * 2


def test_the_full_one_tells_its_cost_where_there_is_no_gpu(here, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert paper.main("full", here / "photos") == 2
    out = capsys.readouterr().out
    assert "tiny.yaml: 2 trainings, 3 attacks" in out
    assert "resnet18 at 32×32" in out
    assert "make paper-small is for a CPU" in out
    assert not (here / "runs").exists()


def test_data_that_is_not_there_costs_nothing(here, capsys):
    assert paper.main("small", here / "nowhere") == 2
    assert "nowhere" in capsys.readouterr().out
    assert not (here / "runs").exists()


def test_records_are_kept_and_drawn_and_the_second_time_nothing_is_new(here, capsys):
    assert paper.main("small", here / "photos") == 0
    assert "changed; read what is said" in capsys.readouterr().out
    page = (here / "docs" / "results.md").read_text()
    assert "| pat resnet18" in page
    assert page.endswith("\n\nWhat it means.\n")
    kept = here / "docs" / "results" / "tiny"
    runs = sorted(path.name for path in kept.iterdir() if path.is_dir())
    assert len(runs) == 2
    for run in runs:
        experiment = yaml.safe_load((kept / run / "experiment.yaml").read_text())
        assert experiment["data"]["root"] == "photos"
        names = {path.name for path in (Path("runs/tiny") / run / "records").iterdir()}
        assert names == {path.name for path in (kept / run / "records").iterdir()}
    assert not list(kept.rglob("*.pt"))
    for file in (*kept.rglob("*.json"), *kept.rglob("*.yaml")):  # where the images lie here is said nowhere
        assert str(here) not in file.read_text()
    assert paper.main("small", here / "photos") == 0
    assert "as it was" in capsys.readouterr().out


def test_a_network_that_another_process_is_training_is_not_kept(here):
    made = here / "runs" / "tiny" / "pat-resnet18-seed0"
    made.mkdir(parents=True)
    (made / "experiment.yaml").write_text("name: tiny")
    paper.keep("tiny")
    assert not (here / "docs" / "results" / "tiny" / made.name).exists()


def test_a_table_that_there_is_none_of(here):
    paper.main("small", here / "photos")
    with pytest.raises(ValueError, match=r"tiny has no table 'table9'; valid: table1"):
        results_page.drawn("<!-- tiny: table9 -->\n\n")


def _cells(marker):
    """Of the table that a page has there: row and column → cell."""
    lines = results_page.drawn(f"<!-- {marker} -->\n\n").splitlines()[2:]
    columns, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {(row[0], column): cell for row in rows for column, cell in zip(columns, row, strict=True)}


def test_a_table_of_some_epsilons_has_those_cells_of_the_whole_one():
    whole, some = _cells("cars-small: table1"), _cells("cars-small at 8/255 0.5: table1")
    assert some == {(row, column): cell for (row, column), cell in whole.items() if not column.endswith("0.25")}
    assert some.keys() < whole.keys()


def test_how_far_a_defense_lies_above_another():
    """The means are those of all images of all seeds, counted; none is above itself."""
    results = collect([results_page.DOCS / "results" / "flowers-race"])
    records = [record for record in results.evaluations if record.threat == "white"]

    def mean(row):
        verdicts = "".join(one.budgets[-1].correct[0] for one in records if one.target.defense == row)
        return 100 * verdicts.count("1") / len(verdicts)

    found = race.trainings(results)
    rows = {row[0]: row for row in race.above("recipe", found).rows}
    assert rows["recipe"][4:] == (f"{mean('recipe'):.1f}", "–", "–")
    other = "tolerant_logit_and_attention"
    assert rows[other][6].startswith(f"{mean(other) - mean('recipe'):+.1f} [")
    # Two steps of the attack and one of learning, on sixteen clean images as well; N-FGSM has one step on sixteen.
    assert rows["recipe"][2] == f"{1500 * (16 * 2 + 16 * 2) / 1000:.0f}" == rows["n_fgsm"][2]


def test_two_architectures_of_one_defense_are_two_trainings():
    """Neither their images nor their seeds are put together."""
    results = collect([results_page.DOCS / "results" / "flowers-small"])
    rows = race.trainings(results)
    assert {"none resnet18", "none resnet34", "pat"} < rows.keys()
    white = [one for one in results.evaluations if (one.threat, one.attack["epsilon"]) == ("white", 8 / 255)]
    networks = {(one.target.defense, one.target.architecture, one.target.seed) for one in white}
    seeds = Counter(" ".join(which[: 2 if which[0] == "none" else 1]) for which in networks)
    assert {name: len(row.left) for name, row in rows.items()} == seeds


def test_a_single_seed_among_single_seeds_has_no_interval():
    results = collect([results_page.DOCS / "results" / "flowers-race"])
    alone = [record for record in results.evaluations if record.target.seed == 0]
    first = race.trainings(replace(results, evaluations=alone))
    assert all("[" not in str(cell) for row in race.above("recipe", first).rows for cell in row)


def test_how_much_maps_depend_on_the_image_as_their_files_say():
    study = results_page.DOCS / "results" / "cars-small"
    records = collect([study]).analyses
    row = next(row for row in attention(records).rows if row[0] == "alp resnet18")
    folder = study / "alp-resnet18-seed0-final" / "records"
    (clean,), (gray,) = ([json.loads(file.read_text()) for file in folder.glob(f"attention-{seen}-*.json")]
                         for seen in ("clean", "gray"))  # fmt: skip
    assert [float(cell) for cell in row[1:]] == [round(value, 3) for value in clean["variation"] + gray["distance"]]
    maps = [record for record in records if record.kind == "attention"]
    assert attention([record for record in maps if record.seen.source is None]) is None  # clean images alone


def test_what_transfer_leaves_of_those_right_clean():
    """Counted image by image; a network is not attacked from itself."""
    records = collect([results_page.DOCS / "results" / "flowers-small-first"]).evaluations
    table = results_page.transfer_matrix(records)
    row = next(row for row in table.rows if row[:3] == ("pgd", "none resnet34", "0.25"))
    cells = dict(zip(table.columns, row, strict=True))
    (record,) = [one for one in records if one.target.run.endswith("alp-resnet18-seed0-final")
                 and (one.threat, one.attack["epsilon"]) == ("black", 0.25)]  # fmt: skip
    both = [pair == ("1", "1") for pair in zip(record.budgets[-1].correct[0], record.clean[0], strict=True)]
    assert str(cells["alp resnet18"]).startswith(f"{100 * sum(both) / record.clean[0].count('1'):.1f} [")
    assert cells["none resnet34"] == "–"
