"""What an attack leaves standing of any classifier, on any images: the one road through evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from atlpa.attacks import Attack
from atlpa.data import Images
from atlpa.errors import shown
from atlpa.evaluation.as_images import as_images, precision_of
from atlpa.evaluation.attack_result import AttackResult
from atlpa.evaluation.correctness import BATCH_SIZE, device_of, to_batch
from atlpa.evaluation.transfer import transfer
from atlpa.evaluation.white_box import white_box
from atlpa.model_state import Logits, eval_mode, random_layers
from atlpa.out_of_memory import must_fit


def evaluate(
    model: Logits,
    images: Any,
    labels: Any = None,
    attack: Attack | None = None,
    *,
    budgets: Sequence[int] | None = None,
    source: Logits | None = None,
    draws: int = 1,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
    keep_adversarial: bool = False,
) -> AttackResult:
    """Attack images and count what stands.

    White-box, the model itself is attacked, and an image stands if it is right clean and at every iterate so far. With
    a ``source`` the images are made on that network, once, and shown to the model: transfer, an upper bound that says
    little about robustness.

    Example::

        result = evaluate(model, images, labels, PGD(8 / 255, 2 / 255, 50))
        print(result)  # robust 24.2 % [19.8, 29.1] of 340 · clean 66.1 % · ‖δ‖∞ 0.0314
        result.robust  # (budgets, draws, N) bool

    Args:
        model: images in [0, 1] → logits ``(B, C)``; any callable, normalization inside; left exactly as found.
        images: ``(N, 3, H, W)`` floats in [0, 1] as tensor or array, in whatever precision, which becomes that of the
            model's weights; a ``DataLoader`` or any iterable of (images, labels, …) batches, which is held in memory;
            or this package's own ``Images``.
        labels: ``(N,)`` true classes; left out where the images bring theirs.
        attack: any attack.
        budgets: iteration budgets, all from one run; by default the attack's own.
        source: the network that is attacked in place of the model.
        draws: how often a randomized model is asked.
        seed: of all that is drawn, keyed by image.
        batch_size: images attacked at a time.
        progress: called with how much is done: see ``white_box`` and ``transfer``.
        keep_adversarial: whether the result holds the adversarial images of the last budget.

    Raises:
        ValueError: images or labels that cannot be attacked, a model that gives no logits for them or has too few
            classes, budgets beyond the attack's own, restarts where the images are made in one run, or an attack that
            leaves its ε-ball.
    """
    if attack is None:
        raise ValueError("no attack; give one, such as PGD(8/255, 2/255, 50)")
    data = checked(model, images, labels, attack, source)
    own = attack.last_iterate
    asked = sorted(set(budgets or [own]))
    if asked[0] < 1 or asked[-1] > own:
        raise ValueError(f"budgets {asked} of {attack.name}, which has {own} iterates; give some from 1 to {own}")
    if asked[-1] < own:
        raise ValueError(f"the last budget is {asked[-1]}, but {attack.name} goes on to {own}; let them agree")
    options: dict[str, Any] = {"seed": seed, "draws": draws, "batch_size": batch_size}
    options |= {"progress": progress, "keep_adversarial": keep_adversarial}
    if source is None:
        return white_box(model, data, attack, asked, **options)
    return transfer(source, {"": model}, data, attack, asked, **options)[""]


def checked(model: Logits, images: Any, labels: Any, attack: Attack, source: Logits | None = None) -> Images:
    """What a user gave, as images that this attack can be made on; the arguments are those of ``evaluate``.

    Raises:
        ValueError: a model, images or an attack that do not fit together, or are none.
    """
    if not isinstance(attack, Attack):
        raise ValueError(f"the attack is {shown(attack)}; give one, such as PGD(8/255, 2/255, 50)")
    for given, role in ((model, "model"), *([(source, "source")] if source is not None else [])):
        if not callable(given):
            raise ValueError(f"the {role} is {shown(given)}; give a module or another callable: images → logits")
    check_restarts(model, attack, source)
    data = as_images(images, labels, precision_of(model))
    for network, role in ((model, "the model"), (source, "the source")):
        if network is not None:
            check_network(network, data, attack, role)
    return data


def check_restarts(model: Logits, attack: Attack, source: Logits | None) -> None:
    """Refuse what would be left out without a word: restarts, where the images are made in one run.

    Raises:
        ValueError: a field that serves white-box evaluation, by transfer; or restarts on a randomized model.
    """
    if source is None:
        attack.suited_to(white_box=True, randomized=bool(random_layers(model)))
        return
    defaults = {field.name: field.default for field in fields(attack)}
    idle = [name for name, purpose in attack.serves.items() if purpose == "white-box"]
    for name in idle:
        if (value := getattr(attack, name)) != defaults[name]:
            raise ValueError(f"{name} {value} of {attack.name} serves white-box evaluation; leave it out with a source")


@torch.no_grad()
def check_network(network: Logits, images: Images, attack: Attack, role: str) -> None:
    """Refuse what gives no logits for these images, or has too few classes for them or for the attack.

    Raises:
        ValueError: what was given, and what is wanted.
    """
    few, _ = to_batch(images, torch.arange(min(2, len(images))), device_of(network, images))
    with eval_mode(network), must_fit():
        logits = network(few)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(few):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"{role} gave {shape} for {len(few)} images; it must give logits (images, classes)")
    if not logits.isfinite().all():
        raise ValueError(f"{role} gave NaN or infinite logits; no class is the largest of them")
    classes, highest = logits.shape[1], int(images.labels.max())
    if highest >= classes:
        raise ValueError(f"label {highest} but {role} has {classes} classes; labels are counted from 0")
    if classes < attack.fewest_classes:
        raise ValueError(f"{role} has {classes} classes; {attack.name} needs at least {attack.fewest_classes}")
