"""One server process a NeuronCore, with a stand-in for the server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

CONTAINERS = Path(__file__).parents[2] / "containers"
SLEEPS = '#!/bin/sh\necho "core $NEURON_RT_VISIBLE_CORES"\nexec sleep 60\n'
ONE_FAILS = '#!/bin/sh\n[ "$NEURON_RT_VISIBLE_CORES" = 1 ] && exit 7\nexec sleep 60\n'

Start = Callable[[str, str], subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the script for these cores with this stand-in."""
    for name in ("tensorflow-serving/entrypoint.sh", "tensorflow-serving-neuron/neuron.sh"):
        shutil.copy(CONTAINERS / name, tmp_path)
    (tmp_path / "model" / "m" / "1").mkdir(parents=True)
    started = []

    def run(cores: str, stand_in: str) -> subprocess.Popen[str]:
        server = tmp_path / "tensorflow_model_server_neuronx"
        server.write_text(stand_in)
        server.chmod(0o755)
        process = subprocess.Popen(
            ["/bin/sh", str(tmp_path / "neuron.sh")],
            env={
                "PATH": os.environ["PATH"],
                "TF_SERVING_BINARY": str(server),
                "MODEL_BASE_PATH": str(tmp_path / "model"),
                "NEURON_RT_VISIBLE_CORES": cores,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(("cores", "seen"), [("0-2", {"0", "1", "2"}), ("1,3", {"1", "3"})])
def test_each_core_has_a_process_of_its_own_and_all_end_with_the_container(start, cores, seen):
    process = start(cores, SLEEPS)
    assert {process.stdout.readline().strip() for _ in seen} == {f"core {core}" for core in seen}
    process.terminate()
    assert process.wait(20) == 0
    # Its output ends only when nobody holds it any more.
    assert process.stdout.read() == ""


def test_when_one_process_ends_all_do_and_its_status_is_told(start):
    process = start("0,1", ONE_FAILS)
    assert process.wait(20) == 7
    assert "ended with status 7" in process.stderr.read()


def test_cores_that_mean_nothing_end_the_start_with_one_line(start):
    process = start("all", SLEEPS)
    assert process.wait(20) == 1
    assert process.stderr.read().count("\n") == 1
