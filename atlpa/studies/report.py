"""The report of a study, from what is on record."""

from __future__ import annotations

from pathlib import Path

from atlpa.report import Results, write_report
from atlpa.studies.plan import Plan
from atlpa.studies.step import Say


def write_study_report(whole: Plan, folder: Path, say: Say = print) -> None:
    """Write the report (``index.html``, tables, figures) from what is on record, and print the tables.

    Args:
        whole: the plan, no shard of it.
        folder: where to.
        say: told the tables.

    Raises:
        UserError: a record is damaged, or the folder cannot be written.
    """
    results = Results.of({path: record for step in whole.steps for path, record in step.records().items()})
    if not results.evaluations:
        say("nothing is on record yet")
        return
    say(f"\n{write_report(results, folder)}")
    if missing := sum(step.state() != "done" for step in whole.steps):
        say(f"{missing} of {len(whole.steps)} steps are not done yet")
    say(f"records: {folder}/*/records/; tables and figures: {folder}/\nreport: {folder}/index.html")
