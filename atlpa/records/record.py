"""What all records share: a version, a kind and a file; and which network, images and machine they are about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal, Self

from pydantic import ValidationError

from atlpa.component import Component, dump, validate
from atlpa.errors import UserError, explain
from atlpa.files import write_text

VERSION: Literal[2] = 2


class Record(Component):
    """What all records share: a version, a kind, and a file."""

    version: Literal[2] = VERSION
    kind: str

    def save(self, path: Path) -> None:
        """Write as JSON, in one move, so that a reader never sees half a record."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(dump(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record back.

        Raises:
            UserError: the file is missing, damaged, of a newer version, or of another kind.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is no readable record ({error})") from error
        if isinstance(fields, dict) and isinstance(fields.get("version"), int) and fields["version"] > VERSION:
            raise UserError(
                f"{path} has record version {fields['version']}, this atlpa reads up to {VERSION}; update it"
            )
        try:
            return validate(cls, fields)
        except ValidationError as error:
            raise UserError(f"{path}: {explain(error)}") from error


class Network(Component):
    """Which trained network.

    Fields:
        run: its folder.
        defense: the defense's name.
        architecture: the backbone.
        seed: of its training.
        weights: SHA-256 of its state, and of what it draws at inference.
    """

    run: str
    defense: str
    architecture: str
    seed: int
    weights: str


class EvaluatedImages(Component):
    """Which images.

    Fields:
        dataset: the data set's name.
        part: ``validation`` or ``test``.
        count: n, the number of images judged.
        available: the number of images of the part.
        classes: the number of classes.
        size: side of the images in pixels.
        digest: of the data set's classes, image names, labels and parts.
    """

    dataset: str
    part: str
    count: int
    available: int
    classes: int
    size: int
    digest: str


class Machine(Component):
    """Where it ran.

    Fields:
        device: CPU or GPU model.
        threads: of torch on the CPU.
        torch: its version.
        python: its version.
        instructions: the widest of a CPU that torch uses; ``None`` on a GPU and in older records.
    """

    device: str
    threads: int
    torch: str
    python: str
    instructions: str | None = None


class MeasuredRecord(Record):
    """What is shared by all records of what was measured on a network.

    Fields:
        target: the network.
        data: the images.
        seed: of all that is drawn.
        seconds: wall time.
        machine: where it ran.
        atlpa: this package's version.
    """

    target: Network
    data: EvaluatedImages
    seed: int
    seconds: float
    machine: Machine
    atlpa: str
