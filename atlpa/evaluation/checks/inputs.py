"""Is what goes in, and what comes out, what an evaluation takes it for?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.stats import binomtest
from torch import Tensor

from atlpa.evaluation.checks.context import REPEATABLE, CheckContext, logits
from atlpa.evaluation.checks.evidence import SIGNIFICANCE, TOLERANCE, Check, percent
from atlpa.records import Status

_CARLINI = "Carlini et al. 2019"
CONTRAST = 0.1  # share of the images that another contrast may gain an honest network
_HALF_A_LEVEL = 0.5 / 255
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which most pretrained networks expect


def paired_status(worse: int, better: int, n: int) -> Status:
    """How bad it is that so many of ``n`` images speak against the evaluation, and so many for it.

    Returns:
        ``fail`` above 3 % with one-sided paired p < 0.01; ``warn`` above 3 % with less certainty, or above half of that
        with p < 0.01; else ``pass``.
    """
    net = (worse - better) / n
    if net <= TOLERANCE / 2:
        return "pass"
    sure = binomtest(worse, worse + better, alternative="greater").pvalue < SIGNIFICANCE
    if net > TOLERANCE:
        return "fail" if sure else "warn"
    return "warn" if sure else "pass"


def _pixel_range(case: CheckContext) -> tuple[Status, str]:
    low, high = case.images.min().item(), case.images.max().item()
    text = f"pixels from {low:.4g} to {high:.4g}"
    if low < 0 or high > 1 or not torch.isfinite(case.images).all():
        return "fail", text
    return ("fail" if high <= 2 / 255 else "pass"), text


def _epsilon_unit(case: CheckContext) -> tuple[Status, str]:
    text = f"ε {case.epsilon:.4g} = {255 * case.epsilon:.3g}/255"
    if case.epsilon > 1:
        return "fail", f"{text}, larger than the whole range"
    return ("pass" if case.epsilon >= _HALF_A_LEVEL else "fail"), text


def _finite(case: CheckContext) -> tuple[Status, str]:
    broken = ~torch.isfinite(case.outputs[0]).all(dim=1)
    return (
        "fail" if broken.any() else "pass"
    ), f"{int(broken.sum())} of {len(case)} images give NaN or infinite logits"


def _logits(case: CheckContext) -> tuple[Status, str]:
    found = case.outputs[0]
    low, total = found.min().item(), found.sum(dim=1)
    probabilities = low >= 0 and bool(((total - 1).abs() < 1e-3).all())
    return (
        "fail" if probabilities else "pass"
    ), f"smallest output {low:.3g}, sums {total.min():.4g} to {total.max():.4g}"


def _repeatable(case: CheckContext) -> tuple[Status, str]:
    first, second = (found.argmax(dim=1) for found in case.outputs)
    differing = int((first != second).sum())
    text = f"two runs differ by {case.difference:.2g} of the logits' size, in {differing} of {len(case)} predictions"
    if not case.randomized:
        return "pass", text
    # One verdict per image is then a matter of luck, whatever the attack.
    return ("fail" if paired_status(differing, 0, len(case)) == "fail" else "warn"), text


def _batch(case: CheckContext) -> tuple[Status, str]:
    if case.randomized:
        return "skip", "the model draws, so that one image gives several answers anyway"
    whole = case.outputs[0]
    order = torch.arange(len(case), device=whole.device).flip(0)
    again = torch.cat([logits(case.model, case.images[part]) for part in order.split(7)])  # type: ignore[no-untyped-call]
    differing = int((again.argmax(dim=1) != whole[order].argmax(dim=1)).sum())
    apart = ((again - whole[order]).abs().max() / whole.abs().max().clamp(min=1)).item()
    text = f"in another batch logits differ by {apart:.2g} of their size, and {differing} of {len(case)} predictions"
    if apart <= 10 * REPEATABLE:
        return "pass", text
    return ("fail" if paired_status(differing, 0, len(case)) == "fail" else "warn"), text


def _clean(case: CheckContext) -> tuple[Status, str]:
    counts = torch.bincount(case.labels)
    guess = counts.max().item() / len(case) if (counts > 0).sum() > 1 else 1 / case.outputs[0].shape[1]
    right = int(case.clean.sum())
    text = f"{percent(case.clean)} of {len(case)}, guessing {100 * guess:.1f} %"
    if binomtest(right, len(case), guess, alternative="greater").pvalue < SIGNIFICANCE:
        return "pass", text
    return ("fail" if right <= guess * len(case) else "warn"), text


def _normalization(case: CheckContext) -> tuple[Status, str]:
    mean, std = (
        torch.tensor(v, device=case.images.device, dtype=case.images.dtype)[:, None, None] for v in (_MEAN, _STD)
    )
    given: dict[str, Callable[[Tensor], Tensor]] = {
        "times 255": lambda x: 255 * x,
        "divided by 255": lambda x: x / 255,
        "normalized to [−1, 1]": lambda x: 2 * x - 1,
        "taken back from [−1, 1]": lambda x: (x + 1) / 2,
    }
    if case.images.shape[1] == len(_MEAN):
        given["normalized by ImageNet's mean and deviation"] = lambda x: (x - mean) / std
        given["taken back from ImageNet's normalization"] = lambda x: x * std + mean
        given["with red and blue exchanged"] = lambda x: x.flip(1)
    right = {name: case.right(case.model, change(case.images), case.labels) for name, change in given.items()}
    best = max(right, key=lambda name: right[name].sum().item())
    worse, better = int((right[best] & ~case.clean).sum()), int((case.clean & ~right[best]).sum())
    text = f"{percent(case.clean)} as given, {percent(right[best])} {best}"
    status = paired_status(worse, better, len(case))
    # More contrast helps some honest networks a little; the right normalization helps a lot.
    wrong = int((~case.clean).sum())
    gain = worse - better
    plain = gain >= 2 / 3 * wrong or (gain > CONTRAST * len(case) and gain >= wrong / 2)
    return ("warn" if status == "fail" and not plain else status), text


PRECONDITIONS = (
    Check(
        "pixel range",
        "pixels fill [0, 1]",
        "derived",
        "give images in [0, 1] and put the normalization into the model",
        _pixel_range,
    ),
    Check(
        "epsilon unit",
        f"ε between {_HALF_A_LEVEL:.4f} (half an 8-bit level) and 1",
        "derived",
        "give ε in units of the [0, 1] range: 8/255, neither 8 nor 8/255/255",
        _epsilon_unit,
    ),
    Check(
        "finite logits",
        "none",
        _CARLINI,
        "find where the model overflows; attacks see no direction there",
        _finite,
    ),
)
"""Where one of these fails, nothing else can be measured."""

CHECKS = (
    Check(
        "clean accuracy",
        "better than guessing",
        _CARLINI,
        "mend the model, the labels or their order first: robustness of wrong answers means nothing",
        _clean,
    ),
    Check(
        "normalization",
        f"no usual rescaling of the images mends half of the errors and gains {100 * CONTRAST:.0f} points",
        "derived",
        "normalize inside the model as in its training; its robustness is measured on images it does not know",
        _normalization,
    ),
    Check(
        "logits",
        "outputs that are no probabilities",
        "Croce & Hein 2020",
        "return what goes into the softmax; a second softmax hides the gradient of the cross-entropy",
        _logits,
    ),
    Check(
        "repeatability",
        f"two runs agree to {REPEATABLE:g}",
        "Croce & Hein 2020",
        "attack with gradients averaged over draws (--eot) and report the spread over draws",
        _repeatable,
    ),
    Check(
        "batch independence",
        "an image's prediction depends on this image alone",
        "derived",
        "put the model into evaluation mode: BatchNorm in training mode looks at the other images",
        _batch,
    ),
)
