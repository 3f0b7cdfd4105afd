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
from atlpa.evaluation import evaluate
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
from atlpa.training.collapse_watch import Best
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


class Killed(BaseException):
    """A process that ends without a word."""


def steps_taken(monkeypatch, signals=(), killed=()):
    """The attacks of all steps from here on, of which some meet a signal, or the end of the process."""
    attacks, real = [], loop.training_step

    def step(*arguments, **options):
        attacks.append(arguments[2])
        if len(attacks) in signals:
            signal.raise_signal(signal.SIGTERM)
        if len(attacks) in killed:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(loop, "training_step", step)
    return attacks


def steps_on_disk(folder):
    return {kept: load_checkpoint(folder / f"{kept}.pt").step for kept in ("last", "sound")}


def looks(run):
    return [line for line in read_log(run.log_path) if "collapse" in line]


def reproducible(run):
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "timing"} for line in lines]


def test_a_collapse_is_said_once_and_marked_everywhere(colors, tmp_path):
    run, said = trained(colors, tmp_path / "run")
    (sentence,) = [line for line in said if "collapsed" in line]
    assert "by step 15: of 40 images 100 % (of step 10: 100 %) withstand the training attack" in sentence
    assert "0 % (of step 10: 100 %) PGD too" in sentence
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
    with pytest.raises(UserError, match=r"had collapsed by step 15, .* --weights \S+/sound.pt judges the network"):
        assert not Run.open(run, trust_code=True).training
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


def must_equal(run, other):
    """All that a run leaves but how long it took."""
    assert reproducible(run) == reproducible(other)
    assert run.network.weights == other.network.weights
    assert load_checkpoint(run.sound_path).weights_hash == load_checkpoint(other.sound_path).weights_hash


@pytest.mark.parametrize(("action", "last"), [("say", 7), ("lower", 12), ("lower", 15), ("say", 16)])
def test_resumed_equals_uninterrupted(colors, tmp_path, monkeypatch, action, last):
    """A lower step is taken after the collapse and not before, and so it is after an interruption."""
    change = ("training.collapse.action", action)
    wanted = [FGSM(EPSILON)] * 15 + [FGSM(EPSILON / (2 if action == "lower" else 1))] * 10
    attacks = steps_taken(monkeypatch, signals=[25 + last])
    straight, _ = trained(colors, tmp_path / "straight", change)
    with pytest.raises(Interrupted):
        trained(colors, tmp_path / "resumed", change)
    resumed, said = trained(colors, tmp_path / "resumed", change)
    must_equal(resumed, straight)
    assert sum("collapsed" in line for line in said) == (last < 15)
    assert attacks == wanted * 2


def test_killed_after_a_collapse_the_network_kept_is_not_of_a_later_step(colors, tmp_path, monkeypatch):
    straight, _ = trained(colors, tmp_path / "straight")
    steps_taken(monkeypatch, signals=[7], killed=[17])
    for end in (Interrupted, Killed):
        with pytest.raises(end):
            trained(colors, tmp_path / "killed")
    assert steps_on_disk(tmp_path / "killed") == {"last": 7, "sound": 5}
    killed, _ = trained(colors, tmp_path / "killed")
    must_equal(killed, straight)


def test_a_network_of_another_step_than_the_log_says_is_not_compared_with(colors, tmp_path, monkeypatch):
    """Killed between the two files of a checkpoint: what was kept is of step 10, and the log goes on after 7."""
    steps_taken(monkeypatch, signals=[7, 12])
    real = checkpoints.save_checkpoint

    def saving(checkpoint, path):
        if checkpoint.step == 12:
            raise Killed
        real(checkpoint, path)

    monkeypatch.setattr(checkpoints, "save_checkpoint", saving)
    for end in (Interrupted, Killed):
        with pytest.raises(end):
            trained(colors, tmp_path / "run")
    assert steps_on_disk(tmp_path / "run") == {"last": 7, "sound": 10}
    run, said = trained(colors, tmp_path / "run")
    assert sum("is not of step 5; the watch for collapse begins anew" in line for line in said) == 1
    assert [(line["step"], line.get("kept"), line.get("collapsed")) for line in looks(run)] == [
        (5, True, None),
        (10, True, None),
        (15, None, True),
    ]


