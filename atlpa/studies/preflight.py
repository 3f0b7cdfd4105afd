"""What can be known to fail is found before hours are spent on what comes before it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from atlpa.data import Index, evenly_spaced
from atlpa.errors import UserError
from atlpa.experiment import Experiment
from atlpa.files import unwritable
from atlpa.runs.threats import judged_data
from atlpa.runs.training_attacks import check_training_attacks
from atlpa.studies.analysis_step import AnalysisStep
from atlpa.studies.attack_step import AttackStep
from atlpa.studies.step import MeasuringStep, Step
from atlpa.studies.training_step import TrainingStep


def preflight(steps: Sequence[Step], keep: Path | None, report: Path | None) -> None:
    """Refuse what a step to come would be refused for.

    Args:
        steps: what will be carried out.
        keep: a folder for transferred images.
        report: where the report goes; ``None`` where none is written.

    Raises:
        UserError: in the place of a network lies something else; an attack cannot be made here or on this data; an
            analysis has nothing to look at; a data set or extra images are missing; a training could not make its own
            attacks; images or the report could not be written.
    """
    if report:
        _must_be_writable(report)
    for training in (step for step in steps if isinstance(step, TrainingStep)):
        training.must_be_free()
    pending = [step for step in steps if step.state() != "done"]
    attacks = [step for step in pending if isinstance(step, AttackStep)]
    if keep and (problem := unwritable(keep)):
        raise UserError(f"--keep-images {keep}: {problem}")
    for attack in attacks:
        if reason := attack.protocol.attack.missing():
            raise UserError(f"the attack {attack.protocol.attack.name} cannot be made here: {reason}")
    networks = [network for step in pending for network in _networks(step)]
    if not networks:
        return
    indices = Indices()
    for network in networks:
        network.for_classes(len(indices.of(network).classes)).resolved()
    for training in (step for step in pending if isinstance(step, TrainingStep)):
        indices.look_for_extra(training.experiment)
        check_training_attacks(training.experiment, len(indices.of(training.experiment).classes))
    for attack in attacks:
        _must_admit(attack, len(indices.of(attack.source).classes))
        _must_be_the_same(attack, indices)
    for analysis in (step for step in pending if isinstance(step, AnalysisStep)):
        _must_have_regions(analysis, indices.of(analysis.targets[0]))
    if keep:
        _must_have_room(keep, attacks, indices)


class Indices:
    """The data sets of a study's networks, each looked for once."""

    def __init__(self) -> None:
        self._found: dict[str, Index] = {}
        self._extra: set[tuple[str, str]] = set()

    def of(self, network: Experiment) -> Index:
        """The data set of a network, without extra images.

        Raises:
            UserError: something is missing or out of place.
        """
        place = self._place(network)
        if place not in self._found:
            self._found[place] = network.data.index()
        return self._found[place]

    def look_for_extra(self, network: Experiment) -> None:
        """Refuse extra images, which only a training needs, that are missing or out of place."""
        if (extra := network.data.extra) and (seen := (self._place(network), extra.root)) not in self._extra:
            extra.items(self.of(network).classes)
            self._extra.add(seen)

    @staticmethod
    def _place(network: Experiment) -> str:
        return repr((judged_data(network), getattr(network.data, "root", None)))


def _must_be_the_same(step: AttackStep, indices: Indices) -> None:
    """Refuse images that are not the target's, where the data is found in several places."""
    here = indices.of(step.source)
    for other in (*step.joint, *step.targets):
        if (there := indices.of(other)) is not here and there.digest != here.digest:
            raise UserError(
                f"images of {step.source.folder} cannot be shown to {other.folder}: its data set holds other images"
            )


def _must_be_writable(report: Path) -> None:
    if problem := unwritable(report):
        raise UserError(f"the report cannot be written: {problem}")
    if (page := report / "index.html").is_dir():
        raise UserError(f"the report cannot be written: {page} is a folder; move it")


def _must_admit(step: AttackStep, classes: int) -> None:
    randomized = any(source.defense.randomized for source in step.sources)
    try:
        attack = step.protocol.attack.suited_to(white_box=step.white_box, randomized=randomized)
    except ValueError as error:
        raise UserError(f"{step.source.folder}: {error}") from error
    if problem := attack.unfit(classes=classes, side=step.source.data.size):
        raise UserError(f"{step.source.data.name} has {problem}")


def _must_have_regions(step: AnalysisStep, index: Index) -> None:
    data, part = step.targets[0].data, step.targets[0].judged_part
    items = evenly_spaced(index.items(part), step.study.analysis_limit)
    if "regions" in step.study.analyses and not any(item.mask for item in items):
        raise UserError(
            f"analyses: regions needs key regions, and none of the {len(items)} {part} images of {data.name} has one; "
            "leave it out"
        )


def _must_have_room(keep: Path, attacks: list[AttackStep], indices: Indices) -> None:
    needed = 0
    for step in attacks:
        for part in {target.judged_part for target in step.targets if not step.white_box}:
            judged = evenly_spaced(indices.of(step.source).items(part), step.protocol.limit)
            needed += len(step.protocol.budgets) * len(judged) * 3 * step.source.data.size**2 * 4
    near = next(path for path in (keep, *keep.absolute().parents) if path.exists())
    if (free := shutil.disk_usage(near).free) < needed:
        raise UserError(
            f"--keep-images {keep}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; make room, or "
            "name another folder"
        )


def _networks(step: Step) -> Sequence[Experiment]:
    """The networks that a step trains or needs."""
    if isinstance(step, TrainingStep):
        return [step.experiment]
    return step.needs() if isinstance(step, MeasuringStep) else []
