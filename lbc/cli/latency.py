"""``lbc latency``: run, estimate, show and probe.

Exit status: 0 all cases measured with correct results, 1 some not, 2 invalid input, 3 no usable
device, 4 server or its Python not reachable, 130 interrupted. A backend that the GPU does not
support counts as missing only if it was requested with --backend.
"""

from __future__ import annotations

import argparse
import re
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lbc.cli import latency_estimate
from lbc.cli.console import Console
from lbc.cli.latency_cases import add_case_choices, chosen_cases
from lbc.cli.new_file import require_new
from lbc.files.atomic import write_atomically
from lbc.files.os_errors import explain

if TYPE_CHECKING:
    from lbc.latency.cases import Case
    from lbc.latency.measurement import Measurement, Result
    from lbc.latency.place import Place
    from lbc.latency.run import Event, Request

DONE, INCOMPLETE, INVALID_INPUT, NO_DEVICE, NO_SERVER, STOPPED = 0, 1, 2, 3, 4, 130

REQUIREMENTS = (
    "2:4 needs an NVIDIA GPU of compute capability 8.0 or higher (A100, H100, RTX 30 or later) and "
    "torch 2.11 to 2.13 with CUDA. To measure on a server, use --host user@server, or "
    "--print-command for a line to paste there. --device cpu measures this CPU, which says nothing "
    "about a GPU."
)


def add_parser(commands: Any) -> None:
    """Add ``latency`` with its subcommands to the commands."""
    latency = commands.add_parser("latency", help="measure sparse and dense latency")
    which = latency.add_subparsers(dest="latency", required=True, metavar="ACTION")
    run = which.add_parser("run", help="measure cases on this machine or a server")
    add_case_choices(run)
    run.add_argument("--tokens", type=int, default=4096, help="number of tokens for transformers")
    run.add_argument(
        "--dtype", action="append", choices=("float16", "bfloat16", "int8", "float32"),
        help="may be repeated (default: bfloat16; float32 on a CPU)",
    )  # fmt: skip
    run.add_argument("--backend", action="append", choices=("cusparselt", "cutlass"))
    run.add_argument("--no-search", action="store_true", help="measure only the default algorithm")
    run.add_argument("--compile", action="store_true", help="also measure torch.compile, dense")
    run.add_argument(
        "--processes", type=int, default=1, metavar="N",
        help="measure in N processes, one after another, and show the larger spread",
    )  # fmt: skip
    run.add_argument("--json", type=Path, metavar="NEW.json", help="write the measurements")
    run.add_argument("--csv", type=Path, metavar="NEW.csv", help="write a table of them")
    run.add_argument(
        "--print-command", action="store_true", help="only print a line to paste on a server"
    )
    latency_estimate.add_parser(which)
    show = which.add_parser("show", help="print measurements from files")
    show.add_argument("files", nargs="+", type=Path, metavar="FILE")
    probe = which.add_parser("probe", help="report what this machine or a server can measure")
    for parser in (run, probe):
        parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu")
        parser.add_argument("--host", default="", metavar="USER@SERVER", help="use ssh to a server")
        parser.add_argument("--python", default="", help="Python with torch (on a server: python3)")


def command(options: argparse.Namespace, errors: Console) -> int:
    """Run a subcommand; return the exit status."""
    from lbc.latency.measurement import MeasurementError

    try:
        match options.latency:
            case "run":
                return _run(options, errors)
            case "estimate":
                return latency_estimate.command(options, errors)
            case "show":
                return _show(options)
            case _:
                return _probe(options, errors)
    except (MeasurementError, ValueError) as error:
        errors.print(str(error))
        return INVALID_INPUT


def _run(options: argparse.Namespace, errors: Console) -> int:
    from lbc.latency.hardware import describe_all
    from lbc.latency.table import print_measurement

    require_new(options.json, "--json")
    require_new(options.csv, "--csv")
    request = _request(options, chosen_cases(options, options.tokens, errors))
    for support in describe_all(case.pattern for case in request.cases):
        errors.print(support)
    if options.print_command:
        print(*request.commands(options.python or "python3"), sep="\n")
        return DONE
    view = _TerminalView(errors, options.json, strict=bool(options.backend))
    measurements = view.measure(request)
    console = Console(soft_wrap=False)
    for measurement in measurements:
        print_measurement(measurement, console)
    written = _write_csv(options.csv, measurements, errors) and view.written
    status = view.status(measurements, len(request.cases))
    return status if written or status != DONE else INCOMPLETE


def _request(options: argparse.Namespace, cases: tuple[Case, ...]) -> Request:
    from lbc.latency.run import Request, Settings

    _check_device(options.device)
    cpu = options.device == "cpu"
    dtypes = ("float32", "bfloat16") if cpu else ("float16", "bfloat16", "int8")
    for dtype in options.dtype or ():
        if dtype not in dtypes:
            what = "A CPU" if cpu else "2:4 on a GPU"
            raise ValueError(f"{what} supports {', '.join(dtypes)}, not {dtype}.")
    if options.backend and cpu:
        raise ValueError("--backend applies only to GPUs: omit it with --device cpu.")
    if options.processes < 1:
        raise ValueError(f"--processes {options.processes} is too few: give 1 or more.")
    more: dict[str, Any] = {"place": _place(options), "processes": options.processes}
    if options.dtype:
        more["dtypes"] = tuple(dict.fromkeys(options.dtype))
    if options.backend:
        more["backends"] = tuple(dict.fromkeys(options.backend))
    more["settings"] = Settings(search=not options.no_search, compile=options.compile)
    return Request.for_device(cases, options.device, **more)


