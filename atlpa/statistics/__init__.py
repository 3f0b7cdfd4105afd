"""What a count of right answers says: of one network, of a defense and its seeds, of a difference."""

from atlpa.statistics.binomial import at_least, at_most
from atlpa.statistics.defenses import SEVERAL, Estimate, by_seed, over_images, over_seeds
from atlpa.statistics.shares import Median, Share, Z, median, share, share_among
from atlpa.statistics.significance import LEVEL, holm, mcnemar, smallest_p

__all__ = [
    "LEVEL",
    "SEVERAL",
    "Estimate",
    "Median",
    "Share",
    "Z",
    "at_least",
    "at_most",
    "by_seed",
    "holm",
    "mcnemar",
    "median",
    "over_images",
    "over_seeds",
    "share",
    "share_among",
    "smallest_p",
]
