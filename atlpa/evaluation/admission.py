"""What an evaluation refuses before anything is attacked: networks and settings that do not fit each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import index
from typing import Any, cast

import torch
from torch import Tensor

from atlpa.attacks import Attack
from atlpa.data import Images
from atlpa.errors import reason, shown
from atlpa.evaluation.correctness import device_of, to_batch
from atlpa.model_state import Logits, eval_mode, random_layers
from atlpa.models import Joint
from atlpa.out_of_memory import is_out_of_memory, must_fit


def check_callable(network: object, role: str) -> None:
    """Refuse what is no network at all."""
    if not callable(network):
        raise ValueError(f"the {role} is {shown(network)}; give a module or another callable: images → logits")


def whole_number(name: str, given: Any) -> int:
    """A setting that counts something.

    Raises:
        ValueError: it is no whole number, or below 1.
    """
    try:
        count = -1 if isinstance(given, bool) else index(given)
    except TypeError:
        count = -1
    if count < 1:
        raise ValueError(f"{name} {shown(given)}; give a whole number of at least 1")
    return count


def asked_budgets(attack: Attack, budgets: Iterable[Any] | None) -> list[int]:
    """The iterates of an attack that are judged, ascending, each once: those that were asked for, or the last.

    Raises:
        ValueError: they are no whole numbers, or beyond the attack's own; or the attack goes on beyond them.
    """
    own = attack.last_iterate
    if budgets is None:
        return [own]
    if isinstance(budgets, str) or not isinstance(budgets, Iterable):
        raise ValueError(f"budgets {shown(budgets)}; give several whole numbers from 1 to {own}, or none")
    asked = sorted({whole_number("a budget is", budget) for budget in budgets})
    if not asked or asked[-1] > own:
        raise ValueError(f"budgets {asked} of {attack.name}, which has {own} iterates; give some from 1 to {own}")
    if asked[-1] < own:
        raise ValueError(f"the last budget is {asked[-1]}, but {attack.name} goes on to {own}; let them agree")
    return asked


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


def check_network(network: Logits, images: Images, attack: Attack, role: str) -> int:
    """How many classes a network tells apart.

    Raises:
        ValueError: it gives no logits for these images, or has too few classes for them or for the attack.
    """
    check_callable(network, role)
    classes = check_logits(network, images, role)
    side = min(images[torch.arange(1)].shape[2:])
    if problem := attack.unfit(classes=classes, side=side):
        raise ValueError(f"the {role} has {problem}")
    return classes


@torch.no_grad()
def check_logits(network: Logits, images: Images, name: str) -> int:
    """How many classes a network tells apart.

    Raises:
        ValueError: it gives no logits for these images, or has too few classes for them.
    """
    role = f"the {name}"
    few, _ = to_batch(images, torch.arange(min(2, len(images))), device_of(network, images))
    with eval_mode(network), must_fit():
        try:
            logits = network(few)
        except Exception as error:  # what torch says of shapes, types and places, and whatever code of one's own raises
            if is_out_of_memory(error):
                raise
            given = f"images {tuple(few.shape[1:])} of {few.dtype} on {few.device}"
            raise ValueError(f"{role} takes no {given}: {reason(error)}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(few):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"{role} gave {shape} for {len(few)} images; it must give logits (images, classes)")
    if not logits.isfinite().all():
        raise ValueError(f"{role} gave NaN or infinite logits; no class is the largest of them")
    classes, highest = logits.shape[1], int(images.labels.max())
    if highest >= classes:
        raise ValueError(f"label {highest} but {role} has {classes} classes; labels are counted from 0")
    return classes


def check_task(network: Logits, images: Images, role: str, classes: int) -> None:
    """Refuse a network that tells other classes apart than one that it meets.

    Raises:
        ValueError: likewise, or it gives no logits for these images.
    """
    check_callable(network, role)
    if (own := check_logits(network, images, role)) != classes:
        raise ValueError(f"the {role} has {own} classes, the source {classes}; give networks of one task")


def check_source(source: Logits | Sequence[Logits], images: Images, attack: Attack, model: Logits) -> Logits:
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
        found[role] = check_network(network, images, attack, role)
    if len(set(found.values())) > 1:
        told = ", ".join(f"{role} has {classes} classes" for role, classes in found.items())
        raise ValueError(f"{told}; a joint attack takes networks of one task, with the same classes")
    check_task(model, images, "model", next(iter(found.values())))
    return Joint(several) if joint else several[0]
