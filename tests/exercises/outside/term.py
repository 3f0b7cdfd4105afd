"""The focal loss of Lin et al. 2017: cross-entropy that looks away from images that are easy."""

from torch import Tensor

from atlpa.defenses import Classification


class Focal(Classification):
    """Cross-entropy of each image times (1 − p)^gamma, where p is the probability of its true class."""

    gamma: float = 2.0

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        log_p = logits.log_softmax(dim=1).gather(1, labels[:, None])
        return -((1 - log_p.exp()) ** self.gamma * log_p).mean()
