"""Who attacks whom: the threat models of the paper's §3 and §5.3 as (target, source) pairs of runs."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from atlpa.data import PARTS
from atlpa.dotted import differences
from atlpa.errors import UserError
from atlpa.experiment import Experiment
from atlpa.models import slug
from atlpa.records import Threat
from atlpa.runs.finished import finished_runs
from atlpa.runs.folder import Run
from atlpa.runs.split import read_split

NEIGHBORS = {"resnet18": "resnet34", "resnet101": "resnet152"}
"""What a black-box source may be, of another size where resnet18 is the network itself or much smaller."""

TRANSFERS: tuple[Threat, ...] = ("gray", "surrogate", "black", "transfer")

FOR_TRAINING = {"mirror", "augmentation", "resize", "extra", "skip_unreadable"}
"""Fields of ``data:`` that say what training makes of the images; those that are judged are the same with any."""


@dataclass(frozen=True)
class Pairing:
    """One attack: images made on ``source``, judged by ``target``.

    Fields:
        target: the network judged.
        source: the network attacked.
        threat: what they make together.
        joint: further networks that are attacked jointly with the source.
    """

    target: Run
    source: Run
    threat: Threat
    joint: tuple[Run, ...] = ()

    @property
    def sources(self) -> tuple[Run, ...]:
        """All networks that are attacked."""
        return self.source, *self.joint

    @property
    def randomized(self) -> bool:
        """Whether one of them draws."""
        return any(source.randomized for source in self.sources)


def pair(
    targets: Sequence[Run], threats: Collection[Threat] = (), sources: Sequence[Run] = (), *, trust_code: bool = False
) -> tuple[list[Pairing], list[str]]:
    """Pair targets with the sources that attack them.

    Args:
        targets: the networks to judge.
        threats: ``white``, ``gray``, ``surrogate``, ``black``, ``transfer``; if empty, all that are possible.
        sources: networks to attack with; if empty, those beside each target: the undefended ones, and the same defense
            with another seed.
        trust_code: whether runs beside a target may name code by its import path (see ``Run.open``).

    Returns:
        The pairings, and what a user should be told about threats that were left out.

    Raises:
        UserError: no threat that was asked for has a source, a source does not fit a target, or ``transfer`` was asked
            for, but no source was named.
    """
    if "transfer" in threats and not sources:
        raise UserError("--threat transfer needs --source DIR, the network to attack with")
    pairings, notes = [], []
    asked = [threat for threat in TRANSFERS if not threats or threat in threats]
    targets = list({(target.folder.resolve(), target.judged): target for target in targets}.values())
    for target in targets:
        if not threats or "white" in threats:
            pairings.append(Pairing(target, target, "white"))
        if not sources and asked and target.given:
            notes.append(_given(target, trust_code))
            continue
        candidates = list(sources) or (sources_beside(target, trust_code=trust_code) if asked else [])
        for threat in asked:
            matching = [source for source in candidates if threat_of(target, source) == threat]
            for source in matching:
                must_fit(target, source)
            pairings += [Pairing(target, source, threat) for source in matching]
            # That nobody trained a defense twice is worth a word only where it was asked for; so is the last threat.
            if threat in ("surrogate", "transfer") and not threats:
                continue
            if not matching and (problem := _why_none(target, threat, candidates, named=bool(sources))):
                notes.append(problem)
    if not pairings:
        raise UserError(notes[0])
    return pairings, notes


def sources_beside(target: Run, *, trust_code: bool = False) -> list[Run]:
    """The finished runs in the target's own parent folder that attack it, of each kind one.

    These are the undefended networks, one of each architecture, and the target's own defense with another seed. Those
    that were trained on the same parts come first, then those with the lowest seed. An undefended target that would be
    its own source is attacked by none of its kind: that is the white-box attack. A network from elsewhere has none.
    """
    if target.given:
        return []
    parts = target.experiment.training_parts
    beside = sorted(
        finished_runs(target.folder.parent, "*", trust_code=trust_code),
        key=lambda run: (run.experiment.training_parts != parts, run.experiment.seed, str(run.folder)),
    )
    chosen: dict[tuple[bool, str], Run] = {}
    for run in beside:
        undefended, architecture = run.undefended, run.experiment.model.architecture
        if (undefended or threat_of(target, run) == "surrogate") and not _unfit(target, run):
            chosen.setdefault((undefended, architecture), run)
    return [run for run in chosen.values() if not _same_folder(run, target)]


def judged_data(experiment: Experiment) -> dict[str, object]:
    """Dotted field → value of what decides which images a network is judged on, but for the part, and how large."""
    return {
        field: value
        for field, value in experiment.identity().items()
        if field.startswith("data.") and field.split(".")[1] not in FOR_TRAINING
    }


def misfit(target: Experiment, source: Experiment) -> str:
    """Why images made on a source cannot be shown to a target, as far as their experiments say; empty if they can.

    Both must have the same data set at the same size, and the source must not have been trained on what the target is
    judged on.
    """
    if differing := differences(judged_data(source), judged_data(target)):
        return differing
    part = target.judged_part
    return "" if part in source.unseen_parts else f"the source is trained on the {part} part, the target judged on it"


def _unfit(target: Run, source: Run) -> str:
    """The same of trained networks, whose images are known: extra ones, for training alone, may differ."""
    there, here = source.training.data, target.training.data
    if (reason := misfit(target.experiment, source.experiment)) or there == here:
        return reason
    if source.experiment.data.extra or target.experiment.data.extra:
        try:
            if _listed(source) == _listed(target):
                return ""
        except UserError as error:
            return str(error)
    return differences({"data digest": there[:8]}, {"data digest": here[:8]})


def _listed(run: Run) -> list[list[tuple[str, str]]]:
    """The images of each part and their classes, in order, as they were written down."""
    parts = read_split(run.split_path)
    return [list(parts[part].items()) for part in PARTS]


def must_fit(target: Run, source: Run) -> None:
    """Refuse a source whose images cannot be shown to a target.

    Raises:
        UserError: the reason.
    """
    if reason := _unfit(target, source):
        raise UserError(f"source {source.folder} does not fit {target.folder}: {reason}")


def _same_folder(one: Run, other: Run) -> bool:
    return one.folder.resolve() == other.folder.resolve()


def threat_of(target: Run, source: Run) -> Threat:
    """What a source makes with a target; ``white`` where they are one network."""
    if _same_folder(source, target) or source.network.weights == target.network.weights:
        return "white"
    theirs, own = source.experiment, target.experiment
    same = theirs.model.architecture == own.model.architecture
    if source.undefended:
        return "gray" if same else "black"
    return "surrogate" if same and theirs.defense == own.defense and theirs.seed != own.seed else "transfer"


def _why_none(target: Run, threat: Threat, candidates: Sequence[Run], named: bool) -> str | None:
    """Why a threat has no source for a target, and what to do; ``named``: the user named the sources."""
    made = {source.folder: threat_of(target, source) for source in candidates}
    if threat == "gray" and target.undefended and (not named or "white" in made.values()):
        return f"{target.folder}: its gray-box source is this very network, so gray-box is white-box"
    if named:
        kind = f"{threat}-box" if threat in ("gray", "black") else threat
        theirs = ", ".join(f"{folder}: {its}" for folder, its in made.items())
        return f"{target.folder}: none of the sources that were named makes a {kind} attack on it ({theirs})"
    if threat == "surrogate":
        if target.undefended:
            return f"{target.folder}: of an undefended network the surrogate is the gray-box source"
        seed, beside = str(target.experiment.seed + 1), _beside(target, f"{target.folder.name}-surrogate")
        another = shlex.join([*_anew(target), "--seed", seed, *beside])
        return f"{target.folder}: no surrogate beside it; train one with: {another}"
    own = target.experiment.model.architecture
    architecture = own if threat == "gray" else NEIGHBORS.get(own, "resnet18")
    command = [*_anew(target), "--defense", "none"]
    if target.selects:  # by an attack that no undefended network withstands, so that the first look would be kept
        command += ["--set", "training.select_by=null"]
    if architecture != own:
        command += ["--set", f"model.architecture={architecture}"]
    command += _beside(target, f"none-{slug(architecture)}")
    return f"{target.folder}: no {threat}-box source beside it; train one with: {shlex.join(command)}"


def _given(target: Run, trust_code: bool) -> str:
    """That nothing is known of a network from elsewhere, and which others could attack it."""
    others = [run for run in finished_runs(target.folder.parent, "*", trust_code=trust_code) if not _unfit(target, run)]
    fit = ", ".join(str(run.folder) for run in others if threat_of(target, run) != "white")
    known = f"{target.folder}: how it was trained is not known, so that no network is its gray- or black-box source"
    return f"{known}; --source DIR attacks it by transfer" + (f", of those beside it {fit}" if fit else "")


def _anew(target: Run) -> list[str]:
    """The command that trains as the target was, from the beginning."""
    command = ["atlpa-train", "--config", f"{target.folder}/experiment.yaml"]
    return [*command, "--set", "origin=null"] if target.experiment.origin else command


def _beside(target: Run, name: str) -> list[str]:
    """The option that puts a new run beside a target whose folder was chosen by hand."""
    chosen = target.experiment.output or target.experiment.origin
    return ["--output", f"{target.folder.parent}/{name}"] if chosen else []
