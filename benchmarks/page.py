"""The tables and figures of docs/performance.md, drawn from the records alone."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atlpa.files import write_text
from benchmarks.contestants import OURS, PEERS
from benchmarks.figures import draw_growth, draw_ratios
from benchmarks.table1 import table1

START, END = "<!-- measured: start -->", "<!-- measured: end -->"
Record = dict[str, Any]


def spread(numbers: Sequence[float], digits: int = 2) -> str:
    """Median, with the smallest and the largest."""
    low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
    return f"{middle:.{digits}f} ({low:.{digits}f} … {high:.{digits}f})"


def seconds(row: Mapping[str, Any]) -> list[float]:
    """What each turn took."""
    return [turn["seconds"] for turn in row["turns"]]


def compared(record: Record) -> bool:
    """Whether ours was timed in a part."""
    return any(row["turns"] and row["name"] in OURS for row in record["rows"])


def ratios(record: Record) -> dict[str, list[float]]:
    """For each of ours, how many times faster than the fastest peer it was in each round."""
    rows = {row["name"]: seconds(row) for row in record["rows"]}
    peer = rows[fastest(record)]
    return {name: [theirs / own for theirs, own in zip(peer, rows[name], strict=True)] for name in OURS}


def fastest(record: Record) -> str:
    """The peer with the smallest median."""
    peers = [row for row in record["rows"] if row["name"] in PEERS]
    name: str = min(peers, key=lambda row: statistics.median(seconds(row)))["name"]
    return name


def best_rate(record: Record, precision: str) -> float:
    """Operations per second of the fastest dense kernel when the part was measured."""
    rates = record["machine"]["rates"]
    return max(rates.get(precision, rates["fp32"]).values())  # bf16 is computed in fp32 where it would be imitated


def floor(record: Record, name: str) -> float | None:
    """Seconds that the operations would take at the machine's best rate; nobody can be faster."""
    row = next(row for row in record["rows"] if row["name"] == name)
    facts, settings = row["facts"], row["settings"]
    operations = facts.get("operations")
    if row["work"] == "white box":
        operations *= facts["forwards"] + facts["backwards"]
    elif row["work"] == "training step":
        # Two iterations forwards and backwards, then both views forwards and twice backwards.
        operations *= settings["batch"] * (2 * 2 + 2 * 3)
    return operations / best_rate(record, name.split()[-1]) if operations else None


def unit(value: float) -> str:
    return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.3g} ms"


