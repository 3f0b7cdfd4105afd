"""How much evidence makes a finding: more than an honest evaluation shows, and more than chance explains."""

from __future__ import annotations

from torch import Tensor

from atlpa.records import Status
from atlpa.statistics import at_least

# docs/credibility.md shows the honest networks that these shares are taken from.
TOLERANCE = 0.03  # of what stands, to an attack that ought to be no stronger; also of all images that are looked at
ADAPTIVE_TOLERANCE = 1 / 3  # of what stands, to attacks made for hidden gradients, one or all of them together
SIGNIFICANCE = 0.01


def too_few(standing: int, tolerance: float, paired: bool = False) -> bool:
    """Whether so few images cannot show anything, not even if all of them fell."""
    return not standing or _chance(standing, 0 if paired else None, standing, tolerance) >= SIGNIFICANCE


def broken_status(broken: int, mended: int | None, standing: int, tolerance: float) -> Status:
    """How bad it is that another attack breaks so many of the images that stand.

    Args:
        broken: standing images that fall to the other attack.
        mended: fallen images that stand under it; ``None`` if a fallen image stays fallen, so that no chance is in it.
        standing: what stands without it.
        tolerance: share of these that may fall, net of what is mended, in an honest evaluation.

    Returns:
        ``skip`` if there are too few to tell; ``fail`` if surely more than the tolerance falls (one-sided binomial p
        below 0.01), and seven images at least, where a sign test is sure too; ``warn`` above the tolerance, and above
        half of it where no chance is in it; for one image, ``pass``.
    """
    if too_few(standing, tolerance, mended is not None):
        return "skip"
    tolerated = tolerance * standing
    if broken - (mended or 0) <= max(1, tolerated / 2 if mended is None else tolerated):
        return "pass"
    return "fail" if _chance(broken, mended, standing, tolerance) < SIGNIFICANCE else "warn"


def _chance(broken: int, mended: int | None, standing: int, tolerance: float) -> float:
    """How likely so many fall where no more than the tolerance would."""
    if mended is None:
        # A sign test beside, so that a few borderline images, which may be all that stands, are no failure.
        return max(at_least(broken, standing, tolerance), 0.5**broken)
    # Of the images that change sides by chance alone half fall; the tolerated ones come on top.
    changed = broken + mended
    rate = min(1.0, (1 + tolerance * standing / changed) / 2) if changed else 1.0
    return at_least(broken, changed, rate)


def compare_masks(before: Tensor, after: Tensor, tolerance: float, paired: bool) -> tuple[Status, str]:
    """Weigh what is left under another attack against what stands without it.

    Args:
        before: ``(N,)`` bool, what stands without it.
        after: ``(N,)``, what stands with it.
        tolerance: as ``overstated`` takes it.
        paired: whether an image that fell may stand under the other attack.
    """
    standing, broken, mended = int(before.sum()), int((before & ~after).sum()), int((after & ~before).sum())
    status = broken_status(broken, mended if paired else None, standing, tolerance)
    text = f"{percent(before)} → {percent(after)} of {len(before)}"
    if status == "skip":
        return status, f"{text}, too few to tell"
    return status, f"{text}: {broken} of {standing} fall" + (f", {mended} come back" if mended else "")


def rate_status(count: int, n: int, rate: float) -> Status:
    """How bad a count is that an honest evaluation keeps at or below some rate.

    Returns:
        ``fail`` with one-sided binomial p < 0.01 above the rate, ``warn`` above the rate, else ``pass``.
    """
    if count <= rate * n:
        return "pass"
    return "fail" if at_least(count, n, rate) < SIGNIFICANCE else "warn"


def paired_status(worse: int, better: int, n: int) -> Status:
    """How bad it is that so many of ``n`` images speak against the evaluation, and so many for it.

    Returns:
        ``fail`` above 3 % with one-sided paired p < 0.01; ``warn`` above 3 % with less certainty, or above half of that
        with p < 0.01; else ``pass``.
    """
    net = (worse - better) / n
    if net <= TOLERANCE / 2:
        return "pass"
    sure = at_least(worse, worse + better, 0.5) < SIGNIFICANCE
    if net > TOLERANCE:
        return "fail" if sure else "warn"
    return "warn" if sure else "pass"


def percent(right: Tensor) -> str:
    """A share in percent."""
    return f"{100 * right.float().mean().item():.1f} %"
