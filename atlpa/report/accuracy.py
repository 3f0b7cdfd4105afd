"""Accuracies from evaluation records: each by itself, and defenses × threats as in the paper's Table 1."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.records import Evaluation, Network
from atlpa.report.table import Table
from atlpa.statistics import share

# The order of the paper's Table 1; other defenses follow by name.
ROWS = ("none", "igr", "pat", "rat", "randomization", "alp", "fd", "atlpa_no_attention", "atlpa")
THREATS = ("white", "gray", "black")


def each_accuracy(records: Sequence[Evaluation]) -> Table:
    """One row a record and budget, with what was really done to the images."""
    rows = [
        (
            network_title(record.target),
            record.threat,
            "itself" if record.threat == "white" else network_title(record.source),
            f"{record.attack['epsilon']:.4g}",
            budget.iterations,
            share(budget.correct),
            share(record.clean),
            len(record.clean),
            f"{budget.linf_max:.4f}",
            f"{100 * budget.at_bound:.0f} %",
            f"{len(record.clean) / record.seconds:.1f}",
        )
        for record in records
        for budget in record.budgets
    ]
    titles = "network,threat,source,ε,iterations,accuracy %,clean %,n,max ‖δ‖∞,at bound,images/s"
    return Table(titles.split(","), rows)


def threat_table(records: Sequence[Evaluation]) -> Table:
    """Networks × threats and ε at the largest budget: percent with the 95 % Wilson interval.

    A gray-box source that is the judged network itself makes the attack white-box; such a cell says so.
    """
    networks = sorted({record.target.weights: record.target for record in records}.values(), key=row_order)
    found: dict[tuple[str, str, float], Evaluation] = {
        (record.target.weights, record.threat, record.attack["epsilon"]): record for record in records
    }
    epsilons = sorted({epsilon for *_, epsilon in found})
    rows = []
    for network in networks:
        clean = next(record.clean for record in records if record.target.weights == network.weights)
        row: list[object] = [network_title(network), share(clean)]
        for threat in THREATS:
            for epsilon in epsilons:
                record = found.get((network.weights, threat, epsilon))
                row.append(share(record.budgets[-1].correct) if record else _absent(network, threat))
        rows.append(row)
    columns = ["network", "clean", *(f"{threat} {epsilon:.4g}" for threat in THREATS for epsilon in epsilons)]
    return Table(columns, rows)


def protocol(records: Sequence[Evaluation]) -> str:
    """One sentence a kind of measurement: which images, which attack, what counts."""
    record = records[0]
    attack, data = record.attack, record.data
    settings = f"{attack['name'].upper()}"
    if attack["name"] == "pgd":
        settings += f", {attack['start']} start, step {attack['step']:.4g}, {record.budgets[-1].iterations} iterations"
    return (
        f"{data.count} of {data.available} {data.part} images of {data.dataset} at {data.size}×{data.size}; "
        f"{settings}; "
        "ε in units of the [0, 1] pixel range. Percent with 95 % Wilson interval. White-box: right clean and at every "
        "iterate of an attack on the network itself. Gray-box (undefended, same architecture) and black-box "
        "(undefended, another architecture) are transfer attacks, judged on the last iterate: upper bounds, no "
        "robustness."
    )


def tidy(records: Sequence[Evaluation]) -> Table:
    """One row a record and budget with plain numbers, for other programs."""
    rows = [
        (
            *(record.target.defense, record.target.architecture, record.target.seed, record.threat),
            *(record.source.defense, record.source.architecture, record.source.seed),
            *(record.attack["name"], record.attack["epsilon"], budget.iterations),
            *share(budget.correct),
            share(record.clean).value,
            *(budget.linf_max, budget.linf_mean, budget.at_bound),
        )
        for record in records
        for budget in record.budgets
    ]
    columns = (
        *(
            "defense",
            "architecture",
            "seed",
            "threat",
            "source_defense",
            "source_architecture",
            "source_seed",
        ),
        *("attack", "epsilon", "iterations", "accuracy", "low95", "high95", "n", "clean_accuracy"),
        *("linf_max", "linf_mean", "at_bound"),
    )
    return Table(columns, rows)


def network_title(network: Network) -> str:
    """How tables and figures call a network."""
    seed = f" seed {network.seed}" if network.seed else ""
    return f"{network.defense} {network.architecture}{seed}"


def row_order(network: Network) -> tuple[int, str, str, int]:
    """Sorts networks as the paper's Table 1 does."""
    place = ROWS.index(network.defense) if network.defense in ROWS else len(ROWS)
    return place, network.defense, network.architecture, network.seed


def _absent(network: Network, threat: str) -> str:
    return "= white" if threat == "gray" and network.defense == "none" else "–"
