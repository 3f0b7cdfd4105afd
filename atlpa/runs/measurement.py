"""One attack on one pairing before it is made: all that follows from the two, decided once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atlpa import __version__
from atlpa.attacks import Attack
from atlpa.component import dump
from atlpa.errors import UserError
from atlpa.models import Averaged, Joint, slug
from atlpa.records import EvaluatedImages, Evaluation, digest
from atlpa.runs.folder import Run
from atlpa.runs.on_record import on_record, record_path
from atlpa.runs.protocol import Protocol
from atlpa.runs.threats import Pairing


@dataclass(frozen=True, eq=False)
class Measurement:
    """What is asked.

    Fields:
        pairing: who attacks whom.
        protocol: the attack and the images.
        attack: as it is made here, without what serves other pairings.
    """

    pairing: Pairing
    protocol: Protocol
    attack: Attack

    @classmethod
    def of(cls, pairing: Pairing, protocol: Protocol) -> Measurement:
        """Bring the two together.

        Raises:
            UserError: the attack does not admit this pairing.
        """
        white = pairing.threat == "white"
        if not white and not protocol.attack.transferable:
            raise UserError(f"images of the attack {protocol.attack.name} say nothing about other networks")
        try:
            attack = protocol.attack.suited_to(white_box=white, randomized=pairing.randomized)
        except ValueError as error:
            raise UserError(f"{pairing.target.folder}: {error}") from error
        return cls(pairing, protocol, attack)

    @property
    def white_box(self) -> bool:
        """Whether the network judged is the one attacked."""
        return self.pairing.threat == "white"

    @property
    def settings(self) -> dict[str, Any]:
        """The attack as a record holds it; its iterations are the budgets."""
        return {name: value for name, value in self.attack.settings().items() if name != self.attack.budget}

    @property
    def eight_bit(self) -> bool:
        """Whether the target is shown 8-bit images."""
        return self.protocol.eight_bit and not self.white_box

    def average_of(self, run: Run) -> int:
        """How many draws a run's prediction is the mean of."""
        return self.protocol.average if run.randomized else 1

    def model(self, run: Run, device: torch.device) -> nn.Module:
        """A run's network as it is asked here."""
        model, average = run.load_model(device), self.average_of(run)
        return Averaged(model, average) if average > 1 else model

    def attacked(self, device: torch.device) -> nn.Module:
        """The network that the attack sees: the source, or several as one."""
        models = [self.model(run, device) for run in self.pairing.sources]
        return Joint(models) if len(models) > 1 else models[0]

    @property
    def passes(self) -> int:
        """How often an image passes a network in one pass of the attack."""
        return sum(self.average_of(run) for run in self.pairing.sources)

    def check_classes(self, classes: int) -> None:
        """Refuse an attack that a network of this many classes, or of images of its size, does not admit."""
        target = self.pairing.target
        if problem := self.attack.unfit(classes=classes, side=target.experiment.data.size):
            raise UserError(f"{target.folder} has {problem}")

    @cached_property
    def path(self) -> Path:
        """Where the record lies, or will: its name tells what it is, its digest tells everything."""
        target, source, protocol = self.pairing.target, self.pairing.source.network, self.protocol
        # Fields at their default are left out, so that a field that is added later does not orphan what is on record.
        changed = dump(self.attack, exclude_defaults=True)
        changed.pop(self.attack.budget or "", None)
        further = self._jointly | ({"eight_bit": True} if self.eight_bit else {})
        settings = {
            "source": source.weights,
            "attack": {"name": self.attack.name, **changed},
            "budgets": protocol.budgets,
            "limit": protocol.limit,
            "seed": protocol.seed,
            "draws": protocol.draws if target.randomized else 1,
            "average": self.average_of(target),
        } | further
        by = "white" if self.white_box else f"{self.pairing.threat}-{source.defense}-{slug(source.architecture)}"
        if self.pairing.joint:
            by = f"{self.pairing.threat}-{len(self.pairing.sources)}-jointly"
        return record_path(target, f"{by}-{slug(self.attack.name)}-eps{self.attack.epsilon:.4g}", settings)

    @property
    def _jointly(self) -> dict[str, Any]:
        """What a joint attack is told apart by from one on its first source; nothing of any other."""
        joint = self.pairing.joint
        return {"joint": [(run.network.weights, self.average_of(run)) for run in joint]} if joint else {}

    @property
    def recorded(self) -> Evaluation | None:
        """What is on record, if anything; no data is needed.

        Raises:
            UserError: what lies there is no such record.
        """
        return on_record(Evaluation, self.path, self.pairing.target.network)

    def adversarial_cache(self, folder: Path, images: EvaluatedImages) -> Path:
        """Where transferred images are kept: named after all that determines them."""
        source, protocol = self.pairing.source, self.protocol
        everything = {
            "source": source.network.weights,
            "images": dump(images),
            "attack": self.settings,
            "budgets": protocol.budgets,
            "seed": protocol.seed,
            "average": self.average_of(source),
            "atlpa": __version__,
        } | self._jointly
        return folder / f"{digest(everything, 32)}.npy"
