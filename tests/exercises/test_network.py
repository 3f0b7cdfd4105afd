"""A network of one's own: a factory of a few lines, and every command takes it."""

import json
from pathlib import Path

from atlpa.cli.analyze import main as analyze
from atlpa.cli.eval import main as evaluate
from atlpa.cli.train import main as train
from tests.exercises.conftest import lines

NAME = "outside.network:small"
TINY = ["--set", "training.iterations=2", "--set", "training.batch_size=4", "--set", f"model.architecture={NAME}"]


def test_it_is_short():
    assert lines("network.py") <= 15


def test_it_is_trained_attacked_and_looked_into():
    """By its stages' own names; the undefended one beside it is the gray-box source."""
    for defense in ("none", "atlpa"):
        train(["--config", "digits", "--defense", defense, "--final", *TINY, "--output", f"runs/{defense}"])
    log = [json.loads(line) for line in Path("runs/atlpa/log.jsonl").read_text().splitlines()]
    assert log[-1]["terms"].keys() == {"cross_entropy", "tolerant_logit", "attention_map"}
    evaluate(["--run", "runs/atlpa", "--threat", "gray", "--eps", "0.1", "--iters", "1", "--limit", "8"])
    (record,) = Path("runs/atlpa/records").glob("gray-*.json")
    assert record.name.startswith("gray-none-outside.network-small-pgd")
    assert json.loads(record.read_text())["source"]["architecture"] == NAME
    analyze(["runs/atlpa", "--what", "attention,embedding", "--limit", "20", "--eps", "0.1", "--iters", "1"])
    (found,) = Path("runs/atlpa/records").glob("attention-gray-*.json")
    assert json.loads(found.read_text())["stages"] == ["early", "late"]
