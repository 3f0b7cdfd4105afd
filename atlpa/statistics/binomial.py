"""Tails of the binomial distribution.

Of scipy.special: scipy.stats says the same, and would be half of the time that a command takes to start.
"""

from scipy.special import bdtr, bdtrc


def at_most(count: int, of: int, chance: float) -> float:
    """Probability of ``count`` successes or fewer, each of them with this chance."""
    return float(bdtr(count, of, chance)) if count >= 0 else 0.0


def at_least(count: int, of: int, chance: float) -> float:
    """Probability of ``count`` successes or more, each of them with this chance."""
    return float(bdtrc(count - 1, of, chance)) if count > 0 else 1.0
