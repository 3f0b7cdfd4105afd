"""Attention maps as pictures (Fig. 1, 5 and 6): the paper's F of each stage, normalized and enlarged to the image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.errors import UserError
from atlpa.losses import attention_map
from atlpa.model_state import eval_mode, with_generators
from atlpa.models import record_stages, stage_layers
from atlpa.randomness import Generators

FEWEST_PLACES = 4  # along each side


@torch.no_grad()
def attention_maps(model: nn.Module, images: Tensor, generators: Generators = None, p: float = 2) -> dict[str, Tensor]:
    """The attention map F of Eq. 4 of each stage, in evaluation mode.

    Args:
        model: a network that declares stages; left exactly as found.
        images: ``(B, 3, H, W)`` in [0, 1].
        generators: of a randomized model's draws.
        p: the exponent of F.

    Returns:
        Stage → ``(B, h, w)``, non-negative. A stage of a single place (conv5_x at 32×32) is left out: its normalized
        map is 1 whatever the network sees.

    Raises:
        UserError: no stage is left; a network without stages is told how to name some.
    """
    if not stage_layers(model):
        raise UserError(f"this {type(model).__name__} declares no stages to draw; name some layers in model.stages")
    with eval_mode(model), with_generators(model, generators), record_stages(model) as stages:
        model(images)
    maps = {stage: attention_map(f, p) for stage, f in stages.items() if f.shape[2:].numel() > 1}
    if not maps:
        raise UserError(f"every stage has a single place at {images.shape[2]}×{images.shape[3]}; take larger images")
    return maps


def overlay_maps(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps as an overlay shows them: between 0 and 1 within each image, enlarged bilinearly to the image.

    Args:
        maps: ``(B, h, w)``.
        size: H and W of the image.

    Returns:
        ``(B, H, W)``; a map that is the same everywhere is 0.
    """
    low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
    span = high - low
    normalized = torch.where(span > 0, (maps - low) / span.masked_fill(span == 0, 1), 0.0)
    # Pixel centers of the coarse map lie where its receptive fields do: no alignment of corners.
    return F.interpolate(normalized[:, None], size=size, mode="bilinear", align_corners=False).squeeze(1).clamp(0, 1)


def comparison_stage(maps: Mapping[str, Tensor]) -> str:
    """The deepest stage whose maps have at least 4×4 places: conv5_x at 224×224, conv4_x at 64×64, conv3_x at 32×32.

    A map of 1×1 or 2×2 places says nothing about where a network looks.

    Args:
        maps: stage → ``(B, h, w)``, from the first to the last.
    """
    fine = [stage for stage, found in maps.items() if min(found.shape[1:]) >= FEWEST_PLACES]
    return fine[-1] if fine else next(iter(maps))


def map_variation(maps: Tensor) -> float:
    """How much attention depends on the image: mean distance of the maps of Eq. 4 from their mean over images.

    Maps of unit length that are the same for every image give 0: such attention looks at nothing in particular, and
    makes the attention map loss small for any adversarial image.

    Args:
        maps: ``(N, h, w)`` of different images.
    """
    unit = F.normalize(maps.flatten(1), dim=1)
    return float((unit - unit.mean(dim=0)).norm(dim=1).mean())


def map_distance(first: Tensor, second: Tensor) -> float:
    """Mean over images of one stage's summand of Eq. 4 (p = 2): distance of two maps of unit length, at most √2.

    Args:
        first: ``(N, h, w)``.
        second: of the same images, attacked.
    """
    return float((F.normalize(first.flatten(1), dim=1) - F.normalize(second.flatten(1), dim=1)).norm(dim=1).mean())
