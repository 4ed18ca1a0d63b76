"""`rightsizer measure` against real servers, good and rude: the document whatever happens."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .conftest import SCRIPTED, command, wait_until_none

pytestmark = pytest.mark.server

RUDE = Path(__file__).with_name("rude.py")
QUICK = ("--traffic", "users:2", "--duration-s", 3)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Start a server of that kind, `good` or one of rude.py's; its port. Ended with the test."""
    # Without the store's variable, by which the engine's own processes are told apart.
    own = {key: value for key, value in os.environ.items() if key != "RIGHTSIZER_STORE"}
    with ExitStack() as stack:

        def start(kind: str) -> int:
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = int(free.getsockname()[1])
            script = [SCRIPTED, port] if kind == "good" else [RUDE, port, kind]
            process = subprocess.Popen([sys.executable, *map(str, script)], env=own, cwd="/")
            stack.callback(process.wait)
            stack.callback(process.kill)
            return port

        yield start


@pytest.fixture
def measured(tmp_path: Path, rightsizer):
    """The verb's exit code and document."""
    (tmp_path / "body.json").write_text('{"a": 1}')

    def run(url: str, *arguments: object) -> tuple[int, dict]:
        payload = ("--payload", tmp_path / "body.json")
        done = rightsizer("measure", url, *payload, "--json", "-", *arguments)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def test_users_a_rate_and_saturation_of_a_good_server(started, measured, tmp_path):
    url = f"http://127.0.0.1:{started('good')}/slow?ms=20"
    code, users = measured(url, *QUICK, "--limit-ms", 500)
    assert (code, users["verdict"], users["basis"]) == (0, "valid", "closed")
    assert users["max_invocations_per_min"] is None
    assert users["invocations_per_min"] > 500
    assert users["requests"]["succeeded"] == users["requests"]["attempted"] > 20
    assert [step["users"] for step in users["steps"]] == [2]
    assert list(Path(users["samples"]).glob("*.bin"))

    code, rate = measured(url, "--traffic", "rate:20:constant", "--duration-s", 5)
    assert (code, rate["verdict"], rate["basis"]) == (0, "valid", "open")
    assert [step["rate_per_s"] for step in rate["steps"]] == [20]
    assert rate["requests"]["attempted"] == 100

    code, full = measured(url, "--traffic", "saturate", "--budget-s", 8, "--target", 20_000)
    assert (code, full["verdict"], full["basis"]) == (0, "valid", "closed")
    assert full["max_invocations_per_min"] > 1000
    assert full["fleet"]["instance_count"] >= 1
    assert full["doubts"] is not None
    assert {"no-price", "server-elsewhere"}.isdisjoint(d["code"] for d in full["doubts"])
    assert wait_until_none(tmp_path / "store", 2.0) == []


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a CPU for each of two workers")
def test_two_workers_share_the_traffic_as_one_would_have_sent_it(started, measured, tmp_path):
    url = f"http://127.0.0.1:{started('good')}/"
    traffic = ("--traffic", "rate:40", "--duration-s", 3, "--seed", 5)
    codes, attempted = set(), set()
    for workers in (1, 2):
        code, document = measured(url, *traffic, "--workers", workers)
        codes.add(code)
        attempted.add(document["requests"]["attempted"])
        logs = {path.name for path in Path(document["samples"]).glob("generator*.log")}
        assert len(logs) == workers
    assert codes == {0}
    assert len(attempted) == 1


def test_a_search_is_open_and_has_a_maximum_or_says_why_not(started, measured):
    url = f"http://127.0.0.1:{started('good')}/slow?ms=20"
    code, document = measured(url, "--limit-ms", 200, "--budget-s", 20, "--target", 60_000)
    assert document["basis"] == "open"
    assert document["unloaded_latency_ms"] >= 20
    offered = [step for step in document["steps"] if step["mode"] == "open"]
    assert offered
    assert all(step["n"] > 10 for step in offered)
    if document["verdict"] == "valid":
        assert code == 0
        assert document["max_invocations_per_min"] > 600
        assert document["fleet"]["instance_count"] >= 1
    else:
        # so short a budget may not do on a busy machine, but then it says so
        assert code in (6, 7)
        assert document["max_invocations_per_min"] is None
        assert document["doubts"][0]["severity"] == "blocks"


