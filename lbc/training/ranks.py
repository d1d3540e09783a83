"""Several processes that train one model together, as torchrun starts them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

from lbc.training.failures import TrainingError

PATIENCE = timedelta(minutes=30)
"""How long one process waits for the others; the first may load or write for that long."""


@dataclass(frozen=True)
class Ranks:
    """This process among ``count``: ``rank`` counts over all machines, ``local`` on this one."""

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks for all."""
        return self.rank == 0

    def device(self, name: str) -> str:
        """The device of this process: of several GPUs each takes its own."""
        return f"cuda:{self.local}" if self.count > 1 and name == "cuda" else name

    def sum(self, values: Sequence[float], device: torch.device) -> list[float]:
        """Each value added up over all ranks, the same to the last bit on every one."""
        if self.count == 1:
            return list(values)
        kind = torch.float32 if device.type == "mps" else torch.float64
        total = torch.tensor(values, dtype=kind, device=device)
        dist.all_reduce(total)
        added: list[float] = total.tolist()
        return added

    def share_buffers(self, model: nn.Module) -> None:
        """Give every rank the buffers of the first, BatchNorm's running statistics above all."""
        if self.count > 1:
            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def share_bytes(self, data: bytes | None) -> bytes | None:
        """Give every rank the bytes of the first, or None where it has none."""
        if self.count == 1:
            return data
        size = torch.tensor([-1 if data is None else len(data)])
        dist.broadcast(size, src=0)
        if int(size) < 0:
            return None
        content = torch.empty(int(size), dtype=torch.uint8)
        if data is not None and self.first:
            content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(content, src=0)
        return content.numpy().tobytes()

    def check_equal(self, model: nn.Module, device: torch.device) -> None:
        """Raise TrainingError unless weights, scores and live sets agree on all ranks, bit by bit.

        Every rank learns of a difference, so that all of them end.
        """
        if self.count == 1:
            return
        mine = torch.tensor([digest(model)], device=device)
        all_of_them = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(all_of_them, mine)
        digests = [int(one) for one in all_of_them]
        if len(set(digests)) > 1:
            odd = [rank for rank, one in enumerate(digests) if one != digests[0]]
            raise TrainingError(
                f"The weights or live sets of process {odd[0]} differ from those of process 0: "
                "resume the run from its last checkpoint; if it happens again on one machine, "
                "doubt that machine."
            )


ALONE = Ranks()


def digest(model: nn.Module) -> int:
    """64 bits of BLAKE2 over every parameter and buffer, as a signed integer."""
    state = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        state.update(name.encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        state.update(flat.view(torch.uint8).numpy())
    return int.from_bytes(state.digest(), "big", signed=True)


def from_environment() -> Ranks:
    """What torchrun says of this process; alone where it says nothing."""
    if "WORLD_SIZE" not in os.environ:
        return ALONE
    rank, count, local = (int(os.environ[key]) for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    return Ranks(rank, count, local)


@contextmanager
def together(ranks: Ranks) -> Iterator[Ranks]:
    """Join the other processes: by NCCL between CUDA GPUs, by Gloo between CPUs.

    Raises TrainingError where they cannot be joined.
    """
    if ranks.count == 1:
        yield ranks
        return
    try:
        if torch.cuda.is_available():
            torch.cuda.set_device(ranks.local)
        dist.init_process_group(timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        said = str(error).partition("\n")[0].rstrip(".")
        raise TrainingError(
            f"Process {ranks.rank} of {ranks.count} could not join the others ({said}): check that "
            "each has a GPU of its own and that they reach each other."
        ) from error
    try:
        yield ranks
    finally:
        dist.destroy_process_group()
