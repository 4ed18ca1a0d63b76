"""Images from one real engine to another, without a registry."""

from __future__ import annotations

import contextlib

import docker
import pytest
from rightsizer.errors import EnvironmentFault
from rightsizer.hosts.docker.engine import Engine, Missing
from rightsizer.hosts.docker.transfer import content_of, copy_image
from rightsizer.surveying import copy_to_hosts

from tests.hosts.engines import own_engine, require_own_engines
from tests.hosts.images import address, make_image, require_engine

pytestmark = pytest.mark.docker
NAME = "rightsizer-test/copied:1"


def test_an_image_reaches_another_machine_under_its_name_and_is_the_same_there():
    require_engine()
    require_own_engines()
    with contextlib.ExitStack() as stack:
        client = docker.APIClient(base_url=address())
        stack.enter_context(contextlib.closing(client))
        client.tag(make_image(client), *NAME.split(":"))
        stack.callback(client.remove_image, NAME)
        source = stack.enter_context(Engine(address()))
        target = stack.enter_context(stack.enter_context(own_engine()).engine())
        with pytest.raises(Missing):
            target.image(NAME)
        assert copy_image(NAME, source, target)
        assert content_of(target.image(NAME)) == content_of(source.image(NAME))
        assert not copy_image(NAME, source, target)
        with pytest.raises(Missing):
            copy_image("no/such:1", source, target)


def test_the_hosts_command_copies_an_image_to_the_hosts_that_lack_it(tmp_path):
    require_engine()
    require_own_engines()
    hosts = tmp_path / "hosts.yaml"
    with contextlib.closing(docker.APIClient(base_url=address())) as client, own_engine() as far:
        name = "rightsizer-test/sent:1"
        client.tag(make_image(client), *name.split(":"))
        try:
            hosts.write_text(f"hosts:\n  - {{name: far, {far.hosts_entry}}}\n")
            assert list(copy_to_hosts(name, hosts)) == [f"far: {name} copied"]
            assert list(copy_to_hosts(name, hosts)) == [f"far: {name} was there"]
            with pytest.raises(EnvironmentFault, match="no/such:1 was not copied to host far"):
                list(copy_to_hosts("no/such:1", hosts))
        finally:
            client.remove_image(name)
