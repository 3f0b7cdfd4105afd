"""``python -m benchmarks.versions BEFORE``: is this checkout as fast as another, at each of our works? In one go.

Each work is done by a process in either checkout, turn by turn, so that what else the machine does meets both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from atlpa.component import dump
from atlpa.files import write_text
from atlpa.machine import describe
from benchmarks.contestants import OURS
from benchmarks.parts import PARTS, Plan
from benchmarks.turns import Contestant

HERE = Path(__file__).parents[1]
FILE = HERE / "docs" / "performance" / "versions.json"
LEFT_OUT = ("torchattacks", "memory", "one process", "batch 64", "ResNet-101")  # no work of ours, or another's again


class Checkout:
    """A process that does one work with the code of a checkout."""

    def __init__(self, folder: Path, contestant: Contestant) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", contestant.work, json.dumps(contestant.settings)],
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True},
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )

    def seconds(self) -> float:
        """How long a turn took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("turn\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return float(answer["seconds"])


def works(plan: Plan) -> dict[str, Contestant]:
    """Ours at each part that takes minutes at most; attacks of trained networks where they are there."""
    found = {}
    for name, contestants in PARTS.items():
        if name.startswith("PGD iteration, ResNet-18") or not any(word in name for word in LEFT_OUT):
            for row in contestants(plan):
                runs = [row.settings.get("run") or row.settings.get("source"), *row.settings.get("targets", ())]
                if row.name in OURS and all(Path(run).is_dir() for run in runs if run):
                    found[f"{name}, {row.name}"] = row
    return found


def main() -> None:
    """Measure, and write the ratios down."""
    parser = argparse.ArgumentParser(prog="benchmarks.versions", description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="another checkout")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each; default: %(default)s")
    parser.add_argument("--runs", type=Path, default=Path("no runs"), help="a folder of finished runs")
    parser.add_argument("--data-root", help="where the runs' data lies")
    parser.add_argument("--only", default="", metavar="TEXT", help="works with this in their name")
    arguments = parser.parse_args()
    commit = ["git", "-C", str(arguments.before), "rev-parse", "--short", "HEAD"]
    before_commit = subprocess.run(commit, capture_output=True, text=True, check=True).stdout.strip()
    content: dict[str, Any] = {"before": before_commit, "machine": dump(describe(torch.device("cpu"))), "rows": []}
    for name, contestant in works(Plan("cpu", False, arguments.runs, arguments.data_root)).items():
        if arguments.only not in name:
            continue
        before, after = (Checkout(folder.resolve(), contestant) for folder in (arguments.before, HERE))
        turns: dict[str, list[float]] = {"before": [], "after": []}
        for number in range(arguments.rounds + 1):
            order = [("before", before), ("after", after)]
            for which, checkout in order if number % 2 else reversed(order):
                seconds = checkout.seconds()
                if number:  # the first turn of each finds its memory
                    turns[which].append(seconds)
        for checkout in (before, after):
            checkout.process.communicate()
        ratios = [late / early for early, late in zip_longest(*turns.values())]
        content["rows"].append({"work": name, **turns})
        write_text(FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")  # what is measured is kept
        print(
            f"{name}: {statistics.median(ratios):.3f} of the time before ({min(ratios):.2f} … {max(ratios):.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
