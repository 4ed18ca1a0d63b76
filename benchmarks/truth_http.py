"""The packaged truth server as benchmarks start it; see `rightsizer.instrument.truth_server`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

MODULE = "rightsizer.instrument.truth_server"


@contextmanager
def serving(arguments: Sequence[str], cpus: Sequence[int]) -> Iterator[str]:
    """The URL of a truth server held to some CPUs; its log is there afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", MODULE, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()
        process.wait(30)
    finally:
        process.kill()
        process.communicate()