def test_a_limit_below_the_servers_own_time_is_exit_code_7_with_a_sensible_one(started, measured):
    url = f"http://127.0.0.1:{started('good')}/slow?ms=20"
    traffic = ("--traffic", "users:1", "--duration-s", 3)
    code, document = measured(url, *traffic, "--limit-ms", 5)
    assert (code, document["verdict"]) == (7, "limit-unmet")
    doubt = document["doubts"][0]
    assert doubt["code"] == "limit-below-floor"
    assert doubt["figures"]["floor_ms"] >= 20
    assert doubt["figures"]["smallest_sensible_limit_ms"] > doubt["figures"]["floor_ms"]


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("garbage", "the answer is not HTTP"),
        ("hangup", "the answer is not HTTP, or was cut off"),
        ("redirect", "/elsewhere; redirects are not followed: measure the address that it points"),
        ("endless", "no answer within 1 s"),
        ("slow", "no answer within 1 s"),
    ],
)
def test_a_rude_server_is_invalid_with_the_whole_document(started, measured, kind, said):
    url = f"http://127.0.0.1:{started(kind)}/x"
    code, document = measured(url, *QUICK, "--timeout-s", 1)
    assert (code, document["verdict"]) == (6, "invalid")
    doubt = document["doubts"][0]
    assert (doubt["code"], doubt["severity"]) == ("probe-refused", "blocks")
    assert said in f"{doubt['message']}; {doubt['next_step']}"
    assert document["requests"]["attempted"] == 0
    assert document["invocations_per_min"] == 0
    assert document["max_invocations_per_min"] is None


@pytest.mark.shared_cpus
def test_a_server_that_speaks_no_tls_is_told_so(started, measured):
    code, document = measured(f"https://127.0.0.1:{started('good')}/ok", *QUICK)
    assert (code, document["verdict"]) == (6, "invalid")
    doubt = document["doubts"][0]
    assert doubt["code"] == "probe-refused"
    assert "SSL" in doubt["message"]
    assert "use http" in doubt["next_step"]


@pytest.mark.shared_cpus
@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://no-such-host.invalid/"])
def test_an_address_where_nobody_answers_is_unreachable(measured, url):
    code, document = measured(url, *QUICK)
    assert (code, document["verdict"]) == (6, "invalid")
    assert document["doubts"][0]["code"] == "unreachable"


@pytest.mark.shared_cpus
def test_a_status_is_told_with_the_servers_own_words(started, measured):
    code, document = measured(f"http://127.0.0.1:{started('good')}/status?code=422", *QUICK)
    assert code == 6
    assert "status 422, as you wish" in document["doubts"][0]["message"]


def test_text_goes_to_standard_output_and_progress_to_standard_error(started, rightsizer, tmp_path):
    (tmp_path / "body.json").write_text("{}")
    url = f"http://127.0.0.1:{started('good')}/slow?ms=10"
    target = tmp_path / "out.json"
    done = rightsizer("measure", url, "--payload", tmp_path / "body.json", *QUICK, "--json", target)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    document = json.loads(target.read_text())
    assert lines[0] == f"samples in {document['samples']}"
    assert lines[2].startswith("Load ")
    assert lines[3].startswith("2 users ")
    assert lines[-1].startswith(f"At 2 users {url} completed ")
    assert f"trial 1/1  {url}: waiting for it" in done.stderr
    assert "starting the server" not in done.stderr


def test_an_archives_payloads_are_measured_apart(started, measured, tmp_path, rightsizer):
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    archive = tmp_path / "two.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", tmp_path, "a.json", "b.json"], check=True)
    url = f"http://127.0.0.1:{started('good')}/ok"
    done = rightsizer("measure", url, "--payload", archive, *QUICK, "--json", "-")
    [step] = json.loads(done.stdout)["steps"]
    assert set(step["by_payload"]) == {"a.json", "b.json"}


@pytest.mark.shared_cpus
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_the_document_and_nothing_left(started, tmp_path, number, code):
    (tmp_path / "body.json").write_text("{}")
    url = f"http://127.0.0.1:{started('good')}/slow?ms=20"
    options = ["--payload", str(tmp_path / "body.json"), "--traffic", "users:2", "--json", "-"]
    process = subprocess.Popen(
        [*command(), "measure", url, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if "server ready" in line:
                break
        time.sleep(3.0)
        os.kill(process.pid, number)
        out, _ = process.communicate(timeout=30)
    assert process.returncode == code
    document = json.loads(out)
    assert document["requests"]["succeeded"] > 10
    assert "step-cut-short" in [d["code"] for step in document["steps"] for d in step["doubts"]]
    assert wait_until_none(tmp_path / "store", 5.0) == []
