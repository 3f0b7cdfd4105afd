"""White-box evaluation: an image stands if it is right clean and at every iterate so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from atlpa.attacks import PGD
from atlpa.data import Images
from atlpa.evaluation.accuracy import BATCH_SIZE, generators, pictures, right, verdicts
from atlpa.evaluation.outcome import Outcome, Perturbation
from atlpa.random_layer import random_layers


def white_box(
    model: nn.Module,
    images: Images,
    attack: PGD,
    budgets: Sequence[int],
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
) -> Outcome:
    """Attack every image with its own model until it falls or the last budget is spent.

    A fallen image leaves the batch at once and the next one takes its place, so that the work goes to images that
    still stand; each further restart touches only those. The clean prediction is judged without the attack, so an
    image that is wrong clean never stands. Half precision does not judge: where its logits are wrong, and at the last
    budget, the model itself is asked.

    Args:
        model: a network that draws nothing; left exactly as found.
        images: the data.
        attack: PGD.
        budgets: iteration budgets, ascending; the last is the attack's own number of iterations.
        seed: of random starts, keyed by image and restart.
        batch_size: images attacked at a time.
        progress: called with the number of images that are done, for a progress bar of N · restarts.

    Raises:
        ValueError: momentum or diversity, which serve transfer; restarts with several budgets, whose smaller ones would
            look better than they are; or a randomized model, which would fall by chance at one of so many draws (see
            ``transfer`` and ``Outcome.standing``).
    """
    if attack.momentum or attack.diversity:
        raise ValueError("momentum and diversity serve transfer; a white-box attack follows the gradient itself")
    if random_layers(model):
        raise ValueError("a randomized model falls by chance sooner or later; judge it with transfer to itself")
    if attack.restarts > 1 and len(budgets) > 1:
        raise ValueError("restarts touch only what stands at the last budget; judge restarts at one budget at a time")
    device = next(model.parameters()).device
    clean = verdicts(model, images)[0]
    network = attack.ready(model, pictures(images, torch.arange(1), device)[0])
    fell_at = torch.where(clean, budgets[-1] + 1, 0)  # first wrong iterate; 0: wrong clean
    perturbation = Perturbation.empty(len(budgets), len(images))
    steps = 0
    for restart in range(attack.restarts):
        waiting = torch.nonzero(fell_at > budgets[-1]).flatten()
        progress(len(images) - len(waiting))
        where = torch.empty(0, dtype=torch.long)  # position in the data of each lane of the batch
        age = torch.empty(0, dtype=torch.long)  # iterations each lane has had
        lanes: tuple[Tensor, ...] = ()  # clean image, present iterate and label of each lane
        while len(where) or len(waiting):
            fresh, waiting = waiting[: batch_size - len(where)], waiting[batch_size - len(where) :]
            if len(fresh):
                batch, batch_labels = pictures(images, fresh, device)
                joined = (batch, attack.initial(batch, generators(seed, "attack", fresh, restart)), batch_labels)
                lanes = tuple(map(torch.cat, zip(lanes, joined, strict=True))) if lanes else joined
                where, age = torch.cat([where, fresh]), torch.cat([age, torch.zeros_like(fresh)])
            origin, iterate, labels = lanes
            following, logits = attack.advance(network, iterate, origin, labels)
            steps += len(where)
            fallen = (logits.argmax(dim=1) != labels).cpu()
            if attack.precision != "fp32":  # what is less exact does not judge
                asked = torch.nonzero(fallen | (age == budgets[-1])).flatten()
                fallen[asked] = ~right(model, iterate[asked], labels[asked]).cpu()
            done = fallen | (age == budgets[-1])
            for row, budget in enumerate(budgets):
                reached = (age == budget) | (fallen & (age < budget))
                if reached.any():
                    perturbation.note(row, where[reached], iterate[reached], origin[reached], attack.epsilon)
            fell_at[where[fallen]] = age[fallen].clamp(min=1)
            progress(int(done.sum()))
            stay = ~done
            lanes = (origin[stay], following[stay], labels[stay])
            where, age = where[stay], age[stay] + 1
    correct = torch.stack([fell_at > budget for budget in budgets])
    return Outcome(clean[None], correct[:, None], perturbation, steps)
