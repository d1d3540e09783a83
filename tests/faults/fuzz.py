"""Changed copies of valid files for every reader, of which each must be read or refused.

A reader may raise its own error, with one sentence, and nothing else. It must not take more than
``LARGEST_GROWTH`` of memory beyond what its process has, nor more than ``SECONDS`` of processor
time, nor start anything. Every input is made from its reader's name, the seed and a number, so that
it can be made again. Prints a table and JSON.

    QT_QPA_PLATFORM=offscreen python -m tests.faults.fuzz --inputs 1000000
    python -m tests.faults.fuzz --reader onnx --inputs 10000 --findings /tmp/found
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType

os.environ["OMP_NUM_THREADS"] = "1"

from tests.faults.mutations import mutate
from tests.faults.reader import Reader
from tests.faults.readers import READERS, write_everything

LARGEST_GROWTH = 512 << 20
SECONDS, WAIT_SECONDS = 2, 120
"""Of the processor, and on the clock: a reader that waits for something never ends."""

STARTS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"}
CORPUS = Path(__file__).with_name("corpus")
LARGEST_KEPT = 6_500
COUNTS = struct.Struct("<qqq")
"""The number of the input that is being read, and of those read and refused."""


@dataclass
class Tally:
    """What became of the inputs of one reader; ``findings`` says what went wrong, by place."""

    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    peak_mb: int = 0
    findings: dict[str, tuple[int, str]] = field(default_factory=dict)
    sites: dict[str, int] = field(default_factory=dict)


class Inputs:
    """The inputs of a reader, by their numbers."""

    def __init__(self, name: str, reader: Reader, folder: Path, seed: int) -> None:
        self._name, self._reader, self._seed = name, reader, seed
        self._valid = [bytes(one) for one in reader.seeds(folder)]

    def make(self, number: int) -> bytes:
        """Input ``number``; the first ones are the valid files themselves."""
        if number < len(self._valid):
            return self._valid[number]
        chance = Random(f"{self._name} {self._seed} {number}")
        whole, words = chance.choice(self._valid), self._reader.words
        inside = self._reader.inside
        if inside is not None and chance.random() < 0.7:
            return inside(whole, chance, lambda data: mutate(data, chance, words, self._valid))
        return mutate(whole, chance, words, self._valid)


def check(reader: Reader, file: Path, data: bytes) -> str:
    """Read one input: "" if that succeeds, or where it was refused; raises whatever is wrong."""
    file.write_bytes(data)
    try:
        reader.read(file)
    except reader.refusals as error:
        if "\n" in str(error) and not hasattr(error, "problems"):
            raise ValueError(f"Not one sentence: {error}") from error
        return _site(error.__cause__ or error)
    return ""


def _site(error: BaseException) -> str:
    """The kind of an error, and the innermost line of ours that raised it."""
    at: TracebackType | None = error.__traceback__
    where = "?"
    while at is not None:
        name = at.tb_frame.f_code.co_filename
        if "/lbc/" in name or "/lbc_gui/" in name:
            where = f"{name.rpartition('/')[2]}:{at.tb_lineno}"
        at = at.tb_next
    return f"{type(error).__name__} {where}"


def _limit(reader: Reader, file: Path, valid: bytes) -> None:
    """Bound this process, once everything has been imported that the reader needs."""
    warnings.simplefilter("ignore")
    os.nice(5)
    check(reader, file, valid)
    sys.addaudithook(_refuse_to_start)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + LARGEST_GROWTH,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _refuse_to_start(event: str, arguments: tuple[object, ...]) -> None:
    if event in STARTS:
        raise SystemError(f"{event} was called with {arguments!r}")


def _work(
    reader: Reader,
    inputs: Inputs,
    file: Path,
    shared: mmap.mmap,
    last: int,
    end: float,
    report: int,
) -> None:
    """Read inputs from the number in ``shared`` on, until ``last`` or the time ``end``."""
    _limit(reader, file, inputs.make(0))
    number, read, refused = COUNTS.unpack_from(shared)
    sites, longest = dict[str, int](), 0.0
    while number < last and time.monotonic() < end:
        data = inputs.make(number)
        COUNTS.pack_into(shared, 0, number, read, refused)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WAIT_SECONDS)
        began = time.process_time()
        try:
            site = check(reader, file, data)
        except BaseException as error:
            text = "".join(traceback.format_exception(error)[-6:])
            _tell(report, "finding", _site(error), number, text)
            site = ""
        longest = max(longest, time.process_time() - began)
        refused, read = refused + bool(site), read + (not site)
        if site and len(data) < sites.get(site, LARGEST_KEPT):
            sites[site] = len(data)
            _tell(report, "site", site, number, "")
        number += 1
    signal.setitimer(signal.ITIMER_PROF, 0)
    COUNTS.pack_into(shared, 0, number, read, refused)
    peak = resource.getrusage(resource.RUSAGE_SELF)
    seconds = peak.ru_utime + peak.ru_stime
    _tell(report, "peak", f"{seconds} {longest}", peak.ru_maxrss >> 10, "")


def _tell(report: int, *what: object) -> None:
    os.write(report, (json.dumps(what) + "\n").encode())


def fuzz(reader: Reader, inputs: Inputs, folder: Path, count: int, seconds: float) -> Tally:
    """Read ``count`` inputs, or as many as ``seconds`` allow, in processes that may die."""
    tally = Tally()
    file = folder / reader.file
    shared = mmap.mmap(-1, COUNTS.size)
    end = time.monotonic() + seconds
    log = folder / "report.jsonl"
    log.write_bytes(b"")
    while True:
        process = os.fork()
        if not process:
            try:
                report = os.open(log, os.O_WRONLY | os.O_APPEND)
                _work(reader, inputs, file, shared, count, end, report)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        status = os.waitpid(process, 0)[1]
        number, read, refused = COUNTS.unpack_from(shared)
        if not os.WIFSIGNALED(status):
            if status:
                raise RuntimeError("Making an input, or reading a valid one, has failed.")
            break
        name = signal.Signals(os.WTERMSIG(status)).name
        tally.findings.setdefault(f"{name} (input {number})", (number, name))
        COUNTS.pack_into(shared, 0, number + 1, read + 1, refused)
    tally.read, tally.refused = read, refused
    for line in log.read_text().splitlines():
        kind, what, number, text = json.loads(line)
        if kind == "peak":
            tally.seconds, tally.longest = map(float, what.split())
            tally.peak_mb = number
        elif kind == "site":
            tally.sites[what] = number  # the last is the smallest
        else:
            tally.findings.setdefault(what, (number, text))
    return tally


def outcome(reader: Reader, file: Path, data: bytes) -> str:
    """What reading does, in a process of its own: "" or the place of what went wrong."""
    told, tell = os.pipe()
    process = os.fork()
    if not process:
        found = ""
        try:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            check(reader, file, data)
        except BaseException as error:
            found = _site(error)
        os.write(tell, found.encode())
        os._exit(0)
    os.close(tell)
    with os.fdopen(told) as pipe:
        found = pipe.read()
    status = os.waitpid(process, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else found


def minimise(reader: Reader, file: Path, data: bytes, attempts: int = 150) -> bytes:
    """A part of ``data`` with the same outcome."""
    wanted, size = outcome(reader, file, data), max(1, len(data) // 2)
    while wanted and size and attempts:
        at = 0
        while at < len(data) and attempts:
            attempts -= 1
            shorter = data[:at] + data[at + size :]
            if outcome(reader, file, shorter) == wanted:
                data = shorter
            else:
                at += size
        size //= 2
    return data


def keep(reader: Reader, name: str, inputs: Inputs, numbers: Sequence[int], folder: Path) -> None:
    """Write inputs into a corpus, named after their content."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number in numbers:
        data = inputs.make(number)
        if len(data) <= LARGEST_KEPT:
            digest = hashlib.sha256(data).hexdigest()[:12]
            (folder / name / f"{digest}{Path(reader.file).suffix}").write_bytes(data)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--reader", action="append", choices=READERS, help="by default all")
    parser.add_argument("--inputs", type=int, default=20_000, help="of all readers together")
    parser.add_argument("--each", type=int, help="inputs of each reader, instead")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most, for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, help="folder for minimised inputs that fail")
    parser.add_argument("--corpus", type=Path, help="folder for one input of each refusal")
    return parser.parse_args()


