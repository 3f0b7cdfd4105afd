"""``atlpa-data``: fetch the published data sets, and check what a data set holds."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from atlpa.cli.command import count, path, run_command
from atlpa.cli.data_check import Commands, Found, checking
from atlpa.cli.json_option import add_json_option, as_json
from atlpa.cli.parser import Parser, add_quiet, command_parser
from atlpa.component import validate
from atlpa.data import DATASETS, PARTS
from atlpa.data.fetch import FETCHABLE, fetch
from atlpa.data.root import data_root
from atlpa.data.unpack import Limits
from atlpa.errors import UserError, shown, unknown_name
from atlpa.progress import say


def _parser() -> Parser:
    parser = command_parser(
        "atlpa-data",
        "Fetch the published data sets, and check what a data set holds.",
        [
            "atlpa-data fetch flowers17 --root data    # images, splits, masks: checked, resumable",
            "atlpa-data check photos                   # a folder with one directory per class",
        ],
        quiet=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for command in (_fetching(commands), checking(commands)):
        add_quiet(command)
        add_json_option(command, "what is there")
        command.add_argument(
            "--root",
            "--data-root",
            type=path,
            metavar="DIR",
            help="the folder for data sets; default: ATLPA_DATA_ROOT from the environment, or data",
        )
    return parser


def _fetching(commands: Commands) -> Parser:
    fetching = commands.add_parser(
        "fetch",
        help="download a published data set, check it and unpack it",
        description="Download a published data set, check it and unpack it. What is there is left alone; a broken "
        "download goes on where it was cut off.",
    )
    fetching.add_argument("name", metavar="NAME", help=", ".join(FETCHABLE))
    fetching.add_argument(
        "--from",
        dest="origins",
        action="append",
        default=[],
        metavar="FILE_OR_URL",
        help="take the published files from here: a file or its address, or a folder or address/ that holds them "
        "(repeatable)",
    )
    fetching.add_argument(
        "--unpack-limit",
        type=size,
        default=Limits().size,
        metavar="SIZE",
        help=f"the most that an archive may unfold to, such as 10GB; default: {Limits().size / 1e9:g}GB",
    )
    fetching.add_argument(
        "--unpack-files",
        type=count,
        default=Limits().files,
        metavar="N",
        help=f"the most files that an archive may hold; default: {Limits().files}",
    )
    fetching.set_defaults(work=fetch_data)
    return fetching


def size(text: str) -> int:
    """An argument such as 500MB or 10GB, in bytes."""
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?) ?([KMGT]?B)?", text.strip().upper())
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no size; give for example 500MB or 10GB")
    return int(float(found[1]) * units[found[2] or ""])


def fetch_data(arguments: argparse.Namespace) -> None:
    """Bring a data set onto the disk and say what it holds."""
    with as_json(arguments.json) as found:
        found.append(fetched(arguments))


def fetched(arguments: argparse.Namespace) -> Found:
    """Bring one onto the disk."""
    if arguments.name not in FETCHABLE:
        raise UserError(unknown_name("data set", arguments.name, FETCHABLE))
    root = data_root(arguments.root)
    limits = Limits(arguments.unpack_limit, arguments.unpack_files)
    fetch(arguments.name, root, arguments.origins, say, limits)
    index = validate(DATASETS[arguments.name], {"name": arguments.name, "root": str(root)}).index()
    counts = ", ".join(f"{len(index.parts[part])} {part}" for part in PARTS)
    print(f"{arguments.name}: {len(index.classes)} classes, {counts} images in {root}")
    images = [{"name": one.name, "class": one.label, "part": part} for part in PARTS for one in index.parts[part]]
    return Found(arguments.name, index.classes, images)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command("atlpa-data", lambda: arguments.work(arguments), quiet=arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())
