"""The loss around an image (Fig. 4 and 8)."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor
from torch.nn import functional as F

from atlpa.evaluation.correctness import generators
from atlpa.model_state import Logits, eval_mode, with_generators
from atlpa.randomness import generator

BATCH_SIZE = 256


def landscape(model: Logits, image: Tensor, label: Tensor, steps: Tensor, seed: int = 0, position: int = 0) -> Tensor:
    """Cross-entropy at x₀ + a·sign(∇ₓ loss) + b·r, with r a random sign for each pixel (Rademacher).

    The paper's formula leaves out x₀. ‖δ‖∞ is up to |a| + |b|, and nothing is clipped to [0, 1]: the model's loss is
    drawn, not an attack. A randomized model is asked in one draw, the same at every point.

    Args:
        model: images → logits; left exactly as found.
        image: x₀, ``(3, H, W)``.
        label: its class, a scalar.
        steps: ``(n,)``, the values of a and b, in units of the [0, 1] pixel range.
        seed: of r, the same for every model, and of a randomized model's draw.
        position: the image's in its data, by which that draw is keyed, as in all analyses.

    Returns:
        ``(n, n)``: row a, column b.
    """

    def drawn(points: int) -> AbstractContextManager[None]:
        same = torch.full((points,), position)
        return with_generators(model, generators(seed, "analysis", same, device=image.device))

    noise = 2 * torch.randint(2, image.shape, generator=generator(seed, "landscape")).to(image) - 1
    with eval_mode(model), drawn(1), torch.enable_grad():
        point = image[None].clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), label[None]), point)
    a, b = (axis.flatten()[:, None, None, None] for axis in torch.meshgrid(steps, steps, indexing="ij"))
    losses = []
    with torch.no_grad(), eval_mode(model):
        for rows in torch.arange(len(a)).split(BATCH_SIZE):  # type: ignore[no-untyped-call]
            points = image + a[rows] * gradient.sign() + b[rows] * noise
            with drawn(len(rows)):
                losses.append(F.cross_entropy(model(points), label.expand(len(rows)), reduction="none"))
    return torch.cat(losses).view(len(steps), len(steps))
