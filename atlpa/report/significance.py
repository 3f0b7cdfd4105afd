"""Which differences between two networks are more than chance on these images."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.field_types import written
from atlpa.records import Evaluation
from atlpa.report.columns import column_of
from atlpa.report.networks import network_titles, targets
from atlpa.report.table import Table
from atlpa.statistics import holm, mcnemar, share


def significance(records: Sequence[Evaluation], defense: str = "atlpa") -> Table | None:
    """One network against every other on the same images: difference in points, and Holm's p within each column.

    Of a defense that has a network of the same seed, that one counts: in a study they met the images of one source.

    The tests are exact McNemar tests. They compare these networks, not the defenses, which would take several seeds. A
    randomized network is compared in its first draw.

    Args:
        records: evaluations of one study; the last budget counts.
        defense: whose network is compared with the others.

    Returns:
        Networks × attacks; ``None`` without such a network, or without another one.
    """
    titles = network_titles(records)
    networks = targets(records)
    own = next((network for network in networks if network.defense == defense), None)
    if own is None:
        return None
    same = {network.defense for network in networks if network.seed == own.seed}
    others = [
        network
        for network in networks
        if network != own
        and network.architecture == own.architecture
        and (network.seed == own.seed or network.defense not in same)
    ]
    if not others:
        return None
    found = {(record.target.weights, column_of(record, titles)): record for record in records}
    correct = {key: record.budgets[-1].correct for key, record in found.items()}
    attacks = sorted(attack for weights, attack in found if weights == own.weights)
    cells: dict[str, list[str]] = {network.weights: [] for network in others}
    for attack in attacks:
        ours = correct[own.weights, attack]
        images = found[own.weights, attack].data
        compared = [
            network
            for network in others
            if (network.weights, attack) in found and found[network.weights, attack].data == images
        ]
        raw = [mcnemar(ours[0], correct[network.weights, attack][0]) for network in compared]
        corrected = dict(zip((network.weights for network in compared), holm(raw), strict=True))
        for network in others:
            p = corrected.get(network.weights)
            if p is None:
                cells[network.weights].append("–")
                continue
            points = 100 * (share(ours).value - share(correct[network.weights, attack]).value)
            cells[network.weights].append(f"{points:+.1f} (p {p_text(p)})")
    columns = (f"{titles[own.weights]} against", *(f"{attack.attack} {written(attack.epsilon)}" for attack in attacks))
    return Table(columns, [(titles[network.weights], *cells[network.weights]) for network in others])


def p_text(value: float) -> str:
    """A p-value as tables show it."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
