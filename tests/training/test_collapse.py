"""Collapse of one-step training: told from what is none, said once, acted on, remembered over interruptions."""

import json
import math
import random
import shlex
import signal

import pytest
import torch
from PIL import Image
from torch import nn

from atlpa.attacks import APGD, FGSM, PGD
from atlpa.cli.train import main as train_command
from atlpa.errors import Interrupted, UserError
from atlpa.experiment import load
from atlpa.process_group import joined
from atlpa.records import Training
from atlpa.records.log import read_log
from atlpa.report.training import training_figure
from atlpa.runs import Run, checkpoints, train_run
from atlpa.training import (
    Checkpoint,
    Collapse,
    CollapseWatch,
    SoundCheckpoint,
    TrainingLog,
    load_checkpoint,
    loop,
)
from atlpa.training.collapse import Verdicts, collapsed, judge, less_often, lowered, step_name
from tests.together import processes

EPSILON = 0.2
SOUND_STEPS = 12
"""After how many the network below collapses."""


class Flips(nn.Module):
    """Learns nothing, and collapses after some passes in training.

    Two classes are told by red, which no ε reaches across; later by green, which a whole step crosses by so much that
    the answer turns round again, and smaller steps do not.
    """

    def __init__(self, classes):
        super().__init__()
        assert classes == 2
        self.head = nn.Linear(1, 2)
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))

    def forward(self, images):
        if self.training:
            self.passes += 1
        red, green = (images[:, channel].mean(dim=(1, 2)) - 0.5 for channel in (0, 1))
        green = torch.where(green.abs() < EPSILON / 2, green, -green)
        told = (red if self.passes <= SOUND_STEPS else green) * 10
        return torch.stack([-told, told], dim=1) + 0 * self.head(told[:, None])


@pytest.fixture(scope="session")
def colors(tmp_path_factory):
    """A folder of two classes of plain images: red is 0.5 ± 0.3, green 0.5 ± 0.03, blue anything."""
    root = tmp_path_factory.mktemp("colors")
    for sign, name in ((-1, "dark"), (1, "light")):
        (root / name).mkdir()
        for number in range(100):
            color = (128 + 77 * sign, (127 if sign > 0 else 128) + 8 * sign, 2 * number)
            Image.new("RGB", (16, 16), color).save(root / name / f"{number:03}.png")
    return root


def settings(colors, folder, *changes):
    return [
        ("data", {"name": "folder", "root": str(colors), "size": 16, "resize": 16}),
        ("model", {"architecture": "tests.training.test_collapse:Flips", "weights": "none", "normalization": "none"}),
        ("defense", {"preset": "pat", "adversarial_fraction": 1.0}),
        ("training", {"iterations": 25, "batch_size": 4, "log_every": 5, "validate_every": 25, "weight_decay": 0}),
        ("training.attack", {"name": "fgsm", "epsilon": EPSILON}),
        ("training.collapse", {"every": 5}),
        *changes,
        ("output", str(folder)),
    ]


def trained(colors, folder, *changes):
    said = []
    run = train_run(load("digits", settings(colors, folder, *changes)), said.append)
    return run, said


def looks(run):
    return [line for line in read_log(run.log_path) if "collapse" in line]


def reproducible(run):
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "timing"} for line in lines]


def test_a_collapse_is_said_once_and_marked_everywhere(colors, tmp_path):
    run, said = trained(colors, tmp_path / "run")
    (sentence,) = [line for line in said if "collapsed" in line]
    assert "by step 15: of 40 images 100 % (of step 10: 100 %) withstand the training attack" in sentence
    assert "0 % (of step 10: 100 %) ten steps of PGD" in sentence
    assert [line["step"] for line in looks(run)] == [5, 10, 15]
    assert [line["step"] for line in looks(run) if line.get("collapsed")] == [15]
    assert Training.load(run.training_record).collapsed == 15
    sound = load_checkpoint(run.sound_path)
    assert sound.step == 10
    assert sound.model["backbone.passes"] == 10
    assert run.read_checkpoint().step == 25
    figure = training_figure({"pat": read_log(run.log_path), "healthy": [{"step": 1, "learning_rate": 0.1}]})
    for axes in (axes for axes in figure.axes if axes.get_ylabel()):
        marks = [line for line in axes.get_lines() if line.get_label() == "collapse"]
        assert [list(line.get_xdata()) for line in marks] == [[15, 15]]


