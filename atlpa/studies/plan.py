"""What a study takes: trainings, attacks, checks and analyses, which of them are done, and what the rest may cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from atlpa.attacks import PGD
from atlpa.experiment import Experiment
from atlpa.machine import pick_device
from atlpa.records import Credibility, Evaluation, Threat
from atlpa.runs import ANALYSES, Analyses, Examination, Pairing, Protocol, Run, Sights, What, pair, recorded
from atlpa.studies.study import UNDEFENDED, Study

State = Literal["done", "to do", "waits", "stale"]


@dataclass(frozen=True)
class Attack:
    """Images made once on one network, and every network that they are shown to.

    Fields:
        source: the network attacked.
        targets: the networks judged; the source itself when white-box.
        protocol: the attack and the images.
    """

    source: Experiment
    targets: tuple[Experiment, ...]
    protocol: Protocol

    @property
    def white(self) -> bool:
        """Whether the network judged is the one attacked."""
        return self.targets == (self.source,)

    @property
    def title(self) -> str:
        """What a plan calls it."""
        kind = "white-box" if self.white else f"transfer to {len(self.targets)}"
        return f"{kind}, {self.source.folder.name}, ε {self.protocol.attack.epsilon:g}"

    def pairings(self) -> list[Pairing]:
        """Target and source as runs, which must be trained."""
        source = Run.open(self.source.folder)
        found: list[Pairing] = []
        for target in self.targets:
            threats: tuple[Threat, ...] = ("white",) if self.white else ("gray", "surrogate", "black")
            found += pair([Run.open(target.folder)], threats, [source])[0]
        return found

    def records(self) -> list[Evaluation]:
        """What has been measured of it."""
        if not all(_trained(experiment) for experiment in (self.source, *self.targets)):
            return []
        found = [recorded(pairing, self.protocol) for pairing in self.pairings()]
        return [record for record in found if record is not None]

    def state(self) -> State:
        """Whether it is on record, can be made, or waits for a training."""
        if not all(_trained(experiment) for experiment in (self.source, *self.targets)):
            return "waits"
        return "done" if len(self.records()) == len(self.targets) else "to do"


@dataclass(frozen=True)
class Check:
    """The credibility checks of one network at one ε.

    Fields:
        target: the network.
        others: all networks of the study, which must be there first: some are transfer sources.
        epsilon: ε.
        limit: how many images at most.
    """

    target: Experiment
    others: tuple[Experiment, ...]
    epsilon: float
    limit: int

    @property
    def title(self) -> str:
        """What a plan calls it."""
        return f"checks, {self.target.folder.name}, ε {self.epsilon:.4g}"

    def examination(self) -> Examination:
        """It, of the trained run."""
        return Examination(Run.open(self.target.folder), self.epsilon, self.limit)

    def records(self) -> list[Credibility]:
        """What has been measured of it."""
        record = self.examination().recorded if all(map(_trained, self.others)) else None
        return [record] if record else []

    def state(self) -> State:
        """Whether it is on record, can be made, or waits for a training."""
        if not all(map(_trained, self.others)):
            return "waits"
        return "done" if self.records() else "to do"


@dataclass(frozen=True)
class Analysis:
    """The analyses of a study's networks, which share their images.

    Fields:
        targets: the networks.
        others: all networks of the study, which must be there first: some are transfer sources.
        study: says which analyses, on which images.
    """

    targets: tuple[Experiment, ...]
    others: tuple[Experiment, ...]
    study: Study

    @property
    def title(self) -> str:
        """What a plan calls it."""
        return f"analyses of {len(self.targets)} networks"

    @property
    def kinds(self) -> list[What]:
        """Those that leave records."""
        return [kind for kind in ANALYSES if kind in self.study.analyses]

    def analyses(self) -> Analyses:
        """They, of the trained runs."""
        attack = self.study.protocols()[0].attack
        assert isinstance(attack, PGD)
        runs = [Run.open(target.folder) for target in self.targets]
        device = pick_device(self.targets[0].device)
        return Analyses(Sights(runs, attack, self.study.epsilons, device, self.study.analysis_limit))

    def state(self) -> State:
        """Whether all is on record, can be made, or waits for a training."""
        if not all(map(_trained, self.others)):
            return "waits"
        return "done" if all(path.is_file() for path, *_ in self.analyses().steps(self.kinds)) else "to do"


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
            if other.model == experiment.model and _trained(other)
            for run in [Run.open(other.folder)]
        ]
        return statistics.median(known) * _passes(experiment) if known else None


def training_state(experiment: Experiment) -> State:
    """Whether a network is trained, or its folder holds another experiment."""
    description = experiment.folder / "experiment.yaml"
    if not description.is_file():
        return "to do"
    run = Run.open(experiment.folder)
    if run.experiment.identity() != experiment.identity():
        return "stale"
    return "done" if run.finished else "to do"


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
    for protocol in study.protocols():
        attacks += [Attack(target, (target,), protocol) for target in targets]
        attacks += [
            Attack(source, tuple(target for target in targets if target != source), protocol) for source in sources
        ]
        attacks += [
            Attack(surrogate, tuple(row for row in rows if row.defense == surrogate.defense), protocol)
            for surrogate in surrogates
        ]
    trained = (*targets, *surrogates)
    checks = [Check(target, trained, epsilon, study.check_limit) for epsilon in study.checks for target in targets]
    analyzed = tuple(row for row in rows if row.seed == first)
    analyses = [Analysis(analyzed, trained, study)] if study.analyses else []
    return Plan(trained, attacks, checks, analyses)


def _trained(experiment: Experiment) -> bool:
    return training_state(experiment) == "done"


def _passes(experiment: Experiment) -> float:
    """Forward and backward passes of a whole training, in images."""
    cost = experiment.defense.cost(experiment.training.attack.iterations)
    return experiment.training.iterations * experiment.training.batch_size * (cost.forwards + cost.backwards)
