"""A command that several processes carry out together, of which one speaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from atlpa.errors import Interrupted, UserError
from atlpa.processes import Processes, Shared, joined
from atlpa.progress import be_quiet


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
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # until the process ends
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
        if here.first:
            raise
        raise UserError(f"process {here.rank} of {here.count}: {error}") from error
    return 0
