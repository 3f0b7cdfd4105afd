"""Initial weights: published ones, a file's, or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atlpa.errors import UserError, reason
from atlpa.models.classifier import Classifier
from atlpa.models.layouts import STATES, prefix_of, state_in
from atlpa.models.networks import NETWORKS, size_of
from atlpa.tensor_files import is_plain, misfits, read_tensors

_NO_STATE = "is no state dict; allowed: the backbone's or a checkpoint with one"

BLOCKS = "denoise."
"""Before the names of denoising blocks in a classifier's state."""


def load_weights(
    model: Classifier, weights: str, architecture: str, size: int | None = None, *, whole: bool = False
) -> list[str]:
    """Fill a classifier's backbone with weights from elsewhere.

    Args:
        model: the classifier to fill.
        weights: ``imagenet`` (torchvision's IMAGENET1K_V1 or those that timm has under the network's name, downloaded
            once), ``none``, a run's folder (its best network, or else its last), or a file: a checkpoint of this
            package or of others, or a state dict of the backbone.
        architecture: the name of the classifier's network, for messages and for ``imagenet``.
        size: H = W of the images, for networks that are made for one.
        whole: whether a head of another number of classes is refused, rather than replaced.

    Returns:
        What a user should be told, e.g. that a head of another size was left as initialized.

    Raises:
        UserError: the file is missing, unreadable or does not fit; every name that does not fit is given.
    """
    if weights == "none":
        return []
    if weights == "imagenet":
        return _fill(model, _pretrained(architecture, size), architecture, "ImageNet weights", whole)
    if not (path := weights_file(weights)):
        allowed = "imagenet, none, a run's folder, or a file of weights"
        raise UserError(f"model.weights: no file {weights!r}; allowed: {allowed}")
    return _fill(model, _own_state(path, model), architecture, str(path), whole)


def weights_file(weights: str) -> Path | None:
    """The file that ``model.weights`` names, of a run's folder its best network or else its last; ``None`` for none."""
    path = Path(weights)
    if path.is_dir():
        path = next((path / name for name in ("best.pt", "last.pt") if (path / name).is_file()), path)
    return path if weights not in ("none", "imagenet") and path.is_file() else None


def _pretrained(architecture: str, size: int | None) -> Mapping[str, Any]:
    factory: Any = NETWORKS[architecture]
    if not hasattr(factory, "pretrained"):
        raise UserError(f"model.weights: {architecture} has no published weights; use model.weights=none or a file")
    try:
        state: Mapping[str, Any] = factory.pretrained(**size_of(factory, size))
    except UserError:
        raise
    except Exception as error:  # networks, hubs and readers of files raise anything at all
        # Of a damaged file torch says that one could trust it all the same.
        why = "a damaged file in its cache" if "weights_only" in str(error) else reason(error)
        raise UserError(
            f"model.weights: ImageNet weights of {architecture} could not be downloaded ({why}); fetch them on a "
            "connected machine and give the file, or use model.weights=none"
        ) from error
    return state


def _own_state(path: Path, model: Classifier) -> Mapping[str, Any]:
    """A state dict with the backbone's names, from whatever file holds one; denoising blocks are filled on the way.

    Args:
        path: a checkpoint of this package, or of others, who put the state under some name, a prefix before its names
            (``module.``, ``module.model.``), an attacker's copy beside it.
        model: what it is to fill.
    """
    own = model.backbone.state_dict()
    try:
        content, _ = read_tensors(path)
    except (ValueError, OSError) as error:
        raise UserError(f"model.weights: {path} holds no weights torch can load safely ({reason(error)})") from error
    content = state_in(content)
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise UserError(f"model.weights: {path} {_NO_STATE}")
    if blocks := {name: content[name] for name in sorted(content) if name.startswith(BLOCKS)}:
        there = {name: value for name, value in model.state_dict().items() if name.startswith(BLOCKS)}
        if wrong := misfits(blocks, there, any_float=True):
            raise UserError(
                f"model.weights: {path} has denoising blocks that do not fit ({wrong[0]}); give the weights of a plain "
                "network, or of one with the same defense.denoise"
            )
        model.load_state_dict(blocks, strict=False)
    prefix = prefix_of(content, own)
    state = {name.removeprefix(prefix): value for name, value in content.items() if name.startswith(prefix)}
    if not all(map(is_plain, state.values())):
        names = ", ".join(sorted(content)[:8])
        raise UserError(f"model.weights: {path} {_NO_STATE}, under {', '.join(STATES)} or alone; it holds {names}")
    return state


def _fill(model: Classifier, state: Mapping[str, Any], architecture: str, origin: str, whole: bool) -> list[str]:
    own = model.backbone.state_dict()
    head = [name for name in (f"{model.head}.weight", f"{model.head}.bias") if name in own]
    notes = []
    if head and all(name in state and state[name].shape[1:] == own[name].shape[1:] for name in head):
        given, wanted = len(state[head[0]]), len(own[head[0]])
        if given != wanted and whole:
            raise UserError(f"model.weights: {origin} is for {given} classes, and the data has {wanted}")
        if given != wanted:
            state = {**state, **{name: own[name] for name in head}}
            notes.append(f"{origin}: the head of {given} classes was replaced by a new one of {wanted}")
    # torchvision's oldest files lack BatchNorm's counters, which load_state_dict then fills in.
    optional = {name for name in own if name.endswith("num_batches_tracked")} - state.keys()
    expected = {name: value for name, value in own.items() if name not in optional}
    wrong = misfits(state, expected, any_float=True)
    if wrong:
        first = ", ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        raise UserError(f"model.weights: {origin} does not fit {architecture}: {first}")
    model.backbone.load_state_dict(state)
    return notes
