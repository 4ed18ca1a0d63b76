"""Each call of the Docker engine in turn delayed, failed, or its reply lost: nothing is left
behind, nothing is made twice, nothing hangs."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from rightsizer.errors import EnvironmentFault, TrialEnded, TrialFailed, TrialInterrupted
from rightsizer.hosts.docker import engine as engine_module
from rightsizer.hosts.docker import host as docker_host_module
from rightsizer.hosts.docker.engine import Engine
from rightsizer.hosts.docker.host import DockerHost
from rightsizer.hosts.docker.ownership import RUN
from rightsizer.hosts.docker.survey import survey
from rightsizer.inventory import HostSpec

from tests.hosts.containers import container_launch, left, nobodys
from tests.hosts.images import address, make_image, require_engine
from tests.hosts.processes import eventually
from tests.hosts.relay import Call, Spoil, SpoilingRelay

pytestmark = [pytest.mark.docker, pytest.mark.shared_cpus]

CALL_S = 3.0
"""What the engine gets to answer here, instead of 10 s."""
LATE_S = 1.0
"""A delayed call is carried out so long after its sender gave up."""
HANG_S = 60.0
AT_ONCE = 10
BY_ITS_OWN_WORD = {
    "POST /networks/create": [EnvironmentFault],
    "POST /volumes/create": [EnvironmentFault],
    "PUT /containers/*/archive": [EnvironmentFault],
    "DELETE /containers/*": [EnvironmentFault],
    "POST /containers/create": [EnvironmentFault, TrialFailed],
    "POST /containers/*/start": [TrialFailed],
}
"""What else than an interrupted trial it is when the engine says no: its machine's fault or the
candidate's."""
ONCE = ("POST /containers/create", "POST /networks/create", "POST /volumes/create")


@pytest.fixture
def client() -> Iterator[docker.APIClient]:
    require_engine()
    with contextlib.closing(docker.APIClient(base_url=address())) as made:
        yield made


@pytest.fixture
def image(client) -> str:
    return client.inspect_image(make_image(client))["Id"]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(engine_module, "CALL_S", CALL_S)
    monkeypatch.setattr(docker_host_module, "STOP_GRACE_S", 1)


@pytest.fixture
def many_turns(monkeypatch):
    """A far machine runs one trial at a time; here each trial has a lease of its own."""

    def take(engine: Engine, labels: Mapping[str, str], image_id: str) -> None:
        engine.create(f"{labels[RUN]}-lease", {"Image": image_id, "Cmd": ["x"], "Labels": labels})

    monkeypatch.setattr(docker_host_module, "take_turn", take)


@dataclass
class Outcome:
    """What became of a trial whose engine spoilt a call."""

    calls: list[Call]
    spoilt: list[Call]
    ended: Exception | None
    left: list[str]
    wall_s: float


def far_host(relay: SpoilingRelay) -> DockerHost:
    """A far one: a model is copied there, by more calls than a near one needs."""
    spec = HostSpec(name="far", kind="docker", address=relay.address, publish=True)
    return DockerHost(spec)


def relay_on_loopback(*arguments: object) -> SpoilingRelay:
    return SpoilingRelay(socket.create_server(("127.0.0.1", 0)), *arguments)


def trial(
    folder: Path, image: str, client: docker.APIClient, spoil: tuple[Call, Spoil] | None = None
) -> Outcome:
    """A whole life of a server, as a trial has it."""
    model = folder / "model"
    model.mkdir(parents=True)
    (model / "weights").write_text("42")
    launch = container_launch(folder, image, model_dir=model)
    ended: Exception | None = None
    with relay_on_loopback(lambda call: spoil[1] if spoil and call == spoil[0] else None) as relay:
        if spoil is not None and spoil[1] is Spoil.DELAYED:
            late = threading.Thread(target=let_go_late, args=(relay,))
            late.start()
        begin_s = time.monotonic()
        try:
            with far_host(relay).start(launch) as server:
                for _ in range(3):
                    server.check()
                    time.sleep(0.1)
        except (TrialEnded, EnvironmentFault) as error:
            ended = error
        wall_s = time.monotonic() - begin_s
        if spoil is not None and spoil[1] is Spoil.DELAYED:
            late.join()
        eventually(lambda: not left(client, launch.job_id), 10)
        return Outcome(relay.calls, relay.spoilt, ended, left(client, launch.job_id), wall_s)


