"""``atlpa-study``: a plan that can be seen, stopped, split, resumed and changed."""

from pathlib import Path

import pytest

from atlpa.cli.study import main
from atlpa.models import slug
from atlpa.records import Evaluation
from atlpa.studies import load_study, plan, shipped_studies
from tests.narrow import NARROW

STUDY = f"""
config: digits
changes:
  {{training.iterations: 3, training.batch_size: 4, training.log_every: 1, model.architecture: "{NARROW}"}}
defenses: [none, rat, {{preset: atlpa, name: atlpa-conv5, terms: {{attention_map: {{stages: [conv5_x]}}}}}}]
seeds: [0]
black_box: small_cnn
surrogates: [rat]
attack: {{step: 4/256}}
epsilons: [0.25]
budgets: [2, 3]
limit: 4
"""
CHANGED = f"atlpa-conv5-{slug(NARROW)}-seed0-final"


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(STUDY)
    return Path("runs/mine")


def rows(text):
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return lines[2:]


def planned(capsys, *arguments):
    capsys.readouterr()
    assert main(["mine.yaml", "--plan", *arguments]) == 0
    return {row[0]: row[1] for row in rows(capsys.readouterr().out)}


def edit(old, new):
    text = Path("mine.yaml").read_text()
    assert old in text
    Path("mine.yaml").write_text(text.replace(old, new))


def test_a_study_from_nothing_to_its_table(study, capsys):
    before = planned(capsys)
    assert list(before.values()) == ["to do"] * 5 + ["waits"] * 7
    assert not study.exists()

    assert main(["mine.yaml"]) == 0
    text = capsys.readouterr().out
    table = rows(text)[:4]  # the first of the report's tables
    networks = ["none small_cnn", f"none {NARROW}", f"rat {NARROW}", f"atlpa-conv5 {NARROW}"]
    assert [row[0] for row in table] == networks
    assert "surrogate 0.25" in text
    assert [[cell for cell in row if cell == "= white"] for row in table] == [["= white"], ["= white"], [], []]
    assert "4 of 359 test images of digits" in text
    assert "\nSeed 0; " in text
    assert {path.name for path in study.iterdir() if path.is_file()} >= {
        "table.md",
        "table.csv",
        "curves.png",
        "index.html",
    }
    assert set(planned(capsys).values()) == {"done"}

    untouched = {path: path.stat().st_mtime_ns for path in study.glob("*/**/*") if path.is_file()}
    assert main(["mine.yaml"]) == 0
    assert "[" not in capsys.readouterr().out.partition("|")[0]
    assert {path: path.stat().st_mtime_ns for path in study.glob("*/**/*") if path.is_file()} == untouched

    # One attack more is made by a changed study, and nothing of the old protocol is in the new table.
    edit("limit: 4", "limit: 5")
    assert list(planned(capsys).values()) == ["done"] * 5 + ["to do"] * 7
    edit("limit: 5", "limit: 4")
    assert set(planned(capsys).values()) == {"done"}

    # A changed training makes its run stale: it is not mixed in, and moved only when that is asked for.
    edit("stages: [conv5_x]", "stages: [conv4_x]")
    assert planned(capsys)[f"train {CHANGED}"] == "stale"
    assert main(["mine.yaml"]) == 2
    assert "it is left as it is: give the study another name, or move" in capsys.readouterr().err
    assert not list(study.glob("*.stale-*"))
    assert main(["mine.yaml", "--only", "train", "--put-aside"]) == 0
    assert "it is moved to" in capsys.readouterr().out
    assert planned(capsys)[f"white-box, {CHANGED}, ε 0.25"] == "to do"
    assert len(list(study.glob("atlpa-conv5-*.stale-*/records/*.json"))) == 4


def test_shards_are_disjoint_and_together_the_whole(study, capsys):
    whole = planned(capsys)
    parts = [planned(capsys, "--shard", f"{number}/3") for number in (1, 2, 3)]
    assert sorted(step for part in parts for step in part) == sorted(whole)
    assert all(planned(capsys, "--shard", f"{number}/3") == part for number, part in zip((1, 2, 3), parts, strict=True))

    for number in (2, 1):
        assert main(["mine.yaml", "--only", "train", "--shard", f"{number}/2"]) == 0
    assert main(["mine.yaml", "--only", "evaluate", "--shard", "2/2"]) == 0
    assert "wait" not in capsys.readouterr().out
    states = list(planned(capsys).values())
    assert states[:5] == ["done"] * 5
    assert states[5:] == ["to do", "done"] * 3 + ["to do"]
    assert main(["mine.yaml", "--only", "report"]) == 0
    assert "4 of 12 steps are not done yet" in capsys.readouterr().out


def test_attacks_wait_for_their_networks_and_the_report_needs_no_data(study, capsys, monkeypatch):
    assert main(["mine.yaml", "--only", "evaluate"]) == 0
    assert "waiting for networks that are not trained yet: 7 of " in capsys.readouterr().out
    assert main(["mine.yaml", "--only", "report"]) == 0
    assert "nothing is on record yet" in capsys.readouterr().out


def test_one_attack_serves_every_target_and_budget(study):
    edit("rat, ", "")
    edit("surrogates: [rat]", "surrogates: []")
    assert main(["mine.yaml"]) == 0
    records = [Evaluation.load(path) for path in study.glob("*/records/gray-*.json")]
    assert {record.target.defense for record in records} == {"atlpa-conv5"}
    black = [Evaluation.load(path) for path in study.glob("*/records/black-*.json")]
    from_the_other = [record for record in black if record.source.architecture == "small_cnn"]
    assert len({record.seconds for record in from_the_other}) == 1  # made once, for both targets
    assert all([budget.iterations for budget in record.budgets] == [2, 3] for record in records + black)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("config: digits", "config: digitz", "did you mean 'digits'"),
        ("config: digits", "confik: digits", "unknown key 'confik'; did you mean 'config'"),
        ("[none, rat, ", "[none, paat, rat, ", "did you mean 'pat'"),
        ("surrogates: [rat]", "surrogates: [none]", "'none' is no defended row"),
        ("seeds: [0]", "seeds: [0, 0]", "0 is listed twice"),
        ("attack: {step: 4/256}", "attack: {epsilon: 0.1}", "the study's own epsilons"),
        ("attack: {step: 4/256}", "attack: {steq: 4/256}", "did you mean 'step'"),
        ("epsilons: [0.25]", "epsilons: [64]", "write 64/255"),
        ("budgets: [2, 3]", "budgets: []", "budgets"),
        ("config: digits", "", "config: Field required"),
    ],
)
def test_a_wrong_study_is_one_line(study, capsys, old, new, words):
    edit(old, new)
    assert main(["mine.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not study.exists()


@pytest.mark.parametrize("arguments", [["nowhere"], ["mine.yaml", "--plan", "--only", "train"], ["digitz"]])
def test_bad_arguments(study, capsys, arguments):
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("text", ["3/2", "0/2", "half"])
def test_bad_shards(study, capsys, text):
    with pytest.raises(SystemExit):
        main(["mine.yaml", "--shard", text])
    assert "the second of eight" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(shipped_studies()))
def test_shipped_studies_can_be_planned(name):
    study = load_study(name)
    laid_out = plan(study, [("data.root", "anywhere")] if study.config != "digits" else [])
    networks = [step.experiment for step in laid_out.trainings]
    assert len({experiment.folder for experiment in networks}) == len(networks)
    assert {"digits", "flowers-small", "flowers", "bmw", "cars-small"} <= set(shipped_studies())
