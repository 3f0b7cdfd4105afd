"""A data set of one's own: forty lines, and it is checked, trained on and judged as ours are."""

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from atlpa.cli.data import main as data
from atlpa.cli.eval import main as judge
from atlpa.cli.train import main as train
from atlpa.experiment import load, parse
from tests.exercises.conftest import lines

NAME = "outside.dataset:Listed"
COUNTS = {"train": 4, "validation": 2, "test": 3}


@pytest.fixture(autouse=True)
def photographs():
    """``photographs/list.csv`` and what it lists, for each of two classes as ``COUNTS`` has it."""
    Path("photographs").mkdir()
    rows = ["file,class,part"]
    for label, (part, count) in product(("cat", "dog"), COUNTS.items()):
        for number in range(count):
            name = f"{label}-{part}-{number}.png"
            Image.effect_noise((24, 20), 90).save(Path("photographs") / name)
            rows.append(f"{name},{label},{part}")
    Path("photographs/list.csv").write_text("\n".join(rows) + "\n")


def test_it_is_short():
    assert lines("dataset.py") <= 40


def test_checked_by_the_command_where_it_lies_in_the_current_folder():
    """A command that is started by its script would not look there."""
    shutil.copytree(Path(__file__).parent / "outside", "outside")
    command = ["atlpa-data", "check", NAME, "--root", "photographs"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    numbers = [str(count) for count in (*COUNTS.values(), sum(COUNTS.values()))]
    rows = [[cell.strip() for cell in line.split("|")[1:6]] for line in done.stdout.splitlines() if "|" in line]
    assert ["cat", *numbers] in rows
    assert ["dog", *numbers] in rows
    assert "nothing is wrong" in done.stdout


def test_trained_on_and_judged(capsys):
    config = {"name": "mine", "data": {"name": NAME, "root": "photographs"}, "defense": "none"}
    config |= {"model": {"architecture": "resnet18", "weights": "none"}, "training": {"iterations": 1, "batch_size": 4}}
    Path("mine.yaml").write_text(json.dumps(config))
    assert train(["--config", "mine.yaml", "--output", "run"]) == 0
    assert parse(load("run/experiment.yaml").resolved()).data.name == NAME
    listed = json.loads(Path("run/split.json").read_text())
    assert "cat-test-2.png" in json.dumps(listed)
    assert judge(["--run", "run", "--threat", "white", "--iters", "1", "--json", "records.json"]) == 0
    assert f"note: run uses {NAME} of outside, not installed as a package" in capsys.readouterr().out
    (record,) = json.loads(Path("records.json").read_text())
    assert (record["data"]["dataset"], record["data"]["count"]) == (NAME, 2 * COUNTS["validation"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([NAME, "--root", "nowhere"], "no nowhere/list.csv; it has a line for each photograph: file, class, part"),
        ([NAME, "--set", "rot=1"], "unknown key 'rot'; did you mean 'root'?"),
        ([NAME], "root: Field required"),
        (["outside.dataset:csv"], "data set 'outside.dataset:csv' is no subclass of atlpa.data.Dataset"),
        (["outside.nothing:Listed"], "data set 'outside.nothing:Listed' cannot be imported: No module named"),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, words):
    assert data(["check", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
