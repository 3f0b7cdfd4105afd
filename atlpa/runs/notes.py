"""What a user should know before a training starts: allowed, but perhaps not what was meant."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from atlpa.component import dump, validate
from atlpa.defenses import Defense, load_preset, preset_names
from atlpa.defenses.preset import TUNED_SIZE, TUNED_WEIGHTS
from atlpa.engine import precision_note
from atlpa.experiment import Experiment
from atlpa.model_state import eval_mode
from atlpa.models import record_stages, stage_layers
from atlpa.runs.training_attacks import attack_notes
from atlpa.training import Schedule


def training_notes(experiment: Experiment, model: nn.Module, device: torch.device) -> list[str]:
    """Sentences about an experiment and the network that it trains.

    Args:
        experiment: as it will be carried out.
        model: its network, on the CPU; left as found.
        device: where it will be trained.
    """
    recipe, averaging = experiment.training, experiment.training.averaging
    notes = averaging.notes(experiment.averages_from, recipe.iterations) if averaging else []
    notes += attack_notes(experiment, device)
    unmet = precision_note(recipe.precision, device)
    if unmet and unmet not in notes:
        notes.append(unmet)
    for remark in (_epsilon, _selection, _without_attack, _collapse, _chosen_elsewhere):
        notes += remark(experiment)
    return notes + _constant_maps(experiment, model)


def _epsilon(experiment: Experiment) -> list[str]:
    """A schedule of the training attack's ε that falls, or that nothing follows."""
    defense, schedule = experiment.defense, experiment.training.epsilon_schedule
    if schedule == Schedule(shape="constant"):
        return []
    if not defense.needs_adversarial and not any(term.follows_epsilon for term in defense.terms.values()):
        return [f"training.epsilon_schedule: {defense.name} trains without an attack, so that no ε moves"]
    if schedule.shape == "constant":
        return []
    steps = experiment.training.iterations
    return [
        f"training.epsilon_schedule: with shape {schedule.shape} the training attack's ε falls to "
        f"{schedule.at(steps - 1, steps):.2g} of itself by the end; {{shape: constant, warmup: 0.3}} grows, and stays"
    ]


def _selection(experiment: Experiment) -> list[str]:
    """Looks at the validation part of which there is one."""
    recipe = experiment.training
    if not recipe.select_by or recipe.validate_every < recipe.iterations:
        return []
    return [
        f"training.select_by has one look to choose from, the last step's: training.validate_every is "
        f"{recipe.validate_every}, and there are {recipe.iterations} iterations"
    ]


def _without_attack(experiment: Experiment) -> list[str]:
    """A defense by its name that attacks nothing as it is set."""
    defense = experiment.defense
    preset = load_preset(defense.name).fields if defense.name in preset_names() else {}
    if not defense.undefended or not preset or validate(Defense, preset).undefended:
        return []
    return [f"{defense.name} as it is set trains on clean images alone, as none does"]


def _collapse(experiment: Experiment) -> list[str]:
    """Where looking for collapse is not quite what it seems."""
    recipe = experiment.training
    check = recipe.collapse_check(experiment.defense)
    if check is None:
        idle = recipe.collapse and f"{experiment.defense.name} trains without an attack, so that nothing can collapse"
        return [f"training.collapse: {idle}"] if idle else []
    notes = []
    if check.every > recipe.iterations and recipe.collapse:
        notes.append(f"training.collapse: {recipe.iterations} iterations end before the first look, at {check.every}")
    if experiment.final:
        notes.append("collapse is looked for on images that are trained on, since a final run holds none out")
    return notes


def _chosen_elsewhere(experiment: Experiment) -> list[str]:
    """Values that a preset brings along from a small network, where another one is trained."""
    size, weights = experiment.data.size, experiment.model.weights
    if (size, weights) == (TUNED_SIZE, TUNED_WEIGHTS) or experiment.defense.name not in preset_names():
        return []
    preset = load_preset(experiment.defense.name)
    ours, theirs = dump(experiment.defense), preset.fields
    kept = [field for field in preset.tuned if _at(ours, field) == _at(theirs, field)]
    if not kept:
        return []
    values = ", ".join(f"{field} {_at(ours, field):g}" for field in kept)
    return [
        f"chosen with ResNet-18 from random weights at {TUNED_SIZE}×{TUNED_SIZE}: {values}; "
        f"at {size}×{size} from weights {weights!r} nothing was chosen (docs/defenses.md)"
    ]


def _at(fields: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        fields = (fields or {}).get(part)
    return fields


@torch.no_grad()
def _constant_maps(experiment: Experiment, model: nn.Module) -> list[str]:
    """Stages whose attention map is a single place, so that Eq. 4 compares 1 with 1."""
    term, size = experiment.defense.terms.get("attention_map"), experiment.data.size
    if term is None:
        return []
    wanted = experiment.defense.needs_stages(tuple(stage_layers(model)))
    with eval_mode(model), record_stages(model, wanted) as stages, torch.random.fork_rng(devices=[]):
        model(torch.zeros(1, 3, size, size))
    single = [stage for stage, output in stages.items() if output.shape[2:].numel() == 1]
    return [f"{', '.join(single)} has one place at {size}×{size}: its attention loss is 0"] if single else []
