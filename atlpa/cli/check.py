"""``atlpa-eval --check``: what stands under all attacks together, and whether that and a claim can be believed."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from atlpa.cli.attack_options import epsilons_without_attack
from atlpa.cli.command import number
from atlpa.cli.given import judged_runs
from atlpa.cli.runs import open_runs
from atlpa.errors import UserError, one_line
from atlpa.evaluation.checks import check_claim, claim
from atlpa.field_types import written
from atlpa.machine import pick_device
from atlpa.records import Credibility, verdict
from atlpa.report import advice, findings_table, what_stands
from atlpa.runs import IMAGES, CredibilityRun


def add_check_options(group: argparse._ArgumentGroup) -> None:
    """Add what ``check`` reads."""
    add = group.add_argument
    add(
        "--check",
        action="store_true",
        help="judge by all of them together, and look for evidence that an accuracy at --eps "
        f"(default 8/255) is overstated; on --limit images, default {IMAGES}",
    )
    add(
        "--claimed",
        type=number,
        metavar="X",
        help="with --check, whether a robust accuracy that is claimed can be true, 0.53 for 53 %%; the images that "
        "fell are kept in the run's folder",
    )
    add(
        "--add-check",
        action="append",
        default=[],
        metavar="NAME",
        help="with --check, also this check of your own: package.module:check (repeatable)",
    )


def check(arguments: argparse.Namespace) -> list[Credibility]:
    """Make the credibility checks and print what they found."""
    epsilons = epsilons_without_attack(arguments, "--check", "which makes its own attacks", takes=("source",))
    claimed: float | None = arguments.claimed
    if claimed is not None:
        try:
            check_claim(claimed)
        except ValueError as error:
            raise UserError(f"--claimed: {error}") from error
    device = pick_device(arguments.device)
    limit, more = arguments.limit or IMAGES, tuple(arguments.add_check)
    sources = tuple(open_runs(arguments.source, trust_code=arguments.trust_code))
    asked = [
        CredibilityRun(run, epsilon, limit, arguments.seed, more, sources)
        for run in judged_runs(arguments)
        for epsilon in epsilons
    ]
    records = [None if arguments.again else one.recorded for one in asked]  # a damaged one is found at once
    return [_checked(one, record, claimed, device) for one, record in zip(asked, records, strict=True)]


def _checked(
    one: CredibilityRun, record: Credibility | None, claimed: float | None, device: torch.device
) -> Credibility:
    """Print what was found, and what it says of a claim."""
    keep = claimed is not None
    if record is None or (keep and record.correct is not None and not one.fallen.exists()):
        record = one.make(device, keep=keep)
    data = record.data
    if claimed is not None:
        finding = claim(claimed, record.correct, record.felled_by)
        record = replace(record, findings=(*record.findings, finding))
    which = f"{data.count} of {data.available} {data.part} images of {data.dataset}"
    print(one_line(f"{one.run.folder}, ε {written(one.epsilon)}, {which}:"))
    print(findings_table(record).markdown(), end="")
    print("".join(f"{line}\n" for line in [*what_stands(record), *advice(record)]), end="")
    if keep and record.felled_by:
        print(one_line(f"the images that fell, and what felled each (numpy.load): {one.fallen}"))
    print(f"verdict: {verdict(record.findings, most=len(record.findings))}\n")
    return record
