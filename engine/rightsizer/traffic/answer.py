"""Answers as they come over one connection, read by llhttp (through httptools)."""

from __future__ import annotations

from httptools import HttpParserError, HttpResponseParser

MAX_BYTES = 64 * 1024 * 1024
"""A longer answer is cut off and counts as unreadable: an endless one must end somewhere."""
NONE_KNOWN = -1


class Answer:
    """One answer after the other; the parser is made once for a connection.

    `begin`, then `feed` until it says that the answer is complete, or `end_of_stream`. An answer
    whose head is, byte for byte, that of the one before it is not parsed again.
    """

    __slots__ = (
        "_head",
        "_headed",
        "_known_bytes",
        "_known_head",
        "_parser",
        "_parts",
        "_received",
        "body",
        "complete",
        "keeps_alive",
        "status",
    )

    def __init__(self) -> None:
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._known_head = b""
        self._known_bytes = NONE_KNOWN
        self.status = 0
        self.body = b""
        self.keeps_alive = False
        """Whether the connection stands after the answer."""

    def begin(self, data: bytes) -> bool:
        """Read the first bytes of an answer; otherwise as `feed`."""
        if len(data) == self._known_bytes and data.startswith(self._known_head):
            self.body = data[len(self._known_head) :]
            return True
        self._parts: list[bytes] = []
        self._head = self.body = b""
        self._headed = self.complete = self.keeps_alive = False
        self._known_bytes = NONE_KNOWN
        self._received = self.status = 0
        return self.feed(data) and self._know(data)

    def feed(self, data: bytes) -> bool:
        """Read on; True once complete. Raises HttpParserError: not HTTP, or too long."""
        assert self._parser is not None
        self._received += len(data)
        if not self._headed:
            self._head += data
        self._parser.feed_data(data)
        if self._received > MAX_BYTES:
            raise HttpParserError("endless answer")
        return self.complete

    def _know(self, data: bytes) -> bool:
        """The same head, and as many bytes behind it: the same answer, unless they are chunked."""
        head_bytes = data.find(b"\r\n\r\n") + 4
        if self.keeps_alive and len(data) - head_bytes == len(self.body):
            self._known_head, self._known_bytes = data[:head_bytes], len(data)
        return True

    def end_of_stream(self) -> None:
        """The server has closed: what completes a body without a length.

        Raises:
            ConnectionResetError: the answer was not complete.
        """
        assert self._parser is not None
        if not self._headed or _tells_length(self._head):
            raise ConnectionResetError("closed before the answer was complete")
        self._complete()

    def close(self) -> None:
        """Let go of the parser: the two refer to each other, and steps run without a collector."""
        self._parser = None

    # -- called by the parser ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer begins; behind a complete one nobody has asked for it."""
        if self.complete:
            raise ValueError("an answer that nobody asked for")

    def on_headers_complete(self) -> None:
        """From here on it is the body."""
        self._headed = True

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        self._parts.append(data)

    def on_message_complete(self) -> None:
        """An answer is complete; one below 200 only announces the real one."""
        assert self._parser is not None
        self._complete()
        # llhttp has forgotten it once the answer is behind it.
        self.keeps_alive = self._parser.should_keep_alive()
        self._headed = self.complete = self.status >= 200

    def _complete(self) -> None:
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        self.body = b"".join(self._parts)
        self.complete = True


class _Fields:
    """Names of the fields of the last head."""

    def __init__(self) -> None:
        self.names: set[bytes] = set()

    def on_message_begin(self) -> None:
        self.names = set()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.names.add(name.lower())


def _tells_length(head: bytes) -> bool:
    """Whether the head says where its body ends; read a second time, for this is rare."""
    fields = _Fields()
    HttpResponseParser(fields).feed_data(head)
    return not fields.names.isdisjoint((b"content-length", b"transfer-encoding"))
