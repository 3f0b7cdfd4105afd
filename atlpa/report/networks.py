"""How tables and figures call networks, and in which order they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from atlpa.records import Evaluation, MeasuredRecord, Network

# The order of the paper's Table 1; other defenses follow by name.
ROWS = ("none", "igr", "pat", "rat", "randomization", "alp", "fd", "atlpa_no_attention", "atlpa")


def network_title(network: Network) -> str:
    """What a network is called: ``atlpa resnet18 best seed 1``; the first seed goes without saying."""
    seed = f"seed {network.seed}" if network.seed else ""
    return " ".join(filter(None, (network.defense, network.architecture, network.checkpoint, seed)))


def network_titles(records: Sequence[MeasuredRecord]) -> dict[str, str]:
    """What all networks are called, by their weights; where two would be called the same, by their folder."""
    networks = {network.weights: network for record in records for network in _named(record)}
    titles = {weights: network_title(network) for weights, network in networks.items()}
    return {
        weights: networks[weights].run if list(titles.values()).count(title) > 1 else title
        for weights, title in titles.items()
    }


def _named(record: MeasuredRecord) -> Sequence[Network]:
    return (*record.sources, record.target) if isinstance(record, Evaluation) else (record.target,)


def source_title(record: Evaluation, titles: Mapping[str, str]) -> str:
    """What was attacked: ``itself``, a network, or several jointly, ``none resnet18 + pat resnet18``.

    Args:
        record: the attack.
        titles: what networks are called, by their weights.
    """
    return "itself" if record.threat == "white" else " + ".join(titles[source.weights] for source in record.sources)


def targets(records: Iterable[MeasuredRecord]) -> list[Network]:
    """Every network that something was measured on once, in the order of the paper's Table 1."""
    return sorted({record.target.weights: record.target for record in records}.values(), key=row_order)


class Trained(NamedTuple):
    """What networks of several seeds have in common.

    Fields:
        defense: its name.
        architecture: the network's.
        checkpoint: which network of each training, where it keeps two.
        place: the folder of the runs, where another has a training of that name and of a seed that is here; all of its
            path, the run or its weights, where that does not tell them apart.
    """

    defense: str
    architecture: str
    checkpoint: str = ""
    place: str = ""

    def __str__(self) -> str:
        """As tables and figures call it."""
        return " ".join(filter(None, self))


PLACES: Sequence[Callable[[Network], str]] = (
    lambda network: Path(network.run).parent.name,
    lambda network: str(Path(network.run).parent),
    lambda network: network.run,
    lambda network: f"{network.run} {network.weights[:8]}",
)
"""What tells trainings of one name apart, from the shortest."""


def by_training(networks: Iterable[Network]) -> dict[Trained, list[Network]]:
    """Networks that differ in their seeds alone, as far as their records say."""
    found: dict[Trained, list[Network]] = {}
    for network in networks:
        found.setdefault(Trained(network.defense, network.architecture, network.checkpoint or ""), []).append(network)
    for place in PLACES:
        apart: dict[Trained, list[Network]] = {}
        for trained, group in found.items():
            twice = len({network.seed for network in group}) < len(group)  # that is no one training
            for network in group:
                own = trained._replace(place=place(network)) if twice else trained
                apart.setdefault(own, []).append(network)
        found = apart
    return found


def training_title(trained: Trained, networks: Sequence[Network]) -> str:
    """What all networks of a training are called together: ``pat resnet18, 3 seeds``; of one like the network."""
    if len(networks) > 1:
        return f"{trained}, {len(networks)} seeds"
    return f"{trained} seed {networks[0].seed}" if networks[0].seed else str(trained)


def row_order(network: Network) -> tuple[int, str, str, str, int]:
    """Sorts networks as the paper's Table 1 does."""
    place = ROWS.index(network.defense) if network.defense in ROWS else len(ROWS)
    return place, network.defense, network.architecture, network.checkpoint or "", network.seed
