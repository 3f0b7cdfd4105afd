"""What analyses show to networks: the judged images, their key regions, and their adversarial versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from atlpa.attacks import Attack
from atlpa.data import Index, Item, load_images, load_masks
from atlpa.data.images import InMemory
from atlpa.data.masks import INSIDE, OUTSIDE
from atlpa.errors import UserError
from atlpa.evaluation import attacked
from atlpa.evaluation.attack_result import check_measurable
from atlpa.evaluation.correctness import to_batch
from atlpa.field_types import written
from atlpa.models import Classifier
from atlpa.progress import Progress
from atlpa.records import EvaluatedImages, ImageCondition
from atlpa.runs.evaluate import judged_images
from atlpa.runs.folder import Run
from atlpa.runs.threats import Pairing, pair


@dataclass
class EvaluationImages:
    """The same images for several networks, clean and attacked; each source is attacked once.

    Fields:
        runs: the networks.
        attack: any, whose ε is replaced by each of ``epsilons``.
        epsilons: of the adversarial images.
        device: where to attack.
        limit: how many images at most, evenly spaced.
        seed: of random starts and of randomized networks' draws.

    Raises:
        UserError: runs with other data, parts or sizes, or an attack that no evaluation can measure.
    """

    runs: Sequence[Run]
    attack: Attack
    epsilons: Sequence[float]
    device: torch.device
    limit: int | None = None
    seed: int = 0
    _made: dict[tuple[str, float], Tensor] = field(default_factory=dict)
    _loaded: dict[str, Classifier] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_measurable(self.attack)
        if self.attack.norm != "Linf":
            raise UserError(
                f"{self.attack.name} in {self.attack.norm}; analyses show images of L∞ attacks: set norm=Linf"
            )
        index = self.index
        for run in self.runs[1:]:
            if run.read_index(run.training.data).digest != index.digest or run.experiment.judged_part != self._part:
                raise UserError(f"{run.folder} and {self.runs[0].folder} have other data or other parts")
            if run.experiment.data.size != self.runs[0].experiment.data.size:
                raise UserError(f"{run.folder} and {self.runs[0].folder} take images of another size")

    def network(self, run: Run) -> Classifier:
        """A run's network, in evaluation mode on ``device``; two are kept, of a target and of a source."""
        weights = run.network.weights
        if weights not in self._loaded:
            for old in [*self._loaded][:-1]:
                del self._loaded[old]
            self._loaded[weights] = run.load_model(self.device)
        return self._loaded[weights]

    @cached_property
    def index(self) -> Index:
        """The data set."""
        return self.runs[0].read_index(self.runs[0].training.data)

    @property
    def _part(self) -> str:
        return self.runs[0].experiment.judged_part

    @cached_property
    def _judged(self) -> tuple[Sequence[Item], EvaluatedImages]:
        return judged_images(self.runs[0], self.index, self.limit)

    @property
    def items(self) -> Sequence[Item]:
        """The images, not yet decoded."""
        return self._judged[0]

    @property
    def data(self) -> EvaluatedImages:
        """How records describe them."""
        return self._judged[1]

    @cached_property
    def clean(self) -> tuple[Tensor, Tensor]:
        """The images ``(N, 3, S, S)`` in [0, 1] and their labels ``(N,)``, on the CPU."""
        title = f"{self.data.dataset}, {self.data.part}"
        loaded = load_images(self.items, self.data.size, torch.device("cpu"), title)
        return to_batch(loaded, torch.arange(len(loaded)), torch.device("cpu"))

    @cached_property
    def masks(self) -> Tensor:
        """Key regions ``(N, S, S)``."""
        return load_masks(self.items, self.data.size)

    @cached_property
    def masked(self) -> Tensor:
        """Which images ``(N,)`` have a mask with both an inside and an outside."""
        has = [(self.masks == value).flatten(1).any(dim=1) for value in (INSIDE, OUTSIDE)]
        return has[0] & has[1]

    def of(self, run: Run) -> list[tuple[ImageCondition, Run | None]]:
        """What a network is shown: clean images, and those of its gray- and black-box source at each ε."""
        pairings, _ = pair([run], ["white", "gray", "black"])
        by_threat = {pairing.threat: pairing for pairing in pairings}
        # The undefended network is its own gray-box source.
        if run.undefended and "gray" not in by_threat:
            by_threat["gray"] = by_threat["white"]
        found: list[tuple[ImageCondition, Run | None]] = [(ImageCondition(threat="clean", epsilon=0.0), None)]
        transfers: tuple[Literal["gray", "black"], ...] = ("gray", "black")
        for threat in transfers:
            if pairing := by_threat.get(threat):
                found += [(self._condition(threat, pairing, epsilon), pairing.source) for epsilon in self.epsilons]
        return found

    def _condition(self, threat: Literal["gray", "black"], pairing: Pairing, epsilon: float) -> ImageCondition:
        attack = replace(self.attack, epsilon=epsilon)
        return ImageCondition(threat=threat, epsilon=epsilon, source=pairing.source.network, attack=attack.settings())

    def shown(self, condition: ImageCondition, source: Run | None) -> Tensor:
        """The images of a condition ``(N, 3, S, S)``; each source is attacked once."""
        images, labels = self.clean
        if source is None:
            return images
        key = source.network.weights, condition.epsilon
        if key not in self._made:
            attack = replace(self.attack, epsilon=condition.epsilon)
            title = f"images of {source.folder.name}, ε {written(condition.epsilon)}"
            with Progress(title, len(images), "image") as progress:
                self._made[key] = attacked(
                    self.network(source),
                    InMemory(images, labels),
                    attack,
                    seed=self.seed,
                    progress=progress.update,
                )
        return self._made[key]
