"""Carry out the steps of a study, as far as they are not done."""

from __future__ import annotations

from collections.abc import Sequence

from atlpa.studies.step import Say, Step


def execute(steps: Sequence[Step], say: Say = print) -> None:
    """Carry out, in their order, the steps that are not done; those that wait for networks are left.

    Args:
        steps: of a plan, a shard of it or one of its stages.
        say: told what is done, a line at a time.
    """
    waiting = 0
    for number, step in enumerate(steps, 1):
        state = step.state()
        waiting += state == "waits"
        if state in ("to do", "stale"):
            say(f"[{number} of {len(steps)}] {step.title}")
            step.run(say)
    if waiting:
        say(f"{waiting} steps wait for networks that are not trained yet; the same command again goes on")
