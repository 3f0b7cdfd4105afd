"""What ``atlpa-data check`` does: opens every image of a data set and says what is odd."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from atlpa.cli.command import settings
from atlpa.cli.json_option import as_json
from atlpa.cli.parser import Parser
from atlpa.component import field_names, validate
from atlpa.data import DATASETS, EXTRA, PARTS, Dataset
from atlpa.data.inspect import Findings, Inspected, inspect
from atlpa.dotted import set_field
from atlpa.errors import UserError, one_line, unknown_name
from atlpa.registry import is_import_path
from atlpa.report import Table

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


@dataclass(frozen=True)
class Found:
    """What is there of a data set.

    Fields:
        data: its name, or the folder.
        classes: their names.
        images: one of each: name, class, part; and where they were opened, size and problem.
        problems: what is wrong; ``None`` where no image was opened.
    """

    data: str
    classes: Sequence[str]
    images: Sequence[Mapping[str, Any]]
    problems: Sequence[str] | None = None


def checking(commands: Commands) -> Parser:
    parser = commands.add_parser(
        "check",
        help="open every image: counts, sizes, unreadable and duplicate images, key regions",
        description="Open every image of a data set. The exit status is 1 if anything is wrong with it.",
    )
    parser.add_argument(
        "name",
        metavar="NAME|DIR",
        help=f"{', '.join(DATASETS)}, package.module:Class of your own, or a folder with a directory per class",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any field of an experiment's data section: split=2, masks=DIR (repeatable)",
    )
    parser.set_defaults(work=check_data)
    return parser


def dataset(arguments: argparse.Namespace) -> Dataset:
    """The data set that was named."""
    fields: dict[str, Any] = {}
    for field, value in settings(arguments.set):
        set_field(fields, field, value)
    name, root = arguments.name, arguments.root
    if not (name in DATASETS or is_import_path(name)) or (name == "folder" and not root):
        if not Path(name).is_dir():
            other = "--root says where" if name == "folder" else unknown_name("data set", name, DATASETS)
            raise UserError(f"no folder {name!r}, and {other}")
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
    with as_json(arguments.json) as found:
        index = dataset(arguments).training_index()
        findings = inspect(index)
        found.append(
            Found(arguments.name, index.classes, [_told(image) for image in findings.images], findings.problems)
        )
        show(index.classes, findings)
    return 1 if findings.problems else 0


def show(classes: Sequence[str], findings: Findings) -> None:
    """Print what was found."""
    print(counts(classes, findings).markdown(), end="")
    print(f"sizes: {findings.sizes()}")
    print(f"key regions: {findings.masks()}")
    for problem in findings.problems:
        print(f"problem: {one_line(problem)}")
    print(f"{len(findings.problems)} problems" if findings.problems else "nothing is wrong")


def _told(image: Inspected) -> dict[str, Any]:
    place = {"name": image.item.name, "class": image.item.label, "part": image.part}
    return place | {"size": image.size, "key_region": image.inside, "problem": image.problem}


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
