"""The processes that share a training: who they are, what they agree on, and what they say as one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from atlpa.errors import UserError, shown


class Shared(UserError):
    """What every process raises alike at the same place, so that it is enough if the first one says it."""


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
        told = torch.tensor(int(value))  # a truth value in one process and a number in another would not meet
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

    def _told(self, mine: Any) -> list[Any]:
        theirs: list[Any] = [None] * self.count
        dist.all_gather_object(theirs, mine)
        return theirs


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself, where several processes train it together or not."""
    network: nn.Module = model.module if isinstance(model, DistributedDataParallel) else model
    return network


ALONE = Processes()
