"""The training attack's numbers come from the device that its images lie on."""

from importlib import import_module

import torch

from atlpa.component import validate
from atlpa.defenses import Defense, load_preset
from atlpa.randomness import generator
from atlpa.training import Recipe, TrainingLog
from atlpa.training.step import StepResult


def test_the_attack_of_a_step_draws_where_its_images_lie(monkeypatch, tmp_path):
    """There is no other device here: what the loop asks for is all that shows."""
    loop, asked = import_module("atlpa.training.loop"), []

    class Afar:
        rows = range(16)

        def from_step(self, first, last):
            yield from [(torch.zeros(2, 3, 4, 4, device="meta"), torch.zeros(2))] * (last - first)

    def keyed(*key, device="cpu"):
        asked.append((*key, str(device)))
        return generator(*key)

    def step(model, defense, attack, optimizer, images, labels, *rest, **options):
        return StepResult({"loss": torch.tensor(1.0)}, {})

    monkeypatch.setattr(loop, "generator", keyed)
    monkeypatch.setattr(loop, "training_step", step)
    defense = validate(Defense, load_preset("pat").fields)
    model, recipe = torch.nn.Linear(2, 2), Recipe(iterations=2)
    loop.train(
        *(model, defense, recipe, recipe.make_optimizer(model), Afar(), 7),
        first_step=0,
        log=TrainingLog(tmp_path / "log.jsonl", 0),
        save=lambda *_: None,
        validate=None,
        title="test",
    )
    assert asked == [(7, "training attack", number, "meta") for number in (0, 1)]
