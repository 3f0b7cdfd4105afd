"""A model that sees its images changed: smaller, darker, in pieces."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from atlpa.model_state import Logits


class Changed(nn.Module):
    """The logits of a changed image, with a gradient for the image itself.

    It is a module, so that whoever sets modes or generators of its layers reaches the model's.

    Args:
        model: images → logits.
        change: images ``(B, 3, H, W)`` → images, differentiable.
    """

    def __init__(self, model: Logits, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.change = model, change

    def forward(self, images: Tensor) -> Tensor:
        """Images ``(B, 3, H, W)`` to logits ``(B, C)``."""
        logits: Tensor = self.model(self.change(images))
        return logits