@pytest.mark.parametrize(
    ("pgd", "trained", "better"),
    [
        (0.5, 0.9, True),  # more withstand PGD
        (0.25, 0.3, False),  # fewer do
        (0.4, 0.5, True),  # all the same, and later
        (0.4, 0.4, True),  # fewer withstand the training attack alone
        (0.4, 0.6, False),  # more do, as where a collapse begins
    ],
)
def test_which_network_is_kept(pgd, trained, better):
    assert Best(20, EPSILON, pgd, trained).better_than(Best(10, EPSILON, 0.4, 0.5)) == better


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
    for step, share in enumerate((0.5, 0.38, 0.3), 1):
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
        ("images", 8, "greater than or equal to 12"),
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
    ("kept", "now", "labels", "answer"),
    [
        ((120, 80), (180, 10), LABELS, True),  # as in the books
        ((120, 46), (150, 1), LABELS, True),  # from no more than 23 % to nothing
        ((80, 80), (80, 10), LABELS, True),  # the training attack takes no more, and PGD nearly all
        ((120, 80), (180, 40), LABELS, False),  # half is left
        ((120, 80), (180, 100), LABELS, False),  # both rise
        ((90, 80), (50, 39), LABELS, False),  # all is forgotten: PGD takes no more of what the training attack leaves
        ((20, 8), (20, 3), LABELS, False),  # five more that PGD alone takes are chance
        ((120, 22), (180, 2), torch.arange(200) // 22, False),  # what was kept answers with a constant
    ],
)
def test_what_is_a_collapse(kept, now, labels, answer):
    assert collapsed(verdicts(*kept), verdicts(*now), labels) == answer


@pytest.mark.parametrize("count", range(12, 25))
def test_half_of_the_best_is_not_less_than_half(count):
    """Whatever a share loses in float32."""
    for best in range(2, count, 2):
        share = (torch.arange(count) < best).float().mean().item()
        assert not verdicts(count, best // 2, count).suspicious(share)
        assert verdicts(count, best // 2 - 1, count).suspicious(share)


def test_false_alarms_are_as_rare_as_said():
    """Where PGD takes as many of what the training attack leaves as before, but by chance: at most the level, of 300.

    Few images, each at its own odds, of which few withstand, so that half of them are soon gone.
    """
    draw = torch.Generator().manual_seed(0)
    alarms, halved = 0, 0
    for _ in range(300):
        odds = torch.rand(48, generator=draw)
        kept, now = (
            Verdicts(trained := torch.rand(48, generator=draw) < odds, trained & (torch.rand(48, generator=draw) < 0.2))
            for _ in range(2)
        )
        halved += 2 * int(now.strong.sum()) < int(kept.strong.sum())
        alarms += collapsed(kept, now, LABELS[:48])
    assert halved > 20
    assert alarms <= 3


def test_an_image_withstands_that_is_right_at_every_step():
    """As a whole evaluation finds, which attacks and judges on its own."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 32), nn.Tanh(), nn.Linear(32, 3))
    images = torch.rand(100, 3, 8, 8)
    labels = model(images).argmax(dim=1)
    found = judge(model, FGSM(0.02), images, labels, 0)
    robust = evaluate(model, images, labels, PGD(epsilon=0.02, step=0.002, iterations=20)).robust.view(-1)
    assert torch.equal(found.trained, model(FGSM(0.02)(model, images, labels)).argmax(dim=1) == labels)
    assert torch.equal(found.strong, found.trained & robust)
    assert 10 < found.strong.sum() < 90


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
