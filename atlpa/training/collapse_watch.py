"""Looking for collapse while a network trains: when, what is said, what is kept, and how training goes on or ends."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from atlpa.attacks import Attack
from atlpa.processes import ALONE, Processes, Shared
from atlpa.records.log import Line, collapse_step
from atlpa.training.collapse import FEW, LEVEL, Collapse, Verdicts, collapsed, judge, lowered, step_name
from atlpa.training.log import TrainingLog
from atlpa.training.sound import SoundCheckpoint


class Best(NamedTuple):
    """The look whose network is kept.

    Fields:
        step: when; 0 for none.
        epsilon: ε of the training attack.
        pgd: the share of the few images that withstood.
        trained: the share of them that withstood the training attack.
    """

    step: int = 0
    epsilon: float = 0.0
    pgd: float = 0.0
    trained: float = 1.0

    @classmethod
    def of(cls, line: Line) -> Best:
        """What a line of the log says."""
        shares = line["collapse"]
        return cls(line["step"], shares["epsilon"], shares["pgd"], shares["trained"])

    def better_than(self, other: Best) -> bool:
        """Whether more withstand PGD; of equals, whether no more withstand the training attack, as in a collapse."""
        return (self.pgd, -self.trained) >= (other.pgd, -other.trained)


@dataclass
class CollapseWatch:
    """The looks of one training. What it knows follows from the training's log, so that a resumed one knows the same.

    Fields:
        check: how often, and what then.
        looks: how many there are in the whole training.
        seed: the experiment's.
        model: the network.
        batch: images ``(N, 3, H, W)`` and labels; in the first process alone, which looks.
        log: where looks are written; likewise.
        sound: keeps the network that withstood PGD best; likewise.
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
        self.collapsed = self.here.largest(collapse_step(lines) or 0)
        self._best = next((Best.of(line) for line in reversed(lines) if line.get("kept") is True), Best())
        self._compared: tuple[tuple[int, Attack], Verdicts] | None = None
        if self._best.step and self.sound and not self.collapsed and not self.sound.holds(self._best.step):
            self.say(f"note: {self.sound.path} is not of step {self._best.step}; the watch for collapse begins anew")
            self._best = Best()

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
        found = False
        with self.here.together():
            if self.batch:
                found = self._look(step, attack, *self.batch)
        self.collapsed = self.here.largest(step if found else 0)

    def must_go_on(self) -> None:
        """End a training that is to stop.

        Raises:
            UserError: it has collapsed; the same in every process.
        """
        if self.stops:
            raise Shared(f"training has collapsed by step {self.collapsed}; {self.advice}")

    def _look(self, step: int, attack: Attack, images: Tensor, labels: Tensor) -> bool:
        assert self.log
        assert self.sound
        few = torch.arange(min(FEW, len(labels)), device=labels.device) * len(labels) // min(FEW, len(labels))
        first = judge(self.model, attack, images[few.to(images.device)], labels[few], self.seed)
        shares = {"epsilon": attack.epsilon, **_shares(first)}
        line: dict[str, Any] = {"step": step, "collapse": shares}
        # Under another ε the best share says nothing, and only the two networks can be compared.
        same = attack.epsilon == self._best.epsilon
        better = not same or Best.of(line).better_than(self._best)
        if self._best.step and first.suspicious(self._best.pgd if same else 1.0):
            kept, now = self._verdicts_of_kept(attack), judge(self.model, attack, images, labels, self.seed)
            shares |= {f"kept_{name}": share for name, share in _shares(kept).items()}
            shares |= {f"now_{name}": share for name, share in _shares(now).items()}
            better = bool(now.strong.sum() >= kept.strong.sum())
            if collapsed(kept, now, labels.cpu(), LEVEL / self.looks):
                self.log.write(**line, collapsed=True)
                self.say(self._sentence(step, attack, len(labels), shares))
                return True
        if better:
            line["kept"] = True
            self._best = Best.of(line)
            self.sound.note(step)
        self.log.write(**line)
        return False

    def _verdicts_of_kept(self, attack: Attack) -> Verdicts:
        """Of the network that withstood PGD best, on all images; remembered for the next suspicion."""
        assert self.sound
        assert self.batch
        asked = self._best.step, attack
        if not self._compared or self._compared[0] != asked:
            network = copy.deepcopy(self.model)
            network.load_state_dict(self.sound.model())
            self._compared = asked, judge(network, attack, *self.batch, self.seed)
        return self._compared[1]

    def _sentence(self, step: int, attack: Attack, count: int, shares: Mapping[str, float]) -> str:
        trained, strong = (
            f"{100 * shares[f'now_{name}']:.0f} % (of step {self._best.step}: {100 * shares[f'kept_{name}']:.0f} %)"
            for name in ("trained", "pgd")
        )
        halved = f"; the attack's {step_name(attack)} is halved"
        done = {"say": "", "lower": halved, "stop": "; training stops"}[self.check.action]
        return (
            f"note: training has collapsed by step {step}: of {count} images {trained} withstand the training attack, "
            f"{strong} PGD too; {self.sound and self.sound.path} keeps step {self._best.step}{done}"
        )


def _shares(found: Verdicts) -> dict[str, float]:
    return {"trained": found.trained.float().mean().item(), "pgd": found.strong.float().mean().item()}
