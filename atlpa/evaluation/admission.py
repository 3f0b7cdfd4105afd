"""What an evaluation refuses before anything is attacked: networks and settings that do not fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import cast

import torch
from torch import Tensor

from atlpa.attacks import Attack
from atlpa.data import Images
from atlpa.errors import reason, shown
from atlpa.evaluation.correctness import device_of, to_batch
from atlpa.model_state import Logits, eval_mode, random_layers
from atlpa.models import Joint
from atlpa.out_of_memory import must_fit


def check_callable(network: object, role: str) -> None:
    """Refuse what is no network at all."""
    if not callable(network):
        raise ValueError(f"the {role} is {shown(network)}; give a module or another callable: images → logits")


def check_restarts(model: Logits, attack: Attack, *, transferred: bool) -> None:
    """Refuse what would be left out without a word: restarts, where the images are made in one run.

    Raises:
        ValueError: a field that serves white-box evaluation, by transfer; or restarts on a randomized model.
    """
    if not transferred:
        attack.suited_to(white_box=True, randomized=bool(random_layers(model)))
        return
    defaults = {field.name: field.default for field in fields(attack)}
    idle = [name for name, purpose in attack.serves.items() if purpose == "white-box"]
    for name in idle:
        if (value := getattr(attack, name)) != defaults[name]:
            raise ValueError(f"{name} {value} of {attack.name} serves white-box evaluation; leave it out with a source")


@torch.no_grad()
def check_repeats(network: Logits, images: Images) -> None:
    """Refuse a model that draws where nobody sees it: its answers would pass for those of one that does not.

    Raises:
        ValueError: asked twice it gives logits that differ by more than a hundredth of the largest.
    """
    if random_layers(network):
        return
    few, _ = to_batch(images, torch.arange(min(2, len(images))), device_of(network, images))
    with eval_mode(network), must_fit():
        first, second = network(few), network(few)
    if (first - second).abs().max() > 0.01 * first.abs().max():
        raise ValueError(
            "the model draws by itself: asked twice, it gives other logits. Draw in an atlpa.model_state.RandomLayer, "
            "which is asked as often as draws says, or let atlpa.credibility judge the model as it is"
        )


@torch.no_grad()
def check_network(network: Logits, images: Images, attack: Attack, role: str) -> int:
    """How many classes a network tells apart.

    Raises:
        ValueError: it gives no logits for these images, or has too few classes for them or for the attack.
    """
    few, _ = to_batch(images, torch.arange(min(2, len(images))), device_of(network, images))
    with eval_mode(network), must_fit():
        logits = network(few)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(few):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"{role} gave {shape} for {len(few)} images; it must give logits (images, classes)")
    if not logits.isfinite().all():
        raise ValueError(f"{role} gave NaN or infinite logits; no class is the largest of them")
    classes, highest, side = logits.shape[1], int(images.labels.max()), min(few.shape[2:])
    if highest >= classes:
        raise ValueError(f"label {highest} but {role} has {classes} classes; labels are counted from 0")
    if problem := attack.unfit(classes=classes, side=side):
        raise ValueError(f"{role} has {problem}")
    return classes


def check_source(source: Logits | Sequence[Logits], images: Images, attack: Attack) -> Logits:
    """The network that is attacked in place of the model; of several, all of them as one.

    Raises:
        ValueError: it does not fit the images or the attack; or several of which one is no network, or that are of
            different tasks, or a single one among several.
    """
    joint = isinstance(source, list | tuple)
    several = cast(Sequence[Logits], source if joint else [source])
    if joint and len(several) < 2:
        raise ValueError(f"a joint attack on {len(several)} source; give several, or source=network for one alone")
    found: dict[str, int] = {}
    for number, network in enumerate(several, 1):
        role = f"source {number}" if joint else "source"
        check_callable(network, role)
        try:
            found[role] = check_network(network, images, attack, f"the {role}")
        except RuntimeError as error:  # what torch says of shapes
            size = tuple(images[torch.arange(1)].shape[1:])
            wanted = f"the {role} takes no images {size} of type {images[torch.arange(1)].dtype}"
            raise ValueError(f"{wanted}, which the model is judged on: {reason(error)}") from error
    if len(set(found.values())) > 1:
        told = ", ".join(f"{role} has {classes} classes" for role, classes in found.items())
        raise ValueError(f"{told}; a joint attack takes networks of one task, with the same classes")
    return Joint(several) if joint else several[0]
