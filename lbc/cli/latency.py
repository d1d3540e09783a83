"""``lbc latency``: run, show and probe.

Exit status: 0 every case measured and right, 1 some were not, 2 wrong input, 3 no usable device,
4 the server could not be reached or its Python not be started, 130 stopped. A backend that the GPU
cannot run is missed only where it was asked for by name.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lbc.files.atomic import write_atomically

if TYPE_CHECKING:
    from lbc.latency.cases import Case
    from lbc.latency.measurement import Measurement, Result
    from lbc.latency.place import Place
    from lbc.latency.run import Event, Request

DONE, INCOMPLETE, WRONG_INPUT, NO_DEVICE, NO_SERVER, STOPPED = 0, 1, 2, 3, 4, 130

ELSEWHERE = (
    "2:4 needs an NVIDIA GPU of compute capability 8.0 or newer (A100, H100, RTX 30 and later) and "
    "torch 2.11 to 2.13 with CUDA. To measure on a server: --host user@server, or --print-command "
    "for a line to paste there. --device cpu measures this processor's own row, which says nothing "
    "about a GPU."
)


def add_parser(commands: Any) -> None:
    """Add ``latency`` with its three commands to the program's."""
    latency = commands.add_parser("latency", help="measure sparse against dense latency")
    which = latency.add_subparsers(dest="latency", required=True)
    run = which.add_parser("run", help="measure cases, here or on a server")
    cases = run.add_mutually_exclusive_group()
    cases.add_argument("--model", type=Path, metavar="EXPERIMENT.yaml", help="its layers")
    cases.add_argument(
        "--run", type=Path, metavar="FOLDER", help="layers and trained masks of a run"
    )
    cases.add_argument(
        "--shapes",
        nargs="+",
        metavar="SHAPE",
        help="names (llama-2-7b, bert-base, vit-large, deit-small, resnet-50, squares, default) or "
        "outputs x tokens x inputs, like 4096x512x4096",
    )
    run.add_argument("--tokens", type=int, default=4096, help="tokens of named transformers")
    run.add_argument("--batch", type=int, default=64, help="images of a model or of ResNet-50")
    run.add_argument("--image", type=int, metavar="PIXELS", help="side of a model's images")
    run.add_argument(
        "--dtype", action="append", choices=("float16", "bfloat16", "int8", "float32"),
        help="may be repeated; default bfloat16 (float32 on a processor)",
    )  # fmt: skip
    run.add_argument("--backend", action="append", choices=("cusparselt", "cutlass"))
    run.add_argument("--no-search", action="store_true", help="only the default algorithm")
    run.add_argument("--compile", action="store_true", help="torch.compile as a dense rival too")
    run.add_argument("--json", type=Path, metavar="FILE", help="write the measurements")
    run.add_argument("--csv", type=Path, metavar="FILE", help="write a table")
    run.add_argument(
        "--print-command", action="store_true", help="print a line to paste on a server, and stop"
    )
    show = which.add_parser("show", help="print measurements from files")
    show.add_argument("files", nargs="+", type=Path, metavar="FILE")
    probe = which.add_parser("probe", help="say what can be measured here, or on a server")
    for parser in (run, probe):
        parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
        parser.add_argument("--host", default="", metavar="USER@SERVER", help="there, by ssh")
        parser.add_argument("--python", default="", help="the Python with torch (there: python3)")


def command(options: argparse.Namespace, errors: Console) -> int:
    """Run one of the three; returns the exit status."""
    from lbc.latency.measurement import MeasurementError

    try:
        match options.latency:
            case "run":
                return _run(options, errors)
            case "show":
                return _show(options)
            case _:
                return _probe(options, errors)
    except (MeasurementError, ValueError) as error:
        errors.print(str(error))
        return WRONG_INPUT


