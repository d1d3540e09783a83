"""The list of N:M says density and the estimated gain on the chosen card."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QStyleOptionViewItem
from pytestqt.qtbot import QtBot

from lbc.latency.cases import Case
from lbc.latency.estimate import estimate_cases, estimate_network, find_card
from lbc.sparsity.pattern import Pattern
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.experiment.pattern_gain import GainDelegate
from lbc_gui.settings import EstimateChoice
from tests.gui.conftest import small_experiment
from tests.gui.experiment.conftest import wait_until_examined

BATCH = 1024


def expected(pattern: str) -> str:
    """The gain of a perceptron of 784, 1024 and 1024 on the RTX 4090, its last layer dense."""
    sizes = {"hidden.0": (1024, 784), "hidden.1": (1024, 1024)}
    macs = sum(m * k for m, k in sizes.values()) + 10 * 1024
    cases = [
        Case(name, m, BATCH, k, Pattern.parse(pattern), share=m * k / macs)
        for name, (m, k) in sizes.items()
    ]
    whole = estimate_network(estimate_cases(find_card("rtx 4090").model("int8"), cases))
    assert whole is not None
    return f"about {whole.speedup:.2f}× on RTX 4090 ({whole.low:.2f} to {whole.high:.2f})"


def test_the_list_says_the_density_and_gain_of_each_pattern_on_the_chosen_card(
    qtbot: QtBot,
) -> None:
    choices = [EstimateChoice(cards=("RTX 4090", "A100"), dtype="int8", batch=BATCH)]
    panel = ExperimentPanel(lambda: choices[0])
    qtbot.addWidget(panel)
    panel.show_experiment(small_experiment(model={"name": "mlp", "width": 1024, "depth": 3}))
    box = panel.form.editor("pattern")
    assert isinstance(box, QComboBox)
    delegate = box.itemDelegate()
    assert isinstance(delegate, GainDelegate)
    option = QStyleOptionViewItem()

    def listed(pattern: str) -> str:
        delegate.initStyleOption(option, box.model().index(box.findText(pattern), 0))
        return option.text

    panel.show_unprepared()
    wait_until_examined(qtbot, panel)
    assert listed("2:4") == "2:4 · 50 %"  # until the window is complete
    panel.show_gains()
    wait_until_examined(qtbot, panel)
    assert listed("2:4") == f"2:4 · 50 % · {expected('2:4')}"
    assert listed("1:16") == f"1:16 · 6 % · {expected('1:16')}"
    assert listed("4:8") == "4:8 · 50 %"  # without a path to 2:4 cores
    assert f"Estimated, not measured: {expected('2:4')}." in panel.facts.text()
    choices[0] = EstimateChoice(cards=(), dtype="int8")
    assert listed("2:4") == "2:4 · 50 %"
    choices[0] = EstimateChoice(cards=("no such card",))
    assert listed("2:4") == "2:4 · 50 %"
    box.setCurrentIndex(box.findText("1:4"))
    assert box.currentText() == "1:4", "what is entered stays an N:M alone"
    assert box.findText("2:4", Qt.MatchFlag.MatchExactly) >= 0
