"""What the credibility checks find, as records hold it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from atlpa.field_types import FromList
from atlpa.records.checked import Checked, Line, Places, Share, as_lines
from atlpa.records.evaluation import CorrectByDraw
from atlpa.records.record import MeasuredRecord

Status = Literal["pass", "warn", "fail", "skip"]


class Finding(Checked):
    """What one check says about an evaluation.

    Fields:
        check: its name; ``docs/credibility.md`` explains each.
        status: ``fail``: measured evidence that the robust accuracy is overstated or the evaluation invalid; ``warn``:
            not conclusive; ``pass``; ``skip``: not run.
        measured: what was found, or why it was not run.
        expected: what an honest evaluation shows.
        source: who asks for this check.
        advice: what to do if it does not pass.
    """

    check: Line
    status: Status
    measured: Line
    expected: Line
    source: Line
    advice: Line


def _by_draw(correct: Any) -> Any:
    """Records from before there were several draws hold one string."""
    return (correct,) if isinstance(correct, str) else correct


class Credibility(MeasuredRecord):
    """All checks of one network at one ε.

    Fields:
        epsilon: ε of the attacks, in units of the [0, 1] pixel range.
        findings: one for each check, in order.
        correct: which images stand under every attack that was made, a 1 or 0 for each: the number that is judged; a
            string for each draw of a network that draws; ``null`` where no attack could be made.
        felled_by: the places of the images that each attack felled, by its name.
        diagnosis: how plain PGD went, in numbers.
        rejudged: whether their statuses were given anew, by later tolerances, to what had been measured.
    """

    kind: Literal["credibility"] = "credibility"
    epsilon: Share
    findings: Annotated[tuple[Finding, ...], FromList, Field(min_length=1)]
    correct: Annotated[CorrectByDraw, BeforeValidator(_by_draw)] | None = None
    felled_by: Annotated[dict[str, Places], AfterValidator(as_lines)] = Field(default_factory=dict)
    diagnosis: Line | None = None
    rejudged: bool = False

    def contradictions(self) -> Iterator[str]:
        """Two findings of one check, or other images than said."""
        names = [finding.check for finding in self.findings]
        if twice := next((name for name in names if names.count(name) > 1), None):
            yield f"two findings of the check {twice}"
        draws = self.correct or ()
        if draws and len(draws[0]) != self.data.count:
            yield f"correct judges {len(draws[0])} images, but data.count is {self.data.count}"
        for name, places in self.felled_by.items():
            if any(2 * sum(draw[place : place + 1] == "0" for draw in draws) < max(1, len(draws)) for place in places):
                yield f"felled_by says that {name} felled an image that stands"


def verdict(findings: Sequence[Finding], most: int = 3) -> str:
    """The worst status, with the checks that gave it: ``pass``, ``warn: noise`` or ``fail: margin, gradients +2``.

    Args:
        findings: of one network at one ε.
        most: how many checks are named; of the others, how many there are.
    """
    for status in ("fail", "warn"):
        if names := [finding.check for finding in findings if finding.status == status]:
            more = f" +{len(names) - most}" if len(names) > most else ""
            return f"{status}: {', '.join(names[:most])}{more}"
    return "pass" if any(finding.status == "pass" for finding in findings) else "skip"
