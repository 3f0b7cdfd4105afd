"""Judging runs: pairings of target and source in, records out; each attack is made once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from atlpa import __version__
from atlpa.attacks import PGD, Noise
from atlpa.component import dump
from atlpa.data import Images, Index, Item, evenly_spaced, load_images
from atlpa.evaluation import AttackResult, transfer, white_box
from atlpa.machine import describe
from atlpa.models import Averaged
from atlpa.progress import Progress
from atlpa.records import EvaluatedImages, Evaluation
from atlpa.runs.folder import Run
from atlpa.runs.protocol import Protocol
from atlpa.runs.threats import Pairing


def evaluate(
    pairings: Sequence[Pairing],
    protocol: Protocol,
    device: torch.device,
    *,
    again: bool = False,
    keep: Path | None = None,
) -> Iterator[Evaluation]:
    """Judge every pairing, yielding its record as soon as it is written into the target's ``records/``.

    Images made on a source are shown to all of its targets at once. A pairing that is on record already, with the
    same weights, attack, names of images, seed and version of this package, is read back instead.

    Args:
        pairings: who attacks whom; each target is judged on its own data.
        protocol: the attack and the images.
        device: where to compute.
        again: measure anew what is on record.
        keep: a folder for transferred images; those that lie there are shown again.
    """
    protocol.check(pairings)
    targets = {pairing.target.folder: pairing.target for pairing in pairings}
    indices = {folder: target.read_index(target.training.data) for folder, target in targets.items()}
    for folder, index in indices.items():
        protocol.check_classes(folder, len(index.classes))
    paths = {pairing: _record_path(pairing, protocol) for pairing in pairings}
    missing = [pairing for pairing, path in paths.items() if again or not path.is_file()]
    for pairing in pairings:
        if pairing not in missing:
            yield Evaluation.load(paths[pairing])
    loaded: dict[EvaluatedImages, Images] = {}
    for group in _sharing_an_attack(missing):
        target = group[0].target
        items, judged = judged_images(target, indices[target.folder], protocol.limit)
        if judged not in loaded:
            loaded[judged] = load_images(items, judged.size, device, f"{judged.dataset}, {judged.part}")
        images = loaded[judged]
        began = time.monotonic()
        outcomes = _attack(group, protocol, images, device, keep and _kept_path(keep, group[0], protocol, judged))
        seconds = time.monotonic() - began
        for pairing, outcome in zip(group, outcomes, strict=True):
            record = _record(pairing, protocol, judged, outcome, seconds, device)
            record.save(paths[pairing])
            yield record


def _record(
    pairing: Pairing,
    protocol: Protocol,
    judged: EvaluatedImages,
    outcome: AttackResult,
    seconds: float,
    device: torch.device,
) -> Evaluation:
    """What was found, as it is kept."""
    return Evaluation(
        target=pairing.target.network,
        source=pairing.source.network,
        threat=pairing.threat,
        data=judged,
        attack=protocol.settings(pairing),
        seed=protocol.seed,
        average=protocol.average_of(pairing.target),
        clean=outcome.clean_verdicts(),
        budgets=tuple(outcome.budget(row, budget) for row, budget in enumerate(protocol.budgets)),
        seconds=seconds,
        steps=outcome.steps and outcome.steps * protocol.average_of(pairing.source),
        machine=describe(device),
        atlpa=__version__,
    )


def recorded(pairing: Pairing, protocol: Protocol) -> Evaluation | None:
    """What ``evaluate`` would read back in place of measuring, if anything; no data is needed."""
    path = _record_path(pairing, protocol)
    return Evaluation.load(path) if path.is_file() else None


def _kept_path(folder: Path, pairing: Pairing, protocol: Protocol, judged: EvaluatedImages) -> Path | None:
    """Where the images of a transfer attack are kept: named after all that determines them."""
    if pairing.threat == "white":
        return None
    everything = {
        "source": pairing.source.network.weights,
        "images": dump(judged),
        "attack": protocol.settings(pairing),
        "budgets": protocol.budgets,
        "seed": protocol.seed,
        "average": protocol.average_of(pairing.source),
        "atlpa": __version__,
    }
    return folder / f"{hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:32]}.npy"


def _attack(
    group: Sequence[Pairing], protocol: Protocol, images: Images, device: torch.device, keep: Path | None
) -> list[AttackResult]:
    """One attack on one source, judged by every target of a group."""
    first = group[0]
    attack, budgets, seed, draws = protocol.attack_by(first), protocol.budgets, protocol.seed, protocol.draws
    source = _model(first.source, protocol, device)
    title = f"{first.threat} {first.source.folder.name} ε {attack.epsilon:g}"
    if first.threat == "white" and isinstance(attack, PGD) and not first.source.randomized:
        with Progress(title, len(images) * attack.restarts, "image") as progress:
            return [white_box(source, images, attack, budgets, seed=seed, progress=progress.update)]
    with Progress(title, len(images) * budgets[-1], "step") as progress:
        show = partial(transfer, seed=seed, draws=draws, progress=progress.update)
        if first.threat == "white" and not isinstance(attack, Noise):
            outcome = show(source, {"itself": source}, images, attack, budgets)["itself"]
            return [outcome.standing()]
        targets = {str(number): _model(pairing.target, protocol, device) for number, pairing in enumerate(group)}
        return list(show(source, targets, images, attack, budgets, keep=keep).values())


def _model(run: Run, protocol: Protocol, device: torch.device) -> nn.Module:
    """A run's network as the protocol asks it."""
    model, average = run.load_model(device), protocol.average_of(run)
    return Averaged(model, average) if average > 1 else model


def _sharing_an_attack(pairings: Sequence[Pairing]) -> list[list[Pairing]]:
    """Pairings by source; white-box ones apart, since they stop at the first wrong iterate."""
    groups: dict[tuple[bool, Path], list[Pairing]] = {}
    for pairing in pairings:
        groups.setdefault((pairing.threat == "white", pairing.source.folder), []).append(pairing)
    return list(groups.values())


def judged_images(run: Run, index: Index, limit: int | None) -> tuple[Sequence[Item], EvaluatedImages]:
    """The images a run is judged on, and how records describe them."""
    data, part = run.experiment.data, run.experiment.judged_part
    available = index.items(part)
    items = evenly_spaced(available, limit)
    return items, EvaluatedImages(
        dataset=data.name,
        part=part,
        count=len(items),
        available=len(available),
        classes=len(index.classes),
        size=data.size,
        digest=index.digest,
    )


def _record_path(pairing: Pairing, protocol: Protocol) -> Path:
    """Where the record of a measurement lies: its name tells what it is, its digest tells everything."""
    attack, source = protocol.attack_by(pairing), pairing.source.network
    name = protocol.settings(pairing)["name"]
    everything = {
        "target": pairing.target.network.weights,
        "source": source.weights,
        "data": pairing.target.training.data,
        "part": pairing.target.experiment.judged_part,
        # Fields at their default are left out, so that a field that is added later does not orphan what is on record.
        "attack": {"name": name, **{k: v for k, v in dump(attack, exclude_defaults=True).items() if k != "iterations"}},
        "budgets": protocol.budgets,
        "limit": protocol.limit,
        "seed": protocol.seed,
        "draws": protocol.draws if pairing.target.randomized else 1,
        "average": protocol.average_of(pairing.target),
        "atlpa": __version__,
    }
    digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:8]
    by = "white" if pairing.threat == "white" else f"{pairing.threat}-{source.defense}-{source.architecture}"
    return pairing.target.records / f"{by}-{name}-eps{attack.epsilon:.4g}-{digest}.json"
