"""What is measured: each part is a list of contestants at one work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contestants import OURS, PEERS
from benchmarks.turns import Contestant, Settings

BUDGETS = [10, 20, 50, 100, 150, 200]


@dataclass(frozen=True)
class Plan:
    """Where to measure, and how thoroughly.

    Fields:
        device: torch's name of it.
        quick: whether a minute must be enough.
        runs: a folder of finished runs, for the parts that attack trained networks.
        data_root: where those runs' data lies.
    """

    device: str
    quick: bool
    runs: Path
    data_root: str | None

    @property
    def peers(self) -> Sequence[str]:
        return ["torchattacks"] if self.quick else list(PEERS)

    @property
    def fastest_peers(self) -> Sequence[str]:
        """Those that take no gradients of weights: where a part costs much, the others are left out."""
        return self.peers if self.quick else ["torchattacks", "plain loop"]

    def among(self, peers: Sequence[str], work: str, **settings: object) -> list[Contestant]:
        """Peers and ourselves at the same work."""
        given: Settings = {"device": self.device, **settings}
        return [Contestant(name, work, {"contestant": name, **given}) for name in (*peers, *OURS)]

    def run(self, defense: str, architecture: str = "resnet18", seed: int = 0) -> str:
        """A finished run's folder."""
        return (self.runs / f"{defense}-{architecture}-seed{seed}-final").as_posix()

    @property
    def trained(self) -> dict[str, object]:
        return {"data_root": self.data_root, "limit": 34 if self.quick else None}


def iteration(plan: Plan, architecture: str, side: int, batch: int, together: bool = False) -> list[Contestant]:
    slow = together or (architecture == "resnet101" and plan.device == "cpu")
    peers = plan.fastest_peers if slow else plan.peers
    size = {"architecture": architecture, "side": side, "batch": batch, "iterations": 2 if plan.quick else 20}
    size["together"] = together
    return plan.among(peers, "iteration", **size)


def memory(plan: Plan) -> list[Contestant]:
    size = {"architecture": "resnet101", "side": 224, "batch": 2 if plan.quick else 16, "iterations": 1}
    return plan.among(plan.fastest_peers, "memory", **size)


def undefended(plan: Plan) -> list[Contestant]:
    attack = {"run": plan.run("none"), "epsilon": 0.25, "step": 1 / 256, "iterations": 200, "measured": 4}
    return plan.among(plan.fastest_peers, "white box", **attack, **plan.trained)


def defended(plan: Plan) -> list[Contestant]:
    attack = {"run": plan.run("pat"), "epsilon": 8 / 255, "step": 2 / 255, "iterations": 50, "measured": 4}
    return plan.among(plan.fastest_peers, "white box", **attack, **plan.trained)


def whole(plan: Plan) -> list[Contestant]:
    """torchattacks on all of its iterations, for its accuracy and as a check of what was extrapolated."""
    rows = [row for row in defended(plan) if row.name == "torchattacks"]
    for row in rows:
        row.settings["measured"] = row.settings["iterations"]
    return rows


def protocol(plan: Plan) -> list[Contestant]:
    """The fewest images on which a whole protocol can be afforded."""
    names = ("none", "igr", "pat", "pat_smooth", "alp", "fd", "atlpa_no_attention", "atlpa", "trades")
    attack = {"source": plan.run("none"), "targets": [plan.run(name) for name in names]}
    budgets = BUDGETS[:2] if plan.quick else BUDGETS
    where = {"data_root": plan.data_root, "limit": 16 if plan.quick else 64}
    return plan.among(["torchattacks"], "transfer", **attack, epsilons=[0.25, 0.5], budgets=budgets, **where)


def training(plan: Plan, defense: str, architecture: str = "resnet50") -> list[Contestant]:
    size = {"architecture": architecture, "side": 224, "batch": 2 if plan.quick else 16}
    return plan.among(["plain loop"], "training step", defense=defense, **size)


PARTS: Mapping[str, Callable[[Plan], list[Contestant]]] = {
    "PGD iteration, ResNet-18 at 64, batch 64": lambda plan: iteration(plan, "resnet18", 64, 64),
    "PGD iteration, ResNet-50 at 224, batch 8": lambda plan: iteration(plan, "resnet50", 224, 8),
    "PGD iteration, ResNet-101 at 224, batch 8": lambda plan: iteration(plan, "resnet101", 224, 8),
    "memory, ResNet-101 at 224, batch 16": memory,
    "white-box PGD-200 on none, ε 0.25": undefended,
    "white-box PGD-50 on pat, ε 8/255": defended,
    "torchattacks, the whole white-box PGD-50": whole,
    "transfer, 9 targets, 2 ε, 6 budgets": protocol,
    "training step, pat, ResNet-50 at 224": lambda plan: training(plan, "pat"),
    "training step, atlpa, ResNet-50 at 224": lambda plan: training(plan, "atlpa"),
    "in one process: ResNet-50 at 224, batch 8": lambda plan: iteration(plan, "resnet50", 224, 8, together=True),
    "in one process: ResNet-101 at 224, batch 8": lambda plan: iteration(plan, "resnet101", 224, 8, together=True),
    "PGD iteration, ResNet-101 at 224, batch 64": lambda plan: iteration(plan, "resnet101", 224, 64),
    "training step, pat, ResNet-101 at 224": lambda plan: training(plan, "pat", "resnet101"),
    "training step, atlpa, ResNet-101 at 224": lambda plan: training(plan, "atlpa", "resnet101"),
}
ON_RUNS = {name for name in PARTS if "white" in name or "transfer" in name}
TOGETHER = {name for name in PARTS if "one process" in name}
ON_GPU = set(tuple(PARTS)[-3:])
UNTIMED = {"memory, ResNet-101 at 224, batch 16"}
QUICK = tuple(PARTS)[1]
