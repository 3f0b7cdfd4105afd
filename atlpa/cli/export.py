"""``atlpa-export``: a trained network for programs that do not have this package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from atlpa.cli.command import path, run_command
from atlpa.cli.json_option import add_json_option, as_json
from atlpa.cli.parser import command_parser
from atlpa.cli.runs import add_trust_option, open_runs
from atlpa.cli.together import alone
from atlpa.component import dump
from atlpa.errors import one_line
from atlpa.runs import FORMATS, export
from atlpa.training import Kept


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "atlpa-export",
        "Write a run's network for other programs: its backbone's weights under torchvision's or timm's names, or the "
        "whole network with its normalization as ONNX. What was written is read back and compared with the run's own "
        "network.",
        [
            "atlpa-export RUN network.safetensors --to safetensors    # weights under torchvision's or timm's names",
            "atlpa-export RUN network.onnx --to onnx                  # images in [0, 1] to logits",
        ],
    )
    parser.add_argument("run", metavar="RUN", type=path, help="a finished run's folder")
    parser.add_argument("file", metavar="FILE", type=path, help="where to; what is there is not replaced")
    parser.add_argument(
        "--to",
        required=True,
        choices=FORMATS,
        help="torch: a state dict, told of in FILE.json; safetensors: the same in one file; onnx: images in [0, 1] to "
        "logits",
    )
    parser.add_argument(
        "--kept",
        choices=get_args(Kept),
        help="which network of a run that selects one (training.select_by); default: the best, else the last",
    )
    add_trust_option(parser)
    add_json_option(parser, "what is told of the file")
    return parser


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Fields:
        file: where it lies.
        difference: the largest of its logits from the run's own, as a share of the largest logit.
        network: what is told of it.
    """

    file: str
    difference: float
    network: dict[str, Any]


def work(arguments: argparse.Namespace) -> None:
    """Write, and say what."""
    alone()
    with as_json(arguments.json) as made:
        made.append(exported(arguments))


def exported(arguments: argparse.Namespace) -> Exported:
    """Write one file."""
    (run,) = open_runs([arguments.run], trust_code=arguments.trust_code)
    file = Path(arguments.file)
    told, found = export(run, arguments.to, file, arguments.kept)
    what = f"{told.architecture} trained with {told.defense} ({told.kept}), {len(told.classes)} classes"
    print(one_line(f"{file}: {what}, at {told.size}×{told.size}"))
    print(f"its logits are the run's own, but for {found:.1g} of the largest")
    if not FORMATS[arguments.to].whole:
        mean, std = told.normalization.mean, told.normalization.std
        print(one_line(f"load it into {told.network}, after (images − {mean}) / {std}"))
    return Exported(arguments.file, found, dump(told))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command("atlpa-export", lambda: work(arguments), quiet=arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())
