"""The model under scrutiny as a module that every check can ask."""

from __future__ import annotations

from torch import Tensor, nn

from atlpa.model_state import Logits


class CheckedModel(nn.Module):
    """A callable as a module, with a gradient of zero where it has none at all."""

    def __init__(self, model: Logits, role: str = "the model") -> None:
        super().__init__()
        self.model, self.role = model, role

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(B, C)`` of images ``(B, 3, H, W)``."""
        # A clone, since a model may work in place.
        logits: Tensor = self.model(images.clone())
        if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images) or logits.shape[1] < 2:
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(
                f"{self.role} gave {shape} for {len(images)} images; "
                "it must give logits (images, classes) of two classes or more"
            )
        return logits + 0 * images.mean(dim=(1, 2, 3))[:, None]
