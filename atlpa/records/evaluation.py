"""One network under one attack, as a record holds it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from atlpa.component import Component, FromList
from atlpa.records.record import EvaluatedImages, Machine, Network, Record


def _of_one_length(verdicts: tuple[str, ...]) -> tuple[str, ...]:
    if len({len(draw) for draw in verdicts}) > 1:
        raise ValueError("every draw must judge the same images")
    return verdicts


Threat = Literal["white", "gray", "surrogate", "black", "transfer"]
Verdicts = Annotated[
    tuple[Annotated[str, Field(pattern="^[01]*$")], ...], FromList, Field(min_length=1), AfterValidator(_of_one_length)
]
"""A string for each draw of a randomized network, one string for any other; in it one character per image, in the order
of the data: 1 where the model is right."""


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
        threat: ``white`` (the target itself), ``gray`` (an undefended network of the same architecture), ``surrogate``
            (the same defense and architecture, another seed), ``black`` (an undefended network of another
            architecture) or ``transfer`` (any other network).
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
    data: EvaluatedImages
    attack: dict[str, Any]
    seed: int
    average: int = 1
    clean: Verdicts
    budgets: Annotated[tuple[Budget, ...], FromList]
    seconds: float
    steps: int | None
    machine: Machine
    atlpa: str
