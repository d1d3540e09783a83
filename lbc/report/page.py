"""The HTML of a report. Whatever comes from a file goes through ``text``."""

from __future__ import annotations

import os
import threading
from html import escape
from pathlib import Path

from lbc.files.atomic import write_atomically
from lbc.files.printable import duration
from lbc.report.charts import Axis, Line, line_chart
from lbc.report.contents import ReportCancelled, RunSummary, read_run
from lbc.report.layer_section import layer_section, layer_table

MOST_CHANGES = 50
"""The most of the user's interventions that are listed."""

STYLE = Path(__file__).with_name("style.css")

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""A browser fetches nothing and runs nothing, whatever a name in the file may hold."""


def write_report(run_folder: Path, out: Path, cancel: threading.Event | None = None) -> None:
    """Write the report of a run, however it ended, as one HTML file to ``out``.

    Raises ReportError if the folder holds no run or a file of it is damaged, ReportCancelled once
    ``cancel`` is set, and OSError if a file cannot be read or written; ``out`` is then unchanged.
    A link is followed unless it is in the run folder, which may have come from elsewhere.
    """
    html = page(read_run(run_folder, cancel), cancel).encode("utf-8", "replace")
    own = os.path.realpath(out.parent) == os.path.realpath(run_folder)
    write_atomically(out, lambda file: file.write(html), follow=not own)


def page(run: RunSummary, cancel: threading.Event | None = None) -> str:
    """The whole document. Raises ReportCancelled once ``cancel`` is set."""
    name = text(run.state.name)
    sections = [_head(run), _curves(run), _layers(run)]
    for number, layer in enumerate(run.layers):
        if cancel is not None and cancel.is_set():
            raise ReportCancelled
        sections.append(layer_section(number, layer))
    sections += [_experiment(run), _footer(run)]
    body = "\n".join(sections)
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}: report of an LBC run</title>\n"
        f"<style>\n{STYLE.read_text('utf-8')}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def text(value: object) -> str:
    """Safe between tags and in quoted attributes."""
    return escape(str(value), quote=True)


def _head(run: RunSummary) -> str:
    state = run.state
    epochs = f"{state.epoch} of {run.planned}" if run.planned is not None else state.epoch
    cards = {
        "Test accuracy": "not yet" if state.accuracy is None else f"{state.accuracy:.2%}",
        "Weights kept": f"{state.density:.1%}",
        "N:M": state.pattern or "none",
        "Epochs": epochs,
        "Training time": duration(state.seconds),
        "Seed": "not recorded" if state.seed is None else state.seed,
        "Device": state.device or "not recorded",
    }
    rows = "".join(
        f"<div><dt>{text(key)}</dt><dd>{text(value)}</dd></div>" for key, value in cards.items()
    )
    style = "condition failed" if state.status == "failed" else "condition"
    return (
        f"<header><h1>{text(state.name)}</h1>"
        f'<p class="{style}">{text(run.condition)}</p><dl class="cards">{rows}</dl>'
        '<p class="quiet">Accuracy is that of the last finished epoch. “Weights kept” counts the '
        "sparse layers only; training time leaves pauses out.</p></header>"
    )


def _curves(run: RunSummary) -> str:
    steps, epochs = run.steps, run.epochs
    if not len(steps["epoch"]):
        return "<h2>Curves</h2><p>No step had been taken.</p>"
    at = epochs["epoch"]
    x = Axis("epoch", 0, float(max(steps["epoch"][-1], *at[-1:], 0)))
    losses = [Line("step", steps["epoch"], steps["loss"], "faint" if len(at) else "blue")]
    y = Axis("cross-entropy loss", log=True)
    if not len(at):
        chart = line_chart("Loss", losses, x, y)
        return f'<h2>Curves</h2><p>No epoch had ended.</p><div class="two">{chart}</div>'
    losses += [
        Line("training", at, epochs["train_loss"], "blue", dots=True),
        Line("test", at, epochs["test_loss"], "orange", dots=True),
    ]
    charts = [
        line_chart("Loss", losses, x, y),
        line_chart(
            "Accuracy", [Line("test", at, 100 * epochs["accuracy"], "orange", dots=True)],
            x, Axis("test accuracy (%)", bounds=(0, 100)),
        ),
    ]  # fmt: skip
    if run.layers:
        live = Line("live", at, epochs["live"], "green", dots=True, steps=True)
        density = Line("density", at, 100 * epochs["density"], "blue", dots=True)
        charts += [
            line_chart("Live combinations", [live], x, Axis("live combinations per block", 0)),
            line_chart("Density", [density], x, Axis("density (% of weights kept)", 0, 105)),
        ]
    figures = "".join(f"<figure>{chart}</figure>" for chart in charts)
    return f'<h2>Curves</h2><div class="two">{figures}</div>'


def _layers(run: RunSummary) -> str:
    if not run.layers:
        return "<h2>Layers</h2><p>No layer is sparse: nothing was masked in this run.</p>"
    return (
        "<h2>Layers</h2><p>Sparse layers only. “Winners” counts how many blocks each combination "
        "has won (of more than 128, how many winners hold each position); the dashed line is what "
        "a uniformly random choice would give each of them. An output or input is dead where the "
        "mask keeps none of its weights.</p>"
        f"{layer_table(run.layers, run.decided)}"
    )


def _experiment(run: RunSummary) -> str:
    listed = "<br>".join(map(text, run.changes[:MOST_CHANGES]))
    if len(run.changes) > MOST_CHANGES:
        listed += f"<br>… and {len(run.changes) - MOST_CHANGES:,} more"
    changes = f"<p>Changed during the run:<br>{listed}</p>" if listed else ""
    return f"<h2>Experiment</h2><pre>{text(run.experiment)}</pre>{changes}"


def _footer(run: RunSummary) -> str:
    state = run.state
    versions = ", ".join(f"{name} {version}" for name, version in state.versions.items())
    return (
        f"<footer><p>Run {text(run.folder.resolve().name)}, begun {text(state.started)}, last "
        f"written {text(state.updated)}. {text(versions)}.</p><p>Method: Zhang et al., Learning "
        "Best Combination for Efficient N:M Sparsity, NeurIPS 2022. Written by LBC Explorer."
        "</p></footer>"
    )
