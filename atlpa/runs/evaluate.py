"""Judging runs: pairings of target and source in, records out; each attack is made once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from atlpa import __version__
from atlpa.attacks import PGD, Noise
from atlpa.data import Images, Index, Item, evenly_spaced, load_images
from atlpa.evaluation import Outcome, transfer, white_box
from atlpa.machine import describe
from atlpa.records import Evaluation, Judged, Threat
from atlpa.runs.folder import Run
from atlpa.runs.threats import Pairing


@dataclass(frozen=True)
class Protocol:
    """How runs are judged.

    Fields:
        attack: PGD or noise.
        budgets: iteration budgets, ascending; the last is the attack's own number of iterations.
        limit: judge this many images, evenly spaced over the part; all if ``None``.
        seed: of random starts and noise.

    Restarts are a white-box means: transferred images come from one run.
    """

    attack: PGD | Noise
    budgets: tuple[int, ...]
    limit: int | None = None
    seed: int = 0

    def settings(self, threat: Threat) -> dict[str, Any]:
        """The attack as a record holds it; its iterations are the budgets."""
        if self.attack == Noise(epsilon=0):
            return {"name": "none", "epsilon": 0.0}
        fields = self.attack.model_dump(mode="json", exclude={"iterations"})
        if "restarts" in fields and threat != "white":
            fields["restarts"] = 1
        return {"name": type(self.attack).__name__.lower(), **fields}


def evaluate(
    pairings: Sequence[Pairing], protocol: Protocol, device: torch.device, *, again: bool = False
) -> Iterator[Evaluation]:
    """Judge every pairing, yielding its record as soon as it is written into the target's ``records/``.

    Images made on a source are shown to all of its targets at once. A pairing that is on record already, with the
    same weights, attack, images, seed and version of this package, is read back instead.

    Args:
        pairings: who attacks whom; each target is judged on its own data.
        protocol: the attack and the images.
        device: where to compute.
        again: measure anew what is on record.
    """
    targets = {pairing.target.folder: pairing.target for pairing in pairings}
    indices = {folder: target.read_index(target.training.data) for folder, target in targets.items()}
    paths = {pairing: _record_path(pairing, protocol) for pairing in pairings}
    missing = [pairing for pairing, path in paths.items() if again or not path.is_file()]
    for pairing in pairings:
        if pairing not in missing:
            yield Evaluation.load(paths[pairing])
    loaded: dict[Judged, Images] = {}
    for group in _sharing_an_attack(missing):
        target = group[0].target
        items, judged = _judged(target, indices[target.folder], protocol.limit)
        if judged not in loaded:
            loaded[judged] = load_images(items, judged.size, device, f"{judged.dataset}, {judged.part}")
        images = loaded[judged]
        began = time.monotonic()
        outcomes = _attack(group, protocol, images, device)
        seconds = time.monotonic() - began
        for pairing, outcome in zip(group, outcomes, strict=True):
            record = Evaluation(
                target=pairing.target.network,
                source=pairing.source.network,
                threat=pairing.threat,
                data=judged,
                attack=protocol.settings(pairing.threat),
                seed=protocol.seed,
                clean=outcome.clean_verdicts(),
                budgets=tuple(outcome.budget(row, budget) for row, budget in enumerate(protocol.budgets)),
                seconds=seconds,
                steps=outcome.steps,
                machine=describe(device),
                atlpa=__version__,
            )
            record.save(paths[pairing])
            yield record


def _attack(group: Sequence[Pairing], protocol: Protocol, images: Images, device: torch.device) -> list[Outcome]:
    """One attack on one source, judged by every target of a group."""
    source = group[0].source.load_model(device)
    attack, budgets = protocol.attack, protocol.budgets
    title = f"{group[0].threat} {group[0].source.folder.name} ε {attack.epsilon:g}"
    if group[0].threat == "white" and isinstance(attack, PGD):
        with tqdm(total=len(images) * attack.restarts, desc=title, unit="image", leave=False, disable=None) as bar:
            return [white_box(source, images, attack, budgets, seed=protocol.seed, progress=bar.update)]
    targets = {str(number): pairing.target.load_model(device) for number, pairing in enumerate(group)}
    with tqdm(total=len(images) * budgets[-1], desc=title, unit="step", leave=False, disable=None) as bar:
        outcomes = transfer(source, targets, images, attack, budgets, seed=protocol.seed, progress=bar.update)
        return list(outcomes.values())


def _sharing_an_attack(pairings: Sequence[Pairing]) -> list[list[Pairing]]:
    """Pairings by source; white-box ones apart, since they stop at the first wrong iterate."""
    groups: dict[tuple[bool, Path], list[Pairing]] = {}
    for pairing in pairings:
        groups.setdefault((pairing.threat == "white", pairing.source.folder), []).append(pairing)
    return list(groups.values())


def _judged(run: Run, index: Index, limit: int | None) -> tuple[Sequence[Item], Judged]:
    """The images a run is judged on, and how records describe them."""
    data, part = run.experiment.data, run.experiment.judged_part
    available = index.items(part)
    items = evenly_spaced(available, limit)
    return items, Judged(
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
    attack, source = protocol.settings(pairing.threat), pairing.source.network
    everything = {
        "target": pairing.target.network.weights,
        "source": source.weights,
        "data": pairing.target.training.data,
        "part": pairing.target.experiment.judged_part,
        "attack": attack,
        "budgets": protocol.budgets,
        "limit": protocol.limit,
        "seed": protocol.seed,
        "atlpa": __version__,
    }
    digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:8]
    by = "white" if pairing.threat == "white" else f"{pairing.threat}-{source.defense}-{source.architecture}"
    name = f"{by}-{attack['name']}-eps{attack['epsilon']:.4g}-{digest}.json"
    return pairing.target.records / name