def _check_device(device: str) -> None:
    if re.fullmatch(r"cpu|cuda(:\d{1,3})?", device) is None:
        raise ValueError(f"{device!r} is not a device: write cuda, cuda:1 or cpu.")


def _place(options: argparse.Namespace) -> Place:
    from lbc.latency.place import Place

    return Place(options.host, options.python)


class _TerminalView:
    """Show the progress of a measurement in the terminal.

    ``strict``: the user requested backends, so one that the GPU does not support counts as missing.
    """

    def __init__(self, errors: Console, json: Path | None, strict: bool) -> None:
        self._errors, self._json, self._strict = errors, json, strict
        self.written = True
        self._measured: dict[tuple[str, str], Measurement] = {}
        self._kinds: set[str] = set()
        self._done: set[tuple[str, int]] = set()
        self._cancel = threading.Event()

    def measure(self, request: Request) -> tuple[Measurement, ...]:
        """Measure with a progress bar; SIGINT and SIGTERM stop the worker and keep the results."""
        from lbc.latency.run import measure

        description = TextColumn("{task.description}", markup=False)
        columns = (description, BarColumn(), MofNCompleteColumn())
        total = len(request.cases) * len(request.dtypes) * len(request.backends)
        results: list[tuple[Measurement, ...]] = []
        with Progress(*columns, TimeElapsedColumn(), console=self._errors) as progress:
            task = progress.add_task(f"On {request.place.name}", total=total)

            def emit(event: Event) -> None:
                self._show(event, progress, task, request)

            thread = threading.Thread(
                target=lambda: results.append(measure(request, emit, self._cancel))
            )
            # A second Ctrl-C must not raise KeyboardInterrupt either.
            ends = (signal.SIGINT, signal.SIGTERM)
            before = [signal.signal(end, lambda *_: self._cancel.set()) for end in ends]
            try:
                thread.start()
                while thread.is_alive():
                    thread.join(0.2)
            finally:
                for end, handler in zip(ends, before, strict=True):
                    signal.signal(end, handler)
        return results[0] if results else ()

    def status(self, measurements: tuple[Measurement, ...], cases: int) -> int:
        """Return the exit status; print the requirements if nothing was measured."""
        if self._cancel.is_set():
            return STOPPED
        if not measurements:
            return _status_without_worker(self._kinds, self._errors)
        missing = self._kinds - (set() if self._strict else {"GPU"})
        complete = all(len(measurement.results) == cases for measurement in measurements)
        correct = all(_is_correct(result) for one in measurements for result in one.results)
        return DONE if complete and correct and not missing else INCOMPLETE

    def _save(self, measurement: Measurement) -> None:
        """Write the results so far, so that a long measurement is never lost."""
        from lbc.latency.files import save_measurements

        self._measured[measurement.dtype, measurement.backend] = measurement
        if self._json is None:
            return
        try:
            save_measurements(self._json, tuple(self._measured.values()))
        except OSError as error:
            if self.written:
                self._errors.print(explain(error, f"{self._json} could not be written"))
            self.written = False
        else:
            self.written = True

    def _show(self, event: Event, progress: Progress, task: Any, request: Request) -> None:
        from lbc.latency.run import CaseDone, CaseStarted, LogMessage, WorkerFailed

        match event:
            case CaseStarted():
                progress.update(task, description=request.cases[event.index].name)
            case CaseDone():
                self._done.add((event.measurement.title, event.result.index))
                progress.update(task, completed=len(self._done))
                self._save(event.measurement)
            case WorkerFailed():
                self._kinds.add(event.kind)
                self._errors.print(f"{event.dtype} {event.backend}: {event.message}")
            case LogMessage():
                self._errors.print(f"({event.text})")


def _is_correct(result: Result) -> bool:
    correct = result.status == "measured" and all(time.right for time in result.times)
    return correct and result.sparse() is not None


def _status_without_worker(kinds: set[str], errors: Console) -> int:
    """Return the exit status if no worker started; explain what a usable device is."""
    if kinds & {"connection", "python"}:
        return NO_SERVER
    errors.print(REQUIREMENTS)
    return NO_DEVICE


def _write_csv(path: Path | None, results: tuple[Measurement, ...], errors: Console) -> bool:
    """Write the table of --csv, if any; return False if that failed."""
    from lbc.latency.files import as_csv

    if not path or not results:
        return True
    text = as_csv(results).encode()
    try:
        write_atomically(path, lambda file: file.write(text), follow=True)
    except OSError as error:
        errors.print(explain(error, f"{path} could not be written"))
        return False
    return True


def _show(options: argparse.Namespace) -> int:
    from lbc.latency.files import load_measurements
    from lbc.latency.table import print_measurement

    console = Console(soft_wrap=False)
    for path in options.files:
        for measurement in load_measurements(path):
            print_measurement(measurement, console)
    return DONE


def _probe(options: argparse.Namespace, errors: Console) -> int:
    from lbc.latency.run import Ready, Request, WorkerFailed, measure
    from lbc.latency.table import device_lines

    _check_device(options.device)
    console = Console()
    ready: set[str] = set()
    failed: set[str] = set()

    def emit(event: Event) -> None:
        match event:
            case Ready():
                lines = device_lines(event.measurement.device)
                if not ready:
                    console.print("\n".join(lines))
                ready.add(event.measurement.backend)
                console.print(f"{event.measurement.backend}: ready")
            case WorkerFailed():
                failed.add(event.kind)
                errors.print(f"{event.backend}: {event.message}")

    measure(Request.for_device([], options.device, place=_place(options)), emit)
    return DONE if ready else _status_without_worker(failed, errors)
