"""The losses of the paper and of what it is compared with, on tensors. They need torch and nothing else."""

from atlpa.losses.atlpa_loss import ATLPALoss
from atlpa.losses.attention_map import attention_map, attention_map_loss
from atlpa.losses.input_gradient import input_gradient_loss
from atlpa.losses.logit_pairing import kl_pairing_loss, logit_pairing_loss, top_k_pairing_loss
from atlpa.losses.mart import boosted_cross_entropy_loss, weighted_kl_pairing_loss
from atlpa.losses.tolerant_logit import tolerant_logit_loss

__all__ = [
    "ATLPALoss",
    "attention_map",
    "attention_map_loss",
    "boosted_cross_entropy_loss",
    "input_gradient_loss",
    "kl_pairing_loss",
    "logit_pairing_loss",
    "tolerant_logit_loss",
    "top_k_pairing_loss",
    "weighted_kl_pairing_loss",
]
