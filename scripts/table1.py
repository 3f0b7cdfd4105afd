"""Train the rows of the paper's Table 1 that are missing, judge them all, and print and write the table.

    python scripts/table1.py --config digits --final --defenses none pat atlpa_no_attention atlpa

Whatever is finished or on record already is not done again, so the same command resumes. The table goes beside the
runs as table.md and table.csv, with a figure of accuracy against iterations.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from tqdm import tqdm

from atlpa.attacks import PGD
from atlpa.cli.command import Parser, count, number, run_command
from atlpa.cli.train import add_experiment_options, overrides
from atlpa.errors import UserError
from atlpa.experiment import Experiment, load
from atlpa.machine import pick_device
from atlpa.report import accuracy_curves, protocol, threat_table, tidy
from atlpa.runs import Protocol, Run, evaluate, pair, train_run


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(description=__doc__.splitlines()[0])
    add_experiment_options(parser)
    parser.add_argument("--defenses", nargs="+", required=True, help="the rows; none is also the gray-box source")
    parser.add_argument("--black-box", default="resnet152", metavar="ARCHITECTURE", help="default: %(default)s")
    parser.add_argument("--eps", nargs="+", type=number, default=[0.25, 0.5], help="default: 0.25 0.5")
    parser.add_argument("--step", type=number, default=1 / 256, help="default: 1/256")
    parser.add_argument("--iters", nargs="+", type=count, default=[200], help="budgets; the table shows the last")
    parser.add_argument("--limit", type=count, help="judge this many images; default: all")
    return parser


def experiments(arguments: argparse.Namespace) -> Iterator[Experiment]:
    """The undefended sources first, gray-box and black-box, then the other rows."""
    changes = overrides(arguments)
    gray = load(arguments.config, [("defense", "none"), *changes])
    if arguments.black_box == gray.model.architecture:
        raise UserError(f"--black-box {arguments.black_box} is the judged architecture; name another one")
    yield gray
    yield load(arguments.config, [("defense", "none"), *changes, ("model.architecture", arguments.black_box)])
    for defense in dict.fromkeys(arguments.defenses):
        if defense != "none":
            yield load(arguments.config, [("defense", defense), *changes])


def main() -> None:
    """Train, judge, write."""
    arguments = parser().parse_args()
    todo = list(experiments(arguments))
    budgets = tuple(sorted(set(arguments.iters)))
    attacks = [PGD(epsilon=epsilon, step=arguments.step, iterations=budgets[-1]) for epsilon in arguments.eps]
    for remark in (remark for attack in attacks for remark in attack.remarks(budgets)):
        print(f"note: {remark}")
    runs: list[Run] = []
    for place, experiment in enumerate(todo, 1):
        print(f"[{place}/{len(todo)}] {experiment.defense.name} {experiment.model.architecture}")
        runs.append(train_run(experiment))

    device = pick_device(todo[0].device)
    pairings, _ = pair(runs, sources=runs[:2])
    records = []
    with tqdm(total=len(pairings) * len(attacks), desc="judged", unit="attack", disable=None) as bar:
        for attack in attacks:
            for record in evaluate(pairings, Protocol(attack, budgets, arguments.limit), device):
                records.append(record)
                bar.update()

    machine = records[0].machine
    text = (
        f"{threat_table(records).markdown()}\n{protocol(records)}"
        f"{todo[0].training.iterations} training iterations, seed {todo[0].seed}; {machine.device}, "
        f"{machine.threads} thread(s), torch {machine.torch}.\n"
    )
    folder = runs[0].folder.parent
    (folder / "table.md").write_text(text, encoding="utf-8")
    (folder / "table.csv").write_text(tidy(records).csv(), encoding="utf-8")
    accuracy_curves(records).savefig(folder / "curves.png", dpi=150)
    print(f"\n{text}\nResults: {folder}/table.md, table.csv and curves.png; records: {folder}/*/records/")


if __name__ == "__main__":
    sys.exit(run_command("table1", main))
