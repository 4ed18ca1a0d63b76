"""The hosts file, and CPU lists as text."""

from __future__ import annotations

import pytest
from rightsizer.errors import ProblemsError
from rightsizer.inventory import HostSpec, load_hosts
from rightsizer.machines import format_cpus, parse_cpus

# -- CPU lists as text -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cpus", "back"),
    [
        ("0", (0,), "0"),
        ("0-2,5", (0, 1, 2, 5), "0-2,5"),
        ("5,0-2", (0, 1, 2, 5), "0-2,5"),
        ("0,1,1-3", (0, 1, 2, 3), "0-3"),
        ("7,9,11-12", (7, 9, 11, 12), "7,9,11-12"),
    ],
)
def test_cpu_lists_are_read_and_written(text, cpus, back):
    assert parse_cpus(text) == cpus
    assert format_cpus(cpus) == back


# -- the hosts file ----------------------------------------------------------------------------


@pytest.fixture
def hosts(tmp_path):
    def load(text: str) -> tuple[HostSpec, ...]:
        path = tmp_path / "hosts.yaml"
        path.write_text(text)
        return load_hosts(path)

    return load


def test_a_hosts_file_is_read_whole(hosts):
    one, two = hosts(
        "hosts:\n"
        "  - name: here\n    server_cpus: 1-3\n    generator_cpus: '0'\n"
        "    provides: [{instance_type: ml.c5.large, as: stand-in, cpus: 2, memory_gib: 4}]\n"
        "  - {name: far, kind: docker, address: 'ssh://box', publish: true}\n"
    )
    assert (one.name, one.kind, one.server_cpus, one.generator_cpus) == (
        "here",
        "process",
        "1-3",
        "0",
    )
    assert one.provides[0].stands == "stand-in"
    assert (two.kind, two.address, two.publish) == ("docker", "ssh://box", True)


def wrong(hosts, text: str) -> list[str]:
    with pytest.raises(ProblemsError) as caught:
        hosts(text)
    return [line.rpartition("/hosts.yaml:")[2] for line in str(caught.value).splitlines()]


def test_all_unknown_missing_and_malformed_keys_are_said_at_once(hosts):
    found = wrong(
        hosts,
        "hosts:\n"
        "  - kind: podman\n"
        "    server_cpus: 0..3\n"
        "  - name: b\n"
        "    colour: red\n"
        "    address: http://x\n"
        "    generator_cpus: 3-1\n"
        "    provides: [{instance_type: t, as: emulated, cpus: 0}]\n",
    )
    assert [line.split(": ")[:2] for line in found] == [
        ["2", "hosts[0].kind"],
        ["2", "hosts[0].name"],
        ["3", "hosts[0].server_cpus"],
        ["5", "hosts[1].colour"],
        ["6", "hosts[1].address"],
        ["7", "hosts[1].generator_cpus"],
        ["8", "hosts[1].provides[0].as"],
        ["8", "hosts[1].provides[0].cpus"],
    ]
    assert found[4].endswith(
        "'http://x' is no address; write unix://PATH, ssh://HOST or tcp://HOST:PORT"
    )
    assert "'3-1' names no CPUs; write lowest-highest, such as 0-3" in found[5]


def test_all_contradictions_are_said_at_once(hosts):
    assert wrong(
        hosts,
        "hosts:\n"
        "  - {name: a, server_cpus: 0-2, generator_cpus: '2,3'}\n"
        "  - name: a\n"
        "  - {name: c, address: 'unix:///run/docker.sock'}\n",
    ) == [
        "2: hosts[0].generator_cpus: CPUs 2 are also the server's; keep them apart",
        "3: hosts[1].name: 'a' is taken; rename one",
        "4: hosts[2]: a process host is this machine; remove address, tls and publish",
    ]


@pytest.mark.parametrize("cpus", ["0-99999999999", "9000"])
def test_a_cpu_number_no_machine_has_is_refused_rather_than_counted_up_to(hosts, cpus):
    (line,) = wrong(hosts, f"hosts: [{{name: a, server_cpus: '{cpus}'}}]\n")
    assert "names no CPUs" in line


@pytest.mark.parametrize("text", ["", "hosts: []\n", "hosts: {}\n", "hosts: [3]\n"])
def test_a_hosts_file_of_no_hosts_is_refused(hosts, text):
    assert wrong(hosts, text)


def test_accelerators_are_named_by_uuid_or_device_node(hosts):
    (found,) = hosts(
        "hosts:\n"
        "  - {name: a, accelerators: [GPU-1, MIG-2, /dev/neuron0],\n"
        "     provides: [{instance_type: t, as: stand-in, accelerators: 0}]}\n"
    )
    assert found.accelerators == ("GPU-1", "MIG-2", "/dev/neuron0")
    assert found.provides[0].accelerators == 0
    (line,) = wrong(hosts, "hosts: [{name: a, accelerators: ['0']}]\n")
    assert "hosts[0].accelerators" in line