def test_training_that_does_not_collapse_leaves_no_mark(colors, tmp_path):
    run, said = trained(colors, tmp_path / "run", ("training.iterations", SOUND_STEPS))
    assert not any("collapsed" in line for line in said)
    assert [line["step"] for line in looks(run)] == [5, 10]
    assert Training.load(run.training_record).collapsed is None
    assert not run.sound_path.exists()


def test_a_stop_is_an_error_with_a_way_on(colors, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "run-lower"
    changes = [("training.collapse.action", "stop")]
    options = [f"--set={key}={json.dumps(value)}" for key, value in settings(colors, run, *changes)]
    for _ in range(2):  # the same command does not train past it
        assert train_command(["--config", "digits", *options]) == 2
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("atlpa-train")]
        assert "training has collapsed by step 15" in line
        assert load_checkpoint(run / "last.pt").step == 15
        assert load_checkpoint(run / "sound.pt").step == 10
        assert not (run / "records").exists()
    command = shlex.split(line.partition("half the ε: ")[2])
    assert command[0] == "atlpa-train"
    assert train_command([*command[1:], "--set", "training.iterations=3"]) == 0
    assert Run.open(out, trust_code=True).experiment.training.attack == FGSM(EPSILON / 2)
    assert load_checkpoint(out / "last.pt").model["backbone.passes"] == 10 + 3


@pytest.mark.parametrize(("preset", "alpha"), [("rs_fgsm", 0.625), ("n_fgsm", 0.5)])
def test_the_way_on_is_that_of_the_defense(colors, tmp_path, preset, alpha):
    """Its attack is its own; the folder has a blank; and a run that goes on from another must not do so again."""
    run, out = tmp_path / "a run", tmp_path / "a run-lower"
    changes = [("defense", preset), ("training.collapse.action", "stop")]
    trained(colors, tmp_path / "first", *changes, ("training.iterations", 3))
    assert train_command(["--extend", str(tmp_path / "first"), "--set=training.iterations=25", f"--output={run}"]) == 2
    with pytest.raises(UserError, match="half the step: atlpa-train") as error:
        train_run(Run.open(run, trust_code=True).experiment)
    command = shlex.split(str(error.value).partition("half the step: ")[2])
    assert train_command([*command[1:], "--set", "training.iterations=3"]) == 0
    lower = Run.open(out, trust_code=True).experiment
    attack = lower.defense.training_attack(lower.training.attack)
    assert (attack.name, attack.alpha, attack.epsilon) == (preset, alpha, EPSILON)
    assert load_checkpoint(out / "last.pt").model["backbone.passes"] == 10 + 3


def test_a_lower_step_is_taken_after_a_collapse_and_not_before(colors, tmp_path, monkeypatch):
    used = []
    real = loop.training_step

    def noting(model, defense, attack, *arguments, **options):
        used.append(attack.epsilon)
        return real(model, defense, attack, *arguments, **options)

    monkeypatch.setattr(loop, "training_step", noting)
    trained(colors, tmp_path / "run", ("training.collapse.action", "lower"))
    assert used == [EPSILON] * 15 + [EPSILON / 2] * 10


