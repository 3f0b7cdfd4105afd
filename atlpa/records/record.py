"""What all records share: a version, a kind and a file; and which network, images and machine they are about."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from atlpa.component import dump, validate
from atlpa.errors import UserError, explain, shown
from atlpa.files import write_text
from atlpa.json_files import read_json
from atlpa.records.checked import Checked, Count, Hash, Line, Seconds

VERSION: Literal[2] = 2


class Record(Checked):
    """What all records share: a version, a kind, and a file."""

    version: Literal[2] = VERSION
    kind: str

    def save(self, path: Path) -> None:
        """Write as JSON, in one move, so that a reader never sees half a record.

        Raises:
            UserError: there is no room; what was there before is kept.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(dump(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a record back.

        Raises:
            UserError: the file is missing, damaged, of a newer version, or of another kind; or it contradicts itself.
        """
        return cls.of(path, read_json(path, "record"))

    @classmethod
    def of(cls, path: Path, fields: Any) -> Self:
        """A record from what its file holds.

        Raises:
            UserError: it is of a newer version or of another kind, or contradicts itself.
        """
        if isinstance(fields, dict) and isinstance(fields.get("version"), int) and fields["version"] > VERSION:
            raise UserError(
                f"{path} has record version {fields['version']}, this atlpa reads up to {VERSION}; update it"
            )
        if not isinstance(fields, dict):
            raise UserError(f"{path} is no record: it holds {shown(fields)}, not fields")
        try:
            return validate(cls, fields)
        except ValidationError as error:
            raise UserError(f"{path}: {explain(error)}") from error


class Network(Checked):
    """Which trained network.

    Fields:
        run: its folder.
        defense: the defense's name.
        architecture: the backbone.
        seed: of its training.
        weights: SHA-256 of its state, and of what it draws at inference.
        checkpoint: of a training that keeps two networks, ``best`` (on the validation part) or ``last``.
    """

    run: Line
    defense: Line
    architecture: Line
    seed: Annotated[int, Field(ge=0)]
    weights: Hash
    checkpoint: Literal["best", "last"] | None = None


class EvaluatedImages(Checked):
    """Which images.

    Fields:
        dataset: the data set's name.
        part: ``validation`` or ``test``.
        count: n, the number of images judged.
        available: the number of images of the part.
        classes: the number of classes.
        size: side of the images in pixels.
        digest: SHA-256 of the data set's classes, image names, labels and parts.
    """

    dataset: Line
    part: Literal["validation", "test"]
    count: Count
    available: Count
    classes: Count
    size: Count
    digest: Hash

    def contradictions(self) -> Iterator[str]:
        """More images than there are."""
        if self.count > self.available:
            yield f"count {self.count} of {self.available} available"


class Machine(Checked):
    """Where it ran.

    Fields:
        device: CPU or GPU model.
        threads: of torch on the CPU.
        torch: its version.
        python: its version.
        instructions: the widest of a CPU that torch uses; ``None`` on a GPU and in older records.
    """

    device: Line
    threads: Count
    torch: Line
    python: Line
    instructions: Line | None = None


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
    seconds: Seconds
    machine: Machine
    atlpa: Line
