"""Whether a robust accuracy can be believed: every check, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch

from atlpa.errors import shown
from atlpa.evaluation.admission import check_callable
from atlpa.evaluation.as_images import as_tensors, precision_of
from atlpa.evaluation.checks import adaptive, gradients, hidden_gradients, inputs, weaker_attacks
from atlpa.evaluation.checks.check import Check
from atlpa.evaluation.checks.checked_model import CheckedModel
from atlpa.evaluation.checks.claim import check_claim, claim
from atlpa.evaluation.checks.context import CheckContext
from atlpa.evaluation.checks.diagnoses import Diagnosis, diagnose
from atlpa.evaluation.checks.standing import Standing
from atlpa.float32 import ieee_float32
from atlpa.model_state import Logits
from atlpa.records import Finding
from atlpa.registry import Registry

CHECKS: Registry[Check] = Registry(
    "check",
    "atlpa.checks",
    {
        check.name: check
        for check in (
            *inputs.CHECKS,
            *gradients.CHECKS,
            *adaptive.CHECKS,
            *hidden_gradients.CHECKS,
            *weaker_attacks.CHECKS,
        )
    },
)
"""Every check by name, in the order in which they are made; those of installed packages come last."""


@dataclass(frozen=True, eq=False)
class Judged(Sequence[Finding]):
    """What the checks found, one finding each, as a sequence of them; and what is left of the accuracy.

    Fields:
        findings: one for each check, in order; and one of the claim, if there is one.
        standing: which images stand under all that was tried, what felled the others, and where; ``None`` where no
            attack could be made.
        diagnosis: how plain PGD went, on some of the images; ``None`` where it was not made.
    """

    findings: tuple[Finding, ...]
    standing: Standing | None
    diagnosis: Diagnosis | None

    @overload
    def __getitem__(self, key: int) -> Finding: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, key: int | slice) -> Finding | tuple[Finding, ...]:
        return self.findings[key]

    def __len__(self) -> int:
        return len(self.findings)


@torch.inference_mode(mode=False)
def credibility(
    model: Logits,
    images: Any,
    labels: Any = None,
    epsilon: float = 8 / 255,
    reference: Logits | None = None,
    sources: Sequence[Logits] = (),
    *,
    claimed: float | None = None,
    checks: Iterable[Check | str] | None = None,
    seed: int = 0,
    progress: Callable[[str], object] = lambda _: None,
    tell: Callable[[str], object] = lambda _: None,
) -> Judged:
    """Look for evidence that a model's robust accuracy is overstated, or its evaluation invalid.

    The number that is judged is what stands under plain PGD, the ensemble, and every other attack that a check makes,
    image by image. The more stands, the more a check can tell; where too little does, it says so.

    Args:
        model: images → logits ``(B, C)``; left exactly as found.
        images: ``(N, 3, H, W)`` in [0, 1] as tensor or array, on the model's device; or a ``DataLoader`` or any
            iterable of (images, labels, …) batches.
        labels: ``(N,)`` true classes; left out where the images bring theirs.
        epsilon: ε of the L∞ ball, in units of the [0, 1] pixel range.
        reference: an undefended model, which must fall under the same attack.
        sources: other models for the same task, whose adversarial images must break nothing that stands white-box.
        claimed: the robust accuracy that somebody claims, in [0, 1]: could it be true?
        checks: which ones, in order, as they are or by name; by default all of ``CHECKS``.
        seed: of all that is drawn.
        progress: called with each check's name before it is made.
        tell: called with how far an attack within it is, such as ``ensemble 43 %``.

    Returns:
        One finding for each check, what could not be made with the reason; what stands, and what felled the rest.

    Raises:
        ValueError: no images, other than one label for each, a network that gives no logits ``(B, C)``, an ε or a claim
            that is none, or a check that there is not.

    Examples:
        >>> import torch
        >>> from atlpa import credibility
        >>> def brightness(images):  # two classes: light, dark
        ...     light = images.mean(dim=(1, 2, 3))
        ...     return torch.stack([light, 1 - light], dim=1)

        >>> images = torch.linspace(0.52, 0.98, 24).view(24, 1, 1, 1).expand(24, 3, 8, 8)
        >>> judged = credibility(brightness, images, torch.zeros(24, dtype=torch.long), epsilon=0.1)
        >>> judged.standing.correct  # those lighter than 0.6
        ('000001111111111111111111',)
        >>> [finding.check for finding in judged if finding.status == "fail"]  # they add up to one, as probabilities do
        ['logits']
    """
    check_callable(model, "model")
    if not isinstance(epsilon, int | float):
        raise ValueError(f"ε is {shown(epsilon)}; give a number, such as 8/255")
    if reference is not None:
        check_callable(reference, "reference")
    if not isinstance(sources, Sequence):
        raise ValueError(f"sources {shown(sources)}; give a list of networks")
    for number, source in enumerate(sources, 1):
        check_callable(source, f"source {number}")
    chosen = [CHECKS[one] if isinstance(one, str) else one for one in (CHECKS if checks is None else checks)]
    images, labels = as_tensors(images, labels)
    images, labels = (part.clone() if part.is_inference() else part for part in (images, labels))
    images = images.to(precision_of(model) or torch.float32)
    if images.ndim != 4 or not len(images) or labels.shape != (len(images),):
        raise ValueError(
            f"images {tuple(images.shape)} and labels {tuple(labels.shape)}; give (N, 3, H, W) and (N,), N ≥ 1"
        )
    if labels.is_floating_point() or labels.dtype == torch.bool or labels.min() < 0:
        raise ValueError(f"labels of type {labels.dtype}, from {labels.min()}; give integer classes counted from 0")
    if claimed is not None:
        check_claim(claimed)
    context = CheckContext(
        CheckedModel(model),
        images.detach(),
        labels.long(),
        epsilon,
        None if reference is None else CheckedModel(reference, "the reference"),
        [CheckedModel(source, f"source {number}") for number, source in enumerate(sources, 1)],
        tell,
    )
    findings: list[Finding] = []
    broken = None
    with ieee_float32(), torch.random.fork_rng():
        torch.manual_seed(seed)
        for check in chosen:
            if broken:
                findings.append(check.finding("skip", f"{broken} must hold first"))
                continue
            progress(check.name)
            findings.append(check(context))
            if check.precondition and findings[-1].status == "fail":
                broken = check.name
        standing = None if broken else context.settled
        diagnosis = None if broken else diagnose(context)
    if claimed is not None:
        findings.append(claim(claimed, *((standing.correct, standing.refuting) if standing else (None, {}))))
    return Judged(tuple(findings), standing, diagnosis)