def main() -> int:
    options = _options()
    names = options.reader or list(READERS)
    shares = sum(READERS[name].share for name in names)
    tallies: dict[str, Tally] = {}
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    print("| reader | inputs | read | refused | findings | processor s | longest s | peak MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory(dir=base) as place:
        os.environ["XDG_STATE_HOME"] = os.environ["XDG_CACHE_HOME"] = place
        valid = Path(place) / "valid"
        valid.mkdir()
        write_everything(valid)
        for name in names:
            reader, folder = READERS[name], Path(place) / "now"
            shutil.copytree(valid, folder)
            inputs = Inputs(name, reader, folder, options.seed)
            count = options.each or round(options.inputs * reader.share / shares)
            tally = tallies[name] = fuzz(reader, inputs, folder, count, options.seconds)
            done = tally.read + tally.refused
            print(
                f"| {name} | {done:,} | {tally.read:,} | {tally.refused:,} | "
                f"{len(tally.findings)} | {tally.seconds:.1f} | "
                f"{tally.longest:.2f} | {tally.peak_mb} |",
                flush=True,
            )
            _write_findings(options, name, reader, inputs, tally, folder)
            if options.corpus:
                keep(reader, name, inputs, list(tally.sites.values()), options.corpus)
            shutil.rmtree(folder)
    inputs_read = sum(one.read + one.refused for one in tallies.values())
    findings = {
        name: {place: text for place, (_, text) in one.findings.items()}
        for name, one in tallies.items()
        if one.findings
    }
    print(json.dumps({"benchmark": "fuzz", "inputs": inputs_read, "findings": findings}, indent=1))
    return int(bool(findings))


def _write_findings(
    options: argparse.Namespace,
    name: str,
    reader: Reader,
    inputs: Inputs,
    tally: Tally,
    folder: Path,
) -> None:
    if not (options.findings and tally.findings):
        return
    at = options.findings / name
    at.mkdir(parents=True, exist_ok=True)
    for place, (number, text) in tally.findings.items():
        data = minimise(reader, folder / reader.file, inputs.make(number))
        digest = hashlib.sha256(data).hexdigest()[:12]
        (at / f"{digest}{Path(reader.file).suffix}").write_bytes(data)
        print(f"{name}: {place}, input {number}\n{text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
