"""Judging runs: pairings of target and source in, records out; each attack is made once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atlpa import __version__
from atlpa.data import Images, Index, Item, evenly_spaced, load_images
from atlpa.errors import UserError
from atlpa.evaluation import AttackResult, transfer
from atlpa.evaluation.admission import check_repeats
from atlpa.evaluation.attack_result import as_strings
from atlpa.evaluation.white_box import iterates_of, stages_of, white_box
from atlpa.field_types import written
from atlpa.machine import describe
from atlpa.progress import Progress
from atlpa.records import EvaluatedImages, Evaluation
from atlpa.runs.folder import Run
from atlpa.runs.measurement import Measurement
from atlpa.runs.on_record import check_place
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

    Raises:
        UserError: the attack does not admit a pairing or a network's number of classes, its package is missing, or a
            record or the transferred images cannot be written; all of this is found before anything is attacked.
    """
    measurements = [Measurement.of(pairing, protocol) for pairing in pairings]
    targets = {pairing.target.folder: pairing.target for pairing in pairings}
    indices = {folder: target.read_index(target.training.data) for folder, target in targets.items()}
    for measurement in measurements:
        measurement.check_classes(len(indices[measurement.pairing.target.folder].classes))
    on_record = [None if again else measurement.recorded for measurement in measurements]
    yield from (record for record in on_record if record)
    missing = [measurement for measurement, record in zip(measurements, on_record, strict=True) if not record]
    if missing and (reason := protocol.attack.missing()):
        raise UserError(f"the attack {protocol.attack.name} cannot be made here: {reason}")
    groups = []
    for group in _sharing_an_attack(missing):
        target = group[0].pairing.target
        items, judged = judged_images(target, indices[target.folder], protocol.limit)
        kept = None if keep is None or group[0].white_box else group[0].adversarial_cache(keep, judged)
        groups.append((group, items, judged, kept))
        made = [measurement.path for measurement in group]
        for path in made if kept is None or kept.exists() else [*made, kept]:
            check_place(path)
    loaded: dict[EvaluatedImages, Images] = {}
    for group, items, judged, kept in groups:
        if judged not in loaded:
            loaded[judged] = load_images(items, judged.size, device, f"{judged.dataset}, {judged.part}")
        began = time.monotonic()
        results = _attack(group, loaded[judged], device, kept)
        seconds = time.monotonic() - began
        for measurement, result in zip(group, results, strict=True):
            record = _record(measurement, judged, result, seconds, device)
            record.save(measurement.path)
            yield record


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


def _sharing_an_attack(measurements: Sequence[Measurement]) -> list[list[Measurement]]:
    """Measurements by source and part; white-box ones each alone, since they stop at the first wrong iterate."""
    groups: dict[tuple[object, ...], list[Measurement]] = {}
    for measurement in measurements:
        if not measurement.white_box:
            pairing = measurement.pairing
            sources = (source.network.weights for source in pairing.sources)
            images = *sources, pairing.target.experiment.judged_part
            groups.setdefault(images, []).append(measurement)
    return [*([measurement] for measurement in measurements if measurement.white_box), *groups.values()]


def _attack(
    group: Sequence[Measurement], images: Images, device: torch.device, keep: Path | None
) -> list[AttackResult]:
    """One attack on one source, judged by every target of a group."""
    first = group[0]
    attack, protocol, source = first.attack, first.protocol, first.attacked(device)
    names = " + ".join(run.folder.name for run in first.pairing.sources)
    threats = " + ".join(dict.fromkeys(one.pairing.threat for one in group))
    title = f"{threats} {names} ε {written(attack.epsilon)}"
    stages = stages_of(source, images, attack) if first.white_box else ()
    with Progress(title, len(images) * (iterates_of(stages) or protocol.budgets[-1]), "step") as progress:
        how: dict[str, Any] = {"seed": protocol.seed, "draws": protocol.draws, "progress": progress.update}
        if first.white_box:
            _must_repeat(first, source, images)
            return [white_box(source, images, attack, protocol.budgets, **how)]
        targets = {str(number): one.model(one.pairing.target, device) for number, one in enumerate(group)}
        for one, target in zip(group, targets.values(), strict=True):
            _must_repeat(one, target, images)
        how |= {"eight_bit": first.eight_bit, "keep": keep}
        return list(transfer(source, targets, images, attack, protocol.budgets, **how).values())


def _must_repeat(measurement: Measurement, judged: nn.Module, images: Images) -> None:
    """Refuse a network that draws where nobody sees it: at one of many iterates any image of it falls by chance.

    Raises:
        UserError: asked twice it gives other answers.
    """
    try:
        check_repeats(judged, images)
    except ValueError as error:
        raise UserError(f"{measurement.pairing.target.folder}: {error}") from error


def _record(
    measurement: Measurement, images: EvaluatedImages, result: AttackResult, seconds: float, device: torch.device
) -> Evaluation:
    """What was found, as it is kept."""
    pairing, protocol = measurement.pairing, measurement.protocol
    return Evaluation(
        target=pairing.target.network,
        source=pairing.source.network,
        joint=tuple(run.network for run in pairing.joint),
        threat=pairing.threat,
        data=images,
        attack=measurement.settings,
        eight_bit=measurement.eight_bit,
        seed=protocol.seed,
        average=measurement.average_of(pairing.target),
        clean=as_strings(result.clean),
        budgets=tuple(result.budget(row) for row in range(len(protocol.budgets))),
        seconds=seconds,
        felled_by=dict(result.felled_by),
        steps=result.passes and result.passes * measurement.passes,
        machine=describe(device),
        atlpa=__version__,
    )
