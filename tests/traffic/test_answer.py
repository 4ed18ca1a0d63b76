"""Answers as servers send them, in pieces of every size."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from httptools import HttpParserError
from rightsizer.traffic import answer as module
from rightsizer.traffic.answer import Answer

SIZED = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
ENDED = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nhello"
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"


def read(answer: Answer, pieces: Sequence[bytes]) -> list[bool]:
    """What each piece is said to have made of the answer."""
    return [answer.feed(piece) if k else answer.begin(piece) for k, piece in enumerate(pieces)]


def seen(answer: Answer) -> tuple[int, bytes, bool]:
    """What the client takes from an answer."""
    return answer.status, answer.body, answer.keeps_alive


@pytest.mark.parametrize("pieces", [1, 2, 7, 1000])
@pytest.mark.parametrize("wire", [SIZED, CHUNKED])
def test_an_answer_is_complete_with_its_last_byte_however_it_is_cut(wire: bytes, pieces: int):
    answer = Answer()
    size = max(1, len(wire) // pieces)
    cut = [wire[at : at + size] for at in range(0, len(wire), size)]
    assert read(answer, cut) == [False] * (len(cut) - 1) + [True]
    assert (answer.status, answer.body, answer.keeps_alive) == (200, b"hello", True)


def test_what_an_answer_is_does_not_depend_on_the_ones_before_it_on_the_connection():
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nnever"
    last = SIZED.replace(b"Server: x", b"Connection: close")
    wires = [SIZED, SIZED.replace(b"hello", b"world"), busy, busy, SIZED, CHUNKED, CHUNKED]
    # As many bytes as the answer before, and another head; as its head, and another length.
    wires += [SIZED, SIZED.replace(b"Server", b"Served"), SIZED.replace(b"5", b"4")[:-1]]
    wires += [GO_ON + SIZED, GO_ON + SIZED, SIZED, last]
    answer = Answer()
    for wire in wires:
        alone = Answer()
        for each in (answer, alone):
            assert each.begin(wire)
        assert seen(answer) == seen(alone)


@pytest.mark.parametrize("cut", [0, 10, len(SIZED) - 1])
def test_an_answer_that_breaks_off_is_not_taken_for_the_one_before_it(cut: int):
    answer = Answer()
    assert answer.begin(SIZED)
    assert answer.begin(SIZED)
    assert not answer.begin(SIZED[:cut])
    with pytest.raises(ConnectionResetError):
        answer.end_of_stream()


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_one_before_it():
    answer = Answer()
    for _ in range(2):
        assert answer.begin(SIZED)
    for behind in (SIZED, SIZED[:-1], SIZED[:9]):
        with pytest.raises(HttpParserError):
            Answer().begin(SIZED + behind)
    with pytest.raises(HttpParserError):
        answer.begin(SIZED + SIZED)


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno", 503),
    ],
)
def test_other_statuses_are_answers_too(wire: bytes, status: int):
    answer = Answer()
    assert answer.begin(wire)
    assert answer.status == status


def test_an_announcement_is_not_the_answer():
    together, apart = Answer(), Answer()
    assert together.begin(GO_ON + SIZED)
    assert not apart.begin(GO_ON)
    assert apart.feed(SIZED)
    assert together.status == apart.status == 200


def test_a_server_may_ask_for_the_connection_to_be_closed():
    answer = Answer()
    assert answer.begin(SIZED.replace(b"Server: x", b"Connection: close"))
    assert not answer.keeps_alive


def test_the_stream_s_end_completes_a_body_without_a_length():
    answer = Answer()
    assert not answer.begin(ENDED[:20])
    assert not answer.feed(ENDED[20:])
    answer.end_of_stream()
    assert (answer.complete, answer.status, answer.body) == (True, 200, b"hello")
    assert not answer.keeps_alive


@pytest.mark.parametrize("wire", [b"", SIZED[:10], SIZED[:-1], CHUNKED[:-4]])
def test_the_stream_s_end_breaks_every_other_answer(wire: bytes):
    answer = Answer()
    assert not answer.begin(wire)
    with pytest.raises(ConnectionResetError):
        answer.end_of_stream()


@pytest.mark.parametrize("wire", [b"SSH-2.0-OpenSSH\r\n", b"220 mail ready\r\n", SIZED + SIZED])
def test_what_is_not_one_http_answer_is_unreadable(wire: bytes):
    with pytest.raises(HttpParserError):
        Answer().begin(wire)


def test_an_endless_answer_ends_somewhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    answer = Answer()
    answer.begin(ENDED)
    with pytest.raises(HttpParserError, match="endless"):
        answer.feed(b"x" * 1000)