def _run(options: argparse.Namespace, errors: Console) -> int:
    from lbc.latency.place import command_for_server
    from lbc.latency.table import print_measurement

    for path in filter(None, (options.json, options.csv)):
        if not path.absolute().parent.is_dir():
            raise ValueError(f"{path} cannot be written: there is no folder {path.parent}.")
    request = _request(options, _cases(options, errors))
    if options.print_command:
        for dtype in request.dtypes:
            for backend in request.backends:
                job, result = request.job(dtype, backend), f"latency-{dtype}-{backend}.ndjson"
                print(command_for_server(job, result, options.python or "python3"))
        return DONE
    watcher = _Watcher(errors, options.json, strict=bool(options.backend))
    found = watcher.measure(request)
    for measurement in found:
        print_measurement(measurement)
    written = _write(options, found, errors) and watcher.written
    status = watcher.status(found, len(request.cases))
    return status if written or status != DONE else INCOMPLETE


def _cases(options: argparse.Namespace, errors: Console) -> tuple[Case, ...]:
    from lbc.latency.cases import chosen

    if options.model or options.run:
        from lbc.config import load_experiment
        from lbc.latency.model_cases import cases_of_experiment, cases_of_run

        if options.run:
            cases, left_out = cases_of_run(options.run, options.batch, options.image)
        else:
            experiment = load_experiment(options.model)
            cases, left_out = cases_of_experiment(experiment, options.batch, options.image)
        for name, reason in left_out.items():
            errors.print(f"{name} is left out: {reason}.")
        return cases
    return chosen(options.shapes or ["default"], options.tokens, options.batch)


def _request(options: argparse.Namespace, cases: tuple[Case, ...]) -> Request:
    from lbc.latency.run import Request, Settings

    _check_device(options.device)
    types = ("float32", "bfloat16") if options.device == "cpu" else ("float16", "bfloat16", "int8")
    for dtype in options.dtype or ():
        if dtype not in types:
            where = "A processor" if options.device == "cpu" else "2:4 on a GPU"
            raise ValueError(f"{where} takes {', '.join(types)}, and no {dtype}.")
    if options.backend and options.device == "cpu":
        raise ValueError("A processor has no --backend: its own row is all that it measures.")
    more: dict[str, Any] = {"place": _place(options)}
    if options.dtype:
        more["dtypes"] = tuple(dict.fromkeys(options.dtype))
    if options.backend:
        more["backends"] = tuple(dict.fromkeys(options.backend))
    more["settings"] = Settings(search=not options.no_search, compile=options.compile)
    return Request.on(cases, options.device, **more)


def _check_device(device: str) -> None:
    if re.fullmatch(r"cpu|cuda(:\d{1,3})?", device) is None:
        raise ValueError(f"{device!r} is no device: write cuda, cuda:1 or cpu.")


def _place(options: argparse.Namespace) -> Place:
    from lbc.latency.place import Place

    return Place(options.host, options.python)


