"""Carry out the steps of a study, as far as they are not done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from atlpa.runs.lock import InUse
from atlpa.studies.step import Say, State, Step

PAUSE = 2.0
"""Seconds between two looks at what another process has in its hands."""


def execute(steps: Sequence[Step], say: Say = print, pause: Callable[[float], None] = time.sleep) -> None:
    """Carry out, in their order, the steps that are not done.

    What another process is at is left to it; the rest goes first, and then it is waited for. Steps that wait for
    networks that nobody is training are left.

    Args:
        steps: of a plan, a shard of it or one of its stages.
        say: told what is done, a line at a time.
        pause: waits so many seconds.
    """
    left = list(enumerate(steps, 1))
    waited = False
    while True:
        tried = [(number, step, _after(step, f"[{number} of {len(steps)}]", say, waited)) for number, step in left]
        left = [(number, step) for number, step, state in tried if state != "done"]
        elsewhere = [
            step for _, step, state in tried if state in ("to do", "stale") or (state == "waits" and step.awaited())
        ]
        if not elsewhere:
            break
        if not waited:
            say(f"in the hands of another process, or waiting for it: {len(elsewhere)} of {len(steps)} steps")
        waited = True
        pause(PAUSE)
    if left:
        untrained = f"{len(left)} of {len(steps)} steps"
        say(f"waiting for networks that are not trained yet: {untrained}; the same command goes on")


def _after(step: Step, place: str, say: Say, quiet: bool) -> State:
    """Carry a step out if it can be; its state then. ``quiet``: that it cannot has been said before."""
    state = step.state()
    if state in ("done", "waits"):
        return state
    if not quiet:
        say(f"{place} {step.title}")
    try:
        step.run(say)
    except InUse as owned:
        if not quiet:
            say(f"{owned.problem}; the other steps go first")
        return state
    return "done"
