"""What a report says, table by table: the same in Markdown, LaTeX and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atlpa.records import Analysis, Regions
from atlpa.report.accuracy import protocol, threat_table
from atlpa.report.analyses import attention_table, drawn_around, embedding_table, landscape_table, regions_table
from atlpa.report.paper import beside_paper
from atlpa.report.results import Results
from atlpa.report.seed_statistics import defense_differences, seed_statistics
from atlpa.report.significance import significance
from atlpa.report.table import Table


@dataclass(frozen=True)
class Section:
    """A table with its title and what it means.

    Fields:
        name: for file names and links.
        title: a line.
        table: the numbers.
        note: what they mean, as plain lines.
    """

    name: str
    title: str
    table: Table
    note: str

    def markdown(self) -> str:
        """Title, table and note."""
        return f"**{self.title}**\n\n{self.table.markdown()}\n{self.note}"


def sections(results: Results) -> list[Section]:
    """Every table that the records allow.

    Raises:
        ValueError: two measurements for one cell.
    """
    found = accuracy_sections(results) if results.evaluations else []
    return found + analysis_sections(results.analyses)


def accuracy_sections(results: Results) -> list[Section]:
    """Table 1 and what stands around it."""
    records, checks = results.evaluations, results.checks
    note = protocol(records)
    if checks:
        note += (
            "Checks: whether plain PGD at that ε overstates what stands (fail: measured evidence that it does, or\n"
            "that the evaluation is invalid; warn: not conclusive).\n"
        )
    found = [Section("table1", "Accuracy under attack, percent", threat_table(records, checks), note)]
    if table := beside_paper(records, checks):
        title = "Table 1, paper / ours: the paper's networks are ResNet-101 at 224×224; percent"
        note = (
            "Paper and ours are transfer accuracies; the undefended network's gray-box source is itself, which makes\n"
            "that cell white-box. The verdict compares white-box accuracy with guessing.\n"
        )
        found.append(Section("table1-paper", title, table, note))
    if table := significance(records):
        title = "Differences in points, exact McNemar tests on the same images, Holm's correction within a column"
        note = "They compare these two networks each; two defenses take several seeds.\n"
        found.append(Section("significance", title, table, note))
    if table := seed_statistics(records):
        title = "Mean over seeds, with its 95 % interval over seeds and images, percent"
        note = (
            "About the defense on images of this kind: the variances over seeds and over images, added; Student's t,\n"
            "with seed means taken as normal.\n"
        )
        found.append(Section("seeds", title, table, note))
    if table := defense_differences(records):
        title = "Differences in points, 95 % interval over seeds and images, Holm's correction within a column"
        note = (
            "They compare these two defenses each, on images of this kind, by Welch's t with seeds as its units.\n"
            "No p is smaller than an exact permutation of so many seeds can give; where that is above 0.05, there\n"
            "are too few to tell.\n"
        )
        found.append(Section("defenses", title, table, note))
    return found


def _stage(records: Sequence[Analysis]) -> str:
    return " and ".join(sorted({record.stage for record in records if isinstance(record, Regions)}))


def analysis_sections(records: Sequence[Analysis]) -> list[Section]:
    """Tables 2 and 3, and the ranges of Figures 4 and 8."""
    made = (
        (
            "attention-maps",
            "Attention maps: how much they depend on the image, and how far attacks move them",
            attention_table(records),
            "Variation: mean distance of the unit-length maps of Eq. 4 from their mean over images; 0 means that the\n"
            "network attends to the same places whatever it is shown. Distance: Eq. 4 of clean and attacked images.\n",
        ),
        (
            "table2",
            f"Table 2: normalized {_stage(records)} activation inside key regions, and inside − outside",
            regions_table(records),
            "Means with 95 % intervals over the images that have a mask; in brackets the paper's.\n",
        ),
        (
            "table3",
            "Table 3: silhouette of t-SNE of the pooled features, and of the raw features",
            embedding_table(records),
            "Mean ± deviation over seeds of t-SNE, then the raw features; in brackets the paper's.\n",
        ),
        (
            "landscape-ranges",
            "Figures 4 and 8: range of the loss surfaces, nats",
            landscape_table(records),
            f"Highest minus lowest loss over x₀ + a·sign(gradient) + b·random signs, {drawn_around(records)}.\n",
        ),
    )
    return [Section(name, title, table, note) for name, title, table, note in made if table]
