"""A study as a typed value: which defenses are trained, and how all of them are attacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from atlpa.attacks import ATTACK_FIELDS, PGD, Attack, Ensemble, attack_class, read_attack
from atlpa.component import field_names, validate
from atlpa.defenses import DefenseFields
from atlpa.editors import Told
from atlpa.errors import UserError, explain
from atlpa.experiment import Experiment, load, shipped_configs
from atlpa.field_types import FromList, Name, PixelDistance
from atlpa.models import NetworkName
from atlpa.records import BoundMethod
from atlpa.runs import IMAGES, Protocol
from atlpa.studies.rows import Seeds, check_changes, check_distinct, read_row
from atlpa.studies.transfers import Transfers
from atlpa.yaml_files import find, read, shipped

UNDEFENDED = "none"
_ATTACK = replace(ATTACK_FIELDS, without=("epsilon",))
_ROW = DefenseFields(
    config={"type": "string"},
    changes={"type": "object"},
    seeds={"type": "array", "items": {"type": "integer", "minimum": 0}},
)
WITHIN_REACH = 16 / 255
"""The largest ε at which networks that are worth judging by more than PGD are known."""


class Study(Transfers):
    """Every defense × seed under every attack, against sources that are the same for all.

    Fields:
        name: of the study; its runs lie in ``runs/<name>/``.
        config: the experiment that all networks share: a file, or a shipped config's name.
        changes: dotted fields of that experiment, changed for all networks.
        final: whether validation images are trained on and test images judged. Default: that of the paper's tables.
        defenses: the rows: presets' names, or mappings with a ``preset`` and what they override; in one, ``config`` and
            ``seeds`` stand in place of the study's, and ``changes`` are dotted fields of the experiment, ``final``
            among them, that are changed for this row, after those of the study. Where the others are selected on the
            validation part, ``none`` is trained on it and keeps its last.
        seeds: of the trainings; the first one's undefended network is the gray-box source. Default: one, for a first
            look; a seed moves a number by points.
        black_box: the architecture of the undefended black-box source.
        surrogates: defenses that are also attacked from a network of their own with another seed.
        attack: any attack by its ``name`` (``pgd`` where it is left out) and fields, but ε and budget; the same for
            white-box and transfer.
        judge: a further white-box attack by its ``name`` and fields, wherever ε is at most 16/255, where robustness is
            within reach: by default the ensemble, since PGD alone flatters; ``null`` for none.
        epsilons: of the attacks. Default: the paper's two.
        budgets: iteration budgets; the tables show the last. By default the attack's own.
        limit: how many images are judged, evenly spaced; ``null`` for all.
        checks: every ε at which each network's credibility is checked.
        check_limit: on how many images at most, evenly spaced. Default: an interval of ±6 points.
        bounds: ``ibp`` and ``crown``: how the networks are certified, at each of ``epsilons`` on ``limit`` images.
        analyses: of the networks of the first seed: ``attention``, ``regions``, ``embedding``, ``landscape``.
        analysis_limit: on how many images at most, evenly spaced; ``null`` for all.
    """

    name: Name
    config: Annotated[str, Told(examples=[*shipped_configs()])]
    changes: dict[str, Any] = Field(default_factory=dict)
    final: bool = True
    defenses: Annotated[
        tuple[Annotated[str | dict[str, Any], _ROW], ...],
        FromList,
        Field(min_length=1),
    ]
    seeds: Seeds = (0,)
    black_box: NetworkName | None = None
    surrogates: Annotated[tuple[str, ...], FromList] = ()
    attack: Annotated[dict[str, Any], _ATTACK] = Field(default_factory=dict)
    judge: Annotated[dict[str, Any], _ATTACK] | None = Field(default_factory=lambda: {"name": Ensemble.name})
    epsilons: Annotated[tuple[PixelDistance, ...], FromList, Field(min_length=1)] = (0.25, 0.5)
    budgets: Annotated[tuple[Annotated[int, Field(ge=1, le=10**6)], ...], FromList, Field(min_length=1)] | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    checks: Annotated[tuple[PixelDistance, ...], FromList] = ()
    check_limit: Annotated[int, Field(ge=1)] = IMAGES
    bounds: Annotated[tuple[BoundMethod, ...], FromList] = ()
    analyses: Annotated[tuple[Literal["attention", "regions", "embedding", "landscape"], ...], FromList] = ()
    analysis_limit: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _must_make_sense(self) -> Study:
        kind = attack_class(str(self.attack.get("name", PGD.name)))
        if self.budgets and not kind.budget:
            raise ValueError(f"budgets: the attack {kind.name} has none; leave them out")
        if self.analyses and not kind.transferable:
            raise ValueError(f"analyses: images of the attack {kind.name} say nothing about other networks")
        for name in ("epsilon", kind.budget):
            if name in self.attack:
                raise ValueError(f"attack.{name}: the study's own epsilons and budgets say it")
        if (self.black_box or self.surrogates) and not (kind.transferable or self.transfers or self.checks):
            raise ValueError(f"black_box, surrogates: images of {kind.name} say nothing about other networks")
        for name in self.surrogates:
            if name not in self.defenses or name == UNDEFENDED:
                raise ValueError(f"surrogates: {name!r} is no defended row of this study that is a preset's name alone")
        check_changes([*self.changes])
        for row in self.defenses:
            read_row(row)
        if self.bounds and not all(self.epsilons):
            raise ValueError("bounds: they need every one of epsilons above 0")
        for values in (self.defenses, self.seeds, self.epsilons, self.checks, self.bounds, self.analyses):
            check_distinct(values)
        asked = (("attack", self.protocols), ("judge", self.judges), ("transfers", self.transfer_protocols))
        for field, made in asked:
            try:
                made()
            except ValidationError as error:
                raise ValueError(explain(error, field)) from error
        self.check_transfers(self.protocols()[0].attack, self.black_box)
        return self

    def protocols(self) -> list[Protocol]:
        """One for each ε.

        Raises:
            pydantic.ValidationError: the attack has no such fields.
        """
        budgets, found = tuple(sorted(set(self.budgets or ()))), []
        for epsilon in self.epsilons:
            attack: Attack = read_attack({**self.attack, "epsilon": epsilon})
            if budgets:
                attack = read_attack({**attack.settings(), attack.budget: budgets[-1]})
            found.append(Protocol(attack, budgets or (attack.last_iterate,), self.limit, eight_bit=self.eight_bit))
        return found

    def transfer_protocols(self) -> list[Protocol]:
        """Of transfer alone, beside those of ``protocols``; errors are theirs."""
        return self.transferred(self.epsilons, self.limit)

    def judges(self) -> list[Protocol]:
        """Of white-box attacks alone, beside those of ``protocols``.

        Raises:
            pydantic.ValidationError: the judge has no such fields.
            ValueError: its ε is set.
        """
        if self.judge is None:
            return []
        if "epsilon" in self.judge:
            raise ValueError("judge.epsilon: the study's own epsilons say it")
        read_attack({**self.judge, "epsilon": WITHIN_REACH})  # what is wrong with it is wrong at any ε
        within = [epsilon for epsilon in self.epsilons if epsilon <= WITHIN_REACH]
        attacks: list[Attack] = [read_attack({**self.judge, "epsilon": epsilon}) for epsilon in within]
        own = [one.attack for one in self.protocols()]
        others = [one for one in attacks if one not in own]
        if others and others[0].name == own[0].name:
            if self.judge == {"name": Ensemble.name}:  # which is the default: the study's own ensemble is one
                return []
            told = f"tables could not tell two attacks named {own[0].name} apart"
            raise ValueError(f"judge: {told}; take another, or null for none")
        return [Protocol(one, (one.last_iterate,), self.limit) for one in others]

    def seeds_of(self, defense: str | Mapping[str, Any]) -> tuple[int, ...]:
        """Those of a row."""
        return read_row(defense)[1].seeds or self.seeds

    def experiment(
        self,
        defense: str | Mapping[str, Any],
        seed: int,
        where: Sequence[tuple[str, Any]],
        architecture: str | None = None,
    ) -> Experiment:
        """One network of the study.

        Args:
            defense: a row: a preset's name, or a mapping.
            seed: of its training.
            where: dotted fields that say where data lies and where to compute.
            architecture: in place of the config's.
        """
        row, beside = read_row(defense)
        config, own = beside.config or self.config, beside.changes
        changes = [("defense", row), ("name", self.name), *self.changes.items(), ("final", self.final), ("seed", seed)]
        if architecture is not None:
            own = {**own, "model.architecture": architecture}
        made = load(config, [*changes, *own.items(), *where])
        if row in (UNDEFENDED, {"preset": UNDEFENDED}) and made.training.select_by:
            # No attack leaves any of it standing, so that its first look would be selected.
            last = [("training.select_by", None), ("final", True)]
            return load(config, [*changes, *last, *own.items(), *where])
        return made


def shipped_studies() -> dict[str, Path]:
    """The studies that come with the package."""
    return shipped("studies")


def load_study(study: str) -> Study:
    """Read a study from a file, or by the name of a shipped one.

    Raises:
        UserError: it is not there, no YAML, or wrong; each offending field is named.
    """
    path = find(study, shipped_studies(), "study")
    values = read(path, "study", field_names(Study))
    try:
        return validate(Study, values)
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error)}") from error
