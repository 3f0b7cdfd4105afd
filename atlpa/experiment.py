"""A whole experiment as one typed value: a YAML file, named or found, with dotted overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from atlpa.attacks import ATTACKS
from atlpa.component import Component, dump, field_names, validate
from atlpa.data import DATASETS, PARTS, AnyDataset, Part
from atlpa.defenses import TERMS, AnyDefense
from atlpa.dotted import flattened, set_field
from atlpa.errors import UserError, explain, shown
from atlpa.field_types import Name, PathText, Seed
from atlpa.files import read_text
from atlpa.models import NETWORKS, ModelSpec, slug
from atlpa.registry import Registry, UntrustedCode
from atlpa.training import TRACKERS, Recipe
from atlpa.yaml_files import LARGEST, fields_of, find, read, shipped

# What may differ when a run is resumed or copied: where things lie, the name being that of a folder; where and in which
# portions it computes; what it logs.
FREE_KEYS = {
    "name",
    "device",
    "output",
    "data.root",
    "data.extra.root",
    "origin.run",
    "training.micro_batch",
    "training.trackers",
    "training.log_every",
    "training.validate_every",
    "training.checkpoint_seconds",
}


class Origin(Component):
    """The finished run that a training goes on from, with its optimizer and its average.

    Fields:
        run: its folder.
        step: how many steps it had taken.
        weights: SHA-256 of the network that it ended with.
        averaged: how many steps after the warm-up the average of its weights had taken in; 0 where it had none.
    """

    run: PathText
    step: Annotated[int, Field(ge=1)]
    weights: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    averaged: Annotated[int, Field(ge=0)] = 0


class Experiment(Component):
    """Everything that decides what a run computes, and where.

    Fields:
        name: the experiment's; runs are kept in ``runs/<name>/``.
        data: which data set, and how its images are prepared.
        model: which network.
        defense: a preset's name, a mapping with ``preset:`` and what it overrides, or a whole defense.
        training: the recipe.
        seed: of everything random. Default: the same for all, so that two people train the same network.
        final: train on the training and validation parts and judge on the test part; else train on the training part
            and judge on the validation part, or, where that selects the network, on the test part.
        origin: where the training goes on from; by default it begins with ``model.weights``.
        device: ``auto`` (CUDA where there is one), or any torch device. Default: the fastest that is there.
        output: the run's folder; by default one named after the experiment.
        code: name → package and version, of what other packages contribute, as it was when this was written down; it
            tells no experiment from another.
    """

    name: Name
    data: AnyDataset
    model: ModelSpec = ModelSpec()
    defense: AnyDefense
    training: Recipe = Recipe()
    seed: Seed = 0
    final: bool = False
    origin: Origin | None = None
    device: str = "auto"
    output: PathText | None = None
    code: dict[str, str] = field(default_factory=dict, compare=False)

    @model_validator(mode="after")
    def _training_attack_must_exist(self) -> Experiment:
        if self.defense.needs_adversarial:
            try:
                self.defense.training_attack(self.training.attack)
            except ValidationError as error:
                raise ValueError(explain(error, "defense.attack")) from error
        return self

    @model_validator(mode="after")
    def _selection_needs_a_part_of_its_own(self) -> Experiment:
        if self.final and self.training.select_by:
            raise ValueError(
                "training.select_by: with final the validation part is trained on and cannot select; leave out one of "
                "the two (a run that selects is judged on the test part without final)"
            )
        return self

    @model_validator(mode="after")
    def _batches_must_fit(self) -> Experiment:
        if self.data.extra:
            self.data.extra.of_batch(self.training.batch_size)
        if not self.data.augmentation.mix:
            return self
        mixed = f"data.augmentation.mix gives an image shares of two classes, and defense {self.defense.name}"
        for name, term in self.defense.terms.items():
            if term.one_class:
                raise ValueError(f"{mixed} has the term {name}, which needs one class for each; leave one of them out")
        attack = self.defense.training_attack(self.training.attack)
        if self.defense.needs_adversarial and not attack.takes_shares:
            raise ValueError(
                f"{mixed} is trained against {attack.name}, which as it is set needs one class for each; leave the mix "
                "out, or take an attack that climbs the cross-entropy, such as pgd with its default loss"
            )
        return self

    @property
    def undefended(self) -> bool:
        """Whether nothing defends the network; of one that was trained elsewhere nobody here can say."""
        return self.defense.undefended and self.training.iterations > 0

    @property
    def unseen_parts(self) -> tuple[Part, ...]:
        """The parts that are not trained on."""
        return tuple(part for part in PARTS if part not in self.training_parts)

    @property
    def training_parts(self) -> tuple[Part, ...]:
        """The parts that are trained on."""
        return ("train", "validation") if self.final else ("train",)

    @property
    def judged_part(self) -> Literal["test", "validation"]:
        """The part that accuracies are measured on; never one that was trained on, or that selected the network."""
        return "test" if self.final or self.training.select_by else "validation"

    @property
    def averages_from(self) -> int:
        """The step, counted from 0, at which the average of the weights begins; a run that is gone on from counts."""
        done, averaged = (self.origin.step, self.origin.averaged) if self.origin else (0, 0)
        if averaged or not self.training.averaging:
            return done - averaged
        return done + self.training.averaging.begins(self.training.iterations - done)

    @property
    def steps_averaged(self) -> int:
        """How many steps after its warm-up the average of the weights takes in; 0 where there is none."""
        return self.training.iterations - self.averages_from if self.training.averaging else 0

    @property
    def folder(self) -> Path:
        """The run's folder: by default named after the experiment, or beside that which it goes on from."""
        if self.output:
            return Path(self.output)
        if self.origin:
            there = Path(self.origin.run)
            there = there if there.name.strip(".") else there.resolve()
            return there.with_name(f"{there.name}-to{self.training.iterations}")
        own = f"{self.defense.name}-{slug(self.model.architecture)}-seed{self.seed}{'-final' if self.final else ''}"
        return Path("runs") / self.name / own

    @property
    def foreign_code(self) -> dict[str, str]:
        """Name → package and version, of what other packages contribute, as they are installed now."""
        named: list[tuple[Registry[Any], str]] = [
            (DATASETS, self.data.name),
            (NETWORKS, self.model.architecture),
            *((TERMS, name) for name in self.defense.terms),
            (ATTACKS, self.training.attack.name),
            *((ATTACKS, attack.name) for attack in [self.training.select_by] if attack),
            *((ATTACKS, name) for name in [self.defense.attack.get("name")] if name),
            *((TRACKERS, name) for name in self.training.trackers),
        ]
        return {name: origin for table, name in named if (origin := table.origin(name))}

    def for_classes(self, classes: int | None) -> Experiment:
        """The same experiment with what its defense leaves to the number of classes decided.

        Args:
            classes: of the data set; ``None`` where there are enough for every default.

        Raises:
            UserError: the defense cannot be had with so few classes.
        """
        return replace(self, defense=self.defense.for_classes(classes))

    def resolved(self) -> dict[str, Any]:
        """Every field with its value, as plain YAML types; ``parse`` reads it back.

        Raises:
            UserError: it would read back as something else, as a component does that no name leads to.
        """
        values, code = self._settings(), self.foreign_code
        try:
            lost = _unlike(self, parse(values))
        except UserError as error:
            lost = str(error)
        if lost:
            raise UserError(
                f"experiment.yaml could not hold this experiment: {lost}; name it by its import path, or train with "
                "atlpa.training.training_step, which takes any defense and attack"
            )
        return {**values, "code": code} if code else values

    def identity(self) -> dict[str, Any]:
        """Dotted field → value, for the fields that must agree for two runs to be the same experiment."""
        free = FREE_KEYS - ({"training.validate_every"} if self.training.select_by else set())
        return {key: value for key, value in flattened(self._settings()).items() if key not in free}

    def _settings(self) -> dict[str, Any]:
        return {key: value for key, value in dump(self).items() if key != "code"}


