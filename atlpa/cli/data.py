"""``atlpa-data``: fetch the published data sets, and check what a data set holds."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from atlpa.cli.command import count, path, run_command, settings
from atlpa.cli.parser import Parser, add_quiet, command_parser
from atlpa.component import field_names, validate
from atlpa.data import DATASETS, EXTRA, PARTS, Dataset
from atlpa.data.fetch import FETCHABLE, fetch
from atlpa.data.inspect import Findings, inspect
from atlpa.data.root import data_root
from atlpa.data.unpack import Limits
from atlpa.dotted import set_field
from atlpa.errors import UserError, one_line, shown, unknown_name
from atlpa.progress import say
from atlpa.registry import is_import_path
from atlpa.report import Table

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


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
    for command in (_fetching(commands), _checking(commands)):
        add_quiet(command)
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


def _checking(commands: Commands) -> Parser:
    checking = commands.add_parser(
        "check",
        help="open every image: counts, sizes, unreadable and duplicate images, key regions",
        description="Open every image of a data set. The exit status is 1 if anything is wrong with it.",
    )
    checking.add_argument(
        "name",
        metavar="NAME|DIR",
        help=f"{', '.join(DATASETS)}, package.module:Class of your own, or a folder with a directory per class",
    )
    checking.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any field of an experiment's data section: split=2, masks=DIR (repeatable)",
    )
    checking.set_defaults(work=check_data)
    return checking


def size(text: str) -> int:
    """An argument such as 500MB or 10GB, in bytes."""
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,3})?) ?([KMGT]?B)?", text.strip().upper())
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no size; give for example 500MB or 10GB")
    return int(float(found[1]) * units[found[2] or ""])


def fetch_data(arguments: argparse.Namespace) -> None:
    """Bring a data set onto the disk and say what it holds."""
    if arguments.name not in FETCHABLE:
        raise UserError(unknown_name("data set", arguments.name, FETCHABLE))
    root = data_root(arguments.root)
    limits = Limits(arguments.unpack_limit, arguments.unpack_files)
    fetch(arguments.name, root, arguments.origins, say, limits)
    index = validate(DATASETS[arguments.name], {"name": arguments.name, "root": str(root)}).index()
    counts = ", ".join(f"{len(index.parts[part])} {part}" for part in PARTS)
    print(f"{arguments.name}: {len(index.classes)} classes, {counts} images in {root}")


def dataset(arguments: argparse.Namespace) -> Dataset:
    """The data set that was named."""
    fields: dict[str, Any] = {}
    for field, value in settings(arguments.set):
        set_field(fields, field, value)
    name, root = arguments.name, arguments.root
    if not (name in DATASETS or is_import_path(name)) or name == "folder":
        if not Path(name).is_dir():
            raise UserError(f"no folder {name!r}, and {unknown_name('data set', name, DATASETS)}")
        if root:
            raise UserError(f"--root says where published data sets lie; {name} is a folder of its own")
        name, root = "folder", name
    if root:
        if "root" not in field_names(DATASETS[name]):
            raise UserError(f"{name} needs no files; leave out --root")
        fields["root"] = root
    return validate(DATASETS[name], {"name": name, **fields})


def check_data(arguments: argparse.Namespace) -> int:
    """Print what was found; returns the exit status."""
    index = dataset(arguments).training_index()
    findings = inspect(index)
    print(counts(index.classes, findings).markdown(), end="")
    print(f"sizes: {findings.sizes()}")
    print(f"key regions: {findings.masks()}")
    for problem in findings.problems:
        print(f"problem: {one_line(problem)}")
    print(f"{len(findings.problems)} problems" if findings.problems else "nothing is wrong")
    return 1 if findings.problems else 0


def counts(classes: Sequence[str], findings: Findings) -> Table:
    """Images by class and part, with those that have a key region."""
    found = Counter((image.item.label, image.part) for image in findings.images)
    masked = Counter(image.item.label for image in findings.images if image.inside is not None)
    parts = [*PARTS, *([EXTRA] if any(image.part == EXTRA for image in findings.images) else [])]
    rows: list[tuple[Any, ...]] = [
        (name, *(found[label, part] for part in parts), sum(found[label, part] for part in parts), masked[label])
        for label, name in enumerate(classes)
    ]
    total = ("all", *(sum(row[column] for row in rows) for column in range(1, len(parts) + 3)))
    return Table(("class", *parts, "all", "with key region"), [*rows, total])


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = _parser().parse_args(argv)
    return run_command("atlpa-data", lambda: arguments.work(arguments), quiet=arguments.quiet)


if __name__ == "__main__":
    sys.exit(main())
