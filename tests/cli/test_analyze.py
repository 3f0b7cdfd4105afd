"""``atlpa-analyze`` as a user meets it."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from atlpa.cli.analyze import main
from atlpa.records import Attention, Embedding, Landscape, Regions, read

FAST = ["--iters", "2", "--step", "0.1", "--limit", "20", "--images", "1", "--grid", "7"]


@pytest.fixture
def runs(tiny_run, tmp_path, monkeypatch):
    """Three trained networks side by side."""
    monkeypatch.chdir(tmp_path)
    for run in (tiny_run(), tiny_run("none", "resnet34"), tiny_run("pat")):
        shutil.copytree(run.folder, Path("runs") / run.folder.name)
        for record in (Path("runs") / run.folder.name / "records").glob("*-*.json"):
            record.unlink()
    return ["runs/none-resnet18", "runs/pat-resnet18"]


def refused(capsys, *arguments):
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("atlpa-analyze: ")
    return line


def records_of(run):
    return [read(path) for path in sorted(Path(run, "records").glob("*-*.json"))]


@pytest.mark.long
def test_everything_of_two_runs(runs, capsys):
    assert main([*runs, *FAST]) == 0
    out = capsys.readouterr().out
    drawn = "|a|, |b| ≤ 0.5; ‖δ‖∞ is up to |a| + |b|, at the corners 1."
    for word in ("Table 2", "Table 3", "Figures 4 and 8", "clean", "gray 0.25", "black 0.5", drawn):
        assert word in out
    made = {path.name for path in Path("runs/analysis").iterdir()}
    figures = ("embedding", "landscape", "training", "attention", "attention-none-resnet18", "attention-pat-resnet18")
    assert made >= {f"{name}.{kind}" for name in figures for kind in ("png", "svg")} | {"index.html", "table.md"}
    records = records_of("runs/pat-resnet18")
    assert [type(record) for record in records] == [Attention] * 5 + [Embedding] * 5 + [Landscape] + [Regions] * 5
    evaluation_images = {(record.seen.threat, record.seen.epsilon) for record in records if isinstance(record, Regions)}
    assert evaluation_images == {
        ("clean", 0),
        *((threat, epsilon) for threat in ("gray", "black") for epsilon in (0.25, 0.5)),
    }
    assert {len(record.inside) for record in records if isinstance(record, Regions)} == {20}
    assert {len(record.steps) for record in records if isinstance(record, Landscape)} == {7}

    # The same again reads what is on record; and what is made anew is the same.
    stamps = {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/records/*.json")}
    assert main([*runs, *FAST]) == 0
    assert {path: path.stat().st_mtime_ns for path in Path("runs").glob("*/records/*.json")} == stamps
    assert main([runs[1], *FAST, "--what", "landscape,regions", "--again"]) == 0
    again = {type(r): replace(r, seconds=0) for r in records_of("runs/pat-resnet18")}
    assert again == {type(r): replace(r, seconds=0) for r in records}
    capsys.readouterr()


def test_a_part_of_it(runs, capsys):
    assert main([runs[1], *FAST, "--what", "training", "--output", "mine"]) == 0
    assert {path.name for path in Path("mine").iterdir()} == {"training.png", "training.svg"}
    assert not records_of(runs[1])
    capsys.readouterr()


def test_images_without_masks(runs, capsys, monkeypatch):
    from atlpa.data.masks import UNKNOWN
    from atlpa.runs import evaluation_images

    unknown = lambda items, side: evaluation_images.torch.full((len(items), side, side), UNKNOWN)  # noqa: E731
    monkeypatch.setattr(evaluation_images, "load_masks", unknown)
    assert main([runs[1], *FAST, "--what", "regions,landscape"]) == 0
    out = capsys.readouterr().out
    assert "none of these images has a key region, so that Table 2 is left out" in out
    assert [type(record) for record in records_of(runs[1])] == [Landscape]


def test_bad_input_is_one_line(runs, capsys):
    assert "'colour' is unknown; valid: attention" in refused(capsys, runs[0], "--what", "colour")
    assert "perplexity 50 with 20 images" in refused(capsys, runs[0], *FAST, "--perplexity", "50")
    assert "a landscape of 1 point along each side; give at least 2" in refused(capsys, runs[0], *FAST, "--grid", "1")
    assert "have no silhouette" in refused(capsys, runs[0], *FAST[:4], "--limit", "4", "--what", "embedding")
    assert "holds no run" in refused(capsys, "nowhere")
    Path("file").write_text("")
    assert "--output file/deeper cannot be made" in refused(capsys, runs[0], *FAST, "--output", "file/deeper")
    if os.geteuid() != 0:
        Path("closed").mkdir(mode=0o500)
        assert "cannot be" in refused(capsys, runs[0], *FAST, "--output", "closed")
