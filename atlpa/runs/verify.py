"""Repeating what a bundle claims, on this machine, image by image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from atlpa.attacks import Attack, attack_class, read_attack
from atlpa.data import load_images
from atlpa.errors import UserError, reason, shown
from atlpa.evaluation.attack_result import ROUNDING
from atlpa.evaluation.correctness import is_correct, to_batch
from atlpa.out_of_memory import in_parts
from atlpa.records import Bound, Credibility, Distances, Evaluation, MeasuredRecord, read
from atlpa.runs.bound import BoundRun
from atlpa.runs.distances import DistanceRun
from atlpa.runs.evaluate import evaluate, judged_images
from atlpa.runs.folder import Run
from atlpa.runs.protocol import Protocol
from atlpa.runs.threats import Pairing


@dataclass(frozen=True)
class Repeated:
    """One thing that a bundle claims, repeated.

    Fields:
        what: the record or file.
        agree: how many images have the same verdict here.
        of: how many were looked at.
        differing: the places of the others in the data.
        note: what else is to be said.
    """

    what: str
    agree: int = 0
    of: int = 0
    differing: tuple[int, ...] = ()
    note: str = ""


def verify(run: Run, device: torch.device) -> Iterator[Repeated]:
    """Show the network the images that fell, and make every white-box attack on record once more.

    Args:
        run: as ``opened`` gives it, its data found here.
        device: where to compute.

    Yields:
        What came of each, as it is done. Transfer attacks are not repeated: their sources are not in the bundle.

    Raises:
        UserError: the data is not here, or is other data; or an attack on record is code that may not be imported, of
            which nothing is made then.
    """
    records = {path.stem: read(path) for path in sorted(run.records.glob("*.json"))}
    attacks = {name: _attack(one) for name, one in records.items() if isinstance(one, Evaluation | Distances)}
    for path in sorted((run.folder / "fallen").glob("*.npz")):
        yield _shown(run, path, device)
    for name, record in records.items():
        if isinstance(record, Bound):
            yield _bound_again(run, name, record, device)
        elif isinstance(record, Evaluation | Distances):
            yield _attacked_again(run, name, record, attacks[name], device)


def _shown(run: Run, path: Path, device: torch.device) -> Repeated:
    """Whether images that fell are those of the data, moved by at most ε within [0, 1], and still fool the network."""
    record = Credibility.load(run.records / f"{path.stem}.json")
    items, judged = judged_images(run, run.read_index(run.training.data), record.data.count)
    try:
        with np.load(path, allow_pickle=False) as kept:
            names, adversarial = kept["image"].tolist(), torch.from_numpy(kept["adversarial"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path.name} holds no images that fell ({reason(error)})") from error
    if not names:
        return Repeated(f"{path.stem}: images that fell", note="none fell")
    places = {item.name: place for place, item in enumerate(items)}
    if unknown := [name for name in names if name not in places]:
        raise UserError(f"{path.name} holds {shown(unknown[0])}, which is none of the images that were checked")
    rows = torch.tensor([places[name] for name in names], dtype=torch.long)
    images, labels = to_batch(load_images(items, judged.size, device, path.stem), rows, device)
    adversarial = adversarial.to(images)
    inside = (adversarial - images).abs().flatten(1).amax(dim=1) <= record.epsilon + ROUNDING
    inside &= ((adversarial >= 0) & (adversarial <= 1)).flatten(1).all(dim=1)
    model = run.load_model(device)
    right = torch.cat(list(in_parts(len(rows), 64, lambda part: is_correct(model, adversarial[part], labels[part]))))
    fallen = (inside & ~right).cpu()
    return Repeated(f"{path.stem}: images that fell", int(fallen.sum()), len(rows), tuple(rows[~fallen].tolist()))


def _bound_again(run: Run, name: str, record: Bound, device: torch.device) -> Repeated:
    if record.certified is None:
        return Repeated(name, note=f"no bound: {record.obstacle}")
    return _compared(name, record, BoundRun(run, record.method, record.epsilon, _limit(record)).make(device))


def _attacked_again(
    run: Run, name: str, record: Evaluation | Distances, attack: Attack, device: torch.device
) -> Repeated:
    if isinstance(record, Evaluation) and record.threat != "white":
        return Repeated(name, note="not repeated: its source is not in the bundle")
    if problem := attack.missing():
        return Repeated(name, note=f"not repeated: {problem}")
    if isinstance(record, Distances):
        again = DistanceRun(run, attack, record.epsilons, _limit(record), record.seed).make(device)
        return _compared(name, record, again)
    budgets = tuple(budget.iterations for budget in record.budgets)
    protocol = Protocol(attack, budgets, _limit(record), record.seed, draws=len(record.clean), average=record.average)
    (judged,) = evaluate([Pairing(run, run, "white")], protocol, device, again=True)
    return _compared(name, record, judged)


def _limit(record: MeasuredRecord) -> int | None:
    return record.data.count if record.data.count < record.data.available else None


def _compared(name: str, record: MeasuredRecord, again: MeasuredRecord) -> Repeated:
    """Whatever is said of an image must be the same."""
    pairs = zip(_verdicts(record), _verdicts(again), strict=True)
    differing = tuple(place for place, (theirs, ours) in enumerate(pairs) if theirs != ours)
    return Repeated(name, record.data.count - len(differing), record.data.count, differing)


def _attack(record: Evaluation | Distances) -> Attack:
    kind, settings = attack_class(record.attack["name"]), dict(record.attack)
    if isinstance(record, Evaluation) and kind.budget:
        settings[kind.budget] = record.budgets[-1].iterations
    attack: Attack = read_attack(settings)
    return attack


def _verdicts(record: MeasuredRecord) -> list[tuple[str, ...]]:
    """Of each image, everything that is said of it: clean, and at each budget or ε, in each draw."""
    match record:
        case Evaluation():
            told = [*record.clean, *(draw for budget in record.budgets for draw in budget.correct)]
        case Bound():
            told = [record.clean, record.certified or ""]
        case Distances():
            told = [record.standing(epsilon) for epsilon in (0, *record.epsilons)]
    return list(zip(*told, strict=True))
