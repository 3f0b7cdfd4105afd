"""One network under one attack, as a record holds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from atlpa.errors import shown
from atlpa.field_types import FromList
from atlpa.records.attack_settings import AttackSettings
from atlpa.records.checked import Checked, Count, Length, Places, Share, as_lines
from atlpa.records.record import MeasuredRecord, Network

ROUNDING = 2e-6
"""Of distances that were computed in float32."""

L2_ROUNDING = 2e-5
"""Of lengths of changes, up to 1; of longer ones as a share."""


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


class Budget(Checked):
    """The outcome at one iteration budget.

    Fields:
        iterations: the budget.
        correct: per image, whether it stands: white-box, right clean and at every iterate so far; transfer, right at
            the last iterate.
        linf_max: the largest ‖δ‖∞ realized, over the attacked images.
        linf_mean: the mean of their ‖δ‖∞.
        at_bound: share of the pixels whose change is ε, to within 10⁻⁶, or that the [0, 1] range stops; in L2, of all
            that were moved in an image whose ‖δ‖₂ is ε, and of those that are stopped in another.
        l2_max: the largest ‖δ‖₂; ``None`` in older records, as the mean.
        l2_mean: the mean of their ‖δ‖₂.
    """

    iterations: Count
    correct: CorrectByDraw
    linf_max: Share
    linf_mean: Share
    at_bound: Share
    l2_max: Length | None = None
    l2_mean: Length | None = None

    def largest(self, norm: str) -> float | None:
        """The largest ‖δ‖ in a norm, ``Linf`` or ``L2``, if it was measured."""
        return self.l2_max if norm == "L2" else self.linf_max

    def contradictions(self) -> Iterator[str]:
        """A mean above the largest."""
        if self.l2_max is not None and self.l2_mean is not None and self.l2_mean > self.l2_max * 1.001 + ROUNDING:
            yield f"l2_mean {self.l2_mean:g} is above l2_max {self.l2_max:g}"
        if self.linf_mean > self.linf_max + ROUNDING:
            yield f"linf_mean {self.linf_mean:g} is above linf_max {self.linf_max:g}"


class Evaluation(MeasuredRecord):
    """One network under one attack from one source.

    ``seed`` is that of random starts, noise and a randomized network's draws; ``seconds`` are those of the attack and
    the judging, and of all targets together when they shared the attack.

    Fields:
        source: the network that the attack computed its gradients on; the target itself when white-box.
        joint: further networks that were attacked together with it, by the mean of all logits.
        threat: ``white`` (the target itself), ``gray`` (an undefended network of the same architecture), ``surrogate``
            (the same defense and architecture, another seed), ``black`` (an undefended network of another
            architecture) or ``transfer`` (any other network, or several jointly).
        attack: the attack's name and settings.
        eight_bit: whether the target was shown the images rounded to multiples of 1/255 within ε.
        average: how many draws a randomized network's prediction is the mean of.
        clean: per image, whether the target is right without an attack.
        budgets: the outcome at each iteration budget.
        steps: forward and backward passes, counted in images, of an attack that was followed step by step; ``null`` for
            others.
        felled_by: of an attack in several stages, the places of the images that each of them felled, by its title.
    """

    kind: Literal["evaluation"] = "evaluation"
    source: Network
    threat: Threat
    attack: AttackSettings
    joint: Annotated[tuple[Network, ...], FromList] = ()
    eight_bit: bool = False
    average: Count = 1
    clean: CorrectByDraw
    budgets: Annotated[tuple[Budget, ...], FromList, Field(min_length=1)]
    steps: Annotated[int, Field(ge=0)] | None
    felled_by: Annotated[dict[str, Places], AfterValidator(as_lines)] = Field(default_factory=dict)

    @property
    def norm(self) -> str:
        """In which the attack measures ε: ``Linf``, as every attack of older records does, or ``L2``."""
        return str(self.attack.get("norm", "Linf"))

    @property
    def sources(self) -> tuple[Network, ...]:
        """All networks that were attacked."""
        return self.source, *self.joint

    def contradictions(self) -> Iterator[str]:
        """Other draws or images than said, budgets out of order, and what its threat does not allow."""
        count, draws, epsilon = self.data.count, len(self.clean), self.attack["epsilon"]
        told = {"clean": self.clean} | {f"budget {one.iterations}": one.correct for one in self.budgets}
        for name, correct in told.items():
            if len(correct[0]) != count:
                yield f"{name}: verdicts on {len(correct[0])} images, but data.count is {count}"
            if len(correct) != draws:
                yield f"{name}: {len(correct)} draws, but clean has {draws}"
        iterations = [one.iterations for one in self.budgets]
        if iterations != sorted(set(iterations)):
            yield f"budgets {shown(iterations)} do not ascend"
        for one in self.budgets:
            name = f"{self.norm.lower()}_max"
            largest = one.largest(self.norm)
            if largest is None:
                yield f"budget {one.iterations}: the attack's norm is {self.norm}, but there is no {name}"
            elif largest > epsilon + (ROUNDING if self.norm == "Linf" else L2_ROUNDING * max(1, epsilon)):
                yield f"budget {one.iterations}: {name} {largest:g} is above the attack's epsilon {epsilon:g}"
        if self.eight_bit and self.threat == "white":
            yield "threat white, but eight_bit, which only transferred images are"
        named = sorted(place for places in self.felled_by.values() for place in places)
        pairs = enumerate(zip(self.clean[0], self.budgets[-1].correct[0], strict=False))
        fell = [place for place, pair in pairs if pair == ("1", "0")]
        if self.felled_by and named != fell:
            yield f"felled_by names {len(named)} images, but other ones fell, {len(fell)} of them"
        yield from self._joint_contradictions() if self.joint else self._threat_contradictions()
        yield from self._white_box_contradictions() if self.threat == "white" else ()

    def _joint_contradictions(self) -> Iterator[str]:
        """Networks attacked jointly that are not all different, the target among them, or another threat."""
        if self.threat != "transfer":
            yield f"threat {self.threat}, but several networks are attacked jointly, which is transfer"
        weights = {network.weights for network in (*self.sources, self.target)}
        if len(weights) < len(self.sources) + 1:
            yield f"{len(self.sources)} networks are attacked jointly, but with the target they are {len(weights)}"

    def _threat_contradictions(self) -> Iterator[str]:
        """A source that is not what the threat says."""
        source, target = self.source, self.target
        if (source.weights == target.weights) != (self.threat == "white"):
            are = "two networks" if self.threat == "white" else "one network"
            yield f"threat {self.threat}, but source and target are {are}"
        same = source.architecture == target.architecture
        if self.threat in ("gray", "surrogate", "black") and same == (self.threat == "black"):
            yield f"threat {self.threat}, but the architectures are {source.architecture} and {target.architecture}"
        if self.threat == "surrogate" and (source.defense != target.defense or source.seed == target.seed):
            yield "threat surrogate, but the source is not of the same defense with another seed"

    def _white_box_contradictions(self) -> Iterator[str]:
        """Images that stand though they are wrong clean, or after more iterations though they fell before."""
        before, when = self.clean, "clean"
        # An attack that was not followed step by step is judged at its budgets alone, where an image may rise again;
        # it costs every image all of its iterations.
        followed = self.steps is not None and self.steps < self.data.count * self.budgets[-1].iterations
        for one in self.budgets:
            for correct, earlier in zip(one.correct, before, strict=True):
                if risen := int(correct, 2) & ~int(earlier, 2):
                    image = self.data.count - risen.bit_length()
                    yield f"image {image} stands after {one.iterations} iterations, but is wrong {when}"
            if followed and len(self.clean) == 1:
                before, when = one.correct, f"after {one.iterations}"
