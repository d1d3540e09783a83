"""Reads any moment of a run from its history, also while another process writes it.

Loads no torch, and reads only the requested parts of the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from lbc.files.os_errors import explain
from lbc.files.small_file import open_regular
from lbc.runs.events import Intervention, LayerInfo, Steering
from lbc.runs.history_codec import LARGEST_LIVE_COUNT, REMOVED, SearchState
from lbc.runs.history_format import (
    Frame,
    RecordedScores,
    first_part,
    is_damaged_after,
    read_frames,
    read_layers,
    read_scores,
    read_states,
)
from lbc.runs.interventions import read_interventions
from lbc.runs.layer_moment import LayerMoment
from lbc.sparsity.arrays import Array, Bools

FILE = "scores.history"


@dataclass(frozen=True)
class MomentInfo:
    """One moment: epochs done, whether any combination was removed at it, whether it has scores.

    ``live``: the most combinations a block has left, of each layer in the order of ``layers``.
    ``interventions``: those that took effect since the moment before.
    """

    epoch: float
    removal: bool
    scores: bool
    live: tuple[int, ...]
    interventions: tuple[Intervention | Steering, ...] = ()


class Replay:
    """The history in a run folder, or in a file. For one thread; others may write the file.

    Raises ValueError with a sentence if there is no history, or one of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path / FILE if path.is_dir() else path
        self._frames: list[Frame] = []
        self._states: dict[str, tuple[int, SearchState]] = {}
        try:
            self.layers: tuple[LayerInfo, ...] = read_layers(self.path)
        except OSError as error:
            raise ValueError(
                explain(
                    error,
                    f"{self.path} cannot be read, so no moment of this run can be shown again",
                )
            ) from error
        self._places = {info.name: at for at, info in enumerate(self.layers)}
        self.moments: tuple[MomentInfo, ...] = ()
        self.restarts = 0
        """How often the run has withdrawn moments that were known."""
        self.damage = ""
        """A sentence if moments cannot be read because the file is damaged."""
        self.refresh()

    def refresh(self) -> bool:
        """Read what was written since; True if any moments are new or were withdrawn.

        ``moments`` is replaced, never changed. Raises ValueError or OSError if the file is missing.
        """
        frames = read_frames(self.path, self._frames)
        self.damage = ""
        if is_damaged_after(self.path, frames):  # unless another process resumes the run just now
            frames = read_frames(self.path, self._frames)
        if is_damaged_after(self.path, frames):
            last = f"after epoch {frames[-1].epoch:g}" if frames else "from the first moment on"
            self.damage = f"{self.path} is damaged: its moments {last} cannot be read."
        known = len(self._frames)
        if known and (len(frames) < known or frames[known - 1] is not self._frames[-1]):
            known = 0  # the run was resumed from an earlier moment
            self.restarts += 1
            self._states.clear()
        elif len(frames) == known:
            return False
        self._frames = frames
        before = [*frames[:1], *frames]
        done = read_interventions(self.path.parent)
        new = tuple(
            _moment_info(
                frames[k], before[k], tuple(one.intervention for one in done if one.moment == k)
            )
            for k in range(known, len(frames))
        )
        self.moments = self.moments[:known] + new
        return True

    def layer(self, name: str, moment: int, scores: bool = True) -> LayerMoment:
        """One layer at ``moment``, counted from 0, or back from −1; faster without scores.

        Scores are the last ones recorded up to then, of ``scores_epoch``.

        Raises KeyError or IndexError if it does not exist, ValueError if it is damaged.
        """
        at = self._places[name]
        info = self.layers[at]
        moment = self._counted(moment)
        with open_regular(self.path) as file:
            state = self._state(file, at, moment)
            scored = self._scored(at, moment) if scores else None
            frame = None if scored is None else self._frames[scored]
            recorded = None if frame is None else read_scores(file, info, at, frame)
        additive = recorded is not None and recorded.by_position
        raw = None if recorded is None else recorded.stored()
        if raw is not None and additive:
            raw = info.pattern.from_blocks(raw, info.shape)
        kept = np.broadcast_to(state.kept(info.pattern), (info.blocks, info.pattern.m))
        mask = info.pattern.from_blocks(kept, info.shape)
        for array in (mask,) if raw is None else (mask, raw):
            array.flags.writeable = False
        return LayerMoment(
            name=name,
            epoch=self._frames[moment].epoch,
            pattern=info.pattern,
            shape=info.shape,
            additive=additive,
            raw=raw,
            packed=state.bits if info.pattern.count <= LARGEST_LIVE_COUNT else None,
            mask=mask,
            winners=state.winners,
            scores_epoch=None if frame is None else frame.epoch,
        )

    def winners(self, name: str, moment: int) -> Array:
        """The best combination of every block of a layer, (blocks,). Raises as ``layer``."""
        with open_regular(self.path) as file:
            return self._state(file, self._places[name], self._counted(moment)).winners

    def best_mask(self, name: str, moment: int) -> Bools:
        """The mask of a layer with its winners decided, bool (blocks, M). Raises as ``layer``."""
        at = self._places[name]
        with open_regular(self.path) as file:
            return self._state(file, at, self._counted(moment)).best(self.layers[at].pattern)

    def state_after(self, name: str, moment: int, before: SearchState | None) -> SearchState:
        """Winners and bits at ``moment``, from those at the one before. Raises as ``layer``."""
        at = self._places[name]
        moment = self._counted(moment)
        with open_regular(self.path) as file:
            moments = range(moment, moment + 1)
            (state,) = read_states(file, self.layers[at], at, self._frames, moments, before)
        return state

    def scores_kept(self, name: str, moment: int) -> RecordedScores | None:
        """The scores recorded at exactly that moment, or None. Raises as ``layer``."""
        at = self._places[name]
        if not self._frames[moment].records[at]["scores"]:
            return None
        with open_regular(self.path) as file:
            return read_scores(file, self.layers[at], at, self._frames[moment])

    def _counted(self, moment: int) -> int:
        """The same moment counted from 0. Raises IndexError."""
        return range(len(self._frames))[moment]

    def _state(self, file: IO[bytes], at: int, moment: int) -> SearchState:
        name = self.layers[at].name
        first = first_part(self._frames, at, moment)
        known, state = self._states.get(name, (-1, None))
        if first <= known <= moment:
            first = known + 1
        else:
            state = None
        moments = range(first, moment + 1)
        for now in read_states(file, self.layers[at], at, self._frames, moments, state):
            state = now
        assert state is not None
        self._states[name] = moment, state
        return state

    def _scored(self, at: int, moment: int) -> int | None:
        """The last moment, up to this one, at which the scores of a layer were recorded."""
        kept = (k for k in range(moment, -1, -1) if self._frames[k].records[at]["scores"])
        return next(kept, None)


def _moment_info(
    one: Frame, before: Frame, interventions: tuple[Intervention | Steering, ...]
) -> MomentInfo:
    records = one.records
    fewer = records["live"] < before.records["live"]
    return MomentInfo(
        epoch=one.epoch,
        removal=bool((records["flags"] & REMOVED).any() or fewer.any()),
        scores=bool(records["scores"].any()),
        live=tuple(records["live"].tolist()),
        interventions=interventions,
    )
