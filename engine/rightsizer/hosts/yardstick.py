"""How fast a machine's CPUs and memory are at the moment: what tells two days of a host apart.

A process of its own, held to the server's CPUs before there is a server, hashes and copies by turns
and says what it got done. It ends by itself, also when the engine is gone.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from rightsizer.hosts.records import Calibration

USUAL_S = 5.0
USUAL_FROM_S = 15.0
"""Of traffic: a shorter trial is a try, and is not to be mostly calibration."""
SHARE_OF_SHORTER = 1 / 12
GRACE_S = 10.0
SLICES = 10
PROGRAM = """
import hashlib, os, statistics, sys, time
slice_s, cpus = float(sys.argv[1]), [int(cpu) for cpu in sys.argv[2].split(",") if cpu]
if cpus and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, cpus)
block, source, target = bytes(1 << 14), bytearray(1 << 25), bytearray(1 << 25)
def rate(work, amount):
    begin = time.perf_counter(); done = 0
    while (now := time.perf_counter()) < begin + slice_s:
        work(); done += amount
    return done / (now - begin)
def copy():
    target[:] = source
hashed, copied = [], []
for _ in range(int(sys.argv[3])):
    hashed.append(rate(lambda: hashlib.sha256(block).digest(), len(block)))
    copied.append(rate(copy, len(source)))
print(statistics.median(hashed), statistics.median(copied))
"""


def calibrate(cpus: Sequence[int], duration_s: float) -> Calibration | None:
    """What one thread on one of `cpus` does in `duration_s`; None where that cannot be told."""
    slice_s = duration_s / (2 * SLICES)
    argv = [sys.executable, "-I", "-S", "-c", PROGRAM, str(slice_s), ",".join(map(str, cpus))]
    argv.append(str(SLICES))
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=duration_s + GRACE_S, check=True
        )
        hashed, copied = map(float, done.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Calibration(hashed, copied, duration_s)


def length_s(traffic_s: float) -> float:
    """How long to calibrate before so much traffic."""
    return USUAL_S if traffic_s >= USUAL_FROM_S else SHARE_OF_SHORTER * traffic_s
