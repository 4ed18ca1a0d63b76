"""Servers that misbehave: each a result with its reason, and nothing left running."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from .conftest import SCRIPTED, started_for, wait_until_none

pytestmark = pytest.mark.server


CALM = "{type: rate, per_s: 50, arrivals: constant, duration_s: 3}"
"""What answers at once would be asked by users as fast as two CPUs can: on a rented machine that is
when others' load shows, and spoils the measurement."""


def measured(rightsizer, job: Path) -> tuple[int, dict, dict]:
    done = rightsizer("run", job, "--json", "-")
    document = json.loads(done.stdout)
    [trial] = document["trials"]
    return done.returncode, document, trial


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("source", "reason", "detail"),
    [
        ("import sys; sys.exit('no model here')", "exited-at-start", "exit code 1"),
        ("import time; time.sleep(600)", "never-ready", "within 1.5 s"),
    ],
)
def test_a_server_that_does_not_start(tmp_path, write_job, rightsizer, source, reason, detail):
    server = tmp_path / "server.py"
    server.write_text(source)
    job = write_job(server=server)
    if reason == "never-ready":
        job.write_text(job.read_text().replace("ready_timeout_s: 20", "ready_timeout_s: 1.5"))
    code, document, trial = measured(rightsizer, job)
    assert code == 6
    assert (trial["state"], trial["reason"]) == ("failed", reason)
    assert detail in trial["detail"]
    assert document["rejected"][0]["reason"] == reason
    if reason == "exited-at-start":
        assert trial["log_tail"] == "no model here"
    assert wait_until_none(tmp_path, 2.0) == []


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/status?code=404", "status 404, as you wish"),
        ("/status?code=500", "status 500, as you wish"),
        ("/never", "no answer within 2 s"),
    ],
)
def test_a_server_that_refuses_the_probe(write_job, rightsizer, path, said):
    code, _, trial = measured(rightsizer, write_job(path=path))
    assert code == 6
    assert (trial["state"], trial["reason"]) == ("failed", "probe-refused")
    assert said in trial["detail"]
    assert trial["requests"]["attempted"] == 0


def test_an_empty_answer_is_refused_where_the_check_forbids_it(write_job, rightsizer):
    job = write_job(path="/empty", traffic=CALM)
    code, _, trial = measured(rightsizer, job)
    assert (code, trial["state"]) == (0, "succeeded")
    job.write_text(
        job.read_text().replace("protocol: raw", "protocol: raw\n  response: {min_bytes: 1}")
    )
    code, _, trial = measured(rightsizer, job)
    assert (code, trial["reason"]) == (6, "probe-refused")
    assert "0 bytes" in trial["detail"]


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGKILL, "crashed"), (signal.SIGSTOP, "hung")]
)
def test_a_server_that_dies_or_hangs_mid_step(tmp_path, write_job, rightsizer, number, reason):
    def strike() -> None:
        while not strikes:
            time.sleep(0.2)
            ready = (tmp_path / "store").glob("jobs/*/*/samples-0.bin")
            if any(path.stat().st_size for path in ready):
                for process in started_for(tmp_path):
                    if str(SCRIPTED) in process.cmdline():
                        os.kill(process.pid, number)
                        strikes.append(process.pid)

    strikes: list[int] = []
    job = write_job(path="/ok", traffic="{type: users, users: 2, duration_s: 30}")
    job.write_text(job.read_text().replace("{server}", str(SCRIPTED)))
    # The scripted server stands outside the test's folder: its name in the command finds it.
    job.write_text(
        job.read_text()
        .replace(f'"{SCRIPTED}", ', f'"{SCRIPTED}", ')
        .replace('"{port}"]', f'"{{port}}", "{tmp_path}"]')
    )
    thread = threading.Thread(target=strike)
    thread.start()
    try:
        code, _, trial = measured(rightsizer, job)
    finally:
        strikes.append(0)
        thread.join()
    assert code == 6
    assert (trial["state"], trial["reason"]) == ("failed", reason)
    requests = trial["requests"]
    assert requests["succeeded"] > 10
    assert requests["attempted"] == sum(
        requests[key] for key in ("succeeded", "failed", "timed_out", "unfinished")
    )
    assert wait_until_none(tmp_path, 5.0) == []


