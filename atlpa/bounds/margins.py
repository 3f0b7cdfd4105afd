"""By how much the true class leads at least, and the logits that a network is trained on to make that much."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.bounds.follow import graph_of, propagate
from atlpa.bounds.interval import pixel_box
from atlpa.bounds.propagation import Propagation, Value


def margins(flow: Propagation, logits: Value, labels: Tensor, *, through: bool) -> Tensor:
    """Lower bounds of z_y − z_j, ``(B, C)``; exactly 0 for y itself.

    The differences e_y − e_j are what is carried back, so that what both logits share cancels out.

    Args:
        flow: of the network over the box.
        logits: what it gives.
        labels: ``(B,)``.
        through: see ``Propagation.lowest``.
    """
    count, classes = logits.box.lower.shape
    images, others = (torch.arange(n, device=labels.device) for n in (count, classes))
    pairs = torch.cartesian_prod(images, others)
    found = []
    for image, other in flow.portions(logits, *pairs.unbind(dim=1)):
        rows = F.one_hot(labels[image], classes) - F.one_hot(other, classes)
        found.append(flow.lowest(logits, rows.to(logits.box.lower), image, through=through))
    return torch.cat(found).view(count, classes)


def worst_case_logits(model: nn.Module, images: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Logits ``(B, C)`` that no image within ε is worse than, by interval bounds (Gowal et al. 2018, Eq. 10).

    They are the negative margins, 0 for the true class, of the network in evaluation mode, and part of the graph of its
    weights: cross-entropy of them is at least that of any image in the ball.

    Args:
        model: images to logits.
        images: ``(B, 3, H, W)`` in [0, 1].
        labels: ``(B,)``.
        epsilon: ε, in units of the [0, 1] pixel range.

    Raises:
        NoBound: a ``ValueError``: the model does something of which no bound is known.
    """
    flow = Propagation(pixel_box(images.detach(), epsilon), backward=False)
    return -margins(flow, propagate(model, graph_of(model), flow), labels, through=False)
