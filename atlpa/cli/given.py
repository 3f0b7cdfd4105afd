"""A network from elsewhere, named on the command line: ``--model timm:convnext_tiny --weights FILE --data …``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from atlpa.cli.command import count, path, settings
from atlpa.cli.runs import chosen_runs
from atlpa.component import dump
from atlpa.data import DATASETS
from atlpa.dotted import set_field
from atlpa.errors import UserError
from atlpa.experiment import parse
from atlpa.models import NETWORKS, normalization_in, slug, weights_file
from atlpa.progress import say
from atlpa.registry import is_import_path
from atlpa.runs import Run
from atlpa.runs.adopt import adopt
from atlpa.runs.export_formats import ExportedNetwork, told_of

OPTIONS = ("model", "weights", "data", "size", "set")


def add_given_options(parser: argparse.ArgumentParser) -> None:
    """The options that ``given_runs`` reads."""
    add = parser.add_argument_group("a network from elsewhere, in place of a run").add_argument
    add("--model", metavar="NAME", help="a network of torchvision's, timm:NAME, or package.module:factory")
    add("--weights", type=path, metavar="FILE", help="its weights, in whatever layout; imagenet: the published ones")
    add("--data", type=path, metavar="NAME[:DIR]", help=f"what it is judged on: folder:DIR, {', '.join(_named())}")
    add("--size", type=count, metavar="S", help="side of the images; default: the data's or the network's own, or 224")
    add(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="any field of its experiment.yaml: model.normalization=none, data.masks=DIR (repeatable)",
    )


def _named() -> list[str]:
    return [name for name in DATASETS.built_in if name != "folder"]


def given_run(arguments: argparse.Namespace) -> Run | None:
    """The network that was named, as a run; ``None`` where none was.

    Raises:
        UserError: an option without ``--model``, one that is missing, or a network that cannot be had so.
    """
    if arguments.model is None:
        for option in OPTIONS[1:]:
            if getattr(arguments, option):
                raise UserError(f"--{option} is for a network from elsewhere; name it with --model, or leave it out")
        return None
    if arguments.run:
        raise UserError("--run and --model both name what is judged; give one of them")
    for option, such in (("weights", "a FILE, or imagenet"), ("data", "folder:DIR")):
        if getattr(arguments, option) is None:
            raise UserError(f"--model {arguments.model} needs --{option}, such as {such}")
    run = adopt(parse(_fields(arguments)), say)
    weights = "random weights" if arguments.weights == "none" else arguments.weights
    say(f"{run.folder}: {arguments.model} with {weights}")
    return run


def judged_runs(arguments: argparse.Namespace) -> list[Run]:
    """The runs that are named, the newest, or the network from elsewhere."""
    given = given_run(arguments)
    return [given] if given else chosen_runs(arguments.run, arguments.data_root, trust_code=arguments.trust_code)


def _fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """The experiment of no steps that holds the network."""
    name, _, place = arguments.data.partition(":")
    if is_import_path(arguments.data) and name not in DATASETS:
        name, place = arguments.data, ""  # code of one's own, which has a colon too
    if name not in DATASETS and not is_import_path(name) and Path(name).is_dir():
        raise UserError(f"--data {name} is a folder; write --data folder:{name}")
    if place and arguments.data_root:
        raise UserError(f"--data {arguments.data} and --data-root both say where the images lie; give one of them")
    data: dict[str, Any] = {"name": name}
    if name == "folder":
        place = place or arguments.data_root
        if not place:
            raise UserError("--data folder needs the folder, as in --data folder:photos")
        data |= {"root": place, "judge_all": not _has_parts(Path(place))}
    elif place:
        data["root"] = place
    if arguments.data_root:
        data["root"] = arguments.data_root
    file = weights_file(arguments.weights)
    told = told_of(file) if file else None
    if side := arguments.size or _side(name, arguments.model, told):
        data |= {"size": side, "resize": side}
    weights = Path(arguments.weights).stem
    images = f"{name}-{Path(place).resolve().name}" if place else name
    size = f"-{arguments.size}" if arguments.size else ""
    fields: dict[str, Any] = {
        "name": "given",
        "data": data,
        "model": {"architecture": arguments.model, "weights": arguments.weights},
        "defense": {"preset": "none", "name": "given"},
        "training": {"iterations": 0},
        "final": True,
        "output": f"runs/given/{slug(arguments.model)}-{slug(weights)}-{slug(images)}{size}",
    }
    # A network of the user's own may hold that layer itself.
    own_code = is_import_path(arguments.model) and not arguments.model.startswith("timm:")
    theirs = normalization_in(file) if file and not own_code else None
    if normalization := told.normalization if told else theirs:
        fields["model"]["normalization"] = dump(normalization)
    for field, value in settings(arguments.set):
        set_field(fields, field, value)
    return fields


def _side(data: str, model: str, told: ExportedNetwork | None) -> int | None:
    """Of the images of a folder, as an export or a network of timm's says; other data sets have a side of their own."""
    if data != "folder":
        return None
    return told.size if told else getattr(NETWORKS[model], "side", None)


def _has_parts(root: Path) -> bool:
    """Whether a folder says itself which images are for judging."""
    return (root / "train").is_dir() and (root / "test").is_dir()
