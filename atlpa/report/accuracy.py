"""Accuracies from evaluation records: each by itself, and defenses × threats as in the paper's Table 1."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.field_types import written
from atlpa.records import NORM_SIGNS, Bound, Credibility, Evaluation, Network
from atlpa.report.attack_words import PGD, attack_title, measured
from atlpa.report.bounds import bounded_epsilons, certified
from atlpa.report.checks import checked, checked_epsilons
from atlpa.report.columns import THREATS, Column, column_of, undefended
from atlpa.report.networks import network_titles, row_order, source_title, targets
from atlpa.report.table import Linked, Table
from atlpa.statistics import share, share_among

CERTIFIED = "certified"


def each_accuracy(records: Sequence[Evaluation]) -> Table:
    """One row per record and budget, with what was really done to the images."""
    titles = network_titles(records)
    signs = " or ".join(sorted({NORM_SIGNS[record.norm] for record in records}))
    rows = [
        (
            titles[record.target.weights],
            record.threat,
            source_title(record, titles),
            written(record.attack["epsilon"]) + ("" if record.norm == "Linf" else " L2"),
            budget.iterations,
            share(budget.correct),
            share(record.clean),
            record.data.count,
            f"{budget.largest(record.norm):.4f}",
            f"{100 * budget.at_bound:.0f} %",
            f"{record.data.count / record.seconds:.1f}" if record.seconds else "–",
        )
        for record in sorted(records, key=_record_order)
        for budget in record.budgets
    ]
    columns = f"network,threat,source,ε,iterations,accuracy %,clean %,n,max {signs},at bound,images/s"
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
                f"two measurements of {titles[key[0]]} under attack {str(key[1])!r}, which differ in "
                f"{_differing(found[key], record)}; leave one of them out, in {record.target.run}/records"
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
    columns += [f"checks {written(epsilon)}" for epsilon in checked_epsilons(checks)]
    return Table(columns, rows)


def _differing(one: Evaluation, other: Evaluation) -> str:
    """Where two measurements of one column differ."""
    both = [
        {
            **record.attack,
            "iterations": record.budgets[-1].iterations,
            "images": record.data.count,
            "seed": record.seed,
            "source": record.source.run,
            "8-bit": record.eight_bit,
        }
        for record in (one, other)
    ]
    names = dict.fromkeys(name for settings in both for name in settings)
    differ = [name for name in names if both[0].get(name) != both[1].get(name)]
    told = ", ".join(f"{name} ({both[0].get(name)} and {both[1].get(name)})" for name in differ)
    return told or "nothing but their outcome"


def _with_certified(attacks: Sequence[Column], epsilons: Sequence[float]) -> list[Column]:
    """Columns of attacks, with one for what is certified at each ε behind the white-box ones there."""
    columns = list(attacks)
    for epsilon in epsilons:
        white = [place for place, column in enumerate(columns) if column.place == 0]
        there = [place for place in white if columns[place].epsilon == epsilon] or white
        columns.insert(there[-1] + 1 if there else 0, Column(0, False, epsilon, CERTIFIED))
    return columns


def protocol(records: Sequence[Evaluation]) -> str:
    """What was measured, on which images, and what counts; a line for each kind of measurement."""
    kinds = "".join(f"{line}\n" for line in dict.fromkeys(measured(record) for record in records))
    transfer = (
        "Transfer attacks are made on any other network, or on several jointly (a + b), which tables name, and are\n"
        "judged likewise.\n"
        if any(record.threat == "transfer" for record in records)
        else ""
    )
    return (
        f"{kinds}ε in units of the [0, 1] pixel range; percent with 95 % Wilson interval.\n"
        f"White-box: right clean and at every iterate of an attack on the network itself.\n{_randomness(records)}"
        "Gray-box (undefended, same architecture), surrogate (same defense, another seed) and black-box (undefended,\n"
        "another architecture) are transfer attacks, judged on the last iterate: upper bounds, no robustness.\n"
        f"{transfer}{_unmoved(records)}"
    )


def _unmoved(records: Sequence[Evaluation]) -> str:
    """Whom the attack's gradients failed altogether."""
    titles = network_titles(records)
    found = [
        f"{attack_title(one.attack)} moved no image of {titles[one.target.weights]} at ε "
        f"{written(one.attack['epsilon'])}:\n"
        "its gradients are 0, and what stands says nothing (atlpa-eval --check asks why).\n"
        for one in records
        if one.threat == "white" and one.attack["name"] == PGD and one.attack["epsilon"]
        if not one.budgets[-1].linf_max and "1" in one.clean[0]
    ]
    return "".join(dict.fromkeys(found))


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


def tidy(records: Sequence[Evaluation]) -> Table:
    """One row per record and budget with plain numbers, for other programs; the norm where it is not L∞ everywhere."""
    several = any(record.norm != "Linf" for record in records)
    rows = [
        (
            *(record.target.defense, record.target.architecture, record.target.seed, record.threat),
            *_joined(record.sources),
            *(record.attack["name"], record.attack["epsilon"], budget.iterations),
            *share(budget.correct),
            share(record.clean).value,
            *(len(record.clean), record.average),
            *(budget.linf_max, budget.linf_mean, budget.at_bound),
            *(int(record.eight_bit), among.value if (among := share_among(budget.correct, record.clean)) else None),
            *((record.norm, budget.l2_max, budget.l2_mean) if several else ()),
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
        *("eight_bit", "accuracy_of_right_clean"),
        *(("norm", "l2_max", "l2_mean") if several else ()),
    )
    return Table(columns, rows)


def _joined(sources: Sequence[Network]) -> tuple[str, str, str | int]:
    """Defense, architecture and seed of what was attacked; of several networks each joined by a plus."""
    if len(sources) == 1:
        return sources[0].defense, sources[0].architecture, sources[0].seed
    defenses, architectures, seeds = zip(
        *((one.defense, one.architecture, str(one.seed)) for one in sources), strict=True
    )
    return "+".join(defenses), "+".join(architectures), "+".join(seeds)


def measured_threats(records: Sequence[Evaluation]) -> list[str]:
    """The threats that were measured, in the order of tables: ``transfer`` by its source."""
    titles = network_titles(records)
    columns = {column_of(record, titles) for record in records}
    return list(dict.fromkeys(column.attack for column in sorted(columns, key=lambda c: (c.place, c.l2, c.attack))))


def _record_order(record: Evaluation) -> tuple[object, ...]:
    return *row_order(record.target), record.target.run, THREATS.index(record.threat), record.attack["epsilon"]