@pytest.mark.parametrize(("action", "last"), [("say", 7), ("lower", 12), ("lower", 15), ("say", 16)])
def test_resumed_equals_uninterrupted(colors, tmp_path, monkeypatch, action, last):
    straight, _ = trained(colors, tmp_path / "straight", ("training.collapse.action", action))
    real, taken = loop.training_step, []

    def stopping(*arguments, **options):
        taken.append(arguments[2])
        if len(taken) == last:
            signal.raise_signal(signal.SIGTERM)
        return real(*arguments, **options)

    monkeypatch.setattr(loop, "training_step", stopping)
    with pytest.raises(Interrupted):
        trained(colors, tmp_path / "resumed", ("training.collapse.action", action))
    resumed, said = trained(colors, tmp_path / "resumed", ("training.collapse.action", action))
    assert reproducible(resumed) == reproducible(straight)
    assert resumed.network.weights == straight.network.weights
    assert load_checkpoint(resumed.sound_path).weights_hash == load_checkpoint(straight.sound_path).weights_hash
    assert sum("collapsed" in line for line in said) == (last < 15)
    assert [attack.epsilon for attack in taken] == [EPSILON] * 15 + [EPSILON / (2 if action == "lower" else 1)] * 10


class Killed(BaseException):
    """A process that ends without a word."""


def test_killed_after_a_collapse_the_network_kept_is_not_of_a_later_step(colors, tmp_path, monkeypatch):
    straight, _ = trained(colors, tmp_path / "straight")
    real, taken = loop.training_step, []

    def stopping(*arguments, **options):
        taken.append(arguments)
        if len(taken) == 7:
            signal.raise_signal(signal.SIGTERM)
        if len(taken) == 17:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(loop, "training_step", stopping)
    with pytest.raises(Interrupted):
        trained(colors, tmp_path / "killed")
    with pytest.raises(Killed):
        trained(colors, tmp_path / "killed")
    steps = {kept: load_checkpoint(tmp_path / "killed" / f"{kept}.pt").step for kept in ("last", "sound")}
    assert steps == {"last": 7, "sound": 5}
    killed, _ = trained(colors, tmp_path / "killed")
    assert reproducible(killed) == reproducible(straight)
    assert load_checkpoint(killed.sound_path).weights_hash == load_checkpoint(straight.sound_path).weights_hash


def test_a_network_of_another_step_than_the_log_says_is_not_compared_with(colors, tmp_path, monkeypatch):
    """Killed between the two files of a checkpoint: what was kept is of step 10, and the log goes on after 7."""
    real_step, real_save, taken = loop.training_step, checkpoints.save_checkpoint, []

    def stopping(*arguments, **options):
        taken.append(arguments)
        if len(taken) in (7, 12):
            signal.raise_signal(signal.SIGTERM)
        return real_step(*arguments, **options)

    def saving(checkpoint, path):
        if checkpoint.step == 12:
            raise Killed
        real_save(checkpoint, path)

    monkeypatch.setattr(loop, "training_step", stopping)
    monkeypatch.setattr(checkpoints, "save_checkpoint", saving)
    with pytest.raises(Interrupted):
        trained(colors, tmp_path / "run")
    with pytest.raises(Killed):
        trained(colors, tmp_path / "run")
    steps = {kept: load_checkpoint(tmp_path / "run" / f"{kept}.pt").step for kept in ("last", "sound")}
    assert steps == {"last": 7, "sound": 10}
    run, said = trained(colors, tmp_path / "run")
    assert sum("is not of step 5; the watch for collapse begins anew" in line for line in said) == 1
    assert [(line["step"], line.get("kept"), line.get("collapsed")) for line in looks(run)] == [
        (5, True, None),
        (10, True, None),
        (15, None, True),
    ]


class Withstands(nn.Module):
    """Two classes told by red, which gives way to ten steps, but not to one, on a share of the images that falls."""

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, images):
        red, green, blue = (images[:, channel].mean(dim=(1, 2)) - 0.5 for channel in range(3))
        # Green is withstood by a whole step, and turned round by half of one, where blue says so.
        turned = torch.where(green.abs() < EPSILON / 2, green, -green)
        told = torch.where(blue + 0.5 < self.share, red, turned) * 10
        return torch.stack([-told, told], dim=1)


