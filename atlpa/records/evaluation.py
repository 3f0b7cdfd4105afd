"""One network under one attack, as a record holds it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from atlpa.component import Component, FromList
from atlpa.records.record import MeasuredRecord, Network


def _of_one_length(draws: tuple[str, ...]) -> tuple[str, ...]:
    if len({len(draw) for draw in draws}) > 1:
        raise ValueError("every draw must judge the same images")
    return draws


Threat = Literal["white", "gray", "surrogate", "black", "transfer"]
CorrectByDraw = Annotated[
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
    correct: CorrectByDraw
    linf_max: float
    linf_mean: float
    at_bound: float


class Evaluation(MeasuredRecord):
    """One network under one attack from one source.

    ``seed`` is that of random starts, noise and a randomized network's draws; ``seconds`` are those of the attack and
    the judging, and of all targets together when they shared the attack.

    Fields:
        source: the network that the attack computed its gradients on; the target itself when white-box.
        threat: ``white`` (the target itself), ``gray`` (an undefended network of the same architecture), ``surrogate``
            (the same defense and architecture, another seed), ``black`` (an undefended network of another
            architecture) or ``transfer`` (any other network).
        attack: the attack's name and settings.
        average: how many draws a randomized network's prediction is the mean of.
        clean: per image, whether the target is right without an attack.
        budgets: the outcome at each iteration budget.
        steps: forward and backward passes of PGD, counted in images; ``null`` for other attacks.
    """

    kind: Literal["evaluation"] = "evaluation"
    source: Network
    threat: Threat
    attack: dict[str, Any]
    average: int = 1
    clean: CorrectByDraw
    budgets: Annotated[tuple[Budget, ...], FromList]
    steps: int | None
