"""``atlpa-train`` as a user meets it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from atlpa.cli.eval import main as judge
from atlpa.cli.train import main
from atlpa.defenses import preset_names
from atlpa.model_state import with_generators
from atlpa.runs import Run
from atlpa.runs import train as train_module
from tests.narrow import NARROW

QUICK = ["--set", "training.iterations=3", "--set", "training.batch_size=4", "--set", "data.resize=20",
         "--set", "data.size=16"]  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Commands are run in an empty folder, far from any checkout's configs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(capsys, *arguments):
    """The one line that a command says when it refuses its input with status 2."""
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("atlpa-train: ")
    return line


def test_trains_a_shipped_config_by_name(elsewhere):
    command = ["atlpa-train", "--config", "digits.yaml", "--defense", "atlpa", "--seed", "3", *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    run = elsewhere / "runs" / "digits" / "atlpa-resnet18-seed3"
    assert done.stdout.splitlines()[-1].endswith("judge it with: atlpa-eval --run runs/digits/atlpa-resnet18-seed3")
    assert {path.name for path in run.iterdir()} == {"experiment.yaml", "split.json", "last.pt", "log.jsonl", "records"}
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "is finished: 3 iterations" in again.stdout


def test_its_own_resolved_experiment_is_a_config(elsewhere, capsys):
    main(["--config", "digits", *QUICK])
    assert main(["--config", "runs/digits/none-resnet18-seed0/experiment.yaml"]) == 0
    assert "is finished" in capsys.readouterr().out
    assert len(list(elsewhere.glob("runs/**/last.pt"))) == 1


def test_trains_on_a_users_own_folder(elsewhere, capsys):
    for name, color in (("red", (200, 20, 20)), ("blue", (20, 20, 200))):
        (elsewhere / "photos" / name).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (30, 20), color).save(elsewhere / "photos" / name / f"{number}.jpg")
    (elsewhere / "mine.yaml").write_text(
        "data: {name: folder, resize: 20, size: 16}\nmodel: {architecture: resnet18, weights: none}\ndefense: pat\n"
        "training: {iterations: 2, batch_size: 4}\n"
    )
    assert main(["--config", "mine.yaml", "--data-root", "photos", "--output", "out"]) == 0
    assert "12 training images of 2 classes" in capsys.readouterr().out
    assert (elsewhere / "out" / "last.pt").is_file()


def test_the_readmes_five_lines_with_four_classes(elsewhere, capsys):
    """The default K of 5 gives way, says so, and is written down; a K that was set is refused."""
    noise = torch.Generator().manual_seed(0)
    for number in range(20):
        folder = elsewhere / "photos" / "birds" / ("wren", "robin", "heron", "stork")[number % 4]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = torch.randint(256, (36, 36, 3), dtype=torch.uint8, generator=noise)
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")
    text = (Path(__file__).parents[2] / "README.md").read_text().partition("## Your own photographs")[2]
    (elsewhere / "birds.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    small = ["model={architecture: resnet18, weights: none}", "data.resize=36", "data.size=32", "training.iterations=2",
             "training.batch_size=4"]  # fmt: skip
    command = ["--config", "birds.yaml", *(word for field in small for word in ("--set", field))]

    line = refused(capsys, *command, "--set", "defense.terms.tolerant_logit.k=5")
    assert "defense.terms.tolerant_logit: k=5 top classes of 4; k must lie in 2 … 4, or be left out" in line
    assert not (elsewhere / "runs").exists()

    assert main(command) == 0
    assert "note: defense.terms.tolerant_logit.k is 4, every class there is" in capsys.readouterr().out
    run = Run.open(elsewhere / "runs" / "birds" / "atlpa-resnet18-seed0")
    assert run.experiment.defense.terms["tolerant_logit"].k == 4
    assert main(command) == 0
    assert "is finished" in capsys.readouterr().out
    run.training_record.unlink()
    assert main(command) == 0
    assert "resuming after step 2" in capsys.readouterr().out
    assert judge(["--run", str(run.folder), "--attack", "pgd", "--iters", "1", "--threat", "white"]) == 0
    assert "4 validation images" in capsys.readouterr().out


def test_real_flowers(data_root, elsewhere, capsys):
    arguments = ["--config", "flowers-small", "--data-root", str(data_root), "--defense", "atlpa", "--final"]
    quick = [word for field in ("training.iterations=1", "data.resize=20", "data.size=16") for word in ("--set", field)]
    assert main([*arguments, *quick]) == 0
    assert "1020 training images of 17 classes" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_resumes(elsewhere, number):
    command = ["atlpa-train", "--config", "digits", *QUICK, "--set", "training.iterations=40", "--output", "run",
               "--set", "training.log_every=1", "--set", "model.architecture=small_cnn", "--device", "cpu"]  # fmt: skip
    log = elsewhere / "run" / "log.jsonl"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (log.exists() and log.read_text().count("\n") >= 2):
        assert process.poll() is None, "ended before it could be stopped"
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "the same command again resumes" in errors
    stopped_at = json.loads(log.read_text().splitlines()[-1])["step"]
    assert 2 <= stopped_at < 40
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"resuming after step {stopped_at}" in done.stdout
    steps = [line["step"] for line in map(json.loads, log.read_text().splitlines()) if "loss" in line]
    assert steps == list(range(1, 41))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "flowrs"], ["'flowrs'", "did you mean 'flowers'"]),
        (["--config", "digits", "--defense", "atpla"], ["defense", "did you mean 'atlpa'"]),
        (["--config", "digits", "--set", "training.iters=3"], ["training: unknown key 'iters'"]),
        (["--config", "digits", "--set", "training.iterations"], ["no FIELD=VALUE"]),
        (["--config", "digits", "--set", "training.iterations=["], ["no YAML value"]),
        (["--config", "digits", "--set", "training.attack.epsilon=64"], ["64 is outside [0, 1]", "64/255"]),
        (["--config", "digits", "--set", "training.attack.epsilon=-0.1"], ["-0.1 is below 0"]),
        (["--config", "digits", "--set", "training.learning_rate=fast"], ["'fast' is no number"]),
        (["--config", "digits", "--data-root", "x"], ["data: unknown key 'root'"]),
        (["--config", "digits", "--device", "tpu"], ["device 'tpu' cannot be used here"]),
        (
            ["--config", "flowers", "--data-root", "nowhere"],
            ["no Flowers-17 in nowhere", "atlpa-data fetch flowers17", "--data-root"],
        ),
        (["--config", "digits", "--set", "model.weights=gone.pt"], ["no file 'gone.pt'"]),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(elsewhere, capsys, arguments, words):
    line = refused(capsys, *arguments)
    for word in words:
        assert word in line
    assert list(elsewhere.iterdir()) == []


def test_an_unreadable_image_is_named_before_anything_is_made(elsewhere, capsys):
    for name in ("a", "b"):
        (elsewhere / "photos" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (9, 9)).save(elsewhere / "photos" / name / f"{number}.png")
            os.truncate(elsewhere / "photos" / name / f"{number}.png", 40)
    (elsewhere / "mine.yaml").write_text("data: {name: folder, root: photos}\ndefense: none\nmodel: {weights: none}\n")
    assert "is no readable image" in refused(capsys, "--config", "mine.yaml")
    assert not (elsewhere / "runs").exists()


def test_another_experiment_in_the_output_folder(capsys):
    main(["--config", "digits", *QUICK, "--output", "run"])
    capsys.readouterr()
    line = refused(capsys, "--config", "digits", *QUICK, "--output", "run", "--seed", "1")
    assert "run holds another experiment: seed (0 there, 1 now)" in line


def test_what_is_allowed_but_surprising_is_said(capsys):
    main(["--config", "digits", *QUICK, "--defense", "pat", "--set", "training.attack.iterations=1"])
    assert "note: training attack: ε 0.25 cannot bind within 1 steps of 0.125" in capsys.readouterr().out


def test_a_loss_that_rises_is_told(capsys):
    for rate, told in (("3", True), ("0.001", False)):
        logged = ["--set", "training.log_every=1", "--set", f"training.learning_rate={rate}", "--output", f"at-{rate}"]
        assert main(["--config", "digits", *QUICK, "--defense", "none", *logged]) == 0
        losses = [json.loads(line)["loss"] for line in Path(f"at-{rate}/log.jsonl").read_text().splitlines()[:3]]
        assert (losses[-1] > losses[0]) == told
        assert ("note: the loss rose from" in capsys.readouterr().out) == told


@pytest.mark.parametrize(
    ("defense", "architecture"),
    [(name, NARROW) for name in preset_names()] + [("atlpa", "resnet18"), ("fd", "resnet18")],
)
def test_every_preset_trains_saves_and_predicts_the_same(elsewhere, monkeypatch, defense, architecture):
    """The network that is loaded predicts what the one in training did when it was saved."""
    pictures = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    prepare, save, prepared, saved = train_module.prepare, train_module.save, [], []

    def prepared_for(*arguments):
        prepared.append(prepare(*arguments))
        return prepared[-1]

    def save_and_ask(*arguments):
        save(*arguments)
        model = prepared[-1].model
        with torch.no_grad(), with_generators(model, torch.Generator().manual_seed(0)):
            saved.append(model.eval()(pictures))

    monkeypatch.setattr(train_module, "prepare", prepared_for)
    monkeypatch.setattr(train_module, "save", save_and_ask)
    # The squared gradient of a network from scratch is steep.
    slow = ["--set", "training.learning_rate=1e-6", "--set", f"model.architecture={architecture}"]
    assert main(["--config", "digits", *QUICK, *slow, "--defense", defense, "--output", "run"]) == 0
    run = Run.open(elsewhere / "run")

    def predict(seed):
        model = Run.open(run.folder).load_model(torch.device("cpu"))
        with with_generators(model, torch.Generator().manual_seed(seed)):
            return model(pictures)

    assert torch.equal(predict(0), saved[-1])
    assert torch.equal(predict(0), predict(1)) is not run.randomized
    steps = [json.loads(line) for line in run.log_path.read_text().splitlines() if "loss" in line]
    assert steps[-1]["step"] == 3
    assert steps[-1]["terms"].keys() == run.experiment.defense.terms.keys()


@pytest.mark.parametrize(
    "changes",
    [
        ["--defense", "fd", "--set", "defense.terms.attention_map={}", "--set", "defense.terms.tolerant_logit={}"],
        ["--defense", "rat", "--set", "defense.terms.logit_pairing.weight=0.5"],
        ["--defense", "atlpa", "--set", "defense.terms.attention_map.stages=[conv5_x]"],
        ["--defense", "pat", "--set", "defense.randomize={}"],
    ],
)
def test_combinations_need_no_code(elsewhere, changes):
    assert main(["--config", "digits", *QUICK, *changes, "--output", "run"]) == 0
    run = Run.open(elsewhere / "run")
    terms = json.loads(run.log_path.read_text().splitlines()[0])["terms"]
    assert terms.keys() == run.experiment.defense.terms.keys()
    assert run.load_model(torch.device("cpu"))(torch.rand(2, 3, 16, 16)).shape == (2, 10)


def test_defenses_are_listed_with_idea_source_and_cost(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--list-defenses"])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    listed = {
        cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in (line.split("|") for line in lines[2:-1])
    }
    assert list(listed) == preset_names()
    clean = ["clean training that keeps the input gradient short", "Ross & Doshi-Velez 2017", "1", "2"]
    assert listed["igr_clean"] == clean
    assert listed["trades"][2:] == ["6", "4"]


def test_help_names_configs_and_defenses(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "flowers-small" in text
    assert "atlpa_no_attention" in text
