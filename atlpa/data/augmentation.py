"""What training may do to its images beyond mirroring: torchvision's own transforms, on generators of our own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor
from torch.overrides import TorchFunctionMode

from atlpa.component import Component
from atlpa.editors import Or
from atlpa.field_types import FromList, Number

_DRAWING = {torch.rand, torch.randint, torch.randperm, torch.Tensor.uniform_, torch._sample_dirichlet}
"""The functions of torch that torchvision's transforms draw with."""


class DrawnFrom(TorchFunctionMode):
    """Inside, what this thread draws comes from a generator.

    torchvision's transforms know only torch's global generator, which a training step needs in the main thread while a
    second thread makes the next batch. Modes belong to their thread, so that neither disturbs the other.
    """

    def __init__(self, source: torch.Generator) -> None:
        super().__init__()
        self.source = source

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The call itself, with the generator where it draws."""
        del types
        kwargs = kwargs or {}
        return func(*args, **kwargs, generator=self.source) if func in _DRAWING else func(*args, **kwargs)


class ResizedCrop(Component):
    """A window of random area and shape, resized to what the network sees (Szegedy et al. 2015).

    torchvision's ``RandomResizedCrop`` takes the place of the shifted crop; the window is of the image at
    ``data.resize``, on which the aspect ratio of the photograph is lost already.

    Fields:
        scale: the smallest and the largest area of the window, as shares of the image. Default: the source's and
            torchvision's.
        ratio: the smallest and the largest ratio of its width to its height. Default: the source's and torchvision's.
    """

    scale: Annotated[tuple[Annotated[Number, Field(gt=0, le=1)], Annotated[Number, Field(gt=0, le=1)]], FromList] = (
        0.08,
        1.0,
    )
    ratio: Annotated[tuple[Annotated[Number, Field(gt=0)], Annotated[Number, Field(gt=0)]], FromList] = (3 / 4, 4 / 3)

    @model_validator(mode="after")
    def _from_small_to_large(self) -> ResizedCrop:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if low > high:
                raise ValueError(f"{name} from {low:g} to {high:g}; give the smaller one first")
        return self

    def __call__(self, pixels: Tensor, size: int, draws: Sequence[torch.Generator], *, masks: bool = False) -> Tensor:
        """A window of each image.

        Args:
            pixels: ``(B, C, S, S)`` uint8.
            size: side of what comes out.
            draws: one generator for each image.
            masks: whether these are key regions, whose values are no shades; else they are colors.
        """
        from torchvision import tv_tensors  # takes as long as torch
        from torchvision.transforms import v2

        crop = v2.RandomResizedCrop(size, self.scale, self.ratio)
        kind = tv_tensors.Mask if masks else tv_tensors.Image
        return torch.stack([_drawn(crop, source, kind(image)) for image, source in zip(pixels, draws, strict=True)])


class Mix(Component):
    """Each image is mixed with the one before it in the batch, and so are their labels, in the same shares.

    Fields:
        method: ``cutmix`` pastes a box of the other image (Yun et al. 2019), the share of the label being that of the
            area; ``mixup`` is the mean of both, weighed by λ (Zhang et al. 2018).
        alpha: α of λ ~ Beta(α, α), drawn once for a batch, as both papers' code does. Default: CutMix's, under which
            every share is as likely.
    """

    method: Literal["cutmix", "mixup"]
    alpha: Annotated[Number, Field(ge=0.01, le=100)] = 1.0

    def __call__(self, images: Tensor, labels: Tensor, classes: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
        """Mix a batch; the first image meets the last one.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1].
            labels: ``(B,)``.
            classes: C.
            source: of the draws.

        Returns:
            Images of the same shape in [0, 1], and the shares of the classes ``(B, C)``, which sum to 1.
        """
        from torchvision.transforms import v2

        kind = {"cutmix": v2.CutMix, "mixup": v2.MixUp}[self.method]
        mixed, shares = _drawn(kind(alpha=self.alpha, num_classes=classes), source, images, labels)
        return mixed, shares


class Augmentation(Component):
    """What training does to its images beyond ``data.mirror`` and the shifted crop; by default nothing.

    Fields:
        resized_crop: a window of random area and shape in place of the shifted crop of ``data.size``.
        trivial_augment: one random change of random strength to each image, geometric or of its colors
            (TrivialAugment, Müller & Hutter 2021, in torchvision's wide space).
        mix: CutMix or MixUp.
    """

    resized_crop: ResizedCrop | None = None
    trivial_augment: bool = False
    mix: Mix | None = None


MaybeAugmentation = Annotated[
    Augmentation,
    BeforeValidator(lambda value: {} if value is None else value),
    Or(type="null"),
]
"""A field in which ``null`` stands for no augmentation."""


def trivially_augmented(pixels: Tensor, draws: Sequence[torch.Generator]) -> Tensor:
    """One random change to each of the images ``(B, 3, H, W)`` uint8, from one generator each."""
    from torchvision.transforms import v2

    change = v2.TrivialAugmentWide()
    return torch.stack([_drawn(change, source, image) for image, source in zip(pixels, draws, strict=True)])


def _drawn(transform: Any, source: torch.Generator, *given: Tensor) -> Any:
    """What a transform of torchvision's makes of an image, or of a batch and its labels."""
    with DrawnFrom(source):
        made = transform(*given)
    return made.as_subclass(torch.Tensor) if isinstance(made, Tensor) else made
