"""One call's bytes, in and out, against h2's own server side."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded
from h2.settings import SettingCodes, Settings
from rightsizer.traffic.grpc_channel import Channel, H2Error, Message, name_of
from rightsizer.traffic.outgoing import Target

TARGET = Target.of("http://host:8500/base")
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


def message(content: bytes = b"question", **metadata: str) -> Message:
    return Message(TARGET, "/S/Call", metadata, content)


def framed(content: bytes, compressed: int = 0) -> bytes:
    return struct.pack(">BI", compressed, len(content)) + content


class Peer:
    """A channel, and the server it talks to."""

    def __init__(self, window_bytes: int = 65535) -> None:
        self.channel = Channel()
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.server.local_settings = Settings(
            client=False, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: window_bytes}
        )
        self.server.initiate_connection()
        self.fields: list[list[tuple[str, str]]] = []
        self.data, self.ended, self.stream = b"", False, 0
        self.exchange()
        assert self.channel.settled

    def exchange(self) -> None:
        """Whatever either has to say; a server that reads everything grants new windows."""
        while True:
            to_server, to_channel = self.channel.take(), self.server.data_to_send()
            if not to_server and not to_channel:
                return
            for event in self.server.receive_data(to_server):
                if isinstance(event, RequestReceived):
                    self.fields.append(event.headers)
                    self.stream = event.stream_id
                if isinstance(event, DataReceived):
                    self.data += event.data
                    self.server.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                self.ended = self.ended or isinstance(event, StreamEnded)
            self.channel.feed(to_channel)

    def begin(self, request: Message | None = None, request_id: int = 7) -> Channel:
        self.channel.begin(request or message(), request_id)
        self.exchange()
        return self.channel

    def answer(
        self, *parts: bytes, status: str | None = "0", head: Sequence[tuple[str, str]] = HEAD
    ) -> Channel:
        self.server.send_headers(self.stream, head)
        for part in parts:
            self.server.send_data(self.stream, part)
        trailers = [("grpc-status", status)] if status is not None else [("other", "x")]
        self.server.send_headers(self.stream, trailers, end_stream=True)
        self.exchange()
        return self.channel


def test_a_call_has_its_path_its_metadata_and_its_own_id():
    peer = Peer()
    peer.begin(message(Authorization="me"), 0xAB)
    assert peer.data == framed(b"question")
    assert peer.ended
    peer.answer(framed(b"yes"))
    peer.begin(message(), 0xAC)
    fields = dict(peer.fields[0])
    assert fields[":path"] == "/base/S/Call"
    assert (fields[":method"], fields[":scheme"], fields[":authority"]) == (
        "POST",
        "http",
        "host:8500",
    )
    assert (fields["te"], fields["content-type"]) == ("trailers", "application/grpc")
    assert fields["authorization"] == "me"
    assert [dict(f)["x-request-id"] for f in peer.fields] == [f"{n:016x}" for n in (0xAB, 0xAC)]


def test_a_call_larger_than_the_servers_window_goes_as_the_server_reads():
    peer = Peer(window_bytes=1000)
    content = bytes(range(256)) * 1200
    peer.begin(message(content))
    assert peer.channel.sent
    assert peer.data == framed(content)


def test_an_answer_in_parts_is_one_message():
    peer = Peer()
    channel = peer.begin()
    whole = framed(b"answer" * 100)
    assert peer.answer(whole[:3], whole[3:50], whole[50:]).complete
    assert channel.headed
    assert (channel.status, channel.body()) == (0, b"answer" * 100)


def test_a_hundred_megabytes_of_answers_need_no_word_from_us_that_never_comes():
    peer = Peer()
    for _ in range(30):
        channel = peer.begin()
        chunk = b"z" * 16000
        peer.server.send_headers(peer.stream, HEAD)
        peer.server.send_data(peer.stream, struct.pack(">BI", 0, 250 * len(chunk)))
        for _ in range(250):
            peer.server.send_data(peer.stream, chunk)
            peer.exchange()
        peer.server.send_headers(peer.stream, [("grpc-status", "0")], end_stream=True)
        peer.exchange()
        assert len(channel.body()) == 4_000_000


def test_a_refusal_has_a_code_and_words():
    peer = Peer()
    channel = peer.begin()
    head = [*HEAD, ("grpc-status", "3"), ("grpc-message", "bad %25 %C3%BC")]
    peer.server.send_headers(peer.stream, head, end_stream=True)
    peer.exchange()
    assert channel.complete
    assert (channel.status, channel.said.decode()) == (3, "bad % ü")
    assert name_of(3) == "gRPC status INVALID_ARGUMENT"


def test_a_proxys_refusal_has_its_http_status():
    peer = Peer()
    channel = peer.begin()
    peer.server.send_headers(peer.stream, [(":status", "502")], end_stream=True)
    peer.exchange()
    assert (channel.complete, channel.status) == (True, 502)
    assert name_of(502) == "status 502"


@pytest.mark.parametrize(
    "parts",
    [[], [b"abc"], [framed(b"one") + framed(b"two")], [framed(b"x", compressed=1)],
     [framed(b"cut off")[:-1]]],
)  # fmt: skip
def test_an_answer_that_is_not_one_plain_message_is_no_answer(parts):
    peer = Peer()
    peer.begin()
    channel = peer.answer(*parts)
    assert channel.complete
    with pytest.raises(H2Error):
        channel.body()


@pytest.mark.parametrize("status", [None, "ok", "-1", "1000"])
def test_an_answer_without_a_status_is_no_answer(status):
    peer = Peer()
    peer.begin()
    with pytest.raises(H2Error):
        peer.answer(framed(b"yes"), status=status)


def test_bytes_of_another_protocol_are_refused():
    with pytest.raises(H2Error):
        Channel().feed(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def test_a_call_that_the_server_resets_is_broken_off():
    peer = Peer()
    channel = peer.begin()
    peer.server.reset_stream(peer.stream)
    peer.exchange()
    assert channel.broken
    assert not channel.complete


def test_a_server_that_says_goodbye_takes_no_further_call():
    peer = Peer()
    peer.begin()
    channel = peer.answer(framed(b"yes"))
    peer.server.close_connection()
    channel.feed(peer.server.data_to_send())
    assert channel.closing
    assert not channel.broken


def test_a_ping_is_answered():
    peer = Peer()
    peer.server.ping(b"12345678")
    peer.channel.feed(peer.server.data_to_send())
    assert b"12345678" in peer.channel.take()
