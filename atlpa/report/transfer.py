"""What transfer attacks leave standing: every target × attack × source, of all images and of those right clean."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.field_types import written
from atlpa.records import Evaluation
from atlpa.report.attack_words import attack_title
from atlpa.report.columns import THREATS
from atlpa.report.networks import network_titles, row_order, source_title
from atlpa.report.table import Linked, Table
from atlpa.statistics import share, share_among


def transfer_table(records: Sequence[Evaluation]) -> Table | None:
    """One row for each transfer attack at its largest budget, percent with 95 % Wilson intervals.

    Among the images that are right clean, clean errors count for nothing: what is missing from 100 is the share that
    the attack turned over.

    Args:
        records: of any threats.

    Returns:
        ``None`` where no attack was transferred.
    """
    transferred = [record for record in records if record.threat != "white"]
    if not transferred:
        return None
    titles = network_titles(records)
    rows = [
        (
            titles[record.target.weights],
            shown_how(record),
            f"{record.threat}: {source_title(record, titles)}",
            written(record.attack["epsilon"]),
            record.budgets[-1].iterations,
            Linked(share(record.budgets[-1].correct), record),
            share(record.clean),
            share_among(record.budgets[-1].correct, record.clean) or "–",
        )
        for record in sorted(transferred, key=_order)
    ]
    columns = ("target", "attack", "source", "ε", "iterations", "accuracy", "clean", "of those right clean")
    return Table(columns, rows, left=3)


def shown_how(record: Evaluation) -> str:
    """The attack by its title, and whether its images were shown as 8-bit ones."""
    return f"{attack_title(record.attack)}{', 8-bit' if record.eight_bit else ''}"


def _order(record: Evaluation) -> tuple[object, ...]:
    attack = record.attack
    return (
        *row_order(record.target),
        record.target.run,
        attack["epsilon"],
        attack_title(attack),
        record.eight_bit,
        THREATS.index(record.threat),
        [row_order(source) for source in record.sources],
    )
