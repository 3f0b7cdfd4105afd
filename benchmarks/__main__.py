"""``python -m benchmarks``: measure beside the peers and against the machine's floor; records and a page.

Each part is written to docs/performance as it is finished, and what is there already is measured again only on request.
"""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from atlpa.component import dump
from atlpa.files import write_text
from atlpa.machine import describe, pick_device
from benchmarks.floor import dense_rates
from benchmarks.page import write_page
from benchmarks.parts import ON_GPU, ON_RUNS, PARTS, QUICK, TOGETHER, UNTIMED, Plan
from benchmarks.turns import compete

FOLDER = Path(__file__).parents[1] / "docs" / "performance"
USEFUL_FLAGS = ("avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_tile")


def machine(device: torch.device) -> dict[str, Any]:
    """The machine with the instructions that matter here, and the best rates it shows now."""
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return {
        **dump(describe(device)),
        "flags": [flag for flag in USEFUL_FLAGS if flag in words],
        "system": platform.system(),
        "rates": dense_rates(device),
    }


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a minute: smaller work, one peer, into --output quick/")
    parser.add_argument("--only", metavar="TEXT", help="parts with this in their name")
    parser.add_argument("--again", action="store_true", help="measure again what is on record")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contestant; default: %(default)s")
    parser.add_argument(
        "--runs", type=Path, help="a folder of finished runs; without it parts on trained networks wait"
    )
    parser.add_argument("--data-root", help="where the runs' data lies")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=FOLDER, help="default: docs/performance")
    arguments = parser.parse_args()

    plan = Plan(arguments.device, arguments.quick, arguments.runs or Path(), arguments.data_root)
    folder = arguments.output / "quick" if arguments.quick else arguments.output
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, contestants) in enumerate(PARTS.items()):
        path = folder / f"{number:02}.json"
        if (arguments.only or "") not in name or (path.exists() and not arguments.again):
            continue
        if arguments.quick and name != QUICK:
            continue
        if name in ON_GPU and arguments.device == "cpu":
            continue
        if name in ON_RUNS and arguments.runs is None:
            print(f"{name}: needs trained networks, give --runs")
            continue
        rows = contestants(plan)
        compete(rows, 0 if name in UNTIMED else arguments.rounds, name, name in TOGETHER)
        record = {
            "part": name,
            "machine": machine(pick_device(arguments.device)),
            "rows": [asdict(row) for row in rows],
        }
        for row in record["rows"]:
            row["settings"].pop("data_root", None)
        # Where runs lie is nobody's business: only their names go on record.
        text = json.dumps(record, indent=1, ensure_ascii=False).replace(f'"{plan.runs.as_posix()}/', '"')
        write_text(path, text + "\n")
    write_page(folder)


if __name__ == "__main__":
    main()
