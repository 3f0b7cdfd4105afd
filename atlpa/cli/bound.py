"""``atlpa-eval --bound``: what is certain of trained networks."""

from __future__ import annotations

import argparse

from atlpa.cli.attack_options import epsilons_without_attack
from atlpa.cli.given import judged_runs
from atlpa.errors import UserError
from atlpa.machine import pick_device
from atlpa.records import Bound
from atlpa.report import Results, bounds_section, read_results
from atlpa.runs import BoundRun


def bound(arguments: argparse.Namespace) -> list[Bound]:
    """Bound networks and print what is certain, beside the attacks on record of the same images."""
    epsilons = epsilons_without_attack(arguments, "--bound", "which holds for every attack")
    if arguments.seed:
        raise UserError("--seed has no meaning with --bound, which draws nothing")
    device = pick_device(arguments.device)
    networks = [network for run in judged_runs(arguments) for network in run.networks]
    asked = [BoundRun(one, arguments.bound, epsilon, arguments.limit) for one in networks for epsilon in epsilons]
    on_record = [None if arguments.again else one.recorded for one in asked]  # a damaged one is found at once
    records = [record or one.make(device) for one, record in zip(asked, on_record, strict=True)]
    attacked = read_results(file for one in networks for file in sorted(one.records.glob("white-*.json")))
    section = bounds_section(Results(attacked.evaluations, bounds=records))
    assert section is not None
    print(section.table.markdown(), end="")
    print(section.note, end="")
    return records
