"""Is what goes in, and what comes out, what an evaluation takes it for?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from atlpa.evaluation.checks.check import Check
from atlpa.evaluation.checks.context import REPEATABLE, CheckContext, logits
from atlpa.evaluation.checks.evidence import SIGNIFICANCE, paired_status, percent
from atlpa.records import Status
from atlpa.statistics import at_least

_CARLINI = "Carlini et al. 2019"
CONTRAST = 0.1  # share of the images that another contrast may gain an honest network
_HALF_A_LEVEL = 0.5 / 255
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which most pretrained networks expect


def _pixel_range(context: CheckContext) -> tuple[Status, str]:
    low, high = context.images.min().item(), context.images.max().item()
    text = f"pixels from {low:.4g} to {high:.4g}"
    if low < 0 or high > 1 or not torch.isfinite(context.images).all():
        return "fail", text
    return ("fail" if high <= 2 / 255 else "pass"), text


def _epsilon_unit(context: CheckContext) -> tuple[Status, str]:
    text = f"ε {context.epsilon:.4g} = {255 * context.epsilon:.3g}/255"
    if context.epsilon > 1:
        return "fail", f"{text}, larger than the whole range"
    return ("pass" if context.epsilon >= _HALF_A_LEVEL else "fail"), text


def _finite(context: CheckContext) -> tuple[Status, str]:
    broken = ~torch.isfinite(context.outputs[0]).all(dim=1)
    return (
        "fail" if broken.any() else "pass"
    ), f"{int(broken.sum())} of {len(context)} images give NaN or infinite logits"


def _logits(context: CheckContext) -> tuple[Status, str]:
    found = context.outputs[0]
    low, total = found.min().item(), found.sum(dim=1)
    probabilities = low >= 0 and bool(((total - 1).abs() < 1e-3).all())
    return (
        "fail" if probabilities else "pass"
    ), f"smallest output {low:.3g}, sums {total.min():.4g} to {total.max():.4g}"


def _repeatable(context: CheckContext) -> tuple[Status, str]:
    first, second = (found.argmax(dim=1) for found in context.outputs)
    differing = int((first != second).sum())
    text = (
        f"two runs differ by {context.difference:.2g} of the logits' size, in {differing} of {len(context)} predictions"
    )
    if not context.randomized:
        return "pass", text
    # One verdict per image is then a matter of luck, whatever the attack.
    return ("fail" if paired_status(differing, 0, len(context)) == "fail" else "warn"), text


def _batch(context: CheckContext) -> tuple[Status, str]:
    if context.randomized:
        return "skip", "the model draws, so that one image gives several answers anyway"
    whole = context.outputs[0]
    order = torch.arange(len(context), device=whole.device).flip(0)
    again = torch.cat([logits(context.model, context.images[part]) for part in order.split(7)])  # type: ignore[no-untyped-call]
    differing = int((again.argmax(dim=1) != whole[order].argmax(dim=1)).sum())
    apart = ((again - whole[order]).abs().max() / whole.abs().max().clamp(min=1)).item()
    text = f"in another batch logits differ by {apart:.2g} of their size, and {differing} of {len(context)} predictions"
    if apart <= 10 * REPEATABLE:
        return "pass", text
    return ("fail" if paired_status(differing, 0, len(context)) == "fail" else "warn"), text


def _clean(context: CheckContext) -> tuple[Status, str]:
    counts = torch.bincount(context.labels)
    guess = counts.max().item() / len(context) if (counts > 0).sum() > 1 else 1 / context.outputs[0].shape[1]
    right = int(context.clean.sum())
    text = f"{percent(context.clean)} of {len(context)}, guessing {100 * guess:.1f} %"
    if at_least(right, len(context), guess) < SIGNIFICANCE:
        return "pass", text
    return ("fail" if right <= guess * len(context) else "warn"), text


def _normalization(context: CheckContext) -> tuple[Status, str]:
    mean, std = (
        torch.tensor(v, device=context.images.device, dtype=context.images.dtype)[:, None, None] for v in (_MEAN, _STD)
    )
    given: dict[str, Callable[[Tensor], Tensor]] = {
        "times 255": lambda x: 255 * x,
        "divided by 255": lambda x: x / 255,
        "normalized to [−1, 1]": lambda x: 2 * x - 1,
        "taken back from [−1, 1]": lambda x: (x + 1) / 2,
    }
    if context.images.shape[1] == len(_MEAN):
        given["normalized by ImageNet's mean and deviation"] = lambda x: (x - mean) / std
        given["taken back from ImageNet's normalization"] = lambda x: x * std + mean
        given["with red and blue exchanged"] = lambda x: x.flip(1)
    right = {
        name: context.right(context.model, change(context.images), context.labels) for name, change in given.items()
    }
    best = max(right, key=lambda name: right[name].sum().item())
    worse, better = int((right[best] & ~context.clean).sum()), int((context.clean & ~right[best]).sum())
    text = f"{percent(context.clean)} as given, {percent(right[best])} {best}"
    status = paired_status(worse, better, len(context))
    # More contrast helps some honest networks a little; the right normalization helps a lot.
    wrong = int((~context.clean).sum())
    gain = worse - better
    plain = gain >= 2 / 3 * wrong or (gain > CONTRAST * len(context) and gain >= wrong / 2)
    return ("warn" if status == "fail" and not plain else status), text


CHECKS = (
    Check(
        name="pixel range",
        expected="pixels fill [0, 1]",
        source="derived",
        advice="give images in [0, 1] and put the normalization into the model",
        make=_pixel_range,
        precondition=True,
    ),
    Check(
        name="epsilon unit",
        expected=f"ε between {_HALF_A_LEVEL:.4f} (half an 8-bit level) and 1",
        source="derived",
        advice="give ε in units of the [0, 1] range: 8/255, neither 8 nor 8/255/255",
        make=_epsilon_unit,
        precondition=True,
    ),
    Check(
        name="finite logits",
        expected="none",
        source=_CARLINI,
        advice="find where the model overflows; attacks see no direction there",
        make=_finite,
        precondition=True,
    ),
    Check(
        name="clean accuracy",
        expected="better than guessing",
        source=_CARLINI,
        advice="mend the model, the labels or their order first: robustness of wrong answers means nothing",
        make=_clean,
    ),
    Check(
        name="normalization",
        expected=f"no usual rescaling of the images mends half of the errors and gains {100 * CONTRAST:.0f} points",
        source="derived",
        advice="normalize inside the model as in its training; its robustness is measured on images it does not know",
        make=_normalization,
    ),
    Check(
        name="logits",
        expected="outputs that are no probabilities",
        source="Croce & Hein 2020",
        advice="return what goes into the softmax; a second softmax hides the gradient of the cross-entropy",
        make=_logits,
    ),
    Check(
        name="repeatability",
        expected=f"two runs agree to {REPEATABLE:g}",
        source="Croce & Hein 2020",
        advice="attack with gradients averaged over draws (--eot) and report the spread over draws",
        make=_repeatable,
    ),
    Check(
        name="batch independence",
        expected="an image's prediction depends on this image alone",
        source="derived",
        advice="put the model into evaluation mode: BatchNorm in training mode looks at the other images",
        make=_batch,
    ),
)
