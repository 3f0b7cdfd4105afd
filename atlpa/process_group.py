"""How processes that torchrun or Slurm has started find each other, and how they part."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from atlpa.errors import Interrupted, UserError, reason
from atlpa.processes import ALONE, Processes, Shared

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others: while one decodes a large data set, or writes to a slow disk."""


class Lost(UserError):
    """Another process has ended or cannot be reached: nothing can be agreed on any more, not even the end."""


def started() -> Processes:
    """This process among those that torchrun or Slurm has started, each of which works by itself.

    Raises:
        UserError: what the environment says of them contradicts itself.
    """
    return _place() or ALONE


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun or Slurm has started, as torch's process group; alone where neither has.

    Raises:
        UserError: the others cannot be met; a process that dies later ends the work of all with this too.
    """
    place = started()
    if place.count == 1:
        yield place
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        dist.init_process_group(backend, rank=place.rank, world_size=place.count, timeout=PATIENCE)
    except (RuntimeError, ValueError, OSError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise Shared(
            f"process {place.rank} of {place.count} cannot meet the others at {where} ({reason(error)}); is the port "
            "in use or closed? MASTER_ADDR and MASTER_PORT, or torchrun's --rdzv-endpoint, name another"
        ) from error
    try:
        yield place
    except (Shared, Interrupted):  # here all have come to the same place
        dist.destroy_process_group()
        raise
    except (RuntimeError, KeyboardInterrupt) as error:
        # A launcher that sees one process die stops the others, who may be told so while they find out themselves.
        for found in (error, error.__context__):
            if isinstance(found, RuntimeError) and (how := _how_lost(found)):
                raise Lost(
                    f"another process of this training has ended or cannot be reached ({how}); what the last "
                    "checkpoint holds is kept, and the same command goes on from there, with any number of processes"
                ) from error
        raise
    else:
        dist.destroy_process_group()


def _how_lost(error: RuntimeError) -> str:
    """In which way a process is gone; empty if an error is about something else."""
    known = next((words for words in LOST if words in str(error)), "")
    return known or (reason(error) if isinstance(error, dist.DistError) else "")


LOST = ("Connection closed by peer", "Connection reset by peer", "Timed out waiting", "Broken pipe")
"""Words by which Gloo says that a process is gone; it has no class of errors."""


def _place() -> Processes | None:
    """What torchrun's variables say, else Slurm's; ``None`` where this process was started by itself.

    Raises:
        UserError: they are incomplete or contradict each other.
    """
    names, known = ("RANK", "WORLD_SIZE", "LOCAL_RANK"), os.environ
    # srun's own variable: a batch script has the others too, but runs its commands once.
    if "WORLD_SIZE" not in known and known.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        if "SLURM_STEP_NODELIST" in known and known.get("SLURM_JOB_ID", "").isdecimal():
            known.setdefault("MASTER_ADDR", _first_host(known["SLURM_STEP_NODELIST"]))
            known.setdefault("MASTER_PORT", str(20_000 + int(known["SLURM_JOB_ID"]) % 20_000))
    if known.get(names[1], "1") == "1":
        return None
    try:
        rank, count, local, port = (int(known[name]) for name in (*names, "MASTER_PORT"))
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{', '.join(names)} and MASTER_PORT in the environment must all be whole numbers where several processes "
            "are started; torchrun and srun set them"
        ) from error
    if not 0 <= rank < count:
        raise UserError(f"{names[0]} {rank} and {names[1]} {count} in the environment contradict each other")
    if not (known.get("MASTER_ADDR") and 0 < port < 2**16):
        raise UserError("MASTER_ADDR and MASTER_PORT in the environment must say where the processes meet")
    return Processes(rank, count, local)


def _first_host(hosts: str) -> str:
    """The first of Slurm's list of hosts: ``gpu[03-05,9],cpu1`` begins with gpu03."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", hosts)
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0] if first else hosts)
