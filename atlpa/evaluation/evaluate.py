"""What an attack leaves standing of any classifier, on any images: the one road through evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from atlpa.attacks import Attack
from atlpa.data import Images
from atlpa.errors import shown
from atlpa.evaluation.admission import (
    asked_budgets,
    check_callable,
    check_network,
    check_repeats,
    check_restarts,
    check_source,
    whole_number,
)
from atlpa.evaluation.as_images import as_images, precision_of
from atlpa.evaluation.attack_result import AttackResult
from atlpa.evaluation.correctness import BATCH_SIZE
from atlpa.evaluation.transfer import transfer
from atlpa.evaluation.white_box import white_box
from atlpa.model_state import Logits


def evaluate(
    model: Logits,
    images: Any,
    labels: Any = None,
    attack: Attack | None = None,
    *,
    budgets: Sequence[int] | None = None,
    source: Logits | Sequence[Logits] | None = None,
    eight_bit: bool = False,
    draws: int = 1,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
    keep_adversarial: bool = False,
) -> AttackResult:
    """Attack images and count what stands.

    White-box, the model itself is attacked, and an image stands if it is right clean and at every iterate so far. With
    a ``source`` the images are made on that network, once, and shown to the model: transfer, an upper bound that says
    little about robustness. Several sources are attacked jointly: by the mean of their logits.

    Args:
        model: images in [0, 1] → logits ``(B, C)``; any callable, normalization inside; left exactly as found.
        images: ``(N, 3, H, W)`` floats in [0, 1] as tensor or array, in whatever precision, which becomes that of the
            model's weights; a ``DataLoader`` or any iterable of (images, labels, …) batches, which is held in memory;
            or this package's own ``Images``.
        labels: ``(N,)`` true classes; left out where the images bring theirs.
        attack: any attack.
        budgets: iteration budgets, all from one run; by default the attack's own.
        source: the network that is attacked in place of the model; or several, as a list.
        eight_bit: whether transferred images are shown as 8-bit ones, rounded to multiples of 1/255 within ε.
        draws: how often a randomized model is asked.
        seed: of all that is drawn, keyed by image.
        batch_size: images attacked at a time.
        progress: called with the number of images × iterates that are done: as ``white_box`` says, or ``transfer``.
        keep_adversarial: whether the result holds the adversarial images of the last budget.

    Raises:
        ValueError: images or labels that cannot be attacked, a model or source that gives no logits for them or has
            too few classes, networks of different tasks, budgets beyond the attack's own, restarts where the images are
            made in one run, an attack that leaves its ε-ball, or an ε that holds no 8-bit image.

    Examples:
        >>> import torch
        >>> from atlpa import PGD, evaluate
        >>> def brightness(images):  # two classes: light, dark
        ...     light = images.mean(dim=(1, 2, 3))
        ...     return torch.stack([light, 1 - light], dim=1)

        >>> images = torch.tensor([0.4, 0.55, 0.7, 0.9]).view(4, 1, 1, 1).expand(4, 3, 8, 8)
        >>> result = evaluate(brightness, images, torch.zeros(4, dtype=torch.long), PGD(0.1, 0.02, 10))
        >>> print(result)
        robust 50.0 % [15.0, 85.0] of 4 · clean 75.0 % · ‖δ‖∞ 0.1000
        >>> result.robust.shape  # budgets, draws, images
        torch.Size([1, 1, 4])
    """
    if attack is None:
        raise ValueError("no attack; give one, such as PGD(8/255, 2/255, 50)")
    if eight_bit and source is None:
        raise ValueError("eight_bit serves transfer; leave it out, or name a source")
    data = checked(model, images, labels, attack, transferred=source is not None)
    attacked = None if source is None else check_source(source, data, attack, model)
    asked = asked_budgets(attack, budgets)
    counts = {"draws": whole_number("draws", draws), "batch_size": whole_number("batch_size", batch_size)}
    options: dict[str, Any] = {"seed": seed, "progress": progress, "keep_adversarial": keep_adversarial, **counts}
    if attacked is None:
        return white_box(model, data, attack, asked, **options)
    return transfer(attacked, {"": model}, data, attack, asked, **options, eight_bit=eight_bit)[""]


def checked(model: Logits, images: Any, labels: Any, attack: Attack, *, transferred: bool = False) -> Images:
    """What a user gave, as images that this attack can be made on; the arguments are those of ``evaluate``.

    Raises:
        ValueError: a model, images or an attack that do not fit together, or are none; a model that draws by itself.
    """
    if not isinstance(attack, Attack):
        raise ValueError(f"the attack is {shown(attack)}; give one, such as PGD(8/255, 2/255, 50)")
    check_callable(model, "model")
    check_restarts(model, attack, transferred=transferred)
    data = as_images(images, labels, precision_of(model))
    check_network(model, data, attack, "model")
    check_repeats(model, data)
    return data
