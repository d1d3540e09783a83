"""Distributed training: the processes (ranks) that torchrun starts for one model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import inf

import torch
import torch.distributed as dist
from torch import nn

from lbc.training.failures import TrainingError

TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the others; rank 0 may take that long to load or write."""


@dataclass(frozen=True)
class Ranks:
    """This process: its ``rank`` among ``count``, and its ``local`` rank on this machine."""

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        """True for the one process that writes files and prints."""
        return self.rank == 0

    @property
    def patience(self) -> float:
        """Seconds for which this rank may stay paused without a word to the others."""
        return inf if self.count == 1 else TIMEOUT.total_seconds() / 60

    def device(self, name: str) -> str:
        """Return this process's device: with several processes, cuda becomes one GPU for each.

        Raises TrainingError if several processes of a machine would share one GPU.
        """
        if self.local and name.startswith("cuda:"):
            raise TrainingError(
                f"Several processes would share the device {name}: set device to cuda, and each "
                "gets a GPU of its own."
            )
        return f"cuda:{self.local}" if self.count > 1 and name == "cuda" else name

    def sum(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Sum each value over all ranks; the results are equal bit for bit on every rank."""
        if self.count == 1:
            return list(values)
        dtype = torch.float32 if device.type == "mps" else torch.float64
        total = torch.tensor(values, dtype=dtype, device=device)
        dist.all_reduce(total)
        sums: list[float] = total.tolist()
        return sums

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Copy the buffers of rank 0, such as BatchNorm's running statistics, to all ranks."""
        if self.count > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def broadcast_bytes(self, data: bytes | None) -> bytes | None:
        """Return the ``data`` of rank 0 on every rank; it may be None."""
        if self.count == 1:
            return data
        size = torch.tensor([-1 if data is None else len(data)])
        dist.broadcast(size, src=0)
        if int(size) < 0:
            return None
        content = torch.empty(int(size), dtype=torch.uint8)
        if data is not None and self.is_first:
            content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(content, src=0)
        return content.numpy().tobytes()

    def check_equal(self, model: nn.Module, device: torch.device) -> None:
        """Raise TrainingError, on every rank, if parameters or buffers differ between ranks."""
        if self.count == 1:
            return
        own = torch.tensor([digest(model)], device=device)
        gathered = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(gathered, own)
        digests = [int(one) for one in gathered]
        if len(set(digests)) > 1:
            odd = [rank for rank, one in enumerate(digests) if one != digests[0]]
            raise TrainingError(
                f"The weights or live sets of process {odd[0]} differ from those of process 0: "
                "resume the run from its last checkpoint; if this happens repeatedly on one "
                "machine, its hardware may be faulty."
            )


SINGLE_PROCESS = Ranks()


def digest(model: nn.Module) -> int:
    """Return 64 bits of BLAKE2 over every parameter and buffer, as a signed integer."""
    state = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        state.update(name.encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        state.update(flat.view(torch.uint8).numpy())
    return int.from_bytes(state.digest(), "big", signed=True)


def ranks_from_environment() -> Ranks:
    """Read torchrun's environment variables; without them, return SINGLE_PROCESS."""
    if "WORLD_SIZE" not in os.environ:
        return SINGLE_PROCESS
    rank, count, local = (int(os.environ[key]) for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Ranks(rank, count, local)


@contextmanager
def process_group(ranks: Ranks) -> Iterator[Ranks]:
    """A context in which the ranks can communicate: by NCCL on CUDA GPUs, by Gloo on CPUs.

    Raises TrainingError if the process group cannot be initialised.
    """
    if ranks.count == 1:
        yield ranks
        return
    try:
        dist.init_process_group(timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TrainingError(
            f"Process {ranks.rank} of {ranks.count} could not join the others ({reason}): check "
            "that each process has its own GPU and that the machines can reach each other."
        ) from error
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
