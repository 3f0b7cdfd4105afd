"""The paper's analyses of trained networks: runs in, records out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from atlpa import __version__
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
from atlpa.component import dump
from atlpa.errors import UserError
from atlpa.evaluation.correctness import batch_indices, generators
from atlpa.machine import describe
from atlpa.progress import Progress
from atlpa.records import Analysis, Attention, Embedding, ImageCondition, Landscape, Regions
from atlpa.runs.evaluation_images import EvaluationImages
from atlpa.runs.folder import Run

What = Literal["attention", "regions", "embedding", "landscape"]
ANALYSES: dict[What, type[Analysis]] = {
    "attention": Attention,
    "regions": Regions,
    "embedding": Embedding,
    "landscape": Landscape,
}
TSNE_SEEDS = 3

Measured = TypeVar("Measured")


@dataclass
class Analyses:
    """Analyses of the networks of some sights.

    Fields:
        sights: the networks and what they are shown.
        perplexity: of t-SNE; by default 30, or less where there are few images.
        landscapes: how many images the loss is drawn around.
        grid: points along each side of a landscape.

    Raises:
        UserError: a perplexity that the images do not admit.
    """

    shown_images: EvaluationImages
    perplexity: float | None = None
    landscapes: int = 4
    grid: int = 51

    def __post_init__(self) -> None:
        count = len(self.shown_images.items)
        if self.perplexity is not None and not 0 < self.perplexity < count:
            raise UserError(f"perplexity {self.perplexity:g} with {count} images; it must be above 0 and below that")

    def steps(self, what: Sequence[What]) -> Iterator[tuple[Path, What, Callable[[], Analysis]]]:
        """Each analysis: where it lies, its kind, and how it is made. What the images do not admit is left out."""
        for run in self.shown_images.runs:
            for kind in what:
                if kind == "landscape":
                    yield self.path(run, kind, None), kind, partial(self._landscape, run)
                elif kind != "regions" or self.shown_images.masked.any():
                    make = {"attention": self._attention, "regions": self._regions}.get(kind, self._embedding)
                    for seen, source in self.shown_images.of(run):
                        yield self.path(run, kind, seen), kind, partial(make, run, seen, source)

    def execute(self, what: Sequence[What], again: bool = False) -> Iterator[Analysis]:
        """Make what is not on record yet, yielding each record as it is on disk."""
        for path, kind, make in self.steps(what):
            if path.is_file() and not again:
                yield ANALYSES[kind].load(path)
                continue
            record = make()
            record.save(path)
            yield record

    def notes(self, what: Sequence[What]) -> list[str]:
        """What will be left out, and why."""
        if "regions" in what and not self.shown_images.masked.any():
            return ["none of these images has a key region, so that Table 2 is left out"]
        return []

    def path(self, run: Run, kind: What, seen: ImageCondition | None) -> Path:
        """Where an analysis lies, or will."""
        everything = {
            "target": run.network.weights,
            "data": dump(self.shown_images.data),
            "seen": seen and _without_folder(dump(seen)),
            "seed": self.shown_images.seed,
            "perplexity": self.perplexity if kind == "embedding" else None,
            "grid": [self.grid, self.landscapes, max(self.shown_images.epsilons)] if kind == "landscape" else None,
            "atlpa": __version__,
        }
        digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:8]
        which = f"-{seen.threat}-eps{seen.epsilon:.4g}" if seen else ""
        return run.records / f"{kind}{which}-{digest}.json"

    def _common(self, run: Run, began: float) -> dict[str, Any]:
        return {
            "target": run.network,
            "data": self.shown_images.data,
            "seed": self.shown_images.seed,
            "seconds": time.monotonic() - began,
            "machine": describe(self.shown_images.device),
            "atlpa": __version__,
        }

    def _each(self, run: Run, images: Tensor, measure: Callable[..., Measured]) -> list[Measured]:
        """A measurement of every batch; a randomized network is asked in one draw of each image's."""
        model = run.load_model(self.shown_images.device)
        return [
            measure(
                model,
                images[rows].to(self.shown_images.device),
                generators(self.shown_images.seed, "analysis", rows, device=self.shown_images.device),
            )
            for rows in batch_indices(self.shown_images.items)
        ]

    def _maps(self, run: Run, images: Tensor) -> dict[str, Tensor]:
        """The attention maps ``(N, h, w)`` of each stage."""
        parts = self._each(run, images, attention_maps)
        return {stage: torch.cat([maps[stage].cpu() for maps in parts]) for stage in parts[0]}

    def _attention(self, run: Run, seen: ImageCondition, source: Run | None) -> Attention:
        images = self.shown_images.shown(seen, source)
        began = time.monotonic()
        clean, shown = self._maps(run, self.shown_images.clean[0]), self._maps(run, images)
        return Attention(
            seen=seen,
            stages=tuple(shown),
            variation=_rounded(torch.tensor([map_variation(maps) for maps in shown.values()])),
            distance=_rounded(torch.tensor([map_distance(clean[stage], maps) for stage, maps in shown.items()])),
            **self._common(run, began),
        )

    def _regions(self, run: Run, seen: ImageCondition, source: Run | None) -> Regions:
        images = self.shown_images.shown(seen, source)
        began = time.monotonic()
        by_stage = self._maps(run, images)
        stage = comparison_stage(by_stage)
        maps = by_stage[stage]
        inside, outside = activation_in_regions(
            overlay_maps(maps, (images.shape[2], images.shape[3])), self.shown_images.masks
        )
        return Regions(
            seen=seen,
            stage=stage,
            inside=_rounded(inside[self.shown_images.masked]),
            outside=_rounded(outside[self.shown_images.masked]),
            **self._common(run, began),
        )

    def _embedding(self, run: Run, seen: ImageCondition, source: Run | None) -> Embedding:
        images = self.shown_images.shown(seen, source)
        began = time.monotonic()
        features, labels = (
            torch.cat([part.cpu() for part in self._each(run, images, pooled_features)]).numpy(),
            self.shown_images.clean[1].numpy(),
        )
        perplexity = self.perplexity or default_perplexity(len(features))
        try:
            embeddings = [embed(features, self.shown_images.seed + number, perplexity) for number in range(TSNE_SEEDS)]
            scores, raw = [silhouette(points, labels) for points in embeddings], silhouette(features, labels)
        except ValueError as error:
            raise UserError(f"{run.folder}: {error}") from error
        return Embedding(
            seen=seen,
            classes=self.shown_images.index.classes,
            labels=tuple(labels.tolist()),
            perplexity=perplexity,
            silhouettes=_rounded(torch.tensor(scores)),
            raw_silhouette=raw,
            points=tuple(_rounded(torch.from_numpy(point)) for point in embeddings[0]),
            **self._common(run, began),
        )

    def _landscape(self, run: Run) -> Landscape:
        images, labels = self.shown_images.clean
        began = time.monotonic()
        model = run.load_model(self.shown_images.device)
        steps = torch.linspace(-max(self.shown_images.epsilons), max(self.shown_images.epsilons), self.grid)
        chosen = [number * len(images) // self.landscapes for number in range(min(self.landscapes, len(images)))]
        surfaces = []
        for number in Progress(f"landscapes {run.folder.name}", len(chosen), "image").over(chosen):
            image, label = images[number].to(self.shown_images.device), labels[number].to(self.shown_images.device)
            surface = landscape(
                model, image, label, steps.to(self.shown_images.device), self.shown_images.seed, number
            ).cpu()
            surfaces.append(tuple(_rounded(row) for row in surface))
        return Landscape(
            images=tuple(self.shown_images.items[number].name for number in chosen),
            steps=_rounded(steps),
            losses=tuple(surfaces),
            **self._common(run, began),
        )


def _rounded(values: Tensor) -> tuple[float, ...]:
    """Five digits, which is more than anything here is certain to."""
    return tuple(float(f"{value:.5g}") for value in values.tolist())


def _without_folder(seen: dict[str, Any]) -> dict[str, Any]:
    """What was shown, without where its source lies."""
    source = seen["source"]
    return {**seen, "source": source and {key: value for key, value in source.items() if key != "run"}}
