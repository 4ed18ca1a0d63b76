"""TLS with an authority and a client certificate of one's own: readiness, probes and traffic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rightsizer.errors import InputError, TrialFailed
from rightsizer.hosts.base import Endpoint
from rightsizer.hosts.control import why_not_ready
from rightsizer.hosts.owner import GuardedOwner
from rightsizer.hosts.trust import Tls, trust_of
from rightsizer.preparation import require_usable, tls_of
from rightsizer.protocols import Body, Request, ResponseCheck
from rightsizer.samples import Outcome, read_samples
from rightsizer.schedule import Step, closed_step
from rightsizer.spec import ServerSpec
from rightsizer.traffic.driver import LocustTraffic

from tests.certificates import make_certificates

from .conftest import Scripted, serving

pytestmark = [pytest.mark.server, pytest.mark.shared_cpus]


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("pem"))


@pytest.fixture
def server(pem: Path) -> Iterator[Scripted]:
    files = [str(pem / name) for name in ("server.pem", "server.key", "ca.pem")]
    with serving(*files, scheme="https") as found:
        yield found


def both_ways(pem: Path) -> Tls:
    return Tls(*(str(pem / name) for name in ("ca.pem", "client.pem", "client.key")))


def request_to(path: str) -> Request:
    bodies = [Body("a", b"x" * 200, "text/plain"), Body("b", b"y" * 300_000, "text/plain")]
    return Request("POST", path, {}, bodies, 5.0, ResponseCheck())


def drive(
    server: Scripted, tls: Tls, path: str, step: Step, folder: Path, owner: GuardedOwner
) -> tuple[set[Outcome], int]:
    """The outcomes of a step, and how many connections the server had closed."""
    with LocustTraffic().open(
        Endpoint(server.url, tls), request_to(path), seed=3, trial_dir=folder, owner=owner, cpus=[]
    ) as session:
        for _ in session.drive(step):
            pass
    outcomes = read_samples(session.sample_files)["outcome"].tolist()
    assert outcomes
    return {Outcome(number) for number in outcomes}, session.last.health.reopened


def test_traffic_trusts_the_given_authority_and_shows_its_certificate(
    server: Scripted, pem: Path, tmp_path: Path, owner: GuardedOwner
) -> None:
    tls = both_ways(pem)
    probed = LocustTraffic().probe(Endpoint(server.url, tls), request_to("/ok"), lambda: None)
    assert list(probed) == ["a", "b"]
    found = drive(server, tls, "/slow?ms=10", closed_step(0, 2, 1.0), tmp_path, owner)
    assert found == ({Outcome.SUCCEEDED}, 0)


def test_an_idle_tls_connection_that_the_server_closed_is_reopened(
    server: Scripted, pem: Path, tmp_path: Path, owner: GuardedOwner
) -> None:
    step = Step(0, "open", 1.5, rate_per_s=6.0, arrivals="constant")
    outcomes, reopened = drive(server, both_ways(pem), "/hangup", step, tmp_path, owner)
    assert outcomes == {Outcome.SUCCEEDED}
    assert reopened > 0


def test_without_the_authority_or_the_certificate_every_request_fails(
    server: Scripted, pem: Path, tmp_path: Path, owner: GuardedOwner
) -> None:
    for number, tls in enumerate((Tls(), Tls(ca=str(pem / "ca.pem")))):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcomes, _ = drive(server, tls, "/ok", closed_step(0, 1, 0.5), folder, owner)
        assert outcomes <= {Outcome.PROTOCOL, Outcome.RESET, Outcome.CONNECT}
        with pytest.raises(TrialFailed, match=r"CERTIFICATE|certificate|cut off"):
            LocustTraffic().probe(Endpoint(server.url, tls), request_to("/ok"), lambda: None)


def test_readiness_asks_with_the_same_files(server: Scripted, pem: Path) -> None:
    assert why_not_ready(server.url, "/count", 5.0, both_ways(pem)) is None
    assert "certificate" in str(why_not_ready(server.url, "/count", 5.0)).lower()


def test_paths_are_taken_from_the_job_file_s_folder(pem: Path) -> None:
    spec = ServerSpec.model_validate(
        {"url": "https://a", "tls": {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}}
    )
    assert tls_of(spec, pem) == both_ways(pem)
    assert tls_of(ServerSpec(url="https://a"), pem) is None
    assert trust_of(both_ways(pem)).verify_mode


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        (("no.pem", None, None), "no.pem does not exist"),
        (("ca.key", None, None), "server.tls cannot be used"),
        ((None, "client.pem", "server.key"), "KEY_VALUES_MISMATCH|key values mismatch"),
        ((None, "client.pem", None), "server.tls cannot be used"),
    ],
)
def test_files_that_cannot_work_are_refused_before_anything_starts(
    pem: Path, tls: tuple[str | None, ...], why: str
) -> None:
    with pytest.raises(InputError, match=why):
        require_usable(Tls(*(None if name is None else str(pem / name) for name in tls)))
