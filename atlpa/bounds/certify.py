"""Certified images: no image within ε of them is taken for another class, whoever looks for one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from atlpa.bounds.follow import graph_of, propagate
from atlpa.bounds.interval import Interval, pixel_box
from atlpa.bounds.margins import margins
from atlpa.bounds.propagation import Propagation
from atlpa.bounds.rules import NoBound
from atlpa.float32 import ieee_float32
from atlpa.model_state import eval_mode
from atlpa.records import BoundMethod

AT_ONCE = 16
"""Images whose boxes are in memory at a time."""

SAFETY, TIMES = 1e-5, 10
"""What a margin must exceed to count: this share of an image's largest logit, plus so many times what the model's own
arithmetic differs by from float64 at that image."""

AGREE = 1e-3
"""How far, as a share of the largest logit, the graph's logits may be from the model's: it may be another path."""


@dataclass(frozen=True)
class Certificates:
    """What is certain of each image.

    Fields:
        margins: lower bounds of z_y − z_j over all images within ε, ``(B, C)`` in float64; infinite for y itself.
        certified: whether all margins are above 0, by more than what rounding may hide, ``(B,)`` bool.
    """

    margins: Tensor
    certified: Tensor


def certify(
    model: nn.Module, images: Tensor, labels: Tensor, epsilon: float, method: BoundMethod = "crown"
) -> Certificates:
    """Lower bounds of the margins of images over all of their ε-ball in L∞, within [0, 1].

    ``ibp`` is interval bound propagation (Gowal et al. 2018), with everything behind the last operation that is not
    affine folded into the margins. ``crown`` also carries linear functions back to the image (Zhang et al. 2018), for
    every number whose interval matters; a margin is the better one of both. Its cost grows with the number of ReLUs
    whose sign is open, each of which takes passes back through all that is before it.

    It is computed in float64, without directed rounding; the box is wider by what float32 rounds an image to, and
    ``SAFETY`` and ``TIMES`` say what a margin must exceed. So it holds for the network in float32 as long as rounding
    moves its logits within the ball no further than that: sound in practice, no proof about rounding.

    Args:
        model: images to logits ``(B, C)``; judged in evaluation mode, and left as found.
        images: ``(B, 3, H, W)`` in [0, 1].
        labels: ``(B,)``, integers from 0.
        epsilon: ε, in units of the [0, 1] pixel range.
        method: how.

    Raises:
        ValueError: images, labels or ε out of range.
        NoBound: a ``ValueError``: the model does something of which no bound is known, which is named; or tracing took
            another path through its code than its call does.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from atlpa.bounds import certify
        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2, bias=False))
        >>> _ = model[1].weight.data.copy_(torch.tensor([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
        >>> images = torch.tensor([0.5, 0.05]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
        >>> bound = certify(model, images, torch.tensor([0, 0]), epsilon=0.1)
        >>> [round(margin, 4) for margin in bound.margins[:, 1].tolist()]  # 3 · (0.5 − 0.1); no pixel is below 0
        [1.2, 0.0]
        >>> bound.certified.tolist()
        [True, False]
    """
    _must_be_sound(images, labels, epsilon, method)
    with torch.inference_mode(False), torch.no_grad(), ieee_float32(), eval_mode(model):
        graph = graph_of(model)
        found = [
            _certified(model, graph, few.detach().clone(), classes.long(), epsilon, method)
            for few, classes in zip(torch.split(images, AT_ONCE), torch.split(labels, AT_ONCE), strict=True)
        ]
    return Certificates(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _certified(
    model: nn.Module, graph: fx.Graph, images: Tensor, labels: Tensor, epsilon: float, method: BoundMethod
) -> tuple[Tensor, Tensor]:
    """Margins, and which of the images are certified."""
    exact = images.double()
    point = Propagation(Interval(exact, exact), backward=False)
    logits, own = propagate(model, graph, point).box.center, model(images)
    highest = logits.abs().amax(dim=1)
    difference = (logits - own).abs().amax(dim=1)
    if (difference > AGREE * highest).any():
        raise NoBound("the logits of its graph differ from its own; its code may take other paths when it is called")
    if labels.max() >= logits.shape[1]:
        raise ValueError(f"label {labels.max()} but {logits.shape[1]} classes; labels are counted from 0")
    flow = Propagation(pixel_box(exact, epsilon), backward=method == "crown")
    value = propagate(model, graph, flow)
    found = margins(flow, value, labels, through=False)
    if method == "crown":
        found = torch.maximum(found, margins(flow, value, labels, through=True))
    found = found.scatter(1, labels[:, None], torch.inf)
    return found, found.amin(dim=1) > SAFETY * highest + TIMES * difference


def _must_be_sound(images: Tensor, labels: Tensor, epsilon: float, method: str) -> None:
    """Refuse what no bound would mean anything for."""
    if method not in ("ibp", "crown"):
        raise ValueError(f"method {method!r}; bounds are ibp and crown")
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon {epsilon:g} is outside [0, 1]: distances are in units of the [0, 1] pixel range")
    if not images.is_floating_point() or not len(images) or not ((images >= 0) & (images <= 1)).all():
        raise ValueError(f"images of type {images.dtype}; give some, as floats in [0, 1] (8-bit pixels over 255)")
    if (
        labels.shape != images.shape[:1]
        or labels.is_floating_point()
        or labels.dtype == torch.bool
        or (labels < 0).any()
    ):
        raise ValueError(f"labels {tuple(labels.shape)} of type {labels.dtype}; give one class for each image, from 0")
