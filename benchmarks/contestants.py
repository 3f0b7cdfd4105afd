"""The same PGD by everyone: zero start, L∞, cross-entropy, no early stop, each called the way its manual shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from atlpa.attacks import PGD

Attack = Callable[[Tensor, Tensor, float, float, int], Tensor]
"""images, labels, ε, step, iterations → adversarial images."""


def plain(model: nn.Module) -> Attack:
    """The loop that everybody writes."""

    def attack(images: Tensor, labels: Tensor, epsilon: float, step: float, iterations: int) -> Tensor:
        adversarial = images.clone()
        for _ in range(iterations):
            adversarial.requires_grad_(True)
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(adversarial), labels), adversarial)
            moved = adversarial.detach() + step * gradient.sign()
            adversarial = (images + (moved - images).clamp(-epsilon, epsilon)).clamp(0, 1)
        return adversarial

    return attack


def torchattacks(model: nn.Module) -> Attack:
    import torchattacks as peer

    def attack(images: Tensor, labels: Tensor, epsilon: float, step: float, iterations: int) -> Tensor:
        return peer.PGD(model, eps=epsilon, alpha=step, steps=iterations, random_start=False)(images, labels)

    return attack


def torchattack(model: nn.Module) -> Attack:
    import torchattack as peer

    def attack(images: Tensor, labels: Tensor, epsilon: float, step: float, iterations: int) -> Tensor:
        options = {"eps": epsilon, "steps": iterations, "alpha": step, "random_start": False}
        return peer.PGD(model, None, images.device, **options)(images, labels)

    return attack


def foolbox(model: nn.Module) -> Attack:
    import foolbox as peer

    def attack(images: Tensor, labels: Tensor, epsilon: float, step: float, iterations: int) -> Tensor:
        wrapped = peer.PyTorchModel(model, bounds=(0, 1), device=images.device)
        run = peer.attacks.LinfPGD(abs_stepsize=step, steps=iterations, random_start=False).run
        return run(wrapped, images, peer.criteria.Misclassification(labels), epsilon=epsilon)

    return attack


def art(model: nn.Module) -> Attack:
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    def attack(images: Tensor, labels: Tensor, epsilon: float, step: float, iterations: int) -> Tensor:
        classes = model(images[:1]).shape[1]
        device = "cpu" if images.device.type == "cpu" else "gpu"
        wrapped = PyTorchClassifier(
            model, nn.CrossEntropyLoss(), images.shape[1:], classes, clip_values=(0, 1), device_type=device
        )
        options = {"eps": epsilon, "eps_step": step, "max_iter": iterations, "batch_size": len(images)}
        peer = ProjectedGradientDescent(wrapped, norm=np.inf, num_random_init=0, verbose=False, **options)
        return torch.from_numpy(peer.generate(images.cpu().numpy(), y=labels.cpu().numpy())).to(images.device)

    return attack


def ours(**options: str) -> Callable[[nn.Module], Attack]:
    """This package's, with an engine and a precision."""

    def make(model: nn.Module) -> Attack:
        def attack(images: Tensor, labels: Tensor, epsilon: float, step: float, iterations: int) -> Tensor:
            pgd = PGD(epsilon=epsilon, step=step, iterations=iterations, **options)
            return pgd(model, images, labels)

        return attack

    return make


PEERS: Mapping[str, Callable[[nn.Module], Attack]] = {
    "torchattacks": torchattacks,
    "torchattack": torchattack,
    "foolbox": foolbox,
    "ART": art,
    "plain loop": plain,
}
OURS: Mapping[str, Callable[[nn.Module], Attack]] = {
    "atlpa fp32": ours(),
    "atlpa bf16": ours(precision="bf16"),
}
CONTESTANTS = {**PEERS, **OURS, "atlpa reference": ours(engine="reference")}
