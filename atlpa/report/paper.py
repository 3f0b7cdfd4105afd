"""Table 1 of the paper, and our numbers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from atlpa.field_types import written
from atlpa.records import Credibility, Evaluation
from atlpa.report.attack_words import PGD
from atlpa.report.checks import checked, checked_epsilons
from atlpa.report.columns import undefended
from atlpa.report.networks import by_training, targets, training_title
from atlpa.report.published import published
from atlpa.report.table import Linked, Table
from atlpa.statistics import Share, share


def beside_paper(records: Sequence[Evaluation], checks: Sequence[Credibility] = ()) -> Table | None:
    """Published / measured transfer accuracies, the white-box accuracy of the same networks, and what it means.

    Args:
        records: evaluations on one data set.
        checks: of the same networks.

    Returns:
        Percent by defense, the mean over its seeds; ``None`` without records, or if the paper has no numbers on this
        data set.
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
    sources = undefended(records)
    for (weights, threat, epsilon), record in list(last.items()):
        if threat == "white" and weights in sources:
            last.setdefault((weights, "gray", epsilon), record)
    architecture = _judged_architecture(records)
    judged = [network for network in targets(records) if network.architecture == architecture]
    rows = []
    for trained, networks in by_training(judged).items():
        theirs = [table.get((dataset, trained.defense, *column)) for column in columns]
        itself = [network for network in networks if network.weights in sources]  # its gray-box source
        judged_by = {"gray": itself or networks, "black": networks}
        ours = [
            _value(
                [
                    last.get((network.weights, *column)) if network in judged_by[column[0]] else None
                    for network in networks
                ]
            )
            for column in columns
        ]
        whites = [[last.get((network.weights, "white", epsilon)) for network in networks] for epsilon in epsilons]
        verdict = _verdict(whites, records[0].data.classes)
        said = [_said([checked(checks, one, epsilon) for one in networks]) for epsilon in checked_epsilons(checks)]
        name = training_title(trained._replace(architecture=""), networks)
        rows.append((name, *map(_beside, theirs, ours), *map(_value, whites), verdict, *said))
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


def _verdict(whites: Sequence[Sequence[Evaluation | None]], classes: int) -> str:
    """What the white-box accuracies of all seeds at each ε say, against guessing."""
    known = [found for found in whites if any(found)]
    if not known:
        return "not attacked white-box"
    seeds = len(known[0])
    standing = [sum(_share(record).low > 1 / classes for record in found if record) for found in known]
    if not any(standing):
        return "no better than guessing white-box"
    if all(count in (0, seeds) for count in standing):
        return "stands white-box" if all(standing) else "stands white-box at the smaller ε"
    return f"{max(standing)} of {seeds} seeds stand white-box"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _share(record: Evaluation) -> Share:
    return share(record.budgets[-1].correct)


def _said(verdicts: Sequence[Linked | str]) -> Linked | str:
    """What the checks say of all seeds: each verdict once."""
    return verdicts[0] if len(verdicts) == 1 else " / ".join(dict.fromkeys(map(str, verdicts)))


def _value(found: Sequence[Evaluation | None]) -> Linked | str:
    """Percent: the mean over seeds, and over how many, where some were not measured."""
    known = [record for record in found if record]
    if not known:
        return "–"
    text = f"{100 * fmean(_share(record).value for record in known):.1f}"
    if len(found) == 1:
        return Linked(text, known[0])
    return text if len(known) == len(found) else f"{text} ({len(known)} of {len(found)})"


def _beside(paper: float | None, ours: Linked | str) -> Linked | str:
    text = f"{_percent(paper)} / {ours}"
    return Linked(text, ours.record) if isinstance(ours, Linked) else text
