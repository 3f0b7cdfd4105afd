"""How checkpoints of others hold a network's state, and a layer before it that normalizes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from atlpa.models.normalization import Normalization
from atlpa.tensor_files import is_plain, read_tensors

STATES = ("averaged", "model", "state_dict", "model_state_dict", "net")
"""Under which names checkpoints hold a network's state: ours, where an average is what is judged, and others'."""

NORMALIZERS = (("mean", "std"), ("mu", "sigma"), ("new_mean", "new_std"))
"""What layers that normalize call what they hold: ours and RobustBench's, others', the robustness library's."""


RGB = tuple[float, float, float]


def state_in(content: object) -> object:
    """A checkpoint's state: under one of the usual names, or the only one that it has under any; else all of it."""
    if not isinstance(content, Mapping):
        return content
    held = [content.get(name) for name in STATES]
    tensors = [one for one in content.values() if isinstance(one, Mapping) and one and all(map(is_plain, one.values()))]
    usual = next((state for state in held if isinstance(state, Mapping)), None)
    return usual or (tensors[0] if len(tensors) == 1 else content)


def prefix_of(content: Collection[str], own: Collection[str]) -> str:
    """The shortest prefix behind which all of a network's names stand; else that of our own checkpoints, or none."""
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    first = next(iter(needed), "")
    ends = {name.removesuffix(first) for name in content if name.endswith(first)}
    whole = [prefix for prefix in ends if all(prefix + name in content for name in needed)]
    ours = "backbone." if any(name.startswith("backbone.") for name in content) else ""
    return min(whole, key=len, default=ours)


def normalization_in(path: Path) -> Normalization | None:
    """What a checkpoint holds of a layer that normalizes images in [0, 1], in the network's state or else beside it.

    Of none, of several that differ and of a damaged file it is ``None``. Three positive deviations of at most 1 beside
    as many means, as tensors or as lists: those of pixels up to 255 are another thing.
    """
    try:
        whole = read_tensors(path)[0]
    except (ValueError, OSError):
        return None  # told when the weights are wanted
    for content in (state_in(whole), whole):
        if isinstance(content, Mapping) and (found := set(_normalizers(content))):
            return Normalization(*found.pop()) if len(found) == 1 else None
    return None


def _normalizers(content: Mapping[object, object]) -> Iterator[tuple[RGB, RGB]]:
    """Mean and deviation of images in [0, 1], wherever both stand side by side."""
    for first, second in NORMALIZERS:
        for name in content:
            prefix = str(name).removesuffix(first)
            if prefix != name and prefix[-1:] in ("", "."):
                mean, std = _three(content[name]), _three(content.get(prefix + second))
                if mean and std and all(0 <= one <= 1 for one in mean) and all(1e-6 <= one <= 1 for one in std):
                    yield mean, std


def _three(value: object) -> RGB | None:
    """Three numbers of a tensor or a list, if it is that."""
    if isinstance(value, Tensor) and is_plain(value) and value.is_floating_point() and value.numel() == 3:
        value = value.flatten().tolist()
    if not isinstance(value, Sequence) or len(value) != 3 or not all(type(one) in (int, float) for one in value):
        return None
    red, green, blue = (round(one, 7) for one in value)
    return red, green, blue
