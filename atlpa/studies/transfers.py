"""What a study asks of transfer beyond the attack that it makes white-box too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from atlpa.attacks import ATTACK_FIELDS, Attack, attack_class, read_attack
from atlpa.component import Component
from atlpa.field_types import FromList
from atlpa.report.attack_words import attack_title
from atlpa.runs import Protocol

_TRANSFERRED = replace(ATTACK_FIELDS, without=("epsilon",))


class Transfers(Component):
    """The part of a study that is about transfer alone.

    Fields:
        transfers: further attacks by their ``name`` and fields, all but ε, made on every source and shown to every
            network, not white-box: ``mi_fgsm``, ``vmi_fgsm``, ``bsr`` …
        joint: whether the undefended sources, the gray- and the black-box one, are also attacked jointly.
        eight_bit: whether transferred images are shown as 8-bit ones.
    """

    transfers: Annotated[tuple[Annotated[dict[str, Any], _TRANSFERRED], ...], FromList] = ()
    joint: bool = False
    eight_bit: bool = False

    def transferred(self, epsilons: Sequence[float], limit: int | None) -> list[Protocol]:
        """One for each ε and attack.

        Raises:
            pydantic.ValidationError: an attack has no such fields.
        """
        attacks: list[Attack] = [
            read_attack({**fields, "epsilon": epsilon}) for epsilon in epsilons for fields in self.transfers
        ]
        return [Protocol(one, (one.last_iterate,), limit, eight_bit=self.eight_bit) for one in attacks]

    def check_transfers(self, own: Attack, black_box: str | None) -> None:
        """Refuse what would be no transfer, or could not be told apart in a table.

        Args:
            own: the study's attack.
            black_box: the architecture of its black-box source, if there is one.

        Raises:
            ValueError: what is wrong.
        """
        kinds = [attack_class(str(fields.get("name", "pgd"))) for fields in self.transfers]
        for kind, fields in zip(kinds, self.transfers, strict=True):
            if not kind.transferable:
                raise ValueError(f"transfers: images of {kind.name} say nothing about other networks")
            if "epsilon" in fields:
                raise ValueError("transfers: ε is set by the study's own epsilons")
        if (self.joint or self.eight_bit) and not (own.transferable or kinds):
            field = "joint" if self.joint else "eight_bit"
            raise ValueError(f"{field}: the attack {own.name} is not transferred; leave it out, or list transfers")
        if self.joint and black_box is None:
            raise ValueError("joint: the gray-box source is the only one; name the architecture of a black_box too")
        attacks: list[Attack] = [own, *map(read_attack, self.transfers)]
        titles = [attack_title(attack.settings()) for attack in attacks]
        for place, title in enumerate(titles):
            if title in titles[:place]:
                raise ValueError(f"transfers: {title} is listed twice; tables could not tell the two apart")
