"""White-box evaluation: an image stands if it is right clean and at every iterate so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from atlpa.attacks import PGD
from atlpa.data import Images
from atlpa.evaluation.accuracy import BATCH_SIZE, correct, generators, is_correct, to_batch
from atlpa.evaluation.active_batch import ActiveBatch, RobustTracker
from atlpa.evaluation.attack_result import AttackResult
from atlpa.float32 import ieee_float32
from atlpa.model_state import random_layers


@ieee_float32()
def white_box(
    model: nn.Module,
    images: Images,
    attack: PGD,
    budgets: Sequence[int],
    *,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int], object] = lambda _: None,
) -> AttackResult:
    """Attack every image with its own model until it falls or the last budget is spent.

    A fallen image leaves the batch at once and the next one takes its place, so that the work goes to images that
    still stand; each further restart touches only those. The clean prediction is judged without the attack, so an
    image that is wrong clean never stands. Half precision does not judge: where its logits are wrong, and at the last
    budget, the model itself is asked. A device is waited for once for each batch that is judged.

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
            ``transfer`` and ``AttackResult.standing``).
    """
    if attack.momentum or attack.diversity:
        raise ValueError("momentum and diversity serve transfer; a white-box attack follows the gradient itself")
    if random_layers(model):
        raise ValueError("a randomized model falls by chance sooner or later; judge it with transfer to itself")
    if attack.restarts > 1 and len(budgets) > 1:
        raise ValueError("restarts touch only what stands at the last budget; judge restarts at one budget at a time")
    device = next(model.parameters()).device
    clean = correct(model, images)[0]
    network = attack.prepare(model, to_batch(images, torch.arange(min(batch_size, len(images))), device)[0])
    exact = attack.precision == "fp32"
    tracker, steps = RobustTracker(clean, budgets, attack.epsilon), 0

    def enter(fresh: Tensor, restart: int) -> ActiveBatch:
        batch, labels = to_batch(images, fresh, device)
        start = attack.initial(batch, generators(seed, "attack", fresh, restart, device))
        return ActiveBatch(fresh, torch.zeros_like(fresh), batch, start, start, labels)

    for restart in range(attack.restarts):
        waiting = tracker.standing
        progress(len(images) - len(waiting))
        if not len(waiting):
            continue
        standing, waiting = enter(waiting[:batch_size], restart), waiting[batch_size:]
        suspects = standing[:0]  # what half precision cannot judge, until there is a batch of them
        while len(standing):
            lanes, standing = standing[:batch_size], standing[batch_size:]
            next_adversarial, logits = attack.advance(network, lanes.iterate, lanes.origin, lanes.labels)
            lanes, steps = replace(lanes, next_adversarial=next_adversarial), steps + len(lanes)
            wrong = (logits.argmax(dim=1) != lanes.labels).cpu()
            ends = wrong | (lanes.age == budgets[-1])
            standing = standing + lanes[~ends].moved()
            if exact:
                progress(tracker.update(lanes, wrong))
            else:
                tracker.update(lanes[~ends], wrong[~ends])
                suspects = suspects + lanes[ends]
            if len(suspects) >= (batch_size if len(standing) + len(waiting) else 1):
                fallen = ~is_correct(model, suspects.iterate, suspects.labels).cpu()
                progress(tracker.update(suspects, fallen))
                standing = standing + suspects[~fallen & (suspects.age < budgets[-1])].moved()
                suspects = suspects[:0]
            if len(waiting) and (room := batch_size - len(standing)) > 0:
                standing, waiting = standing + enter(waiting[:room], restart), waiting[room:]
    robust = torch.stack([tracker.failed_at > budget for budget in budgets])
    return AttackResult(clean[None], robust[:, None], tracker.perturbation(), steps)
