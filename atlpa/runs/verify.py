"""Repeating what a bundle claims, on this machine, image by image."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load as load_tensors

from atlpa import __version__
from atlpa.attacks import attack_class, read_attack
from atlpa.data import load_images
from atlpa.errors import UserError, reason, shown
from atlpa.evaluation.attack_result import ROUNDING
from atlpa.evaluation.correctness import is_correct, to_batch
from atlpa.json_files import parse_json
from atlpa.out_of_memory import in_parts
from atlpa.plain_file import open_plain
from atlpa.records import Credibility, Evaluation, read
from atlpa.runs.bundle import FORMAT, MANIFEST, WEIGHTS
from atlpa.runs.evaluate import evaluate, judged_images
from atlpa.runs.folder import Run
from atlpa.runs.protocol import Protocol
from atlpa.runs.threats import Pairing
from atlpa.scratch import scratch_folder
from atlpa.training import Checkpoint
from atlpa.training.checkpoint_file import save_checkpoint

LARGEST = 4 * 2**30
"""Bytes that a bundle may unfold to."""


@dataclass(frozen=True)
class Repeated:
    """One thing that a bundle claims, repeated.

    Fields:
        what: the record or file.
        agree: how many images have the same verdict here.
        of: how many were looked at.
        differing: the places of the others in the data.
        note: what else is to be said.
    """

    what: str
    agree: int = 0
    of: int = 0
    differing: tuple[int, ...] = ()
    note: str = ""


@contextmanager
def opened(file: Path, *, trust_code: bool = False) -> Iterator[tuple[Run, list[str]]]:
    """The run in a bundle, in a folder that is gone afterwards, and what a user should know of it.

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


def verify(run: Run, device: torch.device) -> Iterator[Repeated]:
    """Show the network the images that fell, and make every white-box attack on record once more.

    Args:
        run: as ``opened`` gives it, its data found here.
        device: where to compute.

    Yields:
        What came of each, as it is done. Transfer attacks are not repeated: their sources are not in the bundle.

    Raises:
        UserError: the data is not here, or is other data.
    """
    for path in sorted((run.folder / "fallen").glob("*.npz")):
        yield _shown(run, path, device)
    for path in sorted(run.records.glob("*.json")):
        record = read(path)
        if isinstance(record, Evaluation):
            yield _again(run, path.stem, record, device)


def _shown(run: Run, path: Path, device: torch.device) -> Repeated:
    """Whether images that fell are those of the data, moved by at most ε within [0, 1], and still fool the network."""
    record = Credibility.load(run.records / f"{path.stem}.json")
    items, judged = judged_images(run, run.read_index(run.training.data), record.data.count)
    try:
        with np.load(path, allow_pickle=False) as kept:
            names, adversarial = kept["image"].tolist(), torch.from_numpy(kept["adversarial"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path.name} holds no images that fell ({reason(error)})") from error
    if not names:
        return Repeated(f"{path.stem}: images that fell", note="none fell")
    places = {item.name: place for place, item in enumerate(items)}
    if unknown := [name for name in names if name not in places]:
        raise UserError(f"{path.name} holds {shown(unknown[0])}, which is none of the images that were checked")
    rows = torch.tensor([places[name] for name in names], dtype=torch.long)
    images, labels = to_batch(load_images(items, judged.size, device, path.stem), rows, device)
    adversarial = adversarial.to(images)
    inside = (adversarial - images).abs().flatten(1).amax(dim=1) <= record.epsilon + ROUNDING
    inside &= ((adversarial >= 0) & (adversarial <= 1)).flatten(1).all(dim=1)
    model = run.load_model(device)
    right = torch.cat(list(in_parts(len(rows), 64, lambda part: is_correct(model, adversarial[part], labels[part]))))
    fallen = (inside & ~right).cpu()
    return Repeated(f"{path.stem}: images that fell", int(fallen.sum()), len(rows), tuple(rows[~fallen].tolist()))


def _again(run: Run, name: str, record: Evaluation, device: torch.device) -> Repeated:
    if record.threat != "white":
        return Repeated(name, note="not repeated: its source is not in the bundle")
    kind = attack_class(record.attack["name"])
    budgets = tuple(budget.iterations for budget in record.budgets)
    attack = read_attack({**record.attack, **({kind.budget: budgets[-1]} if kind.budget else {})})
    if problem := attack.missing():
        return Repeated(name, note=f"not repeated: {problem}")
    limit = record.data.count if record.data.count < record.data.available else None
    protocol = Protocol(attack, budgets, limit, record.seed, draws=len(record.clean), average=record.average)
    (found,) = evaluate([Pairing(run, run, "white")], protocol, device, again=True)
    pairs = zip(_verdicts(record), _verdicts(found), strict=True)
    differing = tuple(place for place, (theirs, ours) in enumerate(pairs) if theirs != ours)
    return Repeated(name, record.data.count - len(differing), record.data.count, differing)


def _verdicts(record: Evaluation) -> list[tuple[str, ...]]:
    """Of each image, everything that is said of it: clean, and at each budget, in each draw."""
    told = [*record.clean, *(draw for budget in record.budgets for draw in budget.correct)]
    return list(zip(*told, strict=True))
