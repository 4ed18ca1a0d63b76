"""Which addresses are Docker engines', and which are anybody's to command."""

from __future__ import annotations

import pytest
from rightsizer.addresses import address_problem, host_name, is_far


@pytest.mark.parametrize(
    ("address", "has_tls", "key", "said"),
    [
        # the usual ones
        ("", False, None, ""),
        ("unix:///var/run/docker.sock", False, None, ""),
        ("ssh://ops@rack1", False, None, ""),
        ("ssh://ops@rack1:2222", False, None, ""),
        ("tcp://10.0.0.5:2376", True, None, ""),
        # plain tcp stays on this machine
        ("tcp://127.0.0.1:2375", False, None, ""),
        ("tcp://localhost:2375", False, None, ""),
        ("tcp://[::1]:2375", False, None, ""),
        ("tcp://10.0.0.5:2375", False, "address", "plain tcp"),
        ("tcp://127.0.0.1.example.com:2375", False, "address", "plain tcp"),
        # keys of another scheme
        ("unix:///d.sock", True, "tls", "belongs to a tcp"),
        ("ssh://rack1", True, "tls", "belongs to a tcp"),
        # no engine's
        ("tcp://10.0.0.5", True, "address", "names no engine"),
        ("tcp://:2376", True, "address", "names no engine"),
        ("tcp://10.0.0.5:2376/v1", True, "address", "names no engine"),
        ("tcp://10.0.0.5:port", True, "address", "no address"),
        ("ssh://", False, "address", "names no engine"),
    ],
)
def test_an_address_is_right_or_its_key_is_told(address, has_tls, key, said):
    found = address_problem(address, has_tls)
    assert (found[0] if found else None) == key
    assert found is None or said in found[1]


def test_only_a_socket_file_is_near():
    assert not is_far("unix:///var/run/docker.sock")
    assert is_far("tcp://127.0.0.1:2375")
    assert is_far("ssh://ops@rack1")


def test_the_machine_is_the_addresses_host():
    assert host_name("ssh://ops@rack1:22") == "rack1"
    assert host_name("tcp://10.0.0.5:2376") == "10.0.0.5"