def let_go_late(relay: SpoilingRelay) -> None:
    eventually(lambda: relay.spoilt, HANG_S)
    time.sleep(CALL_S + LATE_S)
    relay.let_go.set()


def few_of_each(calls: list[Call]) -> list[Call]:
    """Every kind of call at least once, one that is made all the time not more than thrice."""
    return [call for call in calls if call.number <= 3]


@pytest.mark.usefixtures("many_turns")
@pytest.mark.parametrize("how", Spoil, ids=lambda how: how.value)
def test_a_spoilt_call_leaves_nothing_makes_nothing_twice_and_ends(how, tmp_path, image, client):
    before = nobodys(client)
    healthy = trial(tmp_path / "healthy", image, client)
    assert (healthy.ended, healthy.left) == (None, [])
    calls = few_of_each(healthy.calls)
    assert len({call.name for call in calls}) > 12  # a recording, not a guess

    def run(number: int) -> Outcome:
        return trial(tmp_path / f"{how.value}-{number}", image, client, (calls[number], how))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(run, range(len(calls))))
    for call, found in zip(calls, outcomes, strict=True):
        said = f"{call} was {how.value}: {found.ended!r}"
        assert found.left == [], said
        assert found.wall_s < HANG_S, said
        allowed = [TrialInterrupted]
        if how is Spoil.FAILED:
            allowed += BY_ITS_OWN_WORD.get(call.name, [])
        assert found.ended is None or type(found.ended) in allowed, said
        for name in ONCE:
            times = sum(call.name == name for call in found.calls)
            assert times <= sum(call.name == name for call in healthy.calls), said
    assert {call.name for found in outcomes for call in found.spoilt} == {c.name for c in calls}
    assert nobodys(client) == before


def test_an_engine_that_is_slow_at_every_call_is_waited_for(tmp_path, image):
    def slowly(call: Call) -> None:
        time.sleep(0.2)

    launch = container_launch(tmp_path, image)
    with relay_on_loopback(slowly) as relay, far_host(relay).start(launch) as server:
        server.check()


@pytest.mark.parametrize("number", [1, 2], ids=["the lease", "the server"])
def test_what_an_engine_makes_long_after_it_was_given_up_on_goes_when_it_is_asked_next(
    tmp_path, image, client, number
):
    held = Call("POST /containers/create", number)
    launch = container_launch(tmp_path, image)
    with relay_on_loopback(lambda call: Spoil.DELAYED if call == held else None) as relay:
        host = far_host(relay)
        with pytest.raises(TrialInterrupted), host.start(launch):
            raise AssertionError("it started")
        assert left(client, launch.job_id) == []
        relay.let_go.set()
        assert eventually(lambda: left(client, launch.job_id))
        assert host.answers()
        assert left(client, launch.job_id) == []
        with host.start(launch) as server:
            server.check()


@pytest.mark.parametrize("how", Spoil, ids=lambda how: how.value)
def test_an_engine_that_is_only_asked_what_it_has_spoils_no_more_than_the_answer(how, image):
    with relay_on_loopback() as relay:
        host = HostSpec(name="far", kind="docker", address=relay.address)
        assert survey(host, [image]).fault == ""
        calls = relay.calls
    for one in calls:
        with relay_on_loopback(lambda call, one=one: how if call == one else None) as relay:
            host = HostSpec(name="far", kind="docker", address=relay.address)
            fault = survey(host, [image]).fault
            assert fault.startswith("host far: "), one
            assert "\n" not in fault
