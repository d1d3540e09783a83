"""The device of a measurement, and warnings about its results."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from lbc.latency.explanation import throttle_reasons
from lbc.latency.measurement import Measurement
from lbc.latency.network import network_speedup
from lbc.latency.table import CPU_WARNING, device_lines
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import HtmlLabel, html

EMPTY = (
    "Choose cases and press Measure, or import a file. Without an NVIDIA GPU you can measure this "
    "processor, or a server that ssh can reach; Estimate needs no GPU."
)
OLD_CUSPARSELT = "cuSPARSELt 0.8.0 has known regressions on H100; 0.8.1 fixes them."


class DeviceCard(QWidget):
    """Name, versions, limits; clocks and power as sampled; warnings."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._text = HtmlLabel(wordWrap=True)
        self._text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column(self._text, None, on=self, margin=TIGHT)
        self.show_measurement(None)

    @property
    def text(self) -> str:
        return self._text.text()

    def show_measurement(self, measurement: Measurement | None) -> None:
        if measurement is None:
            self._text.setText(EMPTY)
            return
        first, *facts = device_lines(measurement.device)
        lines = [html("<b>{}</b>", first), html("{}, {}", measurement.source, measurement.when)]
        lines += [html("<b>⚠ {}</b>", line) for line in _warnings(measurement)]
        lines += [html("{}", line) for line in (*facts, *_clocks(measurement))]
        self._text.setText("<br>".join(lines))


def _clocks(measurement: Measurement) -> list[str]:
    """The ranges, over all cases, of clocks, power and temperature."""
    labels = {
        "clocks_sm": ("clock", "MHz"),
        "power_draw": ("power", "W"),
        "temperature_gpu": ("temperature", "°C"),
    }
    found = []
    for key, (label, unit) in labels.items():
        values = [
            value
            for result in measurement.results
            for name in (key, f"{key}_min", f"{key}_max")
            if isinstance(value := result.clocks.get(name), float)
        ]
        if values:
            low, high = f"{min(values):.0f}", f"{max(values):.0f}"
            found.append(f"{label} {low if low == high else f'{low}–{high}'} {unit}")
    return found


def _warnings(measurement: Measurement) -> list[str]:
    warnings = []
    device = measurement.device
    if device.kind == "cpu":
        warnings.append(CPU_WARNING)
    if measurement.backend == "cusparselt" and device.cusparselt == 800:
        warnings.append(OLD_CUSPARSELT)
    late = [r.name for r in measurement.results if r.clocks.get("readings") == 0]
    if late:
        warnings.append(f"No clocks were read during the samples of {_some(late)}.")
    throttled = [r.name for r in measurement.results if throttle_reasons(r)]
    if throttled:
        reasons = dict.fromkeys(w for r in measurement.results for w in throttle_reasons(r))
        warnings.append(f"Clocks were held down ({', '.join(reasons)}) in {_some(throttled)}.")
    wrong = [r.name for r in measurement.results if any(not t.right for t in r.times)]
    if wrong:
        warnings.append(f"Wrong results in {_some(wrong)}.")
    return warnings


def _some(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def network_sentence(measurement: Measurement | None) -> str:
    """The estimate for the whole network; empty if the cases are not the layers of one."""
    whole = network_speedup(measurement) if measurement else None
    return whole.describe() if whole else ""
