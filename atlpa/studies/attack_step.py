"""One attack on one network, judged by every network that it is shown to, as a step of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlpa.attacks import PGD
from atlpa.experiment import Experiment
from atlpa.field_types import written
from atlpa.machine import pick_device
from atlpa.records import Evaluation, Threat
from atlpa.report.attack_words import attack_title
from atlpa.runs import Pairing, Protocol, Run, evaluate, pair, pair_jointly
from atlpa.runs.measurement import Measurement
from atlpa.runs.threats import TRANSFERS
from atlpa.studies.step import MeasuringStep


@dataclass(frozen=True)
class AttackStep(MeasuringStep):
    """Images made once on one network, and every network that they are shown to.

    Fields:
        source: the network attacked.
        joint: further networks that are attacked jointly with it.
        targets: the networks judged; the source itself when white-box.
        protocol: the attack and the images.
        keep: a folder for transferred images; those that lie there are shown again.
    """

    source: Experiment
    targets: tuple[Experiment, ...]
    protocol: Protocol
    keep: Path | None = None
    joint: tuple[Experiment, ...] = ()

    @property
    def sources(self) -> tuple[Experiment, ...]:
        """All networks that are attacked."""
        return self.source, *self.joint

    @property
    def title(self) -> str:
        """What a plan calls it."""
        attack, kind = self.protocol.attack, "white-box" if self.white_box else f"transfer to {len(self.targets)}"
        name = "" if attack.name == PGD.name else f" {attack_title(attack.settings())}"
        return f"{kind}{name}, {' + '.join(one.folder.name for one in self.sources)}, ε {written(attack.epsilon)}"

    @property
    def white_box(self) -> bool:
        """Whether the network judged is the one attacked."""
        return self.targets == (self.source,)

    def needs(self) -> Sequence[Experiment]:
        """The networks that must be trained first."""
        return *self.sources, *self.targets

    def pairings(self) -> list[Pairing]:
        """Target and source as runs, which must be trained."""
        networks = [network for target in self.targets for network in Run.open(target.folder).networks]
        source, *joint = (Run.open(one.folder) for one in self.sources)
        if joint:
            return pair_jointly(networks, ["transfer"], [source, *joint])
        threats: tuple[Threat, ...] = ("white",) if self.white_box else TRANSFERS
        return [pairing for network in networks for pairing in pair([network], threats, [source])[0]]

    def paths(self) -> list[Path]:
        """Where its records lie, or will: one for each target."""
        return [Measurement.of(pairing, self.protocol).path for pairing in self.pairings()]

    @property
    def owned(self) -> Path:
        """The folder of the network that is attacked."""
        return self.source.folder

    def measure(self) -> None:
        """Attack, and judge every target."""
        list(evaluate(self.pairings(), self.protocol, pick_device(self.source.device), keep=self.keep))

    @property
    def like(self) -> object:
        """The same attack of the same kind on the same architecture."""
        models = (one.model for one in self.sources)
        return AttackStep, self.white_box, attack_title(self.protocol.attack.settings()), *models

    def seconds(self) -> float | None:
        """How long attack and judging took; targets that shared the attack carry the time of all."""
        found = [record for record in self.records() if isinstance(record, Evaluation)]
        return found[0].seconds if found else None
