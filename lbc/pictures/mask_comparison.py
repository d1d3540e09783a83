"""Reads what a mask is compared with from the history of its run or of another."""

from __future__ import annotations

from pathlib import Path

from lbc.pictures.layer_moment import ReadWeights, Watch, past_moment
from lbc.pictures.mask_snapshot import MaskRequest, Reference
from lbc.runs.history_reader import Replay
from lbc.runs.layer_moment import LayerMoment

NOT_YET = "The run has no such moment yet: nothing is compared."


class ReferenceReader:
    """Reads references and keeps the last one, which is usually requested again."""

    def __init__(self, read_weights: ReadWeights) -> None:
        self._read_weights = read_weights
        self._runs: dict[Path, Replay] = {}
        self._last: tuple[object, LayerMoment] | None = None

    def find(
        self, request: MaskRequest, replay: Replay | None, now: LayerMoment
    ) -> Reference | None:
        """The reference of ``request``, None if it has none. ``replay`` is the run's own history.

        From another run it is the last moment that is not later than ``now``.
        """
        match request.against:
            case None:
                return None
            case int(at):
                if replay is None or not 0 <= at < len(replay.moments):
                    return Reference(problem=NOT_YET)
                return self._read(replay, request.watch, now, at)
            case Path() as folder:
                try:
                    other = self._open(folder)
                except (OSError, ValueError) as error:
                    return Reference(problem=f"Nothing is compared: {error}")
                epochs = [moment.epoch for moment in other.moments]
                reached = [at for at, epoch in enumerate(epochs) if epoch <= now.epoch + 1e-9]
                if not epochs:
                    return Reference(problem=f"Nothing is compared: {folder} holds no moment yet.")
                return self._read(other, request.watch, now, reached[-1] if reached else 0)

    def _open(self, folder: Path) -> Replay:
        if folder not in self._runs:
            self._runs[folder] = Replay(folder)
        else:
            self._runs[folder].refresh()
        return self._runs[folder]

    def _read(self, replay: Replay, watch: Watch, now: LayerMoment, at: int) -> Reference:
        key = (replay, watch, at, replay.moments[at].epoch)
        if self._last is not None and self._last[0] == key:
            return Reference(self._last[1])
        found = {info.name: info for info in replay.layers}.get(now.name)
        run = replay.path.parent.name
        if found is None:
            return Reference(problem=f"Nothing is compared: {run} has no sparse layer {now.name}.")
        if (found.shape, found.pattern) != (now.shape, now.pattern):
            return Reference(
                problem=f"Nothing is compared: in {run} the layer {now.name} is "
                f"{_size(found.shape)} at {found.pattern}, and here {_size(now.shape)} at "
                f"{now.pattern}."
            )
        try:
            moment = past_moment(replay, watch, at, self._read_weights)
        except (OSError, ValueError) as error:
            return Reference(problem=f"Nothing is compared: {error}")
        self._last = key, moment
        return Reference(moment)


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
