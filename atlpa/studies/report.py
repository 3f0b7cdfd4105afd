"""The report of a study, from what is on record."""

from __future__ import annotations

from pathlib import Path

from atlpa.report import Results, read_results, write_report
from atlpa.studies.plan import Plan
from atlpa.studies.step import Say


def write_study_report(whole: Plan, folder: Path, say: Say = print) -> Results:
    """Write the report (``index.html``, tables, figures) from what is on record, which is given, and print the tables.

    What cannot be read is named and left out.

    Args:
        whole: the plan, no shard of it.
        folder: where to.
        say: told the tables.

    Raises:
        UserError: the folder cannot be written.
    """
    results = read_results(file for step in whole.steps for file in step.files())
    for problem in results.problems:
        say(problem)
    if not results.evaluations:
        say("nothing is on record yet")
        return results
    say(f"\n{write_report(results, folder)}")
    if missing := sum(step.state() != "done" for step in whole.steps):
        say(f"{missing} of {len(whole.steps)} steps are not done yet")
    say(f"records: {folder}/*/records/; tables and figures: {folder}/\nreport: {folder}/index.html")
    return results
