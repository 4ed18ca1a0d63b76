"""Requests on the wire: built once, numbered in place."""

from __future__ import annotations

import pytest
from rightsizer.traffic.outgoing import Target, build

TARGET = Target.of("http://host:8501/base/")


def test_a_request_is_a_head_and_its_content_in_one_buffer():
    request = build(TARGET, "POST", "/v1", {"X-Mine": "1"}, b"abc", "image/jpeg")
    head, _, content = bytes(request.buffer).partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /base/v1 HTTP/1.1",
        b"Host: host:8501",
        b"User-Agent: rightsizer",
        b"Accept: */*",
        b"Content-Type: image/jpeg",
        b"Content-Length: 3",
        b"X-Request-Id: 0000000000000000",
        b"X-Mine: 1",
    ]
    assert content == b"abc"
    assert (request.head_bytes, request.content_bytes) == (len(head) + 4, 3)


def test_the_id_changes_and_nothing_else():
    request = build(TARGET, "POST", "/", {}, b"X-Request-Id: 0000000000000000\r\n", "text/plain")
    before = bytes(request.buffer)
    after = bytes(request.number(0xABC))
    assert after == before.replace(b"Id: 0000000000000000", b"Id: 0000000000000abc", 1)
    assert len(after) == len(before)


@pytest.mark.parametrize("name", ["x-request-id", "X-Request-ID"])
def test_a_request_id_of_the_user_s_stays_as_it_is(name: str):
    request = build(TARGET, "POST", "/", {name: "mine"}, b"abc", "text/plain")
    before = bytes(request.buffer)
    assert bytes(request.number(5)) == before
    assert before.lower().count(b"x-request-id") == 1


def test_what_is_left_to_send_is_safe_from_the_next_request_s_id():
    request = build(TARGET, "POST", "/", {}, b"abc" * 100, "text/plain")
    first = bytes(request.number(1))
    in_head, in_content = request.rest(10), request.rest(request.head_bytes + 1)
    request.number(2)
    assert bytes(in_head) == first[10:]
    assert bytes(in_content) == first[request.head_bytes + 1 :]


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [("http://a", "a", 80), ("https://a/x", "a", 443), ("http://[::1]:9/", "::1", 9)],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int):
    target = Target.of(url)
    assert (target.host, target.port) == (host, port)
