"""gRPC's unary calls over HTTP/2, one after the other, without I/O: bytes out, bytes in.

HTTP/2 (RFC 9113) is h2's; what gRPC adds is in its PROTOCOL-HTTP2.md: a message behind a 5-byte
prefix, and a status behind the message.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from urllib.parse import unquote_to_bytes

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import NeverIndexedHeaderTuple

from rightsizer.traffic.answer import MAX_BYTES
from rightsizer.traffic.outgoing import ID_DIGITS, ID_FIELD, Target

WINDOW_BYTES = (1 << 31) - 1
"""What the server may send unasked: the most there is, so that no answer waits for us."""
PART_BYTES = 1 << 16
"""Of a message at a time: h2 copies what it sends, and small pieces are copied in the cache."""
PREFIX = struct.Struct(">BI")
"""Of a message: whether it is compressed, and its length."""
SETTINGS_TYPE = b"\x04"
"""Of the first frame, in its fourth byte."""
OK = 0
NONE = -1
"""No status has come yet."""
CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
UNAVAILABLE = CODES.index("UNAVAILABLE")

__all__ = ["OK", "UNAVAILABLE", "Channel", "H2Error", "Message", "name_of"]


def name_of(status: int) -> str:
    """A status in words; one that is none of gRPC's is HTTP's."""
    return f"gRPC status {CODES[status]}" if status < len(CODES) else f"status {status}"


class Message:
    """One payload's call: its fields, but for the id, and its message behind the prefix."""

    __slots__ = ("content_bytes", "fields", "framed")

    def __init__(
        self, target: Target, path: str, metadata: Mapping[str, str], content: bytes
    ) -> None:
        scheme = "http" if target.trust is None else "https"
        fields = {
            ":method": "POST",
            ":scheme": scheme,
            ":authority": target.authority,
            ":path": target.base_path + path,
            "te": "trailers",
            "content-type": "application/grpc",
            "user-agent": "rightsizer",
            **{name.lower(): value for name, value in metadata.items()},
        }
        self.fields: Sequence[tuple[bytes, bytes]] = [
            (name.encode(), value.encode("latin-1")) for name, value in fields.items()
        ]
        self.content_bytes = len(content)
        self.framed = memoryview(PREFIX.pack(0, len(content)) + content)


class Channel:
    """One connection's state. `begin` a call, `take` what is to be sent, `feed` what came.

    Raises H2Error for an answer that is not HTTP/2, or not gRPC.
    """

    def __init__(self) -> None:
        self._h2 = H2Connection(
            H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._h2.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: 1 << 16,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW_BYTES - 65535)
        self._stream = 0
        self._unsent = memoryview(b"")
        self._parts: list[bytes] = []
        self._received = 0
        self.settled = False
        """Whether the server has said how it wants to be sent to."""
        self.closing = False
        """Whether the server wants no further call."""
        self.headed = self.complete = self.broken = False
        """Of the call: an answer has begun; has ended; was broken off."""
        self.status = NONE
        """gRPC's code, or HTTP's where that is not 200."""
        self.said = b""
        """What the server says of the status."""

    def begin(self, message: Message, request_id: int) -> None:
        """Call; `take` has its first bytes."""
        self._parts = []
        self._received = 0
        self.headed = self.complete = self.broken = False
        self.status, self.said = NONE, b""
        self._stream = self._h2.get_next_available_stream_id()
        # In the table of known fields each id would push out one that comes again.
        own = NeverIndexedHeaderTuple(ID_FIELD.lower().encode(), b"%0*x" % (ID_DIGITS, request_id))
        self._h2.send_headers(self._stream, [*message.fields, own])
        self._unsent = message.framed

    @property
    def sent(self) -> bool:
        """Whether the whole call has been taken."""
        return not self._unsent

    def take(self) -> bytes:
        """What is to be sent now, a part after the other; nothing: the server's word comes first,
        or all has been sent.
        """
        if self._unsent:
            room = min(
                PART_BYTES,
                self._h2.max_outbound_frame_size,
                self._h2.local_flow_control_window(self._stream),
            )
            if room > 0:
                part, self._unsent = self._unsent[:room], self._unsent[room:]
                self._h2.send_data(self._stream, part, end_stream=not self._unsent)
        return self._h2.data_to_send()

    def feed(self, data: bytes) -> bool:
        """Read on; whether the call has ended. What this has to say in return, `take` has."""
        # h2 would wait for the rest of a frame as long as another protocol's text reads.
        if not self.settled and not data.startswith(SETTINGS_TYPE, 3) and len(data) > 3:
            raise ProtocolError("it does not begin as HTTP/2 does")
        for event in self._h2.receive_data(data):
            self._on(event)
        return self.complete

    def body(self) -> bytes:
        """The message of a call that has ended well; raises H2Error if there is no whole one."""
        data = b"".join(self._parts)
        if len(data) < PREFIX.size:
            raise ProtocolError("an answer without a message")
        compressed, length = PREFIX.unpack_from(data)
        if compressed or len(data) - PREFIX.size != length:
            raise ProtocolError("not one uncompressed message")
        return data[PREFIX.size :]

    def _on(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                self.settled = True
            case ResponseReceived(headers=fields):
                self.headed = True
                self._read(dict(fields), first=True)
            case DataReceived(data=data, flow_controlled_length=taken):
                self._parts.append(data)
                self._received += len(data)
                if self._received > MAX_BYTES:
                    raise ProtocolError("endless answer")
                self._h2.acknowledge_received_data(taken, event.stream_id)
            case TrailersReceived(headers=fields):
                self._read(dict(fields), first=False)
            case StreamEnded():
                if self.status == NONE:
                    raise ProtocolError("an answer without a gRPC status")
                self.complete = True
            case StreamReset():
                # An answer that ended before the call did: the rest of the call is not wanted.
                self.broken = self.broken or not self.complete
            case ConnectionTerminated():
                # h2 reads no further from here, whatever the server would still have answered.
                self.closing = True
                self.broken = self.broken or not self.complete

    def _read(self, fields: Mapping[bytes, bytes], first: bool) -> None:
        if first and fields[b":status"] != b"200":
            self.status = int(fields[b":status"])
        elif b"grpc-status" in fields and self.status == NONE:
            code = fields[b"grpc-status"]
            if not code.isdigit() or int(code) > 99:
                raise ProtocolError(f"grpc-status {code!r}")
            self.status = int(code)
            self.said = unquote_to_bytes(fields.get(b"grpc-message", b""))
