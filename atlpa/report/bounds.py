"""Certified lower bounds beside what attacks leave standing, image by image."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.field_types import written
from atlpa.records import Bound, Evaluation, Network
from atlpa.report.networks import network_titles, row_order
from atlpa.report.table import Linked, Table
from atlpa.statistics import share

MEANING = (
    "Certified: no image within ε is taken for another class, by intervals (ibp) or linear bounds (crown): a lower\n"
    "bound of what stands. White-box: right clean and under every attack at that ε on record for these images: an\n"
    "upper bound. The truth lies in the gap. A bound that says nothing certifies no image: that tells nothing of the\n"
    "network.\n"
)


def bounds_table(bounds: Sequence[Bound], evaluations: Sequence[Evaluation] = ()) -> Table | None:
    """A row for each network, ε and method; ``None`` without bounds.

    Args:
        bounds: on record.
        evaluations: those of the same networks are looked at.
    """
    if not bounds:
        return None
    titles, rows = network_titles([*bounds, *evaluations]), []
    for record in sorted(bounds, key=lambda one: (*row_order(one.target), one.epsilon, one.method)):
        attacks = white_box(record, evaluations)
        standing = _standing(attacks)
        rows.append(
            (
                titles[record.target.weights],
                written(record.epsilon),
                record.method,
                share([record.clean]),
                Linked(certified_cell(record, evaluations), record),
                share([standing]) if standing else "–",
                ", ".join(sorted({str(attack.attack["name"]) for attack in attacks})) or "–",
                _gap(record, standing, evaluations),
                record.data.count,
            )
        )
    return Table(["network", "ε", "bound", "clean", "certified", "white-box", "attacks", "gap", "n"], rows)


def certified(bounds: Sequence[Bound], network: Network, epsilon: float, evaluations: Sequence[Evaluation]) -> object:
    """What is certified of a network at some ε, by the bound that says most; a dash where none was asked for."""
    found = [record for record in bounds if record.target.weights == network.weights and record.epsilon == epsilon]
    if not found:
        return "–"
    best = max(found, key=lambda record: (record.data.count, (record.certified or "").count("1")))
    return Linked(certified_cell(best, evaluations), best)


def bounded_epsilons(bounds: Sequence[Bound]) -> list[float]:
    """Every ε that networks have bounds at."""
    return sorted({record.epsilon for record in bounds})


def certified_cell(record: Bound, evaluations: Sequence[Evaluation]) -> str:
    """The share that is certified with its interval; or that there is no bound, that it says nothing, or is refuted."""
    if record.certified is None:
        return "no bound"
    if fallen := refuted(record, evaluations):
        return f"refuted: {len(fallen)} fell"
    return str(share([record.certified])) if "1" in record.certified else "says nothing"


def refuted(record: Bound, evaluations: Sequence[Evaluation]) -> list[int]:
    """Places of images that are certified, though an attack within that ε felled them: bound or attack is wrong."""
    standing = _standing(white_box(record, evaluations, within=True))
    pairs = zip(record.certified or "", standing, strict=False)
    return [place for place, pair in enumerate(pairs) if pair == ("1", "0")]


def white_box(record: Bound, evaluations: Sequence[Evaluation], *, within: bool = False) -> list[Evaluation]:
    """The attacks on the same network and images at the same ε, or at any that is no larger."""
    return [
        one
        for one in evaluations
        if one.threat == "white" and one.target.weights == record.target.weights and one.data == record.data
        # A network that draws has no bound, and several strings.
        if len(one.clean) == 1 and (one.attack["epsilon"] <= record.epsilon if within else _at(one, record))
    ]


def without_bound(bounds: Sequence[Bound]) -> list[str]:
    """Why networks have no bound, a line each."""
    titles = network_titles(bounds)
    return [f"{titles[record.target.weights]}: {record.obstacle}" for record in bounds if record.obstacle]


def _at(evaluation: Evaluation, record: Bound) -> bool:
    return bool(evaluation.attack["epsilon"] == record.epsilon)


def _standing(attacks: Sequence[Evaluation]) -> str:
    """Per image, whether it stands under all of some attacks; empty without any."""
    columns = zip(*(attack.budgets[-1].correct[0] for attack in attacks), strict=True)
    return "".join("0" if "0" in verdicts else "1" for verdicts in columns)


def _gap(record: Bound, standing: str, evaluations: Sequence[Evaluation]) -> str:
    """How many points lie between both bounds."""
    if not standing or record.certified is None or refuted(record, evaluations):
        return "–"
    return f"{100 * (standing.count('1') - record.certified.count('1')) / record.data.count:.1f}"
