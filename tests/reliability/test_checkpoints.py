"""What ``last.pt``, the log and the split of a run may hold; anything else is one line, and nothing is touched."""

import json
import math
import os
import resource
import shutil
import signal
import warnings
import zipfile
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from atlpa.cli.train import main
from atlpa.errors import Interrupted, UserError
from atlpa.experiment import load
from atlpa.runs import Run, train_run
from atlpa.training import Checkpoint, Recipe, load_checkpoint, loop, optimizer_state, save_checkpoint

NAME = "tests.exercises.outside.network:small"
FIELDS = {"training.iterations": 4, "training.batch_size": 4, "training.log_every": 1, "data.resize": 20,
          "data.size": 16, "model.architecture": NAME, "device": "cpu", "final": True}  # fmt: skip


def experiment(folder):
    return load("digits", [*FIELDS.items(), ("output", str(folder))])


def stopped_at_2(folder):
    """Train, and be asked to stop in the second step."""
    real, taken = loop.training_step, []

    def training_step(*arguments, **options):
        taken.append(None)
        if len(taken) == 2:
            signal.raise_signal(signal.SIGTERM)
        return real(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "training_step", training_step)
        with pytest.raises(Interrupted):
            train_run(experiment(folder), say=lambda _: None)
    return Run.open(folder)


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """A run that was stopped after two of its four steps."""
    return stopped_at_2(tmp_path_factory.mktemp("halfway") / "run").folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The same, never stopped."""
    return train_run(experiment(tmp_path_factory.mktemp("finished") / "run"), say=lambda _: None)


@pytest.fixture
def run(halfway, tmp_path):
    """A copy of the run that was stopped."""
    shutil.copytree(halfway, tmp_path / "run")
    return Run.open(tmp_path / "run")


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(run, capsys):
    """The one line with which the command refuses to resume, having changed nothing."""
    before = content(run.folder)
    options = [word for name, value in FIELDS.items() if name != "final" for word in ("--set", f"{name}={value}")]
    assert main(["--config", "digits", "--final", *options, "--output", str(run.folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert content(run.folder) == before
    assert "weights_only" not in line
    return line


def assert_goes_on(run, finished):
    """Resumed, it becomes the network that was never stopped."""
    resumed = train_run(experiment(run.folder), say=lambda _: None)
    assert resumed.network.weights == finished.network.weights
    for state, straight in zip(resumed.read_checkpoint().optimizer, finished.read_checkpoint().optimizer, strict=True):
        assert torch.equal(state["momentum_buffer"], straight["momentum_buffer"])


WEIGHT = "backbone.0.weight"
SCALE = "backbone.1.weight"


class Tagged(torch.Tensor):
    """A tensor of another class, which a pickle would have to name."""


def quantized(value):
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)


def first_set(value, number):
    """The same tensor with another first number."""
    value = value.clone()
    value[(0,) * value.dim()] = number
    return value


TENSORS = {
    "another shape": (lambda value: value[1:].clone(), "instead of"),
    "no shape": (lambda _: torch.tensor(1.0), "() instead of"),
    "float64": (torch.Tensor.double, "torch.float64 instead of torch.float32"),
    "float16": (torch.Tensor.half, "torch.float16 instead of torch.float32"),
    "integers": (torch.Tensor.long, "torch.int64 instead of torch.float32"),
    "complex": (lambda value: value + 0j, "torch.complex64 instead of torch.float32"),
    "sparse": (torch.Tensor.to_sparse, "is no plain tensor"),
    "meta": (lambda value: value.to("meta"), "is no plain tensor"),
    "quantized": (quantized, "is no plain tensor"),
    "expanded": (lambda value: torch.zeros(1).expand(value.shape), "is a few numbers repeated"),
    "ten gigabytes": (lambda _: torch.zeros(1).expand(50_000, 50_000), "(50000, 50000) instead of"),
    "not a number": (lambda value: first_set(value, math.nan), "is not finite"),
    "infinite": (lambda value: first_set(value, -math.inf), "is not finite"),
}


def with_weight(change):
    return lambda saved: {"model": {**saved.model, WEIGHT: change(saved.model[WEIGHT])}}


def with_momentum(change):
    def altered(saved):
        first, *others = saved.optimizer
        return {"optimizer": [{"momentum_buffer": change(first["momentum_buffer"])}, *others]}

    return altered


def without(mapping, name):
    return {key: value for key, value in mapping.items() if key != name}


def adam(saved):
    moments = [dict.fromkeys(("exp_avg", "exp_avg_sq"), state["momentum_buffer"]) for state in saved.optimizer]
    return {"optimizer": [{**state, "step": torch.tensor(2.0)} for state in moments]}


def one_for_all(saved):
    one = torch.zeros(10_000)
    return {"optimizer": [{name: one[: v.numel()].view(v.shape) for name, v in s.items()} for s in saved.optimizer]}


def deep(levels=200):
    value = {}
    for _ in range(levels):
        value = {"deeper": value}
    return value


ALTERED = {
    **{f"a weight: {name}": (with_weight(change), words) for name, (change, words) in TENSORS.items()},
    **{f"a momentum: {name}": (with_momentum(change), words) for name, (change, words) in TENSORS.items()},
    "a step beyond the end": (lambda _: {"step": 5}, "is of step 5 of 4"),
    "a negative step": (lambda _: {"step": -1}, "its step is -1"),
    "no step yet": (lambda _: {"step": 0}, "is of step 0 of 4"),
    "a step that is a truth": (lambda _: {"step": True}, "its step is True"),
    "a step that is a float": (lambda _: {"step": 2.0}, "its step is 2.0"),
    "a step that is a word": (lambda _: {"step": "2"}, "its step is '2'"),
    "a step that is a tensor": (lambda _: {"step": torch.tensor(2)}, "its step is"),
    "a step of many digits": (lambda _: {"step": 10**30}, "is of step"),
    "other classes": (lambda _: {"classes": tuple("abcdefghij")}, "names other classes than the data"),
    "classes in another order": (lambda saved: {"classes": saved.classes[::-1]}, "names other classes than the data"),
    "fewer classes": (lambda saved: {"classes": saved.classes[1:]}, "names other classes than the data"),
    "no classes": (lambda _: {"classes": ()}, "its classes is []"),
    "classes that are numbers": (lambda _: {"classes": tuple(range(10))}, "its classes is"),
    "other data": (lambda _: {"data": "0" * 64}, "trained on other data"),
    "data that is a number": (lambda _: {"data": 7}, "its data is 7"),
    "no experiment": (lambda _: {"experiment": None}, "its experiment is None"),
    "another experiment": (lambda saved: {"experiment": {**saved.experiment, "seed": 7}}, "seed (7 there, 0 now)"),
    "an experiment of nothing": (lambda _: {"experiment": {}}, "belongs to another experiment"),
    "keys that are no words": (lambda saved: {"experiment": {**saved.experiment, 7: 7}}, "its experiment is"),
    "a rate that is no number": (
        lambda saved: {"experiment": {**saved.experiment, "x": math.nan}},
        "experiment is",
    ),
    "a tensor in it": (lambda saved: {"experiment": {**saved.experiment, "x": torch.zeros(1)}}, "its experiment is"),
    "a deep experiment": (lambda saved: {"experiment": {**saved.experiment, "x": deep()}}, "experiment"),
    "no network": (lambda _: {"model": None}, "its model is None"),
    "an empty network": (lambda _: {"model": {}}, "does not fit the network: missing mean"),
    "a weight is missing": (lambda saved: {"model": without(saved.model, WEIGHT)}, f"missing {WEIGHT}"),
    "a counter is missing": (
        lambda saved: {"model": without(saved.model, "backbone.1.num_batches_tracked")},
        "missing backbone.1.num_batches_tracked",
    ),
    "a weight too many": (lambda saved: {"model": {**saved.model, "x": torch.zeros(1)}}, "unknown x"),
    "a key that is a number": (lambda saved: {"model": {**saved.model, 7: torch.zeros(1)}}, "its model is"),
    "a weight that is a list": (lambda saved: {"model": {**saved.model, WEIGHT: [1.0]}}, "its model is"),
    "two weights are one": (
        lambda saved: {"model": {**saved.model, SCALE: saved.model["backbone.1.bias"]}},
        "several of its tensors are one",
    ),
    "no optimizer": (lambda _: {"optimizer": None}, "its optimizer is None"),
    "an optimizer that kept nothing": (lambda _: {"optimizer": []}, "0 parameters instead of 8"),
    "nothing kept of any": (lambda saved: {"optimizer": [{}] * len(saved.optimizer)}, "missing momentum_buffer"),
    "a parameter too few": (lambda saved: {"optimizer": saved.optimizer[1:]}, "7 parameters instead of 8"),
    "the optimizer's settings": (
        lambda _: {"optimizer": {"state": {}, "param_groups": [{"lr": "x", "params": [0]}]}},
        "its optimizer is",
    ),
    "what Adam keeps": (adam, "missing momentum_buffer of parameter 0"),
    "one momentum for all": (one_for_all, "several of its tensors are one"),
    "momenta in another order": (lambda saved: {"optimizer": saved.optimizer[::-1]}, "instead of"),
}


@pytest.mark.parametrize("case", ALTERED)
def test_what_no_training_writes_is_refused(run, capsys, case):
    """Sealed as it should be, by whoever wrote it: what is in it decides."""
    change, words = ALTERED[case]
    saved = run.read_checkpoint()
    save_checkpoint(replace(saved, **change(saved)), run.checkpoint_path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = refused(run, capsys)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 2**20  # kibibytes: what is claimed is not made
    assert "last.pt" in line or "trained on other data" in line
    assert words in line
    assert "restore it from a backup" in line or "another experiment" in line or "--data-root" in line


@pytest.mark.parametrize(
    "case", [f"a momentum: {name}" for name in TENSORS] + ["what Adam keeps", "one momentum for all"]
)
def test_an_older_checkpoint_is_looked_at_as_closely(run, capsys, case):
    """Format 1 has no seal, so that any tool can have changed it."""
    change, words = ALTERED[case]
    saved = run.read_checkpoint()
    write_format_1(replace(saved, **change(saved)), run.checkpoint_path)
    assert words in refused(run, capsys)


def write_format_1(checkpoint, path):
    states = {number: state for number, state in enumerate(checkpoint.optimizer) if state}
    groups = [{"lr": "x", "momentum": math.nan, "params": list(range(len(checkpoint.optimizer)))}]
    optimizer = {"state": states, "param_groups": groups}
    torch.save({"format": 1, **vars(checkpoint), "classes": list(checkpoint.classes), "optimizer": optimizer}, path)


def test_an_older_checkpoint_goes_on_with_the_settings_of_its_experiment(run, finished):
    write_format_1(run.read_checkpoint(), run.checkpoint_path)
    assert_goes_on(run, finished)


def edited(path, change):
    """What another program makes of the file."""
    fields = torch.load(path, weights_only=True)
    torch.save(change(fields), path)


FOREIGN = {
    "saved again": lambda fields: fields,
    "another learning rate": lambda fields: {**fields, "learning_rate": 1.0},
    "called older": lambda fields: {**fields, "format": 1},
    "of the next version": lambda fields: {**fields, "format": 3},
    "a version that is a tensor": lambda fields: {**fields, "format": torch.ones(3)},
    "without a version": lambda fields: without(fields, "format"),
    "without its network": lambda fields: without(fields, "model"),
    "a field more": lambda fields: {**fields, "more": 1},
    "the network alone": lambda fields: fields["model"],
    "a list": list,
    "a tensor": lambda fields: fields["model"][WEIGHT],
    "code": lambda fields: {**fields, "model": nn.Linear(1, 1)},
    "a tensor of another class": lambda fields: {**fields, "data": torch.zeros(2).as_subclass(Tagged)},
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_another_program_wrote_is_refused(run, capsys, case):
    edited(run.checkpoint_path, FOREIGN[case])
    line = refused(run, capsys)
    assert "last.pt" in line
    assert "restore it from a backup" in line or "newer atlpa (format 3, here 2); update it" in line


def packed(path):
    """The same archive compressed, which torch would make room for before it looks inside."""
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def twice(path):
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr(archive.infolist()[0].filename, b"x")


FILES = {
    "empty": lambda path: path.write_bytes(b""),
    "a web page": lambda path: path.write_text("<html>"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "random": lambda path: path.write_bytes(bytes((7 * n * n) % 251 for n in range(5000))),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a byte long": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "without its seal": lambda path: path.write_bytes(path.read_bytes()[:-79] + bytes(2)),
    "another's seal": lambda path: path.write_bytes(path.read_bytes()[:-64] + b"0" * 64),
    "packed": packed,
    "an entry twice": twice,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("case", FILES)
def test_a_damaged_file_is_refused(run, capsys, case):
    FILES[case](run.checkpoint_path)
    line = refused(run, capsys)
    assert "last.pt is no" in line or "no plain file" in line
    assert "restore it from a backup, or remove the run's folder to train anew" in line


def test_any_flipped_bit_is_found(run):
    """Padding, directory and seal included: every 50th byte, and each of the first and last 300."""
    whole = run.checkpoint_path.read_bytes()
    places = {*range(0, len(whole), 50), *range(300), *range(len(whole) - 300, len(whole))}
    for place in places:
        run.checkpoint_path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"last\.pt is no"):
            load_checkpoint(run.checkpoint_path)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_is_in_the_file_is_read_or_refused(halfway, tmp_path_factory, data):
    """An older file with any bytes changed: there is no seal to tell, and still nothing but a line comes of it."""
    folder = tmp_path_factory.mktemp("fuzz", numbered=True)
    path = folder / "last.pt"
    write_format_1(load_checkpoint(halfway / "last.pt"), path)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.sampled_from([len(whole), len(whole) - 1, len(whole) // 2]))])
    model = Run.open(halfway).experiment.model.build(10, 0)
    with suppress(UserError):
        load_checkpoint(path).resume(model, Recipe().make_optimizer(model))
    shutil.rmtree(folder)


def small_network():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )
    return network.to(memory_format=torch.channels_last)


OPTIMIZERS = {
    "SGD": lambda network: torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=1e-4, fused=True),
    "SGD without momentum": lambda network: torch.optim.SGD(network.parameters(), 0.1),
    "AdamW": lambda network: torch.optim.AdamW(network.parameters(), 0.1, fused=True),
    "RMSprop": lambda network: torch.optim.RMSprop(network.parameters(), 0.1, momentum=0.9, centered=True),
    "Adagrad": lambda network: torch.optim.Adagrad(network.parameters(), 0.1),
}


def steps(network, optimizer, numbers):
    for number in numbers:
        optimizer.zero_grad()
        network(torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(number))).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_goes_on_bit_for_bit(tmp_path, name):
    straight, first, second = small_network(), small_network(), small_network()
    steps(straight, OPTIMIZERS[name](straight), range(6))
    before = OPTIMIZERS[name](first)
    steps(first, before, range(3))
    saved = Checkpoint(3, ("a",), "", {}, first.state_dict(), optimizer_state(before))
    save_checkpoint(saved, tmp_path / "last.pt")
    after = OPTIMIZERS[name](second)
    load_checkpoint(tmp_path / "last.pt").resume(second, after)
    steps(second, after, range(3, 6))
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in straight.state_dict().items())


@pytest.mark.parametrize("other", ["AdamW", "SGD without momentum", "Adagrad"])
def test_another_optimizers_state_is_none(other):
    network = small_network()
    before = OPTIMIZERS["SGD"](network)
    steps(network, before, range(2))
    saved = Checkpoint(2, ("a",), "", {}, network.state_dict(), optimizer_state(before))
    untouched = small_network()
    weights = {name: value.clone() for name, value in untouched.state_dict().items()}
    with pytest.raises(UserError, match=r"does not fit the optimizer: .*of parameter 0"):
        saved.resume(untouched, OPTIMIZERS[other](untouched))
    assert all(torch.equal(value, untouched.state_dict()[name]) for name, value in weights.items())


def test_a_parameter_that_no_step_uses_has_nothing_kept(tmp_path):
    network = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})
    optimizer = Recipe().make_optimizer(network)
    network["used"](torch.ones(1, 2)).sum().backward()
    optimizer.step()
    save_checkpoint(Checkpoint(1, ("a",), "", {}, network.state_dict(), optimizer_state(optimizer)), tmp_path / "x.pt")
    again = Recipe().make_optimizer(network)
    load_checkpoint(tmp_path / "x.pt").resume(network, again)
    assert [set(state) for state in optimizer_state(again)] == [{"momentum_buffer"}, {"momentum_buffer"}, set(), set()]


def test_tied_weights_are_no_damage(tmp_path):
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    optimizer = Recipe().make_optimizer(network)
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    save_checkpoint(Checkpoint(1, ("a",), "", {}, network.state_dict(), optimizer_state(optimizer)), tmp_path / "x.pt")
    load_checkpoint(tmp_path / "x.pt").resume(network, Recipe().make_optimizer(network))


def of_a_finished_run(finished, tmp_path):
    shutil.copytree(finished.folder, tmp_path / "copy")
    return Run.open(tmp_path / "copy")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda _: {"step": 3}, "has changed since training ended: step 3, on record 4"),
        (lambda _: {"data": "0" * 64}, "has changed since training ended: data 00000000, on record"),
        (with_weight(lambda value: first_set(value, 1.0)), "has changed since training ended: weights"),
        (lambda saved: {"classes": saved.classes[1:]}, "does not fit the network"),
        *((with_weight(change), words) for change, words in TENSORS.values()),
    ],
)
def test_nor_is_a_finished_run_judged_on_it(finished, tmp_path, change, words):
    run = of_a_finished_run(finished, tmp_path)
    saved = run.read_checkpoint()
    save_checkpoint(replace(saved, **change(saved)), run.checkpoint_path)
    with pytest.raises(UserError) as refusal:
        run.load_model(torch.device("cpu"))
    assert str(run.checkpoint_path) in str(refusal.value)
    assert words in str(refusal.value)


LOGS = {
    "a step that is no number": '{"step": NaN}\n',
    "a step that is infinite": '{"step": Infinity}\n',
    "a step that is a truth": '{"step": true}\n',
    "a step that is a word": '{"step": "2"}\n',
    "a step that is a float": '{"step": 2.0}\n',
    "a negative step": '{"step": -1}\n',
    "no step": '{"loss": 1}\n',
    "a list": "[1]\n",
    "a number": "1\n",
    "no JSON": "garbage\n",
    "an empty line": "\n",
    "bytes": "\x00\xff\n",
    "deep": '{"step": 1, "x": ' + "[" * 100_000 + "\n",
    "deep and whole": '{"step": 1, "x": ' + "[" * 60 + "]" * 60 + "}\n",
    "a key twice": '{"step": 1, "step": 2}\n',
    "a huge number": '{"step": ' + "9" * 5000 + "}\n",
    "seconds that are a word": '{"step": 1, "timing": {"seconds": "x"}}\n',
    "seconds that are no number": '{"step": 1, "timing": {"seconds": NaN}}\n',
    "negative seconds": '{"step": 1, "timing": {"seconds": -1}}\n',
    "timing that is none": '{"step": 1, "timing": 7}\n',
    "timing without seconds": '{"step": 1, "timing": {}}\n',
}


@pytest.mark.parametrize("case", LOGS)
def test_a_damaged_log_is_named_with_its_line(run, capsys, case):
    run.log_path.write_text(run.log_path.read_text() + LOGS[case])
    line = refused(run, capsys)
    assert "log.jsonl is damaged in line 3" in line
    assert "restore it from a backup, or remove it to go on" in line


def test_without_its_damaged_log_a_run_goes_on(run, finished):
    run.log_path.unlink()
    assert_goes_on(run, finished)
    assert [json.loads(line)["step"] for line in run.log_path.read_text().splitlines()] == [3, 4]


SPLITS = {
    "empty": "",
    "a list": "[]",
    "no parts": "{}",
    "parts that are a list": '{"parts": []}',
    "a part is missing": '{"parts": {"train": {}, "validation": {}}}',
    "a part too many": '{"parts": {"train": {}, "validation": {}, "test": {}, "more": {}}}',
    "a part that is a list": '{"parts": {"train": [["a", "b"]], "validation": {}, "test": {}}}',
    "a class that is a number": '{"parts": {"train": {"a": 1}, "validation": {}, "test": {}}}',
    "a name twice": '{"parts": {"train": {"a": "b", "a": "c"}, "validation": {}, "test": {}}}',
    "deep": "[" * 100_000,
    "no number": '{"parts": NaN}',
}


@pytest.mark.parametrize("case", SPLITS)
def test_a_damaged_split_is_named(run, capsys, case):
    run.split_path.write_text(SPLITS[case])
    assert "split.json" in refused(run, capsys)
