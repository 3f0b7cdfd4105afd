"""Looking for collapse while a network trains: when, what is said, what is kept, and how training goes on or ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from atlpa.attacks import Attack
from atlpa.processes import ALONE, Processes, Shared
from atlpa.records.log import collapse_step
from atlpa.training.collapse import LEVEL, Collapse, Look, look, lowered
from atlpa.training.log import TrainingLog
from atlpa.training.sound import SoundCheckpoint


@dataclass
class CollapseWatch:
    """The looks of one training. What it knows follows from the training's log, so that a resumed one knows the same.

    Fields:
        check: how often, and what then.
        looks: how many there are in the whole training.
        seed: the experiment's.
        model: the network.
        batch: images and labels (see ``look``); in the first process alone, which looks.
        log: where looks are written; likewise.
        sound: keeps the state in which the last look found all well; likewise.
        say: is told of a collapse.
        advice: what to do about a stop.
        here: this process among those that train together.
    """

    check: Collapse
    looks: int
    seed: int
    model: nn.Module
    batch: tuple[Tensor, Tensor] | None
    log: TrainingLog | None
    sound: SoundCheckpoint | None
    say: Callable[[str], None]
    advice: str
    here: Processes = ALONE

    def __post_init__(self) -> None:
        lines = self.log.lines() if self.log else []
        seen = collapse_step(lines)
        self.collapsed = self.here.largest(seen or 0)
        sound = [line["step"] for line in lines if "collapse" in line and Look(line["collapse"]).sound]
        self._sound_at = sound[-1] if sound else None

    @property
    def stops(self) -> bool:
        """Whether training ends here."""
        return bool(self.collapsed) and self.check.action == "stop"

    def adjusted(self, attack: Attack) -> Attack:
        """The training attack as it is after what was seen."""
        return lowered(attack) if self.collapsed and self.check.action == "lower" else attack

    def after(self, step: int, attack: Attack) -> None:
        """Look, where it is time to, after so many steps; a collapse is said once."""
        if self.collapsed or step % self.check.every:
            return
        with self.here.together():
            found = self._look(step, attack) if self.batch else None
        if self.here.largest(int(found is not None and found.collapsed)):
            self.collapsed = step
            if found:
                self.say(self._sentence(found))

    def must_go_on(self) -> None:
        """End a training that is to stop.

        Raises:
            UserError: it has collapsed; the same in every process.
        """
        if self.stops:
            raise Shared(f"training has collapsed by step {self.collapsed}; {self.advice}")

    def _look(self, step: int, attack: Attack) -> Look:
        assert self.batch
        found = look(self.model, attack, *self.batch, seed=self.seed, level=LEVEL / self.looks)
        if self.log:
            self.log.write(step=step, collapse=found.shares, **({"collapsed": True} if found.collapsed else {}))
        if self.sound and found.sound:
            self.sound.note(step)
            self._sound_at = step
        if self.sound and found.collapsed:
            self.sound.write()
        return found

    def _sentence(self, found: Look) -> str:
        assert self.batch
        done = {"say": "", "lower": "; the attack's step is halved", "stop": "; training stops"}[self.check.action]
        kept = f"; sound.pt is of step {self._sound_at}, when all was well" if self._sound_at else ""
        standing = [f"{100 * found.shares[attack]:.0f} %" for attack in ("training_attack", "pgd")]
        return (
            f"note: training has collapsed by step {self.collapsed}: {standing[0]} of {len(self.batch[1])} images "
            f"withstand the training attack, {standing[1]} ten steps of PGD{kept}{done}"
        )
