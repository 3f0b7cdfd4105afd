"""The trackers that the page on training prints, against the packages themselves, as far as these are installed."""

import json
import sys
from pathlib import Path

import pytest

from atlpa.cli.train import main as train
from tests.website.blocks import DOCS, blocks

QUICK = {"iterations": 4, "batch_size": 4, "log_every": 1, "validate_every": 2}


def trained(tracker, monkeypatch):
    """What the log holds of a run with one of the page's trackers: name → step → value."""
    (printed,) = [text for text in blocks(DOCS / "training.md", "python") if tracker in text]
    Path("mine.py").write_text(printed)
    monkeypatch.syspath_prepend(Path.cwd())
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    fields = [word for field, value in QUICK.items() for word in ("--set", f"training.{field}={value}")]
    small = ["--set", "data.resize=20", "--set", "data.size=16", "--set", f"training.trackers=[mine:{tracker}]"]
    assert train(["--config", "digits", "--defense", "pat", *fields, *small, "--output", "runs/one"]) == 0
    told = {}
    for line in map(json.loads, Path("runs/one/log.jsonl").read_text().splitlines()):
        for name, value in line.items():
            for inner, number in value.items() if isinstance(value, dict) else [("", value)]:
                told.setdefault(f"{name}/{inner}".rstrip("/"), {})[line["step"]] = number
    del told["step"]
    return told


def test_mlflow_is_told_the_whole_log(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # what the package without a data base writes
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/mlruns")
    told = trained("mlflow_run", monkeypatch)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(["0"])
    assert run.info.run_name == "one"
    assert run.info.status == "FINISHED"
    assert run.data.metrics.keys() == told.keys()
    for name, steps in told.items():
        assert {one.step: one.value for one in client.get_metric_history(run.info.run_id, name)} == steps


def test_wandb_is_told_the_whole_log(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    made, seen, init = [], {}, wandb.init

    def overheard(**settings):
        made.append(init(**settings))
        log = made[-1].log

        def logged(values, step):
            log(values, step=step)
            for name, value in values.items():
                seen.setdefault(name, {})[step] = value

        made[-1].log = logged
        return made[-1]

    monkeypatch.setattr(wandb, "init", overheard)
    told = trained("wandb_run", monkeypatch)
    (run,) = made
    assert seen == told
    assert run.id == "runs-one"
    assert run.config["training.batch_size"] == 4
    (kept,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert all(name.encode() in kept.read_bytes() for name in told)
