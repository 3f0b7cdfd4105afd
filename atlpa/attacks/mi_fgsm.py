"""The iterated FGSM with momentum, and what the field adds to it so that its images transfer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor

from atlpa.attacks.attack import Attack
from atlpa.attacks.block_shuffle import block_shuffle
from atlpa.attacks.changed import Changed
from atlpa.attacks.fgsm import Multiple
from atlpa.attacks.inputs import AttackBatch, check_batch
from atlpa.attacks.momentum import accumulated
from atlpa.attacks.objectives import Objective
from atlpa.attacks.pgd import PGD
from atlpa.attacks.stepwise import Cost
from atlpa.attacks.translation_invariance import smoothed
from atlpa.attacks.with_precision import WithPrecision
from atlpa.engine import Engine, Precision, prepare
from atlpa.field_types import Number, PixelDistance
from atlpa.model_state import Logits
from atlpa.randomness import Generators, uniform

BETA, BLOCKS, ROTATION = 1.5, 3, 24.0


class MIFGSM(WithPrecision, Attack):
    """MI-FGSM (Dong et al. 2018), and every attack that is made of it by one more field or several.

    Each iteration, with g the mean input gradient over changed copies of the point, smoothed:
    m ← μ·m + g/‖g‖₁, then x ← clip(x + α·ε·sign(m), [x₀ − ε, x₀ + ε] ∩ [0, 1]), from the image itself.

    Under the other names one field has another default: ``ni_fgsm`` (nesterov), ``ti_fgsm`` (kernel 15), ``si_fgsm``
    (scales 5), ``di_fgsm`` (diversity 0.5), ``vmi_fgsm`` (neighbors 20), ``bsr`` (copies 20). They combine as in the
    field: ``ni_fgsm`` with scales 5, kernel 15 and diversity 0.5 is SI-NI-TI-DIM.

    Fields:
        epsilon: ε, in units of the [0, 1] pixel range. Default: as of the other attacks; the field reports 16/255.
        alpha: α, the step as a multiple of ε; the field takes one over the number of iterations. Default: that for its
            10 iterations.
        iterations: how many steps. Default: the sources'.
        loss: what is climbed, as of ``PGD``: ``cross_entropy``, ``margin`` or ``dlr``. Default: the sources'.
        momentum: μ; 0 for none, as in I-FGSM. Default: the sources'.
        nesterov: whether the gradient is that of the point ahead, x + α·ε·μ·m (NI-FGSM, Lin et al. 2020), with m in
            units of its gradients' mean |g|, as in the authors' code. Default: true in ``ni_fgsm`` alone.
        kernel: side in pixels of the Gaussian that smooths the gradient (TI, Dong et al. 2019), odd; 1 for none.
            Default: none, in ``ti_fgsm`` the source's.
        scales: gradients of x/2ⁱ, i = 0 … scales − 1, are averaged (SI, Lin et al. 2020); 1 for none. Default: one, in
            ``si_fgsm`` the source's five.
        neighbors: how many gradients near by, less that of the point, correct the next one (VMI, Wang & He 2021); 0 for
            none. Default: none, in ``vmi_fgsm`` the source's.
        beta: β, how near they are, as a multiple of ε. Default: the source's.
        copies: gradients of so many images in shuffled and rotated blocks are averaged (BSR, Wang et al. 2024); the
            paper takes 10. 0 for none. Default: none, in ``bsr`` that of TransferAttack.
        blocks: into how many strips an image is cut, and a strip into how many blocks. Default: that of TransferAttack.
        rotation: the largest angle of a block in degrees. Default: that of TransferAttack.
        diversity: probability of each image to be shrunk and shifted (DI), as of ``PGD``. Default: none, in ``di_fgsm``
            the source's.
        engine: what gradients are computed on, as of ``PGD``.
        precision: of the gradients, as of ``PGD``.
    """

    name = "mi_fgsm"
    budget = "iterations"

    epsilon: PixelDistance = 8 / 255
    alpha: Multiple = 0.1
    iterations: Annotated[int, Field(ge=1)] = 10
    loss: Objective = "cross_entropy"
    momentum: Annotated[Number, Field(ge=0, le=1)] = 1.0
    nesterov: bool = False
    kernel: Annotated[int, Field(ge=1)] = 1
    scales: Annotated[int, Field(ge=1, le=32)] = 1
    neighbors: Annotated[int, Field(ge=0)] = 0
    beta: Annotated[Number, Field(gt=0)] = BETA
    copies: Annotated[int, Field(ge=0)] = 0
    blocks: Annotated[int, Field(ge=1)] = BLOCKS
    rotation: Annotated[Number, Field(ge=0, le=180)] = ROTATION
    diversity: Annotated[Number, Field(ge=0, le=1)] = 0.0
    engine: Engine = "auto"
    precision: Precision = "fp32"

    @model_validator(mode="after")
    def _every_field_must_count(self) -> MIFGSM:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} has no middle pixel; give an odd number, such as 15, or 1 for none")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov looks ahead along the momentum, which is 0; give momentum, or no nesterov")
        if self.beta != BETA and not self.neighbors:
            raise ValueError(f"beta {self.beta:g} is how near neighbors are, of which there are 0; give neighbors too")
        if (self.blocks, self.rotation) != (BLOCKS, ROTATION) and not self.copies:
            raise ValueError("blocks and rotation are those of shuffled copies, of which there are 0; give copies too")
        return self

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """The images after each step; arguments and errors are those of a call."""
        batch, pgd = check_batch(images, labels, shares=self.takes_shares), self._pgd
        if problem := self.unfit(side=min(batch.images.shape[2:])):
            raise ValueError(problem)
        network = prepare(model, batch.images, self.engine, self.precision, self.cost().backwards)
        low, high = (batch.images - self.epsilon).clamp(min=0), (batch.images + self.epsilon).clamp(max=1)
        step, adversarial = self.alpha * self.epsilon, batch.images.clone()
        direction = variance = torch.zeros_like(adversarial)
        # The direction adds gradients over their 1-norm; over their mean, as many times more, pixels are of size 1.
        reach = step * self.momentum * batch.images.shape[1:].numel() if self.nesterov else 0.0
        for left in reversed(range(self.iterations)):
            ahead = adversarial + reach * direction if reach else adversarial
            gradient = self._gradient(pgd, network, ahead, batch, generator)
            direction = accumulated(direction, smoothed(gradient + variance, self.kernel), self.momentum)
            if self.neighbors and left:
                variance = self._around(pgd, network, ahead, batch, generator) - gradient
            adversarial = (adversarial + step * direction.sign()).clamp(low, high)
            yield adversarial

    def _gradient(self, pgd: PGD, model: Logits, point: Tensor, batch: AttackBatch, generator: Generators) -> Tensor:
        """The mean input gradient ``(B, 3, H, W)`` over the changed copies of a point, each with draws of its own."""
        total = torch.zeros_like(point)
        for power in list(range(self.scales)) * max(1, self.copies):
            seen = Changed(model, partial(self._changed, power=power, generator=generator))
            total += pgd.climb(seen, point, batch, generator)[0]
        return total / (self.scales * max(1, self.copies))

    def _changed(self, images: Tensor, power: int, generator: Generators) -> Tensor:
        shuffled = block_shuffle(images, self.blocks, self.rotation, generator) if self.copies else images
        return shuffled / float(2**power)

    def _around(self, pgd: PGD, model: Logits, point: Tensor, batch: AttackBatch, generator: Generators) -> Tensor:
        """The mean gradient ``(B, 3, H, W)`` over the neighbors of a point."""
        total = torch.zeros_like(point)
        for _ in range(self.neighbors):
            near = point + uniform(point, self.beta * self.epsilon, generator)
            total += self._gradient(pgd, model, near, batch, generator)
        return total / self.neighbors

    @property
    def _pgd(self) -> PGD:
        """What has the same gradient of one changed copy."""
        return PGD(self.epsilon, loss=self.loss, diversity=self.diversity)

    @property
    def takes_shares(self) -> bool:
        """Whether the loss has a meaning for them."""
        return self._pgd.takes_shares

    @property
    def fewest_classes(self) -> int:
        """As of ``PGD``."""
        return self._pgd.fewest_classes

    @property
    def smallest_side(self) -> int:
        """That of the kernel, and a pixel for each block."""
        return max(self.kernel, self.blocks if self.copies else 1)

    def cost(self) -> Cost:
        """A pass each way per step and copy, and for each neighbor, which the last step has none of."""
        passes = self.scales * max(1, self.copies) * (self.iterations + self.neighbors * (self.iterations - 1))
        return Cost(passes, passes)


class NIFGSM(MIFGSM):
    """NI-FGSM (Lin et al. 2020): ``MIFGSM`` with the gradient of the point ahead."""

    name = "ni_fgsm"
    nesterov: bool = True


class TIFGSM(MIFGSM):
    """TI-FGSM (Dong et al. 2019) with momentum: ``MIFGSM`` with smoothed gradients."""

    name = "ti_fgsm"
    kernel: Annotated[int, Field(ge=1)] = 15


class SIFGSM(MIFGSM):
    """SI-FGSM (Lin et al. 2020) with momentum: ``MIFGSM`` with gradients of five scales."""

    name = "si_fgsm"
    scales: Annotated[int, Field(ge=1, le=32)] = 5


class DIFGSM(MIFGSM):
    """DI-FGSM (Xie et al. 2019) with momentum: ``MIFGSM`` on randomly shrunk and shifted images."""

    name = "di_fgsm"
    diversity: Annotated[Number, Field(ge=0, le=1)] = 0.5


class VMIFGSM(MIFGSM):
    """VMI-FGSM (Wang & He 2021): ``MIFGSM`` with gradients corrected by those near by."""

    name = "vmi_fgsm"
    neighbors: Annotated[int, Field(ge=0)] = 20


class BSR(MIFGSM):
    """BSR (Wang et al. 2024): ``MIFGSM`` with gradients of images in shuffled and rotated blocks."""

    name = "bsr"
    copies: Annotated[int, Field(ge=0)] = 20