def test_a_collapse_over_two_looks_under_growing_epsilon(tmp_path):
    """Half way down it is suspected, not yet sure, and not kept in place of the sound network."""
    sign = torch.arange(128) % 2 * 2 - 1
    red, green, blue = 0.5 + 0.3 * sign, 0.5 + 0.03 * sign, torch.arange(128) / 128 / 2 + 0.25
    images = torch.stack([red, green, blue], dim=1)[:, :, None, None].expand(128, 3, 4, 4).contiguous()
    model, said = Withstands(), []

    def now(step):
        return Checkpoint(step, ("a", "b"), "", {}, model.state_dict(), [])

    log = TrainingLog(tmp_path / "log.jsonl", 0)
    sound = SoundCheckpoint(tmp_path / "sound.pt", now)
    batch = images, (sign > 0).long()
    watch = CollapseWatch(Collapse(every=1), 10, 0, model, batch, log, sound, said.append, "")
    for step, share in enumerate((1.0, 0.53, 0.3), 1):
        model.share.fill_(share)
        watch.after(step, FGSM(EPSILON * (1 + step / 100)))
    assert [(line.get("kept", False), line.get("collapsed", False)) for line in log.lines()] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert "keeps step 1" in said[0]


def in_one_of_two(colors, folder):
    """Runs in each of two processes."""
    said, error = [], ""
    with joined() as here:
        try:
            changes = [("training.collapse.action", "stop")]
            train_run(load("digits", settings(colors, folder, *changes)), said.append, here)
        except UserError as stopped:
            error = str(stopped)
    return said, error


def test_two_processes_see_what_one_sees(colors, tmp_path):
    alone, _ = trained(colors, tmp_path / "alone")
    first, second = processes(2, in_one_of_two, colors, tmp_path / "two")
    two = Run.open(tmp_path / "two", trust_code=True)
    assert looks(two) == looks(alone)
    assert sum("collapsed" in line for line in first[0]) == 1
    assert not second[0]
    assert all(error.startswith("training has collapsed by step 15") for error in (first[1], second[1]))
    assert load_checkpoint(two.sound_path).step == 10


@pytest.mark.parametrize(
    ("changes", "watched"),
    [
        ([], True),
        ([("training.attack", {"name": "pgd", "epsilon": 0.1, "step": 0.1, "iterations": 1})], True),
        ([("training.attack", {"name": "pgd", "epsilon": 0.1, "step": 0.1, "iterations": 2})], False),
        ([("training.attack", {"name": "pgd", "iterations": 2}), ("training.collapse", {})], True),
        ([("training.attack", {"name": "noise", "epsilon": 0.1})], False),
        ([("training.collapse", False)], False),
        ([("defense", "none")], False),
    ],
)
def test_single_steps_are_watched_by_default(colors, changes, watched):
    defaults = [(key, value) for key, value in settings(colors, "run") if key != "training.collapse"]
    experiment = load("digits", [*defaults, *changes])
    assert (experiment.training.collapse_check(experiment.defense) is not None) == watched
    again = load("digits", [*defaults, *changes]).identity()
    assert experiment.identity() == again


def test_what_cannot_be_as_asked_is_said(colors, tmp_path):
    _, said = trained(colors, tmp_path / "none", ("defense", "none"), ("training.iterations", 1))
    assert any("none trains without an attack, so that nothing can collapse" in line for line in said)
    _, said = trained(colors, tmp_path / "final", ("final", True), ("training.iterations", 1))
    assert any("images that are trained on, since a final run holds none out" in line for line in said)
    assert any("1 iterations end before the first look, at 5" in line for line in said)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("action", "shout", "'say', 'lower' or 'stop'"),
        ("every", 0, "greater than or equal to 1"),
        ("images", 8, "greater than or equal to 24"),
        ("evry", 5, "did you mean 'every'"),
    ],
)
def test_bad_settings_are_refused_in_a_line(colors, field, value, message):
    with pytest.raises(UserError, match=message) as error:
        load("digits", [*settings(colors, "run"), ("training.collapse", {field: value})])
    assert "\n" not in str(error.value)


def bits(text):
    return torch.tensor([sign == "1" for sign in text])


