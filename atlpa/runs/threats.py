"""Who attacks whom: the threat models of the paper's §3 and §5.3 as (target, source) pairs of runs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from atlpa.errors import UserError
from atlpa.experiment import differences
from atlpa.models import slug
from atlpa.records import Threat
from atlpa.runs.finished import finished_runs
from atlpa.runs.folder import Run

NEIGHBORS = {"resnet18": "resnet34", "resnet101": "resnet152"}
"""What a black-box source may be, of another size where resnet18 is the network itself or much smaller."""

TRANSFERS: tuple[Threat, ...] = ("gray", "surrogate", "black", "transfer")


@dataclass(frozen=True)
class Pairing:
    """One attack: images made on ``source``, judged by ``target``."""

    target: Run
    source: Run
    threat: Threat


def pair(
    targets: Sequence[Run], threats: Collection[Threat] = (), sources: Sequence[Run] = ()
) -> tuple[list[Pairing], list[str]]:
    """Pair targets with the sources that attack them.

    Args:
        targets: the networks to judge.
        threats: ``white``, ``gray``, ``surrogate``, ``black``, ``transfer``; if empty, all that are possible.
        sources: networks to attack with; if empty, those beside each target: the undefended ones, and the same defense
            with another seed.

    Returns:
        The pairings, and what a user should be told about threats that were left out.

    Raises:
        UserError: no threat that was asked for has a source, a source does not fit a target, or ``transfer`` was asked
            for, but no source was named.
    """
    if "transfer" in threats and not sources:
        raise UserError("--threat transfer needs --source DIR, the network to attack with")
    pairings, notes = [], []
    targets = list({(target.folder.resolve(), target.judged): target for target in targets}.values())
    for target in targets:
        if not threats or "white" in threats:
            pairings.append(Pairing(target, target, "white"))
        candidates = list(sources) or sources_beside(target)
        for threat in TRANSFERS:
            if threats and threat not in threats:
                continue
            matching = [source for source in candidates if _threat(target, source) == threat]
            for source in matching:
                _check_same_data(target, source)
            pairings += [Pairing(target, source, threat) for source in matching]
            # That nobody trained a defense twice is worth a word only where it was asked for; so is the last threat.
            if threat in ("surrogate", "transfer") and not threats:
                continue
            if not matching and (problem := _why_none(target, threat, candidates, named=bool(sources))):
                notes.append(problem)
    if not pairings:
        raise UserError(notes[0])
    return pairings, notes


def sources_beside(target: Run) -> list[Run]:
    """The finished runs in the target's own parent folder that attack it, of each kind the one with the lowest seed.

    These are the undefended networks, one of each architecture, and the target's own defense with another seed.
    """
    fixed: dict[tuple[bool, str], Run] = {}
    for run in sorted(finished_runs(target.folder.parent, "*"), key=lambda run: (run.experiment.seed, str(run.folder))):
        undefended, architecture = run.experiment.defense.undefended, run.experiment.model.architecture
        if _data(run) == _data(target) and (undefended or _threat(target, run) == "surrogate"):
            fixed.setdefault((undefended, architecture), run)
    return list(fixed.values())


def _threat(target: Run, source: Run) -> Threat:
    if source.network.weights == target.network.weights:
        return "white"
    theirs, own = source.experiment, target.experiment
    same = theirs.model.architecture == own.model.architecture
    if theirs.defense.undefended:
        return "gray" if same else "black"
    return "surrogate" if same and theirs.defense == own.defense and theirs.seed != own.seed else "transfer"


def _why_none(target: Run, threat: Threat, candidates: Sequence[Run], named: bool) -> str | None:
    """Why a threat has no source for a target, and what to do; ``named``: the user named the sources."""
    made = {source.folder: _threat(target, source) for source in candidates}
    if threat == "gray" and target.experiment.defense.undefended and "white" in made.values():
        return f"{target.folder}: its gray-box source is this very network, so gray-box is white-box"
    if named:
        kind = f"{threat}-box" if threat in ("gray", "black") else threat
        theirs = ", ".join(f"{folder}: {its}" for folder, its in made.items())
        return f"{target.folder}: none of the sources that were named makes a {kind} attack on it ({theirs})"
    if threat == "surrogate":
        if target.experiment.defense.undefended:
            return f"{target.folder}: of an undefended network the surrogate is the gray-box source"
        command = f"atlpa-train --config {target.folder}/experiment.yaml --seed {target.experiment.seed + 1}"
        command += _beside(target, f"{target.folder.name}-surrogate")
        return f"{target.folder}: no surrogate beside it; train one with: {command}"
    own = target.experiment.model.architecture
    architecture = own if threat == "gray" else NEIGHBORS.get(own, "resnet18")
    command = f"atlpa-train --config {target.folder}/experiment.yaml --defense none"
    if architecture != own:
        command += f" --set model.architecture={architecture}"
    command += _beside(target, f"none-{slug(architecture)}")
    return f"{target.folder}: no {threat}-box source beside it; train one with: {command}"


def _beside(target: Run, name: str) -> str:
    """The option that puts a new run beside a target whose folder was chosen by hand."""
    return f" --output {target.folder.parent}/{name}" if target.experiment.output else ""


def _data(run: Run) -> dict[str, object]:
    """What two runs must share for one's images to be shown to the other."""
    identity = run.experiment.identity()
    own = ("data.mirror", "data.augmentation", "data.resize")  # what training makes of an image
    shared = {
        key: value
        for key, value in identity.items()
        if key == "final" or (key.startswith("data.") and not key.startswith(own))
    }
    return {**shared, "data digest": run.training.data[:8]}


def _check_same_data(target: Run, source: Run) -> None:
    if differing := differences(_data(source), _data(target)):
        raise UserError(f"source {source.folder} does not fit {target.folder}: {differing}")
