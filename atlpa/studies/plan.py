"""What a study takes: trainings, attacks, checks, bounds and analyses, and what they may cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from atlpa.dotted import differences
from atlpa.errors import UserError, shown
from atlpa.experiment import Experiment
from atlpa.machine import pick_device
from atlpa.runs.threats import judged_data, misfit
from atlpa.studies.analysis_step import AnalysisStep
from atlpa.studies.attack_step import AttackStep
from atlpa.studies.bound_step import BoundStep
from atlpa.studies.check_step import CheckStep
from atlpa.studies.step import Step
from atlpa.studies.study import UNDEFENDED, Study
from atlpa.studies.training_step import TrainingStep

Stage = Literal["train", "evaluate"]


@dataclass(frozen=True)
class Plan:
    """Trainings, sources first, attacks, checks, bounds and analyses, in the order in which they are carried out."""

    trainings: Sequence[TrainingStep]
    attacks: Sequence[AttackStep]
    checks: Sequence[CheckStep] = ()
    analyses: Sequence[AnalysisStep] = ()
    bounds: Sequence[BoundStep] = ()

    @property
    def steps(self) -> list[Step]:
        """All of them."""
        return [*self.trainings, *self.attacks, *self.checks, *self.bounds, *self.analyses]

    def stage(self, stage: Stage) -> list[Step]:
        """The trainings, or what comes after them."""
        return [step for step in self.steps if isinstance(step, TrainingStep) == (stage == "train")]

    def shard(self, number: int, of: int) -> Plan:
        """Every ``of``-th step of each kind from the ``number``-th, counted from 1; all shards make up the plan."""
        own = slice(number - 1, None, of)
        attacks, checks, bounds = self.attacks[own], self.checks[own], self.bounds[own]
        return Plan(self.trainings[own], attacks, checks, self.analyses[own], bounds)

    def seconds(self, step: Step) -> float | None:
        """What a step may take, by the finished ones that are like it; ``None`` if there is none."""
        wanted = step.like
        known = [pace for like, pace in self._paces if like == wanted]
        return statistics.median(known) * step.work if known else None

    @cached_property
    def _paces(self) -> Sequence[tuple[object, float]]:
        """What each finished step is like, and the seconds of a unit of its work."""
        took = [(step, step.seconds()) for step in self.steps]
        return [(step.like, seconds / step.work) for step, seconds in took if seconds is not None]


def plan(
    study: Study,
    where: Sequence[tuple[str, Any]] = (),
    keep: Path | None = None,
    *,
    put_aside: bool = False,
) -> Plan:
    """Lay a study out.

    Args:
        study: the study.
        where: dotted fields that say where data lies and where to compute.
        keep: a folder for transferred images; those that lie there are shown again.
        put_aside: whether runs that the study does not mean are moved out of the way.

    Raises:
        UserError: two networks would lie in one folder, a network is none, or a row's changes make images of a source
            that cannot be shown to it, or analyses that have no images in common.
    """
    first = study.seeds[0]
    gray = study.experiment(UNDEFENDED, first, where)
    device = pick_device(gray.device)
    asked = (study.protocols(), study.judges(), study.transfer_protocols())
    protocols, judges, transfers = ([one.on(device) for one in some] for some in asked)
    # Attacks that say nothing about other networks need none to be made on; the checks compare with the undefended one.
    sources = [gray] if study.checks or any(one.attack.transferable for one in (*protocols, *transfers)) else []
    if sources and study.black_box and study.black_box != gray.model.architecture:
        sources.append(study.experiment(UNDEFENDED, first, where, study.black_box))
    rows = [study.experiment(defense, seed, where) for defense in study.defenses for seed in study.seeds_of(defense)]
    targets = [*sources, *(row for row in rows if row not in sources)]
    another = max(row.seed for row in rows) + 1
    surrogates = [study.experiment(defense, another, where) for defense in study.surrogates]
    networks = (*targets, *surrogates)
    _must_lie_apart(networks)
    if study.joint and len(sources) < 2:
        raise UserError(f"joint: gray and black box are both {gray.model.architecture}; name another black_box")
    attacks = []
    for protocol in (*protocols, *transfers):
        if protocol in protocols:
            attacks += [AttackStep(target, (target,), protocol, keep) for target in targets]
        if not protocol.attack.transferable:
            continue
        attacks += [
            AttackStep(source, tuple(target for target in targets if target != source), protocol, keep)
            for source in sources
        ]
        attacks += [
            AttackStep(surrogate, tuple(row for row in rows if row.defense == surrogate.defense), protocol, keep)
            for surrogate in surrogates
        ]
        if study.joint:
            others = tuple(target for target in targets if target not in sources)
            attacks.append(AttackStep(sources[0], others, protocol, keep, tuple(sources[1:])))
    attacks += [AttackStep(target, (target,), judge, keep) for judge in judges for target in targets]
    checks = [CheckStep(target, networks, epsilon, study.check_limit) for epsilon in study.checks for target in targets]
    bounds = [
        BoundStep(target, method, epsilon, study.limit)
        for method in study.bounds
        for epsilon in study.epsilons
        for target in targets
    ]
    analyzed = tuple(row for row in rows if row.seed == first)
    if study.analyses and not analyzed:
        raise UserError(f"analyses are of the networks of seed {first}, which no row has; put its seed first in seeds")
    analyses = [AnalysisStep(analyzed, networks, study)] if study.analyses else []
    _must_share_images(attacks, analyses)
    return Plan([TrainingStep(network, put_aside) for network in networks], attacks, checks, analyses, bounds)


def _must_share_images(attacks: Sequence[AttackStep], analyses: Sequence[AnalysisStep]) -> None:
    """Refuse rows whose changes leave them without images in common with what attacks them, or is drawn with them."""
    advice = "what a row changes of data and final must suit the others"
    for attack in attacks:
        for target in attack.targets:
            for source in attack.sources:
                if reason := misfit(target, source):
                    shown_to = f"images of {source.folder} cannot be shown to {target.folder}: {reason}"
                    raise UserError(f"defenses: {shown_to}; {advice}")
    for first, *others in (step.targets for step in analyses):
        for other in others:
            if differing := differences(_judged_on(first), _judged_on(other)):
                raise UserError(f"analyses: {first.folder} and {other.folder} share no images: {differing}; {advice}")


def _judged_on(network: Experiment) -> dict[str, object]:
    return {**judged_data(network), "judged part": network.judged_part}


def _must_lie_apart(networks: Sequence[Experiment]) -> None:
    """Refuse networks that would overwrite each other, where file names differ by more than case or do not."""
    there: dict[str, Experiment] = {}
    for network in networks:
        other = there.setdefault(str(network.folder).casefold(), network)
        if other is not network:
            if other == network:
                raise UserError(f"defenses: {shown(network.defense.name)} is listed twice; leave one out")
            differing = differences(other.identity(), network.identity())
            raise UserError(
                f"defenses: {shown(other.defense.name)} and {shown(network.defense.name)} would both lie in "
                f"{network.folder}, but differ in {differing}; give one of them a name of its own, as in "
                f"{{preset: {network.defense.name}, name: {network.defense.name}-2}}"
            )
