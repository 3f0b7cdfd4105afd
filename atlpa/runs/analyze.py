"""The paper's analyses of trained networks: runs in, records out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlpa import __version__
from atlpa.component import dump
from atlpa.machine import describe
from atlpa.records import Analysis, ImageCondition, digest
from atlpa.runs.analysis_methods import ANALYSES, AnalysisKind, AnalysisSettings
from atlpa.runs.evaluation_images import EvaluationImages
from atlpa.runs.folder import Run
from atlpa.runs.on_record import check_place, on_record


@dataclass(frozen=True, eq=False)
class AnalysisTask:
    """One analysis of one network: what it is, where its record lies, and how it is made.

    Fields:
        kind: which analysis.
        run: the network.
        images: shared with the other tasks.
        settings: of the analyses.
        seen: which of the images the network is shown; ``None`` where the analysis goes around clean ones.
        source: the network that those are made on; ``None`` for clean ones.
    """

    kind: AnalysisKind
    run: Run
    images: EvaluationImages
    settings: AnalysisSettings
    seen: ImageCondition | None = None
    source: Run | None = None

    @property
    def path(self) -> Path:
        """Where the record lies, or will."""
        everything = {
            "target": self.run.network.weights,
            "data": dump(self.images.data),
            "seen": self.seen and _without_folder(dump(self.seen)),
            "seed": self.images.seed,
            "perplexity": None,
            "grid": None,
            **ANALYSES[self.kind].determined_by(self.images, self.settings),
            "atlpa": __version__,
        }
        which = f"-{self.seen.threat}-eps{self.seen.epsilon:.4g}" if self.seen else ""
        return self.run.records / f"{self.kind}{which}-{digest(everything, 8)}.json"

    @property
    def recorded(self) -> Analysis | None:
        """What is on record, if anything.

        Raises:
            UserError: what lies there is no such record.
        """
        return on_record(ANALYSES[self.kind].record, self.path, self.run.network)

    def make(self) -> Analysis:
        """Make the analysis, and write its record.

        Raises:
            UserError: images that do not admit it, or a record that cannot be written.
        """
        check_place(self.path)
        shown = self.images.shown(self.seen, self.source) if self.seen else self.images.clean[0]
        began = time.monotonic()
        method = ANALYSES[self.kind]
        found = method.measure(self.run, shown, self.images, self.settings)
        about: dict[str, Any] = {"seen": self.seen} if self.seen else {}
        record = method.record(
            **about,
            **found,
            target=self.run.network,
            data=self.images.data,
            seed=self.images.seed,
            seconds=time.monotonic() - began,
            machine=describe(self.images.device),
            atlpa=__version__,
        )
        record.save(self.path)
        return record

    def recorded_or_made(self) -> Analysis:
        """What is on record, else the analysis, made now."""
        return self.recorded or self.make()


def analysis_tasks(
    images: EvaluationImages, kinds: Sequence[AnalysisKind], settings: AnalysisSettings | None = None
) -> tuple[list[AnalysisTask], list[str]]:
    """Every analysis of every network of some images.

    Args:
        images: the networks, and what they are shown.
        kinds: which analyses.
        settings: theirs; by default the usual ones.

    Returns:
        The analyses, and what a user should be told about those that the images do not admit.

    Raises:
        UserError: a perplexity that so many images do not admit.
    """
    settings = settings or AnalysisSettings()
    settings.check(len(images.items))
    notes = {kind: note for kind in kinds if (note := ANALYSES[kind].missing(images))}
    tasks = []
    for run in images.runs:
        for kind in kinds:
            if kind in notes:
                continue
            if ANALYSES[kind].by_condition:
                tasks += [AnalysisTask(kind, run, images, settings, *shown) for shown in images.of(run)]
            else:
                tasks.append(AnalysisTask(kind, run, images, settings))
    return tasks, list(notes.values())


def _without_folder(seen: dict[str, Any]) -> dict[str, Any]:
    """What was shown, without where its source lies and which of its run's networks it is: the weights tell."""
    source = seen["source"]
    told = source and {key: value for key, value in source.items() if key not in ("run", "checkpoint")}
    return {**seen, "source": told}
