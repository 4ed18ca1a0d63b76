"""What an answer may not wait for."""

from __future__ import annotations

import socket

import pytest
from rightsizer.api.listening import Listener


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_no_part_of_an_answer_waits_for_an_acknowledgement_of_the_one_before(family):
    address = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}[family]
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        bound.bind((address, 0))
        bound.listen()
        Listener(None, bound)
        with socket.create_connection(bound.getsockname()[:2]), bound.accept()[0] as connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
