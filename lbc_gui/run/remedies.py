"""What the message bar offers where a run could not be prepared: other data, or another device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QWidget

from lbc.config import Cifar10, Cifar100, Data, Experiment, IdxFiles, NpzFile
from lbc.download.datasets import DATASETS
from lbc.files.home import expanded
from lbc_gui.experiment.form import ExperimentForm
from lbc_gui.widgets.message_bar import MessageBar
from lbc_gui.worker import Failed, Job, Worker, describe


class _Cancelled(Exception):  # noqa: N818 - nothing went wrong
    pass


class DownloadThread(Worker):
    """Downloads a data set into a folder; posts the percentage of each file that is there."""

    def __init__(self, name: str, folder: Path, parent: Job) -> None:
        super().__init__(parent)
        self._name, self._folder = name, folder
        self._shown = -1

    def work(self) -> None:
        from lbc.download.archive import ARCHIVES, unpack
        from lbc.download.transfer import fetch

        try:
            for remote in DATASETS[self._name].files:
                path = fetch(remote, self._folder, self._received)
                if path.name.endswith(ARCHIVES):
                    unpack(path)
        except _Cancelled:
            self.post(Failed("The download was cancelled; the next one resumes it."))
        else:
            self.post(f"{DATASETS[self._name].title} is in {self._folder}.")
            self.post(True)

    def failure(self, error: Exception) -> Failed:
        from lbc.download.transfer import DownloadError

        return describe(f"{self._folder} could not be written", error, DownloadError)

    def _received(self, done: int, total: int | None) -> None:
        if self.cancelled.is_set():
            raise _Cancelled
        percent = 100 * done // max(total or 1, 1)
        if percent != self._shown:
            self._shown = percent
            self.post(percent)


class Remedies(Job):
    """Corrects the form, or downloads the data that it names."""

    downloaded = Signal()

    def __init__(self, form: ExperimentForm, message: MessageBar, parent: QWidget) -> None:
        super().__init__(parent)
        self._form, self._message = form, message
        self._title = ""
        self.arrived.connect(self._add)

    def offered(self, experiment: Experiment) -> dict[str, Callable[[], object]]:
        """By the texts of their buttons. Call it once torch is loaded."""
        from lbc.data import DataError, TakeError
        from lbc.data import describe as read_shape
        from lbc.training.failures import TrainingError
        from lbc.training.placement import resolve_device

        found: dict[str, Callable[[], object]] = {}
        try:
            resolve_device(experiment.device)
        except TrainingError:
            found["Use cpu"] = partial(self._form.enter, "device", "cpu")
        try:
            read_shape(experiment.data)
        except TakeError:
            found["Use all images"] = partial(self._form.enter, "data.take", 0)
        except DataError:
            found |= self._for_data(experiment.data)
        return found

    def _for_data(self, data: Data) -> dict[str, Callable[[], object]]:
        if isinstance(data, NpzFile):
            return {"Choose file…": partial(self._form.browse, "data.file")}
        found: dict[str, Callable[[], object]] = {
            "Choose folder…": partial(self._form.browse, "data.folder")
        }
        name = downloadable(data)
        if name is not None and isinstance(data, IdxFiles | Cifar10 | Cifar100):
            title = DATASETS[name].title.partition(",")[0]
            found[f"Download {title}"] = partial(self._download, name, title, expanded(data.folder))
        return found

    def _download(self, name: str, title: str, folder: Path) -> None:
        if not self.running:
            self._title = title
            self._launch(DownloadThread(name, folder, self))
            self._show(0)

    @Slot(object)
    def _add(self, events: Sequence[object]) -> None:
        last = events[-1]
        if last is True:
            self.downloaded.emit()
        elif isinstance(last, int):
            self._show(last)

    def _show(self, percent: int) -> None:
        sentence = f"Downloading {self._title}: {percent} %"
        self._message.show_message(sentence, remedies={"Cancel": self.cancel}, notice=True)


def downloadable(data: Data) -> str | None:
    """The name in ``DATASETS`` of the data that a source reads, None if there is none.

    IDX files may be of several sets: the folder's name decides, and MNIST is the first of them.
    """
    match data:
        case Cifar10():
            return "cifar-10"
        case Cifar100():
            return "cifar-100"
        case IdxFiles(emnist="none"):
            named = (name for name in ("kmnist", "fashion-mnist") if name in data.folder.name)
            return next(named, "mnist")
        case IdxFiles():
            return "emnist"
    return None
