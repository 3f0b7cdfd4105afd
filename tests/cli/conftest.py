"""Trained networks side by side, for commands that judge them."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def runs(tiny_run, tmp_path, monkeypatch):
    """Three trained networks side by side, as ``runs/`` of the present folder; ``pat`` is the newest."""
    monkeypatch.chdir(tmp_path)
    made = [tiny_run(), tiny_run("none", "resnet34"), tiny_run("pat")]
    for run in made:
        shutil.copytree(run.folder, Path("runs") / run.folder.name, ignore=shutil.ignore_patterns("*.json"))
        (Path("runs") / run.folder.name / "records").mkdir(exist_ok=True)
        shutil.copy(run.training_record, Path("runs") / run.folder.name / "records")
    return Path("runs")
