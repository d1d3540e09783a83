"""The parts of the window that what is done with runs needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from lbc_gui.block.block_panel import BlockPanel
from lbc_gui.experiment.experiment_panel import ExperimentPanel
from lbc_gui.export.report_export import ReportExport
from lbc_gui.export.view_export import ViewExport
from lbc_gui.run.launch import Launch
from lbc_gui.run.log_panel import LogPanel
from lbc_gui.run.run_progress import RunProgress
from lbc_gui.run.session import Session
from lbc_gui.run.timeline import Timeline
from lbc_gui.run.view_state import ViewState
from lbc_gui.settings import Settings
from lbc_gui.widgets.message_bar import MessageBar
from lbc_gui.window.actions import Actions
from lbc_gui.window.file_dialogs import Files
from lbc_gui.window.pages import Pages
from lbc_gui.window.shutdown import Shutdown

if TYPE_CHECKING:  # at run time they are imported behind the first paint
    from lbc_gui.curves.curves_panel import CurvesPanel
    from lbc_gui.queue.run_queue import RunQueue


class Parts(Protocol):
    """The parts of the window that runs are shown in, and what acts on them."""

    pages: Pages
    view_state: ViewState
    session: Session
    experiment_panel: ExperimentPanel
    files: Files
    starting: Launch
    reporting: ReportExport
    saving: ViewExport
    closing: Shutdown
    settings: Settings
    actions_: Actions
    message: MessageBar
    timeline: Timeline
    block: BlockPanel
    curves: CurvesPanel
    progress: RunProgress
    log: LogPanel
    queue: RunQueue
