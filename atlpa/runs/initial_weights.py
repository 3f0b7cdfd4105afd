"""What is known of the network that a training begins with, where that is one of ours."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import NamedTuple

from atlpa.data import Index, Part
from atlpa.errors import UserError
from atlpa.experiment import Experiment, parse
from atlpa.models import weights_file
from atlpa.registry import trusting_only_what_is_known
from atlpa.training import load_checkpoint


class Before(NamedTuple):
    """The training that made some weights.

    Fields:
        file: that holds them.
        experiment: what was trained.
        data: digest of the images that it was trained on.
        step: when.
    """

    file: str
    experiment: Experiment
    data: str
    step: int

    @property
    def used(self) -> tuple[Part, ...]:
        """The parts that decided the weights: trained on, or selecting."""
        parts = self.experiment.training_parts
        return (*parts, "validation") if self.experiment.training.select_by else parts


def before(weights: str) -> Before | None:
    """What made the weights that a training begins with; ``None`` where they are no checkpoint of ours."""
    if not (file := weights_file(weights)):
        return None
    try:
        checkpoint = load_checkpoint(file)
        with trusting_only_what_is_known():
            experiment = parse(checkpoint.experiment)
    except UserError:
        return None
    return Before(str(file), experiment, checkpoint.data, checkpoint.step)


def undefended(experiment: Experiment) -> bool:
    """Whether nothing defends a network, nor has shaped the weights that it began with, as far as their files say."""
    if not experiment.undefended:
        return False
    began = before(experiment.model.weights)
    return began is None or undefended(began.experiment)


def initial_notes(experiment: Experiment) -> list[str]:
    """What a user should know of the weights that a training begins with."""
    began = before(experiment.model.weights)
    if not began:
        return []
    theirs = began.experiment
    notes = [f"begins with {began.file}, {theirs.defense.name} after step {began.step}, and a new optimizer"]
    sound = Path(began.file).with_name("sound.pt")
    if sound.is_file() and sound.name != Path(began.file).name:
        notes.append(f"that training had collapsed; {sound} is its network of before")
    if experiment.undefended and not undefended(experiment):
        notes.append(
            f"{experiment.defense.name} trains on clean images, but a defense has shaped what it begins with: it makes "
            "no undefended source"
        )
    return notes


def must_be_unseen(experiment: Experiment, index: Index) -> None:
    """Refuse weights that images which the network would be judged on have had a part in.

    Args:
        experiment: the training.
        index: of its images.

    Raises:
        UserError: the other training learned from them, or was selected by them.
    """
    began = before(experiment.model.weights)
    if not began or not (shared := _used(began, experiment, index) & _names(index, experiment.judged_part)):
        return
    parts = " and the ".join(began.used)
    raise UserError(
        f"model.weights: {began.file} has learned from the {parts} part, with {len(shared)} of the images of the "
        f"{experiment.judged_part} part that this network is to be judged on; begin with weights that have not, or, "
        "where they had the validation part, train with final"
    )


def _used(began: Before, experiment: Experiment, index: Index) -> set[str]:
    """The images that decided some weights, as far as they are those of an index, which may be parted otherwise."""
    data = experiment.data
    if began.data == index.training_digest:
        return _names(index, *began.used)
    if began.experiment.data.name != data.name:
        return set()
    here = {"root": data.root} if "root" in {field.name for field in fields(data)} else {}  # type: ignore[attr-defined]
    try:
        theirs = replace(began.experiment.data, **here).training_index()
    except UserError:
        return set()
    return _names(theirs, *began.used) if theirs.training_digest == began.data else set()


def _names(index: Index, *parts: Part) -> set[str]:
    return {item.name for part in parts for item in index.parts[part]}