class _Watcher:
    """Follows a measurement in the terminal.

    ``strict``: the user named the backends, so one that the GPU cannot run is missed.
    """

    def __init__(self, errors: Console, json: Path | None, strict: bool) -> None:
        self._errors, self._json, self._strict = errors, json, strict
        self.written = True
        self._measured: dict[tuple[str, str], Measurement] = {}
        self._kinds: set[str] = set()
        self._done: set[tuple[str, int]] = set()
        self._cancel = threading.Event()

    def measure(self, request: Request) -> tuple[Measurement, ...]:
        """Measure with a progress bar; Ctrl-C stops the worker and keeps what it found."""
        from lbc.latency.run import measure

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        total = len(request.cases) * len(request.dtypes) * len(request.backends)
        found: list[tuple[Measurement, ...]] = []
        with Progress(*columns, TimeElapsedColumn(), console=self._errors) as progress:
            task = progress.add_task(f"On {request.place.name}", total=total)

            def tell(event: Event) -> None:
                self._follow(event, progress, task, request)

            thread = threading.Thread(
                target=lambda: found.append(measure(request, tell, self._cancel))
            )
            # A second Ctrl-C too only stops the worker.
            before = signal.signal(signal.SIGINT, lambda *_: self._cancel.set())
            try:
                thread.start()
                while thread.is_alive():
                    thread.join(0.2)
            finally:
                signal.signal(signal.SIGINT, before)
        return found[0] if found else ()

    def status(self, found: tuple[Measurement, ...], cases: int) -> int:
        """The exit status, after a word on what is missing."""
        if self._cancel.is_set():
            return STOPPED
        if not found:
            return _status_of_nothing(self._kinds, self._errors)
        missed = self._kinds - (set() if self._strict else {"GPU"})
        whole = all(len(measurement.results) == cases for measurement in found)
        right = all(_right(result) for told in found for result in told.results)
        return DONE if whole and right and not missed else INCOMPLETE

    def _keep(self, measurement: Measurement) -> None:
        """Write what there is: a measurement of an hour must survive its terminal."""
        from lbc.latency.files import save_measurements

        self._measured[measurement.dtype, measurement.backend] = measurement
        if self._json is None:
            return
        try:
            save_measurements(self._json, tuple(self._measured.values()))
        except OSError as error:
            if self.written:
                self._errors.print(f"{self._json} could not be written: {error.strerror}.")
            self.written = False
        else:
            self.written = True

    def _follow(self, event: Event, progress: Progress, task: Any, request: Request) -> None:
        from lbc.latency.run import CaseDone, CaseStarted, Said, WorkerFailed

        match event:
            case CaseStarted():
                progress.update(task, description=request.cases[event.index].name)
            case CaseDone():
                self._done.add((event.measurement.title, event.result.index))
                progress.update(task, completed=len(self._done))
                self._keep(event.measurement)
            case WorkerFailed():
                self._kinds.add(event.kind)
                self._errors.print(f"{event.dtype} {event.backend}: {event.message}")
            case Said():
                self._errors.print(f"({event.text})")


def _right(result: Result) -> bool:
    right = result.status == "measured" and all(time.right for time in result.times)
    return right and result.sparse() is not None


def _status_of_nothing(kinds: set[str], errors: Console) -> int:
    """The exit status where no worker was ready, and how to measure elsewhere."""
    if kinds & {"connection", "python"}:
        return NO_SERVER
    errors.print(ELSEWHERE)
    return NO_DEVICE


def _write(options: argparse.Namespace, found: tuple[Measurement, ...], errors: Console) -> bool:
    """Write the table that was asked for; whether that went well."""
    from lbc.latency.files import as_csv

    if not options.csv or not found:
        return True
    text = as_csv(found).encode()
    try:
        write_atomically(options.csv, lambda file: file.write(text))
    except OSError as error:
        errors.print(f"{options.csv} could not be written: {error.strerror}.")
        return False
    return True


def _show(options: argparse.Namespace) -> int:
    from lbc.latency.files import load_measurements
    from lbc.latency.table import print_measurement

    for path in options.files:
        for measurement in load_measurements(path):
            print_measurement(measurement)
    return DONE


def _probe(options: argparse.Namespace, errors: Console) -> int:
    from lbc.latency.run import Ready, Request, WorkerFailed, measure
    from lbc.latency.table import device_lines

    _check_device(options.device)
    seen: set[str] = set()
    failed: set[str] = set()

    def tell(event: Event) -> None:
        match event:
            case Ready():
                lines = device_lines(event.measurement.device)
                if not seen:
                    sys.stdout.write("\n".join(lines) + "\n")
                seen.add(event.measurement.backend)
                sys.stdout.write(f"{event.measurement.backend}: ready\n")
            case WorkerFailed():
                failed.add(event.kind)
                errors.print(f"{event.backend}: {event.message}")

    measure(Request.on([], options.device, place=_place(options)), tell)
    return DONE if seen else _status_of_nothing(failed, errors)
