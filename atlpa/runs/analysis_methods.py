"""What each analysis measures on a network and its images: maps, key regions, embeddings and loss surfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from atlpa.analysis import (
    activation_in_regions,
    attention_maps,
    comparison_stage,
    default_perplexity,
    embed,
    landscape,
    map_distance,
    map_variation,
    overlay_maps,
    pooled_features,
    silhouette,
)
from atlpa.errors import UserError
from atlpa.evaluation.correctness import batch_indices, generators
from atlpa.progress import Progress
from atlpa.records import Analysis, Attention, Embedding, Landscape, Regions
from atlpa.runs.evaluation_images import EvaluationImages
from atlpa.runs.folder import Run

AnalysisKind = Literal["attention", "regions", "embedding", "landscape"]
TSNE_SEEDS = 3

Result = TypeVar("Result")


@dataclass(frozen=True)
class AnalysisSettings:
    """What analyses take beside networks and images.

    Fields:
        perplexity: of t-SNE; by default 30, or less where there are few images.
        landscapes: how many images the loss is drawn around.
        grid: points along each side of a landscape.
    """

    perplexity: float | None = None
    landscapes: int = 4
    grid: int = 51

    def check(self, count: int) -> None:
        """Refuse what so many images do not admit."""
        if self.perplexity is not None and not 0 < self.perplexity < count:
            raise UserError(f"perplexity {self.perplexity:g} with {count} images; it must be above 0 and below that")
        if self.grid < 2:
            raise UserError(f"a landscape of {self.grid} point along each side; give at least 2")


def _nothing(images: EvaluationImages, settings: AnalysisSettings) -> dict[str, Any]:
    del images, settings
    return {}


def _never(images: EvaluationImages) -> str | None:
    del images
    return None


@dataclass(frozen=True)
class AnalysisMethod:
    """One kind of analysis.

    Fields:
        record: the class of its records.
        measure: of a network, the images ``(N, 3, S, S)`` that it is shown, and what goes with them: the record's own
            fields.
        by_condition: whether it is made of clean and of attacked images; else once for each network.
        determined_by: what its file is named after, beside network and images.
        missing: why some images do not admit it, if so.
    """

    record: type[Analysis]
    measure: Callable[[Run, Tensor, EvaluationImages, AnalysisSettings], dict[str, Any]]
    by_condition: bool = True
    determined_by: Callable[[EvaluationImages, AnalysisSettings], dict[str, Any]] = _nothing
    missing: Callable[[EvaluationImages], str | None] = _never


def attention(run: Run, shown: Tensor, images: EvaluationImages, settings: AnalysisSettings) -> dict[str, Any]:
    """How much attention depends on the image, and how far it is from that on the clean image, stage by stage."""
    del settings
    seen = _maps(run, shown, images)
    clean = seen if shown is images.clean[0] else _maps(run, images.clean[0], images)
    return {
        "stages": tuple(seen),
        "variation": _rounded(torch.tensor([map_variation(maps) for maps in seen.values()])),
        "distance": _rounded(torch.tensor([map_distance(clean[stage], maps) for stage, maps in seen.items()])),
    }


def regions(run: Run, shown: Tensor, images: EvaluationImages, settings: AnalysisSettings) -> dict[str, Any]:
    """Normalized activation inside and outside key regions."""
    del settings
    by_stage = _maps(run, shown, images)
    stage = comparison_stage(by_stage)
    size = shown.shape[2], shown.shape[3]
    inside, outside = activation_in_regions(overlay_maps(by_stage[stage], size), images.masks)
    masked = images.masked
    return {"stage": stage, "inside": _rounded(inside[masked]), "outside": _rounded(outside[masked])}


def embedding(run: Run, shown: Tensor, images: EvaluationImages, settings: AnalysisSettings) -> dict[str, Any]:
    """t-SNE of the pooled features, and how well classes are apart in it."""
    features = torch.cat([part.cpu() for part in _of_batches(run, shown, images, pooled_features)]).numpy()
    labels = images.clean[1].numpy()
    perplexity = settings.perplexity or default_perplexity(len(features))
    try:
        embeddings = [embed(features, images.seed + number, perplexity) for number in range(TSNE_SEEDS)]
        scores, raw = [silhouette(points, labels) for points in embeddings], silhouette(features, labels)
    except ValueError as error:
        raise UserError(f"{run.folder}: {error}") from error
    return {
        "classes": images.index.classes,
        "labels": tuple(labels.tolist()),
        "perplexity": perplexity,
        "silhouettes": _rounded(torch.tensor(scores)),
        "raw_silhouette": raw,
        "points": tuple(_rounded(torch.from_numpy(point)) for point in embeddings[0]),
    }


def loss_landscape(run: Run, shown: Tensor, images: EvaluationImages, settings: AnalysisSettings) -> dict[str, Any]:
    """The loss around some images, evenly spaced, along the sign of the gradient and random signs."""
    device, reach = images.device, max(images.epsilons)
    model, labels = images.network(run), images.clean[1]
    steps = torch.linspace(-reach, reach, settings.grid)
    count = min(settings.landscapes, len(shown))
    chosen = [number * len(shown) // settings.landscapes for number in range(count)]
    surfaces = []
    for number in Progress(f"landscapes {run.folder.name}", len(chosen), "image").over(chosen):
        image, label = shown[number].to(device), labels[number].to(device)
        surface = landscape(model, image, label, steps.to(device), images.seed, number).cpu()
        surfaces.append(tuple(_rounded(row) for row in surface))
    names = tuple(images.items[number].name for number in chosen)
    return {"images": names, "steps": _rounded(steps), "losses": tuple(surfaces)}


def _no_masks(images: EvaluationImages) -> str | None:
    return None if images.masked.any() else "none of these images has a key region, so that Table 2 is left out"


def _perplexity(images: EvaluationImages, settings: AnalysisSettings) -> dict[str, Any]:
    del images
    return {"perplexity": settings.perplexity}


def _grid(images: EvaluationImages, settings: AnalysisSettings) -> dict[str, Any]:
    return {"grid": [settings.grid, settings.landscapes, max(images.epsilons)]}


ANALYSES: Mapping[AnalysisKind, AnalysisMethod] = {
    "attention": AnalysisMethod(Attention, attention),
    "regions": AnalysisMethod(Regions, regions, missing=_no_masks),
    "embedding": AnalysisMethod(Embedding, embedding, determined_by=_perplexity),
    "landscape": AnalysisMethod(Landscape, loss_landscape, by_condition=False, determined_by=_grid),
}


def _of_batches(run: Run, shown: Tensor, images: EvaluationImages, measure: Callable[..., Result]) -> list[Result]:
    """A measurement of every batch; a randomized network is asked in one draw of each image's."""
    device, model = images.device, images.network(run)
    return [
        measure(model, shown[rows].to(device), generators(images.seed, "analysis", rows, device=device))
        for rows in batch_indices(images.items)
    ]


def _maps(run: Run, shown: Tensor, images: EvaluationImages) -> dict[str, Tensor]:
    """The attention maps ``(N, h, w)`` of each stage."""
    parts = _of_batches(run, shown, images, attention_maps)
    return {stage: torch.cat([maps[stage].cpu() for maps in parts]) for stage in parts[0]}


def _rounded(values: Tensor) -> tuple[float, ...]:
    """Five digits, which is more than anything here is certain to."""
    return tuple(float(f"{value:.5g}") for value in values.tolist())
