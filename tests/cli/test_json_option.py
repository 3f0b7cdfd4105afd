"""``--json -``: a program reads records alone, whatever the command has to say besides."""

import importlib
import json
from pathlib import Path

import pytest
from PIL import Image

STUDY = """
config: digits
changes: {training.iterations: 2, training.batch_size: 4, data.resize: 20, data.size: 16}
defenses: [none]
attack: {step: 4/256}
epsilons: [0.25]
budgets: [1]
limit: 4
"""
PGD = ["--iters", "1", "--step", "4/256", "--eps", "0.25"]
STEPS = {
    "study": (["mine.yaml"], {"training", "evaluation"}),
    "train": (["--config", "runs/mine/none-resnet18-seed0-final/experiment.yaml"], {"training"}),
    "analyze": (["--what", "embedding,training", *PGD, "--limit", "8"], {"embedding", "training"}),
    "eval": ([*PGD, "--limit", "4"], {"evaluation"}),
    "report": (["runs"], {"training", "evaluation", "embedding"}),
}


@pytest.fixture(scope="module")
def piped(tmp_path_factory):
    """What each command, one after the other, wrote on standard output and on standard error."""
    folder = tmp_path_factory.mktemp("piped")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("mine.yaml").write_text(STUDY)
        yield folder


def call(command, *arguments):
    return importlib.import_module(f"atlpa.cli.{command}").main([*arguments])


@pytest.mark.parametrize("command", STEPS)
def test_records_alone(piped, command, capsys):
    arguments, kinds = STEPS[command]
    assert importlib.import_module(f"atlpa.cli.{command}").main([*arguments, "--json", "-"]) == 0
    found, told = capsys.readouterr()
    records = json.loads(found)
    assert {record["kind"] for record in records} == kinds
    on_disk = [json.loads(path.read_text()) for path in piped.glob("runs/**/records/*.json")]
    assert all(record in on_disk for record in records)
    assert told.strip()


def test_what_is_no_record(piped, capsys):
    """An export, what a bundle claims, a data set: the words of each command as JSON."""
    (run,) = map(str, Path("runs/mine").glob("*-final"))
    assert call("eval", "--run", run, "--bundle", "mine.zip") == 0
    capsys.readouterr()

    assert call("eval", "--verify", "mine.zip", "--json", "-") == 0
    repeated = json.loads(capsys.readouterr().out)
    assert any(one["of"] for one in repeated)
    assert all(one["agree"] == one["of"] for one in repeated)

    assert call("export", run, "mine.safetensors", "--to", "safetensors", "--json", "-") == 0
    (exported,) = json.loads(capsys.readouterr().out)
    assert exported["file"] == "mine.safetensors"
    assert exported["difference"] < 1e-5
    assert len(exported["network"]["classes"]) == 10

    folder = piped / "photos"
    for name, shade in (("a/1", 10), ("a/2", 200), ("b/1", 10)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 9), (shade, 0, 0)).save(folder / f"{name}.png")
    assert call("data", "check", "photos", "--json", "-") == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["classes"] == ["a", "b"]
    assert sorted((one["name"], one["class"], one["size"]) for one in found["images"]) == [
        ("a/1.png", 0, [12, 9]),
        ("a/2.png", 0, [12, 9]),
        ("b/1.png", 1, [12, 9]),
    ]
    assert any("same picture" in problem for problem in found["problems"])


def test_no_file_of_another_kind_is_replaced(piped, capsys):
    """Neither what is there nor what the command has just written."""
    (run,) = map(str, Path("runs/mine").glob("*-final"))
    for name, there in (("mine.yaml", True), (f"{run}/experiment.yaml", True), ("new.pt", False)):
        before = Path(name).read_bytes() if there else b""
        assert call("export", run, "new.pt", "--to", "torch", "--json", name) == 2
        assert "there is another file of that name, which stays" in capsys.readouterr().err
        assert not there or Path(name).read_bytes() == before
    assert Path("new.pt").read_bytes()[:1] != b"["


@pytest.mark.parametrize("beside", [["--plan"], ["--only", "train"]])
def test_a_study_without_its_report_has_no_records_to_write(piped, beside, capsys):
    main = importlib.import_module("atlpa.cli.study").main
    assert main(["mine.yaml", *beside, "--json", "all.json"]) == 2
    assert "leave out --plan, and --only" in capsys.readouterr().err
    assert not Path("all.json").exists()


@pytest.mark.parametrize("command", STEPS)
def test_a_file_that_cannot_be_written_stops_it_before_anything_is_done(piped, command, capsys):
    arguments, _ = STEPS[command]
    assert importlib.import_module(f"atlpa.cli.{command}").main([*arguments, "--json", "no/such/all.json"]) == 2
    assert "no/such/all.json: its folder does not exist" in capsys.readouterr().err
