"""Everything that is drawn from a set of records, as files in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atlpa.files import write_text
from atlpa.records import Credibility, Evaluation
from atlpa.report.accuracy import protocol, threat_table, tidy
from atlpa.report.curves import accuracy_curves
from atlpa.report.paper import beside_paper
from atlpa.report.several_seeds import defense_differences, several_seeds
from atlpa.report.significance import significance


def summary(records: Sequence[Evaluation], checks: Sequence[Credibility] = ()) -> str:
    """The tables as Markdown, with what they mean.

    Args:
        records: evaluations on one data set, one for each network, threat and ε.
        checks: of these networks.

    Raises:
        ValueError: two measurements for one cell.
    """
    text = f"{threat_table(records, checks).markdown()}\n{protocol(records)}"
    if checks:
        text += (
            "Checks: whether plain PGD at that ε overstates what stands (fail: measured evidence that it does, or\n"
            "that the evaluation is invalid; warn: not conclusive).\n"
        )
    if paper := beside_paper(records, checks):
        text += (
            f"\nBeside the paper's Table 1 (ResNet-101 at 224×224), percent:\n\n{paper.markdown()}\n"
            "Paper and ours are transfer accuracies; the undefended network's gray-box source is itself, which makes\n"
            "that cell white-box. The verdict compares white-box accuracy with guessing.\n"
        )
    if differences := significance(records):
        text += (
            f"\nDifferences in points, exact McNemar tests on the same images, Holm's correction within a column:\n\n"
            f"{differences.markdown()}\nThey compare these two networks each; two defenses take several seeds.\n"
        )
    if defenses := several_seeds(records):
        text += f"\nMean over seeds, with a 95 % bootstrap over seeds and images, percent:\n\n{defenses.markdown()}"
    if differences := defense_differences(records):
        text += (
            "\nDifferences in points, 95 % bootstrap over seeds and images, Holm's correction within a column:\n\n"
            f"{differences.markdown()}\nThey compare these two defenses each.\n"
        )
    machine = records[0].machine
    seeds = ", ".join(str(seed) for seed in sorted({record.target.seed for record in records}))
    return f"{text}\nSeed {seeds}; {machine.device}, {machine.threads} thread(s), torch {machine.torch}.\n"


def write_summary(records: Sequence[Evaluation], folder: Path, checks: Sequence[Credibility] = ()) -> str:
    """Write ``table.md``, ``table.csv`` and ``curves.png``; returns the text of the first."""
    text = summary(records, checks)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "table.md", text)
    write_text(folder / "table.csv", tidy(records).csv())
    accuracy_curves(records).savefig(folder / "curves.png", dpi=150)
    return text
