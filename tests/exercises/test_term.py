"""A loss term of one's own: fifteen lines, and every defense can have it."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from atlpa.defenses import TERMS, Views
from atlpa.errors import UserError
from atlpa.experiment import load, parse
from atlpa.runs import Run, train_run
from tests.exercises.conftest import lines

NAME = "outside.term:Focal"
SHORT = [("training.iterations", 2), ("training.batch_size", 4), ("training.log_every", 1), ("data.size", 16)]


def with_focal(defense="atlpa", **options):
    return load("digits", [("defense", defense), (f"defense.terms.{NAME}", options), *SHORT, ("output", "run")])


def test_it_is_short():
    assert lines("term.py") <= 15


@pytest.mark.parametrize("gamma", [0, 0.5, 3])
def test_it_is_weighed_over_the_mix_as_ours_are(gamma):
    """Without focus it is cross-entropy; with it, what the definition gives image by image."""
    torch.manual_seed(0)
    clean, adversarial, labels = torch.randn(6, 5), torch.randn(6, 5), torch.arange(6) % 5
    defense = with_focal("pat", weight=0.5, gamma=gamma).defense
    terms = defense.objective(Views(labels, torch.empty(0), clean, adversarial))
    of_each = []
    for logits in (clean, adversarial):
        p = logits.softmax(1)[torch.arange(6), labels]
        of_each.append((-((1 - p) ** gamma) * p.log()).mean())
    assert list(terms) == ["cross_entropy", NAME]
    assert terms[NAME].item() == pytest.approx(0.5 * sum(of_each).item() / 2, rel=1e-5)
    if gamma == 0:
        assert terms[NAME].item() == pytest.approx(0.5 * terms["cross_entropy"].item(), rel=1e-5)


def test_experiment_yaml_holds_its_path_and_where_it_comes_from():
    experiment = with_focal(gamma=3)
    written = yaml.safe_load(yaml.safe_dump(experiment.resolved(), sort_keys=False))
    assert written["defense"]["terms"][NAME] == {"weight": 1.0, "images": "mix", "gamma": 3.0}
    assert list(written["defense"]["terms"]) == ["cross_entropy", "tolerant_logit", "attention_map", NAME]
    assert written["code"] == {NAME: "outside, not installed as a package"}
    assert parse(written) == experiment
    older = {**written, "code": {NAME: "outside 0.1"}}
    assert parse(older).identity() == experiment.identity()


def test_trained_and_logged_under_its_name():
    train_run(with_focal(), say=lambda _: None)
    line = json.loads(Path("run/log.jsonl").read_text().splitlines()[0])
    assert line["terms"].keys() == {"cross_entropy", "tolerant_logit", "attention_map", NAME}
    assert Run.open(Path("run")).finished


def test_its_fields_are_set_with_dots_and_refused_with_the_nearest():
    changes = [("defense", "pat"), (f"defense.terms.{NAME}.gamma", 1.5), ("defense.terms.cross_entropy", None)]
    assert load("digits", changes).defense.terms[NAME].gamma == 1.5
    for field, value, message in (
        ("gama", 1, rf"defense\.terms\.{NAME}: unknown key 'gama'; did you mean 'gamma'"),
        ("gamma", "big", rf"defense\.terms\.{NAME}\.gamma: .*number, given 'big'"),
    ):
        with pytest.raises(UserError, match=message):
            load("digits", [*changes, (f"defense.terms.{NAME}.{field}", value)])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("outside.term:Focus", "loss term 'outside.term:Focus' cannot be imported: .*no attribute 'Focus'"),
        ("outside.terms:Focal", "cannot be imported: No module named 'outside.terms'"),
        ("os:system", "loss term 'os:system' is no subclass of atlpa.defenses.Term"),
        ("outside.dataset:Listed", "is no subclass of atlpa.defenses.Term"),
        ("__main__:Focal", "lies in a program, where no command finds it"),
        ("focal", "unknown loss term 'focal'.*code of your own is named package.module:attribute"),
    ],
)
def test_what_is_no_term(name, message):
    with pytest.raises(UserError, match=message):
        load("digits", [(f"defense.terms.{name}", {})])
    assert "os:system" not in TERMS
