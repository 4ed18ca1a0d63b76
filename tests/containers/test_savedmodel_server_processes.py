"""How the server's processes begin and end."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from .serving import Server, run_to_end, serving

pytestmark = [pytest.mark.server, pytest.mark.shared_cpus]

TWO = {"SAGEMAKER_TFS_INSTANCE_COUNT": "2"}
END_TIMEOUT_S = 5.0


def children(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all end in time."""
    _, alive = psutil.wait_procs(processes, END_TIMEOUT_S)
    return not alive


@pytest.mark.tensorflow
def test_two_instances_share_the_connections_and_one_count(models: Path, tmp_path: Path):
    with serving(models, tmp_path / "log", "--model-name", "tiny", **TWO) as server:
        pids = {server.get("/stats").document["pid"] for _ in range(8)}
        assert pids == {child.pid for child in children(server)}
        assert len(pids) == 2
        for _ in range(6):
            assert server.post("/invocations", {"instances": [[1.0, 2.0]]}).status == 200
        counts = [server.get("/stats").document for _ in range(2)]
        assert {count["pid"] for count in counts} == pids
        assert [count["requests"] for count in counts] == [6, 6]
        assert [count["in_flight"] for count in counts] == [0, 0]


@pytest.mark.tensorflow
def test_sigterm_ends_all_instances_quickly(models: Path, tmp_path: Path):
    with serving(models, tmp_path / "log", "--model-name", "tiny", **TWO) as server:
        processes = children(server)
        began_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(END_TIMEOUT_S) == 128 + signal.SIGTERM
        assert gone(processes)
        assert time.monotonic() - began_s < END_TIMEOUT_S


@pytest.mark.tensorflow
def test_a_killed_parent_takes_its_instances_with_it(models: Path, tmp_path: Path):
    with serving(models, tmp_path / "log", "--model-name", "tiny", **TWO) as server:
        processes = children(server)
        server.process.kill()
        assert gone(processes)


@pytest.mark.tensorflow
def test_a_dead_instance_ends_the_server(models: Path, tmp_path: Path):
    with serving(models, tmp_path / "log", "--model-name", "tiny", **TWO) as server:
        first, *_ = processes = children(server)
        first.kill()
        assert server.process.wait(END_TIMEOUT_S) == 1
        assert gone(processes)
        assert f"process {first.pid} ended" in server.log.read_text()


@pytest.mark.tensorflow
def test_sigterm_ends_a_single_process_quickly(models: Path, tmp_path: Path):
    with serving(models / "echo", tmp_path / "log") as server:
        assert not children(server)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(END_TIMEOUT_S) in (0, -signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.parametrize("instances", ["1", "2"])
def test_a_taken_port_is_known_before_the_model_is_loaded(tmp_path: Path, instances: str):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        variables = {"SAGEMAKER_TFS_INSTANCE_COUNT": instances}
        done = run_to_end(tmp_path, port=port, **variables)
    assert done.returncode == 1
    assert done.stderr == (
        f"savedmodel-server: cannot listen on 127.0.0.1 port {port}: Address already in use; "
        "choose another --port\n"
    )


def test_a_folder_without_a_model_is_refused_in_a_line(tmp_path: Path):
    done = run_to_end(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"savedmodel-server: no model in {tmp_path}: expected ")
    assert done.stderr.count("\n") == 1


def test_a_meaningless_variable_is_refused_in_a_line(tmp_path: Path):
    done = run_to_end(tmp_path, SAGEMAKER_TFS_ENABLE_BATCHING="yes")
    assert done.returncode == 1
    assert done.stderr == (
        "savedmodel-server: SAGEMAKER_TFS_ENABLE_BATCHING is 'yes': give 'true' or 'false', "
        "or unset it\n"
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize("instances", ["1", "2"])
def test_a_model_that_cannot_be_read_is_refused_in_a_line(tmp_path: Path, instances: str):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"no protocol buffer")
    done = run_to_end(tmp_path, SAGEMAKER_TFS_INSTANCE_COUNT=instances)
    assert done.returncode == 1
    assert done.stderr.startswith(f"savedmodel-server: cannot read {tmp_path}/1/saved_model.pb: ")
    assert done.stderr.count("\n") == 1
