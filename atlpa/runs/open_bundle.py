"""Opening a bundle: what was changed since it was written is refused before anything of it is used."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_tensors

from atlpa import __version__
from atlpa.errors import UserError, reason, shown
from atlpa.json_files import parse_json
from atlpa.plain_file import open_plain
from atlpa.registry import trusting_only_what_is_known
from atlpa.runs.bundle import FORMAT, MANIFEST, WEIGHTS
from atlpa.runs.folder import Run
from atlpa.scratch import scratch_folder
from atlpa.training import Checkpoint
from atlpa.training.checkpoint_file import save_checkpoint

LARGEST = 4 * 2**30
"""Bytes that a bundle may unfold to."""


@contextmanager
def opened(file: Path, *, trust_code: bool = False) -> Iterator[tuple[Run, list[str]]]:
    """The run in a bundle, in a folder that is gone afterwards, and what a user should know of it.

    Args:
        file: the bundle.
        trust_code: whether code that it names by its import path may be imported, while it is open too.

    Raises:
        UserError: it is no bundle, was changed since it was written, or is of a newer version.
    """
    manifest, contents = _read(file)
    with scratch_folder(file.absolute().parent) as folder:
        for name, content in contents.items():
            place = folder / "run" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        run = Run.open(folder / "run", trust_code=trust_code)
        checkpoint = Checkpoint(
            step=manifest["step"],
            classes=tuple(manifest["classes"]),
            data=manifest["data"],
            experiment=run.experiment.resolved(),
            model=load_tensors(contents[WEIGHTS]),
            optimizer=[],
        )
        save_checkpoint(checkpoint, run.path_of(run.judged))
        made = manifest["atlpa"]
        notes = [f"made by atlpa {shown(made)}, here {__version__}"] if made != __version__ else []
        with nullcontext() if trust_code else trusting_only_what_is_known():  # of the records' attacks, too
            yield run, notes


def _read(file: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, and the content of every file that it names, which must be what was written."""
    try:
        with open_plain(file, most=None) as plain, zipfile.ZipFile(plain) as archive:
            if sum(part.file_size for part in archive.infolist()) > LARGEST:
                raise ValueError("it unfolds to more than 4 GiB")
            manifest: Any = parse_json(archive.read(MANIFEST).decode())
            if not isinstance(manifest, dict) or type(manifest.get("format")) is not int:
                raise ValueError("its manifest says nothing")
            if manifest["format"] > FORMAT:
                raise UserError(f"{file} is of a newer atlpa (format {manifest['format']}, here {FORMAT}); update it")
            contents = {name: archive.read(name) for name in manifest["files"] if _inside(name)}
    except FileNotFoundError as error:
        raise UserError(f"no bundle {file}; atlpa-eval --bundle makes them") from error
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, TypeError, RuntimeError) as error:
        raise UserError(f"{file} is no bundle, or a damaged one ({reason(error)})") from error
    found = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    if changed := [name for name, digest in manifest["files"].items() if found.get(name) != digest]:
        raise UserError(
            f"{file} has been changed since it was written: {shown(changed[0])} is another; ask for it anew"
        )
    return manifest, contents


def _inside(name: str) -> bool:
    """Whether a name can only lie where a bundle's files do."""
    parts = name.split("/")
    return all(part and part.strip(".") and "\\" not in part and ":" not in part for part in parts) and len(parts) <= 2
