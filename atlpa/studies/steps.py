"""What a study does after training: attacks, checks and analyses, each of which knows whether it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atlpa.attacks import PGD
from atlpa.experiment import Experiment
from atlpa.machine import pick_device
from atlpa.records import Credibility, Evaluation, Threat
from atlpa.runs import (
    ANALYSES,
    Analyses,
    CredibilityRun,
    EvaluationImages,
    Pairing,
    Protocol,
    Run,
    What,
    pair,
    recorded,
)
from atlpa.runs.threats import TRANSFERS
from atlpa.studies.study import Study

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
            threats: tuple[Threat, ...] = ("white",) if self.white else TRANSFERS
            found += pair([Run.open(target.folder)], threats, [source])[0]
        return found

    def records(self) -> list[Evaluation]:
        """What has been measured of it."""
        if not all(trained(experiment) for experiment in (self.source, *self.targets)):
            return []
        found = [recorded(pairing, self.protocol) for pairing in self.pairings()]
        return [record for record in found if record is not None]

    def state(self) -> State:
        """Whether it is on record, can be made, or waits for a training."""
        if not all(trained(experiment) for experiment in (self.source, *self.targets)):
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

    def examination(self) -> CredibilityRun:
        """It, of the trained run."""
        return CredibilityRun(Run.open(self.target.folder), self.epsilon, self.limit)

    def records(self) -> list[Credibility]:
        """What has been measured of it."""
        record = self.examination().recorded if all(map(trained, self.others)) else None
        return [record] if record else []

    def state(self) -> State:
        """Whether it is on record, can be made, or waits for a training."""
        if not all(map(trained, self.others)):
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
        device = pick_device(self.targets[0].device)
        attack = self.study.protocols()[0].on(device).attack
        assert isinstance(attack, PGD)
        runs = [Run.open(target.folder) for target in self.targets]
        return Analyses(EvaluationImages(runs, attack, self.study.epsilons, device, self.study.analysis_limit))

    def state(self) -> State:
        """Whether all is on record, can be made, or waits for a training."""
        if not all(map(trained, self.others)):
            return "waits"
        return "done" if all(path.is_file() for path, *_ in self.analyses().steps(self.kinds)) else "to do"


def training_state(experiment: Experiment) -> State:
    """Whether a network is trained, or its folder holds another experiment."""
    description = experiment.folder / "experiment.yaml"
    if not description.is_file():
        return "to do"
    run = Run.open(experiment.folder)
    if run.experiment.identity() != run.with_class_defaults(experiment).identity():
        return "stale"
    return "done" if run.finished else "to do"


def trained(experiment: Experiment) -> bool:
    """Whether a network is there."""
    return training_state(experiment) == "done"
