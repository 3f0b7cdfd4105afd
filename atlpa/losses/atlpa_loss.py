"""The whole objective of the paper, Eq. 2."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.losses.attention_map import attention_map_loss
from atlpa.losses.tolerant_logit import tolerant_logit_loss


class ATLPALoss(nn.Module):
    r"""L = L_CE + α·L_TL + β·L_AT (Eq. 2); ATLPA without attention is β = 0.

    Cross-entropy and the tolerant logit loss are means over clean and adversarial images alike (the paper's 1 : 1).

    Args:
        alpha: α, the weight of the tolerant logit loss.
        beta: β, the weight of the attention map loss.
        k: K of Eq. 3.
        p: p of Eq. 4.
    """

    def __init__(self, alpha: float = 0.1, beta: float = 1.0, k: int = 5, p: float = 2) -> None:
        super().__init__()
        self.alpha, self.beta, self.k, self.p = alpha, beta, k, p

    def forward(
        self,
        clean_logits: Tensor,
        adversarial_logits: Tensor,
        labels: Tensor,
        clean_stages: Sequence[Tensor] = (),
        adversarial_stages: Sequence[Tensor] = (),
    ) -> dict[str, Tensor]:
        """The weighted terms by name; the loss is their sum, the log is the dictionary.

        Args:
            clean_logits: ``(B, C)``.
            adversarial_logits: ``(B, C)``, of the same images after the attack.
            labels: ``(B,)`` class indices, for both.
            clean_stages: feature maps ``(B, C_j, H_j, W_j)`` of conv2_x … conv5_x; may be left out when β = 0.
            adversarial_stages: likewise, of the adversarial images.

        Returns:
            ``{"cross_entropy": …, "tolerant_logit": …, "attention_map": …}``, each a scalar that carries its weight;
            the last is absent when β = 0.
        """
        logits = torch.cat([clean_logits, adversarial_logits])
        terms = {
            "cross_entropy": F.cross_entropy(logits, torch.cat([labels, labels])),
            "tolerant_logit": self.alpha * tolerant_logit_loss(logits, self.k),
        }
        if self.beta:
            terms["attention_map"] = self.beta * attention_map_loss(clean_stages, adversarial_stages, self.p)
        return terms
