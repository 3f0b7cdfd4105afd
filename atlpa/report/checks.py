"""What the credibility checks say, beside the numbers and by themselves."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.records import Credibility, Network, verdict
from atlpa.report.table import Linked, Table
from atlpa.statistics import share


def checked_epsilons(checks: Sequence[Credibility]) -> list[float]:
    """Every ε that networks were checked at."""
    return sorted({record.epsilon for record in checks})


def checked(checks: Sequence[Credibility], network: Network, epsilon: float) -> Linked | str:
    """The verdict on a network at some ε: of its latest record there, if there are several."""
    found = [record for record in checks if record.target.weights == network.weights and record.epsilon == epsilon]
    return Linked(verdict(found[-1].findings), found[-1]) if found else "–"


def findings_table(record: Credibility) -> Table:
    """Every check of one network at one ε."""
    rows = [(f.check, f.status, f.measured, f.expected) for f in record.findings]
    return Table(("check", "status", "measured", "expected"), rows, left=4)


def advice(record: Credibility) -> list[str]:
    """What to do about each check that did not pass."""
    return [f"{f.check} ({f.status}): {f.advice}" for f in record.findings if f.status in ("fail", "warn")]


def what_stands(record: Credibility) -> list[str]:
    """What is left under all attacks together, what felled how many, and how plain PGD went; a line each."""
    lines = []
    if record.correct is not None:
        left = share(record.correct)
        by = ", ".join(f"{name} {len(places)}" for name, places in record.felled_by.items())
        draws = len(record.correct)
        under = f"under the strongest attack, mean of {draws} draws," if draws > 1 else "under all attacks together"
        lines.append(f"{under} {left.percent()} of {left.n} stand" + (f"; felled by {by}" if by else ""))
    return [*lines, f"plain PGD: {record.diagnosis}"] if record.diagnosis else lines
