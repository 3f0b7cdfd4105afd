"""``atlpa-train``: train the network of one experiment, or go on where it was left."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from atlpa.cli.command import run_command
from atlpa.defenses import preset_names
from atlpa.errors import UserError
from atlpa.experiment import load, shipped_configs
from atlpa.runs import train_run
from atlpa.training import Interrupted


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="atlpa-train",
        description="Train the network of one experiment. The same command again resumes it.",
        epilog=f"shipped configs: {', '.join(shipped_configs())}; defenses: {', '.join(preset_names())}",
    )
    parser.add_argument("--config", required=True, help="a YAML file, or a shipped config's name with or without .yaml")
    parser.add_argument("--defense", help="a defense's name, in place of the config's")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override any field, dotted: training.iterations=100 (repeatable)",
    )
    parser.add_argument("--data-root", metavar="DIR", help="where the data set lies")
    parser.add_argument("--device", help="auto (CUDA where there is one), cpu, cuda, cuda:1 …")
    parser.add_argument("--output", metavar="DIR", help="the run's folder; default runs/<config>/<defense>-…")
    parser.add_argument("--seed", type=int, help="seed of everything random")
    parser.add_argument(
        "--final",
        action="store_true",
        help="train on the training and validation parts, to be judged on the test part",
    )
    return parser


def overrides(arguments: argparse.Namespace) -> list[tuple[str, Any]]:
    """The command line's changes to the config, as (dotted field, value)."""
    changes: list[tuple[str, Any]] = []
    if arguments.defense is not None:
        changes.append(("defense", arguments.defense))
    for text in arguments.set:
        field, equals, value = text.partition("=")
        if not equals or not field:
            raise UserError(f"--set {text!r} is no FIELD=VALUE; write for example training.iterations=100")
        try:
            changes.append((field, yaml.safe_load(value)))
        except yaml.YAMLError as error:
            raise UserError(f"--set {field}: {value!r} is no YAML value") from error
    plain = {"data.root": arguments.data_root, "device": arguments.device, "output": arguments.output}
    changes += [(field, value) for field, value in plain.items() if value is not None]
    if arguments.seed is not None:
        changes.append(("seed", arguments.seed))
    if arguments.final:
        changes.append(("final", True))
    return changes


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)

    def work() -> int:
        try:
            run = train_run(load(arguments.config, overrides(arguments)))
        except Interrupted as interruption:
            print(f"saved after step {interruption.step}; the same command again resumes", file=sys.stderr)
            return 128 + interruption.signal_number
        print(f"{run.folder}: done; judge it with: atlpa-eval --run {run.folder}")
        return 0

    return run_command("atlpa-train", work)


if __name__ == "__main__":
    sys.exit(main())
