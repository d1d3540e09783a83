"""A process that answers like a worker on a GPU, with made-up figures, until it is cancelled."""

from __future__ import annotations

import sys
from pathlib import Path

from lbc.latency.worker import PREFIX

_SCRIPT = """#!{python}
import json, select, sys
job = json.loads(sys.stdin.readline())
def send(kind, **content):
    print({prefix!r} + json.dumps(dict(content, kind=kind)), flush=True)
    if select.select([sys.stdin], [], [], {pause})[0] and sys.stdin.readline():  # "cancel"
        sys.exit(5)
device = dict(kind="cuda", name="NVIDIA H100 (made up)", torch="2.13.0", capability=[9, 0],
              cusparselt=801)
send("hello", schema=1, device=device, backend=job["backend"], dtype=job["dtype"], time=1.0)
for index in range(job["first"], len(job["cases"])):
    case = job["cases"][index]
    send("start", index=index)
    dense = 2 * case["m"] * case["n"] * case["k"] / 500e12 * 1e6 + 8
    times, ratios = [], []
    for mode, more in (("graph", 0), ("eager", 20)):
        for way, is_dense, gain in (("cuBLAS", True, 1.0), ("cuSPARSELt best", False, 1.3)):
            us = dense / gain + more
            times.append(dict(way=way, mode=mode, dense=is_dense, median_us=us, p10_us=0.99 * us,
                              p90_us=1.02 * us, samples=30, right=True, error=1e-3))
        ratio = times[-2]["median_us"] / times[-1]["median_us"]
        ratios.append(dict(way=way, over="cuBLAS", mode=mode, ratio=ratio, low=0.99 * ratio,
                           high=1.01 * ratio))
    named = {{key: case[key] for key in ("name", "m", "n", "k")}}
    send("result", index=index, status="measured", times=times, ratios=ratios, **named)
send("done")
"""


def write_worker(folder: Path, pause: float = 0.0) -> Path:
    """Write an executable to use as Python; it pauses ``pause`` seconds after every line."""
    path = folder / "made_up_worker"
    path.write_text(_SCRIPT.format(python=sys.executable, prefix=PREFIX, pause=pause))
    path.chmod(0o755)
    return path