def comparison(records: Sequence[Record]) -> list[str]:
    """One line for each part: the fastest peer, ours, the ratios and how near the floor they are."""
    lines = [
        "| work | fastest peer | peer | fp32 | times faster | of the floor | bf16 | times faster | of the floor |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for record in records:
        if not compared(record):
            continue
        rows, times = {row["name"]: row for row in record["rows"]}, ratios(record)
        peer = fastest(record)
        guessed = "≈ " if any(turn.get("share", 1) < 1 for turn in rows[peer]["turns"]) else ""
        cells = [record["part"], peer, guessed + unit(statistics.median(seconds(rows[peer])))]
        for name in OURS:
            own, least = statistics.median(seconds(rows[name])), floor(record, name)
            cells += [unit(own), f"**{spread(times[name], 1)}**", f"{100 * least / own:.0f} %" if least else ""]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def everyone(records: Sequence[Record]) -> list[str]:
    """Every contestant's time, with its spread, and what it did for it."""
    lines = [
        "| work | contestant | ms or s | forwards | backwards | pixels that differ |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for record in records:
        for row in record["rows"]:
            facts = row["facts"]
            if not row["turns"]:
                continue
            scale, name = (1, "s") if statistics.median(seconds(row)) >= 1 else (1000, "ms")
            cells = [record["part"], row["name"], f"{spread([scale * s for s in seconds(row)], 2)} {name}"]
            cells += [f"{facts[key]:.0f}" if key in facts else "" for key in ("forwards", "backwards")]
            cells.append(f"{100 * facts['differing']:.3f} %" if "differing" in facts else "")
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def memory(records: Sequence[Record]) -> list[str]:
    """What one iteration keeps and needs."""
    lines = [
        "| contestant | kept for the backward | ratio | peak of the process | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for record in records:
        rows = [row for row in record["rows"] if row["work"] == "memory"]
        least = (
            {key: min(row["facts"][key] for row in rows if row["name"] in PEERS) for key in ("activations", "peak")}
            if rows
            else {}
        )
        for row in rows:
            cells = [row["name"]]
            for key in least:
                cells += [f"{row['facts'][key] / 2**20:.0f} MiB", f"{row['facts'][key] / least[key]:.2f}"]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def accuracies(records: Sequence[Record]) -> list[str]:
    """What the white-box attacks leave standing."""
    lines = ["| attack | contestant | accuracy | forwards | backwards |", "|---|---|---:|---:|---:|"]
    for record in records:
        for row in record["rows"]:
            facts, settings = row["facts"], row["settings"]
            if row["work"] != "white box" or (row["name"] in PEERS and settings["measured"] != settings["iterations"]):
                continue
            run = Path(settings["run"]).name.split("-")[0]
            what = f"{run}, ε {settings['epsilon']:.3g}, {settings['iterations']} iterations, {facts['images']} images"
            cells = [what, row["name"], f"{100 * facts['accuracy']:.1f} %"]
            cells += [f"{facts[key]:.0f}" for key in ("forwards", "backwards")]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def strength(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether half precision attacks as well."""
    lines = [
        "| network | ε | images | reference | fp32 | bf16 | verdicts fp32 changes | verdicts bf16 changes |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        shares = [f"{100 * row['accuracy'][name]:.1f} %" for name in ("reference", "fp32", "bf16")]
        changed = [f"{100 * row['changed'][name]:.1f} %" for name in ("fp32", "bf16")]
        cells = [row["network"], f"{255 * row['epsilon']:g}/255", str(row["images"]), *shares, *changed]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def breakdown(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where an iteration's time goes."""
    groups = list(rows[0]["milliseconds"])
    lines = [
        f"| one iteration, ms per image | {' | '.join(groups)} | rate of the convolutions | of the best dense rate |",
        f"|---|{'---:|' * (len(groups) + 2)}",
    ]
    for row in rows:
        cells = [f"{row['network']}, {row['precision']}", *(f"{row['milliseconds'][group]:.2f}" for group in groups)]
        cells += [f"{row['rate'] / 1e9:.0f} GFLOP/s", f"{100 * row['rate'] / row['best']:.0f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def neighbors(record: Record) -> list[str]:
    """Works alone and beside busy programs, by how threads wait.

    k threads beside n busy ones on c cores are due c / (k + n) of a core each, of which they have one when alone.
    """
    fair = max(1.0, (record["machine"]["threads"] + record["neighbors"]) / record["cores"])
    beside = f"beside {record['neighbors']} busy programs, ms"
    lines = [f"| work | threads wait | alone, ms | {beside} | of the fair share's time |", "|---|---|---:|---:|---:|"]
    for row in record["rows"]:
        shares = [seconds / (fair * statistics.median(row["quiet"])) for seconds in row["busy"]]
        quiet, busy = (spread([1000 * seconds for seconds in row[state]], 1) for state in ("quiet", "busy"))
        lines.append(f"| {row['work']} | {row['waits']} | {quiet} | {busy} | **{spread(shares)}** |")
    return lines


def copies(records: Sequence[Record]) -> list[str]:
    """Attacks of every size beside the plain loop, on a copy of the network or on the network itself."""
    lines = [
        "| instructions | attack | on | plain loop, ms per iteration | ours | times faster |",
        "|---|---|---|---:|---:|---:|",
    ]
    for record in records:
        for row in record["rows"]:
            iterations = int(row["work"].split()[-2])
            plain, own = (f"{1000 * statistics.median(row[way]) / iterations:.1f}" for way in ("reference", "auto"))
            faster = spread([theirs / ours for theirs, ours in zip(row["reference"], row["auto"], strict=True)])
            on = "a copy" if row["copied"] else "the network"
            instructions = record["machine"]["instructions"]
            lines.append(f"| {instructions} | {row['work']} | {on} | {plain} | {own} | **{faster}** |")
    return lines


def small_maps(records: Sequence[Record]) -> list[str]:
    """Training passes with torch's own convolutions, and with those of small maps as matrix products."""
    lines = ["| instructions | pass | convolutions, ms | products, ms | times faster |", "|---|---|---:|---:|---:|"]
    for record in records:
        for row in record["rows"]:
            before, now = (f"{1000 * statistics.median(row[way]):.0f}" for way in ("convolutions", "products"))
            faster = spread([old / new for old, new in zip(row["convolutions"], row["products"], strict=True)])
            lines.append(f"| {record['machine']['instructions']} | {row['work']} | {before} | {now} | **{faster}** |")
    return lines


def networks(records: Sequence[Record]) -> list[str]:
    """Whether each network has a copy, how near its gradients are to the plain loop's, and what it saves."""
    lines = [
        "| network | side | on | gradients apart: median, largest | plain loop from float64 | ours from float64 | "
        "convolutions | matrix products | times faster |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for record in records:
        for row in record["rows"]:
            faster = spread([theirs / ours for theirs, ours in zip(row["reference"], row["auto"], strict=True)])
            on = "a copy" if row["copied"] and not row["why"] else f"the network: {row['why']}"
            cells = [row["network"], str(row["side"]), on]
            for way in ("apart", "plain_exact", "own_exact"):
                cells.append(f"{statistics.median(row[way]):.0e}, {row[way][-1]:.0e}")
            cells += [f"{100 * row['shares'][kind]:.0f} %" for kind in ("convolutions", "matrix products")]
            cells.append(f"**{faster}**")
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def versions(record: Record) -> list[str]:
    """Ours, now and in another checkout, turn by turn."""
    lines = ["| work | before, ms | now, ms | of the time before |", "|---|---:|---:|---:|"]
    for row in record["rows"]:
        medians = [1000 * statistics.median(row[when]) for when in ("before", "after")]
        before, after = (f"{one:.2f}" if one < 100 else f"{one:.0f}" for one in medians)
        ratio = statistics.median(row["after"]) / statistics.median(row["before"])
        of_turns = spread([now / then for then, now in zip(row["before"], row["after"], strict=True)])
        lines.append(f"| {row['work']} | {before} | {after} | **{ratio:.3f}** (turns: {of_turns}) |")
    return lines


def described(machine: Mapping[str, Any]) -> list[str]:
    """The machine, and the best it shows."""
    lines = [
        f"{machine['device']}, {machine['threads']} threads, {machine['system']}, torch {machine['torch']}, Python "
        f"{machine['python']}; instructions {', '.join(machine['flags'])}.",
        "",
        "| dense kernel | fp32 | bf16 |",
        "|---|---:|---:|",
    ]
    rates = machine["rates"]
    for kernel in rates["fp32"]:
        cells = [f"{rates[name][kernel] / 1e9:.0f} GFLOP/s" if name in rates else "–" for name in ("fp32", "bf16")]
        lines.append(f"| {kernel} | {' | '.join(cells)} |")
    return lines


def write_page(folder: Path) -> None:
    """Draw what is on record in a folder into ``performance.md`` beside it, between its two markers, and print it."""
    records: list[Record] = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("[0-9]*.json"))
    ]
    if not records:
        return
    sections: list[list[str]] = [["### The machine", "", *described(records[0]["machine"])]]
    draw_ratios({record["part"]: ratios(record) for record in records if compared(record)}, folder)
    sections.append(
        ["### Beside the fastest peer", "", *comparison(records), "", f"![Times faster]({folder.name}/ratios.svg)"]
    )
    if (path := folder / "breakdown.json").exists():
        rows = json.loads(path.read_text(encoding="utf-8"))
        sections.append(["### Where the time of our iteration goes", "", *breakdown(rows)])
    for title, table in (
        ("Memory", memory(records)),
        ("What the attacks leave standing", accuracies(records)),
    ):
        if len(table) > 2:
            sections.append([f"### {title}", "", *table])
    if (path := folder / "strength.json").exists():
        sections.append(["### Is bf16 as strong?", "", *strength(json.loads(path.read_text(encoding="utf-8")))])
    if (path := folder / "neighbors.json").exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        title = f"### Beside busy programs ({record['cores']} cores, {record['machine']['threads']} threads)"
        sections.append([title, "", *neighbors(record)])
    if paths := sorted(folder.glob("copies-*.json")):
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        sections.append(["### Every size of attack, on newer and older processors", "", *copies(found)])
    if paths := sorted(folder.glob("small-maps-*.json")):
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        sections.append(["### Training on small images (processor time)", "", *small_maps(found)])
    if paths := sorted(folder.glob("networks-*.json")):
        found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
        where = "; ".join(record["machine"]["instructions"] for record in found)
        title = f"### Other networks (processor time, one thread, batch 8, {where})"
        sections.append([title, "", *networks(found)])
    if (path := folder / "versions.json").exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        where = f"{record['machine']['device']}, {record['machine']['instructions']}, commit {record['before']} and now"
        sections.append([f"### Against an older version ({where})", "", *versions(record)])
    if hours := table1(records):
        what = "≈: what `atlpa-study flowers` and `bmw` pass, at the rates of a training step and an iteration above."
        sections.append(["### The paper's Table 1 here", "", what, "", *hours])
    if (path := folder / "growth.json").exists():
        draw_growth(json.loads(path.read_text(encoding="utf-8")), folder)
        sections.append(["### How cost grows", "", f"![How cost grows]({folder.name}/growth.svg)"])
    sections.append(["### Everyone", "", *everyone(records)])
    text = "\n\n".join("\n".join(section) for section in sections)
    page = folder.with_suffix(".md")
    before, after = "# Performance\n\n", "\n"
    if page.exists() and START in (old := page.read_text(encoding="utf-8")):
        before, after = old.split(START)[0], old.split(END)[1]
    write_text(page, f"{before}{START}\n{text}\n{END}{after}")
    print("\n".join(comparison(records)))
