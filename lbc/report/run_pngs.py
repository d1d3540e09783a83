"""PNG pictures of a finished or unfinished run, from its folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lbc.files.atomic import write_atomically
from lbc.pictures.colour_keys import Swatches, winner_codes, winner_key
from lbc.pictures.colour_tables import css, lookup_table
from lbc.pictures.score_codes import Fold, difference, levels, quantise
from lbc.runs.history_reader import MomentInfo, Replay
from lbc.runs.layer_moment import LayerMoment
from lbc.runs.records import Columns, read_records
from lbc.runs.run_state import read_state
from lbc.sparsity.combinations import winners

PANELS = 4
"""Moments shown side by side for each layer."""

_WHITE = (255, 255, 255)


def draw_run(folder: Path) -> list[Path]:
    """Draw the curves and the score heatmap of every layer into ``folder/pictures``."""
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    title = read_state(folder).name
    paths = [pictures / "curves.png"]
    _save(_curves(read_records(folder / "steps.records"), read_records(folder / "epochs.records"),
                  title), paths[0])  # fmt: skip
    replay = Replay(folder)
    chosen = _choose(replay.moments)
    for info in replay.layers:
        moments = [replay.layer(info.name, k) for k in chosen]
        if moments and all(
            moment.raw is not None and moment.packed is not None for moment in moments
        ):
            paths.append(pictures / f"scores-{info.name or 'model'}.png")
            _save(_heatmaps(info.name, moments), paths[-1])
    return paths


def _choose(moments: Sequence[MomentInfo]) -> list[int]:
    """Of those with scores, from the first trained to the decision, evenly."""
    kept = [k for k, moment in enumerate(moments) if moment.scores]
    trained = kept[1:] or kept
    decided = [at for at, k in enumerate(trained) if max(moments[k].live) == 1]
    trained = trained[: decided[0] + 1] if decided else trained
    picks = np.linspace(0, len(trained) - 1, min(PANELS, len(trained))).round().astype(int)
    return [trained[k] for k in picks]


def _curves(steps: Columns, epochs: Columns, title: str) -> Figure:
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    (loss, accuracy), (live, density) = figure.subplots(2, 2, sharex=True)
    loss.plot(steps["epoch"], steps["loss"], lw=0.6, alpha=0.45, color="C0", label="step")
    loss.plot(epochs["epoch"], epochs["train_loss"], "o-", ms=3, color="C0", label="training")
    loss.plot(epochs["epoch"], epochs["test_loss"], "o-", ms=3, color="C1", label="test")
    loss.set(ylabel="cross-entropy loss", yscale="log")
    loss.legend(frameon=False)
    accuracy.plot(epochs["epoch"], 100 * epochs["accuracy"], "o-", ms=3, color="C1")
    accuracy.set(ylabel="test accuracy (%)")
    live.step(epochs["epoch"], epochs["live"], where="post", color="C2")
    live.set(ylabel="live combinations per block", xlabel="epoch", ylim=(0, None))
    density.plot(epochs["epoch"], 100 * epochs["density"], "o-", ms=3, color="C3")
    density.set(ylabel="density (% of weights kept)", xlabel="epoch", ylim=(0, 103))
    for axes in (loss, accuracy, live, density):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _heatmaps(name: str, moments: list[LayerMoment]) -> Figure:
    figure = Figure(figsize=(3.2 * len(moments) + 0.8, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    pattern = moments[0].pattern
    figure.suptitle(f"{name} · {pattern} · score less the mean of its block")
    for axes, moment in zip(np.atleast_1d(figure.subplots(1, len(moments))), moments, strict=True):
        _heatmap(axes, moment)
    return figure


def _heatmap(axes: Axes, moment: LayerMoment) -> None:
    """Every combination by its difference, or, once all is decided, every block by its winner."""
    scores = moment.scores()
    assert scores is not None
    live = int((scores > -np.inf).sum(axis=1).max())
    if live == 1:
        fold, state = Fold(moment.shape[0], moment.blocks, 1), "winners"
        codes = winner_codes(winners(scores), moment.pattern)[:, None]
        key = winner_key(moment.pattern)
        table = key.table(_WHITE)
        if isinstance(key, Swatches):
            handles = [Patch(color=css(rgb)) for rgb in key.colours]
            axes.legend(handles, key.names, loc="upper left", bbox_to_anchor=(1, 1), fontsize=7,
                        frameon=False)  # fmt: skip
    else:
        fold = Fold(moment.shape[0], moment.blocks, moment.pattern.count)
        shown = difference(scores)
        low, high = levels(shown, "difference")
        codes, table = quantise(shown, low, high), lookup_table("difference", _WHITE)
        state = f"{live} live, ±{high:.2g}"
    axes.imshow(table[fold.apply(codes)], interpolation="nearest", aspect="auto")
    axes.set_title(f"epoch {moment.epoch:.3g}: {state}", fontsize=9)
    rows, columns = fold.grid
    axes.set_xlabel("block", fontsize=8)
    axes.set_ylabel("output channel", fontsize=8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / columns:.0f}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value / rows:.0f}")
    axes.tick_params(labelsize=7)


def _save(figure: Figure, path: Path) -> None:
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150))