def test_the_sign_test_is_exact():
    """Against a sum of binomials, and where the answer is known by symmetry."""
    draw = random.Random(0)
    for _ in range(200):
        first, second = (bits([draw.choice("01") for _ in range(12)]) for _ in range(2))
        won, lost = int((first & ~second).sum()), int((second & ~first).sum())
        exact = sum(math.comb(won + lost, k) for k in range(won + 1)) / 2 ** (won + lost)
        assert less_often(first, second) == pytest.approx(exact)
    assert less_often(bits("0101"), bits("0101")) == 1
    assert less_often(bits("00000"), bits("11111")) == pytest.approx(1 / 32)


def verdicts(trained, strong, count=200):
    """The first images withstand."""
    rows = torch.arange(count)
    return Verdicts(rows < trained, rows < strong)


LABELS = torch.arange(200) % 10


@pytest.mark.parametrize(
    ("kept", "now", "answer"),
    [
        ((120, 80), (180, 10), True),  # as in the books
        ((120, 80), (120, 10), True),  # less than half is left, and the training attack takes no more
        ((100, 60), (150, 40), False),  # one rises, the other falls, and more than half is left
        ((120, 80), (180, 100), False),  # both rise
        ((120, 80), (130, 78), False),  # the fall is chance
        ((120, 80), (60, 10), False),  # all is forgotten
        ((120, 22), (180, 2), False),  # a constant answer would have done as well
        ((120, 80), (180, 36), False),  # that less than half is left is chance
    ],
)
def test_what_is_a_collapse(kept, now, answer):
    assert collapsed(verdicts(*kept), verdicts(*now), LABELS) == answer


def test_false_alarms_are_as_rare_as_said():
    """One that withstands PGD three quarters as often, each image at its own odds: at most the level, of 300."""
    draw = torch.Generator().manual_seed(0)
    alarms = 0
    for _ in range(300):
        odds = torch.rand(200, generator=draw)
        both = []
        for withstands in (0.8, 0.6):
            trained = torch.rand(200, generator=draw) < odds
            both.append(Verdicts(trained, trained & (torch.rand(200, generator=draw) < withstands)))
        alarms += collapsed(*both, LABELS)
    assert alarms <= 3


def test_one_step_is_all_there_is_against_a_linear_network():
    """What withstands FGSM and any PGD is what is further from the border than ε: margin > ε · ‖w₀ − w₁‖₁."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    images = 0.3 + 0.4 * torch.rand(100, 3, 8, 8)
    logits = model(images).detach()
    distance = (logits[:, 0] - logits[:, 1]).abs() / (model[1].weight[0] - model[1].weight[1]).abs().sum().detach()
    nearest = distance.sort().values
    epsilon = float(nearest[49:51].mean())  # between the middle two, far from both
    found = judge(model, FGSM(epsilon), images, logits.argmax(dim=1), 0)
    assert torch.equal(found.trained, distance > epsilon)
    assert torch.equal(found.strong, found.trained)


def test_a_look_leaves_the_network_as_found(colors):
    model = Flips(2).train()
    images = torch.full((40, 3, 4, 4), 0.5)
    judge(model, FGSM(0.1), images, torch.zeros(40, dtype=torch.long), 0)
    assert model.training
    assert model.passes == 0
    assert model.head.weight.grad is None
    assert model.head.weight.requires_grad


@pytest.mark.parametrize(
    ("attack", "half", "name"),
    [
        (FGSM(0.2), FGSM(0.1), "ε"),
        (PGD(epsilon=0.2, step=0.1, iterations=1), PGD(epsilon=0.2, step=0.05, iterations=1), "step"),
        (APGD(epsilon=0.2, iterations=2), APGD(epsilon=0.1, iterations=2), "ε"),
    ],
)
def test_half_the_step(attack, half, name):
    assert lowered(attack) == half
    assert step_name(attack) == name


def test_a_damaged_mark_is_refused(colors, tmp_path):
    path = tmp_path / "log.jsonl"
    for mark in ('"collapsed": 7', '"collapse": {"pgd": "much"}', '"collapse": 3'):
        path.write_text(f'{{"step": 1, {mark}}}\n')
        with pytest.raises(UserError, match="damaged in line 1"):
            read_log(path)
