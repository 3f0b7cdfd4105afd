"""Attention maps and the attention map loss, Eq. 4 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from atlpa.losses.inputs import check_exponent
from atlpa.losses.reduction import Reduction, reduce

Stages = Mapping[str, Tensor] | Sequence[Tensor]
"""Feature maps ``(B, C_j, H_j, W_j)`` of several stages: by name, as ``record_stages`` gives them, or in order."""


def attention_map(features: Tensor, p: float = 2) -> Tensor:
    """The paper's F: absolute activations raised to the power of p, summed over channels.

    Args:
        features: ``(B, C, H, W)``, the output of a stage.
        p: the exponent; at least 1, and finite.

    Returns:
        ``(B, H, W)``, non-negative, in float32 where the features have fewer bits.

    Raises:
        ValueError: another shape, or p below 1 or infinite.

    Examples:
        >>> import torch
        >>> from atlpa.losses import attention_map
        >>> features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)  # two channels at one place
        >>> attention_map(features).item()  # 3² + 4²
        25.0
        >>> attention_map(features, p=1).item()
        7.0
    """
    check_exponent(p)
    if features.ndim != 4:
        raise ValueError(
            f"features {tuple(features.shape)}; must be maps (B, C, H, W); bring tokens (B, N, C) on their grid with "
            "tokens.transpose(1, 2).unflatten(2, (H, W))"
        )
    # Σ|a|^p = ‖a‖_p^p: one pass over the features each way, which no copy of their size has to wait for.
    precision = torch.promote_types(features.dtype, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(features, ord=p, dim=1, dtype=precision)
    return norm.pow(p)


def attention_map_loss(
    clean: Stages,
    adversarial: Stages,
    p: float = 2,
    reduction: Reduction = "mean",
    stages: Sequence[str] | None = None,
) -> Tensor:
    r"""Distance between the normalized attention maps of clean images and of their adversarial counterparts (Eq. 4).

    .. math:: L_{AT} = \sum_{j \in I}
        \left\| \frac{Q_{ADV}^j}{\|Q_{ADV}^j\|_2} - \frac{Q_O^j}{\|Q_O^j\|_2} \right\|_p,
        \qquad Q^j = \mathrm{vec}(F(A^j))

    With p = 2 each stage adds at most √2. The norm is not squared. An all-zero map stays zero, and where both maps
    agree the gradient is 0: nothing here divides by zero.

    Args:
        clean: one feature map ``(B, C, H, W)`` per stage, from the clean images: a dictionary by the stage's name, or a
            sequence.
        adversarial: the same stages from the adversarial images; of sequences, in the same order.
        p: both the exponent inside F and the norm outside, as in the paper; at least 1, and finite.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images; stages are always summed.
        stages: I, the names of the stages that are compared, where they have names; by default all that are given.

    Returns:
        A scalar, or ``(B,)`` without reduction; in at least float32.

    Raises:
        ValueError: stages that do not match, in name, number, batch or size; a name that is not there; or another p.

    Examples:
        >>> import torch
        >>> from atlpa.losses import attention_map_loss
        >>> left, right = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
        >>> attention_map_loss([left], [right]).item()  # attention that moved altogether: √2 a stage
        1.4142135381698608
        >>> attention_map_loss({"conv5_x": left}, {"conv5_x": 3 * left}).item()  # maps are normalized
        0.0
    """
    clean, adversarial = by_name(clean), by_name(adversarial)
    if not clean or not adversarial:
        raise ValueError("no stages; give the feature maps of at least one")
    if clean.keys() != adversarial.keys():
        counts = f"{len(clean)} clean and {len(adversarial)} adversarial stages"
        raise ValueError(f"{counts}, {', '.join(clean)} and {', '.join(adversarial)}; give the same")
    names = tuple(clean) if stages is None else stages
    if not names or not set(names) <= clean.keys():
        raise ValueError(f"stages={names!r}; choose from {', '.join(clean)}")
    distances = [_distance(name, clean[name], adversarial[name], p) for name in names]
    if len(sizes := {len(distance) for distance in distances}) > 1:
        raise ValueError(f"stages of {' and '.join(map(str, sorted(sizes)))} images; must be of one batch")
    return reduce(torch.stack(distances).sum(dim=0), reduction)


def by_name(stages: Stages) -> Mapping[str, Tensor]:
    """Stages without names are called by their place."""
    if isinstance(stages, Tensor):
        raise ValueError(f"stages are a tensor {tuple(stages.shape)}; give a sequence or a dictionary of them")
    return stages if isinstance(stages, Mapping) else {str(place): stage for place, stage in enumerate(stages)}


def _distance(name: str, clean: Tensor, adversarial: Tensor, p: float) -> Tensor:
    """One summand of Eq. 4 for each image, ``(B,)``."""
    if clean.shape != adversarial.shape:
        raise ValueError(
            f"stage {name}: clean {tuple(clean.shape)}, adversarial {tuple(adversarial.shape)}; must agree"
        )
    distance: Tensor = torch.linalg.vector_norm(_normalized(adversarial, p) - _normalized(clean, p), ord=p, dim=1)
    return distance


def _normalized(features: Tensor, p: float) -> Tensor:
    """vec(F(A)) / ‖vec(F(A))‖₂, shape ``(B, H·W)``; zero where the map is zero."""
    q = attention_map(features, p).flatten(start_dim=1)
    length: Tensor = torch.linalg.vector_norm(q, dim=1, keepdim=True)
    normalized: Tensor = q / length.masked_fill(length == 0, 1)
    return normalized
