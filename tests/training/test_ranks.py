"""Several processes train one model, equal bit for bit, with the results of one process."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lbc.config import Experiment, dump_experiment, load_experiment
from lbc.models import build
from lbc.runs.records import read_records
from lbc.runs.run_state import read_state
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.failures import TrainingError
from lbc.training.placement import resolve_device
from lbc.training.preparation import prepare
from lbc.training.ranks import SINGLE_PROCESS, Ranks, digest, process_group, ranks_from_environment
from lbc.training.trainer import Trainer
from tests import warm

if sys.platform != "linux":
    pytest.skip("needs torchrun's processes as /proc shows them", allow_module_level=True)

MakeExperiment = Callable[..., Experiment]


def train_undisturbed_then_diverge(file: Path, folder: Path) -> None:
    """As one of two processes, train a run, then another in which rank 1 diverges."""

    def diverge(sparsifier: Sparsifier, epoch: float) -> None:
        if ranks.rank == 1 and epoch > 0.1:
            with torch.no_grad():
                cast(nn.Linear, sparsifier.model.head).bias[0] += 1e-6

    with process_group(ranks_from_environment()) as ranks:
        experiment = load_experiment(file)
        Trainer(experiment, folder if ranks.is_first else None, ranks=ranks).train()
        try:
            Trainer(experiment, None, watch=diverge, ranks=ranks).train()
        except TrainingError as error:
            print(error, flush=True)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def start_pair(output: Path, run: Callable[..., object], *arguments: object) -> list[BaseProcess]:
    """Start two ranks as torchrun does; they print to output.0 and output.1."""
    port = free_port()
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        warm.start(
            run,
            *arguments,
            output=output.with_suffix(f".{rank}"),
            environment=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]


def wait_for_pair(processes: list[BaseProcess], output: Path) -> list[str]:
    """Wait until both processes have succeeded; return what each printed."""
    printed = []
    for rank, process in enumerate(processes):
        process.join(timeout=100)
        printed.append(output.with_suffix(f".{rank}").read_text())
        assert process.exitcode == 0, printed
    return printed


def test_processes_on_the_cpu_need_no_gpu_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[object] = []
    for place, name, value in (
        (torch.cuda, "is_available", lambda: True),
        (torch.cuda, "set_device", chosen.append),
        (torch.distributed, "init_process_group", lambda timeout: None),
        (torch.distributed, "destroy_process_group", lambda: None),
    ):
        monkeypatch.setattr(place, name, value)
    with process_group(Ranks(rank=3, count=4, local=3)) as ranks:
        assert resolve_device(ranks.device("cpu")) == torch.device("cpu")
    assert chosen == []


def test_two_processes_equal_one_even_when_a_rank_is_killed(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    source = tmp_path / "teacher.safetensors"
    teacher = {"source": str(source), "weight": 0.3}
    training = {"epochs": 3, "batch_size": 200, "checkpoint_minutes": 1e-3, "teacher": teacher}
    experiment = quick(training=training, optimizer={"lr": 0.05})
    save_file(build(experiment.model, (1, 28, 28), 10).state_dict(), source)
    file = tmp_path / "quick.yaml"
    file.write_text(dump_experiment(experiment))
    whole, broken, alone = (tmp_path / name for name in ("whole", "broken", "alone"))
    undisturbed = start_pair(tmp_path / "diverged", train_undisturbed_then_diverge, file, whole)
    kill_one_rank("train", file, "--out", broken, run=broken)
    assert read_state(broken).status in ("running", "failed")
    resumed = tmp_path / "resumed"
    printed = wait_for_pair(start_pair(resumed, warm.lbc, "train", "--resume", broken), resumed)
    assert "Resuming after step" in printed[0]
    assert printed[1] == ""
    Trainer(experiment, alone).train()
    for text in wait_for_pair(undisturbed, tmp_path / "diverged"):
        assert "live sets of process 1 differ from those of process 0" in text

    for name in ("model.safetensors", "scores.history"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()
    ours, theirs = load_file(whole / "model.safetensors"), load_file(alone / "model.safetensors")
    for name, weight in ours.items():
        # Sums are in another order, so that tied blocks may be decided differently.
        assert ((weight - theirs[name]).abs() < 1e-4).double().mean() > 0.99, name
    losses = [read_records(at / "steps.records")["loss"] for at in (whole, alone, broken)]
    assert losses[0].tolist() == losses[2].tolist()
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)

    with pytest.raises(TrainingError, match=r"a run of 2 process\(es\), not 1"):
        Trainer(experiment, broken, resume=True).train()


def torchrun(*arguments: object) -> None:
    from torch.distributed.run import main

    main(["--nproc-per-node=2", "--standalone", "-m", "lbc", *map(str, arguments)])


def kill_one_rank(*arguments: object, run: Path) -> None:
    """Start torchrun, kill rank 1 during training, and wait until all processes have ended."""
    agent = warm.start(torchrun, *arguments)
    end = time.monotonic() + 90
    records = run / "steps.records"
    while not records.exists() or len(read_records(records).get("step", ())) < 10:
        assert agent.is_alive() and time.monotonic() < end
        time.sleep(0.01)
    children = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()
    second = [pid for pid in children if b"RANK=1" in environment(pid)]
    os.kill(int(second[0]), signal.SIGKILL)
    agent.join(timeout=60)
    assert agent.exitcode not in (0, None)


def environment(pid: str) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_a_digest_changes_with_a_single_bit() -> None:
    head = nn.Linear(8, 2)
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), head)
    sparsifier = sparsify(model, "2:4")
    before = digest(model)
    assert digest(model) == before
    with torch.no_grad():
        head.bias[0] = torch.nextafter(head.bias[0], torch.tensor(9.0))
    changed = digest(model)
    sparsifier.remove(3)
    assert len({before, changed, digest(model)}) == 3


def test_each_process_of_a_machine_uses_its_own_gpu() -> None:
    assert Ranks(5, 8, 1).device("cuda") == "cuda:1"
    assert Ranks(5, 8, 0).device("cuda:3") == "cuda:3"
    with pytest.raises(TrainingError, match="Several processes would share the device cuda:3"):
        Ranks(5, 8, 1).device("cuda:3")
    assert Ranks(5, 8, 1).device("cpu") == "cpu"
    assert SINGLE_PROCESS.device("cuda") == "cuda"


def test_ranks_are_read_from_the_environment_of_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ranks_from_environment() == SINGLE_PROCESS
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert ranks_from_environment() == Ranks(3, 4, 1)


def test_a_batch_too_small_for_its_processes_is_refused(quick: MakeExperiment) -> None:
    from lbc.data import load

    experiment = quick(training={"epochs": 2, "batch_size": 8, "accumulate": 2})
    data = load(experiment.data)
    prepare(experiment, data, processes=2)
    with pytest.raises(ValueError, match=r"A batch of 8 images is too small for 3 process"):
        prepare(experiment, data, processes=3)
