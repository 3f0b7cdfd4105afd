"""The processes that share a training: who they are, what they agree on, and what they say as one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from atlpa.errors import Interrupted, UserError, reason, shown

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others: while one decodes a large data set, or writes to a slow disk."""


class Shared(UserError):
    """What every process raises alike at the same place, so that it is enough if the first one says it."""


class Lost(UserError):
    """Another process has ended or cannot be reached: nothing can be agreed on any more, not even the end."""


@dataclass(frozen=True)
class Processes:
    """This process among those that share a training; alone unless torch's process group has been joined.

    Fields:
        rank: its number, from 0; the first writes and speaks.
        count: how many there are.
        local_rank: its number among those of its host, which chooses its GPU.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def rows(self, batch_size: int) -> range:
        """This process's part of a batch, as many images as the others'.

        Raises:
            UserError: the processes do not divide the batch.
        """
        if batch_size % self.count:
            raise UserError(
                f"training.batch_size {batch_size} is the batch of all {self.count} processes together, which do not "
                f"divide it; take {batch_size // self.count * self.count or self.count}, or another number of processes"
            )
        each = batch_size // self.count
        return range(self.rank * each, (self.rank + 1) * each)

    def device(self, name: str) -> str:
        """The device of this process, where ``name`` is that of all: its own GPU for ``auto`` and ``cuda``.

        Raises:
            UserError: one GPU is named for several processes.
        """
        if self.count == 1 or name == "cpu" or not (torch.cuda.is_available() or name.startswith("cuda")):
            return name
        if ":" in name:
            raise UserError(f"device {name!r} is one for {self.count} processes; give cuda, and each takes its own")
        # A launcher may show each process its own GPU alone.
        return f"cuda:{0 if torch.cuda.device_count() == 1 else self.local_rank}"

    def shared(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model as all processes train it together, in torch's ``DistributedDataParallel``; alone, as it is."""
        if self.count == 1:
            return model
        return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def largest(self, value: int) -> int:
        """The largest of the processes' numbers."""
        if self.count == 1:
            return value
        told = torch.tensor(value)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return int(told)

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """The mean over the processes of each value."""
        if self.count == 1:
            return dict(values)
        told = torch.tensor(list(values.values()), dtype=torch.float64)
        dist.all_reduce(told)
        return dict(zip(values, (told / self.count).tolist(), strict=True))

    @contextmanager
    def together(self) -> Iterator[None]:
        """Do what is inside the ``with`` in every process; what stops one of them stops all, with its words.

        Raises:
            Shared: in every process, if one of them raised a ``UserError``; it says which.
        """
        if self.count == 1:
            yield
            return
        problem = None
        try:
            yield
        except UserError as error:
            problem = str(error)
        for rank, said in enumerate(self._told(problem)):
            if said is not None:
                raise Shared(said if rank == 0 else f"process {rank} of {self.count}: {said}")

    def agree(self, facts: Callable[[], Mapping[str, object]]) -> None:
        """Make sure that all processes see the same.

        Args:
            facts: gives what it is about → what this process sees; asked only where there are others.

        Raises:
            UserError: in every process, if one sees something else.
        """
        if self.count == 1:
            return
        told = self._told(dict(facts()))
        for rank, theirs in enumerate(told):
            for name, value in told[0].items():
                if theirs[name] != value:
                    raise Shared(
                        f"process {rank} of {self.count} has another {name} than process 0 ({shown(theirs[name])}, not "
                        f"{shown(value)}); all must be started with the same command, package, data and run folder"
                    )

    def wait(self) -> None:
        """Until all have come here."""
        self.largest(0)

    def _told(self, mine: Any) -> list[Any]:
        theirs: list[Any] = [None] * self.count
        dist.all_gather_object(theirs, mine)
        return theirs


ALONE = Processes()


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
