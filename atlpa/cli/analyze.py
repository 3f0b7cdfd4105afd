"""``atlpa-analyze``: why defenses work: Tables 2 and 3 and Figures 1 and 4 to 8 of the paper, on any runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from atlpa.attacks import PGD
from atlpa.cli.command import Parser, add_trust_option, count, number, run_command, seed
from atlpa.cli.eval import RUNS, opened, said
from atlpa.errors import UserError
from atlpa.files import unwritable
from atlpa.machine import pick_device
from atlpa.report import Results, save_training, write_report
from atlpa.runs import ANALYSES, Analyses, EvaluationImages, newest_run, save_attention

KINDS = ("attention", "regions", "embedding", "landscape", "training")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="atlpa-analyze",
        description="Analyze trained networks on the images they are judged on: attention maps (Fig. 1, 5, 6), key "
        "regions (Table 2), embeddings (Table 3, Fig. 7), loss landscapes (Fig. 4, 8) and training curves. Each result "
        "is a record in the run's folder; what is on record is not measured again.",
    )
    add = parser.add_argument
    add("runs", nargs="*", metavar="RUN", help="folders of runs; default: the newest")
    add("--what", default=",".join(KINDS), metavar="LIST", help=f"some of {','.join(KINDS)}; default: all")
    add("--output", metavar="DIR", help="for tables and figures; default: analysis/ beside the first run")
    add("--eps", nargs="+", type=number, default=[0.25, 0.5], metavar="E", help="of the images; default: 0.25 0.5")
    add("--iters", type=count, default=200, metavar="N", help="PGD's iterations; default: 200")
    add("--step", type=number, default=1 / 256, metavar="S", help="PGD's step; default: 1/256")
    add("--limit", type=count, metavar="N", help="analyze N images, evenly spaced over the part; default: all")
    add("--images", type=count, default=3, metavar="N", help="how many images attention figures show; default: 3")
    add("--perplexity", type=number, metavar="P", help="of t-SNE; default: 30, less where there are few images")
    add("--seed", type=seed, default=0, help="of all that is drawn; default: 0")
    add("--device", default="auto", help="auto (CUDA where there is one), cpu, cuda …; default: auto")
    add("--data-root", metavar="DIR", help="where the data set lies now")
    add("--again", action="store_true", help="measure anew what is on record")
    add_trust_option(parser)
    return parser


def work(arguments: argparse.Namespace) -> None:
    """Analyze, draw, and say where it lies."""
    what = [kind.strip() for kind in arguments.what.split(",")]
    for kind in what:
        if kind not in KINDS:
            raise UserError(f"--what {kind!r} is unknown; valid: {', '.join(KINDS)}")
    newest = None if arguments.runs else newest_run(RUNS, trust_code=arguments.trust_code)
    runs = said([newest]) if newest else opened(arguments.runs, arguments)
    if not runs:
        raise UserError(f"no finished run below {RUNS}/; train one with atlpa-train, or name one")
    runs = [run.with_data_root(arguments.data_root) for run in runs]
    for run in runs:
        _ = run.training  # refuses what is not finished
    output = Path(arguments.output) if arguments.output else runs[0].folder.parent / "analysis"
    if problem := unwritable(output):
        raise UserError(f"--output {output} cannot be made: {problem}")
    attack = PGD(epsilon=max(arguments.eps), step=arguments.step, iterations=arguments.iters)
    shown_images = EvaluationImages(
        runs, attack, arguments.eps, pick_device(arguments.device), arguments.limit, arguments.seed
    )
    analyses = Analyses(shown_images, arguments.perplexity)
    kinds = [kind for kind in ANALYSES if kind in what]
    for note in analyses.notes(kinds):
        print(f"note: {note}")
    records = list(analyses.execute(kinds, arguments.again))
    if "attention" in what:
        save_attention(shown_images, arguments.images, output)
    logs = {run.folder.name: run.log_path for run in runs} if "training" in what else {}
    files = {repr(record): path for record, (path, *_) in zip(records, analyses.steps(kinds), strict=True)}
    if records:
        print(write_report(Results((), analyses=records, files=files, logs=logs), output), end="")
    elif logs:
        save_training(logs, output)
    made = sorted(path.name for path in output.iterdir() if path.suffix != ".svg") if output.is_dir() else []
    print(f"{output}: {', '.join(made) or 'nothing'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command("atlpa-analyze", lambda: work(arguments))


if __name__ == "__main__":
    sys.exit(main())
