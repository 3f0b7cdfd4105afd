"""Who can attack whom, by what was trained on what; and the printed ways to a missing source."""

import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from atlpa.attacks import FGSM
from atlpa.cli.train import main as train
from atlpa.errors import UserError
from atlpa.experiment import load
from atlpa.runs import Protocol, Run, evaluate, pair, pair_jointly, train_run
from atlpa.runs.threats import sources_beside
from tests.narrow import NARROW

SELECT = [("training.select_by", {"name": "fgsm"}), ("training.validate_every", 1),
          ("training.learning_rate", 1e-30)]  # fmt: skip
CPU = torch.device("cpu")


def photographs(folder, shade=0):
    """Two classes of eight images each."""
    for name in ("cat", "dog"):
        Path(folder, name).mkdir(parents=True)
        for number in range(8):
            Image.new("L", (12, 9), 10 * number + shade).save(Path(folder, name, f"{number}.png"))


@pytest.fixture(autouse=True)
def own_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photographs("photos")
    Path("own.yaml").write_text(
        f"model: {{architecture: '{NARROW}', weights: none}}\n"
        "data: {name: folder, root: photos, size: 16, resize: 20}\n"
        "defense: pat\ntraining: {iterations: 2, batch_size: 4, learning_rate: 0.001, attack: {iterations: 1}}\n"
    )


def trained(folder, defense, *changes):
    changed = [("defense", defense), *changes, ("output", f"runs/{folder}")]
    return train_run(load("own.yaml", changed), say=lambda _: None)


def pairs(target, *sources):
    found, _ = pair([target], ["gray", "surrogate", "black", "transfer"], sources)
    return [(one.threat, one.source.folder.name) for one in found]


def test_a_source_must_not_be_trained_on_what_the_target_is_judged_on():
    """The parts alone decide: a source of the training part attacks on both others, a final one on the test part."""
    develop, final = trained("develop", "none"), trained("final", "none", ("final", True))
    judged_on_validation = trained("pat", "pat")
    judged_on_test = trained("pat-final", "pat", ("final", True)), trained("pat-best", "pat", *SELECT)
    for target in judged_on_test:
        assert pairs(target, develop) == [("gray", "develop")]
        assert pairs(target, final) == [("gray", "final")]
    assert pairs(judged_on_validation, develop) == [("gray", "develop")]
    with pytest.raises(UserError, match="the source is trained on the validation part, the target judged on it"):
        pairs(judged_on_validation, final)
    # Of those beside a target, the one that learned from the same parts is taken.
    assert [run.folder.name for run in sources_beside(judged_on_test[0])] == ["final"]
    assert [run.folder.name for run in sources_beside(judged_on_test[1])] == ["develop"]
    assert [run.folder.name for run in sources_beside(judged_on_validation)] == ["develop"]

    # One source, shown to targets of different parts: each sees its own images.
    pairings, _ = pair([judged_on_validation, *judged_on_test], ["gray"], [develop])
    records = list(evaluate(pairings, Protocol(FGSM(0.1), (1,), limit=5), CPU))
    parts = {Path(record.target.run).name: record.data.part for record in records}
    assert parts == {"pat": "validation", "pat-final": "test", "pat-best": "test"}


def test_extra_images_are_for_training_alone():
    photographs("extra", shade=5)
    extra = ("data.extra", {"root": "extra", "share": 0.5})
    with_extra, other = trained("pat", "pat", extra), trained("pat-other", "pat", extra, ("data.extra.share", 0.25))
    without = trained("none", "none")
    assert with_extra.training.data != without.training.data
    assert pairs(with_extra, without) == [("gray", "none")]
    assert pairs(without, with_extra) == [("transfer", "pat")]
    assert pairs(other, with_extra) == [("transfer", "pat")]

    split = with_extra.split_path.read_text()
    with_extra.split_path.write_text(split.replace("cat/0.png", "cat/9.png"))
    with pytest.raises(UserError, match=r"does not fit runs/pat: data digest"):
        pairs(with_extra, without)
    with_extra.split_path.write_text("{")
    with pytest.raises(UserError, match=r"does not fit runs/pat: .*split\.json"):
        pairs(with_extra, without)


def test_images_of_another_size_do_not_fit():
    target, source = trained("pat", "pat"), trained("none", "none", ("data.size", 18))
    with pytest.raises(UserError, match=r"data\.size \(18 there, 16 now\)"):
        pairs(target, source)
    assert sources_beside(target) == []


def test_a_run_is_no_source_of_its_own():
    """An undefended run with two networks: neither is the other's gray-box source."""
    run = trained("none", "none", *SELECT)
    assert [one.judged for one in run.networks] == ["best", "last"]
    pairings, notes = pair(run.networks)
    assert [one.threat for one in pairings] == ["white", "white"]
    assert len([note for note in notes if "its gray-box source is this very network" in note]) == 2
    for network in run.networks:
        with pytest.raises(UserError, match="gray-box is white-box"):
            pairs(network, run)


TARGETS = {
    "a single step and what belongs to it": [
        ("final", True),
        ("training.epsilon_schedule.warmup", 0.5),
        ("training.collapse", {"every": 1, "images": 24}),
    ],
    "a network that is selected": [*SELECT, ("training.averaging", {"decay": 0.5})],
}


def way(target, threat):
    """The command that the missing source is said to come of."""
    with pytest.raises(UserError, match="train one with: ") as found:
        pair([target], [threat])
    program, *arguments = shlex.split(str(found.value).split("train one with: ")[1])
    assert program == "atlpa-train"
    return arguments


@pytest.mark.parametrize("kind", TARGETS)
def test_the_way_to_a_source_leads_there(kind):
    target = trained("my pat", "pat", *TARGETS[kind])
    for threat in ("gray", "black", "surrogate"):
        assert train(way(target, threat)) == 0
        assert [one.threat for one in pair([target], [threat])[0]] == [threat]
    assert {run.judged for run in sources_beside(target) if run.experiment.defense.undefended} == {"last"}


def test_the_way_to_a_source_of_an_extension_begins_anew():
    trained("pat", "pat", ("final", True))
    assert train(["--extend", "runs/pat", "--set", "training.iterations=3", "--output", "runs/longer/pat"]) == 0
    target = Run.open(Path("runs/longer/pat"))
    for threat in ("gray", "surrogate"):
        assert train(way(target, threat)) == 0
        (pairing,) = pair([target], [threat])[0]
        assert pairing.source.experiment.origin is None


def test_sources_of_a_joint_attack_must_all_fit():
    """Those of other images do not, whichever is named first; those that do are one source in one order."""
    target, gray = trained("pat", "pat"), trained("none", "none")
    other, larger = trained("none-1", "none", ("seed", 1)), trained("larger", "none", ("data.size", 20))
    (pairing,) = pair_jointly([target], ["transfer"], [other, gray])
    assert [source.folder.name for source in pairing.sources] == ["none", "none-1"]
    assert pair_jointly([target, target], ["transfer"], [gray, other]) == [pairing]
    for sources in ([gray, larger], [larger, gray]):
        with pytest.raises(UserError, match=r"larger does not fit .*pat: .*data.size"):
            pair_jointly([target], ["transfer"], sources)
    with pytest.raises(UserError, match="pat is judged, and a source of --joint as well"):
        pair_jointly([target], ["transfer"], [gray, target])
