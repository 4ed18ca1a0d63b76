"""gRPC calls by the real generator against grpcio's server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import grpc
import numpy as np
import pytest
from rightsizer.errors import TrialFailed
from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.hosts.trust import Tls
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.samples import Outcome, Samples, read_samples
from rightsizer.schedule import Step, closed_step
from rightsizer.traffic.driver import LocustTraffic

from tests.certificates import make_certificates

from .conftest import Scripted, serving

pytestmark = pytest.mark.server

SERVER = Path(__file__).parent / "servers" / "grpc_scripted.py"
SMALL, LARGE = Body("small", b"x" * 200, ""), Body("large", b"y" * 700_000, "")


@pytest.fixture
def server() -> Iterator[Scripted]:
    with serving(script=SERVER) as found:
        yield found


def calls_read(server: Scripted) -> tuple[int, int]:
    """(calls whose head the server read, different ids among them)"""
    with grpc.insecure_channel(server.url.removeprefix("http://")) as channel:
        heads, ids = channel.unary_unary("/count/heads")(b"").split()
    return int(heads), int(ids)


def request_of(how: str = "echo", *bodies: Body, timeout_s: float = 5.0) -> Request:
    check = ResponseCheck(min_bytes=1)
    path = "/tensorflow.serving.PredictionService/Predict"
    return Request("POST", path, {"How": how}, bodies or (SMALL, LARGE), timeout_s, check, True)


def drive(
    server: Scripted, owner: GuardedOwner, folder: Path, request: Request, *steps: Step,
    tls: Tls | None = None,
) -> tuple[Samples, int]:  # fmt: skip
    """The samples of the steps, and how many connections had to be opened again in the last."""
    with LocustTraffic().open(
        Endpoint(server.url, tls), request, seed=3, trial_dir=folder, owner=owner, cpus=[]
    ) as session:
        for step in steps:
            for _ in session.drive(step):
                pass
    return read_samples(session.sample_files), session.last.health.reopened


def outcomes(samples: Samples) -> dict[Outcome, int]:
    return {Outcome(key): n for key, n in Counter(samples["outcome"].tolist()).items()}


def test_every_call_that_the_server_read_is_a_sample_under_an_id_of_its_own(
    server, owner, tmp_path
):
    steps = [closed_step(0, 3, 1.0), Step(1, "open", 1.5, rate_per_s=60.0)]
    samples, reopened = drive(server, owner, tmp_path, request_of(), *steps)
    assert outcomes(samples) == {Outcome.SUCCEEDED: len(samples)}
    assert calls_read(server) == (len(samples), len(samples))
    assert reopened == 0
    times = ("intended_ns", "start_ns", "sent_ns", "first_byte_ns", "end_ns")
    for before, after in pairwise(times):
        assert (samples[before] <= samples[after]).all()
    assert set(samples["bytes_out"].tolist()) == {200, 700_000}
    assert set(samples["bytes_in"].tolist()) == {104, 107}  # the length as text, and 100 bytes
    assert set(samples["status"].tolist()) == {0}


def test_latency_is_the_servers(server, owner, tmp_path):
    samples, _ = drive(server, owner, tmp_path, request_of("slow", SMALL), closed_step(0, 2, 1.5))
    latency_ms = (samples["end_ns"] - samples["start_ns"]) / 1e6
    assert 200 <= np.median(latency_ms) < 230


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("how", "outcome", "status"),
    [("fail", Outcome.STATUS, 8), ("busy", Outcome.STATUS, 14), ("empty", Outcome.REJECTED, 0)],
)
def test_a_refusal_is_no_invocation_and_the_connection_stands(
    server, owner, tmp_path, how, outcome, status
):
    step = closed_step(0, 2, 0.5)
    samples, reopened = drive(server, owner, tmp_path, request_of(how), step)
    assert outcomes(samples) == {outcome: len(samples)}
    assert set(samples["status"].tolist()) == {status}
    assert reopened == 0


def test_a_call_without_an_answer_ends_at_its_deadline(server, owner, tmp_path):
    request = request_of("never", SMALL, timeout_s=0.4)
    samples, _ = drive(server, owner, tmp_path, request, closed_step(0, 2, 1.0))
    assert set(outcomes(samples)) == {Outcome.TIMED_OUT}
    took_ms = (samples["end_ns"] - samples["start_ns"]) / 1e6
    assert 400 <= took_ms.min() <= took_ms.max() < 500


@pytest.mark.shared_cpus
def test_a_message_above_the_servers_limit_is_refused_with_its_words(server, owner, tmp_path):
    request = request_of("echo", Body("huge", b"z" * 5_000_000, ""))
    with pytest.raises(
        TrialFailed, match="payload huge was refused: gRPC status RESOURCE_EXHAUSTED"
    ):
        LocustTraffic().probe(Endpoint(server.url), request, lambda: None)
    samples, _ = drive(server, owner, tmp_path, request, closed_step(0, 1, 0.5))
    assert set(outcomes(samples)) == {Outcome.STATUS}


@pytest.mark.shared_cpus
def test_a_large_answer_is_read_whole(server, owner, tmp_path):
    samples, _ = drive(server, owner, tmp_path, request_of("large"), closed_step(0, 2, 0.5))
    assert set(samples["bytes_in"].tolist()) == {1_000_000}


@pytest.mark.shared_cpus
def test_over_tls(owner, tmp_path):
    pem = make_certificates(tmp_path)
    keys = [str(pem / name) for name in ("server.pem", "server.key")]
    with serving(*keys, scheme="https", script=SERVER) as server:
        tls = Tls(str(pem / "ca.pem"))
        steps = [Step(n, "open", 0.7, rate_per_s=50.0) for n in range(2)]
        LocustTraffic().probe(Endpoint(server.url, tls), request_of(), lambda: None)
        samples, reopened = drive(server, owner, tmp_path, request_of(), *steps, tls=tls)
    assert outcomes(samples) == {Outcome.SUCCEEDED: len(samples)}
    assert reopened == 0


def test_a_server_that_was_restarted_is_connected_to_again(owner, tmp_path):
    step = Step(0, "open", 0.5, rate_per_s=40.0)
    with ExitStack() as first:
        server = first.enter_context(serving(script=SERVER))
        port = int(server.url.rpartition(":")[2])
        with LocustTraffic().open(
            Endpoint(server.url), request_of(), seed=3, trial_dir=tmp_path, owner=owner, cpus=[]
        ) as session:
            for _ in session.drive(step):
                pass
            assert session.last.health.reopened == 0
            first.close()
            with serving(script=SERVER, port=port) as again:
                for _ in session.drive(replace(step, index=1)):
                    pass
                heads, _ = calls_read(again)
    samples = read_samples(session.sample_files)
    assert outcomes(samples) == {Outcome.SUCCEEDED: len(samples)}
    assert heads == (samples["step"] == 1).sum()
    assert session.last.health.reopened > 0


@pytest.mark.shared_cpus
@pytest.mark.parametrize(
    ("how", "said", "loading"),
    [
        ("fail", "gRPC status RESOURCE_EXHAUSTED, full, 100% ü", False),
        ("busy", "gRPC status UNAVAILABLE, loading", True),
        ("empty", "by the response check: status 0, 0 bytes", False),
    ],
)
def test_a_probe_tells_what_the_server_said(server, how, said, loading):
    with pytest.raises(TrialFailed) as caught:
        LocustTraffic().probe(Endpoint(server.url), request_of(how), lambda: None)
    assert said in str(caught.value.detail)
    assert caught.value.may_be_loading is loading


def test_a_probe_has_a_latency_for_each_payload(server):
    found = LocustTraffic().probe(Endpoint(server.url), request_of(), lambda: None)
    assert set(found) == {"small", "large"}
    assert all(0 < latency_ms < 1000 for latency_ms in found.values())


@pytest.mark.shared_cpus
def test_a_server_that_speaks_no_http2_is_told_of(scripted):
    with pytest.raises(TrialFailed, match="the answer is not gRPC"):
        LocustTraffic().probe(Endpoint(scripted.url), request_of("x", SMALL), lambda: None)


@pytest.mark.shared_cpus
def test_nobody_there_is_told_of():
    with pytest.raises(TrialFailed, match="no connection"):
        LocustTraffic().probe(Endpoint("http://127.0.0.1:9"), request_of(), lambda: None)