def _unlike(given: Any, read: Any, place: str = "experiment") -> str:
    """The first place where what was read back is not what was given; empty if it is the same."""
    if given == read:
        return ""
    if isinstance(given, Mapping) and isinstance(read, Mapping) and given.keys() == read.keys():
        return next(filter(None, (_unlike(given[name], read[name], f"{place}.{name}") for name in given)), place)
    if not isinstance(given, Component):
        return f"{place} is {shown(given)}, read back {shown(read)}"
    if type(given) is not type(read):
        return f"{place} is a {type(given).__name__}, read back a {type(read).__name__}"
    inside = field_names(given)
    found = (_unlike(getattr(given, name), getattr(read, name), f"{place}.{name}") for name in inside)
    return next(filter(None, found), place)


def parse(fields: Mapping[str, Any]) -> Experiment:
    """Validate an experiment's fields.

    Raises:
        UntrustedCode: it names code that may not be imported (see ``trusting_only_what_is_known``).
        UserError: one line with each offending field, what was given and what is allowed.
    """
    try:
        return validate(Experiment, fields)
    except ValidationError as error:
        causes = [detail.get("ctx", {}).get("error") for detail in error.errors(include_url=False)]
        kind = UntrustedCode if any(isinstance(cause, UntrustedCode) for cause in causes) else UserError
        raise kind(explain(error)) from error


def load(config: str, overrides: Sequence[tuple[str, Any]] = ()) -> Experiment:
    """Read an experiment from a file or a shipped config.

    Args:
        config: a path, or a shipped config's name with or without ``.yaml``.
        overrides: (dotted field, value), applied in order before validation.
    """
    path = find(config, shipped_configs(), "config")
    values = read(path, "experiment", field_names(Experiment))
    for dotted, value in overrides:
        set_field(values, dotted, value)
    try:
        return parse(values)
    except UserError as error:
        renamed = [dotted.removesuffix(".name") for dotted, _ in overrides if dotted.endswith("attack.name")]
        if not renamed or "unknown key" not in str(error):
            raise
        whole = f"its other fields were kept; {renamed[0]}={{name: …, epsilon: …}} replaces them all"
        raise type(error)(f"{error}; {whole}") from error


def load_again(path: Path) -> Experiment:
    """Read an experiment from a run's file; a study looks at each hundreds of times, and parses the same text once."""
    return _described(read_text(path, LARGEST), path)


@lru_cache(maxsize=4096)
def _described(text: str, path: Path) -> Experiment:
    return parse(fields_of(text, path, "experiment", field_names(Experiment)))


def shipped_configs() -> dict[str, Path]:
    """The configs that come with the package."""
    return shipped()
