"""What ``atlpa-eval`` does with bundles: writing one, and repeating what one claims."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from atlpa.cli.command import check_file, path
from atlpa.cli.runs import chosen_runs
from atlpa.component import field_names
from atlpa.errors import UserError, one_line
from atlpa.machine import pick_device
from atlpa.progress import say
from atlpa.report.table import Table
from atlpa.runs.bundle import write_bundle
from atlpa.runs.open_bundle import opened
from atlpa.runs.verify import Repeated, verify

NAMED = 10
"""Images that are named of those that differ."""


def add_bundle_options(group: argparse._ArgumentGroup) -> None:
    """Add what ``bundle`` and ``repeat`` read."""
    shows = "write everything that shows the run's numbers into one file, for others to repeat"
    group.add_argument("--bundle", type=path, metavar="FILE", help=shows)
    repeats = "repeat what a bundle claims, and say image by image what agrees; exit status 1 where any does not"
    group.add_argument("--verify", type=path, metavar="FILE", help=repeats)


def bundle(arguments: argparse.Namespace) -> None:
    """Write the bundle of one run."""
    file = Path(arguments.bundle)
    check_file("--bundle", file)
    runs = chosen_runs(arguments.run, arguments.data_root, trust_code=arguments.trust_code)
    if len(runs) > 1:
        raise UserError(f"--bundle holds one network, and {len(runs)} runs are named; give one --run")
    names = write_bundle(runs[0], file)
    print(one_line(f"{file}: {len(names)} files, {file.stat().st_size / 2**20:.1f} MiB; repeat what it claims with:"))
    root = " --data-root DIR" if "root" in field_names(runs[0].experiment.data) else ""
    print(one_line(f"atlpa-eval --verify {file}{root}"))


def repeat(arguments: argparse.Namespace) -> list[Repeated]:
    """Repeat what a bundle claims, and say image by image what agrees."""
    file, device, began = Path(arguments.verify), pick_device(arguments.device), time.monotonic()
    with opened(file, trust_code=arguments.trust_code) as (run, notes):
        for note in notes:
            say(f"note: {note}")
        if arguments.data_root and "root" not in field_names(run.experiment.data):
            raise UserError(f"{run.experiment.data.name}, of {file}, needs no files; leave out --data-root")
        done = list(verify(run.with_data_root(arguments.data_root), device))
    rows = [(one.what, f"{one.agree} of {one.of}" if one.of else "–", _named(one)) for one in done]
    print(Table(("claim", "images that agree", "others"), rows).markdown(), end="")
    agree, of = sum(one.agree for one in done), sum(one.of for one in done)
    print(f"{agree} of {of} verdicts on images agree; {time.monotonic() - began:.0f} s")
    return done


def _named(one: Repeated) -> str:
    if not one.differing:
        return one.note
    more = f" and {len(one.differing) - NAMED} more" if len(one.differing) > NAMED else ""
    return f"images {', '.join(map(str, one.differing[:NAMED]))}{more}"
