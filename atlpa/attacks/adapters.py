"""Our attacks as other packages call theirs. Nothing of theirs is imported: it is their calling conventions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from atlpa.attacks.attack import Attack
from atlpa.model_state import Logits, eval_mode


@dataclass(frozen=True)
class AsTorchattacks:
    """An attack that knows its model, as torchattacks and torchattack have them: ``attack(images, labels)``.

    Fields:
        attack: any of ours.
        model: images in [0, 1] → logits, normalization inside (``lambda x: model(normalize(x))``).
    """

    attack: Attack
    model: Logits

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        """Adversarial images like ``images`` ``(B, 3, H, W)``, whose classes are ``labels`` ``(B,)``.

        Raises:
            ValueError: as of the attack: images that are no floats in [0, 1] among them.
        """
        return self.attack(self.model, images, labels)


@dataclass(frozen=True)
class AsFoolbox:
    """An attack that is told its model and ε, as foolbox has them: ``attack(fmodel, images, labels, epsilons=ε)``."""

    attack: Attack

    def __call__(self, model: Any, inputs: Any, criterion: Any, *, epsilons: float | Iterable[float]) -> Any:
        """Attack a batch, at each ε anew; what is measured against ε, as a step is, keeps its proportion to it.

        Args:
            model: a ``foolbox.PyTorchModel`` with bounds (0, 1), made of a network in evaluation mode: it hides the
                network, whose mode is out of reach.
            inputs: images ``(B, 3, H, W)``, a tensor of torch or of eagerpy.
            criterion: labels ``(B,)``, or ``foolbox.Misclassification`` of them.
            epsilons: ε, in the attack's norm; or several.

        Returns:
            Adversarial images; the same, since ours lie within ε; and which of them fool the model ``(B,)``, all in
            the kind of ``inputs``. Of several ε lists of the first two, and ``(ε, B)``.

        Raises:
            ValueError: other bounds, another criterion, no ε; or as of the attack.
        """
        if tuple(model.bounds) != (0, 1):
            raise ValueError(f"a model with bounds {tuple(model.bounds)}; give PyTorchModel(…, bounds=(0, 1))")
        labels = getattr(criterion, "labels", criterion)
        images, labels = (getattr(given, "raw", given) for given in (inputs, labels))
        if not isinstance(labels, Tensor):
            raise ValueError(f"the criterion {type(criterion).__name__}; give the labels, or Misclassification(labels)")
        several = isinstance(epsilons, Iterable)
        radii: list[float] = list(epsilons) if isinstance(epsilons, Iterable) else [epsilons]
        if None in radii:
            raise ValueError("epsilons None; give ε as a number, or several: these attacks look within a ball")
        found = [self.attack.at(radius)(model, images, labels) for radius in radii]
        with torch.no_grad():
            fooled = torch.stack([model(adversarial).argmax(dim=1) != labels for adversarial in found])
        kind = type(inputs) if hasattr(inputs, "raw") else lambda tensor: tensor
        adversarial = [kind(one) for one in found]
        if not several:
            return adversarial[0], adversarial[0], kind(fooled[0])
        return adversarial, list(adversarial), kind(fooled)


@dataclass(frozen=True)
class AsART:
    """An attack as the Adversarial Robustness Toolbox has them: ``attack.generate(x, y)`` on arrays.

    Fields:
        attack: any of ours.
        estimator: a ``PyTorchClassifier`` with clip values (0, 1); its preprocessing is differentiated as far as it is
            of torch, as standardization is.
    """

    attack: Attack
    estimator: Any

    def generate(self, x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        """Adversarial images like ``x``.

        Args:
            x: ``(B, 3, H, W)`` in [0, 1].
            y: classes ``(B,)``, or one-hot ``(B, C)``; without them, what the estimator predicts.

        Raises:
            ValueError: an estimator with other clip values or preprocessing that is not torch's; no array; or as of
                the attack.
        """
        clip = self.estimator.clip_values
        if clip is not None and not (np.all(clip[0] == 0) and np.all(clip[1] == 1)):
            raise ValueError(f"an estimator with clip values {clip}; give PyTorchClassifier(…, clip_values=(0, 1))")
        if not isinstance(x, np.ndarray):
            raise ValueError(f"images are {type(x).__name__}; give an array, as x.cpu().numpy()")
        # It computes in float32 whatever the arrays are; integers are the attack's to refuse.
        images = torch.from_numpy(x.astype(np.float32) if x.dtype.kind == "f" else x).to(self.estimator.device)
        model: Logits = self._logits if self._operations() else self.estimator.model
        with eval_mode(self.estimator.model):
            if y is None:
                with torch.no_grad():
                    labels = model(images).argmax(dim=1)
            else:
                labels = torch.from_numpy(np.asarray(y)).to(images.device)
                labels = labels.argmax(dim=1) if labels.ndim == 2 else labels
            found: np.ndarray = self.attack(model, images, labels).cpu().numpy()
        return found

    def _operations(self) -> list[Any]:
        """What it does to images first, but for subtracting 0 and dividing by 1, which is its default."""
        known = self.estimator.preprocessing_operations
        return [one for one in known if not (np.all(getattr(one, "mean", 1) == 0) and np.all(one.std == 1))]

    def _logits(self, images: Tensor) -> Tensor:
        for operation in self._operations():
            try:
                images, _ = operation.forward(images, None)
            except NotImplementedError as error:
                what = type(operation).__name__
                raise ValueError(f"the estimator's {what} is computed outside torch; attack without it") from error
        logits: Tensor = self.estimator.model(images)
        return logits
