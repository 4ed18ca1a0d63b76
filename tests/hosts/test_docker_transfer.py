"""Images from one real engine to another, without a registry."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

import docker
import pytest
from rightsizer.errors import EnvironmentFault
from rightsizer.hosts.docker.engine import Engine, Missing
from rightsizer.hosts.docker.transfer import content_of, copy_image
from rightsizer.surveying import copy_to_hosts

from tests.hosts.engines import OwnEngine, own_engine, require_own_engines
from tests.hosts.images import address, make_image, require_engine

pytestmark = [pytest.mark.docker, pytest.mark.shared_cpus]


@pytest.fixture(scope="module")
def far() -> Iterator[OwnEngine]:
    require_engine()
    require_own_engines()
    with own_engine() as engine:
        yield engine


@pytest.fixture
def name() -> Iterator[str]:
    """An image of the engine here, by a name that no other test uses."""
    name = f"rightsizer-test/{secrets.token_hex(4)}:1"
    with contextlib.closing(docker.APIClient(base_url=address())) as client:
        client.tag(make_image(client), *name.split(":"))
        yield name
        client.remove_image(name)


def test_an_image_reaches_another_machine_under_its_name_and_is_the_same_there(far, name):
    with Engine(address()) as source, far.engine() as target:
        with pytest.raises(Missing):
            target.image(name)
        assert copy_image(name, source, target)
        assert content_of(target.image(name)) == content_of(source.image(name))
        assert not copy_image(name, source, target)
        with pytest.raises(Missing):
            copy_image("no/such:1", source, target)


def test_the_hosts_command_copies_an_image_to_the_hosts_that_lack_it(tmp_path, far, name):
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text(f"hosts:\n  - {{name: far, {far.hosts_entry}}}\n")
    assert list(copy_to_hosts(name, hosts)) == [f"far: {name} copied"]
    assert list(copy_to_hosts(name, hosts)) == [f"far: {name} was there"]
    with pytest.raises(EnvironmentFault, match="no/such:1 was not copied to host far"):
        list(copy_to_hosts("no/such:1", hosts))
