"""Columns of attacks: by threat and ε, and by source where the threat does not say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, get_args

from atlpa.field_types import written
from atlpa.records import Evaluation, Threat
from atlpa.report.attack_words import PGD, attack_title
from atlpa.report.networks import source_title

THREATS: tuple[Threat, ...] = get_args(Threat)


class Column(NamedTuple):
    """A column of attacks; they sort in the order of tables: what one ε leaves under several attacks stands together.

    Fields:
        place: the threat's among the threats.
        l2: whether ε is measured in L2.
        epsilon: ε.
        attack: the threat, or ``transfer from alp resnet18``: two such sources are two columns; and the attack, where
            it is not PGD, and that its images were rounded: ``white (ensemble)``, ``gray (NI-FGSM, 8-bit)``;
            and L2, where ε is measured in it: ``white L2``.
    """

    place: int
    l2: bool
    epsilon: float
    attack: str

    def __str__(self) -> str:
        """Its title."""
        return f"{self.attack} {written(self.epsilon)}"


def column_of(record: Evaluation, titles: Mapping[str, str]) -> Column:
    """Where a record belongs; ``titles`` says what networks are called, by their weights."""
    source = f" from {source_title(record, titles)}" if record.threat == "transfer" else ""
    name = "" if record.attack["name"] == PGD else attack_title(record.attack)
    how = ", ".join(filter(None, (name, "8-bit" if record.eight_bit else "")))
    l2 = record.norm == "L2"
    attack = record.threat + source + (f" ({how})" if how else "") + (" L2" if l2 else "")
    return Column(THREATS.index(record.threat), l2, record.attack["epsilon"], attack)


def undefended(records: Sequence[Evaluation]) -> set[str]:
    """The weights of networks that are on record as undefended: gray- and black-box attacks are made on no other."""
    return {record.source.weights for record in records if record.threat in ("gray", "black")}
