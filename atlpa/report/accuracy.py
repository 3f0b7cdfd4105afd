"""Accuracies from evaluation records: each by itself, and defenses × threats as in the paper's Table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atlpa.errors import one_line
from atlpa.records import Bound, Credibility, Evaluation
from atlpa.report.bounds import bounded_epsilons, certified
from atlpa.report.checks import checked, checked_epsilons
from atlpa.report.columns import THREATS, Column, column_of, undefended
from atlpa.report.networks import network_titles, row_order, targets
from atlpa.report.table import Linked, Table
from atlpa.statistics import share

CERTIFIED = "certified"


def each_accuracy(records: Sequence[Evaluation]) -> Table:
    """One row per record and budget, with what was really done to the images."""
    titles = network_titles(records)
    rows = [
        (
            titles[record.target.weights],
            record.threat,
            "itself" if record.threat == "white" else titles[record.source.weights],
            f"{record.attack['epsilon']:.4g}",
            budget.iterations,
            share(budget.correct),
            share(record.clean),
            record.data.count,
            f"{budget.linf_max:.4f}",
            f"{100 * budget.at_bound:.0f} %",
            f"{record.data.count / record.seconds:.1f}" if record.seconds else "–",
        )
        for record in sorted(records, key=_record_order)
        for budget in record.budgets
    ]
    columns = "network,threat,source,ε,iterations,accuracy %,clean %,n,max ‖δ‖∞,at bound,images/s"
    return Table(columns.split(","), rows)


def threat_table(
    records: Sequence[Evaluation], checks: Sequence[Credibility] = (), bounds: Sequence[Bound] = ()
) -> Table:
    """Networks × threats and ε at the largest budget: percent with the 95 % Wilson interval, and what the checks say.

    A gray-box source that is the judged network itself makes the attack white-box; such a cell says so. What is
    certified stands behind the white-box accuracies at the same ε.

    Args:
        records: one for each network, threat and ε.
        checks: of these networks.
        bounds: of these networks.

    Raises:
        ValueError: two measurements for one cell.
    """
    networks, titles = targets(records), network_titles(records)
    found: dict[tuple[str, Column], Evaluation] = {}
    for record in records:
        key = record.target.weights, column_of(record, titles)
        if key in found:
            raise ValueError(
                f"two measurements of {titles[key[0]]} under attack {str(key[1])!r}, which differ in their source or "
                "settings; give one"
            )
        found[key] = record
    attacks = _with_certified(sorted({key for _, key in found}), bounded_epsilons(bounds))
    itself = {(weights, "gray") for weights in undefended(records)}
    rows = []
    for network in networks:
        own = [record for record in records if record.target.weights == network.weights]
        clean = max(own, key=lambda record: record.data.count).clean
        row: list[object] = [titles[network.weights], share(clean)]
        for attack in attacks:
            if attack.attack == CERTIFIED:
                row.append(certified(bounds, network, attack.epsilon, records))
                continue
            entry = found.get((network.weights, attack))
            absent = "= white" if (network.weights, attack.attack) in itself else "–"
            row.append(Linked(share(entry.budgets[-1].correct), entry) if entry else absent)
        rows.append([*row, *(checked(checks, network, epsilon) for epsilon in checked_epsilons(checks))])
    columns = ["network", "clean", *map(str, attacks)]
    columns += [f"checks {epsilon:.4g}" for epsilon in checked_epsilons(checks)]
    return Table(columns, rows)


def _with_certified(attacks: Sequence[Column], epsilons: Sequence[float]) -> list[Column]:
    """Columns of attacks, with one for what is certified at each ε behind the white-box ones there."""
    columns = list(attacks)
    for epsilon in epsilons:
        white = [place for place, column in enumerate(columns) if column.place == 0]
        there = [place for place in white if columns[place].epsilon == epsilon] or white
        columns.insert(there[-1] + 1 if there else 0, Column(0, CERTIFIED, epsilon))
    return columns


def protocol(records: Sequence[Evaluation]) -> str:
    """What was measured, on which images, and what counts; a line for each kind of measurement."""
    kinds = "".join(f"{line}\n" for line in dict.fromkeys(_kind(record) for record in records))
    transfer = (
        "Transfer attacks are made on any other network, which tables name, and are judged likewise.\n"
        if any(record.threat == "transfer" for record in records)
        else ""
    )
    return (
        f"{kinds}ε in units of the [0, 1] pixel range; percent with 95 % Wilson interval.\n"
        f"White-box: right clean and at every iterate of an attack on the network itself.\n{_randomness(records)}"
        "Gray-box (undefended, same architecture), surrogate (same defense, another seed) and black-box (undefended,\n"
        "another architecture) are transfer attacks, judged on the last iterate: upper bounds, no robustness.\n"
        f"{transfer}"
    )


def _randomness(records: Sequence[Evaluation]) -> str:
    """How randomized networks were judged, where there are any."""
    drawn = [record for record in records if len(record.clean) > 1]
    if not drawn:
        return ""
    draws = ", ".join(str(n) for n in sorted({len(record.clean) for record in drawn}))
    means = sorted({record.average for record in drawn})
    each = "" if means == [1] else f", each the mean prediction of {', '.join(map(str, means))}"
    return (
        f"A randomized network's accuracy is the mean over {draws} draws{each}, ± their standard deviation;\n"
        "white-box it is judged on the last iterate, on images that are right clean in the same draw.\n"
    )


def _kind(record: Evaluation) -> str:
    attack, data, last = record.attack, record.data, record.budgets[-1].iterations
    name = attack["name"]
    ours = f"the ensemble, {attack.get('version')} version"
    how = {"autoattack": "AutoAttack", "ensemble": ours, "square": f"Square attack, {last} queries"}.get(
        name, name.upper() if name in ("pgd", "fgsm", "noise", "none") else _others(attack, last)
    )
    if how == "PGD" and last == 1 and attack["step"] == attack["epsilon"]:
        how = "FGSM"
    elif how == "PGD":
        how += f", {attack['start']} start, step {attack['step']:.4g}, {last} iterations"
        how += "" if attack["loss"] == "cross_entropy" else f", climbing {attack['loss']}"
        how += f", momentum {attack['momentum']:g}" if attack.get("momentum") else ""
        how += f", input diversity {attack['diversity']:g}" if attack.get("diversity") else ""
        how += f", {attack['restarts']} restarts" if attack["restarts"] > 1 else ""
        how += f", gradients averaged over {attack['eot']} draws" if attack["eot"] > 1 else ""
        how += ", draws held fixed" if attack["fixed_draws"] else ""
        how += ", gradients in bf16" if attack.get("precision") == "bf16" else ""
    return f"{data.count} of {data.available} {data.part} images of {data.dataset} at {data.size}×{data.size}; {how}."


def _others(attack: Mapping[str, object], budget: int) -> str:
    """An attack that this package does not come with, with every setting."""
    settings = [one_line(f"{name} {value}", 120) for name, value in attack.items() if name not in ("name", "epsilon")]
    return ", ".join([str(attack["name"]), *([f"{budget} iterates"] if budget > 1 else []), *settings])


def tidy(records: Sequence[Evaluation]) -> Table:
    """One row per record and budget with plain numbers, for other programs."""
    rows = [
        (
            *(record.target.defense, record.target.architecture, record.target.seed, record.threat),
            *(record.source.defense, record.source.architecture, record.source.seed),
            *(record.attack["name"], record.attack["epsilon"], budget.iterations),
            *share(budget.correct),
            share(record.clean).value,
            *(len(record.clean), record.average),
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
        *("attack", "epsilon", "iterations", "accuracy", "low95", "high95", "n", "spread", "clean_accuracy"),
        *("draws", "average"),
        *("linf_max", "linf_mean", "at_bound"),
    )
    return Table(columns, rows)


def measured_threats(records: Sequence[Evaluation]) -> list[str]:
    """The threats that were measured, in the order of tables: ``transfer`` by its source."""
    titles = network_titles(records)
    return [name for _, name in sorted({column_of(record, titles)[:2] for record in records})]


def _record_order(record: Evaluation) -> tuple[object, ...]:
    return *row_order(record.target), record.target.run, THREATS.index(record.threat), record.attack["epsilon"]
