"""What an analysis found, as records hold it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field

from atlpa.field_types import FromList
from atlpa.records.attack_settings import check_settings
from atlpa.records.checked import Checked, Line, Number, Share
from atlpa.records.record import MeasuredRecord, Network

Value = TypeVar("Value")
Some = Annotated[tuple[Value, ...], FromList, Field(min_length=1)]
"""At least one, written as a list."""
Distance = Annotated[float, Field(ge=0, le=3.5e38)]
Silhouette = Annotated[float, Field(ge=-1, le=1)]


class ImageCondition(Checked):
    """Which images a network was shown.

    Fields:
        threat: ``clean``, ``gray`` or ``black``.
        epsilon: ε of the attack; 0 when clean.
        source: the network that the adversarial images were made on; ``None`` when clean.
        attack: the attack's name and settings; none when clean.
    """

    threat: Literal["clean", "gray", "black"]
    epsilon: Share
    source: Network | None = None
    attack: Annotated[dict[str, Any], AfterValidator(lambda attack: attack and check_settings(attack))] = Field(
        default_factory=dict
    )

    def contradictions(self) -> Iterator[str]:
        """Clean images that were attacked, or attacked ones by nobody."""
        if self.threat == "clean" and (self.epsilon or self.source or self.attack):
            yield "clean images have no epsilon, source or attack"
        if self.threat != "clean" and not (self.source and self.attack):
            yield f"{self.threat}-box images have a source and an attack"
        if self.attack and self.attack["epsilon"] != self.epsilon:
            yield f"epsilon {self.epsilon:g}, but the attack's is {self.attack['epsilon']:g}"


class Analysis(MeasuredRecord):
    """Base of all analyses; their ``seconds`` are without those of the attack."""


class Regions(Analysis):
    """Normalized activation inside and outside key regions (Table 2).

    Fields:
        seen: which images.
        stage: whose maps: the deepest with at least 4×4 places.
        inside: the mean inside, of each image that has a mask with both.
        outside: the mean outside.
    """

    kind: Literal["regions"] = "regions"
    seen: ImageCondition
    stage: Line
    inside: Some[Share]
    outside: Some[Share]

    def contradictions(self) -> Iterator[str]:
        """Other images inside than outside, or more than were shown."""
        if len(self.inside) != len(self.outside):
            yield f"{len(self.inside)} images inside, {len(self.outside)} outside"
        if len(self.inside) > self.data.count:
            yield f"inside of {len(self.inside)} images, but data.count is {self.data.count}"


class Attention(Analysis):
    """How much the attention maps of each stage depend on the image, and how far an attack moves them.

    Fields:
        seen: which images.
        stages: conv2_x … conv5_x.
        variation: of each stage, the mean distance of the unit-length maps of Eq. 4 from their mean over images; 0
            means that the network attends to the same places whatever it is shown.
        distance: of each stage, the mean summand of Eq. 4 between clean and seen images; 0 for clean ones.
    """

    kind: Literal["attention"] = "attention"
    seen: ImageCondition
    stages: Some[Line]
    variation: Some[Distance]
    distance: Some[Distance]

    def contradictions(self) -> Iterator[str]:
        """A stage twice, or values of other stages."""
        stages = len(self.stages)
        if len(set(self.stages)) != stages:
            yield "a stage is there twice"
        for name, values in (("variation", self.variation), ("distance", self.distance)):
            if len(values) != stages:
                yield f"{name} of {len(values)} stages, but there are {stages}"


class Embedding(Analysis):
    """t-SNE of the pooled features (Table 3, Fig. 7).

    Fields:
        seen: which images.
        classes: the classes' names.
        labels: of each image.
        perplexity: of t-SNE.
        silhouettes: of the embedding, one for each seed of t-SNE, from ``seed`` on.
        raw_silhouette: of the features themselves.
        points: the embedding of the first seed, two numbers for each image.
    """

    kind: Literal["embedding"] = "embedding"
    seen: ImageCondition
    classes: Some[Line]
    labels: Some[Annotated[int, Field(ge=0)]]
    perplexity: Annotated[float, Field(gt=0)]
    silhouettes: Some[Silhouette]
    raw_silhouette: Silhouette
    points: Some[Annotated[tuple[Number, ...], FromList, Field(min_length=2, max_length=2)]]

    def contradictions(self) -> Iterator[str]:
        """Other images or classes than the data's."""
        for name, values, wanted, whole in (
            ("labels", self.labels, self.data.count, "data.count"),
            ("points", self.points, self.data.count, "data.count"),
            ("classes", self.classes, self.data.classes, "data.classes"),
        ):
            if len(values) != wanted:
                yield f"{len(values)} {name}, but {whole} is {wanted}"
        if max(self.labels) >= len(self.classes):
            yield f"label {max(self.labels)} of {len(self.classes)} classes"


class Landscape(Analysis):
    """The loss around some images (Fig. 4 and 8).

    Fields:
        images: their names.
        steps: the values of a and b.
        losses: one surface for each image; row a, column b.
    """

    kind: Literal["landscape"] = "landscape"
    images: Some[Line]
    steps: Some[Annotated[float, Field(ge=-1, le=1)]]
    losses: Some[Some[Some[Number]]]

    def contradictions(self) -> Iterator[str]:
        """Other images, or surfaces of another size."""
        if len(self.images) != len(self.losses):
            yield f"{len(self.images)} images, but {len(self.losses)} surfaces"
        if len(self.images) > self.data.count:
            yield f"{len(self.images)} images, but data.count is {self.data.count}"
        if list(self.steps) != sorted(self.steps):
            yield "the steps do not ascend"
        side = len(self.steps)
        if any(len(surface) != side or any(len(row) != side for row in surface) for surface in self.losses):
            yield f"a surface is not {side}×{side}, as the steps are"
