"""A command that several processes carry out together, of which one speaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from atlpa.errors import Interrupted, UserError, one_line
from atlpa.process_group import Lost, joined, started
from atlpa.processes import Processes, Shared
from atlpa.progress import be_quiet


def alone() -> None:
    """Refuse several processes that would all do the same.

    Raises:
        UserError: torchrun or Slurm has started some.
    """
    if (count := started().count) > 1:
        raise UserError(
            f"{count} processes were started, and each would do the same; start this command by itself, or let them "
            "share the steps of a study: --module atlpa.cli.study"
        )


def together(work: Callable[[Processes], None]) -> int:
    """Work in the processes that torchrun or Slurm has started, or alone; gives the exit status.

    All but the first are silent about what the first one says too. What only one of them knows it says with its number.

    Raises:
        UserError: what the first process says; an input that a user can mend.
        Interrupted: in the first process, after all have stopped.
    """
    here = Processes()
    try:
        with joined() as here:
            if not here.first:
                be_quiet()
            work(here)
    except Interrupted as stop:
        if here.first:
            raise
        return 128 + stop.signal_number
    except Shared:
        if here.first:
            raise
        return 2
    except UserError as error:
        if here.count == 1:
            raise
        if here.first or not isinstance(error, Lost):
            who = "" if here.first else f"process {here.rank} of {here.count}: "
            print(f"atlpa-train: {one_line(f'{who}{error}')}", file=sys.stderr, flush=True)
        # What the processes have in common cannot be taken apart in good order, and would wait for those that are gone.
        os._exit(2)
    return 0
