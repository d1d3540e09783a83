"""Time and memory of the removal of combinations in a whole network.

    python tests/performance/removal.py --pattern 2:4 --pattern 4:16

Uses ResNet-18 with random per-weight scores for every pattern. Half of all combinations are removed
first, then all but one. Prints JSON; memory is measured only on Linux.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from pathlib import Path
from time import perf_counter, process_time

import torch

from lbc import Pattern, Sparsifier, sparsify
from lbc.models import ResNet18

PATTERNS = ("2:4", "4:8", "4:16")
STATUS = Path("/proc/self/status")


def main() -> None:
    """Measure every requested pattern and print a JSON object."""
    parser = argparse.ArgumentParser(description="Time and memory of one removal, ResNet-18.")
    parser.add_argument("--pattern", action="append", metavar="N:M", help="may be repeated")
    parser.add_argument("--tied", action="store_true", help="all scores equal, as at the start")
    options = parser.parse_args()
    try:
        patterns = [Pattern.parse(text) for text in options.pattern or PATTERNS]
    except ValueError as error:
        parser.error(str(error))
    remove(build_sparsifier(Pattern(1, 2), options.tied), 1)  # loads modules on first use
    report = {
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "tied": options.tied,
        "patterns": [measure(pattern, options.tied) for pattern in patterns],
    }
    print(json.dumps(report, indent=2))


def measure(pattern: Pattern, tied: bool) -> dict[str, object]:
    """Measure one pattern: removal of half of the combinations, then of all but one."""
    sparsifier = build_sparsifier(pattern, tied)
    layers = sparsifier.layers.values()
    return {
        "pattern": str(pattern),
        "scores": sum(layer.blocks for layer in layers) * pattern.count,
        "to_half": remove(sparsifier, -(-pattern.count // 2)),
        "to_one": remove(sparsifier, 1),
    }


def build_sparsifier(pattern: Pattern, tied: bool) -> Sparsifier:
    """Return a ResNet-18 with ``pattern``; its scores are random unless ``tied``."""
    torch.manual_seed(0)
    sparsifier = sparsify(ResNet18(classes=1000), pattern, scores="per_weight")
    if not tied:
        for layer in sparsifier.layers.values():
            torch.nn.init.normal_(layer.score_parameter())
    return sparsifier


def remove(sparsifier: Sparsifier, live: int) -> dict[str, object]:
    """Measure a removal: wall-clock and CPU time, bytes of live bits, and peak memory beyond."""
    gc.collect()
    reset_peak()
    before = memory("VmRSS")
    bits = live_bytes(sparsifier)
    wall, cpu = perf_counter(), process_time()
    sparsifier.remove(live)
    result: dict[str, object] = {
        "live": live,
        "seconds": perf_counter() - wall,
        "processor_seconds": process_time() - cpu,
        "live_bytes": live_bytes(sparsifier),
    }
    if STATUS.exists():
        grown = live_bytes(sparsifier) - bits
        result["peak_bytes_beyond_live_bits"] = memory("VmHWM") - before - grown
    return result


def live_bytes(sparsifier: Sparsifier) -> int:
    """Return the bytes of the packed live sets."""
    return sum(layer.packed.numel() for layer in sparsifier.layers.values())


def reset_peak() -> None:
    """Reset the peak memory of this process in the kernel."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def memory(field: str) -> int:
    """Return a field of this process's status in bytes; 0 except on Linux."""
    if not STATUS.exists():
        return 0
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
