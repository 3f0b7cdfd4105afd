"""How far apart the classes lie in the last hidden features (Table 3, Fig. 7)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from atlpa.model_state import eval_mode, with_generators
from atlpa.models import Classifier, head_of
from atlpa.randomness import Generators

PERPLEXITY = 30


@torch.no_grad()
def pooled_features(model: nn.Module, images: Tensor, generators: Generators = None) -> Tensor:
    """What the last layer is given, ``(B, D)``, in evaluation mode; a map by its mean over positions.

    Args:
        model: a ``Classifier`` or any network with a head (see ``head_of``); left exactly as found.
        images: ``(B, 3, H, W)`` in [0, 1].
        generators: of a randomized model's draws.
    """
    network = model.backbone if isinstance(model, Classifier) else model
    given: list[Tensor] = []
    head = network.get_submodule(head_of(network))
    with (
        eval_mode(model),
        with_generators(model, generators),
        head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0])),
    ):
        model(images)
    return given[-1].flatten(start_dim=2).mean(dim=2) if given[-1].ndim == 4 else given[-1]


def default_perplexity(count: int) -> float:
    """30, or a third of the neighbors where there are fewer than 91 points."""
    return min(PERPLEXITY, (count - 1) / 3)


def embed(features: np.ndarray, seed: int, perplexity: float) -> np.ndarray:
    """t-SNE of features ``(N, D)`` in the plane, ``(N, 2)``.

    Raises:
        ValueError: a perplexity that is not smaller than N.
    """
    from sklearn.manifold import TSNE  # takes a second to import

    if not 0 < perplexity < len(features):
        raise ValueError(f"perplexity {perplexity:g} with {len(features)} images; it must lie above 0 and below that")
    points: np.ndarray = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(features)
    return points


def silhouette(points: np.ndarray, labels: np.ndarray) -> float:
    """Mean silhouette (Rousseeuw) of points ``(N, D)`` by their classes ``(N,)``, in [−1, 1].

    An image that is alone in its class counts 0.

    Raises:
        ValueError: a single class, or no two images of one class.
    """
    from sklearn.metrics import silhouette_score

    classes = len(np.unique(labels))
    if not 2 <= classes < len(labels):
        raise ValueError(f"{len(labels)} images of {classes} classes have no silhouette; give more of each class")
    return float(silhouette_score(points, labels))
