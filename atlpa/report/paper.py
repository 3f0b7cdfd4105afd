"""Table 1 of the paper, and our numbers beside it."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.field_types import written
from atlpa.records import Credibility, Evaluation
from atlpa.report.attack_words import PGD
from atlpa.report.checks import checked, checked_epsilons
from atlpa.report.columns import undefended
from atlpa.report.networks import network_title, targets
from atlpa.report.published import published
from atlpa.report.table import Linked, Table
from atlpa.statistics import Share, share


def beside_paper(records: Sequence[Evaluation], checks: Sequence[Credibility] = ()) -> Table | None:
    """Published / measured transfer accuracies, the white-box accuracy of the same networks, and what it means.

    Args:
        records: evaluations on one data set.
        checks: of the same networks.

    Returns:
        Percent by defense; ``None`` without records, or if the paper has no numbers on this data set.
    """
    records = [record for record in records if record.norm == "Linf"]  # the paper knows no other
    if not records:
        return None
    table = published(1)
    dataset = records[0].data.dataset
    epsilons = sorted({record.attack["epsilon"] for record in records} & {epsilon for *_, epsilon in table})
    columns = [(threat, epsilon) for threat in ("gray", "black") for epsilon in epsilons]
    if not epsilons or not any(key[0] == dataset for key in table):
        return None
    last: dict[tuple[str, str, float], Evaluation] = {
        (r.target.weights, r.threat, r.attack["epsilon"]): r for r in sorted(records, key=_as_the_papers)
    }
    # An undefended network's gray-box source is itself, unless it met that of another seed.
    for (weights, threat, epsilon), record in list(last.items()):
        if threat == "white" and weights in undefended(records):
            last.setdefault((weights, "gray", epsilon), record)
    architecture = _judged_architecture(records)
    rows = []
    for network in targets(records):
        if network.architecture != architecture:
            continue
        theirs = [table.get((dataset, network.defense, *column)) for column in columns]
        ours = [last.get((network.weights, *column)) for column in columns]
        cells = [_beside(paper, own) for paper, own in zip(theirs, ours, strict=True)]
        whites = [last.get((network.weights, "white", epsilon)) for epsilon in epsilons]
        verdict = _verdict([_share(white) for white in whites if white], records[0].data.classes)
        said = [checked(checks, network, epsilon) for epsilon in checked_epsilons(checks)]
        rows.append((network_title(network, architecture=False), *cells, *map(_value, whites), verdict, *said))
    titles = [f"{threat} {written(epsilon)} paper / ours" for threat, epsilon in columns]
    whites_titles = [f"white {written(epsilon)}" for epsilon in epsilons]
    checks_titles = [f"checks {written(epsilon)}" for epsilon in checked_epsilons(checks)]
    return Table(("defense", *titles, *whites_titles, "verdict", *checks_titles), rows)


def _as_the_papers(record: Evaluation) -> tuple[bool, bool]:
    """Where an image was attacked in several ways, PGD counts, and shown as it was made: they come last."""
    return record.attack["name"] == PGD, not record.eight_bit


def _judged_architecture(records: Sequence[Evaluation]) -> str:
    """That of most networks; the other one is the black-box source."""
    architectures = [network.architecture for network in targets(records)]
    return max(set(architectures), key=architectures.count)


def _verdict(known: Sequence[Share], classes: int) -> str:
    """What the white-box accuracies say, against guessing."""
    if not known:
        return "not attacked white-box"
    robust = [white for white in known if white.low > 1 / classes]
    if not robust:
        return "no better than guessing white-box"
    return "stands white-box" if len(robust) == len(known) else "stands white-box at the smaller ε"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _share(record: Evaluation) -> Share:
    return share(record.budgets[-1].correct)


def _value(found: Evaluation | None) -> Linked | str:
    return "–" if found is None else Linked(f"{100 * _share(found).value:.1f}", found)


def _beside(paper: float | None, own: Evaluation | None) -> Linked | str:
    text = f"{_percent(paper)} / {_value(own)}"
    return text if own is None else Linked(text, own)
