"""Another machine, as far as the network can tell: a namespace of its own behind a wire."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.hosts.processes import eventually

HERE, THERE = "198.51.100.1", "198.51.100.2"
PORT = 8080
LISTENER = f"""
import socket, sys
listener = socket.create_server(("{THERE}", {PORT}))
print("listening", flush=True)
sys.stdin.read()
"""
MACHINE = f"""
read wired && ip link set lo up && ip address add {THERE}/30 dev eth0 && ip link set eth0 up &&
ip route add default via {HERE} && exec python3 -c "$0"
"""


@contextlib.contextmanager
def another_machine() -> Iterator[tuple[str, int]]:
    """An address where something listens that only a way out leads to.

    It goes with the process that holds it, and that ends with this one.
    """
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("a network namespace is made by root, with iproute2")
    wire = f"rs{os.getpid()}"
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", MACHINE, LISTENER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as machine:
        assert machine.stdin is not None
        assert machine.stdout is not None
        try:
            ours = os.readlink("/proc/self/ns/net")
            assert eventually(lambda: os.readlink(f"/proc/{machine.pid}/ns/net") != ours)
            peer = f"peer name eth0 netns {machine.pid}"
            _ip(f"link add {wire} type veth {peer}")
            _ip(f"address add {HERE}/30 dev {wire}")
            _ip(f"link set {wire} up")
            machine.stdin.write("\n")
            machine.stdin.flush()
            assert machine.stdout.readline() == "listening\n"
            yield THERE, PORT
        finally:
            machine.stdin.close()


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)