LOADING = """
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
BEGIN = time.monotonic()
class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(0.01)
        self.send_response(200 if time.monotonic() - BEGIN > 2 else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args):
        pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_raw_server_is_ready_when_it_answers_its_first_probe(tmp_path, write_job, rightsizer):
    server = tmp_path / "server.py"
    server.write_text(LOADING)
    job = write_job(server=server, traffic=CALM)
    job.write_text(job.read_text().replace("  ready_path: /count\n", ""))
    code, _, trial = measured(rightsizer, job)
    assert (code, trial["state"]) == (0, "succeeded")


@pytest.mark.shared_cpus
def test_a_secret_that_a_server_answers_or_prints_is_told_nobody(
    tmp_path, write_job, rightsizer, monkeypatch
):
    monkeypatch.setenv("MY_TOKEN", "hunter2-hunter2")
    server = tmp_path / "server.py"
    server.write_text(
        LOADING.replace("import sys, time", "import os, sys, time")
        .replace("BEGIN =", "print(os.environ['TOKEN'], flush=True)\nBEGIN =")
        .replace("200 if time.monotonic() - BEGIN > 2 else 503", "500, os.environ['TOKEN']")
    )
    job = write_job(server=server)
    text = job.read_text().replace(
        "  ready_path: /count\n", "  environment: {TOKEN: {secret: MY_TOKEN}}\n"
    )
    job.write_text(text.replace("path: ", "method: POST, path: "))
    done = rightsizer("run", job, "--json", tmp_path / "out.json")
    assert done.returncode == 6
    assert "***" in (tmp_path / "out.json").read_text()
    said = [done.stdout.encode(), done.stderr.encode()]
    said += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in said if b"hunter2" in text]


def breaking(after_s: float, how: str) -> str:
    """A server that works for so long of its traffic, whenever that begins."""
    return LOADING.replace("BEGIN = time.monotonic()", "ASKED = []").replace(
        "        self.send_response(200 if time.monotonic() - BEGIN > 2 else 503)\n",
        "        status = 200\n"
        "        ASKED.append(time.monotonic())\n"
        # The first request is the probe.
        f"        if ASKED[-1] - ASKED[:2][-1] > {after_s}:\n            {how}\n"
        "        self.send_response(status)\n",
    )


@pytest.mark.shared_cpus
@pytest.mark.parametrize("reason", ["hung", "errors"])
def test_a_server_that_stops_working_after_its_first_step(tmp_path, write_job, rightsizer, reason):
    server = tmp_path / "server.py"
    how = "time.sleep(3600)" if reason == "hung" else "status = 500"
    server.write_text(breaking(12, how))
    traffic = "{type: stairs, users_per_step: 1, steps: 3, duration_s: 30}"
    job = write_job(server=server, traffic=traffic)
    job.write_text(job.read_text().replace("  ready_path: /count\n", ""))
    code, document, trial = measured(rightsizer, job)
    assert (code, trial["state"], trial["reason"]) == (6, "failed", reason)
    assert document["recommendations"] == []
    assert trial["requests"]["succeeded"] > 300


@pytest.mark.shared_cpus
def test_a_hang_near_the_end_of_a_step_is_not_taken_for_a_slow_second(
    tmp_path, write_job, rightsizer
):
    server = tmp_path / "server.py"
    server.write_text(breaking(6, "time.sleep(3600)"))
    job = write_job(server=server, traffic="{type: users, users: 1, duration_s: 8}")
    job.write_text(job.read_text().replace("  ready_path: /count\n", ""))
    code, document, trial = measured(rightsizer, job)
    assert (code, trial["state"], trial["reason"]) == (6, "failed", "hung")
    assert "afterwards" in trial["detail"]
    assert trial["requests"]["succeeded"] > 100
    assert document["recommendations"] == []
