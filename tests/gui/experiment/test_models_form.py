"""The form offers every family of networks, and runs no code of theirs unasked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QLineEdit, QPlainTextEdit
from pytestqt.qtbot import QtBot

from lbc.config import EXTERNAL, DeiT, Experiment, dump_experiment, parse_experiment
from lbc.config.model import FAMILIES
from lbc.config.values import fields_by_key, variant_names
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment

Open = Callable[..., MainWindow]

NAMES = [name for family in FAMILIES for name in variant_names(family)]

MODULE = """
from pathlib import Path
from torch import nn
Path("imported").touch()
def make(width=16):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder the user works in, with a network of their own."""
    (tmp_path / "my_own_networks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "my_own_networks", raising=False)
    return tmp_path


def own(**kwargs: object) -> Experiment:
    return small_experiment(model={"import": "my_own_networks:make", "kwargs": kwargs})


def shown(panel: ExperimentPanel, key: str) -> bool:
    return not panel.form.editor(f"model.{key}").isHidden()


def choose(panel: ExperimentPanel, name: str) -> None:
    box = panel.form.editor("model.name")
    assert isinstance(box, QComboBox)
    box.setCurrentText(name)


def arguments(panel: ExperimentPanel) -> QPlainTextEdit:
    box = panel.form.editor("model.kwargs")
    assert isinstance(box, QPlainTextEdit)
    return box


def test_every_family_can_be_chosen(panel: ExperimentPanel) -> None:
    box = panel.form.editor("model.name")
    assert isinstance(box, QComboBox)
    assert [box.itemText(index) for index in range(box.count())] == NAMES


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_a_family_shows_its_settings_and_no_others(
    panel: ExperimentPanel, family: type[object]
) -> None:
    every = {key for other in FAMILIES for key in fields_by_key(other)}
    for name in variant_names(family):  # type: ignore[arg-type]
        choose(panel, "mlp" if name != "mlp" else "convnet")
        choose(panel, name)
        assert {key for key in every if shown(panel, key)} == set(fields_by_key(family))  # type: ignore[arg-type]
        if family not in EXTERNAL:
            assert panel.experiment is not None
            assert panel.experiment.model == family(name=name)  # type: ignore[call-arg]


def test_a_setting_is_described_for_each_family_that_has_it(used_panel: ExperimentPanel) -> None:
    lines = used_panel.form.editor("model.width").toolTip().splitlines()
    of_family = dict(line.split(": ", 1) for line in lines if ": " in line)
    assert "first layer" in of_family["convnet"] and "hidden" in of_family["mlp"]


@pytest.mark.parametrize(
    "model",
    [
        {"name": "deit-small", "patch": 4, "drop_path": 0.25},
        {"name": "resnet56", "width": 32},
        {"import": "a.b:c", "kwargs": {"depth": 3, "widths": [1, 2], "nested": {"text": "1:4"}}},
        {"name": "timm", "model": "vit_tiny_patch16_224", "kwargs": {"img_size": 32}},
    ],
)
def test_a_model_passes_through_the_form_unchanged(
    used_panel: ExperimentPanel, model: dict[str, object]
) -> None:
    experiment = parse_experiment({"model": model})
    used_panel.show_experiment(experiment)
    assert used_panel.experiment == experiment


def test_another_size_of_a_family_keeps_its_settings(panel: ExperimentPanel) -> None:
    panel.show_experiment(parse_experiment({"model": {"name": "deit-tiny", "patch": 7}}))
    choose(panel, "deit-small")
    assert panel.experiment is not None
    assert panel.experiment.model == DeiT(name="deit-small", patch=7)


def test_a_function_and_its_arguments_are_typed(qtbot: QtBot, panel: ExperimentPanel) -> None:
    choose(panel, "import")
    assert panel.experiment is None
    assert "function: '' is not an import path" in panel.problem.text()
    function = panel.form.editor("model.import")
    assert isinstance(function, QLineEdit)
    qtbot.keyClicks(function, "package.module:make")
    assert panel.experiment is not None
    qtbot.keyClicks(arguments(panel), "depth: 3")
    qtbot.keyClick(arguments(panel), Qt.Key.Key_Return)
    qtbot.keyClicks(arguments(panel), "name: x")
    assert (
        panel.experiment.model
        == parse_experiment(
            {"model": {"import": "package.module:make", "kwargs": {"depth": 3, "name": "x"}}}
        ).model
    )


@pytest.mark.parametrize("text", ["depth", "depth: [", "- 3", "a: 1\na: 2"])
def test_invalid_arguments_are_reported(used_panel: ExperimentPanel, text: str) -> None:
    used_panel.show_experiment(parse_experiment({"model": {"import": "a:b"}}))
    arguments(used_panel).setPlainText(text)
    assert used_panel.experiment is None
    assert used_panel.problem.text().startswith(
        "arguments: Must be a group of 'key: value' settings"
    )
    arguments(used_panel).clear()
    assert used_panel.experiment is not None


def test_the_layers_say_parameters_and_share_of_the_work(use_window: Open) -> None:
    table = use_window().experiment_panel.layers.table
    assert [column.title for column in table.columns] == ["layer", "N:M", "own", "params", "FLOPs"]
    rows = [[table.text(row, at) for at in (0, 1, 3, 4)] for row in range(3)]
    assert rows == [
        ["hidden.0", "2:4", "25.1k", "94.9%"],
        ["hidden.1", "2:4", "1.06k", "3.9%"],
        ["head", "dense", "330", "1.2%"],
    ]
    tip = table.index(0, 0).data(Qt.ItemDataRole.ToolTipRole)
    assert "6,272 blocks of 6 combinations" in tip and "25,088 multiply-adds" in tip
    assert "the classifier" in table.index(2, 0).data(Qt.ItemDataRole.ToolTipRole)


def test_a_network_of_one_s_own_waits_until_it_is_asked_for(
    use_window: Open, qtbot: QtBot, folder: Path
) -> None:
    window = use_window(own(width=24))
    panel = window.experiment_panel
    assert window.session.state is State.WAITING
    assert "when you press Run or Reset" in panel.facts.text()
    assert window.actions_.run.isEnabled() and not window.actions_.step.isEnabled()
    assert not (folder / "imported").exists()
    window.actions_.reset.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    assert (folder / "imported").exists()
    assert "1 sparse and 1 dense layers" in panel.facts.text()
    assert panel.layers.table.rowCount() == 2
    arguments(panel).setPlainText("width: 32")
    qtbot.waitUntil(lambda: window.session.state is State.WAITING, timeout=SECONDS)
    assert panel.layers.table.rowCount() == 0
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.FINISHED, timeout=SECONDS)
    assert window.session.prepared is not None
    assert window.session.prepared.layers[0].shape == (32, 784)


def test_opening_a_file_runs_none_of_its_code(use_window: Open, qtbot: QtBot, folder: Path) -> None:
    window = use_window()
    file = folder / "from_somebody.yaml"
    witness = folder / "witness"
    file.write_text(f"model: {{import: 'os:system', kwargs: {{command: touch {witness}}}}}\n")
    window.files.open_experiment(file)
    qtbot.waitUntil(lambda: window.session.state is State.WAITING, timeout=SECONDS)
    qtbot.wait(400)  # longer than the form takes to settle
    assert window.session.state is State.WAITING
    assert not witness.exists()
    choose(window.experiment_panel, "mlp")
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)


def test_a_file_that_names_code_which_ran_before_waits_all_the_same(
    use_window: Open, qtbot: QtBot, folder: Path
) -> None:
    window = use_window(own())
    window.actions_.reset.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.READY, timeout=SECONDS)
    file = folder / "from_somebody.yaml"
    file.write_text(dump_experiment(own()))
    window.files.open_experiment(file)
    qtbot.waitUntil(lambda: window.session.state is State.WAITING, timeout=SECONDS)


def test_a_network_that_cannot_be_imported_is_one_sentence(
    use_window: Open, qtbot: QtBot, folder: Path
) -> None:
    (folder / "my_own_networks.py").write_text("import nowhere_at_all\n")
    window = use_window(own())
    window.actions_.run.trigger()
    qtbot.waitUntil(lambda: window.session.state is State.FAILED, timeout=SECONDS)
    assert window.message.text == (
        "model.import: importing my_own_networks failed: ModuleNotFoundError: "
        "No module named 'nowhere_at_all' (my_own_networks.py, line 1)."
    )
    assert window.actions_.run.isEnabled()
