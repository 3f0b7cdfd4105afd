"""Records: what was measured, on what, with what, as versioned JSON. Tables and figures are drawn from them alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError

from atlpa.component import Component, FromList
from atlpa.errors import UserError, explain
from atlpa.files import write_text

VERSION: Literal[2] = 2


def _of_one_length(verdicts: tuple[str, ...]) -> tuple[str, ...]:
    if len({len(draw) for draw in verdicts}) > 1:
        raise ValueError("every draw must judge the same images")
    return verdicts


Threat = Literal["white", "gray", "surrogate", "black"]
Verdicts = Annotated[
    tuple[Annotated[str, Field(pattern="^[01]*$")], ...], FromList, Field(min_length=1), AfterValidator(_of_one_length)
]
"""A string for each draw of a randomized network, one string for any other; in it one character an image, in the order
of the data: 1 where the model is right."""


class Record(Component):
    """What all records share: a version, a kind, and a file."""

    version: Literal[2] = VERSION
    kind: str

    def save(self, path: Path) -> None:
        """Write as JSON, in one move, so that a reader never sees half a record."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record back.

        Raises:
            UserError: the file is missing, damaged, of a newer version, or of another kind.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is no readable record ({error})") from error
        if isinstance(fields, dict) and isinstance(fields.get("version"), int) and fields["version"] > VERSION:
            raise UserError(
                f"{path} has record version {fields['version']}, this atlpa reads up to {VERSION}; update it"
            )
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise UserError(f"{path}: {explain(error)}") from error


class Network(Component):
    """Which trained network.

    Fields:
        run: its folder.
        defense: the defense's name.
        architecture: the backbone.
        seed: of its training.
        weights: SHA-256 of its state, and of what it draws at inference.
    """

    run: str
    defense: str
    architecture: str
    seed: int
    weights: str


class Judged(Component):
    """Which images.

    Fields:
        dataset: the data set's name.
        part: ``validation`` or ``test``.
        count: n, the number of images judged.
        available: the number of images of the part.
        classes: the number of classes.
        size: side of the images in pixels.
        digest: of the data set's classes, image names, labels and parts.
    """

    dataset: str
    part: str
    count: int
    available: int
    classes: int
    size: int
    digest: str


class Machine(Component):
    """Where it ran.

    Fields:
        device: CPU or GPU model.
        threads: of torch on the CPU.
        torch: its version.
        python: its version.
    """

    device: str
    threads: int
    torch: str
    python: str


class Budget(Component):
    """The outcome at one iteration budget.

    Fields:
        iterations: the budget.
        correct: per image, whether it stands: white-box, right clean and at every iterate so far; transfer, right at
            the last iterate.
        linf_max: the largest ‖δ‖∞ realized, over the attacked images.
        linf_mean: the mean of their ‖δ‖∞.
        at_bound: share of the pixels whose change is ε, to within 10⁻⁶, or that the [0, 1] range stops.
    """

    iterations: int
    correct: Verdicts
    linf_max: float
    linf_mean: float
    at_bound: float


class Evaluation(Record):
    """One network under one attack from one source.

    Fields:
        target: the network judged.
        source: the network that the attack computed its gradients on; the target itself when white-box.
        threat: white-box, gray-box (undefended, same architecture), surrogate (same defense and architecture, another
            seed) or black-box (another architecture).
        data: the images judged.
        attack: the attack's name and settings.
        seed: of random starts, noise and a randomized network's draws.
        average: how many draws a randomized network's prediction is the mean of.
        clean: per image, whether the target is right without an attack.
        budgets: the outcome at each iteration budget.
        seconds: wall time of the attack and the judging; of all targets together when they shared the attack.
        steps: forward and backward passes of PGD, counted in images; ``null`` for other attacks.
        machine: where it ran.
        atlpa: this package's version.
    """

    kind: Literal["evaluation"] = "evaluation"
    target: Network
    source: Network
    threat: Threat
    data: Judged
    attack: dict[str, Any]
    seed: int
    average: int = 1
    clean: Verdicts
    budgets: Annotated[tuple[Budget, ...], FromList]
    seconds: float
    steps: int | None
    machine: Machine
    atlpa: str


class Training(Record):
    """One finished training.

    Fields:
        network: what came out.
        data: digest of the data set's index.
        iterations: steps taken.
        seconds: wall time of the steps, over all sittings.
        experiment: the resolved experiment.
        finished: when, ISO 8601 in UTC.
        machine: where the last sitting ran.
        atlpa: this package's version.
    """

    kind: Literal["training"] = "training"
    network: Network
    data: str
    iterations: int
    seconds: float
    experiment: dict[str, Any]
    finished: str
    machine: Machine
    atlpa: str
