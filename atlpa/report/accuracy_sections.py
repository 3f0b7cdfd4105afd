"""Table 1 and what stands around it, as sections of a report."""

from __future__ import annotations

from atlpa.report.accuracy import protocol, threat_table
from atlpa.report.bounds import MEANING, bounds_table, without_bound
from atlpa.report.paper import beside_paper
from atlpa.report.results import Results
from atlpa.report.section import Section
from atlpa.report.seed_statistics import defense_differences, seed_statistics
from atlpa.report.significance import significance
from atlpa.report.transfer import transfer_table


def accuracy_section(results: Results) -> Section | None:
    """Table 1: every network under every attack."""
    if not results.evaluations:
        return None
    note = protocol(results.evaluations)
    if results.checks:
        note += (
            "Checks: whether plain PGD at that ε overstates what stands (fail: measured evidence that it does, or\n"
            "that the evaluation is invalid; warn: not conclusive).\n"
        )
    table = threat_table(results.evaluations, results.checks, results.bounds)
    return Section("table1", "Accuracy under attack, percent", table, note)


def bounds_section(results: Results) -> Section | None:
    """Certified lower bounds beside what attacks leave standing."""
    return Section.where(
        bounds_table(results.bounds, results.evaluations),
        name="bounds",
        title="Between two bounds: certified, and standing under attack, percent; the gap in points",
        note=MEANING + "".join(f"No bound: {line}\n" for line in without_bound(results.bounds)),
    )


def transfer_section(results: Results) -> Section | None:
    """Every transfer attack by itself."""
    return Section.where(
        transfer_table(results.evaluations),
        name="transfer",
        title="Transfer attacks, each target × attack × source, percent",
        note="Of those right clean: among the images that the target gets right without an attack, with the interval\n"
        "of as many; what is missing from 100 is what the attack turned over. Networks joined by + were attacked\n"
        "jointly.\n",
    )


def paper_section(results: Results) -> Section | None:
    """Table 1 beside the paper's."""
    return Section.where(
        beside_paper(results.evaluations, results.checks),
        name="table1-paper",
        title="Table 1, paper / ours: the paper's networks are ResNet-101 at 224×224; percent",
        note="Paper and ours are transfer accuracies; the undefended network's gray-box source is itself, which makes\n"
        "that cell white-box. Of several seeds the mean; the verdict compares white-box accuracy with guessing.\n",
    )


def significance_section(results: Results) -> Section | None:
    """Which differences between networks are more than chance."""
    return Section.where(
        significance(results.evaluations),
        name="significance",
        title="Differences in points, exact McNemar tests on the same images, Holm's correction within a column",
        note="They compare these two networks each; two defenses take several seeds.\n",
    )


def seeds_section(results: Results) -> Section | None:
    """All trainings, where one has several seeds."""
    return Section.where(
        seed_statistics(results.evaluations),
        name="seeds",
        title="Each training: the mean over its seeds, percent with 95 % interval",
        note="Of three seeds or more the interval is about the defense on images of this kind: the variances over\n"
        "seeds and over images, added; Student's t, with seed means taken as normal. Of fewer it is about these\n"
        "networks, over images alone. Where not every seed was measured, it is said how many were.\n",
    )


def defenses_section(results: Results) -> Section | None:
    """Which differences between defenses are more than chance."""
    return Section.where(
        defense_differences(results.evaluations),
        name="defenses",
        title="Differences in points, 95 % interval over seeds and images, Holm's correction within a column",
        note="They compare these two defenses each, on images of this kind, by Welch's t with seeds as its units.\n"
        "No p is smaller than an exact permutation of so many seeds can give; where that is above 0.05, there\n"
        "are too few to tell.\n",
    )
