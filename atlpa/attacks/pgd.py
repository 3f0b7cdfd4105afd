"""Projected gradient descent, the attack of the paper (Madry et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from atlpa.attacks.attack import Attack
from atlpa.attacks.input_diversity import input_diversity
from atlpa.attacks.inputs import AttackBatch, check_batch, dominant_class
from atlpa.attacks.momentum import accumulated
from atlpa.attacks.norms import Ball, Norm
from atlpa.attacks.objectives import OBJECTIVES, TARGETED, Objective, cross_entropy, fools
from atlpa.attacks.rows import State
from atlpa.attacks.stepwise import Cost
from atlpa.attacks.with_precision import WithPrecision
from atlpa.engine import Engine, Precision, prepare
from atlpa.field_types import Number, Radius, check_pixel_range, written
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits, eval_mode, random_layers, with_generators
from atlpa.randomness import Generators, rewound, sample

NEAR = 0.001
"""Standard deviation of the Gaussian start in pixels, TRADES' own (Zhang et al. 2019)."""


class PGD(WithPrecision, Attack):
    """Untargeted L∞ projected gradient descent: the inner maximization of Eq. 1; or L2.

    One iteration climbs the loss along the sign of its input gradient and projects back:
    x ← clip(x + step·sign(∇ₓL), [x₀ − ε, x₀ + ε] ∩ [0, 1]); in L2 along the gradient, step·∇ₓL/‖∇ₓL‖₂.

    Fields:
        epsilon: ε, the largest change of any pixel, or the L2 length of the change, in units of the [0, 1] range.
            Default: the smaller of the paper's two.
        step: the step size, in the same units. Default: the paper's.
        iterations: how many steps. Default: the paper's largest budget.
        start: ``zero`` starts at the image, ``uniform`` at a random point of the ε-ball, ``gaussian`` close to the
            image, at x₀ + 0.001·N(0, 1) (TRADES' own). Default: two steps of the paper's training reach ε from the
            image itself; it says nothing more.
        loss: what is climbed: ``cross_entropy`` with the true label, ``margin`` or ``dlr`` of the logits, which do not
            saturate, or ``kl`` from the prediction on the clean image to that on the adversarial one (TRADES). Default:
            Eq. 1's.
        eot: gradients are averaged over this many draws of a randomized model (expectation over transformation).
            Default: a network that does not draw needs no more.
        fixed_draws: whether a randomized model meets the same draws in every iteration, instead of fresh ones.
        momentum: μ of Dong et al. 2018: the step follows the sign of μ · (the direction so far) + (the gradient over
            its 1-norm), which transfers better. Default: plain PGD, the paper's.
        diversity: probability of each image to be shrunk and shifted before the gradient (Xie et al. 2019), which
            transfers better. Default: plain PGD, the paper's.
        restarts: independent runs; an image keeps the first result that fools the model, else the one of highest loss.
            Default: one run, as the paper speaks of no other.
        engine: what gradients are computed on: ``auto``, a frozen copy of the model that is faster, where it has a copy
            that agrees; ``reference``, the model itself. Default: the faster: its gradients are held to those of the
            model.
        precision: of the gradients: ``fp32``, or ``bf16`` in convolutions and matrix products. On CUDA torch's own
            settings say whether ``fp32`` may use TF32; evaluation never does, nor what judges restarts. Default: what
            every processor has; half precision is faster where there are instructions for it.
        norm: in which ε and the step are measured, ``Linf`` or ``L2``. Default: the paper's.

    Examples:
        >>> import torch
        >>> from atlpa.attacks import PGD
        >>> def brightness(images):  # two classes: light, dark
        ...     light = images.mean(dim=(1, 2, 3))
        ...     return torch.stack([light, 1 - light], dim=1)

        >>> images, labels = torch.full((1, 3, 4, 4), 0.6), torch.tensor([0])
        >>> adversarial = PGD(epsilon=0.2, step=0.05, iterations=10)(brightness, images, labels)
        >>> round(adversarial.max().item(), 4)  # every pixel as dark as ε allows
        0.4
        >>> try:
        ...     PGD(epsilon=8)
        ... except ValueError as error:
        ...     print(error)
        epsilon: 8 is outside [0, 1]: distances are in units of the [0, 1] pixel range; write 8/255
    """

    name = "pgd"
    budget = "iterations"
    serves: ClassVar[Mapping[str, str]] = {
        "restarts": "white-box",
        "momentum": "transfer",
        "diversity": "transfer",
        "eot": "randomized networks",
        "fixed_draws": "randomized networks",
    }

    epsilon: Radius = 0.25
    step: Annotated[Radius, Field(gt=0)] = 1 / 256
    iterations: Annotated[int, Field(ge=1)] = 200
    start: Literal["zero", "uniform", "gaussian"] = "zero"
    loss: Literal[Objective, "kl"] = "cross_entropy"
    eot: Annotated[int, Field(ge=1)] = 1
    fixed_draws: bool = False
    momentum: Annotated[Number, Field(ge=0, le=1)] = 0.0
    diversity: Annotated[Number, Field(ge=0, le=1)] = 0.0
    restarts: Annotated[int, Field(ge=1)] = 1
    engine: Engine = "auto"
    precision: Precision = "fp32"
    norm: Norm = "Linf"

    @model_validator(mode="after")
    def _step_fits_the_norm(self) -> PGD:
        if self.norm == "Linf":
            check_pixel_range(self, "step")
        return self

    @model_validator(mode="after")
    def _restarts_must_differ(self) -> PGD:
        if self.restarts > 1 and self.start == "zero":
            raise ValueError(f"{self.restarts} restarts from a zero start are the same run; use start: uniform")
        return self

    @model_validator(mode="after")
    def _kl_must_have_a_gradient(self) -> PGD:
        if self.loss == "kl" and self.start == "zero":
            raise ValueError(
                "the KL divergence has no gradient at the image itself; use start: uniform or gaussian with loss: kl"
            )
        return self

    def __call__(self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None) -> Tensor:
        """Attack a batch, from as many starts as there are ``restarts``; the rest is as of every attack."""
        batch = check_batch(images, labels, shares=self.takes_shares)
        network = self.prepare(model, batch.images)
        *_, best = self._steps(network, batch, generator)
        if self.restarts == 1:
            return best
        fooled, loss = _judge(model, best, batch.labels, generator)
        for _ in range(self.restarts - 1):
            *_, challenger = self._steps(network, batch, generator)
            fools, higher = _judge(model, challenger, batch.labels, generator)
            better = ~fooled & (fools | (higher > loss))
            best, loss = torch.where(better[:, None, None, None], challenger, best), torch.where(better, higher, loss)
            fooled |= fools
        return best

    def iterates(
        self, model: Logits, images: Tensor, labels: Tensor, *, generator: Generators = None
    ) -> Iterator[Tensor]:
        """One run, yielding the images after each step, so that one run serves every iteration budget."""
        batch = check_batch(images, labels, shares=self.takes_shares)
        yield from self._steps(self.prepare(model, batch.images), batch, generator)

    def _steps(self, model: Logits, batch: AttackBatch, generator: Generators) -> Iterator[Tensor]:
        ball = self.ball(batch.images)
        adversarial, direction = self.initial(batch.images, generator), torch.zeros_like(batch.images)
        for _ in range(self.iterations):
            gradient, _ = self.climb(model, adversarial, batch, generator)
            direction = accumulated(direction, gradient, self.momentum)
            adversarial = self._step(adversarial, direction, ball)
            yield adversarial

    def initial(self, images: Tensor, generator: Generators = None) -> Tensor:
        """The point from which the first step is taken, a tensor of its own and part of no graph."""
        images = images.detach()
        if self.start == "zero":
            return images.clone()
        ball = self.ball(images)
        if self.start == "uniform":
            return ball.draw(generator)
        return ball.project(images + NEAR * sample(images, torch.randn, generator))

    def prepare(self, model: Logits, images: Tensor) -> Logits:
        """What the gradients are computed on, to be made once where ``advance`` is called often.

        Args:
            model: images → logits; the result notices no later change of its weights.
            images: ``(B, 3, H, W)``, any that will be attacked.
        """
        return prepare(model, images, self.engine, self.precision, self.iterations * self.eot)

    def begin(self, model: Logits, images: Tensor, labels: Tensor, generator: Generators = None) -> State:
        """The point from which the first step is taken; the model is not asked."""
        del model, labels
        return State(self.initial(images, generator))

    def advance(
        self, model: Logits, state: State, images: Tensor, labels: Tensor, generator: Generators = None
    ) -> tuple[State, Tensor]:
        """One step further, and which of the present images fool the model (mean over draws), ``(B,)`` bool.

        The model is taken as it is; ``prepare`` gives a faster one. Images and labels are not looked at.
        """
        adversarial, images = state.adversarial.detach(), images.detach()
        gradient, logits = self.climb(model, adversarial, AttackBatch(images, labels), generator)
        return State(self._step(adversarial, gradient, self.ball(images))), fools(logits, labels)

    def climb(
        self, model: Logits, adversarial: Tensor, batch: AttackBatch, generator: Generators
    ) -> tuple[Tensor, Tensor]:
        """The input gradient ``(B, 3, H, W)`` of the loss and the logits ``(B, C)``, mean over the draws."""
        held = rewound(generator) if self.fixed_draws and random_layers(model) else nullcontext()
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            eval_mode(model),
            with_generators(model, generator),
            held,
        ):
            # Clones are ordinary tensors even where the caller's were made in inference mode.
            point, batch = adversarial.clone().requires_grad_(True), batch._replace(labels=batch.labels.clone())
            passes = [self._gradient(model, point, batch, generator) for _ in range(self.eot)]
        if self.eot == 1:
            return passes[0]
        gradient, logits = (torch.stack(tensors).mean(dim=0) for tensors in zip(*passes, strict=True))
        return gradient, logits

    def _gradient(
        self, model: Logits, point: Tensor, batch: AttackBatch, generator: Generators
    ) -> tuple[Tensor, Tensor]:
        """The loss's input gradient ``(B, 3, H, W)`` and the logits, for one draw of the model.

        Sums keep each image's gradient independent of the size of the batch.
        """
        seen = input_diversity(point, self.diversity, generator) if self.diversity else point
        logits = batch.checked_logits(model(seen))
        if self.loss == "kl":
            reference = model(batch.images.clone()).detach().softmax(dim=1)
            loss = F.kl_div(logits.log_softmax(dim=1), reference, reduction="sum")
        elif batch.targets is not None:
            loss = TARGETED[self.loss](logits, batch.labels, batch.targets).sum()
        else:
            loss = OBJECTIVES[self.loss](logits, batch.labels).sum()
        if not logits.requires_grad:
            raise ValueError(
                "the network attacked gives no gradient; attack it with Square, which needs none, or by transfer from "
                "a source"
            )
        (gradient,) = torch.autograd.grad(loss, point)
        return gradient, logits.detach()

    def _step(self, adversarial: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        return ball.project(torch.add(adversarial, ball.ascent(gradient), alpha=self.step))

    def _scaled(self, share: float) -> dict[str, Any]:
        # A step must not be 0; at ε = 0 its size does not matter.
        return {**super()._scaled(share), "step": share * self.step or self.step}

    def stages(self, classes: int) -> Sequence[PGD]:
        """Itself, as often as it restarts; none with momentum, which has a memory, or diversity, drawn for a batch."""
        del classes
        return () if self.momentum or self.diversity else self.restarts * (self,)

    @property
    def takes_shares(self) -> bool:
        """Whether the loss has a meaning for them; margins are those of one class."""
        return self.loss in ("cross_entropy", "kl")

    @property
    def fewest_classes(self) -> int:
        """Three where the DLR loss compares as many logits."""
        return 3 if self.loss == "dlr" else 2

    def cost(self) -> Cost:
        """A pass each way per step, draw and restart; the KL divergence asks for the clean prediction too."""
        passes = self.iterations * self.eot * self.restarts
        return Cost(forwards=passes * (2 if self.loss == "kl" else 1), backwards=passes)

    def suited_to(self, *, white_box: bool, randomized: bool) -> PGD:
        """As of every attack; restarts on a randomized network are refused, for their best would owe much to luck."""
        if white_box and randomized and self.restarts > 1:
            raise ValueError(
                f"the network is randomized: the best of {self.restarts} restarts would owe much to luck; "
                "use eot in place of restarts"
            )
        return super().suited_to(white_box=white_box, randomized=randomized)

    def notes(self, budgets: Sequence[int] = ()) -> list[str]:
        """Steps that are cut, and budgets that cannot reach ε."""
        notes = []
        if self.step > self.epsilon:
            notes.append(f"step {written(self.step)} is larger than ε {written(self.epsilon)}: a step is cut to ε")
        short = [n for n in budgets or [self.iterations] if n * self.step < self.epsilon * (1 - 1e-9)]
        if self.start == "zero" and short:
            steps = f"{', '.join(map(str, short))} steps of {self.step:.4g} from a zero start"
            reach = f"{short[-1]} reach at most {short[-1] * self.step:.4g}"
            notes.append(f"ε {written(self.epsilon)} cannot bind within {steps}: {reach}")
        return notes


@torch.no_grad()
@ieee_float32()
def _judge(model: Logits, images: Tensor, labels: Tensor, generator: Generators) -> tuple[Tensor, Tensor]:
    """Which images fool the model ``(B,)``, and their loss ``(B,)``."""
    with eval_mode(model), with_generators(model, generator):
        logits = model(images)
    return logits.argmax(dim=1) != dominant_class(labels), cross_entropy(logits, labels)
