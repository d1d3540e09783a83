"""The parts of the window that work together."""

from __future__ import annotations

from dataclasses import dataclass

from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.export.report_export import ReportExport
from lbc_gui.export.view_export import ViewExport
from lbc_gui.run.launch import Launch
from lbc_gui.run.session import Session
from lbc_gui.run.view_state import ViewState
from lbc_gui.widgets.message_bar import MessageBar
from lbc_gui.window.file_dialogs import Files
from lbc_gui.window.pages import Pages
from lbc_gui.window.shutdown import Shutdown


@dataclass(frozen=True)
class Parts:
    """What a class needs that connects several of them; they live as long as the window."""

    session: Session
    view_state: ViewState
    experiment_panel: ExperimentPanel
    pages: Pages
    message: MessageBar
    files: Files
    starting: Launch
    reporting: ReportExport
    saving: ViewExport
    closing: Shutdown
