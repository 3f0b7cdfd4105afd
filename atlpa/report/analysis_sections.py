"""Tables 2 and 3, attention maps and the ranges of Figures 4 and 8, as sections of a report."""

from __future__ import annotations

from atlpa.records import Regions
from atlpa.report.analyses import attention_table, embedding_table, landscape_reach, landscape_table, regions_table
from atlpa.report.results import Results
from atlpa.report.section import Section


def attention_section(results: Results) -> Section | None:
    """Attention maps by stage, clean and attacked."""
    return Section.where(
        attention_table(results.analyses),
        name="attention-maps",
        title="Attention maps: how much they depend on the image, and how far attacks move them",
        note="Variation: mean distance of the unit-length maps of Eq. 4 from their mean over images; 0 means that the\n"
        "network attends to the same places whatever it is shown. Distance: Eq. 4 of clean and attacked images.\n",
    )


def regions_section(results: Results) -> Section | None:
    """Table 2: activation inside key regions."""
    stages = " and ".join(sorted({record.stage for record in results.analyses if isinstance(record, Regions)}))
    return Section.where(
        regions_table(results.analyses),
        name="table2",
        title=f"Table 2: normalized {stages} activation inside key regions, and inside − outside",
        note="Means with 95 % intervals over the images that have a mask; in brackets the paper's.\n",
    )


def embedding_section(results: Results) -> Section | None:
    """Table 3: silhouettes of the features."""
    return Section.where(
        embedding_table(results.analyses),
        name="table3",
        title="Table 3: silhouette of t-SNE of the pooled features, and of the raw features",
        note="Mean ± deviation over seeds of t-SNE, then the raw features; in brackets the paper's.\n",
    )


def landscapes_section(results: Results) -> Section | None:
    """Ranges of the loss surfaces of Figures 4 and 8."""
    reach = landscape_reach(results.analyses)
    return Section.where(
        landscape_table(results.analyses),
        name="landscape-ranges",
        title="Figures 4 and 8: range of the loss surfaces, nats",
        note=f"Highest minus lowest loss over x₀ + a·sign(gradient) + b·random signs, {reach}.\n",
    )
