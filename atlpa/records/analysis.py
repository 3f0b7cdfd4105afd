"""What an analysis found, as records hold it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from atlpa.component import Component, FromList
from atlpa.records.record import MeasuredRecord, Network

Floats = Annotated[tuple[float, ...], FromList]
Grid = Annotated[tuple[Floats, ...], FromList]


class ImageCondition(Component):
    """Which images a network was shown.

    Fields:
        threat: ``clean``, ``gray`` or ``black``.
        epsilon: ε of the attack; 0 when clean.
        source: the network that the adversarial images were made on.
        attack: the attack's name and settings.
    """

    threat: Literal["clean", "gray", "black"]
    epsilon: float
    source: Network | None = None
    attack: dict[str, Any] = Field(default_factory=dict)


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
    stage: str
    inside: Floats
    outside: Floats


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
    stages: Annotated[tuple[str, ...], FromList]
    variation: Floats
    distance: Floats


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
    classes: Annotated[tuple[str, ...], FromList]
    labels: Annotated[tuple[int, ...], FromList]
    perplexity: float
    silhouettes: Floats
    raw_silhouette: float
    points: Grid


class Landscape(Analysis):
    """The loss around some images (Fig. 4 and 8).

    Fields:
        images: their names.
        steps: the values of a and b.
        losses: one surface for each image; row a, column b.
    """

    kind: Literal["landscape"] = "landscape"
    images: Annotated[tuple[str, ...], FromList]
    steps: Floats
    losses: Annotated[tuple[Grid, ...], FromList]
