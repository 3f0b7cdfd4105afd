"""The whole objective of the paper, Eq. 2."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.losses.attention_map import Stages, attention_map_loss, by_name
from atlpa.losses.inputs import check_exponent, checked_labels, checked_pair
from atlpa.losses.reduction import Reduction, check_reduction, reduce
from atlpa.losses.tolerant_logit import tolerant_logit_loss
from atlpa.losses.top_classes import ranked_classes


class ATLPALoss(nn.Module):
    r"""L = L_CE + α·L_TL + β·L_AT (Eq. 2); ATLPA without attention is β = 0.

    Cross-entropy and the tolerant logit loss are means over clean and adversarial images alike (the paper's 1 : 1).

    Args:
        alpha: α, the weight of the tolerant logit loss; at least 0.
        beta: β, the weight of the attention map loss; at least 0.
        k: K of Eq. 3, at least 2; by default the paper's 5, or every class where there are fewer.
        p: p of Eq. 4; at least 1, and finite.
        weights: w_2 … w_K of Eq. 3; by default 1/(K−1) each.
        label_smoothing: of the cross-entropy, in [0, 1); 0.1 leaves 0.9 + 0.1/C on the true class.
        stages: I of Eq. 4, the names of the stages that are compared; by default all that are given.
        reduction: ``"mean"``, ``"sum"`` or ``"none"`` over the images, an image's value being the mean over its two
            views.

    Raises:
        ValueError: one of them is out of its range.

    Examples:
        >>> import torch
        >>> from atlpa.losses import ATLPALoss
        >>> objective = ATLPALoss(alpha=0.1, beta=1.0)
        >>> logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
        >>> left, right = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
        >>> terms = objective(logits, logits, labels, {"conv5_x": left}, {"conv5_x": right})
        >>> {name: round(term.item(), 3) for name, term in terms.items()}
        {'cross_entropy': 0.127, 'tolerant_logit': 0.2, 'attention_map': 1.414}
        >>> round(sum(terms.values()).item(), 3)
        1.741
    """

    def __init__(
        self,
        alpha: float = 0.1,
        beta: float = 1.0,
        k: int | None = None,
        p: float = 2,
        *,
        weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        stages: Sequence[str] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        for name, weight in (("alpha", alpha), ("beta", beta)):
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name}={weight}; a weight must be at least 0, and finite")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing}; must lie in [0, 1)")
        if isinstance(stages, str) or (stages is not None and not stages):
            raise ValueError(f"stages={stages!r}; give a sequence of names, such as ('conv4_x', 'conv5_x')")
        check_exponent(p)
        check_reduction(reduction)
        self.alpha, self.beta, self.k, self.p = alpha, beta, ranked_classes(k, weights), p
        self.weights = None if weights is None else tuple(weights)
        self.label_smoothing, self.reduction = label_smoothing, reduction
        self.stages = None if stages is None else tuple(stages)

    def extra_repr(self) -> str:
        """Every setting."""
        names = ("alpha", "beta", "k", "p", "weights", "label_smoothing", "stages", "reduction")
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)

    def forward(
        self,
        clean_logits: Tensor,
        adversarial_logits: Tensor,
        labels: Tensor,
        clean_stages: Stages = (),
        adversarial_stages: Stages = (),
    ) -> dict[str, Tensor]:
        """The weighted terms by name; the loss is their sum, the log is the dictionary.

        Args:
            clean_logits: ``(B, C)``.
            adversarial_logits: ``(B, C)``, of the same images after the attack.
            labels: ``(B,)`` class indices, for both.
            clean_stages: feature maps ``(B, C_j, H_j, W_j)``, a dictionary as of ``record_stages``, or a sequence; may
                be left out when β = 0.
            adversarial_stages: likewise, of the adversarial images.

        Returns:
            ``{"cross_entropy": …, "tolerant_logit": …, "attention_map": …}``, each a scalar that carries its weight, or
            ``(B,)`` without reduction, in at least float32; the last is absent when β = 0.

        Raises:
            ValueError: shapes that do not match, K above C, or stages that are not there.
        """
        logits = torch.cat(checked_pair(clean_logits, adversarial_logits))
        labels = checked_labels(labels, clean_logits)
        cross_entropy = F.cross_entropy(
            logits, labels.repeat(2), reduction="none", label_smoothing=self.label_smoothing
        )
        tolerant_logit = tolerant_logit_loss(logits, self.k, self.weights, reduction="none")
        terms = {
            "cross_entropy": cross_entropy.view(2, -1).mean(dim=0),
            "tolerant_logit": self.alpha * tolerant_logit.view(2, -1).mean(dim=0),
        }
        if self.beta:
            distance = attention_map_loss(clean_stages, adversarial_stages, self.p, "none", self.stages)
            if distance.shape != labels.shape:
                raise ValueError(f"stages of {len(distance)} images, logits of {len(labels)}; must be of one batch")
            terms["attention_map"] = self.beta * distance
        return {name: reduce(term, self.reduction) for name, term in terms.items()}

    def joined(self, logits: Tensor, labels: Tensor, stages: Stages = ()) -> dict[str, Tensor]:
        """The terms from one pass over clean and adversarial images joined, which BatchNorm sees as one batch.

        ::

            with record_stages(model) as stages:
                logits = model(torch.cat([images, adversarial]))
            terms = objective.joined(logits, labels, stages)

        Args:
            logits: ``(2B, C)``, those of the clean images first.
            labels: ``(B,)`` class indices.
            stages: feature maps ``(2B, C_j, H_j, W_j)`` in the same order; may be left out when β = 0.

        Returns:
            As of a call.

        Raises:
            ValueError: not two rows for each label; or as of a call.
        """
        maps = by_name(stages)
        for what, rows in [("logits", logits), *maps.items()]:
            if len(rows) != 2 * len(labels):
                raise ValueError(f"{what} {tuple(rows.shape)}; must be clean and adversarial of {len(labels)} labels")
        # Chunks of one call share one gradient; slices would each fill one of full size with zeros.
        halves = {name: rows.chunk(2) for name, rows in maps.items()}
        clean, adversarial = ({name: half[view] for name, half in halves.items()} for view in (0, 1))
        terms: dict[str, Tensor] = self(*logits.chunk(2), labels, clean, adversarial)
        return terms
