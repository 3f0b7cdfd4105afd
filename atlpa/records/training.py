"""A finished training, as a record holds it."""

from __future__ import annotations

from typing import Any, Literal

from atlpa.records.record import Machine, Network, Record


class Training(Record):
    """One finished training.

    Fields:
        network: what came out.
        data: digest of the data set's index.
        iterations: steps taken.
        seconds: wall time of the steps, over all sittings.
        experiment: the resolved experiment.
        finished: when, ISO 8601 in UTC.
        machine: where the last sitting ran.
        atlpa: this package's version.
    """

    kind: Literal["training"] = "training"
    network: Network
    data: str
    iterations: int
    seconds: float
    experiment: dict[str, Any]
    finished: str
    machine: Machine
    atlpa: str
