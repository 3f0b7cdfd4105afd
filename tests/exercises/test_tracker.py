"""A tracker of one's own: a function of four lines, by its import path."""

import json
from pathlib import Path

from atlpa.cli.train import main as train
from atlpa.runs import Run
from tests.exercises.conftest import lines

NAME = "outside.tracker:table"
TINY = ["--set", "training.iterations=2", "--set", "training.batch_size=4", "--set", "data.size=16"]
NETWORK = ["--set", "model.architecture=outside.network:small"]


def test_it_is_short():
    assert lines("tracker.py") <= 10


def test_it_is_told_the_whole_log(capsys):
    every = ["--set", "training.log_every=1", "--set", f"training.trackers=[{NAME}]"]
    assert train(["--config", "digits", "--defense", "pat", *TINY, *NETWORK, *every, "--output", "run"]) == 0
    told = [tuple(line.split(",")) for line in Path("run/numbers.csv").read_text().splitlines()]
    found = {(int(step), name): float(value) for step, name, value in told}
    assert len(found) == len(told)  # nothing twice
    first, second, looked = map(json.loads, Path("run/log.jsonl").read_text().splitlines())
    for step, line in ((1, first), (2, second)):
        assert found[step, "terms/cross_entropy"] == line["terms"]["cross_entropy"]
        assert found[step, "loss"] == line["loss"]
        assert found[step, "timing/seconds"] == line["timing"]["seconds"]
    assert found[2, "validation/clean_accuracy"] == looked["validation"]["clean_accuracy"]
    names = {"learning_rate", "loss", "terms/cross_entropy", "clean_accuracy", "adversarial_accuracy", "timing/seconds"}
    assert {name for step, name in found if step == 1} == names
    assert NAME in Run.open(Path("run")).experiment.code
    capsys.readouterr()
