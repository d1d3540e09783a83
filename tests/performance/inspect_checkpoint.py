"""Time until a 100 MB checkpoint is on screen in the inspector, and lag of the event loop.

A precise 10 ms timer in the window's thread records its delays, from opening the file until all
layers are read. Prints JSON.

    QT_QPA_PLATFORM=offscreen python -m tests.performance.inspect_checkpoint --form pt

With ``--shards GIGABYTES``, shards of that size are surveyed by the library instead: seconds until
all names are known, weights a second in all layers, and the largest private memory. Of each shard,
the first layer is written; the rest are holes in the file.

    python -m tests.performance.inspect_checkpoint --shards 16 --form pt
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PySide6.QtCore import QEvent, QEventLoop, QObject
from PySide6.QtWidgets import QApplication
from safetensors.torch import save_file

from lbc.config import Experiment
from lbc.inspection import open_checkpoint, survey_checkpoint
from lbc.sparsity.pattern import Pattern
from lbc_gui.inspector.inspector_page import InspectorPage
from lbc_gui.inspector.reader_thread import LayerPicture
from lbc_gui.run.session import State
from lbc_gui.settings import Settings
from lbc_gui.window.main_window import MainWindow
from tests.performance.ui_lag import measure_lag, percentiles, record_lags, until

SHAPE = (512, 512, 3, 3)


def main() -> int:
    options = _options()
    if options.shards:
        print(json.dumps(measure_shards(options.form, options.shards)))
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = write_checkpoint(folder, options.form, options.megabytes)
        application = QApplication(sys.argv[:1])
        application.setStyle("Fusion")
        window = MainWindow(Experiment(), folder / "runs", Settings(folder / "window.ini"))
        window.resize(1280, 800)
        window.show()
        window.begin()
        until(application, lambda: window.session.state is State.READY)
        window.pages.setCurrentWidget(window.pages.inspector)
        idle = measure_lag(2)
        measured = [measure_opening(window, file) for _ in range(options.times)]
        window.closing.start()
        until(application, lambda: not window.isVisible())
        size = file.stat().st_size
    report = {
        "benchmark": "inspect_checkpoint",
        "form": options.form,
        "megabytes": round(size / 1e6, 1),
        "first_picture_s": [round(first, 3) for first, _, _ in measured],
        "all_layers_s": [round(all_, 3) for _, all_, _ in measured],
        "idle_lag_ms": percentiles(idle),
        "lag_ms": percentiles([lag for _, _, lags in measured for lag in lags]),
    }
    print(json.dumps(report))
    return 0


def write_checkpoint(folder: Path, form: str, megabytes: int) -> Path:
    """Write 2:4 layers of the largest shape in a ResNet until the file is large enough."""
    numbers = torch.Generator().manual_seed(0)
    pattern = Pattern(2, 4)
    count = -(-megabytes * 1_000_000 // (4 * torch.Size(SHAPE).numel()))
    state = {}
    for at in range(count):
        blocks = torch.randn(torch.Size(SHAPE).numel() // 4, 4, generator=numbers)
        blocks[:, 2:] = 0
        state[f"layer{at}.weight"] = pattern.from_blocks(blocks, SHAPE)
    file = folder / f"model.{form}"
    if form == "safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return file


def measure_shards(form: str, gigabytes: int) -> dict[str, object]:
    """Survey a folder of bfloat16 shards of a gigabyte each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = write_shards(folder, form, gigabytes)
        start = time.perf_counter()
        with open_checkpoint(index) as checkpoint:
            weights, names = checkpoint.weights, time.perf_counter() - start
        before = private_bytes()
        with watch_private_bytes() as largest:
            start = time.perf_counter()
            survey = survey_checkpoint(index)
            seconds = time.perf_counter() - start
        assert all(layer.detection.headline in ("2:4", "all zero") for layer in survey.layers)
    return {
        "benchmark": "inspect_checkpoint",
        "form": form,
        "gigabytes": gigabytes,
        "layers": len(survey.layers),
        "names_s": round(names, 3),
        "weights_per_s": round(weights / seconds / 1e6) * 1_000_000,
        "private_mb_before": round(before / 1e6),
        "private_mb_largest": round(max(largest) / 1e6),
    }


def write_shards(folder: Path, form: str, gigabytes: int) -> Path:
    """Shards of 32 layers of 4096 × 4096; the first of each is 2:4."""
    blocks = torch.randn(4096 * 4096 // 4, 4, dtype=torch.bfloat16)
    blocks[:, 2:] = 0
    layer = Pattern(2, 4).from_blocks(blocks, (4096, 4096))
    listed: dict[str, str] = {}
    ending = "safetensors" if form == "safetensors" else "bin"
    for shard in range(gigabytes):
        file = folder / f"model-{shard + 1:05}-of-{gigabytes:05}.{ending}"
        names = [f"model.layers.{shard}.{at}.weight" for at in range(32)]
        if form == "safetensors":
            write_holes(file, names, layer)
        else:
            torch.save({name: layer.clone() for name in names}, file)
        listed |= dict.fromkeys(names, file.name)
    index = folder / f"model.{ending}.index.json"
    index.write_text(json.dumps({"weight_map": listed}))
    return index


def write_holes(file: Path, names: list[str], layer: torch.Tensor) -> None:
    """A safetensors file in which only the first layer takes space on the disk."""
    size, shape = layer.nbytes, list(layer.shape)
    header = {
        name: {"dtype": "BF16", "shape": shape, "data_offsets": [at * size, (at + 1) * size]}
        for at, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.write(layer.view(torch.uint8).numpy().data)
        stream.truncate(8 + len(text) + size * len(names))


def private_bytes() -> int:
    """Memory of this process that no file backs."""
    fields = Path("/proc/self/smaps_rollup").read_text().split("\n")
    return 1024 * sum(int(at.split()[1]) for at in fields if at.startswith("Private_Dirty"))


@contextmanager
def watch_private_bytes() -> Iterator[list[int]]:
    """Collect ``private_bytes`` every 20 ms."""
    seen, done = [private_bytes()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            seen.append(private_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


class Painted(QObject):
    """Records when a picture is first painted after it has arrived."""

    def __init__(self, page: InspectorPage) -> None:
        super().__init__()
        self.at: float | None = None
        self._arrived = False
        page.reading.arrived.connect(self._look)
        self._viewport = page.layer.view.viewport()
        self._viewport.installEventFilter(self)

    def _look(self, events: list[object]) -> None:
        self._arrived |= any(isinstance(event, LayerPicture) for event in events)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: ARG002
        if event.type() == QEvent.Type.Paint and self._arrived and self.at is None:
            self.at = time.perf_counter()
        return False


def measure_opening(window: MainWindow, file: Path) -> tuple[float, float, list[float]]:
    """Return the seconds until the first picture and the last layer, and the lags in seconds."""
    page, loop, application = window.pages.inspector, QEventLoop(), QApplication.instance()
    assert isinstance(application, QApplication)
    painted = Painted(page)

    def changed(running: bool) -> None:
        if not running:
            loop.quit()

    page.reading.running_changed.connect(changed)
    with record_lags() as lags:
        start = time.perf_counter()
        window.inspecting.open([file])
        loop.exec()
        finished = time.perf_counter() - start
        until(application, lambda: painted.at is not None)
    page.reading.running_changed.disconnect(changed)
    assert painted.at is not None
    painted.deleteLater()
    return painted.at - start, finished, lags


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--form", choices=["safetensors", "pt"], default="safetensors")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--shards", type=int, default=0, metavar="GIGABYTES")
    parser.add_argument("--times", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
