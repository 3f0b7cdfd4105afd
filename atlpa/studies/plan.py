"""What a study takes: trainings, attacks, checks and analyses, which of them are done, and what the rest may cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from atlpa.experiment import Experiment
from atlpa.machine import pick_device
from atlpa.runs import Run
from atlpa.studies.steps import Analysis, Attack, Check, trained
from atlpa.studies.study import UNDEFENDED, Study


@dataclass(frozen=True)
class Plan:
    """Trainings, sources first, attacks, checks and analyses, in the order in which they are carried out."""

    trainings: Sequence[Experiment]
    attacks: Sequence[Attack]
    checks: Sequence[Check] = ()
    analyses: Sequence[Analysis] = ()

    def shard(self, number: int, of: int) -> Plan:
        """Every ``of``-th step of each kind from the ``number``-th, counted from 1; all shards make up the plan."""
        own = slice(number - 1, None, of)
        return Plan(self.trainings[own], self.attacks[own], self.checks[own], self.analyses[own])

    def training_seconds(self, experiment: Experiment) -> float | None:
        """What a training may take, by the finished ones of the same architecture; ``None`` if there is none."""
        known = [
            run.training.seconds / _passes(run.experiment)
            for other in self.trainings
            if other.model == experiment.model and trained(other)
            for run in [Run.open(other.folder)]
        ]
        return statistics.median(known) * _passes(experiment) if known else None

    def attack_seconds(self, attack: Attack) -> float | None:
        """What an attack may take, by the finished ones of its kind on the same architecture."""
        known = [
            record.seconds
            for other in self.attacks
            if other.white == attack.white and other.source.model == attack.source.model
            for record in other.records()[:1]
        ]
        return statistics.median(known) if known else None

    def check_seconds(self) -> float | None:
        """What the checks of one network may take, by the finished ones."""
        known = [record.seconds for check in self.checks for record in check.records()]
        return statistics.median(known) if known else None


def plan(study: Study, where: Sequence[tuple[str, Any]] = ()) -> Plan:
    """Lay a study out.

    Args:
        study: the study.
        where: dotted fields that say where data lies and where to compute.
    """
    first = study.seeds[0]
    gray = study.experiment(UNDEFENDED, first, where)
    sources = [gray]
    if study.black_box and study.black_box != gray.model.architecture:
        sources.append(study.experiment(UNDEFENDED, first, where, study.black_box))
    rows = [study.experiment(defense, seed, where) for defense in study.defenses for seed in study.seeds]
    targets = [*sources, *(row for row in rows if row not in sources)]
    surrogates = [study.experiment(defense, max(study.seeds) + 1, where) for defense in study.surrogates]
    attacks = []
    device = pick_device(gray.device)
    for protocol in [one.on(device) for one in study.protocols()]:
        attacks += [Attack(target, (target,), protocol) for target in targets]
        attacks += [
            Attack(source, tuple(target for target in targets if target != source), protocol) for source in sources
        ]
        attacks += [
            Attack(surrogate, tuple(row for row in rows if row.defense == surrogate.defense), protocol)
            for surrogate in surrogates
        ]
    networks = (*targets, *surrogates)
    checks = [Check(target, networks, epsilon, study.check_limit) for epsilon in study.checks for target in targets]
    analyzed = tuple(row for row in rows if row.seed == first)
    analyses = [Analysis(analyzed, networks, study)] if study.analyses else []
    return Plan(networks, attacks, checks, analyses)


def _passes(experiment: Experiment) -> float:
    """Forward and backward passes of a whole training, in images; one per step where nobody knows the attack's."""
    passes = sum(experiment.defense.cost(experiment.training.attack) or (1,))
    return experiment.training.iterations * experiment.training.batch_size * passes
