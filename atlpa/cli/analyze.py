"""``atlpa-analyze``: why defenses work: Tables 2 and 3 and Figures 1 and 4 to 8 of the paper, on any runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from atlpa.attacks import PGD
from atlpa.cli.command import count, number, path, run_command, seed
from atlpa.cli.json_option import add_json_option, as_json
from atlpa.cli.parser import command_parser
from atlpa.cli.runs import add_place_options, chosen_runs
from atlpa.cli.together import alone
from atlpa.errors import UserError, one_line
from atlpa.files import unwritable
from atlpa.machine import pick_device
from atlpa.progress import say
from atlpa.records import Record
from atlpa.report import Results, save_figures, write_report
from atlpa.runs import ANALYSES, AnalysisSettings, EvaluationImages, analysis_tasks, save_attention
from atlpa.runs.on_record import check_place

KINDS = (*ANALYSES, "training")


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "atlpa-analyze",
        "Analyze trained networks on the images they are judged on: attention maps (Fig. 1, 5, 6), key regions "
        "(Table 2), embeddings (Table 3, Fig. 7), loss landscapes (Fig. 4, 8) and training curves. Each result is a "
        "record in the run's folder; what is on record is not measured again.",
        [
            "atlpa-analyze RUN RUN                                      # all of it, the two side by side",
            "atlpa-analyze RUN --what attention,landscape --eps 0.25    # some of it, at one ε",
        ],
    )
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of runs; default: the newest")
    add = parser.add_argument_group("what is analyzed").add_argument
    add("--what", default=",".join(KINDS), metavar="LIST", help=f"some of {','.join(KINDS)}; default: all")
    add("--eps", nargs="+", type=number, default=[0.25, 0.5], metavar="E", help="of the images; default: 0.25 0.5")
    add("--iters", type=count, default=200, metavar="N", help="PGD's iterations; default: 200")
    add("--step", type=number, default=1 / 256, metavar="S", help="PGD's step; default: 1/256")
    add("--limit", type=count, metavar="N", help="analyze N images, evenly spaced over the part; default: all")
    add("--images", type=count, default=3, metavar="N", help="how many images attention figures show; default: 3")
    add("--perplexity", type=number, metavar="P", help="of t-SNE; default: 30, less where there are few images")
    add("--grid", type=count, default=51, metavar="N", help="points along each side of a landscape; default: 51")
    add("--seed", type=seed, default=0, help="of all that is drawn; default: 0")
    where = parser.add_argument_group("where it lies and runs")
    made = "for tables and figures; default: analysis/ beside the first run"
    where.add_argument("--output", type=path, metavar="DIR", help=made)
    add_json_option(where)
    add_place_options(where)
    return parser


def work(arguments: argparse.Namespace) -> None:
    """Analyze, draw, say where it lies, and write what was asked for."""
    alone()
    with as_json(arguments.json) as records:
        records.extend(analyze(arguments))


def analyze(arguments: argparse.Namespace) -> Sequence[Record]:
    """Analyze, draw, and say where it lies."""
    what = [kind.strip() for kind in arguments.what.split(",")]
    for kind in what:
        if kind not in KINDS:
            raise UserError(f"--what {kind!r} is unknown; valid: {', '.join(KINDS)}")
    runs = chosen_runs(arguments.runs, arguments.data_root, trust_code=arguments.trust_code)
    for run in runs:
        _ = run.training  # refuses what is not finished
    output = Path(arguments.output) if arguments.output else runs[0].folder.parent / "analysis"
    if problem := unwritable(output):
        raise UserError(f"--output {output} cannot be made: {problem}")
    attack = PGD(epsilon=max(arguments.eps), step=arguments.step, iterations=arguments.iters)
    device = pick_device(arguments.device)
    images = EvaluationImages(runs, attack, arguments.eps, device, arguments.limit, arguments.seed)
    settings = AnalysisSettings(arguments.perplexity, grid=arguments.grid)
    tasks, notes = analysis_tasks(images, [kind for kind in ANALYSES if kind in what], settings)
    for note in notes:
        say(f"note: {note}")
    recorded = [None if arguments.again else task.recorded for task in tasks]  # a damaged one is found at once
    for task, record in zip(tasks, recorded, strict=True):
        if not record:
            check_place(task.path)
    records: dict[Path, Record] = {
        task.path: record or task.make() for task, record in zip(tasks, recorded, strict=True)
    }
    if "attention" in what:
        save_attention(images, arguments.images, output)
    if "training" in what:
        records |= {run.training_record: run.training for run in runs}
    results = Results.of(records)
    for problem in results.problems:
        print(problem, file=sys.stderr)
    if tasks:
        print(write_report(results, output), end="")
    else:
        save_figures(results, output)
    made = sorted(path.name for path in output.iterdir() if path.suffix != ".svg") if output.is_dir() else []
    print(one_line(f"{output}: {', '.join(made) or 'nothing'}"))
    return list(records.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command("atlpa-analyze", lambda: work(arguments), quiet=arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())
