"""A bundle: one file with all that shows a number, to be repeated by somebody else."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import save

from atlpa import __version__
from atlpa.component import dump
from atlpa.errors import UserError
from atlpa.files import atomic_file
from atlpa.records import Evaluation, Record, read
from atlpa.report import each_accuracy, protocol
from atlpa.runs.folder import Run
from atlpa.statistics import share

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
STRONG = ("ensemble", "autoattack")
"""Attacks whose number RobustBench would call that of AutoAttack, as far as ours is as strong."""


def write_bundle(run: Run, file: Path) -> list[str]:
    """Put a run's judged network, its experiment, everything on record about it, and a card into one zip file.

    Args:
        run: a finished run, judged at least once.
        file: the bundle.

    Returns:
        The names of what it holds.

    Raises:
        UserError: nothing is on record, or there is no room.
    """
    evaluations = [record for _, record in _on_record(run) if isinstance(record, Evaluation)]
    if not evaluations:
        raise UserError(f"{run.folder} has no evaluation on record; judge it with atlpa-eval first")
    checkpoint = run.read_checkpoint(run.judged)
    contents = dict(_contents(run))
    contents[WEIGHTS] = save({name: value.contiguous() for name, value in checkpoint.network.items()})
    contents["robustbench.json"] = _text(robustbench(run, evaluations))
    contents["README.md"] = card(run, evaluations).encode()
    manifest = {
        "format": FORMAT,
        "atlpa": __version__,
        "network": dump(run.network),
        "kept": run.judged,
        "step": checkpoint.step,
        "classes": list(checkpoint.classes),
        "data": checkpoint.data,
        "machine": dump(evaluations[-1].machine),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())},
    }
    with atomic_file(file) as target, zipfile.ZipFile(target, "w") as archive:
        for name, content in {MANIFEST: _text(manifest), **contents}.items():
            # One date for all, so that the same run gives the same bundle.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return [MANIFEST, *contents]


def _on_record(run: Run) -> Iterator[tuple[Path, Record]]:
    """Everything on record about the network that is judged; not about another of its training."""
    for path in sorted(run.records.glob("*.json")):
        record = read(path)
        if getattr(record, "target", run.network).weights == run.network.weights:
            yield path, record


def _contents(run: Run) -> Iterator[tuple[str, bytes]]:
    """The files of a run that say what was done and found."""
    kept = [path for path, _ in _on_record(run)] + sorted((run.folder / "fallen").glob("*.npz"))
    for path in [run.folder / "experiment.yaml", run.split_path, *kept]:
        if path.is_file():
            yield path.relative_to(run.folder).as_posix(), path.read_bytes()


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def robustbench(run: Run, evaluations: list[Evaluation]) -> dict[str, Any]:
    """What RobustBench's files say of a network, in its words; accuracies in percent, ``null`` where not measured."""
    white = [record for record in evaluations if record.threat == "white" and record.norm == "Linf"]
    strongest = min(
        (record for record in white if record.attack["name"] in STRONG),
        key=lambda record: (record.attack["epsilon"], share(record.budgets[-1].correct).value),
        default=None,
    )
    largest = strongest or max(evaluations, key=lambda record: record.data.count)
    return {
        "name": run.folder.name,
        "dataset": run.experiment.data.name,
        "norm": "Linf",
        "eps": strongest.attack["epsilon"] if strongest else None,
        "clean_acc": round(100 * share(largest.clean).value, 2),
        "autoattack_acc": round(100 * share(strongest.budgets[-1].correct).value, 2) if strongest else None,
        "architecture": run.experiment.model.architecture,
        "additional_data": run.experiment.data.extra is not None,
        "unreliable": None,
        "footnote": f"{strongest.attack['name']} of atlpa {strongest.atlpa}, {strongest.data.count} images"
        if strongest
        else "no ensemble on record",
    }


def card(run: Run, evaluations: list[Evaluation]) -> str:
    """A model card in Markdown: what the network is, how it was trained, and what is on record of it."""
    experiment, what = run.experiment, evaluations[0].data
    how = f"trained with the defense `{experiment.defense.name}`, seed {experiment.seed}"
    how = f"{how}, {run.training.iterations} steps" if run.training.iterations else "trained elsewhere"
    notes = protocol(evaluations).replace("\n", "  \n")
    return f"""# {run.folder.name}

{experiment.model.architecture} for {what.classes} classes of {what.dataset} at {what.size}×{what.size}, {how};
every setting is in `experiment.yaml`, of atlpa {run.training.atlpa}. Inputs are images in [0, 1], `(B, 3, H, W)`;
mean and deviation are inside the network.

{each_accuracy(evaluations).markdown()}
{notes}
All but white-box accuracies say little about robustness. Repeat them: `atlpa-eval --verify FILE --data-root DIR`.
"""
