"""``atlpa-train``: train the network of one experiment, or go on where it was left."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atlpa.cli.command import path, run_command, seed, settings
from atlpa.cli.json_option import add_json_option, as_json
from atlpa.cli.parser import command_parser, suggest
from atlpa.cli.runs import add_trust_option
from atlpa.cli.schema_option import add_schema_option
from atlpa.cli.together import together
from atlpa.component import validate
from atlpa.defenses import Defense, load_preset, preset_names
from atlpa.errors import UserError
from atlpa.experiment import Experiment, load, shipped_configs
from atlpa.processes import Processes
from atlpa.progress import say
from atlpa.report import Table
from atlpa.runs import Run, train_run
from atlpa.runs.origin import extension
from atlpa.training import Recipe


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "atlpa-train",
        "Train the network of one experiment. The same command again resumes it.",
        [
            "atlpa-train --config digits                                           # two minutes on a CPU",
            "atlpa-train --config flowers.yaml --defense atlpa --data-root DIR     # the paper's ResNet-101, for a GPU",
            "atlpa-train --config digits --set training.iterations=100             # any field of the config",
            "atlpa-train --extend RUN --set training.iterations=3000               # go on from a finished run",
        ],
        more=f"shipped configs: {', '.join(shipped_configs())}; defenses: {', '.join(preset_names())}",
    )
    what = parser.add_argument_group("what is trained")
    begin = what.add_mutually_exclusive_group(required=True)
    config = begin.add_argument("--config", help="a YAML file, or a shipped config's name with or without .yaml")
    suggest(config, shipped_configs())
    begin.add_argument(
        "--extend",
        type=path,
        metavar="RUN",
        help="go on where a finished run ended, with its optimizer and averaged weights, in a new folder; --set "
        "training.iterations says how far",
    )
    suggest(what.add_argument("--defense", help="a defense's name, in place of the config's"), preset_names())
    add_experiment_options(what)
    parser.add_argument(
        "--list-defenses", action=ListDefenses, nargs=0, help="show every defense and what it costs, and exit"
    )
    add_schema_option(parser, "a config", Experiment)
    where = parser.add_argument_group("where it lies and runs")
    where.add_argument("--data-root", type=path, metavar="DIR", help="where the data set lies")
    where.add_argument("--device", help="auto (CUDA where there is one), cpu, cuda, cuda:1 …")
    add_trust_option(where)
    where.add_argument(
        "--output",
        type=path,
        metavar="DIR",
        help="the run's folder; default runs/<config>/<defense>-…, or RUN-to<iterations>",
    )
    add_json_option(where)
    return parser


class ListDefenses(argparse.Action):
    """Print every defense with its idea, its source and its cost per step under the paper's training attack."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        attack = Recipe().attack
        rows = []
        for name in preset_names():
            preset = load_preset(name)
            cost = validate(Defense, preset.fields).cost(attack)
            rows.append((name, preset.idea, preset.source, *(cost or ("", ""))))
        print(Table(("defense", "idea", "source", "forwards", "backwards"), rows, left=3).markdown(), end="")
        usual = f"the usual attack ({attack.name}, {attack.last_iterate} steps), as each defense changes it"
        print(f"forwards, backwards: passes of one batch in a training step with {usual}")
        parser.exit()


def add_experiment_options(parser: argparse._ArgumentGroup) -> None:
    """The options that say what to train; ``overrides`` reads them."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override any field, dotted: training.iterations=100 (repeatable)",
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_const",
        const=True,
        help="leave out images that cannot be read, and list them in the run's split.json",
    )
    parser.add_argument("--seed", type=seed, help="seed of everything random")
    parser.add_argument(
        "--final",
        action="store_const",
        const=True,
        help="train on the training and validation parts, to be judged on the test part",
    )


def overrides(arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    """The command line's changes to the config, as (dotted field, value).

    Raises:
        UserError: an option and ``--set`` give the same field.
    """
    fields = {"data_root": "data.root", "skip_unreadable": "data.skip_unreadable"}
    fields |= {name: name for name in ("device", "output", "seed", "final")}
    defense, others = _given(arguments, {"defense": "defense"}), _given(arguments, fields)
    chosen = settings(arguments.set)
    options = {field for field, _ in (*defense, *others)}
    if twice := [field for field, _ in chosen if field in options]:
        raise UserError(f"{twice[0]} is given by --set and by an option of its own; leave one of them out")
    return [*defense, *chosen, *others]


def _given(arguments: argparse.Namespace, fields: dict[str, str]) -> list[tuple[str, Any]]:
    """Options that were given, as (dotted field, value)."""
    values = [(field, getattr(arguments, option, None)) for option, field in fields.items()]
    return [(field, value) for field, value in values if value is not None]


def _experiment(arguments: argparse.Namespace) -> Experiment:
    """What is asked for: a config's, or what a finished run's becomes when it goes on."""
    changes = overrides(arguments)
    if arguments.extend:
        run = Run.open(Path(arguments.extend), trust_code=arguments.trust_code)
        return extension(run.with_data_root(arguments.data_root), changes)
    if arguments.trust_code:
        raise UserError("--trust-code is for the RUN of --extend; the code that a --config names is run as it is")
    return load(arguments.config, changes)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)

    def work(here: Processes) -> None:
        with as_json(arguments.json if here.first else None) as records:
            with here.together():
                experiment = _experiment(arguments)
            run = train_run(experiment, say, here)
            if here.first:
                records.append(run.training)
                print(f"{run.folder}: done; judge it with: {shlex.join(['atlpa-eval', '--run', str(run.folder)])}")

    return run_command("atlpa-train", lambda: together(work), quiet=arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())
