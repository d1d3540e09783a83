"""The checkpoints of a run that a fork can begin from, found without loading torch.

Those that ``training.keep`` asks for are in the folder ``checkpoints`` of the run, named by step
and epoch. Where the disk allows they are hard links of a ``checkpoint.pt`` that has been replaced
since.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError, parse_yaml
from lbc.files.atomic import write_atomically
from lbc.files.os_errors import explain
from lbc.files.small_file import open_regular
from lbc.inspection.errors import LayerError
from lbc.inspection.torch_file import read_torch_zip
from lbc.runs.run_state import RunError, read_state

CHECKPOINT = "checkpoint.pt"
PREVIOUS_CHECKPOINT = "checkpoint.previous.pt"

FOLDER = "checkpoints"

EPOCH_TOLERANCE = 5e-4
"""Epochs by which one that is typed may differ from that of a checkpoint."""

_NAME = re.compile(r"step-(\d{1,15})-epoch-(\d[\d.e-]{0,30})\.pt")


@dataclass(frozen=True)
class ForkPoint:
    """A checkpoint of a run, after ``step`` steps and ``epoch`` epochs; ``size`` in bytes."""

    file: Path
    epoch: float
    step: int
    size: int


def kept_moments(folder: Path) -> tuple[ForkPoint, ...]:
    """The moments of a run from which a fork can begin, oldest first, one for each step.

    Checkpoints that cannot be read are left out, as are those that another process deletes
    meanwhile.
    """
    points = {}
    for name in (PREVIOUS_CHECKPOINT, CHECKPOINT):
        with suppress(OSError, LayerError, KeyError, TypeError, ValueError, ZeroDivisionError):
            file = folder / name
            status = file.stat()
            content = read_content(file, status.st_mtime_ns, status.st_ino)
            step, epoch = int(content["step"]), content["step"] / content["steps_per_epoch"]
            points[step] = ForkPoint(file, float(epoch), step, status.st_size)
    points |= {point.step: point for point in _kept(folder)}  # which no trainer replaces soon
    return tuple(points[step] for step in sorted(points))


def moment_at(folder: Path, epoch: float) -> ForkPoint:
    """The moment after ``epoch`` epochs, to three decimals. Raises RunError, naming the others."""
    points = kept_moments(folder)
    near = min(points, key=lambda point: abs(point.epoch - epoch), default=None)
    if near is None:
        read_state(folder)
        raise RunError(f"The run {folder} holds no checkpoint that can be read: train it further.")
    if abs(near.epoch - epoch) > EPOCH_TOLERANCE:
        raise RunError(
            f"The run {folder} holds no checkpoint after epoch {epoch:g}: "
            f"choose {', '.join(f'{point.epoch:g}' for point in points)}."
        )
    return near


@lru_cache(maxsize=16)
def read_content(file: Path, _written: int = 0, _inode: int = 0) -> dict[str, Any]:
    """What a checkpoint holds, its tensors as ``PickledTensor``; once for each version of it.

    Nothing in the file is run. Raises OSError, and LayerError if it is damaged.
    """
    content = read_torch_zip(file).content
    return content if isinstance(content, dict) else {}


def content_at(point: ForkPoint) -> dict[str, Any]:
    """What the checkpoint of a moment holds, as ``read_content``. Raises RunError."""
    try:
        status = point.file.stat()
        content = read_content(point.file, status.st_mtime_ns, status.st_ino)
    except FileNotFoundError as error:
        raise deleted(point) from error
    except OSError as error:
        raise RunError(explain(error, f"{point.file} cannot be read")) from error
    except LayerError as error:
        raise RunError(f"{point.file} {error}") from error
    counts = content.get("step"), content.get("steps_per_epoch")
    known = all(isinstance(count, int) and count >= 0 for count in counts) and counts[1]
    if not known or not isinstance(content.get("model"), dict):
        raise RunError(f"{point.file} was not written by this program: no fork can begin from it.")
    return content


def experiment_at(point: ForkPoint) -> Experiment:
    """The experiment of a run at a moment. Raises RunError if the checkpoint cannot be read."""
    text = content_at(point).get("experiment")
    try:
        document, _ = parse_yaml(text if isinstance(text, str) else "", str(point.file))
        return parse_experiment(document if isinstance(document, dict) else {}, str(point.file))
    except ExperimentError as error:
        reason = "; ".join(str(error).splitlines())
        raise RunError(f"The experiment in {point.file} cannot be used: {reason}") from error


def deleted(point: ForkPoint) -> RunError:
    """The error that says why a checkpoint is there no more."""
    return RunError(
        f"The checkpoint {point.file} has been deleted meanwhile, as its run keeps no more than "
        "training.keep.at_most: choose another moment."
    )


def keep_checkpoint(folder: Path, step: int, epoch: float, limit: int) -> bool:
    """Keep the ``checkpoint.pt`` of a run in ``limit`` bytes; False if it alone is larger.

    Where all do not fit, they are thinned evenly, which may leave out this one; never more than
    ``limit`` bytes are kept. Raises OSError.
    """
    source = folder / CHECKPOINT
    kept = [point for point in _kept(folder) if point.step != step]
    size = source.stat().st_size
    if size > limit:
        return False
    target = folder / FOLDER / f"step-{step}-epoch-{epoch!r}.pt"
    deleted = _superfluous(kept, step, size, limit)
    if deleted is None:
        target.unlink(missing_ok=True)  # an earlier one of the same step
        return True
    for point in deleted:
        point.file.unlink(missing_ok=True)
    target.parent.mkdir(exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        os.link(source, temporary)
        temporary.replace(target)
    except OSError:  # a disk without hard links
        with open_regular(source) as data:
            write_atomically(target, lambda file: shutil.copyfileobj(data, file))
    finally:
        temporary.unlink(missing_ok=True)
    return True


def is_kept(folder: Path, step: int) -> bool:
    """Whether the moment after ``step`` steps has been kept."""
    return any(point.step == step for point in _kept(folder))


def drop_after(folder: Path, step: int) -> None:
    """Delete what is kept of moments after ``step`` steps, and what killed writes have left."""
    for point in _kept(folder):
        if point.step > step:
            point.file.unlink(missing_ok=True)
    for leftover in (folder / FOLDER).glob(".*.tmp"):
        leftover.unlink()


def _kept(folder: Path) -> list[ForkPoint]:
    """What is in the folder of kept checkpoints, oldest first."""
    points = []
    with suppress(OSError), os.scandir(folder / FOLDER) as entries:
        for entry in entries:
            if (match := _NAME.fullmatch(entry.name)) is None:
                continue
            with suppress(FileNotFoundError, ValueError):  # thinned meanwhile; not a number
                size, file = entry.stat().st_size, Path(entry.path)
                points.append(ForkPoint(file, float(match[2]), int(match[1]), size))
    return sorted(points, key=lambda point: point.step)


def _superfluous(kept: list[ForkPoint], step: int, size: int, limit: int) -> list[ForkPoint] | None:
    """Which of ``kept`` to delete so that one of ``size`` bytes at ``step`` fits.

    None if that one is nearer to the last than any two others are: then it is not kept. Otherwise
    the one goes whose neighbours are nearest, the oldest of several. So distances in steps differ
    by a factor of two at most, where checkpoints are written at even distances.
    """
    left, deleted = list(kept), []
    while left and size + sum(point.size for point in left) > limit:
        at = [0, *(point.step for point in left), step]
        apart = [later - earlier for earlier, later in pairwise(at)]
        if apart[-1] < min(apart[:-1]):
            return None
        joined = [before + after for before, after in pairwise(apart)]
        deleted.append(left.pop(joined.index(min(joined))))
    return deleted
