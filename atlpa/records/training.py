"""A finished training, as a record holds it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from atlpa.errors import shown
from atlpa.records.checked import LARGEST_COUNT, Checked, Count, Hash, Line, Seconds, Share
from atlpa.records.record import Machine, Network, Record


def _in_utc(text: str) -> str:
    if datetime.fromisoformat(text).utcoffset() != timedelta(0):
        raise ValueError(f"{shown(text)} is no time in UTC")
    return text


class Selected(Checked):
    """The network that did best on the validation part.

    Fields:
        step: after how many steps.
        weights: SHA-256 of its state.
        accuracy: what it was selected by, on the validation part.
    """

    step: Count
    weights: Hash
    accuracy: Share


class Training(Record):
    """One finished training.

    Fields:
        network: what came out in the end.
        selected: what did best on the way, where the training selects.
        data: digest of the data set's index.
        iterations: steps taken; 0 of a network that was trained elsewhere.
        collapsed: after which step a collapse was seen, if one was.
        seconds: wall time of the steps, over all sittings.
        experiment: the resolved experiment.
        finished: when, ISO 8601 in UTC.
        machine: where the last sitting ran.
        atlpa: this package's version.
    """

    kind: Literal["training"] = "training"
    network: Network
    selected: Selected | None = None
    data: Hash
    iterations: Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
    seconds: Seconds
    experiment: dict[str, Any]
    finished: Annotated[str, AfterValidator(_in_utc)]
    machine: Machine
    atlpa: Line
    collapsed: Count | None = None

    def contradictions(self) -> Iterator[str]:
        """What the experiment says otherwise."""
        if self.collapsed and self.collapsed > self.iterations:
            yield f"it collapsed by step {self.collapsed} of {self.iterations}"
        told = {
            "seed": self.network.seed,
            "defense.name": self.network.defense,
            "model.architecture": self.network.architecture,
            "training.iterations": self.iterations,
        }
        for place, here in told.items():
            there: Any = self.experiment
            for key in place.split("."):
                there = there.get(key) if isinstance(there, dict) else None
            if there != here:
                yield f"experiment.{place} is {shown(there)}, but elsewhere it says {shown(here)}"
        if self.selected and self.selected.step > self.iterations:
            yield f"the network of step {self.selected.step} was selected, but there were {self.iterations} steps"
